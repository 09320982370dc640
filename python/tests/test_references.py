"""Nothing is kept alive that nobody needs any more, and nothing is let go that somebody has."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from typing import Any, Callable

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import L1CacheConfig


class Thing:
    """Can be referred to weakly, and says that it is large."""

    def __sizeof__(self) -> int:
        return 10000


@pytest.fixture(params=["objects", "documents", "files"])
def decorate(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    if request.param == "objects":
        return cache(backend=None)
    if request.param == "documents":
        return cache(namespace=f"references {id(tmp_path)}")
    return cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")))


def counts_after(run: Callable[[], object], *watched: object) -> list[int]:
    run(), run()
    gc.collect()
    before = [sys.getrefcount(thing) for thing in watched]
    for _ in range(100):
        run()
    gc.collect()
    return [sys.getrefcount(thing) - count for thing, count in zip(watched, before)]


def test_hits_misses_and_failures_keep_no_reference(decorate: Any) -> None:
    argument, result, error, unkeyable, name = ["argument"], ["result"], ValueError("x"), {1}, "name of an argument"

    @decorate
    def function(*args: Any, **kwargs: Any) -> Any:
        if args and args[0] == "fail":
            error.__traceback__ = None
            raise error
        return result

    def fail() -> None:
        try:
            function("fail", argument)
        except ValueError:
            error.__traceback__ = error.__context__ = None

    def miss() -> None:
        function.invalidate_cache(argument)
        function(argument)
        function.cache.release_objects()

    watched = argument, error, unkeyable, name, function.__wrapped__, None
    for run in (
        lambda: function(argument),
        lambda: function(argument, **{name: argument}),
        lambda: function(unkeyable),
        lambda: function(argument, _bypass_cache=True),
        fail,
        lambda: (miss(), function(argument)),
        lambda: (function.cache_clear(), function(argument)),
        lambda: (function.cache_info(), function.get_health_status()),
    ):
        assert all(abs(change) <= 2 for change in counts_after(run, *watched)[:-1])


@pytest.mark.parametrize("kind", ["hits", "failures", "unkeyable", "bypassed", "unstorable", "misses"])
def test_memory_stays_flat(kind: str, tmp_path: Any) -> None:
    backend = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")) if kind == "unstorable" else None

    @cache(backend=backend, l1=L1CacheConfig(max_size_mb=1))
    def function(x: Any, y: Any = None) -> Any:
        if kind == "failures":
            raise ValueError(x)
        return object() if kind == "unstorable" else [x, y]

    def run(number: int) -> None:
        try:
            if kind == "unkeyable":
                function({number})
            elif kind == "bypassed":
                function(number, _bypass_cache=True)
            elif kind == "misses":
                function(number % 7)
                function.invalidate_cache(number % 7)
            else:
                function(number % 3, "x" * 50)
        except ValueError:
            pass

    import logging

    logging.getLogger("cachekit").disabled = True
    try:
        tracemalloc.start()
        for number in range(500):
            run(number)
        function.cache.release_objects()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000):
            run(number)
        function.cache.release_objects()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        logging.getLogger("cachekit").disabled = False
    assert grown < 100_000  # two thousand leaks of an object would be more


def test_evicted_objects_go_as_others_come() -> None:
    @cache(backend=None, l1=L1CacheConfig(max_size_mb=1))
    def function(x: int) -> Thing:
        return Thing()

    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    for number in range(2000):
        alive.add(function(number))
    assert 0 < len(alive) < 200  # of 10,000 bytes each, in a mebibyte


def test_hits_alone_let_go_what_memory_has_let_go() -> None:
    @cache(backend=None)
    def function(x: int) -> Thing:
        return Thing()

    gone = [weakref.ref(function(number)) for number in range(600)]
    hit = function(1000)
    for number in range(600):
        function.invalidate_cache(number)
    for _ in range(50):
        assert function(1000) is hit
    assert sum(reference() is None for reference in gone) >= 256  # few stay for some seconds


def test_a_result_that_somebody_has_stays_when_memory_lets_it_go() -> None:
    @cache(backend=None)
    def function(x: int) -> list[int]:
        return [x]

    results = [function(number) for number in range(1000)]
    function.cache_clear()
    del function
    gc.collect()
    assert results == [[number] for number in range(1000)]


def test_a_dropped_function_goes_with_its_cycles_and_its_cache() -> None:
    # The only function of its cache.
    @cache(backend=None, l1=L1CacheConfig(max_size_mb=3))
    def function(x: int) -> Thing:
        assert function is not None  # a cycle: the closure refers to the decorated function
        return Thing()

    result, gone = weakref.ref(function(1)), weakref.ref(function)
    assert result() is not None
    function.attribute = [function]  # another cycle
    function = None  # type: ignore[assignment]
    gc.collect()
    assert gone() is None and result() is None


def test_a_dropped_function_forgets_its_objects_in_a_cache_that_others_use() -> None:
    def make() -> Any:
        @cache(backend=None)
        def function(x: int) -> Thing:
            return Thing()

        return function

    other = make()
    other(1)
    references = []
    for _ in range(600):
        function = make()
        references.append(weakref.ref(function(1)))
        del function
    for number in range(200_000):  # what is dead in memory goes before what is alive, at the latest with a sweep
        other(number % 30_000)
        if not any(reference() is not None for reference in references):
            break
    assert other(1) is other(1)


def test_functions_that_come_and_go_do_not_see_what_the_ones_before_kept() -> None:
    def make(number: int) -> Any:
        @cache(backend=None)
        def function(x: int) -> list[int]:
            return [x, number]

        return function

    other = make(-1)  # keeps the cache
    for number in range(300):
        function = make(number)
        assert function(1) is function(1) and function(1) == [1, number]
        del function
    assert other(1) == [1, -1]


def test_a_result_that_refers_to_its_own_function_keeps_it_until_it_is_forgotten() -> None:
    # The garbage collector does not see what is in memory; forgetting, or the end of the lifetime, lets it go.
    def make() -> Any:
        @cache(backend=None)
        def function(x: int = 0) -> Any:
            return [function]

        return function

    function, other = make(), make()
    function()
    gone = weakref.ref(function)
    del function
    gc.collect()
    held = gone()
    assert held is not None
    held.invalidate_cache(), held.forget()
    del held
    for number in range(20_000):
        other(number), other.invalidate_cache(number)
        if number % 1000 == 0 and gc.collect() >= 0 and gone() is None:
            break
    assert gone() is None


def test_exceptions_do_not_keep_the_call_alive() -> None:
    @cache(backend=None)
    def function(x: Any) -> Any:
        local = Thing()
        alive.append(weakref.ref(local))
        raise ValueError

    alive: list[weakref.ref[Thing]] = []
    argument = Thing()
    alive.append(weakref.ref(argument))
    for x in (1, argument):
        with pytest.raises(ValueError):
            function(x)
    del argument, x
    gc.collect()
    assert all(reference() is None for reference in alive)
