"""The serializer that keeps Python's types."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, cast

from cachekit import _core
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
from cachekit.serializers.standard_serializer import open_envelope

if TYPE_CHECKING:
    from cachekit.serializers.arrow_serializer import ArrowSerializer

_RAW = b"NUMPY_RAW"
_CHECKSUM = 8

# ---- NumPy -----------------------------------------------------------------------------------------------------


def _plain_array(array: Any) -> Any:
    """The array in C order, if its elements can be told from their bytes and its type's name.

    Raises:
        TypeError: They cannot.
    """
    numpy = loaded("numpy")
    if type(array) not in (numpy.ndarray, numpy.memmap):
        raise TypeError(
            f"a value of type {type_name(array)} cannot be stored: store numpy.asarray(value), and beside it what that "
            "loses (a mask, units)."
        )
    if array.dtype.hasobject or array.dtype.names is not None or numpy.dtype(str(array.dtype)) != array.dtype:
        raise TypeError(
            f"a NumPy array of {array.dtype} cannot be stored: convert it to a type of numbers or texts, or store "
            "value.tolist()."
        )
    return numpy.ascontiguousarray(array).reshape(array.shape)


def _array_of(raw: Any, text: str, shape: tuple[int, ...]) -> Any:
    """A new array of these elements.

    Raises:
        SerializationError: The parts do not fit together.
    """
    numpy = require("numpy", "numpy", "a stored NumPy array")
    try:
        kind = numpy.dtype(text)
        if kind.hasobject or math.prod(shape) * kind.itemsize != len(raw):
            raise ValueError("its parts do not fit together")
        if kind.itemsize == 0:
            return numpy.zeros(shape, kind)
        return numpy.frombuffer(raw, kind).reshape(shape).copy()
    except (TypeError, ValueError, SyntaxError) as error:
        raise unreadable(f"not a NumPy array: {error}") from None


def _write_raw(array: Any) -> bytes:
    plain = _plain_array(array)
    text = str(plain.dtype).encode("ascii")
    if any(size > 0xFFFFFFFF for size in plain.shape):
        raise TypeError("a NumPy array with a dimension of 2**32 or more cannot be stored: reshape it.")
    head = struct.pack(f"<9sH{len(text)}sH{plain.ndim}I", _RAW, len(text), text, 4 * plain.ndim, *plain.shape)
    return b"".join((head, plain.tobytes()))


def _read_raw(view: memoryview) -> Any:
    try:
        (text_len,) = struct.unpack_from("<H", view, 9)
        text = bytes(view[11 : 11 + text_len]).decode("ascii")
        (shape_len,) = struct.unpack_from("<H", view, 11 + text_len)
        if shape_len % 4 != 0:
            raise ValueError("its shape has a part of a number")
        shape: tuple[int, ...] = struct.unpack_from(f"<{shape_len // 4}I", view, 13 + text_len)
    except (struct.error, ValueError) as error:
        raise unreadable(f"not a NumPy array: {error}") from None
    return _array_of(view[13 + text_len + shape_len :], text, shape)


def _write_other(value: Any) -> Any:
    """What the C part asks for objects that no document holds."""
    numpy = loaded("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        plain = _plain_array(value)
        return {"__ndarray__": True, "data": plain.tobytes(), "shape": list(plain.shape), "dtype": str(plain.dtype)}
    if (
        numpy is not None
        and isinstance(value, (numpy.integer, numpy.floating, numpy.bool_))
        and value.dtype.itemsize <= 8
    ):
        return value.item()
    pandas = loaded("pandas")
    for name, plain in (("Series", "value.tolist()"), ("DataFrame", 'value.to_dict("list")')):
        if pandas is not None and isinstance(value, getattr(pandas, name, ())):
            raise TypeError(f"a {name} inside another value cannot be stored: return it by itself, or store {plain}.")
    from cachekit.serializers.advice import value_advice

    raise TypeError(value_advice(value))


def _read_array(parts: dict[Any, Any]) -> Any:
    """The array of a marked map."""
    data, text, shape = parts.get("data"), parts.get("dtype"), parts.get("shape")
    if not isinstance(data, bytes) or not isinstance(text, str) or not isinstance(shape, (list, tuple)):
        raise unreadable("not a NumPy array: a part is missing")
    sizes: tuple[Any, ...] = tuple(cast("list[Any]", shape))
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise unreadable("not a NumPy array: a shape of something else than sizes")
    return _array_of(data, text, sizes)


# ---- pandas ----------------------------------------------------------------------------------------------------


def _labels(index: Any, pandas: Any) -> list[Any] | None:
    """The labels of an index; None for the one that pandas makes by itself."""
    if isinstance(index, pandas.MultiIndex):
        raise TypeError(
            "a frame with several index levels cannot be stored without pyarrow: install the extra 'arrow', or use "
            "value.reset_index()."
        )
    plain = isinstance(index, pandas.RangeIndex) and index.start == 0 and index.step == 1 and index.name is None
    return None if plain else _objects(index, pandas)


def _objects(values: Any, pandas: Any) -> list[Any]:
    return [None if pandas.api.types.is_scalar(item) and pandas.isna(item) else item for item in values.tolist()]


def _column(series: Any, pandas: Any) -> dict[str, Any]:
    numpy = require("numpy", "numpy", "a pandas column")
    kind = series.dtype
    if isinstance(kind, numpy.dtype) and kind.kind in "iuf":
        return {"type": "numeric", "data": series.to_numpy().tobytes(), "dtype": str(kind)}
    return {"type": "object", "data": _objects(series, pandas)}


def _write_frame(frame: Any, pandas: Any) -> dict[str, Any]:
    names: list[Any] = frame.columns.tolist()
    if isinstance(frame.columns, pandas.MultiIndex) or len(set(names)) != len(names):
        raise TypeError(
            "a frame whose columns share a name, or have several levels of names, cannot be stored: rename them."
        )
    index = _labels(frame.index, pandas)
    data = {name: _column(frame.iloc[:, at], pandas) for at, name in enumerate(names)}
    return {"columns": names, "index": index, "data": data}


def _write_series(series: Any, pandas: Any) -> dict[str, Any]:
    return {"name": series.name, "index": _labels(series.index, pandas), **_column(series, pandas)}


def _values(column: Any) -> Any:
    if column["type"] == "numeric":
        data: bytes = column["data"]
        size = require("numpy", "numpy", "a pandas column").dtype(column["dtype"]).itemsize
        return _array_of(data, column["dtype"], (len(data) // size,))
    return column["data"]


def _read_frame(parts: Any, pandas: Any) -> Any:
    data: dict[Any, Any] = {name: _values(parts["data"][name]) for name in parts["columns"]}
    frame = pandas.DataFrame(data, columns=parts["columns"] or None)
    if parts["index"] is not None:
        frame.index = pandas.Index(parts["index"])
    return frame


def _read_series(parts: Any, pandas: Any) -> Any:
    index = None if parts["index"] is None else pandas.Index(parts["index"])
    return pandas.Series(_values(parts), index=index, name=parts["name"])


# ---- the serializer --------------------------------------------------------------------------------------------


class AutoSerializer:
    """Documents that keep Python's types. Names: ``"auto"``, ``"pythonic"``. Readable by Python only.

    Takes what StandardSerializer takes, and keeps tuples (named ones come back as plain ones), UUIDs, sets, frozensets
    and NumPy arrays of numbers, texts and dates, also inside each other. NumPy's scalars come back as Python's. pandas
    frames are stored as serializer ``"arrow"`` stores them, or, without pyarrow, column by column; pandas series by
    value and index. Decimals, plain enum members, models and custom classes are refused with a TypeError that says what
    to do.

    Args:
        integrity_checking: Without it neither checksum nor compression.
    """

    accepts_buffers: bool = True
    cross_sdk_compatible: bool = False

    def __init__(self, integrity_checking: bool = True) -> None:
        self.integrity_checking = integrity_checking
        self._arrow: ArrowSerializer | None = None

    def _metadata(self, original_type: str, compressed: bool) -> SerializationMetadata:
        return SerializationMetadata(SerializationFormat.MSGPACK, compressed=compressed, original_type=original_type)

    def _arrow_serializer(self) -> ArrowSerializer:
        if self._arrow is None:
            from cachekit.serializers.arrow_serializer import ArrowSerializer

            self._arrow = ArrowSerializer()
        return self._arrow

    # ---- writing ----------------------------------------------------------------------------------------------

    def _enveloped(self, value: Any, kind: str) -> tuple[bytes, SerializationMetadata]:
        document = _core.encode(value, _write_other)
        if self.integrity_checking:
            document = _core.envelope_store(document, kind)
        return document, self._metadata(kind, self.integrity_checking)

    def _serialize_array(self, array: Any) -> tuple[bytes, SerializationMetadata]:
        raw = _write_raw(array)
        if self.integrity_checking:
            raw = _core.checksum(raw) + raw
        return raw, self._metadata("numpy", False)

    def _serialize_frame(self, frame: Any, pandas: Any) -> tuple[bytes, SerializationMetadata]:
        try:
            serializer = self._arrow_serializer()
        except ImportError:
            return self._enveloped(_write_frame(frame, pandas), "dataframe")
        return serializer.serialize(frame)

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        """The payload of a value.

        Raises:
            TypeError: A type that the serializer does not take.
            RecursionError: More than 512 levels, or a value that contains itself.
        """
        numpy, pandas = loaded("numpy"), loaded("pandas")
        if numpy is not None and isinstance(obj, getattr(numpy, "ndarray", ())):
            return self._serialize_array(obj)
        if pandas is not None and isinstance(obj, getattr(pandas, "DataFrame", ())):
            return self._serialize_frame(obj, pandas)
        if pandas is not None and isinstance(obj, getattr(pandas, "Series", ())):
            return self._enveloped(_write_series(obj, pandas), "series")
        return self._enveloped(obj, "msgpack")

    # ---- reading ----------------------------------------------------------------------------------------------

    def _document(self, data: Bytes, metadata: SerializationMetadata | None) -> Any:
        enveloped = self.integrity_checking or (metadata is not None and metadata.compressed)
        try:
            return _core.decode(open_envelope(data) if enveloped else data, _read_array)
        except ValueError as error:
            raise unreadable(str(error)) from None

    def _array(self, view: memoryview) -> Any:
        if view[: len(_RAW)].tobytes() == _RAW:
            return _read_raw(view)
        if view[_CHECKSUM : _CHECKSUM + len(_RAW)].tobytes() != _RAW:
            raise unreadable("not a NumPy array")
        if _core.checksum(view[_CHECKSUM:]) != view[:_CHECKSUM].tobytes():
            raise unreadable("the checksum of the NumPy array does not match", "E114")
        return _read_raw(view[_CHECKSUM:])

    def deserialize(self, data: Bytes, metadata: SerializationMetadata | None = None) -> Any:
        """The value of a payload.

        Raises:
            SerializationError: It is damaged, or another serializer wrote it.
            ImportError: It is an array or a frame, and the package for it is not installed.
        """
        if metadata is not None and metadata.format == SerializationFormat.ARROW:
            return self._arrow_serializer().deserialize(data, metadata)
        check_format("auto", metadata, SerializationFormat.MSGPACK, "msgpack", "numpy", "dataframe", "series")
        kind = metadata.original_type if metadata is not None else None
        if kind == "numpy":
            return self._array(memoryview(data))
        document = self._document(data, metadata)
        if kind not in ("dataframe", "series"):
            return document
        pandas = require("pandas", "pandas", f"a stored pandas {kind}")
        try:
            return (_read_frame if kind == "dataframe" else _read_series)(document, pandas)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise unreadable(f"not a pandas {kind}: {error!r}") from None
