"""Stored forms as functions: envelopes, frames, the checksum."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from cachekit._core import checksum, envelope_open, envelope_store, frame_parse, frame_write
from cachekit.errors import CachekitError

HELLO = b"hello, cachekit!"

# Content, the envelope that writers of today make, and the one of old writers.
ENVELOPES: list[tuple[str, str, str]] = [
    ("", "94c40100982d06cc800538ccd3cc94ccc200a76d73677061636b", "949100982d06cc800538ccd3cc94ccc200a76d73677061636b"),
    (
        HELLO.hex(),
        "94c412f00168656c6c6f2c2063616368656b697421986dcc8a34ccb63a3c52ccd310a76d73677061636b",
        "94dc0012ccf00168656c6c6f2c2063616368656b697421986dcc8a34ccb63a3c52ccd310a76d73677061636b",
    ),
    (
        "ff",
        "94c40210ff98ccd6ccbcccec3c6b29ccd72e01a76d73677061636b",
        "949210ccff98ccd6ccbcccec3c6b29ccd72e01a76d73677061636b",
    ),
    ("c0", "94c40210c09805264b395bccaf644c01a76d73677061636b", "949210ccc09805264b395bccaf644c01a76d73677061636b"),
]


@pytest.mark.parametrize(("content", "envelope", "old"), ENVELOPES)
def test_envelopes_are_those_of_the_released_package(content: str, envelope: str, old: str) -> None:
    assert envelope_store(bytes.fromhex(content)).hex() == envelope
    assert envelope_open(bytes.fromhex(envelope)) == (bytes.fromhex(content), "msgpack")
    assert envelope_open(memoryview(bytes.fromhex(old))) == (bytes.fromhex(content), "msgpack")


def test_the_blocks_of_other_compressors_are_opened() -> None:
    block = "94c40f1f410100ffffffe960414141414141984d35ccad08cce9ccd77c0dcd0400a76d73677061636b"
    assert envelope_open(bytes.fromhex(block)) == (b"A" * 1024, "msgpack")
    assert len(envelope_store(b"A" * 1024)) <= len(block) // 2


@pytest.mark.parametrize("level", [-1, 0, 1, 6, 9])
def test_every_level_gives_an_envelope_that_opens(level: int) -> None:
    content = bytes(range(256)) * 100
    stored = envelope_store(content, format="dataframe", level=level)
    assert envelope_open(stored) == (content, "dataframe")
    assert (len(stored) < len(content)) == (level != -1)


def test_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(CachekitError) as failure:
        envelope_store(b"", level=10)
    assert failure.value.code == "E103"


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        ("", "E111"),
        ("c0", "E021"),
        ("93c412f00168656c6c6f2c2063616368656b697421986dcc8a34ccb63a3c52ccd310", "E021"),
        ("94c400982d06cc800538ccd3cc94ccc200a76d73677061636b", "E115"),
        ("94c40100986dcc8a34ccb63a3c52ccd3cd03e9a76d73677061636b", "E115"),
        ("94c412f00168656c6c6f2c2063616368656b697421986dcc8a34ccb63a3c52ccd3ce20000001a76d73677061636b", "E105"),
        ("94c412f00168656c6c6f2c2063616368656b697421986dcc8a34ccb63a3c52ccd30fa76d73677061636b", "E021"),
        ("94c412f00168656c6c6f2c2063616368656b697421986ccc8a34ccb63a3c52ccd310a76d73677061636b", "E114"),
    ],
)
def test_damaged_envelopes_are_refused_with_their_code(envelope: str, code: str) -> None:
    with pytest.raises(CachekitError) as failure:
        envelope_open(bytes.fromhex(envelope))
    assert failure.value.code == code


@pytest.mark.parametrize(("data", "expected"), [(b"", "2d06800538d394c2"), (b"cachekit-kat", "d123cc9bbe9da4b1")])
def test_the_checksum_is_xxh3_most_significant_byte_first(data: bytes, expected: str) -> None:
    assert checksum(data).hex() == expected
    assert checksum(memoryview(data)) == checksum(bytearray(data)) == checksum(data)


# ---- frames -----------------------------------------------------------------------------------------------------

FRAME = (
    b'CK\x03\x00\x00\x00~{"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": false, '
    b'"original_type": "msgpack"}, "v": "2.0"}\x82\xa7user_id{\xa4name\xa5Alice'
)
DOCUMENT = b"\x82\xa7user_id{\xa4name\xa5Alice"

PLAIN: dict[str, Any] = {
    "serializer": "default",
    "format": "msgpack",
    "encoding": "utf-8",
    "compressed": False,
    "original_type": "msgpack",
    "encrypted": False,
    "tenant_id": None,
    "encryption_algorithm": None,
    "key_fingerprint": None,
    "legacy": False,
}


def test_a_frame_is_that_of_the_released_package_and_is_read_without_copying() -> None:
    stored = frame_write(DOCUMENT, serializer="default", format="msgpack", original_type="msgpack")
    assert stored == FRAME
    fields, payload = frame_parse(stored)
    assert fields == PLAIN
    assert isinstance(payload, memoryview)
    assert payload.obj is stored
    assert payload == DOCUMENT


def test_a_frame_of_every_field_comes_back() -> None:
    fields: dict[str, Any] = {
        "serializer": 'Böse "Klasse"',
        "format": "arrow",
        "encoding": "utf-8",
        "compressed": True,
        "original_type": None,
        "encrypted": True,
        "tenant_id": "00000000-0000-0000-0000-000000000001",
        "encryption_algorithm": "AES-256-GCM",
        "key_fingerprint": "33afb25a45ad1762dc4df32cffa3dde5",
    }
    parsed, payload = frame_parse(bytearray(frame_write(b"", **fields)))
    assert parsed == {**fields, "legacy": False}
    assert payload == b""


def test_the_text_form_of_old_versions_is_read() -> None:
    text = (
        b'{"data": "lMQX8AaCp3VzZXJfaWR7pG5hbWWlQWxpY2WYLVHM2kjMgSwdzNQVp21zZ3BhY2s=", "metadata": {"format": "msgpack", '
        b'"encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, "serializer": "default", "version": "2.0"}'
    )
    fields, payload = frame_parse(text)
    assert fields == {**PLAIN, "compressed": True, "legacy": True}
    assert envelope_open(payload) == (DOCUMENT, "msgpack")


@pytest.mark.parametrize(
    ("stored", "verdict", "code"),
    [
        (b"", "malformed", "E021"),
        (b"CK", "malformed", "E111"),
        (b"CK\x04\0\0\0\0", "malformed", "E021"),
        (b"CK\x03\0\0\0\x09{}", "malformed", "E111"),
        (b"CK\x03\0\0\0\x02[]", "corrupt", "E021"),
        (b"\xff\xfe", "malformed", "E021"),
        (FRAME.replace(b"msgpack", b"mistake", 1), "malformed", "E021"),
        (FRAME.replace(b'"compressed": false', b'"encrypted":   true'), "suspicious", "E021"),
    ],
)
def test_what_is_no_frame_is_refused_with_a_verdict(stored: bytes, verdict: str, code: str) -> None:
    with pytest.raises(CachekitError) as failure:
        frame_parse(stored)
    assert (failure.value.verdict, failure.value.code) == (verdict, code)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "wrong",
    [{"serializer": ""}, {"format": None}, {"encrypted": True}],
    ids=["no serializer", "no format", "encrypted without a tenant"],
)
def test_frames_that_no_reader_would_take_are_not_written(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"serializer": "default", "format": "msgpack", **wrong}
    with pytest.raises(CachekitError) as failure:
        frame_write(b"", **fields)
    assert failure.value.code == "E102"


def test_fields_of_other_types_than_text_are_refused() -> None:
    with pytest.raises(TypeError, match="text, not int"):
        frame_write(b"", serializer=1, format="msgpack")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        frame_write("text", serializer="default", format="msgpack")  # type: ignore[arg-type]


def test_threads_store_and_open_side_by_side() -> None:
    contents = [bytes([n]) * 300_000 for n in range(4)]
    wrong: list[int] = []

    def work(n: int) -> None:
        for _ in range(5):
            stored = frame_write(envelope_store(contents[n]), serializer="default", format="msgpack", compressed=True)
            content, _format = envelope_open(frame_parse(stored)[1])
            if content != contents[n] or checksum(content) != checksum(contents[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(contents))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
