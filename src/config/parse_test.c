#include "config/parse.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <stdio.h>

static const ckiti_setting_row *row_of(const char *name) { return &ckiti_setting_rows[ckiti_setting_named(name)]; }

/* The value that `text` means for the setting; UINT64_MAX when it is refused. */
static uint64_t parsed(const char *name, const char *text) {
    uint64_t value;
    return ckiti_setting_parse(row_of(name), S(text), &value) ? value : UINT64_MAX;
}

#define CHECK_PARSED(value, name, text) CHECK_EQ_U(value, parsed(name, text))
#define CHECK_REFUSED(name, text) CHECK_EQ_U(UINT64_MAX, parsed(name, text))

CKIT_TEST(parse, seconds_may_have_decimals_down_to_a_millisecond) {
    CHECK_PARSED(5000, "default_ttl", "5");
    CHECK_PARSED(5000, "default_ttl", "5.0");
    CHECK_PARSED(5250, "default_ttl", "5.25");
    CHECK_PARSED(5001, "default_ttl", "5.001");
    CHECK_PARSED(5001, "default_ttl", "5.001000000000000000000000000000000");
    CHECK_PARSED(500, "file_lock_timeout_seconds", "0.5");
    CHECK_PARSED(1, "store_timeout_seconds", "0.001");
    CHECK_REFUSED("default_ttl", "5.0001");
}

CKIT_TEST(parse, a_number_is_refused_when_anything_stands_around_it) {
    static const char *const bad[] = {"",    " 5",  "5 ",   "+5",  "-5",  "5x",       "0x5", "5e0", "5,0",
                                      "5_0", "5\n", "five", "inf", "nan", "\xd9\xa5", ".5",  "5.",  "5.0.0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_REFUSED("default_ttl", bad[i]);
        CHECK_REFUSED("max_key_size", bad[i]);
        CHECK_REFUSED("l1_max_size_mb", bad[i]);
    }
    CHECK_REFUSED("max_key_size", "5.0");
    CHECK_PARSED(7, "max_key_size", "007");
}

CKIT_TEST(parse, a_number_that_overflows_is_refused) {
    static const char *const huge[] = {"18446744073709551615", "18446744073709551616", "18446744073709552",
                                       "17592186044416", "99999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        CHECK_REFUSED("default_ttl", huge[i]);
        CHECK_REFUSED("max_value_size", huge[i]);
        CHECK_REFUSED("l1_max_size_mb", huge[i]);
    }
}

CKIT_TEST(parse, booleans_have_four_spellings_each_in_any_case) {
    static const char *const yes[] = {"true", "1", "yes", "on", "TRUE", "Yes", "oN"};
    static const char *const no[] = {"false", "0", "no", "off", "False", "NO", "OFF"};
    static const char *const neither[] = {"", "2", "y", "n", "t", "enabled", "true ", "truee", "00"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        CHECK_PARSED(1, "l1_enabled", yes[i]);
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        CHECK_PARSED(0, "l1_enabled", no[i]);
    }
    for (size_t i = 0; i < sizeof neither / sizeof neither[0]; i++) {
        CHECK_REFUSED("l1_enabled", neither[i]);
    }
}

CKIT_TEST(parse, an_octal_mode_has_three_spellings) {
    CHECK_PARSED(0600, "file_permissions", "0o600");
    CHECK_PARSED(0600, "file_permissions", "0O600");
    CHECK_PARSED(0600, "file_permissions", "0600");
    CHECK_PARSED(0600, "file_permissions", "600");
    CHECK_PARSED(0644, "file_permissions", "644");
    CHECK_PARSED(0755, "file_dir_permissions", "0755");
}

CKIT_TEST(parse, a_mode_that_lets_others_write_or_keeps_the_owner_out_is_refused) {
    static const char *const bad[] = {"620",  "602", "666", "0o622", "477",   "400",  "200", "1600",
                                      "7600", "0",   "",    "0o",    "0x180", "u=rw", "680", "-600"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_REFUSED("file_permissions", bad[i]);
    }
    CHECK_REFUSED("file_dir_permissions", "600");
    CHECK_REFUSED("file_dir_permissions", "770");
    CHECK_REFUSED("file_dir_permissions", "1777");
}

CKIT_TEST(parse, log_levels_are_understood_in_other_libraries_words) {
    CHECK_PARSED(CKIT_LOG_DEBUG, "log_level", "debug");
    CHECK_PARSED(CKIT_LOG_DEBUG, "log_level", "TRACE");
    CHECK_PARSED(CKIT_LOG_INFO, "log_level", "INFO");
    CHECK_PARSED(CKIT_LOG_WARNING, "log_level", "Warning");
    CHECK_PARSED(CKIT_LOG_WARNING, "log_level", "WARN");
    CHECK_PARSED(CKIT_LOG_ERROR, "log_level", "ERROR");
    CHECK_PARSED(CKIT_LOG_ERROR, "log_level", "CRITICAL");
    CHECK_PARSED(CKIT_LOG_ERROR, "log_level", "fatal");
    CHECK_PARSED(CKIT_LOG_OFF, "log_level", "off");
    CHECK_PARSED(CKIT_LOG_WARNING, "log_level", "30");
    CHECK_REFUSED("log_level", "loud");
    CHECK_REFUSED("log_level", "");
}

/* "0.999" below "1", "101" above "100": the step is the least that the setting's type can say. */
static void text_beside(const ckiti_setting_row *row, uint64_t value, bool above, char *text, size_t size) {
    uint64_t step = row->type == CKITI_SETTING_SECONDS ? 1 : row->unit;
    ckiti_setting_format(row, above ? value + step : value - step, text, size);
}

CKIT_TEST(parse, every_numeric_setting_takes_its_least_and_largest_value_and_nothing_beyond) {
    size_t tried = 0;
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckiti_setting_row *row = &ckiti_setting_rows[i];
        if (row->type != CKITI_SETTING_NUMBER && row->type != CKITI_SETTING_SECONDS) {
            continue;
        }
        char     text[32];
        uint64_t value;
        ckiti_setting_format(row, row->min, text, sizeof text);
        CHECKF(ckiti_setting_parse(row, S(text), &value) && value == row->min, "%s=%s", row->page.name, text);
        ckiti_setting_format(row, row->max, text, sizeof text);
        CHECKF(ckiti_setting_parse(row, S(text), &value) && value == row->max, "%s=%s", row->page.name, text);
        text_beside(row, row->max, true, text, sizeof text);
        CHECKF(!ckiti_setting_parse(row, S(text), &value), "%s=%s", row->page.name, text);
        if (row->min == 0) {
            tried++;
            continue;
        }
        if (row->fallback != 0) { /* what is not set by default writes its 0 as "not set" */
            text_beside(row, row->min, false, text, sizeof text);
            CHECKF(!ckiti_setting_parse(row, S(text), &value), "%s=%s", row->page.name, text);
        }
        CHECKF(!ckiti_setting_parse(row, S("0"), &value), "%s=0", row->page.name);
        tried++;
    }
    CHECK_EQ_U(25, tried);
}

CKIT_TEST(parse, what_is_written_is_read_back) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const ckiti_setting_row *row = &ckiti_setting_rows[i];
        if (row->type == CKITI_SETTING_PATH || strcmp(row->page.default_text, "not set") == 0) {
            continue;
        }
        char     text[32];
        uint64_t value;
        ckiti_setting_format(row, row->fallback, text, sizeof text);
        CHECK_STR(row->page.default_text, text);
        CHECKF(ckiti_setting_parse(row, S(text), &value) && value == row->fallback, "%s=%s", row->page.name, text);
    }
    char text[32];
    ckiti_setting_format(row_of("file_max_value_mb"), 512 * 1024, text, sizeof text);
    CHECK_STR("0.5", text);
    ckiti_setting_format(row_of("default_ttl"), 1050, text, sizeof text);
    CHECK_STR("1.05", text);
    ckiti_setting_format(row_of("max_chunk_size_mb"), 0, text, sizeof text);
    CHECK_STR("not set", text);
}

CKIT_TEST(parse, what_is_shown_is_short_printable_and_without_secrets) {
    char shown[CKITI_SHOWN];
    CHECK_STR("abc", ckiti_show(S("abc"), false, shown));
    CHECK_STR("a?b", ckiti_show(S("a\nb"), false, shown));
    CHECK_STR("", ckiti_show(ckit_slice_of(NULL, 0), false, shown));
    CHECK_STR("********", ckiti_show(S("abc"), true, shown));
    CHECK_STR("********", ckiti_show(S("redis://:hunter2@host"), false, shown));
    CHECK_STR("1234567890123456789012345678901234567...",
              ckiti_show(S("12345678901234567890123456789012345678901"), false, shown));
    CHECK_STR("1234567890123456789012345678901234567890",
              ckiti_show(S("1234567890123456789012345678901234567890"), false, shown));
}
