/* The store's lock: one computation per key in a fleet, as far as the store and the clock allow. */
#include "cache/cache_fixture.h"

CKIT_TEST(lock, is_taken_before_computing_and_released_after_storing) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_STR("get MISS, lock_try OK, get MISS, set OK, lock_release OK", fake_log(s.f.store));
    stage_close(&s);
}

CKIT_TEST(lock, can_be_switched_off) {
    stage s;
    stage_prepare(&s);
    s.f.options.lock = CKIT_OFF;
    stage_start(&s, FAKE_LOCKING, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_STR("get MISS, set OK", fake_log(s.f.store));
    stage_close(&s);
}

CKIT_TEST(lock, is_not_taken_for_a_hit) {
    stage s;
    stage_open_two(&s, FAKE_LOCKING);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_forget_calls(s.f.store);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s.there, 7);
    CHECK_STR("get OK", fake_log(s.f.store));
    stage_close(&s);
}

CKIT_TEST(lock, the_second_look_finds_what_was_stored_meanwhile_and_lets_it_go) {
    stage         s;
    threaded_call late = {0};
    stage_open(&s, FAKE_FULL, NULL);
    stage_join(&s, FAKE_LOCKING, NULL);
    call_stop_in_store(&late, s.there, 7, s.f.store, FAKE_LOCK_TRY, FAKE_BEFORE);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7); /* a process that takes no locks */
    fake_forget_calls(s.f.store);
    fake_open_gate(s.f.store, FAKE_LOCK_TRY);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_join(&late).source);
    CHECK_STR("lock_try OK, get OK, lock_release OK", fake_log(s.f.store));
    CHECK_EQ_U(1, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(lock, who_finds_it_held_takes_the_value_of_the_holder) {
    stage         s;
    threaded_call holder = {0}, waiter = {0};
    stage_open_two(&s, FAKE_LOCKING);
    call_stop_in_loader(&holder, s.fn, 7, &s.l);
    call_start(&waiter, s.there, 7);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, 3); /* it has tried, paused, looked and tried again */
    loader_open(&s.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_join(&waiter).source);
    CHECK_EQ_U(1, s.l.runs);
    CHECK(!fake_is_locked(s.f.store));
    stage_close(&s);
}

CKIT_TEST(lock, who_finds_it_held_computes_when_the_holder_fails) {
    stage         s;
    threaded_call holder = {0}, waiter = {0};
    stage_open_two(&s, FAKE_LOCKING);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    call_stop_in_loader(&holder, s.fn, 7, &s.l);
    call_start(&waiter, s.there, 7);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, 2);
    loader_open(&s.l);
    CHECK_STATUS(CKIT_E_FUNCTION, call_join(&holder).status);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&waiter).source);
    CHECK_EQ_U(2, s.l.runs);
    CHECK(!fake_is_locked(s.f.store));
    stage_close(&s);
}

CKIT_TEST(lock, the_wait_for_it_is_bounded) {
    stage         s;
    threaded_call waiter = {0};
    stage_open(&s, FAKE_LOCKING, NULL);
    ckit_buf key = key_of(s.fn, 7);
    fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
    call_start(&waiter, s.fn, 7);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, 2);
    CHECK_EQ_U(0, s.l.runs);
    fake_clock_advance(&s.f.time, 4000);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, fake_calls(s.f.store, FAKE_LOCK_TRY) + 2);
    CHECK_EQ_U(0, s.l.runs);
    fake_clock_advance(&s.f.time, 1000);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&waiter).source);
    CHECK_CONTAINS("E050", s.f.log.text);
    CHECK(fake_is_locked(s.f.store)); /* it is somebody else's */
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_LOCK_RELEASE));
    ckit_buf_fini(&key);
    stage_close(&s);
}

CKIT_TEST(lock, a_holder_that_vanished_loses_it_with_its_lease) {
    stage         s;
    threaded_call waiter = {0};
    ckit_op      *op;
    ckit_value    value = CKIT_VALUE_INIT;
    stage_prepare(&s);
    s.f.options.lock_wait_ms = 60000;
    stage_start(&s, FAKE_LOCKING, NULL);
    stage_join(&s, FAKE_LOCKING, NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    call_start(&waiter, s.there, 7);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, 3);
    fake_clock_advance(&s.f.time, 30000);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&waiter).source);
    ckit_op_free(op);
    stage_close(&s);
}

CKIT_TEST(lock, defect_11_a_failing_lock_keeps_nobody_from_computing) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    fake_fail(s.f.store, FAKE_LOCK_TRY, CKIT_E_IO, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_STR("get MISS, lock_try E_IO, set OK", fake_log(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_errors);
    CHECK_EQ_U(1, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(lock, one_that_cannot_be_released_is_nobody_s_trouble) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_IO, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    stage_close(&s);
}

CKIT_TEST(lock, a_second_look_that_fails_does_not_end_the_call) {
    stage         s;
    threaded_call c = {0};
    stage_open(&s, FAKE_LOCKING, NULL);
    call_stop_in_store(&c, s.fn, 7, s.f.store, FAKE_LOCK_TRY, FAKE_BEFORE);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    fake_open_gate(s.f.store, FAKE_LOCK_TRY);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&c).source);
    CHECK_STR("get MISS, lock_try OK, get E_TIMEOUT, lock_release OK", fake_log(s.f.store)); /* it is asked no more */
    stage_close(&s);
}
