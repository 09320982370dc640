/* size.h - what a live object is charged with in memory. */
#ifndef CKIT_PYTHON_SIZE_H
#define CKIT_PYTHON_SIZE_H

#include "core.h"

/* Bytes of the object and, when it is a list, tuple, dict, set or frozenset (exactly), of all that is inside; each
 * container once, whatever refers to it. Of other objects what their __sizeof__ says, 64 when it says nothing. An
 * estimate: equal leaves count every time. Never fails; __sizeof__ of a class may run any code. What that raises does
 * not matter, but for what is no Exception (KeyboardInterrupt), which is pending afterwards. */
size_t core_size_of(PyObject *object);

#endif
