"""Small readers in other languages open what this library wrote: `check.py LANGUAGE`. The tool writes entries to a file store
and, where there is a redis-server, to Redis; the reader's program (docs/reading-entries.md) prints what it found as JSON.

Exit code 77, with one line, when the language is not installed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402

TOOL, BUILD = os.environ["CKIT_CLI"], Path(os.environ["CKIT_BUILD"]) / "readers"

# What lies in an entry: of every type, and of lengths at which LZ4, XXH3 and MessagePack take another way.
VALUES: list[Any] = [
    None, True, False, 0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
    -1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63),
    1.5, -0.125, 1e300, 2.5e-9, "", "text", "Ünïcode-键-\U0001f511", [], {}, [1, [2, [3.5, None]]],
    {"name": "alice", "age": 30, "tags": ["a", "b"], "at": {"__date__": True, "value": "2024-01-01"}},
    {"\U00010000": 1, "\uff61": 2, "b": 3, "a": 4}, list(range(20)), list(range(70000)),
    {f"key {i}": i for i in range(20)}, "x" * 5000, "abcd" * 300,
    *("".join(chr(33 + (i * i + n) % 90) for i in range(n)) for n in (2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 96, 97,
                                                                     127, 128, 129, 200, 239, 240, 241, 255, 256, 300, 1023,
                                                                     1024, 1025, 2049, 70001)),
]  # fmt: skip

# Arguments of calls; equal ones in the model have one key.
CALLS: list[list[Any]] = [
    [], [42], [42.0], [-0.0], ["red shoes", 10, [], {"b": 1, "a": 2.5}], [None, True, -(2**63), 2**64 - 1, 1e300, 0.1],
    [{"\U00010000": 1, "\uff61": 2, "": [[]]}], [1] * 16, ["x" * n for n in (31, 32, 127, 128, 255, 256, 300)],
    [18446744073709551616.0, -9223372036854775808.0, -33.0, 65536.0],
]  # fmt: skip


def tool(*words: str, given: bytes | None = None) -> bytes:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CACHEKIT_")}
    done = subprocess.run([TOOL, *words], input=given, capture_output=True, timeout=240, check=False, env=clean)
    if done.returncode != 0:
        raise SystemExit(f"cachekit {' '.join(words)[:200]}: {done.stderr.decode()}")
    return done.stdout


# ---- the readers ----------------------------------------------------------------------------------------------


def compiled(language: str, command: list[str], output: Path) -> Path:
    """Compiles once: the sources' hash is part of the place."""
    sources = sorted((HERE / language).iterdir())
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    place = BUILD / f"{language}-{digest}"
    if not (place / output).exists():
        place.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOCACHE": str(BUILD / "go-cache"), "GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off"}
        words = [word.replace("PLACE", str(place)) for word in command] + [str(source) for source in sources]
        done = subprocess.run(words, capture_output=True, timeout=700, check=False, env=environment)
        if done.returncode != 0:
            raise SystemExit(f"{words[0]}: {done.stderr.decode()}")
    return place / output


def reader(language: str) -> list[str] | None:
    """The command; None without the language."""
    needs = {"node": ["node"], "php": ["php"], "java": ["java", "javac"], "go": ["go"]}[language]
    if any(shutil.which(program) is None for program in needs):
        return None
    if language == "go":
        return [str(compiled("go", ["go", "build", "-o", "PLACE/reader"], Path("reader")))]
    if language == "java":
        place = compiled("java", ["javac", "-d", "PLACE"], Path("Reader.class")).parent
        return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", str(place), "Reader"]
    return [language, str(HERE / language / {"node": "reader.js", "php": "reader.php"}[language])]


class Check:
    def __init__(self, command: list[str], directory: Path) -> None:
        self.command, self.directory, self.failed, self.passed = command, directory, 0, 0

    def read(self, mode: list[str], paths: list[Path]) -> list[Any]:
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*self.command, *mode, *map(str, paths)], capture_output=True, timeout=240, env=environment)
        lines = done.stdout.decode().splitlines()
        if done.returncode != 0 or len(lines) != len(paths):
            raise SystemExit(f"{mode}: exit {done.returncode}, {len(lines)} lines for {len(paths)}: {done.stderr.decode()}")
        return [json.loads(line) for line in lines]

    def same(self, what: str, found: list[Any], expected: list[Any]) -> None:
        for one, other in zip(found, expected):
            if one == other and isinstance(one, bool) == isinstance(other, bool):
                self.passed += 1
            else:
                self.failed += 1
                print(f"{what}: found {json.dumps(one)[:200]}, expected {json.dumps(other)[:200]}")

    def refused(self, what: str, found: list[Any]) -> None:
        for one in found:
            if isinstance(one, dict) and set(one) == {"error"}:
                self.passed += 1
            else:
                self.failed += 1
                print(f"{what}: found {json.dumps(one)[:200]}, expected an error")

    def path(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(data)
        return path


# ---- what they are given --------------------------------------------------------------------------------------


def key_of(call: list[Any]) -> str:
    return tool("key", "--interop", "get-user", "--namespace", "users.v1", "--", *map(json.dumps, call)).decode().strip()


def file_of(store: Path, key: str) -> Path:
    return store / hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def check_entries(check: Check, store: Path) -> None:
    url = f"file://{store}"
    standard, shared = [], []
    for i, value in enumerate(VALUES):
        given = json.dumps(value).encode()
        key = f"func:m.f:args:{i:064x}:1s"
        tool("set", "--store", url, "--as", "json", "--ttl", "none" if i % 2 else "1h", key, "-", given=given)
        standard.append(file_of(store, key))
        key = f"users:get:{i:064x}"
        tool("set", "--store", url, "--as", "interop", key, "-", given=given)
        shared.append(file_of(store, key))
    check.same("a standard entry", check.read(["file"], standard), VALUES)
    check.same("a shared entry", check.read(["file"], shared), VALUES)
    tool("set", "--store", url, "--as", "bytes", "bytes", "-", given=bytes(range(256)) * 2)
    found = check.read(["file"], [file_of(store, "bytes")])
    check.same("bytes", found, [{"bytes": (bytes(range(256)) * 2).hex()}])
    check_damage(check, file_of(store, f"func:m.f:args:{VALUES.index('abcd' * 300):064x}:1s").read_bytes(), "abcd" * 300)


def check_damage(check: Check, file: bytes, value: str) -> None:
    stored = file[14:]
    check.same("a stored value", check.read(["value"], [check.path("whole", stored)]), [value])
    block = stored.rindex(b"abcd")
    damaged = {
        "altered": stored[:block] + b"abce" + stored[block + 4 :],
        "cut": stored[:-20],
        "short": stored[:5],
        "trailing": b"\x01\x01",
        "deep": b"\x91" * 3,
        "header": b"CK\x03\xff\xff\xff\xff{}",
        "sealed": stored.replace(b'"compressed": true', b'"encrypted": true ', 1),
    }
    check.refused("a damaged value", check.read(["value"], [check.path(name, data) for name, data in damaged.items()]))
    expired = file[:6] + (1000).to_bytes(8, "big") + stored
    check.refused("an expired file", check.read(["file"], [check.path("expired", expired), check.path("no-file", stored)]))


def check_keys(check: Check, store: Path) -> None:
    url = f"file://{store}"
    paths = []
    for i, call in enumerate(CALLS):
        key = f"calls:arguments:{i:064x}"
        tool("set", "--store", url, "--as", "interop", key, "-", given=json.dumps(call).encode())
        paths.append(check.path(f"call-{i}", file_of(store, key).read_bytes()[14:]))
    keys = check.read(["key", "users.v1", "get-user"], paths)
    check.same("a key", keys, [key_of(call) for call in CALLS])
    known = "users:get_user:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875"
    check.same("the key of 42", check.read(["key", "users", "get_user"], [check.path("42", b"\x91\x2a")]), [known])


def check_redis(check: Check) -> None:
    server = redis_server.RedisServer()
    try:
        values = [{"name": "alice", "age": 30}, "abcd" * 300]
        paths = []
        for form, key in (("json", "func:m.g:args:" + "0" * 64 + ":1s"), ("interop", "users:get:" + "0" * 64)):
            for i, value in enumerate(values):
                tool("set", "--store", server.url, "--as", form, key, "-", given=json.dumps(value).encode())
                answer = server.send("GET", key)  # "$LENGTH\r\n...\r\n"
                paths.append(check.path(f"redis-{form}-{i}", answer[answer.index(b"\n") + 1 : -2]))
        check.same("an entry of Redis", check.read(["value"], paths), values * 2)
    finally:
        server.close()


def main() -> int:
    language = sys.argv[1]
    command = reader(language)
    if command is None:
        print(f"readers/{language}: skipped: {language} is not installed")
        return 77
    with tempfile.TemporaryDirectory(prefix="ckrd-", dir="/tmp") as directory:
        check = Check(command, Path(directory))
        store = Path(directory) / "store"
        check_entries(check, store)
        check_keys(check, store)
        if redis_server.available():
            check_redis(check)
        else:
            print("redis-server is not installed: entries of Redis were not tried")
    print(f"readers/{language}: {check.passed} passed, {check.failed} failed")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
