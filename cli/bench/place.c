#include "bench/place.h"

#include "bench/load.h"
#include "support/output.h"
#include "support/store.h"

#include <cachekit/buf.h>
#include <cachekit/open.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define PATTERN "cachekit-bench-XXXXXX"
#define MARK_LENGTH (sizeof PATTERN - 7) /* without the six letters that mkdtemp chooses */
#define SETTLED_S 60                     /* a directory this old has been locked by now, if anybody lives there */

/* ---- directories -------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place) {
    (void)about, (void)kind, (void)place;
    (void)remove(path);
    return 0;
}

/* Symbolic links are removed, not followed. */
static void remove_tree(const char *path) { (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }

/* An open and locked directory of ours; -1 when it is not that, or when somebody lives in it. */
static int lock_directory(int parent, const char *name, time_t not_after) {
    struct stat about;
    int         fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &about) == 0 && about.st_uid == geteuid() && about.st_mtime <= not_after &&
        flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return fd;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

static void remove_leftovers(const char *parent) {
    DIR *directory = opendir(parent);
    if (directory == NULL) {
        return;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[PATH_BYTES + 300];
        if (strlen(entry->d_name) != sizeof PATTERN - 1 || strncmp(entry->d_name, PATTERN, MARK_LENGTH) != 0) {
            continue;
        }
        int fd = lock_directory(dirfd(directory), entry->d_name, time(NULL) - SETTLED_S);
        if (fd >= 0) {
            (void)snprintf(path, sizeof path, "%s/%s", parent, entry->d_name);
            remove_tree(path);
            (void)close(fd);
        }
    }
    (void)closedir(directory);
}

static bool make_parents(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool good = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!good) {
            return false;
        }
    }
    return true;
}

static int make_directory(cli_bench_place *place) {
    char path[PATH_BYTES];
    if (!cli_default_directory(path, sizeof path - sizeof PATTERN)) {
        ckit_error err = CKIT_ERROR_INIT;
        (void)ckit_fail(&err, CKIT_E_NO_URL, "bench",
                        "there is no home directory for files: set XDG_CACHE_HOME or HOME, or give --store URL");
        return cli_failed(&err);
    }
    char *slash = strrchr(path, '/');
    *slash = '\0';
    remove_leftovers(*path == '\0' ? "/" : path);
    (void)snprintf(slash, sizeof path - (size_t)(slash - path), "/%s", PATTERN);
    if (!make_parents(path) || mkdtemp(path) == NULL) {
        cli_error("no directory can be made in %.*s: %s: set XDG_CACHE_HOME, or give --store URL", (int)(slash - path),
                  path, strerror(errno));
        return CLI_UNREACHABLE;
    }
    place->lock = lock_directory(AT_FDCWD, path, time(NULL) + SETTLED_S);
    place->directory = strdup(path);
    if (place->directory == NULL) {
        (void)rmdir(path);
        return cli_no_memory();
    }
    return CLI_DONE;
}

/* ---- the cache ---------------------------------------------------------------------------------------------- */

/* "file://" and the path, with everything special in it written as %NN. */
static char *url_of(const char *path) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    char             *url = malloc(3 * strlen(path) + 8);
    char             *at = url == NULL ? NULL : url + sprintf(url, "file://");
    for (; url != NULL && *path != '\0'; path++) {
        at += sprintf(at, strchr(plain, *path) != NULL ? "%c" : "%%%02X", (unsigned char)*path);
    }
    return url;
}

int cli_bench_place_open(cli_bench_place *place, const char *url, const ckit_cache_options *options) {
    ckit_error err = CKIT_ERROR_INIT;
    *place = (cli_bench_place){.lock = -1};
    char *own = NULL;
    if (url == NULL) {
        int code = make_directory(place);
        if (code != CLI_DONE) {
            return code;
        }
        own = url_of(place->directory);
        if (own == NULL) {
            return cli_no_memory();
        }
    }
    ckit_status st = ckit_cache_open(url == NULL ? own : url, options, &place->cache, &err);
    free(own);
    if (st == CKIT_OK) {
        return CLI_DONE;
    }
    return cli_call_failed(st, &err);
}

static void forget(cli_bench_place *place) {
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = ckit_slice_str(CLI_LOAD_NAMESPACE)};
    ckit_deleted deleted = {0};
    ckit_error   err = CKIT_ERROR_INIT;
    ckit_status  st = ckit_cache_invalidate(place->cache, &scope, &deleted, &err);
    if (st != CKIT_OK && ckit_cache_backend(place->cache) != NULL) {
        cli_warn("entries of this run stay in the store, for at most an hour: %s", err.text);
    }
}

void cli_bench_place_close(cli_bench_place *place, bool keep) {
    if (place->cache != NULL && place->directory == NULL && !keep) {
        forget(place);
    }
    ckit_cache_close(place->cache);
    if (place->directory != NULL) {
        remove_tree(place->directory);
    }
    if (place->lock >= 0) {
        (void)close(place->lock);
    }
    free(place->directory);
    *place = (cli_bench_place){.lock = -1};
}
