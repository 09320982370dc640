"""Entries from the shell: get, set, delete, exists, ttl, touch."""

import base64
import json
import os
import pty
import select
import subprocess

import pytest

ALL_BYTES = bytes(range(256))


def frame(payload, s="default", format="msgpack", compressed=True, original_type="msgpack", **more):
    """A "CK" frame as the Python SDK writes it."""
    meta = {"format": format, "encoding": "utf-8", "compressed": compressed, "original_type": original_type, **more}
    header = json.dumps({"s": s, "m": meta, "v": "2.0"}).encode()
    return b"CK\x03" + len(header).to_bytes(4, "big") + header + payload


ALICE = {"user_id": 123, "name": "Alice"}
ALICE_DOCUMENT = bytes.fromhex("82a7757365725f69647ba46e616d65a5416c696365")
ALICE_ENVELOPE = bytes.fromhex("94c417f00682a7757365725f69647ba46e616d65a5416c696365982d51ccda48cc812c1dccd415a76d73677061636b")
NONE_ENVELOPE = bytes.fromhex("94c40210c09805264b395bccaf644c01a76d73677061636b")
ORJSON_SUM = bytes.fromhex("351633935cf22cd5")
ORJSON = b'{"a":1,"b":[true,null]}'
NUMPY_SUM = bytes.fromhex("54c550c14ed5c5ae")
NUMPY = bytes.fromhex("4e554d50595f5241570500696e7433320800020000000200000001000000020000000300000004000000")
TUPLE = bytes.fromhex(
    "94c43bf50d82a95f5f7475706c655f5fc3a576616c7565920182a85f5f757569641300b0d92431323334353637382d09001a2d0a008031323334"
    "353637389875cc8c5c37070a1cccc44ba76d73677061636b"
)
SEALED = frame(
    bytes.fromhex("0102030405060708000000006dc9b33ff8d28cbcd805352247d85421d115c7a9d49f7b1c306f079b79d9ef447cf66ba92f"),
    compressed=False, encrypted=True, tenant_id="00000000-0000-0000-0000-000000000001", encryption_algorithm="AES-256-GCM",
    key_fingerprint="33afb25a45ad1762dc4df32cffa3dde5",
)  # fmt: skip
LEGACY = json.dumps(
    {"data": base64.b64encode(ALICE_ENVELOPE).decode(),
     "metadata": {"format": "msgpack", "encoding": "utf-8", "compressed": True, "original_type": "msgpack"},
     "serializer": "default", "version": "2.0"}
).encode()  # fmt: skip


def put(tool, value, *words, key="k"):
    tool.ok("set", key, "-", *words, input=value)


def refused(tool, code, told, *words, **options):
    """One line of error, nothing on standard output."""
    done = tool.run(*words, **options)
    assert done.returncode == code, done
    assert done.stdout == b"" and done.stderr.count(b"\n") == 1
    assert told in done.stderr
    return done


# ---- values as they are -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["raw", "bytes"])
@pytest.mark.parametrize("value", [b"", b"\n", b"text", b"\0", ALL_BYTES, b"x" * 3_000_000, b"CK", b"CKX", b"CK\x04\0\0\0\0"],
                         ids=lambda value: repr(value)[:20])  # fmt: skip
def test_any_bytes_come_back_as_they_were(tool, form, value):
    put(tool, value, "--as", form)
    assert tool.ok("get", "k") == value
    assert tool.ok("get", "k", "--as", "hex") == value.hex().encode() + b"\n"


def test_text_comes_back_as_it_was(tool):
    tool.ok("set", "k", "é\n€", "--as", "text")
    assert tool.ok("get", "k") == "é\n€".encode()
    assert tool.ok("get", "k", "--as", "json").decode() == '"é\\n€"\n'


def test_a_value_is_taken_from_the_command_line_or_from_standard_input(tool):
    tool.ok("set", "k", "one word")
    assert tool.ok("get", "k") == b"one word"
    tool.ok("set", "k", "")
    assert tool.ok("get", "k") == b""
    tool.ok("set", "--", "k", "-5")
    assert tool.ok("get", "k") == b"-5"
    tool.ok("set", "k", "-")
    assert tool.ok("get", "k") == b""


def test_what_is_set_last_counts(tool):
    tool.ok("set", "k", "old")
    tool.ok("set", "k", "new", "--as", "text")
    assert tool.ok("get", "k") == b"new"


@pytest.mark.parametrize("key", ["a b", "..", "/etc/passwd", "é", "a\nb\x1b[31m\x7f", b"\xff\xfe", "x" * 65536, "-k", "k=v", "*"],
                         ids=lambda key: repr(key)[:20])  # fmt: skip
def test_keys_are_any_bytes(tool, key):
    tool.ok("set", "--", key, "value")
    assert tool.ok("get", "--", key) == b"value"
    told = json.loads(tool.ok("get", "--json", "--", key))["key"]
    assert told == (key if isinstance(key, str) else {"base64": base64.b64encode(key).decode()})
    assert tool.run("delete", "--", key).returncode == 0
    assert tool.run("get", "--", key).returncode == 1


def test_keys_that_no_store_can_hold_are_refused(tool):
    refused(tool, 2, b"the key is empty", "set", "", "value")
    for words in (["set", "x" * 65537, "v"], ["get", "x" * 65537], ["delete", "x" * 65537]):
        assert tool.run(*words).returncode in (3, 4)


# ---- documents ------------------------------------------------------------------------------------------------------------


def test_documents_are_stored_byte_for_byte_as_the_sdks_store_them(tool):
    tool.ok("set", "k", json.dumps(ALICE), "--as", "json")
    assert tool.ok("get", "k", "--as", "raw") == frame(ALICE_ENVELOPE)
    tool.ok("set", "k", "null", "--as", "json")
    assert tool.ok("get", "k", "--as", "raw") == frame(NONE_ENVELOPE)


FORMS = {
    "frame and envelope": (frame(ALICE_ENVELOPE), "document", ALICE),
    "frame without envelope": (frame(ALICE_DOCUMENT, compressed=False), "document", ALICE),
    "legacy text form": (LEGACY, "document", ALICE),
    "serializer auto": (frame(TUPLE, s="auto"), "document",
                        {"__tuple__": True, "value": [1, {"__uuid__": True, "value": "12345678-1234-5678-1234-567812345678"}]}),
    "old auto that denies its envelope": (frame(ALICE_ENVELOPE, s="auto", compressed=False), "document", ALICE),
    "old auto that promises one": (frame(ALICE_DOCUMENT, s="auto"), "document", ALICE),
    "orjson with checksum": (frame(ORJSON_SUM + ORJSON, "orjson", "orjson", False, "orjson"), "json", json.loads(ORJSON)),
    "orjson without": (frame(ORJSON, "orjson", "orjson", False, "orjson"), "json", json.loads(ORJSON)),
}  # fmt: skip


@pytest.mark.parametrize("stored, form, value", FORMS.values(), ids=FORMS)
def test_what_other_sdks_stored_is_shown(tool, stored, form, value):
    put(tool, stored)
    assert json.loads(tool.ok("get", "k")) == value
    assert json.loads(tool.ok("get", "k", "--as", "json")) == value
    assert tool.ok("get", "k", "--as", "raw") == stored
    told = json.loads(tool.ok("get", "k", "--json"))
    assert (told["form"], told["value"], told["value_size"]) == (form, value, len(stored))


@pytest.mark.parametrize("stored", [frame(b'"text"', "orjson", "orjson", False, "orjson"), frame(b"\xa4text", compressed=False),
                                    frame(b"\xc4\x04text", compressed=False)])  # fmt: skip
def test_a_document_that_is_text_or_bytes_is_printed_as_such(tool, stored):
    put(tool, stored)
    assert tool.ok("get", "k") == b"text"
    assert tool.ok("get", "k", "--as", "hex") == b"text".hex().encode() + b"\n"


def test_arrays_of_other_serializers_are_given_without_their_checksum(tool):
    for payload in (NUMPY, NUMPY_SUM + NUMPY):
        put(tool, frame(payload, "auto", "msgpack", False, "numpy"))
        assert tool.ok("get", "k") == NUMPY
        refused(tool, 4, b'"foreign" cannot be shown as JSON', "get", "k", "--as", "json")
    put(tool, frame(b"anything", "MySerializer", "msgpack", False, None))
    assert tool.ok("get", "k") == b"anything"
    assert json.loads(tool.ok("get", "k", "--json"))["form"] == "foreign"


@pytest.mark.parametrize("stored, form, value", [
    (b' {"a": [1.0]}', "json", {"a": [1.0]}),
    (ALICE_ENVELOPE, "envelope", ALICE),
    (ALICE_DOCUMENT, "bare document", ALICE),
    (b"\xc0", "bare document", None),
    (b"5", "json", 5),
], ids=["JSON", "envelope", "document", "nil", "both"])  # fmt: skip
def test_a_bare_value_is_read_when_asked_for(tool, stored, form, value):
    put(tool, stored)
    assert tool.ok("get", "k") == stored
    assert json.loads(tool.ok("get", "k", "--as", "json")) == value
    told = json.loads(tool.ok("get", "k", "--as", "json", "--json"))
    assert (told["form"], told["value"]) == (form, value)


def test_bytes_that_are_no_value_have_no_json(tool):
    put(tool, b"plain words")
    refused(tool, 4, b"no JSON, no envelope and no document", "get", "k", "--as", "json")


# ---- what cannot be read --------------------------------------------------------------------------------------------------

CHECKSUM_BROKEN = ALICE_ENVELOPE.replace(b"Alice", b"Alicf")
DAMAGED = {
    "checksum": frame(CHECKSUM_BROKEN),
    "envelope cut": frame(ALICE_ENVELOPE[:-9]),
    "no payload": frame(b""),
    "header cut": frame(ALICE_ENVELOPE)[:60],
    "only the beginning": b"CK\x03",
    "length beyond the end": b"CK\x03\xff\xff\xff\xff{}",
    "header is no JSON": b"CK\x03\0\0\0\x02{]",
    "header without format": b"CK\x03\0\0\0\x09" + b'{"m": {}}',
    "document cut": frame(ALICE_DOCUMENT[:-1], compressed=False),
    "bytes behind the document": frame(ALICE_DOCUMENT + b"\0", compressed=False),
    "no envelope": frame(ALICE_DOCUMENT),
    "orjson's checksum": frame(b"12345678" + ORJSON, "orjson", "orjson", False, "orjson"),
    "orjson without JSON": frame(b"{", "orjson", "orjson", False, "orjson"),
    "numpy's checksum": frame(b"12345678" + NUMPY, "auto", "msgpack", False, "numpy"),
    "encrypted for nobody": frame(b"sealed", encrypted=True),
    "the envelope of auto": frame(CHECKSUM_BROKEN, s="auto", compressed=False),
    "legacy form": LEGACY.replace(b'"data": "', b'"data": "!'),
    "legacy form cut": LEGACY[:-2],
}


@pytest.mark.parametrize("stored", DAMAGED.values(), ids=DAMAGED)
def test_damaged_values_are_never_shown(tool, stored):
    put(tool, stored)
    for words in ([], ["--as", "json"], ["--as", "hex"], ["--json"]):
        refused(tool, 4, b"(E", "get", "k", *words)
    assert tool.ok("get", "k", "--as", "raw") == stored
    told = json.loads(tool.ok("get", "k", "--as", "raw", "--json"))
    assert told["form"] == "damaged" and told["value_size"] == len(stored)
    assert tool.run("exists", "k").returncode == 0, "looking at it removes nothing"


def test_who_meets_a_damaged_value_is_told_the_key_and_where_to_look(tool):
    put(tool, DAMAGED["checksum"])
    refused(tool, 4, b"the entry of k is damaged: ", "get", "k")
    refused(tool, 4, b"; see cachekit inspect k\n", "get", "k")
    put(tool, b"no JSON")
    assert b"damaged" not in refused(tool, 4, b"no JSON", "get", "k", "--as", "json").stderr


@pytest.mark.parametrize("stored", [CHECKSUM_BROKEN, ALICE_ENVELOPE[:-9], ALICE_ENVELOPE.replace(b"\xf0\x06", b"\xf0\x07")],
                         ids=["checksum", "cut", "block"])  # fmt: skip
def test_a_bare_envelope_that_is_damaged_is_not_shown_as_another_document(tool, stored):
    put(tool, stored)
    assert tool.ok("get", "k") == stored
    refused(tool, 4, b"(E", "get", "k", "--as", "json")
    assert tool.run("inspect", "k").returncode == 4


def test_encrypted_values_are_told_apart_and_stay_sealed(tool):
    put(tool, SEALED)
    for words in ([], ["--as", "json"], ["--as", "hex"], ["--json"]):
        refused(tool, 4, b"encrypted", "get", "k", *words)
    assert tool.ok("get", "k", "--as", "raw") == SEALED
    assert json.loads(tool.ok("get", "k", "--as", "raw", "--json"))["form"] == "encrypted"


def test_text_that_is_no_text_is_refused(tool):
    refused(tool, 2, b"--as bytes", "set", "k", "-", "--as", "text", input=b"\xff")
    assert tool.run("exists", "k").returncode == 1


# ---- answers ------------------------------------------------------------------------------------------------------------


def test_a_miss_prints_nothing_and_answers_1(tool):
    for words in (["get"], ["ttl"], ["exists"], ["delete"], ["touch"]):
        done = tool.run(*words, "absent")
        assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_one_absent_key_of_several_answers_1_and_the_others_are_done(tool):
    for key in "ac":
        tool.ok("set", key, "value", "--ttl", "1h")
    assert tool.run("exists", "a", "c").returncode == 0
    assert tool.run("exists", "a", "b", "c").returncode == 1
    assert tool.run("touch", "a", "b", "c", "--ttl", "none").returncode == 1
    assert tool.ok("ttl", "c") == b"no expiry\n"
    assert tool.run("delete", "a", "b", "c").returncode == 1
    assert tool.run("exists", "c").returncode == 1


def test_answers_in_json(tool):
    def told(*words):
        return [json.loads(line) for line in tool.run(*words, "--json").stdout.splitlines()]

    assert told("set", "a", "é") == [{"key": "a", "stored": True, "value_size": 2}]
    assert told("exists", "a", "b") == [{"key": "a", "exists": True}, {"key": "b", "exists": False}]
    assert told("touch", "a", "b", "--ttl", "none") == [{"key": "a", "touched": True}, {"key": "b", "touched": False}]
    assert told("ttl", "a") == [{"key": "a", "found": True, "life": None}]
    assert told("ttl", "b") == [{"key": "b", "found": False}]
    assert told("get", "a") == [{"key": "a", "found": True, "form": "raw", "value_size": 2, "life": None, "value": "é"}]
    assert told("get", "b") == [{"key": "b", "found": False}]
    assert told("delete", "a", "b") == [{"key": "a", "removed": True}, {"key": "b", "removed": False}]
    assert told("set", "a", "x", "--ttl", "0") == [{"key": "a", "stored": False, "value_size": 1}]
    put(tool, ALL_BYTES)
    assert told("get", "k")[0]["value"] == {"base64": base64.b64encode(ALL_BYTES).decode()}
    assert told("get", "k", "--as", "hex")[0]["value"] == ALL_BYTES.hex()
    put(tool, ALL_BYTES, "--as", "bytes")
    assert told("get", "k", "--as", "json")[0]["value"] == {"__bytes__": base64.b64encode(ALL_BYTES).decode()}


# ---- lifetimes ----------------------------------------------------------------------------------------------------------


def life(tool, key="k"):
    return json.loads(tool.ok("ttl", key, "--json"))["life"]


@pytest.mark.parametrize("words, seconds", [([], 3600), (["--ttl", "90s"], 90), (["--ttl", "1h30m"], 5400), (["--ttl", "3650d"], 315360000)])
def test_lifetimes_are_as_asked(tool, words, seconds):
    tool.ok("set", "k", "value", *words)
    assert seconds - 300 < life(tool) <= seconds + 1
    tool.ok("set", "k", "value", "--ttl", "none")
    tool.ok("touch", "k", *words)
    assert seconds - 300 < life(tool) <= seconds + 1


def test_without_expiry(tool):
    tool.ok("set", "k", "value", "--ttl", "none")
    assert (tool.ok("ttl", "k"), tool.ok("ttl", "--seconds", "k")) == (b"no expiry\n", b"none\n")
    assert life(tool) is None


def test_seconds_and_words(tool):
    tool.ok("set", "k", "value", "--ttl", "7d")
    assert tool.ok("ttl", "k") in (b"7d\n", b"6d23h\n")
    assert 604500 < int(tool.ok("ttl", "--seconds", "k")) <= 604801


def test_a_lifetime_of_zero_stores_nothing_and_removes_what_was_there(tool):
    tool.ok("set", "k", "value")
    tool.ok("set", "k", "other", "--ttl", "0")
    assert tool.run("exists", "k").returncode == 1
    tool.ok("set", "k", "other", "--ttl", "0")
    refused(tool, 2, b"cachekit delete", "touch", "k", "--ttl", "0")


@pytest.mark.parametrize("ttl", ["", "-1s", "1", "1.5h", "1x", "1s1h", "1m1m", " 1s", "never"])
def test_what_is_no_lifetime_is_refused_and_changes_nothing(tool, ttl):
    tool.ok("set", "k", "old")
    refused(tool, 2, b"is no duration", "set", "k", "new", f"--ttl={ttl}")
    refused(tool, 2, b"is no duration", "touch", "k", f"--ttl={ttl}")
    assert tool.ok("get", "k") == b"old"


@pytest.mark.parametrize("ttl", ["3651d", "99999999999999999999s", "3650d1ms"])
def test_a_lifetime_that_is_too_long_is_told_the_longest(tool, ttl):
    refused(tool, 2, b"at most 3650d, or none", "set", "k", "new", "--ttl", ttl)


# ---- scopes -------------------------------------------------------------------------------------------------------------


def test_tenants_do_not_see_each_other(tool):
    tool.ok("set", "k", "one", "--tenant", "a")
    tool.ok("set", "k", "two", "--tenant", "b/c")
    assert tool.ok("get", "k", "--tenant", "a") == b"one"
    assert tool.ok("get", "k", "--tenant", "b/c") == tool.ok("get", "t:b%2Fc:k") == b"two"
    assert json.loads(tool.ok("get", "k", "--json", "--tenant", "a"))["key"] == "k"
    assert tool.run("get", "k").returncode == 1
    assert tool.run("delete", "k", "--tenant", "a").returncode == 0
    assert tool.run("exists", "k", "--tenant", "b/c").returncode == 0
    refused(tool, 2, b"--tenant is empty", "get", "k", "--tenant", "")


def test_stores_are_chosen_by_url(tool):
    tool.ok("set", "k", "here", "--store", f"file://{tool.home}/one")
    assert tool.ok("--store", f"file://{tool.home}/one", "get", "k") == b"here"
    assert tool.ok("get", "k", env={"CACHEKIT_FILE_CACHE_DIR": f"{tool.home}/one", "CACHEKIT_BACKEND": "file"}) == b"here"


# ---- wrong usage, and a world that is not as it should be --------------------------------------------------------------


@pytest.mark.parametrize("words", [
    ["get"], ["get", "a", "b"], ["get", "a", "--as", "xml"], ["get", "a", "--ttl", "1h"], ["get", ""], ["set"], ["set", "a"],
    ["set", "a", "b", "c"], ["set", "a", "b", "--as", "value"], ["set", "a", "-5"], ["set", "a", "b", "--namespace", b"\xff"],
    ["delete"], ["delete", ""], ["exists"], ["ttl"], ["ttl", "a", "b"], ["touch"], ["set", "a", "b", "--ttl"],
], ids=lambda words: repr(words))  # fmt: skip
def test_wrong_usage_is_told_in_one_line(tool, words):
    refused(tool, 2, b"cachekit: ", *words)


def test_a_store_that_cannot_be_opened_answers_3(tool):
    (tool.home / "file").write_text("no directory")
    for words in (["get", "k"], ["set", "k", "v"], ["delete", "k"], ["exists", "k"], ["ttl", "k"], ["touch", "k"]):
        refused(tool, 3, b"", *words, "--store", f"file://{tool.home}/file")


def test_no_home_is_no_crash(tool):
    done = tool.run("get", "k", env={"HOME": None, "XDG_CACHE_HOME": f"{tool.home}/other"})
    assert done.returncode == 1


def test_output_that_cannot_be_written_is_an_error(tool):
    put(tool, b"x" * 100000)
    with open("/dev/full", "wb") as full:
        for words in (["get", "k"], ["get", "k", "--as", "hex"], ["get", "k", "--json"], ["ttl", "k"], ["exists", "k", "--json"]):
            done = tool.run(*words, stdout=full, stderr=-1)
            assert done.returncode == 4 and b"cannot be written" in done.stderr


def closed(tool, fd, *words):
    return subprocess.run(tool.command(*words), env=tool.env, cwd=tool.home, preexec_fn=lambda: os.close(fd), stderr=None if fd == 2 else -1)


def test_a_closed_input_is_no_empty_value(tool):
    done = closed(tool, 0, "set", "k", "-")
    assert done.returncode == 4 and b"standard input cannot be read" in done.stderr
    assert tool.run("exists", "k").returncode == 1


def test_closed_streams_never_reach_the_files_of_the_store(tool):
    for fd in (0, 1, 2):
        assert closed(tool, fd, "set", "k", "value").returncode == 0
        assert tool.ok("get", "k") == b"value"
    assert closed(tool, 2, "get", "k", "--as", "json").returncode == 4
    assert tool.ok("get", "k") == b"value"


def test_a_reader_that_goes_away_ends_the_tool_quietly(tool):
    put(tool, b"x" * 3_000_000)
    done = subprocess.run(["sh", "-c", '"$0" get k | head -c 1', *tool.command()], env=tool.env, cwd=tool.home, capture_output=True)
    assert done.stdout == b"x" and done.stderr == b""


def test_input_beyond_the_limit_of_the_store_is_refused(tool):
    url = f"file://{tool.home}/small?max_size_mb=2"
    refused(tool, 4, b"E105", "set", "k", "-", "--store", url, input=b"x" * 5_000_000)
    assert tool.run("exists", "k", "--store", url).returncode == 1
    tool.ok("set", "k", "old", "--store", url)
    refused(tool, 4, b"E105", "set", "k", "-", "--store", url, input=b"x" * 1_500_000)
    assert tool.ok("get", "k", "--store", url) == b"old"
    with open("/dev/zero", "rb") as endless:
        done = tool.run("set", "k", "-", "--store", url, stdin=endless, capture_output=True)
    assert done.returncode == 4 and b"E105" in done.stderr


def test_a_directory_as_input_is_an_error(tool):
    directory = os.open(tool.home, os.O_RDONLY)
    try:
        refused(tool, 4, b"standard input cannot be read", "set", "k", "-", stdin=directory)
    finally:
        os.close(directory)


# ---- terminals ----------------------------------------------------------------------------------------------------------


def on_terminal(tool, *words):
    """Standard output of a command that runs on a terminal."""
    leader, follower = pty.openpty()
    process = tool.start(*words, stdin=subprocess.DEVNULL, stdout=follower)
    os.close(follower)
    shown = b""
    while select.select([leader], [], [], 100)[0]:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait(240) == 0
    return shown.replace(b"\r\n", b"\n")


def test_on_a_terminal_the_last_line_ends_and_json_is_indented(tool):
    tool.ok("set", "k", "text")
    assert on_terminal(tool, "get", "k") == b"text\n"
    tool.ok("set", "k", "line\n", "--as", "text")
    assert on_terminal(tool, "get", "k") == b"line\n"
    tool.ok("set", "k", '{"a": [1, {}, []], "b": {"c": null}}', "--as", "json")
    assert on_terminal(tool, "get", "k") == \
        b'{\n  "a": [\n    1,\n    {},\n    []\n  ],\n  "b": {\n    "c": null\n  }\n}\n'  # fmt: skip
    assert on_terminal(tool, "get", "k", "--json").count(b"\n") == 1
