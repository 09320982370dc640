"""The standard serializer: MessagePack documents that every language reads."""

from __future__ import annotations

from typing import Any

from cachekit import _core
from cachekit.errors import CachekitError
from cachekit.serializers.base import Bytes, SerializationFormat, SerializationMetadata, check_format, unreadable


def open_envelope(data: Bytes) -> bytes:
    """The checked content of an envelope.

    Raises:
        SerializationError: It is damaged; the code says how.
    """
    try:
        content, _format = _core.envelope_open(data)
    except CachekitError as error:
        raise unreadable(str(error), error.code) from None
    return content


class StandardSerializer:
    """MessagePack, compressed (LZ4) and with a checksum (XXH3-64). Names: ``"default"``, ``"std"``.

    Takes None, bool, int (-2**63 to 2**64-1), float, str, bytes-like objects, list, tuple, dict, datetime, date and
    time. Tuples come back as lists, bytearray and memoryview as bytes, and instances of subclasses as what they are
    underneath: an IntEnum as its integer, a named tuple as a list, an OrderedDict as a dict in its order. Keys of dicts
    may be of any type above that has a hash; tuples among them come back as tuples. Other languages read only keys that
    are text or bytes.

    Everything else is refused with a TypeError that says what to do. At most 512 levels of nesting.

    Args:
        integrity_checking: Without it the bare document is stored: neither compressed nor protected against damage.
    """

    accepts_buffers: bool = True
    cross_sdk_compatible: bool = True

    def __init__(self, integrity_checking: bool = True) -> None:
        self.integrity_checking = integrity_checking
        self._metadata = SerializationMetadata(
            SerializationFormat.MSGPACK, compressed=integrity_checking, original_type="msgpack"
        )

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        """The payload of a value.

        Raises:
            TypeError: A type that no document holds.
            RecursionError: More than 512 levels, or a value that contains itself.
        """
        document = _core.encode(obj)
        return (_core.envelope_store(document) if self.integrity_checking else document), self._metadata

    def deserialize(self, data: Bytes, metadata: SerializationMetadata | None = None) -> Any:
        """The value of a payload.

        Raises:
            SerializationError: It is damaged, or another serializer wrote it.
        """
        check_format("default", metadata, SerializationFormat.MSGPACK, "msgpack")
        # The header is protected by nothing: it cannot switch the checksum off.
        enveloped = self.integrity_checking or (metadata is not None and metadata.compressed)
        try:
            return _core.decode(open_envelope(data) if enveloped else data)
        except ValueError as error:
            raise unreadable(str(error)) from None


DefaultSerializer = StandardSerializer
"""Another name of StandardSerializer."""
