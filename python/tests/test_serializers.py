"""What all serializers share: names, objects of one's own, metadata, stored values and mix-ups."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import uuid
from typing import Any

import pytest
from cachekit import serializers
from cachekit.errors import CachekitError, ConfigurationError, SerializationError
from cachekit.serializers import (
    AutoSerializer,
    DefaultSerializer,
    EncryptionWrapper,
    SerializationFormat,
    SerializationMetadata,
    SerializerProtocol,
    StandardSerializer,
    dump_stored,
    get_available_serializers,
    get_serializer,
    load_stored,
    resolve_serializer,
)

# ---- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "stored"),
    [
        ("default", StandardSerializer, "default"),
        ("std", StandardSerializer, "default"),
        ("standard", StandardSerializer, "default"),
        ("auto", AutoSerializer, "auto"),
        ("pythonic", AutoSerializer, "auto"),
    ],
)
def test_a_name_stands_for_a_serializer_and_a_stored_name(name: str, kind: type, stored: str) -> None:
    found = resolve_serializer(name)
    assert type(found.serializer) is kind
    assert found.name == stored
    assert isinstance(found.serializer, SerializerProtocol)


def test_named_serializers_are_made_once_for_each_integrity() -> None:
    assert get_serializer("default") is get_serializer("std")
    assert get_serializer() is get_serializer("default")
    bare = get_serializer("default", integrity_checking=False)
    assert bare is get_serializer("std", integrity_checking=False)
    assert bare is not get_serializer("default")


def test_the_default_serializer_has_two_names() -> None:
    assert DefaultSerializer is StandardSerializer


def test_unknown_names_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="default, std.*arrow; did you mean 'arrow'"):
        get_serializer("arow")
    with pytest.raises(ConfigurationError, match="unknown serializer"):
        get_serializer("")


def test_pickle_by_name_is_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match=r"PickleSerializer\(signing_key="):
        get_serializer("pickle")


def test_encryption_by_name_says_how_it_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="encryption=True"):
        get_serializer("encrypted")


def test_available_serializers_are_named() -> None:
    available = get_available_serializers()
    assert available["default"] and available["auto"]
    assert set(available) == {"default", "std", "standard", "auto", "pythonic", "orjson", "arrow"}


def test_every_public_name_is_there() -> None:
    for name in serializers.__all__:
        assert getattr(serializers, name) is not None
    assert set(serializers.__all__) <= set(dir(serializers))
    with pytest.raises(AttributeError, match="NoSuchSerializer"):
        serializers.NoSuchSerializer  # type: ignore[attr-defined]  # noqa: B018


def test_importing_serializers_imports_no_extra() -> None:
    code = (
        "import sys, cachekit.serializers as s\n"
        "for name in s.__all__: getattr(s, name)\n"
        "s.get_serializer('auto').serialize({1, (2, 'x')})\n"
        "print([m for m in ('numpy', 'pandas', 'pyarrow', 'polars', 'orjson') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("name", "module"), [("orjson", "orjson"), ("arrow", "pyarrow")])
def test_a_missing_package_is_named_with_its_extra(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    monkeypatch.setattr("cachekit.serializers.registry._made", {})
    with pytest.raises(ImportError, match=rf"needs {module}, .*pip install 'cachekit-c\[{name}\]'"):
        get_serializer(name)


# ---- objects ----------------------------------------------------------------------------------------------------


class Json:
    """As a user would write one."""

    def __init__(self) -> None:
        self.seen: Any = None

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        return json.dumps(obj).encode(), SerializationMetadata(format="orjson", original_type="json")

    def deserialize(self, data: bytes, metadata: SerializationMetadata) -> Any:
        self.seen = (type(data), metadata)
        return json.loads(data)


def test_an_object_of_ones_own_is_stored_under_its_class_name() -> None:
    own = Json()
    found = resolve_serializer(own)
    assert found == (own, "Json")
    stored = dump_stored({"a": 1}, own, "Json")
    assert b'{"s": "Json", "m": {"format": "orjson", ' in stored
    assert load_stored(stored, own, "Json") == {"a": 1}
    assert own.seen == (bytes, SerializationMetadata(SerializationFormat.ORJSON, original_type="json"))


def test_metadata_of_another_class_is_understood() -> None:
    class Meta:
        format = SerializationFormat.MSGPACK
        compressed = True
        original_type = None

    class Own(Json):
        def serialize(self, obj: Any) -> Any:
            return b"x", Meta()

        def deserialize(self, data: bytes, metadata: SerializationMetadata) -> Any:
            return bytes(data), metadata.compressed, metadata.original_type

    assert load_stored(dump_stored(1, Own(), "Own"), Own(), "Own") == (b"x", True, None)


@pytest.mark.parametrize(
    "wrong", [object(), None, 1, b"default", type("Half", (), {"serialize": lambda self, obj: obj})()]
)
def test_an_object_without_both_methods_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="serialize"):
        resolve_serializer(wrong)


def test_a_class_instead_of_an_instance_is_refused() -> None:
    with pytest.raises(TypeError, match=r"serializer=AutoSerializer\(...\)"):
        resolve_serializer(AutoSerializer)


@pytest.mark.parametrize(
    "result",
    [b"bytes alone", ("text", SerializationMetadata("msgpack")), (b"", None), (b"", {"format": "msgpack"})],
    ids=repr,
)
def test_what_a_serializer_gives_is_checked(result: Any) -> None:
    class Wrong(Json):
        def serialize(self, obj: Any) -> Any:
            return result

    with pytest.raises(TypeError, match="serialize"):
        dump_stored(1, Wrong(), "Wrong")


# ---- metadata ---------------------------------------------------------------------------------------------------


def test_metadata_knows_three_formats() -> None:
    assert SerializationMetadata("arrow").format is SerializationFormat.ARROW
    assert str(SerializationFormat.ARROW) == "arrow"
    with pytest.raises(ValueError, match="'msgpack', 'orjson', 'arrow'"):
        SerializationMetadata("json")


def test_metadata_becomes_a_dict_and_back() -> None:
    plain = SerializationMetadata("msgpack", compressed=True, original_type="msgpack")
    assert list(plain.to_dict().items()) == [
        ("format", "msgpack"),
        ("encoding", "utf-8"),
        ("compressed", True),
        ("original_type", "msgpack"),
    ]
    assert SerializationMetadata.from_dict({**plain.to_dict(), "unknown": 1}) == plain
    encrypted = SerializationMetadata("arrow", encrypted=True, tenant_id="t", encryption_algorithm="AES-256-GCM")
    assert SerializationMetadata.from_dict(encrypted.to_dict()) == encrypted
    with pytest.raises(ValueError):
        SerializationMetadata.from_dict({})


# ---- stored values ----------------------------------------------------------------------------------------------

HEAD = "434b03{:08x}"

# Whole stored values of the released package.
FRAMES: list[tuple[str, bool, Any, str, str]] = [
    (
        "default",
        True,
        {"user_id": 123, "name": "Alice"},
        '{"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, "v": "2.0"}',
        "94c417f00682a7757365725f69647ba46e616d65a5416c696365982d51ccda48cc812c1dccd415a76d73677061636b",
    ),
    (
        "default",
        False,
        {"user_id": 123, "name": "Alice"},
        '{"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": false, "original_type": "msgpack"}, "v": "2.0"}',
        "82a7757365725f69647ba46e616d65a5416c696365",
    ),
    (
        "default",
        True,
        None,
        '{"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, "v": "2.0"}',
        "94c40210c09805264b395bccaf644c01a76d73677061636b",
    ),
    (
        "default",
        True,
        dt.datetime(2025, 11, 14, 10, 30),
        '{"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, "v": "2.0"}',
        "94c42bf01a82ac5f5f6461746574696d655f5fc3a576616c7565b3323032352d31312d31345431303a33303a30309823cc9acce97d6d2200cca029a7"
        "6d73677061636b",
    ),
    (
        "auto",
        True,
        (1, uuid.UUID("12345678-1234-5678-1234-567812345678")),
        '{"s": "auto", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, "v": "2.0"}',
        "94c43bf50d82a95f5f7475706c655f5fc3a576616c7565920182a85f5f757569641300b0d92431323334353637382d09001a2d0a0080313233343536"
        "37389875cc8c5c37070a1cccc44ba76d73677061636b",
    ),
    (
        "auto",
        True,
        frozenset({7}),
        '{"s": "auto", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, "v": "2.0"}',
        "94c41cf00b83a75f5f7365745f5fc3a576616c75659107a666726f7a656ec398ccf0ccbeccaf46ccc645ccf6cc831aa76d73677061636b",
    ),
]


@pytest.mark.parametrize(("name", "integrity", "value", "header", "payload"), FRAMES)
def test_stored_values_of_the_released_package_are_read(
    name: str, integrity: bool, value: Any, header: str, payload: str
) -> None:
    stored = bytes.fromhex(HEAD.format(len(header))) + header.encode() + bytes.fromhex(payload)
    serializer = get_serializer(name, integrity_checking=integrity)
    again = load_stored(stored, serializer, name)
    assert again == value
    assert type(again) is type(value)
    # Another compressor may make another block; the rest is the same bytes.
    written = dump_stored(value, serializer, name)
    assert written[: 7 + len(header)] == stored[: 7 + len(header)]
    assert load_stored(written, serializer, name) == value


def test_small_stored_values_are_written_byte_for_byte() -> None:
    for name, integrity, value, header, payload in FRAMES[:4]:
        stored = bytes.fromhex(HEAD.format(len(header))) + header.encode() + bytes.fromhex(payload)
        assert dump_stored(value, get_serializer(name, integrity_checking=integrity), name) == stored


def test_another_serializers_entry_is_refused_with_both_names_and_advice() -> None:
    stored = dump_stored([1], StandardSerializer(), "default")
    with pytest.raises(SerializationError, match=r"'default' and is read by 'auto'.*namespace=") as failure:
        load_stored(stored, AutoSerializer(), "auto")
    assert failure.value.code == "E021"
    with pytest.raises(SerializationError, match="serializer mismatch"):
        load_stored(stored, Json(), "Json")


def test_the_same_serializer_by_name_and_as_an_object_reads_both() -> None:
    for name, kind in (("default", StandardSerializer), ("auto", AutoSerializer)):
        for writer, reader in ((name, kind.__name__), (kind.__name__, name)):
            assert load_stored(dump_stored([1], kind(), writer), kind(), reader) == [1]


@pytest.mark.parametrize("written_by", ["unknown", ""])
def test_an_entry_that_names_no_serializer_is_tried(written_by: str) -> None:
    name = f'"s": "{written_by}", '.encode()
    header = b'{%s"m": {"format": "msgpack", "compressed": false}}' % (name if written_by else b"")
    stored = b"CK\x03" + len(header).to_bytes(4, "big") + header + b"\x93\x01\x02\x03"
    assert load_stored(stored, StandardSerializer(integrity_checking=False), "default") == [1, 2, 3]


def test_metadata_of_another_format_is_refused_also_without_a_frame() -> None:
    for metadata in (SerializationMetadata("orjson"), SerializationMetadata("msgpack", original_type="numpy")):
        with pytest.raises(SerializationError, match="serializer mismatch"):
            StandardSerializer().deserialize(b"", metadata)


def test_an_encrypted_entry_is_refused() -> None:
    metadata = SerializationMetadata("msgpack", encrypted=True, tenant_id="t")
    with pytest.raises(SerializationError, match="encrypted") as failure:
        StandardSerializer().deserialize(b"", metadata)
    assert failure.value.code == "E104"


def test_the_header_cannot_switch_the_checksum_off() -> None:
    stored = dump_stored([1], StandardSerializer(integrity_checking=False), "default")
    for serializer in (StandardSerializer(), AutoSerializer()):
        with pytest.raises(SerializationError):
            load_stored(stored, serializer, "unknown")


def test_a_value_stored_with_a_checksum_is_read_without_asking_for_one() -> None:
    for kind in (StandardSerializer, AutoSerializer):
        stored = dump_stored({"a": 1}, kind(), "default")
        assert load_stored(stored, kind(integrity_checking=False), "default") == {"a": 1}


@pytest.mark.parametrize("kind", [StandardSerializer, AutoSerializer])
def test_a_damaged_payload_is_an_error_and_never_a_value(kind: Any) -> None:
    serializer = kind()
    payload, metadata = serializer.serialize({"a": [1, 2, 3], "text": "x" * 100})
    for at in range(len(payload)):
        changed = bytearray(payload)
        changed[at] ^= 0x10
        try:
            assert serializer.deserialize(bytes(changed), metadata) == {"a": [1, 2, 3], "text": "x" * 100}
        except SerializationError as error:
            assert error.code in ("E021", "E105", "E111", "E113", "E114", "E115")


def test_integer_keys_come_back_with_and_without_a_checksum() -> None:
    for integrity in (True, False):
        for name in ("default", "auto"):
            serializer = get_serializer(name, integrity_checking=integrity)
            assert load_stored(dump_stored({1: "a", 2: "b"}, serializer, name), serializer, name) == {1: "a", 2: "b"}


def test_what_is_no_frame_keeps_its_verdict() -> None:
    with pytest.raises(CachekitError) as failure:
        load_stored(b"CK\x03\0\0\0\x02[]", StandardSerializer(), "default")
    assert failure.value.verdict == "corrupt"  # type: ignore[attr-defined]
