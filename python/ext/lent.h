/* lent.h - the bytes of a stored value as a Python buffer, without a copy. */
#ifndef CKIT_PYTHON_LENT_H
#define CKIT_PYTHON_LENT_H

#include "core.h"

/* Takes the value over: it is given back when the object and the last view of it are gone. NULL with an exception; the
 * value is given back then too. */
PyObject *core_lend(core_state *state, ckit_value *value);

#endif
