"""Stale results are refreshed in the background: the hit that finds one returns at once, and a thread or a task computes a
fresh one, unless the store has one already or another process is at it."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from ._core import is_main_interpreter
from ._told import log, name_of

if TYPE_CHECKING:
    import asyncio

    from ._core import Operation

MOST_AT_ONCE = 32
"""Refreshes of one function; a hit that finds more of them under way starts none, and a later one tries again."""

WAIT_AT_EXIT_S = 1.0
"""How long the end of the interpreter waits for functions that run in threads of their own, all together."""

_threads: set[threading.Thread] = set()
_tasks: set[asyncio.Task[None]] = set()
_ending = False


def start_thread(name: str, target: Callable[..., None], *args: Any) -> None:
    """Runs that with the caller's context variables. The end of the interpreter waits for it a little."""
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(target, *args)
        finally:
            _threads.discard(threading.current_thread())

    thread = threading.Thread(target=run, name=name, daemon=is_main_interpreter)
    _threads.add(thread)
    try:
        thread.start()
    except BaseException:
        _threads.discard(thread)
        raise


def watch_task(task: asyncio.Task[None]) -> None:
    """Keeps a task alive until it is done: a loop does not."""
    for other in list(_tasks):
        if other.get_loop().is_closed():  # it will never be done
            _tasks.discard(other)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    # A loop that ends before the task says nothing about it.
    setattr(task, "_log_destroy_pending", False)


def is_ending() -> bool:
    """Whether the interpreter ends: no more threads then."""
    return _ending


class Refresher:
    """Starts the refreshes of one function. Called with the ticket for a stale result and the arguments of the call that
    found it; `receiver` says that the first of them is the instance or class that a method was called on. False: none was
    started, and the ticket is free again."""

    def __init__(self, function: Callable[..., Any], is_coroutine: bool, is_stored: bool) -> None:
        self._function = function
        self._is_stored = is_stored
        self._name = name_of(function)
        self._is_coroutine = is_coroutine
        self._start = self._start_task if is_coroutine else self._start_thread
        self._running: set[Operation] = set()
        self._process = os.getpid()

    def __call__(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], receiver: bool) -> bool:
        if self._process != os.getpid():  # those of the parent stayed there
            self._process = os.getpid()
            self._running = set()
        running = self._running
        running.add(operation)
        try:
            if len(running) <= MOST_AT_ONCE and self._may_start():
                self._start(running, operation, *_copied(args, kwargs, receiver))
                return True
            running.discard(operation)
        except Exception:
            running.discard(operation)
            log.debug("%s: a refresh could not be started", self._name, exc_info=True)
        except BaseException:  # of the caller, not of the refresh: a signal, for instance
            running.discard(operation)
            raise
        return False

    def _may_start(self) -> bool:
        # Other interpreters than the first cannot end while they have threads.
        return not _ending and (is_main_interpreter or self._is_coroutine)

    # ---- plain functions --------------------------------------------------------------------------------------------

    def _start_thread(self, running: set[Operation], operation: Operation, args: Any, kwargs: Any) -> None:
        start_thread(self._name, self._in_thread, running, operation, args, kwargs)

    def _in_thread(self, running: set[Operation], operation: Operation, args: Any, kwargs: Any) -> None:
        try:
            operation.move_here()
            if self._is_stored and not operation.claim(None):
                return
            result = self._function(*args, **kwargs)
        except BaseException:
            self._failed(operation)
        else:
            self._succeeded(operation, result)
        finally:
            running.discard(operation)

    # ---- coroutine functions ----------------------------------------------------------------------------------------

    def _start_task(self, running: set[Operation], operation: Operation, args: Any, kwargs: Any) -> None:
        asyncio = sys.modules["asyncio"]  # imported by whoever runs a loop
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._in_task(operation, args, kwargs), name=self._name)
        watch_task(task)

        def done(_: asyncio.Task[None]) -> None:
            running.discard(operation)

        task.add_done_callback(done)

    async def _is_wanted(self, operation: Operation) -> bool:
        from ._async import claim

        try:
            return await claim(operation)
        except Exception:
            log.debug("%s: a refresh could not be started", self._name, exc_info=True)
            return False

    async def _in_task(self, operation: Operation, args: Any, kwargs: Any) -> None:
        if self._is_stored and not await self._is_wanted(operation):
            return
        try:
            result = await self._function(*args, **kwargs)
        except BaseException as error:
            self._failed(operation)
            if not isinstance(error, Exception):
                raise
        else:
            self._succeeded(operation, result)

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _failed(self, operation: Operation) -> None:
        operation.fail()
        log.debug("%s: a refresh failed, the older result stays until its lifetime ends", self._name, exc_info=True)

    def _succeeded(self, operation: Operation, result: Any) -> None:
        try:
            operation.finish(result)
        except Exception:
            log.debug("%s: the result of a refresh cannot be kept", self._name, exc_info=True)


def _copied(args: tuple[Any, ...], kwargs: dict[str, Any], receiver: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as they are now: the caller may change them while the refresh runs."""
    import copy

    # An instance stays the same: its state is what the method is about.
    return copy.deepcopy((args, kwargs), {id(args[0]): args[0]} if receiver else {})


def wait_for_threads() -> None:
    """For the end of the interpreter: no more of them begin, and those that run have a little time."""
    global _ending
    _ending = True
    deadline = time.monotonic() + WAIT_AT_EXIT_S
    for thread in list(_threads):
        if thread.is_alive():
            thread.join(max(0.0, deadline - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.clear)
