"""JSON, by orjson."""

from __future__ import annotations

from typing import Any

from cachekit import _core
from cachekit.serializers.base import (
    Bytes,
    SerializationFormat,
    SerializationMetadata,
    check_format,
    require,
    unreadable,
)

_CHECKSUM = 8
_METADATA = SerializationMetadata(SerializationFormat.ORJSON, original_type="orjson")


class OrjsonSerializer:
    """JSON with a checksum in front. Name: ``"orjson"``. Needs the extra ``orjson``.

    Takes what orjson takes: None, bool, int (64 bits), float, str, list, tuple, dict with str keys, and one way only
    datetime, date, time, UUID, enum members and dataclasses: they come back as text, as their values, as dicts. NaN and
    infinities become None.

    Args:
        option: orjson's option bits; sorted keys unless given.
        integrity_checking: Without it the bare JSON is stored.
    """

    accepts_buffers: bool = True
    cross_sdk_compatible: bool = True

    def __init__(self, option: int | None = None, integrity_checking: bool = True) -> None:
        self._orjson: Any = require("orjson", "orjson", 'serializer="orjson"')
        self.option: int = self._orjson.OPT_SORT_KEYS if option is None else option
        self.integrity_checking = integrity_checking

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        """The payload of a value.

        Raises:
            TypeError: A type, a key or an integer that JSON (by orjson) does not hold.
        """
        try:
            document: bytes = self._orjson.dumps(obj, option=self.option)
        except TypeError as error:
            raise TypeError(
                f'serializer="orjson" cannot store this value: {error}. Convert it to JSON types (str keys, integers '
                'of 64 bits), or use serializer="auto".'
            ) from error
        return (_core.checksum(document) + document if self.integrity_checking else document), _METADATA

    def deserialize(self, data: Bytes, metadata: SerializationMetadata | None = None) -> Any:
        """The value of a payload.

        Raises:
            SerializationError: It is damaged, or another serializer wrote it.
        """
        check_format("orjson", metadata, SerializationFormat.ORJSON, "orjson")
        document = memoryview(data)
        if self.integrity_checking:
            if len(document) <= _CHECKSUM:
                raise unreadable(f"{len(document)} bytes are too few for a checksum and a JSON document", "E111")
            checksum, document = document[:_CHECKSUM].tobytes(), document[_CHECKSUM:]
            if _core.checksum(document) != checksum:
                raise unreadable("the checksum of the JSON document does not match", "E114")
        try:
            return self._orjson.loads(document)
        except ValueError as error:
            raise unreadable(f"not a JSON document: {error}") from None
