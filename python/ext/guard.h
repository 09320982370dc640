/* guard.h - what stands between a cache and its store, as a Python object: cachekit._core.Guard. */
#ifndef CKIT_PYTHON_GUARD_H
#define CKIT_PYTHON_GUARD_H

#include "log.h"

/* Fills `out` from the `guard` of a Cache: None = the defaults, False = off, a dict of the members of
 * ckit_guard_options (switches are bools), or a Guard to share. *named tells whether there is something in it. -1 with
 * an exception. */
int core_guard_options(core_state *state, PyObject *given, ckit_guard_options *out, bool *named);

/* A new Guard. Takes the references `guard` and `log` (or NULL), also when it answers NULL with an exception. */
PyObject *core_guard_new(core_state *state, ckit_guard *guard, core_log *log);

/* ckit_cache_stats and the like as a dict: adds `name`; -1 with an exception. */
int core_add_count(PyObject *dict, const char *name, uint64_t count);

#endif
