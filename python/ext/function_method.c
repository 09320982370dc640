/* A function that is a method: its results go with the object that it was called on. */
#include "function.h"

#include <stdlib.h>

/* ---- bound arguments ---------------------------------------------------------------------------------------- */

static bool has_name(PyObject *names, PyObject *name) {
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        if (PyUnicode_Compare(PyTuple_GET_ITEM(names, i), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Of the bound keywords those that the call does not give anew; behind the call's own. Borrows the values. */
static PyObject *all_names(PyObject *bound, PyObject *names, PyObject **values, Py_ssize_t count) {
    PyObject  *all = PyList_New(0), *name, *value;
    Py_ssize_t at = 0;
    for (Py_ssize_t i = 0; all != NULL && names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        if (PyList_Append(all, PyTuple_GET_ITEM(names, i)) < 0) {
            Py_CLEAR(all);
        }
    }
    while (all != NULL && PyDict_Next(bound, &at, &name, &value)) {
        if (has_name(names, name)) {
            continue;
        }
        values[count++] = value;
        if (PyList_Append(all, name) < 0) {
            Py_CLEAR(all);
        }
    }
    PyObject *tuple = all == NULL ? NULL : PyList_AsTuple(all);
    Py_XDECREF(all);
    return tuple;
}

/* The call as the function inside sees it. */
static int pack_bound(core_function *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                      PyObject *names) {
    PyObject        *front = PyTuple_GET_ITEM(f->bound, 0), *keywords = PyTuple_GET_ITEM(f->bound, 1);
    const Py_ssize_t before = PyTuple_GET_SIZE(front);
    const Py_ssize_t given = positional + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject       **all = PyMem_Malloc((size_t)(before + given + PyDict_GET_SIZE(keywords) + 1) * sizeof *all);
    if (all == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < before; i++) {
        all[i] = PyTuple_GET_ITEM(front, i);
    }
    for (Py_ssize_t i = 0; i < given; i++) {
        all[before + i] = values[i];
    }
    PyObject *merged = all_names(keywords, names, all, before + given);
    int       packed = -1;
    if (merged != NULL) {
        packed = f->method == CORE_FIRST_NAMED
                     ? core_receiver_pack_named(f->state, args, all, before + positional, merged)
                     : core_pack_args(f->state, args, all, before + positional, merged);
        Py_DECREF(merged);
    }
    PyMem_Free(all);
    return packed;
}

int core_function_pack_method(core_function *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                              PyObject *names) {
    switch (f->first) {
    case CORE_FIRST_IDENTITY: return core_receiver_pack(&f->receivers, f->state, args, values, positional, names);
    case CORE_FIRST_BOUND: return pack_bound(f, args, values, positional, names);
    default: return core_receiver_pack_named(f->state, args, values, positional, names);
    }
}

/* ---- entries that go with a receiver ------------------------------------------------------------------------ */

/* The arguments of one call, to forget its result by. */
typedef struct call_tie {
    core_tie tie;
    uint32_t count;
    uint32_t keywords;
    size_t   positional_len;
    size_t   len; /* with keywords */
    uint8_t  bytes[];
} call_tie;

core_tie *core_function_tie(core_function *f, ckit_args *args) {
    core_receiver *receiver = f->first == CORE_FIRST_IDENTITY ? core_receiver_of(&f->receivers, args) : NULL;
    ckit_slice     packed;
    if (receiver == NULL || ckit_args_pack(args, &packed, NULL) != CKIT_OK) {
        return NULL;
    }
    const size_t   head = 1 + (args->count < 16 ? 1 : args->count <= UINT16_MAX ? 3 : 5);
    const uint8_t *start = packed.ptr + head;
    const bool     named = args->state != 0 && args->keywords != 0; /* unset before keywords come */
    const size_t   len = packed.len - head - (named ? 0 : 1);
    call_tie      *tie = malloc(sizeof *tie + len);
    if (tie == NULL) {
        return NULL; /* what is kept cannot be found any more when the receiver has gone, and ends with its lifetime */
    }
    tie->count = args->count;
    tie->keywords = named ? args->keywords : 0;
    tie->positional_len = named ? (size_t)(args->bytes + args->keywords_at - start) : len;
    tie->len = len;
    memcpy(tie->bytes, start, len);
    core_tie_to(&tie->tie, receiver);
    return &tie->tie;
}

void core_function_tie_free(core_tie *tie) {
    if (tie != NULL) {
        core_untie(tie);
        free(tie);
    }
}

size_t core_function_tie_size(const core_tie *tie) {
    return tie == NULL ? 0 : sizeof(call_tie) + ((const call_tie *)tie)->len;
}

/* The interpreter's lock is kept: nobody who holds a lock of the library waits for it, and the tie stays alive. */
static void forget_call(core_function *f, const call_tie *tie) {
    ckit_args   args;
    ckit_error  err;
    size_t      room;
    ckit_status st = CKIT_OK;
    ckit_args_init(&args);
    uint8_t *at = ckit_args_room(&args, &room);
    if (room < tie->len) {
        st = ckit_args_more_room(&args, 0, tie->len, &at, &room);
    }
    if (st == CKIT_OK) {
        memcpy(at, tie->bytes, tie->len);
        ckit_args_fill(&args, tie->count, tie->positional_len);
        if (tie->keywords != 0) {
            ckit_args_fill_keywords(&args, tie->keywords, tie->len - tie->positional_len);
        }
        (void)ckit_invalidate(f->function, &args, &err);
    }
    ckit_args_fini(&args);
}

void core_function_forget_ties(PyObject *self, core_tie **ties) {
    core_function *f = core_function_of(self);
    while (*ties != NULL) {
        core_tie *tie = *ties;
        core_untie(tie);
        forget_call(f, (const call_tie *)tie);
    }
    core_bury(f->cache);
}
