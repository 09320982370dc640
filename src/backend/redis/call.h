/* call.h - one request to a server: commands that travel together, and what takes their replies.
 *
 * A call stands at the beginning of a struct of its operation, in the caller's storage, and belongs to whoever serves
 * the connection between being handed over and being done. */
#ifndef CKITI_REDIS_CALL_H
#define CKITI_REDIS_CALL_H

#include "resp.h"

#include <stdatomic.h>

typedef struct ckiti_redis_call ckiti_redis_call;

struct ckiti_redis_call {
    /* ---- filled by the operation ---- */

    /* Appends the commands; may be asked again when the call is repeated. */
    void (*write)(const ckiti_redis_call *call, ckiti_resp_writer *w);
    /* Gets every item of reply number `got` (from 0) as it arrives, error replies included. Not called after a failure
     * of the connection: then `status` and `err` tell it. */
    void (*take)(ckiti_redis_call *call, const ckiti_resp_item *item);
    /* Where a long bulk of item->integer bytes goes; NULL: drop it. May be NULL itself. */
    uint8_t *(*place)(ckiti_redis_call *call, const ckiti_resp_item *item);
    /* Undoes what was taken, before the first attempt and every repetition. May be NULL. */
    void (*begin)(ckiti_redis_call *call);
    /* Only of a call that reads the life and the value of one entry, PTTL and GET: appends the entry's name as one
     * argument. Such calls may be sent as one MGET with others. Then `life` is told what PTTL answered (INT64_MIN: it
     * was refused), and `take` gets the value as the last of its replies. NULL for all others. */
    void (*put_name)(const ckiti_redis_call *call, ckiti_resp_writer *w);
    void (*life)(ckiti_redis_call *call, int64_t pttl);
    uint32_t replies; /* how many there will be */
    /* Keys of which a message is published behind the commands (publish.h); `take` does not see the answers. */
    const ckit_slice *told;
    uint32_t          told_count;
    bool              large; /* travels on a connection of its own */
    bool              asks;  /* somebody wants to know how the server is: it is tried, whatever is known */
    bool              once;  /* writes values: not sent again where the first copy may still take effect */
    ckit_error       *err;   /* the caller's, or NULL */

    /* For calls that nobody waits for: told once when done, from the thread that serves them. NULL: somebody waits. */
    void (*finish)(ckiti_redis_call *call);

    /* ---- filled by who serves it ---- */

    _Atomic uint64_t  until_ms; /* on CLOCK_MONOTONIC */
    bool              patient;  /* the time limit is the store's own: it grows with the size of a value */
    bool              lost;     /* failed because the connection or the answer was lost: may be tried again */
    bool              unheard;  /* of some attempt no answer came, though it was sent, or will be: it may take effect */
    uint64_t          began_ms; /* of this attempt */
    bool              strange;  /* it was given a reply that cannot be its own */
    uint32_t          attempts; /* repetitions so far */
    uint32_t          got;      /* replies that are complete */
    ckit_status       status;   /* CKIT_OK until somebody says otherwise */
    uint32_t          word;     /* of the two that waiters sleep on; CKITI_REDIS_AWAKE: nobody has to be woken */
    uint32_t          lane;     /* of the channel, and its number there */
    uint64_t          sequence;
    ckiti_redis_call *next; /* in a list of those to repeat */
    _Atomic bool      done;
};

#define CKITI_REDIS_AWAKE 2u

/* The first failure of a call counts. */
static inline void ckiti_redis_call_set(ckiti_redis_call *call, ckit_status status) {
    if (call->status < CKIT_E_FIRST) {
        call->status = status;
    }
}
/* A long value begins: who has only the store's own limit may take longer. */
static inline void ckiti_redis_call_extend(ckiti_redis_call *call, uint64_t bytes) {
    if (call->patient) {
        call->until_ms += bytes / 1048576 * 1000;
    }
}
/* It failed and may be tried again: what was lost may have been done, which is no matter unless it brings a value. */
static inline bool ckiti_redis_call_repeats(const ckiti_redis_call *call) {
    return call->lost && !(call->once && (call->status == CKIT_E_NETWORK || call->status == CKIT_E_TIMEOUT));
}
/* Fails it with a record that is already filled. */
void ckiti_redis_call_fail(ckiti_redis_call *call, const ckit_error *why, bool lost);
/* For `take`: an error reply becomes the call's failure. True when `item` was one. */
bool ckiti_redis_call_refused(ckiti_redis_call *call, const ckiti_resp_item *item);
/* For `take`: a reply of another type than the command has. It may belong to another command, and all that follow it
 * too: the connection ends with it. */
void ckiti_redis_call_unexpected(ckiti_redis_call *call);
/* Appends everything that it sends, and how many replies that has. */
void                   ckiti_redis_call_write(const ckiti_redis_call *call, ckiti_resp_writer *w);
static inline uint32_t ckiti_redis_call_replies(const ckiti_redis_call *call) {
    return call->replies + call->told_count;
}
/* Before an attempt. */
void ckiti_redis_call_begin(ckiti_redis_call *call);

#endif
