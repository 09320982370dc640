"""What is decorated: functions, methods, partial objects, callables of any kind. What their entries are called, and what
the first argument of a call counts as."""

from __future__ import annotations

import functools
import types
from typing import Any, Callable, NamedTuple

from ._told import function_of, name_of, names_of
from .errors import MisuseError

PLAIN = 0
IDENTITY = 1  # of the object that a method is called on: where results stay in this process
NAMED = 2  # a class by its name, an instance by its __cachekit_key__: where they do not
BOUND = 3  # arguments stand in front of those of the call

_Bound = tuple[tuple[Any, ...], dict[str, Any]]


class Shape(NamedTuple):
    """How a function is called."""

    name: str
    """Of its entries, without a number."""
    own: bool
    """Whether its entries must not be shared with other functions of the name."""
    first: int
    """What the first argument of a call counts as."""
    method: int
    """The same when the function turns out to stand in the body of a class; when BOUND, for the first bound argument."""
    bound: _Bound | None
    """The arguments that it has already, as a part of the key."""

    def keywords(self) -> dict[str, Any]:
        """For CachedFunction."""
        return {"first": self.first, "method": self.method, "bound": self.bound}


def shape_of(function: Callable[..., Any], stored: bool) -> Shape:
    """How a function is called whose results are kept in a store, or in this process only."""
    name = name_of(function)
    receiver = NAMED if stored else IDENTITY
    bound = bound_arguments(function)
    if bound is None:
        first = receiver if _is_in_class(function) and first_parameter(function) in ("self", "cls") else PLAIN
        # Two functions that are made inside another one, and two lambdas, may have one name.
        return Shape(name, not stored and "<" in name, first, receiver, None)
    if stored:
        return Shape(name, False, BOUND, NAMED, bound)
    return Shape(name, True, PLAIN, receiver, None)  # it need not tell what is bound


def bound_arguments(function: Callable[..., Any]) -> _Bound | None:
    """The arguments that a callable has already: those of a partial object, and the object that a method is bound to or
    that is called itself. None for plain functions."""
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        args = (*function.args, *args)
        keywords = {**function.keywords, **keywords}
        function = function.func
    receiver = getattr(function, "__self__", None)
    if isinstance(function, type) or isinstance(receiver, types.ModuleType):
        receiver = None
    elif receiver is None and not isinstance(getattr(function, "__qualname__", None), str):
        receiver = function
    if receiver is not None:
        args = (receiver, *args)
    return (args, keywords) if args or keywords else None


def first_parameter(function: Callable[..., Any]) -> str | None:
    """The name of the first parameter, if it can be told without effort."""
    for _ in range(100):
        outer, function = function, getattr(function, "__wrapped__", function)
        if function is outer:
            break
    code = getattr(function, "__code__", None)
    return code.co_varnames[0] if isinstance(code, types.CodeType) and code.co_argcount else None


def needs_class(function: Callable[..., Any]) -> bool:
    """Whether a class comes first among its arguments."""
    return first_parameter(function) == "cls" and _is_in_class(function) and bound_arguments(function) is None


def check_class(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """From Python 3.13 on `classmethod` tells the function no more which class `Class.method.invalidate_cache(1)` means."""
    if (args or kwargs) and not (args and isinstance(args[0], type)):
        name = names_of(function)[1]
        raise MisuseError(
            f"{name}: which class is meant? invalidate_cache(cls, ...) says so, or put @classmethod below @cache"
        )


_lambdas: dict[tuple[str, str | None], types.CodeType] = {}


def find_namesake(function: Callable[..., Any], name: str, namespace: str | None) -> bool:
    """Whether there has been another lambda of this name over a store: their entries cannot be told apart."""
    code = getattr(function_of(function), "__code__", None)
    if not name.endswith("<lambda>") or not isinstance(code, types.CodeType) or len(_lambdas) >= 4096:
        return False
    return _lambdas.setdefault((name, namespace), code) != code


def count_parameters(function: Callable[..., Any]) -> int:
    """How many parameters there are; of functions that do not tell, one."""
    if type(function) is types.FunctionType and function.__dict__.keys().isdisjoint(("__wrapped__", "__signature__")):
        code = function.__code__
        starred = bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)  # *args, **kwargs
        return code.co_argcount + code.co_kwonlyargcount + starred
    import inspect  # takes longer to import than the whole package

    try:
        return len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return 1


def _is_in_class(function: Callable[..., Any]) -> bool:
    name = getattr(function, "__qualname__", None)
    around = name.rpartition(".")[0] if isinstance(name, str) else ""
    return around != "" and not around.endswith("<locals>")


def copy_names(cached: Any, function: Callable[..., Any]) -> None:
    """Gives what is decorated the names, the text and the attributes of the function."""
    inner = function_of(function)
    cached.__module__, cached.__qualname__ = names_of(function)
    name = getattr(inner, "__name__", None)
    cached.__name__ = name if isinstance(name, str) else cached.__qualname__.rpartition(".")[2]
    cached.__doc__ = getattr(inner, "__doc__", None)
    if isinstance(inner, (types.FunctionType, types.MethodType)):
        cached.__annotations__ = inner.__annotations__
        cached.__dict__.update(inner.__dict__)
