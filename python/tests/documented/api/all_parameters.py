from cachekit import cache
from cachekit.config.nested import L1CacheConfig, CircuitBreakerConfig, TimeoutConfig, BackpressureConfig, MonitoringConfig

@cache(
    ttl=3600,
    namespace=None,
    safe_mode=False,
    backend=None,

    # Performance features
    refresh_ttl_on_get=False,
    ttl_refresh_threshold=0.5,

    # Nested configuration groups (see sections below for details)
    l1=L1CacheConfig(enabled=True),
    circuit_breaker=CircuitBreakerConfig(enabled=True),
    timeout=TimeoutConfig(enabled=True),
    backpressure=BackpressureConfig(max_concurrent_requests=100),
    monitoring=MonitoringConfig(collect_stats=True, enable_tracing=True),
)
def your_function(args):
    return do_expensive_computation()
