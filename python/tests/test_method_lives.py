"""Results of methods go with their objects: however these end, in whatever order, and with whatever threads."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import tracemalloc
import weakref
from typing import Any

import pytest

from cachekit import cache
from cachekit.config import L1CacheConfig
from counters import Counter, entries, own_cache, sizes


@pytest.mark.parametrize("backend", [{"backend": None}, {}], ids=["objects", "documents"])
def test_results_go_with_their_object(backend: dict[str, Any]) -> None:
    class Plain:
        @cache(**backend, **own_cache())
        def method(self, *args: Any, **kwargs: Any) -> Any:
            return [args]

    keeper = Plain()
    keeper.method(1)
    before = entries(Plain.method)
    plain = Plain()
    for number in range(100):
        plain.method(number, y=str(number))
        plain.method("x" * 5000, number, z=number)
        plain.method(number)
    assert entries(Plain.method) == before + 300
    gone = weakref.ref(plain)
    del plain
    assert gone() is None and entries(Plain.method) == before
    keeper.method(1)
    assert Plain.method.cache_info().hits == 1


def test_objects_in_cycles_go_too() -> None:
    class Cyclic:
        def __init__(self) -> None:
            self.me = self

        @cache(backend=None, **own_cache())
        def method(self) -> list[int]:
            return [1]

        def __del__(self) -> None:
            seen.append(self.method())

    seen: list[Any] = []
    Cyclic.method.__get__(Cyclic())()
    before = entries(Cyclic.method)
    for _ in range(10):
        Cyclic().method()
    assert entries(Cyclic.method) <= before
    assert len(seen) == 11 and all(value == [1] for value in seen)
    for _ in range(10):
        Cyclic().method()
    assert entries(Cyclic.method) <= before


def test_short_lived_objects_take_no_memory() -> None:
    class Brief:
        @cache(backend=None, **own_cache())
        def method(self, x: int) -> list[int]:
            return [x]

    def many(count: int) -> None:
        for number in range(count):
            brief = Brief()
            assert brief.method(number) is brief.method(number)

    many(20_000)
    before = entries(Brief.method)
    tracemalloc.start()
    try:
        many(1000)
        start = tracemalloc.get_traced_memory()[0]
        many(20_000)
        assert tracemalloc.get_traced_memory()[0] - start < 100_000
    finally:
        tracemalloc.stop()
    assert entries(Brief.method) <= before + 100
    kept = [Brief() for _ in range(5000)]
    results = [brief.method(1) for brief in kept]
    assert all(brief.method(1) is result for brief, result in zip(kept, results))
    del kept[::2]
    gc.collect()
    assert all(brief.method(1) is result for brief, result in zip(kept, results[1::2]))


def test_an_object_that_comes_at_the_address_of_another_is_another() -> None:
    class Plain:
        def __init__(self, number: int) -> None:
            self.number = number

        @cache(backend=None)
        def method(self) -> int:
            return self.number

    addresses = set()
    for number in range(1000):
        plain = Plain(number)
        addresses.add(id(plain))
        assert plain.method() == number
        del plain
    assert len(addresses) < 1000 or "CKIT_SANITIZE" in os.environ  # where no address comes again soon


def test_weak_references_of_others_do_not_disturb() -> None:
    class Plain:
        @cache(backend=None)
        def method(self) -> list[int]:
            return [1]

    called: list[Any] = []

    def callback(reference: Any) -> None:
        called.append(reference)
        other.method()

    other = Plain()
    plain = Plain()
    before = weakref.ref(plain, callback)
    plain.method()
    after = weakref.ref(plain, callback)
    ours = [reference for reference in weakref.getweakrefs(plain) if reference is not before and reference is not after]
    assert len(ours) == 1
    kept = ours[0]
    del plain
    assert len(called) == 2 and kept() is None
    assert other.method() is other.method()
    function = Plain.method
    gone = weakref.ref(function)
    references = weakref.getweakrefs(other)
    del Plain, function
    del other
    gc.collect()
    assert gone() is None and all(reference() is None for reference in references)


def test_an_object_that_dies_while_others_compute() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        @cache(backend=None, **own_cache())
        def method(self, wait: bool) -> list[bool]:
            if wait:
                entered.set()
                assert leave.wait(60)
            return [wait]

    def work() -> None:
        results.append(Slow().method(True))

    results: list[Any] = []
    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(60)
    before = entries(Slow.method)
    for _ in range(100):
        Slow().method(False)
    leave.set()
    thread.join(60)
    assert results == [[True]] and entries(Slow.method) <= before + 1


def test_a_method_may_drop_the_last_reference_to_its_object() -> None:
    holder: list[Any] = []

    class Suicidal:
        @cache(backend=None, **own_cache())
        def method(self) -> list[int]:
            holder.clear()
            return [1]

    holder.append(Suicidal())
    before = entries(Suicidal.method)
    assert holder[0].method() == [1]
    assert entries(Suicidal.method) == before


def test_a_result_that_holds_its_object_keeps_it_until_it_is_forgotten() -> None:
    class Chained:
        @cache(backend=None)
        def method(self) -> Chained:
            return self

    chained = Chained()
    gone = weakref.ref(chained)
    assert chained.method() is chained
    del chained
    gc.collect()
    assert gone() is not None
    gone().method.invalidate_cache()  # type: ignore[union-attr]
    for number in range(100_000):  # memory lets go as it goes along
        if gone() is None:
            break
        Counter.static(number)
    assert gone() is None


def test_references_are_counted_right() -> None:
    class Plain:
        @cache(backend=None)
        def method(self, x: Any) -> Any:
            return x

    plain, argument = Plain(), "an argument " + str(id(Plain))
    plain.method(1)
    bound = plain.method
    before = sys.getrefcount(plain), sys.getrefcount(Plain.method), sys.getrefcount(argument)
    for _ in range(100):
        plain.method(1), bound(1), plain.method, plain.method.__signature__
        plain.method.invalidate_cache(1), plain.method(1)
        with pytest.raises(AttributeError):
            plain.method.nothing
        plain.method({1})
        plain.method.invalidate_cache(), plain.method(1)
    assert (sys.getrefcount(plain), sys.getrefcount(Plain.method), sys.getrefcount(argument)) == before


def test_threads_share_one_computation_of_an_object() -> None:
    gate = threading.Event()

    class Plain:
        runs = 0

        @cache(backend=None)
        def method(self) -> list[int]:
            gate.wait(60)
            self.runs += 1
            return [1]

    plain = Plain()
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(plain.method())) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(60)
    assert plain.runs == 1 and len({id(result) for result in results}) == 1


def test_a_background_refresh_keeps_the_object_meanwhile_and_its_results_belong_to_it() -> None:
    started, leave, finished = threading.Event(), threading.Event(), threading.Event()

    class Plain:
        runs = 0

        @cache(backend=None, ttl=1, l1=L1CacheConfig(max_size_mb=next(sizes), swr_threshold_ratio=0.001))
        def method(self) -> int:
            self.runs += 1
            if threading.current_thread() is not threading.main_thread():
                started.set()
                assert leave.wait(60)
                weakref.finalize(self, finished.set)
            return self.runs

    plain = Plain()
    deadline = time.monotonic() + 60
    while not started.is_set() and time.monotonic() < deadline:
        plain.method()
    gone = weakref.ref(plain)
    del plain
    assert gone() is not None
    leave.set()
    assert finished.wait(60) and gone() is None
    while entries(Plain.method) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert entries(Plain.method) == 0


@pytest.mark.parametrize("kind", ["objects", "documents", "local"])
def test_any_allocation_may_fail(kind: str) -> None:
    testcapi = pytest.importorskip("_testcapi")
    decorate = {"objects": cache(backend=None, **own_cache()), "documents": cache(**own_cache()), "local": cache.local}[kind]

    class Plain:
        @decorate
        def method(self, x: Any, y: Any = 0) -> Any:
            return [1, 2]

    Plain().method(1)
    gc.collect()
    gc.disable()
    failures = 0
    try:
        for failing in range(1, 40):
            plain = Plain()
            testcapi.set_nomemory(failing, failing + 1)
            try:
                plain.method("a" * 200, y=failing)
            except MemoryError:
                failures += 1
            finally:
                testcapi.remove_mem_hooks()
            assert plain.method(2) == [1, 2] and plain.method("a" * 200, y=failing) == [1, 2]
            testcapi.set_nomemory(failing, failing + 1)
            try:
                plain.method.invalidate_cache(2)
            except MemoryError:
                failures += 1
            finally:
                testcapi.remove_mem_hooks()
            gone = weakref.ref(plain)
            del plain
            assert gone() is None
    finally:
        gc.enable()
    assert failures > 0
