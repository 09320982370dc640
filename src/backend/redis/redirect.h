/* redirect.h - a call in a cluster: goes to the node that has its slot, and follows what nodes say about it.
 *
 * Only those commands of a call that were turned away are sent again, so that nothing is done twice at two places:
 * MOVED to the new node, which the slot leads to from then on; ASK to the other one, once, each behind ASKING; TRYAGAIN
 * after a pause, when somebody waits. At most CKITI_REDIS_TURNS times; then, and for CLUSTERDOWN, the reply is the
 * call's failure, which may pass. */
#ifndef CKITI_REDIS_REDIRECT_H
#define CKITI_REDIS_REDIRECT_H

#include "cluster.h"

#define CKITI_REDIS_TURNS 6u
#define CKITI_REDIS_TURNABLE 64u /* most replies of such a call */

typedef struct ckiti_redis_turn_call {
    ckiti_redis_call        call; /* what the nodes get */
    ckiti_redis_call       *inner;
    ckiti_redis_cluster    *cluster;
    ckiti_redis_seat       *seat;
    uint16_t                slot;
    bool                    asking;
    bool                    blind;   /* the node is a guess */
    unsigned                chances; /* guesses left */
    unsigned                turns;
    uint64_t                todo;  /* replies of `inner` that are asked for in this round, a bit each */
    uint64_t                again; /* those that were turned away */
    ckiti_redis_turned      kind;
    ckiti_redis_redirection to;
    char                    text[160]; /* of the reply */
} ckiti_redis_turn_call;

/* Runs a call and waits for it; inner->until_ms stands. Its status. */
ckit_status ckiti_redis_cluster_call(ckiti_redis_cluster *c, uint16_t slot, ckiti_redis_call *inner);
/* Hands it over; inner->finish is told. `t` lasts until then. CKIT_PENDING, or why it was not taken. */
ckit_status ckiti_redis_cluster_submit(ckiti_redis_cluster *c, uint16_t slot, ckiti_redis_call *inner,
                                       ckiti_redis_turn_call *t);

#endif
