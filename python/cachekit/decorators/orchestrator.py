"""The features around one decorated function, and how they are."""

from __future__ import annotations

from itertools import count

from .._guards import guard_options
from ..config._checks import check_object
from ..config._value import merged
from ..config.nested import BackpressureConfig, CircuitBreakerConfig, MonitoringConfig, TimeoutConfig

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from contextlib import AbstractContextManager
    from typing import Any, Callable, TypeVar

    from typing_extensions import ParamSpec

    from .._core import Guard, _GuardStats  # pyright: ignore[reportPrivateUsage]
    from ..config.decorator import DecoratorConfig
    from ..reliability import AdaptiveTimeout, BackpressureController, CircuitBreaker

    _P = ParamSpec("_P")
    _R = TypeVar("_R")

__all__ = ["FeatureOrchestrator"]


class FeatureOrchestrator:
    """Which features a function has, and the engine behind them.

    That of a decorated function looks at the guard of its store. One that is made by hand drives a guard of its own:

        orchestrator = FeatureOrchestrator(namespace="api_service")
        with orchestrator.operation() as seconds:
            ask(timeout=seconds)

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
        guard: The engine, when it is there already.
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
        guard: Guard | None = None,
    ) -> None:
        # The nested objects check the switches.
        self.namespace = "default" if namespace is None else namespace
        self.circuit_breaker_enabled = CircuitBreakerConfig(circuit_breaker_enabled).enabled
        self.adaptive_timeout_enabled = TimeoutConfig(adaptive_timeout_enabled).enabled
        self.backpressure_enabled = BackpressureConfig(backpressure_enabled).enabled
        monitoring = MonitoringConfig(collect_stats=collect_stats, enable_structured_logging=enable_structured_logging)
        self.collect_stats = monitoring.collect_stats
        self.enable_structured_logging = monitoring.enable_structured_logging
        self.circuit_breaker = _switched(
            check_object("FeatureOrchestrator.circuit_breaker", circuit_breaker, CircuitBreakerConfig),
            self.circuit_breaker_enabled,
        )
        self.timeout = _switched(
            check_object("FeatureOrchestrator.timeout", timeout, TimeoutConfig), self.adaptive_timeout_enabled
        )
        self.backpressure = _switched(
            check_object("FeatureOrchestrator.backpressure", backpressure, BackpressureConfig), self.backpressure_enabled
        )
        self.intent = intent
        self._guard = guard
        self._operations, self._numbers = 0, count(1)

    @classmethod
    def from_config(cls, config: DecoratorConfig, guard: Guard | None = None) -> FeatureOrchestrator:
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
            guard=guard,
        )

    # ---- the engine -------------------------------------------------------------------------------------------

    @property
    def guard(self) -> Guard:
        """The engine. Made when it is first needed, if there was none."""
        if self._guard is None:
            from .._core import Guard

            self._guard = Guard(**guard_options(self.circuit_breaker, self.timeout, self.backpressure))
        return self._guard

    @property
    def breaker(self) -> CircuitBreaker:
        """The breaker part of the engine."""
        from ..reliability import CircuitBreaker

        return CircuitBreaker(self.circuit_breaker, self.namespace, guard=self.guard)

    @property
    def adaptive_timeout(self) -> AdaptiveTimeout:
        """The time limit part of the engine."""
        from ..reliability import AdaptiveTimeout

        return AdaptiveTimeout(self.timeout, guard=self.guard)

    @property
    def load_control(self) -> BackpressureController:
        """The bound of the engine."""
        from ..reliability import BackpressureController

        bound = self.backpressure
        return BackpressureController(
            bound.max_concurrent_requests, bound.queue_size, bound.timeout, guard=self.guard
        )

    def operation(self) -> AbstractContextManager[float]:
        """One operation through all parts: gives its time limit in seconds; what it raises is told to the breaker.

        Raises:
            BackendError: on entering, when the circuit is open (``E030``) or there is no place (``E109``).
        """
        from ..reliability._engine import one_operation

        self._operations = next(self._numbers)  # of all threads, without a lock
        return one_operation(self.guard, self.circuit_breaker)

    def call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Calls the function as one `operation`."""
        with self.operation():
            return function(*args, **kwargs)

    async def call_async(
        self, function: Callable[_P, Coroutine[Any, Any, _R]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """`call` for coroutine functions."""
        with self.operation():
            return await function(*args, **kwargs)

    # ---- figures ----------------------------------------------------------------------------------------------

    def get_stats(self) -> dict[str, Any]:
        """The live figures of all parts."""
        return self.get_health_status()["components"]

    def get_health_status(self, counted: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """How the features are, with live figures.

        Args:
            counted: What others have counted: ``total_operations``, which are else those of `operation`; further components
                under ``components``.

        Returns:
            A new dictionary: namespace, healthy, features_enabled, intent; a block each for the breaker, backpressure
            and the time limit; and under components the features that are enabled. Times are in seconds.
        """
        from ..reliability._engine import last_failure, next_attempt, pressure_figures, successes, timeout_figures

        stats, options = self.guard.stats(), self.guard.options()
        load, limit = pressure_figures(stats, options), timeout_figures(stats, options)
        healthy = stats["state"] != "open"
        return {
            "namespace": self.namespace,
            "healthy": healthy,
            "overall_healthy": healthy,
            "intent": {"profile": self.intent[0], "reason": self.intent[1]},
            "features_enabled": {
                "circuit_breaker": self.circuit_breaker_enabled,
                "adaptive_timeout": self.adaptive_timeout_enabled,
                "backpressure": self.backpressure_enabled,
                "statistics": self.collect_stats,
                "structured_logging": self.enable_structured_logging,
            },
            "circuit_breaker": {
                "state": stats["state"].upper(),
                "failure_count": stats["failures_in_a_row"],
                "success_count": stats["probe_successes"] if stats["state"] == "half_open" else successes(stats),
                "last_failure_time": last_failure(stats),
                "next_attempt": next_attempt(stats),
            },
            "backpressure": {
                "max_concurrent": load["max_concurrent"],
                "current_requests": load["current_requests"],
                "rejected_requests": load["rejected_count"],
            },
            "adaptive_timeout": {
                "current_timeout": limit["current_timeout"],
                "base_timeout": limit["base_timeout"],
                "average_duration": limit["average_duration"],
            },
            "components": self._components(stats, options, {} if counted is None else counted),
        }

    def _components(
        self, stats: _GuardStats, options: dict[str, Any], counted: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The features that are enabled, and what others have counted."""
        from ..reliability._engine import breaker_figures, pressure_figures, timeout_figures

        components: dict[str, Any] = {}
        if self.circuit_breaker_enabled:
            components["circuit_breaker"] = breaker_figures(stats, options, self.namespace)
        if self.backpressure_enabled:
            components["load_control"] = pressure_figures(stats, options)
        if self.adaptive_timeout_enabled:
            components["adaptive_timeout"] = timeout_figures(stats, options)
        if options["retry"]:
            components["retries"] = {"retries": stats["retries"], "recovered": stats["recovered"]}
        if self.collect_stats:
            total = counted.get("total_operations", self._operations)
            components["metrics"] = {"total_operations": total, "dropped_metrics": 0}
        components.update(counted.get("components", {}))
        return components


def _switched(config: Any, enabled: bool) -> Any:
    return config if config.enabled == enabled else merged(config, {"enabled": enabled})
