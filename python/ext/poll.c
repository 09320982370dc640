/* What an event loop watches: cachekit._core.Poll, a ckit_poll as a Python object.
 *
 * The loop owns it, by watching it; operations hold it while they may be answered. Everything that touches an operation
 * of a poll keeps the interpreter's lock, so the threads of one interpreter never meet in the middle of one. */
#include "batch.h"

#include <poll.h>
#include <stddef.h>
#include <structmember.h>
#include <unistd.h>

static core_poll *poll_of(PyObject *object) { return (core_poll *)object; }

/* ---- its operations ---------------------------------------------------------------------------------------------- */

void core_poll_add(core_poll *self, core_operation *operation) {
    Py_INCREF(self);
    operation->poll = self;
    operation->prev = NULL;
    operation->next = self->operations;
    if (self->operations != NULL) {
        self->operations->prev = operation;
    }
    self->operations = operation;
}

/* Gives the references back that the two have to each other: to the poll, or to an operation that is kept. */
void core_poll_remove(core_operation *operation) {
    core_poll *self = operation->poll;
    bool       was_kept = operation->kept;
    if (operation->prev != NULL) {
        operation->prev->next = operation->next;
    } else {
        self->operations = operation->next;
    }
    if (operation->next != NULL) {
        operation->next->prev = operation->prev;
    }
    operation->poll = NULL;
    operation->kept = false;
    if (was_kept) {
        Py_DECREF(operation);
    } else {
        Py_DECREF(self);
    }
}

void core_poll_keep(core_operation *operation) {
    core_poll *self = operation->poll;
    Py_INCREF(operation);
    operation->answer = CKIT_PENDING;
    operation->kept = true;
    Py_DECREF(self);
}

static void end_kept(core_operation *operation) {
    ckit_op          *op = operation->op;
    const ckit_error *why = ckit_op_error(op);
    if (why != NULL && core_function_minds(operation->function, why->status) && operation->wake != NULL) {
        (void)core_raise_store(operation->function->state, why);
        core_operation_wake_with_error(operation);
    }
    operation->op = NULL;
    ckit_op_free(op); /* has nothing to wait for */
    core_poll_remove(operation);
}

void core_poll_ready(void *context, ckit_op *op, ckit_status answer) {
    core_operation *operation = context;
    (void)op;
    Py_INCREF(operation);
    operation->answer = answer;
    if (operation->kept) {
        end_kept(operation);
    }
    core_operation_wake(operation);
    Py_DECREF(operation);
}

/* ---- the type ---------------------------------------------------------------------------------------------------- */

static PyObject *poll_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"cache", NULL};
    core_state  *state = PyType_GetModuleState(type);
    ckit_error   err = CKIT_ERROR_INIT;
    PyObject    *cache;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!", names, (PyTypeObject *)state->cache_type, &cache)) {
        return NULL;
    }
    core_poll *self = (core_poll *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    Py_INCREF(cache);
    self->cache = (core_cache *)cache;
    self->process = (long)getpid();
    if (ckit_poll_new(self->cache->cache, &self->poll, &err) != CKIT_OK) {
        Py_DECREF(self);
        return core_raise(state, &err);
    }
    return (PyObject *)self;
}

/* The loop is gone, and nobody refers to an operation but those that are kept. What is on its way to the store arrives
 * all the same; a store answers in bounded time. */
static void wait_for_kept(core_poll *self) {
    struct pollfd watched = {.fd = ckit_poll_fd(self->poll), .events = POLLIN};
    for (core_operation *operation = self->operations; operation != NULL; operation = operation->next) {
        Py_CLEAR(operation->wake);
    }
    while (self->operations != NULL && self->process == (long)getpid()) {
        PyThreadState *saved = core_let_go();
        (void)poll(&watched, 1, -1);
        core_take_back(saved);
        (void)ckit_poll_dispatch(self->poll);
    }
    while (self->operations != NULL) { /* a forked child's are the parent's to land */
        end_kept(self->operations);
    }
}

static int poll_traverse(PyObject *object, visitproc visit, void *arg) {
    core_poll *self = poll_of(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->cache);
    for (core_operation *operation = self->operations; operation != NULL; operation = operation->next) {
        if (operation->kept) {
            Py_VISIT(operation);
        }
    }
    return 0;
}

static void poll_dealloc(PyObject *object) {
    core_poll    *self = poll_of(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject     *pending, *exception, *traceback;
    PyObject_GC_UnTrack(object);
    PyErr_Fetch(&pending, &exception, &traceback);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    if (self->poll != NULL && core_cache_is_stuck(self->cache)) {
        PyErr_Restore(pending, exception, traceback);
        return; /* left as it is: the process ends */
    }
    if (self->poll != NULL) {
        wait_for_kept(self);
        PyThreadState *saved = core_let_go();
        ckit_poll_close(self->poll);
        core_take_back(saved);
    }
    Py_XDECREF(self->cache);
    PyErr_Restore(pending, exception, traceback);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *poll_fileno(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(ckit_poll_fd(poll_of(object)->poll));
}

static PyObject *poll_dispatch(PyObject *object, PyObject *unused) {
    core_poll *self = poll_of(object);
    (void)unused;
    (void)ckit_poll_dispatch(self->poll);
    core_bury(self->cache);
    Py_RETURN_NONE;
}

static PyObject *poll_abandon(PyObject *object, PyObject *unused) {
    core_poll *self = poll_of(object);
    (void)unused;
    Py_INCREF(self);
    while (self->batches != NULL) {
        core_batch_drop(self->batches);
    }
    for (core_operation *operation = self->operations; operation != NULL;) {
        if (operation->kept) {
            operation = operation->next;
        } else {
            core_operation_drop(operation);
            operation = self->operations; /* from the start: what was dropped may have taken others along */
        }
    }
    Py_DECREF(self);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"fileno", poll_fileno, METH_NOARGS, "What to watch for reading."},
    {"dispatch", poll_dispatch, METH_NOARGS, "Tells every future whose answer is there. In the thread of the loop."},
    {"abandon", poll_abandon, METH_NOARGS, "The loop is closed: calls that wait elsewhere take over what it computes."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(core_poll, weakrefs), READONLY, NULL},
    {"cache", T_OBJECT, offsetof(core_poll, cache), READONLY, "The cache whose answers it brings."},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, SLOT(poll_new)},
                              {Py_tp_dealloc, SLOT(poll_dealloc)},
                              {Py_tp_traverse, SLOT(poll_traverse)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_doc, "Poll(cache)\n--\n\nWhere an event loop hears of answers of the cache."},
                              {0, NULL}};

static PyType_Spec spec = {"cachekit._core.Poll", (int)sizeof(core_poll), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                           slots};

int core_poll_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->poll_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->poll_type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)state->poll_type);
}
