"""Commands over a Redis server of the test's own."""

import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(os.environ["CKIT_SOURCE"]) / "tests" / "support"))
import redis_server  # noqa: E402

pytestmark = pytest.mark.skipif(not redis_server.available(), reason="redis-server is not installed")


@pytest.fixture(scope="module")
def server():
    one = redis_server.RedisServer(requirepass="hunter2")
    yield one
    one.close()


@pytest.fixture(autouse=True)
def empty(server):
    server.send("FLUSHALL")
    server.send("CONFIG", "SET", "maxmemory", "0")
    server.send("CONFIG", "SET", "maxmemory-policy", "noeviction")


@pytest.fixture
def over(tool, server):
    def run(*words, **options):
        done = tool.run(*words, "--store", server.url, **options)
        assert b"hunter2" not in done.stdout + done.stderr
        return done

    return run


def findings(done):
    assert b"hunter2" not in done.stdout + done.stderr
    return {row["check"]: row for row in json.loads(done.stdout)}


def test_entries_are_stored_and_looked_at(over, server):
    assert over("set", "greeting", "hello", "--namespace", "n", "--ttl", "1h").returncode == 0
    assert over("get", "greeting").stdout == b"hello"
    assert over("get", "absent").returncode == 1
    assert over("exists", "greeting").returncode == 0
    assert over("ttl", "greeting").stdout in (b"59m59s\n", b"1h\n")
    assert over("touch", "greeting", "--ttl", "5m").returncode == 0
    assert over("ttl", "greeting").stdout in (b"4m59s\n", b"5m\n")
    assert server.entries() == {"greeting"}
    listed = json.loads(over("ls", "--json").stdout)
    assert (listed["key"], listed["size"]) == ("greeting", 5)
    assert b"greeting" in over("inspect", "greeting").stdout
    assert over("delete", "greeting").returncode == 0
    assert server.entries() == set()


def test_namespaces_are_invalidated(over, server):
    for namespace in ("a", "a:b", "a*"):
        over("set", f"key of {namespace}", "v", "--namespace", namespace)
    assert over("invalidate", "--namespace", "a").stdout.startswith(b"removed 1 entry")
    assert server.entries() == {"key of a:b", "key of a*"}
    assert over("invalidate", "--all", "--yes").stdout.startswith(b"removed 2 entries")
    assert server.entries() == set()


def test_figures(over):
    over("set", "k", "v")
    told = json.loads(over("stats", "--json").stdout)
    assert told["backend"] == "redis"
    assert "********@" in told["store"]
    assert told["levels"]["keys"] >= 1 and told["counters"]["commands"] > 0
    assert over("stats").returncode == 0
    health = json.loads(over("health", "--json").stdout)
    assert health["healthy"] and "version" in health["detail"]
    assert b"********@" in over("health").stdout


def test_what_a_server_counts_is_shown_and_watched(over, server):
    over("set", "k", "v")
    assert over("get", "k").returncode == 0 and over("get", "absent").returncode == 1
    shown = dict(line.split(maxsplit=1) for line in over("stats").stdout.decode().splitlines() if len(line.split()) > 1)
    assert int(shown["keys"]) >= 1 and shown["bytes"] != "unknown"
    text = over("stats").stdout.decode()
    assert "keyspace hits" in text and "expired keys" in text and "entries" not in text
    (ratio,) = [line.split()[2] for line in text.splitlines() if line.startswith("hit ratio")]
    assert 0 < float(ratio) < 100
    lines = over("stats", "--watch", "--interval", "100ms", "--count", "2").stdout.decode().splitlines()
    titles = lines[0].split()
    assert titles == ["time", "hits/s", "misses/s", "expired/s", "evicted/s", "commands/s", "hit", "%", "keys", "bytes"]
    rates = lines[2].split()[1:6]
    assert len(lines) == 3 and all(float(rate) >= 0 for rate in rates) and float(rates[4]) > 0
    assert int(lines[2].split()[7]) >= 1 and int(lines[2].split()[8]) > 0


def test_outputs_of_commands_are_kept(over):
    words = ["run", "--", "sh", "-c", "date +%N"]
    assert over(*words).stdout == over(*words).stdout != b""


@pytest.mark.parametrize("variable", ["CACHEKIT_REDIS_URL", "REDIS_URL"])
def test_the_environment_chooses_it_with_a_tenant(tool, server, variable):
    env = {variable: server.url}
    tool.ok("set", "k", "v", env=env)
    assert server.entries() == {"t:default:k"}
    assert tool.ok("get", "k", env=env) == b"v"
    tool.ok("set", "--tenant", "org:1", "k", "w", env=env)
    assert server.entries() == {"t:default:k", "t:org%3A1:k"}
    assert tool.ok("get", "k", "--tenant", "org:1", "--store", server.url) == b"w"
    assert [json.loads(line)["key"] for line in tool.ok("ls", "--json", env=env).splitlines()] == ["k"]
    tool.ok("invalidate", "--tenant", "org:1", "--all", "--yes", env=env)
    assert server.entries() == {"t:default:k"}
    told = json.loads(tool.ok("health", "--json", env=env))
    assert "hunter2" not in str(told) and told["store"].startswith("unix://********@")


def test_run_does_not_use_the_environments_store(tool, server):
    tool.ok("run", "--", "true", env={"CACHEKIT_REDIS_URL": server.url})
    assert server.entries() == set()


def test_doctor_finds_a_server_well(tool, server):
    server.send("CONFIG", "SET", "maxmemory", "100000000")
    server.send("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    done = tool.run("doctor", "--json", env={"CACHEKIT_REDIS_URL": server.url})
    told = findings(done)
    assert done.returncode == 0
    assert told["health"]["state"] == "ok" and "it answers in" in told["health"]["text"]
    assert told["memory-policy"] == {"check": "memory-policy", "state": "ok", "text": "allkeys-lru", "advice": None}
    assert told["fullness"]["state"] == "ok"
    assert "keys that begin with t:default:" in told["applications"]["text"]
    assert "********" in told["store"]["text"] and told["store"]["text"].endswith("(the environment)")


@pytest.mark.parametrize("limit, word", [("0", "grows until the machine"), ("100000000", "refuses every write")])
def test_doctor_warns_of_noeviction(tool, server, limit, word):
    server.send("CONFIG", "SET", "maxmemory", limit)
    done = tool.run("doctor", "--json", "--store", server.url)
    told = findings(done)["memory-policy"]
    assert done.returncode == 0
    assert told["state"] == "warning" and word in told["text"] and "maxmemory-policy" in told["advice"]


def test_doctor_warns_of_a_policy_that_never_acts(tool, server):
    server.send("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    told = findings(tool.run("doctor", "--json", "--store", server.url))["memory-policy"]
    assert told["state"] == "warning" and "never acts" in told["text"]


def test_doctor_finds_a_wrong_password_and_an_absent_server(tool, server):
    wrong = tool.run("doctor", "--json", "--store", server.url.replace("hunter2", "hunter2-wrong"))
    assert wrong.returncode == 3
    assert "WRONGPASS" in findings(wrong)["health"]["text"] and findings(wrong)["health"]["state"] == "problem"
    absent = tool.run("doctor", "--json", "--store", "redis://u:hunter2@127.0.0.1:1")
    assert absent.returncode == 3
    assert "Connection refused" in findings(absent)["health"]["text"]
    assert "password" in findings(absent)["health"]["advice"]


@pytest.mark.parametrize(
    "url",
    ["redis://u:hunter2@127.0.0.1:1", "redis://:hunter2@127.0.0.1:1?password=hunter2&db=1", "redis:u:hunter2@x",
     "redis://u:hunter2@h:99999", "redis://u:hun@ter2:hunter2@127.0.0.1:1", "rediss:hunter2@h",
     "redis://:hunter2@127.0.0.1:1/x", "redis://127.0.0.1:1?password=hunter2", "redis://:hunter2?x@127.0.0.1:1",
     "redis+sentinel://127.0.0.1:1/m?db=0&sentinel_password=hunter2&password=hunter2"],
)  # fmt: skip
@pytest.mark.parametrize("words", [["get", "k"], ["health"], ["health", "--json"], ["doctor"], ["ls"], ["stats"],
                                   ["inspect", "k"], ["run", "--", "true"], ["invalidate", "--all", "--yes"]],
                         ids=" ".join)  # fmt: skip
def test_no_command_shows_a_password(tool, url, words):
    done = tool.run(*words, "--store", url)
    assert b"hunter2" not in done.stdout + done.stderr, done


def test_an_outage_is_one_line_and_the_exit_code(tool):
    done = tool.run("get", "k", "--store", "redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.count(b"\n") == 1 and b"Connection refused" in done.stderr
