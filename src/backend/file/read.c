/* Reading: one open, one look, one read straight into the caller's buffer. No lock: an entry is replaced by rename, so
 * what was opened stays whole. */
#include "stats.h"
#include "usage.h"

#include <cachekit/buf.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#define READ_STAMP_STEP_S 60
#define SMALL_VALUE_BYTES 8192u

/* An entry that cannot be opened: missing, somebody else's, or real trouble? */
static ckit_status explain_open(const ckiti_file_store *store, const char *name, int sys_errno, ckit_error *err) {
    switch (sys_errno) {
    case ENOENT:
    case ELOOP: /* a symbolic link */
    case EISDIR:
    case ENXIO: /* a socket or a pipe */
    case ENODEV: return CKIT_MISS;
    case EACCES:
    case EPERM: {
        struct stat st;
        if (store->io->stat_name(store->io->self, store->dir_fd, name, &st) != 0) {
            return errno == ENOENT ? CKIT_MISS : ckiti_file_fail(err, errno, "reaching the directory");
        }
        /* Ours and closed to us can change again, so it is not the permanent kind of refusal. */
        return ckiti_file_is_ours(store, &st)
                   ? ckit_fail_errno(err, CKIT_E_IO, sys_errno, CKITI_FILE_WHERE, "opening an entry")
                   : CKIT_MISS;
    }
    default: return ckiti_file_fail(err, sys_errno, "opening an entry");
    }
}

ckit_status ckiti_file_entry_open(const ckiti_file_store *store, const char *name, int flags, ckiti_file_opened *out,
                                  ckit_error *err) {
    const ckiti_file_io *io = store->io;
    /* O_NOATIME: the access stamp is ours to keep, and the kernel need not dirty the inode. O_NONBLOCK: a pipe planted
     * under the name must not hold us. */
    flags |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = io->open(io->self, store->dir_fd, name, flags | O_NOATIME, 0);
    if (fd < 0 && errno == EPERM) { /* not ours, or a file system that does not know whose it is: looked at below */
        fd = io->open(io->self, store->dir_fd, name, flags, 0);
    }
    if (fd < 0) {
        return explain_open(store, name, errno, err);
    }
    ckit_status status = CKIT_OK;
    if (io->stat_fd(io->self, fd, &out->st) != 0) {
        status = ckiti_file_fail(err, errno, "looking at an entry");
    } else if (!ckiti_file_is_ours(store, &out->st)) {
        status = CKIT_MISS;
    }
    if (status != CKIT_OK) {
        io->close(io->self, fd);
        return status;
    }
    out->fd = fd;
    return CKIT_OK;
}

/* Least recently read goes first when room is made, so reads leave a stamp: at most one a minute, because it costs a
 * write to the disk. */
static void stamp_read(const ckiti_file_store *store, const ckiti_file_opened *entry) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (llabs((long long)(now.tv_sec - entry->st.st_atim.tv_sec)) > READ_STAMP_STEP_S) {
        (void)store->io->stamp_read(store->io->self, entry->fd); /* a lost stamp costs at most an early eviction */
    }
}

/* The coarse clock is a tick (at most 10 ms) behind and costs a quarter: enough to judge a stamp of whole seconds. */
static int64_t wall_now_ms(const ckiti_file_store *store) {
    if (store->clock != NULL) {
        return ckiti_wall_ms(store->clock);
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads header and value in one call. A small value is read together with the header and moved down: cheaper than
 * having the system scatter it. The number of bytes, or -1 and errno. */
static ssize_t read_whole(const ckiti_file_store *store, int fd, uint8_t header[CKITI_FILE_HEADER_BYTES],
                          uint8_t *value, size_t value_len) {
    if (value_len <= SMALL_VALUE_BYTES) {
        struct iovec whole = {value, CKITI_FILE_HEADER_BYTES + value_len};
        ssize_t      got = ckiti_file_read_all(store->io, fd, &whole, 1, CKITI_FILE_ONWARD);
        if (got >= (ssize_t)CKITI_FILE_HEADER_BYTES) {
            memcpy(header, value, CKITI_FILE_HEADER_BYTES);
            memmove(value, value + CKITI_FILE_HEADER_BYTES, (size_t)got - CKITI_FILE_HEADER_BYTES);
        }
        return got;
    }
    struct iovec parts[2] = {{header, CKITI_FILE_HEADER_BYTES}, {value, value_len}};
    return ckiti_file_read_all(store->io, fd, parts, 2, CKITI_FILE_ONWARD);
}

/* `out` has room for header and value. CKIT_PENDING: the file may be discarded. */
static ckit_status read_entry(const ckiti_file_store *store, const ckiti_file_opened *entry, ckit_buf *out,
                              size_t value_len, uint64_t *life_ms, ckit_error *err) {
    uint8_t header[CKITI_FILE_HEADER_BYTES] = {0};
    ssize_t got = read_whole(store, entry->fd, header, out->ptr + out->len, value_len);
    if (got < 0) {
        return ckiti_file_fail(err, errno, "reading an entry");
    }
    uint64_t                expiry_s = 0;
    ckiti_file_header_state state = ckiti_file_header_parse(header, (size_t)got, &expiry_s);
    if (state == CKITI_HEADER_NEWER) {
        return CKIT_MISS;
    }
    if (state == CKITI_HEADER_CORRUPT || (size_t)got != sizeof header + value_len) {
        return CKIT_PENDING;
    }
    *life_ms = ckiti_file_life(expiry_s, wall_now_ms(store));
    return *life_ms == 0 ? CKIT_PENDING : CKIT_OK;
}

static ckit_status get_opened(ckiti_file_store *store, const char *name, const ckiti_file_opened *entry, ckit_buf *out,
                              uint64_t *life_ms, ckit_error *err) {
    uint64_t size = (uint64_t)entry->st.st_size;
    if (size < CKITI_FILE_HEADER_BYTES) {
        ckiti_file_entry_discard(store, name, entry);
        return CKIT_MISS;
    }
    uint64_t value_len = size - CKITI_FILE_HEADER_BYTES;
    if (value_len > store->options.max_value_bytes) {
        return CKIT_MISS; /* a process with a higher limit wrote it: nothing is allocated for it, and it stays */
    }
    if (ckit_buf_reserve_exact(out, (size_t)size) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_FILE_WHERE, "no memory for a value of %llu bytes",
                         (unsigned long long)value_len);
    }
    ckit_status st = read_entry(store, entry, out, (size_t)value_len, life_ms, err);
    if (st == CKIT_PENDING) {
        ckiti_file_entry_discard(store, name, entry);
        return CKIT_MISS;
    }
    if (st == CKIT_OK) {
        out->len += (size_t)value_len;
        stamp_read(store, entry);
    }
    return st;
}

static void count_read(ckiti_file_store *store, ckit_status st, uint64_t size) {
    if (st == CKIT_OK) {
        ckiti_file_count(store, CKITI_FILE_HITS, 1);
        ckiti_file_count(store, CKITI_FILE_BYTES_READ, size - CKITI_FILE_HEADER_BYTES);
    } else if (st == CKIT_MISS) {
        ckiti_file_count(store, CKITI_FILE_MISSES, 1);
    } else {
        ckiti_file_count_failure(store, st);
    }
    ckiti_file_stats_tick(store);
}

ckit_status ckiti_file_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                           ckit_error *err) {
    ckiti_file_store *store = self;
    ckiti_file_name   name;
    ckiti_file_opened entry = {.fd = -1};
    ckit_status       st = ckiti_file_begin(store, key, deadline_ms, &name, err);
    if (st == CKIT_OK) {
        st = ckiti_file_entry_open(store, name.text, O_RDONLY, &entry, err);
    }
    if (st == CKIT_OK) {
        st = get_opened(store, name.text, &entry, out, life_ms, err);
        store->io->close(store->io->self, entry.fd);
    }
    count_read(store, st, entry.fd >= 0 ? (uint64_t)entry.st.st_size : 0);
    return st;
}

ckiti_file_peeked ckiti_file_entry_peek(const ckiti_file_store *store, int fd, uint64_t *life_ms) {
    uint8_t      header[CKITI_FILE_HEADER_BYTES];
    struct iovec part = {header, sizeof header};
    ssize_t      got = ckiti_file_read_all(store->io, fd, &part, 1, 0);
    if (got < 0) {
        return CKITI_PEEK_FAILED;
    }
    uint64_t expiry_s = 0;
    switch (ckiti_file_header_parse(header, (size_t)got, &expiry_s)) {
    case CKITI_HEADER_CORRUPT: return CKITI_PEEK_CORRUPT;
    case CKITI_HEADER_NEWER: return CKITI_PEEK_NEWER;
    case CKITI_HEADER_OK: break;
    }
    *life_ms = ckiti_file_life(expiry_s, ckiti_wall_ms(store->clock));
    return *life_ms == 0 ? CKITI_PEEK_EXPIRED : CKITI_PEEK_LIVE;
}

ckit_status ckiti_file_ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    ckiti_file_store *store = self;
    ckiti_file_name   name;
    ckiti_file_opened entry = {.fd = -1};
    uint64_t          life = 0;
    ckit_status       st = ckiti_file_begin(store, key, deadline_ms, &name, err);
    if (st == CKIT_OK) {
        st = ckiti_file_entry_open(store, name.text, O_RDONLY, &entry, err);
    }
    if (st != CKIT_OK) {
        return st;
    }
    switch (ckiti_file_entry_peek(store, entry.fd, &life)) {
    case CKITI_PEEK_LIVE: *life_ms = life; break;
    case CKITI_PEEK_NEWER: st = CKIT_MISS; break;
    case CKITI_PEEK_FAILED: st = ckiti_file_fail(err, errno, "reading an entry"); break;
    case CKITI_PEEK_EXPIRED:
    case CKITI_PEEK_CORRUPT:
        ckiti_file_entry_discard(store, name.text, &entry);
        st = CKIT_MISS;
        break;
    }
    store->io->close(store->io->self, entry.fd);
    return st;
}

ckit_status ckiti_file_exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    uint64_t life_ms;
    return ckiti_file_ttl(self, key, deadline_ms, &life_ms, err);
}

bool ckiti_file_entry_discard(ckiti_file_store *store, const char *name, const ckiti_file_opened *entry) {
    /* A touch holds this lock while it decides and writes: whoever has it sees the final stamp. Busy means that the
     * entry is just being given a longer life. */
    if (store->io->lock(store->io->self, entry->fd, LOCK_EX | LOCK_NB) != 0) {
        return false;
    }
    uint64_t          life_ms;
    ckiti_file_peeked now = ckiti_file_entry_peek(store, entry->fd, &life_ms);
    bool              removed = now != CKITI_PEEK_LIVE && ckiti_file_remove_if_same(store, name, &entry->st);
    if (removed) {
        ckiti_file_count(store, now == CKITI_PEEK_EXPIRED ? CKITI_FILE_EXPIRED : CKITI_FILE_CORRUPT, 1);
    }
    ckiti_file_unlock_fd(store, entry->fd);
    return removed;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

bool ckiti_file_remove_if_same(ckiti_file_store *store, const char *name, const struct stat *seen) {
    const ckiti_file_io *io = store->io;
    struct stat          st;
    ckiti_file_temp      aside;
    if (io->stat_name(io->self, store->dir_fd, name, &st) != 0 || !same_file(&st, seen)) {
        return false;
    }
    /* A writer may still rename a fresh entry over the name before we unlink it, and writers of other programs take no
     * lock. So the name is first moved aside, which is atomic, and what was caught is looked at. */
    ckiti_file_temp_name(store, name, &aside);
    if (io->rename(io->self, store->dir_fd, name, aside.name, true) != 0) {
        return false;
    }
    bool same = io->stat_name(io->self, store->dir_fd, aside.name, &st) != 0 || same_file(&st, seen);
    if (!same && io->rename(io->self, store->dir_fd, aside.name, name, false) == 0) {
        return false; /* a fresh write, put back */
    }
    if (io->unlink(io->self, store->dir_fd, aside.name) == 0) {
        ckiti_file_usage_add(store, -(int64_t)st.st_size, -1);
    }
    return same;
}
