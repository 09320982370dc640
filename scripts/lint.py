"""lint.py [FILE...]: clang-tidy over the library, the tool and the Python extension (or the named files), as .clang-tidy
says. What was clean before, with the same text and headers, is not looked at again: build/lint remembers it."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "dev-clang"
KNOWN = ROOT / "build" / "lint"
# The analyzer follows so many states of a function. Eight times as many find nothing more, in eight times the time.
EXTRA = ["-Xclang", "-analyzer-config", "-Xclang", "max-nodes=30000"]
OF_TESTS = re.compile(r"(_test|_fuzz|_fixture)\.c$|/fake_\w+\.c$")
TOLD = ["-include", str(ROOT / "scripts" / "lint.h")]


def commands() -> dict[str, list[str]]:
    """How each file is compiled, without what it makes."""
    known: dict[str, list[str]] = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        start = next(i for i, word in enumerate(words) if pathlib.Path(word).name.startswith("clang"))
        end = words.index("-o")
        known.setdefault(os.path.relpath(entry["file"], ROOT), words[start:end])
    return known


def wanted(known: dict[str, list[str]]) -> list[str]:
    if sys.argv[1:]:
        named = [os.path.relpath(name, ROOT) for name in sys.argv[1:]]
        if unknown := set(named) - set(known):
            sys.exit(f"lint.py: {BUILD.name} does not compile {' '.join(sorted(unknown))}")
        return named
    listed = subprocess.run(["git", "ls-files", "src/*.c", "cli/*.c", "python/ext/*.c"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.split()
    return [name for name in listed if name in known and not OF_TESTS.search(name)]


def told(name: str) -> list[str]:
    return [] if name == "src/base/error.c" else TOLD  # which defines what the header speaks of


def stamp(name: str, command: list[str]) -> pathlib.Path:
    """What clang-tidy sees: the text after the preprocessor with its comments and macros, and what says how to look."""
    text = subprocess.run([*command, *told(name), "-E", "-CC", "-dD", str(ROOT / name)], cwd=BUILD, capture_output=True,
                          check=True)
    seen = hashlib.sha256(text.stdout)
    for other in ".clang-tidy", "scripts/lint.py":
        seen.update((ROOT / other).read_bytes())
    return KNOWN / seen.hexdigest()


def look(name: str, command: list[str]) -> tuple[bool, str]:
    clean = stamp(name, command)
    if clean.exists():
        return True, ""
    arguments = [f"--extra-arg={word}" for word in [*EXTRA, *told(name)]]
    ended = subprocess.run(["clang-tidy-14", "--quiet", "-p", str(BUILD), *arguments, str(ROOT / name)], cwd=ROOT,
                           capture_output=True, text=True, check=False)
    if ended.returncode == 0:
        clean.touch()
        return True, ""
    return False, ended.stdout or ended.stderr


def main() -> int:
    subprocess.run(["cmake", "--preset", "dev-clang"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    KNOWN.mkdir(parents=True, exist_ok=True)
    known = commands()
    names = sorted(wanted(known), key=lambda name: -(ROOT / name).stat().st_size)
    jobs = int(os.environ.get("JOBS", "0")) or os.cpu_count()
    faulty = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for right, text in pool.map(lambda name: look(name, known[name]), names):
            faulty += not right
            print(text, end="", flush=True)
    print(f"lint: {len(names)} files, {faulty} with findings", file=sys.stderr)
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
