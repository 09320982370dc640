/* cache.h - a cache of the library as a Python object: cachekit._core.Cache. */
#ifndef CKIT_PYTHON_CACHE_H
#define CKIT_PYTHON_CACHE_H

#include "backend.h"
#include "guard.h"
#include "receiver.h"

#include <cachekit/seal.h>

#include <stdatomic.h>

/* An object that memory has let go of, waiting for somebody who holds the interpreter's lock. */
typedef struct core_corpse {
    PyObject           *object;
    struct core_corpse *next;
    struct core_cache  *cache;
    core_tie           *tie; /* the receiver whose entry it is, or NULL; begins a block that core_bury frees */
} core_corpse;

typedef struct core_cache {
    PyObject_HEAD ckit_cache *cache;
    _Atomic(core_corpse *)    graveyard; /* pushed to from any thread, emptied with the interpreter's lock held */
    PyObject                 *adapter;   /* of a store written in Python, else NULL */
    core_backend             *backend;   /* borrowed from `cache` */
    core_log                 *log;       /* where it writes; or NULL */
    PyObject                 *weakrefs;
    ckit_keyring             *ring;       /* that it was given keys for, else NULL */
    uint64_t                  front_hits; /* of its functions (front.h), which the library has not seen */
} core_cache;

/* Closing it, or a poll of it, would wait for ever (core_backend_is_stuck). */
static inline bool core_cache_is_stuck(const core_cache *cache) {
    return cache->backend != NULL && core_backend_is_stuck(cache->backend);
}

/* What can be gone through, or awaited, only once is of no use to a second caller. */
static inline bool core_is_for_one(PyObject *result) {
    return PyGen_CheckExact(result) || PyCoro_CheckExact(result) || PyAsyncGen_CheckExact(result);
}

/* A live object as the library keeps it: holds a reference that core_bury gives back, and owns `tie` (or NULL), also
 * when it answers false with MemoryError. */
bool core_object_of(core_cache *cache, PyObject *object, size_t size, core_tie *tie, ckit_object *out);
/* For an object that the library did not take. */
void core_object_drop(const ckit_object *object);
/* Gives the references of buried objects back. Runs destructors, that is, any code. */
void core_bury(core_cache *cache);
/* The same for hits, which mostly find none. */
static inline void core_bury_some(core_cache *cache) {
    if (__builtin_expect(atomic_load_explicit(&cache->graveyard, memory_order_relaxed) != NULL, 0)) {
        core_bury(cache);
    }
}

#endif
