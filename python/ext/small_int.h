/* small_int.h - ints of one digit, which nearly all are, without a call. */
#ifndef CKIT_PYTHON_SMALL_INT_H
#define CKIT_PYTHON_SMALL_INT_H

#include "core.h"

#if PY_VERSION_HEX < 0x030b0000
#include <longintrepr.h>
#endif

/* 1 and the value of an int of one digit; 0 for others. */
static inline int core_small_int(PyObject *object, int64_t *value) {
    PyLongObject *number = (PyLongObject *)object;
#if PY_VERSION_HEX >= 0x030c0000
    if (!PyUnstable_Long_IsCompact(number)) {
        return 0;
    }
    *value = PyUnstable_Long_CompactValue(number);
    return 1;
#else
    const Py_ssize_t digits = Py_SIZE(number);
    *value = digits == 0 ? 0 : (int64_t)digits * (int64_t)number->ob_digit[0];
    return digits >= -1 && digits <= 1;
#endif
}

#endif
