#include "log.h"

#include "gate.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Most lines that wait for the interpreter; further ones are counted. */
#define MOST_LINES 1000u

typedef struct line {
    struct line   *next;
    int            process; /* that wrote it: a child of a fork leaves its parent's lines alone */
    ckit_log_level level;
    const char    *component; /* static text of the library */
    char           text[];
} line;

struct core_log {
    ckit_log        sink;
    atomic_uint     references; /* the module's, those of caches and guards, and that of a thread that carries */
    _Atomic(line *) lines;      /* the last one first */
    atomic_uint     waiting;
    atomic_uint     dropped;
    atomic_int      carrier; /* the process in which a thread carries lines, 0 = none does */
    atomic_int      floor;   /* lines below this level are of no interest to `logging` */
    atomic_int      held;    /* those who will bring them themselves: no thread is started for it */
    core_gate      *gate;
    PyObject       *tell; /* the module's log_line; NULL when the module has ended */
};

/* ---- bringing lines there ---------------------------------------------------------------------------------------- */

static line *take_all(core_log *log) {
    line *newest = atomic_exchange_explicit(&log->lines, NULL, memory_order_acquire);
    line *oldest = NULL;
    while (newest != NULL) {
        line *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* Where nothing else can be had. */
static void write_to_stderr(ckit_log_level level, const char *component, const char *text) {
    if (level >= CKIT_LOG_WARNING) {
        (void)fprintf(stderr, "cachekit %s: %s\n", component, text);
    }
}

/* With the interpreter's lock held. The answer is the least level that `logging` wants. While the interpreter ends
 * there may be no `logging` any more. */
static void tell(core_log *log, ckit_log_level level, const char *component, const char *text) {
    PyObject *function = log->tell;
    Py_XINCREF(function);
    PyObject *message = core_text(text);
    PyObject *answer = function == NULL || message == NULL
                           ? NULL
                           : PyObject_CallFunction(function, "isO", (int)level, component, message);
    long      floor = answer == NULL ? -1 : PyLong_AsLong(answer);
    if (PyErr_Occurred() && core_is_finalizing()) {
        PyErr_Clear();
        write_to_stderr(level, component, text);
    } else if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(function);
    } else if (answer != NULL) {
        atomic_store(&log->floor, (int)floor);
    }
    Py_XDECREF(answer);
    Py_XDECREF(message);
    Py_XDECREF(function);
}

/* `inside`: with the interpreter's lock held; else to standard error. */
static void bring(core_log *log, bool inside) {
    const int process = (int)getpid();
    for (line *l = take_all(log), *next; l != NULL; l = next) {
        next = l->next;
        atomic_fetch_sub(&log->waiting, 1);
        if (l->process == process && inside && log->tell != NULL) {
            tell(log, l->level, l->component, l->text);
        } else if (l->process == process) {
            write_to_stderr(l->level, l->component, l->text);
        }
        free(l);
    }
    const unsigned dropped = atomic_exchange(&log->dropped, 0);
    if (dropped > 0 && inside) {
        char text[64];
        (void)snprintf(text, sizeof text, "%u lines came too fast and were dropped", dropped);
        tell(log, CKIT_LOG_WARNING, "log", text);
    }
}

static bool nobody_carries(core_log *log) {
    const int now = (int)getpid();
    int       carrier = atomic_load(&log->carrier);
    return carrier != now && atomic_compare_exchange_strong(&log->carrier, &carrier, now);
}

static void *carry(void *given) {
    core_log       *log = given;
    core_gate_visit visit;
    const bool      inside = core_gate_enter(log->gate, &visit);
    do { /* a line may come between the last look and the moment from which another thread would be started */
        bring(log, inside);
        atomic_store(&log->carrier, 0);
    } while (atomic_load(&log->lines) != NULL && nobody_carries(log));
    if (inside) { /* otherwise the reference is left: the process ends */
        core_log_release(log);
        core_gate_leave(&visit);
    }
    return NULL;
}

static void start_carrying(core_log *log) {
    pthread_t      thread;
    pthread_attr_t attributes;
    sigset_t       all, before;
    atomic_fetch_add(&log->references, 1);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the program's */
    const int failed = pthread_create(&thread, &attributes, carry, log);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (failed != 0) { /* with the next line again */
        atomic_fetch_sub(&log->references, 1);
        atomic_store(&log->carrier, 0);
    }
}

/* The sink. Called by the library from any thread. */
static void write_line(void *self, ckit_log_level level, const char *component, const char *text) {
    core_log *log = self;
    if ((int)level < atomic_load_explicit(&log->floor, memory_order_relaxed)) {
        return;
    }
    const size_t size = strlen(text) + 1;
    line        *l = atomic_fetch_add(&log->waiting, 1) < MOST_LINES ? malloc(sizeof *l + size) : NULL;
    if (l == NULL) {
        atomic_fetch_sub(&log->waiting, 1);
        atomic_fetch_add(&log->dropped, 1);
        return;
    }
    *l = (line){.process = (int)getpid(), .level = level, .component = component};
    memcpy(l->text, text, size);
    l->next = atomic_load_explicit(&log->lines, memory_order_relaxed);
    while (
        !atomic_compare_exchange_weak_explicit(&log->lines, &l->next, l, memory_order_release, memory_order_relaxed)) {}
    if (atomic_load(&log->held) == 0 && nobody_carries(log)) {
        start_carrying(log);
    }
}

bool core_log_hold(core_log *log) {
    const bool holds = log != NULL && core_gate_is_closed(log->gate);
    if (holds) {
        atomic_fetch_add(&log->held, 1);
    }
    return holds;
}

void core_log_bring(core_log *log) {
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    atomic_fetch_sub(&log->held, 1);
    bring(log, true);
    PyErr_Restore(type, exception, traceback);
}

/* ---- the end of the interpreter ---------------------------------------------------------------------------------- */

static const char log_name[] = "cachekit._core.log";

static PyObject *bring_at_exit(PyObject *capsule, PyObject *unused) {
    (void)unused;
    bring(PyCapsule_GetPointer(capsule, log_name), true);
    Py_RETURN_NONE;
}

static PyMethodDef bring_method = {"bring", bring_at_exit, METH_NOARGS, NULL};

static void free_capsule(PyObject *capsule) { core_log_release(PyCapsule_GetPointer(capsule, log_name)); }

/* What is waiting then is brought before the gate is closed, which has been registered first. */
static int register_at_exit(core_log *log) {
    PyObject *capsule = PyCapsule_New(log, log_name, free_capsule);
    if (capsule == NULL) {
        return -1;
    }
    atomic_fetch_add(&log->references, 1);
    const int registered = core_at_exit(&bring_method, capsule);
    Py_DECREF(capsule);
    return registered;
}

/* ---- making one -------------------------------------------------------------------------------------------------- */

const ckit_log *core_log_sink(const core_log *log) { return log == NULL ? NULL : &log->sink; }

void core_log_release(core_log *log) {
    if (log == NULL || atomic_fetch_sub(&log->references, 1) > 1) {
        return;
    }
    bring(log, true);
    core_gate_release(log->gate);
    free(log);
}

void core_log_end(core_log *log) {
    if (log != NULL) {
        log->tell = NULL;
        core_log_release(log);
    }
}

static core_log *make(core_state *state) {
    PyObject *told = PyImport_ImportModule("cachekit._told");
    PyObject *function = told == NULL ? NULL : PyObject_GetAttrString(told, "log_line");
    core_log *log = function == NULL ? NULL : calloc(1, sizeof *log);
    Py_XDECREF(told);
    if (function != NULL && log == NULL) {
        (void)PyErr_NoMemory();
    }
    if (log == NULL || (log->gate = core_gate_of(state)) == NULL) {
        Py_XDECREF(function);
        free(log);
        return NULL;
    }
    const char *wanted = getenv("LOG_LEVEL");
    /* The environment can only ask for less than `logging` wants. */
    log->sink = (ckit_log){write_line, log, wanted == NULL || *wanted == '\0' ? CKIT_LOG_DEBUG : CKIT_LOG_DEFAULT};
    log->tell = function;
    atomic_init(&log->references, 1);
    if (register_at_exit(log) < 0) {
        core_log_end(log);
        Py_DECREF(function);
        return NULL;
    }
    state->log_line = function;
    return log;
}

int core_log_of(core_state *state, core_log **out) {
    *out = NULL;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    if (state->log == NULL && (state->log = make(state)) == NULL) {
        return -1;
    }
    PyObject *floor = PyObject_CallFunction(state->log->tell, NULL);
    if (floor == NULL) {
        return -1;
    }
    atomic_store(&state->log->floor, (int)PyLong_AsLong(floor));
    Py_DECREF(floor);
    if (PyErr_Occurred()) {
        return -1;
    }
    atomic_fetch_add(&state->log->references, 1);
    *out = state->log;
    return 0;
}
