"""The groups of settings of one function: fields, defaults, ranges, secrets, behaviour as objects."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from cachekit.config import ConfigurationError, ConfigurationTypeError, SecretStr, validate_encryption_config
from cachekit.config.nested import (
    BackpressureConfig,
    CircuitBreakerConfig,
    EncryptionConfig,
    L1CacheConfig,
    MonitoringConfig,
    TimeoutConfig,
)
from cachekit.errors import BackendErrorType

KEY = "0123456789abcdef" * 4
UUID = "123e4567-e89b-12d3-a456-426614174000"
INF = float("inf")
NAN = float("nan")

DEFAULTS = {
    L1CacheConfig: {
        "enabled": True,
        "max_size_mb": None,
        "swr_enabled": True,
        "swr_threshold_ratio": 0.5,
        "invalidation_enabled": True,
        "namespace_index": True,
    },
    CircuitBreakerConfig: {
        "enabled": True,
        "failure_threshold": 5,
        "success_threshold": 3,
        "recovery_timeout": 30.0,
        "half_open_requests": 3,
        "excluded_exceptions": (),
        "excluded_error_types": (),
    },
    TimeoutConfig: {
        "enabled": True,
        "initial": 1.0,
        "min": 0.1,
        "max": 10.0,
        "window_size": 1000,
        "percentile": 95.0,
    },
    BackpressureConfig: {"enabled": True, "max_concurrent_requests": 100, "queue_size": 1000, "timeout": 0.1},
    MonitoringConfig: {
        "collect_stats": True,
        "enable_tracing": True,
        "enable_structured_logging": True,
        "enable_prometheus_metrics": True,
    },
    EncryptionConfig: {
        "enabled": None,
        "master_key": None,
        "tenant_extractor": None,
        "single_tenant_mode": False,
        "deployment_uuid": None,
        "fail_closed": None,
    },
}

# class, field, accepted, refused by value, refused by type
RANGES = [
    (L1CacheConfig, "max_size_mb", [1, 1048576, None], [0, -1, 1048577], [1.5, "1", True]),
    (L1CacheConfig, "swr_threshold_ratio", [0.001, 0.1, 1, 1.0], [0, 0.0, 1.01, -0.5, NAN, INF], ["0.5", None, True]),
    (CircuitBreakerConfig, "failure_threshold", [1, 10**6], [0, -1], [1.0, None, True]),
    (CircuitBreakerConfig, "success_threshold", [1, 10**6], [0, -1], [1.0, None, True]),
    (CircuitBreakerConfig, "recovery_timeout", [0, 0.5, 30, 86400], [-1, 86401, NAN, INF], ["30", None, True]),
    (CircuitBreakerConfig, "timeout_seconds", [0, 0.5, 30, 86400], [-1, 86401, NAN, INF], ["30", None, True]),
    (CircuitBreakerConfig, "half_open_requests", [1, 64], [0, -1, 65], [1.0, None, True]),
    (CircuitBreakerConfig, "excluded_exceptions", [(), (KeyError, OSError)], [], [KeyError, ("KeyError",), (5,)]),
    (CircuitBreakerConfig, "excluded_error_types", [()], [("late",)], ["timeout", 5, (5,)]),
    (TimeoutConfig, "initial", [0.1, 10, 1], [0.05, 11, 0, -1, NAN, INF], ["1", None, True]),
    (TimeoutConfig, "min", [0.001, 1], [0, -1, 1.5, NAN, INF], ["1", None, True]),
    (TimeoutConfig, "max", [1, 3600], [0.5, 0, 3601, -1, NAN, INF], ["1", None, True]),
    (TimeoutConfig, "window_size", [10, 100000], [9, 100001], [1.0, None, True]),
    (TimeoutConfig, "percentile", [0.1, 50, 100], [0, 100.1, -1, NAN], ["95", None, True]),
    (BackpressureConfig, "max_concurrent_requests", [1, 10**6], [0, -1], [1.0, None, True]),
    (BackpressureConfig, "queue_size", [0, 10**6], [-1], [1.0, None, True]),
    (BackpressureConfig, "timeout", [0, 0.1, 3600], [-0.1, 3601, NAN, INF], ["1", None, True]),
    (
        EncryptionConfig,
        "master_key",
        [None, KEY, KEY.upper(), KEY * 2],
        ["", "ab" * 31, "zz" * 32, " " + KEY],
        [5, b"a"],
    ),
    (EncryptionConfig, "deployment_uuid", [None, UUID], ["", "five"], [5]),
    (EncryptionConfig, "tenant_extractor", [None, lambda args, kwargs: "a"], [], ["tenant_id", 5]),
    (EncryptionConfig, "fail_closed", [None, True, False], [], [0, "yes"]),
    (EncryptionConfig, "enabled", [None, False], [], [0, "yes"]),
]
FLAGS = [(cls, name) for cls, fields in DEFAULTS.items() for name, value in fields.items() if isinstance(value, bool)]


@pytest.mark.parametrize("cls", DEFAULTS)
def test_every_field_has_its_default(cls):
    assert {field.name: getattr(cls(), field.name) for field in dataclasses.fields(cls)} == DEFAULTS[cls]
    assert [field.name for field in dataclasses.fields(cls)] == list(DEFAULTS[cls])


@pytest.mark.parametrize("cls, name, accepted, by_value, by_type", RANGES)
def test_every_field_has_its_range(cls, name, accepted, by_value, by_type):
    for value in accepted:
        found = getattr(cls(**{name: value}), name)
        assert found == value or found == SecretStr(value)
    for value in by_value:
        with pytest.raises(ConfigurationError, match=cls.__name__) as caught:
            cls(**{name: value})
        assert not isinstance(caught.value, TypeError)
    for value in by_type:
        with pytest.raises(ConfigurationTypeError, match=cls.__name__) as caught:
            cls(**{name: value})
        assert isinstance(caught.value, TypeError) and caught.value.code == "E103"


@pytest.mark.parametrize("cls, name", FLAGS)
def test_a_switch_is_true_or_false(cls, name):
    for value in (True, False):
        assert getattr(cls(**{name: value}), name) is value
    for value in (1, 0, "true", None):
        if value is None and DEFAULTS[cls][name] is None:
            continue
        with pytest.raises(TypeError, match=f"{cls.__name__}.{name}"):
            cls(**{name: value})


@pytest.mark.parametrize("cls", DEFAULTS)
def test_unknown_fields_are_refused(cls):
    with pytest.raises(TypeError, match=f"{cls.__name__} got an unexpected keyword argument 'enabeld'"):
        cls(enabeld=True)
    with pytest.raises(TypeError):
        cls(*range(20))
    with pytest.raises(TypeError, match="twice"):
        cls(*[list(DEFAULTS[cls].values())[0]], **{list(DEFAULTS[cls])[0]: True})


@pytest.mark.parametrize("cls", DEFAULTS)
def test_it_is_an_immutable_value(cls):
    one, same = cls(), cls(**DEFAULTS[cls])
    assert one == same and hash(one) == hash(same) and one is not same
    assert one != object()
    name = next(iter(DEFAULTS[cls]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(one, name, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(one, name)
    with pytest.raises(AttributeError):
        one.other = 1
    assert copy.copy(one) is one and copy.deepcopy(one) is one
    assert pickle.loads(pickle.dumps(one)) == one
    changed = dataclasses.replace(one, **{name: False})
    assert getattr(changed, name) is False and changed != one
    assert repr(one).startswith(cls.__name__ + "(")
    one.validate()


def test_objects_of_different_classes_differ():
    class Other(BackpressureConfig):
        pass

    assert BackpressureConfig() != Other()


def test_a_subclass_has_the_fields_of_its_base():
    class Same(L1CacheConfig):
        pass

    class More(L1CacheConfig):
        note: str = "none"

    assert Same(max_size_mb=5).max_size_mb == 5
    assert dataclasses.asdict(Same()) == DEFAULTS[L1CacheConfig]
    assert dataclasses.asdict(More(note="a")) == {**DEFAULTS[L1CacheConfig], "note": "a"}
    with pytest.raises(ConfigurationError):
        More(max_size_mb=0)


def test_one_breaker_class_with_both_spellings():
    assert CircuitBreakerConfig(timeout_seconds=7).recovery_timeout == 7
    assert CircuitBreakerConfig(recovery_timeout=7).timeout_seconds == 7
    assert CircuitBreakerConfig(recovery_timeout=7, timeout_seconds=7.0).recovery_timeout == 7
    with pytest.raises(ConfigurationError, match="recovery_timeout and timeout_seconds are one setting and differ"):
        CircuitBreakerConfig(recovery_timeout=7, timeout_seconds=8)
    assert CircuitBreakerConfig(excluded_exceptions=[KeyError]).excluded_exceptions == (KeyError,)


def test_numbers_can_be_given_by_place():
    assert L1CacheConfig(False, 5).max_size_mb == 5
    assert TimeoutConfig(True, 2.0, 1.0, 3.0).initial == 2.0


def test_time_limits_are_in_order():
    with pytest.raises(ConfigurationError, match="min <= initial <= max, and they are 2, 1.0, 10.0"):
        TimeoutConfig(min=2)
    assert TimeoutConfig(initial=20, min=20, max=20).initial == 20


# ---- encryption -----------------------------------------------------------------------------------------------


def test_the_master_key_is_shown_nowhere():
    config = EncryptionConfig(enabled=True, master_key=KEY, single_tenant_mode=True)
    for form in (repr(config), str(config), repr(vars(config)), repr(dataclasses.asdict(config))):
        assert KEY not in form
    for protocol in range(2, 6):
        assert KEY.encode() not in pickle.dumps(config, protocol)
    assert pickle.loads(pickle.dumps(config)).master_key is None
    assert copy.deepcopy(config).resolve_master_key() == KEY
    for bad in (KEY[:-2], "topsecret"):
        with pytest.raises(ConfigurationError) as caught:
            EncryptionConfig(master_key=bad)
        assert bad not in str(caught.value)
        assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_key_has_a_form():
    with pytest.raises(
        ConfigurationError, match="holds 31 bytes: expected 32 or more .* openssl rand -hex 32"
    ) as caught:
        EncryptionConfig(master_key="ab" * 31)
    assert caught.value.code == "E002"


def test_encryption_needs_a_key(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigurationError, match="enabled=True.*master_key=.*CACHEKIT_MASTER_KEY") as caught:
        EncryptionConfig(enabled=True, single_tenant_mode=True)
    assert caught.value.code == "E001"
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    assert EncryptionConfig(enabled=True, single_tenant_mode=True).resolve_master_key() == KEY
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", "5ec4e7")
    from cachekit.config import reset_settings

    reset_settings()
    with pytest.raises(ConfigurationError, match="CACHEKIT_MASTER_KEY holds 3 bytes") as caught:
        EncryptionConfig(enabled=True, single_tenant_mode=True)
    assert caught.value.code == "E002" and "5ec4e7" not in str(caught.value)
    assert EncryptionConfig().enabled is None  # not used, not refused


def test_encryption_needs_one_way_to_tell_tenants():
    class Extractor:
        def extract(self, args, kwargs):
            return UUID

    for extractor in (Extractor(), lambda tenant_id: tenant_id):
        assert EncryptionConfig(enabled=True, master_key=KEY, tenant_extractor=extractor).enabled
        with pytest.raises(ConfigurationError, match="both are given"):
            EncryptionConfig(enabled=True, master_key=KEY, tenant_extractor=extractor, single_tenant_mode=True)
    with pytest.raises(ConfigurationError, match="neither is given"):
        EncryptionConfig(enabled=True, master_key=KEY)


def test_encryption_that_is_off_needs_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", "not hex")
    assert EncryptionConfig(enabled=False).enabled is False


def test_the_validator_of_keywords():
    assert validate_encryption_config().enabled is False
    assert validate_encryption_config(True, KEY, single_tenant_mode=True).enabled is True
    with pytest.raises(ConfigurationError):
        validate_encryption_config(True)


def test_error_types_are_members_however_they_are_given():
    config = CircuitBreakerConfig(excluded_error_types=["timeout", BackendErrorType.PERMANENT])
    assert config.excluded_error_types == (BackendErrorType.TIMEOUT, BackendErrorType.PERMANENT)
    assert all(type(kind) is BackendErrorType for kind in config.excluded_error_types)
    with pytest.raises(ConfigurationError, match="excluded_error_types='late': expected BackendErrorType members, or"):
        CircuitBreakerConfig(excluded_error_types=["late"])
