/* Many calls as one: the pass over memory, and the answers. */
#include "cache/batch.h"

#include "cache/refresh.h"
#include "cache/shared.h"

#include <cachekit/value.h>

static const char where[] = "function";

/* ---- answers ----------------------------------------------------------------------------------------------------- */

bool ckiti_batch_has(const ckit_batch *b, ckiti_row_state state) {
    size_t i = 0;
    while (i < b->count && b->rows[i].state != state) {
        i++;
    }
    return i < b->count;
}

const ckit_args *ckiti_batch_args(const ckit_batch *b, size_t i) {
    const ckit_op *op = b->rows[i].op;
    return op != NULL && op->has_args ? &op->args : b->args[i];
}

void ckiti_batch_end(ckit_batch *b, size_t i, ckit_status answer) {
    b->answers[i] = answer;
    b->rows[i].state = CKITI_ROW_ANSWERED;
}

bool ckiti_batch_is_done(const ckit_batch *b) {
    size_t i = 0;
    while (i < b->count && b->rows[i].state == CKITI_ROW_ANSWERED) {
        i++;
    }
    return i == b->count;
}

void ckiti_batch_fail(ckit_batch *b, size_t i, ckit_status answer, const ckit_error *why) {
    if (b->first.status == CKIT_OK) {
        b->first = *why;
        if (b->first.status != answer) {
            ckit_fail(&b->first, answer, where, "one call of a batch: %s", ckit_status_text(answer));
        }
    }
    ckiti_batch_end(b, i, answer);
}

void ckiti_batch_answer(ckit_batch *b, size_t i) {
    ckiti_op_give(b->rows[i].op, &b->out[i]);
    ckiti_batch_end(b, i, CKIT_OK);
}

static void leave_siblings(ckit_op *op) {
    ckit_op *before = op->sibling;
    while (before != NULL && before->sibling != op) {
        before = before->sibling;
    }
    if (before != NULL) {
        before->sibling = op->sibling;
    }
}

static void free_op(ckit_batch *b, size_t i) {
    ckit_op *op = b->rows[i].op;
    leave_siblings(op);
    pthread_mutex_lock(&b->mu);
    b->rows[i].op = NULL;
    pthread_mutex_unlock(&b->mu);
    ckiti_op_fini(op);
    ckiti_op_free(b->cache, op);
}

void ckiti_batch_sweep(ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].op != NULL && b->rows[i].state == CKITI_ROW_ANSWERED) {
            free_op(b, i);
        }
    }
}

static ckit_status copy_again(const ckit_function *function, const ckit_value *twin, ckit_value *out) {
    if (twin->object != NULL) {
        return CKIT_E_NO_MEMORY; /* there was none to share it */
    }
    if (!function->sealed) {
        return ckit_value_copy(out, twin->data, function->cache->alloc);
    }
    ckit_buf bytes;
    ckit_buf_init(&bytes, ckiti_plain_alloc(function));
    ckit_status st = ckit_buf_append(&bytes, twin->data);
    if (st == CKIT_OK) {
        ckiti_value_take_plain(function, out, &bytes);
    }
    ckit_buf_fini(&bytes);
    return st;
}

ckit_status ckiti_value_lend_or_copy(const ckit_function *function, const ckit_value *value, ckit_value *out) {
    const bool  again = ckiti_shared_lend_again(value, out) || ckiti_l1_hold_again(value, out);
    ckit_status st = again ? CKIT_OK : copy_again(function, value, out);
    if (st == CKIT_OK) {
        out->life_ms = value->life_ms;
        out->source = value->source;
        out->stale = value->stale;
    }
    return st;
}

static void answer_twin(ckit_batch *b, size_t i) {
    const ckit_value *twin = &b->out[b->rows[i].twin - 1];
    ckit_status       st = b->answers[b->rows[i].twin - 1];
    if (st == CKIT_OK) {
        st = ckiti_value_lend_or_copy(b->function, twin, &b->out[i]);
    }
    if (st < CKIT_E_FIRST) {
        ckiti_batch_end(b, i, st);
    } else {
        ckit_error why = CKIT_ERROR_INIT;
        ckiti_batch_fail(b, i, st, &why);
    }
}

void ckiti_batch_answer_twins(ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == CKITI_ROW_TWIN && b->rows[b->rows[i].twin - 1].state == CKITI_ROW_ANSWERED) {
            answer_twin(b, i);
        }
    }
}

/* ---- the pass over memory ---------------------------------------------------------------------------------------- */

static size_t *head_of(const ckit_batch *b, uint64_t hash) { return &b->heads[(hash >> 20) & (b->head_count - 1)]; }

static bool is_twin(ckit_batch *b, size_t i, const ckiti_memkey *memkey, uint64_t hash) {
    size_t *head = head_of(b, hash);
    for (; *head != 0; head = head + 1 < b->heads + b->head_count ? head + 1 : b->heads) {
        const ckit_op *op = b->rows[*head - 1].op;
        if (op->hash == hash && ckit_slice_equal(op->memkey, ckiti_memkey_slice(memkey))) {
            b->rows[i].state = CKITI_ROW_TWIN;
            b->rows[i].twin = *head;
            return true;
        }
    }
    *head = i + 1;
    return false;
}

/* `memkey` NULL: for a call that cannot be named. */
static bool make_op(ckit_batch *b, size_t i, const ckiti_memkey *memkey) {
    ckit_error why = CKIT_ERROR_INIT;
    b->rows[i].op = ckiti_op_new_lean(b->cache, memkey, b->copies);
    if (b->rows[i].op == NULL) {
        ckit_fail(&why, CKIT_E_NO_MEMORY, where, "no memory for a call of a batch");
        ckiti_batch_fail(b, i, CKIT_E_NO_MEMORY, &why);
    }
    return b->rows[i].op != NULL;
}

/* A call that cannot be named runs all the same, in no flight. */
static void make_uncached(ckit_batch *b, size_t i, const ckit_error *why) {
    ckiti_say_uncached(b->function, why);
    ckiti_op_init_lean_uncached(b->rows[i].op, b->function);
    (void)ckiti_op_turn_of_the_function(b->rows[i].op);
    b->rows[i].state = CKITI_ROW_DUE;
}

static void missed(ckit_batch *b, size_t i, ckit_slice packed, const ckiti_memkey *memkey, uint64_t hash) {
    ckit_error why = CKIT_ERROR_INIT;
    ckiti_row *r = &b->rows[i];
    if (!make_op(b, i, memkey)) {
        return;
    }
    if (ckiti_op_init_lean(r->op, b->function, packed, memkey, hash, &why) != CKIT_OK) {
        ckiti_op_fini(r->op);
        make_uncached(b, i, &why);
    } else if (is_twin(b, i, memkey, hash)) {
        free_op(b, i);
    } else {
        r->op->fresh_only = !b->function->refreshable;
        r->state = CKITI_ROW_LEADS;
    }
}

/* Looks in memory. CKIT_MISS: the call has a name there. A stale value is an answer where somebody can refresh it. */
static ckit_status look_in_memory(ckit_batch *b, size_t i, const ckit_args *args, ckit_slice packed,
                                  ckiti_memkey *memkey, uint64_t *hash, ckit_error *why) {
    ckit_function *f = b->function;
    ckit_value    *out = &b->out[i];
    ckit_status    st;
    if (f->sealed || f->tenants) {
        *hash = ckiti_call_name(f, packed, memkey);
        st = ckiti_careful_memory(f, packed, memkey, *hash, out, why);
    } else {
        st = ckiti_op_memory(f, packed, memkey, hash, out);
    }
    if (st == CKIT_STALE && !f->refreshable) {
        ckit_value_fini(out);
        return CKIT_MISS;
    }
    if (st == CKIT_STALE && f->loader != NULL) {
        ckiti_refresh_in_background(f, args, packed, memkey, *hash);
    }
    return st == CKIT_STALE ? CKIT_OK : st;
}

/* CKIT_MISS: memory's value is to be refreshed, and the call has a name there. CKIT_STALE: not. */
static ckit_status look_for_due(ckit_batch *b, ckit_slice packed, ckiti_memkey *memkey, uint64_t *hash) {
    *hash = ckiti_call_name(b->function, packed, memkey);
    return ckiti_refresh_is_wanted(b->function, memkey, *hash) ? CKIT_MISS : CKIT_STALE;
}

/* The caller may use the arguments for something else when this one returns. */
static void keep_args(ckit_batch *b, size_t i, const ckit_args *args) {
    ckit_op   *op = b->rows[i].op;
    ckit_error why = CKIT_ERROR_INIT;
    if (op == NULL || !b->copies) {
        return;
    }
    op->has_args = ckit_args_copy(&op->args, args, b->cache->alloc) == CKIT_OK;
    if (!op->has_args) {
        ckit_fail(&why, CKIT_E_NO_MEMORY, where, "no memory for the arguments of a call of a batch");
        ckiti_batch_fail(b, i, CKIT_E_NO_MEMORY, &why);
    }
}

static void begin_row(ckit_batch *b, size_t i) {
    ckit_args    none, *args;
    ckit_slice   packed;
    ckiti_memkey memkey;
    ckiti_joined joined = {{0}};
    uint64_t     hash = 0;
    ckit_error   why = CKIT_ERROR_INIT;
    ckit_status  st = ckiti_call_pack(b->args[i], &none, &args, &packed, &why);
    if (st == CKIT_OK && (st = ckiti_call_check(b->function, args, &why)) == CKIT_OK) {
        st = ckiti_call_join(b->function, args, &joined, &packed, &why);
        if (st != CKIT_OK) {
            st = CKIT_E_KEY_ARGUMENT; /* it has no name, but can run */
        }
    }
    if (st == CKIT_OK) {
        st = b->refreshes ? look_for_due(b, packed, &memkey, &hash)
                          : look_in_memory(b, i, args, packed, &memkey, &hash, &why);
    }
    if (st == CKIT_MISS) {
        missed(b, i, packed, &memkey, hash);
        keep_args(b, i, args);
    } else if (b->refreshes && (st == CKIT_STALE || st == CKIT_E_KEY_ARGUMENT)) {
        ckiti_batch_end(b, i, CKIT_MISS);
    } else if (st == CKIT_E_KEY_ARGUMENT && !b->function->interop) {
        if (make_op(b, i, NULL)) {
            make_uncached(b, i, &why);
            keep_args(b, i, args);
        }
    } else if (st == CKIT_OK) {
        ckiti_batch_end(b, i, CKIT_OK);
    } else {
        ckiti_batch_fail(b, i, st, &why);
    }
    ckiti_call_join_end(&joined);
}

/* ---- beginning and ending ---------------------------------------------------------------------------------------- */

static bool arrays_init(ckit_batch *b) {
    const ckit_alloc   *alloc = b->cache->alloc;
    ckiti_batch_arrays *a = &b->a;
    size_t              room = a->portion = b->open < CKITI_BATCH_PORTION ? b->open : CKITI_BATCH_PORTION;
    a->places = ckiti_alloc_zeroed(alloc, room, sizeof a->places[0]);
    a->keys = ckiti_alloc_zeroed(alloc, room, sizeof a->keys[0]);
    a->values = ckiti_alloc_zeroed(alloc, room, sizeof a->values[0]);
    a->infos = ckiti_alloc_zeroed(alloc, room, sizeof a->infos[0]);
    a->bytes = ckiti_alloc_zeroed(alloc, room, sizeof a->bytes[0]);
    a->names = ckiti_alloc_zeroed(alloc, room, sizeof a->names[0]);
    a->life_ms = ckiti_alloc_zeroed(alloc, room, sizeof a->life_ms[0]);
    a->answers = ckiti_alloc_zeroed(alloc, room, sizeof a->answers[0]);
    a->leases = ckiti_alloc_zeroed(alloc, room, sizeof a->leases[0]);
    return a->places != NULL && a->keys != NULL && a->values != NULL && a->infos != NULL && a->bytes != NULL &&
           a->names != NULL && a->life_ms != NULL && a->answers != NULL && a->leases != NULL;
}

static void arrays_fini(ckit_batch *b) {
    const ckit_alloc   *alloc = b->cache->alloc;
    ckiti_batch_arrays *a = &b->a;
    size_t              room = a->portion;
    for (size_t i = 0; a->bytes != NULL && i < room; i++) {
        ckit_buf_fini(&a->bytes[i]);
    }
    for (size_t i = 0; a->names != NULL && i < room; i++) {
        ckit_buf_fini(&a->names[i]);
    }
    ckiti_free(alloc, a->places, room * sizeof a->places[0]);
    ckiti_free(alloc, a->keys, room * sizeof a->keys[0]);
    ckiti_free(alloc, a->values, room * sizeof a->values[0]);
    ckiti_free(alloc, a->infos, room * sizeof a->infos[0]);
    ckiti_free(alloc, a->bytes, room * sizeof a->bytes[0]);
    ckiti_free(alloc, a->names, room * sizeof a->names[0]);
    ckiti_free(alloc, a->life_ms, room * sizeof a->life_ms[0]);
    ckiti_free(alloc, a->answers, room * sizeof a->answers[0]);
    ckiti_free(alloc, a->leases, room * sizeof a->leases[0]);
}

/* Zero pages that nobody writes to take no memory. */
static bool loads_init(ckit_batch *b) {
    const ckit_alloc  *alloc = b->cache->alloc;
    ckiti_batch_loads *l = &b->loads;
    size_t             room = l->room = b->open;
    l->places = ckiti_alloc_zeroed(alloc, room, sizeof l->places[0]);
    l->calls = ckiti_alloc_zeroed(alloc, room, sizeof l->calls[0]);
    l->writers = ckiti_alloc_zeroed(alloc, room, sizeof l->writers[0]);
    l->results = ckiti_alloc_zeroed(alloc, room, sizeof l->results[0]);
    l->storing = ckiti_alloc_zeroed(alloc, room, sizeof l->storing[0]);
    return l->places != NULL && l->calls != NULL && l->writers != NULL && l->results != NULL && l->storing != NULL;
}

static void loads_fini(ckit_batch *b) {
    const ckit_alloc  *alloc = b->cache->alloc;
    ckiti_batch_loads *l = &b->loads;
    size_t             room = l->room;
    for (size_t i = 0; l->results != NULL && i < room; i++) {
        ckit_buf_fini(&l->results[i]);
    }
    ckiti_free(alloc, l->places, room * sizeof l->places[0]);
    ckiti_free(alloc, l->calls, room * sizeof l->calls[0]);
    ckiti_free(alloc, l->writers, room * sizeof l->writers[0]);
    ckiti_free(alloc, l->results, room * sizeof l->results[0]);
    ckiti_free(alloc, l->storing, room * sizeof l->storing[0]);
}

static bool rows_init(ckit_batch *b) {
    b->head_count = 8;
    while (b->head_count < 2 * b->count) {
        b->head_count *= 2;
    }
    b->rows = ckiti_alloc_zeroed(b->cache->alloc, b->count, sizeof b->rows[0]);
    b->heads = ckiti_alloc_zeroed(b->cache->alloc, b->head_count, sizeof b->heads[0]);
    return b->rows != NULL && b->heads != NULL;
}

static void no_memory(ckit_batch *b) {
    ckit_error why = CKIT_ERROR_INIT;
    ckit_fail(&why, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu calls", b->count);
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].op != NULL && b->rows[i].state != CKITI_ROW_ANSWERED) {
            ckiti_batch_fail(b, i, CKIT_E_NO_MEMORY, &why);
        }
    }
    ckiti_batch_sweep(b);
}

static void init_sync(ckit_batch *b) {
    pthread_mutex_init(&b->mu, NULL);
    ckiti_cond_init(&b->changed);
    b->synced = true;
}

ckit_status ckiti_batch_open(ckit_batch *b, ckit_error *err) {
    init_sync(b);
    if (b->count > 0 && !rows_init(b)) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu calls", b->count);
    }
    for (size_t i = 0; i < b->count; i++) {
        begin_row(b, i);
        b->rows[i].slot = b->open;
        b->open += b->rows[i].op != NULL;
    }
    ckiti_batch_sweep(b); /* those whose arguments could not be kept */
    if (b->open > 0 && !(arrays_init(b) && loads_init(b))) {
        no_memory(b);
    }
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == CKITI_ROW_LEADS) {
            (b->refreshes ? ckiti_batch_take_ticket : ckiti_batch_take_seat)(b, i);
        }
    }
    ckiti_batch_sweep(b);
    return CKIT_OK;
}

void ckiti_batch_fini(ckit_batch *b) {
    const ckit_alloc *alloc = b->cache->alloc;
    ckiti_batch_drop_calls(b);
    if (b->rows != NULL && b->loads.storing != NULL) {
        ckiti_batch_unlock_all(b);
    }
    for (size_t i = 0; b->rows != NULL && i < b->count; i++) {
        if (b->rows[i].op != NULL) {
            free_op(b, i);
        }
    }
    arrays_fini(b);
    loads_fini(b);
    ckiti_free(alloc, b->heads, b->head_count * sizeof b->heads[0]);
    ckiti_free(alloc, b->rows, b->count * sizeof b->rows[0]);
    if (b->synced) {
        pthread_cond_destroy(&b->changed);
        pthread_mutex_destroy(&b->mu);
    }
}
