#include "config/table.h"

#include <cachekit/cache.h>
#include <cachekit/file.h>
#include <cachekit/guard.h>
#include <cachekit/redis.h>
#include <string.h>

#define MIB 1048576

#define ROW(name_, variable_, parameter_, group_, help_)                                                               \
    .page.name = #name_, .page.variable = (variable_), .page.url_parameter = (parameter_), .page.group = (group_),     \
    .page.help = (help_)
#define FIELD(field) .offset = offsetof(ckit_settings, field), .width = sizeof(((ckit_settings *)NULL)->field)
#define FILLS(struct_, home_, field)                                                                                   \
    .page.option = #field, .home = (home_), .option_offset = offsetof(struct_, field),                                 \
    .option_width = sizeof(((struct_ *)NULL)->field)
#define CACHE(field) FILLS(ckit_cache_options, CKITI_OPTION_CACHE, field)
#define GUARD(field) FILLS(ckit_guard_options, CKITI_OPTION_GUARD, field)
#define FILES(field) FILLS(ckit_file_options, CKITI_OPTION_FILE, field), .files_only = true
#define REDIS(field) FILLS(ckit_redis_options, CKITI_OPTION_REDIS, field), .redis_only = true

/* The texts of the default and the range are the numbers themselves, so they cannot disagree. */
#define TYPED(type_, name_, unit_, default_, min_, max_)                                                               \
    .type = (type_), .page.type = (name_), .page.default_text = #default_, .page.range = #min_ " to " #max_,           \
    .unit = (unit_), .fallback = (uint64_t)((default_)*1.0 * (unit_) + 0.5),                                           \
    .min = (uint64_t)((min_)*1.0 * (unit_) + 0.5), .max = (uint64_t)((max_)*1.0 * (unit_) + 0.5)
#define NUMBER(default_, min_, max_) TYPED(CKITI_SETTING_NUMBER, "whole number", 1, default_, min_, max_)
#define MEGABYTES(default_, min_, max_) TYPED(CKITI_SETTING_NUMBER, "MiB", MIB, default_, min_, max_)
#define SECONDS(default_, min_, max_) TYPED(CKITI_SETTING_SECONDS, "seconds", 1000, default_, min_, max_)
#define UNSET_MEGABYTES(min_, max_)                                                                                    \
    .type = CKITI_SETTING_NUMBER, .page.type = "MiB", .page.default_text = "not set",                                  \
    .page.range = #min_ " to " #max_, .unit = MIB, .min = (uint64_t)(min_)*MIB, .max = (uint64_t)(max_)*MIB
#define BOOLEAN(default_)                                                                                              \
    .type = CKITI_SETTING_BOOLEAN, .page.type = "boolean", .page.default_text = #default_,                             \
    .page.range = "true, false, 1, 0, yes, no, on, off", .unit = 1, .fallback = (default_), .max = 1
#define MODE(default_, needed_)                                                                                        \
    .type = CKITI_SETTING_MODE, .page.type = "octal mode", .page.default_text = #default_,                             \
    .page.range = "with " #needed_ " in it and no write for group or others", .unit = 1, .fallback = (default_),       \
    .min = (needed_), .max = 0777
#define CHOICE(choices_, default_text_, default_, words_)                                                              \
    .type = CKITI_SETTING_CHOICE, .page.type = "choice", .page.default_text = (default_text_), .page.range = (words_), \
    .unit = 1, .fallback = (default_), .max = UINT32_MAX, .choices = (choices_)

static const ckiti_choice sync_words[] = {
    {"none", CKIT_FILE_SYNC_NONE}, {"data", CKIT_FILE_SYNC_DATA}, {"full", CKIT_FILE_SYNC_FULL}, {NULL, 0}};

/* LOG_LEVEL belongs to the whole program, so the words of other libraries are understood too. */
static const ckiti_choice log_words[] = {{"debug", CKIT_LOG_DEBUG},     {"info", CKIT_LOG_INFO},
                                         {"warning", CKIT_LOG_WARNING}, {"error", CKIT_LOG_ERROR},
                                         {"off", CKIT_LOG_OFF},         {"trace", CKIT_LOG_DEBUG},
                                         {"verbose", CKIT_LOG_DEBUG},   {"notset", CKIT_LOG_WARNING},
                                         {"default", CKIT_LOG_WARNING}, {"notice", CKIT_LOG_INFO},
                                         {"warn", CKIT_LOG_WARNING},    {"err", CKIT_LOG_ERROR},
                                         {"critical", CKIT_LOG_ERROR},  {"crit", CKIT_LOG_ERROR},
                                         {"fatal", CKIT_LOG_ERROR},     {"alert", CKIT_LOG_ERROR},
                                         {"emerg", CKIT_LOG_ERROR},     {"none", CKIT_LOG_OFF},
                                         {"silent", CKIT_LOG_OFF},      {"quiet", CKIT_LOG_OFF},
                                         {"10", CKIT_LOG_DEBUG},        {"20", CKIT_LOG_INFO},
                                         {"30", CKIT_LOG_WARNING},      {"40", CKIT_LOG_ERROR},
                                         {"50", CKIT_LOG_ERROR},        {NULL, 0}};

/* clang-format off */
const ckiti_setting_row ckiti_setting_rows[] = {
    {ROW(default_ttl, "CACHEKIT_DEFAULT_TTL", "default_ttl", "lifetimes",
         "Lifetime of an entry where none is given; within ttl_min and ttl_max."),
     SECONDS(3600, 1, 315360000), FIELD(default_ttl_ms), CACHE(default_ttl_ms)},
    {ROW(ttl_min, "CACHEKIT_TTL_MIN", "ttl_min", "lifetimes",
         "The shortest default_ttl that is accepted; a lifetime given in code is free."),
     SECONDS(60, 1, 315360000), FIELD(ttl_min_ms)},
    {ROW(ttl_max, "CACHEKIT_TTL_MAX", "ttl_max", "lifetimes",
         "The longest default_ttl that is accepted; a lifetime given in code is free."),
     SECONDS(86400, 1, 315360000), FIELD(ttl_max_ms)},

    {ROW(max_key_size, "CACHEKIT_MAX_KEY_SIZE", "max_key_size", "limits",
         "The largest key, in bytes."),
     NUMBER(1024, 1, 65536), FIELD(max_key_bytes), CACHE(max_key_bytes)},
    {ROW(max_value_size, "CACHEKIT_MAX_VALUE_SIZE", "max_value_size", "limits",
         "The largest value, in bytes: as stored (compressed, framed), or as a document when there is no store."),
     NUMBER(104857600, 1, 536870912), FIELD(max_value_bytes), CACHE(max_value_bytes)},
    {ROW(max_chunk_size_mb, "CACHEKIT_MAX_CHUNK_SIZE_MB", "max_chunk_size_mb", "limits",
         "An older name of the value limit: lowers max_value_size when set, never raises it."),
     UNSET_MEGABYTES(1, 512), FIELD(max_chunk_bytes)},

    {ROW(l1_enabled, "CACHEKIT_L1_ENABLED", "l1_enabled", "memory",
         "Whether entries are kept in memory in front of the store."),
     BOOLEAN(true), FIELD(l1_enabled), CACHE(l1)},
    {ROW(l1_max_size_mb, "CACHEKIT_L1_MAX_SIZE_MB", "l1_max_size_mb", "memory",
         "Memory of one namespace, keys and bookkeeping included."),
     MEGABYTES(100, 1, 1048576), FIELD(l1_max_bytes), CACHE(l1_max_bytes)},
    {ROW(l1_total_max_size_mb, "CACHEKIT_L1_TOTAL_MAX_SIZE_MB", "l1_total_max_size_mb", "memory",
         "Memory of all namespaces of a cache; where not set, at least l1_max_size_mb."),
     MEGABYTES(1024, 1, 1048576), FIELD(l1_total_max_bytes), CACHE(l1_total_max_bytes)},
    {ROW(l1_cleanup_interval_seconds, "CACHEKIT_L1_CLEANUP_INTERVAL_SECONDS", "l1_cleanup_interval_seconds", "memory",
         "How often expired entries are freed in the background; they are never served in between."),
     SECONDS(30, 1, 86400), FIELD(sweep_interval_ms), CACHE(sweep_interval_ms)},
    {ROW(l1_invalidation_enabled, "CACHEKIT_L1_INVALIDATION_ENABLED", "l1_invalidation_enabled", "memory",
         "Whether copies in memory die when another process changes the entry, where the store tells of it."),
     BOOLEAN(true), FIELD(l1_invalidation), CACHE(coherence)},

    {ROW(enable_compression, "CACHEKIT_ENABLE_COMPRESSION", "enable_compression", "stored values",
         "Whether stored values are compressed; when off, compression_level has no say. Reading needs no setting."),
     BOOLEAN(true), FIELD(compression)},
    {ROW(compression_level, "CACHEKIT_COMPRESSION_LEVEL", "compression_level", "stored values",
         "1 is fastest, 9 smallest."),
     NUMBER(6, 1, 9), FIELD(compression_level), CACHE(compression_level)},
    {ROW(enable_corruption_detection, "CACHEKIT_ENABLE_CORRUPTION_DETECTION", "enable_corruption_detection",
         "stored values", "Whether stored values get a checksum and compression."),
     BOOLEAN(true), FIELD(integrity), CACHE(integrity)},

    {ROW(encryption_fail_closed, "CACHEKIT_ENCRYPTION_FAIL_CLOSED", "encryption_fail_closed", "stored values",
         "Whether an encrypted value that fails authentication, or is met without a key, is an error of the call; it "
         "stays in the store."),
     BOOLEAN(false), FIELD(fail_closed), CACHE(fail_closed)},

    {ROW(store_timeout_seconds, "CACHEKIT_STORE_TIMEOUT_SECONDS", "store_timeout_seconds", "waiting",
         "The longest single wait for the store."),
     SECONDS(5, 0.001, 3600), FIELD(store_timeout_ms), CACHE(store_timeout_ms)},
    {ROW(flight_wait_seconds, "CACHEKIT_FLIGHT_WAIT_SECONDS", "flight_wait_seconds", "waiting",
         "The longest wait for another thread that computes the same value; afterwards the caller computes it too."),
     SECONDS(60, 0.001, 86400), FIELD(flight_wait_ms), CACHE(flight_wait_ms)},
    {ROW(lock_enabled, "CACHEKIT_LOCK_ENABLED", "lock_enabled", "waiting",
         "Whether the store's lock is taken before a value is computed, so that one process computes it."),
     BOOLEAN(true), FIELD(lock), CACHE(lock)},
    {ROW(lock_lease_seconds, "CACHEKIT_LOCK_LEASE_SECONDS", "lock_lease_seconds", "waiting",
         "How long such a lock lives when its holder has disappeared and the store cannot tell."),
     SECONDS(30, 0.1, 86400), FIELD(lock_lease_ms), CACHE(lock_lease_ms)},
    {ROW(lock_wait_seconds, "CACHEKIT_LOCK_WAIT_SECONDS", "lock_wait_seconds", "waiting",
         "The longest wait for such a lock; afterwards the value is computed without it."),
     SECONDS(5, 0.001, 86400), FIELD(lock_wait_ms), CACHE(lock_wait_ms)},
    {ROW(workers, "CACHEKIT_WORKERS", "workers", "waiting",
         "Most background threads; they are started when needed."),
     NUMBER(4, 1, 64), FIELD(workers), CACHE(workers)},
    {ROW(queue_max, "CACHEKIT_QUEUE_MAX", "queue_max", "waiting",
         "Most background jobs waiting."),
     NUMBER(1024, 1, 1000000), FIELD(queue_max), CACHE(queue_max)},

    {ROW(max_retries, "CACHEKIT_MAX_RETRIES", "max_retries", "reliability",
         "How often an operation of the store that failed with passing trouble is tried again, where that is harmless."),
     NUMBER(3, 0, 100), FIELD(max_retries), GUARD(max_retries)},
    {ROW(retry_delay_ms, "CACHEKIT_RETRY_DELAY_MS", "retry_delay_ms", "reliability",
         "The first pause before that is random up to this many milliseconds, each further one up to twice as long."),
     NUMBER(100, 1, 3600000), FIELD(retry_delay_ms), GUARD(retry_delay_ms)},
    {ROW(retry_on_timeout, "CACHEKIT_RETRY_ON_TIMEOUT", "retry_on_timeout", "reliability",
         "Whether it is tried again also after a time limit, when there is time left."),
     BOOLEAN(true), FIELD(retry_on_timeout), GUARD(retry_on_timeout)},

    {ROW(file_cache_dir, "CACHEKIT_FILE_CACHE_DIR", NULL, "files",
         "The directory, made when absent; in a URL it is the path."),
     .type = CKITI_SETTING_PATH, .page.type = "path", .page.default_text = "$TMPDIR/cachekit",
     .page.range = "1 to 4095 bytes", .unit = 1, FIELD(file_cache_dir), FILES(directory)},
    {ROW(file_max_size_mb, "CACHEKIT_FILE_MAX_SIZE_MB", "max_size_mb", "files",
         "Size of all entries; from 90 % of it on the least recently used are removed."),
     MEGABYTES(1024, 1, 1000000), FIELD(file_max_size_bytes), FILES(max_size_bytes)},
    {ROW(file_max_value_mb, "CACHEKIT_FILE_MAX_VALUE_MB", "max_value_mb", "files",
         "The largest value in a file; at most half of file_max_size_mb, the default is lowered to that."),
     MEGABYTES(100, 1, 500000), FIELD(file_max_value_bytes), FILES(max_value_bytes)},
    {ROW(file_max_entry_count, "CACHEKIT_FILE_MAX_ENTRY_COUNT", "max_entry_count", "files",
         "Most entries; from 90 % of it on the least recently used are removed."),
     NUMBER(10000, 100, 1000000), FIELD(file_max_entry_count), FILES(max_entry_count)},
    {ROW(file_lock_timeout_seconds, "CACHEKIT_FILE_LOCK_TIMEOUT_SECONDS", "lock_timeout_seconds", "files",
         "The longest wait for a lock on a file."),
     SECONDS(5, 0.5, 30), FIELD(file_lock_timeout_ms), FILES(lock_timeout_ms)},
    {ROW(file_permissions, "CACHEKIT_FILE_PERMISSIONS", "permissions", "files",
         "Permissions of the files: 0o600, 0600 and 600 mean the same."),
     MODE(0600, 0600), FIELD(file_permissions), FILES(permissions)},
    {ROW(file_dir_permissions, "CACHEKIT_FILE_DIR_PERMISSIONS", "dir_permissions", "files",
         "Permissions of a directory that is made."),
     MODE(0700, 0700), FIELD(file_dir_permissions), FILES(dir_permissions)},
    {ROW(file_sync, "CACHEKIT_FILE_SYNC", "sync", "files",
         "What a write waits for: nothing, the file's data on the disk, or its name in the directory too."),
     CHOICE(sync_words, "data", CKIT_FILE_SYNC_DATA, "none, data, full"), FIELD(file_sync), FILES(sync)},

    {ROW(connection_pool_size, "CACHEKIT_CONNECTION_POOL_SIZE", "connection_pool_size", "redis",
         "Most connections at a time; callers share them, so few are enough."),
     NUMBER(10, 1, 10000), FIELD(connection_pool_size), REDIS(connection_pool_size)},
    {ROW(socket_timeout, "CACHEKIT_SOCKET_TIMEOUT", "socket_timeout", "redis",
         "The longest silence of the server."),
     SECONDS(1, 0.001, 3600), FIELD(socket_timeout_ms), REDIS(socket_timeout_ms)},
    {ROW(socket_connect_timeout, "CACHEKIT_SOCKET_CONNECT_TIMEOUT", "socket_connect_timeout", "redis",
         "The longest wait for a connection, login included."),
     SECONDS(1, 0.001, 3600), FIELD(socket_connect_timeout_ms), REDIS(socket_connect_timeout_ms)},
    {ROW(socket_keepalive, "CACHEKIT_SOCKET_KEEPALIVE", "socket_keepalive", "redis",
         "Whether the system watches idle connections: after 60 s, every 15 s, 4 times."),
     BOOLEAN(true), FIELD(socket_keepalive), REDIS(socket_keepalive)},

    {ROW(log_level, "LOG_LEVEL", "log_level", "log",
         "The least important lines that are written; the words of Python and syslog are understood too."),
     CHOICE(log_words, "warning", CKIT_LOG_WARNING, "debug, info, warning, error, off"), FIELD(log_level),
     .everybodys = true},
};
/* clang-format on */

#define ROW_COUNT (sizeof ckiti_setting_rows / sizeof ckiti_setting_rows[0])
_Static_assert(ROW_COUNT <= CKIT_SETTINGS_MAX, "ckit_settings.sources is too small");

size_t ckit_settings_count(void) { return ROW_COUNT; }

const ckit_setting *ckit_settings_at(size_t index) {
    return index < ROW_COUNT ? &ckiti_setting_rows[index].page : NULL;
}

size_t ckiti_setting_named(const char *name) {
    size_t i = 0;
    while (i < ROW_COUNT && strcmp(ckiti_setting_rows[i].page.name, name) != 0) {
        i++;
    }
    return i;
}
