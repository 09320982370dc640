"""What tests of methods share: caches of their own, and a class that counts its runs."""

from __future__ import annotations

import functools
import gc
import itertools
from typing import Any

from cachekit import cache
from cachekit.config import L1CacheConfig

sizes = itertools.count(30)


def own_cache() -> dict[str, Any]:
    """Options that no other function has: its cache is its own."""
    return {"ttl": 3600, "l1": L1CacheConfig(max_size_mb=next(sizes))}


def entries(function: Any) -> int:
    """How many results the cache of a function holds."""
    gc.collect()
    function.cache.release_objects()
    return function.cache.stats()["l1_entries"]


class Counter:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self.runs = 0

    @cache(backend=None, ttl=None)
    def method(self, x: Any, *more: Any, y: Any = 0) -> list[Any]:
        """Counts."""
        self.runs += 1
        return [self.name, x, more, y]

    @cache(backend=None)
    def alone(self) -> list[Any]:
        self.runs += 1
        return [self.name]

    @property
    @cache(backend=None)
    def described(self) -> list[Any]:
        self.runs += 1
        return [self.name]

    @classmethod
    @cache(backend=None)
    def of_class(cls, x: Any) -> list[Any]:
        return [cls.__name__, x]

    @cache(backend=None)
    @classmethod
    def of_class_too(cls, x: Any) -> list[Any]:
        return [cls.__name__, x]

    @staticmethod
    @cache(backend=None)
    def static(x: Any) -> list[Any]:
        return [x]

    @cache(backend=None)
    @staticmethod
    def static_too(x: Any) -> list[Any]:
        return [x]

    with_three = functools.partialmethod(method, 3)
