"""What a user has to know is said once."""

from __future__ import annotations

import logging
from typing import Any, Callable

log = logging.getLogger("cachekit")

_warned: dict[str, None] = {}


def tell_once(function: Callable[..., Any], text: str) -> None:
    """Logs a warning about a function, unless the same text has been logged before."""
    if text not in _warned and len(_warned) < 4096:
        _warned[text] = None
        log.warning("%s: %s", name_of(function), text)


def tell_of_entry(name: str, error: BaseException | None) -> None:
    """Logs that a stored value of a function cannot be read: a warning the first time, afterwards for debugging."""
    text = f"{name}: a stored value cannot be read, so the function runs and its result replaces it: {error}"
    if text not in _warned and len(_warned) < 4096:
        _warned[text] = None
        log.warning("%s", text)
    else:
        log.debug("%s", text)


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, as its entries have it."""
    return f"{function.__module__}.{function.__qualname__}"
