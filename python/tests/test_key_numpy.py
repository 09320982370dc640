"""Arguments of calls as keys: values of numpy and pandas."""

from __future__ import annotations

import hashlib
import math
import struct
import sys

import pytest

from cachekit import _core
from packing import one, text


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
