"""What tests of keys share: arguments as the bytes that are hashed, and values to make keys of."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta, timezone, tzinfo

from cachekit import _core

UTC = timezone.utc
DEPTH = 510
MILLION_DIGITS = 10**1000

INTEGERS: list[tuple[int, str]] = [
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
"""Every head of the shortest form of an integer in MessagePack, with its limits."""


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


def nest(depth: int, kind: str) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value] if kind == "list" else (value,) if kind == "tuple" else {"a": value}
    return value


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


class Plain:
    def __repr__(self) -> str:
        raise AssertionError("a value is not looked at for an error message")

    __str__ = __repr__


class MyStr(str):
    pass
