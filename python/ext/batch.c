/* Many calls at once that are awaited, or that somebody waits for with limits: cachekit._core.Batch, a ckit_batch as a
 * Python object. One with a poll keeps the interpreter's lock, like everything of a poll. Without, one thread goes on
 * with it, blocking, and lets the lock go; what another one asks meanwhile (overdue) needs only what the lock guards, and
 * what ckit_batch_overdue may look at. */
#include "batch.h"

#include <stddef.h>
#include <structmember.h>

static core_batch *batch_of(PyObject *object) { return (core_batch *)object; }

/* ---- made and ended ---------------------------------------------------------------------------------------------- */

static PyObject *new_batch(PyObject *object, PyObject *given, bool refreshes) {
    core_function *f = core_function_of(object);
    if (!PyList_CheckExact(given)) {
        PyErr_SetString(PyExc_TypeError, "begin_many and begin_refresh take a list of calls");
        return NULL;
    }
    PyObject *calls = core_many_may(f) ? PyList_GetSlice(given, 0, PyList_GET_SIZE(given)) : NULL;
    if (calls == NULL) {
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)f->state->batch_type;
    core_batch   *self = (core_batch *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->answer = CKIT_PENDING;
        self->refreshes = refreshes;
        if (core_many_init(&self->m, f, PyList_GET_SIZE(calls)) == 0) {
            Py_INCREF(f);
            self->function = f;
        }
        if (self->function == NULL || core_many_pack(&self->m, calls) < 0) {
            Py_CLEAR(self);
        }
    }
    Py_DECREF(calls);
    return (PyObject *)self;
}

PyObject *core_function_begin_many(PyObject *self, PyObject *calls) { return new_batch(self, calls, false); }
PyObject *core_function_begin_refresh(PyObject *self, PyObject *calls) { return new_batch(self, calls, true); }

void core_batch_drop(core_batch *self) {
    ckit_batch *batch = self->batch;
    core_poll  *poll = self->poll;
    if (self->busy) {
        return;
    }
    self->batch = NULL;
    self->poll = NULL;
    if (batch != NULL && poll == NULL) { /* locks of the store are let go */
        PyThreadState *saved = core_let_go();
        ckit_batch_free(batch);
        core_take_back(saved);
        core_bury(self->function->cache);
    } else {
        ckit_batch_free(batch);
    }
    if (poll != NULL) {
        *(self->prev != NULL ? &self->prev->next : &poll->batches) = self->next;
        if (self->next != NULL) {
            self->next->prev = self->prev;
        }
        self->next = self->prev = NULL;
        core_bury(poll->cache);
        Py_DECREF(poll);
    }
    Py_CLEAR(self->wake);
}

static int batch_traverse(PyObject *object, visitproc visit, void *arg) {
    core_batch *self = batch_of(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->function);
    Py_VISIT(self->wake);
    Py_VISIT(self->poll);
    Py_VISIT(self->m.failure);
    Py_VISIT(self->m.stale);
    for (Py_ssize_t i = 0; self->m.results != NULL && i < self->m.count; i++) {
        Py_VISIT(self->m.results[i]);
    }
    return 0;
}

static int batch_clear(PyObject *object) {
    core_batch *self = batch_of(object);
    core_batch_drop(self);
    Py_CLEAR(self->m.failure);
    Py_CLEAR(self->m.stale);
    for (Py_ssize_t i = 0; self->m.results != NULL && i < self->m.count; i++) {
        Py_CLEAR(self->m.results[i]);
    }
    return 0;
}

static void batch_dealloc(PyObject *object) {
    core_batch   *self = batch_of(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)batch_clear(object);
    if (self->function != NULL) {
        core_many_fini(&self->m);
    }
    Py_XDECREF(self->function);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- under way --------------------------------------------------------------------------------------------------- */

static void on_ready(void *context, ckit_batch *batch, ckit_status answer) {
    core_batch *self = context;
    PyObject   *future = self->wake;
    (void)batch;
    self->answer = answer;
    self->wake = NULL;
    Py_INCREF(self);
    core_wake_future(future);
    Py_DECREF(self);
}

static void watch(core_batch *self, core_poll *poll) {
    Py_INCREF(poll);
    self->poll = poll;
    self->next = poll->batches;
    if (self->next != NULL) {
        self->next->prev = self;
    }
    poll->batches = self;
}

/* Does not wait. */
static void begin(core_batch *self, core_poll *poll) {
    ckit_batch_start start = {.struct_size = sizeof start,
                              .function = self->function->function,
                              .args = self->m.packed,
                              .count = self->m.keyed,
                              .poll = poll == NULL ? NULL : poll->poll,
                              .ready = on_ready,
                              .context = self,
                              .apart = poll == NULL,
                              .refreshes = self->refreshes};
    if (poll != NULL) {
        watch(self, poll);
    }
    self->answer = ckit_begin_many(&start, &self->batch, NULL);
    if (self->batch == NULL) { /* without the cache */
        self->answer = CKIT_OK;
    }
}

static PyObject *name_of_answer(const core_batch *self) {
    return PyUnicode_InternFromString(self->answer == CKIT_PENDING   ? "pending"
                                      : self->answer == CKIT_COMPUTE ? "compute"
                                                                     : "done");
}

static PyObject *advance(PyObject *object, PyObject *poll) {
    core_batch *self = batch_of(object);
    if (poll != Py_None && !PyObject_TypeCheck(poll, (PyTypeObject *)self->function->state->poll_type)) {
        PyErr_SetString(PyExc_TypeError, "advance takes a Poll or None");
        return NULL;
    }
    if (self->batch == NULL && self->answer == CKIT_PENDING) {
        begin(self, poll == Py_None ? NULL : (core_poll *)poll);
    }
    return name_of_answer(self);
}

static PyObject *wait(PyObject *object, PyObject *unused) {
    core_batch *self = batch_of(object);
    (void)unused;
    if (self->batch == NULL || self->poll != NULL || self->busy || self->answer != CKIT_PENDING) {
        PyErr_SetString(PyExc_RuntimeError, "this batch has nothing to wait for");
        return NULL;
    }
    self->busy = true;
    PyThreadState *saved = core_let_go();
    ckit_status    answer = ckit_batch_wait(self->batch);
    core_take_back(saved);
    self->busy = false;
    self->answer = answer;
    core_bury(self->function->cache);
    return name_of_answer(self);
}

static ckit_batch_call *calls_of(core_batch *self, size_t *count) {
    *count = 0;
    ckit_batch_call *calls =
        self->batch != NULL && self->answer == CKIT_COMPUTE ? ckit_batch_missing(self->batch, count) : NULL;
    if (calls == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this batch does not wait for results");
    }
    return calls;
}

static PyObject *missing(PyObject *object, PyObject *unused) {
    core_batch      *self = batch_of(object);
    size_t           count;
    ckit_batch_call *calls = calls_of(self, &count);
    (void)unused;
    return calls == NULL ? NULL : core_many_positions(&self->m, calls, count);
}

static void finish_with(core_batch *self, ckit_status status) {
    ckit_error err = CKIT_ERROR_INIT;
    if (status != CKIT_OK) {
        ckit_fail(&err, status, "function", "the loader failed");
    }
    self->answer = CKIT_PENDING; /* before: `ready` comes with the next dispatch, in this thread */
    self->busy = self->poll == NULL;
    PyThreadState *saved = self->busy ? core_let_go() : NULL;
    ckit_status    answer = ckit_finish_many(self->batch, status, &err);
    core_take_back(saved);
    self->busy = false;
    self->answer = answer;
    core_bury(self->function->cache);
}

static PyObject *finish(PyObject *object, PyObject *given) {
    core_batch      *self = batch_of(object);
    size_t           count;
    ckit_batch_call *calls = calls_of(self, &count);
    if (calls == NULL) {
        return NULL;
    }
    PyObject *results = core_many_results(given, (Py_ssize_t)count);
    if (results == NULL) {
        core_many_failed(&self->m);
    } else {
        core_many_take(&self->m, calls, count, results);
    }
    finish_with(self, results == NULL ? CKIT_E_FUNCTION : CKIT_OK);
    Py_XDECREF(results);
    Py_RETURN_NONE;
}

static PyObject *fail(PyObject *object, PyObject *exception) {
    core_batch *self = batch_of(object);
    size_t      count;
    if (calls_of(self, &count) == NULL) {
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    core_many_failed(&self->m);
    finish_with(self, CKIT_E_FUNCTION);
    Py_RETURN_NONE;
}

static PyObject *results(PyObject *object, PyObject *unused) {
    core_batch *self = batch_of(object);
    (void)unused;
    if (self->answer != CKIT_OK || self->taken) {
        PyErr_SetString(PyExc_RuntimeError, "this batch is not done, or its results have been taken");
        return NULL;
    }
    self->taken = true;
    for (size_t n = 0; n < self->m.keyed; n++) {
        self->m.answers[n] = CKIT_E_CLOSED;
        if (self->batch != NULL) {
            core_many_answer(&self->m, self->batch, n);
        }
    }
    if (core_many_read(&self->m) < 0) {
        return NULL;
    }
    return core_many_all(&self->m);
}

/* What the n-th call with a key has by now, or may have instead. NULL, without an exception: nothing. */
static PyObject *instead(core_batch *self, size_t n, bool hard) {
    PyObject *result = core_many_loaded(&self->m, n);
    return result != NULL || self->batch == NULL ? result : core_many_overdue(&self->m, self->batch, n, hard);
}

static PyObject *overdue(PyObject *object, PyObject *hard) {
    core_batch *self = batch_of(object);
    core_many   told = {.count = self->m.count, .results = PyMem_Calloc((size_t)self->m.count + 1, sizeof(PyObject *))};
    if (told.results == NULL) {
        return PyErr_NoMemory();
    }
    for (size_t n = 0; n < self->m.keyed && !self->taken; n++) { /* by another thread, while a value is read here */
        told.results[self->m.places[n]] = instead(self, n, hard == Py_True);
    }
    PyObject  *both = self->taken ? NULL : core_many_both(&told);
    const bool failed = both == NULL && !self->taken;
    core_many_fini(&told);
    if (both == NULL && !failed) {
        Py_RETURN_NONE;
    }
    return both;
}

static PyObject *drop(PyObject *object, PyObject *unused) {
    (void)unused;
    core_batch_drop(batch_of(object));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"advance", advance, METH_O,
     "advance(poll): \"done\" (results()), \"compute\" (load what is missing()), or \"pending\" (set `wake`, and again "
     "when it is done). advance(None): \"done\", or \"pending\" (wait())."},
    {"wait", wait, METH_NOARGS, "Goes on in this thread, which is to run the loader, and blocks. As advance."},
    {"missing", missing, METH_NOARGS, "The positions of the calls that are to be loaded."},
    {"finish", finish, METH_O, "finish(results): as many as were missing. An exception is the failure of its call."},
    {"fail", fail, METH_O, "fail(exception): the loader has failed."},
    {"results", results, METH_NOARGS,
     "(results, positions that have none yet, positions whose results are stale), once it is done."},
    {"overdue", overdue, METH_O,
     "overdue(hard): its caller has waited as long as his limit. (what he may have, the positions that have nothing); "
     "None when its results have been taken. From any thread."},
    {"drop", drop, METH_NOARGS, "Nobody is interested any more: calls that wait take over."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"wake", T_OBJECT, offsetof(core_batch, wake), 0, "The future that waits for the next answer."},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, SLOT(batch_dealloc)},
                              {Py_tp_traverse, SLOT(batch_traverse)},
                              {Py_tp_clear, SLOT(batch_clear)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_doc, "Many calls in progress."},
                              {0, NULL}};

static PyType_Spec spec = {"cachekit._core.Batch", (int)sizeof(core_batch), 0, CORE_HIDDEN_TYPE, slots};

int core_batch_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->batch_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (state->batch_type == NULL) {
        return -1;
    }
#if PY_VERSION_HEX < 0x030a0000
    ((PyTypeObject *)state->batch_type)->tp_new = NULL;
#endif
    return PyModule_AddType(module, (PyTypeObject *)state->batch_type);
}
