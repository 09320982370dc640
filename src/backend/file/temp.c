/* Temporary files: written whole and checked before anybody can see them under a real name. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define CREATE_ATTEMPTS 8

void ckiti_file_temp_name(ckiti_file_store *store, const char *base, ckiti_file_temp *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t sequence = atomic_fetch_add_explicit(&store->sequence, 1, memory_order_relaxed);
    snprintf(out->name, sizeof out->name, "%.48s.tmp.%ld.%" PRIu64 ".%" PRIu64, base, (long)getpid(),
             (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, sequence);
}

/* The name may be taken by a process of the same number in another container: then the next one. */
static int create(ckiti_file_store *store, const char *base, ckiti_file_temp *out) {
    int fd = -1;
    for (int i = 0; i < CREATE_ATTEMPTS; i++) {
        ckiti_file_temp_name(store, base, out);
        fd = store->io->open(store->io->self, store->dir_fd, out->name,
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)store->options.permissions);
        if (fd >= 0 || errno != EEXIST) {
            break;
        }
    }
    return fd;
}

/* 0 or an errno. The descriptor is closed in any case. */
static int fill(const ckiti_file_store *store, int fd, struct iovec *parts, int count, bool sync) {
    const ckiti_file_io *io = store->io;
    size_t               size = 0;
    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    struct stat st;
    int         failed = 0;
    if (ckiti_file_write_all(io, fd, parts, count) < 0 || io->stat_fd(io->self, fd, &st) != 0) {
        failed = errno;
    } else if ((uint64_t)st.st_size != size) {
        failed = EIO;
    }
    if (failed == 0 && sync && ckiti_file_sync(io, fd, true) != 0) {
        failed = errno;
    }
    if (io->close(io->self, fd) != 0 && failed == 0 && errno != EINTR) {
        failed = errno; /* network file systems tell here that the write did not arrive */
    }
    return failed;
}

ckit_status ckiti_file_temp_write(ckiti_file_store *store, const char *base, struct iovec *parts, int count, bool sync,
                                  ckiti_file_temp *out, ckit_error *err) {
    int fd = create(store, base, out);
    if (fd < 0) {
        return ckiti_file_fail_at(err, errno, "making a temporary file in", store->directory);
    }
    int failed = fill(store, fd, parts, count, sync);
    if (failed != 0) {
        store->io->unlink(store->io->self, store->dir_fd, out->name);
        return ckiti_file_fail(err, failed, "writing a temporary file");
    }
    return CKIT_OK;
}
