/* A URL in the first line, "NAME=value" variables in those that follow. */
#include "config/plan.h"

#include "base/url.h"
#include "config/captured.h"

#include <stdlib.h>

#define MOST_VARIABLES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void check_text(const ckit_error *err) {
    require(memchr(err->text, '\0', sizeof err->text) != NULL && err->text[0] != '\0');
    require(memchr(err->where, '\0', sizeof err->where) != NULL && err->where[0] != '\0');
    for (const char *c = err->text; *c != '\0'; c++) {
        require((unsigned char)*c >= 0x20);
    }
}

static void check_plan(const ckiti_plan *plan) {
    const ckit_settings *s = &plan->settings;
    require(s->ttl_min_ms <= s->default_ttl_ms && s->default_ttl_ms <= s->ttl_max_ms);
    require(plan->cache.l1_max_bytes > 0 && plan->cache.l1_max_bytes <= plan->cache.l1_total_max_bytes);
    require(plan->cache.max_value_bytes > 0 && plan->cache.max_value_bytes <= UINT64_C(536870912));
    require(plan->cache.max_key_bytes > 0 && plan->cache.max_key_bytes <= 65536);
    if (plan->has_store) {
        require(strlen(plan->file.directory) > 0 && strlen(plan->file.directory) < CKIT_SETTINGS_PATH_MAX);
        require(plan->file.max_value_bytes <= plan->file.max_size_bytes / 2);
        require((plan->file.permissions & 022) == 0 && (plan->file.dir_permissions & 022) == 0);
    }
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        char text[16];
        require(strlen(ckit_settings_get_text(s, i, text, sizeof text)) < sizeof text);
    }
}

static void parse_alone(const uint8_t *data, size_t size) {
    ckiti_url  url;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_slice text = {data, size};
    if (ckiti_url_parse(&url, text, &err) == CKIT_OK) {
        require(url.used <= size && url.scheme.len > 0 && url.param_count <= CKITI_URL_MAX_PARAMS);
    } else {
        check_text(&err);
    }
    ckiti_url_fini(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    parse_alone(data, size);
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    const char *environment[MOST_VARIABLES + 1] = {NULL};
    char       *rest = text;
    char       *url = strsep(&rest, "\n");
    for (size_t i = 0; i < MOST_VARIABLES && rest != NULL; i++) {
        environment[i] = strsep(&rest, "\n");
    }
    captured           lines;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    ckiti_plan         plan;
    captured_init(&lines, CKIT_LOG_INFO);
    options.log = &lines.log;
    /* A first line of '-' opens from the environment. */
    if (ckiti_plan_make(&plan, strcmp(url, "-") == 0 ? NULL : url, &options, environment, &err) == CKIT_OK) {
        check_plan(&plan);
        ckiti_plan_announce(&plan, environment);
    } else {
        check_text(&err);
    }
    free(text);
    return 0;
}
