"""Stale results that a batch was given are refreshed in the background, by one more batch and its loader."""

from __future__ import annotations

import copy
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable

from ._core import is_main_interpreter
from ._refresh import is_ending, start_thread, watch_task
from ._told import log, name_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Generator

    from ._core import Batch, CachedFunction, Poll

    Call = tuple[tuple[Any, ...], dict[str, Any]]

MOST_AT_ONCE = 8
"""Such batches of this process; who finds more of them under way starts none, and a later one tries again."""

_running: set[Batch] = set()


def _may_start() -> bool:
    return len(_running) < MOST_AT_ONCE and not is_ending()


@contextmanager
def _beginning(cached: CachedFunction[..., Any], calls: list[Call]) -> Generator[Batch]:
    """The caller may change what the calls are of while they are refreshed."""
    batch = None
    try:
        batch = cached.begin_refresh(copy.deepcopy(calls))
        yield batch
    except Exception:
        log.debug("%s: a refresh could not be started", name_of(cached.__wrapped__), exc_info=True)
        if batch is not None:
            _running.discard(batch)
            batch.drop()


def in_thread(cached: CachedFunction[..., Any], calls: list[Call], items: list[Any], load: Callable[..., Any]) -> None:
    """`load(items)` gives as many results. Nothing that goes wrong is the caller's."""
    if not _may_start() or not is_main_interpreter:  # others cannot end while they have threads
        return
    with _beginning(cached, calls) as batch:
        if batch.advance(None) == "pending":
            _running.add(batch)
            start_thread(name_of(cached.__wrapped__), _in_thread, cached, batch, copy.deepcopy(items), load)


def _in_thread(cached: CachedFunction[..., Any], batch: Batch, items: list[Any], load: Callable[..., Any]) -> None:
    try:
        answer = batch.wait()
        while answer == "compute":
            try:
                results = load([items[position] for position in batch.missing()])
            except BaseException as error:
                _failed(cached, batch, error)
            else:
                batch.finish(results)
            answer = batch.advance(None)
    finally:
        batch.drop()
        _running.discard(batch)


def in_task(
    cached: CachedFunction[..., Any],
    calls: list[Call],
    items: list[Any],
    load: Callable[[list[Any]], Awaitable[list[Any]]],
    found: tuple[asyncio.AbstractEventLoop, Poll],
) -> None:
    """The same in an event loop."""
    loop, poll = found
    if not _may_start():
        return
    with _beginning(cached, calls) as batch:
        if batch.advance(poll) != "done":
            _running.add(batch)
            task = loop.create_task(_in_task(cached, batch, found, copy.deepcopy(items), load))
            watch_task(task)
            task.add_done_callback(lambda _: _running.discard(batch))


async def _in_task(
    cached: CachedFunction[..., Any],
    batch: Batch,
    found: tuple[asyncio.AbstractEventLoop, Poll],
    items: list[Any],
    load: Callable[[list[Any]], Awaitable[list[Any]]],
) -> None:
    loop, poll = found
    try:
        while (answer := batch.advance(poll)) != "done":
            if answer == "pending":
                batch.wake = future = loop.create_future()
                await future
                continue
            try:
                results = await load([items[position] for position in batch.missing()])
            except BaseException as error:
                _failed(cached, batch, error)
                if not isinstance(error, Exception):
                    raise
            else:
                batch.finish(results)
    finally:
        batch.drop()


def _failed(cached: CachedFunction[..., Any], batch: Batch, error: BaseException) -> None:
    batch.fail(error)
    name = name_of(cached.__wrapped__)
    log.debug("%s: a refresh failed, older results stay until their lifetimes end", name, exc_info=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # those of the parent stayed there
