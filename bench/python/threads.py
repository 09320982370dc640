"""Hits of several threads at once: wall time by the calls of one thread, as in the rows of C. No goals."""

from __future__ import annotations

import functools
import threading
import time

from cachekit import cache
from common import Measured, Row, Rows, Setting, Timed, measure, plain, repeated


def _identity(number: int) -> int:
    return number


def _together(count: int, work: Timed) -> Timed:
    """The work in each of so many threads, from when they all stand at the line."""

    def timed(operations: int) -> float:
        line = threading.Barrier(count + 1)

        def run() -> None:
            line.wait()
            work(operations)

        threads = [threading.Thread(target=run) for _ in range(count)]
        for thread in threads:
            thread.start()
        line.wait()
        begin = time.perf_counter()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begin

    return timed


def _hits(keys: int, count: int) -> Measured:
    def measured(name: str, setting: Setting) -> Row:
        functions = {
            "ours": cache(backend=None, ttl=3600)(_identity),
            "theirs": functools.lru_cache(maxsize=None)(_identity),
        }
        # One key without a loop of its own, because that would be most of what is measured.
        call = "f(1)" if keys == 1 else "for k in keys: f(k)"
        works = {
            peer: _together(count, repeated(call, f=function, keys=range(keys))) for peer, function in functions.items()
        }
        times = measure(**works)
        return plain(name, times["ours"] / keys * 1e9, "ns", "lru_cache", times["theirs"] / keys * 1e9)

    return measured


ROWS: Rows = {
    f"python.threads.{what}.{count}t": _hits(keys, count)
    for what, keys in (("hot", 1), ("1000keys", 1000))
    for count in (2, 8)
}
