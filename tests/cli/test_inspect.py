"""`cachekit inspect`: every layer of a stored value, and where exactly a damaged one is damaged."""

import base64
import hashlib
import json
import os
import pty
import struct
import subprocess

import pytest

HEADER = (
    b'{"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, '
    b'"v": "2.0"}'
)
# {"user_id": 123, "name": "Alice"}
DOCUMENT = bytes.fromhex("82a7757365725f69647ba46e616d65a5416c696365")
ENVELOPE = bytes.fromhex("94c417f00682a7757365725f69647ba46e616d65a5416c696365982d51ccda48cc812c1dccd415a76d73677061636b")
AUTOMATIC = "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s"
AUTOMATIC_FILE = "3350d2fcfdb91acb120e8664660fb141"  # its file in a file store

# Where things stand in `frame()`, and in ENVELOPE.
PAYLOAD = 7 + len(HEADER)
BLOCK = 3  # the LZ4 block: token f0, one byte of length, 21 literals
CHECKSUM = 26
SIZE = 38
FORMAT = 39


def frame(payload=ENVELOPE, header=HEADER, length=None):
    return b"CK\x03" + struct.pack(">I", len(header) if length is None else length) + header + payload


def header_with(**changes):
    """The usual header with members of `m` changed; None removes one."""
    root = json.loads(HEADER)
    for name, value in changes.items():
        if value is None:
            del root["m"][name]
        else:
            root["m"][name] = value
    return json.dumps(root).encode()


def changed(value, at, *new):
    return value[:at] + bytes(new) + value[at + len(new) :]


def look(tool, value, *words):
    """The exit code and the JSON answer for bytes on standard input."""
    done = tool.run("inspect", "--json", *words, "-", input=value)
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)


def layers(answer):
    return [layer["layer"] for layer in answer["layers"]]


def test_the_layers_of_a_good_value(tool):
    code, answer = look(tool, frame())
    assert code == 0 and answer["verdict"] == "readable" and answer["damage"] == []
    assert answer["size"] == len(frame()) and answer["form"] == "frame"
    head, envelope, document = answer["layers"]
    assert (head["layer"], head["offset"], head["size"]) == ("frame", 0, PAYLOAD)
    assert (head["version"], head["header_length"], head["serializer"]) == (3, len(HEADER), "default")
    assert (head["format"], head["compressed"], head["verdict"]) == ("msgpack", True, "readable")
    assert (envelope["layer"], envelope["offset"], envelope["size"]) == ("envelope", PAYLOAD, len(ENVELOPE))
    assert (envelope["compressed_size"], envelope["declared_size"], envelope["format"]) == (23, 21, "msgpack")
    assert envelope["checksum"] == envelope["computed_checksum"] == "2d51da48812c1dd4" and envelope["checksum_matches"]
    assert (document["layer"], document["offset"], document["size"]) == ("document", None, len(DOCUMENT))
    assert document["value"] == {"user_id": 123, "name": "Alice"}


def test_people_see_the_same(tool):
    text = tool.ok("inspect", "-", input=frame()).decode()
    assert '"name": "Alice"' in text and "2d51da48812c1dd4, matches" in text
    assert text.endswith("\nreadable\n") and "\033" not in text


# ---- entries of the store --------------------------------------------------------------------------------------


def test_an_entry_is_explained_with_its_life_and_the_parts_of_its_key(tool):
    tool.ok("set", "--as", "json", "--ttl", "1h", AUTOMATIC, '{"a": [1, 2.5, null]}')
    answer = json.loads(tool.ok("inspect", "--json", AUTOMATIC))
    assert answer["key"] == AUTOMATIC and 3000 < answer["life"] <= 3601 and answer["life_from"] == "store"
    assert (answer["key_kind"], answer["namespace"], answer["function"]) == ("automatic", "test", "__main__.get_user")
    assert (answer["arguments_hash"][:4], answer["integrity"], answer["serializer_code"]) == ("3870", True, "s")
    assert answer["name"] == AUTOMATIC_FILE
    assert answer["layers"][-1]["value"] == {"a": [1, 2.5, None]}
    assert b"get_user" in tool.ok("inspect", AUTOMATIC)


@pytest.mark.parametrize(
    "key, kind",
    [
        ("user:1", "custom"),
        ("users:get_user:" + "0123456789abcdef" * 4, "interop"),
        ("Users:get_user:" + "0123456789abcdef" * 4, "custom"),
        ("func:a.b:args:" + "0" * 64 + ":0s", "automatic"),
        ("func:" + "x" * 45 + ":" + "0" * 32, "shortened"),
        ("t:acme:func:a.b:args:" + "0" * 64 + ":0s", "automatic"),
        ("", None),
    ],
)
def test_kinds_of_keys(tool, key, kind):
    done = tool.run("inspect", "--json", key)
    if kind is None:
        assert done.returncode == 2 and b"empty" in done.stderr
    else:
        assert done.returncode == 1 and json.loads(done.stdout)["key_kind"] == kind


def test_an_entry_of_a_tenant_is_shown_as_the_user_calls_it(tool):
    tool.ok("set", "--tenant", "acme", "k", "v")
    answer = json.loads(tool.ok("inspect", "--json", "--tenant", "acme", "k"))
    assert (answer["key"], answer["stored_key"], answer["tenant"]) == ("k", "t:acme:k", "acme")
    assert tool.run("inspect", "k").returncode == 1


def test_an_absent_entry_is_exit_code_1(tool):
    done = tool.run("inspect", "absent")
    assert done.returncode == 1 and b"absent" in done.stdout and done.stderr == b""
    answer = json.loads(tool.run("inspect", "--json", "absent").stdout)
    assert answer["verdict"] == "absent" and answer["layers"] == []


def test_life_without_end(tool):
    tool.ok("set", "--ttl", "none", "k", "v")
    assert json.loads(tool.ok("inspect", "--json", "k"))["life"] is None
    assert b"no expiry" in tool.ok("inspect", "k")


def test_a_store_that_cannot_be_opened_is_exit_code_3_or_2(tool):
    assert tool.run("inspect", "--store", "redis://localhost", "k").returncode in (2, 3)
    assert tool.run("inspect", "--store", "nonsense:", "k").returncode == 2


# ---- key, file or standard input -------------------------------------------------------------------------------


def test_what_looks_like_a_path_is_a_file_and_everything_else_a_key(tool):
    tool.ok("set", "name", "of the store")
    tool.ok("set", "a/b", "with a slash")
    (tool.home / "name").write_bytes(frame())
    assert json.loads(tool.ok("inspect", "--json", "name"))["form"] == "text"
    assert json.loads(tool.ok("inspect", "--json", "a/b"))["key"] == "a/b"
    for path in ["./name", str(tool.home / "name"), f"../{tool.home.name}/name"]:
        assert json.loads(tool.ok("inspect", "--json", path))["form"] == "frame"
    assert json.loads(tool.ok("inspect", "--json", "--file", "name"))["form"] == "frame"


def test_key_makes_a_key_of_what_looks_like_a_path(tool):
    tool.ok("set", "/index.html", "page")
    assert tool.run("inspect", "/index.html").returncode == 1
    assert json.loads(tool.ok("inspect", "--json", "--key", "/index.html"))["layers"][0]["value"] == "page"


def test_an_absent_key_that_is_a_file_is_pointed_at(tool):
    (tool.home / "name").write_bytes(frame())
    done = tool.run("inspect", "name")
    assert done.returncode == 1 and b"--file" in done.stdout


def test_an_absent_file_is_exit_code_1(tool):
    done = tool.run("inspect", "--json", "./absent")
    assert done.returncode == 1 and json.loads(done.stdout)["verdict"] == "absent"
    assert tool.run("inspect", "./absent/absent").returncode == 1


def test_directories_pipes_and_devices_are_refused_without_waiting(tool):
    os.mkfifo(tool.home / "fifo")
    for path in ["./fifo", ".", "./", "/dev/null", "/dev/zero"]:
        done = tool.run("inspect", "--file", path, timeout=60)
        assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1


def test_a_file_larger_than_any_value_is_refused_before_it_is_read(tool):
    with open(tool.home / "huge", "wb") as file:
        file.truncate(1 << 40)
    done = tool.run("inspect", "./huge")
    assert done.returncode == 4 and b"larger than any value" in done.stderr


def available_memory():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))


@pytest.mark.skipif(available_memory() < 4 << 30, reason="reads up to the limit of 512 MiB, which needs 4 GiB of memory")
def test_standard_input_without_end_is_refused_at_the_limit(tool):
    with open("/dev/zero", "rb") as zero:
        done = tool.run("inspect", "-", stdin=zero)
    assert done.returncode == 4 and b"larger than any value" in done.stderr


@pytest.mark.parametrize(
    "words",
    [[], ["a", "b"], ["--key", "--file", "a"], ["--tenant", "t", "./a"], ["--nonsense", "a"], ["--tenant", "t", "-"]],
)
def test_wrong_usage_is_exit_code_2(tool, words):
    done = tool.run("inspect", *words)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closing, code", [("<&-", 4), (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 4)])
def test_closed_streams(tool, closing, code):
    command = f'"{tool.command()[0]}" inspect - {closing}'
    done = subprocess.run(["sh", "-c", command], env=tool.env, cwd=tool.home, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == code


def test_a_full_disk_behind_standard_output_is_an_error(tool):
    with open("/dev/full", "wb") as full:
        done = tool.run("inspect", "-", input=frame(), stdout=full, stderr=-1)
    assert done.returncode == 4 and b"standard output cannot be written" in done.stderr


# ---- files of a file store -------------------------------------------------------------------------------------


def test_a_cache_file_tells_its_key_and_its_life(tool):
    tool.ok("set", "--as", "json", "--ttl", "1h", AUTOMATIC, "[1]")
    path = tool.cache / AUTOMATIC_FILE
    answer = json.loads(tool.ok("inspect", "--json", path))
    assert answer["key"] == AUTOMATIC and answer["key_kind"] == "automatic"
    assert 3000 < answer["life"] <= 3601 and answer["life_from"] == "file header"
    assert layers(answer) == ["file header", "frame", "envelope", "document"]
    assert [layer["offset"] for layer in answer["layers"]] == [0, 14, 14 + PAYLOAD, None]
    (header, *_) = answer["layers"]
    assert (header["version"], header["flags"], header["size"]) == (1, 0, 14)
    assert header["expires_at"] == struct.unpack(">Q", path.read_bytes()[6:14])[0]
    assert AUTOMATIC.encode() in tool.ok("inspect", path)


def test_a_copied_cache_file_gets_its_key_from_the_store_that_is_named(tool):
    tool.ok("set", AUTOMATIC, "v")
    copy = tool.home / AUTOMATIC_FILE
    copy.write_bytes((tool.cache / AUTOMATIC_FILE).read_bytes())
    before = sorted(os.listdir(tool.home))
    assert json.loads(tool.ok("inspect", "--json", copy))["key"] is None
    assert json.loads(tool.ok("inspect", "--json", "--store", f"file://{tool.cache}", copy))["key"] == AUTOMATIC
    assert sorted(os.listdir(tool.home)) == before  # nothing was made beside it


def test_looking_at_a_file_makes_no_store(tool):
    (tool.home / "value").write_bytes(frame())
    tool.ok("inspect", "./value")
    tool.ok("inspect", "-", input=frame())
    assert os.listdir(tool.home) == ["value"]


def file_with(expiry, value=frame()):
    return b"CK\x01\x00\x00\x00" + struct.pack(">Q", expiry) + value


def test_an_expired_file_is_explained_and_said_to_have_expired(tool):
    path = tool.home / AUTOMATIC_FILE
    path.write_bytes(file_with(1700000000))
    done = tool.run("inspect", path)
    assert done.returncode == 0 and b"2023-11-14 22:13:20 UTC" in done.stdout and b"has expired" in done.stdout
    answer = json.loads(tool.ok("inspect", "--json", path))
    assert answer["life"] == 0 and answer["expired"] is True and path.exists()


@pytest.mark.parametrize("expiry, life", [(0, None), (2**63, 315360000), (2**64 - 1, 315360000), (1, 0)])
def test_expiry_stamps_of_every_size(tool, expiry, life):
    code, answer = look(tool, file_with(expiry))
    assert code == 0 and answer["life"] == life and answer["expired"] is (life == 0)


@pytest.mark.parametrize(
    "value, offset, problem",
    [
        (file_with(0)[:3], 3, "ends inside its header"),
        (file_with(0)[:13], 13, "ends inside its header"),
        (b"", 0, "ends inside its header"),
        (changed(file_with(0), 0, 0x58), 0, "no cache file begins like this"),
        (changed(file_with(0), 1, 0x58), 1, "no cache file begins like this"),
        (changed(file_with(0), 2, 2), 2, "no such version"),
        (changed(file_with(0), 3, 1), 3, "reserved bits"),
        (changed(file_with(0), 5, 1), 5, "reserved bits"),
    ],
)
def test_a_damaged_header_of_a_file(tool, value, offset, problem):
    path = tool.home / AUTOMATIC_FILE
    path.write_bytes(value)
    done = tool.run("inspect", "--json", path)
    answer = json.loads(done.stdout)
    (damage,) = answer["damage"]
    assert done.returncode == 4 and answer["verdict"] == "damaged"
    assert (damage["layer"], damage["offset"]) == ("file header", offset) and problem in damage["problem"]
    assert len(value) < 14 or layers(answer)[-1] == "document"  # what is behind it is explained all the same


def test_a_cut_off_cache_file_counts_from_the_beginning_of_the_file(tool):
    code, answer = look(tool, file_with(0, frame()[:40]))
    (damage,) = answer["damage"]
    assert code == 4 and (damage["layer"], damage["offset"], damage["offset_in_layer"]) == ("frame", 54, 40)


def test_a_whole_cache_file_as_a_value_is_damage(tool):
    tool.ok("set", "k", "-", input=file_with(0))
    done = tool.run("inspect", "--json", "k")
    (damage,) = json.loads(done.stdout)["damage"]
    assert done.returncode == 4 and damage["offset"] == 2 and "cache file" in damage["problem"]


# ---- damaged values --------------------------------------------------------------------------------------------

GOOD = frame()
AT = PAYLOAD  # of the envelope


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


# ---- other forms -----------------------------------------------------------------------------------------------


def test_an_encrypted_value_is_sealed(tool):
    header = header_with(
        encrypted=True, tenant_id="acme", encryption_algorithm="AES-256-GCM", key_fingerprint="52d54c97f8e5efaa5bdf58a301f92726"
    )
    code, answer = look(tool, frame(bytes(range(12)) + b"c" * 30 + b"\xee" * 16, header))
    sealed = answer["layers"][1]
    assert code == 0 and answer["verdict"] == "sealed" and (sealed["layer"], sealed["state"]) == ("encryption", "sealed")
    assert (sealed["nonce"], sealed["ciphertext_size"], sealed["tag"]) == (bytes(range(12)).hex(), 30, "ee" * 16)
    assert answer["layers"][0]["key_fingerprint"] == "52d54c97f8e5efaa5bdf58a301f92726" and sealed["tenant"] == "acme"
    assert b"does not open it" in tool.ok("inspect", "-", input=frame(b"x" * 28, header))
    code, answer = look(tool, frame(b"x" * 27, header))
    assert code == 4 and answer["damage"][0]["layer"] == "encryption"


def test_the_legacy_text_form(tool):
    text = json.dumps(
        {
            "data": base64.b64encode(ENVELOPE).decode(),
            "metadata": json.loads(HEADER)["m"],
            "serializer": "default",
            "version": "2.0",
        }
    ).encode()
    code, answer = look(tool, text)
    assert code == 0 and answer["form"] == "legacy_frame" and layers(answer) == ["legacy frame", "envelope", "document"]
    assert answer["layers"][2]["value"]["name"] == "Alice"
    bad = text.replace(base64.b64encode(ENVELOPE), base64.b64encode(changed(ENVELOPE, BLOCK, 0xE0)))
    code, answer = look(tool, bad)
    assert code == 4 and answer["damage"][0]["offset"] == text.index(b"lMQX") + 24  # the digits of byte 18
    code, answer = look(tool, text.replace(b'"format": "msgpack"', b'"format": "pickle!"'))
    assert code == 4 and answer["damage"][0]["offset"] == text.index(b'"format"')
    code, answer = look(tool, text.replace(b"lMQX", b"l!QX"))
    assert code == 4 and "base64" in answer["damage"][0]["problem"]


# What other programs wrote: name, stored bytes, the document.
FOREIGN = [
    ("old form of the block", "94dc0012ccf00168656c6c6f2c2063616368656b697421986dcc8a34ccb63a3c52ccd310a76d73677061636b", "integers"),
    ("repeated bytes", "94c40f1f410100ffffffe960414141414141984d35ccad08cce9ccd77c0dcd0400a76d73677061636b", "bytes"),
    (
        "fields with names",
        "84af636f6d707265737365645f64617461c412f00168656c6c6f2c2063616368656b697421a8636865636b73756d986dcc8a34ccb63a3c52"
        "ccd3ad6f726967696e616c5f73697a6510a6666f726d6174a76d73677061636b",
        "bytes",
    ),
]


@pytest.mark.parametrize("name, stored, encoding", FOREIGN, ids=[row[0] for row in FOREIGN])
def test_bare_envelopes_of_other_programs(tool, name, stored, encoding):
    """Their contents are no documents, which is found behind a sound envelope."""
    code, answer = look(tool, bytes.fromhex(stored))
    envelope = answer["layers"][0]
    assert answer["form"] == "envelope" and (envelope["state"], envelope["checksum_matches"]) == ("ok", True)
    assert envelope["block_encoding"] == encoding and envelope["form"] == ("map" if "names" in name else "array")
    assert code == 4 and answer["damage"][0]["layer"] == "document" and answer["damage"][0]["offset_in_layer"] == 1


def test_the_offset_in_a_block_of_the_old_form_is_that_of_its_integer(tool):
    stored = bytes.fromhex(FOREIGN[0][1])
    code, answer = look(tool, changed(stored, 6, 0x09))  # 15 + 9 literals, 16 are there
    assert code == 4 and (answer["damage"][0]["layer"], answer["damage"][0]["offset"]) == ("envelope", 4)


def test_a_bare_document_of_interop_mode(tool):
    code, answer = look(tool, bytes.fromhex("82a36167651ea46e616d65a5616c696365"))
    assert code == 0 and answer["form"] == "document" and answer["layers"][0]["value"] == {"age": 30, "name": "alice"}
    code, answer = look(tool, bytes.fromhex("82a36167651ea46e616d65a5616c6963"))
    assert code == 4 and (answer["damage"][0]["layer"], answer["damage"][0]["offset"]) == ("document", 11)
    code, answer = look(tool, bytes.fromhex("82a36167651ea46e616d65a5616c69636500"))
    assert code == 4 and answer["damage"][0]["offset"] == 17


def checked(content):
    """The checksums of these contents are known answers."""
    known = {b'{"a":1,"b":[true,null]}': "351633935cf22cd5"}
    return bytes.fromhex(known[content]) + content


ORJSON = HEADER.replace(b'"default"', b'"orjson"').replace(b'"msgpack"', b'"orjson"').replace(b"true", b"false")


def test_values_of_the_serializer_orjson(tool):
    content = b'{"a":1,"b":[true,null]}'
    start = 7 + len(ORJSON)
    code, answer = look(tool, frame(checked(content), ORJSON))
    assert code == 0 and layers(answer) == ["frame", "checksum", "json"] and answer["layers"][1]["checksum_matches"]
    assert answer["layers"][2]["value"] == {"a": 1, "b": [True, None]}
    assert look(tool, frame(content, ORJSON))[1]["layers"][1]["layer"] == "json"
    code, answer = look(tool, frame(changed(checked(content), 8 + 5, ord("!")), ORJSON))
    checksum, text = answer["damage"]
    assert code == 4 and checksum["offset"] == start and (text["layer"], text["offset"]) == ("json", start + 13)


def test_values_of_the_serializer_arrow(tool):
    header = HEADER.replace(b"msgpack", b"arrow").replace(b"default", b"arrow")
    file = b"ARROW1\0\0" + bytes(40) + b"ARROW1"
    code, answer = look(tool, frame(file, header))
    assert code == 0 and layers(answer) == ["frame", "arrow"]
    code, answer = look(tool, frame(bytes(8) + file, header))
    assert code == 4 and layers(answer) == ["frame", "checksum", "arrow"] and len(answer["damage"]) == 1
    code, answer = look(tool, frame(file[:-1], header))
    assert code == 4 and "cut off" in answer["damage"][0]["problem"]


def test_arrays_of_numpy(tool):
    header = header_with(compressed=False, original_type="numpy").replace(b"default", b"auto")
    stored = bytes.fromhex(
        "54c550c14ed5c5ae4e554d50595f5241570500696e74333208000200000002000000"
        "01000000020000000300000004000000"
    )
    code, answer = look(tool, frame(stored, header))
    array = answer["layers"][2]
    assert code == 0 and layers(answer) == ["frame", "checksum", "array"]
    assert (array["type"], array["shape"], array["element_bytes"]) == ("int32", [2, 2], 16)
    assert look(tool, frame(stored[8:], header))[0] == 0
    assert look(tool, frame(changed(stored, 40, 9), header))[0] == 4
    assert look(tool, frame(stored[8:20], header))[0] == 4
    assert look(tool, frame(b"nothing like it", header))[0] == 4


@pytest.mark.parametrize(
    "value, form, verdict",
    [
        (b"", "empty", "readable"),
        (b"hello\n", "text", "readable"),
        ("Gr\u00fc\u00dfe \u4e16".encode(), "text", "readable"),
        (b"\033[31mred\033[0m\n", "text", "readable"),
        (b"CKIT is a name\n", "text", "readable"),
        (b"{not json}", "text", "readable"),
        (b'{"a": 1}', "json", "readable"),
        (b" [1, 2]\n", "json", "readable"),
        (b"123", "json", "readable"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "bytes", "unknown"),
        (b"\0", "bytes", "unknown"),
        (b"\xff\xfe" * 50, "bytes", "unknown"),
        (b"\xc0", "document", "readable"),
        (b"\x80", "document", "readable"),
    ],
)
def test_other_bytes_are_told_apart_and_are_no_damage(tool, value, form, verdict):
    code, answer = look(tool, value)
    assert (code, answer["form"], answer["verdict"]) == (0, form, verdict)


def test_unknown_bytes_are_shown_in_hexadecimal(tool):
    text = tool.ok("inspect", "-", input=b"\x00\xff\x1b[2J" + bytes(range(200))).decode()
    assert "00000000   00 ff 1b 5b 32 4a" in text and "00000030" in text and "00000040" not in text
    assert "\x1b" not in text


def test_control_characters_of_values_and_keys_never_reach_the_terminal(tool):
    hostile = "\x1b]0;owned\x07\x9b31m\u202e"
    tool.ok("set", hostile, hostile)
    tool.ok("set", "--as", "text", "document", hostile)
    for words in [[hostile], ["document"]]:
        shown = tool.ok("inspect", *words).decode()
        assert not any(ord(c) < 0x20 and c != "\n" or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in shown)
    header = header_with(tenant_id="\x1b[31m", encrypted=True, encryption_algorithm="\x9b", key_fingerprint="\n")
    shown = tool.ok("inspect", "-", input=frame(b"x" * 40, header)).decode()
    assert "\x1b" not in shown and "\x9b" not in shown


def test_a_key_that_is_not_utf_8(tool):
    tool.ok("set", b"\xff\xfe", "v")
    answer = json.loads(tool.ok("inspect", "--json", b"\xff\xfe"))
    assert answer["key"] == {"base64": "//4="}
    assert b'"\\xff\\xfe"' in tool.ok("inspect", b"\xff\xfe")


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


# ---- colours and records ---------------------------------------------------------------------------------------


def on_terminal(tool, env):
    primary, secondary = pty.openpty()
    try:
        done = tool.run("inspect", "./value", stdout=secondary, stderr=-1, env=env)
        os.close(secondary)
        shown = b""
        while True:
            try:
                piece = os.read(primary, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            shown += piece
    finally:
        os.close(primary)
    return done.returncode, shown


def test_colours_are_for_terminals_and_no_color_turns_them_off(tool):
    (tool.home / "value").write_bytes(changed(GOOD, AT + CHECKSUM + 1, 0x2E))
    code, shown = on_terminal(tool, {"TERM": "xterm"})
    assert code == 4 and b"\033[31mdamaged\033[0m" in shown and b"\033[32mok\033[0m" in shown
    for env in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert b"\033" not in on_terminal(tool, env)[1]


def test_the_record_of_a_run_is_recognised(tool):
    tool.ok("set", "--as", "json", "k", '{"cachekit.run": 1, "exit": 0}')
    assert b"cachekit run has run" in tool.ok("inspect", "k")
    assert json.loads(tool.ok("inspect", "--json", "k"))["layers"][-1]["value"]["cachekit.run"] == 1


def test_the_name_of_a_file_is_the_hash_of_its_key(tool):
    tool.ok("set", "k", "v")
    name = json.loads(tool.ok("inspect", "--json", "k"))["name"]
    assert name == hashlib.blake2b(b"k", digest_size=16).hexdigest() and (tool.cache / name).exists()
