"""Decorated functions, run with one package and then with the other: `functions.py URL environment|explicit`. Prints one JSON object: for
each case whether the function was computed and whether the result was what it returns. Both packages are called
cachekit; which one it is, the interpreter decides."""

from __future__ import annotations

import datetime
import decimal
import enum
import importlib.util
import json
import logging
import os
import pathlib
import sys
import uuid

URL, WHERE = sys.argv[1:]
os.environ["CACHEKIT_REDIS_URL"] = URL
# What both read: a busy machine is not taken for a silent server.
os.environ["CACHEKIT_SOCKET_TIMEOUT"] = os.environ["CACHEKIT_SOCKET_CONNECT_TIMEOUT"] = "30"

from cachekit import cache  # noqa: E402
from cachekit.backends.redis import RedisBackend  # noqa: E402

logging.basicConfig(level=logging.ERROR)
DOCUMENT = {
    "none": None, "true": True, "int": -(2**40), "big": 2**63, "float": 1.5, "text": "Ünïcode-键", "bytes": b"\x00\xff",
    "list": [1, [2, []]], "map": {"a": {"b": 1}}, "empty": {}, "long": "x" * 5000,
}  # fmt: skip
JSON_DOCUMENT = {name: value for name, value in DOCUMENT.items() if name not in ("bytes", "big")}
MOMENTS = {
    "moment": datetime.datetime(2026, 1, 31, 12, 30, 15, 250000, datetime.timezone.utc),
    "naive": datetime.datetime(2026, 1, 31, 12, 30),
    "day": datetime.date(2026, 1, 31),
    "time": datetime.time(23, 59, 58),
}
SEALED = {
    "encryption": True,
    "master_key": "0123456789abcdef" * 4,
    "single_tenant_mode": True,
    "deployment_uuid": "01234567-89ab-4def-8123-456789abcdef",
}
ran: list[str] = []


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


def frame():
    import pandas

    return pandas.DataFrame({"id": [1, 2, 3], "name": ["Alice", "Bob", None], "score": [0.5, float("nan"), 2.5]})


def numbers():
    import numpy

    return numpy.arange(1000, dtype=numpy.float64).reshape(10, 100)


# name: keywords of the decorator, the arguments of the call, what it returns (or makes it), modules that it needs
CASES = {
    "plain": ({}, ((1,), {}), DOCUMENT, []),
    "moments": ({}, ((), {}), MOMENTS, []),
    "none": ({}, ((), {}), None, []),
    "arguments": (
        {}, ((1, "two", 3.5, None, True, b"six", [7, (8,)], {"nine": 10}), {"b": 1, "a": {"y": 1, "x": 2}}), "a", [],
    ),
    "dates": ({}, ((MOMENTS["moment"],), {}), [1], []),
    "namespaced": ({"namespace": "reports"}, (("x",), {}), DOCUMENT, []),
    "keyed": ({"key": lambda number: f"item:{number}"}, ((5,), {}), DOCUMENT, []),
    "keyed_in_namespace": ({"key": lambda number: f"item:{number}", "namespace": "n"}, ((5,), {}), [5], []),
    "unchecked": ({"integrity_checking": False}, ((1,), {}), DOCUMENT, []),
    "orjson": ({"serializer": "orjson"}, ((1,), {}), JSON_DOCUMENT, ["orjson"]),
    "orjson_unchecked": ({"serializer": "orjson", "integrity_checking": False}, ((1,), {}), JSON_DOCUMENT, ["orjson"]),
    "auto": ({"serializer": "auto"}, ((1,), {}), DOCUMENT, []),
    "auto_moments": ({"serializer": "auto"}, ((1,), {}), MOMENTS, []),
    "auto_frame": ({"serializer": "auto"}, ((1,), {}), frame, ["pandas", "numpy"]),
    "auto_array": ({"serializer": "auto"}, ((1,), {}), numbers, ["numpy"]),
    "arrow": ({"serializer": "arrow"}, ((1,), {}), frame, ["pandas", "pyarrow"]),
    "arrow_unchecked": (
        {"serializer": "arrow", "integrity_checking": False}, ((1,), {}), frame, ["pandas", "pyarrow"],
    ),
    "without_memory": ({"l1_enabled": False}, ((1,), {}), DOCUMENT, []),
    "interop": ({"interop": "plain", "namespace": "shared"}, ((1,), {}), DOCUMENT, []),
    "interop_arguments": (
        {"interop": "arguments", "namespace": "shared"},
        (
            (1, "two", 3.5, 4.0, -0.0, 1e300, 2**64 - 1, -(2**63), None, True, b"six", [7, (8,)], {"\uff61": 1, "\U00010000": 2},
             {3, 1.5, "x", 3.0}, MOMENTS["moment"], uuid.UUID(int=2**127 + 5), decimal.Decimal("1.50"), pathlib.PurePosixPath("a/b"),
             Color.RED, Number.ONE),
            {"b": 1, "a": {"y": 1, "x": 2.0}},
        ),
        [1], [],
    ),
    "interop_moments": ({"interop": "moments", "namespace": "shared"}, ((), {}), MOMENTS, []),
    "sealed": (SEALED, ((1, "two"), {"three": 3}), DOCUMENT, []),
    "sealed_moments": (SEALED, ((), {}), MOMENTS, []),
    "sealed_in_a_namespace": ({**SEALED, "namespace": "sealed", "key": lambda number: f"n{number}"}, ((7,), {}), "seven", []),
    "sealed_orjson": ({**SEALED, "serializer": "orjson"}, ((), {}), JSON_DOCUMENT, ["orjson"]),
    "sealed_arrow": ({**SEALED, "serializer": "arrow"}, ((), {}), frame, ["pandas", "pyarrow"]),
    "sealed_interop": ({**SEALED, "interop": "sealed", "namespace": "shared"}, ((1,), {}), {"a": [1, 2.5, None]}, []),
    "interop_none": ({"interop": "none.v-1", "namespace": "0"}, ((), {}), None, []),
}  # fmt: skip


def expected(result):
    return result() if callable(result) else result


def same(one, other) -> bool:
    if type(one).__name__ != type(other).__name__:
        return False
    if hasattr(one, "equals"):
        return bool(one.equals(other))
    if hasattr(one, "shape"):
        return bool((one == other).all())
    return one == other


def patience() -> dict[str, object]:
    """Here an operation has a tenth of a second at least, which is too little on a machine that is busy; the other package
    has no such limit."""
    try:
        from cachekit.config.nested import BackpressureConfig, TimeoutConfig
    except ImportError:
        return {}
    return {"timeout": TimeoutConfig(initial=10, min=10), "backpressure": BackpressureConfig(timeout=10)}


def make(name, keywords, result, backend):
    def function(*args, **kwargs):
        ran.append(name)
        return expected(result)

    function.__module__, function.__qualname__, function.__name__ = "interchange", name, name
    keywords = dict(keywords)
    if "l1_enabled" in keywords:
        from cachekit.config.nested import L1CacheConfig

        keywords["l1"] = L1CacheConfig(enabled=keywords.pop("l1_enabled"))
    return cache(ttl=600, **patience(), **backend, **keywords)(function)


def main() -> None:
    answers = {}
    backend = {} if WHERE == "environment" else {"backend": RedisBackend(URL)}
    for name, (keywords, (args, kwargs), result, needs) in CASES.items():
        if "interop" in keywords and WHERE == "environment":  # where keys are a tenant's, which both refuse
            continue
        if any(importlib.util.find_spec(module) is None for module in needs):
            continue
        ran.clear()
        try:
            answer = make(name, keywords, result, backend)(*args, **kwargs)
            answers[name] = {"computed": bool(ran), "right": same(answer, expected(result))}
        except Exception as error:  # told, not raised: the other cases are of interest too
            answers[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(answers))


main()
