#include "fake_server.h"

#include "resp.h"

#include "support/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 64

typedef struct client {
    int               fd; /* -1: free */
    bool              faulty, stalled;
    int64_t           sent; /* without logins */
    ckiti_resp_reader reader;
    ckit_buf          command; /* arguments of the current one, each with a zero behind it */
    uint64_t          words;
    ckit_buf          answers;
    ckit_buf          body;       /* of a long argument */
    bool              login_only; /* all that `answers` holds belongs to a login */
} client;

static void say(client *c, const char *text) { CHECK_OK(ckit_buf_append(&c->answers, S(text))); }

static void say_bulk(client *c, const char *text) {
    char header[32];
    snprintf(header, sizeof header, "$%zu\r\n", strlen(text));
    say(c, header);
    say(c, text);
    say(c, "\r\n");
}

static const char *first_of(_Atomic(const char *) *text, const char *otherwise) {
    const char *told = atomic_load(text);
    return told != NULL ? told : otherwise;
}

static void answer(fake_server *s, client *c) {
    const char      *name = (const char *)c->command.ptr;
    const char      *key = name + strlen(name) + 1;
    bool             login = strcmp(name, "HELLO") == 0 || strcmp(name, "AUTH") == 0 || strcmp(name, "CLIENT") == 0;
    const char      *instead = atomic_load(&s->instead);
    fake_server_told told = atomic_load(&s->told);
    const char      *own = told != NULL ? told(s, name, c->words) : NULL;
    c->login_only = c->login_only && login;
    atomic_fetch_add(&s->commands, 1);
    if (own != NULL) {
        say(c, own);
    } else if (strcmp(name, "HELLO") == 0) {
        say(c, first_of(&s->hello, "%1\r\n+proto\r\n:3\r\n"));
    } else if (strcmp(name, "AUTH") == 0) {
        say(c, first_of(&s->auth, "+OK\r\n"));
    } else if (login) {
        say(c, "+OK\r\n");
    } else if (instead != NULL) {
        say(c, instead);
    } else if (strcmp(name, "PING") == 0) {
        say(c, "+PONG\r\n");
    } else if (strcmp(name, "PTTL") == 0) {
        say(c, ":60000\r\n");
    } else if (strcmp(name, "EXISTS") == 0) {
        say(c, ":1\r\n");
    } else if (strcmp(name, "GET") == 0) {
        say_bulk(c, key);
    } else if (strcmp(name, "MGET") == 0) {
        char header[32];
        snprintf(header, sizeof header, "*%u\r\n", (unsigned)c->words - 1);
        say(c, header);
        for (uint64_t i = 1; i < c->words; i++, key += strlen(key) + 1) {
            say_bulk(c, key);
        }
    } else {
        say(c, "+OK\r\n");
    }
}

/* Sends so many of the bytes as the faults allow; false when the connection is to be closed. */
static bool send_answers(fake_server *s, client *c) {
    size_t  len = c->answers.len;
    int64_t cut = c->faulty && !c->login_only ? atomic_load(&s->cut_after) : -1;
    int64_t stall = c->faulty && !c->login_only ? atomic_load(&s->stall_after) : -1;
    int64_t limit = cut >= 0 ? cut : stall;
    if (limit >= 0 && c->sent + (int64_t)len >= limit) {
        len = limit > c->sent ? (size_t)(limit - c->sent) : 0;
        c->stalled = true;
    }
    int32_t delay = c->login_only ? 0 : atomic_load(&s->delay_ms);
    if (delay > 0) {
        nanosleep(&(struct timespec){.tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000L}, NULL);
    }
    for (size_t at = 0; at < len;) {
        ssize_t n = send(c->fd, c->answers.ptr + at, len - at, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += (size_t)n;
    }
    c->sent += c->login_only ? 0 : (int64_t)len;
    c->answers.len = 0;
    return !(c->stalled && cut >= 0);
}

static void take_item(fake_server *s, client *c, const ckiti_resp_item *item) {
    if (item->depth == 0) {
        c->command.len = 0;
        c->words = (uint64_t)item->integer;
        return;
    }
    CHECK_OK(ckit_buf_append(&c->command, item->streamed ? ckit_buf_slice(&c->body) : item->text));
    CHECK_OK(ckit_buf_append(&c->command, S_LITERAL("\0")));
    if (item->ends) {
        answer(s, c);
    }
}

/* False when the connection is over. */
static bool serve(fake_server *s, client *c) {
    struct iovec      parts[2];
    ckiti_resp_item   item;
    ckiti_resp_result result;
    (void)ckiti_resp_room(&c->reader, parts);
    ssize_t n = recv(c->fd, parts[0].iov_base, parts[0].iov_len, 0);
    if (n <= 0) {
        return false;
    }
    ckiti_resp_fed(&c->reader, (size_t)n);
    c->login_only = true;
    while ((result = ckiti_resp_next(&c->reader, &item)) != CKITI_RESP_MORE) {
        CHECK(result != CKITI_RESP_BAD);
        if (result == CKITI_RESP_BODY) {
            c->body.len = 0;
            CHECK_OK(ckit_buf_reserve(&c->body, (size_t)item.integer));
            c->body.len = (size_t)item.integer;
            ckiti_resp_into(&c->reader, c->body.ptr);
        } else {
            take_item(s, c, &item);
        }
    }
    if (c->stalled || c->answers.len == 0) {
        return true;
    }
    if (!c->login_only && atomic_load(&s->before) != NULL) {
        ckit_buf answers = c->answers;
        c->answers = (ckit_buf)CKIT_BUF_INIT;
        say(c, atomic_load(&s->before));
        CHECK_OK(ckit_buf_append(&c->answers, ckit_buf_slice(&answers)));
        ckit_buf_fini(&answers);
    }
    if (!c->login_only && atomic_load(&s->after) != NULL) {
        say(c, atomic_load(&s->after));
    }
    return send_answers(s, c);
}

static void hang_up(client *c) {
    close(c->fd);
    c->fd = -1;
    ckiti_resp_reader_fini(&c->reader);
    ckit_buf_fini(&c->command);
    ckit_buf_fini(&c->answers);
    ckit_buf_fini(&c->body);
}

static void greet(fake_server *s, client *clients) {
    int     fd = accept(s->listener, NULL, NULL);
    int32_t faulty = atomic_load(&s->faulty);
    CHECK(fd >= 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].fd < 0) {
            clients[i] = (client){.fd = fd, .faulty = faulty != 0};
            CHECK_OK(ckiti_resp_reader_init(&clients[i].reader, NULL));
            if (faulty > 0) {
                atomic_fetch_sub(&s->faulty, 1);
            }
            atomic_fetch_add(&s->connections, 1);
            return;
        }
    }
    close(fd);
}

static void *run(void *arg) {
    fake_server *s = arg;
    client       clients[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i].fd = -1;
    }
    for (;;) {
        struct pollfd fds[CLIENTS + 2] = {{.fd = s->listener, .events = POLLIN},
                                          {.fd = s->stop_pipe[0], .events = POLLIN}};
        for (size_t i = 0; i < CLIENTS; i++) {
            fds[i + 2] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        }
        CHECK(poll(fds, CLIENTS + 2, -1) > 0);
        if (fds[1].revents != 0) {
            break;
        }
        for (size_t i = 0; i < CLIENTS; i++) {
            if (clients[i].fd >= 0 && fds[i + 2].revents != 0 && !serve(s, &clients[i])) {
                hang_up(&clients[i]);
            }
        }
        if (fds[0].revents != 0) {
            greet(s, clients);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].fd >= 0) {
            hang_up(&clients[i]);
        }
    }
    return NULL;
}

void fake_server_start(fake_server *s) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof name;
    memset(s, 0, sizeof *s);
    s->cut_after = s->stall_after = -1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(s->listener >= 0 && bind(s->listener, (struct sockaddr *)&name, len) == 0 && listen(s->listener, 64) == 0);
    CHECK_EQ_I(0, getsockname(s->listener, (struct sockaddr *)&name, &len));
    CHECK_EQ_I(0, pipe(s->stop_pipe));
    snprintf(s->url, sizeof s->url, "redis://127.0.0.1:%u", ntohs(name.sin_port));
    CHECK_EQ_I(0, pthread_create(&s->thread, NULL, run, s));
}

void fake_server_stop(fake_server *s) {
    CHECK_EQ_I(1, write(s->stop_pipe[1], "x", 1));
    CHECK_EQ_I(0, pthread_join(s->thread, NULL));
    close(s->listener);
    close(s->stop_pipe[0]);
    close(s->stop_pipe[1]);
}
