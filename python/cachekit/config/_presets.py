"""The presets: what each sets, underneath what the user says."""

from __future__ import annotations

from .nested import BackpressureConfig, CircuitBreakerConfig, EncryptionConfig, L1CacheConfig, MonitoringConfig
from .nested import TimeoutConfig

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from typing import Any

_PLAIN: dict[str, Any] = {
    "integrity_checking": True,
    "swr_by_default": False,
    "l1": L1CacheConfig(),
    "circuit_breaker": CircuitBreakerConfig(),
    "timeout": TimeoutConfig(),
    "backpressure": BackpressureConfig(),
    "monitoring": MonitoringConfig(),
    "encryption": EncryptionConfig(),
}

_MINIMAL: dict[str, Any] = {
    **_PLAIN,
    "integrity_checking": False,
    "l1": L1CacheConfig(swr_enabled=False, invalidation_enabled=False, namespace_index=False),
    "circuit_breaker": CircuitBreakerConfig(enabled=False),
    "timeout": TimeoutConfig(enabled=False),
    "monitoring": MonitoringConfig(
        collect_stats=False,
        enable_tracing=False,
        enable_structured_logging=False,
        enable_prometheus_metrics=False,
    ),
}

PRESETS: dict[str, dict[str, Any]] = {
    "plain": _PLAIN,
    "minimal": _MINIMAL,
    "production": _PLAIN,
    "secure": _PLAIN,
    "dev": {
        **_PLAIN,
        "l1": L1CacheConfig(invalidation_enabled=False, namespace_index=False),
        "monitoring": MonitoringConfig(enable_prometheus_metrics=False),
    },
    "test": {**_MINIMAL, "backpressure": BackpressureConfig(enabled=False)},
    "io": {**_PLAIN, "swr_by_default": True},
}
"""Name -> fields of `DecoratorConfig`. "plain" is `@cache` without a preset."""

INTENTS: dict[str, dict[str, Any]] = {
    "balanced": _PLAIN,
    "minimal": {
        **_PLAIN,
        "l1": L1CacheConfig(swr_enabled=False),
        "monitoring": MonitoringConfig(enable_tracing=False, enable_structured_logging=False),
    },
}
"""What a detected intent sets. A name must not change stored bytes, keys, checks, statistics, or how a store in trouble is
treated, so it is less than the preset of the same name."""
