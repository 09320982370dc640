"""The settings of the process: `CachekitConfig`, and the one that decorators use.

    export CACHEKIT_DEFAULT_TTL=7200

A field comes from the keyword, else from its variable (`CACHEKIT_` and the field's name in capitals), else it has its
default. Names that begin with `CACHE_` are not read. The environment is read once, by the first decorator that needs
it; `reset_settings` makes it be read again. What is wrong there is not kept: the next decorator reads it again.
"""

from __future__ import annotations

import os

from ..errors import ConfigurationError
from ._keys import check_uuid, decode_key
from ._table import (
    Settings,
    boolean,
    choice,
    describe_settings,
    mebibytes,
    number,
    seconds,
    secret,
    secrets,
    text,
    whole,
    without_effect,
)
from ._value import put
from .secret import SecretStr

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CachekitConfig", "get_settings", "reset_settings", "settings_table"]

MAX_TTL_SECONDS = 315360000
"""Ten years: the longest lifetime that is accepted."""
_MAX_PREVIOUS_KEYS = 3


class CachekitConfig(Settings):
    """The settings of the process.

    Raises:
        ConfigurationError: a value is out of its range; the message names the variable or field and what is allowed.
        ConfigurationTypeError: a value has the wrong type, or there is no such field.
        UnsupportedError: a field is set that nothing in this version acts on.
    """

    default_ttl: float = seconds(
        3600, 1, MAX_TTL_SECONDS, "Lifetime of an entry where none is given; within ttl_min and ttl_max."
    )
    ttl_min: float = seconds(
        60, 1, MAX_TTL_SECONDS, "The shortest default_ttl that is accepted; a lifetime given in code is free."
    )
    ttl_max: float = seconds(
        86400, 1, MAX_TTL_SECONDS, "The longest default_ttl that is accepted; a lifetime given in code is free."
    )

    max_key_size: int = whole(1024, 1, 65536, "The largest key, in bytes.")
    max_value_size: int = whole(
        104857600, 1, 536870912, "The largest value, in bytes as stored; a larger one is returned and not kept."
    )
    max_chunk_size_mb: int | None = mebibytes(
        None, 1, 512, "An older name of the value limit: lowers max_value_size when set, never raises it."
    )

    l1_enabled: bool = boolean(True, "Whether entries are kept in memory in front of the store.")
    l1_max_size_mb: int = mebibytes(100, 1, 1048576, "Memory of one namespace, keys and bookkeeping included.")
    l1_total_max_size_mb: int = mebibytes(
        1024, 1, 1048576, "Memory of all namespaces of a cache; where not set, at least l1_max_size_mb."
    )
    l1_cleanup_interval_seconds: float = seconds(
        30, 1, 86400, "How often expired entries are freed in the background; they are never served in between."
    )
    l1_invalidation_enabled: bool = boolean(
        True, "Whether copies in memory die when another process changes the entry, where the store tells of it."
    )

    enable_compression: bool = boolean(
        True, "Whether stored values are compressed; when off, compression_level has no say. Reading needs no setting."
    )
    compression_level: int = whole(6, 1, 9, "1 is fastest, 9 smallest.")
    enable_corruption_detection: bool = boolean(True, "Whether stored values get a checksum and compression.")
    arrow_compression: str = choice("zstd", ("zstd", "lz4", "none"), "How the arrow serializer compresses.")

    store_timeout_seconds: float = seconds(5, 0.001, 3600, "The longest single wait for the store.")
    flight_wait_seconds: float = seconds(
        60,
        0.001,
        86400,
        "The longest wait for another thread that computes the same value; afterwards the caller computes it too.",
    )
    lock_enabled: bool = boolean(
        True, "Whether the store's lock is taken before a value is computed, so that one process computes it."
    )
    lock_lease_seconds: float = seconds(
        30, 0.1, 86400, "How long such a lock lives when its holder has disappeared and the store cannot tell."
    )
    lock_wait_seconds: float = seconds(
        5, 0.001, 86400, "The longest wait for such a lock; afterwards the value is computed without it."
    )
    workers: int = whole(4, 1, 64, "Most background threads; they are started when needed.")
    queue_max: int = whole(1024, 1, 1000000, "Most background jobs waiting.")

    auto_intent: bool = boolean(True, "Whether the name of a function may choose its profile.")
    enable_prometheus_metrics: bool = boolean(True, "Whether Prometheus metrics are counted where code does not say.")
    dev_mode: bool = boolean(False, "Development: a master key in the environment is not warned about.")

    master_key: SecretStr | str | None = secret("The master key of encryption: 64 or more hexadecimal digits.")
    previous_master_keys: tuple[SecretStr, ...] = secrets(
        "Up to 3 former master keys, for reading only; with commas between them."
    )
    encryption_fail_closed: bool = boolean(
        False, "Whether an encrypted value that fails authentication, or is met without a key, is an error of the call."
    )
    deployment_uuid: str | None = text(None, "The tenant of single-tenant encryption.", kind="UUID")

    redis_url: str = text("redis://localhost:6379", "The Redis server.", fallback_variable="REDIS_URL")
    connection_pool_size: int = whole(
        10, 1, 10000, "Most connections at a time; callers share them, so few are enough."
    )
    socket_timeout: float = seconds(1, 0.001, 3600, "The longest silence of the server.")
    socket_connect_timeout: float = seconds(1, 0.001, 3600, "The longest wait for a connection, login included.")
    socket_keepalive: bool = boolean(
        True, "Whether the system watches idle connections: after 60 s, every 15 s, 4 times."
    )
    disable_hiredis: bool = boolean(
        False, "Accepted for other SDKs of the family; there is no hiredis here that could be disabled."
    )
    retry_on_timeout: bool = boolean(
        True, "Whether an operation of the store is tried again also after a time limit, when there is time left."
    )
    max_retries: int = whole(
        3, 0, 100, "How often an operation of the store that failed with passing trouble is tried again."
    )
    retry_delay_ms: int = whole(
        100,
        1,
        3600000,
        "The first pause before that is random up to this many milliseconds, each further one up to twice as long.",
    )
    early_refresh_ratio: float = without_effect(
        number(0.9, 0, 1, "The part of a lifetime after which a value is refreshed early.")
    )
    backend_provider_class: str | None = without_effect(text(None, "The class that provides a store."))
    log_sampling_rate: float = without_effect(number(0.1, 0, 1, "The part of log records that are written."))
    log_buffer_size: int = without_effect(whole(10000, 1, None, "Most log records waiting."))
    log_batch_size: int = without_effect(whole(100, 1, None, "Log records that are written at once."))
    log_flush_interval: float = without_effect(seconds(1.0, 0, None, "The longest wait of a log record.", above=True))

    def validate(self) -> None:
        """Checks what must fit together; done by itself when the object is made."""
        self._settle_lifetimes()
        self._settle_memory()
        self._check_previous_keys()
        if self.deployment_uuid is not None:
            check_uuid(self._named("deployment_uuid"), self.deployment_uuid)

    def _settle_lifetimes(self) -> None:
        if self.ttl_min > self.ttl_max:
            raise ConfigurationError(f"{self._describe('ttl_min')} is above {self._describe('ttl_max')}")
        if self.default_ttl < self.ttl_min:
            raise ConfigurationError(f"{self._describe('default_ttl')} is below {self._describe('ttl_min')}")
        if self.default_ttl > self.ttl_max:
            raise ConfigurationError(f"{self._describe('default_ttl')} is above {self._describe('ttl_max')}")

    def _settle_memory(self) -> None:
        if self.l1_max_size_mb <= self.l1_total_max_size_mb:
            return
        if self.source("l1_max_size_mb") == "default":
            put(self, "l1_max_size_mb", self.l1_total_max_size_mb)
        elif self.source("l1_total_max_size_mb") == "default":
            put(self, "l1_total_max_size_mb", self.l1_max_size_mb)
        else:
            raise ConfigurationError(
                f"{self._describe('l1_max_size_mb')} is above {self._describe('l1_total_max_size_mb')}"
            )

    def _check_previous_keys(self) -> None:
        keys = self.previous_master_keys
        name = "previous_master_keys"
        if len(keys) > _MAX_PREVIOUS_KEYS:
            raise ConfigurationError(
                f"{name} holds {len(keys)} keys, at most {_MAX_PREVIOUS_KEYS} are allowed: "
                "drop the oldest yourself, none is dropped silently"
            )
        decoded = [decode_key(f"{self._named(name)}[{i}]", key.get_secret_value()) for i, key in enumerate(keys)]
        if self._current_key() in decoded:
            raise ConfigurationError(
                f"{name} contains the current master key: to use a former key again risks that nonces repeat; "
                "rotate forward to a new key"
            )

    def has_usable_key(self) -> bool:
        """Whether there is a master key that is well-formed."""
        return self._current_key() is not None

    def _current_key(self) -> bytes | None:
        """The current key, where it is well-formed; it is refused where it is used, not here."""
        if not isinstance(self.master_key, SecretStr):
            return None
        try:
            return decode_key("master_key", self.master_key.get_secret_value())
        except ConfigurationError:
            return None

    @property
    def effective_max_value_size(self) -> int:
        """The largest stored value in bytes, with `max_chunk_size_mb` taken into account."""
        if self.max_chunk_size_mb is None:
            return self.max_value_size
        return min(self.max_value_size, self.max_chunk_size_mb * 1048576)


def settings_table() -> list[dict[str, Any]]:
    """All settings: name, variable, type, default, range, help, secret; in the order of the class."""
    return describe_settings(CachekitConfig)


_current: dict[str, CachekitConfig] = {}


def get_settings() -> CachekitConfig:
    """The settings that decorators use, read from the environment at the first call.

    They are read again when `CACHEKIT_MASTER_KEY` is set, changed or removed meanwhile and there was no key that can be used.

    Raises:
        ConfigurationError: a variable is wrong.
    """
    settings = _current.get("settings")
    if settings is None:
        # No lock: whoever is first wins, and a fork cannot catch anybody holding it.
        fresh = CachekitConfig()
        settings = _current.setdefault("settings", fresh)
        if settings is fresh:
            _tell_without_effect(settings)
    if _may_get_a_key(settings):
        settings = _current["settings"] = CachekitConfig()
    return settings


def _may_get_a_key(settings: CachekitConfig) -> bool:
    """There is none that can be used, and the environment has changed."""
    key = settings.master_key.get_secret_value() if isinstance(settings.master_key, SecretStr) else None
    return key != (os.environ.get("CACHEKIT_MASTER_KEY") or None) and not settings.has_usable_key()


def _tell_without_effect(settings: CachekitConfig) -> None:
    variables = settings.set_without_effect()
    if variables:
        import logging

        logging.getLogger("cachekit").warning("nothing in this version acts on %s", ", ".join(variables))


def reset_settings() -> None:
    """Forgets the settings: the next `get_settings` reads the environment again. For tests."""
    _current.clear()
