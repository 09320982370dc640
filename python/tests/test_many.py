"""Many calls at once: `get_many` and `aget_many`."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from cachekit import cache
from cachekit.backends.file import FileBackend, FileBackendConfig
from cachekit.serializers import PickleSerializer


def stored(tmp_path: Path) -> FileBackend:
    return FileBackend(FileBackendConfig(cache_dir=tmp_path / "store"))


class Loader:
    """Gives ten times what it is asked for, and remembers what that was."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.refuses: set[int] = set()

    def __call__(self, missing: list[int]) -> list[Any]:
        self.asked.append(missing)
        return [ValueError(number) if number in self.refuses else number * 10 for number in missing]


def decorated(tmp_path: Path, place: str, **options: Any) -> Any:
    backend = {"store": stored(tmp_path), "memory": None}[place]

    @cache(backend=backend, ttl=60, namespace="many", **options)
    def ten_times(number: int) -> int:
        raise AssertionError("the loader computes")

    return ten_times


PLACES = pytest.mark.parametrize("place", ["store", "memory"])


@PLACES
def test_the_loader_is_called_once_with_what_is_missing(tmp_path: Path, place: str) -> None:
    ten_times, load = decorated(tmp_path, place), Loader()
    assert ten_times.get_many([1, 2], load) == [10, 20]
    assert ten_times.get_many([3, 1, 3, 2, 4], load) == [30, 10, 30, 20, 40]
    assert load.asked == [[1, 2], [3, 4]]
    assert ten_times(4) == 40
    assert ten_times.get_many([], load) == []


def test_what_memory_does_not_have_comes_from_the_store(tmp_path: Path) -> None:
    load = Loader()
    assert decorated(tmp_path, "store").get_many([1, 2], load) == [10, 20]
    other = decorated(tmp_path, "store", l1_enabled=False)
    assert other.get_many([1, 2, 3], load) == [10, 20, 30]
    assert load.asked == [[1, 2], [3]]
    assert other.cache_info().l2_hits == 2


@PLACES
def test_failures_stay_with_their_calls(tmp_path: Path, place: str) -> None:
    ten_times, load = decorated(tmp_path, place), Loader()
    load.refuses = {2}
    with pytest.raises(ValueError, match="2"):
        ten_times.get_many([1, 2, 3], load)
    results = ten_times.get_many([1, 2, 3, 2], load, return_exceptions=True)
    assert [results[0], results[2]] == [10, 30]
    assert isinstance(results[1], ValueError) and results[1] is results[3]
    assert load.asked == [[1, 2, 3], [2]]
    load.refuses = set()
    assert ten_times.get_many([2], load) == [20]


@PLACES
def test_a_loader_that_raises_fails_what_it_was_to_load(tmp_path: Path, place: str) -> None:
    ten_times = decorated(tmp_path, place)
    assert ten_times.get_many([1], Loader()) == [10]

    def broken(missing: list[int]) -> list[int]:
        raise OSError("the database is away")

    results = ten_times.get_many([1, 2], broken, return_exceptions=True)
    assert results[0] == 10
    assert isinstance(results[1], OSError)
    with pytest.raises(OSError, match="away"):
        ten_times.get_many([2, 1], broken)
    with pytest.raises(ValueError, match="1 results for 2 calls"):
        ten_times.get_many([2, 3], lambda missing: [1])


async def _coroutine(missing: list[int]) -> list[int]:
    return missing


@pytest.mark.parametrize(
    ("loader", "complaint"),
    [
        (lambda missing: None, "gave NoneType: expected a list"),
        (lambda missing: "ab", "gave str"),
        (_coroutine, "async def"),
    ],
)
def test_a_loader_that_gives_no_list_is_told_so(tmp_path: Path, loader: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        decorated(tmp_path, "memory").get_many([1, 2], loader)


@PLACES
def test_a_mapping_is_a_result_for_each(tmp_path: Path, place: str) -> None:
    ten_times = decorated(tmp_path, place)
    assert ten_times.get_many([1, 2], lambda missing: {number: -number for number in missing}) == [-1, -2]
    results = ten_times.get_many([1, 3], lambda missing: {}, return_exceptions=True)
    assert results[0] == -1
    assert isinstance(results[1], LookupError)


@PLACES
def test_without_a_loader_the_function_runs_for_each(tmp_path: Path, place: str) -> None:
    backend = {"store": stored(tmp_path), "memory": None}[place]
    calls: list[tuple[int, int]] = []

    @cache(backend=backend, ttl=60)
    def add(a: int, b: int) -> int:
        calls.append((a, b))
        return 10 // a + b

    assert add.get_many([(1, 2), (2, 3)]) == [12, 8]
    results = add.get_many([(1, 2), (0, 0)], return_exceptions=True)
    assert results[0] == 12
    assert isinstance(results[1], ZeroDivisionError)
    assert add(2, 3) == 8
    assert calls == [(1, 2), (2, 3), (0, 0)]


@pytest.mark.parametrize("serializer", ["auto", PickleSerializer(signing_key=b"k" * 32)])
def test_every_serializer_writes_and_reads(tmp_path: Path, serializer: object) -> None:
    load = Loader()
    for _ in range(2):
        made = decorated(tmp_path, "store", serializer=serializer, l1_enabled=False)
        assert made.get_many([1, 2, 3], load) == [10, 20, 30]
    assert load.asked == [[1, 2, 3]]


@PLACES
def test_what_cannot_be_a_key_or_be_stored_is_the_caller_s_all_the_same(tmp_path: Path, place: str) -> None:
    backend = {"store": stored(tmp_path), "memory": None}[place]
    strange = object()

    @cache(backend=backend, ttl=60)
    def named(thing: object) -> object:
        return thing

    results = named.get_many([strange, 1], lambda missing: [str(type(thing)) for thing in missing])
    assert results == ["<class 'object'>", "<class 'int'>"]
    assert named.get_many([2, 2], lambda missing: [strange for _ in missing]) == [strange, strange]


def test_methods_are_called_one_by_one(tmp_path: Path) -> None:
    class Shop:
        @cache(backend=None, ttl=60)
        def price(self, number: int) -> int:
            return number

    with pytest.raises(TypeError, match="one by one"):
        Shop().price.get_many([1, 2])


def test_batches_that_share_calls_compute_each_once(tmp_path: Path) -> None:
    ten_times = decorated(tmp_path, "store")
    asked: list[int] = []
    together = threading.Barrier(4)

    def load(missing: list[int]) -> list[int]:
        asked.extend(missing)
        return [number * 10 for number in missing]

    def run(turn: int, answers: list[list[int]]) -> None:
        together.wait(30)
        order = list(range(8)) if turn % 2 else list(range(7, -1, -1))
        answers.append([result // 10 - number for result, number in zip(ten_times.get_many(order, load), order)])

    answers: list[list[int]] = []
    threads = [threading.Thread(target=run, args=(turn, answers)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [[0] * 8] * 4
    assert sorted(asked) == list(range(8))


@PLACES
def test_coroutine_functions_are_awaited(tmp_path: Path, place: str) -> None:
    backend = {"store": stored(tmp_path), "memory": None}[place]

    @cache(backend=backend, ttl=60)
    async def ten_times(number: int) -> int:
        await asyncio.sleep(0)
        return number * 10

    asked: list[list[int]] = []

    async def load(missing: list[int]) -> list[int]:
        asked.append(missing)
        await asyncio.sleep(0)
        return [number * 10 for number in missing]

    async def main() -> None:
        assert await ten_times.get_many([1, 2], load) == [10, 20]
        assert await ten_times.aget_many([2, 3], load) == [20, 30]
        assert await ten_times.get_many([3, 4]) == [30, 40]
        assert await ten_times(4) == 40
        assert await ten_times.get_many([5], lambda missing: [50]) == [50]

    asyncio.run(main())
    assert asked == [[1, 2], [3]]


def test_a_plain_function_can_be_awaited_too(tmp_path: Path) -> None:
    ten_times, load = decorated(tmp_path, "store"), Loader()

    async def main() -> None:
        assert await ten_times.aget_many([1, 2], load) == [10, 20]

    asyncio.run(main())
    assert ten_times.get_many([1, 2], load) == [10, 20]
    assert load.asked == [[1, 2]]


def test_waiting_for_the_store_holds_no_thread(tmp_path: Path) -> None:
    ten_times, load = decorated(tmp_path, "store"), Loader()

    async def main() -> int:
        async def awaited(missing: list[int]) -> list[int]:
            return load(missing)

        batches = [ten_times.aget_many([number, number + 1], awaited) for number in range(0, 100, 2)]
        assert await asyncio.gather(*batches) == [[number * 10, number * 10 + 10] for number in range(0, 100, 2)]
        return threading.active_count()

    before = threading.active_count()
    assert asyncio.run(main()) == before  # none of Python's
    assert sorted(number for asked in load.asked for number in asked) == list(range(100))


@PLACES
def test_awaited_batches_that_share_calls_load_each_once(tmp_path: Path, place: str) -> None:
    ten_times, asked = decorated(tmp_path, place), []

    async def load(missing: list[int]) -> list[int]:
        asked.append(missing)
        await asyncio.sleep(0.01)
        return [number * 10 for number in missing]

    async def main() -> None:
        one, other = ten_times.aget_many([1, 2, 3], load), ten_times.aget_many([4, 3, 2, 1, 3], load)
        assert await asyncio.gather(one, other) == [[10, 20, 30], [40, 30, 20, 10, 30]]

    asyncio.run(main())
    assert sorted(number for missing in asked for number in missing) == [1, 2, 3, 4]


def test_an_awaited_batch_keeps_failures_to_the_calls_that_failed(tmp_path: Path) -> None:
    ten_times = decorated(tmp_path, "store")

    async def load(missing: list[int]) -> list[Any]:
        return [KeyError(number) if number == 2 else number * 10 for number in missing]

    async def broken(missing: list[int]) -> list[Any]:
        raise OSError("no connection")

    async def few(missing: list[int]) -> list[Any]:
        return [1]

    async def main() -> None:
        results = await ten_times.aget_many([1, 2, 3, 2], load, return_exceptions=True)
        assert [type(result) for result in results] == [int, KeyError, int, KeyError]
        with pytest.raises(KeyError):
            await ten_times.aget_many([2], load)
        results = await ten_times.aget_many([1, 4], broken, return_exceptions=True)
        assert results[0] == 10
        assert isinstance(results[1], OSError)
        with pytest.raises(ValueError, match="gave 1 results for 2 calls"):
            await ten_times.aget_many([5, 6], few)
        assert await ten_times.aget_many([], load) == []

    asyncio.run(main())


def test_who_waits_for_a_batch_that_is_cancelled_takes_over(tmp_path: Path) -> None:
    ten_times, begun = decorated(tmp_path, "store"), []

    async def stuck(missing: list[int]) -> list[int]:
        begun.append(missing)
        await asyncio.sleep(3600)
        return []

    async def load(missing: list[int]) -> list[int]:
        return [number * 10 for number in missing]

    async def main() -> None:
        first = asyncio.ensure_future(ten_times.aget_many([1, 2], stuck))
        while not begun:
            await asyncio.sleep(0.001)
        second = asyncio.ensure_future(ten_times.aget_many([2, 1], load))
        await asyncio.sleep(0.01)
        first.cancel()
        assert await second == [20, 10]

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_batch_of_a_loop_that_ended_holds_nobody_up(tmp_path: Path) -> None:
    ten_times = decorated(tmp_path, "store")
    left = []

    async def stuck(missing: list[int]) -> list[int]:
        await asyncio.sleep(3600)
        return []

    async def main() -> None:
        left.append(ten_times.aget_many([1, 2], stuck))
        left.append(left[0].send(None))  # begun, and nobody goes on with it

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    assert asyncio.run(asyncio.wait_for(ten_times.aget_many([1, 2], Loader()), 30)) == [10, 20]


def test_a_set_of_results_is_refused_because_it_has_no_order(tmp_path: Path) -> None:
    function = decorated(tmp_path, "memory")
    for kind in (set, frozenset):
        with pytest.raises(TypeError, match=f"the loader gave {kind.__name__}: expected a list"):
            function.get_many([1, 2], kind)
    assert function.get_many([1, 2], dict.fromkeys) == [None, None]


@pytest.mark.parametrize("place", ["memory", "store"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("limit", [None, 60])
def test_what_ends_a_program_is_raised_also_where_exceptions_are_returned(
    tmp_path: Path, place: str, error: type[BaseException], limit: float | None
) -> None:
    function = decorated(tmp_path, place, hard_limit=limit)

    def end(missing: list[int]) -> list[int]:
        raise error

    with pytest.raises(error):
        function.get_many([1, 2], end, return_exceptions=True)
    with pytest.raises(error):
        function.get_many([1, 2], lambda missing: [error(), 20], return_exceptions=True)
    assert function.get_many([1, 2], Loader()) == [10, 20]


def test_a_batch_that_waits_for_another_thread_ends_with_ctrl_c() -> None:
    started, go_on = threading.Event(), threading.Event()

    @cache(backend=None, namespace="many")
    def function(number: int) -> int:
        started.set()
        assert go_on.wait(60)
        return number

    other = threading.Thread(target=function, args=(1,))
    other.start()
    assert started.wait(60)
    waits = function.cache.stats()["flight_waits"]

    def interrupt() -> None:
        until = time.monotonic() + 60
        while function.cache.stats()["flight_waits"] == waits and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            function.get_many([1])
        assert function.cache.stats()["flight_waits"] == waits + 1
        assert not go_on.is_set()
    finally:
        go_on.set()
        other.join()
        interrupter.join()
    assert function.get_many([1]) == [1]
    assert function.cache_info().misses == 1


# ---- tenants -----------------------------------------------------------------------------------------------------------

KEY = "0123456789abcdef" * 4
whose: ContextVar[str] = ContextVar("whose")


def of_tenants(tmp_path: Path, place: str) -> Any:
    @cache.secure(
        master_key=KEY,
        backend={"store": stored(tmp_path), "memory": None}[place],
        namespace="many",
        tenant_extractor=lambda number: whose.get(),
    )
    def secret(number: int) -> str:
        return f"{whose.get()} {number}"

    return secret


@pytest.mark.parametrize("place", ["memory", "store"])
def test_a_batch_of_one_tenant_is_not_anothers(tmp_path: Path, place: str) -> None:
    secret = of_tenants(tmp_path, place)
    for tenant in ("acme", "zeta", "acme"):
        whose.set(tenant)
        assert secret.get_many([1, 2]) == [f"{tenant} 1", f"{tenant} 2"]
        assert asyncio.run(secret.aget_many([1, 3])) == [f"{tenant} 1", f"{tenant} 3"]
        assert secret(1) == f"{tenant} 1"
    assert secret.cache_info().misses == 6
    if place == "store":
        again = of_tenants(tmp_path, place)
        whose.set("zeta")
        assert again.get_many([1, 2, 3]) == ["zeta 1", "zeta 2", "zeta 3"]
        assert again.cache_info().misses == 0


def two_tenants(loads: list[list[Any]]) -> Any:
    @cache.secure(master_key=KEY, backend=None, namespace="many", tenant_extractor=lambda number, tenant="": tenant)
    def owned(number: int, tenant: str = "") -> list[Any]:
        loads.append([(number, tenant)])
        return [number, tenant]

    return owned


def test_a_batch_with_calls_of_many_tenants_keeps_them_apart_and_their_order() -> None:
    loads: list[list[Any]] = []
    owned = two_tenants(loads)
    calls = [(1, "a"), (1, "b"), (2, "a"), (1, "a")]

    def load(missing: list[Any]) -> list[Any]:
        loads.append(missing)
        return [list(call) for call in missing]

    assert owned.get_many(calls, load) == [[1, "a"], [1, "b"], [2, "a"], [1, "a"]]
    assert loads == [[(1, "a"), (2, "a")], [(1, "b")]]
    assert owned(1, "b") == [1, "b"]
    owned.invalidate_cache(1, "a")
    assert owned.get_many(calls, load) == [[1, "a"], [1, "b"], [2, "a"], [1, "a"]]
    assert loads[2:] == [[(1, "a")]]


@pytest.mark.parametrize("has_loader", [True, False])
@pytest.mark.parametrize("is_awaited", [True, False])
def test_calls_of_a_batch_whose_tenant_cannot_be_told_run_uncached(has_loader: bool, is_awaited: bool) -> None:
    owned = two_tenants([])

    def load(missing: list[Any]) -> list[Any]:
        return [KeyError() if isinstance(call, int) else list(call) for call in missing]

    loader = load if has_loader else None
    failed = KeyError if has_loader else list
    for uncached in (1, 2):
        many = owned.aget_many if is_awaited else owned.get_many
        given = many([1, (1, "a")], loader, return_exceptions=True)
        first, second = asyncio.run(given) if is_awaited else given
        assert isinstance(first, failed) and second == [1, "a"]
        assert owned.counters()["uncached"] == uncached
