/* stream.h - a connection that carries bytes both ways: a table of functions, so that encryption is another table.
 *
 * `until_ms` is a point on CLOCK_MONOTONIC (ckiti_system_monotonic_ms). One thread reads and writes at a time; only
 * `interrupt` may be called from another. */
#ifndef CKITI_REDIS_STREAM_H
#define CKITI_REDIS_STREAM_H

#include "address.h"

#include <sys/types.h>
#include <sys/uio.h>

typedef struct ckiti_redis_stream_ops ckiti_redis_stream_ops;

/* What every stream begins with. */
typedef struct ckiti_redis_stream {
    const ckiti_redis_stream_ops *ops;
} ckiti_redis_stream;

struct ckiti_redis_stream_ops {
    /* Connects. CKIT_E_UNREACHABLE, CKIT_E_TIMEOUT and so on; for encrypted ones CKIT_E_CREDENTIALS too. */
    ckit_status (*open)(const ckiti_redis_address *address, const ckiti_redis_endpoint *to, const ckit_alloc *alloc,
                        uint64_t until_ms, ckiti_redis_stream **out, ckit_error *err);
    /* Waits for some bytes: how many came, 0 when the peer has closed, -1 with errno (ETIMEDOUT: none by then). */
    ssize_t (*read)(ckiti_redis_stream *stream, const struct iovec *parts, int count, uint64_t until_ms);
    /* Sends everything, changing `parts` on the way: 0, or -1 with errno. After a failure nobody knows how much
     * went. */
    int (*write)(ckiti_redis_stream *stream, struct iovec *parts, int count, uint64_t until_ms);
    /* Makes a read or write under way end at once, and all later ones. The stream must still be open. */
    void (*interrupt)(ckiti_redis_stream *stream);
    /* Ends it. */
    void (*close)(ckiti_redis_stream *stream);
    /* Ends a child's copy after fork: the peer and the parent notice nothing. */
    void (*forget)(ckiti_redis_stream *stream);
};

extern const ckiti_redis_stream_ops ckiti_redis_sockets;

/* The addresses of a host, by the system's means; waits no longer than `until_ms`, whatever the name servers do. `out`
 * is ended with freeaddrinfo. CKIT_E_UNREACHABLE for an unknown name, CKIT_E_TIMEOUT, CKIT_E_NO_MEMORY. */
struct addrinfo;
ckit_status ckiti_redis_lookup(const ckiti_redis_endpoint *to, uint64_t until_ms, struct addrinfo **out,
                               ckit_error *err);

#endif
