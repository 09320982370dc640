"""Interop mode: keys and values that all languages share."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import enum
import functools
import logging
import pathlib
import time
import uuid
from typing import Any

import pytest

import cachekit
import shelves
from cachekit import InteropError, cache, decode_interop_value, encode_interop_value, generate_interop_key
from cachekit._core import Cache, CachedFunction
from cachekit.backends import RedisBackend
from cachekit.config import DecoratorConfig, EncryptionConfig, L1CacheConfig
from cachekit.errors import ConfigurationError, InteropDecodeError, SerializationError

KEY_OF_42 = "users:get_user:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875"
ALICE = bytes.fromhex("82a36167651ea46e616d65a5616c696365")


class Shelf(shelves.Shelf):
    def __init__(self) -> None:
        super().__init__()
        self.down = False

    def get(self, key: str) -> bytes | None:
        if self.down:
            raise ConnectionError("down")
        return super().get(key)

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        if self.down:
            raise ConnectionError("down")
        super().set(key, value, ttl)


class Tenant:
    def extract(self, args: Any, kwargs: Any) -> str:
        return "a"


def shared(backend: Any, operation: str = "get_user", **options: Any) -> Any:
    return cache(backend=backend, interop=operation, namespace="users", **options)


def hash_of(*args: Any) -> str:
    return generate_interop_key("n", "o", args).rpartition(":")[2]


# ---- keys -----------------------------------------------------------------------------------------------------


def test_the_key_of_a_call_is_the_one_that_all_sdks_make():
    assert generate_interop_key("users", "get_user", [42]) == KEY_OF_42
    assert generate_interop_key("users", "get_user", ()).endswith(":" + hash_of())
    assert hash_of().startswith("8064bf5f")
    assert cachekit.generate_interop_key is generate_interop_key


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (2.0, 2),
        (-0.0, 0),
        (-9223372036854775808.0, -(2**63)),
        (bytearray(b"ab"), b"ab"),
        ((1, (2,)), [1, [2]]),
        ({2, 2.0}, [2]),
        (frozenset([-5, "a", 1.5]), ["a", 1.5, -5]),
        ({"b", 10, "a"}, [10, "a", "b"]),
        ({"b": 1, "a": {"d": 1.0, "c": None}}, {"a": {"c": None, "d": 1}, "b": 1}),
        (uuid.UUID("12345678-1234-5678-1234-56789ABCDEF0"), "12345678-1234-5678-1234-56789abcdef0"),
        (dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), 0x65920080),
        (dt.datetime(2024, 1, 1, 12, 30, 45, 123456, dt.timezone.utc), 1704112245.123456),
        (
            dt.datetime(2024, 1, 1, 18, 0, 45, 123456, dt.timezone(dt.timedelta(hours=5, minutes=30))),
            1704112245.123456,
        ),
        (dt.datetime(1969, 12, 31, 23, 59, 59, 123456, dt.timezone.utc), -0.876544),
        (dt.datetime(1970, 1, 1, 0, 0, 0, 0, dt.timezone(dt.timedelta(seconds=1, microseconds=250000))), -1.25),
        (dt.datetime(1970, 1, 1, 0, 0, 1, 500000, dt.timezone(-dt.timedelta(microseconds=500000))), 2),
        (decimal.Decimal("1.00"), "1.00"),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (enum.Enum("Color", {"RED": "red"}).RED, "red"),
        (enum.IntEnum("Number", {"ONE": 1}).ONE, 1),
        (True, True),
        (2**64 - 1, 2**64 - 1),
        ("\u00e9", "\u00e9"),
    ],
)
def test_arguments_of_all_types_count_as_the_model_says(value: Any, same: Any):
    assert hash_of(value) == hash_of(same)


def test_values_that_differ_in_the_model_have_keys_that_differ():
    values = [None, True, 1, 0, "1", b"1", 1.5, 18446744073709551616.0, [], {}, [1], "\u00e9", "e\u0301"]
    assert len({hash_of(value) for value in values}) == len(values)
    assert generate_interop_key("n", "a-b", ()) != generate_interop_key("n", "a_b", ())


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "not a number"),
        (float("-inf"), "infinite"),
        (2**64, "outside -2\\*\\*63"),
        (-(2**63) - 1, "outside -2\\*\\*63"),
        ({1: 2}, "a key of type 'int'"),
        ([{"a": {None: 1}}], "a key of type 'NoneType'"),
        ("\ud800", "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
        (dt.datetime(2024, 1, 1), "without a time zone"),
        (dt.date(2024, 1, 1), "'datetime.date'.*isoformat"),
        (dt.time(1), "'datetime.time'.*isoformat"),
        (object(), "'object'"),
        (1j, "'complex'"),
        (memoryview(b""), "bytes\\(value\\)"),
    ],
)
def test_arguments_outside_of_the_model_are_refused_with_the_reason(value: Any, why: str):
    with pytest.raises(InteropError, match=why) as caught:
        generate_interop_key("users", "get_user", [value])
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == "E110"


def test_a_list_in_itself_is_refused():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InteropError, match="inside each other"):
        hash_of(endless)


@pytest.mark.parametrize(
    ("namespace", "operation"),
    [("Users", "a"), ("", "a"), ("users", "a:b"), ("users", "a\n"), ("u" * 65, "a"), (None, "a"), ("users", "\ud800"), (".a", "a")],
)
def test_names_that_are_none_are_refused_and_never_repaired(namespace: Any, operation: str):
    with pytest.raises(InteropError, match="namespace|operation"):
        generate_interop_key(namespace, operation, [])


def test_numpy_floats_are_floats_and_its_integers_are_refused():
    numpy = pytest.importorskip("numpy")
    assert hash_of(numpy.float64(1.5)) == hash_of(1.5)
    with pytest.raises(InteropError, match="item"):
        hash_of(numpy.int64(1))


# ---- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "document"),
    [
        ({"name": "alice", "age": 30}, ALICE.hex()),
        (2.0, "cb4000000000000000"),
        ([1, "two", 3.5, None, True], "9501a374776fcb400c000000000000c0c3"),
        (
            dt.datetime(2024, 1, 1, 12, 30, 45, 123456, dt.timezone.utc),
            "82ac5f5f6461746574696d655f5fc3a576616c7565d920" + b"2024-01-01T12:30:45.123456+00:00".hex(),
        ),
        (dt.date(2024, 1, 1), "82a85f5f646174655f5fc3a576616c7565aa" + b"2024-01-01".hex()),
        (dt.time(1, 2, 3), "82a85f5f74696d655f5fc3a576616c7565a8" + b"01:02:03".hex()),
        (b"\x00", "c40100"),
        ({"\uff61": 1, "\U00010000": 2}, "82a3efbda101a4f090808002"),
    ],
)
def test_values_are_written_in_canonical_form_and_come_back(value: Any, document: str):
    assert encode_interop_value(value).hex() == document
    assert decode_interop_value(bytes.fromhex(document)) == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1}, "'set'.*no value that all languages share"),
        (uuid.uuid4(), "'UUID'|'uuid.UUID'"),
        (decimal.Decimal(1), "Decimal"),
        (float("nan"), "not a number"),
        ({1: 2}, "the key of a map is not text"),
        ({b"a": 2}, "the key of a map is not text"),
        (2**64, "outside of -2"),
        (enum.Enum("Color", {"RED": "red"}).RED, "Color"),
        ("\ud800", "surrogate"),
        ({"__date__": True, "value": "2024-01-01"}, "__date__"),
    ],
)
def test_values_outside_of_the_model_are_refused_with_the_reason(value: Any, why: str):
    with pytest.raises(InteropError, match=why) as caught:
        encode_interop_value([value])
    assert caught.value.code == "E020"


def test_any_form_of_a_document_is_read():
    assert decode_interop_value(bytes.fromhex("82a17a01a161ca3f800000")) == {"z": 1, "a": 1.0}
    assert decode_interop_value(bytes.fromhex("d90161")) == "a"
    assert decode_interop_value(memoryview(b"\x81\xc4\x01a\x01")) == {b"a": 1}


@pytest.mark.parametrize("zone", ["Z", "z", "+00:00"])
def test_utc_is_read_however_it_is_written(zone: str):
    text = f"2024-01-01T00:00:00{zone}".encode()
    document = bytes.fromhex("82ac5f5f6461746574696d655f5fc3a576616c7565") + bytes([0xA0 | len(text)]) + text
    assert decode_interop_value(document) == dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    reversed_members = bytes.fromhex("82a576616c7565") + bytes([0xA0 | len(text)]) + text
    assert decode_interop_value(reversed_members + bytes.fromhex("ac5f5f6461746574696d655f5fc3")) == dt.datetime(
        2024, 1, 1, tzinfo=dt.timezone.utc
    )


def test_a_map_is_a_date_only_where_every_sdk_says_so():
    def document(marker: bytes, value: bytes) -> bytes:
        return bytes.fromhex("82a85f5f646174655f5f") + marker + bytes.fromhex("a576616c7565") + value

    assert decode_interop_value(document(b"\xc3", b"\xaa2024-01-01")) == dt.date(2024, 1, 1)
    assert decode_interop_value(document(b"\x01", b"\xaa2024-01-01")) == {"__date__": 1, "value": "2024-01-01"}
    assert decode_interop_value(document(b"\xc3", b"\x05")) == {"__date__": True, "value": 5}


@pytest.mark.parametrize("data", [b"", b"\x01\x01", b"CK\x03", b"\x92\x01", b"\xc1", b"\x81\x01\x01", b"\xd4\x01z"])
def test_bytes_that_are_no_document_are_told(data: bytes):
    with pytest.raises(InteropDecodeError) as caught:
        decode_interop_value(data)
    assert isinstance(caught.value, SerializationError)


# ---- the decorator --------------------------------------------------------------------------------------------


def test_a_call_stores_what_every_sdk_reads():
    shelf, runs = Shelf(), []

    @shared(shelf)
    def get_user(user_id: int) -> dict[str, Any]:
        runs.append(user_id)
        return {"name": "alice", "age": 30}

    assert get_user(42) == {"name": "alice", "age": 30}
    assert shelf.entries == {KEY_OF_42: ALICE}
    assert get_user(42) == {"age": 30, "name": "alice"}
    assert runs == [42]
    assert (get_user.cache_info().l1_hits, get_user.cache_info().misses) == (1, 1)


def test_the_shape_of_a_call_does_not_count():
    shelf, runs = Shelf(), []

    @shared(shelf, "search")
    def search(text: str, limit: int = 10, *tags: str, exact: bool = False, **more: Any) -> int:
        runs.append(text)
        return len(runs)

    for call in (
        lambda: search("a"),
        lambda: search(text="a"),
        lambda: search("a", 10.0, exact=False),
        lambda: search(limit=10, text="a"),
    ):
        assert call() == 1
    assert list(shelf.entries) == [generate_interop_key("users", "search", ["a", 10, [], False, {}])]
    assert search("a", 10, "x", "y", exact=True, z=1, b=2) == 2
    assert generate_interop_key("users", "search", ["a", 10, ["x", "y"], True, {"b": 2, "z": 1}]) in shelf.entries
    assert search("a", _bypass_cache=True) == 3
    assert search("a") == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), {}, "'a' is missing"),
        ((1, 2, 3), {}, "3 positional arguments, and it takes 2"),
        ((1,), {"a": 2}, "'a' is given twice"),
        ((1,), {"c": 2}, "no parameter 'c'"),
        ((object(),), {}, "argument 'a'"),
        ((1, [{"x": float("inf")}]), {}, "argument 'b'.*infinite"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_and_not_run(args: Any, kwargs: Any, why: str):
    shelf, runs = Shelf(), []

    @shared(shelf)
    def function(a: Any, b: Any = 0) -> int:
        runs.append(a)
        return 1

    with pytest.raises(InteropError, match=why) as caught:
        function(*args, **kwargs)
    assert caught.value.code == "E110"
    with pytest.raises(InteropError, match=why):
        function.invalidate_cache(*args, **kwargs) if args or kwargs else function(*args)
    assert runs == [] and shelf.entries == {}


def test_positional_only_parameters_take_no_keywords():
    shelf = Shelf()

    @shared(shelf)
    def function(a: int, /, b: int = 0) -> int:
        return a + b

    assert function(1, b=2) == 3
    with pytest.raises(InteropError, match="no parameter 'a'"):
        function(a=1)


def test_a_result_outside_of_the_model_is_told_after_the_function_ran():
    shelf, runs = Shelf(), []

    @shared(shelf)
    def function(what: str) -> Any:
        runs.append(what)
        return {"set": {1}, "nan": [float("nan")], "generator": (i for i in range(3)), "fine": 1}[what]

    for what, why in (("set", "'set'"), ("nan", "not a number"), ("generator", "used only once")):
        with pytest.raises(InteropError, match=why) as caught:
            function(what)
        assert caught.value.code == "E020"
    assert runs == ["set", "nan", "generator"] and shelf.entries == {}
    assert function("fine") == 1


def test_code_of_an_argument_that_fails_is_the_callers():
    class Broken(dt.tzinfo):
        def utcoffset(self, when: Any) -> Any:
            raise LookupError("no zone")

        def tzname(self, when: Any) -> str:
            return "broken"

        def dst(self, when: Any) -> Any:
            return None

    @shared(Shelf())
    def function(when: Any) -> int:
        raise AssertionError("runs")

    with pytest.raises(LookupError, match="no zone"):
        function(dt.datetime(2024, 1, 1, tzinfo=Broken()))


def test_coroutine_functions_follow_the_same_rules():
    shelf, runs = Shelf(), []

    @shared(shelf)
    async def get_user(user_id: Any) -> Any:
        runs.append(user_id)
        return {"name": "alice", "age": 30} if user_id == 42 else {user_id}

    async def main() -> None:
        assert await get_user(42) == {"name": "alice", "age": 30}
        assert await get_user(user_id=42) == {"name": "alice", "age": 30}
        with pytest.raises(InteropError, match="'set'"):
            await get_user(1)
        with pytest.raises(InteropError, match="argument 'user_id'"):
            await get_user(object())
        await get_user.invalidate_cache(42)
        assert await get_user(42) == {"name": "alice", "age": 30}

    asyncio.run(main())
    assert runs == [42, 1, 42]
    assert shelf.entries == {KEY_OF_42: ALICE}


def test_what_others_have_stored_is_an_answer():
    shelf = Shelf()
    shelf.entries[KEY_OF_42] = b"\x92\xcc\x05\xca?\x80\0\0"

    @shared(shelf)
    def get_user(user_id: int) -> Any:
        raise AssertionError("runs")

    assert get_user(42) == [5, 1.0]


@pytest.mark.parametrize("stored", [b"CK\x03\x00", b"\x01\x01", b"", b"\xd4\x01z", b"\x82\xa8__date__\xc3\xa5value\xa3abc"])
def test_what_cannot_be_read_is_computed_again_and_replaced(stored: bytes, caplog: pytest.LogCaptureFixture):
    shelf = Shelf()
    shelf.entries[KEY_OF_42] = stored

    @shared(shelf)
    def get_user(user_id: int) -> Any:
        return {"name": "alice", "age": 30}

    with caplog.at_level(logging.ERROR):
        assert get_user(42) == {"name": "alice", "age": 30}
    assert shelf.entries == {KEY_OF_42: ALICE}


def test_a_store_that_is_down_is_no_error_of_the_caller():
    shelf = Shelf()
    shelf.down = True

    @shared(shelf)
    def get_user(user_id: int) -> int:
        return user_id

    assert get_user(1) == 1


def test_functions_of_one_operation_share_memory_and_entries():
    shelf, runs = Shelf(), []

    @shared(shelf)
    def one(user_id: int) -> str:
        runs.append("one")
        return "one"

    @shared(shelf)
    def other(number: int) -> str:
        runs.append("other")
        return "other"

    assert (one(1), other(1), other(number=1)) == ("one", "one", "one")
    one.invalidate_cache(1)
    assert (other(1), one(1)) == ("other", "other")
    assert runs == ["one", "other"]


def test_a_stale_result_is_served_while_a_fresh_one_is_computed():
    shelf, runs = Shelf(), []

    @shared(shelf, ttl=0.05, stale_ttl=60)
    def get_user(user_id: int) -> int:
        runs.append(user_id)
        return len(runs)

    assert get_user(1) == 1
    deadline = time.monotonic() + 30
    while get_user(1) == 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(runs) >= 2


def test_memory_can_be_off():
    shelf, runs = Shelf(), []

    @shared(shelf, l1=L1CacheConfig(enabled=False))
    def get_user(user_id: int) -> int:
        runs.append(user_id)
        return user_id

    assert get_user(1) == get_user(1) == 1
    assert runs == [1]
    assert get_user.cache_info().l2_hits == 1


def test_over_redis_the_key_is_bare(redis: Any):
    @shared(RedisBackend(redis.url))
    def get_user(user_id: int) -> dict[str, Any]:
        return {"name": "alice", "age": 30}

    get_user(42)
    assert KEY_OF_42 in redis.entries()


# ---- what is refused when a function is decorated -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"namespace": None}, "namespace: empty"),
        ({"namespace": "Users"}, "namespace: begins with 0x55"),
        ({"interop": "get user"}, "operation: byte 4"),
        ({"interop": ""}, "operation: empty"),
        ({"key": str}, "contradicts key="),
        ({"fast_mode": True}, "fast_mode=True contradicts interop="),
        ({"backend": None}, "contradicts backend=None"),
        ({"serializer": "auto"}, "contradicts serializer='auto'"),
        ({"config": DecoratorConfig(encryption=EncryptionConfig(tenant_extractor=Tenant()))}, "contradicts tenant_extractor="),
    ],
)
def test_options_that_contradict_it_are_refused(options: dict[str, Any], why: str):
    with pytest.raises(ConfigurationError, match=why):
        cache(**{"backend": Shelf(), "interop": "get_user", "namespace": "users", **options})(lambda a: a)


def test_a_wrong_name_keeps_the_story_of_the_format():
    with pytest.raises(ConfigurationError) as caught:
        DecoratorConfig(interop="get_user", namespace="Users")
    assert isinstance(caught.value.__cause__, InteropError)


def test_a_redis_that_the_environment_chooses_has_tenants_and_is_refused(monkeypatch: pytest.MonkeyPatch, redis: Any):
    monkeypatch.setenv("CACHEKIT_REDIS_URL", redis.url)
    with pytest.raises(ConfigurationError, match="t:default:.*RedisBackend"):
        cache(interop="get_user", namespace="users")(lambda a: a)


def test_a_backend_that_puts_something_in_front_of_keys_is_refused_now_and_later():
    class Prefixed(Shelf):
        key_prefix = "x:"

    with pytest.raises(ConfigurationError, match="'x:'"):
        shared(Prefixed())(lambda a: a)
    late = Prefixed()
    late.key_prefix = ""
    function = shared(late)(lambda a: a)
    assert function(1) == 1
    late.key_prefix = "y:"
    with pytest.raises(ConfigurationError, match="'y:'"):
        function(1)


def test_methods_and_partial_objects_are_refused():
    class Users:
        with pytest.raises(ConfigurationError, match="called on an object"):

            @shared(Shelf())
            def get(self, user_id: int) -> int:
                return user_id

        @staticmethod
        @shared(Shelf(), "static")
        def static(user_id: int) -> int:
            return user_id

    assert Users.static(1) == Users().static(1) == 1
    for callable_ in (functools.partial(max, 1), "text".startswith):
        with pytest.raises(ConfigurationError, match="has arguments already"):
            shared(Shelf())(callable_)


def test_what_does_not_tell_its_parameters_is_refused():
    with pytest.raises(ConfigurationError, match="does not tell its parameters"):
        shared(Shelf())(max)


def test_the_core_checks_what_it_is_given():
    store = Cache("memory:")
    for wrong in (("a",), ("a", (), None, 1), (1, (), None), ("a", [], None)):
        with pytest.raises((ValueError, TypeError)):
            CachedFunction(store, len, "f", namespace="n", interop=wrong)  # type: ignore[arg-type]
    for parameters in ((("a",),), (("a", 9),), ((1, 1),), ("a",)):
        with pytest.raises((ValueError, TypeError)):
            CachedFunction(store, len, "f", namespace="n", interop=("a", parameters, None))


# ---- sealed -----------------------------------------------------------------------------------------------------

MASTER_KEY = "61" * 32
DEPLOYMENT = "00000000-0000-0000-0000-000000000001"
SEALED = bytes.fromhex("0102030405060708000000006dcda72bf8be77bbdd13f4e947d958e7f5d5ec76c6756eb75f0351534caae3b993")


def test_shared_entries_are_sealed_where_a_key_is_configured_as_the_released_sdks_seal_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("CACHEKIT_DEPLOYMENT_UUID", DEPLOYMENT)
    shelf, runs = Shelf(), []

    @shared(shelf)
    def get_user(user_id: int) -> dict[str, Any]:
        runs.append(user_id)
        return {"name": "alice", "age": 30}

    shelf.entries[KEY_OF_42] = SEALED
    assert get_user(42) == {"name": "alice", "age": 30}
    assert runs == []
    get_user.invalidate_cache(42)
    assert get_user(42) == get_user(42) == {"name": "alice", "age": 30}
    assert runs == [42]
    assert len(shelf.entries[KEY_OF_42]) == len(SEALED) and b"alice" not in shelf.entries[KEY_OF_42]


def test_sealed_entries_need_a_deployment_that_others_can_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", MASTER_KEY)
    with pytest.raises(ConfigurationError, match="CACHEKIT_DEPLOYMENT_UUID"):
        shared(Shelf())(lambda a: a)


@pytest.mark.parametrize("text", [DEPLOYMENT[:-1] + "A", DEPLOYMENT.replace("-", ""), "{" + DEPLOYMENT + "}"])
def test_a_deployment_that_is_written_otherwise_is_refused_because_others_take_it_as_it_is(text: str):
    options = {"master_key": MASTER_KEY, "deployment_uuid": text}
    with pytest.raises(ConfigurationError, match="have to write it alike"):
        shared(Shelf(), **options)(lambda a: a)
    assert shared(Shelf(), master_key=MASTER_KEY, deployment_uuid=DEPLOYMENT)(lambda a: a)(1) == 1
