/* A function with a cache in front, as a type: cachekit._core.CachedFunction. */
#include "function.h"

#include "batch.h"

#include <stddef.h>
#include <structmember.h>

/* ---- other methods ------------------------------------------------------------------------------------------ */

/* Forgets one call, or with forget_all every call of the function. */
static PyObject *forget(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names) {
    core_function *f = core_function_of(self);
    ckit_args      args;
    ckit_error     err = CKIT_ERROR_INIT;
    ckit_status    st = CKIT_OK;
    ckit_args_init(&args);
    int packed = core_function_pack(f, &args, values, count, names);
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
    core_function *f = core_function_of(self);
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
    core_function      *f = core_function_of(self);
    ckit_function_stats stats = CKIT_FUNCTION_STATS_INIT;
    (void)unused;
    ckit_function_get_stats(f->function, &stats);
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "l1_hits",
                         (unsigned long long)stats.l1_hits + f->object_hits, "l2_hits",
                         (unsigned long long)stats.l2_hits, "misses", (unsigned long long)stats.misses, "computed",
                         (unsigned long long)stats.computed, "errors", (unsigned long long)stats.errors, "uncached",
                         (unsigned long long)f->uncached, "l2_timed", (unsigned long long)f->l2_timed, "l2_ns",
                         (unsigned long long)f->l2_ns);
}

/* forget_receiver(object): True when `object` is what a method is called on, and all of its calls are forgotten. */
static PyObject *forget_receiver(PyObject *self, PyObject *object) {
    core_function *f = core_function_of(self);
    bool           known = f->first == CORE_FIRST_IDENTITY && core_receiver_find(&f->receivers, object) != NULL;
    if (known) {
        core_receiver_forget(&f->receivers, object);
    }
    return PyBool_FromLong(known);
}

/* Called by the body of a class that the function stands in. */
static PyObject *set_name(PyObject *self, PyObject *owner_and_name) {
    core_function *f = core_function_of(self);
    (void)owner_and_name;
    if (f->first == CORE_FIRST_PLAIN) {
        f->first = f->method;
    }
    Py_RETURN_NONE;
}

/* By name, as functions are pickled. */
static PyObject *reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyObject_GetAttr(self, core_function_of(self)->state->name_qualname);
}

static PyObject *copy(PyObject *self, PyObject *unused) {
    (void)unused;
    Py_INCREF(self);
    return self;
}

/* ---- the type ----------------------------------------------------------------------------------------------- */

/* What `CachedFunction(...)` was given; every object is borrowed. */
typedef struct given {
    PyObject          *cache, *wrapped, *key, *warn, *dump, *load, *miss, *refresh, *bound, *gone, *tenants, *interop;
    PyObject          *encryption, *tenant, *in_time;
    const char        *name;
    int                objects, first, method, integrity, l1, fail_closed;
    unsigned long long none_ttl_ms;
    ckit_function_options options;
} given;

/* (args, kwargs) */
static bool is_bound(PyObject *bound) {
    return PyTuple_CheckExact(bound) && PyTuple_GET_SIZE(bound) == 2 &&
           PyTuple_CheckExact(PyTuple_GET_ITEM(bound, 0)) && PyDict_CheckExact(PyTuple_GET_ITEM(bound, 1));
}

/* (context variable, or what tells the tenant from arguments and keywords; callable) */
static bool is_pair(PyObject *tenants) {
    return PyTuple_CheckExact(tenants) && PyTuple_GET_SIZE(tenants) == 2 &&
           (PyContextVar_CheckExact(PyTuple_GET_ITEM(tenants, 0)) || PyCallable_Check(PyTuple_GET_ITEM(tenants, 0)));
}

/* (operation, parameters, a check to call or None) */
static bool is_interop(PyObject *interop) {
    return PyTuple_CheckExact(interop) && PyTuple_GET_SIZE(interop) == 3 &&
           PyUnicode_Check(PyTuple_GET_ITEM(interop, 0)) && PyTuple_CheckExact(PyTuple_GET_ITEM(interop, 1)) &&
           PyUnicode_AsUTF8(PyTuple_GET_ITEM(interop, 0)) != NULL;
}

/* What goes together; false with an exception. */
static bool is_consistent(const given *g) {
    if ((g->dump == Py_None) != (g->load == Py_None) || (g->objects && g->dump != Py_None) ||
        g->first < CORE_FIRST_PLAIN || g->first > CORE_FIRST_BOUND || g->method < CORE_FIRST_PLAIN ||
        g->method > CORE_FIRST_NAMED || (g->first == CORE_FIRST_BOUND) != is_bound(g->bound)) {
        PyErr_SetString(PyExc_ValueError, "dump= and load= go together, and not with objects=True; first= is 0 to 3 "
                                          "and method= 0 to 2; bound= goes with first=3");
        return false;
    }
    if (g->tenants != Py_None && !is_pair(g->tenants)) {
        PyErr_SetString(PyExc_ValueError, "tenants= is a context variable or a callable, and a callable");
        return false;
    }
    if (g->interop != Py_None && (!is_interop(g->interop) || g->objects || g->dump != Py_None || g->key != Py_None ||
                                  g->first != CORE_FIRST_PLAIN || g->tenants != Py_None)) {
        PyErr_SetString(PyExc_ValueError,
                        "interop= is (operation, parameters, check or None), and goes with documents, "
                        "first=0, no key= and no tenants=");
        return false;
    }
    if ((g->encryption != Py_None && !PyBool_Check(g->encryption)) ||
        (g->tenant != Py_None && !PyUnicode_Check(g->tenant))) {
        PyErr_SetString(PyExc_TypeError, "encryption= is True, False or None, and tenant= a text or None");
        return false;
    }
    return true;
}

/* From the words of Python to the library's options. */
static void translate(given *g) {
    g->options.encryption = g->encryption == Py_None ? CKIT_DEFAULT : g->encryption == Py_True ? CKIT_ON : CKIT_OFF;
    g->options.interop = g->interop == Py_None ? NULL : PyUnicode_AsUTF8(PyTuple_GET_ITEM(g->interop, 0));
    g->options.fail_closed = g->fail_closed;
    g->options.nil_ttl_ms = g->none_ttl_ms; /* for what is found: of results the binding tells itself which are None */
    g->options.integrity = g->integrity ? CKIT_ON : CKIT_OFF;
    g->options.l1 = g->l1 ? CKIT_ON : CKIT_OFF;
    g->options.raw = g->dump != Py_None;
    g->options.caller_refreshes = g->refresh != Py_None;
    /* Objects belong to one function, so do their names. */
    g->options.custom_key = g->key != Py_None && !g->objects;
}

static bool read_given(given *g, core_state *state, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"cache",   "function", "name",       "namespace",     "ttl_ms", "stale_ms",    "integrity",
                            "l1",      "first",    "method",     "objects",       "key",    "warn",        "dump",
                            "load",    "miss",     "refresh",    "early_refresh", "bound",  "renew_below", "gone",
                            "tenants", "interop",  "encryption", "tenant",        "fresh",  "limits",      NULL};
    unsigned long long ttl_ms = 0, stale_ms = 0, fail_safe_ms = 0;
    *g = (given){.key = Py_None,
                 .warn = Py_None,
                 .dump = Py_None,
                 .load = Py_None,
                 .miss = Py_None,
                 .refresh = Py_None,
                 .bound = Py_None,
                 .gone = Py_None,
                 .tenants = Py_None,
                 .interop = Py_None,
                 .encryption = Py_None,
                 .tenant = Py_None,
                 .in_time = Py_None,
                 .integrity = 1,
                 .l1 = 1,
                 .options = CKIT_FUNCTION_OPTIONS_INIT};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!Os|$zKKppiipOOOOOOdOdOOOOO(KddKp)(IIO)", names, (PyTypeObject *)state->cache_type,
            &g->cache, &g->wrapped, &g->name, &g->options.namespace_name, &ttl_ms, &stale_ms, &g->integrity, &g->l1,
            &g->first, &g->method, &g->objects, &g->key, &g->warn, &g->dump, &g->load, &g->miss, &g->refresh,
            &g->options.early_refresh, &g->bound, &g->options.renew_below, &g->gone, &g->tenants, &g->interop,
            &g->encryption, &g->tenant, &fail_safe_ms, &g->options.ttl_jitter, &g->options.early_beta, &g->none_ttl_ms,
            &g->fail_closed, &g->options.soft_limit_ms, &g->options.hard_limit_ms, &g->in_time)) {
        return false;
    }
    if (!is_consistent(g)) {
        return false;
    }
    g->options.ttl_ms = ttl_ms;
    g->options.stale_ms = stale_ms;
    g->options.fail_safe_ms = fail_safe_ms;
    translate(g);
    return true;
}

static PyObject *kept(PyObject *object) {
    Py_INCREF(object);
    return object;
}

/* ckit_function_options.tenant_of: all calls of the function are one tenant's. The text's UTF-8 form was made with it,
 * so the interpreter's lock is not needed. */
static ckit_status name_tenant(void *context, const ckit_args *args, ckit_buf *tenant, ckit_error *err) {
    const core_function *f = context;
    (void)args;
    return ckit_buf_append(tenant, f->tenant_text) == CKIT_OK
               ? CKIT_OK
               : ckit_fail(err, CKIT_E_NO_MEMORY, "function", "no memory for the tenant");
}

/* What every function holds; `f` is zero. */
static void keep(core_function *f, core_state *state, const given *g) {
    f->vectorcall = core_function_call;
    f->state = state;
    f->cache = (core_cache *)kept(g->cache);
    f->kept = g->objects ? CORE_OBJECTS : g->dump != Py_None ? CORE_SERIALIZED : CORE_DOCUMENTS;
    f->first = (core_first)g->first;
    f->has_front = f->kept == CORE_OBJECTS && g->key == Py_None && g->bound == Py_None;
    f->method = (core_first)g->method;
    f->receivers.owner = (PyObject *)f;
    f->receivers.forget = core_function_forget_ties;
    f->fail_closed = g->fail_closed;
    f->none_ttl_ms = g->none_ttl_ms;
    f->coroutine = g->miss != Py_None;
    f->wrapped = kept(g->wrapped);
    f->key = kept(g->key);
    f->warn = kept(g->warn);
    f->dump = kept(g->dump);
    f->load = kept(g->load);
    f->miss = kept(g->miss);
    f->refresh = kept(g->refresh);
    f->bound = kept(g->bound);
    f->gone = kept(g->gone);
    f->in_time = kept(g->in_time);
}

/* What only a function in interop mode, or with tenants, holds. False with an exception. */
static bool keep_modes(core_function *f, given *g) {
    if (g->interop != Py_None) {
        PyObject *check = PyTuple_GET_ITEM(g->interop, 2);
        f->check = check == Py_None ? NULL : kept(check);
        f->interop = core_signature_new(PyTuple_GET_ITEM(g->interop, 1));
        if (f->interop == NULL) {
            return false;
        }
    }
    if (g->tenants != Py_None) {
        f->vectorcall = core_function_call_tenant;
        f->tenant = kept(PyTuple_GET_ITEM(g->tenants, 0));
        f->tenants = kept(PyTuple_GET_ITEM(g->tenants, 1));
    }
    if (g->tenant != Py_None) {
        Py_ssize_t  len;
        const char *text = PyUnicode_AsUTF8AndSize(g->tenant, &len);
        if (text == NULL) {
            return false;
        }
        f->of_tenant = kept(g->tenant);
        f->tenant_text = ckit_slice_of(text, (size_t)len);
        g->options.tenant_of = name_tenant;
    }
    return true;
}

static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    core_state *state = PyType_GetModuleState(type);
    ckit_error  err = CKIT_ERROR_INIT;
    given       g;
    if (!read_given(&g, state, args, kwargs)) {
        return NULL;
    }
    core_function *f = (core_function *)type->tp_alloc(type, 0);
    if (f == NULL) {
        return NULL;
    }
    keep(f, state, &g);
    if (!keep_modes(f, &g)) {
        Py_DECREF(f);
        return NULL;
    }
    if (ckit_function_new(f->cache->cache, g.name, NULL, f, &g.options, &f->function, &err) != CKIT_OK) {
        Py_DECREF(f);
        return core_raise(state, &err);
    }
    return (PyObject *)f;
}

/* Every object that a function holds, but its cache, which goes last. */
#define HELD(X)                                                                                                        \
    X(wrapped)                                                                                                         \
    X(key)                                                                                                             \
    X(warn) X(dump) X(load) X(miss) X(in_time) X(refresh) X(bound) X(tenant) X(tenants) X(check) X(of_tenant) X(dict)

static int function_traverse(PyObject *self, visitproc visit, void *arg) {
    core_function *f = core_function_of(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(f->cache);
#define VISIT(name) Py_VISIT(f->name);
    HELD(VISIT)
#undef VISIT
    return core_signature_visit(f->interop, visit, arg);
}

static int function_clear(PyObject *self) {
    core_function *f = core_function_of(self);
#define CLEAR(name) Py_CLEAR(f->name);
    HELD(CLEAR)
#undef CLEAR
    core_signature *signature = f->interop;
    f->interop = NULL;
    core_signature_free(signature);
    return 0;
}

/* Weak references hear too early of a function that the garbage collector takes: it still has its results then. */
static void tell_gone(core_function *f) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    if (f->gone != NULL && f->gone != Py_None) {
        PyObject *answer = PyObject_CallNoArgs(f->gone);
        if (answer == NULL) {
            PyErr_WriteUnraisable(f->gone);
        }
        Py_XDECREF(answer);
    }
    Py_CLEAR(f->gone);
    PyErr_Restore(type, exception, traceback);
}

static void function_dealloc(PyObject *self) {
    core_function *f = core_function_of(self);
    PyTypeObject  *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    core_receivers_end(&f->receivers); /* before the callbacks, in which a receiver may go */
    if (f->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    PyThreadState *saved = core_let_go();
    if (f->function != NULL && f->kept == CORE_OBJECTS) { /* which are this function's alone */
        (void)ckit_function_invalidate(f->function, NULL, NULL);
    }
    ckit_function_close(f->function);
    core_take_back(saved);
    tell_gone(f);
    (void)function_clear(self);
    core_front_fini(&f->front);
    Py_CLEAR(f->cache);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *tell_uncached(PyObject *self, PyObject *exception) {
    if (!PyExceptionInstance_Check(exception)) {
        PyErr_SetString(PyExc_TypeError, "tell_uncached takes an exception");
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    if (core_function_tell_uncached(core_function_of(self), "tenant") < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"forget", (PyCFunction)(void (*)(void))forget, METH_FASTCALL | METH_KEYWORDS,
     "Forgets the call with these arguments, in both tiers; True when there was one."},
    {"forget_all", forget_all, METH_NOARGS, "Forgets every call of the function, in both tiers."},
    {"forget_receiver", forget_receiver, METH_O,
     "Forgets every call on this object; False when nothing is kept by its identity."},
    {"call_many", (PyCFunction)(void (*)(void))core_function_call_many, METH_FASTCALL,
     "call_many(calls, loader, refresh): the results of a list of calls (args, kwargs); `loader` is called with a list "
     "of "
     "the positions of those that are missing, and returns as many results. What is an exception there is one here "
     "too. "
     "`refresh` is called with the positions of those whose results are stale, if there are any."},
    {"begin_many", core_function_begin_many, METH_O,
     "begin_many(calls): the same for an event loop; a Batch that has yet to begin."},
    {"begin_refresh", core_function_begin_refresh, METH_O,
     "begin_refresh(calls): a Batch that refreshes those whose results in memory are due, and leaves the others."},
    {"tell_uncached", tell_uncached, METH_O,
     "Counts a call that runs uncached, and warns of it: this exception is why its tenant cannot be told."},
    {"counters", counters, METH_NOARGS, "What this function has counted, as a dict."},
    {"__set_name__", set_name, METH_VARARGS, NULL},
    {"__reduce__", reduce, METH_NOARGS, NULL},
    {"__copy__", copy, METH_NOARGS, NULL},
    {"__deepcopy__", copy, METH_O, NULL},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(core_function, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(core_function, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(core_function, weakrefs), READONLY, NULL},
    {"__wrapped__", T_OBJECT, offsetof(core_function, wrapped), READONLY, "The function without its cache."},
    {"cache", T_OBJECT, offsetof(core_function, cache), READONLY, "The Cache that it uses."},
    {NULL, 0, 0, 0, NULL}};

#if PY_VERSION_HEX < 0x030a0000
/* There `inspect` takes nothing but functions for coroutine functions. */
static PyObject *get_class(PyObject *self, void *unused) {
    PyObject *class = (PyObject *)(core_function_of(self)->coroutine ? &PyFunction_Type : Py_TYPE(self));
    (void)unused;
    Py_INCREF(class);
    return class;
}
#endif

static PyGetSetDef getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
#if PY_VERSION_HEX < 0x030a0000
                               {"__class__", get_class, NULL, NULL, NULL},
#endif
                               {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, SLOT(function_new)},
                              {Py_tp_dealloc, SLOT(function_dealloc)},
                              {Py_tp_traverse, SLOT(function_traverse)},
                              {Py_tp_clear, SLOT(function_clear)},
                              {Py_tp_call, SLOT(PyVectorcall_Call)},
                              {Py_tp_repr, SLOT(core_method_name_function)},
                              {Py_tp_descr_get, SLOT(core_method_bind)},
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
