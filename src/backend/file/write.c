/* Writing: a temporary file, checked and synced, then one rename. Readers see the old entry or the new one. */
#include "store.h"

#include "index.h"
#include "stats.h"
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

static ckit_status check_ttl(uint64_t ttl_ms, ckit_error *err) {
    if (ttl_ms == CKIT_TTL_NO_EXPIRY || (ttl_ms >= 1 && ttl_ms <= CKIT_TTL_MAX_MS)) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_MISUSE, CKITI_FILE_WHERE, "a lifetime of %" PRIu64 " ms, range 1..%" PRIu64, ttl_ms,
                     CKIT_TTL_MAX_MS);
}

static ckit_status check_value(const ckiti_file_store *store, ckit_slice value, ckit_error *err) {
    if (value.len <= store->options.max_value_bytes) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_TOO_LARGE, CKITI_FILE_WHERE, "value of %zu bytes, limit %" PRIu64, value.len,
                     store->options.max_value_bytes);
}

/* One attempt at the temporary file. The parts are made anew: writing uses them up. */
static ckit_status write_temp(ckiti_file_store *store, ckit_slice value, uint64_t expiry_s, ckiti_file_write *write,
                              ckit_error *err) {
    uint8_t header[CKITI_FILE_HEADER_BYTES];
    ckiti_file_header_write(header, expiry_s);
    struct iovec parts[2] = {{header, sizeof header}, {(void *)(uintptr_t)value.ptr, value.len}};
    bool         sync = store->options.sync != CKIT_FILE_SYNC_NONE;
    return ckiti_file_temp_write(store, write->name.text, parts, 2, sync, &write->temp, err);
}

/* Once more after what can be put right: a directory that was deleted is made again, a full disk is relieved. */
static ckit_status write_temp_stubbornly(ckiti_file_store *store, ckit_slice value, uint64_t expiry_s,
                                         uint64_t deadline_ms, ckiti_file_write *write, ckit_error *err) {
    ckit_error  first = CKIT_ERROR_INIT;
    ckit_status st = write_temp(store, value, expiry_s, write, &first);
    if (st == CKIT_E_NO_SPACE && ckiti_file_usage_relieve(store, deadline_ms)) {
        return write_temp(store, value, expiry_s, write, err);
    }
    if (st == CKIT_E_IO && first.sys_errno == ENOENT) {
        st = ckiti_file_dir_reopen(store, err);
        return st == CKIT_OK ? write_temp(store, value, expiry_s, write, err) : st;
    }
    if (st != CKIT_OK && err != NULL) {
        *err = first;
    }
    return st;
}

ckit_status ckiti_file_write_prepare(ckiti_file_store *store, ckit_slice key, ckit_slice value,
                                     const ckit_entry_info *info, uint64_t deadline_ms, ckiti_file_write *out,
                                     ckit_error *err) {
    ckit_status st = check_value(store, value, err);
    if (st == CKIT_OK) {
        st = check_ttl(info->ttl_ms, err);
    }
    if (st == CKIT_OK) {
        st = ckiti_file_begin(store, key, deadline_ms, &out->name, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    struct stat old;
    out->new_size = CKITI_FILE_HEADER_BYTES + (uint64_t)value.len;
    /* What is not ours was never counted. */
    out->replaces = store->io->stat_name(store->io->self, store->dir_fd, out->name.text, &old) == 0 &&
                    ckiti_file_is_ours(store, &old);
    out->old_size = out->replaces ? (uint64_t)old.st_size : 0;

    int64_t more = (int64_t)out->new_size - (int64_t)out->old_size;
    st = ckiti_file_usage_make_room(store, more, out->replaces ? 0 : 1, deadline_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    uint64_t expiry_s = ckiti_file_expiry_stamp(ckiti_wall_ms(store->clock), info->ttl_ms);
    st = write_temp_stubbornly(store, value, expiry_s, deadline_ms, out, err);
    if (st == CKIT_OK) {
        /* Before the entry can be seen, so that a visible entry is never without its record. */
        ckiti_file_index_note(store, &out->name, key, info, out->replaces, deadline_ms);
    }
    return st;
}

void ckiti_file_write_abandon(ckiti_file_store *store, const ckiti_file_write *write) {
    store->io->unlink(store->io->self, store->dir_fd, write->temp.name);
}

/* The new name itself is on the disk only when the directory is. */
ckit_status ckiti_file_sync_directory(const ckiti_file_store *store, ckit_error *err) {
    if (store->options.sync != CKIT_FILE_SYNC_FULL) {
        return CKIT_OK;
    }
    return ckiti_file_sync(store->io, store->dir_fd, false) == 0 ? CKIT_OK
                                                                 : ckiti_file_fail(err, errno, "syncing the directory");
}

ckit_status ckiti_file_write_publish(ckiti_file_store *store, const ckiti_file_write *write, ckit_error *err) {
    if (store->io->rename(store->io->self, store->dir_fd, write->temp.name, write->name.text, true) != 0) {
        int failed = errno;
        ckiti_file_write_abandon(store, write);
        return ckiti_file_fail(err, failed, "putting an entry in place");
    }
    ckiti_file_usage_add(store, (int64_t)write->new_size - (int64_t)write->old_size, write->replaces ? 0 : 1);
    ckiti_file_count(store, CKITI_FILE_WRITES, 1);
    ckiti_file_count(store, CKITI_FILE_BYTES_WRITTEN, write->new_size - CKITI_FILE_HEADER_BYTES);
    return ckiti_file_sync_directory(store, err);
}

ckit_status ckiti_file_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                           uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_store *store = self;
    ckiti_file_write  write;
    ckit_status       st = ckiti_file_write_prepare(store, key, value, info, deadline_ms, &write, err);
    if (st == CKIT_OK) {
        st = ckiti_file_write_publish(store, &write, err);
    }
    ckiti_file_count_failure(store, st);
    ckiti_file_stats_tick(store);
    return st;
}

static ckit_status remove_named(ckiti_file_store *store, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_name name;
    struct stat     st;
    ckit_status     status = ckiti_file_begin(store, key, deadline_ms, &name, err);
    if (status != CKIT_OK) {
        return status;
    }
    if (store->io->stat_name(store->io->self, store->dir_fd, name.text, &st) != 0) {
        return errno == ENOENT ? CKIT_MISS : ckiti_file_fail(err, errno, "looking for an entry");
    }
    if (!ckiti_file_is_ours(store, &st)) {
        return CKIT_MISS;
    }
    if (store->io->unlink(store->io->self, store->dir_fd, name.text) != 0) {
        return errno == ENOENT ? CKIT_MISS : ckiti_file_fail(err, errno, "removing an entry");
    }
    ckiti_file_usage_add(store, -(int64_t)st.st_size, -1);
    ckiti_file_count(store, CKITI_FILE_REMOVES, 1);
    return CKIT_OK;
}

ckit_status ckiti_file_remove(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_store *store = self;
    ckit_status       st = remove_named(store, key, deadline_ms, err);
    ckiti_file_count_failure(store, st);
    ckiti_file_stats_tick(store);
    return st;
}

/* With the entry locked: is it still the one under the name, and alive? Then its stamp is overwritten in place.
 *
 * In place, and not through a new file, because a new file would have to carry the value along and could put an old
 * value over one that is written meanwhile. The eight bytes are one positioned write inside one sector: they go to the
 * file that was opened, which is either still the entry or already replaced and forgotten. */
static ckit_status touch_locked(ckiti_file_store *store, const char *name, const ckiti_file_opened *entry,
                                uint64_t ttl_ms, ckit_error *err) {
    const ckiti_file_io *io = store->io;
    struct stat          named;
    if (io->stat_name(io->self, store->dir_fd, name, &named) != 0 || named.st_ino != entry->st.st_ino) {
        return CKIT_PENDING;
    }
    uint64_t life_ms;
    switch (ckiti_file_entry_peek(store, entry->fd, &life_ms)) {
    case CKITI_PEEK_LIVE: break;
    case CKITI_PEEK_FAILED: return ckiti_file_fail(err, errno, "reading an entry");
    case CKITI_PEEK_EXPIRED:
    case CKITI_PEEK_CORRUPT:
    case CKITI_PEEK_NEWER: return CKIT_MISS;
    }
    uint8_t header[CKITI_FILE_HEADER_BYTES];
    ckiti_file_header_write(header, ckiti_file_expiry_stamp(ckiti_wall_ms(store->clock), ttl_ms));
    ssize_t put = io->write_at(io->self, entry->fd, header + CKITI_FILE_EXPIRY_OFFSET, CKITI_FILE_EXPIRY_BYTES,
                               CKITI_FILE_EXPIRY_OFFSET);
    if (put != CKITI_FILE_EXPIRY_BYTES) {
        return ckiti_file_fail(err, put < 0 ? errno : EIO, "writing a lifetime");
    }
    if (store->options.sync != CKIT_FILE_SYNC_NONE && ckiti_file_sync(io, entry->fd, true) != 0) {
        return ckiti_file_fail(err, errno, "syncing a lifetime");
    }
    return CKIT_OK;
}

ckit_status ckiti_file_touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    ckiti_file_store *store = self;
    ckiti_file_name   name;
    ckit_status       st = check_ttl(ttl_ms, err);
    if (st == CKIT_OK) {
        st = ckiti_file_begin(store, key, deadline_ms, &name, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    /* PENDING: replaced or removed between open and lock; the entry that is there now is meant. */
    for (int turn = 0; turn < 100; turn++) {
        ckiti_file_opened entry;
        st = ckiti_file_entry_open(store, name.text, O_RDWR, &entry, err);
        if (st != CKIT_OK) {
            return st;
        }
        st = ckiti_file_lock_fd(store, entry.fd, deadline_ms, err);
        if (st == CKIT_OK) {
            st = touch_locked(store, name.text, &entry, ttl_ms, err);
        }
        ckiti_file_unlock_close(store, entry.fd);
        if (st != CKIT_PENDING) {
            return st;
        }
    }
    return ckit_fail(err, CKIT_E_LOCK_TIMEOUT, CKITI_FILE_WHERE, "an entry is replaced all the time");
}
