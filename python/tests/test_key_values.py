"""Arguments of calls as keys: numbers, texts, bytes and containers, as the bytes that are hashed."""

from __future__ import annotations

import enum
import math
import struct
from collections import OrderedDict, defaultdict, namedtuple
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from cachekit import _core
from packing import DEPTH, INTEGERS, MILLION_DIGITS, UTC, Colour, Level, Name, nest, one, packed, text

# ---- plain values -------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("value", "data"), INTEGERS)
def test_integers_take_their_shortest_form(value: int, data: str) -> None:
    assert one(value) == data
    assert one([value]) == "91" + data
    assert one({value: value}) == "81" + data + data


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, MILLION_DIGITS, -MILLION_DIGITS])
def test_integers_of_more_than_64_bits_overflow(value: int) -> None:
    for args in [(value,), ([value],), ({1: value},), ({value: 1},), ({value: 1, 2: 2},)]:
        with pytest.raises(OverflowError, match="argument 1 cannot be part of a cache key: an integer outside"):
            _core.pack_args(args)


def test_one_as_integer_float_and_boolean_are_three_arguments() -> None:
    assert len({one(1), one(1.0), one(True)}) == 3
    assert len({one([0]), one([0.0]), one([False]), one([None])}) == 4


@pytest.mark.parametrize("value", [1.5, -1.5, 5e-324, 1e308, math.inf, -math.inf])
def test_floats_are_their_bits(value: float) -> None:
    assert one(value) == "cb" + struct.pack(">d", value).hex()


def test_both_zeros_are_one_value_and_two_keys() -> None:
    assert one(0.0) == one(-0.0) == "cb" + "00" * 8
    assert one([-0.0]) == "91cb" + "00" * 8
    assert one({-0.0: 1}) == "81cb80" + "00" * 7 + "01"
    assert one({1.0: 1, -0.0: 2}) == "82cb80" + "00" * 7 + "02" + "cb3ff0" + "00" * 6 + "01"


def test_nan_keeps_its_bits() -> None:
    (strange,) = struct.unpack(">d", bytes.fromhex("fff8000000000123"))
    assert one(strange) == "cbfff8000000000123"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 30, 31, 32, 33, 100, 255, 256, 65535, 65536])
@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_texts_of_every_length_are_their_utf8(size: int, letter: str) -> None:
    value = (letter * size)[:size]
    data = value.encode()
    n = len(data)
    head = (
        bytes([0xA0 | n])
        if n < 32
        else b"\xd9" + n.to_bytes(1, "big")
        if n < 256
        else b"\xda" + n.to_bytes(2, "big")
        if n < 65536
        else b"\xdb" + n.to_bytes(4, "big")
    )
    assert one(value) == (head + data).hex()
    assert one({value: value}) == "81" + 2 * (head + data).hex()


@pytest.mark.parametrize("size", [0, 1, 16, 17, 100, 255, 256, 65535, 65536])
def test_bytes_of_every_length_are_bytes(size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)
    value = value[:size]
    head = b"\xc4" if size < 256 else b"\xc5" if size < 65536 else b"\xc6"
    width = 1 if size < 256 else 2 if size < 65536 else 4
    assert one(value) == (head + size.to_bytes(width, "big") + value).hex()


def test_texts_are_not_normalised() -> None:
    assert one("é") != one("e\u0301")
    assert one("a\0b") == "a3610062"


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", "x" * 50 + "\udc80"])
def test_lone_surrogates_are_unicode_errors(value: str) -> None:
    for args in [(value,), ([value],), ({value: 1},), ({"a": 1, value: 2},), (Path(value),)]:
        with pytest.raises(UnicodeEncodeError):
            _core.pack_args(args)
    with pytest.raises(UnicodeEncodeError):
        _core.pack_args((), {value: 1})


# ---- containers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 200, 65535, 65536])
def test_sequences_of_every_length(count: int) -> None:
    head = "9" + format(count, "x") if count < 16 else "dc" + format(count, "04x") if count < 65536 else "dd00010000"
    assert one([7] * count) == one((7,) * count) == head + "07" * count
    assert packed(*([7] * count)) == head + "07" * count + "80"


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 200, 70000])
def test_dicts_of_every_length_are_sorted(count: int) -> None:
    keys = [f"key{i}" for i in range(count)]
    forward = {key: i for i, key in enumerate(keys)}
    backward = dict(reversed(list(forward.items())))
    assert one(forward) == one(backward)
    assert packed(**forward) == packed(**backward)
    head = f"8{count:x}" if count < 16 else f"de{count:04x}" if count < 65536 else f"df{count:08x}"
    assert one(forward) == head + "".join(text(key) + one(forward[key]) for key in sorted(keys))
    assert packed(**forward) == "90" + (one(forward) if count > 0 else "80")


KEY_ORDERS: list[list[object]] = [
    ["", "\0", "A", "B", "a", "aa", "ab", "b", "é", "ü", "€", "\uffff", "\U00010000", "😀"],
    [b"", b"\0", b"a", b"aa", b"b", b"\xff"],
    [-math.inf, -(2**63), -5, -1.5, -1, False, 0.5, True, 1.5, 2, 2**53, 2**53 + 1, 1e16, 2**64 - 1, math.inf],
]


@pytest.mark.parametrize("keys", KEY_ORDERS)
def test_keys_are_sorted_as_python_sorts_them(keys: list[object]) -> None:
    assert keys == sorted(keys)  # type: ignore[type-var]
    for start in range(len(keys)):
        turned = keys[start:] + keys[:start]
        assert one(dict.fromkeys(turned, 0)) == one(dict.fromkeys(reversed(turned), 0)) == one(dict.fromkeys(keys, 0))
    assert one(dict.fromkeys(keys, 0)) == f"8{len(keys):x}" + "".join(one({key: 0})[2:] for key in keys)


def test_many_keys_of_numbers_and_bytes_are_sorted() -> None:
    numbers = [i * 7919 % 1000 for i in range(1000)]
    assert one(dict.fromkeys(numbers)) == "de03e8" + "".join(one(i) + "c0" for i in sorted(numbers))
    names = [str(i).encode() for i in numbers]
    assert one(dict.fromkeys(names)) == "de03e8" + "".join(one(i) + "c0" for i in sorted(names))


@pytest.mark.parametrize("key", [None, 1, -1, 1.5, True, "a", b"a", math.nan, math.inf, 2**64 - 1])
def test_a_single_key_may_be_any_plain_value(key: object) -> None:
    assert one({key: 1}) == "81" + one(key) + "01"


@pytest.mark.parametrize(
    "keys", [(1, "a"), ("a", b"a"), (None, 1), ("a", None), (math.nan, 1.0), (1.0, math.nan), (1, 2, "x"), ("x", 2, 3)]
)
def test_keys_that_cannot_be_sorted_are_refused(keys: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="keys cannot be sorted"):
        _core.pack_args((dict.fromkeys(keys),))


@pytest.mark.parametrize(
    "key",
    [(1,), UUID(int=1), Colour.RED, Level.LOW, Name.FIRST, datetime(2024, 1, 1, tzinfo=UTC), Path("a"), Decimal(1)],
)
def test_other_types_are_no_keys(key: object) -> None:
    for mapping in [{key: 1}, {key: 1, "a": 2}, {"a": 2, key: 1}]:
        with pytest.raises(TypeError, match="a dict with a key of type"):
            _core.pack_args((mapping,))


def test_the_order_of_keywords_does_not_count() -> None:
    assert packed(b=1, a=2) == packed(a=2, b=1) == "9082a16102a16201"
    assert packed(1, z=1, é=2, a=3) == packed(1, é=2, a=3, z=1)
    assert packed(1) != packed(x=1)
    assert packed({"x": 1}) != packed(x=1)


def test_the_keyword_that_bypasses_the_cache_is_not_part_of_a_key() -> None:
    assert packed(1, _bypass_cache=True) == packed(1)
    assert packed(1, _bypass_cache=True, a=1) == packed(1, a=1)
    assert packed(1, _bypass_cachf=True) != packed(1)


def test_subclasses_of_containers_are_containers() -> None:
    Point = namedtuple("Point", "x y")

    class Mine(list):  # type: ignore[type-arg]
        pass

    assert one(Point(1, 2)) == one([1, 2]) == one(Mine([1, 2]))
    assert one(OrderedDict(b=1, a=2)) == one({"a": 2, "b": 1})
    assert one(defaultdict(int, a=1)) == one({"a": 1})


def test_enum_members_that_are_containers_too_count_as_containers() -> None:
    class Pair(tuple, enum.Enum):  # type: ignore[type-arg, misc]
        ONE = (1, 2)

    assert one(Pair.ONE) == one([1, 2])


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
def test_nesting_is_limited(kind: str) -> None:
    inner = {"list": "91", "tuple": "91", "dict": "81a161"}[kind]
    assert one(nest(DEPTH, kind)) == inner * DEPTH + "01"
    for depth in (DEPTH + 1, 5000):
        with pytest.raises(RecursionError, match="argument 1"):
            _core.pack_args((nest(depth, kind),))
    assert one(1) == "01"


def test_what_contains_itself_is_refused() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    mapping: dict[str, object] = {}
    mapping["a"] = [mapping]

    class Holder(enum.Enum):
        MEMBER = [1]

    Holder.MEMBER.value.append(Holder.MEMBER)
    for value in [cycle, mapping, Holder.MEMBER]:
        with pytest.raises(RecursionError, match="argument 1 cannot be part of a cache key"):
            _core.pack_args((value,))
