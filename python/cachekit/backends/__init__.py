"""The stores behind the memory of a process."""

from __future__ import annotations

from ..errors import BackendError, BackendErrorType
from .base import BaseBackend
from .file import FileBackend, FileBackendConfig

__all__ = ["BackendError", "BackendErrorType", "BaseBackend", "FileBackend", "FileBackendConfig"]
