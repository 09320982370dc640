"""Man pages: one for the tool, one for each command, with everything that the tables hold, and accepted by groff."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

BUILD = pathlib.Path(os.environ["CKIT_BUILD"])
PAGES = BUILD / "share" / "man" / "man1"
ROWS = [
    line.split("\t")
    for line in subprocess.check_output([BUILD / "cli" / "cachekit_share", "--tables"], text=True).splitlines()
]
COMMANDS = sorted({command for command, _ in ROWS})
OTHERS = "the environment's, else your own files"
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO"]


def shown(page):
    """The page as a reader sees it, on one long line for each paragraph."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=2000n", "-rHY=0", page], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def one_line(text):
    return " ".join(text.split())


def test_there_is_a_page_for_the_tool_and_for_each_command():
    expected = ["cachekit.1"] + [f"cachekit-{command}.1" for command in COMMANDS]
    assert sorted(page.name for page in PAGES.iterdir()) == sorted(expected)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_a_command_is_complete(tool, command):
    text = shown(PAGES / f"cachekit-{command}.1")
    assert re.findall(r"^([A-Z][A-Z ]+)$", text, re.M) == [
        name
        for name in [*SECTIONS[:-1], "FILES", SECTIONS[-1]]
        if name not in ("ENVIRONMENT", "FILES") or ["--store"] == has_store(command)
    ]
    for _, option in (row for row in ROWS if row[0] == command):
        assert re.search(rf"^ +(-., )?{option}\b", text, re.M), option


def has_store(command):
    return [option for name, option in ROWS if name == command and option == "--store"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_says_what_help_says(tool, command):
    text = one_line(shown(PAGES / f"cachekit-{command}.1"))
    usage, description = tool.ok("help", command).decode().split("\n\nOptions:\n")[0].split("\n\n", 1)
    operands = usage.split("[OPTION]...", 1)[1].strip()
    assert one_line(f"cachekit {command} [OPTION]... {operands}") in text
    for paragraph in description.split("\n\n"):
        assert one_line(paragraph).replace("`", "") in text.replace("`", ""), paragraph


def exit_codes(command):
    text = shown(PAGES / f"cachekit-{command}.1").split("EXIT STATUS")[1].split("\n\n\n")[0]
    return re.findall(r"^ {7}(\d\S*)\s", text.split("ENVIRONMENT")[0], re.M)


def test_exit_codes_are_those_that_the_command_has():
    assert exit_codes("get") == ["0", "1", "2", "3", "4"]
    assert exit_codes("ls") == ["0", "2", "3", "4"]
    assert exit_codes("prune") == exit_codes("bench") == ["0", "2", "3", "4", "130"]
    assert exit_codes("keygen") == exit_codes("version") == ["0", "2", "4"]
    assert exit_codes("run") == ["125", "126", "127", "128+N"]


def test_the_default_of_store_is_that_of_the_command(tool):
    for command in COMMANDS:
        if has_store(command):
            default = {"run": "your own files", "bench": "a private one, removed afterwards"}
            expected = f"[{default.get(command, OTHERS)}]"
            assert expected in one_line(tool.ok("help", command).decode()), command
            assert expected in one_line(shown(PAGES / f"cachekit-{command}.1")), command


def test_words_that_are_typed_keep_their_letters_and_nothing_is_said_twice():
    assert re.search(r"^ +value, raw, json or hex", shown(PAGES / "cachekit-get.1"), re.M)
    for command in COMMANDS:
        text = shown(PAGES / f"cachekit-{command}.1")
        assert "several times" not in text or "may be repeated" not in text


def test_a_page_names_the_variables_that_its_command_reads():
    run = shown(PAGES / "cachekit-run.1")
    assert "NO_COLOR" not in run and "CACHEKIT_FILE_MAX_SIZE_MB" in run and "XDG_CACHE_HOME" in run
    assert "NO_COLOR" in shown(PAGES / "cachekit-doctor.1")
    whole = one_line(shown(PAGES / "cachekit.1"))
    assert "not for the user's own files" in whole.replace("’", "'")


def test_examples_are_shown_as_they_are_typed():
    for line in subprocess.check_output([BUILD / "cli" / "cachekit_share", "--examples"], text=True).splitlines():
        command, example = line.split("\t", 1)
        assert re.search(rf"^ +{re.escape(example)}$", shown(PAGES / f"cachekit-{command}.1"), re.M), example


def test_the_page_of_the_tool_lists_its_commands_codes_and_variables():
    text = shown(PAGES / "cachekit.1")
    for command in COMMANDS:
        assert f"cachekit-{command}(1)" in text
    for word in "--store URL", "--tenant NAME", "CACHEKIT_FILE_CACHE_DIR", "XDG_CACHE_HOME", "NO_COLOR":
        assert word in text
    assert re.findall(r"^ {7}(\d)   ", text, re.M) == ["0", "1", "2", "3", "4"]


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run([BUILD / "cli" / "cachekit_share", tmp_path / "file" / "share"], capture_output=True, text=True)
    assert done.returncode == 1 and "Not a directory" in done.stderr
