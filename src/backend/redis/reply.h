/* reply.h - commands made of words, and their whole replies kept: for what is not asked often. */
#ifndef CKITI_REDIS_REPLY_H
#define CKITI_REDIS_REPLY_H

#include "store.h"

/* One item of the replies; the bytes stand in `bytes` of the asker. */
typedef struct ckiti_redis_part {
    ckiti_resp_type type;
    uint32_t        depth;
    int64_t         integer;
    size_t          at, len;
} ckiti_redis_part;

/* Commands are put into `commands` with a writer, their number into call.replies; the replies stand in `parts`. */
typedef struct ckiti_redis_asker {
    ckiti_redis_call   call;
    ckiti_redis_store *store;
    ckiti_redis_node  *node; /* who is asked */
    ckit_buf           commands;
    ckit_buf           bytes;
    ckit_buf           parts;    /* of ckiti_redis_part */
    bool               tolerant; /* error replies are parts too */
} ckiti_redis_asker;

/* Asks on a connection of its own, so that nobody waits for a long answer. `node` is the one server of the store;
 * another may be put there. */
void ckiti_redis_asker_init(ckiti_redis_asker *asker, ckiti_redis_store *store, ckit_error *err);
void ckiti_redis_asker_fini(ckiti_redis_asker *asker);
/* Forgets commands and replies, and starts writing. */
ckiti_resp_writer ckiti_redis_asker_begin(ckiti_redis_asker *asker);
/* Sends them. */
ckit_status ckiti_redis_asker_run(ckiti_redis_asker *asker, const ckiti_resp_writer *w, uint32_t replies,
                                  uint64_t deadline_ms);

static inline size_t ckiti_redis_part_count(const ckiti_redis_asker *asker) {
    return asker->parts.len / sizeof(ckiti_redis_part);
}
ckiti_redis_part ckiti_redis_part_at(const ckiti_redis_asker *asker, size_t index);
ckit_slice       ckiti_redis_part_text(const ckiti_redis_asker *asker, const ckiti_redis_part *part);

#endif
