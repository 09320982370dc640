"""What else can be decorated: partial objects, callable objects, classes, builtins, lambdas, functions of odd names."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import operator
import pickle
import types
import uuid
from typing import Any

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig


@pytest.fixture
def files(tmp_path: Any) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


runs: list[Any] = []


@pytest.fixture(autouse=True)
def no_runs() -> None:
    runs.clear()


def function(a: Any, b: Any = 0, *more: Any, k: Any = None, **named: Any) -> list[Any]:
    """Of this module."""
    runs.append(a)
    return [a, b, list(more), k, named]


PARTIALS = [
    functools.partial(function),
    functools.partial(function, 1),
    functools.partial(function, 2),
    functools.partial(function, 1, 2),
    functools.partial(function, k=1),
    functools.partial(function, k=2),
    functools.partial(function, k=2, z=3),
    functools.partial(functools.partial(function, 5), k=2, z=3),
    functools.partial(functools.partial(function, k=9, z=3), 5, k=2),
]


@pytest.mark.parametrize("backend", ["objects", "memory", "files", "local"])
def test_partial_objects_never_share_results(backend: str, files: FileBackend) -> None:
    def decorate(target: Any) -> Any:
        if backend == "local":
            return cache.local(target)
        return cache(**{"objects": {"backend": None}, "memory": {}, "files": {"backend": files}}[backend])(target)

    cached = [decorate(target) for target in PARTIALS]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((7,), {}), ((7,), {"k": 5}), ((7, 8), {"z": 1, "y": 2})]
    for args, kwargs in calls:
        for target, ours in zip(PARTIALS, cached):
            expected = target(*args, **kwargs)
            assert ours(*args, **kwargs) == ours(*args, **kwargs) == expected
    for target, ours in zip(PARTIALS, cached):
        assert ours.cache_info().hits >= 3 and ours.__wrapped__ is target
        assert inspect.signature(ours) == inspect.signature(target)
        assert ours.__name__ == "function" and ours.__doc__ == "Of this module."


def test_over_a_store_a_partial_object_makes_the_call_that_it_stands_for(files: FileBackend) -> None:
    whole = cache(backend=files)(function)
    partial = cache(backend=files)(functools.partial(function, 1, k=2))
    assert whole(1, 3, k=2) == partial(3) and len(runs) == 1
    assert whole(1, 3, k=5) == partial(3, k=5) and len(runs) == 2
    assert whole(1, 3, k=2, z=4) == partial(3, z=4) and len(runs) == 3
    partial.invalidate_cache(3)
    whole(1, 3, k=2)
    assert len(runs) == 4


def test_a_partial_object_of_what_is_no_key(files: FileBackend, caplog: pytest.LogCaptureFixture) -> None:
    thing = object()
    own = cache(backend=None)(functools.partial(function, thing))
    assert own(1) is own(1)
    stored = cache(backend=files)(functools.partial(lambda thing, x: x, thing))
    assert [stored(1), stored(1)] == [1, 1] and "runs uncached" in caplog.text


def test_a_partial_object_of_a_decorated_function() -> None:
    cached = cache(backend=None)(function)
    assert functools.partial(cached, 1)(2) is cached(1, 2)


def test_callable_objects() -> None:
    class Adder:
        def __init__(self, number: int) -> None:
            self.number = number

        def __call__(self, x: int) -> list[int]:
            """Adds."""
            return [self.number + x]

    for options in ({"backend": None}, {}):
        one, two = cache(**options)(Adder(1)), cache(**options)(Adder(2))
        assert one(1) == one(1) == [2] and two(1) == [3] and one.cache_info().hits == 1
    assert one.__qualname__.endswith("Adder") and str(inspect.signature(one)) == "(x: 'int') -> 'list[int]'"
    assert not hasattr(one, "number")
    getter = cache(backend=None)(operator.itemgetter(1))
    assert getter("abc") == getter("abc") == "b" and getter.cache_info().hits == 1


def test_classes() -> None:
    @cache(backend=None)
    class Config:
        def __init__(self, name: str) -> None:
            self.name = name

    assert Config("a") is Config("a") is not Config("b")
    assert inspect.isclass(Config.__wrapped__) and Config.__name__ == "Config"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "builtin, args",
    [(len, ("abc",)), (math.sqrt, (2.0,)), (max, (1, 2)), ("abc".upper, ()), (str.upper, ("abc",)), (dict.fromkeys, ("ab",)), (int, ("7",)), (uuid.UUID, ("0" * 32,)), ([1, 2].count, (1,)), ("a".__add__, ("b",))],
)
@pytest.mark.parametrize("stored", [False, True])
def test_builtins(builtin: Any, args: tuple[Any, ...], stored: bool, files: FileBackend) -> None:
    if stored and builtin is uuid.UUID:
        pytest.skip("no document holds it")
    cached = cache(backend=files)(builtin) if stored else cache(backend=None)(builtin)
    assert cached(*args) == cached(*args) == builtin(*args)
    assert cached.cache_info()[:2] == (1, 1) and cached.__wrapped__ is builtin
    cached.invalidate_cache(*args)
    cached(*args)
    assert cached.cache_info().misses == 2


def test_over_a_store_what_a_builtin_is_bound_to_is_part_of_the_key(files: FileBackend) -> None:
    assert [cache(backend=files)(text.upper)() for text in ("a", "b")] == ["A", "B"]
    assert [cache(backend=files)(numbers.count)(1) for numbers in ([1], [1, 1])] == [1, 2]


def test_lambdas_and_inner_functions_of_one_name_are_apart_in_memory() -> None:
    for options in ({"backend": None}, {}):
        one, two = cache(**options)(lambda x: [x]), cache(**options)(lambda x: [-x])
        assert (one(1), two(1), one(1)) == ([1], [-1], [1])

        def make(number: int) -> Any:
            @cache(**options)
            def inner() -> list[int]:
                return [number]

            return inner

        assert [make(number)() for number in range(3)] == [[0], [1], [2]]


def test_over_a_store_two_lambdas_of_one_name_are_told(files: FileBackend, caplog: pytest.LogCaptureFixture) -> None:
    def warnings() -> int:
        return sum("lambda" in record.getMessage() for record in caplog.records)

    with caplog.at_level(logging.WARNING, "cachekit"):
        for _ in range(2):
            cache(backend=files)(lambda x: x)
        cache(backend=files, namespace="other")(lambda x: -x)
        cache(backend=files, key=str)(lambda x: x * 2)
        assert warnings() == 0
        cache(backend=files)(lambda x: x * 3)
        assert warnings() == 1


@pytest.mark.parametrize("name", ["", "with space", "new\nline", "ünïcödé", "a" * 500, "a.b.c", "<x>", "#1", ":", "\0", "\ud800"])
def test_functions_of_odd_names(name: str, files: FileBackend) -> None:
    def odd(x: int) -> list[int]:
        return [x]

    odd.__name__ = odd.__qualname__ = name
    odd.__module__ = name
    for options in ({"backend": None}, {}, {"backend": files}):
        cached = cache(**options)(odd)
        assert cached(1) == cached(1) == [1], (name, options)
        assert cached.cache_info().hits >= 1, (name, options)
    assert cache.local(odd)(1) == [1]


def test_functions_without_a_module() -> None:
    namespace: dict[str, Any] = {}
    exec("def bare(x): return [x]", namespace)
    bare = namespace["bare"]
    assert cache(bare)(1) == [1] and cache(backend=None)(bare)(1) == [1]
    bare.__module__ = None
    assert cache(bare)(1) == [1]
    made = types.FunctionType(bare.__code__, {})
    assert cache(made)(2) == [2]


def test_other_decorators_below_and_above() -> None:
    def doubled(inner: Any) -> Any:
        @functools.wraps(inner)
        def outer(*args: Any) -> Any:
            return [inner(*args)] * 2

        return outer

    class Plain:
        @doubled
        @cache(backend=None)
        def below(self, x: int) -> object:
            return object()

        @cache(backend=None)
        @doubled
        def above(self, x: int) -> object:
            return object()

        @property
        @cache(backend=None)
        @doubled
        def shown(self) -> object:
            return object()

    one, two = Plain(), Plain()
    assert one.below(1)[0] is one.below(1)[1] is not two.below(1)[0]
    assert one.above(1) is one.above(1) and one.above(1)[0] is not two.above(1)[0]
    assert one.shown is one.shown is not two.shown


stored_by_name = cache(backend=None)(function)
function_of_one_name = function


def test_what_has_no_name_of_its_own_does_not_pickle() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(cache(backend=None)(lambda: 1))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(stored_by_name)  # its name is another object's


def test_attributes_of_a_function_are_kept_and_ours_win() -> None:
    def plain() -> int:
        return 1

    plain.mark, plain.cache_info = "mark", None  # type: ignore[attr-defined]
    cached = cache(backend=None)(plain)
    assert cached.mark == "mark" and cached.cache_info().hits == 0
