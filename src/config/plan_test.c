#include "config/captured.h"
#include "config/plan.h"
#include "support/test.h"

#include <cachekit/envelope.h>

#define ENVIRONMENT(...)                                                                                               \
    (const char *const[]) { __VA_ARGS__, NULL }
static const char *const nothing[] = {NULL};

static void plan_ok(ckiti_plan *plan, const char *url, const ckit_cache_options *options,
                    const char *const *environment) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckiti_plan_make(plan, url, options, environment, &err), &err);
}

/* The text of the refusal, which must have room in the record. */
static const char *refusal_in(ckit_status expected, const char *url, const char *const *environment) {
    static ckit_error err;
    ckiti_plan        plan;
    memset(&err, 0, sizeof err);
    CHECK_STATUS_ERR(expected, ckiti_plan_make(&plan, url, NULL, environment, &err), &err);
    CHECKF(strlen(err.text) < sizeof err.text - 1, "cut: %s", err.text);
    return err.text;
}

static const char *refusal(ckit_status expected, const char *url) { return refusal_in(expected, url, nothing); }

/* ---- URLs ------------------------------------------------------------------------------------------------- */

CKIT_TEST(plan, memory_has_no_store) {
    static const char *const urls[] = {"memory:", "MEMORY:", "memory://", "memory:?l1_max_size_mb=10"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        ckiti_plan plan;
        plan_ok(&plan, urls[i], NULL, nothing);
        CHECKF(!plan.has_store, "%s", urls[i]);
    }
}

CKIT_TEST(plan, a_file_url_names_the_directory) {
    static const char *const pairs[][2] = {{"file:///var/cache/app", "/var/cache/app"},
                                           {"file://localhost/var/cache", "/var/cache"},
                                           {"FILE://LocalHost/x", "/x"},
                                           {"file:/abs", "/abs"},
                                           {"file:relative/dir", "relative/dir"},
                                           {"file:///with%20blank%2Fslash", "/with blank/slash"},
                                           {"file:///plus+plus?max_size_mb=5", "/plus+plus"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        ckiti_plan plan;
        plan_ok(&plan, pairs[i][0], NULL, nothing);
        CHECK(plan.has_store);
        CHECK_STR(pairs[i][1], plan.file.directory);
        CHECK_STR("the URL", plan.reason);
    }
}

CKIT_TEST(plan, parameters_of_a_url_set_the_store_and_the_cache) {
    ckiti_plan plan;
    plan_ok(&plan,
            "file:///c?max_size_mb=512&max_value_mb=256&max_entry_count=100&lock_timeout_seconds=0.5&permissions=0o640"
            "&dir_permissions=750&sync=none&default_ttl=60&l1_max_size_mb=10&l1_enabled=no&compression_level=9",
            NULL, nothing);
    CHECK_EQ_U(512 << 20, plan.file.max_size_bytes);
    CHECK_EQ_U(256 << 20, plan.file.max_value_bytes);
    CHECK_EQ_U(100, plan.file.max_entry_count);
    CHECK_EQ_U(500, plan.file.lock_timeout_ms);
    CHECK_EQ_U(0640, plan.file.permissions);
    CHECK_EQ_U(0750, plan.file.dir_permissions);
    CHECK_EQ_U(CKIT_FILE_SYNC_NONE, plan.file.sync);
    CHECK_EQ_U(60000, plan.cache.default_ttl_ms);
    CHECK_EQ_U(10 << 20, plan.cache.l1_max_bytes);
    CHECK_EQ_U(CKIT_OFF, plan.cache.l1);
    CHECK_EQ_I(9, plan.cache.compression_level);
}

CKIT_TEST(plan, an_unknown_parameter_is_refused_with_the_known_ones) {
    CHECK_STR("unknown parameter 'max_siz_mb', did you mean max_size_mb?; known: max_size_mb, max_value_mb, "
              "max_entry_count, lock_timeout_seconds, permissions, dir_permissions, sync, default_ttl, ...",
              refusal(CKIT_E_CONFIGURATION, "file:///c?max_siz_mb=5"));
    CHECK_CONTAINS("unknown parameter 'flux'; known: max_size_mb", refusal(CKIT_E_CONFIGURATION, "file:///c?flux=5"));
    CHECK_CONTAINS("known: default_ttl, ", refusal(CKIT_E_CONFIGURATION, "memory:?max_size_mb=5"));
    CHECK_CONTAINS("unknown parameter ''", refusal(CKIT_E_CONFIGURATION, "memory:?=5"));
    CHECK_CONTAINS("unknown parameter 'file_cache_dir'", refusal(CKIT_E_CONFIGURATION, "file:///c?file_cache_dir=/d"));
    CHECK_CONTAINS("'MAX_SIZE_MB', did you mean max_size_mb", refusal(CKIT_E_CONFIGURATION, "file:///c?MAX_SIZE_MB=5"));
}

CKIT_TEST(plan, a_parameter_may_be_there_once) {
    CHECK_CONTAINS("'sync' is there twice", refusal(CKIT_E_CONFIGURATION, "file:///c?sync=full&sync=full"));
}

CKIT_TEST(plan, a_wrong_parameter_is_refused_with_value_and_range) {
    CHECK_STR("max_size_mb=0 in the URL: expected a whole number of MiB, 1 to 1000000",
              refusal(CKIT_E_CONFIGURATION, "file:///c?max_size_mb=0"));
    CHECK_STR("max_size_mb= in the URL: expected a whole number of MiB, 1 to 1000000",
              refusal(CKIT_E_CONFIGURATION, "file:///c?max_size_mb"));
    CHECK_STR("max_value_mb=6 in the URL is above half of max_size_mb=10 in the URL",
              refusal(CKIT_E_CONFIGURATION, "file:///c?max_size_mb=10&max_value_mb=6"));
    CHECK_STR("default_ttl=5 in the URL is below ttl_min=60 (the default; CACHEKIT_TTL_MIN sets it)",
              refusal(CKIT_E_CONFIGURATION, "memory:?default_ttl=5"));
}

CKIT_TEST(plan, a_file_url_with_host_user_or_port_is_refused) {
    CHECK_STR("file://var names the host 'var', and files are here: did you mean file:///var... or file:var...?",
              refusal(CKIT_E_CONFIGURATION, "file://var/cache"));
    CHECK_CONTAINS("no user, password or port", refusal(CKIT_E_CONFIGURATION, "file://localhost:80/x"));
    const char *text = refusal(CKIT_E_CONFIGURATION, "file://joe:hunter2@localhost/x");
    CHECK_CONTAINS("no user, password or port", text);
    CHECK(strstr(text, "hunter2") == NULL);
}

CKIT_TEST(plan, a_file_url_needs_a_directory_that_is_not_the_root) {
    static const char *const urls[] = {"file:",     "file://",          "file:///",
                                       "file:////", "file://localhost", "file:?sync=none"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        CHECK_CONTAINS("names no directory", refusal(CKIT_E_CONFIGURATION, urls[i]));
    }
}

CKIT_TEST(plan, nothing_but_parameters_follows_memory) {
    static const char *const urls[] = {"memory:x", "memory:///x", "memory://host", "memory://u:p@", "memory://:5"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        CHECK_CONTAINS("nothing but parameters", refusal(CKIT_E_CONFIGURATION, urls[i]));
    }
}

CKIT_TEST(plan, a_store_that_this_version_does_not_have_is_refused_clearly) {
    static const struct {
        const char *url;
        const char *store;
    } rows[] = {{"memcached://localhost:11211", "Memcached"},
                {"https://api.cachekit.io", "CachekitIO"},
                {"MEMCACHED://#hunter2", "Memcached"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = refusal(CKIT_E_UNSUPPORTED, rows[i].url);
        CHECK_CONTAINS(rows[i].store, text);
        CHECK_CONTAINS("which this version does not have: open memory:, file:///directory or redis://host", text);
        CHECK(strstr(text, "hunter2") == NULL);
    }
}

CKIT_TEST(plan, a_url_with_a_list_of_hosts_is_read_as_a_whole_by_the_store) {
    ckiti_plan        plan;
    static const char url[] = "redis+sentinel://:hunter2@h1:1,h2,[::1]:3/main/3?socket_timeout=2&l1_max_size_mb=7";
    plan_ok(&plan, url, NULL, nothing);
    CHECK(plan.has_redis);
    CHECK_STR(url, plan.redis.url);
    CHECK_EQ_U(7 * 1024 * 1024, plan.cache.l1_max_bytes);
    plan_ok(&plan, "redis+cluster://h1:1,h2:2?key_prefix=x:", NULL, nothing);
    CHECK(plan.has_redis);
    CHECK_CONTAINS("unknown", refusal(CKIT_E_CONFIGURATION, "redis+sentinel://h1,h2/main?flux=1"));
}

CKIT_TEST(plan, a_url_of_redis_chooses_it_and_keeps_its_own_parameters) {
    ckiti_plan        plan;
    static const char url[] = "redis://u:hunter2@h:1/3?socket_timeout=2&l1_max_size_mb=7&key_prefix=x:";
    plan_ok(&plan, url, NULL, nothing);
    CHECK(plan.has_redis);
    CHECK(!plan.has_store);
    CHECK_STR(url, plan.redis.url);
    CHECK_EQ_U(UINT64_C(7) << 20, plan.cache.l1_max_bytes);
    plan_ok(&plan, "unix:///run/redis.sock", NULL, nothing);
    CHECK(plan.has_redis);
    plan_ok(&plan, "rediss://host?ssl_ca_certs=/etc/ca.pem", NULL, nothing);
    CHECK(plan.has_redis);
    CHECK_CONTAINS("unknown parameter 'socket_timout'",
                   refusal(CKIT_E_CONFIGURATION, "redis://u:hunter2@h?socket_timout=2"));
}

CKIT_TEST(plan, a_malformed_url_gets_one_line_of_advice) {
    static const struct {
        const char *url;
        const char *advice;
    } rows[] = {
        {"redis:localhost", "'redis:' without '//' is malformed: did you mean redis://host:6379?"},
        {"redis:hunter2@localhost", "did you mean redis://host:6379?"},
        {"memcached:localhost", "did you mean memcached://host:11211?"},
        {"file//x", "'file' without a colon is not a URL: did you mean file:///directory?"},
        {"file", "did you mean file:///directory?"},
        {"memory", "'memory' without a colon is not a URL: did you mean memory:?"},
        {"redis//localhost", "'redis' without a colon is not a URL: did you mean redis://host:6379?"},
        {"/var/cache", "'/var/cache' is a path: did you mean file:///var/cache?"},
        {"./cache", "write file:///absolute/directory, or file:directory"},
        {"../cache", "write file:///absolute/directory, or file:directory"},
        {"~/cache", "write file:///absolute/directory, or file:directory"},
        {"", "the URL is empty: write memory: or file:///directory"},
        {"localhost", "not a URL: one begins with memory:, file: or redis:"},
        {" file:///x", "unknown scheme ' file:', did you mean file:///directory?"},
        {"localhost:6379", "unknown scheme 'localhost:', did you mean redis://localhost:6379?; this version opens"},
        {"htp://x", "unknown scheme 'htp:'; this version opens memory:, file:, unix:, redis: and rediss:"},
        {"redsi://x", "unknown scheme 'redsi:', did you mean redis://host:6379?"},
        {"rediss+sentinal://x", "did you mean rediss+sentinel://host:26379/name?"},
        {"redis+clutser://x", "did you mean redis+cluster://host:6379?"},
        {"flie:///x", "unknown scheme 'flie:'"},
        {"fil:///x", "unknown scheme 'fil:', did you mean file:///directory?"},
        {"memroy:", "unknown scheme 'memroy:', did you mean memory:?"},
        {"file:///x%zz", "bad percent-encoding"},
        {"file:///x#y", "'#' must be written as %23"},
        {"file:///x%00y", "control character"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = refusal(CKIT_E_CONFIGURATION, rows[i].url);
        CHECK_CONTAINS(rows[i].advice, text);
        CHECK(strstr(text, "hunter2") == NULL);
    }
}

CKIT_TEST(plan, a_path_longer_than_the_system_takes_is_refused) {
    char url[6000] = "file:///";
    memset(url + 8, 'x', 5000);
    CHECK_CONTAINS("the directory of 5001 bytes", refusal(CKIT_E_CONFIGURATION, url));
}

/* ---- the environment -------------------------------------------------------------------------------------- */

CKIT_TEST(plan, with_nothing_configured_a_redis_on_this_machine_may_serve) {
    ckiti_plan plan;
    plan_ok(&plan, NULL, NULL, nothing);
    CHECK(plan.has_redis);
    CHECK_STR("redis://localhost:6379", plan.redis.url);
    CHECK_STR("t:default:", plan.redis.key_prefix);
    CHECK_STR("the default", plan.reason);
    CHECK_EQ_U(CKIT_ON, plan.cache.store_optional);
    CHECK_EQ_U(CKIT_OFF, plan.cache.guard->retry);
    CHECK_EQ_U(5000, plan.cache.guard->recovery_timeout_ms);
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.store_optional = CKIT_OFF;
    plan_ok(&plan, NULL, &options, nothing);
    CHECK_EQ_U(CKIT_OFF, plan.cache.store_optional);
    CHECK_EQ_U(CKIT_DEFAULT, plan.cache.guard->retry);
}

CKIT_TEST(plan, variables_choose_redis_and_the_family_s_own_wins) {
    ckiti_plan plan;
    plan_ok(&plan, NULL, NULL, ENVIRONMENT("REDIS_URL=redis://other", "CACHEKIT_REDIS_URL=unix:///run/redis.sock"));
    CHECK(plan.has_redis);
    CHECK_STR("unix:///run/redis.sock", plan.redis.url);
    CHECK_STR("CACHEKIT_REDIS_URL", plan.reason);
    CHECK_EQ_U(CKIT_DEFAULT, plan.cache.store_optional);
    plan_ok(&plan, NULL, NULL, ENVIRONMENT("REDIS_URL=redis://h/2?default_ttl=60", "CACHEKIT_REDIS_URL="));
    CHECK_STR("REDIS_URL", plan.reason);
    CHECK_STR("t:default:", plan.redis.key_prefix);
    CHECK_EQ_U(60000, plan.cache.default_ttl_ms);
}

CKIT_TEST(plan, a_variable_that_holds_no_url_of_redis_is_named) {
    static const char *const variables[] = {"CACHEKIT_REDIS_URL=file:///x",
                                            "CACHEKIT_REDIS_URL=memory:", "CACHEKIT_REDIS_URL=localhost:6379",
                                            "CACHEKIT_REDIS_URL=redis:hunter2@h"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *text = refusal_in(CKIT_E_CONFIGURATION, NULL, ENVIRONMENT(variables[i]));
        CHECK_CONTAINS("CACHEKIT_REDIS_URL: ", text);
        CHECK(strstr(text, "hunter2") == NULL);
    }
}

CKIT_TEST(plan, settings_of_redis_come_from_options_the_url_and_the_environment) {
    static const char *const environment[] = {"CACHEKIT_SOCKET_TIMEOUT=0.25", "CACHEKIT_SOCKET_CONNECT_TIMEOUT=3",
                                              "CACHEKIT_CONNECTION_POOL_SIZE=20", "CACHEKIT_SOCKET_KEEPALIVE=no", NULL};
    ckiti_plan               plan;
    plan_ok(&plan, "redis://h?socket_timeout=2&max_connections=7", NULL, environment);
    CHECK_EQ_U(2000, plan.redis.socket_timeout_ms);
    CHECK_EQ_U(3000, plan.redis.socket_connect_timeout_ms);
    CHECK_EQ_U(7, plan.redis.connection_pool_size);
    CHECK_EQ_U(CKIT_REDIS_OFF, plan.redis.socket_keepalive);
    plan_ok(&plan, "redis://h", NULL, nothing);
    CHECK_EQ_U(1000, plan.redis.socket_timeout_ms);
    CHECK_EQ_U(10, plan.redis.connection_pool_size);
    CHECK_CONTAINS("CACHEKIT_SOCKET_TIMEOUT=0: expected seconds, 0.001 to 3600",
                   refusal_in(CKIT_E_CONFIGURATION, "redis://h", ENVIRONMENT("CACHEKIT_SOCKET_TIMEOUT=0")));
    CHECK_CONTAINS("connection_pool_size=0 in the URL",
                   refusal(CKIT_E_CONFIGURATION, "redis://u:hunter2@h?connection_pool_size=0"));
    CHECK_CONTAINS("'connection_pool_size' is there twice",
                   refusal(CKIT_E_CONFIGURATION, "redis://h?connection_pool_size=2&max_connections=3"));
    CHECK_CONTAINS("unknown parameter 'socket_timeout'", refusal(CKIT_E_CONFIGURATION, "file:///c?socket_timeout=2"));
}

CKIT_TEST(plan, keys_begin_with_the_tenant_where_the_environment_chose_redis_or_code_names_one) {
    static const char *const rows[][2] = {{"default", "t:default:"},
                                          {"org:123", "t:org%3A123:"},
                                          {"tenant/with:special@chars", "t:tenant%2Fwith%3Aspecial%40chars:"},
                                          {"a b", "t:a%20b:"},
                                          {"~x_y-z.1", "t:~x_y-z.1:"},
                                          {"日本", "t:%E6%97%A5%E6%9C%AC:"},
                                          {"100%", "t:100%25:"}};
    ckiti_plan               plan;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
        options.tenant = rows[i][0];
        plan_ok(&plan, NULL, &options, ENVIRONMENT("REDIS_URL=redis://h"));
        CHECK_STR(rows[i][1], plan.redis.key_prefix);
        plan_ok(&plan, "redis://h", &options, nothing);
        CHECK_STR(rows[i][1], plan.redis.key_prefix);
    }
    plan_ok(&plan, "redis://h", NULL, nothing);
    CHECK(plan.redis.key_prefix == NULL);
    plan_ok(&plan, NULL, NULL, ENVIRONMENT("REDIS_URL=redis://h?key_prefix=mine:"));
    CHECK(plan.redis.key_prefix == NULL);
}

CKIT_TEST(plan, a_tenant_that_cannot_be_kept_apart_is_refused) {
    static char              endless[600];
    static const char *const urls[] = {"file:///c", "memory:"};
    ckit_cache_options       options = CKIT_CACHE_OPTIONS_INIT;
    ckit_error               err = CKIT_ERROR_INIT;
    ckiti_plan               plan;
    options.tenant = "joe";
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        CHECK_STATUS(CKIT_E_UNSUPPORTED, ckiti_plan_make(&plan, urls[i], &options, nothing, &err));
    }
    CHECK_STATUS(CKIT_E_UNSUPPORTED,
                 ckiti_plan_make(&plan, NULL, &options, ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c"), &err));
    memset(endless, '/', sizeof endless - 1);
    options.tenant = endless;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_plan_make(&plan, "redis://h", &options, nothing, &err));
    options.tenant = "";
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_plan_make(&plan, "redis://h", &options, nothing, &err));
}

CKIT_TEST(plan, the_directory_variable_chooses_files) {
    ckiti_plan plan;
    plan_ok(&plan, NULL, NULL, ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c", "REDIS_URL=redis://x"));
    CHECK(plan.has_store);
    CHECK_STR("/c", plan.file.directory);
    CHECK_STR("CACHEKIT_FILE_CACHE_DIR", plan.reason);
}

CKIT_TEST(plan, a_variable_that_chooses_an_absent_store_is_refused) {
    static const char *const variables[] = {"CACHEKIT_MEMCACHED_SERVERS=[\"hunter2:1\"]", "CACHEKIT_API_KEY=hunter2"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *text = refusal_in(CKIT_E_UNSUPPORTED, NULL, ENVIRONMENT(variables[i]));
        char        name[40];
        snprintf(name, sizeof name, "%.*s asks for a ", (int)strcspn(variables[i], "="), variables[i]);
        CHECK_CONTAINS(name, text);
        CHECK_CONTAINS("which this version does not have: unset it, and set CACHEKIT_REDIS_URL or CACHEKIT_FILE_CACHE",
                       text);
        CHECK(strstr(text, "hunter2") == NULL);
    }
}

CKIT_TEST(plan, several_variables_that_choose_are_refused_by_name) {
    CHECK_STR("CACHEKIT_REDIS_URL, CACHEKIT_FILE_CACHE_DIR each choose a store: keep one of them, or open a URL",
              refusal_in(CKIT_E_CONFIGURATION, NULL,
                         ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c", "CACHEKIT_REDIS_URL=redis://x")));
    const char *all = refusal_in(CKIT_E_CONFIGURATION, NULL,
                                 ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c", "CACHEKIT_REDIS_URL=redis://x",
                                             "CACHEKIT_API_KEY=k", "CACHEKIT_MEMCACHED_SERVERS=s"));
    CHECK_CONTAINS("CACHEKIT_API_KEY, CACHEKIT_REDIS_URL, CACHEKIT_MEMCACHED_SERVERS, CACHEKIT_FILE_CACHE_DIR", all);
}

CKIT_TEST(plan, empty_variables_choose_nothing) {
    ckiti_plan plan;
    plan_ok(&plan, NULL, NULL, ENVIRONMENT("REDIS_URL=", "CACHEKIT_REDIS_URL=", "CACHEKIT_API_KEY="));
    CHECK_STR("the default", plan.reason);
}

static ckit_status plan_store(ckiti_plan *plan, const char *url, const char *const *environment, ckit_error *err) {
    memset(err, 0, sizeof *err);
    return ckiti_plan_make_store(plan, url, NULL, environment, err);
}

CKIT_TEST(plan, a_store_alone_has_no_default) {
    ckiti_plan plan;
    ckit_error err;
    CHECK_STATUS(CKIT_E_NO_URL, plan_store(&plan, NULL, nothing, &err));
    CHECK_CONTAINS("no store is configured: set CACHEKIT_REDIS_URL or CACHEKIT_FILE_CACHE_DIR", err.text);
    CHECK_OK_ERR(plan_store(&plan, NULL, ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c"), &err), &err);
    CHECK_STR("/c", plan.file.directory);
    CHECK_OK_ERR(plan_store(&plan, "file:///d?max_size_mb=5", ENVIRONMENT("CACHEKIT_FILE_SYNC=full"), &err), &err);
    CHECK_STR("/d", plan.file.directory);
    CHECK_EQ_U(5 << 20, plan.file.max_size_bytes);
}

CKIT_TEST(plan, redis_url_chooses_a_store_alone_but_against_no_other_variable) {
    ckiti_plan plan;
    ckit_error err;
    CHECK_OK_ERR(plan_store(&plan, NULL, ENVIRONMENT("REDIS_URL=redis://:hunter2@h"), &err), &err);
    CHECK_STR("REDIS_URL", plan.reason);
    CHECK_STR("t:default:", plan.redis.key_prefix);
    CHECK_STATUS(CKIT_E_UNSUPPORTED, plan_store(&plan, NULL, ENVIRONMENT("CACHEKIT_API_KEY=hunter2"), &err));
    CHECK_OK_ERR(plan_store(&plan, NULL, ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c", "REDIS_URL=redis://x"), &err), &err);
    CHECK_OK_ERR(plan_store(&plan, "file:///d", ENVIRONMENT("REDIS_URL=redis://x"), &err), &err);
}

CKIT_TEST(plan, a_master_key_keeps_nobody_from_the_store_alone) {
    ckiti_plan plan;
    ckit_error err;
    CHECK_OK_ERR(plan_store(&plan, "file:///c", ENVIRONMENT("CACHEKIT_MASTER_KEY=00"), &err), &err);
}

CKIT_TEST(plan, a_url_wins_over_the_variables_that_choose) {
    ckiti_plan plan;
    plan_ok(&plan, "file:///c", NULL, ENVIRONMENT("CACHEKIT_REDIS_URL=redis://x", "CACHEKIT_FILE_CACHE_DIR=/d"));
    CHECK_STR("/c", plan.file.directory);
}

CKIT_TEST(plan, settings_with_nothing_to_act_on_are_never_refused) {
    ckiti_plan plan;
    plan_ok(&plan, "memory:", NULL,
            ENVIRONMENT("CACHEKIT_TIMEOUT=soon", "CACHEKIT_MEMCACHED_KEY_PREFIX=x", "CACHEKIT_FLUX=1",
                        "CACHE_DEFAULT_TTL=never"));
}

/* ---- precedence ------------------------------------------------------------------------------------------- */

CKIT_TEST(plan, options_win_over_the_url_that_wins_over_the_environment_that_wins_over_defaults) {
    const char *const  environment[] = {"CACHEKIT_DEFAULT_TTL=100", "CACHEKIT_MAX_KEY_SIZE=100",
                                        "CACHEKIT_COMPRESSION_LEVEL=1", "CACHEKIT_LOCK_ENABLED=false", NULL};
    const char         url[] = "file:///c?default_ttl=200&max_key_size=200&l1_enabled=false";
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.default_ttl_ms = 7;
    options.l1 = CKIT_ON;
    ckiti_plan plan;
    plan_ok(&plan, url, &options, environment);
    CHECK_EQ_U(7, plan.cache.default_ttl_ms); /* also outside ttl_min: code knows what it does */
    CHECK_EQ_U(CKIT_ON, plan.cache.l1);
    CHECK_EQ_U(200, plan.cache.max_key_bytes);
    CHECK_EQ_I(1, plan.cache.compression_level);
    CHECK_EQ_U(CKIT_OFF, plan.cache.lock);
    CHECK_EQ_U(CKIT_ON, plan.cache.integrity);
    CHECK_EQ_U(1024, plan.cache.queue_max);
    CHECK_EQ_U(sizeof(ckit_cache_options), plan.cache.struct_size);
}

/* ---- the guard -------------------------------------------------------------------------------------------- */

CKIT_TEST(plan, a_store_behind_a_cache_is_guarded_and_memory_is_not) {
    ckiti_plan         plan;
    ckit_guard_options own = CKIT_GUARD_OPTIONS_INIT;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    plan_ok(&plan, "file:///c", NULL, nothing);
    CHECK_EQ_P(&plan.guard, plan.cache.guard);
    CHECK_EQ_U(sizeof plan.guard, plan.guard.struct_size);
    CHECK_EQ_U(3, plan.guard.max_retries);
    CHECK_EQ_U(100, plan.guard.retry_delay_ms);
    CHECK_EQ_U(CKIT_ON, plan.guard.retry_on_timeout);
    plan_ok(&plan, "redis://host", NULL, nothing);
    CHECK_EQ_P(&plan.guard, plan.cache.guard);
    plan_ok(&plan, "memory:", NULL, nothing);
    CHECK(plan.cache.guard == NULL);
    own.failure_threshold = 7;
    own.max_retries = 9;
    options.guard = &own;
    plan_ok(&plan, "file:///c?max_retries=5&retry_delay_ms=20", &options, nothing);
    CHECK_EQ_P(&plan.guard, plan.cache.guard);
    CHECK_EQ_U(7, plan.guard.failure_threshold);
    CHECK_EQ_U(9, plan.guard.max_retries);
    CHECK_EQ_U(20, plan.guard.retry_delay_ms);
    plan_ok(&plan, "memory:", &options, nothing);
    CHECK(plan.cache.guard == NULL);
}

CKIT_TEST(plan, a_guard_tells_how_it_is_where_the_environment_says) {
    ckiti_plan         plan;
    ckit_guard_options own = CKIT_GUARD_OPTIONS_INIT;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    plan_ok(&plan, "file:///c", NULL, nothing);
    CHECK(plan.guard.status_dir == NULL);
    plan_ok(&plan, "file:///c", NULL, ENVIRONMENT("CACHEKIT_STATUS_DIR=/run/told"));
    CHECK_STR("/run/told", plan.guard.status_dir);
    own.status_dir = "/run/own";
    options.guard = &own;
    plan_ok(&plan, "file:///c", &options, ENVIRONMENT("CACHEKIT_STATUS_DIR=/run/told"));
    CHECK_STR("/run/own", plan.guard.status_dir);
}

CKIT_TEST(plan, no_retries_are_no_retries) {
    ckiti_plan         plan;
    ckit_guard_options own = CKIT_GUARD_OPTIONS_INIT;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    plan_ok(&plan, "file:///c", NULL, ENVIRONMENT("CACHEKIT_MAX_RETRIES=0", "CACHEKIT_RETRY_ON_TIMEOUT=no"));
    CHECK_EQ_U(CKIT_OFF, plan.guard.retry);
    CHECK_EQ_U(CKIT_OFF, plan.guard.retry_on_timeout);
    own.max_retries = 2; /* code knows what it does */
    options.guard = &own;
    plan_ok(&plan, "file:///c", &options, ENVIRONMENT("CACHEKIT_MAX_RETRIES=0"));
    CHECK_EQ_U(CKIT_DEFAULT, plan.guard.retry);
    CHECK_EQ_U(2, plan.guard.max_retries);
}

CKIT_TEST(plan, every_option_is_filled) {
    ckiti_plan plan;
    plan_ok(&plan, "memory:", NULL, nothing);
    const ckit_cache_options *o = &plan.cache;
    CHECK_EQ_U(CKIT_ON, o->l1);
    CHECK_EQ_U(UINT64_C(100) << 20, o->l1_max_bytes);
    CHECK_EQ_U(UINT64_C(1) << 30, o->l1_total_max_bytes);
    CHECK_EQ_U(3600000, o->default_ttl_ms);
    CHECK_EQ_U(UINT64_C(100) << 20, o->max_value_bytes);
    CHECK_EQ_U(1024, o->max_key_bytes);
    CHECK_EQ_I(6, o->compression_level);
    CHECK_EQ_U(CKIT_ON, o->integrity);
    CHECK_EQ_U(5000, o->store_timeout_ms);
    CHECK_EQ_U(60000, o->flight_wait_ms);
    CHECK_EQ_U(CKIT_ON, o->lock);
    CHECK_EQ_U(30000, o->lock_lease_ms);
    CHECK_EQ_U(5000, o->lock_wait_ms);
    CHECK_EQ_U(30000, o->sweep_interval_ms);
    CHECK_EQ_U(4, o->workers);
    CHECK_EQ_U(1024, o->queue_max);
}

CKIT_TEST(plan, the_older_value_limit_only_lowers) {
    ckiti_plan plan;
    plan_ok(&plan, "memory:", NULL, ENVIRONMENT("CACHEKIT_MAX_CHUNK_SIZE_MB=50"));
    CHECK_EQ_U(50 << 20, plan.cache.max_value_bytes);
    plan_ok(&plan, "memory:", NULL, ENVIRONMENT("CACHEKIT_MAX_CHUNK_SIZE_MB=500"));
    CHECK_EQ_U(100 << 20, plan.cache.max_value_bytes);
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.max_value_bytes = 60 << 20;
    plan_ok(&plan, "memory:", &options, ENVIRONMENT("CACHEKIT_MAX_CHUNK_SIZE_MB=50"));
    CHECK_EQ_U(60 << 20, plan.cache.max_value_bytes);
}

CKIT_TEST(plan, compression_switched_off_beats_its_level_unless_code_says_a_level) {
    ckiti_plan plan;
    plan_ok(&plan, "memory:?compression_level=3", NULL, ENVIRONMENT("CACHEKIT_ENABLE_COMPRESSION=off"));
    CHECK_EQ_I(CKIT_COMPRESSION_OFF, plan.cache.compression_level);
    plan_ok(&plan, "memory:?enable_compression=on", NULL, ENVIRONMENT("CACHEKIT_ENABLE_COMPRESSION=off"));
    CHECK_EQ_I(6, plan.cache.compression_level);
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.compression_level = 2;
    plan_ok(&plan, "memory:", &options, ENVIRONMENT("CACHEKIT_ENABLE_COMPRESSION=off"));
    CHECK_EQ_I(2, plan.cache.compression_level);
}

CKIT_TEST(plan, one_bound_of_the_memory_given_in_code_moves_the_other) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckiti_plan         plan;
    options.l1_max_bytes = UINT64_C(4) << 30;
    plan_ok(&plan, "memory:", &options, nothing);
    CHECK_EQ_U(UINT64_C(4) << 30, plan.cache.l1_total_max_bytes);
    options.l1_max_bytes = 0;
    options.l1_total_max_bytes = 1 << 20;
    plan_ok(&plan, "memory:", &options, nothing);
    CHECK_EQ_U(1 << 20, plan.cache.l1_max_bytes);
}

CKIT_TEST(plan, options_of_an_older_program_are_read_as_far_as_they_go) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.default_ttl_ms = 77;
    options.max_key_bytes = 9;
    options.struct_size = offsetof(ckit_cache_options, max_key_bytes);
    ckiti_plan plan;
    plan_ok(&plan, "memory:", &options, nothing);
    CHECK_EQ_U(77, plan.cache.default_ttl_ms);
    CHECK_EQ_U(1024, plan.cache.max_key_bytes);
    options.struct_size = 0;
    CHECK_STATUS(CKIT_E_MISUSE, ckiti_plan_make(&plan, "memory:", &options, nothing, NULL));
}

/* ---- log -------------------------------------------------------------------------------------------------- */

CKIT_TEST(plan, log_level_decides_where_the_caller_does_not) {
    ckiti_plan plan;
    plan_ok(&plan, "memory:", NULL, ENVIRONMENT("LOG_LEVEL=DEBUG"));
    CHECK_EQ_U(CKIT_LOG_DEBUG, plan.cache.log->level);
    CHECK(plan.cache.log->write == NULL);
    plan_ok(&plan, "memory:?log_level=off", NULL, ENVIRONMENT("LOG_LEVEL=DEBUG"));
    CHECK_EQ_U(CKIT_LOG_OFF, plan.cache.log->level);
    plan_ok(&plan, "memory:", NULL, nothing);
    CHECK_EQ_U(CKIT_LOG_WARNING, plan.cache.log->level);
    plan_ok(&plan, "memory:", NULL, ENVIRONMENT("LOG_LEVEL=loud"));
    CHECK_EQ_U(CKIT_LOG_WARNING, plan.cache.log->level);
    CHECK_STR("log_level=loud in the URL: expected one of debug, info, warning, error, off",
              refusal(CKIT_E_CONFIGURATION, "memory:?log_level=loud"));
}

CKIT_TEST(plan, a_sink_of_the_caller_keeps_its_level_and_gets_one_when_it_has_none) {
    captured           lines;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckiti_plan         plan;
    captured_init(&lines, CKIT_LOG_ERROR);
    options.log = &lines.log;
    plan_ok(&plan, "memory:", &options, ENVIRONMENT("LOG_LEVEL=DEBUG"));
    CHECK_EQ_U(CKIT_LOG_ERROR, plan.cache.log->level);
    CHECK_EQ_P(&lines, plan.cache.log->self);
    captured_init(&lines, CKIT_LOG_DEFAULT);
    plan_ok(&plan, "memory:", &options, ENVIRONMENT("LOG_LEVEL=DEBUG"));
    CHECK_EQ_U(CKIT_LOG_DEBUG, plan.cache.log->level);
    CHECK(plan.cache.log->write == captured_write);
}

static captured announced(const char *url, const char *const *environment) {
    static captured    lines;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckiti_plan         plan;
    captured_init(&lines, CKIT_LOG_INFO);
    options.log = &lines.log;
    plan_ok(&plan, url, &options, environment);
    ckiti_plan_announce(&plan, environment);
    return lines;
}

CKIT_TEST(plan, one_line_says_which_store_was_chosen_and_why) {
    CHECK_STR("info open: store: files in /c (CACHEKIT_FILE_CACHE_DIR)\n",
              announced(NULL, ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c", "REDIS_URL=x")).text);
    CHECK_STR("info open: store: files in /c (the URL)\n", announced("file:///c", ENVIRONMENT("REDIS_URL=x")).text);
    CHECK_STR("info open: no store, memory only (the URL)\n", announced("memory:", nothing).text);
    CHECK_STR("info open: store: Redis (the URL)\n", announced("redis://:hunter2@h", nothing).text);
    CHECK_STR("info open: store: Redis, keys begin with t:default: (REDIS_URL)\n",
              announced(NULL, ENVIRONMENT("REDIS_URL=redis://:hunter2@h")).text);
    CHECK_STR("info open: store: Redis on this machine, when there is one, keys begin with t:default: (the default)\n",
              announced(NULL, nothing).text);
}

CKIT_TEST(plan, a_directory_that_begins_with_a_tilde_is_not_at_home_and_gets_a_warning) {
    CHECK_CONTAINS("warning open: ~/cache begins in the working directory, not at home",
                   announced("file:~/cache", nothing).text);
    CHECK_CONTAINS("warning open: ~/cache begins",
                   announced(NULL, ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=~/cache")).text);
    CHECK(strstr(announced("file:cache~", nothing).text, "warning") == NULL);
}

CKIT_TEST(plan, advice_about_variables_comes_with_the_opening) {
    CHECK_CONTAINS("E041: CACHE_DEFAULT_TTL", announced("memory:", ENVIRONMENT("CACHE_DEFAULT_TTL=1")).text);
    CHECK_CONTAINS("LOG_LEVEL=loud", announced("memory:", ENVIRONMENT("LOG_LEVEL=loud")).text);
}
