"""Serializer "auto": Python's own types. What needs NumPy or pandas is in files of its own."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import uuid
from typing import Any, NamedTuple

import pytest
from cachekit._core import decode, encode
from cachekit.errors import SerializationError
from cachekit.serializers import AutoSerializer


class Point(NamedTuple):
    x: int
    y: int


class Plain(enum.Enum):
    A = 1


class Count(enum.IntEnum):
    ONE = 1


ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


def no_hook(value: Any) -> Any:
    raise TypeError("the hook was asked")


def again(value: Any) -> Any:
    serializer = AutoSerializer()
    return serializer.deserialize(*serializer.serialize(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((), "82a95f5f7475706c655f5fc3a576616c756590"),
        (
            (1, ID),
            "82a95f5f7475706c655f5fc3a576616c7565920182a85f5f757569645f5fc3a576616c7565d924" + str(ID).encode().hex(),
        ),
        (frozenset({7}), "83a75f5f7365745f5fc3a576616c75659107a666726f7a656ec3"),
        ({7}, "83a75f5f7365745f5fc3a576616c75659107a666726f7a656ec2"),
        ({"a": [(1,)]}, "81a16191 82a95f5f7475706c655f5fc3a576616c75659101".replace(" ", "")),
        ({(1, 2)}, "83a75f5f7365745f5fc3a576616c756591920102a666726f7a656ec2"),
        ({(1,): 2}, "81910102"),
        (dt.date(2024, 2, 29), "82a85f5f646174655f5fc3a576616c7565aa323032342d30322d3239"),
    ],
)
def test_the_bytes_are_those_of_the_released_package(value: Any, text: str) -> None:
    assert encode(value, no_hook).hex() == text
    assert decode(bytes.fromhex(text), no_hook) == value


VALUES: list[Any] = [
    (1, (2, [3, (4,)])),
    {"t": (1, 2), "l": [1, 2]},
    {1, "a", None, 2.5, b"x"},
    {(1, (2, "x"))},
    {frozenset({(1,), frozenset({2})})},
    {ID: {ID}},
    {(1, (2,)): (3,)},
    {frozenset({1, 2}): 1},
    {dt.date(2024, 1, 1): dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)},
    [dt.time(1), {dt.time(2)}],
    set(),
    frozenset(),
    None,
    {"a": {"b": ({"c"},)}},
    {"x" * 40: ("y",), "z" * 300: [()]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_types_are_kept_inside_each_other(value: Any) -> None:
    assert types_of(again(value)) == types_of(value)
    assert again(value) == value
    bare = AutoSerializer(integrity_checking=False)
    assert bare.deserialize(*bare.serialize(value)) == value


def types_of(value: Any) -> Any:
    if isinstance(value, dict):
        return dict, [(types_of(key), types_of(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [types_of(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(types_of(item)) for item in value)
    return type(value)


def test_subclasses_become_what_they_are_underneath() -> None:
    assert types_of(again(Point(1, 2))) == (tuple, [int, int])
    assert again([Count.ONE, collections.OrderedDict(a=1)]) == [1, {"a": 1}]


@pytest.mark.parametrize("value", [decimal.Decimal(1), Plain.A, object(), {"a": [1j]}, 2**64, "\ud800"], ids=repr)
def test_other_types_are_refused_with_advice(value: Any) -> None:
    with pytest.raises(TypeError, match="Store|store"):
        AutoSerializer().serialize(value)


@pytest.mark.parametrize("name", ["__datetime__", "__uuid__", "__set__", "__tuple__", "__ndarray__"])
def test_a_map_that_would_come_back_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="Rename the key"):
        AutoSerializer().serialize({name: True, "value": [1]})
    for harmless in (1, "yes", False, None):
        assert again({name: harmless}) == {name: harmless}


@pytest.mark.parametrize(
    "document",
    [
        {"__uuid__": True},
        {"__uuid__": True, "value": "no uuid"},
        {"__uuid__": True, "value": 5},
        {"__set__": True, "value": 5},
        {"__set__": True, "value": [{}]},
        {"__tuple__": True, "value": "abc"},
        {"__ndarray__": True},
        {"__datetime__": True, "value": "x"},
    ],
    ids=repr,
)
def test_a_marked_map_that_is_not_what_it_says_is_an_error(document: dict[str, Any]) -> None:
    body = bytes([0x80 | len(document)]) + b"".join(encode(item) for pair in document.items() for item in pair)
    with pytest.raises(SerializationError) as failure:
        AutoSerializer(integrity_checking=False).deserialize(body)
    assert failure.value.code == "E021"


def test_a_failed_checksum_is_an_error_and_not_the_envelope() -> None:
    serializer = AutoSerializer()
    payload, metadata = serializer.serialize({"a": 1})
    changed = payload.replace(b"\xa1a\x01", b"\xa1a\x02")
    assert changed != payload
    with pytest.raises(SerializationError) as failure:
        serializer.deserialize(changed, metadata)
    assert failure.value.code == "E114"


def test_the_hook_is_asked_for_other_objects_and_may_not_run_in_circles() -> None:
    assert encode([object()], lambda value: ["plain"]) == encode([["plain"]])
    with pytest.raises(RecursionError):
        encode(object(), lambda value: value)
    with pytest.raises(TypeError, match="the hook was asked"):
        encode({"a": object()}, no_hook)


def test_deep_and_circular_values_are_refused() -> None:
    circle: list[Any] = []
    circle.append((circle,))
    with pytest.raises(RecursionError):
        AutoSerializer().serialize(circle)
    deep: Any = ()
    for _ in range(200):
        deep = (deep, [])
    assert again(deep) == deep
