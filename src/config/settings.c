#include "config/settings.h"

#include "base/misuse.h"
#include "config/advice.h"
#include "config/environment.h"
#include "config/parse.h"
#include "config/table.h"

#include <cachekit/buf.h>
#include <limits.h>
#include <stdio.h>

static const char where[] = "settings";

/* ---- fields ----------------------------------------------------------------------------------------------- */

uint64_t ckiti_settings_value(const ckit_settings *settings, size_t index) {
    const ckiti_setting_row *row = &ckiti_setting_rows[index];
    const char              *field = (const char *)settings + row->offset;
    uint64_t                 wide = 0;
    uint32_t                 narrow = 0;
    bool                     flag = false;
    switch (row->width) {
    case sizeof wide: memcpy(&wide, field, sizeof wide); return wide;
    case sizeof narrow: memcpy(&narrow, field, sizeof narrow); return narrow;
    default: memcpy(&flag, field, sizeof flag); return flag;
    }
}

static void store_value(ckit_settings *settings, size_t index, uint64_t value, ckit_setting_source source) {
    const ckiti_setting_row *row = &ckiti_setting_rows[index];
    char                    *field = (char *)settings + row->offset;
    uint32_t                 narrow = (uint32_t)value;
    bool                     flag = value != 0;
    switch (row->width) {
    case sizeof value: memcpy(field, &value, sizeof value); break;
    case sizeof narrow: memcpy(field, &narrow, sizeof narrow); break;
    default: memcpy(field, &flag, sizeof flag); break;
    }
    settings->sources[index] = (uint8_t)source;
}

static bool is_given(const ckit_settings *settings, const char *name) {
    return settings->sources[ckiti_setting_named(name)] != CKIT_FROM_DEFAULT;
}

void ckiti_settings_defaults(ckit_settings *settings) {
    memset(settings, 0, sizeof *settings);
    settings->struct_size = sizeof *settings;
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        if (ckiti_setting_rows[i].type != CKITI_SETTING_PATH) {
            store_value(settings, i, ckiti_setting_rows[i].fallback, CKIT_FROM_DEFAULT);
        }
    }
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

ckit_status ckiti_settings_set_directory(ckit_settings *settings, ckit_slice path, ckit_setting_source source,
                                         ckit_error *err) {
    size_t              index = ckiti_setting_named("file_cache_dir");
    const ckit_setting *page = ckit_settings_at(index);
    const char         *name = source == CKIT_FROM_ENVIRONMENT ? page->variable : "the directory";
    char                expected[CKITI_EXPECTED];
    if (path.len == 0 || path.len >= sizeof settings->file_cache_dir) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s of %zu bytes: expected %s", name, path.len,
                         ckiti_setting_expected(&ckiti_setting_rows[index], expected));
    }
    if (source == CKIT_FROM_ENVIRONMENT && path.len >= 5 && memcmp(path.ptr, "file:", 5) == 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s holds a URL: it takes a path, such as /var/cache/app",
                         name);
    }
    memcpy(settings->file_cache_dir, path.ptr, path.len);
    settings->file_cache_dir[path.len] = '\0';
    settings->sources[index] = (uint8_t)source;
    return CKIT_OK;
}

static ckit_status read_one(ckit_settings *settings, size_t index, ckit_slice text, ckit_setting_source source,
                            ckit_error *err) {
    const ckiti_setting_row *row = &ckiti_setting_rows[index];
    if (row->type == CKITI_SETTING_PATH) {
        return ckiti_settings_set_directory(settings, text, source, err);
    }
    uint64_t value;
    if (ckiti_setting_parse(row, text, &value)) {
        store_value(settings, index, value, source);
        return CKIT_OK;
    }
    if (row->everybodys && source == CKIT_FROM_ENVIRONMENT) { /* ckit_settings_advise warns */
        return CKIT_OK;
    }
    char        shown[CKITI_SHOWN];
    char        expected[CKITI_EXPECTED];
    bool        by_url = source == CKIT_FROM_URL;
    const char *name = by_url ? row->page.url_parameter : row->page.variable;
    return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s=%s%s: expected %s", name,
                     ckiti_show(text, row->page.secret, shown), by_url ? " in the URL" : "",
                     ckiti_setting_expected(row, expected));
}

ckit_status ckiti_settings_read(ckit_settings *settings, const char *const *environment, ckit_error *err) {
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const char *text = ckiti_variable(environment, ckit_settings_at(i)->variable);
        if (text == NULL) {
            continue;
        }
        ckit_status st = read_one(settings, i, ckit_slice_str(text), CKIT_FROM_ENVIRONMENT, err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    return CKIT_OK;
}

static bool is_of(size_t index, ckiti_store store) {
    return (ckiti_setting_rows[index].files_only && store == CKITI_STORE_FILE) ||
           (ckiti_setting_rows[index].redis_only && store == CKITI_STORE_REDIS);
}

static bool takes_parameter(size_t index, ckiti_store store) {
    const ckiti_setting_row *row = &ckiti_setting_rows[index];
    return row->page.url_parameter != NULL && (is_of(index, store) || (!row->files_only && !row->redis_only));
}

/* The settings of the store first: they are what a URL is mostly for. Cut where the message ends. */
static void list_parameters(ckiti_store store, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < ckit_settings_count(); i++) {
            if (takes_parameter(i, store) && is_of(i, store) == (pass == 0)) {
                const char *name = ckit_settings_at(i)->url_parameter;
                if (used + strlen(name) + sizeof ", ..." >= size) {
                    snprintf(text + used, size - used, ", ...");
                    return;
                }
                used += (size_t)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ", ", name);
            }
        }
    }
}

static ckit_status refuse_parameter(const ckiti_url_param *param, ckiti_store store, ckit_error *err) {
    const char *near = NULL;
    unsigned    distance = UINT_MAX;
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        if (takes_parameter(i, store)) {
            unsigned d = ckiti_edit_distance(param->name, ckit_slice_str(ckit_settings_at(i)->url_parameter));
            if (d < distance) {
                distance = d;
                near = ckit_settings_at(i)->url_parameter;
            }
        }
    }
    char known[120];
    char shown[CKITI_SHOWN];
    list_parameters(store, known, sizeof known);
    bool slip = near != NULL && ckiti_is_slip(distance, param->name.len);
    return ckit_fail(err, CKIT_E_CONFIGURATION, where, "unknown parameter '%s'%s%s%s; known: %s",
                     ckiti_show(param->name, false, shown), slip ? ", did you mean " : "", slip ? near : "",
                     slip ? "?" : "", known);
}

ckit_status ckiti_settings_read_url(ckit_settings *settings, const ckiti_url *url, ckiti_store store, ckit_error *err) {
    for (size_t p = 0; p < url->param_count; p++) {
        const ckiti_url_param *param = &url->params[p];
        size_t                 i = 0;
        while (i < ckit_settings_count() &&
               !(takes_parameter(i, store) &&
                 ckit_slice_equal(param->name, ckit_slice_str(ckit_settings_at(i)->url_parameter)))) {
            i++;
        }
        if (i == ckit_settings_count()) {
            return refuse_parameter(param, store, err);
        }
        if (settings->sources[i] == CKIT_FROM_URL) {
            return ckit_fail(err, CKIT_E_CONFIGURATION, where, "the parameter '%s' is there twice",
                             ckit_settings_at(i)->url_parameter);
        }
        ckit_status st = read_one(settings, i, param->value, CKIT_FROM_URL, err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    return CKIT_OK;
}

/* ---- what must fit together ------------------------------------------------------------------------------- */

/* "CACHEKIT_TTL_MIN=30", or how to change it when nobody set it. */
static const char *describe(const ckit_settings *settings, const char *name, char *text, size_t size) {
    size_t              index = ckiti_setting_named(name);
    const ckit_setting *page = ckit_settings_at(index);
    char                value[32];
    (void)ckit_settings_get_text(settings, index, value, sizeof value);
    switch (settings->sources[index]) {
    case CKIT_FROM_ENVIRONMENT: snprintf(text, size, "%s=%s", page->variable, value); break;
    case CKIT_FROM_URL: snprintf(text, size, "%s=%s in the URL", page->url_parameter, value); break;
    default: snprintf(text, size, "%s=%s (the default; %s sets it)", page->name, value, page->variable); break;
    }
    return text;
}

static ckit_status refuse_pair(const ckit_settings *settings, const char *name, const char *relation, const char *other,
                               ckit_error *err) {
    char one[96];
    char two[96];
    return ckit_fail(err, CKIT_E_CONFIGURATION, where, "%s is %s %s", describe(settings, name, one, sizeof one),
                     relation, describe(settings, other, two, sizeof two));
}

static ckit_status settle_lifetimes(const ckit_settings *settings, ckit_error *err) {
    if (settings->ttl_min_ms > settings->ttl_max_ms) {
        return refuse_pair(settings, "ttl_min", "above", "ttl_max", err);
    }
    if (settings->default_ttl_ms < settings->ttl_min_ms) {
        return refuse_pair(settings, "default_ttl", "below", "ttl_min", err);
    }
    if (settings->default_ttl_ms > settings->ttl_max_ms) {
        return refuse_pair(settings, "default_ttl", "above", "ttl_max", err);
    }
    return CKIT_OK;
}

ckit_status ckiti_settings_settle(ckit_settings *settings, ckit_error *err) {
    ckit_status st = settle_lifetimes(settings, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (settings->l1_max_bytes > settings->l1_total_max_bytes) {
        bool namespace_given = is_given(settings, "l1_max_size_mb");
        if (namespace_given && is_given(settings, "l1_total_max_size_mb")) {
            return refuse_pair(settings, "l1_max_size_mb", "above", "l1_total_max_size_mb", err);
        }
        if (namespace_given) {
            settings->l1_total_max_bytes = settings->l1_max_bytes;
        } else {
            settings->l1_max_bytes = settings->l1_total_max_bytes;
        }
    }
    if (settings->file_max_value_bytes > settings->file_max_size_bytes / 2) {
        if (is_given(settings, "file_max_value_mb")) {
            return refuse_pair(settings, "file_max_value_mb", "above half of", "file_max_size_mb", err);
        }
        settings->file_max_value_bytes = settings->file_max_size_bytes / 2;
    }
    return CKIT_OK;
}

/* ---- public ----------------------------------------------------------------------------------------------- */

void ckit_settings_init(ckit_settings *settings, size_t struct_size) {
    memset(settings, 0, struct_size);
    settings->struct_size = struct_size;
}

ckit_status ckit_settings_from_environment(ckit_settings *out, const char *const *environment, ckit_error *err) {
    if (out == NULL) {
        return ckiti_there_is_no(err, where, "place for the settings");
    }
    if (out->struct_size < sizeof out->struct_size) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "struct_size is not set: begin with CKIT_SETTINGS_INIT");
    }
    environment = ckiti_environment(environment);
    ckit_settings settings;
    ckiti_settings_defaults(&settings);
    ckit_status st = ckiti_settings_read(&settings, environment, err);
    if (st == CKIT_OK) {
        st = ckiti_settings_settle(&settings, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    if (settings.file_cache_dir[0] == '\0' &&
        !ckiti_default_directory(environment, settings.file_cache_dir, sizeof settings.file_cache_dir)) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "TMPDIR is too long");
    }
    /* An older program has a shorter struct and gets as much as it knows of. */
    settings.struct_size = out->struct_size;
    memcpy(out, &settings, settings.struct_size < sizeof settings ? settings.struct_size : sizeof settings);
    return CKIT_OK;
}

/* Whether the caller's struct, which may be of an older header, holds the bytes. */
static bool reaches(const ckit_settings *settings, size_t offset, size_t width) {
    return settings->struct_size >= offset + width;
}

ckit_setting_source ckit_settings_source(const ckit_settings *settings, size_t index) {
    if (settings == NULL || index >= ckit_settings_count() ||
        !reaches(settings, offsetof(ckit_settings, sources), index + 1)) {
        return CKIT_FROM_DEFAULT;
    }
    return (ckit_setting_source)settings->sources[index];
}

const char *ckit_settings_get_text(const ckit_settings *settings, size_t index, char *text, size_t size) {
    const char *fixed = NULL;
    if (text == NULL || size == 0) {
        return "";
    }
    if (settings == NULL || index >= ckit_settings_count() ||
        !reaches(settings, ckiti_setting_rows[index].offset, ckiti_setting_rows[index].width)) {
        fixed = "";
    } else if (ckiti_setting_rows[index].page.secret) {
        fixed = "********";
    } else if (ckiti_setting_rows[index].type == CKITI_SETTING_PATH) {
        fixed = (const char *)settings + ckiti_setting_rows[index].offset;
    }
    if (fixed != NULL) {
        snprintf(text, size, "%s", fixed);
    } else {
        ckiti_setting_format(&ckiti_setting_rows[index], ckiti_settings_value(settings, index), text, size);
    }
    return text;
}
