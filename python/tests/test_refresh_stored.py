"""Refreshes over a store: somebody else may have refreshed a result already, or be at it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import L1CacheConfig
from shelves import Shelf
from waiting import until

SOON: dict[str, Any] = {"swr_threshold_ratio": 0.000001}
"""Due after about a millisecond, of a lifetime of a thousand seconds."""

NEVER: dict[str, Any] = {"swr_enabled": False}

_sizes = itertools.count(10)  # memories of different sizes are different memories


class Process:
    """A cache of its own over the files of a directory, with a function that counts its runs and stops at a gate."""

    def __init__(self, directory: Path, awaited: bool, l1: dict[str, Any] = SOON, **options: Any) -> None:
        self.runs = 0
        self.result: Any = 1
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.loop = asyncio.new_event_loop() if awaited else None
        backend = FileBackend(FileBackendConfig(cache_dir=directory))
        memory = L1CacheConfig(max_size_mb=next(_sizes), **l1)
        more: dict[str, Any] = {"backend": backend, "ttl": 1000, "l1": memory, **options}
        self.function: Any = cache(**more)(self._awaited() if awaited else self._plain())

    def _plain(self) -> Callable[[int], Any]:
        def compute(number: int) -> Any:
            self.runs += 1
            result = self.result
            assert self.gate.wait(60)
            if self.error is not None:
                raise self.error
            return result

        return compute

    def _awaited(self) -> Callable[[int], Any]:
        async def compute(number: int) -> Any:
            self.runs += 1
            result = self.result
            while not self.gate.is_set():
                await asyncio.sleep(0.001)
            if self.error is not None:
                raise self.error
            return result

        compute.__qualname__ = self._plain().__qualname__
        return compute

    def __call__(self, number: int = 7) -> Any:
        if self.loop is None:
            return self.function(number)

        async def turn() -> Any:
            result = await self.function(number)
            await asyncio.sleep(0.001)
            return result

        return self.loop.run_until_complete(turn())

    def invalidate(self) -> None:
        if self.loop is None:
            self.function.invalidate_cache(7)
        else:
            self.loop.run_until_complete(self.function.ainvalidate_cache(7))

    def stats(self, name: str) -> int:
        return self.function.cache.stats()[name]

    def close(self) -> None:
        if self.loop is not None:
            self.loop.close()


@pytest.fixture(params=[False, True], ids=["plain", "awaited"])
def processes(request: Any, tmp_path: Path) -> Any:
    made: list[Process] = []

    def make(**options: Any) -> Process:
        made.append(Process(tmp_path, request.param, **options))
        return made[-1]

    yield make
    for process in made:
        process.close()


def past_due() -> None:
    time.sleep(0.02)


def test_a_refresh_takes_what_another_process_has_stored(processes: Any) -> None:
    here, there = processes(), processes(l1=NEVER)
    assert (here(), there()) == (1, 1)
    there.result = 2
    there.invalidate()
    assert there() == 2
    past_due()
    until(lambda: here() == 2)
    assert (here.runs, there.runs) == (1, 1)
    until(lambda: here.stats("refreshes_found") >= 1)  # it is counted after memory has it


def test_what_nobody_has_renewed_is_computed_and_stored(processes: Any) -> None:
    here, there = processes(), processes(l1=NEVER)
    assert here() == 1
    here.result = 2
    past_due()
    until(lambda: here() == 2)
    assert there() == 2
    assert there.runs == 0


def test_one_process_refreshes_while_another_leaves_it_to_that_one(processes: Any) -> None:
    here, there = processes(), processes()
    assert (here(), there()) == (1, 1)
    here.result = 2
    here.gate.clear()
    past_due()
    until(lambda: here() == 1 and here.runs == 2)
    until(lambda: there() == 1 and there.stats("refreshes_put_off") > 0)
    assert there.runs == 0
    here.gate.set()
    until(lambda: here() == 2)
    there.error = AssertionError("is not asked")
    until(lambda: there() == 2)


def test_what_the_store_has_lost_is_forgotten(processes: Any, tmp_path: Path) -> None:
    here = processes()
    assert here() == 1
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            path.unlink()
    here.error = ValueError("not now")
    past_due()

    def fails() -> bool:
        try:
            return here() != 1
        except ValueError:
            return True  # of a caller who found nothing; what fails behind one who finds something is not seen

    until(fails)
    here.error, here.result = None, 2
    assert here() == 2


def test_a_refresh_whose_function_fails_lets_the_lock_go(processes: Any) -> None:
    here = processes()
    assert here() == 1
    here.error = ValueError("not now")
    past_due()
    until(lambda: here() == 1 and here.runs >= 3)
    here.error, here.result = None, 2
    until(lambda: here() == 2)


def test_it_can_be_switched_off(processes: Any) -> None:
    here = processes(l1={**SOON, **NEVER})
    assert here() == 1
    past_due()
    assert [here() for _ in range(20)] == [1] * 20
    assert here.runs == 1
    assert here.stats("refreshes") == 0


class Failing(Shelf):
    """A store that can be told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.fails = False

    def get(self, key: str) -> bytes | None:
        self.asked += 1
        if self.fails:
            raise ConnectionError("gone")
        return super().get(key)

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        if self.fails:
            raise ConnectionError("gone")
        super().set(key, value, ttl)

    def health_check(self) -> tuple[bool, dict[str, Any]]:
        return not self.fails, {}


def test_a_store_that_fails_is_asked_now_and_then_and_the_copy_stays(processes: Any) -> None:
    store = Failing()
    here = processes(backend=store)
    assert here() == 1
    store.fails, asked = True, store.asked
    past_due()
    until(lambda: here() == 1 and here.stats("refreshes_put_off") > 0)
    assert [here() for _ in range(100)] == [1] * 100
    assert here.runs == 1
    assert store.asked - asked < 10
    store.fails, here.result = False, 2
    until(lambda: here() == 2)  # after a second
