#include "guard.h"

#include <stddef.h>
#include <string.h>

typedef struct core_guard {
    PyObject_HEAD ckit_guard *guard;
    core_log                 *log; /* where it writes; or NULL */
} core_guard;

int core_add_count(PyObject *dict, const char *name, uint64_t count) {
    PyObject *number = PyLong_FromUnsignedLongLong(count);
    int       failed = number == NULL ? -1 : PyDict_SetItemString(dict, name, number);
    Py_XDECREF(number);
    return failed;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

typedef enum member_type { SWITCH, NUMBER, DECIMAL } member_type;

typedef struct member {
    const char *name;
    member_type type;
    size_t      offset;
} member;

#define MEMBER(name, type)                                                                                             \
    { #name, type, offsetof(ckit_guard_options, name) }
static const member option_members[] = {
    MEMBER(enabled, SWITCH),
    MEMBER(breaker, SWITCH),
    MEMBER(failure_threshold, NUMBER),
    MEMBER(success_threshold, NUMBER),
    MEMBER(recovery_timeout_ms, NUMBER),
    MEMBER(half_open_requests, NUMBER),
    MEMBER(excluded_kinds, NUMBER),
    MEMBER(adaptive_timeout, SWITCH),
    MEMBER(timeout_initial_ms, NUMBER),
    MEMBER(timeout_min_ms, NUMBER),
    MEMBER(timeout_max_ms, NUMBER),
    MEMBER(timeout_window, NUMBER),
    MEMBER(timeout_percentile, DECIMAL),
    MEMBER(backpressure, SWITCH),
    MEMBER(max_concurrent, NUMBER),
    MEMBER(queue_size, NUMBER),
    MEMBER(queue_timeout_ms, NUMBER),
    MEMBER(retry, SWITCH),
    MEMBER(retry_on_timeout, SWITCH),
    MEMBER(max_retries, NUMBER),
    MEMBER(retry_delay_ms, NUMBER),
};
#define MEMBER_COUNT (sizeof option_members / sizeof *option_members)

static int read_member(const member *m, PyObject *value, ckit_guard_options *out) {
    char *field = (char *)out + m->offset;
    if (m->type == SWITCH) {
        const int truth = PyObject_IsTrue(value);
        *(ckit_switch *)(void *)field = truth > 0 ? CKIT_ON : CKIT_OFF;
        return truth < 0 ? -1 : 0;
    }
    if (m->type == DECIMAL) {
        *(double *)(void *)field = PyFloat_AsDouble(value);
        return PyErr_Occurred() ? -1 : 0;
    }
    const unsigned long number = PyLong_AsUnsignedLong(value);
    if (number == (unsigned long)-1 && PyErr_Occurred()) {
        return -1;
    }
    if (number > UINT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "%s is too large", m->name);
        return -1;
    }
    *(uint32_t *)(void *)field = (uint32_t)number;
    return 0;
}

static int read_dict(PyObject *dict, ckit_guard_options *out) {
    Py_ssize_t found = 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        PyObject *value = PyDict_GetItemString(dict, option_members[i].name); /* borrowed */
        if (value != NULL) {
            found++;
            if (read_member(&option_members[i], value, out) < 0) {
                return -1;
            }
        }
    }
    if (found < PyDict_Size(dict)) {
        PyErr_SetString(PyExc_TypeError, "a guard has no such option");
        return -1;
    }
    return 0;
}

int core_guard_options(core_state *state, PyObject *given, ckit_guard_options *out, bool *named) {
    *out = (ckit_guard_options)CKIT_GUARD_OPTIONS_INIT;
    *named = given != Py_None && given != Py_True;
    if (!*named) {
        return 0;
    }
    if (given == Py_False) {
        out->enabled = CKIT_OFF;
        return 0;
    }
    if (Py_TYPE(given) == (PyTypeObject *)state->guard_type) {
        out->shared = ((core_guard *)given)->guard;
        return 0;
    }
    if (PyDict_Check(given)) {
        return read_dict(given, out);
    }
    PyErr_SetString(PyExc_TypeError, "guard is True, False, None, a dict or a Guard");
    return -1;
}

static PyObject *guard_options(PyObject *self, PyObject *Py_UNUSED(none)) {
    ckit_guard_options o = CKIT_GUARD_OPTIONS_INIT;
    PyObject          *dict = PyDict_New();
    ckit_guard_get_options(((core_guard *)self)->guard, &o);
    for (size_t i = 0; dict != NULL && i < MEMBER_COUNT; i++) {
        const member *m = &option_members[i];
        const char   *field = (const char *)&o + m->offset;
        PyObject     *value = m->type == SWITCH ? PyBool_FromLong(*(const ckit_switch *)(const void *)field != CKIT_OFF)
                              : m->type == DECIMAL ? PyFloat_FromDouble(*(const double *)(const void *)field)
                                                   : PyLong_FromUnsignedLong(*(const uint32_t *)(const void *)field);
        if (value == NULL || PyDict_SetItemString(dict, m->name, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static PyObject *timing_of(const ckit_guard_timing *t) {
    return Py_BuildValue("{sKsIsIsdsdsK}", "operations", (unsigned long long)t->operations, "window", t->window,
                         "timeout_ms", t->timeout_ms, "percentile_ms", t->percentile_ms, "average_ms", t->average_ms,
                         "timed_out", (unsigned long long)t->timed_out);
}

#define ADD(field) core_add_count(dict, #field, s.field) < 0

static PyObject *guard_stats(PyObject *self, PyObject *Py_UNUSED(none)) {
    ckit_guard_stats s = CKIT_GUARD_STATS_INIT;
    ckit_guard_get_stats(((core_guard *)self)->guard, &s);
    PyObject *since =
        s.last_failure_ms_ago == UINT64_MAX ? Py_BuildValue("") : PyLong_FromUnsignedLongLong(s.last_failure_ms_ago);
    PyObject *dict = Py_BuildValue("{sssNsNsNsN}", "state", ckit_breaker_state_name(s.state), "accepting",
                                   PyBool_FromLong(s.accepting), "last_failure_ms_ago", since, "data",
                                   timing_of(&s.data), "locks", timing_of(&s.locks));
    if (dict == NULL || ADD(failures_in_a_row) || ADD(probe_successes) || ADD(probes) || ADD(recovery_in_ms) ||
        ADD(failures) || ADD(refused) || ADD(opened) || ADD(half_opened) || ADD(closed) || ADD(in_flight) ||
        ADD(waiting) || ADD(waited) || ADD(rejected) || ADD(retries) || ADD(recovered)) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

static PyObject *guard_reset(PyObject *self, PyObject *Py_UNUSED(none)) {
    ckit_guard_reset(((core_guard *)self)->guard);
    Py_RETURN_NONE;
}

static PyObject *guard_enter(PyObject *self, PyObject *Py_UNUSED(none)) {
    ckit_guard     *guard = ((core_guard *)self)->guard;
    ckit_guard_pass pass;
    ckit_error      err = CKIT_ERROR_INIT;
    uint32_t        timeout_ms;
    ckit_status     st;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_guard_enter(guard, &pass, &timeout_ms, &err);
    Py_END_ALLOW_THREADS;
    if (st != CKIT_OK) {
        return core_raise(PyType_GetModuleState(Py_TYPE(self)), &err);
    }
    return Py_BuildValue("y#I", (const char *)&pass, (Py_ssize_t)sizeof pass, timeout_ms);
}

static PyObject *guard_leave(PyObject *self, PyObject *args) {
    const char     *bytes;
    Py_ssize_t      size;
    unsigned        kind;
    ckit_guard_pass pass;
    if (!PyArg_ParseTuple(args, "y#I", &bytes, &size, &kind)) {
        return NULL;
    }
    if (size != (Py_ssize_t)sizeof pass || kind > CKIT_KIND_CORRUPT) {
        PyErr_SetString(PyExc_ValueError, "not what enter() has given");
        return NULL;
    }
    memcpy(&pass, bytes, sizeof pass);
    ckit_guard_leave(((core_guard *)self)->guard, &pass, (ckit_error_kind)kind);
    Py_RETURN_NONE;
}

static PyObject *guard_record(PyObject *self, PyObject *args) {
    double seconds;
    int    locks = 0;
    if (!PyArg_ParseTuple(args, "d|p", &seconds, &locks)) {
        return NULL;
    }
    if (!(seconds >= 0 && seconds < 1e9)) {
        PyErr_SetString(PyExc_ValueError, "a duration in seconds, 0 or more");
        return NULL;
    }
    ckit_guard_record(((core_guard *)self)->guard, locks != 0, (uint64_t)(seconds * 1e6));
    Py_RETURN_NONE;
}

/* ---- the type ---------------------------------------------------------------------------------------------------- */

PyObject *core_guard_new(core_state *state, ckit_guard *guard, core_log *log) {
    PyTypeObject *type = (PyTypeObject *)state->guard_type;
    core_guard   *self = (core_guard *)type->tp_alloc(type, 0);
    if (self == NULL) {
        ckit_guard_release(guard);
        core_log_release(log);
        return NULL;
    }
    self->guard = guard;
    self->log = log;
    return (PyObject *)self;
}

static PyObject *guard_of_options(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    core_state        *state = PyType_GetModuleState(type);
    ckit_guard_options options = CKIT_GUARD_OPTIONS_INIT;
    ckit_backend_env   env = CKIT_BACKEND_ENV_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_guard        *guard = NULL;
    core_log          *log = NULL;
    if (PyTuple_GET_SIZE(args) > 0) {
        PyErr_SetString(PyExc_TypeError, "the options of a guard are keywords");
        return NULL;
    }
    if ((kwargs != NULL && read_dict(kwargs, &options) < 0) || core_log_of(state, &log) < 0) {
        return NULL;
    }
    env.log = core_log_sink(log);
    if (ckit_guard_new(&options, &env, &guard, &err) != CKIT_OK) {
        core_log_release(log);
        return core_raise(state, &err);
    }
    return core_guard_new(state, guard, log);
}

static void guard_dealloc(PyObject *object) {
    core_guard   *self = (core_guard *)object;
    PyTypeObject *type = Py_TYPE(object);
    ckit_guard_release(self->guard);
    core_log_release(self->log);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"stats", guard_stats, METH_NOARGS, "stats(): what it has seen and thinks, as ckit_guard_stats."},
    {"options", guard_options, METH_NOARGS, "options(): the numbers in effect, as ckit_guard_options."},
    {"reset", guard_reset, METH_NOARGS, "reset(): closes the circuit."},
    {"enter", guard_enter, METH_NOARGS, "enter(): the right to one operation, and its time limit in milliseconds."},
    {"leave", guard_leave, METH_VARARGS, "leave(pass, kind): the operation is over."},
    {"record", guard_record, METH_VARARGS, "record(seconds, locks=False): somebody else has measured an operation."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, SLOT(guard_of_options)},
                              {Py_tp_dealloc, SLOT(guard_dealloc)},
                              {Py_tp_methods, methods},
                              {Py_tp_doc, "Guard(**options)\n--\n\n"
                                          "What stands between caches and a store; options as in ckit_guard_options."},
                              {0, NULL}};

static PyType_Spec spec = {"cachekit._core.Guard", (int)sizeof(core_guard), 0, Py_TPFLAGS_DEFAULT, slots};

int core_guard_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->guard_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->guard_type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)state->guard_type);
}
