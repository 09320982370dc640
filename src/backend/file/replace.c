/* One value for another, and only for that one.
 *
 * Writers take no lock: they rename. So the new file changes places with the entry, which is one step, and what came
 * out is looked at. It is nearly always the file that was compared. Else somebody has written in between, and his file
 * goes back to its place, until what comes out is what was put in: then nobody's newer value is away. */
#include "store.h"

#include "base/alloc.h"
#include "stats.h"
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define CHUNK 65536u

static bool is_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* CKIT_OK when the opened entry holds these bytes, else CKIT_MISS. */
static ckit_status compare(const ckiti_file_store *store, const ckiti_file_opened *entry, ckit_slice expected,
                           ckit_error *err) {
    if ((uint64_t)entry->st.st_size != CKITI_FILE_HEADER_BYTES + (uint64_t)expected.len) {
        return CKIT_MISS;
    }
    uint8_t *chunk = ckiti_alloc(store->alloc, CHUNK);
    if (chunk == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory for comparing a value");
    }
    ckit_status st = CKIT_OK;
    for (size_t at = 0; st == CKIT_OK && at < expected.len;) {
        size_t       len = expected.len - at < CHUNK ? expected.len - at : CHUNK;
        struct iovec part = {chunk, len};
        ssize_t      got = ckiti_file_read_all(store->io, entry->fd, &part, 1, (off_t)(CKITI_FILE_HEADER_BYTES + at));
        if (got < 0) {
            st = ckiti_file_fail(err, errno, "reading an entry");
        } else if ((size_t)got != len || memcmp(chunk, expected.ptr + at, len) != 0) {
            st = CKIT_MISS;
        }
        at += len;
    }
    ckiti_free(store->alloc, chunk, CHUNK);
    return st;
}

/* A new file with the stamp that the entry has: its lifetime goes on. */
static ckit_status write_beside(ckiti_file_store *store, const char *name, int entry, ckit_slice value,
                                ckiti_file_temp *temp, ckit_error *err) {
    uint8_t      header[CKITI_FILE_HEADER_BYTES];
    struct iovec stamp = {header, sizeof header};
    struct iovec parts[2] = {{header, sizeof header}, {(void *)(uintptr_t)value.ptr, value.len}};
    ssize_t      got = ckiti_file_read_all(store->io, entry, &stamp, 1, 0);
    if (got != (ssize_t)sizeof header) {
        return got < 0 ? ckiti_file_fail(err, errno, "reading an entry") : CKIT_MISS;
    }
    return ckiti_file_temp_write(store, name, parts, 2, store->options.sync != CKIT_FILE_SYNC_NONE, temp, err);
}

/* `placed` took the place of somebody's file, which has the temporary name now: that goes back. Settled when what comes
 * out is what was put in before. A name that is gone was removed by somebody, after that write. */
static void put_back(ckiti_file_store *store, const char *name, const char *temp, struct stat placed) {
    const ckiti_file_io *io = store->io;
    struct stat          back, out;
    bool                 settled = false;
    while (!settled && io->stat_name(io->self, store->dir_fd, temp, &back) == 0 &&
           io->exchange(io->self, store->dir_fd, temp, name) == 0 &&
           io->stat_name(io->self, store->dir_fd, temp, &out) == 0) {
        settled = is_file(&out, &placed);
        placed = back;
    }
}

static ckit_status trade(ckiti_file_store *store, const char *name, const ckiti_file_opened *entry,
                         const ckiti_file_temp *temp, ckit_error *err) {
    const ckiti_file_io *io = store->io;
    struct stat          ours, out;
    ckit_status          st = CKIT_MISS;
    if (io->stat_name(io->self, store->dir_fd, temp->name, &ours) != 0) {
        st = ckiti_file_fail(err, errno, "looking at a new entry");
    } else if (io->exchange(io->self, store->dir_fd, temp->name, name) != 0) {
        st = errno == ENOENT ? CKIT_MISS
             : errno == EINVAL || errno == ENOSYS
                 ? ckit_fail(err, CKIT_E_UNSUPPORTED, CKITI_FILE_WHERE, "this file system cannot exchange two files")
                 : ckiti_file_fail(err, errno, "putting an entry in place");
    } else if (io->stat_name(io->self, store->dir_fd, temp->name, &out) == 0 && is_file(&out, &entry->st)) {
        ckiti_file_usage_add(store, (int64_t)ours.st_size - (int64_t)out.st_size, 0);
        st = ckiti_file_sync_directory(store, err);
    } else {
        put_back(store, name, temp->name, ours);
    }
    (void)io->unlink(io->self, store->dir_fd, temp->name);
    return st;
}

/* With the entry locked, so that nobody gives it another lifetime (`touch`) meanwhile. */
static ckit_status replace_locked(ckiti_file_store *store, const char *name, const ckiti_file_opened *entry,
                                  ckit_slice expected, ckit_slice value, ckit_error *err) {
    uint64_t        life_ms;
    ckiti_file_temp temp;
    if (ckiti_file_entry_peek(store, entry->fd, &life_ms) != CKITI_PEEK_LIVE) {
        return CKIT_MISS;
    }
    ckit_status st = compare(store, entry, expected, err);
    if (st == CKIT_OK) {
        st = write_beside(store, name, entry->fd, value, &temp, err);
    }
    return st == CKIT_OK ? trade(store, name, entry, &temp, err) : st;
}

static ckit_status replace(ckiti_file_store *store, ckit_slice key, ckit_slice expected, ckit_slice value,
                           uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_name   name;
    ckiti_file_opened entry;
    if (value.len > store->options.max_value_bytes) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, CKITI_FILE_WHERE, "value of %zu bytes, limit %" PRIu64, value.len,
                         store->options.max_value_bytes);
    }
    ckit_status st = ckiti_file_begin(store, key, deadline_ms, &name, err);
    if (st == CKIT_OK) {
        st = ckiti_file_usage_make_room(store, (int64_t)value.len - (int64_t)expected.len, 0, deadline_ms, err);
    }
    if (st == CKIT_OK) {
        st = ckiti_file_entry_open(store, name.text, O_RDONLY, &entry, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    st = ckiti_file_lock_fd(store, entry.fd, deadline_ms, err);
    if (st == CKIT_OK) {
        st = replace_locked(store, name.text, &entry, expected, value, err);
    }
    ckiti_file_unlock_close(store, entry.fd);
    return st;
}

ckit_status ckiti_file_replace(void *self, ckit_slice key, ckit_slice expected, ckit_slice value, uint64_t deadline_ms,
                               ckit_error *err) {
    ckiti_file_store *store = self;
    ckit_status       st = replace(store, key, expected, value, deadline_ms, err);
    if (st == CKIT_OK) {
        ckiti_file_count(store, CKITI_FILE_WRITES, 1);
        ckiti_file_count(store, CKITI_FILE_BYTES_WRITTEN, value.len);
    }
    ckiti_file_count_failure(store, st);
    ckiti_file_stats_tick(store);
    return st;
}
