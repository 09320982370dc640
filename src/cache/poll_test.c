/* The pollable driver under epoll: the same answers as the blocking one, in the same order. */
#include "cache/poll_fixture.h"

#include <sys/epoll.h>
#include <unistd.h>

/* ---- each kind of answer ----------------------------------------------------------------------------------------- */

CKIT_TEST(poll, computes_and_then_hits_memory_at_once) {
    static const fake_kind kinds[] = {FAKE_REQUIRED, FAKE_LOCKING, FAKE_SUBMITTING, FAKE_SUBMITTING_AT_ONCE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        loop    lp;
        pending p = {.number = 5}, q = {0};
        loop_open(&lp, kinds[i]);
        CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
        run(&lp, &p);
        CHECK_EQ_U(2, p.readies); /* compute, then stored */
        CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
        CHECK_STATUS(CKIT_OK, begin_call(&lp, &q, 7));
        CHECK_PENDING(CKIT_SOURCE_MEMORY, 5, &q);
        CHECK_CALL(CKIT_SOURCE_MEMORY, 5, lp.fn, 7);
        CHECK_EQ_U(1, fake_count(lp.f.store));
        CHECK(!is_readable(&lp));
        loop_close(&lp);
    }
}

CKIT_TEST(poll, hits_the_store) {
    static const fake_kind kinds[] = {FAKE_REQUIRED, FAKE_LOCKING, FAKE_SUBMITTING, FAKE_SUBMITTING_AT_ONCE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (size_t size = 0; size <= 5000; size += 5000) {
            loop    lp;
            pending p = {0};
            loop_open(&lp, kinds[i]);
            lp.l.size = size;
            ckit_cache    *other = fixture_cache(&lp.f, FAKE_FULL);
            ckit_function *same = function_of(other, "test.load", &lp.l, NULL);
            CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, same, 7);
            fake_forget_calls(lp.f.store);
            run_call(&lp, &p, 7);
            CHECK_EQ_U(1, p.readies);
            CHECK_PENDING(CKIT_SOURCE_STORE, 1, &p);
            CHECK_EQ_U(kinds[i] >= FAKE_SUBMITTING, fake_calls(lp.f.store, FAKE_SUBMIT));
            CHECK_EQ_U(kinds[i] < FAKE_SUBMITTING, fake_calls(lp.f.store, FAKE_GET));
            ckit_function_close(same);
            ckit_cache_close(other);
            loop_close(&lp);
        }
    }
}

CKIT_TEST(poll, without_a_store_nothing_leaves_the_caller_s_thread) {
    loop    lp;
    pending p = {.number = 5};
    fixture_prepare(&lp.f);
    loop_start(&lp, false, FAKE_FULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_call(&lp, &p, 7));
    CHECK(p.done);
    CHECK_EQ_U(0, p.readies);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
    loop_close(&lp);
}

CKIT_TEST(poll, a_failure_of_the_function_comes_back_and_is_not_cached) {
    loop    lp;
    pending p = {.number = 5, .failure = CKIT_E_FUNCTION}, q = {.number = 6};
    loop_open(&lp, FAKE_LOCKING);
    run_call(&lp, &p, 7);
    CHECK_STATUS(CKIT_E_FUNCTION, p.answer);
    run_call(&lp, &q, 7);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 6, &q);
    CHECK(!fake_is_locked(lp.f.store));
    loop_close(&lp);
}

CKIT_TEST(poll, an_operation_tells_its_failure_until_it_is_freed) {
    loop       lp;
    pending    p = {.holds = true};
    ckit_error err = CKIT_ERROR_INIT;
    loop_open(&lp, FAKE_LOCKING);
    fake_fail(lp.f.store, FAKE_GET, CKIT_E_IO, UINT64_MAX); /* the store's troubles are not the operation's */
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    CHECK_STATUS(CKIT_COMPUTE, p.answer);
    CHECK(ckit_op_error(p.op) == NULL);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_E_FUNCTION};
    CHECK_STATUS_ERR(CKIT_E_FUNCTION, ckit_finish(p.op, &result, NULL, &err), &err);
    CHECK(ckit_op_error(p.op) != NULL);
    CHECK_STATUS(CKIT_E_FUNCTION, ckit_op_error(p.op)->status);
    ckit_op_free(p.op);
    loop_close(&lp);
}

CKIT_TEST(poll, a_story_that_the_caller_has_is_not_overwritten) {
    loop       lp;
    pending    p = {.holds = true};
    ckit_error err = CKIT_ERROR_INIT;
    fixture_prepare(&lp.f);
    loop_start(&lp, false, FAKE_FULL);
    CHECK_STATUS(CKIT_COMPUTE, begin_call(&lp, &p, 7));
    ckit_fail(&err, CKIT_E_NETWORK, "database", "it hung up");
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_E_NETWORK};
    CHECK_STATUS_ERR(CKIT_E_NETWORK, ckit_finish(p.op, &result, NULL, &err), &err);
    CHECK_STR("database", err.where);
    CHECK_STR("database", ckit_op_error(p.op)->where);
    ckit_op_free(p.op);
    loop_close(&lp);
}

CKIT_TEST(poll, what_is_not_one_document_is_misuse_and_hands_over) {
    loop       lp;
    pending    p = {.holds = true}, q = {.number = 6};
    ckit_error err = CKIT_ERROR_INIT;
    loop_open(&lp, FAKE_LOCKING);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7));
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S("\x01\x02")};
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_finish(p.op, &result, NULL, &err), &err);
    ckit_op_free(p.op);
    run(&lp, &q);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 6, &q);
    CHECK(!fake_is_locked(lp.f.store));
    loop_close(&lp);
}

CKIT_TEST(poll, a_value_that_is_not_to_be_stored_needs_no_second_answer) {
    loop    lp;
    pending p = {.number = 5, .ttl_ms = CKIT_TTL_DO_NOT_STORE};
    loop_open(&lp, FAKE_FULL);
    run_call(&lp, &p, 7);
    CHECK_EQ_U(1, p.readies);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
    CHECK_EQ_U(0, fake_count(lp.f.store));
    loop_close(&lp);
}

CKIT_TEST(poll, arguments_that_make_no_key_are_computed_at_once) {
    loop      lp;
    pending   p = {.number = 5};
    ckit_args args;
    ckit_op  *op;
    loop_open(&lp, FAKE_LOCKING);
    ckit_args_init(&args);
    ckit_args_str(&args, S("\xff"));
    ckit_start start = {.struct_size = sizeof start,
                        .function = lp.fn,
                        .args = &args,
                        .poll = lp.poll,
                        .ready = on_ready,
                        .context = &p};
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &p.value, NULL));
    CHECK_STATUS(CKIT_OK, finish(&p, op));
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
    CHECK_STR("", fake_log(lp.f.store));
    CHECK_EQ_U(1, stats_of(lp.f.cache).uncached);
    ckit_args_fini(&args);
    loop_close(&lp);
}

CKIT_TEST(poll, a_start_without_ready_is_misuse) {
    loop       lp;
    ckit_op   *op;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    loop_open(&lp, FAKE_FULL);
    ckit_start start = {.struct_size = sizeof start, .function = lp.fn, .poll = lp.poll};
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_begin(&start, &op, &value, &err), &err);
    CHECK(op == NULL);
    loop_close(&lp);
}

/* ---- flights ----------------------------------------------------------------------------------------------------- */

CKIT_TEST(poll, callers_of_one_loop_share_a_computation) {
    for (int store = 0; store < 2; store++) {
        loop    lp;
        pending p[5] = {{.holds = true}};
        fixture_prepare(&lp.f);
        loop_start(&lp, store != 0, FAKE_LOCKING);
        ckit_status st = begin_call(&lp, &p[0], 7);
        if (st == CKIT_PENDING) {
            (void)loop_turn(&lp);
        }
        CHECK_STATUS(CKIT_COMPUTE, p[0].answer);
        for (int i = 1; i < 5; i++) {
            CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p[i], 7));
        }
        p[0].number = 9;
        p[0].size = 1000;
        (void)finish(&p[0], p[0].op);
        for (int i = 0; i < 5; i++) {
            run(&lp, &p[i]);
            CHECK(!p[i].computed || i == 0);
            CHECK_PENDING(i == 0 ? CKIT_SOURCE_FUNCTION : CKIT_SOURCE_FLIGHT, 9, &p[i]);
        }
        CHECK_EQ_U(4, stats_of(lp.f.cache).flight_waits);
        loop_close(&lp);
    }
}

CKIT_TEST(poll, a_blocking_caller_follows_a_pollable_one_and_the_other_way_round) {
    loop          lp;
    pending       p = {.number = 5, .holds = true}, q = {0};
    threaded_call c = {0};
    loop_open(&lp, FAKE_LOCKING);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    call_start(&c, lp.fn, 7);
    wait_flight_waits(lp.f.cache, 1);
    (void)finish(&p, p.op);
    CHECK_EQ_U(CKIT_SOURCE_FLIGHT, call_join(&c).source);
    run(&lp, &p);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);

    call_stop_in_loader(&c, lp.fn, 8, &lp.l);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 8));
    loader_open(&lp.l);
    run(&lp, &q);
    CHECK_PENDING(CKIT_SOURCE_FLIGHT, 1, &q);
    CHECK_OK(call_join(&c).status);
    loop_close(&lp);
}

CKIT_TEST(poll, a_leader_that_fails_hands_over_to_another_loop) {
    loop       lp;
    pending    p = {.failure = CKIT_E_FUNCTION, .holds = true}, q = {.number = 6};
    ckit_poll *second;
    loop_open(&lp, FAKE_LOCKING);
    CHECK_OK(ckit_poll_new(lp.f.cache, &second, NULL));
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    ckit_poll *first = lp.poll;
    lp.poll = second;
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7));
    lp.poll = first;
    CHECK_STATUS(CKIT_E_FUNCTION, finish(&p, p.op));
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = second}};
    CHECK_EQ_I(0, epoll_ctl(lp.epoll, EPOLL_CTL_ADD, ckit_poll_fd(second), &event));
    run(&lp, &q);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 6, &q);
    CHECK_EQ_U(1, stats_of(lp.f.cache).flight_handovers);
    CHECK(!fake_is_locked(lp.f.store));
    CHECK_EQ_I(0, epoll_ctl(lp.epoll, EPOLL_CTL_DEL, ckit_poll_fd(second), NULL));
    ckit_poll_close(second);
    loop_close(&lp);
}

CKIT_TEST(poll, who_has_waited_long_enough_computes_too) {
    loop    lp;
    pending p = {.number = 1, .holds = true}, q = {.number = 2};
    loop_open(&lp, FAKE_FULL);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    (void)loop_turn(&lp);
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &q, 7));
    fake_clock_advance(&lp.f.time, 60000);
    run(&lp, &q);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 2, &q);
    (void)finish(&p, p.op);
    run(&lp, &p);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 1, &p);
    CHECK_CALL(CKIT_SOURCE_MEMORY, 2, lp.fn, 7);
    loop_close(&lp);
}

CKIT_TEST(poll, a_held_lock_is_waited_for_without_a_thread) {
    loop    lp;
    pending p = {.number = 5};
    fixture_prepare(&lp.f);
    lp.f.options.workers = 1;
    loop_start(&lp, true, FAKE_LOCKING);
    ckit_buf key = key_of(lp.fn, 7);
    fake_lock_elsewhere(lp.f.store, ckit_buf_slice(&key));
    CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
    fake_wait_calls(lp.f.store, FAKE_LOCK_TRY, 1);
    pending q = {.number = 6}; /* the only worker is free for others */
    run_call(&lp, &q, 8);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 6, &q);
    fake_unlock_elsewhere(lp.f.store, ckit_buf_slice(&key));
    fake_clock_advance(&lp.f.time, 100);
    run(&lp, &p);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 5, &p);
    CHECK(!fake_is_locked(lp.f.store));
    ckit_buf_fini(&key);
    loop_close(&lp);
}

/* ---- the two drivers --------------------------------------------------------------------------------------------- */

static ckit_status step(loop *lp, bool pollable, int64_t argument, uint64_t number, ckit_status failure,
                        uint64_t ttl_ms) {
    if (!pollable) {
        lp->l.result = number;
        lp->l.ttl_ms = ttl_ms;
        loader_fail(&lp->l, failure, failure != CKIT_OK);
        return call(lp->fn, argument).status;
    }
    pending p = {.number = number, .failure = failure, .ttl_ms = ttl_ms};
    run_call(lp, &p, argument);
    ckit_value_fini(&p.value);
    ckit_poll_close(lp->poll); /* whatever is still in the background ends before the next step */
    CHECK_OK(ckit_poll_new(lp->f.cache, &lp->poll, NULL));
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = lp->poll}};
    CHECK_EQ_I(0, epoll_ctl(lp->epoll, EPOLL_CTL_ADD, ckit_poll_fd(lp->poll), &event));
    return p.answer;
}

/* One script; what the store saw is copied to `log`. */
static void run_script(bool pollable, fake_kind kind, char *log, size_t room) {
    loop lp;
    loop_open(&lp, kind);
    CHECK_OK(step(&lp, pollable, 1, 1, CKIT_OK, 0)); /* miss, compute, store */
    CHECK_OK(step(&lp, pollable, 1, 1, CKIT_OK, 0)); /* memory */
    fake_clock_advance(&lp.f.time, 3600000);
    CHECK_OK(step(&lp, pollable, 1, 2, CKIT_OK, 1000)); /* expired in both */
    CHECK_STATUS(CKIT_E_FUNCTION, step(&lp, pollable, 2, 1, CKIT_E_FUNCTION, 0));
    CHECK_STATUS(CKIT_E_IO, step(&lp, pollable, 2, 1, CKIT_E_IO, 0));
    CHECK_OK(step(&lp, pollable, 2, 1, CKIT_OK, CKIT_TTL_DO_NOT_STORE));
    fake_fail(lp.f.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    fake_fail(lp.f.store, FAKE_SUBMIT, CKIT_E_TIMEOUT, 1);
    CHECK_OK(step(&lp, pollable, 3, 1, CKIT_OK, 0));
    fake_fail(lp.f.store, FAKE_GET, CKIT_OK, 0);
    fake_fail(lp.f.store, FAKE_SUBMIT, CKIT_OK, 0);
    fake_fail(lp.f.store, FAKE_LOCK_TRY, CKIT_E_TIMEOUT, 1);
    CHECK_OK(step(&lp, pollable, 4, 1, CKIT_OK, 0));
    fake_fail(lp.f.store, FAKE_SET, CKIT_E_NO_SPACE, 1);
    CHECK_OK(step(&lp, pollable, 5, 1, CKIT_OK, 0));
    fake_fail(lp.f.store, FAKE_LOCK_RELEASE, CKIT_E_TIMEOUT, 1);
    CHECK_OK(step(&lp, pollable, 6, 1, CKIT_OK, 0));
    ckit_cache    *other = fixture_cache(&lp.f, kind);
    ckit_function *same = function_of(other, "test.load", &lp.l, NULL);
    lp.l.result = 1;
    lp.l.ttl_ms = 0;
    loader_fail(&lp.l, CKIT_OK, 0);
    CHECK_EQ_U(1, call(same, 7).number);
    CHECK_OK(step(&lp, pollable, 7, 9, CKIT_OK, 0)); /* the store */
    lp.l.result = 1;
    CHECK_EQ_U(1, call(same, 8).number);
    fake_damage(lp.f.store, -12);
    CHECK_OK(step(&lp, pollable, 8, 9, CKIT_OK, 0)); /* damaged there */
    CHECK_OK(invalidate(lp.fn, 8));
    CHECK_OK(step(&lp, pollable, 8, 9, CKIT_OK, 0));
    CHECK(strlen(fake_log(lp.f.store)) < room);
    strcpy(log, fake_log(lp.f.store));
    ckit_function_close(same);
    ckit_cache_close(other);
    loop_close(&lp);
}

CKIT_TEST(poll, defect_12_both_drivers_make_the_same_decisions_in_the_same_order) {
    static const fake_kind kinds[] = {FAKE_REQUIRED, FAKE_FULL, FAKE_LOCKING};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char blocking[8192], pollable[8192];
        run_script(false, kinds[i], blocking, sizeof blocking);
        run_script(true, kinds[i], pollable, sizeof pollable);
        CHECK_STR(blocking, pollable);
        CHECK(strlen(blocking) > 200);
    }
}

CKIT_TEST(poll, a_store_that_takes_requests_is_asked_the_same) {
    char blocking[8192], later[8192], at_once[8192];
    run_script(false, FAKE_FULL, blocking, sizeof blocking);
    run_script(true, FAKE_SUBMITTING, later, sizeof later);
    run_script(true, FAKE_SUBMITTING_AT_ONCE, at_once, sizeof at_once);
    CHECK_STR(blocking, later);
    CHECK_STR(blocking, at_once);
}

/* ---- invalidation ------------------------------------------------------------------------------------------------ */

CKIT_TEST(poll, what_is_invalidated_before_the_result_comes_is_not_kept) {
    static const fake_kind kinds[] = {FAKE_LOCKING, FAKE_SUBMITTING};
    for (int k = 0; k < 2; k++) {
        loop    lp;
        pending p = {.number = 1, .holds = true}, q = {.number = 2};
        loop_open(&lp, kinds[k]);
        CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
        (void)loop_turn(&lp);
        CHECK_STATUS(CKIT_MISS, invalidate(lp.fn, 7));
        (void)finish(&p, p.op);
        run(&lp, &p);
        CHECK_PENDING(CKIT_SOURCE_FUNCTION, 1, &p);
        CHECK_EQ_U(0, fake_count(lp.f.store));
        run_call(&lp, &q, 7);
        CHECK_PENDING(CKIT_SOURCE_FUNCTION, 2, &q);
        loop_close(&lp);
    }
}

CKIT_TEST(poll, what_is_invalidated_while_the_store_answers_is_read_again) {
    static const fake_kind kinds[] = {FAKE_FULL, FAKE_SUBMITTING};
    for (int k = 0; k < 2; k++) {
        loop    lp;
        pending p = {.number = 2};
        fake_op op = k == 0 ? FAKE_GET : FAKE_SUBMIT;
        loop_open(&lp, kinds[k]);
        ckit_cache    *other = fixture_cache(&lp.f, FAKE_FULL);
        ckit_function *same = function_of(other, "test.load", &lp.l, NULL);
        CHECK_CALL(CKIT_SOURCE_FUNCTION, 1, same, 7);
        fake_shut(lp.f.store, op, FAKE_AFTER);
        CHECK_STATUS(CKIT_PENDING, begin_call(&lp, &p, 7));
        fake_wait_stopped(lp.f.store, op, 1);
        CHECK_OK(invalidate(lp.fn, 7));
        fake_open_gate(lp.f.store, op);
        run(&lp, &p);
        CHECK_PENDING(CKIT_SOURCE_FUNCTION, 2, &p);
        ckit_function_close(same);
        ckit_cache_close(other);
        loop_close(&lp);
    }
}

/* ---- stale ------------------------------------------------------------------------------------------------------- */

CKIT_TEST(poll, a_stale_ticket_is_finished_through_the_poll) {
    loop    lp;
    pending p = {.number = 1}, q = {.number = 2, .holds = true}, r = {0};
    loop_open(&lp, FAKE_FULL);
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.ttl_ms = 1000;
    options.stale_ms = 1000;
    ckit_function_close(lp.fn);
    lp.fn = function_of(lp.f.cache, "test.load", &lp.l, &options);
    run_call(&lp, &p, 7);
    ckit_value_fini(&p.value);
    fake_clock_advance(&lp.f.time, 1500);
    CHECK_STATUS(CKIT_STALE, begin_call(&lp, &q, 7));
    CHECK(q.op != NULL);
    CHECK_EQ_U(1, read_number(&q.value));
    ckit_value_fini(&q.value);
    CHECK_STATUS(CKIT_PENDING, finish(&q, q.op));
    run(&lp, &q);
    CHECK_PENDING(CKIT_SOURCE_FUNCTION, 2, &q);
    CHECK_STATUS(CKIT_OK, begin_call(&lp, &r, 7));
    CHECK_PENDING(CKIT_SOURCE_MEMORY, 2, &r);
    loop_close(&lp);
}

CKIT_TEST(poll, without_a_cache_there_is_no_function_and_no_queue) {
    ckit_error     err = CKIT_ERROR_INIT;
    ckit_function *function = NULL;
    ckit_poll     *poll = NULL;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_function_new(NULL, "f", NULL, NULL, NULL, &function, &err), &err);
    CHECK_CONTAINS("there is no cache", err.text);
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_poll_new(NULL, &poll, &err), &err);
    CHECK_CONTAINS("there is no cache", err.text);
    CHECK(function == NULL && poll == NULL);
}

/* ---- structs of other versions ----------------------------------------------------------------------------------- */

CKIT_TEST(poll, a_start_or_a_result_whose_size_is_not_set_is_refused) {
    loop        lp;
    ckit_op    *op = NULL;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_result sizeless = {.document = S("\x05")}, result = CKIT_RESULT_INIT;
    loop_open(&lp, FAKE_FULL);
    ckit_start start = {.function = lp.fn};
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_begin(&start, &op, &value, &err), &err);
    CHECK_CONTAINS("begin with CKIT_START_INIT", err.text);
    start.struct_size = sizeof start;
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_finish(op, &sizeless, &value, &err), &err);
    CHECK_CONTAINS("begin with CKIT_RESULT_INIT", err.text);
    result.document = S("\x05"); /* the operation still waits for it */
    CHECK_OK(ckit_finish(op, &result, &value, NULL));
    CHECK_EQ_U(5, read_number(&value));
    ckit_value_fini(&value);
    ckit_op_free(op);
    loop_close(&lp);
}

/* What its structs do not have is as if it were zero, whatever stands behind them. */
CKIT_TEST(poll, a_program_of_an_earlier_version_begins_and_finishes_with_shorter_structs) {
    loop        lp;
    ckit_op    *op = NULL;
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_result result;
    loop_open(&lp, FAKE_FULL);
    ckit_start start = {.struct_size = offsetof(ckit_start, poll), .function = lp.fn};
    memset((char *)&start + start.struct_size, 0xff, sizeof start - start.struct_size);
    CHECK_STATUS(CKIT_COMPUTE, ckit_begin(&start, &op, &value, NULL));
    ckit_result_init(&result, offsetof(ckit_result, object));
    memset((char *)&result + result.struct_size, 0xff, sizeof result - result.struct_size);
    result.document = S("\x05");
    CHECK_OK(ckit_finish(op, &result, &value, NULL));
    CHECK_EQ_U(5, read_number(&value));
    ckit_value_fini(&value);
    ckit_op_free(op);
    loop_close(&lp);
}
