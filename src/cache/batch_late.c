/* Many calls as one: what may be served when the keys' lives are over, as the store keeps it. */
#include "cache/batch.h"

#include "cache/stale.h"
#include "cache/store.h"

/* A store that has been silent once is asked no more: what it has under the name is made up for later. */
static void remove_late(ckit_batch *b, const ckit_op *op, bool *silent) {
    if (*silent) {
        ckiti_stale_missed(b->cache, ckit_buf_slice(&op->key));
    } else {
        *silent = ckiti_stale_remove(b->cache, ckit_buf_slice(&op->key), 0, NULL) == CKIT_E_TIMEOUT;
    }
}

/* What is to be written, in the arrays. Returns how much. */
static size_t begin_late(ckit_batch *b) {
    ckiti_batch_arrays *a = &b->a;
    bool                silent = false;
    size_t              count = 0;
    for (size_t i = 0; i < b->count; i++) {
        ckiti_row *r = &b->rows[i];
        if (!r->together || a->storing[r->slot].stored.len == 0 || r->op->got != CKIT_OK) {
            continue;
        }
        a->storing[r->slot].late_is_done = true;
        a->values[count] = a->storing[r->slot].stored;
        ckit_buf_fini(&a->names[count]);
        ckit_buf_fini(&a->bytes[count]);
        ckiti_late_step step = ckiti_op_begin_late(r->op, &a->values[count], &a->names[count], &a->bytes[count]);
        if (step == CKITI_LATE_REMOVE) {
            remove_late(b, r->op, &silent);
        } else if (step == CKITI_LATE_WRITE) {
            a->keys[count] = ckit_buf_slice(&a->names[count]);
            a->infos[count++] = ckiti_stale_info(b->function, r->op->ttl_ms);
        }
    }
    return count;
}

void ckiti_batch_keep_late(ckit_batch *b) {
    ckiti_batch_arrays *a = &b->a;
    ckit_cache         *cache = b->cache;
    ckit_error          why = CKIT_ERROR_INIT;
    size_t              count = b->function->keep_ms != 0 ? begin_late(b) : 0;
    if (count == 0) {
        return;
    }
    ckit_status whole = cache->ops->set_many(cache->store, a->keys, a->values, a->infos, count,
                                             ckiti_store_deadline(cache, 0), a->answers, &why);
    if (whole != CKIT_OK) {
        ckiti_store_failed(cache, "set_many", a->keys[0], &why);
    }
    for (size_t n = 0; whole == CKIT_OK && n < count; n++) {
        ckit_error own = CKIT_ERROR_INIT;
        if (a->answers[n] != CKIT_OK) {
            ckit_fail(&own, a->answers[n], cache->ops->name, "one key of a batch: %s", ckit_status_text(a->answers[n]));
        }
        ckiti_stale_written(b->function, a->keys[n], a->answers[n], &own);
    }
}
