/* entry.h - reading and writing one entry as calls, for those who wait and those who do not. */
#ifndef CKITI_REDIS_ENTRY_H
#define CKITI_REDIS_ENTRY_H

#include "owner.h"

/* Remaining life and value, asked for together; the life first: when somebody replaces the entry in between, a new
 * value with the rest of the old life is harmless. */
typedef struct ckiti_redis_read {
    ckiti_redis_call   call;
    ckiti_redis_store *store;
    ckit_slice         key;
    ckit_buf          *out;
    size_t             before;  /* out->len at the beginning */
    uint64_t          *life_ms; /* NULL: not asked for */
} ckiti_redis_read;
void ckiti_redis_read_init(ckiti_redis_read *read, ckiti_redis_store *store, ckit_slice key, ckit_buf *out,
                           uint64_t *life_ms, ckit_error *err);

/* An entry, with what has to be registered. */
typedef struct ckiti_redis_write {
    ckiti_redis_call   call;
    ckiti_redis_store *store;
    ckit_slice         key;
    ckit_slice         value;
    uint64_t           ttl_ms;
    bool               registers;
    bool               twice; /* registered behind the value too: a deletion may come between the parts of a long one */
    bool               missing; /* the server does not know the script */
    ckiti_redis_registration registration;
} ckiti_redis_write;
void ckiti_redis_write_init(ckiti_redis_write *write, ckiti_redis_store *store, ckit_slice key, ckit_slice value,
                            const ckit_entry_info *info, bool by_text, ckit_error *err);

/* A value arrived as an item (CKITI_RESP_BULK) or straight at its place: makes it part of `out`. */
ckit_status ckiti_redis_append(ckit_buf *out, const ckiti_resp_item *item, ckit_error *err);
/* Where a value of item->integer bytes goes in `out`; NULL and a failure when it is too large or there is no memory. */
uint8_t *ckiti_redis_value_place(const ckiti_redis_store *store, ckit_buf *out, const ckiti_resp_item *item,
                                 ckit_status *st, ckit_error *err);
/* What PTTL answers, as a life; CKIT_LIFE_UNKNOWN for an entry that was not there yet. */
uint64_t ckiti_redis_life_of(int64_t pttl);

/* SET as commands: of an entry, with its lifetime. */
void ckiti_redis_put_set(ckiti_resp_writer *w, ckit_slice prefix, ckit_slice key, ckit_slice value, uint64_t ttl_ms);

#endif
