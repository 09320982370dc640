"""Serializers by name."""

from __future__ import annotations

import importlib
import threading
from typing import NamedTuple

from cachekit.errors import ConfigurationError
from cachekit.serializers.base import SerializerProtocol, type_name

SERIALIZER_NAMES: dict[str, str] = {
    "default": "default",
    "std": "default",
    "standard": "default",
    "auto": "auto",
    "pythonic": "auto",
    "orjson": "orjson",
    "arrow": "arrow",
}
"""Every name that can be given, and the name that is stored with values."""

# Imported when they are first asked for: most programs use one of them.
_CLASSES: dict[str, tuple[str, str]] = {
    "default": ("cachekit.serializers.standard_serializer", "StandardSerializer"),
    "auto": ("cachekit.serializers.auto_serializer", "AutoSerializer"),
    "orjson": ("cachekit.serializers.orjson_serializer", "OrjsonSerializer"),
    "arrow": ("cachekit.serializers.arrow_serializer", "ArrowSerializer"),
}

_made: dict[tuple[str, bool], SerializerProtocol] = {}
_made_lock = threading.Lock()


class ResolvedSerializer(NamedTuple):
    """A serializer and the name that is stored with its values."""

    serializer: SerializerProtocol
    name: str


def _unknown(name: str) -> ConfigurationError:
    if name == "pickle":
        return ConfigurationError(
            'serializer="pickle" is refused: unpickling runs code, and whoever can write to the store would choose it. '
            'Use serializer="auto" for Python types, or PickleSerializer(signing_key=...), which checks a signature first.'
        )
    if name in ("encrypted", "encryption"):
        return ConfigurationError(f"serializer={name!r}: encryption is no serializer, say encryption=True or @cache.secure")
    import difflib

    near = difflib.get_close_matches(name, SERIALIZER_NAMES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigurationError(f"unknown serializer {name!r}: it is one of {', '.join(SERIALIZER_NAMES)}{hint}")


def _by_name(name: str, integrity_checking: bool) -> SerializerProtocol:
    canonical = SERIALIZER_NAMES.get(name)
    if canonical is None:
        raise _unknown(name)
    with _made_lock:
        serializer = _made.get((canonical, integrity_checking))
        if serializer is None:
            module, kind = _CLASSES[canonical]
            serializer = getattr(importlib.import_module(module), kind)(integrity_checking=integrity_checking)
            _made[canonical, integrity_checking] = serializer
        return serializer


def resolve_serializer(serializer: object = "default", *, integrity_checking: bool = True) -> ResolvedSerializer:
    """The serializer that a name or an object stands for, and the name that is stored with its values.

    Named ones are made once for each name and `integrity_checking`, and shared; an object is used as it is, whatever
    `integrity_checking` says, and its class' name is stored.

    Raises:
        ConfigurationError: An unknown name, or ``"pickle"``.
        TypeError: An object without the methods of SerializerProtocol.
        ImportError: The package that the serializer needs is not installed; the message names the extra.
    """
    if isinstance(serializer, str):
        return ResolvedSerializer(_by_name(serializer, integrity_checking), SERIALIZER_NAMES[serializer])
    if isinstance(serializer, type):
        raise TypeError(
            f"serializer={serializer.__name__} is a class: give an instance, serializer={serializer.__name__}(...)"
        )
    if not isinstance(serializer, SerializerProtocol):
        raise TypeError(
            f"a serializer is a name or an object with the methods serialize(obj) and deserialize(data, metadata); "
            f"{type_name(serializer)} has not both"
        )
    return ResolvedSerializer(serializer, type(serializer).__name__)


def get_serializer(serializer: object = "default", *, integrity_checking: bool = True) -> SerializerProtocol:
    """The serializer that a name or an object stands for; see `resolve_serializer`."""
    return resolve_serializer(serializer, integrity_checking=integrity_checking).serializer


def get_available_serializers() -> dict[str, bool]:
    """Every name that can be given, and whether what it needs is installed."""
    available: dict[str, bool] = {}
    for name in SERIALIZER_NAMES:
        try:
            get_serializer(name)
            available[name] = True
        except ImportError:
            available[name] = False
    return available
