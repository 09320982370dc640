"""What the name of a function says about how it wants to be cached.

`@cache` without a preset looks at the name (and at the names of the parameters):

* words such as `user`, `auth`, `payment`: the values may be confidential; the `secure` profile.
* words such as `get`, `calc`, `compute`: called often; the `minimal` profile.
* anything else: the `balanced` profile.

Security wins where both match. What is said explicitly wins over all of it, and `CACHEKIT_AUTO_INTENT=false` switches
it off. It never changes what is stored, under which key, or how it is checked.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["SECURITY_PARAMETERS", "SECURITY_WORDS", "SPEED_WORDS", "detect_intent", "split_words"]

SECURITY_WORDS = frozenset(
    ("user", "auth", "authenticate", "payment", "pay", "password", "credential", "secret", "token", "login", "session")
    + ("account", "billing", "card", "ssn", "patient", "medical")
)
SPEED_WORDS = frozenset(("get", "calc", "calculate", "compute", "lookup", "price", "quote"))
SECURITY_PARAMETERS = frozenset(("password", "token", "secret", "ssn", "card_number"))


def detect_intent(function: Any) -> tuple[str, str]:
    """The profile that fits a function, and why.

    Args:
        function: Any callable; `functools.partial` objects, methods and wrapped functions are looked through.

    Returns:
        ``("secure", "the name has the word 'user'")``, ``"minimal"`` or ``"balanced"`` in the first place.
    """
    inner = _innermost(function)
    words = list(split_words(_name(inner)))
    found = _first(words, SECURITY_WORDS)
    if found is not None:
        return "secure", f"the name has the word '{found}'"
    parameter = next((name for name in _parameters(inner) if name in SECURITY_PARAMETERS), None)
    if parameter is not None:
        return "secure", f"it has a parameter '{parameter}'"
    found = _first(words, SPEED_WORDS)
    if found is not None:
        return "minimal", f"the name has the word '{found}'"
    return "balanced", "the name says nothing special"


def split_words(name: str) -> Iterator[str]:
    """The lower-case words of a name: ``"getHTTPStatus_codes"`` has get, http, status and codes."""
    start = 0
    for i in range(1, len(name) + 1):
        if i == len(name) or _boundary(name, i):
            word = name[start:i].strip("_")
            if word:
                yield word.lower()
            start = i


def _boundary(name: str, i: int) -> bool:
    if name[i] == "_":
        return True
    if not name[i].isupper():
        return False
    # getUser: before U. HTTPStatus: before the S, which begins a word in lower case.
    return not name[i - 1].isupper() or name[i + 1 : i + 2].islower()


def _first(words: list[str], known: frozenset[str]) -> str | None:
    return next((word for word in words if word in known or (word.endswith("s") and word[:-1] in known)), None)


def _innermost(function: Any) -> Any:
    """The function inside partial objects, bound methods and wrappers."""
    for _ in range(100):  # wrappers that wrap each other end too
        if _is_partial(function):
            inner = function.func
        else:
            inner = getattr(function, "__wrapped__", None) or getattr(function, "__func__", None)
        if inner is None:
            break
        function = inner
    return function


def _is_partial(function: object) -> bool:
    kind = type(function)
    return kind.__module__ == "functools" and kind.__name__.startswith("partial")


def _name(function: Any) -> str:
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _parameters(function: Any) -> tuple[str, ...]:
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
