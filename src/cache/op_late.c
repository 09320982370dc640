/* Values past their lives: served when the function or the store fails, or takes too long. */
#include "cache/op_parts.h"

#include <cachekit/value.h>

static bool lend_late(void *context, ckit_value *out) {
    const ckit_op *op = context;
    ckiti_l1      *l1 = op->function->record->ns->l1;
    ckiti_l1_query query = ckiti_op_query(op);
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
    return op->late.len > 0 && !ckiti_op_was_overtaken(op) &&
           ckit_buf_append(&op->document, ckit_buf_slice(&op->late)) == CKIT_OK;
}

/* op->value becomes a value past its life, and so does everybody's who waits. */
static bool serve_late(ckit_op *op) {
    if (!op->function->sealed && lend_late(op, &op->value)) {
        if (!ckiti_op_is_rejected(op, op->value.data)) {
            ckiti_flight_land(&op->cache->flights, &op->seat, false, lend_late, op, op->value.life_ms);
            ckiti_op_describe(op, op->value.life_ms, CKIT_SOURCE_MEMORY);
            return true;
        }
        ckit_value_fini(&op->value);
    }
    if (!late_document(op) || ckiti_op_is_rejected(op, ckit_buf_slice(&op->document))) {
        op->document.len = 0;
        return false;
    }
    ckiti_op_land(op, true, 0, op->late.len > 0 ? CKIT_SOURCE_STORE : CKIT_SOURCE_MEMORY);
    return true;
}

/* For one caller alone, while the operation goes on in another thread: what it is at work with stays untouched. */
static bool lend_late_alone(ckit_op *op, ckit_value *out) {
    ckit_buf plain;
    if (!op->function->sealed && lend_late(op, out)) {
        if (!ckiti_op_is_rejected(op, out->data)) {
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
    if (!there && atomic_load(&op->has_late) && !ckiti_op_was_overtaken(op)) {
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

bool ckiti_op_stand_in(ckit_op *op) {
    if (op->function->fail_safe_ms == 0 || op->refresh || op->background || !op->keyed || !serve_late(op)) {
        return false;
    }
    ckiti_count(&op->cache->late_counters, CKITI_FAIL_SAFE, 1);
    ckiti_count(&op->function->counters, CKITI_FN_FAIL_SAFE, 1);
    return true;
}

bool ckiti_op_fall_back(ckit_op *op, const ckit_error *why) {
    if (!ckiti_op_stand_in(op)) {
        return false;
    }
    ckiti_log(op->cache->log, CKIT_LOG_INFO, "cache", "%.*s failed, and an older value stands in for its result: %s",
              (int)op->function->record->name_len, op->function->record->name, why->text);
    return true;
}
