/* guard/breaker.h - the circuit breaker: whether a store that keeps failing is asked at all.
 *
 *     CLOSED     every operation may go. Failures in a row are counted, a success forgets them; at the threshold: OPEN
 *     OPEN       none may go. The first that asks later than the recovery time makes it HALF_OPEN
 *     HALF_OPEN  a few may go at once, as probes. One that fails: OPEN. Enough that succeed: CLOSED
 *
 * An operation asks with ckiti_breaker_admit, gets a pass, and gives it back with ckiti_breaker_report, whatever became
 * of it. A report counts only in the period in which its pass was given: what was begun before the breaker opened says
 * nothing about the store now. Refusals never count. A probe that has not reported by its end loses its place to the
 * next that finds none free.
 *
 * A store may pause between its attempts to connect and repeat meanwhile what the last one said: NEITHER, it has been
 * counted. So that no such pause outlasts the recovery time, a pass tells when the last failure is longer ago.
 *
 * Time comes in as an argument (milliseconds, never going back). Thread-safe; while the breaker is closed and no
 * failure is remembered, admitting and reporting a success are one relaxed load each. */
#ifndef CKITI_GUARD_BREAKER_H
#define CKITI_GUARD_BREAKER_H

#include <cachekit/guard.h>
#include <pthread.h>
#include <stdatomic.h>

#define CKITI_BREAKER_PROBES_MAX 64u

typedef enum ckiti_outcome {
    CKITI_OUTCOME_SUCCESS,
    CKITI_OUTCOME_FAILURE,
    CKITI_OUTCOME_NEITHER /* it says nothing about the store's health, or was never begun */
} ckiti_outcome;

typedef struct ckiti_breaker_options {
    uint32_t failure_threshold; /* all at least 1 */
    uint32_t success_threshold;
    uint32_t most_probes; /* at once; at most CKITI_BREAKER_PROBES_MAX */
    uint64_t recovery_ms;
} ckiti_breaker_options;

/* A probe under way. */
typedef struct ckiti_probe {
    uint64_t ends_ms;
    uint32_t serial; /* of its pass; 0 = the place is free */
} ckiti_probe;

typedef struct ckiti_breaker_counts {
    ckit_breaker_state state;
    uint32_t           failures_in_a_row;
    uint32_t           successes_in_a_row; /* of probes, in this half-open period */
    uint32_t           probes;             /* under way */
    uint64_t           failures;           /* counted ever */
    uint64_t           refused;
    uint64_t           opened;
    uint64_t           half_opened;
    uint64_t           closed;
    uint64_t           recovery_in_ms; /* while open: until a probe may go */
    uint64_t           failed_ms;      /* when the last failure was counted; nothing while there is none */
} ckiti_breaker_counts;

typedef struct ckiti_breaker {
    _Atomic uint64_t      word; /* period * 2, plus 1 unless it is closed with no failure remembered */
    ckiti_breaker_options options;
    pthread_mutex_t       mu; /* guards what follows, and writing `word` */
    ckiti_breaker_counts  counts;
    uint64_t              opened_ms;
    uint32_t              serial; /* of the last probe */
    ckiti_probe           probes[CKITI_BREAKER_PROBES_MAX];
} ckiti_breaker;

/* The right to one operation. */
typedef struct ckiti_pass {
    uint64_t period;
    uint32_t probe;   /* its place */
    uint32_t serial;  /* 0 = not a probe */
    bool     insists; /* the last failure is longer ago than the recovery time: a store that pauses is to try now */
} ckiti_pass;

void ckiti_breaker_init(ckiti_breaker *breaker, const ckiti_breaker_options *options);
void ckiti_breaker_fini(ckiti_breaker *breaker);

/* The parts that need the lock. `moved` tells whether the state changed, so that somebody can say so. */
bool ckiti_breaker_admit_troubled(ckiti_breaker *breaker, uint64_t now_ms, uint64_t ends_ms, ckiti_pass *pass,
                                  bool *moved);
void ckiti_breaker_report_troubled(ckiti_breaker *breaker, const ckiti_pass *pass, ckiti_outcome outcome,
                                   uint64_t now_ms, bool *moved);

/* Admits while the breaker is closed and no failure is remembered; false says nothing yet. */
static inline bool ckiti_breaker_admit_well(ckiti_breaker *breaker, ckiti_pass *pass) {
    uint64_t word = atomic_load_explicit(&breaker->word, memory_order_relaxed);
    pass->period = word >> 1;
    pass->serial = 0;
    pass->insists = false;
    return (word & 1) == 0;
}

/* May an operation go that ends by `ends_ms` at the latest? False = refused, and there is nothing to report. */
static inline bool ckiti_breaker_admit(ckiti_breaker *breaker, uint64_t now_ms, uint64_t ends_ms, ckiti_pass *pass,
                                       bool *moved) {
    return ckiti_breaker_admit_well(breaker, pass) ||
           ckiti_breaker_admit_troubled(breaker, now_ms, ends_ms, pass, moved);
}

/* Still closed since the pass was given, and no failure is remembered: a success changes nothing. */
static inline bool ckiti_breaker_is_well(const ckiti_breaker *breaker, const ckiti_pass *pass) {
    return atomic_load_explicit(&breaker->word, memory_order_relaxed) == pass->period << 1;
}

/* It is not closed, or the last operation that counted failed. */
static inline bool ckiti_breaker_is_troubled(const ckiti_breaker *breaker) {
    return (atomic_load_explicit(&breaker->word, memory_order_relaxed) & 1) != 0;
}

/* What became of it. To be called once for every pass. */
static inline void ckiti_breaker_report(ckiti_breaker *breaker, const ckiti_pass *pass, ckiti_outcome outcome,
                                        uint64_t now_ms, bool *moved) {
    if (outcome != CKITI_OUTCOME_SUCCESS || !ckiti_breaker_is_well(breaker, pass)) {
        ckiti_breaker_report_troubled(breaker, pass, outcome, now_ms, moved);
    }
}

/* A failure of what did not ask; counts while it is closed. */
void ckiti_breaker_hear_of_failure(ckiti_breaker *breaker, uint64_t now_ms, bool *moved);

bool ckiti_breaker_shuts_troubled(ckiti_breaker *breaker, uint64_t now_ms);

/* Would an operation be refused because the circuit is open? Counted as a refusal then. Changes no state. */
static inline bool ckiti_breaker_shuts(ckiti_breaker *breaker, uint64_t now_ms) {
    return ckiti_breaker_is_troubled(breaker) && ckiti_breaker_shuts_troubled(breaker, now_ms);
}

/* Closed by hand; counters stay. */
void ckiti_breaker_reset(ckiti_breaker *breaker, bool *moved);
void ckiti_breaker_look(ckiti_breaker *breaker, uint64_t now_ms, ckiti_breaker_counts *out);

/* Around fork: the child has none of the probes. */
void ckiti_breaker_fork_prepare(ckiti_breaker *breaker);
void ckiti_breaker_fork_parent(ckiti_breaker *breaker);
void ckiti_breaker_fork_child(ckiti_breaker *breaker);

#endif
