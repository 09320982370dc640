/* values.h - Python objects as documents of the standard serializer, and back. */
#ifndef CKIT_PYTHON_VALUES_H
#define CKIT_PYTHON_VALUES_H

#include "core.h"

/* Writes one object as one document value. 0, or -1 with an exception: TypeError (with advice) for what no document
 * holds, OverflowError-free: integers out of range are a TypeError too; RecursionError; MemoryError. The caller
 * finishes the writer. */
int core_encode(core_state *state, ckit_writer *w, PyObject *object);

/* A new object from one whole document; NULL with ValueError (with the place) when it is none. */
PyObject *core_decode(core_state *state, ckit_slice document);

#endif
