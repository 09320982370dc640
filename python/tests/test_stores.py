"""Which store a function gets, and how long its cache lives."""

from __future__ import annotations

import gc
import logging
import os
import weakref
from typing import Any

import pytest

from cachekit import _stores, cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import DecoratorConfig, L1CacheConfig, get_default_backend, set_default_backend
from cachekit.errors import ConfigurationError
from shelves import Shelf


def decorated(**options: Any) -> Any:
    @cache(**options)
    def function(x: int) -> list[int]:
        return [x]

    return function


def entries_of(directory: Any) -> list[str]:
    return [name for name in os.listdir(directory) if len(name) == 32] if os.path.isdir(directory) else []


# ---- explicit, default, environment -------------------------------------------------------------------------------------


def test_what_is_given_wins_over_the_default_and_the_default_over_the_environment(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHEKIT_FILE_CACHE_DIR", str(tmp_path / "environment"))
    given, default = Shelf(), Shelf()
    decorated()(1)
    assert len(entries_of(tmp_path / "environment")) == 1
    set_default_backend(default)
    assert get_default_backend() is default
    decorated()(2)
    decorated(backend=given)(3)
    assert (len(given.entries), len(default.entries), len(entries_of(tmp_path / "environment"))) == (1, 1, 1)
    memory = decorated(backend=None)
    assert memory(4) is memory(4)
    set_default_backend(None)
    assert get_default_backend() is None
    decorated()(5)
    assert (len(given.entries), len(default.entries), len(entries_of(tmp_path / "environment"))) == (1, 1, 2)


def test_the_default_is_that_of_the_moment_of_decoration() -> None:
    before, after = Shelf(), Shelf()
    set_default_backend(before)
    function = decorated()
    set_default_backend(after)
    function(1)
    assert (len(before.entries), len(after.entries)) == (1, 0)


def test_defect_19_no_store_and_a_store_of_a_configuration_object_are_not_overridden_by_the_default() -> None:
    default, own = Shelf(), Shelf()
    set_default_backend(default)
    memory = decorated(config=DecoratorConfig(backend=None))
    assert memory(1) is memory(1)
    decorated(config=DecoratorConfig(backend=own))(1)
    assert (len(default.entries), len(own.entries)) == (0, 1)
    decorated(config=DecoratorConfig())(1)
    assert len(default.entries) == 1


@pytest.mark.parametrize(
    "variables",
    [
        ("CACHEKIT_REDIS_URL", "CACHEKIT_FILE_CACHE_DIR"),
        ("CACHEKIT_API_KEY", "CACHEKIT_MEMCACHED_SERVERS"),
        ("CACHEKIT_API_KEY", "CACHEKIT_REDIS_URL", "CACHEKIT_FILE_CACHE_DIR"),
    ],
)
def test_an_environment_that_chooses_two_stores_is_an_error_that_names_them(
    variables: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in variables:
        monkeypatch.setenv(variable, "x")
    with pytest.raises(ConfigurationError) as refused:
        decorated()
    assert all(variable in str(refused.value) for variable in variables)
    function = decorated(backend=Shelf())  # no question then
    assert function(1) == [1]
    assert decorated(backend=None)(1) == [1]


def test_empty_variables_choose_nothing_and_redis_url_gives_way(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEKIT_API_KEY", "")
    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    monkeypatch.setenv("CACHEKIT_FILE_CACHE_DIR", str(tmp_path / "files"))
    decorated()(1)
    assert len(entries_of(tmp_path / "files")) == 1


def test_the_environments_settings_of_the_file_store_hold(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEKIT_FILE_CACHE_DIR", str(tmp_path / "files"))
    monkeypatch.setenv("CACHEKIT_FILE_PERMISSIONS", "0640")
    decorated()(1)
    (name,) = entries_of(tmp_path / "files")
    assert (tmp_path / "files" / name).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("is_from_environment", [False, True])
def test_a_directory_that_begins_with_a_tilde_draws_one_warning(
    is_from_environment: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cachekit._told._warned", {})
    monkeypatch.chdir(tmp_path)
    if is_from_environment:
        monkeypatch.setenv("CACHEKIT_FILE_CACHE_DIR", "~/files")
    options = {} if is_from_environment else {"backend": FileBackend(FileBackendConfig(cache_dir="~/files"))}
    with caplog.at_level(logging.WARNING, "cachekit"):
        for number in range(2):
            decorated(ttl=60 + number, **options)(number)
    assert [line for line in caplog.messages if line.startswith("~/files begins in the working directory")]
    assert len(caplog.records) == 1
    assert entries_of(tmp_path / "~" / "files")


@pytest.mark.parametrize("variable", ["CACHEKIT_MEMCACHED_SERVERS", "CACHEKIT_API_KEY"])
def test_a_store_that_is_not_there_is_named_and_results_stay_in_this_process(
    variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cachekit._told._warned", {})
    monkeypatch.setenv(variable, "x")
    with caplog.at_level(logging.WARNING, "cachekit"):
        function = decorated()
    assert variable in caplog.text and len(caplog.records) == 1
    assert function(1) == function(1) == [1] and function.cache_info().hits >= 1  # functions of one name share documents


# ---- how long a cache lives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["memory", "none", "files", "python"])
def test_a_cache_ends_with_the_last_function_that_uses_it(store: str, tmp_path: Any) -> None:
    gc.collect()
    limits = L1CacheConfig(max_size_mb=3)
    options: dict[str, Any] = {
        "memory": {"backend": None},
        "none": {},
        "files": {"backend": FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))},
        "python": {"backend": Shelf()},
    }[store]
    one, two = decorated(l1=limits, **options), decorated(l1=limits, **options)
    one(1), two(2)
    assert one.cache is two.cache
    gone = weakref.ref(one.cache)
    del one
    gc.collect()
    assert gone() is not None and two(2) == [2]
    del two
    gc.collect()
    assert gone() is None


def test_the_table_of_caches_forgets_what_is_gone() -> None:
    gc.collect()
    before = len(_stores._caches)
    for megabytes in range(1, 50):
        decorated(backend=None, l1=L1CacheConfig(max_size_mb=megabytes))(1)
    gc.collect()
    assert len(_stores._caches) <= before + 1


def test_functions_that_agree_share_a_cache_and_others_do_not(tmp_path: Any) -> None:
    files, shelf = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store")), Shelf()
    same_files = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))
    one, two, three = (decorated(backend=backend) for backend in (files, same_files, shelf))
    limited = decorated(backend=files, l1=L1CacheConfig(max_size_mb=5))
    other = decorated(backend=Shelf())
    assert one.cache is two.cache
    assert len({id(function.cache) for function in (one, three, limited, other)}) == 4


def test_a_backend_of_a_method_of_equality_of_its_own_is_told_from_another() -> None:
    class Equal(Shelf):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    first, second = Equal(), Equal()
    decorated(backend=first)(1), decorated(backend=second)(2)
    assert (len(first.entries), len(second.entries)) == (1, 1)
