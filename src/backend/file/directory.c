/* The directory: made, opened and found safe; walked; swept. */
#include "store.h"

#include "base/alloc.h"
#include "lease.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEFTOVER_AGE_S 60
#define SWEEP_EVERY_S 60
#define SWEPT_NAME ".ck-swept"
#define LARGE_DIRECTORY_BYTES 65536 /* of the directory itself: a thousand entries or more */

/* Parents get the usual mode, less what the process mask takes; the last directory gets its own. */
static int make_parents(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0755) != 0 && errno != EEXIST;
        *slash = '/';
        if (failed && errno != EACCES && errno != EROFS && errno != EPERM) {
            return -1; /* a parent that may not be made may still exist: the last mkdir tells */
        }
    }
    return 0;
}

/* Only on a local copy: make_parents writes into it. */
static int make_directory(const ckiti_file_store *store) {
    size_t len = strlen(store->directory);
    char  *path = ckiti_strdup_slice(store->alloc, (ckit_slice){(const uint8_t *)store->directory, len});
    if (path == NULL) {
        errno = ENOMEM;
        return -1;
    }
    int result = make_parents(path);
    if (result == 0 && mkdir(path, (mode_t)store->options.dir_permissions) != 0 && errno != EEXIST) {
        result = -1;
    }
    int saved = errno;
    ckiti_free(store->alloc, path, len + 1);
    errno = saved;
    return result;
}

/* Others must not be able to plant or swap entries (CWE-377). */
static ckit_status check_safe(const ckiti_file_store *store, int fd, ckit_error *err) {
    struct stat st;
    if (store->io->stat_fd(store->io->self, fd, &st) != 0) {
        return ckiti_file_fail_at(err, errno, "cannot look at the directory", store->directory);
    }
    if (st.st_uid != store->owner) {
        return ckit_fail(err, CKIT_E_UNSAFE_STORE, CKITI_FILE_WHERE, "%s belongs to user %lu, not to user %lu",
                         store->directory, (unsigned long)st.st_uid, (unsigned long)store->owner);
    }
    if ((st.st_mode & 022) != 0) {
        return ckit_fail(err, CKIT_E_UNSAFE_STORE, CKITI_FILE_WHERE,
                         "%s can be written by others (mode %03o): chmod go-w makes it safe", store->directory,
                         (unsigned)(st.st_mode & 0777));
    }
    return CKIT_OK;
}

static int open_directory(const ckiti_file_store *store) {
    return store->io->open(store->io->self, AT_FDCWD, store->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           0);
}

/* With O_DIRECTORY a symbolic link is reported as ENOTDIR; people should read what it is. */
static ckit_status explain_open(const ckiti_file_store *store, int sys_errno, ckit_error *err) {
    struct stat st;
    if ((sys_errno == ENOTDIR || sys_errno == ELOOP) &&
        store->io->stat_name(store->io->self, AT_FDCWD, store->directory, &st) == 0) {
        return ckit_fail(err, CKIT_E_UNSAFE_STORE, CKITI_FILE_WHERE, "%s is %s", store->directory,
                         S_ISLNK(st.st_mode) ? "a symbolic link" : "not a directory");
    }
    return ckiti_file_fail_at(err, sys_errno, "cannot open the directory", store->directory);
}

ckit_status ckiti_file_dir_open(ckiti_file_store *store, int *fd, ckit_error *err) {
    int opened = open_directory(store);
    if (opened < 0 && errno == ENOENT) {
        if (make_directory(store) != 0) {
            return ckiti_file_fail_at(err, errno, "cannot make the directory", store->directory);
        }
        opened = open_directory(store);
    }
    if (opened < 0) {
        return explain_open(store, errno, err);
    }
    ckit_status st = check_safe(store, opened, err);
    if (st != CKIT_OK) {
        store->io->close(store->io->self, opened);
        return st;
    }
    *fd = opened;
    return CKIT_OK;
}

ckit_status ckiti_file_dir_reopen(ckiti_file_store *store, ckit_error *err) {
    int         fd = -1;
    ckit_status st = ckiti_file_dir_open(store, &fd, err);
    if (st != CKIT_OK) {
        return st;
    }
    /* Other threads go on using the number: dup3 swaps the directory behind it in one step. */
    int failed = dup3(fd, store->dir_fd, O_CLOEXEC) < 0 ? errno : 0;
    store->io->close(store->io->self, fd);
    return failed == 0 ? CKIT_OK : ckiti_file_fail_at(err, failed, "cannot open the directory", store->directory);
}

ckit_status ckiti_file_dir_walk(const ckiti_file_store *store, ckiti_file_name_fn each, void *context,
                                ckit_error *err) {
    const ckiti_file_io *io = store->io;
    int fd = io->open(io->self, store->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0); /* a position of its own */
    if (fd < 0) {
        return ckiti_file_fail_at(err, errno, "cannot list the directory", store->directory);
    }
    _Alignas(struct dirent64) char buffer[16384];
    ckit_status                    st = CKIT_OK;
    bool                           more = true;
    while (more) {
        ssize_t got = io->list(io->self, fd, buffer, sizeof buffer);
        if (got <= 0) {
            st = got < 0 ? ckiti_file_fail_at(err, errno, "cannot list the directory", store->directory) : CKIT_OK;
            break;
        }
        for (ssize_t at = 0; more && at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                more = each(context, entry->d_name);
            }
        }
    }
    io->close(io->self, fd);
    return st;
}

bool ckiti_file_is_ours(const ckiti_file_store *store, const struct stat *st) {
    /* No link at all: replaced or removed after it was opened; what was opened is still the entry of that moment. */
    return S_ISREG(st->st_mode) && st->st_uid == store->owner && st->st_nlink <= 1;
}

/* `{32 hex digits}.tmp.*` or one of our dot-named files' temporary names. */
static bool is_temp_name(const char *name) {
    const char *mark = strstr(name, ".tmp.");
    if (mark == NULL) {
        return false;
    }
    if (strncmp(name, ".ck-", 4) == 0) {
        return true;
    }
    char base[CKITI_FILE_NAME_CHARS + 1];
    if ((size_t)(mark - name) != CKITI_FILE_NAME_CHARS) {
        return false;
    }
    memcpy(base, name, CKITI_FILE_NAME_CHARS);
    base[CKITI_FILE_NAME_CHARS] = '\0';
    return ckiti_file_is_entry_name(base);
}

void ckiti_file_sweep_name(ckiti_file_store *store, const char *name) {
    if (ckiti_file_is_lock_name(name)) {
        ckiti_file_lease_sweep(store, name);
        return;
    }
    struct stat st;
    if (!is_temp_name(name) || store->io->stat_name(store->io->self, store->dir_fd, name, &st) != 0 ||
        !ckiti_file_is_ours(store, &st)) {
        return;
    }
    /* Against the system's clock, which made the stamp, and not against the instance's. */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec - st.st_mtim.tv_sec > LEFTOVER_AGE_S) {
        store->io->unlink(store->io->self, store->dir_fd, name);
    }
}

static bool sweep_each(void *context, const char *name) {
    ckiti_file_sweep_name(context, name);
    return true;
}

/* Walking a large directory takes milliseconds, which a short-lived process that reads one entry should not pay each
 * time. Small ones are always swept, large ones once a minute: the stamp is the age of a file. */
static bool sweep_is_due(const ckiti_file_store *store) {
    const ckiti_file_io *io = store->io;
    struct stat          st, stamp;
    struct timespec      now;
    if (io->stat_fd(io->self, store->dir_fd, &st) != 0 || st.st_size <= LARGE_DIRECTORY_BYTES) {
        return true;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    if (io->stat_name(io->self, store->dir_fd, SWEPT_NAME, &stamp) == 0 && stamp.st_mtim.tv_sec <= now.tv_sec &&
        now.tv_sec - stamp.st_mtim.tv_sec < SWEEP_EVERY_S) {
        return false;
    }
    int fd =
        io->open(io->self, store->dir_fd, SWEPT_NAME, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd >= 0) {
        (void)io->write_at(io->self, fd, "", 1, 0);
        io->close(io->self, fd);
    }
    return true;
}

void ckiti_file_sweep(ckiti_file_store *store) {
    if (sweep_is_due(store)) {
        (void)ckiti_file_dir_walk(store, sweep_each, store, NULL);
    }
}
