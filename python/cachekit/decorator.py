"""The decorator: `cache` and its presets."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable, TypeVar, overload

from ._attributes import CacheInfo
from ._build import build
from ._core import CachedClassMethod, CachedFunction
from .config import resolve, resolve_local

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    _P = ParamSpec("_P")

__all__ = ["CacheDecorator", "CacheInfo", "cache"]

_R = TypeVar("_R")
_T = TypeVar("_T")


class CacheDecorator:
    """`cache`, and each of its presets."""

    def __init__(self, preset: str | None = None) -> None:
        self._preset = preset

    @overload
    def __call__(self, function: classmethod[_T, _P, _R], /, **keywords: Any) -> classmethod[_T, _P, _R]: ...
    @overload
    def __call__(self, function: Callable[_P, _R], /, **keywords: Any) -> CachedFunction[_P, _R]: ...
    @overload
    def __call__(
        self, function: None = None, /, **keywords: Any
    ) -> Callable[[Callable[_P, _R]], CachedFunction[_P, _R]]: ...
    def __call__(self, function: Any = None, /, **keywords: Any) -> Any:
        """Caches what a function returns. As `@cache`, or with keywords as `@cache(ttl=60)`; see `DecoratorConfig`."""
        if function is None:
            return functools.partial(self._decorate, keywords)
        return self._decorate(keywords, function)

    def _decorate(self, keywords: dict[str, Any], function: Any) -> Any:
        kind: Any = function.__class__
        if isinstance(function, (classmethod, staticmethod)):
            inner = self._decorate(keywords, function.__func__)  # pyright: ignore[reportUnknownMemberType]
            return CachedClassMethod(inner) if isinstance(function, classmethod) else staticmethod(inner)
        if not callable(function) and hasattr(kind, "__get__"):
            raise TypeError(f"cache decorates a function: put @{kind.__name__} above it")
        if not callable(function):
            raise TypeError(f"cache decorates a function, not {kind.__name__}: options are keywords")
        if self._preset == "local":
            from ._local import build_local

            return build_local(function, resolve_local(keywords))
        return build(function, resolve(function, keywords, self._preset))

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
