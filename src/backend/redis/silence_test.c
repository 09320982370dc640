/* A server that says nothing: who waits, and what the others are told. */
#include "fake_server.h"
#include "store.h"

#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define LIMIT_MS 120u /* of an operation */
#define FOR_EVER 3600000u

typedef struct fixture {
    fake_server             server;
    ckit_redis_options      options;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    unsigned                waits; /* calls that were not told, so far */
} fixture;

/* As many commands as that can have been sent: a login of each connection, and two for each call that waited. */
static uint64_t most_commands(const fixture *f) { return 3 * f->server.connections + UINT64_C(2) * f->waits; }

/* Nothing is tried anew by itself: that takes as long as the longest pause. */
static void fixture_open_with(fixture *f, uint32_t socket_timeout_ms) {
    ckit_error err = CKIT_ERROR_INIT;
    memset(f, 0, sizeof *f);
    fake_server_start(&f->server);
    f->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    f->options.url = f->server.url;
    f->options.socket_timeout_ms = socket_timeout_ms;
    f->options.socket_connect_timeout_ms = 20000;
    f->options.backoff_max_ms = FOR_EVER;
    CHECK_OK_ERR(ckit_redis_open(&f->options, NULL, &f->backend, &err), &err);
    f->ops = ckit_backend_operations(f->backend);
    f->self = ckit_backend_self(f->backend);
}

static void fixture_open(fixture *f) { fixture_open_with(f, FOR_EVER); }

static void fixture_close(fixture *f) {
    ckit_backend_close(f->backend);
    fake_server_stop(&f->server);
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

static ckit_status get_by(fixture *f, uint64_t deadline_ms, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life_ms = 0;
    ckit_status st = f->ops->get(f->self, S("key"), deadline_ms, &out, &life_ms, err);
    ckit_buf_fini(&out);
    return st;
}

/* This thread may have been held up before it asked. */
static bool came_too_late(const ckit_error *err) { return strstr(err->text, "deadline has passed") != NULL; }

static ckit_status get(fixture *f, ckit_error *err) {
    ckit_status st;
    do {
        *err = (ckit_error)CKIT_ERROR_INIT;
        st = get_by(f, now_ms() + LIMIT_MS, err);
    } while (st == CKIT_E_TIMEOUT && came_too_late(err));
    return st;
}

static bool is_told(const ckit_error *err) { return strstr(err->text, "said nothing") != NULL; }

/* The silence is that of a connection, and will not be broken by a call: without one, callers try anew by and by (on a
 * slow machine making one may take longer than a call), and who has twice the time that it has lasted would ask. */
static bool is_silent_for_good(fixture *f) {
    uint32_t all, taken;
    ckiti_redis_node_count(&((ckiti_redis_store *)f->self)->node, &all, &taken);
    for (uint64_t until = now_ms() + LIMIT_MS; all > 0 && now_ms() < until;) {
        nap();
    }
    return all > 0;
}

/* Calls wait in vain until one is told so without waiting: the first that has heard nothing at all. */
static void await_silence(fixture *f) {
    ckit_error err;
    for (;;) {
        CHECK_STATUS_ERR(CKIT_E_TIMEOUT, get(f, &err), &err);
        if (is_told(&err)) {
            return;
        }
        f->waits++;
    }
}

/* The server answers to nothing but logins, on every connection. */
static void fall_silent(fixture *f) {
    f->server.stall_after = 0;
    f->server.faulty = -1;
    do {
        await_silence(f);
    } while (!is_silent_for_good(f));
}

static _Atomic bool held;

/* The server's thread stands still. */
static const char *hold(fake_server *s, const char *words, uint64_t count) {
    (void)s, (void)words, (void)count;
    while (held) {
        nap();
    }
    return NULL;
}

/* On a connection that has been good. */
static void stand_still(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(get_by(f, CKIT_NO_DEADLINE, &err), &err);
    held = true;
    f->server.told = hold;
    await_silence(f);
}

CKIT_TEST(silence, one_waits_and_the_others_are_told_without_a_word_to_the_server) {
    fixture    f;
    ckit_error err;
    fixture_open(&f);
    fall_silent(&f);
    unsigned news = 0;
    for (unsigned i = 0; i < 300; i++) {
        CHECK_STATUS_ERR(CKIT_E_TIMEOUT, get(&f, &err), &err);
        CHECKF(is_told(&err), "%s", err.text);
        CHECK(err.sys_errno == EAGAIN || err.sys_errno == EINPROGRESS);
        news += err.sys_errno == EINPROGRESS;
        nap();
    }
    CHECK_BETWEEN_U(1, most_commands(&f), f.server.commands);
    CHECK(news > 0); /* 300 ms and more were more than two limits */
    fixture_close(&f);
}

CKIT_TEST(silence, each_stretch_of_it_that_is_as_long_as_a_limit_counts_once) {
    fixture    f;
    ckit_error err;
    fixture_open(&f);
    fall_silent(&f);
    uint64_t began = now_ms();
    for (uint64_t news = 0; news < 4;) {
        CHECK_STATUS_ERR(CKIT_E_TIMEOUT, get(&f, &err), &err);
        if (err.sys_errno == EINPROGRESS) {
            news++;
            /* The first may be due at once, the clock goes in ticks. */
            CHECK(now_ms() - began + 10 * news >= (news - 1) * LIMIT_MS);
        }
        nap();
    }
    fixture_close(&f);
}

CKIT_TEST(silence, a_write_that_was_not_sent_says_so) {
    const ckit_entry_info info = {.ttl_ms = 60000};
    fixture               f;
    ckit_error            err = CKIT_ERROR_INIT;
    fixture_open(&f);
    fall_silent(&f);
    ckit_status st;
    do {
        st = f.ops->set(f.self, S("key"), S("value"), &info, now_ms() + LIMIT_MS, &err);
    } while (st == CKIT_E_TIMEOUT && came_too_late(&err));
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, st, &err);
    CHECK_EQ_I(CKIT_KIND_TIMEOUT, err.kind);
    fixture_close(&f);
}

CKIT_TEST(silence, ends_with_the_first_byte_that_comes) {
    fixture    f;
    ckit_error err;
    int        left = 20000;
    fixture_open(&f);
    stand_still(&f);
    held = false;
    while (get(&f, &err) != CKIT_OK && left-- > 0) {
        nap();
    }
    CHECK(left > 0);
    CHECK_EQ_U(1, f.server.connections); /* it is the same one */
    fixture_close(&f);
}

CKIT_TEST(silence, ends_on_another_connection_when_somebody_hurries) {
    fixture    f;
    ckit_error err;
    fixture_open(&f);
    fall_silent(&f);
    uint64_t connections = f.server.connections;
    f.server.faulty = 0;
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, get(&f, &err), &err);
    CHECK_EQ_U(connections, f.server.connections);
    f.ops->hurry(f.self);
    CHECK_OK_ERR(get_by(&f, now_ms() + 20000, &err), &err); /* not one without a limit: those wait in any case */
    CHECK_EQ_U(connections + 1, f.server.connections);
    fixture_close(&f);
}

static void *get_in_time(void *arg) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(get_by(arg, CKIT_NO_DEADLINE, &err), &err);
    return NULL;
}

CKIT_TEST(silence, does_not_keep_those_who_have_time_from_waiting) {
    fixture   f;
    pthread_t thread;
    fixture_open(&f);
    stand_still(&f);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_in_time, &f));
    for (int i = 0; i < 50; i++) { /* long enough to be turned away */
        nap();
    }
    held = false;
    CHECK_EQ_I(0, pthread_join(thread, NULL));
    fixture_close(&f);
}

/* Calls with a limit until one is answered: how many were not. */
static unsigned await_answer(fixture *f) {
    ckit_error err;
    unsigned   failed = 0;
    while (get(f, &err) != CKIT_OK && failed < 20000) {
        failed++;
        nap();
    }
    return failed;
}

/* Nothing can be heard where there is no connection. */
CKIT_TEST(silence, a_server_that_lets_nobody_in_for_a_moment_is_used_soon_after) {
    fixture    f;
    ckit_error err;
    fixture_open(&f);
    held = true;
    f.server.told = hold;
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, get(&f, &err), &err);
    held = false;
    CHECK(await_answer(&f) < 20000);
    fixture_close(&f);
}

/* The limit of the calls is that of the connection, as it is by default. */
CKIT_TEST(silence, ends_with_the_first_byte_also_when_the_connection_has_been_silent_for_as_long_as_it_may) {
    fixture f;
    fixture_open_with(&f, LIMIT_MS);
    CHECK(await_answer(&f) < 20000);
    held = true;
    f.server.told = hold;
    await_silence(&f);
    held = false;
    CHECK(await_answer(&f) < 20000);
    fixture_close(&f);
}

/* Whose own time is the connection's. */
CKIT_TEST(silence, who_comes_when_the_connection_has_been_silent_for_too_long_does_not_fail_for_that) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open_with(&f, 300);
    f.server.stall_after = 0;
    f.server.faulty = 1;
    await_silence(&f);
    for (uint64_t until = now_ms() + 400; now_ms() < until;) {
        nap();
    }
    uint64_t    began = now_ms();
    ckit_status st = get_by(&f, CKIT_NO_DEADLINE, &err);
    CHECKF(st == CKIT_OK || now_ms() - began >= 290, "%s", err.text);
    fixture_close(&f);
}

static void *get_in_20_s(void *arg) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(get_by(arg, now_ms() + 20000, &err), &err);
    return NULL;
}

CKIT_TEST(silence, who_has_much_more_time_than_anybody_has_waited_asks) {
    fixture   f;
    pthread_t thread;
    fixture_open(&f);
    stand_still(&f);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, get_in_20_s, &f));
    for (int i = 0; i < 50; i++) { /* long enough to be turned away */
        nap();
    }
    held = false;
    CHECK_EQ_I(0, pthread_join(thread, NULL));
    fixture_close(&f);
}

/* Nobody had asked anything before. */
CKIT_TEST(silence, is_told_as_long_as_somebody_has_waited) {
    fixture            f;
    ckit_error         err;
    unsigned long long told = 0;
    fixture_open(&f);
    CHECK(await_answer(&f) < 20000);
    for (int i = 0; i < 30; i++) {
        nap();
    }
    uint64_t began = now_ms();
    f.server.stall_after = 0;
    held = true;
    f.server.told = hold;
    await_silence(&f);
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, get(&f, &err), &err);
    const char *at = strstr(err.text, "nothing for ");
    CHECK(at != NULL && sscanf(at, "nothing for %llu ms", &told) == 1);
    CHECK_BETWEEN_U(0, now_ms() - began + 10, told); /* the clock goes in ticks */
    held = false;
    fixture_close(&f);
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

static bool is_told_of(const ckit_lease *lease) {
    const ckit_lease none = {.fence = 0};
    return memcmp(lease, &none, sizeof none) != 0;
}

CKIT_TEST(silence, a_lock_that_the_server_was_not_asked_for_is_nobodys) {
    const ckit_slice keys[] = {S_LITERAL("a"), S_LITERAL("b")};
    ckit_lease       leases[2] = {{.fence = 0}, {.fence = 0}};
    ckit_status      answers[2];
    fixture          f;
    ckit_error       err = CKIT_ERROR_INIT;
    fixture_open(&f);
    fall_silent(&f);
    CHECK_STATUS(CKIT_E_TIMEOUT, f.ops->lock_try(f.self, keys[0], 60000, now_ms() + LIMIT_MS, &leases[0], &err));
    CHECK(is_told(&err) || came_too_late(&err));
    err = (ckit_error)CKIT_ERROR_INIT;
    CHECK_STATUS(CKIT_E_TIMEOUT,
                 f.ops->lock_try_many(f.self, keys, 2, 60000, now_ms() + LIMIT_MS, leases, answers, &err));
    CHECK(is_told(&err) || came_too_late(&err));
    CHECK(!is_told_of(&leases[0]) && !is_told_of(&leases[1]));
    fixture_close(&f);
}

/* Answers with nothing, and lets nobody in any more. */
static const char *shut_the_door(fake_server *s, const char *words, uint64_t count) {
    (void)count;
    if (strncmp(words, "EVAL", 4) == 0) {
        s->hello = "-LOADING\r\n";
    }
    return NULL;
}

CKIT_TEST(silence, a_lock_that_the_server_was_asked_for_in_vain_is_told_whatever_the_next_attempt_finds) {
    const ckit_slice keys[] = {S_LITERAL("a"), S_LITERAL("b")};
    for (size_t count = 1; count <= 2; count++) {
        ckit_lease  leases[2] = {{.fence = 0}, {.fence = 0}};
        ckit_status answers[2];
        fixture     f;
        ckit_error  err = CKIT_ERROR_INIT;
        fixture_open(&f);
        f.server.cut_after = 0;
        f.server.faulty = -1;
        f.server.told = shut_the_door;
        ckit_status st = count == 1
                             ? f.ops->lock_try(f.self, keys[0], 60000, CKIT_NO_DEADLINE, leases, &err)
                             : f.ops->lock_try_many(f.self, keys, 2, 60000, CKIT_NO_DEADLINE, leases, answers, &err);
        CHECK_STATUS_ERR(CKIT_E_SERVER, st, &err);
        CHECK(is_told_of(&leases[0]) && is_told_of(&leases[1]) == (count == 2));
        fixture_close(&f);
    }
}

/* ---- requests that are handed over ------------------------------------------------------------------------------- */

typedef struct handed {
    ckit_request     request;
    ckit_buf         out;
    _Atomic unsigned answers;
    ckit_status      status;
} handed;

static void take_answer(ckit_request *request, ckit_status status) {
    handed *h = request->context;
    h->status = status;
    atomic_fetch_add(&h->answers, 1);
}

static ckit_status submit_by(fixture *f, handed *h, uint64_t deadline_ms) {
    *h = (handed){.status = CKIT_PENDING};
    h->request = (ckit_request){.kind = CKIT_REQUEST_GET,
                                .key = S("key"),
                                .out = &h->out,
                                .deadline_ms = deadline_ms,
                                .done = take_answer,
                                .context = h};
    ckit_status taken = f->ops->submit(f->self, &h->request, &h->request.error);
    if (taken != CKIT_PENDING) { /* it came too late */
        return taken;
    }
    for (int left = 20000; atomic_load(&h->answers) == 0 && left > 0; left--) {
        nap();
    }
    CHECK_EQ_U(1, h->answers);
    ckit_buf_fini(&h->out);
    return h->status;
}

static ckit_status submit(fixture *f, handed *h) { return submit_by(f, h, now_ms() + LIMIT_MS); }

static void await_silence_of_requests(fixture *f) {
    handed h;
    for (;;) {
        CHECK_STATUS(CKIT_E_TIMEOUT, submit(f, &h));
        if (!is_told(&h.request.error)) {
            f->waits++;
        } else if (is_silent_for_good(f)) {
            return;
        }
    }
}

CKIT_TEST(silence, requests_are_told_too_before_they_are_taken) {
    fixture  f;
    handed   h;
    unsigned told = 0;
    fixture_open(&f);
    f.server.stall_after = 0;
    f.server.faulty = -1;
    await_silence_of_requests(&f);
    for (int i = 0; i < 50; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, submit(&f, &h));
        told += is_told(&h.request.error);
        CHECKF(is_told(&h.request.error) || came_too_late(&h.request.error), "%d: %s", i, h.request.error.text);
    }
    CHECK(told > 0);
    CHECK_BETWEEN_U(0, most_commands(&f), f.server.commands);
    fixture_close(&f);
}

CKIT_TEST(silence, requests_go_to_another_connection_when_somebody_hurries) {
    fixture f;
    handed  h;
    fixture_open(&f);
    f.server.stall_after = 0;
    f.server.faulty = -1;
    await_silence_of_requests(&f);
    uint64_t connections = f.server.connections;
    f.server.faulty = 0;
    f.ops->hurry(f.self);
    CHECK_OK_ERR(submit_by(&f, &h, now_ms() + 20000), &h.request.error);
    CHECK_EQ_U(connections + 1, f.server.connections);
    fixture_close(&f);
}

/* A call of the store's own, which notes when its attempts begin. */
typedef struct noting {
    ckiti_redis_call call;
    _Atomic uint64_t first_ms;
    _Atomic bool     done;
} noting;

static void write_ping(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    (void)call;
    ckiti_resp_command(w, 1);
    ckiti_resp_text(w, "PING");
}

static void take_pong(ckiti_redis_call *call, const ckiti_resp_item *item) {
    (void)ckiti_redis_call_refused(call, item);
}

static void note_end(ckiti_redis_call *call) { ((noting *)call)->done = true; }

/* The answer comes 50 ms after the attempt has begun, and is cut. */
static const char *hold_a_while(fake_server *s, const char *words, uint64_t count) {
    noting *n = s->context;
    (void)count;
    while (strcmp(words, "PING") == 0 && now_ms() < n->first_ms + 50) {
        nap();
    }
    return NULL;
}

/* What was before it is no silence. */
CKIT_TEST(silence, a_request_that_is_repeated_begins_anew) {
    fixture f;
    fixture_open(&f);
    noting n = {.call = {.write = write_ping, .take = take_pong, .finish = note_end, .replies = 1}};
    f.server.context = &n;
    f.server.told = hold_a_while;
    f.server.cut_after = 0;
    f.server.faulty = 1;
    n.call.until_ms = now_ms() + 20000;
    n.first_ms = now_ms();
    CHECK_STATUS(CKIT_PENDING, ckiti_redis_node_submit(&((ckiti_redis_store *)f.self)->node, &n.call));
    for (int left = 20000; !n.done && left > 0; left--) {
        nap();
    }
    CHECK(n.done && n.call.status == CKIT_OK && n.call.attempts == 1);
    CHECK(n.call.began_ms >= n.first_ms + 40); /* the clock goes in ticks */
    fixture_close(&f);
}

/* Until one is answered: false when none is. */
static bool is_answered_again(fixture *f) {
    handed h;
    for (int left = 20000; left > 0; left--) {
        if (submit(f, &h) == CKIT_OK) {
            return true;
        }
        nap();
    }
    return false;
}

CKIT_TEST(silence, requests_are_taken_again_when_it_ends_or_the_connection_does) {
    for (uint32_t socket_timeout_ms = LIMIT_MS; socket_timeout_ms < 400; socket_timeout_ms += LIMIT_MS) {
        fixture f;
        handed  h;
        fixture_open_with(&f, socket_timeout_ms);
        CHECK(is_answered_again(&f));
        held = true;
        f.server.told = hold;
        do {
            CHECK_STATUS(CKIT_E_TIMEOUT, submit(&f, &h));
        } while (!is_told(&h.request.error));
        for (uint64_t until = now_ms() + 2 * socket_timeout_ms; now_ms() < until;) {
            CHECK_STATUS(CKIT_E_TIMEOUT, submit(&f, &h));
            nap();
        }
        held = false;
        CHECK(is_answered_again(&f));
        fixture_close(&f);
    }
}
