"""From the reliability settings of a function to the options of the guard of its store."""

from __future__ import annotations

from .errors import BackendErrorType

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from typing import Union

    from .config.nested import BackpressureConfig, CircuitBreakerConfig, TimeoutConfig

    Options = dict[str, Union[bool, int, float]]

_NONE = 2**32 - 1
"""What the library takes for really none, where 0 is its default."""
_MOST = 2**32 - 2

KINDS = {
    BackendErrorType.TRANSIENT: 1,
    BackendErrorType.TIMEOUT: 2,
    BackendErrorType.UNKNOWN: 3,
    BackendErrorType.PERMANENT: 4,
    BackendErrorType.AUTHENTICATION: 5,
}
"""As the library numbers them; 0 is no failure."""


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000)) if seconds > 0 else _NONE


def breaker_options(breaker: CircuitBreakerConfig) -> Options:
    """All of the breaker's numbers."""
    if not breaker.enabled:
        return {"breaker": False}
    return {
        "breaker": True,
        "failure_threshold": min(breaker.failure_threshold, _MOST),
        "success_threshold": min(breaker.success_threshold, _MOST),
        "recovery_timeout_ms": _milliseconds(breaker.recovery_timeout),
        "half_open_requests": breaker.half_open_requests,
        "excluded_kinds": sum(1 << KINDS[kind] for kind in breaker.excluded_kinds),
    }


def timeout_options(timeout: TimeoutConfig) -> Options:
    """All of the time limit's numbers. When nothing is learned, only the one that counts."""
    initial = _milliseconds(timeout.initial)
    if not timeout.enabled:
        return {
            "adaptive_timeout": False,
            "timeout_initial_ms": initial,
            "timeout_min_ms": initial,
            "timeout_max_ms": initial,
        }
    return {
        "adaptive_timeout": True,
        "timeout_initial_ms": initial,
        "timeout_min_ms": _milliseconds(timeout.min),
        "timeout_max_ms": _milliseconds(timeout.max),
        "timeout_window": timeout.window_size,
        "timeout_percentile": float(timeout.percentile),
    }


def pressure_options(pressure: BackpressureConfig) -> Options:
    """All of the bound's numbers."""
    if not pressure.enabled:
        return {"backpressure": False}
    return {
        "backpressure": True,
        "max_concurrent": min(pressure.max_concurrent_requests, _MOST),
        "queue_size": min(pressure.queue_size, _MOST) or _NONE,
        "queue_timeout_ms": _milliseconds(pressure.timeout),
    }


def guard_options(
    breaker: CircuitBreakerConfig, timeout: TimeoutConfig, pressure: BackpressureConfig, *, optional: bool = False
) -> Options:
    """The options of a guard.

    Args:
        optional: The store may not be there. It is looked for again sooner than after the breaker's default; only what
            was asked for counts then.
    """
    options = {**breaker_options(breaker), **timeout_options(timeout), **pressure_options(pressure)}
    if optional and breaker.enabled and breaker.recovery_timeout == type(breaker).recovery_timeout:
        del options["recovery_timeout_ms"]
    if not (breaker.enabled or timeout.enabled or pressure.enabled):
        options["retry"] = False  # nothing that depends on time or chance
    return options
