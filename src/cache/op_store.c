/* After the function: its result is checked, stored in both tiers, and given to everybody who waits. */
#include "cache/op_parts.h"

#include "cache/scope.h"
#include "cache/shared.h"
#include "cache/stale.h"
#include "cache/store.h"
#include "format/stored.h"

#include <cachekit/document.h>
#include <cachekit/interop.h>
#include <cachekit/value.h>

static void forget_everywhere(ckit_op *op) {
    (void)ckiti_remove_everywhere(op->cache, op->function->record->ns, op->memkey, op->hash, ckit_buf_slice(&op->key),
                                  0, NULL);
}

/* Objects are their binding's to judge. */
bool ckiti_op_is_nil(const ckit_op *op) {
    return !op->function->raw && op->document.len == 1 && op->document.ptr[0] == 0xc0;
}

/* How long it took goes into the average with a quarter of the weight. */
static void measure(ckit_op *op, uint64_t now_ms) {
    _Atomic uint64_t *compute_ms = &op->function->compute_ms;
    uint64_t          took = now_ms - op->began_ms;
    uint64_t          before = atomic_load_explicit(compute_ms, memory_order_relaxed);
    atomic_store_explicit(compute_ms, before == 0 ? took : (3 * before + took) / 4, memory_order_relaxed);
}

static void computed(ckit_op *op, uint64_t ttl_ms) {
    const ckit_function *function = op->function;
    uint64_t             now_ms = ckiti_cache_now(op->cache);
    op->ttl_ms = ttl_ms == CKIT_TTL_DEFAULT ? function->ttl_ms : ttl_ms;
    if (ttl_ms == CKIT_TTL_DEFAULT && function->nil_ttl_ms != 0 && ckiti_op_is_nil(op)) {
        op->ttl_ms = function->nil_ttl_ms;
    }
    if (function->ttl_jitter > 0 && op->ttl_ms <= CKIT_TTL_MAX_MS) {
        op->ttl_ms -= (uint64_t)((double)op->ttl_ms * function->ttl_jitter * ckiti_draw(op->hash, now_ms, 2));
    }
    if (op->began_ms != 0) {
        measure(op, now_ms);
    }
    ckiti_count(&op->cache->counters, CKITI_COMPUTED, 1);
    ckiti_count(&op->function->counters, CKITI_FN_COMPUTED, 1);
}

static ckit_status check_lifetime(uint64_t ttl_ms, ckit_error *err) {
    if (ttl_ms > CKIT_TTL_MAX_MS && ttl_ms != CKIT_TTL_NO_EXPIRY && ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        return ckit_fail(err, CKIT_E_MISUSE, "function", "a lifetime of %llu ms, the longest is %llu",
                         (unsigned long long)ttl_ms, (unsigned long long)CKIT_TTL_MAX_MS);
    }
    return CKIT_OK;
}

/* In interop mode: the document's canonical form takes its place. */
static ckit_status normalise(ckit_buf *document, ckit_error *err) {
    ckit_buf canonical;
    ckit_buf_init(&canonical, document->alloc);
    ckit_status st = ckit_interop_value_normalise(ckit_buf_slice(document), &canonical, err);
    if (st == CKIT_OK) {
        ckit_buf_fini(document);
        *document = canonical;
    } else {
        ckit_buf_fini(&canonical);
    }
    return st;
}

ckit_status ckiti_op_result(ckit_op *op, ckit_buf *document, uint64_t ttl_ms, ckit_error *err) {
    ckit_status st = op->function->raw ? CKIT_OK : ckit_document_check(ckit_buf_slice(document), NULL);
    if (st == CKIT_OK && op->function->interop && (st = normalise(document, err)) != CKIT_OK) {
        return st;
    }
    if (st != CKIT_OK) {
        return ckit_fail(err, CKIT_E_MISUSE, "function", "the function did not give exactly one document (%s)",
                         ckit_status_text(st));
    }
    if (document->len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, "function", "the result of a raw function has no bytes");
    }
    st = check_lifetime(ttl_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckit_buf_fini(&op->document);
    op->document = *document;
    ckit_buf_init(document, document->alloc);
    computed(op, ttl_ms);
    op->phase = CKITI_PHASE_STORE;
    return CKIT_OK;
}

/* The value is larger than may be stored: nobody keeps it, nor what was kept before. */
static void too_large(ckit_op *op) {
    ckiti_count(&op->cache->counters, CKITI_TOO_LARGE, 1);
    ckiti_log(op->cache->log, CKIT_LOG_WARNING, "cache", "%s: a result of %.*s is larger than may be stored",
              ckit_status_code(CKIT_E_TOO_LARGE), (int)op->function->record->name_len, op->function->record->name);
    forget_everywhere(op);
}

/* A write to the store counts from here to ckiti_stripe_end_write. False when it would be overtaken already. */
static bool begin_write(ckit_op *op, uint64_t *began) {
    ckiti_stripe *stripe = ckiti_op_stripe(op);
    pthread_mutex_lock(&stripe->mu);
    bool valid = !ckiti_op_was_overtaken(op);
    if (valid) {
        *began = ckiti_stripe_begin_write(stripe);
    }
    pthread_mutex_unlock(&stripe->mu);
    return valid;
}

static void end_write(ckit_op *op, uint64_t began) {
    ckiti_stripe *stripe = ckiti_op_stripe(op);
    pthread_mutex_lock(&stripe->mu);
    ckiti_stripe_end_write(stripe, began);
    pthread_mutex_unlock(&stripe->mu);
}

/* The lock is ours for sure at this moment: not a parent's, which may have let it go, nor perhaps ended. */
static bool holds_lock(const ckit_op *op) {
    uint64_t end_ms = op->held != NULL ? ckiti_lease_end(op->cache, op->held) : op->lease_end_ms;
    return ckiti_op_owns_lock(op) && ckiti_cache_now(op->cache) < end_ms;
}

/* For stores that cannot write under a lock: a lock that may have ended is asked for before. CKIT_MISS when it is lost,
 * or when it is a parent's. */
static ckit_status set_if_still_ours(ckit_op *op, ckit_slice stored, const ckit_entry_info *info, ckit_error *err) {
    const ckit_cache *cache = op->cache;
    ckit_slice        key = ckit_buf_slice(&op->key);
    if (!ckiti_op_owns_lock(op)) {
        return CKIT_MISS;
    }
    if (!holds_lock(op)) {
        ckit_status st = cache->ops->lock_renew(cache->store, key, &op->lease, cache->options.lock_lease_ms,
                                                ckiti_store_deadline(cache, 0), err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    return cache->ops->set(cache->store, key, stored, info, ckiti_store_deadline(cache, 0), err);
}

/* Who holds the lock writes only while he does: what his successor stored is newer. CKIT_MISS when the lock is lost. */
static ckit_status set_as_holder(ckit_op *op, ckit_slice stored, const ckit_entry_info *info, ckit_error *err) {
    const ckit_cache *cache = op->cache;
    ckit_slice        key = ckit_buf_slice(&op->key);
    if (!op->locked) {
        return cache->ops->set(cache->store, key, stored, info, ckiti_store_deadline(cache, 0), err);
    }
    return cache->ops->set_if_owner != NULL ? cache->ops->set_if_owner(cache->store, key, stored, info, &op->lease,
                                                                       ckiti_store_deadline(cache, 0), err)
                                            : set_if_still_ours(op, stored, info, err);
}

static void lost_the_lock(ckit_op *op) {
    ckiti_count(&op->cache->counters, CKITI_LEASES_LOST, 1);
    ckiti_log(op->cache->log, CKIT_LOG_WARNING, "cache",
              "%s: a result of %.*s is not stored: its lock ended before, and somebody else's result may be newer",
              op->cache->ops->name, (int)op->function->record->name_len, op->function->record->name);
}

ckit_entry_info ckiti_op_info(const ckit_op *op) {
    const ckiti_function_record *record = op->function->record;
    return (ckit_entry_info){.ttl_ms = op->ttl_ms,
                             .namespace_name = ckit_slice_of(record->ns->name, record->ns->name_len),
                             .function = ckit_slice_of(record->name, record->name_len)};
}

/* What came of writing to the store. */
static void count_write(ckit_op *op, ckit_status st, const ckit_error *why) {
    if (st == CKIT_OK) {
        ckiti_count(&op->cache->counters, CKITI_L2_WRITES, 1);
    } else if (st == CKIT_MISS) {
        lost_the_lock(op);
    } else if (st != CKIT_E_TOO_LARGE) {
        ckiti_store_failed(op->cache, "set", ckit_buf_slice(&op->key), why);
    }
}

ckiti_late_step ckiti_op_begin_late(ckit_op *op, ckit_slice *stored, ckit_buf *name, ckit_buf *sealed) {
    ckiti_sealed_value own = ckiti_op_sealed_value(op);
    ckit_buf_init(name, op->cache->alloc);
    ckit_buf_init(sealed, op->cache->alloc);
    if (op->function->keep_ms == 0) {
        return CKITI_LATE_NOTHING;
    }
    if (!ckiti_stale_is_kept(op->function, op->ttl_ms)) { /* but an earlier value of the key may have been */
        return CKITI_LATE_REMOVE;
    }
    ckit_status st = ckiti_stale_name(op->cache, ckit_buf_slice(&op->key), name);
    if (st == CKIT_OK && op->function->sealed) {
        ckiti_sealed_value v = ckiti_op_under_name(&own, name);
        st = ckiti_value_seal(&v, ckit_buf_slice(&op->document), sealed, NULL);
        *stored = ckit_buf_slice(sealed);
    }
    if (st != CKIT_OK) {
        ckiti_stale_missed(op->cache, ckit_buf_slice(&op->key));
        return CKITI_LATE_NOTHING;
    }
    if (op->locked && !holds_lock(op)) { /* somebody else may hold it by now */
        return CKITI_LATE_REMOVE;
    }
    op->kept_late = op->locked; /* who lets the lock go sees whether it was ours to the end */
    return CKITI_LATE_WRITE;
}

static void keep_for_later(ckit_op *op, ckit_slice stored) {
    ckit_buf        name, sealed;
    ckiti_late_step step = ckiti_op_begin_late(op, &stored, &name, &sealed);
    if (step == CKITI_LATE_REMOVE) {
        (void)ckiti_stale_remove(op->cache, ckit_buf_slice(&op->key), 0, NULL);
    } else if (step == CKITI_LATE_WRITE) {
        ckiti_stale_write(op->function, ckit_buf_slice(&name), stored, op->ttl_ms);
    }
    ckit_buf_fini(&name);
    ckit_buf_fini(&sealed);
}

/* Nothing in the clear is written over what somebody has sealed, nor is it removed. */
static bool is_locked(const ckit_op *op) {
    return op->met_locked || ckiti_is_locked(op->cache, ckit_buf_slice(&op->key));
}

/* The store has not taken the result: what it has under the names of the call is older. */
static void not_stored(const ckit_op *op) {
    if (is_locked(op)) {
        return;
    }
    ckiti_replay_missed(op->cache, ckit_buf_slice(&op->key), false);
    if (op->function->keep_ms > 0) {
        ckiti_stale_missed(op->cache, ckit_buf_slice(&op->key));
    }
}

/* The store has answered: CKIT_E_TOO_LARGE when it takes no value of that size, CKIT_MISS when the lock is lost. What
 * was overtaken meanwhile is taken back. */
static void written(ckit_op *op, const ckiti_storing *storing, ckit_status st, const ckit_error *why) {
    bool kept;
    count_write(op, st, why);
    if (st == CKIT_E_TOO_LARGE || st == CKIT_MISS) {
        end_write(op, storing->began);
        if (st == CKIT_E_TOO_LARGE) {
            too_large(op);
        }
        return;
    }
    if (st != CKIT_OK && op->function->fail_closed) {
        not_stored(op);
        op->kept_not = st;
        op->error = *why;
        end_write(op, storing->began);
        return;
    }
    if (st != CKIT_OK) {
        not_stored(op);
    } else if (!storing->late_is_done) {
        keep_for_later(op, storing->stored);
    }
    if (!ckiti_op_keep_in_memory(op, storing->in_memory, NULL, st == CKIT_OK ? CKITI_COPY_WRITTEN : CKITI_COPY_ALONE,
                                 &kept)) {
        forget_everywhere(op);
    }
    end_write(op, storing->began);
}

/* In memory alone. A refresh that somebody asked for leaves at least nothing older behind. */
static void keep_alone(ckit_op *op, ckit_slice in_memory, bool was_overtaken) {
    bool kept;
    bool valid = !was_overtaken && ckiti_op_keep_in_memory(op, in_memory, NULL, CKITI_COPY_ALONE, &kept);
    if (!valid && op->refresh) {
        forget_everywhere(op);
    }
}

/* What the store is to keep; empty without a store. */
static ckit_status seal(ckit_op *op, ckit_slice *stored, ckit_error *why) {
    const ckit_function *function = op->function;
    uint64_t             most = op->cache->options.max_value_bytes;
    ckit_slice           document = ckit_buf_slice(&op->document);
    *stored = ckit_slice_of(NULL, 0);
    if (op->cache->ops != NULL && !function->raw && !function->interop) {
        ckit_status st =
            ckiti_stored_seal(document, function->integrity, function->compression_level, most, &op->stored, why);
        *stored = ckit_buf_slice(&op->stored);
        return st;
    }
    if (op->cache->ops != NULL) {
        *stored = document;
    }
    return document.len > most ? CKIT_E_TOO_LARGE : CKIT_OK;
}

/* One form for both tiers, and nothing in either when it cannot be made. */
static ckit_status prepare_sealed(ckit_op *op, ckiti_storing *out) {
    const ckiti_sealed_value v = ckiti_op_sealed_value(op);
    ckit_error               why = CKIT_ERROR_INIT;
    ckit_status              st = ckiti_value_seal(&v, ckit_buf_slice(&op->document), &op->stored, &why);
    if (st != CKIT_OK && st != CKIT_E_TOO_LARGE) {
        ckiti_not_sealed(op->cache, ckit_buf_slice(&op->key), &why);
        forget_everywhere(op);
    }
    out->in_memory = ckit_buf_slice(&op->stored);
    out->stored = op->cache->ops != NULL ? out->in_memory : ckit_slice_of(NULL, 0);
    return st;
}

static ckit_status prepare_plain(ckit_op *op, ckiti_storing *out) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = seal(op, &out->stored, &why);
    out->in_memory = ckit_buf_slice(&op->document);
    if (st != CKIT_OK && st != CKIT_E_TOO_LARGE) {
        ckiti_store_failed(op->cache, "seal", ckit_buf_slice(&op->key), &why);
        not_stored(op);
        st = CKIT_OK;
    }
    return st;
}

static void land_result(ckit_op *op) {
    ckiti_op_land(op, false, op->ttl_ms == CKIT_TTL_DO_NOT_STORE ? 0 : op->ttl_ms, CKIT_SOURCE_FUNCTION);
}

void ckiti_op_begin_store(ckit_op *op, ckiti_storing *storing) {
    *storing = (ckiti_storing){.began = 0};
    if (!op->keyed || op->ttl_ms == CKIT_TTL_DO_NOT_STORE) {
        return;
    }
    if (is_locked(op)) {
        if (op->document.len <= op->cache->options.max_value_bytes) {
            keep_alone(op, ckit_buf_slice(&op->document), false);
        }
        return;
    }
    ckit_status st = op->function->sealed ? prepare_sealed(op, storing) : prepare_plain(op, storing);
    if (st == CKIT_E_TOO_LARGE) {
        too_large(op);
    } else if (st == CKIT_OK) {
        if (storing->stored.len == 0) {
            keep_alone(op, storing->in_memory, false);
        } else if (op->silent) {
            not_stored(op);
            keep_alone(op, storing->in_memory, false);
            storing->stored.len = 0;
        } else if (!begin_write(op, &storing->began)) {
            keep_alone(op, storing->in_memory, true);
            storing->stored.len = 0;
        }
        return;
    }
    storing->stored.len = 0;
}

ckit_status ckiti_op_end_store(ckit_op *op, const ckiti_storing *storing, ckit_status st, const ckit_error *why) {
    if (storing->stored.len > 0) {
        written(op, storing, st, why);
    }
    op->stored.len = 0;
    if (op->keyed && op->ttl_ms != CKIT_TTL_DO_NOT_STORE && op->cache->ops != NULL) {
        (void)ckiti_forget_namesakes(op->function, op->memkey);
    }
    ckiti_op_let_lock_go(op);
    if (op->kept_not != CKIT_OK) {
        ckiti_op_hand_over(op);
        op->phase = CKITI_PHASE_DONE;
        return op->kept_not;
    }
    land_result(op);
    return CKIT_OK;
}

ckit_status ckiti_op_store(ckit_op *op) {
    ckiti_storing storing;
    ckit_error    why = CKIT_ERROR_INIT;
    ckit_status   st = CKIT_OK;
    ckiti_op_begin_store(op, &storing);
    if (storing.stored.len > 0) {
        ckit_entry_info info = ckiti_op_info(op);
        st = set_as_holder(op, storing.stored, &info, &why);
    }
    return ckiti_op_end_store(op, &storing, st, &why);
}

ckit_status ckiti_op_keep_without_store(ckit_op *op) {
    ckit_error why = CKIT_ERROR_INIT;
    ckit_fail(&why, CKIT_E_BUSY, "cache", "more than %u background jobs are waiting", op->cache->options.queue_max);
    ckiti_store_failed(op->cache, "set", ckit_buf_slice(&op->key), &why);
    if (op->keyed && op->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        not_stored(op);
    }
    if (op->function->fail_closed) {
        op->error = why;
        ckiti_op_hand_over(op);
        op->phase = CKITI_PHASE_DONE;
        return CKIT_E_BUSY;
    }
    const ckiti_sealed_value v = ckiti_op_sealed_value(op);
    const bool               sealed = op->function->sealed;
    if (op->ttl_ms != CKIT_TTL_DO_NOT_STORE && op->document.len <= op->cache->options.max_value_bytes &&
        (!sealed || ckiti_value_seal(&v, ckit_buf_slice(&op->document), &op->stored, NULL) == CKIT_OK)) {
        keep_alone(op, ckit_buf_slice(sealed ? &op->stored : &op->document), false);
    }
    land_result(op);
    return CKIT_OK;
}

void ckiti_op_count_failure(ckit_op *op) {
    ckiti_count(&op->cache->counters, CKITI_FUNCTION_ERRORS, 1);
    ckiti_count(&op->function->counters, CKITI_FN_ERRORS, 1);
}

void ckiti_op_failed(ckit_op *op) {
    ckiti_op_let_lock_go(op);
    ckiti_op_hand_over(op);
    op->phase = CKITI_PHASE_DONE;
}

/* ---- objects of a binding ---------------------------------------------------------------------------------------- */

ckit_status ckiti_op_keep_object(ckit_op *op, const ckit_object *object, uint64_t ttl_ms, ckit_error *err) {
    ckit_status st = check_lifetime(ttl_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    computed(op, ttl_ms);
    ckiti_shared *shared = ckiti_shared_object(object, op->cache->alloc);
    if (shared == NULL) { /* no memory to share it: the caller has it alone, the followers help themselves */
        ckiti_lend_object(object, &op->value);
        ckiti_op_hand_over(op);
    } else {
        bool kept = false;
        if (op->keyed && op->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
            ckit_object held = ckiti_shared_hold(shared);
            (void)ckiti_op_keep_in_memory(op, ckit_slice_of(NULL, 0), &held, CKITI_COPY_ALONE, &kept);
            if (!kept) {
                ckiti_shared_release(shared);
            }
        }
        uint64_t life_ms = op->ttl_ms == CKIT_TTL_DO_NOT_STORE ? 0 : op->ttl_ms;
        ckiti_flight_land(&op->cache->flights, &op->seat, true, ckiti_op_lend_shared, shared, life_ms);
        ckiti_shared_lend(shared, &op->value);
        ckiti_shared_release(shared);
    }
    ckiti_op_describe(op, op->ttl_ms == CKIT_TTL_DO_NOT_STORE ? 0 : op->ttl_ms, CKIT_SOURCE_FUNCTION);
    return CKIT_OK;
}
