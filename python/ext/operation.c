/* A call in progress: begun, waited for, finished with a result or given up, at the latest when the object dies. */
#include "operation.h"

#include "async.h"

#include <stddef.h>
#include <structmember.h>

/* ---- made and ended ------------------------------------------------------------------------------------------- */

static core_operation *new_operation(core_function *f) {
    PyTypeObject   *type = (PyTypeObject *)f->state->operation_type;
    core_operation *self = (core_operation *)type->tp_alloc(type, 0);
    if (self != NULL) {
        Py_INCREF(f);
        self->function = f;
        self->answer = CKIT_COMPUTE;
    }
    return self;
}

/* With a poll it does not wait, and must not meet a dispatch in another thread: the interpreter's lock stays. */
static void free_op(ckit_op *op, bool waits) {
    if (!waits) {
        ckit_op_free(op);
        return;
    }
    PyThreadState *saved = core_let_go();
    ckit_op_free(op);
    core_take_back(saved);
}

PyObject *core_operation_new(core_function *f, ckit_op *op, ckit_args *args) {
    core_operation *self = new_operation(f);
    if (self == NULL) {
        free_op(op, true);
        return NULL;
    }
    self->op = op;
    self->tie = core_function_tie(f, args);
    return (PyObject *)self;
}

PyObject *core_operation_of_call(core_function *f, const ckit_args *args) {
    core_operation *self = new_operation(f);
    if (self == NULL) {
        return NULL;
    }
    self->args = PyMem_RawMalloc(sizeof *self->args);
    if (self->args != NULL && ckit_args_copy(self->args, args, NULL) == CKIT_OK) {
        return (PyObject *)self;
    }
    PyMem_RawFree(self->args);
    self->args = NULL;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

static void forget_args(core_operation *self) {
    if (self->args != NULL) {
        ckit_args_fini(self->args);
        PyMem_RawFree(self->args);
        self->args = NULL;
    }
}

void core_operation_drop(core_operation *self) {
    ckit_op *op = self->op;
    if (op != NULL && !self->kept) {
        self->op = NULL;
        free_op(op, self->poll == NULL);
    }
    if (self->poll != NULL && !self->kept) {
        core_poll_remove(self);
    }
    forget_args(self);
    Py_CLEAR(self->wake);
}

void core_operation_give_up(PyObject *operation) { core_operation_drop(core_operation_of(operation)); }

static int operation_traverse(PyObject *object, visitproc visit, void *arg) {
    core_operation *self = core_operation_of(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->function);
    Py_VISIT(self->wake);
    Py_VISIT(self->result);
    if (!self->kept) {
        Py_VISIT(self->poll);
    }
    return 0;
}

static int operation_clear(PyObject *object) {
    core_operation *self = core_operation_of(object);
    core_operation_drop(self);
    Py_CLEAR(self->result);
    return 0;
}

static void operation_dealloc(PyObject *object) {
    core_operation *self = core_operation_of(object);
    PyTypeObject   *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    (void)operation_clear(object);
    core_function_tie_free(self->tie);
    Py_XDECREF(self->function);
    type->tp_free(object);
    Py_DECREF(type);
}

/* ---- a call begins ----------------------------------------------------------------------------------------------- */

static PyObject *name_of_answer(ckit_status answer) {
    switch (answer) {
    case CKIT_PENDING: return PyUnicode_InternFromString("pending");
    case CKIT_OK: return PyUnicode_InternFromString("value");
    case CKIT_STALE: return PyUnicode_InternFromString("stale");
    case CKIT_COMPUTE: return PyUnicode_InternFromString("compute");
    default: return PyUnicode_InternFromString("uncached");
    }
}

/* A value that could not be read. */
typedef struct rejected {
    ckit_value value;
    bool       keep;
} rejected;

/* The other computes the same at this moment. */
static bool is_computing_the_same(const core_operation *self, PyObject *object) {
    const core_operation *other = core_operation_of(object);
    ckit_slice            ours, theirs;
    return Py_TYPE(object) == Py_TYPE(self) && other->function == self->function && other->op != NULL &&
           other->answer == CKIT_COMPUTE && other->args != NULL && ckit_args_pack(self->args, &ours, NULL) == CKIT_OK &&
           ckit_args_pack(other->args, &theirs, NULL) == CKIT_OK && ours.len == theirs.len &&
           memcmp(ours.ptr, theirs.ptr, ours.len) == 0;
}

/* Other programs may write values that cannot be read again and again. */
#define MOST_TRIES 3

/* As ckit_begin; an answer at once is in *value. It does not wait, so the interpreter's lock stays. */
static ckit_status begin(core_operation *self, const rejected *no, ckit_value *value) {
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_start  start = {.struct_size = sizeof start,
                         .function = self->function->function,
                         .args = self->args,
                         .poll = self->poll->poll,
                         .ready = core_poll_ready,
                         .context = self,
                         .peeked = no->value.data.len == 0,
                         .rejected = no->value.data,
                         .keep_rejected = no->keep};
    ckit_status st;
    self->began_ns = core_now_ns();
    st = ckit_begin(&start, &self->op, value, &err);
    if (st == CKIT_STALE) { /* begun again, and memory has got one meanwhile; who finds it next has it refreshed */
        ckit_op_free(self->op);
        self->op = NULL;
        st = CKIT_OK;
    }
    if (st != CKIT_OK && st != CKIT_PENDING && st != CKIT_COMPUTE) {
        (void)(core_function_minds(self->function, st) ? core_raise_store : core_raise)(self->function->state, &err);
        if (st != CKIT_E_AUTH_TAG && !core_function_minds(self->function, st) &&
            core_function_tell_uncached(self->function, "cache") < 0) {
            return CKIT_E_MISUSE;
        }
    }
    return st;
}

/* Until it waits, computes, or its result can be taken: a value that cannot be read begins the call again. */
static ckit_status go_on(core_operation *self) {
    rejected    no = {.value = CKIT_VALUE_INIT};
    ckit_status st = self->op == NULL ? CKIT_MISS : self->answer;
    bool        ticket = false;
    for (int tries = 0; tries <= MOST_TRIES; tries++) {
        ckit_value value = CKIT_VALUE_INIT;
        if (st == CKIT_MISS) {
            st = begin(self, &no, &value);
            ckit_value_fini(&no.value);
        } else if (st == CKIT_OK || st == CKIT_STALE) {
            ckit_op *op = self->op;
            ckit_op_take(op, &value);
            ticket = st == CKIT_STALE && self->function->refresh != Py_None && ckit_op_computes(op);
            if (!ticket) {
                self->op = NULL;
                ckit_op_free(op);
            }
            st = CKIT_OK;
        }
        if ((st == CKIT_E_AUTH_TAG || core_function_minds(self->function, st)) && self->op != NULL) { /* the caller's */
            ckit_op *op = self->op;
            (void)(st == CKIT_E_AUTH_TAG ? core_raise : core_raise_store)(self->function->state, ckit_op_error(op));
            self->op = NULL;
            ckit_op_free(op);
        }
        if (st != CKIT_OK) {
            self->answer = st;
            return st;
        }
        core_function_time(self->function, &value, self->began_ns);
        self->result = core_function_read(self->function, &value);
        if (self->result != NULL) {
            self->answer = ticket ? CKIT_COMPUTE : CKIT_OK;
            return ticket ? CKIT_STALE : CKIT_OK;
        }
        if (ticket) {
            ckit_op *op = self->op;
            self->op = NULL;
            ckit_op_free(op);
            ticket = false;
        }
        core_verdict verdict = core_function_forgive(self->function);
        if (verdict == CORE_CALLERS || verdict == CORE_UNCACHED) {
            ckit_value_fini(&value);
            return CKIT_E_MISUSE;
        }
        ckit_value_move(&no.value, &value);
        no.keep = verdict == CORE_MALFORMED;
        st = CKIT_MISS;
    }
    ckit_value_fini(&no.value);
    return CKIT_E_MISUSE;
}

static PyObject *advance(PyObject *object, PyObject *args) {
    core_operation *self = core_operation_of(object);
    PyObject       *poll, *computing;
    core_state     *state = PyType_GetModuleState(Py_TYPE(object));
    if (!PyArg_ParseTuple(args, "O!O!", state->poll_type, &poll, &PyTuple_Type, &computing)) {
        return NULL;
    }
    if (self->args == NULL || self->kept || self->result != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this operation is over");
        return NULL;
    }
    for (Py_ssize_t i = 0; self->op == NULL && i < PyTuple_GET_SIZE(computing); i++) {
        if (is_computing_the_same(self, PyTuple_GET_ITEM(computing, i))) {
            return PyUnicode_InternFromString("uncached"); /* it would wait for itself */
        }
    }
    if (self->poll == NULL) {
        core_poll_add((core_poll *)poll, self);
    }
    ckit_status st = go_on(self);
    return PyErr_Occurred() ? NULL : name_of_answer(st);
}

void core_wake_future(PyObject *future) {
    if (future == NULL) {
        return;
    }
    PyObject *done = PyObject_CallMethod(future, "done", NULL);
    PyObject *told = done == Py_False ? PyObject_CallMethod(future, "set_result", "O", Py_None) : NULL;
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(done);
    Py_XDECREF(told);
    Py_DECREF(future);
}

void core_operation_wake(core_operation *self) {
    PyObject *future = self->wake;
    self->wake = NULL;
    core_wake_future(future);
}

void core_operation_wake_with_error(core_operation *self) {
    PyObject *type, *exception, *traceback;
    PyObject *future = self->wake;
    self->wake = NULL;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    PyObject *done = PyObject_CallMethod(future, "done", NULL);
    PyObject *told = done == Py_False ? PyObject_CallMethod(future, "set_exception", "O", exception) : NULL;
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(future);
    }
    Py_XDECREF(done);
    Py_XDECREF(told);
    Py_DECREF(future);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
}

static PyObject *take(PyObject *object, PyObject *unused) {
    core_operation *self = core_operation_of(object);
    PyObject       *result = self->result;
    (void)unused;
    self->result = NULL;
    if (result == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this operation has no value");
    }
    return result;
}

/* ---- and ends ---------------------------------------------------------------------------------------------------- */

static bool computes(core_operation *self) {
    if (self->op != NULL && self->answer == CKIT_COMPUTE) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "this operation has been finished");
    return false;
}

/* As core_function_give, and afterwards the operation is over, or the poll's. */
static int give(core_operation *self, PyObject *result) {
    core_function *f = self->function;
    core_tie      *tie = self->args == NULL ? self->tie : core_function_tie(f, self->args);
    Py_INCREF(f);
    self->tie = NULL;
    int given = core_function_give(f, self->op, tie, result);
    if (given > 0) {
        core_poll_keep(self);
    } else {
        if (given < 0) {
            const ckit_error *why = ckit_op_error(self->op);
            self->minds = why != NULL && core_function_minds(f, why->status);
            if (self->minds) {
                PyErr_Clear();
                (void)core_raise_store(f->state, why);
            }
            core_function_fail(self->op);
        }
        core_operation_drop(self);
        core_bury(f->cache);
    }
    Py_DECREF(f);
    return given;
}

static PyObject *finish(PyObject *object, PyObject *result) {
    core_operation *self = core_operation_of(object);
    if (!computes(self) || give(self, result) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *settle(PyObject *object, PyObject *result) {
    core_operation *self = core_operation_of(object);
    if (!computes(self)) {
        return NULL;
    }
    int given = give(self, result);
    if (given < 0 && (self->minds || core_function_is_callers(self->function) ||
                      core_function_tell_uncached(self->function, "value") < 0)) {
        return NULL;
    }
    return PyBool_FromLong(given > 0);
}

static PyObject *fail(PyObject *object, PyObject *unused) {
    core_operation *self = core_operation_of(object);
    (void)unused;
    if (!computes(self)) {
        return NULL;
    }
    core_function_fail(self->op);
    core_operation_drop(self);
    Py_RETURN_NONE;
}

/* The exception that a coroutine function has raised is being handled, not pending. */
static PyObject *fall_back(PyObject *object, PyObject *exception) {
    core_operation *self = core_operation_of(object);
    if (!computes(self)) {
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    self->result = core_function_fall_back(self->function, self->op);
    PyErr_Clear();
    core_operation_drop(self);
    return PyBool_FromLong(self->result != NULL);
}

/* (older value,), None without one, False when the function has ended and its result is on its way. */
static PyObject *overdue(PyObject *object, PyObject *hard) {
    core_operation *self = core_operation_of(object);
    ckit_value      value = CKIT_VALUE_INIT;
    PyObject       *instead, *told;
    if (self->kept) {
        Py_RETURN_FALSE;
    }
    if (self->op == NULL || ckit_op_overdue(self->op, hard == Py_True, &value, NULL) != CKIT_STALE) {
        Py_RETURN_NONE;
    }
    instead = core_function_take(self->function, &value);
    if (instead == NULL) { /* what cannot be read stands in for nothing */
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    told = PyTuple_Pack(1, instead);
    Py_DECREF(instead);
    return told;
}

static PyObject *start_refresh(PyObject *object, PyObject *call) {
    core_operation *self = core_operation_of(object);
    core_function  *f = self->function;
    PyObject       *args, *kwargs;
    if (!computes(self) || !PyArg_ParseTuple(call, "O!O!", &PyTuple_Type, &args, &PyDict_Type, &kwargs)) {
        return NULL;
    }
    bool is_method = f->first == CORE_FIRST_IDENTITY || f->first == CORE_FIRST_NAMED;
    return PyObject_CallFunctionObjArgs(f->refresh, object, args, kwargs, is_method ? Py_True : Py_False, NULL);
}

/* The claim of a ticket, by the poll or waiting. */
static ckit_status begin_claim(core_operation *self, PyObject *poll, ckit_error *err) {
    self->claimed = true;
    if (poll == Py_None) {
        PyThreadState *saved = core_let_go();
        ckit_status    st = ckit_op_claim(self->op, NULL, NULL, NULL, err);
        core_take_back(saved);
        return st;
    }
    if (self->poll == NULL) {
        core_poll_add((core_poll *)poll, self);
    }
    self->answer = CKIT_PENDING; /* before it comes */
    return ckit_op_claim(self->op, ((core_poll *)poll)->poll, core_poll_ready, self, err);
}

static PyObject *claim(PyObject *object, PyObject *poll) {
    core_operation *self = core_operation_of(object);
    core_state     *state = PyType_GetModuleState(Py_TYPE(object));
    ckit_error      err = CKIT_ERROR_INIT;
    if (poll != Py_None && Py_TYPE(poll) != (PyTypeObject *)state->poll_type) {
        PyErr_SetString(PyExc_TypeError, "claim() takes a Poll or None");
        return NULL;
    }
    if (!self->claimed && !computes(self)) {
        return NULL;
    }
    ckit_status st = self->claimed ? self->answer : begin_claim(self, poll, &err);
    self->answer = st;
    if (st == CKIT_PENDING) {
        Py_RETURN_NONE;
    }
    if (st != CKIT_COMPUTE) {
        core_operation_drop(self);
    }
    return st >= CKIT_E_FIRST ? core_raise(state, &err) : PyBool_FromLong(st == CKIT_COMPUTE);
}

static PyObject *move_here(PyObject *object, PyObject *unused) {
    core_operation *self = core_operation_of(object);
    (void)unused;
    if (self->op != NULL) {
        ckit_op_move_here(self->op);
    }
    Py_RETURN_NONE;
}

static PyObject *drop(PyObject *object, PyObject *unused) {
    (void)unused;
    core_operation_drop(core_operation_of(object));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"advance", advance, METH_VARARGS,
     "advance(poll, computing): \"value\" (take it), \"compute\" (run the function), \"pending\" (set `wake`, and "
     "again "
     "when it is done) or \"uncached\"."},
    {"take", take, METH_NOARGS, "take(): the value, once."},
    {"finish", finish, METH_O,
     "finish(result): keeps the result. Raises when it cannot be kept; the operation is over."},
    {"settle", settle, METH_O,
     "settle(result): the same, and says why a result cannot be kept. True while it is on its way to the store."},
    {"overdue", overdue, METH_O, "overdue(hard): the caller has waited as long as its limit."},
    {"fall_back", fall_back, METH_O, "The function has failed with this exception. True: take() gives what stands in."},
    {"start_refresh", start_refresh, METH_VARARGS, "Has the stale value computed anew, with (args, kwargs)."},
    {"claim", claim, METH_O,
     "claim(poll or None): whether a refresh is to run the function. None: not known yet; set `wake`, and again when "
     "it is "
     "done."},
    {"fail", fail, METH_NOARGS, "The function has failed: a call that waits takes over."},
    {"move_here", move_here, METH_NOARGS, "This thread is going to run the function, not the one that began."},
    {"drop", drop, METH_NOARGS, "Nobody is interested any more: a call that waits takes over."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"function", T_OBJECT, offsetof(core_operation, function), READONLY, "The CachedFunction that was called."},
    {"wake", T_OBJECT, offsetof(core_operation, wake), 0, "The future that waits for the next answer."},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, SLOT(operation_dealloc)},
                              {Py_tp_traverse, SLOT(operation_traverse)},
                              {Py_tp_clear, SLOT(operation_clear)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_doc, "A call in progress, or a result that is owed to the cache."},
                              {0, NULL}};

static PyType_Spec spec = {"cachekit._core.Operation", (int)sizeof(core_operation), 0, CORE_HIDDEN_TYPE, slots};

int core_operation_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->operation_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (state->operation_type == NULL) {
        return -1;
    }
#if PY_VERSION_HEX < 0x030a0000
    ((PyTypeObject *)state->operation_type)->tp_new = NULL;
#endif
    return PyModule_AddType(module, (PyTypeObject *)state->operation_type);
}
