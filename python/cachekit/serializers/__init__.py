"""Serializers: what turns the result of a function into bytes and back.

By name, ``@cache(serializer="auto")``, or as an object, ``@cache(serializer=ArrowSerializer(return_format="polars"))``:

========  =====================  ====================================================================================
Name      Class                  For
========  =====================  ====================================================================================
default   StandardSerializer     plain values that every language reads; also named std
auto      AutoSerializer         Python's own types: tuples, sets, UUIDs, NumPy arrays, pandas frames; also pythonic
orjson    OrjsonSerializer       JSON
arrow     ArrowSerializer        tables: pandas, polars, Arrow
(none)    PickleSerializer       anything that can be pickled, signed
========  =====================  ====================================================================================

An object of your own needs the two methods of `SerializerProtocol`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cachekit.errors import SerializationError

if TYPE_CHECKING:
    from cachekit.serializers.arrow_serializer import ArrowSerializer
    from cachekit.serializers.auto_serializer import AutoSerializer
    from cachekit.serializers.base import SerializationFormat, SerializationMetadata, SerializerProtocol
    from cachekit.serializers.encryption_wrapper import EncryptionWrapper
    from cachekit.serializers.orjson_serializer import OrjsonSerializer
    from cachekit.serializers.pickle_serializer import PickleSerializer
    from cachekit.serializers.registry import (
        SERIALIZER_NAMES,
        ResolvedSerializer,
        get_available_serializers,
        get_serializer,
        resolve_serializer,
    )
    from cachekit.serializers.standard_serializer import DefaultSerializer, StandardSerializer
    from cachekit.serializers.stored import dump_stored, load_stored

__all__ = [
    "SERIALIZER_NAMES",
    "ArrowSerializer",
    "AutoSerializer",
    "DefaultSerializer",
    "EncryptionWrapper",
    "OrjsonSerializer",
    "PickleSerializer",
    "ResolvedSerializer",
    "SerializationError",
    "SerializationFormat",
    "SerializationMetadata",
    "SerializerProtocol",
    "StandardSerializer",
    "dump_stored",
    "get_available_serializers",
    "get_serializer",
    "load_stored",
    "resolve_serializer",
]

# Most programs use one serializer; the modules of the others are not imported.
_MODULES: dict[str, str] = {
    "ArrowSerializer": "arrow_serializer",
    "AutoSerializer": "auto_serializer",
    "SerializationFormat": "base",
    "SerializationMetadata": "base",
    "SerializerProtocol": "base",
    "EncryptionWrapper": "encryption_wrapper",
    "OrjsonSerializer": "orjson_serializer",
    "PickleSerializer": "pickle_serializer",
    "ResolvedSerializer": "registry",
    "SERIALIZER_NAMES": "registry",
    "get_available_serializers": "registry",
    "get_serializer": "registry",
    "resolve_serializer": "registry",
    "DefaultSerializer": "standard_serializer",
    "StandardSerializer": "standard_serializer",
    "dump_stored": "stored",
    "load_stored": "stored",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
