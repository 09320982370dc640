/* A function whose results are kept as they are, in a cache of its own: cachekit._core.LocalFunction.
 *
 * At most max_entries results, each for ttl_ms milliseconds; those that have ended go first, then the one that was not
 * used for longest. A call that is being computed by one thread is waited for by the others. Everything happens with
 * the interpreter's lock held; code of the user's, a destructor for instance, runs only while the lists are in
 * order. */
#include "local.h"

#include "async.h"
#include "call.h"

#include <stddef.h>
#include <structmember.h>
#include <time.h>

static core_local *local_of(PyObject *object) { return (core_local *)object; }

/* ---- entries ------------------------------------------------------------------------------------------------ */

struct local_entry {
    core_tie     tie; /* of the receiver that it goes with; comes first */
    local_entry *chain;
    local_entry *newer, *older;   /* by use */
    local_entry *later, *earlier; /* by the end of their lives */
    PyObject    *value;
    uint64_t     hash;
    uint64_t     ends_ms;
    size_t       len;
    uint8_t      key[];
};

/* Milliseconds, a few of them late at most. */
static uint64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline uint64_t fold(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    const wide                              product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_of(const core_local *f, ckit_slice key) {
    uint64_t hash = f->seed ^ key.len, last = 0;
    size_t   i = 0;
    for (; i + 8 <= key.len; i += 8) {
        uint64_t word;
        memcpy(&word, key.ptr + i, 8);
        hash = fold(hash ^ word, UINT64_C(0x9e3779b97f4a7c15));
    }
    memcpy(&last, key.ptr + i, key.len - i);
    return fold(hash ^ last, UINT64_C(0xd6e8feb86659fd93));
}

static local_entry *find(const core_local *f, ckit_slice key, uint64_t hash) {
    local_entry *entry = f->buckets == NULL ? NULL : f->buckets[hash & f->mask];
    while (entry != NULL &&
           (entry->hash != hash || entry->len != key.len || memcmp(entry->key, key.ptr, key.len) != 0)) {
        entry = entry->chain;
    }
    return entry;
}

static void leave_use(core_local *f, local_entry *entry) {
    *(entry->newer == NULL ? &f->newest : &entry->newer->older) = entry->older;
    *(entry->older == NULL ? &f->oldest : &entry->older->newer) = entry->newer;
}

static void enter_use(core_local *f, local_entry *entry) {
    entry->newer = NULL;
    entry->older = f->newest;
    *(f->newest == NULL ? &f->oldest : &f->newest->newer) = entry;
    f->newest = entry;
}

/* Takes one out, and puts it in front of `*dead`, for `bury`. */
static void take_out(core_local *f, local_entry *entry, local_entry **dead) {
    local_entry **at = &f->buckets[entry->hash & f->mask];
    while (*at != entry) {
        at = &(*at)->chain;
    }
    *at = entry->chain;
    leave_use(f, entry);
    *(entry->earlier == NULL ? &f->first_to_end : &entry->earlier->later) = entry->later;
    *(entry->later == NULL ? &f->last_to_end : &entry->later->earlier) = entry->earlier;
    core_untie(&entry->tie);
    f->count--;
    entry->chain = *dead;
    *dead = entry;
}

/* Lets the values go, which may run any code. */
static void bury(local_entry *dead) {
    while (dead != NULL) {
        local_entry *entry = dead;
        PyObject    *value = entry->value;
        dead = entry->chain;
        PyMem_Free(entry);
        Py_DECREF(value);
    }
}

static void take_out_ended(core_local *f, local_entry **dead) {
    const uint64_t now = now_ms();
    while (f->first_to_end != NULL && f->first_to_end->ends_ms <= now) {
        take_out(f, f->first_to_end, dead);
    }
}

static void drop_all(core_local *f) {
    local_entry *dead = NULL;
    while (f->newest != NULL) {
        take_out(f, f->newest, &dead);
    }
    bury(dead);
}

static bool make_buckets(core_local *f) {
    const size_t  count = f->buckets == NULL ? 16 : 2 * (f->mask + 1);
    local_entry **buckets = PyMem_Calloc(count, sizeof(local_entry *));
    if (buckets == NULL) {
        return false;
    }
    for (local_entry *entry = f->newest; entry != NULL; entry = entry->older) {
        entry->chain = buckets[entry->hash & (count - 1)];
        buckets[entry->hash & (count - 1)] = entry;
    }
    PyMem_Free(f->buckets);
    f->buckets = buckets;
    f->mask = count - 1;
    return true;
}

static local_entry *new_entry(core_local *f, ckit_slice key, uint64_t hash, PyObject *value) {
    local_entry *entry = PyMem_Malloc(sizeof *entry + key.len);
    if (entry == NULL) {
        return NULL;
    }
    Py_INCREF(value);
    *entry = (local_entry){.value = value, .hash = hash, .ends_ms = now_ms() + f->ttl_ms, .len = key.len};
    memcpy(entry->key, key.ptr, key.len);
    return entry;
}

static void put_in(core_local *f, local_entry *entry) {
    local_entry **bucket = &f->buckets[entry->hash & f->mask];
    entry->chain = *bucket;
    *bucket = entry;
    enter_use(f, entry);
    entry->earlier = f->last_to_end;
    *(f->last_to_end == NULL ? &f->first_to_end : &f->last_to_end->later) = entry;
    f->last_to_end = entry;
    f->count++;
}

/* Keeps a result, when there is memory for it. */
static void keep(core_local *f, ckit_slice key, uint64_t hash, core_receiver *receiver, PyObject *value) {
    if (core_is_for_one(value)) {
        return;
    }
    local_entry *dead = NULL, *known = find(f, key, hash), *entry;
    if (known != NULL) {
        take_out(f, known, &dead);
    }
    take_out_ended(f, &dead);
    while (f->count >= f->max_entries) {
        take_out(f, f->oldest, &dead);
    }
    if ((f->buckets != NULL && f->count <= f->mask) || make_buckets(f)) {
        entry = new_entry(f, key, hash, value);
        if (entry != NULL) {
            put_in(f, entry);
            if (receiver != NULL) {
                core_tie_to(&entry->tie, receiver);
            }
        }
    }
    bury(dead);
}

/* The result that is kept; borrowed. NULL when there is none. */
static inline PyObject *look(core_local *f, ckit_slice key, uint64_t hash) {
    local_entry *entry = find(f, key, hash);
    if (entry == NULL || entry->ends_ms <= now_ms()) {
        return NULL;
    }
    if (entry != f->newest) {
        leave_use(f, entry);
        enter_use(f, entry);
    }
    return entry->value;
}

/* ---- what a call is known by -------------------------------------------------------------------------------- */

/* Arguments that make no key are the caller's mistake here, so the exception says its place in the catalogue. */
static void add_code(void) {
    PyObject *type, *exception, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_OverflowError) &&
        !PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) && !PyErr_ExceptionMatches(PyExc_RecursionError)) {
        return;
    }
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    PyObject *code = PyUnicode_FromString(ckit_status_code(CKIT_E_KEY_ARGUMENT));
    if (code == NULL || PyObject_SetAttrString(exception, "code", code) < 0) {
        PyErr_Clear(); /* what went wrong first is what matters */
    }
    Py_XDECREF(code);
    PyErr_Restore(type, exception, traceback);
}

static int pack(core_local *f, ckit_args *args, PyObject *const *values, Py_ssize_t positional, PyObject *names,
                ckit_slice *key) {
    int packed;
    if (f->key != Py_None) {
        PyObject *made = PyObject_Vectorcall(f->key, values, (size_t)positional, names);
        if (made == NULL) {
            return -1;
        }
        packed = core_pack_args(f->state, args, &made, 1, NULL);
        Py_DECREF(made);
    } else if (f->first != CORE_FIRST_PLAIN) {
        packed = core_receiver_pack(&f->receivers, f->state, args, values, positional, names);
    } else {
        packed = core_pack_args(f->state, args, values, positional, names);
    }
    if (packed == 0 && ckit_args_pack(args, key, NULL) != CKIT_OK) {
        PyErr_NoMemory();
        packed = -1;
    } else if (packed < 0) {
        add_code();
    }
    return packed;
}

static void forget_ties(PyObject *self, core_tie **ties) {
    local_entry *dead = NULL;
    while (*ties != NULL) {
        take_out(local_of(self), (local_entry *)*ties, &dead);
    }
    bury(dead);
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static PyObject *run(core_local *f, PyObject *const *values, size_t count, PyObject *names) {
    return PyObject_Vectorcall(f->wrapped, values, (size_t)PyVectorcall_NARGS(count), names);
}

/* `flight` NULL: there was no memory for it. Nobody waits for the call, and its result is not kept. */
static PyObject *compute(core_local *f, local_flight *flight, ckit_args *args, ckit_slice key, uint64_t hash,
                         PyObject *const *values, size_t count, PyObject *names) {
    if (flight == NULL) {
        return run(f, values, count, names);
    }
    local_take_off(f, flight);
    PyObject *value = run(f, values, count, names);
    if (value != NULL && !flight->doomed) {
        keep(f, key, hash, core_receiver_of(&f->receivers, args), value);
    }
    local_land(f, flight);
    return value;
}

static PyObject *miss(core_local *f, ckit_args *args, ckit_slice key, uint64_t hash, PyObject *const *values,
                      size_t count, PyObject *names) {
    const local_flight *flight;
    f->misses++;
    local_flight *own = local_new_flight(f, key);
    if (own == NULL) {
        PyErr_Clear();
    }
    PyObject *value = look(f, key, hash);
    while (value == NULL && (flight = local_find_flight(f, key)) != NULL) {
        if (local_wait_for(flight) < 0) {
            local_free_flight(own);
            return NULL;
        }
        value = look(f, key, hash);
    }
    if (value == NULL) {
        return compute(f, own, args, key, hash, values, count, names);
    }
    Py_INCREF(value);
    local_free_flight(own);
    return value;
}

#define FEW_ARGUMENTS 16

/* miss(function, *args, **kwargs) */
static PyObject *miss_async(core_local *f, PyObject *const *values, size_t count, PyObject *names) {
    const size_t given = (size_t)PyVectorcall_NARGS(count) + (names == NULL ? 0 : (size_t)PyTuple_GET_SIZE(names));
    PyObject    *few[FEW_ARGUMENTS + 1];
    PyObject   **all = given <= FEW_ARGUMENTS ? few : PyMem_Malloc((given + 1) * sizeof *all);
    if (all == NULL) {
        return PyErr_NoMemory();
    }
    all[0] = (PyObject *)f;
    for (size_t i = 0; i < given; i++) {
        all[i + 1] = values[i];
    }
    f->misses++;
    PyObject *result = PyObject_Vectorcall(f->miss, all, (size_t)PyVectorcall_NARGS(count) + 1, names);
    if (all != few) {
        PyMem_Free(all);
    }
    return result;
}

static PyObject *answer_with(core_local *f, PyObject *value) {
    f->hits++;
    Py_INCREF(value);
    return f->miss == Py_None ? value : core_answer_with(f->state, (PyObject *)f, value);
}

static PyObject *call(PyObject *self, PyObject *const *values, size_t count, PyObject *names) {
    core_local *f = local_of(self);
    PyObject   *result = NULL;
    ckit_args   args;
    ckit_slice  key;
    Py_ssize_t  bypass = core_find_bypass(names);
    if (bypass >= 0) {
        return core_call_bypassing(f->wrapped, values, PyVectorcall_NARGS(count), names, bypass);
    }
    ckit_args_init(&args);
    if (pack(f, &args, values, PyVectorcall_NARGS(count), names, &key) == 0) {
        const uint64_t hash = hash_of(f, key);
        PyObject      *value = look(f, key, hash);
        result = value != NULL        ? answer_with(f, value)
                 : f->miss == Py_None ? miss(f, &args, key, hash, values, count, names)
                                      : miss_async(f, values, count, names);
    }
    ckit_args_fini(&args);
    return result;
}

/* ---- methods ------------------------------------------------------------------------------------------------ */

static PyObject *forget(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names) {
    core_local *f = local_of(self);
    ckit_args   args;
    ckit_slice  key;
    PyObject   *answer = NULL;
    ckit_args_init(&args);
    if (pack(f, &args, values, count, names, &key) == 0) {
        local_entry *entry = find(f, key, hash_of(f, key));
        local_doom(f, &key);
        answer = PyBool_FromLong(entry != NULL);
        if (entry != NULL) {
            local_entry *dead = NULL;
            take_out(f, entry, &dead);
            bury(dead);
        }
    }
    ckit_args_fini(&args);
    return answer;
}

static PyObject *forget_all(PyObject *self, PyObject *unused) {
    (void)unused;
    local_doom(local_of(self), NULL);
    drop_all(local_of(self));
    Py_RETURN_NONE;
}

static PyObject *forget_receiver(PyObject *self, PyObject *object) {
    core_local *f = local_of(self);
    bool        known = f->first == CORE_FIRST_IDENTITY && core_receiver_find(&f->receivers, object) != NULL;
    if (known) {
        core_receiver_forget(&f->receivers, object);
    }
    return PyBool_FromLong(known);
}

static PyObject *counters(PyObject *self, PyObject *unused) {
    core_local *f = local_of(self);
    (void)unused;
    return Py_BuildValue("{s:K,s:K,s:n,s:n}", "hits", (unsigned long long)f->hits, "misses",
                         (unsigned long long)f->misses, "maxsize", (Py_ssize_t)f->max_entries, "currsize",
                         (Py_ssize_t)f->count);
}

/* pack(*args, **kwargs): what the call is known by. */
static PyObject *pack_call(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names) {
    ckit_args  args;
    ckit_slice key;
    PyObject  *bytes = NULL;
    ckit_args_init(&args);
    if (pack(local_of(self), &args, values, count, names, &key) == 0) {
        bytes = PyBytes_FromStringAndSize((const char *)key.ptr, (Py_ssize_t)key.len);
    }
    ckit_args_fini(&args);
    return bytes;
}

/* look(key): (value,), or None. */
static PyObject *look_for(PyObject *self, PyObject *bytes) {
    if (!PyBytes_Check(bytes)) {
        PyErr_Format(PyExc_TypeError, "look() takes what pack() gives, not '%.100s'", Py_TYPE(bytes)->tp_name);
        return NULL;
    }
    ckit_slice key = ckit_slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    PyObject  *value = look(local_of(self), key, hash_of(local_of(self), key));
    if (value == NULL) {
        Py_RETURN_NONE;
    }
    Py_INCREF(value); /* making a tuple may run the collector, and so anything */
    return Py_BuildValue("(N)", value);
}

/* keep(value, *args, **kwargs) */
static PyObject *keep_call(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names) {
    core_local *f = local_of(self);
    ckit_args   args;
    ckit_slice  key;
    int         packed;
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "keep() takes a value and the arguments of a call");
        return NULL;
    }
    ckit_args_init(&args);
    packed = pack(f, &args, values + 1, count - 1, names, &key);
    if (packed == 0) {
        keep(f, key, hash_of(f, key), core_receiver_of(&f->receivers, &args), values[0]);
    }
    ckit_args_fini(&args);
    if (packed < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *set_name(PyObject *self, PyObject *owner_and_name) {
    (void)owner_and_name;
    local_of(self)->first = CORE_FIRST_IDENTITY;
    Py_RETURN_NONE;
}

static PyObject *reduce(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyObject_GetAttr(self, local_of(self)->state->name_qualname);
}

static PyObject *copy(PyObject *self, PyObject *unused) {
    (void)unused;
    Py_INCREF(self);
    return self;
}

/* ---- the type ----------------------------------------------------------------------------------------------- */

static PyObject *kept(PyObject *object) {
    Py_INCREF(object);
    return object;
}

static PyObject *local_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char       *names[] = {"function", "ttl_ms", "max_entries", "key", "first", "miss", NULL};
    PyObject          *wrapped, *key = Py_None, *miss_function = Py_None;
    unsigned long long ttl_ms = 0, max_entries = 0;
    int                first = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$KKOiO", names, &wrapped, &ttl_ms, &max_entries, &key, &first,
                                     &miss_function)) {
        return NULL;
    }
    if (ttl_ms < 1 || max_entries < 1 || first < CORE_FIRST_PLAIN || first > CORE_FIRST_IDENTITY) {
        PyErr_SetString(PyExc_ValueError, "ttl_ms= and max_entries= are 1 or more, first= is 0 or 1");
        return NULL;
    }
    core_local *f = (core_local *)type->tp_alloc(type, 0);
    if (f == NULL) {
        return NULL;
    }
    f->vectorcall = call;
    f->state = PyType_GetModuleState(type);
    f->wrapped = kept(wrapped);
    f->key = kept(key);
    f->miss = kept(miss_function);
    f->first = (core_first)first;
    f->receivers.owner = (PyObject *)f;
    f->receivers.forget = forget_ties;
    f->ttl_ms = ttl_ms;
    f->max_entries = max_entries < PY_SSIZE_T_MAX ? (size_t)max_entries : PY_SSIZE_T_MAX;
    f->seed = fold((uint64_t)(uintptr_t)f, now_ms() | 1) ^ UINT64_C(0xa0761d6478bd642f);
    return (PyObject *)f;
}

#define HELD(X) X(wrapped) X(key) X(miss) X(dict)

static int traverse(PyObject *self, visitproc visit, void *arg) {
    core_local *f = local_of(self);
    Py_VISIT(Py_TYPE(self));
#define VISIT(name) Py_VISIT(f->name);
    HELD(VISIT)
#undef VISIT
    for (local_entry *entry = f->newest; entry != NULL; entry = entry->older) {
        Py_VISIT(entry->value);
    }
    return 0;
}

static int clear(PyObject *self) {
    core_local *f = local_of(self);
    drop_all(f);
#define CLEAR(name) Py_CLEAR(f->name);
    HELD(CLEAR)
#undef CLEAR
    return 0;
}

static void dealloc(PyObject *self) {
    core_local   *f = local_of(self);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    core_receivers_end(&f->receivers); /* before the callbacks, in which a receiver may go */
    if (f->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)clear(self);
    PyMem_Free(f->buckets);
    type->tp_free(self);
    Py_DECREF(type);
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function)), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef methods[] = {
    {"forget", FAST(forget), "Forgets the call with these arguments; True when there was one."},
    {"forget_all", forget_all, METH_NOARGS, "Forgets every call."},
    {"forget_receiver", forget_receiver, METH_O,
     "Forgets every call on this object; False when nothing is kept by its identity."},
    {"counters", counters, METH_NOARGS, "hits, misses, maxsize, currsize."},
    {"pack", FAST(pack_call), "What the call with these arguments is known by, as bytes."},
    {"look", look_for, METH_O, "look(packed): a tuple of the result that is kept, or None."},
    {"keep", FAST(keep_call),
     "keep(result, *args, **kwargs): keeps it as the result of the call with these arguments."},
    {"__set_name__", set_name, METH_VARARGS, NULL},
    {"__reduce__", reduce, METH_NOARGS, NULL},
    {"__copy__", copy, METH_NOARGS, NULL},
    {"__deepcopy__", copy, METH_O, NULL},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(core_local, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(core_local, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(core_local, weakrefs), READONLY, NULL},
    {"__wrapped__", T_OBJECT, offsetof(core_local, wrapped), READONLY, "The function without its cache."},
    {NULL, 0, 0, 0, NULL}};

#if PY_VERSION_HEX < 0x030a0000
/* There `inspect` takes nothing but functions for coroutine functions. */
static PyObject *get_class(PyObject *self, void *unused) {
    PyObject *class = (PyObject *)(((core_local *)self)->miss != Py_None ? &PyFunction_Type : Py_TYPE(self));
    (void)unused;
    Py_INCREF(class);
    return class;
}
#endif

static PyGetSetDef getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
#if PY_VERSION_HEX < 0x030a0000
                               {"__class__", get_class, NULL, NULL, NULL},
#endif
                               {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, SLOT(local_new)},
                              {Py_tp_dealloc, SLOT(dealloc)},
                              {Py_tp_traverse, SLOT(traverse)},
                              {Py_tp_clear, SLOT(clear)},
                              {Py_tp_call, SLOT(PyVectorcall_Call)},
                              {Py_tp_repr, SLOT(core_method_name_function)},
                              {Py_tp_descr_get, SLOT(core_method_bind)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_getset, getset},
                              {0, NULL}};

static PyType_Spec spec = {
    "cachekit._core.LocalFunction", (int)sizeof(core_local), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};

int core_local_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    PyObject   *thread = PyImport_ImportModule("_thread");
    state->new_lock = thread == NULL ? NULL : PyObject_GetAttrString(thread, "allocate_lock");
    Py_XDECREF(thread);
    PyObject *type = state->new_lock == NULL ? NULL : PyType_FromModuleAndSpec(module, &spec, NULL);
    const int failed = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return failed;
}
