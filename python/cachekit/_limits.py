"""Limits of plain functions: the function runs in a thread of its own, and its caller waits for it as long as they allow.
Who is gone by then leaves the run alone: its result is kept."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Literal, NoReturn

from ._refresh import is_ending, start_thread
from ._told import log, name_of, tell_once
from .errors import FunctionTimeoutError

if TYPE_CHECKING:
    from ._core import CachedFunction, Operation

MOST_AT_ONCE = 64
"""Runs of functions with limits, in the whole process. Who finds no place waits for one, as long as for the function."""

_places = threading.Semaphore(MOST_AT_ONCE)
_aside = threading.Semaphore(MOST_AT_ONCE)
"""Places of runs that have stepped aside. One that finds none of the others when it is back keeps its own of these."""


class _Own(threading.local):
    """What a thread is there for: the function that it runs, and those whose runs have led to it."""

    functions: tuple[CachedFunction[..., Any], ...] = ()
    place: threading.Semaphore | None = None
    """Where it has its place from."""


_own = _Own()


def step_aside() -> bool:
    """This thread is about to wait for somebody else's call, which may wait for a place: if it has one, another run gets
    that meanwhile. Whether it does, and `step_back` is due."""
    if _own.place is not _places or not _aside.acquire(blocking=False):
        return False
    _own.place = _aside
    _places.release()
    return True


def step_back() -> None:
    """The wait is over."""
    if _own.place is _aside and _places.acquire(blocking=False):
        _own.place = _places
        _aside.release()


def too_late(function: Callable[..., Any], limit: float | None) -> FunctionTimeoutError:
    """What a call gets when its hard limit is over."""
    return FunctionTimeoutError(f"{name_of(function)} took longer than its limit of {limit} s")


class Work:
    """What a caller with limits waits for: done in a thread of its own, or in that of its caller."""

    def __init__(self, cached: CachedFunction[..., Any]) -> None:
        self.cached = cached
        self._result: Any = None
        self._error: BaseException | None = None
        self._is_left = False
        self._began = threading.Event()
        self.is_started = False
        self.has_returned = False
        """The function has; its result may still be on its way to the store."""
        self.over = threading.Event()

    def overdue(self, is_hard: bool) -> tuple[Any] | Literal[False] | None:
        """The caller has waited as long as its limit: what it gets instead, or None. False: this is about to end."""
        raise NotImplementedError

    def _move_here(self) -> None:
        """This thread does it, not the caller's."""

    def _drop(self) -> None:
        """Nobody is going to do it."""
        raise NotImplementedError

    def _compute(self) -> Any:
        """Does it."""
        raise NotImplementedError

    def start(self, patience: float = 0.0) -> None:
        """In a thread, unless there is no place for one within so many seconds."""
        places = _places
        if not places.acquire(timeout=max(0.0, patience)):
            return
        self.is_started = True
        try:
            name = name_of(self.cached.__wrapped__)
            start_thread(name, self._in_thread, places, (*_own.functions, self.cached))
        except RuntimeError:  # the system has none, or the interpreter ends
            places.release()
            self.here()

    def here(self) -> None:
        """In this thread."""
        self.is_started = True
        self._began.set()
        self._run()

    def _in_thread(self, places: threading.Semaphore, functions: tuple[CachedFunction[..., Any], ...]) -> None:
        _own.functions = functions
        _own.place = places
        try:
            self._move_here()
            self._began.set()
            self._run()
        finally:
            _own.place.release()

    def _drop_in_thread(self) -> None:
        try:
            self._move_here()
        finally:
            self._began.set()
        self._drop()

    def _run(self) -> None:
        try:
            self._result = self._compute()
        except BaseException as error:
            self._error = error
        if self._is_left and self._error is not None:
            log.info("%s failed after its caller had gone", name_of(self.cached.__wrapped__), exc_info=self._error)
            self._error = None
        self.over.set()

    def leave(self) -> None:
        """Its caller has had enough. By the end of this the thread that runs it, or gives it up, is known as the one that
        does. Giving it up lets a lock of the store go, for which the caller has no time."""
        self._is_left = True
        if not self.is_started:
            try:
                start_thread(name_of(self.cached.__wrapped__), self._drop_in_thread)
            except RuntimeError:  # the system has none, or the interpreter ends
                self._drop()
                return
        self._began.wait()

    def take(self) -> Any:
        """What the function has returned, or raised."""
        try:
            if self._error is not None:
                raise self._error
            return self._result
        finally:
            self._error = None  # it refers to this frame


class Run(Work):
    """One run of a function."""

    def __init__(
        self, operation: Operation, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        super().__init__(operation.function)
        self._operation = operation
        self._function = function
        self._args = args
        self._kwargs = kwargs

    def overdue(self, is_hard: bool) -> tuple[Any] | Literal[False] | None:
        return self._operation.overdue(is_hard)

    def _move_here(self) -> None:
        self._operation.move_here()

    def _drop(self) -> None:
        self._operation.drop()

    def _compute(self) -> Any:
        operation = self._operation
        try:
            result = self._function(*self._args, **self._kwargs)
        except Exception as error:
            self.has_returned = True
            if not operation.fall_back(error):
                raise
            return operation.take()
        except BaseException:  # nothing stands in for these
            operation.fail()
            raise
        self.has_returned = True
        operation.settle(result)
        return result


class Limits:
    """Those of one function. Called with the operation whose turn it is, the arguments, and how long its caller has waited
    already."""

    def __init__(self, function: Callable[..., Any], soft: float | None, hard: float | None) -> None:
        self._function = function
        self._limits = [(limit, is_hard) for limit, is_hard in ((soft, False), (hard, True)) if limit is not None]

    def __call__(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], waited: float) -> Any:
        return self.result_of(Run(operation, self._function, args, kwargs), waited)

    def result_of(self, run: Work, waited: float = 0.0) -> Any:
        """Has it done, and waits for it."""
        began = time.monotonic() - waited
        if run.cached in _own.functions or is_ending():
            run.here()  # a part of the run around it, whose caller waits no longer than this one would
            return run.take()
        run.start()
        if not run.is_started and _own.functions:
            self._without_thread(run)  # waiting for a place with a place could last for ever
        try:
            late = self._wait(run, began)
        except BaseException:
            run.leave()
            raise
        if late:
            run.leave()
            return late[0]
        return run.take()

    def _wait(self, run: Work, began: float) -> tuple[Any] | None:
        """None: it is over. Else what its caller gets instead."""
        for limit, is_hard in self._limits:
            end = began + limit
            if not run.is_started:
                run.start(end - time.monotonic())
            if run.is_started and run.over.wait(max(0.0, end - time.monotonic())) or run.has_returned:
                break
            late = run.overdue(is_hard)
            if late:
                return late
            if is_hard and late is None:
                self.time_out()
        if not run.is_started:
            self._without_thread(run)
        run.over.wait()
        return None

    def time_out(self) -> NoReturn:
        """The hard limit is over."""
        raise too_late(self._function, self._limits[-1][0])

    def _without_thread(self, run: Work) -> None:
        tell_once(self._function, f"{MOST_AT_ONCE} functions with limits run already: it runs in its caller's thread")
        run.here()


def _forget_places() -> None:
    """The runs of the parent are the parent's."""
    global _places, _aside
    _places = threading.Semaphore(MOST_AT_ONCE)
    _aside = threading.Semaphore(MOST_AT_ONCE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_places)
