/* observe/counters.h - event counts that threads do not fight over.
 *
 * A set of counters exists once per stripe; a thread adds to the stripe its stack address falls into, so two threads
 * seldom share a cache line. Sums are exact once the counting threads are quiet. */
#ifndef CKITI_OBSERVE_COUNTERS_H
#define CKITI_OBSERVE_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CKITI_COUNTER_STRIPES 8
#define CKITI_COUNTERS_MAX 23

typedef struct ckiti_counters {
    struct {
        _Atomic uint64_t counts[CKITI_COUNTERS_MAX];
        uint64_t         apart; /* a stripe is three cache lines */
    } stripes[CKITI_COUNTER_STRIPES];
} ckiti_counters;

static inline void ckiti_count(ckiti_counters *counters, unsigned id, uint64_t by) {
    char here;
    /* Stacks of different threads lie megabytes apart; the multiplier spreads the megabytes over the stripes. */
    size_t stripe = (size_t)((((uintptr_t)&here >> 20) * UINT64_C(0x9e3779b97f4a7c15)) >> 61);
    atomic_fetch_add_explicit(&counters->stripes[stripe].counts[id], by, memory_order_relaxed);
}

static inline uint64_t ckiti_counted(const ckiti_counters *counters, unsigned id) {
    uint64_t sum = 0;
    for (size_t i = 0; i < CKITI_COUNTER_STRIPES; i++) {
        sum += atomic_load_explicit(&counters->stripes[i].counts[id], memory_order_relaxed);
    }
    return sum;
}

#endif
