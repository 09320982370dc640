"""The Python blocks of README.md and of the guides, one page after the other as a reader would type them.

    ```python   runs as it is
    ```pycon    a session: what it prints is compared
"""

from __future__ import annotations

import doctest
import importlib.util
import re
import textwrap
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "python").glob("*.md"))]
# Extras that a page uses: without them the page is not run.
EXTRA = re.compile(r"^\s*(?:import|from)\s+(numpy|pandas|polars|pyarrow|orjson)\b", re.MULTILINE)


class Block(NamedTuple):
    line: int
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    inside: list[str] | None = None
    language, start = "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```(\w*)", line)
        if inside is None and fence:
            inside, language, start = [], fence[1], number
        elif inside is not None and fence:
            if language in ("python", "pycon"):
                yield Block(start, language, textwrap.dedent("\n".join(inside) + "\n"))
            inside = None
        elif inside is not None:
            inside.append(line)


def run(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    # The block's own line numbers, so that a failure names the page's line.
    source = "\n" * block.line + block.text
    if block.language == "python":
        exec(compile(source, str(page), "exec", dont_inherit=True), namespace)
        return
    test = doctest.DocTestParser().get_doctest(block.text, namespace, page.name, str(page), block.line)
    out: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=out.append, clear_globs=False)
    assert runner.failures == 0, "".join(out)
    namespace.update(test.globs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_shows_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    shown = list(blocks(page))
    missing = {name for block in shown for name in EXTRA.findall(block.text) if importlib.util.find_spec(name) is None}
    if missing:
        pytest.skip(f"{page.name} shows {', '.join(sorted(missing))}, which is not installed")
    if page.stem == "redis":
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("redis").url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    namespace: dict[str, Any] = {"__name__": "guide"}
    for block in shown:
        run(block, page, namespace)


def test_every_guide_has_something_to_run() -> None:
    assert all(list(blocks(page)) for page in PAGES[1:])
