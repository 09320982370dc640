"""Many calls of a decorated function at once: `get_many` and `aget_many`."""

from __future__ import annotations

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
    return list(given)


def _caught(function: Callable[..., Any], item: Any) -> Any:
    args, kwargs = _call_of(item)
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


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

    results = cached.call_many([_call_of(item) for item in asked], load)
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed and not return_exceptions:
        raise failed[0]
    return results


def on_loop(cached: CachedFunction[..., Any], loader: Loader | None, awaited: bool) -> Loader | None:
    """A loader for a batch that runs in a thread beside the event loop: what is to be awaited is awaited in the loop."""
    import asyncio

    loop = asyncio.get_running_loop()

    async def each(missing: list[Any]) -> list[Any]:
        calls = [_call_of(item) for item in missing]
        return await asyncio.gather(
            *(cached.__wrapped__(*args, **kwargs) for args, kwargs in calls), return_exceptions=True
        )

    chosen: Loader | None = each if loader is None and awaited else loader
    if chosen is None:
        return None
    use = chosen

    async def wait_for(given: Any) -> Any:
        return await given

    def load(missing: list[Any]) -> Any:
        given = use(missing)
        return asyncio.run_coroutine_threadsafe(wait_for(given), loop).result() if hasattr(given, "__await__") else given

    return load
