"""`cachekit key`: the key of a function call, as every SDK makes it."""

import json

import pytest

# cache-keys.json of the protocol's vectors: (namespace, function, arguments, hash).
VECTORS = [
    ("test", "__main__.get_user", ["42"], "3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153"),
    ("test", "__main__.get_user", ['"hello"'], "07ed6e7b87ff98f70efe4f4a8f082fa79415b9f670be68f3ada1f42244b5b6de"),
    ("test", "__main__.process", ["1", '"two"', "3.0"], "465e6bc8edd493c64748a0c405106db14d2bb481989bf1849481f1343982e179"),
    ("test", "__main__.get_user", ["user_id=42", "include_profile=true"],
     "14570849f0d99524f4149319d37fa0c298278b8f1724c12d6cb7631efaf86f0e"),
    ("test", "__main__.get_user", ['"alice"', "age=30"], "573b0961d0bf4e7207c6628a3f9e42c97a0cd01e276d8904ec5af6c877cd599e"),
    (None, "__main__.get_user", ["1"], "386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387"),
    ("test", "__main__.get_user", [], "f9cf3864b6e929eb73f84cf6d69409e0bd7575f8cf6feafe3a543b0f7267b2b2"),
    ("test", "__main__.get_user", ["null"], "073b96f1817ee2b2a26b6cee56401999e4dc2d8836d596927d0aad3e338c2f0b"),
    ("test", "__main__.process", ["true", "false"], "982385ac5333a35e2d5d68638aafe47ba31d36c1f3cd60d0ed57396e3c638334"),
    ("test", "__main__.get_user", ['{"user": {"name": "alice", "ids": [1, 2, 3]}}'],
     "14a3433f54d70b4cc452c3a140f8c3a0979acb3dc2baf7238dc4e6675265f3a8"),
    ("test", "__main__.f", ["true"], "cdd804906f061aafdf1289d1569720abd6b350c130827075ba879484be622dc2"),
    ("test", "__main__.f", ["1.0"], "556cdfebd724e0c768fede27d94b085788417768737d81b6e7f420eb3cb2d377"),
]  # fmt: skip


def key(tool, *arguments, function="app.f", options=()):
    return tool.ok("key", "--function", function, *options, "--", *arguments).decode()[:-1]


@pytest.mark.parametrize("namespace, function, arguments, digest", VECTORS)
def test_keys_are_those_of_the_other_sdks(tool, namespace, function, arguments, digest):
    front = f"ns:{namespace}:" if namespace else ""
    options = ["--namespace", namespace] if namespace else []
    expected = f"{front}func:{function}:args:{digest}:1s"
    assert key(tool, *arguments, function=function, options=options) == expected
    told = json.loads(tool.ok("key", "--json", "-f", function, *options, "--", *arguments))
    assert told == {"key": expected, "arguments_hash": digest}


def test_integrity_off_changes_the_flag_alone(tool):
    assert key(tool, "1", options=["--integrity", "0"]) == key(tool, "1")[:-2] + "0s"


def test_the_order_of_keywords_and_of_members_does_not_count(tool):
    assert key(tool, "a=1", "b=2") == key(tool, "b=2", "a=1") != key(tool, "a=2", "b=1")
    assert key(tool, '{"a": 1, "b": 2}') == key(tool, '{"b":2,"a":1}')


def test_types_are_told_apart(tool):
    texts = ["1", "1.0", "true", '"1"', "[1]", '{"1": 1}', "null", "-1", "x=1", "[]", "{}", '""']
    assert len({key(tool, text) for text in texts}) == len(texts)


def test_an_equals_sign_inside_a_text_makes_no_keyword(tool):
    assert key(tool, '"a=1"') not in (key(tool, "a=1"), key(tool, 'a="1"'))
    assert key(tool, 'a="b=c"') != key(tool, 'a="b"')


def test_names_of_keywords_may_be_any_letters(tool):
    assert key(tool, "größe=1") != key(tool, "grosse=1")
    assert key(tool, "_x1=1") != key(tool, "_x2=1")


def test_spaces_in_json_do_not_count(tool):
    assert key(tool, " [1,\n2] ") == key(tool, "[1,2]")


def test_long_keys_are_shortened_and_their_hash_is_told_all_the_same(tool):
    options = ["--namespace", "n" * 300]
    assert len(key(tool, "1", options=options)) < 250
    told = json.loads(tool.ok("key", "--json", "-f", "app.f", *options, "--", "1"))
    assert told["arguments_hash"] == json.loads(tool.ok("key", "--json", "-f", "app.f", "--", "1"))["arguments_hash"] in key(tool, "1")


def test_names_of_functions_are_made_safe(tool):
    assert key(tool, function="app.<lambda>").startswith("func:app._lambda_:args:")


def test_arguments_may_nest_as_deep_as_the_library_allows(tool):
    assert key(tool, "[" * 510 + "]" * 510).startswith("func:app.f:args:")
    done = tool.run("key", "-f", "app.f", "--", "[" * 511 + "]" * 511)
    assert done.returncode == 2 and done.stdout == b""


@pytest.mark.parametrize(
    "words, told",
    [
        (["key"], b"needs --function"),
        (["key", "--", "1"], b"needs --function"),
        (["key", "-f", "", "--", "1"], b"needs --function"),
        (["key", "-f", "a.b", "1"], b"write -- in front"),
        (["key", "-f", "a.b", "--", "hello"], b"argument 1 is not JSON"),
        (["key", "-f", "a.b", "--", "1", "x=hello"], b"argument 2 is not JSON"),
        (["key", "-f", "a.b", "--", ""], b"argument 1 is not JSON"),
        (["key", "-f", "a.b", "--", "x="], b"argument 1 is not JSON"),
        (["key", "-f", "a.b", "--", "a b=1"], b"argument 1 is not JSON"),
        (["key", "-f", "a.b", "--", "=1"], b"argument 1 is not JSON"),
        (["key", "-f", "a.b", "--", "1a=1"], b"argument 1 is not JSON"),
        (["key", "-f", "a.b", "--", "x=1", "2"], b"argument 2 stands behind a keyword"),
        (["key", "-f", "a.b", "--", "x=1", "x=2"], b"E110"),
        (["key", "-f", "a.b", "--integrity", "2", "--", "1"], b"one of 1, 0"),
        (["key", "-f", b"\xff", "--", "1"], b"E102"),
        (["key", "-f", "a.b", "--namespace", b"\xff", "--", "1"], b"E102"),
        (["key", "-f", "a.b", "--", b"\xff=1"], b"E110"),
        (["key", "-f", "a.b", "--store", "memory:", "--", "1"], b"no option --store"),
    ],
)
def test_wrong_usage_is_explained_in_one_line(tool, words, told):
    done = tool.run(*words)
    assert done.returncode == 2 and done.stdout == b""
    assert told in done.stderr and done.stderr.count(b"\n") == 1


def test_what_is_no_json_is_told_how_to_be_quoted(tool):
    assert b"""'"text"'""" in tool.run("key", "-f", "a.b", "--", "hello").stderr


def test_the_key_finds_what_was_stored_under_it(tool):
    name = key(tool, "42", function="app.get_user", options=["--namespace", "users"])
    tool.ok("set", name, '{"name": "Alice"}', "--as", "json")
    assert json.loads(tool.ok("get", name)) == {"name": "Alice"}


def test_no_store_and_no_home_are_needed(tool):
    done = tool.run("key", "-f", "a.b", "--", "1", env={"HOME": None, "CACHEKIT_REDIS_URL": "nonsense://"})
    assert done.returncode == 0


# ---- keys that all languages share ----------------------------------------------------------------------------

SHARED = "users:get_user:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875"


def shared_key(tool, *arguments):
    return tool.ok("key", "--interop", "get_user", "--namespace", "users", "--", *arguments).decode()[:-1]


def test_keys_of_interop_mode_are_those_of_the_other_sdks(tool):
    assert shared_key(tool, "42") == shared_key(tool, "42.0") == SHARED
    told = json.loads(tool.ok("key", "--json", "--interop", "get_user", "-n", "users", "--", "42"))
    assert told == {"key": SHARED, "arguments_hash": SHARED[-64:]}
    assert shared_key(tool).startswith("users:get_user:8064bf5f")
    assert shared_key(tool, '{"b": 1, "a": 2.0}') == shared_key(tool, '{"a": 2, "b": 1}') != shared_key(tool, "1", "2")


@pytest.mark.parametrize(
    "words, told",
    [
        (["--interop", "get_user", "--", "1"], b"namespace: empty"),
        (["--interop", "Get", "-n", "users", "--", "1"], b"operation: begins with"),
        (["--interop", "get", "-n", "users", "-f", "a.b", "--", "1"], b"contradict"),
        (["--interop", "get", "-n", "users", "--", "a=1"], b"argument 1 has a name"),
        (["--interop", "get", "-n", "users", "--", "hello"], b"argument 1 is not JSON"),
        (["--interop", "get", "-n", "users", "--", "18446744073709551616"], b"argument 1"),
    ],
)
def test_wrong_usage_of_interop_mode_is_explained_in_one_line(tool, words, told):
    done = tool.run("key", *words)
    assert done.returncode == 2 and done.stdout == b""
    assert told in done.stderr and done.stderr.count(b"\n") == 1


def test_a_shared_entry_is_stored_as_one_plain_document(tool):
    tool.ok("set", "--as", "interop", SHARED, '{"name": "alice", "age": 30}')
    assert tool.ok("get", "--as", "raw", SHARED).hex() == "82a36167651ea46e616d65a5616c696365"
    assert json.loads(tool.ok("get", SHARED)) == {"name": "alice", "age": 30}
    told = json.loads(tool.ok("inspect", "--json", SHARED))
    assert (told["key_kind"], told["namespace"], told["function"]) == ("interop", "users", "get_user")
    tool.ok("invalidate", "--namespace", "users", "--function", "get_user", "--yes")
    assert tool.run("get", SHARED).returncode == 1


def test_a_shared_entry_needs_a_shared_key(tool):
    done = tool.run("set", "--as", "interop", "user:42", "1")
    assert done.returncode == 2 and b"cachekit key --interop" in done.stderr
    done = tool.run("set", "--as", "interop", SHARED, "nonsense")
    assert done.returncode == 2 and b"JSON" in done.stderr
