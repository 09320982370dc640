/* What memory has and keeps of a call, and the answer for everybody who waits for it. */
#include "cache/op_parts.h"

#include "cache/shared.h"
#include "cache/store.h"

#include <cachekit/value.h>

uint64_t ckiti_call_name(const ckit_function *function, ckit_slice packed, ckiti_memkey *memkey) {
    const ckiti_l1 *l1 = function->record->ns->l1;
    ckiti_memkey_make(memkey, function->record->id, packed);
    ckit_slice key = ckiti_memkey_slice(memkey);
    return l1 != NULL ? ckiti_l1_hash(l1, key) : ckiti_xxh3(key, function->cache->seed);
}

ckit_status ckiti_op_memory(ckit_function *function, ckit_slice packed, ckiti_memkey *memkey, uint64_t *hash,
                            ckit_value *out) {
    ckiti_l1 *l1 = function->record->ns->l1;
    if (l1 == NULL || !function->use_l1) {
        *hash = ckiti_call_name(function, packed, memkey);
        return CKIT_MISS;
    }
    ckiti_memkey_make(memkey, function->record->id, packed);
    ckit_slice key = ckiti_memkey_slice(memkey);
    *hash = ckiti_l1_hash(l1, key);
    ckiti_l1_query query = {
        .key = key, .hash = *hash, .min_birth = ckiti_function_min_birth(function), .tag = CKITI_TAG_DOCUMENT};
    ckit_status st = ckiti_l1_get(l1, &query, ckiti_cache_now(function->cache), out);
    if (st != CKIT_MISS) {
        ckiti_count(&function->counters, CKITI_FN_L1_HITS, 1);
    }
    return st;
}

double ckiti_draw(uint64_t hash, uint64_t now_ms, uint64_t what) {
    uint64_t mixed = (hash ^ now_ms ^ what << 56) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (double)(mixed >> 11) / 9007199254740992.0;
}

/* -ln(u) for 0 < u <= 1: the exponent apart, the rest by a series whose first left-out term is below 1e-6. */
static double minus_log(double u) {
    double powers = 0;
    while (u < 0.5) {
        u *= 2;
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
    double before_ms = function->early_beta * run_ms * minus_log(1 - ckiti_draw(op->hash, now_ms, 1));
    return before_ms < (double)life_ms - 1 ? life_ms - (uint64_t)before_ms : life_ms > 0;
}

/* How long memory serves as fresh what has `life_ms` left of its whole lifetime: until a refresh may be due, which each
 * read from then on draws for itself (ckiti_refresh_is_due). What looks past that already gets as much of what it has
 * left, and in every case a moment. */
static uint64_t fresh_part(const ckit_op *op, uint64_t whole_ms, uint64_t life_ms, uint64_t now_ms) {
    uint64_t latest_ms = before_the_end(op, life_ms, now_ms);
    if (op->function->early_refresh == 0 || whole_ms > CKIT_TTL_MAX_MS || life_ms > CKIT_TTL_MAX_MS) {
        return latest_ms;
    }
    const double part = op->function->early_refresh * 0.9;
    uint64_t     age_ms = life_ms < whole_ms ? whole_ms - life_ms : 0;
    uint64_t     due_ms = (uint64_t)((double)whole_ms * part);
    if (age_ms >= due_ms) { /* or it is young, and its lifetime was shorter from the beginning */
        age_ms = 0;
        due_ms = (uint64_t)((double)life_ms * part);
    }
    uint64_t least_ms = whole_ms < 10 ? 1 : whole_ms < 10000 ? whole_ms / 10 : 1000;
    uint64_t fresh_ms = due_ms > age_ms + least_ms ? due_ms - age_ms : least_ms;
    return fresh_ms < latest_ms ? fresh_ms : latest_ms;
}

/* What a value of this call that was read from the store had in the beginning, as far as can be told. */
static uint64_t whole_life(const ckit_op *op) {
    const ckit_function *function = op->function;
    return function->nil_ttl_ms != 0 && ckiti_op_is_nil(op) ? function->nil_ttl_ms : function->ttl_ms;
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
        (void)ckiti_l1_remove(l1, op->memkey, op->hash);
        return false;
    }
    ckiti_l1_put_args args = {.key = op->memkey,
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
        (void)ckiti_l1_remove(l1, op->memkey, op->hash);
    }
    return st == CKIT_OK;
}

/* With the stripe's lock held: the key has a new value. To the batch's other calls that share the count this is no
 * change, unless there has been one before. */
static void advance(ckit_op *op) {
    ckiti_stripe *stripe = ckiti_op_stripe(op);
    uint64_t      before = ckiti_stripe_version(stripe, op->hash);
    ckiti_stripe_advance(stripe, op->hash);
    uint64_t now = ckiti_stripe_version(stripe, op->hash);
    atomic_store(&op->version, now);
    for (ckit_op *s = op->sibling; s != NULL && s != op; s = s->sibling) {
        bool shares = ckiti_version_place(s->hash) == ckiti_version_place(op->hash);
        if (shares && ckiti_version_is_unchanged(before, s->hash, atomic_load(&s->version))) {
            atomic_store(&s->version, now);
        }
    }
}

bool ckiti_op_keep_in_memory(ckit_op *op, ckit_slice bytes, const ckit_object *object, ckiti_copy_of how, bool *kept) {
    ckiti_stripe *stripe = ckiti_op_stripe(op);
    pthread_mutex_lock(&stripe->mu);
    bool valid = !ckiti_op_was_invalidated_here(op);
    if (valid) {
        advance(op);
        ckiti_note_written(op->cache, &op->note);
        uint64_t fresh_ms = fresh_part(op, op->ttl_ms, op->ttl_ms, ckiti_cache_now(op->cache));
        *kept = put_in_memory(op, bytes, object, how, fresh_ms, op->function->keep_ms + (op->ttl_ms - fresh_ms));
    }
    pthread_mutex_unlock(&stripe->mu);
    ckiti_waits_wake(&op->cache->waits, op->hash, 0);
    ckiti_sweep_start(op->cache);
    return valid;
}

bool ckiti_op_believe(ckit_op *op, uint64_t life_ms) {
    ckiti_stripe *stripe = ckiti_op_stripe(op);
    if (life_ms == CKIT_LIFE_UNKNOWN && op->function->ttl_ms < ckiti_life_in_memory(life_ms)) {
        life_ms = op->function->ttl_ms; /* nothing of the function's lives longer */
    }
    pthread_mutex_lock(&stripe->mu);
    bool valid = stripe->doomed == 0 && !ckiti_op_was_overtaken(op);
    if (valid && ckiti_uses_memory(op->function)) {
        bool     told = life_ms != CKIT_LIFE_UNKNOWN;
        uint64_t whole_ms = life_ms = ckiti_life_in_memory(life_ms);
        if (told) {
            life_ms = fresh_part(op, whole_life(op), life_ms, ckiti_cache_now(op->cache));
        }
        (void)put_in_memory(op, ckit_buf_slice(op->function->sealed ? &op->stored : &op->document), NULL,
                            CKITI_COPY_READ, life_ms, life_ms > 0 ? op->function->keep_ms + (whole_ms - life_ms) : 0);
    }
    pthread_mutex_unlock(&stripe->mu);
    ckiti_sweep_start(op->cache);
    return valid;
}

bool ckiti_op_believe_stale(ckit_op *op, uint64_t left_ms) {
    ckiti_stripe *stripe = ckiti_op_stripe(op);
    pthread_mutex_lock(&stripe->mu);
    bool valid = stripe->doomed == 0 && !ckiti_op_was_overtaken(op);
    if (valid && ckiti_uses_memory(op->function)) {
        (void)put_in_memory(op, ckit_buf_slice(op->function->sealed ? &op->stored : &op->document), NULL,
                            CKITI_COPY_READ, 0, left_ms);
    }
    pthread_mutex_unlock(&stripe->mu);
    ckiti_sweep_start(op->cache);
    return valid;
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

bool ckiti_op_lend_shared(void *shared, ckit_value *out) {
    ckiti_shared_lend(shared, out);
    return true;
}

static bool lend_stale(void *shared, ckit_value *out) {
    ckiti_shared_lend(shared, out);
    out->stale = true;
    return true;
}

void ckiti_op_describe(ckit_op *op, uint64_t life_ms, ckit_source source) {
    op->value.life_ms = life_ms;
    op->value.source = source;
    op->phase = CKITI_PHASE_DONE;
}

void ckiti_op_land(ckit_op *op, bool stale, uint64_t life_ms, ckit_source source) {
    ckiti_shared *shared = ckiti_shared_take(&op->document, op->cache->alloc, op->function->sealed);
    if (shared == NULL) { /* no memory to share it: the followers help themselves */
        ckiti_op_hand_over(op);
        ckiti_value_take_plain(op->function, &op->value, &op->document);
    } else {
        ckiti_flight_land(&op->cache->flights, &op->seat, source == CKIT_SOURCE_FUNCTION,
                          stale ? lend_stale : ckiti_op_lend_shared, shared, life_ms);
        ckiti_shared_lend(shared, &op->value);
        ckiti_shared_release(shared);
    }
    op->value.stale = stale;
    ckiti_op_describe(op, life_ms, source);
}

static bool lend_from_memory(void *context, ckit_value *out) {
    const ckit_op *op = context;
    ckiti_l1      *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = ckiti_op_query(op);
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
        (void)ckiti_l1_remove(op->function->record->ns->l1, op->memkey, op->hash);
    }
    ckit_value_fini(&sealed);
    if (st != CKIT_OK || ckiti_op_is_rejected(op, ckit_buf_slice(&op->document))) {
        op->document.len = 0;
        return false;
    }
    ckiti_op_land(op, false, life_ms, CKIT_SOURCE_MEMORY);
    return true;
}

bool ckiti_op_is_fresh_by_now(ckit_op *op) {
    if (op->function->sealed) {
        return is_fresh_and_opens(op);
    }
    if (!lend_from_memory(op, &op->value)) {
        return false;
    }
    if (ckiti_op_is_rejected(op, op->value.data)) {
        ckit_value_fini(&op->value);
        return false;
    }
    ckiti_flight_land(&op->cache->flights, &op->seat, false, lend_from_memory, op, op->value.life_ms);
    op->phase = CKITI_PHASE_DONE;
    return true;
}
