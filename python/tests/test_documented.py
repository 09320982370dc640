"""The documented examples, unchanged, one file each under documented/. What they leave undefined is stood in for here;
every function that one of them decorates is then called twice, and the second answer comes from the cache."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from cachekit.config import reset_settings
from cachekit.errors import CachekitError
from shelves import Shelf

DIRECTORY = Path(__file__).parent / "documented"

# Examples of what this version does not have, and what they wait for. Each is refused with a word about it; one that is
# not refused any more has no business in this list.
IO, ASYNC_CACHE = "CachekitIO", "the async-cache surface"
LATER = {
    "backends/explicit_cachekitio": IO,
    "configuration/cachekitio": IO,
    "async_cache/quick_start": ASYNC_CACHE,
    "async_cache/decorators": ASYNC_CACHE,
    "async_cache/agent_cache": ASYNC_CACHE,
    "async_cache/disk_persistence": ASYNC_CACHE,
    "async_cache/custom_remote": ASYNC_CACHE,
    "async_cache/key_prefix": ASYNC_CACHE,
    "async_cache/timeouts": ASYNC_CACHE,
    "async_cache/lifetime": ASYNC_CACHE,
    "async_cache/shutdown": ASYNC_CACHE,
}
# Examples that mean a server.
REDIS = ("redis/basic_usage", "configuration/redis_by_default")
# Examples that mean a master key in the environment.
ENCRYPTED = ("api/encrypted_dataframes",)
# A list of decorators without a function: tried one by one.
DECORATORS = "api/serializer_forms"
# Examples that go on where another one ended.
AFTER = {"api/check_health": "api/get_health_status"}
# Extras without which an example cannot run.
NEEDS = {
    "api/auto_serializer": ["numpy"],
    "api/orjson_serializer": ["orjson"],
    "api/arrow_serializer": ["pandas", "pyarrow", "polars"],
    "api/serializer_forms": ["numpy", "orjson", "pyarrow", "polars"],
    "api/switching_serializers": ["pandas", "pyarrow"],
    "api/versioned_namespaces": ["pandas", "pyarrow"],
    "api/external_sources": ["pandas", "pyarrow", "orjson"],
    "api/encryption": ["orjson"],
    "api/encrypted_dataframes": ["pandas", "pyarrow"],
}

NAMES = sorted(path.relative_to(DIRECTORY).with_suffix("").as_posix() for path in DIRECTORY.glob("*/*.py"))
ARGUMENTS = {"user_id": 123, "tenant_id": "acme", "hospital_id": 7, "dataset_id": 7, "args": "x", "endpoint": "/users/123", "date": "2024-01-01", "data": {"a": 1}}


class Response:
    def json(self) -> dict[str, str]:
        return {"name": "Alice"}


class Client:
    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get(self, _: str) -> Response:
        return Response()


class HTTPBackend(Shelf):
    """A store behind an address, played by a dictionary."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address


def stand_ins() -> dict[str, Any]:
    """What the examples use and do not define."""
    from cachekit import cache, serializers

    def computed(*_: object) -> dict[str, list[int]]:
        return {"numbers": [1, 2, 3]}

    names = """computation compute_value data do_expensive_computation expensive_api_call expensive_computation fetch_api
        fetch_external_api important_computation perform_analysis process_data""".split()
    namespace: dict[str, Any] = {name: computed for name in names}
    namespace.update(cache=cache, secret_key="ab" * 32, conn=None, HTTPBackend=HTTPBackend,
                     httpx=types.SimpleNamespace(AsyncClient=Client))
    for name in ("ArrowSerializer", "OrjsonSerializer", "EncryptionWrapper"):
        namespace[name] = getattr(serializers, name)
    return namespace


def bring(namespace: dict[str, Any], name: str) -> None:
    """The extras of an example, or no test of it. Under the names that examples left from earlier ones."""
    extras = {module: pytest.importorskip(module) for module in NEEDS.get(name, ())}
    if "pandas" in extras:
        namespace["pd"] = extras["pandas"]
        namespace["df"] = extras["pandas"].DataFrame({"id": [1, 2], "name": ["Alice", "Bob"]})
        if name in ENCRYPTED:  # a database is not there
            namespace["pd"] = types.SimpleNamespace(read_sql=lambda *_: namespace["df"])
    if "orjson" in extras:
        namespace["orjson"] = extras["orjson"]


def run(name: str, namespace: dict[str, Any]) -> None:
    if name in AFTER:
        run(AFTER[name], namespace)
    path = DIRECTORY / f"{name}.py"
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True), namespace)


def arguments(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {one.name: ARGUMENTS[one.name] for one in parameters if one.default is one.empty}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "equals"):
        return bool(one.equals(other))
    if hasattr(one, "shape"):
        return bool((one == other).all())
    return one == other


def call(function: Any) -> Any:
    answer = function(**arguments(function))
    if inspect.isawaitable(answer):

        async def wait() -> Any:
            return await answer

        return asyncio.run(wait())
    return answer


def check_cached(function: Any, hits: int = 1) -> None:
    first = call(function)
    before = function.cache_info()
    assert same(call(function), first)
    after = function.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (hits, 1 - hits)


@pytest.fixture
def namespace(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The globals of an example, in a directory that has the files which examples read."""
    (tmp_path / "data").mkdir()
    for path in ("data/2024-01-01.csv", "data.csv"):
        (tmp_path / path).write_text("id,name\n1,Alice\n2,Bob\n")
    monkeypatch.chdir(tmp_path)
    environment = dict(os.environ)
    # A function is known by its module and name, so each example is a module of its own.
    globals_ = {"__name__": "documented_" + request.node.callspec.id.replace("/", "_"), **stand_ins()}
    yield globals_
    os.environ.clear()
    os.environ.update(environment)
    reset_settings()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LATER and name != DECORATORS])
def test_example(
    name: str,
    namespace: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if name == "backends/module_level_default":  # writes where only a service may
        from cachekit.backends import file

        class Elsewhere(file.FileBackendConfig):
            def __init__(self, cache_dir: str) -> None:
                super().__init__(cache_dir=tmp_path / cache_dir.lstrip("/"))

        monkeypatch.setattr(file, "FileBackendConfig", Elsewhere)
    if name in ENCRYPTED:
        monkeypatch.setenv("CACHEKIT_MASTER_KEY", "0123456789abcdef" * 4)
        reset_settings()
    if name in REDIS:
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("redis").url)
    bring(namespace, name)
    run(name, namespace)
    decorated = {key: value for key, value in namespace.items() if hasattr(value, "cache_info")}
    for function in decorated.values():
        check_cached(function)


def test_each_serializer_form_decorates(namespace_of_forms: dict[str, Any]) -> None:
    lines = (DIRECTORY / f"{DECORATORS}.py").read_text().splitlines()
    decorators = [line for line in lines if line.startswith("@")]
    assert len(decorators) == 7
    for number, line in enumerate(decorators):
        code = f"{line}\ndef function_{number}(): return {{'form': {number}}}"
        if "arrow" in line.lower():
            code = f"{line}\ndef function_{number}(): return df"
        exec(code, namespace_of_forms)
        check_cached(namespace_of_forms[f"function_{number}"])


@pytest.fixture
def namespace_of_forms() -> dict[str, Any]:
    namespace = {"__name__": "documented_forms", **stand_ins()}
    bring(namespace, DECORATORS)
    namespace["df"] = pytest.importorskip("pandas").DataFrame({"id": [1, 2]})
    return namespace


@pytest.mark.parametrize("name", [name for name in NAMES if name in LATER])
def test_example_of_what_comes_later(name: str, namespace: dict[str, Any]) -> None:
    if LATER[name] is ASYNC_CACHE:
        assert importlib.util.find_spec("cache") is None
        return
    bring(namespace, name)
    with pytest.raises((CachekitError, ImportError)) as refused:
        run(name, namespace)
    assert LATER[name].lower() in str(refused.value).lower()


def test_each_waiting_example_exists() -> None:
    assert set(LATER) | set(AFTER) | set(NEEDS) | set(REDIS) | {DECORATORS} <= set(NAMES)


def test_the_first_example_with_health_status_has_the_documented_shape(capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {"__name__": "documented_health", **stand_ins()}
    run("api/check_health", namespace)
    status = namespace["health_status"]
    assert set(status["features_enabled"]) >= {"circuit_breaker", "adaptive_timeout", "backpressure", "statistics",
                                               "structured_logging"}
    assert set(status["circuit_breaker"]) >= {"state", "failure_count", "success_count", "last_failure_time",
                                              "next_attempt"}
    assert set(status["backpressure"]) >= {"max_concurrent", "current_requests", "rejected_requests"}
    assert set(status["adaptive_timeout"]) >= {"current_timeout", "base_timeout", "average_duration"}
    result = namespace["health_result"]
    assert set(result["decorator"]) == set(status)
    assert set(result["system"]) >= {"status", "redis_connection", "connection_pool"}
    assert set(result["system"]["connection_pool"]) >= {"created_connections", "available_connections",
                                                        "in_use_connections"}


def test_a_backend_of_the_documented_shape_is_asked() -> None:
    namespace = {"__name__": "documented_backend", **stand_ins()}
    run("api/explicit_backend", namespace)
    assert namespace["my_function"]() == "result"
    assert len(namespace["custom_backend"].entries) == 1


def test_every_form_compiles_where_it_is_read() -> None:
    # Files that are data here are also looked at by tools that read the repository.
    broken = []
    for name in NAMES:
        try:
            compile((DIRECTORY / f"{name}.py").read_text(encoding="utf-8"), name, "exec")
        except SyntaxError:
            broken.append(name)
    assert broken == [DECORATORS]
    assert "documented" not in sys.modules
