"""Coroutine functions: calls, and what a call returns."""

from __future__ import annotations

import asyncio
import collections.abc
import functools
import gc
import inspect
import sys
import types
import warnings
import weakref
from typing import Any

import pytest

from awaited import counting, options
from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig

__all__ = ["options"]


# ---- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_runs_once(options: dict[str, Any]) -> None:
    function, runs = counting(namespace="a call runs once", **options)

    async def main() -> None:
        assert await function(1, y=2) == await function(1, y=2) == [[1], {"y": 2}]
        assert await function(2) == [[2], {}]

    asyncio.run(main())
    asyncio.run(main())
    assert runs == [((1,), {"y": 2}), ((2,), {})]
    assert function.cache_info()[:4] == (4, 2, 4, 0)


def test_what_memory_forgot_comes_from_the_store(tmp_path: Any) -> None:
    store = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))
    first, runs = counting(backend=store, ttl=60)
    again, more = counting(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")), ttl=60, l1_enabled=False)

    async def main() -> None:
        value = await first("x")
        assert await again("x") == value == await again("x")

    asyncio.run(main())
    assert (len(runs), len(more)) == (1, 0)
    assert again.cache_info().l2_hits == 2


def test_each_caller_gets_documents_of_its_own_and_objects_as_they_are(options: dict[str, Any]) -> None:
    function, _ = counting(namespace="documents and objects", **options)

    async def main() -> bool:
        await function(1)
        return await function(1) is await function(1)

    assert asyncio.run(main()) is (options["backend"] is None)


@pytest.mark.parametrize("value", [None, (), (1, 2), StopIteration(3), ValueError("v"), ("a",), 0, False])
def test_every_result_comes_back_as_it_is(value: Any) -> None:
    @cache(backend=None)
    async def function() -> Any:
        return value

    async def main() -> None:
        assert await function() is value
        assert await function() is value  # awaited
        assert await asyncio.ensure_future(function()) is value  # sent to
        with pytest.raises(StopIteration) as stop:
            function().send(None)
        assert stop.value.value is value
        with pytest.raises(StopIteration) as stop:
            next(function().__await__())
        assert stop.value.value is value

    asyncio.run(main())


def test_bypass_and_arguments_without_a_key_run_the_function(caplog: pytest.LogCaptureFixture) -> None:
    function, runs = counting()

    async def main() -> None:
        await function(1)
        await function(1, _bypass_cache=True)
        assert len(runs) == 2 and not caplog.records
        await function(object())
        await function({1})
        assert len(runs) == 4 and len(caplog.records) == 2

    asyncio.run(main())


def test_a_result_that_cannot_be_stored_is_returned_all_the_same(tmp_path: Any, caplog: Any) -> None:
    @cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path)))
    async def function() -> object:
        return thing

    thing = object()
    assert asyncio.run(function()) is thing and asyncio.run(function()) is thing
    assert "cannot be stored" in caplog.text


def test_a_result_that_can_be_used_once_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    @cache(backend=None)
    def items() -> Any:
        return (n for n in range(3))

    assert list(items()) == [0, 1, 2] == list(items())
    assert "only once" in caplog.text


@pytest.mark.parametrize("form", ["bare", "preset", "call", "partial", "object", "bound"])
def test_every_form_decorates(form: str) -> None:
    async def function(x: int) -> int:
        return x + 1

    class Callable:
        async def __call__(self, x: int) -> int:
            return x + 1

        async def method(self, x: int) -> int:
            return x + 1

    instance = Callable()
    decorated: Any = {
        "bare": lambda: cache(function),
        "preset": lambda: cache.minimal(ttl=5)(function),
        "call": lambda: cache(backend=None)(function),
        "partial": lambda: cache(backend=None)(functools.partial(function, 1)),
        "object": lambda: cache(backend=None)(instance),
        "bound": lambda: cache(backend=None)(instance.method),
    }[form]()
    args = () if form == "partial" else (1,)

    async def main() -> None:
        assert await decorated(*args) == await decorated(*args) == 2

    asyncio.run(main())
    assert decorated.cache_info().hits == 1


def test_methods() -> None:
    class Counter:
        runs = 0

        @cache(backend=None)
        async def get(self, x: int) -> int:
            Counter.runs += 1
            return x

        @classmethod
        @cache(backend=None)
        async def of_class(cls, x: int) -> str:
            return f"{cls.__name__}{x}"

        @staticmethod
        @cache(backend=None)
        async def static(x: int) -> int:
            return x

    async def main() -> None:
        one, two = Counter(), Counter()
        assert [await one.get(1), await one.get(1), await two.get(1)] == [1, 1, 1] and Counter.runs == 2
        await one.get.invalidate_cache(1)
        assert [await one.get(1), await two.get(1)] == [1, 1] and Counter.runs == 3
        assert await Counter.of_class(1) == await one.of_class(1) == "Counter1"
        assert await Counter.static(1) == await one.static(1) == 1
        assert inspect.iscoroutinefunction(one.get) or sys.version_info < (3, 10)

    asyncio.run(main())


# ---- what a call returns --------------------------------------------------------------------------------------------


def test_a_call_is_a_coroutine_to_everybody() -> None:
    function, _ = counting()
    assert inspect.iscoroutinefunction(function)
    if sys.version_info < (3, 14):
        assert asyncio.iscoroutinefunction(function)
    asyncio.run(function(1))
    for call in (function(1), function(2)):
        assert inspect.isawaitable(call) and inspect.iscoroutine(call) and asyncio.iscoroutine(call)
        assert isinstance(call, collections.abc.Coroutine) and isinstance(call, collections.abc.Awaitable)
        assert inspect.getcoroutinestate(call) == inspect.CORO_CREATED
        assert not isinstance(call, collections.abc.Iterator)
        assert call.__name__ == "function" and call.__qualname__.endswith("counting.<locals>.function")
        assert call.__qualname__ in repr(call)
        assert isinstance(call.cr_frame, types.FrameType) and isinstance(call.cr_code, types.CodeType)
        assert call.cr_await is None and call.cr_origin is None and call.cr_running is False
        call.close()
        assert inspect.getcoroutinestate(call) == inspect.CORO_CLOSED


def test_a_call_cannot_be_looped_over() -> None:
    function, _ = counting()
    asyncio.run(function(1))
    call = function(1)
    with pytest.raises(TypeError, match="iter"):
        for _ in call:
            pass
    call.close()


@pytest.mark.parametrize("hit", [True, False])
def test_every_tool_of_asyncio_takes_a_call(hit: bool) -> None:
    function, runs = counting()
    wanted = [[1], {}]

    async def main() -> None:
        def call() -> Any:
            if not hit:
                function.cache_clear()
            return function(1)

        await function(1)
        assert await call() == wanted
        assert await asyncio.gather(call(), call()) == [wanted, wanted]
        assert await asyncio.wait_for(call(), 60) == wanted
        assert await asyncio.create_task(call()) == wanted
        assert await asyncio.ensure_future(call()) == wanted
        assert await asyncio.shield(call()) == wanted
        done, pending = await asyncio.wait([asyncio.ensure_future(call())])
        assert [task.result() for task in done] == [wanted] and not pending
        assert [await one for one in asyncio.as_completed([call()])] == [wanted]
        loop = asyncio.get_running_loop()
        work = functools.partial(asyncio.run_coroutine_threadsafe, call(), loop)
        future = await loop.run_in_executor(None, work)
        assert await asyncio.wrap_future(future) == wanted
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(call())
            assert task.result() == wanted
        task = asyncio.create_task(call())
        assert "function" in repr(task) and task.get_stack() is not None
        assert await task == wanted

    asyncio.run(main())
    assert asyncio.run(function(1)) == wanted
    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(function(1)) == wanted
    finally:
        loop.close()


def test_an_awaitable_class_may_delegate_to_a_call() -> None:
    function, _ = counting()

    class By:
        def __init__(self, how: str) -> None:
            self.how = how

        def __await__(self) -> Any:
            if self.how == "from":
                return (yield from function(1).__await__())
            result = yield from function(2).__await__()
            return result

    async def main() -> None:
        for how in ("from", "result"):
            assert await By(how) == await By(how)

    asyncio.run(main())


@pytest.mark.parametrize("hit", [True, False])
def test_a_call_is_awaited_once(hit: bool) -> None:
    function, _ = counting()

    async def main() -> None:
        if hit:
            await function(1)
        call = function(1)
        await call
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            await call
        with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
            call.throw(ValueError())
        call.close()

    asyncio.run(main())


def test_two_cannot_await_one_call_at_a_time() -> None:
    @cache(backend=None)
    async def function() -> int:
        await asyncio.sleep(0.01)
        return 1

    async def main() -> None:
        call = function()
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="being awaited already"):
            await call
        assert await task == 1

    asyncio.run(main())


@pytest.mark.parametrize("hit", [True, False])
def test_a_forgotten_await_is_warned_of_as_ever(hit: bool) -> None:
    function, runs = counting()
    if hit:
        asyncio.run(function(1))
    with pytest.warns(RuntimeWarning, match="coroutine '.*function' was never awaited"):
        function(1)
        gc.collect()
    assert len(runs) == hit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(1).close()


@pytest.mark.parametrize("hit", [True, False])
def test_thrown_into_before_it_runs_it_ends(hit: bool) -> None:
    function, _ = counting()
    if hit:
        asyncio.run(function(1))
    for thrown in ((ValueError("thrown"),), (ValueError, "thrown"), (ValueError, ValueError("thrown"), None)):
        call = function(1)
        with warnings.catch_warnings(), pytest.raises(ValueError, match="thrown"):
            warnings.simplefilter("ignore", DeprecationWarning)
            call.throw(*thrown)
        with pytest.raises(RuntimeError, match="cannot reuse"):
            call.send(None)
    call = function(1)
    with pytest.raises(TypeError):
        call.send(1)
    call.close()
    with warnings.catch_warnings(), pytest.raises(TypeError):
        warnings.simplefilter("ignore", DeprecationWarning)
        function(1).throw(1)


def test_an_await_leaves_no_reference_to_its_result_behind() -> None:
    function, _ = counting()

    async def main() -> None:
        await function(1)
        result = await function(1)
        await function(1)
        before = sys.getrefcount(result)
        for _ in range(100):
            await function(1)
            await asyncio.ensure_future(function(1))
        await asyncio.sleep(0)  # the loop has let go of the last task
        assert sys.getrefcount(result) == before
        call = function(1)
        assert sys.getrefcount(result) == before + 1
        call.close()
        assert sys.getrefcount(result) == before

    asyncio.run(main())


def test_stop_iteration_that_somebody_keeps_stays_as_it_is() -> None:
    function, _ = counting()

    async def main() -> None:
        await function(1), await function(2)

    asyncio.run(main())
    kept = []
    for number in (1, 2, 1):
        try:
            next(function(number).__await__())
        except StopIteration as stop:
            kept.append(stop)
    assert [stop.value for stop in kept] == [[[1], {}], [[2], {}], [[1], {}]]


def test_calls_are_collected_with_their_cycles() -> None:
    function, _ = counting()
    asyncio.run(function(1))

    class Node:
        pass

    for number in (1, 2):  # a hit, a miss
        node = Node()
        node.call = function(number, **({"node": 1} if number == 2 else {}))
        node.call.cr_frame  # a coroutine has taken over
        node.self = node
        gone = weakref.ref(node)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            del node
            gc.collect()
        assert gone() is None
