"""Limits of functions hold for batches: `get_many` of plain and of coroutine functions."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

import cachekit._limits as limits
import cachekit._many as many
from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.errors import FunctionTimeoutError
from slow import NO_SWR, Slow, patiently, slow
from waiting import until

__all__ = ["slow"]

PLACES = pytest.mark.parametrize("place", ["memory", "store"])


def backend_of(place: str, path: Path) -> Any:
    return None if place == "memory" else FileBackend(FileBackendConfig(cache_dir=path / "store"))


@PLACES
def test_after_the_soft_limit_older_results_are_returned_and_the_new_ones_are_kept(
    slow: Callable[..., Slow], tmp_path: Path, place: str
) -> None:
    f = slow(ttl=3, fail_safe=1000, soft_limit=0.001, backend=backend_of(place, tmp_path), key=str)
    assert f.many([1, 2]) == [1, 2]  # past the limit without an older result: it waits on

    def are_kept() -> bool:  # their caller may have them before
        hits = f.function.cache_info().l1_hits
        assert f.many([1, 2]) == [1, 2]
        return f.function.cache_info().l1_hits == hits + 2

    until(are_kept)
    time.sleep(3.1 if place == "memory" else 4.5)  # files live for whole seconds
    f.gate.clear()
    assert f.many([1, 2, 1]) == [1, 2, 1]
    assert f.many([2, 1]) == [2, 1]
    assert f.counted()["soft_limits"] == 5
    f.gate.set()
    until(lambda: f.counted()["computed"] == 4)
    until(lambda: sorted(f.many([1, 2])) == [3, 4])
    assert sorted(f.runs) == [1, 1, 2, 2]
    assert f.counted()["hard_limits"] == 0


@PLACES
def test_after_the_hard_limit_what_is_left_fails_and_the_results_are_kept(
    slow: Callable[..., Slow], tmp_path: Path, place: str
) -> None:
    f = slow(hard_limit=0.02, backend=backend_of(place, tmp_path), key=str)
    assert patiently(f, 1) == 1
    before = f.counted()["hard_limits"]
    f.gate.clear()
    results = f.many([1, 2, 3, 2], return_exceptions=True)
    assert results[0] == 1
    for error in results[1:]:
        assert isinstance(error, FunctionTimeoutError)
        assert error.code == "E121"
        assert str(error).endswith("took longer than its limit of 0.02 s")
    with pytest.raises(FunctionTimeoutError, match=r"^slow\..*took longer than its limit of 0.02 s$"):
        f.many([1, 2])  # which waits for the batch that is under way
    assert f.counted()["hard_limits"] - before == 4
    f.gate.set()
    until(lambda: f.counted()["computed"] == 3)
    until(lambda: f.many([1, 2, 3], return_exceptions=True) == [1, 2, 3])
    assert f.runs == [1, 2, 3]
    counted = f.counted()
    assert (counted["soft_limits"], counted["function_errors"], counted["uncached"]) == (0, 0, 0)


def test_after_the_hard_limit_older_results_are_returned_where_there_are_some(slow: Callable[..., Slow]) -> None:
    f = slow(ttl=0.001, fail_safe=1000, hard_limit=0.02)
    patiently(f, 1)
    until(lambda: f.is_kept() and f.counted()["computed"] == len(f.runs))  # on a slow machine more than one run
    older = len(f.runs)
    time.sleep(0.02)
    f.gate.clear()
    results = f.many([2, 1], return_exceptions=True)
    assert isinstance(results[0], FunctionTimeoutError)
    assert results[1] == older


def test_within_its_limits_a_batch_is_as_any_other(slow: Callable[..., Slow]) -> None:
    f = slow(ttl=0.001, fail_safe=1000, soft_limit=30, hard_limit=60)
    assert f.many([1, 2, 1]) == [1, 2, 1]
    assert f.many([]) == []
    f.error = KeyError("no")
    with pytest.raises(KeyError, match="no"):
        f.many([3])
    time.sleep(0.02)
    results = f.many([1, 4], return_exceptions=True)
    assert results[0] == 1  # stands in for the failure
    assert results[1] is f.error
    with pytest.raises(ValueError, match="1 results for 2 calls"):
        f.many([5, 6], lambda missing: [0])
    assert f.many([7, 8], lambda missing: {7: 70, 8: 80}) == [70, 80]
    counted = f.counted()
    assert (counted["soft_limits"], counted["hard_limits"], counted["fail_safe_served"]) == (0, 0, 1)


def test_a_failure_after_the_caller_has_gone_is_logged_and_the_next_call_runs_again(
    slow: Callable[..., Slow], caplog: pytest.LogCaptureFixture
) -> None:
    f = slow(hard_limit=0.02)
    f.gate.clear()
    f.error = KeyError("late")
    with caplog.at_level(logging.INFO, "cachekit"):
        with pytest.raises(FunctionTimeoutError):
            f.many([1, 2])
        f.gate.set()
        until(lambda: "failed after its caller had gone" in caplog.text)
    assert "KeyError" in caplog.text
    f.error = None
    patiently(f, 1)


def test_limits_hold_while_another_process_runs_the_function(slow: Callable[..., Slow], tmp_path: Path) -> None:
    first = slow(backend=backend_of("store", tmp_path), key=str)
    second = slow(backend=backend_of("store", tmp_path), key=str, hard_limit=0.05)
    patiently(second, 7)
    first.gate.clear()
    runner = threading.Thread(target=first, args=(1,))
    runner.start()
    until(lambda: first.runs)
    results = second.many([7, 1], return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], FunctionTimeoutError)
    assert second.runs == [7]
    first.gate.set()
    runner.join(60)
    until(lambda: second.many([7, 1], return_exceptions=True) == [1, 1])


def test_a_plain_loader_runs_in_a_thread_with_its_caller_s_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[Any] = []

    @cache(backend=None, hard_limit=60)
    def f(n: int) -> int:
        return n

    def load(missing: list[int]) -> list[int]:
        seen.append((variable.get(), threading.current_thread()))
        return missing

    variable.set("the caller's")
    assert f.get_many([1, 2], load) == [1, 2]
    (value, thread), = seen
    assert value == "the caller's"
    assert thread is not threading.current_thread()


def test_what_memory_has_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    @cache(backend=None, hard_limit=0.05)
    def f(n: int) -> threading.Thread:
        return threading.current_thread()

    until(lambda: isinstance(f.get_many([1], return_exceptions=True)[0], threading.Thread))
    monkeypatch.setattr(limits, "_places", threading.Semaphore(0))
    assert f.get_many([1, 1]) == [f(1), f(1)]
    results = f.get_many([1, 2], return_exceptions=True)
    assert results[0] is f(1)
    assert isinstance(results[1], FunctionTimeoutError)


def test_a_loader_that_asks_for_what_it_loads_does_not_wait_for_itself() -> None:
    @cache(backend=None, hard_limit=60)
    def f(n: int) -> int:
        return n * 10

    def load(missing: list[int]) -> list[int]:
        return [f(n) for n in missing] if len(missing) > 1 else f.get_many(missing, lambda more: [n * 10 for n in more])

    assert f.get_many([1, 2], load) == [10, 20]
    assert f.get_many([3], load) == [30]


def test_a_plain_function_that_is_awaited_has_its_limits() -> None:
    gate = threading.Event()

    @cache(backend=None, hard_limit=0.02, l1=NO_SWR)
    def f(n: int) -> int:
        gate.wait()
        return n

    async def main() -> None:
        with pytest.raises(FunctionTimeoutError):
            await f.aget_many([1, 2])
        gate.set()
        while f.counters()["computed"] < 2:
            await asyncio.sleep(0.001)

    asyncio.run(main())
    assert f.get_many([1, 2]) == [1, 2]


def test_a_batch_that_is_cancelled_is_given_up() -> None:
    begun: list[int] = []

    @cache(backend=None, hard_limit=60)
    async def f(n: int) -> int:
        begun.append(n)
        await asyncio.sleep(3600 if len(begun) == 1 else 0)
        return n

    async def main() -> None:
        task = asyncio.ensure_future(f.get_many([1]))
        while not begun:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(f(1), 30) == 1

    asyncio.run(main())


# ---- calls of many tenants -------------------------------------------------------------------------------------------

KEY = "0123456789abcdef" * 4
LIMIT = 3600


class Shared:
    """A function of tenants and a loader of batches. By the clock that says what is left of a limit for the next tenant its
    first run takes longer than that. What is loaded after it is held up until the batch has returned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, awaited: bool, **keywords: Any) -> None:
        self.now = 0.0
        self.returned = threading.Event()
        self.loads: list[list[Any]] = []
        self.awaited = awaited
        monkeypatch.setattr(many, "time", SimpleNamespace(monotonic=lambda: self.now))

        @cache.secure(
            master_key=KEY, backend=None, namespace="shared", tenant_extractor=lambda n, tenant: tenant, **keywords
        )
        def f(n: int, tenant: str) -> int:
            return n

        self.function: Any = f

    def load(self, missing: list[Any]) -> list[int]:
        self.loads.append(missing)
        if len(self.loads) > 1:
            self.returned.wait()
        self.now += LIMIT + 1
        return [0 if isinstance(call, int) else call[0] for call in missing]

    def many(self, calls: list[Any]) -> list[Any]:
        async def whole() -> list[Any]:
            try:
                return await self.function.aget_many(calls, self.load, return_exceptions=True)
            finally:
                self.returned.set()  # before the loop ends, which waits for its threads

        if self.awaited:
            return asyncio.run(whole())
        try:
            return self.function.get_many(calls, self.load, return_exceptions=True)
        finally:
            self.returned.set()


AWAITED = pytest.mark.parametrize("awaited", [False, True], ids=["plain", "awaited"])


@AWAITED
def test_the_hard_limit_is_that_of_all_tenants_calls_together(monkeypatch: pytest.MonkeyPatch, awaited: bool) -> None:
    shared = Shared(monkeypatch, awaited, hard_limit=LIMIT)
    first, second = shared.many([(1, "a"), (2, "b")])
    assert first == 1
    assert isinstance(second, FunctionTimeoutError)
    if not awaited:  # there the loop has ended
        until(lambda: shared.loads == [[(1, "a")], [(2, "b")]])


@AWAITED
def test_what_memory_has_of_later_tenants_is_returned_past_the_limit(
    monkeypatch: pytest.MonkeyPatch, awaited: bool
) -> None:
    shared = Shared(monkeypatch, awaited, hard_limit=LIMIT)
    assert shared.function(2, "b") == 2
    assert shared.many([(1, "a"), (2, "b")]) == [1, 2]
    assert shared.loads == [[(1, "a")]]


@AWAITED
def test_it_is_that_of_calls_whose_tenant_cannot_be_told_too(monkeypatch: pytest.MonkeyPatch, awaited: bool) -> None:
    shared = Shared(monkeypatch, awaited, hard_limit=LIMIT)
    first, second = shared.many([1, (1, "a")])
    assert isinstance(first, FunctionTimeoutError)
    assert second == 1


@AWAITED
def test_within_the_limit_calls_of_tenants_that_cannot_be_told_are_loaded(
    monkeypatch: pytest.MonkeyPatch, awaited: bool
) -> None:
    shared = Shared(monkeypatch, awaited, hard_limit=LIMIT)
    assert shared.many([3]) == [0]
    assert shared.function.counters()["uncached"] == 1
