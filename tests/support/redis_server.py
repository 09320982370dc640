"""A redis-server of a test's own: on a UNIX socket (and a port of loopback) that nobody else knows, without files; and a
cluster of them."""

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


def held_port() -> socket.socket:
    """A socket that keeps others from its port until it is closed. A server can listen there all the same: Linux lets two
    sockets have one port when both have SO_REUSEADDR and at most one listens."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def end_of_reply(data: bytes, at: int = 0) -> int:
    """Where the reply that begins at `at` ends; 0 while it is not whole."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return 0
    kind, end = data[at : at + 1], line + 2
    count = int(data[at + 1 : line]) if kind in (b"$", b"*") else 0
    if kind == b"$" and count >= 0:
        end += count + 2
        return end if end <= len(data) else 0
    for _ in range(count):
        end = end_of_reply(data, end)
        if end == 0:
            return 0
    return end


class RedisServer:
    """Started at once; `stop` and `start` again make an outage. Options are those of the configuration file."""

    def __init__(self, **options: str) -> None:
        # A short path: that of a socket may have 107 bytes.
        self.directory = tempfile.mkdtemp(prefix="ckrs-", dir="/tmp")
        self.path = os.path.join(self.directory, "s")
        self.held = held_port()
        self.port: int = self.held.getsockname()[1]
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
        until = time.monotonic() + 60
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
        self.held.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def send(self, *words: str | bytes) -> bytes:
        """One command; the reply as it comes over the wire."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(60)
            link.connect(self.path)
            commands = [("AUTH", self.password)] if self.password and words[0] != "PING" else []
            answer = b""
            for command in (*commands, words):
                parts = [word.encode() if isinstance(word, str) else word for word in command]
                link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
                answer = more = link.recv(1 << 20)
                while more and not end_of_reply(answer):
                    more = link.recv(1 << 20)
                    answer += more
            return answer

    def entries(self) -> set[str]:
        """Every key of an entry: not the bookkeeping of locks and owners."""
        return {key for key in self.keys() if "ck:" not in key and not key.endswith(":lock")}

    def keys(self) -> set[str]:
        """Every key that is there."""
        lines = self.send("KEYS", "*").decode().split("\r\n")
        return {line for line, kind in zip(lines[2::2], lines[1::2]) if kind.startswith("$")}


class RedisCluster:
    """Three masters, which serve a third of the slots each. A silent one is not given up for a minute."""

    def __init__(self) -> None:
        self.nodes: list[RedisServer] = []
        self.held: list[socket.socket] = []
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        buses = []
        for i in range(3):
            self.held.append(held_port())
            buses.append(str(self.held[i].getsockname()[1]))
            options = {"cluster-enabled": "yes", "cluster-port": buses[i], "cluster-node-timeout": "60000"}
            self.nodes.append(RedisServer(**options))
        self.owners = [min(slot * 3 // 16384, 2) for slot in range(16384)]
        self.ids = [node.send("CLUSTER", "MYID").split(b"\r\n")[1].decode() for node in self.nodes]
        for i, node in enumerate(self.nodes):
            first, last = self.owners.index(i), 16383 - self.owners[::-1].index(i)
            self.tell(i, "ADDSLOTSRANGE", str(first), str(last))
            self.tell(i, "SET-CONFIG-EPOCH", str(i + 1))
            for j in range(i):
                self.tell(i, "MEET", "127.0.0.1", str(self.nodes[j].port), buses[j])
        until = time.monotonic() + 60
        while not all(self._is_up(node) for node in self.nodes):
            assert time.monotonic() < until, "the servers make no cluster"
            time.sleep(0.02)

    @staticmethod
    def _is_up(node: RedisServer) -> bool:
        told = node.send("CLUSTER", "INFO")
        return b"cluster_state:ok" in told and b"cluster_known_nodes:3" in told

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def tell(self, node: int, *words: str) -> None:
        answer = self.nodes[node].send("CLUSTER", *words)
        assert answer == b"+OK\r\n", answer

    def slot(self, key: str) -> int:
        return int(self.nodes[0].send("CLUSTER", "KEYSLOT", key)[1:])

    def owner(self, key: str) -> RedisServer:
        return self.nodes[self.owners[self.slot(key)]]

    def move(self, slot: int, to: int) -> None:
        """Gives the slot with its keys to another master, as resharding does. Always the same one: when several take
        slots within a second they need not agree on who was last."""
        source = self.owners[slot]
        if source == to:
            return
        self.tell(to, "SETSLOT", str(slot), "IMPORTING", self.ids[source])
        self.tell(source, "SETSLOT", str(slot), "MIGRATING", self.ids[to])
        while keys := self.nodes[source].send("CLUSTER", "GETKEYSINSLOT", str(slot), "100").split(b"\r\n")[2::2]:
            for key in keys:
                self.nodes[source].send("MIGRATE", "127.0.0.1", str(self.nodes[to].port), key, "0", "10000")
        for node in (to, source, 3 - to - source):
            self.tell(node, "SETSLOT", str(slot), "NODE", self.ids[to])
        self.owners[slot] = to

    def flush(self) -> None:
        for node in self.nodes:
            node.send("FLUSHALL")

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        for held in self.held:
            held.close()
