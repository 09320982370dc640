/* What the Redis store does on a real server beyond the contract that tests/conformance checks. Of connection.c,
 * entry.c, health.c, keys.c, lock.c, login.c, many.c, names.c, pool.c, publish.c, script.c and submit.c. */
#include "entry.h"
#include "script.h"
#include "store_fixture.h"

#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static redis_server server;

static void stop(void) { redis_server_stop(&server); }

static void fixture_init(fixture *f) {
    char why[200], answer[256];
    if (server.pid == 0) {
        if (!redis_server_start(&server, NULL, why, sizeof why)) {
            SKIP("%s", why);
        }
        atexit(stop);
    }
    CHECK_STR("+OK", redis_server_tell(&server, "FLUSHALL", answer));
    fixture_prepare(f, server.url);
}

static void expect_told(const char *expected, const char *line) {
    char answer[256];
    CHECK_STR(expected, redis_server_tell(&server, line, answer));
}

/* ---- the bytes on the server ------------------------------------------------------------------------------------- */

CKIT_TEST(layout, an_entry_is_a_plain_string_under_its_key) {
    fixture f;
    fixture_init(&f);
    fixture_open(&f);
    put(&f, "plain", "", "", 60000);
    expect_told("$5", "GET plain");
    expect_told("+string", "TYPE plain");
    expect_told("+OK", "SET other foreign");
    CHECK(has(&f, "other"));
    fixture_close(&f);
}

CKIT_TEST(layout, a_lock_is_the_key_with_lock_behind_it) {
    fixture    f;
    ckit_lease lease;
    fixture_init(&f);
    fixture_open(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    expect_told(":32", "STRLEN k:lock");
    CHECK_OK(f.ops->lock_release(f.self, S("k"), &lease, CKIT_NO_DEADLINE, NULL));
    expect_told(":0", "EXISTS k:lock");
    expect_told("+OK", "SET k:lock 0123456789abcdef0123456789abcdef PX 60000");
    CHECK_STATUS(CKIT_MISS, f.ops->lock_try(f.self, S("k"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    fixture_close(&f);
}

/* ---- locks that nobody heard of ---------------------------------------------------------------------------------- */

static uint64_t soon(uint64_t ms) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + ms;
}

/* This thread may have been held up before it asked. */
static bool came_too_late(ckit_status st, const ckit_error *err) {
    return st == CKIT_E_TIMEOUT && strstr(err->text, "deadline has passed") != NULL;
}

/* The release goes behind the attempt, on the same connection: whatever the server made of that, nothing is left. */
CKIT_TEST(unheard, a_lock_that_is_asked_for_while_the_server_stands_still_can_be_let_go) {
    fixture    f;
    ckit_lease lease = {.fence = 0}, none = {.fence = 0};
    fixture_init(&f);
    fixture_open(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("warm"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    lease = none;
    redis_server_freeze(&server);
    ckit_status st;
    ckit_error  err;
    do {
        err = (ckit_error)CKIT_ERROR_INIT;
        st = f.ops->lock_try(f.self, S("k"), 60000, soon(200), &lease, &err);
    } while (came_too_late(st, &err));
    redis_server_thaw(&server);
    CHECK_STATUS_ERR(CKIT_E_TIMEOUT, st, &err);
    CHECK(memcmp(&lease, &none, sizeof lease) != 0);
    CHECK(f.ops->lock_release(f.self, S("k"), &lease, CKIT_NO_DEADLINE, NULL) < CKIT_E_FIRST);
    expect_told(":0", "EXISTS k:lock");
    fixture_close(&f);
}

CKIT_TEST(unheard, so_can_many) {
    enum { MANY = 3 };
    const ckit_slice keys[MANY] = {S("a"), S("b"), S("c")};
    ckit_lease       leases[MANY], none = {.fence = 0};
    ckit_status      answers[MANY] = {CKIT_OK, CKIT_OK, CKIT_OK};
    fixture          f;
    memset(leases, 0, sizeof leases);
    fixture_init(&f);
    fixture_open(&f);
    CHECK_OK(f.ops->lock_try(f.self, S("warm"), 60000, CKIT_NO_DEADLINE, &leases[0], NULL));
    leases[0] = none;
    redis_server_freeze(&server);
    ckit_status st;
    ckit_error  err;
    do {
        err = (ckit_error)CKIT_ERROR_INIT;
        st = f.ops->lock_try_many(f.self, keys, MANY, 60000, soon(200), leases, answers, &err);
    } while (came_too_late(st, &err));
    redis_server_thaw(&server);
    for (size_t i = 0; i < MANY; i++) {
        CHECK_STATUS(CKIT_E_TIMEOUT, st != CKIT_OK ? st : answers[i]);
        CHECK(memcmp(&leases[i], &none, sizeof none) != 0);
    }
    CHECK_OK(f.ops->lock_release_many(f.self, keys, leases, MANY, CKIT_NO_DEADLINE, answers, NULL));
    expect_told(":0", "EXISTS a:lock b:lock c:lock");
    fixture_close(&f);
}

CKIT_TEST(unheard, a_lock_that_somebody_holds_or_that_could_not_be_asked_for_is_not_told) {
    fixture    f;
    ckit_lease lease = {.fence = 0}, none = {.fence = 0};
    char       why[200];
    fixture_init(&f);
    fixture_open(&f);
    expect_told("+OK", "SET k:lock 0123456789abcdef0123456789abcdef PX 60000");
    CHECK_STATUS(CKIT_MISS, f.ops->lock_try(f.self, S("k"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK(memcmp(&lease, &none, sizeof lease) == 0);
    fixture_close(&f);
    redis_server_kill(&server);
    fixture_open(&f);
    CHECK_STATUS(CKIT_E_UNREACHABLE, f.ops->lock_try(f.self, S("k"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK(memcmp(&lease, &none, sizeof lease) == 0);
    fixture_close(&f);
    CHECKF(redis_server_restart(&server, why, sizeof why), "%s", why);
}

/* ---- what else lies there ---------------------------------------------------------------------------------------- */

CKIT_TEST(layout, keys_that_look_like_bookkeeping_are_entries_like_others) {
    static const char *const keys[] = {"k:lock",   "k:lock:lock",   "ck:fence", "ck:own:k",
                                       "ck:key:k", "ck:key:k:lock", "ck:"};
    fixture                  f;
    ckit_lease               leases[7];
    fixture_init(&f);
    fixture_open(&f);
    for (size_t i = 0; i < 7; i++) {
        put(&f, keys[i], "n", "f", 60000);
        CHECK_OK(f.ops->lock_try(f.self, S(keys[i]), 60000, CKIT_NO_DEADLINE, &leases[i], NULL));
    }
    for (size_t i = 0; i < 7; i++) {
        ckit_buf out = CKIT_BUF_INIT;
        uint64_t life_ms;
        CHECK_OK(f.ops->get(f.self, S(keys[i]), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
        CHECK_TEXT(keys[i], ckit_buf_slice(&out));
        ckit_buf_fini(&out);
        CHECK_OK(f.ops->lock_release(f.self, S(keys[i]), &leases[i], CKIT_NO_DEADLINE, NULL));
    }
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    ckit_deleted deleted;
    CHECK_OK(f.ops->delete_scope(f.self, &all, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(7, deleted.deleted);
    expect_told(":1", "DBSIZE"); /* the counter of fences */
    fixture_close(&f);
}

CKIT_TEST(layout, a_prefix_stands_in_front_of_everything) {
    fixture    f;
    ckit_lease lease;
    fixture_init(&f);
    f.options.key_prefix = "t:a*b:";
    fixture_open(&f);
    CHECK_TEXT("t:a*b:", f.ops->key_prefix(f.self));
    put(&f, "k", "n", "f", 60000);
    CHECK_OK(f.ops->lock_try(f.self, S("k"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    expect_told("+OK", "SET t:axb:func:f:args:x:1s 1");
    expect_told("+OK", "SET k foreign");
    for (size_t i = 0; i < 1; i++) {
        char answer[256];
        CHECK_STR(":1", redis_server_tell(&server, "EXISTS t:a*b:k", answer));
        CHECK_STR(":1", redis_server_tell(&server, "EXISTS t:a*b:k:lock", answer));
        CHECK_STR(":1", redis_server_tell(&server, "EXISTS t:a*b:ck:own:k", answer));
        CHECK_STR(":1", redis_server_tell(&server, "EXISTS t:a*b:ck:fence", answer));
    }
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    ckit_deleted deleted;
    CHECK_OK(f.ops->delete_scope(f.self, &all, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(1, deleted.deleted);
    expect_told(":1", "EXISTS k");
    expect_told(":1", "EXISTS t:axb:func:f:args:x:1s");
    fixture_close(&f);
}

CKIT_TEST(layout, the_server_knows_the_scripts_by_the_same_hashes) {
    fixture f;
    fixture_init(&f);
    fixture_open(&f);
    for (size_t i = 0; i < CKITI_REDIS_SCRIPTS; i++) {
        char             line[64], answer[256];
        ckiti_redis_eval eval = {
            .script = ckiti_redis_scripts[i],
            .keys = {ckiti_redis_entry_name(f.self->prefix, S("a")), ckiti_redis_entry_name(f.self->prefix, S("b"))},
            .key_count = 2,
            .args = {S("1"), S("2"), S("3")},
            .arg_count = 3};
        snprintf(line, sizeof line, "SCRIPT EXISTS %s", ckiti_redis_scripts[i]->hash);
        (void)ckiti_redis_eval_run(f.self, S("a"), &eval, CKIT_NO_DEADLINE, NULL);
        CHECK_STR("*1", redis_server_tell(&server, line, answer));
        eval.missing = false;
        ckiti_redis_eval_init(&eval, false, NULL);
        (void)ckiti_redis_perform(f.self, S("a"), &eval.call, CKIT_NO_DEADLINE);
        CHECKF(!eval.missing, "script %zu", i);
    }
    expect_told("+OK", "SCRIPT FLUSH");
    put(&f, "odd", "n", "f", 60000); /* after a restart of the server the text goes again */
    CHECK_OK(f.ops->remove(f.self, S("odd"), CKIT_NO_DEADLINE, NULL));
    fixture_close(&f);
}

/* ---- scopes: five shapes of keys in namespaces that resemble each other ------------------------------------------ */

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *const spaces[] = {"a", "a:b", "a*", "a?", "A"};
#define SPACES (sizeof spaces / sizeof spaces[0])
#define SHAPES 5

static const char *shape(size_t which, const char *space, char out[400]) {
    switch (which) {
    case 0: snprintf(out, 400, "ns:%s:func:m.f:args:%s:1s", space, HASH); break;
    case 1: snprintf(out, 400, "ns:%s:func:m.a_very_long_name_whose_key_was_sho:%.32s", space, HASH); break;
    case 2: snprintf(out, 400, "%s:user:42", space); break;      /* the program's own */
    case 3: snprintf(out, 400, "%s:m.f:%s", space, HASH); break; /* interop */
    default: snprintf(out, 400, "free text of %s", space);
    }
    return out;
}

static void store_all(fixture *f) {
    char key[400];
    for (size_t s = 0; s < SPACES; s++) {
        for (size_t k = 0; k < SHAPES; k++) {
            put(f, shape(k, spaces[s], key), spaces[s], "m.f", 60000);
        }
    }
    put(f, "func:m.f:args:" HASH ":1s", "", "m.f", 60000); /* no namespace */
    put(f, "default:7", "", "m.f", 60000);
}

CKIT_TEST(scopes, a_namespace_goes_with_all_its_keys_and_no_others) {
    for (size_t gone = 0; gone < SPACES; gone++) {
        fixture      f;
        char         key[400];
        ckit_deleted deleted;
        ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S(spaces[gone])};
        fixture_init(&f);
        fixture_open(&f);
        store_all(&f);
        expect_told("+OK", "SET ns:a:something foreign");
        CHECK_OK(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
        CHECK_EQ_U(SHAPES, deleted.deleted);
        for (size_t s = 0; s < SPACES; s++) {
            for (size_t k = 0; k < SHAPES; k++) {
                CHECKF(has(&f, shape(k, spaces[s], key)) == (s != gone), "%s after removing %s", key, spaces[gone]);
            }
        }
        CHECK(has(&f, "func:m.f:args:" HASH ":1s"));
        CHECK(has(&f, "default:7"));
        expect_told(":1", "EXISTS ns:a:something");
        fixture_close(&f);
    }
}

CKIT_TEST(scopes, entries_without_a_namespace_are_one_too) {
    fixture      f;
    ckit_deleted deleted;
    ckit_scope   scope = {.kind = CKIT_SCOPE_FUNCTION, .function = S("m.f")};
    fixture_init(&f);
    fixture_open(&f);
    store_all(&f);
    CHECK_OK(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(2, deleted.deleted);
    CHECK(has(&f, "a:user:42"));
    fixture_close(&f);
}

/* ---- tenants in front of keys ------------------------------------------------------------------------------------ */

static void open_for(fixture *f, const char *prefix) {
    f->options.key_prefix = prefix;
    fixture_open(f);
    f->options.key_prefix = NULL;
}

/* Two stores of tenants, and one that sees the whole server. */
typedef struct tenancy {
    fixture acme, zeta, whole;
} tenancy;

static void tenancy_open(tenancy *t) {
    char key[400];
    fixture_init(&t->whole);
    fixture_open(&t->whole);
    t->acme = t->zeta = t->whole;
    open_for(&t->acme, "t:acme:");
    open_for(&t->zeta, "t:a%3Aeta:");
    for (size_t k = 0; k < SHAPES; k++) {
        for (size_t s = 0; s < 2; s++) {
            put(&t->acme, shape(k, spaces[s], key), spaces[s], "m.f", 60000);
            put(&t->zeta, shape(k, spaces[s], key), spaces[s], "m.f", CKIT_TTL_NO_EXPIRY);
            put(&t->whole, shape(k, spaces[s], key), spaces[s], "m.f", 60000);
        }
    }
    /* calls of functions with tenants */
    put(&t->whole, "t:x:ns:a:func:m.f:args:" HASH ":1s", "a", "m.f", CKIT_TTL_NO_EXPIRY);
    put(&t->acme, "t:x:ns:a:func:m.f:args:" HASH ":1s", "a", "m.f", 60000);
}

static void tenancy_close(tenancy *t) {
    fixture_close(&t->acme);
    fixture_close(&t->zeta);
    fixture_close(&t->whole);
}

static uint64_t deleted_of(fixture *f, ckit_scope scope) {
    ckit_deleted deleted;
    CHECK_OK(f->ops->delete_scope(f->self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    return deleted.deleted;
}

static ckit_status count_key(void *context, const ckit_listed *entry) {
    fixture *f = *(fixture **)context;
    char     key[400];
    (void)snprintf(key, sizeof key, "%.*s", (int)entry->key.len, (const char *)entry->key.ptr);
    CHECKF(has(f, key), "%s is listed", key);
    ((uint64_t *)context)[1]++;
    return CKIT_OK;
}

/* Each is shown once, under a key that this store knows it by. */
static uint64_t listed_of(fixture *f, ckit_scope scope) {
    struct {
        fixture *f;
        uint64_t count;
    } seen = {f, 0};
    CHECK_OK(f->ops->list(f->self, &scope, CKIT_NO_DEADLINE, count_key, &seen, NULL));
    return seen.count;
}

CKIT_TEST(tenants, who_sees_the_whole_server_reaches_the_entries_of_all_tenants) {
    const ckit_scope a = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("a")}, all = {.kind = CKIT_SCOPE_ALL};
    const ckit_scope f = {.kind = CKIT_SCOPE_FUNCTION, .namespace_name = S("a:b"), .function = S("m.f")};
    char             key[400];
    tenancy          t;
    tenancy_open(&t);
    CHECK_EQ_U(3 * 2 * SHAPES + 2, listed_of(&t.whole, all));
    CHECK_EQ_U(3 * SHAPES + 2, listed_of(&t.whole, a));
    CHECK_EQ_U(3 * SHAPES + 2, deleted_of(&t.whole, a));
    for (size_t k = 0; k < SHAPES; k++) {
        CHECK(!has(&t.acme, shape(k, "a", key)) && !has(&t.zeta, shape(k, "a", key)));
        CHECK(has(&t.acme, shape(k, "a:b", key)) && has(&t.zeta, shape(k, "a:b", key)));
    }
    CHECK_EQ_U(3 * SHAPES, deleted_of(&t.whole, f));
    expect_told(":0", "DBSIZE");
    tenancy_close(&t);
}

CKIT_TEST(tenants, a_tenants_own_view_reaches_his_entries_alone) {
    const ckit_scope all = {.kind = CKIT_SCOPE_ALL}, a = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("a")};
    tenancy          t;
    tenancy_open(&t);
    CHECK_EQ_U(2 * SHAPES + 1, listed_of(&t.acme, all));
    CHECK_EQ_U(SHAPES + 1, deleted_of(&t.acme, a));
    CHECK_EQ_U(SHAPES, listed_of(&t.acme, all));
    CHECK_EQ_U(2 * SHAPES, listed_of(&t.zeta, all));
    CHECK_EQ_U(SHAPES, deleted_of(&t.acme, all));
    CHECK_EQ_U(2 * SHAPES, deleted_of(&t.zeta, all));
    CHECK_EQ_U(2 * SHAPES + 1, deleted_of(&t.whole, all));
    expect_told(":0", "DBSIZE");
    tenancy_close(&t);
}

/* ---- many -------------------------------------------------------------------------------------------------------- */

CKIT_TEST(scopes, thousands_of_entries_go_in_portions) {
    fixture      f;
    char         key[400];
    ckit_deleted deleted;
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
    fixture_init(&f);
    fixture_open(&f);
    for (unsigned i = 0; i < 3000; i++) {
        if (i % 2 == 0) {
            snprintf(key, sizeof key, "n:%u", i);
        } else {
            snprintf(key, sizeof key, "ns:n:func:f:args:%064u:1s", i);
        }
        put(&f, key, "n", "f", 60000);
    }
    CHECK_OK(f.ops->delete_scope(f.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    CHECK_EQ_U(3000, deleted.deleted);
    expect_told(":0", "DBSIZE");
    fixture_close(&f);
}

CKIT_TEST(scopes, the_index_ends_with_its_last_entry_and_lasts_while_one_has_no_end) {
    fixture f;
    char    line[64] = "PTTL ck:idx:", answer[256], hash[33] = "";
    fixture_init(&f);
    fixture_open(&f);
    ckiti_redis_namespace_hash(hash, S("n"));
    strcat(line, hash);
    put(&f, "n:1", "n", "", 60000);
    long left = strtol(redis_server_tell(&server, line, answer) + 1, NULL, 10);
    CHECK(left > 50000 && left <= 61000);
    put(&f, "n:2", "n", "", 600000);
    left = strtol(redis_server_tell(&server, line, answer) + 1, NULL, 10);
    CHECK(left > 500000 && left <= 601000);
    put(&f, "n:3", "n", "", CKIT_TTL_NO_EXPIRY);
    CHECK_STR(":-1", redis_server_tell(&server, line, answer));
    CHECK_OK(f.ops->remove(f.self, S("n:3"), CKIT_NO_DEADLINE, NULL));
    CHECK_OK(f.ops->touch(f.self, S("n:1"), 60000, CKIT_NO_DEADLINE, NULL));
    left = strtol(redis_server_tell(&server, line, answer) + 1, NULL, 10);
    CHECK(left > 0 && left <= 601000);
    fixture_close(&f);
}

/* ---- large values, protocols, logins ----------------------------------------------------------------------------- */

CKIT_TEST(values, large_ones_travel_apart_and_come_back_whole) {
    fixture  f;
    size_t   len = (size_t)20 << 20;
    uint8_t *bytes = malloc(len);
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms;
    CHECK(bytes != NULL);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i * 31 + (i >> 11));
    }
    fixture_init(&f);
    f.options.socket_timeout_ms = 60000;
    fixture_open(&f);
    ckit_entry_info info = {.ttl_ms = 60000};
    CHECK_OK(f.ops->set(f.self, S("large"), ckit_slice_of(bytes, len), &info, CKIT_NO_DEADLINE, NULL));
    CHECK(ckiti_redis_was_large(f.self, S("large")));
    for (int i = 0; i < 2; i++) { /* known as large, and not */
        out.len = 0;
        CHECK_OK(f.ops->get(f.self, S("large"), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
        CHECK(out.len == len && memcmp(out.ptr, bytes, len) == 0);
        ckiti_redis_remember_size(f.self, S("large"), 1);
    }
    ckit_buf_fini(&out);
    fixture_close(&f);
    f.options.max_value_bytes = 1000000;
    fixture_open(&f);
    CHECK_STATUS(CKIT_E_TOO_LARGE, f.ops->get(f.self, S("large"), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
    CHECK_EQ_U(0, out.len);
    put(&f, "small", "", "", 60000);
    CHECK(has(&f, "small"));
    fixture_close(&f);
    ckit_buf_fini(&out);
    free(bytes);
}

CKIT_TEST(values, a_life_is_not_asked_for_when_nobody_wants_it) {
    fixture  f;
    ckit_buf out = CKIT_BUF_INIT;
    fixture_init(&f);
    fixture_open(&f);
    put(&f, "k", "", "", 60000);
    CHECK_OK(f.ops->get(f.self, S("k"), CKIT_NO_DEADLINE, &out, NULL, NULL));
    CHECK_TEXT("k", ckit_buf_slice(&out));
    ckit_buf_fini(&out);

    ckit_slice  keys[] = {S("absent"), S("k"), S("absent, too")};
    ckit_buf    all[] = {CKIT_BUF_INIT, CKIT_BUF_INIT, CKIT_BUF_INIT};
    ckit_status answers[3];
    char        stats[4096];
    expect_told("+OK", "CONFIG RESETSTAT");
    CHECK_OK(f.ops->get_many(f.self, keys, 3, CKIT_NO_DEADLINE, all, NULL, answers, NULL));
    CHECK_STATUS(CKIT_MISS, answers[0]);
    CHECK_OK(answers[1]);
    CHECK_STATUS(CKIT_MISS, answers[2]);
    CHECK_TEXT("k", ckit_buf_slice(&all[1]));
    (void)redis_server_ask(&server, "INFO commandstats", stats, sizeof stats);
    CHECK(strstr(stats, "cmdstat_mget:calls=1") != NULL);
    CHECK(strstr(stats, "cmdstat_pttl") == NULL);
    for (int i = 0; i < 3; i++) {
        ckit_buf_fini(&all[i]);
    }
    fixture_close(&f);
}

CKIT_TEST(ways, the_unix_socket_the_old_protocol_and_another_database) {
    fixture f;
    char    url[200];
    fixture_init(&f);
    snprintf(url, sizeof url, "%s?db=3&protocol=2&client_name=examiner", server.unix_url);
    f.options.url = url;
    fixture_open(&f);
    put(&f, "k", "", "", 60000);
    CHECK(has(&f, "k"));
    CHECK_EQ_U(2, f.self->node.channel.connection.protocol);
    expect_told(":0", "EXISTS k"); /* in database 0 */
    fixture_close(&f);
}

CKIT_TEST(ways, passwords_are_asked_for_and_given) {
    fixture                  f;
    ckit_error               err = CKIT_ERROR_INIT;
    char                     url[100];
    static const char *const users[] = {":wrong@", "alice:wrong@", "", ":right@", "alice:s%40crt@"};
    fixture_init(&f);
    expect_told("+OK", "ACL SETUSER alice on >s@crt ~* +@all");
    expect_told("+OK", "CONFIG SET requirepass right");
    for (size_t i = 0; i < 5; i++) {
        snprintf(url, sizeof url, "redis://%s127.0.0.1:%u", users[i], server.port);
        f.options.url = url;
        fixture_open(&f);
        ckit_status st = f.ops->exists(f.self, S("k"), CKIT_NO_DEADLINE, &err);
        CHECKF(st == (i < 3 ? CKIT_E_CREDENTIALS : CKIT_MISS), "%s: %s", url, ckit_status_name(st));
        CHECK(strstr(err.text, "wrong") == NULL);
        fixture_close(&f);
    }
    redis_server_stop(&server); /* the next test starts another */
}

/* ---- a server that comes and goes -------------------------------------------------------------------------------- */

typedef struct worker {
    fixture         *f;
    pthread_t        thread;
    unsigned         number;
    _Atomic bool    *stop;
    _Atomic uint64_t served;
} worker;

static void *work(void *arg) {
    worker         *w = arg;
    ckit_entry_info info = {.ttl_ms = 60000};
    ckit_buf        out = CKIT_BUF_INIT;
    for (unsigned i = 0; !atomic_load(w->stop); i++) {
        char     key[32];
        uint64_t life_ms;
        snprintf(key, sizeof key, "w%u-%u", w->number, i % 50);
        (void)w->f->ops->set(w->f->self, S(key), S(key), &info, CKIT_NO_DEADLINE, NULL);
        out.len = 0;
        if (w->f->ops->get(w->f->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, NULL) == CKIT_OK) {
            CHECK_TEXT(key, ckit_buf_slice(&out));
            atomic_fetch_add(&w->served, 1);
        }
    }
    ckit_buf_fini(&out);
    return NULL;
}

static void wait_served(worker *w) {
    uint64_t before = atomic_load(&w->served);
    for (int i = 0; i < 30000 && atomic_load(&w->served) < before + 10; i++) {
        usleep(1000);
    }
    CHECK(atomic_load(&w->served) >= before + 10);
}

CKIT_TEST(outages, a_server_that_is_killed_restarted_and_frozen_is_used_again_each_time) {
    fixture      f;
    worker       workers[8];
    _Atomic bool done = false;
    char         why[200], answer[256];
    fixture_init(&f);
    f.options.socket_timeout_ms = 100;
    fixture_open(&f);
    for (unsigned i = 0; i < 8; i++) {
        workers[i] = (worker){.f = &f, .number = i, .stop = &done};
        CHECK_EQ_I(0, pthread_create(&workers[i].thread, NULL, work, &workers[i]));
    }
    for (int round = 0; round < 2; round++) {
        wait_served(&workers[0]);
        CHECKF(redis_server_restart(&server, why, sizeof why), "%s", why);
        wait_served(&workers[7]);
        redis_server_freeze(&server);
        usleep(150000);
        redis_server_thaw(&server);
        wait_served(&workers[3]);
        (void)redis_server_tell(&server, "CLIENT KILL TYPE normal", answer);
        wait_served(&workers[5]);
        (void)redis_server_tell(&server, "FLUSHALL", answer);
    }
    atomic_store(&done, true);
    for (unsigned i = 0; i < 8; i++) {
        CHECK_EQ_I(0, pthread_join(workers[i].thread, NULL));
    }
    fixture_close(&f);
}
