"""Interop mode: keys and values that the CacheKit SDKs of all languages make alike.

`@cache(interop="get_user", namespace="users")` does all this by itself. The functions here are for programs that look at
entries by hand.
"""

from __future__ import annotations

from typing import Any

from ._core import interop_decode, interop_encode, interop_key
from .errors import InteropDecodeError, InteropError

__all__ = [
    "InteropDecodeError",
    "InteropError",
    "decode_interop_value",
    "encode_interop_value",
    "generate_interop_key",
]


def generate_interop_key(namespace: str, operation: str, args: list[Any] | tuple[Any, ...]) -> str:
    """The key of a call: ``namespace:operation:hash``.

    Args:
        namespace: A lower-case letter or digit, then up to 63 of these, ``.``, ``_`` and ``-``.
        operation: The same.
        args: The values of all declared parameters in their order, defaults included. What `*args` takes is one list,
            what `**kwargs` takes one dict.

    Raises:
        InteropError: a name is not of that form, or a value is outside of the model.
    """
    return interop_key(namespace, operation, tuple(args))


def encode_interop_value(value: Any) -> bytes:
    """The value as one MessagePack document in its canonical form.

    Raises:
        InteropError: the value is outside of the model.
    """
    return interop_encode(value)


def decode_interop_value(data: bytes | bytearray | memoryview) -> Any:
    """The value of exactly one MessagePack document, in any form. Arrays are lists; maps that stand for a datetime, a date
    or a time are these.

    Raises:
        InteropDecodeError: these bytes are none.
    """
    try:
        return interop_decode(data)
    except ValueError as error:
        raise InteropDecodeError(str(error), getattr(error, "code", None)) from None
