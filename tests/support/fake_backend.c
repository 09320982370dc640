#include "support/fake_backend.h"

#include "support/test.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHAINS 1024u
#define LOG_BYTES 8192u
#define PATIENCE_S 30

typedef struct entry {
    struct entry *next;
    ckit_buf      key;
    ckit_buf      value;
    uint64_t      end_ms; /* UINT64_MAX: never */
    char          namespace_name[64];
    char          function[256];
} entry;

typedef struct lock {
    struct lock *next;
    ckit_buf     key;
    uint64_t     fence;
    uint64_t     end_ms;
    bool         held;
} lock;

typedef struct gate {
    bool      shut;
    fake_when when;
    unsigned  waiting;
    unsigned  tickets;
} gate;

typedef struct waiting_request {
    struct waiting_request *next;
    ckit_request           *request;
} waiting_request;

/* mu guards everything; nothing of the library is called with it held, but buffers. */
struct fake_store {
    pthread_mutex_t   mu;
    pthread_cond_t    changed;
    const fake_clock *time;
    entry            *chains[CHAINS];
    size_t            count;
    lock             *locks;
    uint64_t          fences;
    bool              hide_lives;
    bool              hide_lives_of_values;
    bool              dawdles;
    uint64_t          calls[FAKE_OP_COUNT];
    uint64_t          deadlines[FAKE_OP_COUNT];
    gate              gates[FAKE_OP_COUNT];
    struct {
        ckit_status status;
        uint64_t    times;
        int         sys_errno;
    } failures[FAKE_OP_COUNT];
    char             log[LOG_BYTES];
    size_t           log_len;
    uint64_t         last_ttl_ms;
    char             last_namespace[64];
    char             last_function[256];
    unsigned         connections;
    waiting_request *requests;
    pthread_t        answerer;
    bool             answering;
    bool             closing;
    fake_store      *next; /* of all stores, for fork */
};

static void init_changed(fake_store *store) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&store->changed, &attr);
    pthread_condattr_destroy(&attr);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static fake_store     *all_stores;
static pthread_once_t  once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pthread_mutex_lock(&all_lock);
    for (fake_store *store = all_stores; store != NULL; store = store->next)
        pthread_mutex_lock(&store->mu);
}

static void after_fork_in_parent(void) {
    for (fake_store *store = all_stores; store != NULL; store = store->next)
        pthread_mutex_unlock(&store->mu);
    pthread_mutex_unlock(&all_lock);
}

static void after_fork_in_child(void) {
    for (fake_store *store = all_stores; store != NULL; store = store->next) {
        init_changed(store);
        memset(store->gates, 0, sizeof store->gates);
        store->answering = false;
        pthread_mutex_unlock(&store->mu);
    }
    pthread_mutex_unlock(&all_lock);
}

static void install(void) { pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

fake_store *fake_store_open(const fake_clock *time) {
    fake_store *store = calloc(1, sizeof *store);
    CHECK(store != NULL);
    store->time = time;
    pthread_mutex_init(&store->mu, NULL);
    init_changed(store);
    pthread_once(&once, install);
    pthread_mutex_lock(&all_lock);
    store->next = all_stores;
    all_stores = store;
    pthread_mutex_unlock(&all_lock);
    return store;
}

static void free_entry(entry *e) {
    ckit_buf_fini(&e->key);
    ckit_buf_fini(&e->value);
    free(e);
}

void fake_store_close(fake_store *store) {
    CHECK_EQ_U(0, store->connections);
    pthread_mutex_lock(&all_lock);
    fake_store **link = &all_stores;
    while (*link != store)
        link = &(*link)->next;
    *link = store->next;
    pthread_mutex_unlock(&all_lock);

    pthread_mutex_lock(&store->mu);
    store->closing = true;
    pthread_cond_broadcast(&store->changed);
    bool answering = store->answering;
    pthread_mutex_unlock(&store->mu);
    if (answering) pthread_join(store->answerer, NULL);
    for (unsigned i = 0; i < CHAINS; i++) {
        for (entry *e = store->chains[i], *next; e != NULL; e = next) {
            next = e->next;
            free_entry(e);
        }
    }
    for (lock *l = store->locks, *next; l != NULL; l = next) {
        next = l->next;
        ckit_buf_fini(&l->key);
        free(l);
    }
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->mu);
    free(store);
}

/* ---- entries, with the lock held ------------------------------------------------------------------------------ */

static uint64_t now_of(const fake_store *store) { return store->time == NULL ? 0 : fake_clock_now(store->time); }

static uint64_t end_of(const fake_store *store, uint64_t life_ms) {
    return life_ms > CKIT_TTL_MAX_MS ? UINT64_MAX : now_of(store) + life_ms;
}

static entry **chain_of(fake_store *store, ckit_slice key) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ key.ptr[i]) * 1099511628211u;
    return &store->chains[hash % CHAINS];
}

static entry **link_of(fake_store *store, ckit_slice key) {
    entry **link = chain_of(store, key);
    while (*link != NULL && !ckit_slice_equal(ckit_buf_slice(&(*link)->key), key))
        link = &(*link)->next;
    return link;
}

static void unlink_entry(fake_store *store, entry **link) {
    entry *e = *link;
    *link = e->next;
    free_entry(e);
    store->count--;
}

/* The live entry, or NULL. */
static entry *find(fake_store *store, ckit_slice key) {
    entry **link = link_of(store, key);
    if (*link == NULL || now_of(store) < (*link)->end_ms) return *link;
    unlink_entry(store, link);
    return NULL;
}

static void copy_name(char *out, size_t room, ckit_slice name) {
    size_t len = name.len < room - 1 ? name.len : room - 1;
    if (len > 0) memcpy(out, name.ptr, len);
    out[len] = 0;
}

static void put(fake_store *store, ckit_slice key, ckit_slice value, uint64_t life_ms, ckit_slice namespace_name,
                ckit_slice function) {
    entry **link = link_of(store, key);
    if (*link == NULL) {
        *link = calloc(1, sizeof **link);
        CHECK(*link != NULL);
        (void)ckit_buf_append(&(*link)->key, key);
        store->count++;
    }
    entry *e = *link;
    e->value.len = 0;
    (void)ckit_buf_append(&e->value, value);
    e->end_ms = end_of(store, life_ms);
    copy_name(e->namespace_name, sizeof e->namespace_name, namespace_name);
    copy_name(e->function, sizeof e->function, function);
}

static uint64_t life_of(const fake_store *store, const entry *e) {
    if (store->hide_lives) return CKIT_LIFE_UNKNOWN;
    return e->end_ms == UINT64_MAX ? CKIT_LIFE_NO_EXPIRY : e->end_ms - now_of(store);
}

static bool is_in_scope(const entry *e, const ckit_scope *scope) {
    bool same_namespace = ckit_slice_equal(ckit_slice_str(e->namespace_name), scope->namespace_name);
    switch (scope->kind) {
    case CKIT_SCOPE_NAMESPACE: return same_namespace;
    case CKIT_SCOPE_FUNCTION: return same_namespace && ckit_slice_equal(ckit_slice_str(e->function), scope->function);
    default: return true;
    }
}

/* ---- a call from its beginning to its end ----------------------------------------------------------------------- */

static const char *const names[FAKE_OP_COUNT] = {"get",
                                                 "set",
                                                 "remove",
                                                 "exists",
                                                 "health",
                                                 "ttl",
                                                 "touch",
                                                 "get_many",
                                                 "submit",
                                                 "list",
                                                 "delete_scope",
                                                 "lock_try",
                                                 "lock_renew",
                                                 "lock_release",
                                                 "set_if_owner",
                                                 "set_many",
                                                 "lock_try_many",
                                                 "lock_renew_many",
                                                 "lock_release_many",
                                                 "set_many_if_owner",
                                                 "hurry"};

static void dawdle(fake_store *store) {
    if (!store->dawdles) return;
    struct timespec moment = {0, (long)(store->calls[FAKE_GET] * 7919 % 4) * 5000};
    pthread_mutex_unlock(&store->mu);
    if (moment.tv_nsec == 0) {
        sched_yield();
    } else {
        nanosleep(&moment, NULL);
    }
    pthread_mutex_lock(&store->mu);
}

static void stand_at_gate(fake_store *store, fake_op op, fake_when when) {
    gate *g = &store->gates[op];
    if (!g->shut || g->when != when) return;
    g->waiting++;
    pthread_cond_broadcast(&store->changed);
    while (g->shut && g->tickets == 0)
        pthread_cond_wait(&store->changed, &store->mu);
    if (g->shut) g->tickets--;
    g->waiting--;
}

/* Takes the lock. False when the call is to fail with *st. */
static bool begin(fake_store *store, fake_op op, uint64_t deadline_ms, ckit_status *st) {
    pthread_mutex_lock(&store->mu);
    store->calls[op]++;
    store->deadlines[op] = deadline_ms;
    pthread_cond_broadcast(&store->changed);
    stand_at_gate(store, op, FAKE_BEFORE);
    dawdle(store);
    if (store->failures[op].times == 0) return true;
    if (store->failures[op].times != UINT64_MAX) store->failures[op].times--;
    *st = store->failures[op].status;
    return false;
}

static void write_log(fake_store *store, fake_op op, ckit_status st) {
    int len = snprintf(store->log + store->log_len, LOG_BYTES - store->log_len, "%s%s %s",
                       store->log_len > 0 ? ", " : "", names[op], ckit_status_name(st));
    if (len > 0 && store->log_len + (size_t)len < LOG_BYTES) store->log_len += (size_t)len;
}

/* Gives the lock back. */
static ckit_status end(fake_store *store, fake_op op, ckit_status st, ckit_error *err) {
    stand_at_gate(store, op, FAKE_AFTER);
    dawdle(store);
    write_log(store, op == FAKE_SUBMIT ? FAKE_GET : op, st);
    int sys_errno = store->failures[op].sys_errno;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mu);
    if (st < CKIT_E_FIRST) return st;
    ckit_fail(err, st, "fake", "%s was told to fail", names[op]);
    if (err != NULL) err->sys_errno = sys_errno;
    return st;
}

/* ---- the operations ---------------------------------------------------------------------------------------------- */

static ckit_status read_entry(fake_store *store, ckit_slice key, ckit_buf *out, uint64_t *life_ms) {
    entry *e = find(store, key);
    if (e == NULL) return CKIT_MISS;
    *life_ms = store->hide_lives_of_values ? CKIT_LIFE_UNKNOWN : life_of(store, e);
    return ckit_buf_append(out, ckit_buf_slice(&e->value));
}

static ckit_status fake_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                            ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_GET, deadline_ms, &st)) st = read_entry(store, key, out, life_ms);
    return end(store, FAKE_GET, st, err);
}

static void write_entry(fake_store *store, ckit_slice key, ckit_slice value, const ckit_entry_info *info) {
    put(store, key, value, info->ttl_ms, info->namespace_name, info->function);
    store->last_ttl_ms = info->ttl_ms;
    copy_name(store->last_namespace, sizeof store->last_namespace, info->namespace_name);
    copy_name(store->last_function, sizeof store->last_function, info->function);
}

static ckit_status fake_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                            uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_SET, deadline_ms, &st)) write_entry(store, key, value, info);
    return end(store, FAKE_SET, st, err);
}

static ckit_status fake_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_REMOVE, deadline_ms, &st)) {
        st = find(store, key) == NULL ? CKIT_MISS : CKIT_OK;
        if (st == CKIT_OK) unlink_entry(store, link_of(store, key));
    }
    return end(store, FAKE_REMOVE, st, err);
}

static ckit_status fake_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_EXISTS, deadline_ms, &st)) st = find(store, key) == NULL ? CKIT_MISS : CKIT_OK;
    return end(store, FAKE_EXISTS, st, err);
}

static void fake_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    fake_store *store = self;
    ckit_status st;
    *out = (ckit_health){.healthy = true, .backend_type = "fake", .bytes = UINT64_MAX, .limit_bytes = UINT64_MAX};
    if (!begin(store, FAKE_HEALTH, deadline_ms, &st)) {
        out->healthy = false;
        (void)snprintf(out->detail, sizeof out->detail, "%s", ckit_status_text(st));
    }
    out->entries = store->count;
    (void)end(store, FAKE_HEALTH, CKIT_OK, NULL);
}

static void fake_close(void *self) {
    fake_store *store = self;
    pthread_mutex_lock(&store->mu);
    store->connections--;
    pthread_mutex_unlock(&store->mu);
}

static ckit_status fake_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_TTL, deadline_ms, &st)) {
        entry *e = find(store, key);
        st = e == NULL ? CKIT_MISS : CKIT_OK;
        if (e != NULL) *life_ms = life_of(store, e);
    }
    return end(store, FAKE_TTL, st, err);
}

static ckit_status fake_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_TOUCH, deadline_ms, &st)) {
        entry *e = find(store, key);
        st = e == NULL ? CKIT_MISS : CKIT_OK;
        if (e != NULL) e->end_ms = end_of(store, ttl_ms);
    }
    return end(store, FAKE_TOUCH, st, err);
}

/* The next key of a call of many fails as a call of its own would. */
static bool fails_alone(fake_store *store, fake_op op, ckit_status *st) {
    if (store->failures[op].times == 0) return false;
    store->failures[op].times--;
    *st = store->failures[op].status;
    return true;
}

static ckit_status fake_get_many(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms, ckit_buf *out,
                                 uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_GET_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fails_alone(store, FAKE_GET, &answers[i])) {
                answers[i] = read_entry(store, keys[i], &out[i], &life_ms[i]);
            }
        }
    }
    return end(store, FAKE_GET_MANY, st, err);
}

static ckit_status fake_set_many(void *self, const ckit_slice *keys, const ckit_slice *values,
                                 const ckit_entry_info *infos, size_t count, uint64_t deadline_ms, ckit_status *answers,
                                 ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_SET_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            bool fails = fails_alone(store, FAKE_SET, &answers[i]);
            answers[i] = fails ? answers[i] : CKIT_OK;
            if (!fails) write_entry(store, keys[i], values[i], &infos[i]);
        }
    }
    return end(store, FAKE_SET_MANY, st, err);
}

static ckit_status fake_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each,
                             void *context, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_LIST, deadline_ms, &st)) {
        for (unsigned i = 0; i < CHAINS; i++) {
            for (entry *e = store->chains[i]; e != NULL && st == CKIT_OK; e = e->next) {
                ckit_listed listed = {.key = ckit_buf_slice(&e->key),
                                      .name = ckit_buf_slice(&e->key),
                                      .namespace_name = ckit_slice_str(e->namespace_name),
                                      .function = ckit_slice_str(e->function),
                                      .size = e->value.len,
                                      .life_ms = life_of(store, e)};
                if (is_in_scope(e, scope)) st = each(context, &listed);
            }
        }
    }
    return end(store, FAKE_LIST, st, err);
}

static ckit_status fake_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                     ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    *out = (ckit_deleted){0, 0};
    if (begin(store, FAKE_DELETE_SCOPE, deadline_ms, &st)) {
        for (unsigned i = 0; i < CHAINS; i++) {
            for (entry **link = &store->chains[i]; *link != NULL;) {
                if (is_in_scope(*link, scope)) {
                    unlink_entry(store, link);
                    out->deleted++;
                } else {
                    link = &(*link)->next;
                }
            }
        }
    }
    return end(store, FAKE_DELETE_SCOPE, st, err);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static lock *lock_of(fake_store *store, ckit_slice key) {
    lock *l = store->locks;
    while (l != NULL && !ckit_slice_equal(ckit_buf_slice(&l->key), key))
        l = l->next;
    if (l == NULL) {
        l = calloc(1, sizeof *l);
        CHECK(l != NULL);
        (void)ckit_buf_append(&l->key, key);
        l->next = store->locks;
        store->locks = l;
    }
    if (l->held && now_of(store) >= l->end_ms) l->held = false;
    return l;
}

static bool take(fake_store *store, ckit_slice key, uint64_t lease_ms, ckit_lease *lease) {
    lock *l = lock_of(store, key);
    if (l->held) return false;
    l->held = true;
    l->fence = ++store->fences;
    l->end_ms = end_of(store, lease_ms);
    *lease = (ckit_lease){.fence = l->fence};
    return true;
}

static bool owns(fake_store *store, ckit_slice key, const ckit_lease *lease) {
    const lock *l = lock_of(store, key);
    return l->held && l->fence == lease->fence;
}

static ckit_status fake_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                                 ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_LOCK_TRY, deadline_ms, &st)) st = take(store, key, lease_ms, lease) ? CKIT_OK : CKIT_MISS;
    return end(store, FAKE_LOCK_TRY, st, err);
}

static ckit_status fake_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                   uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_LOCK_RENEW, deadline_ms, &st)) {
        st = owns(store, key, lease) ? CKIT_OK : CKIT_MISS;
        if (st == CKIT_OK) lock_of(store, key)->end_ms = end_of(store, lease_ms);
    }
    return end(store, FAKE_LOCK_RENEW, st, err);
}

static ckit_status fake_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                     ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_LOCK_RELEASE, deadline_ms, &st)) {
        st = owns(store, key, lease) ? CKIT_OK : CKIT_MISS;
        if (st == CKIT_OK) lock_of(store, key)->held = false;
    }
    return end(store, FAKE_LOCK_RELEASE, st, err);
}

static ckit_status fake_set_if_owner(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                                     const ckit_lease *lease, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (begin(store, FAKE_SET, deadline_ms, &st)) {
        store->calls[FAKE_SET_IF_OWNER]++;
        bool fails = store->failures[FAKE_SET_IF_OWNER].times > 0;
        if (fails) store->failures[FAKE_SET_IF_OWNER].times--;
        st = fails ? store->failures[FAKE_SET_IF_OWNER].status : owns(store, key, lease) ? CKIT_OK : CKIT_MISS;
        if (st == CKIT_OK) write_entry(store, key, value, info);
    }
    return end(store, FAKE_SET, st, err);
}

/* ---- locks of many keys ------------------------------------------------------------------------------------------ */

static ckit_status fake_lock_try_many(void *self, const ckit_slice *keys, size_t count, uint64_t lease_ms,
                                      uint64_t deadline_ms, ckit_lease *leases, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_LOCK_TRY_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fails_alone(store, FAKE_LOCK_TRY, &answers[i])) {
                answers[i] = take(store, keys[i], lease_ms, &leases[i]) ? CKIT_OK : CKIT_MISS;
            }
        }
    }
    return end(store, FAKE_LOCK_TRY_MANY, st, err);
}

static ckit_status fake_lock_renew_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                        uint64_t lease_ms, uint64_t deadline_ms, ckit_status *answers,
                                        ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_LOCK_RENEW_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fails_alone(store, FAKE_LOCK_RENEW, &answers[i])) {
                answers[i] = owns(store, keys[i], &leases[i]) ? CKIT_OK : CKIT_MISS;
            }
            if (answers[i] == CKIT_OK) lock_of(store, keys[i])->end_ms = end_of(store, lease_ms);
        }
    }
    return end(store, FAKE_LOCK_RENEW_MANY, st, err);
}

static ckit_status fake_lock_release_many(void *self, const ckit_slice *keys, const ckit_lease *leases, size_t count,
                                          uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_LOCK_RELEASE_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            answers[i] = owns(store, keys[i], &leases[i]) ? CKIT_OK : CKIT_MISS;
            if (answers[i] == CKIT_OK) lock_of(store, keys[i])->held = false;
        }
    }
    return end(store, FAKE_LOCK_RELEASE_MANY, st, err);
}

static ckit_status fake_set_many_if_owner(void *self, const ckit_slice *keys, const ckit_slice *values,
                                          const ckit_entry_info *infos, const ckit_lease *leases, size_t count,
                                          uint64_t deadline_ms, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (begin(store, FAKE_SET_MANY_IF_OWNER, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fails_alone(store, FAKE_SET_IF_OWNER, &answers[i])) {
                answers[i] = owns(store, keys[i], &leases[i]) ? CKIT_OK : CKIT_MISS;
            }
            if (answers[i] == CKIT_OK) write_entry(store, keys[i], values[i], &infos[i]);
        }
    }
    return end(store, FAKE_SET_MANY_IF_OWNER, st, err);
}

/* ---- submit ------------------------------------------------------------------------------------------------------ */

/* Called without the lock. */
static void answer(fake_store *store, ckit_request *request) {
    ckit_status st;
    if (begin(store, FAKE_SUBMIT, request->deadline_ms, &st)) {
        st = read_entry(store, request->key, request->out, &request->life_ms);
    }
    st = end(store, FAKE_SUBMIT, st, &request->error);
    request->done(request, st);
}

static void *answer_requests(void *arg) {
    fake_store *store = arg;
    pthread_mutex_lock(&store->mu);
    while (!store->closing) {
        waiting_request *first = store->requests;
        if (first == NULL) {
            pthread_cond_wait(&store->changed, &store->mu);
            continue;
        }
        store->requests = first->next;
        pthread_mutex_unlock(&store->mu);
        answer(store, first->request);
        free(first);
        pthread_mutex_lock(&store->mu);
    }
    pthread_mutex_unlock(&store->mu);
    return NULL;
}

static ckit_status submit_later(void *self, ckit_request *request, ckit_error *err) {
    fake_store      *store = self;
    waiting_request *w = calloc(1, sizeof *w);
    if (w == NULL || request->kind != CKIT_REQUEST_GET) {
        free(w);
        return ckit_fail(err, CKIT_E_UNSUPPORTED, "fake", "only reads are submitted");
    }
    w->request = request;
    pthread_mutex_lock(&store->mu);
    waiting_request **last = &store->requests;
    while (*last != NULL)
        last = &(*last)->next;
    *last = w;
    if (!store->answering) {
        store->answering = pthread_create(&store->answerer, NULL, answer_requests, store) == 0;
    }
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mu);
    return CKIT_PENDING;
}

static ckit_status submit_at_once(void *self, ckit_request *request, ckit_error *err) {
    (void)err;
    answer(self, request);
    return CKIT_PENDING;
}

static void fake_hurry(void *self) {
    fake_store *store = self;
    pthread_mutex_lock(&store->mu);
    store->calls[FAKE_HURRY]++;
    for (int op = 0; op < FAKE_OP_COUNT; op++) {
        if (store->failures[op].sys_errno == EAGAIN) store->failures[op].times = 0;
    }
    pthread_mutex_unlock(&store->mu);
}

/* ---- the tables -------------------------------------------------------------------------------------------------- */

#define REQUIRED_OPS                                                                                                   \
    .abi = CKIT_BACKEND_ABI, .name = "fake", .get = fake_get, .set = fake_set, .remove = fake_remove,                  \
    .exists = fake_exists, .health = fake_health, .close = fake_close
#define FULL_OPS                                                                                                       \
    REQUIRED_OPS, .ttl = fake_ttl, .touch = fake_touch, .get_many = fake_get_many, .set_many = fake_set_many,          \
                  .list = fake_list, .delete_scope = fake_delete_scope, .hurry = fake_hurry

#define LOCKING_OPS                                                                                                    \
    FULL_OPS, .lock_try = fake_lock_try, .lock_renew = fake_lock_renew, .lock_release = fake_lock_release,             \
              .set_if_owner = fake_set_if_owner

static const ckit_backend_ops tables[] = {
    [FAKE_REQUIRED] = {REQUIRED_OPS},
    [FAKE_FULL] = {FULL_OPS},
    [FAKE_LOCKING] = {LOCKING_OPS},
    [FAKE_LOCKING_MANY] = {LOCKING_OPS, .lock_try_many = fake_lock_try_many, .lock_renew_many = fake_lock_renew_many,
                           .lock_release_many = fake_lock_release_many, .set_many_if_owner = fake_set_many_if_owner},
    [FAKE_UNFENCED] = {FULL_OPS, .lock_try = fake_lock_try, .lock_renew = fake_lock_renew,
                       .lock_release = fake_lock_release},
    [FAKE_SUBMITTING] = {FULL_OPS, .submit = submit_later},
    [FAKE_SUBMITTING_AT_ONCE] = {FULL_OPS, .submit = submit_at_once},
};

ckit_backend *fake_connect(fake_store *store, fake_kind kind) {
    ckit_backend *backend;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_backend_new(&tables[kind], store, NULL, &backend, &err), &err);
    pthread_mutex_lock(&store->mu);
    store->connections++;
    pthread_mutex_unlock(&store->mu);
    return backend;
}

/* ---- for the test ------------------------------------------------------------------------------------------------ */

void fake_fail(fake_store *store, fake_op op, ckit_status status, uint64_t times) {
    fake_fail_errno(store, op, status, 0, times);
}

void fake_fail_errno(fake_store *store, fake_op op, ckit_status status, int sys_errno, uint64_t times) {
    pthread_mutex_lock(&store->mu);
    store->failures[op].status = status;
    store->failures[op].sys_errno = sys_errno;
    store->failures[op].times = times;
    pthread_mutex_unlock(&store->mu);
}

void fake_dawdle(fake_store *store, bool dawdles) {
    pthread_mutex_lock(&store->mu);
    store->dawdles = dawdles;
    pthread_mutex_unlock(&store->mu);
}

void fake_hide_lives(fake_store *store, bool hide) {
    pthread_mutex_lock(&store->mu);
    store->hide_lives = hide;
    pthread_mutex_unlock(&store->mu);
}

void fake_hide_lives_of_values(fake_store *store, bool hide) {
    pthread_mutex_lock(&store->mu);
    store->hide_lives_of_values = hide;
    pthread_mutex_unlock(&store->mu);
}

static void set_gate(fake_store *store, fake_op op, bool shut, fake_when when) {
    pthread_mutex_lock(&store->mu);
    store->gates[op].shut = shut;
    store->gates[op].when = when;
    store->gates[op].tickets = 0;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mu);
}

void fake_shut(fake_store *store, fake_op op, fake_when when) { set_gate(store, op, true, when); }

void fake_open_gate(fake_store *store, fake_op op) { set_gate(store, op, false, FAKE_BEFORE); }

void fake_let_one(fake_store *store, fake_op op) {
    pthread_mutex_lock(&store->mu);
    store->gates[op].tickets++;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mu);
}

static struct timespec patience(void) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_S;
    return until;
}

void fake_wait_stopped(fake_store *store, fake_op op, unsigned calls) {
    struct timespec until = patience();
    int             late = 0;
    pthread_mutex_lock(&store->mu);
    while (store->gates[op].waiting < calls && late == 0)
        late = pthread_cond_timedwait(&store->changed, &store->mu, &until);
    unsigned waiting = store->gates[op].waiting;
    pthread_mutex_unlock(&store->mu);
    CHECKF(waiting >= calls, "%u calls of %s stand at the gate, %u were to come", waiting, names[op], calls);
}

void fake_wait_calls(fake_store *store, fake_op op, uint64_t calls) {
    struct timespec until = patience();
    int             late = 0;
    pthread_mutex_lock(&store->mu);
    while (store->calls[op] < calls && late == 0)
        late = pthread_cond_timedwait(&store->changed, &store->mu, &until);
    uint64_t seen = store->calls[op];
    pthread_mutex_unlock(&store->mu);
    CHECKF(seen >= calls, "%s was called %u times, %u were to come", names[op], (unsigned)seen, (unsigned)calls);
}

size_t fake_count(fake_store *store) {
    size_t count = 0;
    pthread_mutex_lock(&store->mu);
    for (unsigned i = 0; i < CHAINS; i++) {
        for (entry *e = store->chains[i]; e != NULL; e = e->next)
            count += now_of(store) < e->end_ms;
    }
    pthread_mutex_unlock(&store->mu);
    return count;
}

bool fake_has(fake_store *store, ckit_slice key) {
    pthread_mutex_lock(&store->mu);
    bool has = find(store, key) != NULL;
    pthread_mutex_unlock(&store->mu);
    return has;
}

static const entry *only_entry(fake_store *store) {
    CHECK_EQ_U(1, fake_count(store));
    const entry *only = NULL;
    for (unsigned i = 0; i < CHAINS; i++) {
        for (entry *e = store->chains[i]; e != NULL; e = e->next) {
            only = now_of(store) < e->end_ms ? e : only;
        }
    }
    CHECK(only != NULL);
    return only;
}

ckit_slice fake_only_key(fake_store *store) { return ckit_buf_slice(&only_entry(store)->key); }

ckit_slice fake_only_value(fake_store *store) { return ckit_buf_slice(&only_entry(store)->value); }

void fake_put(fake_store *store, ckit_slice key, ckit_slice value, uint64_t life_ms) {
    pthread_mutex_lock(&store->mu);
    put(store, key, value, life_ms, ckit_slice_of(NULL, 0), ckit_slice_of(NULL, 0));
    pthread_mutex_unlock(&store->mu);
}

void fake_damage(fake_store *store, long at) {
    pthread_mutex_lock(&store->mu);
    for (unsigned i = 0; i < CHAINS; i++) {
        for (entry *e = store->chains[i]; e != NULL; e = e->next) {
            size_t place = at < 0 ? e->value.len - (size_t)-at : (size_t)at;
            if (place < e->value.len) e->value.ptr[place] ^= 0x55;
        }
    }
    pthread_mutex_unlock(&store->mu);
}

void fake_lock_elsewhere(fake_store *store, ckit_slice key) {
    ckit_lease lease;
    pthread_mutex_lock(&store->mu);
    bool taken = take(store, key, CKIT_LIFE_NO_EXPIRY, &lease);
    pthread_mutex_unlock(&store->mu);
    CHECK(taken);
}

void fake_unlock_elsewhere(fake_store *store, ckit_slice key) {
    pthread_mutex_lock(&store->mu);
    lock_of(store, key)->held = false;
    pthread_mutex_unlock(&store->mu);
}

size_t fake_locks(fake_store *store) {
    size_t held = 0;
    pthread_mutex_lock(&store->mu);
    for (const lock *l = store->locks; l != NULL; l = l->next)
        held += l->held;
    pthread_mutex_unlock(&store->mu);
    return held;
}

bool fake_is_locked(fake_store *store) { return fake_locks(store) > 0; }

uint64_t fake_last_ttl(fake_store *store) {
    pthread_mutex_lock(&store->mu);
    uint64_t ttl_ms = store->last_ttl_ms;
    pthread_mutex_unlock(&store->mu);
    return ttl_ms;
}

const char *fake_last_namespace(fake_store *store) { return store->last_namespace; }

const char *fake_last_function(fake_store *store) { return store->last_function; }

uint64_t fake_last_deadline(fake_store *store, fake_op op) {
    pthread_mutex_lock(&store->mu);
    uint64_t deadline_ms = store->deadlines[op];
    pthread_mutex_unlock(&store->mu);
    return deadline_ms;
}

uint64_t fake_calls(fake_store *store, fake_op op) {
    pthread_mutex_lock(&store->mu);
    uint64_t calls = store->calls[op];
    pthread_mutex_unlock(&store->mu);
    return calls;
}

void fake_forget_calls(fake_store *store) {
    pthread_mutex_lock(&store->mu);
    memset(store->calls, 0, sizeof store->calls);
    store->log_len = 0;
    store->log[0] = 0;
    pthread_mutex_unlock(&store->mu);
}

const char *fake_log(fake_store *store) { return store->log; }
