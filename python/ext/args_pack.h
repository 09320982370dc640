/* args_pack.h - what the files that pack the arguments of a call share. */
#ifndef CKIT_PYTHON_ARGS_PACK_H
#define CKIT_PYTHON_ARGS_PACK_H

#include "args.h"

/* One call whose arguments are being packed. */
typedef struct packer {
    core_state *state;
    ckit_args  *args;
    PyObject   *keyword;     /* name of the argument that is being packed; NULL: it is a positional one ... */
    Py_ssize_t  position;    /* ... and this is its number, from 0 */
    uint32_t    depth;       /* lists, tuples, dicts and enum members around the next value */
    Py_ssize_t  array_bytes; /* of all numpy arrays so far */
} packer;

/* Raises `exception`, which says which argument cannot be part of a key, and why: `format` as PyUnicode_FromFormat has
 * it, the second half of a sentence. Returns -1. Values never appear in it, only their types. */
int refuse(const packer *p, PyObject *exception, const char *format, ...);
/* The same for a value of a type that no key can hold: with what to pass instead. */
int refuse_type(const packer *p, PyObject *object);

/* Whether the object is a numpy.ndarray, exactly; numpy is not imported for that. */
int is_numpy_array(PyObject *object);
int pack_numpy_array(packer *p, PyObject *array);

#endif
