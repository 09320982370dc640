"""What tests of `cachekit inspect` share: a frame byte by byte, and looking at bytes."""

import json
import struct

HEADER = (
    b'{"s": "default", "m": {"format": "msgpack", "encoding": "utf-8", "compressed": true, "original_type": "msgpack"}, '
    b'"v": "2.0"}'
)
# {"user_id": 123, "name": "Alice"}
DOCUMENT = bytes.fromhex("82a7757365725f69647ba46e616d65a5416c696365")
ENVELOPE = bytes.fromhex("94c417f00682a7757365725f69647ba46e616d65a5416c696365982d51ccda48cc812c1dccd415a76d73677061636b")

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


GOOD = frame()
AT = PAYLOAD  # of the envelope
