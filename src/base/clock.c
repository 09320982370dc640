#include "base/clock.h"

int64_t ckiti_wall_ms(const ckit_clock *clock) {
    if (clock != NULL) {
        return clock->wall_ms(clock->self);
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
