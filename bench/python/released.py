"""The released package `cachekit` in a process of its own, because two packages of one name do not fit into one.

`python released.py DIRECTORY`, with an interpreter that has it installed, prints its version, then reads requests, a line
`WORK OPERATIONS` each, and answers with the seconds that took.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from common import Timed
from stored import WORKS


class Released:
    """The process, seen from the one that measures. Close it."""

    def __init__(self, interpreter: str, scratch: Path) -> None:
        self._process = subprocess.Popen(
            [interpreter, __file__, str(scratch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the process of the released cachekit has ended")
        return line

    def work(self, name: str) -> Timed:
        """A work of stored.py, done there."""

        def timed(operations: int) -> float:
            assert self._process.stdin is not None
            print(name, operations, file=self._process.stdin, flush=True)
            return float(self._answer())

        return timed

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve(scratch: Path) -> None:
    works: dict[str, Timed] = {}
    print(importlib.metadata.version("cachekit"), flush=True)
    for line in sys.stdin:
        name, operations = line.split()
        if name not in works:
            works[name] = WORKS[name](scratch)
        print(works[name](int(operations)), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
