#include "cache/scope.h"

#include "cache/stale.h"
#include "cache/store.h"
#include "format/key_of_hash.h"

#include <cachekit/interop.h>
#include <cachekit/key.h>

static const char where[] = "cache";

/* An entry that can still be served; what has expired or was invalidated may lie around for a while. */
static bool is_alive(ckit_cache *cache, const ckiti_namespace *ns, ckit_slice memkey, uint64_t hash) {
    uint64_t       own = ckiti_function_floor(cache, memkey);
    uint64_t       whole = atomic_load_explicit(&ns->floor, memory_order_acquire);
    ckiti_l1_query query = {.key = memkey, .hash = hash, .min_birth = own > whole ? own : whole};
    uint64_t       now = ckiti_cache_now(cache);
    uint64_t       life_ms;
    for (query.tag = CKITI_TAG_DOCUMENT; query.tag < CKITI_TAGS_END; query.tag++) {
        if (ckiti_l1_peek(ns->l1, &query, now, &life_ms) != CKIT_MISS) {
            return true;
        }
    }
    return false;
}

void ckiti_forget_elsewhere(ckit_cache *cache, const ckiti_namespace *ns, ckit_slice memkey, uint64_t hash) {
    for (ckiti_namespace *other = atomic_load_explicit(&cache->namespaces, memory_order_acquire); other != NULL;
         other = other->next) {
        if (other != ns && other->l1 != NULL) {
            (void)ckiti_l1_remove(other->l1, memkey, hash);
        }
    }
}

static bool forget_key(ckit_cache *cache, ckiti_namespace *ns, ckit_slice memkey, uint64_t hash) {
    ckiti_stripe *stripe = ckiti_stripe_of(&cache->stripes, hash);
    pthread_mutex_lock(&stripe->mu);
    ckiti_stripe_advance(stripe, hash);
    ckiti_stripe_invalidate(stripe);
    bool was_there = ns->l1 != NULL && is_alive(cache, ns, memkey, hash);
    if (ns->l1 != NULL) {
        (void)ckiti_l1_remove(ns->l1, memkey, hash);
    }
    if (ckiti_memkey_function(memkey) == 0) {
        ckiti_forget_elsewhere(cache, ns, memkey, hash);
    }
    pthread_mutex_unlock(&stripe->mu);
    return was_there;
}

ckit_status ckiti_remove_everywhere(ckit_cache *cache, ckiti_namespace *ns, ckit_slice memkey, uint64_t hash,
                                    ckit_slice key, uint32_t timeout_ms, ckit_error *err) {
    /* Memory twice: before, so that no computation of old data stores it after the store has forgotten; after, so that
     * nobody who read the old value from the store meanwhile keeps it. */
    bool        in_memory = forget_key(cache, ns, memkey, hash);
    ckit_status st = CKIT_MISS;
    if (cache->ops != NULL && key.len > 0) {
        ckit_error why = CKIT_ERROR_INIT;
        bool       of_call = ckiti_memkey_function(memkey) != 0 || ckiti_key_is_of_call(cache, key);
        /* First what could be served after the other is gone. */
        ckit_status copy = of_call ? ckiti_stale_remove(cache, key, timeout_ms, err) : CKIT_MISS;
        st = cache->ops->remove(cache->store, key, ckiti_store_deadline(cache, timeout_ms), &why);
        if (st != CKIT_OK && st != CKIT_MISS) {
            ckiti_store_failed(cache, "remove", key, &why);
            if (err != NULL) {
                *err = why;
            }
        }
        st = copy >= CKIT_E_FIRST || st == CKIT_MISS ? copy : st;
        in_memory |= forget_key(cache, ns, memkey, hash);
        ckiti_key_written(cache, key);
    }
    return st == CKIT_MISS && in_memory ? CKIT_OK : st;
}

/* ---- memory's part of a scope ---------------------------------------------------------------------------------- */

/* Two invalidations at once may come here in either order. */
static void raise_floor(_Atomic uint64_t *floor, uint64_t to) {
    uint64_t now = atomic_load(floor);
    while (now < to && !atomic_compare_exchange_weak(floor, &now, to)) {}
}

/* Floors do not tell the stripes which of their keys are meant. */
static void tell_stripes(ckit_cache *cache) {
    for (unsigned i = 0; i < CKITI_STRIPES; i++) {
        ckiti_stripe *stripe = &cache->stripes.stripe[i];
        pthread_mutex_lock(&stripe->mu);
        ckiti_stripe_invalidate(stripe);
        pthread_mutex_unlock(&stripe->mu);
    }
}

static void forget_namespace(ckiti_namespace *ns) {
    raise_floor(&ns->floor, ckiti_namespace_bump(ns));
    if (ns->l1 != NULL) {
        ckiti_l1_invalidate_all(ns->l1);
    }
}

static void forget_all(ckit_cache *cache) {
    for (ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire); ns != NULL;
         ns = ns->next) {
        forget_namespace(ns);
    }
}

static void forget_function(ckit_cache *cache, const ckiti_namespace *ns, ckit_slice name) {
    for (ckiti_function_record *record = atomic_load_explicit(&cache->records, memory_order_acquire); record != NULL;
         record = record->next) {
        if (record->ns == ns && ckit_slice_equal(ckit_slice_of(record->name, record->name_len), name)) {
            raise_floor(&record->floor, ckiti_namespace_bump(record->ns));
        }
    }
}

static void forget_scope(ckit_cache *cache, const ckit_scope *scope) {
    ckiti_namespace *ns = ckiti_namespace_find(cache, scope->namespace_name);
    if (scope->kind == CKIT_SCOPE_ALL) {
        forget_all(cache);
    } else if (ns != NULL && scope->kind == CKIT_SCOPE_NAMESPACE) {
        forget_namespace(ns);
    } else if (ns != NULL) {
        forget_function(cache, ns, scope->function);
    }
    tell_stripes(cache);
    ckiti_sweep_soon(cache);
}

/* Keys hold a namespace's name with spaces and line ends replaced, so several namespaces may stand for one text. */
static bool written_as(const ckiti_namespace *ns, ckit_slice text) {
    if (ns->name_len != text.len) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = ns->name[i];
        if ((uint8_t)(c == ' ' || c == '\n' || c == '\r' ? '_' : c) != text.ptr[i]) {
            return false;
        }
    }
    return true;
}

/* ---- what the store tells ---------------------------------------------------------------------------------------- */

/* The store may tell a name as it was given, or as keys hold it. */
static bool is_meant(const ckiti_namespace *ns, ckit_slice name) {
    return written_as(ns, name) || ckit_slice_equal(ckit_slice_of(ns->name, ns->name_len), name);
}

void ckiti_forget_scope_as_told(ckit_cache *cache, const ckit_scope *scope) {
    for (ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire); ns != NULL;
         ns = ns->next) {
        if (scope->kind != CKIT_SCOPE_ALL && !is_meant(ns, scope->namespace_name)) {
            continue;
        }
        if (scope->kind == CKIT_SCOPE_FUNCTION) {
            forget_function(cache, ns, scope->function);
        } else {
            forget_namespace(ns);
        }
    }
    tell_stripes(cache);
}

static ckit_status key_of_hash(const ckit_cache *cache, const ckiti_function_record *record, ckit_slice hash,
                               ckit_buf *key) {
    ckit_key_prefix     prefix;
    const ckit_key_spec spec = {.namespace_name = ckit_slice_of(record->ns->name, record->ns->name_len),
                                .function = ckit_slice_of(record->name, record->name_len),
                                .integrity = (record->traits & CKITI_TRAIT_INTEGRITY) != 0};
    ckit_status         st = ckit_key_prefix_init(&prefix, &spec, cache->alloc, NULL);
    if (st == CKIT_OK) {
        st = ckiti_key_of_hash(&prefix, hash, key, NULL);
    }
    ckit_key_prefix_fini(&prefix);
    return st;
}

void ckiti_each_key_of_hash(ckit_cache *cache, ckit_slice namespace_name, ckit_slice hash,
                            void (*each)(ckit_cache *cache, ckit_slice key)) {
    ckit_buf key;
    ckit_buf_init(&key, cache->alloc);
    for (const ckiti_function_record *record = atomic_load_explicit(&cache->records, memory_order_acquire);
         record != NULL; record = record->next) {
        if (namespace_name.len > 0 && !is_meant(record->ns, namespace_name)) {
            continue;
        }
        if ((record->traits & CKITI_TRAIT_TENANTS) != 0) { /* whose call it was is not told */
            forget_function(cache, record->ns, ckit_slice_of(record->name, record->name_len));
            tell_stripes(cache);
            continue;
        }
        if ((record->traits & (CKITI_TRAIT_CUSTOM_KEY | CKITI_TRAIT_INTEROP)) != 0) {
            continue;
        }
        key.len = 0;
        if (key_of_hash(cache, record, hash, &key) == CKIT_OK) {
            each(cache, ckit_buf_slice(&key));
        } else {
            forget_function(cache, record->ns, ckit_slice_of(record->name, record->name_len));
            tell_stripes(cache);
        }
    }
    ckit_buf_fini(&key);
}

/* ---- calls with custom keys ------------------------------------------------------------------------------------- */

/* Forgets the call in the memory of all functions of `ns` that have custom keys, but the one numbered `but`. */
static bool forget_named(ckit_cache *cache, ckiti_namespace *ns, ckit_slice memkey, uint32_t but) {
    bool         was_there = false;
    ckiti_memkey own;
    ckiti_memkey_copy(&own, memkey);
    for (ckiti_function_record *record = atomic_load_explicit(&cache->records, memory_order_acquire); record != NULL;
         record = record->next) {
        if (record->ns == ns && record->id != but && (record->traits & CKITI_TRAIT_CUSTOM_KEY) != 0) {
            if ((record->traits & CKITI_TRAIT_TENANTS) != 0) { /* whose call it was is not told */
                raise_floor(&record->floor, ckiti_namespace_bump(ns));
                was_there = true;
                continue;
            }
            memcpy(own.bytes, &record->id, sizeof record->id);
            ckit_slice name = ckiti_memkey_slice(&own);
            uint64_t   hash = ns->l1 != NULL ? ckiti_l1_hash(ns->l1, name) : ckiti_xxh3(name, cache->seed);
            was_there |= forget_key(cache, ns, name, hash);
        }
    }
    return was_there;
}

bool ckiti_forget_namesakes(const ckit_function *function, ckit_slice memkey) {
    ckiti_namespace *ns = function->record->ns;
    return function->custom_key && atomic_load_explicit(&ns->named, memory_order_relaxed) > 1 &&
           forget_named(function->cache, ns, memkey, function->record->id);
}

/* Whether functions of the namespace could have made this custom key, and of which text. */
static bool is_named_in(const ckiti_namespace *ns, ckit_slice key, ckit_slice *text) {
    ckit_slice name = ns->name_len > 0 ? ckit_slice_of(ns->name, ns->name_len) : ckit_slice_str("default");
    if (atomic_load_explicit(&ns->named, memory_order_relaxed) == 0 || key.len <= name.len ||
        key.ptr[name.len] != ':' || !ckit_slice_equal(ckit_slice_of(key.ptr, name.len), name)) {
        return false;
    }
    *text = ckit_slice_of(key.ptr + name.len + 1, key.len - name.len - 1);
    return true;
}

/* The function in interop mode whose calls have such keys, or NULL. */
static ckiti_function_record *find_interop(ckit_cache *cache, ckit_slice key) {
    ckit_interop_key_parts parts;
    if (!atomic_load_explicit(&cache->interop, memory_order_relaxed) || !ckit_interop_key_describe(key, &parts)) {
        return NULL;
    }
    ckiti_function_record *record = atomic_load_explicit(&cache->records, memory_order_acquire);
    while (record != NULL &&
           !(ckit_slice_equal(ckiti_record_operation(record), parts.operation) &&
             ckit_slice_equal(ckit_slice_of(record->ns->name, record->ns->name_len), parts.namespace_name))) {
        record = record->next;
    }
    return record;
}

/* The keys of tenants begin with "t:TENANT:"; what follows is what the call would have without. */
static ckit_slice without_tenant(ckit_slice key) {
    const uint8_t *end = key.len > 2 && memcmp(key.ptr, "t:", 2) == 0 ? memchr(key.ptr + 2, ':', key.len - 2) : NULL;
    return end == NULL ? key : ckit_slice_of(end + 1, key.len - (size_t)(end + 1 - key.ptr));
}

bool ckiti_key_is_of_call(ckit_cache *cache, ckit_slice key) {
    key = without_tenant(key);
    bool found = ckit_key_describe(key).automatic || find_interop(cache, key) != NULL;
    if (!found && atomic_load_explicit(&cache->custom_keys, memory_order_relaxed)) {
        ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire);
        ckit_slice       text;
        for (; ns != NULL && !found; ns = ns->next) {
            found = is_named_in(ns, key, &text);
        }
    }
    return found;
}

static void forget_named_by_text(ckit_cache *cache, ckiti_namespace *ns, ckit_slice text) {
    ckit_args    args;
    ckit_slice   packed;
    ckiti_memkey memkey;
    if (!ckit_utf8_valid(text)) { /* no function has made it */
        return;
    }
    ckit_args_init_alloc(&args, cache->alloc);
    ckit_args_str(&args, text);
    if (ckit_args_pack(&args, &packed, NULL) == CKIT_OK) {
        ckiti_memkey_make(&memkey, 0, packed);
        (void)forget_named(cache, ns, ckiti_memkey_slice(&memkey), 0);
    } else { /* no memory to name the call */
        forget_namespace(ns);
    }
    ckit_args_fini(&args);
}

static void forget_custom(ckit_cache *cache, ckit_slice key) {
    for (ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire); ns != NULL;
         ns = ns->next) {
        ckit_slice text;
        if (is_named_in(ns, key, &text)) {
            forget_named_by_text(cache, ns, text);
        }
    }
}

void ckiti_forget_call_by_key(ckit_cache *cache, ckit_slice key) {
    key = without_tenant(key);
    ckit_key_parts parts = ckit_key_describe(key);
    if (atomic_load_explicit(&cache->custom_keys, memory_order_relaxed)) {
        forget_custom(cache, key);
    }
    ckiti_function_record *interop = parts.automatic ? NULL : find_interop(cache, key);
    if (interop != NULL) {
        raise_floor(&interop->floor, ckiti_namespace_bump(interop->ns));
        tell_stripes(cache);
    }
    if (!parts.automatic) {
        return;
    }
    for (ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire); ns != NULL;
         ns = ns->next) {
        if (parts.namespace_known && !written_as(ns, parts.namespace_name)) {
            continue;
        }
        if (parts.shortened || !parts.namespace_known) {
            forget_namespace(ns);
        } else {
            forget_function(cache, ns, parts.function);
        }
    }
    tell_stripes(cache);
}

/* ---- both tiers -------------------------------------------------------------------------------------------------- */

/* A scope as the store knows it: the function by the name that its entries have. */
typedef struct checked_scope {
    ckit_scope scope;
    ckit_buf   function;
} checked_scope;

/* Ends with ckit_buf_fini(&checked->function), also after a failure. */
static ckit_status check_scope(const ckit_cache *cache, const ckit_scope *scope, checked_scope *checked,
                               ckit_error *err) {
    checked->scope = *scope;
    ckit_buf_init(&checked->function, cache->alloc);
    if (scope->kind > CKIT_SCOPE_FUNCTION || (scope->kind == CKIT_SCOPE_FUNCTION && scope->function.len == 0)) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "the scope names no function, or its kind does not exist");
    }
    ckit_status st = CKIT_OK;
    if (scope->kind == CKIT_SCOPE_FUNCTION) {
        st = ckit_key_function(scope->function, &checked->function, err);
        checked->scope.function = ckit_buf_slice(&checked->function);
    }
    return st;
}

static ckit_status delete_from_store(ckit_cache *cache, const ckit_scope *scope, ckit_deleted *out, ckit_error *err) {
    if (cache->ops->delete_scope == NULL) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, where,
                         "the store %s cannot delete by scope: memory is cleared, its entries stay", cache->ops->name);
    }
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = cache->ops->delete_scope(cache->store, scope, CKIT_NO_DEADLINE, out, &why);
    if (st != CKIT_OK) {
        ckiti_store_failed(cache, "delete_scope", scope->namespace_name, &why);
        if (err != NULL) {
            *err = why;
        }
    }
    return st;
}

ckit_status ckit_cache_invalidate(ckit_cache *cache, const ckit_scope *scope, ckit_deleted *deleted, ckit_error *err) {
    ckit_deleted  none = {0, 0};
    ckit_deleted *out = deleted != NULL ? deleted : &none;
    checked_scope checked;
    if (cache == NULL || scope == NULL) {
        return ckiti_there_is_no(err, where, cache == NULL ? "cache" : "scope");
    }
    ckit_status st = check_scope(cache, scope, &checked, err);
    *out = none;
    if (st == CKIT_OK) {
        forget_scope(cache, &checked.scope);
        if (cache->ops != NULL) {
            st = delete_from_store(cache, &checked.scope, out, err);
            forget_scope(cache, &checked.scope); /* what was read from the store before it forgot */
        }
    }
    ckit_buf_fini(&checked.function);
    return st;
}

ckit_status ckit_cache_list(ckit_cache *cache, const ckit_scope *scope, ckit_list_fn each, void *context,
                            ckit_error *err) {
    checked_scope checked;
    if (cache == NULL || scope == NULL || each == NULL) {
        return ckiti_there_is_no(err, where, cache == NULL ? "cache" : scope == NULL ? "scope" : "function to call");
    }
    ckit_status st = check_scope(cache, scope, &checked, err);
    if (st == CKIT_OK && (cache->ops == NULL || cache->ops->list == NULL)) {
        st = ckit_fail(err, CKIT_E_UNSUPPORTED, where, "%s cannot list its entries",
                       cache->ops == NULL ? "a cache without a store" : cache->ops->name);
    } else if (st == CKIT_OK) {
        st = cache->ops->list(cache->store, &checked.scope, CKIT_NO_DEADLINE, each, context, err);
    }
    ckit_buf_fini(&checked.function);
    return st;
}

ckit_status ckit_function_invalidate(ckit_function *function, ckit_deleted *deleted, ckit_error *err) {
    if (function == NULL) {
        return ckiti_there_is_no(err, "function", "function");
    }
    const ckiti_function_record *record = function->record;
    ckit_scope                   scope = {.kind = CKIT_SCOPE_FUNCTION,
                                          .namespace_name = ckit_slice_of(record->ns->name, record->ns->name_len),
                                          .function = ckit_slice_of(record->name, record->name_len)};
    return ckit_cache_invalidate(function->cache, &scope, deleted, err);
}
