/* guard/guard.h - the parts of a guard. The way of an operation through them is in visit.h. */
#ifndef CKITI_GUARD_GUARD_H
#define CKITI_GUARD_GUARD_H

#include "base/clock.h"
#include "base/fork.h"
#include "guard/backpressure.h"
#include "guard/breaker.h"
#include "guard/notice.h"
#include "guard/retry.h"
#include "guard/timeout.h"

#define CKITI_GUARD_NAME 24

typedef struct ckit_guard ckiti_guard;
struct ckit_guard {
    _Atomic uint32_t    references;
    char                name[CKITI_GUARD_NAME]; /* of its first store, for people */
    bool                breaks;
    bool                presses_back;
    uint32_t            excluded_kinds;
    ckiti_retry_options retry;
    ckit_guard_options  options; /* with defaults filled in */
    const ckit_alloc   *alloc;
    const ckit_clock   *clock; /* NULL = the system's */
    ckit_clock          clock_copy;
    ckit_log            log;
    void (*sleep_ms)(uint64_t ms); /* between attempts; tests take their own */
    _Atomic uint64_t   retries;
    _Atomic uint64_t   recovered;
    ckiti_fork_hooks   fork;
    ckiti_notice       notice;
    ckiti_breaker      breaker; /* read by every operation: away from what every operation writes */
    ckiti_timeout      data;
    ckiti_timeout      locks;
    ckiti_backpressure backpressure;
};

/* A store with a guard in front. */
typedef struct ckiti_guarded {
    ckit_backend_ops        ops; /* what the guard offers: what the store has */
    const ckit_backend_ops *inner;
    void                   *store;
    ckit_backend           *backend; /* owned */
    ckiti_guard            *guard;   /* counted */
    const ckit_alloc       *alloc;
} ckiti_guarded;

/* What the guard does with an operation. */
enum {
    CKITI_TRAIT_PLACE = 1,    /* takes a place among those that are with the store at once */
    CKITI_TRAIT_REPEATS = 2,  /* may be tried again */
    CKITI_TRAIT_LOCK = 4,     /* timed with the locks */
    CKITI_TRAIT_ALWAYS = 8,   /* goes also while the breaker is open, and tells it only what is so for all */
    CKITI_TRAIT_NO_WAIT = 16, /* refused where it would have to wait */
    CKITI_TRAIT_WRITES = 32   /* brings a value or a lifetime: not tried again where it may have been done */
};

/* The instance's clock in microseconds: the system's precise one where no other is given. */
static inline uint64_t ckiti_guard_now_us(const ckiti_guard *guard) {
    if (guard->clock != NULL) {
        return guard->clock->monotonic_ms(guard->clock->self) * 1000;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* A backend as what it is, NULL when it has no guard. */
ckiti_guarded *ckiti_guarded_of(const ckit_backend *backend);
/* The guard of a backend, NULL when it has none. */
ckiti_guard *ckiti_guard_of(const ckit_backend *backend);

/* Nothing would get past the breaker now, so who may not wait need not ask; counted as a refusal. NULL shuts nobody
 * out. */
bool ckiti_guard_shuts(ckiti_guard *guard);

/* What became of an operation that the breaker was not asked about: a store that nobody can reach, or that says nothing
 * for as long as a time limit (EINPROGRESS), is that for all, and the attempt that found it out may be the only one for a
 * while. Other failures depend on what was asked, and of whom. */
void ckiti_guard_hear(ckiti_guard *guard, ckit_status status, const ckit_error *err);

/* One line about a change of the breaker's state; `why` may be NULL. */
void ckiti_guard_say_state(ckiti_guard *guard, const ckit_error *why);

/* ---- operations.c ---- */

/* The guard's table for what `inner` offers. */
void ckiti_guard_fill_table(ckit_backend_ops *ops, const ckit_backend_ops *inner);

#endif
