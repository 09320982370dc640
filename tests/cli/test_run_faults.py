"""`cachekit run` when the cache cannot be used: the command runs all the same, with one warning line."""

import json
import os
import shutil
import subprocess

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make such a directory")


def mounted(tool, mount, *words):
    """Runs the tool where `mount` (a line of shell) was done first, in a mount namespace of its own."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs mount namespaces")
    script = f'{mount} || exit 99; exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *tool.command(*words)],
        env=tool.env, cwd=tool.home, capture_output=True, timeout=240, stdin=subprocess.DEVNULL,
    )
    if done.returncode == 99:
        pytest.skip("cannot mount here: " + done.stderr.decode())
    return done


def assert_ran_with_one_warning(done, output=b"answer\n"):
    assert (done.returncode, done.stdout) == (0, output)
    assert done.stderr.startswith(b"cachekit: ") and done.stderr.count(b"\n") == 1, done.stderr


@pytest.mark.parametrize("env", [{"HOME": None}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_a_home(tool, env):
    for _ in range(2):
        assert_ran_with_one_warning(tool.run("run", "--", "echo", "answer", env=env))
    assert tool.run("run", "--quiet", "--", "echo", "answer", env=env).stderr == b""
    caches = {**env, "XDG_CACHE_HOME": str(tool.home / "xdg")}
    done = tool.run("run", "--plain", "--", "echo", "answer", env=caches)
    assert (done.stdout, done.stderr) == (b"answer\n", b"")
    assert b"--plain" in tool.run("run", "--", "echo", "answer", env=caches).stderr  # nowhere to keep a key


def test_a_home_that_is_a_file(tool):
    file = tool.home / "file"
    file.write_text("")
    assert_ran_with_one_warning(tool.run("run", "--", "echo", "answer", env={"HOME": str(file)}))


@needs_root
def test_a_directory_that_belongs_to_somebody_else(tool):
    tool.cache.mkdir(parents=True)
    os.chown(tool.cache, 12345, 12345)
    assert_ran_with_one_warning(tool.run("run", "--", "echo", "answer"))
    assert list(tool.cache.iterdir()) == []


def test_a_directory_that_others_can_write(tool):
    tool.cache.mkdir(parents=True)
    tool.cache.chmod(0o777)
    assert_ran_with_one_warning(tool.run("run", "--", "echo", "answer"))
    assert list(tool.cache.iterdir()) == []


@needs_root
def test_a_read_only_file_system_shows_what_is_stored_and_runs_the_rest(tool):
    tool.ok("run", "--", "echo", "stored")
    mount = f"mount --bind '{tool.cache}' '{tool.cache}' && mount -o remount,bind,ro '{tool.cache}'"
    done = mounted(tool, mount, "run", "--", "echo", "stored")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"stored\n", b"")
    assert_ran_with_one_warning(mounted(tool, mount, "run", "--", "echo", "answer"))


@needs_root
def test_a_full_disk(tool):
    tool.cache.mkdir(parents=True)
    mount = f"mount -t tmpfs -o size=64k none '{tool.cache}' && chmod 700 '{tool.cache}'"
    done = mounted(tool, mount, "run", "--", "sh", "-c", "head -c 500000 /dev/urandom | od | head -c 300000")
    assert done.returncode == 0 and len(done.stdout) == 300000
    assert done.stderr.count(b"\n") == 1 and b"could not be stored" in done.stderr


def entry(tool):
    return next(file for file in tool.cache.iterdir() if not file.name.startswith("."))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_entry_is_replaced(tool, damage):
    tool.ok("run", "--", "echo", "answer")
    file = entry(tool)
    data = bytearray(file.read_bytes())
    if damage == "cut":
        data = data[:-5]
    elif damage == "flipped":
        data[-20] ^= 0x55
    elif damage == "empty":
        data = data[:14]
    else:
        data[14:] = b"something that is no record"
    file.write_bytes(bytes(data))
    assert_ran_with_one_warning(tool.run("run", "--", "echo", "answer"))
    done = tool.run("run", "--json", "--", "echo", "answer")
    assert (json.loads(done.stdout)["source"], done.stderr) == ("cache", b"")


def test_an_answer_from_the_future_is_not_believed(tool):
    tool.ok("run", "--", "echo", "answer")
    key = json.loads(tool.ok("ls", "--json").splitlines()[0])["key"]
    record = {
        "cachekit.run": 1, "status": 0, "created_ms": 2**42, "ttl_ms": 3600000, "stale_ms": 0, "failures": 0,
        "failed_status": 0, "failed_ms": 0, "retry_ms": 0, "output": [],
    }
    tool.ok("set", "--as", "json", key, json.dumps(record))
    assert_ran_with_one_warning(tool.run("run", "--", "echo", "answer"))
    assert json.loads(tool.ok("run", "--json", "--", "echo", "answer"))["source"] == "cache"


def test_an_answer_of_the_distant_past_is_older_than_every_lifetime(tool):
    tool.ok("run", "--", "echo", "answer")
    key = json.loads(tool.ok("ls", "--json").splitlines()[0])["key"]
    record = {"cachekit.run": 1, "status": 0, "created_ms": -(2**63), "ttl_ms": 3600000, "output": []}
    tool.ok("set", "--as", "json", key, json.dumps(record))
    assert tool.ok("run", "--", "echo", "answer") == b"answer\n"


@pytest.mark.parametrize(
    "change",
    [{"cachekit.run": 2}, {"status": 256}, {"status": "0"}, {"ttl_ms": 2**63}, {"output": [1]}, {"output": [3, "x"]}, {"created_ms": None}],
)
def test_a_record_that_means_nothing_is_replaced(tool, change):
    tool.ok("run", "--", "echo", "answer")
    key = json.loads(tool.ok("ls", "--json").splitlines()[0])["key"]
    tool.ok("set", "--as", "json", key, json.dumps({"cachekit.run": 1, "status": 0, "output": [], **change}))
    assert_ran_with_one_warning(tool.run("run", "--", "echo", "answer"))


def test_a_store_that_this_version_does_not_have(tool):
    assert_ran_with_one_warning(tool.run("run", "--store", "redis://127.0.0.1:1", "--", "echo", "answer"))


def test_the_directory_vanishes_while_the_command_runs(tool):
    done = tool.run("run", "--", "sh", "-c", f"rm -rf '{tool.cache}'; echo answer")
    assert (done.returncode, done.stdout) == (0, b"answer\n")


def test_no_memory_for_the_output_passes_it_through(tool):
    limit = 80 * 1024 * 1024

    def little_memory():
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    if b"__asan" in open(tool.command()[0], "rb").read() or b"__tsan" in open(tool.command()[0], "rb").read():
        pytest.skip("sanitizers need more address space")
    done = tool.run("run", "--max-output", "1G", "--", "head", "-c", "150000000", "/dev/zero", preexec_fn=little_memory)
    assert done.returncode == 0 and len(done.stdout) == 150000000
    assert done.stderr == b"cachekit: no memory for the output: not stored\n"


@needs_root
def test_a_stale_answer_in_a_store_that_cannot_be_written_starts_no_refresh(tool):
    runs = tool.home / "runs"
    words = ["run", "--ttl", "1ms", "--stale", "1h", "--", "sh", "-c", f"echo run >> '{runs}'; echo answer"]
    tool.ok(*words)
    mount = f"mount --bind '{tool.cache}' '{tool.cache}' && mount -o remount,bind,ro '{tool.cache}'"
    for _ in range(4):
        assert_ran_with_one_warning(mounted(tool, mount, *words))
    assert runs.read_text() == "run\n"


def test_warming_without_a_cache_says_so(tool):
    done = tool.run("run", "--warm", "--", "touch", tool.home / "mark", env={"HOME": None})
    assert done.returncode == 125 and done.stderr.count(b"\n") == 1
    assert not (tool.home / "mark").exists()
