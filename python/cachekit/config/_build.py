"""From keywords to the fields of a `DecoratorConfig`: flat and nested forms, and what lies underneath."""

from __future__ import annotations

from ..errors import ConfigurationError
from ._checks import NOT_GIVEN, check_bool, refuse_type, show
from ._value import Value, given, merged, overrule
from .nested import BackpressureConfig, CircuitBreakerConfig, EncryptionConfig, L1CacheConfig, MonitoringConfig
from .nested import TimeoutConfig
from .secret import SecretStr
from .settings import get_settings

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Group:
    """A nested object and the flat keywords that fill it too.

    Args:
        cls: Of the nested object.
        flat: Flat keyword -> field.
        switch: The keyword of the group takes True and False, for `enabled`.
        optional: None means: not given.
        is_whole: Switched off, no field of it counts.
    """

    def __init__(
        self,
        cls: type[Value],
        flat: Mapping[str, str],
        *,
        switch: bool = False,
        optional: bool = False,
        is_whole: bool = True,
    ) -> None:
        self.cls = cls
        self.flat = flat
        self.switch = switch
        self.optional = optional
        self.is_whole = is_whole


GROUPS: dict[str, Group] = {
    "l1": Group(L1CacheConfig, {"l1_enabled": "enabled"}),
    "circuit_breaker": Group(CircuitBreakerConfig, {}, switch=True),
    "timeout": Group(TimeoutConfig, {"adaptive_timeout": "enabled"}, is_whole=False),
    "backpressure": Group(BackpressureConfig, {"max_concurrent_requests": "max_concurrent_requests"}, switch=True),
    "monitoring": Group(
        MonitoringConfig,
        {
            name: name
            for name in (
                "collect_stats",
                "enable_tracing",
                "enable_structured_logging",
                "enable_prometheus_metrics",
            )
        },
    ),
    "encryption": Group(
        EncryptionConfig,
        {
            name: name
            for name in ("master_key", "tenant_extractor", "single_tenant_mode", "deployment_uuid", "fail_closed")
        },
        switch=True,
        optional=True,
    ),
}

SCALARS: dict[str, Any] = {
    "ttl": NOT_GIVEN,
    "stale_ttl": None,
    "fail_safe": 0,
    "ttl_jitter": 0.0,
    "early_refresh_beta": 0.0,
    "none_ttl": None,
    "fallback_strategy": "fail_open",
    "soft_limit": None,
    "hard_limit": None,
    "swr_by_default": False,
    "namespace": None,
    "serializer": "default",
    "integrity_checking": True,
    "key": None,
    "interop": None,
    "refresh_ttl_on_get": False,
    "ttl_refresh_threshold": 0.5,
    "safe_mode": False,
    "pipelined": True,
    "backend": NOT_GIVEN,
}
"""The other fields, with their defaults. `ttl` not given is the setting `default_ttl`."""

KEYWORDS = frozenset(
    [*SCALARS, *GROUPS, *(flat for group in GROUPS.values() for flat in group.flat)]
    + ["circuit_breaker_config", "fast_mode"]
)
"""Everything that the decorator takes, but for `config`."""


def unwrap(options: dict[str, Any]) -> None:
    """serializer=EncryptionWrapper(...) is the serializer inside, and encryption with the wrapper's key.

    Raises:
        ConfigurationError: other keywords say something about keys or tenants too.
    """
    wrapper: Any = options.get("serializer")
    if isinstance(wrapper, type) or not getattr(wrapper, "encrypts_for_decorators", False):
        return
    options["serializer"] = wrapper.serializer
    others = (options.get(name) for name in ("master_key", "tenant_extractor", "deployment_uuid"))
    if options.get("encryption") not in (None, True) or any(value is not None for value in others):
        raise ConfigurationError("serializer=EncryptionWrapper(...) says everything about encryption: give no other keyword of it")
    options["encryption"] = wrapper.configuration()


def assemble(options: Mapping[str, Any], base: Mapping[str, Any], *, with_settings: bool) -> dict[str, Any]:
    """The fields of a `DecoratorConfig`.

    Args:
        options: What the user says, by the names of `KEYWORDS`. Always wins.
        base: The fields underneath: of a preset, or of another configuration object.
        with_settings: Whether the settings of the process may switch off what nobody asked for.
    """
    fields = {**SCALARS, **base, **{name: options[name] for name in SCALARS if name in options}}
    for name, group in GROUPS.items():
        fields[name] = _group(name, group, options, base[name], with_settings=with_settings)
    if fields["ttl"] is NOT_GIVEN:
        fields["ttl"] = get_settings().default_ttl
    if with_settings and "integrity_checking" not in options:
        fields["integrity_checking"] = fields["integrity_checking"] and get_settings().enable_corruption_detection
    if _asks_for_encryption(fields["encryption"]):
        if options.get("integrity_checking") is False:
            raise ConfigurationError(
                "integrity_checking=False contradicts encryption: what is encrypted has its checksum too. Leave out one of them"
            )
        fields["integrity_checking"] = True
    return fields


def _asks_for_encryption(encryption: Any) -> bool:
    """Whether it is asked for here, and not only because the process has a key."""
    if encryption.enabled is not None:
        return bool(encryption.enabled)
    return encryption.master_key is not None or encryption.tenant_extractor is not None


def _group(name: str, group: Group, options: Mapping[str, Any], base: Value, *, with_settings: bool) -> Value:
    flat = _flat_fields(name, group, options)
    chosen = _nested_object(name, group, options)
    said = frozenset(flat).union(given(chosen) if chosen is not None else ())
    changes = {field: value for field, (_, value) in flat.items()}
    if chosen is not None:
        for field, (keyword, value) in flat.items():
            if field in given(chosen) and not _same(getattr(chosen, field), value):
                raise _contradiction(_place(name, options, chosen), chosen, field, keyword, value)
    result = chosen if chosen is not None else base
    if group.switch:
        changes.update(_switched(name, flat, chosen, result))
    if with_settings:
        changes.update(_from_settings(result, said))
    result = merged(result, changes)
    keyword, enabled = flat.get("enabled", ("", True))
    if chosen is not None and group.is_whole and not enabled and "enabled" not in given(chosen):
        overrule(result, f"{_place(name, options, chosen)}={type(chosen).__name__}(...)", f"{keyword}=False")
    return result


def _place(name: str, options: Mapping[str, Any], chosen: Value) -> str:
    """The keyword that has brought a nested object."""
    return name if chosen is options.get(name) else f"{name}_config"


_SAY_HOW = ("enabled", "fail_closed", "single_tenant_mode", "deployment_uuid")
"""Fields that ask for nothing: entries that somebody has encrypted may be met all the same."""


def _switched(name: str, flat: dict[str, tuple[str, Any]], chosen: Value | None, result: Value) -> dict[str, Any]:
    """A keyword that asks for something of a group that is switched off: refused where the caller has switched it off too;
    what only lies underneath gives way."""
    wanted = [
        keyword
        for field, (keyword, value) in flat.items()
        if field not in _SAY_HOW and value not in (None, False)
    ]
    switch = flat["enabled"][1] if "enabled" in flat else getattr(result, "enabled")
    if not wanted or switch is not False:
        return {}
    if "enabled" in flat or chosen is not None:
        off = f"{name}=False" if "enabled" in flat else f"{name}={type(result).__name__}(enabled=False)"
        raise ConfigurationError(f"{wanted[0]}= contradicts {off}, which leaves it nothing to do: give one of them")
    return {"enabled": getattr(type(result), "enabled")}


def _flat_fields(name: str, group: Group, options: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Field -> (keyword, value) of what the flat keywords say."""
    flat: dict[str, tuple[str, Any]] = {}
    for keyword, field in group.flat.items():
        value = options.get(keyword, NOT_GIVEN)
        if value is NOT_GIVEN or (group.optional and value is None):
            continue
        if field == "enabled" or keyword.startswith(("enable_", "collect_")):
            check_bool(keyword, value)
        flat[field] = (keyword, SecretStr(value) if field == "master_key" and isinstance(value, str) else value)
    if group.switch and isinstance(options.get(name), bool):
        flat["enabled"] = (name, options[name])
    return flat


def _nested_object(name: str, group: Group, options: Mapping[str, Any]) -> Value | None:
    value = options.get(name, NOT_GIVEN)
    if value is NOT_GIVEN or (group.optional and value is None) or (group.switch and isinstance(value, bool)):
        value = None
    elif not isinstance(value, group.cls):
        raise refuse_type(name, _expected(name, group), value)
    if name != "circuit_breaker":
        return value
    other = options.get("circuit_breaker_config")
    if other is not None and not isinstance(other, CircuitBreakerConfig):
        raise refuse_type("circuit_breaker_config", "a CircuitBreakerConfig object or None", other)
    if value is not None and other is not None and value != other:
        raise ConfigurationError(
            "circuit_breaker and circuit_breaker_config are one setting and differ: give one of them"
        )
    return other if value is None else value


def _expected(name: str, group: Group) -> str:
    kind = group.cls.__name__
    if group.switch:
        return f"True, False or a {kind} object"
    switch = next((flat for flat, field in group.flat.items() if field == "enabled"), None)
    return f"a {kind} object" + (f" (to switch it on or off: {switch}=)" if switch else "")


def _same(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and one == other)


def _contradiction(name: str, nested: Value, field: str, keyword: str, value: object) -> ConfigurationError:
    kind = type(nested).__name__
    if field in ("master_key", "tenant_extractor"):
        return ConfigurationError(f"{keyword} contradicts {name}={kind}({field}=...): give one of them")
    return ConfigurationError(
        f"{keyword}={show(value)} contradicts {name}={kind}({field}={show(getattr(nested, field))}): give one of them"
    )


def _from_settings(value: Value, said: frozenset[str]) -> dict[str, Any]:
    """What the settings of the process switch off, where neither keyword nor nested object says anything."""
    if isinstance(value, L1CacheConfig):
        settings = get_settings()
        off = {"enabled": settings.l1_enabled, "invalidation_enabled": settings.l1_invalidation_enabled}
        return {field: False for field, on in off.items() if field not in said and not on}
    metrics = "enable_prometheus_metrics"
    if isinstance(value, MonitoringConfig) and metrics not in said and not get_settings().enable_prometheus_metrics:
        return {metrics: False}
    return {}
