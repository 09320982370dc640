"""Serializers under the decorator: what stores keep, who reads it, and what happens to what cannot be read."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

import shelves
from cachekit import _core, cache
from cachekit.backends import BackendError, FileBackend, FileBackendConfig
from cachekit.serializers import PickleSerializer, SerializationMetadata, StandardSerializer

NONE = "memory"


class Shelf(shelves.Shelf):
    """And what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: list[str] = []

    def delete(self, key: str) -> bool:
        self.deleted.append(key)
        return super().delete(key)

    @property
    def only(self) -> bytes:
        (value,) = self.entries.values()
        return value


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(params=["files", "python", NONE])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> dict[str, Any]:
    """The keyword that chooses a store, or none."""
    if request.param == "files":
        return {"backend": FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))}
    return {"backend": Shelf()} if request.param == "python" else {}


class Body:
    """What a test's function does."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.runs = 0

    def __call__(self) -> Any:
        self.runs += 1
        return self.value


_names = iter(range(10**9))


def decorated(value: Any, *, name: str | None = None, module: str = "tests", **options: Any) -> tuple[Any, Body]:
    body = Body(value)

    def function(*args: Any) -> Any:
        return body()

    function.__module__ = module
    function.__qualname__ = function.__name__ = name or f"function_{next(_names)}"
    return cache(**options)(function), body


def same(one: Any, other: Any) -> bool:
    return bool(one.equals(other)) if hasattr(one, "equals") else bool((one == other) if not hasattr(one, "shape")
                                                                       else (one == other).all())


def frame() -> Any:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    return pandas.DataFrame({"id": [1, 2, 3], "name": ["Alice", "Bob", "Eve"], "at": [0.5, 1.5, 2.5]})


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x


class Reversing:
    """A serializer of one's own, of texts."""

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        if not isinstance(obj, str):
            raise TypeError("only texts are reversed")
        return obj[::-1].encode(), SerializationMetadata("msgpack", original_type="reversed")

    def deserialize(self, data: bytes, metadata: SerializationMetadata) -> Any:
        assert type(data) is bytes and metadata.original_type == "reversed"
        return data.decode()[::-1]


def serializers() -> list[Any]:
    pickle = PickleSerializer(signing_key=b"k" * 32)
    return [
        pytest.param("default", lambda: {"a": [1, None, 2.5]}, id="default"),
        pytest.param("std", lambda: datetime(2025, 11, 14, 10, 30), id="std"),
        pytest.param("auto", lambda: {"t": (1, {2}), "u": uuid.UUID(int=5)}, id="auto"),
        pytest.param("pythonic", lambda: frozenset({7}), id="pythonic"),
        pytest.param("auto", lambda: pytest.importorskip("numpy").arange(12).reshape(3, 4), id="auto of an array"),
        pytest.param("auto", frame, id="auto of a frame"),
        pytest.param("orjson", lambda: {"b": [True, None], "a": 1}, id="orjson"),
        pytest.param("orjson", lambda: 5, id="orjson of one byte"),
        pytest.param("arrow", frame, id="arrow"),
        pytest.param(StandardSerializer(), lambda: ["x"], id="an object of ours"),
        pytest.param(pickle, lambda: Point(5), id="pickle"),
        pytest.param(Reversing(), lambda: "text", id="an object"),
    ]


def needs(serializer: Any) -> None:
    if serializer in ("orjson", "arrow"):
        pytest.importorskip({"orjson": "orjson", "arrow": "pyarrow"}[serializer])


@pytest.mark.parametrize("integrity", [True, False])
@pytest.mark.parametrize(("serializer", "value"), serializers())
def test_every_serializer_over_every_store(serializer: Any, value: Any, integrity: bool, store: dict[str, Any]) -> None:
    needs(serializer)
    expected = value()
    options = {"serializer": serializer, "integrity_checking": integrity, "ttl": 60, **store}
    name = f"function_{next(_names)}"
    function, body = decorated(expected, name=name, **options)
    answers = [function(1), function(1), function(1)]
    assert answers[0] is expected and body.runs == 1
    assert all(same(answer, expected) and type(answer) is type(expected) for answer in answers)
    assert answers[1] is not answers[2] or isinstance(expected, (int, datetime))
    if store:
        # Another program: memory knows nothing.
        again, other = decorated(None, name=name, l1_enabled=False, **options)
        assert same(again(1), expected) and same(again(1), expected) and other.runs == 0
        assert again.cache_info().l2_hits == 2
        again.invalidate_cache(1)
        again(1)
        assert other.runs == 1


# ---- what the released package writes and reads -------------------------------------------------------------------

KEY = "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s"
KEY_WITHOUT_INTEGRITY = KEY[:-2] + "0s"


def header(serializer: str, format: str, compressed: bool, original: str) -> bytes:
    text = (
        f'{{"s": "{serializer}", "m": {{"format": "{format}", "encoding": "utf-8", "compressed": '
        f'{str(compressed).lower()}, "original_type": "{original}"}}, "v": "2.0"}}'
    ).encode()
    return b"CK\x03" + len(text).to_bytes(4, "big") + text


def numpy_value() -> Any:
    numpy = pytest.importorskip("numpy")
    return numpy.array([[1, 2], [3, 4]], dtype=numpy.int32)


USER = {"user_id": 123, "name": "Alice"}
PAIR = (1, uuid.UUID("12345678-1234-5678-1234-567812345678"))
JSON = {"b": [True, None], "a": 1}
NUMPY = "4e554d50595f5241570500696e7433320800020000000200000001000000020000000300000004000000"
EXCHANGED = [
    ("default", True, lambda: USER, ("msgpack", True, "msgpack"),
     "94c417f00682a7757365725f69647ba46e616d65a5416c696365982d51ccda48cc812c1dccd415a76d73677061636b"),
    ("default", False, lambda: USER, ("msgpack", False, "msgpack"), "82a7757365725f69647ba46e616d65a5416c696365"),
    ("std", True, lambda: None, ("msgpack", True, "msgpack"), "94c40210c09805264b395bccaf644c01a76d73677061636b"),
    ("auto", True, lambda: PAIR, ("msgpack", True, "msgpack"),
     "94c43bf50d82a95f5f7475706c655f5fc3a576616c7565920182a85f5f757569641300b0d92431323334353637382d09001a2d0a0080313233"
     "34353637389875cc8c5c37070a1cccc44ba76d73677061636b"),
    ("pythonic", True, lambda: frozenset({7}), ("msgpack", True, "msgpack"),
     "94c41cf00b83a75f5f7365745f5fc3a576616c75659107a666726f7a656ec398ccf0ccbeccaf46ccc645ccf6cc831aa76d73677061636b"),
    ("auto", True, numpy_value, ("msgpack", False, "numpy"), "54c550c14ed5c5ae" + NUMPY),
    ("auto", False, numpy_value, ("msgpack", False, "numpy"), NUMPY),
    ("orjson", True, lambda: JSON, ("orjson", False, "orjson"),
     "351633935cf22cd57b2261223a312c2262223a5b747275652c6e756c6c5d7d"),
    ("orjson", False, lambda: JSON, ("orjson", False, "orjson"), "7b2261223a312c2262223a5b747275652c6e756c6c5d7d"),
]
STORED_NAME = {"std": "default", "pythonic": "auto"}


@pytest.mark.parametrize(("serializer", "integrity", "value", "fields", "payload"), EXCHANGED)
def test_entries_are_exchanged_with_the_released_package(
    shelf: Shelf, serializer: str, integrity: bool, value: Any, fields: Any, payload: str
) -> None:
    needs(serializer)
    stored = header(STORED_NAME.get(serializer, serializer), *fields) + bytes.fromhex(payload)
    key = KEY if integrity else KEY_WITHOUT_INTEGRITY
    options = {"serializer": serializer, "integrity_checking": integrity, "namespace": "test", "backend": shelf}
    writer, _ = decorated(value(), name="get_user", module="__main__", **options)
    writer(42)
    ((written, found),) = shelf.entries.items()
    assert written == key
    front = stored[: -len(payload) // 2]
    assert found[: len(front)] == front
    if fields[1]:  # compressed: any block that expands to the same bytes is as good
        assert _core.envelope_open(found[len(front) :]) == _core.envelope_open(bytes.fromhex(payload))
    else:
        assert found == stored
    other = Shelf()
    other.entries[key] = stored
    reader, body = decorated(None, name="get_user", module="__main__", **{**options, "backend": other})
    assert same(reader(42), value()) and body.runs == 0 if value() is not None else reader(42) is None


def test_the_text_form_of_old_versions_is_read(shelf: Shelf) -> None:
    shelf.entries[KEY] = (
        b'{"data": "lMQX8AaCp3VzZXJfaWR7pG5hbWWlQWxpY2WYLVHM2kjMgSwdzNQVp21zZ3BhY2s=", "metadata": {"format": "msgpack", '
        b'"encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, "serializer": "default", "version": "2.0"}'
    )
    for serializer in ("default", StandardSerializer()):
        reader, body = decorated(
            None, name="get_user", module="__main__", namespace="test", backend=shelf, serializer=serializer
        )
        assert reader(42) == USER and body.runs == 0


def test_the_serializer_is_no_part_of_the_key_and_an_object_is_stored_under_its_class(shelf: Shelf) -> None:
    function, _ = decorated("text", name="get_user", module="__main__", namespace="test", backend=shelf,
                            serializer=Reversing())
    function(42)
    assert list(shelf.entries) == [KEY]
    assert shelf.only == header("Reversing", "msgpack", False, "reversed") + b"txet"


# ---- what cannot be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["default", "auto", "orjson", "arrow"])
@pytest.mark.parametrize("after", ["default", "auto", "orjson", "arrow"])
def test_after_a_change_of_the_serializer_the_function_runs_once_and_its_value_replaces_the_old(
    before: str, after: str, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    needs(before), needs(after)
    if before == after:
        pytest.skip("no change")
    backend = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))
    values = {"arrow": frame} if "arrow" in (before, after) else {}
    old = values.get(before, lambda: {"before": 1})()
    new = values.get(after, lambda: {"after": 1})()
    name = f"function_{next(_names)}"
    decorated(old, name=name, backend=backend, serializer=before)[0](1)
    gc.collect()  # the cache of the first ends: memory forgets
    function, body = decorated(new, name=name, backend=backend, serializer=after, l1_enabled=False)
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert [same(function(1), new) for _ in range(3)] == [True] * 3
    assert body.runs == 1 and function.cache_info().l2_hits >= 2
    assert function.cache.stats()["l2_corrupt"] == 1
    if after != "default":  # there the library tells it
        (told,) = [record.getMessage() for record in caplog.records]
        assert "mismatch" in told and "namespace=" in told and name in told


def test_functions_of_one_name_with_two_serializers_in_one_process_take_turns(shelf: Shelf) -> None:
    one, first = decorated([1], name="turns", backend=shelf, serializer="default")
    two, second = decorated((1,), name="turns", backend=shelf, serializer="auto")
    for _ in range(3):
        assert one(1) == [1] and two(1) == (1,)
    assert first.runs <= 3 and second.runs <= 3


def damaged(stored: bytes) -> bytes:
    return stored[:-9] + bytes([stored[-9] ^ 1]) + stored[-8:]


@pytest.mark.parametrize("l1", [True, False])
@pytest.mark.parametrize("serializer", ["default", "auto", "orjson", "arrow"])
def test_a_damaged_entry_is_deleted_told_once_and_computed_anew(
    shelf: Shelf, serializer: str, l1: bool, caplog: pytest.LogCaptureFixture
) -> None:
    needs(serializer)
    value = frame() if serializer == "arrow" else {"numbers": list(range(20))}
    function, body = decorated(value, backend=shelf, serializer=serializer, l1_enabled=l1)
    function(1)
    ((key, stored),) = shelf.entries.items()
    function.cache.delete(key) if l1 else None
    shelf.deleted.clear()
    shelf.entries[key] = damaged(stored)
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert same(function(1), value)
    assert body.runs == 2 and shelf.deleted == [key] and shelf.entries[key] == stored
    assert same(function(1), value) and body.runs == 2
    deadline = time.monotonic() + 20
    while not caplog.records and time.monotonic() < deadline:  # the library's own lines come a little later
        time.sleep(0.005)
    assert len(caplog.records) == 1
    assert function.cache.stats()["l2_corrupt"] == 1


def test_an_entry_that_is_no_frame_stays_until_the_new_value_replaces_it(shelf: Shelf) -> None:
    function, body = decorated({1, 2}, backend=shelf, serializer="auto", l1_enabled=False)
    function(1)
    ((key, stored),) = shelf.entries.items()
    shelf.entries[key] = b"CK\x09what a later version may write"
    assert function(1) == {1, 2}
    assert shelf.deleted == [] and shelf.entries[key] == stored and body.runs == 2


def test_what_another_program_writes_damaged_every_time_never_hangs_a_call(shelf: Shelf) -> None:
    function, body = decorated({1, 2}, backend=shelf, serializer="auto", l1_enabled=False)
    shelf.get = lambda key: header("auto", "msgpack", True, "msgpack") + b"damaged"  # type: ignore[method-assign]
    for runs in (1, 2):
        assert function(1) == {1, 2} and body.runs == runs


class Loading(Reversing):
    """Reads only when it is allowed to."""

    error: BaseException | None = None

    def deserialize(self, data: bytes, metadata: SerializationMetadata) -> Any:
        if self.error is not None:
            raise self.error
        return super().deserialize(data, metadata)


@pytest.mark.parametrize("error", [ImportError("pandas is not installed"), MemoryError(), RecursionError()])
def test_an_entry_that_only_this_process_cannot_read_stays(
    shelf: Shelf, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    serializer = Loading()
    function, body = decorated("text", backend=shelf, serializer=serializer, l1_enabled=False)
    function(1)
    serializer.error = error
    entries = dict(shelf.entries)
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert function(1) == "text"
    assert body.runs == 2 and shelf.deleted == [] and shelf.entries == entries
    assert "runs uncached" in caplog.text
    serializer.error = None
    assert function(1) == "text" and body.runs == 2


@pytest.mark.parametrize("l1", [True, False])
def test_an_interruption_while_a_value_is_read_is_the_callers(shelf: Shelf, l1: bool) -> None:
    serializer = Loading()
    function, body = decorated("text", backend=shelf, serializer=serializer, l1_enabled=l1)
    function(1)
    serializer.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        function(1)
    serializer.error = None
    assert function(1) == "text" and body.runs == 1


@pytest.mark.parametrize("l1", [True, False])
def test_many_threads_that_meet_one_damaged_entry_compute_it_once(shelf: Shelf, l1: bool) -> None:
    function, body = decorated({1, 2}, backend=shelf, serializer="auto", l1_enabled=l1)
    function(1)
    ((key, stored),) = shelf.entries.items()
    function.cache.delete(key)
    shelf.entries[key] = damaged(stored)
    start = threading.Barrier(8)
    answers: list[Any] = []

    def call() -> None:
        start.wait()
        answers.append(function(1))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{1, 2}] * 8 and shelf.entries[key] == stored
    assert body.runs <= 3  # a caller may have read the damaged one before it went, and come back after it was replaced


def test_a_document_that_python_cannot_hold_is_computed_anew(shelf: Shelf) -> None:
    # A map whose key is a map: sound for the library, but no dict has such a key.
    stored = header("default", "msgpack", False, "msgpack") + bytes.fromhex("818101028103")
    function, body = decorated({"a": 1}, backend=shelf, integrity_checking=False)
    function(1)
    (key,) = shelf.entries
    function.cache.delete(key)
    shelf.entries[key] = stored
    assert [function(1), function(1)] == [{"a": 1}] * 2
    assert body.runs == 2


# ---- what cannot be stored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serializer", "value", "advice"),
    [
        ("default", lambda: {1, 2}, "auto"),
        ("default", lambda: frame(), "arrow"),
        ("auto", lambda: Decimal("1.5"), "str(value)"),
        ("orjson", lambda: {1, 2}, "auto"),
        ("arrow", lambda: [1, 2], "auto"),
        (PickleSerializer(signing_key=b"k" * 32), lambda: lambda: 1, "pickle"),
        (Reversing(), lambda: 5, "reversed"),
    ],
)
def test_a_value_that_the_serializer_does_not_take_is_returned_with_advice(
    serializer: Any, value: Any, advice: str, store: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    needs(serializer)
    result = value()
    function, body = decorated(result, serializer=serializer, **store)
    with caplog.at_level(logging.WARNING, "cachekit"):
        caplog.clear()
        assert function(1) is result
    (line,) = [text for text in caplog.messages if "runs uncached" in text]
    assert advice in line
    assert function(1) is result and body.runs == 2
    assert function.counters()["uncached"] == 2


@pytest.mark.parametrize("given", [b"bytes", ("text", SerializationMetadata("msgpack")), (b"x", None), None])
def test_a_serializer_that_breaks_its_protocol_costs_nothing_but_the_caching(given: Any, shelf: Shelf) -> None:
    class Wrong(Reversing):
        def serialize(self, obj: Any) -> Any:
            return given

    function, body = decorated("text", serializer=Wrong(), backend=shelf)
    assert [function(1), function(1)] == ["text", "text"]
    assert body.runs == 2 and shelf.entries == {}


def test_an_interruption_while_a_value_is_written_is_the_callers_and_nobody_waits_for_it(shelf: Shelf) -> None:
    class Interrupted(Reversing):
        times = 1

        def serialize(self, obj: Any) -> Any:
            if self.times:
                self.times -= 1
                raise KeyboardInterrupt
            return super().serialize(obj)

    function, body = decorated("text", serializer=Interrupted(), backend=shelf)
    with pytest.raises(KeyboardInterrupt):
        function(1)
    assert [function(1), function(1)] == ["text", "text"] and body.runs == 2


@pytest.mark.parametrize("serializer", ["default", "auto", "orjson"])
def test_defect_38_a_value_that_is_too_large_is_returned_and_is_no_failure_of_the_store(
    serializer: str, store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(serializer)
    monkeypatch.setenv("CACHEKIT_MAX_VALUE_SIZE", "1000")
    value = [uuid.uuid4().hex for _ in range(200)]
    small = ["small"]
    function, body = decorated(value, serializer=serializer, l1=_l1(7), **store)
    before = function.cache.stats()
    assert function(1) == value and function(1) == value
    assert body.runs == 2
    after = function.cache.stats()
    assert (after["too_large"] - before["too_large"], after["l2_errors"] - before["l2_errors"]) == (2, 0)
    body.value = small
    assert function(1) == small and function(1) == small and body.runs == 3


def _l1(megabytes: int) -> Any:
    """Limits of its own: functions that agree in them share a cache, and this one belongs to a changed environment."""
    from cachekit.config import L1CacheConfig

    return L1CacheConfig(max_size_mb=megabytes)


# ---- without copies -------------------------------------------------------------------------------------------------


class Views:
    """Hands out what it is given."""

    accepts_buffers = True

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        return obj, SerializationMetadata("msgpack", original_type="view")

    def deserialize(self, data: Any, metadata: SerializationMetadata) -> Any:
        return data


@pytest.mark.parametrize("size", [0, 1, 100, 200, 5000, 1_000_000])
def test_views_of_a_stored_value_outlive_entry_function_and_cache(size: int, store: dict[str, Any]) -> None:
    value = bytes(index * 7 % 256 for index in range(size))
    function, body = decorated(value, serializer=Views(), **store)
    function(1)
    views = [function(1) for _ in range(3)]
    assert all(isinstance(view, memoryview) and view.readonly and view == value for view in views)
    body.value = b"other" * 100
    function.invalidate_cache(1)
    function(1)
    assert function(1) == body.value
    del function
    gc.collect()
    assert all(view == value for view in views)
    part = views[0][size // 2 :]
    views.clear()
    gc.collect()
    assert part == value[size // 2 :]


def test_a_hit_in_memory_copies_no_byte_of_a_large_value(store: dict[str, Any]) -> None:
    numpy = pytest.importorskip("numpy")
    function, _ = decorated(bytes(100_000), serializer=Views(), **store)
    function(1)
    one, other = function(1), function(1)
    addresses = {numpy.frombuffer(view, dtype=numpy.uint8).ctypes.data for view in (one, other)}
    assert len(addresses) == 1


def test_a_frame_over_a_stored_value_stays_as_it_was(store: dict[str, Any]) -> None:
    from cachekit.serializers import ArrowSerializer

    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"x": list(range(10_000))})
    function, body = decorated(table, serializer=ArrowSerializer("arrow", compression="none"), **store)
    function(1)
    before = arrow.total_allocated_bytes()
    hit = function(1)
    assert hit.equals(table) and arrow.total_allocated_bytes() - before < 1000  # its columns are the stored bytes
    function.cache_clear()
    body.value = arrow.table({"x": [5] * 10_000})
    function(1), function(1)
    del function
    gc.collect()
    assert hit.equals(table)


# ---- entries that a function names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("namespace", "key"), [(None, "default:user:42"), ("", "default:user:42"),
                                                ("a b", "a b:user:42")])
@pytest.mark.parametrize("serializer", ["default", "auto"])
def test_entries_named_by_a_key_function(shelf: Shelf, namespace: str | None, key: str, serializer: str) -> None:
    body = Body([1])

    @cache(backend=shelf, key=lambda user, **_: f"user:{user}", namespace=namespace, serializer=serializer)
    def function(user: int, *, verbose: bool = False) -> Any:
        return body()

    assert function(42) == function(user=42) == function(42, verbose=True) == [1]
    assert body.runs == 1 and list(shelf.entries) == [key]
    shelf.entries[key + "3"] = shelf.entries[key]
    assert function(423) == [1] and body.runs == 1
    function.invalidate_cache(user=42)
    assert list(shelf.entries) == [key + "3"]
    function(42)
    function.cache_clear()
    assert key not in shelf.entries


def test_two_functions_that_name_the_same_text_share_the_entry(shelf: Shelf) -> None:
    one, first = decorated([1], backend=shelf, key=lambda x: "same")
    two, second = decorated([2], backend=shelf, key=lambda x: "same")
    assert one(1) == [1] and two(2) == [1] and second.runs == 0
    two.invalidate_cache(5)
    assert one(1) == [1] and first.runs == 2


@pytest.mark.parametrize("key", [lambda x: 5, lambda x: None, lambda x: 1 / 0, lambda x: b"bytes", lambda x: "x" * 2000])
def test_a_key_that_is_no_text_or_does_not_come_costs_nothing_but_the_caching(
    key: Any, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    function, body = decorated([1], backend=shelf, key=key)
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert [function(1), function(1)] == [[1], [1]]
    assert body.runs == 2 and shelf.entries == {}


def test_an_error_of_the_function_that_looks_like_the_stores_is_the_callers(shelf: Shelf) -> None:
    runs = []

    @cache(backend=shelf, serializer="auto")
    def function(x: int) -> int:
        runs.append(x)
        raise BackendError("mine")

    with pytest.raises(BackendError, match="mine"):
        function(1)
    assert runs == [1]


# ---- functions that are awaited ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", ["default", "auto", "orjson"])
def test_awaited_functions_store_and_read_the_same_entries(serializer: str, store: dict[str, Any]) -> None:
    needs(serializer)
    name = f"function_{next(_names)}"
    value = {"a": [1, 2]}
    runs = []

    async def function(x: int) -> Any:
        runs.append(x)
        return value

    function.__module__, function.__qualname__ = "tests", name
    awaited = cache(serializer=serializer, ttl=60, **store)(function)

    async def main() -> list[Any]:
        return [await awaited(1), await awaited(1)] + await asyncio.gather(*(awaited(2) for _ in range(5)))

    assert asyncio.run(main()) == [value] * 7 and runs == [1, 2]
    if store:
        plain, body = decorated(None, name=name, serializer=serializer, ttl=60, l1_enabled=False, **store)
        assert plain(1) == value and body.runs == 0


@pytest.mark.parametrize("l1", [True, False])
@pytest.mark.parametrize("serializer", ["default", "auto"])
def test_an_awaited_function_computes_a_damaged_entry_anew(shelf: Shelf, serializer: str, l1: bool) -> None:
    runs = []

    @cache(serializer=serializer, backend=shelf, l1_enabled=l1)
    async def function(x: int) -> Any:
        runs.append(x)
        return {"numbers": list(range(20))}

    asyncio.run(function(1))
    ((key, stored),) = shelf.entries.items()
    function.cache.delete(key)
    shelf.deleted.clear()
    shelf.entries[key] = damaged(stored)
    assert asyncio.run(function(1)) == asyncio.run(function(1)) == {"numbers": list(range(20))}
    assert len(runs) == 2 and shelf.deleted == [key] and shelf.entries[key] == stored


def test_an_awaited_function_returns_what_cannot_be_stored(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    @cache(serializer="auto", backend=shelf)
    async def function(x: int) -> Any:
        return Decimal("1.5")

    with caplog.at_level(logging.WARNING, "cachekit"):
        assert asyncio.run(function(1)) == Decimal("1.5")
    assert "str(value)" in caplog.text and shelf.entries == {}
