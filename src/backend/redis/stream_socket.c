/* TCP and UNIX sockets. */
#include "stream.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A read with more time than this waits in the read itself, which the socket ends after so long; one with less time
 * asks poll first. That saves a system call a round trip. */
#define PATIENCE_MS 100L

typedef struct socket_stream {
    ckiti_redis_stream base;
    int                fd;
    const ckit_alloc  *alloc;
} socket_stream;

/* Waits for `events`: 1, 0 when time is over, -1 with errno. */
static int wait_for(int fd, short events, uint64_t until_ms) {
    for (;;) {
        uint64_t      left = ckiti_time_left(ckiti_exact_monotonic_ms(), until_ms);
        struct pollfd one = {.fd = fd, .events = events};
        int           n = poll(&one, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0 || (n == 0 && left <= 60000)) {
            return n;
        }
        if (n < 0 && errno != EINTR) {
            return -1;
        }
    }
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* 0, or an error number. */
static int connect_until(int fd, const struct sockaddr *to, socklen_t len, uint64_t until_ms) {
    if (connect(fd, to, len) == 0) {
        return 0;
    }
    if (errno == EAGAIN) { /* a UNIX socket whose queue is full */
        return ECONNREFUSED;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        return errno;
    }
    int n = wait_for(fd, POLLOUT, until_ms);
    if (n <= 0) {
        return n == 0 ? ETIMEDOUT : errno;
    }
    int       code = 0;
    socklen_t size = sizeof code;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno;
}

static void tune_tcp(int fd, bool keepalive) {
    static const int on = 1, idle = 60, interval = 15, probes = 4;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (keepalive) {
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    }
}

/* Back to blocking, with the patience that `read` counts on. */
static int make_patient(int fd) {
    struct timeval patience = {.tv_usec = PATIENCE_MS * 1000};
    int            flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) {
        return errno;
    }
    return 0;
}

static int open_socket(const struct sockaddr *to, socklen_t len, bool keepalive, uint64_t until_ms, int *out) {
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    if (to->sa_family != AF_UNIX) {
        tune_tcp(fd, keepalive);
    }
    int code = connect_until(fd, to, len, until_ms);
    if (code == 0) {
        code = make_patient(fd);
    }
    if (code != 0) {
        close(fd);
        return code;
    }
    *out = fd;
    return 0;
}

static ckit_status open_local(const ckiti_redis_endpoint *to, uint64_t until_ms, int *fd, ckit_error *err) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t             len = strlen(to->host);
    if (len >= sizeof name.sun_path) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "the socket's path is too long");
    }
    memcpy(name.sun_path, to->host, len);
    int code = open_socket((const struct sockaddr *)&name, sizeof name, false, until_ms, fd);
    return code == 0 ? CKIT_OK : ckiti_redis_network(err, code, "connecting to the socket");
}

/* A host may have several addresses: the time that is left is shared among those not tried yet. */
static ckit_status open_remote(const ckiti_redis_endpoint *to, bool keepalive, uint64_t until_ms, int *fd,
                               ckit_error *err) {
    struct addrinfo *found = NULL;
    ckit_status      st = ckiti_redis_lookup(to, until_ms, &found, err);
    if (st != CKIT_OK) {
        return st;
    }
    unsigned count = 0;
    int      code = EADDRNOTAVAIL;
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        count++;
    }
    for (const struct addrinfo *one = found; one != NULL && code != 0; one = one->ai_next) {
        uint64_t now = ckiti_system_monotonic_ms();
        uint64_t share = ckiti_time_left(now, until_ms) / count--;
        code = open_socket(one->ai_addr, one->ai_addrlen, keepalive, ckiti_time_after(now, share), fd);
    }
    freeaddrinfo(found);
    return code == 0 ? CKIT_OK : ckiti_redis_network(err, code, "connecting to the server");
}

static ckit_status socket_open(const ckiti_redis_address *address, const ckiti_redis_endpoint *to,
                               const ckit_alloc *alloc, uint64_t until_ms, ckiti_redis_stream **out, ckit_error *err) {
    socket_stream *s = ckiti_alloc(alloc, sizeof *s);
    if (s == NULL) {
        return ckiti_redis_no_memory(err, "a connection");
    }
    *s = (socket_stream){.base.ops = &ckiti_redis_sockets, .fd = -1, .alloc = alloc};
    ckit_status st =
        to->local ? open_local(to, until_ms, &s->fd, err) : open_remote(to, address->keepalive, until_ms, &s->fd, err);
    if (st != CKIT_OK) {
        ckiti_free(alloc, s, sizeof *s);
        return st;
    }
    *out = &s->base;
    return CKIT_OK;
}

/* ---- reading and writing ----------------------------------------------------------------------------------------- */

static ssize_t socket_read(ckiti_redis_stream *stream, const struct iovec *parts, int count, uint64_t until_ms) {
    socket_stream *s = (socket_stream *)stream;
    struct msghdr  message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    for (bool first = true;; first = false) { /* a long silence is one sleep */
        uint64_t left = ckiti_time_left(ckiti_system_monotonic_ms(), until_ms);
        bool     patient = first && left >= PATIENCE_MS;
        int      ready = patient ? 1 : left == 0 ? 0 : wait_for(s->fd, POLLIN, until_ms);
        if (ready < 0) {
            return -1;
        }
        ssize_t n = recvmsg(s->fd, &message, patient ? 0 : MSG_DONTWAIT);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
            return n;
        }
        if (ready == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
}

static int socket_write(ckiti_redis_stream *stream, struct iovec *parts, int count, uint64_t until_ms) {
    socket_stream *s = (socket_stream *)stream;
    struct msghdr  message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    while (message.msg_iovlen > 0) {
        ssize_t n = sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            int ready = wait_for(s->fd, POLLOUT, until_ms);
            if (ready <= 0) {
                errno = ready == 0 ? ETIMEDOUT : errno;
                return -1;
            }
        } else if (n < 0 && errno != EINTR) {
            return -1;
        }
        size_t gone = n > 0 ? (size_t)n : 0;
        while (message.msg_iovlen > 0 && gone >= message.msg_iov->iov_len) {
            gone -= message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (gone > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + gone;
            message.msg_iov->iov_len -= gone;
        }
    }
    return 0;
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

static void socket_interrupt(ckiti_redis_stream *stream) { shutdown(((socket_stream *)stream)->fd, SHUT_RDWR); }

static void socket_close(ckiti_redis_stream *stream) {
    socket_stream *s = (socket_stream *)stream;
    close(s->fd);
    ckiti_free(s->alloc, s, sizeof *s);
}

const ckiti_redis_stream_ops ckiti_redis_sockets = {
    .open = socket_open,
    .read = socket_read,
    .write = socket_write,
    .interrupt = socket_interrupt,
    .close = socket_close,
    .forget = socket_close, /* closing a copy says nothing to the peer */
};
