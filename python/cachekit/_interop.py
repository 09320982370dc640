"""What the decorator needs for interop mode: the signature of the function, and a store that leaves keys as they are."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Callable

from ._methods import NAMED, bound_arguments
from ._told import name_of
from .config import get_settings
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._methods import Shape
    from ._stores import Place
    from .config import DecoratorConfig

_PREFIXED = (
    "interop={!r}: {} puts {!r} in front of every key, where no other SDK finds them; pass a backend that does not, e.g. "
    "backend=RedisBackend(url)"
)


def keywords_for(
    function: Callable[..., Any], config: DecoratorConfig, place: Place, shape: Shape
) -> dict[str, tuple[str, tuple[Any, ...], Callable[[], None] | None]]:
    """For CachedFunction.

    Raises:
        ConfigurationError: the function is no plain one, or its store changes keys.
    """
    operation = config.interop
    assert operation is not None
    if place.chosen is not None:
        from .backends.redis.provider import DEFAULT_TENANT

        raise ConfigurationError(_PREFIXED.format(operation, "a Redis that the environment chooses", f"t:{DEFAULT_TENANT}:"))
    if shape.first == NAMED or bound_arguments(function) is not None:
        raise ConfigurationError(
            f"interop={operation!r}: {name_of(function)} is called on an object or has arguments already, which no key can "
            "hold that all languages share. Decorate a function or a static method that gets everything it needs"
        )
    _check_deployment(operation, config)
    check = None
    if hasattr(config.backend, "key_prefix"):
        check = functools.partial(_check_prefix, operation, config.backend)
        check()
    return {"interop": (operation, _parameters(function, operation), check)}


def _parameters(function: Callable[..., Any], operation: str) -> tuple[Any, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"interop={operation!r}: {name_of(function)} does not tell its parameters, whose order is part of the key"
        ) from None
    return tuple(
        (each.name, int(each.kind)) if each.default is each.empty else (each.name, int(each.kind), each.default)
        for each in parameters
    )


def _check_deployment(operation: str, config: DecoratorConfig) -> None:
    """Other SDKs seal for the text of the identifier as it is written."""
    text = config.encryption.deployment_uuid or get_settings().deployment_uuid
    if config.encryption.enabled is False or text is None:
        return
    import uuid

    try:
        canonical = str(uuid.UUID(text))
    except ValueError:  # of an EncryptionWrapper
        raise ConfigurationError(
            f"interop={operation!r}: tenant_id={text!r} is no UUID, which the deployment is that all who share sealed entries name"
        ) from None
    if canonical != text:
        raise ConfigurationError(
            f"interop={operation!r}: the deployment UUID is written as {text!r}, and all who share sealed entries have to write "
            f"it alike: {canonical}"
        )


def _check_prefix(operation: str, backend: Any) -> None:
    prefix: object = backend.key_prefix
    if prefix:
        raise ConfigurationError(_PREFIXED.format(operation, type(backend).__name__, prefix))
