"""What stands between a cache and its store, by itself: for services that are no store.

Every decorated function has all of it in front of its store already; see docs/reliability.md. The classes here drive the
same engine by hand:

    breaker = CircuitBreaker(CircuitBreakerConfig(failure_threshold=3))
    price = breaker.call(fetch_price, "ACME")
"""

from __future__ import annotations

from ..config.nested import BackpressureConfig, CircuitBreakerConfig, TimeoutConfig
from .adaptive_timeout import AdaptiveTimeout
from .circuit_breaker import CircuitBreaker, CircuitState
from .load_control import BackpressureController

__all__ = [
    "AdaptiveTimeout",
    "BackpressureConfig",
    "BackpressureController",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitState",
    "TimeoutConfig",
]
