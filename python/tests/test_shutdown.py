"""The end of the interpreter, with decorated functions in every state."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest

HEAD = """
import atexit, sys, threading, time
import cachekit._refresh, cachekit._stores
from cachekit import cache
from cachekit.config import L1CacheConfig

SOON = L1CacheConfig(swr_threshold_ratio=0.000001)
started = threading.Event()
"""


def ended(script: str, code: int = 0) -> str:
    """What a program prints that ends with this code and nothing on the error output."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", HEAD + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


def test_a_refresh_that_never_ends_is_abandoned() -> None:
    assert (
        ended("""
        runs = []

        @cache(backend=None, ttl=1000, l1=SOON)
        def function():
            runs.append(1)
            if len(runs) > 1:
                started.set()
                time.sleep(3600)
            return len(runs)

        while not started.is_set():
            assert function() == 1
        print("bye")
        """)
        == "bye\n"
    )


def test_a_refresh_that_ends_soon_is_waited_for() -> None:
    assert (
        ended("""
        runs = []
        leaving = threading.Event()
        cachekit._refresh.WAIT_AT_EXIT_S = 240  # of a busy machine

        @cache(backend=None, ttl=1000, l1=SOON)
        def function():
            runs.append(1)
            if len(runs) > 1:
                started.set()
                leaving.wait(60)
                print("refreshed", flush=True)
            return len(runs)

        while not started.is_set():
            function()
        atexit.register(leaving.set)
        """)
        == "refreshed\n"
    )


STORE = """
class Store:
    def __init__(self):
        self.entries = {}
        self.down = False

    def ask(self):
        if self.down:
            raise ConnectionError("down")
        return self.entries

    def get(self, key):
        return self.ask().get(key)

    def set(self, key, value, ttl=None):
        self.ask()[key] = value

    def delete(self, key):
        return self.ask().pop(key, None) is not None

    def exists(self, key):
        return key in self.ask()

    def health_check(self):
        return not self.down, {}

store = Store()
"""


def test_a_refresh_at_the_end_still_reaches_a_store_written_in_python() -> None:
    assert (
        ended(
            STORE
            + textwrap.dedent("""
        runs = []
        leaving = threading.Event()
        cachekit._refresh.WAIT_AT_EXIT_S = 240
        atexit.register(lambda: print(*(b"second" in value for value in store.entries.values())))

        @cache(backend=store, ttl=1000, l1=SOON)
        def function():
            runs.append(1)
            if len(runs) > 1:
                started.set()
                leaving.wait(60)
            return ("first", "second")[len(runs) - 1]

        while not started.is_set():
            assert function() == "first"
        atexit.register(leaving.set)
        """)
        )
        == "True\n"
    )


def test_what_a_store_written_in_python_did_not_take_is_made_up_for_at_the_end() -> None:
    assert (
        ended(
            STORE
            + textwrap.dedent("""
        import logging
        logging.getLogger("cachekit").setLevel(logging.CRITICAL)
        cachekit._stores.MAKE_UP_AT_EXIT_S = 240
        atexit.register(lambda: print(len(store.entries)))

        @cache(backend=store, ttl=1000)
        def function(x):
            return x

        function(1), function(2)
        store.down = True
        function.invalidate_cache(1)
        store.down = False
        """)
        )
        == "1\n"
    )


def test_no_refresh_begins_at_the_end() -> None:
    assert (
        ended("""
        runs = []

        def last():
            for _ in range(20):
                time.sleep(0.002)
                assert function(1) == 1 and function(2) in (2, 3)
            print(len(runs))

        atexit.register(last)  # before the first cache, so that it comes after its end

        @cache(backend=None, ttl=1000, l1=SOON)
        def function(x):
            runs.append(x)
            return len(runs)

        function(1)
        """)
        == "2\n"
    )


@pytest.mark.parametrize("kind", ["hits", "misses", "failures", "refreshes"])
def test_daemon_threads_that_go_on_calling_do_no_harm(kind: str) -> None:
    call = {
        "hits": "function(1)",
        "misses": "function(next(numbers))",
        "failures": "function(-1)",
        "refreshes": "fresh(1)",
    }[kind]
    assert (
        ended(f"""
        import itertools
        numbers = itertools.count()

        @cache(backend=None)
        def function(x):
            if x < 0:
                raise ValueError(x)
            return [x]

        @cache(backend=None, ttl=1000, l1=SOON)
        def fresh(x):
            return [x]

        def run():
            while True:
                try:
                    {call}
                except ValueError:
                    pass
                started.set()

        for _ in range(4):
            threading.Thread(target=run, daemon=True).start()
        started.wait(60)
        time.sleep(0.05)
        print("bye")
        """)
        == "bye\n"
    )


def test_daemon_threads_inside_a_function_and_waiting_for_one_do_no_harm() -> None:
    assert (
        ended("""
        @cache(backend=None)
        def function(x):
            started.set()
            time.sleep(3600)

        for _ in range(3):
            threading.Thread(target=function, args=(1,), daemon=True).start()
        started.wait(60)
        time.sleep(0.05)
        print("bye")
        """)
        == "bye\n"
    )


def test_other_threads_finish_their_calls_first() -> None:
    assert (
        ended("""
        leaving = threading.Event()

        @cache(backend=None)
        def function(x):
            started.set()
            threading.main_thread().join()
            return x

        threading.Thread(target=lambda: print(function("computed"))).start()
        started.wait(60)
        """)
        == "computed\n"
    )


def test_functions_can_be_called_to_the_very_end() -> None:
    assert (
        ended("""
        @cache(backend=None)
        def function(x):
            return [x]

        class Last:
            def __del__(self, function=function, print=print):
                print(function(1), function(2))

        function(1)
        last = Last()
        last.itself = last
        sys.modules["kept until modules are cleared"] = last
        atexit.register(function, 3)
        """)
        == "[1] [2]\n"
    )


def test_objects_in_memory_at_the_end_do_no_harm() -> None:
    assert (
        ended("""
        class Thing:
            def __init__(self, x):
                self.x = x
            def __del__(self):
                try:
                    function(self.x + 1000)
                except Exception:
                    pass

        @cache(backend=None)
        def function(x):
            return Thing(x) if x < 1000 else x

        for x in range(500):
            function(x)
        function.cache_clear()
        for x in range(500):
            function(x)
        print("bye")
        """)
        == "bye\n"
    )


@pytest.mark.parametrize("how, code", [("sys.exit(3)", 3), ("raise SystemExit(3)", 3), ("import os; os._exit(3)", 3)])
def test_a_function_may_end_the_program(how: str, code: int) -> None:
    ended(
        f"""
        @cache(backend=None)
        def function():
            {how}

        function()
        """,
        code,
    )


def test_over_files_too(tmp_path: Any) -> None:
    assert (
        ended(f"""
        from cachekit.backends import FileBackend, FileBackendConfig
        import itertools
        numbers = itertools.count()

        @cache(backend=FileBackend(FileBackendConfig(cache_dir={str(tmp_path / "store")!r})))
        def function(x):
            return [x]

        def run():
            while True:
                function(next(numbers))
                started.set()

        for _ in range(3):
            threading.Thread(target=run, daemon=True).start()
        started.wait(60)
        print("bye")
        """)
        == "bye\n"
    )
