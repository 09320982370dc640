/* One computation per key in a process, and what happens when it fails, is cancelled, or takes too long. Of
 * shared.c. */
#include "cache/cache_fixture.h"
#include "cache/core.h"

#define MANY 64

static void open_with_wait(fixture *f, bool store, uint32_t flight_wait_ms) {
    fixture_prepare(f);
    f->options.flight_wait_ms = flight_wait_ms;
    if (store) {
        fixture_start(f, FAKE_LOCKING);
    } else {
        fixture_start_memory(f);
    }
}

/* MANY threads call one key while the function is held up; returns how often it ran. */
static void run_together(fixture *f, loader *l, uint64_t expected_runs) {
    threaded_call  calls[MANY];
    ckit_function *fn = function_of(f->cache, "test.load", l, NULL);
    memset(calls, 0, sizeof calls);
    call_stop_in_loader(&calls[0], fn, 7, l);
    for (int i = 1; i < MANY; i++) {
        call_start(&calls[i], fn, 7);
    }
    wait_flight_waits(f->cache, MANY - 1);
    loader_open(l);
    for (int i = 0; i < MANY; i++) {
        answer a = call_join(&calls[i]);
        CHECK_OK_ERR(a.status, &a.error);
        CHECK_EQ_U(1, a.number);
        CHECK_EQ_U(i == 0 ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_FLIGHT, a.source);
    }
    CHECK_EQ_U(expected_runs, l->runs);
    ckit_function_close(fn);
}

CKIT_TEST(flight, defect_28_many_threads_that_call_one_key_run_the_function_once) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_LOCKING);
    loader_init(&l);
    run_together(&f, &l, 1);
    CHECK_EQ_U(1, stats_of(f.cache).computed);
    CHECK_EQ_U(1, fake_calls(f.store, FAKE_LOCK_TRY));
    fixture_close(&f);
}

CKIT_TEST(flight, row_29_a_cache_without_a_store_computes_once_too) {
    fixture f;
    loader  l;
    fixture_open_memory(&f);
    loader_init(&l);
    run_together(&f, &l, 1);
    fixture_close(&f);
}

CKIT_TEST(flight, followers_get_large_values) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    l.size = 100000;
    run_together(&f, &l, 1);
    fixture_close(&f);
}

CKIT_TEST(flight, followers_get_the_value_without_any_tier) {
    fixture f;
    loader  l;
    fixture_prepare(&f);
    f.options.l1 = CKIT_OFF;
    fixture_start_memory(&f);
    loader_init(&l);
    run_together(&f, &l, 1);
    fixture_close(&f);
}

CKIT_TEST(flight, followers_get_a_value_that_is_not_to_be_stored) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    l.ttl_ms = CKIT_TTL_DO_NOT_STORE;
    run_together(&f, &l, 1);
    CHECK_EQ_U(0, fake_count(f.store));
    fixture_close(&f);
}

CKIT_TEST(flight, followers_get_a_value_that_the_store_did_not_take) {
    fixture f;
    loader  l;
    fixture_open(&f, FAKE_FULL);
    loader_init(&l);
    fake_fail(f.store, FAKE_SET, CKIT_E_NO_SPACE, UINT64_MAX);
    run_together(&f, &l, 1);
    fixture_close(&f);
}

CKIT_TEST(flight, followers_get_a_value_from_the_store) {
    stage         s;
    threaded_call calls[8];
    memset(calls, 0, sizeof calls);
    stage_open_two(&s, FAKE_FULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_forget_calls(s.f.store);
    call_stop_in_store(&calls[0], s.there, 7, s.f.store, FAKE_GET, FAKE_BEFORE);
    for (int i = 1; i < 8; i++) {
        call_start(&calls[i], s.there, 7);
    }
    wait_flight_waits(s.other, 7);
    fake_open_gate(s.f.store, FAKE_GET);
    for (int i = 0; i < 8; i++) {
        answer a = call_join(&calls[i]);
        CHECK_EQ_U(i == 0 ? CKIT_SOURCE_STORE : CKIT_SOURCE_FLIGHT, a.source);
        CHECK_EQ_U(3600000, a.life_ms);
    }
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_GET));
    stage_close(&s);
}

CKIT_TEST(flight, different_keys_do_not_wait_for_each_other) {
    stage         s;
    threaded_call one = {0}, two = {0};
    stage_open(&s, FAKE_FULL, NULL);
    loader_shut(&s.l);
    call_start(&one, s.fn, 7);
    call_start(&two, s.fn, 8);
    loader_wait_stopped(&s.l, 2);
    loader_open(&s.l);
    CHECK_OK(call_join(&one).status);
    CHECK_OK(call_join(&two).status);
    stage_close(&s);
}

/* Many computations at once must not overtake each other: every result is kept. */
CKIT_TEST(flight, computations_of_different_keys_at_once_are_all_kept) {
    stage         s;
    threaded_call calls[MANY];
    memset(calls, 0, sizeof calls);
    stage_open(&s, FAKE_FULL, NULL);
    loader_shut(&s.l);
    for (int i = 0; i < MANY; i++) {
        call_start(&calls[i], s.fn, i);
    }
    loader_wait_stopped(&s.l, MANY);
    loader_open(&s.l);
    for (int i = 0; i < MANY; i++) {
        CHECK_OK(call_join(&calls[i]).status);
    }
    size_t kept = 0;
    for (int i = 0; i < MANY; i++) {
        kept += call(s.fn, i).source == CKIT_SOURCE_MEMORY;
    }
    CHECK_BETWEEN_U(MANY - 2, MANY, kept); /* three keys may share a version by chance */
    stage_close(&s);
}

enum { WALKERS = 8, STEPS = 500 };

/* Returns NULL when all calls had an answer. */
static void *walk(void *fn) {
    for (int i = 0; i < STEPS; i++) {
        if (call(fn, i).status != CKIT_OK) {
            return fn;
        }
    }
    return NULL;
}

/* Who comes while the result is being put into memory neither misses it nor takes its leader for overtaken. */
CKIT_TEST(flight, threads_that_ask_for_the_same_keys_one_after_the_other_run_the_function_once_for_each) {
    stage     s;
    pthread_t walkers[WALKERS];
    stage_open_memory(&s, NULL);
    for (int i = 0; i < WALKERS; i++) {
        CHECK(pthread_create(&walkers[i], NULL, walk, s.fn) == 0);
    }
    for (int i = 0; i < WALKERS; i++) {
        void *failed;
        CHECK(pthread_join(walkers[i], &failed) == 0 && failed == NULL);
    }
    CHECK_EQ_U(STEPS, s.l.runs);
    stage_close(&s);
}

/* ---- handing over ------------------------------------------------------------------------------------------------ */

static void fail_in_turn(fixture *f) {
    loader         l;
    threaded_call  calls[4];
    ckit_function *fn;
    loader_init(&l);
    memset(calls, 0, sizeof calls);
    fn = function_of(f->cache, "test.load", &l, NULL);
    loader_fail(&l, CKIT_E_FUNCTION, 2);
    call_stop_in_loader(&calls[0], fn, 7, &l);
    for (unsigned i = 1; i < 4; i++) { /* one after the other: they stand in this order */
        call_start(&calls[i], fn, 7);
        wait_flight_waits(f->cache, i);
    }
    loader_let_one(&l);
    CHECK_STATUS(CKIT_E_FUNCTION, call_join(&calls[0]).status);
    loader_wait_stopped(&l, 1);
    CHECK_EQ_U(2, l.runs);
    loader_let_one(&l);
    answer second = call_join(&calls[1]);
    CHECK_STATUS(CKIT_E_FUNCTION, second.status);
    CHECK_CONTAINS("run 2", second.error.text); /* its own failure, not the first one's */
    loader_wait_stopped(&l, 1);
    loader_open(&l);
    answer third = call_join(&calls[2]), fourth = call_join(&calls[3]);
    CHECK_OK(third.status);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, third.source);
    CHECK_OK(fourth.status);
    CHECK_EQ_U(CKIT_SOURCE_FLIGHT, fourth.source);
    CHECK_EQ_U(3, l.runs);
    CHECK_EQ_U(2, stats_of(f->cache).flight_handovers);
    ckit_function_close(fn);
}

CKIT_TEST(flight, a_leader_that_fails_hands_over_to_the_one_who_waited_longest) {
    fixture f;
    fixture_open(&f, FAKE_LOCKING);
    fail_in_turn(&f);
    CHECK(!fake_is_locked(f.store));
    fixture_close(&f);
}

CKIT_TEST(flight, handing_over_needs_no_store) {
    fixture f;
    fixture_open_memory(&f);
    fail_in_turn(&f);
    fixture_close(&f);
}

CKIT_TEST(flight, a_cancelled_operation_hands_over) {
    stage         s;
    threaded_call follower = {0};
    ckit_op      *op;
    ckit_value    value = CKIT_VALUE_INIT;
    stage_open(&s, FAKE_LOCKING, NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    CHECK(fake_is_locked(s.f.store));
    call_start(&follower, s.fn, 7);
    wait_flight_waits(s.f.cache, 1);
    ckit_op_free(op);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&follower).source);
    CHECK(!fake_is_locked(s.f.store));
    CHECK_EQ_U(1, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(flight, blocking_begin_and_finish_are_what_ckit_call_does) {
    stage         s;
    threaded_call follower = {0};
    ckit_op      *op;
    ckit_value    value = CKIT_VALUE_INIT;
    stage_open(&s, FAKE_LOCKING, NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    call_start(&follower, s.fn, 7);
    wait_flight_waits(s.f.cache, 1);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x05")};
    CHECK_OK(ckit_finish(op, &result, &value, NULL));
    CHECK_BYTES(S("\x05"), value.data);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, value.source);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_finish(op, &result, NULL, NULL)); /* once is enough */
    CHECK_EQ_U(5, call_join(&follower).number);
    CHECK_STR("get MISS, lock_try OK, get MISS, set OK, lock_release OK", fake_log(s.f.store));
    ckit_op_free(op);
    ckit_value_fini(&value);
    CHECK_OK(begin_op(s.fn, 7, &op, &value));
    CHECK(op == NULL);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
    ckit_value_fini(&value);
    stage_close(&s);
}

/* ---- recursion and long waits ------------------------------------------------------------------------------------ */

typedef struct recursion {
    ckit_function *function;
    int            depth;
    int            most;
} recursion;

static ckit_status call_yourself(void *context, ckit_load *load, ckit_error *err) {
    recursion  *r = context;
    ckit_value  inner = CKIT_VALUE_INIT;
    ckit_status st = CKIT_OK;
    if (++r->depth < r->most) {
        st = ckit_call(r->function, NULL, &inner, err);
        ckit_value_fini(&inner);
    }
    ckit_write_int(load->result, r->depth);
    return st;
}

CKIT_TEST(flight, a_function_that_calls_itself_with_the_same_arguments_does_not_wait_for_itself) {
    enum { MEMORY, STORE, STORE_WITH_LOCK };
    for (int store = MEMORY; store <= STORE_WITH_LOCK; store++) {
        fixture    f;
        recursion  r = {.most = 3};
        ckit_value value = CKIT_VALUE_INIT;
        open_with_wait(&f, store != MEMORY, 60000);
        if (store != MEMORY) { /* a lock that is waited for would stay held: the clock stands still */
            f.options.lock = store == STORE ? CKIT_OFF : CKIT_ON;
            ckit_cache_close(f.cache);
            fixture_start(&f, store == STORE ? FAKE_FULL : FAKE_LOCKING);
        }
        CHECK_OK(ckit_function_new(f.cache, "test.deep", call_yourself, &r, NULL, &r.function, NULL));
        CHECK_OK(ckit_call(r.function, NULL, &value, NULL));
        CHECK_EQ_I(3, r.depth);
        CHECK_EQ_U(0, stats_of(f.cache).flight_waits);
        ckit_value_fini(&value);
        ckit_function_close(r.function);
        fixture_close(&f);
    }
}

CKIT_TEST(flight, a_blocking_call_in_the_thread_that_began_a_pollable_one_does_not_wait_for_it) {
    stage      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    stage_open_memory(&s, NULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    ckit_op_free(op);
    stage_close(&s);
}

CKIT_TEST(flight, who_has_waited_long_enough_computes_too) {
    fixture       f;
    loader        l;
    threaded_call leader = {0}, follower = {0};
    open_with_wait(&f, false, 20);
    loader_init(&l);
    ckit_function *fn = function_of(f.cache, "test.load", &l, NULL);
    call_stop_in_loader(&leader, fn, 7, &l);
    call_start(&follower, fn, 7);
    loader_wait_stopped(&l, 2);
    CHECK_CONTAINS("took more than 20 ms", f.log.text);
    loader_open(&l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&leader).source);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&follower).source);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 1, fn, 7);
    ckit_function_close(fn);
    fixture_close(&f);
}

/* Two functions that call each other in two threads: each leads what the other waits for. */
typedef struct crossing {
    ckit_function   *other;
    _Atomic int     *inside;
    _Atomic uint64_t runs;
} crossing;

static ckit_status call_the_other(void *context, ckit_load *load, ckit_error *err) {
    crossing   *c = context;
    ckit_value  inner = CKIT_VALUE_INIT;
    ckit_status st = CKIT_OK;
    atomic_fetch_add(&c->runs, 1);
    if (atomic_fetch_add(c->inside, 1) < 2) {
        while (atomic_load(c->inside) < 2) {
            breathe();
        }
        st = ckit_call(c->other, NULL, &inner, err);
        ckit_value_fini(&inner);
    }
    ckit_write_int(load->result, 1);
    return st;
}

static void *call_function(void *arg) {
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(ckit_call(arg, NULL, &value, NULL));
    ckit_value_fini(&value);
    return NULL;
}

CKIT_TEST(flight, functions_that_wait_for_each_other_end_with_the_bound) {
    fixture        f;
    _Atomic int    inside = 0;
    crossing       a = {.inside = &inside}, b = {.inside = &inside};
    ckit_function *fa, *fb;
    pthread_t      ta, tb;
    open_with_wait(&f, false, 20);
    CHECK_OK(ckit_function_new(f.cache, "test.a", call_the_other, &a, NULL, &fa, NULL));
    CHECK_OK(ckit_function_new(f.cache, "test.b", call_the_other, &b, NULL, &fb, NULL));
    a.other = fb;
    b.other = fa;
    CHECK_EQ_I(0, pthread_create(&ta, NULL, call_function, fa));
    CHECK_EQ_I(0, pthread_create(&tb, NULL, call_function, fb));
    pthread_join(ta, NULL);
    pthread_join(tb, NULL);
    ckit_function_close(fa);
    ckit_function_close(fb);
    fixture_close(&f);
}

/* ---- waiting no longer ------------------------------------------------------------------------------------------- */

typedef struct stopping {
    ckit_function *fn;
    _Atomic bool   told;
    ckit_status    answer;
} stopping;

static bool stop_at_once(void *context) {
    atomic_store(&((stopping *)context)->told, true);
    return true;
}

static bool was_told(void *context) { return atomic_load(&((stopping *)context)->told); }

static void *begin_and_stop(void *context) {
    stopping  *it = context;
    ckit_start start = CKIT_START_INIT;
    ckit_args  args;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    start.function = it->fn, start.args = &args;
    start.context = it, start.stop = stop_at_once;
    it->answer = ckit_begin(&start, &op, &value, NULL);
    ckit_args_fini(&args);
    return NULL;
}

/* Who frees his call waits for the lock that is held here; its leader hands over to nobody who is that far. */
CKIT_TEST(flight, who_is_told_to_stop_is_out_of_the_line_before_the_call_is_taken_down) {
    stage         s;
    threaded_call leader = {0};
    stopping      it = {.told = false};
    pthread_t     thread;
    stage_open_memory(&s, NULL);
    it.fn = s.fn;
    loader_shut(&s.l);
    loader_fail(&s.l, CKIT_E_IO, 1);
    call_start(&leader, s.fn, 7);
    loader_wait_stopped(&s.l, 1);
    pthread_mutex_lock(&s.f.cache->workers.mu);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, begin_and_stop, &it));
    wait_for(was_told, &it);
    for (int i = 0; i < 20; i++) { /* for it to come as far as it can */
        breathe();
    }
    loader_open(&s.l);
    CHECK_STATUS(CKIT_E_IO, call_join(&leader).status);
    pthread_mutex_unlock(&s.f.cache->workers.mu);
    CHECK_EQ_I(0, pthread_join(thread, NULL));
    CHECK_STATUS(CKIT_E_CANCELLED, it.answer);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    stage_close(&s);
}
