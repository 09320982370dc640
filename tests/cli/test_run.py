"""`cachekit run`: what is stored and shown, what counts for the key, freshness, failures, company."""

import json
import os
import random
import signal
import subprocess
import sys
import threading

import pytest

from run_tools import counted, wait_until

__all__ = ["counted"]
SOAK = "CKIT_SOAK" in os.environ


# ---- what is stored and shown -----------------------------------------------------------------------------------


def test_the_second_call_shows_both_streams_and_the_exit_code_without_running(tool, counted):
    command, runs = counted
    words = ["run", "--", *command("echo out; echo err >&2")]
    first, second = tool.run(*words), tool.run(*words)
    assert (first.stdout, first.stderr, first.returncode) == (b"out\n", b"err\n", 0)
    assert (second.stdout, second.stderr, second.returncode) == (b"out\n", b"err\n", 0)
    assert runs() == 1


WRITER = """
import os, random, sys
random.seed(int(sys.argv[1]))
for number in range(3000):
    os.write(random.choice((1, 2)), b"%d\\n" % number)
"""


def test_the_order_of_both_streams_is_kept_while_running_and_when_shown_again(tool):
    expected = b"".join(b"%d\n" % number for number in range(3000))
    for seed in range(3):
        words = ["run", "--", sys.executable, "-c", WRITER, str(seed)]
        for _ in range(2):
            done = tool.run(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert done.stdout == expected


def test_bytes_of_every_kind_and_size_come_back(tool):
    script = "import os,sys; data=bytes(range(256))*8192; sys.stdout.buffer.write(data); sys.stderr.buffer.write(data[::-1])"
    data = bytes(range(256)) * 8192
    for _ in range(2):
        done = tool.run("run", "--", sys.executable, "-c", script)
        assert done.stdout == data and done.stderr == data[::-1]


def test_no_output_at_all_is_an_answer_too(tool, counted):
    command, runs = counted
    for _ in range(3):
        assert tool.run("run", "--", *command("true")).stdout == b""
    assert runs() == 1


def test_options_of_the_command_are_its_own(tool):
    assert tool.ok("run", "echo", "--ttl", "-n", "--help") == b"--ttl -n --help\n"
    assert tool.ok("run", "--", "echo", "--", "x") == b"-- x\n"


def test_json_holds_the_output_in_order(tool):
    words = ["run", "--json", "--", "sh", "-c", "echo a; echo b >&2; printf '\\377'"]
    first, second = json.loads(tool.ok(*words)), json.loads(tool.ok(*words))
    output = [["stdout", "a\n"], ["stderr", "b\n"], ["stdout", {"base64": "/w=="}]]
    assert first["source"] == "command" and second["source"] == "cache"
    assert first["output"] == second["output"] == output
    assert second["status"] == 0 and second["stale"] is False and second["age"] >= 0


def test_output_streams_through_while_the_command_runs(tool):
    gate = tool.home / "gate"
    os.mkfifo(gate)
    process = tool.start("run", "--", "sh", "-c", f"echo early; read line < '{gate}'; echo late", stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"early\n"  # the command waits for us now
    gate.write_text("go\n")
    assert process.stdout.read() == b"late\n"
    assert process.wait(240) == 0


def test_the_record_is_a_file_that_only_its_owner_can_read(tool):
    tool.ok("run", "--", "echo", "secret")
    entries = [entry for entry in tool.cache.iterdir() if not entry.name.startswith(".")]
    assert len(entries) == 1
    assert entries[0].stat().st_mode & 0o777 == 0o600
    assert tool.cache.stat().st_mode & 0o777 == 0o700


def test_an_ambient_variable_never_chooses_the_store(tool, tmp_path):
    other = tmp_path / "other"
    env = {"REDIS_URL": "redis://127.0.0.1:1", "CACHEKIT_FILE_CACHE_DIR": str(other), "CACHEKIT_MASTER_KEY": "0123" * 16}
    done = tool.run("run", "--", "echo", "x", env=env)
    assert (done.stdout, done.stderr) == (b"x\n", b"")
    assert tool.cache.exists() and not other.exists()


def test_another_store_and_a_tenant_keep_answers_apart(tool, counted, tmp_path):
    command, runs = counted
    store = f"file://{tmp_path}/elsewhere"
    for options in ([], ["--store", store], ["--store", store, "--tenant", "a/b"], ["--tenant", "a/b"]):
        for _ in range(2):
            tool.ok("run", *options, "--", *command())
    assert runs() == 4


# ---- what counts ------------------------------------------------------------------------------------------------


def test_words_count_byte_for_byte(tool, counted):
    command, runs = counted
    for tail in ([], [""], ["a", "b"], ["a b"], [b"\xff"], ["a", "b"]):
        tool.ok("run", "--", *command(), *tail)
    assert runs() == 5


@pytest.mark.parametrize(
    "options",
    [["--scope", "a"], ["--namespace", "n"], ["--env", "MODE"], ["--cwd"], ["--tty"], ["--modtime", "f"], ["--depends", "f"]],
)
def test_each_part_of_the_key_makes_an_answer_of_its_own(tool, counted, options):
    command, runs = counted
    for words in ([], options, [], options):
        tool.ok("run", *words, "--", *command())
    assert runs() == 2


def test_variables_count_by_value_in_any_order_and_unset_is_not_empty(tool, counted):
    command, runs = counted
    for env in ({"A": "1", "B": None}, {"A": "1", "B": ""}, {"A": "2", "B": ""}):
        tool.ok("run", "--env", "A", "--env", "B", "--", *command(), env=env)
        tool.ok("run", "--env", "B", "--env", "A", "--env", "A", "--", *command(), env=env)
    assert runs() == 3
    tool.ok("run", "--", *command(), env={"A": "1"})
    tool.ok("run", "--", *command(), env={"A": "2", "ANYTHING": "else"})
    assert runs() == 4


def test_the_working_directory_counts_when_asked(tool, counted):
    command, runs = counted
    for name in ("one", "two", "one"):
        directory = tool.home / name
        directory.mkdir(exist_ok=True)
        tool.ok("run", "--cwd", "--", *command(), cwd=directory)
        tool.ok("run", "--", *command(), cwd=directory)
    assert runs() == 3


def test_a_file_counts_by_content_or_by_time_and_size(tool, counted):
    command, runs = counted
    file = tool.home / "input"
    for option in ("--depends", "--modtime"):
        before = runs()
        file.unlink(missing_ok=True)
        tool.ok("run", option, file, "--", *command())  # absent is a state too
        file.write_text("one")
        os.utime(file, ns=(1, 1))
        tool.ok("run", option, file, "--", *command())
        tool.ok("run", option, file, "--", *command())
        assert runs() == before + 2
        file.write_text("two")
        os.utime(file, ns=(1, 1))
        tool.ok("run", option, file, "--", *command())
        assert runs() == before + (3 if option == "--depends" else 2)
        os.utime(file, ns=(2, 2))
        tool.ok("run", option, file, "--", *command())
        assert runs() == before + 3


def test_a_modification_time_far_from_now_is_one_like_any_other(tool, counted):
    command, runs = counted
    file = tool.home / "input"
    file.touch()
    for seconds in (15_000_000_000, -2_000_000_000, 15_000_000_000):
        os.utime(file, (seconds, seconds))
        tool.ok("run", "--modtime", file, "--", *command())
    assert runs() == 2


@pytest.mark.parametrize("kind", ["directory", "fifo", "a file under a file"])
def test_what_cannot_be_a_file_to_depend_on_is_wrong_usage(tool, kind):
    path = tool.home / "thing"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("")
        path = path / "below"
    done = tool.run("run", "--depends", path, "--", "echo", "no")
    assert (done.returncode, done.stdout) == (125, b"")
    assert str(path).encode() in done.stderr


def test_standard_input_counts_and_reaches_the_command(tool, counted):
    command, runs = counted
    big = os.urandom(3_000_000)
    for data in (b"one", b"two", b"", big, b"one", big):
        assert tool.ok("run", "--stdin", "--", *command("cat"), input=data) == data
    assert runs() == 4


def test_without_stdin_the_command_reads_nothing(tool):
    assert tool.ok("run", "--", "cat", input=b"unseen") == b""


# ---- freshness --------------------------------------------------------------------------------------------------


def test_after_its_lifetime_the_command_runs_again(tool, counted):
    command, runs = counted
    for _ in range(2):
        tool.ok("run", "--ttl", "1ms", "--", *command())
    assert runs() == 2


def test_the_shorter_lifetime_counts(tool, counted):
    command, runs = counted
    tool.ok("run", "--ttl", "none", "--", *command())
    tool.ok("run", "--ttl", "1ms", "--", *command())
    assert runs() == 2
    tool.ok("run", "--ttl", "none", "--", *command())
    assert runs() == 3  # what was stored with 1 ms stays short


def test_lifetime_zero_neither_stores_nor_shows(tool, counted):
    command, runs = counted
    tool.ok("run", "--", *command())
    for _ in range(2):
        tool.ok("run", "--ttl", "0", "--", *command())
    assert runs() == 3


def test_a_stale_answer_is_shown_at_once_and_replaced_in_the_background(tool, counted):
    command, runs = counted
    gate = tool.home / "gate"
    words = ["run", "--ttl", "1ms", "--stale", "1h", "--", *command(f"while test -e '{gate}'; do sleep 0.02; done; echo $n")]
    assert tool.ok(*words).strip() == b"1"
    gate.touch()
    for _ in range(5):
        assert tool.ok(*words).strip() == b"1"  # though the command hangs
    gate.unlink()
    wait_until(lambda: tool.ok(*words).strip() != b"1")


def test_only_one_process_refreshes_a_key(tool, counted):
    command, runs = counted
    gate = tool.home / "gate"
    words = ["run", "--ttl", "1ms", "--stale", "1h", "--", *command(f"while test -e '{gate}'; do sleep 0.02; done")]
    tool.ok(*words)
    gate.touch()
    for _ in range(10):
        tool.ok(*words)
    wait_until(lambda: runs() == 2)
    for _ in range(10):
        tool.ok(*words)
    assert runs() == 2
    gate.unlink()


def test_who_waits_shares_an_answer_that_is_stale_by_then(tool, counted):
    command, runs = counted
    gates = [tool.home / f"gate{number}" for number in (1, 2)]  # one for the command, one for its refresh
    for gate in gates:
        gate.touch()
    script = f"while test -e '{tool.home}'/gate$n; do sleep 0.02; done; echo $n"
    words = ["run", "--ttl", "1ms", "--stale", "1h", "--", *command(script)]
    calls = [tool.start(*words, stdout=subprocess.PIPE) for _ in range(4)]
    wait_until(lambda: runs() == 1)
    gates[0].unlink()
    assert [call.communicate(timeout=240)[0].strip() for call in calls] == [b"1"] * 4
    gates[1].unlink()


def test_force_runs_and_stores_anew(tool, counted):
    command, runs = counted
    words = command("echo $n")
    assert tool.ok("run", "--", *words).strip() == b"1"
    assert tool.ok("run", "--force", "--", *words).strip() == b"2"
    assert tool.ok("run", "--", *words).strip() == b"2"


def test_warm_prints_nothing_and_the_next_call_has_the_answer(tool, counted):
    command, runs = counted
    done = tool.run("run", "--warm", "--", *command("echo out; echo err >&2"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert tool.ok("run", "--", *command("echo out; echo err >&2")) == b"out\n"
    assert runs() == 1
    tool.ok("run", "--warm", "--", *command("echo out; echo err >&2"))
    wait_until(lambda: runs() == 2)


def test_warm_hands_standard_input_on(tool, counted):
    command, runs = counted
    tool.ok("run", "--warm", "--stdin", "--", *command("cat"), input=b"words")
    assert tool.ok("run", "--stdin", "--", *command("cat"), input=b"words") == b"words"
    assert runs() == 1


# ---- failures ---------------------------------------------------------------------------------------------------


def test_a_failure_is_shown_and_not_stored(tool, counted):
    command, runs = counted
    for _ in range(2):
        done = tool.run("run", "--", *command("echo out; echo err >&2; exit 7"))
        assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert runs() == 2


def test_failures_are_stored_when_asked_for(tool, counted):
    command, runs = counted
    for _ in range(2):
        done = tool.run("run", "--cache-failures", "1h", "--", *command("echo out; exit 7"))
        assert (done.returncode, done.stdout) == (7, b"out\n")
    assert runs() == 1


def stale_and_failing(tool, counted):
    command, runs = counted
    good = tool.home / "good"
    good.touch()
    words = ["--ttl", "1ms", "--stale", "1h", "--", *command(f"echo answer; test -e '{good}'")]
    tool.ok("run", *words)
    good.unlink()
    return words, runs


def test_a_failing_refresh_is_put_off_and_the_stale_answer_tells_its_age(tool, counted):
    words, runs = stale_and_failing(tool, counted)
    first = tool.run("run", *words)
    assert (first.returncode, first.stdout, first.stderr) == (0, b"answer\n", b"")
    wait_until(lambda: b"old: refreshing it failed (exit code 1), next try in " in tool.run("run", *words).stderr)
    assert runs() == 2
    for _ in range(5):
        done = tool.run("run", *words)
        assert (done.returncode, done.stdout) == (0, b"answer\n")
        assert done.stderr.count(b"\n") == 1
    assert runs() == 2  # the next try is 30 s away
    assert tool.run("run", "--quiet", *words).stderr == b""


def test_force_overrides_the_back_off_and_a_failure_keeps_the_old_answer(tool, counted):
    words, runs = stale_and_failing(tool, counted)
    done = tool.run("run", "--force", *words)
    assert (done.returncode, done.stdout) == (1, b"answer\n")
    assert runs() == 2
    done = tool.run("run", *words)
    assert (done.returncode, done.stdout) == (0, b"answer\n")
    assert b"next try in" in done.stderr


def test_the_back_off_doubles_up_to_a_quarter_of_an_hour(tool, counted):
    words, _ = stale_and_failing(tool, counted)
    seen = []
    for _ in range(7):
        tool.run("run", "--force", *words)
        seen.append(tool.run("run", *words).stderr.decode().rsplit(" ", 1)[1].strip())
    minutes = [int(text.split("m")[0]) if "m" in text else 0 for text in seen]
    assert minutes == [0, 0, 1, 3, 7, 14, 14]  # rounded down: 30 s, 1, 2, 4, 8, 15, 15 min


def test_a_command_that_is_not_there_or_cannot_run_is_127_or_126_and_leaves_nothing(tool):
    plain = tool.home / "plain"
    plain.write_text("no program")
    for words, code in ((["no-such-command"], 127), ([plain], 126), ([tool.home], 126)):
        done = tool.run("run", "--", *words)
        assert done.returncode == code
        assert done.stderr.startswith(b"cachekit: ") and done.stderr.count(b"\n") == 1
    assert [entry.name for entry in tool.cache.iterdir() if not entry.name.startswith(".")] == []


def test_more_output_than_allowed_passes_through_unstored(tool, counted):
    command, runs = counted
    words = ["run", "--max-output", "1K", "--", *command("yes | head -c 5000")]
    for _ in range(2):
        done = tool.run(*words)
        assert len(done.stdout) == 5000 and done.returncode == 0
        assert done.stderr.count(b"\n") == 1 and b"--max-output" in done.stderr
    assert runs() == 2
    assert len(tool.ok("run", "--max-output", "5000", "--", *command("yes | head -c 5000"))) == 5000
    tool.ok("run", "--max-output", "5000", "--", *command("yes | head -c 5000"))
    assert runs() == 3


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--"],
        ["--ttl", "5x", "--", "true"],
        ["--ttl", "1h 30m", "--", "true"],
        ["--max-output", "20MB", "--", "true"],
        ["--nonsense", "--", "true"],
        ["--force", "--warm", "--", "true"],
        ["--store", "memory:", "--", "true"],
        ["--env", "A=b", "--", "true"],
        ["--namespace", "", "--", "true"],
    ],
)
def test_wrong_usage_is_125_and_says_what_is_right(tool, words):
    done = tool.run("run", *words)
    assert done.returncode == 125
    assert done.stdout == b"" and done.stderr.count(b"\n") == 1


# ---- company ----------------------------------------------------------------------------------------------------


def test_a_crowd_runs_a_cold_command_once_and_shares_the_answer(tool, counted):
    command, runs = counted
    size = 1000 if SOAK else 40
    gate = tool.home / "gate"
    gate.touch()
    words = ["run", "--", *command(f"while test -e '{gate}'; do sleep 0.02; done; echo shared")]
    crowd = [tool.start(*words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) for _ in range(size)]
    wait_until(lambda: runs() == 1)
    gate.unlink()
    for process in crowd:
        assert process.communicate(timeout=300)[0] == b"shared\n"
        assert process.returncode == 0
    assert runs() == 1


def test_when_the_run_fails_those_who_waited_run_for_themselves_side_by_side(tool, counted):
    command, runs = counted
    gate, meeting = tool.home / "gate", tool.home / "meeting"
    gate.touch()
    # After the first failure the others run; none of them ends before all of them have begun.
    script = f"if test -e '{gate}'; then while test -e '{gate}'; do sleep 0.02; done; exit 3; fi; echo here >> '{meeting}'; while test $(wc -l < '{meeting}') -lt 4; do sleep 0.02; done; exit 4"
    first = tool.start("run", "--", *command(script))
    wait_until(lambda: runs() == 1)
    others = [tool.start("run", "--", *command(script)) for _ in range(4)]
    threading.Event().wait(0.3)  # most of them wait by now; whoever comes late runs as well
    gate.unlink()
    assert first.wait(240) == 3
    assert [process.wait(240) for process in others] == [4] * 4
    assert runs() == 5


def test_who_waits_takes_over_from_a_run_that_was_killed(tool, counted):
    command, runs = counted
    gate = tool.home / "gate"
    gate.touch()
    words = ["run", "--", *command(f"while test -e '{gate}'; do sleep 0.02; done; echo answer")]
    first = tool.start(*words, stdout=subprocess.DEVNULL)
    wait_until(lambda: runs() == 1)
    second = tool.start(*words, stdout=subprocess.PIPE)
    first.send_signal(signal.SIGKILL)
    first.wait(240)
    wait_until(lambda: runs() == 2)
    gate.unlink()
    assert second.communicate(timeout=240)[0] == b"answer\n"


def test_many_different_commands_at_once_do_not_disturb_each_other(tool):
    crowd = [(n, tool.start("run", "--", "echo", str(n), stdout=subprocess.PIPE)) for n in range(60)]
    for number, process in crowd:
        assert process.communicate(timeout=240)[0] == b"%d\n" % number
    for number in random.sample(range(60), 5):
        assert json.loads(tool.ok("run", "--json", "--", "echo", str(number)))["source"] == "cache"
