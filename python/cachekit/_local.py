"""`cache.local`: results kept as they are, in a cache of the function's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._attributes import CacheInfo
from ._core import LocalFunction
from ._kinds import is_async
from ._methods import check_class, copy_names, count_parameters, needs_class, shape_of

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from .config import LocalConfig

    _P = ParamSpec("_P")

_R = TypeVar("_R")


def build_local(function: Callable[_P, _R], config: LocalConfig) -> LocalFunction[_P, _R]:
    """The decorated function."""
    miss: Callable[..., Any] | None = None
    doom: Callable[[bytes | None], None] | None = None
    awaited = is_async(function)
    if awaited:
        from ._local_async import Flights

        flights = Flights()
        miss, doom = flights.miss, flights.doom
    local = LocalFunction(
        function,
        ttl_ms=config.ttl_ms,
        max_entries=min(config.max_entries, sys.maxsize),
        key=config.key,
        first=shape_of(function, stored=False).first,
        miss=miss,
    )
    copy_names(local, function)
    _attach(local, function, doom)
    if awaited:
        from ._async import mark

        mark(local, function)
    return local


def _attach(
    local: LocalFunction[..., Any], function: Callable[..., Any], doom: Callable[[bytes | None], None] | None
) -> None:
    """The attributes of a decorated function."""
    parameters, of_class = count_parameters(function), needs_class(function)

    def cache_info() -> CacheInfo:
        """What this function has counted, and how many results are kept."""
        now = local.counters()
        hits, misses = now["hits"], now["misses"]
        return CacheInfo(hits, misses, hits, 0, now["maxsize"], now["currsize"], 0.0, None, None)

    def cache_clear() -> None:
        """Forgets all results. What was counted stays."""
        if doom is not None:
            doom(None)
        local.forget_all()

    def invalidate_cache(*args: Any, **kwargs: Any) -> None:
        """Forgets the result of one call; without arguments, of every call of a function that has parameters.

        A method is told the object first: `Class.method.invalidate_cache(obj, 1)`, or `obj.method.invalidate_cache(1)`.
        Without further arguments that is every call on the object.
        """
        if of_class:
            check_class(function, args, kwargs)
        if not args and not kwargs and parameters:
            cache_clear()
            return
        if doom is not None:
            doom(local.pack(*args, **kwargs))
        if len(args) != 1 or kwargs or not local.forget_receiver(args[0]):
            local.forget(*args, **kwargs)

    async def ainvalidate_cache(*args: Any, **kwargs: Any) -> None:
        """Forgets as `invalidate_cache` does. Nothing waits."""
        invalidate_cache(*args, **kwargs)

    attributes = (cache_info, cache_clear, invalidate_cache, ainvalidate_cache)
    local.__dict__.update({attribute.__name__: attribute for attribute in attributes})
