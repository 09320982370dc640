/* walk.h - a walk through what belongs to somebody, to list or to remove it: the parts that walk through one server
 * (scope.c, and indexes.c for the indexes in it) and through the nodes of a cluster (walk_cluster.c). */
#ifndef CKITI_REDIS_WALK_H
#define CKITI_REDIS_WALK_H

#include "reply.h"

typedef struct ckiti_redis_slot_set {
    uint8_t bits[CKITI_REDIS_SLOTS / 8];
    bool    any;
} ckiti_redis_slot_set;

static inline void ckiti_redis_slot_set_add(ckiti_redis_slot_set *set, uint16_t slot) {
    set->bits[slot / 8] |= (uint8_t)(1u << slot % 8);
    set->any = true;
}
static inline bool ckiti_redis_slot_set_has(const ckiti_redis_slot_set *set, uint16_t slot) {
    return (set->bits[slot / 8] >> slot % 8 & 1) != 0;
}

typedef struct ckiti_redis_walk {
    ckiti_redis_store   *store;
    const ckit_scope    *scope;
    uint64_t             deadline_ms;
    ckiti_redis_asker    scan; /* names, a portion at a time */
    ckiti_redis_asker    work; /* what is asked about them, or done to them */
    ckit_buf             pattern;
    ckit_buf             index_pattern;  /* of the scope's namespace; empty: all that the scan comes by */
    ckit_buf             tenant_pattern; /* of those in which other programs keep what is some tenant's; empty: none */
    ckit_buf             indexes;        /* names among those of one portion */
    ckiti_redis_naming   naming; /* the store's, or behind the tenant's mark while such an index is walked through */
    ckit_buf             whole;  /* a key of that index behind the mark */
    ckit_buf             namespace_name; /* of the scope, as in keys */
    ckit_buf             function;
    ckit_list_fn         each; /* NULL: remove */
    void                *context;
    ckit_deleted         deleted;
    bool                 unsure; /* something was just moving to another node, and may have been passed by */
    ckiti_redis_slot_set moved;  /* slots whose entries may have been passed by */
    bool                 again;  /* only those are listed */
    ckit_error          *err;
} ckiti_redis_walk;

/* Walks through one index; its keys are named as w->naming says. */
ckit_status ckiti_redis_walk_index(ckiti_redis_walk *w, ckit_slice name);
/* Makes the patterns of the scope's indexes (indexes.c). */
ckit_status ckiti_redis_indexes_patterns(ckiti_redis_walk *w);
/* Walks through the indexes among the names that were scanned just now; the names are lost. */
ckit_status ckiti_redis_indexes_scanned(ckiti_redis_walk *w);
/* Finds the indexes of the scope's namespace, of tenants too, and walks through them. */
ckit_status ckiti_redis_indexes_walk(ckiti_redis_walk *w);
/* The next portion of names that match; CKIT_OK with `*more` while there are more. `cursor` begins as "0". */
ckit_status ckiti_redis_scan(ckiti_redis_walk *w, char cursor[24], const ckit_buf *pattern, bool *more);
ckit_slice  ckiti_redis_scanned(const ckiti_redis_walk *w, size_t index);
#define CKITI_REDIS_SCANNED 3u /* where names begin */

/* All that one server has. */
ckit_status ckiti_redis_walk_node(ckiti_redis_walk *w, ckiti_redis_node *node);
/* All that the masters of the store's cluster have. */
ckit_status ckiti_redis_walk_cluster(ckiti_redis_walk *w);

#endif
