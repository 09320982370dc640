#include "guard/timeout.h"
#include "support/failing_alloc.h"
#include "support/test.h"

#include <pthread.h>
#include <stdlib.h>

static const ckiti_timeout_options usual = {
    .adapts = true, .initial_ms = 1000, .min_ms = 100, .max_ms = 10000, .window = 1000, .percentile = 95};

static ckiti_timeout start(const ckiti_timeout_options *options) {
    ckiti_timeout t;
    CHECK_OK(ckiti_timeout_init(&t, options, NULL, NULL));
    return t;
}

static void record_times(ckiti_timeout *t, uint64_t took_us, int times, uint64_t now_ms) {
    for (int i = 0; i < times; i++) {
        ckiti_timeout_record(t, took_us, now_ms * 1000);
    }
}

CKIT_TEST(timeout, it_is_the_initial_one_until_ten_operations_are_known) {
    ckiti_timeout t = start(&usual);
    record_times(&t, 200000, 9, 1);
    CHECK_EQ_U(1000, ckiti_timeout_ms(&t));
    record_times(&t, 200000, 1, 1);
    CHECK_EQ_U(300, ckiti_timeout_ms(&t));
    ckiti_timeout_fini(&t);
}

CKIT_TEST(timeout, it_stays_within_its_bounds) {
    ckiti_timeout t = start(&usual);
    record_times(&t, 10, 1000, 1);
    CHECK_EQ_U(100, ckiti_timeout_ms(&t));
    record_times(&t, UINT64_MAX, 1000, 1000);
    record_times(&t, UINT64_MAX, 1, 2000);
    CHECK_EQ_U(10000, ckiti_timeout_ms(&t));
    ckiti_timeout_fini(&t);
}

CKIT_TEST(timeout, it_follows_what_the_last_operations_needed_a_moment_later) {
    ckiti_timeout t = start(&usual);
    record_times(&t, 200000, 1000, 1000);
    record_times(&t, 400000, 51, 1000); /* the percentile is past them, but was found this very moment */
    CHECK_EQ_U(300, ckiti_timeout_ms(&t));
    record_times(&t, 400000, 1, 1000 + CKITI_TIMEOUT_PAUSE_MS);
    CHECK_EQ_U(600, ckiti_timeout_ms(&t));
    ckiti_timeout_fini(&t);
}

CKIT_TEST(timeout, it_is_fixed_where_it_shall_not_adapt) {
    ckiti_timeout_options fixed = usual;
    ckit_guard_timing     timing;
    fixed.adapts = false;
    ckiti_timeout t = start(&fixed);
    record_times(&t, 4000000, 1000, 1);
    CHECK_EQ_U(1000, ckiti_timeout_ms(&t));
    ckiti_timeout_look(&t, &timing); /* it is measured all the same */
    CHECK_EQ_D(4000.0, timing.percentile_ms);
    CHECK_EQ_U(1000, timing.timeout_ms);
    ckiti_timeout_fini(&t);
}

CKIT_TEST(timeout, an_empty_window_has_no_percentile) {
    ckiti_timeout     t = start(&usual);
    ckit_guard_timing timing;
    ckiti_timeout_look(&t, &timing);
    CHECK_EQ_U(0, timing.window);
    CHECK_EQ_D(0.0, timing.percentile_ms);
    CHECK_EQ_D(0.0, timing.average_ms);
    CHECK_EQ_U(1000, timing.timeout_ms);
    ckiti_timeout_fini(&t);
}

/* ---- against the slow way ---------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t draw(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *state >> 20;
}

/* Durations of many shapes: all alike, few values, spread over decades, rising, falling. */
static uint32_t duration(uint64_t *random, unsigned shape, uint32_t index) {
    switch (shape % 5) {
    case 0: return 777;
    case 1: return (uint32_t)(draw(random) % 3) * 100000;
    case 2: return (uint32_t)(draw(random) & 0xffffff) >> draw(random) % 20;
    case 3: return index * 1000;
    default: return 5000000 - index * 100;
    }
}

static void check_against_sorting(ckiti_timeout *t, const uint32_t *history, uint32_t count) {
    const ckiti_timeout_options *o = &t->options;
    uint32_t                     sorted[256];
    uint32_t                     n = count < o->window ? count : o->window;
    double                       sum = 0;
    memcpy(sorted, history + (count - n), n * sizeof sorted[0]);
    qsort(sorted, n, sizeof sorted[0], by_size);
    for (uint32_t i = 0; i < n; i++) {
        sum += sorted[i];
    }
    size_t   rank = (size_t)(n * o->percentile / 100);
    uint32_t p = sorted[rank < n ? rank : n - 1];
    double   want = p * 1.5 / 1000;
    want = n < CKITI_TIMEOUT_FEWEST ? o->initial_ms
           : want < o->min_ms       ? o->min_ms
           : want > o->max_ms       ? o->max_ms
                                    : want;
    ckit_guard_timing timing;
    ckiti_timeout_look(t, &timing);
    CHECK_EQ_U(n, timing.window);
    CHECK_EQ_U(count, timing.operations);
    CHECK_EQ_D(p / 1000.0, timing.percentile_ms);
    CHECK_EQ_D(sum / n / 1000.0, timing.average_ms);
    CHECKF(timing.timeout_ms >= want && timing.timeout_ms < want + 1, "%u ms for %g", timing.timeout_ms, want);
}

CKIT_TEST(timeout, the_percentile_is_the_one_that_sorting_finds) {
    uint64_t     random = 42;
    const double percentiles[] = {0.5, 50, 95, 99.9, 100};
    for (unsigned round = 0; round < 300; round++) {
        ckiti_timeout_options o = usual;
        uint32_t              history[600];
        o.window = 10 + (uint32_t)(draw(&random) % 247);
        o.percentile = percentiles[round % 5];
        ckiti_timeout t = start(&o);
        uint32_t      count = 1 + (uint32_t)(draw(&random) % 600);
        for (uint32_t i = 0; i < count; i++) {
            history[i] = duration(&random, round / 5, i);
            ckiti_timeout_record(&t, history[i], i * 1000);
            if (i + 1 == count || draw(&random) % 64 == 0) {
                check_against_sorting(&t, history, i + 1);
            }
        }
        ckiti_timeout_fini(&t);
    }
}

CKIT_TEST(timeout, without_memory_nothing_is_left_behind) {
    failing_alloc failing;
    for (uint64_t at = 0; at < 2; at++) {
        ckiti_timeout t;
        ckit_error    err = CKIT_ERROR_INIT;
        failing_alloc_init(&failing, at);
        CHECK_STATUS_ERR(CKIT_E_NO_MEMORY, ckiti_timeout_init(&t, &usual, &failing.alloc, &err), &err);
        failing_alloc_check_empty(&failing);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *record_many(void *context) {
    for (uint64_t i = 0; i < 20000; i++) {
        ckiti_timeout_record(context, 150000 + i % 7, i * 100);
    }
    return NULL;
}

CKIT_TEST(timeout, threads_record_together) {
    ckiti_timeout     t = start(&usual);
    ckit_guard_timing timing;
    pthread_t         threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, record_many, &t));
    }
    for (int i = 0; i < 100; i++) {
        ckiti_timeout_look(&t, &timing);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    ckiti_timeout_look(&t, &timing);
    CHECK_EQ_U(80000, timing.operations);
    CHECK_EQ_U(1000, timing.window);
    CHECK_EQ_U(226, timing.timeout_ms); /* 150.006 ms and half as much, rounded up */
    ckiti_timeout_fini(&t);
}
