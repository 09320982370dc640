"""`cachekit run` as a process: signals, terminals, closed streams, what the command inherits."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest

from run_tools import wait_until


def entries(tool):
    return [entry.name for entry in tool.cache.iterdir() if not entry.name.startswith(".")]


# ---- signals ----------------------------------------------------------------------------------------------------

# Says that it is ready, then tells which signal it got and ends with 5.
TELLER = """
import signal, sys, time
def told(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(5)
for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2"):
    signal.signal(getattr(signal, "SIG" + name), told)
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_signals_reach_the_command_and_its_answer_is_not_stored(tool, name):
    process = tool.start("run", "--cache-failures", "1h", "--", sys.executable, "-c", TELLER, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, name))
    assert process.stdout.read() == b"got %s\n" % name.encode()
    assert process.wait(240) == 5
    if name not in ("SIGUSR1", "SIGUSR2"):
        assert entries(tool) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_command_that_a_signal_ended_is_128_plus_its_number_and_not_stored(tool, number):
    done = tool.run("run", "--cache-failures", "1h", "--", "sh", "-c", f"echo out; kill -{int(number)} $$")
    assert (done.returncode, done.stdout) == (128 + number, b"out\n")
    assert entries(tool) == []


def test_what_nohup_had_ignored_stays_ignored(tool):
    process = tool.start(
        "run", "--", "sh", "-c", "echo ready; read line; echo still here",
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    assert process.stdout.read() == b"still here\n"
    assert process.wait(240) == 0
    assert len(entries(tool)) == 1


def test_the_command_gets_signals_as_cachekit_got_them(tool):
    ask = "import signal; print([int(signal.getsignal(n) == signal.SIG_IGN) for n in (signal.SIGPIPE, signal.SIGCHLD)], signal.pthread_sigmask(0, []))"
    plain = subprocess.run([sys.executable, "-c", ask], env=tool.env, capture_output=True).stdout
    assert tool.ok("run", "--", sys.executable, "-c", ask) == plain


def test_a_parent_that_ignores_its_children_does_not_hang_us(tool):
    process = tool.start("run", "--", "sh", "-c", "echo x; exit 3", stdout=subprocess.PIPE,
                         preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert process.communicate(timeout=240)[0] == b"x\n"
    assert process.returncode == 3


def test_while_a_left_behind_process_holds_the_output_a_signal_still_ends_the_run(tool):
    process = tool.start("run", "--", "sh", "-c", "sleep 1000 & echo $!", stdout=subprocess.PIPE)
    left_behind = int(process.stdout.readline())
    wait_until(lambda: not os.path.exists(f"/proc/{process.pid}/task/{process.pid}/children")
               or open(f"/proc/{process.pid}/task/{process.pid}/children").read() == "")
    process.send_signal(signal.SIGTERM)
    assert process.wait(240) == 128 + signal.SIGTERM
    os.kill(left_behind, signal.SIGKILL)
    assert entries(tool) == []


# ---- closed and slow streams ------------------------------------------------------------------------------------


def test_a_reader_that_has_seen_enough_ends_it_quietly(tool):
    for _ in range(2):
        done = subprocess.run(
            ["sh", "-c", '"$0" run -- yes | head -1', tool.command()[0]], env=tool.env, capture_output=True, timeout=240
        )
        assert (done.stdout, done.stderr) == (b"y\n", b"")
    assert entries(tool) == []


def test_showing_a_stored_answer_to_a_reader_that_leaves_is_quiet(tool):
    words = "run -- seq 200000"
    tool.ok(*words.split())
    done = subprocess.run(
        ["sh", "-c", f'"$0" {words} | head -1', tool.command()[0]], env=tool.env, capture_output=True, timeout=240
    )
    assert (done.stdout, done.stderr) == (b"1\n", b"")


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble(tool, redirection):
    for _ in range(2):
        done = subprocess.run(
            ["sh", "-c", f'"$0" run -- sh -c "echo out; echo err >&2" {redirection}', tool.command()[0]],
            env=tool.env, capture_output=True, timeout=240,
        )
        assert done.returncode == 0
        assert done.stdout == (b"" if redirection in (">&-", "<&- >&- 2>&-") else b"out\n")
        assert done.stderr == (b"" if "2>&-" in redirection else b"err\n")
    assert len(entries(tool)) == 1


def test_a_full_disk_behind_standard_output_is_said_and_stores_nothing(tool):
    with open("/dev/full", "wb") as full:
        done = tool.run("run", "--", "seq", "100000", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode != 0
    assert b"standard output cannot be written: No space left on device" in done.stderr
    assert entries(tool) == []


def test_a_slow_reader_does_not_keep_signals_from_the_command(tool):
    process = tool.start("run", "--", "sh", "-c", "trap 'exit 9' TERM; while :; do seq 1000; done", stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"1\n"  # and no more: the pipe fills up
    wait_until(lambda: struct.unpack("i", fcntl.ioctl(process.stdout, termios.FIONREAD, b"\0" * 4))[0] > 50000)
    process.send_signal(signal.SIGTERM)
    for _ in process.stdout:
        pass
    assert process.wait(240) == 9


# ---- what the command inherits ----------------------------------------------------------------------------------


def test_secrets_do_not_reach_the_command(tool):
    secret = {
        "CACHEKIT_MASTER_KEY": "ab" * 32,
        "CACHEKIT_PREVIOUS_MASTER_KEYS": "cd" * 32,
        "CACHEKIT_API_KEY": "token",
        "CACHEKIT_REDIS_URL": "redis://:password@host",
        "CACHEKIT_REDIS_PASSWORD": "password",
        "CACHEKIT_MEMCACHED_SERVERS": "host",
    }
    plain = {"CACHEKIT_DEFAULT_TTL": "60", "MASTER_KEY": "someone else's", "REDIS_URL": "redis://host"}
    seen = tool.ok("run", "--", "env", env={**secret, **plain}).decode()
    for name in secret:
        assert name + "=" not in seen.replace("\nMASTER_KEY=", "\n")
    for name, value in plain.items():
        assert f"{name}={value}" in seen


def test_no_descriptor_of_ours_reaches_the_command(tool):
    assert sorted(tool.ok("run", "--", "ls", "/proc/self/fd").split()) == [b"0", b"1", b"2", b"3"]  # 3 is ls' own


def test_working_directory_and_arguments_are_the_caller_s(tool):
    assert tool.ok("run", "--", "pwd").decode().strip() == os.path.realpath(tool.home)


# ---- terminals --------------------------------------------------------------------------------------------------


class Terminal:
    """A command on a pseudo-terminal of its own, as its session's leader."""

    def __init__(self, tool, *words, rows=31, columns=77):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(tool.home)
            os.execve(tool.command()[0], tool.command(*words), {**tool.env, "TERM": "xterm"})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen = b""

    def read_until(self, pattern):
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.fd], [], [], 60)
            assert ready, self.seen
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError:
                raise AssertionError(self.seen)
        return self.seen

    def finish(self):
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            self.seen += data
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


ASK = "import os,sys; print(*[int(os.isatty(n)) for n in (0, 1, 2)])"


def test_without_tty_a_command_sees_no_terminal_and_with_it_does(tool):
    for options, expected in (([], b"0 0 0\r\n"), (["--tty"], b"0 1 1\r\n")):
        for _ in range(2):
            terminal = Terminal(tool, "run", *options, "--", sys.executable, "-c", ASK)
            assert terminal.finish() == 0
            assert terminal.seen == expected


def test_with_tty_a_command_sees_one_even_when_nobody_else_does(tool):
    assert tool.ok("run", "--tty", "--", sys.executable, "-c", ASK) == b"0 1 1\n"


def test_with_tty_output_is_stored_as_it_was_written(tool):
    for _ in range(2):
        assert tool.ok("run", "--tty", "--", "printf", "\\033[31mred\\033[0m\\n\\tx\\n") == b"\x1b[31mred\x1b[0m\n\tx\n"


def test_the_size_of_the_terminal_is_passed_on(tool):
    terminal = Terminal(tool, "run", "--tty", "--", "sh", "-c", "echo ready; sleep 0.2; stty size <&1", rows=31, columns=77)
    assert terminal.finish() == 0
    assert b"31 77" in terminal.seen


@pytest.mark.parametrize("options", [[], ["--tty"]])
def test_control_c_reaches_the_command_once_and_stores_nothing(tool, options):
    counter = (
        "import signal,sys,time\ncount=0\ndef told(*_):\n global count\n count+=1\n"
        "signal.signal(signal.SIGINT, told)\nprint('ready', flush=True)\n"
        "while not count: time.sleep(0.01)\ntime.sleep(0.3)\nprint('count', count, flush=True)\nsys.exit(130)"
    )
    terminal = Terminal(tool, "run", *options, "--", sys.executable, "-c", counter)
    terminal.read_until(rb"ready\r\n")
    os.write(terminal.fd, b"\x03")
    assert terminal.finish() == 130
    assert b"count 1\r\n" in terminal.seen
    assert entries(tool) == []


def test_control_c_with_tty_reaches_all_that_the_terminal_of_the_command_would_have_told(tool):
    # bash waits for the other program, whatever it is told itself
    command = "trap : INT; sh -c 'echo ready; exec sleep 1000'; echo after"
    terminal = Terminal(tool, "run", "--tty", "--", "bash", "-c", command)
    terminal.read_until(rb"ready\r\n")
    os.write(terminal.fd, b"\x03")
    assert terminal.finish() == 0
    assert b"after\r\n" in terminal.seen
    assert entries(tool) == []


def test_with_tty_a_command_that_closes_its_streams_is_not_hung_up(tool):
    done = tool.run("run", "--tty", "--", "sh", "-c", "exec >/dev/null 2>&1; sleep 0.3; echo late >/dev/tty; exit 3")
    assert (done.returncode, done.stdout) == (3, b"late\n")


def test_control_c_while_waiting_for_another_run_ends_only_the_waiting(tool):
    gate = tool.home / "gate"
    gate.touch()
    words = ["run", "--", "sh", "-c", f"echo go; while test -e '{gate}'; do sleep 0.02; done; echo done"]
    first = tool.start(*words, stdout=subprocess.PIPE)
    assert first.stdout.readline() == b"go\n"
    waiting = Terminal(tool, *words)
    waiting.read_until(rb"waiting for another run")
    os.write(waiting.fd, b"\x03")
    assert waiting.finish() == -signal.SIGINT
    gate.unlink()
    assert first.communicate(timeout=240)[0] == b"done\n"
    assert tool.ok(*words) == b"go\ndone\n"


# ---- ends -------------------------------------------------------------------------------------------------------


def test_a_signal_ends_the_run_with_the_command_whatever_it_left_behind(tool):
    process = tool.start("run", "--", "sh", "-c", "sleep 1000 & echo $!; echo $$; wait", stdout=subprocess.PIPE)
    left_behind = int(process.stdout.readline())
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(240) == 128 + signal.SIGTERM
    os.kill(left_behind, signal.SIGKILL)


def test_a_reader_that_does_not_read_cannot_keep_us(tool):
    reading, writing = os.pipe()
    process = tool.start("run", "--", "yes", stdout=writing)
    os.close(writing)
    wait_until(lambda: struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, b"\0" * 4))[0] > 60000)
    process.send_signal(signal.SIGTERM)
    assert process.wait(240) == 128 + signal.SIGTERM
    os.close(reading)


def test_a_terminal_that_nobody_reads_cannot_keep_us(tool):
    terminal = Terminal(tool, "run", "--", "yes")
    threading.Event().wait(0.5)  # it is full by now
    os.kill(terminal.pid, signal.SIGTERM)
    wait_until(lambda: os.waitpid(terminal.pid, os.WNOHANG)[0] != 0)
    os.close(terminal.fd)


def test_a_terminal_that_goes_away_ends_the_command(tool):
    mark = tool.home / "mark"
    terminal = Terminal(tool, "run", "--", "sh", "-c", f"trap 'touch {mark}; exit' HUP; echo ready; while :; do sleep 0.05; done")
    terminal.read_until(rb"ready\r\n")
    os.close(terminal.fd)
    wait_until(mark.exists)
    os.waitpid(terminal.pid, 0)


def test_a_command_that_enlarges_its_pipe_is_read_at_once(tool):
    gate = tool.home / "gate"
    os.mkfifo(gate)
    script = (
        "import fcntl,os\nfcntl.fcntl(1, 1031, 1 << 20)\n"  # F_SETPIPE_SZ
        f"for n in range(200): os.write(1, b'%d\\n' % n)\nopen({str(gate)!r}).read()\nos.write(1, b'end\\n')"
    )
    process = tool.start("run", "--", sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert [process.stdout.readline() for _ in range(200)] == [b"%d\n" % n for n in range(200)]
    gate.write_text("")
    assert process.stdout.read() == b"end\n"
    assert process.wait(240) == 0


def test_pagers_do_not_page_and_the_terminal_has_a_size(tool):
    assert tool.ok("run", "--tty", "--", "sh", "-c", "echo $PAGER $GIT_PAGER; stty size <&1", env={"PAGER": "less"}) == b"cat cat\n24 80\n"
    assert tool.ok("run", "--", "sh", "-c", "echo $PAGER", env={"PAGER": "less"}) == b"less\n"


@pytest.mark.parametrize("limit", [0, 4096])
def test_a_limit_of_the_size_of_files_is_a_warning_and_not_the_end(tool, limit):
    import resource

    if limit == 0 and b"__tsan_init" in open(tool.command()[0], "rb").read():
        pytest.skip("ThreadSanitizer makes a file of its own before the tool begins")
    done = tool.run(
        "run", "--", "sh", "-c", "head -c 200000 /dev/urandom | od | head -c 200000; ulimit -f",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 0 and len(done.stdout) > 200000
    assert done.stderr.startswith(b"cachekit: ") and done.stderr.count(b"\n") == 1
    ask = "import signal; print(signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN)"
    plain = subprocess.run([sys.executable, "-c", ask], env=tool.env, capture_output=True).stdout
    assert tool.ok("run", "--", sys.executable, "-c", ask) == plain
