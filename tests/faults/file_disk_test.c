/* Disks that are full, limits of the process, directories that vanish or close, and several processes at once. */
#include <cachekit/buf.h>
#include <cachekit/file.h>

#include "support/scratch.h"
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct store {
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} store;

static void open_store(store *s, const char *dir, uint32_t max_entries) {
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    options.directory = dir;
    options.sync = CKIT_FILE_SYNC_NONE;
    options.max_entry_count = max_entries;
    CHECK_OK_ERR(ckit_file_open(&options, NULL, &s->backend, &err), &err);
    s->ops = ckit_backend_operations(s->backend);
    s->self = ckit_backend_self(s->backend);
}

static ckit_status put(store *s, const char *key, ckit_slice value, ckit_error *err) {
    ckit_entry_info info = {.ttl_ms = 3600000};
    return s->ops->set(s->self, S(key), value, &info, CKIT_NO_DEADLINE, err);
}

static void expect(store *s, const char *key, ckit_slice value) {
    ckit_buf out = CKIT_BUF_INIT;
    uint64_t life_ms;
    CHECK_OK(s->ops->get(s->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, NULL));
    CHECK_BYTES(value, ckit_buf_slice(&out));
    ckit_buf_fini(&out);
}

static size_t count_names(const char *dir, bool temps) {
    DIR   *d = opendir(dir);
    size_t count = 0;
    CHECK(d != NULL);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        bool temp = strstr(entry->d_name, ".tmp.") != NULL;
        count += temps ? temp : !temp && entry->d_name[0] != '.';
    }
    closedir(d);
    return count;
}

/* ---- no room ----------------------------------------------------------------------------------------------------- */

static void fill_small_disk(const char *dir) {
    store      s;
    size_t     len = 100 * 1024;
    uint8_t   *value = calloc(1, len);
    ckit_error err = CKIT_ERROR_INIT;
    CHECK(value != NULL);
    open_store(&s, dir, 0);
    char key[32];
    for (int i = 0; i < 60; i++) { /* six megabytes into two: the store makes room each time */
        snprintf(key, sizeof key, "k%d", i);
        memset(value, i, len);
        CHECK_OK_ERR(put(&s, key, (ckit_slice){value, len}, &err), &err);
        expect(&s, key, (ckit_slice){value, len});
    }
    uint8_t *huge = calloc(1, 4 * 1024 * 1024);
    CHECK(huge != NULL);
    CHECK_OK(put(&s, "old", S("old value"), NULL));
    CHECK_STATUS_ERR(CKIT_E_NO_SPACE, put(&s, "old", (ckit_slice){huge, 4 * 1024 * 1024}, &err), &err);
    CHECK_EQ_I(CKIT_KIND_TRANSIENT, err.kind);
    CHECK_EQ_U(0, count_names(dir, true));
    CHECK_OK(put(&s, "small", S("still works"), &err));
    expect(&s, "small", S("still works"));
    free(huge);
    free(value);
    ckit_backend_close(s.backend);
}

CKIT_TEST(disk, a_full_one_is_relieved_and_a_value_that_never_fits_is_refused) {
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    if (mount("none", dir, "tmpfs", 0, "size=2m,mode=0700") != 0) {
        scratch_remove(dir);
        SKIP("no small disk can be mounted here: %s", strerror(errno));
    }
    pid_t child = fork(); /* so that a failing check does not leave the mount behind */
    if (child == 0) {
        fill_small_disk(dir);
        _exit(0);
    }
    int status;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    (void)umount2(dir, MNT_DETACH);
    scratch_remove(dir);
    CHECK_EQ_I(0, status);
}

CKIT_TEST(disk, a_file_size_limit_of_the_process_is_a_refusal_and_the_old_value_stays) {
    char dir[SCRATCH_PATH];
    scratch_make(dir);
    pid_t child = fork();
    if (child == 0) {
        store         s;
        uint8_t       large[20000] = {0};
        ckit_error    err = CKIT_ERROR_INIT;
        struct rlimit limit = {10000, 10000};
        open_store(&s, dir, 0);
        CHECK_OK(put(&s, "k", S("old"), NULL));
        (void)signal(SIGXFSZ, SIG_IGN);
        CHECK_EQ_I(0, setrlimit(RLIMIT_FSIZE, &limit));
        CHECK_STATUS_ERR(CKIT_E_TOO_LARGE, put(&s, "k", S_ARRAY(large), &err), &err);
        expect(&s, "k", S("old"));
        CHECK_EQ_U(0, count_names(dir, true));
        ckit_backend_close(s.backend);
        _exit(0);
    }
    int status;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    scratch_remove(dir);
}

/* ---- closed directories ------------------------------------------------------------------------------------------ */

/* As an ordinary user: root passes closed doors. */
static pid_t fork_as_nobody(const char *dir) {
    if (geteuid() == 0) {
        CHECK_EQ_I(0, chown(dir, 65534, 65534));
    }
    pid_t child = fork();
    if (child == 0 && geteuid() == 0) {
        CHECK_EQ_I(0, setresgid(65534, 65534, 65534));
        CHECK_EQ_I(0, setresuid(65534, 65534, 65534));
    }
    return child;
}

CKIT_TEST(disk, a_closed_directory_is_a_permission_error_and_opens_again) {
    char dir[] = "/tmp/ckit-closed-XXXXXX"; /* where every user gets through */
    CHECK(mkdtemp(dir) != NULL);
    pid_t child = fork_as_nobody(dir);
    if (child == 0) {
        store      s;
        ckit_error err = CKIT_ERROR_INIT;
        ckit_buf   out = CKIT_BUF_INIT;
        uint64_t   life_ms;
        open_store(&s, dir, 0);
        CHECK_OK(put(&s, "k", S("v"), NULL));
        CHECK_EQ_I(0, chmod(dir, 0));
        CHECK_STATUS_ERR(CKIT_E_PERMISSION, put(&s, "k", S("w"), &err), &err);
        CHECK_EQ_I(CKIT_KIND_PERMANENT, err.kind);
        CHECK_STATUS_ERR(CKIT_E_PERMISSION, s.ops->get(s.self, S("k"), CKIT_NO_DEADLINE, &out, &life_ms, &err), &err);
        ckit_health health;
        s.ops->health(s.self, CKIT_NO_DEADLINE, &health);
        CHECK(!health.healthy);
        CHECK_EQ_I(0, chmod(dir, 0700));
        expect(&s, "k", S("v"));
        ckit_backend_close(s.backend);
        _exit(0);
    }
    int status;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    (void)chmod(dir, 0700);
    scratch_remove(dir);
    CHECK_EQ_I(0, status);
}

/* ---- several processes ------------------------------------------------------------------------------------------- */

CKIT_TEST(processes, those_that_fill_and_evict_at_once_stay_below_the_limit_and_touch_nothing_foreign) {
    char  dir[SCRATCH_PATH], foreign[SCRATCH_PATH + 16];
    pid_t children[3];
    scratch_make(dir);
    snprintf(foreign, sizeof foreign, "%s/README", dir);
    scratch_write_file(foreign, S("not yours"));
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            store      s;
            char       key[32];
            ckit_error err = CKIT_ERROR_INIT;
            open_store(&s, dir, 200);
            for (int i = 0; i < 1000; i++) {
                snprintf(key, sizeof key, "%d/%d", c, i);
                CHECK_OK_ERR(put(&s, key, S("v"), &err), &err);
                if (i % 100 == 0) {
                    CHECK_BETWEEN_U(1, 210, count_names(dir, false)); /* a batch of each process may be unreported */
                }
            }
            ckit_backend_close(s.backend);
            _exit(0);
        }
    }
    for (int c = 0; c < 3; c++) {
        int status;
        CHECK_EQ_I(children[c], waitpid(children[c], &status, 0));
        CHECK_EQ_I(0, status);
    }
    CHECK_EQ_I(0, access(foreign, F_OK));
    store       s;
    ckit_health health;
    open_store(&s, dir, 200);
    s.ops->health(s.self, CKIT_NO_DEADLINE, &health);
    CHECK_BETWEEN_U(100, 200, health.entries);
    ckit_backend_close(s.backend);
    scratch_remove(dir);
}

CKIT_TEST(processes, a_lock_is_held_by_one_of_many_and_nobody_waits_for_a_killed_holder) {
    char       dir[SCRATCH_PATH];
    int        ready[2];
    store      s;
    ckit_lease lease;
    scratch_make(dir);
    CHECK_EQ_I(0, pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        open_store(&s, dir, 0);
        CHECK_OK(s.ops->lock_try(s.self, S("long"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
        CHECK_OK(s.ops->lock_try(s.self, S("short"), 1, CKIT_NO_DEADLINE, &lease, NULL));
        CHECK_EQ_I(1, write(ready[1], "x", 1));
        for (;;) {
            pause();
        }
    }
    char x;
    CHECK_EQ_I(1, read(ready[0], &x, 1));
    open_store(&s, dir, 0);
    CHECK_STATUS(CKIT_MISS, s.ops->lock_try(s.self, S("long"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_EQ_I(0, kill(child, SIGKILL));
    CHECK_EQ_I(child, waitpid(child, NULL, 0));
    /* Where the system tells nothing about processes, the lease is waited for; elsewhere that would be a minute. */
    if (access("/proc/self/ns/pid", F_OK) == 0) {
        CHECK_OK(s.ops->lock_try(s.self, S("long"), 1000, CKIT_NO_DEADLINE, &lease, NULL));
    }
    while (s.ops->lock_try(s.self, S("short"), 60000, CKIT_NO_DEADLINE, &lease, NULL) == CKIT_MISS) {}
    CHECK_OK(s.ops->lock_release(s.self, S("short"), &lease, CKIT_NO_DEADLINE, NULL));
    ckit_backend_close(s.backend);
    close(ready[0]);
    close(ready[1]);
    scratch_remove(dir);
}
