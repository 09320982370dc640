/* topology.h - what the nodes of a cluster say about it, read within limits: who serves which slot (CLUSTER SLOTS), and
 * where else a command belongs (MOVED, ASK). */
#ifndef CKITI_REDIS_TOPOLOGY_H
#define CKITI_REDIS_TOPOLOGY_H

#include "address.h"
#include "resp.h"
#include "slot.h"

#define CKITI_REDIS_MASTERS 1000u /* the most that a cluster is advised to have */
#define CKITI_REDIS_SPARES 16u    /* replicas that are remembered, to be asked when no master answers */

/* ---- the map ----------------------------------------------------------------------------------------------------- */

typedef struct ckiti_redis_map {
    uint16_t              owner[CKITI_REDIS_SLOTS]; /* number of the master, from 1; 0: nobody */
    ckiti_redis_endpoint *masters;
    uint16_t              count;
    uint16_t              room;
    ckiti_redis_endpoint  spares[CKITI_REDIS_SPARES];
    uint16_t              spare_count;
    const ckit_alloc     *alloc;
    const char           *asked; /* the host that tells: an empty name means it */
    ckit_status status;          /* CKIT_OK, or why it cannot be used: CKIT_E_IO for what is no map, CKIT_E_NO_MEMORY */
    uint32_t    told;            /* slots so far */
    /* of the range that is being read */
    int64_t              start, end;
    ckiti_redis_endpoint node;
    uint64_t             field; /* of the range, from 0; the nodes begin with 2 */
    uint64_t             part;  /* of the node, from 0 */
} ckiti_redis_map;

/* Empty, in zeroed memory or a used map. */
void ckiti_redis_map_init(ckiti_redis_map *map, const ckit_alloc *alloc, const char *asked);
/* Accepts zeroed memory. */
void ckiti_redis_map_fini(ckiti_redis_map *map);
/* Takes the items of one reply to CLUSTER SLOTS in order; map->status tells how it went. */
void ckiti_redis_map_take(ckiti_redis_map *map, const ckiti_resp_item *item);

/* What a node says in CLUSTER NODES about itself: `each` is told the slots that it serves, and, one by one, those that
 * are just moving to it or from it (`moving`). What is no slot is passed over. False when the text has no such line. */
typedef void (*ckiti_redis_slots_fn)(void *context, uint16_t first, uint16_t last, bool moving);
bool ckiti_redis_own_slots_read(ckit_slice text, ckiti_redis_slots_fn each, void *context);

/* ---- redirections ------------------------------------------------------------------------------------------------ */

/* In rising order of what matters when the replies of one call differ. */
typedef enum ckiti_redis_turned {
    CKITI_REDIS_NOT_TURNED, /* an error like others */
    CKITI_REDIS_LATER,      /* TRYAGAIN: keys of one command are on two nodes at the moment */
    CKITI_REDIS_DOWN,       /* CLUSTERDOWN, READONLY, MASTERDOWN: the slot has no master at the moment */
    CKITI_REDIS_ASK,        /* once, there: the slot is moving */
    CKITI_REDIS_MOVED       /* from now on there */
} ckiti_redis_turned;

typedef struct ckiti_redis_redirection {
    uint16_t             slot;
    ckiti_redis_endpoint to; /* an empty host: that of the node which answered */
} ckiti_redis_redirection;

/* What an error reply means; `out` is filled for ASK and MOVED. One of these that is malformed is NOT_TURNED. */
ckiti_redis_turned ckiti_redis_redirection_read(ckit_slice text, ckiti_redis_redirection *out);

/* A host as servers tell it: 1 to 255 printable characters without blanks. */
bool ckiti_redis_host_read(ckiti_redis_endpoint *out, ckit_slice text);
/* Digits alone, 1..65535. */
bool ckiti_redis_port_read(ckiti_redis_endpoint *out, ckit_slice text);

#endif
