/* cache/entry.h - one access to one key: what the operations on entries share (entry.c, entry_many.c). */
#ifndef CKITI_CACHE_ENTRY_H
#define CKITI_CACHE_ENTRY_H

#include "cache/core.h"
#include "cache/memkey.h"

/* Stays where it is: `query` points into it. */
typedef struct ckiti_access {
    ckit_cache        *cache;
    ckit_entry_options options;
    ckit_slice         key;
    ckiti_namespace   *ns;
    ckiti_l1          *l1;      /* NULL: this key is not kept in memory by its text */
    bool               of_call; /* the key of a function's call: memory knows it by its arguments */
    ckiti_stripe      *stripe;
    ckiti_l1_query     query;
    uint64_t           birth;
    uint64_t           version;
    ckiti_note        *note; /* of who asks the store or writes to it */
    ckiti_memkey       memkey;
} ckiti_access;

/* Checks the call and notes when it began. */
ckit_status ckiti_access_begin(ckiti_access *a, ckit_cache *cache, ckit_slice key, const ckit_entry_options *options,
                               ckit_error *err);
/* *out holds what memory or the store has: makes it what the caller asked for, or CKIT_E_VALUE_TYPE with *out empty. */
ckit_status ckiti_access_present(const ckiti_access *a, ckit_value *out, ckit_error *err);
/* *out holds what memory has: opens it where entries are sealed. CKIT_OK; otherwise *out is empty, memory has forgotten
 * it, and the answer is CKIT_MISS or, failing closed, CKIT_E_AUTH_TAG. */
ckit_status ckiti_access_open(const ckiti_access *a, ckit_value *out, ckit_error *err);
/* A cache without a store does not have it in memory: CKIT_MISS, or CKIT_E_VALUE_TYPE for another encoding. */
ckit_status ckiti_access_absent(const ckiti_access *a, ckit_error *err);
/* Asks the store. */
ckit_status ckiti_access_ask(ckiti_access *a, ckit_value *out, ckit_error *err);
/* The store has answered `got` (`why` when it failed) to whoever began `a->note` before; takes the bytes of
 * `stored`. */
ckit_status ckiti_access_answer(const ckiti_access *a, ckit_status got, ckit_buf *stored, uint64_t life_ms,
                                const ckit_error *why, ckit_value *out, ckit_error *err);

#endif
