"""Methods: whose result is whose, over memory and over a store. How long it is kept: test_method_lives.py."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import inspect
import logging
import pickle
import sys
import weakref
from typing import Any

import pytest

from cachekit import cache
from cachekit._core import CachedMethod
from cachekit.backends import FileBackend, FileBackendConfig
from counters import Counter


@pytest.fixture
def files(tmp_path: Any) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


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
    assert (bound.__name__, bound.__doc__, bound.__module__) == ("method", "Counts.", Counter.__module__)
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
