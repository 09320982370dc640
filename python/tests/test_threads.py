"""Threads: one computation for each key, whatever happens to the thread that computes, and nobody is kept from running."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from typing import Any, Callable, Iterator

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig
from waiting import until


@pytest.fixture(params=["objects", "files"])
def decorate(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    if request.param == "objects":
        return cache(backend=None)
    return cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")))


class Outcome:
    """What a call in a thread of its own came to."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self.thread.start()

    def _run(self, function: Callable[..., Any], args: Any) -> None:
        try:
            self.result = function(*args)
        except BaseException as error:
            self.error = error

    def __call__(self) -> Any:
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


def waiting(function: Any, count: int) -> None:
    """Until so many calls wait for another one of their key."""
    until(lambda: function.cache.stats()["flight_waits"] >= count)


def test_eight_threads_and_one_cold_key_run_the_function_once(decorate: Any) -> None:
    runs: list[int] = []
    gate = threading.Event()

    @decorate
    def function(x: int) -> list[int]:
        runs.append(x)
        assert gate.wait(60)
        return [x]

    before = function.cache.stats()["flight_waits"]
    calls = [Outcome(function, 5) for _ in range(8)]
    waiting(function, before + 7)
    gate.set()
    assert [call() for call in calls] == [[5]] * 8
    assert runs == [5]


def test_many_threads_and_many_keys(decorate: Any) -> None:
    runs: list[int] = []

    @decorate
    def function(x: int) -> int:
        runs.append(x)
        return x * 2

    start = threading.Barrier(8)

    def work() -> list[int]:
        start.wait(60)
        return [function(number) for number in range(200)]

    calls = [Outcome(work) for _ in range(8)]
    for call in calls:
        assert call() == [number * 2 for number in range(200)]
    assert sorted(runs) == list(range(200))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_follower_takes_over_from_a_leader_that_fails_and_only_that_one_is_told(
    decorate: Any, error: type[BaseException]
) -> None:
    gate = threading.Event()
    runs: list[int] = []

    @decorate
    def function(x: int) -> int:
        runs.append(x)
        if len(runs) == 1:
            assert gate.wait(60)
            raise error("the first one")
        return len(runs)

    leader = Outcome(function, 1)
    until(lambda: runs)
    before = function.cache.stats()["flight_waits"]
    followers = [Outcome(function, 1) for _ in range(4)]
    waiting(function, before + 4)
    gate.set()
    with pytest.raises(error, match="the first one"):
        leader()
    assert [follower() for follower in followers] == [2] * 4
    assert len(runs) == 2


def test_a_result_that_nobody_can_store_is_computed_by_each(tmp_path: Any) -> None:
    gate = threading.Event()
    runs: list[int] = []

    @cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")))
    def function(x: int) -> object:
        runs.append(x)
        assert gate.wait(60)
        return object()

    calls = [Outcome(function, 1) for _ in range(4)]
    waiting(function, 3)
    gate.set()
    assert len({id(call()) for call in calls}) == len(runs) == 4


def test_other_threads_run_while_a_call_waits(decorate: Any) -> None:
    inside, seen = threading.Event(), threading.Event()

    @decorate
    def function(x: int) -> int:
        inside.set()
        assert seen.wait(60)  # by a thread that has to run meanwhile, also while another one waits for this call
        return x

    leader = Outcome(function, 1)
    assert inside.wait(60)
    before = function.cache.stats()["flight_waits"]
    follower = Outcome(function, 1)
    waiting(function, before + 1)
    other = Outcome(function.__wrapped__, 2)
    seen.set()
    assert [leader(), follower(), other()] == [1, 1, 2]


def test_other_keys_and_other_functions_do_not_wait(decorate: Any) -> None:
    inside, gate = threading.Event(), threading.Event()

    @decorate
    def function(x: int) -> int:
        if x == 1:
            inside.set()
            assert gate.wait(60)
        return x

    @decorate
    def other(x: int) -> int:
        return function(x) + 1

    slow = Outcome(function, 1)
    assert inside.wait(60)
    assert [function(2), other(2), function(2)] == [2, 3, 2]
    gate.set()
    assert slow() == 1


def test_who_invalidates_during_a_computation_gets_a_new_one(decorate: Any) -> None:
    inside, gate = threading.Event(), threading.Event()
    data = ["old"]

    @decorate
    def function() -> str:
        found = data[0]
        if found == "old":
            inside.set()
            assert gate.wait(60)
        return found

    slow = Outcome(function)
    assert inside.wait(60)
    data[0] = "new"
    function.invalidate_cache()
    assert function() == "new"
    gate.set()
    assert slow() == "old"
    assert function() == "new"


def test_clearing_and_calling_at_once(decorate: Any) -> None:
    stop = threading.Event()

    @decorate
    def function(x: int) -> list[int]:
        return [x]

    def work() -> int:
        number = 0
        while not stop.is_set():
            assert function(number % 50) == [number % 50]
            number += 1
        return number

    calls = [Outcome(work) for _ in range(4)]
    for number in range(200):
        function.invalidate_cache(number % 50)
        if number % 20 == 0:
            function.cache_clear()
            gc.collect()
        function.cache_info(), function.get_health_status()
    stop.set()
    assert all(call() > 0 for call in calls)


def test_threads_that_end_leave_their_results() -> None:
    @cache(backend=None)
    def function(x: int) -> list[int]:
        return [x]

    first = [Outcome(function, number)() for number in range(300)]
    assert all(Outcome(function, number)() is first[number] for number in range(300))


def test_functions_are_decorated_and_dropped_in_many_threads() -> None:
    def work() -> None:
        for number in range(50):

            @cache(backend=None)
            def function(x: int) -> list[int]:
                return [x, number]

            assert function(1) is function(1)
            assert function(1) == [1, number]

    for call in [Outcome(work) for _ in range(8)]:
        call()


# ---- what Python switches to in between ----------------------------------------------------------------------------------


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def collecting() -> Iterator[None]:
    """The collector runs whenever it can, and lets other threads go on."""
    before = gc.get_threshold()

    def dawdle(phase: str, info: dict[str, int]) -> None:
        time.sleep(0.0005)

    gc.callbacks.append(dawdle)
    gc.set_threshold(1, 100000, 100000)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(dawdle)


def test_a_local_function_runs_once_for_a_key_whatever_the_collector_does(collecting: None) -> None:
    for _ in range(20):
        runs: list[int] = []
        start = threading.Barrier(4)

        @cache.local
        def function(x: int) -> list[int]:
            runs.append(x)
            time.sleep(0.003)  # so long the others may come
            return [x]

        def work() -> list[int]:
            start.wait(60)
            return function(1)

        assert [call() for call in [Outcome(work) for _ in range(4)]] == [[1]] * 4
        assert runs == [1]


def test_a_local_coroutine_function_is_awaited_in_several_loops_at_once(restless: None) -> None:
    @cache.local
    async def function(x: int) -> list[int]:
        await asyncio.sleep(0)
        return [x]

    async def calls() -> None:
        for _ in range(20):
            function.cache_clear()
            wanted = [[number % 40] for number in range(400)]
            assert await asyncio.gather(*(function(number % 40) for number in range(400))) == wanted

    def work() -> None:
        asyncio.run(calls())

    for call in [Outcome(work) for _ in range(3)]:
        call()


# ---- signals -------------------------------------------------------------------------------------------------------------


def test_ctrl_c_is_heard_while_another_thread_computes() -> None:
    started, go_on = threading.Event(), threading.Event()

    @cache(backend=None)
    def function(number: int) -> int:
        started.set()
        assert go_on.wait(60)
        return number

    other = threading.Thread(target=function, args=(1,))
    other.start()
    assert started.wait(60)
    signals = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
    signals.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            function(1)
        assert not go_on.is_set()
    finally:
        go_on.set()
        other.join()
        signals.join()
    assert function(1) == 1
    assert function.cache_info().misses == 1
