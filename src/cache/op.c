/* A call in progress: beginning, ending, and the steps that ask the store. */
#include "cache/op_parts.h"

#include "cache/refresh.h"
#include "cache/stale.h"
#include "cache/store.h"

#include <cachekit/value.h>

#define FIRST_PAUSE_MS 5u
#define LONGEST_PAUSE_MS 40u /* so long after the lock of a holder that died has ended, the next one computes */

/* ---- invalidation while it was under way ---------------------------------------------------------------------- */

bool ckiti_op_was_invalidated_here(const ckit_op *op) {
    return atomic_load(&op->birth) < ckiti_function_min_birth(op->function) ||
           !ckiti_stripe_is_unchanged(ckiti_op_stripe(op), op->hash, atomic_load(&op->version));
}

bool ckiti_op_was_overtaken(const ckit_op *op) {
    return ckiti_op_was_invalidated_here(op) || ckiti_note_is_changed(&op->note);
}

/* What begins now sees everything that was invalidated before. */
static void stamp(ckit_op *op) {
    if (op->late.len > 0 && ckiti_op_was_overtaken(op)) {
        op->late.len = 0;
    }
    atomic_store(&op->birth, ckiti_namespace_birth(op->function->record->ns));
    atomic_store(&op->version, ckiti_stripe_version(ckiti_op_stripe(op), op->hash));
    ckiti_note_again(op->cache, &op->note);
}

/* A leader that is just keeping its result in memory advances the key's version first and its own then: what looks like
 * a change is looked at again under the lock that it holds meanwhile. */
static bool is_overtaken(const ckiti_seat *seat) {
    const ckit_op *op = (const ckit_op *)(const void *)((const char *)seat - offsetof(ckit_op, seat));
    ckiti_stripe  *stripe = ckiti_op_stripe(op);
    if (!ckiti_op_was_overtaken(op)) {
        return false;
    }
    pthread_mutex_lock(&stripe->mu);
    bool overtaken = ckiti_op_was_overtaken(op);
    pthread_mutex_unlock(&stripe->mu);
    return overtaken;
}

/* ---- beginning and ending --------------------------------------------------------------------------------------- */

static ckit_op *allocate(const ckit_cache *cache, size_t size) {
    ckit_op *op = ckiti_alloc(cache->alloc, size);
    if (op != NULL) {
        op->allocated = size;
    }
    return op;
}

ckit_op *ckiti_op_new(const ckit_cache *cache, const ckiti_memkey *memkey) {
    return allocate(cache, offsetof(ckit_op, own_memkey.bytes) + (memkey != NULL ? memkey->len : 0));
}

/* The name of a lean one stands behind the rest, at the end of what was allocated. */
ckit_op *ckiti_op_new_lean(const ckit_cache *cache, const ckiti_memkey *memkey, bool with_args) {
    size_t size = with_args ? offsetof(ckit_op, queued) : offsetof(ckit_op, args);
    return allocate(cache, size + (memkey != NULL ? memkey->len : 0));
}

void ckiti_op_free(const ckit_cache *cache, ckit_op *op) { ckiti_free(cache->alloc, op, op->allocated); }

/* What every operation has, but for its name. */
static void init_fields(ckit_op *op, ckit_function *function) {
    memset((char *)op + offsetof(ckit_op, function), 0, offsetof(ckit_op, args) - offsetof(ckit_op, function));
    op->function = function;
    op->cache = function->cache;
    ckit_buf_init(&op->key, op->cache->alloc);
    ckit_buf_init(&op->tenant, op->cache->alloc);
    ckit_buf_init(&op->late, ckiti_plain_alloc(function));
    ckit_buf_init(&op->document, ckiti_plain_alloc(function));
    ckit_buf_init(&op->stored, op->cache->alloc);
}

static void init_whole(ckit_op *op, ckit_function *function) {
    init_fields(op, function);
    memset((char *)op + offsetof(ckit_op, queued), 0, offsetof(ckit_op, own_memkey) - offsetof(ckit_op, queued));
}

/* With its name. */
static ckit_status begin(ckit_op *op, ckit_slice packed, uint64_t hash, ckit_error *err) {
    const ckit_function *function = op->function;
    op->keyed = true;
    op->hash = hash;
    op->seat.key = op->memkey;
    op->seat.hash = hash;
    op->seat.scope = function->record->ns;
    op->seat.overtaken = is_overtaken;
    if (op->cache->ops == NULL) {
        op->phase = CKITI_PHASE_COMPUTE;
    }
    ckit_slice  arguments = packed;
    ckit_status st = ckit_buf_append(&op->tenant, ckiti_call_split(function, &arguments));
    if (st == CKIT_OK && (op->cache->ops != NULL || function->custom_key || function->sealed)) {
        st = ckiti_call_key(function, packed, &op->key, err);
    }
    if (st == CKIT_OK) {
        ckiti_note_begin(op->cache, &op->note, ckit_buf_slice(&op->key));
    }
    stamp(op);
    return st;
}

ckit_status ckiti_op_init(ckit_op *op, ckit_function *function, ckit_slice packed, const ckiti_memkey *memkey,
                          uint64_t hash, ckit_error *err) {
    init_whole(op, function);
    op->own_memkey.len = memkey->len;
    memcpy(op->own_memkey.bytes, memkey->bytes, memkey->len);
    op->memkey = ckiti_memkey_slice(&op->own_memkey);
    return begin(op, packed, hash, err);
}

ckit_status ckiti_op_init_lean(ckit_op *op, ckit_function *function, ckit_slice packed, const ckiti_memkey *memkey,
                               uint64_t hash, ckit_error *err) {
    uint8_t *name = (uint8_t *)op + op->allocated - memkey->len;
    init_fields(op, function);
    memcpy(name, memkey->bytes, memkey->len);
    op->memkey = ckit_slice_of(name, memkey->len);
    return begin(op, packed, hash, err);
}

void ckiti_op_reject(ckit_op *op, ckit_slice bytes, bool keep) {
    op->rejects = op->seat.computed_only = true;
    op->keeps_rejected = keep;
    op->rejected_len = bytes.len;
    op->rejected_hash = ckiti_xxh3(bytes, op->cache->seed);
}

bool ckiti_op_is_rejected(const ckit_op *op, ckit_slice bytes) {
    return op->rejects && bytes.len == op->rejected_len && ckiti_xxh3(bytes, op->cache->seed) == op->rejected_hash;
}

static void begin_uncached(ckit_op *op) {
    op->phase = CKITI_PHASE_COMPUTE;
    ckiti_count(&op->cache->counters, CKITI_UNCACHED, 1);
}

void ckiti_op_init_uncached(ckit_op *op, ckit_function *function) {
    init_whole(op, function);
    begin_uncached(op);
}

void ckiti_op_init_lean_uncached(ckit_op *op, ckit_function *function) {
    init_fields(op, function);
    begin_uncached(op);
}

/* When the lock was not ours to the end, or nobody can tell, the second entry, which no store writes under the key's
 * lock, may have replaced a newer one. */
void ckiti_op_released(ckit_op *op, ckit_status released) {
    if (op->kept_late && released == CKIT_MISS) {
        (void)ckiti_stale_remove(op->cache, ckit_buf_slice(&op->key), 0, NULL);
    } else if (op->kept_late && released != CKIT_OK) {
        ckiti_stale_missed(op->cache, ckit_buf_slice(&op->key));
    }
    op->kept_late = false;
    ckiti_waits_wake(&op->cache->waits, op->hash, 0);
}

void ckiti_op_let_lock_go(ckit_op *op) {
    bool ours = ckiti_op_owns_lock(op);
    ckiti_lease_drop(op->cache, &op->held);
    op->locked = false;
    if (ours) {
        /* One that cannot be released now is the cache's to let go. */
        ckit_status st = op->cache->ops->lock_release(op->cache->store, ckit_buf_slice(&op->key), &op->lease,
                                                      ckiti_store_deadline(op->cache, 0), NULL);
        ckiti_op_released(op, st);
    }
}

void ckiti_op_hand_over(ckit_op *op) {
    if (op->seat.state == CKITI_SEAT_WAITING) {
        (void)ckiti_flight_leave(&op->cache->flights, &op->seat);
    }
    if (op->seat.state == CKITI_SEAT_LEADER && ckiti_flight_abandon(&op->cache->flights, &op->seat)) {
        ckiti_count(&op->cache->counters, CKITI_FLIGHT_HANDOVERS, 1);
    }
}

void ckiti_op_begin_wait(ckit_op *op) {
    op->wait.hash = op->hash;
    op->wait.key_hash = op->note.key_hash;
    ckiti_wait_begin(&op->cache->waits, &op->wait);
}

void ckiti_op_fini(ckit_op *op) {
    ckiti_wait_end(&op->cache->waits, &op->wait);
    ckiti_op_let_lock_go(op);
    ckiti_op_hand_over(op);
    ckiti_note_end(op->cache, &op->note);
    ckit_value_fini(&op->seat.value);
    ckit_value_fini(&op->value);
    ckit_buf_fini(&op->key);
    ckit_buf_fini(&op->tenant);
    ckit_buf_fini(&op->document);
    ckit_buf_fini(&op->late);
    ckit_buf_fini(&op->stored);
    if (op->has_args) {
        ckit_args_fini(&op->args);
    }
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

ckit_status ckiti_op_turn_of_the_function(ckit_op *op) {
    op->phase = CKITI_PHASE_COMPUTE;
    op->stored.len = 0;
    op->error = (ckit_error)CKIT_ERROR_INIT; /* the store's troubles have been told to the log */
    op->began_ms = ckiti_cache_now(op->cache);
    if (op->background) { /* what has happened since the ticket was taken counts; and it is nobody's call */
        return CKIT_COMPUTE;
    }
    if (op->keyed) {
        stamp(op);
    }
    atomic_store(&op->has_late, op->late.len > 0); /* it stays as it is from now on */
    ckiti_count(&op->function->counters, CKITI_FN_MISSES, 1);
    return CKIT_COMPUTE;
}

ckit_status ckiti_op_go_for_lock(ckit_op *op) {
    if (op->cache->ops->lock_try == NULL || op->cache->options.lock == CKIT_OFF) {
        return ckiti_op_turn_of_the_function(op);
    }
    op->phase = CKITI_PHASE_LOCK;
    return CKIT_PENDING;
}

/* ---- the store --------------------------------------------------------------------------------------------------- */

static ckit_status missed(ckit_op *op) {
    switch (op->phase) {
    case CKITI_PHASE_WAIT: op->phase = CKITI_PHASE_LOCK; return CKIT_PENDING;
    case CKITI_PHASE_LOOK_AGAIN: return ckiti_op_turn_of_the_function(op);
    default:
        if (op->function->keep_ms == 0) {
            return ckiti_op_go_for_lock(op);
        }
        op->phase = CKITI_PHASE_STALE;
        return CKIT_PENDING;
    }
}

static ckit_status found(ckit_op *op, uint64_t life_ms) {
    ckiti_count(&op->cache->counters, CKITI_L2_HITS, 1);
    ckiti_count(&op->function->counters, CKITI_FN_L2_HITS, 1);
    ckiti_op_let_lock_go(op);
    op->error = (ckit_error)CKIT_ERROR_INIT;
    ckiti_op_land(op, false, life_ms, CKIT_SOURCE_STORE);
    return CKIT_OK;
}

/* The bytes of a raw function are its value as they are. */
static ckit_status open_raw(ckit_op *op, ckit_slice key) {
    ckit_buf   none = op->document;
    ckit_error why = CKIT_ERROR_INIT;
    op->document = op->stored;
    op->stored = none;
    if (op->document.len > 0) {
        return CKIT_OK;
    }
    ckit_fail(&why, CKIT_E_TRUNCATED, "function", "it has no bytes");
    ckiti_store_unreadable(op->cache, key, &why, true);
    return CKIT_MISS;
}

static ckit_status open_by_mode(ckit_op *op, ckit_slice key, bool *locked) {
    if (op->function->raw) {
        return open_raw(op, key);
    }
    return op->function->interop ? ckiti_store_open_interop(op->cache, key, &op->stored, &op->document)
                                 : ckiti_store_open(op->cache, key, op->function->integrity,
                                                    ckit_buf_slice(&op->stored), &op->document, locked);
}

static ckit_status open_sealed(ckit_op *op, const ckiti_sealed_value *v) {
    return ckiti_value_open(v, CKITI_TIER_L2, ckit_buf_slice(&op->stored), &op->document, &op->error);
}

/* Somebody seals what this function would keep in the clear, and there is no key here. */
static ckit_status met_locked(ckit_op *op) {
    ckit_status st = op->met_locked ? CKIT_MISS : ckiti_locked_met(op->cache, ckit_buf_slice(&op->key), &op->error);
    op->met_locked = true;
    return st;
}

void ckiti_op_look_for_locked(ckit_op *op) {
    uint64_t   life_ms;
    ckit_slice key = ckit_buf_slice(&op->key);
    if (!op->keyed || op->cache->ops == NULL || !ckiti_locked_forgets(op->cache, key)) {
        return;
    }
    ckit_status got = op->cache->ops->get(op->cache->store, key, ckiti_store_deadline(op->cache, 0), &op->stored,
                                          &life_ms, &op->error);
    if (got >= CKIT_E_FIRST) {
        ckiti_store_failed(op->cache, "get", key, &op->error);
        op->error = (ckit_error)CKIT_ERROR_INIT;
    }
    op->met_locked =
        got >= CKIT_E_FIRST || (got == CKIT_OK && ckiti_value_is_locked(op->cache, ckit_buf_slice(&op->stored)));
    op->stored.len = 0;
}

static void reject(ckit_op *op, ckit_slice key) {
    if (!op->met_rejected) {
        ckit_error why = CKIT_ERROR_INIT;
        ckit_fail(&why, CKIT_E_DECODE, "function", "the caller rejected it");
        ckiti_store_rejected(op->cache, key, &why, !op->keeps_rejected);
        op->met_rejected = op->keeps_rejected;
    }
}

/* The store has it under `v->stored_key`. A failure is the caller's. */
static ckit_status open_stored(ckit_op *op, const ckiti_sealed_value *v) {
    bool        locked = false;
    ckit_status st = op->function->sealed ? open_sealed(op, v) : open_by_mode(op, v->stored_key, &locked);
    if (st == CKIT_OK && ckiti_op_is_rejected(op, ckit_buf_slice(&op->document))) {
        locked = ckiti_value_is_locked(op->cache, ckit_buf_slice(&op->document));
        if (!locked) {
            reject(op, v->stored_key);
        }
        st = CKIT_MISS;
    }
    return locked ? met_locked(op) : st;
}

/* What the store has not told with the value is asked where it matters: memory keeps nothing longer than the store, and
 * who renews has to know when. */
static uint64_t ask_for_life(const ckit_op *op, uint64_t life_ms) {
    ckit_cache *cache = op->cache;
    uint64_t    told_ms = CKIT_LIFE_UNKNOWN;
    ckit_error  why = CKIT_ERROR_INIT;
    if (life_ms != CKIT_LIFE_UNKNOWN || cache->ops->ttl == NULL ||
        (op->function->renew_below_ms == 0 && !ckiti_uses_memory(op->function))) {
        return life_ms;
    }
    ckit_slice  key = ckit_buf_slice(&op->key);
    ckit_status st = cache->ops->ttl(cache->store, key, ckiti_store_deadline(cache, 0), &told_ms, &why);
    if (st == CKIT_MISS) {
        return 1; /* it has just ended */
    }
    if (st != CKIT_OK) {
        ckiti_store_failed(cache, "ttl", key, &why);
    }
    return st == CKIT_OK ? told_ms : CKIT_LIFE_UNKNOWN;
}

/* What a store of whole seconds may tell too much. */
#define ROUNDED_MS 1000

/* It may be a nil with a lifetime of its own: raw bytes do not say what they are, but how long they have left. */
static bool may_be_nil(const ckit_op *op, uint64_t life_ms) {
    const ckit_function *function = op->function;
    if (!function->raw) {
        return ckiti_op_is_nil(op);
    }
    return function->nil_ttl_ms != CKIT_TTL_DO_NOT_STORE &&
           (life_ms < ROUNDED_MS || life_ms - ROUNDED_MS < function->nil_ttl_ms);
}

/* A value that is found late in its life gets all of it again, where that is wanted and can be done. Returns what it
 * has left. */
static uint64_t renew(ckit_op *op, uint64_t life_ms) {
    const ckit_function *function = op->function;
    if (life_ms >= function->renew_below_ms || op->cache->ops->touch == NULL ||
        (function->nil_ttl_ms != 0 && may_be_nil(op, life_ms))) {
        return life_ms;
    }
    ckit_slice  key = ckit_buf_slice(&op->key);
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st =
        op->cache->ops->touch(op->cache->store, key, function->ttl_ms, ckiti_store_deadline(op->cache, 0), &why);
    if (st == CKIT_OK) {
        ckiti_stale_touch(function, key, function->ttl_ms);
        return function->ttl_ms;
    }
    if (st != CKIT_MISS) {
        ckiti_store_failed(op->cache, "touch", key, &why);
    }
    return life_ms;
}

/* The call fails with op->error, and leaves everything as it is. */
static ckit_status refuse(ckit_op *op, ckit_status st) {
    ckiti_op_let_lock_go(op);
    op->document.len = op->stored.len = 0;
    op->phase = CKITI_PHASE_DONE;
    return st;
}

/* The store failed, with op->error, and somebody minds. CKIT_MISS: go on without it. */
static ckit_status after_failure(ckit_op *op, ckit_status why) {
    if (ckiti_op_stand_in(op)) {
        ckiti_op_let_lock_go(op);
        return CKIT_STALE;
    }
    return op->function->fail_closed ? refuse(op, why) : CKIT_MISS;
}

/* What the store answered to a look: op->stored holds the bytes. */
static ckit_status answered(ckit_op *op, ckit_status got, uint64_t life_ms) {
    if (got == CKIT_OK) {
        const ckiti_sealed_value v = ckiti_op_sealed_value(op);
        got = open_stored(op, &v);
        if (got != CKIT_OK && got != CKIT_MISS) {
            return op->background ? ckiti_refresh_put_off(op, CKITI_PAUSE_FAILED_MS) : refuse(op, got);
        }
        life_ms = got == CKIT_OK ? ask_for_life(op, life_ms) : life_ms;
        life_ms = got == CKIT_OK && !op->background ? renew(op, life_ms) : life_ms;
    } else if (got != CKIT_MISS) {
        ckiti_store_failed(op->cache, "get", ckit_buf_slice(&op->key), &op->error);
        op->silent = got == CKIT_E_TIMEOUT;
    }
    if ((got == CKIT_OK || got == CKIT_MISS) && !op->met_locked) {
        ckiti_locked_gone(op->cache, ckit_buf_slice(&op->key));
    }
    if (op->background) {
        return ckiti_refresh_answered(op, got, life_ms);
    }
    bool believed = got == CKIT_OK && ckiti_op_believe(op, life_ms);
    op->stored.len = 0;
    if (believed) {
        return found(op, life_ms);
    }
    op->document.len = 0;
    if (got >= CKIT_E_FIRST && ckiti_op_minds_failures(op)) {
        ckit_status answer = after_failure(op, got);
        if (answer != CKIT_MISS) {
            return answer;
        }
    }
    if (got == CKIT_E_CIRCUIT_OPEN || op->silent) {
        return ckiti_op_turn_of_the_function(op); /* no store, so no lock either */
    }
    if (got == CKIT_OK && ++op->looks < CKITI_MOST_LOOKS) {
        return CKIT_PENDING; /* once more, in the same phase */
    }
    if (got == CKIT_OK || got == CKIT_MISS) {
        ckiti_count(&op->cache->counters, CKITI_L2_MISSES, 1);
    }
    return missed(op);
}

void ckiti_op_begin_look(ckit_op *op) {
    if (!op->background) {
        stamp(op);
    }
}

ckit_status ckiti_op_opened(ckit_op *op, ckit_status got, uint64_t life_ms) {
    op->phase = op->phase == CKITI_PHASE_OPEN ? CKITI_PHASE_LOOK : op->phase;
    return answered(op, got, life_ms);
}

static ckit_status look(ckit_op *op) {
    uint64_t life_ms = CKIT_LIFE_UNKNOWN;
    ckiti_op_begin_look(op);
    ckit_status got = op->cache->ops->get(op->cache->store, ckit_buf_slice(&op->key),
                                          ckiti_store_deadline(op->cache, 0), &op->stored, &life_ms, &op->error);
    return answered(op, got, life_ms);
}

ckiti_sealed_value ckiti_op_under_name(const ckiti_sealed_value *own, const ckit_buf *name) {
    ckiti_sealed_value v = *own;
    size_t             tenant = own->stored_key.len - own->key.len;
    v.stored_key = ckit_buf_slice(name);
    if (name->len > tenant) { /* else it is not there */
        v.key = ckit_slice_of(name->ptr + tenant, name->len - tenant);
    }
    return v;
}

ckit_status ckiti_op_opened_late(ckit_op *op, const ckit_buf *name, ckit_status got, uint64_t left_ms) {
    ckiti_sealed_value own = ckiti_op_sealed_value(op);
    ckiti_sealed_value v = ckiti_op_under_name(&own, name);
    ckit_status        opened = got == CKIT_OK ? open_stored(op, &v) : CKIT_MISS;
    op->stored.len = opened == CKIT_OK && !op->function->sealed ? op->stored.len : 0;
    if (opened != CKIT_OK && opened != CKIT_MISS) {
        return refuse(op, opened);
    }
    if (opened == CKIT_OK && op->function->sealed) { /* memory has it under the key's own name */
        opened = ckiti_value_seal(&own, ckit_buf_slice(&op->document), &op->stored, NULL);
    }
    bool there = opened == CKIT_OK && ckiti_op_believe_stale(op, left_ms);
    op->stored.len = 0;
    bool reserve = op->fresh_only || left_ms <= op->function->keep_ms - op->function->stale_ms;
    if (there && reserve) { /* only if the function fails */
        op->late.len = 0;
        (void)ckit_buf_append(&op->late, ckit_buf_slice(&op->document));
        there = false;
    }
    if (!there) {
        op->document.len = 0;
        return ckiti_op_go_for_lock(op);
    }
    ckiti_count(&op->cache->late_counters, CKITI_L2_STALE_HITS, 1);
    ckiti_count(&op->function->counters, CKITI_FN_L2_STALE_HITS, 1);
    op->error = (ckit_error)CKIT_ERROR_INIT;
    ckiti_op_land(op, true, 0, CKIT_SOURCE_STORE);
    return CKIT_STALE;
}

static ckit_status look_for_stale(ckit_op *op) {
    ckit_buf    name;
    uint64_t    left_ms = 0;
    ckit_status st = ckiti_stale_name(op->cache, ckit_buf_slice(&op->key), &name);
    if (st == CKIT_OK) {
        st = ckiti_stale_read(op->function, ckit_buf_slice(&name), &op->stored, &left_ms);
    }
    st = ckiti_op_opened_late(op, &name, st, left_ms);
    ckit_buf_fini(&name);
    return st;
}

bool ckiti_op_take_ticket(ckit_op *op, bool elsewhere) {
    ckiti_l1      *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = ckiti_op_query(op);
    uint64_t       life_ms;
    op->seat.elsewhere = elsewhere;
    if (ckiti_refresh_is_put_off(op->cache, op->hash) ||
        ckiti_flight_join(&op->cache->flights, &op->seat, false) != CKITI_SEAT_LEADER) {
        return false;
    }
    if (l1 != NULL && ckiti_uses_memory(op->function) &&
        ckiti_l1_peek(l1, &query, ckiti_cache_now(op->cache), &life_ms) == CKIT_OK) {
        ckiti_op_hand_over(op);
        return false;
    }
    stamp(op);
    ckiti_op_begin_refresh(op);
    return true;
}

void ckiti_op_begin_refresh(ckit_op *op) {
    ckiti_count(&op->cache->counters, CKITI_REFRESHES, 1);
    ckiti_count(&op->function->counters, CKITI_FN_REFRESHES, 1);
    op->background = true;
    op->began_ms = ckiti_cache_now(op->cache);
    op->phase = CKITI_PHASE_COMPUTE;
}

ckit_status ckiti_op_tried_lock(ckit_op *op, ckit_status st, uint64_t now) {
    if (op->lock_deadline == 0) {
        op->lock_deadline = ckiti_time_after(now, op->cache->options.lock_wait_ms);
        op->pause_ms = FIRST_PAUSE_MS;
    }
    if (st == CKIT_OK) {
        op->locked = true;
        op->lock_forks = op->cache->leases.forks;
        op->lease_end_ms = ckiti_time_after(now, op->cache->options.lock_lease_ms);
        ckiti_lease_hold(op->cache, ckit_buf_slice(&op->key), &op->lease, now, &op->held);
        op->phase = CKITI_PHASE_LOOK_AGAIN;
        return CKIT_PENDING;
    }
    if (st != CKIT_MISS) { /* a lock that does not work keeps nobody from computing */
        ckiti_store_failed(op->cache, "lock", ckit_buf_slice(&op->key), &op->error);
        op->silent = st == CKIT_E_TIMEOUT;
        if (op->background && ckiti_refresh_without_store(op) != CKIT_PENDING) {
            return CKIT_MISS;
        }
        if (op->function->fail_closed) {
            return refuse(op, st);
        }
        return ckiti_op_turn_of_the_function(op);
    }
    if (op->background) {
        return ckiti_refresh_put_off(op, CKITI_PAUSE_LOCKED_MS);
    }
    if (now >= op->lock_deadline) {
        ckiti_log(op->cache->log, CKIT_LOG_WARNING, "cache",
                  "%s: the lock of a call of %.*s was not obtained in %u ms: computing without it",
                  ckit_status_code(CKIT_E_LOCK_TIMEOUT), (int)op->function->record->name_len,
                  op->function->record->name, op->cache->options.lock_wait_ms);
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

static ckit_status try_lock(ckit_op *op) {
    uint64_t now = ckiti_cache_now(op->cache);
    return ckiti_op_tried_lock(op,
                               op->cache->ops->lock_try(op->cache->store, ckit_buf_slice(&op->key),
                                                        op->cache->options.lock_lease_ms,
                                                        ckiti_store_deadline(op->cache, 0), &op->lease, &op->error),
                               now);
}

ckit_status ckiti_op_advance(ckit_op *op) {
    op->retry_at_ms = 0;
    switch (op->phase) {
    case CKITI_PHASE_LOOK:
    case CKITI_PHASE_WAIT:
    case CKITI_PHASE_LOOK_AGAIN: return look(op);
    case CKITI_PHASE_STALE: return look_for_stale(op);
    case CKITI_PHASE_LOCK: return try_lock(op);
    default: return ckiti_op_turn_of_the_function(op);
    }
}
