/* local.h - a function with a cache of its own, which keeps results as they are: cachekit._core.LocalFunction. */
#ifndef CKIT_PYTHON_LOCAL_H
#define CKIT_PYTHON_LOCAL_H

#include "function.h"

#include <sys/types.h>

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

/* ---- local_flight.c ----------------------------------------------------------------------------------------- */

/* A call that a thread is computing. */
typedef struct local_flight {
    struct local_flight *next;
    const core_local    *function;
    unsigned long        thread;
    pid_t                process;
    PyObject            *lock;   /* held until it has ended */
    bool                 doomed; /* forgotten meanwhile: the result is not kept */
    size_t               len;
    uint8_t              key[];
} local_flight;

/* The flight of another thread to wait for. NULL when there is none, or when this thread is computing something itself:
 * the other one may be waiting for that. */
local_flight *local_find_flight(const core_local *f, ckit_slice key);
/* Until the other thread has done. -1 with an exception, of a signal for instance. */
int local_wait_for(const local_flight *flight);
/* For a call that this thread may compute. It runs code (the collector's), in which other threads may go on: what was
 * looked for before is to be looked for again. NULL with an exception. */
local_flight *local_new_flight(const core_local *f, ckit_slice key);
/* One that has not taken off. Accepts NULL. */
void local_free_flight(local_flight *flight);
/* This thread begins to compute. */
void local_take_off(core_local *f, local_flight *flight);
/* It has ended, with a result or with a pending exception, which stays. */
void local_land(core_local *f, local_flight *flight);
/* The results of calls that are under way are not kept. `key` NULL: of all. */
void local_doom(const core_local *f, const ckit_slice *key);

#endif
