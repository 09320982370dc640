/* Opening, closing, and the table of operations (at the end). */
#include "store.h"

#include "publish.h"
#include "tls.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/misuse.h"
#include "base/random.h"

#include <cachekit/buf.h>

static const ckit_backend_ops redis_ops;
static const ckit_backend_ops deaf_ops; /* without watch */

/* ---- what operations begin with ---------------------------------------------------------------------------------- */

ckit_status ckiti_redis_check_key(ckit_slice key, ckit_error *err) {
    if (key.len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, CKITI_REDIS_WHERE, "an empty key");
    }
    if (key.len > CKITI_REDIS_MAX_KEY_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, CKITI_REDIS_WHERE, "key of %zu bytes, limit %u", key.len,
                         CKITI_REDIS_MAX_KEY_BYTES);
    }
    return CKIT_OK;
}

ckit_status ckiti_redis_check_value(const ckiti_redis_store *store, ckit_slice value, ckit_error *err) {
    if (value.len > store->address.max_value_bytes) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, CKITI_REDIS_WHERE, "value of %zu bytes, limit %llu", value.len,
                         (unsigned long long)store->address.max_value_bytes);
    }
    return CKIT_OK;
}

ckit_status ckiti_redis_limit(const ckiti_redis_store *store, ckiti_redis_call *call, uint64_t deadline_ms,
                              ckit_error *err) {
    uint64_t now = ckiti_system_monotonic_ms();
    if (store->watch != NULL) {
        ckiti_redis_watch_wake(store->watch);
    } else if (store->lookout != NULL) {
        ckiti_redis_lookout_wake(store->lookout);
    }
    call->patient = deadline_ms == CKIT_NO_DEADLINE;
    if (call->patient) {
        call->until_ms = now + store->address.socket_timeout_ms;
        return CKIT_OK;
    }
    uint64_t left = ckiti_time_left(store->clock == NULL ? now : ckiti_now_ms(store->clock), deadline_ms);
    if (left == 0) {
        return ckit_fail(err, CKIT_E_TIMEOUT, CKITI_REDIS_WHERE, "the deadline has passed");
    }
    call->until_ms = ckiti_time_after(now, left);
    return CKIT_OK;
}

static const _Atomic uint32_t *memory_of(const ckiti_redis_store *store, ckit_slice key, uint32_t *mark) {
    uint64_t hash = ckiti_xxh3(key, store->seed);
    *mark = (uint32_t)(hash >> 32) | 1u;
    return &store->large[hash % CKITI_REDIS_REMEMBERED];
}

bool ckiti_redis_was_large(const ckiti_redis_store *store, ckit_slice key) {
    uint32_t mark;
    return atomic_load_explicit(memory_of(store, key, &mark), memory_order_relaxed) == mark;
}

void ckiti_redis_remember_size(ckiti_redis_store *store, ckit_slice key, uint64_t bytes) {
    uint32_t          mark;
    _Atomic uint32_t *place = (_Atomic uint32_t *)(uintptr_t)memory_of(store, key, &mark);
    bool              known = atomic_load_explicit(place, memory_order_relaxed) == mark;
    if (known != (bytes > CKITI_REDIS_LARGE_BYTES)) {
        atomic_store_explicit(place, known ? 0 : mark, memory_order_relaxed);
    }
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void before_fork(void *self) {
    ckiti_redis_store *store = self;
    ckiti_redis_ways_before_fork(store);
    pthread_mutex_lock(&store->spare.lock);
    if (store->watch != NULL) {
        ckiti_redis_watch_before_fork(store->watch);
    }
    ckiti_redis_tls_before_fork(store->tls);
}

static void in_parent(void *self) {
    ckiti_redis_store *store = self;
    ckiti_redis_tls_after_fork(store->tls);
    if (store->watch != NULL) {
        ckiti_redis_watch_after_fork(store->watch);
    }
    pthread_mutex_unlock(&store->spare.lock);
    ckiti_redis_ways_in_parent(store);
}

static void in_child(void *self) {
    ckiti_redis_store *store = self;
    ckiti_redis_tls_after_fork(store->tls);
    if (store->watch != NULL) {
        ckiti_redis_watch_in_child(store->watch);
    }
    pthread_mutex_unlock(&store->spare.lock);
    ckiti_redis_ways_in_child(store);
}

static void redis_close(void *self) {
    ckiti_redis_store *store = self;
    if (store == NULL) {
        return;
    }
    ckiti_fork_unregister(&store->fork_hooks);
    ckiti_redis_ways_close(store);
    ckiti_redis_handed_fini(&store->spare, store->alloc);
    ckiti_redis_tls_close(store->tls);
    ckiti_redis_address_fini(&store->address);
    ckiti_free(store->alloc, store, sizeof *store);
}

/* ---- changes made elsewhere -------------------------------------------------------------------------------------- */

static ckiti_redis_publishing begin_publishing(const ckiti_redis_address *a) {
    switch (a->invalidation) {
    case CKIT_REDIS_INVALIDATION_PUBSUB: return CKITI_REDIS_PUBLISHES;
    case CKIT_REDIS_INVALIDATION_AUTO:
        return a->kind == CKITI_REDIS_CLUSTER ? CKITI_REDIS_SILENT
               : a->protocol == 2             ? CKITI_REDIS_PUBLISHES
                                              : CKITI_REDIS_MAYBE;
    default: return CKITI_REDIS_SILENT;
    }
}

static ckit_status redis_watch(void *self, const ckit_watch_sink *sink, ckit_error *err) {
    ckiti_redis_store *store = self;
    (void)err;
    if (store->watch != NULL) {
        ckiti_redis_watch_begin(store->watch, sink);
    } else {
        ckiti_redis_lookout_begin(store->lookout, sink);
    }
    return CKIT_OK;
}

static void take_env(ckiti_redis_store *store, const ckit_backend_env *env) {
    if (env != NULL) {
        store->alloc = env->alloc;
        store->clock = env->clock;
        store->log = env->log == NULL ? store->log : *env->log;
    }
}

ckit_status ckiti_redis_open_with(const ckit_redis_options *options, const ckit_backend_env *env,
                                  const ckiti_redis_stream_ops *streams, bool others, ckit_backend **out,
                                  ckit_error *err) {
    const ckit_alloc  *alloc = env == NULL ? NULL : env->alloc;
    ckiti_redis_store *store = ckiti_alloc_zeroed(alloc, 1, sizeof *store);
    *out = NULL;
    if (store == NULL) {
        return ckiti_redis_no_memory(err, "a store");
    }
    take_env(store, env);
    store->alloc = alloc;
    store->seed = ckiti_random_u64();
    ckiti_redis_handed_init(&store->spare);
    ckit_status st = ckiti_redis_address_read(&store->address, options, others, err);
    if (st == CKIT_OK && store->address.tls) {
        st = ckiti_redis_tls_open(&store->address, streams, alloc, CKITI_OPENSSL_NAME, &store->tls, err);
        store->address.security = store->tls;
        streams = &ckiti_redis_tls_streams;
    }
    if (st == CKIT_OK) {
        atomic_init(&store->publishing, begin_publishing(&store->address));
        store->prefix = ckit_slice_str(store->address.key_prefix);
        st = ckiti_redis_ways_open(store, streams, err);
    }
    if (st == CKIT_OK) {
        bool watches = store->watch != NULL || store->lookout != NULL;
        st = ckit_backend_new(watches ? &redis_ops : &deaf_ops, store, env, out, err);
    }
    if (st != CKIT_OK) {
        redis_close(store);
        return st;
    }
    store->fork_hooks =
        (ckiti_fork_hooks){.prepare = before_fork, .parent = in_parent, .child = in_child, .self = store};
    ckiti_fork_register(&store->fork_hooks);
    return CKIT_OK;
}

ckit_status ckit_redis_open(const ckit_redis_options *options, const ckit_backend_env *env, ckit_backend **out,
                            ckit_error *err) {
    return out == NULL ? ckiti_there_is_no(err, CKITI_REDIS_WHERE, "place for the backend")
                       : ckiti_redis_open_with(options, env, &ckiti_redis_sockets, false, out, err);
}

static void redis_hurry(void *self) { ckiti_redis_ways_hurry(self); }

static ckit_slice redis_prefix(void *self) { return ((ckiti_redis_store *)self)->prefix; }

#define OPERATIONS                                                                                                     \
    .abi = CKIT_BACKEND_ABI, .name = "redis", .get = ckiti_redis_get, .set = ckiti_redis_set,                          \
    .remove = ckiti_redis_remove, .exists = ckiti_redis_exists, .health = ckiti_redis_health, .close = redis_close,    \
    .ttl = ckiti_redis_ttl, .touch = ckiti_redis_touch, .get_many = ckiti_redis_get_many,                              \
    .set_many = ckiti_redis_set_many, .submit = ckiti_redis_submit, .list = ckiti_redis_list,                          \
    .delete_scope = ckiti_redis_delete_scope, .lock_try = ckiti_redis_lock_try, .lock_renew = ckiti_redis_lock_renew,  \
    .lock_release = ckiti_redis_lock_release, .set_if_owner = ckiti_redis_set_if_owner, .key_prefix = redis_prefix,    \
    .stats = ckiti_redis_stats, .replace = ckiti_redis_replace, .lock_try_many = ckiti_redis_lock_try_many,            \
    .lock_renew_many = ckiti_redis_lock_renew_many, .lock_release_many = ckiti_redis_lock_release_many,                \
    .set_many_if_owner = ckiti_redis_set_many_if_owner, .hurry = redis_hurry

static const ckit_backend_ops redis_ops = {OPERATIONS, .watch = redis_watch};
static const ckit_backend_ops deaf_ops = {OPERATIONS};
