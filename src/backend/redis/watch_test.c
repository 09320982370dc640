/* What a store tells of changes that others make, by tracking and by publish/subscribe, over a real server that is
 * killed, frozen, flushed and strict. Waits for what must come, and judges no time. Of news.c and owner.c. */
#include "hearer.h"
#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/redis.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START(server)                                                                                                  \
    do {                                                                                                               \
        char start_why[200];                                                                                           \
        if (!redis_server_start((server), NULL, start_why, sizeof start_why)) {                                        \
            SKIP("%s", start_why);                                                                                     \
        }                                                                                                              \
    } while (0)

#define AUTOMATIC "ns:ns:func:m.f:args:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef:1s"
#define AUTOMATIC_HEAD "ns:ns:func:m.f:args:0123456789abcdef0123456789a"

/* Everything that changes an entry, by every operation; the hearer must hear of each. */
static void change_in_every_way(member *by, member *to) {
    ckit_entry_info info = {.ttl_ms = 60000, .namespace_name = S("ns"), .function = S("m.f")};
    ckit_lease      lease;
    ckit_slice      keys[] = {S_LITERAL("many 1"), S_LITERAL("many 2")};
    ckit_slice      values[] = {S_LITERAL("1"), S_LITERAL("2")};
    ckit_entry_info infos[] = {info, info};
    ckit_status     answers[2];
    hearer_forget_keys(&to->h);
    member_put(by, AUTOMATIC, 60000);
    hearer_await_key(&to->h, AUTOMATIC_HEAD);
    member_put(by, "chosen", 60000);
    hearer_await_key(&to->h, "chosen");
    CHECK_OK(by->ops->lock_try(by->self, S("fenced"), 60000, CKIT_NO_DEADLINE, &lease, NULL));
    CHECK_OK(by->ops->set_if_owner(by->self, S("fenced"), S("v"), &info, &lease, CKIT_NO_DEADLINE, NULL));
    hearer_await_key(&to->h, "fenced");
    CHECK_OK(by->ops->set_many(by->self, keys, values, infos, 2, CKIT_NO_DEADLINE, answers, NULL));
    CHECK_OK(answers[0]);
    CHECK_OK(answers[1]);
    hearer_await_key(&to->h, "many 1");
    hearer_await_key(&to->h, "many 2");
    for (int i = 0; i < 4; i++) {
        const char *key = i % 2 == 0 ? "chosen" : AUTOMATIC;
        hearer_forget_keys(&to->h);
        if (i < 2) {
            CHECK_OK(by->ops->touch(by->self, S(key), 70000, CKIT_NO_DEADLINE, NULL));
        } else {
            CHECK_OK(by->ops->remove(by->self, S(key), CKIT_NO_DEADLINE, NULL));
        }
        hearer_await_key(&to->h, i % 2 == 0 ? "chosen" : AUTOMATIC_HEAD);
    }
    pthread_mutex_lock(&to->h.lock);
    for (unsigned i = 0; i < to->h.keys; i++) {
        CHECKF(strncmp(to->h.heard[i], "ck:", 3) != 0 && strstr(to->h.heard[i], ":lock") == NULL, "%s", to->h.heard[i]);
    }
    pthread_mutex_unlock(&to->h.lock);
}

typedef struct handed {
    ckit_request    request;
    pthread_mutex_t lock;
    pthread_cond_t  ended;
    bool            done;
    ckit_status     status;
} handed;

static void on_done(ckit_request *request, ckit_status status) {
    handed *one = request->context;
    pthread_mutex_lock(&one->lock);
    one->done = true;
    one->status = status;
    pthread_cond_signal(&one->ended);
    pthread_mutex_unlock(&one->lock);
}

static void hand_over(member *by, ckit_request_kind kind, const char *key) {
    handed one = {.request = {.kind = kind,
                              .key = S(key),
                              .value = S("v"),
                              .info = {.ttl_ms = 60000},
                              .deadline_ms = CKIT_NO_DEADLINE,
                              .done = on_done},
                  .lock = PTHREAD_MUTEX_INITIALIZER,
                  .ended = PTHREAD_COND_INITIALIZER};
    one.request.context = &one;
    CHECK_STATUS(CKIT_PENDING, by->ops->submit(by->self, &one.request, NULL));
    pthread_mutex_lock(&one.lock);
    while (!one.done) {
        pthread_cond_wait(&one.ended, &one.lock);
    }
    pthread_mutex_unlock(&one.lock);
    CHECK_OK(one.status);
}

static void change_without_waiting(member *by, member *to) {
    static const char *const keys[] = {"handed", AUTOMATIC};
    static const char *const heads[] = {"handed", AUTOMATIC_HEAD};
    for (int i = 0; i < 4; i++) {
        hearer_forget_keys(&to->h);
        hand_over(by, i < 2 ? CKIT_REQUEST_SET : CKIT_REQUEST_REMOVE, keys[i % 2]);
        hearer_await_key(&to->h, heads[i % 2]);
    }
}

/* ---- tracking ---------------------------------------------------------------------------------------------------- */

CKIT_TEST(redis_watch, tracking_tells_every_change_and_no_bookkeeping) {
    redis_server server;
    member       a, b;
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_TRACKING);
    member_write(&b, server.url);
    change_in_every_way(&b, &a);
    change_without_waiting(&b, &a);
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, tracking_tells_of_ends_and_of_scopes_by_their_keys) {
    redis_server server;
    member       a, b;
    ckit_deleted deleted;
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_AUTO);
    member_write(&b, server.url);
    member_put(&b, "short-lived", 1);
    hearer_await_key(&a.h, "short-lived");
    if (server.clock_us == NULL) {
        hearer_forget_keys(&a.h);
        hearer_await_key(&a.h, "short-lived"); /* its end */
    }
    member_put(&b, AUTOMATIC, 60000);
    member_put(&b, "chosen", 60000);
    hearer_await_key(&a.h, "chosen");
    hearer_forget_keys(&a.h);
    CHECK_OK(b.ops->delete_scope(b.self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    hearer_await_key(&a.h, "chosen");
    hearer_await_key(&a.h, AUTOMATIC_HEAD);
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, with_a_prefix_only_keys_behind_it_are_told_and_without_it) {
    redis_server       server;
    member             a, b, other;
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    START(&server);
    options.url = server.url;
    options.key_prefix = "mine:";
    member_open(&a, &options, true);
    member_touch(&a);
    hearer_await(&a.h, &a.h.guarded, 1, "guarded");
    member_open(&b, &options, false);
    options.key_prefix = "theirs:";
    member_open(&other, &options, false);
    member_put(&other, "k", 60000);
    member_put(&b, "ck:odd", 60000);
    hearer_await_key(&a.h, "ck:odd");
    CHECK_EQ_U(1, hearer_seen(&a.h, &a.h.keys));
    member_close(&other);
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, a_flush_is_a_change_of_everything) {
    redis_server server;
    member       a;
    char         answer[256];
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_AUTO);
    CHECK_STR("+OK", redis_server_tell(&server, "FLUSHALL", answer));
    hearer_await(&a.h, &a.h.scopes, 1, "scopes");
    CHECK_EQ_U(CKIT_SCOPE_ALL, a.h.scope);
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, a_burst_of_a_thousand_is_told_completely) {
    redis_server server;
    member       a, b;
    char         key[32];
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_AUTO);
    member_write(&b, server.url);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        member_put(&b, key, 60000);
    }
    hearer_await(&a.h, &a.h.keys, 1000, "keys");
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        hearer_await_key(&a.h, key);
    }
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

/* ---- a link that breaks ------------------------------------------------------------------------------------------ */

static void check_it_still_hears(member *a, redis_server *server, const char *key) {
    member b;
    member_write(&b, server->url);
    member_put(&b, key, 60000);
    hearer_await_key(&a->h, key);
    member_close(&b);
}

CKIT_TEST(redis_watch, a_link_that_the_server_ends_is_lost_and_comes_again) {
    redis_server server;
    member       a;
    char         answer[256];
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_AUTO);
    for (unsigned i = 1; i <= 3; i++) {
        /* The channel is subscribed to a moment after the guard. */
        struct timespec until = hearer_patience(), now;
        do {
            redis_server_tell(&server, "CLIENT KILL TYPE pubsub", answer);
            clock_gettime(CLOCK_REALTIME, &now);
        } while (strcmp(answer, ":1") != 0 && now.tv_sec < until.tv_sec);
        CHECK_STR(":1", answer);
        hearer_await(&a.h, &a.h.lost, i, "lost");
        hearer_await(&a.h, &a.h.guarded, i + 1, "guarded");
    }
    check_it_still_hears(&a, &server, "after");
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, a_server_that_is_killed_and_started_again_is_watched_again) {
    redis_server server;
    member       a;
    char         why[200];
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_AUTO);
    redis_server_kill(&server);
    hearer_await(&a.h, &a.h.lost, 1, "lost");
    CHECK(redis_server_restart(&server, why, sizeof why));
    hearer_await(&a.h, &a.h.guarded, 2, "guarded");
    check_it_still_hears(&a, &server, "after");
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, a_server_that_says_nothing_any_more_is_lost) {
    redis_server       server;
    member             a;
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    START(&server);
    options.url = server.url;
    options.socket_timeout_ms = 200;
    member_open(&a, &options, true);
    member_touch(&a);
    hearer_await(&a.h, &a.h.guarded, 1, "guarded");
    redis_server_freeze(&server);
    hearer_await(&a.h, &a.h.lost, 1, "lost");
    redis_server_thaw(&server);
    hearer_await(&a.h, &a.h.guarded, 2, "guarded");
    check_it_still_hears(&a, &server, "after");
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, who_does_not_listen_loses_the_link_and_what_was_told_by_it) {
    redis_server server;
    member       a, b;
    char         answer[256];
    static char  key[60001];
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_AUTO);
    CHECK_STR("+OK", redis_server_tell(&server, "CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"", answer));
    member_write(&b, server.url);
    pthread_mutex_lock(&a.h.lock);
    a.h.deaf = true;
    pthread_mutex_unlock(&a.h.lock);
    memset(key, 'k', sizeof key - 1);
    for (int i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "%04d", i);
        key[4] = 'k';
        member_put(&b, key, 60000);
    }
    pthread_mutex_lock(&a.h.lock);
    a.h.deaf = false;
    pthread_cond_broadcast(&a.h.news);
    pthread_mutex_unlock(&a.h.lock);
    hearer_await(&a.h, &a.h.lost, 1, "lost");
    hearer_await(&a.h, &a.h.guarded, 2, "guarded");
    CHECK(hearer_seen(&a.h, &a.h.keys) < 400);
    hearer_await_key(&a.h, "0000kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    check_it_still_hears(&a, &server, "after");
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

/* ---- publish/subscribe ------------------------------------------------------------------------------------------- */

static void change_a_scope(member *by, member *to) {
    ckit_deleted deleted;
    ckit_scope   scope = {.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("ns")};
    member_put(by, "one", 60000);
    CHECK_OK(by->ops->delete_scope(by->self, &scope, CKIT_NO_DEADLINE, &deleted, NULL));
    hearer_await(&to->h, &to->h.scopes, 1, "scopes");
    CHECK_EQ_U(CKIT_SCOPE_NAMESPACE, to->h.scope);
}

CKIT_TEST(redis_watch, over_the_old_protocol_processes_tell_each_other) {
    redis_server server;
    member       a, b;
    char         url[128];
    START(&server);
    snprintf(url, sizeof url, "%s?protocol=2", server.url);
    member_watch(&a, url, CKIT_REDIS_INVALIDATION_AUTO);
    member_write(&b, url);
    change_in_every_way(&b, &a);
    change_without_waiting(&b, &a);
    change_a_scope(&b, &a);
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, where_tracking_is_forbidden_processes_tell_each_other) {
    redis_server server;
    member       a, b;
    char         url[128], answer[256];
    START(&server);
    CHECK_STR("+OK", redis_server_tell(&server, "ACL SETUSER kept on >pw ~* &* +@all -client|tracking", answer));
    snprintf(url, sizeof url, "redis://kept:pw@127.0.0.1:%u/0", server.port);
    member_watch(&a, url, CKIT_REDIS_INVALIDATION_AUTO);
    member_watch(&b, url, CKIT_REDIS_INVALIDATION_AUTO);
    change_in_every_way(&b, &a);
    change_without_waiting(&b, &a);
    change_a_scope(&b, &a);
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, publishing_can_be_asked_for_and_malformed_messages_are_passed_over) {
    redis_server server;
    member       a, b;
    char         answer[256], url[128];
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_PUBSUB);
    snprintf(url, sizeof url, "%s?invalidation=pubsub", server.url);
    member_write(&b, url);
    CHECK_STR(":1", redis_server_tell(&server, "PUBLISH cachekit:invalidation nonsense", answer));
    CHECK_STR(":1", redis_server_tell(&server, "PUBLISH cachekit:invalidation \"\\x81\\xa1l\\xa6global\"", answer));
    hearer_await(&a.h, &a.h.scopes, 1, "scopes");
    change_in_every_way(&b, &a);
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    CHECK_STR(":1", redis_server_tell(&server, "CLIENT KILL TYPE pubsub", answer));
    hearer_await(&a.h, &a.h.guarded, 2, "guarded");
    CHECK_EQ_U(1, hearer_seen(&a.h, &a.h.lost));
    member_close(&b);
    member_close(&a);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, where_nothing_is_allowed_the_store_works_and_the_watch_stays_lost) {
    redis_server       server;
    member             a;
    char               url[128], answer[256];
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    START(&server);
    CHECK_STR("+OK",
              redis_server_tell(&server, "ACL SETUSER kept on >pw ~* +@all -client|tracking -subscribe", answer));
    snprintf(url, sizeof url, "redis://kept:pw@127.0.0.1:%u/0", server.port);
    options.url = url;
    for (int i = 0; i < 2; i++) {
        options.invalidation = i == 0 ? CKIT_REDIS_INVALIDATION_AUTO : CKIT_REDIS_INVALIDATION_TRACKING;
        member_open(&a, &options, true);
        for (int k = 0; k < 100; k++) {
            member_put(&a, "k", 60000);
        }
        CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.guarded));
        member_close(&a);
    }
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, without_invalidation_there_is_no_watch_and_no_message) {
    redis_server       server;
    member             a, b;
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    char               answer[256];
    START(&server);
    options.url = server.url;
    options.invalidation = CKIT_REDIS_INVALIDATION_OFF;
    member_open(&b, &options, false);
    CHECK(b.ops->watch == NULL);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_PUBSUB);
    member_put(&b, "k", 60000);
    CHECK_STR(":1", redis_server_tell(&server, "PUBLISH cachekit:invalidation \"\\x81\\xa1l\\xa6global\"", answer));
    hearer_await(&a.h, &a.h.scopes, 1, "scopes");
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.keys));
    member_close(&a);
    member_close(&b);
    redis_server_stop(&server);
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------- */

CKIT_TEST(redis_watch, the_child_of_a_fork_watches_by_itself) {
    if (UNDER_TSAN) {
        SKIP("not with ThreadSanitizer");
    }
    redis_server server;
    member       a;
    int          status;
    START(&server);
    member_watch(&a, server.url, CKIT_REDIS_INVALIDATION_AUTO);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        unsigned before = a.h.guarded; /* locks and waiters stayed behind */
        pthread_mutex_init(&a.h.lock, NULL);
        pthread_cond_init(&a.h.news, NULL);
        member_touch(&a);
        hearer_await(&a.h, &a.h.guarded, before + 1, "guarded in the child");
        check_it_still_hears(&a, &server, "told to the child");
        ckit_backend_close(a.backend);
        _exit(0);
    }
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    CHECK_EQ_I(0, WEXITSTATUS(status));
    hearer_await_key(&a.h, "told to the child");
    check_it_still_hears(&a, &server, "told to the parent");
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    CHECK_EQ_U(1, hearer_seen(&a.h, &a.h.guarded));
    member_close(&a);
    redis_server_stop(&server);
}

/* It takes connections, and says nothing. */
CKIT_TEST(redis_watch, a_store_can_be_closed_while_its_link_is_being_made) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof name;
    int                listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char               url[64];
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&name, sizeof name) == 0 && listen(listener, 64) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&name, &len) == 0);
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", ntohs(name.sin_port));
    options.url = url;
    options.socket_connect_timeout_ms = 3600000;
    options.socket_timeout_ms = 3600000;
    for (int i = 0; i < 20; i++) {
        member          a;
        struct timespec now;
        ckit_buf        out = CKIT_BUF_INIT;
        uint64_t        life;
        member_open(&a, &options, true);
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t soon = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + (uint64_t)i;
        CHECK(a.ops->get(a.self, S("k"), soon, &out, &life, NULL) >= CKIT_E_FIRST);
        CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.guarded));
        member_close(&a);
    }
    close(listener);
}

CKIT_TEST(redis_watch, a_store_that_is_not_used_connects_to_nobody) {
    redis_server       server;
    member             a;
    char               answer[256];
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    START(&server);
    options.url = server.url;
    redis_server_tell(&server, "CONFIG RESETSTAT", answer);
    member_open(&a, &options, true);
    member_close(&a);
    redis_server_tell(
        &server, "EVAL \"return tonumber(redis.call('info','stats'):match('total_connections_received:(%d+)'))\" 0",
        answer);
    CHECK_STR(":1", answer);
    redis_server_stop(&server);
}

CKIT_TEST(redis_watch, options_that_contradict_each_other_are_refused) {
    static const char *const urls[] = {"redis://h?invalidation=sometimes", "redis://h?protocol=2&invalidation=tracking",
                                       "redis+cluster://h?invalidation=pubsub"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
        ckit_backend      *backend;
        ckit_error         err = CKIT_ERROR_INIT;
        options.url = urls[i];
        CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_redis_open(&options, NULL, &backend, &err), &err);
        CHECK_CONTAINS("invalidation", err.text);
    }
}
