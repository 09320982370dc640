/* log.h - lines of the library as records of Python's `logging`, under the name "cachekit".
 *
 * The library writes from any thread, also while it holds locks of its own and while the thread holds the interpreter's
 * lock, so the sink waits for nothing: it puts the line into a list, and a thread of its own carries what is there into
 * the interpreter and ends. Who closes something at the end, when such a thread comes too late, brings its lines
 * himself. What cannot get there any more because the interpreter is ending goes to standard error. In other
 * interpreters than the first, where such a thread finds no way, everything goes there. */
#ifndef CKIT_PYTHON_LOG_H
#define CKIT_PYTHON_LOG_H

#include "core.h"

typedef struct core_log core_log;

/* The module's log with a reference for the caller, who holds it for as long as something writes to its sink; *out NULL
 * in other interpreters than the first. -1 with an exception. Looks up how much `logging` wants to hear. */
int core_log_of(core_state *state, core_log **out);
/* What to give to the library; NULL for NULL. */
const ckit_log *core_log_sink(const core_log *log);
/* True when the interpreter ends: lines wait from now on until core_log_bring brings them. Both with the interpreter's
 * lock held. Accepts NULL. */
bool core_log_hold(core_log *log);
void core_log_bring(core_log *log);
/* With the interpreter's lock held. Accepts NULL. */
void core_log_release(core_log *log);
/* The module ends: gives its reference back, and later lines go to standard error. Accepts NULL. */
void core_log_end(core_log *log);

#endif
