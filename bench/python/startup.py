"""What a program pays for the import: whole processes, with and without it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from common import Row, Rows, Setting

_PROCESSES = 15


def _process(program: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - begin


def _import(name: str, setting: Setting) -> Row:
    programs = ("pass", "import cachekit")
    for program in programs:  # reads the files, and writes compiled ones
        _process(program)
    taken = [[_process(program) for program in programs] for _ in range(_PROCESSES)]
    without, whole = (statistics.median(times) * 1e3 for times in zip(*taken))
    added = whole - without
    return Row(name, added, "ms", "added to python -c pass of", without, None, "<= 30", added <= 30)


ROWS: Rows = {"python.import": _import}
