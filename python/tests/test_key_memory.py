"""Arguments of calls as keys: Python code that runs while they are packed, room, and memory."""

from __future__ import annotations

import enum
import gc
import os
import sys
import threading
import tracemalloc
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from cachekit import _core
from packing import DATETIMES, UTC, Colour, FixedZone, MyStr, Nested, Plain, Ratio, nest, one, packed, text

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
