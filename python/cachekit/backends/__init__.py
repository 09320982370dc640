"""The stores behind the memory of a process."""

from __future__ import annotations

from ..errors import BackendError, BackendErrorType
from .file import FileBackend, FileBackendConfig

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from .base import BaseBackend

__all__ = ["BackendError", "BackendErrorType", "BaseBackend", "FileBackend", "FileBackendConfig"]


def __getattr__(name: str) -> object:
    if name != "BaseBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .base import BaseBackend  # a Protocol, which needs typing

    globals()[name] = BaseBackend
    return BaseBackend
