"""Durations and sizes as people write them."""

import pytest

GOOD_DURATIONS = ["1ms", "90s", "15m", "1h30m", "7d", "1d2h3m4s5ms", "3650d", "none", "0"]
BAD_DURATIONS = ["", " ", "5", "5x", "-1s", "1.5h", "1h 30m", "30m1h", "1h1h", "1hm", "h", "1H", "00x"]
LONG_DURATIONS = ["3651d", "99999999999999999999s", "3650d1s"]
GOOD_SIZES = ["1", "512", "64K", "20M", "1G"]
BAD_SIZES = ["", "K", "-1", "1.5M", "20MB", "1k", "64 K"]
LARGE_SIZES = ["99999999999999999999", "17179869184G"]


@pytest.mark.parametrize("text", GOOD_DURATIONS)
def test_a_duration_is_understood(tool, text):
    assert tool.ok("run", "--ttl", text, "--", "echo", "x") == b"x\n"


@pytest.mark.parametrize("text", BAD_DURATIONS)
def test_what_is_no_duration_is_refused_with_the_forms_that_are(tool, text):
    done = tool.run("run", f"--ttl={text}", "--", "echo", "x")
    assert done.returncode == 125
    assert b"90s, 15m, 1h30m, 7d" in done.stderr


@pytest.mark.parametrize("text", ["none", "forever"])
def test_none_is_a_lifetime_and_no_duration(tool, text):
    assert tool.run("run", "--stale", text, "--", "echo", "x").returncode == 125


@pytest.mark.parametrize("text", GOOD_SIZES)
def test_a_size_is_understood(tool, text):
    assert tool.ok("run", "--max-output", text, "--quiet", "--", "echo", "x") == b"x\n"


@pytest.mark.parametrize("text", BAD_SIZES)
def test_what_is_no_size_is_refused_with_the_forms_that_are(tool, text):
    done = tool.run("run", f"--max-output={text}", "--", "echo", "x")
    assert done.returncode == 125
    assert b"512, 64K, 20M, 1G" in done.stderr


@pytest.mark.parametrize("option, text, most", [
    *(("ttl", text, "3650d, or none") for text in LONG_DURATIONS), *(("stale", text, "3650d\n") for text in LONG_DURATIONS),
    *(("max-output", text, "17179869183G") for text in LARGE_SIZES),
])  # fmt: skip
def test_what_is_too_much_is_refused_with_the_most_that_is_allowed(tool, option, text, most):
    done = tool.run("run", f"--{option}={text}", "--", "echo", "x")
    assert done.returncode == 125
    assert f"at most {most}" in done.stderr.decode()
