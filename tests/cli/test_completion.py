"""Completion: bash, zsh and fish read their scripts and offer what the tables hold. Shells that are not installed are
passed over; bash is always there."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

SHARE = os.path.join(os.environ["CKIT_BUILD"], "cli", "cachekit_share")


def tables():
    """The options of each command."""
    options = {}
    for line in subprocess.check_output([SHARE, "--tables"], text=True).splitlines():
        command, option = line.split("\t")
        options.setdefault(command, []).append(option)
    return options


OPTIONS = tables()


def need(shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


def script(tool, shell):
    path = tool.home / f"cachekit.{shell}"
    path.write_bytes(tool.ok("completion", shell))
    return path


# ---- bash ---------------------------------------------------------------------------------------------------------


def bash(tool, line, setup=""):
    """What bash would offer at the end of the line. Words are cut as readline does it: at blanks, and at each = and :."""
    words = re.findall(r"[=:]+|[^\s=:]+", line)
    if line.endswith(" "):
        words.append("")
    program = f"""
        {setup}
        source "$1"
        COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
        COMP_LINE=$2 COMP_POINT=${{#2}}
        shift 2
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _cachekit
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-u", "-c", program, "bash", script(tool, "bash"), line, *words],
        cwd=tool.home, env=tool.env, capture_output=True, text=True, timeout=240,
    )
    assert done.returncode == 0 and done.stderr == "", done
    return [word for word in done.stdout.split("\n") if word]


def test_bash_registers_the_function(tool):
    done = subprocess.check_output(["bash", "--norc", "-c", 'source "$1"; complete -p cachekit', "bash", script(tool, "bash")])
    assert done == b"complete -F _cachekit cachekit\n"


def test_bash_offers_every_command(tool):
    assert sorted(bash(tool, "cachekit ")) == sorted([*OPTIONS, "help"])
    assert bash(tool, "cachekit vers") == ["version"]
    assert sorted(bash(tool, "cachekit help ")) == sorted(OPTIONS)


@pytest.mark.parametrize("command", OPTIONS)
def test_bash_offers_every_option_of_a_command_and_no_other(tool, command):
    assert sorted(bash(tool, f"cachekit {command} --")) == sorted(OPTIONS[command])


def test_bash_finds_the_command_behind_options_and_their_values(tool):
    assert bash(tool, "cachekit --store file:///var/cache --tenant=a:b --quiet vers") == ["version"]
    assert bash(tool, "cachekit --store ") == []


def test_bash_offers_the_words_of_a_choice(tool):
    assert bash(tool, "cachekit completion ") == ["bash", "zsh", "fish"]
    assert bash(tool, "cachekit ls --sort n") == ["name"]
    assert bash(tool, "cachekit ls --sort=n") == ["name"]


def test_bash_offers_files_and_variables_where_they_are_meant(tool):
    (tool.home / "my makefile").touch()
    (tool.home / "my directory").mkdir()
    tool.env["MY_VARIABLE"] = "1"
    assert sorted(bash(tool, "cachekit run --modtime my")) == ["my directory", "my makefile"]
    assert sorted(bash(tool, "cachekit run --depends=my")) == ["my directory", "my makefile"]
    assert bash(tool, "cachekit run --env MY_VAR") == ["MY_VARIABLE"]
    assert bash(tool, "cachekit run --ttl ") == []


@pytest.mark.parametrize("front", ["run -- ", "run ", "run --ttl 1h -- ", "--store file:///x run --env=HOME --cwd "])
def test_bash_completes_the_command_that_is_cached(tool, front):
    assert "uname" in bash(tool, f"cachekit {front}unam")
    (tool.home / "operand").touch()
    assert bash(tool, f"cachekit {front}uname oper") == ["operand"]


@pytest.mark.parametrize("name", ["_command_offset", "_comp_command_offset"])
def test_bash_leaves_the_arguments_of_the_cached_command_to_bash_completion(tool, name):
    setup = f'{name}() {{ COMPREPLY=("word $1: ${{COMP_WORDS[$1]}}"); }}'
    assert bash(tool, "cachekit run --scope=a -- git checkout ma", setup) == ["word 6: git"]


def test_bash_offers_nothing_behind_an_unknown_command(tool):
    assert bash(tool, "cachekit nonsense --") == []


# ---- fish ---------------------------------------------------------------------------------------------------------


def fish(tool, line):
    done = subprocess.run(
        [need("fish"), "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script(tool, "fish"), line],
        cwd=tool.home, env=tool.env, capture_output=True, text=True, timeout=240,
    )
    assert done.returncode == 0 and done.stderr == "", done
    return [word.split("\t")[0] for word in done.stdout.splitlines()]


def test_fish_accepts_the_script(tool):
    subprocess.check_call([need("fish"), "--no-config", "-n", script(tool, "fish")])


def test_fish_offers_commands_options_and_choices(tool):
    assert sorted(fish(tool, "cachekit ")) == sorted([*OPTIONS, "help"])
    assert fish(tool, "cachekit --store file:///x vers") == ["version"]
    assert fish(tool, "cachekit completion ") == ["bash", "fish", "zsh"]
    assert fish(tool, "cachekit ls --sort n") == ["name"]
    assert fish(tool, "cachekit ls --sort=n") == ["--sort=name"]
    for command, options in OPTIONS.items():
        assert sorted(fish(tool, f"cachekit {command} --")) == sorted(options)


def test_fish_offers_files_only_where_they_are_meant_and_no_help_behind_words(tool):
    (tool.home / "operand").touch()
    for line in "get --as ", "get --as=", "ls -s ", "set k --ttl ", "get ", "stats --count ":
        assert not [word for word in fish(tool, f"cachekit {line}") if "operand" in word], line
    assert fish(tool, "cachekit run --depends op") == ["operand"]
    assert fish(tool, "cachekit get --as ") == ["hex", "json", "raw", "value"]
    shown = subprocess.check_output(
        [need("fish"), "--no-config", "-c", "source $argv[1]; complete -C 'cachekit get --as '", script(tool, "fish")],
        cwd=tool.home, env=tool.env, text=True, timeout=240,
    )
    assert "\t" not in shown


def test_fish_completes_the_command_that_is_cached(tool):
    (tool.home / "operand").touch()
    for front in "run -- ", "run ", "run --ttl 1h -- ", "--store file:///x run --env=HOME --cwd ":
        assert "uname" in fish(tool, f"cachekit {front}unam")
        assert fish(tool, f"cachekit {front}cat oper") == ["operand"]


# ---- zsh ----------------------------------------------------------------------------------------------------------


def test_zsh_accepts_the_script(tool):
    subprocess.check_call([need("zsh"), "-n", script(tool, "zsh")])


class Zsh:
    """An interactive zsh: its completion cannot be asked otherwise."""

    def __init__(self, tool):
        directory = tool.home / "functions"
        directory.mkdir()
        (directory / "_cachekit").write_bytes(tool.ok("completion", "zsh"))
        self.seen = self.all = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(tool.home)
            os.execve(shutil.which("zsh"), ["zsh", "-f", "-i"], {**tool.env, "TERM": "vt100", "LC_ALL": "C.UTF-8"})
        self.send(
            "unsetopt zle_bracketed_paste; LISTMAX=1000; stty cols 250 rows 100; bindkey '^I' list-choices; "
            f"fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -D; print READ''Y\n"
        )
        self.wait_for(b"READY")

    def send(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, text):
        limit = time.monotonic() + 100
        while text not in self.seen:
            assert time.monotonic() < limit, self.seen
            if select.select([self.terminal], [], [], 1)[0]:
                more = os.read(self.terminal, 65536)
                self.seen += more
                self.all += more

    def offers(self, line, *expected):
        self.seen = b""
        self.send(line + "\t")
        for text in expected:
            self.wait_for(text)
        self.send("\x15")  # empties the line

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


def test_zsh_offers_commands_options_choices_and_the_cached_command(tool):
    need("zsh")
    (tool.home / "operand").touch()
    zsh = Zsh(tool)
    try:
        zsh.offers("cachekit ", b"version ", b"-- tell the version", b"completion ")
        zsh.offers("cachekit --store x version --", b"--json ", b"-- answer in JSON")
        zsh.offers("cachekit completion ", b"fish", b"zsh")
        zsh.offers("cachekit ls --sort ", b"name")
        zsh.offers("cachekit help ", b"-- tell the version")
        zsh.offers("cachekit run --", b"--max-output ", b"[20M]")
        zsh.offers("cachekit run --ttl 1h -- cat op", b"erand")
        for front in "run --cwd ", "run ", "run -- ", "run --ttl 1h -- ":
            zsh.offers(f"cachekit {front}una", b"uname")
        zsh.offers("cachekit run -- cat op", b"erand")
        zsh.offers("cachekit run --ttl 1h --env HOME -- cat -u op", b"erand")
        zsh.offers("cachekit run cat op", b"erand")
        zsh.offers("cachekit --quiet run -- kill -", b"-KILL")
        assert b"bad math" not in zsh.all
    finally:
        zsh.close()


# ---- the command itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_wrong_usage(tool, words):
    done = tool.run("completion", *words)
    assert done.returncode == 2 and done.stdout == b"" and b"bash, zsh" in done.stderr


def test_what_is_installed_is_what_is_printed(tool):
    share = os.path.join(os.environ["CKIT_BUILD"], "share")
    for shell, place in {
        "bash": "bash-completion/completions/cachekit",
        "zsh": "zsh/site-functions/_cachekit",
        "fish": "fish/vendor_completions.d/cachekit.fish",
    }.items():
        with open(os.path.join(share, place), "rb") as file:
            assert file.read() == tool.ok("completion", shell)
