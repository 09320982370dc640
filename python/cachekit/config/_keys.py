"""Master keys: what they look like. No message ever shows one."""

from __future__ import annotations

from ..errors import ConfigurationError

LEAST_BYTES = 32
_ADVICE = "make one with: openssl rand -hex 32"


def decode_key(name: str, text: str) -> bytes:
    """The bytes of a master key in hexadecimal.

    Raises:
        ConfigurationError: E002, when it is not hexadecimal or shorter than 32 bytes.
    """
    key = _from_hex(text)
    if key is None:  # raised here, so that no error of the decoder hangs on it
        raise ConfigurationError(
            f"{name} is not hexadecimal: expected {2 * LEAST_BYTES} or more digits 0-9 and a-f, an even number; {_ADVICE}",
            "E002",
        )
    if len(key) < LEAST_BYTES:
        raise ConfigurationError(
            f"{name} holds {len(key)} bytes: expected {LEAST_BYTES} or more ({2 * LEAST_BYTES} digits); {_ADVICE}",
            "E002",
        )
    return key


def _from_hex(text: str) -> bytes | None:
    if not text.isascii() or not text.isalnum():  # bytes.fromhex passes over blanks
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def check_uuid(name: str, text: str) -> str:
    """`text`, which must be a UUID.

    Raises:
        ConfigurationError: it is none.
    """
    import uuid

    try:
        uuid.UUID(text)
    except ValueError:
        raise ConfigurationError(
            f"{name} is not a UUID: expected 32 hexadecimal digits, such as 123e4567-e89b-12d3-a456-426614174000"
        ) from None
    return text
