/* A walk through all masters of a cluster, whose slots may move meanwhile. */
#include "walk.h"

#include <string.h>

#define ROUNDS 4u

static uint64_t real_limit(const ckiti_redis_walk *w) {
    ckiti_redis_call call = {.err = NULL};
    return ckiti_redis_limit(w->store, &call, w->deadline_ms, NULL) == CKIT_OK ? call.until_ms : 0;
}

/* Slots are on their way from or to this node: CLUSTER NODES shows them as [93->-NODE] and [93-<-NODE]. */
static ckit_status look_for_moving(ckiti_redis_walk *w, ckiti_redis_node *node) {
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->scan);
    w->scan.node = node;
    ckiti_resp_command(&writer, 2);
    ckiti_resp_text(&writer, "CLUSTER");
    ckiti_resp_text(&writer, "NODES");
    ckit_status      st = ckiti_redis_asker_run(&w->scan, &writer, 1, w->deadline_ms);
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, 0);
    ckit_slice       text = ckiti_redis_part_text(&w->scan, &part);
    for (size_t i = 0; st == CKIT_OK && i + 3 <= text.len; i++) {
        w->unsure = w->unsure || memcmp(text.ptr + i, "->-", 3) == 0 || memcmp(text.ptr + i, "-<-", 3) == 0;
    }
    return st;
}

static ckit_status walk_masters(ckiti_redis_walk *w, ckiti_redis_seat **seats, uint32_t count, bool look) {
    ckit_status st = CKIT_OK;
    for (uint32_t i = 0; st == CKIT_OK && i < count && look; i++) {
        st = look_for_moving(w, &seats[i]->node);
    }
    for (uint32_t i = 0; st == CKIT_OK && i < count; i++) {
        st = ckiti_redis_walk_node(w, &seats[i]->node);
    }
    for (uint32_t i = 0; i < count; i++) {
        ckiti_redis_cluster_leave(seats[i]);
    }
    return st;
}

/* A key that moves to a node that has been walked through already is found in a second round: it has moved then. */
ckit_status ckiti_redis_walk_cluster(ckiti_redis_walk *w) {
    ckiti_redis_cluster *c = w->store->cluster;
    ckiti_redis_seat    *seats[CKITI_REDIS_SEATS];
    bool                 removes = w->each == NULL;
    ckit_status          st = ckiti_redis_cluster_refresh(c, real_limit(w), w->err);
    for (unsigned round = 0; st == CKIT_OK && round < ROUNDS; round++) {
        uint32_t holes, later;
        uint32_t version = ckiti_redis_cluster_version(c, &holes);
        if (removes && holes > 0) {
            return ckit_fail(w->err, CKIT_E_SERVER, CKITI_REDIS_WHERE, "no node serves %u slots of the cluster", holes);
        }
        w->unsure = false;
        st = walk_masters(w, seats, ckiti_redis_cluster_masters(c, seats), removes && round == 0);
        bool moving = w->unsure;
        if (st == CKIT_OK && removes) {
            st = ckiti_redis_cluster_refresh(c, real_limit(w), w->err);
        }
        later = ckiti_redis_cluster_version(c, &holes);
        if (st == CKIT_OK && (!removes || (!moving && later == version))) {
            return CKIT_OK;
        }
    }
    return st != CKIT_OK ? st
                         : ckit_fail(w->err, CKIT_E_SERVER, CKITI_REDIS_WHERE,
                                     "slots of the cluster moved all the time: entries may have been passed by");
}
