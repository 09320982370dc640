/* What the library lends, held by whoever looks at it: a memoryview, an Arrow buffer, a frame over one. */
#include "lent.h"

typedef struct core_lent {
    PyObject_HEAD ckit_value value;
} core_lent;

PyObject *core_lend(core_state *state, ckit_value *value) {
    PyTypeObject *type = (PyTypeObject *)state->lent_type;
    core_lent    *self = (core_lent *)type->tp_alloc(type, 0);
    if (self == NULL) {
        ckit_value_fini(value);
        return NULL;
    }
    ckit_value_move(&self->value, value);
    return (PyObject *)self;
}

static void lent_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    ckit_value_fini(&((core_lent *)object)->value);
    type->tp_free(object);
    Py_DECREF(type);
}

static int get_buffer(PyObject *object, Py_buffer *view, int flags) {
    const ckit_slice data = ((core_lent *)object)->value.data;
    /* CPython's buffers have no const; this one is read-only. */
    void *bytes = (void *)(uintptr_t)(data.len == 0 ? (const uint8_t *)"" : data.ptr);
    return PyBuffer_FillInfo(view, object, bytes, (Py_ssize_t)data.len, 1, flags);
}

static Py_ssize_t length(PyObject *object) { return (Py_ssize_t)((core_lent *)object)->value.data.len; }

static PyType_Slot slots[] = {{Py_tp_dealloc, SLOT(lent_dealloc)},
                              {Py_bf_getbuffer, SLOT(get_buffer)},
                              {Py_sq_length, SLOT(length)},
                              {Py_tp_doc, "The bytes of a stored value, as a buffer that is read."},
                              {0, NULL}};

#if PY_VERSION_HEX >= 0x030a0000
#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#else
#define FLAGS Py_TPFLAGS_DEFAULT
#endif

static PyType_Spec spec = {"cachekit._core.Lent", (int)sizeof(core_lent), 0, FLAGS, slots};

int core_lent_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->lent_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->lent_type == NULL ? -1 : 0;
}
