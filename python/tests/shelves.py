"""Stores written in Python: a dict, and one that keeps nothing. Tests add to them what they need."""

from __future__ import annotations

from typing import Any


class Minimal:
    """Less than the protocol asks for, and enough."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.entries.get(key)

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        self.entries[key] = value

    def delete(self, key: str) -> bool:
        return self.entries.pop(key, None) is not None


class Shelf(Minimal):
    """The whole protocol."""

    def exists(self, key: str) -> bool:
        return key in self.entries

    def health_check(self) -> tuple[bool, dict[str, Any]]:
        return True, {"latency_ms": 0.0, "backend_type": "shelf"}


class Forgetful(Shelf):
    """Keeps nothing."""

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        pass
