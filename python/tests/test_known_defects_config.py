"""What the released Python package gets wrong when it is configured, and this one must not: lifetimes, backend=None in a
configuration object, overrides of presets, flat keywords, the two classes for the breaker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cachekit
from cachekit import CircuitBreakerConfig, DecoratorConfig, cache
from cachekit.backends import BackendError, BackendErrorType, FileBackend, FileBackendConfig
from cachekit.config import (
    NOT_GIVEN,
    BackpressureConfig,
    ConfigurationError,
    EncryptionConfig,
    L1CacheConfig,
    MonitoringConfig,
    TimeoutConfig,
    nested,
    reset_settings,
    resolve,
    set_default_backend,
)

KEY = "0123456789abcdef" * 4
PRESETS = ("minimal", "production", "dev", "test")  # those that this version decorates with


def report(day: int) -> list[int]:
    return [day]


@pytest.fixture
def store(tmp_path: Path) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


def entries(store: FileBackend) -> int:
    directory = Path(store.config.cache_dir or "")
    return sum(1 for path in directory.rglob("*") if path.is_file() and path.name[0] != ".")


def counted(decorate: Any) -> Any:
    """A decorated function of one name, whose attribute `ran` tells how often it ran."""

    @decorate
    def double(n: int) -> list[int]:
        double.ran += 1
        return [2 * n]

    double.ran = 0
    return double


# ---- the breaker has one class --------------------------------------------------------------------------------


def test_the_breaker_has_one_class_wherever_it_is_imported_from():
    assert cachekit.CircuitBreakerConfig is nested.CircuitBreakerConfig is cachekit.config.CircuitBreakerConfig


def test_both_spellings_of_the_breakers_pause_are_one_field():
    assert CircuitBreakerConfig(timeout_seconds=5) == CircuitBreakerConfig(recovery_timeout=5)
    assert CircuitBreakerConfig(recovery_timeout=5).timeout_seconds == 5
    with pytest.raises(ConfigurationError, match="one setting and differ"):
        CircuitBreakerConfig(timeout_seconds=5, recovery_timeout=6)


def test_the_class_at_the_top_of_the_package_is_taken_by_the_decorator():
    breaker = CircuitBreakerConfig(failure_threshold=9, timeout_seconds=5)
    assert resolve(report, {"circuit_breaker": breaker}).circuit_breaker is breaker
    assert resolve(report, {"circuit_breaker_config": breaker}).circuit_breaker is breaker


def test_a_probe_more_than_the_breaker_lets_through_is_not_needed_to_close_it():
    breaker = CircuitBreakerConfig()
    assert breaker.half_open_requests >= breaker.success_threshold


# ---- a lifetime of 0: do not store ----------------------------------------------------------------------------


def test_a_lifetime_of_zero_stores_nothing_in_memory_and_raises_nothing():
    double = counted(cache(ttl=0, backend=None))
    assert double(4) == double(4) == [8]
    assert (double.ran, double.cache_info().hits, double.cache_info().misses) == (2, 0, 2)


def test_a_lifetime_of_zero_stores_nothing_in_files(store: FileBackend):
    double = counted(cache(ttl=0, backend=store))
    assert double(4) == double(4) == [8]
    assert double.ran == 2
    assert entries(store) == 0


def test_a_lifetime_of_zero_is_not_no_expiry():
    assert resolve(report, {"ttl": 0}).ttl_ms == 0
    assert resolve(report, {"ttl": 0.0}).ttl_ms == 0
    assert resolve(report, {"ttl": None}).ttl_ms is None


def test_bytes_with_a_lifetime_of_zero_are_not_stored(store: FileBackend):
    store.set("key", b"old", 60)
    store.set("key", b"new", 0)
    assert store.get("key") is None


# ---- no lifetime given: default_ttl ---------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_lifetime_that_is_not_given_is_an_hour_or_what_the_setting_says(
    preset: str | None, monkeypatch: pytest.MonkeyPatch
):
    assert resolve(report, {}, preset).ttl == 3600
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "90")
    reset_settings()
    assert resolve(report, {}, preset).ttl == 90
    assert resolve(report, {"config": DecoratorConfig()}, preset).ttl == 90
    assert resolve(report, {"ttl": None}, preset).ttl is None


def test_the_bounds_of_the_default_lifetime_do_not_bind_code():
    assert resolve(report, {"ttl": 1}).ttl == 1
    assert resolve(report, {"ttl": 315360000}).ttl == 315360000


# ---- lifetimes with decimals: milliseconds --------------------------------------------------------------------


@pytest.mark.parametrize("ttl, milliseconds", [(0.5, 500), (1.0, 1000), (2.0004, 2000), (1.9996, 2000), (1e-9, 1)])
def test_a_lifetime_has_milliseconds(ttl: float, milliseconds: int):
    assert resolve(report, {"ttl": ttl}).ttl_ms == milliseconds


def test_a_lifetime_with_decimals_is_stored(store: FileBackend):
    assert counted(cache(ttl=3600.5, backend=store))(4) == [8]
    assert entries(store) == 1
    other = counted(cache(ttl=3600.5, backend=store, l1_enabled=False))
    assert (other(4), other.ran, other.cache_info().l2_hits) == ([8], 0, 1)


def test_bytes_take_a_lifetime_with_decimals(store: FileBackend):
    store.set("key", b"value", 3600.25)
    assert store.get("key") == b"value"


def test_a_lifetime_below_a_millisecond_is_not_the_default_one(store: FileBackend, monkeypatch: pytest.MonkeyPatch):
    given: list[int] = []
    monkeypatch.setattr(store, "_do", lambda operation, key, value, life: given.append(life))
    store.set("key", b"value", 0.0001)
    assert given == [1]


@pytest.mark.parametrize("ttl", [-1, -0.001, float("nan"), float("inf"), float("-inf"), 315360001])
def test_a_lifetime_that_is_none_is_refused(ttl: float, store: FileBackend):
    with pytest.raises(ValueError, match="ttl="):
        cache(ttl=ttl, backend=None)(report)
    with pytest.raises(BackendError, match="expected 0 to 315360000, or None") as caught:
        store.set("key", b"value", ttl)
    assert caught.value.error_type is BackendErrorType.PERMANENT


# ---- encryption without a store -------------------------------------------------------------------------------


def test_what_should_be_encrypted_is_not_kept_in_the_clear_in_memory():
    value = {"text": "x"}
    function = cache.secure(master_key=KEY, backend=None)(lambda day: value)
    assert function(1) == function(1) == value and function(1) is not value  # opened anew, no live object
    with pytest.raises(ConfigurationError, match="without a master key"):
        cache(encryption=True, backend=None)(report)


def test_a_bare_function_tells_tenants_apart():
    def tenant(args: Any, kwargs: Any) -> str:
        return "acme"

    assert EncryptionConfig(enabled=True, master_key=KEY, tenant_extractor=tenant).tenant_extractor is tenant


# ---- backend=None in a configuration object -------------------------------------------------------------------


def test_a_configuration_object_with_backend_none_keeps_live_objects_in_memory(store: FileBackend):
    set_default_backend(store)
    double = counted(cache(config=DecoratorConfig(ttl=60, backend=None)))
    assert double(4) is double(4)
    assert double.ran == 1
    assert entries(store) == 0


def test_the_store_of_a_configuration_object_wins_over_the_default_one(store: FileBackend, tmp_path: Path):
    set_default_backend(FileBackend(FileBackendConfig(cache_dir=tmp_path / "default")))
    counted(cache(config=DecoratorConfig(ttl=60, backend=store)))(4)
    assert entries(store) == 1
    assert not (tmp_path / "default").exists()


def test_a_configuration_object_without_a_word_about_stores_takes_the_default_one(store: FileBackend):
    set_default_backend(store)
    counted(cache(config=DecoratorConfig(ttl=60)))(4)
    assert entries(store) == 1
    assert DecoratorConfig().backend is NOT_GIVEN


def test_backend_none_beside_a_configuration_object_wins_over_its_store(store: FileBackend):
    set_default_backend(store)
    assert resolve(report, {"config": DecoratorConfig(backend=store), "backend": None}).l1_only


# ---- overrides of presets -------------------------------------------------------------------------------------

GROUPS = {
    "l1": L1CacheConfig(enabled=True, swr_enabled=True, swr_threshold_ratio=0.75),
    "circuit_breaker": CircuitBreakerConfig(enabled=True, failure_threshold=9),
    "timeout": TimeoutConfig(enabled=True, initial=2.0),
    "backpressure": BackpressureConfig(enabled=True, queue_size=5),
    "monitoring": MonitoringConfig(enable_tracing=True, collect_stats=False),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("group", GROUPS)
def test_a_group_beside_a_preset_replaces_that_of_the_preset(preset: str, group: str):
    value = GROUPS[group]
    assert getattr(resolve(report, {group: value}, preset), group) is value
    assert getattr(getattr(DecoratorConfig, preset)(**{group: value}), group) is value


@pytest.mark.parametrize("preset", PRESETS)
def test_a_flat_keyword_beside_a_preset_changes_one_field_of_its_group(preset: str):
    plain = resolve(report, {}, preset)
    for on in (True, False):
        changed = resolve(report, {"enable_tracing": on, "integrity_checking": on, "l1_enabled": on}, preset)
        assert (changed.monitoring.enable_tracing, changed.integrity_checking, changed.l1.enabled) == (on, on, on)
        assert changed.monitoring.collect_stats is plain.monitoring.collect_stats
        assert changed.l1.swr_enabled is plain.l1.swr_enabled


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_with_overrides_decorates(preset: str):
    decorate = getattr(cache, preset)
    double = counted(decorate(ttl=60, backend=None, integrity_checking=True, **GROUPS))
    assert double(4) is double(4)
    assert double.ran == 1


# ---- flat keywords --------------------------------------------------------------------------------------------

FLAT = [
    ("l1_enabled", lambda config: config.l1.enabled),
    ("circuit_breaker", lambda config: config.circuit_breaker.enabled),
    ("adaptive_timeout", lambda config: config.timeout.enabled),
    ("backpressure", lambda config: config.backpressure.enabled),
    ("collect_stats", lambda config: config.monitoring.collect_stats),
    ("enable_tracing", lambda config: config.monitoring.enable_tracing),
    ("enable_structured_logging", lambda config: config.monitoring.enable_structured_logging),
    ("enable_prometheus_metrics", lambda config: config.monitoring.enable_prometheus_metrics),
    ("safe_mode", lambda config: config.safe_mode),
    ("pipelined", lambda config: config.pipelined),
    ("refresh_ttl_on_get", lambda config: config.refresh_ttl_on_get),
]


@pytest.mark.parametrize("keyword, read", FLAT)
@pytest.mark.parametrize("on", [True, False])
def test_a_flat_keyword_fills_its_field(keyword: str, read: Any, on: bool):
    assert read(resolve(report, {keyword: on})) is on
    assert read(resolve(report, {"config": DecoratorConfig(), keyword: on})) is on
    assert read(resolve(report, {keyword: on}, "test")) is on


def test_other_flat_keywords_fill_their_fields():
    assert resolve(report, {"max_concurrent_requests": 5}).backpressure.max_concurrent_requests == 5
    breaker = CircuitBreakerConfig(failure_threshold=9)
    assert resolve(report, {"circuit_breaker_config": breaker}).circuit_breaker == breaker
    assert resolve(report, {"fast_mode": True}).profile == "minimal"
    assert resolve(report, {"encryption": False, "fail_closed": True}).encryption.fail_closed is True
    assert resolve(report, {"encryption": False, "single_tenant_mode": True}).encryption.single_tenant_mode is True


CONTRADICTIONS: list[dict[str, Any]] = [
    {"l1_enabled": True, "l1": L1CacheConfig(enabled=False)},
    {"adaptive_timeout": True, "timeout": TimeoutConfig(enabled=False)},
    {"max_concurrent_requests": 5, "backpressure": BackpressureConfig(max_concurrent_requests=6)},
    {"collect_stats": True, "monitoring": MonitoringConfig(collect_stats=False)},
    {"enable_tracing": False, "monitoring": MonitoringConfig(enable_tracing=True)},
    {"enable_structured_logging": False, "monitoring": MonitoringConfig(enable_structured_logging=True)},
    {"enable_prometheus_metrics": False, "monitoring": MonitoringConfig(enable_prometheus_metrics=True)},
    {"circuit_breaker": True, "circuit_breaker_config": CircuitBreakerConfig(enabled=False)},
    {"circuit_breaker": CircuitBreakerConfig(), "circuit_breaker_config": CircuitBreakerConfig(failure_threshold=9)},
    {"fail_closed": True, "encryption": EncryptionConfig(enabled=False, fail_closed=False)},
]


@pytest.mark.parametrize("keywords", CONTRADICTIONS, ids=lambda keywords: next(iter(keywords)))
def test_flat_and_nested_keywords_that_contradict_each_other_are_refused_by_name(keywords: dict[str, Any]):
    for preset in (None, "minimal"):
        with pytest.raises(ConfigurationError) as caught:
            resolve(report, keywords, preset)
        assert all(name in str(caught.value) for name in keywords)
    with pytest.raises(ConfigurationError):
        DecoratorConfig(**keywords)


def test_flat_and_nested_keywords_that_agree_are_one():
    config = resolve(report, {"l1_enabled": False, "l1": L1CacheConfig(enabled=False, max_size_mb=5)})
    assert config.l1 == L1CacheConfig(enabled=False, max_size_mb=5)
    assert resolve(report, {"l1_enabled": False, "l1": L1CacheConfig(max_size_mb=5)}).l1 == config.l1


def test_keys_in_short_form_and_keys_for_all_languages_exclude_each_other():
    with pytest.raises(ConfigurationError, match="fast_mode=True contradicts interop="):
        DecoratorConfig(fast_mode=True, interop="get_user")


@pytest.mark.parametrize("keyword", ["tags", "lock_timeout", "prometheus", "l2", "l1_config"])
def test_a_keyword_that_is_shown_somewhere_and_accepted_nowhere_is_a_type_error(keyword: str):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{keyword}'"):
        resolve(report, {keyword: 1})
