"""Calls of decorated functions that memory answers: backend=None, with a lifetime and statistics."""

from __future__ import annotations

import asyncio
import functools
import time
from datetime import timedelta
from itertools import repeat
from typing import Any, Callable

from cachekit import cache
from common import Measured, Row, Rows, Setting, Timed, at_most, expect_hit, measure, repeated

_cached = cache(backend=None, ttl=3600)
# Without a bound it is quicker than with one, and it never drops what it holds.
_lru_cached = functools.lru_cache(maxsize=None)


def _constant(*args: object, **kwargs: object) -> int:
    return 1


def _against_lru_cache(arguments: str, most: float) -> Measured:
    def measured(name: str, setting: Setting) -> Row:
        call = f"f({arguments})"
        ours, theirs = _cached(_constant), _lru_cached(_constant)
        expect_hit(ours, lambda: eval(call, {"f": ours}))
        times = measure(ours=repeated(call, f=ours), theirs=repeated(call, f=theirs))
        return at_most(name, times["ours"] * 1e9, "ns", "lru_cache", times["theirs"] * 1e9, most)

    return measured


class _Ours:
    @_cached
    def method(self, number: int) -> int:
        return number


class _Theirs:
    @_lru_cached
    def method(self, number: int) -> int:
        return number


def _method(name: str, setting: Setting) -> Row:
    ours, theirs = _Ours(), _Theirs()
    expect_hit(_Ours.method, lambda: ours.method(1))
    times = measure(ours=repeated("o.method(1)", o=ours), theirs=repeated("o.method(1)", o=theirs))
    return at_most(name, times["ours"] * 1e9, "ns", "lru_cache", times["theirs"] * 1e9, 1.0)


def _items(query: dict[str, int]) -> frozenset[tuple[str, int]]:
    """The cheapest key of a dict in which the order of the items does not count."""
    return frozenset(query.items())


def _dict(name: str, setting: Setting) -> Row:
    import cachebox
    import cachetools
    import theine

    def find(query: dict[str, int]) -> int:
        return len(query)

    ours: Any = _cached(find)
    in_theine: Any = theine.Memoize(1000, timedelta(hours=1))(find)
    in_theine.key(_items)
    works: dict[str, Callable[..., Any]] = {
        "cachebox": cachebox.cached(cachebox.TTLCache(1000, 3600), key_maker=_items)(find),
        "cachetools": cachetools.cached(cachetools.TTLCache(1000, 3600), key=_items)(find),
        "theine": in_theine,
    }
    query = {"page": 1, "size": 20}
    expect_hit(ours, lambda: ours(query))
    times = measure(
        ours=repeated("f(q)", f=ours, q=query),
        **{peer: repeated("f(q)", f=function, q=query) for peer, function in works.items()},
    )
    best = min(works, key=lambda peer: times[peer])
    return at_most(name, times["ours"] * 1e9, "ns", best, times[best] * 1e9, 0.3)


# ---- async ------------------------------------------------------------------------------------------------------


async def _answer(number: int) -> int:
    return number


def _awaited(loop: asyncio.AbstractEventLoop, function: Callable[[int], Any]) -> Timed:
    async def run(operations: int) -> float:
        f = function
        begin = time.perf_counter()
        for _ in repeat(None, operations):
            await f(1)
        return time.perf_counter() - begin

    return lambda operations: loop.run_until_complete(run(operations))


def _async(name: str, setting: Setting) -> Row:
    async def call() -> int:
        return await ours(1)

    ours: Any = _cached(_answer)
    loop = asyncio.new_event_loop()
    try:
        expect_hit(ours, lambda: loop.run_until_complete(call()))
        times = measure(ours=_awaited(loop, ours), bare=_awaited(loop, _answer))
    finally:
        loop.close()
    return at_most(name, times["ours"] * 1e9, "ns", "async def", times["bare"] * 1e9, 1.0)


ROWS: Rows = {
    "python.hit.int": _against_lru_cache("1", 1.0),
    "python.hit.int_str": _against_lru_cache("1, 'two'", 0.8),
    "python.hit.mixed": _against_lru_cache("1, 'two', 3.5, four=True", 0.5),
    "python.hit.method": _method,
    "python.hit.dict": _dict,
    "python.async.hit": _async,
}
