"""Serializer "orjson"."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from typing import Any

import pytest
from cachekit.errors import SerializationError
from cachekit.serializers import OrjsonSerializer, dump_stored, get_serializer, load_stored

orjson: Any = pytest.importorskip("orjson", reason="needs the extra orjson")

VALUE = {"b": [True, None], "a": 1}


def again(value: Any, **options: Any) -> Any:
    serializer = OrjsonSerializer(**options)
    return load_stored(dump_stored(value, serializer, "orjson"), serializer, "orjson")


@pytest.mark.parametrize(
    ("integrity", "text"),
    [
        (
            True,
            "434b030000007b7b2273223a20226f726a736f6e222c20226d223a207b22666f726d6174223a20226f726a736f6e222c2022656e636f64"
            "696e67223a20227574662d38222c2022636f6d70726573736564223a2066616c73652c20226f726967696e616c5f74797065223a20226f"
            "726a736f6e227d2c202276223a2022322e30227d351633935cf22cd57b2261223a312c2262223a5b747275652c6e756c6c5d7d",
        ),
        (
            False,
            "434b030000007b7b2273223a20226f726a736f6e222c20226d223a207b22666f726d6174223a20226f726a736f6e222c2022656e636f64"
            "696e67223a20227574662d38222c2022636f6d70726573736564223a2066616c73652c20226f726967696e616c5f74797065223a20226f"
            "726a736f6e227d2c202276223a2022322e30227d7b2261223a312c2262223a5b747275652c6e756c6c5d7d",
        ),
    ],
)
def test_the_bytes_are_those_of_the_released_package(integrity: bool, text: str) -> None:
    serializer = get_serializer("orjson", integrity_checking=integrity)
    assert dump_stored(VALUE, serializer, "orjson").hex() == text
    assert load_stored(bytes.fromhex(text), serializer, "orjson") == VALUE


@pytest.mark.parametrize("value", [0, 9, -1, "", [], {}, None, 1.5, "ü", 2**64 - 1, -(2**63)], ids=repr)
@pytest.mark.parametrize("integrity", [True, False])
def test_values_come_back_those_of_one_byte_too(value: Any, integrity: bool) -> None:
    assert again(value, integrity_checking=integrity) == value


class Plain(enum.Enum):
    A = "a"


@dataclasses.dataclass
class Point:
    x: int


def test_what_json_has_no_type_for_becomes_text_values_and_dicts() -> None:
    value = [dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), uuid.UUID(int=1), Plain.A, Point(1), (1,), float("nan")]
    assert again(value) == [
        "2024-01-01T00:00:00+00:00",
        "00000000-0000-0000-0000-000000000001",
        "a",
        {"x": 1},
        [1],
        None,
    ]


def test_options_are_orjsons() -> None:
    assert list(again({"b": 1, "a": 2})) == ["a", "b"]
    assert list(again({"b": 1, "a": 2}, option=0)) == ["b", "a"]
    assert again({1: "a"}, option=orjson.OPT_NON_STR_KEYS) == {"1": "a"}


@pytest.mark.parametrize("value", [{1: 2}, {1}, b"bytes", 2**64, object()], ids=repr)
def test_other_types_are_refused_with_advice(value: Any) -> None:
    with pytest.raises(TypeError, match='serializer="auto"'):
        OrjsonSerializer().serialize(value)


def test_damaged_documents_are_refused() -> None:
    payload, metadata = OrjsonSerializer().serialize(VALUE)
    for at in range(len(payload)):
        changed = bytearray(payload)
        changed[at] ^= 1
        with pytest.raises(SerializationError):
            OrjsonSerializer().deserialize(bytes(changed), metadata)
        with pytest.raises(SerializationError):
            OrjsonSerializer().deserialize(payload[:at], metadata)
    with pytest.raises(SerializationError, match="not a JSON document"):
        OrjsonSerializer(integrity_checking=False).deserialize(b"{", metadata)
