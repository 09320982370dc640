/* cache/queue.h - a completion queue: who was answered in the background stands here until somebody dispatches. */
#ifndef CKITI_CACHE_QUEUE_H
#define CKITI_CACHE_QUEUE_H

#include "cache/core.h"

#include <cachekit/poll.h>

/* Where something with a poll is. Guarded by poll->mu. */
typedef enum ckiti_queued_place {
    CKITI_PLACE_HELD = 0,   /* with the caller */
    CKITI_PLACE_BACKGROUND, /* a worker, the store or a flight has it */
    CKITI_PLACE_READY       /* in the queue */
} ckiti_queued_place;

/* What stands in a queue; part of an operation, or of a batch. */
typedef struct ckiti_queued {
    ckit_poll         *poll; /* NULL: it blocks */
    ckit_status        answer;
    ckiti_queued_place place;
    bool               cancelled; /* its caller has freed it while somebody had it, who ends it: guarded by poll->mu */
    struct ckiti_queued *next;
    struct ckiti_queued *prev;
    void (*deliver)(struct ckiti_queued *queued); /* tells its caller, in the thread that dispatches */
} ckiti_queued;

struct ckit_poll {
    ckiti_poll_hooks hooks; /* first: hooks are polls */
    ckit_cache      *cache;
    pthread_mutex_t  mu; /* guards the fields below and what stands here; only the workers' lock comes after it */
    pthread_cond_t   returned;
    ckiti_queued    *first;
    ckiti_queued    *last;
    size_t           ready;     /* how many */
    size_t           abandoned; /* freed by their caller while somebody had them */
    int              fd;
    bool             inherited; /* this process is a child of the one that opened it: nothing comes back any more */
};

/* Hands it from the background to whoever dispatches. False when its caller has freed it meanwhile: it is to be ended.
 * May be called with a flight's lock held. Afterwards it is somebody else's. */
bool ckiti_poll_enqueue(ckiti_queued *queued, ckit_status answer);
/* Its caller has freed it. */
bool ckiti_poll_is_abandoned(const ckiti_queued *queued);
/* With the lock held: out of the queue, back to its caller. */
void ckiti_poll_unlink(ckiti_queued *queued);

/* Something is freed by its caller, and ended later, by somebody else: the poll and the function stay open until
 * then. */
void ckiti_poll_leave(ckit_poll *poll, ckit_function *function);
void ckiti_poll_returned(ckit_poll *poll, ckit_function *function);
/* Takes it back from the queue, or from the workers where `job` still waits. False when somebody is at work with it: he
 * finds it abandoned, and ends it. `here`: nobody else has it, as is known. `goes_on`: it is not taken from the
 * workers, who do at once what is left to do. */
bool ckiti_poll_reclaim(ckiti_queued *queued, ckit_function *function, bool here, ckiti_job *job, bool goes_on);
/* The same in a forked child, where nobody else has it. */
void ckiti_poll_reclaim_inherited(ckiti_queued *queued);
/* Its poll still brings answers. */
static inline bool ckiti_is_pollable(const ckiti_queued *queued) {
    return queued->poll != NULL && !queued->poll->inherited;
}

#endif
