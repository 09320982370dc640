/* async.h - calls of coroutine functions.
 *
 *     answer.c     what such a call returns: cachekit._core.Answer, a coroutine in all but type. One that memory has
 *                  answered is complete when it is first awaited; any other one runs `miss` (_async.py) then.
 *     operation.c  a call in progress: it begins with a poll, waits, computes, hands over
 *     batch.c      many such calls at once
 *     poll.c       cachekit._core.Poll, which an event loop watches for answers of the library */
#ifndef CKIT_PYTHON_ASYNC_H
#define CKIT_PYTHON_ASYNC_H

#include "operation.h"

/* ---- answer.c ----------------------------------------------------------------------------------------------- */

/* Awaiting it gives `result`, which is taken; NULL stays NULL. */
PyObject *core_answer_at_once(core_function *f, PyObject *result);
/* The same for any decorated function. */
PyObject *core_answer_with(core_state *state, PyObject *function, PyObject *result);
/* Awaiting it makes the call. `args` is what the call is known by; they stay the caller's. */
PyObject *core_answer_of_call(core_function *f, const ckit_args *args, PyObject *const *values, size_t count,
                              PyObject *names);

/* ---- poll.c ------------------------------------------------------------------------------------------------- */

typedef struct core_poll {
    PyObject_HEAD core_cache *cache;
    ckit_poll                *poll;
    core_operation           *operations; /* that refer to it */
    struct core_batch        *batches;    /* the same */
    PyObject                 *weakrefs;
    long                      process; /* that opened it */
} core_poll;

/* The operation refers to the poll from now on, which must outlive its ckit_op. */
void core_poll_add(core_poll *self, core_operation *operation);
/* Turns that round: a result on its way to the store is kept until it is there, whoever has lost interest, but does not
 * keep the poll. */
void core_poll_keep(core_operation *operation);
/* They know nothing of each other any more. */
void core_poll_remove(core_operation *operation);
/* The `ready` of its operations; `context` is the core_operation. */
void core_poll_ready(void *context, ckit_op *op, ckit_status answer);

#endif
