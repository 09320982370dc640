#include "guard/visit.h"

#include "base/log.h"

#include <errno.h>

static const char where[] = "guard";

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static ckit_status refuse(ckiti_guard *guard, uint64_t now_ms, ckit_error *err) {
    ckiti_breaker_counts counts;
    ckiti_notice_pass(guard, now_ms * 1000);
    if (err == NULL) {
        return CKIT_E_CIRCUIT_OPEN;
    }
    ckiti_breaker_look(&guard->breaker, now_ms, &counts);
    return ckit_fail(err, CKIT_E_CIRCUIT_OPEN, where, "%s is left alone: its circuit is %s, %llu ms to the next try",
                     guard->name, ckit_breaker_state_name(counts.state), (unsigned long long)counts.recovery_in_ms);
}

ckit_status ckiti_guard_admit(ckiti_guard *guard, const ckiti_guarded *at, ckiti_visit *visit, ckit_error *err) {
    bool     moved = false;
    uint64_t now_ms = visit->began_us / 1000;
    bool     admitted = ckiti_breaker_admit(&guard->breaker, now_ms, visit->deadline_ms, &visit->pass, &moved);
    if (moved) {
        ckiti_guard_say_state(guard, NULL);
    }
    if (!admitted) {
        return refuse(guard, now_ms, err);
    }
    if (visit->pass.insists && at != NULL && at->inner->hurry != NULL) {
        at->inner->hurry(at->store);
    }
    return CKIT_OK;
}

ckit_status ckiti_guard_find_place(ckiti_guard *guard, unsigned traits, uint64_t deadline_ms, uint64_t weight_ms,
                                   ckiti_visit *visit, ckit_error *err) {
    ckit_status st;
    if ((traits & CKITI_TRAIT_NO_WAIT) != 0) {
        st = ckiti_backpressure_reject(&guard->backpressure, err);
    } else {
        uint64_t left_ms = ckiti_time_left(visit->began_us / 1000, deadline_ms);
        st = ckiti_backpressure_wait(&guard->backpressure, left_ms, &visit->place, err);
    }
    if (st == CKIT_OK) { /* its time begins now */
        ckiti_guard_set_out(visit, ckiti_guard_now_us(guard), deadline_ms, weight_ms);
    } else {
        ckiti_guard_give_up(guard, visit, visit->began_us);
        ckiti_notice_pass(guard, visit->began_us);
    }
    return st;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

ckit_error_kind ckiti_guard_kind(ckit_status status, const ckit_error *err) {
    if (status < CKIT_E_FIRST) {
        return CKIT_KIND_NONE;
    }
    return err != NULL && err->status == status ? err->kind : ckit_status_kind(status);
}

static bool is_hopeless(const ckiti_visit *visit) { return visit->deadline_ms <= visit->began_us / 1000; }

/* Another operation has been told, or was a moment ago: one attempt to connect, or one lost connection, counts once. */
static bool is_repetition(ckit_status status, const ckit_error *err) {
    return err != NULL && err->status == status && err->sys_errno == EAGAIN;
}

static ckiti_outcome outcome_of(const ckiti_guard *guard, const ckiti_visit *visit, ckit_status status,
                                ckit_error_kind kind) {
    bool sick = kind == CKIT_KIND_TRANSIENT || kind == CKIT_KIND_TIMEOUT || kind == CKIT_KIND_UNKNOWN;
    if (!sick || (guard->excluded_kinds & CKIT_KIND_BIT(kind)) != 0) {
        return CKITI_OUTCOME_NEITHER;
    }
    if (status == CKIT_E_NO_MEMORY || status == CKIT_E_LOCK_TIMEOUT) {
        return CKITI_OUTCOME_NEITHER; /* this process's trouble; somebody else's turn */
    }
    return kind == CKIT_KIND_TIMEOUT && is_hopeless(visit) ? CKITI_OUTCOME_NEITHER : CKITI_OUTCOME_FAILURE;
}

/* `err` may be NULL. */
static void say_moved(ckiti_guard *guard, ckit_status status, const ckit_error *err) {
    ckit_error why = CKIT_ERROR_INIT;
    if (err == NULL || err->status != status) {
        ckit_fail(&why, status, guard->name, "%s", ckit_status_text(status));
        err = &why;
    }
    ckiti_guard_say_state(guard, err);
}

void ckiti_guard_report(ckiti_guard *guard, const ckiti_visit *visit, ckiti_outcome outcome, uint64_t now_us,
                        ckit_status status, const ckit_error *err) {
    bool moved = false;
    ckiti_breaker_report(&guard->breaker, &visit->pass, outcome, now_us / 1000, &moved);
    if (moved && outcome == CKITI_OUTCOME_FAILURE) {
        say_moved(guard, status, err);
    } else if (moved) {
        ckiti_guard_say_state(guard, NULL);
    }
}

/* What one attempt has found out for all. */
static bool is_news(ckit_status status, const ckit_error *err) {
    if (status == CKIT_E_TIMEOUT) {
        return err != NULL && err->status == status && err->sys_errno == EINPROGRESS;
    }
    return status == CKIT_E_UNREACHABLE && !is_repetition(status, err);
}

void ckiti_guard_hear(ckiti_guard *guard, ckit_status status, const ckit_error *err) {
    bool            moved = false;
    ckit_error_kind kind = ckiti_guard_kind(status, err);
    if (guard->breaks && is_news(status, err) && (guard->excluded_kinds & CKIT_KIND_BIT(kind)) == 0) {
        ckiti_breaker_hear_of_failure(&guard->breaker, ckiti_guard_now_us(guard) / 1000, &moved);
    }
    if (moved) {
        say_moved(guard, status, err);
    }
}

/* A timed-out operation would have taken at least what it had. How soon a store fails otherwise says nothing about how
 * long it needs. */
static void measure_timeout(const ckiti_visit *visit, uint64_t now_us) {
    uint64_t had_us = (visit->deadline_ms - visit->began_us / 1000) * 1000;
    uint64_t took_us = now_us > visit->began_us ? now_us - visit->began_us : 0;
    atomic_fetch_add_explicit(&visit->timing->timed_out, 1, memory_order_relaxed);
    ckiti_timeout_record(visit->timing, took_us > had_us ? took_us : had_us, now_us);
}

void ckiti_guard_leave_failed(ckiti_guard *guard, const ckiti_visit *visit, uint64_t now_us, ckit_status status,
                              ckit_error_kind kind, bool again, const ckit_error *err) {
    ckiti_backpressure_give_back(&guard->backpressure, &visit->place);
    bool repeated = is_repetition(status, err);
    if (kind == CKIT_KIND_TIMEOUT && !is_hopeless(visit) && !repeated) {
        measure_timeout(visit, now_us);
    }
    if (visit->pass.period != CKITI_NO_PERIOD) {
        bool silent = again || repeated;
        ckiti_guard_report(guard, visit, silent ? CKITI_OUTCOME_NEITHER : outcome_of(guard, visit, status, kind),
                           now_us, status, err);
    } else if (kind != CKIT_KIND_TIMEOUT || !is_hopeless(visit)) {
        ckiti_guard_hear(guard, status, err);
    }
}

void ckiti_guard_give_up(ckiti_guard *guard, const ckiti_visit *visit, uint64_t now_us) {
    ckiti_backpressure_give_back(&guard->backpressure, &visit->place);
    if (visit->pass.period != CKITI_NO_PERIOD) {
        ckiti_guard_report(guard, visit, CKITI_OUTCOME_NEITHER, now_us, CKIT_OK, NULL);
    }
}

/* ---- to people --------------------------------------------------------------------------------------------------- */

void ckiti_guard_say_state(ckiti_guard *guard, const ckit_error *why) {
    ckiti_breaker_counts counts;
    ckiti_breaker_look(&guard->breaker, ckiti_guard_now_us(guard) / 1000, &counts);
    ckit_log_level level = counts.state == CKIT_BREAKER_OPEN ? CKIT_LOG_WARNING : CKIT_LOG_INFO;
    const char    *state = ckit_breaker_state_name(counts.state);
    if (why == NULL) {
        ckiti_log(&guard->log, level, where, "%s: the circuit is %s", guard->name, state);
    } else {
        ckiti_log(&guard->log, level, where, "%s: the circuit is %s for %llu ms: %s %s: %s", guard->name, state,
                  (unsigned long long)guard->breaker.options.recovery_ms, ckit_status_code(why->status), why->where,
                  why->text);
    }
    ckiti_notice_tell(guard);
}
