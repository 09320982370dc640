"""Many calls of a decorated function at once: `get_many` and `aget_many`."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Literal, Tuple, Union, cast

from ._limits import Limits, Work, step_aside, step_back, too_late
from .errors import FunctionTimeoutError

if TYPE_CHECKING:
    import asyncio

    from ._core import Batch, CachedFunction, Poll
    from ._tenants import Tenants

Loader = Callable[[list[Any]], Any]
SoftAndHard = Tuple[Union[float, None], Union[float, None]]
"""The limits of a function, in seconds."""

_NO_LISTS: Tuple[type[Any], ...] = (str, bytes, set, frozenset)
"""What can be gone through and is no list of results: the order of a set is none."""


def _call_of(item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A tuple is the positional arguments of a call, anything else its only one."""
    return (cast("tuple[Any, ...]", item), {}) if isinstance(item, tuple) else ((item,), {})


def _nothing_for(item: Any) -> LookupError:
    return LookupError(f"the loader gave nothing for {item!r}")


def _is_list(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, _NO_LISTS)


def _results(given: Any, items: list[Any]) -> list[Any]:
    """What a loader gave: one result for each item in order, or a mapping from items to results."""
    if isinstance(given, Mapping):
        found = cast("Mapping[Any, Any]", given)
        return [found[item] if item in found else _nothing_for(item) for item in items]
    if not _is_list(given):
        hint = ": a coroutine function loads for an `async def`, or in aget_many" if inspect.iscoroutine(given) else ""
        if inspect.iscoroutine(given):
            given.close()
        raise TypeError(
            f"the loader gave {type(given).__name__}: expected a list of one result for each call, or a mapping{hint}"
        )
    return list(cast("Iterable[Any]", given))


def _as_many(results: list[Any], asked: list[Any]) -> list[Any]:
    if len(results) != len(asked):
        raise ValueError(f"the loader gave {len(results)} results for {len(asked)} calls")
    return results


def _caught(function: Callable[..., Any], item: Any) -> Any:
    args, kwargs = _call_of(item)
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


def _checked(results: list[Any], return_exceptions: bool) -> list[Any]:
    raised = (KeyboardInterrupt, SystemExit) if return_exceptions else BaseException  # as asyncio.gather
    failed = [result for result in results if isinstance(result, raised)]
    if failed:
        raise failed[0]
    return results


class _Pending:
    """A batch under way, one that is awaited or that blocks, and what its caller gets when a limit is over."""

    def __init__(self, cached: CachedFunction[..., Any], asked: list[Any], limits: SoftAndHard) -> None:
        self.batch: Batch = cached.begin_many([_call_of(item) for item in asked])
        self._function = cached.__wrapped__
        self._hard = limits[1]
        self._count = len(asked)
        self.results: list[Any] = []
        self.left: list[int] = []
        """Positions of calls that run uncached."""
        self.stale: list[int] = []
        """Positions of calls whose results are to be refreshed."""

    def __len__(self) -> int:
        return self._count

    def take(self) -> None:
        """The batch is done."""
        self.results, self.left, self.stale = self.batch.results()

    def overdue(self, is_hard: bool) -> tuple[list[Any]] | Literal[False] | None:
        """As `Work.overdue`."""
        found = self.batch.overdue(is_hard)
        results, late = found if found is not None else (list(self.results), self.left)
        if found is None and not late:
            return False
        if late and not is_hard:
            return None
        for position in late:
            results[position] = too_late(self._function, self._hard)
        return (results,)

    def put_left(self, rest: list[Any]) -> list[Any]:
        """All results: those that were left have come to this."""
        for position, result in zip(self.left, rest):
            self.results[position] = result
        return self.results


class _BatchWork(Work):
    """A batch that blocks: what memory has not answered."""

    def __init__(
        self,
        cached: CachedFunction[..., Any],
        pending: _Pending,
        load: Callable[[list[int]], list[Any]],
        refresh: Callable[[list[int]], None],
        return_exceptions: bool,
    ) -> None:
        super().__init__(cached)
        self._pending = pending
        self._load = load
        self._refresh = refresh
        self._return_exceptions = return_exceptions

    def overdue(self, is_hard: bool) -> tuple[list[Any]] | Literal[False] | None:
        return self._pending.overdue(is_hard)

    def _drop(self) -> None:
        self._pending.batch.drop()

    def _compute(self) -> list[Any]:
        pending, batch = self._pending, self._pending.batch
        try:
            answer = batch.advance(None)
            if answer == "pending":
                aside = step_aside()
                try:
                    answer = batch.wait()
                finally:
                    if aside:
                        step_back()
            while answer == "compute":
                try:
                    results = self._load(batch.missing())
                except BaseException as error:
                    batch.fail(error)
                else:
                    batch.finish(results)
                answer = batch.advance(None)
            pending.take()
        finally:
            batch.drop()
        if pending.stale:
            self._refresh(pending.stale)
        return _checked(pending.put_left(self._load_left(pending.left)), self._return_exceptions)

    def _load_left(self, left: list[int]) -> list[Any]:
        try:
            return self._load(left) if left else []
        except BaseException as error:
            return [error] * len(left)


def get_many(
    cached: CachedFunction[..., Any],
    items: Iterable[Any],
    loader: Loader | None,
    return_exceptions: bool,
    limits: SoftAndHard,
    waited: float = 0.0,
) -> list[Any]:
    """The results of many calls, in order; what is not cached is computed by one call of `loader`. The caller has waited for
    so many seconds already."""
    asked = list(items)

    def load_items(missing: list[Any]) -> list[Any]:
        if loader is None:
            return [_caught(cached.__wrapped__, item) for item in missing]
        return _as_many(_results(loader(missing), missing), missing)

    def load(positions: list[int]) -> list[Any]:
        return load_items([asked[position] for position in positions])

    def refresh(positions: list[int]) -> None:
        from ._refresh_many import in_thread

        stale = [asked[position] for position in positions]
        in_thread(cached, [_call_of(item) for item in stale], stale, load_items)

    if limits == (None, None):
        return _checked(cached.call_many([_call_of(item) for item in asked], load, refresh), return_exceptions)
    pending = _Pending(cached, asked, limits)
    work = _BatchWork(cached, pending, load, refresh, return_exceptions)
    if pending.batch.advance(None) == "done":  # all of it in memory
        work.here()
        return work.take()
    return _checked(Limits(cached.__wrapped__, *limits).result_of(work, waited), return_exceptions)


async def _load(
    cached: CachedFunction[..., Any], missing: list[Any], loader: Loader | None, awaited: bool
) -> list[Any]:
    """What is to be awaited is awaited in the loop; what is not runs in a thread, and the loop goes on."""
    from ._attributes import off_loop

    if loader is None and awaited:
        import asyncio

        calls = [_call_of(item) for item in missing]
        return await asyncio.gather(
            *(cached.__wrapped__(*args, **kwargs) for args, kwargs in calls), return_exceptions=True
        )
    if loader is None:
        return await off_loop(lambda: [_caught(cached.__wrapped__, item) for item in missing])
    given = loader(missing) if inspect.iscoroutinefunction(loader) else await off_loop(loader, missing)
    return _results(await given if inspect.isawaitable(given) else given, missing)


async def aget_many(
    cached: CachedFunction[..., Any],
    items: Iterable[Any],
    loader: Loader | None,
    return_exceptions: bool,
    awaited: bool,
    limits: SoftAndHard,
    waited: float = 0.0,
) -> list[Any]:
    """As `get_many`, in an event loop, which waits for nothing."""
    asked = list(items)

    async def load_items(missing: list[Any]) -> list[Any]:
        return _as_many(await _load(cached, missing, loader, awaited), missing)

    async def load(positions: list[int]) -> list[Any]:
        return await load_items([asked[position] for position in positions])

    def refresh(positions: list[int], found: tuple[asyncio.AbstractEventLoop, Poll]) -> None:
        from ._refresh_many import in_task

        stale = [asked[position] for position in positions]
        in_task(cached, [_call_of(item) for item in stale], stale, load_items, found)

    pending = _Pending(cached, asked, limits)
    if limits == (None, None):
        return _checked(await _await_batch(cached, pending, load, refresh), return_exceptions)
    from ._async import in_time

    async def whole() -> list[Any]:
        return _checked(await _await_batch(cached, pending, load, refresh), return_exceptions)

    return _checked(await in_time(*limits, cached.__wrapped__, whole(), pending.overdue, waited), return_exceptions)


async def _await_batch(
    cached: CachedFunction[..., Any],
    pending: _Pending,
    load: Callable[[list[int]], Awaitable[list[Any]]],
    refresh: Callable[[list[int], tuple[asyncio.AbstractEventLoop, Poll]], None],
) -> list[Any]:
    from ._async import find_poll

    found = find_poll(cached)
    if found is None:
        everything = list(range(len(pending)))
        return await load(everything) if everything else []
    loop, poll = found
    batch = pending.batch
    try:
        while (answer := batch.advance(poll)) != "done":
            if answer == "pending":
                batch.wake = future = loop.create_future()
                await future
                continue
            try:
                results = await load(batch.missing())
            except Exception as error:
                batch.fail(error)
            else:
                batch.finish(results)
        pending.take()
    finally:
        batch.drop()
    if pending.stale:
        refresh(pending.stale, found)
    try:
        rest = await load(pending.left) if pending.left else []
    except Exception as error:
        rest = [error] * len(pending.left)
    return pending.put_left(rest)


# ---- calls of many tenants -------------------------------------------------------------------------------------------


def _groups(cached: CachedFunction[..., Any], tenants: Tenants, asked: list[Any]) -> Any:
    return tenants.groups(cached, [_call_of(item) for item in asked])


def _put(results: list[Any], positions: list[int], some: list[Any]) -> None:
    for position, result in zip(positions, some):
        results[position] = result


class _UncachedWork(Work):
    """Calls whose tenants cannot be told."""

    def __init__(self, cached: CachedFunction[..., Any], load: Callable[[], list[Any]]) -> None:
        super().__init__(cached)
        self._load = load

    def overdue(self, is_hard: bool) -> None:
        """There is nothing that they could have instead."""

    def _drop(self) -> None:
        """Nobody else waits for them."""

    def _compute(self) -> list[Any]:
        return self._load()


def get_many_of_tenants(
    cached: CachedFunction[..., Any],
    tenants: Tenants,
    items: Iterable[Any],
    loader: Loader | None,
    return_exceptions: bool,
    limits: SoftAndHard,
) -> list[Any]:
    """As `get_many`, one tenant's calls after the other's: nobody gets what is another's. The limits are those of all."""
    began = time.monotonic()
    asked = list(items)
    results: list[Any] = [None] * len(asked)

    def uncached(some: list[Any]) -> list[Any]:
        if loader is None:
            return [_caught(cached.__wrapped__, item) for item in some]
        try:
            return _as_many(_results(loader(some), some), some)
        except Exception as error:
            return [error] * len(some)

    def uncached_in_time(some: list[Any]) -> list[Any]:
        if limits == (None, None):
            return uncached(some)
        work = _UncachedWork(cached, lambda: uncached(some))
        try:
            return Limits(cached.__wrapped__, *limits).result_of(work, time.monotonic() - began)
        except FunctionTimeoutError as error:
            return [error] * len(some)

    for own, positions in _groups(cached, tenants, asked):
        some = [asked[position] for position in positions]
        if own is not None:
            given = get_many(own, some, loader, True, limits, time.monotonic() - began)
        else:
            given = uncached_in_time(some)
        _put(results, positions, given)
    return _checked(results, return_exceptions)


async def aget_many_of_tenants(
    cached: CachedFunction[..., Any],
    tenants: Tenants,
    items: Iterable[Any],
    loader: Loader | None,
    return_exceptions: bool,
    awaited: bool,
    limits: SoftAndHard,
) -> list[Any]:
    """As `get_many_of_tenants`, in an event loop."""
    from ._async import in_time

    began = time.monotonic()
    asked = list(items)
    results: list[Any] = [None] * len(asked)

    async def uncached(some: list[Any]) -> list[Any]:
        return _as_many(await _load(cached, some, loader, awaited), some)

    async def uncached_in_time(some: list[Any]) -> list[Any]:
        try:
            if limits == (None, None):
                return await uncached(some)
            waited = time.monotonic() - began
            return await in_time(*limits, cached.__wrapped__, uncached(some), lambda is_hard: None, waited)
        except Exception as error:
            return [error] * len(some)

    for own, positions in _groups(cached, tenants, asked):
        some = [asked[position] for position in positions]
        if own is not None:
            given = await aget_many(own, some, loader, True, awaited, limits, time.monotonic() - began)
        else:
            given = await uncached_in_time(some)
        _put(results, positions, given)
    return _checked(results, return_exceptions)
