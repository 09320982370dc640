"""From what stands at a decorator to the configuration: order of work, detected intent, refusals."""

from __future__ import annotations

import functools
import logging

import pytest

from cachekit.config import (
    NOT_GIVEN,
    ConfigurationError,
    ConfigurationTypeError,
    DecoratorConfig,
    EncryptionConfig,
    L1CacheConfig,
    MonitoringConfig,
    UnsupportedError,
    detect_intent,
    reset_settings,
    resolve,
    resolve_local,
    set_default_backend,
)
from cachekit.config.intent import split_words
from cachekit.decorators.orchestrator import FeatureOrchestrator
from shelves import Minimal as Store

KEY = "0123456789abcdef" * 4


def report(dataset_id, filters=None):
    """Says nothing special by its name."""


# ---- order of work --------------------------------------------------------------------------------------------


def test_nothing_said():
    config = resolve(report, {})
    assert (config.ttl, config.profile, config.backend) == (3600, "balanced", NOT_GIVEN)
    assert config.profile_reason == "the name says nothing special"


def test_a_preset_lies_under_the_keywords():
    config = resolve(report, {"ttl": 5, "enable_tracing": True}, "minimal")
    assert config == DecoratorConfig.minimal(ttl=5, enable_tracing=True)


def test_a_configuration_object_lies_under_the_keywords():
    base = DecoratorConfig.dev(ttl=5, l1=L1CacheConfig(enabled=True), namespace="a")
    assert resolve(report, {"config": base}) is base
    config = resolve(report, {"config": base, "ttl": 6, "l1_enabled": False})
    assert (config.ttl, config.l1.enabled, config.namespace, config.profile) == (6, False, "a", "dev")
    assert resolve(report, {"config": base}, "production") is base  # before the preset
    assert resolve(report, {"config": None}).ttl == 3600
    for wrong in ({"ttl": 5}, DecoratorConfig, 5):
        with pytest.raises(TypeError, match="config is .*: expected a DecoratorConfig object"):
            resolve(report, {"config": wrong})
    with pytest.raises(ConfigurationError, match="fast_mode"):
        resolve(report, {"config": base, "fast_mode": True})
    assert resolve(report, {"config": base, "fast_mode": False}) == base


def test_no_name_is_looked_at_when_a_configuration_object_is_there():
    def get_price(x):
        pass

    assert resolve(get_price, {"config": DecoratorConfig()}).circuit_breaker.enabled


def test_where_the_backend_comes_from():
    explicit, default, inside = Store(), Store(), Store()
    set_default_backend(default)
    assert resolve(report, {}).backend is default
    assert resolve(report, {}, "production").backend is default
    assert resolve(report, {"backend": explicit}).backend is explicit
    assert resolve(report, {"backend": None}).backend is None
    assert resolve(report, {"config": DecoratorConfig()}).backend is default
    assert resolve(report, {"config": DecoratorConfig(backend=inside)}).backend is inside
    assert resolve(report, {"config": DecoratorConfig(backend=None)}).backend is None
    assert resolve(report, {"config": DecoratorConfig(backend=inside), "backend": None}).backend is None
    set_default_backend(None)
    assert resolve(report, {}).backend is NOT_GIVEN


def test_nothing_cached_can_be_said():
    config = resolve(report, {"backend": None, "l1_enabled": False})
    assert config.l1_only and not config.l1.enabled
    assert resolve(report, {"backend": None, "l1_enabled": True}).l1.enabled


def test_unknown_keywords_are_type_errors_that_name_the_form():
    with pytest.raises(TypeError, match=r"^cache got an unexpected keyword argument 'tll' \(did you mean 'ttl'\?\)"):
        resolve(report, {"tll": 5})
    with pytest.raises(TypeError, match=r"^cache\.dev got an unexpected keyword argument 'profile'"):
        resolve(report, {"profile": "x"}, "dev")
    with pytest.raises(ConfigurationError, match="preset='fast': expected one of"):
        resolve(report, {}, "fast")


def test_every_documented_keyword_together():
    from cachekit.config.nested import BackpressureConfig, CircuitBreakerConfig, TimeoutConfig

    config = resolve(
        report,
        {
            "ttl": 3600,
            "namespace": None,
            "safe_mode": False,
            "backend": None,
            "refresh_ttl_on_get": False,
            "ttl_refresh_threshold": 0.5,
            "l1": L1CacheConfig(enabled=True),
            "circuit_breaker": CircuitBreakerConfig(enabled=True),
            "timeout": TimeoutConfig(enabled=True),
            "backpressure": BackpressureConfig(max_concurrent_requests=100),
            "monitoring": MonitoringConfig(collect_stats=True, enable_tracing=True),
            "pipelined": True,
            "fast_mode": False,
            "collect_stats": True,
        },
    )
    assert config.to_dict() == DecoratorConfig(backend=None).to_dict()
    assert config.profile == "balanced"


def test_wrong_settings_surface_at_decoration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "soon")
    reset_settings()
    with pytest.raises(ConfigurationError, match="CACHEKIT_DEFAULT_TTL=soon: expected seconds, 1 to 315360000"):
        resolve(report, {})


# ---- reference caching ----------------------------------------------------------------------------------------


def test_local():
    assert resolve_local({"ttl": 5}).ttl == 5
    with pytest.raises(TypeError, match="takes no config="):
        resolve_local({"config": DecoratorConfig()})
    with pytest.raises(TypeError, match=r"cache\.local got an unexpected keyword argument 'serializer'"):
        resolve_local({"serializer": "auto"})


# ---- what this version does not have --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keywords, preset", [({}, "io"), ({"config": DecoratorConfig.io()}, None)],
)
def test_what_is_asked_for_and_missing_is_refused(keywords, preset):
    with pytest.raises(UnsupportedError, match="cache.io: this version has no CachekitIO backend") as caught:
        resolve(report, keywords, preset)
    assert caught.value.code == "E104"


def test_what_is_not_asked_for_is_not_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    monkeypatch.setenv("CACHEKIT_API_KEY", "ck_live_x")
    monkeypatch.setenv("CACHEKIT_REDIS_URL", "redis://host")
    reset_settings()
    for preset in (None, "minimal", "production", "dev", "test"):
        assert resolve(report, {}, preset).encryption == EncryptionConfig()
    for encryption in (None, False, EncryptionConfig(), EncryptionConfig(enabled=False, master_key=KEY)):
        resolve(report, {"encryption": encryption})
    with pytest.raises(ConfigurationError, match="master_key= contradicts encryption=False"):
        resolve(report, {"encryption": False, "master_key": KEY})
    resolve(report, {"interop": None, "master_key": None, "tenant_extractor": None, "fail_closed": True})


# ---- the name of the function ---------------------------------------------------------------------------------


def named(name: str, parameters: str = "x"):
    scope: dict[str, object] = {}
    exec(f"def {name}({parameters}): pass", scope)
    return scope[name]


@pytest.mark.parametrize(
    "name, words",
    [
        ("get_user", ["get", "user"]),
        ("getUserByID", ["get", "user", "by", "id"]),
        ("getHTTPStatus_codes", ["get", "http", "status", "codes"]),
        ("__private__name", ["private", "name"]),
        ("X", ["x"]),
        ("_", []),
        ("calc2", ["calc2"]),
        ("Grüße_senden", ["grüße", "senden"]),
    ],
)
def test_names_are_split_into_words(name, words):
    assert list(split_words(name)) == words


@pytest.mark.parametrize(
    "name, parameters, profile, reason",
    [
        ("load_user", "id", "secure", "the name has the word 'user'"),
        ("get_user", "id", "secure", "the name has the word 'user'"),
        ("getUsers", "id", "secure", "the name has the word 'users'"),
        ("process_payment", "x", "secure", "the name has the word 'payment'"),
        ("report", "password", "secure", "it has a parameter 'password'"),
        ("report", "*, card_number", "secure", "it has a parameter 'card_number'"),
        ("report", "passwords", "balanced", "the name says nothing special"),
        ("report", "user", "balanced", "the name says nothing special"),
        ("get_price", "x", "minimal", "the name has the word 'get'"),
        ("computeTotals", "x", "minimal", "the name has the word 'compute'"),
        ("quotes", "x", "minimal", "the name has the word 'quotes'"),
        ("getter", "x", "balanced", "the name says nothing special"),
        ("superuser", "x", "balanced", "the name says nothing special"),
        ("author", "x", "balanced", "the name says nothing special"),
        ("analyze_dataset", "dataset_id, filters=None", "balanced", "the name says nothing special"),
    ],
)
def test_detected_intent(name, parameters, profile, reason):
    assert detect_intent(named(name, parameters)) == (profile, reason)


def test_every_word_of_the_lists():
    security = "user auth authenticate payment pay password credential secret token login session account billing"
    for word in (security + " card ssn patient medical").split():
        assert detect_intent(named(f"the_{word}"))[0] == "secure"
        assert detect_intent(named(f"{word}s"))[0] == "secure"
    for word in "get calc calculate compute lookup price quote".split():
        assert detect_intent(named(f"the_{word}"))[0] == "minimal"
    for word in "password token secret ssn card_number".split():
        assert detect_intent(named("f", word))[0] == "secure"


def test_what_wraps_a_function_is_looked_through():
    inner = named("get_price")
    assert detect_intent(functools.partial(inner, 1))[0] == "minimal"

    @functools.wraps(inner)
    def wrapper(*args):
        return inner(*args)

    wrapper.__name__ = "wrapper"
    assert detect_intent(wrapper)[0] == "minimal"

    class Service:
        def get_price(self):
            pass

        def __call__(self):
            pass

    assert detect_intent(Service().get_price)[0] == "minimal"
    assert detect_intent(Service())[0] == "balanced"
    assert detect_intent(len) == ("balanced", "the name says nothing special")
    wrapper.__wrapped__ = wrapper
    detect_intent(wrapper)  # ends


def test_a_name_never_changes_what_is_stored_checked_or_counted():
    plain, fast = resolve(report, {}), resolve(named("get_price"), {})
    assert fast.profile == "minimal"
    changed = {name for name, value in plain.to_dict().items() if fast.to_dict()[name] != value}
    assert changed == {
        "swr_enabled",
        "enable_tracing",
        "enable_structured_logging",
    }


def test_the_user_wins_over_a_name():
    config = resolve(named("get_price"), {"circuit_breaker": True, "ttl": 5, "l1": L1CacheConfig()})
    assert config.circuit_breaker.enabled and config.l1.swr_enabled and config.ttl == 5
    assert not config.monitoring.enable_tracing


def test_a_preset_ends_all_looking_at_names():
    assert resolve(named("get_price"), {}, "production") == DecoratorConfig.production()
    assert resolve(named("get_price"), {"fast_mode": True}) == DecoratorConfig.minimal()


def test_looking_at_names_can_be_switched_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_AUTO_INTENT", "false")
    reset_settings()
    assert resolve(named("get_price"), {}) == DecoratorConfig()
    assert resolve(named("load_user"), {}).profile == "plain"


def test_a_confidential_name_is_balanced_with_one_warning(caplog: pytest.LogCaptureFixture):
    function = named("load_user_of_this_test")
    for _ in range(3):
        config = resolve(function, {})
        assert config.profile == "balanced"
        assert config.profile_reason == "the name has the word 'user', but no master key is configured"
        assert config.replace(ttl=3600).to_dict() == DecoratorConfig().to_dict()
    warnings = [record for record in caplog.records if "load_user_of_this_test" in record.getMessage()]
    assert len(warnings) == 1
    assert (warnings[0].levelno, warnings[0].name) == (logging.WARNING, "cachekit")


def test_no_warning_where_nothing_is_stored_or_it_is_meant(caplog: pytest.LogCaptureFixture):
    resolve(named("load_user_a"), {"backend": None})
    resolve(named("load_user_b"), {"encryption": False})
    assert not caplog.records


@pytest.mark.parametrize("variable, text", [("CACHEKIT_MASTER_KEY", KEY), ("CACHEKIT_MASTER_KEY_FILE", "/key")])
def test_a_confidential_name_with_a_master_key_is_not_refused(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv(variable, text)
    reset_settings()
    config = resolve(named("load_user_c"), {})
    assert (config.profile, config.profile_reason) == ("balanced", "the name has the word 'user'")
    assert not caplog.records


# ---- health ---------------------------------------------------------------------------------------------------


def test_the_documented_orchestrator():
    orchestrator = FeatureOrchestrator(
        namespace="api_service", circuit_breaker_enabled=True, adaptive_timeout_enabled=True, collect_stats=True
    )
    assert orchestrator.namespace == "api_service"
    assert orchestrator.circuit_breaker_enabled and orchestrator.adaptive_timeout_enabled and orchestrator.collect_stats
    with pytest.raises(ConfigurationTypeError):
        FeatureOrchestrator(circuit_breaker_enabled=1)


@pytest.mark.usefixtures("default_guard")
def test_health_has_the_documented_shape():
    config = resolve(named("get_price"), {"namespace": "api", "max_concurrent_requests": 7, "circuit_breaker": True})
    status = FeatureOrchestrator.from_config(config).get_health_status({"total_operations": 2})
    assert status["namespace"] == "api"
    assert status["features_enabled"] == {
        "circuit_breaker": True,
        "adaptive_timeout": True,
        "backpressure": True,
        "statistics": True,
        "structured_logging": False,
    }
    assert status["circuit_breaker"] == {
        "state": "CLOSED",
        "failure_count": 0,
        "success_count": 0,
        "last_failure_time": None,
        "next_attempt": None,
    }
    assert status["backpressure"] == {"max_concurrent": 7, "current_requests": 0, "rejected_requests": 0}
    assert status["adaptive_timeout"] == {"current_timeout": 1.0, "base_timeout": 1.0, "average_duration": 0.0}
    assert status["healthy"] is status["overall_healthy"] is True
    assert status["intent"] == {"profile": "minimal", "reason": "the name has the word 'get'"}
    components = status["components"]
    assert set(components) == {"circuit_breaker", "load_control", "adaptive_timeout", "retries", "metrics"}
    assert components["circuit_breaker"]["state"] == "closed"
    assert components["circuit_breaker"]["config"] == {
        "failure_threshold": 5,
        "success_threshold": 3,
        "timeout_seconds": 30.0,
        "half_open_requests": 3,
    }
    assert components["load_control"]["rejected_count"] == 0
    assert components["metrics"]["total_operations"] == 2
    off = FeatureOrchestrator.from_config(resolve(report, {}, "test")).get_health_status()
    assert off["components"] == {} and off["namespace"] == "default"
