/* store.h - the file store as its own files see it.
 *
 * Nothing here is guarded by a mutex: the directory descriptor never changes its number, counters are atomics, and what
 * several processes must agree on is guarded by flock on a descriptor opened for that one operation, so threads exclude
 * each other like processes do. A child that is forked meanwhile gets such a descriptor too and never closes it, so
 * every lock is given up explicitly. */
#ifndef CKITI_FILE_STORE_H
#define CKITI_FILE_STORE_H

#include <cachekit/file.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/fork.h"
#include "entry.h"
#include "io.h"

#define CKITI_FILE_MAX_KEY_BYTES 65536u
#define CKITI_FILE_WHERE "file"

/* What this process knows about the fill of the directory; usage.h. */
typedef struct ckiti_file_usage {
    _Atomic int64_t  known_bytes; /* as last read from the shared record */
    _Atomic int64_t  known_count;
    _Atomic int64_t  pending_bytes; /* changes of this process not yet added to the record */
    _Atomic int64_t  pending_count;
    _Atomic uint64_t read_at_ms;        /* when `known` was read; 0 = never */
    _Atomic uint64_t retry_evict_at_ms; /* after an eviction that did not help: not before */
} ckiti_file_usage;

/* What is counted. The numbers are places in the shared record: they never change, new ones come behind. */
typedef enum ckiti_file_counter {
    CKITI_FILE_HITS,
    CKITI_FILE_MISSES,
    CKITI_FILE_BYTES_READ,
    CKITI_FILE_WRITES,
    CKITI_FILE_BYTES_WRITTEN,
    CKITI_FILE_REMOVES,
    CKITI_FILE_EXPIRED,
    CKITI_FILE_EVICTED,
    CKITI_FILE_CORRUPT,
    CKITI_FILE_TOO_LARGE,
    CKITI_FILE_NO_SPACE,
    CKITI_FILE_FAILURES,
    CKITI_FILE_LOCKS_TAKEN,
    CKITI_FILE_LOCKS_BUSY,
    CKITI_FILE_LOCKS_LOST,
    CKITI_FILE_COUNTERS
} ckiti_file_counter;

/* What this process has counted and not yet added to the shared record; stats.h. */
typedef struct ckiti_file_counts {
    _Atomic uint64_t due_ms; /* when the next batch is added */
    _Atomic uint64_t pending[CKITI_FILE_COUNTERS];
} ckiti_file_counts;

/* Which entries this process has already put into the index; index.h. */
typedef struct ckiti_file_seen {
    _Atomic(_Atomic uint64_t *) slots;         /* made at the first need; NULL until then or without memory */
    size_t                      count;         /* of slots, a power of two */
    _Atomic uint64_t            index_salt;    /* of the index they are about */
    _Atomic uint64_t            checked_at_ms; /* when that was last compared, plus 1; 0 = never */
} ckiti_file_seen;

typedef struct ckiti_file_store {
    int                  dir_fd;
    char                *directory;
    ckit_file_options    options; /* checked, defaults filled in; `directory` points at the copy above */
    const ckit_alloc    *alloc;
    const ckit_clock    *clock;
    ckit_log             log; /* a copy: the opener's may be gone while the store works */
    const ckiti_file_io *io;
    uid_t                owner;
    _Atomic uint64_t     sequence; /* of temporary names */
    ckiti_file_usage     usage;
    ckiti_file_seen      seen;
    ckiti_fork_hooks     fork_hooks;
    uint8_t              apart[64]; /* threads that count do not take the lines above from threads that read them */
    ckiti_file_counts    stats;
} ckiti_file_store;

/* ckit_file_open over other system calls. `io` must outlive the backend. */
ckit_status ckiti_file_open_with(const ckit_file_options *options, const ckit_backend_env *env, const ckiti_file_io *io,
                                 ckit_backend **out, ckit_error *err);

/* ---- errors --------------------------------------------------------------------------------------------- */

/* The status for what the system said about `what`; always fills `err`. */
ckit_status ckiti_file_fail(ckit_error *err, int sys_errno, const char *what);
/* The same, with the path it was about behind it. */
ckit_status ckiti_file_fail_at(ckit_error *err, int sys_errno, const char *what, const char *path);
/* E_TIMEOUT once the deadline has passed. */
ckit_status ckiti_file_check_deadline(const ckiti_file_store *store, uint64_t deadline_ms, ckit_error *err);
/* What every operation begins with: refuses keys outside 1 byte .. 64 KiB and deadlines that have passed, and fills in
 * the entry's name. */
ckit_status ckiti_file_begin(const ckiti_file_store *store, ckit_slice key, uint64_t deadline_ms, ckiti_file_name *name,
                             ckit_error *err);

/* ---- directory.c ---------------------------------------------------------------------------------------- */

/* Makes the directory when absent and opens it: ours, no symbolic link, not writable by others. */
ckit_status ckiti_file_dir_open(ckiti_file_store *store, int *fd, ckit_error *err);
/* The directory was deleted under us: makes it again behind the same descriptor. */
ckit_status ckiti_file_dir_reopen(ckiti_file_store *store, ckit_error *err);

/* Calls `each` for every name but . and .. until it answers false. CKIT_OK, also when it was ended so. */
typedef bool (*ckiti_file_name_fn)(void *context, const char *name);
ckit_status ckiti_file_dir_walk(const ckiti_file_store *store, ckiti_file_name_fn each, void *context, ckit_error *err);

/* A regular file of ours with no second link: the only thing that is ever read or removed as an entry. */
bool ckiti_file_is_ours(const ckiti_file_store *store, const struct stat *st);
/* Removes `name` if it is a leftover: a temporary file of this library older than 60 s, or a lock file whose lease has
 * long ended. Anything else is left alone. */
void ckiti_file_sweep_name(ckiti_file_store *store, const char *name);
/* ckiti_file_sweep_name on the whole directory; on a large one at most once a minute. */
void ckiti_file_sweep(ckiti_file_store *store);

/* ---- temporary files (temp.c) ----------------------------------------------------------------------------- */

#define CKITI_FILE_TEMP_CHARS 120u
typedef struct ckiti_file_temp {
    char name[CKITI_FILE_TEMP_CHARS];
} ckiti_file_temp;

/* `{base}.tmp.{pid}.{nanoseconds}.{sequence}`. */
void ckiti_file_temp_name(ckiti_file_store *store, const char *base, ckiti_file_temp *out);
/* Writes the parts into a fresh temporary file, checks the size, syncs it when `sync`, closes it. On failure nothing
 * stays behind. */
ckit_status ckiti_file_temp_write(ckiti_file_store *store, const char *base, struct iovec *parts, int count, bool sync,
                                  ckiti_file_temp *out, ckit_error *err);

/* ---- locks between processes (flock.c) -------------------------------------------------------------------- */

/* Locks the open file for us alone, waiting at most lock_timeout_ms and no longer than the deadline. E_LOCK_TIMEOUT. */
ckit_status ckiti_file_lock_fd(const ckiti_file_store *store, int fd, uint64_t deadline_ms, ckit_error *err);
void        ckiti_file_unlock_fd(const ckiti_file_store *store, int fd);
void        ckiti_file_unlock_close(const ckiti_file_store *store, int fd);
/* Opens the bookkeeping file `name`, locks it, and makes sure that the name still means the locked file. With
 * `create` false: CKIT_MISS when there is none. `wait` false: CKIT_E_LOCK_TIMEOUT at once when somebody has it.
 * End it with ckiti_file_unlock_close. */
typedef struct ckiti_file_lock_mode {
    bool     create;
    bool     wait;
    uint64_t deadline_ms;
} ckiti_file_lock_mode;
ckit_status ckiti_file_lock_name(ckiti_file_store *store, const char *name, const ckiti_file_lock_mode *mode, int *fd,
                                 struct stat *st, ckit_error *err);

/* ---- entries (read.c, write.c) ------------------------------------------------------------------------------ */

ckit_status ckiti_file_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                           ckit_error *err);
ckit_status ckiti_file_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_file_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err);
ckit_status ckiti_file_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                           uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_file_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err);
ckit_status ckiti_file_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err);

ckit_status ckiti_file_replace(void *self, ckit_slice key, ckit_slice expected, ckit_slice value, uint64_t deadline_ms,
                               ckit_error *err);

/* An entry opened and found to be ours. */
typedef struct ckiti_file_opened {
    int         fd;
    struct stat st;
} ckiti_file_opened;
/* CKIT_MISS for anything that is not a regular file of ours. `flags`: O_RDONLY or O_RDWR. */
ckit_status ckiti_file_entry_open(const ckiti_file_store *store, const char *name, int flags, ckiti_file_opened *out,
                                  ckit_error *err);
/* What the header of an opened entry says now. */
typedef enum ckiti_file_peeked {
    CKITI_PEEK_LIVE,
    CKITI_PEEK_EXPIRED,
    CKITI_PEEK_CORRUPT,
    CKITI_PEEK_NEWER,
    CKITI_PEEK_FAILED
} ckiti_file_peeked;
ckiti_file_peeked ckiti_file_entry_peek(const ckiti_file_store *store, int fd, uint64_t *life_ms);
/* Removes an expired or corrupt entry, unless a touch or a new write came meanwhile. True when it was removed. */
bool ckiti_file_entry_discard(ckiti_file_store *store, const char *name, const ckiti_file_opened *entry);
/* Removes `name` only while it is the file that was seen. A fresh write that gets in between is put back. */
bool ckiti_file_remove_if_same(ckiti_file_store *store, const char *name, const struct stat *seen);

/* `set` in its two halves, for the fenced write: everything slow, then the rename. */
typedef struct ckiti_file_write {
    ckiti_file_name name;
    ckiti_file_temp temp;
    uint64_t        new_size; /* with the header */
    uint64_t        old_size;
    bool            replaces; /* an entry was there */
} ckiti_file_write;
ckit_status ckiti_file_write_prepare(ckiti_file_store *store, ckit_slice key, ckit_slice value,
                                     const ckit_entry_info *info, uint64_t deadline_ms, ckiti_file_write *out,
                                     ckit_error *err);
ckit_status ckiti_file_write_publish(ckiti_file_store *store, const ckiti_file_write *write, ckit_error *err);
ckit_status ckiti_file_sync_directory(const ckiti_file_store *store, ckit_error *err); /* where that is asked for */
void        ckiti_file_write_abandon(ckiti_file_store *store, const ckiti_file_write *write);

#endif
