"""What kind of function is decorated. Without the module `inspect`, which takes long to import."""

from __future__ import annotations

import sys
from typing import Any, Callable

from ._told import function_of, name_of
from .errors import ConfigurationTypeError

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # of a code object, as in `inspect`


def is_async(function: Callable[..., Any]) -> bool:
    """Whether its calls are awaited. ConfigurationTypeError for generator functions, whose results cannot be kept."""
    body = _body_of(function)
    flags: int = getattr(getattr(body, "__code__", None), "co_flags", 0)
    if flags & _GENERATOR:
        raise ConfigurationTypeError(_REFUSED.format(name_of(function), "a generator function", "list(...)"))
    if flags & _ASYNC_GENERATOR:
        instead = "[item async for item in ...]"
        raise ConfigurationTypeError(_REFUSED.format(name_of(function), "an async generator function", instead))
    return bool(flags & _COROUTINE) or _is_marked(function) or _is_marked(body)


_REFUSED = (
    "cache cannot decorate {0}: it is {1}, and a generator can be gone through only once, by the first caller. "
    "Decorate a function that returns all items at once: {2}"
)


def _body_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a call of it runs. What a wrapper wraps does not count: it may make a list of a generator."""
    function = function_of(function)
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__") and not isinstance(function, type):
        function = getattr(type(function), "__call__", function)
    return function


def _is_marked(function: Callable[..., Any]) -> bool:
    """With `inspect.markcoroutinefunction`, or with the mark that asyncio had before."""
    inspect, coroutines = sys.modules.get("inspect"), sys.modules.get("asyncio.coroutines")
    if inspect is not None and inspect.iscoroutinefunction(function):
        return True
    mark = getattr(coroutines, "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark
