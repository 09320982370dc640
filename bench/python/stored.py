"""Values that are held as bytes: hits that decode, and misses that write a file.

The works are written against what both packages offer, so that the released one does the same in its own process.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Callable

from common import Row, Rows, Setting, Timed, at_least, at_most, expect_hit, measure, plain, repeated


def document(records: int) -> dict[str, Any]:
    """What a service keeps: records with a few fields of every kind, about 77 bytes each."""
    names = ("alice", "bob", "christopher", "dorothea", "eve")
    return {
        "page": 1,
        "records": [
            {
                "id": 1000000 + i,
                "name": names[i % len(names)],
                "score": i * 0.25,
                "active": i % 3 == 0,
                "groups": ["staff", "administration", -i],
            }
            for i in range(records)
        ],
    }


_8K, _10K = 106, 130
# No number twice in a process: each is a miss.
_numbers = itertools.count()


def _answering(value: object) -> Callable[[int], object]:
    return lambda number: value


def _cached(scratch: Path, function: Callable[[int], object]) -> Any:
    from cachekit import cache
    from cachekit.backends.file import FileBackend, FileBackendConfig

    return cache(backend=FileBackend(FileBackendConfig(cache_dir=scratch)), ttl=3600)(function)


def _hit_8k(scratch: Path) -> Timed:
    value = document(_8K)
    cached = _cached(scratch, _answering(value))
    expect_hit(cached, lambda: cached(1))
    if cached(1) != value or cached(1) is value:
        raise RuntimeError("the hit does not decode the document")
    return repeated("f(1)", f=cached)


def _miss_10k(scratch: Path) -> Timed:
    value = document(_10K)
    cached = _cached(scratch, _answering(value))
    return repeated("f(next(numbers))", f=cached, numbers=_numbers)


WORKS: dict[str, Callable[[Path], Timed]] = {"hit.8k": _hit_8k, "miss.10k": _miss_10k}


# ---- rows -------------------------------------------------------------------------------------------------------


def _hit_against_msgspec(name: str, setting: Setting) -> Row:
    from msgspec import msgpack

    packed = msgpack.encode(document(_8K))
    times = measure(
        ours=_hit_8k(setting.scratch), theirs=repeated("decode(packed)", decode=msgpack.decode, packed=packed)
    )
    return at_most(name, times["ours"] * 1e6, "us", "msgspec", times["theirs"] * 1e6, 1.2)


def _hit_against_released(name: str, setting: Setting) -> Row:
    times = measure(ours=_hit_8k(setting.scratch), theirs=setting.released_work("hit.8k"))
    return at_least(name, 1 / times["ours"], "/s", "released cachekit", 1 / times["theirs"], 3.5)


def _miss_against_bare(name: str, setting: Setting) -> Row:
    value = document(_10K)
    bare = repeated("f(next(numbers))", f=_answering(value), numbers=_numbers)
    times = measure(ours=_miss_10k(setting.scratch), bare=bare)
    return plain(name, times["ours"] * 1e6, "us", "bare function", times["bare"] * 1e6)


def _miss_against_released(name: str, setting: Setting) -> Row:
    times = measure(ours=_miss_10k(setting.scratch), theirs=setting.released_work("miss.10k"))
    return plain(name, times["ours"] * 1e6, "us", "released cachekit", times["theirs"] * 1e6)


ROWS: Rows = {
    "python.hit.8k": _hit_against_msgspec,
    "python.hit.8k.incumbent": _hit_against_released,
    "python.miss.files.10k": _miss_against_bare,
    "python.miss.files.10k.incumbent": _miss_against_released,
}
