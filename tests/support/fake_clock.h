/* support/fake_clock.h - a clock that stands still until the test moves it.
 *
 *     fake_clock time;
 *     fake_clock_init(&time);
 *     options.clock = &time.clock;
 *     fake_clock_advance(&time, 1000);
 *
 * Thread-safe. Starts at 1,000,000 ms monotonic and 1,700,000,000,000 ms Unix time. */
#ifndef CKIT_SUPPORT_FAKE_CLOCK_H
#define CKIT_SUPPORT_FAKE_CLOCK_H

#include <cachekit/types.h>
#include <stdatomic.h>

#define FAKE_CLOCK_START_MS UINT64_C(1000000)
#define FAKE_CLOCK_WALL_MS INT64_C(1700000000000)

typedef struct fake_clock {
    ckit_clock       clock; /* hand out &time.clock; `time` must stay where it is */
    _Atomic uint64_t now_ms;
    _Atomic int64_t  wall_ms;
    _Atomic uint64_t readings;  /* of the monotonic clock */
    _Atomic int64_t *mirror_us; /* when not NULL, the wall clock is written here too, in microseconds */
} fake_clock;

void fake_clock_init(fake_clock *time);
/* From here on a clock elsewhere, a server's, follows this one. */
void fake_clock_mirror(fake_clock *time, _Atomic int64_t *wall_us);
/* Moves both clocks forward. */
void fake_clock_advance(fake_clock *time, uint64_t ms);
/* Somebody sets the wall clock; the monotonic one does not notice. */
void     fake_clock_set_wall(fake_clock *time, int64_t wall_ms);
uint64_t fake_clock_now(const fake_clock *time);
int64_t  fake_clock_wall(const fake_clock *time);

#endif
