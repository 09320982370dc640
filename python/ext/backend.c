/* A store written in Python. Every operation takes the interpreter's lock, asks the adapter, and lets the lock go. */
#include "backend.h"

#include "gate.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- in and out ------------------------------------------------------------------------------------------------ */

struct core_backend {
    ckit_backend_ops ops; /* what the adapter can */
    PyObject        *adapter;
    core_gate       *gate;
    char             name[24];
};

/* One visit to the interpreter. */
typedef struct visit {
    core_backend   *backend;
    const char     *operation;
    ckit_slice      key;
    ckit_error     *err;
    bool            writes; /* a value or a lifetime */
    core_gate_visit inside;
    struct visit   *outer; /* of this thread */
} visit;

/* What this thread is asking of stores, a store of a store last. */
static _Thread_local visit *innermost;

static ckit_status refuse(const visit *v) {
    return ckit_fail(v->err, CKIT_E_CLOSED, v->backend->name, "%s: the interpreter is ending", v->operation);
}

static bool enter(visit *v) {
    bool open = core_gate_enter(v->backend->gate, &v->inside);
    if (open) {
        v->outer = innermost;
        innermost = v;
    }
    return open;
}

static void leave(visit *v) {
    innermost = v->outer;
    core_gate_leave(&v->inside);
}

/* Whether a write failed before or after it was done is not known here. "Not reached" would say that nothing was
 * sent. */
static ckit_status status_of(const char *kind, bool writes) {
    static const struct {
        const char *kind;
        ckit_status status;
    } known[] = {{"transient", CKIT_E_UNREACHABLE},      {"timeout", CKIT_E_TIMEOUT}, {"permanent", CKIT_E_REJECTED},
                 {"authentication", CKIT_E_CREDENTIALS}, {"misuse", CKIT_E_MISUSE},   {"too large", CKIT_E_TOO_LARGE}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(kind, known[i].kind) == 0) {
            return writes && known[i].status == CKIT_E_UNREACHABLE ? CKIT_E_NETWORK : known[i].status;
        }
    }
    return CKIT_E_IO;
}

/* Python's main thread raises it where it can be raised: the call into the library cannot. */
static int raise_interrupt(void *unused) {
    (void)unused;
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    return -1;
}

/* The pending exception as a failure of the store; clears it. The adapter says what kind it is. */
static ckit_status failed(const visit *v) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    ckit_status st;
    const char *kind, *text;
    PyObject   *adapter = v->backend->adapter;
    Py_XINCREF(adapter);
    PyObject *key = PyUnicode_DecodeUTF8((const char *)v->key.ptr, (Py_ssize_t)v->key.len, "replace");
    PyObject *told =
        adapter == NULL || key == NULL ? NULL : PyObject_CallMethod(adapter, "explain", "OO", exception, key);
    if (told != NULL && PyArg_ParseTuple(told, "ss", &kind, &text)) {
        st = ckit_fail(v->err, status_of(kind, v->writes), v->backend->name, "%s: %s", v->operation, text);
    } else {
        PyErr_Clear();
        const char *name = type == NULL ? "a failure" : ((PyTypeObject *)type)->tp_name;
        st = ckit_fail(v->err, CKIT_E_IO, v->backend->name, "%s: %s", v->operation, name);
    }
    if (PyErr_GivenExceptionMatches(type, PyExc_KeyboardInterrupt)) {
        (void)Py_AddPendingCall(raise_interrupt, NULL);
    }
    Py_XDECREF(told);
    Py_XDECREF(key);
    Py_XDECREF(adapter);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return st;
}

/* Takes `result`: the status for true or false. */
static ckit_status answer(const visit *v, PyObject *result) {
    int yes = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return yes < 0 ? failed(v) : yes ? CKIT_OK : CKIT_MISS;
}

/* A method of the adapter; NULL with an exception, also when the adapter has gone. */
static PyObject *ask(const visit *v, const char *method, const char *format, ...) {
    PyObject *adapter = v->backend->adapter;
    if (adapter == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the cache is closing");
        return NULL;
    }
    va_list arguments;
    va_start(arguments, format);
    PyObject *args = Py_VaBuildValue(format, arguments);
    va_end(arguments);
    if (args == NULL) {
        return NULL;
    }
    Py_INCREF(adapter);
    PyObject *function = PyObject_GetAttrString(adapter, method);
    PyObject *result = function == NULL ? NULL : PyObject_CallObject(function, args);
    Py_XDECREF(function);
    Py_DECREF(adapter);
    Py_DECREF(args);
    return result;
}

#define KEY(v) (const char *)(v)->key.ptr, (Py_ssize_t)(v)->key.len

/* ---- the operations -------------------------------------------------------------------------------------------- */

static ckit_status append(const visit *v, PyObject *result, ckit_buf *out) {
    Py_buffer view;
    if (PyObject_GetBuffer(result, &view, PyBUF_SIMPLE) < 0) {
        return failed(v);
    }
    ckit_status st = ckit_buf_append(out, ckit_slice_of(view.buf, (size_t)view.len));
    PyBuffer_Release(&view);
    return st == CKIT_OK ? st : ckit_fail(v->err, st, v->backend->name, "no memory for a value");
}

static ckit_status get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                       ckit_error *err) {
    visit v = {.backend = self, .operation = "get", .key = key, .err = err};
    (void)deadline_ms;
    if (!enter(&v)) {
        return refuse(&v);
    }
    PyObject   *result = ask(&v, "get", "(s#)", KEY(&v));
    ckit_status st = result == NULL ? failed(&v) : result == Py_None ? CKIT_MISS : append(&v, result, out);
    *life_ms = CKIT_LIFE_UNKNOWN;
    Py_XDECREF(result);
    leave(&v);
    return st;
}

static unsigned long long seconds_of(uint64_t ms) { return ms / 1000 + (ms % 1000 != 0); }

static ckit_status set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info, uint64_t deadline_ms,
                       ckit_error *err) {
    visit v = {.backend = self, .operation = "set", .key = key, .err = err, .writes = true};
    (void)deadline_ms;
    if (!enter(&v)) {
        return refuse(&v);
    }
    const char *bytes = value.len == 0 ? "" : (const char *)value.ptr;
    PyObject   *ttl = info->ttl_ms == CKIT_TTL_NO_EXPIRY ? Py_BuildValue("") /* None */
                                                         : PyLong_FromUnsignedLongLong(seconds_of(info->ttl_ms));
    PyObject   *result = ttl == NULL ? NULL
                                     : ask(&v, "set", "(s#y#Os#s#)", KEY(&v), bytes, (Py_ssize_t)value.len, ttl,
                                         info->namespace_name.len == 0 ? "" : (const char *)info->namespace_name.ptr,
                                           (Py_ssize_t)info->namespace_name.len,
                                         info->function.len == 0 ? "" : (const char *)info->function.ptr,
                                           (Py_ssize_t)info->function.len);
    ckit_status st = result == NULL ? failed(&v) : CKIT_OK;
    Py_XDECREF(ttl);
    Py_XDECREF(result);
    leave(&v);
    return st;
}

static ckit_status asked(void *self, const char *operation, ckit_slice key, ckit_error *err) {
    visit v = {.backend = self, .operation = operation, .key = key, .err = err};
    if (!enter(&v)) {
        return refuse(&v);
    }
    ckit_status st = answer(&v, ask(&v, operation, "(s#)", KEY(&v)));
    leave(&v);
    return st;
}

static ckit_status remove_entry(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    (void)deadline_ms;
    return asked(self, "delete", key, err);
}

static ckit_status exists(void *self, ckit_slice key, uint64_t deadline_ms, ckit_error *err) {
    (void)deadline_ms;
    return asked(self, "exists", key, err);
}

static void put_text(char *to, size_t size, const char *text) {
    size_t len = strlen(text);
    len = len < size ? len : size - 1;
    memcpy(to, text, len);
    to[len] = '\0';
}

static void read_health(PyObject *result, ckit_health *out) {
    int         healthy;
    const char *type, *detail;
    if (!PyArg_ParseTuple(result, "pdss", &healthy, &out->latency_ms, &type, &detail)) {
        PyErr_Clear();
        return;
    }
    out->healthy = healthy != 0;
    put_text(out->backend_type, sizeof out->backend_type, type);
    put_text(out->detail, sizeof out->detail, detail);
}

static void health(void *self, uint64_t deadline_ms, ckit_health *out) {
    core_backend *backend = self;
    ckit_error    err = CKIT_ERROR_INIT;
    visit         v = {.backend = backend, .operation = "health_check", .err = &err};
    (void)deadline_ms;
    *out = (ckit_health){.entries = UINT64_MAX, .bytes = UINT64_MAX, .limit_bytes = UINT64_MAX};
    put_text(out->backend_type, sizeof out->backend_type, backend->name);
    if (!enter(&v)) {
        (void)refuse(&v);
    } else {
        PyObject *result = ask(&v, "health", "()");
        if (result == NULL) {
            (void)failed(&v);
        } else {
            read_health(result, out);
        }
        Py_XDECREF(result);
        leave(&v);
    }
    if (err.status != CKIT_OK) {
        put_text(out->detail, sizeof out->detail, err.text);
    }
}

static void close_backend(void *self) {
    core_backend *backend = self;
    core_gate_release(backend->gate);
    free(backend);
}

/* ---- what not every store can ------------------------------------------------------------------------------------ */

/* The adapter answers with seconds, None for no expiry, False for no entry. */
static ckit_status ttl(void *self, ckit_slice key, uint64_t deadline_ms, uint64_t *life_ms, ckit_error *err) {
    visit v = {.backend = self, .operation = "get_ttl", .key = key, .err = err};
    (void)deadline_ms;
    if (!enter(&v)) {
        return refuse(&v);
    }
    PyObject   *result = ask(&v, "get_ttl", "(s#)", KEY(&v));
    ckit_status st = CKIT_OK;
    if (result == NULL) {
        st = failed(&v);
    } else if (result == Py_False) {
        st = CKIT_MISS;
    } else if (result == Py_None) {
        *life_ms = CKIT_LIFE_NO_EXPIRY;
    } else {
        double seconds = PyFloat_AsDouble(result);
        if (seconds == -1.0 && PyErr_Occurred()) {
            st = failed(&v);
        } else {
            *life_ms = !(seconds > 0)                              ? 0 /* nor is NaN a lifetime */
                       : seconds * 1000 >= (double)CKIT_TTL_MAX_MS ? CKIT_TTL_MAX_MS
                                                                   : (uint64_t)(seconds * 1000);
        }
    }
    Py_XDECREF(result);
    leave(&v);
    return st;
}

static ckit_status touch(void *self, ckit_slice key, uint64_t ttl_ms, uint64_t deadline_ms, ckit_error *err) {
    visit v = {.backend = self, .operation = "refresh_ttl", .key = key, .err = err, .writes = true};
    (void)deadline_ms;
    if (!enter(&v)) {
        return refuse(&v);
    }
    ckit_status st = answer(&v, ask(&v, "refresh_ttl", "(s#K)", KEY(&v), seconds_of(ttl_ms)));
    leave(&v);
    return st;
}

static ckit_status delete_scope(void *self, const ckit_scope *scope, uint64_t deadline_ms, ckit_deleted *out,
                                ckit_error *err) {
    visit              v = {.backend = self, .operation = "delete", .key = ckit_slice_of("", 0), .err = err};
    unsigned long long deleted, left;
    (void)deadline_ms;
    *out = (ckit_deleted){0, 0};
    if (!enter(&v)) {
        return refuse(&v);
    }
    PyObject *result =
        ask(&v, "delete_scope", "(is#s#)", (int)scope->kind,
            scope->namespace_name.len == 0 ? "" : (const char *)scope->namespace_name.ptr,
            (Py_ssize_t)scope->namespace_name.len, scope->function.len == 0 ? "" : (const char *)scope->function.ptr,
            (Py_ssize_t)scope->function.len);
    ckit_status st = CKIT_OK;
    if (result == NULL || !PyArg_ParseTuple(result, "KK", &deleted, &left)) {
        st = failed(&v);
    } else {
        *out = (ckit_deleted){deleted, left};
    }
    Py_XDECREF(result);
    leave(&v);
    return st;
}

/* ---- making one ------------------------------------------------------------------------------------------------- */

static const ckit_backend_ops operations = {.abi = CKIT_BACKEND_ABI,
                                            .get = get,
                                            .set = set,
                                            .remove = remove_entry,
                                            .exists = exists,
                                            .health = health,
                                            .close = close_backend,
                                            .delete_scope = delete_scope};

/* What the adapter says of itself: its name, and whether it can look at lifetimes and change them. */
static int read_abilities(core_backend *backend, PyObject *adapter) {
    const char *name;
    int         can_tell, can_change;
    PyObject   *told = PyObject_CallMethod(adapter, "abilities", NULL);
    int         parsed = told != NULL && PyArg_ParseTuple(told, "spp", &name, &can_tell, &can_change);
    if (parsed) {
        put_text(backend->name, sizeof backend->name, name);
        backend->ops = operations;
        backend->ops.name = backend->name;
        backend->ops.ttl = can_tell ? ttl : NULL;
        backend->ops.touch = can_change ? touch : NULL;
    }
    Py_XDECREF(told);
    return parsed ? 0 : -1;
}

ckit_backend *core_backend_new(core_state *state, PyObject *adapter, core_backend **out) {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_RuntimeError, "backends written in Python work in the main interpreter only, not in a "
                                            "sub-interpreter: use FileBackend there, or backend=None");
        return NULL;
    }
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_backend *made;
    core_backend *backend = calloc(1, sizeof *backend);
    if (backend == NULL) {
        (void)PyErr_NoMemory();
        return NULL;
    }
    if (read_abilities(backend, adapter) < 0 || (backend->gate = core_gate_of(state)) == NULL) {
        free(backend);
        return NULL;
    }
    backend->adapter = adapter;
    if (ckit_backend_new(&backend->ops, backend, NULL, &made, &err) != CKIT_OK) {
        close_backend(backend);
        (void)core_raise(state, &err);
        return NULL;
    }
    *out = backend;
    return made;
}

bool core_backend_is_stuck(const core_backend *backend) { return core_gate_is_stuck(backend->gate); }

bool core_backend_is_asked_here(const core_backend *backend) {
    const visit *v = innermost;
    while (v != NULL && v->backend != backend) {
        v = v->outer;
    }
    return v != NULL;
}

void core_backend_let_go(core_backend *backend) { backend->adapter = NULL; }
