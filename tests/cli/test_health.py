"""cachekit health: tries the store out and tells how full it is."""

import fcntl
import json
import resource
import signal

import pytest

FIELDS = ["healthy", "latency_ms", "backend", "store", "entries", "bytes", "limit_bytes", "detail"]


def no_file_grows():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def lines(text):
    return dict(line.split(None, 1) for line in text.decode().splitlines())


def test_a_store_that_works_is_healthy(tool):
    told = lines(tool.ok("health"))
    assert told["healthy"] == "yes"
    assert told["latency"].endswith(" ms")
    assert told["store"] == f"file (file://{tool.cache}, the default)"
    assert told["entries"] == "0" and told["bytes"] == "0 of 1.0G (0.0 %)"


def test_json_has_the_documented_fields(tool):
    tool.ok("set", "greeting", "hello")
    told = json.loads(tool.ok("health", "--json"))
    assert list(told) == FIELDS
    assert told["healthy"] is True and told["backend"] == "file" and told["detail"] is None
    assert told["latency_ms"] >= 0 and told["entries"] == 1
    assert 5 < told["bytes"] < 1000 and told["limit_bytes"] == 1 << 30


def test_nobodys_entries_are_touched(tool):
    tool.ok("set", "greeting", "hello")
    before = {file.name: file.read_bytes() for file in tool.cache.iterdir() if not file.name.startswith(".")}
    tool.ok("health")
    after = {file.name: file.read_bytes() for file in tool.cache.iterdir() if not file.name.startswith(".")}
    assert before == after and len(before) == 1


def test_the_store_of_the_environment_is_named(tool, tmp_path):
    told = lines(tool.ok("health", env={"CACHEKIT_FILE_CACHE_DIR": str(tmp_path / "there")}))
    assert told["store"] == f"file (file://{tmp_path}/there, the environment)"


def test_a_store_in_memory_is_healthy(tool):
    told = json.loads(tool.ok("health", "--store", "memory:", "--json"))
    assert told["backend"] == "memory" and told["entries"] == 0


def test_a_store_that_cannot_be_opened_is_told_in_json_too(tool, tmp_path):
    (tmp_path / "file").write_text("no directory")
    done = tool.run("health", "--json", "--store", f"file://{tmp_path}/file")
    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert list(told) == FIELDS and told["healthy"] is False
    assert told["latency_ms"] is None and told["backend"] is None and told["entries"] is None
    assert "is not a directory" in told["detail"] and b"is not a directory" in done.stderr


def test_as_text_such_a_store_is_an_error_line_alone(tool, tmp_path):
    (tmp_path / "file").write_text("no directory")
    done = tool.run("health", "--store", f"file://{tmp_path}/file")
    assert done.returncode == 3 and done.stdout == b"" and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_store_that_cannot_be_written_is_not_healthy(tool, form):
    tool.ok("health")
    done = tool.run("health", *(["--json"] if form == "json" else []), preexec_fn=no_file_grows)
    assert done.returncode == 3
    assert done.stderr.startswith(b"cachekit: the store is not healthy: ")
    if form == "json":
        told = json.loads(done.stdout)
        assert told["healthy"] is False and told["detail"] != "" and told["entries"] is None
    else:
        assert lines(done.stdout)["healthy"] == "no" and lines(done.stdout)["entries"] == "unknown"


def test_a_store_that_gave_no_answer_has_no_latency(tool):
    done = tool.run("health", "--store", "redis://127.0.0.1:1", "--timeout", "2s")
    assert done.returncode == 3 and lines(done.stdout)["latency"] == "unknown"
    told = json.loads(tool.run("health", "--json", "--store", "redis://127.0.0.1:1", "--timeout", "2s").stdout)
    assert told["healthy"] is False and told["latency_ms"] is None


def test_figures_that_cannot_be_found_out_are_unknown(tool):
    tool.ok("set", "greeting", "hello")
    with open(tool.cache / ".ck-usage", "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        told = json.loads(tool.ok("health", "--json", "--timeout", "200ms"))
        assert told["healthy"] is True and told["entries"] is None and told["bytes"] is None
        assert lines(tool.ok("health", "--timeout", "200ms"))["bytes"] == "unknown, at most 1.0G"


@pytest.mark.parametrize(
    "words",
    [["--timeout", "0"], ["--timeout", "soon"], ["operand"], ["--tenant", "acme"], ["--store", "memory"],
     ["--store", "file:///x?nonsense=1"]],
)
def test_wrong_usage_and_wrong_settings_exit_2(tool, words):
    done = tool.run("health", *words)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1


def test_a_wrong_setting_exits_2(tool):
    done = tool.run("health", env={"CACHEKIT_L1_MAX_SIZE_MB": "abc"})
    assert done.returncode == 2 and b"CACHEKIT_L1_MAX_SIZE_MB=abc" in done.stderr


def test_output_that_cannot_be_written_exits_4(tool):
    with open("/dev/full", "wb") as full:
        assert tool.run("health", stdout=full, stderr=-1).returncode == 4
