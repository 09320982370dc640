/* How often the server's side of a connection is looked at before something is sent: every look is a system call. The
 * streams count them, and can bring what nobody asked for. Of channel.c, pump.c and stream_socket.c. */
#include "fake_server.h"
#include "store.h"

#include "base/alloc.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <errno.h>

static struct {
    uint64_t    looks, reads, writes;
    const char *unasked; /* what the next look finds, once */
    bool        closed;  /* or the end, once */
    const char *stray;   /* what the next read gets before the answer, once */
} counted;

typedef struct counting_stream {
    ckiti_redis_stream  base;
    ckiti_redis_stream *socket;
    const ckit_alloc   *alloc;
} counting_stream;

static const ckiti_redis_stream_ops counting;

static ckit_status counting_open(const ckiti_redis_address *address, const ckiti_redis_endpoint *to,
                                 const ckit_alloc *alloc, uint64_t until_ms, ckiti_redis_stream **out,
                                 ckit_error *err) {
    counting_stream *s = ckiti_alloc(alloc, sizeof *s);
    CHECK(s != NULL);
    *s = (counting_stream){.base.ops = &counting, .alloc = alloc};
    ckit_status st = ckiti_redis_sockets.open(address, to, alloc, until_ms, &s->socket, err);
    CHECK_OK_ERR(st, err);
    *out = &s->base;
    return st;
}

static ssize_t counting_read(ckiti_redis_stream *stream, const struct iovec *parts, int count, uint64_t until_ms) {
    counting_stream *s = (counting_stream *)stream;
    const char      *unasked = until_ms > 0 ? counted.stray : counted.unasked;
    if (until_ms > 0 && unasked == NULL) {
        counted.reads++;
        return s->socket->ops->read(s->socket, parts, count, until_ms);
    }
    counted.looks += until_ms == 0;
    if (until_ms == 0 && counted.closed) {
        counted.closed = false;
        return 0;
    }
    if (unasked != NULL) {
        *(until_ms > 0 ? &counted.stray : &counted.unasked) = NULL;
        memcpy(parts[0].iov_base, unasked, strlen(unasked));
        return (ssize_t)strlen(unasked);
    }
    return s->socket->ops->read(s->socket, parts, count, until_ms);
}

static int counting_write(ckiti_redis_stream *stream, struct iovec *parts, int count, uint64_t until_ms) {
    counting_stream *s = (counting_stream *)stream;
    counted.writes++;
    return s->socket->ops->write(s->socket, parts, count, until_ms);
}

static void counting_interrupt(ckiti_redis_stream *stream) {
    counting_stream *s = (counting_stream *)stream;
    s->socket->ops->interrupt(s->socket);
}

static void counting_close(ckiti_redis_stream *stream) {
    counting_stream *s = (counting_stream *)stream;
    s->socket->ops->close(s->socket);
    ckiti_free(s->alloc, s, sizeof *s);
}

static const ckiti_redis_stream_ops counting = {.open = counting_open,
                                                .read = counting_read,
                                                .write = counting_write,
                                                .interrupt = counting_interrupt,
                                                .close = counting_close,
                                                .forget = counting_close};

typedef struct fixture {
    fake_server             server;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} fixture;

static void expect_get(fixture *f, const char *key) {
    ckit_buf   out = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(f->ops->get(f->self, S(key), CKIT_NO_DEADLINE, &out, NULL, &err), &err);
    CHECK_TEXT(key, ckit_buf_slice(&out));
    ckit_buf_fini(&out);
}

static void fixture_open(fixture *f) {
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    memset(f, 0, sizeof *f);
    fake_server_start(&f->server);
    options.url = f->server.url;
    options.retries = CKIT_REDIS_NO_RETRY;
    options.socket_timeout_ms = options.socket_connect_timeout_ms = 20000;
    CHECK_OK_ERR(ckiti_redis_open_with(&options, NULL, &counting, false, &f->backend, &err), &err);
    f->ops = ckit_backend_operations(f->backend);
    f->self = ckit_backend_self(f->backend);
    expect_get(f, "warm");
    memset(&counted, 0, sizeof counted);
}

static void fixture_close(fixture *f) {
    ckit_backend_close(f->backend);
    fake_server_stop(&f->server);
}

static void await_tick(void) {
    uint64_t now = ckiti_system_monotonic_ms();
    while (ckiti_system_monotonic_ms() == now) {}
}

CKIT_TEST(looks, one_read_after_the_other_costs_a_write_and_a_read_and_at_most_a_look_a_tick) {
    fixture f;
    fixture_open(&f);
    uint64_t began = ckiti_system_monotonic_ms();
    for (int i = 0; i < 2000; i++) {
        expect_get(&f, "value");
    }
    uint64_t ticks = ckiti_system_monotonic_ms() - began + 1; /* or fewer: one takes a millisecond or more */
    CHECK_EQ_U(2000, counted.writes);
    CHECK_EQ_U(2000, counted.reads);
    CHECK(counted.looks <= ticks);
    fixture_close(&f);
}

CKIT_TEST(looks, a_reply_that_came_unasked_is_given_to_nobody) {
    fixture f;
    fixture_open(&f);
    for (uint64_t i = 1; i <= 3; i++) {
        await_tick();
        counted.unasked = "$5\r\nalien\r\n";
        expect_get(&f, "value");
        CHECK(counted.unasked == NULL);
        CHECK_EQ_U(1 + i, f.server.connections);
    }
    fixture_close(&f);
}

CKIT_TEST(looks, a_connection_that_the_server_closed_meanwhile_costs_nobody_a_failure) {
    fixture f;
    fixture_open(&f);
    await_tick();
    counted.closed = true;
    expect_get(&f, "value");
    CHECK_EQ_U(2, f.server.connections);
    fixture_close(&f);
}

CKIT_TEST(looks, what_the_server_tells_of_its_own_accord_is_passed_over) {
    fixture f;
    fixture_open(&f);
    await_tick();
    counted.unasked = ">2\r\n$10\r\ninvalidate\r\n_\r\n";
    expect_get(&f, "value");
    CHECK(counted.unasked == NULL);
    CHECK_EQ_U(1, f.server.connections);
    fixture_close(&f);
}

/* Half of a message has come with an answer: the rest is looked for, whatever the clock says. */
CKIT_TEST(looks, half_a_message_behind_an_answer_is_waited_for) {
    fixture f;
    fixture_open(&f);
    f.server.after = ">2\r\n$10\r\ninvali";
    expect_get(&f, "value");
    f.server.after = NULL;
    counted.unasked = "date\r\n_\r\n";
    expect_get(&f, "value");
    CHECK(counted.unasked == NULL);
    CHECK_EQ_U(1, f.server.connections);
    fixture_close(&f);
}

/* ---- a reply that comes between the look and the answer ---------------------------------------------------------- */

static const char *const strays[] = {"$5\r\nalien\r\n", ":7\r\n",        "_\r\n",
                                     "+OK\r\n",         "-ERR late\r\n", "*1\r\n$1\r\nx\r\n"};
#define STRAYS (sizeof strays / sizeof strays[0])

CKIT_TEST(strays, a_read_that_asks_for_the_life_never_takes_one_for_its_value_and_the_connection_ends) {
    fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < STRAYS; i++) {
        ckit_buf out = CKIT_BUF_INIT;
        uint64_t life_ms;
        counted.stray = strays[i];
        CHECK(f.ops->get(f.self, S("value"), CKIT_NO_DEADLINE, &out, &life_ms, NULL) >= CKIT_E_FIRST);
        CHECK(counted.stray == NULL);
        CHECK_EQ_U(0, out.len);
        CHECK_OK(f.ops->get(f.self, S("value"), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
        CHECK_TEXT("value", ckit_buf_slice(&out));
        CHECK_EQ_U(2 + i, f.server.connections);
        ckit_buf_fini(&out);
    }
    fixture_close(&f);
}

CKIT_TEST(strays, nor_does_a_read_of_many) {
    fixture f;
    fixture_open(&f);
    for (size_t i = 0; i < STRAYS; i++) {
        ckit_slice  keys[] = {S("one"), S("two")};
        ckit_buf    out[] = {CKIT_BUF_INIT, CKIT_BUF_INIT};
        ckit_status answers[2];
        uint64_t    life_ms[2];
        counted.stray = strays[i];
        CHECK(f.ops->get_many(f.self, keys, 2, CKIT_NO_DEADLINE, out, i % 2 == 0 ? life_ms : NULL, answers, NULL) >=
              CKIT_E_FIRST);
        CHECK(counted.stray == NULL);
        CHECK(out[0].len == 0 && out[1].len == 0);
        CHECK_OK(f.ops->get_many(f.self, keys, 2, CKIT_NO_DEADLINE, out, life_ms, answers, NULL));
        CHECK_TEXT("one", ckit_buf_slice(&out[0]));
        CHECK_TEXT("two", ckit_buf_slice(&out[1]));
        CHECK_EQ_U(2 + i, f.server.connections);
        ckit_buf_fini(&out[0]);
        ckit_buf_fini(&out[1]);
    }
    fixture_close(&f);
}
