"""A function that can be held up, for tests of what its callers get meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from typing import Any, Callable, Iterator

import pytest

from cachekit import cache
from cachekit.config import L1CacheConfig
from cachekit.errors import FunctionTimeoutError
from waiting import until

NO_SWR = L1CacheConfig(swr_enabled=False)
_sizes = itertools.count(101)


class Slow:
    """A function of one argument that can be held up, decorated as a plain one or as a coroutine function; both are called
    the same way, from any thread."""

    def __init__(self, awaited: bool, **keywords: Any) -> None:
        self.runs: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: BaseException | None = None
        self._loop = asyncio.new_event_loop() if awaited else None
        if self._loop is not None:
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()

        def begin(n: int) -> int:
            self.runs.append(n)
            return len(self.runs)

        def end(number: int) -> int:
            if self.error is not None:
                raise self.error
            return number

        @cache(**keywords)
        def plain(n: int) -> int:
            number = begin(n)
            self.gate.wait()
            return end(number)

        @cache(**keywords)
        async def coroutine(n: int) -> int:
            number = begin(n)
            while not self.gate.is_set():
                await asyncio.sleep(0.001)
            return end(number)

        self.function: Any = coroutine if awaited else plain
        self._before = self.function.cache.stats()  # functions over one store share a cache

    def __call__(self, n: int) -> Any:
        if self._loop is None:
            return self.function(n)
        return asyncio.run_coroutine_threadsafe(self.function(n), self._loop).result(60)

    def many(self, calls: list[int], *loader: Any, **keywords: Any) -> list[Any]:
        """`get_many`, in the same way."""
        results = self.function.get_many(calls, *loader, **keywords)
        return results if self._loop is None else asyncio.run_coroutine_threadsafe(results, self._loop).result(60)

    def counted(self) -> dict[str, int]:
        stats = self.function.cache.stats()
        names = ("soft_limits", "hard_limits", "computed", "function_errors", "fail_safe_served", "flight_waits", "uncached")
        return {name: stats[name] - self._before[name] for name in names}

    def is_kept(self) -> bool:
        """Memory has a result: it is there a moment after it was counted."""
        return self.function.cache.stats()["l1_entries"] > 0

    def close(self) -> None:
        self.gate.set()
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._rest(), self._loop).result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(60)
            self._loop.close()

    async def _rest(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


def patiently(f: Slow, call: int) -> Any:
    """Its result, however often the limit passes before."""
    results: list[Any] = []

    def is_there() -> bool:
        with contextlib.suppress(FunctionTimeoutError):
            results.append(f(call))
        return bool(results)

    until(is_there)
    return results[0]


@pytest.fixture(params=[False, True], ids=["plain", "coroutine"])
def slow(request: pytest.FixtureRequest) -> Iterator[Callable[..., Slow]]:
    with contextlib.ExitStack() as stack:

        def make(**keywords: Any) -> Slow:
            # Without a store a cache of its own: what an earlier test has left to a thread may end, and be counted, any time.
            own = L1CacheConfig(swr_enabled=False, max_size_mb=next(_sizes))
            defaults = {"l1": NO_SWR} if "backend" in keywords else {"backend": None, "l1": own}
            return stack.enter_context(contextlib.closing(Slow(request.param, **{**defaults, **keywords})))

        yield make
