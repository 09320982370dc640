"""cache.local: results as they are, in a cache of the function's own."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import inspect
import os
import pickle
import sys
import threading
import time
import tracemalloc
import weakref
from typing import Any, Callable

import pytest

from cachekit import CacheInfo, cache
from cachekit._core import LocalFunction
from cachekit._local import build_local
from cachekit.config import LocalConfig


def counted(**options: Any) -> tuple[Any, list[Any]]:
    """A decorated function and the calls that it has run."""
    runs: list[Any] = []

    @cache.local(**options)
    def function(*args: Any, **kwargs: Any) -> object:
        runs.append((args, kwargs) if kwargs else args)
        return [args, kwargs]

    return function, runs


@cache.local
def in_module(x: int) -> list[int]:
    """Has a name."""
    return [x]


# ---- what is kept ---------------------------------------------------------------------------------------------


def test_the_same_object_comes_back() -> None:
    function, runs = counted()
    assert function(1) is function(1) and function(1, y=2) is function(1, y=2)
    different = [(1,), (1.0,), (True,), ("1",), (b"1",), (None,), ((1,),), (), (1, 1)]
    assert len({id(function(*args)) for args in different}) == len(different)
    assert len(runs) == len(different) + 1


def test_none_is_a_result_and_an_exception_is_none() -> None:
    runs = []

    @cache.local
    def function(fail: bool) -> None:
        runs.append(fail)
        if fail:
            raise KeyError(fail)

    assert function(False) is function(False) is None
    for _ in range(2):
        with pytest.raises(KeyError):
            function(True)
    assert runs == [False, True, True]


def test_results_of_any_type_are_kept_by_strong_references() -> None:
    class Thing:
        pass

    @cache.local(max_entries=1)
    def function(x: Any) -> Thing:
        return Thing()

    gone = weakref.ref(function(1))
    gc.collect()
    assert function(1) is gone()
    function(2)
    assert gone() is None


def test_the_least_recently_used_goes_first() -> None:
    function, runs = counted(max_entries=3)
    for x in (1, 2, 3, 1, 4, 2, 1, 5, 3):
        function(x)
    assert [args[0] for args in runs] == [1, 2, 3, 4, 2, 5, 3]
    assert function.cache_info() == CacheInfo(2, 7, 2, 0, 3, 3, 0.0, None, None)


def test_many_results_are_found_again() -> None:
    function, runs = counted(max_entries=10_000)
    results = [function(x) for x in range(10_000)]
    assert all(function(x) is result for x, result in enumerate(results))
    assert function.cache_info()[:2] == (10_000, 10_000) and function.cache_info().currsize == 10_000
    function(-1)
    assert function.cache_info().currsize == 10_000
    function(0)
    assert len(runs) == 10_002


def test_without_a_number_there_are_256() -> None:
    function, _ = counted()
    for x in range(300):
        function(x)
    assert function.cache_info()[4:6] == (256, 256)


def test_results_end() -> None:
    runs: list[int] = []
    function: Any = LocalFunction(lambda x: runs.append(x), ttl_ms=1, max_entries=2)
    function(1)
    deadline = time.monotonic() + 60
    while runs == [1] and time.monotonic() < deadline:
        function(1)
    assert runs == [1, 1]
    # Those that have ended go before one that was not used for long.
    lasting: Any = LocalFunction(lambda x: [x], ttl_ms=3_600_000, max_entries=2)
    assert lasting(1) is lasting(1)


def test_a_result_that_ends_is_let_go_when_room_is_needed() -> None:
    class Thing:
        pass

    function: Any = LocalFunction(lambda x: Thing(), ttl_ms=1, max_entries=3)
    things = [weakref.ref(function(x)) for x in range(3)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(thing() is not None for thing in things):
        time.sleep(0.001)
        function("new")
        function("newer")
    assert all(thing() is None for thing in things)


def test_keys_of_a_function() -> None:
    function, runs = counted(key=lambda x, **_: x % 2, namespace="without effect")
    assert function(1) is function(3) is not function(2)
    assert function(2, y=1) is function(2) and len(runs) == 2
    for made in ("text", ("a", 1), [1, {"a": None}], b"bytes", None, 1.5):
        function, runs = counted(key=lambda *_: made)
        assert function(1) is function(2) and len(runs) == 1
    function, runs = counted(key=lambda *args: args)
    assert function(1) is function(1) is not function(2)
    function.invalidate_cache(1)
    function(1), function(2)
    assert len(runs) == 3


def test_what_cannot_be_a_key_is_an_error_of_the_caller() -> None:
    function, runs = counted()
    for argument in ({1}, object(), 2**70, [{1}], "\ud800"):
        with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
            function(argument)
        with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
            function.invalidate_cache(argument)

    def fail(*_: Any) -> Any:
        raise LookupError("no key")

    for key in (fail, lambda *_: {1}):
        failing, _ = counted(key=key)
        with pytest.raises((LookupError, TypeError)):
            failing(1)
    assert runs == []


def test_bypass_touches_nothing() -> None:
    function, runs = counted()
    assert function(1, _bypass_cache=False, y=2) == [(1,), {"y": 2}]
    assert function({1}, _bypass_cache=True) == [({1},), {}]
    assert len(runs) == 2 and function.cache_info()[:2] == (0, 0) and function.cache_info().currsize == 0


# ---- options and attributes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"ttl": "1"}, {"ttl": 1.5}, {"ttl": True}, {"max_entries": 1.0}, {"backend": None}, {"config": None}, {"serializer": "auto"}, {"l1": None}],
)
def test_other_options_are_type_errors_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        cache.local(**options)(print)


@pytest.mark.parametrize("options", [{"ttl": 0}, {"ttl": -1}, {"max_entries": 0}, {"max_entries": -5}])
def test_numbers_out_of_range_are_value_errors_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        cache.local(**options)(print)


def test_a_number_that_no_memory_holds_is_no_bound() -> None:
    function, _ = counted(max_entries=10**30)
    assert function(1) is function(1)


def test_attributes() -> None:
    assert (in_module.__name__, in_module.__doc__, in_module.__module__) == ("in_module", "Has a name.", __name__)
    assert inspect.signature(in_module) == inspect.signature(in_module.__wrapped__)
    assert pickle.loads(pickle.dumps(in_module)) is in_module is copy.deepcopy(in_module) is copy.copy(in_module)
    assert repr(in_module).startswith("<cached function in_module at 0x")
    for absent in ("get_health_status", "check_health"):
        assert not hasattr(in_module, absent)
    function, runs = counted()
    function(1), function(1), function(2)
    assert function.cache_info() == CacheInfo(1, 2, 1, 0, 256, 2, 0.0, None, None)
    assert function.cache_clear() is None
    assert function.cache_info() == CacheInfo(1, 2, 1, 0, 256, 0, 0.0, None, None)  # counters stay
    function(1), function(2)
    assert function.invalidate_cache(1) is None
    function(1), function(2)
    assert len(runs) == 5
    function.invalidate_cache()
    assert function.cache_info().currsize == 0
    function(1)
    assert asyncio.run(function.ainvalidate_cache(1)) is None
    assert function.cache_info().currsize == 0


def test_a_function_without_parameters() -> None:
    runs: list[int] = []

    @cache.local
    def function() -> list[int]:
        runs.append(1)
        return runs

    assert function() is function()
    function.invalidate_cache()
    function()
    assert len(runs) == 2


# ---- methods --------------------------------------------------------------------------------------------------


class Client:
    def __init__(self, name: str) -> None:
        self.name = name

    @cache.local
    def method(self, x: int) -> list[Any]:
        return [self.name, x]

    @classmethod
    @cache.local
    def of_class(cls) -> list[Any]:
        return [cls]

    @cache.local
    @staticmethod
    def static(x: int) -> list[Any]:
        return [x]

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("asked")


def test_methods_count_by_identity_and_results_go_with_the_object() -> None:
    one, two = Client("one"), Client("two")
    assert one.method(1) is one.method(1) == ["one", 1] and two.method(1) == ["two", 1]
    assert Client.method.cache_info().currsize == 2
    one.method.invalidate_cache(1)
    kept = two.method(1)
    assert Client.method.cache_info().currsize == 1 and two.method(1) is kept
    one.method(1), one.method(2)
    one.method.invalidate_cache()
    assert Client.method.cache_info().currsize == 1
    for x in range(100):
        one.method(x)
    del one
    gc.collect()
    assert Client.method.cache_info().currsize == 1
    del two, kept
    gc.collect()
    assert Client.method.cache_info().currsize == 0
    assert Client.of_class() is Client.of_class() and Client.static(1) is Client.static(1)


def test_objects_of_a_class_that_goes_go_with_it() -> None:
    def make() -> tuple[Any, Any]:
        class Chained:
            @cache.local
            def method(self) -> Any:
                return self

        chained = Chained()
        assert chained.method() is chained
        return weakref.ref(chained), weakref.ref(Chained.method)

    gone, function = make()
    gc.collect()
    assert gone() is None and function() is None


def test_a_cycle_through_a_result_is_collected() -> None:
    function, _ = counted()
    function(1).append(function)
    gone = weakref.ref(function)
    del function
    gc.collect()
    assert gone() is None


# ---- code that runs meanwhile ---------------------------------------------------------------------------------


def test_destructors_may_call_the_function() -> None:
    class Thing:
        def __init__(self, x: int) -> None:
            self.x = x

        def __del__(self) -> None:
            dead.append(self.x)
            if len(dead) < 50:
                function(self.x), function(-self.x)
                function.invalidate_cache(self.x + 1)
                if self.x % 3 == 0:
                    function.cache_clear()

    dead: list[int] = []

    @cache.local(max_entries=2)
    def function(x: int) -> Thing:
        return Thing(x)

    for x in range(1, 40):
        function(x % 5)
        assert 0 <= function.cache_info().currsize <= 2
    function.cache_clear()
    assert len(dead) >= 50


def test_a_function_that_calls_itself() -> None:
    @cache.local(max_entries=1000)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(80) == 23416728348467685

    @cache.local
    def endless(x: int) -> int:
        return endless(x)

    with pytest.raises(RecursionError):
        endless(1)

    @cache.local
    def once(x: int, depth: list[int] = [0]) -> int:
        depth[0] += 1
        return once(x) if depth[0] == 1 else depth[0]

    assert once(1) == 2 and once(1) == 2


def test_what_is_forgotten_while_it_is_computed_is_not_kept() -> None:
    for forget in ("invalidate_cache", "cache_clear"):
        runs: list[int] = []

        @cache.local
        def function(x: int) -> int:
            runs.append(x)
            if len(runs) == 1:
                getattr(function, forget)(*([x] if forget == "invalidate_cache" else []))
            return x

        assert [function(1), function(1), function(1)] == [1, 1, 1] and runs == [1, 1]


def test_threads_share_one_computation() -> None:
    gate = threading.Event()
    runs: list[int] = []

    @cache.local
    def function(x: int) -> list[int]:
        gate.wait(60)
        runs.append(x)
        return [x]

    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(function(1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(60)
    assert runs == [1] and len({id(result) for result in results}) == 1
    assert function.cache_info()[1] >= 1


def test_a_thread_takes_over_from_one_that_fails() -> None:
    entered, leave = threading.Event(), threading.Event()
    runs: list[int] = []

    @cache.local
    def function(x: int) -> list[int]:
        runs.append(x)
        if len(runs) == 1:
            entered.set()
            leave.wait(60)
            raise KeyError(x)
        return [x]

    def fail() -> None:
        with pytest.raises(KeyError):
            function(1)
        results.append("failed")

    results: list[Any] = []
    threads = [threading.Thread(target=fail)]
    threads[0].start()
    assert entered.wait(60)
    threads += [threading.Thread(target=lambda: results.append(function(1))) for _ in range(4)]
    for thread in threads[1:]:
        thread.start()
    leave.set()
    for thread in threads:
        thread.join(60)
    assert len(runs) == 2 and sorted(map(str, results)) == ["[1]"] * 4 + ["failed"]


def test_threads_that_compute_do_not_wait_for_each_other_in_a_circle() -> None:
    barrier = threading.Barrier(2)
    inside: set[str] = set()

    def call(name: str, other: str) -> str:
        if name not in inside:
            inside.add(name)
            barrier.wait(60)
            return functions[other](name)
        return name

    functions: dict[str, Any] = {
        "a": cache.local(lambda caller: call("a", "b")),
        "b": cache.local(lambda caller: call("b", "a")),
    }
    results: list[str] = []
    threads = [threading.Thread(target=lambda name=name: results.append(functions[name]("main"))) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == ["a", "b"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_threads_of_its_parent() -> None:
    entered, leave = threading.Event(), threading.Event()
    parent = os.getpid()

    @cache.local
    def function(x: int) -> int:
        if os.getpid() == parent:
            entered.set()
            leave.wait(60)
        return x

    thread = threading.Thread(target=function, args=(1,))
    thread.start()
    assert entered.wait(60)
    child = os.fork()
    if child == 0:
        os._exit(0 if function(1) == 1 else 1)
    leave.set()
    thread.join(60)
    assert os.waitpid(child, 0)[1] == 0


def test_references_are_counted_right_and_memory_stays() -> None:
    @cache.local(max_entries=10)
    def function(*args: Any, **kwargs: Any) -> list[Any]:
        return [args, kwargs]

    argument, key = "argument " + str(id(function)), ("a", "tuple")
    value = function(argument)
    before = sys.getrefcount(function), sys.getrefcount(argument), sys.getrefcount(value)

    def work(count: int) -> None:
        for x in range(count):
            function(argument), function(x, y=key), function(x)
            with contextlib.suppress(TypeError):
                function({1})
            function.invalidate_cache(x)
        function(argument)
        gc.collect()

    work(100)
    assert sys.getrefcount(function) == before[0]
    function.cache_clear()
    assert sys.getrefcount(argument) == before[1] and sys.getrefcount(value) < before[2]
    tracemalloc.start()
    try:
        work(100)
        start = tracemalloc.get_traced_memory()[0]
        work(2000)
        assert tracemalloc.get_traced_memory()[0] - start < 20_000
    finally:
        tracemalloc.stop()


# ---- coroutine functions --------------------------------------------------------------------------------------


def counted_async(body: Callable[[Any], Any] | None = None, **options: Any) -> tuple[Any, list[Any]]:
    runs: list[Any] = []

    @cache.local(**options)
    async def function(x: Any) -> Any:
        runs.append(x)
        await asyncio.sleep(0)
        return [x] if body is None else body(x)

    return function, runs


def test_a_coroutine_function_is_awaited_once() -> None:
    async def main() -> None:
        function, runs = counted_async()
        assert inspect.iscoroutinefunction(function) or sys.version_info < (3, 10)
        assert inspect.isawaitable(call := function(1))
        first = await call
        assert await function(1) is first and runs == [1]
        results = await asyncio.gather(*[function(2) for _ in range(10)])
        assert runs == [1, 2] and len({id(result) for result in results}) == 1
        assert function.cache_info()[:2] == (1, 11) and function.cache_info().currsize == 2
        function.invalidate_cache(1)  # a plain call
        assert await function(1) is not first
        await function.ainvalidate_cache()
        assert function.cache_info().currsize == 0
        function.cache_clear()
        with pytest.raises(TypeError):
            await function({1})

    asyncio.run(main())


def test_a_task_takes_over_from_one_that_fails_or_is_cancelled() -> None:
    async def main(cancelled: bool) -> None:
        entered, leave = asyncio.Event(), asyncio.Event()
        runs: list[int] = []

        @cache.local
        async def function(x: int) -> int:
            runs.append(x)
            if len(runs) == 1:
                entered.set()
                await leave.wait()
                raise KeyError(x)
            return x

        leader = asyncio.create_task(function(1))
        await entered.wait()
        followers = [asyncio.create_task(function(1)) for _ in range(4)]
        await asyncio.sleep(0)
        followers.pop().cancel()
        if cancelled:
            leader.cancel()
        leave.set()
        assert await asyncio.gather(*followers) == [1, 1, 1] and len(runs) == 2
        with pytest.raises(asyncio.CancelledError if cancelled else KeyError):
            await leader

    asyncio.run(main(False))
    asyncio.run(main(True))


def test_tasks_that_compute_do_not_wait_for_each_other_in_a_circle() -> None:
    async def main() -> None:
        @cache.local
        async def function(x: int) -> int:
            runs.append(x)
            await asyncio.sleep(0)
            return await function(1 - x) if len(runs) < 6 else x

        runs: list[int] = []
        await asyncio.wait_for(asyncio.gather(function(0), function(1)), 60)

    asyncio.run(main())


def test_what_is_forgotten_while_a_task_computes_it_is_not_kept() -> None:
    async def main() -> None:
        function, runs = counted_async()
        call = asyncio.create_task(function(1))
        await asyncio.sleep(0)
        function.invalidate_cache(1)
        await call
        assert function.cache_info().currsize == 0 and await function(1) == [1] and len(runs) == 2

    asyncio.run(main())


def test_async_methods() -> None:
    class Plain:
        @cache.local
        async def method(self, x: int) -> list[int]:
            return [x]

    async def main() -> None:
        one, two = Plain(), Plain()
        first = await one.method(1)
        assert await one.method(1) is first and await two.method(1) is not first
        one.method.invalidate_cache(1)
        assert await one.method(1) is not first
        del one, two
        gc.collect()
        assert Plain.method.cache_info().currsize == 0

    asyncio.run(main())


def test_many_loops_one_after_another() -> None:
    function, runs = counted_async()
    first = asyncio.run(function(1))
    assert asyncio.run(function(1)) is first and runs == [1]


def test_the_configuration_as_an_object() -> None:
    function = build_local(len, LocalConfig(ttl=5, max_entries=3))
    assert function([1]) == 1 and function.cache_info().maxsize == 3


def test_a_generator_is_not_kept() -> None:
    @cache.local
    def numbers(most: int) -> Any:
        return (number for number in range(most))

    assert list(numbers(3)) == list(numbers(3)) == [0, 1, 2]
    assert numbers.cache_info().currsize == 0
