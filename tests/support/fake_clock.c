#include "support/fake_clock.h"

static uint64_t read_monotonic(void *self) {
    fake_clock *time = self;
    atomic_fetch_add(&time->readings, 1);
    return atomic_load(&time->now_ms);
}

static int64_t read_wall(void *self) { return fake_clock_wall(self); }

void fake_clock_init(fake_clock *time) {
    time->clock = (ckit_clock){read_monotonic, read_wall, time};
    atomic_init(&time->now_ms, FAKE_CLOCK_START_MS);
    atomic_init(&time->wall_ms, FAKE_CLOCK_WALL_MS);
    atomic_init(&time->readings, 0);
    time->mirror_us = NULL;
}

static void show(fake_clock *time) {
    if (time->mirror_us != NULL) {
        atomic_store(time->mirror_us, fake_clock_wall(time) * 1000);
    }
}

void fake_clock_mirror(fake_clock *time, _Atomic int64_t *wall_us) {
    time->mirror_us = wall_us;
    show(time);
}

void fake_clock_advance(fake_clock *time, uint64_t ms) {
    atomic_fetch_add(&time->now_ms, ms);
    atomic_fetch_add(&time->wall_ms, (int64_t)ms);
    show(time);
}

void fake_clock_set_wall(fake_clock *time, int64_t wall_ms) {
    atomic_store(&time->wall_ms, wall_ms);
    show(time);
}

uint64_t fake_clock_now(const fake_clock *time) { return atomic_load(&time->now_ms); }

int64_t fake_clock_wall(const fake_clock *time) { return atomic_load(&time->wall_ms); }
