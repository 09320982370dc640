"""Every test starts without settings in the environment, without a default backend, and with a directory of its own for
what it stores. In a build with AddressSanitizer the session fails when memory is out of reach at its end."""

from __future__ import annotations

import atexit
import ctypes
import gc
import logging
import os
import sys
import tracemalloc
from pathlib import Path

import pytest

# An installed package is tested where it is; in the build tree PYTHONPATH leads to it.
SOURCE = Path(os.environ.get("CKIT_SOURCE", Path(__file__).parents[2]))


sys.path.insert(0, str(SOURCE / "tests" / "support"))  # redis_server


def _is_setting(name: str) -> bool:
    return name.startswith("CACHEKIT_") or name in ("REDIS_URL", "LOG_LEVEL")


# What is read while a test file is imported must not come from outside either.
for _name in [name for name in os.environ if _is_setting(name)]:
    del os.environ[_name]


SANITIZED = "address" in os.environ.get("CKIT_SANITIZE", "")
if SANITIZED:
    # It leaks a little itself, and what it would find is found below.
    tracemalloc.start = lambda *_: pytest.skip("LeakSanitizer looks for leaks here")


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in [name for name in os.environ if _is_setting(name)]:
        monkeypatch.delenv(name)
    # No test meets a Redis that happens to run on this machine.
    monkeypatch.setattr("cachekit._stores._without_choice", lambda: None)
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    loggers = [logging.getLogger(), logging.getLogger("cachekit")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before):  # an example of the guides may have set them
        logger.setLevel(level)
        logger.handlers[:] = handlers
    config = sys.modules.get("cachekit.config")
    if config is not None:
        config.set_default_backend(None)
        config.reset_settings()


@pytest.fixture
def default_guard():
    """For tests of the guard's own defaults."""


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Where a test says nothing about it, stores have time: the tenth of a second that an operation, or its place in the
    queue, has at least is too little on a machine that is busy."""
    if "default_guard" in request.fixturenames:
        return
    from cachekit import _guards
    from cachekit.config.nested import BackpressureConfig, TimeoutConfig

    timeout_options, pressure_options = _guards.timeout_options, _guards.pressure_options
    longer = {TimeoutConfig(): TimeoutConfig(initial=10, min=10), BackpressureConfig(): BackpressureConfig(timeout=10)}
    monkeypatch.setattr(_guards, "timeout_options", lambda timeout: timeout_options(longer.get(timeout, timeout)))
    monkeypatch.setattr(_guards, "pressure_options", lambda pressure: pressure_options(longer.get(pressure, pressure)))


@pytest.fixture(scope="session")
def one_redis():
    import redis_server

    if not redis_server.available():
        pytest.skip("redis-server is not installed")
    server = redis_server.RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis(one_redis, monkeypatch: pytest.MonkeyPatch):
    """A server that is empty and works. It has time to answer: on a busy machine it may need longer than the second after
    which stores give up by themselves, and a call that is given up is a miss."""
    for name in ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT", "STORE_TIMEOUT_SECONDS"):
        monkeypatch.setenv(f"CACHEKIT_{name}", "60")
    one_redis.send("FLUSHALL")
    yield one_redis


@pytest.fixture
def redis_with():
    """Makes servers with options: `redis_with(requirepass="secret")`."""
    import redis_server

    if not redis_server.available():
        pytest.skip("redis-server is not installed")
    servers = []

    def make(**options):
        servers.append(redis_server.RedisServer(**options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def source() -> Path:
    """The root of the repository."""
    return SOURCE


def _collect() -> None:
    for _ in range(3):  # a finalizer may leave new garbage
        gc.collect()


def _fail_on_leaks() -> None:
    if ctypes.CDLL(None).__lsan_do_recoverable_leak_check() != 0:
        print("\nLeakSanitizer found memory out of reach, see above", file=sys.stderr, flush=True)
        os._exit(1)


def pytest_sessionfinish(exitstatus: int) -> None:
    if SANITIZED and exitstatus == pytest.ExitCode.OK:
        # Not here: LeakSanitizer does not see what running frames refer to. The interpreter is alive then all the same. Nor
        # in the frame that collects: a cache that goes then may log a line, which makes objects of the frames around it.
        atexit.register(_fail_on_leaks)
        atexit.register(_collect)  # before
