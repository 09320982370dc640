"""A bound on what happens at once."""

from __future__ import annotations

from contextlib import contextmanager

from .._core import Guard
from .._guards import pressure_options
from ..config.nested import BackpressureConfig, CircuitBreakerConfig
from ._engine import OFF, one_operation, pressure_figures

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

__all__ = ["BackpressureController"]

_ANY = CircuitBreakerConfig(enabled=False)


class BackpressureController:
    """So many operations at once; some more wait for their turn, for a while; the rest is rejected.

    Args:
        max_concurrent: Operations at the same time.
        queue_size: Operations waiting.
        timeout: The longest wait in seconds.
        guard: The engine that others drive too; None: one of its own.
    """

    def __init__(
        self, max_concurrent: int = 100, queue_size: int = 1000, timeout: float = 0.1, *, guard: Guard | None = None
    ) -> None:
        self.config = BackpressureConfig(
            max_concurrent_requests=max_concurrent, queue_size=queue_size, timeout=timeout
        )
        self._guard = guard or Guard(**{**OFF, **pressure_options(self.config)})
        self._rejected_before = 0

    @contextmanager
    def acquire(self) -> Generator[None, None, None]:
        """A place for what happens inside. Waits for it without the interpreter's lock; not for event loops.

        Raises:
            BackendError: there is none (``E109``).
        """
        with one_operation(self._guard, _ANY):
            yield

    def get_stats(self) -> dict[str, Any]:
        """Who waits, who was rejected since `reset_stats`, who is inside."""
        stats = pressure_figures(self._guard.stats(), self._guard.options())
        stats["rejected_count"] -= self._rejected_before
        return stats

    def reset_stats(self) -> None:
        """Counts the rejected from zero again."""
        self._rejected_before = self._guard.stats()["rejected"]

    def __repr__(self) -> str:
        return f"BackpressureController(max_concurrent={self.config.max_concurrent_requests})"
