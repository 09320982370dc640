/* A cache from opening to closing: options, namespaces, the background sweep, fork. */
#include "cache/core.h"

#include "base/hash.h"
#include "base/random.h"
#include "base/range.h"
#include "cache/apart.h"
#include "cache/memkey.h"

#include <cachekit/envelope.h>

static const char where[] = "cache";

void ckit_cache_options_init(ckit_cache_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

void ckit_entry_options_init(ckit_entry_options *options, size_t struct_size) {
    memset(options, 0, struct_size);
    options->struct_size = struct_size;
}

/* ---- options ------------------------------------------------------------------------------------------------- */

static void default_u64(uint64_t *field, uint64_t value) {
    if (*field == 0) {
        *field = value;
    }
}

static void default_u32(uint32_t *field, uint32_t value) {
    if (*field == 0) {
        *field = value;
    }
}

static void fill_defaults(ckit_cache_options *o) {
    default_u64(&o->l1_max_bytes, UINT64_C(100) << 20);
    default_u64(&o->l1_total_max_bytes, UINT64_C(1) << 30);
    default_u64(&o->default_ttl_ms, CKITI_DEFAULT_TTL_MS);
    default_u64(&o->max_value_bytes, UINT64_C(100) << 20);
    default_u32(&o->max_key_bytes, 1024);
    default_u32(&o->store_timeout_ms, 5000);
    default_u32(&o->flight_wait_ms, 60000);
    default_u32(&o->lock_lease_ms, 30000);
    default_u32(&o->lock_wait_ms, 5000);
    default_u32(&o->sweep_interval_ms, 30000);
    default_u32(&o->workers, 4);
    default_u32(&o->queue_max, 1024);
}

static ckit_status check_options(const ckit_cache_options *o, ckit_error *err) {
    const ckiti_range ranges[] = {
        {"l1_max_bytes", o->l1_max_bytes, 64 << 10, UINT64_C(1) << 40},
        {"l1_total_max_bytes", o->l1_total_max_bytes, 64 << 10, UINT64_C(1) << 40},
        {"max_value_bytes", o->max_value_bytes, 1, CKIT_ENVELOPE_MAX_BYTES},
        {"max_key_bytes", o->max_key_bytes, 1, 65536},
        {"store_timeout_ms", o->store_timeout_ms, 1, 3600000},
        {"flight_wait_ms", o->flight_wait_ms, 1, 86400000},
        {"lock_lease_ms", o->lock_lease_ms, 1, 86400000},
        {"lock_wait_ms", o->lock_wait_ms, 1, 86400000},
        {"sweep_interval_ms", o->sweep_interval_ms, 10, 86400000},
        {"workers", o->workers, 1, 64},
        {"queue_max", o->queue_max, 1, 1000000},
        {"l1", (uint64_t)o->l1, CKIT_DEFAULT, CKIT_OFF},
        {"integrity", (uint64_t)o->integrity, CKIT_DEFAULT, CKIT_OFF},
        {"lock", (uint64_t)o->lock, CKIT_DEFAULT, CKIT_OFF},
        {"coherence", (uint64_t)o->coherence, CKIT_DEFAULT, CKIT_OFF},
        {"store_optional", (uint64_t)o->store_optional, CKIT_DEFAULT, CKIT_OFF},
        {"encryption", (uint64_t)o->encryption, CKIT_DEFAULT, CKIT_OFF},
        {"deployment_only", (uint64_t)o->deployment_only, CKIT_DEFAULT, CKIT_OFF},
        {"fail_closed", (uint64_t)o->fail_closed, CKIT_DEFAULT, CKIT_OFF},
    };
    ckit_status st = ckiti_check_ranges(where, ranges, sizeof ranges / sizeof ranges[0], err);
    if (st != CKIT_OK) {
        return st;
    }
    if (o->encryption == CKIT_ON && o->integrity == CKIT_OFF) {
        return ckit_fail(
            err, CKIT_E_CONFIGURATION, where,
            "encryption is on and integrity is off: what is sealed has its checksum too, leave integrity out");
    }
    if (o->compression_level < CKIT_COMPRESSION_OFF || o->compression_level > 9) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, where, "compression_level is %d, allowed is 1 to 9, 0 or off",
                         o->compression_level);
    }
    const ckiti_range ttl = {"default_ttl_ms", o->default_ttl_ms, 1, CKIT_TTL_MAX_MS};
    return o->default_ttl_ms == CKIT_TTL_NO_EXPIRY ? CKIT_OK : ckiti_check_ranges(where, &ttl, 1, err);
}

/* ---- namespaces ------------------------------------------------------------------------------------------------ */

ckiti_namespace *ckiti_namespace_find(ckit_cache *cache, ckit_slice name) {
    ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire);
    while (ns != NULL && !ckit_slice_equal(ckit_slice_of(ns->name, ns->name_len), name)) {
        ns = ns->next;
    }
    return ns;
}

static void free_namespace(ckit_cache *cache, ckiti_namespace *ns) {
    ckiti_copies_free(ns->copies);
    ckiti_l1_close(ns->l1);
    ckiti_free(cache->alloc, ns, sizeof *ns + ns->name_len);
}

static ckit_status make_namespace(ckit_cache *cache, ckit_slice name, ckiti_namespace **out, ckit_error *err) {
    ckiti_namespace *ns = ckiti_alloc_zeroed(cache->alloc, 1, sizeof *ns + name.len);
    if (ns == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a namespace");
    }
    atomic_init(&ns->births, 1);
    ns->name_len = name.len;
    if (name.len > 0) {
        memcpy(ns->name, name.ptr, name.len);
    }
    ckit_status st = CKIT_OK;
    if (cache->options.l1 != CKIT_OFF) {
        ckiti_l1_options options = {.max_bytes = cache->options.l1_max_bytes < cache->options.l1_total_max_bytes
                                                     ? cache->options.l1_max_bytes
                                                     : cache->options.l1_total_max_bytes,
                                    .shared = &cache->budget,
                                    .alloc = cache->alloc,
                                    .seed = cache->seed};
        st = ckiti_l1_open(&options, &ns->l1, err);
        if (st == CKIT_OK && cache->coherence.on &&
            (ns->copies = ckiti_copies_new(ns->l1, options.max_bytes, cache->alloc)) == NULL) {
            st = ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a namespace");
        }
    }
    if (st != CKIT_OK) {
        free_namespace(cache, ns);
        return st;
    }
    *out = ns;
    return CKIT_OK;
}

static ckit_status add_namespace(ckit_cache *cache, ckit_slice name, ckiti_namespace **out, ckit_error *err) {
    if (cache->namespace_count == CKITI_MAX_NAMESPACES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, where, "more than %u namespaces in one cache", CKITI_MAX_NAMESPACES);
    }
    ckit_status st = make_namespace(cache, name, out, err);
    if (st == CKIT_OK) {
        (*out)->next = atomic_load_explicit(&cache->namespaces, memory_order_relaxed);
        atomic_store_explicit(&cache->namespaces, *out, memory_order_release);
        cache->namespace_count++;
    }
    return st;
}

ckit_status ckiti_namespace_get(ckit_cache *cache, ckit_slice name, ckiti_namespace **out, ckit_error *err) {
    ckit_status st = CKIT_OK;
    if ((*out = ckiti_namespace_find(cache, name)) == NULL) {
        pthread_mutex_lock(&cache->mu);
        if ((*out = ckiti_namespace_find(cache, name)) == NULL) {
            st = add_namespace(cache, name, out, err);
        }
        pthread_mutex_unlock(&cache->mu);
    }
    return st;
}

uint64_t ckiti_namespace_birth(const ckiti_namespace *ns) {
    return ns->l1 != NULL ? ckiti_l1_birth(ns->l1) : atomic_load(&ns->births);
}

uint64_t ckiti_namespace_bump(ckiti_namespace *ns) {
    return ns->l1 != NULL ? ckiti_l1_bump(ns->l1) : atomic_fetch_add(&ns->births, 1) + 1;
}

/* ---- the background sweep ---------------------------------------------------------------------------------- */

#define SOON_MS 1000u /* after many entries have been invalidated at once */

uint64_t ckiti_function_floor(ckit_cache *cache, ckit_slice memkey) {
    uint32_t               id = ckiti_memkey_function(memkey);
    ckiti_function_record *record = atomic_load_explicit(&cache->records, memory_order_acquire);
    while (id != 0 && record != NULL && record->id != id) {
        record = record->next;
    }
    return id != 0 && record != NULL ? atomic_load_explicit(&record->floor, memory_order_acquire) : 0;
}

/* Entries of an invalidated function are unreachable but still take room. */
static bool is_dead(void *context, ckit_slice key, uint64_t birth) {
    return birth < ckiti_function_floor(context, key);
}

static void sweep_in(ckit_cache *cache, uint64_t pause_ms) {
    uint64_t due_ms = ckiti_time_after(ckiti_cache_now(cache), pause_ms);
    if (ckiti_workers_submit(&cache->workers, &cache->sweep, due_ms) != CKIT_OK) {
        atomic_store(&cache->sweeping, false); /* the next value tries again */
    }
}

/* Nothing happens where none is waiting: what submits it looks whether it is wanted soon. */
static void bring_forward(ckit_cache *cache) {
    if (ckiti_workers_cancel(&cache->workers, &cache->sweep)) {
        sweep_in(cache, SOON_MS);
    }
}

static void next_sweep(ckit_cache *cache) {
    sweep_in(cache, cache->options.sweep_interval_ms);
    if (atomic_load(&cache->sweeps_soon)) {
        bring_forward(cache);
    }
}

static void sweep(ckiti_job *job) {
    ckit_cache *cache = (ckit_cache *)(void *)((char *)job - offsetof(ckit_cache, sweep));
    uint64_t    now = ckiti_cache_now(cache);
    atomic_store(&cache->sweeps_soon, false);
    for (ckiti_namespace *ns = atomic_load(&cache->namespaces); ns != NULL; ns = ns->next) {
        while (ns->l1 != NULL && ckiti_l1_sweep(ns->l1, now, 1024, is_dead, cache) >= 1024) {}
    }
    next_sweep(cache);
}

void ckiti_sweep_start(ckit_cache *cache) {
    if (!atomic_load_explicit(&cache->sweeping, memory_order_relaxed) && !atomic_exchange(&cache->sweeping, true)) {
        cache->sweep.run = sweep;
        next_sweep(cache);
    }
}

void ckiti_sweep_soon(ckit_cache *cache) {
    if (cache->options.sweep_interval_ms > SOON_MS && !atomic_exchange(&cache->sweeps_soon, true)) {
        bring_forward(cache);
    }
}

/* ---- fork ------------------------------------------------------------------------------------------------------ */

static void each_l1(ckit_cache *cache, void (*call)(ckiti_l1 *l1)) {
    for (ckiti_namespace *ns = atomic_load(&cache->namespaces); ns != NULL; ns = ns->next) {
        if (ns->l1 != NULL) {
            call(ns->l1);
        }
    }
}

static void fork_prepare(void *self) {
    ckit_cache *cache = self;
    pthread_mutex_lock(&cache->mu);
    ckiti_flights_fork_prepare(&cache->flights);
    ckiti_stripes_lock_all(&cache->stripes);
    pthread_mutex_lock(&cache->waits.mu);
    for (ckiti_poll_hooks *poll = cache->polls; poll != NULL; poll = poll->next) {
        poll->fork_prepare(poll);
    }
    ckiti_replay_fork_prepare(&cache->replay);
    ckiti_workers_fork_prepare(&cache->workers);
    ckiti_workers_fork_prepare(&cache->runners);
    ckiti_leases_fork_prepare(&cache->leases);
    ckiti_coherence_lock_all(&cache->coherence);
    each_l1(cache, ckiti_l1_fork_prepare);
}

static void fork_parent(void *self) {
    ckit_cache *cache = self;
    each_l1(cache, ckiti_l1_fork_parent);
    ckiti_coherence_unlock_all(&cache->coherence);
    ckiti_leases_fork_parent(&cache->leases);
    ckiti_workers_fork_parent(&cache->runners);
    ckiti_workers_fork_parent(&cache->workers);
    ckiti_replay_fork_parent(&cache->replay);
    for (ckiti_poll_hooks *poll = cache->polls; poll != NULL; poll = poll->next) {
        poll->fork_parent(poll);
    }
    pthread_mutex_unlock(&cache->waits.mu);
    ckiti_stripes_unlock_all(&cache->stripes);
    ckiti_flights_fork_parent(&cache->flights);
    pthread_mutex_unlock(&cache->mu);
}

static void fork_child(void *self) {
    ckit_cache *cache = self;
    each_l1(cache, ckiti_l1_fork_child);
    ckiti_coherence_forked(cache);
    ckiti_coherence_unlock_all(&cache->coherence);
    for (ckiti_poll_hooks *poll = cache->polls; poll != NULL; poll = poll->next) {
        poll->fork_child(poll);
    }
    ckiti_leases_fork_child(&cache->leases);
    ckiti_workers_fork_child(&cache->workers);
    ckiti_workers_fork_child(&cache->runners);
    ckiti_replay_fork_child(&cache->replay);
    ckiti_waits_forked(&cache->waits);
    pthread_mutex_unlock(&cache->waits.mu);
    ckiti_stripes_forget_writers(&cache->stripes);
    ckiti_stripes_unlock_all(&cache->stripes);
    ckiti_flights_fork_child(&cache->flights);
    for (ckit_function *function = cache->functions; function != NULL; function = function->next) {
        function->refreshing = 0; /* their threads stayed in the parent */
    }
    pthread_cond_init(&cache->refreshed, NULL); /* whoever waited for it is not here */
    pthread_mutex_unlock(&cache->mu);
    ckiti_apart_forked();
    ckiti_workers_drop_jobs(&cache->workers);
    ckiti_workers_drop_jobs(&cache->runners);
    atomic_store(&cache->sweeping, false); /* the child's next value starts a sweep of its own */
    atomic_store(&cache->sweeps_soon, false);
}

/* ---- opening and closing ------------------------------------------------------------------------------------- */

static void keep_options(ckit_cache *cache, const ckit_cache_options *options) {
    cache->options = *options;
    cache->alloc = options->alloc;
    if (options->clock != NULL) {
        cache->clock_copy = *options->clock;
        cache->clock = &cache->clock_copy;
    }
    if (options->log != NULL) {
        cache->log_copy = *options->log;
        cache->log = &cache->log_copy;
    }
    cache->options.guard = NULL; /* not the cache's to keep */
    cache->options.tenant = NULL;
    cache->budget.max_bytes = options->l1_total_max_bytes;
    cache->seed = ckiti_random_u64() | 1;
}

static ckit_status open_parts(ckit_cache *cache, ckit_error *err) {
    pthread_mutex_init(&cache->mu, NULL);
    pthread_cond_init(&cache->refreshed, NULL);
    ckiti_stripes_init(&cache->stripes);
    ckiti_coherence_init(&cache->coherence);
    ckiti_flights_init(&cache->flights, cache->alloc);
    ckiti_waits_init(&cache->waits);
    ckit_status st = ckiti_workers_init(&cache->workers, cache->options.workers, cache->options.queue_max, cache->clock,
                                        cache->alloc);
    ckit_status runners =
        ckiti_workers_init(&cache->runners, CKITI_MOST_RUNNERS, CKITI_MOST_RUNNERS, cache->clock, cache->alloc);
    ckit_status renewal = ckiti_leases_init(cache); /* in any case: the end of a cache ends all three */
    if (st != CKIT_OK || runners != CKIT_OK || renewal != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for the queues of background jobs");
    }
    if (cache->ops != NULL && ckiti_replay_init(cache) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a cache");
    }
    return ckiti_namespace_get(cache, ckit_slice_of(NULL, 0), &cache->no_namespace, err);
}

/* On failure the store is closed, and *backend NULL. */
static ckit_status put_guard(const ckit_cache_options *o, ckit_backend **backend, ckit_error *err) {
    ckit_backend_env env = CKIT_BACKEND_ENV_INIT;
    if (*backend == NULL || o->guard == NULL) {
        return CKIT_OK;
    }
    env.alloc = o->alloc;
    env.clock = o->clock;
    env.log = o->log;
    ckit_log quiet = {.level = CKIT_LOG_OFF};
    if (o->store_optional == CKIT_ON) { /* the cache says it once (store.c) */
        env.log = &quiet;
    }
    return ckit_backend_guard(*backend, o->guard, &env, backend, err);
}

ckit_status ckit_cache_new(const ckit_cache_options *options, ckit_backend *backend, ckit_cache **out,
                           ckit_error *err) {
    ckit_cache_options o = CKIT_CACHE_OPTIONS_INIT;
    if (out == NULL || (options != NULL && options->struct_size == 0)) {
        ckit_backend_close(backend);
        return ckit_fail(err, CKIT_E_MISUSE, where,
                         out == NULL ? "no place for the cache"
                                     : "struct_size of the options "
                                       "is not set: begin with CKIT_CACHE_OPTIONS_INIT");
    }
    *out = NULL;
    if (options != NULL) {
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    }
    fill_defaults(&o);
    ckit_status st = check_options(&o, err);
    if (st == CKIT_OK) {
        st = put_guard(&o, &backend, err);
    }
    ckit_cache *cache = st == CKIT_OK ? ckiti_alloc_zeroed(o.alloc, 1, sizeof *cache) : NULL;
    if (cache == NULL) {
        ckit_backend_close(backend);
        return st != CKIT_OK ? st : ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a cache");
    }
    keep_options(cache, &o);
    cache->backend = backend;
    if (backend != NULL) {
        cache->ops = ckit_backend_operations(backend);
        cache->store = ckit_backend_self(backend);
        cache->guard = ckiti_guard_of(backend);
        cache->coherence.on = cache->ops->watch != NULL && o.coherence != CKIT_OFF && o.l1 != CKIT_OFF;
    }
    st = ckiti_sealing_open(cache, err);
    if (st == CKIT_OK) {
        st = open_parts(cache, err);
    } else {
        (void)open_parts(cache, NULL); /* what closing expects */
    }
    if (st != CKIT_OK) {
        ckit_cache_close(cache);
        return st;
    }
    ckiti_coherence_start(cache);
    cache->fork = (ckiti_fork_hooks){fork_prepare, fork_parent, fork_child, cache, NULL, NULL};
    ckiti_fork_register(&cache->fork);
    *out = cache;
    return CKIT_OK;
}

void ckit_cache_close(ckit_cache *cache) {
    if (cache == NULL) {
        return;
    }
    ckiti_replay_stop(cache);
    ckiti_workers_stop(&cache->workers);
    ckiti_workers_stop(&cache->runners);
    ckiti_fork_unregister(&cache->fork); /* before the first lock ends that a fork would take */
    ckiti_replay_fini(cache);
    ckiti_leases_stop(&cache->leases);
    ckit_backend_close(cache->backend);
    for (ckiti_function_record *record = atomic_load(&cache->records); record != NULL;) {
        ckiti_function_record *next = record->next;
        ckiti_free(cache->alloc, record, sizeof *record + record->name_len + record->operation_len);
        record = next;
    }
    for (ckiti_namespace *ns = atomic_load(&cache->namespaces); ns != NULL;) {
        ckiti_namespace *next = ns->next;
        free_namespace(cache, ns);
        ns = next;
    }
    ckiti_workers_fini(&cache->workers);
    ckiti_leases_fini(&cache->leases);
    ckiti_workers_fini(&cache->runners);
    ckiti_flights_fini(&cache->flights);
    ckiti_waits_fini(&cache->waits);
    ckiti_coherence_fini(&cache->coherence);
    ckiti_stripes_fini(&cache->stripes);
    pthread_cond_destroy(&cache->refreshed);
    pthread_mutex_destroy(&cache->mu);
    ckiti_sealing_close(cache);
    ckiti_free(cache->alloc, cache, sizeof *cache);
}

ckit_backend *ckit_cache_backend(ckit_cache *cache) { return cache != NULL ? cache->backend : NULL; }
