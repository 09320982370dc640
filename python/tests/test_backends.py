"""Stores written in Python: what they are asked, what their failures cost, and what they must never do to a program."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any, Callable

import pytest

from cachekit import _core, cache
from cachekit.backends import BackendError, BackendErrorType, BaseBackend
from cachekit.backends._adapter import Adapter
from cachekit.config import L1CacheConfig
from cachekit.errors import CachekitError
from counted import counted
from shelves import Minimal


class Shelf:
    """A dict, and what was asked of it. `fail` holds what each method raises instead."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.fail: dict[str, BaseException] = {}

    def _ask(self, *what: Any) -> None:
        self.asked.append(what)
        if what[0] in self.fail:
            raise self.fail[what[0]].with_traceback(None)  # one for many tests: it would keep the frames of all

    def get(self, key: str) -> Any:
        self._ask("get", key)
        return self.entries.get(key)

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        self._ask("set", key, ttl)
        self.entries[key] = value

    def delete(self, key: str) -> Any:
        self._ask("delete", key)
        return self.entries.pop(key, None) is not None

    def exists(self, key: str) -> Any:
        self._ask("exists", key)
        return key in self.entries

    def health_check(self) -> Any:
        self._ask("health_check")
        return True, {"latency_ms": 1.5, "backend_type": "shelf"}

    def methods(self) -> list[str]:
        return [what[0] for what in self.asked]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def store(shelf: Shelf) -> _core.Cache:
    """The store as the library sees it: bytes, without memory in front."""
    return _core.Cache(None, l1=False, backend=Adapter(shelf))


# ---- what a backend is asked ----------------------------------------------------------------------------------------


def test_a_backend_is_any_object_with_the_methods(shelf: Shelf) -> None:
    assert isinstance(shelf, BaseBackend)
    function, body = counted(backend=shelf, ttl=60)
    assert [function(1), function(1)] == [[1], [1]] and body.runs == 1
    assert shelf.methods() == ["get", "set"]
    again, other = counted(backend=shelf, ttl=60, l1_enabled=False)
    assert again(1) == [1] and other.runs == 0
    info = again.cache_info()
    assert (info.hits, info.misses, info.l2_hits) == (1, 0, 1)


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(60, 60), (1, 1), (0.001, 1), (1.5, 2), (59.999, 60), (None, None), (86400 * 365, 86400 * 365)]
)
def test_defect_17_lifetimes_are_whole_seconds_rounded_up(shelf: Shelf, ttl: Any, seconds: int | None) -> None:
    function, _ = counted(backend=shelf, ttl=ttl)
    function(1)
    told = shelf.asked[-1][2]
    assert told == seconds and type(told) in (int, type(None))


def test_defect_16_without_a_ttl_the_default_lifetime_holds(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    function, _ = counted(backend=shelf)
    function(1)
    assert shelf.asked[-1][2] == 3600


def test_defect_15_a_ttl_of_zero_stores_nothing_in_either_tier(shelf: Shelf) -> None:
    function, body = counted(backend=shelf, ttl=0)
    assert [function(1), function(1)] == [[1], [1]]
    assert body.runs == 2 and shelf.entries == {} and "set" not in shelf.methods()


@pytest.mark.parametrize("value", [b"", b"\0", b"\0" * 1000, b"\xff\xfe\xc3", bytes(range(256)) * 4096], ids=len)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_come_and_go_unchanged(shelf: Shelf, store: _core.Cache, value: bytes, kind: Any) -> None:
    store.set("key", value, 60_000)
    assert shelf.entries == {"key": value} and type(shelf.entries["key"]) is bytes
    shelf.entries["key"] = kind(value)
    assert store.get("key") == value
    assert store.exists("key") and store.delete("key") and not store.delete("key") and not store.exists("key")
    assert store.get("key") is None


def test_views_with_gaps_are_values_too(shelf: Shelf, store: _core.Cache) -> None:
    shelf.entries["key"] = memoryview(b"a-b-c-")[::2]  # type: ignore[assignment]
    assert store.get("key") == b"abc"


@pytest.mark.parametrize("key", ["a:b", "a/b", "a%b?c#d e", "ключ", "x" * 250, "x" * 1000], ids=len)
def test_keys_arrive_as_they_are(shelf: Shelf, store: _core.Cache, key: str) -> None:
    store.set(key, b"value", 1000)
    assert list(shelf.entries) == [key] and store.get(key) == b"value"


def test_a_key_that_is_no_text_is_a_permanent_failure(store: _core.Cache) -> None:
    with pytest.raises(CachekitError, match="no text") as failure:
        store.set(b"\xff", b"value", 1000)
    assert failure.value.code == "E063"


def test_exists_and_health_check_are_done_without_when_they_are_missing() -> None:
    backend = Minimal()
    store = _core.Cache(None, l1=False, backend=Adapter(backend))  # type: ignore[arg-type]
    store.set("key", b"", 1000)
    assert store.exists("key") and not store.exists("other")
    health = store.health()
    assert health["healthy"] and health["backend_type"] == "Minimal" and health["latency_ms"] >= 0


def test_health_is_what_the_backend_says(shelf: Shelf) -> None:
    function, _ = counted(backend=shelf)
    found = function.check_health()
    assert found["status"] == "healthy"
    assert found["components"]["backend"]["backend_type"] == "shelf"
    assert found["components"]["backend"]["latency_ms"] == 1.5


@pytest.mark.parametrize(
    "answer", [(False, {"latency_ms": 2, "backend_type": "shelf", "error": "no route"}), RuntimeError("no route"), None, 5, (True,)]
)
def test_a_health_check_never_raises(shelf: Shelf, answer: Any) -> None:
    if isinstance(answer, Exception):
        shelf.fail["health_check"] = answer
    else:
        shelf.health_check = lambda: answer  # type: ignore[method-assign]
    function, _ = counted(backend=shelf)
    found = function.check_health()
    assert found["status"] == "unhealthy"
    if answer not in (None, 5, (True,)):
        assert "no route" in found["components"]["backend"]["detail"]


# ---- forgetting ------------------------------------------------------------------------------------------------------


def test_forgetting_one_call_and_all_calls(shelf: Shelf) -> None:
    function, body = counted(backend=shelf, namespace="n")
    other, _ = counted(backend=shelf, namespace="other")
    function(1), function(2), function(3), other(1)
    function.invalidate_cache(1)
    assert len(shelf.entries) == 3
    function.cache_clear()
    assert len(shelf.entries) == 1  # the other namespace's
    function(1), function(2)
    assert body.runs == 5
    function.invalidate_cache()
    assert len(shelf.entries) == 1


def test_a_key_whose_deletion_failed_is_told_and_tried_again(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    function, body = counted(backend=shelf)
    function(1)
    shelf.fail["delete"] = BackendError("down")
    with caplog.at_level(logging.ERROR, "cachekit"):
        function.invalidate_cache(1), function.cache_clear()
    assert len(shelf.entries) == 1 and caplog.text.count("failed to forget") == 2
    function(1)
    assert body.runs == 2 and function.cache_info().l2_hits == 0  # what was to go is not served from the store either
    del shelf.fail["delete"]
    function.cache_clear()
    assert shelf.entries == {}


def test_remembered_keys_are_bounded(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachekit.backends._adapter._MOST_KEYS", 10)
    adapter = Adapter(shelf)
    for number in range(15):
        adapter.set(str(number), b"", None, "n", "f" if number % 2 else "g")
    assert len(adapter._owners) == 10
    deleted, left = adapter.delete_scope(0, "", "")
    assert (deleted, left) == (10, 5)


# ---- lifetimes that a backend can tell -----------------------------------------------------------------------------------


def test_lifetimes_can_be_looked_at_and_changed_where_the_backend_can(shelf: Shelf) -> None:
    lives: dict[str, Any] = {"a": 7, "b": None}
    shelf.entries.update(a=b"", b=b"")
    shelf.get_ttl = lives.get  # type: ignore[attr-defined]
    shelf.refresh_ttl = lambda key, ttl: lives.update({key: ttl}) or key in shelf.entries  # type: ignore[attr-defined]
    adapter = Adapter(shelf)
    assert adapter.abilities() == ("shelf", True, True)
    assert (adapter.get_ttl("a"), adapter.get_ttl("b"), adapter.get_ttl("c")) == (7.0, None, False)
    assert adapter.refresh_ttl("a", 9) is True and lives["a"] == 9


@pytest.mark.parametrize("awaited", [False, True])
def test_a_hit_late_in_life_renews_it_where_the_backend_can(shelf: Shelf, awaited: bool) -> None:
    left, renewed = [90.0], []
    shelf.get_ttl = lambda key: left[0]  # type: ignore[attr-defined]
    shelf.refresh_ttl = lambda key, ttl: renewed.append(ttl) or True  # type: ignore[attr-defined]
    decorate = cache(backend=shelf, ttl=100, refresh_ttl_on_get=True, l1_enabled=False)

    def plain(n: int) -> int:
        return n

    async def coroutine(n: int) -> int:
        return n

    async def call(function: Any) -> Any:
        return await function(1)

    function: Any = decorate(coroutine if awaited else plain)
    for seconds, renewals in ((90.0, []), (90.0, []), (49.0, [100]), (51.0, [100])):
        left[0] = seconds
        assert (asyncio.run(call(function)) if awaited else function(1)) == 1
        assert renewed == renewals


def test_memory_keeps_what_it_reads_as_long_as_the_backend_says(shelf: Shelf) -> None:
    lives: list[float] = [0.001]
    shelf.get_ttl = lambda key: lives[0]  # type: ignore[attr-defined]
    function, _ = counted(backend=shelf, ttl=100)
    function(1)
    other = {"l1": L1CacheConfig(max_size_mb=7, swr_enabled=False)}  # another memory
    reader, body = counted(backend=shelf, ttl=100, **other)
    assert reader(1) == function(1)
    time.sleep(0.02)
    lives[0] = 100
    assert reader(1) == function(1)
    time.sleep(0.02)
    assert reader(1) == function(1)
    assert body.runs == 0 and reader.cache_info()[:4] == (3, 0, 1, 2)


@pytest.mark.parametrize("lacks", ["get_ttl", "refresh_ttl", "both", "plain methods", "a store"])
def test_lives_that_cannot_be_renewed_are_not_a_secret(
    shelf: Shelf, lacks: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def coroutine(key: str, ttl: int = 0) -> None:
        pass

    class Rack(Shelf):
        pass

    store: Any = None if lacks == "a store" else Rack()
    Rack.__name__ = f"Rack without {lacks}"  # said once of each kind
    if store is not None:
        for name in ("get_ttl", "refresh_ttl"):
            if lacks == "plain methods":
                setattr(store, name, coroutine)
            elif lacks not in (name, "both"):
                setattr(store, name, lambda key, ttl=0: 50)
    function, _ = counted(backend=store, ttl=100, refresh_ttl_on_get=True)
    said = [record.message for record in caplog.records if "refresh_ttl_on_get=True" in record.message]
    assert len(said) == 1 and ("there is none" if store is None else Rack.__name__) in said[0]
    function, _ = counted(backend=shelf, ttl=100)
    assert function(1) == function(1)


def test_capabilities_that_are_coroutines_are_left_alone_with_a_word(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    async def get_ttl(key: str) -> int | None:
        return None

    shelf.get_ttl = get_ttl  # type: ignore[attr-defined]
    with caplog.at_level(logging.INFO, "cachekit"):
        assert Adapter(shelf).abilities() == ("shelf", False, False)
    assert "coroutine" in caplog.text


def test_defect_13_memory_keeps_what_it_reads_no_longer_than_the_function_lets_values_live(shelf: Shelf) -> None:
    function, _ = counted(backend=shelf, ttl=1)
    function(1)
    reader, body = counted(backend=shelf, ttl=1)
    del function
    gc.collect()
    began = time.monotonic()
    reader(1)  # from the store, which cannot tell how old the value is
    shelf.entries.clear()
    while body.runs == 0 and time.monotonic() < began + 20:
        reader(1)
    assert body.runs == 1  # not before thirty seconds, if memory believed in an unknown life


# ---- failures ------------------------------------------------------------------------------------------------------------

FAILURES: list[Any] = [
    (BackendError("down", BackendErrorType.TRANSIENT), "E010"),
    (BackendError("slow", BackendErrorType.TIMEOUT), "E011"),
    (BackendError("odd"), "E120"),
    (BackendError("never", BackendErrorType.PERMANENT), "E063"),
    (BackendError("who are you", BackendErrorType.AUTHENTICATION), "E060"),
    (BackendError("413", BackendErrorType.PERMANENT, code="E105"), "E105"),
    (ConnectionError("refused"), "E120"),
    (ZeroDivisionError(), "E120"),
    (StopIteration(), "E120"),
    (SystemExit(1), "E120"),
    (GeneratorExit(), "E120"),
]


@pytest.mark.parametrize(("error", "code"), FAILURES)
@pytest.mark.parametrize("method", ["get", "set", "delete", "exists"])
def test_a_failure_has_the_kind_that_the_backend_gives_it(
    shelf: Shelf, store: _core.Cache, method: str, error: BaseException, code: str
) -> None:
    shelf.fail[method] = error
    if method == "set" and code == "E010":
        code = "E065"  # not reached would say that nothing was sent, and nobody knows that of a write
    arguments = ("key", b"value", 1000) if method == "set" else ("key",)
    with pytest.raises(CachekitError) as failure:
        getattr(store, method)(*arguments)
    assert failure.value.code == code


@pytest.mark.parametrize(("error", "code"), FAILURES)
@pytest.mark.parametrize("methods", [["get"], ["set"], ["get", "set"]])
def test_defect_14_a_store_that_fails_costs_neither_result_nor_memory_and_is_counted(
    shelf: Shelf, methods: list[str], error: BaseException, code: str
) -> None:
    shelf.fail.update(dict.fromkeys(methods, error))
    function, body = counted(backend=shelf)
    assert [function(1), function(1)] == [[1], [1]]
    kept_nowhere = code == "E105" and "set" in methods  # a value that the store finds too large is kept nowhere
    assert body.runs == (2 if kept_nowhere else 1)
    failures = function.cache.stats()["l2_errors"]
    assert failures >= 1 or kept_nowhere
    # Who waited for a silent store in vain asks it nothing more in that call.
    assert len(shelf.entries) == (1 if methods == ["get"] and code != "E011" else 0)
    shelf.fail.clear()
    shelf.entries.clear()
    function(2)
    assert len(shelf.entries) == 1  # it is used again


def test_failures_tell_neither_keys_nor_values(shelf: Shelf, capfd: pytest.CaptureFixture[str]) -> None:
    class Telling(Shelf):
        def get(self, key: str) -> Any:
            raise ValueError(f"cannot get {key}")

        def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
            raise BackendError(f"cannot set {key}", key=key)

    function, _ = counted(backend=Telling(), namespace="secretive")
    function(1)
    store = _core.Cache(None, l1=False, backend=Adapter(Telling()))
    with pytest.raises(CachekitError) as failure:
        store.get("secret:key")
    told = capfd.readouterr().err + str(failure.value)
    assert "cannot get <key>" in told and "secret:key" not in told and "args:" not in told


@pytest.mark.parametrize(
    ("method", "answer"), [("get", "text"), ("get", 5), ("get", ["bytes"]), ("get", True), ("get", object())]
)
def test_an_answer_of_a_wrong_type_is_a_failure(shelf: Shelf, store: _core.Cache, method: str, answer: Any) -> None:
    setattr(shelf, method, lambda *_: answer)
    with pytest.raises(CachekitError, match=type(answer).__name__) as failure:
        getattr(store, method)("key")
    assert failure.value.code == "E102"
    function, body = counted(backend=shelf)
    assert [function(1), function(1)] == [[1], [1]] and body.runs == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["get", "set", "delete", "exists", "health_check"])
def test_methods_that_are_coroutines_fail_with_a_word(shelf: Shelf, store: _core.Cache, method: str) -> None:
    async def coroutine(*_: Any) -> None:
        return None

    setattr(shelf, method, coroutine)
    if method == "health_check":
        assert "coroutine" in store.health()["detail"]
        return
    with pytest.raises(CachekitError, match="plain functions"):
        getattr(store, method)("key", *((b"value", 1000) if method == "set" else ()))


class NoTruth:
    def __bool__(self) -> bool:
        raise ValueError("neither")


def test_an_answer_without_a_truth_is_a_failure(shelf: Shelf, store: _core.Cache) -> None:
    shelf.exists = lambda key: NoTruth()  # type: ignore[method-assign]
    with pytest.raises(CachekitError, match="neither"):
        store.exists("key")


def test_ctrl_c_during_a_look_into_the_store_is_not_lost(shelf: Shelf) -> None:
    shelf.fail["get"] = KeyboardInterrupt()
    function, body = counted(backend=shelf)
    with pytest.raises(KeyboardInterrupt):
        function(1)
        for _ in range(1000):
            pass
    shelf.fail.clear()
    assert function(1) == [1]


def test_defect_10_a_function_that_raises_the_stores_error_runs_once_and_the_error_is_the_callers(shelf: Shelf) -> None:
    runs = []
    error = BackendError("of the function's own store", BackendErrorType.TRANSIENT)

    @cache(backend=shelf)
    def function(x: int) -> int:
        runs.append(x)
        raise error

    with pytest.raises(BackendError) as raised:
        function(1)
    assert raised.value is error and runs == [1] and shelf.entries == {}
    assert function.cache.stats()["l2_errors"] == 0


# ---- threads, calls within calls, ends ---------------------------------------------------------------------------------------


def test_a_backend_may_use_cached_functions_itself() -> None:
    class Signed(Shelf):
        def get(self, key: str) -> Any:
            token(1)
            return super().get(key)

        def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
            if not self.entries:
                function(6)  # its own store
            super().set(key, value, ttl)

    backend = Signed()

    @cache(backend=None)
    def token(number: int) -> str:
        return f"token {number}"

    @cache(backend=backend)
    def function(number: int) -> int:
        backend.entries["begun"] = b""
        return number

    assert function(5) == 5 and function(5) == 5
    assert token.cache_info().misses == 1


def test_a_backend_that_asks_for_the_call_that_is_under_way_does_not_wait_for_itself() -> None:
    class Circular(Shelf):
        depth = 0

        def get(self, key: str) -> Any:
            if self.depth < 3:
                self.depth += 1
                assert function(1) == 1
                self.depth -= 1
            return super().get(key)

    backend = Circular()

    @cache(backend=backend)
    def function(number: int) -> int:
        return number

    began = time.monotonic()
    assert function(1) == 1
    assert time.monotonic() - began < 30  # the wait for another's computation would be a minute
    assert len(backend.entries) == 1


def test_threads_ask_a_backend_at_once_and_share_a_computation() -> None:
    inside, gate = threading.Semaphore(0), threading.Event()

    class Slow(Shelf):
        def get(self, key: str) -> Any:
            inside.release()
            assert gate.wait(60)
            return super().get(key)

    function, body = counted(backend=Slow())
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(function(n % 4))) for n in range(16)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for _ in range(4):
        assert inside.acquire(timeout=60)  # four keys, four looks at a time: no lock is held meanwhile
    gate.set()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == sorted([[n % 4] for n in range(16)]) and body.runs == 4


def test_many_threads_mix_all_operations(shelf: Shelf) -> None:
    function, _ = counted(backend=shelf, ttl=60)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for step in range(400):
            number = (seed * 7 + step * 13) % 50
            if step % 10 == 0:
                function.invalidate_cache(number)
            elif step % 97 == 0:
                function.cache_clear()
            elif function(number) != [number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_cycle_of_backend_and_function_is_collected() -> None:
    class Owner(Shelf):
        function: Callable[..., Any] | None = None

    backend = Owner()
    function, _ = counted(backend=backend)
    function(1)
    backend.function = function
    gone = weakref.ref(backend), weakref.ref(function), weakref.ref(function.cache)
    del backend, function
    gc.collect()
    assert [one() for one in gone] == [None, None, None]


def test_nothing_is_left_of_calls_and_failures(shelf: Shelf) -> None:
    function, _ = counted(backend=shelf, l1_enabled=False)

    def work() -> None:
        for number in range(50):
            function(number), function(number)
            function.invalidate_cache(number)
        shelf.fail.update(get=ValueError(), set=BackendError("no"), delete=OSError())
        for number in range(2):  # fewer failures than open the circuit
            function(number)
        shelf.fail.clear()
        shelf.asked.clear()

    work()
    gc.collect()
    before = len(gc.get_objects())
    none = sys.getrefcount(None)
    for _ in range(5):
        work()
    gc.collect()
    assert len(gc.get_objects()) - before < 50
    assert abs(sys.getrefcount(None) - none) < 200


def python(code: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    prelude = """
        import sys, threading, time
        from cachekit import cache
        class Shelf:
            def __init__(self): self.entries = {}
            def get(self, key): return self.entries.get(key)
            def set(self, key, value, ttl=None): self.entries[key] = value
            def delete(self, key): return self.entries.pop(key, None) is not None
            def exists(self, key): return key in self.entries
            def health_check(self): return True, {"latency_ms": 0, "backend_type": "shelf"}
    """
    text = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=timeout, check=False)


ENDS = {
    "ordinarily": """
        f = cache(backend=Shelf())(lambda x: x)
        f(1)
    """,
    "with the function called while everything ends": """
        f = cache(backend=Shelf())(lambda x: x)
        class Late:
            def __del__(self): f(2)
        late = Late()
        sys.late = Late()
        f(1)
    """,
    "with daemon threads in the middle of a store's work": """
        class Slow(Shelf):
            def get(self, key):
                started.set()
                time.sleep(600)
        started = threading.Event()
        f = cache(backend=Slow())(lambda x: x)
        threading.Thread(target=f, args=(1,), daemon=True).start()
        started.wait()
    """,
    "with daemon threads that never stop": """
        f = cache(backend=Shelf(), l1_enabled=False)(lambda x: x)
        def loop():
            while True:
                f(1); f.invalidate_cache(1)
        for _ in range(4):
            threading.Thread(target=loop, daemon=True).start()
        time.sleep(0.2)
    """,
    "with a store that never answers an awaited call": """
        import asyncio
        class Slow(Shelf):
            def get(self, key):
                time.sleep(600)
        @cache(backend=Slow())
        async def f(x): return x
        async def main():
            try:
                await asyncio.wait_for(f(1), 0.1)
            except (TimeoutError, asyncio.TimeoutError):
                pass
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())  # closing the loop would wait for the store
    """,
    "while what was awaited is written": """
        import asyncio
        class Slow(Shelf):
            def set(self, key, value, ttl=None):
                started.set()
                time.sleep(0.5)
        started = threading.Event()
        @cache(backend=Slow())
        async def f(x): return x
        async def main():
            call = asyncio.ensure_future(f(1))
            while not started.is_set():
                await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "with a function of atexit that calls": """
        import atexit
        f = cache(backend=Shelf())(lambda x: x)
        f(1)
        atexit.register(lambda: f(2))
        sys.keep = f
    """,
}


@pytest.mark.parametrize("how", ENDS)
def test_an_interpreter_ends(how: str) -> None:
    ended = python(ENDS[how] + "\n        print('done', flush=True)\n")
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
    assert "Fatal" not in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_fork_both_processes_go_on_using_the_store() -> None:
    ended = python("""
        import os
        f = cache(backend=Shelf(), l1_enabled=False)(lambda x: x)
        f(1)
        child = os.fork()
        assert [f(1), f(2), f.cache_info().l2_hits >= 1] == [1, 2, True]
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print("done")
    """)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_in_a_sub_interpreter_a_backend_written_in_python_is_refused_with_a_word() -> None:
    ended = python("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = '''
        from cachekit import _core, cache
        from cachekit.backends._adapter import Adapter
        class Shelf:
            def get(self, key): return None
            def set(self, key, value, ttl=None): pass
            def delete(self, key): return False
        try:
            _core.Cache(None, backend=Adapter(Shelf()))
        except RuntimeError as error:
            assert "sub-interpreter" in str(error) and "FileBackend" in str(error)
        else:
            raise AssertionError
        '''
        import textwrap
        interpreter = interpreters.create()
        failure = interpreters.run_string(interpreter, textwrap.dedent(code))
        assert failure is None, failure
        interpreters.destroy(interpreter)
        print("done")
    """)
    if "No module named" in ended.stderr:
        pytest.skip("this interpreter makes no sub-interpreters")
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
