"""What tests of `cachekit run` share: a command that counts its runs, and waiting for others."""

import threading

import pytest


@pytest.fixture
def counted(tool):
    """A command that leaves one line in a file per run: (words of the command, how often it ran). Its script has the run's
    number as $n, which is settled before the line is there."""
    log = tool.home / "runs"

    def runs():
        return len(log.read_text().splitlines()) if log.exists() else 0

    def command(script="echo answer"):
        return ["sh", "-c", f"touch '{log}'; n=$(($(wc -l < '{log}') + 1)); echo run >> '{log}'; {script}"]

    return command, runs


def wait_until(condition):
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")
