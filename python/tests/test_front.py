"""Calls that are recognised by their argument objects are answered as memory would answer them, at any moment."""

from __future__ import annotations

import gc
import math
import os
import random
import sys
import threading
import weakref
from typing import Any

from cachekit import cache
from cachekit.config import L1CacheConfig

MANY = 200  # far beyond the first answers, which are always memory's own


def counting(**options: Any) -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    @cache(backend=None, l1=L1CacheConfig(swr_enabled=False), **options)
    def function(*args: Any, **kwargs: Any) -> list[Any]:
        calls.append((args, kwargs))
        return [len(calls)]

    return function, calls


def test_every_hit_is_counted_once() -> None:
    function, calls = counting()
    for _ in range(MANY):
        function(1, "a", flag=True)
    assert len(calls) == 1
    info = function.cache_info()
    assert (info.hits, info.misses, info.l1_hits) == (MANY - 1, 1, MANY - 1)
    before = function.cache.stats()["l1_hits"]
    for _ in range(MANY):
        function(1, "a", flag=True)
    assert function.cache.stats()["l1_hits"] - before == MANY


def test_values_of_different_types_stay_apart() -> None:
    function, calls = counting()
    arguments = [1, 1.0, True, "1", b"1", None, 0, 0.0, False, "", math.nan, math.inf, 2**62, 2**63]
    for _ in range(MANY):
        for argument in arguments:
            function(argument)
    assert len(calls) == len(arguments)
    assert len({id(function(argument)) for argument in arguments}) == len(arguments)


def test_both_zeros_are_one_call_as_they_are_in_memory() -> None:
    function, calls = counting()
    for _ in range(MANY):
        function(0.0)
        function(-0.0)
    assert len(calls) == 1


def test_equal_text_is_recognised_whatever_object_it_is() -> None:
    function, calls = counting()
    for text in ("plain", "höflich", "日本", "🙂", "a" * 64, "a" * 65, "b" * 1000):
        for _ in range(MANY):
            function("".join(list(text)))
    assert len(calls) == 7


def test_positional_and_keyword_arguments_are_different_calls() -> None:
    function, calls = counting()
    for _ in range(MANY):
        function(1, 2)
        function(1, b=2)
        function(1, c=2)
        function(a=1, b=2)
        function(b=2, a=1)  # the order of keywords does not count
        function(**{"a": 1, "b": 2})
    assert len(calls) == 4


def test_a_bypassing_call_from_the_same_place_runs_the_function() -> None:
    function, calls = counting()
    for _ in range(MANY):
        function(1)
    for number in range(MANY):
        function(1, _bypass_cache=True)
        assert len(calls) == 2 + number


def test_what_is_forgotten_is_computed_anew() -> None:
    function, calls = counting()
    for round in range(20):
        for _ in range(40):
            function(1)
        assert len(calls) == round + 1
        if round % 3 == 0:
            function.invalidate_cache(1)
        elif round % 3 == 1:
            function.invalidate_cache()
        else:
            function.cache_clear()


def test_forgetting_one_call_leaves_the_others() -> None:
    function, calls = counting()
    for _ in range(MANY):
        function(1)
        function(2)
    function.invalidate_cache(2)
    for _ in range(MANY):
        function(1)
        function(2)
    assert [args for args, _ in calls] == [(1,), (2,), (2,)]


def test_random_calls_are_answered_as_a_dictionary_would() -> None:
    function, _ = counting(namespace="random calls")
    random_numbers = random.Random(7)
    known: dict[Any, Any] = {}
    pool: list[Any] = [*range(-300, 300), *(f"text {n}" for n in range(300)), None, True, False, 2.5, -1e300]
    for _ in range(30000):
        arguments = tuple(random_numbers.choices(pool, k=random_numbers.choice((0, 1, 1, 2))))
        name = tuple((type(argument), argument) for argument in arguments)
        if random_numbers.random() < 0.01:
            function.invalidate_cache(*arguments) if arguments else None
            known.pop(name, None) if arguments else None
        result = function(*arguments)
        assert known.setdefault(name, result) is result


def test_evicted_results_are_not_served_and_not_kept_alive() -> None:
    class Result:
        pass

    alive: list[weakref.ref[Result]] = []

    @cache(backend=None, l1=L1CacheConfig(max_size_mb=1), namespace="evicted results")
    def function(number: int) -> Any:
        result = Result()
        alive.append(weakref.ref(result))
        return [result, bytes(20000)]

    for number in range(1000):
        for _ in range(10):
            assert type(function(number)[0]) is Result
    function.cache.release_objects()
    gc.collect()
    assert sum(ref() is not None for ref in alive) < 400


def test_a_call_that_is_made_all_the_time_is_not_evicted_for_want_of_use() -> None:
    calls: list[int] = []

    @cache(backend=None, l1=L1CacheConfig(max_size_mb=1), namespace="used all the time")
    def function(number: int) -> Any:
        calls.append(number)
        return bytes(2000)

    for _ in range(100):
        function(-1)
    for number in range(20000):  # forty times what fits
        function(number)
        for _ in range(3):
            function(-1)
    assert calls.count(-1) < 5


def test_an_instance_at_the_address_of_a_dead_one_is_another() -> None:
    class Thing:
        def __init__(self, number: int) -> None:
            self.number = number

        @cache(backend=None)
        def get(self, extra: int) -> tuple[int, int]:
            return self.number, extra

    addresses = set()
    for number in range(500):
        thing = Thing(number)
        addresses.add(id(thing))
        for _ in range(10):
            assert thing.get(3) == (number, 3)
        del thing
    assert len(addresses) < 500 or "CKIT_SANITIZE" in os.environ  # where no address comes again soon


def test_threads_get_what_was_not_forgotten_before_they_asked() -> None:
    version = [0]

    @cache(backend=None)
    def function(number: int) -> int:
        return version[0]

    wrong: list[tuple[int, int]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            least = version[0]
            got = function(1)
            if got < least - 1:  # the newest may still be announced
                wrong.append((least, got))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2000):
        version[0] += 1
        function.invalidate_cache(1)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_dropped_function_lets_its_texts_go() -> None:
    function, calls = counting()
    word = "".join(["un", "usual ", "word"])
    before = sys.getrefcount(word)
    for _ in range(MANY):
        function(word)
    calls.clear()
    assert sys.getrefcount(word) == before + 1
    del function
    gc.collect()
    assert sys.getrefcount(word) == before
