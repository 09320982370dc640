/* A worker of the fleet's rehearsal: threads that work, and one that listens: it compares what it reads with what its
 * process has been told. */
#include "soak_world.h"

#include <cachekit/document.h>
#include <cachekit/redis.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLS (SOAK_SLOTS - SOAK_ENTRIES)
#define BATCH 8u
#define CARE_MS                                                                                                        \
    1000u /* after a failed write nothing is written: each gives up a key that others may hold an old copy of */
#define WORD_MS 500u /* longest wait for a word of the server */

/* One cache in a process. */
typedef struct worker {
    soak_world      *w;
    unsigned         self;
    ckit_cache      *cache;
    ckit_function   *function;
    _Atomic uint64_t own[SOAK_SLOTS]; /* what this process has written or invalidated last */
} worker;

typedef struct hand { /* a thread */
    worker   *of;
    unsigned  index;
    uint64_t  careful_ms; /* until then it only reads */
    uint64_t  random;
    ckit_buf  value;
    pthread_t thread;
} hand;

static worker                 me;
static _Thread_local unsigned loads; /* how often this thread has computed */

/* ---- between store and cache: what is told ----------------------------------------------------------------------- */

static struct {
    ckit_backend          *inner;
    ckit_backend_ops       ops;
    const ckit_watch_sink *above;
    ckit_watch_sink        sink;
    _Atomic uint64_t       heard; /* the number of the last fence that was told */
    _Atomic bool           guarded;
} tap;

static void tap_changed(void *self, ckit_slice key) {
    char               text[48];
    unsigned           worker_number;
    unsigned long long number;
    (void)self;
    tap.above->changed(tap.above->self, key);
    snprintf(text, sizeof text, "%.*s", (int)(key.len < 40 ? key.len : 40), (const char *)key.ptr);
    if (sscanf(text, "~fence-%u-%llu", &worker_number, &number) == 2 && worker_number == (unsigned)getpid()) {
        soak_raise(&tap.heard, number);
    }
}

static void tap_call_changed(void *self, ckit_slice namespace_name, ckit_slice hash) {
    (void)self;
    tap.above->call_changed(tap.above->self, namespace_name, hash);
}

static void tap_scope_changed(void *self, const ckit_scope *scope) {
    (void)self;
    tap.above->scope_changed(tap.above->self, scope);
}

static void tap_lost(void *self) {
    (void)self;
    atomic_fetch_add(&me.w->lost, atomic_exchange(&tap.guarded, false));
    tap.above->lost(tap.above->self);
}

static void tap_guarded(void *self, unsigned what) {
    (void)self;
    atomic_fetch_add(&me.w->guarded, 1);
    atomic_store(&tap.guarded, true);
    tap.above->guarded(tap.above->self, what);
}

static ckit_status tap_watch(void *self, const ckit_watch_sink *sink, ckit_error *err) {
    tap.above = sink;
    tap.sink = (ckit_watch_sink){.changed = tap_changed,
                                 .call_changed = tap_call_changed,
                                 .scope_changed = tap_scope_changed,
                                 .lost = tap_lost,
                                 .guarded = tap_guarded};
    return ckit_backend_operations(tap.inner)->watch(self, &tap.sink, err);
}

static void tap_close(void *self) {
    (void)self;
    ckit_backend_close(tap.inner);
}

/* ---- what a thread is at ----------------------------------------------------------------------------------------- */

static soak_place *place_of(const hand *h) { return &h->of->w->places[h->of->self][h->index]; }

static void begin(hand *h, soak_op op, uint32_t slot_plus_1) {
    soak_place *place = place_of(h);
    atomic_store(&place->slot, slot_plus_1);
    atomic_store(&place->op, (int)op);
    atomic_store(&place->since_ms, soak_now_ms());
}

static void end(hand *h, bool ok) {
    soak_place *place = place_of(h);
    soak_row   *row = &h->of->w->rows[atomic_load(&place->op)];
    atomic_fetch_add(ok ? &row->done : &row->failed, 1);
    soak_raise(&row->slowest_ms, soak_now_ms() - atomic_load(&place->since_ms));
    atomic_store(&place->since_ms, 0);
    atomic_store(&place->slot, 0);
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* What must not be seen older, as it is before a read begins. */
typedef struct look {
    unsigned slot;
    uint32_t generation;
    uint64_t own;
    uint64_t told; /* 0: nothing that was told counts */
    char     key[32];
} look;

static look look_at(const worker *of, unsigned slot) {
    look l = {.slot = slot};
    l.generation = atomic_load(&of->w->slots[slot].generation);
    l.own = atomic_load(&of->own[slot]);
    snprintf(l.key, sizeof l.key, "soak-%u-%u", slot, (unsigned)l.generation);
    return l;
}

static void judge(hand *h, const look *l, ckit_slice value, const ckit_value *from) {
    soak_world *w = h->of->w;
    soak_slot  *slot = &w->slots[l->slot];
    uint64_t    version = soak_read_value(value, l->slot, l->generation);
    if (version == 0 || version > atomic_load(&slot->version)) {
        atomic_fetch_add(&w->wrong, 1);
        soak_remark(w, "worker %u: slot %u.%u holds another value: version %llu of %llu", h->of->self, l->slot,
                    (unsigned)l->generation, (unsigned long long)version, (unsigned long long)slot->version);
    } else if (atomic_load(&slot->generation) == l->generation) {
        atomic_fetch_add(&w->own_checks, l->own > 0);
        atomic_fetch_add(&w->told_checks, l->told > 0);
        if (version < l->own || version < l->told) {
            atomic_fetch_add(&w->stale, 1);
            soak_remark(w, "worker %u thread %u: %s %s has version %llu, own %llu, told %llu, source %d, at %llu ms",
                        h->of->self, h->index, soak_op_name((soak_op)atomic_load(&place_of(h)->op)), l->key,
                        (unsigned long long)version, (unsigned long long)l->own, (unsigned long long)l->told,
                        (int)from->source, (unsigned long long)soak_now_ms());
        }
    }
    atomic_fetch_add(&w->from_memory, from->source == CKIT_SOURCE_MEMORY);
}

static void get(hand *h, const look *l) {
    ckit_value value = CKIT_VALUE_INIT;
    begin(h, SOAK_GET, 0);
    ckit_status st = ckit_cache_get(h->of->cache, ckit_slice_str(l->key), NULL, &value, NULL);
    if (st == CKIT_OK) {
        judge(h, l, value.data, &value);
    }
    end(h, st == CKIT_OK || st == CKIT_MISS);
    ckit_value_fini(&value);
}

static void get_many(hand *h) {
    look        looks[BATCH];
    ckit_slice  keys[BATCH];
    ckit_value  values[BATCH];
    ckit_status answers[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        looks[i] = look_at(h->of, (unsigned)(soak_random(&h->random) % SOAK_ENTRIES));
        keys[i] = ckit_slice_str(looks[i].key);
        values[i] = (ckit_value)CKIT_VALUE_INIT;
    }
    begin(h, SOAK_GET_MANY, 0);
    ckit_status st = ckit_cache_get_many(h->of->cache, keys, BATCH, NULL, values, answers, NULL);
    for (unsigned i = 0; i < BATCH; i++) {
        if (answers[i] == CKIT_OK) {
            judge(h, &looks[i], values[i].data, &values[i]);
        }
        ckit_value_fini(&values[i]);
    }
    end(h, st == CKIT_OK);
}

/* ---- changing entries -------------------------------------------------------------------------------------------- */

static size_t some_bytes(hand *h) {
    uint64_t any = soak_random(&h->random);
    return any % 64 == 0 ? 100000 + any % 200000 : any % 8 == 0 ? any % 20000 : any % 300;
}

/* False when somebody else writes there. */
static bool take(hand *h, unsigned slot) {
    pthread_mutex_t *lock = &h->of->w->slots[slot].writing;
    int              code = pthread_mutex_trylock(lock);
    if (code == EOWNERDEAD) { /* nobody knows what his write will do yet */
        pthread_mutex_consistent(lock);
        soak_give_up(h->of->w, slot);
        code = 0;
    }
    return code == 0;
}

static void change(hand *h, soak_op op) {
    worker    *of = h->of;
    unsigned   slot = (unsigned)(soak_random(&h->random) % SOAK_ENTRIES);
    soak_slot *truth = &of->w->slots[slot];
    if (!take(h, slot)) {
        return;
    }
    look               l = look_at(of, slot);
    uint64_t           version = atomic_fetch_add(&truth->version, 1) + 1;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_status        st;
    options.ttl_ms = soak_random(&h->random) % 4 == 0 ? 1500 : 0;
    begin(h, op, slot + 1);
    if (op == SOAK_SET) {
        soak_write_value(&h->value, slot, l.generation, version, some_bytes(h));
        st = ckit_cache_set(of->cache, ckit_slice_str(l.key), ckit_buf_slice(&h->value), &options, NULL);
    } else {
        st = ckit_cache_delete(of->cache, ckit_slice_str(l.key), NULL, NULL);
    }
    bool ok = st == CKIT_OK || st == CKIT_MISS;
    if (ok) {
        soak_raise(&of->own[slot], version);
        soak_raise(&truth->floor, version);
    } else {
        soak_give_up(of->w, slot);
        h->careful_ms = soak_now_ms() + CARE_MS;
    }
    end(h, ok);
    pthread_mutex_unlock(&truth->writing);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static ckit_status load(void *context, ckit_load *load, ckit_error *err) {
    worker     *of = context;
    ckit_reader args;
    ckit_buf    value;
    (void)err;
    loads++;
    ckit_args_positional(load->args, &args);
    unsigned slot = (unsigned)ckit_read_int(&args);
    uint32_t generation = (uint32_t)ckit_read_int(&args);
    uint64_t version = atomic_load(&of->w->slots[slot].version);
    ckit_buf_init(&value, NULL);
    soak_write_value(&value, slot, generation, version, version % 16 == 0 ? 5000 : version % 100);
    soak_nap(version % 3 * 500);
    ckit_write_bin(load->result, ckit_buf_slice(&value));
    ckit_buf_fini(&value);
    return CKIT_OK;
}

static uint64_t store_errors(const worker *of) {
    ckit_cache_stats stats = CKIT_CACHE_STATS_INIT;
    ckit_cache_get_stats(of->cache, &stats);
    return stats.l2_errors;
}

static void arguments_of(ckit_args *args, const look *l) {
    ckit_args_init(args);
    ckit_args_int(args, l->slot);
    ckit_args_int(args, l->generation);
}

static void call(hand *h, look l, soak_op op) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_slice bytes;
    begin(h, op, l.slot + 1);
    /* From here on the slot is seen as being computed: the generation must be of later. */
    if (l.told == 0) {
        l = look_at(h->of, l.slot);
    }
    uint64_t errors = store_errors(h->of);
    unsigned before = loads;
    arguments_of(&args, &l);
    ckit_status st = op == SOAK_CALL ? ckit_call(h->of->function, &args, &value, NULL)
                                     : ckit_refresh(h->of->function, &args, &value, NULL);
    if (loads != before && store_errors(h->of) != errors) { /* its write may have been one of those that failed */
        soak_give_up(h->of->w, l.slot);
        h->careful_ms = soak_now_ms() + CARE_MS;
    }
    if (st == CKIT_OK && ckit_document_bin(value.data, &bytes, NULL) == CKIT_OK) {
        judge(h, &l, bytes, &value);
    } else {
        atomic_fetch_add(&h->of->w->wrong, 1);
        soak_remark(h->of->w, "worker %u: a call of %s gave %s", h->of->self, l.key, ckit_status_code(st));
    }
    end(h, st == CKIT_OK);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

/* What memory has of a call, if anything. */
static void peek(hand *h) {
    look       l = look_at(h->of, SOAK_ENTRIES + (unsigned)(soak_random(&h->random) % CALLS));
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_slice bytes;
    begin(h, SOAK_CALL, 0);
    arguments_of(&args, &l);
    if (ckit_peek(h->of->function, &args, &value) == CKIT_OK &&
        ckit_document_bin(value.data, &bytes, NULL) == CKIT_OK) {
        judge(h, &l, bytes, &value);
    }
    end(h, true);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

/* Somebody has begun to compute before the version changed, so he may write an older one after it is invalidated. */
static bool is_computed(const hand *h, unsigned slot) {
    for (unsigned i = 0; i < SOAK_WORKERS; i++) {
        for (unsigned j = 0; j < SOAK_THREADS; j++) {
            const soak_place *place = &h->of->w->places[i][j];
            if (place != place_of(h) && atomic_load(&place->slot) == slot + 1) {
                return true;
            }
        }
    }
    return false;
}

static void invalidate(hand *h) {
    worker   *of = h->of;
    unsigned  slot = SOAK_ENTRIES + (unsigned)(soak_random(&h->random) % CALLS);
    ckit_args args;
    look      l = look_at(of, slot);
    uint64_t  version = atomic_fetch_add(&of->w->slots[slot].version, 1) + 1;
    bool      computed = is_computed(h, slot);
    begin(h, SOAK_INVALIDATE, 0);
    arguments_of(&args, &l);
    ckit_status st = ckit_invalidate(of->function, &args, NULL);
    bool        ok = st == CKIT_OK || st == CKIT_MISS;
    if (ok && !computed && atomic_load(&of->w->slots[slot].generation) == l.generation) {
        soak_raise(&of->own[slot], version);
        soak_raise(&of->w->slots[slot].floor, version);
    }
    end(h, ok);
    ckit_args_fini(&args);
}

static void invalidate_all(hand *h) {
    worker  *of = h->of;
    uint64_t versions[CALLS];
    bool     computed[CALLS];
    for (unsigned i = 0; i < CALLS; i++) {
        versions[i] = atomic_fetch_add(&of->w->slots[SOAK_ENTRIES + i].version, 1) + 1;
        computed[i] = is_computed(h, SOAK_ENTRIES + i);
    }
    begin(h, SOAK_SCOPE, 0);
    ckit_status st = ckit_function_invalidate(of->function, NULL, NULL);
    for (unsigned i = 0; st == CKIT_OK && i < CALLS; i++) {
        if (!computed[i]) {
            soak_raise(&of->own[SOAK_ENTRIES + i], versions[i]);
            soak_raise(&of->w->slots[SOAK_ENTRIES + i].floor, versions[i]);
        }
    }
    end(h, st == CKIT_OK);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static void lock(hand *h) {
    ckit_backend           *backend = ckit_cache_backend(h->of->cache);
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    unsigned                which = (unsigned)(soak_random(&h->random) % SOAK_LOCKS);
    char                    name[16];
    ckit_lease              lease = {.fence = 0};
    snprintf(name, sizeof name, "locked-%u", which);
    ckit_slice key = ckit_slice_str(name);
    begin(h, SOAK_LOCK, 0);
    uint64_t    before = atomic_load(&h->of->w->lock_fence[which]);
    ckit_status st = ops->lock_try(ckit_backend_self(backend), key, 400, CKIT_NO_DEADLINE, &lease, NULL);
    if (st == CKIT_OK) {
        if (lease.fence <= before) {
            atomic_fetch_add(&h->of->w->fences_back, 1);
            soak_remark(h->of->w, "worker %u: lock %u has fence %llu behind %llu", h->of->self, which,
                        (unsigned long long)lease.fence, (unsigned long long)before);
        }
        soak_raise(&h->of->w->lock_fence[which], lease.fence);
        soak_nap(soak_random(&h->random) % 2000);
        ckit_status given = ops->lock_release(ckit_backend_self(backend), key, &lease, CKIT_NO_DEADLINE, NULL);
        st = given == CKIT_OK || given == CKIT_MISS ? CKIT_OK : given;
    }
    end(h, st == CKIT_OK || st == CKIT_MISS);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *work(void *arg) {
    hand *h = arg;
    while (!atomic_load(&h->of->w->ends)) {
        uint64_t any = soak_random(&h->random) % 1000;
        bool     careful = soak_now_ms() < h->careful_ms;
        if (careful && any >= 450 && any < 960) {
            peek(h);
        } else if (any < 400) {
            look l = look_at(h->of, (unsigned)(soak_random(&h->random) % SOAK_ENTRIES));
            get(h, &l);
        } else if (any < 450) {
            get_many(h);
        } else if (any < 540) {
            change(h, SOAK_SET);
        } else if (any < 570) {
            change(h, SOAK_DELETE);
        } else if (any < 900) {
            call(h, (look){.slot = SOAK_ENTRIES + (unsigned)(soak_random(&h->random) % CALLS)}, SOAK_CALL);
        } else if (any < 910) {
            call(h, (look){.slot = SOAK_ENTRIES + (unsigned)(soak_random(&h->random) % CALLS)}, SOAK_REFRESH);
        } else if (any < 960) {
            invalidate(h);
        } else if (any < 962) {
            invalidate_all(h);
        } else {
            lock(h);
        }
        if (any % 4 == 0) {
            soak_nap(300);
        }
    }
    return NULL;
}

/* The key of a look at the server. */
static void name_of(const hand *h, const look *l, char out[160]) {
    ckit_args args;
    ckit_buf  key = CKIT_BUF_INIT;
    if (l->slot < SOAK_ENTRIES) {
        snprintf(out, 160, "%s", l->key);
        return;
    }
    arguments_of(&args, l);
    if (ckit_function_key(h->of->function, &args, &key, NULL) == CKIT_OK) {
        snprintf(out, 160, "%.*s", (int)key.len, (const char *)key.ptr);
    }
    ckit_buf_fini(&key);
    ckit_args_fini(&args);
}

/* Has something written behind all that has been acknowledged so far, and waits for the word of it. The server tells in
 * order, so then everything before has been told, or the watch is a new one. What happens in one turn of its loop it tells
 * in the order of the names, and a write of the same turn may have been acknowledged (behind an earlier answer that was
 * still on its way): no other name is behind this one. In a cluster by the node that has the key. */
static bool hear(hand *h, const look *l) {
    static uint64_t    number;
    char               key[224], at[160] = "";
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.ttl_ms = 5000;
    number++;
    if (h->of->w->cluster) {
        name_of(h, l, at);
    }
    snprintf(key, sizeof key, "~fence-%d-%llu{%s}", (int)getpid(), (unsigned long long)number, at);
    begin(h, SOAK_FENCE, 0);
    bool     heard = ckit_cache_set(h->of->cache, ckit_slice_str(key), ckit_slice_str("x"), &options, NULL) == CKIT_OK;
    uint64_t until = soak_now_ms() + WORD_MS;
    while (heard && atomic_load(&tap.heard) < number && soak_now_ms() < until) {
        soak_nap(100);
    }
    heard = heard && atomic_load(&tap.heard) >= number;
    end(h, heard);
    return heard;
}

static void *listen_and_look(void *arg) {
    hand    *h = arg;
    unsigned count = h->of->w->cluster ? 1 : 2 * BATCH;
    while (!atomic_load(&h->of->w->ends)) {
        look looks[2 * BATCH];
        for (unsigned i = 0; i < count; i++) {
            unsigned slot = (unsigned)(soak_random(&h->random) % SOAK_SLOTS);
            looks[i] = look_at(h->of, slot); /* the generation first */
            looks[i].told = atomic_load(&h->of->w->slots[slot].floor);
        }
        if (hear(h, &looks[0])) {
            for (unsigned i = 0; i < count; i++) {
                if (looks[i].slot < SOAK_ENTRIES) {
                    get(h, &looks[i]);
                } else if (looks[i].told > 0) {
                    call(h, looks[i], SOAK_CALL);
                }
            }
        }
        soak_nap(1000);
    }
    return NULL;
}

/* ---- its life ---------------------------------------------------------------------------------------------------- */

static void open_cache(worker *of, const char *url) {
    static ckit_log       quiet = {.level = CKIT_LOG_ERROR};
    ckit_redis_options    redis = CKIT_REDIS_OPTIONS_INIT;
    ckit_cache_options    options = CKIT_CACHE_OPTIONS_INIT;
    ckit_function_options function = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_backend_env      env = CKIT_BACKEND_ENV_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    ckit_backend         *backend = NULL;
    env.log = options.log = &quiet;
    redis.url = url;
    redis.backoff_max_ms = 200;
    options.store_timeout_ms = 1000;
    options.lock_wait_ms = 500;
    options.flight_wait_ms = 2000;
    function.namespace_name = "soak";
    ckit_status st = ckit_redis_open(&redis, &env, &tap.inner, &err);
    if (st == CKIT_OK) {
        tap.ops = *ckit_backend_operations(tap.inner);
        tap.ops.watch = tap_watch;
        tap.ops.close = tap_close;
        st = ckit_backend_new(&tap.ops, ckit_backend_self(tap.inner), &env, &backend, &err);
    }
    st = st == CKIT_OK ? ckit_cache_new(&options, backend, &of->cache, &err) : st;
    st = st == CKIT_OK ? ckit_function_new(of->cache, "test.soak", load, of, &function, &of->function, &err) : st;
    if (st != CKIT_OK) {
        fprintf(stderr, "worker %u: %s: %s\n", of->self, err.where, err.text);
        _exit(1);
    }
}

_Noreturn void soak_work(soak_world *w, unsigned self, const char *url, uint64_t seed) {
    static hand hands[SOAK_THREADS];
    hand        life = {.of = &me, .index = 0}; /* while no other thread is there */
    me.w = w;
    me.self = self;
    begin(&life, SOAK_OPEN, 0);
    open_cache(&me, url);
    end(&life, true);
    for (unsigned i = 0; i < SOAK_THREADS; i++) {
        hands[i] = (hand){.of = &me, .index = i, .random = (seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15)};
        ckit_buf_init(&hands[i].value, NULL);
        if (pthread_create(&hands[i].thread, NULL, i + 1 < SOAK_THREADS ? work : listen_and_look, &hands[i]) != 0) {
            _exit(1);
        }
    }
    for (unsigned i = 0; i < SOAK_THREADS; i++) {
        pthread_join(hands[i].thread, NULL);
        ckit_buf_fini(&hands[i].value);
    }
    begin(&life, SOAK_CLOSE, 0);
    ckit_function_close(me.function);
    ckit_cache_close(me.cache);
    end(&life, true);
    exit(0);
}
