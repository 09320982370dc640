#include "support/partition.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS 128u
#define ROOM 65536u
#define TICK_MS 5

/* What goes one way through a pair of connections. */
typedef struct way {
    size_t  from, to; /* of `room`, what has not been passed on */
    uint8_t room[ROOM];
} way;

typedef struct pair {
    int      client, server; /* -1: free */
    unsigned link;
    bool     ended;
    way      asks, answers;
} pair;

static pair     pairs[PAIRS];
static uint32_t cuts_seen[PARTITION_LINKS];

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Ends it with a reset: what the system still holds for the other side is not sent. */
static void drop(int fd) {
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

static void end_pair(pair *p) {
    drop(p->client);
    drop(p->server);
    p->client = p->server = -1;
}

static void begin_pair(const partition_link *link, unsigned at, uint16_t server_port) {
    struct sockaddr_in name = loopback(server_port);
    int                client = accept4(link->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int                server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    pair              *free_one = NULL;
    for (unsigned i = 0; i < PAIRS && free_one == NULL; i++) {
        free_one = pairs[i].client < 0 ? &pairs[i] : NULL;
    }
    bool connected = client >= 0 && server >= 0 && free_one != NULL &&
                     (connect(server, (struct sockaddr *)&name, sizeof name) == 0 || errno == EINPROGRESS);
    if (!connected) {
        if (client >= 0) {
            drop(client);
        }
        if (server >= 0) {
            close(server);
        }
        return;
    }
    free_one->client = client;
    free_one->server = server;
    free_one->link = at;
    free_one->ended = false;
    free_one->asks.from = free_one->asks.to = free_one->answers.from = free_one->answers.to = 0;
}

static bool would_wait(ssize_t n) { return n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN); }

/* False when the pair has ended. */
static bool pass(way *w, int in, int out) {
    if (w->from == w->to) {
        ssize_t n = recv(in, w->room, ROOM, MSG_DONTWAIT);
        if (n <= 0) {
            return would_wait(n);
        }
        w->from = 0;
        w->to = (size_t)n;
    }
    ssize_t n = send(out, w->room + w->from, w->to - w->from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        return would_wait(n);
    }
    w->from += (size_t)n;
    return true;
}

static void serve(pair *p, const partition_link *links) {
    int  kind = atomic_load(&links[p->link].kind);
    bool alive = true;
    if (kind == PARTITION_NONE || kind == PARTITION_NO_ANSWERS) {
        alive = pass(&p->asks, p->client, p->server);
    }
    if (alive && (kind == PARTITION_NONE || kind == PARTITION_NO_ASKS)) {
        alive = pass(&p->answers, p->server, p->client);
    }
    if (!alive) {
        end_pair(p);
    }
}

static short wanted(const way *in, const way *out, bool open_in, bool open_out) {
    int events = 0;
    events |= open_in && in->from == in->to ? POLLIN : 0;
    events |= open_out && out->from != out->to ? POLLOUT : 0;
    return (short)events;
}

/* A way that is blocked is not looked at: a connection in it seems open, whatever happens at its end. */
static unsigned watch_pairs(struct pollfd *fds, const partition_link *links) {
    unsigned count = 0;
    for (unsigned i = 0; i < PAIRS; i++) {
        pair *p = &pairs[i];
        if (p->client < 0) {
            continue;
        }
        int   kind = atomic_load(&links[p->link].kind);
        bool  asks = kind == PARTITION_NONE || kind == PARTITION_NO_ANSWERS;
        bool  answers = kind == PARTITION_NONE || kind == PARTITION_NO_ASKS;
        short client = wanted(&p->asks, &p->answers, asks, answers);
        short server = wanted(&p->answers, &p->asks, answers, asks);
        if (client != 0) {
            fds[count++] = (struct pollfd){.fd = p->client, .events = client};
        }
        if (server != 0) {
            fds[count++] = (struct pollfd){.fd = p->server, .events = server};
        }
    }
    return count;
}

static void obey_cuts(const partition *p) {
    for (unsigned link = 0; link < p->count; link++) {
        uint32_t cuts = atomic_load(&p->links[link].cuts);
        for (unsigned i = 0; i < PAIRS && cuts != cuts_seen[link]; i++) {
            if (pairs[i].client >= 0 && pairs[i].link == link) {
                end_pair(&pairs[i]);
            }
        }
        cuts_seen[link] = cuts;
    }
}

static _Noreturn void relay(const partition *p, uint16_t server_port) {
    static struct pollfd fds[2 * PAIRS + PARTITION_LINKS];
    for (unsigned i = 0; i < PAIRS; i++) {
        pairs[i].client = pairs[i].server = -1;
    }
    for (;;) {
        unsigned count = watch_pairs(fds, p->links);
        for (unsigned i = 0; i < p->count; i++) {
            fds[count++] = (struct pollfd){.fd = p->links[i].listener, .events = POLLIN};
        }
        poll(fds, count, TICK_MS);
        obey_cuts(p);
        for (unsigned i = 0; i < p->count; i++) {
            if ((fds[count - p->count + i].revents & POLLIN) != 0) {
                begin_pair(&p->links[i], i, server_port);
            }
        }
        for (unsigned i = 0; i < PAIRS; i++) {
            if (pairs[i].client >= 0) {
                serve(&pairs[i], p->links);
            }
        }
    }
}

static bool listen_at(partition_link *link) {
    struct sockaddr_in name = loopback(0);
    socklen_t          len = sizeof name;
    link->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->listener < 0 || bind(link->listener, (struct sockaddr *)&name, len) != 0 ||
        listen(link->listener, 64) != 0 || getsockname(link->listener, (struct sockaddr *)&name, &len) != 0) {
        return false;
    }
    link->port = ntohs(name.sin_port);
    return true;
}

bool partition_start(partition *p, unsigned links, uint16_t server_port) {
    void *shared =
        mmap(NULL, PARTITION_LINKS * sizeof *p->links, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(p, 0, sizeof *p);
    if (shared == MAP_FAILED || links > PARTITION_LINKS) {
        return false;
    }
    p->links = shared;
    p->count = links;
    bool ready = true;
    for (unsigned i = 0; i < links; i++) {
        ready = listen_at(&p->links[i]) && ready;
    }
    p->pid = ready ? fork() : -1;
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        relay(p, server_port);
    }
    for (unsigned i = 0; i < links; i++) { /* the relay alone listens */
        if (p->links[i].listener >= 0) {
            close(p->links[i].listener);
        }
    }
    return p->pid > 0;
}

void partition_set(partition *p, unsigned link, partition_kind kind) { atomic_store(&p->links[link].kind, (int)kind); }

void partition_cut(partition *p, unsigned link) { atomic_fetch_add(&p->links[link].cuts, 1); }

void partition_stop(partition *p) {
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    if (p->links != NULL) {
        munmap(p->links, PARTITION_LINKS * sizeof *p->links);
    }
    memset(p, 0, sizeof *p);
}
