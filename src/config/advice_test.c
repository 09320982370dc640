#include "config/advice.h"
#include "config/captured.h"
#include "support/test.h"

#include <cachekit/settings.h>
#include <limits.h>

static captured advised(const char *const *environment) {
    captured lines;
    captured_init(&lines, CKIT_LOG_INFO);
    ckit_settings_advise(environment, &lines.log);
    return lines;
}

#define ADVISED(...) advised((const char *const[]){__VA_ARGS__, NULL})

CKIT_TEST(advice, a_variable_with_the_prefix_cache_gets_one_line_with_its_code) {
    CHECK_STR("warning settings: E041: CACHE_REDIS_URL is not read, the prefix is CACHEKIT_: did you mean "
              "CACHEKIT_REDIS_URL?\n",
              ADVISED("CACHE_REDIS_URL=redis://:hunter2@host").text);
    CHECK_EQ_U(1, ADVISED("CACHE_DEFAULT_TTL=5").count);
    CHECK_EQ_U(1, ADVISED("CACHE_FILE_CACHE_DIR=/x").count);
    CHECK_EQ_U(1, ADVISED("CACHE_MASTER_KEY=x").count);
    CHECK_EQ_U(1, ADVISED("CACHE_SOCKET_TIMEOUT=1").count);
}

CKIT_TEST(advice, other_variables_with_that_prefix_are_nobodys_business) {
    CHECK_EQ_U(0, ADVISED("CACHE_DIR=/x", "CACHE_CONTROL=y", "CACHE_=z", "CACHE_LOG_LEVEL=info", "CACHEX=1").count);
    CHECK_EQ_U(0, ADVISED("CACHE_DEFAULT_TTL=").count);
}

CKIT_TEST(advice, the_prefix_is_not_mentioned_when_the_right_variable_is_there_too) {
    CHECK_EQ_U(0, ADVISED("CACHE_DEFAULT_TTL=60", "CACHEKIT_DEFAULT_TTL=60").count);
}

CKIT_TEST(advice, a_misspelt_name_is_met_with_the_nearest_one) {
    CHECK_STR("warning settings: CACHEKIT_DEFAULT_TLL is not read: did you mean CACHEKIT_DEFAULT_TTL?\n",
              ADVISED("CACHEKIT_DEFAULT_TLL=1").text);
    CHECK_STR("warning settings: CACHEKIT_FILE_DIR_PERMISSION is not read: did you mean "
              "CACHEKIT_FILE_DIR_PERMISSIONS?\n",
              ADVISED("CACHEKIT_FILE_DIR_PERMISSION=1").text);
    CHECK_STR("warning settings: cachekit_default_ttl is not read: did you mean CACHEKIT_DEFAULT_TTL?\n",
              ADVISED("cachekit_default_ttl=1").text);
    CHECK_STR("warning settings: CACHEKIT_FLUX_CAPACITOR is not a setting of this version and is not read\n",
              ADVISED("CACHEKIT_FLUX_CAPACITOR=1").text);
}

CKIT_TEST(advice, settings_of_other_members_of_the_family_are_only_information) {
    CHECK_STR("info settings: CACHEKIT_DISABLE_HIREDIS has nothing to act on in this version\n",
              ADVISED("CACHEKIT_DISABLE_HIREDIS=1").text);
    CHECK_STR("info settings: CACHEKIT_DEV_MODE acts on functions in Python alone\n",
              ADVISED("CACHEKIT_DEV_MODE=true").text);
    captured quiet;
    captured_init(&quiet, CKIT_LOG_WARNING);
    ckit_settings_advise((const char *const[]){"CACHEKIT_DISABLE_HIREDIS=1", NULL}, &quiet.log);
    CHECK_EQ_U(0, quiet.count);
}

CKIT_TEST(advice, known_variables_and_strangers_get_no_line) {
    CHECK_EQ_U(0,
               ADVISED("CACHEKIT_DEFAULT_TTL=1", "CACHEKIT_REDIS_URL=x", "CACHEKIT_MASTER_KEY=y", "LOG_LEVEL=info",
                       "CACHEKIT_MASTER_KEY_FILE=/x", "CACHEKIT_PREVIOUS_MASTER_KEYS=z", "CACHEKIT_DEPLOYMENT_UUID=u",
                       "CACHEKIT_STATUS_DIR=/s", "HOME=/x", "", "=", "CACHEKIT_", "CACHEKIT_=1")
                   .count);
}

CKIT_TEST(advice, a_log_level_that_is_not_understood_is_met_with_the_known_ones) {
    CHECK_STR("warning settings: LOG_LEVEL=loud is not one of debug, info, warning, error, off: it counts as not set, "
              "which means warning\n",
              ADVISED("LOG_LEVEL=loud").text);
    CHECK_EQ_U(0, ADVISED("LOG_LEVEL=CRITICAL").count);
    CHECK_EQ_U(0, ADVISED("LOG_LEVEL=").count);
    CHECK(strstr(ADVISED("LOG_LEVEL=hunter2@host").text, "hunter2") == NULL);
}

CKIT_TEST(advice, a_value_never_appears) {
    captured lines = ADVISED("CACHEKIT_REDIS_URI=hunter2", "CACHE_API_KEY=hunter2", "CACHEKIT_SECRET=hunter2");
    CHECK_EQ_U(3, lines.count);
    CHECK(strstr(lines.text, "hunter2") == NULL);
}

CKIT_TEST(advice, distance_counts_changes_of_one_character) {
    CHECK_EQ_U(0, ckiti_edit_distance(S("ttl"), S("TTL")));
    CHECK_EQ_U(1, ckiti_edit_distance(S("ttl"), S("ttls")));
    CHECK_EQ_U(1, ckiti_edit_distance(S("ttl"), S("ttk")));
    CHECK_EQ_U(2, ckiti_edit_distance(S("ab"), S("ba")));
    CHECK_EQ_U(3, ckiti_edit_distance(S("kitten"), S("sitting")));
    CHECK_EQ_U(3, ckiti_edit_distance(S(""), S("abc")));
    CHECK_EQ_U(UINT_MAX,
               ckiti_edit_distance(S("a"), S("12345678901234567890123456789012345678901234567890123456789012345")));
}
