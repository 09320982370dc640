/* The store's lock: one computation per key in a fleet, as far as the store and the clock allow. */
#include "cache/cache_fixture.h"

typedef struct two_processes {
    fixture        f;
    loader         l;
    ckit_cache    *other;
    ckit_function *fn;
    ckit_function *same;
} two_processes;

static void open_two(two_processes *t) {
    fixture_open(&t->f, FAKE_LOCKING);
    loader_init(&t->l);
    t->other = fixture_cache(&t->f, FAKE_LOCKING);
    t->fn = function_of(t->f.cache, "test.load", &t->l, NULL);
    t->same = function_of(t->other, "test.load", &t->l, NULL);
}

static void close_two(two_processes *t) {
    ckit_function_close(t->fn);
    ckit_function_close(t->same);
    ckit_cache_close(t->other);
    fixture_close(&t->f);
}

CKIT_TEST(lock, is_taken_before_computing_and_released_after_storing) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_STR("get MISS, lock_try OK, get MISS, set OK, lock_release OK", fake_log(f.store));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(lock, can_be_switched_off) {
    fixture f;
    loader  l;
    fixture_prepare(&f);
    f.options.lock = CKIT_OFF;
    fixture_start(&f, FAKE_LOCKING);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_STR("get MISS, set OK", fake_log(f.store));
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(lock, is_not_taken_for_a_hit) {
    two_processes t;
    open_two(&t);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, t.fn, 7);
    fake_forget_calls(t.f.store);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, t.same, 7);
    CHECK_STR("get OK", fake_log(t.f.store));
    close_two(&t);
}

CKIT_TEST(lock, the_second_look_finds_what_was_stored_meanwhile_and_lets_it_go) {
    fixture       f;
    loader        l;
    threaded_call late = {0};
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    ckit_cache    *locking = fixture_cache(&f, FAKE_LOCKING);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    ckit_function *same = function_of(locking, "test.load", &l, NULL);
    fake_shut(f.store, FAKE_LOCK_TRY, FAKE_BEFORE);
    call_start(&late, same, 7);
    fake_wait_stopped(f.store, FAKE_LOCK_TRY, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7); /* a process that takes no locks */
    fake_forget_calls(f.store);
    fake_open_gate(f.store, FAKE_LOCK_TRY);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_join(&late).source);
    CHECK_STR("lock_try OK, get OK, lock_release OK", fake_log(f.store));
    CHECK_EQ_U(1, l.runs);
    ckit_function_close(fn);
    ckit_function_close(same);
    ckit_cache_close(locking);
    fixture_close(&f);
}

CKIT_TEST(lock, who_finds_it_held_takes_the_value_of_the_holder) {
    two_processes t;
    threaded_call holder = {0}, waiter = {0};
    open_two(&t);
    loader_shut(&t.l);
    call_start(&holder, t.fn, 7);
    loader_wait_stopped(&t.l, 1);
    call_start(&waiter, t.same, 7);
    fake_wait_calls(t.f.store, FAKE_LOCK_TRY, 3); /* it has tried, paused, looked and tried again */
    loader_open(&t.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_join(&waiter).source);
    CHECK_EQ_U(1, t.l.runs);
    CHECK(!fake_is_locked(t.f.store));
    close_two(&t);
}

CKIT_TEST(lock, who_finds_it_held_computes_when_the_holder_fails) {
    two_processes t;
    threaded_call holder = {0}, waiter = {0};
    open_two(&t);
    loader_fail(&t.l, CKIT_E_FUNCTION, 1);
    loader_shut(&t.l);
    call_start(&holder, t.fn, 7);
    loader_wait_stopped(&t.l, 1);
    call_start(&waiter, t.same, 7);
    fake_wait_calls(t.f.store, FAKE_LOCK_TRY, 2);
    loader_open(&t.l);
    CHECK_STATUS(CKIT_E_FUNCTION, call_join(&holder).status);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&waiter).source);
    CHECK_EQ_U(2, t.l.runs);
    CHECK(!fake_is_locked(t.f.store));
    close_two(&t);
}

CKIT_TEST(lock, the_wait_for_it_is_bounded) {
    fixture       f;
    loader        l;
    threaded_call waiter = {0};
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    ckit_buf       key = key_of(fn, 7);
    fake_lock_elsewhere(f.store, ckit_buf_slice(&key));
    call_start(&waiter, fn, 7);
    fake_wait_calls(f.store, FAKE_LOCK_TRY, 2);
    CHECK_EQ_U(0, l.runs);
    fake_clock_advance(&f.time, 4000);
    fake_wait_calls(f.store, FAKE_LOCK_TRY, fake_calls(f.store, FAKE_LOCK_TRY) + 2);
    CHECK_EQ_U(0, l.runs);
    fake_clock_advance(&f.time, 1000);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&waiter).source);
    CHECK_CONTAINS("E050", f.log.text);
    CHECK(fake_is_locked(f.store)); /* it is somebody else's */
    CHECK_EQ_U(0, fake_calls(f.store, FAKE_LOCK_RELEASE));
    ckit_buf_fini(&key);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(lock, a_holder_that_vanished_loses_it_with_its_lease) {
    two_processes t;
    threaded_call waiter = {0};
    ckit_op      *op;
    ckit_args     args;
    ckit_value    value = CKIT_VALUE_INIT;
    fixture_prepare(&t.f);
    t.f.options.lock_wait_ms = 60000;
    fixture_start(&t.f, FAKE_LOCKING);
    loader_init(&t.l);
    t.other = fixture_cache(&t.f, FAKE_LOCKING);
    t.fn = function_of(t.f.cache, "test.load", &t.l, NULL);
    t.same = function_of(t.other, "test.load", &t.l, NULL);
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    ckit_start start = {.function = t.fn, .args = &args};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
    call_start(&waiter, t.same, 7);
    fake_wait_calls(t.f.store, FAKE_LOCK_TRY, 3);
    fake_clock_advance(&t.f.time, 30000);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&waiter).source);
    ckit_op_free(op);
    ckit_args_fini(&args);
    close_two(&t);
}

CKIT_TEST(lock, defect_11_a_failing_lock_keeps_nobody_from_computing) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    fake_fail(f.store, FAKE_LOCK_TRY, CKIT_E_IO, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    CHECK_STR("get MISS, lock_try E_IO, set OK", fake_log(f.store));
    CHECK_EQ_U(1, stats_of(f.cache).l2_errors);
    CHECK_EQ_U(1, l.runs);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(lock, one_that_cannot_be_released_is_nobody_s_trouble) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    fake_fail(f.store, FAKE_LOCK_RELEASE, CKIT_E_IO, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    ckit_function_close(fn);
    fixture_close(&f);
}

CKIT_TEST(lock, a_second_look_that_fails_does_not_end_the_call) {
    fixture       f;
    loader        l;
    threaded_call c = {0};
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    fake_shut(f.store, FAKE_LOCK_TRY, FAKE_BEFORE);
    call_start(&c, fn, 7);
    fake_wait_stopped(f.store, FAKE_LOCK_TRY, 1);
    fake_fail(f.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    fake_open_gate(f.store, FAKE_LOCK_TRY);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&c).source);
    CHECK_STR("get MISS, lock_try OK, get E_TIMEOUT, lock_release OK", fake_log(f.store)); /* it is asked no more */
    ckit_function_close(fn);
    fixture_close(&f);
}
