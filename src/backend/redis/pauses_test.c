/* Pauses between attempts to connect: how long they are, what is told meanwhile, and who ends them. */
#include "backoff.h"
#include "fake_server.h"
#include "store.h"

#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* ---- by a clock of their own ------------------------------------------------------------------------------------- */

/* The pause that begins at `now`, with nobody allowed to try before its end. */
static uint64_t pause_from(ckiti_redis_backoff *b, uint64_t now) {
    ckit_error err = CKIT_ERROR_INIT;
    uint64_t   end = now;
    while (ckiti_redis_backoff_ask(b, end, &err) != CKIT_OK) {
        CHECK_EQ_I(EAGAIN, err.sys_errno);
        CHECK_CONTAINS("nobody there", err.text);
        end++;
    }
    return end - now;
}

static ckit_error nobody_there(void) {
    ckit_error why = CKIT_ERROR_INIT;
    (void)ckit_fail(&why, CKIT_E_UNREACHABLE, "redis", "nobody there");
    return why;
}

/* Guards open a circuit after five; a server that is restarted within a second is to be back before. */
CKIT_TEST(pauses, five_attempts_in_a_row_take_more_than_a_second) {
    const ckit_error why = nobody_there();
    for (int round = 0; round < 200; round++) {
        ckiti_redis_backoff b;
        uint64_t            began = 5000, now = began;
        ckiti_redis_backoff_init(&b, 2000);
        for (int attempt = 1; attempt < 5; attempt++) {
            ckiti_redis_backoff_failed(&b, now, &why);
            now += pause_from(&b, now);
        }
        CHECK_BETWEEN_U(1500, 3000, now - began);
        for (int attempt = 5; attempt < 40; attempt++) {
            ckiti_redis_backoff_failed(&b, now, &why);
            uint64_t pause = pause_from(&b, now);
            CHECK_BETWEEN_U(1000, 2000, pause);
            now += pause;
        }
        ckiti_redis_backoff_fini(&b);
    }
}

CKIT_TEST(pauses, who_hurries_ends_one_and_the_next_is_as_long_as_it_would_be) {
    const ckit_error    why = nobody_there();
    ckiti_redis_backoff b;
    ckiti_redis_backoff_init(&b, 2000);
    for (int attempt = 1; attempt < 10; attempt++) {
        ckiti_redis_backoff_failed(&b, 7000, &why);
        ckiti_redis_backoff_hurry(&b);
        CHECK_OK(ckiti_redis_backoff_ask(&b, 7000, NULL));
    }
    ckiti_redis_backoff_failed(&b, 7000, &why);
    CHECK_BETWEEN_U(1000, 2000, pause_from(&b, 7000));
    ckiti_redis_backoff_succeeded(&b);
    ckiti_redis_backoff_failed(&b, 9000, &why);
    CHECK_BETWEEN_U(100, 200, pause_from(&b, 9000));
    ckiti_redis_backoff_fini(&b);
}

/* ---- in a store -------------------------------------------------------------------------------------------------- */

typedef struct fixture {
    fake_server             server;
    ckit_redis_options      options;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} fixture;

static void fixture_open(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    memset(f, 0, sizeof *f);
    fake_server_start(&f->server);
    f->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    f->options.url = f->server.url;
    f->options.socket_timeout_ms = 20000;
    f->options.backoff_max_ms = 3600000;
    CHECK_OK_ERR(ckit_redis_open(&f->options, NULL, &f->backend, &err), &err);
    f->ops = ckit_backend_operations(f->backend);
    f->self = ckit_backend_self(f->backend);
}

static void fixture_close(fixture *f) {
    ckit_backend_close(f->backend);
    fake_server_stop(&f->server);
}

static ckit_status get(fixture *f, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life_ms = 0;
    ckit_status st = f->ops->get(f->self, S("key"), CKIT_NO_DEADLINE, &out, &life_ms, err);
    ckit_buf_fini(&out);
    return st;
}

#define FULL "-ERR max number of clients reached\r\n"

/* After eight failures a pause takes more than ten seconds. */
static void fail_often(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    f->server.hello = FULL;
    for (int i = 0; i < 8; i++) {
        f->ops->hurry(f->self);
        CHECK_STATUS(CKIT_E_POOL_EXHAUSTED, get(f, &err));
        CHECK_EQ_I(0, err.sys_errno);
    }
}

CKIT_TEST(pauses, a_store_that_is_hurried_tries_at_once) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open(&f);
    fail_often(&f);
    f.server.hello = NULL;
    CHECK_STATUS(CKIT_E_POOL_EXHAUSTED, get(&f, &err));
    CHECK_EQ_I(EAGAIN, err.sys_errno);
    CHECK_EQ_U(8, f.server.connections);
    f.ops->hurry(f.self);
    CHECK_OK_ERR(get(&f, &err), &err);
    CHECK_EQ_U(9, f.server.connections);
    fixture_close(&f);
}

/* ---- a way that ends under a connection -------------------------------------------------------------------------- */

static _Atomic bool way_is_gone;

static ssize_t read_unless_gone(ckiti_redis_stream *stream, const struct iovec *parts, int count, uint64_t until_ms) {
    if (way_is_gone) {
        errno = EHOSTUNREACH;
        return -1;
    }
    return ckiti_redis_sockets.read(stream, parts, count, until_ms);
}

static ckit_status open_stream(const ckiti_redis_address *a, const ckiti_redis_endpoint *to, const ckit_alloc *alloc,
                               uint64_t until_ms, ckiti_redis_stream **out, ckit_error *err) {
    static ckiti_redis_stream_ops ops;
    ckit_status                   st = ckiti_redis_sockets.open(a, to, alloc, until_ms, out, err);
    if (st == CKIT_OK) {
        ops = ckiti_redis_sockets;
        ops.read = read_unless_gone;
        (*out)->ops = &ops;
    }
    return st;
}

/* "Cannot be reached" would say that nothing was sent. */
CKIT_TEST(pauses, what_was_sent_to_a_server_that_is_gone_now_may_have_been_done) {
    static const ckiti_redis_stream_ops streams = {.open = open_stream};
    const ckit_entry_info               info = {.ttl_ms = 60000};
    fixture                             f;
    ckit_error                          err = CKIT_ERROR_INIT;
    fixture_open(&f);
    ckit_backend_close(f.backend);
    CHECK_OK_ERR(ckiti_redis_open_with(&f.options, NULL, &streams, false, &f.backend, &err), &err);
    f.self = ckit_backend_self(f.backend);
    CHECK_OK_ERR(get(&f, &err), &err);
    way_is_gone = true;
    CHECK_STATUS_ERR(CKIT_E_NETWORK, f.ops->set(f.self, S("key"), S("value"), &info, CKIT_NO_DEADLINE, &err), &err);
    CHECK_EQ_I(EHOSTUNREACH, err.sys_errno);
    way_is_gone = false;
    fixture_close(&f);
}

/* ---- what several are told --------------------------------------------------------------------------------------- */

#define VISITORS 12

typedef struct visitor {
    fixture  *f;
    pthread_t thread;
    unsigned  news; /* failures that were not told as repetitions */
} visitor;

/* The login takes a while, so that others queue up behind it. */
static const char *refuse_slowly(fake_server *s, const char *words, uint64_t count) {
    (void)s, (void)count;
    if (strcmp(words, "HELLO") != 0) {
        return NULL;
    }
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    return FULL;
}

static void *ask_often(void *arg) {
    visitor *v = arg;
    for (int i = 0; i < 40; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS(CKIT_E_POOL_EXHAUSTED, get(v->f, &err));
        v->news += err.sys_errno != EAGAIN;
        if (i % 10 == 0) {
            v->f->ops->hurry(v->f->self);
        }
    }
    return NULL;
}

CKIT_TEST(pauses, an_attempt_that_many_waited_for_is_news_to_one) {
    fixture  f;
    visitor  visitors[VISITORS];
    unsigned news = 0;
    fixture_open(&f);
    f.server.told = refuse_slowly;
    for (int i = 0; i < VISITORS; i++) {
        visitors[i] = (visitor){.f = &f};
        CHECK_EQ_I(0, pthread_create(&visitors[i].thread, NULL, ask_often, &visitors[i]));
    }
    for (int i = 0; i < VISITORS; i++) {
        CHECK_EQ_I(0, pthread_join(visitors[i].thread, NULL));
        news += visitors[i].news;
    }
    CHECK(news > 0);
    CHECK_EQ_U(f.server.connections, news);
    fixture_close(&f);
}

#define WRITES 30

typedef struct written {
    ckit_request     request;
    char             key[32];
    _Atomic unsigned answers;
    ckit_status      status;
} written;

static void note_answer(ckit_request *request, ckit_status status) {
    written *w = request->context;
    w->status = status;
    atomic_fetch_add(&w->answers, 1);
}

static void hand_over_writes(fixture *f, written *all) {
    for (unsigned i = 0; i < WRITES; i++) {
        written *w = &all[i];
        *w = (written){.status = CKIT_PENDING};
        snprintf(w->key, sizeof w->key, "written-%u", i);
        w->request = (ckit_request){.kind = CKIT_REQUEST_SET,
                                    .key = S(w->key),
                                    .value = S("value"),
                                    .info = {.ttl_ms = 60000},
                                    .deadline_ms = CKIT_NO_DEADLINE,
                                    .done = note_answer,
                                    .context = w};
        CHECK_STATUS(CKIT_PENDING, f->ops->submit(f->self, &w->request, NULL));
    }
    for (unsigned i = 0; i < WRITES; i++) {
        while (atomic_load(&all[i].answers) == 0) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
}

CKIT_TEST(pauses, a_connection_that_many_have_lost_is_news_to_one) {
    static written all[WRITES];
    fixture        f;
    unsigned       lost = 0, news = 0;
    fixture_open(&f);
    f.server.cut_after = 0;
    f.server.faulty = 1;
    hand_over_writes(&f, all);
    for (unsigned i = 0; i < WRITES; i++) {
        CHECK(all[i].status == CKIT_OK || all[i].status == CKIT_E_NETWORK);
        lost += all[i].status == CKIT_E_NETWORK;
        news += all[i].status == CKIT_E_NETWORK && all[i].request.error.sys_errno != EAGAIN;
    }
    CHECK(lost > 0);
    CHECK_EQ_U(1, news);
    fixture_close(&f);
}
