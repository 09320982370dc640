"""A text that is not shown, printed, pickled or logged."""

from __future__ import annotations

from ._checks import MASK

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from typing import NoReturn


MASTER_KEY_FILE = "CACHEKIT_MASTER_KEY_FILE"
"""The variable that names a file with keys, which the library reads itself."""


class SecretStr:
    """Holds a secret. `get_secret_value` gives it out; everything else shows ``********``.

    It cannot be pickled: a secret reaches another process by that process's own environment.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """The secret itself."""
        return self._text

    def __repr__(self) -> str:
        return f"SecretStr('{MASK}')" if self._text else "SecretStr('')"

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretStr):
            return NotImplemented
        import hmac

        return hmac.compare_digest(
            self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash((SecretStr, self._text))

    def __copy__(self) -> SecretStr:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> SecretStr:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: give the other process its own CACHEKIT_MASTER_KEY")
