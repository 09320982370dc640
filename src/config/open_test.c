/* A cache from settings: which store a URL names, and what is refused. Of scheme.c. */
#include "config/captured.h"
#include "support/failing_alloc.h"
#include "support/scratch.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/memory.h>
#include <cachekit/open.h>
#include <cachekit/settings.h>
#include <cachekit/value.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Variables of whoever runs the tests must not decide them. */
static void clear_environment(void) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        (void)unsetenv(ckit_settings_at(i)->variable);
    }
    static const char *const others[] = {"CACHEKIT_REDIS_URL", "CACHEKIT_MEMCACHED_SERVERS", "CACHEKIT_API_KEY",
                                         "CACHEKIT_MASTER_KEY", "REDIS_URL"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        (void)unsetenv(others[i]);
    }
}

static void set_and_get(ckit_cache *cache) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_cache_set(cache, S("key"), S("value"), NULL, &err), &err);
    CHECK_OK_ERR(ckit_cache_get(cache, S("key"), NULL, &value, &err), &err);
    CHECK_TEXT("value", value.data);
    ckit_value_fini(&value);
}

/* file:DIRECTORY with something behind it. */
static const char *file_url(const char *dir, const char *rest) {
    static char url[SCRATCH_PATH + 128];
    (void)snprintf(url, sizeof url, "file://%s%s", dir, rest);
    return url;
}

CKIT_TEST(open, memory_works_without_a_store) {
    clear_environment();
    ckit_cache *cache = NULL;
    ckit_error  err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_cache_open("memory:", NULL, &cache, &err), &err);
    CHECK(ckit_cache_backend(cache) == NULL);
    set_and_get(cache);
    ckit_cache_close(cache);
}

CKIT_TEST(open, a_store_of_the_callers_own_is_kept_to_the_settings_of_the_environment) {
    clear_environment();
    setenv("CACHEKIT_MAX_VALUE_SIZE", "1000", 1);
    uint8_t large[2000]; /* nothing that shrinks much */
    for (uint32_t i = 0; i < sizeof large; i++) {
        large[i] = (uint8_t)((i * i * 2654435761u) >> 24);
    }
    ckit_backend *store = NULL;
    ckit_cache   *cache = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_memory_open(NULL, NULL, &store, &err), &err);
    CHECK_OK_ERR(ckit_cache_open_over(store, NULL, &cache, &err), &err);
    ckit_guard_stats guard = CKIT_GUARD_STATS_INIT;
    CHECK_EQ_P(ckit_backend_operations(store)->name, ckit_backend_name(ckit_cache_backend(cache)));
    CHECK(ckit_cache_get_guard_stats(cache, &guard));
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckit_cache_set(cache, S("key"), ckit_slice_of(large, sizeof large), NULL, NULL));
    set_and_get(cache);
    ckit_cache_close(cache);
    setenv("CACHEKIT_MAX_VALUE_SIZE", "-1", 1);
    CHECK_OK_ERR(ckit_memory_open(NULL, NULL, &store, &err), &err);
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_cache_open_over(store, NULL, &cache, &err));
    CHECK(cache == NULL);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_cache_open_over(NULL, NULL, &cache, &err));
    clear_environment();
}

CKIT_TEST(open, a_file_url_makes_the_directory_and_keeps_entries_in_it) {
    clear_environment();
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    for (int pass = 0; pass < 2; pass++) {
        ckit_cache *cache = NULL;
        ckit_error  err = CKIT_ERROR_INIT;
        ckit_value  value = CKIT_VALUE_INIT;
        CHECK_OK_ERR(ckit_cache_open(file_url(dir, "/a/b?max_size_mb=2"), NULL, &cache, &err), &err);
        CHECK_STR("file", ckit_backend_name(ckit_cache_backend(cache)));
        CHECK_STATUS(pass == 0 ? CKIT_MISS : CKIT_OK, ckit_cache_get(cache, S("key"), NULL, &value, &err));
        ckit_value_fini(&value);
        set_and_get(cache);
        ckit_health health;
        ckit_cache_health(cache, &health);
        CHECK(health.healthy);
        CHECK_EQ_U(2 << 20, health.limit_bytes);
        ckit_cache_close(cache);
    }
    scratch_remove(dir);
}

CKIT_TEST(open, null_opens_what_the_environment_says) {
    clear_environment();
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    captured           lines;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    captured_init(&lines, CKIT_LOG_INFO);
    options.log = &lines.log;
    CHECK_EQ_I(0, setenv("CACHEKIT_FILE_CACHE_DIR", dir, 1));
    ckit_cache *cache = NULL;
    ckit_error  err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_cache_open(NULL, &options, &cache, &err), &err);
    char expected[SCRATCH_PATH + 64];
    (void)snprintf(expected, sizeof expected, "info open: store: files in %s (CACHEKIT_FILE_CACHE_DIR)\n", dir);
    CHECK_CONTAINS(expected, lines.text);
    set_and_get(cache);
    ckit_cache_close(cache);
    CHECK(scratch_count_files(dir) >= 1);
    clear_environment();
    scratch_remove(dir);
}

CKIT_TEST(open, a_refused_url_leaves_nothing_behind) {
    clear_environment();
    static const char *const urls[] = {"redis://x/y", "rediss://x/y",     "redis:x", "",
                                       "/x",          "file:///x?flux=1", "memory:x"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        ckit_cache *cache = (ckit_cache *)&cache;
        CHECK(ckit_cache_open(urls[i], NULL, &cache, NULL) >= CKIT_E_FIRST);
        CHECK(cache == NULL);
    }
}

CKIT_TEST(open, what_opening_the_store_says_is_passed_up) {
    clear_environment();
    ckit_cache *cache = NULL;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = ckit_cache_open("file:///dev/null/cache", NULL, &cache, &err);
    CHECK(st >= CKIT_E_FIRST);
    CHECK_EQ_I((int)st, (int)err.status);
    CHECK_STR("file", err.where);
    CHECK(cache == NULL);
}

static void open_with_failures(const char *url) {
    for (uint64_t n = 0;; n++) {
        failing_alloc      fa;
        ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
        ckit_cache        *cache = NULL;
        ckit_error         err = CKIT_ERROR_INIT;
        failing_alloc_init(&fa, n);
        options.alloc = &fa.alloc;
        ckit_status st = ckit_cache_open(url, &options, &cache, &err);
        CHECK((st == CKIT_OK) == (cache != NULL));
        ckit_cache_close(cache);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK_ERR(st, &err);
            break;
        }
        if (st != CKIT_OK) {
            CHECK_STATUS_ERR(CKIT_E_NO_MEMORY, st, &err);
        }
    }
}

CKIT_TEST(open, no_failed_allocation_leaves_anything_behind) {
    clear_environment();
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    open_with_failures("memory:");
    open_with_failures(file_url(dir, "/c"));
    scratch_remove(dir);
}

CKIT_TEST(open, log_level_decides_for_the_store_too_when_the_callers_sink_has_no_level) {
    char               dir[SCRATCH_PATH], index[SCRATCH_PATH + 16];
    captured           lines;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_cache        *cache = NULL;
    clear_environment();
    scratch_make(dir);
    (void)snprintf(index, sizeof index, "%s/.ck-index", dir);
    CHECK_EQ_I(0, mkdir(index, 0700)); /* so that the store has something to say, at level info */
    captured_init(&lines, CKIT_LOG_DEFAULT);
    options.log = &lines.log;
    CHECK_OK(ckit_cache_open(file_url(dir, "?log_level=info"), &options, &cache, NULL));
    set_and_get(cache);
    CHECK_CONTAINS("info file: an entry stays out of the index", lines.text);
    ckit_cache_close(cache);
    scratch_remove(dir);
}

/* ---- the store alone -------------------------------------------------------------------------------------- */

static void set_and_get_raw(ckit_backend *backend) {
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    void                   *self = ckit_backend_self(backend);
    ckit_entry_info         info = {.ttl_ms = CKIT_TTL_NO_EXPIRY};
    ckit_error              err = CKIT_ERROR_INIT;
    uint64_t                life_ms = 0;
    ckit_buf                out;
    ckit_buf_init(&out, NULL);
    CHECK_OK_ERR(ops->set(self, S("key"), S("bytes"), &info, CKIT_NO_DEADLINE, &err), &err);
    CHECK_OK_ERR(ops->get(self, S("key"), CKIT_NO_DEADLINE, &out, &life_ms, &err), &err);
    CHECK_TEXT("bytes", ckit_slice_of(out.ptr, out.len));
    ckit_buf_fini(&out);
}

CKIT_TEST(open, a_store_alone_opens_by_url_with_its_settings) {
    clear_environment();
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    ckit_backend *backend = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_health   health;
    CHECK_EQ_I(0, setenv("CACHEKIT_FILE_MAX_SIZE_MB", "4", 1));
    CHECK_OK_ERR(ckit_backend_open(file_url(dir, "/a"), NULL, &backend, &err), &err);
    CHECK_STR("file", ckit_backend_name(backend));
    set_and_get_raw(backend);
    ckit_backend_operations(backend)->health(ckit_backend_self(backend), CKIT_NO_DEADLINE, &health);
    CHECK_EQ_U(4 << 20, health.limit_bytes);
    ckit_backend_close(backend);
    clear_environment();
    scratch_remove(dir);
}

CKIT_TEST(open, a_store_alone_takes_bytes_as_they_are_also_with_a_master_key) {
    clear_environment();
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    CHECK_EQ_I(0, setenv("CACHEKIT_MASTER_KEY", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", 1));
    CHECK_EQ_I(0, setenv("CACHEKIT_FILE_CACHE_DIR", dir, 1));
    ckit_backend *backend = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_backend_open(NULL, NULL, &backend, &err), &err);
    set_and_get_raw(backend);
    ckit_backend_close(backend);
    clear_environment();
    scratch_remove(dir);
}

CKIT_TEST(open, a_memory_store_alone_is_a_store_with_a_bound) {
    clear_environment();
    ckit_backend *backend = NULL;
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_health   health;
    CHECK_OK_ERR(ckit_backend_open("memory:?l1_max_size_mb=3", NULL, &backend, &err), &err);
    CHECK_STR("memory", ckit_backend_name(backend));
    set_and_get_raw(backend);
    ckit_backend_operations(backend)->health(ckit_backend_self(backend), CKIT_NO_DEADLINE, &health);
    CHECK_EQ_U(3 << 20, health.limit_bytes);
    ckit_backend_close(backend);
}

CKIT_TEST(open, no_store_is_opened_alone_where_nothing_chooses_one) {
    clear_environment();
    ckit_backend *backend = (ckit_backend *)&backend;
    CHECK_STATUS(CKIT_E_NO_URL, ckit_backend_open(NULL, NULL, &backend, NULL));
    CHECK(backend == NULL);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_backend_open("memory:", NULL, NULL, NULL));
}

CKIT_TEST(open, a_store_alone_uses_the_log_and_memory_of_its_opener) {
    clear_environment();
    failing_alloc    fa;
    captured         lines;
    ckit_backend    *backend = NULL;
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    captured_init(&lines, CKIT_LOG_INFO);
    env.alloc = &fa.alloc;
    env.log = &lines.log;
    CHECK_OK(ckit_backend_open("memory:", &env, &backend, NULL));
    CHECK_STR("info open: store: memory (the URL)\n", lines.text);
    set_and_get_raw(backend);
    ckit_backend_close(backend);
    failing_alloc_check_empty(&fa);
}
