"""The Redis store: one server, shared by processes, hosts and languages."""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from .backend import RedisBackend
    from .config import RedisBackendConfig
    from .provider import tenant_context

__all__ = ["RedisBackend", "RedisBackendConfig", "tenant_context"]

_HOMES = {"RedisBackend": "backend", "RedisBackendConfig": "config", "tenant_context": "provider"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
