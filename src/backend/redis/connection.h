/* connection.h - one connection, logged in and ready, and the replies that come over it.
 *
 * Used by one thread at a time. */
#ifndef CKITI_REDIS_CONNECTION_H
#define CKITI_REDIS_CONNECTION_H

#include "call.h"
#include "failure.h"
#include "stream.h"

struct ckiti_redis_connection;

/* Tells where the server is. Asked whenever a connection is made, so that sentinels can give another answer than
 * before. When the server at one place will not do, the next place is tried. */
typedef struct ckiti_redis_resolver {
    /* Suggestion number `*attempt` (from 0), or a later one when there is none of this number. Anything but CKIT_OK:
     * there are no more, and `err` says why when this was the first. */
    ckit_status (*resolve)(void *self, unsigned *attempt, uint64_t until_ms, ckiti_redis_endpoint *out,
                           ckit_error *err);
    /* This suggestion led to a server that will do. May be NULL. */
    void (*good)(void *self, unsigned attempt, const ckiti_redis_endpoint *at);
    void *self;
} ckiti_redis_resolver;

/* Gets every item of a push message (RESP3) that arrives on a connection, from the thread that serves it. `item->ends`
 * marks the last one. Long bulks in it are dropped. */
typedef struct ckiti_redis_push {
    void (*take)(void *self, const ckiti_resp_item *item);
    void *self;
} ckiti_redis_push;

/* Sees what becomes of connections, from the thread that makes or ends them. Each may be NULL. */
typedef struct ckiti_redis_observer {
    /* There is a stream, not logged in yet, until this is called with NULL. */
    void (*stream)(void *self, ckiti_redis_stream *stream);
    /* Logged in at a server that will do. */
    void (*opened)(void *self, const struct ckiti_redis_connection *c, const ckiti_redis_endpoint *at);
    /* The reply to a message that was published behind a call. */
    void (*published)(void *self, const ckiti_resp_item *item);
    void *self;
} ckiti_redis_observer;

/* How connections of one kind are made; outlives them. */
typedef struct ckiti_redis_dial {
    const ckiti_redis_address    *address;
    const ckiti_redis_stream_ops *streams;
    ckiti_redis_resolver          resolver;
    ckiti_redis_push              push; /* `take` NULL: push messages are dropped */
    ckiti_redis_observer          observer;
    bool                          masters_only; /* a server that calls itself a replica will not do */
    bool              gathers; /* reads of several keys may be one command: not where slots keep them apart */
    const ckit_alloc *alloc;
} ckiti_redis_dial;

typedef struct ckiti_redis_connection {
    const ckiti_redis_dial *dial;
    ckiti_redis_stream     *stream; /* NULL: not connected */
    ckiti_redis_label       label;  /* of the server that was tried last */
    ckiti_resp_reader       reader;
    uint32_t                protocol; /* 2 or 3, as agreed with the server */
    bool                    demoted;  /* where only masters will do: it has answered that it is none any more */
    uint64_t read_at_ms;              /* when something arrived last, or a request went out while nothing was awaited */
} ckiti_redis_connection;

/* Prepares without connecting. CKIT_E_NO_MEMORY. */
ckit_status ckiti_redis_connection_init(ckiti_redis_connection *c, const ckiti_redis_dial *dial);
/* Closes what is open and frees. Accepts zeroed memory. */
void ckiti_redis_connection_fini(ckiti_redis_connection *c);

/* Connects and logs in: HELLO 3, or AUTH where the server does not know it; SELECT; the client's name; ROLE where only
 * masters will do. Closed on failure. */
ckit_status ckiti_redis_connection_open(ckiti_redis_connection *c, uint64_t until_ms, ckit_error *err);
void        ckiti_redis_connection_close(ckiti_redis_connection *c);
/* In a forked child: closes without a word to the server. */
void ckiti_redis_connection_forget(ckiti_redis_connection *c);

/* Sends all bytes. */
ckit_status ckiti_redis_connection_send(ckiti_redis_connection *c, struct iovec *parts, int count, uint64_t until_ms,
                                        ckit_error *err);
/* Waits for some bytes and takes them in. CKIT_E_TIMEOUT when none came (without filling `err`); CKIT_E_NETWORK. */
ckit_status ckiti_redis_connection_receive(ckiti_redis_connection *c, uint64_t until_ms, ckit_error *err);

/* Whose replies are being read. `call` NULL: nobody wants them. */
typedef struct ckiti_redis_turn {
    ckiti_redis_call *call;
    uint32_t          left; /* replies that still come; 0: only push messages may */
} ckiti_redis_turn;

typedef enum ckiti_redis_progress {
    CKITI_REDIS_DONE, /* the turn's replies are complete */
    CKITI_REDIS_MORE, /* more bytes are needed */
    CKITI_REDIS_BAD   /* the connection is of no use any more; `err` is filled */
} ckiti_redis_progress;

/* Hands on what has been received, until the turn is over. */
ckiti_redis_progress ckiti_redis_connection_take(ckiti_redis_connection *c, ckiti_redis_turn *turn, ckit_error *err);
/* It did not answer in time. */
ckit_status ckiti_redis_connection_late(const ckiti_redis_connection *c, ckit_error *err);
/* CKIT_E_NETWORK when the connection must go because of c->demoted. */
ckit_status ckiti_redis_connection_check_master(const ckiti_redis_connection *c, ckit_error *err);
/* Whoever had the turn has given up. */
void ckiti_redis_connection_drop(ckiti_redis_connection *c, ckiti_redis_turn *turn);

/* Before commands go out on a connection that nothing is awaited from: takes in push messages that have come meanwhile.
 * CKIT_E_NETWORK when the server has closed it, CKIT_E_IO for a reply that nobody asked for: no command may go out
 * behind it, or it would be taken for its answer. Within the tick of the clock (1 to 10 ms) in which something was read
 * last it does not look: what had come with that has been seen, and a caller who asks again and again is spared a
 * system call. */
ckit_status ckiti_redis_connection_check(ckiti_redis_connection *c, ckit_error *err);

/* One call with the connection to itself: sends, and reads until it is done. The call's status; after a failure that
 * leaves the connection useless (call->lost, a timeout, garbage) it is closed. */
void ckiti_redis_connection_run(ckiti_redis_connection *c, ckiti_redis_call *call, ckit_buf *scratch);

#endif
