"""The thread sanitizer sees what extensions do in Python's threads, and what the interpreter's lock puts in order."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif("thread" not in os.environ.get("CKIT_SANITIZE", ""), reason="a build without it")

SCRIPT = """
import ctypes, sys, threading
library = getattr(ctypes, sys.argv[1])(sys.argv[2])
threads = [threading.Thread(target=library.count_up, args=(int(sys.argv[3]),)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("over")
"""


def count_up(loader: str, together: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, loader, os.environ["CKIT_RACY"], str(together)],
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_race_without_the_interpreter_s_lock_is_found() -> None:
    done = count_up("CDLL", 2)  # which lets the lock go
    assert done.returncode != 0
    assert "data race" in done.stderr and "count_up" in done.stderr


def test_what_the_interpreter_s_lock_puts_in_order_is_none() -> None:
    done = count_up("PyDLL", 1)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
