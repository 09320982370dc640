"""Checks that all configuration classes share. Messages read ``name=value: expected ...`` and never show a secret."""

from __future__ import annotations

from enum import Enum

from ..errors import ConfigurationError, ConfigurationTypeError

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    _Kind = TypeVar("_Kind")

MASK = "********"
"""What is shown in place of a secret that is set."""


class NotGiven(Enum):
    """The type of `NOT_GIVEN`."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "NOT_GIVEN"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return False


NOT_GIVEN = NotGiven.NOT_GIVEN
"""Nobody said anything about this: different from None, which is an answer."""


def show(value: object) -> str:
    """A value for a message: short, on one line, and only of types whose text is known to be harmless."""
    if isinstance(value, str):
        if "@" in value:
            return MASK
        text = repr(value)
    elif value is None or isinstance(value, (bool, int, float)):
        try:
            text = repr(value)
        except ValueError:  # more digits than the interpreter writes
            text = f"an integer of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    else:
        return type(value).__name__
    return text if len(text) <= 43 else text[:40] + "..."


def refuse_type(name: str, expected: str, value: object) -> ConfigurationTypeError:
    """The error for a value of a wrong type."""
    return ConfigurationTypeError(f"{name} is {type(value).__name__}: expected {expected}")


def check_object(name: str, value: object, kind: type[_Kind]) -> _Kind:
    """`value`, which must be one of `kind` or None; for None a new one."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise refuse_type(name, f"a {kind.__name__} object or None", value)
    return value


def refuse_value(name: str, expected: str, value: object) -> ConfigurationError:
    """The error for a value of the right type that is not allowed."""
    return ConfigurationError(f"{name}={show(value)}: expected {expected}")


def range_text(minimum: float | None, maximum: float | None, *, above: bool = False) -> str:
    """``"1 to 9"``, ``"1 or more"``, ``"above 0"``, ``"above 0, up to 1"``; numbers as a person writes them."""
    if minimum is None:
        return "" if maximum is None else f"up to {_number(maximum)}"
    if above:
        return f"above {_number(minimum)}" + ("" if maximum is None else f", up to {_number(maximum)}")
    return f"{_number(minimum)} or more" if maximum is None else f"{_number(minimum)} to {_number(maximum)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def check_bool(name: str, value: object) -> bool:
    """`value`, which must be True or False: 0 and 1 are not, because they are usually a slip."""
    if not isinstance(value, bool):
        raise refuse_type(name, "True or False", value)
    return value


def check_whole(name: str, value: object, minimum: int, maximum: int | None = None, *, unit: str = "") -> int:
    """`value`, which must be an int (not a bool) from `minimum` to `maximum`."""
    expected = f"a whole number{unit}, {range_text(minimum, maximum)}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse_type(name, expected, value)
    if value < minimum or (maximum is not None and value > maximum):
        raise refuse_value(name, expected, value)
    return value


def check_number(
    name: str, value: object, minimum: float, maximum: float | None = None, *, above: bool = False, unit: str = ""
) -> float:
    """`value`, which must be an int or float (not a bool) in the range; `above`: the minimum itself is not in it.
    NaN and the infinities are in no range."""
    expected = f"{unit or 'a number'}, {range_text(minimum, maximum, above=above)}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refuse_type(name, expected, value)
    low_enough = value < float("inf") if maximum is None else value <= maximum
    high_enough = value > minimum if above else value >= minimum
    if not (low_enough and high_enough):
        raise refuse_value(name, expected, value)
    return value


def check_text(name: str, value: object) -> str:
    """`value`, which must be a str that can be written as UTF-8 and holds no zero character."""
    if not isinstance(value, str):
        raise refuse_type(name, "a text", value)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigurationError(f"{name} holds half of a surrogate pair: expected text that UTF-8 can hold")
    if "\0" in value:
        raise ConfigurationError(f"{name} holds a zero character")
    return value


def check_choice(name: str, value: object, words: tuple[str, ...]) -> str:
    """`value`, which must be one of the words."""
    expected = "one of " + ", ".join(words)
    if not isinstance(value, str):
        raise refuse_type(name, expected, value)
    if value not in words:
        raise refuse_value(name, expected, value)
    return value


def refuse_names(where: str, unknown: Iterable[str], known: Iterable[str]) -> ConfigurationTypeError:
    """The error for keywords that do not exist, with the nearest that does."""
    import difflib  # only on the way to an error

    known = sorted(known)
    parts: list[str] = []
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, known, n=1)
        parts.append(f"'{name[:60]}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
    return ConfigurationTypeError(
        f"{where} got an unexpected keyword argument {', '.join(parts)}; known: {', '.join(known)}"
    )
