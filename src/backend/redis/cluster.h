/* cluster.h - the nodes of a cluster: which of them has a slot, and how that is kept true.
 *
 * A seat is a place for one node with its connections. Slots lead to seats; a lookup takes no lock. The map comes from
 * CLUSTER SLOTS, asked in the background (by a node's own thread) when a node said MOVED or failed, never more often
 * than every 100 ms, and less often while nothing changes; a slot that moved is noted at once. Before there is a map
 * any node will do: it tells with MOVED where to go. */
#ifndef CKITI_REDIS_CLUSTER_H
#define CKITI_REDIS_CLUSTER_H

#include "node.h"
#include "topology.h"

#define CKITI_REDIS_SEATS 1280u /* masters, and some that are just coming or going */

typedef struct ckiti_redis_seat {
    ckiti_redis_endpoint        at;
    ckiti_redis_node            node;
    _Atomic uint32_t            users;  /* whoever counts here keeps the node; CKITI_REDIS_CLAIMED: it is being ended */
    bool                        used;   /* guarded by the cluster's lock, as what follows */
    bool                        listed; /* a master of the map */
    bool                        covered;    /* what changes there is heard of */
    uint64_t                    visited_ms; /* when a node last sent a call there; 0: never */
    struct ckiti_redis_cluster *of;
} ckiti_redis_seat;

/* Sees what calls are led to. Each may be NULL. */
typedef struct ckiti_redis_cluster_observer {
    /* Slots lead to other nodes than before, or somebody was sent to a node that is not covered. The cluster's lock is
     * held. */
    void (*slots)(void *self);
    /* A connection to the node has been made. */
    void (*opened)(void *self, const ckiti_redis_seat *seat);
    void *self;
} ckiti_redis_cluster_observer;

typedef struct ckiti_redis_cluster ckiti_redis_cluster;

typedef struct ckiti_redis_map_call { /* CLUSTER SLOTS */
    ckiti_redis_call     call;
    ckiti_redis_map      map;
    ckiti_redis_cluster *cluster;
    ckiti_redis_seat    *seat;
    ckit_error           why;
} ckiti_redis_map_call;

struct ckiti_redis_cluster {
    const ckiti_redis_address    *address;
    const ckiti_redis_stream_ops *streams;
    const ckit_alloc             *alloc;
    ckiti_redis_cluster_observer  observer; /* never changed once calls are made */
    _Atomic uint64_t              strays;   /* times that calls were led to a node that was not covered */
    ckiti_redis_tag               tags[CKITI_REDIS_SLOTS];
    _Atomic uint16_t              slots[CKITI_REDIS_SLOTS]; /* number of the seat, from 1; 0: not known */
    _Atomic(ckiti_redis_seat *)   seats[CKITI_REDIS_SEATS]; /* once there, a seat stays where it is */
    _Atomic bool                  closing;
    pthread_mutex_t      lock; /* before the locks of nodes: guards what follows, and changes of what stands above */
    uint32_t             seat_count;
    uint32_t             turn;    /* who is asked next when any will do */
    uint32_t             version; /* of the map; 0: none yet */
    ckiti_redis_endpoint spares[CKITI_REDIS_SPARES];
    uint16_t             spare_count;
    bool                 refreshing; /* `refresh` is under way */
    uint32_t             pace_ms;    /* until the next one */
    uint64_t             next_ms;
    ckiti_redis_map_call refresh;
};

/* In zeroed memory. Connects to nobody. */
void ckiti_redis_cluster_init(ckiti_redis_cluster *c, const ckiti_redis_address *address,
                              const ckiti_redis_stream_ops *streams, const ckit_alloc *alloc);
/* Nobody waits for anything any more; what was handed over is answered with CKIT_E_CLOSED. Accepts zeroed memory. */
void ckiti_redis_cluster_fini(ckiti_redis_cluster *c);

/* ---- seats: each that is given out is left again ----------------------------------------------------------------- */

/* The one that has the slot; NULL: not known. */
ckiti_redis_seat *ckiti_redis_cluster_route(ckiti_redis_cluster *c, uint16_t slot);
/* One of the map's masters, or of the configured hosts, another one every time. NULL: no memory, or no seat is free. */
ckiti_redis_seat *ckiti_redis_cluster_any(ckiti_redis_cluster *c);
/* The node at a place; with `slot` (below CKITI_REDIS_SLOTS) that slot leads there from now on. NULL as above. */
ckiti_redis_seat *ckiti_redis_cluster_at(ckiti_redis_cluster *c, const ckiti_redis_endpoint *at, uint32_t slot);
/* All masters of the map, `CKITI_REDIS_SEATS` at most; how many. */
uint32_t ckiti_redis_cluster_masters(ckiti_redis_cluster *c, ckiti_redis_seat **out);
void     ckiti_redis_cluster_leave(ckiti_redis_seat *seat);

/* ---- nodes that have to be watched (lookout.h) ------------------------------------------------------------------- */

/* All that calls are led to: masters of the map, where a slot leads, and where a node has sent somebody lately. As
 * above. */
uint32_t ckiti_redis_cluster_wanted(ckiti_redis_cluster *c, ckiti_redis_seat **out);
/* From now on, and until `uncover`, a call that is led there is not astray. */
void ckiti_redis_cluster_cover(ckiti_redis_cluster *c, ckiti_redis_seat *seat);
/* False, and nothing is done, when it is wanted again. */
bool ckiti_redis_cluster_uncover(ckiti_redis_cluster *c, ckiti_redis_seat *seat);
/* How a connection to that node is made. */
ckiti_redis_dial ckiti_redis_cluster_dial(ckiti_redis_cluster *c, ckiti_redis_seat *seat);

/* Ends every pause between attempts to connect. */
void ckiti_redis_cluster_hurry(ckiti_redis_cluster *c);

/* How many nodes a call may try when none of those known has answered yet. */
unsigned ckiti_redis_cluster_chances(const ckiti_redis_cluster *c);

/* ---- the map ----------------------------------------------------------------------------------------------------- */

/* Something hints that the map is not true any more: it is asked for in the background, of `hint` if that is not
 * NULL. */
void ckiti_redis_cluster_notice(ckiti_redis_cluster *c, ckiti_redis_seat *hint);
/* Asks for the map now, one node after the other. */
ckit_status ckiti_redis_cluster_refresh(ckiti_redis_cluster *c, uint64_t until_ms, ckit_error *err);
/* Changes with every change of the map; `holes`: slots that nobody serves. */
uint32_t ckiti_redis_cluster_version(ckiti_redis_cluster *c, uint32_t *holes);

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_redis_cluster_before_fork(ckiti_redis_cluster *c);
void ckiti_redis_cluster_after_fork(ckiti_redis_cluster *c);
void ckiti_redis_cluster_in_child(ckiti_redis_cluster *c);

#endif
