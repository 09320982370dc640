#include "guard/breaker.h"
#include "support/test.h"

static const ckiti_breaker_options usual = {
    .failure_threshold = 3, .success_threshold = 2, .most_probes = 2, .recovery_ms = 100};

static ckiti_breaker_counts look(ckiti_breaker *breaker, uint64_t now_ms) {
    ckiti_breaker_counts counts;
    ckiti_breaker_look(breaker, now_ms, &counts);
    return counts;
}

/* An operation from beginning to end; false when it is refused. */
static bool operate(ckiti_breaker *breaker, uint64_t now_ms, ckiti_outcome outcome) {
    ckiti_pass pass;
    bool       moved = false;
    if (!ckiti_breaker_admit(breaker, now_ms, now_ms + 10, &pass, &moved)) {
        return false;
    }
    ckiti_breaker_report(breaker, &pass, outcome, now_ms, &moved);
    return true;
}

static void fail_times(ckiti_breaker *breaker, uint64_t now_ms, unsigned times) {
    for (unsigned i = 0; i < times; i++) {
        CHECK(operate(breaker, now_ms, CKITI_OUTCOME_FAILURE));
    }
}

/* ---- the rules, one by one --------------------------------------------------------------------------------------- */

CKIT_TEST(breaker, failures_in_a_row_open_it_and_a_success_between_them_forgets_them) {
    ckiti_breaker b;
    ckiti_breaker_init(&b, &usual);
    for (int i = 0; i < 10; i++) {
        fail_times(&b, 1, 2);
        CHECK(operate(&b, 1, CKITI_OUTCOME_SUCCESS));
        CHECK_EQ_U(0, look(&b, 1).failures_in_a_row);
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, look(&b, 1).state);
    fail_times(&b, 1, 3);
    CHECK_EQ_U(CKIT_BREAKER_OPEN, look(&b, 1).state);
    CHECK(!operate(&b, 1, CKITI_OUTCOME_SUCCESS));
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, what_says_nothing_about_health_neither_counts_nor_forgets) {
    ckiti_breaker b;
    ckiti_breaker_init(&b, &usual);
    fail_times(&b, 1, 2);
    for (int i = 0; i < 100; i++) {
        CHECK(operate(&b, 1, CKITI_OUTCOME_NEITHER));
    }
    CHECK_EQ_U(2, look(&b, 1).failures_in_a_row);
    fail_times(&b, 1, 1);
    CHECK_EQ_U(CKIT_BREAKER_OPEN, look(&b, 1).state);
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, an_operation_probes_once_more_than_the_recovery_time_has_passed) {
    ckiti_breaker b;
    ckiti_breaker_init(&b, &usual);
    fail_times(&b, 1000, 3);
    CHECK(!operate(&b, 1100, CKITI_OUTCOME_SUCCESS)); /* exactly the recovery time */
    CHECK_EQ_U(1, look(&b, 1100).recovery_in_ms);
    CHECK(operate(&b, 1101, CKITI_OUTCOME_SUCCESS));
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, look(&b, 1101).state);
    CHECK(operate(&b, 1101, CKITI_OUTCOME_SUCCESS));
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, look(&b, 1101).state);
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, refusals_do_not_count_and_do_not_postpone_recovery) {
    ckiti_breaker b;
    ckiti_breaker_init(&b, &usual);
    fail_times(&b, 1000, 3);
    for (uint64_t now = 1000; now <= 1100; now++) {
        CHECK(!operate(&b, now, CKITI_OUTCOME_FAILURE));
    }
    CHECK_EQ_U(101, look(&b, 1100).refused);
    CHECK_EQ_U(3, look(&b, 1100).failures);
    CHECK(operate(&b, 1101, CKITI_OUTCOME_SUCCESS));
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, a_probe_that_fails_opens_it_for_a_whole_recovery_time) {
    ckiti_breaker b;
    ckiti_breaker_init(&b, &usual);
    fail_times(&b, 1000, 3);
    CHECK(operate(&b, 1101, CKITI_OUTCOME_SUCCESS));
    CHECK(operate(&b, 1150, CKITI_OUTCOME_FAILURE));
    CHECK_EQ_U(CKIT_BREAKER_OPEN, look(&b, 1150).state);
    CHECK_EQ_U(2, look(&b, 1150).opened);
    CHECK(!operate(&b, 1250, CKITI_OUTCOME_SUCCESS));
    CHECK(operate(&b, 1251, CKITI_OUTCOME_SUCCESS));
    CHECK_EQ_U(1, look(&b, 1251).successes_in_a_row); /* the one of the earlier period is forgotten */
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, one_probe_at_once_is_enough_to_close_it_after_three_successes) {
    ckiti_breaker_options narrow = {
        .failure_threshold = 1, .success_threshold = 3, .most_probes = 1, .recovery_ms = 100};
    ckiti_breaker b;
    ckiti_breaker_init(&b, &narrow);
    fail_times(&b, 1000, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_U(i == 0 ? CKIT_BREAKER_OPEN : CKIT_BREAKER_HALF_OPEN, look(&b, 1101).state);
        CHECK(operate(&b, 1101, CKITI_OUTCOME_SUCCESS));
    }
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, look(&b, 1101).state);
    CHECK_EQ_U(1, look(&b, 1101).closed);
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, the_place_of_a_probe_that_never_reports_is_given_to_the_next_after_its_end) {
    ckiti_breaker b;
    ckiti_pass    lost, other, third;
    bool          moved = false;
    ckiti_breaker_init(&b, &usual);
    fail_times(&b, 1000, 3);
    CHECK(ckiti_breaker_admit(&b, 1101, 1120, &lost, &moved));
    CHECK(ckiti_breaker_admit(&b, 1101, 1200, &other, &moved));
    CHECK(!ckiti_breaker_admit(&b, 1119, 1200, &third, &moved));
    CHECK(ckiti_breaker_admit(&b, 1120, 1200, &third, &moved));
    CHECK_EQ_U(2, look(&b, 1120).probes);
    ckiti_breaker_report(&b, &lost, CKITI_OUTCOME_FAILURE, 1121, &moved); /* too late to matter */
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, look(&b, 1121).state);
    CHECK_EQ_U(2, look(&b, 1121).probes);
    ckiti_breaker_report(&b, &other, CKITI_OUTCOME_SUCCESS, 1121, &moved);
    ckiti_breaker_report(&b, &third, CKITI_OUTCOME_SUCCESS, 1121, &moved);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, look(&b, 1121).state);
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, what_was_begun_before_it_opened_says_nothing_afterwards) {
    ckiti_breaker b;
    ckiti_pass    slow[4];
    bool          moved = false;
    ckiti_breaker_init(&b, &usual);
    for (int i = 0; i < 4; i++) {
        CHECK(ckiti_breaker_admit(&b, 1000, 2000, &slow[i], &moved));
    }
    fail_times(&b, 1000, 3);
    ckiti_breaker_report(&b, &slow[0], CKITI_OUTCOME_FAILURE, 1090, &moved);
    CHECK(operate(&b, 1101, CKITI_OUTCOME_SUCCESS)); /* not postponed */
    ckiti_breaker_report(&b, &slow[1], CKITI_OUTCOME_FAILURE, 1102, &moved);
    CHECK_EQ_U(CKIT_BREAKER_HALF_OPEN, look(&b, 1102).state);
    ckiti_breaker_report(&b, &slow[2], CKITI_OUTCOME_SUCCESS, 1102, &moved);
    CHECK_EQ_U(1, look(&b, 1102).successes_in_a_row);
    CHECK(operate(&b, 1102, CKITI_OUTCOME_SUCCESS));
    ckiti_breaker_report(&b, &slow[3], CKITI_OUTCOME_FAILURE, 1103, &moved);
    CHECK_EQ_U(0, look(&b, 1103).failures_in_a_row);
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, it_can_be_closed_by_hand) {
    ckiti_breaker b;
    bool          moved = false;
    ckiti_breaker_init(&b, &usual);
    fail_times(&b, 1000, 3);
    ckiti_breaker_reset(&b, &moved);
    CHECK(moved);
    CHECK(operate(&b, 1000, CKITI_OUTCOME_SUCCESS));
    fail_times(&b, 1000, 2);
    ckiti_breaker_reset(&b, &moved);
    fail_times(&b, 1000, 2);
    CHECK_EQ_U(CKIT_BREAKER_CLOSED, look(&b, 1000).state);
    ckiti_breaker_fini(&b);
}

CKIT_TEST(breaker, a_clock_that_went_back_a_little_does_not_open_the_way) {
    ckiti_breaker b;
    ckiti_breaker_init(&b, &usual);
    fail_times(&b, 1000, 3);
    CHECK(!operate(&b, 900, CKITI_OUTCOME_SUCCESS));
    CHECK_EQ_U(101, look(&b, 900).recovery_in_ms);
    ckiti_breaker_fini(&b);
}

/* ---- everything that can happen, against a model ----------------------------------------------------------------- */

/* The rules once more, told differently: a list of all operations ever begun, each knowing which period it belongs to
 * and whether it still has a say; every figure is counted from the list and a few numbers. */
#define MOST_EVENTS 8

typedef struct model_operation {
    int      period;
    bool     probe, under_way, has_say;
    uint64_t ends_ms;
} model_operation;

typedef struct model {
    ckiti_breaker_options rules;
    ckit_breaker_state    state;
    int                   period;
    uint64_t              opened_ms;
    unsigned              failures_in_a_row, successes, refused, failures, transitions[3];
    model_operation       operations[MOST_EVENTS];
    int                   begun;
} model;

static unsigned model_probes(const model *m) {
    unsigned count = 0;
    for (int i = 0; i < m->begun; i++) {
        const model_operation *o = &m->operations[i];
        count += o->probe && o->under_way && o->has_say && o->period == m->period;
    }
    return count;
}

static void model_change(model *m, ckit_breaker_state state, uint64_t now_ms) {
    m->state = state;
    m->period++;
    m->transitions[state]++;
    m->successes = 0;
    if (state == CKIT_BREAKER_OPEN) {
        m->opened_ms = now_ms;
    } else if (state == CKIT_BREAKER_CLOSED) {
        m->failures_in_a_row = 0;
    }
}

static bool model_admit(model *m, uint64_t now_ms, uint64_t ends_ms) {
    if (m->state == CKIT_BREAKER_OPEN && now_ms - m->opened_ms > m->rules.recovery_ms) {
        model_change(m, CKIT_BREAKER_HALF_OPEN, now_ms);
    }
    bool probe = m->state == CKIT_BREAKER_HALF_OPEN;
    if (probe && model_probes(m) == m->rules.most_probes) {
        for (int i = 0; i < m->begun; i++) { /* one that overran loses its say */
            model_operation *o = &m->operations[i];
            if (o->probe && o->under_way && o->has_say && o->period == m->period && o->ends_ms <= now_ms) {
                o->has_say = false;
                break;
            }
        }
    }
    if (m->state == CKIT_BREAKER_OPEN || (probe && model_probes(m) == m->rules.most_probes)) {
        m->refused++;
        return false;
    }
    m->operations[m->begun++] = (model_operation){m->period, probe, true, true, ends_ms};
    return true;
}

static void model_report(model *m, int operation, ckiti_outcome outcome, uint64_t now_ms) {
    model_operation *o = &m->operations[operation];
    bool             heard = o->has_say && o->period == m->period;
    o->under_way = false;
    if (heard && outcome == CKITI_OUTCOME_FAILURE) {
        m->failures++;
        m->failures_in_a_row++;
        if (o->probe || m->failures_in_a_row == m->rules.failure_threshold) {
            model_change(m, CKIT_BREAKER_OPEN, now_ms);
        }
    } else if (heard && outcome == CKITI_OUTCOME_SUCCESS) {
        if (!o->probe) {
            m->failures_in_a_row = 0;
        } else if (++m->successes == m->rules.success_threshold) {
            model_change(m, CKIT_BREAKER_CLOSED, now_ms);
        }
    }
}

typedef struct world {
    model         model;
    ckiti_breaker breaker;
    ckiti_pass    passes[MOST_EVENTS];
    uint64_t      now_ms;
    char          told[MOST_EVENTS + 1];
} world;

static void compare(world *w) {
    ckiti_breaker_counts is = look(&w->breaker, w->now_ms);
    const model         *m = &w->model;
    CHECKF(is.state == m->state, "%s: state %d", w->told, is.state);
    CHECKF(is.failures_in_a_row == m->failures_in_a_row, "%s: %u in a row", w->told, is.failures_in_a_row);
    CHECKF(is.successes_in_a_row == m->successes, "%s: %u successes", w->told, is.successes_in_a_row);
    CHECKF(is.probes == model_probes(m), "%s: %u probes", w->told, is.probes);
    CHECKF(is.refused == m->refused && is.failures == m->failures, "%s", w->told);
    CHECKF(is.opened == m->transitions[CKIT_BREAKER_OPEN], "%s", w->told);
    CHECKF(is.half_opened == m->transitions[CKIT_BREAKER_HALF_OPEN], "%s", w->told);
    CHECKF(is.closed == m->transitions[CKIT_BREAKER_CLOSED], "%s", w->told);
}

static int begin(world *w) {
    ckiti_pass pass;
    bool       moved = false;
    uint64_t   ends_ms = w->now_ms + 5;
    bool       admitted = ckiti_breaker_admit(&w->breaker, w->now_ms, ends_ms, &pass, &moved);
    CHECKF(admitted == model_admit(&w->model, w->now_ms, ends_ms), "%s: admitted %d", w->told, admitted);
    if (!admitted) {
        return -1;
    }
    w->passes[w->model.begun - 1] = pass;
    return w->model.begun - 1;
}

static void end(world *w, int operation, ckiti_outcome outcome) {
    bool moved = false;
    if (operation >= 0) {
        ckiti_breaker_report(&w->breaker, &w->passes[operation], outcome, w->now_ms, &moved);
        model_report(&w->model, operation, outcome, w->now_ms);
    }
}

static int oldest_under_way(const world *w) {
    for (int i = 0; i < w->model.begun; i++) {
        if (w->model.operations[i].under_way) {
            return i;
        }
    }
    return -1;
}

/* s, f, p: an operation that succeeds, fails, says nothing. t: time passes. b: one begins. e, x, n: the oldest under
 * way ends with success, failure, nothing. */
static const char events[] = "sfptbexn";

static void happen(world *w, char event) {
    switch (event) {
    case 's': end(w, begin(w), CKITI_OUTCOME_SUCCESS); break;
    case 'f': end(w, begin(w), CKITI_OUTCOME_FAILURE); break;
    case 'p': end(w, begin(w), CKITI_OUTCOME_NEITHER); break;
    case 't': w->now_ms += 6; break;
    case 'b': (void)begin(w); break;
    case 'e': end(w, oldest_under_way(w), CKITI_OUTCOME_SUCCESS); break;
    case 'x': end(w, oldest_under_way(w), CKITI_OUTCOME_FAILURE); break;
    default: end(w, oldest_under_way(w), CKITI_OUTCOME_NEITHER); break;
    }
}

static uint64_t play_all(const world *before, int depth, int most) {
    uint64_t played = 0;
    for (const char *event = events; depth < most && *event != '\0'; event++) {
        if (strchr("exn", *event) != NULL && oldest_under_way(before) < 0) {
            continue; /* nothing would happen */
        }
        world w = *before;
        w.told[depth] = *event;
        happen(&w, *event);
        compare(&w);
        played += 1 + play_all(&w, depth + 1, most);
    }
    return played;
}

static void play_all_with(const ckiti_breaker_options *rules, int most) {
    world w;
    memset(&w, 0, sizeof w);
    w.model.rules = *rules;
    w.now_ms = 1000;
    ckiti_breaker_init(&w.breaker, rules);
    CHECK_BETWEEN_U(100000, UINT64_MAX, play_all(&w, 0, most));
    ckiti_breaker_fini(&w.breaker);
}

CKIT_TEST(breaker, does_what_the_model_does_in_every_sequence_of_up_to_eight_events) {
    play_all_with(&(ckiti_breaker_options){2, 2, 2, 10}, 8);
}

CKIT_TEST(breaker, does_what_the_model_does_with_other_numbers) {
    play_all_with(&(ckiti_breaker_options){1, 1, 1, 10}, 7);
    play_all_with(&(ckiti_breaker_options){1, 3, 2, 5}, 7);
    play_all_with(&(ckiti_breaker_options){3, 1, 3, 6}, 7);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

#define PERIODS (1u << 17) /* more than there can be: time moves 20,000 times */

typedef struct crowd {
    ckiti_breaker         breaker;
    _Atomic int           probing[PERIODS]; /* a probe that outlives its period holds no place of the next */
    _Atomic int           most_probing;
    _Atomic unsigned long admitted;
} crowd;

/* Between being admitted and reporting, so never more than hold a place. */
static void note_probe(crowd *c, const ckiti_pass *pass) {
    _Atomic int *at_once = &c->probing[pass->period % PERIODS];
    int          probing = atomic_fetch_add(at_once, 1) + 1;
    int          most = atomic_load(&c->most_probing);
    while (probing > most && !atomic_compare_exchange_weak(&c->most_probing, &most, probing)) {}
    atomic_fetch_sub(at_once, 1);
}

static void *one_of_the_crowd(void *context) {
    crowd   *c = context;
    uint64_t random = (uintptr_t)&random;
    for (int i = 0; i < 20000; i++) {
        ckiti_pass pass;
        bool       moved = false;
        uint64_t   now_ms = 1000 + (uint64_t)i;
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        if (!ckiti_breaker_admit(&c->breaker, now_ms, UINT64_MAX, &pass, &moved)) {
            continue;
        }
        atomic_fetch_add(&c->admitted, 1);
        if (pass.serial != 0) {
            note_probe(c, &pass);
        }
        unsigned dice = (unsigned)(random >> 33) % 8;
        ckiti_breaker_report(&c->breaker, &pass,
                             dice == 0   ? CKITI_OUTCOME_NEITHER
                             : dice <= 4 ? CKITI_OUTCOME_FAILURE
                                         : CKITI_OUTCOME_SUCCESS,
                             now_ms, &moved);
    }
    return NULL;
}

CKIT_TEST(breaker, threads_never_probe_more_than_allowed_in_a_period_and_every_place_comes_back) {
    static crowd c;
    pthread_t    threads[4];
    memset(&c, 0, sizeof c);
    ckiti_breaker_init(&c.breaker, &(ckiti_breaker_options){3, 2, 2, 1});
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, one_of_the_crowd, &c));
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    ckiti_breaker_counts counts = look(&c.breaker, 1000000);
    CHECK_BETWEEN_U(1, 2, (uint64_t)atomic_load(&c.most_probing));
    CHECK_EQ_U(0, counts.probes);
    CHECK_EQ_U(4 * 20000, atomic_load(&c.admitted) + counts.refused);
    CHECK_BETWEEN_U(1, UINT64_MAX, counts.opened);
    CHECK_BETWEEN_U(1, UINT64_MAX, counts.half_opened);
    ckiti_breaker_fini(&c.breaker);
}
