/* Settings: their table, what the environment says, and which wins. Of environment.c and table.c. */
#include "config/parse.h"
#include "config/settings.h"
#include "config/table.h"
#include "support/scratch.h"
#include "support/test.h"

#include <cachekit/cache.h>
#include <cachekit/file.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENVIRONMENT(...)                                                                                               \
    (const char *const[]) { __VA_ARGS__, NULL }
static const char *const nothing[] = {NULL};

static ckit_settings read_ok(const char *const *environment) {
    ckit_settings settings = CKIT_SETTINGS_INIT;
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_settings_from_environment(&settings, environment, &err), &err);
    return settings;
}

/* The text of the refusal. */
static const char *refusal(const char *const *environment) {
    static ckit_error err;
    ckit_settings     settings = CKIT_SETTINGS_INIT;
    memset(&err, 0, sizeof err);
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_settings_from_environment(&settings, environment, &err), &err);
    CHECK_EQ_U(0, settings.default_ttl_ms);
    CHECK(strlen(err.text) < sizeof err.text - 1);
    return err.text;
}

CKIT_TEST(table, rows_are_complete_and_names_are_unique) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckit_setting *a = ckit_settings_at(i);
        CHECK(a->name != NULL && a->group != NULL && a->variable != NULL && a->type != NULL);
        CHECK(a->default_text != NULL && a->range != NULL && a->help != NULL);
        CHECKF(a->help[strlen(a->help) - 1] == '.', "%s", a->name);
        CHECK_EQ_U(i, ckiti_setting_named(a->name));
        for (size_t j = 0; j < i; j++) {
            const ckit_setting *b = ckit_settings_at(j);
            CHECK(strcmp(a->variable, b->variable) != 0);
            CHECK(a->url_parameter == NULL || b->url_parameter == NULL ||
                  strcmp(a->url_parameter, b->url_parameter) != 0);
            CHECK(ckiti_setting_rows[i].offset != ckiti_setting_rows[j].offset);
        }
    }
    CHECK(ckit_settings_at(ckit_settings_count()) == NULL);
    CHECK(ckit_settings_at(SIZE_MAX) == NULL);
}

CKIT_TEST(table, a_variable_is_its_name_in_capitals_behind_the_prefix) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckit_setting *page = ckit_settings_at(i);
        char                variable[80];
        snprintf(variable, sizeof variable, "%s%s", strcmp(page->name, "log_level") == 0 ? "" : "CACHEKIT_",
                 page->name);
        for (char *c = variable; *c != '\0'; c++) {
            *c = (char)toupper((unsigned char)*c);
        }
        CHECK_STR(variable, page->variable);
    }
}

CKIT_TEST(table, options_are_filled_by_fields_of_a_width_that_fits) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckiti_setting_row *row = &ckiti_setting_rows[i];
        CHECK(row->width == 8 || row->width == 4 || row->width == 1 || row->type == CKITI_SETTING_PATH);
        CHECK((row->home == CKITI_OPTION_NONE) == (row->page.option == NULL));
        if (row->home != CKITI_OPTION_NONE && row->type != CKITI_SETTING_PATH && row->type != CKITI_SETTING_BOOLEAN) {
            CHECKF(row->option_width == row->width, "%s", row->page.name);
        }
        if (row->width == 4) {
            CHECKF(row->max <= UINT32_MAX, "%s", row->page.name);
        }
    }
}

CKIT_TEST(settings, an_empty_environment_gives_the_defaults) {
    ckit_settings s = read_ok(nothing);
    CHECK_EQ_U(3600000, s.default_ttl_ms);
    CHECK_EQ_U(60000, s.ttl_min_ms);
    CHECK_EQ_U(86400000, s.ttl_max_ms);
    CHECK_EQ_U(UINT64_C(100) << 20, s.max_value_bytes);
    CHECK_EQ_U(0, s.max_chunk_bytes);
    CHECK_EQ_U(1024, s.max_key_bytes);
    CHECK_EQ_U(UINT64_C(100) << 20, s.l1_max_bytes);
    CHECK_EQ_U(UINT64_C(1) << 30, s.l1_total_max_bytes);
    CHECK_EQ_U(30000, s.sweep_interval_ms);
    CHECK(s.l1_enabled && s.compression && s.integrity && s.lock);
    CHECK_EQ_U(6, s.compression_level);
    CHECK_EQ_U(UINT64_C(1) << 30, s.file_max_size_bytes);
    CHECK_EQ_U(UINT64_C(100) << 20, s.file_max_value_bytes);
    CHECK_EQ_U(10000, s.file_max_entry_count);
    CHECK_EQ_U(5000, s.file_lock_timeout_ms);
    CHECK_EQ_U(0600, s.file_permissions);
    CHECK_EQ_U(0700, s.file_dir_permissions);
    CHECK_EQ_U(CKIT_FILE_SYNC_DATA, s.file_sync);
    CHECK_EQ_U(CKIT_LOG_WARNING, s.log_level);
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        CHECK_EQ_U(CKIT_FROM_DEFAULT, ckit_settings_source(&s, i));
    }
}

CKIT_TEST(settings, a_variable_sets_its_field_and_is_its_source) {
    ckit_settings s = read_ok(ENVIRONMENT("PATH=/bin", "CACHEKIT_DEFAULT_TTL=90.5", "CACHEKIT_L1_ENABLED=off",
                                          "CACHEKIT_FILE_CACHE_DIR=/var/cache/app", "CACHEKIT_FILE_PERMISSIONS=0o640",
                                          "CACHEKIT_FILE_SYNC=Full", "LOG_LEVEL=WARN", "CACHEKIT_MAX_KEY_SIZE=2048"));
    CHECK_EQ_U(90500, s.default_ttl_ms);
    CHECK(!s.l1_enabled);
    CHECK_STR("/var/cache/app", s.file_cache_dir);
    CHECK_EQ_U(0640, s.file_permissions);
    CHECK_EQ_U(CKIT_FILE_SYNC_FULL, s.file_sync);
    CHECK_EQ_U(2048, s.max_key_bytes);
    CHECK_EQ_U(CKIT_FROM_ENVIRONMENT, ckit_settings_source(&s, ckiti_setting_named("default_ttl")));
    CHECK_EQ_U(CKIT_FROM_ENVIRONMENT, ckit_settings_source(&s, ckiti_setting_named("file_cache_dir")));
    CHECK_EQ_U(CKIT_FROM_DEFAULT, ckit_settings_source(&s, ckiti_setting_named("ttl_min")));
    CHECK_EQ_U(CKIT_FROM_DEFAULT, ckit_settings_source(&s, 1000));
}

CKIT_TEST(settings, an_empty_variable_counts_as_not_set) {
    ckit_settings s = read_ok(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=", "CACHEKIT_L1_ENABLED=", "LOG_LEVEL="));
    CHECK_EQ_U(3600000, s.default_ttl_ms);
    CHECK(s.l1_enabled);
}

CKIT_TEST(settings, only_the_exact_name_is_read) {
    ckit_settings s = read_ok(ENVIRONMENT("cachekit_default_ttl=90", "CACHEKIT_DEFAULT_TTLX=90", "DEFAULT_TTL=90",
                                          "XCACHEKIT_DEFAULT_TTL=90", "CACHEKIT_DEFAULT_TTL", "garbage"));
    CHECK_EQ_U(3600000, s.default_ttl_ms);
}

CKIT_TEST(settings, the_first_of_two_variables_of_one_name_counts) {
    ckit_settings s = read_ok(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=90", "CACHEKIT_DEFAULT_TTL=91"));
    CHECK_EQ_U(90000, s.default_ttl_ms);
}

CKIT_TEST(settings, a_wrong_value_is_refused_with_variable_value_and_range) {
    CHECK_STR("CACHEKIT_DEFAULT_TTL=0: expected seconds, 1 to 315360000",
              refusal(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=0")));
    CHECK_STR("CACHEKIT_MAX_KEY_SIZE=65537: expected a whole number, 1 to 65536",
              refusal(ENVIRONMENT("CACHEKIT_MAX_KEY_SIZE=65537")));
    CHECK_STR("CACHEKIT_L1_ENABLED=maybe: expected one of true, false, 1, 0, yes, no, on, off",
              refusal(ENVIRONMENT("CACHEKIT_L1_ENABLED=maybe")));
    CHECK_STR("CACHEKIT_FILE_LOCK_TIMEOUT_SECONDS=0.499: expected seconds, 0.5 to 30",
              refusal(ENVIRONMENT("CACHEKIT_FILE_LOCK_TIMEOUT_SECONDS=0.499")));
    CHECK_STR("CACHEKIT_FILE_PERMISSIONS=0666: expected an octal mode with 0600 in it and no write for group or others",
              refusal(ENVIRONMENT("CACHEKIT_FILE_PERMISSIONS=0666")));
    CHECK_STR("CACHEKIT_L1_MAX_SIZE_MB=abc: expected a whole number of MiB, 1 to 1048576",
              refusal(ENVIRONMENT("CACHEKIT_L1_MAX_SIZE_MB=abc")));
    CHECK_STR("CACHEKIT_FILE_SYNC=often: expected one of none, data, full",
              refusal(ENVIRONMENT("CACHEKIT_FILE_SYNC=often")));
}

CKIT_TEST(settings, a_log_level_that_is_not_understood_counts_as_not_set) {
    ckit_settings s = read_ok(ENVIRONMENT("LOG_LEVEL=loud", "CACHEKIT_DEFAULT_TTL=90"));
    CHECK_EQ_U(CKIT_LOG_WARNING, s.log_level);
    CHECK_EQ_U(CKIT_FROM_DEFAULT, ckit_settings_source(&s, ckiti_setting_named("log_level")));
    CHECK_EQ_U(90000, s.default_ttl_ms);
}

CKIT_TEST(settings, every_setting_refuses_nonsense_by_its_own_name) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckit_setting *page = ckit_settings_at(i);
        if (ckiti_setting_rows[i].type == CKITI_SETTING_PATH || ckiti_setting_rows[i].everybodys) {
            continue;
        }
        char entry[128];
        char begin[192];
        char expected[CKITI_EXPECTED];
        snprintf(entry, sizeof entry, "%s=!nonsense!", page->variable);
        snprintf(begin, sizeof begin, "%s=!nonsense!: expected %s", page->variable,
                 ckiti_setting_expected(&ckiti_setting_rows[i], expected));
        CHECK_STR(begin, refusal(ENVIRONMENT(entry)));
    }
}

CKIT_TEST(settings, a_value_that_looks_like_credentials_is_masked) {
    const char *text = refusal(ENVIRONMENT("CACHEKIT_L1_MAX_SIZE_MB=redis://:hunter2@host"));
    CHECK_CONTAINS("CACHEKIT_L1_MAX_SIZE_MB=********", text);
    CHECK(strstr(text, "hunter2") == NULL);
}

CKIT_TEST(settings, the_default_lifetime_must_lie_between_its_bounds) {
    CHECK_STR("CACHEKIT_DEFAULT_TTL=59 is below ttl_min=60 (the default; CACHEKIT_TTL_MIN sets it)",
              refusal(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=59")));
    CHECK_STR("CACHEKIT_DEFAULT_TTL=86400.001 is above ttl_max=86400 (the default; CACHEKIT_TTL_MAX sets it)",
              refusal(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=86400.001")));
    CHECK_STR("default_ttl=3600 (the default; CACHEKIT_DEFAULT_TTL sets it) is above CACHEKIT_TTL_MAX=600",
              refusal(ENVIRONMENT("CACHEKIT_TTL_MAX=600")));
    CHECK_STR("CACHEKIT_TTL_MIN=20 is above CACHEKIT_TTL_MAX=10",
              refusal(ENVIRONMENT("CACHEKIT_TTL_MAX=10", "CACHEKIT_TTL_MIN=20")));
    CHECK_EQ_U(60000, read_ok(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=60")).default_ttl_ms);
    CHECK_EQ_U(86400000, read_ok(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=86400")).default_ttl_ms);
    CHECK_EQ_U(1000, read_ok(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=1", "CACHEKIT_TTL_MIN=1")).default_ttl_ms);
    CHECK_EQ_U(CKIT_TTL_MAX_MS,
               read_ok(ENVIRONMENT("CACHEKIT_DEFAULT_TTL=315360000", "CACHEKIT_TTL_MAX=315360000")).default_ttl_ms);
}

CKIT_TEST(settings, a_file_value_may_take_half_of_the_store) {
    CHECK_STR("CACHEKIT_FILE_MAX_VALUE_MB=51 is above half of CACHEKIT_FILE_MAX_SIZE_MB=100",
              refusal(ENVIRONMENT("CACHEKIT_FILE_MAX_SIZE_MB=100", "CACHEKIT_FILE_MAX_VALUE_MB=51")));
    CHECK_EQ_U(
        50 << 20,
        read_ok(ENVIRONMENT("CACHEKIT_FILE_MAX_SIZE_MB=100", "CACHEKIT_FILE_MAX_VALUE_MB=50")).file_max_value_bytes);
    ckit_settings small = read_ok(ENVIRONMENT("CACHEKIT_FILE_MAX_SIZE_MB=1"));
    CHECK_EQ_U(512 << 10, small.file_max_value_bytes);
    char text[16];
    CHECK_STR("0.5", ckit_settings_get_text(&small, ckiti_setting_named("file_max_value_mb"), text, sizeof text));
}

CKIT_TEST(settings, one_bound_of_the_memory_moves_the_default_of_the_other) {
    CHECK_EQ_U(UINT64_C(2048) << 20, read_ok(ENVIRONMENT("CACHEKIT_L1_MAX_SIZE_MB=2048")).l1_total_max_bytes);
    CHECK_EQ_U(50 << 20, read_ok(ENVIRONMENT("CACHEKIT_L1_TOTAL_MAX_SIZE_MB=50")).l1_max_bytes);
    CHECK_STR("CACHEKIT_L1_MAX_SIZE_MB=20 is above CACHEKIT_L1_TOTAL_MAX_SIZE_MB=10",
              refusal(ENVIRONMENT("CACHEKIT_L1_MAX_SIZE_MB=20", "CACHEKIT_L1_TOTAL_MAX_SIZE_MB=10")));
}

CKIT_TEST(settings, a_directory_is_a_path_of_bounded_length) {
    char long_path[CKIT_SETTINGS_PATH_MAX + 64];
    int  prefix = snprintf(long_path, sizeof long_path, "CACHEKIT_FILE_CACHE_DIR=");
    memset(long_path + prefix, 'd', CKIT_SETTINGS_PATH_MAX);
    long_path[prefix] = '/';
    long_path[prefix + CKIT_SETTINGS_PATH_MAX] = '\0';
    CHECK_STR("CACHEKIT_FILE_CACHE_DIR of 4096 bytes: expected a path of 1 to 4095 bytes",
              refusal(ENVIRONMENT(long_path)));
    long_path[prefix + CKIT_SETTINGS_PATH_MAX - 1] = '\0';
    ckit_settings s = read_ok(ENVIRONMENT(long_path));
    CHECK_EQ_U(CKIT_SETTINGS_PATH_MAX - 1, strlen(s.file_cache_dir));
    CHECK_CONTAINS("takes a path", refusal(ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=file:///var/cache")));
}

CKIT_TEST(settings, the_default_directory_is_under_tmpdir_or_beside_it_when_it_is_not_ours) {
    char dir[SCRATCH_PATH];
    char tmpdir[SCRATCH_PATH + 16];
    char expected[SCRATCH_PATH + 64];
    scratch_make(dir);
    snprintf(tmpdir, sizeof tmpdir, "TMPDIR=%s//", dir);
    snprintf(expected, sizeof expected, "%s/cachekit", dir);
    CHECK_STR(expected, read_ok(ENVIRONMENT(tmpdir)).file_cache_dir);

    CHECK_EQ_I(0, mkdir(expected, 0700));
    CHECK_STR(expected, read_ok(ENVIRONMENT(tmpdir)).file_cache_dir);

    CHECK_EQ_I(0, chmod(expected, 0777));
    char beside[sizeof expected + 32];
    snprintf(beside, sizeof beside, "%s-%ju", expected, (uintmax_t)geteuid());
    CHECK_STR(beside, read_ok(ENVIRONMENT(tmpdir)).file_cache_dir);

    CHECK_EQ_I(0, rmdir(expected));
    CHECK_EQ_I(0, symlink("/", expected));
    CHECK_STR(beside, read_ok(ENVIRONMENT(tmpdir)).file_cache_dir);
    scratch_remove(dir);
}

CKIT_TEST(settings, tmpdir_must_be_absolute) {
    CHECK_EQ_I(0, strncmp("/tmp/cachekit", read_ok(ENVIRONMENT("TMPDIR=relative")).file_cache_dir, 13));
    CHECK_EQ_I(0, strncmp("/tmp/cachekit", read_ok(nothing).file_cache_dir, 13));
    CHECK_EQ_I(0, strncmp("/cachekit", read_ok(ENVIRONMENT("TMPDIR=/")).file_cache_dir, 9));
}

CKIT_TEST(settings, the_process_environment_is_read_when_none_is_given) {
    CHECK_EQ_I(0, setenv("CACHEKIT_COMPRESSION_LEVEL", "3", 1));
    CHECK_EQ_U(3, read_ok(NULL).compression_level);
    CHECK_EQ_I(0, unsetenv("CACHEKIT_COMPRESSION_LEVEL"));
}

CKIT_TEST(settings, texts_are_what_a_variable_would_hold) {
    ckit_settings s = read_ok(ENVIRONMENT("CACHEKIT_FILE_CACHE_DIR=/c", "CACHEKIT_L1_ENABLED=0", "LOG_LEVEL=CRITICAL",
                                          "CACHEKIT_FILE_PERMISSIONS=640"));
    static const char *const expected[][2] = {
        {"default_ttl", "3600"},   {"max_chunk_size_mb", "not set"}, {"l1_enabled", "false"},
        {"l1_max_size_mb", "100"}, {"file_cache_dir", "/c"},         {"file_permissions", "0640"},
        {"file_sync", "data"},     {"log_level", "error"},           {"store_timeout_seconds", "5"}};
    char text[64];
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CHECK_STR(expected[i][1], ckit_settings_get_text(&s, ckiti_setting_named(expected[i][0]), text, sizeof text));
    }
    CHECK_STR("", ckit_settings_get_text(&s, 1000, text, sizeof text));
    CHECK_STR("36", ckit_settings_get_text(&s, ckiti_setting_named("default_ttl"), text, 3));
}

CKIT_TEST(settings, a_shorter_struct_of_an_older_program_is_filled_as_far_as_it_goes) {
    ckit_settings s;
    memset(&s, 0xee, sizeof s);
    s.struct_size = offsetof(ckit_settings, ttl_min_ms);
    CHECK_OK(ckit_settings_from_environment(&s, nothing, NULL));
    CHECK_EQ_U(offsetof(ckit_settings, ttl_min_ms), s.struct_size);
    CHECK_EQ_U(3600000, s.default_ttl_ms);
    CHECK_EQ_U(UINT64_C(0xeeeeeeeeeeeeeeee), s.ttl_min_ms);
    char text[16];
    CHECK_STR("", ckit_settings_get_text(&s, ckiti_setting_named("ttl_min"), text, sizeof text));
    CHECK_EQ_U(CKIT_FROM_DEFAULT, ckit_settings_source(&s, 0));
}

CKIT_TEST(settings, a_struct_without_its_size_is_misuse) {
    ckit_settings s;
    memset(&s, 0, sizeof s);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_settings_from_environment(&s, nothing, NULL));
    ckit_settings_init(&s, sizeof s);
    CHECK_OK(ckit_settings_from_environment(&s, nothing, NULL));
}
