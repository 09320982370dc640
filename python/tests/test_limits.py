"""How long a call waits for its function: limits of plain and of coroutine functions."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import cachekit._limits as limits
from cachekit import cache
from cachekit._many import _BatchWork
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.errors import BackendError, FunctionTimeoutError
from shelves import Shelf
from slow import NO_SWR, Slow, patiently, slow
from waiting import until

__all__ = ["slow"]

# ---- what callers get ---------------------------------------------------------------------------------------------------


def test_after_the_soft_limit_an_older_result_is_returned_and_the_new_one_is_kept(slow: Callable[..., Slow]) -> None:
    f = slow(ttl=3, fail_safe=1000, soft_limit=0.001)
    assert f(1) == 1
    time.sleep(3.1)  # long enough for the new one to be seen before it ends too
    f.gate.clear()
    assert f(1) == 1
    assert f(1) == 1
    until(lambda: len(f.runs) == 2)  # the second call waits for the run that is under way, which may only begin now
    f.gate.set()
    until(lambda: f(1) == 2)
    assert len(f.runs) == 2
    assert f.counted()["soft_limits"] >= 2
    assert f.counted()["hard_limits"] == 0


def test_after_the_hard_limit_the_call_ends_and_the_result_is_kept(slow: Callable[..., Slow]) -> None:
    f = slow(hard_limit=0.001)
    f.gate.clear()
    for _ in range(2):
        with pytest.raises(FunctionTimeoutError, match=r"^slow\..*took longer than its limit of 0.001 s$") as caught:
            f(1)
        assert caught.value.code == "E121"
        assert isinstance(caught.value, TimeoutError)
    f.gate.set()
    until(lambda: f.is_kept())
    assert f(1) == 1
    assert f.counted() == {
        "soft_limits": 0,
        "hard_limits": 2,
        "computed": 1,
        "function_errors": 0,
        "fail_safe_served": 0,
        "flight_waits": 1,
        "uncached": 0,
    }


def test_after_the_hard_limit_an_older_result_is_returned_where_there_is_one(slow: Callable[..., Slow]) -> None:
    f = slow(ttl=0.001, fail_safe=1000, hard_limit=0.001)
    f.gate.clear()
    with pytest.raises(FunctionTimeoutError):
        f(1)
    f.gate.set()
    until(lambda: f.is_kept())
    time.sleep(0.02)
    f.gate.clear()
    assert f(1) == 1


def test_within_its_limits_a_function_is_as_any_other(slow: Callable[..., Slow]) -> None:
    f = slow(ttl=0.001, fail_safe=1000, soft_limit=30, hard_limit=60)
    assert f(1) == 1
    f.error = KeyError("no")
    with pytest.raises(KeyError, match="no"):
        f(2)
    time.sleep(0.02)
    assert f(1) == 1  # stands in for the failure
    f.error = None
    assert f(1) == 4
    assert f.counted() == {
        "soft_limits": 0,
        "hard_limits": 0,
        "computed": 2,
        "function_errors": 2,
        "fail_safe_served": 1,
        "flight_waits": 0,
        "uncached": 0,
    }


def test_a_failure_after_its_caller_has_gone_is_logged_and_the_next_call_runs_again(
    slow: Callable[..., Slow], caplog: pytest.LogCaptureFixture
) -> None:
    f = slow(hard_limit=0.001)
    f.gate.clear()
    f.error = KeyError("late")
    with caplog.at_level(logging.INFO, "cachekit"):
        with pytest.raises(FunctionTimeoutError):
            f(1)
        f.gate.set()
        until(lambda: "failed after its caller had gone" in caplog.text)
    assert "KeyError" in caplog.text
    f.error = None
    until(lambda: f.counted()["function_errors"] == 1)
    with contextlib.suppress(FunctionTimeoutError):  # a machine that is busy may take longer
        f(1)
    until(lambda: f.counted()["computed"] == 1)


def test_limits_hold_while_another_process_runs_the_function(slow: Callable[..., Slow], tmp_path: Any) -> None:
    place = FileBackendConfig(cache_dir=tmp_path / "store")
    first = slow(backend=FileBackend(place), key=str)
    second = slow(backend=FileBackend(place), key=str, hard_limit=0.05)
    first.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first, 1)
        until(lambda: first.runs)
        with pytest.raises(FunctionTimeoutError):
            second(1)
        assert second.runs == []
        first.gate.set()
        assert running.result() == 1
    assert patiently(second, 1) == 1
    assert second.runs == []


def test_a_store_that_does_not_take_the_result_is_the_caller_s_failing_closed(slow: Callable[..., Slow]) -> None:
    class Full(Shelf):
        def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
            raise ConnectionError("full")

    f = slow(backend=Full(), hard_limit=60, fallback_strategy="fail_closed")
    with pytest.raises(BackendError):
        f(1)
    assert f.runs == [1]


# ---- the thread of a plain function -------------------------------------------------------------------------------------


def test_the_function_gets_its_arguments_as_they_are_and_its_caller_s_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    given: list[Any] = []

    @cache(backend=None, hard_limit=60)
    def f(items: list[int], *, name: str) -> int:
        given.append((items, name, variable.get(), threading.current_thread()))
        variable.set("changed there")
        return len(items)

    variable.set("the caller's")
    items = [1, 2]
    assert f(items, name="x") == 2
    (got, name, value, thread), = given
    assert got is items
    assert (name, value) == ("x", "the caller's")
    assert thread is not threading.current_thread()
    assert variable.get() == "the caller's"


def test_what_the_function_raises_is_raised_with_its_frames() -> None:
    class Own(BaseException):
        pass

    error = Own("mine")

    @cache(backend=None, hard_limit=60)
    def fails() -> None:
        raise error

    for _ in range(2):
        with pytest.raises(Own) as caught:
            fails()
        assert caught.value is error
        assert any(frame.name == "fails" for frame in traceback.extract_tb(caught.tb))
        error.__traceback__ = None


def test_methods_have_limits() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @cache(backend=None, hard_limit=60)
        def price(self, item: str, vat: float = 0.2) -> str:
            return f"{self.name} {item} {vat}"

    one, two = Shop("one"), Shop("two")
    assert one.price("tea") == "one tea 0.2"
    assert two.price("tea", vat=0) == "two tea 0"
    assert one.price("tea") == "one tea 0.2"


@pytest.fixture
def two_places(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    places = threading.Semaphore(2)
    monkeypatch.setattr(limits, "_places", places)
    yield
    for _ in range(2):  # whoever had one gives it back
        assert places.acquire(timeout=60)


@pytest.mark.usefixtures("two_places")
def test_functions_with_limits_call_each_other_and_themselves() -> None:
    @cache(backend=None, hard_limit=60)
    def fibonacci(n: int) -> int:
        return n if n < 2 else helper(n - 1) + fibonacci(n - 2)

    @cache(backend=None, hard_limit=60)
    def helper(n: int) -> int:
        return third(n)

    @cache(backend=None, hard_limit=60)
    def third(n: int) -> int:
        return fibonacci(n)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fibonacci, [40] * 8)) == {102334155}


def test_a_function_that_calls_itself_with_the_same_arguments_does_not_wait_for_itself() -> None:
    depth: list[int] = []

    @cache(backend=None, hard_limit=60)
    def f(n: int) -> int:
        depth.append(n)
        return 7 if len(depth) > 2 else f(n)

    assert f(1) == 7
    assert len(depth) == 3


@pytest.mark.usefixtures("two_places")
def test_without_a_place_a_call_waits_as_long_as_its_limits(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    begun: list[int] = []
    request.addfinalizer(gate.set)
    monkeypatch.setattr("cachekit._told._warned", {})

    @cache(backend=None, hard_limit=0.02)
    def waits(n: int) -> int:
        begun.append(n)
        gate.wait()
        return n

    @cache(backend=None, hard_limit=0.02)
    def quick(n: int) -> int:
        return n

    @cache(backend=None, ttl=0.001, fail_safe=100, soft_limit=0.02, l1=NO_SWR)
    def softly(n: int) -> threading.Thread:
        return threading.current_thread()

    older = softly(1)
    calls = itertools.count()

    def all_are_taken() -> bool:  # the place of a run that has just ended may not be free at once
        with pytest.raises(FunctionTimeoutError):
            waits(next(calls))
        return len(begun) == 2

    until(all_are_taken)
    with pytest.raises(FunctionTimeoutError):
        quick(1)
    time.sleep(0.02)
    assert softly(1) is older
    assert softly(2) is threading.current_thread()  # nothing else is left
    assert "runs in its caller's thread" in caplog.text
    gate.set()
    until(lambda: answers(quick, 1))


@pytest.mark.parametrize("many", [False, True])
def test_who_leaves_without_a_place_does_not_wait_until_the_store_has_let_his_lock_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, many: bool
) -> None:
    given_up, lets_go = threading.Event(), threading.Event()
    kind = _BatchWork if many else limits.Run
    give_up = kind._drop

    def held_up(work: Any) -> None:
        lets_go.wait()
        give_up(work)
        given_up.set()

    @cache(backend=FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")), hard_limit=0.02)
    def f(n: int) -> int:
        return n

    def answers() -> bool:
        with contextlib.suppress(FunctionTimeoutError):
            return f(1) == 1
        return False

    monkeypatch.setattr(kind, "_drop", held_up)
    try:
        with monkeypatch.context() as taken:
            taken.setattr(limits, "_places", threading.Semaphore(0))
            with pytest.raises(FunctionTimeoutError):
                f.get_many([1, 2]) if many else f(1)
        assert not given_up.is_set()
    finally:
        lets_go.set()
    until(given_up.is_set)
    until(answers)


@pytest.mark.usefixtures("two_places")
@pytest.mark.parametrize(
    ("which", "many"),
    [("limited", False), ("limited", True), ("unlimited", False), ("unlimited", True), ("local", False)],
)
def test_runs_that_all_wait_for_a_call_without_a_place_make_room_for_it(
    request: pytest.FixtureRequest, which: str, many: bool
) -> None:
    gate = threading.Event()
    begun: list[int] = []
    request.addfinalizer(gate.set)

    @cache(backend=None, hard_limit=60)
    def limited(n: int) -> int:
        return n

    @cache(backend=None)
    def unlimited(n: int) -> int:
        return limited(n)

    @cache.local()
    def local(n: int) -> int:
        return limited(n)

    asked: Any = {"limited": limited, "unlimited": unlimited, "local": local}[which]

    @cache(backend=None, hard_limit=60)
    def waits(n: int) -> int:
        begun.append(n)
        gate.wait()
        return asked.get_many([7])[0] if many else asked(7)

    with ThreadPoolExecutor(3) as pool:
        waiting = pool.map(waits, [1, 2])
        until(lambda: len(begun) == 2)
        leading = pool.submit(asked, 7)
        until(lambda: asked.cache_info().misses == 1)
        gate.set()
        assert list(waiting) == [7, 7]
        assert leading.result() == 7


@pytest.mark.usefixtures("two_places")
def test_who_has_stepped_aside_takes_a_place_again_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_aside", threading.Semaphore(1))

    @cache(backend=None, hard_limit=60)
    def runs(n: int) -> list[bool]:
        first, again = limits.step_aside(), limits.step_aside()
        places = [limits._places.acquire(blocking=False) for _ in range(n)]
        limits.step_back()
        for _ in range(places.count(True)):
            limits._places.release()
        return [first, again, limits.step_aside()]

    assert not limits.step_aside()
    assert runs(0) == [True, False, True]
    assert limits._aside.acquire(timeout=60)  # it gives back what it has at its end
    limits._aside.release()
    assert runs(2) == [True, False, False]  # all are taken


def answers(function: Callable[[int], Any], n: int) -> bool:
    try:
        function(n)
    except FunctionTimeoutError:
        return False
    return True


# ---- processes ----------------------------------------------------------------------------------------------------------


def run(code: str, *arguments: str) -> str:
    """What a program writes that has to end by itself."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments]  # fork beside threads: that is it
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_ctrl_c_ends_the_wait_and_the_result_is_kept() -> None:
    gate = threading.Event()

    @cache(backend=None, hard_limit=60)
    def f(n: int) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        gate.wait()
        return n

    with pytest.raises(KeyboardInterrupt):
        f(1)
    gate.set()
    until(lambda: f.counters()["computed"] == 1)
    assert f(1) == 1


def test_a_process_ends_while_a_function_runs_that_never_does() -> None:
    assert run("""if True:
        import threading, time
        from cachekit import cache

        @cache(backend=None, hard_limit=0.01)
        def never(n):
            threading.Event().wait()

        @cache(backend=None, hard_limit=0.01)
        def busy(n):
            while True:
                time.sleep(0.001)

        for f in (never, busy, lambda n: never.get_many([n, 2])):
            try:
                f(1)
            except TimeoutError:
                print("late", flush=True)
    """) == "late\nlate\nlate\n"


def test_a_process_that_ends_waits_a_little_for_results(tmp_path: Any) -> None:
    code = """if True:
        import sys, time
        import cachekit._refresh
        from cachekit import cache
        from cachekit.backends import FileBackend, FileBackendConfig

        cachekit._refresh.WAIT_AT_EXIT_S = 240  # of a busy machine

        @cache(backend=FileBackend(FileBackendConfig(cache_dir=sys.argv[1])), key=str, hard_limit=0.01)
        def slow(n):
            time.sleep(0.2)
            return "kept"

        try:
            print(slow(1))
        except TimeoutError:
            print("late")
    """
    assert run(code, str(tmp_path / "store")) == "late\n"
    assert run(code, str(tmp_path / "store")) == "kept\n"


def test_a_child_of_a_fork_has_places_and_results_of_its_own() -> None:
    assert run("""if True:
        import os, threading
        from cachekit import cache
        import cachekit._limits as limits

        gate = threading.Event()
        limits._places = threading.Semaphore(1)

        @cache(backend=None, hard_limit=0.05)
        def waits(n):
            gate.wait()

        @cache(backend=None, hard_limit=30)
        def quick(n):
            return n

        try:
            waits(1)
        except TimeoutError:
            pass
        child = os.fork()
        if child == 0:
            os._exit(quick(5))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if hasattr(os, "waitstatus_to_exitcode") else 5)
        gate.set()
    """) == "5\n"
