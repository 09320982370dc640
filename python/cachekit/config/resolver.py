"""From what stands at a decorator to the configuration of the function."""

from __future__ import annotations

import os

from ..errors import ConfigurationTypeError, UnsupportedError
from ._build import KEYWORDS, unwrap
from ._checks import NOT_GIVEN, check_bool, refuse_names, refuse_type
from ._presets import INTENTS
from .decorator import DecoratorConfig, LocalConfig, check_backend, get_default_backend
from .intent import detect_intent
from .secret import MASTER_KEY_FILE
from .settings import get_settings

TYPE_CHECKING = False  # not from typing, whose import alone takes longer than that of the whole package
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["resolve", "resolve_local"]


def resolve(function: Any, keywords: Mapping[str, Any], preset: str | None = None) -> DecoratorConfig:
    """The configuration of a decorated function.

    What the keywords say always wins. Underneath lies `config=` when it is given, else the preset, else what the name
    of the function suggests; at the bottom the settings of the process. `backend` of the result is an object, None
    (memory only), or `NOT_GIVEN` when neither keyword nor default backend chooses one.

    Args:
        function: The function to be decorated.
        keywords: The decorator's keywords, `config` included.
        preset: minimal, production, secure, dev, test or io; None for `cache` itself. For local see `resolve_local`.

    Raises:
        ConfigurationError: a value is wrong, or two keywords contradict each other.
        ConfigurationTypeError: a value has the wrong type, or there is no such keyword.
        UnsupportedError: something is asked for by name that this version does not have.
    """
    options = dict(keywords)
    config = options.pop("config", None)
    _check_names(preset, options)
    _refuse_preset(preset)
    unwrap(options)
    if preset != "secure":
        _ask(options)
    check_backend(options.get("backend"))
    if config is not None:
        result = _from_config(config, options)
    elif preset is not None:
        result = DecoratorConfig.preset(preset, **options)
    else:
        result = _from_name(function, options)
    _refuse_preset(result.profile)
    if result.backend is NOT_GIVEN and get_default_backend() is not None:
        result = result.replace(backend=get_default_backend())
    return result


def resolve_local(keywords: Mapping[str, Any]) -> LocalConfig:
    """The configuration of `cache.local`.

    Raises:
        ConfigurationError: a value is wrong.
        ConfigurationTypeError: a value has the wrong type, or there is no such keyword; `config` is none.
    """
    if "config" in keywords:
        raise ConfigurationTypeError("cache.local takes no config=: it has only ttl, max_entries, namespace and key")
    return LocalConfig(**keywords)


def _check_names(preset: str | None, options: Mapping[str, Any]) -> None:
    unknown = options.keys() - KEYWORDS
    if unknown:
        raise refuse_names("cache" if preset is None else f"cache.{preset}", unknown, [*KEYWORDS, "config"])


def _from_config(config: object, options: dict[str, Any]) -> DecoratorConfig:
    if not isinstance(config, DecoratorConfig):
        raise refuse_type("config", "a DecoratorConfig object", config)
    return config.replace(**options) if options else config


# ---- the name of the function ---------------------------------------------------------------------------------


def _from_name(function: Any, options: dict[str, Any]) -> DecoratorConfig:
    if check_bool("fast_mode", options.get("fast_mode", False)):
        return DecoratorConfig(**options)
    options.pop("fast_mode", None)
    if not get_settings().auto_intent:
        return DecoratorConfig(**options)
    profile, reason = detect_intent(function)
    secure = profile == "secure"
    if secure:
        profile = "balanced"
        if get_settings().master_key or os.environ.get(MASTER_KEY_FILE):
            secure = False  # what it returns is encrypted
        else:
            reason = f"{reason}, but no master key is configured"
    label = {"profile": profile, "profile_reason": reason}
    over = DecoratorConfig._over  # pyright: ignore[reportPrivateUsage]
    config = over(INTENTS[profile], options, with_settings=True, **label)
    if secure and not config.l1_only and config.encryption.enabled is None:
        _warn_once(function, reason)
    return config


_MAX_WARNED = 4096
_warned: dict[str, None] = {}


def _warn_once(function: Any, reason: str) -> None:
    """One line for a function whose values look confidential and will be stored as they are."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
    if name in _warned or len(_warned) >= _MAX_WARNED:
        return
    _warned[name] = None
    import logging

    logging.getLogger("cachekit").warning(
        "%s looks confidential: %s, so what it returns is cached without encryption. "
        "encryption=False says that this is meant; CACHEKIT_AUTO_INTENT=false ends all looking at names.",
        name,
        reason,
    )


# ---- what this version does not have --------------------------------------------------------------------------


def _refuse_preset(preset: str | None) -> None:
    if preset == "io":
        raise UnsupportedError("cache.io: this version has no CachekitIO backend. It has RedisBackend, FileBackend and backend=None")


def _ask(options: dict[str, Any]) -> None:
    """A key or an extractor asks for encryption by itself."""
    if options.get("encryption") is None and any(options.get(name) is not None for name in ("master_key", "tenant_extractor")):
        options["encryption"] = True
        if options.get("tenant_extractor") is None:
            options.setdefault("single_tenant_mode", True)
