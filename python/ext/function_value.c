/* From results to what the library keeps, and back. */
#include "function.h"

#include "size.h"
#include "values.h"

PyObject *core_function_take(core_function *f, ckit_value *value) {
    PyObject *result = value->object;
    if (result != NULL) {
        Py_INCREF(result);
    } else {
        result = core_decode(f->state, value->data);
    }
    ckit_value_fini(value);
    return result;
}

void core_function_fail(ckit_op *op) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    ckit_result result = {.status = CKIT_E_FUNCTION};
    Py_BEGIN_ALLOW_THREADS;
    (void)ckit_finish(op, &result, NULL, NULL);
    Py_END_ALLOW_THREADS;
    PyErr_Restore(type, exception, traceback);
}

static int give_object(core_function *f, ckit_op *op, PyObject *value) {
    ckit_object object;
    ckit_result result = {.status = CKIT_OK, .object = &object};
    ckit_status st;
    if (!core_object_of(f->cache, value, core_size_of(value), &object)) {
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

static int give_document(core_function *f, ckit_op *op, PyObject *value) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_writer_init(&w, &buf);
    if (core_encode(f->state, &w, value) < 0) {
        ckit_buf_fini(&buf);
        return -1;
    }
    ckit_status st = ckit_writer_finish(&w, &err);
    if (st == CKIT_OK) {
        ckit_result result = {.status = CKIT_OK, .document = ckit_buf_slice(&buf)};
        Py_BEGIN_ALLOW_THREADS;
        st = ckit_finish(op, &result, NULL, &err);
        Py_END_ALLOW_THREADS;
    }
    ckit_buf_fini(&buf);
    if (st != CKIT_OK) {
        (void)core_raise(f->state, &err);
        return -1;
    }
    return 0;
}

int core_function_give(core_function *f, ckit_op *op, PyObject *result) {
    return f->kept == CORE_OBJECTS ? give_object(f, op, result) : give_document(f, op, result);
}
