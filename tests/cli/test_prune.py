"""prune: what has expired, what is old, and the oldest beyond a size."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest
from store_tools import keys, make_older, objects, write_foreign


def store_aged(tool, *rows, size=10, **options):
    """Entries of `size` bytes in the store's file each (15 and more), written so many seconds ago."""
    for key, age in rows:
        tool.ok("set", key, "x" * size, "--ttl", "none", **options)
        make_older(tool, key, age)


def test_alone_it_removes_what_has_expired_and_nothing_else(tool):
    tool.ok("set", "live", "v")
    expired = [write_foreign(tool, f"{i:032x}", expiry=1000) for i in range(3)]
    assert tool.ok("prune") == b"removed 0 entries, 0 bytes; 3 expired\n"
    assert not any(path.exists() for path in expired)
    assert keys(tool) == ["live"]
    assert tool.ok("prune") == b"removed 0 entries, 0 bytes; 0 expired\n"


def test_what_is_older_than_that_goes(tool):
    store_aged(tool, ("old", 7200), ("young", 60))
    assert tool.ok("prune", "--older-than", "1h") == b"removed 1 entry, 24 bytes; 0 expired\n"
    assert keys(tool) == ["young"]


def test_an_old_entry_that_was_written_again_is_young(tool):
    store_aged(tool, ("k", 7200))
    tool.ok("set", "k", "again")
    assert tool.ok("prune", "--older-than", "1h").startswith(b"removed 0 entries")
    assert keys(tool) == ["k"]


def test_the_oldest_go_until_the_rest_fits(tool):
    store_aged(tool, ("b", 200), ("c", 100), ("a", 300))  # 24 bytes each
    assert tool.ok("prune", "--to-size", "48").startswith(b"removed 1 entry, 24 bytes;")
    assert sorted(keys(tool)) == ["b", "c"]
    assert tool.ok("prune", "--to-size", "47").startswith(b"removed 1 entry, 24 bytes;")
    assert keys(tool) == ["c"]
    assert tool.ok("prune", "--to-size", "0").startswith(b"removed 1 entry, 24 bytes;")
    assert keys(tool) == []


def test_a_size_that_is_not_reached_removes_nothing(tool):
    store_aged(tool, ("a", 300))
    assert tool.ok("prune", "--to-size", "1M").startswith(b"removed 0 entries")
    assert tool.ok("prune", "--to-size", "9999999999G", "--older-than", "3650d").startswith(b"removed 0 entries")


def test_old_ones_go_first_and_count_for_the_size(tool):
    store_aged(tool, ("oldest", 9000), ("old", 8000), ("young", 60))
    assert tool.ok("prune", "--older-than", "2h", "--to-size", "24").startswith(b"removed 2 entries, 48 bytes;")
    assert keys(tool) == ["young"]


def test_older_than_nothing_is_everything(tool):
    store_aged(tool, ("a", 0), ("b", 5))
    tool.ok("prune", "--older-than", "0")
    assert keys(tool) == []


def test_a_namespace_narrows_both_options(tool):
    for key, namespace in (("mine", "n"), ("also", "n"), ("other", "m"), ("none", None)):
        tool.ok("set", key, "x" * 10, *(("--namespace", namespace) if namespace else ()))
        make_older(tool, key, 7200)
    make_older(tool, "also", 3600)
    tool.ok("prune", "--namespace", "n", "--to-size", "24")
    assert sorted(keys(tool)) == ["also", "none", "other"]
    tool.ok("prune", "--namespace", "n", "--older-than", "30m")
    assert sorted(keys(tool)) == ["none", "other"]


def test_a_tenant_prunes_its_own_alone(tool):
    tool.ok("set", "k", "v", "--tenant", "acme")
    tool.ok("set", "k", "v")
    write_foreign(tool)
    assert tool.ok("prune", "--older-than", "0", "--tenant", "acme").startswith(b"removed 1 entry,")
    assert keys(tool, "--sort", "name") == ["k", None]


def test_a_forgotten_namespace_is_hinted_at(tool):
    tool.ok("run", "--", "true")
    done = tool.run("prune", "--function", "cachekit.run", "--older-than", "0")
    assert done.returncode == 0 and b"belongs to a namespace and stayed: name it with --namespace run" in done.stderr
    assert len(keys(tool)) == 1


def test_a_dry_run_shows_and_removes_nothing(tool):
    store_aged(tool, ("old", 7200), ("young", 60))
    lines = tool.ok("prune", "--older-than", "1h", "--dry-run").decode().splitlines()
    assert lines[0].endswith("  old") and lines[1] == "would remove 1 entry, 24 bytes" and len(lines) == 2
    assert sorted(keys(tool)) == ["old", "young"]


def test_json_tells_all_counts_and_a_dry_run_the_entries(tool):
    store_aged(tool, ("old", 7200), ("young", 60))
    done = json.loads(tool.ok("prune", "--older-than", "1h", "--dry-run", "--json"))
    assert [row["key"] for row in done.pop("entries")] == ["old"]
    assert done == {
        "dry_run": True,
        "removed": 1,
        "bytes": 24,
        "expired": None,
        "unknown_age": 0,
        "unindexed": 0,
        "renewed": 0,
        "complete": True,
    }
    done = json.loads(tool.ok("prune", "--older-than", "1h", "--json"))
    assert (done["dry_run"], done["removed"], done["expired"], "entries" in done) == (False, 1, 0, False)
    assert keys(tool) == ["young"]


def test_an_entry_whose_key_is_unknown_stays_and_is_counted(tool):
    path = write_foreign(tool)
    os.utime(path, (1, 1))
    store_aged(tool, ("k", 100))
    done = tool.run("prune", "--to-size", "0")
    assert done.returncode == 0 and done.stdout.startswith(b"removed 1 entry,")
    assert b"1 entry stayed: the store does not know the keys" in done.stderr
    assert b"what stayed takes 20" in done.stderr
    assert path.exists()
    assert json.loads(tool.ok("prune", "--older-than", "1d", "--json"))["unindexed"] == 1
    assert tool.run("prune", "--to-size", "0", "--quiet").stderr == b""


def test_an_entry_of_unknown_age_stays_and_is_counted(tool):
    store_aged(tool, ("k", 0))
    os.utime(tool.cache / objects(tool)[0]["name"], (0, -5))
    for words in (["--older-than", "0"], ["--to-size", "0"]):
        done = tool.run("prune", *words)
        assert done.stdout.startswith(b"removed 0 entries") and b"how old they are" in done.stderr
    assert keys(tool) == ["k"]


def test_hostile_keys_are_removed_like_others(tool):
    for key in (b"\xff\xfe", b"a\nb", b"k" * 65536, b"--", b"-x"):
        tool.ok("set", "--", key, "v")
    tool.ok("prune", "--older-than", "0")
    assert keys(tool) == []


@pytest.mark.parametrize(
    "words, hint",
    [
        (["operand"], b"no operand"),
        (["--older-than", "7 days"], b"no duration"),
        (["--older-than", "99999d"], b"at most 3650d"),
        (["--to-size", "-1"], b"no size"),
        (["--to-size", "99999999999999999999"], b"at most 17179869183G"),
        (["--namespace", "n"], b"need one of them"),
        (["--dry-run"], b"stores show live entries only"),
        (["--namespace", "", "--to-size", "1"], b"--namespace is empty"),
    ],
)
def test_wrong_usage_is_told_and_nothing_removed(tool, words, hint):
    store_aged(tool, ("k", 100))
    done = tool.run("prune", *words)
    assert done.returncode == 2 and hint in done.stderr and done.stderr.count(b"\n") == 1
    assert keys(tool) == ["k"]


@pytest.mark.parametrize("words", [[], ["--older-than", "1d"]])
def test_a_store_that_cannot_says_so(tool, words):
    done = tool.run("prune", *words, "--store", "memory:")
    assert done.returncode == 3 and b"a memory store cannot" in done.stderr


@pytest.fixture
def unprivileged(tool):
    """A tool whose programs permission bits bind: root's do not."""
    if os.geteuid() != 0:
        yield tool
        return
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 65534, 65534)
        other = type(tool)(pathlib.Path(home))
        plain_run = other.run
        other.run = lambda *words, **options: plain_run(*words, user=65534, group=65534, extra_groups=[], **options)
        try:
            other.run("version")
        except PermissionError:
            pytest.skip("nobody but root can run the binary where it lies")
        yield other


@pytest.mark.parametrize("words", [["prune", "--older-than", "0"], ["invalidate", "--all", "--yes"]])
@pytest.mark.parametrize("tenant", [[], ["--tenant", "acme"]])
def test_what_cannot_be_removed_is_a_failure_and_the_counts_are_told(unprivileged, words, tenant):
    tool = unprivileged
    tool.ok("set", "a", "v", *tenant)
    tool.ok("set", "b", "v", *tenant)
    tool.cache.chmod(0o500)
    done = tool.run(*words, *tenant)
    tool.cache.chmod(0o700)
    assert done.returncode == 3 and done.stdout.startswith(b"removed 0 entries")
    assert b"cachekit: " in done.stderr and len(keys(tool)) == 2


def test_a_full_disk_behind_the_answer_is_an_error_after_the_work(tool):
    store_aged(tool, ("k", 100))
    with open("/dev/full", "wb") as full:
        done = tool.run("prune", "--older-than", "0", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 4 and keys(tool) == []


# ---- while it works -------------------------------------------------------------------------------------------------


def entry_files(tool):
    return [name for name in os.listdir(tool.cache) if not name.startswith(".")]


def stop_in_the_middle(tool, *words, count):
    """Starts a command and stops it as soon as entries begin to vanish. None when it was quicker than that."""
    process = tool.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(entry_files(tool)) == count and process.poll() is None:
        pass
    if process.returncode is None:  # else it has been waited for
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # it may run on for a moment
    if process.poll() is None and len(entry_files(tool)) > 1:
        return process
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=240)
    return None


def fill(tool, count, **options):
    for i in range(count):
        tool.ok("set", f"k{i}", "v", "--ttl", "1h", **options)


def test_an_interrupt_ends_it_between_two_entries_with_a_true_count(tool):
    for _ in range(5):
        fill(tool, 40)
        process = stop_in_the_middle(tool, "prune", "--older-than", "0", "--json", count=40)
        if process is not None:
            break
    else:
        pytest.skip("it was always quicker than its observer")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=240)
    answer = json.loads(out)
    left = len(entry_files(tool))
    assert process.returncode == 130 and err == b""
    assert answer["removed"] == 40 - left and left > 0 and not answer["complete"]


def test_what_is_written_again_meanwhile_is_not_lost(tool):
    for _ in range(5):
        fill(tool, 30)
        process = stop_in_the_middle(tool, "prune", "--older-than", "0", "--json", count=30)
        if process is not None:
            break
    else:
        pytest.skip("it was always quicker than its observer")
    fresh = set(keys(tool))
    for key in fresh:
        tool.ok("set", key, "newer", "--ttl", "2h")
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=240)
    answer = json.loads(out)
    lost = fresh - set(keys(tool))
    assert process.returncode == 0 and b"written again meanwhile" in err
    assert len(lost) <= 1  # it may have been stopped right before a removal
    assert answer["renewed"] == len(fresh) - len(lost)
