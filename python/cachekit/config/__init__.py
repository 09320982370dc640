"""Configuration: the settings of the process, the groups of settings of a function, and the object that holds them.

`CachekitConfig` is the first; `L1CacheConfig`, `CircuitBreakerConfig` and the like are the second; `DecoratorConfig` is
the third.
"""

from __future__ import annotations

from ..errors import ConfigurationError, ConfigurationTypeError, UnsupportedError
from ._checks import NOT_GIVEN, NotGiven
from .decorator import DecoratorConfig, LocalConfig, get_default_backend, set_default_backend
from .file import FileBackendConfig
from .intent import detect_intent
from .nested import (
    BackpressureConfig,
    CircuitBreakerConfig,
    EncryptionConfig,
    L1CacheConfig,
    MonitoringConfig,
    TimeoutConfig,
    validate_encryption_config,
)
from .resolver import resolve, resolve_local
from .secret import SecretStr
from .settings import CachekitConfig, get_settings, reset_settings, settings_table

__all__ = [
    "NOT_GIVEN",
    "BackpressureConfig",
    "CachekitConfig",
    "CircuitBreakerConfig",
    "ConfigurationError",
    "ConfigurationTypeError",
    "DecoratorConfig",
    "EncryptionConfig",
    "FileBackendConfig",
    "L1CacheConfig",
    "LocalConfig",
    "MonitoringConfig",
    "NotGiven",
    "SecretStr",
    "TimeoutConfig",
    "UnsupportedError",
    "detect_intent",
    "get_default_backend",
    "get_settings",
    "reset_settings",
    "resolve",
    "resolve_local",
    "set_default_backend",
    "settings_table",
    "validate_encryption_config",
]
