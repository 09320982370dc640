/* The memory tier as a store: the contract of ext/backend.h over ckiti_l1. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/misuse.h"
#include "base/random.h"
#include "memory/l1.h"

#include <cachekit/buf.h>
#include <cachekit/memory.h>
#include <cachekit/value.h>
#include <pthread.h>

static const char where[] = "memory";

/* A lock of a key. Those that have ended are taken over, so there are never more than keys locked at one time. */
typedef struct held_lock {
    struct held_lock *next;
    uint64_t          ends_ms;
    ckit_lease        lease;
    size_t            key_len;
    uint8_t           key[];
} held_lock;

typedef struct memory_store {
    ckiti_l1         *l1;
    const ckit_alloc *alloc;
    const ckit_clock *clock;
    uint64_t          max_bytes;
    pthread_mutex_t mu; /* guards the locks and `fence`, and is held across set_if_owner's put; before the tier's own */
    held_lock      *locks;
    uint64_t        fence;
    ckiti_fork_hooks fork;
} memory_store;

void ckit_memory_options_init(ckit_memory_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

/* ---- entries --------------------------------------------------------------------------------------------------- */

static ckiti_l1_query query_of(const memory_store *store, ckit_slice key) {
    return (ckiti_l1_query){.key = key, .hash = ckiti_l1_hash(store->l1, key)};
}

static ckit_status check_key(ckit_slice key, ckit_error *err) {
    return key.len <= CKITI_L1_MAX_KEY_BYTES ? CKIT_OK
                                             : ckit_fail(err, CKIT_E_TOO_LARGE, where, "a key of %zu bytes, limit %u",
                                                         key.len, CKITI_L1_MAX_KEY_BYTES);
}

static ckit_status check_deadline(const memory_store *store, uint64_t deadline_ms, ckit_error *err) {
    return ckiti_time_left(ckiti_now_ms(store->clock), deadline_ms) > 0
               ? CKIT_OK
               : ckit_fail(err, CKIT_E_TIMEOUT, where, "the deadline had passed before the call");
}

/* What every operation on a key begins with. */
static ckit_status begin(const memory_store *store, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    ckit_status st = check_deadline(store, deadline_ms, err);
    return st == CKIT_OK ? check_key(key, err) : st;
}

static ckit_status memory_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                              ckit_error *err) {
    memory_store *store = self;
    ckit_status   st = begin(store, key, deadline_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckit_value     value = CKIT_VALUE_INIT;
    ckiti_l1_query query = query_of(store, key);
    if (ckiti_l1_get(store->l1, &query, ckiti_now_ms(store->clock), &value) != CKIT_OK) {
        return CKIT_MISS;
    }
    *life_ms = value.life_ms;
    st = ckit_buf_append(out, value.data);
    if (st != CKIT_OK) {
        ckit_fail(err, st, where, "no memory for a value of %zu bytes", value.data.len);
    }
    ckit_value_fini(&value);
    return st;
}

static ckit_status put(memory_store *store, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                       ckit_error *err) {
    ckiti_l1_put_args args = {.key = key,
                              .hash = ckiti_l1_hash(store->l1, key),
                              .value = value,
                              .life_ms = info->ttl_ms,
                              .birth = ckiti_l1_birth(store->l1)};
    ckit_status       st = ckiti_l1_put(store->l1, &args, ckiti_now_ms(store->clock));
    if (st == CKIT_MISS) {
        return CKIT_OK; /* everything was invalidated at this moment: the write came first */
    }
    return st == CKIT_OK ? st : ckit_fail(err, st, where, "a value of %zu bytes does not fit", value.len);
}

static ckit_status memory_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                              uint64_t deadline_ms, ckit_error *err) {
    ckit_status st = begin(self, key, deadline_ms, err);
    return st == CKIT_OK ? put(self, key, value, info, err) : st;
}

static ckit_status memory_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    memory_store *store = self;
    uint64_t      life_ms;
    ckit_status   st = begin(store, key, deadline_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_l1_query query = query_of(store, key);
    bool           live = ckiti_l1_peek(store->l1, &query, ckiti_now_ms(store->clock), &life_ms) == CKIT_OK;
    return ckiti_l1_remove(store->l1, key, query.hash) == CKIT_OK && live ? CKIT_OK : CKIT_MISS;
}

static ckit_status memory_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    memory_store *store = self;
    ckit_status   st = begin(store, key, deadline_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_l1_query query = query_of(store, key);
    return ckiti_l1_peek(store->l1, &query, ckiti_now_ms(store->clock), life_ms);
}

static ckit_status memory_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    uint64_t life_ms;
    return memory_ttl(self, key, deadline_ms, &life_ms, err);
}

static ckit_status memory_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    memory_store *store = self;
    ckit_status   st = begin(store, key, deadline_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckiti_l1_query query = query_of(store, key);
    return ckiti_l1_touch(store->l1, &query, ttl_ms, ckiti_now_ms(store->clock));
}

static void memory_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    memory_store  *store = self;
    ckiti_l1_stats stats;
    (void)deadline_ms;
    ckiti_l1_get_stats(store->l1, &stats);
    *out = (ckit_health){.healthy = true,
                         .backend_type = "memory",
                         .entries = stats.entries,
                         .bytes = stats.used_bytes,
                         .limit_bytes = store->max_bytes,
                         .detail = "in this process"};
}

/* ---- locks ------------------------------------------------------------------------------------------------------ */

/* With the lock held: the key's lock, ended ones included. */
static held_lock **find_lock(memory_store *store, ckit_slice key) {
    held_lock **link = &store->locks;
    while (*link != NULL && !ckit_slice_equal(ckit_slice_of((*link)->key, (*link)->key_len), key)) {
        link = &(*link)->next;
    }
    return link;
}

static void free_lock(memory_store *store, held_lock **link) {
    held_lock *gone = *link;
    *link = gone->next;
    ckiti_free(store->alloc, gone, sizeof *gone + gone->key_len);
}

static void free_ended_locks(memory_store *store, uint64_t now_ms) {
    for (held_lock **link = &store->locks; *link != NULL;) {
        if ((*link)->ends_ms <= now_ms) {
            free_lock(store, link);
        } else {
            link = &(*link)->next;
        }
    }
}

static ckit_status take_lock(memory_store *store, ckit_slice key, uint64_t ends_ms, ckit_lease *lease,
                             ckit_error *err) {
    held_lock *lock = ckiti_alloc(store->alloc, sizeof *lock + key.len);
    if (lock == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a lock");
    }
    ckiti_random_bytes(lease->token, sizeof lease->token);
    lease->fence = ++store->fence;
    *lock = (held_lock){.next = store->locks, .ends_ms = ends_ms, .lease = *lease, .key_len = key.len};
    memcpy(lock->key, key.ptr, key.len);
    store->locks = lock;
    return CKIT_OK;
}

static ckit_status check_lease(uint64_t lease_ms, ckit_error *err) {
    return lease_ms > 0 ? CKIT_OK : ckit_fail(err, CKIT_E_MISUSE, where, "a lock must live for 1 ms at least");
}

static ckit_status memory_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms,
                                   ckit_lease *lease, ckit_error *err) {
    memory_store *store = self;
    ckit_status   st = begin(store, key, deadline_ms, err);
    if (st != CKIT_OK || (st = check_lease(lease_ms, err)) != CKIT_OK) {
        return st;
    }
    uint64_t now = ckiti_now_ms(store->clock);
    pthread_mutex_lock(&store->mu);
    free_ended_locks(store, now);
    st =
        *find_lock(store, key) != NULL ? CKIT_MISS : take_lock(store, key, ckiti_time_after(now, lease_ms), lease, err);
    pthread_mutex_unlock(&store->mu);
    return st;
}

/* With the lock held: the key's lock when `lease` still holds it, else NULL. */
static held_lock **own_lock(memory_store *store, ckit_slice key, const ckit_lease *lease) {
    held_lock **link = find_lock(store, key);
    bool        ours = *link != NULL && (*link)->ends_ms > ckiti_now_ms(store->clock) &&
                memcmp((*link)->lease.token, lease->token, sizeof lease->token) == 0;
    return ours ? link : NULL;
}

static ckit_status memory_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                     uint64_t deadline_ms, ckit_error *err) {
    memory_store *store = self;
    ckit_status   st = begin(store, key, deadline_ms, err);
    if (st != CKIT_OK || (st = check_lease(lease_ms, err)) != CKIT_OK) {
        return st;
    }
    pthread_mutex_lock(&store->mu);
    held_lock **lock = own_lock(store, key, lease);
    if (lock != NULL) {
        (*lock)->ends_ms = ckiti_time_after(ckiti_now_ms(store->clock), lease_ms);
    }
    pthread_mutex_unlock(&store->mu);
    return lock != NULL ? CKIT_OK : CKIT_MISS;
}

static ckit_status memory_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                       ckit_error *err) {
    memory_store *store = self;
    (void)deadline_ms; /* giving back is always in time */
    ckit_status st = check_key(key, err);
    if (st != CKIT_OK) {
        return st;
    }
    pthread_mutex_lock(&store->mu);
    held_lock **lock = own_lock(store, key, lease);
    if (lock != NULL) {
        free_lock(store, lock);
    }
    pthread_mutex_unlock(&store->mu);
    return lock != NULL ? CKIT_OK : CKIT_MISS;
}

static ckit_status memory_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                       const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    memory_store *store = self;
    ckit_status   st = begin(store, key, deadline_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    pthread_mutex_lock(&store->mu);
    st = own_lock(store, key, lease) != NULL ? put(store, key, value, info, err) : CKIT_MISS;
    pthread_mutex_unlock(&store->mu);
    return st;
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

static void fork_prepare(void *self) {
    memory_store *store = self;
    pthread_mutex_lock(&store->mu);
    ckiti_l1_fork_prepare(store->l1);
}

static void fork_parent(void *self) {
    memory_store *store = self;
    ckiti_l1_fork_parent(store->l1);
    pthread_mutex_unlock(&store->mu);
}

static void fork_child(void *self) {
    memory_store *store = self;
    ckiti_l1_fork_child(store->l1);
    pthread_mutex_unlock(&store->mu);
}

static void memory_close(void *self) {
    memory_store *store = self;
    ckiti_fork_unregister(&store->fork);
    free_ended_locks(store, UINT64_MAX);
    ckiti_l1_close(store->l1);
    pthread_mutex_destroy(&store->mu);
    ckiti_free(store->alloc, store, sizeof *store);
}

static const ckit_backend_ops memory_ops = {
    .abi = CKIT_BACKEND_ABI,
    .name = "memory",
    .get = memory_get,
    .set = memory_set,
    .remove = memory_remove,
    .exists = memory_exists,
    .health = memory_health,
    .close = memory_close,
    .ttl = memory_ttl,
    .touch = memory_touch,
    .lock_try = memory_lock_try,
    .lock_renew = memory_lock_renew,
    .lock_release = memory_lock_release,
    .set_if_owner = memory_set_if_owner,
};

ckit_status ckit_memory_open(const ckit_memory_options *options, const ckit_backend_env *env, ckit_backend **out,
                             ckit_error *err) {
    const ckit_alloc *alloc = env == NULL ? NULL : env->alloc;
    uint64_t          max_bytes = options == NULL || options->max_bytes == 0 ? UINT64_C(100) << 20 : options->max_bytes;
    if (out == NULL) {
        return ckiti_there_is_no(err, where, "place for the backend");
    }
    *out = NULL;
    if (max_bytes < 64 << 10) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "max_bytes is %llu, at least 65536 are needed",
                         (unsigned long long)max_bytes);
    }
    memory_store *store = ckiti_alloc_zeroed(alloc, 1, sizeof *store);
    if (store == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a store");
    }
    store->alloc = alloc;
    store->clock = env == NULL ? NULL : env->clock;
    store->max_bytes = max_bytes;
    pthread_mutex_init(&store->mu, NULL);
    ckiti_l1_options l1_options = {.max_bytes = max_bytes, .alloc = alloc};
    ckit_status      st = ckiti_l1_open(&l1_options, &store->l1, err);
    if (st == CKIT_OK) {
        store->fork = (ckiti_fork_hooks){fork_prepare, fork_parent, fork_child, store, NULL, NULL};
        ckiti_fork_register(&store->fork);
        st = ckit_backend_new(&memory_ops, store, env, out, err);
    }
    if (st != CKIT_OK) {
        memory_close(store);
    }
    return st;
}
