"""`cachekit keygen`: new master keys, printed or in a file that nobody else can read."""

import json
import os
import pty
import re
import stat

import pytest

KEY = re.compile(rb"[0-9a-f]{64}\n")


def test_a_key_is_64_hexadecimal_digits_and_no_two_are_the_same(tool):
    keys = {tool.ok("keygen") for _ in range(5)}
    assert len(keys) == 5
    assert all(KEY.fullmatch(key) for key in keys)


def test_json_holds_the_key_and_nothing_else(tool):
    answer = json.loads(tool.ok("keygen", "--json"))
    assert list(answer) == ["key"] and KEY.fullmatch(answer["key"].encode() + b"\n")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_a_file_of_a_key_is_for_its_owner_alone_whatever_the_process_mask(tool, mask):
    done = tool.run("keygen", "--output", "master.key", preexec_fn=lambda: os.umask(mask))
    path = tool.home / "master.key"
    assert done.returncode == 0 and stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_bytes()
    assert KEY.fullmatch(key)
    assert key.strip() not in done.stdout + done.stderr and b"master.key" in done.stdout


def test_json_names_the_file(tool):
    assert json.loads(tool.ok("keygen", "--json", "-o", "k")) == {"file": "k"}


def test_a_file_that_exists_is_never_overwritten(tool):
    path = tool.home / "master.key"
    path.write_text("precious")
    done = tool.run("keygen", "--output", path)
    assert done.returncode == 4 and path.read_text() == "precious"
    assert done.stdout == b"" and b"exists" in done.stderr and done.stderr.count(b"\n") == 1


def test_a_symbolic_link_is_not_followed(tool):
    (tool.home / "link").symlink_to(tool.home / "elsewhere")
    assert tool.run("keygen", "--output", "link").returncode == 4
    assert not (tool.home / "elsewhere").exists()


@pytest.mark.parametrize("path", ["absent/master.key", ".", "/dev/full", "x" * 300])
def test_a_file_that_cannot_be_made_is_an_error_of_one_line(tool, path):
    done = tool.run("keygen", "--output", path)
    assert done.returncode == 4 and done.stdout == b"" and done.stderr.count(b"\n") == 1


def test_a_file_that_cannot_be_filled_is_removed(tool):
    import resource

    def no_file_may_grow():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))

    done = tool.run("keygen", "--output", "master.key", preexec_fn=no_file_may_grow)
    assert done.returncode == 4 and not (tool.home / "master.key").exists()
    assert b"cannot be written" in done.stderr


def test_a_full_disk_behind_standard_output_is_an_error(tool):
    with open("/dev/full", "wb") as full:
        done = tool.run("keygen", stdout=full, stderr=-1)
    assert done.returncode == 4 and b"standard output cannot be written" in done.stderr


@pytest.mark.parametrize("words", [["operand"], ["--output"], ["--output="], ["--store", "memory:"], ["--length", "3"]])
def test_wrong_usage_makes_no_key(tool, words):
    done = tool.run("keygen", *words)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1


def test_a_terminal_is_told_what_the_key_is_for_and_what_losing_it_means(tool):
    primary, secondary = pty.openpty()
    try:
        done = tool.run("keygen", stdout=secondary, stderr=-1)
        shown = os.read(primary, 4096)
    finally:
        os.close(primary)
        os.close(secondary)
    assert done.returncode == 0 and KEY.fullmatch(shown.replace(b"\r\n", b"\n"))
    assert b"CACHEKIT_MASTER_KEY" in done.stderr and b"lost without it" in done.stderr
    assert shown.strip() not in done.stderr


def test_no_hint_without_a_terminal(tool):
    assert tool.run("keygen").stderr == b""


def test_quiet_makes_a_file_without_a_word_and_still_prints_a_key(tool):
    assert tool.ok("keygen", "--quiet", "--output", "master.key") == b""
    assert KEY.fullmatch((tool.home / "master.key").read_bytes())
    assert KEY.fullmatch(tool.ok("keygen", "--quiet"))
