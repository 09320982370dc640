#include "cache.h"

#include <stddef.h>
#include <stdlib.h>
#include <structmember.h>

/* ---- live objects ------------------------------------------------------------------------------------------- */

/* Called by the library from any thread, without the interpreter's lock. */
static void release(void *object, void *context) {
    core_corpse *corpse = context;
    core_cache  *cache = corpse->cache;
    core_corpse *first = atomic_load_explicit(&cache->graveyard, memory_order_relaxed);
    (void)object;
    do {
        corpse->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&cache->graveyard, &first, corpse, memory_order_release,
                                                    memory_order_relaxed));
}

static void free_tie(core_tie *tie) {
    if (tie != NULL) {
        core_untie(tie);
        free(tie);
    }
}

bool core_object_of(core_cache *cache, PyObject *object, size_t size, core_tie *tie, ckit_object *out) {
    core_corpse *corpse = malloc(sizeof *corpse);
    if (corpse == NULL) {
        free_tie(tie);
        (void)PyErr_NoMemory();
        return false;
    }
    Py_INCREF(object);
    *corpse = (core_corpse){.object = object, .cache = cache, .tie = tie};
    *out = (ckit_object){.object = object, .size = size + sizeof *corpse, .release = release, .context = corpse};
    return true;
}

void core_object_drop(const ckit_object *object) {
    core_corpse *corpse = object->context;
    PyObject    *dead = corpse->object;
    free_tie(corpse->tie);
    free(corpse);
    Py_DECREF(dead);
}

void core_bury(core_cache *cache) {
    core_corpse *corpse = atomic_exchange_explicit(&cache->graveyard, NULL, memory_order_acquire);
    while (corpse != NULL) {
        core_corpse *next = corpse->next;
        PyObject    *object = corpse->object;
        free_tie(corpse->tie);
        free(corpse);
        Py_DECREF(object);
        corpse = next;
    }
}

/* ---- the type ----------------------------------------------------------------------------------------------- */

static core_state *state_of_type(PyTypeObject *type) { return PyType_GetModuleState(type); }

/* Opens self->cache, with the log and the keys of `self`: over `adapter` when there is one, else over what the URL names.
 * -1 with an exception. */
static int open_cache(core_cache *self, const char *url, ckit_cache_options *options) {
    core_state   *state = state_of_type(Py_TYPE(self));
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_backend *store = NULL;
    ckit_status   st;
    options->log = core_log_sink(self->log);
    options->keyring = self->ring;
    if (self->adapter != NULL && (store = core_backend_new(state, self->adapter, &self->backend)) == NULL) {
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS;
    st = store != NULL ? ckit_cache_open_over(store, options, &self->cache, &err)
                       : ckit_cache_open(url, options, &self->cache, &err);
    Py_END_ALLOW_THREADS;
    if (st != CKIT_OK) {
        self->backend = NULL;
        (void)core_raise(state, &err);
        return -1;
    }
    return 0;
}

/* None, True or False. */
static bool read_switch(PyObject *value, const char *name, ckit_switch *out) {
    if (value != Py_None && !PyBool_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s= is True, False or None", name);
        return false;
    }
    *out = value == Py_None ? CKIT_DEFAULT : value == Py_True ? CKIT_ON : CKIT_OFF;
    return true;
}

/* Of the keys that were given, if any. Hexadecimal text; the library keeps no other copy. */
static int open_ring(core_cache *self, const char *master_key, const char *previous_keys) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_error           err = CKIT_ERROR_INIT;
    if (master_key == NULL && previous_keys == NULL) {
        return 0;
    }
    options.master_key_hex = master_key;
    options.previous_keys_hex = previous_keys;
    options.log = core_log_sink(self->log);
    if (ckit_keyring_open(&options, &self->ring, &err) != CKIT_OK) {
        (void)core_raise(state_of_type(Py_TYPE(self)), &err);
        return -1;
    }
    return 0;
}

static PyObject *cache_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {
        "url",         "l1",    "l1_max_bytes", "default_ttl_ms", "integrity",  "max_value_bytes",      "backend",
        "tenant",      "guard", "coherence",    "encryption",     "master_key", "previous_master_keys", "deployment",
        "fail_closed", NULL};
    PyObject          *encryption = Py_None, *fail_closed = Py_None;
    const char        *master_key = NULL, *previous_keys = NULL, *deployment = NULL;
    PyObject          *backend = Py_None;
    const char        *url = NULL;
    const char        *tenant = NULL;
    PyObject          *guard = Py_None;
    int                l1 = -1, integrity = 1, coherence = -1; /* -1: not given */
    bool               guarded;
    ckit_guard_options guard_options;
    unsigned long long l1_max_bytes = 0, default_ttl_ms = 0, max_value_bytes = 0;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "z|$pKKpKOzOpOzzzO", names, &url, &l1, &l1_max_bytes,
                                     &default_ttl_ms, &integrity, &max_value_bytes, &backend, &tenant, &guard,
                                     &coherence, &encryption, &master_key, &previous_keys, &deployment, &fail_closed)) {
        return NULL;
    }
    if (backend != Py_None && url != NULL) {
        PyErr_SetString(PyExc_ValueError, "a cache has a URL or a backend, not both");
        return NULL;
    }
    options.l1 = l1 < 0 ? CKIT_DEFAULT : l1 ? CKIT_ON : CKIT_OFF;
    options.l1_max_bytes = l1_max_bytes;
    options.default_ttl_ms = default_ttl_ms;
    options.integrity = integrity ? CKIT_DEFAULT : CKIT_OFF;
    options.max_value_bytes = max_value_bytes;
    options.tenant = tenant;
    options.coherence = coherence < 0 ? CKIT_DEFAULT : coherence ? CKIT_ON : CKIT_OFF;
    if (core_guard_options(state_of_type(type), guard, &guard_options, &guarded) < 0) {
        return NULL;
    }
    options.guard = guarded ? &guard_options : NULL;
    options.deployment_id = deployment;
    if (!read_switch(encryption, "encryption", &options.encryption) ||
        !read_switch(fail_closed, "fail_closed", &options.fail_closed)) {
        return NULL;
    }
    core_cache *self = (core_cache *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    if (backend != Py_None) {
        Py_INCREF(backend);
        self->adapter = backend;
    }
    if (core_log_of(state_of_type(type), &self->log) < 0 || open_ring(self, master_key, previous_keys) < 0 ||
        open_cache(self, url, &options) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int cache_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((core_cache *)object)->adapter);
    return 0;
}

/* Part of a cycle, for instance through a store that calls a function of this cache. */
static int cache_clear(PyObject *object) {
    core_cache *self = (core_cache *)object;
    if (self->backend != NULL) {
        core_backend_let_go(self->backend);
    }
    Py_CLEAR(self->adapter);
    return 0;
}

/* Nobody has the cache any more. */
static int end_cache(void *object) {
    core_cache    *self = object;
    PyTypeObject  *type = Py_TYPE(object);
    const bool     brings = core_log_hold(self->log);
    PyThreadState *saved = core_let_go();
    ckit_cache_close(self->cache);
    ckit_keyring_close(self->ring);
    core_take_back(saved);
    if (brings) {
        core_log_bring(self->log);
    }
    core_log_release(self->log);
    core_bury(self);
    Py_CLEAR(self->adapter);
    type->tp_free(object);
    Py_DECREF(type);
    return 0;
}

/* The collector may find it in a thread of the cache itself, which asks the store of something: closing would wait for
 * that thread. The main thread does it then, where stores that are written in Python are at home. */
static void cache_dealloc(PyObject *object) {
    core_cache *self = (core_cache *)object;
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    if (core_cache_is_stuck(self)) {
        return; /* left as it is: the process ends */
    }
    if (self->backend != NULL && core_backend_is_asked_here(self->backend)) {
        (void)Py_AddPendingCall(end_cache, object); /* left as it is when there are too many */
        return;
    }
    (void)end_cache(object);
}

#define ADD_COUNT(dict, stats, name) core_add_count(dict, #name, (stats).name)

static PyObject *cache_stats(PyObject *object, PyObject *unused) {
    ckit_cache_stats s = CKIT_CACHE_STATS_INIT;
    PyObject        *dict = PyDict_New();
    (void)unused;
    ckit_cache_get_stats(((core_cache *)object)->cache, &s);
    s.l1_hits += ((core_cache *)object)->front_hits;
    if (dict == NULL || ADD_COUNT(dict, s, l1_hits) < 0 || ADD_COUNT(dict, s, l1_stale_hits) < 0 ||
        ADD_COUNT(dict, s, l1_misses) < 0 || ADD_COUNT(dict, s, l1_entries) < 0 ||
        ADD_COUNT(dict, s, l1_used_bytes) < 0 || ADD_COUNT(dict, s, auth_failures_l1) < 0 ||
        ADD_COUNT(dict, s, auth_failures_l2) < 0 || ADD_COUNT(dict, s, suspicious_l1) < 0 ||
        ADD_COUNT(dict, s, suspicious_l2) < 0 || ADD_COUNT(dict, s, sealed_corrupt_l1) < 0 ||
        ADD_COUNT(dict, s, sealed_corrupt_l2) < 0 || ADD_COUNT(dict, s, encryption_drift) < 0 ||
        ADD_COUNT(dict, s, not_sealed) < 0 || ADD_COUNT(dict, s, sealed_without_key) < 0 ||
        ADD_COUNT(dict, s, l1_max_bytes) < 0 || ADD_COUNT(dict, s, l1_evicted) < 0 ||
        ADD_COUNT(dict, s, l1_expired) < 0 || ADD_COUNT(dict, s, l1_rejected) < 0 || ADD_COUNT(dict, s, l2_hits) < 0 ||
        ADD_COUNT(dict, s, l2_misses) < 0 || ADD_COUNT(dict, s, l2_writes) < 0 || ADD_COUNT(dict, s, l2_errors) < 0 ||
        ADD_COUNT(dict, s, l2_corrupt) < 0 || ADD_COUNT(dict, s, computed) < 0 ||
        ADD_COUNT(dict, s, function_errors) < 0 || ADD_COUNT(dict, s, flight_waits) < 0 ||
        ADD_COUNT(dict, s, flight_handovers) < 0 || ADD_COUNT(dict, s, refreshes) < 0 ||
        ADD_COUNT(dict, s, too_large) < 0 || ADD_COUNT(dict, s, uncached) < 0 ||
        ADD_COUNT(dict, s, l2_stale_hits) < 0 || ADD_COUNT(dict, s, fail_safe_served) < 0 ||
        ADD_COUNT(dict, s, soft_limits) < 0 || ADD_COUNT(dict, s, hard_limits) < 0 ||
        ADD_COUNT(dict, s, refreshes_found) < 0 || ADD_COUNT(dict, s, refreshes_put_off) < 0 ||
        ADD_COUNT(dict, s, changes_told) < 0 || ADD_COUNT(dict, s, copies_dropped) < 0 ||
        ADD_COUNT(dict, s, watches_lost) < 0 || ADD_COUNT(dict, s, changes_published) < 0 ||
        ADD_COUNT(dict, s, changes_unheard) < 0 || ADD_COUNT(dict, s, changes_unpublished) < 0 ||
        ADD_COUNT(dict, s, replay_pending) < 0 || ADD_COUNT(dict, s, replayed) < 0 ||
        ADD_COUNT(dict, s, replay_dropped) < 0 || ADD_COUNT(dict, s, messages_malformed) < 0 ||
        ADD_COUNT(dict, s, watching) < 0) {
        Py_XDECREF(dict);
        return NULL;
    }
    return dict;
}

static PyObject *cache_guard(PyObject *object, PyObject *Py_UNUSED(none)) {
    core_state *state = state_of_type(Py_TYPE(object));
    ckit_guard *guard = ckit_backend_get_guard(ckit_cache_backend(((core_cache *)object)->cache));
    core_log   *log = NULL;
    if (guard == NULL) {
        Py_RETURN_NONE;
    }
    if (core_log_of(state, &log) < 0) {
        ckit_guard_release(guard);
        return NULL;
    }
    return core_guard_new(state, guard, log);
}

static PyObject *cache_health(PyObject *object, PyObject *unused) {
    ckit_health health;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS;
    ckit_cache_health(((core_cache *)object)->cache, &health);
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("{s:N,s:d,s:N,s:N,s:I,s:I,s:I}", "healthy", PyBool_FromLong(health.healthy), "latency_ms",
                         health.latency_ms, "backend_type", core_text(health.backend_type), "detail",
                         core_text(health.detail), "connections", health.connections, "connections_in_use",
                         health.connections_in_use, "connections_max", health.connections_max);
}

/* ---- stored bytes, for backends ----------------------------------------------------------------------------- */

static PyObject *answer_of(core_cache *self, ckit_status st, const ckit_error *err) {
    if (st == CKIT_OK || st == CKIT_MISS) {
        return PyBool_FromLong(st == CKIT_OK);
    }
    return core_raise(state_of_type(Py_TYPE(self)), err);
}

static PyObject *cache_get(PyObject *object, PyObject *args) {
    core_cache        *self = (core_cache *)object;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    Py_buffer          key;
    ckit_status        st;
    if (!PyArg_ParseTuple(args, "s*", &key)) {
        return NULL;
    }
    options.encoding = CKIT_RAW;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_cache_get(self->cache, ckit_slice_of(key.buf, (size_t)key.len), &options, &value, &err);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&key);
    if (st == CKIT_MISS) {
        Py_RETURN_NONE;
    }
    PyObject *result = st == CKIT_OK
                           ? PyBytes_FromStringAndSize((const char *)value.data.ptr, (Py_ssize_t)value.data.len)
                           : core_raise(state_of_type(Py_TYPE(object)), &err);
    ckit_value_fini(&value);
    return result;
}

static PyObject *cache_set(PyObject *object, PyObject *args) {
    core_cache        *self = (core_cache *)object;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    unsigned long long ttl_ms;
    Py_buffer          key, value;
    ckit_status        st;
    if (!PyArg_ParseTuple(args, "s*y*K", &key, &value, &ttl_ms)) {
        return NULL;
    }
    options.encoding = CKIT_RAW;
    options.ttl_ms = ttl_ms;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_cache_set(self->cache, ckit_slice_of(key.buf, (size_t)key.len),
                        ckit_slice_of(value.buf, (size_t)value.len), &options, &err);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&key);
    PyBuffer_Release(&value);
    return answer_of(self, st, &err);
}

typedef ckit_status (*key_operation)(ckit_cache *, ckit_slice, const ckit_entry_options *, ckit_error *);

static PyObject *on_key(PyObject *object, PyObject *args, key_operation operation) {
    core_cache *self = (core_cache *)object;
    ckit_error  err = CKIT_ERROR_INIT;
    Py_buffer   key;
    ckit_status st;
    if (!PyArg_ParseTuple(args, "s*", &key)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    st = operation(self->cache, ckit_slice_of(key.buf, (size_t)key.len), NULL, &err);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&key);
    return answer_of(self, st, &err);
}

static PyObject *cache_delete(PyObject *object, PyObject *args) { return on_key(object, args, ckit_cache_delete); }
static PyObject *cache_exists(PyObject *object, PyObject *args) { return on_key(object, args, ckit_cache_exists); }

static PyObject *cache_ttl(PyObject *object, PyObject *args) {
    core_cache *self = (core_cache *)object;
    ckit_error  err = CKIT_ERROR_INIT;
    uint64_t    life_ms = 0;
    Py_buffer   key;
    ckit_status st;
    if (!PyArg_ParseTuple(args, "s*", &key)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_cache_ttl(self->cache, ckit_slice_of(key.buf, (size_t)key.len), NULL, &life_ms, &err);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&key);
    if (st == CKIT_OK) {
        return PyLong_FromUnsignedLongLong(life_ms);
    }
    if (st != CKIT_MISS) {
        return core_raise(state_of_type(Py_TYPE(object)), &err);
    }
    Py_RETURN_NONE;
}

static PyObject *cache_touch(PyObject *object, PyObject *args) {
    core_cache        *self = (core_cache *)object;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    unsigned long long ttl_ms;
    Py_buffer          key;
    ckit_status        st;
    if (!PyArg_ParseTuple(args, "s*K", &key, &ttl_ms)) {
        return NULL;
    }
    options.ttl_ms = ttl_ms;
    Py_BEGIN_ALLOW_THREADS;
    st = ckit_cache_touch(self->cache, ckit_slice_of(key.buf, (size_t)key.len), &options, &err);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&key);
    return answer_of(self, st, &err);
}

/* ---- locks of the store --------------------------------------------------------------------------------------- */

typedef enum lock_step { LOCK_TRY, LOCK_RENEW, LOCK_RELEASE } lock_step;

/* Without a lease for LOCK_TRY; `lease_ms` is nothing to LOCK_RELEASE. */
static PyObject *on_lock(core_cache *self, PyObject *args, lock_step step) {
    ckit_backend      *store = ckit_cache_backend(self->cache);
    ckit_lease         lease = {.fence = 0};
    ckit_error         err = CKIT_ERROR_INIT;
    unsigned long long lease_ms = 0;
    Py_buffer          key, token = {.buf = NULL};
    ckit_status        st = CKIT_OK;
    int                parsed = step == LOCK_TRY     ? PyArg_ParseTuple(args, "s*K", &key, &lease_ms)
                                : step == LOCK_RENEW ? PyArg_ParseTuple(args, "s*y*K", &key, &token, &lease_ms)
                                                     : PyArg_ParseTuple(args, "s*y*", &key, &token);
    if (!parsed) {
        return NULL;
    }
    const ckit_backend_ops *ops = store == NULL ? NULL : ckit_backend_operations(store);
    if (ops == NULL || ops->lock_try == NULL || (step != LOCK_TRY && token.len != (Py_ssize_t)sizeof lease.token)) {
        st = ckit_fail(&err, ops == NULL || ops->lock_try == NULL ? CKIT_E_UNSUPPORTED : CKIT_E_MISUSE, "lock",
                       ops == NULL || ops->lock_try == NULL ? "the store has no locks" : "no token of a lock");
    }
    if (st == CKIT_OK) {
        void      *store_self = ckit_backend_self(store);
        ckit_slice name = ckit_slice_of(key.buf, (size_t)key.len);
        if (step != LOCK_TRY) {
            memcpy(lease.token, token.buf, sizeof lease.token);
        }
        Py_BEGIN_ALLOW_THREADS;
        st = step == LOCK_TRY     ? ops->lock_try(store_self, name, lease_ms, CKIT_NO_DEADLINE, &lease, &err)
             : step == LOCK_RENEW ? ops->lock_renew(store_self, name, &lease, lease_ms, CKIT_NO_DEADLINE, &err)
                                  : ops->lock_release(store_self, name, &lease, CKIT_NO_DEADLINE, &err);
        if (st >= CKIT_E_FIRST && step != LOCK_RENEW) { /* it may be held, and nobody knows of it */
            ckit_cache_let_lock_go(self->cache, name, &lease);
        }
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&key);
    if (token.buf != NULL) {
        PyBuffer_Release(&token);
    }
    if (step == LOCK_TRY && st == CKIT_OK) {
        return PyBytes_FromStringAndSize((const char *)lease.token, sizeof lease.token);
    }
    if (step == LOCK_TRY && st == CKIT_MISS) {
        Py_RETURN_NONE;
    }
    return answer_of(self, st, &err);
}

static PyObject *cache_lock(PyObject *object, PyObject *args) { return on_lock((core_cache *)object, args, LOCK_TRY); }
static PyObject *cache_renew_lock(PyObject *object, PyObject *args) {
    return on_lock((core_cache *)object, args, LOCK_RENEW);
}
static PyObject *cache_unlock(PyObject *object, PyObject *args) {
    return on_lock((core_cache *)object, args, LOCK_RELEASE);
}

static PyObject *cache_sweep(PyObject *object, PyObject *unused) {
    (void)unused;
    core_bury((core_cache *)object);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"stats", cache_stats, METH_NOARGS, "Counters of this cache, as a dict."},
    {"health", cache_health, METH_NOARGS, "Tries the store out; a dict."},
    {"get", cache_get, METH_VARARGS, "get(key): the stored bytes, or None."},
    {"set", cache_set, METH_VARARGS, "set(key, value, ttl_ms): stores bytes as they are."},
    {"delete", cache_delete, METH_VARARGS, "delete(key): True when there was one."},
    {"exists", cache_exists, METH_VARARGS, "exists(key)"},
    {"guard", cache_guard, METH_NOARGS, "guard(): what stands between it and its store, None when nothing does."},
    {"ttl", cache_ttl, METH_VARARGS, "ttl(key): remaining milliseconds, None for no entry."},
    {"touch", cache_touch, METH_VARARGS, "touch(key, ttl_ms): a new lifetime; True when there was an entry."},
    {"lock", cache_lock, METH_VARARGS, "lock(key, lease_ms): a token, None when somebody else holds it."},
    {"renew_lock", cache_renew_lock, METH_VARARGS, "renew_lock(key, token, lease_ms): True while it is ours."},
    {"unlock", cache_unlock, METH_VARARGS, "unlock(key, token): True when it was ours."},
    {"release_objects", cache_sweep, METH_NOARGS, "Gives back the references of objects that memory has let go of."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(core_cache, weakrefs), READONLY, NULL},
                                {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, SLOT(cache_new)},
    {Py_tp_dealloc, SLOT(cache_dealloc)},
    {Py_tp_traverse, SLOT(cache_traverse)},
    {Py_tp_clear, SLOT(cache_clear)},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Cache(url, *, l1=True, l1_max_bytes=0, default_ttl_ms=0, integrity=True, "
                "max_value_bytes=0, backend=None, tenant=None, guard=None, coherence=None, encryption=None, "
                "master_key=None, previous_master_keys=None, deployment=None, fail_closed=None)\n--\n\n"
                "A cache: memory, and the store that `url` names (None: the environment) or `backend` is."},
    {0, NULL}};

static PyType_Spec spec = {"cachekit._core.Cache", (int)sizeof(core_cache), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                           slots};

int core_cache_exec(PyObject *module) {
    core_state *state = core_state_of(module);
    state->cache_type = PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->cache_type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)state->cache_type);
}
