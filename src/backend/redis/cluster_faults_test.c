/* Nodes that misbehave: redirections without end and to nowhere, maps with holes and maps that are none. Every call
 * ends with the right answer or a failure that may pass, and the next good moment is used. */
#include "fake_server.h"

#include "store.h"

#include "support/failing_alloc.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEY "func:f:args:0:1s"

/* A node of the scripted cluster. */
typedef struct node {
    fake_server           server;
    _Atomic(const char *) map;    /* the answer to CLUSTER SLOTS; NULL: an error */
    _Atomic(const char *) turned; /* the answer to commands with keys; NULL: the usual */
    _Atomic int           turns;  /* so many times; -1: always */
    _Atomic unsigned      asked;  /* ASKING that came */
    _Atomic unsigned      keyed;  /* commands with keys */
    char                  text[4][256];
} node;

typedef struct world {
    node                    nodes[2];
    failing_alloc           memory;
    ckit_redis_options      options;
    char                    url[128];
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} world;

static const char *told(fake_server *s, const char *words, uint64_t count) {
    node *n = s->context;
    if (strcmp(words, "CLUSTER") == 0) {
        const char *map = atomic_load(&n->map);
        return map != NULL ? map : "-ERR This instance has cluster support disabled\r\n";
    }
    if (strcmp(words, "ASKING") == 0) {
        atomic_fetch_add(&n->asked, 1);
        return "+OK\r\n";
    }
    if (count < 2 || strcmp(words, "HELLO") == 0 || strcmp(words, "CLIENT") == 0) {
        return NULL;
    }
    atomic_fetch_add(&n->keyed, 1);
    const char *turned = atomic_load(&n->turned);
    if (turned == NULL || atomic_load(&n->turns) == 0) {
        return NULL;
    }
    if (atomic_load(&n->turns) > 0) {
        atomic_fetch_sub(&n->turns, 1);
    }
    return turned;
}

static uint16_t port_of(const world *w, int n) { return (uint16_t)atoi(strrchr(w->nodes[n].server.url, ':') + 1); }

static uint16_t slot_of_key(void) { return ckiti_redis_slot_of(S(""), S(KEY)); }

/* "-MOVED SLOT host:port", kept in place `at` of the first node. */
static const char *turn(world *w, int at, const char *how, uint16_t port) {
    snprintf(w->nodes[0].text[at], sizeof w->nodes[0].text[at], "-%s %u 127.0.0.1:%u\r\n", how, slot_of_key(), port);
    return w->nodes[0].text[at];
}

/* A map that gives all slots to one node. */
static const char *map_to(world *w, int at, int owner) {
    snprintf(w->nodes[1].text[at], sizeof w->nodes[1].text[at],
             "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$2\r\nid\r\n", port_of(w, owner));
    return w->nodes[1].text[at];
}

static void world_init(world *w) {
    memset(w, 0, sizeof *w);
    for (int i = 0; i < 2; i++) {
        fake_server_start(&w->nodes[i].server);
        w->nodes[i].turns = -1;
        w->nodes[i].server.context = &w->nodes[i];
        w->nodes[i].server.told = told;
    }
    failing_alloc_init(&w->memory, FAILING_ALLOC_NEVER);
    w->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    snprintf(w->url, sizeof w->url, "redis+cluster://127.0.0.1:%u", port_of(w, 0));
    w->options.url = w->url;
    w->options.socket_timeout_ms = 10000;
    w->options.socket_connect_timeout_ms = 10000;
    w->options.backoff_max_ms = 50;
}

static void world_open(world *w) {
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    ckit_error       err = CKIT_ERROR_INIT;
    env.alloc = &w->memory.alloc;
    CHECK_OK_ERR(ckit_redis_open(&w->options, &env, &w->backend, &err), &err);
    w->ops = ckit_backend_operations(w->backend);
    w->self = ckit_backend_self(w->backend);
}

static void world_end(world *w) {
    ckit_backend_close(w->backend);
    for (int i = 0; i < 2; i++) {
        fake_server_stop(&w->nodes[i].server);
    }
    failing_alloc_check_empty(&w->memory);
}

static ckit_status get(world *w, const char *key, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life_ms = 0;
    ckit_status st = w->ops->get(w->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, err);
    if (st == CKIT_OK) {
        CHECK_TEXT(key, ckit_buf_slice(&out));
        CHECK_EQ_U(60000, life_ms);
    } else {
        CHECK_EQ_U(0, out.len);
    }
    ckit_buf_fini(&out);
    return st;
}

static void expect_get(world *w) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(get(w, KEY, &err), &err);
}

static void expect_passing(world *w, ckit_status expected, const char *text) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(expected, get(w, KEY, &err), &err);
    CHECK_EQ_I(CKIT_KIND_TRANSIENT, err.kind);
    CHECK_CONTAINS(text, err.text);
}

/* ---- MOVED ------------------------------------------------------------------------------------------------------- */

CKIT_TEST(moved, leads_to_the_other_node_and_is_remembered) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "MOVED", port_of(&w, 1));
    world_open(&w);
    expect_get(&w);
    CHECK_EQ_U(2, w.nodes[0].keyed); /* PTTL and GET */
    expect_get(&w);
    CHECK_EQ_U(2, w.nodes[0].keyed);
    CHECK_EQ_U(4, w.nodes[1].keyed);
    CHECK_EQ_U(0, w.nodes[1].asked);
    world_end(&w);
}

CKIT_TEST(moved, without_end_is_a_failure_that_may_pass) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "MOVED", port_of(&w, 1));
    w.nodes[1].turned = turn(&w, 1, "MOVED", port_of(&w, 0));
    world_open(&w);
    expect_passing(&w, CKIT_E_SERVER, "MOVED");
    CHECK(w.nodes[0].keyed + w.nodes[1].keyed <= 2 * (CKITI_REDIS_TURNS + 1));
    w.nodes[1].turned = NULL;
    expect_get(&w);
    world_end(&w);
}

CKIT_TEST(moved, to_itself_is_the_same) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "MOVED", port_of(&w, 0));
    world_open(&w);
    expect_passing(&w, CKIT_E_SERVER, "MOVED");
    w.nodes[0].turns = 1; /* one of two commands is turned away, and asked for again alone */
    expect_get(&w);
    world_end(&w);
}

CKIT_TEST(moved, without_a_name_means_the_host_that_answers) {
    world w;
    world_init(&w);
    snprintf(w.nodes[0].text[0], sizeof w.nodes[0].text[0], "-MOVED %u :%u\r\n", slot_of_key(), port_of(&w, 1));
    w.nodes[0].turned = w.nodes[0].text[0];
    world_open(&w);
    expect_get(&w);
    CHECK_EQ_U(2, w.nodes[1].keyed);
    world_end(&w);
}

CKIT_TEST(moved, that_is_malformed_is_an_error_of_the_server) {
    static const char *const texts[] = {"-MOVED\r\n", "-MOVED 1\r\n", "-MOVED 99999 127.0.0.1:1\r\n", "-ASK 1 h:0\r\n"};
    for (size_t i = 0; i < 4; i++) {
        world w;
        world_init(&w);
        w.nodes[0].turned = texts[i];
        world_open(&w);
        expect_passing(&w, CKIT_E_SERVER, "the server answers");
        w.nodes[0].turned = NULL;
        expect_get(&w);
        world_end(&w);
    }
}

CKIT_TEST(moved, to_nowhere_fails_and_is_forgotten_with_the_next_map) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "MOVED", 1);
    w.nodes[0].turns = 2;
    w.nodes[0].map = map_to(&w, 0, 0);
    world_open(&w);
    ckit_status st = get(&w, KEY, NULL);
    CHECK(st == CKIT_E_UNREACHABLE || st == CKIT_OK); /* the map may have been quicker */
    for (int i = 0; i < 1000 && get(&w, KEY, NULL) != CKIT_OK; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    expect_get(&w);
    world_end(&w);
}

/* ---- ASK --------------------------------------------------------------------------------------------------------- */

CKIT_TEST(ask, is_followed_once_with_asking_and_not_remembered) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "ASK", port_of(&w, 1));
    world_open(&w);
    expect_get(&w);
    CHECK_EQ_U(2, w.nodes[1].asked); /* in front of each command */
    CHECK_EQ_U(2, w.nodes[1].keyed);
    expect_get(&w);
    CHECK_EQ_U(4, w.nodes[0].keyed);
    world_end(&w);
}

CKIT_TEST(ask, sends_only_what_was_turned_away) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "ASK", port_of(&w, 1));
    w.nodes[0].turns = 1; /* the PTTL */
    world_open(&w);
    expect_get(&w);
    CHECK_EQ_U(1, w.nodes[1].keyed);
    CHECK_EQ_U(1, w.nodes[1].asked);
    world_end(&w);
}

CKIT_TEST(ask, to_nowhere_is_a_failure_that_may_pass) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "ASK", 1);
    world_open(&w);
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, get(&w, KEY, &err), &err);
    w.nodes[0].turned = NULL;
    expect_get(&w);
    world_end(&w);
}

CKIT_TEST(ask, in_a_circle_ends) {
    world w;
    world_init(&w);
    w.nodes[0].turned = turn(&w, 0, "ASK", port_of(&w, 1));
    w.nodes[1].turned = turn(&w, 1, "ASK", port_of(&w, 0));
    world_open(&w);
    expect_passing(&w, CKIT_E_SERVER, "ASK");
    world_end(&w);
}

/* ---- other answers ----------------------------------------------------------------------------------------------- */

CKIT_TEST(others, what_may_pass_is_tried_again_or_told) {
    world w;
    world_init(&w);
    world_open(&w);
    w.nodes[0].turned = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
    w.nodes[0].turns = 3;
    expect_get(&w);
    w.nodes[0].turns = -1;
    expect_passing(&w, CKIT_E_SERVER, "TRYAGAIN");
    w.nodes[0].turned = "-CLUSTERDOWN The cluster is down\r\n";
    expect_passing(&w, CKIT_E_SERVER, "CLUSTERDOWN");
    w.nodes[0].turned = "-READONLY You can't write against a read only replica.\r\n";
    expect_passing(&w, CKIT_E_SERVER, "READONLY");
    w.nodes[0].turned = "-ERR Script attempted to access a non local key in a cluster node\r\n";
    expect_passing(&w, CKIT_E_SERVER, "TRYAGAIN");
    w.nodes[0].turned = "-ERR of another kind\r\n";
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_REJECTED, get(&w, KEY, &err), &err);
    world_end(&w);
}

CKIT_TEST(others, a_host_of_the_list_that_is_away_is_passed_by) {
    world w;
    world_init(&w);
    snprintf(w.url, sizeof w.url, "redis+cluster://127.0.0.1:1,127.0.0.1:%u", port_of(&w, 1));
    world_open(&w);
    expect_get(&w);
    world_end(&w);
}

CKIT_TEST(others, with_all_away_the_failure_says_so) {
    world w;
    world_init(&w);
    snprintf(w.url, sizeof w.url, "redis+cluster://127.0.0.1:1,127.0.0.1:2");
    world_open(&w);
    ckit_error   err = CKIT_ERROR_INIT;
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    ckit_deleted deleted;
    ckit_health  health;
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, get(&w, KEY, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_UNREACHABLE, w.ops->delete_scope(w.self, &all, CKIT_NO_DEADLINE, &deleted, &err), &err);
    w.ops->health(w.self, CKIT_NO_DEADLINE, &health);
    CHECK(!health.healthy);
    world_end(&w);
}

/* ---- maps -------------------------------------------------------------------------------------------------------- */

CKIT_TEST(maps, that_are_none_do_not_keep_a_call_from_its_way) {
    static const char *const maps[] = {"*0\r\n", "+OK\r\n", "*1\r\n:1\r\n", "*1\r\n*3\r\n:5\r\n:1\r\n*0\r\n", "_\r\n"};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        world        w;
        ckit_error   err = CKIT_ERROR_INIT;
        ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
        ckit_deleted deleted;
        world_init(&w);
        w.nodes[0].map = maps[i];
        w.nodes[0].turned = turn(&w, 0, "MOVED", port_of(&w, 1));
        world_open(&w);
        expect_get(&w);
        CHECK(w.ops->delete_scope(w.self, &all, CKIT_NO_DEADLINE, &deleted, &err) >= CKIT_E_FIRST);
        expect_get(&w);
        world_end(&w);
    }
}

CKIT_TEST(maps, with_holes_leave_keys_to_whoever_knows_and_no_deletion_counts_as_whole) {
    world        w;
    ckit_error   err = CKIT_ERROR_INIT;
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    ckit_deleted deleted;
    ckit_health  health;
    world_init(&w);
    uint16_t hole = slot_of_key();
    snprintf(w.nodes[0].text[3], sizeof w.nodes[0].text[3],
             "*2\r\n*3\r\n:0\r\n:%u\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n*3\r\n:%u\r\n:16383\r\n*2\r\n$9\r\n127.0.0."
             "1\r\n:%u\r\n",
             hole - 1, port_of(&w, 0), hole + 1, port_of(&w, 1));
    w.nodes[0].map = w.nodes[1].map = w.nodes[0].text[3];
    w.nodes[0].turned = w.nodes[1].turned = "-CLUSTERDOWN Hash slot not served\r\n";
    world_open(&w);
    w.ops->health(w.self, CKIT_NO_DEADLINE, &health);
    CHECK(!health.healthy);
    CHECK_CONTAINS("1 slots have none", health.detail);
    expect_passing(&w, CKIT_E_SERVER, "CLUSTERDOWN");
    CHECK_STATUS_ERR(CKIT_E_SERVER, w.ops->delete_scope(w.self, &all, CKIT_NO_DEADLINE, &deleted, &err), &err);
    CHECK_CONTAINS("serves 1 slots", err.text);
    w.nodes[0].turned = turn(&w, 0, "MOVED", port_of(&w, 1));
    w.nodes[1].turned = NULL;
    expect_get(&w);
    world_end(&w);
}

/* ---- many, and memory -------------------------------------------------------------------------------------------- */

#define MANY 40u

static void expect_many(world *w, ckit_status expected) {
    char        texts[MANY][32];
    ckit_slice  keys[MANY];
    ckit_buf    out[MANY];
    uint64_t    life_ms[MANY];
    ckit_status answers[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "func:f:args:%u:1s", i);
        keys[i] = S(texts[i]);
        ckit_buf_init(&out[i], NULL);
    }
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = w->ops->get_many(w->self, keys, MANY, CKIT_NO_DEADLINE, out, life_ms, answers, &err);
    CHECK_STATUS_ERR(expected, st, &err);
    for (unsigned i = 0; i < MANY; i++) {
        if (st == CKIT_OK) {
            CHECK_OK(answers[i]);
            CHECK_TEXT(texts[i], ckit_buf_slice(&out[i]));
        } else {
            CHECK_EQ_U(0, out[i].len);
        }
        ckit_buf_fini(&out[i]);
    }
}

/* The halves of the slots belong to one node each. */
static void halve(world *w) {
    snprintf(w->nodes[0].text[2], sizeof w->nodes[0].text[2],
             "*2\r\n*3\r\n:0\r\n:8191\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n*3\r\n:8192\r\n:16383\r\n*2\r\n$9\r\n127.0.0."
             "1\r\n:%u\r\n",
             port_of(w, 0), port_of(w, 1));
    w->nodes[0].map = w->nodes[1].map = w->nodes[0].text[2];
}

CKIT_TEST(many, go_to_their_nodes_and_those_that_are_turned_away_go_on) {
    world w;
    world_init(&w);
    halve(&w);
    world_open(&w);
    expect_many(&w, CKIT_OK);
    CHECK(w.nodes[0].keyed > 0 && w.nodes[1].keyed > 0);
    CHECK_EQ_U(2 * MANY, w.nodes[0].keyed + w.nodes[1].keyed);
    w.nodes[0].turned = turn(&w, 0, "ASK", port_of(&w, 1));
    w.nodes[0].turns = 9;
    expect_many(&w, CKIT_OK);
    world_end(&w);
}

CKIT_TEST(many, those_of_a_node_that_is_away_fail_alone) {
    world w;
    world_init(&w);
    halve(&w);
    world_open(&w);
    expect_many(&w, CKIT_OK);
    char        texts[MANY][32];
    ckit_slice  keys[MANY];
    ckit_buf    out[MANY];
    ckit_status answers[MANY];
    unsigned    good = 0;
    fake_server_stop(&w.nodes[1].server);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "func:f:args:%u:1s", i);
        keys[i] = S(texts[i]);
        ckit_buf_init(&out[i], NULL);
    }
    CHECK_OK(w.ops->get_many(w.self, keys, MANY, CKIT_NO_DEADLINE, out, NULL, answers, NULL));
    for (unsigned i = 0; i < MANY; i++) {
        bool here = ckiti_redis_slot_of(S(""), keys[i]) < 8192;
        CHECK(here ? answers[i] == CKIT_OK : answers[i] == CKIT_E_UNREACHABLE || answers[i] == CKIT_E_NETWORK);
        good += here;
        ckit_buf_fini(&out[i]);
    }
    CHECK(good > 0 && good < MANY);
    ckit_backend_close(w.backend);
    fake_server_stop(&w.nodes[0].server);
    failing_alloc_check_empty(&w.memory);
}

/* ---- replies that are another's ---------------------------------------------------------------------------------- */

static void await_connections(const world *w, uint64_t count) {
    for (int i = 0; i < 30000 && w->nodes[0].server.connections < count; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    CHECK_EQ_U(count, w->nodes[0].server.connections);
}

/* One for the calls and one for the map; then one more for the next calls. */
CKIT_TEST(strays, end_the_connection_to_a_node_too) {
    world w;
    for (int many = 0; many < 2; many++) {
        world_init(&w);
        w.nodes[0].map = w.nodes[1].map = map_to(&w, 0, 0);
        world_open(&w);
        expect_get(&w);
        await_connections(&w, 2);
        w.nodes[0].turned = "+OK\r\n";
        w.nodes[0].turns = 1;
        if (many) {
            expect_many(&w, CKIT_E_IO);
        } else {
            CHECK_STATUS(CKIT_E_IO, get(&w, KEY, NULL));
        }
        expect_many(&w, CKIT_OK);
        await_connections(&w, 3);
        world_end(&w);
    }
}

CKIT_TEST(memory, that_is_missing_anywhere_is_a_failure_and_no_more) {
    world w;
    world_init(&w);
    halve(&w);
    bool failed = false;
    for (uint64_t n = 1; n < 80; n++) { /* what is asked for in the background may fail without anybody's noticing */
        ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
        env.alloc = &w.memory.alloc;
        failing_alloc_init(&w.memory, n);
        ckit_status st = ckit_redis_open(&w.options, &env, &w.backend, NULL);
        if (st == CKIT_OK) {
            w.ops = ckit_backend_operations(w.backend);
            w.self = ckit_backend_self(w.backend);
            st = get(&w, KEY, NULL);
            ckit_buf    out[2] = {CKIT_BUF_INIT, CKIT_BUF_INIT};
            ckit_slice  keys[2] = {S("a"), S("b")};
            ckit_status answers[2] = {CKIT_OK, CKIT_OK};
            ckit_status many = w.ops->get_many(w.self, keys, 2, CKIT_NO_DEADLINE, out, NULL, answers, NULL);
            st = st == CKIT_OK ? many : st;
            st = st == CKIT_OK ? answers[0] : st;
            st = st == CKIT_OK ? answers[1] : st;
            ckit_buf_fini(&out[0]);
            ckit_buf_fini(&out[1]);
        }
        failed = st != CKIT_OK;
        CHECK(!failed || st == CKIT_E_NO_MEMORY);
        ckit_backend_close(w.backend);
        w.backend = NULL;
        failing_alloc_check_empty(&w.memory);
    }
    CHECK(!failed); /* the last ones were not reached */
    for (int i = 0; i < 2; i++) {
        fake_server_stop(&w.nodes[i].server);
    }
}
