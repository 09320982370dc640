/* gather.h - the reads of a batch, which are one command for the server. */
#ifndef CKITI_REDIS_GATHER_H
#define CKITI_REDIS_GATHER_H

#include "channel.h"

/* Prepares the channel's `gathered` for `count` reads, the oldest ones that were sent. */
void ckiti_redis_gather(ckiti_redis_channel *ch, uint32_t count);

/* An answer is complete (channel.c). */
void ckiti_redis_channel_finish(ckiti_redis_call *call, ckiti_redis_woken *woken);

static inline ckiti_redis_place *ckiti_redis_place_at(const ckiti_redis_lane *lane, uint64_t number) {
    return &lane->places[number % CKITI_REDIS_IN_FLIGHT];
}

#endif
