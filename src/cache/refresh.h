/* cache/refresh.h - an older value has been served, and a newer one is to be had in the background.
 *
 *     is it due?      memory's copy is past its part of the lifetime, by a draw, and nobody was turned away just now
 *     the ticket      the key's flight: one refresh of a key at a time in this process
 *     the claim       somebody else may have refreshed it already, or be about to: the store is asked, its lock tried
 *     the function    runs, and its result is stored as that of any other call
 *
 * What the claim comes to, by what the store says and by whether memory's copy is still within its lifetime:
 *
 *     the store has                within its lifetime               past it
 *     a newer value                memory takes it                   memory takes it
 *     the same value               lock, look again, function        lock, look again, function
 *     nothing                      memory forgets its copy           lock, look again, function
 *     no answer                    put off                           function, without the store
 *     a lock of somebody else      put off                           put off
 *
 * What changes the key here or elsewhere after the ticket was taken wins: nothing is put into memory, and nothing
 * computed. */
#ifndef CKITI_CACHE_REFRESH_H
#define CKITI_CACHE_REFRESH_H

#include "cache/op.h"

/* After a claim that was put off nobody tries that key again for so long. */
#define CKITI_PAUSE_LOCKED_MS 100u
#define CKITI_PAUSE_FAILED_MS 1000u

/* Whether the copy in memory, which is past its fresh part, is to be refreshed now. */
bool ckiti_refresh_is_due(ckit_function *function, const ckiti_memkey *memkey, uint64_t hash);
/* The same where it is not known whether memory has one that is served as stale. */
bool ckiti_refresh_is_wanted(ckit_function *function, const ckiti_memkey *memkey, uint64_t hash);
/* A refresh of the key was put off just now. */
bool ckiti_refresh_is_put_off(ckit_cache *cache, uint64_t hash);

/* The claim of a ticket. CKIT_PENDING: to be advanced (ckiti_op_advance) until it is something else. CKIT_COMPUTE: the
 * function's turn. CKIT_OK: a newer value is there. CKIT_MISS: put off, or overtaken. Does not wait. */
ckit_status ckiti_refresh_begin_claim(ckit_op *op);
/* The same to its end: waits for the store. */
ckit_status ckiti_refresh_claim(ckit_op *op);

/* Steps of a claim, for ckiti_op_advance: what the store answered, with the opened value in op->document ... */
ckit_status ckiti_refresh_answered(ckit_op *op, ckit_status got, uint64_t life_ms);
/* ... and its end without a value, so that nobody tries again for a while. 0: nothing stands in the way of the next
 * one. CKIT_MISS. */
ckit_status ckiti_refresh_put_off(ckit_op *op, uint32_t pause_ms);
/* What the store's failure means for it: CKIT_PENDING: it goes on without the store. */
ckit_status ckiti_refresh_without_store(ckit_op *op);

/* Starts a background refresh of a stale value in a worker, unless one is under way or it is not due. */
void ckiti_refresh_in_background(ckit_function *function, const ckit_args *args, ckit_slice packed,
                                 const ckiti_memkey *memkey, uint64_t hash);

#endif
