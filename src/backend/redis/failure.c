#include "failure.h"

#include <cachekit/buf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 140

static const struct {
    const char *begins;
    ckit_status status;
} refusals[] = {
    {"NOAUTH", CKIT_E_CREDENTIALS},
    {"WRONGPASS", CKIT_E_CREDENTIALS},
    {"NOPERM", CKIT_E_CREDENTIALS},
    {"ERR invalid password", CKIT_E_CREDENTIALS}, /* before Redis 6 */
    {"ERR Client sent AUTH", CKIT_E_CREDENTIALS},
    {"ERR AUTH", CKIT_E_CREDENTIALS},
    {"ERR max number of clients", CKIT_E_POOL_EXHAUSTED},
    {"LOADING", CKIT_E_SERVER},
    {"TRYAGAIN", CKIT_E_SERVER},
    {"CLUSTERDOWN", CKIT_E_SERVER},
    {"MASTERDOWN", CKIT_E_SERVER},
    {"READONLY", CKIT_E_SERVER},
    {"BUSY", CKIT_E_SERVER},
    {"MOVED", CKIT_E_SERVER},
    {"ASK", CKIT_E_SERVER},
    {"MISCONF", CKIT_E_SERVER},
    {"NOREPLICAS", CKIT_E_SERVER},
    {"UNKILLABLE", CKIT_E_SERVER},
    {"OOM", CKIT_E_NO_SPACE},
    {"WRONGTYPE", CKIT_E_REJECTED},
    {"ERR", CKIT_E_REJECTED},
    {"NOSCRIPT", CKIT_E_REJECTED},
    {"NOPROTO", CKIT_E_REJECTED},
    {"EXECABORT", CKIT_E_REJECTED},
    {"CROSSSLOT", CKIT_E_REJECTED},
};

ckiti_redis_label ckiti_redis_label_of(const ckiti_redis_endpoint *at) {
    ckiti_redis_label label;
    if (at->local) {
        (void)snprintf(label.text, sizeof label.text, "%.79s", at->host);
    } else {
        bool numbers = strchr(at->host, ':') != NULL; /* an address of version 6 */
        (void)snprintf(label.text, sizeof label.text, "%s%.60s%s:%u", numbers ? "[" : "", at->host, numbers ? "]" : "",
                       (unsigned)at->port);
    }
    return label;
}

void ckiti_redis_name_server(ckit_error *err, const ckiti_redis_label *label) {
    size_t len = strlen(label->text);
    if (err == NULL || len == 0 || strncmp(err->text, label->text, len) == 0) {
        return;
    }
    char told[sizeof err->text];
    memcpy(told, err->text, sizeof told);
    (void)snprintf(err->text, sizeof err->text, "%s: %.*s", label->text, (int)(sizeof told - len - 3), told);
}

static bool begins(ckit_slice text, const char *with) {
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.ptr, with, len) == 0;
}

/* An unknown command is told with its arguments behind it, an ACL refusal may name a key, a moved slot names a host. */
static size_t shown(ckit_slice reply) {
    static const char cut[] = ", with args";
    size_t            len = reply.len < SHOWN_MAX ? reply.len : SHOWN_MAX;
    for (size_t i = 0; i < len; i++) {
        if (reply.ptr[i] < 0x20 || reply.ptr[i] > 0x7e || reply.ptr[i] == '"' ||
            (len - i >= sizeof cut - 1 && memcmp(reply.ptr + i, cut, sizeof cut - 1) == 0)) {
            return i;
        }
    }
    return len;
}

ckit_status ckiti_redis_refusal(ckit_error *err, ckit_slice reply) {
    ckit_status status = CKIT_E_IO;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (begins(reply, refusals[i].begins)) {
            status = refusals[i].status;
            break;
        }
    }
    return ckit_fail(err, status, CKITI_REDIS_WHERE, "the server answers: %.*s", (int)shown(reply),
                     (const char *)reply.ptr);
}

ckit_status ckiti_redis_network(ckit_error *err, int sys_errno, const char *what) {
    switch (sys_errno) {
    case ETIMEDOUT: return ckiti_redis_late(err, what);
    case ENOMEM:
    case ENOBUFS: return ckit_fail_errno(err, CKIT_E_NO_MEMORY, sys_errno, CKITI_REDIS_WHERE, "%s", what);
    case ECONNREFUSED:
    case ENOENT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL: return ckit_fail_errno(err, CKIT_E_UNREACHABLE, sys_errno, CKITI_REDIS_WHERE, "%s", what);
    case EMFILE:
    case ENFILE: return ckit_fail_errno(err, CKIT_E_POOL_EXHAUSTED, sys_errno, CKITI_REDIS_WHERE, "%s", what);
    case EKEYREJECTED: /* said by TLS */
        return ckit_fail(
            err, CKIT_E_CREDENTIALS, CKITI_REDIS_WHERE,
            "%s: the server wants a client certificate that it trusts: look at ssl_certfile and ssl_keyfile", what);
    case EACCES:
    case EPERM: return ckit_fail_errno(err, CKIT_E_PERMISSION, sys_errno, CKITI_REDIS_WHERE, "%s", what);
    default: return ckit_fail_errno(err, CKIT_E_NETWORK, sys_errno, CKITI_REDIS_WHERE, "%s", what);
    }
}

ckit_status ckiti_redis_late(ckit_error *err, const char *what) {
    return ckit_fail(err, CKIT_E_TIMEOUT, CKITI_REDIS_WHERE, "no answer in time while %s", what);
}

ckit_status ckiti_redis_garbage(ckit_error *err, const char *why) {
    return ckit_fail(err, CKIT_E_IO, CKITI_REDIS_WHERE, "the server sent %s", why);
}

ckit_status ckiti_redis_no_memory(ckit_error *err, const char *what) {
    return ckit_fail(err, CKIT_E_NO_MEMORY, CKITI_REDIS_WHERE, "no memory for %s", what);
}
