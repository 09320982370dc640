/* Encrypted connections in use: they fail as other connections do, and serve as these. Whom they trust:
 * tls_trust_test.c. Of stream_tls.c. */
#include "fake_server.h"
#include "hearer.h"
#include "tls.h"
#include "tls_fixture.h"

#include "support/redis_cluster.h"

#include <cachekit/buf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- peers that are not what they should be ---------------------------------------------------------------------- */

CKIT_TEST(peers, one_that_speaks_plain_text_is_told_from_a_failure) {
    fixture   f;
    tls_relay relay = {.greeting = "-ERR unknown command\r\n"};
    fixture_init_behind(&f, &relay);
    expect_refusal(&f, CKIT_E_REJECTED, "does not speak TLS on this port");
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, one_that_says_nothing_costs_no_more_than_the_time_limit) {
    fixture   f;
    tls_relay relay = {.silent = true};
    fixture_init_behind(&f, &relay);
    f.options.socket_connect_timeout_ms = 50;
    expect_refusal(&f, CKIT_E_TIMEOUT, "does this port speak TLS?");
    tls_relay_stop(&relay);
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); }

static void expect_recovery(fixture *f) {
    for (int i = 0; i < 2000; i++) {
        if (get(f, "key", S("value"), NULL) == CKIT_OK) {
            return;
        }
        nap();
    }
    FAIL("it does not come back");
}

#define FAULTS_END 3200 /* behind the handshake, the tickets, the login and the first answers */

/* One connection with a fault at each of some places: a right answer or a classified failure, then right ones again. */
static void run_faults(tls_relay *relay, _Atomic int64_t *place, int step, uint32_t timeout_ms) {
    fixture f;
    int     failed = 0;
    fixture_init(&f, relay->port);
    f.options.socket_timeout_ms = timeout_ms;
    f.options.socket_connect_timeout_ms = timeout_ms;
    for (int at = 0; at < FAULTS_END; at += step) {
        ckit_error err = CKIT_ERROR_INIT;
        *place = at;
        relay->faulty = 1;
        fixture_open(&f);
        ckit_status st = get(&f, "key", S("value"), &err);
        failed += st != CKIT_OK;
        CHECK(st == CKIT_OK || st >= CKIT_E_FIRST);
        *place = -1;
        expect_recovery(&f);
        fixture_close(&f);
    }
    CHECK(failed > 0);
}

static void start_raw(tls_relay *relay) {
    fixture f;
    need_server();
    fixture_init(&f, 0);
    fixture_open(&f);
    put(&f, "key", S("value"));
    fixture_close(&f);
    memset(relay, 0, sizeof *relay);
    relay->raw = true;
    relay->cut_at = relay->stall_at = relay->flip_at = -1;
    relay->target = tls_server.tls_port;
    tls_relay_start(relay);
}

CKIT_TEST(peers, a_connection_cut_anywhere_is_a_failure_of_the_network) {
    static tls_relay relay;
    start_raw(&relay);
    run_faults(&relay, &relay.cut_at, 53, 20000);
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, a_changed_byte_is_noticed_wherever_it_is) {
    static tls_relay relay;
    start_raw(&relay);
    run_faults(&relay, &relay.flip_at, 61, 200);
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, a_connection_that_stalls_within_a_record_costs_no_more_than_the_time_limit) {
    static tls_relay relay;
    start_raw(&relay);
    run_faults(&relay, &relay.stall_at, 199, 200);
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, keys_may_be_renewed_at_any_time) {
    fixture   f;
    tls_relay relay = {.renews_keys = true};
    size_t    len = (size_t)1 << 20;
    uint8_t  *large = calloc(1, len);
    CHECK(large != NULL);
    memset(large, 'x', len);
    fixture_init_behind(&f, &relay);
    fixture_open(&f);
    put(&f, "key", S("value"));
    for (int i = 0; i < 200; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(get(&f, "key", S("value"), &err), &err);
    }
    put(&f, "large", ckit_slice_of(large, len));
    CHECK_OK(get(&f, "large", ckit_slice_of(large, len), NULL));
    CHECK_OK(get(&f, "large", ckit_slice_of(large, len), NULL));
    fixture_close(&f);
    tls_relay_stop(&relay);
    free(large);
}

CKIT_TEST(peers, one_that_wants_to_renegotiate_is_refused_and_left) {
    fixture   f;
    tls_relay relay = {.max_version = TLS1_2_VERSION, .renegotiates = true, .faulty = 1};
    fixture_init_behind(&f, &relay);
    f.options.socket_timeout_ms = f.options.socket_connect_timeout_ms = 1000;
    fixture_open(&f);
    for (int i = 0; i < 2000 && f.ops->set(f.self, S("key"), S("value"), &(ckit_entry_info){.ttl_ms = 60000},
                                           CKIT_NO_DEADLINE, NULL) != CKIT_OK;
         i++) {
        nap();
    }
    expect_recovery(&f);
    fixture_close(&f);
    tls_relay_stop(&relay);
}

/* ---- as other connections ---------------------------------------------------------------------------------------- */

CKIT_TEST(use, large_values_go_both_ways) {
    fixture  f;
    size_t   len = (size_t)8 << 20;
    uint8_t *large = malloc(len);
    need_server();
    CHECK(large != NULL);
    for (size_t i = 0; i < len; i++) {
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    fixture_init(&f, 0);
    fixture_open(&f);
    for (int i = 0; i < 3; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        put(&f, "large", ckit_slice_of(large, len - (size_t)i));
        CHECK_OK_ERR(get(&f, "large", ckit_slice_of(large, len - (size_t)i), &err), &err);
    }
    fixture_close(&f);
    free(large);
}

static void *use_much(void *arg) {
    fixture    *f = ((void **)arg)[0];
    const char *name = ((void **)arg)[1];
    char        key[32];
    static char value[100000];
    for (int i = 0; i < 60; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        size_t     len = i % 20 == 19 ? sizeof value : (size_t)(i * 37 % 3000 + 1);
        snprintf(key, sizeof key, "%s-%d", name, i % 7);
        put(f, key, ckit_slice_of(value, len));
        CHECK_OK_ERR(get(f, key, ckit_slice_of(value, len), &err), &err);
    }
    return NULL;
}

CKIT_TEST(use, sixty_four_threads_share_the_connections) {
    fixture   f;
    pthread_t threads[64];
    char      names[64][8];
    void     *arguments[64][2];
    need_server();
    fixture_init(&f, 0);
    fixture_open(&f);
    for (int i = 0; i < 64; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        arguments[i][0] = &f;
        arguments[i][1] = names[i];
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, use_much, arguments[i]));
    }
    for (int i = 0; i < 64; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    fixture_close(&f);
}

static void *use_until(void *arg) {
    fixture *f = ((void **)arg)[0];
    while (!atomic_load((atomic_bool *)((void **)arg)[1])) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(get(f, "key", S("value"), &err), &err);
    }
    return NULL;
}

CKIT_TEST(use, a_fork_in_the_middle_of_it_disturbs_neither_side) {
    fixture     f;
    pthread_t   threads[4];
    atomic_bool over = false;
    void       *argument[2] = {&f, &over};
    need_server();
    fixture_init(&f, 0);
    fixture_open(&f);
    put(&f, "key", S("value"));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, use_until, argument));
    }
    for (int i = 0; i < 20; i++) {
        int   status = 0;
        pid_t child = fork();
        if (child == 0) {
            bool right = get(&f, "key", S("value"), NULL) == CKIT_OK && get(&f, "key", S("value"), NULL) == CKIT_OK;
            ckit_backend_close(f.backend);
            _exit(right ? 0 : 1);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    fixture_close(&f);
}

CKIT_TEST(use, a_child_ends_without_ending_its_parents_connection) {
    fixture   f;
    tls_relay relay = {.certificate = NULL};
    int       status = 0;
    fixture_init_behind(&f, &relay);
    f.options.retries = CKIT_REDIS_NO_RETRY;
    fixture_open(&f);
    put(&f, "key", S("value"));
    pid_t child = fork();
    if (child == 0) {
        ckit_backend_close(f.backend);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(get(&f, "key", S("value"), NULL));
    CHECK_EQ_I(1, relay.handshakes);
    CHECK_EQ_I(0, relay.hung_up);
    fixture_close(&f);
    tls_relay_stop(&relay);
}

/* The context is the answer. */
static const char *told(fake_server *s, const char *words, uint64_t count) {
    (void)count;
    return strcmp(words, "SENTINEL") == 0 ? s->context : NULL;
}

CKIT_TEST(use, sentinels_and_their_master_are_reached_over_encrypted_connections) {
    fixture     f;
    fake_server sentinel;
    char        answer[64], port[8];
    tls_relay   to_sentinel = {.certificate = NULL}, to_master = {.certificate = NULL};
    need_server();
    fake_server_start(&sentinel);
    relay_start(&to_master);
    int n = snprintf(port, sizeof port, "%u", to_master.port);
    snprintf(answer, sizeof answer, "*2\r\n$9\r\nlocalhost\r\n$%d\r\n%s\r\n", n, port);
    sentinel.context = answer;
    sentinel.told = told;
    to_sentinel.target = (uint16_t)atoi(strrchr(sentinel.url, ':') + 1);
    to_sentinel.certificates = tls_dir;
    tls_relay_start(&to_sentinel);
    fixture_init(&f, 0);
    snprintf(f.url, sizeof f.url, "rediss+sentinel://127.0.0.1:%u/main", to_sentinel.port);
    expect_use(&f);
    CHECK(to_sentinel.handshakes > 0 && to_master.handshakes > 0);
    tls_relay_stop(&to_sentinel);
    tls_relay_stop(&to_master);
    fake_server_stop(&sentinel);
}

/* Opens two stores and lets one hear of what the other changes. */
static void expect_watch(const char *url) {
    member             a, b;
    char               ca[600];
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    name_file(ca, "ca.pem");
    options.url = url;
    options.ssl_ca_certs = ca;
    options.socket_timeout_ms = options.socket_connect_timeout_ms = 20000;
    member_open(&a, &options, true);
    member_open(&b, &options, false);
    member_touch(&a);
    hearer_await(&a.h, &a.h.guarded, 1, "guarded");
    for (int i = 0; i < 20; i++) { /* to all nodes, where there are several */
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        member_put(&b, key, 60000);
        hearer_await_key(&a.h, key);
    }
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    member_close(&b);
    member_close(&a);
}

CKIT_TEST(use, changes_are_heard_of_over_encrypted_connections) {
    char url[64];
    need_server();
    snprintf(url, sizeof url, "rediss://127.0.0.1:%u", tls_server.tls_port);
    expect_watch(url);
}

CKIT_TEST(use, a_cluster_is_reached_and_watched_over_encrypted_connections) {
    static redis_cluster cluster;
    fixture              f;
    char                 why[200];
    need_server();
    if (!redis_cluster_start_tls(&cluster, tls_dir, 2000, why, sizeof why)) {
        FAIL("%s", why);
    }
    fixture_init(&f, 0);
    snprintf(f.url, sizeof f.url, "%s", cluster.url);
    expect_use(&f);
    expect_watch(cluster.url);
    redis_cluster_stop(&cluster);
}
