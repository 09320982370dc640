"""What is shown really runs: the examples of every command, and the sessions in README.md and docs/.

A session is a ```sh block with lines that begin with "$ ": what follows such a line is what it prints, on both streams.

    ...         any text, also on a line of its own: any lines
    12:34:56    any time, the same one wherever the block shows this one
    # exit 3    at the end of a command: its exit code; without it the code is 0

All sessions of a page run in one home, in order. A bash reads a block as a whole, so variables and directories last until
its end. Programs of others (gh, kubectl, ...) have stand-ins."""

import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["CKIT_SOURCE"])
SHARE = pathlib.Path(os.environ["CKIT_BUILD"]) / "cli" / "cachekit_share"

STAND_INS = {
    "gh": "echo '{\"login\": \"octocat\"}'",
    "kubectl": "case $1 in completion) echo 'complete -W \"get apply\" kubectl' ;; *) echo production ;; esac",
}


def bash(tool, program):
    directory = tool.home / "stand-ins"
    directory.mkdir(exist_ok=True)
    for name, body in STAND_INS.items():
        (directory / name).write_text(f"#!/bin/sh\n{body}\n")
        (directory / name).chmod(0o755)
    tool_directory = os.path.dirname(tool.command()[0])
    env = {**tool.env, "PATH": f"{tool_directory}:{directory}:{tool.env['PATH']}", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", program], cwd=tool.home, env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=700,
    )


# ---- examples of the tables ---------------------------------------------------------------------------------------


def examples():
    lines = {}
    for row in subprocess.check_output([SHARE, "--examples"], text=True).splitlines():
        command, line = row.split("\t", 1)
        lines.setdefault(command, []).append(line)
    return lines


@pytest.mark.parametrize("command, lines", examples().items(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_examples_of_a_command_run_in_order(tool, command, lines):
    for line in lines:
        assert re.search(rf"\bcachekit {command}\b", line), "an example shows its command"
        done = bash(tool, line)
        assert done.returncode == 0, (line, done.stdout)


def test_every_command_has_examples(tool):
    commands = re.findall(r"^  (\w+)  ", tool.ok("--help").decode().split("Options")[0], re.M)
    assert sorted(commands) == sorted(examples())


# ---- sessions of the documentation --------------------------------------------------------------------------------


def sessions(page):
    """[(line number, [(command, expected code, expected lines)])]"""
    found = []
    for block in re.finditer(r"^```sh\n(.*?)^```$", page.read_text(), re.M | re.S):
        if re.search(r"^\$ ", block[1], re.M):
            steps = []
            for line in block[1].splitlines():
                if line.startswith("$ "):
                    code = re.search(r"# exit (\d+)$", line)
                    steps.append([line[2:], int(code[1]) if code else 0, []])
                elif line.startswith("> ") and not steps[-1][2]:
                    steps[-1][0] += "\n" + line[2:]
                else:
                    steps[-1][2].append(line)
            found.append((page.read_text()[: block.start()].count("\n") + 1, steps))
    return found


def pages():
    every = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]
    return [page for page in every if sessions(page)]


def pattern(lines):
    """What is shown, as a pattern: times are the same where they look the same."""
    times = {}
    text = ""
    for piece in re.split(r"(^\.\.\.\n|\.\.\.|\b\d\d:\d\d:\d\d\b)", "".join(line + "\n" for line in lines), flags=re.M):
        if piece == "...\n":
            text += r"(?:.*\n)*"
        elif piece == "...":
            text += r".*"
        elif re.fullmatch(r"\d\d:\d\d:\d\d", piece):
            text += f"(?P={times[piece]})" if piece in times else rf"(?P<t{len(times)}>\d\d:\d\d:\d\d)"
            times.setdefault(piece, f"t{len(times)}")
        else:
            text += re.escape(piece)
    return text


MARK = "--- end of step, exit "


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_the_sessions_of_a_page_run_and_print_what_is_shown(tool, page):
    for number, steps in sessions(page):
        where = f"{page.name}:{number}"
        done = bash(tool, "\n".join(f"{command}\nprintf '%s%s\\n' '{MARK}' $?" for command, _, _ in steps))
        answers = re.findall(rf"(.*?){MARK}(\d+)\n", done.stdout, re.S)
        assert len(answers) == len(steps), (where, done.stdout)
        for (command, code, _), (printed, answered) in zip(steps, answers):
            assert int(answered) == code, (where, command, printed)
        # As a whole, because times must agree within the block. Where nothing is shown, anything may be printed.
        expected = pattern([line for _, _, lines in steps for line in lines])
        printed = "".join(printed for (_, _, lines), (printed, _) in zip(steps, answers) if lines)
        assert re.fullmatch(expected, printed), (where, printed)


def test_there_are_sessions():
    assert SOURCE / "README.md" in pages() and SOURCE / "docs" / "command-line.md" in pages()


# ---- names in the guide -------------------------------------------------------------------------------------------


def test_the_guide_names_every_command_every_option_of_run_and_no_option_that_is_not_there():
    rows = [row.split("\t") for row in subprocess.check_output([SHARE, "--tables"], text=True).splitlines()]
    guide = (SOURCE / "docs" / "command-line.md").read_text()
    own, bkt = guide.split("## Coming from bkt")
    for command in {command for command, _ in rows}:
        assert re.search(rf"[`(, ]{command}[`, )]", own), command
    everywhere = {"--quiet", "--help"}
    for command, option in rows:
        assert command != "run" or option in everywhere or option in own, option
    known = {option for _, option in rows} | {"--utc", "--preview", "--color"}  # the latter of date, fzf and git
    for text in [own, *re.findall(r"^\|[^|]*\|([^|]*)\|", bkt, re.M)]:
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
            assert option in known, option
