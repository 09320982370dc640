"""Methods: whose result is whose, how long it is kept, over memory and over a store."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import inspect
import itertools
import logging
import os
import pickle
import sys
import threading
import time
import tracemalloc
import weakref
from typing import Any

import pytest

from cachekit import cache
from cachekit._core import CachedMethod
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import L1CacheConfig


@pytest.fixture
def files(tmp_path: Any) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


_sizes = itertools.count(30)


def own_cache() -> dict[str, Any]:
    """Options that no other function has: its cache is its own."""
    return {"ttl": 3600, "l1": L1CacheConfig(max_size_mb=next(_sizes))}


def entries(function: Any) -> int:
    """How many results the cache of a function holds."""
    gc.collect()
    function.cache.release_objects()
    return function.cache.stats()["l1_entries"]


class Counter:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self.runs = 0

    @cache(backend=None, ttl=None)
    def method(self, x: Any, *more: Any, y: Any = 0) -> list[Any]:
        """Counts."""
        self.runs += 1
        return [self.name, x, more, y]

    @cache(backend=None)
    def alone(self) -> list[Any]:
        self.runs += 1
        return [self.name]

    @property
    @cache(backend=None)
    def described(self) -> list[Any]:
        self.runs += 1
        return [self.name]

    @classmethod
    @cache(backend=None)
    def of_class(cls, x: Any) -> list[Any]:
        return [cls.__name__, x]

    @cache(backend=None)
    @classmethod
    def of_class_too(cls, x: Any) -> list[Any]:
        return [cls.__name__, x]

    @staticmethod
    @cache(backend=None)
    def static(x: Any) -> list[Any]:
        return [x]

    @cache(backend=None)
    @staticmethod
    def static_too(x: Any) -> list[Any]:
        return [x]

    with_three = functools.partialmethod(method, 3)


class Derived(Counter):
    @cache(backend=None)
    def method(self, x: Any, *more: Any, y: Any = 0) -> list[Any]:
        return ["derived", super().method(x, *more, y=y)]


# ---- whose result is whose ------------------------------------------------------------------------------------


def test_results_belong_to_the_object_that_the_method_is_called_on() -> None:
    one, two = Counter("one"), Counter("two")
    assert one.method(1) is one.method(1) and two.method(1) == ["two", 1, (), 0]
    assert one.method(1, 2, y=3) is one.method(1, 2, y=3) == ["one", 1, (2,), 3]
    assert (one.runs, two.runs) == (2, 1)
    assert one.alone() is one.alone() and one.described is one.described is not two.described


def test_every_way_to_call_a_method_is_the_same_call() -> None:
    counter = Counter()
    bound = counter.method
    assert bound(3) is counter.method(3) is Counter.method(counter, 3) is counter.with_three() is bound(*[3])
    assert bound(3, y=4) is counter.method(3, y=4) is bound(*[3], **{"y": 4})
    assert bound(*range(30)) is counter.method(*range(30))
    assert counter.runs == 3
    assert list(map(counter.method, [3, 3])) == [["", 3, (), 0]] * 2 and counter.runs == 3


def test_equality_and_hashes_of_the_object_do_not_matter() -> None:
    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise AssertionError("asked")

        @cache(backend=None)
        def method(self) -> object:
            return object()

    @dataclasses.dataclass
    class Point:
        x: int

        @cache(backend=None)
        def method(self) -> list[int]:
            return [self.x]

    odd = Odd()
    assert odd.method() is odd.method() is not Odd().method()
    assert Point(1) == Point(1)
    assert Point(1).method() is not Point(1).method()
    point = Point(1)
    assert point.method() is point.method()


def test_subclasses_share_a_method_and_not_its_results() -> None:
    derived, base = Derived("d"), Counter("b")
    assert derived.method(1) == ["derived", ["d", 1, (), 0]]
    assert derived.method(1) is derived.method(1) and derived.runs == 1
    assert base.method(1) == ["b", 1, (), 0] == Counter.method(base, 1)
    assert Counter.method(derived, 1, y=0) is derived.method(1)[1]
    assert derived.alone() is derived.alone() is not base.alone()


def test_class_methods_and_static_methods() -> None:
    assert Counter.of_class(1) is Counter("x").of_class(1) == ["Counter", 1]
    assert Derived.of_class(1) is Derived().of_class(1) == ["Derived", 1]
    assert Counter.of_class_too(1) is Counter("x").of_class_too(1) == ["Counter", 1]
    assert Derived.of_class_too(1) == ["Derived", 1]
    assert Counter.static(1) is Counter().static(1) is Derived.static(1)
    assert Counter.static_too(1) is Counter().static_too(1) is not Counter.static(1)


def test_two_classes_of_one_name_are_two() -> None:
    class Base:
        @classmethod
        @cache(backend=None)
        def method(cls) -> type:
            return cls

    def derive() -> type[Base]:
        class Same(Base):
            pass

        return Same

    one, two = derive(), derive()
    assert one.method() is one and two.method() is two


def test_a_method_without_a_store_that_keeps_documents() -> None:
    class Plain:
        def __init__(self, x: int) -> None:
            self.x = x

        @cache
        def method(self) -> dict[str, int]:
            return {"x": self.x}

    one, two = Plain(1), Plain(2)
    first = one.method()
    first["x"] = 100
    assert one.method() == {"x": 1} and two.method() == {"x": 2}
    assert Plain.method.cache_info()[:2] == (1, 2)


def test_a_function_called_with_plain_values_is_a_function_also_in_a_class() -> None:
    @cache(backend=None)
    def function(x: Any) -> list[Any]:
        return [x]

    class Holder:
        method = function

    holder = Holder()
    assert holder.method() is holder.method()
    assert holder.method()[0] is holder
    assert function(1) is function(1) is not function(1.0)
    assert function("a") is function("a") and function([1]) is function([1]) and function(None) is function(None)


def test_a_bound_method_can_be_decorated() -> None:
    class Plain:
        def __init__(self, x: int) -> None:
            self.x = x

        def method(self, y: int) -> list[int]:
            return [self.x, y]

    one, two = cache(backend=None)(Plain(1).method), cache(backend=None)(Plain(2).method)
    assert one(1) is one(1) == [1, 1] and two(1) == [2, 1]
    one, two = cache(Plain(1).method), cache(Plain(2).method)
    assert (one(1), two(1), one(1)) == ([1, 1], [2, 1], [1, 1])
    assert one.cache_info().hits == 1
    assert inspect.signature(one) == inspect.signature(Plain(1).method)
    of_class = cache(backend=None)(Derived.of_class.__func__.__wrapped__.__get__(Derived))
    kept = of_class(1)
    of_class.invalidate_cache(1)
    assert of_class(1) == kept == ["Derived", 1] and of_class(1) is not kept


# ---- bound methods as objects ---------------------------------------------------------------------------------


def test_a_bound_method_is_like_one_of_pythons() -> None:
    counter, other = Counter("c"), Counter("o")
    bound = counter.method
    assert isinstance(bound, CachedMethod)
    assert bound == counter.method != other.method and hash(bound) == hash(counter.method)
    assert bound != counter.alone and bound != 1
    assert bound.__self__ is counter and bound.__func__ is Counter.method
    assert (bound.__name__, bound.__doc__, bound.__module__) == ("method", "Counts.", __name__)
    assert bound.__qualname__ == "Counter.method" and "Counter.method" in repr(bound)
    assert str(inspect.signature(bound)) == "(x: 'Any', *more: 'Any', y: 'Any' = 0) -> 'list[Any]'"
    assert str(inspect.signature(Counter.method)).startswith("(self, x: 'Any'")
    assert weakref.WeakMethod(bound)()(5) is counter.method(5)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        bound.nothing
    with pytest.raises(AttributeError):
        bound.attribute = 1
    with pytest.raises(TypeError):
        Counter.method.__get__(None, Counter)()
    assert weakref.ref(bound)() is bound


def test_bound_methods_hold_their_object() -> None:
    bound = Counter("kept").method
    gc.collect()
    assert bound(1) is bound(1) and bound.__self__.runs == 1
    gone = weakref.ref(bound.__self__)
    del bound
    gc.collect()
    assert gone() is None


def test_pickles_and_copies() -> None:
    counter = Counter("c")
    result = counter.method(1)
    assert pickle.loads(pickle.dumps(Counter.method)) is Counter.method
    assert copy.copy(Counter.method) is copy.deepcopy(Counter.method) is Counter.method
    for other in (copy.copy(counter), copy.deepcopy(counter), pickle.loads(pickle.dumps(counter))):
        assert other.method(1) == result and other.method(1) is not result
        assert other.method(1) is other.method(1)
    moved = pickle.loads(pickle.dumps(counter.method))
    assert moved.__func__ is Counter.method and moved.__self__.name == "c" and moved(1) == result


# ---- forgetting -----------------------------------------------------------------------------------------------


def test_forgetting_through_an_object_means_that_object() -> None:
    one, two = Counter("one"), Counter("two")
    for counter in (one, two):
        counter.method(1), counter.method(2)
    one.method.invalidate_cache(1)
    kept = one.method(2)
    one.method(1), two.method(1)
    assert (one.runs, two.runs) == (3, 2) and one.method(2) is kept
    Counter.method.invalidate_cache(two, 1)
    two.method(1), one.method(1)
    assert (one.runs, two.runs) == (3, 3)
    one.method.invalidate_cache()
    one.method(1), one.method(2), two.method(1), two.method(2)
    assert (one.runs, two.runs) == (5, 3)
    Counter.method.invalidate_cache()
    one.method(1), two.method(1)
    assert (one.runs, two.runs) == (6, 4)
    one.alone(), one.alone.invalidate_cache(), one.alone()
    assert one.runs == 8
    one.method.cache_clear()
    assert one.method.cache_info() == Counter.method.cache_info() and Counter.method.cache_info().misses == 0


def test_forgetting_through_a_class() -> None:
    first, other = Derived.of_class_too(7), Counter.of_class_too(7)
    Derived.of_class_too.invalidate_cache(7)  # type: ignore[attr-defined]
    assert Derived.of_class_too(7) is not first and Counter.of_class_too(7) is other
    assert isinstance(vars(Counter)["of_class_too"], classmethod)
    first, other = Derived.of_class(7), Counter.of_class(7)
    if sys.version_info < (3, 13):
        Derived.of_class.invalidate_cache(7)  # type: ignore[attr-defined]
    else:
        with pytest.raises(TypeError, match="which class"):
            Derived.of_class.invalidate_cache(7)  # type: ignore[attr-defined]
        Derived.of_class.invalidate_cache(Derived, 7)  # type: ignore[attr-defined]
    assert Derived.of_class(7) is not first and Counter.of_class(7) is other


# ---- lifetimes ------------------------------------------------------------------------------------------------


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

        @cache(backend=None, ttl=1, l1=L1CacheConfig(max_size_mb=next(_sizes), swr_threshold_ratio=0.001))
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


# ---- objects that cannot be told apart -------------------------------------------------------------------------


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: int) -> None:
        self.x = x

    @cache(backend=None)
    def method(self, y: int) -> list[int]:
        return [self.x, y]


def test_an_object_without_weak_references_runs_uncached_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    slotted = Slotted(1)
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert slotted.method(1) == slotted.method(1) == [1, 1]
        assert slotted.method(1) is not slotted.method(1)
        assert Slotted(2).method(1) == [2, 1]
    assert len(caplog.records) == 1 and "__cachekit_key__" in caplog.text


def test_an_object_without_weak_references_may_have_a_key() -> None:
    class Keyed(Slotted):
        __slots__ = ()

        def __cachekit_key__(self) -> int:
            return self.x

    assert Keyed(1).method(1) is Keyed(1).method(1) == [1, 1] and Keyed(2).method(1) == [2, 1]


# ---- over a store ---------------------------------------------------------------------------------------------


def test_over_a_store_a_method_runs_uncached_with_one_warning(
    files: FileBackend, caplog: pytest.LogCaptureFixture
) -> None:
    class Stored:
        runs = 0

        @cache(backend=files)
        def method(self, x: int) -> int:
            self.runs += 1
            return x

    stored = Stored()
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert [stored.method(1), stored.method(1), Stored().method(1)] == [1, 1, 1]
    assert stored.runs == 2
    assert len(caplog.records) == 1 and "key=" in caplog.text and "Stored" in caplog.text


@pytest.mark.parametrize("form", ["method", "attribute", "property"])
def test_over_a_store_an_object_may_have_a_key(files: FileBackend, form: str) -> None:
    runs: list[Any] = []

    class Stored:
        def __init__(self, number: int) -> None:
            self.number = number
            if form == "attribute":
                self.__cachekit_key__ = {"number": number}

        if form == "method":

            def __cachekit_key__(self) -> int:
                return self.number

        elif form == "property":

            @property
            def __cachekit_key__(self) -> int:
                return self.number

        @cache(backend=files)
        def method(self, x: int, y: int = 0) -> list[int]:
            runs.append((self.number, x, y))
            return [self.number, x, y]

    assert Stored(1).method(1) == Stored(1).method(1) == [1, 1, 0]
    assert Stored(2).method(1) == [2, 1, 0]
    assert Stored(1).method(1, y=2) == Stored(1).method(1, y=2)
    assert runs == [(1, 1, 0), (2, 1, 0), (1, 1, 2)]
    Stored(1).method.invalidate_cache(1)
    Stored(1).method(1), Stored(2).method(1)
    assert runs[3:] == [(1, 1, 0)]


@pytest.mark.parametrize("error", [KeyError("no"), TypeError("no"), AttributeError("no")])
def test_a_key_that_fails_never_breaks_the_method(
    files: FileBackend, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class Stored:
        def __cachekit_key__(self) -> int:
            raise error

        @cache(backend=files)
        def method(self) -> int:
            return 1

    assert Stored().method() == 1 and "runs uncached" in caplog.text


def test_over_a_store_a_key_function_decides(files: FileBackend) -> None:
    class Stored:
        def __init__(self, number: int) -> None:
            self.number = number
            self.runs = 0

        @cache(backend=files, key=lambda self, x: f"{self.number}:{x}")
        def method(self, x: int) -> list[int]:
            self.runs += 1
            return [self.number, x]

    one, two = Stored(1), Stored(2)
    assert one.method(5) == one.method(5) == [1, 5] and two.method(5) == [2, 5]
    assert (one.runs, two.runs) == (1, 1)
    one.method.invalidate_cache(5)
    one.method(5), two.method(5)
    assert (one.runs, two.runs) == (2, 1)


def test_over_a_store_classes_count_by_their_names(files: FileBackend) -> None:
    runs: list[str] = []

    class Base:
        @classmethod
        @cache(backend=files)
        def method(cls, x: int) -> list[Any]:
            runs.append(cls.__name__)
            return [cls.__name__, x]

        @staticmethod
        @cache(backend=files)
        def static(x: int) -> list[Any]:
            runs.append("static")
            return [x]

    class Other(Base):
        pass

    assert Base.method(1) == Base().method(1) == ["Base", 1] and Other.method(1) == Other.method(1) == ["Other", 1]
    assert Base.static(1) == Other().static(1) == [1]
    assert runs == ["Base", "Other", "static"]


def test_over_a_store_bound_methods_and_callable_objects_need_a_key(files: FileBackend) -> None:
    class Plain:
        def __init__(self, number: int) -> None:
            self.number = number

        def method(self) -> list[int]:
            return [self.number]

        def __call__(self) -> list[int]:
            return [-self.number]

    class Keyed(Plain):
        def __cachekit_key__(self) -> int:
            return self.number

    for kind in (Plain, Keyed):
        assert [cache(backend=files)(kind(number).method)() for number in (1, 2)] == [[1], [2]]
        assert [cache(backend=files)(kind(number))() for number in (1, 2)] == [[-1], [-2]]
        hits = [cache(backend=files)(kind(number).method) for number in (1, 2)]
        assert [function() for function in hits] == [[1], [2]]
        assert [function.cache_info().hits for function in hits] == [kind is Keyed] * 2


# ---- what is not a function -----------------------------------------------------------------------------------


def test_properties_and_the_like_are_decorated_from_inside() -> None:
    for made in (property(lambda self: 1), functools.partialmethod(len), functools.cached_property(lambda self: 1)):
        with pytest.raises(TypeError, match="above"):
            cache(backend=None)(made)  # type: ignore[call-overload]
