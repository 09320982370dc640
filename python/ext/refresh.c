/* A stale value was served: a fresh one is computed in the background, by whoever refresh= gives the ticket to. */
#include "call.h"
#include "operation.h"

int core_refresh_with(core_function *f, ckit_op *op, ckit_args *packed, PyObject *const *values, size_t count,
                      PyObject *names) {
    PyObject *args = NULL, *kwargs = NULL, *answer = NULL;
    PyObject *operation = core_operation_new(f, op, packed);
    if (operation != NULL && core_gather(values, PyVectorcall_NARGS(count), names, &args, &kwargs) == 0) {
        bool      is_method = f->first == CORE_FIRST_IDENTITY || f->first == CORE_FIRST_NAMED;
        PyObject *receiver = is_method ? Py_True : Py_False;
        answer = PyObject_CallFunctionObjArgs(f->refresh, operation, args, kwargs, receiver, NULL);
    }
    if (operation != NULL && answer != Py_True) { /* also when an exception keeps the ticket alive */
        core_operation_give_up(operation);
    }
    Py_XDECREF(answer);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(operation);
    return answer == NULL ? -1 : 0;
}

int core_refresh(core_function *f, ckit_args *args, PyObject *const *values, size_t count, PyObject *names) {
    ckit_start start = {.struct_size = sizeof start, .function = f->function, .args = args, .stale = true};
    ckit_value none = CKIT_VALUE_INIT;
    ckit_op   *op = NULL;
    if (f->refresh == Py_None) {
        return 0;
    }
    /* The interpreter is not let go: nothing waits here, and getting it back could take long. */
    (void)ckit_begin(&start, &op, &none, NULL);
    return op == NULL ? 0 : core_refresh_with(f, op, args, values, count, names);
}

/* Other interpreters than the first cannot end while they have threads. */
int core_refresh_exec(PyObject *module) {
    long      first = PyInterpreterState_Get() == PyInterpreterState_Main();
    PyObject *truth = PyBool_FromLong(first);
    if (PyModule_AddObject(module, "is_main_interpreter", truth) < 0) {
        Py_DECREF(truth);
        return -1;
    }
    return 0;
}
