/* No number is used twice: by threads, by children, by children that no hook saw, past the end of the low word. Of
 * seal_source.c. */
#include <cachekit/buf.h>
#include <cachekit/seal.h>

#include "format/seal_nonce.h"
#include "format/seal_ring.h"
#include "support/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NONCE 12

/* Shared by all processes of a test. */
typedef struct gathered {
    uint8_t (*nonces)[NONCE];
    size_t each, writers;
} gathered;

static gathered gather(size_t writers, size_t each) {
    gathered g = {.each = each, .writers = writers};
    g.nonces = mmap(NULL, writers * each * NONCE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(g.nonces != MAP_FAILED);
    return g;
}

static int compare(const void *a, const void *b) { return memcmp(a, b, NONCE); }

static void check_unique(gathered *g) {
    const size_t count = g->each * g->writers;
    qsort(g->nonces, count, NONCE, compare);
    for (size_t i = 1; i < count; i++) {
        CHECKF(compare(g->nonces[i - 1], g->nonces[i]) != 0, "nonce %zu of %zu occurs twice", i, count);
    }
    (void)munmap(g->nonces, count * NONCE);
}

static size_t scaled(size_t usual, size_t soak) { return getenv("CKIT_SOAK") != NULL ? soak : usual; }

typedef struct taker {
    ckit_keyring *ring;
    gathered     *g;
    size_t        writer;
} taker;

/* Past the thread sanitizer, which misses in a child the threads that stayed with the parent. */
static void leave_child(void) { (void)syscall(SYS_exit_group, 0); }

/* Through real seals: what stands in front of the ciphertext. */
static void *take(void *arg) {
    const taker            *t = arg;
    const ckit_seal_subject subject = {.tenant = S("t"), .key = S("k"), .format = S("msgpack")};
    ckit_buf                out = CKIT_BUF_INIT;
    for (size_t i = 0; i < t->g->each; i++) {
        out.len = 0;
        CHECK_OK(ckit_seal(t->ring, &subject, S("v"), &out, NULL));
        memcpy(t->g->nonces[t->writer * t->g->each + i], out.ptr, NONCE);
    }
    ckit_buf_fini(&out);
    return NULL;
}

static ckit_keyring *open_ring(void) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    options.master_key = S("a master key of more than thirty-two bytes");
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    return ring;
}

static void await(pid_t child) {
    int status;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
}

enum { children = 4, threads = 2 };

/* Both writers of a process, each in a thread of its own where that may be. */
static void take_in_child(taker takers[threads]) {
    pthread_t second;
    if (UNDER_TSAN) { /* which follows no new threads after such a fork */
        (void)take(&takers[1]);
    } else {
        CHECK_EQ_I(0, pthread_create(&second, NULL, take, &takers[1]));
    }
    (void)take(&takers[0]);
    if (!UNDER_TSAN) {
        pthread_join(second, NULL);
    }
}

CKIT_TEST(seal_nonce, threads_of_parent_and_children_never_use_one_twice) {
    gathered      g = gather((children + 1) * threads, scaled(1000, 1000000));
    ckit_keyring *ring = open_ring();
    pthread_t     running[threads];
    taker         takers[(children + 1) * threads];
    pid_t         pids[children];
    for (size_t i = 0; i < (children + 1) * threads; i++) {
        takers[i] = (taker){ring, &g, i};
    }
    for (size_t i = 0; i < threads; i++) { /* the parent's are at work while it forks */
        CHECK_EQ_I(0, pthread_create(&running[i], NULL, take, &takers[i]));
    }
    for (size_t c = 0; c < children; c++) {
        pids[c] = fork();
        CHECK(pids[c] >= 0);
        if (pids[c] == 0) {
            take_in_child(&takers[(c + 1) * threads]);
            leave_child();
        }
    }
    for (size_t i = 0; i < threads; i++) {
        pthread_join(running[i], NULL);
    }
    for (size_t c = 0; c < children; c++) {
        await(pids[c]);
    }
    check_unique(&g);
    ckit_keyring_close(ring);
}

CKIT_TEST(seal_nonce, a_child_that_no_hook_saw_begins_anew) {
#if UNDER_TSAN
    SKIP("the thread sanitizer wants to see every fork");
#else
    gathered      g = gather(2, 500);
    ckit_keyring *ring = open_ring();
    uint8_t       first[NONCE];
    ckiti_nonces_next(&ring->nonces, first);
    const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    CHECK(child >= 0);
    for (size_t i = 0; i < g.each; i++) {
        ckiti_nonces_next(&ring->nonces, g.nonces[(child == 0 ? g.each : 0) + i]);
    }
    if (child == 0) {
        _exit(0);
    }
    await(child);
    check_unique(&g);
    ckit_keyring_close(ring);
#endif
}

CKIT_TEST(seal_nonce, none_begins_like_a_frame_however_long_its_ring_counts) {
    static const uint32_t frames[] = {0x434b0300, 0x434b0342, 0x434b03ff, 0x434b02ff};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        CHECKF(!ckiti_nonce_may_begin(frames[i]), "%08x", (unsigned)frames[i]);
    }
    CHECK(ckiti_nonce_may_begin(0x434b02fe) && ckiti_nonce_may_begin(0x434b0400));
    CHECK(ckiti_nonce_may_begin(0) && ckiti_nonce_may_begin(UINT32_MAX));
}

CKIT_TEST(seal_nonce, rings_with_one_key_begin_apart) {
    gathered g = gather(20, 50);
    for (size_t r = 0; r < g.writers; r++) {
        ckit_keyring *ring = open_ring();
        taker         t = {ring, &g, r};
        (void)take(&t);
        ckit_keyring_close(ring);
    }
    check_unique(&g);
}
