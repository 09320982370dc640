"""rotate: entries sealed anew with the current key, beside others at work; and what `set` seals and `get` opens."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from store_tools import Screen, keys, write_foreign

sys.path.insert(0, str(pathlib.Path(os.environ["CKIT_SOURCE"]) / "tests" / "support"))
import redis_server  # noqa: E402

OLD, NEW, OTHER = "01" * 16 + "ab" * 16, "02" * 16 + "cd" * 16, "03" * 16 + "ef" * 16
FORMER = {"CACHEKIT_MASTER_KEY": OLD}
ROTATING = {"CACHEKIT_MASTER_KEY": NEW, "CACHEKIT_PREVIOUS_MASTER_KEYS": OLD}
PRESENT = {"CACHEKIT_MASTER_KEY": NEW}
TEXT = "a text that is long enough to be found in the clear"


@pytest.fixture
def redis(tool):
    if not redis_server.available():
        pytest.skip("redis-server is not installed")
    server = redis_server.RedisServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def nodes():
    if not redis_server.available():
        pytest.skip("redis-server is not installed")
    nodes = redis_server.RedisCluster()
    yield nodes
    nodes.close()


@pytest.fixture
def cluster(nodes):
    nodes.flush()
    return nodes


def store(tool, count, *words, env=FORMER):
    for i in range(count):
        tool.ok("set", f"key{i}", f"{TEXT} {i}", *words, env=env)


def rotate(tool, *words, env=ROTATING, code=0):
    done = tool.run("rotate", "--json", "--rate", "0", *words, env=env)
    assert done.returncode == code, done
    return json.loads(done.stdout)


def check_all_open(tool, count, *words):
    for i in range(count):
        assert tool.ok("get", f"key{i}", *words, env=PRESENT) == f"{TEXT} {i}".encode()


def bytes_of(directory):
    """Of its entries."""
    return b"".join(path.read_bytes() for path in sorted(pathlib.Path(directory).iterdir()) if len(path.name) == 32)


# ---- set and get --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["raw", "json", "text", "bytes"])
def test_set_seals_with_the_key_of_the_environment_and_get_opens(tool, form):
    tool.ok("set", "k", json.dumps(TEXT), "--as", form, env=FORMER)
    assert TEXT.encode() not in bytes_of(tool.cache)
    assert TEXT.encode() in tool.ok("get", "k", env=FORMER)
    assert TEXT.encode() not in tool.run("get", "k").stdout


def test_plain_and_no_key_store_in_the_clear(tool):
    tool.ok("set", "a", TEXT)
    assert tool.ok("get", "a", "--as", "raw") == TEXT.encode()
    tool.ok("set", "b", TEXT, "--plain", env=FORMER)
    assert tool.ok("get", "b", "--as", "raw", env=FORMER) == tool.ok("get", "b", env=FORMER) == TEXT.encode()


def test_a_wrong_key_is_refused_and_nothing_is_stored(tool):
    for key in (OLD[:62], "not hexadecimal" * 5):
        done = tool.run("set", "k", TEXT, env={"CACHEKIT_MASTER_KEY": key})
        assert done.returncode == 2 and b"hexadecimal" in done.stderr and key.encode() not in done.stderr
    assert tool.run("exists", "k").returncode == 1


def test_bytes_that_no_key_here_opens_are_shown_with_a_warning(tool):
    tool.ok("set", "k", TEXT, env=FORMER)
    tool.ok("set", "clear", TEXT)
    done = tool.run("get", "k", env=PRESENT)
    assert (done.returncode, done.stdout) == (0, tool.ok("get", "k", "--as", "raw")) and b"another key" in done.stderr
    for words in (("get", "clear"), ("get", "k", "--as", "raw")):
        assert tool.run(*words, env=PRESENT).stderr == b""


def test_bytes_that_may_be_sealed_are_shown_with_a_warning_where_there_is_no_key(tool):
    tool.ok("set", "k", TEXT, env=FORMER)
    done = tool.run("get", "k")
    assert (done.returncode, done.stdout) == (0, tool.ok("get", "k", "--as", "raw"))
    assert b"may be sealed" in done.stderr and b"CACHEKIT_MASTER_KEY" in done.stderr
    tool.ok("set", "clear", TEXT, "--as", "raw")
    tool.ok("set", "short", "-", "--as", "raw", input=b"\xff" * 27)
    for words in (("get", "clear"), ("get", "short"), ("get", "k", "--as", "raw")):
        assert tool.run(*words).stderr == b""


def path_of(tool, *words):
    """The file of an entry."""
    return pathlib.Path(tool.cache) / json.loads(tool.ok("inspect", "--json", *words))["name"]


def check_does_not_open(tool, why, *words):
    done = tool.run("get", *words, env=FORMER)
    assert (done.returncode, done.stdout) == (4, b"") and why in done.stderr and b"E003" in done.stderr, done


def test_a_value_that_was_moved_to_another_key_or_altered_does_not_open(tool):
    for key in "abc":
        tool.ok("set", key, json.dumps(TEXT + key), "--as", "json", env=FORMER)
    path_of(tool, "b").write_bytes(path_of(tool, "a").read_bytes())
    file = path_of(tool, "c")
    file.write_bytes(file.read_bytes()[:-20] + bytes(20))
    check_does_not_open(tool, b"altered, or moved", "b")
    check_does_not_open(tool, b"altered, or moved", "c")
    assert tool.ok("get", "a", env=FORMER) == (TEXT + "a").encode()


UUIDS = ("01234567-89ab-4def-8123-456789abcdef", "76543210-89ab-4def-8123-456789abcdef")


@pytest.mark.parametrize("tenants", [("acme", "zeta"), ("a/b", "a b"), UUIDS])
def test_a_value_of_another_tenant_does_not_open(tool, tenants):
    acme, zeta = tenants
    for tenant in tenants:
        tool.ok("set", "--tenant", tenant, "k", json.dumps(TEXT + tenant), "--as", "json", env=FORMER)
        assert tool.ok("get", "--tenant", tenant, "k", env=FORMER) == (TEXT + tenant).encode()
    whole = json.loads(tool.ok("inspect", "--json", "--tenant", zeta, "k"))["stored_key"]
    assert tool.ok("get", whole, env=FORMER) == (TEXT + zeta).encode()
    path_of(tool, "--tenant", zeta, "k").write_bytes(path_of(tool, "--tenant", acme, "k").read_bytes())
    check_does_not_open(tool, b"sealed for another tenant, " + acme.encode(), "--tenant", zeta, "k")
    check_does_not_open(tool, b"sealed for another tenant, " + acme.encode(), whole)


def test_a_deployment_s_value_opens_under_a_tenant_s_key(tool):
    """So programs store it on a server that the environment chooses."""
    tool.ok("set", "k", json.dumps(TEXT), "--as", "json", env=FORMER)
    sealed = tool.ok("get", "k", "--as", "raw")
    tool.ok("set", "--plain", "--tenant", "acme", "k", "-", input=sealed, env=FORMER)
    assert tool.ok("get", "--tenant", "acme", "k", env=FORMER) == TEXT.encode()


@pytest.mark.parametrize("form", ["raw", "json"])
@pytest.mark.parametrize("key, code", [(OLD[:62], b"E002"), ("not hexadecimal" * 5, b"E002")])
def test_get_refuses_a_wrong_key_where_it_may_be_needed(tool, key, code, form):
    tool.ok("set", "k", json.dumps(TEXT), "--as", form, env=FORMER)
    done = tool.run("get", "k", env={"CACHEKIT_MASTER_KEY": key})
    assert (done.returncode, done.stdout) == (2, b"") and code in done.stderr and key.encode() not in done.stderr


@pytest.mark.parametrize("form", ["raw", "json"])
def test_get_says_what_is_wrong_with_the_file_of_the_key(tool, tmp_path, form):
    file = tmp_path / "key"
    tool.ok("set", "k", json.dumps(TEXT), "--as", form, env=FORMER)
    for mode, others, why in ((0o644, {}, b"chmod 600"), (0o600, FORMER, b"keep one of them"), (None, {}, b"cannot be opened")):
        file.write_text(OLD)
        file.chmod(mode) if mode else file.unlink()
        done = tool.run("get", "k", env={"CACHEKIT_MASTER_KEY_FILE": str(file)} | others)
        assert (done.returncode, done.stdout) == (2, b"") and b"E103" in done.stderr and why in done.stderr


def test_what_run_has_sealed_opens_beside_a_wrong_key(tool):
    tool.ok("run", "--", "echo", "answer")
    name = tool.ok("run", "--key", "--", "echo", "answer").strip()
    assert json.loads(tool.ok("get", "--as", "json", name, env={"CACHEKIT_MASTER_KEY": OLD[:62]}))["command"] == ["echo", "answer"]


def test_interop_values_are_sealed_for_a_deployment_that_all_have_named(tool):
    key = "shop:get_user:" + "0" * 64
    done = tool.run("set", key, "[1]", "--as", "interop", env=FORMER)
    assert done.returncode == 2 and b"CACHEKIT_DEPLOYMENT_UUID" in done.stderr
    env = FORMER | {"CACHEKIT_DEPLOYMENT_UUID": "01234567-89ab-4def-8123-456789abcdef"}
    tool.ok("set", key, "[1]", "--as", "interop", env=env)
    assert tool.ok("get", key, env=env) == b"[1]\n" and len(tool.ok("get", key, "--as", "raw")) == 2 + 28
    assert rotate(tool, env=ROTATING | {"CACHEKIT_DEPLOYMENT_UUID": env["CACHEKIT_DEPLOYMENT_UUID"]})["resealed"] == 1


# ---- what it does -------------------------------------------------------------------------------------------------


def test_entries_open_with_the_new_key_alone_and_a_second_run_has_nothing_to_do(tool):
    store(tool, 5)
    tool.ok("set", "document", json.dumps(TEXT), "--as", "json", env=FORMER)
    tool.ok("set", "--tenant", "acme", "k", TEXT, env=FORMER)
    tool.ok("set", "plain", TEXT)
    first = rotate(tool)
    assert (first["entries"], first["resealed"], first["clear"]) == (8, 7, 1)
    assert first["retire_previous"] is True and first["complete"] is True
    check_all_open(tool, 5)
    assert tool.ok("get", "document", env=PRESENT) == TEXT.encode()
    assert tool.ok("get", "--tenant", "acme", "k", env=PRESENT) == TEXT.encode()
    second = rotate(tool)
    assert (second["resealed"], second["current"]) == (0, 7)


def test_lifetime_and_namespace_stay(tool):
    tool.ok("set", "k", TEXT, "--ttl", "1h", "--namespace", "n", env=FORMER)
    tool.ok("set", "for-ever", TEXT, "--ttl", "none", env=FORMER)
    rotate(tool)
    assert 3500 < int(tool.ok("ttl", "--seconds", "k")) <= 3601
    assert tool.ok("ttl", "--seconds", "for-ever") == b"none\n"
    assert keys(tool, "--namespace", "n") == ["k"]


def test_a_dry_run_changes_nothing(tool):
    store(tool, 3)
    before = bytes_of(tool.cache)
    answer = rotate(tool, "--dry-run")
    assert (answer["resealed"], answer["previous_needed"], answer["retire_previous"]) == (3, 3, False)
    assert bytes_of(tool.cache) == before


def test_what_cannot_be_opened_stays_and_is_counted(tool):
    store(tool, 2)
    tool.ok("set", "theirs", json.dumps(TEXT), "--as", "json", env={"CACHEKIT_MASTER_KEY": OTHER})
    tool.ok("set", "damaged", json.dumps(TEXT), "--as", "json", env=FORMER)
    (name,) = [row["name"] for row in map(json.loads, tool.ok("ls", "--json").splitlines()) if row["key"] == "damaged"]
    path = tool.cache / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = path.read_bytes()
    answer = rotate(tool)
    assert (answer["resealed"], answer["unknown_key"], answer["damaged"]) == (2, 1, 1)
    assert answer["retire_previous"] is True  # no key here opens them anyway
    assert path.read_bytes() == before
    assert tool.ok("get", "theirs", env={"CACHEKIT_MASTER_KEY": OTHER}) == TEXT.encode()


def test_without_previous_keys_an_unknown_key_may_be_a_former_one(tool):
    tool.ok("set", "document", json.dumps(TEXT), "--as", "json", env=FORMER)
    answer = rotate(tool, env=PRESENT, code=4)
    assert (answer["unknown_key"], answer["previous_needed"], answer["retire_previous"]) == (1, 1, False)
    assert rotate(tool)["retire_previous"] is True


def test_entries_whose_keys_are_unknown_keep_the_previous_key_needed(tool):
    store(tool, 1)
    write_foreign(tool, value=b"perhaps sealed, of another program")
    answer = rotate(tool, code=4)
    assert (answer["resealed"], answer["unindexed"], answer["retire_previous"]) == (1, 1, False)


def test_a_namespace_or_a_tenant_narrows_it(tool):
    tool.ok("set", "a", TEXT, "--namespace", "n", env=FORMER)
    tool.ok("set", "--tenant", "acme", "b", TEXT, env=FORMER)
    answer = rotate(tool, "--namespace", "n")
    assert answer["resealed"] == 1 and answer["retire_previous"] is False  # of those looked at, but not of all
    assert rotate(tool, "--tenant", "acme")["resealed"] == 1


def test_without_a_key_it_says_what_to_set(tool):
    tool.ok("set", "k", TEXT)
    done = tool.run("rotate")
    assert done.returncode == 2 and b"CACHEKIT_PREVIOUS_MASTER_KEYS" in done.stderr
    done = tool.run("rotate", env={"CACHEKIT_MASTER_KEY": NEW, "CACHEKIT_PREVIOUS_MASTER_KEYS": NEW})
    assert done.returncode == 2 and NEW.encode() not in done.stderr


# ---- beside others ------------------------------------------------------------------------------------------------


SLOWLY = "2"  # what is to be ended half way is not done before


def start(tool, *words, rate="20"):
    return tool.start("rotate", "--json", "--rate", rate, *words, env=tool.env | ROTATING, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE)  # fmt: skip


def wait_for_progress(tool, process, *words):
    """Until an entry has been sealed anew: dry runs tell without changing anything."""
    while process.poll() is None and rotate(tool, "--dry-run", *words)["current"] < 1:
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ended_half_way_another_run_does_the_rest(tool, how):
    store(tool, 20)
    process = start(tool, rate=SLOWLY)
    wait_for_progress(tool, process)
    process.send_signal(how)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        answer = json.loads(out)
        assert answer["complete"] is False and answer["retire_previous"] is False
        assert rotate(tool)["current"] == answer["resealed"]
    else:
        rotate(tool)
    check_all_open(tool, 20)
    assert rotate(tool)["current"] == 20


def test_two_at_once_do_no_harm(tool):
    store(tool, 30)
    both = [start(tool, rate="0") for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=240)[0]) for process in both]
    assert sum(answer["resealed"] for answer in answers) == 30
    check_all_open(tool, 30)


@pytest.mark.parametrize("where", ["files", "redis"])
def test_what_is_written_meanwhile_is_never_lost(tool, where, request):
    words = () if where == "files" else ("--store", request.getfixturevalue("redis").url)
    store(tool, 8, *words)
    done, written = threading.Event(), [0]

    def write():
        while not done.is_set():
            written[0] += 1
            for i in range(8):
                tool.ok("set", f"key{i}", f"{written[0]} written {i}", *words, env=FORMER if written[0] % 2 else PRESENT)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(15):
        tool.run("rotate", "--rate", "0", *words, env=ROTATING)
    done.set()
    writer.join()
    rotate(tool, *words)
    for i in range(8):
        assert tool.ok("get", f"key{i}", *words, env=PRESENT) == f"{written[0]} written {i}".encode()


def test_redis_entries_of_all_tenants(tool, redis):
    url = redis.url
    store(tool, 5, "--store", url)
    for tenant in ("default", "acme"):
        tool.ok("set", "k", json.dumps(TEXT), "--as", "json", "--store", url, "--tenant", tenant, "--ttl", "1h", env=FORMER)
    assert rotate(tool, "--store", url, "--tenant", "acme")["resealed"] == 1
    assert rotate(tool, "--store", url)["resealed"] == 6
    check_all_open(tool, 5, "--store", url)
    for tenant in ("default", "acme"):
        assert tool.ok("get", "k", "--store", url, "--tenant", tenant, env=PRESENT) == TEXT.encode()
        assert 3500 < int(tool.ok("ttl", "--seconds", "k", "--store", url, "--tenant", tenant)) <= 3601


@pytest.mark.parametrize("how", ["refuses to write", "says nothing"])
def test_a_store_that_goes_away_ends_it_and_a_second_run_goes_on(tool, redis, how):
    words = ("--store", redis.url)
    store(tool, 30, *words)
    process = start(tool, *words, rate=SLOWLY)
    wait_for_progress(tool, process, *words)
    if how == "says nothing":
        redis.pause()
    else:
        redis.send("CLIENT", "PAUSE", "60000", "WRITE")
    answer = check_ended_by_the_store(process)
    if how == "says nothing":
        redis.resume()
    else:
        redis.send("CLIENT", "UNPAUSE")
    check_it_goes_on(tool, 30, answer, *words)


def check_ended_by_the_store(process):
    """What it did before is told."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 3, err
    answer = json.loads(out)
    assert (answer["complete"], answer["retire_previous"]) == (False, False)
    assert answer["resealed"] < 30 and answer["failed"] <= 1 and b"(E0" in err, (answer, err)
    return answer


def check_it_goes_on(tool, count, answer, *words):
    """Of what it was doing, nobody knows whether the store did it when it went on."""
    found = rotate(tool, *words)
    assert answer["resealed"] <= found["current"] <= answer["resealed"] + 1, (answer, found)
    assert found["retire_previous"] is True and found["current"] + found["resealed"] == count
    check_all_open(tool, count, *words)


# ---- a cluster ----------------------------------------------------------------------------------------------------


def test_entries_on_all_nodes_of_a_cluster(tool, cluster):
    words = ("--store", cluster.url)
    store(tool, 20, *words)
    tool.ok("set", "document", json.dumps(TEXT), "--as", "json", "--ttl", "1h", *words, env=FORMER)
    tool.ok("set", "plain", TEXT, *words)
    assert all(node.entries() for node in cluster.nodes)
    first = rotate(tool, *words)
    assert (first["entries"], first["resealed"], first["clear"]) == (22, 21, 1)
    assert first["retire_previous"] is True
    check_all_open(tool, 20, *words)
    assert tool.ok("get", "document", *words, env=PRESENT) == TEXT.encode()
    assert 3500 < int(tool.ok("ttl", "--seconds", "document", *words)) <= 3601
    second = rotate(tool, *words)
    assert (second["resealed"], second["current"]) == (0, 21)


def test_slots_may_move_meanwhile(tool, cluster):
    words = ("--store", cluster.url)
    store(tool, 24, *words)
    process = start(tool, *words)
    wait_for_progress(tool, process, *words)
    for i in range(24):
        cluster.move(cluster.slot(f"key{i}"), 1)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    answer = json.loads(out)
    assert (answer["resealed"], answer["retire_previous"]) == (24, True), answer
    check_all_open(tool, 24, *words)
    assert rotate(tool, *words)["resealed"] == 0


def test_a_node_that_says_nothing_ends_it_and_a_second_run_goes_on(tool, cluster):
    words = ("--store", cluster.url)
    store(tool, 30, *words)
    process = start(tool, *words, rate=SLOWLY)
    wait_for_progress(tool, process, *words)
    for node in cluster.nodes:
        node.pause()
    answer = check_ended_by_the_store(process)
    for node in cluster.nodes:
        node.resume()
    check_it_goes_on(tool, 30, answer, *words)


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(tool):
    store(tool, 12)
    assert tool.run("rotate", "--rate", "20", env=ROTATING).stderr == b""
    screen = Screen(tool, "rotate", "--rate", "20", env={"CACHEKIT_MASTER_KEY": OLD, "CACHEKIT_PREVIOUS_MASTER_KEYS": NEW},
                    stdout=subprocess.DEVNULL)  # fmt: skip
    shown = screen.read_to(b"looked at")
    assert b"\n" not in shown
    assert screen.process.wait(timeout=240) == 0
