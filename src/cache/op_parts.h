/* cache/op_parts.h - what the files about a call in progress (op*.c) share with each other alone. */
#ifndef CKITI_CACHE_OP_PARTS_H
#define CKITI_CACHE_OP_PARTS_H

#include "cache/op.h"

/* ---- op.c ---- */

static inline ckiti_stripe *ckiti_op_stripe(const ckit_op *op) {
    return ckiti_stripe_of(&op->cache->stripes, op->hash);
}

/* Memory's view of a call. */
static inline ckiti_l1_query ckiti_memory_query(const ckit_function *function, ckit_slice memkey, uint64_t hash) {
    return (ckiti_l1_query){.key = memkey,
                            .hash = hash,
                            .min_birth = ckiti_function_min_birth(function),
                            .tag = ckiti_function_tag(function)};
}
static inline ckiti_l1_query ckiti_op_query(const ckit_op *op) {
    return ckiti_memory_query(op->function, op->memkey, op->hash);
}

/* As ckiti_op_was_overtaken, for changes in this process alone. */
bool ckiti_op_was_invalidated_here(const ckit_op *op);
/* The caller cannot read these bytes (ckiti_op_reject). */
bool ckiti_op_is_rejected(const ckit_op *op, ckit_slice bytes);
/* Of the store. Nothing without one. */
void ckiti_op_let_lock_go(ckit_op *op);
/* The fleet's lock is next, or the function where there is none. */
ckit_status ckiti_op_go_for_lock(ckit_op *op);
/* Leaves the flight; a follower takes over. */
void ckiti_op_hand_over(ckit_op *op);

/* A value of the call under the name of its second entry; `name` begins with the key as the store has it. */
ckiti_sealed_value ckiti_op_under_name(const ckiti_sealed_value *own, const ckit_buf *name);

/* ---- op_memory.c ---- */

/* From 0 to less than 1, by key and time: what happens together does not all draw the same. `what` tells draws
 * apart. */
double ckiti_draw(uint64_t hash, uint64_t now_ms, uint64_t what);
/* A new value: what began before, a slower reader or computation, does not overwrite it. False when the key was
 * invalidated in this process meanwhile; then nothing is done. A change elsewhere, which may be our own write come
 * back, only keeps it out of memory. */
bool ckiti_op_keep_in_memory(ckit_op *op, ckit_slice bytes, const ckit_object *object, ckiti_copy_of how, bool *kept);
/* A value from the store goes into memory. False when it is not to be believed: the key changed while it was read, or
 * somebody is taking back what he wrote. */
bool ckiti_op_believe(ckit_op *op, uint64_t life_ms);
/* The same for a value past its life, of whose stale window `left_ms` are left. */
bool ckiti_op_believe_stale(ckit_op *op, uint64_t left_ms);
/* op->document becomes op->value, and everybody's who waits. A value that is `stale`, past its life, has none left. */
void ckiti_op_land(ckit_op *op, bool stale, uint64_t life_ms, ckit_source source);
/* For ckiti_flight_land, with a ckiti_shared. */
bool ckiti_op_lend_shared(void *shared, ckit_value *out);
/* The answer is there: what it has left and where it is from. */
void ckiti_op_describe(ckit_op *op, uint64_t life_ms, ckit_source source);

/* ---- op_late.c ---- */

/* An older value becomes the answer of a call that failed, where one may and is there. */
bool ckiti_op_stand_in(ckit_op *op);

#endif
