#include "gather.h"

#include "failure.h"

/* The read whose value comes next. From here on its caller cannot leave. */
static void claim(ckiti_redis_gathered *g) {
    ckiti_redis_lane  *lane = &g->channel->lanes[CKITI_REDIS_READS];
    uint64_t           head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    ckiti_redis_place *place = ckiti_redis_place_at(lane, head);
    if (g->claimed || g->at == g->count) {
        return;
    }
    g->claimed = true;
    g->member = atomic_exchange_explicit(&place->call, NULL, memory_order_acq_rel);
    if (g->member != NULL) {
        g->member->got = g->member->replies - 1;
        g->member->life(g->member, place->pttl);
    }
}

static void done(ckiti_redis_gathered *g) {
    ckiti_redis_lane *lane = &g->channel->lanes[CKITI_REDIS_READS];
    ckiti_redis_call *member = g->member;
    g->member = NULL;
    g->claimed = false;
    g->at++;
    g->channel->batches[g->channel->first_batch % CKITI_REDIS_IN_FLIGHT].reads--;
    atomic_store_explicit(&lane->head, atomic_load_explicit(&lane->head, memory_order_relaxed) + 1,
                          memory_order_release);
    if (member != NULL) {
        ckiti_redis_channel_finish(member, &g->woken);
    }
}

/* An item of one value, as if it had been asked for alone. */
static void give(ckiti_redis_gathered *g, const ckiti_resp_item *item, uint32_t depth, bool ends) {
    ckiti_resp_item own = *item;
    claim(g);
    own.depth = item->depth - depth;
    own.ends = ends;
    if (g->member != NULL) {
        g->member->take(g->member, &own);
        g->why = g->member->strange ? "a value of another type than GET has" : NULL;
    }
    if (ends) {
        done(g);
    }
}

static void take_life(ckiti_redis_gathered *g, const ckiti_resp_item *item) {
    ckiti_redis_lane *lane = &g->channel->lanes[CKITI_REDIS_READS];
    uint64_t          head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    ckiti_redis_place_at(lane, head + g->call.got)->pttl = item->type == CKITI_RESP_INTEGER ? item->integer : INT64_MIN;
    if (item->type != CKITI_RESP_INTEGER && item->type != CKITI_RESP_ERROR) {
        g->why = "an answer of another form than PTTL has";
    }
}

static void take(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_gathered *g = (ckiti_redis_gathered *)call;
    if (g->why != NULL) {
        return;
    }
    if (call->got < g->count) {
        take_life(g, item);
    } else if (g->count == 1) {
        give(g, item, 0, item->ends);
    } else if (item->depth == 0 && item->type == CKITI_RESP_ERROR) {
        while (g->at < g->count) {
            give(g, item, 0, true);
        }
    } else if (item->depth == 0 ? item->type != CKITI_RESP_ARRAY || item->integer != (int64_t)g->count
                                : item->depth != 1 || g->at == g->count) {
        g->why = "an answer of another form than MGET has";
    } else if (item->depth == 1) {
        if (item->type >= CKITI_RESP_ARRAY && item->integer > 0) {
            g->why = "an answer of another form than MGET has";
        } else {
            give(g, item, 1, true);
        }
    }
}

static uint8_t *place(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_gathered *g = (ckiti_redis_gathered *)call;
    ckiti_resp_item       own = *item;
    if (g->why != NULL || call->got < g->count || item->depth != (g->count == 1 ? 0 : 1)) {
        return NULL;
    }
    claim(g);
    own.depth = 0;
    if (g->member == NULL || g->member->place == NULL) {
        return NULL;
    }
    ckiti_redis_call_extend(g->member, (uint64_t)item->integer);
    return g->member->place(g->member, &own);
}

void ckiti_redis_gather(ckiti_redis_channel *ch, uint32_t count) {
    ch->gathered = (ckiti_redis_gathered){
        .call = {.take = take, .place = place, .replies = count + 1}, .channel = ch, .count = count};
}
