"""Results of a batch that are about to end, or have ended, are given at once and refreshed by one more batch."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cachekit import _refresh_many, cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import L1CacheConfig
from waiting import until

SOON = L1CacheConfig(swr_threshold_ratio=0.000001)
"""Stale after about a millisecond, of a lifetime of a thousand seconds."""

PLACES = pytest.mark.parametrize("place", ["store", "memory"])


class Loader:
    """Gives each number with how often it was asked, and stops at a gate."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def __call__(self, missing: list[int]) -> list[Any]:
        self.asked.append(missing)
        run = len(self.asked)
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        return [(number, run) for number in missing]


def decorated(tmp_path: Path, place: str, **options: Any) -> Any:
    store = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")) if place == "store" else None

    @cache(**{"backend": store, "ttl": 1000, "l1": SOON, "namespace": "many", **options})
    def function(number: int) -> tuple[int, int]:
        raise AssertionError("the loader computes")

    return function


def is_idle() -> bool:
    return not _refresh_many._running


@PLACES
def test_what_is_about_to_end_is_given_and_refreshed_once_by_the_loader(tmp_path: Path, place: str) -> None:
    function, load = decorated(tmp_path, place), Loader()
    first = [(1, 1), (2, 1), (3, 1)]
    assert list(map(tuple, function.get_many([1, 2, 3], load))) == first
    load.gate.clear()

    def refreshed() -> list[int]:
        assert list(map(tuple, function.get_many([1, 2, 3], load))) == first  # at once, whatever the loader does
        return sorted(number for numbers in load.asked[1:] for number in numbers)

    until(lambda: set(refreshed()) == {1, 2, 3})  # each of them grows old by itself
    for _ in range(50):
        assert refreshed() == [1, 2, 3]
    load.gate.set()
    until(is_idle)
    assert all(run > 1 for _, run in function.get_many([1, 2, 3], load))


def test_what_has_ended_is_given_for_a_while_and_refreshed(tmp_path: Path) -> None:
    function = decorated(tmp_path, "store", ttl=1, stale_ttl=1000, l1=L1CacheConfig(swr_enabled=False))
    load = Loader()
    function.get_many([1, 2], load)
    time.sleep(1.1)
    assert list(map(tuple, function.get_many([1, 2], load))) == [(1, 1), (2, 1)]
    until(lambda: is_idle() and len(load.asked) > 1)
    assert load.asked[1] == [1, 2]


def test_without_a_loader_for_many_the_function_itself_refreshes() -> None:
    runs: list[int] = []

    @cache(backend=None, ttl=1000, l1=SOON)
    def function(number: int) -> int:
        runs.append(number)
        return number

    assert function.get_many([1, 2]) == [1, 2]

    def is_refreshed() -> bool:
        assert function.get_many([1, 2]) == [1, 2]
        return runs.count(1) > 1 and runs.count(2) > 1

    until(is_refreshed)


def test_a_refresh_that_fails_leaves_older_results_and_is_told_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    function, load = decorated(Path(), "memory"), Loader()
    function.get_many([1], load)
    load.error = OSError("the database is away")

    def has_failed() -> bool:
        assert function.get_many([1], load) == [(1, 1)]
        return "a refresh failed" in caplog.text

    with caplog.at_level(logging.DEBUG, logger="cachekit"):
        until(has_failed)
    assert "the database is away" in caplog.text
    until(is_idle)


def test_an_older_result_that_stands_in_for_a_failing_loader_starts_no_other_run() -> None:
    load = Loader()
    function = decorated(Path(), "memory", ttl=1, fail_safe=1000, l1=L1CacheConfig(swr_enabled=False))
    function.get_many([1], load)
    time.sleep(1.1)
    load.error = OSError("the database is away")
    assert function.get_many([1], load) == [(1, 1)]
    assert is_idle()
    assert load.asked == [[1], [1]]


@PLACES
def test_a_batch_with_limits_refreshes_too(tmp_path: Path, place: str) -> None:
    function, load = decorated(tmp_path, place, hard_limit=60), Loader()
    function.get_many([1, 2], load)

    def is_refreshed() -> bool:
        assert len(function.get_many([1, 2], load)) == 2
        return len(load.asked) > 1

    until(is_refreshed)
    until(is_idle)


def test_more_refreshes_at_once_than_are_allowed_are_left_to_later_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_refresh_many, "MOST_AT_ONCE", 1)
    function, load = decorated(tmp_path, "memory"), Loader()
    function.get_many([1, 2], load)
    load.gate.clear()

    def first_is_refreshing() -> bool:
        function.get_many([1], load)
        return len(load.asked) > 1

    until(first_is_refreshing)
    for _ in range(20):
        assert function.get_many([2], load) == [(2, 1)]
    assert load.asked == [[1, 2], [1]]
    load.gate.set()
    until(is_idle)


@PLACES
def test_in_an_event_loop_a_task_refreshes(tmp_path: Path, place: str) -> None:
    store = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")) if place == "store" else None
    asked: list[list[int]] = []

    @cache(backend=store, ttl=1000, l1=SOON)
    async def function(number: int) -> int:
        raise AssertionError("the loader computes")

    async def whole() -> None:
        gate = asyncio.Event()
        gate.set()

        async def load(missing: list[int]) -> list[int]:
            asked.append(missing)
            await gate.wait()
            return [number * 10 for number in missing]

        assert await function.get_many([1, 2], load) == [10, 20]
        gate.clear()
        while len(asked) < 2:
            assert await function.get_many([1, 2], load) == [10, 20]
            await asyncio.sleep(0.001)
        for _ in range(20):
            assert await function.get_many([1, 2], load) == [10, 20]
        gate.set()
        while not is_idle():
            await asyncio.sleep(0.001)
        assert await function.get_many([1, 2], load) == [10, 20]

    asyncio.run(asyncio.wait_for(whole(), 60))
    assert len(asked) >= 2
