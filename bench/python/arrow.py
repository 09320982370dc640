"""pandas frames through the cache: each operation forgets a call, computes and stores it, and reads it back.

With the default serializer, which takes no frames, the function returns a dict of columns and the caller makes a frame
of it: the quickest of the forms that pandas offers for that. The files lie in memory (/dev/shm) and are not synced: what
is compared is the two ways to encode, not a disk.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cachekit import cache
from cachekit.backends.file import FileBackend, FileBackendConfig
from common import Measured, Row, Rows, Setting, Timed, at_least, expect_hit, measure, repeated


def frame_of(rows: int) -> Any:
    import numpy
    import pandas

    random = numpy.random.default_rng(42)
    return pandas.DataFrame(
        {
            "id": numpy.arange(rows),
            "value": random.standard_normal(rows),
            "error": random.standard_normal(rows),
            "score": random.integers(0, 100, rows),
            "category": random.choice(["A", "B", "C"], rows),
        }
    )


def same(frame: Any) -> Any:
    return frame


def through_cache(cached: Any, read: Any, frame: Any) -> Timed:
    # The argument keeps frames of different sizes apart: the functions share a name.
    rows = len(frame)
    expect_hit(cached, lambda: cached(rows))
    if not read(cached(rows)).equals(frame):
        raise RuntimeError("the frame that is read is another one")
    return repeated("forget(n); f(n); read(f(n))", f=cached, forget=cached.invalidate_cache, read=read, n=rows)


def _against_default(rows: int, least: float) -> Measured:
    def measured(name: str, setting: Setting) -> Row:
        import pandas
        import pyarrow  # noqa: F401  (the serializer needs it)

        frame: Any = frame_of(rows)
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else setting.scratch) as directory:
            backend = FileBackend(FileBackendConfig(cache_dir=directory, sync="none"))

            @cache(backend=backend, ttl=3600, serializer="arrow")
            def as_arrow(rows: int) -> Any:
                return frame

            @cache(backend=backend, ttl=3600)
            def as_columns(rows: int) -> Any:
                return frame.to_dict("list")

            times = measure(
                arrow=through_cache(as_arrow, same, frame),
                default=through_cache(as_columns, pandas.DataFrame, frame),
            )
        return at_least(name, 1 / times["arrow"], "/s", "dict of columns", 1 / times["default"], least)

    return measured


ROWS: Rows = {
    "python.arrow.10k": _against_default(10_000, 5.0),
    "python.arrow.100k": _against_default(100_000, 9.6),
}
