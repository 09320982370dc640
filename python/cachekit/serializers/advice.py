"""What to do instead, for values that a serializer does not take."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import uuid
from collections.abc import Callable, Iterator, Mapping

from cachekit.serializers.base import type_name

_AUTO = 'use serializer="auto", which keeps the type (Python only)'

_NUMPY_SCALAR = "store value.item()"

# By the package that a type comes from, and its name; None: any other of the package.
_PACKAGES: dict[str, dict[str | None, str]] = {
    "numpy": {
        "ndarray": f"{_AUTO}, or store value.tolist()",
        "MaskedArray": "store value.data and value.mask, or value.tolist()",
        None: _NUMPY_SCALAR,
    },
    "pandas": {
        "DataFrame": 'use serializer="arrow"',
        "Series": 'use serializer="arrow" with value.to_frame(), serializer="auto", or store value.tolist()',
        "Timestamp": "store value.to_pydatetime() (nanoseconds are lost) or value.isoformat()",
        "NaTType": "store None",
        "NAType": "store None",
        None: "store plain Python values, e.g. value.tolist()",
    },
    "polars": {
        "DataFrame": 'use serializer=ArrowSerializer(return_format="polars")',
        "LazyFrame": 'store value.collect() with serializer=ArrowSerializer(return_format="polars")',
        None: "store value.to_list()",
    },
    "pyarrow": {
        "Table": 'use serializer=ArrowSerializer(return_format="arrow")',
        "RecordBatch": 'use serializer=ArrowSerializer(return_format="arrow")',
        None: "store value.to_pylist() or value.as_py()",
    },
}

_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (uuid.UUID, f"{_AUTO}, or store str(value)"),
    ((set, frozenset), f"{_AUTO}, or store sorted(value)"),
    (decimal.Decimal, "store str(value) and make it Decimal(text) again, or store an integer of the smallest unit"),
    (fractions.Fraction, "store [value.numerator, value.denominator]"),
    (complex, "store [value.real, value.imag]"),
    (enum.Enum, "store value.value and make it the class again"),
    (datetime.datetime, "store value.isoformat()"),
    (datetime.timedelta, "store value.total_seconds()"),
    (datetime.tzinfo, "store the zone's name"),
    (pathlib.PurePath, "store str(value)"),
    (range, "store list(value)"),
    (BaseException, "an exception is not a value; raise it instead of returning it"),
    (Mapping, "store dict(value)"),
    (type, "store its name"),
)


def _package_advice(kind: type) -> str | None:
    other = None
    for base in kind.__mro__:
        known = _PACKAGES.get(base.__module__.partition(".")[0])
        if known is not None and base.__name__ in known:
            return known[base.__name__]
        if known is not None and other is None:
            other = known[None]
    return other


def _model_advice(kind: type) -> str | None:
    """For models of several libraries, told by what their classes have."""
    if hasattr(kind, "model_dump"):
        return "store value.model_dump(mode='json') and make it the model again"
    if hasattr(kind, "__pydantic_fields__") or hasattr(kind, "__fields__"):
        return "store value.dict() and make it the model again"
    if hasattr(kind, "__table__") or hasattr(kind, "_sa_class_manager"):
        return "an ORM object belongs to its session: store a dict of the columns you need"
    if hasattr(kind, "_meta") and hasattr(kind, "objects"):
        return "store a dict of the fields you need, e.g. django.forms.models.model_to_dict(value)"
    if hasattr(kind, "__attrs_attrs__"):
        return "store attrs.asdict(value)"
    if hasattr(kind, "__struct_fields__"):
        return "store msgspec.to_builtins(value)"
    if dataclasses.is_dataclass(kind):
        return 'store dataclasses.asdict(value), or use serializer="orjson" (it comes back as a dict)'
    return None


def _lazy_advice(value: object) -> str | None:
    if hasattr(type(value), "__await__"):
        return "an awaitable can be awaited once: await it and return its result"
    if isinstance(value, Iterator) or hasattr(type(value), "__anext__"):
        return "a generator or iterator can be read once: store list(value)"
    return "a function is not a value" if isinstance(value, Callable) else None


def value_advice(value: object) -> str:
    """The text of the TypeError for a value that no document of the standard serializer holds."""
    kind = type(value)
    advice = _package_advice(kind)
    if advice is None:
        advice = next((text for types, text in _TYPES if isinstance(value, types)), None)
    if advice is None:
        advice = _model_advice(kind) or _lazy_advice(value)
    if advice is None:
        advice = "store a dict of what it holds, or give a serializer object of your own"
    return f"a value of type {type_name(value)} cannot be stored: {advice}."
