"""Settings that come from the environment: how one is described, read and checked.

Fields, defaults, ranges, variables and help texts of a class of settings stand in one place, the class itself, whose
fields are made by the functions below.
"""

from __future__ import annotations

import os

from ..errors import ConfigurationError, UnsupportedError
from ._checks import (
    MASK,
    check_bool,
    check_choice,
    check_number,
    check_text,
    check_whole,
    range_text,
    refuse_type,
    show,
)
from ._value import Value, given, put
from .secret import SecretStr

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, ClassVar

BOOLEAN_WORDS = {
    "true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False,
}  # fmt: skip


class Setting:
    """What is known of one setting.

    Args:
        kind: "boolean", "whole number", "number", "seconds", "MiB", "octal mode", "choice", "path", "text", "UUID" or
            "secrets".
        default: The value where nothing is said.
        help_text: One sentence.
        minimum: The least; for a mode the bits that must be set.
        maximum: The most; None = no bound.
        above: The minimum itself is not allowed.
        words: Of a choice.
        secret: Its value is never shown.
        fallback_variable: A variable without the prefix that is read when the other is not set.

    Attributes:
        inert: Nothing acts on it; see `without_effect`.
    """

    def __init__(
        self,
        kind: str,
        default: Any,
        help_text: str,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        above: bool = False,
        words: tuple[str, ...] = (),
        secret: bool = False,
        fallback_variable: str | None = None,
    ) -> None:
        self.kind = kind
        self.default = default
        self.help = help_text
        self.minimum = minimum
        self.maximum = maximum
        self.above = above
        self.words = words
        self.secret = secret
        self.fallback_variable = fallback_variable
        self.inert = False

    @property
    def optional(self) -> bool:
        """None is allowed, and means: not set."""
        return self.default is None

    @property
    def range(self) -> str:
        """What is allowed, as in the documentation."""
        if self.kind == "boolean":
            return ", ".join(BOOLEAN_WORDS)
        if self.kind == "octal mode":
            return f"with 0{int(self.minimum or 0):o} in it and no write for group or others"
        if self.kind == "choice":
            return ", ".join(self.words)
        return range_text(self.minimum, self.maximum, above=self.above)

    @property
    def expected(self) -> str:
        """What may be written, for the refusal of something else."""
        forms = {
            "boolean": "one of ", "choice": "one of ", "octal mode": "an octal mode ", "seconds": "seconds, ",
            "MiB": "a whole number of MiB, ", "whole number": "a whole number, ", "number": "a number, ",
        }  # fmt: skip
        return forms.get(self.kind, f"a {self.kind}") + self.range


# These are typed as what they stand for: a class of settings shows type checkers fields with defaults.


def boolean(default: bool, help_text: str) -> Any:
    """True or False."""
    return Setting("boolean", default, help_text)


def whole(default: int | None, minimum: int, maximum: int | None, help_text: str, *, kind: str = "whole number") -> Any:
    """An int."""
    return Setting(kind, default, help_text, minimum=minimum, maximum=maximum)


def mebibytes(default: int | None, minimum: int, maximum: int | None, help_text: str) -> Any:
    """An int, in MiB."""
    return whole(default, minimum, maximum, help_text, kind="MiB")


def seconds(default: float, minimum: float, maximum: float | None, help_text: str, *, above: bool = False) -> Any:
    """An int or float, in seconds."""
    return Setting("seconds", default, help_text, minimum=minimum, maximum=maximum, above=above)


def number(default: float, minimum: float, maximum: float, help_text: str) -> Any:
    """An int or float."""
    return Setting("number", default, help_text, minimum=minimum, maximum=maximum)


def mode(default: int, needed: int, help_text: str) -> Any:
    """Permissions."""
    return Setting("octal mode", default, help_text, minimum=needed)


def choice(default: str, words: tuple[str, ...], help_text: str) -> Any:
    """One of some words."""
    return Setting("choice", default, help_text, words=words)


def text(default: str | None, help_text: str, *, kind: str = "text", fallback_variable: str | None = None) -> Any:
    """A str; also for paths and UUIDs."""
    return Setting(kind, default, help_text, fallback_variable=fallback_variable)


def secret(help_text: str) -> Any:
    """A `SecretStr`."""
    return Setting("text", None, help_text, secret=True)


def secrets(help_text: str) -> Any:
    """A tuple of `SecretStr`; in the environment with commas between them."""
    return Setting("secrets", (), help_text, secret=True)


def without_effect(setting: Any) -> Any:
    """A setting that is known and checked, and that nothing acts on: code that gives another value than the default is
    refused. The environment, which other programs may share, is told instead; see `set_without_effect`."""
    setting.inert = True
    setting.help += " Nothing in this version acts on it: it can only be given its default."
    return setting


# ---- texts of the environment ---------------------------------------------------------------------------------


def _digits(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 4000


def _read_decimal(value: str) -> float | None:
    whole_part, point, fraction = value.partition(".")
    if not _digits(whole_part) or (point and not _digits(fraction)):
        return None
    result = float(value)
    return int(result) if result == int(result) else result


def _read_mode(value: str) -> int | None:
    digits = value[2:] if value[:2].lower() == "0o" and len(value) > 2 else value
    return int(digits, 8) if _digits(digits) and not set(digits) & {"8", "9"} and len(digits) <= 6 else None


def parse(setting: Setting, value: str) -> Any:
    """What a variable says, in the type of the setting; None when it is not of that type. The range is not looked at.
    Blanks, signs and exponents are refused, but for blanks around secrets."""
    if setting.kind == "boolean":
        return BOOLEAN_WORDS.get(value.lower())
    if setting.kind in ("whole number", "MiB"):
        return int(value) if _digits(value) else None
    if setting.kind in ("seconds", "number"):
        return _read_decimal(value)
    if setting.kind == "octal mode":
        return _read_mode(value)
    if setting.kind == "choice":
        return value.lower() if value.lower() in setting.words else None
    if setting.kind == "secrets":
        return tuple(SecretStr(part.strip()) for part in value.split(",") if part.strip())
    return value.strip() if setting.secret else value  # a line end that came along is no part of a key


def _shown(setting: Setting, value: str) -> str:
    if setting.secret or "@" in value:
        return MASK
    printable = "".join(c if c.isprintable() and c.isascii() else "?" for c in value)
    return printable if len(printable) <= 40 else printable[:37] + "..."


# ---- classes of settings --------------------------------------------------------------------------------------


class Settings(Value):
    """The base of classes whose fields come from keywords, else from the environment, else from their defaults."""

    _prefix: ClassVar[str] = "CACHEKIT_"
    _settings: ClassVar[Mapping[str, Setting]] = {}
    _sources: ClassVar[Mapping[str, str]] = {}
    """Of an object: for each field "argument", the variable that it came from, or "default"."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {name: cls.__dict__[name] for name in cls._fields if isinstance(cls.__dict__.get(name), Setting)}
        cls._settings = {**cls._settings, **own}
        for name, setting in own.items():
            setattr(cls, name, setting.default)

    def __post_init__(self) -> None:
        sources: dict[str, str] = {}
        for name, setting in self._settings.items():
            sources[name] = "argument"
            if name not in given(self):
                sources[name], value = self._look_up(name, setting)
                put(self, name, value)
            self._check(name, setting, sources[name])
        put(self, "_sources", sources)
        self.validate()

    def validate(self) -> None:
        """Checks what must fit together; done by itself when the object is made."""

    @classmethod
    def _look_up(cls, name: str, setting: Setting) -> tuple[str, Any]:
        """The variable that says something and what it says; or "default" and that."""
        for variable in (cls._prefix + name.upper(), setting.fallback_variable):
            value = os.environ.get(variable, "") if variable is not None else ""
            if value and variable is not None:  # an empty variable counts as not set
                parsed = parse(setting, value)
                if parsed is None:
                    raise ConfigurationError(f"{variable}={_shown(setting, value)}: expected {setting.expected}")
                return variable, parsed
        return "default", setting.default

    def _check(self, name: str, setting: Setting, source: str) -> None:
        value = getattr(self, name)
        if value is not None or not setting.optional:
            label = f"{type(self).__name__}.{name}" if source in ("argument", "default") else source
            checked = _CHECKS[setting.kind](label, setting, value)
            if checked is not value:
                put(self, name, checked)
        if setting.inert and source == "argument":
            self._refuse_effect(name, setting)

    def _refuse_effect(self, name: str, setting: Setting) -> None:
        """A copy of settings may hold what the environment says."""
        value = getattr(self, name)
        if value != setting.default and value != self._look_up(name, setting)[1]:
            raise UnsupportedError(
                f"{type(self).__name__}.{name}={show(value)}: nothing in this version acts on {name}, so it can only be "
                f"{_default_text(setting)}; leave it out"
            )

    def set_without_effect(self) -> list[str]:
        """The variables of the environment that say something that nothing acts on."""
        return [
            self._sources[name]
            for name, setting in self._settings.items()
            if setting.inert
            and self._sources[name] not in ("argument", "default")
            and getattr(self, name) != setting.default
        ]

    def _describe(self, name: str) -> str:
        """``"CACHEKIT_TTL_MIN=30"``, or how to change it when nobody set it."""
        source, value = self._sources[name], getattr(self, name)
        variable = self._prefix + name.upper()
        if source == "argument":
            return f"{name}={value}"
        return f"{name}={value} (the default; {variable} sets it)" if source == "default" else f"{source}={value}"

    def _named(self, name: str) -> str:
        """By what whoever set it knows it."""
        source = self._sources[name]
        return name if source == "argument" else source

    def source(self, name: str) -> str:
        """Where a field comes from: ``"argument"``, the name of the variable, or ``"default"``."""
        return self._sources[name]

    def to_dict(self) -> dict[str, Any]:
        """All fields. Secrets that are set are ``********``, credentials in URLs too."""
        return {name: _safe(setting, getattr(self, name)) for name, setting in self._settings.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Secrets do not travel: the process that unpickles takes them from its own environment, and with them what only
        the environment may say."""
        fields: dict[str, Any] = {}
        for name, setting in self._settings.items():
            value = getattr(self, name)
            if not setting.secret and not setting.inert and _safe(setting, value) == value:
                fields[name] = value
        return _rebuild, (type(self), fields)


def _rebuild(cls: type[Settings], fields: dict[str, Any]) -> Settings:
    return cls(**fields)


def describe_settings(cls: type[Settings]) -> list[dict[str, Any]]:
    """The table of a class of settings: name, variable, type, default, range, help, secret."""
    return [
        {
            "name": name,
            "variable": cls._prefix + name.upper(),  # pyright: ignore[reportPrivateUsage]
            "type": setting.kind,
            "default": _default_text(setting),
            "range": setting.range,
            "help": setting.help,
            "secret": setting.secret,
        }
        for name, setting in cls._settings.items()  # pyright: ignore[reportPrivateUsage]
    ]


def _default_text(setting: Setting) -> str:
    default = setting.default
    if default is None or default == ():
        return "not set"
    if setting.kind == "octal mode":
        return f"{default:04o}"
    return str(default).lower() if isinstance(default, bool) else str(default)


def _safe(setting: Setting, value: Any) -> Any:
    if setting.kind == "secrets":
        return [MASK] * len(value)
    if setting.secret and value is not None:
        return MASK
    if isinstance(value, str) and "@" in value:
        scheme, separator, rest = value.partition("://")
        value = scheme + separator + MASK + "@" + rest.rpartition("@")[2] if separator else MASK
    if isinstance(value, str) and "password=" in value:
        parameters = (part.partition("password=") for part in value.split("&"))
        value = "&".join(before + name + (MASK if name else after) for before, name, after in parameters)
    return value


def _check_mode(label: str, setting: Setting, value: Any) -> int:
    needed = int(setting.minimum or 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise refuse_type(label, setting.expected, value)
    if value < 0 or value > 0o777 or value & needed != needed or value & 0o022:
        raise ConfigurationError(f"{label}={value:04o}: expected {setting.expected}")
    return value


def _check_plain_text(label: str, setting: Setting, value: Any) -> Any:
    if not setting.secret:
        return check_text(label, value)
    held = value if isinstance(value, SecretStr) else SecretStr(check_text(label, value))
    return held if len(held) > 0 else None


def _check_secrets(label: str, setting: Setting, value: Any) -> tuple[SecretStr, ...]:
    if isinstance(value, str):
        return parse(setting, value)
    if not isinstance(value, (tuple, list)):
        raise refuse_type(label, "a list of texts, or one text with commas between them", value)
    parts: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
    return tuple(part if isinstance(part, SecretStr) else SecretStr(check_text(label, part)) for part in parts)


def _check_whole(label: str, setting: Setting, value: Any) -> int:
    maximum = None if setting.maximum is None else int(setting.maximum)
    return check_whole(
        label, value, int(setting.minimum or 0), maximum, unit=" of MiB" if setting.kind == "MiB" else ""
    )


def _check_number(label: str, setting: Setting, value: Any) -> float:
    unit = "seconds" if setting.kind == "seconds" else ""
    return check_number(label, value, setting.minimum or 0, setting.maximum, above=setting.above, unit=unit)


def _check_path(label: str, setting: Setting, value: Any) -> Any:
    from pathlib import Path

    if not isinstance(value, str) and not hasattr(value, "__fspath__"):
        raise refuse_type(label, "a path", value)
    path: Any = os.fspath(value)
    if not isinstance(path, str):
        raise refuse_type(label, "a path that is text", path)
    if not path or len(os.fsencode(path)) > 4095 or "\0" in path:
        raise ConfigurationError(f"{label}: expected a path of 1 to 4095 bytes without a zero character")
    return Path(path)


_CHECKS: dict[str, Callable[[str, Setting, Any], Any]] = {
    "boolean": lambda label, _, value: check_bool(label, value),
    "whole number": _check_whole,
    "MiB": _check_whole,
    "seconds": _check_number,
    "number": _check_number,
    "octal mode": _check_mode,
    "choice": lambda label, setting, value: check_choice(label, value, setting.words),
    "path": _check_path,
    "text": _check_plain_text,
    "UUID": _check_plain_text,
    "secrets": _check_secrets,
}
