"""What a backend is: the store behind the memory of this process."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["BaseBackend"]


@runtime_checkable
class BaseBackend(Protocol):
    """A store of bytes under text keys. Used from several threads at once; failures are `BackendError`."""

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none (or it has expired)."""
        ...

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        """Stores the value for `ttl` seconds; None: without expiry."""
        ...

    def delete(self, key: str) -> bool:
        """Removes the entry; True when there was one."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is a live entry."""
        ...

    def health_check(self) -> tuple[bool, dict[str, Any]]:
        """Whether it works, and details: ``latency_ms`` and ``backend_type`` at least."""
        ...
