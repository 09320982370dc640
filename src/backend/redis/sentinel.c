#include "sentinel.h"

#include "base/clock.h"
#include "failure.h"
#include "topology.h"

#include <cachekit/buf.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---- one question ------------------------------------------------------------------------------------------------ */

typedef struct question {
    ckiti_redis_call      call;
    const char           *service;
    ckiti_redis_endpoint *out;
    bool                  unknown; /* it knows no master of this name */
    unsigned              parts;   /* of the answer that were good */
} question;

static void write_question(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    ckiti_resp_command(w, 3);
    ckiti_resp_text(w, "SENTINEL");
    ckiti_resp_text(w, "GET-MASTER-ADDR-BY-NAME");
    ckiti_resp_text(w, ((const question *)call)->service);
}

static void take_answer(ckiti_redis_call *call, const ckiti_resp_item *item) {
    question *q = (question *)call;
    if (ckiti_redis_call_refused(call, item)) {
        return;
    }
    if (item->depth == 0) {
        q->unknown = item->type == CKITI_RESP_NIL;
        if (!q->unknown && (item->type != CKITI_RESP_ARRAY || item->integer != 2)) {
            ckiti_redis_call_unexpected(call);
        }
        return;
    }
    bool good = item->type == CKITI_RESP_BULK && !item->streamed && item->depth == 1 && q->parts < 2 &&
                (q->parts == 0 ? ckiti_redis_host_read(q->out, item->text) : ckiti_redis_port_read(q->out, item->text));
    if (!good) {
        ckiti_redis_call_unexpected(call);
    }
    q->parts++;
}

static ckit_status resolve_fixed(void *self, unsigned *attempt, uint64_t until_ms, ckiti_redis_endpoint *out,
                                 ckit_error *err) {
    (void)until_ms;
    (void)err;
    *out = *(const ckiti_redis_endpoint *)self;
    return *attempt == 0 ? CKIT_OK : CKIT_MISS;
}

/* Asks one sentinel, on a connection for this question. */
static ckit_status ask(ckiti_redis_sentinel *s, ckiti_redis_endpoint *sentinel, uint64_t until_ms,
                       ckiti_redis_endpoint *out, ckit_error *err) {
    ckiti_redis_dial dial = {.address = &s->address,
                             .streams = s->streams,
                             .resolver = {.resolve = resolve_fixed, .self = sentinel},
                             .alloc = s->alloc};
    question         q = {
                .call = {.write = write_question, .take = take_answer, .replies = 1, .until_ms = until_ms, .err = err},
                .service = s->address.service,
                .out = out};
    ckiti_redis_connection c;
    ckit_buf               scratch;
    if (ckiti_redis_connection_init(&c, &dial) != CKIT_OK) {
        ckiti_redis_connection_fini(&c);
        return ckiti_redis_no_memory(err, "a connection");
    }
    *out = (ckiti_redis_endpoint){.local = false};
    ckit_buf_init(&scratch, s->alloc);
    ckit_status st = ckiti_redis_connection_open(&c, until_ms, err);
    if (st == CKIT_OK) {
        ckiti_redis_call_begin(&q.call);
        ckiti_redis_connection_run(&c, &q.call, &scratch);
        st = q.call.status;
    }
    if (st == CKIT_OK && q.unknown) {
        st = ckit_fail(err, CKIT_E_UNREACHABLE, CKITI_REDIS_WHERE, "the sentinels know no master named '%.60s'",
                       s->address.service);
    }
    ckit_buf_fini(&scratch);
    ckiti_redis_connection_fini(&c);
    return st;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* What a sentinel said is worth more than that others are away. */
static void keep_worst(ckit_error *why, const ckit_error *one) {
    if (why->status == CKIT_OK || why->status == CKIT_E_UNREACHABLE || why->status == CKIT_E_TIMEOUT) {
        *why = *one;
    }
}

/* Attempt n asks sentinel n, counted from the one that answered well last; behind the last stands the old master. */
static ckit_status resolve(void *self, unsigned *attempt, uint64_t until_ms, ckiti_redis_endpoint *out,
                           ckit_error *err) {
    ckiti_redis_sentinel *s = self;
    ckit_error            why = CKIT_ERROR_INIT;
    unsigned              count = (unsigned)s->address.host_count;
    pthread_mutex_lock(&s->lock);
    unsigned             first = s->first;
    ckiti_redis_endpoint known = s->master;
    pthread_mutex_unlock(&s->lock);
    for (; *attempt < count; (*attempt)++) {
        ckit_error one = CKIT_ERROR_INIT;
        uint64_t   now = ckiti_system_monotonic_ms();
        uint64_t   share = ckiti_time_left(now, until_ms) / (count - *attempt + 1); /* one that is silent leaves time */
        if (ask(s, &s->address.hosts[(first + *attempt) % count], ckiti_time_after(now, share), out, &one) == CKIT_OK) {
            return CKIT_OK;
        }
        keep_worst(&why, &one);
    }
    if (*attempt == count && known.host[0] != '\0') {
        *out = known;
        return CKIT_OK;
    }
    return ckit_fail(err, why.status == CKIT_OK ? CKIT_E_UNREACHABLE : why.status, CKITI_REDIS_WHERE,
                     "no sentinel of %u tells where the master is: %.150s", count, why.text);
}

static void note_good(void *self, unsigned attempt, const ckiti_redis_endpoint *at) {
    ckiti_redis_sentinel *s = self;
    unsigned              count = (unsigned)s->address.host_count;
    pthread_mutex_lock(&s->lock);
    s->first = (s->first + (attempt < count ? attempt : 0)) % count;
    s->master = *at;
    pthread_mutex_unlock(&s->lock);
}

/* ---- making and ending ------------------------------------------------------------------------------------------- */

void ckiti_redis_sentinel_init(ckiti_redis_sentinel *s, const ckiti_redis_address *address,
                               const ckiti_redis_stream_ops *streams, const ckit_alloc *alloc) {
    *s = (ckiti_redis_sentinel){.address = *address, .streams = streams, .alloc = alloc};
    memcpy(s->address.username, address->sentinel_username, sizeof s->address.username);
    memcpy(s->address.password, address->sentinel_password, sizeof s->address.password);
    s->address.database = 0;
    pthread_mutex_init(&s->lock, NULL);
}

void ckiti_redis_sentinel_fini(ckiti_redis_sentinel *s) {
    if (s->streams != NULL) {
        pthread_mutex_destroy(&s->lock);
        ckiti_redis_address_fini(&s->address);
        s->streams = NULL;
    }
}

ckiti_redis_resolver ckiti_redis_sentinel_resolver(ckiti_redis_sentinel *s) {
    return (ckiti_redis_resolver){.resolve = resolve, .good = note_good, .self = s};
}
