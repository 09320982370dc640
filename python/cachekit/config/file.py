"""The settings of the file store."""

from __future__ import annotations

import os
import stat

from ..errors import ConfigurationError
from ._table import Settings, choice, mebibytes, mode, seconds, text, whole
from ._value import put

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileBackendConfig"]


class FileBackendConfig(Settings):
    """Where files are kept and how many. Variables are `CACHEKIT_FILE_` and the field's name in capitals.

    Raises:
        ConfigurationError: a value is out of its range; the message names the variable or field and what is allowed.
    """

    _prefix = "CACHEKIT_FILE_"

    cache_dir: Path | str | None = text(
        None, "The directory, made when absent; not set: $TMPDIR/cachekit.", kind="path"
    )
    max_size_mb: int = mebibytes(
        1024, 1, 1000000, "Size of all entries; from 90 % of it on the least recently used are removed."
    )
    max_value_mb: int = mebibytes(
        100, 1, 500000, "The largest value in a file; at most half of max_size_mb, the default is lowered to that."
    )
    max_entry_count: int = whole(
        10000, 100, 1000000, "Most entries; from 90 % of it on the least recently used are removed."
    )
    lock_timeout_seconds: float = seconds(5, 0.5, 30, "The longest wait for a lock on a file.")
    permissions: int = mode(0o600, 0o600, "Permissions of the files.")
    dir_permissions: int = mode(0o700, 0o700, "Permissions of a directory that is made.")
    sync: str = choice(
        "data",
        ("none", "data", "full"),
        "What a write waits for: nothing, the file's data on the disk, or its name in the directory too.",
    )

    def validate(self) -> None:
        """Checks what must fit together; done by itself when the object is made."""
        if self.max_value_mb * 2 > self.max_size_mb:
            if self.source("max_value_mb") != "default":
                raise ConfigurationError(
                    f"{self._describe('max_value_mb')} is above half of {self._describe('max_size_mb')}"
                )
            put(self, "max_value_mb", max(1, self.max_size_mb // 2))  # see max_value_bytes for the exact half
        if self.cache_dir is None:
            put(self, "cache_dir", _default_directory())

    @property
    def max_size_bytes(self) -> int:
        """`max_size_mb` in bytes."""
        return self.max_size_mb * 1048576

    @property
    def max_value_bytes(self) -> int:
        """The largest value in bytes: `max_value_mb`, at most half of `max_size_mb`."""
        return min(self.max_value_mb * 1048576, self.max_size_bytes // 2)


def _default_directory() -> Path:
    """`$TMPDIR/cachekit`, when it is ours or absent, else `cachekit-UID` beside it. Nothing is made."""
    from pathlib import Path

    parent = os.environ.get("TMPDIR", "")
    directory = Path(parent if parent.startswith("/") else "/tmp", "cachekit")
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return directory
    except OSError:
        found = None
    ours = (
        found is not None and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    )
    return directory if ours else directory.with_name(f"cachekit-{os.geteuid()}")
