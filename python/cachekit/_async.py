"""Calls of coroutine functions that memory has not answered.

The library answers through a descriptor that the event loop watches: a `Poll` for each running loop and each cache. The
loop owns it, so it ends with the loop. Nothing waits in the loop's thread; a result is returned when the store has it,
as from a plain function, and arrives there also when its caller is cancelled meanwhile.
"""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import inspect
import sys
import weakref
from typing import Any, Callable, Literal, TypeVar

from ._core import Answer, Cache, CachedFunction, LocalFunction, Operation, Poll
from ._limits import too_late
from ._told import log, name_of, tell_once
from .errors import CachekitError

_R = TypeVar("_R")

_coroutine_abc: Any = collections.abc.Coroutine
_coroutine_abc.register(Answer)

# What this task, and those it was started by, compute at the moment: waiting for one of these would be waiting for itself.
_computing: contextvars.ContextVar[tuple[Operation, ...]] = contextvars.ContextVar("cachekit_computing", default=())

# By the identity of a cache, which its poll keeps alive.
_polls: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, weakref.ref[Poll]]] = weakref.WeakKeyDictionary()


def _poll_of(loop: asyncio.AbstractEventLoop, cache: Cache) -> Poll:
    polls = _polls.setdefault(loop, {})
    known = polls.get(id(cache))
    poll = None if known is None else known()
    if poll is None:
        _sweep()
        poll = Poll(cache)
        loop.add_reader(poll.fileno(), poll.dispatch)
        polls[id(cache)] = weakref.ref(poll)
    return poll


def _sweep() -> None:
    """What loops that are closed by now were computing, others take over."""
    try:
        closed = [loop for loop in _polls if loop.is_closed()]
    except RuntimeError:  # another thread's loop came along
        return
    for loop in closed:
        for known in _polls.pop(loop, {}).values():
            poll = known()
            if poll is not None:
                poll.abandon()


def find_poll(function: CachedFunction[..., Any]) -> tuple[asyncio.AbstractEventLoop, Poll] | None:
    try:
        loop = asyncio.get_running_loop()
        return loop, _poll_of(loop, function.cache)
    except NotImplementedError:
        why = "the event loop watches no descriptors"
    except RuntimeError:
        why = "it is awaited without a running asyncio loop"
    except CachekitError as error:
        why = str(error)
    tell_once(function.__wrapped__, f"what is not in memory is not cached, {why}")
    return None


async def miss(operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call that memory has not answered: waits, computes, keeps."""
    function = operation.function.__wrapped__
    found = find_poll(operation.function)
    if found is None:
        return await function(*args, **kwargs)
    loop, poll = found
    outer = _computing.get()
    refreshing = False
    try:
        while (answer := operation.advance(poll, outer)) == "pending":
            operation.wake = future = loop.create_future()
            await future
        if answer == "value":
            return operation.take()
        if answer == "stale":  # and this call is the one that has it refreshed
            result = operation.take()
            refreshing = operation.start_refresh(args, kwargs)
            return result
        if answer == "uncached":
            return await function(*args, **kwargs)
        try:
            result = await _compute(operation, outer, function(*args, **kwargs))
        except Exception as error:
            if operation.fall_back(error):
                return operation.take()
            raise
        if operation.settle(result):
            operation.wake = future = loop.create_future()
            await future
        return result
    finally:
        if not refreshing:
            operation.drop()  # unless it is over: whoever waits takes over


async def claim(operation: Operation) -> bool:
    """Whether the function of a refresh is to run: nobody else has refreshed its result, or is at it."""
    loop = asyncio.get_running_loop()
    try:
        poll = _poll_of(loop, operation.function.cache)
        while (wanted := operation.claim(poll)) is None:
            operation.wake = future = loop.create_future()
            await future
    except BaseException:
        operation.drop()
        raise
    return wanted


_late: set[asyncio.Task[Any]] = set()
"""What goes on after its caller has had enough: a loop does not keep its tasks alive."""


def _leave(task: asyncio.Task[Any], name: str) -> None:
    def done(task: asyncio.Task[Any]) -> None:
        _late.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.info("%s failed after its caller had gone", name, exc_info=error)

    _late.add(task)
    task.add_done_callback(done)


async def miss_in_time(
    soft: float | None, hard: float | None, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """As `miss`, but no longer than the limits allow."""
    function = operation.function.__wrapped__
    return await in_time(soft, hard, function, miss(operation, args, kwargs), operation.overdue)


async def in_time(
    soft: float | None,
    hard: float | None,
    function: Callable[..., Any],
    work: collections.abc.Coroutine[Any, Any, Any],
    overdue: Callable[[bool], tuple[Any] | Literal[False] | None],
    waited: float = 0.0,
) -> Any:
    """The result of `work`, which computes for `function`; or what `overdue` gives instead when a limit is over. It goes on
    then. Its caller has waited for so many seconds already."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        for limit, is_hard in ((soft, False), (hard, True)):
            if limit is None or (await asyncio.wait({task}, timeout=max(0.0, limit - waited)))[0]:
                continue
            waited = max(waited, limit)
            late = overdue(is_hard)
            if late:
                _leave(task, name_of(function))
                return late[0]
            if is_hard and late is None:
                _leave(task, name_of(function))
                raise too_late(function, limit)
        return await task
    except asyncio.CancelledError:
        task.cancel()
        raise


async def _compute(operation: Operation, outer: tuple[Operation, ...], call: collections.abc.Awaitable[_R]) -> _R:
    before = _computing.set((*outer, operation))
    try:
        return await call
    except (asyncio.CancelledError, GeneratorExit):
        raise  # nobody's failure
    except Exception:
        raise  # and perhaps something stands in
    except BaseException:
        operation.fail()
        raise
    finally:
        try:
            _computing.reset(before)
        except ValueError:  # closed from another context, which has a tuple of its own
            pass


async def give(value: _R) -> _R:
    """What stands in for an answer whose frame or code is looked at before it is awaited."""
    return value


def mark(cached: CachedFunction[..., Any] | LocalFunction[..., Any], function: Callable[..., Any]) -> None:
    """Makes a decorated coroutine function one to `inspect` and `asyncio` too."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(cached)
    else:
        cached.__dict__["_is_coroutine"] = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            cached.__dict__[name] = getattr(inspect.unwrap(function), name, None)
