/* many.h - many calls of a function at once: what a batch that blocks (function_many.c) and one that is awaited
 * (batch.c) share. */
#ifndef CKIT_PYTHON_MANY_H
#define CKIT_PYTHON_MANY_H

#include "function.h"

/* A batch under way. Positions are those of the calls that `call_many` was given. */
typedef struct core_many {
    core_function *f;
    Py_ssize_t     count;
    ckit_args     *args;   /* of the calls that have a key */
    ckit_args    **packed; /* the same, side by side, as the library takes them */
    Py_ssize_t    *places; /* whose they are */
    size_t         keyed;
    ckit_value    *values; /* of these */
    ckit_status   *answers;
    PyObject     **results; /* by position: values and exceptions; NULL: not yet */
    PyObject      *failure; /* of the whole loader */
    char          *loads;   /* of these, which were the loader's turn */
    PyObject      *stale;   /* a list of the positions of those that were not, and whose values are past their lives, or
                               due to be renewed; NULL: there are none */
} core_many;

/* False with TypeError for methods. */
bool core_many_may(const core_function *f);
/* Room for them. -1 with an exception; nothing is to be ended then. */
int  core_many_init(core_many *m, core_function *f, Py_ssize_t count);
void core_many_fini(core_many *m);
/* `calls` are (positional, keywords) each. A call that cannot be a key is passed over. -1 with an exception. */
int core_many_pack(core_many *m, PyObject *calls);
/* The positions of what is to be loaded. A new list. */
PyObject *core_many_positions(core_many *m, const ckit_batch_call *calls, size_t count);
/* What a loader has given for `count` calls, as a new tuple; ValueError when it is another number. */
PyObject *core_many_results(PyObject *given, Py_ssize_t count);
/* Hands each of them to its call; an exception among them is the failure of that call. */
void core_many_take(core_many *m, ckit_batch_call *calls, size_t count, PyObject *results);
/* The pending exception becomes the failure of the loader. */
void core_many_failed(core_many *m);
/* Takes the n-th answer of a batch that is done. A failure that is the caller's to see (the store's, where the function
 * fails closed; a sealed value that does not open, where the cache does) becomes its result, in place of what was loaded. */
void core_many_answer(core_many *m, ckit_batch *batch, size_t n);
/* What the n-th call may have before that, its limit being over. NULL, without an exception: nothing. */
PyObject *core_many_overdue(core_many *m, ckit_batch *batch, size_t n, bool hard);
/* What has been kept is read into `results`; a value that cannot be read leaves none. -1 with an exception that is the
 * caller's. */
int core_many_read(core_many *m);
/* What a loader has given for the n-th call with a key, or for an earlier one that is the same. NULL, without an
 * exception: nothing. */
PyObject *core_many_loaded(core_many *m, size_t n);
/* Where there are no results yet. A new list of positions. */
PyObject *core_many_left(const core_many *m);
/* The results so far, moved into a new list; None where there are none. */
PyObject *core_many_list(core_many *m);
/* (that list, those positions) */
PyObject *core_many_both(core_many *m);
/* The same, and the positions of what is stale, which are told once. */
PyObject *core_many_all(core_many *m);

#endif
