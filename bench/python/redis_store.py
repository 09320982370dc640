"""Redis on one core with its client: a server of its own, 64-byte values, no copies in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from common import Row, Rows, Setting, Timed, Unavailable, at_least, measure, plain, repeated

_CONCURRENT = 1000
_VALUE = b"v" * 64
_KEY = "func:report:args:" + "0" * 64 + ":1s"


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """The port of a server that shares the one core that this process is bound to meanwhile."""
    cores = os.sched_getaffinity(0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.sched_setaffinity(0, {max(cores)})
    try:
        with tempfile.TemporaryDirectory(prefix="cachekit-bench-redis-") as directory:
            command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
            try:
                server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            except FileNotFoundError:
                raise Unavailable("redis-server is not installed") from None
            try:
                _wait_for(port)
                yield port
            finally:
                server.terminate()
                server.wait()
    finally:
        os.sched_setaffinity(0, cores)


def _wait_for(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(5) == b"+PONG":
                return
        time.sleep(0.02)
    raise Unavailable("redis-server does not answer")


def _peer(port: int) -> Any:
    import hiredis  # redis-py takes it by itself when it is there
    import redis

    del hiredis
    return redis.Redis(port=port)


# ---- one caller -------------------------------------------------------------------------------------------------


def _sync(name: str, setting: Setting) -> Row:
    from cachekit.backends import RedisBackend

    with _server() as port:
        theirs = _peer(port)
        ours = RedisBackend(f"redis://127.0.0.1:{port}")
        ours.set(_KEY, _VALUE, 3600)
        if ours.get(_KEY) != _VALUE or theirs.get(_KEY) != _VALUE:
            raise RuntimeError("this is not what was stored")
        times = measure(
            ours=repeated("get(key)", get=ours.get, key=_KEY), theirs=repeated("get(key)", get=theirs.get, key=_KEY)
        )
        return at_least(name, 1 / times["ours"], "/s", "redis-py, hiredis", 1 / times["theirs"], 1.5)


def _decorated(name: str, setting: Setting) -> Row:
    from cachekit import cache
    from cachekit.backends import RedisBackend

    with _server() as port:
        theirs = _peer(port)
        theirs.set(_KEY, _VALUE, 3600)
        ours: Any = cache(backend=RedisBackend(f"redis://127.0.0.1:{port}"), ttl=3600, l1_enabled=False)(_answer)
        ours(1)
        times = measure(ours=repeated("f(1)", f=ours), theirs=repeated("get(key)", get=theirs.get, key=_KEY))
        _expect_stored(ours, theirs)
        return plain(name, 1 / times["ours"], "/s", "redis-py, hiredis", 1 / times["theirs"])


def _answer(number: int) -> bytes:
    return _VALUE


def _expect_stored(function: Any, client: Any) -> None:
    if client.dbsize() < 2 or function.cache_info().misses > _CONCURRENT:
        raise RuntimeError("the store did not answer these calls")


# ---- many at once -----------------------------------------------------------------------------------------------


async def _answer_later(number: int) -> bytes:
    return _VALUE


def _together(loop: asyncio.AbstractEventLoop, call: Any) -> Timed:
    """So many rounds of all calls at once; one operation is a call."""

    async def run(rounds: int) -> float:
        begin = time.perf_counter()
        for _ in range(rounds):
            await asyncio.gather(*map(call, range(_CONCURRENT)))
        return time.perf_counter() - begin

    return lambda rounds: loop.run_until_complete(run(rounds))


def _async(name: str, setting: Setting) -> Row:
    import hiredis
    import redis.asyncio

    del hiredis
    from cachekit import cache
    from cachekit.backends import RedisBackend

    with _server() as port:
        watching = _peer(port)
        watching.set(_KEY, _VALUE, 3600)
        ours: Any = cache(backend=RedisBackend(f"redis://127.0.0.1:{port}"), ttl=3600, l1_enabled=False)(_answer_later)
        loop = asyncio.new_event_loop()
        theirs = redis.asyncio.Redis(port=port, max_connections=2 * _CONCURRENT)
        try:
            times = measure(ours=_together(loop, ours), theirs=_together(loop, lambda number: theirs.get(_KEY)))
            _expect_stored(ours, watching)
        finally:
            loop.run_until_complete(theirs.aclose())
            loop.close()
        return at_least(
            name, _CONCURRENT / times["ours"], "/s", "redis.asyncio, hiredis", _CONCURRENT / times["theirs"], 5.0
        )


ROWS: Rows = {
    "python.redis.sync": _sync,
    "python.redis.sync.decorated": _decorated,
    "python.redis.async1000": _async,
}
