/* cachekit/settings.h - what can be configured, as a table, and what this process is configured to.
 *
 *     ckit_settings settings = CKIT_SETTINGS_INIT;
 *     if (ckit_settings_from_environment(&settings, NULL, &err) == CKIT_OK)
 *         for (size_t i = 0; i < ckit_settings_count(); i++)
 *             printf("%s = %s\n", ckit_settings_at(i)->name, ckit_settings_get_text(&settings, i, text, sizeof text));
 *
 * Programs that only want a cache need nothing of this page: ckit_cache_open (open.h) reads the same table. It is for
 * help texts, for tools that say what is set and where it comes from, and for bindings of other languages.
 *
 * Every function may be called from any thread; those that read the process's environment must not run beside setenv.
 * Nothing here allocates. */
#ifndef CACHEKIT_SETTINGS_H
#define CACHEKIT_SETTINGS_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the table -------------------------------------------------------------------------------------------- */

/* One setting. All texts are constants of the library. */
typedef struct ckit_setting {
    const char *name;          /* "l1_max_size_mb" */
    const char *group;         /* "memory": what the tables of a help text are headed with */
    const char *variable;      /* "CACHEKIT_L1_MAX_SIZE_MB": exactly this spelling is read */
    const char *url_parameter; /* file:///path?max_size_mb=512; those of the groups "files" and "redis" in URLs of
                                  such stores only; NULL = not by URL */
    const char *option;        /* the field that it fills: "l1_max_bytes" of ckit_cache_options, of
                                  ckit_file_options in the group "files", of ckit_guard_options in the group
                                  "reliability", of ckit_redis_options in the group "redis"; NULL = see the help */
    const char *type;          /* "boolean", "whole number", "seconds", "MiB", "octal mode", "choice", "path" */
    const char *default_text;  /* "100" */
    const char *range;         /* "1 to 1048576" */
    const char *help;          /* one sentence */
    bool        secret;        /* its value is never shown */
} ckit_setting;

/* How many there are. */
CKIT_API size_t ckit_settings_count(void);
/* The order is the one of the documentation and does not change meaning. NULL from ckit_settings_count on. */
CKIT_API const ckit_setting *ckit_settings_at(size_t index);

/* ---- what is set ------------------------------------------------------------------------------------------ */

#define CKIT_SETTINGS_MAX 64        /* more settings than there will be */
#define CKIT_SETTINGS_PATH_MAX 4096 /* bytes of a path, with its terminating zero */

/* Where a value comes from. */
typedef enum ckit_setting_source {
    CKIT_FROM_DEFAULT = 0,
    CKIT_FROM_ENVIRONMENT = 1,
    CKIT_FROM_URL = 2
} ckit_setting_source;

/* All settings, in the units of the options they fill. */
typedef struct ckit_settings {
    size_t         struct_size;
    uint64_t       default_ttl_ms;
    uint64_t       ttl_min_ms;
    uint64_t       ttl_max_ms;
    uint64_t       max_value_bytes;
    uint64_t       max_chunk_bytes; /* 0 = not set; else max_value_bytes is at most this */
    uint64_t       l1_max_bytes;
    uint64_t       l1_total_max_bytes;
    uint64_t       file_max_size_bytes;
    uint64_t       file_max_value_bytes;
    uint32_t       max_key_bytes;
    uint32_t       sweep_interval_ms;
    uint32_t       store_timeout_ms;
    uint32_t       flight_wait_ms;
    uint32_t       lock_lease_ms;
    uint32_t       lock_wait_ms;
    uint32_t       workers;
    uint32_t       queue_max;
    uint32_t       file_max_entry_count;
    uint32_t       file_lock_timeout_ms;
    uint32_t       file_permissions;
    uint32_t       file_dir_permissions;
    uint32_t       file_sync; /* ckit_file_sync (file.h) */
    uint32_t       compression_level;
    uint32_t       max_retries; /* 0 = none */
    uint32_t       retry_delay_ms;
    uint32_t       connection_pool_size;
    uint32_t       socket_timeout_ms;
    uint32_t       socket_connect_timeout_ms;
    ckit_log_level log_level;
    bool           l1_enabled;
    bool           compression;
    bool           integrity;
    bool           lock;
    bool           retry_on_timeout;
    bool           socket_keepalive;
    char           file_cache_dir[CKIT_SETTINGS_PATH_MAX];
    uint8_t        sources[CKIT_SETTINGS_MAX]; /* read it with ckit_settings_source */
    bool           fail_closed;
    bool           l1_invalidation;
} ckit_settings;
#define CKIT_SETTINGS_INIT CKIT_SIZED_INIT(ckit_settings)
CKIT_API void ckit_settings_init(ckit_settings *settings, size_t struct_size);

/* Reads the environment: "NAME=value" texts that end with a NULL pointer, as in main's third argument; NULL = the
 * process's own (nothing of it in a set-user-ID program). An empty variable counts as not set. The default of
 * file_cache_dir is looked for in the file system; nothing is made there.
 *
 * CKIT_E_CONFIGURATION names the variable, its value (secrets masked) and what is allowed; `out` is unchanged.
 * LOG_LEVEL is not refused, because other programs read it too: a word that is not understood counts as not set. */
CKIT_API ckit_status ckit_settings_from_environment(ckit_settings *out, const char *const *environment,
                                                    ckit_error *err);

/* Where the value of that setting has come from. CKIT_FROM_DEFAULT also beyond the last. */
CKIT_API ckit_setting_source ckit_settings_source(const ckit_settings *settings, size_t index);

/* Writes the value as the variable would hold it ("100", "true", "0600"; "not set"; a secret as "********") and returns
 * `text`. Cut when `size` is too small, always terminated when it is not 0. */
CKIT_API const char *ckit_settings_get_text(const ckit_settings *settings, size_t index, char *text, size_t size);

/* Writes one line of advice to `log` (NULL = standard error) for each variable that looks meant for this library and is
 * not read: CACHE_... instead of CACHEKIT_... (E041), a misspelt CACHEKIT_... name, a LOG_LEVEL that is not understood.
 * ckit_cache_open does this by itself. Names are shown, and the value of LOG_LEVEL; other values never. */
CKIT_API void ckit_settings_advise(const char *const *environment, const ckit_log *log);

#ifdef __cplusplus
}
#endif
#endif
