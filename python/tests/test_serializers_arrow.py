"""Serializer "arrow": tables."""

from __future__ import annotations

from typing import Any

import pytest
from cachekit._core import checksum
from cachekit.errors import ConfigurationError, SerializationError
from cachekit.serializers import ArrowSerializer, StandardSerializer, dump_stored, get_serializer, load_stored

pa: Any = pytest.importorskip("pyarrow", reason="needs the extra arrow")
pytest.importorskip("pyarrow.ipc")

TABLE = pa.table({"id": [1, 2, 3], "name": ["a", None, "ü"], "x": [1.5, 2.5, None]})
HEAD = (
    b'CK\x03\0\0\0\x77{"s": "arrow", "m": {"format": "arrow", "encoding": "utf-8", "compressed": true, '
    b'"original_type": "arrow"}, "v": "2.0"}'
)


def arrow(**options: Any) -> ArrowSerializer:
    return ArrowSerializer(return_format="arrow", **options)


def test_a_stored_table_has_the_header_and_the_layout_of_the_released_package() -> None:
    stored = dump_stored(TABLE, get_serializer("arrow"), "arrow")
    assert stored.startswith(HEAD)
    payload = stored[len(HEAD) :]
    assert payload[8:16] == b"ARROW1\0\0"
    assert payload.endswith(b"ARROW1")
    assert payload[:8] == checksum(payload[8:])


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_tables_come_back_with_every_compression(compression: str) -> None:
    serializer = arrow(compression=compression)
    payload, metadata = serializer.serialize(TABLE)
    assert metadata.compressed == (compression != "none")
    assert serializer.deserialize(payload, metadata) == TABLE
    assert arrow().deserialize(memoryview(payload)) == TABLE


def test_integrity_checking_has_no_effect() -> None:
    assert arrow(integrity_checking=False).serialize(TABLE) == arrow().serialize(TABLE)


def test_the_compression_comes_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ArrowSerializer().compression == "zstd"
    monkeypatch.setenv("CACHEKIT_ARROW_COMPRESSION", "LZ4")
    assert ArrowSerializer().compression == "lz4"
    assert ArrowSerializer(compression="none").compression == "none"
    monkeypatch.setenv("CACHEKIT_ARROW_COMPRESSION", "gzip")
    with pytest.raises(ConfigurationError, match="CACHEKIT_ARROW_COMPRESSION is one of 'zstd', 'lz4', 'none'"):
        ArrowSerializer()


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="return_format"):
        ArrowSerializer(return_format="numpy")
    with pytest.raises(ConfigurationError, match="compression"):
        ArrowSerializer(compression="brotli")


def test_old_entries_without_a_checksum_are_read() -> None:
    payload, metadata = arrow().serialize(TABLE)
    assert arrow().deserialize(payload[8:], metadata) == TABLE


def test_batches_hold_at_most_eight_mebibytes() -> None:
    rows = 3_000_000
    table = pa.table({"n": pa.array(range(rows), pa.int64())})
    payload, _metadata = arrow(compression="none").serialize(table)
    reader = pa.ipc.open_file(pa.py_buffer(payload[8:]))
    sizes = [reader.get_batch(at).nbytes for at in range(reader.num_record_batches)]
    assert len(sizes) > 1
    assert max(sizes) <= 8 * 1024 * 1024
    assert arrow().deserialize(payload).num_rows == rows


def test_a_row_larger_than_a_batch_has_its_own() -> None:
    table = pa.table({"b": [b"x" * 9_000_000, b"y", b"z" * 9_000_000]})
    payload, _metadata = arrow().serialize(table)
    assert pa.ipc.open_file(pa.py_buffer(payload[8:])).num_record_batches == 3
    assert arrow().deserialize(payload) == table


def test_an_empty_table_has_no_batch() -> None:
    table = TABLE.slice(0, 0)
    payload, _metadata = arrow().serialize(table)
    assert pa.ipc.open_file(pa.py_buffer(payload[8:])).num_record_batches == 0
    assert arrow().deserialize(payload) == table


def test_record_batches_dicts_and_streams_are_tables_too() -> None:
    class Stream:
        def __arrow_c_stream__(self, requested: Any = None) -> Any:
            return TABLE.__arrow_c_stream__(requested)

    for value in (TABLE.to_batches()[0], Stream(), TABLE.to_pydict()):
        assert arrow().deserialize(arrow().serialize(value)[0]) == TABLE


@pytest.mark.parametrize(
    "value", [1, None, [1], "text", {"a": 1}, {"a": [1], "b": [1, 2]}, {"a": [object()]}, object()], ids=repr
)
def test_what_is_no_table_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="table"):
        ArrowSerializer().serialize(value)


def test_a_reader_that_would_be_used_up_is_refused() -> None:
    with pytest.raises(TypeError, match="read_all"):
        ArrowSerializer().serialize(TABLE.to_reader())


def test_damaged_tables_are_refused() -> None:
    payload, metadata = arrow().serialize(TABLE)
    for changed in (
        b"",
        payload[:7],
        payload[:20],
        payload[:-1],
        b"\0" + payload[1:],
        payload[8:40],
        payload[:50] + b"?" + payload[51:],
    ):
        with pytest.raises(SerializationError):
            arrow().deserialize(changed, metadata)


def test_the_switch_from_another_serializer_is_explained() -> None:
    stored = dump_stored([1], StandardSerializer(), "default")
    with pytest.raises(SerializationError, match="'default' and is read by 'arrow'.*namespace"):
        load_stored(stored, get_serializer("arrow"), "arrow")


def test_reading_without_compression_copies_no_column() -> None:
    payload, metadata = arrow(compression="none").serialize(pa.table({"n": pa.array(range(100_000), pa.int64())}))
    before = pa.total_allocated_bytes()
    table = arrow().deserialize(payload, metadata)
    assert pa.total_allocated_bytes() - before < 100_000
    assert table["n"][99_999].as_py() == 99_999


# ---- pandas and polars ------------------------------------------------------------------------------------------


def test_pandas_frames_come_back() -> None:
    pd: Any = pytest.importorskip("pandas", reason="needs the extra pandas")
    when = pd.date_range("2024-01-01", periods=3, tz="UTC")
    for frame in (
        pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"], "when": when}),
        pd.DataFrame({"a": [1.5]}, index=pd.Index(["i"], name="label")),
        pd.DataFrame({"c": pd.Categorical(["a", "b", "a"])}),
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, "x")], names=["p", "q"])),
        pd.DataFrame({"a": []}),
    ):
        serializer = get_serializer("arrow")
        found = load_stored(dump_stored(frame, serializer, "arrow"), serializer, "arrow")
        pd.testing.assert_frame_equal(found, frame)


def test_pandas_objects_that_are_no_table_are_refused() -> None:
    pd: Any = pytest.importorskip("pandas", reason="needs the extra pandas")
    with pytest.raises(TypeError, match="to_frame"):
        ArrowSerializer().serialize(pd.Series([1]))
    with pytest.raises(TypeError, match="cannot be stored as an Arrow table"):
        ArrowSerializer().serialize(pd.DataFrame({"a": [object()]}))


def test_polars_frames_come_back() -> None:
    pl: Any = pytest.importorskip("polars", reason="needs the extra polars")
    frame = pl.DataFrame({"a": [1, 2, None], "b": ["x", "ü", None], "c": [[1], [], [2, 3]]})
    for compression in ("zstd", "lz4", "none"):
        serializer = ArrowSerializer(return_format="polars", compression=compression)
        stored = dump_stored(frame, serializer, "ArrowSerializer")
        assert load_stored(stored, serializer, "ArrowSerializer").equals(frame)
    with pytest.raises(TypeError, match="collect"):
        ArrowSerializer().serialize(frame.lazy())


def test_one_writes_pandas_and_another_reads_polars() -> None:
    pd: Any = pytest.importorskip("pandas", reason="needs the extra pandas")
    pytest.importorskip("polars", reason="needs the extra polars")
    stored = dump_stored(pd.DataFrame({"a": [1, 2]}), get_serializer("arrow"), "arrow")
    assert load_stored(stored, ArrowSerializer(return_format="polars"), "ArrowSerializer")["a"].to_list() == [1, 2]
