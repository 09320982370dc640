/* operation.h - a call in progress, or a result that is owed to the cache: cachekit._core.Operation, a ckit_op as a
 * Python object. */
#ifndef CKIT_PYTHON_OPERATION_H
#define CKIT_PYTHON_OPERATION_H

#include "function.h"

/* Flags of a type that programs cannot make objects of. */
#if PY_VERSION_HEX >= 0x030a0000
#define CORE_HIDDEN_TYPE (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#else
#define CORE_HIDDEN_TYPE (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC)
#endif

typedef struct core_operation {
    PyObject_HEAD core_function *function; /* a reference of its own */
    ckit_op                     *op;       /* NULL before it begins, and once it has been finished or given up */
    core_tie                    *tie;      /* core_function_tie, or NULL */

    /* of a call that is awaited */
    ckit_args             *args;   /* what it is known by; NULL once it is over */
    struct core_poll      *poll;   /* that brings the answers: a reference of its own, but not while `kept` */
    PyObject              *wake;   /* the future that waits for the next answer */
    PyObject              *result; /* of one that was answered as it began */
    ckit_status            answer; /* CKIT_PENDING, or what has come */
    uint64_t               began_ns;
    bool                   minds;   /* the store has not taken the result, and that is the caller's */
    bool                   claimed; /* of a refresh: its claim has begun, and `answer` tells what came of it */
    bool                   kept;    /* the poll holds it until the store has the result */
    struct core_operation *next;    /* among those */
    struct core_operation *prev;
} core_operation;

static inline core_operation *core_operation_of(PyObject *object) { return (core_operation *)object; }

/* Takes `op`, which has no poll, also when there is no memory (NULL with MemoryError). `args` are those that it was
 * begun with. */
PyObject *core_operation_new(core_function *f, ckit_op *op, ckit_args *args);
/* One that has yet to begin (with a poll). Copies `args`. */
PyObject *core_operation_of_call(core_function *f, const ckit_args *args);

/* Nobody computes it: a call that waits takes over. Nothing happens when it has been finished. */
void core_operation_give_up(PyObject *operation);
/* Tells a future that what it waits for is there, and gives it back. Accepts NULL. */
void core_wake_future(PyObject *future);
/* Its answer is there: tells the future that waits for it. */
void core_operation_wake(core_operation *self);
/* The same with the pending exception. */
void core_operation_wake_with_error(core_operation *self);
/* It is over. A result on its way to the store still arrives. */
void core_operation_drop(core_operation *self);

#endif
