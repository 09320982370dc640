/* core.h - the extension module cachekit._core: what its parts share.
 *
 * Each part adds itself to the module with its core_<part>_exec. Nothing is static: a module may exist once in every
 * sub-interpreter. Where a part's function can fail as CPython's do, it returns -1 or NULL with an exception set. */
#ifndef CKIT_PYTHON_CORE_H
#define CKIT_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cachekit/cachekit.h>

typedef struct core_state {
    /* What is imported once: types and functions that values and arguments are told apart by. Each part fills and
     * visits its own (see CORE_OBJECTS). */
#define CORE_OBJECTS(X)                                                                                                \
    X(uuid_type) /* these four are NULL until core_is or core_type has found them */                                   \
    X(decimal_type)                                                                                                    \
    X(enum_type)                                                                                                       \
    X(pure_path_type)                                                                                                  \
    X(name_uuid) /* their modules */                                                                                   \
    X(name_decimal)                                                                                                    \
    X(name_enum)                                                                                                       \
    X(name_pathlib)                                                                                                    \
    X(datetime_type)                                                                                                   \
    X(utc)           /* timezone.utc; NULL where datetime is not the one written in C */                               \
    X(name_as_posix) /* names of attributes, interned: others fill the cache of attributes without use */              \
    X(name_bytes)                                                                                                      \
    X(name_isoformat)                                                                                                  \
    X(name_utcoffset)                                                                                                  \
    X(name_value)                                                                                                      \
    X(error_type)     /* cachekit.errors.CachekitError */                                                              \
    X(function_type)  /* CachedFunction */                                                                             \
    X(operation_type) /* Operation */                                                                                  \
    X(receiver_type)  /* Receiver: a weak reference */                                                                 \
    X(receiver_gone)  /* what it calls */                                                                              \
    X(receiver_error) /* ReceiverError */                                                                              \
    X(new_lock)       /* _thread.allocate_lock */                                                                      \
    X(method_type)    /* CachedMethod */                                                                               \
    X(name_module)                                                                                                     \
    X(name_qualname)                                                                                                   \
    X(name_func)                                                                                                       \
    X(name_cachekit_key)                                                                                               \
    X(answer_type)   /* Answer */                                                                                      \
    X(steps_type)    /* AnswerSteps */                                                                                 \
    X(batch_type)    /* Batch */                                                                                       \
    X(poll_type)     /* Poll */                                                                                        \
    X(spare_stop)    /* a StopIteration that answer.c uses again */                                                    \
    X(cache_type)    /* Cache */                                                                                       \
    X(guard_type)    /* Guard */                                                                                       \
    X(log_line)      /* cachekit._told.log_line */                                                                     \
    X(value_advice)  /* for values that no document holds: called with one, returns TypeError's text */                \
    X(values)        /* capsule: core_values (values_parts.h) */                                                       \
    X(gate)          /* capsule: keeps late threads out of an interpreter that ends (gate.h) */                        \
    X(lent_type)     /* Lent: the bytes of a stored value as a buffer (lent.c) */                                      \
    X(interop_error) /* cachekit.errors.InteropError; imported when first needed (interop.c) */
#define CORE_DECLARE(name) PyObject *name;
    CORE_OBJECTS(CORE_DECLARE)
#undef CORE_DECLARE
    uint64_t             receivers;     /* that have been given a number */
    struct core_log     *log;           /* of the library (log.h); NULL until it is needed */
    struct local_flight *flights;       /* calls that threads are computing (local.c) */
    PyObject            *spare_answers; /* ended ones, without references (answer.c) */
    unsigned             spare_answer_count;
} core_state;

/* A function in the table of a type or a module. */
#define SLOT(function) ((void *)(uintptr_t)(function))

static inline core_state *core_state_of(PyObject *module) { return (core_state *)PyModule_GetState(module); }

/* The interpreter ends: a thread that asks for its lock now would end too, where it stands. */
static inline bool core_is_finalizing(void) {
#if PY_VERSION_HEX >= 0x030d0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

/* Around what may wait while something ends, instead of Py_BEGIN_ALLOW_THREADS: at the end of the process what is left
 * of other interpreters than the first is torn down by a thread that would not get the interpreter's lock back, and
 * would end in the attempt. NULL: the lock was kept. */
static inline PyThreadState *core_let_go(void) {
    return core_is_finalizing() && PyInterpreterState_Get() != PyInterpreterState_Main() ? NULL : PyEval_SaveThread();
}
static inline void core_take_back(PyThreadState *saved) {
    if (saved != NULL) {
        PyEval_RestoreThread(saved);
    }
}

/* ---- wait.c ------------------------------------------------------------------------------------------------- */

/* A call that may wait for another one, perhaps of another process, without the interpreter's lock. */
typedef struct core_wait {
    PyThreadState *saved;
    bool           aside; /* another run has the place of this one, which has a limit */
} core_wait;
void core_wait_begin(core_wait *wait);
void core_wait_end(core_wait *wait);
/* Asked again and again while a call waits, with its core_wait: whether Ctrl-C has come; the interpreter is taken to see.
 * An exception is pending then. Who is asked waits already: if it is a run with a limit, it makes room for another. */
bool core_is_interrupted(void *context);
/* The same for who waits with the interpreter's lock: 1, and core_step_back is due; 0; -1 with an exception. */
int  core_step_aside(void);
void core_step_back(void);

/* Text of the library's as a new str. It may have been cut off inside a character. */
PyObject *core_text(const char *text);

/* Raises the exception that fits a failure of the library: cachekit.errors.CachekitError (or MemoryError), with the
 * E-code. Returns NULL. */
PyObject *core_raise(core_state *state, const ckit_error *err);
/* The same for a failure of the store that its caller is to see: a BackendError. */
PyObject *core_raise_store(core_state *state, const ckit_error *err);

/* Types of modules that are not imported with the package (types.c). */
typedef enum core_late_type { CORE_UUID, CORE_DECIMAL, CORE_ENUM, CORE_PURE_PATH } core_late_type;
/* Whether the object is an instance, of a subclass too: 1 or 0, -1 with an exception. Never imports. */
int core_is(core_state *state, core_late_type type, PyObject *object);
/* The type, borrowed; imported when it has to be. NULL with an exception. */
PyObject *core_type(core_state *state, core_late_type type);

int  core_types_exec(PyObject *module);     /* types.c */
int  core_settings_exec(PyObject *module);  /* settings.c */
int  core_args_exec(PyObject *module);      /* args.c */
int  core_values_exec(PyObject *module);    /* values.c */
int  core_storage_exec(PyObject *module);   /* storage.c */
int  core_guard_exec(PyObject *module);     /* guard.c */
int  core_seal_exec(PyObject *module);      /* seal.c */
int  core_cache_exec(PyObject *module);     /* cache.c */
int  core_function_exec(PyObject *module);  /* function.c */
int  core_operation_exec(PyObject *module); /* operation.c */
int  core_answer_exec(PyObject *module);    /* answer.c */
void core_answer_free_spare(core_state *state);
int  core_poll_exec(PyObject *module);     /* poll.c */
int  core_batch_exec(PyObject *module);    /* batch.c */
int  core_lent_exec(PyObject *module);     /* lent.c */
int  core_refresh_exec(PyObject *module);  /* refresh.c */
int  core_receiver_exec(PyObject *module); /* receiver.c */
int  core_method_exec(PyObject *module);   /* method.c */
int  core_local_exec(PyObject *module);    /* local.c */
int  core_interop_exec(PyObject *module);  /* interop.c */

#endif
