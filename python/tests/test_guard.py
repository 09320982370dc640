"""What stands between a function and its store: every number reaches it, functions of one store share it, and its figures
are live."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any, Callable

import pytest

from cachekit import _core, _health, cache
from cachekit.backends import FileBackend, FileBackendConfig
from cachekit.config import DecoratorConfig
from cachekit.config.nested import BackpressureConfig, CircuitBreakerConfig, L1CacheConfig, TimeoutConfig
from cachekit.decorators.orchestrator import FeatureOrchestrator
from cachekit.errors import BackendError, BackendErrorType, ConfigurationError
from cachekit.reliability import AdaptiveTimeout, BackpressureController, CircuitBreaker, CircuitState
from shelves import Shelf
from waiting import until


class Store(Shelf):
    """Does what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0  # but for removals, which a thread makes up for any time
        self.failure: BaseException | None = None
        self.wait: Callable[[], object] = lambda: None

    def _ask(self, counted: bool = True) -> None:
        self.asked += counted
        self.wait()
        if self.failure is not None:
            raise self.failure

    def get(self, key: str) -> bytes | None:
        self._ask()
        return super().get(key)

    def set(self, key: str, value: bytes, ttl: int | None = None) -> None:
        self._ask()
        super().set(key, value, ttl)

    def delete(self, key: str) -> bool:
        self._ask(counted=False)
        return super().delete(key)

    def exists(self, key: str) -> bool:
        self._ask()
        return super().exists(key)

    def health_check(self) -> tuple[bool, dict[str, Any]]:
        self._ask()
        return True, {"latency_ms": 0.5, "backend_type": "store"}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("CACHEKIT_MAX_RETRIES", "0")  # so that a failed call is one failure
    return Store()


def decorated(store: Any, **options: Any) -> Any:
    @cache(backend=store, **options)
    def function(x: int) -> int:
        return x

    return function


def options_of(function: Any) -> dict[str, Any]:
    return function.cache.guard().options()


# ---- every number arrives ----------------------------------------------------------------------------------------------

NUMBERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"breaker": True, "adaptive_timeout": True, "backpressure": True, "retry": True, "failure_threshold": 5,
          "success_threshold": 3, "recovery_timeout_ms": 30000, "half_open_requests": 3, "excluded_kinds": 0,
          "timeout_initial_ms": 1000, "timeout_min_ms": 100, "timeout_max_ms": 10000, "timeout_window": 1000,
          "timeout_percentile": 95.0, "max_concurrent": 100, "queue_size": 1000, "queue_timeout_ms": 100,
          "max_retries": 3, "retry_delay_ms": 100, "retry_on_timeout": True}),
    ({"circuit_breaker": CircuitBreakerConfig(failure_threshold=7)}, {"failure_threshold": 7, "breaker": True}),
    ({"circuit_breaker": CircuitBreakerConfig(success_threshold=8)}, {"success_threshold": 8}),
    ({"circuit_breaker": CircuitBreakerConfig(recovery_timeout=1.5)}, {"recovery_timeout_ms": 1500}),
    ({"circuit_breaker": CircuitBreakerConfig(timeout_seconds=2)}, {"recovery_timeout_ms": 2000}),
    ({"circuit_breaker": CircuitBreakerConfig(recovery_timeout=0)}, {"recovery_timeout_ms": 2**32 - 1}),
    ({"circuit_breaker": CircuitBreakerConfig(half_open_requests=9)}, {"half_open_requests": 9}),
    ({"circuit_breaker": CircuitBreakerConfig(failure_threshold=10**12)}, {"failure_threshold": 2**32 - 2}),
    ({"circuit_breaker": CircuitBreakerConfig(excluded_error_types=["timeout"])}, {"excluded_kinds": 1 << 2}),
    ({"circuit_breaker": CircuitBreakerConfig(excluded_error_types=["permanent"])}, {"excluded_kinds": 0}),
    ({"circuit_breaker": CircuitBreakerConfig(excluded_exceptions=(ConnectionError,))}, {"excluded_kinds": 1 << 1}),
    ({"circuit_breaker": CircuitBreakerConfig(excluded_exceptions=(OSError, KeyError))}, {"excluded_kinds": 6}),
    ({"circuit_breaker_config": CircuitBreakerConfig(failure_threshold=4)}, {"failure_threshold": 4}),
    ({"circuit_breaker": False}, {"breaker": False, "backpressure": True}),
    ({"circuit_breaker": CircuitBreakerConfig(enabled=False)}, {"breaker": False}),
    ({"timeout": TimeoutConfig(initial=2, min=1, max=3)}, {"timeout_initial_ms": 2000, "timeout_min_ms": 1000,
                                                           "timeout_max_ms": 3000, "adaptive_timeout": True}),
    ({"timeout": TimeoutConfig(window_size=50, percentile=99.5)}, {"timeout_window": 50, "timeout_percentile": 99.5}),
    ({"timeout": TimeoutConfig(enabled=False, initial=2)}, {"adaptive_timeout": False, "timeout_initial_ms": 2000}),
    ({"adaptive_timeout": False}, {"adaptive_timeout": False, "timeout_initial_ms": 1000, "breaker": True}),
    ({"max_concurrent_requests": 12}, {"max_concurrent": 12}),
    ({"backpressure": BackpressureConfig(queue_size=13, timeout=0.25)}, {"queue_size": 13, "queue_timeout_ms": 250}),
    ({"backpressure": BackpressureConfig(queue_size=0, timeout=0)}, {"queue_size": 2**32 - 1,
                                                                     "queue_timeout_ms": 2**32 - 1}),
    ({"backpressure": False}, {"backpressure": False, "breaker": True}),
    ({"circuit_breaker": False, "adaptive_timeout": False, "backpressure": False}, {"retry": False}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), NUMBERS, ids=[str(number) for number in range(len(NUMBERS))])
@pytest.mark.parametrize("form", ["keywords", "object"])
@pytest.mark.usefixtures("default_guard")
def test_every_number_reaches_the_guard(given: dict[str, Any], expected: dict[str, Any], form: str) -> None:
    named = given if form == "keywords" else {"config": DecoratorConfig(**given)}
    found = options_of(decorated(Store(), **named))
    assert {name: found[name] for name in expected} == expected


def test_files_have_the_same_guard_as_stores_written_in_python(tmp_path: Any) -> None:
    files = FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))
    assert options_of(decorated(files, max_concurrent_requests=3))["max_concurrent"] == 3


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CACHEKIT_MAX_RETRIES": "7"}, {"max_retries": 7, "retry": True}),
        ({"CACHEKIT_MAX_RETRIES": "0"}, {"retry": False}),
        ({"CACHEKIT_RETRY_DELAY_MS": "9"}, {"retry_delay_ms": 9}),
        ({"CACHEKIT_RETRY_ON_TIMEOUT": "false"}, {"retry_on_timeout": False}),
    ],
)
def test_the_environments_settings_reach_it_beside_those_of_the_function(
    variables: dict[str, str], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = options_of(decorated(Store(), circuit_breaker=CircuitBreakerConfig(failure_threshold=2)))
    assert found["failure_threshold"] == 2 and {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"circuit_breaker": False, "circuit_breaker_config": CircuitBreakerConfig(enabled=True)}, "E103"),
        ({"max_concurrent_requests": 5, "backpressure": BackpressureConfig(max_concurrent_requests=6)}, "E103"),
        ({"adaptive_timeout": True, "timeout": TimeoutConfig(enabled=False)}, "E103"),
        ({"max_concurrent_requests": 0}, "E103"),
    ],
)
def test_contradictions_are_refused_where_the_function_is_decorated(wrong: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        decorated(Store(), **wrong)
    assert caught.value.code == code


@pytest.mark.parametrize("excluded", [(Exception,), (BackendError,)])
def test_a_breaker_that_could_never_open_is_refused(excluded: Any) -> None:
    with pytest.raises(ConfigurationError, match="could never open"):
        CircuitBreakerConfig(excluded_exceptions=excluded)
    with pytest.raises(ConfigurationError, match="could never open"):
        CircuitBreakerConfig(excluded_error_types=["transient", "timeout", "unknown"])
    CircuitBreakerConfig(enabled=False, excluded_exceptions=excluded)


# ---- shared -------------------------------------------------------------------------------------------------------------


def break_circuit(function: Any, store: Store, failures: int = 5) -> None:
    store.failure = BackendError("down", BackendErrorType.TRANSIENT)
    for x in range(1000, 1000 + failures):
        assert function(x) == x
        function.cache.release_objects()
    store.failure = None


def state_of(function: Any) -> str:
    return function.get_health_status()["circuit_breaker"]["state"]


def test_functions_of_one_backend_share_one_breaker_also_with_other_memory(store: Store) -> None:
    one, other = decorated(store), decorated(store, l1=L1CacheConfig(max_size_mb=1))
    assert one.cache is not other.cache
    break_circuit(one, store)
    assert state_of(one) == state_of(other) == "OPEN"
    asked = store.asked
    assert other(1) == 1 and store.asked == asked  # not even tried
    third = decorated(store, l1_enabled=False)
    assert state_of(third) == "OPEN"


def test_functions_with_other_numbers_have_a_guard_of_their_own(store: Store) -> None:
    one, other = decorated(store), decorated(store, circuit_breaker=CircuitBreakerConfig(failure_threshold=50))
    break_circuit(one, store)
    assert (state_of(one), state_of(other)) == ("OPEN", "CLOSED")


def test_another_backend_is_another_store(store: Store) -> None:
    one, other = decorated(store), decorated(Store())
    break_circuit(one, store)
    assert (state_of(one), state_of(other)) == ("OPEN", "CLOSED")


def test_the_guard_ends_with_the_last_function_that_uses_it(store: Store) -> None:
    def go() -> None:
        gone = weakref.ref(functions.pop())
        until(lambda: gc.collect() is not None and gone() is None)  # a thread of a cache may be collecting already

    functions = [decorated(store, l1_enabled=False), decorated(store)]
    break_circuit(functions[-1], store)
    go()
    assert [state_of(function) for function in functions] == ["OPEN"]
    functions.append(decorated(store))
    assert [state_of(function) for function in functions] == ["OPEN"] * 2
    go(), go()
    assert state_of(decorated(store)) == "CLOSED"


# ---- live ----------------------------------------------------------------------------------------------------------------


def test_the_breaker_opens_before_everybodys_eyes(store: Store) -> None:
    function = decorated(store, circuit_breaker=CircuitBreakerConfig(failure_threshold=2))
    before = time.time()
    break_circuit(function, store, 2)
    status = function.get_health_status()
    assert status["healthy"] is status["overall_healthy"] is False
    breaker, component = status["circuit_breaker"], status["components"]["circuit_breaker"]
    assert breaker["state"] == "OPEN" and component["state"] == "open"
    assert component["opened"] == 1 and component["failures"] >= 2
    assert before - 1 <= breaker["last_failure_time"] <= time.time() + 1
    assert breaker["next_attempt"] > breaker["last_failure_time"]


def test_a_breaker_that_is_open_probes_and_closes_before_everybodys_eyes(store: Store) -> None:
    quick = CircuitBreakerConfig(failure_threshold=2, recovery_timeout=0.05, success_threshold=1)
    function = decorated(store, circuit_breaker=quick)
    break_circuit(function, store, 2)
    numbers = itertools.count()
    # A thread that makes up for what the store did not take may be the first that it answers.
    until(lambda: (function(next(numbers)), state_of(function) == "CLOSED")[1])
    status = function.get_health_status()
    assert status["healthy"] and status["circuit_breaker"]["next_attempt"] is None
    assert status["components"]["circuit_breaker"]["half_opened"] >= status["components"]["circuit_breaker"]["closed"] == 1


@pytest.mark.usefixtures("default_guard")
def test_the_windows_figures_are_live(store: Store) -> None:
    function = decorated(store)
    for x in range(20):
        function(x)
    limit = function.get_health_status()["components"]["adaptive_timeout"]
    assert limit["samples"] == limit["total_operations"] == 40  # a look and a write each
    longer = 1.5 * limit["percentile_duration"]  # which a machine that is busy may need
    assert limit["current_timeout"] == pytest.approx(max(0.1, longer), abs=0.0011) and limit["base_timeout"] == 1.0
    assert 0 < limit["average_duration"] < 1 and 0 < limit["percentile_duration"] < 1
    assert function.get_health_status()["circuit_breaker"]["success_count"] == 40


def test_who_is_with_the_store_and_who_is_rejected_is_told(store: Store) -> None:
    function = decorated(store, backpressure=BackpressureConfig(max_concurrent_requests=1, queue_size=0))
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert go_on.wait(30)

    store.wait = wait
    thread = threading.Thread(target=function, args=(1,))
    thread.start()
    assert inside.wait(30)
    assert function(2) == 2  # not cached, and not kept waiting
    pressure = function.get_health_status()["backpressure"]
    go_on.set()
    thread.join()
    assert pressure["max_concurrent"] == pressure["current_requests"] == 1 and pressure["rejected_requests"] >= 1
    assert function.get_health_status()["backpressure"]["current_requests"] == 0


def test_both_tiers_are_in_the_figures(store: Store) -> None:
    function = decorated(store)
    function(1), function(1)
    components = function.get_health_status()["components"]
    assert components["memory"]["entries"] == 1 and components["memory"]["hits"] == 1
    assert components["store"]["misses"] == 1 and components["store"]["writes"] == 1
    assert components["calls"]["computed"] == 1
    assert components["invalidation"]["listening"] is False
    alone = cache(backend=None)(lambda: 1)
    assert "store" not in alone.get_health_status()["components"] and alone.cache.guard() is None


def test_excluded_exceptions_of_a_backend_do_not_count(store: Store) -> None:
    class Rare(Exception):
        pass

    excluding = CircuitBreakerConfig(failure_threshold=1, excluded_exceptions=(Rare,))
    function = decorated(store, circuit_breaker=excluding)
    store.failure = Rare("now and then")
    assert [function(x) for x in range(3)] == [0, 1, 2]
    assert state_of(function) == "CLOSED" and function.get_health_status()["components"]["store"]["errors"] >= 3
    store.failure = OSError("broken")
    function(9)
    assert state_of(function) == "OPEN"


def test_a_function_that_fails_never_opens_the_circuit(store: Store) -> None:
    @cache(backend=store, circuit_breaker=CircuitBreakerConfig(failure_threshold=1))
    def failing() -> None:
        raise ConnectionError("the function's own")

    for _ in range(3):
        with pytest.raises(ConnectionError):
            failing()
    assert state_of(failing) == "CLOSED"


# ---- the probe -----------------------------------------------------------------------------------------------------------


def test_a_probe_asks_the_store_also_while_the_circuit_is_open(store: Store) -> None:
    function = decorated(store)
    break_circuit(function, store)
    asked = store.asked
    found = function.check_health()
    assert store.asked == asked + 1
    assert found["status"] == "healthy" and found["decorator"]["circuit_breaker"]["state"] == "OPEN"


@pytest.mark.parametrize("awaited", [False, True])
def test_a_store_that_never_answers_is_not_waited_for(
    store: Store, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_health, "PROBE_SECONDS", 0.05)
    go_on = threading.Event()
    store.wait = lambda: go_on.wait(60)

    def check() -> dict[str, Any]:
        return asyncio.run(function.check_health()) if awaited else function.check_health()

    async def coroutine(x: int) -> int:
        return x

    function: Any = cache(backend=store)(coroutine) if awaited else decorated(store)
    try:
        first, second = check(), check()
    finally:
        go_on.set()
    assert first["status"] == second["status"] == "unhealthy"
    assert "no answer" in first["components"]["backend"]["detail"]
    assert "has not come back" in second["components"]["backend"]["detail"]
    assert store.asked == 1
    until(lambda: check()["status"] == "healthy")


# ---- by hand -------------------------------------------------------------------------------------------------------------


def test_the_orchestrators_breaker_really_opens() -> None:
    orchestrator = FeatureOrchestrator("api", circuit_breaker=CircuitBreakerConfig(failure_threshold=2))

    def ask() -> None:
        raise ConnectionError("no")

    for _ in range(2):
        with pytest.raises(ConnectionError):
            orchestrator.call(ask)
    with pytest.raises(BackendError) as refused:
        orchestrator.call(lambda: 1)
    assert refused.value.code == "E030" and refused.value.is_transient
    assert orchestrator.get_health_status()["circuit_breaker"]["state"] == "OPEN"
    assert orchestrator.get_stats()["circuit_breaker"]["refused"] == 1
    orchestrator.breaker.reset()
    assert orchestrator.call(lambda: 1) == 1
    assert orchestrator.adaptive_timeout.get_stats()["total_operations"] == 1
    assert orchestrator.load_control.get_stats()["max_concurrent"] == 100
    assert orchestrator.get_stats()["metrics"]["total_operations"] == 4  # the refused one too

    async def answer() -> int:
        return 2

    assert asyncio.run(orchestrator.call_async(answer)) == 2


def test_an_orchestrator_of_a_function_looks_at_its_store(store: Store) -> None:
    function = decorated(store)
    config = DecoratorConfig(backend=store)
    orchestrator = FeatureOrchestrator.from_config(config, function.cache.guard())
    break_circuit(function, store)
    assert orchestrator.breaker.state is CircuitState.OPEN


def test_features_that_are_switched_off_are_off() -> None:
    orchestrator = FeatureOrchestrator(circuit_breaker_enabled=False, backpressure_enabled=False)
    options = orchestrator.guard.options()
    assert not options["breaker"] and not options["backpressure"] and options["adaptive_timeout"]


@pytest.mark.parametrize("wrong", [5, 0, "5", CircuitBreakerConfig])
@pytest.mark.parametrize(
    "make, name",
    [
        (CircuitBreaker, "CircuitBreaker.config is .*: expected a CircuitBreakerConfig object or None"),
        (AdaptiveTimeout, "AdaptiveTimeout.config is .*: expected a TimeoutConfig object or None"),
        (lambda wrong: FeatureOrchestrator(circuit_breaker=wrong), "FeatureOrchestrator.circuit_breaker is "),
        (lambda wrong: FeatureOrchestrator(timeout=wrong), "FeatureOrchestrator.timeout is "),
        (lambda wrong: FeatureOrchestrator(backpressure=wrong), "FeatureOrchestrator.backpressure is "),
    ],
)
def test_numbers_that_are_no_object_are_refused_with_the_type_that_is_expected(
    make: Callable[[Any], Any], name: str, wrong: Any
) -> None:
    with pytest.raises(TypeError, match=name):
        make(wrong)


def test_a_breaker_by_hand_opens_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker(CircuitBreakerConfig(failure_threshold=2))
    assert breaker.state is CircuitState.CLOSED == 0 and breaker.should_attempt()
    breaker.record_failure()
    breaker.record_failure(ValueError("the caller's own"))
    breaker.record_success()
    breaker.record_failure(TimeoutError())
    assert breaker.state is CircuitState.CLOSED
    breaker.record_failure(ConnectionError())
    assert breaker.state is CircuitState.OPEN == 1 and not breaker.should_attempt()


def test_a_breaker_by_hand_closes_when_a_probe_succeeds() -> None:
    breaker = CircuitBreaker(CircuitBreakerConfig(failure_threshold=1, success_threshold=1, recovery_timeout=0.02))
    breaker.record_failure()
    until(breaker.should_attempt)
    assert breaker.state is CircuitState.HALF_OPEN == 2
    breaker.record_success()
    assert breaker.state is CircuitState.CLOSED
    stats = breaker.get_stats()
    assert (stats["opened"], stats["half_opened"], stats["closed"], stats["config"]["timeout_seconds"]) == (1, 1, 1, 0.02)


def test_only_so_many_probes_go_at_once_and_one_that_fails_opens_it_again() -> None:
    breaker = CircuitBreaker(CircuitBreakerConfig(failure_threshold=1, half_open_requests=1, recovery_timeout=0))
    breaker.record_failure()
    until(breaker.should_attempt)
    assert not breaker.should_attempt()  # the only place is taken
    breaker.record_failure()
    assert breaker.state is CircuitState.OPEN


def test_a_time_limit_by_hand() -> None:
    limit = AdaptiveTimeout(TimeoutConfig(window_size=100))
    assert limit.get_timeout() == limit.get_stats()["base_timeout"] == 1.0
    for _ in range(100):
        limit.record_duration(0.2)
        limit.record_duration(2, lock=True)
    assert limit.get_timeout() == pytest.approx(0.3) and limit.get_timeout(lock=True) == pytest.approx(3)
    stats = limit.get_stats()
    assert stats["samples"] == 100 and stats["percentile_duration"] == pytest.approx(0.2)
    assert stats["locks"]["average_duration"] == pytest.approx(2)
    with limit.measure() as seconds:
        assert seconds == pytest.approx(0.3)
    assert limit.get_stats()["total_operations"] == 101
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="0 or more"):
            limit.record_duration(wrong)


def test_a_bound_by_hand() -> None:
    bound = BackpressureController(1, queue_size=0, timeout=0)
    with bound.acquire():
        with pytest.raises(BackendError) as rejected, bound.acquire():
            pass
        assert rejected.value.code == "E109"
        assert bound.get_stats()["current_requests"] == 1
    assert bound.get_stats()["rejected_count"] == 1
    bound.reset_stats()
    assert bound.get_stats()["rejected_count"] == bound.get_stats()["current_requests"] == 0


def test_a_guard_takes_only_what_it_knows() -> None:
    with pytest.raises(TypeError):
        _core.Guard(threshold=1)
    with pytest.raises(TypeError):
        _core.Guard({"breaker": True})  # type: ignore[call-arg]
    with pytest.raises(OverflowError):
        _core.Guard(queue_size=2**32)
    with pytest.raises(TypeError):
        _core.Cache(None, guard="on")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="enter"):
        _core.Guard().leave(b"", 0)


# ---- what the library logs -------------------------------------------------------------------------------------------------


class Loud(Store):
    pass


class Quiet(Store):
    pass


def test_what_the_library_logs_reaches_logging(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHEKIT_MAX_RETRIES", "0")
    store = Loud()
    with caplog.at_level(logging.DEBUG, "cachekit"):
        function = decorated(store)
        break_circuit(function, store)
        record = until(lambda: [record for record in caplog.records if "loud: the circuit is open" in record.message])[0]
    assert record.name == "cachekit" and record.levelno == logging.WARNING


def test_what_nobody_wants_to_hear_is_not_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHEKIT_MAX_RETRIES", "0")
    quiet, loud = Quiet(), Loud()
    with caplog.at_level(logging.ERROR, "cachekit"):
        break_circuit(decorated(quiet), quiet)
    with caplog.at_level(logging.INFO, "cachekit"):
        break_circuit(decorated(loud), loud)
        until(lambda: [record for record in caplog.records if "loud: the circuit is open" in record.message])
    assert not [record for record in caplog.records if "quiet: the circuit is open" in record.message]


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "faulthandler", "-c", textwrap.dedent(script)],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_the_last_line_before_the_end_is_not_lost() -> None:
    done = run("""
        from cachekit import _core
        guard = _core.Guard(failure_threshold=1)
        guard.leave(guard.enter()[0], 1)
        """)
    assert done.returncode == 0 and done.stderr.count("the circuit is open") == 1, done.stderr


def test_a_handler_that_uses_the_cache_and_a_fork_among_lines_do_no_harm() -> None:
    done = run("""
        import logging, os, threading, time
        from cachekit import _core, cache

        @cache(backend=None)
        def function(x):
            return x

        class Handler(logging.Handler):
            def emit(self, record):
                function(record.getMessage())
                lines.append(os.getpid())

        lines = []
        logging.getLogger("cachekit").addHandler(Handler())
        logging.getLogger("cachekit").propagate = False

        def say(guards):
            for guard in guards:
                guard.leave(guard.enter()[0], 1)

        def many():
            return [_core.Guard(failure_threshold=1) for _ in range(50)]

        threads = [threading.Thread(target=say, args=(many(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        child = os.fork()
        if child == 0:
            lines.clear()
            say(many())
            for _ in range(2000):
                if len(lines) == 50:
                    break
                time.sleep(0.01)
            os._exit(0 if lines == [os.getpid()] * 50 else 1)
        for thread in threads:
            thread.join()
        for _ in range(2000):
            if len(lines) == 200:
                break
            time.sleep(0.01)
        print(len(lines), os.waitpid(child, 0)[1])
        """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "200 0\n", "")


def test_what_a_store_did_not_take_is_shown_and_made_up_for(store: Store) -> None:
    function = decorated(store)
    assert function(1) == 1 and len(store.entries) == 1
    store.failure = BackendError("down", BackendErrorType.TRANSIENT)
    with contextlib.suppress(BackendError):
        function.invalidate_cache(1)
    figures = function.get_health_status()["components"]["store"]
    assert figures["replay_pending"] >= 1 and figures["replay_dropped"] == 0  # a stale one has a key too
    assert "replay_pending" not in function.get_health_status()["components"]["calls"]
    store.failure = None
    until = time.monotonic() + 30
    while function.get_health_status()["components"]["store"]["replay_pending"] and time.monotonic() < until:
        time.sleep(0.01)
    assert not store.entries and function.get_health_status()["components"]["store"]["replayed"] >= 1
