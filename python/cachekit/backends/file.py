"""Files in a directory: one per entry, shared by processes and languages, with nothing to install or start."""

from __future__ import annotations

import os

from .._core import Cache
from ..config._checks import refuse_type
from ..config.file import FileBackendConfig
from ..config.settings import MAX_TTL_SECONDS
from ..errors import BackendError, BackendErrorType, CachekitError
from ._kinds import backend_error, check_lifetime, misuse

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FileBackend", "FileBackendConfig"]

_NO_EXPIRY = 2**64 - 1
_DO_NOT_STORE = 2**64 - 2


class FileBackend:
    """The file store of the library.

    Args:
        config: Where the files are and how many there may be; None: what the variables ``CACHEKIT_FILE_...`` say, else
            ``$TMPDIR/cachekit``.

    Raises:
        ConfigurationError: a value of the configuration is wrong.
    """

    def __init__(self, config: FileBackendConfig | None = None) -> None:
        if not isinstance(config, (FileBackendConfig, type(None))):  # pyright: ignore[reportUnnecessaryIsInstance]
            wanted = "a FileBackendConfig, such as FileBackendConfig(cache_dir=...)"
            raise refuse_type("FileBackend.config", wanted, config)
        self.config = FileBackendConfig() if config is None else config
        self._cache: Cache | None = None

    @property
    def url(self) -> str:
        """The store as the library's functions and the command line take it: ``--store URL``."""
        from urllib.parse import quote, urlencode  # for whom has a store

        config, directory = self.config, os.fspath(self.config.cache_dir or "")
        if directory.startswith("~"):  # a shell would have replaced it
            from .._told import tell

            tell(f"{directory} begins in the working directory, not at home: '~' is a name like any other here")
        parameters = {
            "max_size_mb": config.max_size_mb,
            "max_value_mb": config.max_value_mb,
            "max_entry_count": config.max_entry_count,
            "lock_timeout_seconds": config.lock_timeout_seconds,
            "permissions": f"{config.permissions:04o}",
            "dir_permissions": f"{config.dir_permissions:04o}",
            "sync": config.sync,
        }
        return f"file://{quote(os.path.abspath(directory))}?{urlencode(parameters)}"

    def _opened(self) -> Cache:
        if self._cache is None:
            self._cache = Cache(self.url, l1=False)
        return self._cache

    def get(self, key: str) -> bytes | None:
        """The stored bytes, or None.

        Raises:
            BackendError: the files cannot be read.
        """
        return self._do("get", key)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Stores bytes for `ttl` seconds; None: without expiry, 0: not at all (an older entry goes).

        Raises:
            BackendError: the files cannot be written, or `ttl` is negative or above ten years.
        """
        self._do("set", key, value, _milliseconds(ttl, key))

    def delete(self, key: str) -> bool:
        """Removes the entry; True when there was one."""
        return self._do("delete", key)

    def exists(self, key: str) -> bool:
        """Whether there is a live entry."""
        return self._do("exists", key)

    def health_check(self) -> tuple[bool, dict[str, Any]]:
        """Writes, reads and removes a file of its own."""
        try:
            details = self._opened().health()
        except CachekitError as error:
            return False, {"backend_type": "file", "latency_ms": 0.0, "error": str(error)}
        return bool(details["healthy"]), details

    def _do(self, operation: str, *arguments: Any) -> Any:
        try:
            return getattr(self._opened(), operation)(*arguments)
        except CachekitError as error:
            raise backend_error(error, operation, arguments[0]) from error
        except TypeError:
            raise misuse(f"FileBackend.{operation}", *arguments[:2]) from None

    def __repr__(self) -> str:
        return f"FileBackend({str(self.config.cache_dir)!r})"


def _milliseconds(ttl: float | None, key: str) -> int:
    if ttl is None:
        return _NO_EXPIRY
    check_lifetime("FileBackend.set", ttl)
    if not 0 <= ttl <= MAX_TTL_SECONDS:
        raise BackendError(
            f"a lifetime of {ttl} seconds: expected 0 to {MAX_TTL_SECONDS}, or None",
            BackendErrorType.PERMANENT,
            operation="set",
            key=key,
        )
    return _DO_NOT_STORE if ttl == 0 else max(1, round(ttl * 1000))
