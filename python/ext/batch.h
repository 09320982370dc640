/* batch.h - cachekit._core.Batch: many calls that are awaited. */
#ifndef CKIT_PYTHON_BATCH_H
#define CKIT_PYTHON_BATCH_H

#include "async.h"
#include "many.h"

typedef struct core_batch {
    PyObject_HEAD core_function *function; /* a reference of its own; NULL: `m` is not there */
    core_many                    m;
    ckit_batch                  *batch; /* NULL before it begins, and once it is over */
    core_poll                   *poll;  /* that brings the answers: a reference of its own; NULL: it blocks */
    PyObject                    *wake;  /* the future that waits for the next answer */
    ckit_status                  answer;
    bool                         busy;  /* a thread waits with it, without the interpreter's lock */
    bool                         taken; /* its results have been */
    bool                         refreshes;
    struct core_batch           *next; /* of the poll */
    struct core_batch           *prev;
} core_batch;

/* begin_many(calls): a Batch that has yet to begin. */
PyObject *core_function_begin_many(PyObject *self, PyObject *calls);
/* begin_refresh(calls): the same, that refreshes what is due in memory. */
PyObject *core_function_begin_refresh(PyObject *self, PyObject *calls);
/* It is over. Results on their way to the store still arrive. */
void core_batch_drop(core_batch *self);

#endif
