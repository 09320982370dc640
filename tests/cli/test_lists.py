"""ls: what a store holds, as lines for people and for programs; also the terminal's side of it."""

import json
import os
import signal
import subprocess
import time

import pytest
from store_tools import Screen, keys, make_older, objects, write_foreign

AUTOMATIC = "func:app.report:args:" + "a" * 64 + ":1s"
AUTOMATIC_IN_NAMESPACE = "ns:reports:func:app.report:args:" + "b" * 64 + ":1s"


def test_an_empty_store_has_no_lines(tool):
    done = tool.run("ls")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert tool.ok("ls", "--json") == b""


def test_a_line_tells_size_life_age_namespace_and_key(tool):
    tool.ok("set", "greeting", "hello", "--ttl", "none", "--namespace", "texts")
    assert tool.ok("ls").decode().split()[:3] == ["19", "no", "expiry"]
    assert tool.ok("ls").decode().split()[-2:] == ["texts", "greeting"]
    make_older(tool, "greeting", 7200)
    assert "2h" in tool.ok("ls").decode().split()[3]


def test_json_tells_the_same_in_numbers(tool):
    tool.ok("set", AUTOMATIC_IN_NAMESPACE, "x", "--ttl", "1h")
    make_older(tool, AUTOMATIC_IN_NAMESPACE, 500)
    (row,) = objects(tool)
    assert list(row) == ["key", "name", "namespace", "function", "size", "life", "age", "created"]
    assert row["key"] == AUTOMATIC_IN_NAMESPACE
    assert (row["namespace"], row["function"], row["size"]) == ("reports", "app.report", 15)
    assert 0 < row["life"] <= 3601
    assert 500 <= row["age"] and abs(row["created"] + row["age"] - time.time()) < 1000
    assert len(row["name"]) == 32


def test_no_expiry_and_unknown_owners_are_null(tool):
    tool.ok("set", "k", "v", "--ttl", "none")
    (row,) = objects(tool)
    assert (row["life"], row["namespace"], row["function"]) == (None, None, None)


def test_expired_entries_are_not_shown(tool):
    write_foreign(tool, expiry=1000)
    assert objects(tool) == []


def test_an_entry_of_another_program_has_its_name_in_brackets(tool):
    path = write_foreign(tool)
    assert tool.ok("ls").decode().rstrip().endswith(f"[{path.name}]")
    (row,) = objects(tool)
    assert (row["key"], row["name"], row["size"]) == (None, path.name, 20)
    assert objects(tool, "--namespace", "n") == [] and objects(tool, "--tenant", "t") == []


def test_a_namespace_and_a_function_choose(tool):
    tool.ok("set", "plain", "1")
    tool.ok("set", "named", "2", "--namespace", "reports")
    tool.ok("set", AUTOMATIC, "3")
    tool.ok("set", AUTOMATIC_IN_NAMESPACE, "4")
    assert sorted(keys(tool, "--namespace", "reports")) == ["named", AUTOMATIC_IN_NAMESPACE]
    assert keys(tool, "--function", "app.report") == [AUTOMATIC]
    assert keys(tool, "--function", "app.report", "--namespace", "reports") == [AUTOMATIC_IN_NAMESPACE]
    assert keys(tool, "--function", "app.other") == []
    assert keys(tool, "--namespace", "report") == []


def test_a_function_may_be_written_as_the_program_does(tool):
    key = "func:app._locals_.f:args:" + "c" * 64 + ":1s"
    tool.ok("set", key, "v")
    assert keys(tool, "--function", "app.<locals>.f") == [key]


def test_a_tenant_sees_its_own_keys_without_the_prefix(tool):
    tool.ok("set", "k", "mine", "--tenant", "acme", "--namespace", "n")
    tool.ok("set", "k", "theirs", "--tenant", "acm")
    tool.ok("set", "k", "nobody's")
    assert keys(tool, "--tenant", "acme") == ["k"]
    assert keys(tool, "--tenant", "acme", "--namespace", "n") == ["k"]
    assert keys(tool, "--tenant", "acm", "--namespace", "n") == []
    assert sorted(keys(tool)) == ["k", "t:acm:k", "t:acme:k"]


def test_orders_and_their_reverse(tool):
    for key, size, age, ttl in (("b", 30, 100, "3h"), ("a", 10, 300, "none"), ("c", 20, 200, "1h")):
        tool.ok("set", key, "x" * size, "--ttl", ttl)
        make_older(tool, key, age)
    assert keys(tool, "--sort", "name") == ["a", "b", "c"]
    assert keys(tool, "--sort", "size") == ["b", "c", "a"]
    assert keys(tool, "--sort", "age") == ["a", "c", "b"]
    assert keys(tool, "--sort", "life") == ["c", "b", "a"]
    assert keys(tool, "--sort", "life", "--reverse") == ["a", "b", "c"]


def test_keys_that_are_not_known_come_last_by_name(tool):
    tool.ok("set", "zebra", "v")
    write_foreign(tool)
    assert keys(tool, "--sort", "name") == ["zebra", None]


def test_ages_that_cannot_be_told_come_last_and_are_null(tool):
    tool.ok("set", "known", "v")
    path = write_foreign(tool)
    os.utime(path, (0, -5))
    rows = objects(tool, "--sort", "age")
    assert [row["key"] for row in rows] == ["known", None]
    assert (rows[1]["age"], rows[1]["created"]) == (None, None)
    assert "unknown" in tool.ok("ls").decode()


def test_a_stamp_from_the_future_is_age_zero(tool):
    tool.ok("set", "k", "v")
    make_older(tool, "k", -100000)
    assert objects(tool)[0]["age"] == 0


def test_long_lines_tell_the_function_and_the_stores_name(tool):
    tool.ok("set", AUTOMATIC, "v")
    (row,) = objects(tool)
    assert tool.ok("ls", "--long").decode().split()[-3:] == ["app.report", row["name"], AUTOMATIC]


@pytest.mark.parametrize(
    "key, shown",
    [
        (b"tab\tline\nbell\a", r"tab\x09line\x0abell\x07"),
        (b"\x1b[31mred", r"\x1b[31mred"),
        ("\u009b31m".encode(), r"\xc2\x9b31m"),
        ("abc\u202edef".encode(), r"abc\xe2\x80\xaedef"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"back\\slash", r"back\x5cslash"),
        ("gr\u00fc\u00dfe \u4e16".encode(), "gr\u00fc\u00dfe \u4e16"),
    ],
)
def test_no_key_can_command_the_terminal(tool, key, shown):
    tool.ok("set", key, "v", "--namespace", "n")
    line = tool.ok("ls").decode()
    assert line.count("\n") == 1 and line.rstrip("\n").endswith("  " + shown)


def test_a_key_that_is_not_utf8_is_base64_in_json(tool):
    tool.ok("set", b"\xff\x00"[:1], "v")
    assert keys(tool) == [{"base64": "/w=="}]


def test_hostile_namespaces_stay_on_one_line(tool):
    tool.ok("set", "k", "v", "--namespace", "a\nb\x1b[2J")
    line = tool.ok("ls").decode()
    assert r"a\x0ab\x1b[2J" in line and line.count("\n") == 1
    assert keys(tool, "--namespace", "a\nb\x1b[2J") == ["k"]


def test_the_longest_key_is_shown_whole_where_there_is_no_terminal(tool):
    key = "k" * 65536
    tool.ok("set", key, "v")
    assert tool.ok("ls").decode().split()[-1] == key
    assert keys(tool) == [key]


def test_damaged_entries_and_other_files_are_not_shown(tool):
    tool.ok("set", "good", "v")
    write_foreign(tool, "1" * 32).write_bytes(b"CK\x01")
    write_foreign(tool, "2" * 32).write_bytes(b"something else that is long enough")
    (tool.cache / "notes.txt").write_text("not ours")
    assert keys(tool) == ["good"]
    assert (tool.cache / "notes.txt").exists()


@pytest.mark.parametrize(
    "words, hint",
    [
        (["operand"], b"no operand"),
        (["--sort", "colour"], b"name, size, age, life"),
        (["--reverse"], b"--sort"),
        (["--namespace", ""], b"--namespace is empty"),
        (["--function", ""], b"--function is empty"),
        (["--function", b"\xff"], b"UTF-8"),
        (["--tenant", ""], b"--tenant is empty"),
    ],
)
def test_wrong_usage_is_told(tool, words, hint):
    done = tool.run("ls", *words)
    assert done.returncode == 2 and done.stdout == b""
    assert hint in done.stderr and done.stderr.count(b"\n") == 1


def test_a_store_that_cannot_list_says_so(tool):
    done = tool.run("ls", "--store", "memory:")
    assert done.returncode == 3 and b"memory store cannot list" in done.stderr


def test_a_store_that_cannot_be_opened_is_exit_3(tool):
    (tool.home / "file").write_text("no directory")
    done = tool.run("ls", "--store", f"file://{tool.home}/file")
    assert done.returncode == 3 and done.stderr.startswith(b"cachekit: ")


@pytest.mark.parametrize("words", [["ls"], ["ls", "--json"], ["ls", "--sort", "name"]])
def test_a_full_disk_behind_the_list_is_an_error(tool, words):
    tool.ok("set", "k", "v")
    with open("/dev/full", "wb") as full:
        done = tool.run(*words, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 4 and b"standard output cannot be written" in done.stderr


def test_a_reader_that_goes_away_ends_the_list_quietly(tool):
    for i in range(2500):
        write_foreign(tool, f"{i:032x}")
    process = tool.start("ls", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline().endswith(b"]\n")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=240) == -signal.SIGPIPE


def test_closed_standard_streams_do_no_harm(tool):
    tool.ok("set", "k", "v")
    script = 'exec "$0" ls 0<&- 1>&- 2>&-'
    done = subprocess.run(["sh", "-c", script, tool.command()[0]], env=tool.env, cwd=tool.home, timeout=120)
    assert done.returncode in (0, 4)
    assert keys(tool) == ["k"]


def test_a_forgotten_namespace_is_hinted_at(tool):
    tool.ok("run", "--", "true")
    done = tool.run("ls", "--function", "cachekit.run")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"1 entry of this function belongs to a namespace: name it with --namespace run" in done.stderr
    tool.ok("set", AUTOMATIC_IN_NAMESPACE, "v")
    tool.ok("run", "--namespace", "other", "--", "true")
    assert b"belong to namespaces: name it with --namespace NAME" in tool.run("ls", "-f", "cachekit.run").stderr
    assert tool.run("ls", "--function", "app.none").stderr == b""
    assert tool.run("ls", "--quiet", "--function", "app.report").stderr == b""
    assert tool.run("ls", "--function", "cachekit.run", "--namespace", "run").stderr == b""


# ---- on a terminal --------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_head_cut_keys_and_the_sum(tool):
    tool.ok("set", "k" * 100, "v")
    shown, code = Screen(tool, "ls", columns=80).end()
    head, row, total = shown.splitlines()
    assert code == 0 and head.split() == ["SIZE", "LIFE", "AGE", "NAMESPACE", "KEY"]
    assert len(row) == 80 and row.endswith("kkk...")
    assert total == "1 entry, 15 bytes"


def test_wide_and_escaped_keys_are_cut_to_columns_not_bytes(tool):
    tool.ok("set", "\u4e16" * 60, "v")
    tool.ok("set", b"\xff" * 60, "v")
    shown, _ = Screen(tool, "ls", columns=80).end()
    for line in shown.splitlines()[1:3]:
        columns = sum(2 if char == "\u4e16" else 1 for char in line)
        assert 76 <= columns <= 80 and line.endswith("...")


def test_a_narrow_terminal_still_shows_some_of_the_key(tool):
    tool.ok("set", "a-key-that-is-long-enough", "v")
    shown, code = Screen(tool, "ls", columns=10).end()
    assert code == 0 and "a-key-that-is..." in shown


def test_only_the_list_goes_to_a_file_and_the_sum_to_the_terminal(tool):
    tool.ok("set", "k" * 100, "v")
    path = tool.home / "out"
    with open(path, "wb") as out:
        shown, _ = Screen(tool, "ls", stdout=out).end()
    assert shown == "1 entry, 15 bytes\n"
    assert path.read_text().split()[-1] == "k" * 100


def test_quiet_and_json_have_no_sum(tool):
    tool.ok("set", "k", "v")
    assert "entry" not in Screen(tool, "ls", "--quiet").end()[0]
    shown, _ = Screen(tool, "ls", "--json").end()
    assert json.loads(shown)["key"] == "k"
