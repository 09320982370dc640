/* The Redis store on one machine: 64-byte values, the server on core 0 and the client on core 1, against blocking
 * hiredis; over TCP with goals, over a UNIX socket without. Reading tells the life that is left, which is a second
 * command for the server; rows NAME.value are without it, as hiredis reads. Of many keys a raw MGET tells no lives, and
 * no command of the server does, so getmany100 is without, like what it is compared with, and getmany100.lives shows
 * their price. Left out where there is no redis-server, and without hiredis what is compared with it. */
#include "bench.h"
#include "redis_work.h"

#include <cachekit/buf.h>
#include <cachekit/function.h>
#include <cachekit/open.h>
#include <cachekit/redis.h>
#include <cachekit/value.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Operations a second of all threads. */
static double rate(const bench_work *work) { return 1e9 / work->median * work->threads; }

enum { GET, CROWD, FLIGHT, MANY_KEYS, VALUE, VALUE_CROWD, VALUES, CACHED, PEER_GET, PEER_CROWD, PEER_MANY, WORKS };

/* ---- the cached path --------------------------------------------------------------------------------------------- */

typedef struct path {
    ckit_cache    *cache;
    ckit_function *function;
    uint64_t       turns[THREADS][8];
    _Atomic size_t loads; /* calls that the store did not answer */
} path;

static ckit_status load_answer(void *context, ckit_load *load, ckit_error *err) {
    static const uint8_t answer[VALUE_BYTES];
    path                *way = context;
    (void)err;
    way->loads++;
    ckit_write_bin(load->result, ckit_slice_of(answer, sizeof answer));
    return CKIT_OK;
}

static void run_cached(void *context, unsigned thread, uint64_t operations) {
    path *way = context;
    for (uint64_t i = 0; i < operations; i++) {
        ckit_args  args;
        ckit_value value = CKIT_VALUE_INIT;
        ckit_args_init(&args);
        ckit_args_int(&args, (int64_t)((thread * 17 + way->turns[thread][0]++) % KEYS));
        require(ckit_call(way->function, &args, &value, NULL) == CKIT_OK && value.data.len > VALUE_BYTES, "call");
        ckit_value_fini(&value);
        ckit_args_fini(&args);
    }
}

/* All that stands between a function and the server, but for memory. */
static void path_open(path *way, const redis_server *server) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_redis_options redis = CKIT_REDIS_OPTIONS_INIT;
    ckit_backend      *store;
    ckit_error         err = CKIT_ERROR_INIT;
    *way = (path){.cache = NULL};
    options.l1 = CKIT_OFF;
    redis.url = server->url;
    redis.socket_timeout_ms = 10000;
    require(ckit_redis_open(&redis, NULL, &store, &err) == CKIT_OK, err.text);
    require(ckit_cache_open_over(store, &options, &way->cache, &err) == CKIT_OK, err.text);
    require(ckit_function_new(way->cache, "bench.answer", load_answer, way, NULL, &way->function, &err) == CKIT_OK,
            err.text);
    run_cached(way, 0, KEYS);
}

static void path_close(path *way) {
    ckit_function_close(way->function);
    ckit_cache_close(way->cache);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* What one operation costs the process, and the server. */
static void cost_rows(bench *b, const char *name, const bench_work *work, const bench_work *peer) {
    char   row[96];
    double calls = bench_system_calls(work);
    snprintf(row, sizeof row, "%s.cpu", name);
    bench_row_plain(b, row, work->cpu, "ns", peer == NULL ? NULL : peer->name, peer == NULL ? 0 : peer->cpu);
    if (calls < 0) {
        printf("%s.syscalls is not counted: the kernel does not let it be\n", name);
        return;
    }
    snprintf(row, sizeof row, "%s.syscalls", name);
    bench_row_plain(b, row, calls, "an op", peer == NULL ? NULL : peer->name,
                    peer == NULL ? 0 : bench_system_calls(peer));
}

/* The same works everywhere; the last ones only with hiredis. */
static size_t works_of(place *p, path *way, bench_work works[WORKS]) {
    const bench_work all[] = {
        [GET] = {.name = "get", .run = run_get, .context = p, .threads = 1},
        [CROWD] = {.name = "get, 64 threads", .run = run_get, .context = p, .threads = THREADS},
        [FLIGHT] = {.name = "get, 512 in flight", .run = run_flight, .context = p, .threads = 1},
        [MANY_KEYS] = {.name = "get_many 100", .run = run_many, .context = p, .threads = 1},
        [VALUE] = {.name = "get, no life", .run = run_value, .context = p, .threads = 1},
        [VALUE_CROWD] = {.name = "get, no life, 64 threads", .run = run_value, .context = p, .threads = THREADS},
        [VALUES] = {.name = "get_many 100, no lives", .run = run_many_values, .context = p, .threads = 1},
        [CACHED] = {.name = "call, 64 threads", .run = run_cached, .context = way, .threads = THREADS},
#ifdef BENCH_HIREDIS
        [PEER_GET] = {.name = "hiredis, blocking", .run = run_peer_get, .context = p, .threads = 1},
        [PEER_CROWD] = {.name = "hiredis, 32 threads", .run = run_peer_get, .context = p, .threads = PEER_THREADS},
        [PEER_MANY] = {.name = "hiredis MGET", .run = run_peer_many, .context = p, .threads = 1},
#endif
    };
    memcpy(works, all, sizeof all);
    return sizeof all / sizeof all[0];
}

static void latency_row(bench *b, const char *name, const bench_work *work, const bench_work *peer, double most) {
    if (peer == NULL) {
        bench_row_plain(b, name, work->median, "ns", NULL, 0);
    } else {
        bench_row_at_most(b, name, work->median, "ns", peer->name, peer->median, most);
    }
}

static void rate_row(bench *b, const char *name, const bench_work *work, const bench_work *peer, double least) {
    if (peer == NULL) {
        bench_row_plain(b, name, rate(work), "1/s", NULL, 0);
    } else {
        bench_row_at_least(b, name, rate(work), "1/s", peer->name, rate(peer), least);
    }
}

static void tcp_rows(bench *b, place *p) {
    bench_work works[WORKS];
    path       way;
    path_open(&way, p->server);
    size_t count = works_of(p, &way, works);
    bench_run(b, works, count);
    bool              peers = count > PEER_GET;
    const bench_work *single = peers ? &works[PEER_GET] : NULL, *crowd = peers ? &works[PEER_CROWD] : NULL;
    const bench_work *many = peers ? &works[PEER_MANY] : NULL;
    latency_row(b, "redis.get.single", &works[GET], single, 1.05);
    latency_row(b, "redis.get.single.value", &works[VALUE], single, 1.05);
    rate_row(b, "redis.get.64threads", &works[CROWD], crowd, 2);
    rate_row(b, "redis.get.64threads.value", &works[VALUE_CROWD], crowd, 2);
    rate_row(b, "redis.get.512flight", &works[FLIGHT], crowd, 7);
    latency_row(b, "redis.getmany100", &works[VALUES], many, 1.3);
    bench_row_plain(b, "redis.getmany100.lives", works[MANY_KEYS].median, "ns", works[VALUES].name,
                    works[VALUES].median);
    if (way.loads == KEYS) {
        bench_row_at_least(b, "redis.cached.64threads", rate(&works[CACHED]), "1/s", "redis.get.64threads",
                           rate(&works[CROWD]), 0.6);
        cost_rows(b, "redis.cached.64threads", &works[CACHED], NULL);
    } else {
        printf("redis.cached.64threads is void: the store was too slow for %zu calls, and they ran the function\n",
               way.loads - KEYS);
    }
    cost_rows(b, "redis.get.single", &works[GET], single);
    cost_rows(b, "redis.get.64threads", &works[CROWD], crowd);
    cost_rows(b, "redis.get.512flight", &works[FLIGHT], crowd);
    cost_rows(b, "redis.getmany100", &works[VALUES], many);
    cost_rows(b, "redis.getmany100.lives", &works[MANY_KEYS], &works[VALUES]);
    path_close(&way);
}

static void unix_rows(bench *b, place *p) {
    bench_work works[WORKS], chosen[WORKS];
    size_t     count = works_of(p, NULL, works), n = 0;
    for (size_t i = 0; i < count; i++) {
        if (i != CACHED) {
            chosen[n++] = works[i];
        }
    }
    bench_run(b, chosen, n);
    for (size_t i = 0; i < n; i++) {
        works[i < CACHED ? i : i + 1] = chosen[i];
    }
    bool        peers = count > PEER_GET;
    const char *single = peers ? "hiredis, blocking" : NULL, *crowd = peers ? "hiredis, 32 threads" : NULL;
    double      peer_rate = peers ? rate(&works[PEER_CROWD]) : 0;
    bench_row_plain(b, "redis.unix.get.single", works[GET].median, "ns", single, peers ? works[PEER_GET].median : 0);
    bench_row_plain(b, "redis.unix.get.64threads", rate(&works[CROWD]), "1/s", crowd, peer_rate);
    bench_row_plain(b, "redis.unix.get.512flight", rate(&works[FLIGHT]), "1/s", crowd, peer_rate);
    bench_row_plain(b, "redis.unix.getmany100", works[VALUES].median, "ns", peers ? "hiredis MGET" : NULL,
                    peers ? works[PEER_MANY].median : 0);
    cost_rows(b, "redis.unix.get.single", &works[GET], peers ? &works[PEER_GET] : NULL);
}

/* Values of a megabyte, which have connections of their own. */
static void large_rows(bench *b, place *p, const char *get_row, const char *set_row) {
    bench_work works[] = {
        {.name = "get of 1 MB", .run = run_large_get, .context = p, .threads = 1},
        {.name = "set of 1 MB", .run = run_large_set, .context = p, .threads = 1},
#ifdef BENCH_HIREDIS
        {.name = "hiredis GET", .run = run_peer_large_get, .context = p, .threads = 1},
        {.name = "hiredis SET", .run = run_peer_large_set, .context = p, .threads = 1},
#endif
    };
    size_t count = sizeof works / sizeof works[0];
    bench_run(b, works, count);
    for (size_t i = 0; i < 2; i++) {
        const bench_work *peer = i + 2 < count ? &works[i + 2] : NULL;
        const char       *name = i == 0 ? get_row : set_row;
        bench_row_plain(b, name, works[i].median / 1e3, "us", peer == NULL ? NULL : peer->name,
                        peer == NULL ? 0 : peer->median / 1e3);
        cost_rows(b, name, &works[i], peer);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static _Atomic uint64_t asked;

static void *count_alloc(void *self, size_t size) {
    (void)self;
    asked++;
    return malloc(size);
}

static void *count_resize(void *self, void *ptr, size_t old_size, size_t new_size) {
    (void)self, (void)old_size;
    asked++;
    return realloc(ptr, new_size);
}

static void count_release(void *self, void *ptr, size_t size) {
    (void)self, (void)size;
    free(ptr);
}

static void allocation_row(bench *b, const char *name, const bench_work *work, uint64_t operations) {
    bench_time(work, 4 * operations); /* buffers grow to their size */
    uint64_t before = asked;
    bench_time(work, operations);
    bench_row_bound(b, name, (double)(asked - before) / (double)operations / work->threads, "an op", 0);
}

/* Through the store's own allocator. */
static void allocation_rows(bench *b, redis_server *server) {
    const ckit_alloc counting = {.alloc = count_alloc, .resize = count_resize, .release = count_release};
    place           *p = place_make(server, false, &counting);
    allocation_row(b, "redis.get.single.allocations", &(bench_work){.run = run_get, .context = p, .threads = 1}, 2000);
    allocation_row(b, "redis.get.64threads.allocations",
                   &(bench_work){.run = run_get, .context = p, .threads = THREADS}, 500);
    fill_flight(p);
    allocation_row(b, "redis.get.512flight.allocations", &(bench_work){.run = run_flight, .context = p, .threads = 1},
                   20000);
    allocation_row(b, "redis.getmany100.allocations", &(bench_work){.run = run_many, .context = p, .threads = 1}, 200);
    place_remove(p);
}

static void mallocs_of_get(uint64_t operations) {
    redis_server server;
    char         why[200];
    require(redis_server_start(&server, NULL, why, sizeof why), why);
    place   *p = place_make(&server, false, NULL);
    ckit_buf out = CKIT_BUF_INIT; /* of the caller, who keeps it */
    get_into(p, 0, 1000, true, &out);
    bench_mallocs_begin();
    get_into(p, 0, operations, true, &out);
    bench_mallocs_end();
    ckit_buf_fini(&out);
    place_remove(p);
    redis_server_stop(&server);
}

static void mallocs_of_flight(uint64_t operations) {
    redis_server server;
    char         why[200];
    require(redis_server_start(&server, NULL, why, sizeof why), why);
    place *p = place_make(&server, false, NULL);
    fill_flight(p);
    bench_mallocs_begin();
    run_flight(p, 0, operations);
    bench_mallocs_end();
    place_remove(p);
    redis_server_stop(&server);
}

BENCH_FAMILY(redis) {
    char         why[200];
    cpu_set_t    before;
    redis_server server;
    if (bench_is_counting(b)) {
        bench_mallocs_counted(b, "redis.get.single", mallocs_of_get);
        bench_mallocs_counted(b, "redis.get.512flight", mallocs_of_flight);
        return;
    }
    if (!redis_server_start(&server, NULL, why, sizeof why)) {
        fprintf(stderr, "redis: left out: %s\n", why);
        return;
    }
    bench_mallocs_counted(b, "redis.get.single", mallocs_of_get);
    bench_mallocs_counted(b, "redis.get.512flight", mallocs_of_flight);
    allocation_rows(b, &server);
    (void)sched_getaffinity(0, sizeof before, &before);
    pin(server.pid, 0);
    pin(0, 1);
    place *p = place_make(&server, false, NULL);
    tcp_rows(b, p);
    large_rows(b, p, "redis.get.1m", "redis.set.1m");
    place_remove(p);
    p = place_make(&server, true, NULL);
    unix_rows(b, p);
    large_rows(b, p, "redis.unix.get.1m", "redis.unix.set.1m");
    place_remove(p);
    (void)sched_setaffinity(0, sizeof before, &before);
    redis_server_stop(&server);
}
