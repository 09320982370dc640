"""The Redis store as the environment chooses it: tenants, nothing configured, and what other programs change."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachekit import cache
from cachekit.backends import RedisBackend
from cachekit.backends.redis import tenant_context
from cachekit.config import L1CacheConfig
from cachekit.errors import CachekitError, ConfigurationError


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

    tenants = [None, "org:123", b"bytes", 7, uuid.UUID(int=5)]
    runs = []

    @cache(ttl=60)
    def whose(number):
        runs.append(tenant_context.get())
        return f"{tenant_context.get()}'s"

    def ask(tenant):
        tenant_context.set(tenant)
        return whose(1)

    for _ in range(2):  # from the store or memory the second time
        for tenant in tenants:
            assert contextvars.copy_context().run(ask, tenant) == f"{tenant}'s"
    assert contextvars.copy_context().run(ask, "default") == "None's"  # the one that is there without saying so
    prefixes = {key.partition(":func:")[0] for key in redis.entries()}
    assert prefixes == {"t:default", "t:org%3A123", "t:bytes", "t:7", "t:00000000-0000-0000-0000-000000000005"}
    info = whose.cache_info()
    assert (runs, info.misses, info.hits) == (tenants, 5, 6)

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
        capture_output=True, text=True, timeout=240,
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
    published = _invalidation(listening)["changes_published"]  # before it was known that the server tells by itself
    _copy_of(listening, 1)
    _copy_of(deaf, 1)
    runs.clear()
    server.send("FLUSHALL")
    while not runs:
        listening(1)
        assert time.monotonic() < until
        time.sleep(0.01)
    assert _invalidation(listening)["changes_told"] > 0
    assert _invalidation(listening)["changes_published"] == published
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
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=240)
    assert done.stdout == "False\n", done.stderr
