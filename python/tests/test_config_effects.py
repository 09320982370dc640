"""No setting is without effect in silence: it changes what a decorator resolves to, or what the cache does, or it is
refused in code and named in the log when it comes from the environment."""

from __future__ import annotations

import copy
import dataclasses
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from cachekit import CircuitBreakerConfig, DecoratorConfig, cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import (
    CachekitConfig,
    ConfigurationError,
    EncryptionConfig,
    L1CacheConfig,
    MonitoringConfig,
    TimeoutConfig,
    UnsupportedError,
    get_settings,
    reset_settings,
    resolve,
    settings_table,
)


def report(day: int) -> list[int]:
    return [day]


def resolved(**keywords: Any) -> DecoratorConfig:
    return resolve(report, keywords)


@pytest.fixture
def store(tmp_path: Path) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


def counted(**keywords: Any) -> Any:
    """A cached function whose attribute `ran` tells how often it ran."""

    @cache(**keywords)
    def double(n: int) -> int:
        double.ran += 1
        return 2 * n

    double.ran = 0
    return double


# ---- default_ttl ----------------------------------------------------------------------------------------------


def test_the_default_lifetime_is_that_of_functions_that_name_none(monkeypatch: pytest.MonkeyPatch):
    assert resolved().ttl_ms == 3600_000
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "7200.5")
    reset_settings()
    assert resolved().ttl_ms == 7200_500
    assert DecoratorConfig().ttl == 7200.5
    assert resolve(report, {}, "minimal").ttl == 7200.5
    assert resolved(config=DecoratorConfig()).ttl == 7200.5


def test_a_lifetime_that_is_given_is_not_the_default_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "7200")
    assert resolved(ttl=5).ttl == 5
    assert resolved(ttl=None).ttl is None
    assert resolved(ttl=0).ttl_ms == 0


# ---- memory ---------------------------------------------------------------------------------------------------


def test_memory_is_switched_off_for_all_functions_that_do_not_say(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_L1_ENABLED", "false")
    assert resolved().l1.enabled is False
    assert resolved(l1=L1CacheConfig(max_size_mb=5)).l1.enabled is False
    assert resolved(l1_enabled=True).l1.enabled is True
    assert resolved(l1=L1CacheConfig(enabled=True)).l1.enabled is True
    assert resolved(config=DecoratorConfig(l1_enabled=True)).l1.enabled is True


def test_a_function_without_memory_is_answered_by_the_store(store: FileBackend, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_L1_ENABLED", "false")
    double = counted(ttl=60, backend=store)
    assert double(4) == double(4) == 8
    assert (double.ran, double.cache_info().l1_hits, double.cache_info().l2_hits) == (1, 0, 1)


def test_memory_that_a_function_asks_for_wins_over_the_setting(store: FileBackend, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_L1_ENABLED", "false")
    double = counted(ttl=60, backend=store, l1_enabled=True)
    assert double(4) == double(4) == 8
    assert (double.ran, double.cache_info().l1_hits, double.cache_info().l2_hits) == (1, 1, 0)


def test_a_function_with_neither_memory_nor_store_is_called_through_and_said_so(caplog: pytest.LogCaptureFixture):
    with caplog.at_level("WARNING", "cachekit"):
        double = counted(ttl=60, backend=None, l1_enabled=False)
    assert caplog.text.count("nothing is cached") == 1
    assert double(4) == double(4) == 8
    assert double.ran == 2


def test_the_size_of_memory_is_that_of_the_setting_or_of_the_function(
    store: FileBackend, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CACHEKIT_L1_MAX_SIZE_MB", "7")
    assert resolved().l1.max_size_mb is None
    assert counted(backend=store).cache.stats()["l1_max_bytes"] == 7 << 20
    assert counted(backend=store, l1=L1CacheConfig(max_size_mb=9)).cache.stats()["l1_max_bytes"] == 9 << 20


# ---- what is stored -------------------------------------------------------------------------------------------


def stored_sizes(directory: Path) -> list[int]:
    return sorted(path.stat().st_size for path in directory.rglob("*") if path.is_file() and path.name[0] != ".")


def test_checksums_are_switched_off_for_all_functions_that_do_not_say(monkeypatch: pytest.MonkeyPatch):
    assert resolved().integrity_checking is True
    monkeypatch.setenv("CACHEKIT_ENABLE_CORRUPTION_DETECTION", "false")
    reset_settings()
    assert resolved().integrity_checking is False
    assert DecoratorConfig.production().integrity_checking is False
    assert resolved(integrity_checking=True).integrity_checking is True
    assert resolved(config=DecoratorConfig(integrity_checking=True)).integrity_checking is True


def test_a_value_is_stored_with_or_without_its_checksum_as_the_setting_says(
    store: FileBackend, monkeypatch: pytest.MonkeyPatch
):
    counted(ttl=60, backend=store)(4)
    (with_checksum,) = stored_sizes(Path(store.config.cache_dir or ""))
    monkeypatch.setenv("CACHEKIT_ENABLE_CORRUPTION_DETECTION", "false")
    reset_settings()
    counted(ttl=60, backend=store)(4)
    without, other = stored_sizes(Path(store.config.cache_dir or ""))
    assert without < other == with_checksum
    explicit = counted(ttl=60, backend=store, integrity_checking=True)
    assert explicit(4) == 8
    assert explicit.ran == 0  # the entry with a checksum is still the one of functions that want one


def test_a_value_above_the_limit_is_returned_and_not_stored(store: FileBackend, monkeypatch: pytest.MonkeyPatch):
    for variable in ("CACHEKIT_MAX_VALUE_SIZE", "CACHEKIT_MAX_CHUNK_SIZE_MB"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "1")
            reset_settings()
            assert get_settings().effective_max_value_size in (1, 1 << 20)
    monkeypatch.setenv("CACHEKIT_MAX_VALUE_SIZE", "10")
    reset_settings()
    double = counted(ttl=60, backend=store)
    assert double(4) == double(4) == 8
    assert double.ran == 2
    assert stored_sizes(Path(store.config.cache_dir or "")) == []


def test_a_key_above_the_limit_is_refused_by_the_store(store: FileBackend, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_MAX_KEY_SIZE", "10")
    store.set("k" * 10, b"value", 60)
    with pytest.raises(Exception, match="key") as caught:
        store.set("k" * 11, b"value", 60)
    assert type(caught.value).__name__ == "BackendError"


@pytest.mark.parametrize("where", ["memory", "a store written in Python"])
def test_a_variable_of_the_library_that_is_wrong_is_a_configuration_error(
    where: str, monkeypatch: pytest.MonkeyPatch
):
    class Shelf(dict):
        set, delete = dict.__setitem__, dict.pop

    backend = None if where == "memory" else Shelf()
    monkeypatch.setenv("CACHEKIT_FILE_MAX_VALUE_MB", "1000")  # more than half of the whole
    with pytest.raises(ConfigurationError, match="CACHEKIT_FILE_MAX_VALUE_MB=1000 is above half") as refused:
        counted(backend=backend, l1=L1CacheConfig(max_size_mb=17))  # no cache that another test has opened
    assert refused.value.code == "E103"


# ---- switches of features -------------------------------------------------------------------------------------


def test_metrics_are_switched_off_for_all_functions_that_do_not_say(monkeypatch: pytest.MonkeyPatch):
    assert resolved().monitoring.enable_prometheus_metrics is True
    monkeypatch.setenv("CACHEKIT_ENABLE_PROMETHEUS_METRICS", "false")
    reset_settings()
    assert resolved().monitoring.enable_prometheus_metrics is False
    assert resolved(monitoring=MonitoringConfig(collect_stats=False)).monitoring.enable_prometheus_metrics is False
    assert resolved(enable_prometheus_metrics=True).monitoring.enable_prometheus_metrics is True


@pytest.mark.parametrize(
    "asked",
    [
        {"enable_tracing": True, "enable_structured_logging": True, "enable_prometheus_metrics": True},
        {"monitoring": MonitoringConfig(enable_tracing=True, enable_structured_logging=True, enable_prometheus_metrics=True)},
    ],
)
def test_what_is_asked_for_and_not_there_yet_is_named_in_the_log(
    asked: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cachekit._told._warned", {})
    counted(backend=None)
    counted(backend=None, enable_tracing=False, collect_stats=True)
    assert caplog.text == ""
    counted(backend=None, **asked), counted(backend=None, **asked)
    said = sorted(record.message.partition(": ")[2] for record in caplog.records)
    assert [line.partition("=")[0] for line in said] == [
        "enable_prometheus_metrics", "enable_structured_logging", "enable_tracing",
    ]  # fmt: skip


# ---- what is asked for and comes to nothing -------------------------------------------------------------------

KEY = "0123456789abcdef" * 4
UUID = "01234567-89ab-4def-8123-456789abcdef"


def warned(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, **keywords: Any) -> list[str]:
    """What the log says of two functions with these keywords, without the first one's name."""
    monkeypatch.setattr("cachekit._told._warned", {})
    caplog.clear()
    counted(**keywords), counted(**keywords)
    assert all("counted.<locals>.double: " in record.message for record in caplog.records)
    return [record.message.partition(": ")[2] for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    "keywords, what, why",
    [
        ({"single_tenant_mode": True}, "single_tenant_mode=True", "no master key"),
        ({"encryption": EncryptionConfig(single_tenant_mode=True)}, "single_tenant_mode=True", "no master key"),
        ({"deployment_uuid": UUID}, "deployment_uuid=", "no master key"),
        ({"config": DecoratorConfig(deployment_uuid=UUID)}, "deployment_uuid=", "no master key"),
        ({"encryption": False, "deployment_uuid": UUID}, "deployment_uuid=", "encryption=False"),
        ({"ttl": None, "ttl_jitter": 0.1}, "ttl_jitter=", "ttl=None has no end"),
        ({"ttl": 0, "ttl_jitter": 0.1}, "ttl_jitter=", "ttl=0 keeps nothing"),
        ({"ttl": None, "early_refresh_beta": 1}, "early_refresh_beta=", "ttl=None has no end"),
        ({"l1_enabled": False, "early_refresh_beta": 1}, "early_refresh_beta=", "switched off"),
        ({"ttl": None, "swr_by_default": True}, "swr_by_default=True", "ttl=None has no end"),
        ({"ttl": None, "refresh_ttl_on_get": True}, "refresh_ttl_on_get=True", "ttl=None has no end"),
        ({"ttl_refresh_threshold": 0.3}, "ttl_refresh_threshold=", "refresh_ttl_on_get=True"),
        ({"backend": None, "fail_closed": True}, "fail_closed=True", "encryption=True asks for it"),
        ({"backend": None, "fallback_strategy": "fail_closed"}, "fallback_strategy='fail_closed'", "no store that"),
        ({"backend": None, "circuit_breaker": CircuitBreakerConfig(failure_threshold=3)}, "circuit_breaker=", "no store"),
        ({"backend": None, "adaptive_timeout": True}, "timeout=", "no store"),
        ({"backend": None, "max_concurrent_requests": 3}, "backpressure=", "no store"),
        ({"backend": None, "serializer": "orjson"}, "serializer=", "as they are"),
        ({"l1": L1CacheConfig(), "l1_enabled": False}, "l1=L1CacheConfig(...)", "l1_enabled=False"),
        ({"l1": L1CacheConfig(max_size_mb=5), "l1_enabled": False}, "l1=L1CacheConfig(...)", "l1_enabled=False"),
        (
            {"config": DecoratorConfig(l1=L1CacheConfig(), l1_enabled=False).replace(ttl=5)},
            "l1=L1CacheConfig(...)",
            "l1_enabled=False",
        ),
        (
            {"circuit_breaker": False, "circuit_breaker_config": CircuitBreakerConfig(failure_threshold=3)},
            "circuit_breaker_config=CircuitBreakerConfig(...)",
            "circuit_breaker=False",
        ),
    ],
)
def test_what_comes_to_nothing_is_named_in_the_log_once_with_the_reason(
    keywords: dict[str, Any],
    what: str,
    why: str,
    store: FileBackend,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    said = warned(caplog, monkeypatch, **{"backend": store, **keywords})
    assert [line.partition(" is without effect: ")[0] for line in said] == [what]
    assert why in said[0]


@pytest.mark.parametrize(
    "keywords",
    [
        {"master_key": KEY, "single_tenant_mode": True, "deployment_uuid": UUID, "fail_closed": True},
        {"encryption": True, "master_key": KEY, "single_tenant_mode": True, "backend": None, "fail_closed": True},
        {"fail_closed": True},  # what others have encrypted is met without a key too
        {"single_tenant_mode": False, "deployment_uuid": None},
        {"ttl": None, "none_ttl": 5, "ttl_jitter": 0.1, "early_refresh_beta": 1},
        {"ttl": None, "ttl_jitter": 0, "early_refresh_beta": 0},
        {"ttl": 0},
        {"refresh_ttl_on_get": True, "ttl_refresh_threshold": 0.3},
        {"fallback_strategy": "fail_closed", "circuit_breaker": CircuitBreakerConfig(failure_threshold=3)},
        {"backend": None, "circuit_breaker": False, "backpressure": False, "adaptive_timeout": False},
        {"l1_enabled": False},
        {"l1": L1CacheConfig(enabled=False, max_size_mb=5), "l1_enabled": False},
        {"config": DecoratorConfig(l1=L1CacheConfig(max_size_mb=5)).replace(l1_enabled=False)},
        {"config": DecoratorConfig(l1=L1CacheConfig(), l1_enabled=False).replace(l1_enabled=True)},
        {"adaptive_timeout": False, "timeout": TimeoutConfig(initial=0.5)},  # which is the limit then
    ],
)
def test_what_has_its_effect_or_is_not_asked_for_is_not_worth_a_word(
    keywords: dict[str, Any], store: FileBackend, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    assert warned(caplog, monkeypatch, **{"backend": store, **keywords}) == []


@pytest.mark.parametrize("preset", ["minimal", "production", "dev", "test"])
def test_what_a_preset_brings_is_not_asked_for(
    preset: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cachekit._told._warned", {})
    getattr(cache, preset)(report, backend=None, ttl=None)
    assert caplog.messages == []


def test_memory_that_the_environment_switches_off_is_not_worth_a_word(
    store: FileBackend, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CACHEKIT_L1_ENABLED", "false")
    assert warned(caplog, monkeypatch, backend=store, l1=L1CacheConfig(max_size_mb=5)) == []


def test_a_word_for_one_tenant_is_without_effect_where_encryption_is_declined(
    store: FileBackend, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    monkeypatch.setenv("CACHEKIT_DEV_MODE", "true")
    (said,) = warned(caplog, monkeypatch, backend=store, encryption=False, single_tenant_mode=True)
    assert said.startswith("single_tenant_mode=True is without effect: encryption=False")


# ---- names of functions ---------------------------------------------------------------------------------------


def test_looking_at_names_is_switched_off(monkeypatch: pytest.MonkeyPatch):
    def compute_report(day: int) -> int:
        return day

    assert resolve(compute_report, {}).profile == "minimal"
    monkeypatch.setenv("CACHEKIT_AUTO_INTENT", "false")
    reset_settings()
    assert resolve(compute_report, {}).profile == "plain"


def test_the_thresholds_of_the_breaker_reach_the_configuration():
    config = resolved(circuit_breaker=CircuitBreakerConfig(failure_threshold=9))
    assert config.circuit_breaker.failure_threshold == 9
    assert config.to_dict()["failure_threshold"] == 9


# ---- settings that nothing acts on ----------------------------------------------------------------------------

WITHOUT_EFFECT = [
    ("early_refresh_ratio", 0.5, "0.5"),
    ("backend_provider_class", "app.Provider", "app.Provider"),
    ("log_sampling_rate", 0.5, "0.5"),
    ("log_buffer_size", 5, "5"),
    ("log_batch_size", 5, "5"),
    ("log_flush_interval", 2.5, "2.5"),
]


def test_the_help_of_a_setting_says_that_nothing_acts_on_it():
    said = [row["name"] for row in settings_table() if "can only be given its default" in row["help"]]
    assert said == [name for name, _, _ in WITHOUT_EFFECT]


@pytest.mark.parametrize("name, value, _", WITHOUT_EFFECT)
def test_a_setting_that_nothing_acts_on_is_refused_in_code(name: str, value: Any, _: str):
    with pytest.raises(UnsupportedError, match=f"{name}=.*: nothing in this version acts on {name}") as caught:
        CachekitConfig(**{name: value})
    assert caught.value.code == "E104"
    default = getattr(CachekitConfig(), name)
    assert CachekitConfig(**{name: default}) == CachekitConfig()


@pytest.mark.parametrize("name, value, text", WITHOUT_EFFECT)
def test_a_variable_that_nothing_acts_on_is_named_in_the_log(
    name: str, value: Any, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    variable = "CACHEKIT_" + name.upper()
    monkeypatch.setenv(variable, text)
    with caplog.at_level(logging.WARNING, "cachekit"):
        assert getattr(get_settings(), name) == value
        get_settings()
    assert caplog.messages == [f"nothing in this version acts on {variable}"]


def test_a_variable_that_says_the_default_is_not_worth_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("CACHEKIT_LOG_BUFFER_SIZE", "10000")
    monkeypatch.setenv("CACHEKIT_LOG_SAMPLING_RATE", "0.1")
    get_settings()
    assert caplog.messages == []


def test_settings_with_such_a_variable_are_copied_and_pickled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_LOG_BUFFER_SIZE", "5")
    config = CachekitConfig()
    assert dataclasses.replace(config, default_ttl=120).log_buffer_size == 5
    assert copy.deepcopy(config) == config == pickle.loads(pickle.dumps(config))
    monkeypatch.delenv("CACHEKIT_LOG_BUFFER_SIZE")
    assert pickle.loads(pickle.dumps(config)).log_buffer_size == 10000  # where it is not set
