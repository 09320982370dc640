/* interop.c - interop mode: its errors, its values, its functions for Python. */
#include "interop.h"

#include "interop_parts.h"
#include "values_parts.h"

/* ---- errors -------------------------------------------------------------------------------------------------- */

/* Imported with the first error. */
static PyObject *error_type(core_state *state) {
    if (state->interop_error == NULL) {
        PyObject *module = PyImport_ImportModule("cachekit.errors");
        state->interop_error = module == NULL ? NULL : PyObject_GetAttrString(module, "InteropError");
        Py_XDECREF(module);
    }
    return state->interop_error;
}

PyObject *interop_raise(core_state *state, PyObject *text, ckit_status status) {
    PyObject *type = text == NULL ? NULL : error_type(state);
    PyObject *error = type == NULL ? NULL : PyObject_CallFunction(type, "Os", text, ckit_status_code(status));
    if (error != NULL) {
        PyErr_SetObject(type, error);
        Py_DECREF(error);
    }
    Py_XDECREF(text);
    return NULL;
}

PyObject *core_raise_interop(core_state *state, const ckit_error *err) {
    switch (err->status) {
    case CKIT_E_KEY_ARGUMENT:
    case CKIT_E_VALUE_TYPE:
    case CKIT_E_MISUSE:
    case CKIT_E_DEPTH:
    case CKIT_E_TOO_LARGE:
    case CKIT_E_DECODE:
    case CKIT_E_TRUNCATED:
    case CKIT_E_TRAILING: return interop_raise(state, core_text(err->text), err->status);
    default: return core_raise(state, err);
    }
}

bool core_is_interop_error(core_state *state) {
    return state->interop_error != NULL && PyErr_ExceptionMatches(state->interop_error);
}

/* ---- arguments ----------------------------------------------------------------------------------------------- */

int interop_finish(core_state *state, ckit_interop_args *values, ckit_slice *packed) {
    ckit_error err = CKIT_ERROR_INIT;
    if (ckit_interop_args_pack(values, packed, &err) != CKIT_OK) {
        (void)core_raise_interop(state, &err);
        return -1;
    }
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* What cannot be written at all: TypeError and RecursionError say why, and become the error of interop mode. */
static void as_interop_error(core_state *state) {
    PyObject *type, *exception, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return;
    }
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    PyObject *text = PyObject_Str(exception);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    (void)interop_raise(state, text, CKIT_E_VALUE_TYPE);
}

int core_encode_interop(core_state *state, ckit_writer *w, PyObject *object) {
    const int written = core_write_interop(state, w, object);
    if (written < 0) {
        as_interop_error(state);
    }
    return written;
}

/* ---- functions of the module ----------------------------------------------------------------------------------- */

/* The bytes of a name, which may be anything; false with an InteropError. */
static bool read_name(core_state *state, PyObject *name, const char *what, ckit_slice *out) {
    Py_ssize_t  len = 0;
    const char *utf8 = PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &len) : NULL;
    if (utf8 == NULL && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        return false;
    }
    if (utf8 == NULL) {
        PyErr_Clear();
        (void)interop_raise(
            state,
            PyUnicode_FromFormat("%s: a %s", what,
                                 PyUnicode_Check(name) ? "text that UTF-8 cannot hold" : Py_TYPE(name)->tp_name),
            CKIT_E_MISUSE);
        return false;
    }
    *out = ckit_slice_of(utf8, (size_t)len);
    return true;
}

static PyObject *interop_key(PyObject *module, PyObject *arguments) {
    core_state       *state = core_state_of(module);
    PyObject         *space_text, *operation_text;
    ckit_slice        space, operation;
    PyObject         *values;
    ckit_interop_args given;
    ckit_slice        packed;
    ckit_buf          key = CKIT_BUF_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    PyObject         *result = NULL;
    if (!PyArg_ParseTuple(arguments, "OOO!:interop_key", &space_text, &operation_text, &PyTuple_Type, &values) ||
        !read_name(state, space_text, "namespace", &space) ||
        !read_name(state, operation_text, "operation", &operation)) {
        return NULL;
    }
    ckit_interop_args_init(&given, NULL);
    interop_packing p = {.state = state, .args = &given};
    if (interop_put_items(&p, values) == 0 && interop_finish(state, &given, &packed) == 0) {
        if (ckit_interop_key(space, operation, packed, &key, &err) == CKIT_OK) {
            result = PyUnicode_DecodeUTF8((const char *)key.ptr, (Py_ssize_t)key.len, NULL);
        } else {
            (void)core_raise_interop(state, &err);
        }
    }
    ckit_buf_fini(&key);
    ckit_interop_args_fini(&given);
    return result;
}

static PyObject *interop_encode(PyObject *module, PyObject *object) {
    core_state *state = core_state_of(module);
    ckit_buf    document = CKIT_BUF_INIT, canonical = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_error  err = CKIT_ERROR_INIT;
    PyObject   *result = NULL;
    ckit_writer_init(&w, &document);
    if (core_encode_interop(state, &w, object) == 0) {
        ckit_status st = ckit_writer_finish(&w, &err);
        st = st == CKIT_OK ? ckit_interop_value_normalise(ckit_buf_slice(&document), &canonical, &err) : st;
        result = st == CKIT_OK ? PyBytes_FromStringAndSize((const char *)canonical.ptr, (Py_ssize_t)canonical.len)
                               : core_raise_interop(state, &err);
    }
    (void)ckit_writer_finish(&w, NULL); /* in case it was given up */
    ckit_buf_fini(&document);
    ckit_buf_fini(&canonical);
    return result;
}

static PyObject *interop_decode(PyObject *module, PyObject *bytes) {
    core_state *state = core_state_of(module);
    ckit_error  err = CKIT_ERROR_INIT;
    Py_buffer   view;
    if (PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    const ckit_slice document = ckit_slice_of(view.buf, (size_t)view.len);
    PyObject *result = ckit_interop_value_accept(document, &err) == CKIT_OK ? core_decode_interop(state, document)
                                                                            : core_raise_interop(state, &err);
    PyBuffer_Release(&view);
    return result;
}

static PyMethodDef methods[] = {
    {"interop_key", interop_key, METH_VARARGS,
     "interop_key(namespace, operation, args)\n--\n\nThe key that all SDKs make of a call; `args` is a tuple."},
    {"interop_encode", interop_encode, METH_O,
     "interop_encode(object)\n--\n\nThe object as a canonical document of interop mode."},
    {"interop_decode", interop_decode, METH_O,
     "interop_decode(document)\n--\n\nThe object of a document, in any form. ValueError for what is none."},
    {NULL, NULL, 0, NULL}};

int core_interop_exec(PyObject *module) { return PyModule_AddFunctions(module, methods); }
