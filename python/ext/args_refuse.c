/* args_refuse.c - what is said about arguments that cannot be part of a key, and what to pass instead. */
#include "args_pack.h"

#include <string.h>

uint8_t *refuse(const packer *p, PyObject *exception, const char *format, ...) {
    va_list list;
    va_start(list, format);
    PyObject *why = PyUnicode_FromFormatV(format, list);
    va_end(list);
    if (why == NULL) {
        return NULL;
    }
    if (p->keyword != NULL) {
        PyErr_Format(exception, "argument '%U' cannot be part of a cache key: %U", p->keyword, why);
    } else {
        PyErr_Format(exception, "argument %zd cannot be part of a cache key: %U", p->position + 1, why);
    }
    Py_DECREF(why);
    return NULL;
}

uint8_t *refuse_size(const packer *p) {
    return refuse(p, PyExc_OverflowError, "the arguments take more than 2**30 bytes; pass an identifier or a digest");
}

static PyObject *attribute(PyObject *object, const char *name) {
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *value = interned == NULL ? NULL : PyObject_GetAttr(object, interned);
    Py_XDECREF(interned);
    return value;
}

/* The full name of the object's type, as a new str; NULL with an exception. */
static PyObject *name_of_type(PyObject *object) {
    PyObject *type = (PyObject *)Py_TYPE(object);
    PyObject *module = attribute(type, "__module__");
    PyObject *name = module == NULL ? NULL : attribute(type, "__qualname__");
    PyObject *full = NULL;
    if (name != NULL) {
        full = PyUnicode_Check(module) && PyUnicode_CompareWithASCIIString(module, "builtins") != 0
                   ? PyUnicode_FromFormat("%U.%S", module, name)
                   : PyObject_Str(name);
    }
    Py_XDECREF(module);
    Py_XDECREF(name);
    return full;
}

static const char *const general_advice =
    "keys hold None, bool, int, float, str, bytes, list, tuple, dict, paths, UUID, Decimal, enum members, datetimes "
    "with a time zone and one-dimensional numpy arrays; pass an identifier of it instead, or name the entry with key=";

/* The full name of a type, or its beginning up to a dot, and what to do. */
static const struct advice {
    const char *type;
    const char *text;
} advices[] = {
    {"set", "its order is not fixed; pass sorted(value), a list"},
    {"frozenset", "its order is not fixed; pass sorted(value), a list"},
    {"bytearray", "pass bytes(value)"},
    {"memoryview", "pass bytes(value)"},
    {"complex", "pass (value.real, value.imag)"},
    {"range", "pass (value.start, value.stop, value.step)"},
    {"datetime.date", "pass value.isoformat()"},
    {"datetime.time", "pass value.isoformat()"},
    {"datetime.timedelta", "pass value.total_seconds()"},
    {"numpy.ndarray", "pass a one-dimensional array of int32, int64, float32 or float64"},
    {"numpy.", "pass a plain number, value.item(), or numpy.asarray(value)"},
    {"pandas.", "its content does not make a stable key; pass an identifier of it, or name the entry with key="},
    {"polars.", "its content does not make a stable key; pass an identifier of it, or name the entry with key="},
    {"pyarrow.", "its content does not make a stable key; pass an identifier of it, or name the entry with key="},
};

static const char *advice_for(const char *type) {
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        const char  *known = advices[i].type;
        const size_t len = strlen(known);
        if (known[len - 1] == '.' ? strncmp(type, known, len) == 0 : strcmp(type, known) == 0) {
            return advices[i].text;
        }
    }
    return general_advice;
}

/* Subclasses of plain types mean something of their own, and what a key would make of them is not theirs to say. */
static const char *plain_base(PyObject *object) {
    return PyLong_Check(object)      ? "int"
           : PyUnicode_Check(object) ? "str"
           : PyBytes_Check(object)   ? "bytes"
           : PyFloat_Check(object)   ? "float"
                                     : NULL;
}

uint8_t *refuse_type(const packer *p, PyObject *object) {
    PyObject *full = name_of_type(object);
    if (full == NULL) {
        return NULL;
    }
    const char *base = plain_base(object);
    if (base != NULL) {
        (void)refuse(p, PyExc_TypeError, "a '%U', which is a subclass of %s; pass %s(value)", full, base, base);
    } else {
        const char *name = PyUnicode_AsUTF8(full);
        if (name != NULL) {
            (void)refuse(p, PyExc_TypeError, "an object of type '%U'; %s", full, advice_for(name));
        }
    }
    Py_DECREF(full);
    return NULL;
}
