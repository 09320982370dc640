"""Whose entries: the tenant of the calls that are under way."""

from __future__ import annotations

import contextvars

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["DEFAULT_TENANT", "tenant_context"]

DEFAULT_TENANT = "default"

tenant_context: contextvars.ContextVar[str | bytes | int | UUID | None] = contextvars.ContextVar(
    "tenant_context", default=None
)
"""The tenant of the present thread or task, where the environment chose the Redis store; None: ``"default"``.

Functions look at it in every call. Entries of different tenants have different keys (``t:TENANT:...``) and lie apart in
memory. A backend that is given in code holds bare keys, whatever stands here.
"""


def tenant_name(tenant: object) -> str:
    """The text of a tenant. Tenants that are equal to people are one tenant.

    Raises:
        TypeError: it is neither a text, nor bytes of UTF-8, nor an int, nor a UUID.
        ValueError: it is empty, or holds what no text in C can.
    """
    if isinstance(tenant, bytes):
        text = tenant.decode()
    elif isinstance(tenant, str):
        text = tenant
    elif type(tenant) is int or (type(tenant).__name__, type(tenant).__module__) == ("UUID", "uuid"):
        text = str(tenant)
    else:
        raise TypeError(f"tenant_context holds {type(tenant).__name__}: expected str, bytes, int, or UUID")
    if not text or "\0" in text:
        raise ValueError("tenant_context is empty or holds a zero character")
    return text
