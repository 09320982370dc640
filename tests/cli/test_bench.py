"""bench: what it measures, where it works, and what it leaves behind."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import time

import pytest


def bench(tool, *words, **options):
    """The report of a run that must succeed."""
    return json.loads(tool.ok("bench", "--json", *words, **options))


def private_directories(tool):
    base = tool.home / ".cache"
    return sorted(base.glob("cachekit-bench-*")) if base.exists() else []


def listed(tool, store):
    return tool.ok("ls", "--store", store).splitlines()


@pytest.fixture
def store(tool):
    return f"file://{tool.home}/store?sync=none"


def wait_until(condition):
    """A bound for what must happen, not a measure."""
    end = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- what is counted


def test_gets_sets_hits_and_misses_add_up(tool):
    report = bench(tool, "--store", "memory:", "--operations", "3000", "--keys", "100", "--threads", "3", "--get", "80")
    gets, sets = report["gets"], report["sets"]
    assert report["operations"] == 3000
    assert gets["count"] + sets["count"] - sets["after_misses"] == 3000
    assert gets["memory_hits"] + gets["store_hits"] + gets["misses"] == gets["count"]
    assert sets["after_misses"] == gets["misses"]
    assert gets["bytes"] == 64 * gets["memory_hits"] and sets["bytes"] == 64 * sets["count"]
    assert report["errors"] == gets["wrong"] == 0
    assert 2200 < gets["count"] < 2600
    assert report["interrupted"] is False and report["backend"] == "memory" and report["private"] is False


def test_a_hit_comes_from_the_store_without_memory_and_from_memory_with_it(tool, store):
    words = ["--store", store, "--operations", "300", "--keys", "10", "--get", "100"]
    without = bench(tool, *words, "--l1", "off")["gets"]
    assert (without["memory_hits"], without["store_hits"], without["misses"]) == (0, 290, 10)
    assert without["hit_ratio"] == {"total": 0.966667, "memory": 0.0, "store": 0.966667}
    with_memory = bench(tool, *words, "--l1", "on")["gets"]
    assert (with_memory["memory_hits"], with_memory["store_hits"], with_memory["misses"]) == (290, 0, 10)


def test_a_small_memory_leaves_hits_to_the_store(tool, store):
    gets = bench(tool, "--store", store, "--operations", "4000", "--keys", "500", "--zipf", "0", "--value-size", "1K",
                 "--l1-size", "64K", "--get", "100")["gets"]
    assert gets["store_hits"] > 1000 and gets["memory_hits"] > 0


@pytest.mark.parametrize("percent,gets", [("0", 0), ("100", 500)])
def test_only_sets_and_only_gets(tool, percent, gets):
    report = bench(tool, "--store", "memory:", "--operations", "500", "--get", percent)
    assert report["gets"]["count"] == gets
    if gets == 0:
        assert report["gets"]["latency_ns"] is None and report["gets"]["hit_ratio"]["total"] is None


def test_latencies_ascend_and_the_clock_is_told(tool):
    report = bench(tool, "--store", "memory:", "--operations", "2000", "--keys", "10")
    for kind in ("gets", "sets"):
        times = report[kind]["latency_ns"]
        assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["p99.9"] <= times["max"]
        assert 0 < times["mean"] <= times["max"]
    assert report["clock_ns"] > 0 and report["generator_ns"] > report["clock_ns"]
    assert report["cpu_seconds"]["user"] >= 0 and report["seconds"] > 0


def test_the_same_seed_makes_the_same_load(tool):
    def counts(seed):
        report = bench(tool, "--store", "memory:", "--operations", "2000", "--threads", "2", "--value-size", "0-1K", "--seed", seed)
        return report["gets"]["count"], report["sets"]["bytes"]

    # Two threads share the keys, so what misses may differ a little; what is asked for does not.
    assert counts("7")[0] == counts("7")[0] != counts("8")[0]
    words = ["--store", "memory:", "--operations", "2000", "--value-size", "0-1K"]
    assert bench(tool, *words)["sets"] | {"latency_ns": 0} == bench(tool, *words)["sets"] | {"latency_ns": 0}


def test_a_higher_skew_asks_more_often_for_the_same_keys(tool):
    misses = [
        bench(tool, "--store", "memory:", "--operations", "5000", "--keys", "10000", "--get", "100", "--zipf", skew)["gets"]["misses"]
        for skew in ("0", "0.7", "1", "1.4", "10")
    ]
    assert misses == sorted(misses, reverse=True) and misses[0] > 3500 and misses[-1] < 20


def test_a_hundred_million_keys_need_no_table(tool):
    assert bench(tool, "--store", "memory:", "--operations", "100", "--keys", "100000000", "--zipf", "0")["operations"] == 100


def test_sizes_of_values_come_from_the_whole_range(tool):
    sets = bench(tool, "--store", "memory:", "--operations", "2000", "--get", "0", "--zipf", "0", "--value-size", "1K-3K")["sets"]
    assert 1900 < sets["bytes"] / sets["count"] < 2200
    empty = bench(tool, "--store", "memory:", "--operations", "50", "--keys", "2", "--value-size", "0")
    assert empty["sets"]["bytes"] == 0 and empty["gets"]["memory_hits"] > 0


def test_it_runs_for_the_time_it_is_given(tool):
    report = bench(tool, "--store", "memory:", "--seconds", "200ms")
    assert report["seconds"] >= 0.2 and report["operations"] > 0
    assert bench(tool, "--store", "memory:", "--seconds", "1")["seconds"] >= 1


def test_the_report_for_people_names_everything(tool):
    text = tool.ok("bench", "--operations", "50", "--keys", "5").decode()
    for word in ("store", "private", "operations", "hit ratio", "memory", "errors", "p50", "p99.9", "max", "clock"):
        assert word in text


def test_a_run_that_began_in_an_empty_store_is_explained(tool):
    words = ["bench", "--operations", "300", "--keys", "10", "--get", "100", "--store", f"file://{tool.home}/s"]
    assert b"the store was empty when the run began" in tool.ok(*words, "--keep")
    assert b"the store was empty" not in tool.ok(*words, "--keep")
    report = bench(tool, "--operations", "10")
    assert report["was_empty"] is True and report["store"] is None
    report = bench(tool, *words[1:])
    assert report["was_empty"] is False and report["store"] == words[-1] and report["backend"] == "file"


@pytest.mark.parametrize("seconds", ["3651d", "315360001", "99999999999999999999s"])
def test_a_time_that_is_too_long_is_told_the_longest(tool, seconds):
    done = tool.run("bench", "--seconds", seconds)
    assert done.returncode == 2 and b"at most 3650d" in done.stderr


# ---- where it works


def test_by_default_it_works_in_a_private_directory_that_is_gone_afterwards(tool):
    tool.ok("set", "mine", "value")
    before = sorted(p.name for p in tool.cache.iterdir())
    report = bench(tool, "--operations", "200", "--keys", "20")
    assert report["backend"] == "file" and report["private"] is True
    assert private_directories(tool) == []
    assert sorted(p.name for p in tool.cache.iterdir()) == before
    assert tool.ok("get", "mine").rstrip(b"\n") == b"value"


def test_the_store_of_the_environment_is_left_alone(tool):
    directory = tool.home / "of-the-environment"
    bench(tool, "--operations", "20", env={"CACHEKIT_FILE_CACHE_DIR": str(directory)})
    assert not directory.exists()


def test_odd_characters_in_the_place_of_the_private_directory(tool):
    base = tool.home / "a b?c=1&d#e%41\u00e9"
    assert bench(tool, "--operations", "20", env={"XDG_CACHE_HOME": str(base)})["private"] is True
    assert list(base.iterdir()) == []
    assert sorted(p.name for p in tool.home.iterdir()) == [base.name]


def test_a_given_store_gets_its_keys_in_one_namespace_and_is_cleaned(tool, store):
    tool.ok("set", "--store", store, "mine", "value")
    bench(tool, "--store", store, "--operations", "100", "--keys", "10")
    assert len(listed(tool, store)) == 1
    bench(tool, "--store", store, "--operations", "100", "--keys", "10", "--zipf", "0", "--keep")
    lines = [line for line in listed(tool, store) if b"mine" not in line]
    assert len(lines) == 10 and all(b"cachekit-bench:" in line for line in lines)
    bench(tool, "--store", store, "--operations", "1")
    assert len(listed(tool, store)) == 1


def test_values_that_another_run_left_are_read_as_right_ones(tool, store):
    bench(tool, "--store", store, "--operations", "200", "--keys", "10", "--value-size", "10-99", "--keep", "--seed", "1")
    again = bench(tool, "--store", store, "--operations", "200", "--keys", "10", "--value-size", "3K", "--seed", "2")
    assert again["gets"]["wrong"] == 0 and again["gets"]["store_hits"] > 0


def test_leftovers_of_killed_runs_are_removed_but_not_the_homes_of_living_ones(tool):
    base = tool.home / ".cache"
    names = ["cachekit-bench-AAAAAA", "cachekit-bench-BBBBBB", "cachekit-bench-CCCCCC", "cachekit-bench-12", "other"]
    for name in names:
        (base / name).mkdir(parents=True)
        (base / name / "entry").write_bytes(b"x")
        os.utime(base / name, (1, 1))
    elsewhere = tool.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"x")
    (base / "cachekit-bench-DDDDDD").symlink_to(elsewhere)
    (base / "cachekit-bench-AAAAAA" / "link").symlink_to(elsewhere)
    os.utime(base / "cachekit-bench-AAAAAA", (1, 1))
    (base / "cachekit-bench-CCCCCC" / "new").write_bytes(b"x")  # somebody was here just now
    living = os.open(base / "cachekit-bench-BBBBBB", os.O_RDONLY)
    fcntl.flock(living, fcntl.LOCK_EX)
    tool.ok("bench", "--operations", "10")
    os.close(living)
    left = sorted(p.name for p in base.iterdir())
    assert left == sorted(set(names) - {"cachekit-bench-AAAAAA"} | {"cachekit-bench-DDDDDD"})
    assert (elsewhere / "precious").exists()


def test_a_place_where_no_directory_can_be_made_is_exit_3_with_advice(tool):
    done = tool.run("bench", "--operations", "10", env={"XDG_CACHE_HOME": "/dev/null/nowhere"})
    assert done.returncode == 3 and b"XDG_CACHE_HOME" in done.stderr and done.stdout == b""


def test_with_a_master_key_what_is_stored_is_encrypted(tool, store):
    env = {"CACHEKIT_MASTER_KEY": "0011" * 16}
    assert bench(tool, "--store", store, "--operations", "10", env=env)["operations"] == 10
    bench(tool, "--store", "memory:", "--operations", "10", env=env)
    assert tool.run("bench", "--operations", "10", env={"CACHEKIT_MASTER_KEY": "0011"}).returncode == 2


def test_a_store_that_cannot_be_opened_is_exit_3(tool):
    (tool.home / "file").write_bytes(b"")
    done = tool.run("bench", "--store", f"file://{tool.home}/file", "--operations", "10")
    assert done.returncode == 3 and done.stdout == b"" and done.stderr.count(b"\n") == 1


# ---- the end


def start_long(tool, *words, **options):
    options.setdefault("stdout", subprocess.PIPE)
    return tool.start("bench", "--json", "--seconds", "10m", *words, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_early_with_a_report_and_nothing_left(tool, number):
    process = start_long(tool)
    wait_until(lambda: any(len(os.listdir(d)) > 5 for d in private_directories(tool)))
    process.send_signal(number)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 128 + number
    report = json.loads(out)
    assert report["interrupted"] is True and report["operations"] > 0
    assert private_directories(tool) == []


def test_an_interrupt_cleans_a_given_store(tool, store):
    process = start_long(tool, "--store", store)
    wait_until(lambda: (tool.home / "store").exists() and len(os.listdir(tool.home / "store")) > 10)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    assert process.returncode == 130
    assert listed(tool, store) == []


def test_a_killed_run_is_cleaned_up_by_a_later_one(tool):
    process = start_long(tool)
    wait_until(lambda: any(len(os.listdir(d)) > 5 for d in private_directories(tool)))
    process.kill()
    process.communicate()
    (left,) = private_directories(tool)
    tool.ok("bench", "--operations", "10")
    assert private_directories(tool) == [left]  # perhaps it has only just begun
    os.utime(left, (1, 1))
    tool.ok("bench", "--operations", "10")
    assert private_directories(tool) == []


def test_a_report_into_a_closed_pipe_leaves_nothing_behind(tool):
    read, write = os.pipe()
    os.close(read)
    done = tool.run("bench", "--operations", "100", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.returncode in (-signal.SIGPIPE, 128 + signal.SIGPIPE)
    assert private_directories(tool) == []


def test_a_full_disk_behind_standard_output_is_an_error(tool):
    with open("/dev/full", "wb") as full:
        done = tool.run("bench", "--store", "memory:", "--operations", "10", stdout=full, stderr=-1)
    assert done.returncode == 4


def test_closed_streams_do_no_harm(tool):
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" bench --operations 100 <&- >&- 2>&-', tool.command()[0]], env=tool.env, cwd=tool.home, timeout=120
    )
    assert done.returncode == 0
    assert private_directories(tool) == []


def test_operations_that_fail_are_counted_and_told(tool):
    # Stored values may have 1 MiB here, and these do not compress below that.
    store = f"file://{tool.home}/store?sync=none&max_size_mb=2"
    done = tool.run("bench", "--json", "--store", store, "--operations", "3", "--get", "0", "--value-size", "4M")
    report = json.loads(done.stdout)
    assert done.returncode != 0 and report["errors"] == 3 and report["sets"]["errors"] == 3
    assert done.stderr.startswith(b"cachekit: 3 operations failed")


def test_values_of_other_keys_are_noticed(tool, store):
    bench(tool, "--store", store, "--operations", "20", "--keys", "2", "--zipf", "0", "--keep")
    one, other = (p for p in (tool.home / "store").iterdir() if not p.name.startswith("."))
    other.write_bytes(one.read_bytes())
    done = tool.run("bench", "--json", "--store", store, "--operations", "20", "--keys", "2", "--zipf", "0", "--get", "100")
    assert done.returncode == 4 and json.loads(done.stdout)["gets"]["wrong"] > 0


# ---- traces


def test_a_trace_of_lines_is_replayed_once(tool):
    trace = tool.home / "trace"
    trace.write_bytes(b"apple\npear\napple\n\n\xff\x00key\nlast without an end")
    report = bench(tool, "--store", "memory:", "--trace", trace)
    assert report["operations"] == report["gets"]["count"] == 5
    assert report["gets"]["misses"] == report["sets"]["after_misses"] == 4 and report["gets"]["memory_hits"] == 1
    assert report["load"]["trace"] == str(trace) and report["generator_ns"] is None


def test_a_trace_keeps_its_keys_as_they_are(tool, store):
    bench(tool, "--store", store, "--keep", "--trace", "-", input=b"some key\n42\n")
    keys = [json.loads(line)["key"] for line in tool.ok("ls", "--json", "--store", store).splitlines()]
    assert sorted(keys) == ["cachekit-bench:42", "cachekit-bench:some key"]


@pytest.mark.parametrize("format,code", [("u32", "<I"), ("u64", "<Q")])
def test_traces_of_numbers_are_little_endian(tool, store, format, code):
    numbers = [1, 258, 1, 2**31, 2 ** (8 * struct.calcsize(code)) - 1]
    data = b"".join(struct.pack(code, number) for number in numbers)
    report = bench(tool, "--store", store, "--keep", "--trace", "-", "--format", format, input=data)
    assert report["gets"]["count"] == 5 and report["gets"]["misses"] == 4
    keys = {json.loads(line)["key"] for line in tool.ok("ls", "--json", "--store", store).splitlines()}
    assert keys == {f"cachekit-bench:{number}" for number in numbers}


def test_a_long_trace_is_replayed_to_its_end_by_all_threads(tool):
    keys = 200_000
    data = b"".join(b"%d-%s\n" % (i % 1000, b"x" * (i % 50)) for i in range(keys))
    report = bench(tool, "--store", "memory:", "--trace", "-", "--threads", "4", input=data)
    assert report["gets"]["count"] == keys
    trace = tool.home / "trace"
    trace.write_bytes(data)
    report = bench(tool, "--store", "memory:", "--trace", trace)
    # 50 divides 1000, so there are 1000 different keys.
    assert report["gets"]["misses"] == 1000 and report["operations"] == keys
    assert bench(tool, "--store", "memory:", "--trace", trace, "--operations", "777", "--threads", "2")["operations"] == 777


def test_keys_of_8000_bytes_fit_and_longer_ones_are_told_with_their_line(tool, store):
    long = b"k" * 8000
    assert bench(tool, "--store", store, "--trace", "-", input=long + b"\n" + long)["gets"]["memory_hits"] == 1
    done = tool.run("bench", "--json", "--store", "memory:", "--trace", "-", input=b"a\nb\n" + long + b"k\nc\n")
    assert done.returncode == 4 and b"line 3" in done.stderr
    assert json.loads(done.stdout)["operations"] == 2


def test_endless_garbage_is_no_trace(tool):
    done = tool.run("bench", "--store", "memory:", "--trace", "/dev/zero")
    assert done.returncode == 4 and b"line 1" in done.stderr


def test_an_endless_trace_can_be_bounded(tool):
    words = ["--store", "memory:", "--trace", "/dev/zero", "--format", "u64"]
    assert bench(tool, *words, "--operations", "1000")["gets"]["memory_hits"] == 999
    assert bench(tool, *words, "--seconds", "100ms")["operations"] > 0


def test_a_trace_that_ends_inside_of_a_number_is_told_after_the_report(tool):
    done = tool.run("bench", "--json", "--store", "memory:", "--trace", "-", "--format", "u32", input=b"12345")
    assert done.returncode == 4 and b"number 2" in done.stderr
    assert json.loads(done.stdout)["operations"] == 1


def test_an_empty_a_missing_and_an_unreadable_trace_are_errors(tool):
    assert tool.run("bench", "--trace", "-", input=b"").returncode == 4
    assert tool.run("bench", "--trace", "-", input=b"\n\n").returncode == 4
    for path in ("missing", tool.home):
        done = tool.run("bench", "--trace", path)
        assert done.returncode == 4 and done.stdout == b"" and done.stderr.count(b"\n") == 1
    assert private_directories(tool) == []


def test_a_silent_pipe_can_be_interrupted(tool):
    process = start_long(tool, "--trace", "-", "--threads", "3", stdin=subprocess.PIPE)
    process.stdin.write(b"one\ntwo\n")
    process.stdin.flush()
    wait_until(lambda: any(len([n for n in os.listdir(d) if n[0] != "."]) == 2 for d in private_directories(tool)))
    process.send_signal(signal.SIGINT)
    out = process.stdout.read()  # the pipe stays open
    assert process.wait(timeout=240) == 130
    assert json.loads(out)["operations"] == 2
    process.stdin.close()
    process.stderr.close()
    assert private_directories(tool) == []


# ---- usage


@pytest.mark.parametrize(
    "words",
    [
        ["--threads", "0"], ["--threads", "1025"], ["--get", "101"], ["--get", "nan"], ["--keys", "0"],
        ["--keys", "100000001"], ["--keys", "99999999999999999999"], ["--zipf", "11"], ["--zipf", "-1"],
        ["--zipf", "inf"], ["--value-size", "4K-64"], ["--value-size", "-"], ["--value-size", "64-"],
        ["--value-size", "x"], ["--value-size", "2G"], ["--value-size", "9999999999999G"],
        ["--value-size", "2M", "--threads", "1000"], ["--seconds", "0"], ["--seconds", "never"], ["--seconds", "-1"],
        ["--seconds", "99999999999999"], ["--operations", "0"], ["--operations", "1", "--seconds", "1"],
        ["--l1", "maybe"], ["--l1-size", "1K"], ["--l1", "off", "--l1-size", "1M"], ["--format", "u32"],
        ["--trace", "x", "--keys", "1"], ["--trace", "x", "--get", "50"], ["--trace", "x", "--zipf", "1"],
        ["--trace", "x", "--format", "csv"], ["--keep"], ["--store", "memory:", "--l1", "off"], ["--tenant", "x"],
        ["operand"], ["--l1-size", "9999999G", "--store", "memory:"],
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_2_in_one_line(tool, words):
    done = tool.run("bench", *words)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1, done
    assert private_directories(tool) == []


def test_a_thousand_threads_are_allowed(tool):
    report = bench(tool, "--store", "memory:", "--operations", "2048", "--threads", "1024")
    assert report["operations"] == 2048 and report["load"]["threads"] == 1024


def run_on_terminal(tool, *words):
    """Standard error is a terminal; gives what was shown there."""
    control, terminal = pty.openpty()
    process = tool.start("bench", *words, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(control, 65536):
            shown += chunk
    except OSError:
        pass  # EIO: the other side is closed
    out, _ = process.communicate(timeout=240)
    os.close(control)
    assert process.returncode == 0
    return out, shown


def test_progress_is_shown_on_a_terminal_and_nowhere_else(tool):
    out, shown = run_on_terminal(tool, "--store", "memory:", "--seconds", "1500ms", "--json")
    assert json.loads(out)["operations"] > 0
    assert b"operations/s" in shown and shown.endswith(b"\r\x1b[K")
    _, shown = run_on_terminal(tool, "--store", "memory:", "--seconds", "1500ms", "--quiet")
    assert shown == b""
    done = tool.run("bench", "--store", "memory:", "--seconds", "1500ms")
    assert done.stderr == b""
