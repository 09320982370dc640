"""Serializer "auto" with NumPy arrays."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from cachekit.errors import SerializationError
from cachekit.serializers import AutoSerializer, SerializationMetadata, dump_stored, load_stored

np: Any = pytest.importorskip("numpy", reason="needs the extra numpy")

RAW = "4e554d50595f5241570500696e7433320800020000000200000001000000020000000300000004000000"
NUMPY = SerializationMetadata("msgpack", original_type="numpy")


def again(value: Any, **options: Any) -> Any:
    serializer = AutoSerializer(**options)
    return load_stored(dump_stored(value, serializer, "auto"), serializer, "auto")


def same(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def test_the_bytes_are_those_of_the_released_package() -> None:
    array = np.array([[1, 2], [3, 4]], dtype=np.int32)
    assert AutoSerializer().serialize(array) == (bytes.fromhex("54c550c14ed5c5ae" + RAW), NUMPY)
    assert AutoSerializer(integrity_checking=False).serialize(array) == (bytes.fromhex(RAW), NUMPY)
    for text in (RAW, "54c550c14ed5c5ae" + RAW):
        assert same(AutoSerializer().deserialize(memoryview(bytes.fromhex(text)), NUMPY), array)


def test_a_nested_array_is_that_of_the_released_package() -> None:
    payload, _metadata = AutoSerializer(integrity_checking=False).serialize({"x": np.array([1.0, 2.0])})
    assert payload.hex() == (
        "81a17884ab5f5f6e6461727261795f5fc3a464617461c410000000000000f03f0000000000000040a573686170659102a56474797065a766"
        "6c6f61743634"
    )


ARRAYS: list[Any] = [
    np.arange(12).reshape(3, 4),
    np.arange(12).reshape(3, 4).T,
    np.arange(10)[::2],
    np.array(3.5),
    np.zeros((0, 3)),
    np.zeros((2, 0, 4), dtype=np.float32),
    np.array([1, 2], dtype=">i4"),
    np.array([True, False]),
    np.array(["a", "bcd"]),
    np.array([b"a", b"bcd"]),
    np.array(["2024-01-01", "NaT"], dtype="datetime64[ns]"),
    np.array([1, 2], dtype="timedelta64[s]"),
    np.array([1 + 2j]),
    np.array([1.5], dtype=np.float16),
    np.array([np.nan, np.inf, -0.0]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("integrity", [True, False])
def test_arrays_come_back(array: Any, integrity: bool) -> None:
    assert same(again(array, integrity_checking=integrity), array)
    nested = again({"deep": [(array,)]}, integrity_checking=integrity)
    assert same(nested["deep"][0][0], array)


def test_what_comes_back_may_be_changed() -> None:
    for array in (again(np.zeros(3)), again([np.zeros(3)])[0]):
        array[0] = 1
        assert array[0] == 1


def test_scalars_become_pythons() -> None:
    value = again([np.int64(5), np.float32(1.5), np.float64(2.5), np.bool_(True), np.uint8(7)])
    assert value == [5, 1.5, 2.5, True, 7]
    assert [type(item) for item in value] == [int, float, float, bool, int]


def test_arrays_whose_bytes_are_not_their_values_are_refused() -> None:
    for array in (
        np.array([object()]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.ma.masked_array([1, 2], mask=[True, False]),
        np.rec.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]),
    ):
        for value in (array, [array]):
            with pytest.raises(TypeError, match="cannot be stored"):
                AutoSerializer().serialize(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4e554d50595f524157",
        RAW[:-2],
        RAW + "00",
        RAW.replace("0800", "0700", 1),
        RAW.replace("696e743332", "6f626a6563"),
        RAW.replace("696e743332", "ffffffffff"),
        RAW.replace("696e743332", "6f626a656374")[:-2],
        RAW.replace("02000000", "ffffffff", 1),
        "54c550c14ed5c5af" + RAW,
    ],
)
def test_damaged_arrays_are_refused(text: str) -> None:
    with pytest.raises(SerializationError):
        AutoSerializer().deserialize(bytes.fromhex(text), NUMPY)


def test_every_cut_of_an_array_is_refused() -> None:
    payload, metadata = AutoSerializer().serialize(np.arange(4))
    for end in range(len(payload)):
        with pytest.raises(SerializationError):
            AutoSerializer().deserialize(payload[:end], metadata)


def test_reading_an_array_without_numpy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"cachekit-c\[numpy\]"):
        AutoSerializer().deserialize(bytes.fromhex(RAW), NUMPY)


def test_the_standard_serializer_says_what_to_do() -> None:
    from cachekit._core import encode

    for value, advice in ((np.arange(3), 'serializer="auto".*tolist'), (np.int64(1), r"value\.item\(\)")):
        with pytest.raises(TypeError, match=advice):
            encode([value])
    assert encode(np.float64(1.5)) == encode(1.5)
