"""Encryption: @cache.secure, encryption=, keys of the environment, tenants, EncryptionWrapper, and what is never shown."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest

from cachekit import cache, serializers
from cachekit.backends.file import FileBackend, FileBackendConfig
from cachekit.config import DecoratorConfig, EncryptionConfig, L1CacheConfig, reset_settings
from cachekit.errors import ConfigurationError, DecryptionAuthenticationError
from cachekit.serializers import EncryptionWrapper, StandardSerializer
from cachekit.tenants import ArgumentNameExtractor, CallableExtractor, ContextVarExtractor

KEY = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
PLAIN = "a plain text that nobody but us may read"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("MASTER_KEY", "PREVIOUS_MASTER_KEYS", "MASTER_KEY_FILE", "DEPLOYMENT_UUID", "ENCRYPTION_FAIL_CLOSED"):
        monkeypatch.delenv(f"CACHEKIT_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    reset_settings()
    yield
    monkeypatch.undo()
    reset_settings()


@pytest.fixture
def files(tmp_path: Path):
    return FileBackend(FileBackendConfig(cache_dir=str(tmp_path / "store")))


def stored(tmp_path: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())


def counted(**keywords: Any):
    runs: list[Any] = []
    preset = keywords.pop("preset", None)
    decorate = cache if preset is None else getattr(cache, preset)

    @decorate(**keywords)
    def report(x: object, tenant_id: str = "") -> Any:
        runs.append(x)
        return {"text": PLAIN, "x": x, "run": len(runs)}

    return report, runs


# ---- what is kept -------------------------------------------------------------------------------------------------


def test_secure_stores_ciphertext_and_gives_the_value_back(files: FileBackend, tmp_path: Path) -> None:
    report, runs = counted(preset="secure", master_key=KEY, backend=files)
    assert report(1) == report(1) == {"text": PLAIN, "x": 1, "run": 1}
    assert len(runs) == 1 and report.cache_info().l1_hits == 1
    assert PLAIN.encode() not in stored(tmp_path) and b"AES-256-GCM" in stored(tmp_path)


def test_memory_alone_keeps_no_live_object_when_encryption_was_asked_for() -> None:
    report, runs = counted(preset="secure", master_key=KEY, backend=None)
    first = report(1)
    assert report(1) == first and report(1) is not first and len(runs) == 1


def test_memory_alone_keeps_live_objects_when_only_a_key_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    reset_settings()
    report, _ = counted(backend=None)
    assert report(1) is report(1)


def test_a_configured_key_encrypts_what_a_store_keeps(
    files: FileBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    reset_settings()
    report, _ = counted(backend=files)
    report(1)
    assert PLAIN.encode() not in stored(tmp_path)
    plain, _ = counted(backend=files, encryption=False, namespace="plain")
    plain(1)
    assert PLAIN.encode() in stored(tmp_path)


def test_coroutine_functions_are_sealed_too(files: FileBackend, tmp_path: Path) -> None:
    @cache.secure(master_key=KEY, backend=files)
    async def report(x: int) -> str:
        return PLAIN

    async def main() -> None:
        assert [await report(1), await report(1)] == [PLAIN, PLAIN]

    asyncio.run(main())
    assert report.cache_info().hits == 1 and PLAIN.encode() not in stored(tmp_path)


def test_checksums_are_on_in_secure_whatever_is_said(files: FileBackend) -> None:
    assert DecoratorConfig.secure(master_key=KEY, integrity_checking=False).integrity_checking is True


@pytest.mark.parametrize("keywords", [{"encryption": True, "single_tenant_mode": True, "master_key": KEY}, {"master_key": KEY}])
def test_encryption_without_checksums_is_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="integrity_checking=False contradicts encryption"):
        DecoratorConfig(integrity_checking=False, **keywords)
    assert DecoratorConfig.minimal(**keywords).integrity_checking is True  # the preset gives way
    assert DecoratorConfig.minimal().integrity_checking is False


def test_a_key_of_the_environment_is_warned_of_once(
    files: FileBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from cachekit import _told

    def warnings() -> int:
        return sum("comes from the environment" in record.getMessage() for record in caplog.records)

    monkeypatch.setattr(_told, "_warned", {})
    counted(preset="secure", master_key=KEY, backend=files)
    assert warnings() == 0
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    monkeypatch.setenv("CACHEKIT_DEV_MODE", "true")
    reset_settings()
    counted(backend=files)[0](1)
    assert warnings() == 0
    monkeypatch.delenv("CACHEKIT_DEV_MODE")
    reset_settings()
    counted(backend=files)[0](2)
    counted(preset="secure", backend=files)[0](3)
    assert warnings() == 1 and KEY not in caplog.text


# ---- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keywords", [{"preset": "secure"}, {"encryption": True, "single_tenant_mode": True}])
def test_a_key_file_is_a_key(
    keywords: dict[str, Any], files: FileBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    monkeypatch.setenv("CACHEKIT_MASTER_KEY_FILE", str(file))
    report, runs = counted(backend=files, **keywords)
    assert report(1) == report(1) and len(runs) == 1
    monkeypatch.delenv("CACHEKIT_MASTER_KEY_FILE")
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    reset_settings()
    again, others = counted(backend=files, **keywords)
    assert again(1) == report(1) and others == [] and PLAIN.encode() not in stored(tmp_path)


def test_in_a_rotation_no_process_loses_what_another_has_sealed(
    files: FileBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(current: str, *previous: str) -> tuple[Any, list[Any]]:
        monkeypatch.setenv("CACHEKIT_MASTER_KEY", current)
        monkeypatch.setenv("CACHEKIT_PREVIOUS_MASTER_KEYS", ",".join(previous))
        reset_settings()
        return counted(preset="secure", backend=files, l1_enabled=False)

    before, prepared, turned, after = process(KEY), process(KEY, OTHER), process(OTHER, KEY), process(OTHER)
    for number, (report, _) in enumerate((before, prepared, turned, after)):
        assert report(number)["x"] == number  # sealed with the current key of that step
    for together, there in [((before, prepared), (0, 1)), ((prepared, turned), (0, 1, 2, 3)), ((turned, after), (2, 3))]:
        for report, runs in together:
            computed = len(runs)
            assert [report(number)["x"] for number in there] == list(there) and len(runs) == computed


def test_without_a_key_encryption_is_refused_when_the_function_is_decorated() -> None:
    for keywords in ({"preset": "secure"}, {"encryption": True, "single_tenant_mode": True},
                     {"tenant_extractor": lambda x: "a"}):
        with pytest.raises(ConfigurationError) as refused:
            counted(backend=None, **keywords)
        assert refused.value.code == "E001" and "CACHEKIT_MASTER_KEY" in str(refused.value)


# The last three are those that a configuration page shows, the third one as a correct one; it has 62 digits.
WRONG = ["0123456789abcdef" * 3 + "0123456789abcd", "not hexadecimal" * 8, "my-secret-key", "abcd1234",
         "a1b2c3d4e5f6789012345678901234567890abcdef12345678901234567890"]  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
@pytest.mark.parametrize("preset", [None, "secure"])
@pytest.mark.parametrize("given", [True, False])
def test_a_key_that_cannot_be_one_is_refused_with_the_right_form_and_not_shown(
    key: str, preset: str | None, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keywords: dict[str, Any] = {"master_key": key} if given else {}
    if not given:
        monkeypatch.setenv("CACHEKIT_MASTER_KEY", key)
        reset_settings()
    with pytest.raises(ConfigurationError, match=r"64 (or more |hexadecimal )?digits") as refused:
        counted(preset=preset, backend=None, **keywords)
    assert refused.value.code == "E002" and key not in str(refused.value)


def test_a_wrong_key_of_the_environment_is_a_configuration_error_without_a_store_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", "zz")
    wanted: list[dict[str, Any]] = [{}, {"encryption": True}]
    for keywords in wanted:
        with pytest.raises(ConfigurationError) as refused:
            counted(backend=None, **keywords)
        assert refused.value.code == "E002"


@pytest.mark.parametrize("keywords", [{}, {"preset": "secure"}, {"preset": "secure", "master_key": OTHER}])
@pytest.mark.parametrize("variable", ["CACHEKIT_MASTER_KEY", "CACHEKIT_PREVIOUS_MASTER_KEYS"])
def test_keys_in_variables_and_in_a_file_are_refused(
    keywords: dict[str, Any], variable: str, files: FileBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(OTHER)
    (tmp_path / "key").chmod(0o600)
    monkeypatch.setenv("CACHEKIT_MASTER_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv(variable, KEY)
    reset_settings()
    with pytest.raises(ConfigurationError, match=f"CACHEKIT_MASTER_KEY_FILE and {variable} both give keys") as refused:
        counted(backend=files, **keywords)
    assert refused.value.code == "E103" and KEY not in str(refused.value)


def test_functions_with_keys_of_two_files_keep_apart(
    files: FileBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[Any] = []
    for name, key in (("one", KEY), ("two", OTHER)):
        (tmp_path / name).write_text(key)
        (tmp_path / name).chmod(0o600)
        monkeypatch.setenv("CACHEKIT_MASTER_KEY_FILE", str(tmp_path / name))
        reports.append(counted(backend=files, key=lambda *_, **__: "same")[0])
    assert reports[0](1)["run"] == 1
    assert reports[1](1)["run"] == 1 and reports[1].cache.stats()["auth_failures_l2"] == 1


def test_encryption_needs_to_know_whose_values_they_are() -> None:
    with pytest.raises(ConfigurationError, match="single_tenant_mode"):
        counted(encryption=True, master_key=KEY, backend=None)
    with pytest.raises(ConfigurationError, match="both are"):
        counted(encryption=True, master_key=KEY, backend=None, single_tenant_mode=True, tenant_extractor=lambda x: "a")


def test_entries_outlive_a_rotation(files: FileBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    report, runs = counted(preset="secure", master_key=KEY, backend=files)
    report(1)
    monkeypatch.setenv("CACHEKIT_PREVIOUS_MASTER_KEYS", KEY)
    reset_settings()
    rotated = cache.secure(master_key=OTHER, backend=files)(report.__wrapped__)
    assert rotated(1)["run"] == 1 and len(runs) == 1
    rotated(2)
    assert report(2)["run"] == 3  # the old key alone does not open it


def test_a_key_is_shown_nowhere(files: FileBackend, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        report, _ = counted(preset="secure", master_key=KEY, backend=files)
        report(1)
    wrapper = EncryptionWrapper(master_key=bytes.fromhex(KEY))
    config = EncryptionConfig(True, KEY, single_tenant_mode=True)
    shown = "".join(map(repr, (report, wrapper, config, report.get_health_status(), report.cache, gc.get_referents(report.cache))))
    assert KEY not in shown + caplog.text
    assert KEY.encode() not in pickle.dumps(config)


# ---- failures ----------------------------------------------------------------------------------------------------------


def damage(tmp_path: Path) -> None:
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and b"AES-256-GCM" in path.read_bytes():
            content = bytearray(path.read_bytes())
            at = content.rindex(b'"2.0"}') + 20
            content[at] ^= 1
            path.write_bytes(content)


def test_an_altered_entry_is_computed_again(files: FileBackend, tmp_path: Path) -> None:
    report, runs = counted(preset="secure", master_key=KEY, backend=files, l1_enabled=False)
    report(1)
    damage(tmp_path)
    assert report(1)["run"] == 2 and report.cache.stats()["auth_failures_l2"] == 1


def test_failing_closed_an_altered_entry_is_the_callers_to_see_and_stays(files: FileBackend, tmp_path: Path) -> None:
    report, runs = counted(preset="secure", master_key=KEY, backend=files, l1_enabled=False, fail_closed=True)
    report(1)
    damage(tmp_path)
    before = stored(tmp_path)
    for _ in range(2):
        with pytest.raises(DecryptionAuthenticationError) as failure:
            report(1)
        assert failure.value.code == "E003"
    assert len(runs) == 1 and before.count(b"AES-256-GCM") == stored(tmp_path).count(b"AES-256-GCM") == 1


@pytest.mark.parametrize("serializer", ["default", StandardSerializer()], ids=["default", "object"])
def test_without_a_key_a_sealed_entry_stays_and_the_result_is_kept_in_memory(
    serializer: object, files: FileBackend, tmp_path: Path
) -> None:
    with_key, _ = counted(backend=files, serializer=serializer, encryption=True, single_tenant_mode=True, master_key=KEY)
    with_key(1)
    without, runs = counted(backend=files, serializer=serializer)
    assert [without(1)["run"], without(1)["run"]] == [1, 1] and runs == [1]
    assert without.cache.stats()["sealed_without_key"] == 1
    again, runs = counted(
        backend=files, serializer=serializer, encryption=True, single_tenant_mode=True, master_key=KEY, l1_enabled=False
    )
    assert again(1)["run"] == 1 and runs == [] and PLAIN.encode() not in stored(tmp_path)


@pytest.mark.parametrize("serializer", ["default", StandardSerializer()], ids=["default", "object"])
def test_without_a_key_and_failing_closed_a_sealed_entry_is_the_callers_to_see(
    serializer: object, files: FileBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_key, _ = counted(backend=files, serializer=serializer, encryption=True, single_tenant_mode=True, master_key=KEY)
    with_key(1)
    monkeypatch.setenv("CACHEKIT_ENCRYPTION_FAIL_CLOSED", "true")
    reset_settings()
    without, runs = counted(backend=files, serializer=serializer)
    with pytest.raises(DecryptionAuthenticationError):
        without(1)
    assert runs == []


def test_failing_closed_a_coroutine_function_raises_too(files: FileBackend, tmp_path: Path) -> None:
    @cache.secure(master_key=KEY, backend=files, l1_enabled=False, fail_closed=True)
    async def report(x: int) -> str:
        return PLAIN

    async def main() -> None:
        await report(1)
        damage(tmp_path)
        with pytest.raises(DecryptionAuthenticationError):
            await report(1)

    asyncio.run(main())


@pytest.mark.parametrize("limits", [{}, {"hard_limit": 60}], ids=["unlimited", "limited"])
@pytest.mark.parametrize("awaited", [False, True])
def test_failing_closed_an_altered_entry_is_the_failure_of_its_call_in_a_batch(
    files: FileBackend, tmp_path: Path, awaited: bool, limits: dict[str, float]
) -> None:
    report, runs = counted(
        preset="secure", master_key=KEY, backend=files, l1_enabled=False, fail_closed=True, **limits
    )
    report(1)
    damage(tmp_path)
    before = stored(tmp_path).count(b"AES-256-GCM")

    async def main() -> Any:
        return await report.aget_many([1, 2], return_exceptions=True)

    altered, new = asyncio.run(main()) if awaited else report.get_many([1, 2], return_exceptions=True)
    assert isinstance(altered, DecryptionAuthenticationError) and altered.code == "E003"
    assert new["run"] == 2 and len(runs) == 2  # the one that was there first, and the other
    assert stored(tmp_path).count(b"AES-256-GCM") == before + 1


# ---- tenants ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extractor",
    [
        ArgumentNameExtractor(),
        CallableExtractor(lambda args, kwargs: kwargs["tenant_id"]),
        lambda x, tenant_id: tenant_id,
    ],
    ids=["by name", "by callable", "plain"],
)
def test_equal_calls_of_two_tenants_are_two_entries(files: FileBackend, extractor: Any) -> None:
    report, runs = counted(preset="secure", master_key=KEY, backend=files, tenant_extractor=extractor, key=lambda *_, **__: "same")
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    assert report(1, tenant_id=one)["run"] == 1
    assert report(1, tenant_id=two)["run"] == 2
    assert report(1, tenant_id=one)["run"] == 1 and report(1, tenant_id=two)["run"] == 2
    assert len(runs) == 2 and report.cache_info().hits == 2


def test_the_tenant_of_a_context(files: FileBackend) -> None:
    report, runs = counted(preset="secure", master_key=KEY, backend=files, tenant_extractor=ContextVarExtractor())
    ContextVarExtractor.set_tenant("one")
    report(1)
    ContextVarExtractor.set_tenant("two")
    assert report(1)["run"] == 2
    ContextVarExtractor.set_tenant("one")
    assert report(1)["run"] == 1
    ContextVarExtractor.set_tenant(None)


def test_without_a_tenant_nothing_is_kept(files: FileBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for extractor in (ArgumentNameExtractor(), lambda *_, **__: "", lambda *_, **__: 7, lambda *_, **__: "x" * 1025):
        report, runs = counted(preset="secure", master_key=KEY, backend=files, tenant_extractor=extractor)
        assert report(1)["run"] == 1 and report(1)["run"] == 2
    assert b"AES-256-GCM" not in stored(tmp_path)
    assert "its tenant cannot be told" in caplog.text


def test_one_tenants_call_is_forgotten_alone(files: FileBackend) -> None:
    report, _ = counted(preset="secure", master_key=KEY, backend=files, tenant_extractor=ArgumentNameExtractor())
    report(1, tenant_id="a"), report(1, tenant_id="b")
    report.invalidate_cache(1, tenant_id="a")
    assert report(1, tenant_id="b")["run"] == 2 and report(1, tenant_id="a")["run"] == 3


# ---- serializers ------------------------------------------------------------------------------------------------------


def test_serializers_of_python_alone_are_refused_under_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="serializer='auto' and encryption"):
        counted(preset="secure", master_key=KEY, backend=None, serializer="auto")
    with pytest.raises(ConfigurationError, match="AutoSerializer"):
        EncryptionWrapper(serializer=__import__("cachekit.serializers", fromlist=["x"]).AutoSerializer(), master_key=bytes(range(32)))
    monkeypatch.setenv("CACHEKIT_MASTER_KEY", KEY)
    reset_settings()
    with pytest.raises(ConfigurationError, match="serializer='auto' and encryption"):
        counted(backend=None, serializer="auto")
    counted(backend=None, serializer="auto", encryption=False)


def test_a_wrapper_as_serializer_means_encryption(files: FileBackend, tmp_path: Path) -> None:
    wrapper = EncryptionWrapper(serializer=StandardSerializer(), master_key=bytes.fromhex(KEY))
    report, runs = counted(serializer=wrapper, backend=files)
    assert report(1) == report(1) and len(runs) == 1
    assert PLAIN.encode() not in stored(tmp_path)
    plain, _ = counted(serializer=EncryptionWrapper(enable_encryption=False), backend=files, namespace="plain")
    plain(1)
    assert PLAIN.encode() in stored(tmp_path)


@pytest.mark.parametrize("name", ["default", "std", "orjson", "arrow", "StandardSerializer", "OrjsonSerializer", "ArrowSerializer"])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_wrapper_goes_around_every_serializer_that_may_be_sealed(
    files: FileBackend, tmp_path: Path, name: str, awaited: bool
) -> None:
    value: Any = {"text": PLAIN}
    if "arrow" in name.lower():
        value = pytest.importorskip("pandas").DataFrame({"text": [PLAIN]})
        pytest.importorskip("pyarrow")
    if "orjson" in name.lower():
        pytest.importorskip("orjson")
    inner: Any = getattr(serializers, name)() if name.endswith("Serializer") else name
    runs: list[int] = []

    def make(**keywords: Any) -> Any:
        wrapper = EncryptionWrapper(serializer=inner, master_key=bytes.fromhex(KEY))
        decorate = cache(serializer=wrapper, backend=files, **keywords)
        if not awaited:
            return decorate(lambda n: runs.append(n) or value)

        async def load(n: int) -> Any:
            runs.append(n)
            return value

        return decorate(load)

    def call(function: Any) -> Any:
        return asyncio.run(function(1)) if awaited else function(1)

    key: Any = {"key": lambda n: f"k{n}"}
    first, elsewhere = make(**key), make(**key, l1=L1CacheConfig(max_size_mb=9))
    for function in (first, first, elsewhere):
        read = call(function)
        assert read.equals(value) if hasattr(value, "equals") else read == value
    assert runs == [1] and elsewhere.cache_info().l2_hits == 1
    assert PLAIN.encode() not in stored(tmp_path)


@pytest.mark.parametrize("make", [DecoratorConfig, DecoratorConfig.minimal, DecoratorConfig.production,
                                  DecoratorConfig.secure, DecoratorConfig.dev, DecoratorConfig.test,
                                  lambda **keywords: DecoratorConfig(ttl=5).replace(**keywords)])
def test_a_wrapper_in_a_configuration_object_means_encryption_too(make: Any, files: FileBackend, tmp_path: Path) -> None:
    wrapper = EncryptionWrapper(master_key=bytes.fromhex(KEY))
    report, runs = counted(config=make(serializer=wrapper), backend=files)
    assert report(1) == report(1) and len(runs) == 1
    assert PLAIN.encode() not in stored(tmp_path)
    with pytest.raises(ConfigurationError, match="give no other keyword of it"):
        make(serializer=wrapper, master_key=OTHER)


def test_the_tenant_of_a_wrapper_is_any_text_and_no_other_opens_its_entries(files: FileBackend, tmp_path: Path) -> None:
    def reader(tenant: str | None, size: int) -> tuple[Any, list[Any]]:
        wrapper = EncryptionWrapper(master_key=bytes.fromhex(KEY), tenant_id=tenant)
        return counted(serializer=wrapper, backend=files, l1=L1CacheConfig(max_size_mb=size))

    report, runs = reader("acme", 7)
    assert report(1) == report(1) and len(runs) == 1
    assert b'"tenant_id": "acme"' in stored(tmp_path)
    again, more = reader("acme", 8)
    assert again(1) == report(1) and more == []
    other, others = reader("zeta", 9)
    assert other(1) == report(1) and len(others) == 1
    assert other.cache.stats()["auth_failures_l2"] == 1


@pytest.mark.parametrize("tenant", ["", "x" * 1025, 7, "\ud800", "a\0b"])
def test_a_tenant_that_cannot_be_one_is_refused_by_the_wrapper(tenant: Any) -> None:
    with pytest.raises(ConfigurationError, match="tenant_id"):
        EncryptionWrapper(master_key=bytes.fromhex(KEY), tenant_id=tenant)


def test_encryption_by_the_name_of_a_serializer_is_refused_with_what_means_it() -> None:
    with pytest.raises(ConfigurationError, match=r"@cache\.secure, encryption=True"):
        counted(serializer="encrypted", master_key=KEY, backend=None)


def test_a_value_is_sealed_once() -> None:
    inner = EncryptionWrapper(master_key=bytes.fromhex(KEY))
    with pytest.raises(ConfigurationError, match="around an EncryptionWrapper"):
        EncryptionWrapper(serializer=inner, master_key=bytes.fromhex(OTHER))


def test_a_wrapper_by_itself_binds_values_to_their_key() -> None:
    wrapper = EncryptionWrapper(master_key=bytes.fromhex(KEY), tenant_id="acme")
    sealed, metadata = wrapper.serialize({"text": PLAIN}, cache_key="k")
    assert metadata.encrypted and metadata.tenant_id == "acme" and PLAIN.encode() not in sealed
    assert wrapper.deserialize(sealed, metadata, cache_key="k") == {"text": PLAIN}
    with pytest.raises(DecryptionAuthenticationError):
        wrapper.deserialize(sealed, metadata, cache_key="another")
    with pytest.raises(DecryptionAuthenticationError):
        EncryptionWrapper(master_key=bytes.fromhex(OTHER)).deserialize(sealed, metadata, cache_key="k")
    with pytest.raises(ValueError, match="cache_key"):
        wrapper.serialize(1)


def test_a_deployment_in_the_environment_without_a_key_is_named_in_the_log(
    files: FileBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("CACHEKIT_DEPLOYMENT_UUID", "01234567-89ab-4def-8123-456789abcdef")
    reset_settings()
    for _ in range(2):  # which share a cache
        report, _runs = counted(backend=files)
        report(1)
    (line,) = [record.message for record in caplog.records if "CACHEKIT_DEPLOYMENT_UUID" in record.message]
    assert "is without effect: there is no master key" in line
    caplog.clear()
    report, _runs = counted(backend=FileBackend(FileBackendConfig(cache_dir=str(tmp_path / "other"))), master_key=KEY)
    report(1)
    assert not [record for record in caplog.records if "CACHEKIT_DEPLOYMENT_UUID" in record.message]
