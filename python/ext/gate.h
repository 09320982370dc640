/* gate.h - how threads of the library, which Python does not know, come into the interpreter and do not come too late.
 *
 * When the interpreter is ending, a thread that waits for its lock would never come back. So there is a gate, closed by
 * a function of `atexit`, which waits a while for the foreign threads that are inside. Main interpreter only. */
#ifndef CKIT_PYTHON_GATE_H
#define CKIT_PYTHON_GATE_H

#include "core.h"

#include <sys/types.h>

typedef struct core_gate core_gate;

/* One visit to the interpreter. */
typedef struct core_gate_visit {
    core_gate       *gate;
    PyGILState_STATE gil;
    PyThreadState   *own;                      /* of a thread that Python does not know; else NULL */
    pid_t            process;                  /* that it began in, of such a thread */
    PyObject        *type, *value, *traceback; /* an exception that was on its way already */
} core_gate_visit;

/* Registers that with `atexit`: the last one is called first. -1 with an exception. */
int core_at_exit(PyMethodDef *method, PyObject *self);

/* The module's gate, made when it is first needed; the caller gets a reference. NULL with an exception. */
core_gate *core_gate_of(core_state *state);
/* From any thread, with the interpreter's lock or without. */
void core_gate_release(core_gate *gate);

/* Takes the interpreter's lock; false when the gate is closed: then nothing has happened. */
bool core_gate_enter(core_gate *gate, core_gate_visit *visit);
void core_gate_leave(core_gate_visit *visit);

/* Whether the interpreter ends, and nobody comes in any more. */
bool core_gate_is_closed(const core_gate *gate);
/* Whether the gate is closed and somebody is still inside. */
bool core_gate_is_stuck(core_gate *gate);

#endif
