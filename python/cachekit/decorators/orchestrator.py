"""The features around one decorated function, and how they are."""

from __future__ import annotations

from ..config.nested import BackpressureConfig, CircuitBreakerConfig, MonitoringConfig, TimeoutConfig

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..config.decorator import DecoratorConfig

__all__ = ["FeatureOrchestrator"]


class FeatureOrchestrator:
    """Which features a function has, and their state.

    It holds no engine: states and counters are those of features that have not acted, unless `get_health_status` is
    given what has been counted.

    Args:
        namespace: The label of metrics and health; None is shown as ``"default"``.
        circuit_breaker_enabled: Whether there is a breaker.
        adaptive_timeout_enabled: Whether the store's time limit is learned.
        backpressure_enabled: Whether the number of operations is bounded.
        collect_stats: Whether statistics are collected.
        enable_structured_logging: Whether log records carry fields.
        circuit_breaker: The breaker's numbers.
        timeout: The time limit's numbers.
        backpressure: The bound's numbers.
        intent: The profile that was chosen, and why.
    """

    def __init__(
        self,
        namespace: str | None = None,
        circuit_breaker_enabled: bool = True,
        adaptive_timeout_enabled: bool = True,
        backpressure_enabled: bool = True,
        collect_stats: bool = True,
        enable_structured_logging: bool = True,
        *,
        circuit_breaker: CircuitBreakerConfig | None = None,
        timeout: TimeoutConfig | None = None,
        backpressure: BackpressureConfig | None = None,
        intent: tuple[str, str] = ("plain", ""),
    ) -> None:
        # The nested objects check the switches.
        self.namespace = "default" if namespace is None else namespace
        self.circuit_breaker_enabled = CircuitBreakerConfig(circuit_breaker_enabled).enabled
        self.adaptive_timeout_enabled = TimeoutConfig(adaptive_timeout_enabled).enabled
        self.backpressure_enabled = BackpressureConfig(backpressure_enabled).enabled
        monitoring = MonitoringConfig(collect_stats=collect_stats, enable_structured_logging=enable_structured_logging)
        self.collect_stats = monitoring.collect_stats
        self.enable_structured_logging = monitoring.enable_structured_logging
        self.circuit_breaker = circuit_breaker or CircuitBreakerConfig()
        self.timeout = timeout or TimeoutConfig()
        self.backpressure = backpressure or BackpressureConfig()
        self.intent = intent

    @classmethod
    def from_config(cls, config: DecoratorConfig) -> FeatureOrchestrator:
        """The features of a decorated function."""
        return cls(
            config.namespace,
            config.circuit_breaker.enabled,
            config.timeout.enabled,
            config.backpressure.enabled,
            config.monitoring.collect_stats,
            config.monitoring.enable_structured_logging,
            circuit_breaker=config.circuit_breaker,
            timeout=config.timeout,
            backpressure=config.backpressure,
            intent=(config.profile, config.profile_reason),
        )

    def get_health_status(self, counted: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """How the features are.

        Args:
            counted: What has been counted: ``total_operations``, ``rejected_requests``, ``current_requests``,
                ``average_duration`` and others of the same names as in the answer. Absent ones are 0.

        Returns:
            A new dictionary: namespace, healthy, features_enabled, intent; a block each for the breaker, backpressure
            and the time limit; and under components the features that are enabled.
        """
        counts: Mapping[str, Any] = {} if counted is None else counted
        load = self._load_control(counts)
        components: dict[str, Any] = {}
        if self.circuit_breaker_enabled:
            components["circuit_breaker"] = self._breaker_component()
        if self.backpressure_enabled:
            components["load_control"] = load
        if self.collect_stats:
            components["metrics"] = {"total_operations": counts.get("total_operations", 0), "dropped_metrics": 0}
        return {
            "namespace": self.namespace,
            "healthy": True,
            "overall_healthy": True,
            "intent": {"profile": self.intent[0], "reason": self.intent[1]},
            "features_enabled": {
                "circuit_breaker": self.circuit_breaker_enabled,
                "adaptive_timeout": self.adaptive_timeout_enabled,
                "backpressure": self.backpressure_enabled,
                "statistics": self.collect_stats,
                "structured_logging": self.enable_structured_logging,
            },
            "circuit_breaker": {
                "state": "CLOSED",
                "failure_count": 0,
                "success_count": counts.get("success_count", 0),
                "last_failure_time": None,
                "next_attempt": None,
            },
            "backpressure": {
                "max_concurrent": load["max_concurrent"],
                "current_requests": counts.get("current_requests", 0),
                "rejected_requests": load["rejected_count"],
            },
            "adaptive_timeout": {
                "current_timeout": counts.get("current_timeout", self.timeout.initial),
                "base_timeout": self.timeout.initial,
                "average_duration": counts.get("average_duration", 0.0),
            },
            "components": components,
        }

    def _breaker_component(self) -> dict[str, Any]:
        breaker = self.circuit_breaker
        return {
            "state": "closed",
            "failure_count": 0,
            "success_count": 0,
            "half_open_permits": 0,
            "last_failure_time": 0,
            "namespace": self.namespace,
            "config": {
                "failure_threshold": breaker.failure_threshold,
                "success_threshold": breaker.success_threshold,
                "timeout_seconds": breaker.recovery_timeout,
                "half_open_requests": breaker.half_open_requests,
            },
        }

    def _load_control(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        waiting = counts.get("queue_depth", 0)
        return {
            "queue_depth": waiting,
            "rejected_count": counts.get("rejected_requests", 0),
            "max_concurrent": self.backpressure.max_concurrent_requests,
            "queue_size": self.backpressure.queue_size,
            "healthy": waiting < 0.8 * self.backpressure.queue_size or waiting == 0,
        }
