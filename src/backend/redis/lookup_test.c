/* Names of hosts whose addresses change, are several, or are long in coming: the system's resolver is replaced. And a
 * server with no room for one more client. */
#include "hearer.h"

#include "support/redis_server.h"
#include "support/test.h"

#include <cachekit/buf.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NAME "cache.test"

/* ---- the resolver ------------------------------------------------------------------------------------------------ */

static const char *_Atomic addresses; /* of NAME, with blanks between; NULL: nobody knows it */
static _Atomic bool        stuck;     /* it does not answer */
static _Atomic unsigned    asked;

static struct addrinfo *answer_of(const char *address, const char *port) {
    struct answer {
        struct addrinfo    info;
        struct sockaddr_in name;
    } *a = calloc(1, sizeof *a);
    if (a == NULL) {
        abort();
    }
    a->name = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, address, &a->name.sin_addr) != 1) {
        free(a);
        return NULL;
    }
    a->info = (struct addrinfo){.ai_family = AF_INET,
                                .ai_socktype = SOCK_STREAM,
                                .ai_addrlen = sizeof a->name,
                                .ai_addr = (struct sockaddr *)&a->name};
    return &a->info;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out) {
    char              text[64];
    struct addrinfo **end = out;
    const char       *known = atomic_load(&addresses);
    *out = NULL;
    if (strcmp(host, NAME) != 0) {
        *out = answer_of(host, port);
        return *out != NULL ? 0 : EAI_NONAME;
    }
    if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
        return EAI_NONAME;
    }
    atomic_fetch_add(&asked, 1);
    while (atomic_load(&stuck)) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    snprintf(text, sizeof text, "%s", known != NULL ? known : "");
    for (char *rest = text, *one; (one = strtok_r(rest, " ", &rest)) != NULL;) {
        *end = answer_of(one, port);
        end = &(*end)->ai_next;
    }
    return *out != NULL ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list) {
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

/* ---- servers ----------------------------------------------------------------------------------------------------- */

static redis_server one, other;

static void stop(void) {
    redis_server_stop(&one);
    redis_server_stop(&other);
}

/* Two servers with one port, at 127.0.0.1 and at 127.0.0.2. */
static void need_servers(void) {
    static char        port[8];
    static const char *arguments[] = {"--port", port, "--bind", "127.0.0.2", NULL};
    char               why[200];
    if (one.pid != 0) {
        return;
    }
    atexit(stop);
    if (!redis_server_start(&one, NULL, why, sizeof why)) {
        SKIP("%s", why);
    }
    snprintf(port, sizeof port, "%u", one.port);
    if (!redis_server_start(&other, arguments, why, sizeof why)) {
        SKIP("%s", why);
    }
}

static void open_by_name(member *m, uint32_t timeout_ms) {
    char               url[64];
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    snprintf(url, sizeof url, "redis://" NAME ":%u", one.port);
    options.url = url;
    options.socket_timeout_ms = options.socket_connect_timeout_ms = timeout_ms;
    member_open(m, &options, false);
}

static ckit_status try_put(member *m, const char *key, ckit_error *err) {
    ckit_entry_info info = {.ttl_ms = 60000};
    return m->ops->set(m->self, S(key), S("value"), &info, CKIT_NO_DEADLINE, err);
}

static void put_at_last(member *m, const char *key) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = CKIT_E_FIRST;
    for (int i = 0; i < 3000 && st != CKIT_OK; i++) {
        st = try_put(m, key, &err);
        nanosleep(&(struct timespec){.tv_nsec = st == CKIT_OK ? 0 : 10000000}, NULL);
    }
    CHECK_OK_ERR(st, &err);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

CKIT_TEST(names, an_address_that_changes_is_followed_with_the_next_connection) {
    member m;
    char   answer[256];
    need_servers();
    atomic_store(&addresses, "127.0.0.1");
    open_by_name(&m, 20000);
    put_at_last(&m, "first");
    CHECK_STR(":1", redis_server_tell(&one, "EXISTS first", answer));
    atomic_store(&addresses, "127.0.0.2");
    put_at_last(&m, "second"); /* the connection lives on */
    CHECK_STR(":1", redis_server_tell(&one, "EXISTS second", answer));
    redis_server_tell(&one, "CLIENT KILL TYPE normal", answer);
    put_at_last(&m, "third");
    CHECK_STR(":1", redis_server_tell(&other, "EXISTS third", answer));
    member_close(&m);
}

CKIT_TEST(names, of_several_addresses_one_that_answers_is_found) {
    member m;
    char   answer[256];
    need_servers();
    atomic_store(&addresses, "127.0.0.3 127.0.0.2");
    open_by_name(&m, 20000);
    put_at_last(&m, "found");
    CHECK_STR(":1", redis_server_tell(&other, "EXISTS found", answer));
    member_close(&m);
}

CKIT_TEST(names, one_that_nobody_knows_is_a_failure_that_may_pass_and_is_looked_up_again) {
    member     m;
    ckit_error err = CKIT_ERROR_INIT;
    need_servers();
    atomic_store(&addresses, NULL);
    open_by_name(&m, 20000);
    CHECK(try_put(&m, "unknown", &err) >= CKIT_E_FIRST);
    CHECK_EQ_U(CKIT_KIND_TRANSIENT, err.kind);
    atomic_store(&addresses, "127.0.0.1");
    put_at_last(&m, "known");
    member_close(&m);
}

CKIT_TEST(names, a_resolver_that_does_not_answer_costs_no_more_than_the_time_limit) {
    member     m;
    ckit_error err = CKIT_ERROR_INIT;
    need_servers();
    atomic_store(&addresses, "127.0.0.1");
    atomic_store(&stuck, true);
    open_by_name(&m, 200);
    CHECK(try_put(&m, "late", &err) >= CKIT_E_FIRST); /* comes back at all */
    CHECK_EQ_U(CKIT_KIND_TIMEOUT, err.kind);
    unsigned before = atomic_load(&asked);
    atomic_store(&stuck, false);
    put_at_last(&m, "in time");
    CHECK(atomic_load(&asked) > before);
    member_close(&m);
}

/* ---- no room ----------------------------------------------------------------------------------------------------- */

static int occupy(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char               byte;
    snprintf(name.sun_path, sizeof name.sun_path, "%s", one.socket);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
    CHECK(send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, &byte, 1, 0) == 1 && byte == '+');
    return fd;
}

CKIT_TEST(limits, a_server_without_room_for_one_more_client_is_used_as_soon_as_there_is_room) {
    member     m;
    ckit_error err = CKIT_ERROR_INIT;
    char       answer[256];
    int        guests[3];
    need_servers();
    atomic_store(&addresses, "127.0.0.1");
    CHECK_STR("+OK", redis_server_tell(&one, "CONFIG SET maxclients 3", answer));
    for (int i = 0; i < 3; i++) { /* the connection that asked may still be there */
        guests[i] = occupy();
    }
    open_by_name(&m, 20000);
    CHECK(try_put(&m, "refused", &err) >= CKIT_E_FIRST);
    CHECK_EQ_U(CKIT_KIND_TRANSIENT, err.kind);
    for (int i = 0; i < 3; i++) {
        close(guests[i]);
    }
    put_at_last(&m, "taken");
    member_close(&m);
    CHECK_STR("+OK", redis_server_tell(&one, "CONFIG SET maxclients 1000", answer));
}
