/* A blocking call that memory cannot answer. */
#include "call.h"
#include "operation.h"

#include <time.h>

uint64_t core_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void core_function_time(core_function *f, const ckit_value *value, uint64_t began_ns) {
    if (value->source == CKIT_SOURCE_STORE) {
        f->l2_timed++;
        f->l2_ns += core_now_ns() - began_ns;
    }
}

/* This caller leads: runs the function and hands the result over. What cannot be stored is returned all the same. */
static PyObject *compute(core_function *f, ckit_op *op, ckit_args *args, PyObject *const *values, size_t count,
                         PyObject *names) {
    PyObject *value = core_function_run(f, values, count, names);
    if (value == NULL) {
        value = core_function_fall_back(f, op);
    } else if (core_function_give(f, op, core_function_tie(f, args), value) < 0) {
        const ckit_error *why = ckit_op_error(op);
        bool              minds = why != NULL && core_function_minds(f, why->status);
        if (minds) {
            PyErr_Clear();
            (void)core_raise_store(f->state, why);
        }
        core_function_fail(op);
        if (minds || core_function_is_callers(f) || core_function_tell_uncached(f, "value") < 0) {
            Py_CLEAR(value);
        }
    }
    Py_BEGIN_ALLOW_THREADS;
    ckit_op_free(op);
    Py_END_ALLOW_THREADS;
    core_bury(f->cache);
    return value;
}

/* The same in a thread, and this caller waits no longer than the limits allow. `began_ns`: since then it does. */
static PyObject *compute_in_time(core_function *f, ckit_op *op, ckit_args *args, PyObject *const *values, size_t count,
                                 PyObject *names, uint64_t began_ns) {
    PyObject *all = NULL, *kwargs = NULL, *waited = NULL, *result = NULL;
    PyObject *operation = core_operation_new(f, op, args);
    if (operation != NULL && core_gather(values, PyVectorcall_NARGS(count), names, &all, &kwargs) == 0 &&
        (waited = PyFloat_FromDouble((double)(core_now_ns() - began_ns) * 1e-9)) != NULL) {
        result = PyObject_CallFunctionObjArgs(f->in_time, operation, all, kwargs, waited, NULL);
    }
    Py_XDECREF(waited);
    Py_XDECREF(kwargs);
    Py_XDECREF(all);
    Py_XDECREF(operation); /* given up, unless the thread has it */
    return result;
}

/* Other programs may write such values again and again. */
#define MOST_TRIES 3

/* The function, uncached. The pending exception is the reason, or none is pending because it has been told. */
static PyObject *run_uncached(core_function *f, PyObject *const *values, size_t count, PyObject *names) {
    if (PyErr_Occurred() && core_function_tell_uncached(f, "cache") < 0) {
        return NULL;
    }
    return core_function_run(f, values, count, names);
}

PyObject *core_function_miss(core_function *f, ckit_args *args, PyObject *const *values, size_t count,
                             PyObject *names) {
    core_wait  wait;
    ckit_start start = {.struct_size = sizeof start,
                        .function = f->function,
                        .args = args,
                        .peeked = true,
                        .stop = core_is_interrupted,
                        .context = &wait};
    ckit_value unreadable = CKIT_VALUE_INIT;
    for (int tries = 0;; tries++) {
        ckit_value  value = CKIT_VALUE_INIT;
        ckit_error  err = CKIT_ERROR_INIT;
        ckit_op    *op;
        ckit_status st;
        core_wait_begin(&wait);
        const uint64_t began_ns = core_now_ns();
        st = ckit_begin(&start, &op, &value, &err);
        ckit_value_fini(&unreadable);
        if (st == CKIT_STALE && f->refresh == Py_None) { /* only in place of the store: the ticket is somebody else's */
            ckit_op_free(op);
            op = NULL;
        }
        core_wait_end(&wait);
        ckit_op *ticket = st == CKIT_STALE ? op : NULL;
        st = st == CKIT_STALE ? CKIT_OK : st;
        if (st == CKIT_E_CANCELLED) {
            return NULL; /* with the signal handler's exception */
        }
        if (st == CKIT_COMPUTE) {
            return f->in_time == Py_None ? compute(f, op, args, values, count, names)
                                         : compute_in_time(f, op, args, values, count, names, began_ns);
        }
        if (st == CKIT_E_FUNCTION_TIMEOUT && f->in_time != Py_None) { /* of another call, for which this one waited */
            return PyObject_CallMethod(f->in_time, "time_out", NULL);
        }
        if (st != CKIT_OK) {
            if (core_function_minds(f, st)) {
                return core_raise_store(f->state, &err);
            }
            (void)core_raise(f->state, &err);
            return st == CKIT_E_AUTH_TAG ? NULL : run_uncached(f, values, count, names);
        }
        core_function_time(f, &value, began_ns);
        PyObject *result = core_function_read(f, &value);
        if (result != NULL && ticket != NULL && core_refresh_with(f, ticket, args, values, count, names) < 0) {
            Py_CLEAR(result);
            return NULL;
        }
        if (result != NULL) {
            return result;
        }
        ckit_op_free(ticket);
        core_verdict verdict = core_function_forgive(f);
        ckit_value_move(&unreadable, &value);
        if (verdict == CORE_CALLERS || verdict == CORE_UNCACHED || tries == MOST_TRIES) {
            ckit_value_fini(&unreadable);
            return verdict == CORE_CALLERS ? NULL : run_uncached(f, values, count, names);
        }
        start.peeked = false;
        start.rejected = unreadable.data;
        start.keep_rejected = verdict == CORE_MALFORMED;
    }
}
