/* A writer killed at a random moment: what is left is whole or is cleaned up. Thirty times, a thousand with
 * CKIT_SOAK. */
#include <cachekit/buf.h>
#include <cachekit/file.h>

#include "support/scratch.h"
#include "support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS 40u
#define MAX_LEN 60000u

static uint64_t monotonic_ms(void *self) {
    struct timespec now;
    (void)self;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int64_t wall_ms(void *self) {
    struct timespec now;
    (void)self;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The system's, to the millisecond: left to itself a store reads by one that may be a tick behind the writer's. */
static const ckit_clock exact = {.monotonic_ms = monotonic_ms, .wall_ms = wall_ms};

static ckit_backend *open_store(const char *dir, const ckit_clock *clock) {
    ckit_backend_env  env = CKIT_BACKEND_ENV_INIT;
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    ckit_backend     *backend = NULL;
    ckit_error        err = CKIT_ERROR_INIT;
    env.clock = clock;
    options.directory = dir;
    options.sync = CKIT_FILE_SYNC_NONE;
    options.max_entry_count = 100;
    CHECK_OK_ERR(ckit_file_open(&options, &env, &backend, &err), &err);
    return backend;
}

/* A value that describes itself: its length, then bytes that all follow from its first. */
static size_t make_value(uint8_t *out, uint32_t random) {
    uint32_t len = 5 + random % MAX_LEN;
    memcpy(out, &len, sizeof len);
    for (uint32_t i = 4; i < len; i++) {
        out[i] = (uint8_t)(random + i * 13u);
    }
    return len;
}

static void check_value(ckit_slice value) {
    uint32_t len;
    CHECK(value.len >= 5);
    memcpy(&len, value.ptr, sizeof len);
    CHECK_EQ_U(len, value.len);
    for (uint32_t i = 5; i < len; i++) {
        CHECKF(value.ptr[i] == (uint8_t)(value.ptr[4] + (i - 4) * 13u), "byte %u of %u", i, len);
    }
}

static ckit_slice key_of(char text[32], uint32_t number) {
    snprintf(text, 32, "key %u", number % KEYS);
    return S(text);
}

/* Writes, removes, touches, locks, lists until it is killed. */
static void write_for_ever(const char *dir, uint32_t seed) {
    static uint8_t          value[MAX_LEN + 5];
    ckit_backend           *backend = open_store(dir, NULL);
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    void                   *self = ckit_backend_self(backend);
    for (uint32_t random = seed * 2654435761u + 1;; random = random * 1664525u + 1013904223u) {
        char            text[32];
        ckit_slice      key = key_of(text, random >> 8);
        ckit_entry_info info = {.ttl_ms = 3600000, .namespace_name = S("n")};
        ckit_lease      lease;
        ckit_deleted    deleted;
        ckit_scope      scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
        switch (random >> 28) {
        case 0: (void)ops->remove(self, key, CKIT_NO_DEADLINE, NULL); break;
        case 1: (void)ops->touch(self, key, 7200000, CKIT_NO_DEADLINE, NULL); break;
        case 2:
            if (ops->lock_try(self, key, 50, CKIT_NO_DEADLINE, &lease, NULL) == CKIT_OK) {
                size_t len = make_value(value, random);
                (void)ops->set_if_owner(self, key, (ckit_slice){value, len}, &info, &lease, CKIT_NO_DEADLINE, NULL);
                (void)ops->lock_release(self, key, &lease, CKIT_NO_DEADLINE, NULL);
            }
            break;
        case 3:
            if ((random & 0xff) < 16) {
                (void)ops->delete_scope(self, &scope, CKIT_NO_DEADLINE, &deleted, NULL);
            }
            break;
        default:
            (void)ops->set(self, key, (ckit_slice){value, make_value(value, random)}, &info, CKIT_NO_DEADLINE, NULL);
        }
    }
}

static ckit_status count_entry(void *context, const ckit_listed *entry) {
    (void)entry;
    ++*(size_t *)context;
    return CKIT_OK;
}

static void check_survivors(const char *dir) {
    ckit_backend           *backend = open_store(dir, &exact);
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    void                   *self = ckit_backend_self(backend);
    ckit_buf                out = CKIT_BUF_INIT;
    size_t                  found = 0, listed = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        char       text[32];
        ckit_slice key = key_of(text, i);
        uint64_t   life_ms;
        out.len = 0;
        ckit_status st = ops->get(self, key, CKIT_NO_DEADLINE, &out, &life_ms, NULL);
        CHECK(st == CKIT_OK || st == CKIT_MISS);
        if (st == CKIT_OK) {
            check_value(ckit_buf_slice(&out));
            CHECK_BETWEEN_U(1, 7201000, life_ms);
            found++;
        }
    }
    ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    CHECK_OK(ops->list(self, &all, CKIT_NO_DEADLINE, count_entry, &listed, NULL));
    CHECK_EQ_U(found, listed);
    ckit_buf_fini(&out);
    ckit_backend_close(backend);
}

static void make_old(const char *dir) {
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        /* The stamp of the last sweep too: a directory of thousands is swept once a minute only. */
        if (strstr(entry->d_name, ".tmp.") != NULL || strcmp(entry->d_name, ".ck-swept") == 0) {
            struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
            CHECK_EQ_I(0, utimensat(dirfd(d), entry->d_name, old, AT_SYMLINK_NOFOLLOW));
        }
    }
    closedir(d);
}

static size_t count_temps(const char *dir) {
    DIR   *d = opendir(dir);
    size_t count = 0;
    CHECK(d != NULL);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        count += strstr(entry->d_name, ".tmp.") != NULL;
    }
    closedir(d);
    return count;
}

CKIT_TEST(kill, every_file_that_a_killed_writer_leaves_is_whole_or_swept) {
    char     dir[SCRATCH_PATH];
    unsigned rounds = getenv("CKIT_SOAK") != NULL ? 1000 : 30;
    uint32_t random = (uint32_t)time(NULL);
    scratch_make(dir);
    (void)printf("seed %u\n", random);
    for (unsigned round = 0; round < rounds; round++) {
        pid_t writers[2];
        for (uint32_t i = 0; i < 2; i++) {
            writers[i] = fork();
            CHECK(writers[i] >= 0);
            if (writers[i] == 0) {
                write_for_ever(dir, random + i);
            }
        }
        random = random * 1664525u + 1013904223u;
        struct timespec moment = {.tv_nsec = 1000000 + (long)(random >> 8) % 30000000};
        nanosleep(&moment, NULL);
        for (size_t i = 0; i < 2; i++) {
            int status;
            CHECK_EQ_I(0, kill(writers[i], SIGKILL));
            CHECK_EQ_I(writers[i], waitpid(writers[i], &status, 0));
            CHECKF(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the writer ended by itself: %#x",
                   (unsigned)status);
        }
        check_survivors(dir);
    }
    make_old(dir);
    ckit_backend_close(open_store(dir, NULL));
    CHECK_EQ_U(0, count_temps(dir));
    scratch_remove(dir);
}
