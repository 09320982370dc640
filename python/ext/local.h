/* local.h - a function with a cache of its own, which keeps results as they are: cachekit._core.LocalFunction. */
#ifndef CKIT_PYTHON_LOCAL_H
#define CKIT_PYTHON_LOCAL_H

#include "function.h"

typedef struct local_entry local_entry;

typedef struct core_local {
    PyObject_HEAD vectorcallfunc vectorcall;
    core_state                  *state;
    core_first                   first; /* plain or by identity */
    PyObject                    *wrapped;
    PyObject                    *key; /* what it returns is the key; None = the arguments are */
    PyObject      *miss; /* of coroutine functions: (LocalFunction, *args, **kwargs) -> awaitable; else None */
    core_receivers receivers;
    uint64_t       ttl_ms;
    size_t         max_entries;
    uint64_t       seed;
    local_entry  **buckets; /* NULL: none yet */
    size_t         mask;
    size_t         count;
    local_entry   *newest, *oldest;            /* by use */
    local_entry   *first_to_end, *last_to_end; /* by the end of their lives */
    uint64_t       hits, misses;
    PyObject      *dict;
    PyObject      *weakrefs;
} core_local;

#endif
