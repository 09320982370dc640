#include "faulty_io.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

static const ckiti_file_io *real(void) { return &ckiti_file_system_io; }

/* True when this call is to fail; errno is set then. */
static bool strike(faulty_io *f, faulty_kind kind) {
    uint64_t number = atomic_fetch_add(&f->calls[kind], 1);
    if (f->meanwhile != NULL && f->meanwhile_kind == kind && f->meanwhile_at == number) {
        void (*meanwhile)(void *) = f->meanwhile;
        f->meanwhile = NULL;
        meanwhile(f->context);
    }
    if (kind != f->kind || number < f->fail_at || number - f->fail_at >= f->fail_for) {
        return false;
    }
    atomic_fetch_add(&f->failed, 1);
    errno = f->error;
    return true;
}

static int f_open(void *self, int dir, const char *name, int flags, mode_t mode) {
    return strike(self, FAULTY_OPEN) ? -1 : real()->open(NULL, dir, name, flags, mode);
}

/* The descriptor is gone even when close fails. */
static int f_close(void *self, int fd) {
    int result = real()->close(NULL, fd);
    return strike(self, FAULTY_CLOSE) ? -1 : result;
}

static int f_stat_fd(void *self, int fd, struct stat *out) {
    return strike(self, FAULTY_STAT) ? -1 : real()->stat_fd(NULL, fd, out);
}

static int f_stat_name(void *self, int dir, const char *name, struct stat *out) {
    return strike(self, FAULTY_STAT) ? -1 : real()->stat_name(NULL, dir, name, out);
}

static ssize_t f_read(void *self, int fd, const struct iovec *parts, int count, off_t offset) {
    faulty_io *f = self;
    if (strike(f, FAULTY_READ)) {
        return -1;
    }
    if (f->chunk > 0) {
        struct iovec first = {parts[0].iov_base, parts[0].iov_len < f->chunk ? parts[0].iov_len : f->chunk};
        return real()->read(NULL, fd, &first, 1, offset);
    }
    return real()->read(NULL, fd, parts, count, offset);
}

static ssize_t f_write(void *self, int fd, const struct iovec *parts, int count) {
    faulty_io *f = self;
    if (strike(f, FAULTY_WRITE)) {
        return -1;
    }
    if (f->chunk > 0) {
        struct iovec first = {parts[0].iov_base, parts[0].iov_len < f->chunk ? parts[0].iov_len : f->chunk};
        return real()->write(NULL, fd, &first, 1);
    }
    return real()->write(NULL, fd, parts, count);
}

static ssize_t f_write_at(void *self, int fd, const void *bytes, size_t len, off_t offset) {
    return strike(self, FAULTY_WRITE) ? -1 : real()->write_at(NULL, fd, bytes, len, offset);
}

static int f_sync(void *self, int fd, bool data_only) {
    return strike(self, FAULTY_SYNC) ? -1 : real()->sync(NULL, fd, data_only);
}

static int f_rename(void *self, int dir, const char *from, const char *to, bool replace) {
    return strike(self, FAULTY_RENAME) ? -1 : real()->rename(NULL, dir, from, to, replace);
}

static int f_exchange(void *self, int dir, const char *one, const char *other) {
    return strike(self, FAULTY_EXCHANGE) ? -1 : real()->exchange(NULL, dir, one, other);
}

static int f_unlink(void *self, int dir, const char *name) {
    return strike(self, FAULTY_UNLINK) ? -1 : real()->unlink(NULL, dir, name);
}

static int f_lock(void *self, int fd, int operation) {
    return strike(self, FAULTY_LOCK) ? -1 : real()->lock(NULL, fd, operation);
}

static int f_stamp_read(void *self, int fd) {
    (void)self;
    return real()->stamp_read(NULL, fd);
}

static ssize_t f_list(void *self, int fd, void *buffer, size_t size) {
    return strike(self, FAULTY_LIST) ? -1 : real()->list(NULL, fd, buffer, size);
}

void faulty_io_init(faulty_io *f) {
    memset(f, 0, sizeof *f);
    f->io = (ckiti_file_io){f_open,   f_close,    f_stat_fd, f_stat_name, f_read,       f_write, f_write_at, f_sync,
                            f_rename, f_exchange, f_unlink,  f_lock,      f_stamp_read, f_list,  f};
    f->fail_at = UINT64_MAX;
    f->fail_for = 1;
}

void faulty_io_fail(faulty_io *f, faulty_kind kind, uint64_t at, int error) {
    for (size_t i = 0; i < FAULTY_KINDS; i++) {
        atomic_store(&f->calls[i], 0);
    }
    atomic_store(&f->failed, 0);
    f->kind = kind;
    f->fail_at = at;
    f->fail_for = 1;
    f->error = error;
}
