#include "guard/timeout.h"

#include "base/alloc.h"

#include <string.h>

ckit_status ckiti_timeout_init(ckiti_timeout *timeout, const ckiti_timeout_options *options, const ckit_alloc *alloc,
                               ckit_error *err) {
    memset(timeout, 0, sizeof *timeout);
    timeout->options = *options;
    timeout->alloc = alloc;
    timeout->reciprocal = UINT64_MAX / options->window + 1;
    atomic_flag_clear(&timeout->finding);
    atomic_init(&timeout->current_ms, options->initial_ms);
    timeout->ring = ckiti_alloc_zeroed(alloc, options->window, sizeof *timeout->ring);
    timeout->scratch = ckiti_alloc_zeroed(alloc, options->window, sizeof *timeout->scratch);
    if (timeout->ring == NULL || timeout->scratch == NULL) {
        ckiti_timeout_fini(timeout);
        return ckit_fail(err, CKIT_E_NO_MEMORY, "guard", "no memory for a window of %u operations", options->window);
    }
    return CKIT_OK;
}

void ckiti_timeout_fini(ckiti_timeout *timeout) {
    ckiti_free(timeout->alloc, timeout->ring, timeout->options.window * sizeof *timeout->ring);
    ckiti_free(timeout->alloc, timeout->scratch, timeout->options.window * sizeof *timeout->scratch);
    timeout->ring = NULL;
    timeout->scratch = NULL;
}

static void swap(uint32_t *a, uint32_t *b) {
    uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

/* The value that would stand at `rank` if the `count` values were sorted; they are moved about. Each round narrows the
 * part that holds it, about halving it (C. A. R. Hoare, "Algorithm 65: Find"). */
static uint32_t value_at_rank(uint32_t *values, size_t count, size_t rank) {
    size_t low = 0;
    size_t high = count - 1;
    while (low < high) {
        uint32_t pivot = values[low + (high - low) / 2];
        size_t   i = low;
        size_t   j = high;
        for (;;) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i >= j) {
                break;
            }
            swap(&values[i++], &values[j--]);
        }
        /* [low, i) <= pivot <= (j, high]; where i == j stands the pivot itself. */
        if (i == j) {
            if (rank == i) {
                return values[rank];
            }
            if (rank < i) {
                high = i - 1;
            } else {
                low = i + 1;
            }
        } else if (rank <= j) {
            high = j;
        } else {
            low = i;
        }
    }
    return values[rank];
}

/* How many of the window are known. */
static uint32_t known(const ckiti_timeout *timeout) {
    uint64_t recorded = atomic_load_explicit(&timeout->recorded, memory_order_relaxed);
    return recorded < timeout->options.window ? (uint32_t)recorded : timeout->options.window;
}

/* The percentile of the first `count`, in microseconds; by who holds `finding`. */
static uint32_t percentile_of(ckiti_timeout *timeout, uint32_t count, double *average) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        timeout->scratch[i] = atomic_load_explicit(&timeout->ring[i], memory_order_relaxed);
        sum += timeout->scratch[i];
    }
    *average = (double)sum / count;
    size_t rank = (size_t)(count * timeout->options.percentile / 100);
    return value_at_rank(timeout->scratch, count, rank < count ? rank : count - 1);
}

static uint32_t timeout_from(const ckiti_timeout *timeout, uint32_t count, uint32_t percentile_us) {
    const ckiti_timeout_options *o = &timeout->options;
    if (!o->adapts || count < CKITI_TIMEOUT_FEWEST) {
        return o->initial_ms;
    }
    uint64_t ms = (percentile_us * UINT64_C(3) + 1999) / 2000; /* half as much again, in whole milliseconds, not less */
    return ms < o->min_ms ? o->min_ms : ms > o->max_ms ? o->max_ms : (uint32_t)ms;
}

static void publish(ckiti_timeout *timeout, uint32_t count, uint32_t percentile_us) {
    atomic_store_explicit(&timeout->current_ms, timeout_from(timeout, count, percentile_us), memory_order_relaxed);
}

void ckiti_timeout_find(ckiti_timeout *timeout, uint64_t now_us) {
    if (atomic_flag_test_and_set_explicit(&timeout->finding, memory_order_acquire)) {
        return; /* somebody is at it */
    }
    double   average;
    uint32_t count = known(timeout);
    if (timeout->options.adapts) {
        publish(timeout, count, percentile_of(timeout, count, &average));
    }
    bool again = timeout->options.adapts || timeout->found != NULL;
    atomic_store_explicit(&timeout->due_us, again ? now_us + UINT64_C(1000) * CKITI_TIMEOUT_PAUSE_MS : UINT64_MAX,
                          memory_order_relaxed);
    atomic_flag_clear_explicit(&timeout->finding, memory_order_release);
    if (timeout->found != NULL) {
        timeout->found(timeout->self, now_us);
    }
}

void ckiti_timeout_look(ckiti_timeout *timeout, ckit_guard_timing *out) {
    memset(out, 0, sizeof *out);
    out->operations = atomic_load_explicit(&timeout->recorded, memory_order_relaxed);
    out->timed_out = atomic_load_explicit(&timeout->timed_out, memory_order_relaxed);
    out->window = known(timeout);
    if (out->window > 0) {
        while (atomic_flag_test_and_set_explicit(&timeout->finding, memory_order_acquire)) {
            /* microseconds */
        }
        uint32_t percentile_us = percentile_of(timeout, out->window, &out->average_ms);
        publish(timeout, out->window, percentile_us);
        atomic_flag_clear_explicit(&timeout->finding, memory_order_release);
        out->percentile_ms = percentile_us / 1000.0;
        out->average_ms /= 1000.0;
    }
    out->timeout_ms = ckiti_timeout_ms(timeout);
}

void ckiti_timeout_fork_child(ckiti_timeout *timeout) { atomic_flag_clear(&timeout->finding); }
