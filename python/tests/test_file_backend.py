"""The file store as an object."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from cachekit.backends import BackendError, BackendErrorType, BaseBackend, FileBackend, FileBackendConfig, RedisBackend
from cachekit.errors import ConfigurationError, MisuseError
from counted import counted


@pytest.fixture
def files(tmp_path: Any) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


@pytest.mark.parametrize("config", ["store", {"cache_dir": "store"}, FileBackendConfig])
def test_a_file_store_wants_its_configuration(config: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a FileBackendConfig, such as .*\(cache_dir="):
        FileBackend(config)


def test_the_file_store_passes_what_a_custom_backend_has_to(files: FileBackend) -> None:
    assert isinstance(files, BaseBackend)
    for value in (b"", b"\0", b"\xff\xfe", b"x" * 100_000):
        files.set("key", value, ttl=60)
        assert files.get("key") == value and files.exists("key") is True
        assert files.delete("key") is True and files.delete("key") is False
        assert files.get("key") is None and files.exists("key") is False
    files.set("key", b"long", ttl=1)
    files.set("key", b"s")  # a new lifetime with the new value
    assert files.get("key") == b"s"
    files.set("key", b"x", ttl=0)
    assert files.get("key") is None
    healthy, details = files.health_check()
    assert healthy is True and {"latency_ms", "backend_type"} <= set(details)


def test_failures_of_the_file_store_are_backend_errors_of_their_kind(tmp_path: Any) -> None:
    small = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store", max_size_mb=2, max_value_mb=1))
    with pytest.raises(BackendError) as failure:
        small.set("key", b"x" * 2_000_000)
    assert failure.value.error_type is BackendErrorType.PERMANENT and failure.value.operation == "set"
    with pytest.raises(BackendError) as failure:
        small.set("key", b"x", ttl=-1)
    assert failure.value.error_type is BackendErrorType.PERMANENT
    (tmp_path / "file").write_text("")
    broken = FileBackend(FileBackendConfig(cache_dir=tmp_path / "file" / "below"))
    for call in (lambda: broken.get("key"), lambda: broken.set("key", b""), lambda: broken.delete("key")):
        with pytest.raises(BackendError):
            call()
    healthy, details = broken.health_check()
    assert healthy is False and {"latency_ms", "backend_type"} <= set(details)


def test_what_a_function_stores_in_files_is_there_for_the_object_and_the_other_way_round(files: FileBackend) -> None:
    function, body = counted(backend=files, key=lambda x: f"x:{x}", l1_enabled=False)
    function(1)
    stored = files.get("default:x:1")
    assert stored is not None and stored.startswith(b"CK\x03")
    files.set("default:x:2", stored, ttl=60)
    assert function(2) == [1] and body.runs == 1
    assert files.delete("default:x:1") and function(1) == [1] and body.runs == 2


def test_the_methods_of_a_subclass_of_the_file_store_are_asked(tmp_path: Any) -> None:
    asked = []

    class Told(FileBackend):
        def get(self, key: str) -> bytes | None:
            asked.append(key)
            return super().get(key)

    function, body = counted(backend=Told(FileBackendConfig(cache_dir=tmp_path / "store")), l1_enabled=False)
    assert [function(1), function(1)] == [[1], [1]] and body.runs == 1 and len(asked) == 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda backend: backend.get(5), "get: key is int: expected a text"),
        (lambda backend: backend.delete(None), "delete: key is NoneType: expected a text"),
        (lambda backend: backend.set("k", "text"), "set: value is str: expected bytes"),
        (lambda backend: backend.set("k", b"", "5"), "set: ttl is str: expected a number of seconds, or None"),
    ],
)
@pytest.mark.parametrize("kind", ["FileBackend", "RedisBackend"])
def test_arguments_of_wrong_types_are_called_by_their_names(
    files: FileBackend, kind: str, call: Callable[[Any], Any], told: str
) -> None:
    backend = files if kind == "FileBackend" else RedisBackend("redis://localhost:1")  # which is not asked
    with pytest.raises(TypeError) as caught:
        call(backend)
    assert (type(caught.value), str(caught.value)) == (MisuseError, f"{kind}.{told}")
