#include "log.h"

static int add_own(PyObject *module) {
    PyObject *errors = PyImport_ImportModule("cachekit.errors");
    if (errors == NULL) {
        return -1;
    }
    core_state *state = core_state_of(module);
    state->error_type = PyObject_GetAttrString(errors, "CachekitError");
    Py_DECREF(errors);
    return state->error_type == NULL ? -1 : PyModule_AddStringConstant(module, "version", ckit_version());
}

PyObject *core_text(const char *text) { return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace"); }

/* The class of an error that has one of its own; CachekitError when it cannot be had. New. */
static PyObject *class_of(core_state *state, ckit_status status) {
    const char *name = status == CKIT_E_AUTH_TAG           ? "DecryptionAuthenticationError"
                       : status == CKIT_E_FUNCTION_TIMEOUT ? "FunctionTimeoutError"
                                                           : NULL;
    if (name != NULL) {
        PyObject *errors = PyImport_ImportModule("cachekit.errors");
        PyObject *type = errors == NULL ? NULL : PyObject_GetAttrString(errors, name);
        Py_XDECREF(errors);
        if (type != NULL) {
            return type;
        }
        PyErr_Clear();
    }
    Py_INCREF(state->error_type);
    return state->error_type;
}

PyObject *core_raise(core_state *state, const ckit_error *err) {
    if (err->status == CKIT_E_NO_MEMORY) {
        return PyErr_NoMemory();
    }
    PyObject *type = class_of(state, err->status);
    PyObject *exception = PyObject_CallFunction(type, "Ns", core_text(err->text), ckit_status_code(err->status));
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
        Py_DECREF(exception);
    }
    Py_DECREF(type);
    return NULL;
}

PyObject *core_raise_store(core_state *state, const ckit_error *err) {
    static const char *const kinds[] = {[CKIT_KIND_TRANSIENT] = "transient",
                                        [CKIT_KIND_TIMEOUT] = "timeout",
                                        [CKIT_KIND_PERMANENT] = "permanent",
                                        [CKIT_KIND_AUTHENTICATION] = "authentication"};
    const size_t             kind = (size_t)ckit_status_kind(err->status);
    const char *name = kind < sizeof kinds / sizeof kinds[0] && kinds[kind] != NULL ? kinds[kind] : "unknown";
    PyObject   *errors = PyImport_ImportModule("cachekit.errors");
    PyObject   *type = errors == NULL ? NULL : PyObject_GetAttrString(errors, "BackendError");
    PyObject   *told = type == NULL ? NULL : PyObject_CallMethod(errors, "BackendErrorType", "s", name);
    PyObject   *exception = told == NULL ? NULL
                                         : PyObject_CallFunction(type, "NOOOOs", core_text(err->text), told, Py_None,
                                                                 Py_None, Py_None, ckit_status_code(err->status));
    (void)state;
    if (exception != NULL) {
        PyErr_SetObject(type, exception);
    }
    Py_XDECREF(exception);
    Py_XDECREF(told);
    Py_XDECREF(type);
    Py_XDECREF(errors);
    return NULL;
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    core_state *state = core_state_of(module);
    if (state != NULL) {
#define CORE_VISIT(name) Py_VISIT(state->name);
        CORE_OBJECTS(CORE_VISIT)
#undef CORE_VISIT
    }
    return 0;
}

static int clear(PyObject *module) {
    core_state *state = core_state_of(module);
    if (state != NULL) {
        core_log_end(state->log);
        state->log = NULL;
#define CORE_CLEAR(name) Py_CLEAR(state->name);
        CORE_OBJECTS(CORE_CLEAR)
#undef CORE_CLEAR
        core_answer_free_spare(state);
    }
    return 0;
}

static void free_module(void *module) { (void)clear(module); }

/* ISO C has no conversion from a function to an object pointer, and CPython's slots want one. */
static PyModuleDef_Slot slots[] = {{Py_mod_exec, SLOT(add_own)},
                                   {Py_mod_exec, SLOT(core_types_exec)},
                                   {Py_mod_exec, SLOT(core_settings_exec)},
                                   {Py_mod_exec, SLOT(core_args_exec)},
                                   {Py_mod_exec, SLOT(core_values_exec)},
                                   {Py_mod_exec, SLOT(core_storage_exec)},
                                   {Py_mod_exec, SLOT(core_guard_exec)},
                                   {Py_mod_exec, SLOT(core_seal_exec)},
                                   {Py_mod_exec, SLOT(core_cache_exec)},
                                   {Py_mod_exec, SLOT(core_function_exec)},
                                   {Py_mod_exec, SLOT(core_operation_exec)},
                                   {Py_mod_exec, SLOT(core_answer_exec)},
                                   {Py_mod_exec, SLOT(core_poll_exec)},
                                   {Py_mod_exec, SLOT(core_batch_exec)},
                                   {Py_mod_exec, SLOT(core_lent_exec)},
                                   {Py_mod_exec, SLOT(core_refresh_exec)},
                                   {Py_mod_exec, SLOT(core_receiver_exec)},
                                   {Py_mod_exec, SLOT(core_method_exec)},
                                   {Py_mod_exec, SLOT(core_local_exec)},
                                   {Py_mod_exec, SLOT(core_interop_exec)},
#if PY_VERSION_HEX >= 0x030c0000
                                   {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
                                   {Py_mod_gil, Py_MOD_GIL_USED}, /* a free-threaded interpreter switches its lock on */
#endif
                                   {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "cachekit._core",
    .m_doc = "The part of cachekit that is written in C, over libcachekit.",
    .m_size = sizeof(core_state),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = free_module,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
