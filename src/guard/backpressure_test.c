#include "guard/backpressure.h"
#include "support/test.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 30000u

static void wait_until_waiting(const ckiti_backpressure *b, uint32_t count) {
    while (atomic_load(&b->waiting) != count) {
        sched_yield();
    }
}

static void *wait_for_place(void *context) {
    ckiti_backpressure *b = context;
    ckiti_place         place = {.taken = false};
    CHECK_OK(ckiti_backpressure_wait(b, UINT64_MAX, &place, NULL));
    ckiti_backpressure_give_back(b, &place);
    return NULL;
}

CKIT_TEST(backpressure, there_are_as_many_places_as_configured) {
    ckiti_backpressure b;
    ckiti_place        places[4];
    ckiti_backpressure_init(&b, 3, 10, LONG_MS);
    for (int i = 0; i < 3; i++) {
        CHECK(ckiti_backpressure_try(&b, &places[i]));
    }
    CHECK(!ckiti_backpressure_try(&b, &places[3]));
    CHECK_EQ_U(3, ckiti_backpressure_in_flight(&b));
    ckiti_backpressure_give_back(&b, &places[1]);
    CHECK(ckiti_backpressure_try(&b, &places[3]));
    ckiti_backpressure_fini(&b);
}

CKIT_TEST(backpressure, who_waits_in_vain_is_told_that_the_store_is_busy) {
    ckiti_backpressure b;
    ckiti_place        first, second;
    ckit_error         err = CKIT_ERROR_INIT;
    ckiti_backpressure_init(&b, 1, 10, 1);
    CHECK(ckiti_backpressure_try(&b, &first));
    CHECK_STATUS_ERR(CKIT_E_BUSY, ckiti_backpressure_wait(&b, UINT64_MAX, &second, &err), &err);
    CHECK_EQ_U(1, atomic_load(&b.rejected));
    CHECK_EQ_U(0, atomic_load(&b.waiting));
    CHECK_EQ_U(1, ckiti_backpressure_in_flight(&b));
    ckiti_backpressure_fini(&b);
}

CKIT_TEST(backpressure, nobody_waits_longer_than_his_own_deadline) {
    ckiti_backpressure b;
    ckiti_place        first, second;
    ckiti_backpressure_init(&b, 1, 10, UINT32_MAX);
    CHECK(ckiti_backpressure_try(&b, &first));
    CHECK_STATUS(CKIT_E_BUSY, ckiti_backpressure_wait(&b, 1, &second, NULL));
    CHECK_STATUS(CKIT_E_BUSY, ckiti_backpressure_wait(&b, 0, &second, NULL));
    ckiti_backpressure_fini(&b);
}

CKIT_TEST(backpressure, who_waits_gets_the_place_that_is_given_back) {
    ckiti_backpressure b;
    ckiti_place        first;
    pthread_t          thread;
    ckiti_backpressure_init(&b, 1, 10, LONG_MS);
    CHECK(ckiti_backpressure_try(&b, &first));
    CHECK_EQ_I(0, pthread_create(&thread, NULL, wait_for_place, &b));
    wait_until_waiting(&b, 1);
    ckiti_backpressure_give_back(&b, &first);
    pthread_join(thread, NULL);
    CHECK_EQ_U(1, atomic_load(&b.waited));
    CHECK_EQ_U(0, ckiti_backpressure_in_flight(&b));
    ckiti_backpressure_fini(&b);
}

CKIT_TEST(backpressure, a_full_queue_turns_away_at_once) {
    ckiti_backpressure b;
    ckiti_place        first, refused;
    pthread_t          thread;
    ckit_error         err = CKIT_ERROR_INIT;
    ckiti_backpressure_init(&b, 1, 1, LONG_MS);
    CHECK(ckiti_backpressure_try(&b, &first));
    CHECK_EQ_I(0, pthread_create(&thread, NULL, wait_for_place, &b));
    wait_until_waiting(&b, 1);
    CHECK_STATUS_ERR(CKIT_E_BUSY, ckiti_backpressure_wait(&b, UINT64_MAX, &refused, &err), &err);
    CHECK_CONTAINS("1 wait", err.text);
    ckiti_backpressure_give_back(&b, &first);
    pthread_join(thread, NULL);
    ckiti_backpressure_fini(&b);
}

CKIT_TEST(backpressure, a_child_starts_with_every_place_free_and_old_places_do_not_come_back_there) {
    ckiti_backpressure b;
    ckiti_place        old[2], fresh;
    ckiti_backpressure_init(&b, 2, 10, LONG_MS);
    CHECK(ckiti_backpressure_try(&b, &old[0]));
    CHECK(ckiti_backpressure_try(&b, &old[1]));
    ckiti_backpressure_fork_prepare(&b);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ckiti_backpressure_fork_child(&b);
        CHECK(ckiti_backpressure_try(&b, &fresh));
        ckiti_backpressure_give_back(&b, &old[0]);
        ckiti_backpressure_give_back(&b, &old[1]);
        CHECK_EQ_U(1, ckiti_backpressure_in_flight(&b));
        ckiti_backpressure_give_back(&b, &fresh);
        _exit(ckiti_backpressure_in_flight(&b) == 0 ? 0 : 1);
    }
    ckiti_backpressure_fork_parent(&b);
    int status = 0;
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    ckiti_backpressure_give_back(&b, &old[0]);
    CHECK_EQ_U(1, ckiti_backpressure_in_flight(&b));
    ckiti_backpressure_fini(&b);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

typedef struct crowd {
    ckiti_backpressure b;
    _Atomic int        inside, most_inside;
} crowd;

static void *one_of_the_crowd(void *context) {
    crowd *c = context;
    for (int i = 0; i < 3000; i++) {
        ckiti_place place;
        if (!ckiti_backpressure_try(&c->b, &place)) {
            CHECK_OK(ckiti_backpressure_wait(&c->b, UINT64_MAX, &place, NULL));
        }
        int inside = atomic_fetch_add(&c->inside, 1) + 1;
        int most = atomic_load(&c->most_inside);
        while (inside > most && !atomic_compare_exchange_weak(&c->most_inside, &most, inside)) {}
        if (i % 16 == 0) {
            sched_yield();
        }
        atomic_fetch_sub(&c->inside, 1);
        ckiti_backpressure_give_back(&c->b, &place);
    }
    return NULL;
}

CKIT_TEST(backpressure, a_crowd_passes_without_exceeding_the_limit_or_losing_anybody) {
    crowd     c;
    pthread_t threads[8];
    memset(&c, 0, sizeof c);
    ckiti_backpressure_init(&c.b, 3, 100, LONG_MS);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, one_of_the_crowd, &c));
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_BETWEEN_U(1, 3, (uint64_t)atomic_load(&c.most_inside));
    CHECK_EQ_U(0, ckiti_backpressure_in_flight(&c.b));
    CHECK_EQ_U(0, atomic_load(&c.b.waiting));
    CHECK_EQ_U(0, atomic_load(&c.b.rejected));
    ckiti_backpressure_fini(&c.b);
}
