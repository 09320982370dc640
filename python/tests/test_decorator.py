"""The decorator over memory and over files: calls, what is kept, what is forgotten, what is refused."""

from __future__ import annotations

import gc
import inspect
import logging
import threading
import weakref
from datetime import date
from typing import Any

import pytest

from cachekit import CacheInfo, DecoratorConfig, cache
from cachekit.backends import BaseBackend, FileBackend, FileBackendConfig
from cachekit.errors import CachekitError, ConfigurationError, UnsupportedError


class Counted:
    """A function that counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        self.runs += 1
        return [args, kwargs]


def counted(**options: Any) -> tuple[Any, Counted]:
    body = Counted()

    @cache(**{"backend": None, **options})
    def function(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return function, body


@pytest.fixture
def files(tmp_path: Any) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


def test_a_call_runs_once_and_gives_the_same_object() -> None:
    function, body = counted()
    assert function(1, y=2) is function(1, y=2)
    assert body.runs == 1
    assert function(1) == [(1,), {}] and function(1.0) == [(1.0,), {}] and function(True) == [(True,), {}]
    assert body.runs == 4  # 1, 1.0 and True are three arguments


@pytest.mark.parametrize("form", ["bare", "called", "preset", "preset called", "config", "function call"])
def test_every_form_of_the_decorator(form: str) -> None:
    def function(x: int) -> int:
        return x + 1

    decorated = {
        "bare": lambda: cache(function),
        "called": lambda: cache()(function),
        "preset": lambda: cache.minimal(function),
        "preset called": lambda: cache.production(ttl=60, backend=None)(function),
        "config": lambda: cache(config=DecoratorConfig(ttl=60, backend=None))(function),
        "function call": lambda: cache(ttl=60)(function),
    }[form]()
    assert [decorated(1), decorated(1)] == [2, 2]
    assert decorated.cache_info().hits >= 1  # functions of one name share documents


def test_what_a_decorated_function_looks_like() -> None:
    def plain(x: int, *, y: str = "a") -> int:
        """Says nothing."""
        return x

    decorated = cache(backend=None)(plain)
    assert decorated.__wrapped__ is plain
    assert (decorated.__name__, decorated.__doc__, decorated.__module__) == ("plain", "Says nothing.", __name__)
    assert inspect.signature(decorated) == inspect.signature(plain)
    assert decorated.__qualname__ == plain.__qualname__
    assert repr(decorated).startswith(f"<cached function {plain.__qualname__} at 0x")
    decorated.__qualname__ = 5  # type: ignore[assignment]
    assert repr(decorated).startswith("<cached function 5 at 0x")
    del decorated.__qualname__
    assert repr(decorated).startswith("<cached function ")


def test_two_functions_of_one_name_do_not_share_objects() -> None:
    def make(number: int) -> Any:
        @cache(backend=None)
        def function() -> int:
            return number

        return function

    one, two = make(1), make(2)
    assert [one(), two(), one(), two()] == [1, 2, 1, 2]


def test_every_method_of_a_decorated_function_says_by_itself_what_it_does() -> None:
    @cache(backend=None)
    def plain() -> int:
        return 1

    @cache(backend=None)
    async def awaited() -> int:
        return 1

    for function in (plain, awaited, cache.local(lambda: 1)):
        for name in (name for name in dir(function) if not name.startswith("_") and name != "cache"):
            said = inspect.getdoc(getattr(function, name))
            assert said and not said.startswith("The same"), name


def test_counting_and_forgetting() -> None:
    function, body = counted()
    assert function.cache_info() == CacheInfo(0, 0, 0, 0, None, None, 0.0, None, function.cache_info().session_id)
    function(1), function(1), function(2)
    info = function.cache_info()
    assert (info.hits, info.misses, info.l1_hits, info.l2_hits) == (1, 2, 1, 0)
    function.invalidate_cache(1)
    function(1), function(2)
    assert body.runs == 3
    session = info.session_id
    function.cache_clear()
    assert function.cache_info()[:4] == (0, 0, 0, 0)
    assert function.cache_info().session_id == f"{session}#1"
    function(1)
    assert body.runs == 4


def test_bypass_touches_nothing() -> None:
    function, body = counted()
    function(1)
    assert function(1, _bypass_cache=False, y=2) == [(1,), {"y": 2}]
    assert body.runs == 2 and function.cache_info().hits == 0


def test_lifetimes() -> None:
    function, body = counted(ttl=0)
    function(1), function(1)
    assert body.runs == 2
    function, body = counted(ttl=None)
    function(1), function(1)
    assert body.runs == 1


def test_the_key_function_decides() -> None:
    function, body = counted(key=lambda *args, **kwargs: str(args[0] % 2))
    function(1), function(3), function(2)
    assert body.runs == 2
    function, body = counted(key=lambda *args: 5)
    function(1), function(1)
    assert body.runs == 2  # not a text: uncached


def test_arguments_without_a_key_run_uncached_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    function, body = counted()
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert function({1})[0] == ({1},)
        function({1})
    assert body.runs == 2
    assert "sorted" in caplog.text


@pytest.mark.parametrize("error", [ValueError, KeyError, KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
def test_errors_of_the_function_reach_the_caller_and_are_not_kept(error: type[BaseException]) -> None:
    raised = []

    @cache(backend=None)
    def function(x: int) -> int:
        if not raised:
            raised.append(x)
            raise error("no")
        return x

    with pytest.raises(error, match="no"):
        function(1)
    assert function(1) == 1


def test_a_function_that_calls_itself() -> None:
    @cache(backend=None)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(80) == 23416728348467685

    @cache(backend=None)
    def endless(x: int) -> int:
        return endless(x)

    with pytest.raises(RecursionError):
        endless(1)


def test_threads_share_one_computation() -> None:
    gate = threading.Event()
    body = Counted()

    @cache(backend=None)
    def function(x: int) -> Any:
        gate.wait(60)
        return body(x)

    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(function(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(60)
    assert body.runs == 1 and len({id(result) for result in results}) == 1


def test_objects_go_some_time_after_they_are_forgotten() -> None:
    class Thing:
        pass

    @cache(backend=None)
    def function(x: int) -> Thing:
        return Thing()

    first, second = weakref.ref(function(1)), weakref.ref(function(2))
    assert first() is function(1)
    function.invalidate_cache(1)
    for number in range(3, 200_000):
        if first() is None:
            break
        function(number)  # memory frees what nobody can reach any more as it goes along
    assert first() is None and second() is not None


def test_a_function_goes_when_nobody_has_it() -> None:
    function, _ = counted()
    function(1)
    gone = weakref.ref(function)
    del function
    gc.collect()
    assert gone() is None


def test_over_files_results_are_documents_that_another_function_of_the_name_reads(files: FileBackend) -> None:
    body = Counted()

    def make() -> Any:
        @cache(backend=files, ttl=60)
        def function(x: Any) -> Any:
            body(x)
            return {"x": x, "pair": (1, 2)}

        return function

    assert make()("a") == {"x": "a", "pair": (1, 2)}
    again = make()
    assert again("a") == {"x": "a", "pair": [1, 2]}
    assert again("a") is not again("a")
    assert body.runs == 1
    again.invalidate_cache("a")
    again("a")
    assert body.runs == 2


def test_a_result_that_no_document_holds_is_returned_and_not_kept(
    files: FileBackend, caplog: pytest.LogCaptureFixture
) -> None:
    function, body = counted(backend=files)
    assert cache(backend=files)(lambda: {1})() == {1}
    assert "cannot be stored" in caplog.text


@pytest.mark.parametrize(
    "value", [{1: "a"}, {-1: 1, None: 2, True: 3, 0.5: 4}, {(1, "a"): {2: 3}}, {date(2025, 11, 14): 1}, 5, None, True, ""]
)
@pytest.mark.parametrize("integrity", [True, False])
def test_maps_with_keys_of_any_kind_and_values_of_one_byte_come_back_from_files(
    files: FileBackend, value: object, integrity: bool
) -> None:
    runs = 0

    @cache(backend=files, l1_enabled=False, integrity_checking=integrity)
    def function() -> object:
        nonlocal runs
        runs += 1
        return value

    assert [function(), function(), runs] == [value, value, 1]


def test_a_store_that_cannot_be_opened_never_breaks_the_function(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    function, body = counted(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "file" / "below")))
    function(1)
    assert function(1) == [[1], {}]
    assert body.runs == 1


def test_the_file_backend_stores_bytes(files: FileBackend) -> None:
    assert isinstance(files, BaseBackend)
    assert files.get("key") is None and files.delete("key") is False and files.exists("key") is False
    files.set("key", b"\0value", ttl=60)
    assert files.get("key") == b"\0value" and files.exists("key") is True and files.delete("key") is True
    healthy, details = files.health_check()
    assert healthy and details["backend_type"] == "file" and details["latency_ms"] >= 0


def test_health_of_a_function(files: FileBackend) -> None:
    function, _ = counted(backend=files, namespace="api")
    function(1)
    assert function.get_health_status()["namespace"] == "api"
    assert function.check_health()["status"] == "healthy"


def test_a_store_that_cannot_be_opened_is_unhealthy_and_nobody_s_error(tmp_path: Any) -> None:
    (tmp_path / "file").touch()
    backend = FileBackend(FileBackendConfig(cache_dir=tmp_path / "file"))
    function, _ = counted(backend=backend)
    function(1)
    function(1)
    assert function.cache_info().hits == 1
    health = function.check_health()
    assert health["status"] == "unhealthy" and "is not a directory" in health["components"]["backend"]["detail"]
    with pytest.raises(ConfigurationError, match="is not a directory") as refused:
        counted(backend=backend, fallback_strategy="fail_closed")
    assert refused.value.code.startswith("E")


@pytest.mark.parametrize(
    "decorate",
    [
        lambda: cache.secure(print),
        lambda: cache.io(print),
        lambda: cache(backend=None, encryption=True)(print),
    ],
)
def test_what_this_version_does_not_have_is_refused_at_once(decorate: Any) -> None:
    with pytest.raises((UnsupportedError, CachekitError)):
        decorate()


def test_wrong_options_are_refused_at_once() -> None:
    with pytest.raises(ValueError):
        cache(ttl=-1)
        cache(ttl=-1)(print)
    with pytest.raises(TypeError):
        cache(nonsense=1)(print)
    with pytest.raises(TypeError):
        cache(5)
