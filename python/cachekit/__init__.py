"""CacheKit: a slow function made fast.

    from cachekit import cache

    @cache(ttl=60, backend=None)
    def report(day): ...
"""

from __future__ import annotations

from cachekit._core import version as __version__
from .config import CircuitBreakerConfig, DecoratorConfig
from .decorator import CacheInfo, cache
from .errors import InteropError
from .interop import decode_interop_value, encode_interop_value, generate_interop_key

__all__ = [
    "CacheInfo",
    "CircuitBreakerConfig",
    "DecoratorConfig",
    "InteropError",
    "__version__",
    "cache",
    "decode_interop_value",
    "encode_interop_value",
    "generate_interop_key",
]
