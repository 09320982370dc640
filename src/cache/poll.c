/* The pollable driver: the same steps as a blocking call, taken by workers, answered through a queue with a
 * descriptor. */
#include "cache/call.h"
#include "cache/op.h"
#include "cache/store.h"

#include <cachekit/value.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char where[] = "poll";

/* Where an operation with a poll is. Guarded by poll->mu. */
enum {
    PLACE_HELD = 0,   /* with the caller */
    PLACE_BACKGROUND, /* a worker, the store or a flight has it */
    PLACE_READY       /* in the queue */
};

struct ckit_poll {
    ckit_cache     *cache;
    pthread_mutex_t mu; /* guards the fields below and its operations' place; a leaf */
    pthread_cond_t  returned;
    ckit_op        *first;
    ckit_op        *last;
    size_t          abandoned; /* freed by their caller while a worker had them */
    int             fd;
};

ckit_status ckit_poll_new(ckit_cache *cache, ckit_poll **out, ckit_error *err) {
    *out = NULL;
    ckit_poll *poll = ckiti_alloc_zeroed(cache->alloc, 1, sizeof *poll);
    if (poll == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for a completion queue");
    }
    poll->cache = cache;
    poll->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poll->fd < 0) {
        int reason = errno;
        ckiti_free(cache->alloc, poll, sizeof *poll);
        return ckit_fail_errno(err, CKIT_E_IO, reason, where, "no descriptor for a completion queue");
    }
    pthread_mutex_init(&poll->mu, NULL);
    pthread_cond_init(&poll->returned, NULL);
    *out = poll;
    return CKIT_OK;
}

void ckit_poll_close(ckit_poll *poll) {
    if (poll == NULL) {
        return;
    }
    pthread_mutex_lock(&poll->mu);
    while (poll->abandoned > 0) { /* each ends with its present step, which the store's timeout bounds */
        pthread_cond_wait(&poll->returned, &poll->mu);
    }
    pthread_mutex_unlock(&poll->mu);
    close(poll->fd);
    pthread_cond_destroy(&poll->returned);
    pthread_mutex_destroy(&poll->mu);
    ckiti_free(poll->cache->alloc, poll, sizeof *poll);
}

int ckit_poll_fd(const ckit_poll *poll) { return poll->fd; }

/* ---- the queue ------------------------------------------------------------------------------------------------- */

static void destroy(ckit_op *op) {
    const ckit_alloc *alloc = op->cache->alloc;
    ckiti_workers_cancel_wait(&op->cache->workers, &op->timer);
    ckiti_op_fini(op);
    ckiti_free(alloc, op, sizeof *op);
}

/* Hands an operation from the background to whoever dispatches, or ends it when its caller has freed it. May be called
 * with a flight's lock held. Returns true when the caller of this function must destroy it. */
static bool enqueue(ckit_op *op, ckit_status answer) {
    ckit_poll *poll = op->poll;
    pthread_mutex_lock(&poll->mu);
    bool cancelled = op->cancelled;
    if (!cancelled) {
        op->answer = answer;
        op->place = PLACE_READY;
        op->next = NULL;
        op->prev = poll->last;
        if (poll->last != NULL) {
            poll->last->next = op;
        } else {
            uint64_t one = 1;
            poll->first = op;
            while (write(poll->fd, &one, sizeof one) < 0 && errno == EINTR) {
            }
        }
        poll->last = op;
    }
    pthread_mutex_unlock(&poll->mu);
    return cancelled;
}

static void answer_op(ckit_op *op, ckit_status answer) {
    if (enqueue(op, answer)) {
        ckit_poll *poll = op->poll;
        destroy(op);
        pthread_mutex_lock(&poll->mu);
        poll->abandoned--;
        pthread_cond_broadcast(&poll->returned);
        pthread_mutex_unlock(&poll->mu);
    }
}

/* With the lock held. */
static void unlink_ready(ckit_poll *poll, ckit_op *op) {
    if (op->prev != NULL) {
        op->prev->next = op->next;
    } else {
        poll->first = op->next;
    }
    if (op->next != NULL) {
        op->next->prev = op->prev;
    } else {
        poll->last = op->prev;
    }
    op->place = PLACE_HELD;
}

static ckit_op *next_ready(ckit_poll *poll, const ckit_op *end, bool *last) {
    pthread_mutex_lock(&poll->mu);
    ckit_op *op = poll->first;
    if (op != NULL) {
        unlink_ready(poll, op);
        *last = op == end;
    }
    pthread_mutex_unlock(&poll->mu);
    return op;
}

size_t ckit_poll_dispatch(ckit_poll *poll) {
    uint64_t drained;
    size_t   count = 0;
    bool     last = false;
    while (read(poll->fd, &drained, sizeof drained) < 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&poll->mu);
    const ckit_op *end = poll->last; /* what arrives while we work is for the next round */
    pthread_mutex_unlock(&poll->mu);
    while (end != NULL && !last) {
        ckit_op *op = next_ready(poll, end, &last);
        if (op == NULL) {
            break;
        }
        count++;
        op->ready(op->context, op, op->answer);
    }
    pthread_mutex_lock(&poll->mu);
    if (poll->first != NULL) { /* the descriptor was drained above */
        uint64_t one = 1;
        while (write(poll->fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
    pthread_mutex_unlock(&poll->mu);
    return count;
}

/* ---- in the background ------------------------------------------------------------------------------------------ */

static ckit_op *op_of_work(ckiti_job *job) { return (ckit_op *)(void *)((char *)job - offsetof(ckit_op, work)); }

static void submit_work(ckit_op *op, uint64_t due_ms) {
    if (ckiti_workers_submit(&op->cache->workers, &op->work, due_ms) != CKIT_OK) {
        /* No worker to ask the store: the function runs without it. */
        op->phase = op->phase == CKITI_PHASE_STORE ? CKITI_PHASE_STORE : CKITI_PHASE_COMPUTE;
        if (op->phase == CKITI_PHASE_STORE) {
            op->ttl_ms = CKIT_TTL_DO_NOT_STORE;
            ckiti_op_store(op);
        }
        answer_op(op, op->phase == CKITI_PHASE_DONE ? CKIT_OK : CKIT_COMPUTE);
    }
}

static void store_answered(ckit_request *request, ckit_status status) {
    ckit_op *op = request->context;
    op->got = status;
    op->error = request->error;
    op->phase = CKITI_PHASE_OPEN;
    submit_work(op, 0);
}

/* Where the store can be asked without waiting no worker waits for it. */
static bool submit_look(ckit_op *op) {
    if (op->phase != CKITI_PHASE_LOOK || op->cache->ops->submit == NULL) {
        return false;
    }
    op->request = (ckit_request){.kind = CKIT_REQUEST_GET,
                                 .key = ckit_buf_slice(&op->key),
                                 .deadline_ms = ckiti_store_deadline(op->cache, 0),
                                 .out = &op->stored,
                                 .life_ms = CKIT_LIFE_UNKNOWN,
                                 .done = store_answered,
                                 .context = op};
    return op->cache->ops->submit(op->cache->store, &op->request, NULL) == CKIT_PENDING;
}

static void work(ckiti_job *job) {
    ckit_op *op = op_of_work(job);
    if (submit_look(op)) {
        return;
    }
    if (op->phase == CKITI_PHASE_STORE) {
        ckiti_op_store(op);
        answer_op(op, CKIT_OK);
        return;
    }
    ckit_status st = op->phase == CKITI_PHASE_OPEN ? ckiti_op_opened(op, op->got, op->request.life_ms)
                                                   : ckiti_op_advance(op);
    if (st == CKIT_PENDING) {
        submit_work(op, op->retry_at_ms);
    } else {
        if (st == CKIT_COMPUTE) {
            ckiti_count(&op->function->counters, CKITI_FN_MISSES, 1);
        }
        answer_op(op, st);
    }
}

/* A follower's seat changed: it leads, or has landed. Called with the flight's lock held, so the store is not asked
 * from here. */
static void seat_changed(ckiti_seat *seat) {
    ckit_op *op = (ckit_op *)(void *)((char *)seat - offsetof(ckit_op, seat));
    if (seat->state == CKITI_SEAT_LEADER) {
        submit_work(op, 0);
    } else {
        ckiti_value_move(&op->value, &seat->value);
        op->phase = CKITI_PHASE_DONE;
        (void)enqueue(op, CKIT_OK); /* a follower that is freed has left the flight first */
    }
}

static void waited_too_long(ckiti_job *job) {
    ckit_op *op = (ckit_op *)(void *)((char *)job - offsetof(ckit_op, timer));
    if (ckiti_flight_leave(&op->cache->flights, &op->seat)) {
        submit_work(op, 0);
    }
}

/* ---- beginning -------------------------------------------------------------------------------------------------- */

static ckit_status begin_uncached(ckit_op *op, const ckit_start *start, const ckit_error *why, ckit_op **out) {
    ckiti_say_uncached(start->function, why);
    ckiti_op_init_uncached(op, start->function);
    op->poll = start->poll;
    op->ready = start->ready;
    op->context = start->context;
    *out = op;
    return CKIT_COMPUTE;
}

static ckit_status turn_or_miss(ckit_op *op, ckit_status st) {
    if (st == CKIT_COMPUTE) {
        ckiti_count(&op->function->counters, CKITI_FN_MISSES, 1);
    }
    return st;
}

/* The pollable way from a miss in memory. */
static ckit_status begin_in_background(ckit_op *op) {
    ckit_cache *cache = op->cache;
    op->work.run = work;
    op->timer.run = waited_too_long;
    op->seat.changed = seat_changed;
    op->place = PLACE_BACKGROUND;
    if (ckiti_flight_join(&cache->flights, &op->seat, true) == CKITI_SEAT_WAITING) {
        ckiti_count(&cache->counters, CKITI_FLIGHT_WAITS, 1);
        /* Without a timer it still ends with its flight. */
        (void)ckiti_workers_submit(&cache->workers, &op->timer,
                                   ckiti_time_after(ckiti_cache_now(cache), cache->options.flight_wait_ms));
        return CKIT_PENDING;
    }
    if (cache->ops == NULL) {
        op->place = PLACE_HELD;
        return turn_or_miss(op, CKIT_COMPUTE);
    }
    if (!submit_look(op)) {
        submit_work(op, 0);
    }
    return CKIT_PENDING;
}

static ckit_status begin_missed(ckit_op *op, ckit_op **out, ckit_value *value) {
    ckit_status st = op->poll != NULL ? begin_in_background(op) : turn_or_miss(op, ckiti_op_run(op));
    if (st == CKIT_OK) { /* the blocking driver found it */
        ckiti_op_give(op, value);
        destroy(op);
    } else {
        *out = op;
    }
    return st;
}

/* A stale value is there: the first who sees it gets the ticket to refresh it. */
static void begin_stale(ckit_op *op, ckit_op **out) {
    if (ckiti_flight_join(&op->cache->flights, &op->seat, false) == CKITI_SEAT_LEADER) {
        op->phase = CKITI_PHASE_COMPUTE;
        op->work.run = work;
        *out = op;
    } else {
        destroy(op);
    }
}

ckit_status ckit_begin(const ckit_start *start, ckit_op **out, ckit_value *value, ckit_error *err) {
    ckit_args      none;
    ckit_args     *args;
    ckit_slice     packed;
    ckiti_memkey   memkey;
    uint64_t       hash;
    ckit_error     why = CKIT_ERROR_INIT;
    ckit_function *function = start->function;
    *out = NULL;
    if (start->poll != NULL && start->ready == NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "a start with a poll needs 'ready'");
    }
    ckit_status st = ckiti_call_pack(start->args, &none, &args, &packed, &why);
    ckit_status seen = st == CKIT_OK ? ckiti_op_memory(function, packed, &memkey, &hash, value) : CKIT_MISS;
    if (seen == CKIT_OK) {
        return CKIT_OK;
    }
    ckit_op *op = ckiti_alloc(function->cache->alloc, sizeof *op);
    if (op == NULL) {
        return seen == CKIT_STALE ? CKIT_STALE
                                  : ckit_fail(err, CKIT_E_NO_MEMORY, where, "no memory for an operation");
    }
    if (st == CKIT_OK && (st = ckiti_op_init(op, function, packed, &memkey, hash, &why)) != CKIT_OK) {
        ckiti_op_fini(op);
    }
    if (st != CKIT_OK) {
        return begin_uncached(op, start, &why, out);
    }
    op->poll = start->poll;
    op->ready = start->ready;
    op->context = start->context;
    if (seen == CKIT_STALE) {
        begin_stale(op, out);
        return CKIT_STALE;
    }
    return begin_missed(op, out, value);
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

static ckit_status finish_with_object(ckit_op *op, const ckit_result *result, ckit_value *out, ckit_error *err) {
    if (op->cache->ops != NULL) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "objects are kept in memory only, and this cache has a store");
    }
    ckiti_op_keep_object(op, result->object, result->ttl_ms);
    ckiti_op_give(op, out);
    return CKIT_OK;
}

static ckit_status finish_with_document(ckit_op *op, const ckit_result *result, ckit_value *out, ckit_error *err) {
    ckit_buf document;
    ckit_buf_init(&document, op->cache->alloc);
    ckit_status st = ckit_buf_append(&document, result->document);
    if (st != CKIT_OK) {
        ckit_fail(err, st, where, "no memory for a result of %zu bytes", result->document.len);
    } else {
        st = ckiti_op_result(op, &document, result->ttl_ms, err);
    }
    ckit_buf_fini(&document);
    if (st != CKIT_OK) {
        ckiti_op_failed(op);
        return st;
    }
    if (op->poll == NULL || op->cache->ops == NULL || op->ttl_ms == CKIT_TTL_DO_NOT_STORE || !op->keyed) {
        ckiti_op_store(op);
        ckiti_op_give(op, out);
        return CKIT_OK;
    }
    op->work.run = work;
    op->place = PLACE_BACKGROUND;
    submit_work(op, 0);
    return CKIT_PENDING;
}

ckit_status ckit_finish(ckit_op *op, const ckit_result *result, ckit_value *out, ckit_error *err) {
    if (op->phase != CKITI_PHASE_COMPUTE) {
        return ckit_fail(err, CKIT_E_MISUSE, where, "this operation does not wait for a result");
    }
    if (result->status != CKIT_OK) {
        ckiti_op_failed(op);
        return result->status;
    }
    return result->object != NULL ? finish_with_object(op, result, out, err)
                                  : finish_with_document(op, result, out, err);
}

void ckit_op_take(ckit_op *op, ckit_value *out) { ckiti_value_move(out, &op->value); }

const ckit_error *ckit_op_error(const ckit_op *op) { return op->error.status == CKIT_OK ? NULL : &op->error; }

/* True when the caller of ckit_op_free has it and may destroy it. */
static bool get_back(ckit_op *op) {
    ckit_poll *poll = op->poll;
    pthread_mutex_lock(&poll->mu);
    if (op->place == PLACE_READY) {
        unlink_ready(poll, op);
    }
    bool held = op->place == PLACE_HELD;
    pthread_mutex_unlock(&poll->mu);
    return held;
}

void ckit_op_free(ckit_op *op) {
    if (op == NULL) {
        return;
    }
    if (op->poll != NULL && !get_back(op)) {
        ckit_poll *poll = op->poll;
        if (!ckiti_flight_leave(&op->cache->flights, &op->seat) &&
            !ckiti_workers_cancel(&op->cache->workers, &op->work) && !get_back(op)) {
            pthread_mutex_lock(&poll->mu);
            bool background = op->place == PLACE_BACKGROUND;
            if (background) {
                op->cancelled = true;
                poll->abandoned++;
            } else if (op->place == PLACE_READY) {
                unlink_ready(poll, op);
            }
            pthread_mutex_unlock(&poll->mu);
            if (background) {
                return; /* whoever has it destroys it */
            }
        }
    }
    destroy(op);
}
