/* A decorated function bound to the object it was looked up on: cachekit._core.CachedMethod. Like a method of Python's,
 * but what forgets calls is bound too: `obj.method.invalidate_cache(1)` means this object's call.
 *
 * `obj.method(1)` does not come here: the interpreter calls the function at once. */
#include "function.h"

#include <stddef.h>
#include <structmember.h>

typedef struct core_method {
    PyObject_HEAD vectorcallfunc vectorcall;
    PyObject                    *function;
    PyObject                    *self;
    PyObject                    *weakrefs;
} core_method;

#define FEW_ARGUMENTS 8

static PyObject *call(PyObject *object, PyObject *const *values, size_t count, PyObject *names) {
    core_method *m = (core_method *)object;
    Py_ssize_t   positional = PyVectorcall_NARGS(count);
    PyObject    *result = NULL;
    if (count & PY_VECTORCALL_ARGUMENTS_OFFSET) { /* the place in front is ours to use meanwhile */
        PyObject **all = (PyObject **)(uintptr_t)values - 1, *before = all[0];
        all[0] = m->self;
        result = PyObject_Vectorcall(m->function, all, (size_t)positional + 1, names);
        all[0] = before;
        return result;
    }
    size_t     given = (size_t)positional + (names == NULL ? 0 : (size_t)PyTuple_GET_SIZE(names));
    PyObject  *few[FEW_ARGUMENTS + 1];
    PyObject **all = given <= FEW_ARGUMENTS ? few : PyMem_Malloc((given + 1) * sizeof *all);
    if (all == NULL) {
        return PyErr_NoMemory();
    }
    all[0] = m->self;
    if (given > 0) {
        memcpy(all + 1, values, given * sizeof *all);
    }
    result = PyObject_Vectorcall(m->function, all, (size_t)positional + 1, names);
    if (all != few) {
        PyMem_Free(all);
    }
    return result;
}

static PyObject *bind_to(PyTypeObject *type, PyObject *function, PyObject *self) {
    core_method *m = (core_method *)type->tp_alloc(type, 0);
    if (m != NULL) {
        Py_INCREF(function);
        Py_INCREF(self);
        m->vectorcall = call;
        m->function = function;
        m->self = self;
    }
    return (PyObject *)m;
}

PyObject *core_method_bind(PyObject *function, PyObject *object, PyObject *type) {
    (void)type;
    if (object == NULL || object == Py_None) {
        Py_INCREF(function);
        return function;
    }
    core_state *state = PyType_GetModuleState(Py_TYPE(function));
    return bind_to((PyTypeObject *)state->method_type, function, object);
}

static PyObject *method_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"function", "self", NULL};
    PyObject    *function, *self;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO", names, &function, &self)) {
        return NULL;
    }
    return bind_to(type, function, self);
}

/* ---- attributes --------------------------------------------------------------------------------------------- */

static bool is(PyObject *name, const char *text) { return PyUnicode_CompareWithASCIIString(name, text) == 0; }

static PyObject *get_attribute(PyObject *object, PyObject *name) {
    core_method *m = (core_method *)object;
    if (!PyUnicode_Check(name)) {
        return PyObject_GenericGetAttr(object, name);
    }
    if (_PyType_Lookup(Py_TYPE(object), name) != NULL && !is(name, "__doc__") && !is(name, "__module__")) {
        return PyObject_GenericGetAttr(object, name);
    }
    return PyObject_GetAttr(m->function, name);
}

/* What forgets calls, bound as the method is. */
static PyObject *get_bound(PyObject *object, void *name) {
    core_method *m = (core_method *)object;
    PyObject    *value = PyObject_GetAttrString(m->function, name);
    PyObject    *bound = value == NULL ? NULL : PyMethod_New(value, m->self);
    Py_XDECREF(value);
    return bound;
}

/* The function's, without the parameter that is bound. */
static PyObject *get_signature(PyObject *object, void *unused) {
    core_method *m = (core_method *)object;
    PyObject    *inspect = PyImport_ImportModule("inspect");
    PyObject    *bound = inspect == NULL ? NULL : PyMethod_New(m->function, m->self);
    PyObject    *signature = bound == NULL ? NULL : PyObject_CallMethod(inspect, "signature", "O", bound);
    (void)unused;
    Py_XDECREF(inspect);
    Py_XDECREF(bound);
    return signature;
}

static PyObject *reduce(PyObject *object, PyObject *unused) {
    core_method *m = (core_method *)object;
    PyObject    *builtins = PyImport_ImportModule("builtins");
    PyObject    *getter = builtins == NULL ? NULL : PyObject_GetAttrString(builtins, "getattr");
    PyObject    *name = getter == NULL ? NULL : PyObject_GetAttrString(m->function, "__name__");
    (void)unused;
    Py_XDECREF(builtins);
    if (name == NULL) {
        Py_XDECREF(getter);
        return NULL;
    }
    return Py_BuildValue("N(ON)", getter, m->self, name);
}

/* The qualified name of a decorated function, which may have been given anything as its name, or "?". */
static PyObject *name_of(PyObject *function) {
    PyObject *name = PyObject_GetAttrString(function, "__qualname__");
    PyObject *text = name == NULL ? NULL : PyObject_Str(name);
    Py_XDECREF(name);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
        text = PyUnicode_FromString("?");
    }
    return text;
}

static PyObject *repr(PyObject *object) {
    core_method *m = (core_method *)object;
    PyObject    *name = name_of(m->function);
    PyObject    *text = name == NULL ? NULL : PyUnicode_FromFormat("<cached method %U of %R>", name, m->self);
    Py_XDECREF(name);
    return text;
}

PyObject *core_method_name_function(PyObject *function) {
    PyObject *name = name_of(function);
    PyObject *text = name == NULL ? NULL : PyUnicode_FromFormat("<cached function %U at %p>", name, (void *)function);
    Py_XDECREF(name);
    return text;
}

/* As methods of Python's: the same function of the very same object. */
static PyObject *compare(PyObject *a, PyObject *b, int how) {
    if (Py_TYPE(a) != Py_TYPE(b) || (how != Py_EQ && how != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    core_method *x = (core_method *)a, *y = (core_method *)b;
    return PyBool_FromLong((x->self == y->self && x->function == y->function) == (how == Py_EQ));
}

static Py_hash_t hash(PyObject *object) {
    core_method *m = (core_method *)object;
    Py_hash_t    value = (Py_hash_t)(((uintptr_t)m->self >> 4) ^ ((uintptr_t)m->function << 1));
    return value == -1 ? -2 : value;
}

/* ---- the type ----------------------------------------------------------------------------------------------- */

static int traverse(PyObject *object, visitproc visit, void *arg) {
    core_method *m = (core_method *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(m->function);
    Py_VISIT(m->self);
    return 0;
}

static void dealloc(PyObject *object) {
    core_method  *m = (core_method *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (m->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    Py_XDECREF(m->function);
    Py_XDECREF(m->self);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(core_method, vectorcall), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(core_method, weakrefs), READONLY, NULL},
    {"__func__", T_OBJECT, offsetof(core_method, function), READONLY, "The decorated function."},
    {"__self__", T_OBJECT, offsetof(core_method, self), READONLY, "What it is bound to."},
    {NULL, 0, 0, 0, NULL}};

static PyGetSetDef getset[] = {{"__signature__", get_signature, NULL, NULL, NULL},
                               {"invalidate_cache", get_bound, NULL, NULL, "invalidate_cache"},
                               {"ainvalidate_cache", get_bound, NULL, NULL, "ainvalidate_cache"},
                               {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, SLOT(method_new)},
                              {Py_tp_dealloc, SLOT(dealloc)},
                              {Py_tp_traverse, SLOT(traverse)},
                              {Py_tp_call, SLOT(PyVectorcall_Call)},
                              {Py_tp_getattro, SLOT(get_attribute)},
                              {Py_tp_repr, SLOT(repr)},
                              {Py_tp_richcompare, SLOT(compare)},
                              {Py_tp_hash, SLOT(hash)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_getset, getset},
                              {0, NULL}};

static PyType_Spec spec = {"cachekit._core.CachedMethod", (int)sizeof(core_method), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

/* ---- class methods ------------------------------------------------------------------------------------------ */

/* A classmethod whose bound methods are CachedMethods in every version of Python. */
static PyObject *bind_class(PyObject *self, PyObject *object, PyObject *owner) {
    core_state *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject   *function = PyObject_GetAttr(self, state->name_func), *bound = NULL;
    if (function != NULL) {
        PyObject *class = owner == NULL ? (PyObject *)Py_TYPE(object) : owner;
        bound = bind_to((PyTypeObject *)state->method_type, function, class);
        Py_DECREF(function);
    }
    return bound;
}

static int visit_type(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    return PyClassMethod_Type.tp_traverse(self, visit, arg);
}

static int clear_class(PyObject *self) { return PyClassMethod_Type.tp_clear(self); }

static void dealloc_class(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyClassMethod_Type.tp_dealloc(self);
    Py_DECREF(type);
}

static PyType_Slot class_slots[] = {{Py_tp_descr_get, SLOT(bind_class)},
                                    {Py_tp_traverse, SLOT(visit_type)},
                                    {Py_tp_clear, SLOT(clear_class)},
                                    {Py_tp_dealloc, SLOT(dealloc_class)},
                                    {0, NULL}};

static PyType_Spec class_spec = {"cachekit._core.CachedClassMethod", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                                 class_slots};

int core_method_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->name_func = PyUnicode_InternFromString("__func__");
    state->method_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (state->name_func == NULL || state->method_type == NULL ||
        PyModule_AddType(module, (PyTypeObject *)state->method_type) < 0) {
        return -1;
    }
    PyObject *bases = PyTuple_Pack(1, &PyClassMethod_Type);
    PyObject *type = bases == NULL ? NULL : PyType_FromModuleAndSpec(module, &class_spec, bases);
    const int added = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(bases);
    Py_XDECREF(type);
    return added;
}
