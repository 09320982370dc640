"""Functions, arguments and results that do what nobody should: the caller gets what the function gives, once."""

from __future__ import annotations

import enum
import logging
import pathlib
import signal
import sys
import threading
import uuid
from typing import Any

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import L1CacheConfig


@pytest.fixture(params=["objects", "documents", "files"])
def decorate(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """The decorator in each of the ways to keep results."""
    if request.param == "objects":
        return cache(backend=None)
    if request.param == "documents":
        return cache(namespace=uuid.uuid4().hex)
    return cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")))


# ---- functions that fail ------------------------------------------------------------------------------------------------


class Rude(BaseException):
    pass


ERRORS = [ValueError, KeyError, OSError, MemoryError, RecursionError, StopIteration, StopAsyncIteration]
RUDE_ERRORS = [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException, Rude]


@pytest.mark.parametrize("error", ERRORS + RUDE_ERRORS)
def test_whatever_a_function_raises_is_the_callers_and_is_not_kept(decorate: Any, error: type[BaseException]) -> None:
    raised: list[BaseException] = []

    @decorate
    def function(x: int) -> int:
        if not raised:
            raised.append(error("no"))
            raise raised[0]
        return x

    with pytest.raises(error) as caught:
        function(1)
    assert caught.value is raised[0]
    assert caught.traceback[-1].name == "function"
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert [function(1), function(1)] == [1, 1]
    assert function.counters()["errors"] == 1


def test_the_context_of_an_exception_stays(decorate: Any) -> None:
    @decorate
    def function() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    with pytest.raises(ValueError, match="second") as caught:
        function()
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_call_inside_an_except_block_sees_what_a_plain_call_sees(decorate: Any) -> None:
    @decorate
    def function(x: int) -> str:
        return repr(sys.exc_info()[1])

    try:
        raise ValueError("around")
    except ValueError:
        assert [function(1), function(1)] == ["ValueError('around')"] * 2
    assert function(2) == "None"


def test_wrong_arguments_are_told_as_by_the_function_itself(decorate: Any) -> None:
    @decorate
    def function(x: int) -> int:
        return x

    for wrong in (lambda: function(), lambda: function(1, 2), lambda: function(y=1), lambda: function(1, x=1)):
        with pytest.raises(TypeError, match=r"function\(\)"):
            wrong()


def test_a_signal_handler_may_call_the_function_that_it_interrupts() -> None:
    seen: list[Any] = []

    @cache(backend=None)
    def function(x: int) -> int:
        if x == 1 and not seen:
            seen.append("inside")
            signal.raise_signal(signal.SIGUSR1)
        return x

    def handler(number: int, frame: Any) -> None:
        seen.append([function(1), function(2)])

    old = signal.signal(signal.SIGUSR1, handler)
    try:
        assert function(1) == 1
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert seen == ["inside", [1, 2]]


# ---- functions that call themselves ---------------------------------------------------------------------------------------


def test_recursion_with_other_arguments(decorate: Any) -> None:
    runs: list[int] = []

    @decorate
    def fibonacci(n: int) -> int:
        runs.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(50) == 12586269025
    assert len(runs) == 51


def test_recursion_with_the_same_arguments_runs_the_function_again(decorate: Any) -> None:
    depth: list[int] = []

    @decorate
    def function(x: str) -> int:
        depth.append(1)
        return function(x) + 1 if len(depth) < 5 else 1

    assert function("x") == 5
    assert len(depth) == 5


def test_recursion_through_another_function_and_another_key(decorate: Any) -> None:
    steps = iter(range(10))

    @decorate
    def one(x: int) -> int:
        return next(steps) if x else two(x)

    @decorate
    def two(x: int) -> int:
        return one(x) if next(steps) < 3 else -1

    assert one(0) == -1


def test_endless_recursion_is_told_as_that(decorate: Any) -> None:
    @decorate
    def function(x: int) -> int:
        return function(x)

    with pytest.raises(RecursionError):
        function(1)


def test_recursion_in_a_thread_that_the_function_waits_for_is_not_seen_as_such() -> None:
    # The thread waits for the first call and that for the thread: a lock would do the same. Other arguments are fine.
    @cache(backend=None)
    def function(x: int) -> int:
        if x == 0:
            return 0
        results: list[int] = []
        thread = threading.Thread(target=lambda: results.append(function(x - 1)))
        thread.start()
        thread.join()
        return results[0] + 1

    assert function(5) == 5


# ---- code that runs where nobody expects it --------------------------------------------------------------------------------


def test_arguments_may_call_the_function_while_their_key_is_made() -> None:
    class Path(pathlib.PurePosixPath):
        def as_posix(self) -> str:
            return str(function(len(self.parts)))

    @cache(backend=None)
    def function(x: Any) -> str:
        return f"{x!r}"

    path = Path("a/b")
    assert function(path) == repr(path)
    assert function(path) is function(path)
    assert function.cache_info().misses == 2


def test_arguments_may_change_what_they_are_in_while_the_key_is_made() -> None:
    class Path(pathlib.PurePosixPath):
        def as_posix(self) -> str:
            container.clear()
            return "x"

    runs: list[Any] = []

    @cache(backend=None)
    def function(x: Any) -> int:
        runs.append(x)
        return len(runs)

    container: Any = [Path("a"), *range(1000)]
    assert function(container) == 1  # uncached: nobody knows which list was meant
    container = {str(number): Path("a") for number in range(1000)}
    assert function(container) == 2
    container = {str(number): Path("a") for number in range(1000)}
    assert function(container) == 2


@pytest.mark.parametrize("error", [KeyError("no"), AttributeError("no"), RuntimeError("no"), MemoryError("no")])
def test_arguments_that_fail_while_their_key_is_made_run_the_function_uncached(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Path(pathlib.PurePosixPath):
        def as_posix(self) -> str:
            raise error

    @cache(backend=None)
    def function(x: Any, y: int = 0) -> int:
        return y

    assert [function(Path("a")), function(Path("a"), 2)] == [0, 2]
    assert "cannot be part of a key" in caplog.text
    assert function.counters()["uncached"] == 2

    @cache(backend=None, key=lambda x: {}[x])
    def named(x: Any) -> int:
        return x

    assert named(1) == 1


@pytest.mark.parametrize("error", RUDE_ERRORS)
def test_what_is_no_error_of_an_argument_goes_to_the_caller(error: type[BaseException]) -> None:
    def fail() -> Any:
        raise error("no")

    class Path(pathlib.PurePosixPath):
        def as_posix(self) -> str:
            return fail()

    class Thing:
        def __sizeof__(self) -> int:
            return fail()

    @cache(backend=None)
    def function(x: Any) -> Any:
        return x

    with pytest.raises(error):
        function(Path("a"))
    named = cache(backend=None, key=lambda x: fail())(lambda x: x)
    with pytest.raises(error):
        named(1)
    with pytest.raises(error):
        cache(backend=None)(Thing)()


def test_objects_whose_equality_and_hash_must_not_be_asked() -> None:
    class Thing:
        def __eq__(self, other: object) -> bool:
            raise AssertionError

        def __hash__(self) -> int:
            raise AssertionError

        def __repr__(self) -> str:
            raise AssertionError

        def __bool__(self) -> bool:
            raise AssertionError

        def __len__(self) -> int:
            raise AssertionError

    thing = Thing()

    @cache(backend=None)
    def function(x: Any) -> Any:
        return thing

    assert function(1) is thing and function(1) is thing
    assert function(thing) is thing  # as an argument it makes no key: uncached
    assert function.cache_info().misses == 1


def test_a_result_whose_size_cannot_be_told_is_kept_all_the_same() -> None:
    class Thing:
        def __sizeof__(self) -> int:
            raise ValueError("no")

    @cache(backend=None)
    def function(x: int) -> Thing:
        return Thing()

    assert function(1) is function(1)


def test_a_result_whose_size_is_asked_may_call_the_function() -> None:
    class Thing:
        def __sizeof__(self) -> int:
            function(0)
            return 100

    @cache(backend=None)
    def function(x: int) -> Any:
        return Thing() if x else 0

    assert function(1) is function(1)


def test_a_destructor_may_call_the_function_whose_result_dies() -> None:
    died: list[int] = []

    class Thing:
        def __init__(self, x: int) -> None:
            self.x = x

        def __del__(self) -> None:
            died.append(function(-1))
            function.invalidate_cache(self.x)

        def __sizeof__(self) -> int:
            return 10000

    @cache(backend=None, l1=L1CacheConfig(max_size_mb=1))
    def function(x: int) -> Any:
        return Thing(x) if x >= 0 else x

    for number in range(1000):
        assert function(number).x == number
    function.cache_clear()
    assert died and set(died) == {-1}


def test_a_failing_destructor_does_not_change_what_the_function_raised() -> None:
    class Thing:
        def __del__(self) -> None:
            try:
                raise KeyError("from the destructor")
            except KeyError:
                pass

        def __sizeof__(self) -> int:
            return 10000

    @cache(backend=None, l1=L1CacheConfig(max_size_mb=1))
    def function(x: int) -> Any:
        if x % 2:
            raise ValueError(x)
        return Thing()

    for number in range(1000):
        if number % 2:
            with pytest.raises(ValueError, match=str(number)):
                function(number)
        else:
            function(number)


def test_a_log_handler_may_call_the_function_that_it_reports_about() -> None:
    seen: list[Any] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(function(1))

    @cache(backend=None)
    def function(x: Any) -> int:
        return 5

    handler = Handler()
    logging.getLogger("cachekit").addHandler(handler)
    try:
        assert function({1}) == 5
    finally:
        logging.getLogger("cachekit").removeHandler(handler)
    assert seen == [5]


def test_a_log_filter_that_fails_does_not_fail_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_type))

    def fail(record: logging.LogRecord) -> bool:
        raise ZeroDivisionError

    @cache(backend=None)
    def function(x: Any) -> int:
        return 5

    logging.getLogger("cachekit").addFilter(fail)
    try:
        assert function({1}) == 5
    finally:
        logging.getLogger("cachekit").removeFilter(fail)
    assert told == [ZeroDivisionError]


# ---- arguments ---------------------------------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = 1


DIFFERENT: list[Any] = [
    *(0, 1, -1, 1.0, -1.0, True, False, None, "1", b"1", "", b"", [], [[]], {}, {"": 0}, "True", "None"),
    *(float("inf"), float("-inf"), 2**63, 2**64 - 1, -(2**63), "0", b"\0", "\0", "é", "e\u0301", [0], ["0"], 0.5),
]


def test_what_is_different_stays_apart(decorate: Any) -> None:
    runs: list[Any] = []

    @decorate
    def function(x: Any) -> int:
        runs.append(x)
        return len(runs)

    assert [function(x) for x in DIFFERENT] == list(range(1, len(DIFFERENT) + 1))
    assert [function(x) for x in DIFFERENT] == list(range(1, len(DIFFERENT) + 1))
    # What keys do not tell apart.
    assert function(-0.0) == function(0.0) and function(()) == function([]) and function(Color.RED) == function(1)
    assert function(x=0) != function(0)


def test_not_a_number_is_found_again(decorate: Any) -> None:
    runs: list[Any] = []

    @decorate
    def function(x: Any) -> int:
        runs.append(x)
        return len(runs)

    assert function(float("nan")) == function(float("nan")) == 1
    assert function([float("nan")]) == function([float("nan")]) == 2


NO_KEY: list[Any] = [
    *({1}, frozenset(), object(), bytearray(b"x"), 1j, range(3), len, int, iter([]), (x for x in ())),
    *(2**64, -(2**63) - 1, 10**5000, "\ud800", ["\udfff"], {"\ud800": 1}, {1: 2, "1": 2}, {(1,): 2}, slice(1)),
    *(memoryview(b"x"), NotImplemented, ..., sys, Color),
]


@pytest.mark.parametrize("argument", NO_KEY, ids=lambda argument: type(argument).__name__)
def test_arguments_that_make_no_key(decorate: Any, argument: Any, caplog: pytest.LogCaptureFixture) -> None:
    @decorate
    def function(*args: Any, **kwargs: Any) -> int:
        return 5

    assert [function(argument), function(x=argument), function([argument]), function({"x": argument})] == [5] * 4
    assert function.counters()["uncached"] == 4
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 4
    assert caplog.records[0].getMessage().startswith(f"{__name__}.{function.__qualname__} runs uncached")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_arguments_in_each_other_and_in_themselves(decorate: Any) -> None:
    runs: list[int] = []

    @decorate
    def function(x: Any) -> int:
        runs.append(1)
        return len(runs)

    assert function(nested(20)) == function(nested(20))
    assert function(nested(21)) == 2
    endless: list[Any] = []
    endless.append(endless)
    for argument in (nested(100_000), endless, {"x": endless}):
        before = len(runs)
        assert [function(argument), function(argument)] == [before + 1, before + 2]
    while argument:  # taken apart by hand: the interpreter's own way down is as deep
        argument = argument.pop() if isinstance(argument, list) else argument.pop("x")
        if argument is endless:
            endless.clear()


def test_the_key_is_that_of_the_call_even_when_the_function_changes_its_arguments(decorate: Any) -> None:
    runs: list[int] = []

    @decorate
    def function(x: list[int]) -> int:
        runs.append(1)
        x.append(4)
        return len(runs)

    argument = [1, 2, 3]
    assert function(argument) == 1
    assert function(argument) == 2  # another list now
    assert function([1, 2, 3]) == 1


def test_thousands_of_keywords(decorate: Any) -> None:
    @decorate
    def function(*args: Any, **kwargs: int) -> int:
        return len(args) + sum(kwargs.values())

    keywords = {f"name{number}": number for number in range(10_000)}
    backwards = dict(reversed(list(keywords.items())))
    assert function(**keywords) == function(**backwards) == 49995000
    assert function(*range(100_000)) == function(*range(100_000)) == 100_000
    info = function.cache_info()
    assert (info.hits, info.misses) == (2, 2)


def test_a_large_argument(decorate: Any) -> None:
    @decorate
    def function(x: Any) -> int:
        return len(x)

    for argument in ("x" * 10_000_000, b"x" * 10_000_000, "é" * 5_000_000):
        assert function(argument) == function(argument) == len(argument)
    assert function.cache_info().hits == 3


# ---- results -----------------------------------------------------------------------------------------------------------------


def test_a_result_that_a_caller_changes() -> None:
    @cache(namespace="changed")
    def document() -> dict[str, list[int]]:
        return {"x": [1]}

    first = document()
    first["x"].append(2)
    document()["x"].append(3)
    assert document() == {"x": [1]}  # everybody has a copy

    @cache(backend=None)
    def shared() -> dict[str, list[int]]:
        return {"x": [1]}

    shared()["x"].append(2)
    assert shared() == {"x": [1, 2]}  # everybody has the same object


@pytest.mark.parametrize(
    "result",
    [{1, 2}, object(), 2**64, -(2**63) - 1, 10**5000, "\ud800", 1j, nested(100_000), len, [object()]],
    ids=lambda result: type(result).__name__,
)
def test_a_result_that_cannot_be_stored_is_returned(result: Any, tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []

    @cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")))
    def function(x: int) -> Any:
        runs.append(x)
        return result

    assert function(1) is result and function(1) is result
    assert len(runs) == 2
    assert ["cannot be stored" in record.getMessage() for record in caplog.records] == [True, True]
    while isinstance(result, list) and result:
        result = result.pop()


def endless() -> Any:
    result: list[Any] = []
    result.append(result)
    return result


def test_a_result_in_itself_is_returned(caplog: pytest.LogCaptureFixture) -> None:
    result = cache(namespace="endless")(endless)()
    assert result[0] is result
    assert "cannot be stored" in caplog.text
    result.clear()


async def coroutine() -> int:
    return 5


def generator() -> Any:
    yield 5


async def async_generator() -> Any:
    yield 5


@pytest.mark.parametrize("make", [generator, coroutine, async_generator])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_can_be_used_once_is_not_shared(make: Any, decorate: Any, caplog: pytest.LogCaptureFixture) -> None:
    @decorate
    def function() -> Any:
        return make()

    first, second = function(), function()
    assert first is not second
    assert "cannot be stored" in caplog.text
    for one in (first, second):
        if hasattr(one, "close"):
            one.close()


@pytest.mark.parametrize("result", [None, 0, "", b"", [], {}, False, 0.0, (), [None]])
def test_nothing_and_empty_results_are_results(decorate: Any, result: Any) -> None:
    runs: list[int] = []

    @decorate
    def function() -> Any:
        runs.append(1)
        return result

    first, second = function(), function()
    assert first == result and (second == result or second == list(result))
    assert len(runs) == 1
