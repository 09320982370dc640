/* Batches of a function whose callers refresh: what is stale is given, and refreshed by another batch. */
#include "cache/many_fixture.h"

#include <poll.h>

#define LIFE_MS 10000u

typedef struct due_batch {
    scene          s;
    ckit_function *fn; /* without a loader */
} due_batch;

static ckit_function *refreshed_by_callers(ckit_cache *cache, double early) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *fn = NULL;
    ckit_error            err = CKIT_ERROR_INIT;
    options.ttl_ms = LIFE_MS;
    options.stale_ms = early > 0 ? 0 : LIFE_MS;
    options.early_refresh = early;
    options.caller_refreshes = true;
    CHECK_OK_ERR(ckit_function_new(cache, "test.many", NULL, NULL, &options, &fn, &err), &err);
    return fn;
}

static void due_open(due_batch *t, bool store, fake_kind kind, double early) {
    fixture_prepare(&t->s.f);
    scene_start(&t->s, store, kind);
    t->fn = refreshed_by_callers(t->s.f.cache, early);
}

static void due_close(due_batch *t) {
    ckit_function_close(t->fn);
    scene_close(&t->s);
}

/* Calls 1, 2 and 3 as one: they come from there, stale or not. */
static void check_three(const char *file, int line, due_batch *t, ckit_function *fn, ckit_source source, bool stale) {
    many m = {.fn = fn, .loader = &t->s.m, .count = 3, .arguments = {1, 2, 3}};
    run_many(&m);
    for (size_t i = 0; i < 3; i++) {
        ckit_check_u(file, line, "whether it is stale", stale, m.out[i].stale);
        check_answer(file, line, &m, i, source);
    }
}
#define CHECK_THREE(source, stale, t, fn) check_three(__FILE__, __LINE__, (t), (fn), (source), (stale))

/* Calls 1 to `count`, and the first again. */
static ckit_status begin_refresh(ckit_function *fn, size_t count, ckit_poll *poll, ckit_batch_ready ready,
                                 void *context, ckit_batch **batch) {
    ckit_args  args[MOST];
    ckit_args *calls[MOST];
    ckit_error err = CKIT_ERROR_INIT;
    for (size_t i = 0; i <= count; i++) {
        ckit_args_init(&args[i]);
        ckit_args_int(&args[i], i < count ? (int64_t)i + 1 : 1);
        calls[i] = &args[i];
    }
    ckit_batch_start start = {.struct_size = sizeof start,
                              .function = fn,
                              .args = calls,
                              .count = count + 1,
                              .poll = poll,
                              .ready = ready,
                              .context = context,
                              .refreshes = true};
    ckit_status      st = ckit_begin_many(&start, batch, &err);
    CHECK(st < CKIT_E_FIRST);
    for (size_t i = 0; i <= count; i++) {
        ckit_args_fini(&args[i]);
    }
    return st;
}

static ckit_status begin_here(ckit_function *fn, size_t count, ckit_batch **batch) {
    return begin_refresh(fn, count, NULL, NULL, NULL, batch);
}

static ckit_status load_missing(ckit_batch *batch, many_loader *m, size_t expected) {
    size_t           count;
    ckit_error       err = CKIT_ERROR_INIT;
    ckit_batch_call *calls = ckit_batch_missing(batch, &count);
    CHECK_EQ_U(expected, count);
    ckit_status st = load_many(m, calls, count, &err);
    return ckit_finish_many(batch, st, &err);
}

static void check_taken(const char *file, int line, ckit_batch *batch, size_t count, ckit_status expected) {
    for (size_t i = 0; i < count; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        ckit_check_status(file, line, "what came of it", expected, ckit_batch_take(batch, i, &value, NULL));
        ckit_value_fini(&value);
    }
    ckit_batch_free(batch);
}
#define CHECK_TAKEN(answer, batch, count) check_taken(__FILE__, __LINE__, (batch), (count), (answer))

CKIT_TEST(call_many_refresh, stale_values_are_given_and_another_batch_refreshes_them) {
    for (int store = 0; store < 2; store++) {
        due_batch   t;
        ckit_batch *batch;
        due_open(&t, store, FAKE_LOCKING_MANY, 0);
        CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
        fake_clock_advance(&t.s.f.time, LIFE_MS + 1);
        CHECK_THREE(CKIT_SOURCE_MEMORY, true, &t, t.fn);
        CHECK_EQ_U(1, t.s.m.runs);
        CHECK_STATUS(CKIT_COMPUTE, begin_here(t.fn, 4, &batch)); /* 4 is not in memory: nothing to refresh */
        CHECK_THREE(CKIT_SOURCE_MEMORY, true, &t, t.fn);         /* meanwhile */
        CHECK_OK(load_missing(batch, &t.s.m, 3));
        CHECK_TAKEN(CKIT_OK, batch, 3);
        CHECK_THREE(CKIT_SOURCE_MEMORY, false, &t, t.fn);
        CHECK_EQ_U(2, t.s.m.runs);
        CHECK_EQ_U(0, t.s.m.loaded[4]);
        CHECK_EQ_U(3, stats_of(t.s.f.cache).refreshes);
        CHECK(!store || !fake_is_locked(t.s.f.store));
        due_close(&t);
    }
}

CKIT_TEST(call_many_refresh, what_is_fresh_or_being_refreshed_or_not_there_is_left_as_it_is) {
    due_batch   t;
    ckit_batch *batch, *other;
    due_open(&t, true, FAKE_LOCKING_MANY, 0);
    CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
    CHECK_OK(begin_here(t.fn, 4, &batch));
    CHECK_TAKEN(CKIT_MISS, batch, 5);
    fake_clock_advance(&t.s.f.time, LIFE_MS + 1);
    CHECK_STATUS(CKIT_COMPUTE, begin_here(t.fn, 3, &batch));
    CHECK_OK(begin_here(t.fn, 3, &other));
    CHECK_TAKEN(CKIT_MISS, other, 4);
    CHECK_OK(load_missing(batch, &t.s.m, 3));
    CHECK_TAKEN(CKIT_OK, batch, 4);
    CHECK_EQ_U(2, t.s.m.runs);
    due_close(&t);
}

CKIT_TEST(call_many_refresh, what_another_process_has_refreshed_is_taken_from_the_store) {
    due_batch   t;
    ckit_batch *batch;
    due_open(&t, true, FAKE_LOCKING_MANY, 0);
    ckit_cache    *cache = fixture_cache(&t.s.f, FAKE_LOCKING_MANY);
    ckit_function *there = refreshed_by_callers(cache, 0);
    CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
    CHECK_THREE(CKIT_SOURCE_STORE, false, &t, there);
    fake_clock_advance(&t.s.f.time, LIFE_MS + 1);
    CHECK_STATUS(CKIT_COMPUTE, begin_here(there, 3, &batch));
    CHECK_OK(load_missing(batch, &t.s.m, 3));
    CHECK_TAKEN(CKIT_OK, batch, 3);
    CHECK_THREE(CKIT_SOURCE_MEMORY, true, &t, t.fn);
    CHECK_OK(begin_here(t.fn, 3, &batch));
    CHECK_TAKEN(CKIT_OK, batch, 3);
    CHECK_THREE(CKIT_SOURCE_MEMORY, false, &t, t.fn);
    CHECK_EQ_U(2, t.s.m.runs);
    CHECK_EQ_U(3, stats_of(t.s.f.cache).refreshes_found);
    ckit_function_close(there);
    ckit_cache_close(cache);
    due_close(&t);
}

CKIT_TEST(call_many_refresh, what_another_process_is_refreshing_is_left_to_it) {
    due_batch   t;
    ckit_batch *batch;
    due_open(&t, true, FAKE_LOCKING_MANY, 0);
    CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
    fake_clock_advance(&t.s.f.time, LIFE_MS + 1);
    ckit_buf key = key_of(t.fn, 2);
    fake_lock_elsewhere(t.s.f.store, ckit_buf_slice(&key));
    CHECK_STATUS(CKIT_COMPUTE, begin_here(t.fn, 3, &batch));
    CHECK_OK(load_missing(batch, &t.s.m, 2));
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_STATUS(CKIT_MISS, ckit_batch_take(batch, 1, &value, NULL));
    CHECK_OK(ckit_batch_take(batch, 2, &value, NULL));
    ckit_value_fini(&value);
    ckit_batch_free(batch);
    CHECK_EQ_U(1, t.s.m.loaded[2]);
    CHECK_EQ_U(1, stats_of(t.s.f.cache).refreshes_put_off);
    fake_unlock_elsewhere(t.s.f.store, ckit_buf_slice(&key));
    ckit_buf_fini(&key);
    due_close(&t);
}

CKIT_TEST(call_many_refresh, within_their_lives_values_are_computed_though_the_store_has_them) {
    due_batch   t;
    ckit_batch *batch;
    due_open(&t, true, FAKE_LOCKING_MANY, 0.5);
    CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
    fake_clock_advance(&t.s.f.time, LIFE_MS * 9 / 10);
    CHECK_THREE(CKIT_SOURCE_MEMORY, true, &t, t.fn);
    CHECK_STATUS(CKIT_COMPUTE, begin_here(t.fn, 3, &batch));
    CHECK_OK(load_missing(batch, &t.s.m, 3));
    CHECK_TAKEN(CKIT_OK, batch, 4);
    CHECK_THREE(CKIT_SOURCE_MEMORY, false, &t, t.fn);
    CHECK_EQ_U(2, t.s.m.runs);
    due_close(&t);
}

CKIT_TEST(call_many_refresh, that_fails_leaves_what_there_is_and_another_tries_again) {
    due_batch   t;
    ckit_batch *batch;
    due_open(&t, true, FAKE_LOCKING_MANY, 0);
    CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
    fake_clock_advance(&t.s.f.time, LIFE_MS + 1);
    t.s.m.fails = CKIT_E_NETWORK;
    CHECK_STATUS(CKIT_COMPUTE, begin_here(t.fn, 3, &batch));
    (void)load_missing(batch, &t.s.m, 3);
    CHECK_TAKEN(CKIT_E_NETWORK, batch, 4);
    CHECK_THREE(CKIT_SOURCE_MEMORY, true, &t, t.fn);
    CHECK(!fake_is_locked(t.s.f.store));
    t.s.m.fails = CKIT_OK;
    CHECK_STATUS(CKIT_COMPUTE, begin_here(t.fn, 3, &batch));
    CHECK_OK(load_missing(batch, &t.s.m, 3));
    CHECK_TAKEN(CKIT_OK, batch, 4);
    due_close(&t);
}

CKIT_TEST(call_many_refresh,
          a_store_that_cannot_be_asked_keeps_what_is_within_its_life_and_past_it_nobody_from_computing) {
    static const struct {
        fake_op     op;
        ckit_status status;
    } troubles[] = {
        {FAKE_GET_MANY, CKIT_E_TIMEOUT}, {FAKE_GET_MANY, CKIT_E_NETWORK}, {FAKE_LOCK_TRY_MANY, CKIT_E_NETWORK}};
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        for (int early = 0; early < 2; early++) {
            due_batch   t;
            ckit_batch *batch;
            due_open(&t, true, FAKE_LOCKING_MANY, early ? 0.5 : 0);
            CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
            fake_clock_advance(&t.s.f.time, early ? LIFE_MS * 9 / 10 : LIFE_MS + 1);
            fake_fail(t.s.f.store, troubles[i].op, troubles[i].status, UINT64_MAX);
            if (early) {
                CHECK_OK(begin_here(t.fn, 3, &batch));
                CHECK_TAKEN(CKIT_MISS, batch, 4);
            } else {
                CHECK_STATUS(CKIT_COMPUTE, begin_here(t.fn, 3, &batch));
                CHECK_OK(load_missing(batch, &t.s.m, 3));
                CHECK_TAKEN(CKIT_OK, batch, 4);
            }
            fake_fail(t.s.f.store, troubles[i].op, CKIT_OK, 0);
            due_close(&t);
        }
    }
}

/* ---- in an event loop -------------------------------------------------------------------------------------------- */

static void on_ready(void *context, ckit_batch *batch, ckit_status came) {
    (void)batch;
    *(ckit_status *)context = came;
}

static void turn(ckit_poll *poll_of_loop, const ckit_status *came) {
    while (*came == CKIT_PENDING) {
        struct pollfd fd = {.fd = ckit_poll_fd(poll_of_loop), .events = POLLIN};
        CHECK_EQ_I(1, poll(&fd, 1, 30000));
        (void)ckit_poll_dispatch(poll_of_loop);
    }
}

CKIT_TEST(call_many_refresh, goes_by_an_event_loop_too) {
    due_batch   t;
    ckit_batch *batch;
    ckit_poll  *poll_of_loop;
    due_open(&t, true, FAKE_LOCKING_MANY, 0);
    CHECK_OK(ckit_poll_new(t.s.f.cache, &poll_of_loop, NULL));
    CHECK_THREE(CKIT_SOURCE_FUNCTION, false, &t, t.fn);
    fake_clock_advance(&t.s.f.time, LIFE_MS + 1);
    ckit_status came = CKIT_PENDING;
    CHECK_STATUS(CKIT_PENDING, begin_refresh(t.fn, 3, poll_of_loop, on_ready, &came, &batch));
    turn(poll_of_loop, &came);
    CHECK_STATUS(CKIT_COMPUTE, came);
    came = load_missing(batch, &t.s.m, 3);
    turn(poll_of_loop, &came);
    CHECK_OK(came);
    CHECK_TAKEN(CKIT_OK, batch, 4);
    CHECK_OK(begin_refresh(t.fn, 3, poll_of_loop, on_ready, &came, &batch)); /* there is nothing to wait for */
    CHECK_TAKEN(CKIT_MISS, batch, 4);
    CHECK_THREE(CKIT_SOURCE_MEMORY, false, &t, t.fn);
    ckit_poll_close(poll_of_loop);
    due_close(&t);
}

CKIT_TEST(call_many_refresh, is_not_for_a_function_with_a_loader) {
    fixture               f;
    loader                l;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *fn;
    ckit_error            err = CKIT_ERROR_INIT;
    fixture_open_memory(&f);
    loader_init(&l);
    options.caller_refreshes = true;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_function_new(f.cache, "test.load", loader_run, &l, &options, &fn, &err),
                     &err);
    CHECK_CONTAINS("caller_refreshes", err.text);
    fixture_close(&f);
}
