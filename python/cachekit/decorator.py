"""The decorator: from a function and its configuration to a function with a cache in front."""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, TypeVar, overload

from ._core import Cache, CachedFunction
from .backends.file import FileBackend
from .config import DecoratorConfig, NOT_GIVEN, resolve, resolve_local
from .decorators.orchestrator import FeatureOrchestrator
from .errors import CachekitError, UnsupportedError

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from .config import LocalConfig

    _P = ParamSpec("_P")

__all__ = ["CacheDecorator", "CacheInfo", "cache"]

_R = TypeVar("_R")
_log = logging.getLogger("cachekit")

_NO_EXPIRY = 2**64 - 1
_DO_NOT_STORE = 2**64 - 2
_MIB = 1048576
_process_id = uuid.uuid4()
_numbers = itertools.count(1)


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


# ---- caches -----------------------------------------------------------------------------------------------------

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


def _cache_for(function: Callable[..., Any], config: DecoratorConfig) -> tuple[Cache, bool]:
    """The cache of a function, and whether it keeps live objects."""
    if config.backend is None:
        return _open("memory:", config), True
    if config.backend is NOT_GIVEN:
        _warn_once(function, "no store is configured: results are kept in this process only")
        return _open("memory:", config), False
    if not isinstance(config.backend, FileBackend):
        raise UnsupportedError("backend=: this version takes FileBackend objects, and None for memory alone")
    try:
        return _open(config.backend.url, config), False
    except CachekitError as error:
        _warn_once(function, f"the store cannot be opened ({error}): results are kept in this process only")
        return _open("memory:", config), False


_warned: dict[str, None] = {}


def _warn_once(function: Callable[..., Any], text: str) -> None:
    name = f"{function.__module__}.{function.__qualname__}"
    if text not in _warned and len(_warned) < 4096:
        _warned[text] = None
        _log.warning("%s: %s", name, text)


# ---- the function -----------------------------------------------------------------------------------------------

_ADVICE = {
    "key": "an argument cannot be part of a key",
    "value": "the result cannot be stored",
    "cache": "the cache cannot be used",
}


def _say_uncached(name: str, reason: str, error: BaseException | None) -> None:
    _log.warning("%s runs uncached, %s: %s", name, _ADVICE[reason], error)


def _build(function: Callable[_P, _R], config: DecoratorConfig) -> CachedFunction[_P, _R]:
    if inspect.iscoroutinefunction(function):
        raise UnsupportedError(f"{function.__qualname__}: this version caches no async functions")
    if config.serializer not in ("default", "std") and config.backend is not None:
        raise UnsupportedError("serializer=: with a store this version has the default serializer only")
    if config.key is not None and config.backend is not None:
        raise UnsupportedError("key=: with a store this version makes keys from arguments only")
    cache, objects = _cache_for(function, config)
    name = f"{function.__module__}.{function.__qualname__}"
    cached = CachedFunction(
        cache,
        function,
        # Objects belong to one decorated function; documents to all functions of one name, as in the store.
        f"{name}#{next(_numbers)}" if objects else name,
        namespace=config.namespace,
        ttl_ms=_NO_EXPIRY if config.ttl_ms is None else config.ttl_ms or _DO_NOT_STORE,
        integrity=config.integrity_checking,
        l1=config.l1.enabled,
        objects=objects,
        key=config.key,
        warn=functools.partial(_say_uncached, name),
    )
    for attribute in functools.WRAPPER_ASSIGNMENTS:
        if hasattr(function, attribute):
            setattr(cached, attribute, getattr(function, attribute))
    cached.__dict__.update(function.__dict__)
    _attach(cached, function, config)
    return cached


def _attach(cached: CachedFunction[..., Any], function: Callable[..., Any], config: DecoratorConfig) -> None:
    """The attributes of a decorated function."""
    features = FeatureOrchestrator.from_config(config)
    name = f"{function.__module__}.{function.__qualname__}"
    base: dict[str, int] = {}
    clears = itertools.count(1)
    session = [f"{_process_id}:{name}"]
    has_parameters = bool(inspect.signature(function).parameters)

    def counted() -> dict[str, int]:
        return {field: number - base.get(field, 0) for field, number in cached.counters().items()}

    def cache_info() -> CacheInfo:
        """What this function has counted since the last `cache_clear`."""
        now = counted()
        hits = now["l1_hits"] + now["l2_hits"]
        used = time.time() if hits or now["misses"] else None
        return CacheInfo(hits, now["misses"], now["l1_hits"], now["l2_hits"], None, None, 0.0, used, session[0])

    def cache_clear() -> None:
        """Forgets all results of this function and counts from zero again."""
        cached.forget_all()
        base.update(cached.counters())
        session[0] = f"{_process_id}:{name}#{next(clears)}"

    def invalidate_cache(*args: Any, **kwargs: Any) -> None:
        """Forgets the result of one call; without arguments, of every call of a function that has parameters."""
        if args or kwargs or not has_parameters:
            cached.forget(*args, **kwargs)
        else:
            cached.forget_all()

    def get_health_status() -> dict[str, Any]:
        """The features of this function and their state. Does not touch the store."""
        now = counted()
        return features.get_health_status({"total_operations": now["l1_hits"] + now["l2_hits"] + now["misses"]})

    def check_health() -> dict[str, Any]:
        """The same, after trying the store out."""
        found = cached.cache.health()
        status = "healthy" if found["healthy"] else "unhealthy"
        return {
            "status": status,
            "namespace": features.namespace,
            "decorator": get_health_status(),
            "components": {"backend": found},
            # The documented shape, which a store without connections fills with what it has: none.
            "system": {
                "status": status,
                "redis_connection": "inactive",
                "connection_pool": {"created_connections": 0, "available_connections": 0, "in_use_connections": 0},
            },
        }

    for attribute in (cache_info, cache_clear, invalidate_cache, get_health_status, check_health):
        cached.__dict__[attribute.__name__] = attribute


def _build_local(function: Callable[_P, _R], config: LocalConfig) -> CachedFunction[_P, _R]:
    raise UnsupportedError("cache.local: this version has backend=None, which keeps live objects too")


# ---- the decorator ----------------------------------------------------------------------------------------------


class CacheDecorator:
    """`cache`, and each of its presets."""

    def __init__(self, preset: str | None = None) -> None:
        self._preset = preset

    @overload
    def __call__(self, function: Callable[_P, _R], /, **keywords: Any) -> CachedFunction[_P, _R]: ...
    @overload
    def __call__(
        self, function: None = None, /, **keywords: Any
    ) -> Callable[[Callable[_P, _R]], CachedFunction[_P, _R]]: ...
    def __call__(self, function: Callable[..., Any] | None = None, /, **keywords: Any) -> Any:
        """Caches what a function returns. As `@cache`, or with keywords as `@cache(ttl=60)`; see `DecoratorConfig`."""
        if function is None:
            return functools.partial(self._decorate, keywords)
        return self._decorate(keywords, function)

    def _decorate(self, keywords: dict[str, Any], function: Callable[_P, _R]) -> CachedFunction[_P, _R]:
        if not callable(function):
            raise TypeError(f"cache decorates a function, not {type(function).__name__}: options are keywords")
        if self._preset == "local":
            return _build_local(function, resolve_local(keywords))
        return _build(function, resolve(function, keywords, self._preset))

    def __repr__(self) -> str:
        return "cache" if self._preset is None else f"cache.{self._preset}"


class _Cache(CacheDecorator):
    """Caches what a function returns: `@cache`, `@cache(ttl=60)`, or with a preset `@cache.production`."""

    minimal = CacheDecorator("minimal")
    production = CacheDecorator("production")
    secure = CacheDecorator("secure")
    dev = CacheDecorator("dev")
    test = CacheDecorator("test")
    io = CacheDecorator("io")
    local = CacheDecorator("local")


cache = _Cache()
