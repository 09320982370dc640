"""How a decorated function is: the figures of its cache, and its store when it is tried out."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from ._core import Cache

_TIERS = {"memory": "l1_", "store": "l2_"}
_INVALIDATION = (
    "changes_told",
    "copies_dropped",
    "watches_lost",
    "changes_published",
    "changes_unheard",
    "changes_unpublished",
    "messages_malformed",
)
_REPLAY = ("replay_pending", "replayed", "replay_dropped")
"""Changes that the store did not take."""


def invalidation_of(stats: dict[str, int]) -> dict[str, Any]:
    """What a cache hears of changes made elsewhere."""
    return {"listening": bool(stats["watching"]), **{name: stats[name] for name in _INVALIDATION}}


def tiers(stats: dict[str, int], memory: bool, stored: bool) -> dict[str, dict[str, Any]]:
    """What a cache has counted, which it may share with other functions of the same store."""
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


PROBE_SECONDS = 5.0
"""The longest wait for a probe of a store."""
_probes: weakref.WeakKeyDictionary[Cache, threading.Thread] = weakref.WeakKeyDictionary()
"""The thread that asks the store of a cache, when it is written in Python."""


def _probe(cache: Cache, written: bool) -> dict[str, Any]:
    """Tries the store out, for a few seconds at most. The library's own stores end by themselves; one that is written in
    Python is asked in a thread, which is left alone when it takes too long."""
    if not written:
        return cache.health()
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


def checked(
    cache: Cache, written: bool, unopened: str | None, namespace: str, status: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `check_health` returns. `written`: the store is written in Python; `unopened`: why there is none although one is
    asked for; `status`: that of the function's features, which is asked when the store has been tried out."""
    found: dict[str, Any] = _probe(cache, written)
    if unopened is not None:
        found = {**found, "healthy": False, "detail": unopened}
    health = "healthy" if found["healthy"] else "unhealthy"
    return {
        "status": health,
        "namespace": namespace,
        "decorator": status(),
        "components": {"backend": found, "invalidation": invalidation_of(cache.stats())},
        # The documented shape, which a store without connections fills with what it has: none.
        "system": {
            "status": health,
            "redis_connection": "active" if found["backend_type"] == "redis" and found["healthy"] else "inactive",
            "connection_pool": {
                "created_connections": found["connections"],
                "available_connections": max(0, found["connections_max"] - found["connections_in_use"]),
                "in_use_connections": found["connections_in_use"],
            },
        },
    }
