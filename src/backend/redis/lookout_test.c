/* What a store tells of changes in a real cluster: at all masters, of slots that move, of masters that go and come. */
#include "hearer.h"
#include "store_fixture.h"

#include <cachekit/buf.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A key of that master, as the node `asked` knows. */
static void key_of(size_t asked, size_t master, const char *word, char key[48]) {
    for (unsigned i = 0;; i++) {
        snprintf(key, 48, "%s-%u", word, i);
        if (redis_cluster_owner(&cluster, asked, ckiti_redis_slot_of(S(""), S(key))) == &cluster.nodes[master]) {
            return;
        }
    }
}

/* Writes until it is taken. */
static void put_at_last(member *m, const char *key) {
    ckit_entry_info info = {.ttl_ms = 60000, .namespace_name = S("ns"), .function = S("m.f")};
    ckit_status     st = CKIT_E_FIRST;
    for (int i = 0; i < 3000 && st != CKIT_OK; i++) {
        st = m->ops->set(m->self, S(key), S("value"), &info, CKIT_NO_DEADLINE, NULL);
        pause_ms(st == CKIT_OK ? 0 : 10);
    }
    CHECK_OK(st);
}

static void check_all_masters(member *a, const char *word) {
    member b;
    member_write(&b, cluster.url);
    for (size_t i = 0; i < REDIS_CLUSTER_MASTERS; i++) {
        char key[48];
        key_of(0, i, word, key);
        hearer_forget_keys(&a->h);
        member_put(&b, key, 60000);
        hearer_await_key(&a->h, key);
        hearer_forget_keys(&a->h);
        CHECK_OK(b.ops->remove(b.self, S(key), CKIT_NO_DEADLINE, NULL));
        hearer_await_key(&a->h, key);
    }
    member_close(&b);
}

CKIT_TEST(lookout, changes_at_all_masters_are_told) {
    member a;
    need_cluster();
    member_watch(&a, cluster.url, CKIT_REDIS_INVALIDATION_AUTO);
    check_all_masters(&a, "all");
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    CHECK_EQ_U(1, hearer_seen(&a.h, &a.h.guarded));
    member_close(&a);
}

CKIT_TEST(lookout, the_link_of_one_master_that_ends_is_a_loss_of_the_whole) {
    member a;
    char   answer[256];
    need_cluster();
    member_watch(&a, cluster.url, CKIT_REDIS_INVALIDATION_TRACKING);
    for (unsigned i = 0; i < REDIS_CLUSTER_MASTERS; i++) {
        for (int tries = 0; tries < 3000; tries++) { /* the channel is subscribed to a moment after the guard */
            if (strcmp(redis_server_tell(&cluster.nodes[i], "CLIENT KILL TYPE pubsub", answer), ":1") == 0) {
                break;
            }
            pause_ms(10);
        }
        CHECK_STR(":1", answer);
        hearer_await(&a.h, &a.h.lost, i + 1, "lost");
        hearer_await(&a.h, &a.h.guarded, i + 2, "guarded");
    }
    check_all_masters(&a, "again");
    member_close(&a);
}

CKIT_TEST(lookout, a_slot_may_move_between_masters_that_are_watched) {
    member   a, b;
    char     key[48];
    unsigned slot;
    need_cluster();
    member_watch(&a, cluster.url, CKIT_REDIS_INVALIDATION_AUTO);
    member_write(&b, cluster.url);
    key_of(0, 1, "moving", key);
    slot = ckiti_redis_slot_of(S(""), S(key));
    for (size_t step = 0; step < 2; step++) { /* there, and back */
        size_t from = step == 0 ? 1 : 2, to = 3 - from;
        put_at_last(&b, key);
        redis_cluster_begin_move(&cluster, slot, from, to);
        redis_cluster_move_keys(&cluster, slot, from, to);
        redis_cluster_end_move(&cluster, slot, from, to);
        member_touch(&a);
        hearer_forget_keys(&a.h);
        put_at_last(&b, key);
        hearer_await_key(&a.h, key);
    }
    CHECK(a.h.now_guarded);
    member_close(&b);
    member_close(&a);
}

CKIT_TEST(lookout, the_child_of_a_fork_watches_by_itself) {
    if (UNDER_TSAN) {
        SKIP("not with ThreadSanitizer");
    }
    member a;
    int    status;
    need_cluster();
    member_watch(&a, cluster.url, CKIT_REDIS_INVALIDATION_AUTO);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        unsigned before = a.h.guarded; /* locks and waiters stayed behind */
        pthread_mutex_init(&a.h.lock, NULL);
        pthread_cond_init(&a.h.news, NULL);
        member_touch(&a);
        hearer_await(&a.h, &a.h.guarded, before + 1, "guarded in the child");
        check_all_masters(&a, "child");
        ckit_backend_close(a.backend);
        _exit(0);
    }
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    CHECK_EQ_I(0, WEXITSTATUS(status));
    check_all_masters(&a, "parent");
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    member_close(&a);
}

CKIT_TEST(lookout, a_store_can_be_closed_at_any_moment) {
    need_cluster();
    for (int i = 0; i < 40; i++) {
        member             a;
        ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
        options.url = cluster.url;
        member_open(&a, &options, true);
        if (i > 0) {
            member_touch(&a);
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000 * (long)(i % 20)}, NULL);
        member_close(&a);
    }
}

/* Also when the call has come back before anybody looks. */
CKIT_TEST(lookout, a_call_that_is_led_to_a_node_without_a_watch_counts_as_astray) {
    static ckiti_redis_cluster c;
    static ckiti_redis_seat   *seats[CKITI_REDIS_SEATS];
    static ckiti_redis_address address;
    ckiti_redis_endpoint       known = {.host = "127.0.0.1", .port = 1}, other = {.host = "127.0.0.1", .port = 2};
    ckiti_redis_cluster_init(&c, &address, &ckiti_redis_sockets, NULL);
    ckiti_redis_seat *seat = ckiti_redis_cluster_at(&c, &known, 7);
    CHECK_EQ_U(1, atomic_load(&c.strays));
    ckiti_redis_cluster_cover(&c, seat);
    ckiti_redis_cluster_leave(ckiti_redis_cluster_at(&c, &known, 8));
    CHECK_EQ_U(1, atomic_load(&c.strays));
    CHECK(!ckiti_redis_cluster_uncover(&c, seat));                                    /* two slots lead there */
    ckiti_redis_cluster_leave(ckiti_redis_cluster_at(&c, &other, CKITI_REDIS_SLOTS)); /* ASK */
    CHECK_EQ_U(2, atomic_load(&c.strays));
    CHECK_EQ_U(2, ckiti_redis_cluster_wanted(&c, seats));
    for (uint32_t slot = 7; slot <= 8; slot++) {
        ckiti_redis_cluster_leave(ckiti_redis_cluster_at(&c, &other, slot));
    }
    seat->visited_ms = 0;
    CHECK(ckiti_redis_cluster_uncover(&c, seat));
    ckiti_redis_cluster_leave(ckiti_redis_cluster_at(&c, &known, 7));
    CHECK_EQ_U(5, atomic_load(&c.strays));
    ckiti_redis_cluster_fini(&c);
}

CKIT_TEST(lookout, without_invalidation_or_the_new_protocol_nothing_is_watched) {
    static const char *const parameters[] = {"?invalidation=off", "?protocol=2"};
    need_cluster();
    for (int i = 0; i < 2; i++) {
        member             a;
        char               url[200];
        ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
        snprintf(url, sizeof url, "%s%s", cluster.url, parameters[i]);
        options.url = url;
        member_open(&a, &options, false);
        CHECK(a.ops->watch == NULL);
        member_close(&a);
    }
}

/* The last test: the first master does not come back. Nothing is asked for here: what is in memory must go all the
 * same. */
CKIT_TEST(lookout, a_master_that_is_replaced_is_a_loss_and_its_replica_is_watched) {
    member a, b;
    char   key[48];
    need_cluster();
    key_of(0, 0, "replaced", key);
    member_watch(&a, cluster.url, CKIT_REDIS_INVALIDATION_AUTO);
    redis_server_kill(&cluster.nodes[0]);
    hearer_await(&a.h, &a.h.lost, 1, "lost");
    hearer_await(&a.h, &a.h.guarded, 2, "guarded");
    member_write(&b, cluster.url);
    hearer_forget_keys(&a.h);
    put_at_last(&b, key);
    hearer_await_key(&a.h, key);
    CHECK_EQ_P(&cluster.nodes[REDIS_CLUSTER_MASTERS],
               redis_cluster_owner(&cluster, 1, ckiti_redis_slot_of(S(""), S(key))));
    member_close(&b);
    member_close(&a);
}
