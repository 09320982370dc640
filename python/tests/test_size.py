"""What live objects are charged with: all that is inside built-in containers, once."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from cachekit import cache
from cachekit.config import L1CacheConfig


def charged(make: Any) -> int:
    """Bytes that memory grows by when it keeps what `make` makes. It counts whole pages, so small ones may show none."""

    @cache(backend=None, l1=L1CacheConfig(max_size_mb=64), namespace=f"size-{make!r}")
    def function() -> Any:
        return make()

    function.cache.release_objects()
    before = function.cache.stats()["l1_used_bytes"]
    function()
    return function.cache.stats()["l1_used_bytes"] - before


MANY = 10000


@pytest.mark.parametrize(
    "make",
    [
        lambda: [float(i) for i in range(MANY)],
        lambda: tuple(float(i) for i in range(MANY)),
        lambda: {float(i) for i in range(MANY)},
        lambda: frozenset(float(i) for i in range(MANY)),
        lambda: {float(i): None for i in range(MANY)},
        lambda: {"deep": [[[[float(i)] for i in range(MANY)]]]},
        lambda: [bytes(24) for _ in range(MANY)],
        lambda: ["x" * 24 for _ in range(MANY)],
        lambda: [10**30 for _ in range(MANY)],
    ],
)
def test_what_is_inside_a_container_is_charged(make: Any) -> None:
    assert charged(make) >= MANY * (8 + 24)


def test_a_container_that_is_met_twice_is_charged_once() -> None:
    inner = [float(i) for i in range(MANY)]
    assert charged(lambda: [inner] * 100) < 3 * MANY * (8 + 24)


def test_a_cycle_ends() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    charged(lambda: cycle)


def test_depth_is_no_recursion() -> None:
    deep: list[Any] = []
    for _ in range(200000):
        deep = [deep]
    assert charged(lambda: deep) > 200000 * sys.getsizeof([])
    while deep:  # ends it without recursion too
        deep = deep[0]


class Silent:
    def __sizeof__(self) -> int:
        raise RuntimeError("ask another time")


class Liar:
    def __sizeof__(self) -> int:
        return -5


class Changing:
    def __init__(self, holder: list[Any]) -> None:
        self.holder = holder

    def __sizeof__(self) -> int:
        self.holder.clear()
        return 100


@pytest.mark.parametrize("odd", [Silent, Liar])
def test_an_object_that_does_not_tell_its_size_is_kept_all_the_same(odd: Any) -> None:
    @cache(backend=None)
    def function() -> Any:
        return odd()

    assert function() is function()


def test_a_list_may_change_while_it_is_measured() -> None:
    @cache(backend=None)
    def function() -> Any:
        holder: list[Any] = []
        holder.extend([Changing(holder), "a", "b"])
        return holder

    assert function() is function()


def test_a_value_larger_than_all_of_memory_is_returned_and_not_kept() -> None:
    calls = []

    @cache(backend=None, l1=L1CacheConfig(max_size_mb=1), namespace="small memory")
    def function() -> Any:
        calls.append(1)
        return [float(i) for i in range(100000)]

    assert function() == function()
    assert len(calls) == 2
