/* args.c - from the arguments of a Python call to the packed arguments of a key.
 *
 * The order in which types are looked at is part of the format: a dict is a dict whatever else it is, then lists and
 * tuples, floats, paths, UUIDs, Decimals, enum members, datetimes and numpy arrays, subclasses included. Plain values
 * come last there and first here: no exact built-in type is any of the others. */
#include "args_pack.h"

#include <math.h>
#include <string.h>

/* From this depth on the interpreter is asked whether its stack has room; what is above it never is much. */
#define CHECKED_DEPTH 16

static int pack(packer *p, PyObject *object);

/* ---- plain values ---------------------------------------------------------------------------------------- */

static int pack_long_int(packer *p, PyObject *object) {
    int             overflow;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) {
        ckit_args_int(p->args, value);
        return value == -1 && PyErr_Occurred() ? -1 : 0;
    }
    if (overflow > 0) {
        const unsigned long long large = PyLong_AsUnsignedLongLong(object);
        if (large != (unsigned long long)-1 || !PyErr_Occurred()) {
            ckit_args_uint(p->args, large);
            return 0;
        }
        PyErr_Clear();
    }
    return refuse(p, PyExc_OverflowError, "an integer outside -2**63 to 2**64-1; pass it as text, str(value)");
}

static inline int pack_int(packer *p, PyObject *object) {
#if PY_VERSION_HEX >= 0x030c0000
    if (PyUnstable_Long_IsCompact((PyLongObject *)object)) {
        ckit_args_int(p->args, PyUnstable_Long_CompactValue((PyLongObject *)object));
        return 0;
    }
#endif
    return pack_long_int(p, object);
}

static int refuse_size(const packer *p) {
    return refuse(p, PyExc_OverflowError, "more than 2**30 bytes; pass an identifier or a digest of it");
}

static int utf8_of(const packer *p, PyObject *text, ckit_slice *utf8) {
    Py_ssize_t  size;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size);
    if (bytes == NULL) {
        return -1;
    }
    *utf8 = ckit_slice_of(bytes, (size_t)size);
    return utf8->len <= CKIT_ARGS_MAX_BYTES ? 0 : refuse_size(p);
}

static int pack_str(packer *p, PyObject *object) {
    ckit_slice utf8;
    if (utf8_of(p, object, &utf8) < 0) {
        return -1;
    }
    ckit_args_str(p->args, utf8);
    return 0;
}

static int pack_bytes(packer *p, PyObject *object) {
    const size_t size = (size_t)PyBytes_GET_SIZE(object);
    if (size > CKIT_ARGS_MAX_BYTES) {
        return refuse_size(p);
    }
    ckit_args_bytes(p->args, ckit_slice_of(PyBytes_AS_STRING(object), size));
    return 0;
}

/* The types that can be keys of a dict as well. 1: it was none of them. */
static inline int pack_plain(packer *p, PyObject *object) {
    const PyTypeObject *const type = Py_TYPE(object);
    if (type == &PyUnicode_Type) {
        return pack_str(p, object);
    }
    if (type == &PyLong_Type) {
        return pack_int(p, object);
    }
    if (object == Py_None) {
        ckit_args_nil(p->args);
    } else if (type == &PyBool_Type) {
        ckit_args_bool(p->args, object == Py_True);
    } else if (type == &PyFloat_Type) {
        ckit_args_double(p->args, PyFloat_AS_DOUBLE(object));
    } else if (type == &PyBytes_Type) {
        return pack_bytes(p, object);
    } else {
        return 1;
    }
    return 0;
}

/* ---- containers ------------------------------------------------------------------------------------------ */

/* The first failure of the library that no check here foresees ends the walk, which may be long. */
static int check_library(const packer *p) {
    const ckit_status st = ckit_args_failure(p->args);
    switch (st) {
    case CKIT_OK: return 0;
    case CKIT_E_NO_MEMORY: PyErr_NoMemory(); return -1;
    case CKIT_E_TOO_LARGE: return refuse(p, PyExc_OverflowError, "more than 2**30 bytes with those before it");
    default: return refuse(p, PyExc_TypeError, "%s", ckit_status_text(st));
    }
}

/* Also counts enum members, whose values may be anything. */
static int enter(packer *p, PyObject *container) {
    if (p->depth >= CKIT_ARGS_MAX_DEPTH) {
        return refuse(p, PyExc_RecursionError, "more than %d lists, tuples and dicts inside each other, or itself",
                      CKIT_ARGS_MAX_DEPTH);
    }
    if (p->depth >= CHECKED_DEPTH && Py_EnterRecursiveCall(" while making a cache key") != 0) {
        return -1;
    }
    p->depth++;
    Py_INCREF(container); /* Python code that runs for one of the values may drop it */
    return 0;
}

static int leave(packer *p, PyObject *container, int result) {
    Py_DECREF(container);
    if (--p->depth >= CHECKED_DEPTH) {
        Py_LeaveRecursiveCall();
    }
    return result;
}

static int pack_tuple(packer *p, PyObject *tuple) {
    const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    if (count > UINT32_MAX) {
        return refuse_size(p);
    }
    ckit_args_array(p->args, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (pack(p, PyTuple_GET_ITEM(tuple, i)) < 0) {
            return -1;
        }
    }
    return check_library(p);
}

static int refuse_change(const char *type) {
    PyErr_Format(PyExc_RuntimeError, "a %s was changed while a cache key was made from it", type);
    return -1;
}

static int pack_list(packer *p, PyObject *list) {
    const Py_ssize_t count = PyList_GET_SIZE(list);
    if (count > UINT32_MAX) {
        return refuse_size(p);
    }
    ckit_args_array(p->args, (uint32_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (pack(p, PyList_GET_ITEM(list, i)) < 0) {
            return -1;
        }
        if (PyList_GET_SIZE(list) != count) {
            return refuse_change("list");
        }
    }
    return check_library(p);
}

/* Keys of one kind can be compared with each other, and so be brought into an order. */
typedef enum key_kind { KEY_TEXT, KEY_NUMBER, KEY_BYTES, KEY_ALONE } key_kind;

static key_kind kind_of(PyObject *key) {
    if (PyUnicode_CheckExact(key)) {
        return KEY_TEXT;
    }
    if (PyFloat_CheckExact(key)) {
        return isnan(PyFloat_AS_DOUBLE(key)) ? KEY_ALONE : KEY_NUMBER;
    }
    return PyLong_CheckExact(key) || PyBool_Check(key) ? KEY_NUMBER : PyBytes_CheckExact(key) ? KEY_BYTES : KEY_ALONE;
}

static int pack_key(packer *p, PyObject *key) {
    const int result = pack_plain(p, key);
    return result <= 0 ? result
                       : refuse(p, PyExc_TypeError,
                                "a dict with a key of type '%.100s'; keys must be exactly str, int, float, bool, bytes "
                                "or None; convert them, e.g. {str(k): v for k, v in value.items()}",
                                Py_TYPE(key)->tp_name);
}

static int pack_dict(packer *p, PyObject *dict) {
    const Py_ssize_t count = PyDict_GET_SIZE(dict);
    if (count > UINT32_MAX) {
        return refuse_size(p);
    }
    ckit_args_map(p->args, (uint32_t)count);
    Py_ssize_t at = 0, done = 0;
    PyObject  *key, *value;
    key_kind   kind = KEY_ALONE;
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (done == count) {
            return refuse_change("dict");
        }
        if (done++ == 0) {
            kind = kind_of(key);
        }
        if (count > 1 && (kind == KEY_ALONE || kind_of(key) != kind) && pack_key(p, key) == 0) {
            return refuse(p, PyExc_TypeError,
                          "a dict whose keys cannot be sorted: all must be text, all numbers (not NaN), or all bytes");
        }
        if (pack_key(p, key) < 0 || pack(p, value) < 0) {
            return -1;
        }
        if (PyDict_GET_SIZE(dict) != count) {
            return refuse_change("dict");
        }
    }
    return done == count ? check_library(p) : refuse_change("dict");
}

/* ---- everything else ------------------------------------------------------------------------------------- */

/* The text that a call into Python returned, which is given up; NULL with an exception is passed on. */
static int pack_text_of(packer *p, PyObject *text) {
    if (text == NULL) {
        return -1;
    }
    const int result = PyUnicode_Check(text) ? pack_str(p, text)
                                             : refuse(p, PyExc_TypeError, "an object whose text is a '%.100s'",
                                                      Py_TYPE(text)->tp_name);
    Py_DECREF(text);
    return result;
}

static int pack_uuid(packer *p, PyObject *uuid) {
    if ((PyObject *)Py_TYPE(uuid) != p->state->uuid_type) {
        return pack_text_of(p, PyObject_Str(uuid));
    }
    PyObject *bytes = PyObject_GetAttrString(uuid, "bytes");
    if (bytes == NULL) {
        return -1;
    }
    int result = 0;
    if (PyBytes_Check(bytes) && PyBytes_GET_SIZE(bytes) == 16) {
        ckit_args_uuid(p->args, (const uint8_t *)PyBytes_AS_STRING(bytes));
    } else {
        result = refuse(p, PyExc_TypeError, "a UUID that is not 16 bytes long");
    }
    Py_DECREF(bytes);
    return result;
}

/* The text of a Decimal depends on the current context in one thing, "1E+2" or "1e+2"; keys must not. */
static int pack_decimal(packer *p, PyObject *decimal) {
    PyObject *text = PyObject_Str(decimal);
    if (text == NULL) {
        return -1;
    }
    ckit_slice utf8;
    int        result = utf8_of(p, text, &utf8);
    if (result == 0 && memchr(utf8.ptr, 'e', utf8.len) != NULL) {
        ckit_args_decimal(p->args, utf8);
    } else if (result == 0) {
        ckit_args_str(p->args, utf8);
    }
    Py_DECREF(text);
    return result;
}

static int pack_enum(packer *p, PyObject *member) {
    PyObject *value = PyObject_GetAttrString(member, "value");
    if (value == NULL) {
        return -1;
    }
    const int result = enter(p, member) < 0 ? -1 : leave(p, member, pack(p, value));
    Py_DECREF(value);
    return result;
}

static int pack_datetime(packer *p, PyObject *datetime) {
    PyObject *offset = PyObject_CallMethod(datetime, "utcoffset", NULL);
    if (offset == NULL) {
        return -1;
    }
    Py_DECREF(offset);
    if (offset == Py_None) {
        return refuse(p, PyExc_TypeError,
                      "a datetime without a time zone, which is another moment on another machine; attach one, e.g. "
                      "value.replace(tzinfo=timezone.utc)");
    }
    return pack_text_of(p, PyObject_CallMethod(datetime, "isoformat", NULL));
}

static int is_a(PyObject *object, PyObject *type) { return PyObject_TypeCheck(object, (PyTypeObject *)type); }

static int pack_other(packer *p, PyObject *object) {
    const core_state *state = p->state;
    if (PyFloat_Check(object)) {
        const double value = PyFloat_AS_DOUBLE(object);
        if (value < 0 || value > 0 || isnan(value)) {
            return refuse_type(p, object);
        }
        ckit_args_double(p->args, 0.0);
        return 0;
    }
    if (is_a(object, state->pure_path_type)) {
        return pack_text_of(p, PyObject_CallMethod(object, "as_posix", NULL));
    }
    if (is_a(object, state->uuid_type)) {
        return pack_uuid(p, object);
    }
    if (is_a(object, state->decimal_type)) {
        return pack_decimal(p, object);
    }
    if (is_a(object, state->enum_type)) {
        return pack_enum(p, object);
    }
    if (is_a(object, state->datetime_type)) {
        return pack_datetime(p, object);
    }
    return is_numpy_array(object) ? pack_numpy_array(p, object) : refuse_type(p, object);
}

static int pack_compound(packer *p, PyObject *object) {
    int (*const pack_it)(packer *, PyObject *) = PyDict_Check(object)    ? pack_dict
                                                 : PyList_Check(object)  ? pack_list
                                                 : PyTuple_Check(object) ? pack_tuple
                                                                         : NULL;
    if (pack_it != NULL) {
        return enter(p, object) < 0 ? -1 : leave(p, object, pack_it(p, object));
    }
    Py_INCREF(object);
    const int result = pack_other(p, object);
    Py_DECREF(object);
    return result;
}

static int pack(packer *p, PyObject *object) {
    const int result = pack_plain(p, object);
    return result <= 0 ? result : pack_compound(p, object);
}

/* ---- the call -------------------------------------------------------------------------------------------- */

static int pack_keywords(packer *p, PyObject *const *values, PyObject *names) {
    const Py_ssize_t count = PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < count; i++) {
        ckit_slice name;
        p->keyword = PyTuple_GET_ITEM(names, i);
        if (utf8_of(p, p->keyword, &name) < 0) {
            return -1;
        }
        ckit_args_keyword(p->args, name);
        if (pack(p, values[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

int core_pack_args(core_state *state, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                   PyObject *names) {
    packer p = {.state = state, .args = args};
    for (; p.position < positional; p.position++) {
        if (pack(&p, values[p.position]) < 0) {
            return -1;
        }
    }
    if (names != NULL && pack_keywords(&p, values + positional, names) < 0) {
        return -1;
    }
    return check_library(&p);
}
