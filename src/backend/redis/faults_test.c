/* A server that misbehaves: every answer is right or a classified failure, nobody gets another's, and the next good
 * moment is used. Of backoff.c, combine.c and failure.c. */
#include "failure.h"
#include "fake_server.h"

#include "support/failing_alloc.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct fixture {
    fake_server             server;
    failing_alloc           memory;
    ckit_redis_options      options;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} fixture;

static void fixture_init(fixture *f) {
    memset(f, 0, sizeof *f);
    fake_server_start(&f->server);
    failing_alloc_init(&f->memory, FAILING_ALLOC_NEVER);
    f->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    f->options.url = f->server.url;
    f->options.socket_timeout_ms = 20000;
    f->options.socket_connect_timeout_ms = 20000;
    f->options.backoff_max_ms = 50;
}

static void fixture_open(fixture *f) {
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    ckit_error       err = CKIT_ERROR_INIT;
    env.alloc = &f->memory.alloc;
    CHECK_OK_ERR(ckit_redis_open(&f->options, &env, &f->backend, &err), &err);
    f->ops = ckit_backend_operations(f->backend);
    f->self = ckit_backend_self(f->backend);
}

static void fixture_close(fixture *f) {
    ckit_backend_close(f->backend);
    fake_server_stop(&f->server);
    failing_alloc_check_empty(&f->memory);
}

static uint64_t soon(uint64_t ms) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + ms;
}

/* The fake server's value of a key is the key. */
static ckit_status get(fixture *f, const char *key, uint64_t deadline_ms, ckit_error *err) {
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms = 0;
    CHECK_OK(ckit_buf_append(&out, S("head-")));
    ckit_status st = f->ops->get(f->self, S(key), deadline_ms, &out, &life_ms, err);
    if (st == CKIT_OK) {
        CHECK_EQ_U(strlen(key) + 5, out.len);
        CHECK(memcmp(out.ptr + 5, key, strlen(key)) == 0);
        CHECK_EQ_U(60000, life_ms);
    } else {
        CHECK_TEXT("head-", ckit_buf_slice(&out));
    }
    ckit_buf_fini(&out);
    return st;
}

static void expect_get(fixture *f, const char *key) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(get(f, key, CKIT_NO_DEADLINE, &err), &err);
}

/* Until the pause after a failed attempt is over. */
static void expect_recovery(fixture *f, const char *key) {
    for (int i = 0; i < 6000; i++) {
        if (get(f, key, CKIT_NO_DEADLINE, NULL) == CKIT_OK) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    FAIL("it does not come back");
}

#define ANSWER_BYTES 19 /* ":60000\r\n" "$5\r\nvalue\r\n", short of the last byte */

/* ---- cut and stalled --------------------------------------------------------------------------------------------- */

CKIT_TEST(cuts, an_answer_cut_at_any_byte_is_a_failure_of_the_network_when_it_may_not_be_repeated) {
    fixture f;
    fixture_init(&f);
    f.options.retries = CKIT_REDIS_NO_RETRY;
    fixture_open(&f);
    for (int cut = 0; cut < ANSWER_BYTES; cut++) {
        ckit_error err = CKIT_ERROR_INIT;
        expect_get(&f, "fine");
        f.server.cut_after = cut;
        f.server.faulty = 1;
        ckit_backend_close(f.backend);
        fixture_open(&f);
        CHECK_STATUS_ERR(CKIT_E_NETWORK, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
        expect_get(&f, "value");
    }
    fixture_close(&f);
}

CKIT_TEST(cuts, a_lost_answer_is_asked_for_again) {
    fixture f;
    fixture_init(&f);
    for (int cut = 0; cut < ANSWER_BYTES; cut++) {
        f.server.cut_after = cut;
        f.server.faulty = 1;
        fixture_open(&f);
        expect_get(&f, "value");
        ckit_backend_close(f.backend);
    }
    fixture_open(&f);
    fixture_close(&f);
}

CKIT_TEST(cuts, an_answer_stalled_at_any_byte_is_a_timeout_and_the_connection_goes_on_or_is_replaced) {
    fixture f;
    fixture_init(&f);
    f.options.socket_timeout_ms = 20;
    for (int stall = 0; stall < ANSWER_BYTES; stall++) {
        ckit_error err = CKIT_ERROR_INIT;
        f.server.stall_after = stall;
        f.server.faulty = 1;
        fixture_open(&f);
        CHECK_STATUS_ERR(CKIT_E_TIMEOUT, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
        expect_recovery(&f, "other");
        ckit_backend_close(f.backend);
    }
    fixture_open(&f);
    fixture_close(&f);
}

static _Atomic bool held;

/* Nothing is answered meanwhile, however long a busy machine takes to notice that somebody's time is up. */
static const char *hold(fake_server *s, const char *words, uint64_t count) {
    (void)s, (void)words, (void)count;
    while (held) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

CKIT_TEST(cuts, a_late_answer_goes_to_nobody) {
    fixture f;
    fixture_init(&f);
    f.server.told = hold;
    fixture_open(&f);
    expect_get(&f, "warm");
    for (int i = 0; i < 10; i++) {
        held = true;
        CHECK_STATUS(CKIT_E_TIMEOUT, get(&f, "late", soon(10), NULL));
        held = false;
        expect_get(&f, "prompt");
    }
    CHECK_EQ_U(1, f.server.connections);
    fixture_close(&f);
}

CKIT_TEST(cuts, a_large_value_that_is_cut_leaves_nothing_behind) {
    fixture f;
    char   *key = malloc(60001);
    CHECK(key != NULL);
    memset(key, 'k', 60000);
    key[60000] = '\0';
    fixture_init(&f);
    f.options.retries = CKIT_REDIS_NO_RETRY;
    for (int cut = 100; cut < 60000; cut += 9973) {
        f.server.cut_after = cut;
        f.server.faulty = 1;
        fixture_open(&f);
        CHECK_STATUS(CKIT_E_NETWORK, get(&f, key, CKIT_NO_DEADLINE, NULL));
        expect_get(&f, key);
        ckit_backend_close(f.backend);
    }
    fixture_open(&f);
    fixture_close(&f);
    free(key);
}

/* ---- nonsense ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(nonsense, what_is_not_the_protocol_drops_the_connection_and_the_next_is_used) {
    static const char *const rows[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n", "\r\n", ":x\r\n", "$-7\r\n", "*99999999\r\n", "\x16\x03\x01\r\n"};
    fixture f;
    fixture_init(&f);
    fixture_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        f.server.instead = rows[i];
        CHECK_STATUS_ERR(CKIT_E_IO, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
        f.server.instead = NULL;
        expect_get(&f, "value");
    }
    fixture_close(&f);
}

/* It may be another command's, and so may all that follow it. */
CKIT_TEST(nonsense, an_answer_of_another_type_is_a_failure_and_nothing_is_read_behind_it) {
    static const char *const rows[] = {"+OK\r\n", "*1\r\n+x\r\n", "%1\r\n+a\r\n+b\r\n", "#t\r\n", ",1.5\r\n"};
    fixture                  f;
    fixture_init(&f);
    fixture_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f.server.instead = rows[i];
        CHECK_STATUS(CKIT_E_IO, get(&f, "value", CKIT_NO_DEADLINE, NULL));
        f.server.instead = NULL;
        expect_get(&f, "value");
        CHECK_EQ_U(2 + i, f.server.connections);
    }
    fixture_close(&f);
}

CKIT_TEST(nonsense, a_reply_to_nothing_that_was_asked_is_given_to_nobody) {
    fixture f;
    fixture_init(&f);
    fixture_open(&f);
    for (int i = 0; i < 10; i++) {
        f.server.after = "$5\r\nalien\r\n";
        expect_get(&f, "first");
        f.server.after = NULL;
        expect_get(&f, "second");
    }
    CHECK(f.server.connections > 1);
    fixture_close(&f);
}

CKIT_TEST(nonsense, push_messages_between_answers_disturb_nobody) {
    fixture f;
    fixture_init(&f);
    fixture_open(&f);
    f.server.before = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    f.server.after = ">2\r\n$10\r\ninvalidate\r\n_\r\n";
    for (int i = 0; i < 10; i++) {
        expect_get(&f, "value");
    }
    CHECK_EQ_U(1, f.server.connections);
    fixture_close(&f);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(refusals, they_are_classified_by_their_first_word) {
    static const struct {
        const char *reply;
        ckit_status status;
    } rows[] = {{"NOAUTH Authentication required.", CKIT_E_CREDENTIALS},
                {"WRONGPASS invalid username-password pair or user is disabled.", CKIT_E_CREDENTIALS},
                {"NOPERM this user has no permissions", CKIT_E_CREDENTIALS},
                {"LOADING Redis is loading the dataset in memory", CKIT_E_SERVER},
                {"TRYAGAIN Multiple keys request during rehashing of slot", CKIT_E_SERVER},
                {"CLUSTERDOWN The cluster is down", CKIT_E_SERVER},
                {"MASTERDOWN Link with MASTER is down", CKIT_E_SERVER},
                {"READONLY You can't write against a read only replica.", CKIT_E_SERVER},
                {"BUSY Redis is busy running a script", CKIT_E_SERVER},
                {"MOVED 3999 127.0.0.1:6381", CKIT_E_SERVER},
                {"ASK 3999 127.0.0.1:6381", CKIT_E_SERVER},
                {"OOM command not allowed when used memory > 'maxmemory'.", CKIT_E_NO_SPACE},
                {"ERR max number of clients reached", CKIT_E_POOL_EXHAUSTED},
                {"WRONGTYPE Operation against a key holding the wrong kind of value", CKIT_E_REJECTED},
                {"ERR syntax error", CKIT_E_REJECTED},
                {"NEVERHEARD of this one", CKIT_E_IO}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS_ERR(rows[i].status, ckiti_redis_refusal(&err, S(rows[i].reply)), &err);
    }
}

CKIT_TEST(refusals, no_key_or_argument_is_repeated) {
    ckit_error err = CKIT_ERROR_INIT;
    (void)ckiti_redis_refusal(&err, S("ERR unknown command 'UNLINK', with args beginning with: 'secret-key' "));
    CHECK(strstr(err.text, "secret-key") == NULL);
    CHECK_CONTAINS("UNLINK", err.text);
}

CKIT_TEST(refusals, a_refused_command_leaves_the_connection_in_use) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_init(&f);
    fixture_open(&f);
    f.server.instead = "-LOADING Redis is loading the dataset in memory\r\n";
    CHECK_STATUS_ERR(CKIT_E_SERVER, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
    f.server.instead = NULL;
    expect_get(&f, "value");
    CHECK_EQ_U(1, f.server.connections);
    fixture_close(&f);
}

#define MANY 600 /* more than travel together */

/* Locks are given to the first portion; then comes nonsense. */
static const char *give_some_locks(fake_server *s, const char *words, uint64_t count) {
    unsigned *given = s->context;
    (void)count;
    if (strncmp(words, "EVAL", 4) != 0) {
        return NULL;
    }
    return (*given)++ < 512 ? ":1\r\n" : "?what\r\n";
}

/* Who takes them all for failed would leave those that he has to their end. */
CKIT_TEST(refusals, of_some_of_many_locks_are_told_beside_those_that_were_taken) {
    static ckit_slice  keys[MANY];
    static char        names[MANY][8];
    static ckit_lease  leases[MANY];
    static ckit_status answers[MANY];
    unsigned           given = 0;
    fixture            f;
    ckit_error         err = CKIT_ERROR_INIT;
    fixture_init(&f);
    f.server.context = &given;
    f.server.told = give_some_locks;
    fixture_open(&f);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%u", i);
        keys[i] = S(names[i]);
    }
    CHECK_OK_ERR(f.ops->lock_try_many(f.self, keys, MANY, 30000, soon(10000), leases, answers, &err), &err);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_EQ_I(i < 512, answers[i] == CKIT_OK);
        CHECK_EQ_I(i >= 512, answers[i] >= CKIT_E_FIRST);
        CHECK_EQ_I(i >= 512, leases[i].fence == 0);
        CHECK(memcmp(leases[i].token, (const uint8_t[16]){0}, 16) != 0); /* nobody knows what the server made of it */
    }
    fixture_close(&f);
}

CKIT_TEST(login, a_server_without_hello_is_spoken_to_as_before) {
    fixture f;
    fixture_init(&f);
    f.options.username = "user";
    f.options.password = "secret";
    f.server.hello = "-ERR unknown command 'HELLO'\r\n";
    fixture_open(&f);
    expect_get(&f, "value");
    fixture_close(&f);
}

CKIT_TEST(login, a_refused_password_is_told_as_such_and_never_repeated) {
    static const char *const refused[] = {"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
                                          "-ERR unknown command 'HELLO'\r\n"};
    for (size_t i = 0; i < 2; i++) {
        fixture    f;
        ckit_error err = CKIT_ERROR_INIT;
        fixture_init(&f);
        f.options.password = "hunter2";
        f.server.hello = refused[i];
        f.server.auth = "-ERR invalid password\r\n";
        fixture_open(&f);
        CHECK_STATUS_ERR(CKIT_E_CREDENTIALS, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
        CHECK(strstr(err.text, "hunter2") == NULL);
        /* And once more, within the pause. */
        CHECK_STATUS_ERR(CKIT_E_CREDENTIALS, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
        f.server.hello = NULL;
        expect_recovery(&f, "value");
        fixture_close(&f);
    }
}

CKIT_TEST(login, a_peer_of_another_kind_is_noticed) {
    static const char *const rows[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\r\n"};
    for (size_t i = 0; i < 2; i++) {
        fixture f;
        fixture_init(&f);
        f.server.hello = rows[i];
        fixture_open(&f);
        CHECK_STATUS(CKIT_E_IO, get(&f, "value", CKIT_NO_DEADLINE, NULL));
        f.server.hello = NULL;
        expect_recovery(&f, "value");
        fixture_close(&f);
    }
}

CKIT_TEST(login, nobody_there_is_told_at_once_and_found_when_he_comes) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_init(&f);
    char gone[64];
    memcpy(gone, f.server.url, sizeof gone);
    f.options.url = "redis://127.0.0.1:1/0";
    fixture_open(&f);
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, get(&f, "value", CKIT_NO_DEADLINE, &err), &err);
    CHECK_CONTAINS("127.0.0.1:1: connecting to the server: ", err.text);
    CHECK_EQ_I(EAGAIN, err.sys_errno); /* nobody tried just now */
    ckit_health health;
    f.ops->health(f.self, CKIT_NO_DEADLINE, &health);
    CHECK(!health.healthy);
    CHECK_STR("redis", health.backend_type);
    CHECK(health.detail[0] != '\0');
    fixture_close(&f);
}

/* ---- a crowd ----------------------------------------------------------------------------------------------------- */

typedef struct visitor {
    fixture         *f;
    pthread_t        thread;
    unsigned         number;
    bool             hurried;
    _Atomic uint64_t served;
} visitor;

static void *visit(void *arg) {
    visitor *v = arg;
    char     key[32];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "key-%u-%u", v->number, i);
        ckit_status st = get(v->f, key, v->hurried && i % 3 == 0 ? soon(i % 7) : CKIT_NO_DEADLINE, NULL);
        CHECKF(st == CKIT_OK || st == CKIT_E_NETWORK || st == CKIT_E_TIMEOUT || st == CKIT_E_UNREACHABLE, "%s",
               ckit_status_name(st));
        v->served += st == CKIT_OK;
    }
    return NULL;
}

static void crowd(fixture *f, bool hurried) {
    visitor  visitors[16];
    uint64_t served = 0;
    for (unsigned i = 0; i < 16; i++) {
        visitors[i] = (visitor){.f = f, .number = i, .hurried = hurried};
        CHECK_EQ_I(0, pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]));
    }
    for (unsigned i = 0; i < 16; i++) {
        CHECK_EQ_I(0, pthread_join(visitors[i].thread, NULL));
        served += visitors[i].served;
    }
    CHECK(served > 0);
}

CKIT_TEST(crowd, connections_that_are_cut_all_the_time_mix_up_nothing) {
    fixture f;
    fixture_init(&f);
    f.server.cut_after = 3001;
    f.server.faulty = -1;
    fixture_open(&f);
    crowd(&f, false);
    fixture_close(&f);
}

CKIT_TEST(crowd, those_who_leave_early_leave_their_answers_to_nobody_else) {
    fixture f;
    fixture_init(&f);
    f.server.delay_ms = 1;
    fixture_open(&f);
    crowd(&f, true);
    expect_get(&f, "value");
    fixture_close(&f);
}

typedef struct asker {
    fixture    *f;
    pthread_t   thread;
    const char *key;
    bool        hurried;
    ckit_status status;
} asker;

static void *ask_once(void *arg) {
    asker *a = arg;
    a->status = get(a->f, a->key, a->hurried ? soon(60) : CKIT_NO_DEADLINE, NULL);
    return NULL;
}

/* Whoever leads reads a long value into the memory of somebody whose time ends, and the value never does. */
CKIT_TEST(crowd, a_value_that_stops_on_its_way_holds_nobody_beyond_his_time) {
    char *key = malloc(60001);
    CHECK(key != NULL);
    memset(key, 'k', 60000);
    key[60000] = '\0';
    for (int round = 0; round < 6; round++) {
        fixture f;
        asker   askers[5];
        fixture_init(&f);
        f.options.socket_timeout_ms = 400;
        f.server.delay_ms = 20; /* so that the others queue up behind the first */
        f.server.stall_after = 30000;
        f.server.faulty = 1;
        fixture_open(&f);
        for (int i = 0; i < 5; i++) {
            askers[i] = (asker){.f = &f, .key = i == 1 ? key : "short", .hurried = i == 1};
            CHECK_EQ_I(0, pthread_create(&askers[i].thread, NULL, ask_once, &askers[i]));
        }
        for (int i = 0; i < 5; i++) {
            CHECK_EQ_I(0, pthread_join(askers[i].thread, NULL));
            CHECKF(i == 1 ? askers[i].status == CKIT_E_TIMEOUT || askers[i].status == CKIT_E_NETWORK
                          : askers[i].status == CKIT_OK || askers[i].status == CKIT_E_TIMEOUT,
                   "asker %d: %s", i, ckit_status_name(askers[i].status));
        }
        f.server.delay_ms = 0;
        expect_recovery(&f, "after");
        fixture_close(&f);
    }
    free(key);
}

/* ---- requests that are handed over ------------------------------------------------------------------------------- */

typedef struct handed {
    ckit_request     request;
    ckit_buf         out;
    char             key[32];
    _Atomic uint32_t answers;
    ckit_status      status;
} handed;

static void take_answer(ckit_request *request, ckit_status status) {
    handed *h = request->context;
    h->status = status;
    atomic_fetch_add(&h->answers, 1);
}

static void hand_over(fixture *f, handed *all, size_t count, uint64_t deadline_ms) {
    for (size_t i = 0; i < count; i++) {
        handed *h = &all[i];
        *h = (handed){.status = CKIT_PENDING};
        snprintf(h->key, sizeof h->key, "handed-%zu", i);
        h->request = (ckit_request){.kind = CKIT_REQUEST_GET,
                                    .key = S(h->key),
                                    .out = &h->out,
                                    .deadline_ms = deadline_ms,
                                    .done = take_answer,
                                    .context = h};
        ckit_status st = f->ops->submit(f->self, &h->request, &h->request.error);
        if (st != CKIT_PENDING) { /* the deadline may have passed before all were handed over */
            CHECK_STATUS(deadline_ms == CKIT_NO_DEADLINE ? CKIT_PENDING : CKIT_E_TIMEOUT, st);
            take_answer(&h->request, st);
        }
    }
}

static void collect(handed *all, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (int turn = 0; turn < 20000 && atomic_load(&all[i].answers) == 0; turn++) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        CHECK_EQ_U(1, all[i].answers);
        if (all[i].status == CKIT_OK) {
            CHECK_TEXT(all[i].key, ckit_buf_slice(&all[i].out));
        } else {
            CHECK_EQ_U(0, all[i].out.len);
            CHECK_EQ_I(all[i].status, all[i].request.error.status);
        }
        ckit_buf_fini(&all[i].out);
    }
}

CKIT_TEST(handed, every_request_is_answered_once_with_its_own) {
    static handed all[1000];
    fixture       f;
    fixture_init(&f);
    fixture_open(&f);
    hand_over(&f, all, 1000, CKIT_NO_DEADLINE);
    collect(all, 1000);
    CHECK_OK(all[999].status);
    CHECK_EQ_U(1, f.server.connections);
    fixture_close(&f);
}

CKIT_TEST(handed, cut_connections_are_replaced_and_lost_requests_repeated) {
    static handed all[200];
    fixture       f;
    fixture_init(&f);
    f.server.cut_after = 1501;
    f.server.faulty = 1;
    fixture_open(&f);
    hand_over(&f, all, 200, CKIT_NO_DEADLINE);
    collect(all, 200);
    for (size_t i = 0; i < 200; i++) {
        CHECK_OK(all[i].status);
    }
    fixture_close(&f);
}

CKIT_TEST(handed, a_server_that_stalls_lets_them_end_in_time) {
    static handed all[50];
    fixture       f;
    fixture_init(&f);
    f.server.stall_after = 100;
    f.server.faulty = -1;
    fixture_open(&f);
    hand_over(&f, all, 50, soon(50));
    collect(all, 50);
    CHECK_STATUS(CKIT_E_TIMEOUT, all[49].status);
    fixture_close(&f);
}

CKIT_TEST(handed, closing_answers_what_is_under_way) {
    static handed all[50];
    fixture       f;
    fixture_init(&f);
    f.server.stall_after = 0;
    f.server.faulty = -1;
    fixture_open(&f);
    hand_over(&f, all, 50, CKIT_NO_DEADLINE);
    fixture_close(&f);
    collect(all, 50);
    CHECK(all[49].status >= CKIT_E_FIRST);
}

CKIT_TEST(handed, nobody_there_fails_them_all) {
    static handed all[20];
    fixture       f;
    fixture_init(&f);
    f.options.url = "redis://127.0.0.1:1";
    fixture_open(&f);
    hand_over(&f, all, 20, CKIT_NO_DEADLINE);
    collect(all, 20);
    CHECK_STATUS(CKIT_E_UNREACHABLE, all[0].status);
    CHECK_STATUS(CKIT_E_UNREACHABLE, all[19].status);
    fixture_close(&f);
}

/* ---- thrift ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(thrift, steady_reads_ask_for_no_memory) {
    fixture f;
    fixture_init(&f);
    fixture_open(&f);
    for (int i = 0; i < 3; i++) { /* both buffers of the connection are made */
        expect_get(&f, "value");
    }
    uint64_t before = f.memory.requests;
    for (int i = 0; i < 100; i++) {
        expect_get(&f, "value");
    }
    CHECK_EQ_U(before, f.memory.requests);
    fixture_close(&f);
}

CKIT_TEST(thrift, requests_one_after_the_other_ask_for_no_memory) {
    static handed one;
    fixture       f;
    uint64_t      before = 0;
    fixture_init(&f);
    fixture_open(&f);
    for (int i = 0; i < 100; i++) {
        before = i == 3 ? f.memory.requests : before;
        hand_over(&f, &one, 1, CKIT_NO_DEADLINE);
        collect(&one, 1);
    }
    CHECK_EQ_U(before, f.memory.requests);
    fixture_close(&f);
}
