"""A redis-server of a test's own: on a UNIX socket (and a port of loopback) that nobody else knows, without files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def available() -> bool:
    return shutil.which("redis-server") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """Started at once; `stop` and `start` again make an outage. Options are those of the configuration file."""

    def __init__(self, **options: str) -> None:
        # A short path: that of a socket may have 107 bytes.
        self.directory = tempfile.mkdtemp(prefix="ckrs-", dir="/tmp")
        self.path = os.path.join(self.directory, "s")
        self.port = free_port()
        self.password = options.get("requirepass", "")
        self.options = {"save": "", "appendonly": "no", "enable-debug-command": "yes", **options}
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"unix://{login}{self.path}"

    @property
    def tcp_url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}"

    def start(self) -> None:
        arguments = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path,
                     "--dir", self.directory, "--daemonize", "no"]
        for name, value in self.options.items():
            arguments += [f"--{name}", *(value.split() if name in ("user",) else [value])]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                if self.send("PING")[:1] in (b"+", b"-"):
                    return
            except OSError:
                pass
            assert self.process.poll() is None, "redis-server has ended"
            time.sleep(0.01)
        raise AssertionError("redis-server does not answer")

    def stop(self) -> None:
        """Killed, as in an accident: what it held is lost."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Its links stay, and nobody answers, until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def send(self, *words: str | bytes) -> bytes:
        """One command; the reply as it comes over the wire, for replies that come at once."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(self.path)
            commands = [("AUTH", self.password)] if self.password and words[0] != "PING" else []
            answer = b""
            for command in (*commands, words):
                parts = [word.encode() if isinstance(word, str) else word for word in command]
                link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
                answer = link.recv(1 << 20)
            return answer

    def entries(self) -> set[str]:
        """Every key of an entry: not the bookkeeping of locks and owners."""
        return {key for key in self.keys() if "ck:" not in key and not key.endswith(":lock")}

    def keys(self) -> set[str]:
        """Every key that is there."""
        lines = self.send("KEYS", "*").decode().split("\r\n")
        return {line for line, kind in zip(lines[2::2], lines[1::2]) if kind.startswith("$")}
