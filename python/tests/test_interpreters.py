"""Several interpreters in one process: each has caches of its own, and ends without harm."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAD = """
import sys, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

OWN_LOCK = sys.version_info >= (3, 12)

def create():
    # 3.9 to 3.11 let isolated interpreters have no threads at all; later each has a lock of its own.
    return interpreters.create() if OWN_LOCK else interpreters.create(isolated=False)

def run(which, script):
    failure = interpreters.run_string(which, script)  # an exception itself before 3.13
    assert failure is None, failure

CALLS = '''
from cachekit import cache
from cachekit.config import L1CacheConfig
import threading, time
runs = []

@cache(backend=None)
def function(x):
    runs.append(x)
    return [x, WHO]

@cache(namespace="all")
def document(x):
    runs.append(x)
    return {"x": x, "who": WHO}

assert function(1) is function(1) and function(1) == [1, WHO]
assert document(1) == document(1) == {"x": 1, "who": WHO}
assert runs == [1, 1], runs
assert function({1}) == [{1}, WHO]
for number in range(1000):
    function(number), document(number)
'''

NOT_REFRESHED = CALLS + '''
@cache(backend=None, ttl=1000, l1=L1CacheConfig(swr_threshold_ratio=0.000001))
def soon():
    runs.append(0)
    return len(runs)

first = soon()
for _ in range(10):
    time.sleep(0.002)
    assert soon() == first
'''
"""


def _datetime_works() -> bool:
    """Early versions of 3.12 and 3.13 cannot have it in several interpreters, and everybody imports it."""
    script = """
for _ in range(2):
    both = create(), create()
    for who in both:
        run(who, "import datetime; now = datetime.datetime.now(datetime.timezone.utc)")
    for who in both:
        interpreters.destroy(who)
import datetime
"""
    return subprocess.run([sys.executable, "-c", HEAD + script], capture_output=True, timeout=240).returncode == 0


pytestmark = pytest.mark.skipif(
    not _datetime_works(), reason="this Python's datetime ends the process with a second interpreter"
)


def printed(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "faulthandler", "-c", HEAD + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    errors = [line for line in done.stderr.splitlines() if "runs uncached" not in line and "no store" not in line]
    assert (done.returncode, errors) == (0, [])
    return done.stdout


@pytest.mark.parametrize("first", [True, False], ids=["after the first", "alone"])
def test_interpreters_do_not_see_each_others_results(first: bool) -> None:
    assert (
        printed(f"""
        if {first}:
            exec("WHO = 'first'" + CALLS)
        one, other = create(), create()
        for who in (one, other):
            run(who, f"WHO = {{int(who)}}" + CALLS)
        run(one, "assert function(1) == [1, WHO] and document(1)['who'] == WHO and len(runs) == 2001, len(runs)")
        interpreters.destroy(one)
        run(other, "assert function(1) == [1, WHO] and document(1)['who'] == WHO and len(runs) == 2001, len(runs)")
        interpreters.destroy(other)
        if {first}:
            assert function(1) == [1, "first"]
        print("bye")
        """)
        == "bye\n"
    )


def test_interpreters_come_and_go() -> None:
    assert (
        printed("""
        for number in range(5):
            who = create()
            run(who, f"WHO = {number}" + CALLS)
            interpreters.destroy(who)
        exec("WHO = 'first'" + CALLS)
        print("bye")
        """)
        == "bye\n"
    )


def test_interpreters_run_in_threads_at_once() -> None:
    assert (
        printed("""
        done = []

        def work(number):
            who = create()
            run(who, f"WHO = {number}" + CALLS)
            interpreters.destroy(who)
            done.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
            if not OWN_LOCK:
                thread.join()  # imports of several interpreters at once are not for these versions
        for thread in threads:
            thread.join()
        print(sorted(done))
        """)
        == "[0, 1, 2, 3]\n"
    )


@pytest.mark.skipif(sys.version_info[:2] == (3, 13), reason="ends the process when the interpreter has datetime")
def test_an_interpreter_that_is_left_alone_ends_with_the_process() -> None:
    assert (
        printed("""
        who = create()
        run(who, "WHO = 1" + CALLS)
        exec("WHO = 'first'" + CALLS)
        print("bye")
        """)
        == "bye\n"
    )


def test_other_interpreters_have_no_threads_for_refreshes() -> None:
    # They could not end.
    assert (
        printed("""
        who = create()
        run(who, "WHO = 1" + NOT_REFRESHED)
        interpreters.destroy(who)
        if not OWN_LOCK:
            who = interpreters.create(isolated=True)  # may have no threads at all
            run(who, "WHO = 1" + NOT_REFRESHED)
            interpreters.destroy(who)
        print("bye")
        """)
        == "bye\n"
    )
