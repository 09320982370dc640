/* call.h - a call of a decorated function in other forms than a key: for the function itself. */
#ifndef CKIT_PYTHON_CALL_H
#define CKIT_PYTHON_CALL_H

#include "core.h"

Py_ssize_t core_find_bypass_in(PyObject *names);
/* Where the keyword `_bypass_cache` stands among the names of a vectorcall (or NULL); -1: it does not. */
static inline Py_ssize_t core_find_bypass(PyObject *names) { return names == NULL ? -1 : core_find_bypass_in(names); }
/* Calls `function` with everything but the keyword at `bypass`. */
PyObject *core_call_bypassing(PyObject *function, PyObject *const *values, Py_ssize_t positional, PyObject *names,
                              Py_ssize_t bypass);

/* The arguments of a vectorcall as a new tuple and a new dict. -1 with an exception; then both are NULL. */
int core_gather(PyObject *const *values, Py_ssize_t positional, PyObject *names, PyObject **args, PyObject **kwargs);

#endif
