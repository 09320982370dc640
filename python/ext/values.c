/* values.c - what values need of the interpreter, and the module's functions encode() and decode(). */
#include "values_parts.h"

const char *const core_marker_names[CORE_MARKERS] = {"__datetime__", "__date__",  "__time__",   "__uuid__",
                                                     "__set__",      "__tuple__", "__ndarray__"};

core_marker core_marker_of(const char *name, size_t len) {
    for (core_marker marker = 0; marker < CORE_MARKERS; marker++) {
        if (strlen(core_marker_names[marker]) == len && memcmp(core_marker_names[marker], name, len) == 0) {
            return marker;
        }
    }
    return CORE_MARKERS;
}

/* ---- what the module keeps ------------------------------------------------------------------------------- */

static const char capsule_name[] = "cachekit._core.values";

static void values_free(core_values *values) {
    for (size_t i = 0; i < CORE_NAME_SLOTS; i++) {
        Py_CLEAR(values->names[i]);
    }
    for (size_t i = 0; i < CORE_MARKERS; i++) {
        Py_CLEAR(values->marker_texts[i]);
    }
    for (size_t i = 0; i < CORE_MARKER_TEMPORAL; i++) {
        Py_CLEAR(values->temporal[i]);
    }
    Py_CLEAR(values->value_text);
    Py_CLEAR(values->frozen_text);
    Py_CLEAR(values->isoformat);
    Py_CLEAR(values->fromisoformat);
    PyMem_Free(values);
}

static void capsule_free(PyObject *capsule) { values_free(PyCapsule_GetPointer(capsule, capsule_name)); }

core_values *core_values_of(const core_state *state) { return PyCapsule_GetPointer(state->values, capsule_name); }

static int find_temporal_types(core_values *values) {
    static const char *const names[CORE_MARKER_TEMPORAL] = {"datetime", "date", "time"};
    PyObject                *module = PyImport_ImportModule("datetime");
    if (module == NULL) {
        return -1;
    }
    for (size_t i = 0; i < CORE_MARKER_TEMPORAL; i++) {
        PyObject *type = PyObject_GetAttrString(module, names[i]);
        if (type == NULL || !PyType_Check(type)) {
            Py_XDECREF(type);
            Py_DECREF(module);
            return -1;
        }
        values->temporal[i] = (PyTypeObject *)type;
    }
    Py_DECREF(module);
    /* An isolated sub-interpreter of CPython 3.12 has datetime written in Python only. */
    values->datetime_api = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    if (values->datetime_api == NULL) {
        PyErr_Clear();
    }
    return 0;
}

static int make_texts(core_values *values) {
    for (size_t i = 0; i < CORE_MARKERS; i++) {
        values->marker_texts[i] = PyUnicode_InternFromString(core_marker_names[i]);
        if (values->marker_texts[i] == NULL) {
            return -1;
        }
    }
    values->value_text = PyUnicode_InternFromString("value");
    values->frozen_text = PyUnicode_InternFromString("frozen");
    values->isoformat = PyUnicode_InternFromString("isoformat");
    values->fromisoformat = PyUnicode_InternFromString("fromisoformat");
    return values->value_text == NULL || values->frozen_text == NULL || values->isoformat == NULL ||
                   values->fromisoformat == NULL
               ? -1
               : 0;
}

/* ---- encode() and decode() ------------------------------------------------------------------------------- */

static PyObject *finish(core_state *state, ckit_writer *w, ckit_buf *document) {
    ckit_error err = CKIT_ERROR_INIT;
    if (ckit_writer_finish(w, &err) != CKIT_OK) {
        return core_raise(state, &err);
    }
    return PyBytes_FromStringAndSize((const char *)document->ptr, (Py_ssize_t)document->len);
}

static bool check_arguments(const char *name, Py_ssize_t count) {
    if (count != 1 && count != 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes one or two arguments (%zd given)", name, count);
        return false;
    }
    return true;
}

PyDoc_STRVAR(encode_doc,
             "encode(object, hook=None, /)\n--\n\n"
             "The object as a document of the standard serializer.\n\n"
             "With a hook: as serializer \"auto\" writes it. Tuples, sets and UUIDs become marked maps, and\n"
             "hook(object) gives something that can be written for everything else.\n\n"
             "Raises TypeError, with advice, for what no document holds.");

static PyObject *encode(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!check_arguments("encode", count)) {
        return NULL;
    }
    core_state *state = core_state_of(module);
    ckit_buf    document = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_writer_init(&w, &document);
    const bool plain = count == 1 || args[1] == Py_None;
    const int  written = plain ? core_encode(state, &w, args[0]) : core_encode_auto(state, &w, args[0], args[1]);
    PyObject  *bytes = written < 0 ? NULL : finish(state, &w, &document);
    (void)ckit_writer_finish(&w, NULL); /* in case it was given up */
    ckit_buf_fini(&document);
    return bytes;
}

PyDoc_STRVAR(decode_doc, "decode(document, hook=None, /)\n--\n\n"
                         "The object of a document (bytes-like).\n\n"
                         "With a hook: marked maps become what serializer \"auto\" wrote, arrays by hook(map).\n\n"
                         "Raises ValueError, with the place, for bytes that are not exactly one document.");

static PyObject *decode(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer view;
    if (!check_arguments("decode", count) || PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    const ckit_slice document = ckit_slice_of(view.buf, (size_t)view.len);
    core_state      *state = core_state_of(module);
    const bool       plain = count == 1 || args[1] == Py_None;
    PyObject        *object = plain ? core_decode(state, document) : core_decode_auto(state, document, args[1]);
    PyBuffer_Release(&view);
    return object;
}

/* CPython's table of methods holds functions of every shape as one type. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {{"encode", METHOD(encode), METH_FASTCALL, encode_doc},
                                {"decode", METHOD(decode), METH_FASTCALL, decode_doc},
                                {NULL, NULL, 0, NULL}};

int core_values_exec(PyObject *module) {
    core_state  *state = core_state_of(module);
    core_values *values = PyMem_Calloc(1, sizeof *values);
    if (values == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (find_temporal_types(values) < 0 || make_texts(values) < 0) {
        values_free(values);
        return -1;
    }
    state->values = PyCapsule_New(values, capsule_name, capsule_free);
    if (state->values == NULL) {
        values_free(values);
        return -1;
    }
    return PyModule_AddFunctions(module, methods);
}
