"""What tests of coroutine functions share: options for each kind of store, and a function that counts its runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cachekit import cache
from cachekit.backends import FileBackend, FileBackendConfig


@pytest.fixture(params=["memory", "files"])
def options(request: pytest.FixtureRequest, tmp_path: Any) -> dict[str, Any]:
    if request.param == "memory":
        return {"backend": None, "ttl": 60}
    return {"backend": FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")), "ttl": 60}


def counting(**given: Any) -> tuple[Any, list[Any]]:
    runs: list[Any] = []

    @cache(**{"backend": None, **given})
    async def function(*args: Any, **kwargs: Any) -> Any:
        runs.append((args, kwargs))
        await asyncio.sleep(0)
        return [list(args), kwargs]

    return function, runs
