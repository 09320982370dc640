/* Batches, second attempts, and more callers than the store is to have at once. */
#include "guard/guard_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static ckit_status get_three(scene *s, ckit_status *answers) {
    const ckit_slice keys[] = {S("a"), S("b"), S("c")};
    ckit_buf         out[] = {CKIT_BUF_INIT, CKIT_BUF_INIT, CKIT_BUF_INIT};
    uint64_t         lives[3];
    ckit_status      st = s->ops->get_many(s->self, keys, 3, CKIT_NO_DEADLINE, out, lives, answers, NULL);
    for (int i = 0; i < 3; i++) {
        ckit_buf_fini(&out[i]);
    }
    return st;
}

CKIT_TEST(guard, a_batch_counts_once) {
    scene       s;
    ckit_status answers[3];
    scene_open(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET_MANY, CKIT_E_NETWORK, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(CKIT_E_NETWORK, get_three(&s, answers));
    }
    CHECK_EQ_U(4, scene_stats(&s).failures_in_a_row);
    CHECK_OK(get_three(&s, answers));
    CHECK_STATUS(CKIT_MISS, answers[2]);
    CHECK_EQ_U(0, scene_stats(&s).failures_in_a_row);
    scene_close(&s);
}

/* ---- retries ----------------------------------------------------------------------------------------------------- */

static void begin_retrying(scene *s, fake_kind kind) {
    scene_prepare(s);
    s->options.retry = CKIT_ON;
    s->options.retry_delay_ms = 10;
    scene_start(s, kind);
}

CKIT_TEST(guard, defect_34_what_passes_is_tried_again_after_a_random_pause) {
    scene      s;
    ckit_error err = CKIT_ERROR_INIT;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_NETWORK, 3);
    CHECK_STATUS(CKIT_MISS, scene_get_by(&s, CKIT_NO_DEADLINE, &err));
    CHECK_STATUS(CKIT_OK, err.status); /* no story of a failure that did no harm */
    CHECK_EQ_U(4, fake_calls(s.store, FAKE_GET));
    CHECK_EQ_U(3, pauses);
    CHECK_BETWEEN_U(0, 40, longest_pause);
    CHECK_EQ_U(3, scene_stats(&s).retries);
    CHECK_EQ_U(1, scene_stats(&s).recovered);
    fake_forget_calls(s.store);
    fake_fail(s.store, FAKE_SET, CKIT_E_RATE_LIMITED, UINT64_MAX);
    CHECK_STATUS(CKIT_E_RATE_LIMITED, scene_set(&s));
    CHECK_EQ_U(4, fake_calls(s.store, FAKE_SET));
    scene_close(&s);
}

CKIT_TEST(guard, what_will_not_pass_is_not_tried_again) {
    const ckit_status statuses[] = {CKIT_E_TOO_LARGE, CKIT_E_CREDENTIALS, CKIT_E_IO, CKIT_E_NO_MEMORY, CKIT_E_REJECTED};
    scene             s;
    begin_retrying(&s, FAKE_FULL);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        fake_fail(s.store, FAKE_GET, statuses[i], 1);
        CHECK_STATUS(statuses[i], scene_get(&s));
    }
    CHECK_EQ_U(0, pauses);
    scene_close(&s);
}

CKIT_TEST(guard, all_attempts_share_one_deadline) {
    scene s;
    scene_prepare(&s);
    s.options.retry = CKIT_ON;
    s.options.retry_delay_ms = 3600000;
    s.options.failure_threshold = 1000;
    scene_start(&s, FAKE_FULL);
    for (int i = 0; i < 50; i++) {
        uint64_t began = fake_clock_now(&s.time);
        fake_fail(s.store, FAKE_GET, CKIT_E_NETWORK, UINT64_MAX);
        CHECK_STATUS(CKIT_E_NETWORK, scene_get(&s));
        CHECK_BETWEEN_U(began, began + 999, fake_clock_now(&s.time));
        CHECK_EQ_U(began + 1000, fake_last_deadline(s.store, FAKE_GET));
    }
    scene_close(&s);
}

/* The first that fails has waited for all; nobody waits again before something succeeds. */
CKIT_TEST(guard, only_the_first_that_fails_is_tried_again_until_one_succeeds) {
    scene s;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_SERVER, 6);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_E_SERVER, scene_get(&s));
    }
    CHECK_EQ_U(4 + 1 + 1, fake_calls(s.store, FAKE_GET));
    CHECK_EQ_U(3, pauses);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    fake_fail(s.store, FAKE_GET, CKIT_E_SERVER, 1);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    CHECK_EQ_U(4, pauses);
    scene_close(&s);
}

CKIT_TEST(guard, who_cannot_be_reached_is_not_waited_for) {
    scene s;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_UNREACHABLE, UINT64_MAX);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, scene_get(&s));
    }
    CHECK_EQ_U(5, fake_calls(s.store, FAKE_GET));
    CHECK_EQ_U(0, pauses);
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    scene_close(&s);
}

CKIT_TEST(guard, a_probe_is_not_tried_again) {
    scene s;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_SERVER, UINT64_MAX);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_SERVER, scene_get(&s));
    }
    CHECK_EQ_U(8, fake_calls(s.store, FAKE_GET)); /* all attempts of the first are one failure */
    CHECK_EQ_U(5, scene_stats(&s).failures);
    fake_clock_advance(&s.time, 30001);
    CHECK_STATUS(CKIT_E_SERVER, scene_get(&s));
    CHECK_EQ_U(9, fake_calls(s.store, FAKE_GET));
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    scene_close(&s);
}

/* Its first copy may arrive behind the second, over what somebody else has written since. */
CKIT_TEST(guard, a_write_that_may_have_been_carried_out_is_not_sent_again) {
    static const ckit_status unknown[] = {CKIT_E_TIMEOUT, CKIT_E_REQUEST_TIMEOUT, CKIT_E_NETWORK};
    scene                    s;
    begin_retrying(&s, FAKE_FULL);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        fake_forget_calls(s.store);
        fake_fail(s.store, FAKE_SET, unknown[i], 1);
        CHECK_STATUS(unknown[i], scene_set(&s));
        CHECK_EQ_U(1, fake_calls(s.store, FAKE_SET));
        CHECK_STATUS(CKIT_OK, scene_set(&s));
        fake_fail(s.store, FAKE_TOUCH, unknown[i], 1);
        CHECK_STATUS(unknown[i], s.ops->touch(s.self, S("key"), 1000, CKIT_NO_DEADLINE, NULL));
        CHECK_EQ_U(1, fake_calls(s.store, FAKE_TOUCH));
        CHECK_STATUS(CKIT_OK, scene_set(&s));
    }
    CHECK_EQ_U(0, pauses);
    fake_fail(s.store, FAKE_REMOVE, CKIT_E_TIMEOUT, 1); /* a second removal does no harm whenever it comes */
    CHECK_STATUS(CKIT_OK, s.ops->remove(s.self, S("key"), CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(2, fake_calls(s.store, FAKE_REMOVE));
    scene_close(&s);
}

CKIT_TEST(guard, what_may_have_worked_the_first_time_is_not_done_twice) {
    scene      s;
    ckit_lease lease = {.fence = 0};
    begin_retrying(&s, FAKE_LOCKING_MANY);
    const ckit_entry_info info = {.ttl_ms = 60000};
    const ckit_slice      key = S("key"), value = S("value");
    ckit_status           answer;
    fake_fail(s.store, FAKE_LOCK_TRY, CKIT_E_NETWORK, UINT64_MAX);
    fake_fail(s.store, FAKE_SET_IF_OWNER, CKIT_E_NETWORK, UINT64_MAX);
    CHECK_STATUS(CKIT_E_NETWORK, s.ops->lock_try(s.self, S("key"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_STATUS(CKIT_E_NETWORK,
                 s.ops->set_if_owner(s.self, S("key"), S("value"), &info, &lease, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_LOCK_TRY));
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_SET_IF_OWNER));
    fake_fail(s.store, FAKE_LOCK_TRY_MANY, CKIT_E_NETWORK, UINT64_MAX);
    CHECK_STATUS(CKIT_E_NETWORK, s.ops->lock_try_many(s.self, &key, 1, 1000, CKIT_NO_DEADLINE, &lease, &answer, NULL));
    CHECK_OK(s.ops->set_many_if_owner(s.self, &key, &value, &info, &lease, 1, CKIT_NO_DEADLINE, &answer, NULL));
    CHECK_STATUS(CKIT_E_NETWORK, answer);
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_LOCK_TRY_MANY));
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_SET_MANY_IF_OWNER));
    CHECK_EQ_U(0, pauses);
    scene_close(&s);
}

CKIT_TEST(guard, timeouts_are_tried_again_unless_that_is_switched_off) {
    scene s;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    scene_close(&s);
    scene_prepare(&s);
    s.options.retry = CKIT_ON;
    s.options.retry_on_timeout = CKIT_OFF;
    scene_start(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    CHECK_STATUS(CKIT_E_TIMEOUT, scene_get(&s));
    scene_close(&s);
}

CKIT_TEST(guard, a_batch_is_tried_again_as_a_whole) {
    scene       s;
    ckit_status answers[3];
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET_MANY, CKIT_E_NETWORK, 1);
    fake_put(s.store, S("b"), S("value"), CKIT_LIFE_NO_EXPIRY);
    CHECK_OK(get_three(&s, answers));
    CHECK_STATUS(CKIT_OK, answers[1]);
    CHECK_EQ_U(2, fake_calls(s.store, FAKE_GET_MANY));
    scene_close(&s);
}

/* ---- too many at once -------------------------------------------------------------------------------------------- */

static void *get_slowly(void *context) {
    CHECK(scene_get(context) < CKIT_E_FIRST);
    return NULL;
}

CKIT_TEST(guard, demand_beyond_the_limit_is_told_that_the_store_is_busy_and_the_circuit_stays_closed) {
    scene     s;
    pthread_t thread;
    scene_prepare(&s);
    s.options.max_concurrent = 1;
    s.options.queue_timeout_ms = 1;
    scene_start(&s, FAKE_FULL);
    fake_shut(s.store, FAKE_GET, FAKE_BEFORE);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_slowly, &s));
    fake_wait_stopped(s.store, FAKE_GET, 1);
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(CKIT_E_BUSY, scene_set(&s));
    }
    CHECK_STATUS(CKIT_MISS, s.ops->remove(s.self, S("key"), CKIT_NO_DEADLINE, NULL)); /* needs no place */
    ckit_guard_stats stats = scene_stats(&s);
    CHECK_EQ_U(1, stats.in_flight);
    CHECK_EQ_U(10, stats.rejected);
    CHECK_EQ_U(0, stats.failures);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats.state);
    fake_open_gate(s.store, FAKE_GET);
    pthread_join(thread, NULL);
    CHECK_EQ_U(0, scene_stats(&s).in_flight);
    CHECK_OK(scene_set(&s));
    scene_close(&s);
}

CKIT_TEST(guard, a_probe_that_finds_no_place_gives_its_pass_back) {
    scene     s;
    pthread_t thread;
    scene_prepare(&s);
    s.options.max_concurrent = 1;
    s.options.queue_timeout_ms = 1;
    s.options.half_open_requests = 2;
    scene_start(&s, FAKE_FULL);
    break_circuit(&s);
    fake_clock_advance(&s.time, 30001);
    fake_shut(s.store, FAKE_GET, FAKE_BEFORE);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_slowly, &s));
    fake_wait_stopped(s.store, FAKE_GET, 1);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_BUSY, scene_set(&s));
    }
    CHECK_EQ_U(1, scene_stats(&s).probes);
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, scene_stats(&s).state);
    fake_open_gate(s.store, FAKE_GET);
    pthread_join(thread, NULL);
    CHECK_EQ_U(1, scene_stats(&s).probe_successes);
    scene_close(&s);
}

CKIT_TEST(guard, a_child_has_all_places_free_and_what_was_learnt) {
    scene     s;
    pthread_t thread;
    scene_prepare(&s);
    s.options.max_concurrent = 1;
    scene_start(&s, FAKE_FULL);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(scene_set(&s));
    }
    fake_shut(s.store, FAKE_GET, FAKE_BEFORE);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_slowly, &s));
    fake_wait_stopped(s.store, FAKE_GET, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_EQ_U(0, scene_stats(&s).in_flight);
        CHECK_EQ_U(100, scene_stats(&s).data.timeout_ms);
        CHECK_OK(scene_get(&s));
        break_circuit(&s);
        _exit(0);
    }
    int status = 0;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    fake_open_gate(s.store, FAKE_GET);
    pthread_join(thread, NULL);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    scene_close(&s);
}
