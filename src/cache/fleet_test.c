/* Several processes over one store, played by several caches: threads that read, write, compute and invalidate, links
 * that deliver late and break. When everything has been delivered, no memory differs from the store. */
#include "cache/fleet_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBERS 3
#define WORKERS 2 /* of each member */
#define KEYS 6

typedef struct big_fleet {
    fleet            fl; /* its own members are not used */
    member           members[MEMBERS];
    _Atomic uint64_t newest; /* every value is another number */
    _Atomic unsigned working;
    unsigned         rounds;
} big_fleet;

typedef struct actor {
    big_fleet *big;
    member    *m;
    unsigned   seed;
    pthread_t  thread;
} actor;

static unsigned roll(actor *a, unsigned sides) { return (unsigned)rand_r(&a->seed) % sides; }

static ckit_slice name_of(char text[8], unsigned key) {
    snprintf(text, 8, "key %u", key);
    return S(text);
}

static void *work(void *context) {
    actor     *a = context;
    big_fleet *big = a->big;
    ckit_value value = CKIT_VALUE_INIT;
    char       text[8], number[24];
    for (unsigned i = 0; i < big->rounds; i++) {
        ckit_slice key = name_of(text, roll(a, KEYS));
        unsigned   what = roll(a, 20);
        atomic_store(&a->m->l.result, atomic_fetch_add(&big->newest, 1));
        if (what < 9) {
            (void)ckit_cache_get(a->m->cache, key, NULL, &value, NULL);
        } else if (what < 11) {
            snprintf(number, sizeof number, "%llu", (unsigned long long)atomic_fetch_add(&big->newest, 1));
            CHECK_OK(ckit_cache_set(a->m->cache, key, S(number), NULL, NULL));
        } else if (what < 12) {
            (void)ckit_cache_delete(a->m->cache, key, NULL, NULL);
        } else if (what < 18) {
            CHECK_OK(call(a->m->fn, roll(a, KEYS)).status);
        } else if (what < 19) {
            (void)invalidate(a->m->fn, roll(a, KEYS));
        } else {
            CHECK_OK(refresh(a->m->fn, roll(a, KEYS)).status);
        }
    }
    ckit_value_fini(&value);
    atomic_fetch_sub(&big->working, 1);
    return NULL;
}

/* Delivers, and now and then breaks the link: noticed late, mended later. */
static void *carry(void *context) {
    actor *a = context;
    while (atomic_load(&a->big->working) > 0) {
        if (roll(a, 4) == 0) {
            breathe();
        }
        (void)fake_deliver_one(a->m->watch);
        if (roll(a, 200) == 0) {
            fake_break_link(a->m->watch);
            breathe();
            fake_lose(a->m->watch);
            breathe();
            fake_repair_link(a->m->watch);
            fake_guard(a->m->watch, roll(a, 2) == 0 ? CKIT_GUARDS_READS : GUARDS_ALL);
        }
    }
    return NULL;
}

static void check_entries(member *m, member *truth) {
    for (unsigned i = 0; i < KEYS; i++) {
        char        text[8];
        ckit_value  seen = CKIT_VALUE_INIT, stored = CKIT_VALUE_INIT;
        ckit_slice  key = name_of(text, i);
        ckit_status there = ckit_cache_get(truth->cache, key, NULL, &stored, NULL);
        CHECK_STATUS(there, ckit_cache_get(m->cache, key, NULL, &seen, NULL));
        CHECK_BYTES(stored.data, seen.data);
        ckit_value_fini(&seen);
        ckit_value_fini(&stored);
    }
}

static void check_calls(member *m, member *truth) {
    for (int64_t i = 0; i < KEYS; i++) {
        ckit_buf    key = key_of(m->fn, i);
        ckit_status there = ckit_cache_exists(truth->cache, ckit_buf_slice(&key), NULL, NULL);
        answer      seen = call(m->fn, i);
        if (there == CKIT_OK) {
            CHECK_EQ_U(call(truth->fn, i).number, seen.number);
        } else {
            CHECK_EQ_U(CKIT_SOURCE_FUNCTION, seen.source);
        }
        ckit_buf_fini(&key);
        (void)fake_deliver(m->watch);
    }
}

static void run_big(bool echo, fake_kind kind) {
    big_fleet big = {.rounds = 2000};
    actor     actors[MEMBERS * (WORKERS + 1)];
    unsigned  count = 0;
    member    truth;
    fleet_prepare(&big.fl);
    fake_hub_echo(big.fl.hub, echo);
    fake_dawdle(big.fl.f.store, true);
    atomic_init(&big.newest, 1);
    atomic_init(&big.working, MEMBERS * WORKERS);
    for (unsigned i = 0; i < MEMBERS; i++) {
        member_open(&big.fl, &big.members[i], kind, GUARDS_ALL);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        for (unsigned k = 0; k <= WORKERS; k++) {
            actors[count] = (actor){.big = &big, .m = &big.members[i], .seed = 1 + count};
            CHECK_EQ_I(0, pthread_create(&actors[count].thread, NULL, k < WORKERS ? work : carry, &actors[count]));
            count++;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(actors[i].thread, NULL);
    }
    big.fl.f.options.l1 = CKIT_OFF;
    member_open(&big.fl, &truth, kind, 0);
    for (unsigned i = 0; i < MEMBERS; i++) {
        (void)fake_deliver(big.members[i].watch);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        check_entries(&big.members[i], &truth);
        for (unsigned k = 0; k < MEMBERS; k++) { /* what the last member's calls have stored meanwhile */
            (void)fake_deliver(big.members[k].watch);
        }
        check_calls(&big.members[i], &truth);
        for (unsigned k = 0; k < MEMBERS; k++) {
            (void)fake_deliver(big.members[k].watch);
        }
    }
    member_close(&truth);
    for (unsigned i = 0; i < MEMBERS; i++) {
        CHECK(stats_of(big.members[i].cache).copies_dropped > 0);
        member_close(&big.members[i]);
    }
    fake_hub_close(big.fl.hub);
    fake_store_close(big.fl.f.store);
    pthread_mutex_destroy(&big.fl.f.log.mu);
}

CKIT_TEST(fleet, no_memory_differs_from_the_store_once_all_is_delivered) { run_big(false, FAKE_FULL); }
CKIT_TEST(fleet, nor_when_own_writes_come_back) { run_big(true, FAKE_FULL); }
CKIT_TEST(fleet, nor_with_locks) { run_big(false, FAKE_LOCKING); }

CKIT_TEST(fleet, a_forked_child_trusts_no_copy_of_its_parent_s) {
    if (UNDER_TSAN) {
        SKIP("the thread sanitizer misses in a child the threads that stayed with the parent");
    }
    fleet fl;
    fleet_open(&fl, FAKE_FULL);
    set_text(&fl.a, "k", "value");
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
    (void)fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        (void)alarm(300);
        CHECK_ENTRY(CKIT_SOURCE_STORE, "value", &fl.a, "k");
        CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
        fake_clock_advance(&fl.f.time, 1000);
        CHECK_ENTRY(CKIT_SOURCE_STORE, "value", &fl.a,
                    "k"); /* nobody guards it here, until the child's own watch does */
        fake_guard(fl.a.watch, GUARDS_ALL);
        CHECK_ENTRY(CKIT_SOURCE_STORE, "value", &fl.a, "k");
        fake_clock_advance(&fl.f.time, 2000);
        CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
    CHECK_ENTRY(CKIT_SOURCE_MEMORY, "value", &fl.a, "k");
    fleet_close(&fl);
}

/* ---- who waits for another process's lock ------------------------------------------------------------------------ */

static void keep_answer(void *context, ckit_op *op, ckit_status came) {
    ckit_value *value = context;
    CHECK_OK(came);
    ckit_op_take(op, value);
    ckit_op_free(op);
}

/* The clock stands still, so the pause between two looks never ends by itself. */
CKIT_TEST(fleet, a_call_that_waits_looks_again_at_once_when_the_value_is_told) {
    fleet         fl;
    threaded_call holder = {0};
    ckit_poll    *poller;
    ckit_op      *op;
    ckit_value    value = CKIT_VALUE_INIT;
    fleet_open(&fl, FAKE_LOCKING);
    call_stop_in_loader(&holder, fl.a.fn, 7, &fl.a.l);
    CHECK_OK(ckit_poll_new(fl.b.cache, &poller, NULL));
    CHECK_STATUS(CKIT_PENDING,
                 begin_with((ckit_start){.function = fl.b.fn, .poll = poller, .ready = keep_answer, .context = &value},
                            7, &op, &value));
    fake_wait_calls(fl.f.store, FAKE_LOCK_TRY, 2); /* it has found the lock taken, and pauses */
    loader_open(&fl.a.l);
    CHECK_EQ_U(CKIT_SOURCE_FUNCTION, call_join(&holder).source);
    for (unsigned i = 0; i < 30000 && ckit_poll_dispatch(poller) == 0; i++) {
        (void)fake_deliver(fl.b.watch);
        breathe();
    }
    CHECK_EQ_U(1, read_number(&value));
    CHECK_EQ_U(CKIT_SOURCE_STORE, value.source);
    CHECK_EQ_U(0, fl.b.l.runs);
    ckit_value_fini(&value);
    ckit_poll_close(poller);
    fleet_close(&fl);
}
