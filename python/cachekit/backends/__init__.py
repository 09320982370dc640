"""The stores behind the memory of a process."""

from __future__ import annotations

from ..errors import BackendError, BackendErrorType
from .file import FileBackend, FileBackendConfig

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from .base import BaseBackend
    from .redis import RedisBackend, RedisBackendConfig, tenant_context

__all__ = [
    "BackendError",
    "BackendErrorType",
    "BaseBackend",
    "FileBackend",
    "FileBackendConfig",
    "RedisBackend",
    "RedisBackendConfig",
    "tenant_context",
]

# Imported when somebody asks for them: a Protocol needs typing, and not everybody has a Redis.
_LATE = {
    "BaseBackend": "base",
    "RedisBackend": "redis.backend",
    "RedisBackendConfig": "redis.config",
    "tenant_context": "redis.provider",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = found
    return found
