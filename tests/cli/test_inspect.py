"""`cachekit inspect`: every layer of a stored value."""

import base64
import hashlib
import json
import os
import pty
import struct
import subprocess

import pytest

from inspected import (
    AT,
    BLOCK,
    CHECKSUM,
    DOCUMENT,
    ENVELOPE,
    GOOD,
    HEADER,
    PAYLOAD,
    changed,
    frame,
    header_with,
    layers,
    look,
)

AUTOMATIC = "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s"
AUTOMATIC_FILE = "3350d2fcfdb91acb120e8664660fb141"  # its file in a file store


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
