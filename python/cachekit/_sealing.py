"""What a function's configuration means for encryption: keys, tenant, and which serializers may be sealed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .config.nested import TenantText
from .config.secret import MASTER_KEY_FILE, SecretStr
from .config.settings import get_settings
from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import CachekitConfig, DecoratorConfig

_NEUTRAL = ("default", "std", "standard", "orjson", "arrow")


class Sealing(NamedTuple):
    """Keys and policy of one function. Compared, never shown."""

    asked: bool | None  # True: by the function, so memory alone is sealed too; False: declined; None: by a configured key
    master_key: SecretStr | None
    previous_keys: tuple[SecretStr, ...]
    deployment: str | None
    fail_closed: bool | None
    key_file: str | None  # which has the keys where none are given here; the library reads it

    def __repr__(self) -> str:
        return f"Sealing(asked={self.asked})"

    def keywords(self) -> dict[str, Any]:
        """For `_core.Cache`."""
        keys = ",".join(key.get_secret_value() for key in self.previous_keys)
        return {
            "encryption": False if self.asked is False else None,
            "master_key": None if self.master_key is None else self.master_key.get_secret_value(),
            "previous_master_keys": keys or None,
            "deployment": self.deployment,
            "fail_closed": self.fail_closed,
        }

    @property
    def identity(self) -> tuple[Any, ...]:
        """Functions that agree in it may share a cache. Holds digests instead of keys."""
        import hashlib

        def digest(key: SecretStr) -> bytes:
            return hashlib.blake2b(key.get_secret_value().encode(), digest_size=32, person=b"cachekit ring").digest()

        current = None if self.master_key is None else digest(self.master_key)
        previous = tuple(digest(key) for key in self.previous_keys)
        return (self.asked is False, current, previous, self.deployment, self.fail_closed, self.key_file)


def sealing_of(config: DecoratorConfig) -> Sealing | None:
    """What a function seals with; None when there is no key, and none is asked for.

    Raises:
        ConfigurationError: a serializer whose values may not be sealed; no key where one is needed, or keys in variables and
            in a file.
    """
    encryption = config.encryption
    settings = get_settings()
    file = key_file(settings)
    key = encryption.master_key if isinstance(encryption.master_key, SecretStr) else settings.master_key
    key = key if isinstance(key, SecretStr) else None
    previous = settings.previous_master_keys
    asked = encryption.enabled
    if key is None and not previous and file is None:
        if asked or (asked is None and encryption.tenant_extractor is not None):
            raise ConfigurationError("encryption is asked for without a master key: give master_key=, or set CACHEKIT_MASTER_KEY", "E001")
        return None
    if asked is None and (encryption.master_key is not None or encryption.tenant_extractor is not None):
        asked = True
    if asked is not False:
        check_serializer(config.serializer)
    if key is not None and encryption.master_key is None:
        _tell_of_environment(settings)
    deployment = encryption.deployment_uuid or settings.deployment_uuid
    if deployment is not None and not isinstance(deployment, TenantText):
        import uuid

        deployment = str(uuid.UUID(deployment))
    fail_closed = settings.encryption_fail_closed if encryption.fail_closed is None else encryption.fail_closed
    return Sealing(asked, key, previous, deployment, fail_closed, file if key is None else None)


def key_file(settings: CachekitConfig) -> str | None:
    """The file that the environment names for keys.

    Raises:
        ConfigurationError: variables of the environment have keys too.
    """
    file = os.environ.get(MASTER_KEY_FILE) or None
    for name in ("master_key", "previous_master_keys"):
        variable = settings.source(name)
        if file is not None and variable == f"CACHEKIT_{name.upper()}":
            raise ConfigurationError(f"{MASTER_KEY_FILE} and {variable} both give keys: keep one of them")
    return file


def _tell_of_environment(settings: CachekitConfig) -> None:
    if settings.dev_mode or settings.source("master_key") != "CACHEKIT_MASTER_KEY":
        return
    from ._told import tell

    tell(
        "the master key comes from the environment, which other programs of this user, crash reports and child processes may "
        "see: in production keep it in a secret store and give it as master_key=, or in a file (CACHEKIT_MASTER_KEY_FILE, mode "
        "0600). CACHEKIT_DEV_MODE=true says that this is development"
    )


def is_asked(config: DecoratorConfig) -> bool:
    """Whether the function itself wants encryption, so that memory too keeps sealed values only."""
    sealing = sealing_of(config)
    return sealing is not None and sealing.asked is True


def check_serializer(serializer: object) -> None:
    """
    Raises:
        ConfigurationError: its values may not be sealed.
    """
    if isinstance(serializer, str):
        if serializer in _NEUTRAL:
            return
        name = f"serializer={serializer!r}"
    elif getattr(serializer, "cross_sdk_compatible", False):
        return
    else:
        name = f"serializer={type(serializer).__name__}(...)"
    raise ConfigurationError(
        f"{name} and encryption: sealed values are in a form that every language reads, which are default, orjson, arrow, and "
        "objects with cross_sdk_compatible = True. Choose one of these, or say encryption=False"
    )


def extractor_of(config: DecoratorConfig) -> Callable[[tuple[Any, ...], dict[str, Any]], object] | None:
    """What tells the tenant of a call from its arguments and keywords."""
    extractor = config.encryption.tenant_extractor
    if extractor is None or config.encryption.enabled is False:
        return None
    extract = getattr(extractor, "extract", None)
    if callable(extract):
        return cast("Callable[[tuple[Any, ...], dict[str, Any]], object]", extract)
    return lambda args, kwargs: extractor(*args, **kwargs)
