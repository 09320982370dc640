"""Python objects as documents of the standard serializer, and back."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import gc
import math
import struct
import sys
import uuid
import weakref
from typing import Any, NamedTuple

import pytest
from cachekit._core import decode, encode
from packing import INTEGERS

UTC = dt.timezone.utc
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
ODD = dt.timezone(-dt.timedelta(hours=1, minutes=2, seconds=3))
ODDEST = dt.timezone(dt.timedelta(hours=1, microseconds=1))

# ---- bytes ------------------------------------------------------------------------------------------------------

# Every head of the shortest form, with its limits.
BYTES: list[tuple[Any, str]] = [
    (None, "c0"),
    (False, "c2"),
    (True, "c3"),
    *INTEGERS,
    (0.0, "cb0000000000000000"),
    (-0.0, "cb8000000000000000"),
    (1.5, "cb3ff8000000000000"),
    (math.inf, "cb7ff0000000000000"),
    ("", "a0"),
    ("é", "a2c3a9"),
    ("\0", "a100"),
    ("a" * 31, "bf" + "61" * 31),
    ("a" * 32, "d920" + "61" * 32),
    ("a" * 256, "da0100" + "61" * 256),
    ("a" * 65536, "db00010000" + "61" * 65536),
    (b"", "c400"),
    (b"\x00\xff", "c40200ff"),
    (b"b" * 256, "c50100" + "62" * 256),
    (b"b" * 65536, "c600010000" + "62" * 65536),
    ([], "90"),
    ([1] * 15, "9f" + "01" * 15),
    ([1] * 16, "dc0010" + "01" * 16),
    ([None] * 65536, "dd00010000" + "c0" * 65536),
    ({}, "80"),
    ({"user_id": 123, "name": "Alice"}, "82a7757365725f69647ba46e616d65a5416c696365"),
    ({"b": 1, "a": [True, None]}, "82a16201a16192c3c0"),
    (
        dt.datetime(2025, 11, 14, 10, 30),
        "82ac5f5f6461746574696d655f5fc3a576616c7565b3323032352d31312d31345431303a33303a3030",
    ),
    (dt.date(2024, 2, 29), "82a85f5f646174655f5fc3a576616c7565aa323032342d30322d3239"),
    (dt.time(1, 2, 3), "82a85f5f74696d655f5fc3a576616c7565a830313a30323a3033"),
]


@pytest.mark.parametrize(("value", "text"), BYTES, ids=[text[:20] for _, text in BYTES])
def test_the_bytes_are_those_of_the_released_package(value: Any, text: str) -> None:
    assert encode(value).hex() == text
    again = decode(bytes.fromhex(text))
    assert again == value
    assert type(again) is type(value)


def test_nan_comes_back_and_negative_zero_keeps_its_sign() -> None:
    assert math.isnan(decode(encode(math.nan)))
    assert math.copysign(1, decode(encode(-0.0))) == -1


def test_maps_keep_the_order_of_insertion() -> None:
    assert list(decode(encode({"z": 1, "a": 2, "m": 3}))) == ["z", "a", "m"]
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert list(decode(encode(ordered))) == ["b", "a"]


# ---- what types become ------------------------------------------------------------------------------------------


class Color(enum.IntEnum):
    RED = 3


class Word(str, enum.Enum):
    YES = "yes"


class Plain(enum.Enum):
    A = 1


class Point(NamedTuple):
    x: int
    y: int


class Text(str):
    pass


class Number(float):
    pass


class Items(list):  # type: ignore[type-arg]
    pass


BECOMES: list[tuple[Any, Any]] = [
    ((1, (2, 3)), [1, [2, 3]]),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"abcd")[::2], b"ac"),
    (memoryview(struct.pack("2i", 1, 2)).cast("i"), struct.pack("2i", 1, 2)),
    (Color.RED, 3),
    (Word.YES, "yes"),
    (Point(1, 2), [1, 2]),
    (Text("ä"), "ä"),
    (Number(1.5), 1.5),
    (Items([1]), [1]),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(list, a=[1]), {"a": [1]}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    ({Color.RED: Word.YES}, {3: "yes"}),
]


@pytest.mark.parametrize(("value", "expected"), BECOMES, ids=[type(value).__name__ for value, _ in BECOMES])
def test_subclasses_and_tuples_become_plain_types(value: Any, expected: Any) -> None:
    again = decode(encode(value))
    assert again == expected
    assert type(again) is type(expected)


@pytest.mark.parametrize(
    "key",
    [1, -5, 2**64 - 1, 1.5, True, None, "k", "", "x" * 100, "ключ", b"k", (1, 2), ((1, "a"), ()), dt.date(2024, 1, 1)],
    ids=repr,
)
def test_keys_of_every_type_come_back(key: Any) -> None:
    again = decode(encode({key: {"inner": [key]}}))
    assert list(again) == [key]
    assert type(next(iter(again))) is type(key)


def test_lists_inside_a_key_become_tuples_and_outside_stay_lists() -> None:
    assert decode(encode({(1, (2,)): [(1, 2)]})) == {(1, (2,)): [[1, 2]]}


# ---- dates and times --------------------------------------------------------------------------------------------

TEMPORAL: list[Any] = [
    dt.datetime(1, 1, 1),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
    dt.datetime(2024, 1, 15, 12, 30, 45, 120, UTC),
    dt.datetime(2024, 1, 15, 12, tzinfo=INDIA),
    dt.datetime(2024, 1, 15, 12, tzinfo=ODD),
    dt.datetime(2024, 1, 15, 12, tzinfo=ODDEST),
    dt.datetime(2024, 10, 27, 2, 30, fold=1),
    dt.date(1, 1, 1),
    dt.date(9999, 12, 31),
    dt.time(0),
    dt.time(23, 59, 59, 999999),
    dt.time(1, 2, tzinfo=UTC),
    dt.time(1, 2, tzinfo=INDIA),
    dt.time(1, 2, tzinfo=ODDEST),
]


@pytest.mark.parametrize("value", TEMPORAL, ids=str)
def test_dates_and_times_are_written_as_python_writes_them_and_come_back(value: Any) -> None:
    document = encode(value)
    assert document.endswith(value.isoformat().encode())
    again = decode(document)
    assert again == value
    assert type(again) is type(value)
    assert again.isoformat() == value.isoformat()
    assert decode(encode([value, {"at": value}])) == [value, {"at": value}]


class Moment(dt.datetime):
    pass


class Lossy(dt.datetime):
    def isoformat(self, *args: Any, **keywords: Any) -> str:
        return "2024-01-01T00:00:00"


class Nonsense(dt.datetime):
    def isoformat(self, *args: Any, **keywords: Any) -> str:
        return "NaT"


def test_a_subclass_of_datetime_is_stored_only_if_nothing_is_lost() -> None:
    again = decode(encode(Moment(2024, 1, 1, tzinfo=UTC)))
    assert type(again) is dt.datetime
    assert again == dt.datetime(2024, 1, 1, tzinfo=UTC)
    for kind in (Lossy, Nonsense):
        with pytest.raises(TypeError, match="isoformat"):
            encode(kind(2023, 5, 5))


class Zone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("no offset today")


def test_an_exception_of_a_zone_comes_through() -> None:
    with pytest.raises(RuntimeError, match="no offset today"):
        encode(dt.datetime(2024, 1, 1, tzinfo=Zone()))


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ({"__datetime__": 1, "value": "2024-01-02T03:04:05"}, dt.datetime(2024, 1, 2, 3, 4, 5)),
        ({"value": "2024-01-02T03:04:05Z", "x": 1, "__datetime__": True}, dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({"__time__": "yes", "__date__": [1], "value": "2024-01-02"}, dt.date(2024, 1, 2)),
        ({"__date__": 0, "value": "2024-01-02"}, {"__date__": 0, "value": "2024-01-02"}),
        ({"__date__": None, "__time__": "", "a": 1}, {"__date__": None, "__time__": "", "a": 1}),
    ],
)
def test_a_map_is_a_date_when_its_marker_is_truthy(marked: dict[str, Any], expected: Any) -> None:
    assert decode(raw(marked)) == expected


@pytest.mark.parametrize(
    "marked", [{"__date__": True}, {"__date__": True, "value": None}, {"__time__": True, "value": "x"}]
)
def test_a_marked_map_that_is_no_date_is_an_error(marked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is not ISO 8601 text, at offset \d+"):
        decode(raw(marked))


def test_a_map_that_would_come_back_as_a_date_is_refused() -> None:
    for value in ({"__datetime__": True}, {"a": [{"__date__": 1, "value": "2024-01-01"}]}):
        with pytest.raises(TypeError, match="Rename the key"):
            encode(value)
    unmarked = {"__datetime__": False, "__tuple__": True, "__init__": 1}
    assert decode(encode(unmarked)) == unmarked


def raw(value: Any) -> bytes:
    """A document without regard to markers."""
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(raw(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(raw, value))
    return encode(value)


# ---- refusals ---------------------------------------------------------------------------------------------------


class Custom:
    pass


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {}


REFUSED: list[tuple[Any, str]] = [
    ({1}, 'serializer="auto"'),
    (frozenset(), 'serializer="auto"'),
    (uuid.UUID(int=1), r'uuid\.UUID.*serializer="auto"'),
    (decimal.Decimal(1), r"str\(value\)"),
    (1j, "value.real"),
    (Plain.A, "value.value"),
    (dt.timedelta(1), "total_seconds"),
    (range(3), r"list\(value\)"),
    (iter([]), r"list\(value\)"),
    ((x for x in ()), r"list\(value\)"),
    (Model(), "model_dump"),
    (Custom(), "a dict of what it holds"),
    (Custom, "its name"),
    (len, "a function"),
    (ValueError(), "raise it"),
    (2**64, r"2\*\*64-1.*str\(value\)"),
    (-(2**63) - 1, r"-2\*\*63"),
    (10**400, "integer"),
    ("\ud800", "lone surrogate"),
    ({"\udfff": 1}, "lone surrogate"),
    ({uuid.UUID(int=1): 1}, "UUID"),
]


@pytest.mark.parametrize(("value", "advice"), REFUSED, ids=[type(value).__name__ for value, _ in REFUSED])
def test_what_no_document_holds_is_refused_with_advice(value: Any, advice: str) -> None:
    for wrapped in (value, [value], {"a": (value,)}):
        with pytest.raises(TypeError, match=advice):
            encode(wrapped)


def test_no_value_stands_in_a_refusal() -> None:
    for value in (decimal.Decimal("12345.678"), {"secret-word"}, 7**77, "secret-word\ud800"):
        with pytest.raises(TypeError) as failure:
            encode({"k": value})
        assert "12345" not in str(failure.value)
        assert "secret-word" not in str(failure.value)
        assert str(7**77) not in str(failure.value)


# ---- nesting ----------------------------------------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_512_levels_are_stored_and_read_and_more_are_refused() -> None:
    deep = nested(512)
    assert decode(encode(deep)) == deep
    with pytest.raises(RecursionError, match="512"):
        encode(nested(513))
    with pytest.raises(ValueError, match="deeper than the limit"):
        decode(b"\x91" * 512 + b"\x90")


def test_a_value_that_contains_itself_is_refused() -> None:
    items: list[Any] = []
    items.append([items, items])
    members: dict[str, Any] = {}
    members["me"] = (members,)
    for value in (items, members):
        with pytest.raises(RecursionError, match="contains itself"):
            encode(value)


# ---- objects that change or misbehave while they are stored -----------------------------------------------------


def test_a_container_that_changes_while_it_is_stored_is_refused() -> None:
    class Changing(dt.tzinfo):
        def __init__(self, change: Any) -> None:
            self.change = change

        def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
            self.change()
            return dt.timedelta(0)

    items: list[Any] = []
    items += [dt.datetime(2024, 1, 1, tzinfo=Changing(items.clear)), "x" * 50]
    members: dict[Any, Any] = {}
    members["at"] = dt.datetime(2024, 1, 1, tzinfo=Changing(lambda: members.update({n: n for n in range(100)})))
    fewer: dict[Any, Any] = {n: n for n in range(10)}
    fewer[0] = dt.datetime(2024, 1, 1, tzinfo=Changing(fewer.clear))
    for value in (items, members, fewer):
        with pytest.raises(RuntimeError, match="changed while it was stored"):
            encode(value)


def test_a_dict_subclass_with_strange_items_is_refused() -> None:
    class Strange(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            return [1, 2]

    with pytest.raises(TypeError, match="no pair"):
        encode(Strange(a=1))


def test_a_small_object_that_is_large_when_written_ends_with_an_error() -> None:
    value: Any = "x" * 1000
    for _ in range(12):
        value = [value] * 10
    with pytest.raises(Exception, match="larger than its limit") as failure:
        encode(value)
    assert failure.value.code == "E105"  # type: ignore[attr-defined]


# ---- damaged documents ------------------------------------------------------------------------------------------

DAMAGED: list[tuple[str, str]] = [
    ("", "ends where a value should be"),
    ("c1", "no value begins with this byte"),
    ("d4 00 00", "extension type"),
    ("c7 00 00", "extension type"),
    ("cc", "ends inside a value"),
    ("cb 00", "ends inside a value"),
    ("a2 61", "beyond the end"),
    ("d9", "ends inside a value"),
    ("db ff ff ff ff", "beyond the end"),
    ("c6 ff ff ff ff", "beyond the end"),
    ("91", "beyond what the input can hold"),
    ("dd ff ff ff ff 01", "beyond what the input can hold"),
    ("df ff ff ff ff 01", "beyond what the input can hold"),
    ("92 91 01", "beyond|ends"),
    ("81 a1 61", "beyond|ends"),
    ("81 81 01 01 01", "a map as the key of a map"),
    ("81 d9", "beyond what the input can hold"),
    ("81 d9 05 61", "beyond the end"),
    ("a2 c3 28", "not UTF-8"),
    ("a3 ed a0 80", "not UTF-8"),
    ("81 a2 c3 28 01", "not UTF-8"),
    ("01 01", "bytes behind the value"),
    ("80 80", "bytes behind the value"),
]


@pytest.mark.parametrize(("text", "why"), DAMAGED)
def test_damaged_documents_are_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"not a document: .*({why}).*, at offset \d+ of \d+"):
        decode(bytes.fromhex(text))


def test_every_cut_and_every_changed_byte_is_read_or_refused() -> None:
    document = encode({"a": [1, 2.5, "text", b"bytes"], "b": {"c": None, 7: (1, 2)}, "d": dt.date(2024, 1, 1)})
    for at in range(len(document)):
        with pytest.raises(ValueError):
            decode(document[:at])
        for byte in range(256):
            changed = document[:at] + bytes([byte]) + document[at + 1 :]
            try:
                decode(changed)
            except ValueError:
                pass


def test_lists_cannot_together_be_longer_than_the_document() -> None:
    """Each level claims all that is left; only the first can have it."""
    levels = b"".join(b"\xdd" + (100000 - 5 * level).to_bytes(4, "big") for level in range(1, 500))
    with pytest.raises(ValueError, match="beyond what the input can hold"):
        decode(levels + b"\0" * 100000)


def test_wider_encodings_than_necessary_are_read() -> None:
    for text in ("cf0000000000000005", "d30000000000000005", "ce00000005", "cd0005", "cc05"):
        assert decode(bytes.fromhex(text)) == 5
    assert decode(bytes.fromhex("ca3fc00000")) == 1.5
    assert decode(bytes.fromhex("db00000001" + "61")) == "a"
    assert decode(bytes.fromhex("df00000001" + "d90161" + "dd00000001" + "01")) == {"a": [1]}


def test_of_equal_keys_the_last_counts() -> None:
    assert decode(bytes.fromhex("82a16101a16102")) == {"a": 2}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_documents_are_read_from_bytes_like_objects(kind: Any) -> None:
    assert decode(kind(encode([1, "a"]))) == [1, "a"]


def test_arguments_are_checked() -> None:
    for call in (encode, decode):
        with pytest.raises(TypeError):
            call()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            call(b"\x01", None, None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        decode("text")  # type: ignore[arg-type]


# ---- references -------------------------------------------------------------------------------------------------


def test_no_reference_is_lost_or_kept() -> None:
    text, key, when = "some text of its own", "a key of its own", dt.datetime(2024, 1, 1, 1, 2, 3, 4, INDIA)
    value = {key: [text, when, 1.5, (text,)], (key, 2): Word.YES}
    document = encode(value)
    counted = (text, key, when, value, Word.YES, document, None, True)
    before = [sys.getrefcount(item) for item in counted]
    for _ in range(200):
        assert decode(encode(value))[key][0] == text
        for bad in ([value, {1}], [value, "\ud800"], [value, 2**70]):
            with pytest.raises(TypeError):
                encode(bad)
        del bad
        with pytest.raises(ValueError):
            decode(document[:-1])
    after = [sys.getrefcount(item) for item in counted]
    assert [new - old for old, new in zip(before[:6], after[:6])] == [0] * 6


def test_what_was_read_is_freed() -> None:
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        decode(encode({"a": [{"b": [1]} for _ in range(50)]}))
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_a_refused_object_is_not_kept() -> None:
    custom = Custom()
    gone = weakref.ref(custom)
    with pytest.raises(TypeError):
        encode([custom])
    del custom
    gc.collect()
    assert gone() is None


def test_names_are_shared_and_do_not_pile_up() -> None:
    first, second = decode(encode([{"member_name": 1}, {"member_name": 2}]))
    assert next(iter(first)) is next(iter(second))
    gc.collect()
    before = sys.getallocatedblocks()
    for start in range(0, 40000, 1000):
        decode(encode({f"name {n}": n for n in range(start, start + 1000)}))
    assert sys.getallocatedblocks() - before < 3000


def test_whichever_allocation_fails_is_a_memory_error() -> None:
    testcapi: Any = pytest.importorskip("_testcapi", reason="needs CPython's test modules")
    zone = dt.timezone(dt.timedelta(hours=1))
    value = {"a": ["é", (2**40,), dt.datetime(2024, 1, 1, tzinfo=zone)], (1, "k"): {dt.date(2024, 1, 1): None}}
    sets = [{1, (2,)}, (uuid.UUID(int=1),), frozenset({3})]
    document, marked = encode(value), encode(sets, repr)

    def work() -> None:
        assert decode(encode(value)) == decode(document)
        assert decode(encode(sets, repr), repr) == sets == decode(marked, repr)

    work()
    for failing in range(1, 200):
        testcapi.set_nomemory(failing, failing + 1)
        try:
            work()
        except MemoryError:
            pass
        finally:
            testcapi.remove_mem_hooks()
