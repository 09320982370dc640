"""The rows python.*: `python bench/python [--out FILE] [--released PYTHON] [THEME...]`.

Prints a table and adds the rows to the JSON list in FILE; those of an earlier run go. `--released` names an interpreter
that has the released package `cachekit`. A row is left out, with a line that says so, when what it is compared with is not
installed (it is void) or when this package cannot do what it measures.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import arrow
import hits
import redis_store
import secure
import startup
import stored
import threads
from cachekit import __version__
from cachekit.errors import UnsupportedError
from common import Row, Rows, Setting, Unavailable
from released import Released

_THEMES: dict[str, Rows] = {
    "hits": hits.ROWS,
    "stored": stored.ROWS,
    "arrow": arrow.ROWS,
    "secure": secure.ROWS,
    "threads": threads.ROWS,
    "redis": redis_store.ROWS,
    "startup": startup.ROWS,
}
_PEERS = ("cachetools", "cachebox", "theine", "msgspec", "numpy", "pandas", "pyarrow", "redis", "hiredis")


def _about(build: str, released: Released | None) -> Row:
    parts = [
        # Which file, because it matters how that was built: some are twice as quick as others of their version.
        f"{platform.python_implementation()} {platform.python_version()} ({os.path.realpath(sys.executable)})",
        f"cachekit {__version__} ({build})",
    ]
    for peer in _PEERS:
        try:
            parts.append(f"{peer} {importlib.metadata.version(peer)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{peer} is not installed: rows that need it are void")
    if released is not None:
        parts.append(f"released cachekit {released.version}")
    return Row("python.about", len(os.sched_getaffinity(0)), "cores", "; ".join(parts), 0)


def _measured(themes: list[str], setting: Setting) -> tuple[list[Row], int, int]:
    """The rows, how many are left out, and how many failed."""
    found: list[Row] = []
    left_out = failed = 0
    for theme in themes:
        for name, measured in _THEMES[theme].items():
            try:
                row = measured(name, setting)
            except ImportError as missing:
                left_out += 1
                print(f"{name:<34} void: {missing.name or missing} is not installed", flush=True)
            except (Unavailable, UnsupportedError) as reason:
                left_out += 1
                print(f"{name:<34} not available: {reason}", flush=True)
            except Exception:  # the other rows are worth having
                failed += 1
                print(f"{name:<34} failed:", flush=True)
                traceback.print_exc()
            else:
                print(row, flush=True)
                found.append(row)
    return found, left_out, failed


def _merge(path: Path, rows: list[Row]) -> None:
    old: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    kept = [row for row in old if not row["name"].startswith("python.")]
    lines = [json.dumps(row) for row in (*kept, *(row.as_json() for row in rows))]
    whole = path.with_suffix(".new")
    whole.write_text("[\n  " + ",\n  ".join(lines) + "\n]\n")
    whole.replace(path)


def main() -> int:
    """Runs the command. The answer is 1 when a row failed; a goal that is missed is a result."""
    parser = argparse.ArgumentParser(prog="bench/python")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--released", metavar="PYTHON")
    parser.add_argument("--build", default="from sys.path", help="how this package was built, for the row python.about")
    parser.add_argument("themes", nargs="*", metavar="THEME", help=", ".join(_THEMES))
    given = parser.parse_args()
    unknown = [theme for theme in given.themes if theme not in _THEMES]
    if unknown:
        parser.error(f"unknown theme {unknown[0]}")
    # A function that cannot be cached is told here, in its row.
    logging.getLogger("cachekit").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory(prefix="cachekit-bench-") as scratch:
        ours, theirs = Path(scratch, "ours"), Path(scratch, "released")
        released = None if given.released is None else Released(given.released, theirs)
        try:
            about = _about(given.build, released)
            print(about)
            rows, left_out, failed = _measured(
                given.themes or list(_THEMES), Setting(ours, None if released is None else released.work)
            )
        finally:
            if released is not None:
                released.close()
    if given.out is not None:
        _merge(given.out, [about, *rows])
    missed = sum(not row.holds for row in rows)
    print(f"{len(rows) + 1} rows, {missed} goals missed, {left_out} left out, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
