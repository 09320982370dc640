/* The store, opened and tried out. */
#include "doctor/doctor.h"

#include "support/listing.h"
#include "support/output.h"
#include "support/units.h"

#include <cachekit/buf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 3000
#define SLOW_MS 100.0
#define NEARLY_FULL 0.9 /* from here on the least recently used entries are removed */
#define FUTURE_MS 2000
#define PROGRESS_EVERY 1024

static void take_line(void *self, ckit_log_level level, const char *component, const char *line) {
    if (level >= CKIT_LOG_WARNING && strcmp(component, "settings") != 0) { /* those are told by the check of settings */
        doctor_say(self, "store", DOCTOR_WARNING, NULL, "%s", line);
    }
}

/* ---- health and figures ----------------------------------------------------------------------------------------- */

/* A cache is full sooner or later: what then is the server's affair. */
static void check_memory_policy(doctor *d, const ckit_health *health) {
    static const char advice[] = "set maxmemory and maxmemory-policy, e.g. allkeys-lru, in the server's configuration";
    bool              bounded = health->limit_bytes != UINT64_MAX;
    const char       *policy = strstr(health->detail, "maxmemory_policy ");
    policy = policy == NULL ? NULL : policy + strlen("maxmemory_policy ");
    if (policy == NULL) {
        doctor_say(d, "memory-policy", DOCTOR_OK, NULL, "the server does not tell what it does when memory is full");
    } else if (strncmp(policy, "noeviction", strlen("noeviction")) == 0) {
        doctor_say(d, "memory-policy", DOCTOR_WARNING, advice,
                   bounded ? "noeviction: when its memory is full the server refuses every write"
                           : "noeviction and no maxmemory: the server grows until the machine has no memory left");
    } else {
        doctor_say(d, "memory-policy", bounded ? DOCTOR_OK : DOCTOR_WARNING, bounded ? NULL : advice, "%.*s%s",
                   (int)strcspn(policy, ",;"), policy,
                   bounded ? "" : ", which never acts: without maxmemory the server grows until the machine is full");
    }
}

static bool check_health(doctor *d, const cli_store *store) {
    ckit_health health;
    store->ops->health(store->self, cli_deadline_in(TIMEOUT_MS), &health);
    if (!health.healthy) {
        doctor_say(d, "health", DOCTOR_STORE,
                   d->store.redis ? "start the server, or correct address, user and password in the URL"
                                  : "set right what the text names; the other lines may say more",
                   "%s", health.detail);
    } else if (health.latency_ms > SLOW_MS) {
        doctor_say(d, "health", DOCTOR_WARNING, "look for a busy disk or network",
                   "a trial took %.0f ms, which is slow for a cache", health.latency_ms);
    } else if (d->store.redis) {
        doctor_say(d, "health", DOCTOR_OK, NULL, "it answers in %.2f ms: %s", health.latency_ms, health.detail);
    } else {
        doctor_say(d, "health", DOCTOR_OK, NULL, "written, read and removed in %.2f ms", health.latency_ms);
    }
    if (health.healthy && d->store.redis) {
        check_memory_policy(d, &health);
    }
    if (health.healthy && d->store.files && health.entries == UINT64_MAX) {
        doctor_say(d, "health", DOCTOR_WARNING, "look for a program that hangs there (fuser, lsof)",
                   "its sums (.ck-usage) could not be read within %d s: somebody holds their lock, or they are no file",
                   TIMEOUT_MS / 1000);
    }
    return health.healthy;
}

static const char *room_advice(const doctor *d, bool bytes) {
    if (strcmp(d->store.reason, "the default") == 0) {
        return "remove what is not needed (cachekit prune), or keep large things in a --store of their own";
    }
    return bytes ? "raise CACHEKIT_FILE_MAX_SIZE_MB (in a URL: max_size_mb), or remove what is not needed (cachekit "
                   "prune)"
                 : "raise CACHEKIT_FILE_MAX_ENTRY_COUNT (in a URL: max_entry_count), or remove what is not needed "
                   "(cachekit prune)";
}

static const uint64_t *level(const cli_figures *figures, const char *name) {
    const cli_figure *figure = cli_figures_find(figures, name);
    return figure == NULL ? NULL : &figure->value;
}

static void check_fullness(doctor *d, const cli_figures *figures, bool bytes) {
    const uint64_t *used = level(figures, bytes ? "bytes" : "entries");
    const uint64_t *limit = level(figures, bytes ? "limit_bytes" : "limit_entries");
    char            text[CLI_OCCUPANCY_TEXT];
    if (!bytes && used != NULL && *used < d->entries) {
        used = &d->entries; /* the store counts anew from time to time only */
    }
    bool full = cli_fullness(used, limit) >= NEARLY_FULL;
    doctor_say(d, "fullness", full ? DOCTOR_WARNING : DOCTOR_OK, full ? room_advice(d, bytes) : NULL, "%s %s%s",
               bytes ? "bytes:" : "entries:", cli_occupancy_text(used, limit, bytes, text),
               full ? ": the least recently used go when new ones come" : "");
}

/* Damage that was met before: whoever looks for a failing disk wants to know. */
static void check_damage(doctor *d, const cli_figures *figures) {
    const cli_figure *corrupt = cli_figures_find(figures, "corrupt");
    if (corrupt != NULL && corrupt->value > 0) {
        doctor_say(d, "damage", DOCTOR_OK, "if it grows (cachekit stats), check the disk, and who else writes there",
                   "%" PRIu64 " damaged entries were found and removed so far", corrupt->value);
    }
}

static uint64_t room(const cli_figures *figures, const char *used_name, const char *limit_name) {
    const uint64_t *used = level(figures, used_name);
    const uint64_t *limit = level(figures, limit_name);
    if (limit == NULL) {
        return UINT64_MAX;
    }
    return used == NULL ? *limit : *used < *limit ? *limit - *used : 0;
}

static void check_memory(doctor *d, const cli_figures *figures) {
    const uint64_t *used = level(figures, "used_memory");
    const uint64_t *limit = level(figures, "limit_memory");
    const uint64_t *evicted = level(figures, "evicted_keys");
    const uint64_t *keys = level(figures, "keys");
    char            text[CLI_OCCUPANCY_TEXT];
    limit = limit != NULL && *limit == 0 ? NULL : limit;
    bool full = cli_fullness(used, limit) >= NEARLY_FULL;
    doctor_say(d, "fullness", full ? DOCTOR_WARNING : DOCTOR_OK,
               full ? "give the server more memory, or shorten lifetimes" : NULL,
               "memory of the server: %s; %" PRIu64 " keys, %" PRIu64 " evicted so far",
               cli_occupancy_text(used, limit, true, text), keys == NULL ? 0 : *keys, evicted == NULL ? 0 : *evicted);
}

static void check_figures(doctor *d, const cli_store *store) {
    static cli_figures figures;
    ckit_error         err = CKIT_ERROR_INIT;
    if (cli_figures_take(store, cli_deadline_in(TIMEOUT_MS), &figures, &err) != CKIT_OK) {
        doctor_say(d, "fullness", DOCTOR_STORE, NULL, "it cannot be told: %s", err.text);
        return;
    }
    if (d->store.redis) {
        check_memory(d, &figures);
        return;
    }
    check_fullness(d, &figures, true);
    check_fullness(d, &figures, false);
    check_damage(d, &figures);
    if (d->store.files) {
        doctor_check_space(d, d->store.path, room(&figures, "bytes", "limit_bytes"),
                           room(&figures, "entries", "limit_entries"));
    }
}

/* ---- entries ---------------------------------------------------------------------------------------------------- */

typedef struct ages {
    int64_t  now_ms;
    uint64_t entries;
    uint64_t future;
    int64_t  furthest_ms;
} ages;

static ckit_status look_at_age(void *context, const ckit_listed *entry) {
    ages   *a = context;
    int64_t ahead_ms = entry->created_wall_ms - a->now_ms;
    if (++a->entries % PROGRESS_EVERY == 0) {
        cli_progress("%" PRIu64 " entries looked at", a->entries);
    }
    if (entry->created_wall_ms != 0 && ahead_ms > FUTURE_MS) {
        a->future++;
        a->furthest_ms = ahead_ms > a->furthest_ms ? ahead_ms : a->furthest_ms;
    }
    return CKIT_OK;
}

static void check_ages(doctor *d, const cli_store *store) {
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    ckit_error err = CKIT_ERROR_INIT;
    ages       a = {0};
    char       text[CLI_UNITS_TEXT];
    if (store->ops->list == NULL) {
        return;
    }
    a.now_ms = cli_wall_ms();
    ckit_status st = store->ops->list(store->self, &all, CKIT_NO_DEADLINE, look_at_age, &a, &err);
    cli_progress_end();
    if (st != CKIT_OK) {
        doctor_say(d, "entries", DOCTOR_STORE, "set right what the text names", "they cannot be listed: %s", err.text);
    } else if (a.future > 0) {
        doctor_say(d, "entries", DOCTOR_WARNING, "set the clock that is wrong; then remove them, or let them expire",
                   "%" PRIu64 " of %" PRIu64
                   " were made in the future, up to %s from now: the clock was wrong then, or is now",
                   a.future, a.entries, cli_duration_text((uint64_t)a.furthest_ms, text));
    } else {
        doctor_say(d, "entries", DOCTOR_OK, NULL, "%" PRIu64 " live ones, none from the future", a.entries);
    }
}

/* ---- the store -------------------------------------------------------------------------------------------------- */

static void check_open(doctor *d, const cli_store *store) {
    bool healthy = check_health(d, store);
    if (healthy) {
        check_figures(d, store);
        if (!d->store.redis) { /* which does not tell when an entry was made, and may hold millions */
            check_ages(d, store);
        }
    } else if (d->store.files) {
        doctor_check_space(d, d->store.path, UINT64_MAX, UINT64_MAX);
    }
    if (d->store.files) {
        doctor_check_probe(d, d->store.path);
    }
}

/* A limit by the URL, `otherwise` when it says nothing of it. */
static uint64_t planned(const doctor *d, const char *parameter, uint64_t unit, uint64_t otherwise) {
    size_t length = strlen(parameter);
    for (const char *at = d->store.query; at != NULL; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, parameter, length) == 0 && at[length] == '=') {
            char     digits[24];
            uint64_t number;
            (void)snprintf(digits, sizeof digits, "%.*s", (int)strcspn(at + length + 1, "&"), at + length + 1);
            return cli_count_parse(digits, &number) ? number * unit : UINT64_MAX;
        }
    }
    return otherwise;
}

/* Room for a store that is not there yet. The user's own files have the defaults, whatever the environment says. */
static void check_plan(doctor *d) {
    static const char *const nothing[] = {NULL};
    ckit_settings            s = d->settings;
    if (strcmp(d->store.reason, "the default") == 0) {
        (void)ckit_settings_from_environment(&s, nothing, NULL);
    }
    doctor_check_space(d, d->store.path, planned(d, "max_size_mb", UINT64_C(1) << 20, s.file_max_size_bytes),
                       planned(d, "max_entry_count", 1, s.file_max_entry_count));
}

void doctor_check_store(doctor *d) {
    ckit_log         log = {.write = take_line, .self = d, .level = CKIT_LOG_WARNING};
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    ckit_error       err = CKIT_ERROR_INIT;
    cli_store        store;
    env.log = &log;
    if (!d->store.chosen) {
        return;
    }
    if (d->store.files && !d->store.exists) {
        check_plan(d);
        return;
    }
    if (d->store.files) {
        doctor_check_files(d, d->store.path);
    }
    if (cli_store_try(&store, d->common, &env, &err) == CKIT_OK) {
        d->store.redis = strcmp(ckit_backend_name(store.backend), "redis") == 0;
        if (!d->store.files) {
            doctor_say(d, "store", DOCTOR_OK, NULL, "a %s store%s%s (%s)", ckit_backend_name(store.backend),
                       d->store.redis ? ": " : "", d->store.redis ? store.url : "", d->store.reason);
        }
        check_open(d, &store);
    } else {
        doctor_say(d, "store", doctor_grade_of(&err),
                   "change what chooses the store, or give --store file:///directory", "it cannot be opened: %s (%s)",
                   err.text, ckit_status_code(err.status));
    }
    cli_store_close(&store);
}
