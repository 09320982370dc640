/* Many calls at once, and what may be served when the keys' lives are over. Of batch_late.c. */
#include "cache/many_fixture.h"
#include "cache/sealing_fixture.h"

/* Lives of 10 s, of use for another 5 s if the function fails. */
static ckit_function *safe(scene *s, ckit_cache *cache) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 10000;
    options.fail_safe_ms = 5000;
    return function_of(cache, "test.load", &s->l, &options);
}

static void safe_open(scene *s, fake_kind kind) {
    scene_open(s, kind);
    ckit_function_close(s->fn);
    s->fn = safe(s, s->f.cache);
}

static bool has_late(const scene *s, int64_t argument) { return fixture_has(&s->f, s->fn, argument, ":stale"); }

static bool has_key(const scene *s, int64_t argument) { return fixture_has(&s->f, s->fn, argument, ""); }

static many two_of(scene *s) { return (many){.fn = s->fn, .loader = &s->m, .count = 2, .arguments = {1, 2}}; }

CKIT_TEST(call_many_stale, is_not_written_by_a_holder_that_lost_its_lock_before) {
    scene s;
    safe_open(&s, FAKE_LOCKING_MANY);
    fake_fail(s.f.store, FAKE_SET_IF_OWNER, CKIT_MISS, 1);
    many m = two_of(&s);
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK(!has_key(&s, 1) && !has_late(&s, 1));
    CHECK(has_key(&s, 2) && has_late(&s, 2));
    scene_close(&s);
}

/* The process stands between the two writes of its first call, or between the writes of all calls, and loses that
 * lock. */
CKIT_TEST(call_many_stale, is_taken_back_by_a_holder_that_lost_its_lock_between_the_writes) {
    static const fake_kind kinds[] = {FAKE_LOCKING_MANY, FAKE_LOCKING};
    static const fake_op   writes[] = {FAKE_SET_MANY, FAKE_SET};
    for (size_t k = 0; k < 2; k++) {
        scene s;
        safe_open(&s, kinds[k]);
        ckit_buf key = key_of(s.fn, 1);
        fake_shut(s.f.store, writes[k], FAKE_BEFORE);
        many m = two_of(&s);
        start_many(&m);
        fake_wait_stopped(s.f.store, writes[k], 1);
        if (kinds[k] == FAKE_LOCKING) { /* the key's own came by the same gate */
            fake_let_one(s.f.store, FAKE_SET);
            fake_wait_calls(s.f.store, FAKE_SET, 2);
            fake_wait_stopped(s.f.store, FAKE_SET, 1);
        }
        fake_unlock_elsewhere(s.f.store, ckit_buf_slice(&key));
        fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
        fake_open_gate(s.f.store, writes[k]);
        join_many(&m);
        CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
        CHECK(!has_late(&s, 1)); /* what it wrote there may have replaced a newer one */
        CHECK(has_late(&s, 2));
        fake_unlock_elsewhere(s.f.store, ckit_buf_slice(&key));
        ckit_buf_fini(&key);
        scene_close(&s);
    }
}

CKIT_TEST(call_many_stale, is_taken_back_when_a_call_is_invalidated_between_the_writes) {
    scene s;
    safe_open(&s, FAKE_LOCKING_MANY);
    fake_shut(s.f.store, FAKE_SET_MANY, FAKE_AFTER);
    many m = two_of(&s);
    start_many(&m);
    fake_wait_stopped(s.f.store, FAKE_SET_MANY, 1);
    CHECK_OK(invalidate(s.fn, 2));
    fake_open_gate(s.f.store, FAKE_SET_MANY);
    join_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK(has_key(&s, 1) && has_late(&s, 1));
    CHECK(!has_key(&s, 2) && !has_late(&s, 2));
    scene_close(&s);
}

static ckit_status load_for_ever(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    ckit_status st = load_many(context, calls, count, err);
    calls[0].ttl_ms = CKIT_TTL_NO_EXPIRY;
    return st;
}

CKIT_TEST(call_many_stale, of_an_earlier_result_is_removed_when_the_new_one_has_no_end) {
    scene s;
    safe_open(&s, FAKE_LOCKING_MANY);
    many m = two_of(&s);
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK(has_late(&s, 1) && has_late(&s, 2));
    fake_clock_advance(&s.f.time, 12000);
    ckit_args        args[2];
    ckit_args *const calls[2] = {&args[0], &args[1]};
    for (int i = 0; i < 2; i++) {
        ckit_args_init(&args[i]);
        ckit_args_int(&args[i], i + 1);
    }
    CHECK_OK(ckit_call_many(s.fn, calls, 2, load_for_ever, &s.m, m.out, m.answers, NULL));
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK(has_key(&s, 1) && !has_late(&s, 1));
    CHECK(has_key(&s, 2) && has_late(&s, 2));
    ckit_args_fini(&args[0]);
    ckit_args_fini(&args[1]);
    scene_close(&s);
}

CKIT_TEST(call_many_stale, that_cannot_be_written_leaves_the_results_stored) {
    scene s;
    safe_open(&s, FAKE_LOCKING_MANY);
    fake_fail(s.f.store, FAKE_SET_MANY, CKIT_E_IO, 1);
    many m = two_of(&s);
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK(has_key(&s, 1) && has_key(&s, 2));
    CHECK_EQ_U(2, fake_count(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_errors);
    CHECK(!fake_is_locked(s.f.store));
    scene_close(&s);
}

/* The store is asked for the keys, and then fails. */
static void run_with_failing_second_read(scene *s, many *m, ckit_status failure) {
    fake_shut(s->f.store, FAKE_GET_MANY, FAKE_AFTER);
    start_many(m);
    fake_wait_stopped(s->f.store, FAKE_GET_MANY, 1);
    fake_fail(s->f.store, FAKE_GET_MANY, failure, 1);
    fake_open_gate(s->f.store, FAKE_GET_MANY);
    CHECK_EQ_I(0, pthread_join(m->thread, NULL));
}

CKIT_TEST(call_many_stale, that_cannot_be_read_is_not_there) {
    scene s;
    safe_open(&s, FAKE_LOCKING_MANY);
    many m = two_of(&s);
    run_with_failing_second_read(&s, &m, CKIT_E_IO);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_errors);
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_LOCK_TRY_MANY));
    CHECK_EQ_U(4, fake_count(s.f.store));
    scene_close(&s);
}

CKIT_TEST(call_many_stale, that_the_store_does_not_tell_in_time_is_the_last_that_it_is_asked_for) {
    scene s;
    safe_open(&s, FAKE_LOCKING_MANY);
    many m = two_of(&s);
    run_with_failing_second_read(&s, &m, CKIT_E_TIMEOUT);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_LOCK_TRY_MANY));
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_SET_MANY_IF_OWNER));
    scene_close(&s);
}

CKIT_TEST(call_many_stale, is_sealed_under_its_own_name) {
    scene s;
    fixture_prepare(&s.f);
    ckit_keyring *ring = ring_of(KEY_A, NULL);
    s.f.options.keyring = ring;
    s.f.options.encryption = CKIT_ON;
    scene_start(&s, true, FAKE_LOCKING_MANY);
    ckit_function_close(s.fn);
    s.fn = safe(&s, s.f.cache);
    many m = two_of(&s);
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_EQ_U(4, fake_count(s.f.store));
    fake_clock_advance(&s.f.time, 12000);
    ckit_cache    *second = fixture_cache(&s.f, FAKE_LOCKING_MANY);
    ckit_function *there = safe(&s, second);
    s.m.fails = CKIT_E_NETWORK;
    m = two_of(&s);
    m.fn = there;
    run_many(&m);
    CHECK(m.out[0].stale && m.out[1].stale);
    CHECK_ANSWERS(CKIT_SOURCE_STORE, &m);
    CHECK_EQ_U(0, stats_of(second).l2_corrupt);
    ckit_function_close(there);
    ckit_cache_close(second);
    scene_close(&s);
    ckit_keyring_close(ring);
}
