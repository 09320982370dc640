"""invalidate: what belongs to a namespace, a function or a tenant, or everything, is gone at once."""

import json
import os
import signal
import subprocess
import threading

import pytest
from store_tools import Screen, keys, write_foreign

AUTOMATIC = "func:app.report:args:" + "a" * 64 + ":1s"
OTHER = "func:app.other:args:" + "a" * 64 + ":1s"
IN_NAMESPACE = "ns:reports:func:app.report:args:" + "b" * 64 + ":1s"


def fill(tool):
    tool.ok("set", "plain", "1")
    tool.ok("set", "named", "2", "--namespace", "reports")
    for key in (AUTOMATIC, OTHER, IN_NAMESPACE):
        tool.ok("set", key, "3")


def test_a_namespace_goes_and_the_rest_stays(tool):
    fill(tool)
    assert tool.ok("invalidate", "--namespace", "reports") == b"removed 2 entries\n"
    assert sorted(keys(tool)) == sorted(["plain", AUTOMATIC, OTHER])


def test_a_function_goes_within_its_namespace_alone(tool):
    fill(tool)
    assert tool.ok("invalidate", "--function", "app.report") == b"removed 1 entry\n"
    assert AUTOMATIC not in keys(tool) and IN_NAMESPACE in keys(tool)
    assert tool.ok("invalidate", "--function", "app.report", "--namespace", "reports") == b"removed 1 entry\n"
    assert sorted(keys(tool)) == sorted(["plain", "named", OTHER])


def test_a_function_is_named_as_the_program_does(tool):
    tool.ok("set", "func:app._locals_.f:args:" + "c" * 64 + ":1s", "v")
    assert tool.ok("invalidate", "--function", "app.<locals>.f") == b"removed 1 entry\n"


def test_a_forgotten_namespace_is_hinted_at(tool):
    fill(tool)
    tool.ok("invalidate", "--function", "app.report")
    done = tool.run("invalidate", "--function", "app.report")
    assert (done.returncode, done.stdout) == (0, b"removed 0 entries\n")
    assert b"1 entry of this function belongs to a namespace" in done.stderr and b"--namespace" in done.stderr
    assert tool.run("invalidate", "--function", "app.none").stderr == b""


def test_all_goes_with_a_yes(tool):
    fill(tool)
    write_foreign(tool)
    (tool.cache / "notes.txt").write_text("not ours")
    assert tool.ok("invalidate", "--all", "--yes") == b"removed 6 entries\n"
    assert keys(tool) == [] and (tool.cache / "notes.txt").exists()
    assert tool.ok("invalidate", "--all", "-y") == b"removed 0 entries\n"


def test_without_a_terminal_and_a_yes_nothing_goes(tool):
    fill(tool)
    done = tool.run("invalidate", "--all")
    assert done.returncode == 2 and b"--yes" in done.stderr and done.stdout == b""
    assert tool.run("invalidate", "--all", input=b"y\n").returncode == 2
    assert len(keys(tool)) == 5


def test_json_tells_both_counts(tool):
    fill(tool)
    write_foreign(tool)
    done = tool.run("invalidate", "--namespace", "reports", "--json")
    assert json.loads(done.stdout) == {"removed": 2, "unindexed": 1, "complete": True}


def test_entries_of_unknown_owners_stay_and_it_is_said_what_to_do(tool):
    path = write_foreign(tool)
    done = tool.run("invalidate", "--namespace", "reports")
    assert (done.returncode, done.stdout) == (0, b"removed 0 entries\n")
    assert b"1 entry stayed" in done.stderr and b"invalidate --all" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert path.exists()
    assert tool.run("invalidate", "--namespace", "reports", "--quiet").stderr == b""


def test_expired_entries_are_not_counted(tool):
    write_foreign(tool, expiry=1000)
    done = tool.run("invalidate", "--namespace", "reports", "--json")
    assert json.loads(done.stdout) == {"removed": 0, "unindexed": 0, "complete": True}


def test_a_tenant_loses_its_own_alone(tool):
    fill(tool)
    for key, namespace in (("a", "n"), ("b", "m"), (AUTOMATIC, None)):
        tool.ok("set", key, "v", "--tenant", "acme", *(("--namespace", namespace) if namespace else ()))
    tool.ok("set", "a", "v", "--tenant", "acm", "--namespace", "n")
    assert tool.ok("invalidate", "--tenant", "acme", "--namespace", "n") == b"removed 1 entry\n"
    assert sorted(keys(tool, "--tenant", "acme")) == ["b", AUTOMATIC]
    assert tool.ok("invalidate", "--tenant", "acme", "--function", "app.report") == b"removed 1 entry\n"
    write_foreign(tool)
    done = tool.run("invalidate", "--tenant", "acme", "--all", "--yes", "--json")
    assert json.loads(done.stdout) == {"removed": 1, "unindexed": 1, "complete": True}
    assert b"without --tenant" in done.stderr
    assert len(keys(tool)) == 7 and keys(tool, "--tenant", "acm") == ["a"]


@pytest.mark.parametrize(
    "words, hint",
    [
        ([], b"--namespace NAME, --function NAME or --all"),
        (["--yes"], b"--namespace NAME, --function NAME or --all"),
        (["--all", "--yes", "--namespace", "n"], b"--all goes with neither"),
        (["--all", "--yes", "--function", "f"], b"--all goes with neither"),
        (["--namespace", ""], b"--namespace is empty"),
        (["--function", "", "--namespace", "reports"], b"--function is empty"),
        (["--function", b"\xff"], b"UTF-8"),
        (["reports"], b"no operand"),
        (["--all", "--yes", "--tenant", ""], b"--tenant is empty"),
    ],
)
def test_wrong_usage_is_told_and_nothing_removed(tool, words, hint):
    fill(tool)
    done = tool.run("invalidate", *words)
    assert done.returncode == 2 and hint in done.stderr and done.stderr.count(b"\n") == 1
    assert len(keys(tool)) == 5


@pytest.mark.parametrize("words", [["--namespace", "n"], ["--all", "-y"], ["--namespace", "n", "--tenant", "t"]])
def test_a_store_that_cannot_says_so(tool, words):
    done = tool.run("invalidate", *words, "--store", "memory:")
    assert done.returncode == 3 and b"a memory store cannot" in done.stderr


def test_a_store_that_cannot_be_opened_is_exit_3(tool):
    (tool.home / "file").write_text("no directory")
    assert tool.run("invalidate", "--all", "-y", "--store", f"file://{tool.home}/file").returncode == 3


def test_a_full_disk_behind_the_answer_is_an_error_after_the_work(tool):
    fill(tool)
    with open("/dev/full", "wb") as full:
        done = tool.run("invalidate", "--all", "--yes", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 4 and keys(tool) == []


# ---- the question ---------------------------------------------------------------------------------------------------


def test_a_terminal_is_asked_and_yes_means_yes(tool):
    fill(tool)
    screen = Screen(tool, "invalidate", "--all", "--store", f"file://{tool.cache}")
    question = screen.read_to(b"[y/N] ").decode()
    assert f"Remove all 5 entries of file://{tool.cache}? [y/N] " in question
    screen.type(b"y\n")
    shown, code = screen.end()
    assert code == 0 and "removed 5 entries" in shown and keys(tool) == []


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04", b"nyyy\n"])
def test_anything_else_means_no(tool, answer):
    fill(tool)
    screen = Screen(tool, "invalidate", "--all")
    screen.read_to(b"[y/N] ")
    screen.type(answer)
    shown, code = screen.end()
    assert code == 4 and "nothing was removed" in shown and len(keys(tool)) == 5


def test_an_interrupt_at_the_question_removes_nothing(tool):
    fill(tool)
    screen = Screen(tool, "invalidate", "--all")
    screen.read_to(b"[y/N] ")
    screen.process.send_signal(signal.SIGINT)
    _, code = screen.end()
    assert code == -signal.SIGINT and len(keys(tool)) == 5


def test_the_question_names_the_tenant_and_counts_its_entries(tool):
    fill(tool)
    tool.ok("set", "k", "v", "--tenant", "acme")
    screen = Screen(tool, "invalidate", "--all", "--tenant", "acme")
    assert b"Remove the only entry of the tenant acme in file://" in screen.read_to(b"[y/N] ")
    screen.type(b"yes\n")
    assert "removed 1 entry" in screen.end()[0]


def test_an_answer_from_elsewhere_than_the_terminal_does_not_count(tool):
    fill(tool)
    path = tool.home / "answers"
    path.write_text("y\n" * 10)
    with open(path, "rb") as answers:
        shown, code = Screen(tool, "invalidate", "--all", stdin=answers).end()
    assert code == 2 and "--yes" in shown and len(keys(tool)) == 5


# ---- while it works -------------------------------------------------------------------------------------------------


def entry_files(tool):
    return sum(1 for name in os.listdir(tool.cache) if not name.startswith("."))


def fill_with_many(tool, count):
    for i in range(count):
        write_foreign(tool, f"{i:032x}", value=b"")


def stop_in_the_middle(tool, count):
    fill_with_many(tool, count)
    process = tool.start("invalidate", "--all", "--yes", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while entry_files(tool) == count and process.poll() is None:
        pass
    if process.returncode is None:  # else it was quicker, and has been waited for
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # it may run on for a moment
    return process


def go_on_after_the_part_has_ended(process):
    """Parts of the work are half a second long: one that was stopped for longer is followed by another."""
    threading.Event().wait(0.7)
    process.send_signal(signal.SIGCONT)


def test_an_interrupt_ends_it_with_a_true_count(tool):
    count = 4000
    process = stop_in_the_middle(tool, count)
    process.send_signal(signal.SIGINT)
    go_on_after_the_part_has_ended(process)
    out, err = process.communicate(timeout=240)
    answer = json.loads(out)
    left = entry_files(tool)
    assert answer["removed"] == count - left and err == b""
    assert process.returncode == (130 if left > 0 else 0)
    assert answer["complete"] == (left == 0)


def test_work_in_several_parts_is_counted_once(tool):
    count = 4000
    process = stop_in_the_middle(tool, count)
    go_on_after_the_part_has_ended(process)
    out, err = process.communicate(timeout=240)
    assert json.loads(out) == {"removed": count, "unindexed": 0, "complete": True}
    assert process.returncode == 0 and err == b"" and entry_files(tool) == 0
