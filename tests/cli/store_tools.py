"""What tests of whole stores share: entries of other programs, older entries, and a terminal to look on."""

import fcntl
import json
import os
import pty
import struct
import termios
import time


def objects(tool, *words, **options):
    return [json.loads(line) for line in tool.ok("ls", "--json", *words, **options).splitlines()]


def keys(tool, *words, **options):
    return [row["key"] for row in objects(tool, *words, **options)]


def write_foreign(tool, name="0123456789abcdef0123456789abcdef", value=b"theirs", expiry=0):
    """An entry as another SDK writes it: in the layout of the files, and unknown to the index."""
    tool.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = tool.cache / name
    path.write_bytes(b"CK\x01\x00\x00\x00" + struct.pack(">Q", expiry) + value)
    path.chmod(0o600)
    return path


def make_older(tool, key, seconds):
    """The entry of `key` was written `seconds` ago."""
    (name,) = [row["name"] for row in objects(tool) if row["key"] == key]
    then = time.time() - seconds
    os.utime(tool.cache / name, (then, then))


class Screen:
    """A command on a terminal of `columns`."""

    def __init__(self, tool, *words, columns=80, env=None, stdout=None, stdin=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = tool.start(
            *words,
            stdin=slave if stdin is None else stdin,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            env={**tool.env, "TERM": "xterm", **(env or {})},
            start_new_session=True,
        )
        os.close(slave)

    def type(self, text):
        os.write(self.master, text)

    def read_to(self, text):
        shown = b""
        while text not in shown:
            shown += os.read(self.master, 4096)
        return shown

    def end(self):
        """What was shown, as lines, and the exit code."""
        shown = b""
        try:
            while more := os.read(self.master, 65536):
                shown += more
        except OSError:  # the last program on the terminal is gone
            pass
        os.close(self.master)
        return shown.decode(errors="replace").replace("\r\n", "\n"), self.process.wait(timeout=240)
