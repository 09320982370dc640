/* Walks that come by many indexes: thousands of tenants on one server, each with an entry that only his index knows. Of
 * scope.c. */
#include "names.h"

#include "support/failing_alloc.h"
#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/redis.h>

#include <stdio.h>
#include <stdlib.h>

#define FEW 3000u
#define MANY 12000u

static redis_server server;

static void stop(void) { redis_server_stop(&server); }

typedef struct fixture {
    failing_alloc           fa;
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
    uint32_t                tenants;
    uint8_t                 seen[MANY + 1];
    uint64_t                strangers;
} fixture;

/* As stores of the tenants 1 to `tenants` would have left it: an entry, its owner's record, and the index. */
static void store_entries(uint32_t tenants, const char *namespace_name) {
    char hash[CKITI_REDIS_HASH_DIGITS], line[900], answer[256];
    ckiti_redis_namespace_hash(hash, S(namespace_name));
    snprintf(line, sizeof line,
             "EVAL \"local h = ARGV[2] for i = 1, tonumber(ARGV[1]) do local t = 't:' .. i .. ':' "
             "redis.call('SET', t .. 'k', 'v') redis.call('ZADD', t .. 'ck:idx:' .. h, '+inf', 'k') "
             "redis.call('SET', t .. 'ck:own:k', h .. string.format('%%08x', #ARGV[3]) .. ARGV[3] .. 'f') end\" "
             "0 %u %.*s %s",
             tenants, (int)sizeof hash, hash, namespace_name);
    CHECK_STR("$-1", redis_server_tell(&server, line, answer));
}

static fixture *fixture_open(uint32_t tenants) {
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    fixture           *f = calloc(1, sizeof *f);
    char               why[200], answer[256];
    CHECK(f != NULL);
    if (server.pid == 0) {
        if (!redis_server_start(&server, NULL, why, sizeof why)) {
            SKIP("%s", why);
        }
        atexit(stop);
    }
    CHECK_STR("+OK", redis_server_tell(&server, "FLUSHALL", answer));
    store_entries(tenants, "n");
    failing_alloc_init(&f->fa, FAILING_ALLOC_NEVER);
    env.alloc = &f->fa.alloc;
    options.url = server.url;
    options.socket_timeout_ms = options.socket_connect_timeout_ms = 20000;
    f->tenants = tenants;
    CHECK_OK_ERR(ckit_redis_open(&options, &env, &f->backend, &err), &err);
    f->ops = ckit_backend_operations(f->backend);
    f->self = ckit_backend_self(f->backend);
    return f;
}

static void fixture_close(fixture *f) {
    ckit_backend_close(f->backend);
    failing_alloc_check_empty(&f->fa);
    free(f);
}

static ckit_status mark(void *context, const ckit_listed *entry) {
    fixture *f = context;
    char     key[64], expected[64];
    snprintf(key, sizeof key, "%.*s", (int)entry->key.len, (const char *)entry->key.ptr);
    uint32_t tenant = entry->key.len > 2 ? (uint32_t)strtoul(key + 2, NULL, 10) : 0;
    snprintf(expected, sizeof expected, "t:%u:k", tenant);
    if (tenant == 0 || tenant > f->tenants || strcmp(key, expected) != 0) {
        f->strangers++;
    } else {
        f->seen[tenant] = 1;
    }
    return CKIT_OK;
}

static void expect_all_listed(fixture *f, const ckit_scope *scope) {
    ckit_error err = CKIT_ERROR_INIT;
    memset(f->seen, 0, sizeof f->seen);
    CHECK_OK_ERR(f->ops->list(f->self, scope, CKIT_NO_DEADLINE, mark, f, &err), &err);
    CHECK_EQ_U(0, f->strangers);
    for (uint32_t i = 1; i <= f->tenants; i++) {
        CHECKF(f->seen[i] == 1, "the entry of tenant %u is not listed", i);
    }
}

static const ckit_scope everything = {.kind = CKIT_SCOPE_ALL};

CKIT_TEST(indexes, a_walk_needs_no_more_memory_for_four_times_the_tenants) {
    const ckit_scope n = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
    int64_t          peaks[2];
    for (int i = 0; i < 2; i++) {
        fixture *f = fixture_open(i == 0 ? FEW : MANY);
        expect_all_listed(f, &everything);
        expect_all_listed(f, &n);
        peaks[i] = atomic_load(&f->fa.peak_bytes);
        fixture_close(f);
    }
    CHECKF(peaks[1] < peaks[0] + peaks[0] / 8, "%lld bytes at most for %u tenants, %lld for %u", (long long)peaks[0],
           FEW, (long long)peaks[1], MANY);
}

CKIT_TEST(indexes, those_of_thousands_of_tenants_are_all_removed) {
    const ckit_scope n = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
    const ckit_scope other = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("other")};
    ckit_scope const scopes[] = {n, everything};
    for (size_t i = 0; i < 2; i++) {
        fixture     *f = fixture_open(FEW);
        ckit_deleted deleted;
        char         answer[256];
        CHECK_OK(f->ops->delete_scope(f->self, &other, CKIT_NO_DEADLINE, &deleted, NULL));
        CHECK_EQ_U(0, deleted.deleted);
        CHECK_OK(f->ops->delete_scope(f->self, &scopes[i], CKIT_NO_DEADLINE, &deleted, NULL));
        CHECK_EQ_U(FEW, deleted.deleted);
        CHECK_STR(":0", redis_server_tell(&server, "DBSIZE", answer));
        fixture_close(f);
    }
}
