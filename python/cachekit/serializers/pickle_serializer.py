"""Any Python object, signed."""

from __future__ import annotations

import hashlib
import hmac
import pickle
from typing import Any

from cachekit import _core
from cachekit.errors import ConfigurationError
from cachekit.serializers.base import (
    Bytes,
    SerializationFormat,
    SerializationMetadata,
    check_format,
    type_name,
    unreadable,
)

_MIN_KEY = 32
_DOMAIN = b"cachekit-pickle-v1\0"
_METADATA = SerializationMetadata(SerializationFormat.MSGPACK, original_type="pickle")


class PickleSerializer:
    """Any object that can be pickled, signed with HMAC-SHA256. Never used by default, and it has no name.

    Unpickling runs what the bytes say: whoever can write to the store could run code in this process. So nothing is
    unpickled whose signature was not made with the key. What that leaves open: who can write to the store can still put
    an old signed value in place of a new one, or that of another key. Use it only for objects that no other serializer
    takes.

    A payload is a MessagePack array of the signature (32 bytes) and the pickle.

    Args:
        signing_key: At least 32 random bytes, the same in every process that shares the store, and kept out of it; e.g.
            ``secrets.token_bytes(32)``, made once.
        protocol: Of pickle; by default one that every supported Python reads.

    Raises:
        ConfigurationError: No key, or a short one.
    """

    accepts_buffers: bool = True
    cross_sdk_compatible: bool = False

    def __init__(self, signing_key: bytes | None = None, protocol: int = 5) -> None:
        if signing_key is None:
            raise ConfigurationError(
                "PickleSerializer demands a signing_key: without one whoever can write to the store could run code "
                "here. Give it at least 32 random bytes (secrets.token_bytes(32)) that all processes share."
            )
        if not isinstance(signing_key, (bytes, bytearray)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"signing_key is bytes, not {type_name(signing_key)}")
        if len(signing_key) < _MIN_KEY:
            raise ConfigurationError(f"signing_key has {len(signing_key)} bytes, at least {_MIN_KEY} are needed")
        self._key = bytes(signing_key)
        self._protocol = protocol

    def __repr__(self) -> str:
        return "PickleSerializer(signing_key=...)"

    def __reduce__(self) -> Any:
        raise TypeError("a PickleSerializer holds a key and is not pickled: make one in each process")

    def _signature(self, document: bytes) -> bytes:
        return hmac.new(self._key, _DOMAIN + document, hashlib.sha256).digest()

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        """The payload of a value.

        Raises:
            TypeError: The object cannot be pickled.
        """
        try:
            document = pickle.dumps(obj, protocol=self._protocol)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise TypeError(f"a value of type {type_name(obj)} cannot be pickled: {error}") from error
        return _core.encode([self._signature(document), document]), _METADATA

    def deserialize(self, data: Bytes, metadata: SerializationMetadata | None = None) -> Any:
        """The value of a payload whose signature is ours.

        Raises:
            SerializationError: It is damaged, unsigned or signed with another key (E003); or it is ours, and the class
                of an object in it is not there any more (E021).
        """
        check_format("PickleSerializer", metadata, SerializationFormat.MSGPACK, "pickle")
        try:
            signature, document = _core.decode(data)
            genuine = hmac.compare_digest(self._signature(document), signature)
        except (TypeError, ValueError):
            raise unreadable("not a signed pickle") from None
        if not genuine:
            raise unreadable(
                "the signature of the pickle is not ours: another key, or somebody changed the entry", "E003"
            )
        try:
            return pickle.loads(document)
        except Exception as error:
            raise unreadable(f"the pickle cannot be read: {error!r}") from error
