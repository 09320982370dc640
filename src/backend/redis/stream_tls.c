/* Encrypted streams. What OpenSSL has to send or wants to receive passes through a pair of BIOs, a ring of bytes for
 * each direction: `inside` is OpenSSL's end, `outside` ours, filled from and emptied into the stream below. */
#include "tls.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "failure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define RING_BYTES ((size_t)33 * 1024) /* two records of the longest kind */
#define RECORD_BYTES 16384u

typedef struct tls_stream {
    ckiti_redis_stream     base;
    ckiti_redis_tls_member member;
    ckiti_redis_tls       *tls;
    ckiti_redis_stream    *below;
    SSL                   *ssl;
    BIO                   *outside;
    int                    broken; /* an error number: of no use any more */
    bool                   over;   /* the peer has said that nothing follows */
    /* Small parts of a write leave as one record. */
    size_t  staged;
    uint8_t staging[RECORD_BYTES];
} tls_stream;

static void begin(tls_stream *s) {
    pthread_mutex_lock(&s->member.lock);
    s->tls->lib.ERR_clear_error(); /* or an old error of this thread would be taken for a new one */
}

static void end(tls_stream *s) {
    s->tls->lib.ERR_clear_error(); /* the program may use OpenSSL too */
    pthread_mutex_unlock(&s->member.lock);
}

typedef enum outcome { DONE, WANTS_BYTES, WANTS_ROOM, OVER, BROKEN } outcome;

/* ---- what went wrong --------------------------------------------------------------------------------------------- */

/* An alert, or what we found ourselves, about who somebody is. */
static bool is_about_us(int reason) {
    switch (reason) {
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
    }
}

/* Of a failed call of OpenSSL, by the first of the errors it left; to be asked at once, by the same thread. */
static int reason_of(const ckiti_openssl *lib) {
    unsigned long code = lib->ERR_peek_error();
    return ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
}

static outcome outcome_of(tls_stream *s, int result) {
    const ckiti_openssl *lib = &s->tls->lib;
    switch (lib->SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_NONE: return DONE;
    case SSL_ERROR_WANT_READ: return WANTS_BYTES;
    case SSL_ERROR_WANT_WRITE: return WANTS_ROOM;
    case SSL_ERROR_ZERO_RETURN: s->over = true; return OVER;
    default: s->broken = is_about_us(reason_of(lib)) ? EKEYREJECTED : EPROTO; return BROKEN;
    }
}

/* ---- bytes to and from the stream below -------------------------------------------------------------------------- */

/* 0, or -1 with errno. */
static int flush(tls_stream *s, uint64_t until_ms) {
    const ckiti_openssl *lib = &s->tls->lib;
    char                *ready;
    int                  len;
    while ((len = lib->BIO_nread0(s->outside, &ready)) > 0) {
        struct iovec part = {ready, (size_t)len};
        if (s->below->ops->write(s->below, &part, 1, until_ms) != 0) {
            s->broken = errno == ETIMEDOUT ? EPIPE : errno; /* nobody knows how much went */
            return -1;
        }
        (void)lib->BIO_nread(s->outside, &ready, len);
    }
    return 0;
}

/* As `read` of a stream. */
static ssize_t fill(tls_stream *s, uint64_t until_ms) {
    const ckiti_openssl *lib = &s->tls->lib;
    char                *room;
    int                  len = lib->BIO_nwrite0(s->outside, &room);
    if (len <= 0) { /* OpenSSL asks for more without having taken what is there */
        errno = EPROTO;
        return -1;
    }
    struct iovec part = {room, (size_t)len};
    ssize_t      n = s->below->ops->read(s->below, &part, 1, until_ms);
    if (n > 0) {
        (void)lib->BIO_nwrite(s->outside, &room, (int)n);
    }
    return n;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Decrypts into the parts what has come, as far as it goes. */
static outcome take(tls_stream *s, const struct iovec *parts, int count, size_t *total) {
    const ckiti_openssl *lib = &s->tls->lib;
    outcome              o = DONE;
    *total = 0;
    begin(s);
    for (int i = 0; i < count && o == DONE; i++) {
        size_t at = 0;
        while (at < parts[i].iov_len && o == DONE) {
            size_t n = 0;
            int    ok = lib->SSL_read_ex(s->ssl, (char *)parts[i].iov_base + at, parts[i].iov_len - at, &n);
            o = ok == 1 ? DONE : outcome_of(s, ok);
            at += n;
            *total += n;
        }
    }
    end(s);
    return o;
}

static ssize_t tls_read(ckiti_redis_stream *stream, const struct iovec *parts, int count, uint64_t until_ms) {
    tls_stream *s = (tls_stream *)stream;
    for (;;) {
        size_t total = 0;
        if (s->broken != 0) {
            errno = s->broken;
            return -1;
        }
        if (s->over) {
            return 0;
        }
        outcome o = take(s, parts, count, &total);
        /* Answers to the peer's renewal of keys leave when something leaves anyway, or before anybody waits. */
        if (total > 0) {
            return (ssize_t)total;
        }
        if (o == OVER || o == BROKEN) {
            continue;
        }
        if (flush(s, until_ms) != 0) {
            return -1;
        }
        if (o == WANTS_BYTES) {
            ssize_t n = fill(s, until_ms);
            if (n <= 0) {
                return n;
            }
        }
    }
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* When sending fails because the peer has hung up, it may have said why. */
static void hear_last_words(tls_stream *s, int sys_errno) {
    char         byte;
    size_t       total;
    struct iovec part = {&byte, 1};
    if (sys_errno == EPIPE || sys_errno == ECONNRESET) {
        outcome o = WANTS_BYTES;
        while (o == WANTS_BYTES && fill(s, 0) > 0) {
            o = take(s, &part, 1, &total);
        }
    }
    s->broken = s->broken == EKEYREJECTED ? EKEYREJECTED : sys_errno;
    errno = s->broken;
}

static int put(tls_stream *s, const void *bytes, size_t len, uint64_t until_ms) {
    const ckiti_openssl *lib = &s->tls->lib;
    for (;;) {
        size_t n = 0;
        begin(s);
        int     ok = lib->SSL_write_ex(s->ssl, bytes, len, &n);
        outcome o = ok == 1 ? DONE : outcome_of(s, ok);
        end(s);
        if (o == DONE) {
            return 0;
        }
        if (o == BROKEN || o == OVER) {
            errno = o == OVER ? EPIPE : s->broken;
            return -1;
        }
        if (flush(s, until_ms) != 0) {
            return -1;
        }
        if (o == WANTS_BYTES) {
            ssize_t got = fill(s, until_ms);
            if (got <= 0) {
                errno = got == 0 ? EPIPE : errno;
                return -1;
            }
        }
    }
}

static int put_staged(tls_stream *s, uint64_t until_ms) {
    size_t len = s->staged;
    int    result = len == 0 ? 0 : put(s, s->staging, len, until_ms);
    sodium_memzero(s->staging, len); /* a password may have been among it */
    s->staged = 0;
    return result;
}

static int put_part(tls_stream *s, const uint8_t *bytes, size_t len, uint64_t until_ms) {
    while (len > 0) {
        if (s->staged == 0 && len >= RECORD_BYTES) {
            return put(s, bytes, len, until_ms);
        }
        size_t n = RECORD_BYTES - s->staged < len ? RECORD_BYTES - s->staged : len;
        memcpy(s->staging + s->staged, bytes, n);
        s->staged += n;
        bytes += n;
        len -= n;
        if (s->staged == RECORD_BYTES && put_staged(s, until_ms) != 0) {
            return -1;
        }
    }
    return 0;
}

static int tls_write(ckiti_redis_stream *stream, struct iovec *parts, int count, uint64_t until_ms) {
    tls_stream *s = (tls_stream *)stream;
    int         result = 0;
    if (s->broken != 0 || s->over) {
        errno = s->broken != 0 ? s->broken : EPIPE;
        return -1;
    }
    for (int i = 0; i < count && result == 0; i++) {
        result = put_part(s, parts[i].iov_base, parts[i].iov_len, until_ms);
    }
    if (result == 0) {
        result = put_staged(s, until_ms);
    }
    if (result == 0) {
        result = flush(s, until_ms);
    }
    if (result != 0) {
        hear_last_words(s, errno);
    }
    return result;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static bool is_number(const char *host) {
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Whom we want to talk to: told to the server, and what its certificate must name. */
static bool name_peer(tls_stream *s, const ckiti_redis_address *a, const char *host) {
    const ckiti_openssl *lib = &s->tls->lib;
    bool                 check = a->ssl_verify && a->ssl_check_hostname;
    char                 name[sizeof((ckiti_redis_endpoint *)0)->host];
    if (is_number(host)) {
        return !check || lib->X509_VERIFY_PARAM_set1_ip_asc(lib->SSL_get0_param(s->ssl), host) == 1;
    }
    size_t len = (size_t)snprintf(name, sizeof name, "%s", host);
    if (len > 1 && name[len - 1] == '.') { /* certificates name hosts without it */
        name[len - 1] = '\0';
    }
    lib->SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return lib->SSL_ctrl(s->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1 &&
           (!check || lib->SSL_set1_host(s->ssl, name) == 1);
}

/* With the lock held. */
static void join(tls_stream *s) {
    ckiti_redis_tls_member *m = &s->member;
    pthread_mutex_init(&m->lock, NULL);
    m->next = s->tls->members;
    m->place = &s->tls->members;
    if (m->next != NULL) {
        m->next->place = &m->next;
    }
    *m->place = m;
}

/* Also one that never joined. */
static void leave(tls_stream *s) {
    ckiti_redis_tls_member *m = &s->member;
    if (m->place != NULL) {
        *m->place = m->next;
        if (m->next != NULL) {
            m->next->place = m->place;
        }
        pthread_mutex_destroy(&m->lock);
    }
}

static ckit_status make_ssl(tls_stream *s, const ckiti_redis_address *a, const char *host, ckit_error *err) {
    const ckiti_openssl *lib = &s->tls->lib;
    BIO                 *inside = NULL;
    pthread_mutex_lock(&s->tls->lock);
    s->ssl = lib->SSL_new(s->tls->context);
    bool ready = s->ssl != NULL && lib->BIO_new_bio_pair(&inside, RING_BYTES, &s->outside, RING_BYTES) == 1;
    if (ready) {
        lib->SSL_set_bio(s->ssl, inside, inside);
        lib->SSL_set_connect_state(s->ssl);
        ready = name_peer(s, a, host);
    }
    lib->ERR_clear_error();
    join(s);
    pthread_mutex_unlock(&s->tls->lock);
    return ready ? CKIT_OK : ckiti_redis_no_memory(err, "an encrypted connection");
}

static ckit_status refuse_certificate(const tls_stream *s, const char *host, long why, ckit_error *err) {
    const char *advice = "name the authority that signed it with ssl_ca_certs";
    switch (why) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return ckit_fail(err, CKIT_E_CREDENTIALS, CKITI_REDIS_WHERE,
                         "the server's certificate is not for %.100s: connect by a name that it has, or set "
                         "ssl_check_hostname=false",
                         host);
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: advice = "renew it, or set this machine's clock"; break;
    case X509_V_ERR_CERT_REVOKED:
    case X509_V_ERR_INVALID_PURPOSE: advice = "the server needs another one"; break;
    default: break;
    }
    return ckit_fail(err, CKIT_E_CREDENTIALS, CKITI_REDIS_WHERE, "the server's certificate is refused: %.90s; %s",
                     s->tls->lib.X509_verify_cert_error_string(why), advice);
}

/* The errors of OpenSSL are still there. */
static ckit_status refuse_handshake(const tls_stream *s, const char *host, ckit_error *err) {
    const ckiti_openssl *lib = &s->tls->lib;
    int                  reason = reason_of(lib);
    const char          *text = lib->ERR_reason_error_string(lib->ERR_peek_error());
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return refuse_certificate(s, host, lib->SSL_get_verify_result(s->ssl), err);
    }
    if (is_about_us(reason)) {
        return ckiti_redis_network(err, EKEYREJECTED, "the TLS handshake");
    }
    switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
        return ckit_fail(err, CKIT_E_REJECTED, CKITI_REDIS_WHERE,
                         "the server does not speak TLS on this port: use the port that does, or redis: without TLS");
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return ckit_fail(err, CKIT_E_REJECTED, CKITI_REDIS_WHERE,
                         "the server has no version of TLS that is allowed here: let it speak TLS 1.2 or 1.3, or look "
                         "at tls_min_version");
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: /* before TLS 1.3 also: no certificate was sent */
        return ckit_fail(err, CKIT_E_CREDENTIALS, CKITI_REDIS_WHERE,
                         "the server ends the TLS handshake: it may want a client certificate (ssl_certfile, "
                         "ssl_keyfile), or has no cipher in common");
    default:
        return ckit_fail(err, CKIT_E_IO, CKITI_REDIS_WHERE, "the TLS handshake failed: %.120s",
                         text == NULL ? "unknown error" : text);
    }
}

static ckit_status refuse_silence(int sys_errno, bool closed, ckit_error *err) {
    if (closed) {
        return ckit_fail(err, CKIT_E_NETWORK, CKITI_REDIS_WHERE,
                         "the server closed the connection during the TLS handshake; does this port speak TLS?");
    }
    return ckiti_redis_network(err, sys_errno, "the TLS handshake; does this port speak TLS?");
}

static ckit_status shake_hands(tls_stream *s, const char *host, uint64_t until_ms, ckit_error *err) {
    const ckiti_openssl *lib = &s->tls->lib;
    for (;;) {
        ckit_status st = CKIT_OK;
        begin(s);
        int     result = lib->SSL_do_handshake(s->ssl);
        outcome o = result == 1 ? DONE : outcome_of(s, result);
        if (o == BROKEN || o == OVER) {
            st = refuse_handshake(s, host, err);
        }
        end(s);
        int sent = flush(s, until_ms); /* after a failure too: the server is told why */
        if (st != CKIT_OK) {
            return st;
        }
        if (sent != 0) {
            return refuse_silence(errno, false, err);
        }
        if (o == DONE) {
            return CKIT_OK;
        }
        ssize_t n = o == WANTS_BYTES ? fill(s, until_ms) : 1;
        if (n <= 0) {
            return refuse_silence(errno, n == 0, err);
        }
    }
}

static void free_stream(tls_stream *s) {
    const ckiti_openssl *lib = &s->tls->lib;
    pthread_mutex_lock(&s->tls->lock);
    leave(s);
    lib->SSL_free(s->ssl);
    lib->BIO_free(s->outside);
    pthread_mutex_unlock(&s->tls->lock);
    ckiti_free(s->tls->alloc, s, sizeof *s);
}

static ckit_status tls_open(const ckiti_redis_address *address, const ckiti_redis_endpoint *to, const ckit_alloc *alloc,
                            uint64_t until_ms, ckiti_redis_stream **out, ckit_error *err) {
    ckiti_redis_tls *tls = address->security;
    tls_stream      *s = ckiti_alloc_zeroed(alloc, 1, sizeof *s);
    if (s == NULL) {
        return ckiti_redis_no_memory(err, "an encrypted connection");
    }
    s->base.ops = &ckiti_redis_tls_streams;
    s->tls = tls;
    ckit_status st = tls->below->open(address, to, alloc, until_ms, &s->below, err);
    if (st == CKIT_OK) {
        st = make_ssl(s, address, to->host, err);
    }
    if (st == CKIT_OK) {
        st = shake_hands(s, to->host, until_ms, err);
    }
    if (st != CKIT_OK) {
        if (s->below != NULL) {
            s->below->ops->close(s->below);
        }
        free_stream(s);
        return st;
    }
    *out = &s->base;
    return CKIT_OK;
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

static void tls_interrupt(ckiti_redis_stream *stream) {
    tls_stream *s = (tls_stream *)stream;
    s->below->ops->interrupt(s->below);
}

static void tls_forget(ckiti_redis_stream *stream) {
    tls_stream *s = (tls_stream *)stream;
    s->below->ops->forget(s->below);
    free_stream(s);
}

/* Takes leave without waiting. */
static void tls_close(ckiti_redis_stream *stream) {
    tls_stream *s = (tls_stream *)stream;
    if (s->broken == 0) {
        begin(s);
        (void)s->tls->lib.SSL_shutdown(s->ssl);
        end(s);
        (void)flush(s, 0);
    }
    s->below->ops->close(s->below);
    free_stream(s);
}

const ckiti_redis_stream_ops ckiti_redis_tls_streams = {
    .open = tls_open,
    .read = tls_read,
    .write = tls_write,
    .interrupt = tls_interrupt,
    .close = tls_close,
    .forget = tls_forget,
};
