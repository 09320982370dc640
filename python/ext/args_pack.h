/* args_pack.h - what the files that pack the arguments of a call share.
 *
 * Values are encoded here and not with ckit_args_int and its kin: a hit is counted in nanoseconds, and a call into the
 * library for each value cost as much as the rest of it. What the library makes of a value and what is made of it here
 * are the same bytes. Every function that packs takes the place where the value goes, and returns the place behind it,
 * or NULL with an exception. */
#ifndef CKIT_PYTHON_ARGS_PACK_H
#define CKIT_PYTHON_ARGS_PACK_H

#include "args.h"

#include "msgpack_put.h"

/* One call whose arguments are being packed. */
typedef struct packer {
    uint8_t    *start; /* of what `args` has not been told of yet */
    uint8_t    *end;   /* of the room */
    core_state *state;
    ckit_args  *args;
    PyObject   *keyword;     /* name of the argument that is being packed; NULL: it is a positional one ... */
    Py_ssize_t  position;    /* ... and this is its number, from 0 */
    uint32_t    depth;       /* lists, tuples, dicts and enum members around the next value */
    Py_ssize_t  array_bytes; /* of all numpy arrays so far */
} packer;

/* Any value. */
uint8_t *pack_value(packer *p, uint8_t *at, PyObject *object);
/* A type that is not built in, or a subclass. */
uint8_t *pack_other(packer *p, uint8_t *at, PyObject *object);
/* Exactly a str. */
uint8_t *pack_text(packer *p, uint8_t *at, PyObject *object);
/* Whether the object is a numpy.ndarray, exactly; numpy is not imported for that. */
int      is_numpy_array(PyObject *object);
uint8_t *pack_numpy_array(packer *p, uint8_t *at, PyObject *array);
/* The one argument of `one`, which is ended. For values that the library encodes best. */
uint8_t *pack_encoded(packer *p, uint8_t *at, ckit_args *one);

uint8_t *more_room(packer *p, const uint8_t *at, size_t need);

/* At least `need` bytes behind `at`, which may move. */
static inline uint8_t *make_room(packer *p, uint8_t *at, size_t need) {
    return __builtin_expect((size_t)(p->end - at) >= need, 1) ? at : more_room(p, at, need);
}

/* Around what is inside a container or an enum member: counts the depth, and keeps it alive where Python code that runs
 * for a value in it might not. leave_value passes `at` on. */
int      enter_value(packer *p, PyObject *container);
uint8_t *leave_value(packer *p, PyObject *container, uint8_t *at);

/* Raises `exception`, which says which argument cannot be part of a key, and why: `format` as PyUnicode_FromFormat has
 * it, the second half of a sentence. Returns NULL. Values never appear in it, only their types. */
uint8_t *refuse(const packer *p, PyObject *exception, const char *format, ...);
/* The same for a value of a type that no key can hold: with what to pass instead. */
uint8_t *refuse_type(const packer *p, PyObject *object);
/* The same for what is too large to pack at all. */
uint8_t *refuse_size(const packer *p);

#endif
