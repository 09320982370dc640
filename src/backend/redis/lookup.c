/* Names of hosts. getaddrinfo may take many seconds when a name server is away and cannot be told to stop, so a name is
 * looked up by a thread that is left behind when time is over. */
#include "stream.h"

#include "base/clock.h"
#include "failure.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shared by the asker and the thread; whoever leaves last frees it. From malloc: it may outlive the store. */
typedef struct inquiry {
    pthread_mutex_t  lock;
    pthread_cond_t   answered;
    unsigned         users;
    bool             done;
    int              code;
    struct addrinfo *found;
    char             host[256];
    char             port[8];
} inquiry;

static const struct addrinfo *hints(int flags) {
    static const struct addrinfo any = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    static const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    return flags == AI_NUMERICHOST ? &numeric : &any;
}

static void leave(inquiry *q) {
    pthread_mutex_lock(&q->lock);
    bool last = --q->users == 0;
    pthread_mutex_unlock(&q->lock);
    if (last) {
        if (q->found != NULL) {
            freeaddrinfo(q->found);
        }
        pthread_cond_destroy(&q->answered);
        pthread_mutex_destroy(&q->lock);
        free(q);
    }
}

static void *ask(void *arg) {
    inquiry         *q = arg;
    struct addrinfo *found = NULL;
    int              code = getaddrinfo(q->host, q->port, hints(0), &found);
    pthread_mutex_lock(&q->lock);
    q->code = code;
    q->found = code == 0 ? found : NULL;
    q->done = true;
    pthread_cond_signal(&q->answered);
    pthread_mutex_unlock(&q->lock);
    leave(q);
    return NULL;
}

static inquiry *begin(const ckiti_redis_endpoint *to, const char *port) {
    pthread_attr_t detached;
    pthread_t      thread;
    inquiry       *q = calloc(1, sizeof *q);
    if (q == NULL) {
        return NULL;
    }
    pthread_mutex_init(&q->lock, NULL);
    ckiti_cond_init(&q->answered);
    snprintf(q->host, sizeof q->host, "%s", to->host);
    snprintf(q->port, sizeof q->port, "%s", port);
    q->users = 2;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, ask, q) != 0) {
        q->users = 1;
        leave(q);
        q = NULL;
    }
    pthread_attr_destroy(&detached);
    return q;
}

static ckit_status unknown(const ckiti_redis_endpoint *to, int code, ckit_error *err) {
    return ckit_fail(err, CKIT_E_UNREACHABLE, CKITI_REDIS_WHERE, "looking up %.100s: %s", to->host, gai_strerror(code));
}

ckit_status ckiti_redis_lookup(const ckiti_redis_endpoint *to, uint64_t until_ms, struct addrinfo **out,
                               ckit_error *err) {
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)to->port);
    int code = getaddrinfo(to->host, port, hints(AI_NUMERICHOST), out);
    if (code == 0) {
        return CKIT_OK;
    }
    inquiry *q = begin(to, port);
    if (q == NULL) {
        return ckiti_redis_no_memory(err, "looking up a host");
    }
    struct timespec end = ckiti_real_time_in(ckiti_time_left(ckiti_system_monotonic_ms(), until_ms));
    pthread_mutex_lock(&q->lock);
    int waited = 0;
    while (!q->done && waited == 0) {
        waited = pthread_cond_timedwait(&q->answered, &q->lock, &end);
    }
    bool done = q->done;
    code = q->code;
    *out = q->found;
    q->found = NULL;
    pthread_mutex_unlock(&q->lock);
    leave(q);
    if (!done) {
        return ckiti_redis_late(err, "looking up the host");
    }
    return code == 0 ? CKIT_OK : unknown(to, code, err);
}
