/* args.h - the arguments of a Python call as the arguments of a key. */
#ifndef CKIT_PYTHON_ARGS_H
#define CKIT_PYTHON_ARGS_H

#include "core.h"

/* Packs the arguments of a vectorcall into `args` (initialised; normally on the stack), as the automatic key wants them:
 * types, order of tests and refusals of the released Python SDK. `values` are `positional` objects followed by one for
 * each name of `names` (a tuple of str, or NULL).
 *
 * 0: packed. -1: they cannot be part of a key, and an exception says why (TypeError with advice, OverflowError,
 * UnicodeEncodeError, RecursionError), or something worse happened (MemoryError, an exception of a __fspath__ ...). Calls
 * back into Python only for types that are not built in. */
int core_pack_args(core_state *state, ckit_args *args, PyObject *const *values, Py_ssize_t positional, PyObject *names);

#endif
