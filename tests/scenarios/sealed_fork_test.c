/* A program that seals its values forks, also while another thread is sealing: parent, children and grandchildren seal
 * and open on, each reads what the others wrote, and no nonce is used twice. Over files and over Redis. */
#include "support/redis_server.h"
#include "support/scratch.h"
#include "support/test.h"

#include <cachekit/cachekit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define EACH 20u /* entries that a process writes */
#define CHILDREN 3u
#define PROCESSES (1 + 2 * CHILDREN) /* each child has a child */
#define BUSY_KEYS 200u
#define NONCE 12u
#define SECRET "a value that nobody else may read, of "

/* ---- the cache ---------------------------------------------------------------------------------------------- */

typedef struct world {
    char             url[SCRATCH_PATH + 32];
    ckit_keyring    *ring;
    ckit_cache      *cache;
    _Atomic bool     stop;
    _Atomic unsigned rounds; /* of the thread that seals all the time */
} world;

static ckit_cache *open_cache(const char *url, ckit_keyring *ring) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    ckit_guard_options unguarded = CKIT_GUARD_OPTIONS_INIT;
    ckit_cache        *cache = NULL;
    ckit_error         err = CKIT_ERROR_INIT;
    unguarded.enabled = CKIT_OFF; /* how long the machine takes is not what is claimed here */
    options.guard = &unguarded;
    options.keyring = ring;
    options.encryption = ring != NULL ? CKIT_ON : CKIT_OFF;
    options.l1 = ring != NULL ? CKIT_DEFAULT : CKIT_OFF;
    CHECK_OK_ERR(ckit_cache_open(url, &options, &cache, &err), &err);
    return cache;
}

static void world_open(world *w) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    options.master_key_hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    CHECK_OK(ckit_keyring_open(&options, &w->ring, NULL));
    w->cache = open_cache(w->url, w->ring);
}

static void world_close(world *w) {
    ckit_cache_close(w->cache);
    ckit_keyring_close(w->ring);
}

/* ---- what each process does --------------------------------------------------------------------------------- */

static ckit_slice name_of(char room[40], const char *group, unsigned number) {
    return ckit_slice_of(room, (size_t)snprintf(room, 40, "%s:%u", group, number));
}

static ckit_slice value_of(char room[100], const char *group, unsigned number) {
    return ckit_slice_of(room, (size_t)snprintf(room, 100, SECRET "%s:%u", group, number));
}

static void put(world *w, const char *group, unsigned number) {
    char name[40], value[100];
    CHECK_OK(ckit_cache_set(w->cache, name_of(name, group, number), value_of(value, group, number), NULL, NULL));
}

static void check(world *w, const char *group, unsigned number) {
    char       name[40], expected[100];
    ckit_value value = CKIT_VALUE_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_cache_get(w->cache, name_of(name, group, number), NULL, &value, &err), &err);
    CHECK_BYTES(value_of(expected, group, number), value.data);
    ckit_value_fini(&value);
}

static void put_all(world *w, const char *group) {
    for (unsigned i = 0; i < EACH; i++) {
        put(w, group, i);
    }
}

static void check_all(world *w, const char *group) {
    for (unsigned i = 0; i < EACH; i++) {
        check(w, group, i);
    }
}

static void *seal_on(void *arg) {
    world *w = arg;
    for (unsigned i = 0; !atomic_load(&w->stop); i++) {
        put(w, "busy", i % BUSY_KEYS);
        check(w, "busy", i % BUSY_KEYS);
        atomic_fetch_add(&w->rounds, 1);
    }
    return NULL;
}

static void await(pid_t child) {
    int status = -1;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", (unsigned)status);
}

/* Two names: the child's and its child's. */
static void live_in_child(world *w, unsigned number) {
    char mine[16], below[16];
    (void)snprintf(mine, sizeof mine, "child%u", number);
    (void)snprintf(below, sizeof below, "grand%u", number);
    (void)alarm(300); /* a child that hangs is a failure and not a wait */
    check_all(w, "parent");
    put_all(w, mine);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)alarm(300);
        put_all(w, below);
        check_all(w, mine);
        check_all(w, "parent");
        world_close(w);
        _exit(0);
    }
    await(child);
    check_all(w, below);
    check_all(w, mine);
    world_close(w);
}

static void fork_children(world *w) {
    pid_t children[CHILDREN];
    for (unsigned i = 0; i < CHILDREN; i++) {
        const unsigned rounds = atomic_load(&w->rounds);
        while (rounds > 0 && atomic_load(&w->rounds) < rounds + 5) { /* the thread is at work */
            usleep(200);
        }
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            live_in_child(w, i);
            _exit(0);
        }
    }
    put_all(w, "later"); /* while the children are sealing */
    for (unsigned i = 0; i < CHILDREN; i++) {
        char group[16];
        await(children[i]);
        (void)snprintf(group, sizeof group, "child%u", i);
        check_all(w, group);
        (void)snprintf(group, sizeof group, "grand%u", i);
        check_all(w, group);
    }
}

/* ---- what lies in the store --------------------------------------------------------------------------------- */

typedef struct gathered {
    uint8_t nonces[(PROCESSES + 1) * EACH + BUSY_KEYS][NONCE];
    size_t  count;
} gathered;

static void gather(gathered *g, ckit_cache *reader, const char *group, unsigned count) {
    ckit_entry_options raw = CKIT_ENTRY_OPTIONS_INIT;
    raw.encoding = CKIT_RAW;
    for (unsigned i = 0; i < count; i++) {
        char              name[40];
        ckit_value        stored = CKIT_VALUE_INIT;
        ckit_frame        frame;
        ckit_buf          scratch = CKIT_BUF_INIT;
        const ckit_status st = ckit_cache_get(reader, name_of(name, group, i), &raw, &stored, NULL);
        CHECK(st == CKIT_OK || strcmp(group, "busy") == 0);
        if (st == CKIT_OK) {
            CHECK(memmem(stored.data.ptr, stored.data.len, SECRET, 10) == NULL);
            CHECK_OK(ckit_frame_parse(stored.data, &frame, &scratch, NULL));
            CHECK(frame.encrypted && frame.payload.len > NONCE);
            memcpy(g->nonces[g->count++], frame.payload.ptr, NONCE);
        }
        ckit_buf_fini(&scratch);
        ckit_value_fini(&stored);
    }
}

static int compare(const void *a, const void *b) { return memcmp(a, b, NONCE); }

static void check_store(const world *w) {
    gathered   *g = calloc(1, sizeof *g);
    ckit_cache *reader = open_cache(w->url, NULL);
    CHECK(g != NULL);
    gather(g, reader, "parent", EACH);
    gather(g, reader, "later", EACH);
    for (unsigned i = 0; i < CHILDREN; i++) {
        char group[16];
        (void)snprintf(group, sizeof group, "child%u", i);
        gather(g, reader, group, EACH);
        (void)snprintf(group, sizeof group, "grand%u", i);
        gather(g, reader, group, EACH);
    }
    gather(g, reader, "busy", BUSY_KEYS);
    CHECK(g->count >= (PROCESSES + 1) * EACH);
    qsort(g->nonces, g->count, NONCE, compare);
    for (size_t i = 1; i < g->count; i++) {
        CHECKF(compare(g->nonces[i - 1], g->nonces[i]) != 0, "nonce %zu of %zu occurs twice", i, g->count);
    }
    ckit_cache_close(reader);
    free(g);
}

/* ---- stories ------------------------------------------------------------------------------------------------ */

static void run(world *w, bool busy) {
    pthread_t sealer;
    world_open(w);
    put_all(w, "parent");
    check_all(w, "parent");
    if (busy) {
        CHECK_EQ_I(0, pthread_create(&sealer, NULL, seal_on, w));
        while (atomic_load(&w->rounds) == 0) {
            usleep(200);
        }
    }
    fork_children(w);
    if (busy) {
        atomic_store(&w->stop, true);
        pthread_join(sealer, NULL);
    }
    check_store(w);
    world_close(w);
}

static void over_files(bool busy) {
    char  directory[SCRATCH_PATH];
    world w = {.ring = NULL};
    scratch_make(directory);
    (void)snprintf(w.url, sizeof w.url, "file://%s?sync=none", directory);
    run(&w, busy);
    scratch_remove(directory);
}

static void over_redis(bool busy) {
    redis_server server;
    char         why[200];
    world        w = {.ring = NULL};
    if (!redis_server_start(&server, NULL, why, sizeof why)) {
        SKIP("%s", why);
    }
    (void)snprintf(w.url, sizeof w.url, "%s", server.url);
    run(&w, busy);
    redis_server_stop(&server);
}

static void skip_under_tsan(void) {
    if (UNDER_TSAN) {
        SKIP("the thread sanitizer misses in a child the threads that stayed with the parent");
    }
}

CKIT_TEST(sealed_fork, parent_children_and_theirs_open_each_others_entries_in_files) {
    skip_under_tsan();
    over_files(false);
}

CKIT_TEST(sealed_fork, parent_children_and_theirs_open_each_others_entries_in_redis) {
    skip_under_tsan();
    over_redis(false);
}

CKIT_TEST(sealed_fork, while_another_thread_is_sealing_into_files) {
    skip_under_tsan();
    over_files(true);
}

CKIT_TEST(sealed_fork, while_another_thread_is_sealing_into_redis) {
    skip_under_tsan();
    over_redis(true);
}
