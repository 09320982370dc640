/* io.h - the system calls of the file store, as a table, so that tests can make the n-th of them fail.
 *
 * Each behaves like the call it is named after: -1 and errno on failure. All names are relative to a directory
 * descriptor; no call follows a symbolic link in the last component. */
#ifndef CKITI_FILE_IO_H
#define CKITI_FILE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#define CKITI_FILE_ONWARD ((off_t)-1)

typedef struct ckiti_file_io {
    int (*open)(void *self, int dir, const char *name, int flags, mode_t mode);
    int (*close)(void *self, int fd);
    int (*stat_fd)(void *self, int fd, struct stat *out);
    int (*stat_name)(void *self, int dir, const char *name, struct stat *out);
    /* At `offset`, or CKITI_FILE_ONWARD: where the last read ended, which costs the system less. */
    ssize_t (*read)(void *self, int fd, const struct iovec *parts, int count, off_t offset);
    ssize_t (*write)(void *self, int fd, const struct iovec *parts, int count); /* at the end of what was written */
    ssize_t (*write_at)(void *self, int fd, const void *bytes, size_t len, off_t offset);
    int (*sync)(void *self, int fd, bool data_only);
    int (*rename)(void *self, int dir, const char *from, const char *to, bool replace);
    int (*exchange)(void *self, int dir, const char *one, const char *other); /* both names have to be there */
    int (*unlink)(void *self, int dir, const char *name);
    int (*lock)(void *self, int fd, int operation);                 /* flock */
    int (*stamp_read)(void *self, int fd);                          /* access time = now, modification time unchanged */
    ssize_t (*list)(void *self, int fd, void *buffer, size_t size); /* getdents64 */
    void *self;
} ckiti_file_io;

/* The system's own. */
extern const ckiti_file_io ckiti_file_system_io;

/* Reads or writes everything, through short counts and interruptions. `parts` is used up. The number of bytes moved
 * (fewer than asked only at the end of the file), or -1 and errno. */
ssize_t ckiti_file_read_all(const ckiti_file_io *io, int fd, struct iovec *parts, int count, off_t offset);
ssize_t ckiti_file_write_all(const ckiti_file_io *io, int fd, struct iovec *parts, int count);
/* Syncs, through interruptions. 0, or -1 and errno. */
int ckiti_file_sync(const ckiti_file_io *io, int fd, bool data_only);

#endif
