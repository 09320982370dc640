"""Who a call belongs to: extractors for `tenant_extractor=`.

    @cache.secure(tenant_extractor=ArgumentNameExtractor("org_id"))
    def report(*, org_id: str): ...

An extractor is an object with ``extract(args, kwargs) -> str``, or a callable that takes what the function takes. A call whose
tenant cannot be told runs uncached; it never falls back to another tenant.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

__all__ = ["ArgumentNameExtractor", "CallableExtractor", "ContextVarExtractor", "TenantExtractor"]


@runtime_checkable
class TenantExtractor(Protocol):
    """What `tenant_extractor=` takes, besides plain callables."""

    def extract(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The tenant of a call. Raises when it cannot be told."""
        ...


class ArgumentNameExtractor:
    """The tenant is a keyword argument of the call. Positional arguments are not looked at.

    Args:
        name: Of the argument.
    """

    def __init__(self, name: str = "tenant_id") -> None:
        self.name = name

    def extract(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The argument's value as text.

        Raises:
            ValueError: the call has no such keyword argument.
        """
        if self.name not in kwargs:
            raise ValueError(f"the call has no keyword argument {self.name}=, which names its tenant")
        return str(kwargs[self.name])


class CallableExtractor:
    """The tenant is what a function of ``(args, kwargs)`` returns."""

    def __init__(self, function: Callable[[tuple[Any, ...], dict[str, Any]], str]) -> None:
        self.function = function

    def extract(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """What the function returns."""
        return self.function(args, kwargs)


class ContextVarExtractor:
    """The tenant is set for the current context, by middleware for instance: `ContextVarExtractor.set_tenant`."""

    _variable: contextvars.ContextVar[str | None] = contextvars.ContextVar("cachekit_encryption_tenant", default=None)

    @classmethod
    def set_tenant(cls, tenant: str | None) -> contextvars.Token[str | None]:
        """Sets the tenant of the current context; the token resets it."""
        return cls._variable.set(tenant)

    def extract(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The tenant of the current context.

        Raises:
            ValueError: none was set.
        """
        tenant = self._variable.get()
        if tenant is None:
            raise ValueError("no tenant was set in this context: ContextVarExtractor.set_tenant(...)")
        return tenant
