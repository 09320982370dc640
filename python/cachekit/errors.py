"""What can go wrong, with the codes of the error catalogue (docs/errors.md)."""

from __future__ import annotations


class CachekitError(Exception):
    """A failure of the cache. `code` is its place in the catalogue, e.g. ``"E011"``."""

    code: str = "E999"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class ConfigurationError(CachekitError, ValueError):
    """A setting or a combination of settings is wrong. Nothing was built."""

    code = "E103"
