"""cachekit stats: what the store counts, once and again and again."""

import fcntl
import json
import os
import pty
import resource
import signal
import struct
import subprocess
import termios
import time

import pytest

MANY_LINES = 3000  # of watching, before a test gives up


def told(tool, *words):
    return json.loads(tool.ok("stats", "--json", *words))


def labelled(text):
    return {line[:16].strip(): line[16:] for line in text.decode().splitlines()}


def fill(tool):
    tool.ok("set", "greeting", "hello")
    tool.ok("get", "greeting")
    tool.ok("get", "greeting")
    assert tool.run("get", "nothing").returncode == 1


def test_hits_misses_and_writes_of_other_programs_are_counted(tool):
    fill(tool)
    stats = told(tool)
    assert stats["counters"]["hits"] == 2 and stats["counters"]["misses"] == 1 and stats["counters"]["writes"] == 1
    assert stats["hit_ratio"] == pytest.approx(2 / 3, abs=1e-4)
    assert stats["levels"]["entries"] == 1 and stats["levels"]["limit_bytes"] == 1 << 30
    assert stats["since"].endswith("Z") and stats["since"] <= stats["time"]
    assert stats["backend"] == "file" and stats["store"] == f"file://{tool.cache}"


def test_people_see_labels_and_sizes(tool):
    fill(tool)
    shown = labelled(tool.ok("stats"))
    assert shown["hits"] == "2" and shown["misses"] == "1" and shown["hit ratio"] == "66.7 %"
    assert shown["entries"] == "1 of 10000 (0.0 %)" and shown["bytes"].endswith(" of 1.0G (0.0 %)")
    assert shown["counting since"].endswith(" ago)")
    assert shown["store"] == f"file (file://{tool.cache}, the default)"


def test_the_order_of_the_lines_is_fixed(tool):
    names = list(labelled(tool.ok("stats")))
    assert names[:6] == ["store", "entries", "bytes", "counting since", "hits", "misses"]
    assert names.index("hit ratio") == 6 and names[-1] == "background work"


def test_nothing_was_asked_for_yet_so_the_ratio_is_unknown(tool):
    assert told(tool)["hit_ratio"] is None
    assert labelled(tool.ok("stats"))["hit ratio"] == "unknown"


def test_what_lives_in_other_programs_is_not_published(tool):
    stats = told(tool)
    assert stats["not_published"] == ["guards", "memory_tier", "background_work"]
    assert all(stats[name] is None for name in stats["not_published"])
    assert labelled(tool.ok("stats"))["memory tier"] == "not published"


def test_a_store_without_counters_says_so(tool):
    stats = told(tool, "--store", "memory:")
    assert stats["counters"] is None and "counters" in stats["not_published"] and stats["since"] is None
    assert stats["levels"]["entries"] == 0
    assert labelled(tool.ok("stats", "--store", "memory:"))["counters"] == "not published"


def test_looking_counts_nothing(tool):
    fill(tool)
    before = told(tool)["counters"]
    tool.ok("stats")
    assert told(tool)["counters"] == before


def test_a_store_that_cannot_be_written_still_tells_what_it_counted(tool):
    fill(tool)

    def no_file_grows():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    (tool.cache / ".ck-usage").unlink()
    stats = json.loads(tool.ok("stats", "--json", preexec_fn=no_file_grows))
    assert stats["counters"]["hits"] == 2 and stats["levels"]["limit_bytes"] == 1 << 30


def test_a_damaged_record_begins_again(tool):
    fill(tool)
    (tool.cache / ".ck-stats").write_bytes(b"x" * 256)
    assert told(tool)["counters"]["hits"] == 0


def test_watching_writes_a_title_and_a_line_per_sample(tool):
    lines = tool.ok("stats", "--watch", "--interval", "100ms", "--count", "3").decode().splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:3] == ["time", "hits/s", "misses/s"]
    assert lines[1].split()[1:7] == ["-"] * 6 and lines[2].split()[1:3] == ["0.0", "0.0"]


def test_watching_in_json_gives_one_object_per_line(tool):
    lines = tool.ok("stats", "-w", "--interval", "100ms", "--count", "2", "--json").splitlines()
    first, second = map(json.loads, lines)
    assert first["rates"] is None and first["seconds"] is None
    assert second["seconds"] >= 0.1 and second["rates"]["hits"] == 0


def watched(tool):
    return tool.start("stats", "--watch", "--interval", "100ms", "--json", stdout=subprocess.PIPE)


def test_rates_show_what_others_do(tool):
    process = watched(tool)
    try:
        assert json.loads(process.stdout.readline())["counters"]["hits"] == 0
        fill(tool)
        rates = (json.loads(process.stdout.readline()) for _ in range(MANY_LINES))
        sample = next(s for s in rates if s["counters"]["hits"] == 2)
        assert sample["counters"]["misses"] <= 1
    finally:
        process.kill()
        process.communicate()


def test_a_rate_is_what_was_counted_over_the_interval(tool):
    process = watched(tool)
    try:
        last = json.loads(process.stdout.readline())
        fill(tool)
        for _ in range(MANY_LINES):
            now = json.loads(process.stdout.readline())
            grown = now["counters"]["hits"] - last["counters"]["hits"]
            assert now["rates"]["hits"] == pytest.approx(grown / now["seconds"], rel=0.05, abs=0.01)
            if now["counters"]["hits"] == 2:
                break
            last = now
        assert now["counters"]["hits"] == 2
    finally:
        process.kill()
        process.communicate()


def test_where_counting_begins_again_the_rate_is_unknown(tool):
    fill(tool)
    process = watched(tool)
    try:
        assert json.loads(process.stdout.readline())["counters"]["hits"] == 2
        (tool.cache / ".ck-stats").unlink()
        samples = (json.loads(process.stdout.readline()) for _ in range(MANY_LINES))
        assert next(s for s in samples if s["counters"]["hits"] == 0)["rates"]["hits"] is None
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_watching_also_within_a_long_interval(tool, number, code):
    process = tool.start("stats", "--watch", "--interval", "1h", stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"time") and process.stdout.readline() != b""
    process.send_signal(number)
    rest, _ = process.communicate(timeout=240)
    assert process.returncode == code and rest == b""


def test_a_reader_that_goes_away_ends_watching(tool):
    process = tool.start("stats", "--watch", "--interval", "100ms", stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=240) == -signal.SIGPIPE


def test_output_that_cannot_be_written_ends_watching(tool):
    with open("/dev/full", "wb") as full:
        done = tool.run("stats", "--watch", "--interval", "100ms", stdout=full, stderr=-1)
    assert done.returncode == 4 and b"standard output cannot be written" in done.stderr


def on_terminal(tool, term, *words):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = tool.start("stats", *words, env={**tool.env, "TERM": term}, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # nobody holds the other end any more
            break
        if part == b"":
            break
        shown += part
    os.close(master)
    assert process.wait(timeout=240) == 0
    return shown


def test_on_a_terminal_watching_draws_over_the_last_sample(tool):
    fill(tool)
    shown = on_terminal(tool, "xterm", "--watch", "--interval", "100ms", "--count", "2")
    assert shown.count(b"\033[H") == 2 and shown.count(b"hit ratio") == 2
    assert shown.count(b"\n") < 48  # two samples fit into a window of 24 lines
    assert b"hits            2 (0.0/s)" in shown


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_draw_gets_lines(tool, term):
    shown = on_terminal(tool, term, "--watch", "--interval", "100ms", "--count", "2")
    assert b"\033" not in shown and shown.startswith(b"time ")


@pytest.mark.parametrize(
    "words",
    [["--count", "2"], ["--interval", "1s"], ["--watch", "--count", "0"], ["--watch", "--interval", "50ms"],
     ["--watch", "--interval", "0"], ["--watch", "--count", "many"], ["operand"], ["--tenant", "acme"],
     ["--watch", "--count", "99999999999999999999"]],
)
def test_wrong_usage_exits_2(tool, words):
    done = tool.run("stats", *words)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1


def test_a_store_that_cannot_be_opened_exits_3(tool, tmp_path):
    (tmp_path / "file").write_text("no directory")
    done = tool.run("stats", "--store", f"file://{tmp_path}/file")
    assert done.returncode == 3 and done.stdout == b""


# ---- what running programs tell of their guards ----


def born(pid):
    """When a process was started, as the system counts it."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[19]


def tell(directory, pid, **figures):
    """Writes the notice of a guard, as the library does."""
    directory.mkdir(exist_ok=True)
    known = {"state": 0, "accepting": 1, "last_failure_ms_ago": (1 << 64) - 1} | figures
    lines = [
        "cachekit-guard 1",
        f"pid {pid}",
        f"born {born(pid)}",
        "program shop",
        "store redis",
        f"told {int(time.time() * 1000) - 400}",
        "max_concurrent 100",
        "queue_size 1000",
        "failure_threshold 5",
        "recovery_timeout_ms 30000",
        *(f"{name} {value}" for name, value in known.items()),
    ]
    (directory / f"guard-{pid}-0000002a").write_text("\n".join(lines) + "\n")


@pytest.fixture
def status_dir(tool, tmp_path):
    tool.env["CACHEKIT_STATUS_DIR"] = str(tmp_path / "status")
    return tmp_path / "status"


def test_an_open_circuit_is_shown_with_the_time_that_is_left(tool, status_dir):
    tell(
        status_dir,
        os.getpid(),
        state=1,
        recovery_in_ms=20400,
        failures=7,
        opened=2,
        refused=31,
        waiting=3,
        rejected=4,
        last_failure_ms_ago=9600,
        **{"data.timeout_ms": 150, "data.operations": 1042, "data.timed_out": 6, "data.average_us": 250},
    )
    stats = told(tool)
    assert "guards" not in stats["not_published"]
    (guard,) = stats["guards"]
    assert guard["pid"] == os.getpid() and guard["program"] == "shop" and guard["backend"] == "redis"
    assert 0.4 <= guard["age"] < 60
    circuit = guard["circuit"]
    assert circuit["state"] == "open" and circuit["opened"] == 2 and circuit["refused"] == 31
    assert circuit["recovery_in"] == pytest.approx(20.4 - guard["age"], abs=0.002)
    assert circuit["last_failure_ago"] == pytest.approx(9.6 + guard["age"], abs=0.002)
    assert guard["timeouts"]["data"] == {
        "timeout": 0.15,
        "average": 0.00025,
        "percentile": 0,
        "operations": 1042,
        "timed_out": 6,
    }
    assert guard["backpressure"]["waiting"] == 3 and guard["backpressure"]["queue_size"] == 1000
    assert guard["backpressure"]["rejected"] == 4 and guard["backpressure"]["accepting"] is True
    shown = labelled(tool.ok("stats"))
    assert shown["guard"].startswith(f"redis in shop (process {os.getpid()}), as of ")
    assert shown["circuit"].startswith("open, tried again in ") and shown["circuit"].endswith("; opened 2, refused 31")
    assert shown["reads, writes"] == "150ms at most, 0.250 ms on average; 6 of 1042 timed out"
    assert shown["queue"] == "0 of 100 with the store, 3 of 1000 waiting; rejected 4"


def test_a_closed_circuit_tells_no_time(tool, status_dir):
    tell(status_dir, os.getpid(), failures_in_a_row=2)
    circuit = told(tool)["guards"][0]["circuit"]
    assert circuit["state"] == "closed" and circuit["recovery_in"] is None and circuit["last_failure_ago"] is None
    assert labelled(tool.ok("stats"))["circuit"] == "closed, 2 of 5 failures in a row; opened 0, refused 0"


def test_nobody_tells_anything_until_somebody_does(tool, status_dir):
    assert told(tool)["guards"] == [] and labelled(tool.ok("stats"))["guards"] == "none tells anything"
    status_dir.write_text("no directory")
    done = tool.run("stats", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["guards"] == [] and b"CACHEKIT_STATUS_DIR" in done.stderr


def test_guards_stand_by_the_number_of_their_process(tool, status_dir):
    child = subprocess.Popen(["sleep", "60"])
    try:
        tell(status_dir, child.pid)
        tell(status_dir, os.getpid())
        assert [guard["pid"] for guard in told(tool)["guards"]] == sorted([child.pid, os.getpid()])
    finally:
        child.kill()
        child.wait()
