"""The keywords of the decorator, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Literal, TypedDict

if TYPE_CHECKING:
    from .nested import BackpressureConfig, CircuitBreakerConfig, EncryptionConfig, L1CacheConfig, MonitoringConfig
    from .nested import TimeoutConfig
    from .secret import SecretStr

__all__ = ["CacheOptions"]


class CacheOptions(TypedDict, total=False):
    """What `cache(...)`, its presets and `DecoratorConfig(...)` take. All by name, all optional."""

    ttl: float | None
    namespace: str | None
    serializer: Any
    backend: Any
    key: Callable[..., str] | None
    integrity_checking: bool
    refresh_ttl_on_get: bool
    ttl_refresh_threshold: float
    stale_ttl: int | None
    fail_safe: float
    ttl_jitter: float
    early_refresh_beta: float
    none_ttl: float | None
    fallback_strategy: Literal["fail_open", "fail_closed"]
    soft_limit: float | None
    hard_limit: float | None
    swr_by_default: bool
    interop: str | None
    safe_mode: bool
    pipelined: bool
    fast_mode: bool

    l1: L1CacheConfig
    circuit_breaker: CircuitBreakerConfig | bool
    timeout: TimeoutConfig
    backpressure: BackpressureConfig | bool
    monitoring: MonitoringConfig
    encryption: EncryptionConfig | bool | None

    l1_enabled: bool
    circuit_breaker_config: CircuitBreakerConfig | None
    adaptive_timeout: bool
    max_concurrent_requests: int
    collect_stats: bool
    enable_tracing: bool
    enable_structured_logging: bool
    enable_prometheus_metrics: bool
    master_key: SecretStr | str | None
    tenant_extractor: Any
    single_tenant_mode: bool
    deployment_uuid: str | None
    fail_closed: bool | None


class ConfigFields(CacheOptions, total=False):
    """`CacheOptions` and what only a configuration object has."""

    profile: str
    profile_reason: str
