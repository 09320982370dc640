"""Whole stored values: a serializer's payload in its frame."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from cachekit import _core
from cachekit.errors import SerializationError
from cachekit.serializers.base import Bytes, SerializationMetadata, SerializerProtocol, mismatch, type_name, unreadable
from cachekit.serializers.registry import resolve_serializer

if TYPE_CHECKING:
    from collections.abc import Callable

# What a serializer of this package writes is the same whether it was given by name or as an object; the name that is
# stored is not.
_SAME: dict[str, str] = {
    "StandardSerializer": "default",
    "AutoSerializer": "auto",
    "OrjsonSerializer": "orjson",
    "ArrowSerializer": "arrow",
}

_FIELDS = (
    "encoding",
    "compressed",
    "original_type",
    "encrypted",
    "tenant_id",
    "encryption_algorithm",
    "key_fingerprint",
)


def _metadata_fields(metadata: Any) -> dict[str, Any]:
    """The fields of the metadata, also of another class than ours."""
    if isinstance(metadata, SerializationMetadata):
        return metadata.to_dict()
    format = getattr(metadata, "format", None)
    if format is None:
        raise TypeError(f"serialize() gives bytes and SerializationMetadata, not {type_name(metadata)}")
    fields = {name: getattr(metadata, name) for name in _FIELDS if hasattr(metadata, name)}
    return SerializationMetadata(getattr(format, "value", format), **fields).to_dict()


def dump_stored(obj: Any, serializer: SerializerProtocol, name: str) -> bytes:
    """The stored form of a value.

    Args:
        obj: The value.
        serializer: What turns it into bytes.
        name: What is stored as the serializer's name (`resolve_serializer` knows it).

    Raises:
        TypeError: The serializer does not take the value, or gives something else than bytes and metadata.
    """
    result: Any = serializer.serialize(obj)
    if not isinstance(result, tuple) or len(result) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise TypeError(f"{type_name(serializer)}.serialize() gives a pair of bytes and SerializationMetadata")
    payload, metadata = cast("tuple[Any, Any]", result)
    if not isinstance(payload, (bytes, bytearray, memoryview)):
        raise TypeError(f"{type_name(serializer)}.serialize() gave {type_name(payload)} instead of bytes")
    return _core.frame_write(cast("bytes", payload), serializer=name, **_metadata_fields(metadata))


def _parse(stored: Bytes, name: str) -> tuple[SerializationMetadata, Bytes]:
    """What a frame says, and its payload."""
    fields, payload = _core.frame_parse(stored)
    written_by: str | None = fields["serializer"]
    if written_by not in (None, "unknown", name) and _SAME.get(written_by, written_by) != _SAME.get(name, name):
        raise unreadable(mismatch(written_by, name))
    metadata = SerializationMetadata.from_dict(fields)
    if metadata.encrypted:
        raise SerializationError("the entry is encrypted, which this version does not open", "E104")
    return metadata, payload


def _read(serializer: SerializerProtocol, metadata: SerializationMetadata, payload: Bytes) -> Any:
    if not getattr(serializer, "accepts_buffers", False):
        payload = bytes(payload)
    return serializer.deserialize(payload, metadata)  # pyright: ignore[reportArgumentType]


def load_stored(stored: Bytes, serializer: SerializerProtocol, name: str) -> Any:
    """The value of a stored form.

    Raises:
        CachekitError: It has no frame that can be read; the attribute `verdict` says whether the entry is damaged.
        SerializationError: Another serializer wrote it, or the payload is damaged. E021 and others.
    """
    return _read(serializer, *_parse(stored, name))


class Codec(NamedTuple):
    """The two directions between values and what a store keeps of them."""

    dump: Callable[[Any], bytes]
    load: Callable[[Bytes], Any]


def codec_for(serializer: object, *, integrity_checking: bool = True) -> Codec:
    """Both directions of a serializer, given by name or as an object.

    Raises:
        ConfigurationError: An unknown name, or ``"pickle"``.
        TypeError: An object without the methods of SerializerProtocol.
        ImportError: The package that the serializer needs is not installed; the message names the extra.
    """
    made, name = resolve_serializer(serializer, integrity_checking=integrity_checking)
    return Codec(functools.partial(dump_stored, serializer=made, name=name), _Loader(made, name).load)


# A function's entries have few headers: what they say is read once.
_MOST_HEADERS = 16
_LONGEST_HEADER = 1024
_BEFORE_HEADER = 7


class _Loader:
    """`load_stored` for the entries of one function."""

    def __init__(self, serializer: SerializerProtocol, name: str) -> None:
        self._serializer = serializer
        self._name = name
        self._known: dict[bytes, SerializationMetadata] = {}

    def load(self, stored: Bytes) -> Any:
        whole = memoryview(stored)
        end = _BEFORE_HEADER + int.from_bytes(whole[3:_BEFORE_HEADER], "big")
        front = whole[:end].tobytes() if end <= _LONGEST_HEADER else b""
        metadata = self._known.get(front)
        if metadata is not None:
            return _read(self._serializer, metadata, whole[end:])
        metadata, payload = _parse(stored, self._name)
        if len(front) == end and front.startswith(b"CK") and len(self._known) < _MOST_HEADERS:
            self._known[front] = metadata
        return _read(self._serializer, metadata, payload)
