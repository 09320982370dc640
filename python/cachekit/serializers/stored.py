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


def load_stored(stored: Bytes, serializer: SerializerProtocol, name: str) -> Any:
    """The value of a stored form.

    Raises:
        CachekitError: It has no frame that can be read; the attribute `verdict` says whether the entry is damaged.
        SerializationError: Another serializer wrote it, or the payload is damaged. E021 and others.
    """
    fields, payload = _core.frame_parse(stored)
    written_by: str | None = fields["serializer"]
    if written_by not in (None, "unknown", name) and _SAME.get(written_by, written_by) != _SAME.get(name, name):
        raise unreadable(mismatch(written_by, name))
    metadata = SerializationMetadata.from_dict(fields)
    if metadata.encrypted:
        raise SerializationError("the entry is encrypted, which this version does not open", "E104")
    if not getattr(serializer, "accepts_buffers", False):
        payload = bytes(payload)
    return serializer.deserialize(payload, metadata)  # pyright: ignore[reportArgumentType]


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
    return Codec(
        functools.partial(dump_stored, serializer=made, name=name),
        functools.partial(load_stored, serializer=made, name=name),
    )
