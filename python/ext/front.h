/* front.h - calls that a function has answered lately, told by their argument objects: a few, in front of the library's
 * memory.
 *
 * For functions whose results are live objects, called with at most four arguments that are ints, floats, booleans,
 * None or short text (or the `self` of a method), which is what most calls are. Such a call is recognised without
 * packing its arguments, and the library is asked only whether the answer still holds (ckit_object_hint_holds). Nothing
 * is decided here: what is in memory, for how long and what has to go is the library's alone. A result is not held:
 * memory holds it as long as the hint does, and what memory lets go is given back under the interpreter's lock
 * (cache.h). */
#ifndef CKIT_PYTHON_FRONT_H
#define CKIT_PYTHON_FRONT_H

#include "receiver.h"

#define CORE_FRONT_VALUES 4

/* An argument: the type, and what tells it from others of the type. */
typedef struct core_front_value {
    const void *type; /* NULL: a receiver, perhaps */
    int64_t     word; /* an int's value, a float's bits, else the object's address */
} core_front_value;

/* A call. */
typedef struct core_front_key {
    uint64_t         hash;
    PyObject        *names; /* of keywords, as the caller has them: one place in a program has one tuple */
    uint64_t         shape; /* how many values, and how many of them are positional; one word, compared as such */
    core_front_value values[CORE_FRONT_VALUES];
} core_front_key;

typedef struct core_front_slot core_front_slot;

typedef struct core_front {
    core_front_slot *slots; /* NULL until something is kept */
} core_front;

/* The answer to a call, a new reference; NULL without an exception when the library has to be asked. *described says
 * whether `key` describes the call then, for core_front_keep. The first argument may be one of `receivers` (or
 * NULL). */
PyObject *core_front_find(const core_front *front, const ckit_function *function, const core_receivers *receivers,
                          PyObject *const *values, Py_ssize_t positional, PyObject *names, core_front_key *key,
                          bool *described);
/* Remembers what the library has just found. */
void core_front_keep(core_front *front, const core_receivers *receivers, const core_front_key *key, PyObject *object,
                     const ckit_object_hint *hint);
void core_front_fini(core_front *front);

#endif
