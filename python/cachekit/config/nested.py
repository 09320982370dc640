"""The groups of settings of one decorated function.

Each is an immutable object that is checked when it is made:

    @cache(l1=L1CacheConfig(max_size_mb=50), circuit_breaker=CircuitBreakerConfig(failure_threshold=10))

Wrong values raise `ConfigurationError`, wrong types `ConfigurationTypeError` (which is a `TypeError` too).
"""

from __future__ import annotations

import os

from ..errors import BackendError, BackendErrorType, ConfigurationError
from ._checks import check_bool, check_number, check_text, check_whole, refuse_type, refuse_value
from ._keys import check_uuid, decode_key
from ._value import Value, put
from .secret import MASTER_KEY_FILE, SecretStr

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

__all__ = [
    "BackpressureConfig",
    "CircuitBreakerConfig",
    "EncryptionConfig",
    "L1CacheConfig",
    "MonitoringConfig",
    "TimeoutConfig",
]

MAX_L1_MB = 1048576
MAX_RECOVERY = 86400
MAX_PROBES = 64
MAX_SECONDS = 3600
COUNTED = (BackendErrorType.TRANSIENT, BackendErrorType.TIMEOUT, BackendErrorType.UNKNOWN)
"""The kinds of failures that a breaker counts."""


class L1CacheConfig(Value):
    """The memory in front of the store."""

    enabled: bool = True
    """Whether values are kept in memory."""
    max_size_mb: int | None = None
    """Memory of the function's namespace in MiB, 1 to 1048576; None = what `CACHEKIT_L1_MAX_SIZE_MB` says (100)."""
    swr_enabled: bool = True
    """Whether a value that is past a part of its lifetime is served while the function runs again in the background."""
    swr_threshold_ratio: float = 0.5
    """That part of the lifetime, above 0, up to 1."""
    invalidation_enabled: bool = True
    """Whether values in memory go when another process changes the entry, where the store tells of it (Redis); off: they
    live out their lifetime."""
    namespace_index: bool = True
    """Accepted; a namespace is invalidated in constant time with and without it."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made."""
        check_bool("L1CacheConfig.enabled", self.enabled)
        if self.max_size_mb is not None:
            check_whole("L1CacheConfig.max_size_mb", self.max_size_mb, 1, MAX_L1_MB, unit=" of MiB")
        check_bool("L1CacheConfig.swr_enabled", self.swr_enabled)
        check_number("L1CacheConfig.swr_threshold_ratio", self.swr_threshold_ratio, 0, 1, above=True)
        check_bool("L1CacheConfig.invalidation_enabled", self.invalidation_enabled)
        check_bool("L1CacheConfig.namespace_index", self.namespace_index)


class CircuitBreakerConfig(Value):
    """When a failing store is left alone, and how it is tried again.

    Args:
        enabled: Whether there is a breaker.
        failure_threshold: Failures one after the other that open it, 1 or more.
        success_threshold: Successful probes that close it, 1 or more.
        recovery_timeout: Seconds it stays open before a probe, 0 to 86400.
        half_open_requests: Probes at the same time, 1 to 64.
        excluded_exceptions: Exception classes that do not count: those that a backend written in Python raises, and
            for other stores what their failures are, `ConnectionError` or `TimeoutError` (or a base of them).
        excluded_error_types: `BackendErrorType` members (or their values, which become members) that do not count.
        timeout_seconds: Another name of `recovery_timeout`.
    """

    _aliases = {"timeout_seconds": "recovery_timeout"}

    enabled: bool = True
    failure_threshold: int = 5
    success_threshold: int = 3
    recovery_timeout: float = 30.0
    half_open_requests: int = 3
    excluded_exceptions: tuple[type[BaseException], ...] = ()
    excluded_error_types: tuple[BackendErrorType, ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            enabled: bool = True,
            failure_threshold: int = 5,
            success_threshold: int = 3,
            recovery_timeout: float = 30.0,
            half_open_requests: int = 3,
            excluded_exceptions: Iterable[type[BaseException]] = (),
            excluded_error_types: Iterable[BackendErrorType | str] = (),
            *,
            timeout_seconds: float = 30.0,
        ) -> None: ...

    def __post_init__(self) -> None:
        put(self, "excluded_exceptions", _exception_classes(self.excluded_exceptions))
        put(self, "excluded_error_types", _error_types(self.excluded_error_types))
        self.validate()

    @property
    def timeout_seconds(self) -> float:
        """Another name of `recovery_timeout`."""
        return self.recovery_timeout

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made."""
        check_bool("CircuitBreakerConfig.enabled", self.enabled)
        check_whole("CircuitBreakerConfig.failure_threshold", self.failure_threshold, 1)
        check_whole("CircuitBreakerConfig.success_threshold", self.success_threshold, 1)
        check_number("CircuitBreakerConfig.recovery_timeout", self.recovery_timeout, 0, MAX_RECOVERY, unit="seconds")
        check_whole("CircuitBreakerConfig.half_open_requests", self.half_open_requests, 1, MAX_PROBES)
        if self.enabled and len(self.excluded_kinds) == len(COUNTED):
            raise ConfigurationError(
                "CircuitBreakerConfig: every failure that counts is excluded, so that it could never open: "
                "enabled=False says that"
            )

    @property
    def excluded_kinds(self) -> frozenset[BackendErrorType]:
        """The kinds of failures that count in general and are excluded here."""
        kinds = {kind for kind in self.excluded_error_types if kind in COUNTED}
        for kind, exception in ((BackendErrorType.TRANSIENT, ConnectionError), (BackendErrorType.TIMEOUT, TimeoutError)):
            if any(issubclass(exception, excluded) for excluded in self.excluded_exceptions):
                kinds.add(kind)
        if any(issubclass(BackendError, excluded) for excluded in self.excluded_exceptions):
            kinds.update(COUNTED)
        return frozenset(kinds)


def _as_tuple(name: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, (tuple, list, set, frozenset)):
        return tuple(values)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise refuse_type(name, "a tuple", values)


def _exception_classes(values: object) -> tuple[type[BaseException], ...]:
    classes = _as_tuple("CircuitBreakerConfig.excluded_exceptions", values)
    for value in classes:
        kind: Any = value
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise refuse_type("CircuitBreakerConfig.excluded_exceptions", "exception classes in it", value)
    return classes


def _error_types(values: object) -> tuple[BackendErrorType, ...]:
    name = "CircuitBreakerConfig.excluded_error_types"
    expected = "BackendErrorType members, or of their values " + ", ".join(kind.value for kind in BackendErrorType)
    kinds: list[BackendErrorType] = []
    for value in _as_tuple(name, values):
        if not isinstance(value, str):
            raise refuse_type(name, expected + ", in it", value)
        if value not in [kind.value for kind in BackendErrorType]:
            raise refuse_value(name, expected, value)
        kinds.append(BackendErrorType(value))
    return tuple(kinds)


class TimeoutConfig(Value):
    """How long one operation of the store may take, learned from how long the former ones took."""

    enabled: bool = True
    """Whether it is learned; else it is always `initial`."""
    initial: float = 1.0
    """Seconds at the beginning, from `min` to `max`."""
    min: float = 0.1
    """The least, in seconds, above 0; counted in milliseconds."""
    max: float = 10.0
    """The most, in seconds, up to 3600."""
    window_size: int = 1000
    """How many operations are looked back at, 10 to 100000."""
    percentile: float = 95.0
    """Which of their durations is taken, above 0, up to 100."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made."""
        check_bool("TimeoutConfig.enabled", self.enabled)
        check_number("TimeoutConfig.min", self.min, 0, MAX_SECONDS, above=True, unit="seconds")
        check_number("TimeoutConfig.max", self.max, 0, MAX_SECONDS, above=True, unit="seconds")
        check_number("TimeoutConfig.initial", self.initial, 0, MAX_SECONDS, above=True, unit="seconds")
        check_whole("TimeoutConfig.window_size", self.window_size, 10, 100000)
        check_number("TimeoutConfig.percentile", self.percentile, 0, 100, above=True)
        if not self.min <= self.initial <= self.max:
            raise ConfigurationError(
                f"TimeoutConfig: expected min <= initial <= max, and they are {self.min}, {self.initial}, {self.max}"
            )


class BackpressureConfig(Value):
    """How many operations of the store there may be at once."""

    enabled: bool = True
    """Whether there is a bound."""
    max_concurrent_requests: int = 100
    """Operations at the same time, 1 or more."""
    queue_size: int = 1000
    """Operations waiting, 0 or more; further ones are rejected."""
    timeout: float = 0.1
    """The longest wait in seconds, 0 to 3600."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made."""
        check_bool("BackpressureConfig.enabled", self.enabled)
        check_whole("BackpressureConfig.max_concurrent_requests", self.max_concurrent_requests, 1)
        check_whole("BackpressureConfig.queue_size", self.queue_size, 0)
        check_number("BackpressureConfig.timeout", self.timeout, 0, MAX_SECONDS, unit="seconds")


class MonitoringConfig(Value):
    """What is told about the cache's work."""

    collect_stats: bool = True
    """Whether statistics are collected."""
    enable_tracing: bool = True
    """Whether OpenTelemetry spans are made; accepted, and without effect in this version."""
    enable_structured_logging: bool = True
    """Whether log records carry correlation ids and fields; accepted, and without effect in this version."""
    enable_prometheus_metrics: bool = True
    """Whether Prometheus metrics are counted; accepted, and without effect in this version."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made."""
        check_bool("MonitoringConfig.collect_stats", self.collect_stats)
        check_bool("MonitoringConfig.enable_tracing", self.enable_tracing)
        check_bool("MonitoringConfig.enable_structured_logging", self.enable_structured_logging)
        check_bool("MonitoringConfig.enable_prometheus_metrics", self.enable_prometheus_metrics)


class TenantText(str):
    """Whose data it is where `EncryptionWrapper` says so: any text, which counts as it is written."""


class EncryptionConfig(Value):
    """Encryption of what is stored. The master key is never shown, printed, pickled or put into a dictionary."""

    enabled: bool | None = None
    """None = when a master key is configured for the process; True = must; False = never, also with a master key."""
    master_key: SecretStr | str | None = None
    """64 or more hexadecimal digits; kept as a `SecretStr`. None = `CACHEKIT_MASTER_KEY`."""
    tenant_extractor: Any = None
    """Tells the tenant of a call: an object with ``extract(args, kwargs) -> str``, or a callable."""
    single_tenant_mode: bool = False
    """All calls belong to one tenant."""
    deployment_uuid: str | None = None
    """The tenant of single-tenant mode, a UUID; None = `CACHEKIT_DEPLOYMENT_UUID`."""
    fail_closed: bool | None = None
    """Whether a stored value that fails authentication, or is sealed and met without a key, is an error of the call; None =
    `CACHEKIT_ENCRYPTION_FAIL_CLOSED`, else no."""

    def __post_init__(self) -> None:
        if isinstance(self.master_key, str):
            put(self, "master_key", SecretStr(self.master_key))
        self.validate()

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made."""
        if self.enabled is not None:
            check_bool("EncryptionConfig.enabled", self.enabled)
        if self.master_key is not None:
            if not isinstance(self.master_key, SecretStr):
                raise refuse_type("EncryptionConfig.master_key", "a text of hexadecimal digits", self.master_key)
            decode_key("EncryptionConfig.master_key", self.master_key.get_secret_value())
        _check_extractor(self.tenant_extractor)
        check_bool("EncryptionConfig.single_tenant_mode", self.single_tenant_mode)
        if self.deployment_uuid is not None and not isinstance(self.deployment_uuid, TenantText):
            name = "EncryptionConfig.deployment_uuid"
            check_uuid(name, check_text(name, self.deployment_uuid))
        if self.fail_closed is not None:
            check_bool("EncryptionConfig.fail_closed", self.fail_closed)
        if self.enabled:
            self._validate_enabled()

    def _validate_enabled(self) -> None:
        key = self.resolve_master_key()
        if key is None and not os.environ.get(MASTER_KEY_FILE):
            raise ConfigurationError(
                "EncryptionConfig.enabled=True without a master key: give master_key=, or set CACHEKIT_MASTER_KEY "
                "or CACHEKIT_MASTER_KEY_FILE",
                "E001",
            )
        if key is not None:
            decode_key("CACHEKIT_MASTER_KEY" if self.master_key is None else "EncryptionConfig.master_key", key)
        if (self.tenant_extractor is not None) == self.single_tenant_mode:
            found = "both are" if self.single_tenant_mode else "neither is"
            raise ConfigurationError(
                "EncryptionConfig.enabled=True needs one of tenant_extractor= (a key for each tenant) and "
                f"single_tenant_mode=True (one key for all), and {found} given"
            )

    def resolve_master_key(self) -> str | None:
        """The master key in effect: this object's, else the process's, else None. Handle with care."""
        if isinstance(self.master_key, SecretStr):
            return self.master_key.get_secret_value()
        from .settings import get_settings

        key = get_settings().master_key
        return key.get_secret_value() if isinstance(key, SecretStr) else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "master_key": None}


def _check_extractor(extractor: Any) -> None:
    extract: Callable[..., str] | None = getattr(extractor, "extract", None)
    if extractor is not None and not callable(extract) and not callable(extractor):
        raise refuse_type(
            "EncryptionConfig.tenant_extractor", "an object with extract(args, kwargs), or a callable", extractor
        )


def validate_encryption_config(
    encryption: bool | None = False, master_key: str | None = None, **options: Any
) -> EncryptionConfig:
    """Checks the encryption keywords of a decorator and returns them as one object.

    Raises:
        ConfigurationError: E001 without a master key, E002 for a malformed one, E103 for anything else.
    """
    return EncryptionConfig(encryption, master_key, **options)
