/* args_keys.c - keys as functions of the module: what a decorated function does on every call, for tests and for those
 * who must name an entry themselves. */
#include "args.h"

#include <datetime.h>

static PyObject *text_of_buf(const ckit_buf *buf) {
    return PyUnicode_DecodeUTF8((const char *)buf->ptr, (Py_ssize_t)buf->len, NULL);
}

static ckit_slice slice_of_text(const char *text, Py_ssize_t size) { return ckit_slice_of(text, (size_t)size); }

/* ---- arguments that come as a tuple and a dict ----------------------------------------------------------- */

/* The layout of a vectorcall: keywords behind positional arguments. Borrows from both. */
static int pack_with_keywords(core_state *state, ckit_args *args, PyObject *positional, PyObject *keywords) {
    const Py_ssize_t count = PyTuple_GET_SIZE(positional), named = PyDict_GET_SIZE(keywords);
    PyObject        *names = PyTuple_New(named), *values = PyTuple_New(count + named), *name, *value;
    int              result = -1;
    if (names == NULL || values == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(positional, i);
        Py_INCREF(item);
        PyTuple_SET_ITEM(values, i, item);
    }
    for (Py_ssize_t i = 0, at = 0; i < named; i++) {
        if (!PyDict_Next(keywords, &at, &name, &value)) { /* the collector may have run, and so any code */
            PyErr_SetString(PyExc_RuntimeError, "kwargs was changed while a key was made from it");
            goto done;
        }
        if (!PyUnicode_Check(name)) {
            PyErr_SetString(PyExc_TypeError, "keywords must be strings");
            goto done;
        }
        Py_INCREF(name);
        Py_INCREF(value);
        PyTuple_SET_ITEM(names, i, name);
        PyTuple_SET_ITEM(values, count + i, value);
    }
    result = core_pack_args(state, args, ((PyTupleObject *)values)->ob_item, count, names);
done:
    Py_XDECREF(names);
    Py_XDECREF(values);
    return result;
}

/* `packed` points into `args`, which the caller ends also after a failure. */
static int pack_call(core_state *state, ckit_args *args, PyObject *positional, PyObject *keywords, ckit_slice *packed) {
    ckit_args_init(args);
    const int result =
        keywords == NULL || keywords == Py_None || PyDict_GET_SIZE(keywords) == 0
            ? core_pack_args(state, args, ((PyTupleObject *)positional)->ob_item, PyTuple_GET_SIZE(positional), NULL)
            : pack_with_keywords(state, args, positional, keywords);
    if (result < 0) {
        return -1;
    }
    ckit_error err;
    if (ckit_args_pack(args, packed, &err) != CKIT_OK) {
        (void)core_raise(state, &err);
        return -1;
    }
    return 0;
}

static int check_keywords(PyObject *keywords) {
    if (keywords == NULL || keywords == Py_None || PyDict_Check(keywords)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "kwargs must be a dict or None, not '%.100s'", Py_TYPE(keywords)->tp_name);
    return -1;
}

/* ---- the functions --------------------------------------------------------------------------------------- */

PyDoc_STRVAR(pack_args_doc, "pack_args(args=(), kwargs=None)\n--\n\n"
                            "The arguments of one call in the form that keys hash, as bytes.\n\n"
                            "Raises TypeError, OverflowError, UnicodeEncodeError or RecursionError for arguments that\n"
                            "cannot be part of a key.");

static PyObject *pack_args(PyObject *module, PyObject *arguments, PyObject *named) {
    static char *names[] = {"args", "kwargs", NULL};
    PyObject    *positional = NULL, *keywords = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "|O!O:pack_args", names, &PyTuple_Type, &positional,
                                     &keywords) ||
        check_keywords(keywords) < 0) {
        return NULL;
    }
    PyObject *owned = positional == NULL ? PyTuple_New(0) : (Py_INCREF(positional), positional);
    if (owned == NULL) {
        return NULL;
    }
    ckit_args  args;
    ckit_slice packed;
    PyObject  *result = NULL;
    if (pack_call(core_state_of(module), &args, owned, keywords, &packed) == 0) {
        result = PyBytes_FromStringAndSize((const char *)packed.ptr, (Py_ssize_t)packed.len);
    }
    ckit_args_fini(&args);
    Py_DECREF(owned);
    return result;
}

PyDoc_STRVAR(cache_key_doc,
             "cache_key(function, args=(), kwargs=None, namespace=None, integrity=True)\n--\n\n"
             "The key under which a call's result is stored.\n\n"
             "`function` is the module's name, a dot, and the function's qualified name; `integrity` says whether\n"
             "values are stored with a checksum. Raises as pack_args does, and CachekitError for an empty function.");

static PyObject *cache_key(PyObject *module, PyObject *arguments, PyObject *named) {
    static char *names[] = {"function", "args", "kwargs", "namespace", "integrity", NULL};
    const char  *function, *space = NULL;
    Py_ssize_t   function_size, space_size = 0;
    PyObject    *positional = NULL, *keywords = NULL;
    int          integrity = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "s#|O!Oz#p:cache_key", names, &function, &function_size,
                                     &PyTuple_Type, &positional, &keywords, &space, &space_size, &integrity) ||
        check_keywords(keywords) < 0) {
        return NULL;
    }
    PyObject *owned = positional == NULL ? PyTuple_New(0) : (Py_INCREF(positional), positional);
    if (owned == NULL) {
        return NULL;
    }
    core_state         *state = core_state_of(module);
    const ckit_key_spec spec = {.namespace_name = slice_of_text(space, space_size),
                                .function = slice_of_text(function, function_size),
                                .integrity = integrity != 0};
    ckit_args           args;
    ckit_slice          packed;
    ckit_buf            key = CKIT_BUF_INIT;
    ckit_error          err;
    PyObject           *result = NULL;
    if (pack_call(state, &args, owned, keywords, &packed) == 0) {
        result = ckit_key_automatic(&spec, packed, &key, &err) == CKIT_OK ? text_of_buf(&key) : core_raise(state, &err);
    }
    ckit_buf_fini(&key);
    ckit_args_fini(&args);
    Py_DECREF(owned);
    return result;
}

PyDoc_STRVAR(custom_key_doc, "custom_key(namespace, text)\n--\n\n"
                             "The key of an entry that a key= function has named `text`. No namespace (None or '')\n"
                             "counts as 'default'.");

static PyObject *custom_key(PyObject *module, PyObject *arguments) {
    const char *space = NULL, *text;
    Py_ssize_t  space_size = 0, text_size;
    if (!PyArg_ParseTuple(arguments, "z#s#:custom_key", &space, &space_size, &text, &text_size)) {
        return NULL;
    }
    ckit_buf          key = CKIT_BUF_INIT;
    ckit_error        err;
    const ckit_status st =
        ckit_key_custom(slice_of_text(space, space_size), slice_of_text(text, text_size), &key, &err);
    PyObject *result = st == CKIT_OK ? text_of_buf(&key) : core_raise(core_state_of(module), &err);
    ckit_buf_fini(&key);
    return result;
}

#define WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {{"pack_args", WITH_KEYWORDS(pack_args), METH_VARARGS | METH_KEYWORDS, pack_args_doc},
                                {"cache_key", WITH_KEYWORDS(cache_key), METH_VARARGS | METH_KEYWORDS, cache_key_doc},
                                {"custom_key", custom_key, METH_VARARGS, custom_key_doc},
                                {NULL, NULL, 0, NULL}};

/* Whether datetimes may be read as the structs of datetime.h. */
static int datetime_is_c(const core_state *state) {
    const PyDateTime_CAPI *api = PyCapsule_Import(PyDateTime_CAPSULE_NAME, 0);
    if (api == NULL) {
        PyErr_Clear();
    }
    return api != NULL && (PyObject *)api->DateTimeType == state->datetime_type;
}

static int import_datetime(core_state *state) {
    PyObject *module = PyImport_ImportModule("datetime");
    PyObject *zone = module == NULL ? NULL : PyObject_GetAttrString(module, "timezone");
    if (zone != NULL) {
        state->datetime_type = PyObject_GetAttrString(module, "datetime");
        if (state->datetime_type != NULL && datetime_is_c(state)) {
            state->utc = PyObject_GetAttrString(zone, "utc");
        }
    }
    Py_XDECREF(module);
    Py_XDECREF(zone);
    return PyErr_Occurred() ? -1 : 0;
}

static int intern_names(core_state *state) {
    state->name_as_posix = PyUnicode_InternFromString("as_posix");
    state->name_bytes = PyUnicode_InternFromString("bytes");
    state->name_isoformat = PyUnicode_InternFromString("isoformat");
    state->name_utcoffset = PyUnicode_InternFromString("utcoffset");
    state->name_value = PyUnicode_InternFromString("value");
    return PyErr_Occurred() ? -1 : 0;
}

int core_args_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    return intern_names(state) < 0 || import_datetime(state) < 0 ? -1 : PyModule_AddFunctions(module, methods);
}
