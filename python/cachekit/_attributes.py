"""The attributes of a decorated function: what it has counted, forgetting, batches, health."""

from __future__ import annotations

import functools
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, TypeVar

from ._methods import check_class, count_parameters, needs_class
from ._told import log, name_of
from .errors import CachekitError, ConfigurationError, InteropError, MisuseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._core import CachedFunction
    from ._stores import Place
    from ._tenants import Tenants
    from .config import DecoratorConfig
    from .decorators.orchestrator import FeatureOrchestrator

_R = TypeVar("_R")

_process_ids: dict[int, str] = {}


def _process_id() -> str:
    """A UUID of this process; a forked child has another one."""
    process = os.getpid()
    known = _process_ids.get(process)
    if known is None:
        import uuid  # for whom looks at counters

        known = _process_ids.setdefault(process, str(uuid.uuid4()))
    return known


class CacheInfo(NamedTuple):
    """What one cached function has counted in this process."""

    hits: int
    misses: int
    l1_hits: int
    l2_hits: int
    maxsize: int | None
    currsize: int | None
    l2_avg_latency_ms: float
    last_operation_at: float | None
    session_id: str | None


async def off_loop(function: Callable[..., _R], *args: Any) -> _R:
    """Runs what may wait for the store in a thread, while the event loop goes on. Without asyncio's it is run here."""
    try:
        loop = sys.modules["asyncio"].get_running_loop()
    except (KeyError, RuntimeError):
        return function(*args)
    import contextvars

    return await loop.run_in_executor(None, contextvars.copy_context().run, function, *args)


class _Attributes:
    """What is attached to one decorated function, bound to this object."""

    def __init__(
        self,
        cached: CachedFunction[..., Any],
        function: Callable[..., Any],
        config: DecoratorConfig,
        place: Place,
        awaited: bool,
        tenants: Tenants | None,
    ) -> None:
        self._cached, self._function, self._config, self._place = cached, function, config, place
        self._awaited, self._tenants = awaited, tenants
        self._name = name_of(function)
        self._parameters, self._of_class = count_parameters(function), needs_class(function)
        self._base: dict[str, int] = {}
        self._cleared = 0
        self._features: FeatureOrchestrator | None = None

    def _here(self) -> CachedFunction[..., Any]:
        """That of the present tenant."""
        return self._cached if self._tenants is None else self._tenants.here(self._cached)

    # ---- counts -----------------------------------------------------------------------------------------------

    def _count(self) -> dict[str, int]:
        return self._cached.counters() if self._tenants is None else self._tenants.counters(self._cached)

    def _counted(self) -> dict[str, int]:
        return {field: number - self._base.get(field, 0) for field, number in self._count().items()}

    def count_anew(self) -> None:
        """In the child of a fork."""
        if self._tenants is not None:
            self._tenants.renew_lock()
        self._base.update(self._count())
        self._cleared = 0

    def cache_info(self) -> CacheInfo:
        """What this function has counted since the last `cache_clear`."""
        now = self._counted()
        hits = now["l1_hits"] + now["l2_hits"]
        used = time.time() if hits or now["misses"] else None
        session = f"{_process_id()}:{self._name}" + (f"#{self._cleared}" if self._cleared else "")
        latency = now["l2_ns"] / now["l2_timed"] / 1e6 if now["l2_timed"] else 0.0
        return CacheInfo(hits, now["misses"], now["l1_hits"], now["l2_hits"], None, None, latency, used, session)

    # ---- forgetting -------------------------------------------------------------------------------------------

    def cache_clear(self) -> None:
        """Forgets all results of this function and counts from zero again."""
        if self._awaited and self._place.stored:
            raise MisuseError(
                f"{self._name}: cache_clear() would wait for the store and stop the event loop meanwhile; use "
                f"`await {self._name.rpartition('.')[2]}.ainvalidate_cache()`"
            )
        self._without_the_store(self._here().forget_all)
        self._base.update(self._count())
        self._cleared += 1

    def invalidate_cache(self, /, *args: Any, **kwargs: Any) -> None:
        """Forgets the result of one call; without arguments, of every call of a function that has parameters.

        A method is told the object first: `Class.method.invalidate_cache(obj, 1)`, or `obj.method.invalidate_cache(1)`.
        Without further arguments that is every call on the object, where they can be told from others.
        """
        if self._of_class:
            check_class(self._function, args, kwargs)
        self._without_the_store(self._forget, args, kwargs)

    async def ainvalidate_cache(self, /, *args: Any, **kwargs: Any) -> None:
        """Forgets as `invalidate_cache` does, and the event loop goes on while the store is asked."""
        if self._place.stored:
            await off_loop(functools.partial(self.invalidate_cache, *args, **kwargs))
        else:
            self.invalidate_cache(*args, **kwargs)

    def _forget(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not args and not kwargs and self._parameters:
            self._here().forget_all()
            return
        own = self._cached if self._tenants is None else self._tenants.of_call(self._cached, args, kwargs)
        if len(args) != 1 or kwargs or not own.forget_receiver(args[0]):
            own.forget(*args, **kwargs)

    def _without_the_store(self, forget: Callable[..., object], *args: Any) -> None:
        """Memory forgets in any case; what the store keeps when it fails ends with its lifetime."""
        try:
            forget(*args)
        except (InteropError, ConfigurationError):  # the caller's
            raise
        except CachekitError as error:
            log.error("%s: the store has failed to forget: %s", self._name, error)

    # ---- batches ----------------------------------------------------------------------------------------------

    def get_many(
        self,
        calls: Iterable[Any],
        loader: Callable[[list[Any]], Any] | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """The results of many calls, in their order: one look into memory, one read of the store, and one call of
        `loader` with those that are missing.

        A tuple is the positional arguments of a call, anything else its only argument. `loader` returns one result for
        each, in order, or a mapping from what it was given to results; an exception among them is the failure of that call
        alone. Without it the function runs for each. A failure is raised when everything else has been stored, or with
        `return_exceptions` stands in the place of the result. The function's limits hold for the whole batch.
        """
        from ._many import get_many, get_many_of_tenants  # for whom uses it

        limits = (self._config.soft_limit, self._config.hard_limit)
        if self._tenants is None:
            return get_many(self._cached, calls, loader, return_exceptions, limits)
        return get_many_of_tenants(self._cached, self._tenants, calls, loader, return_exceptions, limits)

    async def aget_many(
        self,
        calls: Iterable[Any],
        loader: Callable[[list[Any]], Any] | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """As `get_many`, and the event loop goes on meanwhile. `loader` may be a coroutine function."""
        from ._many import aget_many, aget_many_of_tenants

        limits = (self._config.soft_limit, self._config.hard_limit)
        if self._tenants is None:
            return await aget_many(self._cached, calls, loader, return_exceptions, self._awaited, limits)
        return await aget_many_of_tenants(
            self._cached, self._tenants, calls, loader, return_exceptions, self._awaited, limits
        )

    # ---- health -----------------------------------------------------------------------------------------------

    def _orchestrator(self) -> FeatureOrchestrator:
        if self._features is None:
            from .decorators.orchestrator import FeatureOrchestrator  # for whom looks at it

            self._features = FeatureOrchestrator.from_config(self._config, self._cached.cache.guard())
        return self._features

    def get_health_status(self) -> dict[str, Any]:
        """The features of this function and their state, with live figures. Does not touch the store."""
        from ._health import tiers

        now, stored = self._counted(), self._place.stored
        total = now["l1_hits"] + now["l2_hits"] + now["misses"]
        parts = tiers(self._here().cache.stats(), stored and self._config.l1.enabled, stored)
        return self._orchestrator().get_health_status({"total_operations": total, "components": parts})

    def check_health(self) -> dict[str, Any]:
        """The features of this function and their state, after trying the store out."""
        from ._health import checked

        cache, place = self._here().cache, self._place
        return checked(cache, place.written, place.unopened, self._orchestrator().namespace, self.get_health_status)

    async def acheck_health(self) -> dict[str, Any]:
        """The features of this function and their state, after trying the store out."""
        return await off_loop(self.check_health)


def attach(
    cached: CachedFunction[..., Any],
    function: Callable[..., Any],
    config: DecoratorConfig,
    place: Place,
    awaited: bool,
    tenants: Tenants | None,
) -> None:
    """The attributes of a decorated function. `tenants`: who share its store; `awaited`: it is a coroutine function, and
    what may wait for the store is a coroutine function too."""
    own = _Attributes(cached, function, config, place, awaited, tenants)
    _counting.add(own)
    attributes: dict[str, Callable[..., Any]] = {
        "cache_info": own.cache_info,
        "cache_clear": own.cache_clear,
        "invalidate_cache": own.ainvalidate_cache if awaited else own.invalidate_cache,
        "ainvalidate_cache": own.ainvalidate_cache,
        "get_many": own.aget_many if awaited else own.get_many,
        "aget_many": own.aget_many,
        "get_health_status": own.get_health_status,
        "check_health": own.acheck_health if awaited else own.check_health,
    }
    cached.__dict__.update(attributes)


_counting: weakref.WeakSet[_Attributes] = weakref.WeakSet()
"""Those whose counts begin anew in the child of a fork."""


def _count_all_anew() -> None:
    for attributes in list(_counting):
        attributes.count_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_all_anew)
