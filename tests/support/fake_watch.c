#include "support/fake_watch.h"

#include "support/test.h"

#include <cachekit/buf.h>
#include <pthread.h>
#include <stdlib.h>

typedef struct message {
    struct message *next;
    bool            of_scope;
    ckit_scope_kind kind;
    ckit_buf        key; /* or the namespace's name */
    ckit_buf        function;
} message;

/* `hub->mu` guards the queues; nothing is called with it held. */
struct fake_watch {
    fake_watch             *next;
    fake_hub               *hub;
    ckit_backend           *inner;
    const ckit_backend_ops *ops; /* of `inner` */
    void                   *store;
    ckit_backend_ops        table;
    const ckit_watch_sink  *sink;
    message                *first;
    message               **last;
    bool                    broken;
    pthread_mutex_t         delivering; /* one at a time, in order */
};

struct fake_hub {
    pthread_mutex_t mu;
    fake_store     *store;
    fake_watch     *watches;
    bool            echoes;
    ckit_status     refusal;
};

fake_hub *fake_hub_open(fake_store *store) {
    fake_hub *hub = calloc(1, sizeof *hub);
    CHECK(hub != NULL);
    pthread_mutex_init(&hub->mu, NULL);
    hub->store = store;
    return hub;
}

void fake_hub_close(fake_hub *hub) {
    CHECK(hub->watches == NULL);
    pthread_mutex_destroy(&hub->mu);
    free(hub);
}

void fake_hub_echo(fake_hub *hub, bool echo) {
    pthread_mutex_lock(&hub->mu);
    hub->echoes = echo;
    pthread_mutex_unlock(&hub->mu);
}

void fake_hub_refuse(fake_hub *hub, ckit_status status) { hub->refusal = status; }

/* ---- the queues -------------------------------------------------------------------------------------------------- */

static void free_message(message *m) {
    ckit_buf_fini(&m->key);
    ckit_buf_fini(&m->function);
    free(m);
}

static void drop_queue(fake_watch *watch) {
    while (watch->first != NULL) {
        message *m = watch->first;
        watch->first = m->next;
        free_message(m);
    }
    watch->last = &watch->first;
}

static void enqueue(fake_watch *to, const ckit_slice *key, const ckit_scope *scope) {
    message *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    m->of_scope = scope != NULL;
    m->kind = scope != NULL ? scope->kind : CKIT_SCOPE_ALL;
    CHECK_OK(ckit_buf_append(&m->key, scope != NULL ? scope->namespace_name : *key));
    if (scope != NULL) CHECK_OK(ckit_buf_append(&m->function, scope->function));
    *to->last = m;
    to->last = &m->next;
}

static void publish(fake_watch *from, const ckit_slice *key, const ckit_scope *scope) {
    fake_hub *hub = from->hub;
    pthread_mutex_lock(&hub->mu);
    for (fake_watch *to = hub->watches; to != NULL; to = to->next) {
        if (!to->broken && to->sink != NULL && (to != from || hub->echoes)) enqueue(to, key, scope);
    }
    pthread_mutex_unlock(&hub->mu);
}

static void tell(fake_watch *watch, const message *m) {
    const ckit_watch_sink *sink = watch->sink;
    if (m->of_scope) {
        ckit_scope scope = {m->kind, ckit_buf_slice(&m->key), ckit_buf_slice(&m->function)};
        sink->scope_changed(sink->self, &scope);
    } else {
        sink->changed(sink->self, ckit_buf_slice(&m->key));
    }
}

bool fake_deliver_one(fake_watch *watch) {
    pthread_mutex_lock(&watch->delivering);
    pthread_mutex_lock(&watch->hub->mu);
    message *m = watch->first;
    if (m != NULL && (watch->first = m->next) == NULL) watch->last = &watch->first;
    pthread_mutex_unlock(&watch->hub->mu);
    if (m != NULL) {
        tell(watch, m);
        free_message(m);
    }
    pthread_mutex_unlock(&watch->delivering);
    return m != NULL;
}

size_t fake_deliver(fake_watch *watch) {
    size_t count = 0;
    while (fake_deliver_one(watch))
        count++;
    return count;
}

size_t fake_waiting(fake_watch *watch) {
    size_t count = 0;
    pthread_mutex_lock(&watch->hub->mu);
    for (const message *m = watch->first; m != NULL; m = m->next)
        count++;
    pthread_mutex_unlock(&watch->hub->mu);
    return count;
}

void fake_break_link(fake_watch *watch) {
    pthread_mutex_lock(&watch->hub->mu);
    watch->broken = true;
    drop_queue(watch);
    pthread_mutex_unlock(&watch->hub->mu);
}

void fake_repair_link(fake_watch *watch) {
    pthread_mutex_lock(&watch->hub->mu);
    watch->broken = false;
    pthread_mutex_unlock(&watch->hub->mu);
}

void fake_lose(fake_watch *watch) {
    pthread_mutex_lock(&watch->delivering);
    watch->sink->lost(watch->sink->self);
    pthread_mutex_unlock(&watch->delivering);
}

void fake_guard(fake_watch *watch, unsigned what) {
    pthread_mutex_lock(&watch->delivering);
    watch->sink->guarded(watch->sink->self, what);
    pthread_mutex_unlock(&watch->delivering);
}

void fake_tell(fake_watch *watch, ckit_slice key) { watch->sink->changed(watch->sink->self, key); }

void fake_tell_call(fake_watch *watch, ckit_slice namespace_name, ckit_slice hash) {
    watch->sink->call_changed(watch->sink->self, namespace_name, hash);
}

void fake_tell_scope(fake_watch *watch, const ckit_scope *scope) {
    watch->sink->scope_changed(watch->sink->self, scope);
}

bool fake_is_watched(fake_watch *watch) { return watch->sink != NULL; }

/* ---- the operations ---------------------------------------------------------------------------------------------- */

static ckit_status on_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                          ckit_error *err) {
    fake_watch *w = self;
    return w->ops->get(w->store, key, deadline_ms, out, life_ms, err);
}

static ckit_status on_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                          uint64_t deadline_ms, ckit_error *err) {
    fake_watch *w = self;
    ckit_status st = w->ops->set(w->store, key, value, info, deadline_ms, err);
    if (st == CKIT_OK) publish(w, &key, NULL);
    return st;
}

static ckit_status on_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    fake_watch *w = self;
    ckit_status st = w->ops->remove(w->store, key, deadline_ms, err);
    if (st == CKIT_OK) publish(w, &key, NULL);
    return st;
}

static ckit_status on_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    fake_watch *w = self;
    return w->ops->exists(w->store, key, deadline_ms, err);
}

static void on_health(void *self, uint64_t deadline_ms, ckit_health *out) {
    fake_watch *w = self;
    w->ops->health(w->store, deadline_ms, out);
}

static ckit_status on_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    fake_watch *w = self;
    return w->ops->ttl(w->store, key, deadline_ms, life_ms, err);
}

static ckit_status on_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    fake_watch *w = self;
    ckit_status st = w->ops->touch(w->store, key, ttl_ms, deadline_ms, err);
    if (st == CKIT_OK) publish(w, &key, NULL);
    return st;
}

static ckit_status on_get_many(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms, ckit_buf *out,
                               uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    fake_watch *w = self;
    return w->ops->get_many(w->store, keys, count, deadline_ms, out, life_ms, answers, err);
}

static ckit_status on_submit(void *self, ckit_request *request, ckit_error *err) {
    fake_watch *w = self;
    return w->ops->submit(w->store, request, err);
}

static ckit_status on_list(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_list_fn each, void *context,
                           ckit_error *err) {
    fake_watch *w = self;
    return w->ops->list(w->store, scope, deadline_ms, each, context, err);
}

static ckit_status on_delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                   ckit_error *err) {
    fake_watch *w = self;
    ckit_status st = w->ops->delete_scope(w->store, scope, deadline_ms, out, err);
    if (st == CKIT_OK) publish(w, NULL, scope);
    return st;
}

static ckit_status on_lock_try(void *self, ckit_slice key, uint64_t lease_ms, uint64_t deadline_ms, ckit_lease *lease,
                               ckit_error *err) {
    fake_watch *w = self;
    return w->ops->lock_try(w->store, key, lease_ms, deadline_ms, lease, err);
}

static ckit_status on_lock_renew(void *self, ckit_slice key, const ckit_lease *lease, uint64_t lease_ms,
                                 uint64_t deadline_ms, ckit_error *err) {
    fake_watch *w = self;
    return w->ops->lock_renew(w->store, key, lease, lease_ms, deadline_ms, err);
}

static ckit_status on_lock_release(void *self, ckit_slice key, const ckit_lease *lease, uint64_t deadline_ms,
                                   ckit_error *err) {
    fake_watch *w = self;
    return w->ops->lock_release(w->store, key, lease, deadline_ms, err);
}

static ckit_status on_watch(void *self, const ckit_watch_sink *sink, ckit_error *err) {
    fake_watch *w = self;
    if (w->hub->refusal != CKIT_OK) return ckit_fail(err, w->hub->refusal, "fake", "watch was told to fail");
    pthread_mutex_lock(&w->hub->mu);
    w->sink = sink;
    pthread_mutex_unlock(&w->hub->mu);
    return CKIT_OK;
}

static void on_close(void *self) {
    fake_watch *w = self;
    pthread_mutex_lock(&w->hub->mu);
    fake_watch **link = &w->hub->watches;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    drop_queue(w);
    pthread_mutex_unlock(&w->hub->mu);
    ckit_backend_close(w->inner);
    pthread_mutex_destroy(&w->delivering);
    free(w);
}

static ckit_backend_ops table_over(const ckit_backend_ops *inner) {
    return (ckit_backend_ops){.abi = CKIT_BACKEND_ABI,
                              .name = inner->name,
                              .get = on_get,
                              .set = on_set,
                              .remove = on_remove,
                              .exists = on_exists,
                              .health = on_health,
                              .close = on_close,
                              .ttl = inner->ttl != NULL ? on_ttl : NULL,
                              .touch = inner->touch != NULL ? on_touch : NULL,
                              .get_many = inner->get_many != NULL ? on_get_many : NULL,
                              .submit = inner->submit != NULL ? on_submit : NULL,
                              .list = inner->list != NULL ? on_list : NULL,
                              .delete_scope = inner->delete_scope != NULL ? on_delete_scope : NULL,
                              .lock_try = inner->lock_try != NULL ? on_lock_try : NULL,
                              .lock_renew = inner->lock_renew != NULL ? on_lock_renew : NULL,
                              .lock_release = inner->lock_release != NULL ? on_lock_release : NULL,
                              .watch = on_watch};
}

ckit_backend *fake_watch_connect(fake_hub *hub, fake_kind kind, fake_watch **out) {
    ckit_backend *backend;
    ckit_error    err = CKIT_ERROR_INIT;
    fake_watch   *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    w->hub = hub;
    w->inner = fake_connect(hub->store, kind);
    w->ops = ckit_backend_operations(w->inner);
    w->store = ckit_backend_self(w->inner);
    w->table = table_over(w->ops);
    w->last = &w->first;
    pthread_mutex_init(&w->delivering, NULL);
    CHECK_OK_ERR(ckit_backend_new(&w->table, w, NULL, &backend, &err), &err);
    pthread_mutex_lock(&hub->mu);
    w->next = hub->watches;
    hub->watches = w;
    pthread_mutex_unlock(&hub->mu);
    *out = w;
    return backend;
}
