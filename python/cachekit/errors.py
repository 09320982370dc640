"""What can go wrong, with the codes of the error catalogue (docs/errors.md)."""

from __future__ import annotations

from enum import Enum


class CachekitError(Exception):
    """A failure of the cache. `code` is its place in the catalogue, e.g. ``"E011"``."""

    code: str = "E999"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


# ---- configuring ----------------------------------------------------------------------------------------------


class ConfigurationError(CachekitError, ValueError):
    """A setting or a combination of settings is wrong. Nothing was built."""

    code = "E103"


class ConfigurationTypeError(ConfigurationError, TypeError):
    """A setting has the wrong type, or there is no setting of that name."""


class MisuseError(CachekitError, TypeError):
    """A call that does not fit what it is made on. Nothing was done."""

    code = "E102"


class UnsupportedError(ConfigurationError):
    """Something was asked for that this version does not have. It is never done halfway instead."""

    code = "E104"


class FunctionTimeoutError(CachekitError, TimeoutError):
    """The function took longer than its `hard_limit`. It goes on, and its result is kept."""

    code = "E121"


# ---- stores ---------------------------------------------------------------------------------------------------


class BackendErrorType(str, Enum):
    """What kind of failure a store had: whether asking again makes sense, and whether it counts for the breaker."""

    TRANSIENT = "transient"
    """Passing trouble; asking again may succeed. Counts."""
    TIMEOUT = "timeout"
    """No answer in time. Counts."""
    UNKNOWN = "unknown"
    """Not classified; treated as passing. Counts."""
    PERMANENT = "permanent"
    """Will fail again the same way. Does not count."""
    AUTHENTICATION = "authentication"
    """Credentials are wrong or missing. Does not count."""


_BACKEND_CODES = {
    BackendErrorType.TRANSIENT: "E010",
    BackendErrorType.TIMEOUT: "E011",
    BackendErrorType.UNKNOWN: "E120",
    BackendErrorType.PERMANENT: "E063",
    BackendErrorType.AUTHENTICATION: "E060",
}


class BackendError(CachekitError):
    """A store failed. Backends written in Python raise it; the decorated function is run all the same.

    Args:
        message: What happened, without values and credentials.
        error_type: What kind of failure it is.
        original_exception: What the client library raised, if anything.
        operation: ``"get"``, ``"set"``, ``"delete"``, ``"exists"`` or the like.
        key: The key in question. `str()` shows its first 50 characters.
        code: Another place in the catalogue than the one that follows from `error_type`.
    """

    def __init__(
        self,
        message: str,
        error_type: BackendErrorType = BackendErrorType.UNKNOWN,
        original_exception: BaseException | None = None,
        operation: str | None = None,
        key: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code if code is not None else _BACKEND_CODES[error_type])
        self.message = message
        self.error_type = error_type
        self.original_exception = original_exception
        self.operation = operation
        self.key = key

    @property
    def is_transient(self) -> bool:
        """Whether the store may do better when asked again."""
        return self.error_type not in (BackendErrorType.PERMANENT, BackendErrorType.AUTHENTICATION)

    def __str__(self) -> str:
        parts = [self.message]
        if self.operation is not None:
            parts.append(f"operation={self.operation}")
        if self.key is not None:
            parts.append("key=" + (self.key if len(self.key) <= 50 else self.key[:47] + "..."))
        return f"{parts[0]} ({', '.join(parts[1:])})" if len(parts) > 1 else self.message


class CapabilityNotAvailableError(BackendError):
    """The store cannot do what was asked of it. Always permanent."""

    code = "E104"

    def __init__(self, message: str, operation: str | None = None) -> None:
        super().__init__(message, BackendErrorType.PERMANENT, operation=operation, code="E104")


# ---- values ---------------------------------------------------------------------------------------------------


class SerializationError(CachekitError):
    """A value cannot be stored, or stored bytes cannot be read (then `code` is ``"E021"``)."""

    code = "E020"


class DecryptionAuthenticationError(SerializationError):
    """A stored value was altered, moved, or sealed with a key that is not here, and `fail_closed` is on. The entry stays in
    the store."""

    code = "E003"


class InteropDecodeError(SerializationError):
    """Bytes that are not one document of interop mode."""

    code = "E021"


class InteropError(CachekitError, ValueError):
    """A call or a value does not fit interop mode, where nothing is repaired or left out: other languages would see
    something else. An argument (``"E110"``) or a call that does not fit the function's signature is told before the
    function runs, a result (``"E020"``) after it ran."""

    code = "E110"
