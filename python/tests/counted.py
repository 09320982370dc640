"""Cached functions that count their runs."""

from __future__ import annotations

from typing import Any

from cachekit import cache


class Counted:
    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, *args: Any) -> list[Any]:
        self.runs += 1
        return list(args)


def counted(**options: Any) -> tuple[Any, Counted]:
    body = Counted()

    @cache(**options)
    def function(*args: Any) -> Any:
        return body(*args)

    return function, body
