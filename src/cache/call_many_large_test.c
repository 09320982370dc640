/* More calls at once than a page shows. */
#include "cache/batch.h"
#include "cache/cache_fixture.h"

#define LEASE_MS 30000u

typedef struct large {
    fixture          f;
    loader           l; /* of single calls */
    ckit_function   *fn;
    size_t           count; /* calls of 0, 1 and so on */
    ckit_args       *args;
    ckit_args      **calls;
    ckit_value      *out;
    ckit_status     *answers;
    ckit_status      fails;       /* the loader */
    size_t           invalidates; /* every so many-th call, while the loader runs; 0: none */
    unsigned         thirds;      /* of a lease that the loader takes */
    _Atomic uint64_t runs;
    size_t           loaded; /* by the last run */
    size_t           locks;  /* that were held then */
} large;

static ckit_status load_large(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    large *l = context;
    l->runs++;
    l->loaded = count;
    l->locks = l->f.store != NULL ? fake_locks(l->f.store) : 0;
    for (size_t i = 0; i < count; i++) {
        write_number(calls[i].result, calls[i].index * 10, 0);
    }
    for (size_t i = 0; l->invalidates > 0 && i < l->count; i += l->invalidates) {
        CHECK_STATUS(CKIT_MISS, invalidate(l->fn, (int64_t)i)); /* it is not there yet */
    }
    for (unsigned i = 1; i <= l->thirds; i++) { /* which is renewed in two portions */
        pass(&l->f, LEASE_MS / 3);
        fake_wait_calls(l->f.store, FAKE_LOCK_RENEW_MANY, 2 * i);
    }
    return l->fails == CKIT_OK ? CKIT_OK : ckit_fail(err, l->fails, "loader", "all of it");
}

/* `options` of the function may be NULL. */
static void large_open(large *l, bool store, fake_kind kind, size_t count, const ckit_function_options *options) {
    *l = (large){.count = count};
    if (store) {
        fixture_open(&l->f, kind);
    } else {
        fixture_open_memory(&l->f);
    }
    loader_init(&l->l);
    l->fn = function_of(l->f.cache, "test.load", &l->l, options);
    l->args = calloc(count, sizeof l->args[0]);
    l->calls = calloc(count, sizeof l->calls[0]);
    l->out = calloc(count, sizeof l->out[0]);
    l->answers = calloc(count, sizeof l->answers[0]);
    CHECK(l->args != NULL && l->calls != NULL && l->out != NULL && l->answers != NULL);
    for (size_t i = 0; i < count; i++) {
        ckit_args_init(&l->args[i]);
        ckit_args_int(&l->args[i], (int64_t)i);
        l->calls[i] = &l->args[i];
        ckit_value_init(&l->out[i]);
    }
}

static void large_close(large *l) {
    for (size_t i = 0; i < l->count; i++) {
        ckit_value_fini(&l->out[i]);
        ckit_args_fini(&l->args[i]);
    }
    free(l->args);
    free(l->calls);
    free(l->out);
    free(l->answers);
    ckit_function_close(l->fn);
    fixture_close(&l->f);
}

/* All of them are answered; returns how many from there. */
static size_t large_run(large *l, ckit_source source) {
    ckit_error err = CKIT_ERROR_INIT;
    size_t     from = 0;
    CHECK_OK_ERR(ckit_call_many(l->fn, l->calls, l->count, load_large, l, l->out, l->answers, &err), &err);
    for (size_t i = 0; i < l->count; i++) {
        CHECK_OK(l->answers[i]);
        CHECK_EQ_U(i * 10, read_number(&l->out[i]));
        from += l->out[i].source == source;
    }
    return from;
}

/* More than there are versions for keys to share (stripes.h). */
#define MANY 10000u

CKIT_TEST(call_many_large, keeps_every_value_of_ten_thousand_in_memory) {
    large l;
    large_open(&l, false, FAKE_FULL, MANY, NULL);
    CHECK_EQ_U(MANY, large_run(&l, CKIT_SOURCE_FUNCTION));
    CHECK_EQ_U(MANY, large_run(&l, CKIT_SOURCE_MEMORY));
    CHECK_EQ_U(1, l.runs);
    large_close(&l);
}

CKIT_TEST(call_many_large, keeps_every_value_of_ten_thousand_in_the_store) {
    large l;
    large_open(&l, true, FAKE_FULL, MANY, NULL);
    CHECK_EQ_U(MANY, large_run(&l, CKIT_SOURCE_FUNCTION));
    CHECK_EQ_U(MANY, fake_count(l.f.store));
    CHECK_EQ_U(MANY, large_run(&l, CKIT_SOURCE_MEMORY));
    large_close(&l);
}

/* Many of them share a version with calls that are kept before them. */
CKIT_TEST(call_many_large, keeps_nothing_of_calls_that_were_invalidated_meanwhile) {
    for (int store = 0; store < 2; store++) {
        large l;
        large_open(&l, store, FAKE_FULL, MANY, NULL);
        l.invalidates = 10;
        CHECK_EQ_U(MANY, large_run(&l, CKIT_SOURCE_FUNCTION));
        l.invalidates = 0;
        (void)large_run(&l, CKIT_SOURCE_MEMORY);
        for (size_t i = 0; i < MANY; i += 10) {
            CHECK_EQ_U(CKIT_SOURCE_FUNCTION, l.out[i].source);
        }
        large_close(&l);
    }
}

/* More locks than are taken or renewed in one go. */
#define LOCKED (CKITI_BATCH_PORTION + 76u)

CKIT_TEST(call_many_large, takes_the_locks_of_all_and_keeps_them_however_long_the_loader_runs) {
    large l;
    large_open(&l, true, FAKE_LOCKING_MANY, LOCKED, NULL);
    l.thirds = 5;
    CHECK_EQ_U(LOCKED, large_run(&l, CKIT_SOURCE_FUNCTION));
    CHECK_EQ_U(1, l.runs);
    CHECK_EQ_U(LOCKED, l.locks);
    CHECK_EQ_U(LOCKED, l.loaded);
    CHECK_EQ_U(LOCKED, fake_count(l.f.store));
    CHECK_EQ_U(2, fake_calls(l.f.store, FAKE_LOCK_TRY_MANY));
    CHECK_EQ_U(0, fake_calls(l.f.store, FAKE_LOCK_RENEW));
    CHECK_EQ_U(0, stats_of(l.f.cache).leases_lost);
    CHECK(!fake_is_locked(l.f.store));
    large_close(&l);
}

CKIT_TEST(call_many_large, takes_a_bounded_number_of_locks_that_are_renewed_one_by_one_and_computes_the_rest_without) {
    large l;
    large_open(&l, true, FAKE_LOCKING, CKITI_BATCH_LOCKS + 76, NULL);
    CHECK_EQ_U(l.count, large_run(&l, CKIT_SOURCE_FUNCTION));
    CHECK_EQ_U(1, l.runs);
    CHECK_EQ_U(CKITI_BATCH_LOCKS, l.locks);
    CHECK_EQ_U(l.count, l.loaded);
    CHECK_EQ_U(l.count, fake_count(l.f.store));
    CHECK(!fake_is_locked(l.f.store));
    large_close(&l);
}

CKIT_TEST(call_many_large, that_the_store_leaves_unanswered_costs_one_wait_and_not_one_for_each_portion) {
    static const struct {
        fake_op  op;
        uint64_t kept; /* by the store */
    } silences[] = {
        {FAKE_GET_MANY, 0}, {FAKE_LOCK_TRY_MANY, 0}, {FAKE_SET_MANY_IF_OWNER, 0}, {FAKE_LOCK_RELEASE_MANY, LOCKED}};
    for (size_t i = 0; i < sizeof silences / sizeof silences[0]; i++) {
        large l;
        large_open(&l, true, FAKE_LOCKING_MANY, LOCKED, NULL);
        fake_fail(l.f.store, silences[i].op, CKIT_E_TIMEOUT, UINT64_MAX);
        CHECK_EQ_U(LOCKED, large_run(&l, CKIT_SOURCE_FUNCTION));
        CHECK_EQ_U(1, fake_calls(l.f.store, silences[i].op));
        CHECK_EQ_U(silences[i].kept, fake_count(l.f.store));
        fake_fail(l.f.store, silences[i].op, CKIT_OK, 0);
        large_close(&l);
    }
}

/* ---- second entries (stale.h) ------------------------------------------------------------------------------------ */

static const ckit_function_options *safe(void) {
    static ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 10000;
    options.fail_safe_ms = 5000;
    return &options;
}

CKIT_TEST(call_many_large, reads_and_writes_what_may_be_served_late_all_at_once) {
    large l;
    large_open(&l, true, FAKE_LOCKING_MANY, 100, safe());
    CHECK_EQ_U(100, large_run(&l, CKIT_SOURCE_FUNCTION));
    CHECK_STR("get_many OK, get_many OK, lock_try_many OK, get_many OK, set_many_if_owner OK, set_many OK, "
              "lock_release_many OK",
              fake_log(l.f.store));
    CHECK_EQ_U(200, fake_count(l.f.store));
    CHECK_EQ_U(200, stats_of(l.f.cache).l2_writes);
    large_close(&l);
}

CKIT_TEST(call_many_large, is_served_late_from_the_store_with_one_read_for_all) {
    large l;
    large_open(&l, true, FAKE_LOCKING_MANY, 100, safe());
    CHECK_EQ_U(100, large_run(&l, CKIT_SOURCE_FUNCTION));
    fake_clock_advance(&l.f.time, 12000);
    ckit_cache    *mine = l.f.cache; /* another process, which has nothing in memory */
    ckit_function *fn = l.fn;
    l.f.cache = fixture_cache(&l.f, FAKE_LOCKING_MANY);
    l.fn = function_of(l.f.cache, "test.load", &l.l, safe());
    l.fails = CKIT_E_NETWORK;
    fake_forget_calls(l.f.store);
    CHECK_EQ_U(100, large_run(&l, CKIT_SOURCE_MEMORY)); /* which has what was read */
    for (size_t i = 0; i < l.count; i++) {
        CHECK(l.out[i].stale);
    }
    CHECK_STR("get_many OK, get_many OK, lock_try_many OK, get_many OK, lock_release_many OK", fake_log(l.f.store));
    ckit_function_close(fn);
    ckit_cache_close(mine);
    large_close(&l);
}
