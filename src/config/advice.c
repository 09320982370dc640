#include "config/advice.h"

#include "base/log.h"
#include "config/environment.h"
#include "config/parse.h"
#include "config/table.h"

#include <cachekit/buf.h>
#include <limits.h>
#include <strings.h>

#define LONGEST_NAME 64
#define PREFIX "CACHEKIT_"
#define WRONG_PREFIX "CACHE_"

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c; }

static unsigned least(unsigned a, unsigned b, unsigned c) {
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned ckiti_edit_distance(ckit_slice a, ckit_slice b) {
    if (a.len > LONGEST_NAME || b.len > LONGEST_NAME) {
        return UINT_MAX;
    }
    unsigned row[LONGEST_NAME + 1];
    for (unsigned i = 0; i <= b.len; i++) {
        row[i] = i;
    }
    for (size_t i = 0; i < a.len; i++) {
        unsigned diagonal = row[0]++;
        for (size_t j = 0; j < b.len; j++) {
            unsigned changed = diagonal + (lower(a.ptr[i]) != lower(b.ptr[j]));
            diagonal = row[j + 1];
            row[j + 1] = least(row[j + 1] + 1, row[j] + 1, changed);
        }
    }
    return row[b.len];
}

bool ckiti_is_slip(unsigned distance, size_t len) { return distance <= 1 || (distance <= 3 && distance <= len / 4); }

/* What is read apart from the table of settings. */
static const char *const own_variables[] = {CKITI_MASTER_KEY_VARIABLE, CKITI_PREVIOUS_KEYS_VARIABLE,
                                            CKITI_KEY_FILE_VARIABLE, CKITI_DEPLOYMENT_VARIABLE, CKITI_STATUS_VARIABLE};
#define OWN_COUNT (sizeof own_variables / sizeof own_variables[0])

/* Every variable that is known, one after the other; NULL at the end. */
static const char *known_variable(size_t index) {
    if (index < ckit_settings_count()) {
        return ckit_settings_at(index)->variable;
    }
    index -= ckit_settings_count();
    if (index < CKITI_SELECTOR_COUNT) {
        return ckiti_selectors[index].variable;
    }
    index -= CKITI_SELECTOR_COUNT;
    if (index < OWN_COUNT) {
        return own_variables[index];
    }
    return ckiti_idle_variables[index - OWN_COUNT];
}

/* The known variable that is nearest to `name`, and how near. */
static const char *nearest_variable(ckit_slice name, unsigned *distance) {
    const char *best = NULL;
    *distance = UINT_MAX;
    for (size_t i = 0; known_variable(i) != NULL; i++) {
        unsigned d = ckiti_edit_distance(name, ckit_slice_str(known_variable(i)));
        if (d < *distance) {
            *distance = d;
            best = known_variable(i);
        }
    }
    return best;
}

static bool is_idle(const char *variable) {
    for (const char *const *idle = ckiti_idle_variables; *idle != NULL; idle++) {
        if (strcmp(*idle, variable) == 0) {
            return true;
        }
    }
    return false;
}

/* What the Python package reads, for what only it has. */
static bool is_of_python(const char *variable) {
    return strcmp(variable, "CACHEKIT_ARROW_COMPRESSION") == 0 || strcmp(variable, "CACHEKIT_AUTO_INTENT") == 0 ||
           strcmp(variable, "CACHEKIT_DEV_MODE") == 0;
}

static bool has_prefix(ckit_slice name, const char *prefix) {
    size_t len = strlen(prefix);
    return name.len > len && strncasecmp((const char *)name.ptr, prefix, len) == 0;
}

static void advise_ours(ckit_slice name, const ckit_log *log) {
    unsigned    distance;
    const char *near = nearest_variable(name, &distance);
    int         len = (int)(name.len < LONGEST_NAME ? name.len : LONGEST_NAME);
    if (near == NULL || !ckiti_is_slip(distance, name.len)) {
        ckiti_log(log, CKIT_LOG_WARNING, "settings", "%.*s is not a setting of this version and is not read", len,
                  (const char *)name.ptr);
    } else if (!ckit_slice_equal(name, ckit_slice_str(near))) {
        ckiti_log(log, CKIT_LOG_WARNING, "settings", "%.*s is not read: did you mean %s?", len, (const char *)name.ptr,
                  near);
    } else if (is_idle(near)) {
        ckiti_log(log, CKIT_LOG_INFO, "settings", "%s %s", near,
                  is_of_python(near) ? "acts on functions in Python alone" : "has nothing to act on in this version");
    }
}

/* CACHE_... is a common prefix: only what would be a name of ours behind it is worth a line. */
static void advise_wrong_prefix(const char *const *environment, ckit_slice name, const ckit_log *log) {
    size_t skip = strlen(WRONG_PREFIX);
    for (size_t i = 0; known_variable(i) != NULL; i++) {
        const char *known = known_variable(i);
        if (strncmp(known, PREFIX, strlen(PREFIX)) != 0 ||
            !ckit_slice_equal(ckit_slice_of(name.ptr + skip, name.len - skip),
                              ckit_slice_str(known + strlen(PREFIX)))) {
            continue;
        }
        if (ckiti_variable(environment, known) == NULL) {
            ckiti_log(log, CKIT_LOG_WARNING, "settings", "%s: %.*s is not read, the prefix is %s: did you mean %s?",
                      ckit_status_code(CKIT_E_BAD_PREFIX), (int)name.len, (const char *)name.ptr, PREFIX, known);
        }
        return;
    }
}

/* A variable that other programs read too may hold a word that only they know. */
static void advise_everybodys(const ckiti_setting_row *row, const char *text, const ckit_log *log) {
    uint64_t value;
    char     shown[CKITI_SHOWN];
    char     expected[CKITI_EXPECTED];
    if (!ckiti_setting_parse(row, ckit_slice_str(text), &value)) {
        ckiti_log(log, CKIT_LOG_WARNING, "settings", "%s=%s is not %s: it counts as not set, which means %s",
                  row->page.variable, ckiti_show(ckit_slice_str(text), row->page.secret, shown),
                  ckiti_setting_expected(row, expected), row->page.default_text);
    }
}

void ckit_settings_advise(const char *const *environment, const ckit_log *log) {
    environment = ckiti_environment(environment);
    for (const char *const *entry = environment; *entry != NULL; entry++) {
        const char *end = strchr(*entry, '=');
        if (end == NULL || end[1] == '\0') {
            continue;
        }
        ckit_slice name = ckit_slice_of(*entry, (size_t)(end - *entry));
        if (has_prefix(name, PREFIX)) {
            advise_ours(name, log);
        } else if (has_prefix(name, WRONG_PREFIX)) {
            advise_wrong_prefix(environment, name, log);
        }
    }
    for (size_t i = 0; i < ckit_settings_count(); i++) {
        const char *text = ckiti_variable(environment, ckit_settings_at(i)->variable);
        if (ckiti_setting_rows[i].everybodys && text != NULL) {
            advise_everybodys(&ckiti_setting_rows[i], text, log);
        }
    }
}
