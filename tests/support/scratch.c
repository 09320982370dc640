#include "support/scratch.h"

#include "support/hex.h"
#include "support/test.h"
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t made_mu = PTHREAD_MUTEX_INITIALIZER; /* guards the list below; a leaf */
static char          **made;
static size_t          made_count;
static pid_t           made_by;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)where;
    if (kind == FTW_D || kind == FTW_DP) return rmdir(path);
    /* A test may have taken the write permission from a directory. */
    (void)st;
    return unlink(path);
}

static int open_up(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)where;
    if ((kind == FTW_D || kind == FTW_DNR) && (st->st_mode & 0700) != 0700) (void)chmod(path, 0700);
    return 0;
}

void scratch_remove(const char *path) {
    (void)nftw(path, open_up, 16, FTW_PHYS);
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_all(void) {
    /* A forked child that exits must leave the parent's directories alone. */
    if (getpid() != made_by) return;
    for (size_t i = 0; i < made_count; i++) {
        if (getenv("CKIT_SCRATCH_KEEP") == NULL) scratch_remove(made[i]);
        free(made[i]);
    }
    free(made);
}

static void remember(const char *path) {
    (void)pthread_mutex_lock(&made_mu);
    if (made_count == 0) {
        made_by = getpid();
        (void)atexit(remove_all);
    }
    char **grown = realloc(made, (made_count + 1) * sizeof *made);
    if (grown != NULL) {
        made = grown;
        made[made_count] = strdup(path);
        if (made[made_count] != NULL) made_count++;
    }
    (void)pthread_mutex_unlock(&made_mu);
}

void scratch_make(char path[SCRATCH_PATH]) {
    const char *base = getenv("CKIT_SCRATCH");
    if (base == NULL || base[0] == 0 || strlen(base) > SCRATCH_PATH - 32 || (mkdir(base, 0700) != 0 && errno != EEXIST))
        base = "/tmp";
    (void)snprintf(path, SCRATCH_PATH, "%s/ckit-test-XXXXXX", base);
    CHECKF(mkdtemp(path) != NULL, "cannot make %s: %s", path, strerror(errno));
    remember(path);
}

void scratch_write_file(const char *path, ckit_slice bytes) {
    FILE *file = fopen(path, "wb");
    CHECKF(file != NULL, "cannot write %s: %s", path, strerror(errno));
    size_t put = bytes.len == 0 ? 0 : fwrite(bytes.ptr, 1, bytes.len, file);
    int    closed = fclose(file);
    CHECKF(put == bytes.len && closed == 0, "cannot write %zu bytes to %s: %s", bytes.len, path, strerror(errno));
}

uint8_t *scratch_read_file(const char *path, size_t *len) {
    hex_bytes bytes;
    CHECKF(hex_read_file(path, &bytes), "cannot read %s: %s", path, strerror(errno));
    uint8_t *grown = realloc(bytes.ptr, bytes.len + 1);
    CHECK(grown != NULL);
    grown[bytes.len] = 0;
    *len = bytes.len;
    return grown;
}

size_t scratch_count_files(const char *dir) {
    DIR *d = opendir(dir);
    CHECKF(d != NULL, "cannot list %s: %s", dir, strerror(errno));
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    (void)closedir(d);
    return count;
}
