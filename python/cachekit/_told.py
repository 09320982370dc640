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


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, as its entries have it."""
    return f"{function.__module__}.{function.__qualname__}"
