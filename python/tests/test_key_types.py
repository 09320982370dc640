"""Arguments of calls as keys: types that count like a text, and what cannot be part of a key."""

from __future__ import annotations

import decimal
import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID

import pytest

from cachekit import _core
from packing import DATETIMES, UTC, Bits, Colour, FixedZone, Level, Moment, MyStr, Name, Nested, Plain, Ratio, one, packed, text

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


class MyInt(int):
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
    (Plain(), f"'packing.Plain'; keys hold None, .*key="),
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
