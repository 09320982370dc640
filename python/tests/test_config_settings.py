"""The settings of the process: every field with its default, range and variable; secrets; when they are read."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import pytest

from cachekit import _core, cache
from cachekit.config import (
    CachekitConfig,
    ConfigurationError,
    ConfigurationTypeError,
    FileBackendConfig,
    SecretStr,
    get_settings,
    reset_settings,
    settings_table,
)
from cachekit.config._table import describe_settings

KEY = "0123456789abcdef" * 4
OTHER_KEY = "fedcba9876543210" * 4
YEARS = 315360000

# name, default, least, most (None = no bound), what is just below and just above
NUMBERS = [
    ("default_ttl", 3600, 60, 86400, 59, 86401),  # within ttl_min and ttl_max
    ("ttl_min", 60, 1, 3600, 0, 3601),
    ("ttl_max", 86400, 3600, YEARS, 3599, YEARS + 1),
    ("max_key_size", 1024, 1, 65536, 0, 65537),
    ("max_value_size", 104857600, 1, 536870912, 0, 536870913),
    ("max_chunk_size_mb", None, 1, 512, 0, 513),
    ("l1_max_size_mb", 100, 1, 1048576, 0, 1048577),
    ("l1_total_max_size_mb", 1024, 1, 1048576, 0, 1048577),
    ("l1_cleanup_interval_seconds", 30, 1, 86400, 0, 86401),
    ("compression_level", 6, 1, 9, 0, 10),
    ("store_timeout_seconds", 5, 0.001, 3600, 0, 3601),
    ("flight_wait_seconds", 60, 0.001, 86400, 0, 86401),
    ("lock_lease_seconds", 30, 0.1, 86400, 0.05, 86401),
    ("lock_wait_seconds", 5, 0.001, 86400, 0, 86401),
    ("workers", 4, 1, 64, 0, 65),
    ("queue_max", 1024, 1, 1000000, 0, 1000001),
    ("connection_pool_size", 10, 1, 10000, 0, 10001),
    ("socket_timeout", 1, 0.001, 3600, 0, 3601),
    ("socket_connect_timeout", 1, 0.001, 3600, 0, 3601),
    ("max_retries", 3, 0, None, -1, None),
    ("retry_delay_ms", 100, 1, None, 0, None),
    ("early_refresh_ratio", 0.9, 0, 1, -0.1, 1.1),
    ("log_sampling_rate", 0.1, 0, 1, -0.1, 1.1),
    ("log_buffer_size", 10000, 1, None, 0, None),
    ("log_batch_size", 100, 1, None, 0, None),
    ("log_flush_interval", 1.0, 0.001, None, 0, None),
]
BOOLEANS = [
    ("l1_enabled", True),
    ("l1_invalidation_enabled", True),
    ("enable_compression", True),
    ("enable_corruption_detection", True),
    ("lock_enabled", True),
    ("auto_intent", True),
    ("enable_prometheus_metrics", True),
    ("dev_mode", False),
    ("encryption_fail_closed", False),
    ("retry_on_timeout", True),
    ("socket_keepalive", True),
    ("disable_hiredis", False),
]
TEXTS = [
    ("arrow_compression", "zstd"),
    ("master_key", None),
    ("previous_master_keys", ()),
    ("deployment_uuid", None),
    ("redis_url", "redis://localhost:6379"),
    ("backend_provider_class", None),
]
# Another value than the default is refused in code; test_config_effects.py has the rest.
WITHOUT_EFFECT = {
    "retry_on_timeout", "max_retries", "retry_delay_ms", "early_refresh_ratio", "backend_provider_class",
    "log_sampling_rate", "log_buffer_size", "log_batch_size", "log_flush_interval",
}  # fmt: skip


def test_the_tables_of_this_file_name_every_field():
    names = [row[0] for row in NUMBERS] + [row[0] for row in BOOLEANS] + [row[0] for row in TEXTS]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(CachekitConfig))
    assert sorted(names) == sorted(row["name"] for row in settings_table())


@pytest.mark.parametrize("name, default", [row[:2] for row in NUMBERS] + BOOLEANS + TEXTS)
def test_a_field_has_its_default(name: str, default: object):
    config = CachekitConfig()
    assert getattr(config, name) == default
    assert type(getattr(config, name)) is type(default)
    assert config.source(name) == "default"


@pytest.mark.parametrize("name, _, least, most, below, above", NUMBERS)
def test_a_number_is_accepted_in_its_range_only(name: str, _: object, least: float, most: float | None, below, above):
    for value in (least, most):
        if value is not None and name not in WITHOUT_EFFECT:
            assert getattr(CachekitConfig(**{name: value}), name) == value
    for value in (below, above):
        if value is not None:
            with pytest.raises(ConfigurationError, match=name) as caught:
                CachekitConfig(**{name: value})
            assert caught.value.code == "E103"
            assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name, _, least, most, below, above", NUMBERS)
def test_a_variable_is_read_and_checked(name, _, least, most, below, above, monkeypatch: pytest.MonkeyPatch):
    variable = "CACHEKIT_" + name.upper()
    monkeypatch.setenv(variable, str(least))
    config = CachekitConfig()
    assert getattr(config, name) == least
    assert config.source(name) == variable
    for value in (below, above, "many", "1e3", " 5", "", "-1"):
        if value is None:
            continue
        monkeypatch.setenv(variable, str(value))
        if value == "":  # counts as not set
            assert CachekitConfig().source(name) == "default"
            continue
        with pytest.raises(ConfigurationError) as caught:
            CachekitConfig()
        assert variable in str(caught.value)


@pytest.mark.parametrize("name, default", BOOLEANS)
def test_a_boolean_is_written_in_eight_ways(name: str, default: bool, monkeypatch: pytest.MonkeyPatch):
    for word, value in [("true", True), ("1", True), ("YES", True), ("On", True)]:
        monkeypatch.setenv("CACHEKIT_" + name.upper(), word)
        assert getattr(CachekitConfig(), name) is value
    for word in ("false", "0", "No", "OFF"):
        monkeypatch.setenv("CACHEKIT_" + name.upper(), word)
        assert getattr(CachekitConfig(), name) is False
    monkeypatch.setenv("CACHEKIT_" + name.upper(), "maybe")
    with pytest.raises(ConfigurationError, match=f"CACHEKIT_{name.upper()}=maybe: expected one of true"):
        CachekitConfig()
    monkeypatch.delenv("CACHEKIT_" + name.upper())
    if name not in WITHOUT_EFFECT:
        assert getattr(CachekitConfig(**{name: not default}), name) is (not default)
    with pytest.raises(ConfigurationTypeError):
        CachekitConfig(**{name: 1})


@pytest.mark.parametrize(
    "name, value",
    [("default_ttl", "3600"), ("workers", 2.0), ("workers", True), ("arrow_compression", 1), ("redis_url", b"redis:")]
    + [("master_key", b"00"), ("previous_master_keys", 5), ("previous_master_keys", [1])],
)
def test_a_wrong_type_is_a_type_error(name: str, value: object):
    with pytest.raises(TypeError, match=name):
        CachekitConfig(**{name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1.0])
def test_numbers_without_end_are_in_no_range(value: float):
    for name in ("default_ttl", "socket_timeout", "early_refresh_ratio"):
        with pytest.raises(ConfigurationError):
            CachekitConfig(**{name: value})


def test_an_integer_of_any_size_is_refused_calmly():
    with pytest.raises(ConfigurationError, match=r"workers=.*: expected a whole number, 1 to 64"):
        CachekitConfig(workers=10**5000)
    with pytest.raises(ConfigurationError):
        CachekitConfig(default_ttl=10**5000)


def test_what_is_refused_says_what_is_allowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_L1_MAX_SIZE_MB", "abc")
    with pytest.raises(ConfigurationError) as caught:
        CachekitConfig()
    assert str(caught.value) == "CACHEKIT_L1_MAX_SIZE_MB=abc: expected a whole number of MiB, 1 to 1048576"
    with pytest.raises(ConfigurationError) as caught:
        CachekitConfig(l1_max_size_mb=0)
    assert str(caught.value) == "CachekitConfig.l1_max_size_mb=0: expected a whole number of MiB, 1 to 1048576"


def test_unknown_fields_are_refused_with_the_nearest():
    with pytest.raises(TypeError, match="default_tll.*did you mean 'default_ttl'") as caught:
        CachekitConfig(default_tll=5)
    assert caught.value.code == "E103"


def test_the_keyword_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "7200")
    assert CachekitConfig().default_ttl == 7200
    assert CachekitConfig(default_ttl=1800).default_ttl == 1800
    assert CachekitConfig(default_ttl=3600).source("default_ttl") == "argument"


def test_only_the_prefix_in_capitals_is_read(monkeypatch: pytest.MonkeyPatch):
    for name in ("CACHE_DEFAULT_TTL", "DEFAULT_TTL", "cachekit_default_ttl"):
        monkeypatch.setenv(name, "7200")
    assert CachekitConfig().default_ttl == 3600


def test_decimals_of_seconds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_LOCK_WAIT_SECONDS", "0.25")
    assert CachekitConfig().lock_wait_seconds == 0.25
    monkeypatch.setenv("CACHEKIT_LOCK_WAIT_SECONDS", "2.0")
    assert CachekitConfig().lock_wait_seconds == 2
    for text in (".5", "5.", "1_0", "+5", "nan", "inf", "\u0665"):
        monkeypatch.setenv("CACHEKIT_LOCK_WAIT_SECONDS", text)
        with pytest.raises(ConfigurationError):
            CachekitConfig()


def test_redis_url_falls_back_to_the_variable_of_everybody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", "redis://other:1")
    assert CachekitConfig().redis_url == "redis://other:1"
    assert CachekitConfig().source("redis_url") == "REDIS_URL"
    monkeypatch.setenv("CACHEKIT_REDIS_URL", "redis://ours:1")
    assert CachekitConfig().redis_url == "redis://ours:1"


def test_arrow_compression_is_a_choice(monkeypatch: pytest.MonkeyPatch):
    for word in ("zstd", "lz4", "none"):
        assert CachekitConfig(arrow_compression=word).arrow_compression == word
    monkeypatch.setenv("CACHEKIT_ARROW_COMPRESSION", "LZ4")
    assert CachekitConfig().arrow_compression == "lz4"
    with pytest.raises(ConfigurationError, match="one of zstd, lz4, none"):
        CachekitConfig(arrow_compression="gzip")


# ---- what must fit together -----------------------------------------------------------------------------------


def test_default_ttl_lies_between_its_bounds(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigurationError) as caught:
        CachekitConfig(default_ttl=30)
    assert str(caught.value) == "default_ttl=30 is below ttl_min=60 (the default; CACHEKIT_TTL_MIN sets it)"
    monkeypatch.setenv("CACHEKIT_TTL_MAX", "7200")
    with pytest.raises(ConfigurationError, match="default_ttl=7201 is above CACHEKIT_TTL_MAX=7200"):
        CachekitConfig(default_ttl=7201)
    with pytest.raises(ConfigurationError, match="ttl_min=9000 is above CACHEKIT_TTL_MAX=7200"):
        CachekitConfig(ttl_min=9000)
    assert CachekitConfig(default_ttl=30, ttl_min=10).default_ttl == 30


def test_memory_of_a_namespace_fits_into_all_memory():
    assert CachekitConfig(l1_max_size_mb=4096).l1_total_max_size_mb == 4096
    assert CachekitConfig(l1_total_max_size_mb=50).l1_max_size_mb == 50
    with pytest.raises(ConfigurationError, match="l1_max_size_mb=60 is above l1_total_max_size_mb=50"):
        CachekitConfig(l1_max_size_mb=60, l1_total_max_size_mb=50)


def test_max_chunk_size_lowers_the_value_limit_and_never_raises_it():
    assert CachekitConfig().effective_max_value_size == 104857600
    assert CachekitConfig(max_chunk_size_mb=50).effective_max_value_size == 50 * 1048576
    assert CachekitConfig(max_chunk_size_mb=512).effective_max_value_size == 104857600


# ---- secrets --------------------------------------------------------------------------------------------------


def shown_forms(config: CachekitConfig) -> list[str]:
    forms = [repr(config), str(config), f"{config}", repr(config.to_dict()), repr(vars(config)), repr([config])]
    forms.append(repr(dataclasses.asdict(config)))
    return forms + [pickle.dumps(config, protocol).decode("latin-1") for protocol in range(6)]


def test_secrets_are_shown_nowhere():
    config = CachekitConfig(master_key=KEY, previous_master_keys=[OTHER_KEY], redis_url="redis://me:sesame@host:1/0")
    for form in shown_forms(config):
        assert KEY not in form
        assert OTHER_KEY not in form
    for form in (repr(config), str(config), repr(config.to_dict()), pickle.dumps(config).decode("latin-1")):
        assert "sesame" not in form
    assert config.to_dict()["master_key"] == "********"
    assert config.to_dict()["previous_master_keys"] == ["********"]
    assert config.to_dict()["redis_url"] == "redis://********@host:1/0"
    assert CachekitConfig().to_dict()["master_key"] is None


def test_a_secret_is_given_out_when_asked_for():
    config = CachekitConfig(master_key=KEY)
    assert config.master_key == SecretStr(KEY)
    assert config.master_key.get_secret_value() == KEY
    assert SecretStr(KEY) != SecretStr(OTHER_KEY)
    assert SecretStr(KEY) != KEY
    assert len({SecretStr(KEY), SecretStr(KEY)}) == 1


def test_a_secret_alone_is_not_pickled():
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SecretStr(KEY))
    assert copy.deepcopy(SecretStr(KEY)).get_secret_value() == KEY


def test_pickled_settings_take_their_secrets_from_the_environment_there(monkeypatch: pytest.MonkeyPatch):
    data = pickle.dumps(CachekitConfig(master_key=KEY, default_ttl=120))
    assert pickle.loads(data).master_key is None
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", OTHER_KEY)
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "90")
    there = pickle.loads(data)
    assert there.master_key.get_secret_value() == OTHER_KEY
    assert there.default_ttl == 120


def test_errors_about_keys_do_not_show_them(monkeypatch: pytest.MonkeyPatch):
    for variable, text in [
        ("CACHEKIT_PREVIOUS_MASTER_KEYS", "topsecret"),
        ("CACHEKIT_PREVIOUS_MASTER_KEYS", "5ec4e7" * 8),
        ("CACHEKIT_PREVIOUS_MASTER_KEYS", ",".join(["5ec4e7" * 11] * 4)),
    ]:
        monkeypatch.setenv(variable, text)
        with pytest.raises(ConfigurationError) as caught:
            CachekitConfig()
        assert "topsecret" not in str(caught.value)
        assert "5ec4e7" not in str(caught.value)
        assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_previous_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_PREVIOUS_MASTER_KEYS", f" {KEY} ,, {OTHER_KEY},")
    assert [key.get_secret_value() for key in CachekitConfig().previous_master_keys] == [KEY, OTHER_KEY]
    keys = [f"{i:064x}" for i in range(4)]
    assert len(CachekitConfig(previous_master_keys=keys[:3]).previous_master_keys) == 3
    with pytest.raises(ConfigurationError, match="holds 4 keys, at most 3"):
        CachekitConfig(previous_master_keys=keys)
    with pytest.raises(ConfigurationError, match=r"previous_master_keys\[1\] is not hexadecimal") as caught:
        CachekitConfig(previous_master_keys=[KEY, "xyz"])
    assert caught.value.code == "E002"
    with pytest.raises(ConfigurationError, match=r"previous_master_keys\[0\] holds 16 bytes"):
        CachekitConfig(previous_master_keys=["00" * 16])
    with pytest.raises(ConfigurationError, match="contains the current master key"):
        CachekitConfig(master_key=KEY, previous_master_keys=[KEY.upper()])


def test_blanks_around_a_key_of_the_environment_do_not_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", f" {KEY}\n")
    key = CachekitConfig().master_key
    assert key is not None and key.get_secret_value() == KEY


def test_a_malformed_master_key_is_refused_where_it_is_used_not_here():
    assert CachekitConfig(master_key="not hex").master_key.get_secret_value() == "not hex"


# ---- as an object ---------------------------------------------------------------------------------------------


def test_settings_cannot_be_changed_and_can_be_replaced(monkeypatch: pytest.MonkeyPatch):
    config = CachekitConfig(default_ttl=100)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.default_ttl = 5
    with pytest.raises(AttributeError):
        del config.default_ttl
    monkeypatch.setenv("CACHEKIT_WORKERS", "9")
    changed = dataclasses.replace(config, default_ttl=200)
    assert (changed.default_ttl, changed.workers) == (200, 4)  # a copy does not read the environment
    assert config == CachekitConfig(default_ttl=100, workers=4)
    assert hash(config) == hash(CachekitConfig(default_ttl=100, workers=4))
    assert config != changed


def test_a_subclass_has_the_settings_of_its_base(monkeypatch: pytest.MonkeyPatch):
    class Ours(CachekitConfig):
        def validate(self):
            super().validate()

    monkeypatch.setenv("CACHEKIT_WORKERS", "7")
    assert Ours().workers == 7
    assert Ours(default_ttl=100).to_dict()["default_ttl"] == 100


def test_a_class_of_settings_is_a_dataclass_to_others():
    assert dataclasses.is_dataclass(CachekitConfig)
    assert dataclasses.fields(CachekitConfig)[0].default == 3600
    assert dataclasses.asdict(CachekitConfig())["workers"] == 4


# ---- the settings of the process ------------------------------------------------------------------------------


def test_get_settings_reads_once(monkeypatch: pytest.MonkeyPatch):
    reset_settings()
    first = get_settings()
    monkeypatch.setenv("CACHEKIT_DEFAULT_TTL", "7200")
    assert get_settings() is first
    reset_settings()
    assert get_settings().default_ttl == 7200


def test_a_master_key_that_appears_later_is_seen(monkeypatch: pytest.MonkeyPatch):
    reset_settings()
    assert get_settings().master_key is None
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    second = get_settings()
    assert second.master_key is not None
    assert get_settings() is second


def test_wrong_settings_are_not_kept(monkeypatch: pytest.MonkeyPatch):
    reset_settings()
    monkeypatch.setenv("CACHEKIT_WORKERS", "0")
    with pytest.raises(ConfigurationError, match="CACHEKIT_WORKERS=0"):
        get_settings()
    monkeypatch.setenv("CACHEKIT_WORKERS", "1")
    assert get_settings().workers == 1


@pytest.mark.parametrize(
    ("variable", "wrong", "right"),
    [
        ("CACHEKIT_MASTER_KEY", KEY[:62], KEY),
        ("CACHEKIT_MASTER_KEY", "no key", KEY),
        ("CACHEKIT_DEPLOYMENT_UUID", "no UUID", "123e4567-e89b-12d3-a456-426614174000"),
        ("CACHEKIT_PREVIOUS_MASTER_KEYS", "no key", "ba" * 32),
        ("CACHEKIT_L1_MAX_SIZE_MB", "0", "50"),
    ],
)
def test_what_was_wrong_in_the_environment_can_be_corrected(
    monkeypatch: pytest.MonkeyPatch, variable: str, wrong: str, right: str
):
    reset_settings()
    if variable != "CACHEKIT_MASTER_KEY":
        monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)

    def sealed(n: int) -> int:
        return n

    monkeypatch.setenv(variable, wrong)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=variable):
            cache.secure(backend=None)(sealed)
    monkeypatch.setenv(variable, right)
    assert cache.secure(backend=None)(sealed)(1) == 1
    assert get_settings() is get_settings()


def test_a_wrong_master_key_can_be_taken_away(monkeypatch: pytest.MonkeyPatch):
    reset_settings()
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", "no key")
    assert not get_settings().has_usable_key()
    monkeypatch.delenv("CACHEKIT_MASTER_KEY")
    assert get_settings().master_key is None


def test_threads_get_the_same_settings():
    from concurrent.futures import ThreadPoolExecutor

    reset_settings()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: get_settings(), range(64)))
    assert len({id(settings) for settings in found}) == 1


# ---- files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, default, least, most, below, above",
    [
        ("max_size_mb", 1024, 1, 1000000, 0, 1000001),
        ("max_value_mb", 100, 1, 512, 0, 513),
        ("max_entry_count", 10000, 100, 1000000, 99, 1000001),
        ("lock_timeout_seconds", 5, 0.5, 30, 0.4, 30.5),
    ],
)
def test_file_settings(name, default, least, most, below, above, monkeypatch: pytest.MonkeyPatch):
    assert getattr(FileBackendConfig(), name) == default
    for value in (least, most):
        assert getattr(FileBackendConfig(**{name: value}), name) == value
    for value in (below, above):
        with pytest.raises(ConfigurationError, match=name):
            FileBackendConfig(**{name: value})
        monkeypatch.setenv("CACHEKIT_FILE_" + name.upper(), str(value))
        with pytest.raises(ConfigurationError, match="CACHEKIT_FILE_" + name.upper()):
            FileBackendConfig()
        monkeypatch.delenv("CACHEKIT_FILE_" + name.upper())


def test_the_largest_value_is_at_most_half_of_all_files():
    assert FileBackendConfig(max_size_mb=50).max_value_mb == 25
    assert FileBackendConfig(max_size_mb=1).max_value_bytes == 524288
    assert FileBackendConfig().max_size_bytes == 1024 * 1048576
    with pytest.raises(ConfigurationError, match="max_value_mb=26 is above half of max_size_mb=50"):
        FileBackendConfig(max_size_mb=50, max_value_mb=26)


def test_permissions_are_octal_and_for_the_owner(monkeypatch: pytest.MonkeyPatch):
    assert (FileBackendConfig().permissions, FileBackendConfig().dir_permissions) == (0o600, 0o700)
    for text in ("0o640", "0640", "640"):
        monkeypatch.setenv("CACHEKIT_FILE_PERMISSIONS", text)
        assert FileBackendConfig().permissions == 0o640
    for text in ("0666", "0400", "0888", "rw", "0o", "17777777"):
        monkeypatch.setenv("CACHEKIT_FILE_PERMISSIONS", text)
        with pytest.raises(ConfigurationError, match="CACHEKIT_FILE_PERMISSIONS=.*octal mode with 0600 in it"):
            FileBackendConfig()
    monkeypatch.delenv("CACHEKIT_FILE_PERMISSIONS")
    with pytest.raises(ConfigurationError):
        FileBackendConfig(dir_permissions=0o600)


def test_the_directory(monkeypatch: pytest.MonkeyPatch, tmp_path):
    assert str(FileBackendConfig(cache_dir="/var/cache/myapp").cache_dir) == "/var/cache/myapp"
    assert FileBackendConfig(cache_dir=tmp_path).cache_dir == tmp_path
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert FileBackendConfig().cache_dir == tmp_path / "cachekit"
    (tmp_path / "cachekit").mkdir(mode=0o700)
    assert FileBackendConfig().cache_dir == tmp_path / "cachekit"
    (tmp_path / "cachekit").chmod(0o777)
    assert FileBackendConfig().cache_dir.name.startswith("cachekit-")
    monkeypatch.setenv("CACHEKIT_FILE_CACHE_DIR", "/srv/cache")
    assert str(FileBackendConfig().cache_dir) == "/srv/cache"
    for value in ("", "a" * 5000, "a\0b"):
        with pytest.raises(ConfigurationError):
            FileBackendConfig(cache_dir=value)
    with pytest.raises(TypeError):
        FileBackendConfig(cache_dir=5)


# ---- the library's table --------------------------------------------------------------------------------------


def our_table() -> dict[str, dict[str, object]]:
    """By variable: type, default and range of every setting, those of files included."""
    rows = settings_table() + describe_settings(FileBackendConfig)
    return {row["variable"]: {column: row[column] for column in ("type", "default", "range")} for row in rows}


def compare(library: dict[str, dict[str, object]]) -> None:
    ours = our_table()
    library.pop("LOG_LEVEL", None)  # logging belongs to the program
    assert library.keys() <= ours.keys()
    assert len(library) >= 28
    for columns in (library["CACHEKIT_FILE_CACHE_DIR"], ours["CACHEKIT_FILE_CACHE_DIR"]):
        assert columns.pop("type") == "path"
        columns.clear()  # the default depends on the machine
    assert {variable: ours[variable] for variable in library} == library


def test_the_library_has_the_same_table():
    columns = ("type", "default", "range")
    compare({row["variable"]: {column: row[column] for column in columns} for row in _core.settings()})


def test_a_setting_has_one_name_everywhere():
    ours = {row["variable"]: row for row in settings_table()}
    files = {row["variable"]: row for row in describe_settings(FileBackendConfig)}
    for row in _core.settings():
        if row["group"] == "files":
            assert row["name"] == "file_" + files[row["variable"]]["name"]
            # In a URL the directory is the path.
            assert row["url_parameter"] == (None if row["option"] == "directory" else files[row["variable"]]["name"])
        elif row["variable"] != "LOG_LEVEL":
            assert row["name"] == row["url_parameter"] == ours[row["variable"]]["name"]
            assert row["secret"] is ours[row["variable"]]["secret"]


def test_the_table_of_the_library_is_a_new_one_each_time():
    table = _core.settings()
    assert table[0] == {
        "name": "default_ttl",
        "group": table[0]["group"],
        "variable": "CACHEKIT_DEFAULT_TTL",
        "url_parameter": "default_ttl",
        "option": "default_ttl_ms",
        "type": "seconds",
        "default": "3600",
        "range": "1 to 315360000",
        "help": table[0]["help"],
        "secret": False,
    }
    table[0]["name"] = ""
    table.clear()
    assert _core.settings()[0]["name"] == "default_ttl"
    assert all(row["group"] and row["help"].endswith(".") for row in _core.settings())


def test_the_documentation_of_the_library_has_the_same_table(source: Path):
    library = {}
    for line in (source / "docs" / "configuration.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 7 and cells[0].startswith("`") and cells[0].strip("`").isupper():
            library[cells[0].strip("`")] = {"type": cells[2], "default": cells[3], "range": cells[4]}
    compare(library)
