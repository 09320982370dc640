/* The blocking driver of a call. */
#include "cache/call.h"
#include "cache/apart.h"
#include "cache/refresh.h"
#include "format/args.h"

#include <cachekit/value.h>

static const char where[] = "function";

/* ---- the blocking driver ------------------------------------------------------------------------------------- */

/* Not before retry_at_ms, but no longer than `most_ms`. */
static void pause_until(ckit_op *op, uint64_t retry_at_ms, uint64_t most_ms) {
    uint64_t        left = ckiti_time_left(ckiti_cache_now(op->cache), retry_at_ms);
    struct timespec until = ckiti_real_time_in(left < most_ms ? left : most_ms);
    op->wait.cond = op->seat.wake; /* nobody waits for the flight any more */
    ckiti_op_begin_wait(op);
    if (!ckiti_op_was_overtaken(op)) { /* else something has happened since the look */
        ckiti_wait_pause(&op->cache->waits, &op->wait, &until);
    }
    ckiti_wait_end(&op->cache->waits, &op->wait);
    op->wait.cond = NULL;
}

static bool is_told_to_stop(ckit_op *op) {
    op->stopped = op->stop != NULL && op->stop(op->context);
    return op->stopped;
}

static ckiti_seat_state wait_in_line(ckit_op *op, uint64_t left) {
    ckiti_seat_state state;
    do {
        uint64_t span = op->stop != NULL && left > CKITI_ASK_EVERY_MS ? CKITI_ASK_EVERY_MS : left;
        state = ckiti_flight_wait(&op->cache->flights, &op->seat, span);
        left -= span;
    } while (state == CKITI_SEAT_WAITING && left > 0 && !is_told_to_stop(op));
    return state;
}

/* The other call takes longer than this one may wait: leaves it, with op->value or op->error. False: this one waits on,
 * or the other one is over by now. */
static bool give_up_waiting(ckit_op *op, bool hard) {
    ckit_value  instead = CKIT_VALUE_INIT;
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = ckiti_op_overdue(op, hard, &instead, &why);
    bool        goes = st != CKIT_MISS && ckiti_flight_leave(&op->cache->flights, &op->seat);
    if (goes) {
        ckiti_value_move(&op->value, &instead);
        op->error = why;
    }
    ckit_value_fini(&instead);
    return goes;
}

static ckit_status after_all(const ckit_op *op) { return op->seat.state == CKITI_SEAT_LANDED ? CKIT_OK : CKIT_COMPUTE; }

/* Without the thread of a run with a limit: the other one may be waiting for that. */
static ckiti_seat_state wait_aside(ckit_op *op, uint64_t left) {
    ckiti_workers   *aside = ckiti_apart_step_aside();
    ckiti_seat_state state = wait_in_line(op, left);
    ckiti_apart_step_back(aside);
    return state;
}

/* Waits for another call of the same key. CKIT_OK with the value, CKIT_COMPUTE: this call leads (or goes alone), or
 * CKIT_E_CANCELLED. */
static ckit_status follow(ckit_op *op) {
    ckit_cache *cache = op->cache;
    ckiti_count(&cache->counters, CKITI_FLIGHT_WAITS, 1);
    uint64_t most = cache->options.flight_wait_ms, soft = op->function->soft_limit_ms, waited = 0;
    uint64_t hard = op->function->hard_limit_ms;
    bool     is_hard = hard != 0 && hard < most;
    most = is_hard ? hard : most;
    ckiti_seat_state state = CKITI_SEAT_WAITING;
    if (soft != 0 && soft < most) {
        waited = soft;
        state = wait_aside(op, soft);
        if (state == CKITI_SEAT_WAITING && !op->stopped && give_up_waiting(op, false)) {
            return CKIT_OK;
        }
    }
    state = state == CKITI_SEAT_WAITING && !op->stopped ? wait_aside(op, most - waited) : state;
    if (op->stopped) { /* out of the line, before what it waits with is gone */
        (void)ckiti_flight_leave(&cache->flights, &op->seat);
        return CKIT_E_CANCELLED;
    }
    if (state == CKITI_SEAT_WAITING && is_hard) { /* what it gets may be the result itself, just in time */
        return give_up_waiting(op, true) ? op->error.status : after_all(op);
    }
    if (state == CKITI_SEAT_WAITING && ckiti_flight_leave(&cache->flights, &op->seat)) {
        ckiti_log(cache->log, CKIT_LOG_WARNING, "cache",
                  "another call of the same key took more than %u ms: this one "
                  "computes too",
                  cache->options.flight_wait_ms);
        return CKIT_COMPUTE;
    }
    return after_all(op);
}

/* How long a call waits for another process that runs the function: as long as its limits. Real time. */
typedef struct patience {
    uint64_t began_ms;
    bool     soft_is_over;
} patience;

static bool waits_for_the_hard_limit(const ckit_op *op, const patience *p) {
    return p->soft_is_over || op->function->soft_limit_ms == 0;
}

static uint64_t patience_left(const ckit_op *op, const patience *p) {
    const ckit_function *function = op->function;
    uint64_t             limit = waits_for_the_hard_limit(op, p) ? function->hard_limit_ms : function->soft_limit_ms;
    return limit == 0 ? UINT64_MAX : ckiti_time_left(ckiti_system_monotonic_ms(), p->began_ms + limit);
}

/* Its limit is over: CKIT_OK with op->value, the failure with op->error, or CKIT_PENDING: it waits on. */
static ckit_status lose_patience(ckit_op *op, patience *p) {
    bool hard = waits_for_the_hard_limit(op, p);
    p->soft_is_over = true;
    atomic_store(&op->has_late, op->late.len > 0);
    ckit_status st = ckiti_op_overdue(op, hard, &op->value, &op->error);
    return st == CKIT_STALE ? CKIT_OK : st == CKIT_MISS ? CKIT_PENDING : st;
}

static ckit_status pause_or_end(ckit_op *op, patience *p) {
    pause_until(op, op->retry_at_ms, patience_left(op, p));
    if (is_told_to_stop(op)) {
        return CKIT_E_CANCELLED;
    }
    return patience_left(op, p) == 0 ? lose_patience(op, p) : CKIT_PENDING;
}

static ckit_status take_steps(ckit_op *op, patience *p) {
    ckit_status st;
    do {
        st = ckiti_op_advance(op);
        st = op->retry_at_ms != 0 ? pause_or_end(op, p) : st;
    } while (st == CKIT_PENDING);
    return st;
}

ckit_status ckiti_op_run(ckit_op *op) {
    patience       p = {.began_ms = ckiti_system_monotonic_ms()};
    pthread_cond_t wake;
    ckiti_cond_init(&wake);
    op->seat.wake = &wake;
    ckit_status st = CKIT_COMPUTE;
    if (ckiti_flight_join(&op->cache->flights, &op->seat, true) == CKITI_SEAT_WAITING) {
        st = follow(op);
    } else if (ckiti_op_is_fresh_by_now(op)) {
        ckiti_count(&op->function->counters, CKITI_FN_L1_HITS, 1);
        st = CKIT_OK;
    } else if (op->seat.reentrant) { /* the call around this one has asked the store, and holds its lock */
        (void)ckiti_op_turn_of_the_function(op);
    }
    if (st == CKIT_COMPUTE && !op->seat.reentrant) {
        st = take_steps(op, &p);
    }
    op->seat.wake = NULL;
    pthread_cond_destroy(&wake);
    return st;
}

ckit_status ckiti_finish_value(const ckit_function *function, ckit_writer *writer, ckit_error *err) {
    ckit_status st = ckit_writer_finish(writer, err);
    if (st == CKIT_OK || st == CKIT_E_NO_MEMORY || st == CKIT_E_TOO_LARGE) {
        return st;
    }
    char why[sizeof err->text];
    memcpy(why, err->text, sizeof why);
    return ckit_fail(err, CKIT_E_MISUSE, where, "the loader of %.*s did not write exactly one value: %s",
                     (int)function->record->name_len, function->record->name, why);
}

ckit_status ckiti_check_object(const ckit_function *function, const ckit_object *object, ckit_error *err) {
    const bool has_store = function->cache->ops != NULL;
    if (!has_store && !function->interop && !function->sealed && object->release != NULL) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_MISUSE, where,
                     function->sealed    ? "objects cannot be sealed: give the result as a document"
                     : has_store         ? "objects are kept in memory only, and this cache has a store"
                     : function->interop ? "values of interop mode are documents"
                                         : "an object needs 'release'");
}

/* Runs the loader; its document goes to `document`. */
static ckit_status load(ckit_function *function, const ckit_args *args, ckit_buf *document, uint64_t *ttl_ms,
                        ckit_error *err) {
    ckit_error  scratch = CKIT_ERROR_INIT;
    ckit_writer writer;
    ckit_load   load = {.args = args, .result = &writer};
    ckit_writer_init(&writer, document);
    err = err != NULL ? err : &scratch;
    ckit_status st = function->loader(function->context, &load, err);
    *ttl_ms = load.ttl_ms;
    if (st == CKIT_OK) {
        return ckiti_finish_value(function, &writer, err);
    }
    (void)ckit_writer_finish(&writer, NULL);
    if (st < CKIT_E_FIRST) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "the loader of %.*s returned %s, which is no failure",
                         (int)function->record->name_len, function->record->name, ckit_status_name(st));
    }
    if (err->status != st) {
        ckit_fail(err, st, where, "the function failed");
    }
    return st;
}

ckit_status ckiti_op_compute(ckit_op *op, const ckit_args *args, ckit_error *err) {
    ckit_buf   document;
    uint64_t   ttl_ms = 0;
    ckit_error why = CKIT_ERROR_INIT;
    ckit_buf_init(&document, ckiti_plain_alloc(op->function));
    ckit_status st = load(op->function, args, &document, &ttl_ms, &why);
    if (st == CKIT_OK) {
        st = ckiti_op_result(op, &document, ttl_ms, &why);
    }
    if (st == CKIT_OK) {
        st = ckiti_op_store(op);
        why = st == CKIT_OK ? why : op->error;
    } else {
        ckiti_op_count_failure(op);
        st = ckiti_op_fall_back(op, &why) ? CKIT_STALE : st;
        ckiti_op_failed(op);
    }
    if (st >= CKIT_E_FIRST && err != NULL) {
        *err = why;
    }
    ckit_buf_fini(&document);
    return st;
}

bool ckiti_take_sized(void *own, size_t size, const void *given) {
    size_t its = 0;
    if (given != NULL) {
        memcpy(&its, given, sizeof its);
    }
    if (its < sizeof its) {
        return false;
    }
    memset(own, 0, size);
    memcpy(own, given, its < size ? its : size);
    return true;
}

ckit_status ckiti_fail_unsized(ckit_error *err, const char *from, const void *given, const char *what) {
    return given == NULL
               ? ckit_fail(err, CKIT_E_MISUSE, from, "NULL where a struct is needed that begins with %s", what)
               : ckit_fail(err, CKIT_E_MISUSE, from, "struct_size is not set: begin with %s", what);
}

void ckiti_value_move(ckit_value *to, ckit_value *from) {
    *to = *from;
    if (from->data.ptr >= from->inline_bytes && from->data.ptr < from->inline_bytes + sizeof from->inline_bytes) {
        to->data.ptr = to->inline_bytes + (from->data.ptr - from->inline_bytes);
    }
    ckit_value_init(from);
}

void ckiti_op_give(ckit_op *op, ckit_value *out) {
    if (out != NULL) {
        ckiti_value_move(out, op->seat.state == CKITI_SEAT_LANDED ? &op->seat.value : &op->value);
    }
}

ckit_status ckiti_call_pack(ckit_args *args, ckit_args *none, ckit_args **used, ckit_slice *packed, ckit_error *err) {
    if (args == NULL) {
        ckit_args_init(none);
        args = none;
    }
    *used = args;
    return ckit_args_pack(args, packed, err);
}

ckit_status ckiti_call_check(const ckit_function *function, const ckit_args *args, ckit_error *err) {
    if (!function->interop || ckiti_args_are_interop(args)) {
        return CKIT_OK;
    }
    return ckit_fail(err, CKIT_E_MISUSE, where, "arguments of a call in interop mode are made with ckit_args_interop");
}

void ckiti_say_uncached(const ckit_function *function, const ckit_error *why) {
    ckiti_log(function->cache->log, CKIT_LOG_WARNING, "cache", "a call of %.*s runs uncached: %s %s",
              (int)function->record->name_len, function->record->name, ckit_status_code(why->status), why->text);
}

/* The function runs all the same. */
static ckit_status call_uncached(ckit_function *function, const ckit_args *args, const ckit_error *why, ckit_value *out,
                                 ckit_error *err) {
    ckit_op op;
    ckiti_say_uncached(function, why);
    ckiti_op_init_uncached(&op, function);
    ckit_status st = ckiti_op_compute(&op, args, err); /* nothing stands in for what has no key */
    if (st == CKIT_OK) {
        ckiti_op_give(&op, out);
    }
    ckiti_op_fini(&op);
    return st;
}

static bool has_limit(const ckit_function *function) {
    return function->soft_limit_ms != 0 || function->hard_limit_ms != 0;
}

static ckit_status call_slowly(ckit_function *function, const ckit_args *args, ckit_slice packed,
                               const ckiti_memkey *memkey, uint64_t hash, bool refresh, ckit_value *out,
                               ckit_error *err) {
    ckit_op     op;
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st;
    if (has_limit(function) && !refresh) {
        bool is_stale = false;
        st = ckiti_call_in_time(function, args, packed, memkey, hash, &is_stale, out, err);
        if (is_stale) {
            ckiti_refresh_in_background(function, args, packed, memkey, hash);
        }
        if (st != CKIT_MISS) {
            return st;
        }
    }
    st = ckiti_op_init(&op, function, packed, memkey, hash, &why);
    if (st != CKIT_OK) {
        ckiti_op_fini(&op);
        return call_uncached(function, args, &why, out, err);
    }
    op.refresh = refresh;
    if (refresh) {
        ckiti_op_look_for_locked(&op);
    }
    st = refresh ? CKIT_COMPUTE : ckiti_op_run(&op);
    bool found_stale = st == CKIT_STALE;
    if (st == CKIT_COMPUTE) {
        st = ckiti_op_compute(&op, args, err);
        st = st == CKIT_STALE ? CKIT_OK : st;
    } else if (st >= CKIT_E_FIRST && err != NULL) {
        *err = op.error;
    }
    if (st == CKIT_OK || found_stale) {
        ckiti_op_give(&op, out);
    }
    ckiti_op_fini(&op);
    if (found_stale) {
        ckiti_refresh_in_background(function, args, packed, memkey, hash);
        st = CKIT_OK;
    }
    return st;
}

/* The arguments could not be packed: asks again for the reason, which a hit has no time to make room for. Arguments
 * that are complete and only make no key run the function uncached. */
static ckit_status call_without_key(ckit_function *function, ckit_args *args, ckit_value *out, ckit_error *err) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_slice  packed;
    ckit_status st = ckit_args_pack(args, &packed, &why);
    if (st != CKIT_E_KEY_ARGUMENT ||
        function->interop) { /* what is missing is no argument that the function would see */
        if (err != NULL) {
            *err = why;
        }
        return st;
    }
    return call_uncached(function, args, &why, out, err);
}

/* What the ordinary look into memory does not see: sealed values, and those of tenants. */
static ckit_status call_carefully(ckit_function *function, const ckit_args *args, ckit_slice packed, bool refresh,
                                  ckit_value *out, ckit_error *err) {
    ckiti_joined joined;
    ckiti_memkey memkey;
    ckit_error   why = CKIT_ERROR_INIT;
    ckit_status  st = ckiti_call_join(function, args, &joined, &packed, &why);
    if (st != CKIT_OK) {
        ckiti_call_join_end(&joined);
        return call_uncached(function, args, &why, out, err);
    }
    uint64_t hash = ckiti_call_name(function, packed, &memkey);
    st = refresh ? CKIT_MISS : ckiti_careful_memory(function, packed, &memkey, hash, out, err);
    if (st == CKIT_STALE) {
        ckiti_refresh_in_background(function, args, packed, &memkey, hash);
        st = CKIT_OK;
    } else if (st == CKIT_MISS) {
        st = call_slowly(function, args, packed, &memkey, hash, refresh, out, err);
    }
    ckiti_call_join_end(&joined);
    return st;
}

static __attribute__((noinline, cold)) ckit_status refuse_call(const ckit_function *function, ckit_error *err) {
    return function == NULL ? ckiti_there_is_no(err, where, "function")
           : function->loader == NULL
               ? ckit_fail(err, CKIT_E_MISUSE, where, "this function has no loader: use ckit_begin")
               : ckiti_there_is_no(err, where, "place for the value");
}

ckit_status ckit_call(ckit_function *function, ckit_args *args, ckit_value *out, ckit_error *err) {
    ckit_args    none;
    ckit_slice   packed;
    ckiti_memkey memkey;
    uint64_t     hash;
    if (function == NULL || function->loader == NULL || out == NULL) {
        return refuse_call(function, err);
    }
    if (out->release != NULL) {
        ckit_value_fini(out);
    }
    if (ckiti_call_pack(args, &none, &args, &packed, NULL) != CKIT_OK) {
        return call_without_key(function, args, out, err);
    }
    ckit_status st = ckiti_op_memory(function, packed, &memkey, &hash, out);
    if (st == CKIT_OK) {
        return st;
    }
    if (st == CKIT_STALE) {
        ckiti_refresh_in_background(function, args, packed, &memkey, hash);
        return CKIT_OK;
    }
    st = ckiti_call_check(function, args, err);
    if (st != CKIT_OK) {
        return st;
    }
    return function->sealed || function->tenants ? call_carefully(function, args, packed, false, out, err)
                                                 : call_slowly(function, args, packed, &memkey, hash, false, out, err);
}

ckit_status ckit_refresh(ckit_function *function, ckit_args *args, ckit_value *out, ckit_error *err) {
    ckit_args    none;
    ckit_slice   packed;
    ckiti_memkey memkey;
    if (function == NULL || function->loader == NULL) {
        return refuse_call(function, err);
    }
    if (ckiti_call_pack(args, &none, &args, &packed, NULL) != CKIT_OK) {
        return call_without_key(function, args, out, err);
    }
    ckit_status st = ckiti_call_check(function, args, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (function->tenants) {
        return call_carefully(function, args, packed, true, out, err);
    }
    uint64_t hash = ckiti_call_name(function, packed, &memkey);
    return call_slowly(function, args, packed, &memkey, hash, true, out, err);
}
