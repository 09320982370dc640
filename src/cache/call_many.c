/* Many calls at once: one pass over memory, one read of the store, one run of the loader for what is missing.
 *
 * Each call that memory cannot answer is an operation with a seat in a flight, as a single call. What this batch leads it
 * computes first, all of it, and lets it land; only then does it wait for what others compute. So batches that share
 * keys, in whatever order, cannot wait for each other in a circle: who waits leads nothing any more. */
#include "cache/call.h"
#include "cache/shared.h"
#include "cache/store.h"

#include <cachekit/value.h>

static const char where[] = "function";

typedef enum state {
    ANSWERED,
    TWIN,   /* the same call as an earlier one of the batch */
    LEADS,  /* to be computed here */
    FOLLOWS /* somebody else computes it */
} state;

typedef struct row {
    ckit_op *op;   /* LEADS, FOLLOWS */
    size_t   twin; /* TWIN: which */
    state    state;
} row;

typedef struct batch {
    ckit_function    *function;
    ckit_cache       *cache;
    ckit_args *const *args;
    size_t            count;
    ckit_batch_loader loader;
    void             *context;
    ckit_value       *out;
    ckit_status      *answers;
    ckit_error       *err; /* of the first failure; never NULL */
    row              *rows;
    size_t           *heads;      /* by hash: a row + 1 whose operation came first; 0 = none */
    size_t            head_count; /* a power of two */
    pthread_mutex_t   mu;         /* guards the operations' `news` while they follow; a leaf */
    pthread_cond_t    changed;
} batch;

/* What one round works with, as long as there are rows that lead. */
typedef struct round_arrays {
    size_t           count;
    size_t          *places; /* of the rows */
    ckit_slice      *keys;
    ckit_slice      *values;
    ckit_entry_info *infos;
    ckit_buf        *bytes;
    uint64_t        *life_ms;
    ckit_status     *answers;
    ckiti_storing   *storing;
    ckit_writer     *writers;
    ckit_batch_call *calls;
} round_arrays;

/* ---- answers ------------------------------------------------------------------------------------------------------- */

static void end_row(batch *b, size_t i, ckit_status answer) {
    row *r = &b->rows[i];
    b->answers[i] = answer;
    r->state = ANSWERED;
    if (r->op != NULL) {
        ckiti_op_fini(r->op);
        ckiti_free(b->cache->alloc, r->op, sizeof *r->op);
        r->op = NULL;
    }
}

static void fail_row(batch *b, size_t i, ckit_status answer, const ckit_error *why) {
    if (b->err->status == CKIT_OK) {
        *b->err = *why;
        if (b->err->status != answer) {
            ckit_fail(b->err, answer, where, "one call of a batch: %s", ckit_status_text(answer));
        }
    }
    end_row(b, i, answer);
}

static void answer_row(batch *b, size_t i) {
    ckiti_op_give(b->rows[i].op, &b->out[i]);
    end_row(b, i, CKIT_OK);
}

/* ---- the first pass: memory ---------------------------------------------------------------------------------------- */

static size_t *head_of(const batch *b, uint64_t hash) { return &b->heads[(hash >> 20) & (b->head_count - 1)]; }

static bool is_twin(batch *b, size_t i, const ckiti_memkey *memkey, uint64_t hash) {
    size_t *head = head_of(b, hash);
    for (; *head != 0; head = head + 1 < b->heads + b->head_count ? head + 1 : b->heads) {
        const ckit_op *op = b->rows[*head - 1].op;
        if (op->hash == hash && ckit_slice_equal(ckiti_memkey_slice(&op->memkey), ckiti_memkey_slice(memkey))) {
            b->rows[i].state = TWIN;
            b->rows[i].twin = *head - 1;
            return true;
        }
    }
    *head = i + 1;
    return false;
}

static void seat_changed(ckiti_seat *seat) {
    ckit_op *op = (ckit_op *)(void *)((char *)seat - offsetof(ckit_op, seat));
    batch   *b = op->context;
    pthread_mutex_lock(&b->mu);
    op->news = seat->state;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->mu);
}

/* A call that cannot be named runs all the same, in no flight. */
static void make_uncached(batch *b, size_t i, const ckit_error *why) {
    ckiti_say_uncached(b->function, why);
    ckiti_op_init_uncached(b->rows[i].op, b->function);
    (void)ckiti_op_turn_of_the_function(b->rows[i].op);
    b->rows[i].state = LEADS;
}

static bool make_op(batch *b, size_t i) {
    ckit_error why = CKIT_ERROR_INIT;
    b->rows[i].op = ckiti_alloc(b->cache->alloc, sizeof *b->rows[i].op);
    if (b->rows[i].op == NULL) {
        ckit_fail(&why, CKIT_E_NO_MEMORY, where, "no memory for a call of a batch");
        fail_row(b, i, CKIT_E_NO_MEMORY, &why);
    }
    return b->rows[i].op != NULL;
}

static void missed(batch *b, size_t i, ckit_slice packed, const ckiti_memkey *memkey, uint64_t hash) {
    ckit_error why = CKIT_ERROR_INIT;
    row       *r = &b->rows[i];
    if (!make_op(b, i)) {
        return;
    }
    if (ckiti_op_init(r->op, b->function, packed, memkey, hash, &why) != CKIT_OK) {
        ckiti_op_fini(r->op);
        make_uncached(b, i, &why);
        return;
    }
    if (is_twin(b, i, memkey, hash)) {
        ckiti_op_fini(r->op);
        ckiti_free(b->cache->alloc, r->op, sizeof *r->op);
        r->op = NULL;
        return;
    }
    r->op->many = true;
    r->op->context = b;
    r->op->seat.changed = seat_changed;
    r->op->seat.blocks = true;
    r->state = LEADS;
}

/* Looks in memory. CKIT_MISS: the call has a name there. A stale value is an answer where the function can refresh it. */
static ckit_status look_in_memory(batch *b, size_t i, const ckit_args *args, ckit_slice packed, ckiti_memkey *memkey,
                                  uint64_t *hash, ckit_error *why) {
    ckit_function *f = b->function;
    ckit_value    *out = &b->out[i];
    ckit_status    st;
    if (f->sealed || f->tenants) {
        *hash = ckiti_call_name(f, packed, memkey);
        st = ckiti_careful_memory(f, packed, memkey, *hash, out, why);
    } else {
        st = ckiti_op_memory(f, packed, memkey, hash, out);
    }
    if (st == CKIT_STALE && f->loader == NULL) {
        ckit_value_fini(out);
        return CKIT_MISS;
    }
    if (st == CKIT_STALE) {
        ckiti_refresh_in_background(f, args, packed, memkey, *hash);
        st = CKIT_OK;
    }
    return st;
}

static void begin_row(batch *b, size_t i) {
    ckit_args    none, *args;
    ckit_slice   packed;
    ckiti_memkey memkey;
    ckiti_joined joined = {{0}};
    uint64_t     hash = 0;
    ckit_error   why = CKIT_ERROR_INIT;
    ckit_status  st = ckiti_call_pack(b->args[i], &none, &args, &packed, &why);
    ckit_value_fini(&b->out[i]);
    if (st == CKIT_OK && (st = ckiti_call_check(b->function, args, &why)) == CKIT_OK) {
        st = ckiti_call_join(b->function, args, &joined, &packed, &why);
        if (st != CKIT_OK) {
            st = CKIT_E_KEY_ARGUMENT; /* it has no name, but can run */
        }
    }
    if (st == CKIT_OK) {
        st = look_in_memory(b, i, args, packed, &memkey, &hash, &why);
    }
    if (st == CKIT_MISS) {
        missed(b, i, packed, &memkey, hash);
    } else if (st == CKIT_E_KEY_ARGUMENT && !b->function->interop) {
        if (make_op(b, i)) {
            make_uncached(b, i, &why);
        }
    } else if (st == CKIT_OK) {
        end_row(b, i, CKIT_OK);
    } else {
        fail_row(b, i, st, &why);
    }
    ckiti_call_join_end(&joined);
}

/* ---- flights ------------------------------------------------------------------------------------------------------- */

static void take_seat(batch *b, size_t i) {
    ckit_op *op = b->rows[i].op;
    op->news = CKITI_SEAT_WAITING;
    if (!op->keyed) {
        return;
    }
    if (ckiti_flight_join(&b->cache->flights, &op->seat, true) == CKITI_SEAT_WAITING) {
        ckiti_count(&b->cache->counters, CKITI_FLIGHT_WAITS, 1);
        b->rows[i].state = FOLLOWS;
    } else if (ckiti_op_is_fresh_by_now(op)) {
        ckiti_count(&b->function->counters, CKITI_FN_L1_HITS, 1);
        answer_row(b, i);
    } else if (op->seat.reentrant) { /* the call around this one has asked the store */
        (void)ckiti_op_turn_of_the_function(op);
    }
}

/* Takes what has landed, and the lead where it was handed over. True while there are others. */
static bool take_news(batch *b) {
    bool waits = false;
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state != FOLLOWS) {
            continue;
        }
        pthread_mutex_lock(&b->mu);
        ckiti_seat_state place = b->rows[i].op->news;
        pthread_mutex_unlock(&b->mu);
        if (place == CKITI_SEAT_LANDED) {
            answer_row(b, i);
        } else if (place == CKITI_SEAT_LEADER) {
            b->rows[i].state = LEADS;
        } else {
            waits = true;
        }
    }
    return waits;
}

static bool has_news(const batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == FOLLOWS && b->rows[i].op->news != CKITI_SEAT_WAITING) {
            return true;
        }
    }
    return false;
}

/* False when flight_wait_ms are over without news. */
static bool wait_for_news(batch *b) {
    struct timespec until = ckiti_real_time_in(b->cache->options.flight_wait_ms);
    int             late = 0;
    pthread_mutex_lock(&b->mu);
    while (!has_news(b) && late == 0) {
        late = pthread_cond_timedwait(&b->changed, &b->mu, &until);
    }
    bool news = has_news(b);
    pthread_mutex_unlock(&b->mu);
    return news;
}

/* Nobody has waited longer for what these others compute: it is computed here too. */
static void go_alone(batch *b) {
    ckiti_log(b->cache->log, CKIT_LOG_WARNING, "cache",
              "another call of the same key took more than %u ms: this one computes too",
              b->cache->options.flight_wait_ms);
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == FOLLOWS && ckiti_flight_leave(&b->cache->flights, &b->rows[i].op->seat)) {
            b->rows[i].state = LEADS;
        }
    }
}

/* ---- one round ----------------------------------------------------------------------------------------------------- */

static size_t leaders_of(const batch *b) {
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++) {
        count += b->rows[i].state == LEADS;
    }
    return count;
}

static void arrays_fini(const batch *b, round_arrays *a) {
    const ckit_alloc *alloc = b->cache->alloc;
    for (size_t i = 0; a->bytes != NULL && i < a->count; i++) {
        ckit_buf_fini(&a->bytes[i]);
    }
    ckiti_free(alloc, a->places, a->count * sizeof a->places[0]);
    ckiti_free(alloc, a->keys, a->count * sizeof a->keys[0]);
    ckiti_free(alloc, a->values, a->count * sizeof a->values[0]);
    ckiti_free(alloc, a->infos, a->count * sizeof a->infos[0]);
    ckiti_free(alloc, a->bytes, a->count * sizeof a->bytes[0]);
    ckiti_free(alloc, a->life_ms, a->count * sizeof a->life_ms[0]);
    ckiti_free(alloc, a->answers, a->count * sizeof a->answers[0]);
    ckiti_free(alloc, a->storing, a->count * sizeof a->storing[0]);
    ckiti_free(alloc, a->writers, a->count * sizeof a->writers[0]);
    ckiti_free(alloc, a->calls, a->count * sizeof a->calls[0]);
}

static bool arrays_init(const batch *b, round_arrays *a, size_t count) {
    const ckit_alloc *alloc = b->cache->alloc;
    *a = (round_arrays){.count = count};
    a->places = ckiti_alloc_zeroed(alloc, count, sizeof a->places[0]);
    a->keys = ckiti_alloc_zeroed(alloc, count, sizeof a->keys[0]);
    a->values = ckiti_alloc_zeroed(alloc, count, sizeof a->values[0]);
    a->infos = ckiti_alloc_zeroed(alloc, count, sizeof a->infos[0]);
    a->bytes = ckiti_alloc_zeroed(alloc, count, sizeof a->bytes[0]);
    a->life_ms = ckiti_alloc_zeroed(alloc, count, sizeof a->life_ms[0]);
    a->answers = ckiti_alloc_zeroed(alloc, count, sizeof a->answers[0]);
    a->storing = ckiti_alloc_zeroed(alloc, count, sizeof a->storing[0]);
    a->writers = ckiti_alloc_zeroed(alloc, count, sizeof a->writers[0]);
    a->calls = ckiti_alloc_zeroed(alloc, count, sizeof a->calls[0]);
    return a->places != NULL && a->keys != NULL && a->values != NULL && a->infos != NULL && a->bytes != NULL &&
           a->life_ms != NULL && a->answers != NULL && a->storing != NULL && a->writers != NULL && a->calls != NULL;
}

/* What an operation came to when the store was asked; CKIT_COMPUTE: it is to be computed. */
static void took(batch *b, size_t i, ckit_status st) {
    if (st == CKIT_OK || st == CKIT_STALE) {
        answer_row(b, i);
    } else if (st != CKIT_COMPUTE) {
        ckit_error why = b->rows[i].op->error;
        fail_row(b, i, st, &why);
    }
}

static void take_steps(batch *b, size_t i, ckit_status st) {
    while (st == CKIT_PENDING) {
        st = ckiti_op_advance(b->rows[i].op);
    }
    took(b, i, st);
}

/* The store has answered, or (`whole`) has not. */
static void take_answers(batch *b, round_arrays *a, size_t asked, ckit_status whole, const ckit_error *why) {
    for (size_t n = 0; n < asked; n++) {
        ckit_op *op = b->rows[a->places[n]].op;
        if (whole != CKIT_OK && ckiti_op_minds_failures(op)) {
            op->error = *why;
            take_steps(b, a->places[n], ckiti_op_opened(op, whole, CKIT_LIFE_UNKNOWN));
            continue;
        }
        if (whole != CKIT_OK) {
            op->silent = whole == CKIT_E_TIMEOUT;
            took(b, a->places[n], ckiti_op_turn_of_the_function(op));
            continue;
        }
        ckit_buf none = op->stored;
        op->stored = a->bytes[n];
        a->bytes[n] = none;
        if (a->answers[n] >= CKIT_E_FIRST) {
            ckit_fail(&op->error, a->answers[n], b->cache->ops->name, "one key of a batch: %s",
                      ckit_status_text(a->answers[n]));
        }
        take_steps(b, a->places[n], ckiti_op_opened(op, a->answers[n], a->life_ms[n]));
    }
}

static bool asks_store(const batch *b, size_t i) {
    return b->rows[i].state == LEADS && b->rows[i].op->phase == CKITI_PHASE_LOOK;
}

static void turn_of_the_function(batch *b, size_t i) {
    if (b->rows[i].state == LEADS && b->rows[i].op->keyed && !b->rows[i].op->seat.reentrant) {
        (void)ckiti_op_turn_of_the_function(b->rows[i].op);
    }
}

/* One read for all that lead; a store without such is read for each. */
static void look_in_store(batch *b, round_arrays *a) {
    size_t     asked = 0;
    ckit_error why = CKIT_ERROR_INIT;
    for (size_t i = 0; i < b->count; i++) {
        if (b->cache->ops == NULL) {
            turn_of_the_function(b, i);
        } else if (asks_store(b, i) && b->cache->ops->get_many == NULL) {
            take_steps(b, i, CKIT_PENDING);
        } else if (asks_store(b, i)) {
            ckiti_op_begin_look(b->rows[i].op);
            ckit_buf_init(&a->bytes[asked], b->cache->alloc);
            a->life_ms[asked] = CKIT_LIFE_UNKNOWN;
            a->keys[asked] = ckit_buf_slice(&b->rows[i].op->key);
            a->places[asked++] = i;
        }
    }
    if (asked == 0) {
        return;
    }
    ckit_status whole = b->cache->ops->get_many(b->cache->store, a->keys, asked, ckiti_store_deadline(b->cache, 0),
                                                a->bytes, a->life_ms, a->answers, &why);
    if (whole != CKIT_OK) {
        ckiti_store_failed(b->cache, "get_many", a->keys[0], &why);
    }
    take_answers(b, a, asked, whole, &why);
}

/* ---- the loader ---------------------------------------------------------------------------------------------------- */

/* Where there is none for many, the function's own. */
static ckit_status load_each(const batch *b, ckit_batch_call *calls, size_t count, ckit_error *err) {
    for (size_t n = 0; n < count; n++) {
        ckit_load load = {.args = calls[n].args, .result = calls[n].result};
        calls[n].status = b->function->loader(b->function->context, &load, err);
        calls[n].ttl_ms = load.ttl_ms;
    }
    return CKIT_OK;
}

/* One call of the loader for everything that is still to be computed. Returns how many; their places are noted. */
static size_t load(batch *b, round_arrays *a, ckit_error *why) {
    size_t missing = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state != LEADS) {
            continue;
        }
        ckit_buf_fini(&a->bytes[missing]);
        ckit_buf_init(&a->bytes[missing], ckiti_plain_alloc(b->function));
        ckit_writer_init(&a->writers[missing], &a->bytes[missing]);
        a->places[missing] = i;
        a->calls[missing] = (ckit_batch_call){.args = b->args[i],
                                              .index = i,
                                              .result = b->function->raw ? NULL : &a->writers[missing],
                                              .bytes = b->function->raw ? &a->bytes[missing] : NULL};
        missing++;
    }
    if (missing == 0) {
        return 0;
    }
    ckit_status st =
        b->loader != NULL ? b->loader(b->context, a->calls, missing, why) : load_each(b, a->calls, missing, why);
    for (size_t n = 0; st != CKIT_OK && n < missing; n++) {
        a->calls[n].status = st;
    }
    return missing;
}

/* The n-th call's result, checked, goes to its operation. */
static ckit_status take_result(batch *b, round_arrays *a, size_t n, ckit_error *why) {
    const ckit_function *f = b->function;
    ckit_status          st = a->calls[n].status;
    if (st != CKIT_OK && st < CKIT_E_FIRST) {
        return ckit_fail(why, CKIT_E_MISUSE, where, "the loader of %.*s returned %s, which is no failure",
                         (int)f->record->name_len, f->record->name, ckit_status_name(st));
    }
    if (st != CKIT_OK) {
        return why->status == st ? st : ckit_fail(why, st, where, "the function failed");
    }
    *why = (ckit_error)CKIT_ERROR_INIT;
    if (a->calls[n].object.release != NULL) {
        return b->cache->ops != NULL
                   ? ckit_fail(why, CKIT_E_MISUSE, where, "objects are kept in memory only, and this cache has a store")
                   : CKIT_OK;
    }
    st = f->raw ? CKIT_OK : ckiti_finish_value(f, &a->writers[n], why);
    return st == CKIT_OK ? ckiti_op_result(b->rows[a->places[n]].op, &a->bytes[n], a->calls[n].ttl_ms, why) : st;
}

/* ---- the results --------------------------------------------------------------------------------------------------- */

/* The store has the result, or the caller minds that it has not. */
static void answer_kept(batch *b, size_t i, ckit_status st) {
    if (st == CKIT_OK) {
        answer_row(b, i);
    } else {
        fail_row(b, i, st, &b->rows[i].op->error);
    }
}

/* Of the results, in places[0 .. done), those that the store is to have are written together. */
static void store_results(batch *b, round_arrays *a, size_t done) {
    size_t     writes = 0;
    ckit_error why = CKIT_ERROR_INIT;
    for (size_t n = 0; n < done; n++) {
        ckit_op *op = b->rows[a->places[n]].op;
        ckiti_op_begin_store(op, &a->storing[n]);
        if (a->storing[n].stored.len > 0) {
            a->keys[writes] = ckit_buf_slice(&op->key);
            a->values[writes] = a->storing[n].stored;
            a->infos[writes++] = ckiti_op_info(op);
        }
    }
    ckit_status whole = writes == 0 ? CKIT_OK
                                    : b->cache->ops->set_many(b->cache->store, a->keys, a->values, a->infos, writes,
                                                              ckiti_store_deadline(b->cache, 0), a->answers, &why);
    for (size_t n = 0, write = 0; n < done; n++) {
        ckit_error  one = why;
        ckit_status st = whole;
        if (a->storing[n].stored.len > 0 && whole == CKIT_OK && (st = a->answers[write++]) != CKIT_OK) {
            ckit_fail(&one, st, b->cache->ops->name, "one key of a batch: %s", ckit_status_text(st));
        }
        answer_kept(b, a->places[n], ckiti_op_end_store(b->rows[a->places[n]].op, &a->storing[n], st, &one));
    }
}

static void keep_results(batch *b, round_arrays *a, size_t done) {
    if (done > 1 && b->cache->ops != NULL && b->cache->ops->set_many != NULL) {
        store_results(b, a, done);
        return;
    }
    for (size_t n = 0; n < done; n++) {
        answer_kept(b, a->places[n], ckiti_op_store(b->rows[a->places[n]].op));
    }
}

/* An object is kept at once; what cannot be kept is given back. */
static ckit_status keep_object(batch *b, const round_arrays *a, size_t n, ckit_error *why) {
    const ckit_object *object = &a->calls[n].object;
    ckit_status        st = ckiti_op_keep_object(b->rows[a->places[n]].op, object, a->calls[n].ttl_ms, why);
    if (st == CKIT_OK) {
        answer_row(b, a->places[n]);
    }
    return st;
}

static void fail_computation(batch *b, size_t i, ckit_status st, const ckit_error *why) {
    ckit_op *op = b->rows[i].op;
    ckiti_op_count_failure(op);
    bool stands_in = ckiti_op_fall_back(op, why);
    ckiti_op_failed(op);
    if (stands_in) {
        answer_row(b, i);
    } else {
        fail_row(b, i, st, why);
    }
}

/* What this batch leads: found in the store, or computed. */
static void lead(batch *b) {
    round_arrays a = {0};
    size_t       leaders = leaders_of(b);
    size_t       done = 0;
    ckit_error   why = CKIT_ERROR_INIT;
    bool         good = leaders > 0 && arrays_init(b, &a, leaders);
    if (good) {
        look_in_store(b, &a);
    } else if (leaders > 0) {
        ckit_fail(&why, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu calls", leaders);
        for (size_t i = 0; i < b->count; i++) {
            if (b->rows[i].state == LEADS) {
                fail_row(b, i, CKIT_E_NO_MEMORY, &why);
            }
        }
    }
    size_t missing = good ? load(b, &a, &why) : 0;
    for (size_t n = 0; n < missing; n++) {
        ckit_error  one = why;
        ckit_status st = take_result(b, &a, n, &one);
        bool        object = a.calls[n].object.release != NULL;
        if (st == CKIT_OK && object) {
            st = keep_object(b, &a, n, &one);
        } else if (st == CKIT_OK) {
            a.places[done++] = a.places[n];
        }
        if (st != CKIT_OK) {
            fail_computation(b, a.places[n], st, &one);
            if (object) {
                a.calls[n].object.release(a.calls[n].object.object, a.calls[n].object.context);
            }
        }
    }
    if (missing > 0) {
        keep_results(b, &a, done);
    }
    if (leaders > 0) {
        arrays_fini(b, &a);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

static ckit_status copy_again(const ckit_function *function, const ckit_value *twin, ckit_value *out) {
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

static void answer_twins(batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state != TWIN) {
            continue;
        }
        const ckit_value *twin = &b->out[b->rows[i].twin];
        ckit_status       st = b->answers[b->rows[i].twin];
        if (st == CKIT_OK && !ckiti_shared_lend_again(twin, &b->out[i])) {
            st = twin->object != NULL ? CKIT_E_NO_MEMORY /* there was none to share it */
                                      : copy_again(b->function, twin, &b->out[i]);
        }
        if (st == CKIT_OK) {
            b->out[i].life_ms = twin->life_ms;
            b->out[i].source = twin->source;
            b->out[i].stale = twin->stale;
            end_row(b, i, CKIT_OK);
        } else {
            ckit_error why = CKIT_ERROR_INIT;
            fail_row(b, i, st, &why);
        }
    }
}

static void run(batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        begin_row(b, i);
    }
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == LEADS) {
            take_seat(b, i);
        }
    }
    lead(b);
    while (take_news(b) || leaders_of(b) > 0) {
        lead(b);
        if (take_news(b) && leaders_of(b) == 0 && !wait_for_news(b)) {
            go_alone(b);
        }
    }
    answer_twins(b);
}

static ckit_status check(const ckit_function *function, ckit_batch_loader loader, ckit_error *err) {
    if (loader == NULL && function->loader == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "this function has no loader, and none for many calls was given");
    }
    return CKIT_OK;
}

static bool batch_init(batch *b) {
    b->head_count = 8;
    while (b->head_count < 2 * b->count) {
        b->head_count *= 2;
    }
    b->rows = ckiti_alloc_zeroed(b->cache->alloc, b->count, sizeof b->rows[0]);
    b->heads = ckiti_alloc_zeroed(b->cache->alloc, b->head_count, sizeof b->heads[0]);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->mu, NULL);
    pthread_cond_init(&b->changed, &attr);
    pthread_condattr_destroy(&attr);
    return b->rows != NULL && b->heads != NULL;
}

static void batch_fini(batch *b) {
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->mu);
    ckiti_free(b->cache->alloc, b->heads, b->head_count * sizeof b->heads[0]);
    ckiti_free(b->cache->alloc, b->rows, b->count * sizeof b->rows[0]);
}

ckit_status ckit_call_many(ckit_function *function, ckit_args *const *args, size_t count, ckit_batch_loader loader,
                           void *context, ckit_value *out, ckit_status *answers, ckit_error *err) {
    ckit_error  first = CKIT_ERROR_INIT;
    ckit_status st = check(function, loader, &first);
    batch       b = {.function = function,
                     .cache = function->cache,
                     .args = args,
                     .count = count,
                     .loader = loader,
                     .context = context,
                     .out = out,
                     .answers = answers,
                     .err = &first};
    if (st == CKIT_OK && count > 0) {
        if (batch_init(&b)) {
            run(&b);
            st = first.status;
        } else {
            st = ckit_fail(&first, CKIT_E_NO_MEMORY, where, "no memory for a batch of %zu calls", count);
            for (size_t i = 0; i < count; i++) {
                answers[i] = st;
            }
        }
        batch_fini(&b);
    } else {
        for (size_t i = 0; i < count; i++) {
            answers[i] = st;
        }
    }
    if (st != CKIT_OK && err != NULL) {
        *err = first;
    }
    return st;
}
