"""Where encryption will be."""

from __future__ import annotations

from typing import Any

from cachekit.errors import UnsupportedError
from cachekit.serializers.base import SerializationMetadata


class EncryptionWrapper:
    """Encrypts what another serializer writes.

    This version cannot encrypt, and does not pretend to: making one raises.

    Args:
        serializer: The serializer inside.
        master_key: At least 32 bytes.
        tenant_id: Whose data it is.
        enable_encryption: Only True is possible.

    Raises:
        UnsupportedError: Always (E104).
    """

    def __init__(
        self,
        serializer: Any = None,
        master_key: bytes | None = None,
        tenant_id: str | None = None,
        enable_encryption: bool = True,
        **options: Any,
    ) -> None:
        raise UnsupportedError(
            "this version of cachekit does not encrypt, so nothing was stored in the clear in its place. Use the "
            "serializer without EncryptionWrapper for data that may be stored in the clear, or backend=None to keep "
            "values in memory."
        )

    def serialize(self, obj: Any) -> tuple[bytes, SerializationMetadata]:
        """Never reached: there are no instances."""
        raise NotImplementedError

    def deserialize(self, data: bytes, metadata: SerializationMetadata) -> Any:
        """Never reached: there are no instances."""
        raise NotImplementedError
