/* interop_parts.h - what the files of interop mode share. */
#ifndef CKIT_PYTHON_INTEROP_PARTS_H
#define CKIT_PYTHON_INTEROP_PARTS_H

#include "interop.h"

/* Arguments that are being packed. */
typedef struct interop_packing {
    core_state        *state;
    ckit_interop_args *args;
    PyObject          *name; /* of the parameter; NULL: known by its number alone */
    uint32_t           depth;
} interop_packing;

/* interop_put.c. 0, or -1 with an exception. */
int interop_put_value(interop_packing *p, PyObject *object);
int interop_put_text(interop_packing *p, PyObject *text);
/* The items of a tuple or a list; what is packed may run Python code, which may change a list. */
int interop_put_items(interop_packing *p, PyObject *sequence);
/* interop.c. The arguments as they are in a key, lent until `values` changes. The library has the last word: it may
 * have refused something in between. */
int interop_finish(core_state *state, ckit_interop_args *values, ckit_slice *packed);

/* Raises an InteropError. Takes the text, which may be NULL with an exception. NULL. */
PyObject *interop_raise(core_state *state, PyObject *text, ckit_status status);

#endif
