"""Serializer "auto" with pandas frames and series."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import pytest
from cachekit.errors import SerializationError
from cachekit.serializers import AutoSerializer, dump_stored, load_stored
from cachekit.serializers.base import SerializationMetadata

pd: Any = pytest.importorskip("pandas", reason="needs the extra pandas")
np: Any = pytest.importorskip("numpy", reason="needs the extra numpy")


def again(value: Any, **options: Any) -> Any:
    serializer = AutoSerializer(**options)
    return load_stored(dump_stored(value, serializer, "auto"), serializer, "auto")


@pytest.fixture
def no_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)


FRAMES: list[Any] = [
    pd.DataFrame({"a": [1, 2, 3], "b": [1.5, float("nan"), 3.0], "c": ["x", "y", "z"]}),
    pd.DataFrame({"a": np.array([1, 2], dtype=np.uint8), "flag": [True, False]}),
    pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    pd.DataFrame({1: [1.0], 2: [2.0]}),
    pd.DataFrame({"a": []}),
    pd.DataFrame({"a": [1, 2, 3]}, index=[5, 6, 9]),
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_frames_come_back_through_arrow(frame: Any) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra arrow")
    payload, metadata = AutoSerializer().serialize(frame)
    assert (metadata.format, metadata.original_type) == ("arrow", "arrow")
    assert payload[8:14] == b"ARROW1"
    pd.testing.assert_frame_equal(again(frame), frame, check_column_type=False)


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
@pytest.mark.parametrize("integrity", [True, False])
def test_frames_come_back_without_arrow(frame: Any, integrity: bool, no_arrow: None) -> None:
    _payload, metadata = AutoSerializer(integrity_checking=integrity).serialize(frame)
    assert metadata == SerializationMetadata("msgpack", compressed=integrity, original_type="dataframe")
    pd.testing.assert_frame_equal(
        again(frame, integrity_checking=integrity), frame, check_dtype=len(frame) > 0, check_index_type=False
    )


def test_the_layout_without_arrow_is_that_of_the_released_package(no_arrow: None) -> None:
    from cachekit._core import decode, envelope_open

    payload, _metadata = AutoSerializer().serialize(pd.DataFrame({"n": [1], "s": [None]}, index=["i"]))
    document, format = envelope_open(payload)
    assert format == "dataframe"
    assert decode(document) == {
        "columns": ["n", "s"],
        "index": ["i"],
        "data": {
            "n": {"type": "numeric", "data": b"\1\0\0\0\0\0\0\0", "dtype": "int64"},
            "s": {"type": "object", "data": [None]},
        },
    }
    payload, _metadata = AutoSerializer().serialize(pd.Series([1.5], name="q"))
    document, format = envelope_open(payload)
    assert format == "series"
    assert decode(document) == {
        "name": "q",
        "index": None,
        "type": "numeric",
        "data": bytes.fromhex("000000000000f83f"),
        "dtype": "float64",
    }


@pytest.mark.parametrize("integrity", [True, False])
def test_series_come_back(integrity: bool) -> None:
    for series in (
        pd.Series([1, 2, 3]),
        pd.Series([1.5, float("nan")], name="q"),
        pd.Series(["a", "b"], index=["x", "y"]),
        pd.Series([True, False]),
        pd.Series([dt.date(2024, 1, 1)]),
    ):
        found = again(series, integrity_checking=integrity)
        pd.testing.assert_series_equal(found, series, check_index_type=False)


def test_frames_that_have_no_simple_form_are_refused(no_arrow: None) -> None:
    several = pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)]))
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    for frame in (several, twice):
        with pytest.raises(TypeError, match="cannot be stored"):
            AutoSerializer().serialize(frame)


@pytest.mark.parametrize("kind", ["dataframe", "series"])
@pytest.mark.parametrize("value", [1, [], {}, {"columns": ["a"], "index": None, "data": {"a": {"type": "numeric"}}}])
def test_damaged_frames_are_refused(kind: str, value: Any) -> None:
    from cachekit._core import encode

    metadata = SerializationMetadata("msgpack", original_type=kind)
    with pytest.raises(SerializationError):
        AutoSerializer(integrity_checking=False).deserialize(encode(value), metadata)


def test_timestamps_are_stored_only_if_nothing_is_lost() -> None:
    exact = pd.Timestamp("2024-01-01T00:00:00.123456", tz="UTC")
    assert again([exact]) == [exact.to_pydatetime()]
    for lost in (pd.Timestamp(1), pd.NaT):
        with pytest.raises(TypeError, match="store"):
            AutoSerializer().serialize([lost])


def test_the_standard_serializer_says_what_to_do() -> None:
    from cachekit._core import encode

    for value, advice in (
        (pd.DataFrame({"a": [1]}), 'serializer="arrow"'),
        (pd.Series([1]), "to_frame"),
        (pd.Timestamp(1), "to_pydatetime"),
        (pd.NaT, "store None"),
    ):
        with pytest.raises(TypeError, match=advice):
            encode({"a": value})


@pytest.mark.parametrize(
    ("value", "plain"), [(pd.Series([1]), "tolist()"), (pd.DataFrame({"a": [1]}), 'to_dict("list")')]
)
def test_frames_and_series_inside_others_are_refused_without_advising_this_serializer(value: Any, plain: str) -> None:
    with pytest.raises(TypeError, match="inside another value") as refused:
        AutoSerializer().serialize({"part": value})
    assert plain in str(refused.value) and "serializer=" not in str(refused.value)
