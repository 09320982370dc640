/* Many threads, and fork. Values describe themselves, so a reader sees at once what is not its key's. Of readers.c. */
#include "memory/l1_test.h"
#include "memory/tier.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS 2000u

typedef struct crowd {
    ckiti_l1    *l1;
    uint64_t     operations; /* of each thread */
    atomic_bool  stop;
    atomic_ulong wrong;
    atomic_ulong found;
} crowd;

typedef struct member {
    crowd    *crowd;
    uint64_t  seed;
    pthread_t thread;
} member;

static uint64_t draw(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* The length of a key's value is decided by the key and a version; the version leads the value. */
static size_t length_of(uint64_t key, uint64_t version) {
    static const size_t lengths[] = {8, 16, 40, 64, 120, 128, 129, 300, 2000, 9000};
    uint64_t            mixed = key * 31 + version * 7;
    return mixed % 97 == 0 ? 200000 : lengths[mixed % 10];
}

static void make_versioned(uint8_t *bytes, uint64_t key, uint64_t version) {
    size_t len = length_of(key, version);
    describe_value(bytes, len, key * 1000003 + version);
    memcpy(bytes, &version, sizeof version);
}

static bool is_right(ckit_slice value, uint64_t key) {
    static _Thread_local uint8_t expected[200000];
    uint64_t                     version;
    if (value.len < sizeof version) {
        return false;
    }
    memcpy(&version, value.ptr, sizeof version);
    if (version > 1000 || value.len != length_of(key, version)) {
        return false;
    }
    make_versioned(expected, key, version);
    return memcmp(expected, value.ptr, value.len) == 0;
}

static void check_value(crowd *c, const ckit_value *value, uint64_t key) {
    atomic_fetch_add(&c->found, 1);
    if (!is_right(value->data, key)) {
        atomic_fetch_add(&c->wrong, 1);
    }
}

static void read_one(crowd *c, uint64_t key, ckit_value *held) {
    char       buffer[32];
    ckit_value value = CKIT_VALUE_INIT;
    if (get_at(c->l1, number_key(buffer, sizeof buffer, key), T0, &value) != CKIT_MISS) {
        check_value(c, &value, key);
        if (held->release == NULL && value.release != NULL) {
            get_at(c->l1, number_key(buffer, sizeof buffer, key), T0, held);
        }
    }
    ckit_value_fini(&value);
}

static void *reader(void *context) {
    member    *m = context;
    ckit_value held = CKIT_VALUE_INIT;
    for (uint64_t i = 0; i < m->crowd->operations; i++) {
        read_one(m->crowd, draw(&m->seed) % KEYS, &held);
        if (i % 64 == 0) {
            ckit_value_fini(&held);
        }
    }
    ckit_value_fini(&held);
    return NULL;
}

static void *many_reader(void *context) {
    member        *m = context;
    char           buffers[40][32];
    ckiti_l1_query queries[40];
    ckit_value     values[40];
    ckit_status    answers[40];
    uint64_t       keys[40];
    for (uint64_t i = 0; i < m->crowd->operations / 40; i++) {
        for (size_t k = 0; k < 40; k++) {
            keys[k] = draw(&m->seed) % KEYS;
            queries[k] = query_of(m->crowd->l1, number_key(buffers[k], sizeof buffers[k], keys[k]));
            ckit_value_init(&values[k]);
        }
        ckiti_l1_get_many(m->crowd->l1, queries, 40, T0, values, answers);
        for (size_t k = 0; k < 40; k++) {
            if (answers[k] == CKIT_OK) {
                check_value(m->crowd, &values[k], keys[k]);
            }
            ckit_value_fini(&values[k]);
        }
    }
    return NULL;
}

static void *writer(void *context) {
    static _Thread_local uint8_t bytes[200000];
    member                      *m = context;
    for (uint64_t i = 0; i < m->crowd->operations; i++) {
        char       buffer[32];
        uint64_t   number = draw(&m->seed) % KEYS;
        uint64_t   version = draw(&m->seed) % 1000;
        ckit_slice key = number_key(buffer, sizeof buffer, number);
        if (i % 8 == 7) {
            ckiti_l1_remove(m->crowd->l1, key, ckiti_l1_hash(m->crowd->l1, key));
            continue;
        }
        make_versioned(bytes, number, version);
        ckit_status st = put_at(m->crowd->l1, key, (ckit_slice){bytes, length_of(number, version)}, HOUR_MS, T0);
        if (st != CKIT_OK && st != CKIT_E_NO_MEMORY && st != CKIT_MISS) {
            atomic_fetch_add(&m->crowd->wrong, 1);
        }
    }
    return NULL;
}

static void *sweeper(void *context) {
    member *m = context;
    for (uint64_t i = 0; !atomic_load(&m->crowd->stop); i++) {
        ckiti_l1_sweep(m->crowd->l1, T0, 50, NULL, NULL);
        ckiti_l1_query query = query_of(m->crowd->l1, S("key:7"));
        (void)ckiti_l1_touch(m->crowd->l1, &query, HOUR_MS, T0);
        (void)stats_of(m->crowd->l1);
        if (i % 50 == 49) {
            ckiti_l1_invalidate_all(m->crowd->l1);
        }
        usleep(200);
    }
    return NULL;
}

static void run_crowd(uint64_t max_bytes, uint64_t operations, bool fenced) {
    void *(*const roles[])(void *) = {reader, reader, many_reader, writer, writer};
    enum { COUNT = sizeof roles / sizeof roles[0] };
    crowd  c = {.l1 = open_tier(max_bytes), .operations = operations};
    member members[COUNT], sweeping = {.crowd = &c};
    if (fenced) { /* as where the system has no membarrier */
        atomic_store(&c.l1->readers.fenced, true);
    }
    member filling = {.crowd = &c, .seed = 99}; /* or fast readers would be done before a writer has begun */
    (void)writer(&filling);
    CHECK_EQ_I(0, pthread_create(&sweeping.thread, NULL, sweeper, &sweeping));
    for (size_t i = 0; i < COUNT; i++) {
        members[i] = (member){.crowd = &c, .seed = i + 1};
        CHECK_EQ_I(0, pthread_create(&members[i].thread, NULL, roles[i], &members[i]));
    }
    for (size_t i = 0; i < COUNT; i++) {
        pthread_join(members[i].thread, NULL);
    }
    atomic_store(&c.stop, true);
    pthread_join(sweeping.thread, NULL);
    CHECK_EQ_U(0, atomic_load(&c.wrong));
    CHECK(atomic_load(&c.found) > 0);
    CHECK(stats_of(c.l1).used_bytes <= max_bytes);
    ckiti_l1_close(c.l1);
}

static uint64_t operations(void) { return getenv("CKIT_SOAK") != NULL ? 5000000 : 40000; }

CKIT_TEST(threads, readers_and_writers_never_see_a_wrong_value_in_a_tight_budget) {
    run_crowd(1 << 20, operations(), false);
}

CKIT_TEST(threads, readers_and_writers_never_see_a_wrong_value_without_membarrier) {
    run_crowd(2 << 20, operations(), true);
}

CKIT_TEST(threads, readers_and_writers_never_see_a_wrong_value_while_tables_grow) {
    run_crowd(UINT64_C(64) << 20, operations(), false);
}

/* One hot key, replaced all the time. */
typedef struct hot {
    ckiti_l1    *l1;
    atomic_bool  stop;
    atomic_ulong wrong;
} hot;

static void *hot_reader(void *context) {
    hot *h = context;
    while (!atomic_load(&h->stop)) {
        ckit_value value = CKIT_VALUE_INIT;
        if (get_at(h->l1, S("hot"), T0, &value) != CKIT_OK || !is_right(value.data, 1)) {
            atomic_fetch_add(&h->wrong, 1); /* it is there all the time: a miss is wrong too */
        }
        ckit_value_fini(&value);
    }
    return NULL;
}

CKIT_TEST(threads, a_key_that_is_replaced_all_the_time_is_never_missed) {
    static uint8_t bytes[200000];
    hot            h = {.l1 = open_tier(8 << 20)};
    pthread_t      threads[2];
    char           buffer[32];
    make_versioned(bytes, 1, 0);
    CHECK_OK(put_at(h.l1, S("hot"), (ckit_slice){bytes, length_of(1, 0)}, HOUR_MS, T0));
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, hot_reader, &h));
    }
    for (uint64_t i = 0; i < operations() / 2; i++) {
        make_versioned(bytes, 1, i % 1000);
        CHECK_OK(put_at(h.l1, S("hot"), (ckit_slice){bytes, length_of(1, i % 1000)}, HOUR_MS, T0));
        /* Others come, so that the table grows around it, but not so many that anything is evicted. */
        if (i < 5000) {
            CHECK_OK(put_at(h.l1, number_key(buffer, sizeof buffer, i), S("v"), HOUR_MS, T0));
        }
    }
    atomic_store(&h.stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_EQ_U(0, atomic_load(&h.wrong));
    ckiti_l1_close(h.l1);
}

static void *short_life(void *context) {
    (void)probe(context, "k");
    return NULL;
}

CKIT_TEST(threads, records_of_ended_threads_are_used_again) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    ckiti_l1 *l1 = open_tier_on(1 << 20, &fa.alloc);
    CHECK_OK(put(l1, "k", "v"));
    uint64_t before = atomic_load(&fa.requests);
    for (int i = 0; i < 500; i++) {
        pthread_t thread;
        CHECK_EQ_I(0, pthread_create(&thread, NULL, short_life, l1));
        pthread_join(thread, NULL);
    }
    CHECK_BETWEEN_U(1, 70, atomic_load(&fa.requests) - before);
    CHECK_EQ_U(500, stats_of(l1).hits);
    ckiti_l1_close(l1);
    failing_alloc_check_empty(&fa);
}

CKIT_TEST(threads, a_thread_without_memory_for_a_record_reads_all_the_same) {
    failing_alloc fa;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    ckiti_l1 *l1 = open_tier_on(1 << 20, &fa.alloc);
    CHECK_OK(put(l1, "k", "v"));
    atomic_store(&fa.fail_at, atomic_load(&fa.requests));
    atomic_store(&fa.fail_on, true);
    CHECK_OK(probe(l1, "k"));
    CHECK_STATUS(CKIT_MISS, probe(l1, "absent"));
    CHECK_EQ_U(1, stats_of(l1).hits);
    CHECK_EQ_U(1, stats_of(l1).misses);
    ckiti_l1_close(l1);
}

static void *releaser(void *context) {
    ckit_value_fini(context);
    return NULL;
}

CKIT_TEST(threads, a_value_may_be_given_back_by_another_thread_after_close) {
    static uint8_t bytes[5000];
    ckiti_l1      *l1 = open_tier(1 << 20);
    ckit_value     value = CKIT_VALUE_INIT;
    pthread_t      thread;
    CHECK_OK(put_at(l1, S("k"), S_ARRAY(bytes), HOUR_MS, T0));
    CHECK_OK(get_at(l1, S("k"), T0, &value));
    ckiti_l1_close(l1);
    CHECK_EQ_I(0, pthread_create(&thread, NULL, releaser, &value));
    pthread_join(thread, NULL);
    CHECK(value.data.ptr == NULL);
}

/* ---- fork ------------------------------------------------------------------------------------------------ */

#ifndef CKITI_TSAN /* it does not follow threads through a fork */

static void *busy(void *context) {
    member *m = context;
    while (!atomic_load(&m->crowd->stop)) {
        m->crowd->operations = 100;
        (void)reader(m);
        (void)writer(m);
    }
    return NULL;
}

static int use_in_child(ckiti_l1 *l1) {
    static uint8_t bytes[200000];
    char           buffer[32];
    for (uint64_t i = 0; i < 3000; i++) {
        ckit_value value = CKIT_VALUE_INIT;
        ckit_slice key = number_key(buffer, sizeof buffer, i % KEYS);
        make_versioned(bytes, i % KEYS, i % 1000);
        if (put_at(l1, key, (ckit_slice){bytes, length_of(i % KEYS, i % 1000)}, HOUR_MS, T0) != CKIT_OK ||
            get_at(l1, key, T0, &value) != CKIT_OK || !is_right(value.data, i % KEYS)) {
            return 1;
        }
        ckit_value_fini(&value);
    }
    (void)ckiti_l1_sweep(l1, T0 + HOUR_MS, 100, NULL, NULL);
    return 0;
}

CKIT_TEST(threads, a_forked_child_reads_and_writes_what_was_in_full_use) {
    crowd  c = {.l1 = open_tier(4 << 20), .operations = 100};
    member members[2];
    CHECK_STATUS(CKIT_MISS, probe(c.l1, "x")); /* this thread has a record when it forks */
    for (size_t i = 0; i < 2; i++) {
        members[i] = (member){.crowd = &c, .seed = i + 1};
        CHECK_EQ_I(0, pthread_create(&members[i].thread, NULL, busy, &members[i]));
    }
    for (int i = 0; i < 20; i++) {
        ckiti_l1_fork_prepare(c.l1);
        pid_t child = fork();
        if (child == 0) {
            ckiti_l1_fork_child(c.l1);
            int failed = use_in_child(c.l1);
            ckiti_l1_close(c.l1);
            _exit(failed);
        }
        ckiti_l1_fork_parent(c.l1);
        int status = -1;
        CHECK(child > 0);
        CHECK_EQ_I(child, waitpid(child, &status, 0));
        CHECK_EQ_I(0, status);
    }
    atomic_store(&c.stop, true);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(members[i].thread, NULL);
    }
    CHECK_EQ_U(0, atomic_load(&c.wrong));
    ckiti_l1_close(c.l1);
}

#endif
