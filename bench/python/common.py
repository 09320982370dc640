"""What the rows of all themes share: how something is timed, and what a row says.

What is compared runs interleaved in one process: every round runs each work once, and a row tells medians of the rounds.
Loops cost the same for all works that are compared, and that cost is not taken off.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

ROUNDS = 9
ROUND_SECONDS = 0.03

Timed = Callable[[int], float]
"""Does an operation so many times. The answer is how long that took, in seconds."""


class Unavailable(Exception):
    """This package does not do what a row would measure; the text says what."""


# ---- time -------------------------------------------------------------------------------------------------------


def repeated(statement: str, **names: object) -> Timed:
    """A loop around the statement, in which the names are local variables."""
    setup = "; ".join(f"{name} = given[{name!r}]" for name in names)
    return timeit.Timer(statement, setup, globals={"given": names}).timeit


def _calibrated(timed: Timed) -> int:
    """Operations that take about ROUND_SECONDS, or one. Warms up on the way."""
    operations = 1
    taken = timed(operations)
    while taken < ROUND_SECONDS / 2:
        operations *= 8 if taken < ROUND_SECONDS / 32 else 2
        taken = timed(operations)
    return max(1, round(operations * ROUND_SECONDS / taken))


def measure(**works: Timed) -> dict[str, float]:
    """The median time of one operation of each work, in seconds."""
    operations = {name: _calibrated(timed) for name, timed in works.items()}
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, timed in works.items():
            taken[name].append(timed(operations[name]) / operations[name])
    return {name: statistics.median(times) for name, times in taken.items()}


def expect_hit(function: Any, call: Callable[[], object]) -> None:
    """Calls twice.

    Raises:
        Unavailable: The second call was no hit of the decorated function.
    """
    call()
    before = function.cache_info().hits
    call()
    if function.cache_info().hits != before + 1:
        raise Unavailable("such a call is not cached")


# ---- rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table. The goal is about `ratio`, or about `value` when there is no ratio."""

    name: str
    value: float
    unit: str
    against: str | None = None
    against_value: float | None = None
    ratio: float | None = None
    goal: str | None = None
    holds: bool = True

    def as_json(self) -> dict[str, object]:
        """The row as it stands in results.json."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "against": self.against,
            "against_value": _rounded(self.against_value),
            "ratio": _rounded(self.ratio),
            "goal": self.goal,
            "holds": self.holds,
        }

    def __str__(self) -> str:
        text = f"{self.name:<34} {self.value:12.6g} {self.unit:<8}"
        if self.against is not None:
            text += f" {self.against} {self.against_value or 0:.6g}"
        if self.ratio is not None:
            text += f"  {self.ratio:.2f}x"
        if self.goal is not None:
            text += f"  goal {self.goal}  {'holds' if self.holds else 'MISSED'}"
        return text


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.6g}")


def at_most(name: str, value: float, unit: str, against: str, against_value: float, most: float) -> Row:
    """A row that may be at most so many times what it is compared with."""
    ratio = value / against_value
    return Row(name, value, unit, against, against_value, ratio, f"<= {most:g}x", ratio <= most)


def at_least(name: str, value: float, unit: str, against: str, against_value: float, least: float) -> Row:
    """A row that has to be at least so many times what it is compared with."""
    ratio = value / against_value
    return Row(name, value, unit, against, against_value, ratio, f">= {least:g}x", ratio >= least)


def plain(name: str, value: float, unit: str, against: str, against_value: float) -> Row:
    """A row without a goal."""
    return Row(name, value, unit, against, against_value, value / against_value)


@dataclass(frozen=True)
class Setting:
    """What rows need from outside: a directory for files, and the works of the released package, by name."""

    scratch: Path
    released: Callable[[str], Timed] | None

    def released_work(self, name: str) -> Timed:
        """A work of stored.py as the released package does it.

        Raises:
            ImportError: It is not installed.
        """
        if self.released is None:
            raise ImportError("no interpreter was named that has it", name="the released cachekit")
        return self.released(name)


Measured = Callable[[str, Setting], Row]
"""Measures the row of that name. Raises ImportError for a peer that is missing, and Unavailable."""

Rows = Mapping[str, Measured]
