"""A decorated function over a store that tenants share: one function for each of them, with entries and memory apart."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Callable
from uuid import UUID
from weakref import ref

from .backends.redis.provider import DEFAULT_TENANT, tenant_context, tenant_name

if TYPE_CHECKING:
    from ._core import CachedFunction

_MOST = 64
"""Tenants whose memory a function keeps at a time. Entries of the others are in the store."""


_LONGEST = 1024


class Tenants:
    """The functions of the tenants of one decorated function.

    Args:
        make: Makes the function of a tenant that comes for the first time, or again after a while.
    """

    def __init__(self, make: Callable[[str], CachedFunction[..., Any]]) -> None:
        self._make = make
        self._own: Callable[[], CachedFunction[..., Any] | None] = lambda: None
        self._views: dict[str, CachedFunction[..., Any]] = {}  # in the order of use
        self._counted: dict[str, int] = {}  # by those that are gone
        self._lock = threading.RLock()

    def belong_to(self, cached: CachedFunction[..., Any]) -> None:
        """`cached` is what was decorated, and serves the default tenant."""
        self._own = ref(cached)

    def renew_lock(self) -> None:
        """In the child of a fork: a thread that is not there any more may have held it."""
        self._lock = threading.RLock()

    def of(self, tenant: object) -> CachedFunction[..., Any]:
        """The function of a tenant.

        Raises:
            TypeError: it is no tenant.
            ValueError: it is empty.
        """
        name = tenant_name(tenant)
        own = self._own()
        if own is not None and name == DEFAULT_TENANT:
            return own
        return self._view(name)

    def _view(self, name: str) -> CachedFunction[..., Any]:
        with self._lock:
            view = self._views.pop(name, None)
            if view is None:
                view = self._make(name)
            self._views[name] = view
            dropped = self._views.pop(next(iter(self._views))) if len(self._views) > _MOST else None
            if dropped is not None:
                self._add(dropped.counters())
        return view

    def here(self, cached: CachedFunction[..., Any]) -> CachedFunction[..., Any]:
        """The function of the present tenant."""
        tenant = tenant_context.get()
        return cached if tenant is None else self.of(tenant)

    def of_call(self, cached: CachedFunction[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> CachedFunction[..., Any]:
        """The function of the tenant that a call belongs to."""
        return self.here(cached)

    def groups(
        self, cached: CachedFunction[..., Any], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
    ) -> list[tuple[CachedFunction[..., Any] | None, list[int]]]:
        """Whose calls a batch has: a function, and the positions of its calls. None: their tenants cannot be told."""
        return [(self.here(cached), list(range(len(calls))))]

    def _add(self, counters: dict[str, int]) -> None:
        for field, number in counters.items():
            self._counted[field] = self._counted.get(field, 0) + number

    def counters(self, cached: CachedFunction[..., Any]) -> dict[str, int]:
        """What all tenants together have counted."""
        with self._lock:
            total = dict(self._counted)
            views = list(self._views.values())
        for one in (cached, *views):
            for field, number in one.counters().items():
                total[field] = total.get(field, 0) + number
        return total


class ExtractedTenants(Tenants):
    """The same where an extractor tells the tenant from the arguments of each call.

    Args:
        make: Makes the function of a tenant.
        extract: Tells the tenant from arguments and keywords.
    """

    def __init__(
        self,
        make: Callable[[str], CachedFunction[..., Any]],
        extract: Callable[[tuple[Any, ...], dict[str, Any]], object],
    ) -> None:
        super().__init__(make)
        self.extract = extract

    def of(self, tenant: object) -> CachedFunction[..., Any]:
        if isinstance(tenant, UUID):
            tenant = str(tenant)
        if not isinstance(tenant, str):
            raise TypeError(f"the tenant extractor returned {type(tenant).__name__}: a tenant is a text or a UUID")
        if not 1 <= len(tenant.encode()) <= _LONGEST:
            raise ValueError(f"the tenant extractor returned {len(tenant.encode())} bytes: a tenant has 1 to {_LONGEST}")
        return self._view(tenant)

    def here(self, cached: CachedFunction[..., Any]) -> CachedFunction[..., Any]:
        return cached  # whose entries are everybody's: for what concerns all calls

    def of_call(self, cached: CachedFunction[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> CachedFunction[..., Any]:
        return self.of(self.extract(args, kwargs))

    def groups(
        self, cached: CachedFunction[..., Any], calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
    ) -> list[tuple[CachedFunction[..., Any] | None, list[int]]]:
        found: dict[int, tuple[CachedFunction[..., Any] | None, list[int]]] = {}
        nobodys: list[int] = []
        for position, (args, kwargs) in enumerate(calls):
            try:
                own = self.of_call(cached, args, kwargs)
            except Exception as error:
                cached.tell_uncached(error)
                nobodys.append(position)
            else:
                found.setdefault(id(own), (own, []))[1].append(position)
        return [*found.values(), *([(None, nobodys)] if nobodys else [])]
