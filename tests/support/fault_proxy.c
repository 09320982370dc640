#include "support/fault_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536u
#define WAITING_MOST 4096u
#define PATIENCE_MS 100

/* Bytes on their way in one direction. */
typedef struct stream {
    uint8_t *bytes;
    size_t   len;
    size_t   cap;
} stream;

/* An answer that may not leave yet. */
typedef struct waiting {
    uint64_t due_ms;
    size_t   len;
} waiting;

typedef struct fault_link {
    int      client;
    int      server; /* -1: this place is free */
    stream   up;
    stream   read; /* from the server, not yet a whole frame */
    stream   down; /* to the client */
    waiting *queue;
    size_t   queue_first;
    size_t   queue_len;
    size_t   ready;  /* bytes of `down` that may leave */
    uint64_t number; /* the how many-th connection this is */
    uint64_t passed;
} fault_link;

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static bool reserve(stream *s, size_t more) {
    if (s->cap - s->len < more) {
        size_t   cap = (s->len + more) * 2;
        uint8_t *bytes = realloc(s->bytes, cap);
        if (bytes == NULL) {
            return false;
        }
        s->bytes = bytes;
        s->cap = cap;
    }
    return true;
}

static void append(stream *s, const void *bytes, size_t len) {
    if (reserve(s, len)) {
        memcpy(s->bytes + s->len, bytes, len);
        s->len += len;
    }
}

static void drop_front(stream *s, size_t len) {
    memmove(s->bytes, s->bytes + len, s->len - len);
    s->len -= len;
}

/* False when the connection has ended. */
static bool receive(int fd, stream *s) {
    if (!reserve(s, CHUNK)) {
        return false;
    }
    ssize_t got = recv(fd, s->bytes + s->len, CHUNK, MSG_DONTWAIT);
    if (got > 0) {
        s->len += (size_t)got;
    }
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool transmit(int fd, stream *s, size_t *most) {
    size_t  len = most != NULL && *most < s->len ? *most : s->len;
    ssize_t sent = len > 0 ? send(fd, s->bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (sent > 0) {
        drop_front(s, (size_t)sent);
        if (most != NULL) {
            *most -= (size_t)sent;
        }
    }
    return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* The length of the line at `at` with its end, 0 when that is not there yet. */
static size_t line_len(const stream *s, size_t at) {
    const uint8_t *end = at < s->len ? memchr(s->bytes + at, '\n', s->len - at) : NULL;
    return end != NULL ? (size_t)(end - (s->bytes + at)) + 1 : 0;
}

/* The end of the frame that begins at `at`; 0 when it is not whole yet. */
static size_t frame_end(const stream *s, size_t at) {
    size_t line = line_len(s, at);
    if (line == 0) {
        return 0;
    }
    char    type = (char)s->bytes[at];
    int64_t count = 0;
    if (strchr("$=!*~>%|", type) != NULL) {
        count = strtoll((const char *)s->bytes + at + 1, NULL, 10);
    }
    at += line;
    if (count < 0) {
        return at;
    }
    if (type == '$' || type == '=' || type == '!') {
        size_t end = at + (size_t)count + 2;
        return end <= s->len ? end : 0;
    }
    int64_t parts = type == '%' || type == '|' ? count * 2 : count;
    parts += type == '|'; /* attributes stand before what they are about */
    while (parts-- > 0 && at != 0) {
        at = frame_end(s, at);
    }
    return at;
}

static uint32_t draw(fault_proxy *proxy) { /* xorshift: the same every time */
    proxy->drawn ^= proxy->drawn << 13;
    proxy->drawn ^= proxy->drawn >> 7;
    proxy->drawn ^= proxy->drawn << 17;
    return (uint32_t)(proxy->drawn >> 32);
}

static void hold(fault_proxy *proxy, fault_link *link, size_t len) {
    uint64_t due_ms = now_ms() + proxy->delay_ms;
    if (link->queue_len < WAITING_MOST) {
        link->queue[(link->queue_first + link->queue_len++) % WAITING_MOST] = (waiting){due_ms, len};
    } else { /* with the last one */
        link->queue[(link->queue_first + link->queue_len - 1) % WAITING_MOST].len += len;
    }
}

static void pass_frames(fault_proxy *proxy, fault_link *link) {
    static const char error[] = "-LOADING the proxy says so\r\n";
    size_t            end;
    size_t            at = 0;
    while (at < link->read.len && (end = frame_end(&link->read, at)) != 0) {
        bool message = link->read.bytes[at] == '>';
        atomic_fetch_add(&proxy->answers, !message);
        if (!message && draw(proxy) % 100 < proxy->error_percent) {
            atomic_fetch_add(&proxy->errors, 1);
            append(&link->down, error, sizeof error - 1);
            hold(proxy, link, sizeof error - 1);
        } else {
            append(&link->down, link->read.bytes + at, end - at);
            hold(proxy, link, end - at);
        }
        at = end;
    }
    drop_front(&link->read, at);
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void end_link(fault_link *link) {
    close(link->client);
    close(link->server);
    link->server = -1;
    link->up.len = link->read.len = link->down.len = 0;
    link->queue_first = link->queue_len = link->ready = 0;
    link->passed = 0;
}

static int connect_to(uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void at_once(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void accept_one(fault_proxy *proxy) {
    int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) {
        return;
    }
    atomic_fetch_add(&proxy->accepted, 1);
    fault_link *link = proxy->links;
    while (link < proxy->links + FAULT_PROXY_CLIENTS && link->server >= 0) {
        link++;
    }
    int server = proxy->refuses || link == proxy->links + FAULT_PROXY_CLIENTS ? -1 : connect_to(proxy->target);
    if (link < proxy->links + FAULT_PROXY_CLIENTS && link->queue == NULL) {
        link->queue = calloc(WAITING_MOST, sizeof link->queue[0]);
    }
    if (server < 0 || link->queue == NULL) {
        struct linger hard = {.l_onoff = 1}; /* a reset, as from a port where nobody listens */
        setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(client);
        if (server >= 0) {
            close(server);
        }
        return;
    }
    at_once(client);
    at_once(server);
    link->client = client;
    link->server = server;
    link->number = proxy->accepted;
}

static void release_due(fault_link *link) {
    uint64_t now = now_ms();
    while (link->queue_len > 0 && link->queue[link->queue_first].due_ms <= now) {
        link->ready += link->queue[link->queue_first].len;
        link->queue_first = (link->queue_first + 1) % WAITING_MOST;
        link->queue_len--;
    }
}

/* What may leave for the client; false when that ends the connection. */
static bool send_down(fault_proxy *proxy, fault_link *link) {
    uint32_t cut_at = proxy->cut_at;
    size_t   before = link->ready;
    bool     cuts = cut_at > 0 && link->passed + link->ready >= cut_at;
    size_t   most = !cuts ? link->ready : cut_at > link->passed ? cut_at - (size_t)link->passed : 0;
    size_t   left = most;
    if (!transmit(link->client, &link->down, &left)) {
        return false;
    }
    link->ready = before - (most - left);
    link->passed += most - left;
    if (cuts && left == 0) {
        atomic_fetch_add(&proxy->cut, 1);
        return false;
    }
    return true;
}

static bool serve(fault_proxy *proxy, fault_link *link, bool from_client, bool from_server) {
    bool alive = !proxy->refuses;
    if (alive && from_client) {
        alive = receive(link->client, &link->up);
    }
    if (alive && from_server) {
        alive = receive(link->server, &link->read);
        pass_frames(proxy, link);
    }
    release_due(link);
    if (link->ready > 0 && !send_down(proxy, link)) {
        alive = false;
    }
    return alive && transmit(link->server, &link->up, NULL);
}

/* How long nothing needs to be done, if nothing comes. */
static int pause_of(const fault_proxy *proxy) {
    uint64_t now = now_ms();
    uint64_t next = now + PATIENCE_MS;
    for (const fault_link *link = proxy->links; link < proxy->links + FAULT_PROXY_CLIENTS; link++) {
        if (link->server >= 0 && link->queue_len > 0 && link->queue[link->queue_first].due_ms < next) {
            next = link->queue[link->queue_first].due_ms;
        }
    }
    return next > now ? (int)(next - now) : 0;
}

static void turn(fault_proxy *proxy) {
    struct pollfd fds[2 + 2 * FAULT_PROXY_CLIENTS];
    fault_link   *of[FAULT_PROXY_CLIENTS];
    nfds_t        count = 2;
    nfds_t        links = 0;
    fds[0] = (struct pollfd){.fd = proxy->wake[0], .events = POLLIN};
    fds[1] = (struct pollfd){.fd = proxy->stalls ? -1 : proxy->listener, .events = POLLIN};
    for (fault_link *link = proxy->links; link < proxy->links + FAULT_PROXY_CLIENTS && !proxy->stalls; link++) {
        if (link->server >= 0 && link->number > proxy->holds) {
            fds[count++] =
                (struct pollfd){.fd = link->client, .events = (short)(POLLIN | (link->ready > 0 ? POLLOUT : 0))};
            fds[count++] =
                (struct pollfd){.fd = link->server, .events = (short)(POLLIN | (link->up.len > 0 ? POLLOUT : 0))};
            of[links++] = link;
        }
    }
    (void)poll(fds, count, proxy->stalls ? PATIENCE_MS : pause_of(proxy));
    char nothing[64];
    while (recv(proxy->wake[0], nothing, sizeof nothing, MSG_DONTWAIT) > 0) {}
    if (proxy->stalls) {
        return;
    }
    for (nfds_t i = 0; i < links; i++) {
        if (!serve(proxy, of[i], fds[2 + 2 * i].revents != 0, fds[3 + 2 * i].revents != 0)) {
            end_link(of[i]);
        }
    }
    if (fds[1].revents != 0) {
        accept_one(proxy);
    }
}

static void *run(void *arg) {
    fault_proxy *proxy = arg;
    while (!proxy->stopping) {
        turn(proxy);
        atomic_fetch_add(&proxy->turns, 1);
    }
    return NULL;
}

/* ---- the proxy --------------------------------------------------------------------------------------------------- */

static bool listen_somewhere(fault_proxy *proxy) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t          len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (proxy->listener < 0 || bind(proxy->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(proxy->listener, 512) != 0 || getsockname(proxy->listener, (struct sockaddr *)&at, &len) != 0) {
        return false;
    }
    proxy->port = ntohs(at.sin_port);
    return true;
}

bool fault_proxy_start(fault_proxy *proxy, uint16_t target) {
    memset(proxy, 0, sizeof *proxy);
    proxy->target = target;
    proxy->drawn = UINT64_C(0x9e3779b97f4a7c15);
    proxy->listener = proxy->wake[0] = proxy->wake[1] = -1;
    proxy->links = calloc(FAULT_PROXY_CLIENTS, sizeof proxy->links[0]);
    if (proxy->links == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, proxy->wake) != 0) {
        free(proxy->links);
        return false;
    }
    for (unsigned i = 0; i < FAULT_PROXY_CLIENTS; i++) {
        proxy->links[i].server = -1;
    }
    return listen_somewhere(proxy) && pthread_create(&proxy->thread, NULL, run, proxy) == 0;
}

static void wake(fault_proxy *proxy) { (void)send(proxy->wake[1], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

/* The turn under way may know less, the next one knows all. */
void fault_proxy_apply(fault_proxy *proxy) {
    uint64_t turns = proxy->turns;
    while (proxy->turns < turns + 2) {
        wake(proxy);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void fault_proxy_heal(fault_proxy *proxy) {
    proxy->delay_ms = 0;
    proxy->holds = 0;
    proxy->stalls = proxy->refuses = false;
    proxy->error_percent = proxy->cut_at = 0;
    fault_proxy_apply(proxy);
}

void fault_proxy_stop(fault_proxy *proxy) {
    proxy->stopping = true;
    wake(proxy);
    pthread_join(proxy->thread, NULL);
    for (fault_link *link = proxy->links; link < proxy->links + FAULT_PROXY_CLIENTS; link++) {
        if (link->server >= 0) {
            end_link(link);
        }
        free(link->up.bytes);
        free(link->read.bytes);
        free(link->down.bytes);
        free(link->queue);
    }
    free(proxy->links);
    close(proxy->listener);
    close(proxy->wake[0]);
    close(proxy->wake[1]);
}
