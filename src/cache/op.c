#include "cache/op.h"

#include "cache/scope.h"
#include "cache/shared.h"
#include "cache/stale.h"
#include "cache/store.h"
#include "format/stored.h"

#include <cachekit/document.h>
#include <cachekit/interop.h>
#include <cachekit/value.h>

#define FIRST_PAUSE_MS 5u
#define LONGEST_PAUSE_MS 40u /* so long after the lock of a holder that died has ended, the next one computes */

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
    ckiti_l1_query query = {.key = ckiti_memkey_slice(memkey),
                            .hash = *hash,
                            .min_birth = ckiti_function_min_birth(function),
                            .tag = CKITI_TAG_DOCUMENT};
    ckit_status    st = ckiti_l1_get(l1, &query, ckiti_cache_now(function->cache), out);
    if (st != CKIT_MISS) {
        ckiti_count(&function->counters, CKITI_FN_L1_HITS, 1);
    }
    return st;
}

/* ---- invalidation while it was under way ---------------------------------------------------------------------- */

static ckiti_stripe *stripe_of(const ckit_op *op) { return ckiti_stripe_of(&op->cache->stripes, op->hash); }

static bool was_invalidated_here(const ckit_op *op) {
    return atomic_load(&op->birth) < ckiti_function_min_birth(op->function) ||
           !ckiti_stripe_is_unchanged(stripe_of(op), op->hash, atomic_load(&op->version));
}

static bool was_invalidated(const ckit_op *op) { return was_invalidated_here(op) || ckiti_note_is_changed(&op->note); }

/* What begins now sees everything that was invalidated before. */
static void stamp(ckit_op *op) {
    if (op->late.len > 0 && was_invalidated(op)) {
        op->late.len = 0;
    }
    atomic_store(&op->birth, ckiti_namespace_birth(op->function->record->ns));
    atomic_store(&op->version, ckiti_stripe_version(stripe_of(op), op->hash));
    ckiti_note_again(op->cache, &op->note);
}

bool ckiti_op_was_overtaken(const ckit_op *op) { return was_invalidated(op); }

static bool is_overtaken(const ckiti_seat *seat) {
    const ckit_op *op = (const ckit_op *)(const void *)((const char *)seat - offsetof(ckit_op, seat));
    return was_invalidated(op);
}

/* ---- beginning and ending --------------------------------------------------------------------------------------- */

/* Everything but the memory key, whose 4 KiB are written only up to its length. */
static void init_fields(ckit_op *op, ckit_function *function) {
    memset(op, 0, offsetof(ckit_op, memkey));
    memset((char *)op + offsetof(ckit_op, poll), 0, offsetof(ckit_op, args) - offsetof(ckit_op, poll));
    op->has_args = false;
    op->function = function;
    op->cache = function->cache;
    ckit_buf_init(&op->key, op->cache->alloc);
    ckit_buf_init(&op->tenant, op->cache->alloc);
    ckit_buf_init(&op->late, ckiti_plain_alloc(function));
    ckit_buf_init(&op->document, ckiti_plain_alloc(function));
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

void ckiti_op_reject(ckit_op *op, ckit_slice bytes, bool keep) {
    op->rejects = op->seat.computed_only = true;
    op->keeps_rejected = keep;
    op->rejected_len = bytes.len;
    op->rejected_hash = ckiti_xxh3(bytes, op->cache->seed);
}

static bool is_rejected(const ckit_op *op, ckit_slice bytes) {
    return op->rejects && bytes.len == op->rejected_len && ckiti_xxh3(bytes, op->cache->seed) == op->rejected_hash;
}

void ckiti_op_init_uncached(ckit_op *op, ckit_function *function) {
    init_fields(op, function);
    op->phase = CKITI_PHASE_COMPUTE;
    ckiti_count(&op->cache->counters, CKITI_UNCACHED, 1);
}

static void let_lock_go(ckit_op *op) {
    ckiti_lease_drop(op->cache, &op->held);
    if (op->locked) {
        op->locked = false;
        /* A lock that cannot be released ends by itself. */
        (void)op->cache->ops->lock_release(op->cache->store, ckit_buf_slice(&op->key), &op->lease,
                                           ckiti_store_deadline(op->cache, 0), NULL);
        ckiti_waits_wake(&op->cache->waits, op->hash, 0);
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

void ckiti_op_begin_wait(ckit_op *op) {
    op->wait.hash = op->hash;
    op->wait.key_hash = op->note.key_hash;
    ckiti_wait_begin(&op->cache->waits, &op->wait);
}

void ckiti_op_fini(ckit_op *op) {
    ckiti_wait_end(&op->cache->waits, &op->wait);
    let_lock_go(op);
    hand_over(op);
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

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* From 0 to less than 1, by key and time: what happens together does not all draw the same. `what` tells draws apart. */
static double draw(const ckit_op *op, uint64_t now_ms, uint64_t what) {
    uint64_t mixed = (op->hash ^ now_ms ^ what << 56) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (double)(mixed >> 11) / 9007199254740992.0;
}

/* -ln(u) for 0 < u <= 1: the exponent apart, the rest by a series whose first left-out term is below 1e-6. */
static double minus_log(double u) {
    double powers = 0;
    for (; u < 0.5; u *= 2) {
        powers++;
    }
    double z = (1 - u) / (1 + u), square = z * z;
    return powers * 0.69314718055994531 +
           2 * z * (1 + square * (1.0 / 3 + square * (1.0 / 5 + square * (1.0 / 7 + square * (1.0 / 9)))));
}

/* How much of a life is over when the next run of the function is due: before its end by a time that is distributed
 * exponentially, as long on average as `early_beta` runs take. */
static uint64_t before_the_end(const ckit_op *op, uint64_t life_ms, uint64_t now_ms) {
    const ckit_function *function = op->function;
    if (function->early_beta == 0 || life_ms > CKIT_TTL_MAX_MS) {
        return life_ms;
    }
    double run_ms = (double)atomic_load_explicit(&function->compute_ms, memory_order_relaxed);
    double before_ms = function->early_beta * run_ms * minus_log(1 - draw(op, now_ms, 1));
    return before_ms < (double)life_ms - 1 ? life_ms - (uint64_t)before_ms : life_ms > 0;
}

/* How much of a computed value's life memory serves it as fresh. Values that are stored together do not all turn stale
 * together: the tenth more or less comes from the key and the time. */
static uint64_t fresh_part(const ckit_op *op, uint64_t life_ms, uint64_t now_ms) {
    double part = op->function->early_refresh;
    if (part == 0 || life_ms == CKIT_TTL_NO_EXPIRY) {
        return before_the_end(op, life_ms, now_ms);
    }
    uint64_t fresh_ms = (uint64_t)((double)life_ms * part * (0.9 + 0.2 * draw(op, now_ms, 0)));
    fresh_ms = fresh_ms == 0 ? 1 : fresh_ms < life_ms ? fresh_ms : life_ms;
    uint64_t latest_ms = before_the_end(op, life_ms, now_ms);
    return fresh_ms < latest_ms ? fresh_ms : latest_ms;
}

/* With the stripe's lock held. The value is fresh for `fresh_ms`, then stale for `stale_ms`. */
static bool put_in_memory(ckit_op *op, ckit_slice bytes, const ckit_object *object, ckiti_copy_of how,
                          uint64_t fresh_ms, uint64_t stale_ms) {
    ckiti_l1 *l1 = op->function->record->ns->l1;
    uint64_t  reserve_ms = op->function->keep_ms - op->function->stale_ms;
    if (l1 == NULL || (fresh_ms == 0 && stale_ms == 0)) {
        return false;
    }
    if (!ckiti_uses_memory(op->function)) { /* another handle of the function may keep an older value */
        (void)ckiti_l1_remove(l1, ckiti_memkey_slice(&op->memkey), op->hash);
        return false;
    }
    ckiti_l1_put_args args = {.key = ckiti_memkey_slice(&op->memkey),
                              .hash = op->hash,
                              .value = bytes,
                              .object = object,
                              .life_ms = fresh_ms,
                              .stale_ms = stale_ms,
                              .reserve_ms = reserve_ms < stale_ms ? reserve_ms : stale_ms,
                              .birth = atomic_load(&op->birth),
                              .tag = ckiti_function_tag(op->function)};
    ckit_status       st =
        ckiti_copy_put(op->cache, op->function->record->ns, &op->note, how, &args, ckiti_cache_now(op->cache));
    if (st == CKIT_MISS) { /* an invalidation came in between: what is there may be older than this */
        (void)ckiti_l1_remove(l1, ckiti_memkey_slice(&op->memkey), op->hash);
    }
    return st == CKIT_OK;
}

/* A new value: what began before, a slower reader or computation, does not overwrite it. False when the key was
 * invalidated in this process meanwhile; then nothing is done. A change elsewhere, which may be our own write come back, only
 * keeps it out of memory. */
static bool keep_in_memory(ckit_op *op, ckit_slice bytes, const ckit_object *object, ckiti_copy_of how, bool *kept) {
    ckiti_stripe *stripe = stripe_of(op);
    pthread_mutex_lock(&stripe->mu);
    bool valid = !was_invalidated_here(op);
    if (valid) {
        ckiti_stripe_advance(stripe, op->hash);
        atomic_store(&op->version, ckiti_stripe_version(stripe, op->hash));
        ckiti_note_written(op->cache, &op->note);
        uint64_t fresh_ms = fresh_part(op, op->ttl_ms, ckiti_cache_now(op->cache));
        *kept = put_in_memory(op, bytes, object, how, fresh_ms, op->function->keep_ms + (op->ttl_ms - fresh_ms));
    }
    pthread_mutex_unlock(&stripe->mu);
    ckiti_waits_wake(&op->cache->waits, op->hash, 0);
    ckiti_sweep_start(op->cache);
    return valid;
}

/* A value from the store goes into memory. False when it is not to be believed: the key changed while it was read, or
 * somebody is taking back what he wrote. */
static bool believe(ckit_op *op, uint64_t life_ms) {
    ckiti_stripe *stripe = stripe_of(op);
    if (life_ms == CKIT_LIFE_UNKNOWN && op->function->ttl_ms < ckiti_life_in_memory(life_ms)) {
        life_ms = op->function->ttl_ms; /* nothing of the function's lives longer */
    }
    pthread_mutex_lock(&stripe->mu);
    bool valid = stripe->doomed == 0 && !was_invalidated(op);
    if (valid && ckiti_uses_memory(op->function)) {
        bool     told = life_ms != CKIT_LIFE_UNKNOWN;
        uint64_t whole_ms = life_ms = ckiti_life_in_memory(life_ms);
        if (told) {
            life_ms = before_the_end(op, life_ms, ckiti_cache_now(op->cache));
        }
        (void)put_in_memory(op, ckit_buf_slice(op->function->sealed ? &op->stored : &op->document), NULL,
                            CKITI_COPY_READ, life_ms, life_ms > 0 ? op->function->keep_ms + (whole_ms - life_ms) : 0);
    }
    pthread_mutex_unlock(&stripe->mu);
    ckiti_sweep_start(op->cache);
    return valid;
}

/* The same for a value past its life, of whose stale window `left_ms` are left. */
static bool believe_stale(ckit_op *op, uint64_t left_ms) {
    ckiti_stripe *stripe = stripe_of(op);
    pthread_mutex_lock(&stripe->mu);
    bool valid = stripe->doomed == 0 && !was_invalidated(op);
    if (valid && ckiti_uses_memory(op->function)) {
        (void)put_in_memory(op, ckit_buf_slice(op->function->sealed ? &op->stored : &op->document), NULL,
                            CKITI_COPY_READ, 0, left_ms);
    }
    pthread_mutex_unlock(&stripe->mu);
    ckiti_sweep_start(op->cache);
    return valid;
}

static void forget_everywhere(ckit_op *op) {
    (void)ckiti_remove_everywhere(op->cache, op->function->record->ns, ckiti_memkey_slice(&op->memkey), op->hash,
                                  ckit_buf_slice(&op->key), 0, NULL);
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

static bool lend_shared(void *shared, ckit_value *out) {
    ckiti_shared_lend(shared, out);
    return true;
}

static bool lend_stale(void *shared, ckit_value *out) {
    ckiti_shared_lend(shared, out);
    out->stale = true;
    return true;
}

static void describe(ckit_op *op, uint64_t life_ms, ckit_source source) {
    op->value.life_ms = life_ms;
    op->value.source = source;
    op->phase = CKITI_PHASE_DONE;
}

/* op->document becomes op->value, and everybody's who waits. */
static void land(ckit_op *op, uint64_t life_ms, ckit_source source) {
    ckiti_shared *shared = ckiti_shared_take(&op->document, op->cache->alloc, op->function->sealed);
    if (shared == NULL) { /* no memory to share it: the followers help themselves */
        hand_over(op);
        ckiti_value_take_plain(op->function, &op->value, &op->document);
    } else {
        ckiti_flight_land(&op->cache->flights, &op->seat, source == CKIT_SOURCE_FUNCTION, lend_shared, shared, life_ms);
        ckiti_shared_lend(shared, &op->value);
        ckiti_shared_release(shared);
    }
    describe(op, life_ms, source);
}

/* The same with a value past its life. */
static void land_stale(ckit_op *op, ckit_source source) {
    ckiti_shared *shared = ckiti_shared_take(&op->document, op->cache->alloc, op->function->sealed);
    if (shared == NULL) {
        hand_over(op);
        ckiti_value_take_plain(op->function, &op->value, &op->document);
    } else {
        ckiti_flight_land(&op->cache->flights, &op->seat, false, lend_stale, shared, 0);
        ckiti_shared_lend(shared, &op->value);
        ckiti_shared_release(shared);
    }
    op->value.stale = true;
    describe(op, 0, source);
}

static bool lend_from_memory(void *context, ckit_value *out) {
    const ckit_op *op = context;
    ckiti_l1      *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = {.key = ckiti_memkey_slice(&op->memkey),
                            .hash = op->hash,
                            .min_birth = ckiti_function_min_birth(op->function),
                            .tag = ckiti_function_tag(op->function)};
    uint64_t       now = ckiti_cache_now(op->cache);
    uint64_t       life_ms;
    if (l1 == NULL || !ckiti_uses_memory(op->function) || ckiti_l1_peek(l1, &query, now, &life_ms) != CKIT_OK) {
        return false; /* looked at first, because a miss of `get` is counted */
    }
    if (ckiti_l1_get(l1, &query, now, out) == CKIT_OK) {
        return true;
    }
    ckit_value_fini(out);
    return false;
}

/* Opened once for everybody who waits. */
static bool is_fresh_and_opens(ckit_op *op) {
    ckit_value         sealed = CKIT_VALUE_INIT;
    ckiti_sealed_value v = ckiti_op_sealed_value(op);
    ckit_status        st = CKIT_MISS;
    const uint64_t     found = lend_from_memory(op, &sealed);
    const uint64_t     life_ms = sealed.life_ms;
    if (found && (st = ckiti_value_open(&v, CKITI_TIER_L1, sealed.data, &op->document, NULL)) != CKIT_OK) {
        (void)ckiti_l1_remove(op->function->record->ns->l1, ckiti_memkey_slice(&op->memkey), op->hash);
    }
    ckit_value_fini(&sealed);
    if (st != CKIT_OK || is_rejected(op, ckit_buf_slice(&op->document))) {
        op->document.len = 0;
        return false;
    }
    land(op, life_ms, CKIT_SOURCE_MEMORY);
    return true;
}

bool ckiti_op_is_fresh_by_now(ckit_op *op) {
    if (op->function->sealed) {
        return is_fresh_and_opens(op);
    }
    if (!lend_from_memory(op, &op->value)) {
        return false;
    }
    if (is_rejected(op, op->value.data)) {
        ckit_value_fini(&op->value);
        return false;
    }
    ckiti_flight_land(&op->cache->flights, &op->seat, false, lend_from_memory, op, op->value.life_ms);
    op->phase = CKITI_PHASE_DONE;
    return true;
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

ckit_status ckiti_op_turn_of_the_function(ckit_op *op) {
    op->phase = CKITI_PHASE_COMPUTE;
    op->stored.len = 0;
    op->error = (ckit_error)CKIT_ERROR_INIT; /* the store's troubles have been told to the log */
    op->began_ms = ckiti_cache_now(op->cache);
    if (op->keyed) {
        stamp(op);
    }
    atomic_store(&op->has_late, op->late.len > 0); /* it stays as it is from now on */
    ckiti_count(&op->function->counters, CKITI_FN_MISSES, 1);
    return CKIT_COMPUTE;
}

static ckit_status go_for_lock(ckit_op *op) {
    if (op->cache->ops->lock_try == NULL || op->cache->options.lock == CKIT_OFF) {
        return ckiti_op_turn_of_the_function(op);
    }
    op->phase = CKITI_PHASE_LOCK;
    return CKIT_PENDING;
}

/* ---- values past their lives ------------------------------------------------------------------------------------- */

static bool lend_late(void *context, ckit_value *out) {
    const ckit_op *op = context;
    ckiti_l1      *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = {.key = ckiti_memkey_slice(&op->memkey),
                            .hash = op->hash,
                            .min_birth = ckiti_function_min_birth(op->function),
                            .tag = ckiti_function_tag(op->function)};
    return l1 != NULL && ckiti_uses_memory(op->function) &&
           ckiti_l1_get_late(l1, &query, ckiti_cache_now(op->cache), out) != CKIT_MISS;
}

/* Memory's, or what the store had: opened, or as it is. */
static bool late_document(ckit_op *op) {
    if (op->function->sealed) {
        ckit_value         sealed = CKIT_VALUE_INIT;
        ckiti_sealed_value v = ckiti_op_sealed_value(op);
        op->document.len = 0;
        bool opened =
            lend_late(op, &sealed) && ckiti_value_open(&v, CKITI_TIER_L1, sealed.data, &op->document, NULL) == CKIT_OK;
        ckit_value_fini(&sealed);
        if (opened) {
            return true;
        }
    }
    op->document.len = 0;
    return op->late.len > 0 && !was_invalidated(op) &&
           ckit_buf_append(&op->document, ckit_buf_slice(&op->late)) == CKIT_OK;
}

/* op->value becomes a value past its life, and so does everybody's who waits. */
static bool serve_late(ckit_op *op) {
    if (!op->function->sealed && lend_late(op, &op->value)) {
        if (!is_rejected(op, op->value.data)) {
            ckiti_flight_land(&op->cache->flights, &op->seat, false, lend_late, op, op->value.life_ms);
            describe(op, op->value.life_ms, CKIT_SOURCE_MEMORY);
            return true;
        }
        ckit_value_fini(&op->value);
    }
    if (!late_document(op) || is_rejected(op, ckit_buf_slice(&op->document))) {
        op->document.len = 0;
        return false;
    }
    land_stale(op, op->late.len > 0 ? CKIT_SOURCE_STORE : CKIT_SOURCE_MEMORY);
    return true;
}

/* For one caller alone, while the operation goes on in another thread: what it is at work with stays untouched. */
static bool lend_late_alone(ckit_op *op, ckit_value *out) {
    ckit_buf plain;
    if (!op->function->sealed && lend_late(op, out)) {
        if (!is_rejected(op, out->data)) {
            return true;
        }
        ckit_value_fini(out);
    }
    ckit_buf_init(&plain, ckiti_plain_alloc(op->function));
    bool there = false;
    if (op->function->sealed) {
        ckit_value         sealed = CKIT_VALUE_INIT;
        ckiti_sealed_value v = ckiti_op_sealed_value(op);
        there = lend_late(op, &sealed) && ckiti_value_open(&v, CKITI_TIER_L1, sealed.data, &plain, NULL) == CKIT_OK;
        ckit_value_fini(&sealed);
    }
    if (!there && atomic_load(&op->has_late) && !was_invalidated(op)) {
        there = ckit_buf_append(&plain, ckit_buf_slice(&op->late)) == CKIT_OK;
    }
    if (there) {
        ckiti_value_take_plain(op->function, out, &plain);
        out->life_ms = 0;
        out->stale = true;
        out->source = CKIT_SOURCE_MEMORY;
    }
    ckit_buf_fini(&plain);
    return there;
}

ckit_status ckiti_op_overdue(ckit_op *op, bool hard, ckit_value *out, ckit_error *err) {
    const ckit_function *function = op->function;
    bool                 there = op->keyed && function->fail_safe_ms != 0 && lend_late_alone(op, out);
    if (there && !out->stale && !hard) { /* the result itself, by now: the run is about to end */
        ckit_value_fini(out);
        return CKIT_MISS;
    }
    if (hard || there) {
        ckiti_count(&op->cache->late_counters, hard ? CKITI_HARD_LIMITS : CKITI_SOFT_LIMITS, 1);
        ckiti_count(&op->function->counters, hard ? CKITI_FN_HARD_LIMITS : CKITI_FN_SOFT_LIMITS, 1);
    }
    if (there) {
        return CKIT_STALE;
    }
    return hard ? ckit_fail(err, CKIT_E_FUNCTION_TIMEOUT, "function", "%.*s took longer than its limit of %u ms",
                            (int)function->record->name_len, function->record->name, function->hard_limit_ms)
                : CKIT_MISS;
}

static bool stand_in(ckit_op *op) {
    if (op->function->fail_safe_ms == 0 || op->refresh || op->background || !op->keyed || !serve_late(op)) {
        return false;
    }
    ckiti_count(&op->cache->late_counters, CKITI_FAIL_SAFE, 1);
    ckiti_count(&op->function->counters, CKITI_FN_FAIL_SAFE, 1);
    return true;
}

bool ckiti_op_fall_back(ckit_op *op, const ckit_error *why) {
    if (!stand_in(op)) {
        return false;
    }
    ckiti_log(op->cache->log, CKIT_LOG_INFO, "cache", "%.*s failed, and an older value stands in for its result: %s",
              (int)op->function->record->name_len, op->function->record->name, why->text);
    return true;
}

static ckit_status missed(ckit_op *op) {
    switch (op->phase) {
    case CKITI_PHASE_WAIT: op->phase = CKITI_PHASE_LOCK; return CKIT_PENDING;
    case CKITI_PHASE_LOOK_AGAIN: return ckiti_op_turn_of_the_function(op);
    default:
        if (op->many) {
            return ckiti_op_turn_of_the_function(op);
        }
        if (op->function->keep_ms == 0) {
            return go_for_lock(op);
        }
        op->phase = CKITI_PHASE_STALE;
        return CKIT_PENDING;
    }
}

static ckit_status found(ckit_op *op, uint64_t life_ms) {
    ckiti_count(&op->cache->counters, CKITI_L2_HITS, 1);
    ckiti_count(&op->function->counters, CKITI_FN_L2_HITS, 1);
    let_lock_go(op);
    op->error = (ckit_error)CKIT_ERROR_INIT;
    land(op, life_ms, CKIT_SOURCE_STORE);
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

static ckit_status open_by_mode(ckit_op *op, ckit_slice key) {
    if (op->function->raw) {
        return open_raw(op, key);
    }
    return op->function->interop
               ? ckiti_store_open_interop(op->cache, key, &op->stored, &op->document)
               : ckiti_store_open(op->cache, key, op->function->integrity, ckit_buf_slice(&op->stored), &op->document);
}

static ckit_status open_sealed(ckit_op *op, const ckiti_sealed_value *v) {
    return ckiti_value_open(v, CKITI_TIER_L2, ckit_buf_slice(&op->stored), &op->document, &op->error);
}

/* The store has it under `v->stored_key`. A failure is the caller's. */
static ckit_status open_stored(ckit_op *op, const ckiti_sealed_value *v) {
    ckit_slice  key = v->stored_key;
    ckit_status st = op->function->sealed ? open_sealed(op, v) : open_by_mode(op, key);
    if (st != CKIT_OK || !is_rejected(op, ckit_buf_slice(&op->document))) {
        return st;
    }
    if (!op->met_rejected) {
        ckit_error why = CKIT_ERROR_INIT;
        ckit_fail(&why, CKIT_E_DECODE, "function", "the caller rejected it");
        ckiti_store_rejected(op->cache, key, &why, !op->keeps_rejected);
        op->met_rejected = op->keeps_rejected;
    }
    return CKIT_MISS;
}

/* A value that is found late in its life gets all of it again, where that is wanted and can be done. Returns what it has
 * left. */
static uint64_t renew(ckit_op *op, uint64_t life_ms) {
    const ckit_function *function = op->function;
    if (life_ms >= function->renew_below_ms || op->cache->ops->touch == NULL) {
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
    let_lock_go(op);
    op->document.len = op->stored.len = 0;
    op->phase = CKITI_PHASE_DONE;
    return st;
}

/* The store failed, with op->error, and somebody minds. CKIT_MISS: go on without it. */
static ckit_status after_failure(ckit_op *op, ckit_status why) {
    if (stand_in(op)) {
        let_lock_go(op);
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
            return refuse(op, got);
        }
        life_ms = got == CKIT_OK ? renew(op, life_ms) : life_ms;
    } else if (got != CKIT_MISS) {
        ckiti_store_failed(op->cache, "get", ckit_buf_slice(&op->key), &op->error);
        op->silent = got == CKIT_E_TIMEOUT;
    }
    bool believed = got == CKIT_OK && believe(op, life_ms);
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

void ckiti_op_begin_look(ckit_op *op) { stamp(op); }

ckit_status ckiti_op_opened(ckit_op *op, ckit_status got, uint64_t life_ms) {
    op->phase = CKITI_PHASE_LOOK;
    return answered(op, got, life_ms);
}

static ckit_status look(ckit_op *op) {
    uint64_t life_ms = CKIT_LIFE_UNKNOWN;
    stamp(op);
    ckit_status got = op->cache->ops->get(op->cache->store, ckit_buf_slice(&op->key),
                                          ckiti_store_deadline(op->cache, 0), &op->stored, &life_ms, &op->error);
    return answered(op, got, life_ms);
}

/* The same value under the name of the second entry; `name` begins with the key as the store has it. */
static ckiti_sealed_value named(const ckiti_sealed_value *own, const ckit_buf *name) {
    ckiti_sealed_value v = *own;
    size_t             tenant = own->stored_key.len - own->key.len;
    v.stored_key = ckit_buf_slice(name);
    if (name->len > tenant) { /* else it is not there */
        v.key = ckit_slice_of(name->ptr + tenant, name->len - tenant);
    }
    return v;
}

/* The key itself was a miss. What happened to it since that look began counts here too. */
static ckit_status look_for_stale(ckit_op *op) {
    ckit_buf           name;
    uint64_t           left_ms;
    ckiti_sealed_value own = ckiti_op_sealed_value(op);
    bool               there = ckiti_stale_name(op->cache, ckit_buf_slice(&op->key), &name) == CKIT_OK;
    ckiti_sealed_value v = named(&own, &name);
    there = there && ckiti_stale_read(op->function, v.stored_key, &op->stored, &left_ms) == CKIT_OK;
    ckit_status opened = there ? open_stored(op, &v) : CKIT_MISS;
    ckit_buf_fini(&name);
    op->stored.len = opened == CKIT_OK && !op->function->sealed ? op->stored.len : 0;
    if (opened != CKIT_OK && opened != CKIT_MISS) {
        return refuse(op, opened);
    }
    if (opened == CKIT_OK && op->function->sealed) { /* memory has it under the key's own name */
        opened = ckiti_value_seal(&own, ckit_buf_slice(&op->document), &op->stored, NULL);
    }
    there = opened == CKIT_OK && believe_stale(op, left_ms);
    op->stored.len = 0;
    if (there && left_ms <= op->function->keep_ms - op->function->stale_ms) { /* only if the function fails */
        op->late.len = 0;
        (void)ckit_buf_append(&op->late, ckit_buf_slice(&op->document));
        there = false;
    }
    if (!there) {
        op->document.len = 0;
        return go_for_lock(op);
    }
    ckiti_count(&op->cache->late_counters, CKITI_L2_STALE_HITS, 1);
    ckiti_count(&op->function->counters, CKITI_FN_L2_STALE_HITS, 1);
    op->error = (ckit_error)CKIT_ERROR_INIT;
    land_stale(op, CKIT_SOURCE_STORE);
    return CKIT_STALE;
}

bool ckiti_op_take_ticket(ckit_op *op, bool elsewhere) {
    ckiti_l1      *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = {.key = ckiti_memkey_slice(&op->memkey),
                            .hash = op->hash,
                            .min_birth = ckiti_function_min_birth(op->function),
                            .tag = ckiti_function_tag(op->function)};
    uint64_t       life_ms;
    op->seat.elsewhere = elsewhere;
    if (ckiti_flight_join(&op->cache->flights, &op->seat, false) != CKITI_SEAT_LEADER) {
        return false;
    }
    if (l1 != NULL && ckiti_uses_memory(op->function) &&
        ckiti_l1_peek(l1, &query, ckiti_cache_now(op->cache), &life_ms) == CKIT_OK) {
        hand_over(op);
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

static ckit_status try_lock(ckit_op *op) {
    uint64_t now = ckiti_cache_now(op->cache);
    if (op->lock_deadline == 0) {
        op->lock_deadline = ckiti_time_after(now, op->cache->options.lock_wait_ms);
        op->pause_ms = FIRST_PAUSE_MS;
    }
    ckit_status st =
        op->cache->ops->lock_try(op->cache->store, ckit_buf_slice(&op->key), op->cache->options.lock_lease_ms,
                                 ckiti_store_deadline(op->cache, 0), &op->lease, &op->error);
    if (st == CKIT_OK) {
        op->locked = true;
        op->lease_end_ms = ckiti_time_after(now, op->cache->options.lock_lease_ms);
        ckiti_lease_hold(op->cache, ckit_buf_slice(&op->key), &op->lease, now, &op->held);
        op->phase = CKITI_PHASE_LOOK_AGAIN;
        return CKIT_PENDING;
    }
    if (st != CKIT_MISS) { /* a lock that does not work keeps nobody from computing */
        ckiti_store_failed(op->cache, "lock", ckit_buf_slice(&op->key), &op->error);
        op->silent = st == CKIT_E_TIMEOUT;
        if (op->function->fail_closed) {
            return refuse(op, st);
        }
        return ckiti_op_turn_of_the_function(op);
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

/* ---- after the function -------------------------------------------------------------------------------------- */

/* Objects are their binding's to judge. */
static bool is_nil(const ckit_op *op) {
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
    if (ttl_ms == CKIT_TTL_DEFAULT && function->nil_ttl_ms != 0 && is_nil(op)) {
        op->ttl_ms = function->nil_ttl_ms;
    }
    if (function->ttl_jitter > 0 && op->ttl_ms <= CKIT_TTL_MAX_MS) {
        op->ttl_ms -= (uint64_t)((double)op->ttl_ms * function->ttl_jitter * draw(op, now_ms, 2));
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
    ckiti_stripe *stripe = stripe_of(op);
    pthread_mutex_lock(&stripe->mu);
    bool valid = !was_invalidated(op);
    if (valid) {
        *began = ckiti_stripe_begin_write(stripe);
    }
    pthread_mutex_unlock(&stripe->mu);
    return valid;
}

static void end_write(ckit_op *op, uint64_t began) {
    ckiti_stripe *stripe = stripe_of(op);
    pthread_mutex_lock(&stripe->mu);
    ckiti_stripe_end_write(stripe, began);
    pthread_mutex_unlock(&stripe->mu);
}

/* For stores that cannot write under a lock: a lock that may have ended is asked for before. CKIT_MISS when it is lost. */
static ckit_status set_if_still_ours(ckit_op *op, ckit_slice stored, const ckit_entry_info *info, ckit_error *err) {
    const ckit_cache *cache = op->cache;
    ckit_slice        key = ckit_buf_slice(&op->key);
    uint64_t          end_ms = op->held != NULL ? ckiti_lease_end(op->cache, op->held) : op->lease_end_ms;
    if (ckiti_cache_now(cache) >= end_ms) {
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

/* What may be served when the key's life is over. Sealed values are bound to the name that they have. */
static void keep_for_later(ckit_op *op, ckit_slice stored) {
    ckiti_sealed_value own = ckiti_op_sealed_value(op);
    ckit_buf           name, sealed;
    if (!ckiti_stale_is_kept(op->function, op->ttl_ms)) {
        return;
    }
    ckit_buf_init(&sealed, op->cache->alloc);
    ckit_status st = ckiti_stale_name(op->cache, ckit_buf_slice(&op->key), &name);
    if (st == CKIT_OK && op->function->sealed) {
        ckiti_sealed_value v = named(&own, &name);
        st = ckiti_value_seal(&v, ckit_buf_slice(&op->document), &sealed, NULL);
        stored = ckit_buf_slice(&sealed);
    }
    if (st == CKIT_OK) {
        ckiti_stale_write(op->function, ckit_buf_slice(&name), stored, op->ttl_ms);
    }
    ckit_buf_fini(&name);
    ckit_buf_fini(&sealed);
}

/* The store has not taken the result: what it has under the names of the call is older. */
static void not_stored(const ckit_op *op) {
    ckit_buf name;
    ckiti_replay_missed(op->cache, ckit_buf_slice(&op->key), false);
    if (op->function->keep_ms > 0) {
        if (ckiti_stale_name(op->cache, ckit_buf_slice(&op->key), &name) == CKIT_OK) {
            ckiti_replay_missed(op->cache, ckit_buf_slice(&name), false);
        }
        ckit_buf_fini(&name);
    }
}

/* The store has answered: CKIT_E_TOO_LARGE when it takes no value of that size, CKIT_MISS when the lock is lost. What was
 * overtaken meanwhile is taken back. */
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
    if (st == CKIT_OK) {
        keep_for_later(op, storing->stored);
    } else {
        not_stored(op);
    }
    if (!keep_in_memory(op, storing->in_memory, NULL, st == CKIT_OK ? CKITI_COPY_WRITTEN : CKITI_COPY_ALONE, &kept)) {
        forget_everywhere(op);
    }
    end_write(op, storing->began);
}

/* In memory alone. A refresh that somebody asked for leaves at least nothing older behind. */
static void keep_alone(ckit_op *op, ckit_slice in_memory, bool was_overtaken) {
    bool kept;
    bool valid = !was_overtaken && keep_in_memory(op, in_memory, NULL, CKITI_COPY_ALONE, &kept);
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
    land(op, op->ttl_ms == CKIT_TTL_DO_NOT_STORE ? 0 : op->ttl_ms, CKIT_SOURCE_FUNCTION);
}

void ckiti_op_begin_store(ckit_op *op, ckiti_storing *storing) {
    *storing = (ckiti_storing){.began = 0};
    if (!op->keyed || op->ttl_ms == CKIT_TTL_DO_NOT_STORE) {
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
        (void)ckiti_forget_namesakes(op->function, &op->memkey);
    }
    let_lock_go(op);
    if (op->kept_not != CKIT_OK) {
        hand_over(op);
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
        hand_over(op);
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
    let_lock_go(op);
    hand_over(op);
    op->phase = CKITI_PHASE_DONE;
}

/* ---- objects of a binding ------------------------------------------------------------------------------------------ */

ckit_status ckiti_op_keep_object(ckit_op *op, const ckit_object *object, uint64_t ttl_ms, ckit_error *err) {
    ckit_status st = check_lifetime(ttl_ms, err);
    if (st != CKIT_OK) {
        return st;
    }
    computed(op, ttl_ms);
    ckiti_shared *shared = ckiti_shared_object(object, op->cache->alloc);
    if (shared == NULL) { /* no memory to share it: the caller has it alone, the followers help themselves */
        ckiti_lend_object(object, &op->value);
        hand_over(op);
    } else {
        bool kept = false;
        if (op->keyed && op->ttl_ms != CKIT_TTL_DO_NOT_STORE) {
            ckit_object held = ckiti_shared_hold(shared);
            (void)keep_in_memory(op, ckit_slice_of(NULL, 0), &held, CKITI_COPY_ALONE, &kept);
            if (!kept) {
                ckiti_shared_release(shared);
            }
        }
        uint64_t life_ms = op->ttl_ms == CKIT_TTL_DO_NOT_STORE ? 0 : op->ttl_ms;
        ckiti_flight_land(&op->cache->flights, &op->seat, true, lend_shared, shared, life_ms);
        ckiti_shared_lend(shared, &op->value);
        ckiti_shared_release(shared);
    }
    describe(op, op->ttl_ms == CKIT_TTL_DO_NOT_STORE ? 0 : op->ttl_ms, CKIT_SOURCE_FUNCTION);
    return CKIT_OK;
}
