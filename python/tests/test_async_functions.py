"""Coroutine functions from outside: errors, contexts, recursion, how they are decorated, and their attributes."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import io
import logging
import sys
import traceback
import warnings
from typing import Any

import pytest

from awaited import counting, options
from cachekit import cache
from cachekit.errors import CachekitError

__all__ = ["options"]


# ---- errors, context, recursion ---------------------------------------------------------------------------------------


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyError, Odd, asyncio.CancelledError, TimeoutError, CachekitError])
def test_errors_of_the_function_are_the_callers_and_not_kept(error: Any, options: dict[str, Any]) -> None:
    runs = []

    @cache(namespace=error.__name__, **options)
    async def function() -> str:
        runs.append(1)
        if len(runs) == 1:
            raise error("no")
        return "yes"

    async def main() -> None:
        with pytest.raises(error) as raised:
            await function()
        assert [frame.name for frame in traceback.extract_tb(raised.tb)][-1] == "function"
        assert await function() == await function() == "yes"

    asyncio.run(main())
    assert len(runs) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_it(error: Any) -> None:
    @cache(backend=None)
    async def function() -> None:
        raise error

    with pytest.raises(error):
        asyncio.run(function())


def test_stop_iteration_of_the_function_is_a_runtime_error_as_ever() -> None:
    @cache(backend=None)
    async def function() -> None:
        raise StopIteration(1)

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(function())


def test_wrong_arguments_are_a_type_error_when_awaited() -> None:
    @cache(backend=None)
    async def function(x: int) -> int:
        return x

    async def main() -> None:
        with pytest.raises(TypeError, match="argument"):
            await function(1, 2)
        assert await function(1) == 1

    asyncio.run(main())


def test_the_function_sees_the_context_of_its_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")

    @cache(backend=None)
    async def function(x: int) -> str:
        seen = variable.get()
        variable.set("of the function")
        return seen

    async def main() -> None:
        variable.set("of the caller")
        assert await function(1) == "of the caller"
        assert variable.get() == "of the function"  # one task, one context, as without a cache
        before = dict(contextvars.copy_context())
        assert await function(1) == "of the caller"
        assert dict(contextvars.copy_context()) == before

    asyncio.run(main())


def test_a_function_may_call_itself(options: dict[str, Any]) -> None:
    runs = []

    @cache(namespace="recursion", **options)
    async def fibonacci(n: int) -> int:
        runs.append(n)
        return n if n < 2 else sum(await asyncio.gather(fibonacci(n - 1), fibonacci(n - 2)))

    assert asyncio.run(fibonacci(12)) == 144
    assert sorted(runs) == list(range(13))


@pytest.mark.parametrize("through", ["itself", "a task", "another"])
def test_a_function_that_awaits_its_own_call_does_not_wait_for_itself(through: str, options: dict[str, Any]) -> None:
    depth = 0

    @cache(namespace=f"re-entry through {through}", **options)
    async def function(x: int) -> int:
        nonlocal depth
        depth += 1
        if depth == 3:
            return x
        if through == "a task":
            return await asyncio.create_task(function(x))
        return await (other(x) if through == "another" else function(x))

    @cache(backend=None)
    async def other(x: int) -> int:
        return await function(x)

    assert asyncio.run(asyncio.wait_for(function(7), 30)) == 7
    assert depth == 3
    assert asyncio.run(function(7)) == 7 and depth == 3


def test_a_task_that_outlives_the_call_which_started_it_is_free_again() -> None:
    runs = []

    @cache(backend=None, ttl=60)
    async def function(x: int) -> int:
        runs.append(x)
        if len(runs) == 1:
            tasks.append(asyncio.create_task(later()))
        return x

    async def later() -> int:
        await asyncio.sleep(0.01)
        function.cache_clear()
        return (await function(1)) + (await function(1))

    tasks: list[Any] = []

    async def main() -> None:
        await function(1)
        assert await tasks[0] == 2

    asyncio.run(main())
    assert len(runs) == 2


def test_debug_mode_finds_nothing_wrong(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    function, _ = counting(namespace="debug mode", **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 60
        for number in (1, 1, 2):
            await function(number)
        await asyncio.gather(*(function(3) for _ in range(5)))
        task = asyncio.create_task(function(4))
        await asyncio.sleep(0)
        assert "function" in repr(task)
        task.print_stack(file=io.StringIO())
        await task

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        asyncio.run(main(), debug=True)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# ---- decorating ------------------------------------------------------------------------------------------------------


def test_generators_are_refused_with_advice() -> None:
    def plain() -> Any:
        yield 1

    async def awaited() -> Any:
        yield 1

    class Object:
        def __call__(self) -> Any:
            yield 1

    for function in (plain, functools.partial(plain), Object()):
        with pytest.raises(TypeError, match=r"generator function.*list\("):
            cache(backend=None)(function)
    with pytest.raises(TypeError, match="async for"):
        cache(backend=None)(awaited)


def test_a_wrapper_that_makes_a_list_of_a_generator_is_welcome() -> None:
    def listed(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> list[Any]:
            return list(function(*args))

        return wrapper

    @cache(backend=None)
    @listed
    def numbers(n: int) -> Any:
        yield from range(n)

    assert numbers(3) is numbers(3) == [0, 1, 2]


def test_marked_functions_are_coroutine_functions() -> None:
    async def inner(x: int) -> int:
        return x

    def marked(x: int) -> Any:
        return inner(x)

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(marked)
    else:
        marked._is_coroutine = asyncio.coroutines._is_coroutine
    decorated = cache(backend=None)(marked)

    async def main() -> None:
        assert await decorated(1) == await decorated(1) == 1

    asyncio.run(main())
    assert decorated.cache_info().hits == 1


def test_looks_like_the_function() -> None:
    async def plain(x: int, *, y: str = "a") -> int:
        """Says nothing."""
        return x

    decorated = cache(backend=None)(plain)
    assert decorated.__wrapped__ is plain and decorated.__doc__ == "Says nothing."
    assert inspect.signature(decorated) == inspect.signature(plain)
    assert isinstance(decorated, type(cache(backend=None)(print)))


# ---- attributes ------------------------------------------------------------------------------------------------------


def test_forgetting(options: dict[str, Any]) -> None:
    function, runs = counting(namespace="forgetting", **options)

    async def main() -> None:
        await function(1), await function(2)
        assert inspect.iscoroutinefunction(function.invalidate_cache)
        assert await function.invalidate_cache(1) is None
        await function(1), await function(2)
        assert len(runs) == 3
        await function.ainvalidate_cache()
        await function(1), await function(2)
        assert len(runs) == 5

    asyncio.run(main())


def test_clearing_would_wait_for_a_store(options: dict[str, Any]) -> None:
    function, runs = counting(namespace="clearing", **options)
    asyncio.run(function(1))
    before = function.cache_info()
    if options["backend"] is None:
        function.cache_clear()
        assert function.cache_info()[:2] == (0, 0)
    else:
        with pytest.raises(TypeError, match=r"`await function\.ainvalidate_cache\(\)`"):
            function.cache_clear()
        assert function.cache_info()[:4] == before[:4] and function.cache_info().session_id == before.session_id
    asyncio.run(function(1))
    assert len(runs) == 1 + (options["backend"] is None)


def test_health(options: dict[str, Any]) -> None:
    function, _ = counting(namespace="health", **options)
    assert function.get_health_status()["namespace"] == "health"
    assert inspect.iscoroutinefunction(function.check_health)
    assert asyncio.run(function.check_health())["status"] == "healthy"


def test_plain_functions_can_be_forgotten_from_a_loop(options: dict[str, Any]) -> None:
    runs = []

    @cache(namespace="plain", **options)
    def function(x: int) -> int:
        runs.append(x)
        return x

    async def main() -> None:
        function(1)
        await function.ainvalidate_cache(1)
        function(1)

    asyncio.run(main())
    assert len(runs) == 2
