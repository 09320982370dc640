"""What must be known of a function that is decorated. The module inspect, which knows more, takes longer to import than
the whole package, so it is asked about unusual callables alone."""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from typing import Any, Callable

_Function: Any = type(lambda: None)
_CO_VARARGS, _CO_VARKEYWORDS, _CO_COROUTINE = 0x04, 0x08, 0x80


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine; as `inspect.iscoroutinefunction`."""
    if type(function) is _Function and not function.__dict__:  # no mark of inspect.markcoroutinefunction either
        return bool(function.__code__.co_flags & _CO_COROUTINE)
    import inspect

    return inspect.iscoroutinefunction(function)


def has_parameters(function: Callable[..., Any]) -> bool:
    """Whether it can be called with arguments; True where nobody knows."""
    if type(function) is _Function and function.__dict__.keys().isdisjoint(("__wrapped__", "__signature__")):
        code = function.__code__
        return bool(code.co_argcount or code.co_kwonlyargcount or code.co_flags & (_CO_VARARGS | _CO_VARKEYWORDS))
    import inspect

    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some that are written in C do not say
        return True
