"""The settings of the Redis store."""

from __future__ import annotations

from ...config._table import Settings, boolean, seconds, text, whole
from ...errors import ConfigurationError

__all__ = ["RedisBackendConfig"]

_SCHEMES = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
)  # fmt: skip


class RedisBackendConfig(Settings):
    """Where the server is and how it is talked to. Variables are `CACHEKIT_` and the field's name in capitals; for the URL
    `REDIS_URL` counts when `CACHEKIT_REDIS_URL` is not set.

    Attributes:
        redis_url: ``redis://[[user]:password@]host[:port][/database]``, ``unix:///path/of/socket``; parameters of
            docs/redis.md may follow. A field that is given in code wins over a parameter.
        connection_pool_size: Most connections at a time. All callers of a process share them and travel together, so few
            are enough.
        socket_timeout: The longest silence of the server, in seconds.
        socket_connect_timeout: The longest wait for a connection, login included, in seconds.
        socket_keepalive: Whether the system watches idle TCP connections: after 60 s, every 15 s, 4 times.
        disable_hiredis: Accepted and without effect: this package reads Redis's protocol itself, without hiredis.

    Raises:
        ConfigurationError: a value is out of its range; the message names the variable or field and what is allowed.
    """

    _prefix = "CACHEKIT_"

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

    @classmethod
    def from_env(cls) -> RedisBackendConfig:
        """What the environment says."""
        return cls()

    def validate(self) -> None:
        """Checks the beginning of the URL; done by itself when the object is made. The store checks the rest."""
        url = self.redis_url
        if not url:
            raise ConfigurationError("RedisBackendConfig.redis_url is empty: expected a URL such as redis://host:6379")
        scheme, found, _ = url.partition("://")
        if not found or scheme.lower() not in _SCHEMES:
            raise ConfigurationError(
                f"{self._label()}: not a URL of Redis: one begins with redis://, rediss:// or unix://, for example redis://host:6379"
            )

    def _label(self) -> str:
        source = self.source("redis_url")
        return "redis_url" if source in ("argument", "default") else source

    @property
    def url(self) -> str:
        """The URL with the other fields as parameters. It holds the password."""
        base, question, query = self.redis_url.partition("?")
        parameters = query.split("&") if question and query else []
        fields = {
            "connection_pool_size": str(self.connection_pool_size),
            "socket_timeout": f"{self.socket_timeout:.9f}".rstrip("0").rstrip("."),
            "socket_connect_timeout": f"{self.socket_connect_timeout:.9f}".rstrip("0").rstrip("."),
            "socket_keepalive": str(self.socket_keepalive).lower(),
        }
        for name, value in fields.items():
            names = (name, "max_connections") if name == "connection_pool_size" else (name,)
            there = [one for one in parameters if one.partition("=")[0] in names]
            if there and self.source(name) != "argument":
                continue
            parameters = [one for one in parameters if one not in there]
            parameters.append(f"{name}={value}")
        return f"{base}?{'&'.join(parameters)}"
