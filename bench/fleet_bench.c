/* How soon a copy in one process's memory dies after another process began to change the entry: seven processes that
 * read, one that writes, 200 operations a second each, over one Redis on this machine. Left out where there is no
 * redis-server. */
#include "bench.h"

#include "support/redis_server.h"

#include <cachekit/buf.h>
#include <cachekit/cache.h>
#include <cachekit/redis.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READERS 7u
#define WRITES 1000u
#define PAUSE_NS 5000000u
#define KEY_BYTES 128u
#define KEY_BEGINNING "func:report:args:"

typedef struct reader {
    _Atomic uint32_t count;
    uint32_t         ns[WRITES];
} reader;

/* What the processes share. */
typedef struct yard {
    _Atomic uint32_t ready; /* readers that are guarded */
    _Atomic bool     stop;
    _Atomic uint64_t begun[WRITES]; /* when that key was written */
    reader           readers[READERS];
} yard;

static yard *shared;

static void require(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "fleet_bench: %s\n", what);
        _exit(1);
    }
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns) {
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* As calls of functions have. */
static ckit_slice key_of(unsigned number, char out[KEY_BYTES]) {
    return ckit_slice_of(out, (size_t)snprintf(out, KEY_BYTES, KEY_BEGINNING "%064u:1s", number));
}

/* ---- a store whose messages are seen after the cache has acted on them ------------------------------------------- */

static const ckit_backend_ops *inner;
static const ckit_watch_sink  *cache_sink;
static ckit_watch_sink         seen_sink;
static reader                 *mine;

static void seen_changed(void *self, ckit_slice key) {
    cache_sink->changed(self, key);
    uint64_t now = now_ns();
    char     text[KEY_BYTES] = "";
    memcpy(text, key.ptr, key.len < sizeof text ? key.len : sizeof text - 1);
    uint32_t number = (uint32_t)strtoul(text + strlen(KEY_BEGINNING), NULL, 10);
    uint64_t begun = number < WRITES ? atomic_load(&shared->begun[number]) : 0;
    uint32_t count = atomic_load(&mine->count);
    if (begun != 0 && count < WRITES) {
        mine->ns[count] = (uint32_t)(now - begun);
        atomic_store(&mine->count, count + 1);
    }
}

static void seen_guarded(void *self, unsigned what) {
    cache_sink->guarded(self, what);
    atomic_fetch_add(&shared->ready, 1);
}

static ckit_status seen_watch(void *self, const ckit_watch_sink *sink, ckit_error *err) {
    cache_sink = sink;
    seen_sink = *sink;
    seen_sink.changed = seen_changed;
    seen_sink.guarded = seen_guarded;
    return inner->watch(self, &seen_sink, err);
}

static void read_keys(const char *url, unsigned number) {
    ckit_redis_options      options = CKIT_REDIS_OPTIONS_INIT;
    ckit_backend           *store, *seen;
    ckit_cache             *cache;
    static ckit_backend_ops ops;
    uint64_t                state = number, next = now_ns();
    ckit_value              value = CKIT_VALUE_INIT;
    ckit_entry_options      as_it_is = CKIT_ENTRY_OPTIONS_INIT;
    as_it_is.encoding = CKIT_RAW;
    options.url = url;
    mine = &shared->readers[number];
    require(ckit_redis_open(&options, NULL, &store, NULL) == CKIT_OK, "opening");
    inner = ckit_backend_operations(store);
    ops = *inner;
    ops.watch = seen_watch;
    require(ckit_backend_new(&ops, ckit_backend_self(store), NULL, &seen, NULL) == CKIT_OK, "a store");
    require(ckit_cache_new(NULL, seen, &cache, NULL) == CKIT_OK, "a cache");
    while (!atomic_load(&shared->stop)) {
        char key[KEY_BYTES];
        (void)ckit_cache_get(cache, key_of((unsigned)(bench_random(&state) % WRITES), key), &as_it_is, &value, NULL);
        sleep_until(next += PAUSE_NS);
    }
    _exit(0);
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static void write_keys(const char *url) {
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    ckit_backend      *store;
    ckit_entry_info    info = {.ttl_ms = 600000};
    char               value[64] = "value";
    options.url = url;
    require(ckit_redis_open(&options, NULL, &store, NULL) == CKIT_OK, "opening");
    const ckit_backend_ops *ops = ckit_backend_operations(store);
    uint64_t                next = now_ns();
    for (unsigned i = 0; i < WRITES; i++) {
        char key[KEY_BYTES];
        sleep_until(next += PAUSE_NS);
        atomic_store(&shared->begun[i], now_ns());
        require(ops->set(ckit_backend_self(store), key_of(i, key), ckit_slice_of(value, sizeof value), &info,
                         CKIT_NO_DEADLINE, NULL) == CKIT_OK,
                "set");
    }
    sleep_until(now_ns() + 200000000u);
    ckit_backend_close(store);
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void rows(bench *b) {
    uint32_t *all = bench_alloc(READERS * WRITES * sizeof *all);
    size_t    count = 0;
    for (unsigned i = 0; i < READERS; i++) {
        uint32_t some = atomic_load(&shared->readers[i].count);
        memcpy(all + count, shared->readers[i].ns, some * sizeof *all);
        count += some;
    }
    require(count == READERS * WRITES, "messages are missing");
    qsort(all, count, sizeof *all, compare);
    bench_row_bound(b, "redis.invalidation.p50", all[count / 2] / 1e3, "us", 100);
    bench_row_bound(b, "redis.invalidation.p99", all[count * 99 / 100] / 1e3, "us", 1000);
    free(all);
}

BENCH_FAMILY(fleet) {
    char         why[200];
    redis_server server;
    pid_t        readers[READERS];
    if (bench_is_counting(b)) {
        return;
    }
    if (!redis_server_start(&server, NULL, why, sizeof why)) {
        fprintf(stderr, "fleet: left out: %s\n", why);
        return;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(shared != MAP_FAILED, "memory");
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = fork();
        require(readers[i] >= 0, "fork");
        if (readers[i] == 0) {
            read_keys(server.url, i);
        }
    }
    for (unsigned i = 0; i < 3000 && atomic_load(&shared->ready) < READERS; i++) {
        sleep_until(now_ns() + 10000000u);
    }
    require(atomic_load(&shared->ready) == READERS, "nobody watches");
    write_keys(server.url);
    atomic_store(&shared->stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        while (waitpid(readers[i], NULL, 0) < 0) {}
    }
    rows(b);
    redis_server_stop(&server);
    munmap(shared, sizeof *shared);
}
