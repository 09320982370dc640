/* channel.h - one connection that many callers share: their commands are queued, travel together and are answered in
 * order.
 *
 * Whoever serves the channel (`leader`) owns the connection and everything marked so; there is one at a time. combine.c
 * lets the callers take turns at it, pump.c has a thread for it. */
#ifndef CKITI_REDIS_CHANNEL_H
#define CKITI_REDIS_CHANNEL_H

#include "backoff.h"
#include "connection.h"

#include <pthread.h>

#define CKITI_REDIS_IN_FLIGHT 4096u                        /* calls at a time */
#define CKITI_REDIS_QUEUE_BYTES ((size_t)64 * 1024 * 1024) /* not sent yet */

/* A call that waits for its replies. Whoever takes the pointer out owns the call: the leader, to answer it, or its
 * caller, to leave without an answer. */
typedef struct ckiti_redis_place {
    _Atomic(ckiti_redis_call *) call;
    uint32_t                    replies; /* still to be read when the caller has left */
    int64_t                     pttl;    /* of a gathered read, once it is known; the leader's */
} ckiti_redis_place;

/* Calls in order. Numbers: [head, sent) wait for replies, [sent, tail) for being sent. */
typedef struct ckiti_redis_lane {
    ckiti_redis_place *places; /* by number modulo CKITI_REDIS_IN_FLIGHT */
    _Atomic uint64_t   head;   /* changed by the leader */
    uint64_t           sent;   /* the leader's */
    _Atomic uint64_t   tail;   /* changed under the lock */
} ckiti_redis_lane;

enum {
    CKITI_REDIS_PLAIN, /* commands as they are */
    CKITI_REDIS_READS, /* reads that are gathered */
    CKITI_REDIS_LANES
};

/* So many reads are gathered into one command, so that the first of a large crowd are answered, and ask again, while
 * the server is still busy with the others. */
#define CKITI_REDIS_GATHERED 64u
#define CKITI_REDIS_CUTS (CKITI_REDIS_IN_FLIGHT / CKITI_REDIS_GATHERED)

/* What is queued, as bytes: plain commands, then for each group of reads PTTL of every key, and one MGET (or GET) of
 * them all. A server needs half the time for a read that way. */
typedef struct ckiti_redis_queue {
    ckit_buf plain;
    ckit_buf lives;
    ckit_buf names;
    uint32_t reads;
    struct {
        size_t lives, names;
    } cuts[CKITI_REDIS_CUTS]; /* where the full groups end */
} ckiti_redis_queue;

/* What is answered together: plain commands, then a group. */
typedef struct ckiti_redis_batch {
    uint32_t plain, reads; /* calls that have not been answered */
} ckiti_redis_batch;

/* The reads of a batch as one call, which hands the replies out. */
typedef struct ckiti_redis_gathered {
    ckiti_redis_call            call;
    struct ckiti_redis_channel *channel;
    uint32_t                    count, at;
    bool                        claimed; /* the read at `at` is being answered: */
    ckiti_redis_call           *member;  /* by this call, or nobody's any more */
    const char                 *why;     /* the answer is none; NULL: all is well */
    unsigned                    woken;
} ckiti_redis_gathered;

typedef struct ckiti_redis_channel {
    /* never changed */
    ckiti_redis_backoff *backoff;
    uint32_t             silence_ms;
    uint32_t             connect_ms;
    bool                 gathers;

    ckiti_redis_queue queues[2];

    /* guarded by `lock`, a leaf: never held across I/O or a call's functions, but for those that write */
    pthread_mutex_t    lock;
    ckiti_redis_queue *pending; /* of `queues`, not sent yet */
    bool               closing;
    ckiti_redis_lane   lanes[CKITI_REDIS_LANES];
    _Atomic uint32_t   word; /* which of `words` those wait on who are queued now; changed under the lock */

    /* the leader's */
    ckiti_redis_connection connection; /* `stream` changes only under the lock, so that others can interrupt it */
    ckiti_redis_queue     *sending;
    ckiti_redis_batch     *batches; /* those sent and not answered, by number modulo CKITI_REDIS_IN_FLIGHT */
    uint64_t               first_batch, end_batch;
    ckiti_redis_turn       turn;
    ckiti_redis_gathered   gathered;

    /* a server that says nothing (silence.c) */
    _Atomic bool     mute;      /* somebody's time was over, and nothing had come in it */
    _Atomic uint64_t heard_ms;  /* when something came last */
    _Atomic uint64_t looked_ms; /* when somebody looked last whether something has come */
    uint64_t         asked_ms;  /* since when there is no answer; these are guarded by the lock */
    uint64_t         vain_ms;   /* the longest that anybody has waited for it */
    uint64_t         told_ms;   /* when it last counted as a failure */
    uint64_t         retry_ms;  /* one caller tries anew then */

    /* those who wait (combine.c) */
    _Atomic bool     led;
    _Atomic bool     orphan;   /* leadership was offered and nobody has taken it yet */
    _Atomic uint32_t words[2]; /* those of one batch sleep on one, those of the next on the other */
} ckiti_redis_channel;

ckit_status ckiti_redis_channel_init(ckiti_redis_channel *ch, const ckiti_redis_dial *dial,
                                     ckiti_redis_backoff *backoff);
/* Nobody uses it any more. Accepts zeroed memory. */
void ckiti_redis_channel_fini(ckiti_redis_channel *ch);
/* In a forked child: forgets connection, callers and the other threads. The lock is held, and released. */
void ckiti_redis_channel_forget(ckiti_redis_channel *ch);

/* With the lock held: queues a call. CKIT_E_BUSY when too many are under way, CKIT_E_NO_MEMORY, CKIT_E_CLOSED; `err` is
 * filled. */
ckit_status ckiti_redis_channel_queue(ckiti_redis_channel *ch, ckiti_redis_call *call, ckit_error *err);
/* Takes a call out that its caller gives up; false when somebody is answering it. */
bool ckiti_redis_channel_withdraw(ckiti_redis_channel *ch, ckiti_redis_call *call);

/* Nothing is queued or under way. */
static inline bool ckiti_redis_channel_empty(ckiti_redis_channel *ch) {
    for (int l = 0; l < CKITI_REDIS_LANES; l++) {
        if (atomic_load(&ch->lanes[l].head) != atomic_load(&ch->lanes[l].tail)) {
            return false;
        }
    }
    return true;
}

/* ---- a server that says nothing (silence.c) ------------------------------------------------------------------------
 *
 * Whoever waits in vain until his time is over, and has heard nothing on the connection all that time, has waited for
 * all who have not much more time: until something comes, calls with a deadline of their own are answered at once.
 * Their commands are not sent; the one that is still unanswered is the question, and the connection is kept for the
 * answer. What the others would have waited counts as a failure all the same, one for as much silence as one of them would have
 * had, and the rest are repetitions (EAGAIN). So a guard finds a store that hangs as sick as if everybody had waited,
 * and a server that stands still for a moment costs no more than that moment, however many ask. One caller tries anew
 * after a while, on a connection of his own, or when somebody hurries. Where there is no connection, because the server
 * let nobody in, there is nothing to hear: that while is as long as the last one has waited. */

/* Something came, or nothing has been asked. */
static inline void ckiti_redis_channel_heard(ckiti_redis_channel *ch) {
    if (atomic_load(&ch->mute)) {
        atomic_store(&ch->mute, false);
    }
}
/* The call's time is over, which `why` tells; it becomes a repetition when that is no news. True: the connection is
 * kept for the answer. */
bool ckiti_redis_channel_waited(ckiti_redis_channel *ch, const ckiti_redis_call *call, ckit_error *why);
/* How long the connection may be silent while something is asked of it. */
uint64_t ckiti_redis_channel_longest_silence(ckiti_redis_channel *ch);
/* What a call that comes now is to do. */
typedef enum ckiti_redis_turnout {
    CKITI_REDIS_GOES,
    CKITI_REDIS_TRIES_ANEW, /* the connection has been silent for long: it is to go on another one */
    CKITI_REDIS_STAYS       /* it has been failed */
} ckiti_redis_turnout;
ckiti_redis_turnout ckiti_redis_channel_turnout(ckiti_redis_channel *ch, ckiti_redis_call *call, uint64_t now_ms);
/* The next call tries anew. */
void ckiti_redis_channel_hurry(ckiti_redis_channel *ch);

/* ---- for the leader ---------------------------------------------------------------------------------------------- */

/* Answered calls: those that somebody waits for are marked in a mask, one bit for each of `words`. */
typedef unsigned ckiti_redis_woken;

/* Connects, unless an attempt has failed a moment ago. */
ckit_status ckiti_redis_channel_connect(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err);
/* Sends what is queued. */
ckit_status ckiti_redis_channel_flush(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err);
/* Waits for bytes; CKIT_E_TIMEOUT when none came. */
ckit_status ckiti_redis_channel_receive(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err);
/* Answers calls with what has been received. */
ckit_status ckiti_redis_channel_answer(ckiti_redis_channel *ch, ckiti_redis_woken *woken, ckit_error *err);
/* Ends the connection and fails the calls that were sent; with `unsent` also those that were not, because there will be
 * no connection: then none is worth repeating. All but one are told that it is a repetition (EAGAIN). Calls that nobody
 * waits for and that may be repeated are put in `again` instead, when that is not NULL. */
void ckiti_redis_channel_break(ckiti_redis_channel *ch, const ckit_error *why, bool unsent, ckiti_redis_woken *woken,
                               ckiti_redis_call **again);
/* How long the server has been silent while something was asked of it. */
uint64_t ckiti_redis_channel_silence(const ckiti_redis_channel *ch, uint64_t now_ms);
/* Nothing that was sent waits for an answer. */
static inline bool ckiti_redis_channel_idle(const ckiti_redis_channel *ch) { return ch->first_batch == ch->end_batch; }
/* The call whose replies are being read, or NULL. */
ckiti_redis_call *ckiti_redis_channel_current(const ckiti_redis_channel *ch);
/* Nobody wants them any more. */
void ckiti_redis_channel_drop_current(ckiti_redis_channel *ch);

/* ---- the two ways ------------------------------------------------------------------------------------------------ */

/* Sends a call and waits for its answer, until call->until_ms. */
void ckiti_redis_combine(ckiti_redis_channel *ch, ckiti_redis_call *call);

/* A thread that serves calls nobody waits for. */
typedef struct ckiti_redis_pump {
    ckiti_redis_channel channel;
    pthread_cond_t      work; /* with channel.lock */
    pthread_t           thread;
    uint32_t            retries;
    bool                retry_late;
    bool                made; /* it is to be ended */
    /* guarded by channel.lock */
    uint64_t expires_ms; /* no call's time is over before */
    bool     ready;      /* the thread runs */
    bool     idle;       /* it sleeps */
    bool     stop;
} ckiti_redis_pump;

ckit_status ckiti_redis_pump_init(ckiti_redis_pump *pump, const ckiti_redis_dial *dial, ckiti_redis_backoff *backoff);
/* Takes no more calls, and its thread has ended; what was under way waits for the end. */
void ckiti_redis_pump_stop(ckiti_redis_pump *pump);
/* Answers what is under way with CKIT_E_CLOSED. Accepts zeroed memory. */
void ckiti_redis_pump_fini(ckiti_redis_pump *pump);
void ckiti_redis_pump_forget(ckiti_redis_pump *pump);
/* CKIT_PENDING; any other status: not taken, call->finish will not be called. */
ckit_status ckiti_redis_pump_submit(ckiti_redis_pump *pump, ckiti_redis_call *call, ckit_error *err);

#endif
