/* Any bytes as a cache file: through the header's parser, and through a store that finds them under a key. */
#include "entry.h"
#include "store.h"

#include <cachekit/buf.h>

#include "support/fake_clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static fake_clock    now;
static ckit_backend *backend;
static char          directory[64];

static void finish(void) {
    ckit_scope   all = {.kind = CKIT_SCOPE_ALL};
    ckit_deleted deleted;
    (void)ckit_backend_operations(backend)->delete_scope(ckit_backend_self(backend), &all, CKIT_NO_DEADLINE, &deleted,
                                                         NULL);
    ckit_backend_close(backend);
    char                     path[128];
    static const char *const own[] = {".ck-index", ".ck-usage", ".ck-stats"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", directory, own[i]);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

static void begin(void) {
    ckit_file_options options = CKIT_FILE_OPTIONS_INIT;
    ckit_backend_env  env = CKIT_BACKEND_ENV_INIT;
    fake_clock_init(&now);
    /* Memory, where there is some: many thousand files are written. */
    (void)snprintf(directory, sizeof directory, "%s/ckit-fuzz-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(directory) != NULL);
    options.directory = directory;
    options.sync = CKIT_FILE_SYNC_NONE;
    env.clock = &now.clock;
    REQUIRE(ckit_file_open(&options, &env, &backend, NULL) == CKIT_OK);
    (void)atexit(finish);
}

static void plant(const ckiti_file_store *store, const char *name, const uint8_t *data, size_t size) {
    int fd = openat(store->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    REQUIRE(size == 0 || write(fd, data, size) == (ssize_t)size);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const ckit_slice key = {(const uint8_t *)"user:123", 8};
    if (backend == NULL) {
        begin();
    }
    const ckit_backend_ops *ops = ckit_backend_operations(backend);
    ckiti_file_store       *store = ckit_backend_self(backend);
    ckiti_file_name         name;
    ckiti_file_name_of_key(&name, key);
    plant(store, name.text, data, size);

    uint64_t                expiry_s = 0, life_ms = 0;
    ckiti_file_header_state state = ckiti_file_header_parse(data, size, &expiry_s);
    bool                    live = state == CKITI_HEADER_OK && ckiti_file_life(expiry_s, fake_clock_wall(&now)) > 0;
    ckit_buf                out = CKIT_BUF_INIT;
    ckit_status             st = ops->get(store, key, CKIT_NO_DEADLINE, &out, &life_ms, NULL);
    REQUIRE(st == (live ? CKIT_OK : CKIT_MISS));
    REQUIRE(out.len == (live ? size - CKITI_FILE_HEADER_BYTES : 0));
    REQUIRE(!live || out.len == 0 || memcmp(out.ptr, data + CKITI_FILE_HEADER_BYTES, out.len) == 0);
    ckit_buf_fini(&out);
    /* A newer writer's file stays; a corrupt or expired one is gone. */
    REQUIRE((faccessat(store->dir_fd, name.text, F_OK, 0) == 0) == (live || state == CKITI_HEADER_NEWER));
    REQUIRE(ops->touch(store, key, 1000, CKIT_NO_DEADLINE, NULL) == (live ? CKIT_OK : CKIT_MISS));
    return 0;
}
