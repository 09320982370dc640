/* operation.h - a result that this program owes the cache: cachekit._core.Operation, a ckit_op as a Python object. */
#ifndef CKIT_PYTHON_OPERATION_H
#define CKIT_PYTHON_OPERATION_H

#include "function.h"

typedef struct core_operation {
    PyObject_HEAD core_function *function; /* a reference of its own */
    ckit_op                     *op;       /* NULL once it has been finished or given up */
    core_tie                    *tie;      /* core_function_tie, or NULL */
} core_operation;

/* Takes `op`, also when there is no memory (NULL with MemoryError). `args` are those that it was begun with. */
PyObject *core_operation_new(core_function *f, ckit_op *op, ckit_args *args);
/* Nobody computes it: a call that waits takes over. Nothing happens when it has been finished. */
void core_operation_give_up(PyObject *operation);

#endif
