"""Calls of coroutine functions under `cache.local` that nothing is kept for yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._core import LocalFunction


class _Flight:
    """A call that a task is computing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.task = asyncio.current_task()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.doomed = False


class Flights:
    """The calls of one function that tasks are computing: the tasks of one loop wait for each other."""

    def __init__(self) -> None:
        self._flights: dict[tuple[asyncio.AbstractEventLoop, bytes], _Flight] = {}

    def doom(self, key: bytes | None) -> None:
        """The results of calls that are under way will not be kept. None: of all calls."""
        for (_, other), flight in self._flights.copy().items():  # loops of other threads have theirs here too
            flight.doomed = flight.doomed or key is None or key == other

    async def miss(self, function: LocalFunction[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Waits for the task that is computing the call, or computes and keeps it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # of some other kind
            result = await function.__wrapped__(*args, **kwargs)
            function.keep(result, *args, **kwargs)
            return result
        key = function.pack(*args, **kwargs)
        while (flight := self._flights.get((loop, key))) is not None and not self._is_computing():
            await asyncio.shield(flight.ended)
            kept = function.look(key)
            if kept is not None:
                return kept[0]
        return await self._compute(loop, key, function, args, kwargs)

    async def _compute(
        self,
        loop: asyncio.AbstractEventLoop,
        key: bytes,
        function: LocalFunction[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        before, flight = self._flights.get((loop, key)), _Flight(loop)
        self._flights[loop, key] = flight
        try:
            result = await function.__wrapped__(*args, **kwargs)
            if not flight.doomed:
                function.keep(result, *args, **kwargs)
            return result
        finally:
            if before is None or before.ended.done():
                self._flights.pop((loop, key), None)
            else:
                self._flights[loop, key] = before
            if not flight.ended.done() and not loop.is_closed():
                flight.ended.set_result(None)

    def _is_computing(self) -> bool:
        """Whether this task is at one of these calls already: another task may be waiting for that one."""
        task = asyncio.current_task()
        return any(flight.task is task for flight in list(self._flights.values()))  # others' come and go meanwhile
