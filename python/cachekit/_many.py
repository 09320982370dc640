"""Many calls of a decorated function at once: `get_many` and `aget_many`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, cast

if TYPE_CHECKING:
    from ._core import CachedFunction

Loader = Callable[[list[Any]], Any]


def _call_of(item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A tuple is the positional arguments of a call, anything else its only one."""
    return (cast("tuple[Any, ...]", item), {}) if isinstance(item, tuple) else ((item,), {})


def _nothing_for(item: Any) -> LookupError:
    return LookupError(f"the loader gave nothing for {item!r}")


def _results(given: Any, items: list[Any]) -> list[Any]:
    """What a loader gave: one result for each item in order, or a mapping from items to results."""
    if isinstance(given, Mapping):
        found = cast("Mapping[Any, Any]", given)
        return [found[item] if item in found else _nothing_for(item) for item in items]
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        hint = ": a coroutine function loads for an `async def`, or in aget_many" if inspect.iscoroutine(given) else ""
        if inspect.iscoroutine(given):
            given.close()
        raise TypeError(
            f"the loader gave {type(given).__name__}: expected a list of one result for each call, or a mapping{hint}"
        )
    return list(cast("Iterable[Any]", given))


def _caught(function: Callable[..., Any], item: Any) -> Any:
    args, kwargs = _call_of(item)
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


def _checked(results: list[Any], return_exceptions: bool) -> list[Any]:
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed and not return_exceptions:
        raise failed[0]
    return results


def get_many(
    cached: CachedFunction[..., Any], items: Iterable[Any], loader: Loader | None, return_exceptions: bool
) -> list[Any]:
    """The results of many calls, in order; what is not cached is computed by one call of `loader`."""
    asked = list(items)

    def load(positions: list[int]) -> list[Any]:
        missing = [asked[position] for position in positions]
        if loader is None:
            return [_caught(cached.__wrapped__, item) for item in missing]
        return _results(loader(missing), missing)

    return _checked(cached.call_many([_call_of(item) for item in asked], load), return_exceptions)


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
) -> list[Any]:
    """As `get_many`, in an event loop, which waits for nothing."""
    from ._async import find_poll

    asked = list(items)

    async def load(positions: list[int]) -> list[Any]:
        results = await _load(cached, [asked[position] for position in positions], loader, awaited)
        if len(results) != len(positions):
            raise ValueError(f"the loader gave {len(results)} results for {len(positions)} calls")
        return results

    found = find_poll(cached)
    if found is None:
        results = await load(list(range(len(asked)))) if asked else []
        return _checked(results, return_exceptions)
    loop, poll = found
    batch = cached.begin_many([_call_of(item) for item in asked])
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
        results, left = batch.results()
    finally:
        batch.drop()
    if left:
        try:
            rest = await load(left)
        except Exception as error:
            rest = [error] * len(left)
        for position, result in zip(left, rest):
            results[position] = result
    return _checked(results, return_exceptions)
