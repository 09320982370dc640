/* A call that memory answers: packs the arguments, looks, and returns, without entering Python and without letting the
 * interpreter's lock go. */
#include "async.h"
#include "call.h"

int core_function_warn(core_function *f, const char *reason, PyObject *exception) {
    if (f->warn == Py_None) {
        return 0;
    }
    PyObject *answer = PyObject_CallFunction(f->warn, "sO", reason, exception == NULL ? Py_None : exception);
    if (answer == NULL && !PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    if (answer == NULL) { /* a log that fails does not fail the call */
        PyErr_WriteUnraisable(f->warn);
    }
    Py_XDECREF(answer);
    return 0;
}

int core_function_tell_uncached(core_function *f, const char *reason) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    f->uncached++;
    const int told = core_function_warn(f, reason, exception);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return told;
}

PyObject *core_function_run(core_function *f, PyObject *const *values, size_t count, PyObject *names) {
    return PyObject_Vectorcall(f->wrapped, values, (size_t)PyVectorcall_NARGS(count), names);
}

/* Calls without a key run the function uncached, whatever code of an argument or key= has raised; but what is no
 * Exception, a signal's for instance, goes to the caller. */
static PyObject *call_without_key(core_function *f, PyObject *const *values, size_t count, PyObject *names) {
    if (f->interop != NULL || !PyErr_ExceptionMatches(PyExc_Exception) || core_function_tell_uncached(f, "key") < 0) {
        return NULL;
    }
    return core_function_run(f, values, count, names);
}

bool core_function_is_callers(core_function *f) {
    return !PyErr_ExceptionMatches(PyExc_Exception) || (f->interop != NULL && core_is_interop_error(f->state));
}

int core_function_pack(core_function *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                       PyObject *names) {
    if (f->interop != NULL) {
        PyObject *fine = f->check == NULL ? NULL : PyObject_CallNoArgs(f->check);
        if (f->check != NULL && fine == NULL) {
            return -1;
        }
        Py_XDECREF(fine);
        return core_pack_interop(f->state, args, f->interop, values, positional, names);
    }
    if (f->key == Py_None) {
        return f->first != CORE_FIRST_PLAIN ? core_function_pack_method(f, args, values, positional, names)
                                            : core_pack_args(f->state, args, values, positional, names);
    }
    PyObject *made = PyObject_Vectorcall(f->key, values, (size_t)positional, names);
    if (made != NULL && !PyUnicode_Check(made)) {
        PyErr_Format(PyExc_TypeError, "key= returned %.100s: it has to return a str", Py_TYPE(made)->tp_name);
        Py_CLEAR(made);
    }
    PyObject *text = made == NULL ? NULL : PyUnicode_FromObject(made); /* a subclass counts as the text that it is */
    int       packed = text == NULL ? -1 : core_pack_args(f->state, args, &text, 1, NULL);
    Py_XDECREF(made);
    Py_XDECREF(text);
    return packed;
}

static void retain(void *object) { Py_INCREF((PyObject *)object); }

/* Looks into memory: CKIT_OK or CKIT_STALE with *result (NULL with an exception), or CKIT_MISS, also for a value that
 * cannot be read: the store's is looked at then. */
static ckit_status look(core_function *f, ckit_args *args, const core_front_key *front_key, PyObject **result) {
    if (f->kept == CORE_OBJECTS) {
        ckit_object_hint hint;
        void            *object = NULL;
        ckit_status      st = ckit_peek_object(f->function, args, retain, &object, &hint);
        *result = object;
        f->object_hits += st != CKIT_MISS;
        if (st == CKIT_OK && front_key != NULL) {
            core_front_keep(&f->front, &f->receivers, front_key, object, &hint);
        }
        return st;
    }
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = ckit_peek(f->function, args, &value);
    *result = st == CKIT_MISS ? NULL : core_function_take(f, &value);
    return *result != NULL || st == CKIT_MISS || core_function_forgive(f) == CORE_CALLERS ? st : CKIT_MISS;
}

static PyObject *call_with_key(core_function *f, const core_front_key *front_key, PyObject *const *values, size_t count,
                               PyObject *names) {
    ckit_args args;
    PyObject *result;
    ckit_args_init(&args);
    if (core_function_pack(f, &args, values, PyVectorcall_NARGS(count), names) < 0) {
        result = call_without_key(f, values, count, names);
    } else {
        ckit_status st = look(f, &args, front_key, &result);
        if (st == CKIT_MISS) {
            result = f->coroutine ? core_answer_of_call(f, &args, values, count, names)
                                  : core_function_miss(f, &args, values, count, names);
        } else if (st == CKIT_STALE && result != NULL && core_refresh(f, &args, values, count, names) < 0) {
            Py_CLEAR(result);
        }
        core_bury_some(f->cache);
        if (st != CKIT_MISS && f->coroutine) {
            result = core_answer_at_once(f, result);
        }
    }
    ckit_args_fini(&args);
    return result;
}

/* What f->tenant makes of the arguments as a tuple and the keywords as a dict. */
static PyObject *extract_tenant(core_function *f, PyObject *const *values, Py_ssize_t positional, PyObject *names) {
    PyObject *args = PyTuple_New(positional);
    PyObject *kwargs = args == NULL ? NULL : PyDict_New();
    PyObject *tenant = NULL;
    int       failed = kwargs == NULL;
    for (Py_ssize_t i = 0; !failed && i < positional; i++) {
        Py_INCREF(values[i]);
        PyTuple_SET_ITEM(args, i, values[i]);
    }
    for (Py_ssize_t i = 0; !failed && names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        failed = PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, i), values[positional + i]) < 0;
    }
    if (!failed) {
        tenant = PyObject_CallFunctionObjArgs(f->tenant, args, kwargs, NULL);
    }
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return tenant;
}

/* The tenant is looked at in every call: the same function serves requests of many. */
PyObject *core_function_call_tenant(PyObject *self, PyObject *const *values, size_t count, PyObject *names) {
    core_function *f = core_function_of(self);
    PyObject      *tenant = NULL;
    const bool     extracts = !PyContextVar_CheckExact(f->tenant);
    if (extracts && core_find_bypass(names) >= 0) {
        return core_function_call(self, values, count, names);
    }
    if (extracts ? (tenant = extract_tenant(f, values, PyVectorcall_NARGS(count), names)) == NULL
                 : PyContextVar_Get(f->tenant, Py_None, &tenant) < 0) {
        bool ours = extracts && PyErr_ExceptionMatches(PyExc_Exception);
        return ours && core_function_tell_uncached(f, "tenant") == 0 ? core_function_run(f, values, count, names)
                                                                     : NULL;
    }
    if ((tenant == Py_None && !extracts) || core_find_bypass(names) >= 0) {
        Py_DECREF(tenant);
        return core_function_call(self, values, count, names);
    }
    PyObject *own = PyObject_CallFunctionObjArgs(f->tenants, tenant, NULL);
    Py_DECREF(tenant);
    if (own == NULL) { /* nobody gets another tenant's value instead */
        bool ours = PyErr_ExceptionMatches(PyExc_Exception);
        return ours && core_function_tell_uncached(f, "tenant") == 0 ? core_function_run(f, values, count, names)
                                                                     : NULL;
    }
    PyObject *result =
        own == self ? core_function_call(self, values, count, names) : PyObject_Vectorcall(own, values, count, names);
    Py_DECREF(own);
    return result;
}

PyObject *core_function_call(PyObject *self, PyObject *const *values, size_t count, PyObject *names) {
    core_function *f = core_function_of(self);
    Py_ssize_t     positional = PyVectorcall_NARGS(count);
    core_front_key key;
    bool           described = false;
    if (f->has_front) {
        const core_receivers *receivers = f->first == CORE_FIRST_IDENTITY ? &f->receivers : NULL;
        PyObject             *result =
            core_front_find(&f->front, f->function, receivers, values, positional, names, &key, &described);
        if (result != NULL) {
            f->object_hits++;
            f->cache->front_hits++;
            core_bury_some(f->cache);
            return f->coroutine ? core_answer_at_once(f, result) : result;
        }
    }
    Py_ssize_t bypass = core_find_bypass(names);
    return bypass >= 0 ? core_call_bypassing(f->wrapped, values, positional, names, bypass)
                       : call_with_key(f, described ? &key : NULL, values, count, names);
}
