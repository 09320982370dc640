/* From results to what the library keeps, and back. */
#include "function.h"

#include "lent.h"
#include "size.h"
#include "values.h"

/* ---- from the library ----------------------------------------------------------------------------------------- */

/* `load` gets a buffer over the stored bytes themselves and may keep views of it as long as it likes. */
static PyObject *load(core_function *f, ckit_value *value) {
    PyObject *lent = core_lend(f->state, value);
    PyObject *result = lent == NULL ? NULL : PyObject_CallOneArg(f->load, lent);
    if (result == NULL && lent != NULL) {
        PyObject *type, *exception, *traceback;
        Py_buffer view;
        PyErr_Fetch(&type, &exception, &traceback);
        if (PyObject_GetBuffer(lent, &view, PyBUF_SIMPLE) == 0) {
            /* A copy: the exception's frames may look at the lent bytes for a while yet. */
            (void)ckit_value_copy(value, ckit_slice_of(view.buf, (size_t)view.len), NULL);
            PyBuffer_Release(&view);
        }
        PyErr_Restore(type, exception, traceback);
    }
    Py_XDECREF(lent);
    return result;
}

/* An object is a result itself, or the bytes of one that goes with its receiver (finish_with). */
static PyObject *open_object(core_function *f, PyObject *object) {
    switch (f->kept) {
    case CORE_OBJECTS: Py_INCREF(object); return object;
    case CORE_SERIALIZED: return PyObject_CallOneArg(f->load, object);
    default:
        if (!PyBytes_CheckExact(object)) {
            PyErr_SetString(PyExc_ValueError, "what is kept in memory is no document");
            return NULL;
        }
        return core_decode(f->state, ckit_slice_of(PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object)));
    }
}

PyObject *core_function_read(core_function *f, ckit_value *value) {
    PyObject *result;
    if (value->object == NULL) {
        result = f->kept == CORE_SERIALIZED ? load(f, value)
                 : f->interop != NULL       ? core_decode_interop(f->state, value->data)
                                            : core_decode(f->state, value->data);
    } else {
        result = open_object(f, value->object);
    }
    if (result != NULL) {
        ckit_value_fini(value);
    }
    return result;
}

PyObject *core_function_take(core_function *f, ckit_value *value) {
    PyObject *result = core_function_read(f, value);
    ckit_value_fini(value);
    return result;
}

static bool is_malformed(PyObject *exception) {
    PyObject *verdict = PyObject_GetAttrString(exception, "verdict");
    bool      malformed =
        verdict != NULL && PyUnicode_Check(verdict) && PyUnicode_CompareWithASCIIString(verdict, "malformed") == 0;
    Py_XDECREF(verdict);
    PyErr_Clear();
    return malformed;
}

core_verdict core_function_forgive(core_function *f) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return CORE_CALLERS;
    }
    if (PyErr_ExceptionMatches(PyExc_ImportError) || PyErr_ExceptionMatches(PyExc_MemoryError) ||
        PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return core_function_tell_uncached(f, "cache") < 0 ? CORE_CALLERS : CORE_UNCACHED;
    }
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    core_verdict verdict = is_malformed(exception) ? CORE_MALFORMED : CORE_DAMAGED;
    if (core_function_warn(f, "entry", exception) < 0) {
        verdict = CORE_CALLERS;
    }
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return verdict;
}

/* ---- to the library ------------------------------------------------------------------------------------------- */

void core_function_fail(ckit_op *op) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_E_FUNCTION};
    Py_BEGIN_ALLOW_THREADS;
    (void)ckit_finish(op, &result, NULL, NULL);
    Py_END_ALLOW_THREADS;
    PyErr_Restore(type, exception, traceback);
}

PyObject *core_function_fall_back(core_function *f, ckit_op *op) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        core_function_fail(op);
        return NULL;
    }
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_E_FUNCTION};
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st;
    PyObject   *instead = NULL;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_finish(op, &result, &value, NULL);
    Py_END_ALLOW_THREADS;
    if (st == CKIT_STALE) {
        instead = core_function_take(f, &value);
        PyErr_Clear(); /* what cannot be read stands in for nothing */
    }
    if (instead == NULL) {
        PyErr_Restore(type, exception, traceback);
        return NULL;
    }
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return instead;
}

static int give_object(core_function *f, ckit_op *op, core_tie *tie, PyObject *value, uint64_t ttl_ms) {
    ckit_object object;
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .object = &object, .ttl_ms = ttl_ms};
    ckit_status st;
    size_t      size = core_size_of(value);
    if (PyErr_Occurred()) { /* it is the caller's */
        core_function_tie_free(tie);
        return -1;
    }
    if (!core_object_of(f->cache, value, size + core_function_tie_size(tie), tie, &object)) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_finish(op, &result, NULL, NULL);
    Py_END_ALLOW_THREADS;
    if (st != CKIT_OK) {
        core_object_drop(&object);
    }
    return 0;
}

/* What goes with its receiver is kept as an object: bytes. */
static int finish_tied(core_function *f, ckit_op *op, core_tie *tie, ckit_slice slice, uint64_t ttl_ms) {
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)slice.ptr, (Py_ssize_t)slice.len);
    int       given = -1;
    if (bytes == NULL) {
        core_function_tie_free(tie);
    } else {
        given = give_object(f, op, tie, bytes, ttl_ms);
        Py_DECREF(bytes);
    }
    return given;
}

/* As core_function_give. */
static int finish_with(core_function *f, ckit_op *op, core_tie *tie, ckit_slice bytes, uint64_t ttl_ms) {
    if (tie != NULL) {
        return finish_tied(f, op, tie, bytes, ttl_ms);
    }
    ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = bytes, .ttl_ms = ttl_ms};
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_finish(op, &result, NULL, &err);
    Py_END_ALLOW_THREADS;
    if (st != CKIT_OK && st != CKIT_PENDING) {
        (void)(f->interop != NULL ? core_raise_interop(f->state, &err) : core_raise(f->state, &err));
        return -1;
    }
    return st == CKIT_PENDING;
}

static int give_document(core_function *f, ckit_op *op, core_tie *tie, PyObject *value, uint64_t ttl_ms) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_error  err = CKIT_ERROR_INIT;
    int         given = -1;
    ckit_writer_init(&w, &buf);
    if ((f->interop != NULL ? core_encode_interop(f->state, &w, value) : core_encode(f->state, &w, value)) == 0) {
        if (ckit_writer_finish(&w, &err) == CKIT_OK) {
            given = finish_with(f, op, tie, ckit_buf_slice(&buf), ttl_ms);
            tie = NULL;
        } else {
            (void)core_raise(f->state, &err);
        }
    }
    (void)ckit_writer_finish(&w, NULL); /* in case it was given up */
    core_function_tie_free(tie);
    ckit_buf_fini(&buf);
    return given;
}

static int give_serialized(core_function *f, ckit_op *op, core_tie *tie, PyObject *value, uint64_t ttl_ms) {
    Py_buffer view;
    int       given = -1;
    PyObject *stored = PyObject_CallOneArg(f->dump, value);
    if (stored != NULL && PyObject_GetBuffer(stored, &view, PyBUF_SIMPLE) == 0) {
        given = finish_with(f, op, tie, ckit_slice_of(view.buf, (size_t)view.len), ttl_ms);
        tie = NULL;
        PyBuffer_Release(&view);
    }
    core_function_tie_free(tie);
    Py_XDECREF(stored);
    return given;
}

int core_function_give(core_function *f, ckit_op *op, core_tie *tie, PyObject *result) {
    const uint64_t ttl_ms = core_function_life_of(f, result);
    if (core_is_for_one(result)) {
        core_function_tie_free(tie);
        if (f->interop != NULL) {
            const ckit_error err = {.status = CKIT_E_VALUE_TYPE, .text = "a result that can be used only once"};
            (void)core_raise_interop(f->state, &err);
            return -1;
        }
        PyErr_Format(PyExc_TypeError, "a %.100s can be used only once, by its first receiver",
                     Py_TYPE(result)->tp_name);
        return -1;
    }
    switch (f->kept) {
    case CORE_OBJECTS: return give_object(f, op, tie, result, ttl_ms);
    case CORE_SERIALIZED: return give_serialized(f, op, tie, result, ttl_ms);
    default: return give_document(f, op, tie, result, ttl_ms);
    }
}
