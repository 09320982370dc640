"""Entries that one package writes to a Redis server are read by the other: `check.py OURS RELEASED`, two interpreters. The
last line counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402

OURS, RELEASED = sys.argv[1:]
WRITTEN, READ = {"computed": True, "right": True}, {"computed": False, "right": True}


def run(interpreter: str, server: redis_server.RedisServer, where: str) -> dict[str, dict[str, object]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CACHEKIT_")}
    environment.pop("REDIS_URL", None)
    if interpreter == RELEASED:
        environment.pop("PYTHONPATH", None)
    done = subprocess.run([interpreter, str(HERE / "functions.py"), server.url, where], capture_output=True, text=True,
                          env=environment, cwd=server.directory, timeout=120)  # fmt: skip
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        return {}
    return json.loads(done.stdout)


def compare(server: redis_server.RedisServer, where: str, writer: str, reader: str) -> tuple[int, int]:
    server.send("FLUSHALL")
    name = "the released package's" if writer == RELEASED else "our"
    written, entries = run(writer, server, where), server.entries()
    read = run(reader, server, where)
    passed = failed = 0
    for case in sorted(written.keys() & read.keys()):
        if (written[case], read[case]) == (WRITTEN, READ):
            passed += 1
        else:
            failed += 1
            print(f"{where}, {name} entry of {case}: written {written[case]}, read {read[case]}")
    if len(entries) != len(written) or server.entries() != entries or passed == 0:
        failed += 1
        print(f"{where}, {name} entries: {len(entries)} keys of {len(written)} functions, {passed} exchanged")
    for key in entries:
        life = int(server.send("TTL", key)[1:-2])
        if not 0 < life <= 600:
            failed += 1
            print(f"{where}, {name} entry {key} lives {life} s")
    return passed, failed


def main() -> int:
    server = redis_server.RedisServer()
    passed = failed = 0
    try:
        for where in ("environment", "explicit"):
            for writer, reader in ((RELEASED, OURS), (OURS, RELEASED)):
                more = compare(server, where, writer, reader)
                passed, failed = passed + more[0], failed + more[1]
    finally:
        server.close()
    print(f"   interchange: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
