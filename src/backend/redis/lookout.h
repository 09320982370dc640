/* lookout.h - how copies in memory hear of changes in a cluster: a watch (watch.h) of each master, and a thread that
 * tells what they amount to.
 *
 * Changes are told where they are made, so all is well while each node that answers reads here has a watch that is
 * guarded. Then, and only then, the whole counts as guarded. It is lost, and every copy goes, when
 *
 *   one of the watches is lost, even if it is back at once;
 *   a slot leads, or a call was turned (ASK), to a node without a guarded watch: what was read there may have changed
 *   unheard. It counts from the moment that the slot leads there, also if it has led back meanwhile;
 *   a node is not watched any more.
 *
 * Copies also go when a link begins to tell and the whole is not guarded. While another node is away memory keeps what
 * it reads for a second, and the messages of the links that are there are passed on; nobody who has heard of a change
 * by one of them finds anything in memory that is older at that node.
 *
 * A map that is never asked for would not show that a master has been replaced, while one here reads from memory alone:
 * so it is asked for every five seconds.
 *
 * Publish/subscribe is no way out where tracking is refused: nodes pass messages on without saying when one is lost.
 * Then memory keeps copies for a second. */
#ifndef CKITI_REDIS_LOOKOUT_H
#define CKITI_REDIS_LOOKOUT_H

#include "cluster.h"
#include "watch.h"

#define CKITI_REDIS_LOOKOUT_MAP_MS 5000u
#define CKITI_REDIS_LOOKOUT_RETRY_MS 100u

typedef struct ckiti_redis_lookout ckiti_redis_lookout;

typedef struct ckiti_redis_lookout_member {
    struct ckiti_redis_lookout_member *next;
    ckiti_redis_lookout               *of;
    ckiti_redis_seat                  *seat; /* counted in */
    ckiti_redis_watch                  watch;
    ckit_watch_sink                    sink;
    _Atomic int                        publishing; /* its watch has to tell somebody */
    _Atomic bool                       guarded;
    bool                               wanted; /* the thread's */
} ckiti_redis_lookout_member;

struct ckiti_redis_lookout {
    ckiti_redis_cluster   *cluster;
    const ckit_log        *log;
    const ckit_watch_sink *sink; /* NULL: nobody has asked */
    _Atomic bool           due;  /* the next operation starts the thread */
    _Atomic uint64_t       losses;

    pthread_mutex_t             lock; /* behind the cluster's, before those of watches: guards what follows */
    pthread_cond_t              word; /* on CLOCK_MONOTONIC */
    bool                        running, stop;
    bool                        dirty;   /* something has changed */
    ckiti_redis_lookout_member *members; /* changed by the thread alone */

    /* Held while the sink is told, and no other lock with it but, before, the cluster's. A fork does not wait for
     * it. */
    pthread_mutex_t telling;
    _Atomic bool    guarded;

    uint64_t seen_losses, seen_strays; /* when it became guarded */

    /* the thread's */
    pthread_t         thread;
    ckiti_redis_seat *seats[CKITI_REDIS_SEATS];
};

/* In zeroed memory; the cluster outlives it. No thread and no connection yet. */
void ckiti_redis_lookout_init(ckiti_redis_lookout *l, ckiti_redis_cluster *c, const ckit_log *log);
/* Ends all threads; the sink is told nothing any more. What the cluster tells meanwhile is passed over. */
void ckiti_redis_lookout_stop(ckiti_redis_lookout *l);
/* After the cluster has ended. */
void ckiti_redis_lookout_fini(ckiti_redis_lookout *l);

void               ckiti_redis_lookout_begin(ckiti_redis_lookout *l, const ckit_watch_sink *sink);
void               ckiti_redis_lookout_start(ckiti_redis_lookout *l);
static inline void ckiti_redis_lookout_wake(ckiti_redis_lookout *l) {
    if (atomic_load_explicit(&l->due, memory_order_relaxed)) {
        ckiti_redis_lookout_start(l);
    }
}

/* Around fork, inside of the cluster's. The child begins anew with its first operation. */
void ckiti_redis_lookout_before_fork(ckiti_redis_lookout *l);
void ckiti_redis_lookout_after_fork(ckiti_redis_lookout *l);
void ckiti_redis_lookout_in_child(ckiti_redis_lookout *l);

#endif
