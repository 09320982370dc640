"""`cachekit run`: lives of answers, newer ones, the names of entries, encryption."""

import json
import subprocess
import threading

import pytest

from run_tools import counted, wait_until

__all__ = ["counted"]


# ---- lives, newer answers, names --------------------------------------------------------------------------------


def is_waiting(process):
    """Asleep between two looks at the other run; any other state counts as not there yet."""
    try:
        with open(f"/proc/{process.pid}/wchan") as file:
            return "nanosleep" in file.read()
    except OSError:
        return False


def wait_until_waiting(processes):
    for process in processes:
        wait_until(lambda process=process: is_waiting(process))


def test_a_crowd_shares_an_answer_whose_life_is_shorter_than_the_waiting(tool, counted):
    command, runs = counted
    gate = tool.home / "gate"
    gate.touch()
    words = ["run", "--ttl", "1ms", "--", *command(f"while test -e '{gate}'; do sleep 0.02; done; echo shared")]
    first = tool.start(*words, stdout=subprocess.PIPE)
    wait_until(lambda: runs() == 1)
    others = [tool.start(*words, stdout=subprocess.PIPE) for _ in range(6)]
    wait_until_waiting(others)
    gate.unlink()
    for process in [first, *others]:
        assert process.communicate(timeout=240)[0] == b"shared\n"
    assert runs() == 1


def test_a_stored_failure_has_a_life_of_its_own(tool, counted):
    command, runs = counted
    words = ["--", *command("echo out; exit 7")]
    tool.run("run", "--ttl", "1ms", "--cache-failures", "1h", *words)
    assert tool.run("run", "--ttl", "1ms", "--cache-failures", "1h", *words).returncode == 7
    assert runs() == 1  # --ttl is for answers of success
    tool.run("run", "--ttl", "1h", "--cache-failures", "1ms", *words)
    assert runs() == 2
    tool.run("run", *words)
    assert runs() == 3  # without the option nobody is shown a failure


def test_a_run_that_began_earlier_does_not_replace_a_newer_answer(tool, counted):
    command, runs = counted
    gate = tool.home / "gate"
    gate.touch()
    words = command(f"while test $n = 1 -a -e '{gate}'; do sleep 0.02; done; echo $n")
    early = tool.start("run", "--", *words, stdout=subprocess.PIPE)
    wait_until(lambda: runs() == 1)
    assert tool.ok("run", "--force", "--", *words).strip() == b"2"
    gate.unlink()
    assert early.communicate(timeout=240)[0].strip() == b"1"
    assert tool.ok("run", "--", *words).strip() == b"2"


def test_a_lease_that_was_lost_stores_nothing(tool, counted):
    command, runs = counted
    gate = tool.home / "gate"
    gate.touch()
    words = command(f"while test $n = 1 -a -e '{gate}'; do sleep 0.02; done; echo $n")
    early = tool.start("run", "--", *words, stdout=subprocess.PIPE)
    wait_until(lambda: runs() == 1)
    for lock in tool.cache.glob(".ck-lock*"):
        lock.unlink()
    assert tool.ok("run", "--", *words).strip() == b"2"
    gate.unlink()
    assert early.communicate(timeout=240)[0].strip() == b"1"
    assert tool.ok("run", "--", *words).strip() == b"2"


def test_the_key_names_the_entry_and_the_entry_names_the_command(tool, counted):
    command, runs = counted
    words = ["--tenant", "a b", "--scope", "s", "--", *command(), b"\xff"]
    key = tool.ok("run", "--key", *words).strip()
    assert runs() == 0 and key.startswith(b"t:a%20b:ns:run:func:cachekit.run:args:")
    assert tool.run("exists", key).returncode == 1
    tool.ok("run", *words)
    record = json.loads(tool.ok("get", "--as", "json", key))
    assert record["command"][:2] == ["sh", "-c"] and record["command"][-1] == {"__bytes__": "/w=="}
    tool.ok("delete", key)
    tool.ok("run", *words)
    assert runs() == 2
    assert tool.ok("run", "--key", "--ttl", "0", "--", "x", env={"HOME": None}).startswith(b"ns:run:")


def test_a_failing_command_leaves_no_entry_behind(tool, counted):
    command, _ = counted
    tool.run("run", "--", *command("exit 1"))
    tool.run("run", "--", "no-such-command")
    tool.run("run", "--warm", "--", "no-such-command")
    wait_until(lambda: tool.ok("ls", "--json") == b"")


def test_waiting_does_not_count_as_missing(tool, counted):
    command, runs = counted
    gate = tool.home / "gate"
    gate.touch()
    words = ["run", "--", *command(f"while test -e '{gate}'; do sleep 0.02; done")]
    crowd = [tool.start(*words) for _ in range(5)]
    wait_until(lambda: runs() == 1)
    threading.Event().wait(0.5)
    gate.unlink()
    assert [process.wait(240) for process in crowd] == [0] * 5
    assert json.loads(tool.ok("stats", "--json"))["counters"]["misses"] <= 5


@pytest.mark.parametrize(
    "words",
    [
        ["--store", "nonsense", "--", "true"],
        ["--store", "/tmp/x", "--", "true"],
        ["--store", "file:///tmp/x?bogus=1", "--", "true"],
        ["--store", "MEMORY:", "--", "true"],
        ["--tenant", "", "--", "true"],
        ["--namespace", "a b", "--", "true"],
        ["--namespace", "a\nb", "--", "true"],
        ["--ttl", "none", "--stale", "1h", "--", "true"],
        ["--ttl", "0", "--stale", "1h", "--", "true"],
        ["--ttl", "0", "--warm", "--", "true"],
        ["--warm", "--json", "--", "true"],
        ["--depends", "", "--", "true"],
        ["--modtime", "", "--", "true"],
    ],
)
def test_what_means_nothing_is_refused(tool, words):
    done = tool.run("run", *words)
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.count(b"\n") == 1


# ---- encryption ---------------------------------------------------------------------------------------------------


def stored(tool):
    return b"".join(path.read_bytes() for path in tool.cache.rglob("*") if path.is_file())


def test_answers_are_encrypted_with_a_key_of_the_user_and_so_are_their_names(tool, counted):
    command, runs = counted
    words = ["run", "--", *command("echo a plain answer")]
    assert tool.ok(*words) == tool.ok(*words) == b"a plain answer\n" and runs() == 1
    assert b"plain answer" not in stored(tool) and b"AES-256-GCM" in stored(tool)
    key = tool.home / ".config" / "cachekit" / "run.key"
    assert key.stat().st_mode & 0o7777 == 0o600 and key.parent.stat().st_mode & 0o7777 == 0o700
    name = tool.ok("run", "--key", "--", *command("echo a plain answer"))
    key.unlink()  # with another key neither name nor answer is found
    assert tool.ok("run", "--key", "--", *command("echo a plain answer")) != name
    assert tool.ok(*words) == b"a plain answer\n" and runs() == 2


def test_the_key_of_the_environment_comes_first(tool, counted):
    command, runs = counted
    env = {"CACHEKIT_MASTER_KEY": "0123" * 16}
    for _ in range(2):
        tool.ok("run", "--", *command("echo a plain answer"), env=env)
    assert runs() == 1 and not (tool.home / ".config").exists() and b"plain answer" not in stored(tool)
    name = tool.ok("run", "--key", "--", *command("echo a plain answer"), env=env).strip()
    assert json.loads(tool.ok("get", "--as", "json", name, env=env))["command"][0] == "sh"
    assert tool.run("get", name).returncode == 4


def test_plain_answers_are_stored_in_the_clear(tool, counted):
    command, runs = counted
    for _ in range(2):
        tool.ok("run", "--plain", "--", *command("echo a plain answer"))
    assert runs() == 1 and not (tool.home / ".config").exists() and b"AES-256-GCM" not in stored(tool)


def test_an_altered_answer_is_not_shown(tool, counted):
    command, runs = counted
    tool.ok("run", "--", *command())
    for path in tool.cache.glob("[0-9a-f]*"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    done = tool.run("run", "--", *command())
    assert done.stdout == b"answer\n" and runs() == 2 and b"damaged" in done.stderr


@pytest.mark.parametrize("key", ["0123", "xyz" * 30])
def test_a_key_that_cannot_be_one_keeps_nobody_from_running(tool, counted, key):
    command, runs = counted
    done = tool.run("run", "--", *command(), env={"CACHEKIT_MASTER_KEY": key})
    assert done.stdout == b"answer\n" and b"E002" in done.stderr and key.encode() not in done.stderr
    assert b"answer" not in stored(tool)


def test_keys_in_variables_and_in_a_file_are_refused_by_name(tool, counted):
    command, _ = counted
    for name in ("CACHEKIT_MASTER_KEY", "CACHEKIT_PREVIOUS_MASTER_KEYS"):
        done = tool.run("run", "--", *command(), env={"CACHEKIT_MASTER_KEY_FILE": "/key", name: "0123" * 16})
        assert done.stdout == b"answer\n" and b"E103" in done.stderr
        assert f"CACHEKIT_MASTER_KEY_FILE and {name} both give keys: keep one of them".encode() in done.stderr
