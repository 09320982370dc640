"""Locks of a Redis store as context managers, for plain and for coroutine functions."""

from __future__ import annotations

import random
import time

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any, Callable


_LONGEST_PAUSE = 0.5


class Lock:
    """The right to work on one key, for a bounded time. See `RedisBackend.acquire_lock`."""

    def __init__(self, do: Callable[..., Any], key: str, timeout: float, blocking_timeout: float | None) -> None:
        if not timeout > 0 or timeout == float("inf"):
            raise ValueError(f"timeout={timeout}: expected the seconds after which the lock frees itself, above 0")
        if blocking_timeout is not None and not blocking_timeout >= 0:
            raise ValueError(f"blocking_timeout={blocking_timeout}: expected seconds, or None for one attempt")
        self._do = do  # "lock", "renew_lock" and "unlock" of the store
        self._key = key
        self._lease_ms = max(1, round(timeout * 1000))
        self._patience = blocking_timeout
        self._token: bytes | None = None

    def renew(self) -> bool:
        """Lengthens the lease to the whole timeout again; False: it is not held (any more)."""
        return self._token is not None and self._do("renew_lock", self._key, self._token, self._lease_ms)

    def _pauses(self) -> Iterator[float]:
        """Seconds to sleep between attempts: growing and random, so that those who wait do not come all at once."""
        if self._patience is None:
            return
        until = time.monotonic() + self._patience
        pause = 0.01
        while (left := until - time.monotonic()) > 0:
            yield min(left, pause * (0.5 + random.random()))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _attempt(self) -> bool:
        self._token = self._do("lock", self._key, self._lease_ms)
        return self._token is not None

    def _release(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            from ...errors import BackendError

            try:
                self._do("unlock", self._key, token)
            except BackendError:
                pass  # the store lets it go as soon as the server answers

    def __enter__(self) -> bool:
        held = self._attempt()
        for pause in () if held else self._pauses():
            time.sleep(pause)
            if self._attempt():
                return True
        return held

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._release()

    async def __aenter__(self) -> bool:
        from asyncio import sleep

        held = await self._attempt_off_loop()
        for pause in () if held else self._pauses():
            await sleep(pause)
            if await self._attempt_off_loop():
                return True
        return held

    async def _attempt_off_loop(self) -> bool:
        """One attempt in a thread. Who is cancelled meanwhile takes no lock with him."""
        import asyncio

        loop = asyncio.get_running_loop()
        attempt = loop.run_in_executor(None, self._attempt)
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            attempt.add_done_callback(lambda _: self._release_off(loop))
            raise

    def _release_off(self, loop: AbstractEventLoop) -> None:
        try:
            loop.run_in_executor(None, self._release)
        except RuntimeError:  # the loop is ending, and has no threads any more
            self._release()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._release))
