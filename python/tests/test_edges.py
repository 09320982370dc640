"""Edges of the extension: text that is cut off, callbacks at awkward moments, what only a careless caller passes."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys
import time
import warnings
import weakref
from typing import Any

import pytest

from cachekit import _core, cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.errors import CachekitError
from cachekit.serializers import SerializationFormat, SerializationMetadata
from shelves import Shelf

# ---- text of the library's --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", range(2))
def test_a_reason_that_is_cut_off_inside_a_character_is_told_all_the_same(before: int) -> None:
    store = FileBackend(FileBackendConfig(cache_dir="/proc/" + before * "a" + 200 * "é"))
    with pytest.raises(CachekitError, match="é"):
        store.get("key")
    assert not store.health_check()[0]

    @cache(backend=store)
    def function(x: int) -> int:
        return x

    assert function(1) == 1


class Store(Shelf):
    """`reason` is why its health is bad."""

    def __init__(self, life: float = 60, reason: str = "") -> None:
        super().__init__()
        self.life = life
        self.reason = reason

    def health_check(self) -> tuple[bool, dict[str, Any]]:
        return False, {"error": self.reason, "backend_type": self.reason}

    def get_ttl(self, key: str) -> float:
        return self.life

    def refresh_ttl(self, key: str, ttl: int) -> bool:
        return True


@pytest.mark.parametrize("before", range(2))
def test_a_state_of_health_that_is_cut_off_inside_a_character_is_told_all_the_same(before: int) -> None:
    @cache(backend=Store(reason=before * "a" + 300 * "é"))
    def function(x: int) -> int:
        return x

    assert "é" in function.check_health()["components"]["backend"]["detail"]


@pytest.mark.parametrize("life", [math.nan, -1.0, 0.0, math.inf, 1e300])
def test_a_store_may_tell_any_number_of_seconds(life: float) -> None:
    @cache(backend=Store(life), refresh_ttl_on_get=True, l1_enabled=False)
    def function(x: int) -> int:
        return x

    assert [function(1), function(1)] == [1, 1]
    assert function.cache_info().l2_hits == 1


# ---- awkward moments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decorate", [cache.local, cache(backend=None)])
def test_a_receiver_that_goes_when_its_function_does(decorate: Any) -> None:
    class Thing:
        @decorate
        def method(self, x: int) -> list[int]:
            return [x]

    things = [Thing()]
    things[0].method(1)
    function = vars(Thing)["method"]
    del Thing.method
    vars(function).clear()  # without its attributes it is in no cycle, and goes at once
    gone = weakref.ref(things[0])
    watch = weakref.ref(function, lambda _: things.clear())
    del function
    assert watch() is None
    assert gone() is None


class Twice(str):
    """A name that can be hashed as often as `left` says."""

    left = 1000

    def __hash__(self) -> int:
        if self.left == 0:
            raise ZeroDivisionError
        self.left -= 1
        return super().__hash__()

    __eq__ = str.__eq__


def test_a_call_whose_arguments_cannot_be_gathered_leaves_nothing_behind() -> None:
    class Argument:
        pass

    @cache(backend=None, key=lambda *args, **kwargs: "key")
    async def function(*args: Any, **kwargs: Any) -> int:
        return 1

    failed = 0
    for left in range(10):
        argument, name = Argument(), Twice("name")
        gone = weakref.ref(argument)
        keywords = {name: 1}
        name.left = left
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a coroutine that is not awaited
                function(argument, **keywords)
        except ZeroDivisionError:
            failed += 1
        name.left = 1000
        del argument, keywords, name
        gc.collect()
        assert gone() is None, left
    assert failed > 0


def test_a_log_that_fails_does_not_fail_the_call_that_found_an_unreadable_value(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_type))

    class Reader:
        def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
            return b"x", SerializationMetadata(SerializationFormat.MSGPACK)

        def deserialize(self, data: bytes, metadata: SerializationMetadata) -> Any:
            raise ValueError

    @cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")), serializer=Reader())
    def function(x: int) -> int:
        return 5

    def fail(record: logging.LogRecord) -> bool:
        raise ZeroDivisionError

    assert function(1) == 5
    logger = logging.getLogger("cachekit")
    monkeypatch.setattr(logger, "filters", [fail])
    assert function(1) == 5
    assert ZeroDivisionError in told


# ---- what is passed -----------------------------------------------------------------------------------------------------


def test_a_key_may_be_of_a_subclass_of_text() -> None:
    class Name(str):
        pass

    @cache(backend=None, key=Name)
    def function(x: str) -> list[str]:
        return [x]

    assert function("a") is function("a")
    assert function("b") == ["b"]
    assert function.cache_info()[:2] == (1, 2)


@pytest.mark.parametrize("packed", ["x", 1, None, bytearray(b"x")])
def test_a_local_function_is_asked_by_packed_arguments_only(packed: Any) -> None:
    @cache.local
    def function(x: int) -> int:
        return x

    function(1)
    with pytest.raises(TypeError, match="what pack"):
        function.look(packed)
    assert function.look(function.pack(1)) == (1,)


def test_the_parts_of_an_array_have_names() -> None:
    with pytest.raises(TypeError, match="names"):
        _core.encode(object(), lambda _: {"__ndarray__": True, 1: 2})


# ---- every exception has a place in the catalogue ---------------------------------------------------------------------


class Plain:
    __slots__ = ()


@pytest.mark.parametrize(
    ("do", "code"),
    [
        (lambda: cache(3), "E103"),
        (lambda: cache(property(len)), "E103"),
        (lambda: cache(generate), "E103"),
        (lambda: cache(generate_awaited), "E103"),
        (lambda: cache.local(len)(Plain()), "E110"),
        (lambda: cache.local(len)({1}), "E110"),
        (lambda: cache.local(len)("\ud800"), "E110"),
        (lambda: cache.local(len)(2**70), "E110"),
        (lambda: cache.local(key=lambda x: {x})(len)("a"), "E110"),
        (lambda: cache.local(len).invalidate_cache(object()), "E110"),
        (lambda: over_files().cache_clear(), "E102"),
    ],
)
def test_every_exception_has_a_code(do: Any, code: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)) as raised:
        do()
    assert getattr(raised.value, "code", None) == code


def test_what_key_raises_is_left_as_it_is() -> None:
    def key(x: Any) -> Any:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine") as raised:
        cache.local(key=key)(len)("a")
    assert not hasattr(raised.value, "code")


def generate() -> Any:
    yield 1


async def generate_awaited() -> Any:
    yield 1


def over_files() -> Any:
    async def function(x: int) -> int:
        return x

    return cache(backend=FileBackend(FileBackendConfig(cache_dir="store")))(function)


# ---- what is counted ----------------------------------------------------------------------------------------------------


class Slow(Store):
    def get(self, key: str) -> bytes | None:
        time.sleep(0.02)
        return super().get(key)


@pytest.mark.parametrize("awaited", [False, True])
def test_answers_of_the_store_are_timed(awaited: bool) -> None:
    async def awaited_function(x: int) -> int:
        return x

    def plain_function(x: int) -> int:
        return x

    decorated: Any = cache(backend=Slow(), l1_enabled=False)(awaited_function if awaited else plain_function)

    async def call() -> None:
        answer = decorated(1)
        assert (await answer if awaited else answer) == 1

    asyncio.run(call())
    assert decorated.cache_info().l2_avg_latency_ms == 0  # a miss is no answer
    asyncio.run(call())
    asyncio.run(call())
    assert decorated.cache_info().l2_hits == 2
    assert decorated.cache_info().l2_avg_latency_ms >= 20
