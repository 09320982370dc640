/* Tickets for refreshes, which bindings and event loops have in their own hands: claimed before the function runs. */
#include "cache/cache_fixture.h"
#include "cache/refresh.h"

#define LIFE_MS 10000u
#define HALF_MS 6000u /* of that, whatever is drawn */

/* Values are due after half of their lives; both processes have 7 in memory. */
static void scene_open(stage *s, fake_kind kind) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    stage_open(s, kind, &options);
    stage_join(s, kind, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, s->fn, 7);
    CHECK_CALL(CKIT_SOURCE_STORE, 1, s->there, 7);
}

/* Of the call with 7, as a binding takes one. */
static ckit_op *take_ticket(ckit_function *fn) {
    ckit_op   *op;
    ckit_value none = CKIT_VALUE_INIT;
    CHECK_STATUS(CKIT_STALE, begin_with((ckit_start){.function = fn, .stale = true}, 7, &op, &none));
    return op;
}

CKIT_TEST(claim, that_is_claimed_holds_the_lock_until_it_is_finished) {
    stage      s;
    ckit_error err = CKIT_ERROR_INIT;
    scene_open(&s, FAKE_LOCKING);
    fake_clock_advance(&s.f.time, HALF_MS);
    ckit_op *op = take_ticket(s.fn);
    CHECK_STATUS(CKIT_COMPUTE, ckit_op_claim(op, NULL, NULL, NULL, &err));
    CHECK(fake_is_locked(s.f.store));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_op_claim(op, NULL, NULL, NULL, &err));
    ckit_op *second = take_ticket(s.there);
    CHECK_STATUS(CKIT_MISS, ckit_op_claim(second, NULL, NULL, NULL, NULL));
    CHECK(!ckit_op_computes(second));
    CHECK(take_ticket(s.there) == NULL); /* for a while */
    ckit_op_free(second);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x02")};
    CHECK_OK(ckit_finish(op, &result, NULL, NULL));
    ckit_op_free(op);
    CHECK(!fake_is_locked(s.f.store));
    fake_clock_advance(&s.f.time, CKITI_PAUSE_LOCKED_MS);
    ckit_value value = CKIT_VALUE_INIT;
    second = take_ticket(s.there);
    CHECK_OK(ckit_op_claim(second, NULL, NULL, NULL, NULL));
    ckit_op_take(second, &value);
    CHECK_EQ_U(2, read_number(&value));
    ckit_value_fini(&value);
    ckit_op_free(second);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.there, 7);
    CHECK_EQ_U(1, s.l.runs);
    stage_close(&s);
}

CKIT_TEST(claim, that_is_claimed_and_freed_gives_lock_and_ticket_back) {
    stage s;
    scene_open(&s, FAKE_LOCKING);
    fake_clock_advance(&s.f.time, HALF_MS);
    ckit_op *op = take_ticket(s.fn);
    CHECK_STATUS(CKIT_COMPUTE, ckit_op_claim(op, NULL, NULL, NULL, NULL));
    ckit_op_free(op);
    CHECK(!fake_is_locked(s.f.store));
    op = take_ticket(s.fn);
    CHECK(op != NULL);
    ckit_op_free(op);
    stage_close(&s);
}

typedef struct told {
    unsigned    times;
    ckit_status answer;
} told;

static void on_told(void *context, ckit_op *op, ckit_status came) {
    told *now = context;
    (void)op;
    now->times++;
    now->answer = came;
}

static ckit_status claim_in_loop(ckit_op *op, ckit_poll *poll, told *now) {
    now->times = 0;
    CHECK_STATUS(CKIT_PENDING, ckit_op_claim(op, poll, on_told, now, NULL));
    for (unsigned i = 0; i < 30000 && ckit_poll_dispatch(poll) == 0; i++) {
        breathe();
    }
    CHECK_EQ_U(1, now->times);
    return now->answer;
}

CKIT_TEST(claim, is_claimed_by_an_event_loop_without_waiting) {
    static const fake_kind kinds[] = {FAKE_LOCKING, FAKE_SUBMITTING, FAKE_SUBMITTING_AT_ONCE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        stage      s;
        ckit_poll *poll;
        told       now = {0};
        scene_open(&s, kinds[i]);
        CHECK_OK(ckit_poll_new(s.f.cache, &poll, NULL));
        fake_clock_advance(&s.f.time, HALF_MS);
        ckit_op *op = take_ticket(s.fn);
        CHECK_STATUS(CKIT_E_MISUSE, ckit_op_claim(op, poll, NULL, NULL, NULL));
        CHECK_STATUS(CKIT_COMPUTE, claim_in_loop(op, poll, &now));
        ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x02")};
        CHECK_STATUS(CKIT_PENDING, ckit_finish(op, &result, NULL, NULL));
        now.times = 0;
        for (unsigned turns = 0; turns < 30000 && ckit_poll_dispatch(poll) == 0; turns++) {
            breathe();
        }
        CHECK_STATUS(CKIT_OK, now.answer);
        ckit_op_free(op);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 2, s.fn, 7);
        CHECK(!fake_is_locked(s.f.store));

        s.l.result = 3;
        CHECK_OK(refresh(s.there, 7).status);
        fake_clock_advance(&s.f.time, HALF_MS);
        op = take_ticket(s.fn);
        CHECK_STATUS(CKIT_OK, claim_in_loop(op, poll, &now));
        ckit_op_free(op);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 3, s.fn, 7);
        ckit_poll_close(poll);
        stage_close(&s);
    }
}

CKIT_TEST(claim, that_is_freed_while_the_store_is_asked_ends_by_itself) {
    stage      s;
    ckit_poll *poll;
    told       now = {0};
    scene_open(&s, FAKE_LOCKING);
    CHECK_OK(ckit_poll_new(s.f.cache, &poll, NULL));
    fake_clock_advance(&s.f.time, HALF_MS);
    fake_shut(s.f.store, FAKE_LOCK_TRY, FAKE_AFTER);
    ckit_op *op = take_ticket(s.fn);
    CHECK_STATUS(CKIT_PENDING, ckit_op_claim(op, poll, on_told, &now, NULL));
    fake_wait_stopped(s.f.store, FAKE_LOCK_TRY, 1);
    ckit_op_free(op);
    fake_open_gate(s.f.store, FAKE_LOCK_TRY);
    ckit_poll_close(poll); /* waits for it */
    CHECK_EQ_U(0, now.times);
    CHECK(!fake_is_locked(s.f.store));
    stage_close(&s);
}

CKIT_TEST(claim, of_a_cache_without_a_store_is_claimed_at_once) {
    fixture               f;
    loader                l;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    fixture_open_memory(&f);
    loader_init(&l);
    options.ttl_ms = LIFE_MS;
    options.early_refresh = 0.5;
    ckit_function *fn = function_of(f.cache, "test.load", &l, &options);
    CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, fn, 7);
    fake_clock_advance(&f.time, HALF_MS);
    ckit_op *op = take_ticket(fn);
    CHECK_STATUS(CKIT_COMPUTE, ckit_op_claim(op, NULL, NULL, NULL, NULL));
    ckit_op_free(op);
    ckit_function_close(fn);
    fixture_close(&f);
}

/* A call that computes is no refresh. */
CKIT_TEST(claim, is_all_that_can_be_claimed) {
    stage      s;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    scene_open(&s, FAKE_LOCKING);
    CHECK_STATUS(CKIT_COMPUTE, begin_op(s.fn, 8, &op, &value));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_op_claim(op, NULL, NULL, NULL, NULL));
    ckit_op_free(op);
    stage_close(&s);
}
