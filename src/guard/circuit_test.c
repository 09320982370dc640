/* The circuit of a guarded store: what opens it, what passes it, how it recovers. Of visit.c. */
#include "guard/guard_fixture.h"

/* ---- the circuit ------------------------------------------------------------------------------------------------- */

CKIT_TEST(guard, defect_1_an_open_circuit_recovers_by_itself_on_the_way_of_an_operation) {
    scene s;
    scene_open(&s, FAKE_FULL);
    break_circuit(&s);
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CIRCUIT_OPEN, scene_get_by(&s, CKIT_NO_DEADLINE, &err), &err);
    CHECK_CONTAINS("fake is left alone", err.text);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_set(&s));
    CHECK_EQ_U(0, fake_calls(s.store, FAKE_SET));
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_U(i == 0 ? CKIT_BREAKER_OPEN : CKIT_BREAKER_HALF_OPEN, scene_stats(&s).state);
        CHECK_STATUS(CKIT_MISS, scene_get(&s));
    }
    ckit_guard_stats stats = scene_stats(&s);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats.state);
    CHECK_EQ_U(1, stats.opened);
    CHECK_EQ_U(1, stats.half_opened);
    CHECK_EQ_U(1, stats.closed);
    CHECK_EQ_U(2, stats.refused);
    CHECK_EQ_U(5, stats.failures);
    scene_close(&s);
}

CKIT_TEST(guard, each_change_of_state_is_one_line_and_refusals_are_none) {
    scene s;
    scene_open(&s, FAKE_FULL);
    break_circuit(&s);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    }
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_MISS, scene_get(&s));
    }
    CHECK_STR("3 guard: fake: the circuit is open for 30000 ms: E010 fake: get was told to fail\n"
              "2 guard: fake: the circuit is half_open\n"
              "2 guard: fake: the circuit is closed\n",
              s.log);
    scene_close(&s);
}

static void check_never_opens(ckit_status status, const ckit_guard_options *options) {
    scene s;
    scene_prepare(&s);
    if (options != NULL) {
        s.options = *options;
    }
    scene_start(&s, FAKE_LOCKING);
    fake_fail(s.store, FAKE_GET, status, UINT64_MAX);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(status, scene_get(&s));
    }
    CHECK_EQ_U(0, scene_stats(&s).failures);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    scene_close(&s);
}

static void check_opens(ckit_status status) {
    scene s;
    scene_open(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, status, UINT64_MAX);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(status, scene_get(&s));
    }
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    scene_close(&s);
}

CKIT_TEST(guard, defect_2_transient_timeout_and_unknown_failures_of_the_store_count) {
    check_opens(CKIT_E_UNREACHABLE);
    check_opens(CKIT_E_TIMEOUT);
    check_opens(CKIT_E_IO);
    check_opens(CKIT_E_NO_SPACE);
    check_opens(CKIT_E_POOL_EXHAUSTED);
}

CKIT_TEST(guard, defect_38_what_says_nothing_about_the_store_s_health_does_not_count) {
    check_never_opens(CKIT_MISS, NULL);
    check_never_opens(CKIT_E_TOO_LARGE, NULL);
    check_never_opens(CKIT_E_CREDENTIALS, NULL);
    check_never_opens(CKIT_E_PERMISSION, NULL);
    check_never_opens(CKIT_E_DECODE, NULL);
    check_never_opens(CKIT_E_NO_MEMORY, NULL);
    check_never_opens(CKIT_E_LOCK_TIMEOUT, NULL);
}

CKIT_TEST(guard, excluded_kinds_do_not_count) {
    ckit_guard_options options = CKIT_GUARD_OPTIONS_INIT;
    options.retry = CKIT_OFF;
    options.excluded_kinds = CKIT_KIND_BIT(CKIT_KIND_TIMEOUT) | CKIT_KIND_BIT(CKIT_KIND_UNKNOWN);
    check_never_opens(CKIT_E_TIMEOUT, &options);
    check_never_opens(CKIT_E_IO, &options);
}

CKIT_TEST(guard, without_a_breaker_the_store_is_always_asked) {
    ckit_guard_options options = CKIT_GUARD_OPTIONS_INIT;
    options.retry = CKIT_OFF;
    options.breaker = CKIT_OFF;
    check_never_opens(CKIT_E_UNREACHABLE, &options);
}

CKIT_TEST(guard, a_caller_whose_time_was_over_before_it_began_does_not_break_the_circuit) {
    scene s;
    scene_open(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, UINT64_MAX);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, scene_get_by(&s, fake_clock_now(&s.time), NULL));
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, scene_stats(&s).state);
    CHECK_EQ_U(0, scene_stats(&s).data.operations);
    scene_close(&s);
}

CKIT_TEST(guard, locks_let_go_and_questions_of_operators_pass_an_open_circuit) {
    scene        s;
    ckit_lease   lease;
    ckit_health  health;
    ckit_deleted deleted;
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    scene_open(&s, FAKE_LOCKING);
    CHECK_OK(s.ops->lock_try(s.self, S("key"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    break_circuit(&s);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, s.ops->lock_try(s.self, S("other"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_OK(s.ops->lock_renew(s.self, S("key"), &lease, 60000, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(s.ops->lock_release(s.self, S("key"), &lease, CKIT_NO_DEADLINE, NULL));
    s.ops->health(s.self, CKIT_NO_DEADLINE, &health);
    CHECK(health.healthy);
    CHECK_OK(s.ops->delete_scope(s.self, &all, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    CHECK_EQ_U(CKIT_NO_DEADLINE, fake_last_deadline(s.store, FAKE_DELETE_SCOPE));
    scene_close(&s);
}

static bool finds_well(scene *s) {
    ckit_health health;
    s->ops->health(s->self, CKIT_NO_DEADLINE, &health);
    return health.healthy;
}

CKIT_TEST(guard, what_health_checks_find_neither_opens_a_circuit_nor_closes_one) {
    scene s;
    scene_open(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_HEALTH, CKIT_E_UNREACHABLE, 20);
    for (int i = 0; i < 20; i++) {
        CHECK(!finds_well(&s));
    }
    CHECK_EQ_U(0, scene_stats(&s).failures);
    fake_fail(s.store, FAKE_GET, CKIT_E_UNREACHABLE, 5);
    for (int i = 0; i < 5; i++) { /* in a row all the same */
        CHECK(finds_well(&s));
        CHECK_STATUS(CKIT_E_UNREACHABLE, scene_get(&s));
    }
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, scene_get(&s));
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 3; i++) {
        CHECK(finds_well(&s));
    }
    CHECK_EQ_U(CKIT_BREAKER_OPEN, scene_stats(&s).state);
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, scene_stats(&s).state);
    scene_close(&s);
}

CKIT_TEST(guard, the_circuit_can_be_closed_by_hand) {
    scene s;
    scene_open(&s, FAKE_FULL);
    break_circuit(&s);
    CHECK(ckit_backend_guard_reset(s.backend));
    CHECK_STATUS(CKIT_MISS, scene_get(&s));
    scene_close(&s);
}
