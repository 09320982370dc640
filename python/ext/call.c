/* A call of a decorated function in other forms than a key. */
#include "call.h"

Py_ssize_t core_find_bypass_in(PyObject *names) {
    for (Py_ssize_t i = PyTuple_GET_SIZE(names); i-- > 0;) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "_bypass_cache") == 0) {
            return i;
        }
    }
    return -1;
}

static PyObject *tuple_of(PyObject *const *values, Py_ssize_t count) {
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        Py_INCREF(values[i]);
        PyTuple_SET_ITEM(tuple, i, values[i]);
    }
    return tuple;
}

/* Without the one at `but`. */
static PyObject *dict_of(PyObject *const *values, PyObject *names, Py_ssize_t but) {
    PyObject  *dict = PyDict_New();
    Py_ssize_t count = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; dict != NULL && i < count; i++) {
        if (i != but && PyDict_SetItem(dict, PyTuple_GET_ITEM(names, i), values[i]) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

PyObject *core_call_bypassing(PyObject *function, PyObject *const *values, Py_ssize_t positional, PyObject *names,
                              Py_ssize_t bypass) {
    PyObject *kwargs = dict_of(values + positional, names, bypass);
    PyObject *result = kwargs == NULL ? NULL : PyObject_VectorcallDict(function, values, (size_t)positional, kwargs);
    Py_XDECREF(kwargs);
    return result;
}

int core_gather(PyObject *const *values, Py_ssize_t positional, PyObject *names, PyObject **args, PyObject **kwargs) {
    *args = tuple_of(values, positional);
    *kwargs = *args == NULL ? NULL : dict_of(values + positional, names, -1);
    if (*kwargs == NULL) {
        Py_CLEAR(*args);
        return -1;
    }
    return 0;
}
