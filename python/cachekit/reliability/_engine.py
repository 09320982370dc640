"""The engine behind the classes, and what the figures of one are called in the documented forms."""

from __future__ import annotations

import time
from contextlib import contextmanager

from .._core import Guard
from .._guards import KINDS
from ..backends._kinds import backend_error
from ..errors import BackendError, BackendErrorType, CachekitError

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from ..config.nested import CircuitBreakerConfig
    from .._core import _GuardStats  # pyright: ignore[reportPrivateUsage]

OFF = {"breaker": False, "adaptive_timeout": False, "backpressure": False, "retry": False}
"""Options of a guard that does nothing; each class switches its own part on."""


def kind_of(error: BaseException | None, excluded: tuple[type[BaseException], ...] = ()) -> int:
    """What kind of failure an exception is, as the library numbers them. What no backend raises says nothing about it;
    None is a failure of which no more is known."""
    if error is None:
        return KINDS[BackendErrorType.UNKNOWN]
    if isinstance(error, excluded):
        return KINDS[BackendErrorType.PERMANENT]
    if isinstance(error, BackendError):
        return KINDS[error.error_type]
    if isinstance(error, CachekitError):
        return KINDS[backend_error(error, "call", None).error_type]
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":  # asyncio's own before Python 3.11
        return KINDS[BackendErrorType.TIMEOUT]
    if isinstance(error, ConnectionError):
        return KINDS[BackendErrorType.TRANSIENT]
    return KINDS[BackendErrorType.PERMANENT]


@contextmanager
def one_operation(guard: Guard, breaker: CircuitBreakerConfig) -> Generator[float, None, None]:
    """The right to one operation; gives its time limit in seconds.

    Raises:
        BackendError: the circuit is open (E030), or there is no place (E109).
    """
    try:
        entered, timeout_ms = guard.enter()
    except CachekitError as error:
        raise backend_error(error, "call", None) from None
    try:
        yield timeout_ms / 1000
    except BaseException as error:
        guard.leave(entered, kind_of(error, breaker.excluded_exceptions))
        raise
    guard.leave(entered, 0)


def last_failure(stats: _GuardStats) -> float | None:
    """When the last failure was counted, in seconds of the epoch."""
    ago = stats["last_failure_ms_ago"]
    return None if ago is None else round(time.time() - ago / 1000, 3)


def next_attempt(stats: _GuardStats) -> float | None:
    """When an open circuit lets a probe go, in seconds of the epoch."""
    return round(time.time() + stats["recovery_in_ms"] / 1000, 3) if stats["state"] == "open" else None


def successes(stats: _GuardStats) -> int:
    """Operations that the store answered."""
    return sum(stats[which]["operations"] - stats[which]["timed_out"] for which in ("data", "locks"))


def breaker_figures(stats: _GuardStats, options: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The breaker as a component of a function's health."""
    free = options["half_open_requests"] - stats["probes"] if stats["state"] == "half_open" else 0
    return {
        "state": stats["state"],
        "failure_count": stats["failures_in_a_row"],
        "success_count": stats["probe_successes"],
        "half_open_permits": max(0, free),
        "last_failure_time": last_failure(stats) or 0,
        "namespace": namespace,
        "failures": stats["failures"],
        "refused": stats["refused"],
        "opened": stats["opened"],
        "half_opened": stats["half_opened"],
        "closed": stats["closed"],
        "config": {
            "failure_threshold": options["failure_threshold"],
            "success_threshold": options["success_threshold"],
            "timeout_seconds": seconds(options["recovery_timeout_ms"]),
            "half_open_requests": options["half_open_requests"],
        },
    }


def pressure_figures(stats: _GuardStats, options: dict[str, Any]) -> dict[str, Any]:
    """The bound as a component of a function's health."""
    return {
        "queue_depth": stats["waiting"],
        "rejected_count": stats["rejected"],
        "max_concurrent": options["max_concurrent"],
        "queue_size": count(options["queue_size"]),
        "healthy": stats["accepting"],
        "current_requests": stats["in_flight"],
        "waited_count": stats["waited"],
    }


def timeout_figures(stats: _GuardStats, options: dict[str, Any]) -> dict[str, Any]:
    """The time limit: seconds, but for counts."""
    data, locks = stats["data"], stats["locks"]
    return {
        "current_timeout": data["timeout_ms"] / 1000,
        "base_timeout": options["timeout_initial_ms"] / 1000,
        "min_timeout": options["timeout_min_ms"] / 1000,
        "max_timeout": options["timeout_max_ms"] / 1000,
        "percentile": options["timeout_percentile"],
        "percentile_duration": data["percentile_ms"] / 1000,
        "average_duration": data["average_ms"] / 1000,
        "window_size": options["timeout_window"],
        "samples": data["window"],
        "total_operations": data["operations"],
        "timed_out": data["timed_out"],
        "locks": {
            "current_timeout": locks["timeout_ms"] / 1000,
            "percentile_duration": locks["percentile_ms"] / 1000,
            "average_duration": locks["average_ms"] / 1000,
            "samples": locks["window"],
            "total_operations": locks["operations"],
            "timed_out": locks["timed_out"],
        },
    }


_NONE = 2**32 - 1


def count(number: int) -> int:
    """A number of the guard's options, which has a sign of its own for none."""
    return 0 if number == _NONE else number


def seconds(milliseconds: int) -> float:
    """The same for a time."""
    return count(milliseconds) / 1000
