/* What the first argument of a method counts as. */
#include "receiver.h"

#include "args.h"

/* ---- the table ---------------------------------------------------------------------------------------------- */

static size_t after(const core_receivers *all, size_t i) { return (i + 1) & all->mask; }

static void put(core_receivers *all, PyObject *object, core_receiver *receiver) {
    size_t i = core_receiver_place(all, object);
    while (all->slots[i].receiver != NULL) {
        i = after(all, i);
    }
    all->slots[i] = (core_receiver_slot){object, receiver};
    all->used++;
}

/* Closes the gap: what stood behind it only because its own place was taken moves up. */
static void take_out(core_receivers *all, size_t gap) {
    for (size_t i = after(all, gap); all->slots[i].receiver != NULL; i = after(all, i)) {
        const size_t home = core_receiver_place(all, all->slots[i].object);
        if (((i - home) & all->mask) >= ((i - gap) & all->mask)) {
            all->slots[gap] = all->slots[i];
            gap = i;
        }
    }
    all->slots[gap].receiver = NULL;
    all->used--;
}

/* Takes one out of the table; its ties stay, and the table's reference becomes the caller's. */
static bool remove_receiver(core_receivers *all, const core_receiver *receiver, PyObject *object) {
    for (size_t i = core_receiver_place(all, object); all->slots[i].receiver != NULL; i = after(all, i)) {
        if (all->slots[i].receiver == receiver) {
            take_out(all, i);
            return true;
        }
    }
    return false;
}

static int make_larger(core_receivers *all) {
    const size_t        count = all->slots == NULL ? 8 : 2 * (all->mask + 1);
    core_receiver_slot *old = all->slots, *slots = PyMem_Calloc(count, sizeof *slots);
    const size_t        old_count = old == NULL ? 0 : all->mask + 1;
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    all->slots = slots;
    all->mask = count - 1;
    all->used = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].receiver != NULL) {
            put(all, old[i].object, old[i].receiver);
        }
    }
    PyMem_Free(old);
    return 0;
}

core_receiver *core_receiver_add(core_receivers *all, core_state *state, PyObject *object) {
    PyObject *made = PyObject_CallFunctionObjArgs(state->receiver_type, object, state->receiver_gone, NULL);
    if (made == NULL) {
        return NULL;
    }
    core_receiver *receiver = (core_receiver *)made, *known = core_receiver_find(all, object);
    if (known != NULL) { /* meanwhile, by code that ran when it was made */
        Py_DECREF(made);
        return known;
    }
    if ((all->slots == NULL || 2 * (all->used + 1) > all->mask + 1) && make_larger(all) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    receiver->all = all;
    receiver->number = ++state->receivers;
    receiver->object = object;
    put(all, object, receiver);
    return receiver;
}

void core_receivers_end(core_receivers *all) {
    core_receiver_slot *slots = all->slots;
    const size_t        count = slots == NULL ? 0 : all->mask + 1;
    all->slots = NULL;
    all->used = 0;
    for (size_t i = 0; i < count; i++) {
        core_receiver *receiver = slots[i].receiver;
        if (receiver != NULL) {
            receiver->all = NULL;
            while (receiver->ties != NULL) {
                core_untie(receiver->ties);
            }
            Py_DECREF(receiver);
        }
    }
    PyMem_Free(slots);
}

static void forget_ties(core_receivers *all, core_receiver *receiver) {
    PyObject *owner = all->owner;
    core_tie *ties = receiver->ties; /* what code that runs meanwhile ties to it is not meant */
    receiver->ties = NULL;
    if (ties != NULL) {
        ties->at = &ties;
        Py_INCREF(owner);
        all->forget(owner, &ties);
        Py_DECREF(owner);
    }
}

void core_receiver_forget(core_receivers *all, PyObject *object) {
    core_receiver *receiver = core_receiver_find(all, object);
    if (receiver != NULL) {
        forget_ties(all, receiver);
    }
}

/* The callback of every weak reference to a receiver. */
static PyObject *gone(PyObject *module, PyObject *reference) {
    core_receiver  *receiver = (core_receiver *)reference;
    core_receivers *all;
    if (!PyObject_TypeCheck(reference, (PyTypeObject *)core_state_of(module)->receiver_type) ||
        (all = receiver->all) == NULL) {
        Py_RETURN_NONE;
    }
    receiver->all = NULL;
    if (remove_receiver(all, receiver, receiver->object)) {
        forget_ties(all, receiver);
        Py_DECREF(receiver);
    }
    Py_RETURN_NONE;
}

/* ---- ties --------------------------------------------------------------------------------------------------- */

void core_tie_to(core_tie *tie, core_receiver *receiver) {
    tie->next = receiver->ties;
    tie->at = &receiver->ties;
    if (tie->next != NULL) {
        tie->next->at = &tie->next;
    }
    receiver->ties = tie;
}

void core_untie(core_tie *tie) {
    if (tie->at != NULL) {
        *tie->at = tie->next;
        if (tie->next != NULL) {
            tie->next->at = tie->at;
        }
        tie->at = NULL;
    }
}

/* ---- packed arguments --------------------------------------------------------------------------------------- */

core_receiver *core_receiver_of(const core_receivers *all, ckit_args *args) {
    ckit_slice packed;
    if (args->count == 0 || ckit_args_pack(args, &packed, NULL) != CKIT_OK) {
        return NULL;
    }
    const uint8_t *first = packed.ptr + 1 + (args->count < 16 ? 1 : args->count <= UINT16_MAX ? 3 : 5);
    uint64_t       number, address;
    if (*first != RECEIVER_MARK) {
        return NULL;
    }
    memcpy(&number, first + 1, sizeof number);
    memcpy(&address, first + 1 + sizeof number, sizeof address);
    core_receiver *receiver = core_receiver_find(all, (PyObject *)(uintptr_t)address);
    return receiver != NULL && receiver->number == number ? receiver : NULL;
}

/* No class written in Python is any of these: whoever passes one calls the function as a function. */
static bool is_plain_value(const PyObject *object) {
    const PyTypeObject *type = Py_TYPE(object);
    return type == &PyLong_Type || type == &PyUnicode_Type || type == &PyFloat_Type || type == &PyBool_Type ||
           object == Py_None || type == &PyBytes_Type || type == &PyList_Type || type == &PyTuple_Type ||
           type == &PyDict_Type;
}

int core_receiver_pack(core_receivers *all, core_state *state, ckit_args *args, PyObject *const *values,
                       Py_ssize_t positional, PyObject *names) {
    core_receiver *receiver = positional == 0 ? NULL : core_receiver_find(all, values[0]);
    if (receiver == NULL) {
        if (positional == 0 || is_plain_value(values[0])) {
            return core_pack_args(state, args, values, positional, names);
        }
        receiver = core_receiver_add(all, state, values[0]);
        if (receiver == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
                return -1;
            }
            PyErr_Clear();
            return core_receiver_pack_named(state, args, values, positional, names);
        }
    }
    return core_pack_args_of(state, args, receiver->number, values, positional, names);
}

/* "module.qualified_name" of a class. */
static PyObject *name_of_class(core_state *state, PyObject *class) {
    PyObject *module = PyObject_GetAttr(class, state->name_module);
    PyObject *name = module == NULL ? NULL : PyObject_GetAttr(class, state->name_qualname);
    PyObject *full = name == NULL ? NULL : PyUnicode_FromFormat("%S.%S", module, name);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return full;
}

/* Whatever __cachekit_key__ has raised is about the key. */
static PyObject *refuse_own_key(PyObject *object) {
    PyObject *type, *exception, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return NULL;
    }
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    PyErr_Format(PyExc_TypeError, "__cachekit_key__ of a '%.200s' raised %R", Py_TYPE(object)->tp_name, exception);
    Py_XDECREF(type);
    Py_XDECREF(exception);
    Py_XDECREF(traceback);
    return NULL;
}

/* What an instance says of itself. */
static PyObject *own_key(core_state *state, PyObject *object) {
    PyObject *key = PyObject_GetAttr(object, state->name_cachekit_key);
    if (key == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        PyErr_Format(state->receiver_error,
                     "a '%.200s' has no identity beyond this process, or cannot be referred to weakly: give key=, or "
                     "define __cachekit_key__ in its class",
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    if (key != NULL && PyCallable_Check(key)) {
        PyObject *returned = PyObject_CallNoArgs(key);
        Py_DECREF(key);
        key = returned;
    }
    return key != NULL ? key : refuse_own_key(object);
}

#define FEW_ARGUMENTS 16

int core_receiver_pack_named(core_state *state, ckit_args *args, PyObject *const *values, Py_ssize_t positional,
                             PyObject *names) {
    if (positional == 0 || is_plain_value(values[0])) {
        return core_pack_args(state, args, values, positional, names);
    }
    PyObject *first = PyType_Check(values[0]) ? name_of_class(state, values[0]) : own_key(state, values[0]);
    if (first == NULL) {
        return -1;
    }
    const Py_ssize_t count = positional + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject        *few[FEW_ARGUMENTS];
    PyObject       **all = count <= FEW_ARGUMENTS ? few : PyMem_Malloc((size_t)count * sizeof *all);
    int              packed = -1;
    if (all == NULL) {
        PyErr_NoMemory();
    } else {
        memcpy(all, values, (size_t)count * sizeof *all);
        all[0] = first;
        packed = core_pack_args(state, args, all, positional, names);
    }
    if (all != few) {
        PyMem_Free(all);
    }
    Py_DECREF(first);
    return packed;
}

/* ---- the module's part -------------------------------------------------------------------------------------- */

static int receiver_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    return _PyWeakref_RefType.tp_traverse(self, visit, arg);
}

static int receiver_clear(PyObject *self) { return _PyWeakref_RefType.tp_clear(self); }

static void receiver_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    _PyWeakref_RefType.tp_dealloc(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {{Py_tp_traverse, SLOT(receiver_traverse)},
                              {Py_tp_clear, SLOT(receiver_clear)},
                              {Py_tp_dealloc, SLOT(receiver_dealloc)},
                              {Py_tp_doc, "A weak reference to an object that a method was called on."},
                              {0, NULL}};

static PyType_Spec spec = {"cachekit._core.Receiver", (int)sizeof(core_receiver), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};

static PyMethodDef gone_definition = {"receiver_gone", gone, METH_O, NULL};

static int intern_names(core_state *state) {
    state->name_module = PyUnicode_InternFromString("__module__");
    state->name_qualname = PyUnicode_InternFromString("__qualname__");
    state->name_cachekit_key = PyUnicode_InternFromString("__cachekit_key__");
    return PyErr_Occurred() ? -1 : 0;
}

int core_receiver_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    PyObject   *bases = PyTuple_Pack(1, &_PyWeakref_RefType);
    if (bases == NULL || intern_names(state) < 0) {
        Py_XDECREF(bases);
        return -1;
    }
    state->receiver_type = PyType_FromModuleAndSpec(module, &spec, bases);
    Py_DECREF(bases);
    state->receiver_gone = PyCFunction_New(&gone_definition, module);
    state->receiver_error = PyErr_NewException("cachekit._core.ReceiverError", PyExc_TypeError, NULL);
    if (state->receiver_type == NULL || state->receiver_gone == NULL || state->receiver_error == NULL) {
        return -1;
    }
    Py_INCREF(state->receiver_error);
    if (PyModule_AddObject(module, "ReceiverError", state->receiver_error) < 0) {
        Py_DECREF(state->receiver_error);
        return -1;
    }
    return 0;
}
