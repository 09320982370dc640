/* base/clock.h - time of the instance. One reading per operation, handed down. */
#ifndef CKITI_BASE_CLOCK_H
#define CKITI_BASE_CLOCK_H

#include <cachekit/types.h>
#include <pthread.h>
#include <time.h>

/* The coarse clock: 5 ns a reading instead of 23, in steps of the kernel's tick (1 to 10 ms). */
static inline uint64_t ckiti_system_monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* The same time to the millisecond. For the ends of waits: by the coarse clock they would come up to a tick later. */
static inline uint64_t ckiti_exact_monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static inline uint64_t ckiti_now_ms(const ckit_clock *clock) {
    return clock == NULL ? ckiti_system_monotonic_ms() : clock->monotonic_ms(clock->self);
}

int64_t ckiti_wall_ms(const ckit_clock *clock);
/* A point `ms` from now on the system's CLOCK_MONOTONIC, for waits that the instance's clock does not rule. */
struct timespec ckiti_real_time_in(uint64_t ms);
/* One whose timed waits end at such points. */
void ckiti_cond_init(pthread_cond_t *cond);

/* now + life, where CKIT_LIFE_NO_EXPIRY and anything too far stay UINT64_MAX. */
static inline uint64_t ckiti_time_after(uint64_t now_ms, uint64_t life_ms) {
    uint64_t end;
    return __builtin_add_overflow(now_ms, life_ms, &end) ? UINT64_MAX : end;
}

/* Milliseconds until `deadline_ms`: 0 when it has passed, UINT64_MAX for CKIT_NO_DEADLINE. */
static inline uint64_t ckiti_time_left(uint64_t now_ms, uint64_t deadline_ms) {
    if (deadline_ms == CKIT_NO_DEADLINE) {
        return UINT64_MAX;
    }
    return deadline_ms > now_ms ? deadline_ms - now_ms : 0;
}

#endif
