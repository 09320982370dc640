/* Many calls at once and the store's locks: one computation per key in a fleet. */
#include "cache/many_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

/* Another process: a cache of its own over the same store. */
typedef struct neighbour {
    ckit_cache    *cache;
    ckit_function *fn;
    many_loader    m;
} neighbour;

static void neighbour_open(neighbour *n, scene *s, fake_kind kind) {
    memset(n, 0, sizeof *n);
    loader_init(&n->m.gate);
    n->cache = fixture_cache(&s->f, kind);
    n->fn = function_of(n->cache, "test.load", &s->l, NULL);
}

static void neighbour_close(neighbour *n) {
    ckit_function_close(n->fn);
    ckit_cache_close(n->cache);
}

CKIT_TEST(call_many_lock, costs_five_round_trips_however_many_calls_there_are) {
    scene s;
    scene_open(&s, FAKE_LOCKING_MANY);
    many m = {.fn = s.fn, .loader = &s.m, .count = 5, .arguments = {1, 2, 3, 4, 5}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_STR("get_many OK, lock_try_many OK, get_many OK, set_many_if_owner OK, lock_release_many OK",
              fake_log(s.f.store));
    CHECK(!fake_is_locked(s.f.store));
    CHECK_EQ_U(5, fake_count(s.f.store));
    scene_close(&s);
}

CKIT_TEST(call_many_lock, is_not_taken_where_the_cache_takes_none) {
    scene s;
    fixture_prepare(&s.f);
    s.f.options.lock = CKIT_OFF;
    scene_start(&s, true, FAKE_LOCKING_MANY);
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_STR("get_many OK, set_many OK", fake_log(s.f.store));
    scene_close(&s);
}

CKIT_TEST(call_many_lock, lets_two_processes_compute_each_shared_call_once) {
    static const fake_kind kinds[] = {FAKE_LOCKING_MANY, FAKE_LOCKING, FAKE_UNFENCED};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        scene     s;
        neighbour other;
        scene_open(&s, kinds[k]);
        neighbour_open(&other, &s, kinds[k]);
        loader_shut(&s.m.gate);
        many mine = {.fn = s.fn, .loader = &s.m, .count = 4, .arguments = {1, 2, 3, 4}};
        start_many(&mine);
        loader_wait_stopped(&s.m.gate, 1);
        many theirs = {.fn = other.fn, .loader = &other.m, .count = 5, .arguments = {6, 4, 3, 2, 5}};
        start_many(&theirs);
        wait_until(&other.m.runs, 1); /* its own it computes at once */
        loader_open(&s.m.gate);
        join_many(&mine);
        join_many(&theirs);
        for (size_t i = 0; i < 5; i++) {
            CHECK_ANSWER(i == 0 || i == 4 ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_STORE, &theirs, i);
        }
        CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &mine);
        CHECK_EQ_U(1, s.m.runs);
        CHECK_EQ_U(1, other.m.runs);
        CHECK_EQ_U(2, other.m.sizes[0]);
        CHECK(!fake_is_locked(s.f.store));
        neighbour_close(&other);
        scene_close(&s);
    }
}

CKIT_TEST(call_many_lock, by_four_processes_in_two_orders_computes_each_call_once) {
    scene     s;
    neighbour neighbours[4];
    crowd     crowds[4];
    scene_open(&s, FAKE_LOCKING_MANY);
    fake_dawdle(s.f.store, true);
    for (unsigned i = 0; i < 4; i++) {
        neighbour *n = &neighbours[i];
        neighbour_open(n, &s, FAKE_LOCKING_MANY);
        crowds[i] =
            (crowd){.fn = n->fn, .loader = &n->m, .rounds = 12, .advance = 5, .step = 1, .backwards = i % 2 != 0};
        crowd_start(&crowds[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        crowd_join(&crowds[i]);
    }
    for (unsigned k = 1; k <= CROWD_CALLS; k++) {
        uint64_t loaded = 0;
        for (unsigned i = 0; i < 4; i++) {
            loaded += neighbours[i].m.loaded[k];
        }
        CHECK(loaded <= 1);
    }
    CHECK(!fake_is_locked(s.f.store));
    for (unsigned i = 0; i < 4; i++) {
        neighbour_close(&neighbours[i]);
    }
    scene_close(&s);
}

CKIT_TEST(call_many_lock, is_waited_for_no_longer_than_by_a_single_call) {
    scene s;
    scene_open(&s, FAKE_LOCKING_MANY);
    ckit_buf key = key_of(s.fn, 2);
    fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
    many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
    start_many(&m);
    wait_until(&s.m.runs, 1);
    CHECK_EQ_U(2, s.m.sizes[0]);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, 2); /* and again, by itself */
    fake_clock_advance(&s.f.time, 5001);
    join_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_EQ_U(2, s.m.runs);
    CHECK_CONTAINS("was not obtained in 5000 ms", s.f.log.text);
    fake_unlock_elsewhere(s.f.store, ckit_buf_slice(&key));
    ckit_buf_fini(&key);
    scene_close(&s);
}

CKIT_TEST(call_many_lock, is_waited_for_as_long_as_one_result_comes_after_the_other) {
    scene         s;
    neighbour     other;
    threaded_call first = {0}, second = {0};
    scene_open(&s, FAKE_LOCKING_MANY);
    neighbour_open(&other, &s, FAKE_LOCKING_MANY);
    loader_shut(&s.l);
    call_start(&first, other.fn, 1);
    call_start(&second, other.fn, 2);
    loader_wait_stopped(&s.l, 2);
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    start_many(&m);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY_MANY, 2); /* it waits for both */
    fake_clock_advance(&s.f.time, 4000);
    loader_let_one(&s.l);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, 2 + 2); /* for one, after it has got the other */
    fake_clock_advance(&s.f.time, 4000);
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, 2 + 4);
    loader_open(&s.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&first).source);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&second).source);
    CHECK_EQ_I(0, pthread_join(m.thread, NULL));
    CHECK_OK_ERR(m.status, &m.err);
    CHECK_EQ_U(CKIT_SOURCE_STORE, m.out[0].source);
    CHECK_EQ_U(CKIT_SOURCE_STORE, m.out[1].source);
    CHECK_EQ_U(0, s.m.runs);
    neighbour_close(&other);
    scene_close(&s);
}

CKIT_TEST(call_many_lock, that_does_not_work_keeps_nobody_from_computing) {
    static const struct {
        fake_kind   kind;
        fake_op     op;
        ckit_status status;
        uint64_t    times;
        uint64_t    tries; /* of locks, one by one */
    } troubles[] = {{FAKE_LOCKING_MANY, FAKE_LOCK_TRY_MANY, CKIT_E_NETWORK, 1, 0},
                    {FAKE_LOCKING_MANY, FAKE_LOCK_TRY, CKIT_E_NETWORK, 2, 0},
                    {FAKE_LOCKING_MANY, FAKE_SET_MANY_IF_OWNER, CKIT_E_NETWORK, 1, 0},
                    {FAKE_LOCKING_MANY, FAKE_LOCK_RELEASE_MANY, CKIT_E_NETWORK, 1, 0},
                    {FAKE_LOCKING, FAKE_LOCK_TRY, CKIT_E_TIMEOUT, UINT64_MAX, 1},
                    {FAKE_LOCKING, FAKE_LOCK_RELEASE, CKIT_E_NETWORK, UINT64_MAX, 3}};
    for (size_t t = 0; t < sizeof troubles / sizeof troubles[0]; t++) {
        scene s;
        scene_open(&s, troubles[t].kind);
        fake_fail(s.f.store, troubles[t].op, troubles[t].status, troubles[t].times);
        many m = {.fn = s.fn, .loader = &s.m, .count = 3, .arguments = {1, 2, 3}};
        run_many(&m);
        CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
        CHECK_EQ_U(1, s.m.runs);
        CHECK_EQ_U(troubles[t].tries, fake_calls(s.f.store, FAKE_LOCK_TRY));
        scene_close(&s);
    }
}

CKIT_TEST(call_many_lock, that_was_lost_meanwhile_keeps_the_result_from_the_store_and_from_memory) {
    scene s;
    scene_open(&s, FAKE_LOCKING_MANY);
    fake_fail(s.f.store, FAKE_SET_IF_OWNER, CKIT_MISS, 1);
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
    CHECK_EQ_U(1, stats_of(s.f.cache).leases_lost);
    CHECK_EQ_U(1, fake_count(s.f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 1);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 20, s.fn, 2);
    scene_close(&s);
}

CKIT_TEST(call_many_lock, of_a_call_that_failed_is_let_go) {
    static const fake_kind kinds[] = {FAKE_LOCKING_MANY, FAKE_LOCKING};
    for (size_t k = 0; k < 2; k++) {
        scene s;
        scene_open(&s, kinds[k]);
        s.m.fails = CKIT_E_NETWORK;
        many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
        run_many(&m);
        CHECK_STATUS(CKIT_E_NETWORK, m.status);
        CHECK(!fake_is_locked(s.f.store));
        scene_close(&s);
    }
}

/* ---- fork ---------------------------------------------------------------------------------------------------------- */

static void fork_here(void *context) { *(pid_t *)context = fork(); }

CKIT_TEST(call_many_lock, of_the_parent_is_not_let_go_by_a_child_forked_inside_the_loader) {
    scene s;
    pid_t child = -1;
    if (UNDER_TSAN) {
        SKIP("ThreadSanitizer follows 64 locks at most, and a fork holds more");
    }
    scene_open(&s, FAKE_LOCKING_MANY);
    s.m.during = fork_here;
    s.m.context = &child;
    many m = {.fn = s.fn, .loader = &s.m, .count = 2, .arguments = {1, 2}};
    run_many(&m);
    if (child == 0) { /* which has a copy of the store */
        bool kept = m.status == CKIT_OK && fake_calls(s.f.store, FAKE_LOCK_RELEASE_MANY) == 0 &&
                    fake_calls(s.f.store, FAKE_LOCK_RELEASE) == 0 && fake_is_locked(s.f.store);
        _exit(kept ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ_I(0, status);
    CHECK_OK_ERR(m.status, &m.err);
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_LOCK_RELEASE_MANY));
    CHECK(!fake_is_locked(s.f.store));
    ckit_value_fini(&m.out[0]);
    ckit_value_fini(&m.out[1]);
    scene_close(&s);
}
