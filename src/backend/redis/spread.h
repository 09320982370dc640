/* spread.h - many calls at once, each with its key, to the one server or over the nodes of a cluster: those of one node
 * travel together, and the nodes work side by side. */
#ifndef CKITI_REDIS_SPREAD_H
#define CKITI_REDIS_SPREAD_H

#include "store.h"

#define CKITI_REDIS_PORTION 512u /* keys a call: the others on the connection wait for no more than these */

/* `calls[i]` NULL: nothing is to be done for that key. Afterwards calls[i]->status tells how it went, unless alone[i]:
 * then the key's slot is on the move, or its value large, and the call is to be made by itself. Calls are not told of
 * each other's failures; the status is CKIT_OK unless all failed, with `err` filled. At most CKITI_REDIS_PORTION. */
ckit_status ckiti_redis_spread(ckiti_redis_store *store, const ckit_slice *keys, ckiti_redis_call **calls, bool *alone,
                               size_t count, uint64_t deadline_ms, ckit_error *err);

/* Entries from the first that travel together: so many, or one that is large. */
size_t ckiti_redis_portion_of(const ckit_slice *values, size_t count);

#endif
