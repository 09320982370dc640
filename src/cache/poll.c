/* The pollable driver: the same steps as a blocking call, taken by workers, answered through a queue with a
 * descriptor. */
#include "cache/call.h"
#include "cache/refresh.h"
#include "cache/store.h"

#include <cachekit/value.h>

static const char where[] = "poll";

static void destroy(ckit_op *op) {
    const ckit_cache *cache = op->cache;
    ckiti_workers_cancel_wait(&op->cache->workers, &op->timer);
    ckiti_op_fini(op);
    ckiti_op_free(cache, op);
}

/* Ends an operation whose caller has freed it. */
static void end_abandoned(ckit_op *op) {
    ckit_poll     *poll = op->queued.poll;
    ckit_function *function = op->function;
    destroy(op);
    ckiti_poll_returned(poll, function);
}

static void answer_op(ckit_op *op, ckit_status answer) {
    if (!ckiti_poll_enqueue(&op->queued, answer)) {
        end_abandoned(op);
    }
}

static void deliver(ckiti_queued *queued) {
    ckit_op *op = (ckit_op *)(void *)((char *)queued - offsetof(ckit_op, queued));
    op->ready(op->context, op, queued->answer);
}

/* ---- in the background ------------------------------------------------------------------------------------------ */

/* The next steps in a worker; without one, the function runs without the store. Under the poll's lock, so that who
 * frees the operation finds it either in the workers' queue or not yet handed to it. */
static void go_on(ckit_op *op, uint64_t due_ms) {
    ckit_poll *poll = op->queued.poll;
    pthread_mutex_lock(&poll->mu);
    bool abandoned = op->queued.cancelled;
    bool queued = !abandoned && ckiti_workers_submit(&op->cache->workers, &op->work, due_ms) == CKIT_OK;
    pthread_mutex_unlock(&poll->mu);
    if (abandoned) {
        end_abandoned(op);
    } else if (!queued) {
        answer_op(op, op->background ? ckiti_refresh_put_off(op, CKITI_PAUSE_LOCKED_MS)
                                     : ckiti_op_turn_of_the_function(op));
    }
}

static void store_answered(ckit_request *request, ckit_status status) {
    ckit_op *op = request->context;
    op->got = status;
    op->error = request->error;
    op->phase = CKITI_PHASE_OPEN;
    go_on(op, 0);
}

/* Where the store can be asked without waiting no worker waits for it. */
static bool submit_look(ckit_op *op) {
    if (op->phase != CKITI_PHASE_LOOK || op->cache->ops->submit == NULL) {
        return false;
    }
    ckiti_op_begin_look(op);
    op->request = (ckit_request){.kind = CKIT_REQUEST_GET,
                                 .key = ckit_buf_slice(&op->key),
                                 .deadline_ms = ckiti_store_deadline(op->cache, 0),
                                 .out = &op->stored,
                                 .life_ms = CKIT_LIFE_UNKNOWN,
                                 .done = store_answered,
                                 .context = op};
    return op->cache->ops->submit(op->cache->store, &op->request, NULL) == CKIT_PENDING;
}

/* Something has happened to the key for which it waits. */
static void wake_early(ckiti_wait *wait) {
    ckit_op *op = (ckit_op *)(void *)((char *)wait - offsetof(ckit_op, wait));
    ckiti_workers_hurry(&op->cache->workers, &op->work);
}

static void take_steps(ckiti_job *job) {
    ckit_op    *op = ckiti_op_of_work(job);
    ckit_status st;
    ckiti_wait_end(&op->cache->waits, &op->wait);
    do {
        if (ckiti_poll_is_abandoned(&op->queued)) {
            end_abandoned(op);
            return;
        }
        if (submit_look(op)) {
            return;
        }
        st = op->phase == CKITI_PHASE_OPEN ? ckiti_op_opened(op, op->got, op->request.life_ms) : ckiti_op_advance(op);
    } while (st == CKIT_PENDING && op->retry_at_ms == 0);
    if (st == CKIT_STALE) {
        (void)ckiti_op_take_ticket(op, true);
    }
    if (st == CKIT_PENDING) {
        op->wait.wake = wake_early;
        ckiti_op_begin_wait(op);
        go_on(op, ckiti_op_was_overtaken(op) ? 0 : op->retry_at_ms);
    } else {
        answer_op(op, st);
    }
}

static void wait_too_long(ckiti_job *job) {
    ckit_op *op = (ckit_op *)(void *)((char *)job - offsetof(ckit_op, timer));
    if (ckiti_flight_leave(&op->cache->flights, &op->seat)) {
        go_on(op, 0);
    }
}

/* A follower's seat changed: it waits, leads, or has landed. Called with the flight's lock held, so the store is not
 * asked from here. */
static void seat_changed(ckiti_seat *seat) {
    ckit_op    *op = (ckit_op *)(void *)((char *)seat - offsetof(ckit_op, seat));
    ckit_cache *cache = op->cache;
    if (seat->state == CKITI_SEAT_WAITING) { /* without a timer it still ends with its flight */
        (void)ckiti_workers_submit(&cache->workers, &op->timer,
                                   ckiti_time_after(ckiti_cache_now(cache), cache->options.flight_wait_ms));
    } else if (seat->state == CKITI_SEAT_LANDED) {
        ckiti_value_move(&op->value, &seat->value);
        op->phase = CKITI_PHASE_DONE;
        (void)ckiti_poll_enqueue(&op->queued,
                                 CKIT_OK); /* who frees a follower takes it out of the flight first: it is wanted */
    } else if (cache->ops == NULL) {
        (void)ckiti_poll_enqueue(&op->queued, ckiti_op_turn_of_the_function(op));
    } else {
        go_on(op, 0);
    }
}

static void store_in_background(ckiti_job *job) {
    ckit_op *op = ckiti_op_of_work(job);
    answer_op(op, ckiti_op_store(op));
}

static void fail_in_background(ckiti_job *job) {
    ckit_op *op = ckiti_op_of_work(job);
    ckiti_op_failed(op);
    pthread_mutex_lock(&op->queued.poll->mu);
    bool abandoned = op->queued.cancelled;
    op->queued.place = CKITI_PLACE_HELD;
    pthread_mutex_unlock(&op->queued.poll->mu);
    if (abandoned) {
        end_abandoned(op);
    }
}

static void end_in_background(ckiti_job *job) { end_abandoned(ckiti_op_of_work(job)); }

/* True when a worker will do it. */
static bool leave_to_worker(ckit_op *op, void (*run)(ckiti_job *job)) {
    op->work.run = run;
    op->queued.place = CKITI_PLACE_BACKGROUND;
    if (ckiti_workers_submit(&op->cache->workers, &op->work, 0) == CKIT_OK) {
        return true;
    }
    op->queued.place = CKITI_PLACE_HELD;
    return false;
}

/* ---- beginning -------------------------------------------------------------------------------------------------- */

/* Memory's answer to a call, but none that its caller has rejected. */
static ckit_status look_in_memory(const ckit_start *start, ckit_slice packed, ckiti_memkey *memkey, uint64_t *hash,
                                  ckit_value *out, ckit_error *err) {
    bool careful = start->function->sealed || start->function->tenants;
    if (start->stale || (start->peeked && start->rejected.len == 0 && !careful)) {
        *hash = ckiti_call_name(start->function, packed, memkey);
        return CKIT_MISS;
    }
    ckit_status st;
    if (careful) {
        *hash = ckiti_call_name(start->function, packed, memkey);
        st = ckiti_careful_memory(start->function, packed, memkey, *hash, out, err);
    } else {
        st = ckiti_op_memory(start->function, packed, memkey, hash, out);
    }
    if ((st != CKIT_OK && st != CKIT_STALE) || start->rejected.len == 0 ||
        !ckit_slice_equal(out->data, start->rejected)) {
        return st;
    }
    (void)ckiti_l1_remove(start->function->record->ns->l1, ckiti_memkey_slice(memkey), *hash);
    ckit_value_fini(out);
    return CKIT_MISS;
}

/* Who hears of it. */
static void belong_to(ckit_op *op, ckit_poll *poll, ckit_op_ready ready, void *context) {
    op->queued.poll = poll;
    op->queued.deliver = deliver;
    op->ready = ready;
    op->context = context;
}

static ckit_status begin_uncached(ckit_op *op, const ckit_start *start, const ckit_error *why, ckit_op **out) {
    ckiti_say_uncached(start->function, why);
    ckiti_op_init_uncached(op, start->function);
    belong_to(op, start->poll, start->ready, start->context);
    *out = op;
    return CKIT_COMPUTE;
}

/* The pollable way from a miss in memory. After CKIT_PENDING the operation may be dispatched, and gone. */
static ckit_status begin_in_background(ckit_op *op) {
    ckit_cache *cache = op->cache;
    op->work.run = take_steps;
    op->timer.run = wait_too_long;
    op->seat.changed = seat_changed;
    op->queued.place = CKITI_PLACE_BACKGROUND;
    if (ckiti_flight_join(&cache->flights, &op->seat, true) == CKITI_SEAT_WAITING) {
        ckiti_count(&cache->counters, CKITI_FLIGHT_WAITS, 1);
        return CKIT_PENDING;
    }
    if (ckiti_op_is_fresh_by_now(op)) {
        op->queued.place = CKITI_PLACE_HELD;
        ckiti_count(&op->function->counters, CKITI_FN_L1_HITS, 1);
        return CKIT_OK;
    }
    if (cache->ops == NULL || (ckiti_guard_shuts(cache->guard) && !ckiti_op_minds_failures(op))) {
        op->queued.place = CKITI_PLACE_HELD;
        return ckiti_op_turn_of_the_function(op);
    }
    if (!submit_look(op)) {
        go_on(op, 0);
    }
    return CKIT_PENDING;
}

static ckit_status begin_missed(ckit_op *op, ckit_op **out, ckit_value *value, ckit_error *err) {
    *out = op; /* first: another thread may dispatch it before this one returns */
    ckit_status st = op->queued.poll != NULL ? begin_in_background(op) : ckiti_op_run(op);
    if (st == CKIT_OK || st == CKIT_STALE) {
        ckiti_op_give(op, value);
    }
    if (st >= CKIT_E_FIRST && st != CKIT_E_CANCELLED && err != NULL) {
        *err = op->error;
    }
    if (st == CKIT_OK || st >= CKIT_E_FIRST || (st == CKIT_STALE && !ckiti_op_take_ticket(op, false))) {
        *out = NULL;
        destroy(op);
    }
    return st == CKIT_E_CANCELLED ? ckit_fail(err, st, where, "the caller waits no longer") : st;
}

/* A stale value is there: the first who sees it gets the ticket to refresh it. */
static ckit_status begin_stale(ckit_op *op, bool elsewhere, ckit_op **out) {
    op->seat.elsewhere = elsewhere;
    if (ckiti_flight_join(&op->cache->flights, &op->seat, false) == CKITI_SEAT_LEADER &&
        !ckiti_op_is_fresh_by_now(op)) {
        ckiti_op_begin_refresh(op);
        *out = op;
    } else {
        destroy(op);
    }
    return CKIT_STALE;
}

void ckit_start_init(ckit_start *start, size_t struct_size) {
    memset(start, 0, struct_size);
    start->struct_size = struct_size;
}

static ckit_status check_start(const ckit_start *start, const ckit_value *value, ckit_error *err) {
    if (start->function == NULL || (value == NULL && !start->stale)) {
        return ckiti_there_is_no(err, where, start->function == NULL ? "function" : "place for the value");
    }
    if (start->poll != NULL && start->ready == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "a start with a poll needs 'ready'");
    }
    if (start->poll != NULL && start->poll->inherited) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "this poll was opened before fork: a child opens its own");
    }
    return CKIT_OK;
}

static ckit_status begin(const ckit_start *start, ckiti_joined *joined, ckit_op **out, ckit_value *value,
                         ckit_error *err) {
    ckit_args      none;
    ckit_args     *args;
    ckit_slice     packed;
    ckiti_memkey   memkey;
    uint64_t       hash;
    ckit_error     why = CKIT_ERROR_INIT;
    ckit_function *function = start->function;
    ckit_status    st = ckiti_call_pack(start->args, &none, &args, &packed, &why);
    st = st == CKIT_OK ? ckiti_call_check(function, args, &why) : st;
    if (st != CKIT_OK && (st != CKIT_E_KEY_ARGUMENT || function->interop)) {
        if (err != NULL) {
            *err = why;
        }
        return st;
    }
    if (st == CKIT_OK && function->tenants) {
        st = ckiti_call_join(function, args, joined, &packed, &why);
    }
    ckit_status seen = st == CKIT_OK ? look_in_memory(start, packed, &memkey, &hash, value, err) : CKIT_MISS;
    if (seen == CKIT_OK || seen >= CKIT_E_FIRST) {
        return seen;
    }
    seen = start->stale ? CKIT_STALE : seen;
    if (seen == CKIT_STALE && st == CKIT_OK && !ckiti_refresh_is_due(function, &memkey, hash)) {
        return CKIT_STALE;
    }
    ckit_op *op = ckiti_op_new(function->cache, st == CKIT_OK ? &memkey : NULL);
    if (op == NULL) {
        return seen == CKIT_STALE ? CKIT_STALE : ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for an operation");
    }
    if (st == CKIT_OK && (st = ckiti_op_init(op, function, packed, &memkey, hash, &why)) != CKIT_OK) {
        ckiti_op_fini(op);
    }
    if (st != CKIT_OK && seen == CKIT_STALE) {
        ckiti_op_free(function->cache, op);
        return CKIT_STALE;
    }
    if (st != CKIT_OK) {
        return begin_uncached(op, start, &why, out);
    }
    belong_to(op, start->poll, start->ready, start->context);
    op->stop = start->stop;
    if (start->rejected.len > 0) {
        ckiti_op_reject(op, start->rejected, start->keep_rejected);
    }
    return seen == CKIT_STALE ? begin_stale(op, start->stale, out) : begin_missed(op, out, value, err);
}

ckit_status ckit_begin(const ckit_start *given, ckit_op **out, ckit_value *value, ckit_error *err) {
    ckiti_joined joined = {{0}};
    ckit_start   start;
    if (out == NULL) {
        return ckiti_there_is_no(err, where, "place for the operation");
    }
    *out = NULL;
    if (!ckiti_take_sized(&start, sizeof start, given)) {
        return ckiti_fail_unsized(err, where, given, "CKIT_START_INIT");
    }
    ckit_status st = check_start(&start, value, err);
    if (st == CKIT_OK) {
        st = begin(&start, &joined, out, value, err);
    }
    ckiti_call_join_end(&joined);
    return st;
}

/* ---- claiming a refresh ------------------------------------------------------------------------------------------ */

static ckit_status check_claim(const ckit_op *op, const ckit_poll *poll, ckit_op_ready ready, ckit_error *err) {
    if (op == NULL) {
        return ckiti_there_is_no(err, where, "operation");
    }
    if (!op->background || op->claimed || op->phase != CKITI_PHASE_COMPUTE) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "this operation is no ticket for a refresh, or has been claimed");
    }
    if (poll == NULL) {
        return CKIT_OK;
    }
    if (ready == NULL || poll->inherited) {
        return ckit_fail(err, CKIT_E_MISUSE, where,
                         ready == NULL ? "a claim with a poll needs 'ready'"
                                       : "this poll was opened before fork: a child opens its own");
    }
    return op->queued.poll == NULL || op->queued.poll == poll
               ? CKIT_OK
               : ckit_fail(err, CKIT_E_MISUSE, where, "this ticket has another poll");
}

ckit_status ckit_op_claim(ckit_op *op, ckit_poll *poll, ckit_op_ready ready, void *context, ckit_error *err) {
    ckit_status st = check_claim(op, poll, ready, err);
    if (st != CKIT_OK) {
        return st;
    }
    ckit_value_fini(&op->value); /* a stale one that nobody has taken */
    if (poll != NULL) {
        belong_to(op, poll, ready, context);
    }
    if (!ckiti_is_pollable(&op->queued)) {
        return ckiti_refresh_claim(op);
    }
    st = ckiti_refresh_begin_claim(op);
    if (st == CKIT_PENDING) {
        op->work.run = take_steps;
        op->queued.place = CKITI_PLACE_BACKGROUND;
        if (!submit_look(op)) {
            go_on(op, 0);
        }
    }
    return st;
}

void ckit_op_move_here(ckit_op *op) {
    if (op != NULL) {
        ckiti_flight_move_here(&op->cache->flights, &op->seat);
    }
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

/* Lets the store's lock go (in the background, where nothing may wait) and hands the flight over. */
static void end_as_failed(ckit_op *op) {
    op->phase = CKITI_PHASE_DONE;
    if (!op->locked || !ckiti_is_pollable(&op->queued) || !leave_to_worker(op, fail_in_background)) {
        ckiti_op_failed(op);
    }
}

static ckit_status finish_with_failure(ckit_op *op, ckit_status status, ckit_value *out, ckit_error *err) {
    ckit_error none = CKIT_ERROR_INIT;
    err = err != NULL ? err : &none;
    if (err->status != status) { /* else the function has told its story there */
        ckit_fail(err, status, "function", "the function failed");
    }
    op->error = *err;
    ckiti_op_count_failure(op);
    bool stands_in = ckiti_op_fall_back(op, err);
    end_as_failed(op);
    if (!stands_in) {
        return status;
    }
    ckiti_op_give(op, out);
    return CKIT_STALE;
}

static ckit_status finish_with_object(ckit_op *op, const ckit_result *result, ckit_value *out, ckit_error *err) {
    ckit_status st = ckiti_check_object(op->function, result->object, err);
    if (st == CKIT_OK) {
        st = ckiti_op_keep_object(op, result->object, result->ttl_ms, err);
    }
    if (st == CKIT_OK) {
        ckiti_op_give(op, out);
    }
    return st;
}

static ckit_status finish_with_document(ckit_op *op, const ckit_result *result, ckit_value *out, ckit_error *err) {
    ckit_buf document;
    ckit_buf_init(&document, ckiti_plain_alloc(op->function));
    ckit_status st = ckit_buf_append(&document, result->document);
    if (st != CKIT_OK) {
        ckit_fail(&op->error, st, where, "no memory for a result of %zu bytes", result->document.len);
    } else {
        st = ckiti_op_result(op, &document, result->ttl_ms, &op->error);
    }
    ckit_buf_fini(&document);
    if (st != CKIT_OK) {
        if (err != NULL) {
            *err = op->error;
        }
        ckiti_op_count_failure(op);
        end_as_failed(op);
        return st;
    }
    bool asks_store = op->locked || (op->cache->ops != NULL && op->keyed && op->ttl_ms != CKIT_TTL_DO_NOT_STORE);
    if (!ckiti_is_pollable(&op->queued) || !asks_store) {
        st = ckiti_op_store(op);
    } else if (leave_to_worker(op, store_in_background)) {
        return CKIT_PENDING;
    } else {
        st = ckiti_op_keep_without_store(op);
    }
    if (st == CKIT_OK) {
        ckiti_op_give(op, out);
    } else if (err != NULL) {
        *err = op->error;
    }
    return st;
}

void ckit_result_init(ckit_result *result, size_t struct_size) {
    memset(result, 0, struct_size);
    result->struct_size = struct_size;
}

ckit_status ckit_finish(ckit_op *op, const ckit_result *given, ckit_value *out, ckit_error *err) {
    ckit_result result;
    if (!ckiti_take_sized(&result, sizeof result, given)) {
        return ckiti_fail_unsized(err, where, given, "CKIT_RESULT_INIT");
    }
    if (op == NULL || op->phase != CKITI_PHASE_COMPUTE) {
        return op == NULL ? ckiti_there_is_no(err, where, "operation")
                          : ckit_fail(err, CKIT_E_MISUSE, where, "this operation does not wait for a result");
    }
    ckit_value_fini(&op->value); /* a stale one that nobody has taken */
    if (result.status != CKIT_OK) {
        return finish_with_failure(op, result.status, out, err);
    }
    return result.object != NULL ? finish_with_object(op, &result, out, err)
                                 : finish_with_document(op, &result, out, err);
}

bool ckit_op_computes(const ckit_op *op) { return op != NULL && op->phase == CKITI_PHASE_COMPUTE; }

ckit_status ckit_op_overdue(ckit_op *op, bool hard, ckit_value *out, ckit_error *err) {
    return op == NULL || out == NULL ? ckiti_there_is_no(err, where, op == NULL ? "operation" : "place for the value")
                                     : ckiti_op_overdue(op, hard, out, err);
}

void ckit_op_take(ckit_op *op, ckit_value *out) {
    if (op != NULL && out != NULL) {
        ckiti_value_move(out, &op->value);
    }
}

const ckit_error *ckit_op_error(const ckit_op *op) {
    return op == NULL || op->error.status == CKIT_OK ? NULL : &op->error;
}

/* In a forked child: its caller has freed it, and the parent ends its own. */
static void end_left_behind(ckiti_job *job) {
    ckit_op *op = ckiti_op_of_work(job);
    op->locked = false; /* the parent's to let go */
    destroy(op);
}

/* Letting a lock of the store go takes time. */
static bool leave_end_to_worker(ckit_op *op) {
    ckit_poll     *poll = op->queued.poll;
    ckit_function *function = op->function;
    ckiti_poll_leave(poll, function);
    op->work.dropped = end_left_behind;
    if (leave_to_worker(op, end_in_background)) {
        return true;
    }
    ckiti_poll_returned(poll, function);
    return false;
}

void ckit_op_free(ckit_op *op) {
    if (op == NULL) {
        return;
    }
    if (ckiti_is_pollable(&op->queued)) {
        bool left_flight = ckiti_flight_leave(&op->cache->flights, &op->seat);
        if (!ckiti_poll_reclaim(&op->queued, op->function, left_flight, &op->work, false) ||
            (op->locked && leave_end_to_worker(op))) {
            return;
        }
    } else if (op->queued.poll != NULL) {
        ckiti_poll_reclaim_inherited(&op->queued);
        op->locked = false; /* the parent's to let go */
    }
    destroy(op);
}
