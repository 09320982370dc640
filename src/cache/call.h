/* cache/call.h - what the two drivers of a call share (call.c: blocking, poll.c: pollable). */
#ifndef CKITI_CACHE_CALL_H
#define CKITI_CACHE_CALL_H

#include "cache/op.h"

/* Who blocks asks so often whether to wait on; the store's pauses are no longer than that. */
#define CKITI_ASK_EVERY_MS 100u

/* From a miss in memory to an answer, in this thread: CKIT_OK with the value, or CKIT_COMPUTE. */
ckit_status ckiti_op_run(ckit_op *op);
/* Packs the arguments; `none` stands in for NULL. */
ckit_status ckiti_call_pack(ckit_args *args, ckit_args *none, ckit_args **used, ckit_slice *packed, ckit_error *err);
/* Arguments that were packed are those of such a call: CKIT_E_MISUSE for other than canonical ones in interop mode. */
ckit_status ckiti_call_check(const ckit_function *function, const ckit_args *args, ckit_error *err);
/* The function's turn: loads, stores, fills op->value. CKIT_STALE: it failed, and what stands in for its result is
 * there. */
ckit_status ckiti_op_compute(ckit_op *op, const ckit_args *args, ckit_error *err);
/* A call that memory could not answer, of a function with a soft or a hard limit. *found_stale: the value is past its
 * life, was found and not computed, and somebody should refresh it. CKIT_MISS: no memory for that, or no key; nothing
 * has happened. */
ckit_status ckiti_call_in_time(ckit_function *function, const ckit_args *args, ckit_slice packed,
                               const ckiti_memkey *memkey, uint64_t hash, bool *found_stale, ckit_value *out,
                               ckit_error *err);
/* In between the function is not closed: somebody is at work for it who is nobody's caller (a refresh, a run that its
 * caller has left, an operation that was freed). Takes the cache's lock; no other lock is held. */
void ckiti_function_hold(ckit_function *function);
void ckiti_function_let_go(ckit_function *function);
/* Says in the log that a call runs without the cache, and why. */
void ckiti_say_uncached(const ckit_function *function, const ckit_error *why);
/* What a loader has written is one value: CKIT_OK, or CKIT_E_MISUSE and so on. */
ckit_status ckiti_finish_value(const ckit_function *function, ckit_writer *writer, ckit_error *err);
/* Whether a result can be an object: CKIT_OK, or CKIT_E_MISUSE for a function whose values are documents. */
ckit_status ckiti_check_object(const ckit_function *function, const ckit_object *object, ckit_error *err);
/* Moves a value: bytes that stand inside the struct move with it. */
void ckiti_value_move(ckit_value *to, ckit_value *from);
/* Moves the answer of an operation to `out` (may be NULL). */
void ckiti_op_give(ckit_op *op, ckit_value *out);

/* A struct that a caller has filled, as this version knows it: `own`, of `size` bytes, is zero where the caller's has
 * nothing. False: there is none, or its first member, struct_size, has not been set. */
bool ckiti_take_sized(void *own, size_t size, const void *given);
/* What is said then; `what` is a macro's name. CKIT_E_MISUSE. */
ckit_status ckiti_fail_unsized(ckit_error *err, const char *from, const void *given, const char *what);

#endif
