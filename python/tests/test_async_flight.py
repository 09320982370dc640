"""Coroutine functions under one key at once: one computation, cancellation, loops in several threads, the end of a loop,
child processes. Stores are gates here: they answer when a test lets them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import cachekit
from cachekit import cache
from cachekit._core import Cache, CachedFunction
from shelves import Shelf

PATIENCE_S = 60.0


class Store(Shelf):
    """Each operation waits for its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = {name: threading.Event() for name in ("get", "set", "delete")}
        self.reached = {name: threading.Event() for name in ("get", "set", "delete")}
        for gate in self.gates.values():
            gate.set()

    def _pass(self, name: str) -> None:
        self.reached[name].set()
        assert self.gates[name].wait(PATIENCE_S)

    def close(self, name: str) -> None:
        self.gates[name].clear()
        self.reached[name].clear()

    def get(self, key: str) -> bytes | None:
        self._pass("get")
        return super().get(key)

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        self._pass("set")
        super().set(key, value, ttl)

    def delete(self, key: str) -> bool:
        self._pass("delete")
        return super().delete(key)


def run(main: Any) -> Any:
    return asyncio.run(asyncio.wait_for(main, PATIENCE_S))


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


class Body:
    """A coroutine function that goes on when it is let."""

    def __init__(self, **options: Any) -> None:
        self.started: list[Any] = []
        self.ended: list[Any] = []
        self.gates: list[asyncio.Event] = []
        self.cached: Any = cache(**{"backend": None, "ttl": 600, "namespace": f"body {id(self)}", **options})(self.make())

    def make(self) -> Any:
        async def function(*args: Any) -> Any:
            gate = asyncio.Event()
            self.gates.append(gate)
            self.started.append(args)
            try:
                await gate.wait()
            finally:
                self.ended.append(args)
            return [len(self.started), *args]

        return function


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=["memory", "store"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"backend": None if request.param == "memory" else Store()}


# ---- one computation ------------------------------------------------------------------------------------------------


def test_many_callers_of_a_cold_key_run_the_function_once(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main() -> None:
        tasks = [asyncio.ensure_future(body.cached(1)) for _ in range(100)]
        await until(lambda: body.started)
        body.gates[0].set()
        assert await asyncio.gather(*tasks) == [[1, 1]] * 100
        assert len(body.started) == 1

    run(main())
    info = body.cached.cache_info()
    assert info.misses == 1


def test_different_keys_are_computed_at_the_same_time(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main() -> None:
        tasks = [asyncio.ensure_future(body.cached(n)) for n in range(50)]
        await until(lambda: len(body.started) == 50)
        for gate in body.gates:
            gate.set()
        assert [result[1] for result in await asyncio.gather(*tasks)] == list(range(50))

    run(main())


def test_the_loop_goes_on_while_the_store_is_slow() -> None:
    store = Store()
    body = Body(backend=store)

    async def main() -> None:
        for name in ("get", "set"):
            store.close(name)
        task = asyncio.ensure_future(body.cached(1))
        await until(store.reached["get"].is_set)
        assert not body.started  # and this has run meanwhile
        store.gates["get"].set()
        await until(lambda: body.started)
        body.gates[0].set()
        await until(store.reached["set"].is_set)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()  # the caller has its result when the store has it
        store.gates["set"].set()
        assert await task == [1, 1]
        assert len(store.entries) == 1

        store.close("delete")
        task = asyncio.ensure_future(body.cached.invalidate_cache(1))
        await until(store.reached["delete"].is_set)
        assert not task.done()
        store.gates["delete"].set()
        await task
        assert not store.entries

    run(main())


# ---- failures and cancellation -----------------------------------------------------------------------------------------


def test_when_the_function_fails_a_follower_takes_over(options: dict[str, Any]) -> None:
    runs = []

    @cache(namespace="failing leader", **options)
    async def function(x: int) -> int:
        runs.append(x)
        number = len(runs)
        await asyncio.sleep(0.01)
        if number < 3:
            raise KeyError(number)
        return number

    async def main() -> None:
        results = await asyncio.gather(*(function(1) for _ in range(5)), return_exceptions=True)
        assert [repr(result) for result in results] == ["KeyError(1)", "KeyError(2)", "3", "3", "3"]

    run(main())
    assert len(runs) == 3


@pytest.mark.parametrize("error", [asyncio.CancelledError, None])
def test_when_the_leader_is_cancelled_a_follower_takes_over(options: dict[str, Any], error: Any) -> None:
    body = Body(**options)

    async def main() -> None:
        leader = asyncio.ensure_future(body.cached(1))
        await until(lambda: body.started)
        followers = [asyncio.ensure_future(body.cached(1)) for _ in range(3)]
        await asyncio.sleep(0.01)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:  # with all its frames, as long as somebody has it
            await leader
        assert body.ended == [(1,)]
        await until(lambda: len(body.started) == 2)
        body.gates[1].set()
        assert await asyncio.gather(*followers) == [[2, 1]] * 3
        assert await body.cached(1) == [2, 1]
        del kept

    run(main())


def test_a_cancelled_follower_only_leaves(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main() -> None:
        leader = asyncio.ensure_future(body.cached(1))
        await until(lambda: body.started)
        followers = [asyncio.ensure_future(body.cached(1)) for _ in range(3)]
        await asyncio.sleep(0.01)
        followers[1].cancel()
        body.gates[0].set()
        results = await asyncio.gather(leader, *followers, return_exceptions=True)
        assert [results[0], results[1], results[3]] == [[1, 1]] * 3
        assert isinstance(results[2], asyncio.CancelledError)
        assert len(body.started) == 1

    run(main())


def test_everybody_cancelled_leaves_nothing_behind(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main() -> None:
        tasks = [asyncio.ensure_future(body.cached(1)) for _ in range(20)]
        await until(lambda: body.started)
        for task in tasks:
            task.cancel()
        assert all(isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*tasks, return_exceptions=True))
        again = asyncio.ensure_future(body.cached(1))
        await until(lambda: not body.gates[-1].is_set() and len(body.started) > len(body.ended))
        body.gates[-1].set()
        assert (await again)[1:] == [1]

    run(main())


def test_cancelled_while_the_store_is_asked() -> None:
    store = Store()
    body = Body(backend=store)

    async def main() -> None:
        store.close("get")
        leader = asyncio.ensure_future(body.cached(1))
        await until(store.reached["get"].is_set)
        follower = asyncio.ensure_future(body.cached(1))
        await asyncio.sleep(0.01)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        store.gates["get"].set()
        await until(lambda: body.started)
        body.gates[0].set()
        assert await follower == [1, 1]

    run(main())


def test_a_result_on_its_way_to_the_store_arrives_without_its_caller() -> None:
    store = Store()
    body = Body(backend=store)

    async def main() -> None:
        store.close("set")
        task = asyncio.ensure_future(body.cached(1))
        await until(lambda: body.started)
        body.gates[0].set()
        await until(store.reached["set"].is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        store.gates["set"].set()
        assert await body.cached(1) == [1, 1]
        assert len(store.entries) == 1 and len(body.started) == 1

    run(main())


def test_a_result_on_its_way_to_the_store_arrives_after_the_end_of_the_loop() -> None:
    store = Store()
    body = Body(backend=store)

    async def main() -> None:
        store.close("set")
        task = asyncio.ensure_future(body.cached(1))
        await until(lambda: body.started)
        body.gates[0].set()
        await until(store.reached["set"].is_set)
        threading.Timer(0.05, store.gates["set"].set).start()
        task.cancel()

    run(main())
    gc.collect()
    assert len(store.entries) == 1


def test_wait_for_gives_up_in_time(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main() -> None:
        hasty = asyncio.ensure_future(body.cached(1))
        await until(lambda: body.started)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(hasty, 0.01)
        task = asyncio.ensure_future(body.cached(1))
        await until(lambda: len(body.started) == 2)
        body.gates[1].set()
        assert await task == [2, 1]

    run(main())


def test_a_coroutine_that_is_closed_or_dropped_hands_its_key_over(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main() -> None:
        for end in ("close", "drop"):
            call = body.cached(end)
            future = call.send(None)  # by hand, as far as it goes
            while not body.started or body.started[-1] != (end,):
                future.remove_done_callback(print)
                await asyncio.wait([future])
                future = call.send(None)
            task = asyncio.ensure_future(body.cached(end))
            await asyncio.sleep(0.01)
            if end == "close":
                call.close()
            del call, future
            gc.collect()
            await until(lambda: body.started.count((end,)) == 2)
            body.gates[-1].set()
            assert (await task)[1:] == [end]

    run(main())


def test_an_invalidation_meanwhile_counts(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main() -> None:
        task = asyncio.ensure_future(body.cached(1))
        await until(lambda: body.started)
        await body.cached.invalidate_cache(1)
        body.gates[0].set()
        assert await task == [1, 1]
        task = asyncio.ensure_future(body.cached(1))
        await until(lambda: len(body.started) == 2)
        body.gates[1].set()
        assert await task == [2, 1]

    run(main())


# ---- loops and threads --------------------------------------------------------------------------------------------------


def test_loops_in_several_threads_share_one_computation(options: dict[str, Any]) -> None:
    runs = []
    arrived = threading.Barrier(4)

    @cache(namespace="loops in threads", **options)
    async def function(x: int) -> int:
        runs.append(x)
        await asyncio.sleep(0.05)
        return x

    async def main() -> None:
        arrived.wait(PATIENCE_S)
        for x in range(20):
            results.append(await asyncio.gather(*(function(x) for _ in range(5))))

    results: list[Any] = []
    threads = [threading.Thread(target=run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(runs) == list(range(20))
    assert len(results) == 80 and all(len(set(result)) == 1 for result in results)


def test_a_blocking_caller_waits_for_a_task_and_takes_over_from_it() -> None:
    """Functions of one name and cache share their calls."""
    shared = Cache("memory:")
    runs: list[str] = []
    started, answered = threading.Event(), threading.Event()

    async def awaited(x: int) -> str:
        runs.append("task")
        started.set()
        await asyncio.sleep(PATIENCE_S if x == 2 else 0.05)
        return "task"

    def plain(x: int) -> str:
        runs.append("thread")
        return "thread"

    from cachekit._async import miss

    one = CachedFunction(shared, awaited, "shared name", miss=miss)
    other = CachedFunction(shared, plain, "shared name")
    answers: list[str] = []

    def block(x: int) -> None:
        started.wait(PATIENCE_S)
        answers.append(other(x))
        answered.set()

    async def main(x: int) -> None:
        started.clear()
        answered.clear()
        thread = threading.Thread(target=block, args=(x,))
        thread.start()
        task = asyncio.ensure_future(one(x))
        if x == 2:
            await until(started.is_set)
            await asyncio.sleep(0.02)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(answered.is_set)
        thread.join()

    run(main(1))
    assert answers == ["task"] and runs == ["task"]
    run(main(2))
    assert answers == ["task", "thread"] and runs == ["task", "task", "thread"]

    async def in_the_loops_own_thread() -> None:
        task = asyncio.ensure_future(one(3))
        await until(lambda: len(runs) == 4)
        assert other(3) == "thread"  # waiting here would stop the task
        assert await task == "task"

    run(in_the_loops_own_thread())


def test_loops_that_come_and_go_leave_no_descriptors(options: dict[str, Any]) -> None:
    body = Body(**options)

    async def main(x: int) -> None:
        task = asyncio.ensure_future(body.cached(x))
        await until(lambda: len(body.started) == x)
        body.gates[-1].set()
        await task

    run(main(1))
    gc.collect()
    before = descriptors()
    for x in range(2, 12):
        run(main(x))
        assert descriptors() <= before + 1
    gc.collect()
    assert descriptors() <= before


def test_a_loop_closed_over_calls_in_flight(options: dict[str, Any]) -> None:
    body = Body(**options)
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(body.cached(1)) for _ in range(3)]
    loop.run_until_complete(until(lambda: body.started))
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    del tasks, task, loop
    gc.collect()

    async def main() -> None:
        task = asyncio.ensure_future(body.cached(1))
        await until(lambda: len(body.started) == 2)
        body.gates[-1].set()
        assert await task == [2, 1]

    run(main())


def test_a_loop_may_be_stopped_and_go_on(options: dict[str, Any]) -> None:
    body = Body(**options)
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(body.cached(1))
        loop.run_until_complete(until(lambda: body.started))
        body.gates[0].set()
        assert loop.run_until_complete(task) == [1, 1]
        assert loop.run_until_complete(body.cached(1)) == [1, 1]
    finally:
        loop.close()


def test_a_dropped_function_with_calls_in_flight() -> None:
    store = Store()

    async def main() -> None:
        store.close("get")
        body = Body(backend=store)
        task = asyncio.ensure_future(body.cached(1))
        await until(store.reached["get"].is_set)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        threading.Timer(0.05, store.gates["get"].set).start()
        del body, task
        gc.collect()

    run(main())


def test_a_store_that_fails_is_not_the_callers_concern() -> None:
    class Broken(Store):
        def get(self, key: str) -> bytes | None:
            raise OSError("no")

        def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
            raise OSError("no")

    runs = []

    @cache(backend=Broken())
    async def function(x: int) -> int:
        runs.append(x)
        return x

    async def main() -> None:
        assert [await function(1), await function(1)] == [1, 1]  # from memory the second time

    run(main())
    assert runs == [1]


# ---- processes --------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("where", ["between loops", "in a loop with calls in flight"])
def test_a_forked_child_has_loops_of_its_own(where: str, options: dict[str, Any]) -> None:
    body = Body(**options)

    async def one(x: int) -> list[Any]:
        task = asyncio.ensure_future(body.cached(x))
        await until(lambda: (x,) in body.started)
        body.gates[-1].set()
        return await task

    def fork() -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(int(PATIENCE_S))
                asyncio.events._set_running_loop(None)
                code = 0 if run(one(3))[1:] == [3] else 2
                gc.collect()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    async def main() -> None:
        await one(1)
        if where != "between loops":
            task = asyncio.ensure_future(body.cached(2))
            await until(lambda: (2,) in body.started)
            fork()
            body.gates[-1].set()
            assert (await task)[1:] == [2]

    run(main())
    if where == "between loops":
        fork()
    assert run(one(4))[1:] == [4]


CODE = """
import asyncio, sys
from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig

@cache(backend=FileBackend(FileBackendConfig(cache_dir=sys.argv[1])), ttl=60)
async def function(x):
    {body}
    return x

async def main():
    task = asyncio.ensure_future(function(1))
    await asyncio.sleep(0.05)
    {main}

{run}
print("over")
"""


@pytest.mark.parametrize(
    "body, main, run",
    [
        ("await asyncio.sleep(0)", "await task", "asyncio.run(main())"),
        ("await asyncio.sleep(0)", "pass", "asyncio.run(main())"),
        ("await asyncio.sleep(100)", "pass", "asyncio.run(main())"),
        ("await asyncio.sleep(100)", "pass", "loop = asyncio.new_event_loop(); loop.run_until_complete(main())"),
        ("await asyncio.sleep(100)", "sys.exit()", "asyncio.run(main())"),
    ],
)
def test_a_program_ends_with_calls_in_flight(body: str, main: str, run: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CODE.format(body=body, main=main, run=run), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(Path(cachekit.__file__).parents[1])},
    )
    assert ended.returncode == 0, ended.stderr
    assert "Fatal" not in ended.stderr and ("over" in ended.stdout or main == "sys.exit()")
