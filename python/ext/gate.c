#include "gate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_END_MS 5000
#define MILLISECOND 1000000L

struct core_gate {
    atomic_bool      closed;
    _Atomic uint64_t inside;     /* lower half: foreign threads that are in the interpreter, or on their way; upper: of
                                    which process: after fork the others are not there any more */
    atomic_uint      references; /* the module's and every backend's */
};

static const char gate_name[] = "cachekit._core.gate";

bool core_gate_is_closed(const core_gate *g) { return atomic_load(&g->closed); }

void core_gate_release(core_gate *g) {
    if (atomic_fetch_sub(&g->references, 1) == 1) {
        free(g);
    }
}

static void free_capsule(PyObject *capsule) { core_gate_release(PyCapsule_GetPointer(capsule, gate_name)); }

static uint64_t nobody_here(void) { return (uint64_t)(uint32_t)getpid() << 32; }

static bool is_anybody_inside(const core_gate *g) {
    uint64_t inside = atomic_load(&g->inside);
    return inside >> 32 == nobody_here() >> 32 && (uint32_t)inside > 0;
}

static void count_in(core_gate *g, core_gate_visit *visit) {
    uint64_t before = atomic_load(&g->inside), nobody = nobody_here();
    while (!atomic_compare_exchange_weak(&g->inside, &before, (before >> 32 == nobody >> 32 ? before : nobody) + 1)) {}
    visit->process = getpid();
}

static void count_out(core_gate *g, const core_gate_visit *visit) {
    if (visit->process == getpid()) { /* else it has forked meanwhile, and was never counted here */
        atomic_fetch_sub(&g->inside, 1);
    }
}

static PyObject *close_gate(PyObject *capsule, PyObject *unused) {
    core_gate *g = PyCapsule_GetPointer(capsule, gate_name);
    (void)unused;
    if (g == NULL) {
        return NULL;
    }
    atomic_store(&g->closed, true);
    Py_BEGIN_ALLOW_THREADS;
    for (int waited = 0; waited < LONGEST_END_MS && is_anybody_inside(g); waited++) {
        (void)nanosleep(&(struct timespec){0, MILLISECOND}, NULL);
    }
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyMethodDef close_gate_method = {"close_gate", close_gate, METH_NOARGS, NULL};

int core_at_exit(PyMethodDef *method, PyObject *self) {
    PyObject *function = PyCFunction_New(method, self);
    PyObject *atexit = function == NULL ? NULL : PyImport_ImportModule("atexit");
    PyObject *answer = atexit == NULL ? NULL : PyObject_CallMethod(atexit, "register", "O", function);
    Py_XDECREF(answer);
    Py_XDECREF(atexit);
    Py_XDECREF(function);
    return answer == NULL ? -1 : 0;
}

core_gate *core_gate_of(core_state *state) {
    if (state->gate == NULL) {
        core_gate *made = calloc(1, sizeof *made);
        if (made == NULL) {
            (void)PyErr_NoMemory();
            return NULL;
        }
        atomic_init(&made->references, 1);
        PyObject *capsule = PyCapsule_New(made, gate_name, free_capsule);
        if (capsule == NULL) {
            free(made);
            return NULL;
        }
        if (core_at_exit(&close_gate_method, capsule) < 0) {
            Py_DECREF(capsule);
            return NULL;
        }
        state->gate = capsule;
    }
    core_gate *g = PyCapsule_GetPointer(state->gate, gate_name);
    if (g != NULL) {
        atomic_fetch_add(&g->references, 1);
    }
    return g;
}

/* ---- threads that Python does not know --------------------------------------------------------------------------- */

/* Python makes itself acquainted with a thread under a lock of its own, without the interpreter's; until 3.11 the child
 * of a fork in that moment waits for that lock for ever. So nobody forks in that moment. */
static pthread_mutex_t acquaintance = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t  guard_forks = PTHREAD_ONCE_INIT;

static void before_fork(void) { pthread_mutex_lock(&acquaintance); }
static void after_fork(void) { pthread_mutex_unlock(&acquaintance); }
static void register_forks(void) { (void)pthread_atfork(before_fork, after_fork, after_fork); }

/* The interpreter's lock is not held, and is not waited for. NULL without memory. */
static PyThreadState *make_acquainted(void) {
    (void)pthread_once(&guard_forks, register_forks);
    pthread_mutex_lock(&acquaintance);
    PyThreadState *own = PyThreadState_New(PyInterpreterState_Main());
    pthread_mutex_unlock(&acquaintance);
    return own;
}

static bool enter_as_foreigner(core_gate *g, core_gate_visit *visit) {
    count_in(g, visit);
    visit->own = atomic_load(&g->closed) ? NULL : make_acquainted();
    if (visit->own == NULL) {
        count_out(g, visit);
        return false;
    }
    PyEval_RestoreThread(visit->own);
    return true;
}

/* ---- visits ------------------------------------------------------------------------------------------------------ */

bool core_gate_enter(core_gate *g, core_gate_visit *visit) {
    *visit = (core_gate_visit){.gate = g};
    if (PyGILState_GetThisThreadState() == NULL) {
        if (!enter_as_foreigner(g, visit)) {
            return false;
        }
    } else if (atomic_load(&g->closed)) {
        return false;
    } else {
        visit->gil = PyGILState_Ensure();
    }
    PyErr_Fetch(&visit->type, &visit->value, &visit->traceback);
    return true;
}

void core_gate_leave(core_gate_visit *visit) {
    PyErr_Restore(visit->type, visit->value, visit->traceback);
    if (visit->own == NULL) {
        PyGILState_Release(visit->gil);
        return;
    }
    PyErr_Clear(); /* nobody is left to see it */
    PyThreadState_Clear(visit->own);
    PyThreadState_DeleteCurrent();
    count_out(visit->gate, visit);
}

bool core_gate_is_stuck(core_gate *g) { return atomic_load(&g->closed) && is_anybody_inside(g); }
