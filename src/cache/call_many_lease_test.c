/* Many calls at once, and how long they keep the store's locks: renewed together, each lost by itself. */
#include "cache/batch.h"
#include "cache/many_fixture.h"

#define LEASE_MS 30000u
#define CALLS 5u

/* A batch whose loader stands still with the locks of 1 to CALLS. */
static void hold(scene *s, many *m) {
    scene_open(s, FAKE_LOCKING_MANY);
    loader_shut(&s->m.gate);
    *m = (many){.fn = s->fn, .loader = &s->m, .count = CALLS, .arguments = {1, 2, 3, 4, 5}};
    start_many(m);
    loader_wait_stopped(&s->m.gate, 1);
}

/* It goes on, and has computed everything. */
static void let_end(scene *s, many *m) {
    loader_open(&s->m.gate);
    CHECK_EQ_I(0, pthread_join(m->thread, NULL));
    CHECK_OK_ERR(m->status, &m->err);
    for (size_t i = 0; i < CALLS; i++) {
        CHECK_ANSWER(CKIT_SOURCE_FUNCTION, m, i);
    }
}

CKIT_TEST(call_many_lease, is_renewed_with_the_others_of_its_batch_in_one_call) {
    scene s;
    many  m;
    hold(&s, &m);
    for (uint64_t i = 1; i <= 5; i++) {
        pass(&s.f, LEASE_MS / 3);
        fake_wait_calls(s.f.store, FAKE_LOCK_RENEW_MANY, i);
    }
    let_end(&s, &m);
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_LOCK_RENEW));
    CHECK_EQ_U(CALLS, fake_count(s.f.store));
    CHECK_EQ_U(0, stats_of(s.f.cache).leases_lost);
    CHECK(!fake_is_locked(s.f.store));
    scene_close(&s);
}

CKIT_TEST(call_many_lease, whose_renewal_fails_is_renewed_again_before_it_ends) {
    scene s;
    many  m;
    hold(&s, &m);
    fake_fail(s.f.store, FAKE_LOCK_RENEW_MANY, CKIT_E_IO, 1); /* of all of them */
    pass(&s.f, LEASE_MS / 3);
    fake_wait_calls(s.f.store, FAKE_LOCK_RENEW_MANY, 1);
    pass(&s.f, LEASE_MS / 12);
    fake_wait_calls(s.f.store, FAKE_LOCK_RENEW_MANY, 2);
    fake_fail(s.f.store, FAKE_LOCK_RENEW, CKIT_E_IO, 1); /* of one of them */
    pass(&s.f, LEASE_MS / 3);
    fake_wait_calls(s.f.store, FAKE_LOCK_RENEW_MANY, 3);
    pass(&s.f, LEASE_MS / 12);
    fake_wait_calls(s.f.store, FAKE_LOCK_RENEW, 1); /* which is alone now */
    let_end(&s, &m);
    CHECK_EQ_U(CALLS, fake_count(s.f.store));
    CHECK_EQ_U(0, stats_of(s.f.cache).leases_lost);
    scene_close(&s);
}

/* The store was emptied, and somebody else was quicker with one of them. */
CKIT_TEST(call_many_lease, that_is_somebody_else_s_keeps_one_result_from_the_store_and_no_other) {
    scene s;
    many  m;
    hold(&s, &m);
    ckit_buf key = key_of(s.fn, 2);
    fake_unlock_elsewhere(s.f.store, ckit_buf_slice(&key));
    fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
    for (uint64_t i = 1; i <= 4; i++) {
        pass(&s.f, LEASE_MS / 3);
        fake_wait_calls(s.f.store, FAKE_LOCK_RENEW_MANY, i);
    }
    let_end(&s, &m);
    CHECK_EQ_U(1, stats_of(s.f.cache).leases_lost);
    CHECK_EQ_U(CALLS - 1, fake_count(s.f.store));
    CHECK_EQ_U(1, fake_locks(s.f.store));
    ckit_buf_fini(&key);
    scene_close(&s);
}

CKIT_TEST(call_many_lease, s_renewal_that_hangs_keeps_no_batch_from_its_end) {
    scene s;
    many  m;
    hold(&s, &m);
    fake_shut(s.f.store, FAKE_LOCK_RENEW_MANY, FAKE_BEFORE);
    pass(&s.f, LEASE_MS / 3);
    fake_wait_stopped(s.f.store, FAKE_LOCK_RENEW_MANY, 1);
    let_end(&s, &m);
    CHECK_EQ_U(CALLS, fake_count(s.f.store));
    CHECK(!fake_is_locked(s.f.store));
    fake_open_gate(s.f.store, FAKE_LOCK_RENEW_MANY);
    scene_close(&s);
}

CKIT_TEST(call_many_lease, of_a_single_call_is_renewed_by_itself_while_those_of_a_batch_hang) {
    scene         s;
    many          m;
    threaded_call single = {0};
    hold(&s, &m);
    fake_clock_advance(&s.f.time, 1);
    loader_shut(&s.l);
    call_start(&single, s.fn, 40);
    loader_wait_stopped(&s.l, 1);
    fake_shut(s.f.store, FAKE_LOCK_RENEW_MANY, FAKE_BEFORE);
    pass(&s.f, LEASE_MS / 3);
    fake_wait_stopped(s.f.store, FAKE_LOCK_RENEW_MANY, 1);
    fake_wait_calls(s.f.store, FAKE_LOCK_RENEW, 1);
    fake_open_gate(s.f.store, FAKE_LOCK_RENEW_MANY);
    loader_open(&s.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&single).source);
    let_end(&s, &m);
    scene_close(&s);
}

/* ---- more locks than are taken or renewed in one go -------------------------------------------------------------- */

/* A batch of one process; it computes 10 times the argument. */
typedef struct page {
    ckit_cache      *cache;
    ckit_function   *fn;
    loader           gate;
    size_t           count;
    ckit_args       *args;
    ckit_args      **calls;
    ckit_value      *out;
    ckit_status     *answers;
    _Atomic uint64_t runs;
    size_t           loaded; /* by the last run */
    pthread_t        thread;
} page;

/* From `first` on, or down. */
static void page_open(page *p, fixture *f, loader *single, size_t count, int64_t first, int64_t step) {
    memset(p, 0, sizeof *p);
    p->cache = fixture_cache(f, FAKE_LOCKING_MANY);
    p->fn = function_of(p->cache, "test.load", single, NULL);
    loader_init(&p->gate);
    p->count = count;
    p->args = calloc(count, sizeof p->args[0]);
    p->calls = calloc(count, sizeof p->calls[0]);
    p->out = calloc(count, sizeof p->out[0]);
    p->answers = calloc(count, sizeof p->answers[0]);
    CHECK(p->args != NULL && p->calls != NULL && p->out != NULL && p->answers != NULL);
    for (size_t i = 0; i < count; i++) {
        ckit_args_init(&p->args[i]);
        ckit_args_int(&p->args[i], first + (int64_t)i * step);
        p->calls[i] = &p->args[i];
        ckit_value_init(&p->out[i]);
    }
}

static void page_close(page *p) {
    for (size_t i = 0; i < p->count; i++) {
        ckit_value_fini(&p->out[i]);
        ckit_args_fini(&p->args[i]);
    }
    free(p->args);
    free(p->calls);
    free(p->out);
    free(p->answers);
    ckit_function_close(p->fn);
    ckit_cache_close(p->cache);
}

static ckit_status load_page(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    page     *p = context;
    ckit_load gate = {.result = NULL};
    p->loaded = count;
    p->gate.silent = true;
    p->runs++;
    (void)loader_run(&p->gate, &gate, err);
    for (size_t i = 0; i < count; i++) {
        ckit_reader r;
        ckit_args_positional(calls[i].args, &r);
        write_number(calls[i].result, (uint64_t)ckit_read_int(&r) * 10, 0);
    }
    return CKIT_OK;
}

static void *run_page(void *context) {
    page      *p = context;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_call_many(p->fn, p->calls, p->count, load_page, p, p->out, p->answers, &err), &err);
    return NULL;
}

static size_t count_from(const page *p, ckit_source source) {
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++) {
        count += p->out[i].source == source;
    }
    return count;
}

#define SHARED (CKITI_BATCH_PORTION + 76u)

CKIT_TEST(call_many_lease, lets_two_processes_with_large_batches_in_two_orders_compute_what_they_share_once) {
    scene s;
    page  one, other;
    scene_open(&s, FAKE_LOCKING_MANY);
    page_open(&one, &s.f, &s.l, SHARED, 0, 1);
    page_open(&other, &s.f, &s.l, 2 * SHARED, 2 * SHARED - 1, -1); /* these too, backwards and last */
    loader_shut(&one.gate);
    CHECK_EQ_I(0, pthread_create(&one.thread, NULL, run_page, &one));
    loader_wait_stopped(&one.gate, 1); /* it has all its locks */
    CHECK_EQ_I(0, pthread_create(&other.thread, NULL, run_page, &other));
    wait_until(&other.runs, 1);
    loader_open(&one.gate);
    CHECK_EQ_I(0, pthread_join(one.thread, NULL));
    CHECK_EQ_I(0, pthread_join(other.thread, NULL));
    CHECK_EQ_U(1, one.runs);
    CHECK_EQ_U(1, other.runs);
    CHECK_EQ_U(SHARED, other.loaded);
    CHECK_EQ_U(SHARED, count_from(&other, CKIT_SOURCE_STORE));
    CHECK_EQ_U(2 * SHARED, fake_count(s.f.store));
    CHECK(!fake_is_locked(s.f.store));
    page_close(&one);
    page_close(&other);
    scene_close(&s);
}
