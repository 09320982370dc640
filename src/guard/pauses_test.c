/* A store that pauses between its attempts to connect, and answers meanwhile what the last one came to. */
#include "guard/guard_fixture.h"

#include <errno.h>
#include <sched.h>

/* The same as scene_get, with nobody who wants the story, or with somebody. */
static ckit_status get_told(scene *s) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = scene_get_by(s, CKIT_NO_DEADLINE, &err);
    CHECK_EQ_I((int)st, (int)(st < CKIT_E_FIRST ? st : err.status));
    return st;
}

static void pause_store(scene *s, ckit_status status) {
    fake_fail_errno(s->store, FAKE_GET, status, EAGAIN, UINT64_MAX);
}

/* One attempt that fails, and as many that are only told so. */
static void fail_and_pause(scene *s, unsigned repetitions) {
    fake_fail(s->store, FAKE_GET, CKIT_E_UNREACHABLE, 1);
    CHECK_STATUS(CKIT_E_UNREACHABLE, get_told(s));
    pause_store(s, CKIT_E_UNREACHABLE);
    for (unsigned i = 0; i < repetitions; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, i % 2 == 0 ? get_told(s) : scene_get(s));
    }
}

/* Else a server that is restarted would cost as long as one that stays away, because many asked meanwhile. */
CKIT_TEST(guard, attempts_open_the_circuit_and_not_those_who_asked_meanwhile) {
    scene s;
    scene_open(&s, FAKE_FULL);
    for (unsigned i = 0; i < 4; i++) {
        fail_and_pause(&s, 100);
        CHECK_EQ_U(i + 1, scene_stats(&s).failures);
        CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    }
    fail_and_pause(&s, 0);
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    CHECK_EQ_U(1, scene_stats(&s).opened);
    scene_close(&s);
}

/* A pause says as little about the store being well. */
CKIT_TEST(guard, a_pause_does_not_forget_failures) {
    scene s;
    scene_open(&s, FAKE_FULL);
    fail_and_pause(&s, 10);
    CHECK_EQ_U(1, scene_stats(&s).failures_in_a_row);
    fake_fail(s.store, FAKE_GET, CKIT_OK, 0);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    CHECK_EQ_U(0, scene_stats(&s).failures_in_a_row);
    scene_close(&s);
}

CKIT_TEST(guard, a_pause_after_a_timeout_is_no_timeout) {
    scene s;
    scene_open(&s, FAKE_FULL);
    pause_store(&s, CKIT_E_TIMEOUT);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, get_told(&s));
    }
    CHECK_EQ_U(0, scene_stats(&s).data.timed_out);
    CHECK_EQ_U(0, scene_stats(&s).data.operations);
    CHECK_EQ_U(0, scene_stats(&s).failures);
    scene_close(&s);
}

/* It stands for a limit that has passed in vain, though this caller did not wait for it. */
CKIT_TEST(guard, a_store_that_answers_for_a_silent_server_fails_and_is_not_asked_twice) {
    scene s;
    scene_prepare(&s);
    s.options.retry = CKIT_ON;
    scene_start(&s, FAKE_FULL);
    fake_fail_errno(s.store, FAKE_GET, CKIT_E_TIMEOUT, EINPROGRESS, UINT64_MAX);
    for (unsigned i = 1; i <= 5; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, get_told(&s));
        CHECK_EQ_U(i, fake_calls(s.store, FAKE_GET));
        CHECK_EQ_U(i, scene_stats(&s).data.timed_out);
    }
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    CHECK_EQ_U(0, pauses);
    scene_close(&s);
}

/* The same where nothing is counted: that must not make it wait. */
CKIT_TEST(guard, without_a_breaker_neither_is_it) {
    scene s;
    scene_prepare(&s);
    s.options.retry = CKIT_ON;
    s.options.breaker = CKIT_OFF;
    scene_start(&s, FAKE_FULL);
    for (unsigned i = 1; i <= 10; i++) {
        fake_fail_errno(s.store, FAKE_GET, CKIT_E_TIMEOUT, i % 2 == 0 ? EINPROGRESS : EAGAIN, 1);
        CHECK_STATUS(CKIT_E_TIMEOUT, get_told(&s));
        CHECK_EQ_U(i, fake_calls(s.store, FAKE_GET));
    }
    CHECK_EQ_U(0, pauses);
    scene_close(&s);
}

/* The store is back, but it pauses for longer than the circuit stays open. */
CKIT_TEST(guard, a_probe_makes_a_store_that_pauses_try) {
    scene s;
    scene_open(&s, FAKE_FULL);
    break_circuit(&s);
    pause_store(&s, CKIT_E_UNREACHABLE);
    fake_clock_advance(&s.time, 30000);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    CHECK_EQ_U(0, fake_calls(s.store, FAKE_HURRY));
    fake_clock_advance(&s.time, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_MISS, scene_get(&s));
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    uint64_t hurried = fake_calls(s.store, FAKE_HURRY);
    CHECK_BETWEEN_U(1, 3, hurried);
    CHECK_STATUS(CKIT_MISS, scene_get(&s)); /* and while all is well nobody does */
    CHECK_EQ_U(hurried, fake_calls(s.store, FAKE_HURRY));
    scene_close(&s);
}

/* The circuit is closed, because it takes five attempts to open it. */
CKIT_TEST(guard, no_pause_outlasts_the_recovery_time) {
    scene s;
    scene_open(&s, FAKE_FULL);
    fail_and_pause(&s, 3);
    fake_clock_advance(&s.time, 30000);
    CHECK_STATUS(CKIT_E_UNREACHABLE, get_told(&s));
    CHECK_EQ_U(0, fake_calls(s.store, FAKE_HURRY));
    fake_clock_advance(&s.time, 1);
    CHECK_STATUS(CKIT_MISS, get_told(&s));
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_HURRY));
    scene_close(&s);
}

/* As where two probes share an attempt to connect: the second one tells nothing new. */
CKIT_TEST(guard, a_probe_that_was_only_told_gives_its_place_back) {
    scene s;
    scene_open(&s, FAKE_REQUIRED); /* it knows no hurry */
    break_circuit(&s);
    pause_store(&s, CKIT_E_UNREACHABLE);
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, get_told(&s));
    }
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, scene_stats(&s).state);
    CHECK_EQ_U(0, scene_stats(&s).probes);
    fake_fail(s.store, FAKE_GET, CKIT_OK, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_MISS, scene_get(&s));
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    scene_close(&s);
}

static void note_done(ckit_request *request, ckit_status status) { *(_Atomic int *)request->context = (int)status; }

static ckit_status submit(scene *s) {
    ckit_buf     out = CKIT_BUF_INIT;
    _Atomic int  answer = -1;
    ckit_request request = {.kind = CKIT_REQUEST_GET,
                            .key = S("key"),
                            .deadline_ms = CKIT_NO_DEADLINE,
                            .out = &out,
                            .done = note_done,
                            .context = &answer};
    ckit_status  st = s->ops->submit(s->self, &request, NULL);
    while (st == CKIT_PENDING && answer == -1) {
        sched_yield();
    }
    ckit_buf_fini(&out);
    return st == CKIT_PENDING ? (ckit_status)answer : st;
}

CKIT_TEST(guard, submitted_reads_go_by_pauses_as_others_do) {
    scene s;
    scene_open(&s, FAKE_SUBMITTING_AT_ONCE);
    fake_fail_errno(s.store, FAKE_SUBMIT, CKIT_E_UNREACHABLE, EAGAIN, UINT64_MAX);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, submit(&s));
    }
    CHECK_EQ_U(0, scene_stats(&s).failures);
    break_circuit(&s);
    fake_clock_advance(&s.time, 30001);
    CHECK_STATUS(CKIT_MISS, submit(&s));
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_HURRY));
    scene_close(&s);
}

/* ---- who goes past the guard ------------------------------------------------------------------------------------- */

static void hear(scene *s, ckit_status status, int sys_errno) {
    ckit_error err = CKIT_ERROR_INIT;
    (void)ckit_fail_errno(&err, status, sys_errno, "fake", "asked past the guard");
    ckiti_guard_hear(ckiti_guard_of(s->backend), status, &err);
}

CKIT_TEST(guard, an_attempt_to_connect_counts_whoever_makes_it) {
    scene s;
    scene_open(&s, FAKE_FULL);
    hear(&s, CKIT_E_TIMEOUT, 0); /* a limit of the asker's own */
    hear(&s, CKIT_E_NETWORK, ECONNRESET);
    hear(&s, CKIT_E_UNREACHABLE, EAGAIN);
    hear(&s, CKIT_E_TIMEOUT, EAGAIN);
    CHECK_EQ_U(0, scene_stats(&s).failures);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
        hear(&s, i == 0 ? CKIT_E_TIMEOUT : CKIT_E_UNREACHABLE, i == 0 ? EINPROGRESS : ECONNREFUSED);
    }
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    CHECK_CONTAINS("asked past the guard", s.log);
    fake_clock_advance(&s.time, 20000);
    hear(&s, CKIT_E_UNREACHABLE, ECONNREFUSED); /* recovery is not postponed */
    fake_clock_advance(&s.time, 10001);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    hear(&s, CKIT_E_UNREACHABLE, ECONNREFUSED); /* and probes decide by themselves */
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, scene_stats(&s).state);
    CHECK_EQ_U(5, scene_stats(&s).failures);
    scene_close(&s);
}

/* A lease goes back also while the circuit is open, and may be the first to find that nobody is there. */
CKIT_TEST(guard, an_attempt_to_connect_counts_also_when_a_lease_is_given_back) {
    scene      s;
    ckit_lease lease;
    scene_open(&s, FAKE_LOCKING);
    CHECK_OK(s.ops->lock_try(s.self, S("key"), 30000, CKIT_NO_DEADLINE, &lease, NULL));
    fake_fail_errno(s.store, FAKE_LOCK_RELEASE, CKIT_E_UNREACHABLE, ECONNREFUSED, 5);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ_U(i, scene_stats(&s).failures);
        CHECK_STATUS(CKIT_E_UNREACHABLE, s.ops->lock_release(s.self, S("key"), &lease, CKIT_NO_DEADLINE, NULL));
    }
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    CHECK_OK(s.ops->lock_release(s.self, S("key"), &lease, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    scene_close(&s);
}

CKIT_TEST(guard, what_is_heard_counts_for_nothing_where_nothing_does) {
    scene s;
    scene_prepare(&s);
    s.options.excluded_kinds = CKIT_KIND_BIT(CKIT_KIND_TRANSIENT);
    scene_start(&s, FAKE_FULL);
    for (unsigned i = 0; i < 10; i++) {
        hear(&s, CKIT_E_UNREACHABLE, ECONNREFUSED);
    }
    CHECK_EQ_U(0, scene_stats(&s).failures);
    scene_close(&s);
    scene_prepare(&s);
    s.options.breaker = CKIT_OFF;
    scene_start(&s, FAKE_FULL);
    for (unsigned i = 0; i < 10; i++) {
        hear(&s, CKIT_E_UNREACHABLE, ECONNREFUSED);
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    scene_close(&s);
}
