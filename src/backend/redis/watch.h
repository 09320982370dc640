/* watch.h - how copies in this process's memory hear of changes that others make: one connection to the server and a
 * thread that reads it.
 *
 *   tracking  CLIENT TRACKING in broadcast mode (RESP3): the server names every key that changes, for whatever reason,
 *             expiry included. NOLOOP is not asked for: the server gathers what happens at one moment under the first
 *             who did it, so another's change could be left out with our own
 *   pubsub    the channel of format/invalidation.h: what processes of this library tell each other (publish.h)
 *
 * A connection that only tracks has no bound on the server's side for what waits to be sent; a subscriber has. So the
 * channel is subscribed to in either case, and a process that is stuck loses its link instead of filling the server.
 *
 * The link is asked for a sign of life when it was silent for some seconds; without one, or when it ends, the watch is
 * lost until the next link is confirmed. */
#ifndef CKITI_REDIS_WATCH_H
#define CKITI_REDIS_WATCH_H

#include "backoff.h"
#include "connection.h"

#include <cachekit/ext/backend.h>

#define CKITI_REDIS_WATCH_IDLE_MS 5000u
#define CKITI_REDIS_WATCH_STEADY_MS 1000u /* a link that lived as long counts as good */

typedef enum ckiti_redis_watch_phase {
    CKITI_REDIS_ASKED_TRACKING,
    CKITI_REDIS_ASKED_CHANNEL,
    CKITI_REDIS_WATCHING
} ckiti_redis_watch_phase;

/* The message that is being read. */
typedef struct ckiti_redis_news {
    enum { CKITI_REDIS_NEWS_OTHER, CKITI_REDIS_NEWS_KEYS, CKITI_REDIS_NEWS_MESSAGE, CKITI_REDIS_NEWS_SUBSCRIBED } kind;
    uint32_t at;     /* the element that comes next */
    bool     inside; /* the items belong to a message */
} ckiti_redis_news;

typedef struct ckiti_redis_watch {
    /* never changed once it runs */
    ckiti_redis_dial       dial;
    ckit_slice             prefix;
    const ckit_log        *log;
    _Atomic int           *publishing;    /* what the store does (publish.h); the watch knows best */
    const ckit_watch_sink *sink;          /* NULL: nobody has asked */
    bool                   only_tracking; /* messages of other processes are no way out */

    _Atomic bool due; /* the next operation starts the thread */

    pthread_mutex_t      lock; /* a leaf: guards what follows */
    pthread_cond_t       word; /* on CLOCK_MONOTONIC */
    ckiti_redis_stream  *stream;
    ckiti_redis_endpoint at; /* of the link; an empty host: none */
    bool                 running;
    bool                 stop;
    bool                 hurry; /* somebody has just reached the server */

    /* the thread's */
    pthread_t               thread;
    ckiti_redis_connection  connection;
    ckiti_redis_backoff     backoff;
    ckiti_redis_watch_phase phase;
    ckiti_redis_news        news;
    ckit_buf                long_text; /* for one that arrives in pieces */
    bool                    guarded;
    bool                    asked;    /* for a sign of life */
    uint64_t                asked_ms; /* when, or for the link itself */
    uint64_t                guarded_ms;
    ckit_status             told; /* of the last failure that was logged */
} ckiti_redis_watch;

/* Prepares, without a thread or a connection. CKIT_E_NO_MEMORY: end it all the same. */
ckit_status ckiti_redis_watch_init(ckiti_redis_watch *w, const ckiti_redis_dial *dial, const ckit_log *log,
                                   _Atomic int *publishing);
/* Ends the thread; the sink is told nothing any more. Accepts zeroed memory. Waits for an attempt to connect that is
 * under way, no longer than the address allows for one. */
void ckiti_redis_watch_fini(ckiti_redis_watch *w);

/* Whom to tell. The first operation starts the thread: a store connects to nobody before. */
void               ckiti_redis_watch_begin(ckiti_redis_watch *w, const ckit_watch_sink *sink);
void               ckiti_redis_watch_start(ckiti_redis_watch *w);
static inline void ckiti_redis_watch_wake(ckiti_redis_watch *w) {
    if (atomic_load_explicit(&w->due, memory_order_relaxed)) {
        ckiti_redis_watch_start(w);
    }
}

/* An operation's connection has been made to the server at that place. */
void ckiti_redis_watch_reached(ckiti_redis_watch *w, const ckiti_redis_endpoint *at);

/* Around fork. The child starts a thread and a link of its own with its first operation. */
void ckiti_redis_watch_before_fork(ckiti_redis_watch *w);
void ckiti_redis_watch_after_fork(ckiti_redis_watch *w);
void ckiti_redis_watch_in_child(ckiti_redis_watch *w);

/* ---- its parts (news.c) ------------------------------------------------------------------------------------------ */

/* Asks the server to tell. */
ckit_status ckiti_redis_watch_ask(ckiti_redis_watch *w, ckit_error *err);
/* Asks for a sign of life. */
ckit_status ckiti_redis_watch_ping(ckiti_redis_watch *w, ckit_error *err);
/* Tells the sink what has been received. CKIT_OK: more is needed; anything else: the link is of no use. */
ckit_status ckiti_redis_watch_take(ckiti_redis_watch *w, ckit_error *err);

#endif
