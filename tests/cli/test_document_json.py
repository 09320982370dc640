"""JSON to documents and back: what `set --as json` stores, as MessagePack, and what `get` makes of documents."""

import json
import math
import random
import struct

import pytest


def pack(value):
    """MessagePack in its shortest form, written independently of the library."""

    def head(count, small, small_max, wide):
        for limit, code, form in wide:
            if count <= small_max:
                return bytes([small | count])
            if count < limit:
                return bytes([code]) + struct.pack(form, count)
        raise OverflowError

    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128 or -32 <= value < 0:
            return struct.pack("b", value)
        wide = [(1 << 8, 0xCC, ">B"), (1 << 16, 0xCD, ">H"), (1 << 32, 0xCE, ">I"), (1 << 64, 0xCF, ">Q")]
        if value < 0:
            wide = [(1 << 7, 0xD0, ">b"), (1 << 15, 0xD1, ">h"), (1 << 31, 0xD2, ">i"), (1 << 63, 0xD3, ">q")]
        for limit, code, form in wide:
            if value < limit and -value <= limit:
                return bytes([code]) + struct.pack(form, value)
        return pack(float(value))
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return head(len(data), 0xA0, 31, [(1 << 8, 0xD9, ">B"), (1 << 16, 0xDA, ">H"), (1 << 32, 0xDB, ">I")]) + data
    if isinstance(value, list):
        return head(len(value), 0x90, 15, [(1 << 16, 0xDC, ">H"), (1 << 32, 0xDD, ">I")]) + b"".join(map(pack, value))
    members = b"".join(pack(name) + pack(member) for name, member in value.items())
    return head(len(value), 0x80, 15, [(1 << 16, 0xDE, ">H"), (1 << 32, 0xDF, ">I")]) + members


def documents_of(tool, texts):
    """The MessagePack of JSON texts, in one go: each text is an element of one array."""
    tool.ok("set", "d", "-", "--as", "json", input=b"[" + b",".join(texts) + b"]")
    return bytes.fromhex(tool.ok("get", "d", "--as", "hex").decode())


def show(tool, document):
    """JSON of a bare document."""
    tool.ok("set", "d", "-", input=document)
    return tool.ok("get", "d", "--as", "json")


def same(a, b):
    """Equality that tells 1 from 1.0, true from 1 and 0.0 from -0.0."""
    return pack(a) == pack(b)


# ---- from JSON ------------------------------------------------------------------------------------------------------

PLAIN = [
    "null", "true", "false", "0", "-0", "1", "127", "128", "255", "256", "65535", "65536", "4294967295", "4294967296",
    "18446744073709551615", "-1", "-32", "-33", "-128", "-129", "-32768", "-32769", "-2147483648", "-2147483649",
    "-9223372036854775808", "0.0", "-0.0", "1.0", "0.1", "1e3", "1E+3", "1e-3", "-1.5e300", "5e-324", "1e-400",
    "1.7976931348623157e308", '""', '"text"', '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\u0000"', '"\\u00e9\\u20ac"',
    '"\\ud83d\\ude00"', '"\\uFFFF"', '"é€😀"', "[]", "{}", "[[]]", '[{}, [1, {"a": []}]]', '{"": 0}', '{"a\\u0001b": "\\u0000"}',
    '{"z": 1, "a": 2}', " [ 1 ,\t2\r\n] ", '{ "a" : 1 }',
]  # fmt: skip


def test_plain_values_become_their_shortest_encoding(tool):
    assert documents_of(tool, [text.encode() for text in PLAIN]) == pack([json.loads(text) for text in PLAIN])


def test_floats_may_have_as_many_digits_as_the_exact_form_of_one_has(tool):
    texts = ["18446744073709551616.0", "-9223372036854775809e0", "1" + "0" * 300 + ".0", "0." + "3" * 700]
    assert documents_of(tool, [text.encode() for text in texts]) == pack([float(text) for text in texts])


@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 300])
def test_whole_numbers_beyond_64_bits_are_refused_and_never_rounded(tool, text):
    done = tool.run("set", "d", "-", "--as", "json", input=f"[1,\n{text}]".encode())
    assert done.returncode == 2 and b"line 2, byte 1: a whole number beyond 64 bits" in done.stderr


@pytest.mark.parametrize("count", [15, 16, 31, 32, 65535, 65536, 70000])
def test_arrays_maps_and_texts_of_every_length_have_the_right_headers(tool, count):
    value = [list(range(count)), {str(i): i for i in range(count)}, "x" * count, [[i] for i in range(count)]]
    tool.ok("set", "d", "-", "--as", "json", input=json.dumps(value).encode())
    assert bytes.fromhex(tool.ok("get", "d", "--as", "hex").decode()) == pack(value)
    assert json.loads(tool.ok("get", "d")) == value


REPEATED = [
    '{"a": 1, "a": 2}',
    '{"a": 1, "b": 2, "a": {"c": 1, "c": [2]}, "c": 3, "b": 4, "a": 5}',
    '{"a": {"x": 1, "x": 2}, "a": {"y": 1, "y": 2}}',
    '{"\\u0061": 1, "a": 2}',
    "{" + ", ".join(f'"{i % 17}": {i}' for i in range(100)) + "}",
]


def test_of_several_members_with_one_name_the_last_value_counts_in_the_first_place(tool):
    assert documents_of(tool, [text.encode() for text in REPEATED]) == pack([json.loads(text) for text in REPEATED])


WRONG = [
    b"", b" ", b"nul", b"nulll", b"True", b"NaN", b"Infinity", b"-Infinity", b"-", b"+1", b"01", b"-01", b"1.", b".5",
    b"1e", b"1e+", b"0x10", b"1 2", b"1,", b"[", b"[1", b"[1,", b"[1,]", b"[,1]", b"[1 2]", b"[1}", b"{", b'{"a"', b'{"a":',
    b'{"a":1', b'{"a":1,}', b'{"a":1]', b"{a:1}", b"{1:1}", b'{"a" 1}', b"'a'", b'"', b'"a', b'"\\', b'"\\x"', b'"\\u12"',
    b'"\\u12g4"', b'"\\ud83d"', b'"\\ude00"', b'"\\ud83d\\u0041"', b'"\\ud83d\\ud83d"', b'"a\nb"', b'"\x00"', b"\x00", b"1\x00",
    b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf1", b"// c\n1", b"1e400", b"-1e400", b"]", b"}", b":",
    b"1" * 2000, b"00", b"-00", b"01.5", b"[01]", b"[-.5]", b"[1.e5]", b"[1.,2]", b"nan", b"inf", b"infinity", b"[-Infinity]", b"[1]\x00",
    b"[1\x00]", b"[1, // c\n2]", b"[1] [2]", b"[1]]", b'{"a":1}}', b'{"a\\u0000b":1}', b'{"a\\u0000" \t\r\n:1}', b'["a\tb"]', b'{"a\x01":1}',
    b'["\xf5\x80\x80\x80"]', b'{"\xff":1}', b'["\\ud83d\\n"]', b'["\\ude00\\ud83d"]', b"[1\xc3]", b"\x0b1", b"1\x0c", b"[1\xa0]", b"\xc2\xa01",
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=lambda text: repr(text[:20]))
def test_what_is_no_json_is_refused_and_nothing_is_stored(tool, text):
    done = tool.run("set", "d", "-", "--as", "json", input=text)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"cachekit: not JSON at line ") and done.stderr.count(b"\n") == 1
    assert tool.run("exists", "d").returncode == 1


@pytest.mark.parametrize(
    "text, place",
    [
        (b'{\n  "a": 1,\n  "b": ?\n}', b"line 3, byte 8: unexpected character"),
        (b'["a",\n "b', b"line 2, byte 4: unexpected end of data"),
        (b'{"a": 1\n "b": NaN}', b"line 2, byte 2: object value separator"),
        (b'{"a": 1,\n "b": NaN, "c" 2}', b"line 2, byte 7: NaN"),
        (b"[1]\n\n 01", b"line 3, byte 2: more text behind the value"),
        (b'["a\\\\u0000":1]', b"line 1, byte 12: array value separator"),
        (b"[" * 600 + b"?", b"line 1, byte 513: nested deeper than 512 levels"),
        (b"[" * 600 + b"]" * 600, b"line 1, byte 513: nested deeper than 512 levels"),
        (b"?" + b"[" * 600, b"line 1, byte 1: unexpected character"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_the_place_of_the_first_mistake_is_told(tool, text, place):
    done = tool.run("set", "d", "-", "--as", "json", input=text)
    assert done.returncode != 0 and place in done.stderr


def test_more_values_than_memory_should_hold_are_refused_before_any_is_made(tool):
    done = tool.run("set", "d", "-", "--as", "json", input=b"[" + b"{}," * 5000000 + b"{}]")
    assert done.returncode != 0 and b"more values than 4 GiB of memory hold" in done.stderr


def test_512_levels_are_the_most_both_ways(tool):
    deep = "[" * 512 + "]" * 512
    tool.ok("set", "d", "-", "--as", "json", input=deep.encode())
    assert tool.ok("get", "d").decode() == deep + "\n"
    maps = '{"a":' * 512 + "1" + "}" * 512
    tool.ok("set", "d", "-", "--as", "json", input=maps.encode())
    assert tool.ok("get", "d").decode() == maps + "\n"
    done = tool.run("set", "d", "-", "--as", "json", input=b"[" * 513 + b"]" * 513)
    assert done.returncode != 0 and b"512 levels" in done.stderr
    assert tool.run("set", "d", "-", "--as", "json", input=b"[" * 1000000).returncode != 0


# ---- to JSON --------------------------------------------------------------------------------------------------------


def test_values_survive_both_ways(tool):
    values = [json.loads(text) for text in PLAIN]
    tool.ok("set", "d", "-", "--as", "json", input=json.dumps(values).encode())
    assert same(json.loads(tool.ok("get", "d")), values)


def test_numbers_are_shown_as_people_write_them(tool):
    shown = show(tool, pack([0.1, 1.0, -0.0, 1e100, 1 / 3, 5e-324, 1e16, 123456789.5, 2**64 - 1, -(2**63)]))
    assert shown == b"[0.1,1.0,-0.0,1e+100,0.3333333333333333,4.94065645841247e-324,1e+16,123456789.5," \
        b"18446744073709551615,-9223372036854775808]\n"  # fmt: skip


def test_random_documents_survive_both_ways(tool):
    draw = random.Random(20251121)

    def value(depth):
        kind = draw.randrange(9 if depth < 6 else 7)
        if kind < 3:
            return [None, True, False, draw.getrandbits(draw.randrange(1, 65)), -draw.getrandbits(draw.randrange(1, 64))][
                draw.randrange(5)
            ]
        if kind == 3:
            number = struct.unpack(">d", draw.randbytes(8))[0]
            return number if math.isfinite(number) else 0.5
        if kind < 7:
            return "".join(chr(draw.choice([draw.randrange(128), draw.randrange(0xD800), 0x1F600])) for _ in range(draw.randrange(40)))
        members = [value(depth + 1) for _ in range(draw.choice([0, 1, 3, 20]))]
        return members if kind == 7 else {f"{i}é\u0001"[: draw.randrange(2, 5)]: m for i, m in enumerate(members)}

    for _ in range(20):
        values = [value(0) for _ in range(50)]
        text = json.dumps(values, ensure_ascii=draw.random() < 0.5)
        assert documents_of(tool, [text.encode()]) == pack([values])
        assert same(json.loads(tool.ok("get", "d")), [values])


def test_bytes_and_numbers_that_json_lacks_are_shown_in_other_words(tool):
    document = b"\x95\xc4\x03\x00\xffA" + b"".join(b"\xcb" + struct.pack(">d", n) for n in (math.nan, math.inf, -math.inf))
    assert show(tool, document + b"\xc4\x00") == b'[{"__bytes__":"AP9B"},"NaN","Infinity","-Infinity",{"__bytes__":""}]\n'


def test_keys_that_are_no_text_are_shown_as_text(tool):
    assert show(tool, b"\x85\xc4\x01k\x01\xc4\x01\xff\x02\x07\x03\xc3\x04\xcb" + struct.pack(">d", 1) + b"\x05") == \
        b'{"k":1,"/w==":2,"7":3,"true":4,"1.0":5}\n'  # fmt: skip
    assert show(tool, b"\x82\x93\x01\xa1\"\xc0\x02\x81\xa1a\x90\x03") == \
        b'{"[1,\\"\\\\\\"\\",null]":2,"{\\"a\\":[]}":3}\n'  # fmt: skip


@pytest.mark.parametrize("document", [b"\x81\x91\x81\x90\x01\x02", b"\x81" * 512 + b"\xc0" * 513])
def test_keys_in_keys_are_not_shown(tool, document):
    tool.ok("set", "d", "-", input=document)
    done = tool.run("get", "d", "--as", "json")
    assert done.returncode == 4 and done.stdout == b"" and b"as the key of a map" in done.stderr


def test_control_characters_never_reach_a_terminal(tool):
    text = "".join(map(chr, range(0x20))) + '"\\\x7f\x80\x9f\xa0'
    shown = show(tool, pack([text]))
    assert json.loads(shown) == [text]
    assert all(ord(c) >= 0x20 and not 0x7F <= ord(c) < 0xA0 for c in shown.decode().rstrip("\n"))


def test_dates_stay_the_maps_they_are(tool):
    text = b'{"__date__":true,"value":"2025-11-14"}'
    tool.ok("set", "d", text.decode(), "--as", "json")
    assert tool.ok("get", "d") == text + b"\n"


@pytest.mark.parametrize(
    "document", [b"", b"\x91", b"\x92\x01", b"\xa2a", b"\x81\xa1a", b"\xc1", b"\x91\xc1", b"\xd4\x01\x00", b"\xa1\xff", b"\x01\x01",
                 b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff\x01", b"\xc6\xff\xff\xff\xffa", b"\x91" * 600]
)  # fmt: skip
def test_damaged_documents_are_never_shown(tool, document):
    tool.ok("set", "d", "-", input=document)
    done = tool.run("get", "d", "--as", "json")
    assert done.returncode == 4 and done.stdout == b"" and done.stderr.count(b"\n") == 1
