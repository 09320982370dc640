"""Coroutine functions in other event loops than asyncio's own."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachekit._told._warned", {})


@pytest.fixture(params=["memory", "files"])
def options(request: pytest.FixtureRequest, tmp_path: Any) -> dict[str, Any]:
    if request.param == "memory":
        return {"backend": None}
    return {"backend": FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))}


def counting(sleep: Any, **options: Any) -> tuple[Any, list[int]]:
    runs: list[int] = []

    @cache(ttl=60, **options)
    async def function(x: int) -> list[int]:
        runs.append(x)
        await sleep(0.01)
        if x < 0:
            raise ValueError(x)
        return [x]

    return function, runs


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_uvloop(options: dict[str, Any]) -> None:
    uvloop = pytest.importorskip("uvloop")
    function, runs = counting(asyncio.sleep, namespace="uvloop", **options)

    async def main(x: int) -> None:
        assert await asyncio.gather(*(function(x) for _ in range(20))) == [[x]] * 20
        tasks = [asyncio.ensure_future(function(-x)) for _ in range(3)]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError, ValueError, ValueError]
        await function.invalidate_cache(x)
        assert await asyncio.create_task(function(x)) == [x]
        assert (await function.check_health())["status"] == "healthy"

    def once(x: int) -> None:
        runs.clear()
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(main(x))
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
        assert runs == [x, -x, -x, -x, x]

    once(1)
    gc.collect()
    before = descriptors()
    for x in range(2, 8):
        once(x)
    gc.collect()
    assert descriptors() <= before


def test_anyio_on_asyncio(options: dict[str, Any]) -> None:
    anyio = pytest.importorskip("anyio")
    function, runs = counting(anyio.sleep, namespace="anyio", **options)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(function, 1)
        assert runs == [1] and await function(1) == [1]
        with anyio.move_on_after(0.001) as scope:
            await function(2)
        assert scope.cancelled_caught and await function(2) == [2]
        async with anyio.create_task_group() as group:
            group.start_soon(function, 1)
            group.start_soon(function, 3)
            group.cancel_scope.cancel()
        assert await function(3) == [3]

    anyio.run(main, backend="asyncio")


def test_trio_has_what_is_in_memory(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    trio = pytest.importorskip("trio")
    function, runs = counting(trio.sleep, namespace="trio", **options)
    kept, more = counting(asyncio.sleep, namespace="kept", **options)
    asyncio.run(kept(1))

    async def main() -> None:
        assert await function(1) == [1] and await function(1) == [1]
        with pytest.raises(ValueError):
            await function(-1)
        assert await kept(1) == [1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kept, 1)
            nursery.start_soon(function, 1)
        await function.ainvalidate_cache(1)
        assert (await function.check_health())["status"] == "healthy"

    trio.run(main)
    assert trio.run(kept, 1) == [1]
    assert runs == [1, 1, -1, 1] and more == [1]
    assert len([record for record in caplog.records if "asyncio loop" in record.message]) == 1


def test_a_loop_that_watches_nothing_runs_the_function(caplog: pytest.LogCaptureFixture) -> None:
    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
            if getattr(callback, "__name__", "") == "dispatch":
                raise NotImplementedError
            super().add_reader(fd, callback, *args)

    function, runs = counting(asyncio.sleep, backend=None, namespace="watches nothing")
    loop = Loop()
    try:
        assert [loop.run_until_complete(function(1)) for _ in range(2)] == [[1]] * 2
    finally:
        loop.close()
    assert runs == [1, 1] and "descriptors" in caplog.text
