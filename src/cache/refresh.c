#include "cache/refresh.h"

#include "cache/call.h"
#include "cache/op_parts.h"

#include <cachekit/value.h>

/* ---- when it is due ---------------------------------------------------------------------------------------------- */

#define MARK_BITS 20u /* of the key's hash, above the milliseconds */

static _Atomic uint64_t *pause_of(ckit_cache *cache, uint64_t hash) { return &cache->pauses[hash % CKITI_PAUSES]; }

static uint64_t pause_until(uint64_t hash, uint64_t until_ms) {
    return hash >> (64 - MARK_BITS) << (64 - MARK_BITS) | (until_ms & (UINT64_MAX >> MARK_BITS));
}

/* Two keys in one place: the older pause is forgotten. */
static void pause(ckit_cache *cache, uint64_t hash, uint32_t pause_ms) {
    uint64_t until_ms = ckiti_time_after(ckiti_cache_now(cache), pause_ms);
    atomic_store_explicit(pause_of(cache, hash), pause_until(hash, until_ms), memory_order_relaxed);
}

bool ckiti_refresh_is_put_off(ckit_cache *cache, uint64_t hash) {
    uint64_t now_ms = ckiti_cache_now(cache);
    uint64_t seen = atomic_load_explicit(pause_of(cache, hash), memory_order_relaxed);
    uint64_t earliest = pause_until(hash, now_ms + 1), latest = pause_until(hash, now_ms + CKITI_PAUSE_FAILED_MS);
    return seen >= earliest && seen <= latest; /* a clock that was set back ends no pause later than it would have */
}

/* What memory's copy has left of its lifetime; 0: nothing, or there is none. */
static uint64_t copy_left(const ckit_function *function, const ckiti_l1_query *query, uint64_t now_ms) {
    ckiti_l1   *l1 = function->record->ns->l1;
    uint64_t    left_ms = 0;
    ckit_status st = CKIT_MISS;
    if (l1 != NULL && ckiti_uses_memory(function)) {
        st = ckiti_l1_peek(l1, query, now_ms, &left_ms);
    }
    if (st == CKIT_STALE) { /* of the stale window, whose last part comes after the lifetime */
        return left_ms > function->keep_ms ? left_ms - function->keep_ms : 0;
    }
    return st == CKIT_OK ? left_ms : 0;
}

bool ckiti_refresh_is_due(ckit_function *function, const ckiti_memkey *memkey, uint64_t hash) {
    uint64_t now_ms = ckiti_cache_now(function->cache);
    if (ckiti_refresh_is_put_off(function->cache, hash)) {
        return false;
    }
    if (function->early_refresh == 0 || function->early_beta != 0 || function->ttl_ms > CKIT_TTL_MAX_MS) {
        return true; /* what was drawn when it was put there is all there is to it */
    }
    ckiti_l1_query query = ckiti_memory_query(function, ckiti_memkey_slice(memkey), hash);
    uint64_t       left_ms = copy_left(function, &query, now_ms);
    double         age_ms = left_ms < function->ttl_ms ? (double)(function->ttl_ms - left_ms) : 0;
    double         jitter = 0.9 + 0.2 * ckiti_draw(hash, now_ms, 0);
    return left_ms == 0 || age_ms > (double)function->ttl_ms * function->early_refresh * jitter;
}

bool ckiti_refresh_is_wanted(ckit_function *function, const ckiti_memkey *memkey, uint64_t hash) {
    ckiti_l1      *l1 = function->record->ns->l1;
    ckiti_l1_query query = ckiti_memory_query(function, ckiti_memkey_slice(memkey), hash);
    uint64_t       left_ms;
    return l1 != NULL && ckiti_uses_memory(function) &&
           ckiti_l1_peek(l1, &query, ckiti_cache_now(function->cache), &left_ms) == CKIT_STALE &&
           ckiti_refresh_is_due(function, memkey, hash);
}

/* ---- the claim --------------------------------------------------------------------------------------------------- */

ckit_status ckiti_refresh_put_off(ckit_op *op, uint32_t pause_ms) {
    if (pause_ms != 0) {
        pause(op->cache, op->hash, pause_ms);
    }
    ckiti_count(&op->cache->late_counters, CKITI_REFRESHES_PUT_OFF, 1);
    ckiti_op_let_lock_go(op);
    ckiti_op_hand_over(op);
    op->document.len = op->stored.len = 0;
    op->phase = CKITI_PHASE_DONE;
    return CKIT_MISS;
}

ckit_status ckiti_refresh_begin_claim(ckit_op *op) {
    op->claimed = true;
    if (op->cache->ops == NULL) {
        return CKIT_COMPUTE;
    }
    if (ckiti_op_was_overtaken(op)) {
        return ckiti_refresh_put_off(op, 0);
    }
    ckiti_l1_query query = ckiti_op_query(op);
    op->in_life = copy_left(op->function, &query, ckiti_cache_now(op->cache)) > 0;
    op->phase = CKITI_PHASE_LOOK;
    return CKIT_PENDING;
}

ckit_status ckiti_refresh_claim(ckit_op *op) {
    ckit_status st = ckiti_refresh_begin_claim(op);
    while (st == CKIT_PENDING) {
        st = ckiti_op_advance(op);
    }
    return st;
}

/* Stores that keep whole seconds may tell that much too much. */
#define COARSE_MS 1000u

/* What the store has is another value than memory's copy, or has got a new life. */
static bool is_newer(const ckit_op *op, uint64_t life_ms) {
    ckiti_l1      *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = ckiti_op_query(op);
    uint64_t       now_ms = ckiti_cache_now(op->cache);
    ckit_value     mine = CKIT_VALUE_INIT;
    if (l1 == NULL || !ckiti_uses_memory(op->function) || ckiti_l1_get_late(l1, &query, now_ms, &mine) == CKIT_MISS) {
        return true;
    }
    uint64_t left_ms = copy_left(op->function, &query, now_ms);
    bool     longer = life_ms != CKIT_LIFE_UNKNOWN && life_ms > left_ms && life_ms - left_ms > COARSE_MS;
    bool     other = !ckit_slice_equal(mine.data, ckit_buf_slice(op->function->sealed ? &op->stored : &op->document));
    ckit_value_fini(&mine);
    return longer || other;
}

/* The store has lost it: so does memory. */
static void forget_copy(ckit_op *op) {
    ckiti_stripe *stripe = ckiti_op_stripe(op);
    ckiti_l1     *l1 = op->function->record->ns->l1;
    pthread_mutex_lock(&stripe->mu);
    if (l1 != NULL && !ckiti_op_was_overtaken(op)) { /* else it may be a newer one */
        ckiti_stripe_advance(stripe, op->hash);
        (void)ckiti_l1_remove(l1, op->memkey, op->hash);
    }
    pthread_mutex_unlock(&stripe->mu);
}

ckit_status ckiti_refresh_without_store(ckit_op *op) {
    return op->in_life || op->function->fail_closed ? ckiti_refresh_put_off(op, CKITI_PAUSE_FAILED_MS) : CKIT_PENDING;
}

static ckit_status take_newer(ckit_op *op, uint64_t life_ms) {
    if (!ckiti_op_believe(op, life_ms)) {
        return ckiti_refresh_put_off(op, 0);
    }
    op->stored.len = 0;
    ckiti_count(&op->cache->late_counters, CKITI_REFRESHES_FOUND, 1);
    ckiti_op_let_lock_go(op);
    ckiti_op_land(op, false, life_ms, CKIT_SOURCE_STORE);
    return CKIT_OK;
}

ckit_status ckiti_refresh_answered(ckit_op *op, ckit_status got, uint64_t life_ms) {
    if (got == CKIT_OK && is_newer(op, life_ms)) {
        return take_newer(op, life_ms);
    }
    op->document.len = op->stored.len = 0;
    if (ckiti_op_was_overtaken(op)) {
        return ckiti_refresh_put_off(op, 0);
    }
    if (got == CKIT_MISS && op->in_life && !op->met_locked) {
        forget_copy(op);
        return ckiti_refresh_put_off(op, 0);
    }
    if (got >= CKIT_E_FIRST) {
        ckit_status st = ckiti_refresh_without_store(op);
        return st == CKIT_PENDING ? ckiti_op_turn_of_the_function(op) : st;
    }
    return op->phase == CKITI_PHASE_LOOK_AGAIN ? ckiti_op_turn_of_the_function(op) : ckiti_op_go_for_lock(op);
}

/* ---- in a worker ------------------------------------------------------------------------------------------------- */

static void end_refresh(ckit_op *op) {
    ckit_function *function = op->function;
    ckit_cache    *cache = op->cache;
    ckiti_op_fini(op);
    ckiti_op_free(cache, op);
    ckiti_function_let_go(function);
}

static void run_refresh(ckiti_job *job) {
    ckit_op   *op = ckiti_op_of_work(job);
    ckit_error err = CKIT_ERROR_INIT;
    if (!ckiti_op_was_overtaken(op)) { /* else nobody waits for it any more */
        ckiti_op_begin_refresh(op);
        if (ckiti_refresh_claim(op) == CKIT_COMPUTE && ckiti_op_compute(op, &op->args, &err) != CKIT_OK) {
            ckiti_log(op->cache->log, CKIT_LOG_INFO, "cache", "a background refresh of %.*s failed: %s",
                      (int)op->function->record->name_len, op->function->record->name, err.text);
        }
    }
    end_refresh(op);
}

static void drop_refresh(ckiti_job *job) { end_refresh(ckiti_op_of_work(job)); }

/* One of those who see the stale value, and only while it is stale. */
static bool may_refresh(ckit_op *op) {
    op->seat.elsewhere = true;
    return ckiti_flight_join(&op->cache->flights, &op->seat, false) == CKITI_SEAT_LEADER &&
           !ckiti_op_is_fresh_by_now(op);
}

void ckiti_refresh_in_background(ckit_function *function, const ckit_args *args, ckit_slice packed,
                                 const ckiti_memkey *memkey, uint64_t hash) {
    ckit_cache *cache = function->cache;
    ckit_op    *op = ckiti_refresh_is_due(function, memkey, hash) ? ckiti_op_new(cache, memkey) : NULL;
    if (op == NULL) {
        return; /* the next call tries again */
    }
    ckiti_function_hold(function);
    if (ckiti_op_init(op, function, packed, memkey, hash, NULL) == CKIT_OK && may_refresh(op) &&
        ckit_args_copy(&op->args, args, cache->alloc) == CKIT_OK) {
        op->has_args = true;
        op->work.run = run_refresh;
        op->work.dropped = drop_refresh;
        if (ckiti_workers_submit(&cache->workers, &op->work, 0) == CKIT_OK) {
            return;
        }
    }
    end_refresh(op);
}
