"""The Redis store from Python, over a server of the test's own."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachekit import cache
from cachekit.backends import BackendError, BackendErrorType, BaseBackend, RedisBackend, RedisBackendConfig
from cachekit.backends.redis import tenant_context
from cachekit.config import L1CacheConfig, set_default_backend
from cachekit.errors import CachekitError, ConfigurationError


def kind_of(call) -> BackendErrorType:
    with pytest.raises(BackendError) as caught:
        call()
    return caught.value.error_type


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
            await asyncio.sleep(0.05)
        second = await waiting
        ticking.cancel()
        return second, ticks

    async def take() -> bool:
        async with backend.acquire_lock("k", 30, blocking_timeout=5) as held:
            return held

    second, ticks = asyncio.run(wait())
    assert second and ticks > 3
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
    backend.set("k", b"v")
    server.pause()
    try:
        assert kind_of(lambda: backend.get("k")) is BackendErrorType.TIMEOUT
    finally:
        server.resume()
    until = time.monotonic() + 60
    while True:
        try:
            assert backend.get("k") == b"v"
            break
        except BackendError:
            assert time.monotonic() < until
            time.sleep(0.02)


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


# ---- the environment ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["CACHEKIT_REDIS_URL", "REDIS_URL"])
def test_the_environment_chooses_redis_and_keys_are_the_default_tenants(variable, redis, monkeypatch):
    monkeypatch.setenv(variable, redis.url)

    @cache(ttl=60, namespace="n")
    def slow(number):
        return number

    assert slow(1) == 1
    assert all(key.startswith("t:default:ns:n:func:") for key in redis.entries())
    assert len(redis.entries()) == 1
    slow.invalidate_cache()
    assert redis.entries() == set()
    assert slow.check_health()["components"]["backend"]["backend_type"] == "redis"


def test_two_stores_are_refused(redis, monkeypatch, tmp_path):
    monkeypatch.setenv("CACHEKIT_REDIS_URL", redis.url)
    monkeypatch.setenv("CACHEKIT_FILE_CACHE_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match="CACHEKIT_REDIS_URL and CACHEKIT_FILE_CACHE_DIR each choose a store"):
        cache(lambda: 1)


def test_a_wrong_url_in_the_environment_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("CACHEKIT_REDIS_URL", "redis:hunter2@h")
    with pytest.raises(ConfigurationError, match="CACHEKIT_REDIS_URL") as caught:
        cache(lambda: 1)
    assert "hunter2" not in str(caught.value)


def test_the_tenant_is_looked_at_in_every_call(redis, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis.url)

    @cache(ttl=60)
    def whose(number):
        return f"{tenant_context.get()}'s"

    def ask(tenant):
        tenant_context.set(tenant)
        return whose(1)

    for _ in range(2):  # from the store or memory the second time
        for tenant in (None, "org:123", b"bytes", 7, uuid.UUID(int=5)):
            assert contextvars.copy_context().run(ask, tenant) == f"{tenant}'s"
    assert contextvars.copy_context().run(ask, "default") == "None's"  # the one that is there without saying so
    prefixes = {key.partition(":func:")[0] for key in redis.entries()}
    assert prefixes == {"t:default", "t:org%3A123", "t:bytes", "t:7", "t:00000000-0000-0000-0000-000000000005"}
    info = whose.cache_info()
    assert (info.misses, info.hits) == (5, 6)

    def forget():
        tenant_context.set("org:123")
        whose.invalidate_cache(1)

    contextvars.copy_context().run(forget)
    assert len(redis.entries()) == 4
    assert not any("org" in key for key in redis.entries())


def test_threads_and_tasks_have_tenants_of_their_own(redis, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis.url)

    @cache(ttl=60)
    async def whose():
        await asyncio.sleep(0.001)
        return tenant_context.get()

    async def request(number):
        tenant_context.set(f"tenant{number}")
        return [await whose() for _ in range(3)]

    async def main():
        return await asyncio.gather(*(request(i) for i in range(20)))

    assert asyncio.run(main()) == [[f"tenant{i}"] * 3 for i in range(20)]

    @cache(ttl=60)
    def plain():
        return tenant_context.get()

    def work(number):
        tenant_context.set(f"tenant{number % 5}")
        return plain()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(100))) == [f"tenant{i % 5}" for i in range(100)]


def test_many_tenants_do_not_pile_up(redis_with, monkeypatch):
    redis = redis_with()
    monkeypatch.setenv("REDIS_URL", redis.url)

    @cache(ttl=60)
    def whose():
        return tenant_context.get()

    def ask(tenant):
        tenant_context.set(tenant)
        return whose()

    for number in range(100):
        assert contextvars.copy_context().run(ask, f"t{number}") == f"t{number}"
    assert whose.cache_info().misses == 100
    assert RedisBackend(redis.url).health_check()[1]["connected_clients"] <= 140  # two for each tenant that is kept


def test_what_is_no_tenant_runs_uncached(redis, monkeypatch, caplog):
    monkeypatch.setenv("REDIS_URL", redis.url)
    runs = []

    @cache(ttl=60)
    def whose(number):
        runs.append(number)
        return number

    for tenant in (1.5, "", "a\0b"):
        token = tenant_context.set(tenant)
        assert whose(1) == 1
        tenant_context.reset(token)
    assert len(runs) == 3
    assert redis.entries() == set()
    assert "its tenant cannot be told" in caplog.text


def test_a_backend_given_in_code_knows_no_tenants(redis):
    @cache(ttl=60, backend=RedisBackend(redis.url))
    def slow():
        return 1

    token = tenant_context.set("joe")
    slow()
    tenant_context.reset(token)
    assert not any(key.startswith("t:") for key in redis.entries())


def test_methods_serve_tenants_too(redis, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis.url)

    class User:
        def __init__(self, name):
            self.name = name

        def __cachekit_key__(self):
            return self.name

        @cache(ttl=60)
        def greet(self, word):
            return f"{word} {self.name} of {tenant_context.get()}"

    def ask(tenant):
        tenant_context.set(tenant)
        return User("joe").greet("hello")

    for tenant in ("a", "b", "a"):
        assert contextvars.copy_context().run(ask, tenant) == f"hello joe of {tenant}"


def in_a_network_of_its_own(code):
    """Runs code where the port of Redis is nobody's."""
    import subprocess
    import sys
    import textwrap

    up = """
        import fcntl, socket, struct
        with socket.socket() as link:  # the loopback interface is down in a new network
            fcntl.ioctl(link, 0x8914, struct.pack("16sh14x", b"lo", 0x49))
        """
    inside = subprocess.run(
        ["unshare", "--user", "--net", "--map-root-user", sys.executable, "-c", textwrap.dedent(up) + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if inside.returncode != 0 and ("unshare" in inside.stderr or "ioctl" in inside.stderr):
        pytest.skip("this machine lets nobody have a network of his own")
    return inside


def test_nothing_configured_and_nobody_there_is_one_warning():
    inside = in_a_network_of_its_own("""
        import time
        from cachekit import cache
        runs = 0

        @cache(ttl=60)
        def slow(number):
            global runs
            runs += 1
            return number

        @cache(ttl=60, namespace="other")
        def other(number):
            return number

        for number in range(60):
            assert slow(number) == slow(number) == number
            assert other(number) == number
            time.sleep(0.02)
        assert runs == 60
        print("done")
        """)
    assert inside.stdout == "done\n", inside.stderr
    assert inside.stderr.count("\n") == 1, inside.stderr
    assert "no store is configured, and redis on this machine does not serve" in inside.stderr


def test_nothing_configured_finds_a_server_that_comes_later(redis_with):
    redis_with()  # or the test is skipped
    inside = in_a_network_of_its_own("""
        import socket, subprocess, tempfile, time
        from cachekit import cache

        @cache(ttl=60)
        def slow(number):
            return number

        for number in range(20):  # the circuit opens
            assert slow(number) == number
        with tempfile.TemporaryDirectory() as directory:
            server = subprocess.Popen(["redis-server", "--save", "", "--dir", directory], stdout=subprocess.DEVNULL)
            try:
                until = time.monotonic() + 60
                stored = b"*0"
                while stored.startswith(b"*0"):
                    number += 1
                    assert slow(number) == number
                    assert time.monotonic() < until, "it is not looked for"
                    time.sleep(0.1)
                    try:
                        with socket.create_connection(("127.0.0.1", 6379)) as link:
                            link.sendall(b"KEYS t:default:func:*\\r\\n")
                            stored = link.recv(1000)
                    except OSError:
                        pass
                print("found")
            finally:
                server.kill()
                server.wait()
        """)
    assert inside.stdout == "found\n", inside.stderr


def test_a_store_failing_is_no_error_of_the_call(caplog):
    caplog.set_level(logging.DEBUG)

    @cache(ttl=60, backend=RedisBackend("redis://u:hunter2@127.0.0.1:1"))
    def slow(number):
        return number

    assert [slow(number) for number in range(3)] == [0, 1, 2]
    assert "hunter2" not in caplog.text
    with pytest.raises(CachekitError):
        slow.cache.get("k")


def _copy_of(function, number):
    """Until the value of the call is in memory."""
    until = time.monotonic() + 30
    while True:
        before = function.cache_info().l1_hits
        function(number)
        if function.cache_info().l1_hits > before:
            return
        assert time.monotonic() < until


def _invalidation(function):
    return function.check_health()["components"]["invalidation"]


def test_a_copy_goes_when_another_program_changes_the_entry_unless_that_is_not_wanted(redis_with):
    server = redis_with()
    runs = []

    def slow(number):
        runs.append(number)
        return number

    listening = cache(backend=RedisBackend(server.url), ttl=300, namespace="listens")(slow)
    quiet = L1CacheConfig(invalidation_enabled=False)
    deaf = cache(backend=RedisBackend(server.url), ttl=300, namespace="deaf", l1=quiet)(slow)
    until = time.monotonic() + 30
    while not _invalidation(listening)["listening"]:
        listening(0)
        assert time.monotonic() < until
        time.sleep(0.01)
    _copy_of(listening, 1)
    _copy_of(deaf, 1)
    runs.clear()
    server.send("FLUSHALL")
    while not runs:
        listening(1)
        assert time.monotonic() < until
        time.sleep(0.01)
    assert _invalidation(listening)["changes_told"] > 0 and _invalidation(listening)["changes_published"] == 0
    runs.clear()
    deaf(1)
    assert runs == [] and not _invalidation(deaf)["listening"] and _invalidation(deaf)["changes_told"] == 0


def test_messages_that_processes_send_each_other_are_counted(redis_with):
    server = redis_with()
    function = cache(backend=RedisBackend(server.tcp_url + "?protocol=2"), ttl=300)(lambda number: number)
    until = time.monotonic() + 30
    while not _invalidation(function)["listening"] or _invalidation(function)["changes_told"] == 0:
        function(1)
        function.invalidate_cache(1)
        assert time.monotonic() < until
        time.sleep(0.01)
    assert _invalidation(function)["changes_published"] > 0
    server.send("PUBLISH", "cachekit:invalidation", "nonsense")
    while _invalidation(function)["messages_malformed"] == 0:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_environment_can_switch_listening_off_and_code_on_again(redis_with):
    server = redis_with()
    code = (
        "import time\n"
        "from cachekit import cache\n"
        "from cachekit.config import L1CacheConfig\n"
        "from cachekit.backends.redis import RedisBackend\n"
        f"backend = RedisBackend({server.url!r})\n"
        "off = cache(backend=backend, ttl=300)(lambda x: x)\n"
        "on = cache(backend=backend, ttl=300, l1=L1CacheConfig(invalidation_enabled=True), namespace='n')(lambda x: x)\n"
        "until = time.monotonic() + 30\n"
        "listens = lambda f: (f(1), f.check_health()['components']['invalidation']['listening'])[1]\n"
        "while not listens(on): assert time.monotonic() < until"
        "; time.sleep(0.01)\n"
        "print(listens(off))\n"
    )
    environment = {**os.environ, "CACHEKIT_L1_INVALIDATION_ENABLED": "false"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
