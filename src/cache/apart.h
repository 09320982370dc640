/* cache/apart.h - a run in a thread of its own, and a caller who waits for it as long as he wants and then may leave.
 * The one of the two who stays behind gives the run back: the thread when ckiti_apart_end says so, else the caller. */
#ifndef CKITI_CACHE_APART_H
#define CKITI_CACHE_APART_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* Part of the run. What the thread leaves for the caller is written before ckiti_apart_end and read after
 * ckiti_apart_is_over_by has said true. */
typedef struct ckiti_apart {
    pthread_mutex_t mu; /* a leaf */
    pthread_cond_t  over;
    bool            is_over; /* these two: guarded by mu */
    bool            is_alone;
} ckiti_apart;

void ckiti_apart_init(ckiti_apart *apart);
/* Nobody waits any more. */
void ckiti_apart_fini(ckiti_apart *apart);
/* The thread is done. True: the caller has gone. False: the run is the caller's now, and may be freed at once. */
bool ckiti_apart_end(ckiti_apart *apart);
/* The caller waits until a point of CLOCK_MONOTONIC; true when the run is over. */
bool ckiti_apart_is_over_by(ckiti_apart *apart, struct timespec until);
/* The caller goes. False: he cannot, because it is over by now. */
bool ckiti_apart_leave(ckiti_apart *apart);

#endif
