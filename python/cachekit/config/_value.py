"""The base of the configuration classes: which fields were given, and what replaces what."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..errors import ConfigurationTypeError
from ._checks import refuse_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


class Value:
    """An immutable value object that remembers which of its fields were given by name or place."""

    _given: frozenset[str]
    _aliases: ClassVar[Mapping[str, str]] = {}
    """Other keywords that the class takes, and the field that each one fills."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        names = field_names(cls)
        unknown = kwargs.keys() - set(names) - cls._aliases.keys()
        if unknown:
            raise refuse_names(cls.__name__, unknown, [*names, *cls._aliases])
        if len(args) > len(names):
            raise ConfigurationTypeError(f"{cls.__name__} takes {len(names)} values, {len(args)} were given")
        self = super().__new__(cls)
        given = {*names[: len(args)], *(cls._aliases.get(name, name) for name in kwargs)}
        object.__setattr__(self, "_given", frozenset(given))
        return self

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


AnyValue = TypeVar("AnyValue", bound=Value)


def field_names(cls: type[Value]) -> list[str]:
    """The names that the class takes, in order."""
    fields: dict[str, dataclasses.Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    return [name for name, field in fields.items() if field.init]


def given(value: Value) -> frozenset[str]:
    """The fields that whoever made `value` gave."""
    return value._given  # pyright: ignore[reportPrivateUsage]


def merged(value: AnyValue, changes: Mapping[str, object]) -> AnyValue:
    """A copy of `value` with some fields changed, checked as a whole."""
    if not changes:
        return value
    fields: dict[str, Any] = {name: getattr(value, name) for name in field_names(type(value))}
    fields.update(changes)
    copy = type(value)(**fields)
    put(copy, "_given", given(value) | changes.keys())
    return copy


def put(value: Value, name: str, content: object) -> None:
    """Sets a field while the object is being made."""
    object.__setattr__(value, name, content)
