/* cachekit/file.h - the file store: one file per entry in one directory, shared by processes and languages.
 *
 * Nothing to install or start. The layout on disk is the one of the released CacheKit SDKs, byte for byte, so a
 * directory can be shared with them:
 *
 *   name     32 hex digits: BLAKE2b with a 16-byte digest over the key
 *   content  "CK", version 1, 0, flags u16 = 0, expiry u64 (Unix seconds, big-endian, 0 = never), then the value
 *
 * The format has whole seconds, so a lifetime is rounded up: an entry lives less than a second longer than asked, never
 * shorter.
 *
 * Every write goes to a temporary file in the same directory, is synced and renamed: a crash leaves the old value or
 * the new one, never a mixture. Names beginning with a dot are this library's own bookkeeping (an index that lists
 * keys, namespaces and functions, sums, counters; they can be deleted at any time and are made again). Files that are
 * not ours are never counted and never removed.
 *
 * A lock is a small file that says who holds it and until when. One whose holder is certainly dead (same boot, same PID
 * namespace, and no such process any more) is free at once; where that cannot be told, as between containers or hosts
 * and without /proc, its lease runs out first. The holder is the process that took it: a child forked later is not.
 *
 * The operation `stats` (ext/backend.h) tells what this library has counted in the directory, in all processes
 * together:
 *
 *   hits, misses       calls of get that found a live entry, or none
 *   bytes_read         of their values
 *   writes             entries stored
 *   bytes_written      of their values
 *   removes            entries removed by key, or with their namespace or function
 *   expired            entries removed because their life was over
 *   evicted            live entries removed to make room
 *   corrupt            entries removed because they were damaged
 *   too_large          calls refused for the size of value or key
 *   no_space           calls refused because there was no room, and none could be made
 *   failures           other calls to read, write, remove or lock that failed
 *   locks_taken        locks that somebody got
 *   locks_busy         attempts at a lock that somebody else held
 *   locks_lost         leases that had ended before their holder renewed, used or released them
 *   entries, bytes     levels: what there is now; limit_entries, limit_bytes: what there may be
 *
 * A process adds its counts about once a second while it uses the store, and at close. What it had not added when it is
 * killed is lost; in a directory that cannot be written nothing is counted.
 *
 * Most programs open it by URL instead: ckit_cache_open("file:///var/cache/app?max_size_mb=512", ...). */
#ifndef CACHEKIT_FILE_H
#define CACHEKIT_FILE_H

#include <cachekit/error.h>
#include <cachekit/ext/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a write waits for the disk. */
typedef enum ckit_file_sync {
    CKIT_FILE_SYNC_DEFAULT = 0, /* DATA */
    CKIT_FILE_SYNC_NONE = 1,    /* rename only: safe against a killed process, not against a power cut (a torn entry is
                                   then found by its checksum) */
    CKIT_FILE_SYNC_DATA = 2,    /* the file is synced before it is renamed */
    CKIT_FILE_SYNC_FULL = 3     /* and the directory after it: the new value survives a power cut */
} ckit_file_sync;

/* Zero means default everywhere. */
typedef struct ckit_file_options {
    size_t         struct_size;
    const char    *directory;       /* required; made with its parents when absent. One that exists must be ours: owned
                                       by the effective user, not writable by group or others. It may hold other files:
                                       they are left alone. "~" is not expanded */
    uint64_t       max_size_bytes;  /* all entries with their headers; default 1024 MiB; 1 MiB .. 1,000,000 MiB */
    uint64_t       max_value_bytes; /* default 100 MiB, lowered to half of max_size_bytes; at most that half */
    uint32_t       max_entry_count; /* default 10,000; 100 .. 1,000,000 */
    uint32_t       lock_timeout_ms; /* longest wait for a file lock; default 5000; 500 .. 30,000 */
    uint32_t       permissions;     /* of entries; default 0600; no group or world write */
    uint32_t       dir_permissions; /* of a directory it makes; default 0700; no group or world write */
    ckit_file_sync sync;
} ckit_file_options;
#define CKIT_FILE_OPTIONS_INIT CKIT_SIZED_INIT(ckit_file_options)
CKIT_API void ckit_file_options_init(ckit_file_options *options, size_t struct_size);

/* Opens (and makes) the directory and removes temporary files older than 60 s (in a directory of thousands at most once
 * a minute, so that opening stays quick).
 *
 * CKIT_E_UNSAFE_STORE  the directory belongs to somebody else, is a symbolic link or can be written by others
 * CKIT_E_PERMISSION, CKIT_E_READ_ONLY, CKIT_E_NO_SPACE, CKIT_E_IO  as the system says, with the path
 * CKIT_E_CONFIGURATION  an option out of its range, naming it, its value and the range
 * CKIT_E_NO_MEMORY
 * `env` may be NULL. Texts are copied. */
CKIT_API ckit_status ckit_file_open(const ckit_file_options *options, const ckit_backend_env *env, ckit_backend **out,
                                    ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
