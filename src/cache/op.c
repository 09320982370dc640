#include "cache/op.h"

#include "cache/shared.h"
#include "cache/store.h"
#include "format/stored.h"

#include <cachekit/document.h>
#include <cachekit/value.h>

#define FIRST_PAUSE_MS 5u
#define LONGEST_PAUSE_MS 100u

static uint64_t floor_of(const ckit_function *function) {
    uint64_t own = atomic_load_explicit(&function->record->floor, memory_order_acquire);
    uint64_t whole = atomic_load_explicit(&function->record->ns->floor, memory_order_acquire);
    return own > whole ? own : whole;
}

uint64_t ckiti_call_name(const ckit_function *function, ckit_slice packed, ckiti_memkey *memkey) {
    const ckiti_l1 *l1 = function->record->ns->l1;
    ckiti_memkey_make(memkey, function->record->id, packed);
    ckit_slice key = ckiti_memkey_slice(memkey);
    return l1 != NULL ? ckiti_l1_hash(l1, key) : ckiti_xxh3(key, function->cache->seed);
}

ckit_status ckiti_op_memory(ckit_function *function, ckit_slice packed, ckiti_memkey *memkey, uint64_t *hash,
                            ckit_value *out) {
    ckiti_l1 *l1 = function->record->ns->l1;
    *hash = ckiti_call_name(function, packed, memkey);
    if (l1 == NULL || !function->use_l1) {
        return CKIT_MISS;
    }
    ckiti_l1_query query = {.key = ckiti_memkey_slice(memkey), .hash = *hash, .min_birth = floor_of(function),
                            .tag = CKITI_TAG_DOCUMENT};
    ckit_status st = ckiti_l1_get(l1, &query, ckiti_cache_now(function->cache), out);
    if (st != CKIT_MISS) {
        ckiti_count(&function->counters, CKITI_FN_L1_HITS, 1);
    }
    return st;
}

/* Everything but the memory key, whose 4 KiB are written only up to its length. */
static void init_fields(ckit_op *op, ckit_function *function) {
    memset(op, 0, offsetof(ckit_op, memkey));
    memset((char *)op + offsetof(ckit_op, poll), 0, offsetof(ckit_op, args) - offsetof(ckit_op, poll));
    op->has_args = false;
    op->function = function;
    op->cache = function->cache;
    ckit_buf_init(&op->key, op->cache->alloc);
    ckit_buf_init(&op->document, op->cache->alloc);
    ckit_buf_init(&op->stored, op->cache->alloc);
}

ckit_status ckiti_op_init(ckit_op *op, ckit_function *function, ckit_slice packed, const ckiti_memkey *memkey,
                          uint64_t hash, ckit_error *err) {
    init_fields(op, function);
    op->keyed = true;
    op->hash = hash;
    op->memkey.len = memkey->len;
    memcpy(op->memkey.bytes, memkey->bytes, memkey->len);
    op->seat.key = ckiti_memkey_slice(&op->memkey);
    op->seat.hash = hash;
    op->seat.scope = function->record->ns;
    op->birth = ckiti_namespace_birth(function->record->ns);
    op->version = ckiti_stripe_version(ckiti_stripe_of(&op->cache->stripes, hash));
    if (op->cache->ops == NULL) {
        op->phase = CKITI_PHASE_COMPUTE;
        return CKIT_OK;
    }
    return ckit_key_from_prefix(&function->key_prefix, packed, &op->key, err);
}

void ckiti_op_init_uncached(ckit_op *op, ckit_function *function) {
    init_fields(op, function);
    op->phase = CKITI_PHASE_COMPUTE;
    ckiti_count(&op->cache->counters, CKITI_UNCACHED, 1);
}

static void let_lock_go(ckit_op *op) {
    if (op->locked) {
        op->locked = false;
        /* A lock that cannot be released ends by itself. */
        (void)op->cache->ops->lock_release(op->cache->store, ckit_buf_slice(&op->key), &op->lease,
                                           ckiti_store_deadline(op->cache, 0), NULL);
    }
}

static void hand_over(ckit_op *op) {
    if (op->seat.state == CKITI_SEAT_WAITING) {
        (void)ckiti_flight_leave(&op->cache->flights, &op->seat);
    }
    if (op->seat.state == CKITI_SEAT_LEADER && ckiti_flight_abandon(&op->cache->flights, &op->seat)) {
        ckiti_count(&op->cache->counters, CKITI_FLIGHT_HANDOVERS, 1);
    }
}

void ckiti_op_fini(ckit_op *op) {
    let_lock_go(op);
    hand_over(op);
    ckit_value_fini(&op->seat.value);
    ckit_value_fini(&op->value);
    ckit_buf_fini(&op->key);
    ckit_buf_fini(&op->document);
    ckit_buf_fini(&op->stored);
    if (op->has_args) {
        ckit_args_fini(&op->args);
    }
}

/* ---- invalidation while it was under way ---------------------------------------------------------------------- */

static bool was_invalidated(const ckit_op *op, const ckiti_stripe *stripe) {
    return op->birth < floor_of(op->function) ||
           op->version != atomic_load_explicit(&stripe->version, memory_order_acquire);
}

/* Puts into memory unless the key changed meanwhile. `advance`: this is a new value, so that slower readers and
 * computations of the same key do not overwrite it. */
static bool put_in_memory(ckit_op *op, ckit_slice document, const ckit_object *object, uint64_t life_ms,
                          bool advance) {
    bool          kept = false;
    ckiti_l1     *l1 = op->function->record->ns->l1;
    ckiti_stripe *stripe = ckiti_stripe_of(&op->cache->stripes, op->hash);
    pthread_mutex_lock(&stripe->mu);
    bool outdated = was_invalidated(op, stripe);
    if (advance) {
        ckiti_stripe_advance(stripe);
        op->version = outdated ? op->version : ckiti_stripe_version(stripe);
    }
    if (l1 != NULL && op->function->use_l1 && !outdated && life_ms > 0) {
        ckiti_l1_put_args args = {.key = ckiti_memkey_slice(&op->memkey),
                                  .hash = op->hash,
                                  .value = document,
                                  .object = object,
                                  .life_ms = life_ms,
                                  .stale_ms = op->function->stale_ms,
                                  .birth = op->birth,
                                  .tag = CKITI_TAG_DOCUMENT};
        kept = ckiti_l1_put(l1, &args, ckiti_cache_now(op->cache)) == CKIT_OK;
    }
    pthread_mutex_unlock(&stripe->mu);
    ckiti_sweep_start(op->cache);
    return kept;
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

static bool lend_shared(void *shared, ckit_value *out) {
    ckiti_shared_lend(shared, out);
    return true;
}

static void describe(ckit_op *op, uint64_t life_ms, ckit_source source) {
    op->value.life_ms = life_ms;
    op->value.source = source;
    op->phase = CKITI_PHASE_DONE;
}

/* op->document becomes op->value, and everybody's who waits. */
static void land(ckit_op *op, uint64_t life_ms, ckit_source source) {
    ckiti_shared *shared = ckiti_shared_take(&op->document);
    if (shared == NULL) { /* no memory to share it: the followers help themselves */
        hand_over(op);
        ckit_value_take(&op->value, &op->document);
    } else {
        ckiti_flight_land(&op->cache->flights, &op->seat, lend_shared, shared, life_ms);
        ckiti_shared_lend(shared, &op->value);
        ckiti_shared_release(shared);
    }
    describe(op, life_ms, source);
}

static ckit_status store_answered_with_a_value(ckit_op *op, uint64_t life_ms) {
    ckiti_count(&op->cache->counters, CKITI_L2_HITS, 1);
    ckiti_count(&op->function->counters, CKITI_FN_L2_HITS, 1);
    (void)put_in_memory(op, ckit_buf_slice(&op->document), NULL, ckiti_life_in_memory(life_ms), false);
    let_lock_go(op);
    land(op, life_ms, CKIT_SOURCE_STORE);
    return CKIT_OK;
}

/* CKIT_OK with op->document filled, else CKIT_MISS. */
static ckit_status open_stored(ckit_op *op, ckit_status got) {
    ckit_slice key = ckit_buf_slice(&op->key);
    if (got == CKIT_OK) {
        got = ckiti_store_open(op->cache, key, op->function->integrity, ckit_buf_slice(&op->stored), &op->document);
    } else if (got != CKIT_MISS) {
        ckiti_store_failed(op->cache, "get", key, &op->error);
        got = CKIT_MISS;
    }
    op->stored.len = 0;
    return got;
}

static ckit_status look(ckit_op *op, uint64_t *life_ms) {
    *life_ms = CKIT_LIFE_UNKNOWN;
    ckit_status got = op->cache->ops->get(op->cache->store, ckit_buf_slice(&op->key),
                                          ckiti_store_deadline(op->cache, 0), &op->stored, life_ms, &op->error);
    return open_stored(op, got);
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

static ckit_status turn_of_the_function(ckit_op *op) {
    op->phase = CKITI_PHASE_COMPUTE;
    return CKIT_COMPUTE;
}

static ckit_status missed(ckit_op *op) {
    ckiti_count(&op->cache->counters, CKITI_L2_MISSES, 1);
    if (op->cache->ops->lock_try == NULL || op->cache->options.lock == CKIT_OFF) {
        return turn_of_the_function(op);
    }
    op->phase = CKITI_PHASE_LOCK;
    return CKIT_PENDING;
}

ckit_status ckiti_op_opened(ckit_op *op, ckit_status got, uint64_t life_ms) {
    return open_stored(op, got) == CKIT_OK ? store_answered_with_a_value(op, life_ms) : missed(op);
}

static ckit_status try_lock(ckit_op *op) {
    uint64_t now = ckiti_cache_now(op->cache);
    if (op->lock_deadline == 0) {
        op->lock_deadline = ckiti_time_after(now, op->cache->options.lock_wait_ms);
        op->pause_ms = FIRST_PAUSE_MS;
    }
    ckit_status st = op->cache->ops->lock_try(op->cache->store, ckit_buf_slice(&op->key),
                                              op->cache->options.lock_lease_ms, ckiti_store_deadline(op->cache, 0),
                                              &op->lease, &op->error);
    if (st == CKIT_OK) {
        op->locked = true;
        op->phase = CKITI_PHASE_LOOK_AGAIN;
        return CKIT_PENDING;
    }
    if (st != CKIT_MISS) { /* a lock that does not work keeps nobody from computing */
        ckiti_store_failed(op->cache, "lock", ckit_buf_slice(&op->key), &op->error);
        return turn_of_the_function(op);
    }
    if (now >= op->lock_deadline) {
        ckiti_log(op->cache->log, CKIT_LOG_WARNING, "cache", "%s: a lock was not obtained in %u ms, computing without it",
                  ckit_status_code(CKIT_E_LOCK_TIMEOUT), op->cache->options.lock_wait_ms);
        op->phase = CKITI_PHASE_LOOK_AGAIN;
        return CKIT_PENDING;
    }
    /* Half to full pause, from the key's hash and the time: waiters of a fleet do not march in step. */
    uint32_t pause = op->pause_ms / 2 + (uint32_t)((op->hash ^ now * 0x9e3779b9u) % (op->pause_ms / 2 + 1));
    op->retry_at_ms = ckiti_time_after(now, pause);
    op->pause_ms = op->pause_ms * 2 < LONGEST_PAUSE_MS ? op->pause_ms * 2 : LONGEST_PAUSE_MS;
    op->phase = CKITI_PHASE_WAIT;
    return CKIT_PENDING;
}

ckit_status ckiti_op_advance(ckit_op *op) {
    uint64_t life_ms;
    op->retry_at_ms = 0;
    switch (op->phase) {
    case CKITI_PHASE_LOOK:
        return look(op, &life_ms) == CKIT_OK ? store_answered_with_a_value(op, life_ms) : missed(op);
    case CKITI_PHASE_LOCK:
        return try_lock(op);
    case CKITI_PHASE_WAIT:
        if (look(op, &life_ms) == CKIT_OK) {
            return store_answered_with_a_value(op, life_ms);
        }
        op->phase = CKITI_PHASE_LOCK;
        return CKIT_PENDING;
    case CKITI_PHASE_LOOK_AGAIN:
        return look(op, &life_ms) == CKIT_OK ? store_answered_with_a_value(op, life_ms) : turn_of_the_function(op);
    default:
        return turn_of_the_function(op);
    }
}

/* ---- after the function -------------------------------------------------------------------------------------- */

static void computed(ckit_op *op, uint64_t ttl_ms) {
    op->ttl_ms = ttl_ms == CKIT_TTL_DEFAULT ? op->function->ttl_ms : ttl_ms;
    ckiti_count(&op->cache->counters, CKITI_COMPUTED, 1);
    ckiti_count(&op->function->counters, CKITI_FN_COMPUTED, 1);
}

ckit_status ckiti_op_result(ckit_op *op, ckit_buf *document, uint64_t ttl_ms, ckit_error *err) {
    ckit_status st = ckit_document_check(ckit_buf_slice(document), NULL);
    if (st != CKIT_OK) {
        return ckit_fail(err, CKIT_E_MISUSE, "function", "the function did not give exactly one document (%s)",
                         ckit_status_text(st));
    }
    if (ttl_ms > CKIT_TTL_MAX_MS && ttl_ms != CKIT_TTL_NO_EXPIRY && ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        return ckit_fail(err, CKIT_E_MISUSE, "function", "a lifetime of %llu ms, the longest is %llu",
                         (unsigned long long)ttl_ms, (unsigned long long)CKIT_TTL_MAX_MS);
    }
    ckit_buf_fini(&op->document);
    op->document = *document;
    ckit_buf_init(document, document->alloc);
    computed(op, ttl_ms);
    op->phase = CKITI_PHASE_STORE;
    return CKIT_OK;
}

/* The value is larger than may be stored: nobody keeps it, nor what was stored before. */
static void too_large(ckit_op *op) {
    ckiti_count(&op->cache->counters, CKITI_TOO_LARGE, 1);
    ckiti_log(op->cache->log, CKIT_LOG_WARNING, "cache", "%s: a result is larger than max_value_bytes and is not stored",
              ckit_status_code(CKIT_E_TOO_LARGE));
    if (op->cache->ops != NULL) {
        (void)op->cache->ops->remove(op->cache->store, ckit_buf_slice(&op->key), ckiti_store_deadline(op->cache, 0),
                                     NULL);
    }
}

static void write_to_store(ckit_op *op, ckit_slice stored) {
    const ckiti_function_record *record = op->function->record;
    ckit_entry_info              info = {.ttl_ms = op->ttl_ms,
                                         .namespace_name = ckit_slice_of(record->ns->name, record->ns->name_len),
                                         .function = ckit_slice_of(record->name, record->name_len)};
    ckit_slice  key = ckit_buf_slice(&op->key);
    ckit_status st = op->cache->ops->set(op->cache->store, key, stored, &info, ckiti_store_deadline(op->cache, 0),
                                         &op->error);
    if (st == CKIT_OK) {
        ckiti_count(&op->cache->counters, CKITI_L2_WRITES, 1);
    } else {
        ckiti_store_failed(op->cache, "set", key, &op->error);
    }
    /* What was invalidated while it was being written must not stay. */
    if (was_invalidated(op, ckiti_stripe_of(&op->cache->stripes, op->hash))) {
        (void)op->cache->ops->remove(op->cache->store, key, ckiti_store_deadline(op->cache, 0), NULL);
    }
}

static void store_result(ckit_op *op) {
    ckit_slice document = ckit_buf_slice(&op->document);
    if (op->cache->ops == NULL) {
        if (document.len > op->cache->options.max_value_bytes) {
            too_large(op);
        } else {
            (void)put_in_memory(op, document, NULL, op->ttl_ms, true);
        }
        return;
    }
    ckit_status st = ckiti_stored_seal(document, op->function->integrity, op->function->compression_level,
                                       op->cache->options.max_value_bytes, &op->stored, &op->error);
    if (st == CKIT_E_TOO_LARGE) {
        too_large(op);
        return;
    }
    (void)put_in_memory(op, document, NULL, op->ttl_ms, true);
    if (st != CKIT_OK) {
        ckiti_store_failed(op->cache, "seal", ckit_buf_slice(&op->key), &op->error);
    } else if (!was_invalidated(op, ckiti_stripe_of(&op->cache->stripes, op->hash))) {
        write_to_store(op, ckit_buf_slice(&op->stored));
    }
}

void ckiti_op_store(ckit_op *op) {
    if (op->keyed && op->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
        store_result(op);
    }
    let_lock_go(op);
    land(op, op->ttl_ms == CKIT_TTL_DO_NOT_STORE ? 0 : op->ttl_ms, CKIT_SOURCE_FUNCTION);
}

void ckiti_op_failed(ckit_op *op) {
    ckiti_count(&op->cache->counters, CKITI_FUNCTION_ERRORS, 1);
    ckiti_count(&op->function->counters, CKITI_FN_ERRORS, 1);
    let_lock_go(op);
    hand_over(op);
    op->phase = CKITI_PHASE_DONE;
}

/* ---- objects of a binding ------------------------------------------------------------------------------------------ */

static bool lend_from_memory(void *context, ckit_value *out) {
    ckit_op  *op = context;
    ckiti_l1 *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = {.key = ckiti_memkey_slice(&op->memkey), .hash = op->hash,
                            .min_birth = floor_of(op->function), .tag = CKITI_TAG_DOCUMENT};
    return l1 != NULL && ckiti_l1_get(l1, &query, ckiti_cache_now(op->cache), out) == CKIT_OK;
}

void ckiti_op_keep_object(ckit_op *op, const ckit_object *object, uint64_t ttl_ms) {
    computed(op, ttl_ms);
    bool kept = op->keyed && op->ttl_ms != CKIT_TTL_DO_NOT_STORE &&
                put_in_memory(op, ckit_slice_of(NULL, 0), object, op->ttl_ms, true);
    if (kept) {
        ckiti_flight_land(&op->cache->flights, &op->seat, lend_from_memory, op, op->ttl_ms);
        (void)lend_from_memory(op, &op->value);
    } else {
        hand_over(op); /* nothing to lend: those who wait compute */
        object->release(object->object, object->context);
    }
    describe(op, op->ttl_ms, CKIT_SOURCE_FUNCTION);
}
