/* interop_put.c - values of Python as arguments of interop mode. Types are looked at in the order of the released
 * package: built-in types and their subclasses, then what is none (a member of an enumeration of integers is an
 * integer). */
#include "interop_parts.h"
#include "values_parts.h"

/* ---- arguments ----------------------------------------------------------------------------------------------- */

static int refuse(const interop_packing *p, const char *format, ...) {
    va_list list;
    va_start(list, format);
    PyObject *why = PyUnicode_FromFormatV(format, list);
    va_end(list);
    PyObject *text = NULL;
    if (why != NULL && p->name != NULL) {
        text = PyUnicode_FromFormat("argument '%U' cannot be part of a key that all languages share: %U", p->name, why);
    } else if (why != NULL) {
        text = PyUnicode_FromFormat("argument %u cannot be part of a key that all languages share: %U",
                                    (unsigned)p->args->count + 1, why);
    }
    Py_XDECREF(why);
    (void)interop_raise(p->state, text, CKIT_E_KEY_ARGUMENT);
    return -1;
}

static int put_int(interop_packing *p, PyObject *object) {
    int             overflow;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) {
        ckit_interop_args_int(p->args, value);
        return value == -1 && PyErr_Occurred() ? -1 : 0;
    }
    const unsigned long long large = overflow > 0 ? PyLong_AsUnsignedLongLong(object) : (unsigned long long)-1;
    if (large != (unsigned long long)-1 || (overflow > 0 && !PyErr_Occurred())) {
        ckit_interop_args_uint(p->args, large);
        return 0;
    }
    PyErr_Clear();
    return refuse(p, "an integer outside -2**63 to 2**64-1; pass it as text, str(value)");
}

static int put_double(interop_packing *p, double value) {
    if (!Py_IS_FINITE(value)) {
        return refuse(p, "a float that is %s", Py_IS_NAN(value) ? "not a number (NaN)" : "infinite");
    }
    ckit_interop_args_double(p->args, value);
    return 0;
}

int interop_put_text(interop_packing *p, PyObject *text) {
    Py_ssize_t  len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);
    if (utf8 == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        return refuse(p, "text with a lone surrogate, which has no UTF-8 form");
    }
    if (utf8 == NULL) {
        return -1;
    }
    ckit_interop_args_str(p->args, ckit_slice_of(utf8, (size_t)len));
    return 0;
}

/* The text that a call into Python returned, which is given up; NULL with an exception is passed on. */
static int put_text_of(interop_packing *p, PyObject *text) {
    int put = -1;
    if (text != NULL) {
        put = PyUnicode_Check(text) ? interop_put_text(p, text)
                                    : refuse(p, "an object whose text is a '%.100s'", Py_TYPE(text)->tp_name);
        Py_DECREF(text);
    }
    return put;
}

static int put_bytes(interop_packing *p, const char *bytes, Py_ssize_t len) {
    ckit_interop_args_bytes(p->args, ckit_slice_of(bytes, (size_t)len));
    return 0;
}

static int enter(interop_packing *p, PyObject *container) {
    if (p->depth >= CKIT_INTEROP_ARGS_MAX_DEPTH) {
        return refuse(p, "more than %d containers inside each other, or one in itself", CKIT_INTEROP_ARGS_MAX_DEPTH);
    }
    if (Py_EnterRecursiveCall(" while making a cache key") != 0) {
        return -1;
    }
    p->depth++;
    Py_INCREF(container);
    return 0;
}

static int leave(interop_packing *p, PyObject *container, int result) {
    Py_DECREF(container);
    p->depth--;
    Py_LeaveRecursiveCall();
    return result;
}

int interop_put_items(interop_packing *p, PyObject *sequence) {
    const Py_ssize_t count = Py_SIZE(sequence);
    const bool       list = PyList_Check(sequence) != 0;
    int              result = 0;
    for (Py_ssize_t i = 0; i < count && result == 0; i++) {
        if (list && PyList_GET_SIZE(sequence) != count) {
            PyErr_SetString(PyExc_RuntimeError, "a list was changed while a cache key was made from it");
            return -1;
        }
        PyObject *item = list ? PyList_GET_ITEM(sequence, i) : PyTuple_GET_ITEM(sequence, i);
        Py_INCREF(item);
        result = interop_put_value(p, item);
        Py_DECREF(item);
    }
    return result;
}

static int put_sequence(interop_packing *p, PyObject *sequence) {
    if (enter(p, sequence) < 0) {
        return -1;
    }
    ckit_interop_args_array(p->args, (uint32_t)Py_SIZE(sequence));
    return leave(p, sequence, interop_put_items(p, sequence));
}

static int put_set(interop_packing *p, PyObject *set) {
    PyObject *elements = PySequence_Tuple(set);
    int       result = -1;
    if (elements != NULL && enter(p, set) == 0) {
        ckit_interop_args_set(p->args, (uint32_t)PyTuple_GET_SIZE(elements));
        result = leave(p, set, interop_put_items(p, elements));
    }
    Py_XDECREF(elements);
    return result;
}

static int put_pairs(interop_packing *p, PyObject *items) {
    int result = 0;
    ckit_interop_args_map(p->args, (uint32_t)PyList_GET_SIZE(items));
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items) && result == 0; i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "items() of a dict's subclass gave something that is no pair");
            return -1;
        }
        PyObject *key = PyTuple_GET_ITEM(pair, 0);
        result = PyUnicode_Check(key)
                     ? interop_put_text(p, key)
                     : refuse(p, "a map with a key of type '%.100s'; keys are text", Py_TYPE(key)->tp_name);
        result = result == 0 ? interop_put_value(p, PyTuple_GET_ITEM(pair, 1)) : result;
    }
    return result;
}

static int put_dict(interop_packing *p, PyObject *dict) {
    PyObject *items = PyMapping_Items(dict); /* a list of its own */
    int       result = -1;
    if (items != NULL && enter(p, dict) == 0) {
        result = leave(p, dict, put_pairs(p, items));
    }
    Py_XDECREF(items);
    return result;
}

/* ---- moments --------------------------------------------------------------------------------------------------- */

/* An attribute of a datetime or a timedelta, which is a number. */
static bool number_of(PyObject *object, const char *name, long *number) {
    PyObject *value = PyObject_GetAttrString(object, name);
    *number = value == NULL ? -1 : PyLong_AsLong(value);
    Py_XDECREF(value);
    return !PyErr_Occurred();
}

static bool read_fields(PyObject *object, ckit_datetime *out) {
    long year, month, day, hour, minute, second, microsecond;
    if (!number_of(object, "year", &year) || !number_of(object, "month", &month) || !number_of(object, "day", &day) ||
        !number_of(object, "hour", &hour) || !number_of(object, "minute", &minute) ||
        !number_of(object, "second", &second) || !number_of(object, "microsecond", &microsecond)) {
        return false;
    }
    *out = (ckit_datetime){.year = (uint16_t)year,
                           .month = (uint8_t)month,
                           .day = (uint8_t)day,
                           .hour = (uint8_t)hour,
                           .minute = (uint8_t)minute,
                           .second = (uint8_t)second,
                           .microsecond = (uint32_t)microsecond,
                           .has_offset = true};
    return true;
}

/* Offsets have seconds in the library, and may have fractions of them in Python: those are taken from the time of
 * day. */
static bool take_offset(PyObject *offset, ckit_datetime *value) {
    long days, seconds, microseconds;
    if (!number_of(offset, "days", &days) || !number_of(offset, "seconds", &seconds) ||
        !number_of(offset, "microseconds", &microseconds)) {
        return false;
    }
    value->offset_seconds = (int32_t)(days * 86400 + seconds);
    if ((long)value->microsecond < microseconds) {
        value->microsecond += 1000000;
        value->offset_seconds++;
    }
    value->microsecond -= (uint32_t)microseconds;
    return true;
}

static int put_datetime(interop_packing *p, PyObject *object) {
    ckit_datetime value;
    PyObject     *offset = PyObject_CallMethodNoArgs(object, p->state->name_utcoffset);
    int           result = -1;
    if (offset == Py_None) {
        result = refuse(p, "a datetime without a time zone, which is no moment; attach one, e.g. "
                           "value.replace(tzinfo=timezone.utc)");
    } else if (offset != NULL && read_fields(object, &value) && take_offset(offset, &value)) {
        ckit_interop_args_datetime(p->args, &value);
        result = 0;
    }
    Py_XDECREF(offset);
    return result;
}

static int put_uuid(interop_packing *p, PyObject *uuid) {
    PyObject *bytes = PyObject_GetAttr(uuid, p->state->name_bytes);
    int       result = -1;
    if (bytes != NULL && PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == 16) {
        ckit_interop_args_uuid(p->args, (const uint8_t *)PyBytes_AS_STRING(bytes));
        result = 0;
    } else if (bytes != NULL) {
        result = refuse(p, "a UUID that is not 16 bytes long");
    }
    Py_XDECREF(bytes);
    return result;
}

static int put_enum(interop_packing *p, PyObject *member) {
    PyObject *value = PyObject_GetAttr(member, p->state->name_value);
    int       result = -1;
    if (value != NULL && enter(p, member) == 0) {
        result = leave(p, member, interop_put_value(p, value));
    }
    Py_XDECREF(value);
    return result;
}

static int put_path(interop_packing *p, PyObject *path) {
    return put_text_of(p, PyObject_CallMethodNoArgs(path, p->state->name_as_posix));
}

static int put_decimal(interop_packing *p, PyObject *decimal) { return put_text_of(p, PyObject_Str(decimal)); }

/* ---- any argument ---------------------------------------------------------------------------------------------- */

static const char *advice_for(const interop_packing *p, PyObject *object) {
    const core_values *values = core_values_of(p->state);
    if (values != NULL && core_temporal_kind(values, object) != CORE_MARKERS) {
        return "pass value.isoformat(), or a datetime with a time zone";
    }
    if (PyMemoryView_Check(object)) {
        return "pass bytes(value)";
    }
    return "the model has None, bool, int, float, str, bytes, list, tuple, dict, set, datetimes with a time zone and "
           "UUID; "
           "for numbers of numpy pass value.item()";
}

static const struct {
    core_late_type type;
    int (*put)(interop_packing *p, PyObject *object);
} lates[] = {{CORE_UUID, put_uuid}, {CORE_ENUM, put_enum}, {CORE_PURE_PATH, put_path}, {CORE_DECIMAL, put_decimal}};

/* What is no built-in type and no subclass of one. */
static int put_late(interop_packing *p, PyObject *object) {
    if (PyObject_TypeCheck(object, (PyTypeObject *)p->state->datetime_type)) {
        return put_datetime(p, object);
    }
    for (size_t i = 0; i < sizeof lates / sizeof *lates; i++) {
        const int is = core_is(p->state, lates[i].type, object);
        if (is != 0) {
            return is < 0 ? -1 : lates[i].put(p, object);
        }
    }
    return refuse(p, "an object of type '%.200s'; %s", Py_TYPE(object)->tp_name, advice_for(p, object));
}

static int put_other(interop_packing *p, PyObject *object) {
    return PyLong_Check(object)        ? put_int(p, object)
           : PyFloat_Check(object)     ? put_double(p, PyFloat_AS_DOUBLE(object))
           : PyUnicode_Check(object)   ? interop_put_text(p, object)
           : PyBytes_Check(object)     ? put_bytes(p, PyBytes_AS_STRING(object), Py_SIZE(object))
           : PyByteArray_Check(object) ? put_bytes(p, PyByteArray_AS_STRING(object), Py_SIZE(object))
           : PyAnySet_Check(object)    ? put_set(p, object)
           : PyList_Check(object) || PyTuple_Check(object) ? put_sequence(p, object)
           : PyDict_Check(object)                          ? put_dict(p, object)
                                                           : put_late(p, object);
}

int interop_put_value(interop_packing *p, PyObject *object) {
    const PyTypeObject *type = Py_TYPE(object);
    if (type == &PyUnicode_Type) {
        return interop_put_text(p, object);
    }
    if (type == &PyLong_Type) {
        return put_int(p, object);
    }
    if (object == Py_None) {
        ckit_interop_args_nil(p->args);
        return 0;
    }
    if (type == &PyBool_Type) {
        ckit_interop_args_bool(p->args, object == Py_True);
        return 0;
    }
    if (type == &PyFloat_Type) {
        return put_double(p, PyFloat_AS_DOUBLE(object));
    }
    if (type == &PyDict_Type) {
        return put_dict(p, object);
    }
    return type == &PyList_Type || type == &PyTuple_Type ? put_sequence(p, object) : put_other(p, object);
}
