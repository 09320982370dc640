/* The lock of a call is kept while its function runs, however long; who lost it overwrites nothing. */
#include "cache/lease.h"
#include "cache/poll_fixture.h"

#define LEASE_MS 30000u

static void open_two(stage *s, fake_kind kind) {
    stage_prepare(s);
    s->f.options.lock_wait_ms = 86400000;
    stage_start(s, kind, NULL);
    stage_join(s, kind, NULL);
}

/* A third of the lease passes, and the renewal has come. */
static void pass_a_third(stage *s, uint64_t renewals) {
    pass(&s->f, LEASE_MS / 3);
    fake_wait_calls(s->f.store, FAKE_LOCK_RENEW, renewals);
}

CKIT_TEST(lease, is_renewed_while_the_function_runs_so_that_nobody_else_computes) {
    stage         s;
    threaded_call holder = {0}, waiter = {0};
    open_two(&s, FAKE_LOCKING);
    call_stop_in_loader(&holder, s.fn, 7, &s.l);
    call_start(&waiter, s.there, 7);
    for (uint64_t i = 1; i <= 5; i++) {
        pass_a_third(&s, i);
    }
    fake_wait_calls(s.f.store, FAKE_LOCK_TRY, fake_calls(s.f.store, FAKE_LOCK_TRY) + 2);
    CHECK_EQ_U(1, s.l.runs);
    loader_open(&s.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_join(&waiter).source);
    CHECK_EQ_U(1, s.l.runs);
    CHECK(!fake_is_locked(s.f.store));
    stage_close(&s);
}

CKIT_TEST(lease, of_a_pollable_call_is_renewed_too) {
    loop          lp;
    pending       p = {.number = 5, .holds = true};
    threaded_call waiter = {0};
    fixture_prepare(&lp.f);
    lp.f.options.lock_wait_ms = 86400000;
    loop_start(&lp, true, FAKE_LOCKING);
    ckit_cache    *other = fixture_cache(&lp.f, FAKE_LOCKING);
    ckit_function *same = function_of(other, "test.load", &lp.l, NULL);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    CHECK_STATUS(CKIT_COMPUTE, p.answer);
    call_start(&waiter, same, 7);
    for (uint64_t i = 1; i <= 4; i++) {
        pass(&lp.f, LEASE_MS / 3);
        fake_wait_calls(lp.f.store, FAKE_LOCK_RENEW, i);
    }
    CHECK_STATUS(CKIT_PENDING, finish(&p, p.op));
    run(&lp, &p);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
    CHECK_EQ_U(CKIT_SOURCE_STORE, call_join(&waiter).source);
    CHECK_EQ_U(0, lp.l.runs);
    ckit_function_close(same);
    ckit_cache_close(other);
    loop_close(&lp);
}

CKIT_TEST(lease, that_nobody_wants_any_more_is_not_renewed) {
    stage         s;
    threaded_call held = {0};
    open_two(&s, FAKE_LOCKING);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 6);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 5).status);
    call_stop_in_loader(&held, s.fn, 7, &s.l);
    pass_a_third(&s, 1);
    loader_open(&s.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&held).source);
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_LOCK_RENEW));
    stage_close(&s);
}

CKIT_TEST(lease, whose_renewal_fails_is_renewed_again_before_it_ends) {
    stage         s;
    threaded_call held = {0};
    open_two(&s, FAKE_LOCKING);
    fake_fail(s.f.store, FAKE_LOCK_RENEW, CKIT_E_IO, 1);
    call_stop_in_loader(&held, s.fn, 7, &s.l);
    pass_a_third(&s, 1);
    pass(&s.f, LEASE_MS / 12);
    fake_wait_calls(s.f.store, FAKE_LOCK_RENEW, 2);
    pass_a_third(&s, 3); /* the second has ended when the third comes */
    CHECK_CONTAINS("lock_renew E_IO, lock_renew OK", fake_log(s.f.store));
    loader_open(&s.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&held).source);
    stage_close(&s);
}

/* ---- a store that hangs ------------------------------------------------------------------------------------------ */

#define HOLDERS 12

typedef struct holders {
    fixture        f;
    loader         l;
    ckit_function *fn;
    threaded_call  calls[HOLDERS];
    unsigned       count;
} holders;

/* So many calls whose functions run, each with its lock. */
static void open_holders(holders *h, unsigned count, uint32_t lease_ms) {
    memset(h, 0, sizeof *h);
    fixture_prepare(&h->f);
    h->f.options.lock_lease_ms = lease_ms;
    fixture_start(&h->f, FAKE_LOCKING);
    loader_init(&h->l);
    loader_shut(&h->l);
    h->fn = function_of(h->f.cache, "test.load", &h->l, NULL);
    h->count = count;
    for (unsigned i = 0; i < count; i++) {
        call_start(&h->calls[i], h->fn, (int64_t)i);
    }
    loader_wait_stopped(&h->l, count);
    fake_shut(h->f.store, FAKE_LOCK_RENEW, FAKE_BEFORE);
}

static void close_holders(holders *h) {
    loader_open(&h->l);
    for (unsigned i = 0; i < h->count; i++) {
        CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&h->calls[i]).source);
    }
    CHECK_EQ_U(0, stats_of(h->f.cache).leases_lost);
    fake_open_gate(h->f.store, FAKE_LOCK_RENEW);
    ckit_function_close(h->fn);
    fixture_close(&h->f);
}

CKIT_TEST(lease, whose_renewal_hangs_leaves_those_of_others_to_be_renewed_in_time) {
    holders h;
    open_holders(&h, 3, LEASE_MS);
    fake_clock_advance(&h.f.time, LEASE_MS / 3);
    fake_wait_stopped(h.f.store, FAKE_LOCK_RENEW, 3); /* none waits for another */
    fake_let_one(h.f.store, FAKE_LOCK_RENEW);
    fake_clock_advance(&h.f.time, LEASE_MS / 3); /* it is asked for again, while the others hang on */
    fake_wait_calls(h.f.store, FAKE_LOCK_RENEW, 4);
    fake_open_gate(h.f.store, FAKE_LOCK_RENEW);
    close_holders(&h);
}

CKIT_TEST(lease, s_renewals_take_a_bounded_number_of_threads_however_many_hang) {
    holders h;
    open_holders(&h, HOLDERS, LEASE_MS);
    fake_clock_advance(&h.f.time, LEASE_MS / 3);
    fake_wait_stopped(h.f.store, FAKE_LOCK_RENEW, CKITI_LEASE_THREADS);
    CHECK_EQ_U(CKITI_LEASE_THREADS, fake_calls(h.f.store, FAKE_LOCK_RENEW));
    for (unsigned i = CKITI_LEASE_THREADS; i < HOLDERS; i++) { /* who is answered takes the next */
        fake_let_one(h.f.store, FAKE_LOCK_RENEW);
        fake_wait_calls(h.f.store, FAKE_LOCK_RENEW, i + 1);
    }
    fake_open_gate(h.f.store, FAKE_LOCK_RENEW);
    fake_clock_advance(&h.f.time, LEASE_MS / 3);
    fake_wait_calls(h.f.store, FAKE_LOCK_RENEW, 2 * HOLDERS);
    close_holders(&h);
}

CKIT_TEST(lease, is_asked_for_with_a_sixth_of_it_as_the_time_limit) {
    holders h;
    open_holders(&h, 1, 6000);
    fake_clock_advance(&h.f.time, 2000);
    fake_wait_stopped(h.f.store, FAKE_LOCK_RENEW, 1);
    CHECK_EQ_U(fake_clock_now(&h.f.time) + 1000, fake_last_deadline(h.f.store, FAKE_LOCK_RENEW));
    fake_open_gate(h.f.store, FAKE_LOCK_RENEW);
    close_holders(&h);
}

static bool has_failed(void *context) { return stats_of(context).l2_errors > 0; }

/* A holder that slept through its lease, while another process computed and stored. */
static void come_late(fake_kind kind) {
    stage      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    open_two(&s, kind);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 7, &op, &value));
    fake_fail(s.f.store, FAKE_LOCK_RENEW, CKIT_E_IO, UINT64_MAX);
    pass(&s.f, LEASE_MS);
    wait_for(has_failed, s.f.cache); /* the renewal: it comes too late to be tried again */
    s.l.result = 2;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.there, 7);
    fake_fail(s.f.store, FAKE_LOCK_RENEW, CKIT_OK, 0);

    const ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x01")};
    CHECK_OK(ckit_finish(op, &result, &value, NULL));
    CHECK_EQ_U(1, read_number(&value)); /* it is its caller's all the same */
    ckit_value_fini(&value);
    ckit_op_free(op);
    CHECK_EQ_U(1, stats_of(s.f.cache).leases_lost);
    CHECK_EQ_U(1, stats_of(s.f.cache).l2_errors); /* a lost lock is no failure of the store */
    CHECK_CONTAINS("is not stored", s.f.log.text);
    CHECK_CALL(CKIT_SOURCE_STORE, 2, s.fn, 7); /* memory did not keep it either */
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.there, 7);
    stage_close(&s);
}

CKIT_TEST(lease, that_was_lost_writes_nothing_over_a_newer_value) { come_late(FAKE_LOCKING); }
CKIT_TEST(lease, that_was_lost_is_asked_for_where_the_store_has_no_fenced_write) { come_late(FAKE_UNFENCED); }

CKIT_TEST(lease, that_has_not_ended_is_not_asked_for) {
    stage s;
    stage_open(&s, FAKE_UNFENCED, NULL);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_STR("get MISS, lock_try OK, get MISS, set OK, lock_release OK", fake_log(s.f.store));
    stage_close(&s);
}

/* The lock is gone though its time is not over: a store that was emptied, and somebody else was quicker. */
CKIT_TEST(lease, that_is_somebody_else_s_is_renewed_no_more) {
    stage         s;
    threaded_call held = {0};
    open_two(&s, FAKE_LOCKING);
    call_stop_in_loader(&held, s.fn, 7, &s.l);
    ckit_buf key = key_of(s.fn, 7);
    fake_unlock_elsewhere(s.f.store, ckit_buf_slice(&key));
    fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
    pass_a_third(&s, 1);
    pass(&s.f, 10 * LEASE_MS);
    loader_open(&s.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&held).source);
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_LOCK_RENEW));
    CHECK_EQ_U(0, fake_count(s.f.store));
    CHECK_EQ_U(1, stats_of(s.f.cache).leases_lost);
    CHECK(fake_is_locked(s.f.store));
    ckit_buf_fini(&key);
    stage_close(&s);
}

/* ---- the second entry of values that are served late ------------------------------------------------------------- */

/* The call with 7 stands between its two writes: the key's own has been made, the second is about to be. */
static void stand_between_writes(stage *s, threaded_call *holder, fake_kind kind) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = LEASE_MS * 100;
    options.stale_ms = LEASE_MS * 100;
    stage_open(s, kind, &options);
    call_stop_in_store(holder, s->fn, 7, s->f.store, FAKE_SET, FAKE_BEFORE);
    fake_let_one(s->f.store, FAKE_SET);
    fake_wait_calls(s->f.store, FAKE_SET, 2);
    fake_wait_stopped(s->f.store, FAKE_SET, 1);
}

/* Somebody else gets the lock meanwhile, and stores both. */
static void lose_between_writes(fake_kind kind) {
    stage         s;
    threaded_call holder = {0};
    stand_between_writes(&s, &holder, kind);
    ckit_buf key = key_of(s.fn, 7);
    fake_unlock_elsewhere(s.f.store, ckit_buf_slice(&key));
    fake_lock_elsewhere(s.f.store, ckit_buf_slice(&key));
    fake_open_gate(s.f.store, FAKE_SET);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    CHECK(stage_has_key(&s, 7));
    CHECK(!stage_has_late(&s, 7)); /* what it wrote there may have replaced a newer one */
    CHECK_CONTAINS("lock_release MISS, remove OK", fake_log(s.f.store));
    ckit_buf_fini(&key);
    stage_close(&s);
}

CKIT_TEST(lease, that_was_lost_between_the_two_writes_leaves_nothing_older_to_serve_late) {
    lose_between_writes(FAKE_LOCKING);
}
CKIT_TEST(lease, nor_where_the_store_has_no_fenced_write) { lose_between_writes(FAKE_UNFENCED); }

CKIT_TEST(lease, that_was_held_to_the_end_keeps_both_entries) {
    stage         s;
    threaded_call holder = {0};
    stand_between_writes(&s, &holder, FAKE_LOCKING);
    fake_open_gate(s.f.store, FAKE_SET);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    CHECK(stage_has_key(&s, 7) && stage_has_late(&s, 7));
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_REMOVE));
    stage_close(&s);
}

/* Changes that the store may not have taken are made up for by the clock. */
static bool has_no_late_in_time(void *context) {
    stage *s = context;
    fake_clock_advance(&s->f.time, 100);
    return !stage_has_late(s, 7);
}

CKIT_TEST(lease, of_which_nobody_can_tell_whether_it_was_held_leaves_nothing_to_serve_late) {
    stage         s;
    threaded_call holder = {0};
    stand_between_writes(&s, &holder, FAKE_LOCKING);
    fake_fail(s.f.store, FAKE_LOCK_RELEASE, CKIT_E_IO, 1);
    fake_open_gate(s.f.store, FAKE_SET);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    wait_for(has_no_late_in_time, &s);
    stage_close(&s);
}

/* The process was stopped after the first write, and knows that by the clock. */
CKIT_TEST(lease, that_has_ended_after_the_first_write_allows_no_second) {
    stage                 s;
    threaded_call         holder = {0};
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = LEASE_MS * 100;
    options.stale_ms = LEASE_MS * 100;
    stage_open(&s, FAKE_LOCKING, &options);
    call_stop_in_store(&holder, s.fn, 7, s.f.store, FAKE_SET, FAKE_AFTER);
    fake_fail(s.f.store, FAKE_LOCK_RENEW, CKIT_E_IO, UINT64_MAX);
    fake_clock_advance(&s.f.time, LEASE_MS);
    fake_open_gate(s.f.store, FAKE_SET);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    CHECK(stage_has_key(&s, 7) && !stage_has_late(&s, 7));
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_SET));
    stage_close(&s);
}
