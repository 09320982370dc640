/* What the guard adds to an operation while all is well, against the two readings of the clock that it contains. */
#include "bench.h"

#include <cachekit/guard.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- a store that does nothing ---------------------------------------------------------------------------------- */

static ckit_status no_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                          ckit_error *err) {
    (void)self, (void)key, (void)out, (void)life_ms, (void)err;
    bench_keep(deadline_ms);
    return CKIT_MISS;
}

static ckit_status no_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                          uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)value, (void)info, (void)err;
    bench_keep(deadline_ms);
    return CKIT_OK;
}

static ckit_status no_key(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    (void)self, (void)key, (void)err;
    bench_keep(deadline_ms);
    return CKIT_MISS;
}

static void no_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    (void)self, (void)deadline_ms;
    memset(out, 0, sizeof *out);
}

static void no_close(void *self) { (void)self; }

static const ckit_backend_ops no_ops = {.abi = CKIT_BACKEND_ABI,
                                        .name = "nothing",
                                        .get = no_get,
                                        .set = no_set,
                                        .remove = no_key,
                                        .exists = no_key,
                                        .health = no_health,
                                        .close = no_close};

static ckit_backend *open_bare(void) {
    ckit_backend *backend = NULL;
    if (ckit_backend_new(&no_ops, NULL, NULL, &backend, NULL) != CKIT_OK) {
        abort();
    }
    return backend;
}

static ckit_backend *open_guarded(void) {
    ckit_backend *backend = NULL;
    if (ckit_backend_guard(open_bare(), NULL, NULL, &backend, NULL) != CKIT_OK) {
        abort();
    }
    return backend;
}

/* ---- the works --------------------------------------------------------------------------------------------------- */

static void read_clock_twice(void *context, unsigned thread, uint64_t operations) {
    (void)context, (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        bench_keep((uint64_t)now.tv_nsec);
        clock_gettime(CLOCK_MONOTONIC, &now);
        bench_keep((uint64_t)now.tv_nsec);
    }
}

static void get(void *context, unsigned thread, uint64_t operations) {
    const ckit_backend     *backend = context;
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    void                   *self = ckit_backend_self(backend);
    const ckit_slice        key = {(const uint8_t *)"key", 3};
    ckit_buf                out = CKIT_BUF_INIT;
    (void)thread;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t life_ms;
        bench_keep((uint64_t)ops->get(self, key, CKIT_NO_DEADLINE, &out, &life_ms, NULL));
    }
}

static void count_guarded(uint64_t operations) {
    ckit_backend *backend = open_guarded();
    get(backend, 0, operations);
    ckit_backend_close(backend);
}

BENCH_FAMILY(guard) {
    bench_counted(b, "guard.healthy", count_guarded);
    if (bench_is_counting(b)) {
        return;
    }
    ckit_backend *bare = open_bare(), *guarded = open_guarded();
    bench_work    works[] = {{.name = "two clock reads", .run = read_clock_twice, .threads = 1},
                             {.name = "bare get", .run = get, .context = bare, .threads = 1},
                             {.name = "guarded get", .run = get, .context = guarded, .threads = 1},
                             {.name = "guarded get, 2 threads", .run = get, .context = guarded, .threads = 2}};
    bench_run(b, works, 4);
    double added = works[2].median - works[1].median;
    bench_row_added(b, "guard.healthy", added, "ns", "two clock reads", works[0].median, 40);
    bench_row_plain(b, "guard.healthy.2t", works[3].median - works[1].median, "ns", "two clock reads", works[0].median);
    ckit_backend_close(guarded);
    ckit_backend_close(bare);
}
