#include "cache/scope.h"

#include "cache/store.h"

#include <cachekit/key.h>

static const char where[] = "cache";

static bool forget_key(ckit_cache *cache, ckiti_namespace *ns, ckit_slice memkey, uint64_t hash) {
    ckiti_stripe *stripe = ckiti_stripe_of(&cache->stripes, hash);
    pthread_mutex_lock(&stripe->mu);
    ckiti_stripe_advance(stripe);
    bool was_there = ns->l1 != NULL && ckiti_l1_remove(ns->l1, memkey, hash) == CKIT_OK;
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
        st = cache->ops->remove(cache->store, key, ckiti_store_deadline(cache, timeout_ms), &why);
        if (st != CKIT_OK && st != CKIT_MISS) {
            ckiti_store_failed(cache, "remove", key, &why);
            if (err != NULL) {
                *err = why;
            }
        }
        in_memory |= forget_key(cache, ns, memkey, hash);
    }
    return st == CKIT_MISS && in_memory ? CKIT_OK : st;
}

/* ---- memory's part of a scope ---------------------------------------------------------------------------------- */

static void forget_namespace(ckiti_namespace *ns) {
    uint64_t floor = ckiti_namespace_bump(ns);
    atomic_store_explicit(&ns->floor, floor, memory_order_release);
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
            atomic_store_explicit(&record->floor, ckiti_namespace_bump(record->ns), memory_order_release);
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

void ckiti_forget_call_by_key(ckit_cache *cache, ckit_slice key) {
    ckit_key_parts parts = ckit_key_describe(key);
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
}

/* ---- both tiers --------------------------------------------------------------------------------------------------- */

static ckit_status check_scope(const ckit_scope *scope, ckit_error *err) {
    if (scope->kind > CKIT_SCOPE_FUNCTION || (scope->kind == CKIT_SCOPE_FUNCTION && scope->function.len == 0)) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "the scope names no function, or its kind does not exist");
    }
    return CKIT_OK;
}

ckit_status ckit_cache_invalidate(ckit_cache *cache, const ckit_scope *scope, ckit_deleted *deleted,
                                  ckit_error *err) {
    ckit_deleted none = {0, 0};
    ckit_deleted *out = deleted != NULL ? deleted : &none;
    ckit_status   st = check_scope(scope, err);
    *out = none;
    if (st != CKIT_OK) {
        return st;
    }
    forget_scope(cache, scope);
    if (cache->ops == NULL) {
        return CKIT_OK;
    }
    if (cache->ops->delete_scope == NULL) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, where,
                         "the store %s cannot delete by scope: memory is cleared, its entries stay", cache->ops->name);
    }
    ckit_error why = CKIT_ERROR_INIT;
    st = cache->ops->delete_scope(cache->store, scope, CKIT_NO_DEADLINE, out, &why);
    if (st != CKIT_OK) {
        ckiti_store_failed(cache, "delete_scope", scope->namespace_name, &why);
        if (err != NULL) {
            *err = why;
        }
    }
    forget_scope(cache, scope); /* what was read from the store before it forgot */
    return st;
}

ckit_status ckit_cache_list(ckit_cache *cache, const ckit_scope *scope, ckit_list_fn each, void *context,
                            ckit_error *err) {
    ckit_status st = check_scope(scope, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (cache->ops == NULL || cache->ops->list == NULL) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, where, "%s cannot list its entries",
                         cache->ops == NULL ? "a cache without a store" : cache->ops->name);
    }
    return cache->ops->list(cache->store, scope, CKIT_NO_DEADLINE, each, context, err);
}

ckit_status ckit_function_invalidate(ckit_function *function, ckit_deleted *deleted, ckit_error *err) {
    const ckiti_function_record *record = function->record;
    ckit_scope scope = {.kind = CKIT_SCOPE_FUNCTION,
                        .namespace_name = ckit_slice_of(record->ns->name, record->ns->name_len),
                        .function = ckit_slice_of(record->name, record->name_len)};
    return ckit_cache_invalidate(function->cache, &scope, deleted, err);
}
