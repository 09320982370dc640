"""The attributes of a decorated function: what it has counted, forgetting, health."""

from __future__ import annotations

import functools
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, TypeVar

from ._methods import check_class, count_parameters, needs_class
from ._told import log, name_of
from .errors import CachekitError, ConfigurationError, InteropError, MisuseError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ._core import Cache, CachedFunction
    from ._stores import Place
    from ._tenants import Tenants
    from .config import DecoratorConfig
    from .decorators.orchestrator import FeatureOrchestrator

_R = TypeVar("_R")

_process_ids: dict[int, str] = {}


def _process_id() -> str:
    """A UUID of this process; a forked child has another one."""
    process = os.getpid()
    known = _process_ids.get(process)
    if known is None:
        import uuid  # for whom looks at counters

        known = _process_ids.setdefault(process, str(uuid.uuid4()))
    return known


_counting: weakref.WeakSet[CachedFunction[..., Any]] = weakref.WeakSet()
"""Functions whose counts begin anew in the child of a fork. How, they know themselves: what stood here would keep them."""


def _count_anew() -> None:
    for cached in list(_counting):
        cached.__dict__["_count_anew"](cached)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_anew)


class CacheInfo(NamedTuple):
    """What one cached function has counted in this process."""

    hits: int
    misses: int
    l1_hits: int
    l2_hits: int
    maxsize: int | None
    currsize: int | None
    l2_avg_latency_ms: float
    last_operation_at: float | None
    session_id: str | None


async def off_loop(function: Callable[..., _R], *args: Any) -> _R:
    """Runs what may wait for the store in a thread, while the event loop goes on. Without asyncio's it is run here."""
    try:
        loop = sys.modules["asyncio"].get_running_loop()
    except (KeyError, RuntimeError):
        return function(*args)
    import contextvars

    return await loop.run_in_executor(None, contextvars.copy_context().run, function, *args)


_INVALIDATION = (
    "changes_told",
    "copies_dropped",
    "watches_lost",
    "changes_published",
    "changes_unheard",
    "changes_unpublished",
    "messages_malformed",
)


def invalidation_of(stats: dict[str, int]) -> dict[str, Any]:
    """What a cache hears of changes made elsewhere."""
    return {"listening": bool(stats["watching"]), **{name: stats[name] for name in _INVALIDATION}}


PROBE_SECONDS = 5.0
"""The longest wait for a probe of a store."""
_probes: weakref.WeakKeyDictionary[Cache, Any] = weakref.WeakKeyDictionary()
"""The thread that asks the store of a cache, when it is written in Python."""


def _probe(cache: Cache, written: bool) -> dict[str, Any]:
    """Tries the store out, for a few seconds at most. The library's own stores end by themselves; one that is written in
    Python is asked in a thread, which is left alone when it takes too long."""
    if not written:
        return cache.health()
    import threading

    answer: list[dict[str, Any]] = []
    began, detail, last = time.perf_counter(), "the last probe has not come back yet", _probes.get(cache)
    if last is None or not last.is_alive():
        thread = threading.Thread(target=lambda: answer.append(cache.health()), name="cachekit-probe", daemon=True)
        _probes[cache] = thread
        thread.start()
        thread.join(PROBE_SECONDS)
        detail = f"no answer within {PROBE_SECONDS:g} seconds"
    if answer:
        return answer[0]
    return {
        "healthy": False,
        "latency_ms": (time.perf_counter() - began) * 1000,
        "backend_type": "unknown",
        "detail": detail,
        "connections": 0,
        "connections_in_use": 0,
        "connections_max": 0,
    }


_TIERS = {"memory": "l1_", "store": "l2_"}
_REPLAY = ("replay_pending", "replayed", "replay_dropped")
"""Changes that the store did not take."""


def _tiers(cache: Cache, memory: bool, stored: bool) -> dict[str, dict[str, Any]]:
    """What a cache has counted, which it may share with other functions of the same store."""
    stats = cache.stats()
    parts: dict[str, dict[str, Any]] = {
        part: {name[len(prefix) :]: count for name, count in stats.items() if name.startswith(prefix)}
        for part, prefix in _TIERS.items()
        if part == "memory" or stored
    }
    if memory:
        parts["invalidation"] = invalidation_of(stats)
    if stored:
        parts["store"].update((name, stats[name]) for name in _REPLAY)
    told = (*_TIERS.values(), *_INVALIDATION, *_REPLAY, "watching")
    parts["calls"] = {name: count for name, count in stats.items() if not name.startswith(told)}
    return parts


def attach(
    cached: CachedFunction[..., Any],
    function: Callable[..., Any],
    config: DecoratorConfig,
    place: Place,
    awaited: bool,
    tenants: Tenants | None,
) -> None:
    """The attributes of a decorated function. `tenants`: who share its store; `awaited`: it is a coroutine function, and
    what may wait for the store is a coroutine function too."""
    stored, written = place.stored, place.written
    known: list[FeatureOrchestrator] = []
    name = name_of(function)
    base: dict[str, int] = {}
    cleared = [0]
    parameters = count_parameters(function)
    limits = (config.soft_limit, config.hard_limit)

    def count_of(cached: CachedFunction[..., Any]) -> dict[str, int]:
        return cached.counters() if tenants is None else tenants.counters(cached)

    def here() -> CachedFunction[..., Any]:
        return cached if tenants is None else tenants.here(cached)

    def restart(cached: CachedFunction[..., Any]) -> None:  # which is an argument, so that it can go
        if tenants is not None:
            tenants.renew_lock()
        base.update(count_of(cached))
        cleared[0] = 0

    cached.__dict__["_count_anew"] = restart
    _counting.add(cached)

    def counted() -> dict[str, int]:
        return {field: number - base.get(field, 0) for field, number in count_of(cached).items()}

    def cache_info() -> CacheInfo:
        """What this function has counted since the last `cache_clear`."""
        now = counted()
        hits = now["l1_hits"] + now["l2_hits"]
        used = time.time() if hits or now["misses"] else None
        session = f"{_process_id()}:{name}" + (f"#{cleared[0]}" if cleared[0] else "")
        latency = now["l2_ns"] / now["l2_timed"] / 1e6 if now["l2_timed"] else 0.0
        return CacheInfo(hits, now["misses"], now["l1_hits"], now["l2_hits"], None, None, latency, used, session)

    def cache_clear() -> None:
        """Forgets all results of this function and counts from zero again."""
        if awaited and stored:
            raise MisuseError(
                f"{name}: cache_clear() would wait for the store and stop the event loop meanwhile; use "
                f"`await {name.rpartition('.')[2]}.ainvalidate_cache()`"
            )
        without_the_store(here().forget_all)
        base.update(count_of(cached))
        cleared[0] += 1

    def without_the_store(forget: Callable[[], object]) -> None:
        """Memory forgets in any case; what the store keeps when it fails ends with its lifetime."""
        try:
            forget()
        except (InteropError, ConfigurationError):  # the caller's
            raise
        except CachekitError as error:
            log.error("%s: the store has failed to forget: %s", name, error)

    of_class = needs_class(function)

    def forget(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if of_class:
            check_class(function, args, kwargs)
        without_the_store(functools.partial(forget_call, args, kwargs))

    def forget_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not args and not kwargs and parameters:
            here().forget_all()
            return
        own = cached if tenants is None else tenants.of_call(cached, args, kwargs)
        if len(args) != 1 or kwargs or not own.forget_receiver(args[0]):
            own.forget(*args, **kwargs)

    def invalidate_cache(*args: Any, **kwargs: Any) -> None:
        """Forgets the result of one call; without arguments, of every call of a function that has parameters.

        A method is told the object first: `Class.method.invalidate_cache(obj, 1)`, or `obj.method.invalidate_cache(1)`.
        Without further arguments that is every call on the object, where they can be told from others.
        """
        forget(args, kwargs)

    async def ainvalidate_cache(*args: Any, **kwargs: Any) -> None:
        """Forgets as `invalidate_cache` does, and the event loop goes on while the store is asked."""
        if stored:
            await off_loop(forget, args, kwargs)
        else:
            forget(args, kwargs)

    def get_many(
        calls: Iterable[Any], loader: Callable[[list[Any]], Any] | None = None, *, return_exceptions: bool = False
    ) -> list[Any]:
        """The results of many calls, in their order: one look into memory, one read of the store, and one call of
        `loader` with those that are missing.

        A tuple is the positional arguments of a call, anything else its only argument. `loader` returns one result for
        each, in order, or a mapping from what it was given to results; an exception among them is the failure of that call
        alone. Without it the function runs for each. A failure is raised when everything else has been stored, or with
        `return_exceptions` stands in the place of the result. The function's limits hold for each call.
        """
        from ._many import get_many  # for whom uses it

        return get_many(here(), calls, loader, return_exceptions, limits)

    async def aget_many(
        calls: Iterable[Any], loader: Callable[[list[Any]], Any] | None = None, *, return_exceptions: bool = False
    ) -> list[Any]:
        """As `get_many`, and the event loop goes on meanwhile. `loader` may be a coroutine function."""
        from ._many import aget_many

        return await aget_many(here(), calls, loader, return_exceptions, awaited, limits)

    def features() -> FeatureOrchestrator:
        if not known:
            from .decorators.orchestrator import FeatureOrchestrator  # for whom looks at it

            known.append(FeatureOrchestrator.from_config(config, cached.cache.guard()))
        return known[0]

    def get_health_status() -> dict[str, Any]:
        """The features of this function and their state, with live figures. Does not touch the store."""
        now = counted()
        total = now["l1_hits"] + now["l2_hits"] + now["misses"]
        return features().get_health_status(
            {"total_operations": total, "components": _tiers(here().cache, stored and config.l1.enabled, stored)}
        )

    async def acheck_health() -> dict[str, Any]:
        """The features of this function and their state, after trying the store out."""
        return await off_loop(check_health)

    def check_health() -> dict[str, Any]:
        """The features of this function and their state, after trying the store out."""
        found = _probe(here().cache, written)
        status = "healthy" if found["healthy"] else "unhealthy"
        return {
            "status": status,
            "namespace": features().namespace,
            "decorator": get_health_status(),
            "components": {"backend": found, "invalidation": invalidation_of(here().cache.stats())},
            # The documented shape, which a store without connections fills with what it has: none.
            "system": {
                "status": status,
                "redis_connection": "active" if found["backend_type"] == "redis" and found["healthy"] else "inactive",
                "connection_pool": {
                    "created_connections": found["connections"],
                    "available_connections": max(0, found["connections_max"] - found["connections_in_use"]),
                    "in_use_connections": found["connections_in_use"],
                },
            },
        }

    attributes: dict[str, Callable[..., Any]] = {
        "cache_info": cache_info,
        "cache_clear": cache_clear,
        "invalidate_cache": ainvalidate_cache if awaited else invalidate_cache,
        "ainvalidate_cache": ainvalidate_cache,
        "get_many": aget_many if awaited else get_many,
        "aget_many": aget_many,
        "get_health_status": get_health_status,
        "check_health": acheck_health if awaited else check_health,
    }
    cached.__dict__.update(attributes)
