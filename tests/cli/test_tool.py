"""The frame around every command: help, wrong usage, output that cannot be written."""

import json
import re

import pytest


def test_version_is_told_as_text_and_as_json(tool):
    text = tool.ok("version").decode()
    assert text.startswith("cachekit ")
    assert json.loads(tool.ok("version", "--json"))["version"] == text.split()[1]


def test_help_of_all_and_of_one(tool):
    overview = tool.ok("--help").decode()
    assert "Usage: cachekit COMMAND" in overview and "version" in overview
    assert tool.ok("version", "--help") == tool.ok("help", "version") == tool.ok("--help", "version")


@pytest.mark.parametrize(
    "words", [["nonsense"], ["--nonsense"], ["version", "--nonsense"], ["version", "operand"], ["version", "--json=1"], []]
)
def test_wrong_usage_says_where_help_is_and_exits_2(tool, words):
    done = tool.run(*words)
    assert done.returncode == 2
    assert done.stdout == b"" and done.stderr != b""


def test_names_of_options_are_never_shortened(tool):
    assert tool.run("version", "--jso").returncode == 2


def test_a_full_disk_behind_standard_output_is_an_error(tool):
    with open("/dev/full", "wb") as full:
        done = tool.run("version", stdout=full, stderr=-1)
    assert done.returncode == 4
    assert b"standard output cannot be written" in done.stderr


def test_errors_stay_on_one_line_whatever_an_operand_holds(tool):
    done = tool.run("version", "a\nb\033[2J")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"\033" not in done.stderr


def test_help_on_a_command_that_is_not_there_is_wrong_usage(tool):
    done = tool.run("help", "nonsense")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b'there is no command "nonsense"' in done.stderr


def test_the_version_is_told_as_an_option_too(tool):
    assert tool.ok("--version") == tool.ok("-V") == tool.ok("version")
    assert tool.ok("--json", "--version") == tool.ok("version", "--json")
    assert tool.run("--version", "operand").returncode == 2
    assert tool.run("ls", "--version").returncode == 2


@pytest.mark.parametrize(
    "words, meant",
    [
        (["invaldate"], "invalidate"), (["gte", "k"], "get"), (["inspct"], "inspect"), (["comp"], "completion"),
        (["ls", "--namspace", "n"], "--namespace"), (["get", "k", "--jsn"], "--json"), (["--quite", "ls"], "--quiet"),
        (["run", "--tttl=1h", "--", "true"], "--ttl"), (["prune", "--older", "1d"], "--older-than"),
    ],
)  # fmt: skip
def test_the_nearest_word_is_named_when_one_is_misspelt(tool, words, meant):
    done = tool.run(*words)
    assert done.returncode in (2, 125) and done.stderr.count(b"\n") == 1
    assert f"did you mean {meant}?" in done.stderr.decode()


@pytest.mark.parametrize("words", [["nonsense"], ["x"], [""], ["n" * 100], ["ls", "--nonsense"], ["ls", "--" + "x" * 100], ["ls", "--="]])
def test_nothing_is_guessed_where_nothing_is_near(tool, words):
    done = tool.run(*words)
    assert done.returncode == 2 and b"did you mean" not in done.stderr


def test_an_operand_that_looks_like_an_option_is_explained(tool):
    done = tool.run("set", "a", "-5")
    assert done.returncode == 2 and b"-- -5" in done.stderr and done.stderr.count(b"\n") == 1
    assert b"-- -" not in tool.run("set", "a", "b", "-x").stderr


def test_a_letter_means_the_same_option_in_all_commands(tool):
    commands = re.findall(r"^  (\w+)  ", tool.ok("--help").decode().split("Options")[0], re.M)
    names = {}
    for command in commands:
        for letter, name in re.findall(r"^  -(\w), --([a-z-]+)", tool.ok("help", command).decode(), re.M):
            names.setdefault(letter, set()).add(name)
    assert names.pop("f") <= {"force", "function"}
    assert names["n"] == {"namespace"} and names["t"] == {"ttl"}
    assert {letter: found for letter, found in names.items() if len(found) > 1} == {}
