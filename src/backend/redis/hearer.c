#include "hearer.h"

#include "support/test.h"

#include <cachekit/buf.h>

#include <stdio.h>

#define PATIENCE_S 60

/* ---- who is told ------------------------------------------------------------------------------------------------- */

static hearer *enter(void *self) {
    hearer *h = self;
    pthread_mutex_lock(&h->lock);
    return h;
}

static void leave(hearer *h) {
    pthread_cond_broadcast(&h->news);
    pthread_mutex_unlock(&h->lock);
}

static void on_changed(void *self, ckit_slice key) {
    hearer *h = enter(self);
    while (h->deaf) {
        pthread_cond_wait(&h->news, &h->lock);
    }
    int len = key.len < sizeof h->heard[0] ? (int)key.len : (int)sizeof h->heard[0] - 1;
    snprintf(h->heard[h->keys % HEARER_KEPT], sizeof h->heard[0], "%.*s", len, (const char *)key.ptr);
    h->keys++;
    leave(h);
}

static void on_call_changed(void *self, ckit_slice namespace_name, ckit_slice hash) {
    hearer *h = enter(self);
    (void)namespace_name;
    (void)hash;
    h->calls++;
    leave(h);
}

static void on_scope_changed(void *self, const ckit_scope *scope) {
    hearer *h = enter(self);
    h->scope = scope->kind;
    h->scopes++;
    leave(h);
}

static void on_lost(void *self) {
    hearer *h = enter(self);
    h->lost += h->now_guarded;
    h->now_guarded = false;
    leave(h);
}

static void on_guarded(void *self, unsigned what) {
    hearer *h = enter(self);
    h->now_guarded = true;
    h->what = what;
    h->guarded++;
    leave(h);
}

static void hearer_init(hearer *h) {
    memset(h, 0, sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->news, NULL);
    h->sink = (ckit_watch_sink){.self = h,
                                .changed = on_changed,
                                .call_changed = on_call_changed,
                                .scope_changed = on_scope_changed,
                                .lost = on_lost,
                                .guarded = on_guarded};
}

static bool wait_more(hearer *h, const struct timespec *until) {
    return pthread_cond_timedwait(&h->news, &h->lock, until) == 0;
}

struct timespec hearer_patience(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return until;
}

void hearer_await(hearer *h, const unsigned *counter, unsigned count, const char *what) {
    struct timespec until = hearer_patience();
    pthread_mutex_lock(&h->lock);
    bool more = true;
    while (*counter < count && more) {
        more = wait_more(h, &until);
    }
    unsigned got = *counter;
    pthread_mutex_unlock(&h->lock);
    CHECKF(got >= count, "%s: %u of %u", what, got, count);
}

unsigned hearer_seen(hearer *h, const unsigned *counter) {
    pthread_mutex_lock(&h->lock);
    unsigned count = *counter;
    pthread_mutex_unlock(&h->lock);
    return count;
}

static bool has_heard(const hearer *h, const char *key) {
    for (unsigned i = 0; i < h->keys && i < HEARER_KEPT; i++) {
        if (strncmp(h->heard[i], key, sizeof h->heard[0] - 1) == 0) {
            return true;
        }
    }
    return false;
}

void hearer_await_key(hearer *h, const char *key) {
    struct timespec until = hearer_patience();
    pthread_mutex_lock(&h->lock);
    bool more = true;
    while (!has_heard(h, key) && more) {
        more = wait_more(h, &until);
    }
    bool heard = has_heard(h, key);
    pthread_mutex_unlock(&h->lock);
    CHECKF(heard, "nothing was heard of %s", key);
}

void hearer_forget_keys(hearer *h) {
    pthread_mutex_lock(&h->lock);
    h->keys = 0;
    pthread_mutex_unlock(&h->lock);
}

/* ---- stores ------------------------------------------------------------------------------------------------------ */

void member_open(member *m, const ckit_redis_options *given, bool watches) {
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_log           quiet = {.level = CKIT_LOG_ERROR};
    ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
    ckit_redis_options options = *given;
    env.log = &quiet;
    options.backoff_max_ms = 50;
    if (options.socket_timeout_ms == 0) { /* a busy machine is not taken for a silent server */
        options.socket_timeout_ms = options.socket_connect_timeout_ms = 20000;
    }
    hearer_init(&m->h);
    CHECK_OK_ERR(ckit_redis_open(&options, &env, &m->backend, &err), &err);
    m->ops = ckit_backend_operations(m->backend);
    m->self = ckit_backend_self(m->backend);
    if (watches) {
        CHECK(m->ops->watch != NULL);
        CHECK_OK(m->ops->watch(m->self, &m->h.sink, NULL));
    }
}

void member_touch(member *m) {
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life;
    (void)m->ops->get(m->self, S("nobody's"), CKIT_NO_DEADLINE, &out, &life, NULL);
    ckit_buf_fini(&out);
}

void member_watch(member *m, const char *url, ckit_redis_invalidation how) {
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    options.url = url;
    options.invalidation = how;
    member_open(m, &options, true);
    member_touch(m);
    hearer_await(&m->h, &m->h.guarded, 1, "guarded");
    CHECK_EQ_U(CKIT_GUARDS_READS | CKIT_GUARDS_WRITES, m->h.what);
}

void member_write(member *m, const char *url) {
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    options.url = url;
    member_open(m, &options, false);
}

void member_close(member *m) {
    ckit_backend_close(m->backend);
    pthread_cond_destroy(&m->h.news);
    pthread_mutex_destroy(&m->h.lock);
}

void member_put(member *m, const char *key, uint64_t ttl_ms) {
    ckit_entry_info info = {.ttl_ms = ttl_ms, .namespace_name = S("ns"), .function = S("m.f")};
    CHECK_OK(m->ops->set(m->self, S(key), S("value"), &info, CKIT_NO_DEADLINE, NULL));
}
