"""The matrix of the presets, from live objects: what is really on in a function that is decorated with each.

Rows that ask for something that another part does (metrics, tracing, encryption), and columns that this build refuses, are
shown as they are configured; they are marked with `c`.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest

from cachekit import _core, cache
from cachekit._refresh import Refresher
from cachekit.config import DecoratorConfig, LocalConfig, resolve
from cachekit.errors import UnsupportedError
from shelves import Shelf

ON, OFF, NONE = "on", "off", "none"

PRESETS = ("plain", "minimal", "production", "secure", "dev", "test", "io", "local")

SPECIFIED: dict[str, tuple[Any, ...]] = {
    #                       plain  minimal production secure dev  test  io    local
    "store":                ("resolved",) * 6 + ("managed", NONE),
    "serializer":           ("default",) * 7 + (NONE,),
    "ttl":                  (3600,) * 7 + (300,),
    "integrity":            (ON, OFF, ON, ON, ON, OFF, ON, NONE),
    "memory":               (ON,) * 8,
    "memory size":          ("100 MiB",) * 7 + ("256 entries",),
    "stale in the ttl":     (ON, OFF, ON, ON, ON, OFF, ON, NONE),
    "stale past the ttl":   (OFF, OFF, OFF, OFF, OFF, OFF, ON, NONE),
    "invalidation events":  (ON, OFF, ON, ON, OFF, OFF, ON, NONE),
    "namespace index":      (ON, OFF, ON, ON, OFF, OFF, ON, NONE),
    "circuit breaker":      (ON, OFF, ON, ON, ON, OFF, ON, NONE),
    "adaptive timeout":     (ON, OFF, ON, ON, ON, OFF, ON, NONE),
    "backpressure":         (ON, ON, ON, ON, ON, OFF, ON, NONE),
    "retries":              (ON, ON, ON, ON, ON, OFF, ON, NONE),
    "statistics":           (ON, OFF, ON, ON, ON, OFF, ON, "hits and misses"),
    "tracing":              (ON, OFF, ON, ON, ON, OFF, ON, NONE),
    "structured logging":   (ON, OFF, ON, ON, ON, OFF, ON, NONE),
    "prometheus metrics":   (ON, OFF, ON, ON, OFF, OFF, ON, NONE),
    "encryption":           ("automatic", "automatic", "automatic", "required") + ("automatic",) * 3 + (NONE,),
}  # fmt: skip


class Store(Shelf):
    """And the lifetimes that it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.lifetimes: list[int | None] = []

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        super().set(key, value, ttl)
        self.lifetimes.append(ttl)


def report(x: int) -> list[int]:
    return [x] * 100


def shown(on: bool) -> str:
    return ON if on else OFF


def configured(config: DecoratorConfig) -> dict[str, Any]:
    """The rows as a configuration has them."""
    return {
        "store": "managed" if config.profile == "io" else "resolved",
        "serializer": config.serializer,
        "ttl": config.ttl,
        "integrity": shown(config.integrity_checking),
        "memory": shown(config.l1.enabled),
        "memory size": "100 MiB" if config.l1.max_size_mb is None else f"{config.l1.max_size_mb} MiB",
        "stale in the ttl": shown(config.l1.swr_enabled),
        "stale past the ttl": shown(config.stale_ms > 0),
        "invalidation events": shown(config.l1.invalidation_enabled),
        "namespace index": shown(config.l1.namespace_index),
        "circuit breaker": shown(config.circuit_breaker.enabled),
        "adaptive timeout": shown(config.timeout.enabled),
        "backpressure": shown(config.backpressure.enabled),
        "retries": shown(config.circuit_breaker.enabled or config.timeout.enabled or config.backpressure.enabled),
        "statistics": shown(config.monitoring.collect_stats),
        "tracing": shown(config.monitoring.enable_tracing),
        "structured logging": shown(config.monitoring.enable_structured_logging),
        "prometheus metrics": shown(config.monitoring.enable_prometheus_metrics),
        "encryption": {None: "automatic", True: "required", False: OFF}[config.encryption.enabled],
    }


def holds_envelope(stored: bytes) -> bool:
    """Whether the payload of a frame has a checksum."""
    try:
        _core.envelope_open(_core.frame_parse(stored)[1])
    except _core_error():
        return False
    return True


def _core_error() -> type[Exception]:
    from cachekit.errors import CachekitError

    return CachekitError


def live(decorator: Any) -> dict[str, Any]:
    """The rows that can be seen in functions that are decorated so: one over a store, one in memory alone."""
    store = Store()
    stored, alone = decorator(backend=store)(report), decorator(backend=None)(report)
    for _ in range(2):
        assert stored(1) == alone(1) == [1] * 100
    (document,) = store.entries.values()
    options, stats, health = stored.cache.guard().options(), stored.cache.stats(), stored.get_health_status()
    rows = {
        "store": "resolved",
        "ttl": store.lifetimes[0],
        "integrity": shown(holds_envelope(document)),
        "memory": shown(stats["l1_hits"] == 1),
        "memory size": f"{stats['l1_max_bytes'] // 2**20} MiB",
        "stale in the ttl": shown(any(isinstance(held, Refresher) for held in gc.get_referents(alone))),
        "circuit breaker": shown(options["breaker"]),
        "adaptive timeout": shown(options["adaptive_timeout"]),
        "backpressure": shown(options["backpressure"]),
        "retries": shown(options["retry"]),
        "statistics": shown("metrics" in health["components"]),
    }
    assert {name: shown(on) for name, on in health["features_enabled"].items()} == {
        "circuit_breaker": rows["circuit breaker"],
        "adaptive_timeout": rows["adaptive timeout"],
        "backpressure": rows["backpressure"],
        "statistics": rows["statistics"],
        "structured_logging": configured(_config_of(decorator))["structured logging"],
    }
    return rows


def _config_of(decorator: Any) -> DecoratorConfig:
    return resolve(report, {}, None if decorator is cache else repr(decorator).partition(".")[2])


def local_column() -> dict[str, Any]:
    function = cache.local(report)
    assert function(1) is function(1)
    info = function.cache_info()
    absent = not hasattr(function, "get_health_status")
    column = {row: NONE if absent else ON for row in SPECIFIED}
    return {
        **column,
        "ttl": LocalConfig().ttl,
        "memory": shown(info.hits == 1),
        "memory size": f"{info.maxsize} entries",
        "statistics": "hits and misses" if (info.hits, info.misses) == (1, 1) else NONE,
    }


def column_of(preset: str) -> tuple[dict[str, Any], set[str]]:
    """The rows of a preset, and which of them are only configured."""
    if preset == "local":
        return local_column(), set()
    decorator = cache if preset == "plain" else getattr(cache, preset)
    keywords = {"master_key": "ab" * 32} if preset == "secure" else {}
    config = DecoratorConfig.preset(preset, **keywords)
    rows = configured(config)
    try:
        seen = live(decorator)
    except UnsupportedError:
        seen = {}
    except ValueError:  # secure without a key of the process, which is asked for
        assert preset == "secure"
        seen = {}
    return {**rows, **seen}, rows.keys() - seen.keys()


@pytest.fixture(scope="module")
def matrix() -> dict[str, tuple[dict[str, Any], set[str]]]:
    return {preset: column_of(preset) for preset in PRESETS}


def table(matrix: dict[str, tuple[dict[str, Any], set[str]]]) -> str:
    lines = [f"{'':20}" + "".join(f"{preset:>17}" for preset in PRESETS)]
    for row in SPECIFIED:
        cells = [f"{column[row]}{' c' if row in only else ''}" for column, only in matrix.values()]
        lines.append(f"{row:20}" + "".join(f"{cell:>17}" for cell in cells))
    return "\n".join(lines)


def test_the_whole_matrix_is_as_specified(matrix: Any) -> None:
    print("\n" + table(matrix))
    found = {row: tuple(column[row] for column, _ in matrix.values()) for row in SPECIFIED}
    wrong = {row: (found[row], SPECIFIED[row]) for row in SPECIFIED if found[row] != SPECIFIED[row]}
    assert wrong == {}


@pytest.mark.parametrize("preset", ["plain", "minimal", "production", "dev", "test"])
def test_what_the_presets_switch_is_seen_not_only_configured(preset: str, matrix: Any) -> None:
    _, only_configured = matrix[preset]
    assert not only_configured & {"integrity", "memory", "circuit breaker", "adaptive timeout", "backpressure",
                                  "retries", "stale in the ttl", "ttl", "memory size"}  # fmt: skip


@pytest.mark.parametrize("preset", ["minimal", "production", "dev", "test"])
def test_what_a_user_says_wins_over_a_preset(preset: str) -> None:
    other = preset in ("minimal", "test")
    function = getattr(cache, preset)(backend=Store(), circuit_breaker=other, adaptive_timeout=other)(report)
    options = function.cache.guard().options()
    assert options["breaker"] is options["adaptive_timeout"] is other
