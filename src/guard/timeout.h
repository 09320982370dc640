/* guard/timeout.h - how long an operation may take, learnt from how long operations took.
 *
 * The last `window` durations stand in a ring that all threads write to without a lock: one atomic addition and one
 * store each. The timeout is a percentile of them (the value at floor(n * percentile / 100) of the sorted window, at
 * most the last) times 1.5, within bounds; before 10 durations are known, and when it does not adapt, it is the initial
 * one. Finding a percentile takes microseconds, so whoever records does it only when the last time is
 * CKITI_TIMEOUT_PAUSE_MS old. */
#ifndef CKITI_GUARD_TIMEOUT_H
#define CKITI_GUARD_TIMEOUT_H

#include <cachekit/guard.h>
#include <stdatomic.h>

#define CKITI_TIMEOUT_PAUSE_MS 50u
#define CKITI_TIMEOUT_FEWEST 10u /* durations that a percentile is taken of */

typedef struct ckiti_timeout_options {
    bool     adapts;
    uint32_t initial_ms;
    uint32_t min_ms; /* min <= initial <= max */
    uint32_t max_ms;
    uint32_t window; /* at least CKITI_TIMEOUT_FEWEST */
    double   percentile;
} ckiti_timeout_options;

typedef struct ckiti_timeout {
    ckiti_timeout_options options;
    const ckit_alloc     *alloc;
    _Atomic uint32_t     *ring;    /* microseconds; UINT32_MAX = that or longer */
    uint32_t             *scratch; /* of who finds the percentile */
    _Atomic uint32_t      current_ms;
    _Atomic uint64_t      due_us;     /* when the next percentile may be found */
    uint64_t              reciprocal; /* of the window: 2^64 / window, rounded up */
    atomic_flag           finding;
    void (*found)(void *self, uint64_t now_us); /* told when a percentile was due; NULL: nobody is */
    void            *self;
    char             apart[64]; /* what every operation writes is on a cache line of its own */
    _Atomic uint64_t recorded;  /* ever */
    _Atomic uint64_t timed_out;
} ckiti_timeout;

/* CKIT_E_NO_MEMORY; then there is nothing to end. */
ckit_status ckiti_timeout_init(ckiti_timeout *timeout, const ckiti_timeout_options *options, const ckit_alloc *alloc,
                               ckit_error *err);
/* Accepts one that is all zero. */
void ckiti_timeout_fini(ckiti_timeout *timeout);

/* What the next operation gets. */
static inline uint32_t ckiti_timeout_ms(const ckiti_timeout *timeout) {
    return atomic_load_explicit(&timeout->current_ms, memory_order_relaxed);
}

void ckiti_timeout_find(ckiti_timeout *timeout, uint64_t now_us);

/* index % window without a division (D. Lemire, "Faster remainder by direct computation", 2019). The ring skips some
 * places each time 2^32 operations have been recorded. */
static inline uint32_t ckiti_timeout_place(const ckiti_timeout *timeout, uint64_t index) {
    __extension__ typedef unsigned __int128 wide;
    uint64_t                                low = timeout->reciprocal * (uint32_t)index;
    return (uint32_t)(((wide)low * timeout->options.window) >> 64);
}

/* An operation took that long. */
static inline void ckiti_timeout_record(ckiti_timeout *timeout, uint64_t took_us, uint64_t now_us) {
    uint64_t index = atomic_fetch_add_explicit(&timeout->recorded, 1, memory_order_relaxed);
    atomic_store_explicit(&timeout->ring[ckiti_timeout_place(timeout, index)],
                          took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX, memory_order_relaxed);
    if (now_us >= atomic_load_explicit(&timeout->due_us, memory_order_relaxed) && index + 1 >= CKITI_TIMEOUT_FEWEST) {
        ckiti_timeout_find(timeout, now_us);
    }
}

/* Finds the percentile anew and tells all. */
void ckiti_timeout_look(ckiti_timeout *timeout, ckit_guard_timing *out);

/* After fork, in the child: nobody is finding. */
void ckiti_timeout_fork_child(ckiti_timeout *timeout);

#endif
