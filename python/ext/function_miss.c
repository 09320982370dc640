/* A blocking call that memory cannot answer. */
#include "function.h"

/* This caller leads: runs the function and hands the result over. What cannot be stored is returned all the same. */
static PyObject *compute(core_function *f, ckit_op *op, PyObject *const *values, size_t count, PyObject *names) {
    PyObject *value = core_function_run(f, values, count, names);
    if (value == NULL) {
        core_function_fail(op);
    } else if (core_function_give(f, op, value) < 0) {
        core_function_fail(op);
        if (core_function_tell_uncached(f, "value") < 0) {
            Py_CLEAR(value);
        }
    }
    Py_BEGIN_ALLOW_THREADS;
    ckit_op_free(op);
    Py_END_ALLOW_THREADS;
    core_bury(f->cache);
    return value;
}

PyObject *core_function_miss(core_function *f, ckit_args *args, PyObject *const *values, size_t count,
                             PyObject *names) {
    ckit_start  start = {.function = f->function, .args = args, .peeked = true};
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_op    *op;
    ckit_status st;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_begin(&start, &op, &value, &err);
    Py_END_ALLOW_THREADS;
    switch (st) {
    case CKIT_OK: return core_function_take(f, &value);
    case CKIT_COMPUTE: return compute(f, op, values, count, names);
    default:
        (void)core_raise(f->state, &err);
        return core_function_tell_uncached(f, "cache") < 0 ? NULL : core_function_run(f, values, count, names);
    }
}
