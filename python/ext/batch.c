/* Many calls at once that are awaited: cachekit._core.Batch, a ckit_batch as a Python object. It begins with a poll,
 * and like everything of a poll it keeps the interpreter's lock. */
#include "batch.h"

#include <stddef.h>
#include <structmember.h>

static core_batch *batch_of(PyObject *object) { return (core_batch *)object; }

/* ---- made and ended ---------------------------------------------------------------------------------------------- */

PyObject *core_function_begin_many(PyObject *object, PyObject *given) {
    core_function *f = core_function_of(object);
    if (!PyList_CheckExact(given)) {
        PyErr_SetString(PyExc_TypeError, "begin_many takes a list of calls");
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

void core_batch_drop(core_batch *self) {
    ckit_batch *batch = self->batch;
    core_poll  *poll = self->poll;
    self->batch = NULL;
    self->poll = NULL;
    ckit_batch_free(batch);
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
    for (Py_ssize_t i = 0; self->m.results != NULL && i < self->m.count; i++) {
        Py_VISIT(self->m.results[i]);
    }
    return 0;
}

static int batch_clear(PyObject *object) {
    core_batch *self = batch_of(object);
    core_batch_drop(self);
    Py_CLEAR(self->m.failure);
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

static void begin(core_batch *self, core_poll *poll) {
    ckit_batch_start start = {.function = self->function->function,
                              .args = self->m.packed,
                              .count = self->m.keyed,
                              .poll = poll->poll,
                              .ready = on_ready,
                              .context = self};
    Py_INCREF(poll);
    self->poll = poll;
    self->next = poll->batches;
    if (self->next != NULL) {
        self->next->prev = self;
    }
    poll->batches = self;
    self->answer = ckit_begin_many(&start, &self->batch, NULL);
    if (self->batch == NULL) { /* without the cache */
        self->answer = CKIT_OK;
    }
}

static PyObject *advance(PyObject *object, PyObject *poll) {
    core_batch *self = batch_of(object);
    if (!PyObject_TypeCheck(poll, (PyTypeObject *)self->function->state->poll_type)) {
        PyErr_SetString(PyExc_TypeError, "advance takes a Poll");
        return NULL;
    }
    if (self->poll == NULL) {
        begin(self, (core_poll *)poll);
    }
    return PyUnicode_InternFromString(self->answer == CKIT_PENDING   ? "pending"
                                      : self->answer == CKIT_COMPUTE ? "compute"
                                                                     : "done");
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
    self->answer = ckit_finish_many(self->batch, status, &err);
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
    for (size_t n = 0; n < self->m.keyed; n++) {
        self->m.answers[n] =
            self->batch == NULL ? CKIT_E_CLOSED : ckit_batch_take(self->batch, n, &self->m.values[n], NULL);
    }
    if (core_many_read(&self->m) < 0) {
        return NULL;
    }
    PyObject *left = core_many_left(&self->m);
    PyObject *list = left == NULL ? NULL : core_many_list(&self->m);
    PyObject *both = list == NULL ? NULL : PyTuple_Pack(2, list, left);
    Py_XDECREF(list);
    Py_XDECREF(left);
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
     "when "
     "it is done)."},
    {"missing", missing, METH_NOARGS, "The positions of the calls that are to be loaded."},
    {"finish", finish, METH_O, "finish(results): as many as were missing. An exception is the failure of its call."},
    {"fail", fail, METH_O, "fail(exception): the loader has failed."},
    {"results", results, METH_NOARGS, "(results, positions that have none yet), once it is done."},
    {"drop", drop, METH_NOARGS, "Nobody is interested any more: calls that wait take over."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"wake", T_OBJECT, offsetof(core_batch, wake), 0, "The future that waits for the next answer."},
    {NULL, 0, 0, 0, NULL}};

#define SLOT(function) ((void *)(uintptr_t)(function))

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
