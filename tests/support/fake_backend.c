#include "support/fake_backend.h"

#include "support/fake_parts.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

static void free_entry(fake_entry *e) {
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
    for (unsigned i = 0; i < FAKE_CHAINS; i++) {
        for (fake_entry *e = store->chains[i], *next; e != NULL; e = next) {
            next = e->next;
            free_entry(e);
        }
    }
    for (fake_lock *l = store->locks, *next; l != NULL; l = next) {
        next = l->next;
        ckit_buf_fini(&l->key);
        free(l);
    }
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->mu);
    free(store);
}

/* ---- entries, with the lock held ------------------------------------------------------------------------------ */

uint64_t fake_now(const fake_store *store) { return store->time == NULL ? 0 : fake_clock_now(store->time); }

uint64_t fake_end_of(const fake_store *store, uint64_t life_ms) {
    return life_ms > CKIT_TTL_MAX_MS ? UINT64_MAX : fake_now(store) + life_ms;
}

static fake_entry **chain_of(fake_store *store, ckit_slice key) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ key.ptr[i]) * 1099511628211u;
    return &store->chains[hash % FAKE_CHAINS];
}

static fake_entry **link_of(fake_store *store, ckit_slice key) {
    fake_entry **link = chain_of(store, key);
    while (*link != NULL && !ckit_slice_equal(ckit_buf_slice(&(*link)->key), key))
        link = &(*link)->next;
    return link;
}

static void unlink_entry(fake_store *store, fake_entry **link) {
    fake_entry *e = *link;
    *link = e->next;
    free_entry(e);
    store->count--;
}

/* The live entry, or NULL. */
fake_entry *fake_find(fake_store *store, ckit_slice key) {
    fake_entry **link = link_of(store, key);
    if (*link == NULL || fake_now(store) < (*link)->end_ms) return *link;
    unlink_entry(store, link);
    return NULL;
}

static void copy_name(char *out, size_t room, ckit_slice name) {
    size_t len = name.len < room - 1 ? name.len : room - 1;
    if (len > 0) memcpy(out, name.ptr, len);
    out[len] = 0;
}

void fake_write(fake_store *store, ckit_slice key, ckit_slice value, uint64_t life_ms, ckit_slice namespace_name,
                ckit_slice function) {
    fake_entry **link = link_of(store, key);
    if (*link == NULL) {
        *link = calloc(1, sizeof **link);
        CHECK(*link != NULL);
        (void)ckit_buf_append(&(*link)->key, key);
        store->count++;
    }
    fake_entry *e = *link;
    e->value.len = 0;
    (void)ckit_buf_append(&e->value, value);
    e->end_ms = fake_end_of(store, life_ms);
    copy_name(e->namespace_name, sizeof e->namespace_name, namespace_name);
    copy_name(e->function, sizeof e->function, function);
}

static uint64_t life_of(const fake_store *store, const fake_entry *e) {
    if (store->hide_lives) return CKIT_LIFE_UNKNOWN;
    return e->end_ms == UINT64_MAX ? CKIT_LIFE_NO_EXPIRY : e->end_ms - fake_now(store);
}

static bool is_in_scope(const fake_entry *e, const ckit_scope *scope) {
    bool same_namespace = ckit_slice_equal(ckit_slice_str(e->namespace_name), scope->namespace_name);
    switch (scope->kind) {
    case CKIT_SCOPE_NAMESPACE: return same_namespace;
    case CKIT_SCOPE_FUNCTION: return same_namespace && ckit_slice_equal(ckit_slice_str(e->function), scope->function);
    default: return true;
    }
}

/* ---- a call from its beginning to its end ----------------------------------------------------------------------- */

const char *const fake_op_names[FAKE_OP_COUNT] = {"get",
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
    struct timespec moment = {0, (long)(store->calls[FAKE_GET] * 7919 % 4) * 5000 + 1000};
    pthread_mutex_unlock(&store->mu);
    nanosleep(&moment, NULL);
    pthread_mutex_lock(&store->mu);
}

static void stand_at_gate(fake_store *store, fake_op op, fake_when when) {
    fake_gate *g = &store->gates[op];
    if (!g->shut || g->when != when) return;
    g->waiting++;
    pthread_cond_broadcast(&store->changed);
    while (g->shut && g->tickets == 0)
        pthread_cond_wait(&store->changed, &store->mu);
    if (g->shut) g->tickets--;
    g->waiting--;
}

/* Takes the lock. False when the call is to fail with *st. */
bool fake_begin(fake_store *store, fake_op op, uint64_t deadline_ms, ckit_status *st) {
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
    int len = snprintf(store->log + store->log_len, FAKE_LOG_BYTES - store->log_len, "%s%s %s",
                       store->log_len > 0 ? ", " : "", fake_op_names[op], ckit_status_name(st));
    if (len > 0 && store->log_len + (size_t)len < FAKE_LOG_BYTES) store->log_len += (size_t)len;
}

/* Gives the lock back. */
ckit_status fake_end(fake_store *store, fake_op op, ckit_status st, ckit_error *err) {
    stand_at_gate(store, op, FAKE_AFTER);
    dawdle(store);
    write_log(store, op == FAKE_SUBMIT ? FAKE_GET : op, st);
    int sys_errno = store->failures[op].sys_errno;
    pthread_cond_broadcast(&store->changed);
    pthread_mutex_unlock(&store->mu);
    if (st < CKIT_E_FIRST) return st;
    ckit_fail(err, st, "fake", "%s was told to fail", fake_op_names[op]);
    if (err != NULL) err->sys_errno = sys_errno;
    return st;
}

/* ---- the operations ---------------------------------------------------------------------------------------------- */

static ckit_status read_entry(fake_store *store, ckit_slice key, ckit_buf *out, uint64_t *life_ms) {
    fake_entry *e = fake_find(store, key);
    if (e == NULL) return CKIT_MISS;
    *life_ms = store->hide_lives_of_values ? CKIT_LIFE_UNKNOWN : life_of(store, e);
    return ckit_buf_append(out, ckit_buf_slice(&e->value));
}

static ckit_status fake_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                            ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_GET, deadline_ms, &st)) st = read_entry(store, key, out, life_ms);
    return fake_end(store, FAKE_GET, st, err);
}

void fake_write_with(fake_store *store, ckit_slice key, ckit_slice value, const ckit_entry_info *info) {
    fake_write(store, key, value, info->ttl_ms, info->namespace_name, info->function);
    store->last_ttl_ms = info->ttl_ms;
    copy_name(store->last_namespace, sizeof store->last_namespace, info->namespace_name);
    copy_name(store->last_function, sizeof store->last_function, info->function);
}

static ckit_status fake_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                            uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_SET, deadline_ms, &st)) fake_write_with(store, key, value, info);
    return fake_end(store, FAKE_SET, st, err);
}

static ckit_status fake_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_REMOVE, deadline_ms, &st)) {
        st = fake_find(store, key) == NULL ? CKIT_MISS : CKIT_OK;
        if (st == CKIT_OK) unlink_entry(store, link_of(store, key));
    }
    return fake_end(store, FAKE_REMOVE, st, err);
}

static ckit_status fake_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_EXISTS, deadline_ms, &st)) st = fake_find(store, key) == NULL ? CKIT_MISS : CKIT_OK;
    return fake_end(store, FAKE_EXISTS, st, err);
}

static void fake_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    fake_store *store = self;
    ckit_status st;
    *out = (ckit_health){.healthy = true, .backend_type = "fake", .bytes = UINT64_MAX, .limit_bytes = UINT64_MAX};
    if (!fake_begin(store, FAKE_HEALTH, deadline_ms, &st)) {
        out->healthy = false;
        (void)snprintf(out->detail, sizeof out->detail, "%s", ckit_status_text(st));
    }
    out->entries = store->count;
    (void)fake_end(store, FAKE_HEALTH, CKIT_OK, NULL);
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
    if (fake_begin(store, FAKE_TTL, deadline_ms, &st)) {
        fake_entry *e = fake_find(store, key);
        st = e == NULL ? CKIT_MISS : CKIT_OK;
        if (e != NULL) *life_ms = life_of(store, e);
    }
    return fake_end(store, FAKE_TTL, st, err);
}

static ckit_status fake_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    fake_store *store = self;
    ckit_status st;
    if (fake_begin(store, FAKE_TOUCH, deadline_ms, &st)) {
        fake_entry *e = fake_find(store, key);
        st = e == NULL ? CKIT_MISS : CKIT_OK;
        if (e != NULL) e->end_ms = fake_end_of(store, ttl_ms);
    }
    return fake_end(store, FAKE_TOUCH, st, err);
}

/* The next key of a call of many fails as a call of its own would. */
bool fake_fails_alone(fake_store *store, fake_op op, ckit_status *st) {
    if (store->failures[op].times == 0) return false;
    store->failures[op].times--;
    *st = store->failures[op].status;
    return true;
}

static ckit_status fake_get_many(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms, ckit_buf *out,
                                 uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_GET_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            if (!fake_fails_alone(store, FAKE_GET, &answers[i])) {
                answers[i] = read_entry(store, keys[i], &out[i], &life_ms[i]);
            }
        }
    }
    return fake_end(store, FAKE_GET_MANY, st, err);
}

static ckit_status fake_set_many(void *self, const ckit_slice *keys, const ckit_slice *values,
                                 const ckit_entry_info *infos, size_t count, uint64_t deadline_ms, ckit_status *answers,
                                 ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_SET_MANY, deadline_ms, &st)) {
        for (size_t i = 0; i < count; i++) {
            bool fails = fake_fails_alone(store, FAKE_SET, &answers[i]);
            answers[i] = fails ? answers[i] : CKIT_OK;
            if (!fails) fake_write_with(store, keys[i], values[i], &infos[i]);
        }
    }
    return fake_end(store, FAKE_SET_MANY, st, err);
}

static ckit_status fake_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each,
                             void *context, ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    if (fake_begin(store, FAKE_LIST, deadline_ms, &st)) {
        for (unsigned i = 0; i < FAKE_CHAINS; i++) {
            for (fake_entry *e = store->chains[i]; e != NULL && st == CKIT_OK; e = e->next) {
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
    return fake_end(store, FAKE_LIST, st, err);
}

static ckit_status fake_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                     ckit_error *err) {
    fake_store *store = self;
    ckit_status st = CKIT_OK;
    *out = (ckit_deleted){0, 0};
    if (fake_begin(store, FAKE_DELETE_SCOPE, deadline_ms, &st)) {
        for (unsigned i = 0; i < FAKE_CHAINS; i++) {
            for (fake_entry **link = &store->chains[i]; *link != NULL;) {
                if (is_in_scope(*link, scope)) {
                    unlink_entry(store, link);
                    out->deleted++;
                } else {
                    link = &(*link)->next;
                }
            }
        }
    }
    return fake_end(store, FAKE_DELETE_SCOPE, st, err);
}

/* ---- submit ------------------------------------------------------------------------------------------------------ */

/* Called without the lock. */
static void answer(fake_store *store, ckit_request *request) {
    ckit_status st;
    if (fake_begin(store, FAKE_SUBMIT, request->deadline_ms, &st)) {
        st = read_entry(store, request->key, request->out, &request->life_ms);
    }
    st = fake_end(store, FAKE_SUBMIT, st, &request->error);
    request->done(request, st);
}

static void *answer_requests(void *arg) {
    fake_store *store = arg;
    pthread_mutex_lock(&store->mu);
    while (!store->closing) {
        fake_waiting *first = store->requests;
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
    fake_store   *store = self;
    fake_waiting *w = calloc(1, sizeof *w);
    if (w == NULL || request->kind != CKIT_REQUEST_GET) {
        free(w);
        return ckit_fail(err, CKIT_E_UNSUPPORTED, "fake", "only reads are submitted");
    }
    w->request = request;
    pthread_mutex_lock(&store->mu);
    fake_waiting **last = &store->requests;
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
