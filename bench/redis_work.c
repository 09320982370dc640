#include "redis_work.h"

#include "bench.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifdef BENCH_HIREDIS
#include <hiredis/hiredis.h>
#endif

void require(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "redis: %s\n", what);
        exit(1);
    }
}

static ckit_slice key_of(const place *p, uint64_t i) { return ckit_slice_str(p->keys[i % KEYS]); }

/* ---- ours -------------------------------------------------------------------------------------------------------- */

void get_into(place *p, unsigned thread, uint64_t operations, bool life, ckit_buf *out) {
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t life_ms;
        out->len = 0;
        ckit_slice key = key_of(p, thread * 17 + p->turns[thread][0]++);
        require(p->ops->get(p->self, key, CKIT_NO_DEADLINE, out, life ? &life_ms : NULL, NULL) == CKIT_OK, "get");
    }
}

void run_get(void *context, unsigned thread, uint64_t operations) {
    ckit_buf out = CKIT_BUF_INIT;
    get_into(context, thread, operations, true, &out);
    ckit_buf_fini(&out);
}

void run_value(void *context, unsigned thread, uint64_t operations) {
    ckit_buf out = CKIT_BUF_INIT;
    get_into(context, thread, operations, false, &out);
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

static void start_flight(flight *f, uint64_t operations) {
    unsigned start = operations < IN_FLIGHT ? (unsigned)operations : IN_FLIGHT;
    f->flying = start;
    __atomic_store_n(&f->left, operations - start, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < start; i++) {
        submit_next(&f->all[i]);
    }
}

static void await_flight(flight *f) {
    pthread_mutex_lock(&f->lock);
    while (f->flying > 0) {
        pthread_cond_wait(&f->landed, &f->lock);
    }
    pthread_mutex_unlock(&f->lock);
}

void run_flight(void *context, unsigned thread, uint64_t operations) {
    flight *f = ((place *)context)->flight;
    (void)thread;
    start_flight(f, operations);
    await_flight(f);
}

void fill_flight(place *p) {
    for (int i = 0; i < 4; i++) { /* the two buffers of the connection take turns */
        require(kill(p->server->pid, SIGSTOP) == 0, "stopping the server");
        start_flight(p->flight, 2 * IN_FLIGHT);
        require(kill(p->server->pid, SIGCONT) == 0, "waking the server");
        await_flight(p->flight);
    }
}

static void get_many(place *p, uint64_t operations, bool life) {
    ckit_slice  keys[MANY];
    ckit_buf    out[MANY];
    uint64_t    life_ms[MANY];
    ckit_status answers[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        keys[i] = key_of(p, i * 7);
        ckit_buf_init(&out[i], NULL);
    }
    for (uint64_t i = 0; i < operations; i++) {
        for (unsigned k = 0; k < MANY; k++) {
            out[k].len = 0;
        }
        require(p->ops->get_many(p->self, keys, MANY, CKIT_NO_DEADLINE, out, life ? life_ms : NULL, answers, NULL) ==
                        CKIT_OK &&
                    answers[MANY - 1] == CKIT_OK,
                "get_many");
    }
    for (unsigned i = 0; i < MANY; i++) {
        ckit_buf_fini(&out[i]);
    }
}

static ckit_slice large_key(uint64_t i) {
    static const char names[LARGE_KEYS][16] = {"large:0", "large:1", "large:2", "large:3"};
    return ckit_slice_str(names[i % LARGE_KEYS]);
}

void run_large_get(void *context, unsigned thread, uint64_t operations) {
    place   *p = context;
    ckit_buf out = CKIT_BUF_INIT;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t life_ms;
        out.len = 0;
        ckit_slice key = large_key(p->turns[thread][0]++);
        require(p->ops->get(p->self, key, CKIT_NO_DEADLINE, &out, &life_ms, NULL) == CKIT_OK && out.len == LARGE_BYTES,
                "get");
    }
    ckit_buf_fini(&out);
}

void run_large_set(void *context, unsigned thread, uint64_t operations) {
    place          *p = context;
    ckit_entry_info info = {.ttl_ms = 3600000};
    for (uint64_t i = 0; i < operations; i++) {
        ckit_slice key = large_key(p->turns[thread][0]++);
        ckit_slice value = ckit_slice_of(p->large, LARGE_BYTES);
        require(p->ops->set(p->self, key, value, &info, CKIT_NO_DEADLINE, NULL) == CKIT_OK, "set");
    }
}

void run_many(void *context, unsigned thread, uint64_t operations) {
    (void)thread;
    get_many(context, operations, true);
}

void run_many_values(void *context, unsigned thread, uint64_t operations) {
    (void)thread;
    get_many(context, operations, false);
}

/* ---- hiredis ----------------------------------------------------------------------------------------------------- */

#ifdef BENCH_HIREDIS
void run_peer_get(void *context, unsigned thread, uint64_t operations) {
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

void run_peer_many(void *context, unsigned thread, uint64_t operations) {
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

void run_peer_large_get(void *context, unsigned thread, uint64_t operations) {
    place *p = context;
    for (uint64_t i = 0; i < operations; i++) {
        ckit_slice  key = large_key(p->turns[thread][0]++);
        const char *args[] = {"GET", (const char *)key.ptr};
        size_t      lens[] = {3, key.len};
        redisReply *reply = redisCommandArgv(p->peers[thread], 2, args, lens);
        require(reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == LARGE_BYTES, "hiredis GET");
        freeReplyObject(reply);
    }
}

void run_peer_large_set(void *context, unsigned thread, uint64_t operations) {
    place *p = context;
    for (uint64_t i = 0; i < operations; i++) {
        ckit_slice  key = large_key(p->turns[thread][0]++);
        const char *args[] = {"SET", (const char *)key.ptr, (const char *)p->large, "PX", "3600000"};
        size_t      lens[] = {3, key.len, LARGE_BYTES, 2, 7};
        redisReply *reply = redisCommandArgv(p->peers[thread], 5, args, lens);
        require(reply != NULL && reply->type == REDIS_REPLY_STATUS, "hiredis SET");
        freeReplyObject(reply);
    }
}
#endif

/* ---- the place --------------------------------------------------------------------------------------------------- */

void pin(pid_t pid, size_t core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)sched_setaffinity(pid, sizeof set, &set);
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

static void write_keys(place *p) {
    ckit_entry_info info = {.ttl_ms = 3600000};
    ckit_error      err = CKIT_ERROR_INIT;
    uint8_t         value[VALUE_BYTES];
    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(p->keys[i], sizeof p->keys[i], "func:report:args:%064u:1s", i);
        require(p->ops->set(p->self, key_of(p, i), ckit_slice_of(value, sizeof value), &info, CKIT_NO_DEADLINE, &err) ==
                    CKIT_OK,
                err.text);
    }
    run_large_set(p, 0, LARGE_KEYS);
}

place *place_make(redis_server *server, bool local, const ckit_alloc *alloc) {
    place             *p = bench_alloc(sizeof *p);
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    memset(p, 0, sizeof *p);
    p->server = server;
    p->large = bench_alloc(LARGE_BYTES);
    memset(p->large, 'v', LARGE_BYTES);
    options.url = local ? server->unix_url : server->url;
    options.socket_timeout_ms = 10000;
    env.alloc = alloc;
    require(ckit_redis_open(&options, &env, &p->backend, &err) == CKIT_OK, err.text);
    p->ops = ckit_backend_operations(p->backend);
    p->self = ckit_backend_self(p->backend);
    p->flight = flight_make(p);
    write_keys(p);
#ifdef BENCH_HIREDIS
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        p->peers[i] = local ? redisConnectUnix(server->socket) : redisConnect("127.0.0.1", server->port);
        require(p->peers[i] != NULL && p->peers[i]->err == 0, "hiredis connect");
    }
#endif
    return p;
}

void place_remove(place *p) {
#ifdef BENCH_HIREDIS
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        redisFree(p->peers[i]);
    }
#endif
    ckit_backend_close(p->backend);
    flight_remove(p->flight);
    free(p->large);
    free(p);
}
