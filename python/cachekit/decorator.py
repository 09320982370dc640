"""The decorator: `cache` and its presets."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable, TypeVar, overload

from ._attributes import CacheInfo
from ._build import build
from ._core import CachedClassMethod, CachedFunction, LocalFunction
from .config import resolve, resolve_local
from .errors import ConfigurationTypeError

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypedDict, Unpack

    from .config import DecoratorConfig
    from .config._options import CacheOptions

    _P = ParamSpec("_P")
    _R = TypeVar("_R")
    _T = TypeVar("_T")

    class _Keywords(CacheOptions, total=False):
        config: DecoratorConfig

    class _LocalKeywords(TypedDict, total=False):
        ttl: int
        max_entries: int
        namespace: str | None
        key: Callable[..., Any] | None


__all__ = ["CacheDecorator", "CacheInfo", "cache"]


def _decorate(make: Callable[[Any], Any], function: Any) -> Any:
    """What `make` makes of a function, also of one inside a class method or a static method."""
    kind: Any = function.__class__
    if isinstance(function, (classmethod, staticmethod)):
        inner = _decorate(make, function.__func__)  # pyright: ignore[reportUnknownMemberType]
        return CachedClassMethod(inner) if isinstance(function, classmethod) else staticmethod(inner)
    if not callable(function) and hasattr(kind, "__get__"):
        raise ConfigurationTypeError(f"cache decorates a function: put @{kind.__name__} above it")
    if not callable(function):
        raise ConfigurationTypeError(f"cache decorates a function, not {kind.__name__}: options are keywords")
    return make(function)


class CacheDecorator:
    """`cache`, and each of its presets but `cache.local`."""

    def __init__(self, preset: str | None = None) -> None:
        self._preset = preset

    @overload
    def __call__(
        self, function: classmethod[_T, _P, _R], /, **keywords: Unpack[_Keywords]
    ) -> classmethod[_T, _P, _R]: ...
    @overload
    def __call__(self, function: Callable[_P, _R], /, **keywords: Unpack[_Keywords]) -> CachedFunction[_P, _R]: ...
    @overload
    def __call__(
        self, function: None = None, /, **keywords: Unpack[_Keywords]
    ) -> Callable[[Callable[_P, _R]], CachedFunction[_P, _R]]: ...
    def __call__(self, function: Any = None, /, **keywords: Any) -> Any:
        """Caches what a function returns. As `@cache`, or with keywords as `@cache(ttl=60)`.

        Args:
            function: What is decorated: a function or coroutine function, a method, any callable.
            ttl: Lifetime of a result in seconds; None = no end, 0 = do not store.
            namespace: Part of the key; can be forgotten as a whole.
            backend: Where results are kept besides memory; None = memory of this process alone.
            serializer: How results become bytes: ``"default"``, ``"auto"``, ``"orjson"``, ``"arrow"``, or an object.
            key: A function of the call's arguments that returns the key's text.
            l1: An `L1CacheConfig`: the memory in front.
            stale_ttl: For how many seconds after its lifetime a result is still served while it is renewed.
            config: A `DecoratorConfig`, over which the other keywords win.

        `help(cachekit.DecoratorConfig)` has the others.

        Raises:
            ConfigurationError: a value is wrong, or there is no such keyword.
            UnsupportedError: this version does not have what is asked for.
        """
        make = functools.partial(self._make, keywords)
        return functools.partial(_decorate, make) if function is None else _decorate(make, function)

    def _make(self, keywords: dict[str, Any], function: Any) -> Any:
        return build(function, resolve(function, keywords, self._preset))

    def __repr__(self) -> str:
        return "cache" if self._preset is None else f"cache.{self._preset}"


class LocalDecorator:
    """`cache.local`."""

    @overload
    def __call__(
        self, function: classmethod[_T, _P, _R], /, **keywords: Unpack[_LocalKeywords]
    ) -> classmethod[_T, _P, _R]: ...
    @overload
    def __call__(self, function: Callable[_P, _R], /, **keywords: Unpack[_LocalKeywords]) -> LocalFunction[_P, _R]: ...
    @overload
    def __call__(
        self, function: None = None, /, **keywords: Unpack[_LocalKeywords]
    ) -> Callable[[Callable[_P, _R]], LocalFunction[_P, _R]]: ...
    def __call__(self, function: Any = None, /, **keywords: Any) -> Any:
        """Keeps what a function returns, as it is, in a cache of its own.

        Args:
            function: What is decorated.
            ttl: Lifetime of a result in whole seconds, 300 when it is not given.
            max_entries: Most results, 256 when it is not given; the least recently used goes first.
            namespace: A prefix of keys; without effect when `key` is given.
            key: Makes the key from the call's arguments.

        Raises:
            ConfigurationError: a value is wrong, or there is no such keyword.
        """
        make = functools.partial(self._make, keywords)
        return functools.partial(_decorate, make) if function is None else _decorate(make, function)

    def _make(self, keywords: dict[str, Any], function: Any) -> Any:
        from ._local import build_local

        return build_local(function, resolve_local(keywords))

    def __repr__(self) -> str:
        return "cache.local"


class _Cache(CacheDecorator):
    """Caches what a function returns: `@cache`, `@cache(ttl=60)`, or with a preset `@cache.production`.

    `@cache.local` is different: no store behind it, results as they are, bounded in entries.
    """

    minimal = CacheDecorator("minimal")
    production = CacheDecorator("production")
    secure = CacheDecorator("secure")
    dev = CacheDecorator("dev")
    test = CacheDecorator("test")
    io = CacheDecorator("io")
    local = LocalDecorator()


cache = _Cache()
