/* function.h - a function with a cache in front: what the files that make cachekit._core.CachedFunction share.
 *
 *     function.c         the type: made, asked, ended
 *     function_call.c    a call that memory answers, without entering Python and without letting the interpreter go
 *     function_miss.c    a blocking call that memory cannot answer
 *     function_value.c   from results to what the library keeps, and back
 *     receiver.c         `self` and `cls`: what the first argument of a method counts as
 *     async.c            the same calls for coroutine functions
 *     refresh.c          a stale value was served: a fresh one is computed in the background */
#ifndef CKIT_PYTHON_FUNCTION_H
#define CKIT_PYTHON_FUNCTION_H

#include "args.h"
#include "cache.h"

/* What the first argument of a call is. */
typedef enum core_first {
    CORE_FIRST_PLAIN, /* an argument like any other */
    CORE_FIRST_SELF,  /* the instance that a method was called on */
    CORE_FIRST_CLASS  /* the class that a class method was called on */
} core_first;

/* What is kept of a result. */
typedef enum core_kept {
    CORE_DOCUMENTS, /* one MessagePack document of the standard serializer */
    CORE_OBJECTS,   /* the object itself, in memory only */
    CORE_SERIALIZED /* what `dump` makes of it, and `load` reads back */
} core_kept;

typedef struct core_function {
    PyObject_HEAD vectorcallfunc vectorcall;
    ckit_function               *function;
    core_state                  *state;
    core_cache                  *cache;
    core_kept                    kept;
    core_first                   first;
    bool                         coroutine; /* `wrapped` is a coroutine function: calls are awaited */
    PyObject                    *wrapped;
    PyObject                    *key;  /* makes the key's text from the arguments; None = the arguments are the key */
    PyObject                    *warn; /* called with (reason, exception or None) when a call runs uncached; or None */
    PyObject                    *dump; /* CORE_SERIALIZED: object -> bytes as they are stored */
    PyObject                    *load; /* CORE_SERIALIZED: buffer -> object */
    PyObject                    *miss; /* `coroutine`: a coroutine function (CachedFunction, args, kwargs) -> result */
    PyObject *refresh; /* called with (Operation, args, kwargs, whether the first argument is a receiver) after a stale
                          value was served, returns whether it computes a fresh one; or None */
    PyObject *dict;
    PyObject *weakrefs;
    uint64_t  uncached;
    uint64_t  object_hits; /* CORE_OBJECTS: those that the library leaves to the binding to count */
} core_function;

static inline core_function *core_function_of(PyObject *object) { return (core_function *)object; }

/* ---- function_call.c ---------------------------------------------------------------------------------------- */

/* The vectorcall of the type. */
PyObject *core_function_call(PyObject *self, PyObject *const *values, size_t count, PyObject *names);
/* What a call is known by: its arguments, or what key= makes of them. As core_pack_args. */
int core_function_pack(core_function *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                       PyObject *names);
/* The wrapped function. */
PyObject *core_function_run(core_function *f, PyObject *const *values, size_t count, PyObject *names);
/* Tells why a call runs without the cache, with the pending exception as the reason (which is cleared). -1 when the
 * telling itself failed. */
int core_function_tell_uncached(core_function *f, const char *reason);

/* ---- function_miss.c ---------------------------------------------------------------------------------------- */

/* A call that memory has not answered: waits, computes, keeps. `args` stay the caller's. */
PyObject *core_function_miss(core_function *f, ckit_args *args, PyObject *const *values, size_t count, PyObject *names);

/* ---- refresh.c ----------------------------------------------------------------------------------------------- */

/* Has a stale value refreshed that was just served, unless somebody does so already. Never waits. -1 with an exception
 * that is the caller's, a signal's for instance. */
int core_refresh(core_function *f, ckit_args *args, PyObject *const *values, size_t count, PyObject *names);

/* ---- function_value.c --------------------------------------------------------------------------------------- */

/* What the caller gets for a value that the library lent; gives the value back. NULL with an exception: core_function_forgive
 * says what then. */
PyObject *core_function_take(core_function *f, ckit_value *value);
/* The same, but a value that cannot be read stays in *value: for ckit_start.rejected. */
PyObject *core_function_read(core_function *f, ckit_value *value);

/* What to do about a value that could not be read. */
typedef enum core_verdict {
    CORE_CALLERS,   /* the exception is the caller's and stays pending */
    CORE_UNCACHED,  /* this process cannot read such values: the function is run, the entry stays */
    CORE_DAMAGED,   /* the call begins again with the value as ckit_start.rejected */
    CORE_MALFORMED, /* the same with keep_rejected: the entry is of a form that somebody else may know */
} core_verdict;
/* The verdict on the pending exception, which is told and cleared unless it is the caller's. */
core_verdict core_function_forgive(core_function *f);

/* Hands a result over to the library. 0 also when the library could not keep it; -1 with an exception when it cannot be
 * kept at all: `op` still waits for a result then (core_function_fail), and the exception is the caller's unless it is an
 * Exception. Lets the interpreter go meanwhile. */
int core_function_give(core_function *f, ckit_op *op, PyObject *result);
/* The function has failed: another call takes over. The pending exception stays. */
void core_function_fail(ckit_op *op);

#endif
