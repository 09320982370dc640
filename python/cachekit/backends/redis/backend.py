"""The Redis store of the library as a backend object."""

from __future__ import annotations

import re

from ..._core import Cache
from ...config.settings import MAX_TTL_SECONDS
from ...errors import BackendError, BackendErrorType, CachekitError, ConfigurationError, ConfigurationTypeError
from .._kinds import backend_error, check_lifetime, misuse
from ._locks import Lock
from .config import RedisBackendConfig

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RedisBackend"]

_NO_EXPIRY = 2**64 - 1
_UNKNOWN_LIFE = 2**64 - 2
_FACTS = re.compile(r"(version|used_memory_human|connected_clients) ([^,;]+)")


class RedisBackend:
    """One Redis server (or a master that sentinels name, or a cluster), under the keys as they are.

    It connects with its first operation. All threads and event loops of a process may use one object at the same time;
    after a fork each process has connections of its own.

    Args:
        config: A `RedisBackendConfig`, or a URL; None: what `CACHEKIT_REDIS_URL`, else `REDIS_URL` says, else
            ``redis://localhost:6379``.
        redis_url: The URL, by name.

    Raises:
        ConfigurationError: the URL or a value of the configuration is wrong. Passwords are never shown.
    """

    def __init__(
        self, config: RedisBackendConfig | str | None = None, *, redis_url: RedisBackendConfig | str | None = None
    ) -> None:
        if config is not None and redis_url is not None:
            raise ConfigurationTypeError("RedisBackend has a config and a redis_url: give one of them")
        self.config = _config_of(config if config is not None else redis_url)
        try:  # connects to nobody, but reads the URL
            self._cache = Cache(self.config.url, l1=False, guard=False)
        except CachekitError as error:
            raise ConfigurationError(str(error), error.code) from None

    @property
    def url(self) -> str:
        """The store as the library's functions and the command line take it (``--store URL``). It holds the password."""
        return self.config.url

    # ---- what every backend can ------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        """The stored bytes, or None.

        Raises:
            BackendError: the server cannot be asked, or refuses.
        """
        return self._do("get", key)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Stores bytes for `ttl` seconds, fractions down to a millisecond; None: without expiry.

        Raises:
            BackendError: the server cannot be asked or refuses, or `ttl` is not above 0 or above ten years.
        """
        self._do("set", key, value, _milliseconds(ttl, "set", key))

    def delete(self, key: str) -> bool:
        """Removes the entry; True when there was one."""
        return self._do("delete", key)

    def exists(self, key: str) -> bool:
        """Whether there is a live entry."""
        return self._do("exists", key)

    def health_check(self) -> tuple[bool, dict[str, Any]]:
        """Asks the server how it is. Never raises.

        Returns:
            Whether it answers; and ``backend_type``, ``latency_ms`` (-1 when it does not), then either ``version``,
            ``used_memory_human`` and ``connected_clients`` as far as the server tells them, or ``error`` and
            ``error_type``. ``connection_pool`` tells of the connections of this object.
        """
        found = self._cache.health()
        details: dict[str, Any] = {
            "backend_type": "redis",
            "latency_ms": round(found["latency_ms"], 3),
            "connection_pool": connection_pool(found),
        }
        if found["healthy"]:
            details.update(_FACTS.findall(found["detail"]))
            if "connected_clients" in details:
                details["connected_clients"] = int(details["connected_clients"])
            return True, details
        details.update(latency_ms=-1, error=found["detail"], error_type=self._kind_of_failure().value)
        return False, details

    def _kind_of_failure(self) -> BackendErrorType:
        try:
            self.exists("cachekit:health")
        except BackendError as error:
            return error.error_type
        return BackendErrorType.TRANSIENT

    # ---- lifetimes -------------------------------------------------------------------------------------------------

    def get_ttl(self, key: str) -> int | None:
        """The remaining life in whole seconds, rounded up; None: no entry, or one without expiry."""
        life = self._do("ttl", key)
        return None if life is None or life >= _UNKNOWN_LIFE else -(-life // 1000)

    def refresh_ttl(self, key: str, ttl: float) -> bool:
        """Gives an entry `ttl` seconds from now on; False: there is none."""
        return self._do("touch", key, _milliseconds(ttl, "refresh_ttl", key))

    # ---- locks -----------------------------------------------------------------------------------------------------

    def acquire_lock(self, key: str, timeout: float, blocking_timeout: float | None = None) -> Lock:
        """The lock of a key: ``async with backend.acquire_lock("report", 30) as held:``, or ``with`` in plain functions.

        Args:
            key: The key of the entry; the lock has a name of its own.
            timeout: Seconds after which the lock frees itself, whatever becomes of its holder.
            blocking_timeout: How long to wait for it; None: one attempt.

        Returns:
            A context manager that gives True when the lock is held, and releases it at the end, also after an error.
            Waiting in an event loop stops nobody else there.

        Raises:
            BackendError: on entering, the server cannot be asked, or refuses. A lock that it takes all the same (it stood
                still, or the answer was lost) is let go in the background as soon as it answers, as one is whose
                release failed: it does not stay held for its whole timeout while this object lives.
        """
        return Lock(self._do, key, timeout, blocking_timeout)

    # ----------------------------------------------------------------------------------------------------------------

    def _do(self, operation: str, *arguments: Any) -> Any:
        try:
            return getattr(self._cache, operation)(*arguments)
        except CachekitError as error:
            raise backend_error(error, operation, arguments[0]) from None
        except TypeError:
            raise misuse(f"RedisBackend.{operation}", *arguments[:2]) from None

    def __repr__(self) -> str:
        return f"RedisBackend({self.config.to_dict()['redis_url']!r})"

    def __reduce__(self) -> tuple[type[RedisBackend], tuple[RedisBackendConfig]]:
        return type(self), (self.config,)


def _config_of(given: object) -> RedisBackendConfig:
    if given is None:
        return RedisBackendConfig()
    if isinstance(given, RedisBackendConfig):
        return given
    if isinstance(given, str):
        return RedisBackendConfig(redis_url=given)
    raise ConfigurationTypeError(
        f"RedisBackend({type(given).__name__}): expected a RedisBackendConfig or a URL such as redis://host:6379"
    )


def connection_pool(health: dict[str, Any]) -> dict[str, int]:
    """The documented figures of the connections of a store."""
    in_use = health["connections_in_use"]
    return {
        "created_connections": health["connections"],
        "available_connections": max(0, health["connections_max"] - in_use),
        "in_use_connections": in_use,
    }


def _milliseconds(ttl: float | None, operation: str, key: str) -> int:
    if ttl is None:
        return _NO_EXPIRY
    check_lifetime(f"RedisBackend.{operation}", ttl)
    if not 0 < ttl <= MAX_TTL_SECONDS:
        raise BackendError(
            f"a lifetime of {ttl} seconds: expected more than 0, up to {MAX_TTL_SECONDS}, or None",
            BackendErrorType.PERMANENT,
            operation=operation,
            key=key,
        )
    return max(1, -int(-ttl * 1000 // 1))
