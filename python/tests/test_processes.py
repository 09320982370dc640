"""Other processes: workers of every kind, and fork at bad moments."""

from __future__ import annotations

import concurrent.futures
import copy
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
from typing import Any, Callable

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig

KINDS = ["fork", "spawn", "forkserver"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork with threads, which is the point here


@cache(backend=None)
def square(x: int) -> tuple[int, int]:
    return x * x, os.getpid()


def over_files(directory: str) -> Any:
    @cache(backend=FileBackend(FileBackendConfig(cache_dir=directory)), ttl=600)
    def slow(x: int) -> list[int]:
        with open(os.path.join(directory, "..", "runs"), "a") as runs:
            runs.write("x")
        time.sleep(0.05)
        return [x]

    return slow


def work_over_files(directory: str) -> list[int]:
    return over_files(directory)(5)


def count(_: int) -> tuple[int, int]:
    square(3), square(3)
    return square.cache_info()[:2]


# ---- workers -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_workers_call_decorated_functions(kind: str) -> None:
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(kind)) as pool:
        results = list(pool.map(square, range(20)))  # sent by its name
        assert [number for number, _ in results] == [x * x for x in range(20)]
        assert os.getpid() not in {process for _, process in results}


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_counts_from_zero(kind: str) -> None:
    square(3), square(3), square(4)
    with multiprocessing.get_context(kind).Pool(1) as pool:
        hits, misses = pool.apply(count, (0,))
    assert (hits, misses) in ([(2, 0)] if kind == "fork" else [(1, 1)])  # a fork keeps the results


@pytest.mark.parametrize("kind", KINDS)
def test_workers_share_files_and_compute_once(kind: str, tmp_path: Any) -> None:
    directory = str(tmp_path / "store")
    with multiprocessing.get_context(kind).Pool(3) as pool:
        assert pool.map(work_over_files, [directory] * 6) == [[5]] * 6
    assert (tmp_path / "runs").read_text() == "x"


# ---- fork -----------------------------------------------------------------------------------------------------------------------


def in_child(run: Callable[[], Any]) -> Any:
    """What `run` gives in a forked process."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            signal.alarm(240)
            os.write(writing, pickle.dumps(run()))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(process, 0)
    assert data
    return pickle.loads(data)


def test_a_child_has_the_results_and_counts_of_its_own() -> None:
    runs: list[int] = []

    @cache(backend=None)
    def function(x: int) -> int:
        runs.append(x)
        return x

    function(1), function(1)
    session = function.cache_info().session_id

    def child() -> Any:
        zero = function.cache_info()
        function(1), function(2)
        return zero, function.cache_info(), runs

    zero, info, ran = in_child(child)
    assert zero[:4] == (0, 0, 0, 0) and zero.last_operation_at is None
    assert (info.hits, info.misses) == (1, 1) and ran == [1, 2]
    assert info.session_id != session
    assert function.cache_info()[:2] == (1, 1) and function.cache_info().session_id == session
    function.cache_clear()
    assert in_child(function.cache_info).session_id.count("#") == 0


def test_fork_while_another_thread_is_inside_the_function() -> None:
    inside, gate = threading.Event(), threading.Event()
    parent = os.getpid()

    @cache(backend=None)
    def function(x: int) -> int:
        if os.getpid() == parent:
            inside.set()
            assert gate.wait(60)
        return os.getpid()

    results: list[int] = []
    leader = threading.Thread(target=lambda: results.append(function(1)))
    leader.start()
    assert inside.wait(60)
    follower = threading.Thread(target=lambda: results.append(function(1)))
    follower.start()
    while function.cache.stats()["flight_waits"] < 1:
        time.sleep(0.001)
    assert in_child(lambda: function(1)) not in (0, parent)  # nobody computes it there: the child does
    gate.set()
    leader.join(60), follower.join(60)
    assert results == [parent, parent]


def test_fork_inside_the_function() -> None:
    @cache(backend=None)
    def function(x: int) -> Any:
        return in_child(lambda: [function(x + 1), os.getpid()]) if x == 1 else x

    result = function(1)
    assert result[0] == 2 and result[1] != os.getpid()


def test_a_child_goes_on_inside_the_function_that_forked() -> None:
    @cache(backend=None)
    def function(x: int) -> int:
        return os.fork()

    reading, writing = os.pipe()
    process = function(1)
    if process == 0:
        try:
            os.write(writing, b"%d" % function(1))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"0"
    os.waitpid(process, 0)
    assert function(1) == process


@pytest.mark.skipif("CKIT_SANITIZE" in os.environ, reason="a sanitizer's allocator may be locked when a thread forks")
def test_forks_while_threads_call_and_clear() -> None:
    stop = threading.Event()

    @cache(backend=None)
    def function(x: int) -> list[int]:
        return [x]

    def work(offset: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            function(number % 100 + offset)
            if number % 50 == 0:
                function.invalidate_cache(number % 100 + offset)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 0, 50)]
    for thread in threads:
        thread.start()

    def child() -> list[list[int]]:
        function.cache_clear()
        found = [function(number) for number in range(150)]
        gc.collect()
        return found

    try:
        for _ in range(10):
            assert in_child(child) == [[number] for number in range(150)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def test_fork_with_files(tmp_path: Any) -> None:
    slow = over_files(str(tmp_path / "store"))
    assert slow(1) == [1]
    assert in_child(lambda: (slow(1), slow(2), slow.cache_info()[:2])) == ([1], [2], (1, 1))
    slow.cache_clear()
    assert slow(2) == [2]


# ---- pickle and copy ------------------------------------------------------------------------------------------------------------


def test_a_decorated_function_is_pickled_by_its_name() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(square, protocol)) is square
    assert copy.copy(square) is square and copy.deepcopy([square])[0] is square
    local = cache(backend=None)(lambda x: x)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(local)
