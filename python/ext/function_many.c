/* Many calls of a function at once: what memory and the store do not have is computed by one call of a loader. */
#include "many.h"

#include "size.h"
#include "values.h"

void core_many_fini(core_many *m) {
    for (Py_ssize_t i = 0; m->args != NULL && i < m->count; i++) {
        ckit_args_fini(&m->args[i]);
    }
    for (size_t n = 0; m->values != NULL && n < m->keyed; n++) {
        ckit_value_fini(&m->values[n]);
    }
    for (Py_ssize_t i = 0; m->results != NULL && i < m->count; i++) {
        Py_XDECREF(m->results[i]);
    }
    Py_XDECREF(m->failure);
    Py_XDECREF(m->stale);
    PyMem_Free(m->loads);
    PyMem_Free(m->args);
    PyMem_Free(m->packed);
    PyMem_Free(m->places);
    PyMem_Free(m->values);
    PyMem_Free(m->answers);
    PyMem_Free(m->results);
}

int core_many_init(core_many *m, core_function *f, Py_ssize_t count) {
    const size_t room = count > 0 ? (size_t)count : 1;
    *m = (core_many){.f = f, .count = count};
    m->args = PyMem_Calloc(room, sizeof m->args[0]);
    m->packed = PyMem_Calloc(room, sizeof(ckit_args *));
    m->places = PyMem_Calloc(room, sizeof m->places[0]);
    m->values = PyMem_Calloc(room, sizeof m->values[0]);
    m->answers = PyMem_Calloc(room, sizeof m->answers[0]);
    m->results = PyMem_Calloc(room, sizeof(PyObject *));
    m->loads = PyMem_Calloc(room, sizeof m->loads[0]);
    if (m->args == NULL || m->packed == NULL || m->places == NULL || m->values == NULL || m->answers == NULL ||
        m->results == NULL || m->loads == NULL) {
        PyMem_Free(m->args); /* which are not arguments yet */
        m->args = NULL;
        core_many_fini(m);
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        ckit_args_init(&m->args[i]);
    }
    return 0;
}

/* The pending exception, as an object; never NULL. */
static PyObject *take_exception(void) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != NULL) {
        (void)PyException_SetTraceback(exception, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return exception;
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

/* One call is (positional, keywords). 0, or 1 when it has no key, or -1 with an exception. */
static int pack(core_many *m, Py_ssize_t i, PyObject *call) {
    PyObject *positional, *keywords;
    if (!PyArg_ParseTuple(call, "O!O!", &PyTuple_Type, &positional, &PyDict_Type, &keywords)) {
        return -1;
    }
    const Py_ssize_t count = PyTuple_GET_SIZE(positional), named = PyDict_GET_SIZE(keywords);
    PyObject       **values = PyMem_Calloc((size_t)(count + named) + 1, sizeof(PyObject *));
    PyObject        *names = values == NULL ? PyErr_NoMemory() : PyTuple_New(named), *name, *value;
    Py_ssize_t       at = 0;
    for (Py_ssize_t n = 0; names != NULL && n < count; n++) {
        values[n] = PyTuple_GET_ITEM(positional, n);
    }
    for (Py_ssize_t n = 0; names != NULL && PyDict_Next(keywords, &at, &name, &value); n++) {
        Py_INCREF(name);
        PyTuple_SET_ITEM(names, n, name);
        values[count + n] = value;
    }
    int packed = names == NULL ? -1 : core_function_pack(m->f, &m->args[i], values, count, named > 0 ? names : NULL);
    if (packed < 0 && names != NULL && m->f->interop == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        packed = core_function_tell_uncached(m->f, "key") < 0 ? -1 : 1;
    }
    Py_XDECREF(names);
    PyMem_Free(values);
    return packed;
}

int core_many_pack(core_many *m, PyObject *calls) {
    for (Py_ssize_t i = 0; i < m->count; i++) {
        const int packed = pack(m, i, PyList_GET_ITEM(calls, i));
        if (packed < 0) {
            return -1;
        }
        if (packed == 0) {
            m->packed[m->keyed] = &m->args[i];
            m->places[m->keyed++] = i;
        }
    }
    return 0;
}

/* ---- the loader -------------------------------------------------------------------------------------------------- */

PyObject *core_many_positions(core_many *m, const ckit_batch_call *calls, size_t count) {
    PyObject *positions = PyList_New((Py_ssize_t)count);
    for (size_t n = 0; positions != NULL && n < count; n++) {
        m->loads[calls[n].index] = 1;
        PyObject *position = PyLong_FromSsize_t(m->places[calls[n].index]);
        if (position == NULL) {
            Py_CLEAR(positions);
        } else {
            PyList_SET_ITEM(positions, (Py_ssize_t)n, position);
        }
    }
    return positions;
}

PyObject *core_many_results(PyObject *given, Py_ssize_t count) {
    PyObject *results = PySequence_Tuple(given);
    if (results != NULL && PyTuple_GET_SIZE(results) != count) {
        PyErr_Format(PyExc_ValueError, "the loader gave %zd results for %zd calls", PyTuple_GET_SIZE(results), count);
        Py_CLEAR(results);
    }
    return results;
}

void core_many_failed(core_many *m) { Py_XSETREF(m->failure, take_exception()); }

static int write_document(core_many *m, ckit_batch_call *call, PyObject *value) {
    core_state *state = m->f->state;
    return m->f->interop != NULL ? core_encode_interop(state, call->result, value)
                                 : core_encode(state, call->result, value);
}

static int write_serialized(core_many *m, ckit_batch_call *call, PyObject *value) {
    Py_buffer view;
    int       written = -1;
    PyObject *stored = PyObject_CallOneArg(m->f->dump, value);
    if (stored != NULL && PyObject_GetBuffer(stored, &view, PyBUF_SIMPLE) == 0) {
        written = ckit_buf_append(call->bytes, ckit_slice_of(view.buf, (size_t)view.len)) == CKIT_OK ? 0 : -1;
        if (written < 0) {
            PyErr_NoMemory();
        }
        PyBuffer_Release(&view);
    }
    Py_XDECREF(stored);
    return written;
}

static int write_object(core_many *m, ckit_batch_call *call, PyObject *value) {
    const size_t size = core_size_of(value);
    return PyErr_Occurred() || !core_object_of(m->f->cache, value, size, NULL, &call->object) ? -1 : 0;
}

static int write_result(core_many *m, ckit_batch_call *call, PyObject *value) {
    if (core_is_for_one(value)) {
        PyErr_Format(PyExc_TypeError, "a %.100s can be used only once, by its first receiver", Py_TYPE(value)->tp_name);
        return -1;
    }
    switch (m->f->kept) {
    case CORE_OBJECTS: return write_object(m, call, value);
    case CORE_SERIALIZED: return write_serialized(m, call, value);
    default: return write_document(m, call, value);
    }
}

/* What cannot be stored is the caller's all the same. */
static void take_result(core_many *m, ckit_batch_call *call, PyObject *value) {
    PyObject **result = &m->results[m->places[call->index]];
    Py_XDECREF(*result);
    Py_INCREF(value);
    *result = value;
    call->ttl_ms = core_function_life_of(m->f, value);
    if (PyExceptionInstance_Check(value)) {
        call->status = CKIT_E_FUNCTION;
    } else if (write_result(m, call, value) < 0) {
        call->status = CKIT_E_FUNCTION;
        if (core_function_is_callers(m->f) || core_function_tell_uncached(m->f, "value") < 0) {
            Py_SETREF(*result, take_exception());
        }
    }
}

void core_many_take(core_many *m, ckit_batch_call *calls, size_t count, PyObject *results) {
    for (size_t n = 0; n < count; n++) {
        take_result(m, &calls[n], PyTuple_GET_ITEM(results, (Py_ssize_t)n));
    }
}

/* ---- the answers ------------------------------------------------------------------------------------------------- */

/* The same call, earlier in the batch: what the loader gave for it, and could not be kept, is the result here too. */
static PyObject *result_of_twin(core_many *m, size_t n) {
    ckit_slice own, other;
    if (ckit_args_pack(m->packed[n], &own, NULL) != CKIT_OK) {
        return NULL;
    }
    for (size_t k = 0; k < n; k++) {
        PyObject *result = m->results[m->places[k]];
        if (result != NULL && ckit_args_pack(m->packed[k], &other, NULL) == CKIT_OK && own.len == other.len &&
            memcmp(own.ptr, other.ptr, own.len) == 0) {
            Py_INCREF(result);
            return result;
        }
    }
    return NULL;
}

PyObject *core_many_loaded(core_many *m, size_t n) {
    PyObject *result = m->results[m->places[n]];
    Py_XINCREF(result);
    return result != NULL ? result : result_of_twin(m, n);
}

/* The exception of a failure of the cache that its caller is to see. NULL: he is not, the call is loaded without it. */
static PyObject *failure_of(const core_function *f, ckit_status st, const ckit_error *err) {
    const bool minds = core_function_minds(f, st);
    if (!minds && st != CKIT_E_AUTH_TAG) {
        return NULL;
    }
    (void)(minds ? core_raise_store : core_raise)(f->state, err);
    return take_exception();
}

void core_many_answer(core_many *m, ckit_batch *batch, size_t n) {
    ckit_error err = CKIT_ERROR_INIT;
    m->answers[n] = ckit_batch_take(batch, n, &m->values[n], &err);
    PyObject *failure = failure_of(m->f, m->answers[n], &err);
    if (failure != NULL) { /* also of what was loaded, and is kept nowhere */
        Py_XSETREF(m->results[m->places[n]], failure);
    }
}

PyObject *core_many_overdue(core_many *m, ckit_batch *batch, size_t n, bool hard) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    PyObject   *result = NULL;
    ckit_status st = ckit_batch_overdue(batch, n, hard, &value, &err);
    if (st == CKIT_OK || st == CKIT_STALE) {
        result = core_function_take(m->f, &value);
        PyErr_Clear(); /* what cannot be read stands in for nothing */
    } else if (st == CKIT_E_FUNCTION && m->failure != NULL) {
        Py_INCREF(m->failure);
        result = m->failure;
    } else {
        result = failure_of(m->f, st, &err);
    }
    return result;
}

/* -1 with an exception. */
static int tell_stale(core_many *m, size_t n) {
    if (m->stale == NULL && (m->stale = PyList_New(0)) == NULL) {
        return -1;
    }
    PyObject *position = PyLong_FromSsize_t(m->places[n]);
    const int told = position == NULL ? -1 : PyList_Append(m->stale, position);
    Py_XDECREF(position);
    return told;
}

int core_many_read(core_many *m) {
    for (size_t n = 0; n < m->keyed; n++) {
        PyObject **result = &m->results[m->places[n]];
        if (m->answers[n] == CKIT_OK && m->values[n].stale && !m->loads[n] && tell_stale(m, n) < 0) {
            return -1;
        }
        if (m->answers[n] == CKIT_OK && (*result == NULL || PyExceptionInstance_Check(*result))) {
            Py_CLEAR(*result); /* a failure for which an older value stands in */
            *result = core_function_take(m->f, &m->values[n]);
            if (*result == NULL && core_function_forgive(m->f) == CORE_CALLERS) {
                return -1;
            }
        } else if (*result == NULL && m->answers[n] == CKIT_E_FUNCTION && m->failure != NULL) {
            Py_INCREF(m->failure);
            *result = m->failure;
        } else if (*result == NULL && m->answers[n] == CKIT_E_FUNCTION) {
            *result = result_of_twin(m, n);
        }
    }
    return 0;
}

PyObject *core_many_left(const core_many *m) {
    PyObject *positions = PyList_New(0);
    for (Py_ssize_t i = 0; positions != NULL && i < m->count; i++) {
        PyObject *position = m->results[i] != NULL ? NULL : PyLong_FromSsize_t(i);
        if (m->results[i] == NULL && (position == NULL || PyList_Append(positions, position) < 0)) {
            Py_CLEAR(positions);
        }
        Py_XDECREF(position);
    }
    return positions;
}

PyObject *core_many_list(core_many *m) {
    PyObject *list = PyList_New(m->count);
    for (Py_ssize_t i = 0; list != NULL && i < m->count; i++) {
        PyObject *result = m->results[i] != NULL ? m->results[i] : Py_None;
        Py_XINCREF(m->results[i] != NULL ? NULL : result);
        PyList_SET_ITEM(list, i, result);
        m->results[i] = NULL;
    }
    return list;
}

PyObject *core_many_all(core_many *m) {
    PyObject *both = core_many_both(m);
    PyObject *stale = m->stale != NULL ? m->stale : PyList_New(0);
    PyObject *all = both == NULL || stale == NULL
                        ? NULL
                        : PyTuple_Pack(3, PyTuple_GET_ITEM(both, 0), PyTuple_GET_ITEM(both, 1), stale);
    m->stale = NULL;
    Py_XDECREF(stale);
    Py_XDECREF(both);
    return all;
}

PyObject *core_many_both(core_many *m) {
    PyObject *left = core_many_left(m);
    PyObject *list = left == NULL ? NULL : core_many_list(m);
    PyObject *both = list == NULL ? NULL : PyTuple_Pack(2, list, left);
    Py_XDECREF(list);
    Py_XDECREF(left);
    return both;
}

/* ---- a batch that blocks ----------------------------------------------------------------------------------------- */

typedef struct blocking {
    core_many m;
    PyObject *loader;
    core_wait wait;
} blocking;

/* loader(positions) -> as many results; a new tuple. */
static PyObject *run_loader(const blocking *b, PyObject *positions) {
    PyObject *given = positions == NULL ? NULL : PyObject_CallOneArg(b->loader, positions);
    PyObject *results = given == NULL ? NULL : core_many_results(given, PyList_GET_SIZE(positions));
    Py_XDECREF(given);
    return results;
}

static ckit_status load(void *context, ckit_batch_call *calls, size_t count, ckit_error *err) {
    blocking *b = context;
    core_wait_end(&b->wait);
    PyObject  *positions = core_many_positions(&b->m, calls, count);
    PyObject  *results = run_loader(b, positions);
    const bool failed = results == NULL;
    if (failed) {
        core_many_failed(&b->m);
    } else {
        core_many_take(&b->m, calls, count, results);
    }
    Py_XDECREF(results);
    Py_XDECREF(positions);
    core_wait_begin(&b->wait);
    return failed ? ckit_fail(err, CKIT_E_FUNCTION, "function", "the loader failed") : CKIT_OK;
}

/* As ckit_call_many, but that Ctrl-C ends it while it waits for others. */
static ckit_status run(blocking *b) {
    ckit_batch_start start = {.struct_size = sizeof start,
                              .function = b->m.f->function,
                              .args = b->m.packed,
                              .count = b->m.keyed,
                              .context = &b->wait,
                              .stop = core_is_interrupted};
    ckit_batch      *batch;
    core_wait_begin(&b->wait);
    ckit_status st = ckit_begin_many(&start, &batch, NULL);
    while (st == CKIT_COMPUTE) {
        ckit_error       why = CKIT_ERROR_INIT;
        size_t           count;
        ckit_batch_call *calls = ckit_batch_missing(batch, &count);
        ckit_status      loaded = load(b, calls, count, &why);
        st = ckit_finish_many(batch, loaded, &why);
    }
    core_wait_end(&b->wait);
    for (size_t n = 0; n < b->m.keyed; n++) {
        b->m.answers[n] = st;
        if (st == CKIT_OK) {
            core_many_answer(&b->m, batch, n);
        }
    }
    core_wait_begin(&b->wait);
    ckit_batch_free(batch);
    core_wait_end(&b->wait);
    return st;
}

/* Calls without a key, and those that the cache had trouble with: the same loader, uncached. */
static int load_the_rest(blocking *b) {
    PyObject *positions = core_many_left(&b->m);
    if (positions == NULL) {
        return -1;
    }
    const Py_ssize_t count = PyList_GET_SIZE(positions);
    PyObject        *results = count == 0 ? NULL : run_loader(b, positions);
    PyObject        *failure = count > 0 && results == NULL ? take_exception() : NULL;
    for (Py_ssize_t n = 0; n < count; n++) {
        PyObject *result = failure != NULL ? failure : PyTuple_GET_ITEM(results, n);
        Py_INCREF(result);
        b->m.results[PyLong_AsSsize_t(PyList_GET_ITEM(positions, n))] = result;
    }
    Py_XDECREF(failure);
    Py_XDECREF(results);
    Py_DECREF(positions);
    return 0;
}

/* refresh(positions), where there are any. */
static int refresh_stale(const core_many *m, PyObject *refresh) {
    PyObject *done = m->stale != NULL ? PyObject_CallOneArg(refresh, m->stale) : NULL;
    const int failed = m->stale != NULL && done == NULL ? -1 : 0;
    Py_XDECREF(done);
    return failed;
}

bool core_many_may(const core_function *f) {
    if (f->first != CORE_FIRST_PLAIN) {
        PyErr_SetString(PyExc_TypeError, "methods are called one by one: get_many is for functions");
        return false;
    }
    return true;
}

PyObject *core_function_call_many(PyObject *self, PyObject *const *values, Py_ssize_t count) {
    core_function *f = core_function_of(self);
    blocking       b;
    PyObject      *list = NULL;
    if (count != 3 || !PyList_CheckExact(values[0])) {
        PyErr_SetString(PyExc_TypeError, "call_many takes a list of calls, a loader, and what refreshes");
        return NULL;
    }
    PyObject *calls = core_many_may(f) ? PyList_GetSlice(values[0], 0, PyList_GET_SIZE(values[0])) : NULL;
    if (calls == NULL) {
        return NULL;
    }
    b.loader = values[1];
    if (core_many_init(&b.m, f, PyList_GET_SIZE(calls)) == 0) { /* nobody else changes this list */
        if (core_many_pack(&b.m, calls) == 0) {
            if (run(&b) != CKIT_E_CANCELLED) { /* else by an exception, which is pending */
                core_bury(f->cache);
                if (core_many_read(&b.m) == 0 && load_the_rest(&b) == 0 && refresh_stale(&b.m, values[2]) == 0) {
                    list = core_many_list(&b.m);
                }
            }
        }
        core_many_fini(&b.m);
    }
    Py_DECREF(calls);
    return list;
}
