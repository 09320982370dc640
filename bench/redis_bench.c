/* The Redis store over TCP on one machine: 64-byte values, the server on core 0 and the client on core 1, against blocking
 * hiredis. Left out where there is no redis-server, and without hiredis what is compared with it. */
#include "bench.h"

#include "support/redis_server.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#ifdef BENCH_HIREDIS
#include <hiredis/hiredis.h>
#endif

#define KEYS 1000u
#define VALUE_BYTES 64u
#define THREADS 64u
#define PEER_THREADS 32u
#define IN_FLIGHT 512u
#define MANY 100u

typedef struct place {
    redis_server            server;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    char                    keys[KEYS][104];
    uint64_t                turns[THREADS][8]; /* a cache line each */
#ifdef BENCH_HIREDIS
    redisContext *peers[PEER_THREADS];
#endif
} place;

static void require(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "redis_bench: %s\n", what);
        exit(1);
    }
}

static ckit_slice key_of(const place *p, uint64_t i) { return ckit_slice_str(p->keys[i % KEYS]); }

/* ---- ours -------------------------------------------------------------------------------------------------------------- */

static void run_get(void *context, unsigned thread, uint64_t operations) {
    place   *p = context;
    ckit_buf out = CKIT_BUF_INIT;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t life_ms;
        out.len = 0;
        ckit_slice key = key_of(p, thread * 17 + p->turns[thread][0]++);
        require(p->ops->get(p->self, key, CKIT_NO_DEADLINE, &out, &life_ms, NULL) == CKIT_OK, "get");
    }
    ckit_buf_fini(&out);
}

typedef struct flight {
    place          *p;
    pthread_mutex_t lock;
    pthread_cond_t  landed;
    uint64_t        left;   /* not submitted yet; the serving thread's, once all have started */
    unsigned        flying; /* guarded by lock */
    struct one {
        ckit_request   request;
        ckit_buf       out;
        uint64_t       turn;
        struct flight *of;
    } all[IN_FLIGHT];
} flight;

static void submit_next(struct one *one) {
    place *p = one->of->p;
    one->out.len = 0;
    one->request.key = key_of(p, one->turn++);
    require(p->ops->submit(p->self, &one->request, NULL) == CKIT_PENDING, "submit");
}

static void landed(ckit_request *request, ckit_status status) {
    struct one *one = request->context;
    flight     *f = one->of;
    require(status == CKIT_OK, "answer");
    if (__atomic_load_n(&f->left, __ATOMIC_RELAXED) > 0 && __atomic_fetch_sub(&f->left, 1, __ATOMIC_RELAXED) > 0) {
        submit_next(one);
        return;
    }
    __atomic_store_n(&f->left, 0, __ATOMIC_RELAXED);
    pthread_mutex_lock(&f->lock);
    if (--f->flying == 0) {
        pthread_cond_signal(&f->landed);
    }
    pthread_mutex_unlock(&f->lock);
}

static void run_flight(void *context, unsigned thread, uint64_t operations) {
    flight  *f = context;
    unsigned start = operations < IN_FLIGHT ? (unsigned)operations : IN_FLIGHT;
    (void)thread;
    f->flying = start;
    __atomic_store_n(&f->left, operations - start, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < start; i++) {
        submit_next(&f->all[i]);
    }
    pthread_mutex_lock(&f->lock);
    while (f->flying > 0) {
        pthread_cond_wait(&f->landed, &f->lock);
    }
    pthread_mutex_unlock(&f->lock);
}

static void run_many(void *context, unsigned thread, uint64_t operations) {
    place      *p = context;
    ckit_slice  keys[MANY];
    ckit_buf    out[MANY];
    uint64_t    life_ms[MANY];
    ckit_status answers[MANY];
    (void)thread;
    for (unsigned i = 0; i < MANY; i++) {
        keys[i] = key_of(p, i * 7);
        ckit_buf_init(&out[i], NULL);
    }
    for (uint64_t i = 0; i < operations; i++) {
        for (unsigned k = 0; k < MANY; k++) {
            out[k].len = 0;
        }
        require(p->ops->get_many(p->self, keys, MANY, CKIT_NO_DEADLINE, out, life_ms, answers, NULL) == CKIT_OK &&
                    answers[MANY - 1] == CKIT_OK,
                "get_many");
    }
    for (unsigned i = 0; i < MANY; i++) {
        ckit_buf_fini(&out[i]);
    }
}

/* ---- hiredis ------------------------------------------------------------------------------------------------------------ */

#ifdef BENCH_HIREDIS
static void run_peer_get(void *context, unsigned thread, uint64_t operations) {
    place *p = context;
    for (uint64_t i = 0; i < operations; i++) {
        ckit_slice  key = key_of(p, thread * 17 + p->turns[thread][0]++);
        const char *args[] = {"GET", (const char *)key.ptr};
        size_t      lens[] = {3, key.len};
        redisReply *reply = redisCommandArgv(p->peers[thread], 2, args, lens);
        require(reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == VALUE_BYTES, "hiredis GET");
        freeReplyObject(reply);
    }
}

static void run_peer_many(void *context, unsigned thread, uint64_t operations) {
    place      *p = context;
    const char *args[MANY + 1] = {"MGET"};
    size_t      lens[MANY + 1] = {4};
    (void)thread;
    for (unsigned i = 0; i < MANY; i++) {
        ckit_slice key = key_of(p, i * 7);
        args[i + 1] = (const char *)key.ptr;
        lens[i + 1] = key.len;
    }
    for (uint64_t i = 0; i < operations; i++) {
        redisReply *reply = redisCommandArgv(p->peers[0], MANY + 1, args, lens);
        require(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == MANY, "hiredis MGET");
        freeReplyObject(reply);
    }
}
#endif

/* ---- the place ----------------------------------------------------------------------------------------------------------- */

static void pin(pid_t pid, size_t core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)sched_setaffinity(pid, sizeof set, &set);
}

static place *place_make(char *why, size_t size) {
    place             *p = bench_alloc(sizeof *p);
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    ckit_entry_info    info = {.ttl_ms = 3600000};
    ckit_error         err = CKIT_ERROR_INIT;
    uint8_t            value[VALUE_BYTES];
    memset(p, 0, sizeof *p);
    memset(value, 'v', sizeof value);
    if (!redis_server_start(&p->server, NULL, why, size)) {
        free(p);
        return NULL;
    }
    pin(p->server.pid, 0);
    pin(0, 1);
    options.url = p->server.url;
    options.socket_timeout_ms = 10000;
    require(ckit_redis_open(&options, NULL, &p->backend, &err) == CKIT_OK, err.text);
    p->ops = ckit_backend_operations(p->backend);
    p->self = ckit_backend_self(p->backend);
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(p->keys[i], sizeof p->keys[i], "func:report:args:%064u:1s", i);
        require(p->ops->set(p->self, key_of(p, i), ckit_slice_of(value, sizeof value), &info, CKIT_NO_DEADLINE, &err) ==
                    CKIT_OK,
                err.text);
    }
#ifdef BENCH_HIREDIS
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        p->peers[i] = redisConnect("127.0.0.1", p->server.port);
        require(p->peers[i] != NULL && p->peers[i]->err == 0, "hiredis connect");
    }
#endif
    return p;
}

static void place_remove(place *p) {
#ifdef BENCH_HIREDIS
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        redisFree(p->peers[i]);
    }
#endif
    ckit_backend_close(p->backend);
    redis_server_stop(&p->server);
    free(p);
}

static flight *flight_make(place *p) {
    flight *f = bench_alloc(sizeof *f);
    memset(f, 0, sizeof *f);
    f->p = p;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->landed, NULL);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        struct one *one = &f->all[i];
        one->of = f;
        one->turn = i;
        one->request = (ckit_request){.kind = CKIT_REQUEST_GET,
                                      .deadline_ms = CKIT_NO_DEADLINE,
                                      .out = &one->out,
                                      .done = landed,
                                      .context = one};
    }
    return f;
}

static void flight_remove(flight *f) {
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        ckit_buf_fini(&f->all[i].out);
    }
    free(f);
}

/* Operations a second of all threads. */
static double rate(const bench_work *work) { return 1e9 / work->median * work->threads; }

static void rows(bench *b, place *p, flight *f) {
    bench_work works[] = {
        {.name = "get", .run = run_get, .context = p, .threads = 1},
        {.name = "get, 64 threads", .run = run_get, .context = p, .threads = THREADS},
        {.name = "get, 512 in flight", .run = run_flight, .context = f, .threads = 1},
        {.name = "get_many 100", .run = run_many, .context = p, .threads = 1},
#ifdef BENCH_HIREDIS
        {.name = "hiredis GET", .run = run_peer_get, .context = p, .threads = 1},
        {.name = "hiredis GET, 32 threads", .run = run_peer_get, .context = p, .threads = PEER_THREADS},
        {.name = "hiredis MGET 100", .run = run_peer_many, .context = p, .threads = 1}
#endif
    };
    bench_run(b, works, sizeof works / sizeof works[0]);
#ifdef BENCH_HIREDIS
    bench_row_at_most(b, "redis.get.single", works[0].median, "ns", "hiredis, blocking", works[4].median, 1.05);
    bench_row_at_least(b, "redis.get.64threads", rate(&works[1]), "1/s", "hiredis, 32 threads", rate(&works[5]), 2);
    bench_row_at_least(b, "redis.get.512flight", rate(&works[2]), "1/s", "hiredis, 32 threads", rate(&works[5]), 7);
    bench_row_at_most(b, "redis.getmany100", works[3].median, "ns", "hiredis MGET", works[6].median, 1.3);
#else
    bench_row_plain(b, "redis.get.single", works[0].median, "ns", NULL, 0);
    bench_row_plain(b, "redis.get.64threads", rate(&works[1]), "1/s", NULL, 0);
    bench_row_plain(b, "redis.get.512flight", rate(&works[2]), "1/s", NULL, 0);
    bench_row_plain(b, "redis.getmany100", works[3].median, "ns", NULL, 0);
#endif
}

BENCH_FAMILY(redis) {
    char      why[200];
    cpu_set_t before;
    if (bench_is_counting(b)) {
        return;
    }
    (void)sched_getaffinity(0, sizeof before, &before);
    place *p = place_make(why, sizeof why);
    if (p == NULL) {
        fprintf(stderr, "redis: left out: %s\n", why);
        return;
    }
    flight *f = flight_make(p);
    rows(b, p, f);
    flight_remove(f);
    place_remove(p);
    (void)sched_setaffinity(0, sizeof before, &before);
}
