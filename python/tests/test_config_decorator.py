"""The configuration of one function: fields, presets, flat and nested forms, redaction, the default store."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from cachekit.config import (
    NOT_GIVEN,
    ConfigurationError,
    ConfigurationTypeError,
    DecoratorConfig,
    EncryptionConfig,
    SecretStr,
    UnsupportedError,
    get_default_backend,
    reset_settings,
    set_default_backend,
)
from cachekit.config.decorator import LocalConfig
from cachekit.config.nested import (
    BackpressureConfig,
    CircuitBreakerConfig,
    L1CacheConfig,
    MonitoringConfig,
    TimeoutConfig,
)
from shelves import Minimal as Store

KEY = "0123456789abcdef" * 4


class Serializer:
    def serialize(self, obj):
        return b"", None

    def deserialize(self, data, metadata):
        return None


# ---- fields ---------------------------------------------------------------------------------------------------


def test_every_field_has_its_default():
    found = {field.name: getattr(DecoratorConfig(), field.name) for field in dataclasses.fields(DecoratorConfig)}
    assert found == {
        "ttl": 3600,
        "stale_ttl": None,
        "fail_safe": 0,
        "ttl_jitter": 0.0,
        "early_refresh_beta": 0.0,
        "none_ttl": None,
        "fallback_strategy": "fail_open",
        "soft_limit": None,
        "hard_limit": None,
        "swr_by_default": False,
        "namespace": None,
        "serializer": "default",
        "integrity_checking": True,
        "key": None,
        "interop": None,
        "refresh_ttl_on_get": False,
        "ttl_refresh_threshold": 0.5,
        "safe_mode": False,
        "pipelined": True,
        "backend": NOT_GIVEN,
        "l1": L1CacheConfig(),
        "circuit_breaker": CircuitBreakerConfig(),
        "timeout": TimeoutConfig(),
        "backpressure": BackpressureConfig(),
        "monitoring": MonitoringConfig(),
        "encryption": EncryptionConfig(),
        "profile": "plain",
        "profile_reason": "",
    }


@pytest.mark.parametrize(
    "ttl, milliseconds",
    [(3600, 3600000), (1, 1000), (0, 0), (0.0, 0), (0.5, 500), (1.001, 1001), (0.0001, 1), (None, None)]
    + [(315360000, 315360000000)],
)
def test_lifetimes_count_in_milliseconds(ttl, milliseconds):
    assert DecoratorConfig(ttl=ttl).ttl == ttl
    assert DecoratorConfig(ttl=ttl).ttl_ms == milliseconds


@pytest.mark.parametrize("ttl", [-1, -0.001, float("nan"), float("inf"), float("-inf"), 315360001, 10**400])
def test_a_lifetime_is_finite_and_not_negative(ttl):
    with pytest.raises(ValueError, match="ttl=.*: expected seconds, None .*, 0 to 315360000") as caught:
        DecoratorConfig(ttl=ttl)
    assert caught.value.code == "E103"


@pytest.mark.parametrize("ttl", ["60", True, [60], 5j])
def test_a_lifetime_is_a_number(ttl):
    with pytest.raises(TypeError, match="ttl is"):
        DecoratorConfig(ttl=ttl)


def test_without_ttl_the_setting_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "120")
    reset_settings()
    assert DecoratorConfig().ttl == 120
    assert DecoratorConfig.minimal().ttl == 120
    assert DecoratorConfig(ttl=None).ttl is None


@pytest.mark.parametrize(
    "keywords, stale",
    [
        ({}, 0),
        ({"stale_ttl": 60}, 60000),
        ({"stale_ttl": 0, "swr_by_default": True}, 0),
        ({"swr_by_default": True}, 3600000),
        ({"swr_by_default": True, "ttl": 2000000}, 592000000),
        ({"swr_by_default": True, "ttl": 2592000}, 0),
        ({"swr_by_default": True, "ttl": 3000000}, 0),
        ({"swr_by_default": True, "ttl": None}, 0),
        ({"swr_by_default": True, "ttl": 0}, 0),
        ({"stale_ttl": 2588400}, 2588400000),
    ],
)
def test_the_stale_window(keywords, stale):
    assert DecoratorConfig(**keywords).stale_ms == stale


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"stale_ttl": -1}, "0 or more"),
        ({"stale_ttl": True}, "is bool"),
        ({"stale_ttl": 1.5}, "is float"),
        ({"stale_ttl": 5, "ttl": None}, "needs a ttl above 0, and ttl is None"),
        ({"stale_ttl": 5, "ttl": 0}, "needs a ttl above 0, and ttl is 0"),
        ({"stale_ttl": 2588401}, "at most 2592000 seconds"),
    ],
)
def test_a_stale_window_fits_its_lifetime(keywords, message):
    with pytest.raises(ConfigurationError, match=message):
        DecoratorConfig(**keywords)
    assert DecoratorConfig(stale_ttl=0, ttl=None).stale_ms == 0


@pytest.mark.parametrize(
    "keywords",
    [
        {"ttl_refresh_threshold": -0.1},
        {"ttl_refresh_threshold": 1.1},
        {"ttl_refresh_threshold": float("nan")},
        {"namespace": "a\0b"},
        {"namespace": "\ud800"},
        {"serializer": "json"},
        {"serializer": "pickle"},
    ],
)
def test_values_out_of_range(keywords):
    with pytest.raises(ConfigurationError, match=next(iter(keywords))) as caught:
        DecoratorConfig(**keywords)
    assert not isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "name, value",
    [(name, 1) for name in ("swr_by_default", "integrity_checking", "refresh_ttl_on_get", "safe_mode", "pipelined")]
    + [(name, None) for name in ("integrity_checking", "fast_mode", "l1_enabled", "adaptive_timeout", "collect_stats")]
    + [(name, "yes") for name in ("enable_tracing", "enable_structured_logging", "enable_prometheus_metrics")]
    + [(name, None) for name in ("l1", "timeout", "monitoring", "circuit_breaker", "backpressure")]
    + [("l1", True), ("timeout", 5.0), ("monitoring", False), ("circuit_breaker", 1), ("encryption", "yes")]
    + [
        ("l1", TimeoutConfig()),
        ("backpressure", 100),
        ("circuit_breaker_config", True),
        ("max_concurrent_requests", "1"),
    ]
    + [("namespace", 5), ("serializer", 5), ("serializer", Serializer), ("serializer", None), ("key", "user:{id}")]
    + [
        ("ttl_refresh_threshold", "0.5"),
        ("interop", 5),
        ("backend", "redis://host"),
        ("backend", Store),
        ("backend", 5),
    ]
    + [("single_tenant_mode", 1), ("master_key", 5)],
)
def test_wrong_types(name, value):
    with pytest.raises(ConfigurationTypeError) as caught:
        DecoratorConfig(**{name: value})
    assert isinstance(caught.value, TypeError) and isinstance(caught.value, ValueError)
    assert name.split("_config")[0] in str(caught.value)


def test_what_is_accepted():
    serializer, store = Serializer(), Store()
    config = DecoratorConfig(serializer=serializer, backend=store, key=str, namespace="übung", safe_mode=True)
    assert (config.serializer, config.backend, config.key) == (serializer, store, str)
    for name in ("default", "std", "auto", "pythonic", "orjson", "arrow"):
        assert DecoratorConfig(serializer=name).serializer == name


def test_names_of_serializers_are_those_that_exist():
    pytest.importorskip("cachekit._core", reason="the extension is not built")
    from cachekit.config.decorator import SERIALIZER_NAMES
    from cachekit.serializers import get_serializer

    for name in SERIALIZER_NAMES:
        try:
            get_serializer(name)
        except ImportError:  # a known name whose extra is not installed
            continue


def test_unknown_keywords_are_type_errors():
    for cls_call in (DecoratorConfig, DecoratorConfig.minimal, DecoratorConfig().replace):
        with pytest.raises(TypeError, match="unexpected keyword argument 'lock_timeout'"):
            cls_call(lock_timeout=5)
    with pytest.raises(TypeError, match="did you mean 'namespace'"):
        DecoratorConfig(namspace="a")
    with pytest.raises(TypeError, match="'tags'"):
        DecoratorConfig(tags=["a"])


# ---- flat and nested ------------------------------------------------------------------------------------------

FLAT = [
    ("l1_enabled", False, "l1", "enabled", L1CacheConfig),
    ("circuit_breaker", False, "circuit_breaker", "enabled", CircuitBreakerConfig),
    ("adaptive_timeout", False, "timeout", "enabled", TimeoutConfig),
    ("backpressure", False, "backpressure", "enabled", BackpressureConfig),
    ("max_concurrent_requests", 7, "backpressure", "max_concurrent_requests", BackpressureConfig),
    ("collect_stats", False, "monitoring", "collect_stats", MonitoringConfig),
    ("enable_tracing", False, "monitoring", "enable_tracing", MonitoringConfig),
    ("enable_structured_logging", False, "monitoring", "enable_structured_logging", MonitoringConfig),
    ("enable_prometheus_metrics", False, "monitoring", "enable_prometheus_metrics", MonitoringConfig),
    ("fail_closed", True, "encryption", "fail_closed", EncryptionConfig),
    ("encryption", False, "encryption", "enabled", EncryptionConfig),
]
BESIDE = {  # another field of the same group
    "l1": {"max_size_mb": 5},
    "circuit_breaker": {"failure_threshold": 9},
    "timeout": {"window_size": 50},
    "backpressure": {"queue_size": 3},
    "monitoring": {},
    "encryption": {"deployment_uuid": "123e4567-e89b-12d3-a456-426614174000"},
}


@pytest.mark.parametrize("flat, value, group, field, cls", FLAT)
def test_a_flat_keyword_fills_the_nested_field(flat, value, group, field, cls):
    nested = getattr(DecoratorConfig(**{flat: value}), group)
    assert nested == cls(**{field: value})


@pytest.mark.parametrize("flat, value, group, field, cls", [row for row in FLAT if row[0] != row[2]])
def test_flat_and_nested_together(flat, value, group, field, cls):
    beside = BESIDE[group]
    config = DecoratorConfig(**{flat: value, group: cls(**beside)})
    assert getattr(config, group) == cls(**{**beside, field: value})
    agreed = DecoratorConfig(**{flat: value, group: cls(**{**beside, field: value})})
    assert getattr(agreed, group) == getattr(config, group)
    other = getattr(cls(), field) if getattr(cls(), field) is not None else False
    with pytest.raises(ConfigurationError, match=f"{flat}=.* contradicts {group}={cls.__name__}"):
        DecoratorConfig(**{flat: value, group: cls(**{**beside, field: other})})


def test_flat_keywords_merge_into_the_preset_and_nested_objects_replace_it():
    merged = DecoratorConfig.minimal(enable_tracing=True).monitoring
    assert merged == MonitoringConfig(False, True, False, False)
    assert DecoratorConfig.minimal(monitoring=MonitoringConfig()).monitoring == MonitoringConfig()
    assert DecoratorConfig.minimal(l1_enabled=False).l1 == L1CacheConfig(
        enabled=False, swr_enabled=False, invalidation_enabled=False, namespace_index=False
    )
    assert DecoratorConfig.minimal(circuit_breaker=True).circuit_breaker.enabled
    assert DecoratorConfig.test(backpressure=True, max_concurrent_requests=3).backpressure == BackpressureConfig(
        True, 3
    )


def test_the_two_keywords_of_the_breaker():
    breaker = CircuitBreakerConfig(failure_threshold=9)
    assert DecoratorConfig(circuit_breaker_config=breaker).circuit_breaker == breaker
    assert DecoratorConfig(circuit_breaker=True, circuit_breaker_config=breaker).circuit_breaker == breaker
    off = DecoratorConfig(circuit_breaker=False, circuit_breaker_config=breaker).circuit_breaker
    assert off == CircuitBreakerConfig(enabled=False, failure_threshold=9)
    assert DecoratorConfig(circuit_breaker=breaker, circuit_breaker_config=breaker).circuit_breaker == breaker
    assert DecoratorConfig(circuit_breaker=True, circuit_breaker_config=None).circuit_breaker.enabled
    with pytest.raises(ConfigurationError, match="one setting and differ"):
        DecoratorConfig(circuit_breaker=breaker, circuit_breaker_config=CircuitBreakerConfig())
    with pytest.raises(ConfigurationError, match="contradicts"):
        DecoratorConfig(circuit_breaker=True, circuit_breaker_config=CircuitBreakerConfig(enabled=False))


SWITCHED_OFF = [
    ({"backpressure": False}, {"max_concurrent_requests": 5}),
    ({"backpressure": BackpressureConfig(enabled=False)}, {"max_concurrent_requests": 5}),
    *(
        (off, asked)
        for off in ({"encryption": False}, {"encryption": EncryptionConfig(enabled=False)})
        for asked in ({"master_key": KEY}, {"tenant_extractor": str})
    ),
]


@pytest.mark.parametrize("off, asked", SWITCHED_OFF)
def test_what_is_asked_for_and_switched_off_in_one_breath_is_refused(off, asked):
    (group, switch), = off.items()
    (keyword, _), = asked.items()
    shown = "False" if switch is False else f"{type(switch).__name__}(enabled=False)"
    with pytest.raises(ConfigurationError) as caught:
        DecoratorConfig(**off, **asked)
    assert str(caught.value).startswith(f"{keyword}= contradicts {group}={shown}, which leaves it nothing to do")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("off, asked", SWITCHED_OFF)
def test_what_was_switched_off_underneath_gives_way(off, asked):
    (group, _), = off.items()
    found = getattr(DecoratorConfig(**off).replace(**asked), group)
    assert found == type(found)(**asked)
    assert found.enabled is type(found).enabled


def test_what_was_asked_for_underneath_can_be_switched_off():
    assert not DecoratorConfig(max_concurrent_requests=5).replace(backpressure=False).backpressure.enabled
    assert DecoratorConfig(master_key=KEY).replace(encryption=False).encryption.enabled is False
    assert DecoratorConfig.test(max_concurrent_requests=5).backpressure == BackpressureConfig(True, 5)
    assert DecoratorConfig.test().backpressure == BackpressureConfig(enabled=False)
    assert DecoratorConfig(encryption=False, fail_closed=False, master_key=None).encryption.enabled is False


def test_a_contradiction_about_a_key_does_not_show_it():
    with pytest.raises(ConfigurationError, match="master_key contradicts") as caught:
        DecoratorConfig(master_key=KEY, encryption=EncryptionConfig(master_key="ab" * 32))
    assert KEY not in str(caught.value) and "abab" not in str(caught.value)
    both = DecoratorConfig(master_key=KEY, encryption=EncryptionConfig(master_key=KEY))
    assert both.encryption.resolve_master_key() == KEY


def test_a_replaced_object_can_still_be_merged():
    nested = dataclasses.replace(L1CacheConfig(), max_size_mb=5)
    assert DecoratorConfig(l1=nested, l1_enabled=True).l1 == L1CacheConfig(max_size_mb=5)


# ---- settings of the process underneath -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "variable, path, flat, nested",
    [
        ("L1_ENABLED", ("l1", "enabled"), "l1_enabled", L1CacheConfig),
        ("ENABLE_PROMETHEUS_METRICS", ("monitoring", "enable_prometheus_metrics"), "enable_prometheus_metrics", None),
        ("ENABLE_CORRUPTION_DETECTION", ("integrity_checking",), "integrity_checking", None),
    ],
)
def test_a_setting_switches_off_what_nobody_asked_for(variable, path, flat, nested, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_" + variable, "false")
    reset_settings()

    def found(config: DecoratorConfig):
        value = config
        for name in path:
            value = getattr(value, name)
        return value

    assert found(DecoratorConfig()) is False
    assert found(DecoratorConfig.production()) is False
    assert found(DecoratorConfig(**{flat: True})) is True
    if nested is not None:
        assert found(DecoratorConfig(l1=nested(max_size_mb=5))) is False
        assert found(DecoratorConfig(l1=nested(enabled=True))) is True
    assert found(DecoratorConfig(**{flat: True}).replace(ttl=5)) is True


# ---- presets --------------------------------------------------------------------------------------------------

ON, OFF = True, False
MATRIX = {  # plain, minimal, production, secure, dev, test, io
    "integrity_checking": (ON, OFF, ON, ON, ON, OFF, ON),
    "l1_enabled": (ON, ON, ON, ON, ON, ON, ON),
    "swr_enabled": (ON, OFF, ON, ON, ON, OFF, ON),
    "swr_by_default": (OFF, OFF, OFF, OFF, OFF, OFF, ON),
    "invalidation_enabled": (ON, OFF, ON, ON, OFF, OFF, ON),
    "namespace_index": (ON, OFF, ON, ON, OFF, OFF, ON),
    "circuit_breaker": (ON, OFF, ON, ON, ON, OFF, ON),
    "adaptive_timeout": (ON, OFF, ON, ON, ON, OFF, ON),
    "backpressure": (ON, ON, ON, ON, ON, OFF, ON),
    "collect_stats": (ON, OFF, ON, ON, ON, OFF, ON),
    "enable_tracing": (ON, OFF, ON, ON, ON, OFF, ON),
    "enable_structured_logging": (ON, OFF, ON, ON, ON, OFF, ON),
    "enable_prometheus_metrics": (ON, OFF, ON, ON, OFF, OFF, ON),
    "encryption": (None, None, None, ON, None, None, None),
    "ttl": (3600,) * 7,
    "serializer": ("default",) * 7,
    "l1_max_size_mb": (None,) * 7,
}
PRESETS = ("plain", "minimal", "production", "secure", "dev", "test", "io")


def make(preset: str, **options: object) -> DecoratorConfig:
    if preset == "plain":
        return DecoratorConfig(**options)
    if preset == "secure":
        options.setdefault("master_key", KEY)
    return getattr(DecoratorConfig, preset)(**options)


@pytest.mark.parametrize("column, preset", list(enumerate(PRESETS)))
def test_what_a_preset_sets(column: int, preset: str):
    flat = make(preset).to_dict()
    assert {name: flat[name] for name in MATRIX} == {name: row[column] for name, row in MATRIX.items()}
    assert make(preset).profile == preset


@pytest.mark.parametrize("preset", PRESETS)
def test_the_user_wins_over_a_preset(preset: str):
    for flat, value, group, field, _ in FLAT:
        if preset == "secure" and flat == "encryption":
            continue
        assert getattr(getattr(make(preset, **{flat: value}), group), field) == value
        if isinstance(value, bool) and value is False:
            if flat != "encryption":
                assert getattr(getattr(make(preset, **{flat: True}), group), field) is True
    assert make(preset, l1=L1CacheConfig(max_size_mb=3)).l1 == L1CacheConfig(max_size_mb=3)
    assert make(preset, ttl=5, namespace="a", serializer="auto", backend=None).ttl == 5
    if preset != "secure":
        assert make(preset, integrity_checking=True).integrity_checking is True
        assert make(preset, integrity_checking=False).integrity_checking is False


def test_secure():
    config = DecoratorConfig.secure(master_key=KEY, integrity_checking=False)
    assert config.integrity_checking is True
    assert config.encryption == EncryptionConfig(True, KEY, single_tenant_mode=True)
    assert config.encryption.master_key == SecretStr(KEY)

    def tenant(args, kwargs):
        return "a"

    assert DecoratorConfig.secure(master_key=KEY, tenant_extractor=tenant).encryption.single_tenant_mode is False
    assert DecoratorConfig.secure(master_key=KEY, tenant_extractor=0).encryption.single_tenant_mode is True
    nested = EncryptionConfig(master_key=KEY, fail_closed=True)
    assert DecoratorConfig.secure(encryption=nested).encryption.fail_closed is True
    for options in ({"encryption": False}, {"encryption": EncryptionConfig(enabled=False)}):
        with pytest.raises(ConfigurationError, match="encryption=False contradicts the preset secure"):
            DecoratorConfig.secure(master_key=KEY, **options)
    with pytest.raises(ConfigurationError, match="master_key contradicts"):
        DecoratorConfig.secure(master_key=KEY, encryption=nested)
    with pytest.raises(ConfigurationError) as caught:
        DecoratorConfig.secure()
    assert caught.value.code == "E001"
    with pytest.raises(ConfigurationError) as caught:
        DecoratorConfig.secure(master_key="abcd1234")
    assert caught.value.code == "E002"


def test_io_ignores_a_backend():
    assert DecoratorConfig.io(backend=Store()).backend is NOT_GIVEN
    assert DecoratorConfig.io(ttl=600).stale_ms == 600000


def test_fast_mode_is_minimal():
    minimal = DecoratorConfig.minimal(ttl=5)
    assert DecoratorConfig(fast_mode=True, ttl=5) == minimal
    assert DecoratorConfig.minimal(fast_mode=True, ttl=5) == minimal
    assert DecoratorConfig(fast_mode=False) == DecoratorConfig()
    assert DecoratorConfig(fast_mode=True, collect_stats=True).monitoring.collect_stats is True
    with pytest.raises(ConfigurationError, match="contradicts the preset production"):
        DecoratorConfig.production(fast_mode=True)
    with pytest.raises(ConfigurationError, match="fast_mode"):
        DecoratorConfig().replace(fast_mode=True)


def test_a_preset_has_a_known_name():
    with pytest.raises(ConfigurationError, match="one of plain, minimal"):
        DecoratorConfig.preset("fast")


# ---- as an object ---------------------------------------------------------------------------------------------


def test_to_dict_is_flat_and_redacted():
    flat = DecoratorConfig.secure(master_key=KEY).to_dict()
    assert flat["master_key"] == "********"
    assert KEY not in repr(flat)
    assert DecoratorConfig().to_dict()["master_key"] is None
    names = (
        "ttl stale_ttl swr_by_default namespace serializer integrity_checking key interop refresh_ttl_on_get "
        "ttl_refresh_threshold backend l1_enabled l1_max_size_mb circuit_breaker failure_threshold success_threshold "
        "recovery_timeout half_open_requests excluded_exceptions backpressure max_concurrent_requests queue_size "
        "backpressure_timeout collect_stats enable_tracing enable_structured_logging enable_prometheus_metrics "
        "encryption master_key tenant_extractor adaptive_timeout initial_timeout min_timeout max_timeout "
        "timeout_window_size timeout_percentile safe_mode"
    ).split()
    assert set(names) <= set(flat)


def test_secrets_are_shown_nowhere():
    config = DecoratorConfig.secure(master_key=KEY)
    for form in (repr(config), str(config), repr(vars(config)), repr(dataclasses.asdict(config))):
        assert KEY not in form
    assert KEY.encode() not in pickle.dumps(config)
    assert pickle.loads(pickle.dumps(DecoratorConfig(ttl=5))) == DecoratorConfig(ttl=5)
    assert pickle.loads(pickle.dumps(DecoratorConfig())).backend is NOT_GIVEN


def test_it_is_an_immutable_value():
    config = DecoratorConfig(ttl=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.ttl = 6
    assert config == DecoratorConfig(ttl=5) and hash(config) == hash(DecoratorConfig(ttl=5))
    assert config != DecoratorConfig(ttl=6)
    assert copy.deepcopy(config) is config
    changed = dataclasses.replace(DecoratorConfig.dev(), ttl=7)
    assert (changed.ttl, changed.profile, changed.monitoring.enable_prometheus_metrics) == (7, "dev", False)


def test_replace_wins_over_what_was_there():
    config = DecoratorConfig(ttl=5, l1=L1CacheConfig(enabled=True, max_size_mb=3), backend=None)
    assert config.l1_only and not DecoratorConfig().l1_only
    changed = config.replace(l1_enabled=False, ttl=None)
    assert changed.l1 == L1CacheConfig(enabled=False, max_size_mb=3)
    assert (changed.ttl, changed.backend) == (None, None)
    assert config.replace(circuit_breaker=False).circuit_breaker.enabled is False


# ---- the default store ----------------------------------------------------------------------------------------


def test_the_default_backend():
    store = Store()
    assert get_default_backend() is None
    set_default_backend(store)
    assert get_default_backend() is store
    with pytest.raises(ConfigurationTypeError):
        set_default_backend("file:///tmp")
    assert get_default_backend() is store
    set_default_backend(None)
    assert get_default_backend() is None


def test_what_is_no_backend():
    class Half:
        def get(self, key):
            return None

    with pytest.raises(TypeError, match="has no set, delete"):
        DecoratorConfig(backend=Half())
    client = type("Redis", (Store,), {"__module__": "redis.client"})()
    with pytest.raises(TypeError, match="client of redis, not a backend"):
        DecoratorConfig(backend=client)
    for name, shown in (
        ("MemcachedBackend", "Memcached"),
        ("CachekitIOBackend", "CachekitIO"),
    ):
        ours = type(name, (Store,), {"__module__": "cachekit.backends.x"})
        for value in (ours, ours()):
            with pytest.raises(UnsupportedError, match=f"no {shown} backend") as caught:
                DecoratorConfig(backend=value)
            assert caught.value.code == "E104"
        yours = type(name, (Store,), {"__module__": "yours"})()
        assert DecoratorConfig(backend=yours).backend is yours


# ---- reference caching ----------------------------------------------------------------------------------------


def test_local_has_four_settings():
    config = LocalConfig()
    assert (config.ttl, config.max_entries, config.namespace, config.key) == (300, 256, None, None)
    assert LocalConfig(ttl=1, max_entries=1, namespace="a", key=str).ttl_ms == 1000
    for options in ({"ttl": 0}, {"ttl": -1}, {"max_entries": 0}, {"namespace": "\0"}):
        with pytest.raises(ValueError, match=next(iter(options))) as caught:
            LocalConfig(**options)
        assert not isinstance(caught.value, TypeError)
    for options in ({"ttl": 1.5}, {"ttl": None}, {"ttl": True}, {"max_entries": "1"}, {"key": 5}, {"backend": None}):
        with pytest.raises(TypeError, match=next(iter(options))):
            LocalConfig(**options)
