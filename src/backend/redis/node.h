/* node.h - one server and everything that leads to it. A cluster would have several, chosen by the slot of the key. */
#ifndef CKITI_REDIS_NODE_H
#define CKITI_REDIS_NODE_H

#include "channel.h"
#include "pool.h"

#define CKITI_REDIS_LARGE_BYTES 65536u /* a value beyond travels on a connection of its own */

typedef struct ckiti_redis_node {
    ckiti_redis_dial    dial;
    ckiti_redis_backoff backoff;
    ckiti_redis_channel channel; /* callers who wait */
    ckiti_redis_pump    pump;    /* calls that nobody waits for */
    ckiti_redis_pool    pool;
} ckiti_redis_node;

/* `dial` is copied; what it points to outlives the node. CKIT_E_NO_MEMORY: end it all the same. */
ckit_status ckiti_redis_node_init(ckiti_redis_node *node, const ckiti_redis_dial *dial);
/* Accepts zeroed memory. */
void ckiti_redis_node_fini(ckiti_redis_node *node);

/* Runs a call until it is done, repeating it as the address says. Its status. */
ckit_status ckiti_redis_node_call(ckiti_redis_node *node, ckiti_redis_call *call);
/* Hands a call over; call->finish is told. CKIT_PENDING, or why it was not taken. */
ckit_status ckiti_redis_node_submit(ckiti_redis_node *node, ckiti_redis_call *call);
/* Ends a pause between attempts to connect; a server that said nothing is tried anew. */
void ckiti_redis_node_hurry(ckiti_redis_node *node);

/* How many connections there are, and how many are in use at this moment. */
void ckiti_redis_node_count(ckiti_redis_node *node, uint32_t *all, uint32_t *taken);

/* Around fork: takes all locks; releases them in the parent; forgets and releases in the child. */
void ckiti_redis_node_before_fork(ckiti_redis_node *node);
void ckiti_redis_node_after_fork(ckiti_redis_node *node);
void ckiti_redis_node_in_child(ckiti_redis_node *node);

#endif
