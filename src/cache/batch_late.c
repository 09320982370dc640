/* Many calls as one: what may be served when the keys' lives are over, as the store keeps it. */
#include "cache/batch.h"

#include "cache/stale.h"
#include "cache/store.h"

/* What has come of it so far. */
typedef struct pass {
    size_t from;   /* the next row */
    bool   silent; /* the store was, once: it is asked no more, and what it has is made up for later */
} pass;

static void remove_late(ckit_batch *b, const ckit_op *op, pass *p) {
    if (p->silent) {
        ckiti_stale_missed(b->cache, ckit_buf_slice(&op->key));
    } else {
        p->silent = ckiti_stale_remove(b->cache, ckit_buf_slice(&op->key), 0, NULL) == CKIT_E_TIMEOUT;
    }
}

/* The next portion of what is to be written, in the arrays. Returns how much. */
static size_t begin_late(ckit_batch *b, pass *p) {
    ckiti_batch_arrays *a = &b->a;
    size_t              count = 0;
    for (; p->from < b->count && count < a->portion; p->from++) {
        ckiti_row *r = &b->rows[p->from];
        if (!r->together || r->op->got != CKIT_OK || b->loads.storing[r->slot].stored.len == 0) {
            continue;
        }
        b->loads.storing[r->slot].late_is_done = true;
        a->values[count] = b->loads.storing[r->slot].stored;
        ckit_buf_fini(&a->names[count]);
        ckit_buf_fini(&a->bytes[count]);
        ckiti_late_step step = ckiti_op_begin_late(r->op, &a->values[count], &a->names[count], &a->bytes[count]);
        if (step == CKITI_LATE_REMOVE) {
            remove_late(b, r->op, p);
        } else if (step == CKITI_LATE_WRITE) {
            a->places[count] = p->from;
            a->keys[count] = ckit_buf_slice(&a->names[count]);
            a->infos[count++] = ckiti_stale_info(b->function, r->op->ttl_ms);
        }
    }
    return count;
}

static void write_late(ckit_batch *b, size_t count, pass *p) {
    ckiti_batch_arrays *a = &b->a;
    ckit_cache         *cache = b->cache;
    ckit_error          why = CKIT_ERROR_INIT;
    ckit_status         whole = cache->ops->set_many(cache->store, a->keys, a->values, a->infos, count,
                                                     ckiti_store_deadline(cache, 0), a->answers, &why);
    if (whole != CKIT_OK) {
        ckiti_store_failed(cache, "set_many", a->keys[0], &why);
    }
    p->silent = whole == CKIT_E_TIMEOUT;
    for (size_t n = 0; whole == CKIT_OK && n < count; n++) {
        ckit_error own = CKIT_ERROR_INIT;
        if (a->answers[n] != CKIT_OK) {
            ckit_fail(&own, a->answers[n], cache->ops->name, "one key of a batch: %s", ckit_status_text(a->answers[n]));
        }
        ckiti_stale_written(b->function, a->keys[n], a->answers[n], &own);
    }
}

void ckiti_batch_keep_late(ckit_batch *b) {
    pass   p = {.from = 0};
    size_t count;
    while (b->function->keep_ms != 0 && (count = begin_late(b, &p)) > 0) {
        if (!p.silent) {
            write_late(b, count, &p);
        } else {
            for (size_t n = 0; n < count; n++) {
                ckiti_stale_missed(b->cache, ckit_buf_slice(&b->rows[b->a.places[n]].op->key));
            }
        }
    }
}
