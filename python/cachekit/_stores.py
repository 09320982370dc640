"""Which cache a function gets: functions that agree in store and limits share one, for as long as there is one of them.

Caches of one store with the same reliability settings have one guard: what one learns of the store counts for all.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import Any, Callable, NamedTuple
from weakref import WeakSet, WeakValueDictionary

from ._core import Cache, Guard
from ._guards import guard_options
from ._refresh import wait_for_threads
from ._told import tell_once
from .backends.file import FileBackend
from ._sealing import is_asked, sealing_of
from .backends.redis.provider import DEFAULT_TENANT
from .config import DecoratorConfig, NOT_GIVEN
from .errors import CachekitError, ConfigurationError

_MIB = 1048576
_WRONG = ("E001", "E002", ConfigurationError.code)
"""Of errors that are the program's or the environment's, not the store's."""


class Place(NamedTuple):
    """Where the results of a function are kept."""

    cache: Cache
    objects: bool  # as they are, in memory alone
    stored: bool  # there is a store behind the memory
    chosen: _Chosen | None = None  # it is one that tenants share
    written: bool = False  # the store is written in Python
    unopened: str | None = None  # why there is no store, where one is asked for


_caches: WeakValueDictionary[tuple[Any, ...], Cache] = WeakValueDictionary()
_caches_lock = threading.RLock()


def _renew_lock() -> None:
    """In the child of a fork: a thread that is not there any more may have held it."""
    global _caches_lock
    _caches_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _may_tell(store: Any) -> bool:
    """Whether the store tells of changes that others make. Functions over others share a cache whatever they want to hear."""
    return isinstance(store, _Chosen) or (isinstance(store, str) and not store.startswith(("memory:", "file:")))


def _open(store: Any, config: DecoratorConfig, tenant: str | None = None) -> Cache:
    """The cache of a store with these limits and keys. `store` is a URL, a backend written in Python, or `_Chosen`."""
    size = 0 if config.l1.max_size_mb is None else config.l1.max_size_mb * _MIB
    optional = store == _Chosen(None, None)
    options = guard_options(config.circuit_breaker, config.timeout, config.backpressure, optional=optional)
    excluded = config.circuit_breaker.excluded_exceptions
    # The cache holds its backend, so the number is no other's as long as the cache is found.
    told = config.l1.invalidation_enabled or not _may_tell(store)
    guarded = (
        store if isinstance(store, (str, _Chosen)) else id(store),
        None if store == "memory:" else (*options.items(), *excluded),
    )
    sealing = sealing_of(config)
    keys = {} if sealing is None else sealing.keywords()
    sealed = None if sealing is None else sealing.identity
    identity = (guarded, size, config.l1.enabled, tenant, told, sealed)
    with _caches_lock:
        cache = _caches.get(identity)
        if cache is None:
            l1 = config.l1.enabled or store == "memory:"
            guard = _guard_of(guarded) or options
            if isinstance(store, _Chosen):
                cache = Cache(None, l1=l1, l1_max_bytes=size, tenant=tenant, guard=guard, coherence=told, **keys)
            elif isinstance(store, str):
                cache = Cache(store, l1=l1, l1_max_bytes=size, guard=guard, coherence=told, **keys)
            else:
                from .backends._adapter import Adapter

                cache = Cache(None, l1=l1, l1_max_bytes=size, backend=Adapter(store, excluded), guard=guard, **keys)
                _written.add(cache)
            _caches[identity] = cache
            _register_end()
    return cache


def _guard_of(guarded: tuple[Any, ...]) -> Guard | None:
    """The guard that caches of the same store with the same settings have."""
    same = next((cache for identity, cache in list(_caches.items()) if identity[0] == guarded), None)
    return None if same is None else same.guard()


# ---- the end of the interpreter -----------------------------------------------------------------------------------

MAKE_UP_AT_EXIT_S = 0.5
"""How long the end of the interpreter waits for stores written in Python: the library tries them at least every 0.4 s."""

_written: WeakSet[Cache] = WeakSet()
"""Caches whose store is written in Python. A cache tries its store once more when it is closed, and then it is too late for
code in Python."""

_registered = False


def _end() -> None:
    wait_for_threads()
    deadline = time.monotonic() + MAKE_UP_AT_EXIT_S
    while time.monotonic() < deadline and any(cache.stats()["replay_pending"] for cache in list(_written)):
        time.sleep(0.005)


def _register_end() -> None:
    """When there is a cache: the library has registered its own end by then, which comes after this one, so that what is
    waited for here still reaches its store and the log."""
    global _registered
    if not _registered:
        _registered = True
        atexit.register(_end)


# ---- the environment ----------------------------------------------------------------------------------------------

# What each variable chooses. REDIS_URL chooses too, but gives way to the others.
_SELECTORS = {
    "CACHEKIT_API_KEY": "CachekitIO",
    "CACHEKIT_REDIS_URL": "Redis",
    "CACHEKIT_MEMCACHED_SERVERS": "Memcached",
    "CACHEKIT_FILE_CACHE_DIR": "file",
}


class _Chosen(NamedTuple):
    """A Redis that the environment chooses, or the one on this machine that may be there; shared by tenants."""

    variable: str | None
    url: str | None


def _from_environment(function: Callable[..., Any]) -> FileBackend | _Chosen | None:
    """The store that the environment chooses.

    Raises:
        ConfigurationError: it chooses two.
    """
    chosen = [variable for variable in _SELECTORS if os.environ.get(variable)]
    if len(chosen) > 1:
        raise ConfigurationError(
            f"{' and '.join(chosen)} each choose a store: unset all but one, or say which one with backend="
        )
    variable = chosen[0] if chosen else "REDIS_URL" if os.environ.get("REDIS_URL") else None
    if variable in ("CACHEKIT_REDIS_URL", "REDIS_URL"):
        return _Chosen(variable, os.environ[variable])
    if variable is None:
        return _without_choice()
    if variable == "CACHEKIT_FILE_CACHE_DIR":
        return FileBackend()
    tell_once(
        function,
        f"{variable} chooses a {_SELECTORS[variable]} store, which this version does not have: results stay in this "
        "process",
    )
    return None


def _without_choice() -> _Chosen | None:
    """Nothing is configured: the library tries a Redis on this machine, and says once when there is none."""
    return _Chosen(None, None)


def tenant_place(config: DecoratorConfig, store: _Chosen, tenant: str) -> Place:
    """Where the results of a function are kept for one tenant."""
    return Place(_open(store, config, tenant), objects=False, stored=True, chosen=store)


def place_for(function: Callable[..., Any], config: DecoratorConfig) -> Place:
    """Where the results of a function with this configuration are kept.

    Raises:
        ConfigurationError: the environment chooses two stores, or a setting of its store is wrong; or there is none, and it
            cannot be done without.
    """
    if config.backend is None:
        try:
            return Place(_open("memory:", config), objects=not is_asked(config), stored=False)
        except CachekitError as error:
            if error.code in _WRONG:
                raise ConfigurationError(str(error), error.code) from None
            raise
    backend = _from_environment(function) if config.backend is NOT_GIVEN else config.backend
    if backend is None:
        return _without_store(config, "the environment chooses a store that this version does not have")
    try:
        if isinstance(backend, _Chosen):
            return tenant_place(config, backend, DEFAULT_TENANT)
        url = _url_of(backend)
        return Place(_open(url or backend, config), objects=False, stored=True, written=url is None)
    except CachekitError as error:
        # Nothing is kept in the clear instead, and nothing without the store whose failures are to be the caller's.
        if error.code in _WRONG or is_asked(config) or config.fallback_strategy == "fail_closed":
            raise ConfigurationError(str(error), error.code) from None
        tell_once(function, f"the store cannot be opened ({error}): results are kept in this process only")
        return _without_store(config, f"the store cannot be opened: {error}")


def _without_store(config: DecoratorConfig, reason: str) -> Place:
    return Place(_open("memory:", config), objects=False, stored=False, unopened=reason)


def _url_of(backend: Any) -> str | None:
    """The URL of a store that the library has itself. Only of the class itself: methods that a subclass has written are
    to be asked."""
    if type(backend) is FileBackend:
        return backend.url
    redis = sys.modules.get("cachekit.backends.redis.backend")  # who has such an object has imported it
    return backend.url if redis is not None and type(backend) is redis.RedisBackend else None
