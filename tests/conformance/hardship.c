/* Threads, forks and failing memory. */
#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS 97u

/* A forked child of a program with threads ends without them: that is no leak. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "report_thread_leaks=0"; }

/* ---- self-describing values: key number, length, seed, and bytes that follow from them --------------------------- */

typedef struct description {
    uint32_t key;
    uint32_t len; /* of the rest */
    uint32_t seed;
} description;

static uint8_t byte_at(uint32_t seed, size_t i) { return (uint8_t)(seed * 2654435761u + i * 40503u + (i >> 7)); }

static size_t describe(uint8_t *out, uint32_t key, uint32_t seed) {
    description d = {key, seed % 5000, seed};
    memcpy(out, &d, sizeof d);
    for (size_t i = 0; i < d.len; i++) {
        out[sizeof d + i] = byte_at(seed, i);
    }
    return sizeof d + d.len;
}

static void check_described(ckit_slice value, uint32_t key) {
    description d;
    CHECK(value.len >= sizeof d);
    memcpy(&d, value.ptr, sizeof d);
    CHECK_EQ_U(key, d.key);
    CHECK_EQ_U(value.len, sizeof d + d.len);
    for (size_t i = 0; i < d.len; i++) {
        CHECKF(value.ptr[sizeof d + i] == byte_at(d.seed, i), "byte %zu of key %u", i, key);
    }
}

typedef struct worker {
    suite    *s;
    pthread_t thread;
    uint32_t  random;
    unsigned  operations;
} worker;

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void one_operation(worker *w, uint8_t *scratch, ckit_buf *out) {
    uint32_t   dice = next_random(&w->random);
    uint32_t   number = next_random(&w->random) % KEYS;
    char       text[32];
    ckit_slice key = {(const uint8_t *)text, (size_t)snprintf(text, sizeof text, "key/%u", number)};
    uint64_t   life_ms = 0;
    switch (dice % 8) {
    case 0:
    case 1:
    case 2: {
        uint32_t seed = next_random(&w->random);
        CHECK_OK(suite_set(w->s, key, (ckit_slice){scratch, describe(scratch, number, seed)}, 60000));
        break;
    }
    case 3: CHECK(suite_remove(w->s, key) <= CKIT_MISS); break;
    case 4: CHECK(suite_exists(w->s, key) <= CKIT_MISS); break;
    default:
        out->len = 0;
        if (suite_get(w->s, key, out, &life_ms) == CKIT_OK) {
            check_described(ckit_buf_slice(out), number);
        } else {
            CHECK_EQ_U(0, out->len);
        }
    }
    if (dice % 64 == 7 && w->s->ops->touch != NULL) {
        CHECK(w->s->ops->touch(w->s->self, key, 60000, CKIT_NO_DEADLINE, NULL) <= CKIT_MISS);
    }
}

static void *work(void *arg) {
    worker  *w = arg;
    ckit_buf out = CKIT_BUF_INIT;
    uint8_t  scratch[sizeof(description) + 5000];
    for (unsigned i = 0; i < w->operations; i++) {
        one_operation(w, scratch, &out);
    }
    ckit_buf_fini(&out);
    return NULL;
}

static void start(worker *w, suite *s, uint32_t number, unsigned operations) {
    *w = (worker){.s = s, .random = number * 7919u + 1u, .operations = operations};
    CHECK_EQ_I(0, pthread_create(&w->thread, NULL, work, w));
}

CKIT_TEST(hardship, sixty_four_threads_never_see_each_others_values) {
    unsigned operations = getenv("CKIT_SOAK") != NULL ? 1000 : UNDER_TSAN ? 60 : 250;
    worker   workers[64];
    suite    s;
    suite_begin(&s);
    for (uint32_t i = 0; i < 64; i++) {
        start(&workers[i], &s, i, operations);
    }
    for (size_t i = 0; i < 64; i++) {
        CHECK_EQ_I(0, pthread_join(workers[i].thread, NULL));
    }
    suite_end(&s);
}

/* ---- locks under contention -------------------------------------------------------------------------------------- */

typedef struct contender {
    suite       *s;
    pthread_t    thread;
    _Atomic int *inside;
    _Atomic int *entered;
} contender;

static void *contend(void *arg) {
    contender *c = arg;
    for (int i = 0; i < 20; i++) {
        ckit_lease  lease;
        ckit_status st = c->s->ops->lock_try(c->s->self, S("shared"), 30000, CKIT_NO_DEADLINE, &lease, NULL);
        CHECK(st == CKIT_OK || st == CKIT_MISS);
        if (st == CKIT_OK) {
            CHECK_EQ_I(0, atomic_fetch_add(c->inside, 1));
            atomic_fetch_add(c->entered, 1);
            atomic_fetch_sub(c->inside, 1);
            CHECK_OK(c->s->ops->lock_release(c->s->self, S("shared"), &lease, CKIT_NO_DEADLINE, NULL));
        }
    }
    return NULL;
}

CKIT_TEST(hardship, a_lock_is_held_by_one_thread_of_many) {
    suite       s;
    contender   contenders[8];
    _Atomic int inside = 0, entered = 0;
    suite_begin(&s);
    SUITE_NEEDS(&s, lock_try);
    for (size_t i = 0; i < 8; i++) {
        contenders[i] = (contender){.s = &s, .inside = &inside, .entered = &entered};
        CHECK_EQ_I(0, pthread_create(&contenders[i].thread, NULL, contend, &contenders[i]));
    }
    for (size_t i = 0; i < 8; i++) {
        CHECK_EQ_I(0, pthread_join(contenders[i].thread, NULL));
    }
    CHECK(atomic_load(&entered) > 0);
    suite_end(&s);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

static void use_after_fork(suite *s, const char *mine) {
    suite_expect(s, S("before"), S("fork"));
    for (int i = 0; i < 20; i++) {
        CHECK_OK(suite_set(s, S(mine), S(mine), 60000));
        suite_expect(s, S(mine), S(mine));
    }
    if (s->ops->lock_try != NULL) {
        ckit_lease lease;
        CHECK_OK(s->ops->lock_try(s->self, S(mine), 1000, CKIT_NO_DEADLINE, &lease, NULL));
        CHECK_OK(s->ops->lock_release(s->self, S(mine), &lease, CKIT_NO_DEADLINE, NULL));
    }
}

static void fork_and_use(suite *s) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        use_after_fork(s, "child");
        _exit(0);
    }
    use_after_fork(s, "parent");
    int status = 0;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", (unsigned)status);
    if (suite_the_subject.outlives_process) {
        suite_expect(s, S("child"), S("child"));
    } else {
        suite_expect_miss(s, S("child"));
    }
    CHECK(suite_remove(s, S("child")) <= CKIT_MISS);
}

/* A cluster's slots are asked for by a thread, in the parent too if it comes to that. */
static void skip_where_the_child_starts_threads(void) {
    if (UNDER_TSAN && strcmp(suite_the_subject.name, "redis_cluster") == 0) {
        SKIP("this store's child starts threads, which the thread sanitizer forbids after a fork among threads");
    }
}

CKIT_TEST(hardship, both_sides_of_a_fork_go_on) {
    suite s;
    skip_where_the_child_starts_threads();
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("before"), S("fork"), 60000));
    fork_and_use(&s);
    suite_end(&s);
}

CKIT_TEST(hardship, a_fork_in_the_middle_of_use_leaves_both_sides_working) {
    worker workers[2];
    suite  s;
    skip_where_the_child_starts_threads();
    suite_begin(&s);
    CHECK_OK(suite_set(&s, S("before"), S("fork"), 60000));
    for (uint32_t i = 0; i < 2; i++) {
        start(&workers[i], &s, i + 100, UNDER_TSAN ? 300 : 1500);
    }
    for (int i = 0; i < 5; i++) {
        fork_and_use(&s);
    }
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ_I(0, pthread_join(workers[i].thread, NULL));
    }
    suite_end(&s);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static ckit_status ignore_entry(void *context, const ckit_listed *entry) {
    (void)context;
    (void)entry;
    return CKIT_OK;
}

/* Every operation once. A failure must be the memory's. */
static void use_everything(suite *s) {
    ckit_entry_info info = {.ttl_ms = 60000, .namespace_name = S("n"), .function = S("f")};
    ckit_buf        out = {.alloc = &s->memory.alloc};
    ckit_lease      lease;
    ckit_deleted    deleted;
    ckit_scope      scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("n")};
    uint64_t        life_ms;
    ckit_status     answers[8];
    size_t          count = 0;
    char            long_key[3000];
    memset(long_key, 'k', sizeof long_key);
    answers[count++] = s->ops->set(s->self, S("k"), S("value"), &info, CKIT_NO_DEADLINE, NULL);
    answers[count++] = s->ops->set(s->self, S_ARRAY(long_key), S("value"), &info, CKIT_NO_DEADLINE, NULL);
    answers[count++] = s->ops->get(s->self, S("k"), CKIT_NO_DEADLINE, &out, &life_ms, NULL);
    answers[count++] = s->ops->exists(s->self, S("k"), CKIT_NO_DEADLINE, NULL);
    if (s->ops->lock_try != NULL) {
        answers[count++] = s->ops->lock_try(s->self, S("k"), 1000, CKIT_NO_DEADLINE, &lease, NULL);
    }
    if (s->ops->list != NULL) {
        answers[count++] = s->ops->list(s->self, &scope, CKIT_NO_DEADLINE, ignore_entry, NULL, NULL);
    }
    if (s->ops->delete_scope != NULL) {
        answers[count++] = s->ops->delete_scope(s->self, &scope, CKIT_NO_DEADLINE, &deleted, NULL);
    }
    answers[count++] = s->ops->remove(s->self, S("k"), CKIT_NO_DEADLINE, NULL);
    ckit_buf_fini(&out);
    for (size_t i = 0; i < count; i++) {
        bool refused = ckit_status_kind(answers[i]) == CKIT_KIND_PERMANENT; /* the long key, by some stores */
        CHECKF(answers[i] <= CKIT_MISS || answers[i] == CKIT_E_NO_MEMORY || refused, "operation %zu: %s", i,
               ckit_status_name(answers[i]));
    }
}

CKIT_TEST(hardship, each_request_for_memory_may_fail_and_nothing_leaks) {
    for (uint64_t n = 0; n < 1000; n++) {
        suite       s;
        ckit_status st = suite_begin_failing(&s, n);
        if (st == CKIT_OK) {
            use_everything(&s);
        } else {
            CHECK_STATUS(CKIT_E_NO_MEMORY, st);
        }
        bool failed = failing_alloc_has_failed(&s.memory);
        suite_end(&s);
        if (!failed) {
            return;
        }
    }
    FAIL("a thousand requests for memory and no end");
}
