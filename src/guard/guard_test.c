#include "guard/guard.h"
#include "support/failing_alloc.h"
#include "support/fake_backend.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* A guarded store with a clock of the test's own. */
typedef struct scene {
    fake_clock              time;
    fake_store             *store;
    ckit_guard_options      options;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    char                    log[4096];
    ckit_log                sink;
    uint64_t                lives; /* where get tells lives */
} scene;

static void write_line(void *self, ckit_log_level level, const char *component, const char *line) {
    scene *s = self;
    size_t len = strlen(s->log);
    snprintf(s->log + len, sizeof s->log - len, "%d %s: %s\n", (int)level, component, line);
}

/* Pauses between attempts move the clock instead. */
static fake_clock      *paused;
static _Atomic unsigned pauses;
static _Atomic uint64_t longest_pause;

static void pause_by_clock(uint64_t ms) {
    pauses++;
    longest_pause = ms > longest_pause ? ms : longest_pause;
    fake_clock_advance(paused, ms);
}

static void prepare(scene *s) {
    memset(s, 0, sizeof *s);
    fake_clock_init(&s->time);
    s->store = fake_store_open(&s->time);
    s->options = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    s->options.retry = CKIT_OFF;
    s->sink = (ckit_log){write_line, s, CKIT_LOG_INFO};
    paused = &s->time;
    pauses = 0;
    longest_pause = 0;
}

static void start(scene *s, fake_kind kind) {
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    ckit_error       err = CKIT_ERROR_INIT;
    env.clock = &s->time.clock;
    env.log = &s->sink;
    CHECK_OK_ERR(ckit_backend_guard(fake_connect(s->store, kind), &s->options, &env, &s->backend, &err), &err);
    s->ops = ckit_backend_operations(s->backend);
    s->self = ckit_backend_self(s->backend);
    ckiti_guard_of(s->backend)->sleep_ms = pause_by_clock;
}

static void begin(scene *s, fake_kind kind) {
    prepare(s);
    start(s, kind);
}

static void end(scene *s) {
    ckit_backend_close(s->backend);
    fake_store_close(s->store);
}

static ckit_guard_stats stats_of(const scene *s) {
    ckit_guard_stats stats = CKIT_GUARD_STATS_INIT;
    CHECK(ckit_backend_guard_stats(s->backend, &stats));
    return stats;
}

static ckit_status get_by(scene *s, uint64_t deadline_ms, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    ckit_status st = s->ops->get(s->self, S("key"), deadline_ms, &out, &s->lives, err);
    ckit_buf_fini(&out);
    return st;
}

static ckit_status get(scene *s) { return get_by(s, CKIT_NO_DEADLINE, NULL); }

static ckit_status set(scene *s) {
    const ckit_entry_info info = {.ttl_ms = 60000};
    return s->ops->set(s->self, S("key"), S("value"), &info, CKIT_NO_DEADLINE, NULL);
}

/* Five failures: the circuit is open. */
static void break_circuit(scene *s) {
    fake_fail(s->store, FAKE_GET, CKIT_E_UNREACHABLE, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, get(s));
    }
    CHECK_EQ_U(CKIT_BREAKER_OPEN, stats_of(s).state);
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

static void check_mirrors(fake_kind kind) {
    scene s;
    begin(&s, kind);
    const ckit_backend_ops *inner = ckiti_guarded_of(s.backend)->inner;
    CHECK_STR(inner->name, ckit_backend_name(s.backend));
#define MIRRORS(field) CHECK((inner->field == NULL) == (s.ops->field == NULL))
    MIRRORS(ttl), MIRRORS(touch), MIRRORS(get_many), MIRRORS(set_many), MIRRORS(submit), MIRRORS(list);
    MIRRORS(delete_scope), MIRRORS(lock_try), MIRRORS(lock_renew), MIRRORS(lock_release), MIRRORS(set_if_owner);
    MIRRORS(key_prefix), MIRRORS(stats), MIRRORS(sweep), MIRRORS(watch);
    end(&s);
}

CKIT_TEST(guard, what_the_store_cannot_its_guard_cannot_either) {
    check_mirrors(FAKE_REQUIRED);
    check_mirrors(FAKE_FULL);
    check_mirrors(FAKE_LOCKING);
    check_mirrors(FAKE_SUBMITTING);
}

CKIT_TEST(guard, every_operation_of_the_contract_is_guarded_or_let_through) {
    /* Who adds an operation gives the guard its part of it in operations.c, and then counts it here. */
    const size_t operations = 21, abi_and_name = 2;
    CHECK_EQ_U((abi_and_name + operations) * sizeof(void *), sizeof(ckit_backend_ops));
}

CKIT_TEST(guard, a_guarded_store_is_not_guarded_twice_and_an_unwanted_guard_is_none) {
    scene         s;
    ckit_backend *again = NULL, *bare;
    begin(&s, FAKE_FULL);
    CHECK_OK(ckit_backend_guard(s.backend, NULL, NULL, &again, NULL));
    CHECK_EQ_P(s.backend, again);
    ckit_guard_options off = CKIT_GUARD_OPTIONS_INIT;
    ckit_guard_stats   stats = CKIT_GUARD_STATS_INIT;
    off.enabled = CKIT_OFF;
    bare = fake_connect(s.store, FAKE_FULL);
    CHECK_OK(ckit_backend_guard(bare, &off, NULL, &again, NULL));
    CHECK_EQ_P(bare, again);
    CHECK(!ckit_backend_guard_stats(bare, &stats));
    CHECK(!ckit_backend_guard_stats(NULL, &stats));
    CHECK(!ckit_backend_guard_reset(bare));
    ckit_backend_close(bare);
    end(&s);
}

/* ---- options -------------------------------------------------------------------------------------------------------- */

static void check_refused(const ckit_guard_options *options, const char *name) {
    fake_store   *store = fake_store_open(NULL);
    ckit_backend *out = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION,
                     ckit_backend_guard(fake_connect(store, FAKE_FULL), options, NULL, &out, &err), &err);
    CHECK_CONTAINS(name, err.text);
    CHECK(out == NULL);
    fake_store_close(store);
}

#define REFUSED(name, ...)                                                                                             \
    check_refused(&(ckit_guard_options){.struct_size = sizeof(ckit_guard_options), __VA_ARGS__}, name)

CKIT_TEST(guard, contradictions_are_refused_by_name) {
    REFUSED("timeout_min_ms", .timeout_min_ms = 500, .timeout_max_ms = 400);
    REFUSED("timeout_initial_ms", .timeout_initial_ms = 50);
    REFUSED("timeout_initial_ms", .timeout_initial_ms = 20000);
    REFUSED("timeout_percentile", .timeout_percentile = 101);
    REFUSED("timeout_percentile", .timeout_percentile = -1);
    REFUSED("timeout_percentile", .timeout_percentile = __builtin_nan(""));
    REFUSED("timeout_window", .timeout_window = 9);
    REFUSED("half_open_requests", .half_open_requests = 65);
    REFUSED("breaker", .breaker = (ckit_switch)3);
    REFUSED("every kind", .excluded_kinds = ~0u);
    REFUSED("max_retries", .max_retries = 101);
}

CKIT_TEST(guard, the_initial_timeout_moves_into_the_bounds_that_are_given) {
    scene s;
    prepare(&s);
    s.options.timeout_min_ms = 2000;
    start(&s, FAKE_FULL);
    CHECK_EQ_U(2000, stats_of(&s).data.timeout_ms);
    end(&s);
    prepare(&s);
    s.options.timeout_max_ms = 500;
    start(&s, FAKE_FULL);
    CHECK_EQ_U(500, stats_of(&s).data.timeout_ms);
    end(&s);
}

CKIT_TEST(guard, options_and_stats_of_an_older_program_are_understood) {
    fake_store        *store = fake_store_open(NULL);
    ckit_backend      *backend = NULL;
    ckit_guard_options older = CKIT_GUARD_OPTIONS_INIT;
    ckit_guard_stats   stats = CKIT_GUARD_STATS_INIT;
    older.struct_size = offsetof(ckit_guard_options, failure_threshold) + sizeof older.failure_threshold;
    older.failure_threshold = 1;
    older.max_retries = 4711; /* beyond its size */
    CHECK_OK(ckit_backend_guard(fake_connect(store, FAKE_FULL), &older, NULL, &backend, NULL));
    memset(&stats, 0xaa, sizeof stats);
    stats.struct_size = offsetof(ckit_guard_stats, probes);
    CHECK(ckit_backend_guard_stats(backend, &stats));
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats.state);
    CHECK_EQ_U(0xaaaaaaaau, stats.probes);
    ckit_backend_close(backend);
    fake_store_close(store);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(guard, an_operation_gets_the_earlier_of_the_caller_s_deadline_and_the_learnt_one) {
    scene s;
    begin(&s, FAKE_FULL);
    uint64_t now = fake_clock_now(&s.time);
    CHECK_STATUS(CKIT_MISS, get(&s));
    CHECK_EQ_U(now + 1000, fake_last_deadline(s.store, FAKE_GET));
    CHECK_STATUS(CKIT_MISS, get_by(&s, now + 999, NULL));
    CHECK_EQ_U(now + 999, fake_last_deadline(s.store, FAKE_GET));
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(CKIT_MISS, get(&s));
    }
    CHECK_STATUS(CKIT_MISS, get(&s)); /* they took no time at all */
    CHECK_EQ_U(now + 100, fake_last_deadline(s.store, FAKE_GET));
    end(&s);
}

CKIT_TEST(guard, locks_are_timed_apart_from_reads_and_writes) {
    scene      s;
    ckit_lease lease;
    begin(&s, FAKE_LOCKING);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(set(&s));
    }
    CHECK_OK(s.ops->lock_try(s.self, S("key"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_EQ_U(fake_clock_now(&s.time) + 1000, fake_last_deadline(s.store, FAKE_LOCK_TRY));
    CHECK_OK(s.ops->lock_release(s.self, S("key"), &lease, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(2, stats_of(&s).locks.operations);
    CHECK_EQ_U(20, stats_of(&s).data.operations);
    end(&s);
}

CKIT_TEST(guard, large_values_and_batches_get_more_time) {
    scene                 s;
    static uint8_t        large[3 << 20];
    const ckit_entry_info info = {.ttl_ms = 60000};
    begin(&s, FAKE_FULL);
    CHECK_OK(s.ops->set(s.self, S("key"), S_ARRAY(large), &info, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(fake_clock_now(&s.time) + 1000 + 96, fake_last_deadline(s.store, FAKE_SET));
    end(&s);
}

CKIT_TEST(guard, a_timed_out_operation_is_remembered_with_the_time_it_had) {
    scene s;
    prepare(&s);
    s.options.failure_threshold = 1000;
    start(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, UINT64_MAX);
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, get(&s));
    }
    CHECK_EQ_U(10, stats_of(&s).data.timed_out);
    CHECK_EQ_D(1000.0, stats_of(&s).data.percentile_ms);
    CHECK_EQ_U(1500, stats_of(&s).data.timeout_ms);
    end(&s);
}

CKIT_TEST(guard, how_fast_a_store_fails_is_not_taken_for_how_fast_it_works) {
    scene s;
    prepare(&s);
    s.options.failure_threshold = 1000;
    start(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_UNREACHABLE, UINT64_MAX);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, get(&s));
    }
    CHECK_EQ_U(0, stats_of(&s).data.operations);
    CHECK_EQ_U(1000, stats_of(&s).data.timeout_ms);
    end(&s);
}

/* ---- the circuit ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(guard, defect_1_an_open_circuit_recovers_by_itself_on_the_way_of_an_operation) {
    scene s;
    begin(&s, FAKE_FULL);
    break_circuit(&s);
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CIRCUIT_OPEN, get_by(&s, CKIT_NO_DEADLINE, &err), &err);
    CHECK_CONTAINS("fake is left alone", err.text);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, set(&s));
    CHECK_EQ_U(0, fake_calls(s.store, FAKE_SET));
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_U(i == 0 ? CKIT_BREAKER_OPEN : CKIT_BREAKER_HALF_OPEN, stats_of(&s).state);
        CHECK_STATUS(CKIT_MISS, get(&s));
    }
    ckit_guard_stats stats = stats_of(&s);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats.state);
    CHECK_EQ_U(1, stats.opened);
    CHECK_EQ_U(1, stats.half_opened);
    CHECK_EQ_U(1, stats.closed);
    CHECK_EQ_U(2, stats.refused);
    CHECK_EQ_U(5, stats.failures);
    end(&s);
}

CKIT_TEST(guard, each_change_of_state_is_one_line_and_refusals_are_none) {
    scene s;
    begin(&s, FAKE_FULL);
    break_circuit(&s);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, get(&s));
    }
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_MISS, get(&s));
    }
    CHECK_STR("3 guard: fake: the circuit is open: E010 fake: the store cannot be reached\n"
              "2 guard: fake: the circuit is half_open\n"
              "2 guard: fake: the circuit is closed\n",
              s.log);
    end(&s);
}

static void check_never_opens(ckit_status status, const ckit_guard_options *options) {
    scene s;
    prepare(&s);
    if (options != NULL) {
        s.options = *options;
    }
    start(&s, FAKE_LOCKING);
    fake_fail(s.store, FAKE_GET, status, UINT64_MAX);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(status, get(&s));
    }
    CHECK_EQ_U(0, stats_of(&s).failures);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats_of(&s).state);
    end(&s);
}

static void check_opens(ckit_status status) {
    scene s;
    begin(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, status, UINT64_MAX);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(status, get(&s));
    }
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, get(&s));
    end(&s);
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
    begin(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, UINT64_MAX);
    for (int i = 0; i < 20; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, get_by(&s, fake_clock_now(&s.time), NULL));
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats_of(&s).state);
    CHECK_EQ_U(0, stats_of(&s).data.operations);
    end(&s);
}

CKIT_TEST(guard, locks_let_go_and_questions_of_operators_pass_an_open_circuit) {
    scene        s;
    ckit_lease   lease;
    ckit_health  health;
    ckit_deleted deleted;
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    begin(&s, FAKE_LOCKING);
    CHECK_OK(s.ops->lock_try(s.self, S("key"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    break_circuit(&s);
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, s.ops->lock_try(s.self, S("other"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_OK(s.ops->lock_renew(s.self, S("key"), &lease, 60000, CKIT_NO_DEADLINE, NULL));
    CHECK_OK(s.ops->lock_release(s.self, S("key"), &lease, CKIT_NO_DEADLINE, NULL));
    s.ops->health(s.self, CKIT_NO_DEADLINE, &health);
    CHECK(health.healthy);
    CHECK_OK(s.ops->delete_scope(s.self, &all, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(CKIT_BREAKER_OPEN, stats_of(&s).state);
    CHECK_EQ_U(CKIT_NO_DEADLINE, fake_last_deadline(s.store, FAKE_DELETE_SCOPE));
    end(&s);
}

CKIT_TEST(guard, the_circuit_can_be_closed_by_hand) {
    scene s;
    begin(&s, FAKE_FULL);
    break_circuit(&s);
    CHECK(ckit_backend_guard_reset(s.backend));
    CHECK_STATUS(CKIT_MISS, get(&s));
    end(&s);
}

/* ---- batches ---------------------------------------------------------------------------------------------------------- */

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
    begin(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET_MANY, CKIT_E_NETWORK, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(CKIT_E_NETWORK, get_three(&s, answers));
    }
    CHECK_EQ_U(4, stats_of(&s).failures_in_a_row);
    CHECK_OK(get_three(&s, answers));
    CHECK_STATUS(CKIT_MISS, answers[2]);
    CHECK_EQ_U(0, stats_of(&s).failures_in_a_row);
    end(&s);
}

/* ---- retries ------------------------------------------------------------------------------------------------------------ */

static void begin_retrying(scene *s, fake_kind kind) {
    prepare(s);
    s->options.retry = CKIT_ON;
    s->options.retry_delay_ms = 10;
    start(s, kind);
}

CKIT_TEST(guard, defect_34_what_passes_is_tried_again_after_a_random_pause) {
    scene      s;
    ckit_error err = CKIT_ERROR_INIT;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_NETWORK, 3);
    CHECK_STATUS(CKIT_MISS, get_by(&s, CKIT_NO_DEADLINE, &err));
    CHECK_STATUS(CKIT_OK, err.status); /* no story of a failure that did no harm */
    CHECK_EQ_U(4, fake_calls(s.store, FAKE_GET));
    CHECK_EQ_U(3, pauses);
    CHECK_BETWEEN_U(0, 40, longest_pause);
    CHECK_EQ_U(3, stats_of(&s).retries);
    CHECK_EQ_U(1, stats_of(&s).recovered);
    fake_forget_calls(s.store);
    fake_fail(s.store, FAKE_SET, CKIT_E_RATE_LIMITED, UINT64_MAX);
    CHECK_STATUS(CKIT_E_RATE_LIMITED, set(&s));
    CHECK_EQ_U(4, fake_calls(s.store, FAKE_SET));
    end(&s);
}

CKIT_TEST(guard, what_will_not_pass_is_not_tried_again) {
    const ckit_status statuses[] = {CKIT_E_TOO_LARGE, CKIT_E_CREDENTIALS, CKIT_E_IO, CKIT_E_NO_MEMORY, CKIT_E_REJECTED};
    scene             s;
    begin_retrying(&s, FAKE_FULL);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        fake_fail(s.store, FAKE_GET, statuses[i], 1);
        CHECK_STATUS(statuses[i], get(&s));
    }
    CHECK_EQ_U(0, pauses);
    end(&s);
}

CKIT_TEST(guard, all_attempts_share_one_deadline) {
    scene s;
    prepare(&s);
    s.options.retry = CKIT_ON;
    s.options.retry_delay_ms = 3600000;
    s.options.failure_threshold = 1000;
    start(&s, FAKE_FULL);
    for (int i = 0; i < 50; i++) {
        uint64_t began = fake_clock_now(&s.time);
        fake_fail(s.store, FAKE_GET, CKIT_E_NETWORK, UINT64_MAX);
        CHECK_STATUS(CKIT_E_NETWORK, get(&s));
        CHECK_BETWEEN_U(began, began + 999, fake_clock_now(&s.time));
        CHECK_EQ_U(began + 1000, fake_last_deadline(s.store, FAKE_GET));
    }
    end(&s);
}

CKIT_TEST(guard, a_probe_is_not_tried_again) {
    scene s;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_UNREACHABLE, UINT64_MAX);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_UNREACHABLE, get(&s)); /* four attempts, one failure */
    }
    CHECK_EQ_U(20, fake_calls(s.store, FAKE_GET));
    CHECK_EQ_U(5, stats_of(&s).failures);
    fake_clock_advance(&s.time, 30001);
    CHECK_STATUS(CKIT_E_UNREACHABLE, get(&s));
    CHECK_EQ_U(21, fake_calls(s.store, FAKE_GET));
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, get(&s));
    end(&s);
}

CKIT_TEST(guard, what_may_have_worked_the_first_time_is_not_done_twice) {
    scene      s;
    ckit_lease lease = {.fence = 0};
    begin_retrying(&s, FAKE_LOCKING);
    const ckit_entry_info info = {.ttl_ms = 60000};
    fake_fail(s.store, FAKE_LOCK_TRY, CKIT_E_NETWORK, UINT64_MAX);
    fake_fail(s.store, FAKE_SET_IF_OWNER, CKIT_E_NETWORK, UINT64_MAX);
    CHECK_STATUS(CKIT_E_NETWORK, s.ops->lock_try(s.self, S("key"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_STATUS(CKIT_E_NETWORK,
                 s.ops->set_if_owner(s.self, S("key"), S("value"), &info, &lease, CKIT_NO_DEADLINE, NULL));
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_LOCK_TRY));
    CHECK_EQ_U(1, fake_calls(s.store, FAKE_SET_IF_OWNER));
    CHECK_EQ_U(0, pauses);
    end(&s);
}

CKIT_TEST(guard, timeouts_are_tried_again_unless_that_is_switched_off) {
    scene s;
    begin_retrying(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    CHECK_STATUS(CKIT_MISS, get(&s));
    end(&s);
    prepare(&s);
    s.options.retry = CKIT_ON;
    s.options.retry_on_timeout = CKIT_OFF;
    start(&s, FAKE_FULL);
    fake_fail(s.store, FAKE_GET, CKIT_E_TIMEOUT, 1);
    CHECK_STATUS(CKIT_E_TIMEOUT, get(&s));
    end(&s);
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
    end(&s);
}

/* ---- too many at once ----------------------------------------------------------------------------------------------- */

static void *get_slowly(void *context) {
    CHECK(get(context) < CKIT_E_FIRST);
    return NULL;
}

CKIT_TEST(guard, demand_beyond_the_limit_is_told_that_the_store_is_busy_and_the_circuit_stays_closed) {
    scene     s;
    pthread_t thread;
    prepare(&s);
    s.options.max_concurrent = 1;
    s.options.queue_timeout_ms = 1;
    start(&s, FAKE_FULL);
    fake_shut(s.store, FAKE_GET, FAKE_BEFORE);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_slowly, &s));
    fake_wait_stopped(s.store, FAKE_GET, 1);
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(CKIT_E_BUSY, set(&s));
    }
    CHECK_STATUS(CKIT_MISS, s.ops->remove(s.self, S("key"), CKIT_NO_DEADLINE, NULL)); /* needs no place */
    ckit_guard_stats stats = stats_of(&s);
    CHECK_EQ_U(1, stats.in_flight);
    CHECK_EQ_U(10, stats.rejected);
    CHECK_EQ_U(0, stats.failures);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats.state);
    fake_open_gate(s.store, FAKE_GET);
    pthread_join(thread, NULL);
    CHECK_EQ_U(0, stats_of(&s).in_flight);
    CHECK_OK(set(&s));
    end(&s);
}

CKIT_TEST(guard, a_probe_that_finds_no_place_gives_its_pass_back) {
    scene     s;
    pthread_t thread;
    prepare(&s);
    s.options.max_concurrent = 1;
    s.options.queue_timeout_ms = 1;
    s.options.half_open_requests = 2;
    start(&s, FAKE_FULL);
    break_circuit(&s);
    fake_clock_advance(&s.time, 30001);
    fake_shut(s.store, FAKE_GET, FAKE_BEFORE);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_slowly, &s));
    fake_wait_stopped(s.store, FAKE_GET, 1);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_E_BUSY, set(&s));
    }
    CHECK_EQ_U(1, stats_of(&s).probes);
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, stats_of(&s).state);
    fake_open_gate(s.store, FAKE_GET);
    pthread_join(thread, NULL);
    CHECK_EQ_U(1, stats_of(&s).probe_successes);
    end(&s);
}

/* ---- without waiting ------------------------------------------------------------------------------------------------ */

typedef struct submitted {
    ckit_request     request;
    ckit_buf         out;
    _Atomic unsigned done;
    ckit_status      status;
    void            *seen_context;
    uint64_t         seen_deadline;
} submitted;

static void note_done(ckit_request *request, ckit_status status) {
    submitted *r = request->context;
    r->status = status;
    r->seen_context = request->context;
    r->seen_deadline = request->deadline_ms;
    atomic_fetch_add(&r->done, 1);
}

static ckit_status submit(scene *s, submitted *r) {
    memset(r, 0, sizeof *r);
    r->request = (ckit_request){.kind = CKIT_REQUEST_GET,
                                .key = S("key"),
                                .deadline_ms = 4000000,
                                .out = &r->out,
                                .done = note_done,
                                .context = r};
    return s->ops->submit(s->self, &r->request, NULL);
}

static void wait_done(submitted *r) {
    while (atomic_load(&r->done) == 0) {
        sched_yield();
    }
    ckit_buf_fini(&r->out);
}

CKIT_TEST(guard, a_submitted_read_is_counted_timed_and_given_back_as_it_was) {
    scene     s;
    submitted r;
    begin(&s, FAKE_SUBMITTING);
    fake_put(s.store, S("key"), S("value"), CKIT_LIFE_NO_EXPIRY);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
    wait_done(&r);
    CHECK_STATUS(CKIT_OK, r.status);
    CHECK_EQ_P(&r, r.seen_context);
    CHECK_EQ_U(4000000, r.seen_deadline);
    CHECK_EQ_U(fake_clock_now(&s.time) + 1000, fake_last_deadline(s.store, FAKE_SUBMIT));
    CHECK_EQ_U(1, stats_of(&s).data.operations);
    CHECK_EQ_U(0, stats_of(&s).in_flight);
    end(&s);
}

CKIT_TEST(guard, submitted_reads_break_the_circuit_and_are_refused_at_once_by_an_open_one) {
    scene     s;
    submitted r;
    begin(&s, FAKE_SUBMITTING_AT_ONCE);
    fake_fail(s.store, FAKE_SUBMIT, CKIT_E_UNREACHABLE, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
        wait_done(&r);
        CHECK_STATUS(CKIT_E_UNREACHABLE, r.status);
    }
    CHECK_STATUS(CKIT_E_CIRCUIT_OPEN, submit(&s, &r));
    CHECK_EQ_U(0, atomic_load(&r.done));
    CHECK(r.request.done == note_done);
    fake_clock_advance(&s.time, 30001);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
        wait_done(&r);
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats_of(&s).state);
    end(&s);
}

CKIT_TEST(guard, a_submitted_read_never_waits_for_its_turn) {
    scene     s;
    submitted first, second;
    prepare(&s);
    s.options.max_concurrent = 1;
    s.options.queue_timeout_ms = 3600000;
    start(&s, FAKE_SUBMITTING);
    fake_shut(s.store, FAKE_SUBMIT, FAKE_BEFORE);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &first));
    CHECK_STATUS(CKIT_E_BUSY, submit(&s, &second));
    CHECK_EQ_U(1, stats_of(&s).rejected);
    fake_open_gate(s.store, FAKE_SUBMIT);
    wait_done(&first);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &second));
    wait_done(&second);
    end(&s);
}

CKIT_TEST(guard, a_request_that_the_store_does_not_take_leaves_no_trace) {
    scene     s;
    submitted r;
    begin(&s, FAKE_SUBMITTING);
    memset(&r, 0, sizeof r);
    r.request =
        (ckit_request){.kind = CKIT_REQUEST_SET, .key = S("key"), .deadline_ms = 7, .done = note_done, .context = &r};
    CHECK_STATUS(CKIT_E_UNSUPPORTED, s.ops->submit(s.self, &r.request, NULL));
    CHECK(r.request.done == note_done);
    CHECK_EQ_P(&r, r.request.context);
    CHECK_EQ_U(7, r.request.deadline_ms);
    CHECK_EQ_U(0, stats_of(&s).in_flight);
    CHECK_EQ_U(0, stats_of(&s).data.operations);
    end(&s);
}

/* ---- hardship --------------------------------------------------------------------------------------------------------- */

CKIT_TEST(guard, without_memory_the_store_is_closed_and_nothing_is_left) {
    for (uint64_t n = 0;; n++) {
        failing_alloc    memory;
        fake_store      *store = fake_store_open(NULL);
        ckit_backend    *backend = NULL;
        ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
        failing_alloc_init(&memory, n);
        env.alloc = &memory.alloc;
        ckit_status st = ckit_backend_guard(fake_connect(store, FAKE_FULL), NULL, &env, &backend, NULL);
        ckit_backend_close(backend);
        fake_store_close(store);
        failing_alloc_check_empty(&memory);
        if (!failing_alloc_has_failed(&memory)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
}

CKIT_TEST(guard, a_request_for_which_there_is_no_memory_is_not_taken) {
    failing_alloc    memory;
    scene            s;
    submitted        r;
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    prepare(&s);
    failing_alloc_init(&memory, FAILING_ALLOC_NEVER);
    env.alloc = &memory.alloc;
    CHECK_OK(ckit_backend_guard(fake_connect(s.store, FAKE_SUBMITTING), NULL, &env, &s.backend, NULL));
    s.ops = ckit_backend_operations(s.backend);
    s.self = ckit_backend_self(s.backend);
    atomic_store(&memory.fail_at, atomic_load(&memory.requests));
    CHECK_STATUS(CKIT_E_NO_MEMORY, submit(&s, &r));
    CHECK(r.request.done == note_done);
    CHECK_EQ_U(0, stats_of(&s).in_flight);
    CHECK_STATUS(CKIT_PENDING, submit(&s, &r));
    wait_done(&r);
    end(&s);
    failing_alloc_check_empty(&memory);
}

CKIT_TEST(guard, wrong_calls_are_told_and_close_the_store) {
    fake_store        *store = fake_store_open(NULL);
    ckit_backend      *out = NULL;
    ckit_guard_options unset = {.struct_size = 0};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_backend_guard(NULL, NULL, NULL, &out, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_backend_guard(fake_connect(store, FAKE_FULL), NULL, NULL, NULL, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_backend_guard(fake_connect(store, FAKE_FULL), &unset, NULL, &out, NULL));
    fake_store_close(store);
}

CKIT_TEST(guard, a_child_has_all_places_free_and_what_was_learnt) {
    scene     s;
    pthread_t thread;
    prepare(&s);
    s.options.max_concurrent = 1;
    start(&s, FAKE_FULL);
    for (int i = 0; i < 20; i++) {
        CHECK_OK(set(&s));
    }
    fake_shut(s.store, FAKE_GET, FAKE_BEFORE);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_slowly, &s));
    fake_wait_stopped(s.store, FAKE_GET, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_EQ_U(0, stats_of(&s).in_flight);
        CHECK_EQ_U(100, stats_of(&s).data.timeout_ms);
        CHECK_OK(get(&s));
        break_circuit(&s);
        _exit(0);
    }
    int status = 0;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    fake_open_gate(s.store, FAKE_GET);
    pthread_join(thread, NULL);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, stats_of(&s).state);
    end(&s);
}

/* ---- threads ------------------------------------------------------------------------------------------------------------ */

static void *mixed_work(void *context) {
    scene *s = context;
    for (int i = 0; i < 2000; i++) {
        if (i % 50 == 0) {
            fake_fail(s->store, i % 100 == 0 ? FAKE_GET : FAKE_SET, CKIT_E_NETWORK, 60);
        }
        (void)(i % 3 == 0 ? set(s) : get(s));
        if (i % 40 == 0) {
            fake_clock_advance(&s->time, 3);
            (void)stats_of(s);
        }
    }
    return NULL;
}

CKIT_TEST(guard, threads_share_it_through_failures_and_recoveries) {
    scene     s;
    pthread_t threads[4];
    prepare(&s);
    s.options.failure_threshold = 2;
    s.options.recovery_timeout_ms = 2;
    s.options.max_concurrent = 2;
    s.options.retry = CKIT_ON;
    s.options.retry_delay_ms = 1;
    s.sink.level = CKIT_LOG_OFF;
    start(&s, FAKE_FULL);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, mixed_work, &s));
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    ckit_guard_stats stats = stats_of(&s);
    CHECK_EQ_U(0, stats.in_flight);
    CHECK_EQ_U(0, stats.probes);
    CHECK_EQ_U(0, stats.waiting);
    CHECK_BETWEEN_U(1, UINT64_MAX, stats.opened);
    CHECK_BETWEEN_U(1, UINT64_MAX, stats.data.operations);
    end(&s);
}
