/* A walk through all masters of a cluster, whose slots may move meanwhile. */
#include "walk.h"

#include "base/alloc.h"

#define ROUNDS 4u

static uint64_t real_limit(const ckiti_redis_walk *w) {
    ckiti_redis_call call = {.err = NULL};
    return ckiti_redis_limit(w->store, &call, w->deadline_ms, NULL) == CKIT_OK ? call.until_ms : 0;
}

/* ---- slots that move meanwhile ----------------------------------------------------------------------------------- */

/* Who has which slots before the walk and after it, as each master says of itself: what they say of each other may be
 * seconds old. */
typedef struct survey {
    ckiti_redis_slot_set *moved;
    uint16_t              master;                   /* who is asked, from 1 */
    bool                  after;                    /* the second time */
    uint16_t              owner[CKITI_REDIS_SLOTS]; /* the first time; 0: none of these */
    ckiti_redis_slot_set  kept;                     /* the same one, the second time */
} survey;

static void take_slots(void *context, uint16_t first, uint16_t last, bool moving) {
    survey *s = context;
    for (uint32_t slot = first; slot <= last; slot++) {
        if (moving || (s->after && s->owner[slot] != s->master)) {
            ckiti_redis_slot_set_add(s->moved, (uint16_t)slot);
        } else if (s->after) {
            ckiti_redis_slot_set_add(&s->kept, (uint16_t)slot);
        } else {
            s->owner[slot] = s->master;
        }
    }
}

static ckit_status ask_one(ckiti_redis_walk *w, survey *s, ckiti_redis_node *node) {
    ckiti_resp_writer writer = ckiti_redis_asker_begin(&w->scan);
    w->scan.node = node;
    ckiti_resp_command(&writer, 2);
    ckiti_resp_text(&writer, "CLUSTER");
    ckiti_resp_text(&writer, "NODES");
    ckit_status      st = ckiti_redis_asker_run(&w->scan, &writer, 1, w->deadline_ms);
    ckiti_redis_part part = ckiti_redis_part_at(&w->scan, 0);
    if (st == CKIT_OK && !ckiti_redis_own_slots_read(ckiti_redis_part_text(&w->scan, &part), take_slots, s)) {
        st = ckiti_redis_garbage(w->err, "no word about itself with CLUSTER NODES");
    }
    return st;
}

static ckit_status ask_all(ckiti_redis_walk *w, survey *s, ckiti_redis_seat **seats, uint32_t count, bool after) {
    ckit_status st = CKIT_OK;
    s->after = after;
    for (uint32_t i = 0; st == CKIT_OK && i < count; i++) {
        s->master = (uint16_t)(i + 1);
        st = ask_one(w, s, &seats[i]->node);
    }
    for (uint32_t slot = 0; st == CKIT_OK && after && slot < CKITI_REDIS_SLOTS; slot++) {
        if (s->owner[slot] != 0 && !ckiti_redis_slot_set_has(&s->kept, (uint16_t)slot)) {
            ckiti_redis_slot_set_add(s->moved, (uint16_t)slot);
        }
    }
    return st;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

static ckit_status walk_masters(ckiti_redis_walk *w, ckiti_redis_seat **seats, uint32_t count) {
    ckit_status st = CKIT_OK;
    for (uint32_t i = 0; st == CKIT_OK && i < count; i++) {
        st = ckiti_redis_walk_node(w, &seats[i]->node);
    }
    return st;
}

static ckit_status walk_and_look(ckiti_redis_walk *w, ckiti_redis_seat **seats, uint32_t count) {
    survey *s = ckiti_alloc_zeroed(w->store->alloc, 1, sizeof *s);
    if (s == NULL) {
        return ckiti_redis_no_memory(w->err, "walking through a cluster");
    }
    s->moved = &w->moved;
    ckit_status st = ask_all(w, s, seats, count, false);
    st = st == CKIT_OK ? walk_masters(w, seats, count) : st;
    st = st == CKIT_OK ? ask_all(w, s, seats, count, true) : st;
    ckiti_free(w->store->alloc, s, sizeof *s);
    return st;
}

static ckit_status round_of(ckiti_redis_walk *w, bool first) {
    ckiti_redis_seat *seats[CKITI_REDIS_SEATS];
    uint32_t          count = ckiti_redis_cluster_masters(w->store->cluster, seats);
    ckit_status       st = first ? walk_and_look(w, seats, count) : walk_masters(w, seats, count);
    for (uint32_t i = 0; i < count; i++) {
        ckiti_redis_cluster_leave(seats[i]);
    }
    return st;
}

/* What moved in the first round is looked through once more: a key that went from a node that had not been walked
 * through to one that had is found now, since it does not move again so soon. */
static ckit_status list_all(ckiti_redis_walk *w) {
    ckit_status st = round_of(w, true);
    if (st == CKIT_OK && w->moved.any) {
        w->again = true;
        st = ckiti_redis_cluster_refresh(w->store->cluster, real_limit(w), w->err);
        st = st == CKIT_OK ? round_of(w, false) : st;
    }
    return st;
}

/* The same, until nothing has moved. */
static ckit_status remove_all(ckiti_redis_walk *w) {
    ckiti_redis_cluster *c = w->store->cluster;
    ckit_status          st = CKIT_OK;
    for (unsigned round = 0; st == CKIT_OK && round < ROUNDS; round++) {
        uint32_t holes;
        uint32_t version = ckiti_redis_cluster_version(c, &holes);
        if (holes > 0) {
            return ckit_fail(w->err, CKIT_E_SERVER, CKITI_REDIS_WHERE, "no node serves %u slots of the cluster", holes);
        }
        w->unsure = false;
        st = round_of(w, round == 0);
        bool moved = w->unsure || (round == 0 && w->moved.any);
        st = st == CKIT_OK ? ckiti_redis_cluster_refresh(c, real_limit(w), w->err) : st;
        if (st == CKIT_OK && !moved && ckiti_redis_cluster_version(c, &holes) == version) {
            return CKIT_OK;
        }
    }
    return st != CKIT_OK ? st
                         : ckit_fail(w->err, CKIT_E_SERVER, CKITI_REDIS_WHERE,
                                     "slots of the cluster moved all the time: entries may have been passed by");
}

ckit_status ckiti_redis_walk_cluster(ckiti_redis_walk *w) {
    ckit_status st = ckiti_redis_cluster_refresh(w->store->cluster, real_limit(w), w->err);
    return st != CKIT_OK ? st : w->each != NULL ? list_all(w) : remove_all(w);
}
