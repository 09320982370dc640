/* tls.h - how the connections of one store are encrypted, and the streams that are.
 *
 * An encrypted stream lies over another one, which moves the bytes and keeps the deadlines; OpenSSL itself never
 * touches a socket, so it never waits and never raises SIGPIPE. */
#ifndef CKITI_REDIS_TLS_H
#define CKITI_REDIS_TLS_H

#include "openssl.h"
#include "stream.h"

#include <pthread.h>

/* What every encrypted stream has for the sake of forks. The lock is held while OpenSSL works on it, never while
 * anybody waits for the peer; a fork holds all of them, so that the child finds no connection half-way through
 * something. */
typedef struct ckiti_redis_tls_member {
    pthread_mutex_t                lock;
    struct ckiti_redis_tls_member *next, **place;
} ckiti_redis_tls_member;

/* Settings that all connections share: certificates, versions, what is checked. */
typedef struct ckiti_redis_tls {
    ckiti_openssl                 lib;
    SSL_CTX                      *context;
    const ckiti_redis_stream_ops *below;
    const ckit_alloc             *alloc;
    pthread_mutex_t         lock; /* over the list, and while OpenSSL makes and frees connections; before members' */
    ckiti_redis_tls_member *members;
} ckiti_redis_tls;

/* Loads OpenSSL and reads the files that `address` names. `library` is CKITI_OPENSSL_NAME.
 *
 * CKIT_E_CONFIGURATION  a file is missing, holds nothing of use, does not fit the other, or a key may be read by others
 * CKIT_E_UNSUPPORTED    no OpenSSL
 * CKIT_E_NO_MEMORY */
ckit_status ckiti_redis_tls_open(const ckiti_redis_address *address, const ckiti_redis_stream_ops *below,
                                 const ckit_alloc *alloc, const char *library, ckiti_redis_tls **out, ckit_error *err);
/* After all its streams. Accepts NULL. */
void ckiti_redis_tls_close(ckiti_redis_tls *tls);

/* Around a fork, innermost; accept NULL. In the child before any stream is forgotten. */
void ckiti_redis_tls_before_fork(ckiti_redis_tls *tls);
void ckiti_redis_tls_after_fork(ckiti_redis_tls *tls);

/* Streams over those of address->security. */
extern const ckiti_redis_stream_ops ckiti_redis_tls_streams;

#endif
