"""Sealed calls against the same calls in the clear: what encryption adds to a hit of 1 KB and to a frame of 10,000 rows.

The frame's operation forgets a call, computes, stores, and reads it back, as those of arrow.py do, in files in memory.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import arrow
from cachekit import cache
from cachekit.backends.file import FileBackend, FileBackendConfig
from common import Row, Rows, Setting, expect_hit, measure, plain, repeated

_MASTER_KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"


def _answer(number: int) -> str:
    return "".join(f"{number + i:08x}" for i in range(128))


def _kilobyte(name: str, setting: Setting) -> Row:
    def backend(part: str) -> FileBackend:
        return FileBackend(FileBackendConfig(cache_dir=setting.scratch / part))

    clear: Any = cache.production(backend=backend("clear"), ttl=3600)(_answer)
    sealed: Any = cache.secure(backend=backend("sealed"), ttl=3600, master_key=_MASTER_KEY)(_answer)
    for function in (clear, sealed):
        expect_hit(function, lambda function=function: function(1))
        if function(1) != _answer(1):
            raise RuntimeError("the hit is another value")
    times = measure(sealed=repeated("f(1)", f=sealed), clear=repeated("f(1)", f=clear))
    return plain(name, times["sealed"] * 1e6, "us", "in the clear", times["clear"] * 1e6)


def _frame(name: str, setting: Setting) -> Row:
    import pandas  # noqa: F401  (void without)
    import pyarrow  # noqa: F401  (the serializer needs it)

    frame: Any = arrow.frame_of(10_000)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else setting.scratch) as directory:

        def backend(part: str) -> FileBackend:
            return FileBackend(FileBackendConfig(cache_dir=Path(directory, part), sync="none"))

        @cache.production(backend=backend("clear"), ttl=3600, serializer="arrow")
        def in_the_clear(rows: int) -> Any:
            return frame

        @cache.secure(backend=backend("sealed"), ttl=3600, serializer="arrow", master_key=_MASTER_KEY)
        def sealed(rows: int) -> Any:
            return frame

        times = measure(
            sealed=arrow.through_cache(sealed, arrow.same, frame),
            clear=arrow.through_cache(in_the_clear, arrow.same, frame),
        )
    return plain(name, times["sealed"] * 1e6, "us", "in the clear", times["clear"] * 1e6)


ROWS: Rows = {"python.secure.1k": _kilobyte, "python.secure.frame.10k": _frame}
