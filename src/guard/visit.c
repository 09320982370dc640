#include "guard/guard.h"

#include "base/log.h"

static const char where[] = "guard";

/* In the pass of an operation that the breaker was not asked about. */
#define NO_PERIOD UINT64_MAX

/* ---- what an answer means ------------------------------------------------------------------------------------------ */

ckit_error_kind ckiti_guard_kind(ckit_status status, const ckit_error *err) {
    if (status < CKIT_E_FIRST) {
        return CKIT_KIND_NONE;
    }
    return err != NULL && err->status == status ? err->kind : ckit_status_kind(status);
}

static ckiti_outcome outcome_of(const ckiti_guard *guard, const ckiti_visit *visit, ckit_status status,
                                ckit_error_kind kind) {
    if (status < CKIT_E_FIRST) {
        return CKITI_OUTCOME_SUCCESS;
    }
    bool sick = kind == CKIT_KIND_TRANSIENT || kind == CKIT_KIND_TIMEOUT || kind == CKIT_KIND_UNKNOWN;
    if (!sick || (guard->excluded_kinds & CKIT_KIND_BIT(kind)) != 0) {
        return CKITI_OUTCOME_NEITHER;
    }
    if (status == CKIT_E_NO_MEMORY || status == CKIT_E_LOCK_TIMEOUT) {
        return CKITI_OUTCOME_NEITHER; /* this process's trouble; somebody else's turn */
    }
    return kind == CKIT_KIND_TIMEOUT && visit->hopeless ? CKITI_OUTCOME_NEITHER : CKITI_OUTCOME_FAILURE;
}

void ckiti_guard_say_state(const ckiti_guard *guard, const ckit_error *why) {
    ckiti_breaker_counts counts;
    uint64_t             now_ms = ckiti_guard_now_us(guard) / 1000;
    /* The breaker locks also to be looked at, hence the cast. */
    ckiti_breaker_look((ckiti_breaker *)(uintptr_t)&guard->breaker, now_ms, &counts);
    bool open = counts.state == CKIT_BREAKER_OPEN;
    ckiti_log(&guard->log, open ? CKIT_LOG_WARNING : CKIT_LOG_INFO, where, "%s: the circuit is %s%s%s%s%s%s%s",
              guard->inner->name, ckit_breaker_state_name(counts.state), why != NULL ? ": " : "",
              why != NULL ? ckit_status_code(why->status) : "", why != NULL ? " " : "", why != NULL ? why->where : "",
              why != NULL ? ": " : "", why != NULL ? why->text : "");
}

/* ---- in -------------------------------------------------------------------------------------------------------------- */

static ckit_status refuse(ckiti_guard *guard, uint64_t now_ms, ckit_error *err) {
    ckiti_breaker_counts counts;
    if (err == NULL) {
        return CKIT_E_CIRCUIT_OPEN;
    }
    ckiti_breaker_look(&guard->breaker, now_ms, &counts);
    return ckit_fail(err, CKIT_E_CIRCUIT_OPEN, where, "%s is left alone: its circuit is %s, %llu ms to the next try",
                     guard->inner->name, ckit_breaker_state_name(counts.state),
                     (unsigned long long)counts.recovery_in_ms);
}

/* The deadline of an operation that begins at `now_us`. */
static void set_out(ckiti_visit *visit, uint64_t now_us, uint64_t deadline_ms, uint64_t weight_ms) {
    uint64_t now_ms = now_us / 1000;
    uint64_t own_ms = ckiti_time_after(now_ms, ckiti_timeout_ms(visit->timing) + weight_ms);
    visit->began_us = now_us;
    visit->deadline_ms = deadline_ms < own_ms ? deadline_ms : own_ms;
    visit->hopeless = deadline_ms <= now_ms;
}

static ckit_status find_place(ckiti_guard *guard, unsigned traits, uint64_t deadline_ms, uint64_t weight_ms,
                              ckiti_visit *visit, ckit_error *err) {
    if (ckiti_backpressure_try(&guard->backpressure, &visit->place)) {
        return CKIT_OK;
    }
    if ((traits & CKITI_TRAIT_NO_WAIT) != 0) {
        return ckiti_backpressure_reject(&guard->backpressure, err);
    }
    uint64_t    left_ms = ckiti_time_left(visit->began_us / 1000, deadline_ms);
    ckit_status st = ckiti_backpressure_wait(&guard->backpressure, left_ms, &visit->place, err);
    if (st == CKIT_OK) { /* its time begins now */
        set_out(visit, ckiti_guard_now_us(guard), deadline_ms, weight_ms);
    }
    return st;
}

ckit_status ckiti_guard_enter(ckiti_guard *guard, unsigned traits, uint64_t now_us, uint64_t deadline_ms,
                              uint64_t weight_ms, ckiti_visit *visit, ckit_error *err) {
    bool moved = false;
    visit->timing = (traits & CKITI_TRAIT_LOCK) != 0 ? &guard->locks : &guard->data;
    visit->pass = (ckiti_pass){.period = NO_PERIOD};
    visit->place = (ckiti_place){.taken = false};
    set_out(visit, now_us, deadline_ms, weight_ms);
    if (guard->breaks && (traits & CKITI_TRAIT_ALWAYS) == 0) {
        bool admitted = ckiti_breaker_admit(&guard->breaker, now_us / 1000, visit->deadline_ms, &visit->pass, &moved);
        if (moved) {
            ckiti_guard_say_state(guard, NULL);
        }
        if (!admitted) {
            return refuse(guard, now_us / 1000, err);
        }
    }
    if (!guard->presses_back || (traits & CKITI_TRAIT_PLACE) == 0) {
        return CKIT_OK;
    }
    ckit_status st = find_place(guard, traits, deadline_ms, weight_ms, visit, err);
    if (st != CKIT_OK) {
        ckiti_guard_give_up(guard, visit, now_us);
    }
    return st;
}

/* ---- out ------------------------------------------------------------------------------------------------------------- */

static void measure(const ckiti_visit *visit, uint64_t now_us, ckit_error_kind kind) {
    uint64_t took_us = now_us > visit->began_us ? now_us - visit->began_us : 0;
    if (kind == CKIT_KIND_TIMEOUT && !visit->hopeless) { /* it would have taken at least what it had */
        uint64_t had_us = (visit->deadline_ms - visit->began_us / 1000) * 1000;
        atomic_fetch_add_explicit(&visit->timing->timed_out, 1, memory_order_relaxed);
        took_us = took_us > had_us ? took_us : had_us;
    } else if (kind != CKIT_KIND_NONE) {
        return; /* how soon a store fails says nothing about how long it needs */
    }
    ckiti_timeout_record(visit->timing, took_us, now_us / 1000);
}

static void report(ckiti_guard *guard, const ckiti_visit *visit, ckiti_outcome outcome, uint64_t now_us,
                   ckit_status status, const ckit_error *err) {
    bool       moved = false;
    ckit_error why = CKIT_ERROR_INIT;
    ckiti_breaker_report(&guard->breaker, &visit->pass, outcome, now_us / 1000, &moved);
    if (!moved) {
        return;
    }
    if (outcome == CKITI_OUTCOME_FAILURE && (err == NULL || err->status != status)) {
        ckit_fail(&why, status, guard->inner->name, "%s", ckit_status_text(status));
        err = &why;
    }
    ckiti_guard_say_state(guard, outcome == CKITI_OUTCOME_FAILURE ? err : NULL);
}

void ckiti_guard_leave(ckiti_guard *guard, const ckiti_visit *visit, uint64_t now_us, ckit_status status,
                       ckit_error_kind kind, bool again, const ckit_error *err) {
    ckiti_backpressure_give_back(&guard->backpressure, &visit->place);
    measure(visit, now_us, kind);
    if (visit->pass.period != NO_PERIOD) {
        report(guard, visit, again ? CKITI_OUTCOME_NEITHER : outcome_of(guard, visit, status, kind), now_us, status,
               err);
    }
}

void ckiti_guard_give_up(ckiti_guard *guard, const ckiti_visit *visit, uint64_t now_us) {
    ckiti_backpressure_give_back(&guard->backpressure, &visit->place);
    if (visit->pass.period != NO_PERIOD) {
        report(guard, visit, CKITI_OUTCOME_NEITHER, now_us, CKIT_OK, NULL);
    }
}
