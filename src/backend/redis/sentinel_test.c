/* Sentinels: good ones, lying ones, absent ones, and a fail-over under load. */
#include "fake_server.h"
#include "hearer.h"

#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void pause_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

typedef struct store {
    char                    url[256];
    ckit_redis_options      options;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} store;

static void store_open(store *s) {
    ckit_error err = CKIT_ERROR_INIT;
    s->options.url = s->url;
    CHECK_OK_ERR(ckit_redis_open(&s->options, NULL, &s->backend, &err), &err);
    s->ops = ckit_backend_operations(s->backend);
    s->self = ckit_backend_self(s->backend);
}

static void store_init(store *s) {
    memset(s, 0, sizeof *s);
    s->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    s->options.socket_timeout_ms = 10000;
    s->options.socket_connect_timeout_ms = 10000;
    s->options.backoff_max_ms = 50;
}

static ckit_status get(store *s, const char *key, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life_ms;
    ckit_status st = s->ops->get(s->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, err);
    if (st == CKIT_OK) {
        CHECK_TEXT(key, ckit_buf_slice(&out));
    }
    ckit_buf_fini(&out);
    return st;
}

static ckit_status set(store *s, const char *key, ckit_error *err) {
    ckit_entry_info info = {.ttl_ms = 60000};
    return s->ops->set(s->self, S(key), S(key), &info, CKIT_NO_DEADLINE, err);
}

/* ---- scripted sentinels and servers ------------------------------------------------------------------------------ */

static char master_role[] = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
static char replica_role[] = "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:0\r\n";

typedef struct world {
    fake_server sentinels[2];
    fake_server servers[2];
    char        answers[2][64]; /* of the sentinels */
    store       store;
} world;

/* The context of a sentinel is its answer, of a server its role. */
static const char *told(fake_server *s, const char *words, uint64_t count) {
    (void)count;
    if (strcmp(words, "SENTINEL") == 0) {
        CHECK_STR("GET-MASTER-ADDR-BY-NAME", fake_server_next(words));
        CHECK_STR("main", fake_server_next(fake_server_next(words)));
        return s->context;
    }
    return strcmp(words, "ROLE") == 0 ? s->context : NULL;
}

static uint16_t port_of(const fake_server *s) { return (uint16_t)atoi(strrchr(s->url, ':') + 1); }

static void point(world *w, int sentinel, int server) {
    char port[8];
    int  n = snprintf(port, sizeof port, "%u", port_of(&w->servers[server]));
    snprintf(w->answers[sentinel], sizeof w->answers[sentinel], "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", n, port);
}

/* Sentinels 0 and 1 name server 0 and 1, which is the master. */
static void world_init(world *w) {
    memset(w, 0, sizeof *w);
    for (int i = 0; i < 2; i++) {
        fake_server_start(&w->sentinels[i]);
        fake_server_start(&w->servers[i]);
        w->sentinels[i].context = w->answers[i];
        w->servers[i].context = i == 0 ? replica_role : master_role;
        point(w, i, i);
        w->sentinels[i].told = told;
        w->servers[i].told = told;
    }
    store_init(&w->store);
    snprintf(w->store.url, sizeof w->store.url, "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u/main",
             port_of(&w->sentinels[0]), port_of(&w->sentinels[1]));
}

static void world_end(world *w) {
    ckit_backend_close(w->store.backend);
    for (int i = 0; i < 2; i++) {
        fake_server_stop(&w->sentinels[i]);
        fake_server_stop(&w->servers[i]);
    }
}

CKIT_TEST(lies, a_sentinel_that_names_a_replica_is_not_believed) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    store_open(&w.store);
    CHECK_OK_ERR(get(&w.store, "k", &err), &err);
    CHECK_EQ_U(1, w.servers[0].connections);
    CHECK_EQ_U(1, w.servers[1].connections);
    CHECK_EQ_U(1, w.sentinels[1].connections);
    world_end(&w);
}

CKIT_TEST(lies, when_all_name_a_replica_the_call_says_so_and_may_be_repeated) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    point(&w, 1, 0);
    store_open(&w.store);
    CHECK_STATUS_ERR(CKIT_E_SERVER, get(&w.store, "k", &err), &err);
    CHECK_CONTAINS("is a replica", err.text);
    point(&w, 0, 1);
    for (int i = 0; i < 4000 && get(&w.store, "k", &err) != CKIT_OK; i++) {
        pause_ms(5);
    }
    CHECK_OK_ERR(get(&w.store, "k", &err), &err);
    world_end(&w);
}

CKIT_TEST(lies, answers_that_are_none_lead_to_the_next_sentinel) {
    static const char *const answers[] = {"*-1\r\n",
                                          "_\r\n",
                                          "$-1\r\n",
                                          "*0\r\n",
                                          "*1\r\n$9\r\n127.0.0.1\r\n",
                                          "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n",
                                          "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n65536\r\n",
                                          "*2\r\n$9\r\n127.0.0.1\r\n$3\r\n1x1\r\n",
                                          "*2\r\n$0\r\n\r\n$4\r\n1234\r\n",
                                          "*2\r\n$3\r\na b\r\n$4\r\n1234\r\n",
                                          "*2\r\n*0\r\n*0\r\n",
                                          "*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n",
                                          "+OK\r\n",
                                          "-ERR what\r\n",
                                          "-NOAUTH who\r\n",
                                          "?\r\n"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        world      w;
        ckit_error err = CKIT_ERROR_INIT;
        world_init(&w);
        snprintf(w.answers[0], sizeof w.answers[0], "%s", answers[i]);
        store_open(&w.store);
        CHECK_OK_ERR(get(&w.store, "k", &err), &err);
        CHECK_EQ_U(0, w.servers[0].connections);
        world_end(&w);
    }
}

CKIT_TEST(lies, a_sentinel_that_says_nothing_leaves_time_for_the_next) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    w.sentinels[0].stall_after = 0;
    w.sentinels[0].faulty = -1;
    w.store.options.socket_connect_timeout_ms = 3000;
    store_open(&w.store);
    CHECK_OK_ERR(get(&w.store, "k", &err), &err);
    world_end(&w);
}

CKIT_TEST(lies, a_name_that_no_sentinel_knows_is_told) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    snprintf(w.answers[0], sizeof w.answers[0], "_\r\n");
    snprintf(w.answers[1], sizeof w.answers[1], "*-1\r\n");
    store_open(&w.store);
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, get(&w.store, "k", &err), &err);
    CHECK_CONTAINS("know no master named 'main'", err.text);
    world_end(&w);
}

static const char *demoted_told(fake_server *s, const char *words, uint64_t count) {
    if (strcmp(words, "SET") == 0) {
        s->context = replica_role;
        return "-READONLY You can't write against a read only replica.\r\n";
    }
    return told(s, words, count);
}

CKIT_TEST(fail_over, a_master_that_answers_readonly_is_left_and_the_call_goes_to_the_new_one) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    w.servers[0].context = master_role;
    w.servers[0].told = demoted_told;
    store_open(&w.store);
    CHECK_OK_ERR(get(&w.store, "k", &err), &err);
    CHECK_EQ_U(0, w.servers[1].connections);
    CHECK_OK_ERR(set(&w.store, "func:f:args:0:1s", &err), &err); /* the first sentinel still names it */
    CHECK_EQ_U(1, w.servers[1].connections);
    world_end(&w);
}

CKIT_TEST(fail_over, without_repetition_the_failure_is_one_that_may_pass) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    w.servers[0].context = master_role;
    w.servers[0].told = demoted_told;
    w.store.options.retries = CKIT_REDIS_NO_RETRY;
    store_open(&w.store);
    CHECK_STATUS_ERR(CKIT_E_SERVER, set(&w.store, "func:f:args:0:1s", &err), &err);
    CHECK_EQ_I(CKIT_KIND_TRANSIENT, err.kind);
    CHECK_OK_ERR(set(&w.store, "func:f:args:0:1s", &err), &err);
    world_end(&w);
}

CKIT_TEST(fail_over, with_all_sentinels_away_the_master_that_was_good_last_is_found) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    w.servers[1].cut_after = 100;
    w.servers[1].faulty = 1;
    store_open(&w.store);
    CHECK_OK_ERR(get(&w.store, "k", &err), &err);
    uint64_t before = w.servers[1].connections;
    for (int i = 0; i < 2; i++) {
        fake_server_stop(&w.sentinels[i]);
    }
    for (int i = 0; i < 20; i++) {
        CHECK_OK_ERR(get(&w.store, "k", &err), &err);
    }
    CHECK_EQ_U(before + 1, w.servers[1].connections);
    ckit_backend_close(w.store.backend);
    fake_server_stop(&w.servers[0]);
    fake_server_stop(&w.servers[1]);
}

static const char *secret_told(fake_server *s, const char *words, uint64_t count) {
    if (strcmp(words, "HELLO") == 0) {
        const char *word = words;
        bool        found = false;
        for (uint64_t i = 0; i < count; i++, word = fake_server_next(word)) {
            found = found || strcmp(word, s->context == master_role ? "masters" : "sentinels") == 0;
        }
        CHECK(found);
    }
    return told(s, words, count);
}

CKIT_TEST(logins, sentinels_and_master_have_their_own) {
    world      w;
    ckit_error err = CKIT_ERROR_INIT;
    world_init(&w);
    snprintf(w.store.url, sizeof w.store.url,
             "redis+sentinel://:masters@127.0.0.1:%u/main?sentinel_username=u&sentinel_password=sentinels",
             port_of(&w.sentinels[1]));
    w.sentinels[1].told = secret_told;
    w.servers[1].told = secret_told;
    store_open(&w.store);
    CHECK_OK_ERR(get(&w.store, "k", &err), &err);
    world_end(&w);
}

/* ---- real ones --------------------------------------------------------------------------------------------------- */

static redis_server master, replica, sentinels[3];
static char         replica_of[32];
static const char  *replica_arguments[] = {"--replicaof", replica_of, NULL};

static void stop_all(void) {
    for (int i = 0; i < 3; i++) {
        redis_server_stop(&sentinels[i]);
    }
    redis_server_stop(&replica);
    redis_server_stop(&master);
}

/* The line "name:value" of INFO is there. */
static bool has_info(redis_server *server, const char *section, const char *line) {
    char command[160], answer[256];
    snprintf(command, sizeof command, "EVAL \"return string.find(redis.call('INFO','%s'),'%s',1,true) or 0\" 0",
             section, line);
    return strncmp(redis_server_tell(server, command, answer), ":0", 2) != 0 && answer[0] == ':';
}

static bool sentinels_know_each_other(void) {
    char answer[256];
    for (int i = 0; i < 3; i++) { /* nobody may vote who is not known */
        if (strncmp("+OK 3", redis_server_tell(&sentinels[i], "SENTINEL CKQUORUM main", answer), 5) != 0 ||
            strcmp("*1", redis_server_tell(&sentinels[i], "SENTINEL REPLICAS main", answer)) != 0) {
            return false;
        }
    }
    return true;
}

static void start_all(void) {
    char why[200], lines[300];
    atexit(stop_all);
    if (!redis_server_start(&master, NULL, why, sizeof why)) {
        SKIP("%s", why);
    }
    snprintf(replica_of, sizeof replica_of, "127.0.0.1 %u", master.port);
    if (!redis_server_start(&replica, replica_arguments, why, sizeof why)) {
        FAIL("%s", why);
    }
    snprintf(lines, sizeof lines,
             "sentinel monitor main 127.0.0.1 %u 2\nsentinel down-after-milliseconds main 1000\n"
             "sentinel failover-timeout main 3000\n",
             master.port);
    for (int i = 0; i < 3; i++) {
        if (!redis_server_start_sentinel(&sentinels[i], lines, why, sizeof why)) {
            FAIL("%s", why);
        }
    }
    for (int i = 0;
         i < 3000 && !(has_info(&replica, "replication", "master_link_status:up") && sentinels_know_each_other());
         i++) {
        pause_ms(20);
    }
    CHECK(sentinels_know_each_other());
}

typedef struct load {
    store           *store;
    _Atomic bool    *stop;
    pthread_t        thread;
    _Atomic uint64_t good;
    uint64_t         failed;
    ckit_error_kind  worst;
    char             text[232];
} load;

static void *run_load(void *arg) {
    load *l = arg;
    for (unsigned i = 0; !atomic_load(l->stop); i++) {
        char       key[32];
        ckit_error err = CKIT_ERROR_INIT;
        snprintf(key, sizeof key, "func:f:args:%u:1s", i % 50);
        ckit_status st = i % 2 == 0 ? set(l->store, key, &err) : get(l->store, key, &err);
        if (st < CKIT_E_FIRST) {
            l->good++;
        } else {
            l->failed++;
            if (err.kind != CKIT_KIND_TRANSIENT && err.kind != CKIT_KIND_TIMEOUT) {
                l->worst = err.kind;
                snprintf(l->text, sizeof l->text, "%s", err.text);
            }
        }
        pause_ms(1);
    }
    return NULL;
}

CKIT_TEST(real, a_fail_over_under_load_costs_passing_failures_and_then_the_new_master_serves) {
    store        s;
    load         loads[4] = {{0}};
    _Atomic bool stop = false;
    ckit_error   err = CKIT_ERROR_INIT;
    char         answer[256];
    start_all();
    store_init(&s);
    snprintf(s.url, sizeof s.url, "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/main", sentinels[0].port,
             sentinels[1].port, sentinels[2].port);
    store_open(&s);
    CHECK_OK_ERR(set(&s, "before", &err), &err);
    CHECK_STR("$6", redis_server_tell(&master, "GET before", answer));
    for (int i = 0; i < 4; i++) {
        loads[i].store = &s;
        loads[i].stop = &stop;
        CHECK_EQ_I(0, pthread_create(&loads[i].thread, NULL, run_load, &loads[i]));
    }
    pause_ms(200);
    redis_server_kill(&master);
    for (int i = 0; i < 6000 && set(&s, "after", &err) != CKIT_OK; i++) {
        CHECK(err.kind == CKIT_KIND_TRANSIENT || err.kind == CKIT_KIND_TIMEOUT);
        pause_ms(10);
    }
    CHECK_OK_ERR(set(&s, "after", &err), &err);
    CHECK_STR("$5", redis_server_tell(&replica, "GET after", answer));
    pause_ms(200);
    for (int i = 0; i < 4; i++) {
        for (int left = 6000; loads[i].good == 0 && left > 0; left--) {
            pause_ms(10);
        }
    }
    stop = true;
    for (int i = 0; i < 4; i++) {
        pthread_join(loads[i].thread, NULL);
        CHECK_STR("", loads[i].text);
        CHECK(loads[i].good > 0);
    }
    /* The sentinels go; the new master is found all the same when the connection breaks. */
    for (int i = 0; i < 3; i++) {
        redis_server_kill(&sentinels[i]);
    }
    CHECK_STR(":", (redis_server_tell(&replica, "CLIENT KILL TYPE normal", answer), answer[1] = '\0', answer));
    for (int i = 0; i < 6000 && get(&s, "after", &err) != CKIT_OK; i++) {
        pause_ms(10);
    }
    CHECK_OK_ERR(get(&s, "after", &err), &err);
    ckit_backend_close(s.backend);
    stop_all();
}

/* Nothing is asked for here: what is in memory must go all the same. */
CKIT_TEST(real, a_fail_over_is_a_loss_and_the_new_master_is_watched) {
    member a, b;
    char   url[128];
    start_all();
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/main", sentinels[0].port,
             sentinels[1].port, sentinels[2].port);
    member_watch(&a, url, CKIT_REDIS_INVALIDATION_AUTO);
    member_write(&b, url);
    member_put(&b, "before", 60000);
    hearer_await_key(&a.h, "before");
    redis_server_kill(&master);
    hearer_await(&a.h, &a.h.lost, 1, "lost");
    hearer_await(&a.h, &a.h.guarded, 2, "guarded");
    ckit_entry_info info = {.ttl_ms = 60000};
    ckit_status     st = CKIT_E_FIRST;
    for (int i = 0; i < 6000 && st != CKIT_OK; i++) {
        st = b.ops->set(b.self, S("after"), S("v"), &info, CKIT_NO_DEADLINE, NULL);
        pause_ms(st == CKIT_OK ? 0 : 10);
    }
    CHECK_OK(st);
    hearer_await_key(&a.h, "after");
    member_close(&b);
    member_close(&a);
    stop_all();
}
