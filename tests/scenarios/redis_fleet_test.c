/* Several caches over one Redis server, each with copies in memory: what one changes, the others see, also when links
 * break. Waits for what must come; copies would live for an hour. */
#include "support/fake_clock.h"
#include "support/redis_cluster.h"
#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/cachekit.h>
#include <cachekit/document.h>
#include <cachekit/redis.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ThreadSanitizer follows at most 64 locks held at once, and a fork, which starts a server again, holds more. */
#define ROUNDS (UNDER_TSAN ? 2u : 3u)

#define PATIENCE_MS 60000u
#define PROCESSES 5
#define KEYS 100u
#define BUSY_MS 3000u

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

static ckit_cache *open_cache_with(const char *url, bool memory, const ckit_clock *clock) {
    ckit_redis_options redis = CKIT_REDIS_OPTIONS_INIT;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_log           quiet = {.level = CKIT_LOG_ERROR};
    ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_backend      *backend;
    ckit_cache        *cache;
    env.log = &quiet;
    redis.url = url;
    redis.backoff_max_ms = 100;
    redis.socket_timeout_ms = redis.socket_connect_timeout_ms = PATIENCE_MS; /* a busy machine is no silent server */
    options.store_timeout_ms = PATIENCE_MS;
    options.log = &quiet;
    options.clock = env.clock = clock;
    options.l1 = memory ? CKIT_ON : CKIT_OFF;
    CHECK_OK_ERR(ckit_redis_open(&redis, &env, &backend, &err), &err);
    CHECK_OK_ERR(ckit_cache_new(&options, backend, &cache, &err), &err);
    return cache;
}

static ckit_cache *open_cache(const char *url, bool memory) { return open_cache_with(url, memory, NULL); }

static ckit_cache_stats stats_of(ckit_cache *cache) {
    ckit_cache_stats stats = CKIT_CACHE_STATS_INIT;
    ckit_cache_get_stats(cache, &stats);
    return stats;
}

/* "" when there is no entry. */
static ckit_status text_of(ckit_cache *cache, const char *key, char out[64], ckit_source *source) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = ckit_cache_get(cache, S(key), NULL, &value, NULL);
    snprintf(out, 64, "%.*s", st == CKIT_OK ? (int)value.data.len : 0, (const char *)value.data.ptr);
    if (source != NULL) {
        *source = value.source;
    }
    ckit_value_fini(&value);
    return st;
}

static void put(ckit_cache *cache, const char *key, const char *text) {
    CHECK_OK(ckit_cache_set(cache, S(key), S(text), NULL, NULL));
}

static void await_text(ckit_cache *cache, const char *key, const char *text) {
    char     got[64] = "";
    uint64_t end = now_ms() + PATIENCE_MS;
    while (now_ms() < end && (text_of(cache, key, got, NULL) > CKIT_MISS || strcmp(got, text) != 0)) {
        nap();
    }
    CHECK_STR(text, got);
}

/* Until `cache` hears what `by` does. */
static void await_guard(ckit_cache *cache, ckit_cache *by) {
    char     text[64];
    uint64_t told = stats_of(cache).changes_told;
    uint64_t end = now_ms() + PATIENCE_MS;
    while (stats_of(cache).changes_told == told && now_ms() < end) {
        (void)text_of(cache, "probe", text, NULL); /* the first operation begins to listen */
        put(by, "probe", "x");
        nap();
    }
    CHECK(stats_of(cache).changes_told > told);
}

/* The next look is answered by memory. */
static void make_copy(ckit_cache *cache, const char *key) {
    char        text[64];
    ckit_source source = CKIT_SOURCE_NONE;
    uint64_t    end = now_ms() + PATIENCE_MS;
    while (source != CKIT_SOURCE_MEMORY && now_ms() < end) {
        CHECK_OK(text_of(cache, key, text, &source));
    }
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, source);
}

/* ---- one function ------------------------------------------------------------------------------------------------ */

static ckit_status load(void *context, ckit_load *load, ckit_error *err) {
    (void)err;
    ckit_write_uint(load->result, __atomic_load_n((uint64_t *)context, __ATOMIC_SEQ_CST));
    return CKIT_OK;
}

static uint64_t call(ckit_function *function) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    uint64_t   number = 0;
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    CHECK_OK(ckit_call(function, &args, &value, NULL));
    CHECK_OK(ckit_document_uint(value.data, &number, NULL));
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    return number;
}

static ckit_function *function_of(ckit_cache *cache, uint64_t *number) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    ckit_function        *function;
    options.namespace_name = "ns";
    CHECK_OK(ckit_function_new(cache, "test.load", load, number, &options, &function, NULL));
    return function;
}

static void await_number(ckit_function *function, uint64_t number) {
    uint64_t got, end = now_ms() + PATIENCE_MS;
    while ((got = call(function)) != number && now_ms() < end) {
        nap();
    }
    CHECK_EQ_U(number, got);
}

static void check_functions(ckit_cache *a, ckit_cache *b) {
    uint64_t       number = 1;
    ckit_function *one = function_of(a, &number);
    ckit_function *other = function_of(b, &number);
    ckit_args      args;
    ckit_args_init(&args);
    ckit_args_int(&args, 7);
    CHECK_EQ_U(1, call(one));
    CHECK_EQ_U(1, call(other));
    for (uint64_t i = 2; i < 6; i++) {
        ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
        ckit_deleted deleted;
        __atomic_store_n(&number, i, __ATOMIC_SEQ_CST);
        switch (i) {
        case 2: CHECK_OK(ckit_invalidate(other, &args, NULL)); break;
        case 3: CHECK_OK(ckit_refresh(other, &args, NULL, NULL)); break;
        case 4: CHECK_OK(ckit_function_invalidate(other, &deleted, NULL)); break;
        default: CHECK_OK(ckit_cache_invalidate(b, &all, &deleted, NULL));
        }
        await_number(one, i);
        await_number(other, i);
    }
    ckit_args_fini(&args);
    ckit_function_close(one);
    ckit_function_close(other);
}

/* ---- two caches -------------------------------------------------------------------------------------------------- */

static void check_entries(ckit_cache *a, ckit_cache *b) {
    put(b, "k", "old");
    make_copy(a, "k");
    put(b, "k", "new");
    await_text(a, "k", "new");
    make_copy(a, "k");
    CHECK_OK(ckit_cache_delete(b, S("k"), NULL, NULL));
    await_text(a, "k", "");
    CHECK(stats_of(a).copies_dropped >= 1);
    CHECK_EQ_U(0, stats_of(a).watches_lost);
}

#define START(server)                                                                                                  \
    do {                                                                                                               \
        char start_why[200];                                                                                           \
        if (!redis_server_start((server), NULL, start_why, sizeof start_why)) {                                        \
            SKIP("%s", start_why);                                                                                     \
        }                                                                                                              \
    } while (0)

CKIT_TEST(redis_fleet, what_one_cache_changes_another_sees) {
    static const char *const ways[] = {"", "?invalidation=pubsub", "?protocol=2"};
    redis_server             server;
    START(&server);
    for (size_t i = 0; i < 3; i++) {
        char url[128], answer[256];
        snprintf(url, sizeof url, "%s%s", server.url, ways[i]);
        CHECK_STR("+OK", redis_server_tell(&server, "FLUSHALL", answer));
        ckit_cache *a = open_cache(url, true);
        ckit_cache *b = open_cache(url, true);
        await_guard(a, b);
        await_guard(b, a);
        check_entries(a, b);
        check_functions(a, b);
        CHECK_EQ_U(1, stats_of(a).watching);
        CHECK(i == 0 || stats_of(b).changes_published > 0);
        CHECK_EQ_U(0, stats_of(b).changes_unpublished);
        CHECK_EQ_U(0, stats_of(a).messages_malformed);
        redis_server_tell(&server, "PUBLISH cachekit:invalidation nonsense", answer);
        for (uint64_t end = now_ms() + PATIENCE_MS; i > 0 && stats_of(a).messages_malformed == 0 && now_ms() < end;) {
            nap();
        }
        CHECK_EQ_U(i > 0, stats_of(a).messages_malformed);
        ckit_cache_close(a);
        ckit_cache_close(b);
    }
    redis_server_stop(&server);
}

/* The server does not say whether another has written the same key in the same moment. */
CKIT_TEST(redis_fleet, what_a_process_has_written_itself_is_read_once_and_then_served_by_memory) {
    redis_server server;
    ckit_source  source;
    char         text[64];
    START(&server);
    ckit_cache *a = open_cache(server.url, true);
    ckit_cache *b = open_cache(server.url, true);
    await_guard(a, b);
    put(b, "marker", "before");
    make_copy(a, "marker");
    put(a, "own", "value");
    put(b, "marker", "behind"); /* changes are told in their order */
    await_text(a, "marker", "behind");
    CHECK_OK(text_of(a, "own", text, &source));
    CHECK_EQ_U(CKIT_SOURCE_STORE, source);
    make_copy(a, "own");
    CHECK_OK(text_of(b, "own", text, NULL));
    CHECK_STR("value", text);
    ckit_cache_close(a);
    ckit_cache_close(b);
    redis_server_stop(&server);
}

CKIT_TEST(redis_fleet, messages_that_the_server_does_not_pass_on_are_counted) {
    redis_server server;
    char         answer[256];
    START(&server);
    CHECK_STR("+OK", redis_server_tell(&server, "ACL SETUSER default -publish -client|tracking", answer));
    ckit_cache *a = open_cache(server.url, true);
    uint64_t    end = now_ms() + PATIENCE_MS;
    while ((stats_of(a).watching == 0 || stats_of(a).changes_unpublished == 0) && now_ms() < end) {
        put(a, "k", "v");
        nap();
    }
    CHECK(stats_of(a).changes_unpublished > 0);
    CHECK_EQ_U(0, stats_of(a).changes_published);
    ckit_cache_close(a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_fleet, over_a_cluster_too) {
    static redis_cluster cluster;
    char                 why[200];
    if (!redis_cluster_start(&cluster, 0, 2000, why, sizeof why)) {
        SKIP("%s", why);
    }
    ckit_cache *a = open_cache(cluster.url, true);
    ckit_cache *b = open_cache(cluster.url, true);
    await_guard(a, b);
    await_guard(b, a);
    for (int i = 0; i < 30; i++) { /* keys of all masters */
        char key[16], text[64];
        snprintf(key, sizeof key, "k%d", i);
        put(b, key, "old");
        await_text(a, key, "old");
        put(b, key, "new");
        await_text(a, key, "new");
        CHECK_OK(text_of(b, key, text, NULL));
        CHECK_STR("new", text);
    }
    check_entries(a, b);
    check_functions(a, b);
    ckit_cache_close(a);
    ckit_cache_close(b);
    redis_cluster_stop(&cluster);
}

/* What the entry holds, as it is. */
static ckit_source bytes_of(ckit_cache *cache, const char *key, char out[64]) {
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    options.encoding = CKIT_RAW;
    CHECK_OK(ckit_cache_get(cache, S(key), &options, &value, NULL));
    snprintf(out, 64, "%.*s", (int)value.data.len, (const char *)value.data.ptr);
    ckit_source source = value.source;
    ckit_value_fini(&value);
    return source;
}

static void await_watching(ckit_cache *cache, uint64_t watching) {
    char     text[64];
    uint64_t end = now_ms() + PATIENCE_MS;
    while (stats_of(cache).watching != watching && now_ms() < end) {
        (void)bytes_of(cache, "key{1}", text);
        nap();
    }
    CHECK_EQ_U(watching, stats_of(cache).watching);
}

/* Memory has it, and time stands still. */
static void copy_bytes(ckit_cache *cache, const char *key, const char *expected) {
    char     text[64];
    uint64_t end = now_ms() + PATIENCE_MS;
    while (bytes_of(cache, key, text) != CKIT_SOURCE_MEMORY && now_ms() < end) {
        nap();
    }
    CHECK_EQ_U(CKIT_SOURCE_MEMORY, bytes_of(cache, key, text));
    CHECK_STR(expected, text);
}

/* Its link ends and a key changes in one turn of the server, so nobody is told of that. */
static void change_unheard(redis_server *server, const char *command) {
    char     line[128], answer[256], list[1024];
    uint64_t end = now_ms() + PATIENCE_MS;
    while (redis_server_ask(server, "CLIENT LIST TYPE pubsub", list, sizeof list)[0] == '\0' && now_ms() < end) {
        nap(); /* it is known by its channel, which it asks for a moment after the guard */
    }
    snprintf(line, sizeof line, "CLIENT KILL TYPE pubsub\r\n%s", command);
    CHECK_STR(":1", redis_server_tell(server, line, answer));
}

CKIT_TEST(redis_fleet, who_sees_a_change_of_a_node_sees_those_before_it_while_another_node_is_away) {
    static redis_cluster cluster;
    char                 why[200], answer[256], command[64], text[64];
    size_t               home = 0;
    fake_clock           time;
    fake_clock_init(&time);
    if (!redis_cluster_start(&cluster, 0, 60000, why, sizeof why)) { /* nobody takes it for dead */
        SKIP("%s", why);
    }
    while (home < REDIS_CLUSTER_MASTERS &&
           redis_server_tell(&cluster.nodes[home], "SET key{1} old", answer)[0] != '+') {
        home++;
    }
    CHECK(home < REDIS_CLUSTER_MASTERS);
    CHECK_STR("+OK", redis_server_tell(&cluster.nodes[home], "SET later{1} 0", answer));
    ckit_cache *cache = open_cache_with(cluster.url, true, &time.clock);
    await_watching(cache, 1);
    redis_server_kill(&cluster.nodes[(home + 1) % REDIS_CLUSTER_MASTERS]);
    await_watching(cache, 0);
    copy_bytes(cache, "key{1}", "old");
    copy_bytes(cache, "later{1}", "0");
    change_unheard(&cluster.nodes[home], "SET key{1} new");
    uint64_t end = now_ms() + PATIENCE_MS;
    strcpy(text, "0");
    for (unsigned i = 1; strcmp(text, "0") == 0 && now_ms() < end; i++) {
        snprintf(command, sizeof command, "SET later{1} %u", i);
        CHECK_STR("+OK", redis_server_tell(&cluster.nodes[home], command, answer));
        nap();
        (void)bytes_of(cache, "later{1}", text);
    }
    CHECK(strcmp("0", text) != 0);
    (void)bytes_of(cache, "key{1}", text);
    CHECK_STR("new", text);
    CHECK_EQ_U(0, stats_of(cache).watching);
    ckit_cache_close(cache);
    redis_cluster_stop(&cluster);
}

/* A write whose answer was lost is made up for by removing the key, perhaps after a later write has succeeded. */
static void write_until_read(ckit_cache *by, ckit_cache *cache, const char *key, const char *text, uint64_t end) {
    char got[64] = "";
    while (strcmp(got, text) != 0 && now_ms() < end) {
        if (ckit_cache_set(by, S(key), S(text), NULL, NULL) == CKIT_OK) {
            (void)text_of(cache, key, got, NULL);
        }
        nap();
    }
    CHECK_STR(text, got);
}

CKIT_TEST(redis_fleet, after_a_link_has_broken_copies_are_read_again_and_guarded_again) {
    static const char *const keys[] = {"one", "two", "three"};
    redis_server             server;
    char                     answer[256], why[200];
    START(&server);
    ckit_cache *a = open_cache(server.url, true);
    ckit_cache *b = open_cache(server.url, false);
    await_guard(a, b);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        uint64_t    end = now_ms() + PATIENCE_MS;
        const char *key = keys[i - 1];
        put(b, key, "old");
        make_copy(a, key);
        if (i == 3) {
            CHECK(redis_server_restart(&server, why, sizeof why));
        } else {
            redis_server_tell(&server, i == 1 ? "CLIENT KILL TYPE pubsub" : "CLIENT KILL TYPE normal", answer);
            redis_server_tell(&server, "CLIENT KILL TYPE pubsub", answer);
        }
        while (stats_of(a).watches_lost < i && now_ms() < end) {
            nap();
        }
        CHECK(stats_of(a).watches_lost >= i);
        write_until_read(b, a, key, "new", end);
        await_guard(a, b);
    }
    check_functions(a, b);
    ckit_cache_close(a);
    ckit_cache_close(b);
    redis_server_stop(&server);
}

CKIT_TEST(redis_fleet, a_cache_may_be_closed_at_any_moment_of_its_link) {
    redis_server server;
    char         text[64];
    START(&server);
    for (int i = 0; i < 200; i++) {
        ckit_cache *cache = open_cache(server.url, true);
        (void)text_of(cache, "k", text, NULL);
        nanosleep(&(struct timespec){.tv_nsec = 20000 * (long)(i % 50)}, NULL);
        ckit_cache_close(cache);
    }
    redis_server_stop(&server);
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

typedef struct process {
    pid_t pid;
    int   begin; /* it ends its work when this is closed, and looks */
    int   idle;  /* it has ended its work when this is */
} process;

static void work(ckit_cache *cache, unsigned self) {
    uint64_t state = self + 1, end = now_ms() + BUSY_MS;
    char     key[32], text[64];
    for (unsigned i = 0; now_ms() < end; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        snprintf(key, sizeof key, "k%u", (unsigned)((state >> 33) % KEYS));
        if ((state >> 50) % 4 == 0) {
            snprintf(text, sizeof text, "%u of process %u", i, self);
            (void)ckit_cache_set(cache, S(key), S(text), NULL, NULL); /* a broken link may fail it */
        } else {
            (void)text_of(cache, key, text, NULL);
        }
    }
}

static void look(ckit_cache *cache, const char *url) {
    ckit_cache *plain = open_cache(url, false);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32], text[64];
        snprintf(key, sizeof key, "k%u", i);
        CHECK(text_of(plain, key, text, NULL) <= CKIT_MISS);
        await_text(cache, key, text);
    }
    CHECK(stats_of(cache).watches_lost >= 1);
    ckit_cache_close(plain);
}

static void start_process(process *p, const char *url, unsigned self, const process *others) {
    int begin[2], idle[2];
    CHECK(pipe(begin) == 0 && pipe(idle) == 0);
    p->pid = fork();
    CHECK(p->pid >= 0);
    if (p->pid == 0) {
        char byte;
        close(begin[1]);
        close(idle[0]);
        for (unsigned i = 0; i < self; i++) {
            close(others[i].begin);
            close(others[i].idle);
        }
        ckit_cache *cache = open_cache(url, true);
        work(cache, self);
        close(idle[1]);
        (void)!read(begin[0], &byte, 1);
        look(cache, url);
        ckit_cache_close(cache);
        _exit(0);
    }
    close(begin[0]);
    close(idle[1]);
    p->begin = begin[1];
    p->idle = idle[0];
}

CKIT_TEST(redis_fleet, after_work_and_lost_links_no_process_holds_an_old_value) {
    redis_server server;
    process      all[PROCESSES];
    char         answer[256], byte;
    START(&server);
    for (unsigned i = 0; i < PROCESSES; i++) {
        start_process(&all[i], server.url, i, all);
    }
    for (int i = 0; i < 2; i++) {
        nanosleep(&(struct timespec){.tv_sec = BUSY_MS / 3000, .tv_nsec = 0}, NULL);
        redis_server_tell(&server, "CLIENT KILL TYPE pubsub", answer);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        (void)!read(all[i].idle, &byte, 1);
        close(all[i].idle);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        close(all[i].begin);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status = 0;
        CHECK_EQ_I(all[i].pid, waitpid(all[i].pid, &status, 0));
        CHECK(WIFEXITED(status));
        CHECK_EQ_I(0, WEXITSTATUS(status));
    }
    redis_server_stop(&server);
}
