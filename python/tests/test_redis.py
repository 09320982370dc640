"""The Redis store from Python, over a server of the test's own."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachekit import cache
from cachekit.backends import BackendError, BackendErrorType, BaseBackend, RedisBackend, RedisBackendConfig
from cachekit.backends.redis import tenant_context
from cachekit.config import set_default_backend
from cachekit.errors import ConfigurationError


def kind_of(call) -> BackendErrorType:
    with pytest.raises(BackendError) as caught:
        call()
    return caught.value.error_type


def await_value(backend: RedisBackend, key: str, value: bytes | None) -> None:
    """Until the server answers in time."""
    until = time.monotonic() + 60
    while True:
        try:
            assert backend.get(key) == value
            return
        except BackendError:
            assert time.monotonic() < until
            time.sleep(0.02)


# ---- the backend itself ---------------------------------------------------------------------------------------


def test_the_documented_names():
    from cachekit.backends.redis import RedisBackend as one
    from cachekit.backends.redis.config import RedisBackendConfig as two
    from cachekit.backends.redis.provider import tenant_context as three

    assert (one, two, three) == (RedisBackend, RedisBackendConfig, tenant_context)


def test_it_keeps_bytes_under_the_keys_as_they_are(redis):
    backend = RedisBackend(redis.url)
    assert isinstance(backend, BaseBackend)
    values = {"a": b"", "b:c": b"\x00\xff" * 1000, "\u65e5\u672c %/?#": b"x", "k" * 300: b"large" * 100000}
    for key, value in values.items():
        assert backend.get(key) is None
        assert not backend.exists(key)
        backend.set(key, value)
        assert backend.get(key) == value
        assert backend.exists(key)
    assert redis.entries() == set(values)
    for key in values:
        assert backend.delete(key) is True
        assert backend.delete(key) is False
    assert redis.entries() == set()


def test_lifetimes(redis):
    backend = RedisBackend(redis.url)
    backend.set("k", b"v", ttl=100)
    assert 98 < backend.get_ttl("k") <= 100
    assert backend.refresh_ttl("k", 200) is True
    assert 198 < backend.get_ttl("k") <= 200
    backend.set("k", b"v")
    assert backend.get_ttl("k") is None
    assert backend.get_ttl("absent") is None
    assert backend.refresh_ttl("absent", 5) is False
    backend.set("k", b"v", ttl=0.02)
    time.sleep(0.05)
    assert backend.get("k") is None
    for ttl in (0, -1, 315360001):
        assert kind_of(lambda: backend.set("k", b"v", ttl=ttl)) is BackendErrorType.PERMANENT  # noqa: B023


def test_a_lock_is_held_by_one(redis):
    one, other = RedisBackend(redis.url), RedisBackend(redis.tcp_url)
    with one.acquire_lock("k", 30) as held:
        assert held is True
        assert redis.keys() == {"k:lock", "ck:fence"}
        with other.acquire_lock("k", 30) as second:
            assert second is False
        with other.acquire_lock("k", 30, blocking_timeout=0.05) as second:
            assert second is False
    with other.acquire_lock("k", 30) as held:
        assert held is True
    with pytest.raises(ZeroDivisionError), one.acquire_lock("k", 30) as held:
        assert held
        1 / 0  # noqa: B018
    with one.acquire_lock("k", 0.03) as held:
        assert held
        time.sleep(0.06)
        with other.acquire_lock("k", 30) as second:
            assert second  # the first has freed itself
    lock = one.acquire_lock("k", 30)
    assert lock.renew() is False
    with lock:
        assert lock.renew() is True
    for timeout in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            one.acquire_lock("k", timeout)


def test_a_lock_that_a_server_takes_for_nobody_is_let_go(redis_with):
    server = redis_with()
    # Not shorter: whoever gives up sooner does so on a busy machine also when the server is back.
    url = RedisBackendConfig(redis_url=server.url, socket_timeout=2, socket_connect_timeout=2).url
    one, other = RedisBackend(url), RedisBackend(server.url)
    with other.acquire_lock("warm", 600):  # the server knows what a lock is
        await_value(one, "absent", None)  # and this one is connected
    server.pause()
    with pytest.raises(BackendError), one.acquire_lock("k", 600):
        raise AssertionError("nobody answers")
    server.resume()
    with other.acquire_lock("k", 600, blocking_timeout=60) as held:
        assert held


def test_who_waits_for_a_lock_gets_it_and_stops_no_loop(redis):
    backend = RedisBackend(redis.url)

    async def wait() -> tuple[bool, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.ensure_future(tick())
        async with backend.acquire_lock("k", 30) as first:
            assert first
            waiting = asyncio.ensure_future(take())
            while ticks < 10:
                await asyncio.sleep(0.005)
        second = await waiting
        ticking.cancel()
        return second, ticks

    async def take() -> bool:
        async with backend.acquire_lock("k", 30, blocking_timeout=60) as held:
            return held

    second, ticks = asyncio.run(wait())
    assert second and ticks >= 10
    assert "k:lock" not in redis.keys()


def test_who_is_cancelled_while_waiting_leaves_no_lock(redis):
    backend = RedisBackend(redis.url)

    async def main() -> None:
        for pause in (0, 0.001, 0.01):

            async def take() -> None:
                async with backend.acquire_lock("k", 30, blocking_timeout=5):
                    await asyncio.sleep(5)

            task = asyncio.ensure_future(take())
            await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert "k:lock" not in redis.keys()


def test_nor_does_who_is_cancelled_by_the_end_of_the_loop():
    from cachekit.backends.redis._locks import Lock

    ends = threading.Event()
    released = []

    def do(operation: str, *_: object) -> bytes:
        if operation == "lock":
            ends.wait(60)
        else:
            released.append(operation)
        return bytes(16)

    async def main() -> None:
        async def take() -> None:
            async with Lock(do, "k", 30, None):
                raise AssertionError("it was cancelled")

        task = asyncio.ensure_future(take())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        threading.Timer(0.1, ends.set).start()  # by then the loop takes nothing for its threads any more

    asyncio.run(main())
    assert released == ["unlock"]


def test_its_health_tells_of_server_and_connections(redis):
    backend = RedisBackend(RedisBackendConfig(redis_url=redis.url, connection_pool_size=25))
    healthy, details = backend.health_check()
    assert healthy
    assert details["backend_type"] == "redis"
    assert 0 <= details["latency_ms"] < 1000
    assert details["version"][0].isdigit()
    assert details["connected_clients"] >= 1
    assert details["used_memory_human"]
    assert details["connection_pool"]["created_connections"] >= 1
    pool = details["connection_pool"]
    assert pool["available_connections"] + pool["in_use_connections"] == 25


# ---- configuration --------------------------------------------------------------------------------------------


def test_every_field_has_its_effect_in_the_url():
    config = RedisBackendConfig(
        redis_url="redis://h/2",
        connection_pool_size=25,
        socket_timeout=0.5,
        socket_connect_timeout=2,
        socket_keepalive=False,
        disable_hiredis=True,
    )
    assert config.url == (
        "redis://h/2?connection_pool_size=25&socket_timeout=0.5&socket_connect_timeout=2&socket_keepalive=false"
    )
    config = RedisBackendConfig(redis_url="redis://h?max_connections=7&socket_timeout=3&db=1", socket_timeout=4)
    assert "max_connections=7" in config.url and "connection_pool_size" not in config.url
    assert "socket_timeout=3" not in config.url and "socket_timeout=4" in config.url and "db=1" in config.url


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://other")
    assert RedisBackendConfig().redis_url == "redis://other"
    monkeypatch.setenv("CACHEKIT_REDIS_URL", "redis://mine")
    monkeypatch.setenv("CACHEKIT_SOCKET_TIMEOUT", "2.5")
    monkeypatch.setenv("CACHEKIT_CONNECTION_POOL_SIZE", "20")
    monkeypatch.setenv("CACHEKIT_SOCKET_KEEPALIVE", "false")
    monkeypatch.setenv("CACHEKIT_DISABLE_HIREDIS", "true")
    config = RedisBackendConfig.from_env()
    assert (config.redis_url, config.socket_timeout, config.connection_pool_size) == ("redis://mine", 2.5, 20)
    assert (config.socket_keepalive, config.disable_hiredis) == (False, True)
    assert RedisBackend().config.redis_url == "redis://mine"
    monkeypatch.setenv("CACHEKIT_SOCKET_TIMEOUT", "0")
    with pytest.raises(ConfigurationError, match="CACHEKIT_SOCKET_TIMEOUT=0: expected seconds, 0.001 to 3600"):
        RedisBackendConfig()


@pytest.mark.parametrize(
    "given", [{"connection_pool_size": 0}, {"socket_timeout": 0}, {"socket_connect_timeout": "x"}, {"flux": 1},
              {"redis_url": ""}, {"redis_url": "file:///x"}, {"redis_url": "redis:hunter2@h"}, {"redis_url": 5}]
)  # fmt: skip
def test_a_wrong_field_is_refused(given):
    with pytest.raises(ConfigurationError) as caught:
        RedisBackendConfig(**given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://u:hunter2@h/x", "redis://u:hunter2@h:99999", "redis://:hunter2@h?flux=1",
                                 "unix://host:hunter2/x", "redis://u:hunter2@h?db=-1"])  # fmt: skip
def test_a_wrong_url_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError) as caught:
        RedisBackend(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_passwords_are_shown_nowhere():
    backend = RedisBackend("redis://joe:hunter2@127.0.0.1:1/0")
    shown = [repr(backend), str(backend), repr(backend.config), str(backend.config), str(backend.config.to_dict())]
    with pytest.raises(BackendError) as caught:
        backend.get("k")
    shown += [str(caught.value), repr(caught.value), repr(caught.value.original_exception)]
    shown.append(str(backend.health_check()))
    assert all("hunter2" not in text for text in shown)
    assert "127.0.0.1:1" in shown[0]
    for url in ("redis://127.0.0.1:1?password=hunter2&db=1", "redis+sentinel://:hunter2@h1,h2/m?sentinel_password=hunter2"):
        assert "hunter2" not in repr(RedisBackend(url)) + str(RedisBackend(url).config.to_dict())


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1?password=hunter2", "redis://127.0.0.1:1?db=1&password=hunter2&protocol=2",
                                 "redis+sentinel://127.0.0.1:1/m?sentinel_password=hunter2&password=hunter2"])  # fmt: skip
def test_passwords_that_are_parameters_are_shown_nowhere(url):
    backend = RedisBackend(url)
    assert "hunter2" not in repr(backend) + repr(backend.config) + str(backend.config.to_dict())
    assert "127.0.0.1:1" in repr(backend)
    with pytest.raises(BackendError) as caught:
        backend.get("k")
    assert "hunter2" not in str(caught.value)


def test_what_is_no_configuration_is_refused():
    with pytest.raises(TypeError):
        RedisBackend(5)
    with pytest.raises(TypeError):
        RedisBackend("redis://h", redis_url="redis://h")
    assert RedisBackend(redis_url="redis://h").config.redis_url == "redis://h"


def test_a_backend_can_be_pickled(redis):
    backend = RedisBackend(redis.url)
    backend.set("k", b"v")
    again = pickle.loads(pickle.dumps(backend))
    assert again.get("k") == b"v"


# ---- what goes wrong ------------------------------------------------------------------------------------------


def test_a_wrong_password_is_a_matter_of_authentication(redis_with):
    server = redis_with(requirepass="right")
    good = RedisBackend(server.url)
    good.set("k", b"v")
    assert good.get("k") == b"v"
    for url in (server.url.replace("right", "wrong-hunter2"), f"unix://{server.path}"):
        backend = RedisBackend(url)
        with pytest.raises(BackendError) as caught:
            backend.get("k")
        assert caught.value.error_type is BackendErrorType.AUTHENTICATION
        assert not caught.value.is_transient
        assert "hunter2" not in str(caught.value)
        healthy, details = backend.health_check()
        assert not healthy and details["error_type"] == "authentication" and details["latency_ms"] == -1


def test_nobody_there_is_passing(tmp_path):
    backend = RedisBackend("redis://127.0.0.1:1")
    assert kind_of(lambda: backend.get("k")) is BackendErrorType.TRANSIENT
    healthy, details = backend.health_check()
    assert not healthy and details["error_type"] == "transient"


def test_a_replica_that_is_read_only_is_passing(redis_with):
    server = redis_with()
    server.send("REPLICAOF", "127.0.0.1", "1")
    backend = RedisBackend(server.url)
    assert kind_of(lambda: backend.set("k", b"v")) is BackendErrorType.TRANSIENT
    server.send("REPLICAOF", "NO", "ONE")
    backend.set("k", b"v")


def test_a_server_that_sleeps_is_a_timeout(redis_with):
    server = redis_with()
    backend = RedisBackend(RedisBackendConfig(redis_url=server.url, socket_timeout=0.1))
    RedisBackend(server.url).set("k", b"v")
    server.pause()
    try:
        assert kind_of(lambda: backend.get("k")) is BackendErrorType.TIMEOUT
    finally:
        server.resume()
    await_value(backend, "k", b"v")


def test_a_peer_that_is_no_redis_is_told_from_one():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                while True:
                    with listener.accept()[0] as link:
                        link.recv(1000)
                        link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        backend = RedisBackend(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(BackendError):
            backend.get("k")
        assert not backend.health_check()[0]


def test_a_server_that_dies_and_comes_back(redis_with):
    server = redis_with()
    runs = 0

    @cache(backend=RedisBackend(server.url), l1_enabled=False)
    def slow(number):
        nonlocal runs
        runs += 1
        return number + 1

    assert (slow(1), slow(1), runs) == (2, 2, 1)
    server.stop()
    for _ in range(20):  # many are told that nobody is there, and few have tried
        assert slow(1) == 2
    assert runs == 21
    server.start()
    until = time.monotonic() + 60
    before = runs
    while not any(key.startswith("ns:") or "func:" in key for key in server.entries()):
        assert slow(1) == 2
        assert time.monotonic() < until
        time.sleep(0.1)
    before = -1
    while runs != before:  # what the store missed while it was away is made up for first, and that takes entries away
        before = runs
        assert slow(1) == 2
        assert time.monotonic() < until


# ---- decorated functions --------------------------------------------------------------------------------------


def test_results_are_shared_by_processes_through_the_server(redis):
    runs = []

    def decorated(number):
        runs.append(number)
        return {"number": number, "list": [1, 2.5, None, b"x"]}

    one = cache(backend=RedisBackend(redis.url), ttl=60)(decorated)
    other = cache(backend=RedisBackend(redis.tcp_url), ttl=60)(decorated)
    assert one(7) == other(7) == decorated(7)
    assert runs == [7, 7]
    assert other.cache_info().l2_hits == 1
    key = next(iter(redis.entries()))
    assert not key.startswith("t:")
    other.invalidate_cache(7)
    assert redis.entries() == set()


def test_coroutine_functions_share_one_connection(redis):
    backend = RedisBackend(redis.url)

    @cache(backend=backend, ttl=60, l1_enabled=False)
    async def slow(number):
        return number * 2

    async def main() -> list[int]:
        await asyncio.gather(*(slow(i) for i in range(200)))
        return await asyncio.gather(*(slow(i) for i in range(200)))

    assert asyncio.run(main()) == [2 * i for i in range(200)]
    assert slow.cache_info().l2_hits == 200
    health = asyncio.run(slow.check_health())
    assert health["system"]["redis_connection"] == "active"
    assert 1 <= health["system"]["connection_pool"]["created_connections"] <= 10
    assert health["system"]["connection_pool"]["available_connections"] <= 10


def test_pipelined_is_accepted_and_refresh_ttl_on_get_slides(redis):
    @cache(backend=RedisBackend(redis.url), ttl=100, refresh_ttl_on_get=True, ttl_refresh_threshold=0.9,
           pipelined=True, l1_enabled=False)  # fmt: skip
    def slow(number):
        return number

    slow(1)
    key = next(iter(redis.entries()))
    redis.send("EXPIRE", key, "20")
    assert slow(1) == 1
    until = time.monotonic() + 60
    while RedisBackend(redis.url).get_ttl(key) <= 90:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_process_computes_a_value_for_all(redis):
    runs = []

    def body(number):
        runs.append(number)
        time.sleep(0.2)
        return number

    one = cache(backend=RedisBackend(redis.url), ttl=60)(body)
    other = cache(backend=RedisBackend(redis.tcp_url), ttl=60)(body)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(function, 1) for function in (one, other, one, other)]
        assert [answer.result() for answer in answers] == [1, 1, 1, 1]
    assert runs == [1]


def test_a_default_backend(redis):
    set_default_backend(RedisBackend(redis.url))

    @cache(ttl=60)
    def slow():
        return 1

    assert slow() == 1
    assert len(redis.entries()) == 1


def test_a_forked_child_has_connections_of_its_own(redis):
    backend = RedisBackend(redis.url)
    backend.set("k", b"parent")
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = all(backend.get("k") == b"parent" for _ in range(100))
            backend.set("child", b"child")
        finally:
            os._exit(0 if good else 1)
    assert all(backend.get("k") == b"parent" for _ in range(100))
    assert os.waitpid(child, 0)[1] == 0
    assert backend.get("child") == b"child"
