"""What every serializer has in common: the protocol, and what is stored beside the bytes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, Union, runtime_checkable

from cachekit.errors import SerializationError

# collections.abc.Buffer is not there before Python 3.12.
Bytes = Union[bytes, bytearray, memoryview]
"""Bytes-like objects that serializers read from."""


class SerializationFormat(str, Enum):
    """The family of a payload. A frame names one of these three; nothing else can be stored."""

    MSGPACK = "msgpack"
    ORJSON = "orjson"
    ARROW = "arrow"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class SerializationMetadata:
    """What a stored value says about its payload, in the frame's header.

    Attributes:
        format: The payload's family.
        encoding: Of text in it.
        compressed: Whether the payload (before encryption) is compressed; for ``default`` and ``auto``: whether it is
            an envelope with a checksum.
        original_type: Which form of the family it is, e.g. ``"numpy"`` or ``"dataframe"``.
        encrypted: Whether the payload is encrypted. The fields behind it belong to that.
        tenant_id: Whose key it is encrypted with.
        encryption_algorithm: ``"AES-256-GCM"``.
        key_fingerprint: Which key, as 32 hexadecimal digits.
    """

    format: SerializationFormat | str
    encoding: str = "utf-8"
    compressed: bool = False
    original_type: str | None = None
    encrypted: bool = False
    tenant_id: str | None = None
    encryption_algorithm: str | None = None
    key_fingerprint: str | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "format", SerializationFormat(self.format))
        except ValueError:
            known = ", ".join(repr(known.value) for known in SerializationFormat)
            raise ValueError(f"a payload's format is one of {known}, not {self.format!r}") from None

    def to_dict(self) -> dict[str, Any]:
        """The fields as a frame's header has them, in its order; those of encryption only when encrypted."""
        fields: dict[str, Any] = {
            "format": str(self.format),
            "encoding": self.encoding,
            "compressed": self.compressed,
            "original_type": self.original_type,
        }
        if self.encrypted:
            fields["encrypted"] = True
            fields["tenant_id"] = self.tenant_id
            fields["encryption_algorithm"] = self.encryption_algorithm
            fields["key_fingerprint"] = self.key_fingerprint
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SerializationMetadata:
        """The other way. Unknown members are ignored.

        Raises:
            ValueError: `format` is missing or none of the three.
        """
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        values: dict[str, Any] = {"format": "", **known}
        return cls(**values)


@runtime_checkable
class SerializerProtocol(Protocol):
    """Turns values into bytes and back. Any object with these two methods can be given as `serializer=`.

    Its class' name is stored with every value, so renaming the class makes stored values unreadable (they are computed
    again). Two attributes are looked at when they are there:

    ``accepts_buffers``: `deserialize` takes any bytes-like object and is then given a view of the stored bytes instead
    of a copy. ``cross_sdk_compatible``: other languages can read the payload; only such serializers may be encrypted.
    """

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        """The payload of a value, and what is stored about it.

        Raises:
            TypeError: The value is of a type that the serializer does not take. It is returned uncached.
        """
        ...

    def deserialize(self, data: bytes, metadata: SerializationMetadata) -> Any:
        """The value of a payload.

        Raises:
            ValueError, SerializationError: The payload is damaged. The entry is removed and the value computed again.
        """
        ...


def unreadable(why: str, code: str = "E021") -> SerializationError:
    """The exception for stored bytes that cannot be read."""
    return SerializationError(why, code)


def require(module: str, extra: str, purpose: str) -> Any:
    """Imports an optional package at its first use.

    Raises:
        ImportError: It is not installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs {name}, which is not installed: pip install 'cachekit-c[{extra}]'", name=name
        ) from error


def loaded(module: str) -> Any:
    """The module if the program has imported it, else None: of a package that nobody imported there are no objects."""
    return sys.modules.get(module)


def check_format(
    serializer: str, metadata: SerializationMetadata | None, format: SerializationFormat, *original_types: str
) -> None:
    """Refuses what another serializer wrote.

    Raises:
        SerializationError: The metadata says that the payload is of another format or type. E021.
    """
    if metadata is None:
        return
    if metadata.encrypted:
        raise SerializationError(f"the entry is encrypted, which the {serializer!r} serializer does not open", "E104")
    original = metadata.original_type
    if metadata.format != format or (original is not None and original not in original_types):
        found = str(metadata.format) if original in (None, str(metadata.format)) else f"{metadata.format} ({original})"
        raise unreadable(mismatch(found, serializer))


def mismatch(found: str, expected: str) -> str:
    """The text for an entry that another serializer wrote."""
    return (
        f"serializer mismatch: the entry was written as {found!r} and is read by {expected!r}. It will be computed and "
        "stored anew. To change a function's serializer without such misses give it a namespace of its own, "
        'e.g. namespace="users:v2".'
    )


def type_name(value: object) -> str:
    """The name of a value's type as a person would write it."""
    kind: type[object] = type(value)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
