"""Entries that one package writes to a Redis server are read by the other: `check.py OURS RELEASED...`, interpreters. The
last line counts.

Releases from 0.20 on write the same bytes under other names: the last letter of a key names the serializer, and a key that a
function made has a hash of the function in front. Their entries are read after they have been renamed, and ours by them.
What is sealed is bound to its name, with the tenant's part in front of it: that is computed anew, and nothing fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402

OURS, *RELEASED = sys.argv[1:]
WRITTEN, READ = {"computed": True, "right": True}, {"computed": False, "right": True}

TENANT = "t:default:"
LETTERS = {"orjson": "o", "auto": "a", "arrow": "w"}
KEYED = {"default:item:5": "803e76c35b0d6666-default:item:5", "n:item:5": "091aa9ffe463c227-n:item:5"}
BOUND = {"sealed_orjson", "sealed_arrow", "sealed_in_a_namespace"}
BOUND_BY_TENANTS = BOUND | {"sealed", "sealed_moments"}


def is_later(interpreter: str) -> bool:
    code = "import importlib.metadata as m; print(*m.version('cachekit').split('.')[:2])"
    major, minor = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return (int(major), int(minor)) >= (0, 20)


def other_name(key: str, to_later: bool) -> str:
    """What an entry that is not sealed is called by the other package."""
    tenant = TENANT if key.startswith(TENANT) else ""
    bare = key[len(tenant) :]
    names = KEYED if to_later else {later: ours for ours, later in KEYED.items()}
    generated = re.fullmatch(r"(func:interchange\.([a-z]+).*:[01])[a-z]", bare)
    if generated is not None and generated[2] in LETTERS:
        bare = generated[1] + (LETTERS[generated[2]] if to_later else "s")
    return tenant + names.get(bare, bare)


def run(interpreter: str, server: redis_server.RedisServer, where: str) -> dict[str, dict[str, object]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CACHEKIT_")}
    environment.pop("REDIS_URL", None)
    if interpreter != OURS:
        environment.pop("PYTHONPATH", None)
    done = subprocess.run([interpreter, str(HERE / "functions.py"), server.url, where], capture_output=True, text=True,
                          env=environment, cwd=server.directory, timeout=300)  # fmt: skip
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return {}
    return json.loads(done.stdout)


def compare(server: redis_server.RedisServer, where: str, writer: str, reader: str, later: bool) -> tuple[int, int]:
    server.send("FLUSHALL")
    story = f"{where}, {'our' if writer == OURS else 'the'} entries{' of 0.20 and later' if later else ''}"
    written = run(writer, server, where)
    entries = server.entries()
    if later:
        for key in entries:
            server.send("RENAME", key, other_name(key, to_later=writer == OURS))
    before = server.entries()
    read = run(reader, server, where)
    bound = (BOUND_BY_TENANTS if where == "environment" else BOUND) if later else set()
    passed = failed = 0
    for case in sorted(written.keys() & read.keys()):
        if (written[case], read[case]) == (WRITTEN, WRITTEN if case in bound else READ):
            passed += 1
        else:
            failed += 1
            print(f"{story}: {case} was written {written[case]}, read {read[case]}")
    after = server.entries()
    if len(entries) != len(written) or not set(before) <= set(after) or len(after) - len(before) > len(BOUND & bound) or passed == 0:
        failed += 1
        print(f"{story}: {len(entries)} keys of {len(written)} functions, {len(after)} afterwards, {passed} exchanged")
    for key in entries:
        life = int(server.send("TTL", other_name(key, to_later=writer == OURS) if later else key)[1:-2])
        if not 0 < life <= 600:
            failed += 1
            print(f"{story}: {key} lives {life} s")
    return passed, failed


def exchange(released: str) -> tuple[int, int]:
    server = redis_server.RedisServer()
    passed = failed = 0
    try:
        later = is_later(released)
        for where in ("environment", "explicit"):
            for writer, reader in ((released, OURS), (OURS, released)):
                more = compare(server, where, writer, reader, later)
                passed, failed = passed + more[0], failed + more[1]
    finally:
        server.close()
    return passed, failed


def main() -> int:
    with ThreadPoolExecutor() as pool:
        counts = list(pool.map(exchange, RELEASED))
    passed, failed = sum(count[0] for count in counts), sum(count[1] for count in counts)
    print(f"   interchange: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
