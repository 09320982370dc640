/* The walk over what is inside an object, without recursion. */
#include "size.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FALLBACK 64u
#define GC_HEAD 16u
#define MOST_CONTAINERS (1u << 20) /* beyond them the walk ends: that is far more than any budget */

/* Containers that have been met: a table of addresses, and the same in the order in which they wait to be walked. */
typedef struct walk {
    PyObject **table;
    size_t     mask; /* table size - 1 */
    PyObject **order;
    size_t     count, next, room;
    size_t     bytes;
    PyObject  *type, *exception,
        *traceback; /* what __sizeof__ has raised that is no Exception: a signal, for instance */
} walk;

static size_t slot_of(const walk *w, PyObject *object) {
    size_t at = (size_t)(((uintptr_t)object >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & w->mask;
    while (w->table[at] != NULL && w->table[at] != object) {
        at = (at + 1) & w->mask;
    }
    return at;
}

static bool grow(walk *w) {
    size_t     room = w->room == 0 ? 32 : w->room * 2;
    PyObject **order = realloc(w->order, room * sizeof *order);
    if (order == NULL) {
        return false;
    }
    w->order = order;
    PyObject **table = calloc(room * 2, sizeof(PyObject *));
    if (table == NULL) {
        return false;
    }
    free(w->table);
    w->table = table;
    w->mask = room * 2 - 1;
    w->room = room;
    for (size_t i = 0; i < w->count; i++) {
        w->table[slot_of(w, w->order[i])] = w->order[i];
    }
    return true;
}

static void meet_container(walk *w, PyObject *object) {
    if (w->count == w->room && (w->count >= MOST_CONTAINERS || !grow(w))) {
        return; /* what was counted will do */
    }
    size_t at = slot_of(w, object);
    if (w->table[at] == NULL) {
        Py_INCREF(object); /* __sizeof__ of something else may let it go */
        w->table[at] = object;
        w->order[w->count++] = object;
    }
}

static size_t asked(walk *w, PyObject *object) {
    if (w->type != NULL) {
        return FALLBACK;
    }
    PyObject *size = PyObject_CallMethod(object, "__sizeof__", NULL);
    size_t    bytes = size == NULL ? (size_t)-1 : PyLong_AsSize_t(size);
    Py_XDECREF(size);
    if (bytes > (size_t)PY_SSIZE_T_MAX) { /* (size_t)-1 among them: a failure */
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Fetch(&w->type, &w->exception, &w->traceback);
        }
        PyErr_Clear();
        return FALLBACK;
    }
    return bytes;
}

static size_t size_of_text(PyObject *object) {
    size_t length = (size_t)PyUnicode_GET_LENGTH(object) + 1;
    return PyUnicode_IS_COMPACT_ASCII(object) ? sizeof(PyASCIIObject) + length
                                              : sizeof(PyCompactUnicodeObject) + length * PyUnicode_KIND(object);
}

static void meet(walk *w, PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    if (object == Py_None || type == &PyBool_Type) {
        return;
    }
    if (type == &PyUnicode_Type) {
        w->bytes += size_of_text(object);
    } else if (type == &PyFloat_Type) {
        w->bytes += sizeof(PyFloatObject);
    } else if (type == &PyBytes_Type) {
        w->bytes += sizeof(PyBytesObject) + (size_t)PyBytes_GET_SIZE(object);
    } else if (type == &PyList_Type || type == &PyTuple_Type || type == &PyDict_Type || type == &PySet_Type ||
               type == &PyFrozenSet_Type) {
        meet_container(w, object);
    } else {
        w->bytes += asked(w, object);
    }
}

static void walk_set(walk *w, PyObject *set) {
    PyObject *iterator = PyObject_GetIter(set);
    PyObject *item;
    while (iterator != NULL && (item = PyIter_Next(iterator)) != NULL) {
        meet(w, item);
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    PyErr_Clear(); /* it changed meanwhile */
}

static void walk_dict(walk *w, PyObject *dict) {
    PyObject  *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(dict, &at, &key, &value)) {
        Py_INCREF(key);
        Py_INCREF(value);
        meet(w, key);
        meet(w, value);
        Py_DECREF(key);
        Py_DECREF(value);
    }
}

static void walk_container(walk *w, PyObject *object) {
    w->bytes += GC_HEAD + asked(w, object);
    if (PyDict_CheckExact(object)) {
        walk_dict(w, object);
    } else if (PyAnySet_CheckExact(object)) {
        walk_set(w, object);
    } else {
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); i++) { /* it may change meanwhile */
            PyObject *item = PySequence_Fast_GET_ITEM(object, i);
            Py_XINCREF(item);
            if (item != NULL) {
                meet(w, item);
                Py_DECREF(item);
            }
        }
    }
}

size_t core_size_of(PyObject *object) {
    walk w = {0};
    meet(&w, object);
    while (w.next < w.count) {
        walk_container(&w, w.order[w.next++]);
    }
    for (size_t i = 0; i < w.count; i++) {
        Py_DECREF(w.order[i]);
    }
    free(w.table);
    free(w.order);
    PyErr_Restore(w.type, w.exception, w.traceback);
    return w.bytes > 0 ? w.bytes : sizeof(PyObject);
}
