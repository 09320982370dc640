"""Lines of the library are records of Python's logging, the last ones too."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from typing import Callable

import pytest

from cachekit import _core, cache
from cachekit.serializers import EncryptionWrapper
from waiting import until

WEAK = "ab" * 32


def told(script: str) -> str:
    """What a program writes that logs to its standard output, and nothing to the other."""
    head = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", head + textwrap.dedent(script)], capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "use",
    [
        lambda: cache.secure(backend=None, master_key=WEAK)(lambda: None),
        lambda: EncryptionWrapper(master_key=bytes.fromhex(WEAK)).serialize(1, cache_key="k"),
        lambda: _core.KeyRing(WEAK),
    ],
    ids=["function", "wrapper", "ring"],
)
def test_a_weak_key_is_told_to_the_log(
    use: Callable[[], object], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING, "cachekit"):
        kept = use()
        until(lambda: "all bytes of the master key are equal" in caplog.text)
    assert kept is not None
    assert [record.name for record in caplog.records if "all bytes" in record.message] == ["cachekit"]
    assert "all bytes" not in capfd.readouterr().err


def test_what_a_cache_says_as_it_closes_at_the_end_is_logged() -> None:
    lines = told("""
        from cachekit import cache
        from cachekit.backends import RedisBackend

        @cache(backend=RedisBackend("redis://127.0.0.1:1"), ttl=60)
        def f(n):
            return n

        for n in range(3):
            f(n)
        """)
    assert "cachekit WARNING cache: redis: the cache closes, and 3 changes" in lines


def test_what_waits_as_the_program_ends_is_logged() -> None:
    lines = told("""
        from cachekit import _core

        guard = _core.Guard(failure_threshold=1)
        guard.leave(guard.enter()[0], 1)
        """)
    assert "cachekit WARNING guard: " in lines and "the circuit is open" in lines
