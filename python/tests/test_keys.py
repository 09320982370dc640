"""Keys: those of the released package, what stands in them, and how long ones are cut."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from cachekit import _core
from packing import UTC, Colour

SHARED_KEYS = [
    (("test", "__main__.get_user", (42,), {}), "3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153"),
    (("test", "__main__.get_user", ("hello",), {}), "07ed6e7b87ff98f70efe4f4a8f082fa79415b9f670be68f3ada1f42244b5b6de"),
    (
        ("test", "__main__.process", (1, "two", 3.0), {}),
        "465e6bc8edd493c64748a0c405106db14d2bb481989bf1849481f1343982e179",
    ),
    (
        ("test", "__main__.get_user", (), {"user_id": 42, "include_profile": True}),
        "14570849f0d99524f4149319d37fa0c298278b8f1724c12d6cb7631efaf86f0e",
    ),
    (
        ("test", "__main__.get_user", ("alice",), {"age": 30}),
        "573b0961d0bf4e7207c6628a3f9e42c97a0cd01e276d8904ec5af6c877cd599e",
    ),
    ((None, "__main__.get_user", (1,), {}), "386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387"),
    (("test", "__main__.get_user", (), {}), "f9cf3864b6e929eb73f84cf6d69409e0bd7575f8cf6feafe3a543b0f7267b2b2"),
    (("test", "__main__.get_user", (None,), {}), "073b96f1817ee2b2a26b6cee56401999e4dc2d8836d596927d0aad3e338c2f0b"),
    (
        ("test", "__main__.process", (True, False), {}),
        "982385ac5333a35e2d5d68638aafe47ba31d36c1f3cd60d0ed57396e3c638334",
    ),
    (
        ("test", "__main__.get_user", ({"user": {"name": "alice", "ids": [1, 2, 3]}},), {}),
        "14a3433f54d70b4cc452c3a140f8c3a0979acb3dc2baf7238dc4e6675265f3a8",
    ),
]


@pytest.mark.parametrize(("call", "digest"), SHARED_KEYS)
def test_keys_are_those_of_the_released_package(
    call: tuple[str | None, str, tuple[object, ...], dict[str, object]], digest: str
) -> None:
    namespace, function, args, kwargs = call
    begin = "" if namespace is None else f"ns:{namespace}:"
    assert _core.cache_key(function, args, kwargs, namespace, True) == f"{begin}func:{function}:args:{digest}:1s"


ONE_HASH = "386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387"

HASHES = [
    ("int", (1,), {}, "92910180", ONE_HASH),
    ("bool", (True,), {}, "9291c380", "cdd804906f061aafdf1289d1569720abd6b350c130827075ba879484be622dc2"),
    (
        "float",
        (1.0,),
        {},
        "9291cb3ff000000000000080",
        "556cdfebd724e0c768fede27d94b085788417768737d81b6e7f420eb3cb2d377",
    ),
    (
        "negative zero",
        (-0.0,),
        {},
        "9291cb000000000000000080",
        "57e581573a3719cb3e2432629bfe26453b890caa20742235d938577f3db690b2",
    ),
    (
        "nan",
        (math.nan,),
        {},
        "9291cb7ff800000000000080",
        "a77ae183d4749ff1c4e56eb098d1d8f7088cc5e32177d619b35c690d0404d97c",
    ),
    (
        "infinity",
        (math.inf,),
        {},
        "9291cb7ff000000000000080",
        "1b5888c2924c05ee8145dc8b5a59b300690cfc9a8ce7d7b99f133edff12dac2d",
    ),
    (
        "largest int",
        (2**64 - 1,),
        {},
        "9291cfffffffffffffffff80",
        "d3dbd84c0cba45a40321caf560c1d09a3c39eaec1db9fe439c1495d4f82268cb",
    ),
    (
        "smallest int",
        (-(2**63),),
        {},
        "9291d3800000000000000080",
        "24591267e48fa62e3ae5e721707edcd7eb108d3ef4e6d132dceaddeba2dd618f",
    ),
    ("bytes", (b"\x00\xff",), {}, "9291c40200ff80", "b78fe76e759471f781995ca46c554c94eed00e9a78411c65c9306ed8a12f69e9"),
    ("tuple", ((1, 2),), {}, "929192010280", "352981e4f16454ea26cd3639194f779edd168e073b0c7de3656784862b09ec4b"),
    (
        "dict",
        ({"b": 1, "a": 2},),
        {},
        "929182a16102a1620180",
        "b1d780c40a2d4b98cbede5e2e3bfd105654c17c1bf156de72635e66ea57c5600",
    ),
    (
        "int keys",
        ({2: "b", 1: "a"},),
        {},
        "92918201a16102a16280",
        "24b9493ff4de71e1202cca22661ee1bab1a1d8613dcef1a16297a003862b0c6e",
    ),
    (
        "path",
        (Path("/data/cache/foo"),),
        {},
        "9291af2f646174612f63616368652f666f6f80",
        "ff361634807292d76f91adaa9ded7a02f3b9d6952dbfc457de18d5274e03c6e8",
    ),
    (
        "uuid",
        (UUID("12345678-1234-5678-1234-567812345678"),),
        {},
        "9291d92431323334353637382d313233342d353637382d313233342d35363738313233343536373880",
        "290bd5c785143df818b668a67c6c4ec966a225424242da28a17a27bda8a23e97",
    ),
    (
        "decimal",
        (Decimal("19.99"),),
        {},
        "9291a531392e393980",
        "305759685860f7b2503118629db587793eed3f5ad95d14f7a75625b8219669c8",
    ),
    (
        "decimal with exponent",
        (Decimal("1E+2"),),
        {},
        "9291a431452b3280",
        "5b63942abbc6c929f89a05ca7edf8dfcd292d17dac3b411425913585397fd6d2",
    ),
    ("enum member", (Colour.RED,), {}, "92910180", ONE_HASH),
    (
        "datetime",
        (datetime(2024, 1, 15, 12, tzinfo=UTC),),
        {},
        "9291b9323032342d30312d31355431323a30303a30302b30303a303080",
        "bbe77d06fe938caddec27bf4cc829ee08ef50272e0ec7ec5ab0afbde4cca9f58",
    ),
    (
        "datetime elsewhere",
        (datetime(2024, 1, 1, 18, 0, 45, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30))),),
        {},
        "9291d920323032342d30312d30315431383a30303a34352e3132333435362b30353a333080",
        "cee1ce5318f68545768acecbdf83503e7973bff0263e3103be3fc35dfedce7f3",
    ),
    ("keyword", (), {"x": 1}, "929081a17801", "7f46238fa8a40fb62f6af21461880bcbc9d128de9e41db4c3949d17874a17ca0"),
]


@pytest.mark.parametrize(
    ("args", "kwargs", "data", "digest"), [row[1:] for row in HASHES], ids=[row[0] for row in HASHES]
)
def test_every_type_is_hashed_as_the_released_package_does(
    args: tuple[object, ...], kwargs: dict[str, object], data: str, digest: str
) -> None:
    assert _core.pack_args(args, kwargs).hex() == data
    assert hashlib.blake2b(bytes.fromhex(data), digest_size=32).hexdigest() == digest
    assert _core.cache_key("__main__.f", args, kwargs, "test") == f"ns:test:func:__main__.f:args:{digest}:1s"


LONG_KEYS = [
    ("my app", "__main__.f", f"ns:my_app:func:__main__.f:args:{ONE_HASH}:1s"),
    ("", "__main__.f", f"func:__main__.f:args:{ONE_HASH}:1s"),
    ("test", "app.mod.outer.<locals>.inner", f"ns:test:func:app.mod.outer._locals_.inner:args:{ONE_HASH}:1s"),
    ("test", "app.mod.<lambda>", f"ns:test:func:app.mod._lambda_:args:{ONE_HASH}:1s"),
    ("test", "app.café..x", f"ns:test:func:app.caf_.x:args:{ONE_HASH}:1s"),
    ("a" * 300, "__main__.f", f"ns:{'a' * 47}:16b098d9ac61619fa0e95954981c2683"),
    (None, "m." + "g" * 300, f"func:m.{'g' * 43}:7ccd1dd23ec9f4dee4dae1d550e77e74"),
    ("n" * 165, "m.f", f"ns:{'n' * 165}:func:m.f:args:{ONE_HASH}:1s"),
    ("n" * 166, "m.f", f"ns:{'n' * 47}:f96e984a0dd0444a9d6ac0422ca6ba58"),
]


@pytest.mark.parametrize(("namespace", "function", "key"), LONG_KEYS)
def test_keys_are_cleaned_and_shortened(namespace: str | None, function: str, key: str) -> None:
    assert _core.cache_key(function, (1,), None, namespace) == key


def test_a_key_tells_whether_values_carry_a_checksum() -> None:
    assert _core.cache_key("__main__.f", (1,), integrity=False) == f"func:__main__.f:args:{ONE_HASH}:0s"
    assert _core.cache_key("__main__.f", (1,)) == f"func:__main__.f:args:{ONE_HASH}:1s"


def test_a_key_of_an_empty_function_is_refused() -> None:
    from cachekit.errors import CachekitError

    with pytest.raises(CachekitError):
        _core.cache_key("")


def test_custom_keys_are_taken_as_they_are() -> None:
    assert _core.custom_key(None, "user:42") == "default:user:42"
    assert _core.custom_key("", "user:42") == "default:user:42"
    assert _core.custom_key("users", "a b\n") == "users:a b\n"
    assert _core.custom_key("users", "é" * 400) == "users:" + "é" * 400
    with pytest.raises(TypeError):
        _core.custom_key("users", 42)  # type: ignore[arg-type]


@pytest.mark.parametrize("kwargs", [[], "x", {1: 2}])
def test_wrong_arguments_of_the_functions_themselves_are_type_errors(kwargs: object) -> None:
    with pytest.raises(TypeError):
        _core.pack_args((), kwargs)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.cache_key("m.f", [1])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _core.cache_key()  # type: ignore[call-arg]
