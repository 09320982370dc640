"""PickleSerializer: signed, or nothing."""

from __future__ import annotations

import decimal
import pickle
from typing import Any

import pytest
from cachekit._core import encode
from cachekit.errors import ConfigurationError, SerializationError
from cachekit.serializers import PickleSerializer, dump_stored, load_stored

KEY = bytes(range(32))


class Secret:
    ran = False

    def __reduce__(self) -> Any:
        return run, ()


def run() -> str:
    Secret.ran = True
    return "ran"


def test_objects_come_back() -> None:
    serializer = PickleSerializer(KEY)
    for value in ({"price": decimal.Decimal("19.99"), "s": {1, (2,)}}, None, [complex(1, 2)]):
        stored = dump_stored(value, serializer, "PickleSerializer")
        assert load_stored(stored, serializer, "PickleSerializer") == value


def test_a_key_is_demanded() -> None:
    for key in (None, b"", b"short", "a" * 32):
        with pytest.raises(ConfigurationError, match="signing_key"):
            PickleSerializer(key)  # type: ignore[arg-type]


def test_nothing_is_unpickled_that_was_not_signed_with_the_key() -> None:
    serializer, other = PickleSerializer(KEY), PickleSerializer(KEY[::-1])
    payload, metadata = other.serialize(Secret())
    forged = [
        payload,
        pickle.dumps(Secret()),
        encode([b"", pickle.dumps(Secret())]),
        encode([bytes(32), pickle.dumps(Secret())]),
        encode(["x" * 32, pickle.dumps(Secret())]),
        encode([bytes(32), "text"]),
        encode([bytes(32)]),
        encode(1),
        b"",
    ]
    for data in forged:
        with pytest.raises(SerializationError) as failure:
            serializer.deserialize(data, metadata)
        assert failure.value.code in ("E003", "E021")
    assert not Secret.ran
    assert serializer.deserialize(*serializer.serialize(Secret())) == "ran"


def test_every_changed_byte_is_noticed() -> None:
    serializer = PickleSerializer(KEY)
    payload, metadata = serializer.serialize([1, 2, 3])
    for at in range(len(payload)):
        changed = bytearray(payload)
        changed[at] ^= 1
        with pytest.raises(SerializationError):
            serializer.deserialize(bytes(changed), metadata)


def test_what_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        PickleSerializer(KEY).serialize(lambda: 1)


def test_the_key_does_not_leave() -> None:
    serializer = PickleSerializer(KEY)
    assert repr(KEY)[2:10] not in repr(serializer)
    with pytest.raises(TypeError):
        pickle.dumps(serializer)
