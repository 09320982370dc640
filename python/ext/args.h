/* args.h - the arguments of a Python call as the arguments of a key. */
#ifndef CKIT_PYTHON_ARGS_H
#define CKIT_PYTHON_ARGS_H

#include "core.h"

/* Packs the arguments of a vectorcall into `args` (freshly initialised; normally on the stack), as the automatic key
 * wants them: types, order of tests and refusals of the released Python package. `values` are `positional` objects
 * followed by one for each name of `names` (a tuple of str, or NULL). A keyword named "_bypass_cache" is left out.
 *
 * 0: packed, and ckit_args_pack will succeed. -1: an exception is set, and `args` can only be ended. Arguments that
 * cannot be part of a key raise TypeError (with advice), OverflowError (an integer beyond 64 bits, more than 2^30
 * bytes), UnicodeEncodeError (a lone surrogate) or RecursionError (more than CKIT_ARGS_MAX_DEPTH deep, or a cycle); a
 * list that changes meanwhile, RuntimeError. Any other exception is of Python code that was called, or MemoryError.
 *
 * Python code runs only for types that are not built in: paths, UUIDs, Decimals, enum members, datetimes of other zones
 * than UTC, and subclasses. References are borrowed while that lasts: the caller keeps `values` and `names` alive, as
 * every vectorcall does. The interpreter's lock is released while a large numpy array is hashed. */
int core_pack_args(core_state *state, ckit_args *args, PyObject *const *values, Py_ssize_t positional, PyObject *names);

/* The same for a call whose first argument is a receiver, which stands there by its number (receiver.h). */
int core_pack_args_of(core_state *state, ckit_args *args, uint64_t receiver, PyObject *const *values,
                      Py_ssize_t positional, PyObject *names);

#endif
