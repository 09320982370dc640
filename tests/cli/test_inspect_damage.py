"""`cachekit inspect`: where exactly a damaged value is damaged, and what is large or deep."""

import json
import struct

import pytest

from inspected import (
    AT,
    BLOCK,
    CHECKSUM,
    DOCUMENT,
    ENVELOPE,
    FORMAT,
    GOOD,
    HEADER,
    PAYLOAD,
    SIZE,
    changed,
    frame,
    header_with,
    layers,
    look,
)


# ---- damaged values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, layer, offset, problem",
    [
        (GOOD[:2], "frame", 2, "first bytes"),
        (GOOD[:6], "frame", 6, "first bytes"),
        (GOOD[:7], "frame", 7, "ends inside the frame's header"),
        (GOOD[:100], "frame", 100, "ends inside the frame's header"),
        (changed(GOOD, 2, 4), "frame", 2, "no such version"),
        (changed(GOOD, 3, 0xFF), "frame", 3, "beyond its limit"),
        (changed(GOOD, 6, 0xFF), "frame", len(GOOD), "ends inside the frame's header"),
        (changed(GOOD, 11, ord("!")), "frame", 11, "not JSON"),
        (changed(GOOD, 9, 0xFF), "frame", 8, "UTF-8"),
        (frame(header=HEADER[:-1]), "frame", 7 + len(HEADER) - 1, "not JSON"),
        (frame(header=b""), "frame", 7, "not JSON"),
        (frame(header=b"[]"), "frame", 7, "not a JSON object"),
        (frame(header=b'{"s": "default"}'), "frame", 7, "member m is missing"),
        (frame(header=b'{"s": "default", "m": 5}'), "frame", 7 + 17, "member m is missing"),
        (frame(header=header_with(format=None)), "frame", 7, "no format"),
        (frame(header=header_with(format="pickle")), "frame", 7 + HEADER.index(b'"format"'), "not msgpack, orjson or arrow"),
        (frame(header=header_with(compressed="yes")), "frame", 7 + HEADER.index(b'"compressed"'), "compressed is not"),
        (
            frame(header=header_with(encrypted=True)),
            "frame",
            7 + header_with(encrypted=True).index(b'"encrypted"'),
            "no tenant",
        ),
        (frame(b""), "envelope", AT, "no envelope"),
        (GOOD[: AT + 1], "envelope", AT, "cannot be read on"),
        (GOOD[: AT + 20], "envelope", AT + 1, "cannot be read on"),
        (GOOD[: AT + CHECKSUM + 5], "envelope", AT + CHECKSUM, "cannot be read on"),
        (GOOD[:-1], "envelope", AT + FORMAT, "cannot be read on"),
        (changed(GOOD, AT, 0x93), "envelope", AT, "no envelope"),
        (changed(GOOD, AT, 0xC1), "envelope", AT, "no envelope"),
        (changed(GOOD, AT + BLOCK, 0xE0), "envelope", AT + BLOCK + 15, "copies from"),
        (changed(GOOD, AT + BLOCK, 0x10), "envelope", AT + BLOCK + 2, "copies from 42882 bytes back, and 1 were"),
        (changed(GOOD, AT + BLOCK + 1, 0x07), "envelope", AT + BLOCK, "22 literals and has 21 bytes left"),
        (changed(GOOD, AT + BLOCK + 1, 0x04), "envelope", AT + BLOCK + 21, "copies from"),
        (changed(GOOD, AT + CHECKSUM + 1, 0x2E), "envelope", AT + CHECKSUM, "checksum"),
        (changed(GOOD, AT + SIZE, 0x16), "envelope", AT + SIZE, "declared size"),
        (changed(GOOD, AT + SIZE, 0x14), "envelope", AT + SIZE, "declared size"),
        (changed(GOOD, AT + SIZE, 0xE0), "envelope", AT + SIZE, "original_size"),
        (frame(ENVELOPE[:SIZE] + b"\xce\xff\xff\xff\xff" + ENVELOPE[FORMAT:]), "envelope", AT + SIZE, "limit"),
        (frame(ENVELOPE[:SIZE] + b"\xcd\xff\xff" + ENVELOPE[FORMAT:]), "envelope", AT + SIZE, "1000 times"),
        (frame(b"\x94\xc4\x00" + ENVELOPE[CHECKSUM:]), "envelope", AT + 1, "empty"),
        (frame(DOCUMENT), "frame", 7 + HEADER.index(b'"compressed"'), "not what the header promises"),
    ],
)
def test_damage_is_found_where_it_is(tool, value, layer, offset, problem):
    code, answer = look(tool, value)
    damage = answer["damage"][0]
    assert code == 4 and answer["verdict"] == "damaged"
    assert (damage["layer"], damage["offset"]) == (layer, offset) and problem in damage["problem"]
    assert answer["layers"][[entry["layer"] for entry in answer["layers"]].index(layer)]["state"] == "damaged"


def test_every_cut_and_every_changed_byte_is_survived(tool):
    """And what was damaged is never shown as the document that it was."""
    tool.ok("set", "--as", "json", "k", '{"user_id": 123, "name": "Alice", "list": [1, 2, 3]}')
    good = tool.ok("get", "--as", "raw", "k")
    assert look(tool, good)[0] == 0
    for at in [*range(2, 12), *range(120, len(good))]:
        code, answer = look(tool, good[:at])
        assert code == 4 and answer["damage"][0]["offset"] <= at
    for at in [*range(0, 12), *range(PAYLOAD, len(good))]:
        code, answer = look(tool, changed(good, at, good[at] ^ 0x81))
        assert code in (0, 4)
        if PAYLOAD <= at < len(good) - 8:  # the name of the format behind it is protected by nothing
            assert code == 4


def test_a_changed_checksum_shows_both_sums(tool):
    code, answer = look(tool, changed(GOOD, AT + CHECKSUM + 1, 0x2E))
    (damage,) = answer["damage"]
    assert (damage["expected"], damage["found"]) == ("2d51da48812c1dd4", "2e51da48812c1dd4")
    envelope = answer["layers"][1]
    assert (envelope["computed_checksum"], envelope["checksum_matches"]) == ("2d51da48812c1dd4", False)
    assert answer["layers"][2]["value"]["name"] == "Alice"
    text = tool.run("inspect", "-", input=changed(GOOD, AT + CHECKSUM + 1, 0x2E)).stdout
    assert b"2e51da48812c1dd4" in text and b"damaged: 1 place" in text


def test_damage_inside_the_document_is_traced_back_to_the_packed_byte(tool):
    at = AT + BLOCK + 2 + DOCUMENT.index(b"\xa5Alice")  # the text's header claims one byte more
    code, answer = look(tool, changed(GOOD, at, 0xA6))
    checksum, document = answer["damage"]
    assert code == 4 and checksum["layer"] == "envelope" and "checksum" in checksum["problem"]
    assert (document["layer"], document["offset"], document["offset_in_layer"]) == ("document", at, 15)


def test_bytes_behind_an_envelope_are_ignored_and_behind_a_document_they_are_damage(tool):
    code, answer = look(tool, GOOD + b"xyz")
    assert code == 0 and answer["layers"][1]["trailing_bytes"] == 3
    bare = frame(DOCUMENT + b"xyz", header_with(compressed=False))
    code, answer = look(tool, bare)
    (damage,) = answer["damage"]
    assert code == 4 and damage["offset"] == len(bare) - 3 and damage["found"] == "3 bytes more"
    assert answer["layers"][-1]["value"]["name"] == "Alice"


@pytest.mark.parametrize(
    "document, offset, problem",
    [
        (DOCUMENT[:-1], 15, ""),
        (b"\x81\xa1a\xc1", 3, ""),
        (b"\x81\xa1a\xd4\x01\x02", 3, "extension"),
        (b"\x81\x01\xc1", 2, ""),
        (b"\x81\xa1\xff\x02", 1, "UTF-8"),
        (b"\x91" * 600 + b"\xc0", 512, ""),
        (b"\x92\x01", 0, ""),
        (b"", 0, ""),
    ],
)
def test_damaged_documents(tool, document, offset, problem):
    code, answer = look(tool, frame(document, header_with(compressed=False)))
    (damage,) = answer["damage"]
    start = 7 + len(header_with(compressed=False))
    assert code == 4 and damage["layer"] == "document" and problem in damage["problem"]
    assert offset is None or damage["offset"] == start + offset


def test_keys_that_are_no_text_are_shown_as_text(tool):
    code, answer = look(tool, frame(b"\x82\x01\xa1a\x92\x01\x02\xa1b", header_with(compressed=False)))
    assert code == 0 and answer["layers"][-1]["value"] == {"1": "a", "[1,2]": "b"}
    code, answer = look(tool, frame(b"\x81\x91\x81\x90\x01\x02", header_with(compressed=False)))
    assert code == 0 and "cannot be shown as JSON" in answer["layers"][-1]["notes"][0]


def test_an_envelope_that_the_header_does_not_promise_is_opened_with_a_note(tool):
    code, answer = look(tool, frame(header=header_with(compressed=False)))
    assert code == 0 and layers(answer) == ["frame", "envelope", "document"] and answer["layers"][0]["notes"]


def test_a_serializer_that_no_sdk_has_is_noted(tool):
    code, answer = look(tool, frame(header=HEADER.replace(b'"default"', b'"Custom!"')))
    assert code == 0 and "serializer" in answer["layers"][0]["notes"][0]
    assert "notes" not in look(tool, GOOD)[1]["layers"][0]


def test_members_of_a_header_that_nobody_writes_cannot_pass_for_facts(tool):
    code, answer = look(tool, frame(header=header_with(layer="x", state="ok", **{"a\x1bb": 1})))
    assert code == 0 and answer["layers"][0]["layer"] == "frame"
    assert answer["layers"][0]['member "layer"'] == "x" and answer["layers"][0]['member "a\\x1bb"'] == 1


def test_a_header_that_is_not_utf_8_is_not_repeated(tool):
    code, answer = look(tool, changed(GOOD, HEADER.index(b"utf-8") + 7, 0x80))  # and the answer is JSON
    assert code == 4 and "UTF-8" in answer["damage"][0]["problem"]


# ---- large ones ------------------------------------------------------------------------------------------------


def test_large_documents_are_cut_with_a_note_unless_full_is_given(tool):
    tool.ok("set", "--as", "json", "k", "-", input=json.dumps([{"n": i} for i in range(20000)]).encode())
    short = tool.ok("inspect", "k")
    assert len(short) < 128 << 10 and b"--full shows all" in short and short.rstrip().endswith(b"readable")
    full = tool.ok("inspect", "--full", "k")
    assert b'"n": 19999' in full and b"--full" not in full
    layer = json.loads(tool.ok("inspect", "--json", "k"))["layers"][-1]
    assert "value" not in layer and layer["notes"]
    assert len(json.loads(tool.ok("inspect", "--json", "--full", "k"))["layers"][-1]["value"]) == 20000


def test_large_texts_are_cut_at_a_character(tool):
    value = "\u4e16".encode() * 100000
    short = tool.ok("inspect", "-", input=value)
    short.decode()
    assert b"--full shows all" in short and len(short) < 70 << 10
    assert json.loads(tool.ok("inspect", "--json", "--full", "-", input=value))["layers"][0]["value"] == value.decode()


def test_deep_documents_are_shown(tool):
    code, answer = look(tool, b"\x91" * 512 + b"\xc0")
    assert code == 0 and answer["layers"][0]["kind"] == "array"


def test_a_bomb_is_not_unpacked(tool):
    """A block of zeros that unpacks to 255 times its size is allowed by the ratio, and the declared size is checked first."""
    block = b"\x1f\x00\x01\x00" + b"\xff" * 60000 + b"\x00\x50" + bytes(5)
    size = 1 + 19 + 255 * 60000 + 5
    envelope = b"\x94\xc5" + struct.pack(">H", len(block)) + block + ENVELOPE[CHECKSUM:SIZE]
    code, answer = look(tool, frame(envelope + b"\xce" + struct.pack(">I", 1 << 28) + ENVELOPE[FORMAT:]))
    assert code == 4 and "1000 times" in answer["damage"][0]["problem"]
    code, answer = look(tool, frame(envelope + b"\xce" + struct.pack(">I", size) + ENVELOPE[FORMAT:]))
    assert code == 4 and "checksum" in answer["damage"][0]["problem"]
