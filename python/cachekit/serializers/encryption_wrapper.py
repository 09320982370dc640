"""Encryption around another serializer."""

from __future__ import annotations

from typing import Any

from cachekit.errors import ConfigurationError
from cachekit.serializers.base import SerializationMetadata, SerializerProtocol, type_name

_LONGEST = 1024


def _check_key(given: object) -> None:
    if given is not None and not isinstance(given, (bytes, bytearray)):
        raise ConfigurationError(f"master_key is {type_name(given)}: expected at least 32 bytes", "E002")


def _check_tenant(given: object) -> None:
    from cachekit.config._checks import check_text

    if given is not None and not 1 <= len(check_text("tenant_id", given).encode()) <= _LONGEST:
        raise ConfigurationError(f"tenant_id: a tenant is a text of 1 to {_LONGEST} bytes")


def _check_inner(serializer: Any) -> None:
    from cachekit._sealing import check_serializer

    if getattr(serializer, "encrypts_for_decorators", False):
        raise ConfigurationError("EncryptionWrapper around an EncryptionWrapper: a value is sealed once, by one of them")
    check_serializer(serializer)


class EncryptionWrapper:
    """Encrypts what another serializer writes: AES-256-GCM with a key of the tenant's own.

    As `serializer=` of a decorator it means: the serializer inside, and encryption with this key, in the store and in memory.
    Each value is bound to its key in the cache there. By itself it is given that key with each call.

    Args:
        serializer: The serializer inside, a name or an object that may be sealed; None = default.
        master_key: At least 32 bytes; None = `CACHEKIT_MASTER_KEY`.
        tenant_id: Whose data it is, any text; None = this deployment's. With another one an entry does not open.
        enable_encryption: False: nothing is encrypted.

    Raises:
        ConfigurationError: E001 without a key, E002 for one that is too short, E103 for a serializer that may not be sealed,
            or a tenant that is empty or too long.
    """

    encrypts_for_decorators = True
    cross_sdk_compatible = True

    def __init__(
        self,
        serializer: Any = None,
        master_key: bytes | None = None,
        tenant_id: str | None = None,
        enable_encryption: bool = True,
    ) -> None:
        from cachekit.config.nested import EncryptionConfig

        self.serializer: Any = "default" if serializer is None else serializer
        self.tenant_id = tenant_id
        self.enable_encryption = enable_encryption
        _check_key(master_key)
        _check_tenant(tenant_id)
        text = None if master_key is None else bytes(master_key).hex()
        self._encryption = EncryptionConfig(enabled=enable_encryption, master_key=text, single_tenant_mode=True)
        if enable_encryption:
            _check_inner(self.serializer)

    def __repr__(self) -> str:
        return f"EncryptionWrapper(serializer={self.serializer!r}, enable_encryption={self.enable_encryption})"

    def configuration(self) -> Any:
        """The wrapper's part of a decorator's configuration."""
        from cachekit.config.nested import EncryptionConfig, TenantText

        return EncryptionConfig(
            enabled=self.enable_encryption,
            master_key=self._encryption.master_key,
            single_tenant_mode=True,
            deployment_uuid=None if self.tenant_id is None else TenantText(self.tenant_id),
        )

    def _inside(self) -> SerializerProtocol:
        from cachekit.serializers.registry import get_serializer

        return get_serializer(self.serializer)

    def _ring(self) -> Any:
        from cachekit import _core
        from cachekit.config.settings import get_settings

        previous = ",".join(key.get_secret_value() for key in get_settings().previous_master_keys)
        return _core.KeyRing(self._encryption.resolve_master_key(), previous or None)

    def serialize(self, obj: Any, cache_key: str = "") -> tuple[bytes, SerializationMetadata]:
        """The sealed payload of a value, and what is to be stored about it.

        Args:
            obj: The value.
            cache_key: The key under which it will be stored; it opens under no other.

        Raises:
            ValueError: without a key.
        """
        payload, inner = self._inside().serialize(obj)
        if not self.enable_encryption:
            return payload, inner
        if not cache_key:
            raise ValueError("cache_key= is needed: a sealed value is bound to the key under which it is stored")
        tenant = self.tenant_id or "default"
        ring = self._ring()
        sealed = ring.seal(tenant, cache_key, str(inner.format), inner.compressed, inner.original_type, payload)
        fields = {**inner.to_dict(), "encrypted": True, "tenant_id": tenant, "encryption_algorithm": "AES-256-GCM"}
        fields["key_fingerprint"] = ring.fingerprint(tenant)
        return sealed, SerializationMetadata.from_dict(fields)

    def deserialize(self, data: bytes, metadata: SerializationMetadata, cache_key: str = "") -> Any:
        """The value of a sealed payload.

        Raises:
            DecryptionAuthenticationError: It was altered, or sealed with another key or for another `cache_key`.
            ValueError: It is not sealed, or `cache_key` is missing.
        """
        if not self.enable_encryption:
            return self._inside().deserialize(data, metadata)
        if not metadata.encrypted or not metadata.tenant_id or not cache_key:
            raise ValueError("a sealed payload, the metadata that belongs to it and cache_key= are needed")
        payload = self._ring().unseal(
            metadata.tenant_id,
            cache_key,
            str(metadata.format),
            metadata.compressed,
            metadata.original_type,
            metadata.key_fingerprint or "",
            data,
        )
        inner = SerializationMetadata(metadata.format, metadata.encoding, metadata.compressed, metadata.original_type)
        return self._inside().deserialize(payload, inner)
