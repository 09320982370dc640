"""How fresh answers are: what stands in for failures, what a failing store means, lifetimes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import DecoratorConfig, L1CacheConfig
from cachekit.errors import BackendError, ConfigurationError
from shelves import Forgetful
from waiting import until

class Body:
    """Counts its runs, and fails when it is told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.fails = False
        self.result: Any = None

    def __call__(self, n: int) -> Any:
        self.runs += 1
        if self.fails:
            raise KeyError(n)
        return self.result if self.result is not None else self.runs


def decorated(body: Body, awaited: bool, **keywords: Any) -> Any:
    """`body` as a function or as a coroutine function, called the same way."""
    if not awaited:

        @cache(**keywords)
        def plain(n: int) -> Any:
            return body(n)

        return plain

    @cache(**keywords)
    async def coroutine(n: int) -> Any:
        await asyncio.sleep(0)
        return body(n)

    return lambda n: asyncio.run(_awaited(coroutine, n))


async def _awaited(function: Any, n: int) -> Any:
    result = await function(n)
    await asyncio.sleep(0.01)  # a refresh may run
    return result


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_an_older_value_stands_in_for_a_function_that_fails(awaited: bool, stored: bool, tmp_path: Any) -> None:
    body = Body()
    backend = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")) if stored else None
    l1 = L1CacheConfig(swr_enabled=False)
    function = decorated(body, awaited, ttl=0.001, fail_safe=1000, backend=backend, l1=l1)
    assert function(1) == 1
    time.sleep(1.1 if stored else 0.02)
    body.fails = True
    assert function(1) == 1
    assert body.runs >= 2
    with pytest.raises(KeyError):
        function(2)
    body.fails = False
    assert function(1) == body.runs


@pytest.mark.parametrize("awaited", [False, True])
def test_without_fail_safe_the_failure_is_the_caller_s(awaited: bool) -> None:
    body = Body()
    function = decorated(body, awaited, ttl=0.001, backend=None, l1=L1CacheConfig(swr_enabled=False))
    assert function(1) == 1
    time.sleep(0.02)
    body.fails = True
    with pytest.raises(KeyError):
        function(1)


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("l1_enabled", [False, True])
def test_a_value_past_its_lifetime_comes_from_the_store_and_is_renewed(
    awaited: bool, l1_enabled: bool, tmp_path: Any
) -> None:
    body = Body()
    place = tmp_path / "store"

    def process() -> Any:
        return decorated(
            body, awaited, ttl=1, stale_ttl=1000, backend=FileBackend(FileBackendConfig(cache_dir=place)), l1_enabled=l1_enabled, key=str
        )

    assert process()(7) == 1
    time.sleep(2.1)
    other = process()
    assert other(7) == 1
    until(lambda: other(7) >= 2)  # an event loop that ends takes its refresh along; the next call tries again


@pytest.mark.parametrize("ttl", [0, 0.001])
def test_none_has_a_lifetime_of_its_own(ttl: float) -> None:
    runs: list[int] = []

    @cache(backend=None, none_ttl=ttl, l1=L1CacheConfig(swr_enabled=False))
    def find(n: int) -> Any:
        runs.append(n)
        return None if n == 0 else n

    for _ in range(3):
        assert find(0) is None
        assert find(1) == 1
        time.sleep(0.02)
    assert runs.count(0) == 3
    assert runs.count(1) == 1


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("limits", [{}, {"hard_limit": 60}], ids=["unlimited", "limited"])
@pytest.mark.parametrize("serializer", [None, "default", "auto"])
def test_none_has_a_lifetime_of_its_own_in_a_batch_too(
    serializer: str | None, limits: dict[str, float], awaited: bool, tmp_path: Any
) -> None:
    runs: list[int] = []
    backend = None if serializer is None else FileBackend(FileBackendConfig(cache_dir=tmp_path))

    @cache(backend=backend, none_ttl=0, serializer=serializer or "default", **limits)
    def find(n: int) -> Any:
        runs.append(n)
        return None if n == 0 else n

    for _ in range(2):
        assert asked_for_many(find, [0, 1], awaited) == [None, 1]
    assert sorted(runs) == [0, 0, 1]


def test_jitter_shortens_lifetimes(tmp_path: Any) -> None:
    lives: list[float] = []

    class Store(Forgetful):
        def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
            lives.append(ttl or 0)

    @cache(backend=Store(), ttl=1000, ttl_jitter=0.5)
    def number(n: int) -> int:
        return n

    for n in range(100):
        number(n)
    assert all(499 <= life <= 1000 for life in lives)
    assert max(lives) - min(lives) > 200


class Broken(Forgetful):
    """A store that fails as it is told to."""

    def __init__(self, *, reads: bool, writes: bool) -> None:
        super().__init__()
        self.reads, self.writes = reads, writes

    def get(self, key: str) -> bytes | None:
        if self.reads:
            raise ConnectionError("gone")
        return None

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        if self.writes:
            raise ConnectionError("gone")


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("broken", [{"reads": True, "writes": False}, {"reads": False, "writes": True}])
def test_failing_closed_the_store_s_error_is_the_caller_s(awaited: bool, broken: dict[str, bool]) -> None:
    body = Body()
    function = decorated(body, awaited, backend=Broken(**broken), fallback_strategy="fail_closed")
    with pytest.raises(BackendError):
        function(1)
    assert body.runs == (0 if broken["reads"] else 1)
    open_ = decorated(body, awaited, backend=Broken(**broken))
    assert open_(1) == body.runs


def asked_for_many(function: Any, numbers: list[int], awaited: bool) -> list[Any]:
    if not awaited:
        return function.get_many(numbers, return_exceptions=True)

    async def main() -> Any:
        return await function.aget_many(numbers, return_exceptions=True)

    return asyncio.run(main())


@pytest.mark.parametrize("limits", [{}, {"hard_limit": 60}], ids=["unlimited", "limited"])
@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("broken", [{"reads": True, "writes": False}, {"reads": False, "writes": True}])
def test_failing_closed_the_store_s_error_is_that_of_each_call_of_a_batch(
    awaited: bool, broken: dict[str, bool], limits: dict[str, float]
) -> None:
    runs: list[int] = []

    def number(n: int) -> int:
        runs.append(n)
        return n

    function = cache(backend=Broken(**broken), fallback_strategy="fail_closed", **limits)(number)
    results = asked_for_many(function, [1, 2, 1], awaited)
    assert [type(result) for result in results] == [BackendError] * 3 and results[0].code.startswith("E")
    assert runs == ([] if broken["reads"] else [1, 2])
    with pytest.raises(BackendError):
        function.get_many([1])
    open_ = cache(backend=Broken(**broken), **limits)(number)
    assert asked_for_many(open_, [1, 2, 1], awaited) == [1, 2, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"fail_safe": -1},
        {"fail_safe": 5, "ttl": None},
        {"ttl_jitter": 1},
        {"early_refresh_beta": -0.1},
        {"none_ttl": -1},
        {"soft_limit": 0, "fail_safe": 1},
        {"soft_limit": 2},
        {"hard_limit": 1, "soft_limit": 2},
        {"fallback_strategy": "custom"},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        DecoratorConfig(**wrong)


def test_values_are_renewed_before_they_end_by_what_a_run_takes() -> None:
    body = Body()

    @cache(backend=None, ttl=0.2, early_refresh_beta=1000, l1=L1CacheConfig(swr_enabled=False))
    def slow(n: int) -> Any:
        time.sleep(0.02)
        return body(n)

    assert slow(0) == 1  # and now it is known how long it takes
    assert slow(1) == 2
    time.sleep(0.05)
    slow(1)  # stale nearly at once: a thousand runs before its end
    until(lambda: body.runs >= 3)
