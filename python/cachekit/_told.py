"""What a user has to know is said once."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    import logging

    log = logging.getLogger("cachekit")
else:

    class _Log:
        """The logger of the package. Importing logging takes as long as the package: it is, when there is something to
        say."""

        def __getattr__(self, name: str) -> Any:
            import logging

            return getattr(logging.getLogger("cachekit"), name)

    log = _Log()

_QUIET = 3
"""Of the library's levels (1 debug to 4 error) the least that is of interest to a program that has not set up logging."""


_loggers: list[logging.Logger] = []
"""The package's own, once logging is imported: at the end of the interpreter it cannot be looked up any more."""


def log_line(level: int = 0, component: str = "", text: str = "") -> int:
    """Logs a line of the library; without a level nothing. The answer is the least level that somebody wants to hear."""
    if level:
        (_loggers[0] if _loggers else log).log(level * 10, "%s: %s", component, text)
    if not _loggers:
        get_logger = getattr(sys.modules.get("logging"), "getLogger", None)  # None also while it is being imported
        if get_logger is None:
            return _QUIET
        _loggers.append(get_logger("cachekit"))
    logger = _loggers[0]
    return next((wanted for wanted in range(1, 5) if logger.isEnabledFor(wanted * 10)), 5)


_warned: dict[str, object] = {}
_MOST_WARNED = 4096


def _is_news(text: str) -> bool:
    """Whether it has not been said, nor is by another thread. It has been from now on."""
    mine = object()
    return _warned.setdefault(text, mine) is mine


def _is_news_that_fits(text: str) -> bool:
    return (text in _warned or len(_warned) < _MOST_WARNED) and _is_news(text)


def tell_once(function: Callable[..., Any], text: str) -> None:
    """Logs a warning about a function, unless the same text has been logged before."""
    if _is_news_that_fits(text):
        log.warning("%s: %s", name_of(function), text)


def tell(text: str) -> None:
    """Logs a warning, unless it has been logged before."""
    if _is_news(text):
        log.warning("%s", text)


def tell_of_entry(name: str, error: BaseException | None) -> None:
    """Logs that a stored value of a function cannot be read: a warning the first time, afterwards for debugging."""
    text = f"{name}: a stored value cannot be read, so the function runs and its result replaces it: {error}"
    if _is_news_that_fits(text):
        log.warning("%s", text)
    else:
        log.debug("%s", text)


def tell_of_receiver(name: str, error: BaseException) -> None:
    """Logs a warning that a method runs uncached, once for each method and class."""
    text = f"{name} runs uncached: {error}"
    if _is_news_that_fits(text):
        log.warning("%s", text)


def function_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a partial object calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def names_of(function: Callable[..., Any]) -> tuple[str, str]:
    """The module and the qualified name of any callable. What has none is called by its type's."""
    function = function_of(function)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(name, str) or not name:
        module, name = type(function).__module__, type(function).__qualname__
    return module if isinstance(module, str) and module else "builtins", name


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, as its entries have it."""
    # What no key holds stands in few names: surrogates, and the end of a text in C.
    return ".".join(names_of(function)).replace("\0", "_").encode("utf-8", "replace").decode()
