/* Locks between processes: flock with a bounded wait. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#define FIRST_NAP_MS 1u
#define LONGEST_NAP_MS 50u

static void nap(uint64_t ms) {
    struct timespec span = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&span, NULL);
}

static ckit_status try_lock(const ckiti_file_store *store, int fd, ckit_error *err) {
    while (store->io->lock(store->io->self, fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return CKIT_PENDING;
        }
        if (errno != EINTR) {
            return ckiti_file_fail(err, errno, "locking a file");
        }
    }
    return CKIT_OK;
}

ckit_status ckiti_file_lock_fd(const ckiti_file_store *store, int fd, uint64_t deadline_ms, ckit_error *err) {
    /* The time slept is counted too, so that the wait is bounded even if the instance's clock stands still. */
    uint64_t left = ckiti_time_left(ckiti_now_ms(store->clock), deadline_ms);
    uint64_t bound = left < store->options.lock_timeout_ms ? left : store->options.lock_timeout_ms;
    uint64_t slept = 0;
    uint64_t step = FIRST_NAP_MS;
    for (;;) {
        ckit_status st = try_lock(store, fd, err);
        if (st != CKIT_PENDING) {
            return st;
        }
        if (slept >= bound) {
            return ckit_fail(err, CKIT_E_LOCK_TIMEOUT, CKITI_FILE_WHERE, "a file stayed locked for %llu ms",
                             (unsigned long long)slept);
        }
        uint64_t span = step < bound - slept ? step : bound - slept;
        nap(span);
        slept += span;
        step = step * 2 < LONGEST_NAP_MS ? step * 2 : LONGEST_NAP_MS;
    }
}

void ckiti_file_unlock_fd(const ckiti_file_store *store, int fd) {
    /* Closing is not enough: a child that was forked meanwhile has a descriptor of the same open file, never closes it,
     * and would keep the lock for as long as it lives, also from itself. */
    (void)store->io->lock(store->io->self, fd, LOCK_UN);
}

void ckiti_file_unlock_close(const ckiti_file_store *store, int fd) {
    ckiti_file_unlock_fd(store, fd);
    store->io->close(store->io->self, fd);
}

/* CKIT_PENDING: the name means another file by now, try again. */
static ckit_status lock_once(ckiti_file_store *store, const char *name, const ckiti_file_lock_mode *mode, int *out,
                             struct stat *st, ckit_error *err) {
    const ckiti_file_io *io = store->io;
    int                  flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (mode->create ? O_CREAT : 0);
    int                  fd = io->open(io->self, store->dir_fd, name, flags, 0600);
    if (fd < 0) {
        return !mode->create && errno == ENOENT
                   ? CKIT_MISS
                   : ckiti_file_fail_at(err, errno, "opening a bookkeeping file in", store->directory);
    }
    ckit_status status = mode->wait ? ckiti_file_lock_fd(store, fd, mode->deadline_ms, err) : try_lock(store, fd, err);
    if (status == CKIT_PENDING) {
        status = ckit_fail(err, CKIT_E_LOCK_TIMEOUT, CKITI_FILE_WHERE, "a bookkeeping file is locked");
    }
    struct stat named;
    if (status == CKIT_OK && io->stat_fd(io->self, fd, st) != 0) {
        status = ckiti_file_fail(err, errno, "looking at a bookkeeping file");
    }
    if (status == CKIT_OK && (!S_ISREG(st->st_mode) || st->st_uid != store->owner)) {
        status = ckit_fail(err, CKIT_E_UNSAFE_STORE, CKITI_FILE_WHERE, "%.60s is not a file of ours", name);
    }
    if (status == CKIT_OK && (io->stat_name(io->self, store->dir_fd, name, &named) != 0 || named.st_ino != st->st_ino ||
                              named.st_dev != st->st_dev)) {
        status = CKIT_PENDING;
    }
    if (status != CKIT_OK) {
        ckiti_file_unlock_close(store, fd);
        return status;
    }
    *out = fd;
    return CKIT_OK;
}

ckit_status ckiti_file_lock_name(ckiti_file_store *store, const char *name, const ckiti_file_lock_mode *mode, int *fd,
                                 struct stat *st, ckit_error *err) {
    /* Each turn means that somebody else got his turn; many in a row do not happen but under a fault. */
    for (int turn = 0; turn < 100; turn++) {
        ckit_status status = lock_once(store, name, mode, fd, st, err);
        if (status != CKIT_PENDING) {
            return status;
        }
    }
    return ckit_fail(err, CKIT_E_LOCK_TIMEOUT, CKITI_FILE_WHERE, "a bookkeeping file is replaced all the time");
}
