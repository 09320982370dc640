/* values_write.c - Python objects as documents.
 *
 * Exact built-in types come first; instances of their subclasses are written as what they are underneath (an IntEnum as
 * its integer, a named tuple as an array), which is what they come back as. */
#include "values_parts.h"

typedef struct writing {
    core_state  *state;
    core_values *values;
    ckit_writer *w;
    PyObject    *hook;     /* NULL: standard serializer */
    bool         interop;  /* of interop mode: only the advice differs */
    bool         bare;     /* tuples are written as arrays although there is a hook: inside sets and map keys */
    uint32_t     depth;    /* containers around the next value */
    uint64_t     at_least; /* bytes that the values so far take, counted low */
    uint64_t     limit;
} writing;

/* Results of writing one value. */
#define WRITTEN 0
#define FAILED (-1)
/* The writer has failed already and ckit_writer_finish says why: what is left of the object is not looked at. */
#define ENOUGH 1

static int write_value(writing *x, PyObject *object);

/* ---- refusals -------------------------------------------------------------------------------------------- */

/* The advice is text for people and Python's to write; it is imported when the first value is refused. */
static PyObject *advice_function(core_state *state) {
    if (state->value_advice == NULL) {
        PyObject *module = PyImport_ImportModule("cachekit.serializers.advice");
        if (module == NULL) {
            return NULL;
        }
        state->value_advice = PyObject_GetAttrString(module, "value_advice");
        Py_DECREF(module);
    }
    return state->value_advice;
}

static int refuse(writing *x, PyObject *object) {
    if (x->interop) {
        PyErr_Format(
            PyExc_TypeError,
            "a result of type '%.200s' is no value that all languages share: those are None, bool, int, float, "
            "str, bytes, list, tuple, dict with text as keys, datetime, date and time",
            Py_TYPE(object)->tp_name);
        return FAILED;
    }
    PyObject *advice = advice_function(x->state);
    PyObject *text = advice == NULL ? NULL : PyObject_CallFunctionObjArgs(advice, object, NULL);
    if (text != NULL) {
        PyErr_SetObject(PyExc_TypeError, text);
        Py_DECREF(text);
    }
    return FAILED;
}

/* Counts bytes, so that an object whose parts are shared many times over does not keep the interpreter for hours. */
static inline bool fits(writing *x, size_t bytes) {
    x->at_least += bytes;
    return x->at_least <= x->limit;
}

static int too_large(writing *x) {
    ckit_writer_fail(x->w, CKIT_E_TOO_LARGE, "the value is larger than its limit");
    return ENOUGH;
}

/* ---- plain values ---------------------------------------------------------------------------------------- */

static int write_int(writing *x, PyObject *object) {
    int             overflow;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) {
        if (value == -1 && PyErr_Occurred()) {
            return FAILED;
        }
        ckit_write_int(x->w, value);
        return WRITTEN;
    }
    if (overflow > 0) {
        const unsigned long long above = PyLong_AsUnsignedLongLong(object);
        if (above != (unsigned long long)-1 || !PyErr_Occurred()) {
            ckit_write_uint(x->w, above);
            return WRITTEN;
        }
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return FAILED;
        }
        PyErr_Clear();
    }
    PyErr_SetString(PyExc_TypeError,
                    "an integer outside of -2**63 .. 2**64-1 cannot be stored: no other language could read "
                    "it. Store str(value), or value.to_bytes(...).");
    return FAILED;
}

static int bad_text(void) {
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_SetString(PyExc_TypeError,
                        "text with a lone surrogate (U+D800 to U+DFFF) has no UTF-8 form and cannot be "
                        "stored. Store text.encode('utf-8', 'surrogatepass'), or clean the text.");
    }
    return FAILED;
}

static int write_text(writing *x, PyObject *object) {
    if (PyUnicode_IS_COMPACT_ASCII(object)) {
        const size_t len = (size_t)PyUnicode_GET_LENGTH(object);
        ckit_write_str(x->w, ckit_slice_of(PyUnicode_DATA(object), len));
        return fits(x, len) ? WRITTEN : too_large(x);
    }
    /* PyUnicode_AsUTF8 would keep the bytes for as long as the caller's string lives. */
    PyObject *utf8 = PyUnicode_AsUTF8String(object);
    if (utf8 == NULL) {
        return bad_text();
    }
    const size_t len = (size_t)PyBytes_GET_SIZE(utf8);
    ckit_write_str(x->w, ckit_slice_of(PyBytes_AS_STRING(utf8), len));
    Py_DECREF(utf8);
    return fits(x, len) ? WRITTEN : too_large(x);
}

static int write_bytes(writing *x, const char *bytes, Py_ssize_t len) {
    ckit_write_bin(x->w, ckit_slice_of(bytes, (size_t)len));
    return fits(x, (size_t)len) ? WRITTEN : too_large(x);
}

static int write_memoryview(writing *x, PyObject *object) {
    PyObject *bytes = PyBytes_FromObject(object); /* whatever its strides are */
    if (bytes == NULL) {
        return FAILED;
    }
    const int result = write_bytes(x, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return result;
}

static int write_marked_text(writing *x, core_marker marker, PyObject *text) {
    ckit_write_map(x->w, 2);
    ckit_write_cstr(x->w, core_marker_names[marker]);
    ckit_write_bool(x->w, true);
    ckit_write_cstr(x->w, "value");
    return write_text(x, text);
}

/* ---- containers ------------------------------------------------------------------------------------------ */

static int enter(writing *x, size_t count, const char *where) {
    if (count > UINT32_MAX) {
        return too_large(x);
    }
    if (x->depth >= CKIT_MSGPACK_MAX_DEPTH) {
        PyErr_Format(PyExc_RecursionError,
                     "a value nested deeper than %d levels, or one that contains itself, cannot be stored",
                     CKIT_MSGPACK_MAX_DEPTH);
        return FAILED;
    }
    if (Py_EnterRecursiveCall(where)) {
        return FAILED;
    }
    x->depth++;
    return WRITTEN;
}

static void leave(writing *x) {
    x->depth--;
    Py_LeaveRecursiveCall();
}

static int changed(const char *what) {
    PyErr_Format(PyExc_RuntimeError, "%s changed while it was stored", what);
    return FAILED;
}

static int write_items(writing *x, PyObject *sequence, Py_ssize_t count) {
    const bool list = PyList_Check(sequence);
    int        result = fits(x, (size_t)count) ? WRITTEN : too_large(x);
    for (Py_ssize_t i = 0; result == WRITTEN && i < count; i++) {
        if (list && PyList_GET_SIZE(sequence) != count) {
            return changed("a list");
        }
        /* what is written may run Python code, which may drop the last reference */
        PyObject *item = list ? PyList_GET_ITEM(sequence, i) : PyTuple_GET_ITEM(sequence, i);
        Py_INCREF(item);
        result = write_value(x, item);
        Py_DECREF(item);
    }
    return result;
}

static int write_sequence(writing *x, PyObject *sequence) {
    const Py_ssize_t count = Py_SIZE(sequence);
    int              result = enter(x, (size_t)count, " while a list is stored");
    if (result != WRITTEN) {
        return result;
    }
    if (x->hook != NULL && !x->bare && PyTuple_Check(sequence)) {
        ckit_write_map(x->w, 2);
        ckit_write_cstr(x->w, core_marker_names[CORE_MARKER_TUPLE]);
        ckit_write_bool(x->w, true);
        ckit_write_cstr(x->w, "value");
    }
    ckit_write_array(x->w, (uint32_t)count);
    result = write_items(x, sequence, count);
    leave(x);
    return result;
}

/* A map of the user's that a reader would take for a date. */
static int check_marker(writing *x, core_marker marker, PyObject *value) {
    if (x->hook == NULL && marker >= CORE_MARKER_TEMPORAL) {
        return WRITTEN;
    }
    const int marked = x->hook == NULL ? PyObject_IsTrue(value) : value == Py_True;
    if (marked > 0) {
        PyErr_Format(PyExc_TypeError,
                     "a map with the key '%s' cannot be stored: it would come back as something else. Rename the key.",
                     core_marker_names[marker]);
    }
    return marked == 0 ? WRITTEN : FAILED;
}

static int write_pair(writing *x, PyObject *key, PyObject *value) {
    int result;
    if (PyUnicode_CheckExact(key)) {
        result = write_text(x, key);
        if (PyUnicode_IS_COMPACT_ASCII(key) && PyUnicode_GET_LENGTH(key) >= CORE_MARKER_MIN) {
            const char *name = PyUnicode_DATA(key);
            if (name[0] == '_' && name[1] == '_') {
                const core_marker marker = core_marker_of(name, (size_t)PyUnicode_GET_LENGTH(key));
                if (marker != CORE_MARKERS && check_marker(x, marker, value) != WRITTEN) {
                    return FAILED;
                }
            }
        }
    } else {
        const bool outside = x->bare;
        x->bare = true;
        result = write_value(x, key);
        x->bare = outside;
    }
    return result == WRITTEN ? write_value(x, value) : result;
}

static int write_pairs(writing *x, PyObject *dict, Py_ssize_t count) {
    int        result = fits(x, 2 * (size_t)count) ? WRITTEN : too_large(x);
    Py_ssize_t at = 0, pairs = 0;
    PyObject  *key, *value;
    while (result == WRITTEN && PyDict_Next(dict, &at, &key, &value)) {
        if (pairs++ == count) {
            return changed("a dict");
        }
        Py_INCREF(key);
        Py_INCREF(value);
        result = write_pair(x, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    return result == WRITTEN && pairs != count ? changed("a dict") : result;
}

static int write_dict(writing *x, PyObject *dict) {
    const Py_ssize_t count = PyDict_Size(dict);
    int              result = enter(x, (size_t)count, " while a dict is stored");
    if (result != WRITTEN) {
        return result;
    }
    ckit_write_map(x->w, (uint32_t)count);
    result = write_pairs(x, dict, count);
    leave(x);
    return result;
}

static int write_item_list(writing *x, PyObject *items) {
    const Py_ssize_t count = PyList_GET_SIZE(items);
    int              result = fits(x, 2 * (size_t)count) ? WRITTEN : too_large(x);
    for (Py_ssize_t i = 0; result == WRITTEN && i < count; i++) {
        if (PyList_GET_SIZE(items) != count) {
            return changed("a dict");
        }
        PyObject *item = PyList_GET_ITEM(items, i);
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
            PyErr_SetString(PyExc_TypeError, "items() of a dict's subclass gave something that is no pair");
            return FAILED;
        }
        Py_INCREF(item);
        result = write_pair(x, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1));
        Py_DECREF(item);
    }
    return result;
}

/* Subclasses are asked for their items: an OrderedDict has an order of its own. */
static int write_mapping(writing *x, PyObject *mapping) {
    PyObject *items = PyMapping_Items(mapping);
    if (items == NULL) {
        return FAILED;
    }
    int result = enter(x, (size_t)PyList_GET_SIZE(items), " while a dict is stored");
    if (result == WRITTEN) {
        ckit_write_map(x->w, (uint32_t)PyList_GET_SIZE(items));
        result = write_item_list(x, items);
        leave(x);
    }
    Py_DECREF(items);
    return result;
}

/* ---- serializer "auto" ----------------------------------------------------------------------------------- */

static int write_set(writing *x, PyObject *set) {
    PyObject *elements = PySequence_Tuple(set);
    if (elements == NULL) {
        return FAILED;
    }
    const bool outside = x->bare;
    int        result = enter(x, (size_t)PyTuple_GET_SIZE(elements), " while a set is stored");
    if (result == WRITTEN) {
        ckit_write_map(x->w, 3);
        ckit_write_cstr(x->w, core_marker_names[CORE_MARKER_SET]);
        ckit_write_bool(x->w, true);
        ckit_write_cstr(x->w, "value");
        ckit_write_array(x->w, (uint32_t)PyTuple_GET_SIZE(elements));
        x->bare = true;
        result = write_items(x, elements, PyTuple_GET_SIZE(elements));
        x->bare = outside;
        if (result == WRITTEN) {
            ckit_write_cstr(x->w, "frozen");
            ckit_write_bool(x->w, PyFrozenSet_Check(set) != 0);
        }
        leave(x);
    }
    Py_DECREF(elements);
    return result;
}

static int write_uuid(writing *x, PyObject *uuid) {
    PyObject *text = PyObject_Str(uuid);
    if (text == NULL) {
        return FAILED;
    }
    const int result = write_marked_text(x, CORE_MARKER_UUID, text);
    Py_DECREF(text);
    return result;
}

/* An array becomes a marked map of its parts, another object a simpler one. */
static int write_array_parts(writing *x, PyObject *parts) {
    PyObject  *key, *value;
    Py_ssize_t at = 0;
    int        result = WRITTEN;
    ckit_write_map(x->w, (uint32_t)PyDict_Size(parts));
    while (result == WRITTEN && PyDict_Next(parts, &at, &key, &value)) {
        if (!PyUnicode_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "the parts of an array have names");
            return FAILED;
        }
        Py_INCREF(value);
        result = write_text(x, key);
        result = result == WRITTEN ? write_value(x, value) : result;
        Py_DECREF(value);
    }
    return result;
}

static int write_hooked(writing *x, PyObject *object) {
    PyObject *plain = PyObject_CallFunctionObjArgs(x->hook, object, NULL);
    if (plain == NULL) {
        return FAILED;
    }
    int result = enter(x, 0, " while an object is stored");
    if (result == WRITTEN) {
        const bool array = PyDict_CheckExact(plain) &&
                           PyDict_GetItemWithError(plain, x->values->marker_texts[CORE_MARKER_NDARRAY]) == Py_True;
        result = PyErr_Occurred() ? FAILED : array ? write_array_parts(x, plain) : write_value(x, plain);
        leave(x);
    }
    Py_DECREF(plain);
    return result;
}

/* ---- every value ----------------------------------------------------------------------------------------- */

static int write_temporal(writing *x, core_marker kind, PyObject *object) {
    switch (core_write_temporal(x->values, x->w, kind, object)) {
    case 1: return WRITTEN;
    case 0: return x->hook != NULL ? write_hooked(x, object) : refuse(x, object);
    default: return FAILED;
    }
}

/* Subclasses and rarer types. */
static int write_other(writing *x, PyObject *object) {
    if (PyLong_Check(object)) {
        return write_int(x, object);
    }
    if (PyUnicode_Check(object)) {
        return write_text(x, object);
    }
    if (PyBytes_Check(object)) {
        return write_bytes(x, PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object));
    }
    if (PyByteArray_Check(object)) {
        return write_bytes(x, PyByteArray_AS_STRING(object), PyByteArray_GET_SIZE(object));
    }
    if (PyFloat_Check(object)) {
        ckit_write_double(x->w, PyFloat_AS_DOUBLE(object));
        return WRITTEN;
    }
    if (PyDict_Check(object)) {
        return write_mapping(x, object);
    }
    if (PyList_Check(object) || PyTuple_Check(object)) {
        return write_sequence(x, object);
    }
    if (PyMemoryView_Check(object)) {
        return write_memoryview(x, object);
    }
    const core_marker kind = core_temporal_kind(x->values, object);
    if (kind != CORE_MARKERS) {
        return write_temporal(x, kind, object);
    }
    if (x->hook == NULL) {
        return refuse(x, object);
    }
    if (PyAnySet_Check(object)) {
        return write_set(x, object);
    }
    const int uuid = core_is(x->state, CORE_UUID, object);
    return uuid < 0 ? FAILED : uuid > 0 ? write_uuid(x, object) : write_hooked(x, object);
}

static int write_value(writing *x, PyObject *object) {
    const PyTypeObject *type = Py_TYPE(object);
    if (type == &PyUnicode_Type) {
        return write_text(x, object);
    }
    if (type == &PyLong_Type) {
        return write_int(x, object);
    }
    if (object == Py_None) {
        ckit_write_nil(x->w);
        return WRITTEN;
    }
    if (type == &PyBool_Type) {
        ckit_write_bool(x->w, object == Py_True);
        return WRITTEN;
    }
    if (type == &PyFloat_Type) {
        ckit_write_double(x->w, PyFloat_AS_DOUBLE(object));
        return WRITTEN;
    }
    if (type == &PyDict_Type) {
        return write_dict(x, object);
    }
    if (type == &PyList_Type || type == &PyTuple_Type) {
        return write_sequence(x, object);
    }
    return write_other(x, object);
}

static int write_document(core_state *state, ckit_writer *w, PyObject *object, PyObject *hook, bool interop) {
    core_values *values = core_values_of(state);
    if (values == NULL) {
        return -1;
    }
    writing x = {.state = state, .values = values, .w = w, .hook = hook, .interop = interop};
    x.limit = w->max_bytes < CKIT_ENVELOPE_MAX_BYTES ? w->max_bytes : CKIT_ENVELOPE_MAX_BYTES;
    return write_value(&x, object) == FAILED ? -1 : 0;
}

int core_encode(core_state *state, ckit_writer *w, PyObject *object) {
    return write_document(state, w, object, NULL, false);
}

int core_write_interop(core_state *state, ckit_writer *w, PyObject *object) {
    return write_document(state, w, object, NULL, true);
}

int core_encode_auto(core_state *state, ckit_writer *w, PyObject *object, PyObject *hook) {
    return write_document(state, w, object, hook, false);
}
