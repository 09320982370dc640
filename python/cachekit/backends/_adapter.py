"""From a backend written in Python to what the library asks of a store."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any, cast

from .._told import log
from ..errors import BackendError

if TYPE_CHECKING:
    from .base import BaseBackend

__all__ = ["Adapter"]

# Scopes of an invalidation, as the library numbers them.
_NAMESPACE, _FUNCTION = 1, 2
# Most keys that are remembered. Of those before them one cannot tell any more whose they are.
_MOST_KEYS = 100_000


class _WrongAnswer(TypeError):
    """A method gave what the protocol does not allow."""


def can(backend: object, method: str) -> bool:
    """Whether a backend has a method that it need not have. Coroutine functions are not used."""
    found = getattr(backend, method, None)
    return callable(found) and not inspect.iscoroutinefunction(found)


class Adapter:
    """What the extension asks. It is called from several threads, each time with the interpreter's lock held."""

    def __init__(self, backend: BaseBackend, excluded: tuple[type[BaseException], ...] = ()) -> None:
        self.backend = backend
        self._excluded = excluded  # exceptions that say nothing about the store
        self.name = type(backend).__name__
        self._owners: dict[str, tuple[str, str]] = {}  # namespace and function of each key
        self._forgotten = 0

    # ---- what every backend can -------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | bytearray | memoryview | None:
        value: Any = self.backend.get(key)
        if value is None or isinstance(value, (bytes, bytearray)):
            return value
        if isinstance(value, memoryview):
            view = cast("memoryview[Any]", value)
            return view if view.contiguous else view.tobytes()
        raise _WrongAnswer(f"get() gave {_told(value)} instead of bytes or None")

    def set(self, key: str, value: bytes, ttl: int | None, namespace: str, function: str) -> None:
        self._remember(key, (namespace, function))  # before: a deletion of everything may come in between
        _refuse_coroutine("set", self.backend.set(key, value, ttl))

    def delete(self, key: str) -> bool:
        owner = self._owners.pop(key, None)
        try:
            return _truth("delete", self.backend.delete(key))
        except BaseException:
            if owner is not None:
                self._owners.setdefault(key, owner)
            raise

    def exists(self, key: str) -> bool:
        if not hasattr(self.backend, "exists"):
            return self.get(key) is not None
        return _truth("exists", self.backend.exists(key))

    def health(self) -> tuple[bool, float, str, str]:
        """Healthy, milliseconds, kind of backend, what is wrong."""
        kind, began = self.name, time.perf_counter()
        if not hasattr(self.backend, "health_check"):
            self.exists("cachekit:health")
            return True, (time.perf_counter() - began) * 1000, kind, ""
        answer: Any = self.backend.health_check()
        took = (time.perf_counter() - began) * 1000
        try:
            healthy, details = cast("tuple[Any, dict[str, Any]]", answer)
            latency: Any = details.get("latency_ms")
        except (TypeError, ValueError, AttributeError):
            raise _WrongAnswer(f"health_check() gave {_told(answer)} instead of (bool, dict)") from None
        detail = str(details.get("error", "")) if not healthy else ""
        return (
            bool(healthy),
            float(latency) if _is_number(latency) else took,
            str(details.get("backend_type", kind)),
            detail.replace("\0", ""),
        )

    # ---- what some can ----------------------------------------------------------------------------------------

    def abilities(self) -> tuple[str, bool, bool]:
        """The name for the log, and whether lifetimes can be looked at and changed."""
        return self.name.lower(), self._can("get_ttl"), self._can("refresh_ttl")

    def _can(self, method: str) -> bool:
        if inspect.iscoroutinefunction(getattr(self.backend, method, None)):
            log.info("%s.%s is a coroutine function, which is not used: a plain one is", self.name, method)
        return can(self.backend, method)

    def get_ttl(self, key: str) -> float | None | bool:
        """Seconds; None: no expiry; False: no entry."""
        backend: Any = self.backend
        seconds: Any = backend.get_ttl(key)
        if seconds is None:
            return None if self.exists(key) else False
        if not _is_number(seconds):
            raise _WrongAnswer(f"get_ttl() gave {_told(seconds)} instead of seconds or None")
        return float(seconds)

    def refresh_ttl(self, key: str, ttl: int) -> bool:
        backend: Any = self.backend
        return _truth("refresh_ttl", backend.refresh_ttl(key, ttl))

    # ---- what this process has stored: the protocol knows no other way to delete more than one ----------------------
    # Without a lock, which a fork could leave locked: each step is one operation of a dict.

    def _remember(self, key: str, owner: tuple[str, str]) -> None:
        self._owners[key] = owner
        if len(self._owners) > _MOST_KEYS:
            try:
                del self._owners[next(iter(self._owners))]
            except (KeyError, RuntimeError, StopIteration):
                return  # another thread was quicker
            self._forgotten += 1

    def delete_scope(self, kind: int, namespace: str, function: str) -> tuple[int, int]:
        """Deletes what this process has stored for a function, a namespace, or at all: how many, and how many may be
        left. A key whose deletion fails is tried again the next time."""
        deleted, failure = 0, None
        for key, owner in list(self._owners.items()):
            if kind in (_NAMESPACE, _FUNCTION) and owner[0] != namespace:
                continue
            if kind == _FUNCTION and owner[1] != function:
                continue
            try:
                deleted += self.delete(key)
            except Exception as error:
                failure = error
        if failure is not None:
            raise failure
        return deleted, self._forgotten

    # ---- what went wrong --------------------------------------------------------------------------------------

    def explain(self, error: BaseException, key: str) -> tuple[str, str]:
        """What kind of failure an exception is, and a line for the log, in which keys do not appear."""
        kind = "unknown"
        text = str(error)
        if isinstance(error, BackendError):
            kind, text = error.error_type.value, error.message
            if error.code == "E105":
                kind = "too large"
        elif isinstance(error, _WrongAnswer):
            kind = "misuse"
        elif isinstance(error, UnicodeDecodeError):
            kind, text = "permanent", "the key is no text, which backends written in Python need"
        if kind in ("transient", "timeout", "unknown") and isinstance(error, self._excluded):
            kind = "permanent"
        if key:
            text = text.replace(key, "<key>")
        name = "" if isinstance(error, (BackendError, _WrongAnswer)) else f"{type(error).__name__}: "
        return kind, f"{name}{text}".replace("\0", "")[:200]


def _told(value: object) -> str:
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine (its methods have to be plain functions)"
    return type(value).__name__


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse_coroutine(method: str, value: object) -> None:
    if inspect.iscoroutine(value):
        raise _WrongAnswer(f"{method}() gave {_told(value)}")


def _truth(method: str, value: object) -> bool:
    _refuse_coroutine(method, value)
    return bool(value)
