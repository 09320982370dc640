/* seal.c - a key ring as a Python object, for who seals and opens payloads himself: cachekit._core.KeyRing. */
#include "log.h"

#include <cachekit/buf.h>
#include <cachekit/seal.h>

typedef struct core_ring {
    PyObject_HEAD ckit_keyring *ring;
    core_log                   *log; /* where it writes; or NULL */
} core_ring;

static ckit_keyring *ring_of(PyObject *object) { return ((core_ring *)object)->ring; }

static core_state *state_of(PyObject *object) { return PyType_GetModuleState(Py_TYPE(object)); }

static PyObject *ring_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char         *names[] = {"master_key", "previous_master_keys", NULL};
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_error           err = CKIT_ERROR_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "z|z", names, &options.master_key_hex, &options.previous_keys_hex)) {
        return NULL;
    }
    core_ring *self = (core_ring *)type->tp_alloc(type, 0);
    if (self == NULL || core_log_of(PyType_GetModuleState(type), &self->log) < 0) {
        Py_XDECREF(self);
        return NULL;
    }
    options.log = core_log_sink(self->log);
    if (ckit_keyring_open(&options, &self->ring, &err) != CKIT_OK) {
        (void)core_raise(PyType_GetModuleState(type), &err);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void ring_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    ckit_keyring_close(ring_of(object));
    core_log_release(((core_ring *)object)->log);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *fingerprint(PyObject *object, PyObject *tenant) {
    char        text[CKIT_FINGERPRINT_DIGITS + 1];
    ckit_error  err = CKIT_ERROR_INIT;
    Py_ssize_t  len;
    const char *utf8 = PyUnicode_AsUTF8AndSize(tenant, &len);
    if (utf8 == NULL) {
        return NULL;
    }
    if (ckit_keyring_fingerprint(ring_of(object), ckit_slice_of(utf8, (size_t)len), text, &err) != CKIT_OK) {
        return core_raise(state_of(object), &err);
    }
    return PyUnicode_FromString(text);
}

/* Seals, or with `opens` opens, the last argument. */
static PyObject *turn(PyObject *object, PyObject *args, bool opens) {
    ckit_seal_subject subject = {.compressed = false};
    const char       *tenant, *key, *format, *type, *print = "";
    Py_ssize_t        lengths[5] = {0};
    int               compressed;
    Py_buffer         view;
    ckit_error        err = CKIT_ERROR_INIT;
    ckit_buf          out = CKIT_BUF_INIT;
    if (opens ? !PyArg_ParseTuple(args, "s#s#s#pz#s#y*", &tenant, &lengths[0], &key, &lengths[1], &format, &lengths[2],
                                  &compressed, &type, &lengths[3], &print, &lengths[4], &view)
              : !PyArg_ParseTuple(args, "s#s#s#pz#y*", &tenant, &lengths[0], &key, &lengths[1], &format, &lengths[2],
                                  &compressed, &type, &lengths[3], &view)) {
        return NULL;
    }
    subject.tenant = ckit_slice_of(tenant, (size_t)lengths[0]);
    subject.key = ckit_slice_of(key, (size_t)lengths[1]);
    subject.format = ckit_slice_of(format, (size_t)lengths[2]);
    subject.original_type = ckit_slice_of(type, (size_t)lengths[3]);
    subject.compressed = compressed != 0;
    const ckit_slice bytes = ckit_slice_of(view.buf, (size_t)view.len);
    ckit_status      st =
        opens ? ckit_unseal(ring_of(object), &subject, ckit_slice_of(print, (size_t)lengths[4]), bytes, 0, &out, &err)
                   : ckit_seal(ring_of(object), &subject, bytes, &out, &err);
    PyBuffer_Release(&view);
    PyObject *result = st == CKIT_OK ? PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len)
                                     : core_raise(state_of(object), &err);
    if (out.ptr != NULL) {
        explicit_bzero(out.ptr, out.cap);
    }
    ckit_buf_fini(&out);
    return result;
}

static PyObject *seal(PyObject *object, PyObject *args) { return turn(object, args, false); }
static PyObject *unseal(PyObject *object, PyObject *args) { return turn(object, args, true); }

static PyMethodDef methods[] = {
    {"fingerprint", fingerprint, METH_O, "The public name of a tenant's current key: 32 hexadecimal digits."},
    {"seal", seal, METH_VARARGS,
     "seal(tenant, key, format, compressed, original_type, payload, /)\n--\n\nThe sealed form of a payload."},
    {"unseal", unseal, METH_VARARGS,
     "unseal(tenant, key, format, compressed, original_type, fingerprint, sealed, /)\n--\n\n"
     "The payload of a sealed form, with the key of that fingerprint, or with any when it is empty."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, SLOT(ring_new)},
                              {Py_tp_dealloc, SLOT(ring_dealloc)},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "KeyRing(master_key, previous_master_keys=None)\n--\n\n"
                                          "Keys for sealing payloads. Hexadecimal text; not shown anywhere."},
                              {0, NULL}};

static PyType_Spec spec = {"cachekit._core.KeyRing", (int)sizeof(core_ring), 0, Py_TPFLAGS_DEFAULT, slots};

int core_seal_exec(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    int       failed = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return failed;
}
