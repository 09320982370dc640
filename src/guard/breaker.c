#include "guard/breaker.h"

#include <string.h>

void ckiti_breaker_init(ckiti_breaker *breaker, const ckiti_breaker_options *options) {
    memset(breaker, 0, sizeof *breaker);
    breaker->options = *options;
    pthread_mutex_init(&breaker->mu, NULL);
}

void ckiti_breaker_fini(ckiti_breaker *breaker) { pthread_mutex_destroy(&breaker->mu); }

/* ---- with the lock held ------------------------------------------------------------------------------------------ */

static uint64_t period_of(const ckiti_breaker *breaker) {
    return atomic_load_explicit(&breaker->word, memory_order_relaxed) >> 1;
}

static void publish(ckiti_breaker *breaker, uint64_t period) {
    const ckiti_breaker_counts *counts = &breaker->counts;
    bool                        troubled = counts->state != CKIT_BREAKER_CLOSED || counts->failures_in_a_row > 0;
    atomic_store_explicit(&breaker->word, period << 1 | (troubled ? 1 : 0), memory_order_relaxed);
}

/* A new period: passes of the one before count no more. */
static void enter(ckiti_breaker *breaker, ckit_breaker_state state, bool *moved) {
    ckiti_breaker_counts *counts = &breaker->counts;
    counts->state = state;
    counts->successes_in_a_row = 0;
    counts->probes = 0;
    memset(breaker->probes, 0, sizeof breaker->probes);
    if (state == CKIT_BREAKER_CLOSED) {
        counts->failures_in_a_row = 0;
    }
    *(state == CKIT_BREAKER_CLOSED ? &counts->closed
      : state == CKIT_BREAKER_OPEN ? &counts->opened
                                   : &counts->half_opened) += 1;
    publish(breaker, period_of(breaker) + 1);
    *moved = true;
}

static void open_circuit(ckiti_breaker *breaker, uint64_t now_ms, bool *moved) {
    breaker->opened_ms = now_ms;
    enter(breaker, CKIT_BREAKER_OPEN, moved);
}

static uint64_t time_since(uint64_t then_ms, uint64_t now_ms) { return now_ms > then_ms ? now_ms - then_ms : 0; }

static uint64_t time_open(const ckiti_breaker *breaker, uint64_t now_ms) {
    return time_since(breaker->opened_ms, now_ms);
}

/* A free place for one more probe, else that of the one that should have reported first of those that overran; NULL
 * when all are in time. */
static ckiti_probe *find_place(ckiti_breaker *breaker, uint64_t now_ms) {
    ckiti_probe *overran = NULL;
    for (uint32_t i = 0; i < breaker->options.most_probes; i++) {
        ckiti_probe *probe = &breaker->probes[i];
        if (probe->serial == 0) {
            return probe;
        }
        bool earlier = overran == NULL || probe->ends_ms < overran->ends_ms ||
                       (probe->ends_ms == overran->ends_ms && probe->serial < overran->serial);
        if (probe->ends_ms <= now_ms && earlier) {
            overran = probe;
        }
    }
    return overran;
}

static bool take_place(ckiti_breaker *breaker, uint64_t now_ms, uint64_t ends_ms, ckiti_pass *pass) {
    ckiti_probe *probe = find_place(breaker, now_ms);
    if (probe == NULL) {
        return false;
    }
    breaker->counts.probes += probe->serial == 0;
    breaker->serial = breaker->serial == UINT32_MAX ? 1 : breaker->serial + 1;
    *probe = (ckiti_probe){.ends_ms = ends_ms, .serial = breaker->serial};
    *pass = (ckiti_pass){
        .period = period_of(breaker), .probe = (uint32_t)(probe - breaker->probes), .serial = breaker->serial};
    return true;
}

/* False when somebody else has the probe's place by now. */
static bool give_place_back(ckiti_breaker *breaker, const ckiti_pass *pass) {
    ckiti_probe *probe = &breaker->probes[pass->probe];
    if (probe->serial != pass->serial) {
        return false;
    }
    probe->serial = 0;
    breaker->counts.probes--;
    return true;
}

static void count_failure(ckiti_breaker *breaker, uint64_t now_ms, bool *moved) {
    ckiti_breaker_counts *counts = &breaker->counts;
    counts->failures++;
    counts->failed_ms = now_ms;
    if (counts->failures_in_a_row < UINT32_MAX) {
        counts->failures_in_a_row++;
    }
    if (counts->state == CKIT_BREAKER_HALF_OPEN || counts->failures_in_a_row >= breaker->options.failure_threshold) {
        open_circuit(breaker, now_ms, moved);
    } else {
        publish(breaker, period_of(breaker));
    }
}

static void count_success(ckiti_breaker *breaker, bool *moved) {
    ckiti_breaker_counts *counts = &breaker->counts;
    if (counts->state == CKIT_BREAKER_CLOSED) {
        counts->failures_in_a_row = 0;
        publish(breaker, period_of(breaker));
    } else if (++counts->successes_in_a_row >= breaker->options.success_threshold) {
        enter(breaker, CKIT_BREAKER_CLOSED, moved);
    }
}

/* ---- asking and telling ------------------------------------------------------------------------------------------ */

bool ckiti_breaker_admit_troubled(ckiti_breaker *breaker, uint64_t now_ms, uint64_t ends_ms, ckiti_pass *pass,
                                  bool *moved) {
    bool admitted;
    pthread_mutex_lock(&breaker->mu);
    if (breaker->counts.state == CKIT_BREAKER_OPEN && time_open(breaker, now_ms) > breaker->options.recovery_ms) {
        enter(breaker, CKIT_BREAKER_HALF_OPEN, moved);
    }
    if (breaker->counts.state == CKIT_BREAKER_CLOSED) {
        *pass = (ckiti_pass){.period = period_of(breaker)};
        admitted = true;
    } else {
        admitted = breaker->counts.state == CKIT_BREAKER_HALF_OPEN && take_place(breaker, now_ms, ends_ms, pass);
        breaker->counts.refused += !admitted;
    }
    pass->insists = admitted && time_since(breaker->counts.failed_ms, now_ms) > breaker->options.recovery_ms;
    pthread_mutex_unlock(&breaker->mu);
    return admitted;
}

void ckiti_breaker_report_troubled(ckiti_breaker *breaker, const ckiti_pass *pass, ckiti_outcome outcome,
                                   uint64_t now_ms, bool *moved) {
    pthread_mutex_lock(&breaker->mu);
    bool counts = pass->period == period_of(breaker) && (pass->serial == 0 || give_place_back(breaker, pass));
    if (counts && outcome == CKITI_OUTCOME_FAILURE) {
        count_failure(breaker, now_ms, moved);
    } else if (counts && outcome == CKITI_OUTCOME_SUCCESS) {
        count_success(breaker, moved);
    }
    pthread_mutex_unlock(&breaker->mu);
}

void ckiti_breaker_hear_of_failure(ckiti_breaker *breaker, uint64_t now_ms, bool *moved) {
    pthread_mutex_lock(&breaker->mu);
    if (breaker->counts.state == CKIT_BREAKER_CLOSED) {
        count_failure(breaker, now_ms, moved);
    }
    pthread_mutex_unlock(&breaker->mu);
}

bool ckiti_breaker_shuts_troubled(ckiti_breaker *breaker, uint64_t now_ms) {
    pthread_mutex_lock(&breaker->mu);
    bool shuts =
        breaker->counts.state == CKIT_BREAKER_OPEN && time_open(breaker, now_ms) <= breaker->options.recovery_ms;
    breaker->counts.refused += shuts;
    pthread_mutex_unlock(&breaker->mu);
    return shuts;
}

void ckiti_breaker_reset(ckiti_breaker *breaker, bool *moved) {
    pthread_mutex_lock(&breaker->mu);
    if (breaker->counts.state != CKIT_BREAKER_CLOSED) {
        enter(breaker, CKIT_BREAKER_CLOSED, moved);
    } else {
        breaker->counts.failures_in_a_row = 0;
        publish(breaker, period_of(breaker));
    }
    pthread_mutex_unlock(&breaker->mu);
}

void ckiti_breaker_look(ckiti_breaker *breaker, uint64_t now_ms, ckiti_breaker_counts *out) {
    pthread_mutex_lock(&breaker->mu);
    *out = breaker->counts;
    uint64_t gone = time_open(breaker, now_ms);
    bool     waits = out->state == CKIT_BREAKER_OPEN && gone <= breaker->options.recovery_ms;
    out->recovery_in_ms = waits ? breaker->options.recovery_ms - gone + 1 : 0;
    pthread_mutex_unlock(&breaker->mu);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_breaker_fork_prepare(ckiti_breaker *breaker) { pthread_mutex_lock(&breaker->mu); }

void ckiti_breaker_fork_parent(ckiti_breaker *breaker) { pthread_mutex_unlock(&breaker->mu); }

void ckiti_breaker_fork_child(ckiti_breaker *breaker) {
    memset(breaker->probes, 0, sizeof breaker->probes);
    breaker->counts.probes = 0;
    pthread_mutex_unlock(&breaker->mu);
}
