"""A time limit that is learned from how long operations take."""

from __future__ import annotations

import time
from contextlib import contextmanager

from .._core import Guard
from .._guards import timeout_options
from ..config._checks import check_object
from ..config.nested import TimeoutConfig
from ._engine import OFF, timeout_figures

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

__all__ = ["AdaptiveTimeout"]


class AdaptiveTimeout:
    """1.5 times what 95 of 100 of the last operations needed, within bounds; operations of locks have a window of their
    own. For all threads at once.

    Args:
        config: Its numbers.
        guard: The engine that others drive too; None: one of its own.
    """

    def __init__(self, config: TimeoutConfig | None = None, *, guard: Guard | None = None) -> None:
        self.config = check_object("AdaptiveTimeout.config", config, TimeoutConfig)
        self._guard = guard or Guard(**{**OFF, **timeout_options(self.config)})

    def get_timeout(self, *, lock: bool = False) -> float:
        """What the next operation gets, in seconds."""
        stats = self._guard.stats()
        return stats["locks" if lock else "data"]["timeout_ms"] / 1000

    def record_duration(self, seconds: float, *, lock: bool = False) -> None:
        """An operation took that long. One that timed out is told with the time that it had.

        Raises:
            ValueError: below 0, or no number.
        """
        self._guard.record(seconds, lock)

    @contextmanager
    def measure(self, *, lock: bool = False) -> Generator[float, None, None]:
        """Measures what happens inside, unless it raises; gives the time limit in seconds."""
        limit, began = self.get_timeout(lock=lock), time.perf_counter()
        yield limit
        self._guard.record(time.perf_counter() - began, lock)

    def get_stats(self) -> dict[str, Any]:
        """The window, its percentile and the present limit, in seconds."""
        return timeout_figures(self._guard.stats(), self._guard.options())

    def __repr__(self) -> str:
        return f"AdaptiveTimeout({self.get_timeout():g} s)"
