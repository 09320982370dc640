/* A function with a cache in front: cachekit._core.CachedFunction. A hit in memory packs the arguments, looks, and
 * returns, without entering Python and without letting the interpreter's lock go. */
#include "args.h"
#include "cache.h"
#include "values.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

typedef struct core_function {
    PyObject_HEAD vectorcallfunc vectorcall;
    PyObject                    *wrapped;
    core_cache                  *cache;
    ckit_function               *function;
    core_state                  *state;
    PyObject *key;  /* makes the key's text from the arguments; None = the arguments are the key */
    PyObject *warn; /* called with (reason, exception or None) when a call runs uncached; None = silent */
    PyObject *dict;
    PyObject *weakrefs;
    bool      objects; /* memory keeps the results themselves, not documents */
    uint64_t  uncached;
} core_function;

static core_function *function_of(PyObject *object) { return (core_function *)object; }

/* ---- results ------------------------------------------------------------------------------------------------ */

/* What the caller gets for a value that the library lent; gives the value back. */
static PyObject *take(core_function *f, ckit_value *value) {
    PyObject *result = value->object;
    if (result != NULL) {
        Py_INCREF(result);
    } else {
        result = core_decode(f->state, value->data);
    }
    ckit_value_fini(value);
    return result;
}

static PyObject *run_wrapped(core_function *f, PyObject *const *values, size_t count, PyObject *names) {
    return PyObject_Vectorcall(f->wrapped, values, (size_t)PyVectorcall_NARGS(count), names);
}

/* Tells why a call runs without the cache, with the pending exception as the reason (which is cleared). */
static int tell_uncached(core_function *f, const char *reason) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    f->uncached++;
    PyObject *answer = Py_None;
    if (f->warn != Py_None) {
        answer = PyObject_CallFunction(f->warn, "sO", reason, exception == NULL ? Py_None : exception);
        Py_XDECREF(answer);
    }
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return answer == NULL ? -1 : 0;
}

/* ---- a miss ------------------------------------------------------------------------------------------------- */

static void finish_failed(ckit_op *op) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    ckit_result result = {.status = CKIT_E_FUNCTION};
    Py_BEGIN_ALLOW_THREADS;
    (void)ckit_finish(op, &result, NULL, NULL);
    Py_END_ALLOW_THREADS;
    PyErr_Restore(type, exception, traceback);
}

static size_t size_of(PyObject *object) {
    PyObject *size = PyObject_CallMethod(object, "__sizeof__", NULL);
    size_t    bytes = size == NULL ? (size_t)-1 : PyLong_AsSize_t(size);
    Py_XDECREF(size);
    if (bytes == (size_t)-1) {
        PyErr_Clear();
        bytes = 64;
    }
    return bytes;
}

static int finish_with_object(core_function *f, ckit_op *op, PyObject *value) {
    ckit_object object;
    ckit_result result = {.status = CKIT_OK, .object = &object};
    ckit_status st;
    if (!core_object_of(f->cache, value, size_of(value), &object)) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_finish(op, &result, NULL, NULL);
    Py_END_ALLOW_THREADS;
    if (st != CKIT_OK) {
        core_object_drop(&object);
    }
    return 0;
}

static int finish_with_document(core_function *f, ckit_op *op, PyObject *value) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_writer_init(&w, &buf);
    if (core_encode(f->state, &w, value) < 0) {
        ckit_buf_fini(&buf);
        return -1;
    }
    ckit_status st = ckit_writer_finish(&w, &err);
    if (st == CKIT_OK) {
        ckit_result result = {.status = CKIT_OK, .document = ckit_buf_slice(&buf)};
        Py_BEGIN_ALLOW_THREADS;
        st = ckit_finish(op, &result, NULL, &err);
        Py_END_ALLOW_THREADS;
    }
    ckit_buf_fini(&buf);
    if (st != CKIT_OK) {
        (void)core_raise(f->state, &err);
        return -1;
    }
    return 0;
}

/* This caller leads: runs the function and hands the result over. What cannot be stored is returned all the same. */
static PyObject *compute(core_function *f, ckit_op *op, PyObject *const *values, size_t count, PyObject *names) {
    PyObject *value = run_wrapped(f, values, count, names);
    if (value == NULL) {
        finish_failed(op);
    } else if ((f->objects ? finish_with_object(f, op, value) : finish_with_document(f, op, value)) < 0) {
        finish_failed(op);
        if (tell_uncached(f, "value") < 0) {
            Py_CLEAR(value);
        }
    }
    Py_BEGIN_ALLOW_THREADS;
    ckit_op_free(op);
    Py_END_ALLOW_THREADS;
    core_bury(f->cache);
    return value;
}

static PyObject *call_slowly(core_function *f, ckit_args *args, PyObject *const *values, size_t count,
                             PyObject *names) {
    ckit_start  start = {.function = f->function, .args = args, .peeked = true};
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_op    *op;
    ckit_status st;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_begin(&start, &op, &value, &err);
    Py_END_ALLOW_THREADS;
    switch (st) {
    case CKIT_OK: return take(f, &value);
    case CKIT_COMPUTE: return compute(f, op, values, count, names);
    default:
        (void)core_raise(f->state, &err);
        return tell_uncached(f, "cache") < 0 ? NULL : run_wrapped(f, values, count, names);
    }
}

/* ---- a call ------------------------------------------------------------------------------------------------- */

/* Arguments without a key run the function uncached; what is no fault of an argument goes to the caller. */
static PyObject *call_without_key(core_function *f, PyObject *const *values, size_t count, PyObject *names) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_OverflowError) && !PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return NULL;
    }
    return tell_uncached(f, "key") < 0 ? NULL : run_wrapped(f, values, count, names);
}

static Py_ssize_t find_bypass(PyObject *names) {
    for (Py_ssize_t i = names == NULL ? 0 : PyTuple_GET_SIZE(names); i-- > 0;) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "_bypass_cache") == 0) {
            return i;
        }
    }
    return -1;
}

/* The function with everything but the keyword `_bypass_cache`. */
static PyObject *call_bypassing(core_function *f, PyObject *const *values, Py_ssize_t positional, PyObject *names,
                                Py_ssize_t bypass) {
    PyObject *args = PyTuple_New(positional);
    PyObject *kwargs = PyDict_New();
    PyObject *result = NULL;
    for (Py_ssize_t i = 0; args != NULL && i < positional; i++) {
        Py_INCREF(values[i]);
        PyTuple_SET_ITEM(args, i, values[i]);
    }
    bool complete = args != NULL && kwargs != NULL;
    for (Py_ssize_t i = 0; complete && i < PyTuple_GET_SIZE(names); i++) {
        complete = i == bypass || PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, i), values[positional + i]) == 0;
    }
    if (complete) {
        result = PyObject_Call(f->wrapped, args, kwargs);
    }
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return result;
}

/* What the call is known by: its arguments, or what the user's function makes of them. */
static int pack(core_function *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional, PyObject *names) {
    if (f->key == Py_None) {
        return core_pack_args(f->state, args, values, positional, names);
    }
    PyObject *text = PyObject_Vectorcall(f->key, values, (size_t)positional, names);
    int       packed = -1;
    if (text != NULL && !PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "key= returned %.100s: it has to return a str", Py_TYPE(text)->tp_name);
    } else if (text != NULL) {
        packed = core_pack_args(f->state, args, &text, 1, NULL);
    }
    Py_XDECREF(text);
    return packed;
}

static PyObject *call(PyObject *self, PyObject *const *values, size_t count, PyObject *names) {
    core_function *f = function_of(self);
    Py_ssize_t     positional = PyVectorcall_NARGS(count);
    ckit_args      args;
    ckit_value     value = CKIT_VALUE_INIT;
    PyObject      *result;
    Py_ssize_t     bypass = find_bypass(names);
    if (bypass >= 0) {
        return call_bypassing(f, values, positional, names, bypass);
    }
    ckit_args_init(&args);
    if (pack(f, &args, values, positional, names) < 0) {
        result = call_without_key(f, values, count, names);
    } else if (ckit_peek(f->function, &args, &value) != CKIT_MISS) {
        result = take(f, &value);
    } else {
        result = call_slowly(f, &args, values, count, names);
    }
    ckit_args_fini(&args);
    return result;
}

/* ---- other methods ------------------------------------------------------------------------------------------ */

/* Forgets one call, or with forget_all every call of the function. */
static PyObject *forget(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names) {
    core_function *f = function_of(self);
    ckit_args      args;
    ckit_error     err = CKIT_ERROR_INIT;
    ckit_status    st = CKIT_OK;
    ckit_args_init(&args);
    int packed = pack(f, &args, values, count, names);
    if (packed == 0) {
        Py_BEGIN_ALLOW_THREADS;
        st = ckit_invalidate(f->function, &args, &err);
        Py_END_ALLOW_THREADS;
        core_bury(f->cache);
    }
    ckit_args_fini(&args);
    if (packed < 0) {
        return NULL;
    }
    return st == CKIT_OK || st == CKIT_MISS ? PyBool_FromLong(st == CKIT_OK) : core_raise(f->state, &err);
}

static PyObject *forget_all(PyObject *self, PyObject *unused) {
    core_function *f = function_of(self);
    ckit_error     err = CKIT_ERROR_INIT;
    ckit_status    st;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_function_invalidate(f->function, NULL, &err);
    Py_END_ALLOW_THREADS;
    core_bury(f->cache);
    if (st != CKIT_OK) {
        return core_raise(f->state, &err);
    }
    Py_RETURN_NONE;
}

static PyObject *counters(PyObject *self, PyObject *unused) {
    core_function      *f = function_of(self);
    ckit_function_stats stats = CKIT_FUNCTION_STATS_INIT;
    (void)unused;
    ckit_function_get_stats(f->function, &stats);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K}", "l1_hits", (unsigned long long)stats.l1_hits, "l2_hits",
                         (unsigned long long)stats.l2_hits, "misses", (unsigned long long)stats.misses, "computed",
                         (unsigned long long)stats.computed, "errors", (unsigned long long)stats.errors, "uncached",
                         (unsigned long long)f->uncached);
}

static PyObject *bind(PyObject *self, PyObject *object, PyObject *type) {
    (void)type;
    if (object == NULL || object == Py_None) {
        Py_INCREF(self);
        return self;
    }
    return PyMethod_New(self, object);
}

/* ---- the type ----------------------------------------------------------------------------------------------- */

static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char       *names[] = {"cache", "function", "name", "namespace", "ttl_ms", "integrity",
                                  "l1",    "objects",  "key",  "warn",      NULL};
    PyObject          *cache, *wrapped, *key = Py_None, *warn = Py_None;
    const char        *name, *namespace_name = NULL;
    unsigned long long ttl_ms = 0;
    int                integrity = 1, l1 = 1, objects = 0;
    core_state        *state = PyType_GetModuleState(type);
    ckit_error         err = CKIT_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!Os|$zKpppOO", names, (PyTypeObject *)state->cache_type, &cache,
                                     &wrapped, &name, &namespace_name, &ttl_ms, &integrity, &l1, &objects, &key,
                                     &warn)) {
        return NULL;
    }
    core_function *f = (core_function *)type->tp_alloc(type, 0);
    if (f == NULL) {
        return NULL;
    }
    Py_INCREF(wrapped);
    Py_INCREF(cache);
    Py_INCREF(key);
    Py_INCREF(warn);
    f->key = key;
    f->vectorcall = call;
    f->wrapped = wrapped;
    f->cache = (core_cache *)cache;
    f->warn = warn;
    f->state = state;
    f->objects = objects != 0;
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = namespace_name;
    options.ttl_ms = ttl_ms;
    options.integrity = integrity ? CKIT_ON : CKIT_OFF;
    options.l1 = l1 ? CKIT_ON : CKIT_OFF;
    if (ckit_function_new(f->cache->cache, name, NULL, NULL, &options, &f->function, &err) != CKIT_OK) {
        Py_DECREF(f);
        return core_raise(state, &err);
    }
    return (PyObject *)f;
}

static int function_traverse(PyObject *self, visitproc visit, void *arg) {
    core_function *f = function_of(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(f->wrapped);
    Py_VISIT(f->cache);
    Py_VISIT(f->key);
    Py_VISIT(f->warn);
    Py_VISIT(f->dict);
    return 0;
}

static int function_clear(PyObject *self) {
    core_function *f = function_of(self);
    Py_CLEAR(f->wrapped);
    Py_CLEAR(f->key);
    Py_CLEAR(f->warn);
    Py_CLEAR(f->dict);
    return 0;
}

static void function_dealloc(PyObject *self) {
    core_function *f = function_of(self);
    PyTypeObject  *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (f->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    Py_BEGIN_ALLOW_THREADS;
    ckit_function_close(f->function);
    Py_END_ALLOW_THREADS;
    (void)function_clear(self);
    Py_CLEAR(f->cache);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"forget", (PyCFunction)(void (*)(void))forget, METH_FASTCALL | METH_KEYWORDS,
     "Forgets the call with these arguments, in both tiers; True when there was one."},
    {"forget_all", forget_all, METH_NOARGS, "Forgets every call of the function, in both tiers."},
    {"counters", counters, METH_NOARGS, "What this function has counted, as a dict."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(core_function, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(core_function, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(core_function, weakrefs), READONLY, NULL},
    {"__wrapped__", T_OBJECT, offsetof(core_function, wrapped), READONLY, "The function without its cache."},
    {"cache", T_OBJECT, offsetof(core_function, cache), READONLY, "The Cache that it uses."},
    {NULL, 0, 0, 0, NULL}};

static PyGetSetDef getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
                               {NULL, NULL, NULL, NULL, NULL}};

#define SLOT(function) ((void *)(uintptr_t)(function))

static PyType_Slot slots[] = {{Py_tp_new, SLOT(function_new)},
                              {Py_tp_dealloc, SLOT(function_dealloc)},
                              {Py_tp_traverse, SLOT(function_traverse)},
                              {Py_tp_clear, SLOT(function_clear)},
                              {Py_tp_call, SLOT(PyVectorcall_Call)},
                              {Py_tp_descr_get, SLOT(bind)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_getset, getset},
                              {0, NULL}};

static PyType_Spec spec = {
    "cachekit._core.CachedFunction", (int)sizeof(core_function), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};

int core_function_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->function_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->function_type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)state->function_type);
}
