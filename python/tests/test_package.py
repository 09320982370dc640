"""The package as it is installed: what is in it, what importing it brings along, what it says about itself."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import cachekit
from cachekit import _core

PACKAGE = Path(cachekit.__file__).parent


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_version_is_that_of_the_library(source: Path) -> None:
    declared = re.search(r"project\(cachekit VERSION ([0-9.]+)", (source / "CMakeLists.txt").read_text())
    assert declared is not None
    assert cachekit.__version__ == _core.version == declared.group(1)


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_core.pyi").is_file()


def stub_names(body: list[ast.stmt]) -> set[str]:
    names = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    names |= {node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_the_stub_names_what_the_extension_has() -> None:
    stub = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    assert stub_names(stub.body) == {name for name in vars(_core) if not name.startswith("_")}
    attached = {
        "CachedFunction": vars(cachekit.cache(backend=None)(test_types_are_shipped)),
        "LocalFunction": vars(cachekit.cache.local(test_types_are_shipped)),
    }
    for node in stub.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            members = {*vars(getattr(_core, node.name)), *attached.get(node.name, ())}
            assert stub_names(node.body) == {name for name in members if not name.startswith("_")}, node.name


def test_importing_brings_no_stranger_along() -> None:
    # What the interpreter has loaded anyway is not ours to judge, nor what uuid needs (subprocess, up to Python 3.10).
    code = "import sys, uuid; before = set(sys.modules); import cachekit; print(*(set(sys.modules) - before))"
    loaded = set(python(code).split())
    heavy = {"numpy", "pandas", "polars", "pyarrow", "orjson", "prometheus_client", "asyncio", "concurrent.futures", "ssl",
             "socket", "multiprocessing", "http.client", "urllib.request", "email", "ctypes", "unittest", "subprocess"}
    assert loaded & heavy == set()


def test_every_module_can_be_imported_first() -> None:
    code = """
import importlib, pkgutil, sys
import cachekit
names = [module.name for module in pkgutil.walk_packages(cachekit.__path__, "cachekit.")]
for name in names:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "cachekit"]:
        del sys.modules[loaded]
    importlib.import_module(name)
print(*names)
"""
    assert "cachekit._core" in python(code).split()


def test_what_a_module_offers_exists() -> None:
    for module in pkgutil.walk_packages(cachekit.__path__, "cachekit."):
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            assert getattr(loaded, name) is not None, f"{module.name}.{name}"


def test_public_names_have_docstrings() -> None:
    for name in cachekit.__all__:
        if not name.startswith("__"):
            assert getattr(cachekit, name).__doc__, name


def test_a_second_interpreter_has_a_module_of_its_own() -> None:
    code = """
import sys
try:
    import _interpreters as interpreters          # 3.13
except ImportError:
    import _xxsubinterpreters as interpreters     # 3.8 to 3.12
import cachekit
other = interpreters.create()
answer = interpreters.run_string(other, "import cachekit; assert cachekit.__version__")
if answer is not None:                            # 3.13 tells what was raised
    sys.exit(str(answer))
interpreters.destroy(other)
print(cachekit.__version__)
"""
    assert python(code).strip() == cachekit.__version__
