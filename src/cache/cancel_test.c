/* Pollable operations that are freed at every stage: they hand over, and hold nobody up. */
#include "cache/poll_fixture.h"

/* ---- cancelling -------------------------------------------------------------------------------------------------- */

/* A follower takes over what is cancelled at any stage. */
static void check_taken_over(loop *lp, pending *follower) {
    run(lp, follower);
    CHECK(follower->answer == CKIT_OK);
    ckit_value_fini(&follower->value);
    CHECK(!fake_is_locked(lp->f.store));
    CHECK(!is_readable(lp));
}

CKIT_TEST(cancel, before_a_worker_has_it) {
    loop    lp;
    pending busy = {.number = 1}, p = {0}, q = {.number = 2};
    fixture_prepare(&lp.f);
    lp.f.options.workers = 1;
    loop_start(&lp, true, FAKE_LOCKING);
    fake_shut(lp.f.store, FAKE_GET, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &busy, 1));
    fake_wait_stopped(lp.f.store, FAKE_GET, 1);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7));
    ckit_op_free(p.op);
    fake_open_gate(lp.f.store, FAKE_GET);
    run(&lp, &busy);
    ckit_value_fini(&busy.value);
    check_taken_over(&lp, &q);
    CHECK_EQ_U(0, p.readies);
    loop_close(&lp);
}

static void cancel_in_store(fake_kind kind, fake_op op, fake_when when) {
    loop    lp;
    pending p = {0}, q = {.number = 2};
    loop_open(&lp, kind);
    fake_shut(lp.f.store, op, when);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    fake_wait_stopped(lp.f.store, op, 1);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7));
    ckit_op_free(p.op);
    fake_open_gate(lp.f.store, op);
    check_taken_over(&lp, &q);
    CHECK_EQ_U(0, p.readies);
    loop_close(&lp);
}

CKIT_TEST(cancel, while_a_worker_waits_for_the_store) { cancel_in_store(FAKE_LOCKING, FAKE_GET, FAKE_BEFORE); }
CKIT_TEST(cancel, while_a_worker_has_read_the_store) { cancel_in_store(FAKE_LOCKING, FAKE_GET, FAKE_AFTER); }
CKIT_TEST(cancel, while_a_worker_tries_the_lock) { cancel_in_store(FAKE_LOCKING, FAKE_LOCK_TRY, FAKE_BEFORE); }
CKIT_TEST(cancel, while_a_worker_has_got_the_lock) { cancel_in_store(FAKE_LOCKING, FAKE_LOCK_TRY, FAKE_AFTER); }
CKIT_TEST(cancel, while_the_store_has_the_request) { cancel_in_store(FAKE_SUBMITTING, FAKE_SUBMIT, FAKE_BEFORE); }
CKIT_TEST(cancel, while_the_store_answers_the_request) { cancel_in_store(FAKE_SUBMITTING, FAKE_SUBMIT, FAKE_AFTER); }

CKIT_TEST(cancel, ends_the_steps_of_an_operation) {
    loop    lp;
    pending p = {0};
    loop_open(&lp, FAKE_LOCKING);
    fake_shut(lp.f.store, FAKE_GET, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    fake_wait_stopped(lp.f.store, FAKE_GET, 1);
    ckit_op_free(p.op);
    fake_open_gate(lp.f.store, FAKE_GET);
    ckit_poll_close(lp.poll); /* waits until it has come back */
    CHECK_STR("get MISS", fake_log(lp.f.store));
    CHECK_OK(ckit_poll_new(lp.f.cache, &lp.poll, NULL));
    loop_close(&lp);
}

CKIT_TEST(cancel, while_it_waits_for_a_held_lock) {
    loop    lp;
    pending p = {0};
    loop_open(&lp, FAKE_LOCKING);
    ckit_buf key = key_of(lp.fn, 7);
    fake_lock_elsewhere(lp.f.store, ckit_buf_slice(&key));
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    fake_wait_calls(lp.f.store, FAKE_LOCK_TRY, 1);
    ckit_op_free(p.op);
    ckit_buf_fini(&key);
    loop_close(&lp);
}

CKIT_TEST(cancel, as_a_follower) {
    for (int store = 0; store < 2; store++) {
        loop    lp;
        pending p = {.number = 1, .holds = true}, q = {0}, r = {0};
        fixture_prepare(&lp.f);
        loop_start(&lp, store != 0, FAKE_FULL);
        if (begin_call(&lp, &p, 7) == CKIT_PENDING) {
            (void)loop_turn(&lp);
        }
        CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7));
        CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &r, 7));
        ckit_op_free(q.op);
        (void)finish(&p, p.op);
        run(&lp, &p);
        run(&lp, &r);
        CHECK_EQ_U(0, q.readies);
        ckit_value_fini(&p.value);
        ckit_value_fini(&r.value);
        loop_close(&lp);
    }
}

CKIT_TEST(cancel, in_the_queue_of_answers) {
    loop    lp;
    pending p[3] = {{.holds = true}, {.holds = true}, {.holds = true}};
    loop_open(&lp, FAKE_LOCKING);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p[i], i));
    }
    fake_wait_calls(lp.f.store, FAKE_GET, 6); /* each has looked twice: nothing is left but to answer */
    while (!is_readable(&lp)) {
        breathe();
    }
    ckit_op_free(p[1].op);
    while (p[0].readies + p[2].readies < 2) {
        (void)loop_turn(&lp);
    }
    CHECK_EQ_U(0, p[1].readies);
    ckit_op_free(p[0].op);
    ckit_op_free(p[2].op);
    ckit_poll_close(lp.poll);
    CHECK(!fake_is_locked(lp.f.store));
    CHECK_OK(ckit_poll_new(lp.f.cache, &lp.poll, NULL));
    loop_close(&lp);
}

CKIT_TEST(cancel, before_the_function_has_run) {
    loop    lp;
    pending p = {.holds = true}, q = {.number = 2};
    loop_open(&lp, FAKE_LOCKING);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7));
    CHECK(fake_is_locked(lp.f.store));
    ckit_op_free(p.op);
    check_taken_over(&lp, &q);
    loop_close(&lp);
}

CKIT_TEST(cancel, while_the_result_is_being_stored) {
    loop    lp;
    pending p = {.number = 1};
    loop_open(&lp, FAKE_LOCKING);
    fake_shut(lp.f.store, FAKE_SET, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    fake_wait_stopped(lp.f.store, FAKE_SET, 1);
    ckit_op_free(p.op);
    fake_open_gate(lp.f.store, FAKE_SET);
    ckit_poll_close(lp.poll);
    CHECK_EQ_U(1, fake_count(lp.f.store)); /* what is on its way arrives */
    CHECK(!fake_is_locked(lp.f.store));
    CHECK_OK(ckit_poll_new(lp.f.cache, &lp.poll, NULL));
    loop_close(&lp);
}

CKIT_TEST(cancel, letting_the_lock_go_does_not_hold_up_the_loop) {
    loop    lp;
    pending p = {.holds = true}, q = {.failure = CKIT_E_FUNCTION, .holds = true};
    loop_open(&lp, FAKE_LOCKING);
    fake_shut(lp.f.store, FAKE_LOCK_RELEASE, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 8));
    while (p.readies + q.readies < 2) {
        (void)loop_turn(&lp);
    }
    ckit_op_free(p.op); /* these come back though the store does not */
    CHECK_STATUS(CKIT_E_FUNCTION, finish(&q, q.op));
    fake_wait_stopped(lp.f.store, FAKE_LOCK_RELEASE, 2);
    fake_open_gate(lp.f.store, FAKE_LOCK_RELEASE);
    ckit_poll_close(lp.poll);
    CHECK(!fake_is_locked(lp.f.store));
    CHECK_OK(ckit_poll_new(lp.f.cache, &lp.poll, NULL));
    loop_close(&lp);
}

/* The function is closed while a worker is at work with what was cancelled. */
static void close_function_over(fake_op op) {
    loop    lp;
    pending p = {.number = 1};
    loop_open(&lp, FAKE_LOCKING);
    fake_shut(lp.f.store, op, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    if (op == FAKE_SET) {
        (void)loop_turn(&lp);
    }
    fake_wait_stopped(lp.f.store, op, 1);
    ckit_op_free(p.op);
    fake_open_gate(lp.f.store, op);
    ckit_function_close(lp.fn);
    lp.fn = NULL;
    CHECK(!fake_is_locked(lp.f.store));
    CHECK_EQ_U(op == FAKE_SET, fake_count(lp.f.store));
    loop_close(&lp);
}

CKIT_TEST(cancel, then_closing_the_function_waits_for_the_look_at_the_store) { close_function_over(FAKE_GET); }
CKIT_TEST(cancel, then_closing_the_function_waits_for_the_result_to_be_stored) { close_function_over(FAKE_SET); }
