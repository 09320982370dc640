"""Read by the type checker alone: the signature of a decorated function survives, and what the decorator attaches has
types. An `ignore` that nothing needs is an error, so each one here claims that the checker refuses its line."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from cachekit import CacheInfo, DecoratorConfig, cache


@cache
def bare(number: int, name: str = "") -> list[int]:
    return [number, len(name)]


assert_type(bare(1), list[int])
assert_type(bare(1, name="x"), list[int])
bare("1")  # pyright: ignore[reportArgumentType]
bare()  # pyright: ignore[reportCallIssue]


@cache(ttl=60, backend=None)
def with_options(number: int) -> str:
    return str(number)


assert_type(with_options(1), str)
with_options(1, 2)  # pyright: ignore[reportCallIssue]


@cache.production
def preset(*, key: bytes) -> None: ...


assert_type(preset(key=b""), None)


@cache.minimal(backend=None)
async def asynchronous(number: int) -> float:
    return number / 2


async def awaits() -> None:
    assert_type(await asynchronous(1), float)


class Report:
    @cache(backend=None)
    def of(self, day: int) -> dict[str, int]:
        return {"day": day}


assert_type(Report().of(1), dict[str, int])
Report().of("1")  # pyright: ignore[reportArgumentType]

assert_type(bare.cache_info(), CacheInfo)
assert_type(bare.cache_info().hits, int)
assert_type(bare.__wrapped__(1), list[int])
bare.cache_clear()
bare.invalidate_cache(1)


class Counter:
    @cache.local(max_entries=10)
    def kept(self, day: int) -> list[int]:
        return [day]

    @staticmethod
    @cache
    def static(day: int) -> bytes:
        return bytes(day)


assert_type(Counter().kept(1), list[int])
Counter().kept("1")  # pyright: ignore[reportArgumentType]
assert_type(Counter.static(1), bytes)
Counter().kept.invalidate_cache(1)
Counter.kept.invalidate_cache(Counter(), 1)
assert_type(Counter.kept.cache_info(), CacheInfo)


@cache
async def of_bare_cache(number: int) -> str:
    return str(number)


async def asks() -> None:
    assert_type(await of_bare_cache.check_health(), dict[str, Any])
    assert_type(await of_bare_cache.invalidate_cache(1), None)


cache(ttl=1.5, l1_enabled=False, config=DecoratorConfig(backend=None))
cache(tll=60)  # pyright: ignore[reportCallIssue]
cache(ttl="60")  # pyright: ignore[reportArgumentType]
cache.production(namespace=5)  # pyright: ignore[reportArgumentType]
cache.local(ttl=60, max_entries=10, namespace="n", key=len)
cache.local(backend=None)  # pyright: ignore[reportCallIssue]
