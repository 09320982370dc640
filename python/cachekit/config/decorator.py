"""The configuration of one decorated function, as an object, and the default store."""

from __future__ import annotations

from ..errors import ConfigurationError, ConfigurationTypeError, UnsupportedError
from ._build import KEYWORDS, assemble, unwrap
from ._checks import (
    check_choice,
    MASK,
    NOT_GIVEN,
    NotGiven,
    check_bool,
    check_number,
    check_text,
    check_whole,
    refuse_names,
    refuse_type,
    refuse_value,
    show,
)
from ._presets import PRESETS
from ._value import Value, field_names, put
from .nested import BackpressureConfig, CircuitBreakerConfig, EncryptionConfig, L1CacheConfig, MonitoringConfig
from .nested import TimeoutConfig
from .settings import MAX_TTL_SECONDS

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, Literal

    from typing_extensions import Self, Unpack

    from ._options import CacheOptions, ConfigFields

__all__ = ["DecoratorConfig", "LocalConfig", "get_default_backend", "set_default_backend"]

_DO_NOT_STORE = 2**64 - 2
MAX_STALE_SECONDS = 2592000
"""Thirty days: the most that `ttl` and `stale_ttl` may be together."""
SERIALIZER_NAMES = ("default", "std", "auto", "pythonic", "orjson", "arrow")


class DecoratorConfig(Value):
    """Everything about how one function is cached.

    Takes the same keywords as `cache`, flat and nested ones alike, and checks them at once:

        @cache(config=DecoratorConfig(ttl=60, l1_enabled=False))

    Keywords beside `config=` win over it. `replace` makes a changed copy.

    Raises:
        ConfigurationError: a value is wrong, or two keywords contradict each other. It is a `ValueError`.
        ConfigurationTypeError: a value has the wrong type, or there is no such keyword. It is a `TypeError` too.
    """

    ttl: float | None
    """Lifetime in seconds, down to a millisecond. Not given: the setting `default_ttl` (3600). None: no expiry. 0: do
    not store. At most ten years."""
    stale_ttl: int | None
    """For how many seconds after its lifetime a value is still served while the function runs again in the background.
    0 = not at all; None = what `swr_by_default` says. `ttl` and `stale_ttl` are at most 30 days together."""
    fail_safe: float
    """For how many seconds after its lifetime an older value stands in for a function, or a store, that fails."""
    ttl_jitter: float
    """Lifetimes are up to this part of them shorter, drawn for each value; 0 to less than 1."""
    early_refresh_beta: float
    """Values are renewed before their end by so many times what a run takes, on average (XFetch); 0 = not."""
    none_ttl: float | None
    """Lifetime in seconds of a result that is None. None: as any other. 0: do not store."""
    fallback_strategy: Literal["fail_open", "fail_closed"]
    """What a store that fails means: the function runs, or the call raises the store's error."""
    soft_limit: float | None
    """Seconds after which a call gets an older result within `fail_safe`, if there is one. The function goes on."""
    hard_limit: float | None
    """Seconds after which a call ends, with such a result or a `FunctionTimeoutError`. A plain function with a limit runs
    in a thread of its own."""
    swr_by_default: bool
    """Without `stale_ttl`: serve stale values for as long again as `ttl`."""
    namespace: str | None
    """Part of the key, and what can be invalidated as a whole."""
    serializer: Any
    """A name (default, std, auto, pythonic, orjson, arrow), or an object with serialize and deserialize."""
    integrity_checking: bool
    """Whether stored values get a checksum and compression."""
    key: Callable[..., str] | None
    """Makes the key from the call's arguments."""
    interop: str | None
    """The operation's name in keys that all languages share. Needs a namespace, and a store."""
    refresh_ttl_on_get: bool
    """Whether a hit in the store gives the entry its full lifetime again."""
    ttl_refresh_threshold: float
    """When less than this part of the lifetime remains, 0 to 1."""
    safe_mode: bool
    """Accepted for compatibility, and changes nothing: that a problem of the cache never breaks the function is the rule
    anyway."""
    pipelined: bool
    """Accepted for compatibility, and changes nothing: what is asked of Redis at the same time always travels together."""
    backend: Any
    """The store. None: memory only. `NOT_GIVEN`: the default backend, or what the environment chooses."""
    l1: L1CacheConfig
    """The memory in front of the store."""
    circuit_breaker: CircuitBreakerConfig
    """When a failing store is left alone."""
    timeout: TimeoutConfig
    """How long the store may take."""
    backpressure: BackpressureConfig
    """How many operations of the store there may be at once."""
    monitoring: MonitoringConfig
    """What is told about the cache's work."""
    encryption: EncryptionConfig
    """Encryption of what is stored."""
    profile: str = "plain"
    """What was underneath: a preset (plain, minimal, production, secure, dev, test, io) or a detected profile."""
    profile_reason: str = ""
    """Why, when the profile was detected."""

    def __init__(self, **options: Unpack[ConfigFields]) -> None:
        given: dict[str, Any] = dict(options)
        label = {name: given.pop(name) for name in ("profile", "profile_reason") if name in given}
        _check_names("DecoratorConfig", given)
        unwrap(given)
        fast = _take_fast_mode(given)
        base = PRESETS["minimal" if fast else "plain"]
        if fast:
            label.setdefault("profile", "minimal")
        self._fill({**assemble(given, base, with_settings=True), **label})

    def _fill(self, fields: Mapping[str, Any]) -> None:
        for name, value in fields.items():
            put(self, name, value)
        self.validate()

    @classmethod
    def _over(cls, base: Mapping[str, Any], options: Mapping[str, Any], *, with_settings: bool, **label: str) -> Self:
        """`options` over the fields of a preset or of another object. Names have been checked."""
        config = object.__new__(cls)
        config._fill({**assemble(options, base, with_settings=with_settings), **label})
        return config

    def replace(self, **options: Unpack[CacheOptions]) -> Self:
        """A copy with other values. Nested objects replace, flat keywords change a single field."""
        given: dict[str, Any] = dict(options)
        _check_names("DecoratorConfig.replace", given)
        unwrap(given)
        if _take_fast_mode(given):
            raise ConfigurationError(
                "fast_mode=True is the preset minimal, beside no other configuration: use DecoratorConfig.minimal()"
            )
        fields = {name: getattr(self, name) for name in field_names(type(self))}
        label = {"profile": self.profile, "profile_reason": self.profile_reason}
        return type(self)._over(fields, given, with_settings=False, **label)

    # ---- presets ----------------------------------------------------------------------------------------------

    @classmethod
    def preset(cls, name: str, /, **options: Unpack[CacheOptions]) -> Self:
        """The preset of this name, with `options` over it: ``DecoratorConfig.preset("dev", ttl=60)``."""
        if name not in PRESETS:
            raise refuse_value("preset", "one of " + ", ".join(PRESETS), name)
        given: dict[str, Any] = dict(options)
        _check_names(f"cache.{name}", given)
        unwrap(given)
        if _take_fast_mode(given) and name != "minimal":
            if name != "plain":
                raise ConfigurationError(f"fast_mode=True is the preset minimal and contradicts the preset {name}")
            name = "minimal"
        if name == "secure":
            given = _secure_options(given)
        return cls._over(PRESETS[name], given, with_settings=True, profile=name)

    @classmethod
    def minimal(cls, **options: Unpack[CacheOptions]) -> Self:
        """As fast as possible: no checksum, no breaker, no monitoring."""
        return cls.preset("minimal", **options)

    @classmethod
    def production(cls, **options: Unpack[CacheOptions]) -> Self:
        """Every feature on."""
        return cls.preset("production", **options)

    @classmethod
    def secure(cls, **options: Unpack[CacheOptions]) -> Self:
        """Every feature on, and encryption. Needs `master_key` or `CACHEKIT_MASTER_KEY`; the checksum cannot be
        switched off."""
        return cls.preset("secure", **options)

    @classmethod
    def dev(cls, **options: Unpack[CacheOptions]) -> Self:
        """For development: logs, no Prometheus metrics."""
        return cls.preset("dev", **options)

    @classmethod
    def test(cls, **options: Unpack[CacheOptions]) -> Self:
        """For tests: nothing that depends on time or load."""
        return cls.preset("test", **options)

    @classmethod
    def io(cls, **options: Unpack[CacheOptions]) -> Self:
        """The managed store of cachekit.io. This version can describe such a configuration, and refuses to decorate
        with it. A `backend` keyword is ignored."""
        options.pop("backend", None)
        return cls.preset("io", **options)

    # ---- what follows from the fields -------------------------------------------------------------------------

    @property
    def ttl_ms(self) -> int | None:
        """`ttl` in milliseconds: None = no expiry, 0 = do not store. What is not 0 is at least one millisecond."""
        return None if self.ttl is None else _milliseconds(self.ttl)

    @property
    def stale_ms(self) -> int:
        """For how long after its lifetime a value is served, in milliseconds; 0 = not at all."""
        if self.stale_ttl is not None:
            return self.stale_ttl * 1000
        if not self.swr_by_default or not self.ttl:
            return 0
        return _milliseconds(max(0, min(self.ttl, MAX_STALE_SECONDS - self.ttl)))

    @property
    def fresh(self) -> tuple[int, float, float, int, bool]:
        """What `CachedFunction` takes as `fresh`."""
        none_ms = 0 if self.none_ttl is None else _milliseconds(self.none_ttl) or _DO_NOT_STORE
        closed = self.fallback_strategy == "fail_closed"
        return (
            _milliseconds(self.fail_safe),
            float(self.ttl_jitter),
            float(self.early_refresh_beta),
            none_ms,
            closed,
        )

    @property
    def limits_ms(self) -> tuple[int, int]:
        """The soft and the hard limit; 0 = none."""
        soft, hard = (0 if limit is None else _milliseconds(limit) for limit in (self.soft_limit, self.hard_limit))
        return soft, hard

    @property
    def l1_only(self) -> bool:
        """Whether values are kept in the memory of this process only (`backend=None`)."""
        return self.backend is None

    def to_dict(self) -> dict[str, Any]:
        """All settings, flat. The master key is ``********`` when it is set."""
        return {
            "ttl": self.ttl,
            "stale_ttl": self.stale_ttl,
            "fail_safe": self.fail_safe,
            "ttl_jitter": self.ttl_jitter,
            "early_refresh_beta": self.early_refresh_beta,
            "none_ttl": self.none_ttl,
            "fallback_strategy": self.fallback_strategy,
            "soft_limit": self.soft_limit,
            "hard_limit": self.hard_limit,
            "swr_by_default": self.swr_by_default,
            "namespace": self.namespace,
            "serializer": self.serializer,
            "integrity_checking": self.integrity_checking,
            "key": self.key,
            "interop": self.interop,
            "refresh_ttl_on_get": self.refresh_ttl_on_get,
            "ttl_refresh_threshold": self.ttl_refresh_threshold,
            "safe_mode": self.safe_mode,
            "pipelined": self.pipelined,
            "backend": self.backend,
            "l1_enabled": self.l1.enabled,
            "l1_max_size_mb": self.l1.max_size_mb,
            "swr_enabled": self.l1.swr_enabled,
            "swr_threshold_ratio": self.l1.swr_threshold_ratio,
            "invalidation_enabled": self.l1.invalidation_enabled,
            "namespace_index": self.l1.namespace_index,
            "circuit_breaker": self.circuit_breaker.enabled,
            "failure_threshold": self.circuit_breaker.failure_threshold,
            "success_threshold": self.circuit_breaker.success_threshold,
            "recovery_timeout": self.circuit_breaker.recovery_timeout,
            "half_open_requests": self.circuit_breaker.half_open_requests,
            "excluded_exceptions": self.circuit_breaker.excluded_exceptions,
            "excluded_error_types": self.circuit_breaker.excluded_error_types,
            "adaptive_timeout": self.timeout.enabled,
            "initial_timeout": self.timeout.initial,
            "min_timeout": self.timeout.min,
            "max_timeout": self.timeout.max,
            "timeout_window_size": self.timeout.window_size,
            "timeout_percentile": self.timeout.percentile,
            "backpressure": self.backpressure.enabled,
            "max_concurrent_requests": self.backpressure.max_concurrent_requests,
            "queue_size": self.backpressure.queue_size,
            "backpressure_timeout": self.backpressure.timeout,
            "collect_stats": self.monitoring.collect_stats,
            "enable_tracing": self.monitoring.enable_tracing,
            "enable_structured_logging": self.monitoring.enable_structured_logging,
            "enable_prometheus_metrics": self.monitoring.enable_prometheus_metrics,
            "encryption": self.encryption.enabled,
            "master_key": None if self.encryption.master_key is None else MASK,
            "tenant_extractor": self.encryption.tenant_extractor,
            "single_tenant_mode": self.encryption.single_tenant_mode,
            "deployment_uuid": self.encryption.deployment_uuid,
            "fail_closed": self.encryption.fail_closed,
        }

    # ---- checks -----------------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made. Nested objects have checked themselves."""
        if self.ttl is not None:
            check_number("ttl", self.ttl, 0, MAX_TTL_SECONDS, unit="seconds, None (no expiry) or 0 (do not store)")
        self._check_stale()
        check_number("fail_safe", self.fail_safe, 0, MAX_STALE_SECONDS, unit="seconds")
        if self.fail_safe and not self.ttl:
            raise ConfigurationError(f"fail_safe={show(self.fail_safe)} needs a ttl above 0, and ttl is {show(self.ttl)}")
        check_number("ttl_jitter", self.ttl_jitter, 0, 0.99)
        check_number("early_refresh_beta", self.early_refresh_beta, 0, 1000)
        if self.none_ttl is not None:
            check_number("none_ttl", self.none_ttl, 0, MAX_TTL_SECONDS, unit="seconds, or None (as any other)")
        for name in ("soft_limit", "hard_limit"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, MAX_STALE_SECONDS, above=True, unit="seconds, or None (no limit)")
        if self.soft_limit is not None and self.hard_limit is not None and self.hard_limit < self.soft_limit:
            raise ConfigurationError(f"hard_limit={self.hard_limit} is less than soft_limit={self.soft_limit}")
        if self.soft_limit is not None and not self.fail_safe:
            raise ConfigurationError("soft_limit= without fail_safe=: there is no older result that may be given instead")
        check_choice("fallback_strategy", self.fallback_strategy, ("fail_open", "fail_closed"))
        if self.namespace is not None:
            check_text("namespace", self.namespace)
        _check_serializer(self.serializer)
        _check_key(self.key)
        if self.interop is not None:
            self._check_interop(check_text("interop", self.interop))
        check_number("ttl_refresh_threshold", self.ttl_refresh_threshold, 0, 1)
        for name in ("swr_by_default", "integrity_checking", "refresh_ttl_on_get", "safe_mode", "pipelined"):
            check_bool(name, getattr(self, name))
        if self.backend is not NOT_GIVEN:
            check_backend(self.backend)

    def _check_interop(self, operation: str) -> None:
        from .._core import interop_key
        from ..errors import InteropError

        try:
            interop_key("" if self.namespace is None else self.namespace, operation, ())
        except InteropError as error:
            raise ConfigurationError(
                f"interop={operation!r} with namespace={self.namespace!r}: {error}. Both are names of a lower-case letter or "
                "digit and up to 63 of these, '.', '_' and '-'"
            ) from error
        if self.key is not None:
            raise ConfigurationError(f"interop={operation!r} contradicts key=: keys that all languages share have one form")
        if self.encryption.tenant_extractor is not None:
            raise ConfigurationError(f"interop={operation!r} contradicts tenant_extractor=: shared entries belong to one deployment")
        if self.backend is None:
            raise ConfigurationError(f"interop={operation!r} contradicts backend=None: there is nobody to share entries with")
        if self.serializer not in ("default", "std", "standard"):
            raise ConfigurationError(
                f"interop={operation!r} contradicts serializer={self.serializer!r}: values that all languages share are plain "
                "MessagePack"
            )

    def _check_stale(self) -> None:
        if self.stale_ttl is None:
            return
        check_whole("stale_ttl", self.stale_ttl, 0, unit=" of seconds")
        if self.stale_ttl == 0:
            return
        if not self.ttl:
            meaning = "None (no expiry)" if self.ttl is None else "0 (do not store)"
            raise ConfigurationError(f"stale_ttl={self.stale_ttl} needs a ttl above 0, and ttl is {meaning}")
        if self.ttl + self.stale_ttl > MAX_STALE_SECONDS:
            raise ConfigurationError(
                f"ttl={show(self.ttl)} and stale_ttl={show(self.stale_ttl)}: "
                f"expected at most {MAX_STALE_SECONDS} seconds (30 days) together"
            )


def _milliseconds(seconds: float) -> int:
    return 0 if seconds == 0 else max(1, round(seconds * 1000))


def _check_names(where: str, options: Mapping[str, Any]) -> None:
    unknown = options.keys() - KEYWORDS
    if unknown:
        raise refuse_names(where, unknown, KEYWORDS)


def _take_fast_mode(options: dict[str, Any]) -> bool:
    fast = check_bool("fast_mode", options.pop("fast_mode", False))
    if fast and options.get("interop") is not None:
        raise ConfigurationError("fast_mode=True contradicts interop=: keys that all languages share have one form")
    return fast


def _secure_options(options: dict[str, Any]) -> dict[str, Any]:
    """`options` of the preset secure: encryption is on, and so is the checksum."""
    options = {**options, "integrity_checking": True}
    encryption = options.get("encryption")
    if encryption is False or (isinstance(encryption, EncryptionConfig) and encryption.enabled is False):
        raise ConfigurationError("encryption=False contradicts the preset secure")
    nested = encryption if isinstance(encryption, EncryptionConfig) else EncryptionConfig()
    extractor = options.pop("tenant_extractor", None) or nested.tenant_extractor
    key = options.pop("master_key", None)
    if key is not None and nested.master_key is not None:
        raise ConfigurationError("master_key contradicts encryption=EncryptionConfig(master_key=...): give one of them")
    fail_closed = options.pop("fail_closed", None)
    options["encryption"] = EncryptionConfig(
        enabled=True,
        master_key=nested.master_key if key is None else key,
        tenant_extractor=extractor,
        single_tenant_mode=options.pop("single_tenant_mode", nested.single_tenant_mode or extractor is None),
        deployment_uuid=options.pop("deployment_uuid", None) or nested.deployment_uuid,
        fail_closed=nested.fail_closed if fail_closed is None else fail_closed,
    )
    return options


def _check_serializer(serializer: object) -> None:
    expected = f"one of {', '.join(SERIALIZER_NAMES)}, or an object with serialize and deserialize"
    if isinstance(serializer, str):
        if serializer == "pickle":
            raise ConfigurationError(
                "serializer='pickle' is refused: unpickling bytes of a store runs whatever they say. "
                "Give serializer=PickleSerializer(signing_key=...), which verifies them first, or use 'auto'"
            )
        if serializer == "encrypted":
            raise ConfigurationError(
                "serializer='encrypted': encryption goes around a serializer: @cache.secure, encryption=True, or "
                "serializer=EncryptionWrapper(serializer=...)"
            )
        if serializer not in SERIALIZER_NAMES:
            raise refuse_value("serializer", expected, serializer)
    elif isinstance(serializer, type):
        raise ConfigurationTypeError(
            f"serializer is the class {serializer.__name__}: expected an object: {serializer.__name__}()"
        )
    elif not all(callable(getattr(serializer, name, None)) for name in ("serialize", "deserialize")):
        raise refuse_type("serializer", expected, serializer)


def _check_key(key: object) -> None:
    if key is not None and not callable(key):
        raise refuse_type("key", "a function that makes a text from the call's arguments, or None", key)


# ---- reference caching ----------------------------------------------------------------------------------------


class LocalConfig(Value):
    """The keywords of `cache.local`, which keeps references to results in this process and nothing else."""

    ttl: int
    """Lifetime in whole seconds, 1 or more."""
    max_entries: int
    """Most results, 1 or more; the least recently used goes first."""
    namespace: str | None
    """A prefix of keys; without effect when `key` is given."""
    key: Callable[..., Any] | None
    """Makes the key from the call's arguments; used as it is."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {"ttl": 300, "max_entries": 256, "namespace": None, "key": None}
        unknown = options.keys() - defaults.keys()
        if unknown:
            raise refuse_names("cache.local", unknown, defaults)
        for name, value in {**defaults, **options}.items():
            put(self, name, value)
        self.validate()

    def validate(self) -> None:
        """Checks every field; done by itself when the object is made."""
        check_whole("ttl", self.ttl, 1, MAX_TTL_SECONDS, unit=" of seconds")
        check_whole("max_entries", self.max_entries, 1)
        if self.namespace is not None:
            check_text("namespace", self.namespace)
        _check_key(self.key)

    @property
    def ttl_ms(self) -> int:
        """`ttl` in milliseconds."""
        return self.ttl * 1000


# ---- the default store ----------------------------------------------------------------------------------------

_default: dict[str, Any] = {}


def set_default_backend(backend: Any) -> None:
    """Makes `backend` the store of all functions that are decorated from now on without `backend=`.

    Args:
        backend: An object such as `FileBackend(...)`; None takes the default away again.

    Raises:
        ConfigurationTypeError: it is not a backend.
        UnsupportedError: this version does not have such a store.
    """
    check_backend(backend)
    _default["backend"] = backend


def get_default_backend() -> Any:
    """What `set_default_backend` was given, or None."""
    return _default.get("backend")


_CLIENTS = ("redis", "pymemcache", "memcache", "pylibmc", "aiomcache", "coredis", "valkey", "boto3", "botocore")
_LATER = {"MemcachedBackend": "Memcached", "CachekitIOBackend": "CachekitIO"}


def check_backend(backend: Any) -> None:
    """Refuses what cannot be a store.

    Raises:
        ConfigurationTypeError: it is neither None nor an object with get, set and delete.
        UnsupportedError: this version does not have such a store.
    """
    expected = "a backend object such as FileBackend(...), or None for memory only"
    if backend is None:
        return
    kind = backend if isinstance(backend, type) else type(backend)
    package = kind.__module__.partition(".")[0]
    if kind.__name__ in _LATER and package == "cachekit":
        raise UnsupportedError(
            f"backend={kind.__name__}(...): this version has no {_LATER[kind.__name__]} backend. It has FileBackend, "
            "RedisBackend, memory alone (backend=None), and backends of your own"
        )
    if isinstance(backend, type):
        raise ConfigurationTypeError(f"backend is the class {kind.__name__}: expected an object: {kind.__name__}(...)")
    if isinstance(backend, (str, NotGiven)):
        raise refuse_type("backend", expected, backend)
    if package in _CLIENTS:
        raise ConfigurationTypeError(
            f"backend is a client of {package}, not a backend: expected an object whose get, set and delete "
            "are those of the BaseBackend protocol"
        )
    missing = [name for name in ("get", "set", "delete") if not callable(getattr(backend, name, None))]
    if missing:
        raise ConfigurationTypeError(f"backend ({kind.__name__}) has no {', '.join(missing)}: expected {expected}")
