"""What kind of failure each code of the catalogue (docs/errors.md) is, for backends that the library has."""

from __future__ import annotations

from ..errors import BackendError, BackendErrorType, CachekitError, MisuseError

__all__ = ["backend_error", "check_lifetime", "misuse"]

_KINDS: dict[str, BackendErrorType] = {
    **dict.fromkeys(
        ("E010", "E012", "E030", "E061", "E062", "E065", "E101", "E109", "E118"), BackendErrorType.TRANSIENT
    ),
    **dict.fromkeys(("E011", "E050", "E064"), BackendErrorType.TIMEOUT),
    **dict.fromkeys(
        ("E020", "E063", "E102", "E103", "E104", "E105", "E110", "E116", "E117", "E119"), BackendErrorType.PERMANENT
    ),
    "E060": BackendErrorType.AUTHENTICATION,
}


def backend_error(error: CachekitError, operation: str, key: str | None) -> BackendError:
    """The same failure as backends tell it."""
    return BackendError(
        str(error),
        error_type=_KINDS.get(error.code, BackendErrorType.UNKNOWN),
        original_exception=error,
        operation=operation,
        key=key,
        code=error.code,
    )


def misuse(operation: str, key: object, value: object = b"") -> MisuseError:
    """The error for a call whose arguments the library did not take: by their names, not in the words of its C."""
    name, found, expected = ("value", value, "bytes") if isinstance(key, str) else ("key", key, "a text")
    return MisuseError(f"{operation}: {name} is {type(found).__name__}: expected {expected}")


def check_lifetime(operation: str, ttl: object) -> None:
    """
    Raises:
        MisuseError: it is no number of seconds.
    """
    if not isinstance(ttl, (int, float)):
        raise MisuseError(f"{operation}: ttl is {type(ttl).__name__}: expected a number of seconds, or None")
