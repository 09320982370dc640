"""Tables, as Arrow IPC files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, cast

from cachekit import _core
from cachekit.errors import ConfigurationError
from cachekit.serializers.base import (
    Bytes,
    SerializationFormat,
    SerializationMetadata,
    check_format,
    loaded,
    require,
    type_name,
    unreadable,
)

_CHECKSUM = 8
# Below that threads take longer to wake than the columns to convert or to compress.
_MANY_CELLS = 200_000
# A tenth larger than at level 1, and written and read in half of the time; every reader of zstd reads it.
_ZSTD_LEVEL = -7
_MAGIC = b"ARROW1"
_MANY_BYTES = 1024 * 1024
_BATCH_BYTES = 8 * 1024 * 1024
_COMPRESSIONS = ("zstd", "lz4", "none")
_RETURN_FORMATS = ("pandas", "polars", "arrow")


def _choice(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigurationError(f"{name} is one of {', '.join(map(repr, known))}, not {value!r}")
    return value


def _batches(table: Any) -> Iterator[Any]:
    """The rows in batches of at most 8 MiB each; a larger single row has a batch of its own."""
    waiting: list[Any] = list(reversed(table.to_batches()))
    while waiting:
        batch = waiting.pop()
        if batch.nbytes > _BATCH_BYTES and batch.num_rows > 1:
            half = batch.num_rows // 2
            waiting += [batch.slice(half), batch.slice(0, half)]
        elif batch.num_rows > 0:
            yield batch


class _NotATable(TypeError):
    """What was given is of no type that holds a table."""


def _is_large(table: Any) -> bool:
    return table.num_rows * table.num_columns >= _MANY_CELLS


class ArrowSerializer:
    """Tables in the Arrow IPC file format, with a checksum in front. Name: ``"arrow"``. Needs the extra ``arrow``.

    Takes pandas and polars frames, Arrow tables and record batches, whatever else has the Arrow C stream interface, and
    dicts of columns. Reading copies nothing that need not be copied.

    Args:
        return_format: What reading gives: ``"pandas"``, ``"polars"`` or ``"arrow"`` (a `pyarrow.Table`).
        compression: ``"zstd"``, ``"lz4"`` or ``"none"``. Unless given, that of the environment variable
            ``CACHEKIT_ARROW_COMPRESSION``, else zstd.
        integrity_checking: Accepted and without effect: the checksum is always there.

    Raises:
        ConfigurationError: An unknown format or compression.
    """

    accepts_buffers: bool = True
    cross_sdk_compatible: bool = True

    def __init__(
        self, return_format: str = "pandas", compression: str | None = None, integrity_checking: bool = True
    ) -> None:
        self.return_format = _choice("return_format", return_format, _RETURN_FORMATS)
        if compression is None:
            variable = os.environ.get("CACHEKIT_ARROW_COMPRESSION", "").strip().lower()
            compression = _choice("CACHEKIT_ARROW_COMPRESSION", variable or "zstd", _COMPRESSIONS)
        self.compression = _choice("compression", compression, _COMPRESSIONS)
        self.integrity_checking = integrity_checking
        self._metadata = SerializationMetadata(
            SerializationFormat.ARROW, compressed=self.compression != "none", original_type="arrow"
        )
        self._arrow: Any = require("pyarrow", "arrow", 'serializer="arrow"')
        self._ipc: Any = require("pyarrow.ipc", "arrow", 'serializer="arrow"')

    # ---- writing ----------------------------------------------------------------------------------------------

    def _refuse(self, obj: Any, advice: str) -> TypeError:
        return _NotATable(f'serializer="arrow" takes tables, not {type_name(obj)}: {advice}.')

    def _table(self, obj: Any) -> Any:
        arrow, pandas, polars = self._arrow, loaded("pandas"), loaded("polars")
        if isinstance(obj, arrow.Table):
            return obj
        if isinstance(obj, arrow.RecordBatch):
            return arrow.Table.from_batches([obj])
        if pandas is not None and isinstance(obj, pandas.DataFrame):
            return arrow.Table.from_pandas(obj, nthreads=1 if obj.size < _MANY_CELLS else None)
        if pandas is not None and isinstance(obj, pandas.Series):
            raise self._refuse(obj, "return value.to_frame()")
        if polars is not None and isinstance(obj, polars.DataFrame):
            return obj.to_arrow()
        if polars is not None and isinstance(obj, polars.LazyFrame):
            raise self._refuse(obj, "return value.collect()")
        if isinstance(obj, arrow.RecordBatchReader):
            raise self._refuse(obj, "a reader can be read once; return value.read_all()")
        if hasattr(obj, "__arrow_c_stream__"):
            return arrow.RecordBatchReader.from_stream(obj).read_all()
        if isinstance(obj, Mapping):
            return arrow.table(dict(cast("Mapping[str, Any]", obj)))
        raise self._refuse(obj, 'return a pandas or polars frame or a dict of columns, or use serializer="auto"')

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        """The payload of a table.

        Raises:
            TypeError: Not a table, or one with a column that Arrow has no type for.
        """
        arrow = self._arrow
        try:
            table = self._table(obj)
        except _NotATable:
            raise
        except (arrow.ArrowException, ValueError, TypeError) as error:
            raise TypeError(f"{type_name(obj)} cannot be stored as an Arrow table: {error}") from error
        codec: Any = None if self.compression == "none" else self.compression
        if codec == "zstd":
            codec = arrow.Codec("zstd", compression_level=_ZSTD_LEVEL)
        sink = arrow.BufferOutputStream()
        options = self._ipc.IpcWriteOptions(compression=codec, use_threads=_is_large(table))
        with self._ipc.new_file(sink, table.schema, options=options) as writer:
            for batch in _batches(table):
                writer.write_batch(batch)
        document = memoryview(sink.getvalue())
        return b"".join((_core.checksum(document), document)), self._metadata

    # ---- reading ----------------------------------------------------------------------------------------------

    def _document(self, data: Bytes) -> memoryview:
        """The IPC file, checked. Old entries have no checksum."""
        view = memoryview(data)
        if view[_CHECKSUM : _CHECKSUM + len(_MAGIC)].tobytes() == _MAGIC:
            if _core.checksum(view[_CHECKSUM:]) != view[:_CHECKSUM].tobytes():
                raise unreadable("the checksum of the Arrow file does not match", "E114")
            return view[_CHECKSUM:]
        if view[: len(_MAGIC)].tobytes() == _MAGIC:
            return view
        raise unreadable("not an Arrow IPC file")

    def deserialize(self, data: Bytes, metadata: SerializationMetadata | None = None) -> Any:
        """The table of a payload, in `return_format`.

        Raises:
            SerializationError: It is damaged, or another serializer wrote it.
            ImportError: The package of `return_format` is not installed.
        """
        check_format("arrow", metadata, SerializationFormat.ARROW, "arrow")
        document = self._document(data)
        try:
            options = self._ipc.IpcReadOptions(use_threads=len(document) >= _MANY_BYTES)
            table = self._ipc.open_file(self._arrow.py_buffer(document), options=options).read_all()
        except (self._arrow.ArrowException, ValueError, OSError) as error:
            raise unreadable(f"not an Arrow IPC file: {error}") from None
        if self.return_format == "pandas":
            require("pandas", "pandas", 'return_format="pandas"')
            return table.to_pandas(use_threads=_is_large(table))
        if self.return_format == "polars":
            return require("polars", "polars", 'return_format="polars"').from_arrow(table)
        return table
