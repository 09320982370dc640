/* A result that is owed: finished with a value, or given up, at the latest when the object dies. */
#include "operation.h"

static void give_up(ckit_op *op) {
    Py_BEGIN_ALLOW_THREADS;
    ckit_op_free(op);
    Py_END_ALLOW_THREADS;
}

PyObject *core_operation_new(core_function *f, ckit_op *op, ckit_args *args) {
    PyTypeObject   *type = (PyTypeObject *)f->state->operation_type;
    core_operation *self = (core_operation *)type->tp_alloc(type, 0);
    if (self == NULL) {
        give_up(op);
        return NULL;
    }
    Py_INCREF(f);
    self->function = f;
    self->op = op;
    self->tie = core_function_tie(f, args);
    return (PyObject *)self;
}

static ckit_op *take_op(core_operation *self) {
    ckit_op *op = self->op;
    self->op = NULL;
    if (op == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this operation has been finished");
    }
    return op;
}

static PyObject *finish(PyObject *object, PyObject *result) {
    core_operation *self = (core_operation *)object;
    ckit_op        *op = take_op(self);
    if (op == NULL) {
        return NULL;
    }
    core_tie *tie = self->tie;
    self->tie = NULL;
    int given = core_function_give(self->function, op, tie, result);
    if (given < 0) {
        core_function_fail(op);
    }
    give_up(op);
    core_bury(self->function->cache);
    if (given < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

void core_operation_give_up(PyObject *operation) {
    core_operation *self = (core_operation *)operation;
    ckit_op        *op = self->op;
    self->op = NULL;
    if (op != NULL) {
        give_up(op);
    }
}

static PyObject *fail(PyObject *object, PyObject *unused) {
    ckit_op *op = take_op((core_operation *)object);
    (void)unused;
    if (op == NULL) {
        return NULL;
    }
    core_function_fail(op);
    give_up(op);
    Py_RETURN_NONE;
}

static PyObject *move_here(PyObject *object, PyObject *unused) {
    core_operation *self = (core_operation *)object;
    (void)unused;
    if (self->op != NULL) {
        ckit_op_move_here(self->op);
    }
    Py_RETURN_NONE;
}

static void operation_dealloc(PyObject *object) {
    core_operation *self = (core_operation *)object;
    PyTypeObject   *type = Py_TYPE(object);
    core_operation_give_up(object);
    core_function_tie_free(self->tie);
    Py_XDECREF(self->function);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"finish", finish, METH_O,
     "finish(result): keeps the result. Raises when it cannot be kept; the operation is over."},
    {"fail", fail, METH_NOARGS, "The function has failed: a call that waits takes over."},
    {"move_here", move_here, METH_NOARGS, "This thread is going to run the function, not the one that began."},
    {NULL, NULL, 0, NULL}};

#define SLOT(function) ((void *)(uintptr_t)(function))

static PyType_Slot slots[] = {{Py_tp_dealloc, SLOT(operation_dealloc)},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "A result that is owed to the cache."},
                              {0, NULL}};

#if PY_VERSION_HEX >= 0x030a0000
#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#else
#define FLAGS Py_TPFLAGS_DEFAULT
#endif

static PyType_Spec spec = {"cachekit._core.Operation", (int)sizeof(core_operation), 0, FLAGS, slots};

int core_operation_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->operation_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->operation_type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)state->operation_type);
}
