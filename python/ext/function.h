/* function.h - a function with a cache in front: what the files that make cachekit._core.CachedFunction share.
 *
 *     function.c         the type: made, asked, ended
 *     function_call.c    a call that memory answers, without entering Python and without letting the interpreter go
 *     function_miss.c    a blocking call that memory cannot answer
 *     function_many.c    many calls at once, and one loader for those that are missing
 *     function_value.c   from results to what the library keeps, and back
 *     function_method.c  a function that is a method: what `self` or `cls` counts as
 *     async.h            the same calls for coroutine functions
 *     refresh.c          a stale value was served: a fresh one is computed in the background */
#ifndef CKIT_PYTHON_FUNCTION_H
#define CKIT_PYTHON_FUNCTION_H

#include "args.h"
#include "cache.h"
#include "front.h"
#include "interop.h"

/* What the first argument of a call counts as. */
typedef enum core_first {
    CORE_FIRST_PLAIN,    /* an argument like any other */
    CORE_FIRST_IDENTITY, /* of a method in this process: the object that it is (core_receiver_pack) */
    CORE_FIRST_NAMED,    /* of a method with a store: its name or key (core_receiver_pack_named) */
    CORE_FIRST_BOUND     /* what `bound` says stands in front of it, and counts as `method` says */
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
    core_cache                  *cache;
    core_front                   front;
    bool                         has_front; /* CORE_OBJECTS that are known by their arguments */
    core_first                   first;
    uint64_t                     object_hits; /* CORE_OBJECTS: those that the library leaves to the binding to count */
    core_kept                    kept;
    core_state                  *state;
    core_first                   method;      /* what `first` becomes when the function turns out to be a method */
    uint64_t                     none_ttl_ms; /* lifetime of a result that is None; 0 = as any other */
    bool                         fail_closed; /* a store that fails makes the call fail */
    bool                         coroutine;   /* `wrapped` is a coroutine function: calls are awaited */
    PyObject                    *wrapped;
    PyObject                    *key;  /* makes the key's text from the arguments; None = the arguments are the key */
    PyObject                    *warn; /* called with (reason, exception or None) when a call runs uncached; or None */
    PyObject                    *dump; /* CORE_SERIALIZED: object -> bytes as they are stored */
    PyObject                    *load; /* CORE_SERIALIZED: buffer -> object */
    PyObject                    *miss; /* `coroutine`: a coroutine function (Operation, args, kwargs) -> result */
    PyObject *in_time; /* runs the function in a thread: (Operation, args, kwargs, seconds waited) -> result; its
                          time_out() raises; or None */
    PyObject *bound;   /* CORE_FIRST_BOUND: (args, kwargs) that `wrapped` has already; else None */
    PyObject *gone;    /* called when the function has ended and forgotten its objects; not part of cycles; or None */
    PyObject *refresh; /* called with (Operation, args, kwargs, whether the first argument is a receiver) after a stale
                          value was served, returns whether it computes a fresh one; or None */
    PyObject *
        tenant; /* the context variable that holds the tenant of a call, or what tells it from (args, kwargs); or NULL */
    core_signature *interop; /* interop mode: how calls are brought to one form; or NULL */
    PyObject       *check; /* interop mode: called before each call, raises when the backend cannot serve it; or NULL */
    PyObject  *tenants; /* called with its value when that is not None, returns the function of this tenant; or NULL */
    PyObject  *of_tenant;     /* whose the function's calls are, or NULL */
    ckit_slice tenant_text;   /* the same, borrowed from it */
    core_receivers receivers; /* CORE_FIRST_IDENTITY */
    PyObject      *dict;
    PyObject      *weakrefs;
    uint64_t       uncached;
    uint64_t       l2_timed; /* answers of the store, and how long they took altogether */
    uint64_t       l2_ns;
} core_function;

static inline core_function *core_function_of(PyObject *object) { return (core_function *)object; }

/* ---- function_call.c ---------------------------------------------------------------------------------------- */

/* The vectorcall of the type. */
PyObject *core_function_call(PyObject *self, PyObject *const *values, size_t count, PyObject *names);
/* That of functions with `tenants`. */
PyObject *core_function_call_tenant(PyObject *self, PyObject *const *values, size_t count, PyObject *names);
/* What a call is known by: its arguments, or what key= makes of them. As core_pack_args. */
int core_function_pack(core_function *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                       PyObject *names);
/* The wrapped function. */
PyObject *core_function_run(core_function *f, PyObject *const *values, size_t count, PyObject *names);
/* Whether the pending exception is the caller's: what is no Exception, and the error of interop mode. */
bool core_function_is_callers(core_function *f);
/* Calls `warn`, if there is one. As core_function_tell_uncached, but `exception` (or NULL) is not a pending one. */
int core_function_warn(core_function *f, const char *reason, PyObject *exception);
/* Tells why a call runs without the cache, with the pending exception as the reason (which is cleared). -1 with an
 * exception that is the caller's: a signal's, not that of a log that fails. */
int core_function_tell_uncached(core_function *f, const char *reason);

/* ---- function_miss.c ---------------------------------------------------------------------------------------- */

/* Nanoseconds of a clock that never goes back. */
uint64_t core_now_ns(void);
/* Counts the time that a call has taken, when the store has answered it. */
void core_function_time(core_function *f, const ckit_value *value, uint64_t began_ns);
/* A call that memory has not answered: waits, computes, keeps. `args` stay the caller's. */
PyObject *core_function_miss(core_function *f, ckit_args *args, PyObject *const *values, size_t count, PyObject *names);

/* ---- function_many.c ---------------------------------------------------------------------------------------- */

/* call_many(calls, loader, refresh), as a fast call. */
PyObject *core_function_call_many(PyObject *self, PyObject *const *values, Py_ssize_t count);

/* ---- refresh.c ----------------------------------------------------------------------------------------------- */

/* Has a stale value refreshed that was just served, unless somebody does so already. Never waits. -1 with an exception
 * that is the caller's, a signal's for instance. */
/* Has the stale value refreshed with the ticket `op`, which it takes. */
int core_refresh_with(core_function *f, ckit_op *op, ckit_args *packed, PyObject *const *values, size_t count,
                      PyObject *names);
int core_refresh(core_function *f, ckit_args *args, PyObject *const *values, size_t count, PyObject *names);

/* ---- function_value.c --------------------------------------------------------------------------------------- */

/* What the caller gets for a value that the library lent; gives the value back. NULL with an exception:
 * core_function_forgive says what then. */
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

/* Hands a result over to the library. 0 also when the library could not keep it; 1 when `op` has a poll, which tells
 * when the store has it; -1 with an exception when it cannot be kept at all: `op` still waits for a result then
 * (core_function_fail), and the exception is the caller's unless it is an Exception. Lets the interpreter go meanwhile.
 * `tie` of core_function_tie becomes the library's in any case. */
int core_function_give(core_function *f, ckit_op *op, core_tie *tie, PyObject *result);
/* How long such a result lives, of CKIT_TTL_*. */
static inline uint64_t core_function_life_of(const core_function *f, PyObject *result) {
    return result == Py_None ? f->none_ttl_ms : CKIT_TTL_DEFAULT;
}
/* The function has failed: another call takes over. The pending exception stays. */
void core_function_fail(ckit_op *op);
/* The function has failed, the pending exception says how: hands that over. What the cache gives instead, a new
 * reference, and then nothing is pending any more; or NULL, and the exception is. */
PyObject *core_function_fall_back(core_function *f, ckit_op *op);
/* The store has failed, and that is the caller's. */
static inline bool core_function_minds(const core_function *f, ckit_status st) {
    return f->fail_closed && (st >= CKIT_E_UNREACHABLE || st == CKIT_E_BUSY);
}

/* ---- function_method.c -------------------------------------------------------------------------------------- */

/* As core_function_pack, for a method. */
int core_function_pack_method(core_function *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                              PyObject *names);
/* For a call that is going to be computed: what makes its result go with the receiver that `args` begin with. NULL when
 * there is none. */
core_tie *core_function_tie(core_function *f, ckit_args *args);
/* Of one that was not used. Accepts NULL. */
void core_function_tie_free(core_tie *tie);
/* How much memory it takes. */
size_t core_function_tie_size(const core_tie *tie);
/* core_receivers.forget. */
void core_function_forget_ties(PyObject *self, core_tie **ties);

/* ---- method.c ----------------------------------------------------------------------------------------------- */

/* tp_descr_get of decorated functions: a CachedMethod, which passes the receiver on to invalidate_cache too. */
PyObject *core_method_bind(PyObject *function, PyObject *object, PyObject *type);
/* tp_repr of decorated functions. */
PyObject *core_method_name_function(PyObject *function);

#endif
