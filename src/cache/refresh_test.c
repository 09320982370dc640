/* Refreshes in the background: when one is due, and what it finds in the store before the function runs. */
#include "cache/cache_fixture.h"
#include "cache/refresh.h"

#include <cachekit/seal.h>

#define LIFE_MS 10000u

static void ignore_line(void *self, ckit_log_level level, const char *component, const char *line) {
    (void)self, (void)level, (void)component, (void)line;
}

/* Lives of 10 s, to be refreshed after half of them; both processes have 7 in memory, as it was computed. */
static void scene_open(stage *s, fake_kind kind, uint64_t stale_ms) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    options.stale_ms = stale_ms;
    stage_open(s, kind, &options);
    stage_join(s, kind, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s->there, 7);
    s->l.result = 2;
    fake_forget_calls(s->f.store);
}

/* Past half of the life, whatever is drawn; where values are stale past it, past that. */
static void pass_half(stage *s) { fake_clock_advance(&s->f.time, LIFE_MS * 11 / 20 + 1); }

static void check_stale(ckit_function *fn, uint64_t number) {
    answer a = call(fn, 7);
    CHECK_OK(a.status);
    CHECK(a.stale);
    CHECK_EQ_U(number, a.number);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, a.source);
}

static bool has_found(void *context) { return stats_of(context).refreshes_found > 0; }

static bool has_put_off(void *context) { return stats_of(context).refreshes_put_off > 0; }

static bool is_let_go(void *store) { return !fake_is_locked(store); }

static void wait_put_off(ckit_cache *cache) { wait_for(has_put_off, cache); }

/* Every reader of the log waits for the release, which comes last. */
static const char *log_of_refresh(stage *s) {
    fake_wait_calls(s->f.store, FAKE_LOCK_RELEASE, 1);
    return fake_log(s->f.store);
}

static void remove_elsewhere(stage *s) {
    ckit_buf      key = key_of(s->fn, 7);
    ckit_backend *plain = fake_connect(s->f.store, FAKE_REQUIRED);
    CHECK_OK(
        ckit_backend_operations(plain)->remove(ckit_backend_self(plain), ckit_buf_slice(&key), CKIT_NO_DEADLINE, NULL));
    ckit_backend_close(plain);
    ckit_buf_fini(&key);
}

/* ---- within the lifetime ----------------------------------------------------------------------------------------- */

CKIT_TEST(refresh, takes_what_somebody_else_has_stored_and_its_end) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    fake_clock_advance(&s.f.time, 4000);
    CHECK_OK(refresh(s.there, 7).status);
    fake_clock_advance(&s.f.time, 2000);
    check_stale(s.fn, 1);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(2, call(s.fn, 7).number);
    CHECK_EQ_U(2, s.l.runs); /* the second was the other process's */
    CHECK_EQ_U(1, stats_of(s.f.cache).refreshes);
    wait_for(has_found, s.f.cache); /* it is counted after memory has it */
    CHECK_EQ_U(1, stats_of(s.f.cache).refreshes_found);
    loader_fail(&s.l, CKIT_E_FUNCTION, UINT64_MAX);
    fake_clock_advance(&s.f.time, 7999); /* the last millisecond of what the store has */
    check_stale(s.fn, 2);
    wait_until(&s.l.ended, 3); /* it has begun a refresh: who joins that may get what it had read by then */
    fake_clock_advance(&s.f.time, 1);
    CHECK_STATUS(CKIT_E_FUNCTION, call(s.fn, 7).status);
    stage_close(&s);
}

CKIT_TEST(refresh, computes_what_nobody_has_renewed_with_the_lock_held) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    pass_half(&s);
    check_stale(s.fn, 1);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(2, call(s.fn, 7).number);
    CHECK_STR("get OK, lock_try OK, get OK, set OK, lock_release OK", log_of_refresh(&s));
    CHECK_EQ_U(0, stats_of(s.f.cache).refreshes_found);
    CHECK_EQ_U(0, stats_of(s.f.cache).refreshes_put_off);
    stage_close(&s);
}

CKIT_TEST(refresh, of_the_same_value_with_a_new_life_takes_the_life) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    fake_clock_advance(&s.f.time, 4000);
    s.l.result = 1;
    CHECK_OK(refresh(s.there, 7).status);
    fake_clock_advance(&s.f.time, 2000);
    check_stale(s.fn, 1);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(2, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(refresh, of_what_the_store_has_lost_forgets_it) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    remove_elsewhere(&s);
    pass_half(&s);
    check_stale(s.fn, 1);
    wait_put_off(s.f.cache);
    CHECK_EQ_U(1, s.l.runs);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    stage_close(&s);
}

CKIT_TEST(refresh, asks_a_failing_store_once_in_a_while_and_the_copy_stays_until_its_end) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    fake_fail(s.f.store, FAKE_GET, CKIT_E_IO, UINT64_MAX);
    pass_half(&s);
    check_stale(s.fn, 1);
    wait_put_off(s.f.cache);
    for (int i = 0; i < 20; i++) {
        check_stale(s.fn, 1);
    }
    CHECK_EQ_U(1, stats_of(s.f.cache).refreshes);
    CHECK_EQ_U(1, fake_calls(s.f.store, FAKE_GET));
    fake_clock_advance(&s.f.time, CKITI_PAUSE_FAILED_MS);
    check_stale(s.fn, 1);
    fake_wait_calls(s.f.store, FAKE_GET, 2);
    CHECK_EQ_U(1, s.l.runs);
    fake_clock_advance(&s.f.time, LIFE_MS);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 2, s.fn, 7);
    stage_close(&s);
}

CKIT_TEST(refresh, that_fails_lets_the_lock_go_and_leaves_the_copy) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    loader_fail(&s.l, CKIT_E_FUNCTION, 1);
    pass_half(&s);
    check_stale(s.fn, 1);
    CHECK_STR("get OK, lock_try OK, get OK, lock_release OK", log_of_refresh(&s));
    CHECK(!fake_is_locked(s.f.store));
    wait_for(serves_fresh, s.fn); /* a later hit tries again */
    CHECK_EQ_U(2, call(s.fn, 7).number);
    CHECK_EQ_U(3, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(refresh, goes_by_the_value_where_the_store_hides_lives) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    fake_hide_lives(s.f.store, true);
    pass_half(&s);
    check_stale(s.fn, 1);
    wait_for(serves_fresh, s.fn); /* the same value as memory's */
    CHECK_EQ_U(2, s.l.runs);
    pass_half(&s);
    s.l.result = 3;
    CHECK_OK(refresh(s.there, 7).status);
    check_stale(s.fn, 2);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(3, call(s.fn, 7).number);
    CHECK_EQ_U(3, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(refresh, does_not_renew_the_life_of_what_it_looks_at) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    options.renew_below = 0.9;
    stage_open(&s, FAKE_FULL, &options);
    stage_join(&s, FAKE_FULL, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    s.l.result = 2;
    pass_half(&s);
    check_stale(s.fn, 1);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(2, call(s.fn, 7).number);
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_TOUCH));
    stage_close(&s);
}

static ckit_status load_nil(void *context, ckit_load *load, ckit_error *err) {
    _Atomic uint64_t *runs = context;
    (void)err;
    atomic_fetch_add(runs, 1);
    ckit_write_nil(load->result);
    return CKIT_OK;
}

/* Its age counts from its own lifetime, not from that of other results. */
CKIT_TEST(refresh, of_nil_that_was_read_goes_by_the_life_of_nil) {
    fixture               f;
    _Atomic uint64_t      runs = 0;
    ckit_function        *fn[2];
    ckit_cache           *other;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open(&f, FAKE_FULL);
    other = fixture_cache(&f, FAKE_FULL);
    options.ttl_ms = 100 * LIFE_MS;
    options.nil_ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    CHECK_OK(ckit_function_new(f.cache, "test.nil", load_nil, &runs, &options, &fn[0], NULL));
    CHECK_OK(ckit_function_new(other, "test.nil", load_nil, &runs, &options, &fn[1], NULL));
    for (unsigned i = 0; i < 2; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        CHECK_OK(ckit_call(fn[i], NULL, &value, NULL));
        ckit_value_fini(&value);
        fake_clock_advance(&f.time, 1500);
    }
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_OK(ckit_call(fn[1], NULL, &value, NULL));
    CHECK(!value.stale);
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, value.source);
    ckit_value_fini(&value);
    CHECK_EQ_U(1, runs);
    for (unsigned i = 0; i < 2; i++) {
        ckit_function_close(fn[i]);
    }
    ckit_cache_close(other);
    fixture_close(&f);
}

CKIT_TEST(refresh, of_what_was_read_late_in_its_life_comes_soon) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    scene_open(&s, FAKE_LOCKING, 0);
    fake_clock_advance(&s.f.time, 4000);
    options.ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    ckit_cache    *late = fixture_cache(&s.f, FAKE_LOCKING);
    ckit_function *fn = function_of(late, "test.load", &s.l, &options);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, fn, 7);
    fake_clock_advance(&s.f.time, 1501); /* its own copy is that old; the value is older than half of its life */
    check_stale(fn, 1);
    wait_for(serves_fresh, fn);
    CHECK_EQ_U(2, call(fn, 7).number);
    ckit_function_close(fn);
    ckit_cache_close(late);
    stage_close(&s);
}

/* The store tells what it has left, not that its lifetime was short from the beginning. */
CKIT_TEST(refresh, of_what_was_given_a_short_life_of_its_own_waits_for_a_part_of_it) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 100 * LIFE_MS;
    options.early_refresh = 0.5;
    stage_open(&s, FAKE_LOCKING, &options);
    stage_join(&s, FAKE_LOCKING, &options);
    s.l.ttl_ms = LIFE_MS;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s.there, 7);
    s.l.result = 2;
    fake_clock_advance(&s.f.time, LIFE_MS * 4 / 10);
    answer a = call(s.there, 7);
    CHECK_EQ_U(1, a.number);
    CHECK(!a.stale);
    fake_clock_advance(&s.f.time, LIFE_MS / 10);
    check_stale(s.there, 1);
    wait_for(serves_fresh, s.there);
    CHECK_EQ_U(2, call(s.there, 7).number);
    CHECK_EQ_U(2, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(refresh, is_due_by_a_draw_of_each_read) {
    fixture               f;
    loader                l;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open_memory(&f);
    loader_init(&l);
    loader_shut(&l);
    options.ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    ckit_function *fn = function_of(f.cache, "test.load", NULL, &options);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t due = 0;
        fake_clock_advance(&f.time, round == 0 ? 0 : LIFE_MS * round); /* everything has ended */
        for (int64_t i = 0; i < 200; i++) {
            ckit_op    *op;
            ckit_args   args;
            ckit_value  value = CKIT_VALUE_INIT;
            ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x01")};
            ckit_args_init(&args);
            ckit_args_int(&args, i);
            ckit_start start = {.struct_size = sizeof start, .function = fn, .args = &args};
            CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
            CHECK_OK(ckit_finish(op, &result, NULL, NULL));
            ckit_op_free(op);
            ckit_args_fini(&args);
        }
        const uint64_t at_ms[] = {4500, 5000, 5501};
        fake_clock_advance(&f.time, at_ms[round]);
        for (int64_t i = 0; i < 200; i++) {
            ckit_op   *op;
            ckit_args  args;
            ckit_value value = CKIT_VALUE_INIT;
            ckit_args_init(&args);
            ckit_args_int(&args, i);
            ckit_start start = {.struct_size = sizeof start, .function = fn, .args = &args};
            CHECK_STATUS(CKIT_STALE, ckit_begin(&start, &op, &value, NULL));
            due += op != NULL;
            ckit_op_free(op);
            ckit_value_fini(&value);
            ckit_args_fini(&args);
        }
        CHECKF(round == 0   ? due < 20
               : round == 1 ? due > 50 && due < 150
                            : due == 200,
               "round %u: %llu", round, (unsigned long long)due);
    }
    ckit_function_close(fn);
    fixture_close(&f);
}

/* ---- a fleet ----------------------------------------------------------------------------------------------------- */

/* Both are due; one computes, the other one comes meanwhile. */
static void refresh_in_two(uint64_t stale_ms, uint64_t age_ms) {
    stage s;
    scene_open(&s, FAKE_LOCKING, stale_ms);
    fake_clock_advance(&s.f.time, age_ms);
    loader_shut(&s.l);
    check_stale(s.fn, 1);
    loader_wait_stopped(&s.l, 1);
    check_stale(s.there, 1);
    wait_put_off(s.other);
    check_stale(s.there, 1);
    CHECK_EQ_U(1, stats_of(s.other).refreshes); /* not at every hit */
    loader_open(&s.l);
    wait_for(serves_fresh, s.fn);
    fake_clock_advance(&s.f.time, CKITI_PAUSE_LOCKED_MS);
    check_stale(s.there, 1);
    wait_for(serves_fresh, s.there);
    CHECK_EQ_U(2, call(s.there, 7).number);
    CHECK_EQ_U(2, s.l.runs);
    wait_for(has_found, s.other);
    CHECK_EQ_U(1, stats_of(s.other).refreshes_found);
    stage_close(&s);
}

CKIT_TEST(refresh, is_left_to_the_process_that_has_the_lock) { refresh_in_two(0, LIFE_MS * 6 / 10); }
CKIT_TEST(refresh, past_the_lifetime_is_done_once_too) { refresh_in_two(5000, LIFE_MS + 1); }

CKIT_TEST(refresh, that_is_drawn_by_what_a_run_costs_looks_first_too) {
    stage                 s;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = LIFE_MS;
    options.early_beta = 1000;
    stage_open(&s, FAKE_LOCKING, &options);
    stage_join(&s, FAKE_LOCKING, &options);
    loader_shut(&s.l);
    threaded_call first = {0};
    call_start(&first, s.fn, 7);
    loader_wait_stopped(&s.l, 1);
    fake_clock_advance(&s.f.time, 1000); /* what a run takes */
    loader_open(&s.l);
    CHECK_OK(call_join(&first).status);
    s.l.result = 2;
    CHECK_OK(refresh(s.there, 7).status);
    fake_clock_advance(&s.f.time, LIFE_MS - 10); /* later than is drawn, but for one draw of 100,000 */
    check_stale(s.fn, 1);
    wait_for(has_found, s.f.cache);
    CHECK_EQ_U(2, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(refresh, past_the_lifetime_does_without_a_store_that_fails) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 5000);
    fake_clock_advance(&s.f.time, LIFE_MS + 1);
    for (unsigned op = 0; op < FAKE_OP_COUNT; op++) {
        fake_fail(s.f.store, (fake_op)op, CKIT_E_IO, UINT64_MAX);
    }
    check_stale(s.fn, 1);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(2, call(s.fn, 7).number);
    stage_close(&s);
}

/* ---- sealed values, and those of tenants ------------------------------------------------------------------------- */

static ckit_status tenant_of(void *context, const ckit_args *args, ckit_buf *tenant, ckit_error *err) {
    (void)context, (void)args, (void)err;
    return ckit_buf_append(tenant, S("acme"));
}

/* Finds what the other process has stored, then computes what nobody has. */
static void refresh_carefully(bool sealed, bool tenants) {
    static const ckit_log quiet = {.write = ignore_line};
    stage                 s;
    ckit_keyring         *ring = NULL;
    ckit_keyring_options  keys = CKIT_KEYRING_OPTIONS_INIT;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    stage_prepare(&s);
    keys.master_key_hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    keys.log = &quiet;
    CHECK_OK(ckit_keyring_open(&keys, &ring, NULL));
    s.f.options.keyring = ring;
    options.ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    options.encryption = sealed ? CKIT_ON : CKIT_OFF;
    options.tenant_of = tenants ? tenant_of : NULL;
    stage_start(&s, FAKE_LOCKING, &options);
    stage_join(&s, FAKE_LOCKING, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s.fn, 7);
    fake_clock_advance(&s.f.time, 4000);
    s.l.result = 2;
    CHECK_OK(refresh(s.there, 7).status);
    fake_clock_advance(&s.f.time, 2000);
    check_stale(s.fn, 1);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(2, call(s.fn, 7).number);
    CHECK_EQ_U(2, s.l.runs);
    s.l.result = 3;
    fake_clock_advance(&s.f.time, 4000); /* the other one's is as old as that */
    check_stale(s.fn, 2);
    wait_for(serves_fresh, s.fn);
    CHECK_EQ_U(3, call(s.fn, 7).number);
    CHECK_EQ_U(3, s.l.runs);
    wait_for(is_let_go, s.f.store); /* after memory has it */
    stage_close(&s);
    ckit_keyring_close(ring);
}

CKIT_TEST(refresh, of_a_sealed_value_goes_by_what_is_sealed) { refresh_carefully(true, false); }
CKIT_TEST(refresh, of_a_tenant_s_value_stays_the_tenant_s) { refresh_carefully(false, true); }
CKIT_TEST(refresh, of_a_tenant_s_sealed_value_too) { refresh_carefully(true, true); }

/* ---- what happens meanwhile -------------------------------------------------------------------------------------- */

/* A refresh begins, and stands in the store until the gate is opened. */
static void stop_in_store(stage *s, fake_when when) {
    fake_shut(s->f.store, FAKE_GET, when);
    check_stale(s->fn, 1);
    fake_wait_stopped(s->f.store, FAKE_GET, 1);
}

/* It goes on, and finds that it is not wanted any more. */
static void go_on_for_nothing(stage *s) {
    fake_open_gate(s->f.store, FAKE_GET);
    wait_put_off(s->f.cache);
}

CKIT_TEST(refresh, brings_nothing_back_that_was_invalidated_while_the_store_was_asked) {
    stage s;
    scene_open(&s, FAKE_REQUIRED, 0);
    fake_clock_advance(&s.f.time, 4000);
    CHECK_OK(refresh(s.there, 7).status);
    fake_clock_advance(&s.f.time, 2000);
    stop_in_store(&s, FAKE_AFTER); /* has read the newer one */
    CHECK_OK(invalidate(s.fn, 7));
    go_on_for_nothing(&s);
    s.l.result = 3;
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 3, s.fn, 7);
    CHECK_EQ_U(0, stats_of(s.f.cache).refreshes_found);
    stage_close(&s);
}

CKIT_TEST(refresh, computes_nothing_for_what_was_invalidated_while_the_store_was_asked) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    pass_half(&s);
    stop_in_store(&s, FAKE_AFTER);
    CHECK_OK(ckit_function_invalidate(s.fn, NULL, NULL));
    go_on_for_nothing(&s);
    CHECK_EQ_U(1, s.l.runs);
    CHECK_EQ_U(0, fake_calls(s.f.store, FAKE_LOCK_TRY));
    stage_close(&s);
}

CKIT_TEST(refresh, that_runs_is_waited_for_when_the_function_is_closed) {
    stage s;
    scene_open(&s, FAKE_LOCKING, 0);
    pass_half(&s);
    stop_in_store(&s, FAKE_BEFORE);
    fake_open_gate(s.f.store, FAKE_GET);
    ckit_function_close(s.fn);
    CHECK_EQ_U(2, s.l.ended);
    CHECK(!fake_is_locked(s.f.store));
    s.fn = function_of(s.f.cache, "test.load", &s.l, NULL);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.fn, 7);
    stage_close(&s);
}
