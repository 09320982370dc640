/* backend.h - a store written in Python, as a backend of the library. */
#ifndef CKIT_PYTHON_BACKEND_H
#define CKIT_PYTHON_BACKEND_H

#include "core.h"

typedef struct core_backend core_backend;

/* A backend that asks `adapter` (cachekit.backends._adapter.Adapter). It lends the adapter: whoever holds it outlives
 * the backend, or calls core_backend_let_go first. NULL with an exception; *out is the same backend for
 * core_backend_let_go. Not in a sub-interpreter: threads of the library find their way into the main one alone. */
ckit_backend *core_backend_new(core_state *state, PyObject *adapter, core_backend **out);
/* Whether the interpreter is ending and a thread of the library does not come back from the adapter: the cache must not
 * be closed then, which would wait for it, and the adapter has to stay. */
bool core_backend_is_stuck(const core_backend *backend);
/* This thread is in the middle of a call of the adapter. */
bool core_backend_is_asked_here(const core_backend *backend);
/* The adapter goes away: later calls are refused. */
void core_backend_let_go(core_backend *backend);

#endif
