"""Results that are refreshed in the background before their lifetime ends."""

from __future__ import annotations

import contextvars
import gc
import itertools
import logging
import os
import threading
import time
import weakref
from typing import Any, Callable

import pytest

from cachekit import _refresh, cache
from cachekit._refresh import MOST_AT_ONCE
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import L1CacheConfig
from waiting import until

SOON = L1CacheConfig(swr_threshold_ratio=0.000001)
"""Stale after about a millisecond, of a lifetime of a thousand seconds."""


class Body:
    """A function that counts its runs, and stops at a gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.error: BaseException | None = None
        self.calls: list[Any] = []
        self._numbers = itertools.count(1)

    @property
    def runs(self) -> int:
        """How many have begun: what they were called with stands in `calls` by then."""
        return len(self.calls)

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        number = next(self._numbers)
        self.calls.append((args, kwargs))
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        return number


def soon(**options: Any) -> tuple[Any, Body]:
    """A function whose results are stale at once."""
    body = Body()

    @cache(**{"backend": None, "ttl": 1000, "l1": SOON, **options})
    def function(*args: Any, **kwargs: Any) -> int:
        return body(*args, **kwargs)

    return function, body


def see_refresh(function: Any, body: Body, *args: Any, **kwargs: Any) -> None:
    """Calls until a refresh has begun."""
    runs = body.runs

    def begun() -> bool:
        function(*args, **kwargs)
        return body.runs > runs

    until(begun)


@pytest.mark.parametrize("options", [{"backend": None}, {}], ids=["objects", "documents"])
def test_a_stale_hit_returns_the_old_result_and_one_thread_computes_a_new_one(options: Any) -> None:
    body = Body()

    @cache(**{"ttl": 1000, "l1": SOON, "namespace": f"refresh{bool(options)}", **options})
    def function(x: int) -> int:
        return body(x)

    assert function(1) == 1
    body.gate.clear()
    see_refresh(function, body, 1)
    assert [function(1) for _ in range(100)] == [1] * 100  # nobody waits, and nobody else computes
    assert body.runs == 2
    body.gate.set()
    until(lambda: function(1) >= 2)
    info = function.cache_info()
    assert info.misses == 1 and info.hits > 100


def test_the_thread_is_named_after_the_function_and_does_not_keep_the_program_alive() -> None:
    threads: list[threading.Thread] = []

    @cache(backend=None, ttl=1000, l1=SOON)
    def function() -> int:
        threads.append(threading.current_thread())
        return 1

    function()
    until(lambda: function() and len(threads) > 1)
    assert threads[1].name == f"{__name__}.{function.__qualname__}"
    assert threads[1].daemon


def test_the_function_sees_the_context_of_the_caller() -> None:
    variable = contextvars.ContextVar("variable", default="nothing")
    seen: list[str] = []

    @cache(backend=None, ttl=1000, l1=SOON)
    def function() -> int:
        seen.append(variable.get())
        variable.set("changed by the refresh")
        return 1

    contextvars.Context().run(function)
    variable.set("the caller's")
    until(lambda: function() and len(seen) > 1)
    assert seen[:2] == ["nothing", "the caller's"]
    assert variable.get() == "the caller's"


def test_the_arguments_are_those_of_the_call_even_when_the_caller_changes_them() -> None:
    function, body = soon()
    argument = [[1]]
    function(argument, key=argument)
    body.gate.clear()
    see_refresh(function, body, argument, key=argument)
    argument[0].append(2)
    body.gate.set()
    args, kwargs = body.calls[1]
    assert args == ([[1]],) and kwargs == {"key": [[1]]}
    assert args[0] is kwargs["key"] and args[0] is not argument


class Stubborn(os.PathLike[str]):
    """Cannot be copied; its key comes from key=."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.copies = 0

    def __deepcopy__(self, memo: Any) -> Any:
        self.copies += 1
        raise self.error

    def __fspath__(self) -> str:
        return "x"


def test_arguments_that_cannot_be_copied_are_not_refreshed(caplog: pytest.LogCaptureFixture) -> None:
    function, body = soon(key=lambda argument: "key")
    argument = Stubborn(TypeError("no"))
    assert function(argument) == 1
    with caplog.at_level(logging.DEBUG, "cachekit"):
        until(lambda: function(argument) == 1 and argument.copies > 1)  # every stale hit may try again
    assert body.runs == 1
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_a_signal_while_a_refresh_is_started_is_the_callers() -> None:
    function, body = soon(key=lambda argument: "key")
    argument = Stubborn(KeyboardInterrupt())
    assert function(argument) == 1

    def interrupted() -> bool:
        try:
            return function(argument) != 1
        except KeyboardInterrupt:
            return True

    until(interrupted)
    assert body.runs == 1
    see_refresh(function, body, "another argument of the same key")  # the ticket was given back


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration()])
def test_a_refresh_that_fails_leaves_the_result_and_the_next_hit_tries_again(
    error: BaseException, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    function, body = soon()
    assert function(1) == 1
    body.error = error
    with caplog.at_level(logging.DEBUG, "cachekit"):
        see_refresh(function, body, 1)
        see_refresh(function, body, 1)
        until(lambda: len(caplog.records) >= 2)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert "a refresh failed" in caplog.text
    body.error = None
    until(lambda: function(1) > 2)
    assert capfd.readouterr().err == ""


def test_what_was_forgotten_meanwhile_is_not_brought_back() -> None:
    function, body = soon()
    for forget in (lambda: function.invalidate_cache(1), function.cache_clear):
        function(1)
        body.gate.clear()
        see_refresh(function, body, 1)
        old = body.runs
        forget()
        body.gate.set()
        until(lambda: not _refresh._threads)
        assert function(1) > old  # computed anew


def test_at_most_some_refreshes_run_at_once() -> None:
    function, body = soon()
    keys = range(MOST_AT_ONCE + 10)
    for key in keys:
        function(key)
    body.gate.clear()
    before = body.runs
    until(lambda: sum(function(key) for key in keys) and body.runs >= before + MOST_AT_ONCE)
    for _ in range(5):
        time.sleep(0.002)
        for key in keys:
            function(key)
    assert body.runs == before + MOST_AT_ONCE
    body.gate.set()
    until(lambda: sum(function(key) for key in keys) and body.runs > before + MOST_AT_ONCE)


def test_a_refresh_that_calls_the_function_itself_does_not_wait_for_itself() -> None:
    runs: list[int] = []

    @cache(backend=None, ttl=1000, l1=SOON)
    def function(x: int) -> int:
        runs.append(x)
        if len(runs) == 2:  # the refresh
            function.invalidate_cache(x)
            return function(x) + 1
        return x

    function(5)
    until(lambda: function(5) and len(runs) > 2)
    until(lambda: not _refresh._threads)
    assert function(5) == 5


def test_after_the_end_of_its_lifetime_a_result_is_computed_by_the_caller() -> None:
    function, body = soon(ttl=0.05, l1=L1CacheConfig(swr_enabled=False))
    function(1)
    until(lambda: function(1) == 2)
    assert function.cache_info().misses == 2  # and no refresh


@pytest.mark.parametrize(
    "decorate",
    [
        cache.minimal(backend=None, ttl=1000),
        cache.test(backend=None, ttl=1000),
        cache(backend=None, ttl=None, l1=SOON),
        cache(backend=None, ttl=1000, l1=L1CacheConfig(swr_enabled=False, swr_threshold_ratio=0.000001)),
    ],
    ids=["minimal", "test", "no end", "switched off"],
)
def test_who_has_no_refreshes(decorate: Any) -> None:
    body = Body()
    function = decorate(lambda x: body(x))
    function(1)
    for _ in range(5):
        time.sleep(0.002)
        assert function(1) == 1
    assert body.runs == 1


def test_a_function_that_is_dropped_during_its_refresh_goes_afterwards() -> None:
    function, body = soon()
    function(1)
    body.gate.clear()
    see_refresh(function, body, 1)
    gone = weakref.ref(function)
    del function
    gc.collect()
    assert gone() is not None
    body.gate.set()
    until(lambda: gc.collect() >= 0 and gone() is None)  # a moment after the thread is none of ours any more


def test_a_child_process_is_not_held_up_by_refreshes_of_its_parent() -> None:
    function, body = soon()
    for key in range(MOST_AT_ONCE):
        function(key)
    body.gate.clear()
    until(lambda: sum(map(function, range(MOST_AT_ONCE))) and body.runs == 2 * MOST_AT_ONCE)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        body.gate = threading.Event()
        body.gate.set()
        try:
            see_refresh(function, body, 0)
            os.write(writing, b"refreshed")
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 100) == b"refreshed"
    os.close(reading)
    os.waitpid(child, 0)
    body.gate.set()


# ---- past the lifetime, and lifetimes that slide -----------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True])
def test_stale_ttl_serves_what_has_expired_while_it_is_computed_anew(stored: bool, tmp_path: Any) -> None:
    backend = FileBackend(FileBackendConfig(cache_dir=tmp_path)) if stored else None
    function, body = soon(ttl=0.001, stale_ttl=1000, l1=L1CacheConfig(swr_enabled=False), backend=backend)
    assert function(1) == 1
    body.gate.clear()
    until(lambda: function(1) == 1 and body.runs == 2)
    assert function(1) == 1
    body.gate.set()
    until(lambda: function(1) >= 2)


def test_without_stale_ttl_nothing_is_served_past_its_lifetime() -> None:
    function, body = soon(ttl=0.001, l1=L1CacheConfig(swr_enabled=False))
    assert function(1) == 1
    time.sleep(0.02)  # the coarse clock has moved
    assert function(1) == 2
    assert body.runs == 2


@pytest.mark.parametrize("slides", [False, True])
def test_a_hit_in_the_store_renews_the_lifetime_where_that_is_asked_for(slides: bool, tmp_path: Any) -> None:
    backend = FileBackend(FileBackendConfig(cache_dir=tmp_path))

    @cache(backend=backend, ttl=1000, l1_enabled=False, refresh_ttl_on_get=slides, ttl_refresh_threshold=1.0)
    def function(number: int) -> str:
        return "unmistakable"

    def entry() -> bytes:
        found = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return b"".join(sorted(found))

    function(1)
    before = entry()
    second = int(time.time())
    until(lambda: int(time.time()) > second + 1)  # files keep whole seconds, rounded up
    function(1)
    assert (entry() != before) is slides
    assert function.cache_info().l2_hits == 1


# ---- coroutine functions ------------------------------------------------------------------------------------------------------


def test_a_stale_hit_of_a_coroutine_function_starts_a_task() -> None:
    import asyncio

    variable = contextvars.ContextVar("variable", default="nothing")
    runs: list[str] = []

    @cache(backend=None, ttl=1000, l1=SOON)
    async def function(x: list[int]) -> int:
        number = len(runs) + 1
        runs.append(variable.get())
        await asyncio.sleep(0)
        return number

    async def main() -> None:
        assert await function([1]) == 1
        variable.set("the caller's")
        while await function([1]) < 2:
            await asyncio.sleep(0.001)
        assert runs[1] == "the caller's"

    asyncio.run(main())
    assert function.cache_info().misses == 1


def test_a_task_that_its_loop_abandons_gives_the_ticket_back(capfd: pytest.CaptureFixture[str]) -> None:
    import asyncio

    runs: list[int] = []

    @cache(backend=None, ttl=1000, l1=SOON)
    async def function() -> int:
        runs.append(1)
        if len(runs) == 2:
            await asyncio.sleep(3600)
        return len(runs)

    async def main(most: int) -> None:
        while len(runs) < most:
            await function()
            await asyncio.sleep(0.001)

    asyncio.run(main(2))  # cancels the refresh
    asyncio.run(main(3))
    assert capfd.readouterr().err == ""
