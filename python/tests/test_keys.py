"""Arguments of calls as keys: the bytes that are hashed, the keys, and what cannot be part of one."""

from __future__ import annotations

import decimal
import enum
import gc
import hashlib
import math
import os
import struct
import sys
import threading
import tracemalloc
from collections import OrderedDict, defaultdict, namedtuple
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID

import pytest

from cachekit import _core

UTC = timezone.utc
DEPTH = 510
MILLION_DIGITS = 10**1000


def packed(*args: object, **kwargs: object) -> str:
    """The hashed bytes of a call, without the outer array."""
    data = _core.pack_args(args, kwargs)
    assert data[:1] == b"\x92"
    return data[1:].hex()


def one(value: object) -> str:
    """The bytes of a value as the only argument, as hexadecimal digits."""
    text = packed(value)
    assert text.startswith("91")
    assert text.endswith("80")
    return text[2:-2]


def text(value: str) -> str:
    """A short text as MessagePack."""
    data = value.encode()
    assert len(data) < 256
    head = bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])
    return (head + data).hex()


class Colour(enum.Enum):
    RED = 1
    SEA = "green-blue"
    PAIR = (1, 2)
    NOTHING = None


class Level(enum.IntEnum):
    LOW = 3


class Name(str, enum.Enum):
    FIRST = "first"


class Bits(enum.IntFlag):
    A = 1
    B = 4


class Ratio(float, enum.Enum):
    ZERO = 0.0
    HALF = 0.5


class Nested(enum.Enum):
    INNER = Colour.SEA


class FixedZone(tzinfo):
    """A zone of any offset, None included."""

    def __init__(self, offset: timedelta | None) -> None:
        self.offset = offset

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return self.offset

    def dst(self, dt: datetime | None) -> timedelta | None:
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        return None


# ---- vectors of the released package ------------------------------------------------------------------------

SHARED_KEYS = [
    (("test", "__main__.get_user", (42,), {}), "3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153"),
    (("test", "__main__.get_user", ("hello",), {}), "07ed6e7b87ff98f70efe4f4a8f082fa79415b9f670be68f3ada1f42244b5b6de"),
    (
        ("test", "__main__.process", (1, "two", 3.0), {}),
        "465e6bc8edd493c64748a0c405106db14d2bb481989bf1849481f1343982e179",
    ),
    (
        ("test", "__main__.get_user", (), {"user_id": 42, "include_profile": True}),
        "14570849f0d99524f4149319d37fa0c298278b8f1724c12d6cb7631efaf86f0e",
    ),
    (
        ("test", "__main__.get_user", ("alice",), {"age": 30}),
        "573b0961d0bf4e7207c6628a3f9e42c97a0cd01e276d8904ec5af6c877cd599e",
    ),
    ((None, "__main__.get_user", (1,), {}), "386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387"),
    (("test", "__main__.get_user", (), {}), "f9cf3864b6e929eb73f84cf6d69409e0bd7575f8cf6feafe3a543b0f7267b2b2"),
    (("test", "__main__.get_user", (None,), {}), "073b96f1817ee2b2a26b6cee56401999e4dc2d8836d596927d0aad3e338c2f0b"),
    (
        ("test", "__main__.process", (True, False), {}),
        "982385ac5333a35e2d5d68638aafe47ba31d36c1f3cd60d0ed57396e3c638334",
    ),
    (
        ("test", "__main__.get_user", ({"user": {"name": "alice", "ids": [1, 2, 3]}},), {}),
        "14a3433f54d70b4cc452c3a140f8c3a0979acb3dc2baf7238dc4e6675265f3a8",
    ),
]


@pytest.mark.parametrize(("call", "digest"), SHARED_KEYS)
def test_keys_are_those_of_the_released_package(
    call: tuple[str | None, str, tuple[object, ...], dict[str, object]], digest: str
) -> None:
    namespace, function, args, kwargs = call
    begin = "" if namespace is None else f"ns:{namespace}:"
    assert _core.cache_key(function, args, kwargs, namespace, True) == f"{begin}func:{function}:args:{digest}:1s"


ONE_HASH = "386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387"

HASHES = [
    ("int", (1,), {}, "92910180", ONE_HASH),
    ("bool", (True,), {}, "9291c380", "cdd804906f061aafdf1289d1569720abd6b350c130827075ba879484be622dc2"),
    (
        "float",
        (1.0,),
        {},
        "9291cb3ff000000000000080",
        "556cdfebd724e0c768fede27d94b085788417768737d81b6e7f420eb3cb2d377",
    ),
    (
        "negative zero",
        (-0.0,),
        {},
        "9291cb000000000000000080",
        "57e581573a3719cb3e2432629bfe26453b890caa20742235d938577f3db690b2",
    ),
    (
        "nan",
        (math.nan,),
        {},
        "9291cb7ff800000000000080",
        "a77ae183d4749ff1c4e56eb098d1d8f7088cc5e32177d619b35c690d0404d97c",
    ),
    (
        "infinity",
        (math.inf,),
        {},
        "9291cb7ff000000000000080",
        "1b5888c2924c05ee8145dc8b5a59b300690cfc9a8ce7d7b99f133edff12dac2d",
    ),
    (
        "largest int",
        (2**64 - 1,),
        {},
        "9291cfffffffffffffffff80",
        "d3dbd84c0cba45a40321caf560c1d09a3c39eaec1db9fe439c1495d4f82268cb",
    ),
    (
        "smallest int",
        (-(2**63),),
        {},
        "9291d3800000000000000080",
        "24591267e48fa62e3ae5e721707edcd7eb108d3ef4e6d132dceaddeba2dd618f",
    ),
    ("bytes", (b"\x00\xff",), {}, "9291c40200ff80", "b78fe76e759471f781995ca46c554c94eed00e9a78411c65c9306ed8a12f69e9"),
    ("tuple", ((1, 2),), {}, "929192010280", "352981e4f16454ea26cd3639194f779edd168e073b0c7de3656784862b09ec4b"),
    (
        "dict",
        ({"b": 1, "a": 2},),
        {},
        "929182a16102a1620180",
        "b1d780c40a2d4b98cbede5e2e3bfd105654c17c1bf156de72635e66ea57c5600",
    ),
    (
        "int keys",
        ({2: "b", 1: "a"},),
        {},
        "92918201a16102a16280",
        "24b9493ff4de71e1202cca22661ee1bab1a1d8613dcef1a16297a003862b0c6e",
    ),
    (
        "path",
        (Path("/data/cache/foo"),),
        {},
        "9291af2f646174612f63616368652f666f6f80",
        "ff361634807292d76f91adaa9ded7a02f3b9d6952dbfc457de18d5274e03c6e8",
    ),
    (
        "uuid",
        (UUID("12345678-1234-5678-1234-567812345678"),),
        {},
        "9291d92431323334353637382d313233342d353637382d313233342d35363738313233343536373880",
        "290bd5c785143df818b668a67c6c4ec966a225424242da28a17a27bda8a23e97",
    ),
    (
        "decimal",
        (Decimal("19.99"),),
        {},
        "9291a531392e393980",
        "305759685860f7b2503118629db587793eed3f5ad95d14f7a75625b8219669c8",
    ),
    (
        "decimal with exponent",
        (Decimal("1E+2"),),
        {},
        "9291a431452b3280",
        "5b63942abbc6c929f89a05ca7edf8dfcd292d17dac3b411425913585397fd6d2",
    ),
    ("enum member", (Colour.RED,), {}, "92910180", ONE_HASH),
    (
        "datetime",
        (datetime(2024, 1, 15, 12, tzinfo=UTC),),
        {},
        "9291b9323032342d30312d31355431323a30303a30302b30303a303080",
        "bbe77d06fe938caddec27bf4cc829ee08ef50272e0ec7ec5ab0afbde4cca9f58",
    ),
    (
        "datetime elsewhere",
        (datetime(2024, 1, 1, 18, 0, 45, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30))),),
        {},
        "9291d920323032342d30312d30315431383a30303a34352e3132333435362b30353a333080",
        "cee1ce5318f68545768acecbdf83503e7973bff0263e3103be3fc35dfedce7f3",
    ),
    ("keyword", (), {"x": 1}, "929081a17801", "7f46238fa8a40fb62f6af21461880bcbc9d128de9e41db4c3949d17874a17ca0"),
]


@pytest.mark.parametrize(
    ("args", "kwargs", "data", "digest"), [row[1:] for row in HASHES], ids=[row[0] for row in HASHES]
)
def test_every_type_is_hashed_as_the_released_package_does(
    args: tuple[object, ...], kwargs: dict[str, object], data: str, digest: str
) -> None:
    assert _core.pack_args(args, kwargs).hex() == data
    assert hashlib.blake2b(bytes.fromhex(data), digest_size=32).hexdigest() == digest
    assert _core.cache_key("__main__.f", args, kwargs, "test") == f"ns:test:func:__main__.f:args:{digest}:1s"


LONG_KEYS = [
    ("my app", "__main__.f", f"ns:my_app:func:__main__.f:args:{ONE_HASH}:1s"),
    ("", "__main__.f", f"func:__main__.f:args:{ONE_HASH}:1s"),
    ("test", "app.mod.outer.<locals>.inner", f"ns:test:func:app.mod.outer._locals_.inner:args:{ONE_HASH}:1s"),
    ("test", "app.mod.<lambda>", f"ns:test:func:app.mod._lambda_:args:{ONE_HASH}:1s"),
    ("test", "app.café..x", f"ns:test:func:app.caf_.x:args:{ONE_HASH}:1s"),
    ("a" * 300, "__main__.f", f"ns:{'a' * 47}:16b098d9ac61619fa0e95954981c2683"),
    (None, "m." + "g" * 300, f"func:m.{'g' * 43}:7ccd1dd23ec9f4dee4dae1d550e77e74"),
    ("n" * 165, "m.f", f"ns:{'n' * 165}:func:m.f:args:{ONE_HASH}:1s"),
    ("n" * 166, "m.f", f"ns:{'n' * 47}:f96e984a0dd0444a9d6ac0422ca6ba58"),
]


@pytest.mark.parametrize(("namespace", "function", "key"), LONG_KEYS)
def test_keys_are_cleaned_and_shortened(namespace: str | None, function: str, key: str) -> None:
    assert _core.cache_key(function, (1,), None, namespace) == key


def test_a_key_tells_whether_values_carry_a_checksum() -> None:
    assert _core.cache_key("__main__.f", (1,), integrity=False) == f"func:__main__.f:args:{ONE_HASH}:0s"
    assert _core.cache_key("__main__.f", (1,)) == f"func:__main__.f:args:{ONE_HASH}:1s"


def test_a_key_of_an_empty_function_is_refused() -> None:
    from cachekit.errors import CachekitError

    with pytest.raises(CachekitError):
        _core.cache_key("")


def test_custom_keys_are_taken_as_they_are() -> None:
    assert _core.custom_key(None, "user:42") == "default:user:42"
    assert _core.custom_key("", "user:42") == "default:user:42"
    assert _core.custom_key("users", "a b\n") == "users:a b\n"
    assert _core.custom_key("users", "é" * 400) == "users:" + "é" * 400
    with pytest.raises(TypeError):
        _core.custom_key("users", 42)  # type: ignore[arg-type]


@pytest.mark.parametrize("kwargs", [[], "x", {1: 2}])
def test_wrong_arguments_of_the_functions_themselves_are_type_errors(kwargs: object) -> None:
    with pytest.raises(TypeError):
        _core.pack_args((), kwargs)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.cache_key("m.f", [1])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.cache_key()  # type: ignore[call-arg]


# ---- plain values -------------------------------------------------------------------------------------------

INTEGERS = [
    (0, "00"),
    (127, "7f"),
    (128, "cc80"),
    (255, "ccff"),
    (256, "cd0100"),
    (65535, "cdffff"),
    (65536, "ce00010000"),
    (2**30 - 1, "ce3fffffff"),
    (2**30, "ce40000000"),
    (2**32 - 1, "ceffffffff"),
    (2**32, "cf0000000100000000"),
    (2**60, "cf1000000000000000"),
    (2**63 - 1, "cf7fffffffffffffff"),
    (2**63, "cf8000000000000000"),
    (2**64 - 1, "cfffffffffffffffff"),
    (-1, "ff"),
    (-32, "e0"),
    (-33, "d0df"),
    (-128, "d080"),
    (-129, "d1ff7f"),
    (-32768, "d18000"),
    (-32769, "d2ffff7fff"),
    (-(2**30), "d2c0000000"),
    (-(2**31), "d280000000"),
    (-(2**31) - 1, "d3ffffffff7fffffff"),
    (-(2**63), "d38000000000000000"),
]


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


def nest(depth: int, kind: str) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value] if kind == "list" else (value,) if kind == "tuple" else {"a": value}
    return value


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


# ---- types that count like a text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (Path("/data/cache/foo"), "/data/cache/foo"),
        (PurePosixPath("a//b/"), "a/b"),
        (PurePosixPath("./a"), "a"),
        (PurePosixPath(""), "."),
        (PurePosixPath("A/é"), "A/é"),
        (PureWindowsPath("C:\\Temp\\x"), "C:/Temp/x"),
        (PureWindowsPath("a\\b"), "a/b"),
    ],
)
def test_paths_have_forward_slashes(path: object, expected: str) -> None:
    assert one(path) == text(expected)


def test_uuids_are_lowercase_text() -> None:
    class Mine(UUID):
        pass

    value = "ABCDEF01-2345-6789-ABCD-EF0123456789"
    assert one(UUID(value)) == one(Mine(value)) == text(value.lower())
    assert one(UUID(int=0)) == text("00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(
    "value",
    ["19.99", "1E+2", "-0", "0.00", "1E-7", "123456789012345678901234567890", "NaN", "-NaN12", "sNaN", "-Infinity"],
)
def test_decimals_are_their_text_whatever_the_context(value: str) -> None:
    class Mine(Decimal):
        pass

    assert one(Decimal(value)) == one(Mine(value)) == text(value)
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 3
        assert one(Decimal(value)) == text(value)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        (Colour.RED, 1),
        (Colour.SEA, "green-blue"),
        (Colour.PAIR, [1, 2]),
        (Colour.NOTHING, None),
        (Level.LOW, 3),
        (Name.FIRST, "first"),
        (Bits.A | Bits.B, 5),
        (Ratio.ZERO, 0.0),
        (Nested.INNER, "green-blue"),
    ],
)
def test_enum_members_are_their_values(member: object, value: object) -> None:
    assert one(member) == one(value)
    assert one([member]) == one([value])
    assert packed(a=member) == packed(a=value)


def test_enum_members_that_are_floats_are_refused_unless_zero() -> None:
    with pytest.raises(TypeError, match="subclass of float"):
        _core.pack_args((Ratio.HALF,))


def test_what_an_enum_member_holds_must_be_fit_for_a_key() -> None:
    class Bad(enum.Enum):
        SET = frozenset({1})

    with pytest.raises(TypeError, match="sorted"):
        _core.pack_args((Bad.SET,))


class Moment(datetime):
    pass


DATETIMES = [
    datetime(2024, 1, 15, 12, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1, seconds=7))),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(0))),
    datetime(2024, 1, 1, 5, tzinfo=FixedZone(timedelta(hours=2))),
    Moment(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 10, 27, 2, 30, tzinfo=UTC, fold=1),
]


@pytest.mark.parametrize("moment", DATETIMES, ids=str)
def test_datetimes_are_their_iso_text(moment: datetime) -> None:
    assert one(moment) == text(moment.isoformat())


def test_one_moment_in_two_zones_is_two_arguments() -> None:
    moment = datetime(2024, 1, 15, 12, tzinfo=UTC)
    assert one(moment) != one(moment.astimezone(timezone(timedelta(hours=1))))


@pytest.mark.parametrize(
    "moment", [datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=FixedZone(None)), Moment(2024, 1, 1)]
)
def test_datetimes_without_a_zone_are_refused(moment: datetime) -> None:
    with pytest.raises(TypeError, match=r"replace\(tzinfo=timezone.utc\)"):
        _core.pack_args((moment,))


def test_types_that_look_alike_may_be_one_argument() -> None:
    assert one(UUID(int=7)) == one(str(UUID(int=7)))
    assert one(Decimal("1.5")) == one("1.5")
    assert one(Path("a/b")) == one("a/b")


# ---- refusals -----------------------------------------------------------------------------------------------


class Plain:
    def __repr__(self) -> str:
        raise AssertionError("a value is not looked at for an error message")

    __str__ = __repr__


class MyInt(int):
    pass


class MyStr(str):
    pass


class MyBytes(bytes):
    pass


class MyFloat(float):
    pass


REFUSED = [
    ({1}, r"'set'; .*sorted\(value\)"),
    (frozenset({1}), r"'frozenset'; .*sorted\(value\)"),
    (bytearray(b"a"), r"'bytearray'; pass bytes\(value\)"),
    (memoryview(b"a"), r"'memoryview'; pass bytes\(value\)"),
    (1j, "'complex'"),
    (range(3), "'range'"),
    (date(2024, 1, 1), r"'datetime.date'; pass value.isoformat\(\)"),
    (time(1), r"'datetime.time'; pass value.isoformat\(\)"),
    (timedelta(1), r"'datetime.timedelta'; pass value.total_seconds\(\)"),
    (object(), "'object'; keys hold None, .*key="),
    (Plain(), f"'{__name__}.Plain'; keys hold None, .*key="),
    (Plain, "'type'"),
    (len, "'builtin_function_or_method'"),
    ((i for i in ()), "'generator'"),
    (MyInt(1), r"MyInt', which is a subclass of int; pass int\(value\)"),
    (MyStr("a"), r"MyStr', which is a subclass of str; pass str\(value\)"),
    (MyBytes(b"a"), r"MyBytes', which is a subclass of bytes; pass bytes\(value\)"),
    (MyFloat(1.5), r"MyFloat', which is a subclass of float; pass float\(value\)"),
    (MyFloat("nan"), "subclass of float"),
    (NotImplemented, "NotImplementedType"),
    (..., "ellipsis"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[type(row[0]).__name__ for row in REFUSED])
def test_what_no_key_can_hold_is_refused_with_advice(value: object, message: str) -> None:
    for args, kwargs, place in [
        ((value,), {}, "argument 1"),
        ((1, [2, (value,)]), {}, "argument 2"),
        ((1, {"a": value}), {}, "argument 2"),
        ((1,), {"b": 1, "name": value}, "argument 'name'"),
    ]:
        with pytest.raises(TypeError, match=f"^{place} cannot be part of a cache key: an? .*{message}"):
            _core.pack_args(args, kwargs)
        with pytest.raises(TypeError, match=place):
            _core.cache_key("m.f", args, kwargs, None, True)


def test_a_zero_of_a_subclass_of_float_is_a_zero() -> None:
    assert one(MyFloat(0.0)) == one(MyFloat("-0.0")) == one(0.0)


def test_values_do_not_appear_in_messages() -> None:
    class Secret(str):
        pass

    with pytest.raises(TypeError) as caught:
        _core.pack_args((), {"password": [Secret("hunter2")]})
    assert "hunter2" not in str(caught.value)
    assert "'password'" in str(caught.value)


def test_an_object_that_says_it_is_another_is_not_believed() -> None:
    class Liar:
        __module__ = "numpy"

        @property
        def __class__(self) -> type:  # type: ignore[override]
            return dict

    with pytest.raises(TypeError):
        _core.pack_args((Liar(),))
    fake = type("numpy.ndarray", (), {})
    with pytest.raises(TypeError):
        _core.pack_args((fake(),))


# ---- Python code that runs in between -----------------------------------------------------------------------


def test_exceptions_of_called_code_come_out_unchanged() -> None:
    class Fault(BaseException):
        pass

    class BadZone(FixedZone):
        def utcoffset(self, dt: datetime | None) -> timedelta | None:
            raise Fault

    class BadPath(type(Path())):  # type: ignore[misc]
        def as_posix(self) -> str:
            raise Fault

    class BadUuid(UUID):
        def __str__(self) -> str:
            raise Fault

    class BadEnum(enum.Enum):
        A = 1

        @property
        def value(self) -> int:  # type: ignore[override]
            raise Fault

    for value in [datetime(2024, 1, 1, tzinfo=BadZone(None)), BadPath("a"), BadUuid(int=1), BadEnum.A]:
        with pytest.raises(Fault):
            _core.pack_args((value,))
        with pytest.raises(Fault):
            _core.pack_args((), {"a": [{"b": value}]})


def test_a_path_whose_text_is_no_text_is_refused() -> None:
    class BadPath(type(Path())):  # type: ignore[misc]
        def as_posix(self) -> str:
            return 42  # type: ignore[return-value]

    with pytest.raises(TypeError, match="text is a 'int'"):
        _core.pack_args((BadPath("a"),))


class Meddler(FixedZone):
    """Does something while a datetime of this zone is packed."""

    def __init__(self, action: object) -> None:
        super().__init__(timedelta(0))
        self.action = action

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        self.action()  # type: ignore[operator]
        gc.collect()
        return timedelta(0)


def test_a_list_that_changes_while_it_is_packed_is_refused() -> None:
    values: list[object] = []
    values += [datetime(2024, 1, 1, tzinfo=Meddler(values.clear)), ["a", "b"]]
    with pytest.raises(RuntimeError, match="changed"):
        _core.pack_args((values,))
    values += [datetime(2024, 1, 1, tzinfo=Meddler(lambda: values.append(1))), 1]
    with pytest.raises(RuntimeError, match="changed"):
        _core.pack_args((values,))


def test_a_dict_is_packed_as_it_was_when_its_turn_came() -> None:
    mapping: dict[str, object] = {}
    mapping.update(a=datetime(2024, 1, 1, tzinfo=Meddler(mapping.clear)), b=["x" * 10, {"y": 1.5}], c=2**70 % 97)
    before = {"a": "2024-01-01T00:00:00+00:00", "b": ["x" * 10, {"y": 1.5}], "c": 2**70 % 97}
    assert one(mapping) == one(before)
    assert mapping == {}


def test_a_container_that_loses_its_last_owner_while_it_is_packed_lives_on() -> None:
    outer: list[object] = []
    inner: list[object] = [datetime(2024, 1, 1, tzinfo=Meddler(outer.clear)), "text" * 20, [1.5, 2.5]]
    outer.append(inner)
    del inner
    with pytest.raises(RuntimeError, match="changed"):
        _core.pack_args((outer,))


def test_packing_may_be_entered_again_while_it_packs() -> None:
    seen: list[str] = []
    moment = datetime(2024, 1, 1, tzinfo=Meddler(lambda: seen.append(packed([1, {"b": 2}], c=3))))
    assert one([moment, 5]) == "92" + text("2024-01-01T00:00:00+00:00") + "05"
    assert set(seen) == {packed([1, {"b": 2}], c=3)}


def test_threads_may_pack_at_the_same_time() -> None:
    value = {"a": [1, 2.5, "x" * 300, datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1)))], "b": Decimal("1.5")}
    expected = one(value)
    wrong: list[str] = []

    def work() -> None:
        for _ in range(300):
            result = one(value)
            if result != expected:
                wrong.append(result)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_deep_calls_still_make_keys() -> None:
    def sink(depth: int) -> str:
        return one(nest(10, "list")) if depth == 0 else sink(depth - 1)

    assert sink(sys.getrecursionlimit() // 2) == "91" * 10 + "01"


# ---- room and memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(70, 140))
def test_arguments_may_end_anywhere_in_the_room(size: int) -> None:
    assert packed("x" * size, 1, 2.5, "abc", None, k="y" * 20) == "95" + text("x" * size) + "01" + one(2.5) + text(
        "abc"
    ) + "c0" + "81" + text("k") + text("y" * 20)
    assert packed(*[3] * size) == "dc" + format(size, "04x") + "03" * size + "80"
    assert one([1.5] * (size // 9)) == one((1.5,) * (size // 9))
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    assert one(["x" * size, moment, UUID(int=1)]).endswith(text(moment.isoformat()) + text(str(UUID(int=1))))
    assert one(["x" * size, {"a": True, "b": b"12"}]).endswith("82a161c3a162c4023132")


def test_large_arguments_are_packed() -> None:
    data = b"x" * 5_000_000
    assert _core.pack_args((data, [data])) == b"\x92\x92" + (b"\xc6" + len(data).to_bytes(4, "big") + data) + (
        b"\x91\xc6" + len(data).to_bytes(4, "big") + data + b"\x80"
    )


class Counted:
    """Packs of all kinds, the refused ones included, over objects of their own."""

    def __init__(self) -> None:
        self.good: list[tuple[tuple[object, ...], dict[str, object]]] = [
            ((1, 2**40, -(2**62), 2**64 - 1, "short text", "é" * 40, "x" * 300, 1.5, b"bytes", None, True), {}),
            (([1, [2, (3, {"a": {"b": "c"}})]],), {"z": {"k": [1]}, "a": "b"}),
            ((dict.fromkeys(range(40), "v"), {f"k{i}": i for i in range(40)}), {f"n{i}": [i] for i in range(20)}),
            ((UUID(int=5), Decimal("1.5"), Path("/a/b"), Colour.SEA, Nested.INNER), {}),
            ((DATETIMES[0], DATETIMES[4], DATETIMES[8]), {}),
        ]
        cycle: list[object] = []
        cycle.append(cycle)
        self.bad: list[object] = [{1}, Plain(), 2**70, "\ud800", {1: 1, "a": 2}, {(1,): 1}, cycle, MyStr("x"), 1j]
        self.bad += [datetime(2024, 1, 1), {"a": [Ratio.HALF]}, {f"k{i}": object() for i in range(20)}]

    def run(self) -> None:
        for args, kwargs in self.good:
            _core.pack_args(args, kwargs)
            _core.cache_key("m.f", args, kwargs, "n", True)
        for value in self.bad:
            for args, kwargs in [((1, value), {}), ((), {"a": 1, "b": value})]:
                try:
                    _core.pack_args(args, kwargs)
                except (TypeError, OverflowError, UnicodeEncodeError, RecursionError):
                    continue
                raise AssertionError(f"a {type(value)} was packed")
        _core.custom_key("n", "text")

    def objects(self) -> list[object]:
        found: list[object] = []
        waiting: list[object] = [self.good, self.bad]
        while waiting:
            item = waiting.pop()
            if any(item is known for known in found):
                continue
            found.append(item)
            if isinstance(item, dict):
                waiting += [*item.keys(), *item.values()]
            elif isinstance(item, (list, tuple, set)):
                waiting += item
        shared = (type(None), bool, int, str)
        return [item for item in found if not isinstance(item, shared) or item in (2**70, "\ud800", MyStr("x"))]


def test_reference_counts_stay_what_they_were() -> None:
    counted = Counted()
    counted.run()
    objects = counted.objects()
    gc.collect()
    before = [sys.getrefcount(item) for item in objects]
    for _ in range(50):
        counted.run()
    gc.collect()
    after = [sys.getrefcount(item) for item in objects]
    assert [(type(o), a - b) for o, a, b in zip(objects, after, before) if a != b] == []


@pytest.mark.skipif("address" in os.environ.get("CKIT_SANITIZE", ""), reason="tracemalloc itself loses some memory")
def test_no_memory_is_lost_over_many_packs() -> None:
    counted = Counted()
    sizes: list[int] = []
    tracemalloc.start()
    try:
        for _ in range(6):
            for _ in range(30):
                counted.run()
            gc.collect()
            sys._clear_type_cache()  # datetime fills it with names of its own
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # The interpreter's caches may grow now and then; what is lost is lost every time.
    assert min(after - before for before, after in zip(sizes, sizes[1:])) < 30 * 16


def test_the_arguments_of_many_packs_are_not_held() -> None:
    args = (1, "two", 3.0)
    kwargs = {"verbose": True}
    before = sys.getrefcount(args), sys.getrefcount(kwargs), [sys.getrefcount(item) for item in args]
    for _ in range(100_000):
        _core.pack_args(args, kwargs)
    assert before == (sys.getrefcount(args), sys.getrefcount(kwargs), [sys.getrefcount(item) for item in args])


def test_keys_survive_the_failure_of_any_allocation() -> None:
    testcapi = pytest.importorskip("_testcapi")
    expected = (TypeError, OverflowError, UnicodeEncodeError, RecursionError)
    counted = Counted()
    counted.run()

    def outcome(args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        try:
            return _core.pack_args(args, kwargs)
        except expected as error:
            return type(error)

    failures = 0
    for args, kwargs in counted.good + [((value,), {}) for value in counted.bad]:
        usual = outcome(args, kwargs)
        for n in range(60):
            testcapi.set_nomemory(n, n + 1)
            try:
                result = outcome(args, kwargs)
            except MemoryError:
                failures += 1
                continue
            finally:
                testcapi.remove_mem_hooks()
            assert result == usual
    assert failures > 50


# ---- numpy and pandas ---------------------------------------------------------------------------------------


class TestNumpy:
    @pytest.fixture(autouse=True)
    def numpy(self) -> None:
        self.np = pytest.importorskip("numpy")

    def expected(self, code: str, data: bytes, count: int) -> str:
        digest = hashlib.blake2b(data, digest_size=32).hexdigest()
        return "94" + text("__array_v1__") + "91" + one(count) + text(code) + text(digest)

    def test_arrays_are_hashed_as_the_released_package_does(self) -> None:
        np = self.np
        rows = [
            (np.array([1.0, 2.0, 3.0]), "5e81683849af966dc1b2f1b81c7b44b973143a5628b15b3b7f3d8820220a0e6e"),
            (
                np.array([1.0, 2.0, 3.0], dtype=">f8"),
                "5e81683849af966dc1b2f1b81c7b44b973143a5628b15b3b7f3d8820220a0e6e",
            ),
            (np.array([1, 2, 3], dtype=np.int32), "79d1c30e1bb3e86dda3ae5751bf8aff7e3f883d868ac7adfef2a8428790bd9e8"),
            (np.array([], dtype=np.float32), "5acc10f64106110efd3275ee8fb6740d4380e431c89fb87419e7d71bc9d1b5ba"),
        ]
        for array, digest in rows:
            assert _core.cache_key("__main__.f", (array,), None, "test").endswith(f":{digest}:1s")

    def test_element_types_and_byte_orders(self) -> None:
        np = self.np
        for code, names in [
            ("i32", ["int32", "<i4", ">i4", "=i4", "intc"]),
            ("i64", ["int64", "<i8", ">i8", "int_", "longlong"]),
            ("f32", ["float32", "<f4", ">f4"]),
            ("f64", ["float64", "<f8", ">f8", "double"]),
        ]:
            for name in names:
                array = np.array([1, -2, 3], dtype=name)
                if array.dtype.itemsize != int(code[1:]) // 8:
                    continue  # "int_" has 32 bits on some systems
                little = array.astype(array.dtype.newbyteorder("<")).tobytes()
                assert one(array) == self.expected(code, little, 3), name

    def test_arrays_that_are_not_contiguous(self) -> None:
        np = self.np
        base = np.arange(20, dtype=np.int64)
        table = np.arange(20, dtype=np.float64).reshape(4, 5)
        for array in [base[::2], base[::-1], base[3:7], base[5:5], table[:, 2], table[1]]:
            assert one(array) == one(array.copy())
        assert one(base.astype(">i8")[::-3]) == one(base[::-3].copy())

    def test_floats_inside_stay_as_they_are_and_arrays_may_be_read_only(self) -> None:
        np = self.np
        array = np.array([-0.0, math.nan])
        array.setflags(write=False)
        assert one(array) == self.expected("f64", struct.pack("<dd", -0.0, math.nan), 2)
        assert one([array, {"a": array}]) == "92" + one(array) + "81a161" + one(array)

    def test_limits(self) -> None:
        np = self.np
        largest = np.zeros(100_000 // 8)
        assert one(largest) == self.expected("f64", bytes(100_000), 12_500)
        with pytest.raises(TypeError, match="more than 100000 bytes"):
            _core.pack_args((np.zeros(12_501),))
        assert len(_core.pack_args((largest,) * 25, {f"k{i}": largest for i in range(25)})) > 50
        with pytest.raises(TypeError, match="'z' .*more than 5000000 bytes"):
            _core.pack_args((largest,) * 25, {"z": np.zeros(1, dtype=np.int32), "a": [largest] * 25})

    def test_refusals(self) -> None:
        np = self.np
        for array in [np.zeros((2, 2)), np.array(1.0), np.zeros((0, 3))]:
            with pytest.raises(TypeError, match="dimensions where one is wanted"):
                _core.pack_args((array,))
        for name in [
            "int8",
            "int16",
            "uint8",
            "uint32",
            "uint64",
            "float16",
            "bool",
            "complex64",
            "U3",
            "S3",
            "O",
            "M8[s]",
        ]:
            with pytest.raises(TypeError, match="another element type"):
                _core.pack_args((np.zeros(2, dtype=name),))
        with pytest.raises(TypeError, match="another element type"):
            _core.pack_args((np.zeros(2, dtype=[("a", "i4")]),))

    def test_subclasses_and_scalars(self) -> None:
        np = self.np
        with pytest.raises(TypeError, match="asarray"):
            _core.pack_args((np.ma.array([1.0]),))
        with pytest.raises(TypeError, match="numpy"):
            _core.pack_args((np.zeros(3).view(type("Mine", (np.ndarray,), {"__module__": "numpy.mine"})),))
        with pytest.raises(TypeError, match=r"subclass of float; pass float\(value\)"):
            _core.pack_args((np.float64(1.5),))
        with pytest.raises(TypeError, match=r"value.item\(\)"):
            _core.pack_args((np.int64(1),))
        assert one(np.float64(0.0)) == one(0.0)

    def test_reference_counts(self) -> None:
        np = self.np
        arrays = [
            np.zeros(3),
            np.zeros(9)[::3],
            np.zeros(3, dtype=">i4"),
            np.zeros(5000),
            np.zeros((2, 2)),
            np.zeros(2, "U1"),
        ]
        before = [sys.getrefcount(array) for array in arrays]
        for _ in range(1000):
            for array in arrays:
                try:
                    _core.pack_args((array,))
                except TypeError:
                    continue
        del array
        assert [sys.getrefcount(array) for array in arrays] == before
        arrays[0].resize(10, refcheck=False)  # no view is left open


def test_numpy_is_not_imported_for_keys() -> None:
    import subprocess

    code = (
        "import sys; from cachekit import _core; _core.pack_args((1, [2]), {'a': 1}); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pandas_objects_are_refused_and_timestamps_are_datetimes() -> None:
    pd = pytest.importorskip("pandas")
    for value in [pd.DataFrame({"a": [1]}), pd.Series([1]), pd.Index([1])]:
        with pytest.raises(TypeError, match="does not make a stable key; .*key="):
            _core.pack_args((value,))
    moment = pd.Timestamp(2024, 1, 1, 12, tz="UTC")
    assert one(moment) == text(moment.isoformat())
    with pytest.raises(TypeError, match="time zone"):
        _core.pack_args((pd.Timestamp(2024, 1, 1),))
