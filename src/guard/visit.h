/* guard/visit.h - the way of one operation through the guard.
 *
 *     breaker   refused? E_CIRCUIT_OPEN, nothing else happens
 *     place     none? the pass goes back uncounted, E_BUSY
 *     store     with the earlier of two deadlines
 *     report    place back, duration to the window, outcome to the breaker
 *
 * What happens while all is well is inline here; the rest is in visit.c. */
#ifndef CKITI_GUARD_VISIT_H
#define CKITI_GUARD_VISIT_H

#include "guard/guard.h"

/* In the pass of an operation that the breaker was not asked about. */
#define CKITI_NO_PERIOD UINT64_MAX

typedef struct ckiti_visit {
    uint64_t       began_us;
    uint64_t       deadline_ms; /* not after `began_us`: the caller's time was over before it began */
    ckiti_timeout *timing;
    ckiti_pass     pass;
    ckiti_place    place;
} ckiti_visit;

/* ---- in ---------------------------------------------------------------------------------------------------------- */

/* The parts for when something is wrong, or full. `at` may be NULL: there is no store. */
ckit_status ckiti_guard_admit(ckiti_guard *guard, const ckiti_guarded *at, ckiti_visit *visit, ckit_error *err);
ckit_status ckiti_guard_find_place(ckiti_guard *guard, unsigned traits, uint64_t deadline_ms, uint64_t weight_ms,
                                   ckiti_visit *visit, ckit_error *err);

/* The deadline of an operation that begins at `now_us`: the earlier of the caller's and the learnt one. */
static inline void ckiti_guard_set_out(ckiti_visit *visit, uint64_t now_us, uint64_t deadline_ms, uint64_t weight_ms) {
    uint64_t own_ms = now_us / 1000 + ckiti_timeout_ms(visit->timing) + weight_ms;
    visit->began_us = now_us;
    visit->deadline_ms = deadline_ms < own_ms ? deadline_ms : own_ms;
}

/* Begins an operation at `now_us`: CKIT_OK, or the refusal. `weight_ms` is what it gets on top of the timeout for its
 * size. `at` is the store that it goes to, or NULL. */
static inline ckit_status ckiti_guard_enter(ckiti_guard *guard, const ckiti_guarded *at, unsigned traits,
                                            uint64_t now_us, uint64_t deadline_ms, uint64_t weight_ms,
                                            ckiti_visit *visit, ckit_error *err) {
    visit->timing = (traits & CKITI_TRAIT_LOCK) != 0 ? &guard->locks : &guard->data;
    visit->pass = (ckiti_pass){.period = CKITI_NO_PERIOD};
    visit->place = (ckiti_place){.taken = false};
    ckiti_guard_set_out(visit, now_us, deadline_ms, weight_ms);
    if (guard->breaks && (traits & CKITI_TRAIT_ALWAYS) == 0 &&
        !ckiti_breaker_admit_well(&guard->breaker, &visit->pass)) {
        ckit_status st = ckiti_guard_admit(guard, at, visit, err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    if (!guard->presses_back || (traits & CKITI_TRAIT_PLACE) == 0 ||
        ckiti_backpressure_try(&guard->backpressure, &visit->place)) {
        return CKIT_OK;
    }
    return ckiti_guard_find_place(guard, traits, deadline_ms, weight_ms, visit, err);
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

/* The kind of an answer as the store told it; CKIT_KIND_NONE when it is no failure. */
ckit_error_kind ckiti_guard_kind(ckit_status status, const ckit_error *err);
/* Tells the breaker, and people when its state changes. `err` may be NULL. */
void ckiti_guard_report(ckiti_guard *guard, const ckiti_visit *visit, ckiti_outcome outcome, uint64_t now_us,
                        ckit_status status, const ckit_error *err);

/* Ends it: the store answered, and that was no failure. */
static inline void ckiti_guard_leave_well(ckiti_guard *guard, const ckiti_visit *visit, uint64_t now_us) {
    ckiti_backpressure_give_back(&guard->backpressure, &visit->place);
    ckiti_timeout_record(visit->timing, now_us > visit->began_us ? now_us - visit->began_us : 0, now_us);
    if (visit->pass.period != CKITI_NO_PERIOD && !ckiti_breaker_is_well(&guard->breaker, &visit->pass)) {
        ckiti_guard_report(guard, visit, CKITI_OUTCOME_SUCCESS, now_us, CKIT_OK, NULL);
    }
}

/* Ends it with a failure; one that is asked for again does not count for the breaker. */
void ckiti_guard_leave_failed(ckiti_guard *guard, const ckiti_visit *visit, uint64_t now_us, ckit_status status,
                              ckit_error_kind kind, bool again, const ckit_error *err);
/* Ends it without an answer: it was never begun. */
void ckiti_guard_give_up(ckiti_guard *guard, const ckiti_visit *visit, uint64_t now_us);

#endif
