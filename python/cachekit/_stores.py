"""Which cache a function gets: functions that agree in store and limits share one, for as long as there is one of them."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, NamedTuple
from weakref import WeakValueDictionary

from ._core import Cache
from ._told import tell_once
from .backends.file import FileBackend
from .config import DecoratorConfig, NOT_GIVEN
from .errors import CachekitError, ConfigurationError

_MIB = 1048576


class Place(NamedTuple):
    """Where the results of a function are kept."""

    cache: Cache
    objects: bool  # as they are, in memory alone
    stored: bool  # there is a store behind the memory


_caches: WeakValueDictionary[tuple[Any, ...], Cache] = WeakValueDictionary()
_caches_lock = threading.RLock()


def _renew_lock() -> None:
    """In the child of a fork: a thread that is not there any more may have held it."""
    global _caches_lock
    _caches_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _open(store: Any, config: DecoratorConfig) -> Cache:
    """The cache of a store with these limits. `store` is a URL, or a backend written in Python."""
    size = 0 if config.l1.max_size_mb is None else config.l1.max_size_mb * _MIB
    # The cache holds its backend, so the number is no other's as long as the cache is found.
    identity = (store if isinstance(store, str) else id(store), size, config.l1.enabled)
    with _caches_lock:
        cache = _caches.get(identity)
        if cache is None:
            l1 = config.l1.enabled or store == "memory:"
            if isinstance(store, str):
                cache = Cache(store, l1=l1, l1_max_bytes=size)
            else:
                from .backends._adapter import Adapter

                cache = Cache(None, l1=l1, l1_max_bytes=size, backend=Adapter(store))
            _caches[identity] = cache
    return cache


# ---- the environment ----------------------------------------------------------------------------------------------

# What each variable chooses. REDIS_URL chooses too, but gives way to the others.
_SELECTORS = {
    "CACHEKIT_API_KEY": "CachekitIO",
    "CACHEKIT_REDIS_URL": "Redis",
    "CACHEKIT_MEMCACHED_SERVERS": "Memcached",
    "CACHEKIT_FILE_CACHE_DIR": "file",
}


def _from_environment(function: Callable[..., Any]) -> FileBackend | None:
    """The store that the environment chooses.

    Raises:
        ConfigurationError: it chooses two.
    """
    chosen = [variable for variable in _SELECTORS if os.environ.get(variable)]
    if len(chosen) > 1:
        raise ConfigurationError(
            f"{' and '.join(chosen)} each choose a store: unset all but one, or say which one with backend="
        )
    if not chosen and os.environ.get("REDIS_URL"):
        tell_once(
            function, "REDIS_URL chooses a Redis store, which this version does not have: results stay in this process"
        )
    elif not chosen:
        tell_once(function, "no store is configured: results are kept in this process only")
    elif chosen[0] == "CACHEKIT_FILE_CACHE_DIR":
        return FileBackend()
    else:
        tell_once(
            function,
            f"{chosen[0]} chooses a {_SELECTORS[chosen[0]]} store, which this version does not have: results stay in "
            "this process",
        )
    return None


def place_for(function: Callable[..., Any], config: DecoratorConfig) -> Place:
    """Where the results of a function with this configuration are kept.

    Raises:
        ConfigurationError: the environment chooses two stores.
    """
    if config.backend is None:
        return Place(_open("memory:", config), objects=True, stored=False)
    backend = _from_environment(function) if config.backend is NOT_GIVEN else config.backend
    if backend is None:
        return Place(_open("memory:", config), objects=False, stored=False)
    try:
        # Only the class itself: methods that a subclass has written are to be asked.
        store = backend.url if type(backend) is FileBackend else backend
        return Place(_open(store, config), objects=False, stored=True)
    except CachekitError as error:
        tell_once(function, f"the store cannot be opened ({error}): results are kept in this process only")
        return Place(_open("memory:", config), objects=False, stored=False)
