"""The base of the configuration classes: immutable objects that know which of their fields were given.

To users and type checkers they are frozen dataclasses (`dataclasses.fields`, `replace` and `asdict` work). They are not
made by that module because importing it and having it write the methods of twenty classes takes longer than everything
else that happens before the first cached call.
"""

from __future__ import annotations

from ..errors import ConfigurationError, ConfigurationTypeError
from ._checks import refuse_names

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, TypeVar

    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda cls: cls


class _LazyFields:
    """What the module dataclasses looks for; made when it looks."""

    def __get__(self, instance: object, owner: type[Value]) -> dict[str, Any]:
        import dataclasses

        specs: list[Any] = [
            (name, object, dataclasses.field(default=getattr(owner, name))) if hasattr(owner, name) else (name, object)
            for name in owner._fields  # pyright: ignore[reportPrivateUsage]
        ]
        made = dataclasses.make_dataclass(owner.__name__, specs, init=False, repr=False, eq=False)
        return {field.name: field for field in dataclasses.fields(made)}


@dataclass_transform(frozen_default=True)
class Value:
    """An immutable object whose fields are the annotated names of its class, with their defaults."""

    _fields: ClassVar[tuple[str, ...]] = ()
    _aliases: ClassVar[Mapping[str, str]] = {}
    """Other keywords that the class takes, and the field that each one fills."""
    if not TYPE_CHECKING:
        __dataclass_fields__ = _LazyFields()

    def __init_subclass__(cls) -> None:
        # Before 3.10 a class without annotations shows those of its base; from 3.14 on they are not in __dict__.
        annotations: Mapping[str, Any] = getattr(cls, "__annotations__", {})
        own = (name for name in annotations if not name.startswith("_"))
        cls._fields = tuple(dict.fromkeys((*cls._fields, *own)))
        cls.__match_args__ = cls._fields  # pyright: ignore[reportAttributeAccessIssue]

    if not TYPE_CHECKING:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            given = _bind(type(self), args, kwargs)
            for name in self._fields:
                put(self, name, given[name] if name in given else getattr(type(self), name))
            put(self, "_given", frozenset(given))
            self.__post_init__()

    def __post_init__(self) -> None:
        """Called when all fields have their values."""

    def __setattr__(self, name: str, value: object) -> None:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field '{name}': make a changed copy")

    def __delattr__(self, name: str) -> None:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field '{name}'")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __replace__(self, **changes: Any) -> Self:
        return type(self)(**{**{name: getattr(self, name) for name in self._fields}, **changes})


if TYPE_CHECKING:
    AnyValue = TypeVar("AnyValue", bound=Value)


def _bind(cls: type[Value], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Field -> value of what a constructor was given."""
    names = field_names(cls)
    aliases: Mapping[str, str] = cls._aliases  # pyright: ignore[reportPrivateUsage]
    if len(args) > len(names):
        raise ConfigurationTypeError(f"{cls.__name__} takes {len(names)} values, {len(args)} were given")
    bound = dict(zip(names, args))
    unknown = kwargs.keys() - set(names) - aliases.keys()
    if unknown:
        raise refuse_names(cls.__name__, unknown, [*names, *aliases])
    for keyword, value in kwargs.items():
        name = aliases.get(keyword, keyword)
        if name not in bound:
            bound[name] = value
        elif keyword == name and keyword in names[: len(args)]:
            raise ConfigurationTypeError(f"{cls.__name__}: {name} is given twice, by place and by name")
        elif bound[name] != value:
            others = [alias for alias, field in aliases.items() if field == name]
            raise ConfigurationError(
                f"{cls.__name__}: {name} and {', '.join(others)} are one setting and differ: give one of them"
            )
    return bound


def field_names(cls: type[Value]) -> tuple[str, ...]:
    """The names of the fields, in order."""
    return cls._fields  # pyright: ignore[reportPrivateUsage]


def given(value: Value) -> frozenset[str]:
    """The fields that whoever made `value` gave."""
    return value.__dict__["_given"]


def overrule(value: Value, what: str, by: str) -> None:
    """Notes that `value` is switched off by a keyword beside the one that brought it: for whoever has a function to name."""
    put(value, "_overruled", (what, by))


def overruled(value: Value) -> tuple[str, str] | None:
    """What has been noted so: the keyword that brought it, and the one that switches it off."""
    return value.__dict__.get("_overruled")


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
