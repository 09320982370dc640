"""From a function and its configuration to a function with a cache in front."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._attributes import attach
from ._core import CachedFunction, ReceiverError
from ._effects import tell_of_effects
from ._kinds import is_async
from ._methods import Shape, copy_names, find_namesake, shape_of
from ._refresh import Refresher
from ._sealing import extractor_of, sealing_of
from ._stores import Place, place_for, tenant_place
from .backends.redis.provider import tenant_context
from ._told import log, tell_of_entry, tell_of_receiver, tell_once
from .errors import CachekitError, ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from ._tenants import Tenants
    from .config import DecoratorConfig

    _P = ParamSpec("_P")

_R = TypeVar("_R")

_NO_EXPIRY = 2**64 - 1
_DO_NOT_STORE = 2**64 - 2
_numbers = itertools.count(1)
_free_numbers: dict[str, list[int]] = {}
"""Of functions that are gone, with all they have kept: a cache remembers every name it has heard."""

_ADVICE = {
    "key": "an argument cannot be part of a key",
    "value": "the result cannot be stored",
    "cache": "the cache cannot be used",
    "tenant": "its tenant cannot be told",
}


def _say_uncached(name: str, reason: str, error: BaseException | None) -> None:
    if reason == "entry":
        tell_of_entry(name, error)
    elif isinstance(error, ReceiverError):
        tell_of_receiver(name, error)
    else:
        log.warning("%s runs uncached, %s: %s", name, _ADVICE[reason], error)


def build(function: Callable[_P, _R], config: DecoratorConfig) -> CachedFunction[_P, _R]:
    """The decorated function."""
    awaited = is_async(function)
    place = place_for(function, config)
    shape = shape_of(function, place.stored)
    name = shape.name
    if not place.stored and not config.l1.enabled:
        log.warning("%s: without a store (backend=None) and without memory (l1_enabled=False) nothing is cached", name)
    if place.stored and config.key is None and config.interop is None and find_namesake(function, name, config.namespace):
        tell_once(function, "another lambda of this name uses the same entries: give one of them a namespace= or key=")
    tell_of_effects(function, config, place)
    number = _number_for(name)
    tenants = None
    if place.chosen is not None:
        from ._tenants import Tenants

        chosen = place.chosen
        tenants = Tenants(lambda tenant: make(tenant_place(config, chosen, tenant), None))
    extract = extractor_of(config)
    if extract is not None:
        from ._tenants import ExtractedTenants

        tenants = ExtractedTenants(lambda tenant: make(place, None, tenant), extract)

    def make(place: Place, tenants: Tenants | None, whose: str | None = None) -> CachedFunction[_P, _R]:
        return _make(function, config, place, shape, awaited, number, tenants, whose)

    try:
        cached = make(place, tenants)
    except CachekitError as error:
        if error.code == ConfigurationError.code and not isinstance(error, ConfigurationError):
            raise ConfigurationError(str(error)) from None
        raise
    if tenants is not None:
        tenants.belong_to(cached)
    copy_names(cached, function)
    attach(cached, function, config, place, awaited, tenants)
    if awaited:
        from ._async import mark

        mark(cached, function)
    return cached


def _make(
    function: Callable[_P, _R],
    config: DecoratorConfig,
    place: Place,
    shape: Shape,
    awaited: bool,
    number: int,
    tenants: Tenants | None,
    whose: str | None,
) -> CachedFunction[_P, _R]:
    name = shape.name
    return CachedFunction(
        place.cache,
        function,
        # Objects belong to one decorated function; documents to all functions of one name, as in the store. The number
        # stands in front, where no name has one, and long names are not cut off.
        f"{number}.{name}" if place.objects or shape.own else name,
        namespace=config.namespace,
        ttl_ms=_NO_EXPIRY if config.ttl_ms is None else config.ttl_ms or _DO_NOT_STORE,
        integrity=config.integrity_checking,
        l1=config.l1.enabled,
        objects=place.objects,
        key=config.key,
        warn=functools.partial(_say_uncached, name),
        **({} if config.interop is not None else shape.keywords()),
        gone=functools.partial(_free_numbers.setdefault(name, []).append, number) if place.objects else None,
        tenants=None if tenants is None else (getattr(tenants, "extract", tenant_context), tenants.of),
        tenant=whose,
        encryption=_encryption(config),
        **_interop(function, config, place, shape),
        **_more(function, config, place, awaited),
    )


def _encryption(config: DecoratorConfig) -> bool | None:
    sealing = sealing_of(config)
    return None if sealing is None else sealing.asked


def _interop(function: Callable[..., Any], config: DecoratorConfig, place: Place, shape: Shape) -> dict[str, Any]:
    if config.interop is None:
        return {}
    from ._interop import keywords_for

    return keywords_for(function, config, place, shape)


def _number_for(name: str) -> int:
    try:
        return _free_numbers[name].pop()
    except (KeyError, IndexError):
        return next(_numbers)


def _more(function: Callable[..., Any], config: DecoratorConfig, place: Place, awaited: bool) -> dict[str, Any]:
    """What only some functions have."""
    more: dict[str, Any] = {}
    limits = (config.soft_limit, config.hard_limit)
    limited = limits != (None, None)
    if awaited:
        from ._async import miss, miss_in_time

        more["miss"] = functools.partial(miss_in_time, *limits) if limited else miss
    elif limited:
        from ._limits import Limits

        more["limits"] = (*config.limits_ms, Limits(function, *limits))
    if not place.objects and config.serializer not in ("default", "std", "standard"):
        from .serializers.stored import codec_for

        more["dump"], more["load"] = codec_for(config.serializer, integrity_checking=config.integrity_checking)
    early = config.l1.enabled and config.l1.swr_enabled
    if config.ttl_ms and (early or config.stale_ms):
        more["refresh"] = Refresher(function, awaited, place.stored)
        more["early_refresh"] = float(config.l1.swr_threshold_ratio) if early else 0.0
        more["stale_ms"] = config.stale_ms
    fresh = config.fresh
    if any(fresh):
        more["fresh"] = fresh
        if (config.fail_safe or config.early_refresh_beta) and "refresh" not in more:
            more["refresh"] = Refresher(function, awaited, place.stored)
    if config.refresh_ttl_on_get and place.stored:
        more["renew_below"] = float(config.ttl_refresh_threshold)
    return more
