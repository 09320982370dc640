"""Which cache a function gets: functions that agree in store and limits share one."""

from __future__ import annotations

import threading
from typing import Any, Callable, NamedTuple

from ._core import Cache
from ._told import tell_once
from .backends.file import FileBackend
from .config import DecoratorConfig, NOT_GIVEN
from .errors import CachekitError, UnsupportedError

_MIB = 1048576


class Place(NamedTuple):
    """Where the results of a function are kept."""

    cache: Cache
    objects: bool  # as they are, in memory alone
    stored: bool  # there is a store behind the memory


_caches: dict[tuple[Any, ...], Cache] = {}
_caches_lock = threading.Lock()


def _open(url: str | None, config: DecoratorConfig) -> Cache:
    """The cache of a store with these limits: functions that agree in them share one."""
    size = 0 if config.l1.max_size_mb is None else config.l1.max_size_mb * _MIB
    identity = (url, size, config.l1.enabled)
    with _caches_lock:
        cache = _caches.get(identity)
        if cache is None:
            cache = _caches[identity] = Cache(url, l1=config.l1.enabled or url == "memory:", l1_max_bytes=size)
    return cache


def place_for(function: Callable[..., Any], config: DecoratorConfig) -> Place:
    """Where the results of a function with this configuration are kept."""
    if config.backend is None:
        return Place(_open("memory:", config), objects=True, stored=False)
    if config.backend is NOT_GIVEN:
        tell_once(function, "no store is configured: results are kept in this process only")
        return Place(_open("memory:", config), objects=False, stored=False)
    if not isinstance(config.backend, FileBackend):
        raise UnsupportedError("backend=: this version takes FileBackend objects, and None for memory alone")
    try:
        return Place(_open(config.backend.url, config), objects=False, stored=True)
    except CachekitError as error:
        tell_once(function, f"the store cannot be opened ({error}): results are kept in this process only")
        return Place(_open("memory:", config), objects=False, stored=False)
