"""What a function's configuration asks for by name, and what nothing can come of: each is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ._sealing import is_asked, sealing_of
from ._told import tell_once
from .config._build import SCALARS
from .config._value import given, overruled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._stores import Place
    from .config import DecoratorConfig


def tell_of_effects(function: Callable[..., Any], config: DecoratorConfig, place: Place) -> None:
    """Logs a warning for everything that is asked for and stays without effect."""
    for rule in (_later, _switched_off, _without_key, _without_end, _without_store, _without_renewal):
        for what, reason in rule(config, place):
            tell_once(function, f"{what} is without effect: {reason}")


if TYPE_CHECKING:
    Findings = Iterator[tuple[str, str]]
    """What is asked for, and why nothing comes of it."""


_LATER = {
    "enable_tracing": "makes no spans",
    "enable_structured_logging": "gives log records no fields",
    "enable_prometheus_metrics": "counts no Prometheus series",
}
"""What can be asked for, as in other packages of the family, and what is the matter with it."""


def _later(config: DecoratorConfig, _: Place) -> Findings:
    for name in given(config.monitoring).intersection(_LATER):
        if getattr(config.monitoring, name):
            yield f"{name}=True", f"this version {_LATER[name]}"


def _switched_off(config: DecoratorConfig, _: Place) -> Findings:
    for group in (config.l1, config.circuit_breaker):
        found = overruled(group)
        if found is not None:
            yield found[0], f"{found[1]} beside it switches it off. Leave out one of them"


def _without_key(config: DecoratorConfig, _: Place) -> Findings:
    encryption = config.encryption
    if sealing_of(config) is not None:
        if encryption.enabled is False and encryption.single_tenant_mode:
            yield "single_tenant_mode=True", "encryption=False. Leave out one of them"
        return
    reason = "there is no master key, so nothing is encrypted. Give master_key=, or set CACHEKIT_MASTER_KEY"
    if encryption.enabled is False:
        reason = "encryption=False, and there is no master key that could open what others have encrypted"
    if encryption.single_tenant_mode:
        yield "single_tenant_mode=True", reason
    if encryption.deployment_uuid is not None:
        yield "deployment_uuid=", reason


def _without_end(config: DecoratorConfig, place: Place) -> Findings:
    if config.early_refresh_beta and not config.l1.enabled:
        yield "early_refresh_beta=", "memory, which is switched off, renews early (l1_enabled=True)"
    if config.ttl:
        return
    reason = "ttl=0 keeps nothing" if config.ttl == 0 else "ttl=None has no end. Give a ttl= in seconds"
    if not config.none_ttl:
        if config.ttl_jitter:
            yield "ttl_jitter=", reason
        if config.early_refresh_beta:
            yield "early_refresh_beta=", reason
    if config.swr_by_default:
        yield "swr_by_default=True", reason
    if config.refresh_ttl_on_get and place.stored:
        yield "refresh_ttl_on_get=True", reason


def _without_store(config: DecoratorConfig, _: Place) -> Findings:
    if config.backend is not None:
        return
    reason = "backend=None means memory alone, and "
    if config.fallback_strategy == "fail_closed":
        yield "fallback_strategy='fail_closed'", reason + "there is no store that could fail"
    for name in ("circuit_breaker", "timeout", "backpressure"):
        if given(getattr(config, name)) and getattr(config, name).enabled:
            yield f"{name}=", reason + "there is no store that could fail"
    if is_asked(config):
        return
    if config.encryption.fail_closed:
        yield "fail_closed=True", reason + "nothing is encrypted there unless encryption=True asks for it"
    if config.serializer not in ("default", "std", "standard"):
        yield "serializer=", reason + "results are kept there as they are"


def _without_renewal(config: DecoratorConfig, place: Place) -> Findings:
    if not config.refresh_ttl_on_get:
        if config.ttl_refresh_threshold != SCALARS["ttl_refresh_threshold"]:
            yield "ttl_refresh_threshold=", "nothing is prolonged without refresh_ttl_on_get=True"
    elif not place.stored:
        yield "refresh_ttl_on_get=True", "it prolongs the lives of entries in a store, and there is none"
    elif place.written:
        from .backends._adapter import can

        missing = [name for name in ("get_ttl", "refresh_ttl") if not can(config.backend, name)]
        if missing:
            kind, names = type(config.backend).__name__, " and no ".join(missing)
            yield "refresh_ttl_on_get=True", f"{kind} has no {names} that is a plain method"
