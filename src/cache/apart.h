/* cache/apart.h - a run of a function that may take only so long: in a thread of its own, while its caller waits for it
 * as long as the limits say, and then leaves with what there is.
 *
 * Whoever of the two stays behind gives the run back: the thread when the caller has left, else the caller. A run that
 * finds no thread in time is given back without having begun, by one of the cache's workers where that may wait for the
 * store. */
#ifndef CKITI_CACHE_APART_H
#define CKITI_CACHE_APART_H

#include "cache/core.h"

typedef struct ckiti_apart ckiti_apart;

typedef struct ckiti_apart_kind {
    /* In the thread. What it leaves for the caller he reads after it. */
    void (*run)(ckiti_apart *apart);
    /* The soft or the hard limit is over: what the caller gets instead of the result is put where `caller` says. False:
     * there is nothing, and he waits on; after the hard limit he leaves in any case. The run may be under way. */
    bool (*instead)(ckiti_apart *apart, bool hard, void *caller);
    /* Nobody waits any more: everything is given back, the run itself with it. */
    void (*end)(ckiti_apart *apart);
    /* Of one that has not begun: its end lets locks of the store go. */
    bool (*has_lock)(const ckiti_apart *apart);
    /* Whose the seats of the run are: ckiti_flight_move_away, _here. */
    void (*move)(ckiti_apart *apart, void (*move)(ckiti_flights *flights, ckiti_seat *seat));
} ckiti_apart_kind;

/* Part of the run. */
struct ckiti_apart {
    const ckiti_apart_kind *kind;
    ckit_function          *function;
    ckiti_job               job;
    struct timespec         soft; /* when the limits are reached; where there is none: now, and in a day */
    struct timespec         hard;
    pthread_mutex_t         mu; /* a leaf */
    pthread_cond_t          over;
    bool                    is_over; /* these two: guarded by mu */
    bool                    is_alone;
};

void ckiti_apart_init(ckiti_apart *apart, const ckiti_apart_kind *kind, ckit_function *function);
/* Nobody waits any more. */
void ckiti_apart_fini(ckiti_apart *apart);

/* CKIT_OK: it has run, and is the caller's again. CKIT_STALE: the caller has had enough, and what he gets instead; the
 * run is not his any more. CKIT_MISS: there is no thread for it; nothing has happened. */
ckit_status ckiti_apart_compute(ckiti_apart *apart, void *caller);

/* The calling thread is about to wait for a call, of whatever cache, that may wait for a thread itself: if it is that of
 * a run, another run may have its place meanwhile. Returns whose place it is, for stepping back, or NULL. */
ckiti_workers *ckiti_apart_step_aside(void);
/* Accepts NULL. */
void ckiti_apart_step_back(ckiti_workers *runners);
/* In a forked child: the pools and their threads stayed with the parent. */
void ckiti_apart_forked(void);

#endif
