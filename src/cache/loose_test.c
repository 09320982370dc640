/* Locks that the store holds for nobody: their release failed, or nobody heard that they were taken. */
#include "cache/many_fixture.h"

#include "cache/core.h"

#include <sys/wait.h>
#include <unistd.h>

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void add(ckiti_loose *loose, const char *key, uint64_t due_ms) {
    const ckit_lease lease = {.fence = 1};
    CHECK(ckiti_loose_add(loose, S(key), &lease, false, due_ms, 1000));
}

static void check_next(ckiti_loose *loose, const char *key) {
    ckiti_loose_lock *lock = ckiti_loose_answered(loose);
    CHECK(lock != NULL);
    CHECK_TEXT(key, ckit_slice_of(lock->key, lock->key_len));
    ckiti_loose_free(loose, lock);
}

static void check_takes(ckiti_loose *loose, const char *key, uint64_t now_ms) {
    CHECK_EQ_U(1, ckiti_loose_take(loose, now_ms, false, 1));
    check_next(loose, key);
}

CKIT_TEST(loose, locks_are_taken_when_they_are_due_and_in_that_order) {
    ckiti_loose loose = {.first = NULL};
    ckiti_loose_init(&loose, NULL);
    add(&loose, "b", 20);
    add(&loose, "c", 20);
    add(&loose, "a", 10);
    add(&loose, "d", 30);
    CHECK_EQ_U(0, ckiti_loose_take(&loose, 9, false, 10));
    check_takes(&loose, "a", 10);
    check_takes(&loose, "b", 25);
    CHECK_EQ_U(1, ckiti_loose_take(&loose, 25, false, 10));
    ckiti_loose_put(&loose, ckiti_loose_answered(&loose), 40); /* c */
    CHECK_EQ_U(2, loose.count);
    CHECK_EQ_U(2, ckiti_loose_take(&loose, 40, false, 10));
    check_next(&loose, "d");
    check_next(&loose, "c");
    CHECK(ckiti_loose_is_empty(&loose) && loose.first == NULL && loose.last == NULL);
    add(&loose, "e", 0); /* these go with the list */
    add(&loose, "f", 0);
    CHECK_EQ_U(1, ckiti_loose_take(&loose, 0, false, 1));
    ckiti_loose_fini(&loose);
}

CKIT_TEST(loose, all_are_taken_whenever_they_are_due_but_those_that_have_ended) {
    ckiti_loose      loose = {.first = NULL};
    const ckit_lease lease = {.fence = 1};
    ckiti_loose_init(&loose, NULL);
    add(&loose, "a", 10);
    CHECK(ckiti_loose_add(&loose, S("b"), &lease, false, 20, 30));
    add(&loose, "c", 500);
    CHECK_EQ_U(2, ckiti_loose_take(&loose, 30, true, 10));
    CHECK_EQ_U(2, loose.count);
    check_next(&loose, "a");
    check_next(&loose, "c");
    CHECK(ckiti_loose_is_empty(&loose));
}

CKIT_TEST(loose, a_key_is_taken_once_at_a_time) {
    ckiti_loose loose = {.first = NULL};
    ckiti_loose_init(&loose, NULL);
    add(&loose, "a", 1);
    add(&loose, "b", 2);
    add(&loose, "a", 3);
    add(&loose, "c", 4);
    CHECK_EQ_U(2, ckiti_loose_take(&loose, 10, false, 10));
    check_next(&loose, "a");
    check_next(&loose, "b");
    CHECK_EQ_U(2, ckiti_loose_take(&loose, 10, false, 10));
    check_next(&loose, "a");
    check_next(&loose, "c");
}

CKIT_TEST(loose, no_more_locks_are_remembered_than_there_is_room_for) {
    ckiti_loose      loose = {.first = NULL};
    const ckit_lease lease = {.fence = 1};
    ckiti_loose_init(&loose, NULL);
    for (unsigned i = 0; i < CKITI_LOOSE_MOST; i++) {
        CHECK(ckiti_loose_add(&loose, S("k"), &lease, false, i, 1000));
    }
    CHECK_EQ_U(1, ckiti_loose_take(&loose, 0, false, 10)); /* it counts until the store has answered */
    CHECK(!ckiti_loose_add(&loose, S("k"), &lease, false, 0, 1000));
    ckiti_loose_fini(&loose);
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

/* Time passes until the cache has nothing to let go any more. */
static bool passes_until_let_go(void *context) {
    fixture *f = context;
    pass(f, 10);
    return ckiti_loose_is_empty(&f->cache->replay.loose);
}

static void settle(fixture *f) { wait_for(passes_until_let_go, f); }

/* Another process gets the lock at once. */
static void check_free(stage *s, int64_t argument) {
    CHECK_EQ_U(0, fake_locks(s->f.store));
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->there, argument);
    CHECK_EQ_U(0, fake_locks(s->f.store));
}

CKIT_TEST(loose, a_lock_whose_release_failed_is_let_go_when_the_store_answers) {
    static const ckit_status failures[] = {CKIT_E_TIMEOUT, CKIT_E_NETWORK, CKIT_E_UNREACHABLE};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        stage s;
        stage_open_two(&s, FAKE_LOCKING);
        fake_fail(s.f.store, FAKE_LOCK_RELEASE, failures[i], 3);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
        CHECK_EQ_U(1, fake_locks(s.f.store));
        settle(&s.f);
        CHECK_EQ_U(4, fake_calls(s.f.store, FAKE_LOCK_RELEASE));
        CHECK_OK(invalidate(s.fn, 7));
        check_free(&s, 7);
        stage_close(&s);
    }
}

CKIT_TEST(loose, a_lock_that_was_taken_unheard_is_let_go) {
    stage s;
    stage_open_two(&s, FAKE_LOCKING);
    fake_lose_locks(s.f.store, CKIT_E_TIMEOUT, false, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7); /* without the lock */
    settle(&s.f);
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_LOCK_RELEASE));
    CHECK_OK(invalidate(s.fn, 7));
    check_free(&s, 7);
    stage_close(&s);
}

CKIT_TEST(loose, a_lock_that_is_taken_later_is_let_go_too) {
    stage s;
    stage_open_two(&s, FAKE_LOCKING);
    fake_lose_locks(s.f.store, CKIT_E_NETWORK, true, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    while (fake_calls(s.f.store, FAKE_LOCK_RELEASE) == 0) {
        pass(&s.f, 10);
        breathe();
    }
    CHECK(!ckiti_loose_is_empty(&s.f.cache->replay.loose));
    fake_arrive(s.f.store); /* what was on its way */
    CHECK_EQ_U(1, fake_locks(s.f.store));
    settle(&s.f);
    CHECK_EQ_U(2, fake_calls(s.f.store, FAKE_LOCK_RELEASE));
    CHECK_OK(invalidate(s.fn, 7));
    check_free(&s, 7);
    stage_close(&s);
}

/* The store stands still for longer than a lease lasts, and its lease begins when it goes on. */
CKIT_TEST(loose, so_is_one_that_is_taken_when_its_lease_would_be_over) {
    stage s;
    stage_open_two(&s, FAKE_LOCKING);
    fake_lose_locks(s.f.store, CKIT_E_NETWORK, true, 1);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_TIMEOUT, UINT64_MAX);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    pass(&s.f, s.f.cache->options.lock_lease_ms + 1);
    const ckiti_loose *loose = &s.f.cache->replay.loose;
    for (uint64_t end = fake_calls(s.f.store, FAKE_LOCK_RELEASE) + 2;
         fake_calls(s.f.store, FAKE_LOCK_RELEASE) < end && !ckiti_loose_is_empty(loose);) {
        pass(&s.f, 10);
        breathe();
    }
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_OK, 0);
    fake_arrive(s.f.store);
    CHECK_EQ_U(1, fake_locks(s.f.store));
    settle(&s.f);
    CHECK_OK(invalidate(s.fn, 7));
    check_free(&s, 7);
    stage_close(&s);
}

CKIT_TEST(loose, a_lock_of_somebody_else_stays) {
    stage s;
    stage_open_two(&s, FAKE_LOCKING);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_NETWORK, 1);
    fake_shut(s.f.store, FAKE_LOCK_RELEASE, FAKE_BEFORE);
    threaded_call c = {0};
    call_start(&c, s.fn, 7);
    fake_wait_stopped(s.f.store, FAKE_LOCK_RELEASE, 1);
    ckit_buf key = key_of(s.fn, 7);
    fake_unlock_elsewhere(s.f.store, ckit_buf_slice(&key));
    fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
    fake_open_gate(s.f.store, FAKE_LOCK_RELEASE);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&c).source);
    settle(&s.f);
    CHECK_EQ_U(2, fake_calls(s.f.store, FAKE_LOCK_RELEASE));
    CHECK_EQ_U(1, fake_locks(s.f.store));
    ckit_buf_fini(&key);
    stage_close(&s);
}

CKIT_TEST(loose, a_lock_that_was_refused_is_not_looked_for) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    fake_fail(s.f.store, FAKE_LOCK_TRY, CKIT_E_TIMEOUT, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK(ckiti_loose_is_empty(&s.f.cache->replay.loose));
    stage_close(&s);
}

CKIT_TEST(loose, a_lock_whose_lease_is_over_is_forgotten_though_the_store_never_answered) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_UNREACHABLE, UINT64_MAX);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    pass(&s.f, s.f.cache->options.lock_lease_ms);
    settle(&s.f);
    stage_close(&s);
}

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

static void run_three(scene *s) {
    many m = {.fn = s->fn, .loader = &s->m, .count = 3, .arguments = {1, 2, 3}};
    run_many(&m);
    CHECK_ANSWERS(CKIT_SOURCE_FUNCTION, &m);
}

CKIT_TEST(loose, so_are_those_of_a_batch) {
    for (int kind = FAKE_LOCKING; kind <= FAKE_LOCKING_MANY; kind++) {
        scene s;
        scene_open(&s, (fake_kind)kind);
        fake_fail(s.f.store, kind == FAKE_LOCKING ? FAKE_LOCK_RELEASE : FAKE_LOCK_RELEASE_MANY, CKIT_E_TIMEOUT, 1);
        run_three(&s);
        settle(&s.f);
        CHECK_EQ_U(0, fake_locks(s.f.store));
        scene_close(&s);
    }
}

CKIT_TEST(loose, many_are_let_go_at_once_where_the_store_can) {
    scene s;
    scene_open(&s, FAKE_LOCKING_MANY);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE_MANY, CKIT_E_TIMEOUT, 2);
    run_three(&s);
    CHECK_EQ_U(3, fake_locks(s.f.store));
    settle(&s.f);
    CHECK_EQ_U(0, fake_locks(s.f.store));
    CHECK_EQ_U(3, fake_calls(s.f.store, FAKE_LOCK_RELEASE_MANY)); /* the batch, in vain, and once more */
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_LOCK_RELEASE));
    scene_close(&s);
}

/* A part of the store is away. */
CKIT_TEST(loose, those_that_it_did_not_let_go_come_again) {
    scene s;
    scene_open(&s, FAKE_LOCKING_MANY);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE_MANY, CKIT_E_TIMEOUT, 1);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_UNREACHABLE, 2); /* as answers to the first two */
    run_three(&s);
    while (fake_locks(s.f.store) == 3) {
        pass(&s.f, 10);
        breathe();
    }
    CHECK_EQ_U(2, fake_locks(s.f.store));
    settle(&s.f);
    CHECK_EQ_U(0, fake_locks(s.f.store));
    CHECK_EQ_U(3, fake_calls(s.f.store, FAKE_LOCK_RELEASE_MANY));
    scene_close(&s);
}

CKIT_TEST(loose, so_are_those_that_a_batch_has_taken_unheard) {
    for (int kind = FAKE_LOCKING; kind <= FAKE_LOCKING_MANY; kind++) {
        scene s;
        scene_open(&s, (fake_kind)kind);
        fake_lose_locks(s.f.store, CKIT_E_NETWORK, false, 2);
        run_three(&s);
        settle(&s.f);
        CHECK_EQ_U(0, fake_locks(s.f.store));
        scene_close(&s);
    }
}

/* ---- a lock that somebody has taken by himself ------------------------------------------------------------------- */

CKIT_TEST(loose, so_is_one_that_is_handed_over) {
    fixture    f;
    ckit_lease lease = {.fence = 0};
    fixture_open(&f, FAKE_LOCKING);
    ckit_backend           *backend = ckit_cache_backend(f.cache);
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    void                   *self = ckit_backend_self(backend);
    ckit_cache_let_lock_go(NULL, S("key"), &(ckit_lease){.fence = 1});
    ckit_cache_let_lock_go(f.cache, S("key"), NULL);
    ckit_cache_let_lock_go(f.cache, S("key"), &lease); /* that is none */
    CHECK(ckiti_loose_is_empty(&f.cache->replay.loose));
    fake_lose_locks(f.store, CKIT_E_TIMEOUT, false, 1);
    CHECK_STATUS(CKIT_E_TIMEOUT, ops->lock_try(self, S("key"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_EQ_U(1, fake_locks(f.store));
    ckit_cache_let_lock_go(f.cache, S("key"), &lease);
    settle(&f);
    CHECK_EQ_U(0, fake_locks(f.store));
    fixture_close(&f);
}

CKIT_TEST(loose, nothing_is_handed_over_to_a_cache_whose_store_has_no_locks) {
    fixture          f;
    const ckit_lease lease = {.fence = 1};
    fixture_open(&f, FAKE_FULL);
    ckit_cache_let_lock_go(f.cache, S("key"), &lease);
    CHECK(ckiti_loose_is_empty(&f.cache->replay.loose));
    fixture_close(&f);
    fixture_open_memory(&f);
    ckit_cache_let_lock_go(f.cache, S("key"), &lease);
    fixture_close(&f);
}

/* ---- the job ----------------------------------------------------------------------------------------------------- */

/* As many jobs wait as may. */
static size_t fill_queue(ckiti_workers *workers) {
    pthread_mutex_lock(&workers->mu);
    size_t most = workers->max_jobs;
    workers->max_jobs = workers->count;
    pthread_mutex_unlock(&workers->mu);
    return most;
}

static void empty_queue(ckiti_workers *workers, size_t most) {
    pthread_mutex_lock(&workers->mu);
    workers->max_jobs = most;
    pthread_mutex_unlock(&workers->mu);
}

CKIT_TEST(loose, a_lock_for_which_no_worker_was_to_be_had_is_let_go_by_one_that_the_next_read_finds) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_TIMEOUT, 1);
    size_t most = fill_queue(&s.f.cache->workers);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK(ckiti_replay_sleeps(&s.f.cache->replay));
    CHECK_STATUS(CKIT_MISS, ckit_cache_exists(s.f.cache, S("anything"), NULL, NULL)); /* there is none yet */
    CHECK(ckiti_replay_sleeps(&s.f.cache->replay));
    empty_queue(&s.f.cache->workers, most);
    CHECK_STATUS(CKIT_MISS, ckit_cache_exists(s.f.cache, S("anything"), NULL, NULL));
    settle(&s.f);
    CHECK_EQ_U(0, fake_locks(s.f.store));
    stage_close(&s);
}

/* Those that the parent's job is asking for, too; and no others. */
CKIT_TEST(loose, a_forked_child_lets_them_go_too) {
    if (UNDER_TSAN) {
        SKIP("ThreadSanitizer follows 64 locks at most, and a fork holds more");
    }
    stage         s;
    threaded_call held = {0};
    stage_open(&s, FAKE_LOCKING, NULL);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_TIMEOUT, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_shut(s.f.store, FAKE_LOCK_RELEASE, FAKE_BEFORE);
    pass(&s.f, CKITI_REPLAY_FIRST_PAUSE_MS);
    fake_wait_stopped(s.f.store, FAKE_LOCK_RELEASE, 1);
    loader_shut(&s.l);
    call_start(&held, s.fn, 8); /* holds its lock */
    loader_wait_stopped(&s.l, 1);
    pid_t child = fork();
    if (child == 0) {
        bool both = fake_locks(s.f.store) == 2;
        (void)ckit_cache_exists(s.f.cache, S("anything"), NULL, NULL);
        settle(&s.f);
        _exit(both && fake_locks(s.f.store) == 1 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ_U(0, (unsigned)status);
    CHECK_EQ_U(2, fake_locks(s.f.store)); /* the parent has a store of its own */
    loader_open(&s.l);
    fake_open_gate(s.f.store, FAKE_LOCK_RELEASE);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&held).source);
    settle(&s.f);
    CHECK_EQ_U(0, fake_locks(s.f.store));
    stage_close(&s);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(loose, a_cache_that_closes_lets_its_locks_go) {
    stage s;
    stage_open(&s, FAKE_LOCKING, NULL);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_TIMEOUT, 1);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_EQ_U(1, fake_locks(s.f.store));
    ckit_function_close(s.fn);
    ckit_cache_close(s.f.cache);
    s.fn = NULL;
    s.f.cache = NULL;
    CHECK_EQ_U(0, fake_locks(s.f.store));
    stage_close(&s);
}
