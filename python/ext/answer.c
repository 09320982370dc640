/* What a call of a coroutine function returns: awaited like a coroutine, and with a result in it that memory gave, done
 * sooner than any coroutine.
 *
 * A second type is the same but for being an iterator: `__await__` gives it. An Answer is none, so that a loop over one
 * that should have been awaited is an error. Where somebody looks for the parts of a coroutine (its frame, its code) a
 * real one takes over and is asked. */
#include "async.h"
#include "call.h"

#include <stddef.h>
#include <structmember.h>

typedef enum answer_state {
    WITH_RESULT, /* not awaited; `held` is the result */
    WITH_CALL,   /* not awaited; `held` is the Operation */
    RUNNING,     /* `held` is a coroutine, which does the rest */
    OVER
} answer_state;

typedef struct core_answer {
    PyObject_HEAD answer_state state;
    bool                       tracked;  /* by the collector */
    bool                       stepping; /* `held` is at work */
    bool                       awaited;
    core_state                *module;
    PyObject                  *function; /* the decorated one */
    PyObject                  *held;
    PyObject                  *args; /* WITH_CALL: for the function */
    PyObject                  *kwargs;
    PyObject                  *weakrefs;
} core_answer;

/* As PySendResult, which Python 3.9 does not have. */
typedef enum sent { SENT_ERROR = -1, SENT_RETURN = 0, SENT_NEXT = 1 } sent;

static core_answer *answer_of(PyObject *object) { return (core_answer *)object; }

/* ---- made and ended ------------------------------------------------------------------------------------------- */

/* Ended ones are used again: most live for a moment only. Linked by `weakrefs`. */
#ifdef __SANITIZE_ADDRESS__
#define MOST_SPARE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOST_SPARE 0
#endif
#endif
#ifndef MOST_SPARE
#define MOST_SPARE 16
#endif

static inline core_answer *take_spare(core_state *state) {
    core_answer *self = (core_answer *)state->spare_answers;
    if (self != NULL) {
        state->spare_answers = self->weakrefs;
        state->spare_answer_count--;
#ifdef Py_DEBUG
        (void)PyObject_Init((PyObject *)self, (PyTypeObject *)state->answer_type);
#else
        Py_INCREF(state->answer_type);
        Py_SET_REFCNT((PyObject *)self, 1); /* what PyObject_Init comes to for an object that has its type */
#endif
    }
    return self;
}

/* The object is ended, with nothing left in it but its type. */
static inline void free_answer(core_answer *self, core_state *state, bool was_finalized) {
    if (was_finalized || Py_TYPE(self) != (PyTypeObject *)state->answer_type ||
        state->spare_answer_count >= MOST_SPARE) {
        PyObject_GC_Del(self);
    } else {
        self->stepping = self->awaited = false;
        self->weakrefs = state->spare_answers;
        state->spare_answers = (PyObject *)self;
        state->spare_answer_count++;
    }
}

void core_answer_free_spare(core_state *state) {
    while (state->spare_answers != NULL) {
        core_answer *self = (core_answer *)state->spare_answers;
        state->spare_answers = self->weakrefs;
        PyObject_GC_Del(self);
    }
    state->spare_answer_count = 0;
}

static void track(core_answer *self) {
    if (!self->tracked) {
        self->tracked = true;
        PyObject_GC_Track(self);
    }
}

/* The collector does not see it yet. */
static inline core_answer *new_answer(core_state *module, PyObject *function, answer_state state, PyObject *held) {
    core_answer *self = take_spare(module);
    if (self == NULL) {
        self = PyObject_GC_New(core_answer, (PyTypeObject *)module->answer_type);
        if (self == NULL) {
            Py_DECREF(held);
            return NULL;
        }
        self->args = self->kwargs = NULL;
        self->tracked = self->stepping = self->awaited = false;
    }
    Py_INCREF(function);
    self->state = state;
    self->module = module;
    self->function = function;
    self->held = held;
    self->weakrefs = NULL;
    return self;
}

/* A result is not tracked by the collector: only one that refers to the very Answer that holds it would need that. */
PyObject *core_answer_with(core_state *state, PyObject *function, PyObject *result) {
    return result == NULL ? NULL : (PyObject *)new_answer(state, function, WITH_RESULT, result);
}

PyObject *core_answer_at_once(core_function *f, PyObject *result) {
    return core_answer_with(f->state, (PyObject *)f, result);
}

/* What it holds is given up. */
static void end(core_answer *self) {
    self->state = OVER;
    Py_CLEAR(self->held);
    Py_CLEAR(self->args);
    Py_CLEAR(self->kwargs);
}

PyObject *core_answer_of_call(core_function *f, const ckit_args *args, PyObject *const *values, size_t count,
                              PyObject *names) {
    Py_ssize_t   positional = PyVectorcall_NARGS(count);
    PyObject    *operation = core_operation_of_call(f, args);
    core_answer *self = operation == NULL ? NULL : new_answer(f->state, (PyObject *)f, WITH_CALL, operation);
    if (self == NULL) {
        return NULL;
    }
    track(self);
    if (core_gather(values, positional, names, &self->args, &self->kwargs) < 0) {
        end(self);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* ---- the end of an await ----------------------------------------------------------------------------------------- */

/* From Python 3.12 on `await` asks for the next step alone, and an answer has to be raised. Making an exception takes
 * longer than all the rest, so one is kept, and used again as long as no code has seen it: it
 * would have a traceback. */
#if PY_VERSION_HEX >= 0x030c0000

static inline bool is_untouched(const PyStopIterationObject *stop) {
    return Py_REFCNT(stop) == 1 && stop->traceback == NULL && stop->context == NULL;
}

static void raise_quickly(core_state *state, PyObject *result) {
    PyStopIterationObject *stop = (PyStopIterationObject *)state->spare_stop;
    if (stop == NULL || !is_untouched(stop)) {
        stop = (PyStopIterationObject *)PyObject_CallNoArgs(PyExc_StopIteration);
        if (stop == NULL) {
            Py_DECREF(result);
            return;
        }
        Py_XSETREF(state->spare_stop, (PyObject *)stop);
    }
    Py_INCREF(stop);
    Py_XSETREF(stop->value, result);
    PyErr_SetRaisedException((PyObject *)stop);
}

/* Results do not outlive their await in it. */
static void forget_last_stop(core_state *state) {
    PyStopIterationObject *stop = (PyStopIterationObject *)state->spare_stop;
    if (stop != NULL && Py_REFCNT(stop) == 1) {
        Py_CLEAR(stop->value);
    }
}

#else

static void forget_last_stop(core_state *state) { (void)state; }

#endif

static PyObject *name_of(core_answer *self, const char *attribute) {
    PyObject *name = PyObject_GetAttrString((PyObject *)self->function, attribute);
    if (name == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) { /* not made by the decorator */
        PyErr_Clear();
        name = PyUnicode_FromString("function");
    }
    return name;
}

/* A forgotten `await` is a mistake also where the answer was there already. */
static void answer_finalize(PyObject *object) {
    core_answer *self = answer_of(object);
    PyObject    *type, *exception, *traceback;
    if (self->state != WITH_RESULT && self->state != WITH_CALL) {
        return;
    }
    PyErr_Fetch(&type, &exception, &traceback);
    PyObject *name = name_of(self, "__qualname__");
    if (name == NULL || PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%S' was never awaited", name) < 0) {
        PyErr_WriteUnraisable(object);
    }
    Py_XDECREF(name);
    PyErr_Restore(type, exception, traceback);
}

static int answer_traverse(PyObject *object, visitproc visit, void *arg) {
    core_answer *self = answer_of(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->function);
    Py_VISIT(self->held);
    Py_VISIT(self->args);
    Py_VISIT(self->kwargs);
    return 0;
}

static int answer_clear(PyObject *object) {
    end(answer_of(object)); /* the function stays: it is asked for its name */
    return 0;
}

static void answer_dealloc(PyObject *object) {
    core_answer  *self = answer_of(object);
    core_state   *state = self->module;
    PyTypeObject *type = Py_TYPE(object);
    bool          finalize = self->state != OVER;
    if (finalize && PyObject_CallFinalizerFromDealloc(object) < 0) {
        return;
    }
    if (self->tracked) {
        PyObject_GC_UnTrack(object);
    }
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    if (finalize) {
        end(self);
    }
    forget_last_stop(state);
    Py_DECREF(self->function);                           /* the module lives on: its type does */
    free_answer(self, state, finalize || self->tracked); /* the collector may have finalized it */
    Py_DECREF(type);
}

/* ---- a coroutine takes over ------------------------------------------------------------------------------------- */

static PyObject *coroutine_of_result(core_answer *self) {
    PyObject *module = PyImport_ImportModule("cachekit._async");
    PyObject *coroutine = module == NULL ? NULL : PyObject_CallMethod(module, "give", "O", self->held);
    Py_XDECREF(module);
    return coroutine;
}

static int rename_coroutine(core_answer *self, PyObject *coroutine) {
    static const char *const attributes[] = {"__name__", "__qualname__"};
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        PyObject *name = name_of(self, attributes[i]);
        int       failed = name == NULL ? -1 : PyObject_SetAttrString(coroutine, attributes[i], name);
        Py_XDECREF(name);
        if (failed) {
            return -1;
        }
    }
    return 0;
}

/* From one that was not awaited to RUNNING. -1 with an exception; then nothing has changed. */
static int start(core_answer *self) {
    PyObject *coroutine = self->state == WITH_RESULT
                              ? coroutine_of_result(self)
                              : PyObject_CallFunctionObjArgs(core_function_of(self->function)->miss, self->held,
                                                             self->args, self->kwargs, NULL);
    if (coroutine == NULL || rename_coroutine(self, coroutine) < 0) {
        Py_XDECREF(coroutine);
        return -1;
    }
    if (self->state != WITH_RESULT && self->state != WITH_CALL) { /* the names ran code, and that did the same */
        Py_DECREF(coroutine);
        return 0;
    }
    end(self);
    self->state = RUNNING;
    self->held = coroutine;
    track(self);
    return 0;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030a0000

static sent send_to(PyObject *coroutine, PyObject *value, PyObject **result) {
    return (sent)PyIter_Send(coroutine, value, result);
}

#else

static sent send_to(PyObject *coroutine, PyObject *value, PyObject **result) {
    *result = PyObject_CallMethod(coroutine, "send", "O", value);
    if (*result != NULL) {
        return SENT_NEXT;
    }
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return SENT_ERROR;
    }
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    *result = PyObject_GetAttrString(exception, "value");
    Py_DECREF(type);
    Py_DECREF(exception);
    Py_XDECREF(traceback);
    return *result == NULL ? SENT_ERROR : SENT_RETURN;
}

#endif

/* What the coroutine has done: it is kept as long as it goes on. */
static void stepped(core_answer *self, bool over) {
    self->stepping = false;
    if (over) {
        end(self);
    }
}

static sent step_coroutine(core_answer *self, PyObject *value, PyObject **result) {
    if (self->stepping) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return SENT_ERROR;
    }
    self->stepping = true;
    sent what = send_to(self->held, value, result);
    stepped(self, what != SENT_NEXT);
    return what;
}

static sent step(core_answer *self, PyObject *value, PyObject **result) {
    *result = NULL;
    if (self->state == OVER) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return SENT_ERROR;
    }
    if (self->state != RUNNING && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return SENT_ERROR;
    }
    self->awaited = true;
    if (self->state == WITH_RESULT) {
        *result = self->held;
        self->held = NULL;
        self->state = OVER;
        return SENT_RETURN;
    }
    if (self->state == WITH_CALL && start(self) < 0) {
        end(self);
        return SENT_ERROR;
    }
    return self->state == RUNNING ? step_coroutine(self, value, result) : step(self, value, result);
}

/* Raises StopIteration with the result, which is taken. */
static void raise_result(PyObject *result) {
    if (PyTuple_Check(result) || PyExceptionInstance_Check(result)) { /* as the value alone they would be unpacked */
        PyObject *exception = PyObject_CallFunctionObjArgs(PyExc_StopIteration, result, NULL);
        if (exception != NULL) {
            PyErr_SetObject(PyExc_StopIteration, exception);
            Py_DECREF(exception);
        }
    } else {
        PyErr_SetObject(PyExc_StopIteration, result);
    }
    Py_DECREF(result);
}

static PyObject *send_method(PyObject *object, PyObject *value) {
    PyObject *result;
    if (step(answer_of(object), value, &result) == SENT_RETURN) {
        raise_result(result);
        return NULL;
    }
    return result;
}

static PyObject *next_step(PyObject *object) {
    core_answer *self = answer_of(object);
    PyObject    *result = self->held;
    if (self->state == WITH_RESULT) {
        self->held = NULL;
        self->state = OVER;
    } else if (step(self, Py_None, &result) != SENT_RETURN) {
        return result;
    }
    if (result == Py_None) { /* NULL without an exception: the same, without making one */
        Py_DECREF(result);
    } else {
#if PY_VERSION_HEX >= 0x030c0000
        raise_quickly(self->module, result);
#else
        raise_result(result);
#endif
    }
    return NULL;
}

static PyObject *await_slot(PyObject *object) {
    core_answer *self = answer_of(object);
    if (self->awaited && self->state == RUNNING) {
        PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
        return NULL;
    }
    Py_INCREF(object);
    return object;
}

#if PY_VERSION_HEX >= 0x030a0000
static PySendResult send_slot(PyObject *object, PyObject *value, PyObject **result) {
    return (PySendResult)step(answer_of(object), value, result);
}
#endif

/* `__await__`, where somebody calls it: what is here goes on as an iterator. */
static PyObject *await_method(PyObject *object, PyObject *unused) {
    core_answer *self = answer_of(object);
    (void)unused;
    PyObject *same = await_slot(object);
    if (same == NULL || Py_TYPE(object) == (PyTypeObject *)self->module->steps_type) {
        return same;
    }
    core_answer *steps = PyObject_GC_New(core_answer, (PyTypeObject *)self->module->steps_type);
    if (steps != NULL) {
        memcpy((char *)steps + sizeof(PyObject), (char *)self + sizeof(PyObject), sizeof *self - sizeof(PyObject));
        Py_INCREF(steps->function);
        steps->weakrefs = NULL;
        self->held = self->args = self->kwargs = NULL;
        self->state = OVER;
        steps->tracked = false;
        track(steps);
    }
    Py_DECREF(same);
    return (PyObject *)steps;
}

/* ---- thrown into, closed ----------------------------------------------------------------------------------------- */

/* Raises what `throw` was given, as `raise` would. */
static void raise_thrown(PyObject *type, PyObject *value, PyObject *traceback) {
    if (traceback != NULL && traceback != Py_None && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return;
    }
    if (PyExceptionInstance_Check(type)) {
        if (value != NULL && value != Py_None) {
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return;
        }
        value = type;
        type = PyExceptionInstance_Class(type);
    } else if (!PyExceptionClass_Check(type)) {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %.100s",
                     Py_TYPE(type)->tp_name);
        return;
    }
    if (traceback == Py_None) {
        traceback = NULL;
    }
    Py_INCREF(type);
    Py_XINCREF(value);
    Py_XINCREF(traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        (void)PyException_SetTraceback(value, traceback);
    }
    PyErr_Restore(type, value, traceback);
}

static PyObject *throw_method(PyObject *object, PyObject *args) {
    core_answer *self = answer_of(object);
    PyObject    *type, *value = NULL, *traceback = NULL, *result;
    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &type, &value, &traceback)) {
        return NULL;
    }
    if (self->state != RUNNING) {
        if (self->state == OVER) {
            PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        } else {
            end(self);
            raise_thrown(type, value, traceback);
        }
        return NULL;
    }
    if (self->stepping) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
        return NULL;
    }
    PyObject *method = PyObject_GetAttrString(self->held, "throw");
    if (method == NULL) {
        return NULL;
    }
    self->stepping = self->awaited = true;
    result = PyObject_Call(method, args, NULL);
    Py_DECREF(method);
    stepped(self, result == NULL);
    return result;
}

static PyObject *close_method(PyObject *object, PyObject *unused) {
    core_answer *self = answer_of(object);
    (void)unused;
    if (self->state == RUNNING) {
        if (self->stepping) {
            PyErr_SetString(PyExc_ValueError, "coroutine already executing");
            return NULL;
        }
        self->stepping = true;
        PyObject *closed = PyObject_CallMethod(self->held, "close", NULL);
        stepped(self, closed != NULL);
        return closed;
    }
    end(self);
    Py_RETURN_NONE;
}

/* ---- looked at --------------------------------------------------------------------------------------------------- */

static PyObject *get_name(PyObject *object, void *attribute) { return name_of(answer_of(object), attribute); }

static PyObject *get_part(PyObject *object, void *attribute) {
    core_answer *self = answer_of(object);
    const char  *name = attribute;
    if (self->state == OVER) {
        if (strcmp(name, "cr_running") == 0 || strcmp(name, "cr_suspended") == 0) {
            Py_RETURN_FALSE;
        }
        Py_RETURN_NONE;
    }
    if (self->state != RUNNING && start(self) < 0) {
        return NULL;
    }
    return PyObject_GetAttrString(self->held, name);
}

static PyObject *answer_repr(PyObject *object) {
    PyObject *name = name_of(answer_of(object), "__qualname__");
    PyObject *text = name == NULL ? NULL : PyUnicode_FromFormat("<cached coroutine object %S at %p>", name, object);
    Py_XDECREF(name);
    return text;
}

static PyMethodDef methods[] = {
    {"send", send_method, METH_O, "send(value): runs until it waits or is over; StopIteration has the result then."},
    {"throw", throw_method, METH_VARARGS, "throw(exception): raises it where the call waits."},
    {"close", close_method, METH_NOARGS, "Ends the call."},
    /* Besides the slot, which `await` uses. */
    {"__await__", await_method, METH_NOARGS | METH_COEXIST, "The steps of the call, as an iterator."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(core_answer, weakrefs), READONLY, NULL},
                                {NULL, 0, 0, 0, NULL}};

#define PART(name)                                                                                                     \
    { #name, get_part, NULL, NULL, #name }

/* `inspect.iscoroutine` asks whether it is an instance of the coroutines' type. */
static PyObject *get_class(PyObject *object, void *unused) {
    (void)object;
    (void)unused;
    Py_INCREF(&PyCoro_Type);
    return (PyObject *)&PyCoro_Type;
}

static PyGetSetDef getset[] = {{"__class__", get_class, NULL, NULL, NULL},
                               {"__name__", get_name, NULL, NULL, "__name__"},
                               {"__qualname__", get_name, NULL, NULL, "__qualname__"},
                               PART(cr_await),
                               PART(cr_code),
                               PART(cr_frame),
                               PART(cr_origin),
                               PART(cr_running),
                               PART(cr_suspended), /* raises AttributeError before Python 3.11 */
                               {NULL, NULL, NULL, NULL, NULL}};

#if PY_VERSION_HEX >= 0x030a0000
#define SEND_SLOT {Py_am_send, SLOT(send_slot)},
#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION)
#else
#define SEND_SLOT
#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC)
#endif

#define SLOTS                                                                                                          \
    {Py_tp_dealloc, SLOT(answer_dealloc)}, {Py_tp_finalize, SLOT(answer_finalize)},                                    \
        {Py_tp_traverse, SLOT(answer_traverse)}, {Py_tp_clear, SLOT(answer_clear)}, {Py_tp_repr, SLOT(answer_repr)},   \
        {Py_am_await, SLOT(await_slot)}, {Py_tp_iternext, SLOT(next_step)}, {Py_tp_methods, methods},                  \
        {Py_tp_members, members}, {Py_tp_getset, getset}, SEND_SLOT

static PyType_Slot answer_slots[] = {SLOTS{Py_tp_doc, "What a call of a cached coroutine function returns: await it."},
                                     {0, NULL}};
static PyType_Slot steps_slots[] = {
    SLOTS{Py_tp_iter, SLOT(PyObject_SelfIter)}, {Py_tp_doc, "An Answer that is stepped through."}, {0, NULL}};

static PyType_Spec answer_spec = {"cachekit._core.Answer", (int)sizeof(core_answer), 0, FLAGS, answer_slots};
static PyType_Spec steps_spec = {"cachekit._core.AnswerSteps", (int)sizeof(core_answer), 0, FLAGS, steps_slots};

static PyObject *new_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
#if PY_VERSION_HEX < 0x030a0000
    if (type != NULL) { /* what is not made here would have no function */
        ((PyTypeObject *)type)->tp_new = NULL;
    }
#endif
    return type;
}

int core_answer_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->answer_type = new_type(module, &answer_spec);
    state->steps_type = new_type(module, &steps_spec);
    return state->answer_type == NULL || state->steps_type == NULL
               ? -1
               : PyModule_AddType(module, (PyTypeObject *)state->answer_type);
}
