/* Many calls as one: what the loader is given, and what it gives. */
#include "cache/batch.h"

#include <cachekit/value.h>

static const char where[] = "function";

/* Makes rings of the calls that are computed together: those that share a version are in one. `heads` has done its own
 * work when the batch is open. */
static void join_siblings(ckit_batch *b) {
    memset(b->heads, 0, b->head_count * sizeof b->heads[0]);
    for (size_t i = 0; i < b->count; i++) {
        ckit_op *op = b->rows[i].op;
        if (b->rows[i].state != CKITI_ROW_DUE || !op->keyed) {
            continue;
        }
        size_t  *head = &b->heads[ckiti_version_place(op->hash) & (b->head_count - 1)];
        ckit_op *first = *head != 0 ? b->rows[*head - 1].op : op;
        op->sibling = op; /* in case it is the first */
        op->sibling = first->sibling;
        first->sibling = op;
        *head = *head != 0 ? *head : i + 1;
    }
}

ckit_status ckiti_batch_make_calls(ckit_batch *b) {
    ckiti_batch_loads *l = &b->loads;
    bool               raw = b->function->raw;
    join_siblings(b);
    b->missing = 0;
    for (size_t i = 0; i < b->count; i++) {
        size_t n = b->missing;
        if (b->rows[i].state != CKITI_ROW_DUE) {
            continue;
        }
        ckit_buf_fini(&l->results[n]);
        ckit_buf_init(&l->results[n], ckiti_plain_alloc(b->function));
        ckit_writer_init(&l->writers[n], &l->results[n]);
        l->places[n] = i;
        l->calls[n] = (ckit_batch_call){.args = ckiti_batch_args(b, i),
                                        .index = i,
                                        .result = raw ? NULL : &l->writers[n],
                                        .bytes = raw ? &l->results[n] : NULL};
        b->missing++;
    }
    return CKIT_COMPUTE;
}

/* What the n-th call came to, for its operation. An object is kept at once. */
static ckit_status take_result(ckit_batch *b, size_t n, ckit_error *why) {
    const ckit_function   *f = b->function;
    const ckit_batch_call *call = &b->loads.calls[n];
    ckit_op               *op = b->rows[b->loads.places[n]].op;
    if (call->status != CKIT_OK && call->status < CKIT_E_FIRST) {
        return ckit_fail(why, CKIT_E_MISUSE, where, "the loader of %.*s returned %s, which is no failure",
                         (int)f->record->name_len, f->record->name, ckit_status_name(call->status));
    }
    if (call->status != CKIT_OK) {
        return why->status == call->status ? call->status : ckit_fail(why, call->status, where, "the function failed");
    }
    *why = (ckit_error)CKIT_ERROR_INIT;
    if (call->object.release != NULL) {
        ckit_status may = ckiti_check_object(f, &call->object, why);
        return may == CKIT_OK ? ckiti_op_keep_object(op, &call->object, call->ttl_ms, why) : may;
    }
    ckit_status st = f->raw ? CKIT_OK : ckiti_finish_value(f, &b->loads.writers[n], why);
    return st == CKIT_OK ? ckiti_op_result(op, &b->loads.results[n], call->ttl_ms, why) : st;
}

/* What was written so far is not wanted. */
static void give_up_writer(ckit_batch *b, size_t n) {
    if (!b->function->raw) {
        (void)ckit_writer_finish(&b->loads.writers[n], NULL);
    }
}

void ckiti_batch_take_results(ckit_batch *b, ckit_status status, const ckit_error *err) {
    for (size_t n = 0; n < b->missing; n++) {
        ckit_batch_call *call = &b->loads.calls[n];
        size_t           i = b->loads.places[n];
        ckit_error       why = *err;
        bool             object = call->object.release != NULL;
        call->status = status != CKIT_OK ? status : call->status;
        ckit_status st = take_result(b, n, &why);
        if (st != CKIT_OK && object) {
            call->object.release(call->object.object, call->object.context);
        }
        if (st == CKIT_OK && object) {
            ckiti_batch_answer(b, i);
            continue;
        }
        b->rows[i].state = st == CKIT_OK ? CKITI_ROW_KEPT : CKITI_ROW_FAILED;
        if (st != CKIT_OK) {
            b->rows[i].op->error = why;
            give_up_writer(b, n);
        }
        b->settles = true;
    }
    b->missing = 0;
}

void ckiti_batch_drop_calls(ckit_batch *b) {
    for (size_t n = 0; n < b->missing; n++) {
        give_up_writer(b, n);
    }
    b->missing = 0;
}
