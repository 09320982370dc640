/* publish.h - telling other processes what this one has changed, on servers that do not tell it themselves: messages of
 * format/invalidation.h, published behind the commands that make the change, in the same round trip.
 *
 * A process publishes where its server has no tracking of clients (RESP2), where the server refused it tracking, and
 * while it does not know: one message too many costs little, a missing one leaves others with an old copy. */
#ifndef CKITI_REDIS_PUBLISH_H
#define CKITI_REDIS_PUBLISH_H

#include "call.h"

#include <cachekit/ext/backend.h>

typedef enum ckiti_redis_publishing {
    CKITI_REDIS_MAYBE, /* nobody knows yet */
    CKITI_REDIS_PUBLISHES,
    CKITI_REDIS_SILENT
} ckiti_redis_publishing;

/* Has a message published for each key behind the call's commands. The keys live as long as the call. */
void ckiti_redis_call_tells(ckiti_redis_call *call, int publishing, const ckit_slice *keys, uint32_t count);

/* Writes PUBLISH. */
void ckiti_redis_put_news(ckiti_resp_writer *w, ckit_slice key);
void ckiti_redis_put_scope_news(ckiti_resp_writer *w, const ckit_scope *scope);

#endif
