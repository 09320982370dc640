"""A circuit breaker."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from .._core import Guard
from .._guards import breaker_options
from ..config._checks import check_object
from ..config.nested import CircuitBreakerConfig
from ..errors import CachekitError
from ._engine import OFF, breaker_figures, kind_of, one_operation

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Callable, TypeVar

    from typing_extensions import ParamSpec

    _P = ParamSpec("_P")
    _R = TypeVar("_R")

__all__ = ["CircuitBreaker", "CircuitState"]

_MISUSE = 6
"""A kind of failure that says nothing about the service."""


class CircuitState(IntEnum):
    """The states, numbered as in dashboards."""

    CLOSED = 0
    """All may go."""
    OPEN = 1
    """None may go."""
    HALF_OPEN = 2
    """A few may go, to try it."""


class CircuitBreaker:
    """Whether a service that keeps failing is asked at all.

    Failures in a row open it; after a while a few probes are let through, and enough of them that succeed close it.
    Counted are connection and time-out errors, `BackendError` of the passing kinds, and failures that are told without an
    exception; other exceptions say nothing about the service. For all threads and event loops at once.

    Args:
        config: Its numbers.
        namespace: A label for figures.
        guard: The engine that others drive too; None: one of its own.
    """

    def __init__(
        self, config: CircuitBreakerConfig | None = None, namespace: str = "default", *, guard: Guard | None = None
    ) -> None:
        self.config = check_object("CircuitBreaker.config", config, CircuitBreakerConfig)
        self.namespace = namespace
        self._guard = guard or Guard(**{**OFF, **breaker_options(self.config)})
        self._probes: deque[bytes] = deque()

    @property
    def state(self) -> CircuitState:
        """The state now. An open circuit changes with the first that asks after the recovery time."""
        return CircuitState[self._guard.stats()["state"].upper()]

    def call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Calls the function, whose exceptions are the caller's.

        Raises:
            BackendError: it was not called, because the circuit is open (``E030``).
        """
        with one_operation(self._guard, self.config):
            return function(*args, **kwargs)

    async def call_async(
        self, function: Callable[_P, Coroutine[Any, Any, _R]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """`call` for coroutine functions."""
        with one_operation(self._guard, self.config):
            return await function(*args, **kwargs)

    def should_attempt(self) -> bool:
        """Whether the service may be asked now. After True, tell `record_success` or `record_failure`."""
        if not self.config.enabled or self._guard.stats()["state"] == "closed":
            return True
        try:
            probe, _ = self._guard.enter()
        except CachekitError:
            return False
        self._probes.append(probe)
        while len(self._probes) > self.config.half_open_requests:  # of who never told
            self._guard.leave(self._probes.popleft(), _MISUSE)
        return True

    def record_success(self) -> None:
        """The service answered."""
        self._record(0)

    def record_failure(self, error: BaseException | None = None) -> None:
        """The service failed."""
        self._record(kind_of(error, self.config.excluded_exceptions))

    def _record(self, kind: int) -> None:
        try:
            probe = self._probes.popleft()
        except IndexError:
            try:
                probe, _ = self._guard.enter()
            except CachekitError:
                return  # begun before it opened: says nothing about the service now
        self._guard.leave(probe, kind)

    def reset(self) -> None:
        """Closes the circuit, as after a repair."""
        self._guard.reset()

    def get_stats(self) -> dict[str, Any]:
        """State, counts and numbers."""
        return breaker_figures(self._guard.stats(), self._guard.options(), self.namespace)

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.namespace!r}, {self.state.name})"
