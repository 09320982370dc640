"""What importing the package costs a program: which modules come along, and what is looked up late instead."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from typing import Any

import pytest

from cachekit._methods import count_parameters

# What a program may never use, and what takes longer to import than the package itself.
NOT_IMPORTED = """
    argparse ast asyncio base64 concurrent.futures copy csv ctypes dataclasses decimal difflib dis email fractions
    glob hashlib hmac http.client importlib.metadata importlib.resources inspect ipaddress json logging
    multiprocessing numbers pathlib pickle pkgutil platform queue random secrets selectors shutil socket ssl
    statistics struct subprocess tempfile textwrap traceback unittest urllib.parse urllib.request uuid xml zipfile
    numpy orjson pandas polars prometheus_client pyarrow
    cachekit.backends.base cachekit.serializers cachekit.serializers.advice
""".split()


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_imports_no_module_that_it_may_not_need() -> None:
    # What the interpreter itself has loaded does not count, nor what typing brings along in some versions.
    code = """
import sys, typing, weakref
before = set(sys.modules)
from cachekit import cache
@cache(ttl=60, backend=None)
def double(n):
    return 2 * n
assert double(4) == double(4) == 8
print(*(set(sys.modules) - before))
"""
    assert set(python(code).split()).intersection(NOT_IMPORTED) == set()


# Each value with the module that it comes from, which is imported after the package and after a first look for it.
LATE = [
    ("uuid", "uuid.UUID(int=7)", "'00000000-0000-0000-0000-000000000007'"),
    ("decimal", "decimal.Decimal('1.50')", "'1.50'"),
    ("pathlib", "pathlib.PurePosixPath('/a/b')", "'/a/b'"),
    ("enum", "enum.Enum('Color', 'RED').RED", "1"),
    ("fractions, uuid", "type('Own', (uuid.UUID,), {})(int=7)", "'00000000-0000-0000-0000-000000000007'"),
]


@pytest.mark.parametrize("modules, value, same", LATE)
def test_an_argument_of_a_module_that_is_imported_later_is_part_of_a_key(modules: str, value: str, same: str) -> None:
    code = f"""
from cachekit import _core
class Stranger: pass
for _ in range(2):
    try:
        _core.pack_args((Stranger(),))
    except TypeError:
        pass
import {modules}
assert _core.pack_args(({value},)) == _core.pack_args(({same},))
print("equal")
"""
    assert python(code) == "equal\n"


def test_a_module_in_the_middle_of_its_import_is_looked_at_again() -> None:
    code = """
import sys, types
from cachekit import _core
loaded = sys.modules.pop("decimal", None)
for empty in (None, types.ModuleType("decimal")):       # blocked; begun
    sys.modules["decimal"] = empty
    try:
        _core.pack_args((object(),))
    except TypeError as error:
        assert "object" in str(error), error
del sys.modules["decimal"]
import decimal
assert _core.pack_args((decimal.Decimal("2"),)) == _core.pack_args(("2",))
print("equal")
"""
    assert python(code) == "equal\n"


def test_what_a_module_raises_when_it_is_looked_at_is_raised() -> None:
    code = """
import sys, types
from cachekit import _core
class Broken(types.ModuleType):
    def __getattr__(self, name):
        raise OSError("no such disk")
sys.modules["decimal"] = Broken("decimal")
try:
    _core.pack_args((object(),))
except OSError as error:
    print(error)
"""
    assert python(code) == "no such disk\n"


def test_a_stored_uuid_is_read_by_a_process_that_has_not_imported_uuid() -> None:
    code = """
import sys
from cachekit import _core
document = b"\\x82\\xa8__uuid__\\xc3\\xa5value\\xd9$00000000-0000-0000-0000-000000000007"
value = _core.decode(document, lambda parts: None)
assert value == sys.modules["uuid"].UUID(int=7), value
assert _core.encode(value, lambda other: None) == document
print("equal")
"""
    assert python(code) == "equal\n"


def test_a_set_is_stored_before_uuid_is_known() -> None:
    code = """
from cachekit import _core
assert _core.decode(_core.encode({1}, lambda other: None), lambda parts: None) == {1}
import uuid
value = {uuid.UUID(int=7)}
assert _core.decode(_core.encode(value, lambda other: None), lambda parts: None) == value
print("equal")
"""
    assert python(code) == "equal\n"


# ---- what is known of a function without the module inspect ---------------------------------------------------


def none() -> None: ...
def one(a: int) -> None: ...
def several(a: int, /, b: int, *args: int, c: int, **kwargs: int) -> None: ...
def optional(a: int = 1) -> None: ...
def keyword(*, a: int) -> None: ...
def many(*args: int) -> None: ...
def named(**kwargs: int) -> None: ...
async def awaited() -> None: ...
async def generated() -> Any:
    yield 1


def generator() -> Any:
    yield 1


class Class:
    def __call__(self, a: int) -> None: ...
    async def method(self) -> None: ...
    @classmethod
    def of_class(cls) -> None: ...
    @staticmethod
    async def of_nothing(a: int) -> None: ...


class AsyncCallable:
    async def __call__(self) -> None: ...


@functools.wraps(one)
def wrapper() -> None: ...


def signed() -> None: ...


signed.__signature__ = inspect.signature(one)  # pyright: ignore[reportFunctionMemberAccess]


CALLABLES = [
    *(none, one, several, optional, keyword, many, named, awaited, generated, generator, wrapper, signed),
    *(Class, Class(), AsyncCallable(), Class.method, Class().method, Class.of_class, Class.of_nothing),
    *(lambda: 1, lambda a: a, functools.partial(one, 1), functools.partial(awaited), functools.lru_cache(one), len),
]


@pytest.mark.parametrize("function", CALLABLES)
def test_parameters_are_counted_as_the_module_inspect_does(function: Any) -> None:
    assert count_parameters(function) == len(inspect.signature(function).parameters)


def test_a_function_that_does_not_say_has_one() -> None:
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(getattr)
    assert count_parameters(getattr) == 1


def test_a_forked_child_counts_in_a_session_of_its_own() -> None:
    code = """
import os
from cachekit import cache
@cache(ttl=60, backend=None)
def double(n): return 2 * n
ours = double.cache_info().session_id
assert ours == double.cache_info().session_id
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, double.cache_info().session_id.encode())
    os._exit(0)
os.wait()
theirs = os.read(read, 1000).decode()
assert ours.split(":")[1:] == theirs.split(":")[1:] == ["__main__.double"], (ours, theirs)
print(ours != theirs)
"""
    assert python(code) == "True\n"
