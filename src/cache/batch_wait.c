/* Many calls as one: flights that others lead, and locks that others hold. */
#include "cache/batch.h"

#include "cache/apart.h"
#include "cache/refresh.h"

#include <cachekit/value.h>

#define PACE 4u /* a batch that waits for locks asks the store for a fifth of its time at most */

/* Called with a flight's lock held, or the waits'. */
static void tell(ckit_batch *b, ckit_op *op, ckiti_seat_state what) {
    pthread_mutex_lock(&b->mu);
    op->news = what;
    b->news = true;
    pthread_cond_signal(&b->changed);
    if (b->queued.poll != NULL) {
        ckiti_workers_hurry(&b->cache->workers, &b->work);
    }
    pthread_mutex_unlock(&b->mu); /* last: the batch may end with it */
}

static void seat_changed(ckiti_seat *seat) {
    ckit_op *op = (ckit_op *)(void *)((char *)seat - offsetof(ckit_op, seat));
    if (seat->state != CKITI_SEAT_WAITING) {
        tell(op->context, op, seat->state);
    }
}

/* Something has happened to a key whose lock somebody holds. */
static void wake_early(ckiti_wait *wait) {
    ckit_op *op = (ckit_op *)(void *)((char *)wait - offsetof(ckit_op, wait));
    tell(op->context, op, CKITI_SEAT_LEADER);
}

void ckiti_batch_take_seat(ckit_batch *b, size_t i) {
    ckit_op *op = b->rows[i].op;
    op->context = b;
    op->seat.changed = seat_changed;
    op->seat.blocks = b->queued.poll == NULL;
    op->wait.wake = wake_early;
    op->news = CKITI_SEAT_WAITING;
    if (ckiti_flight_join(&b->cache->flights, &op->seat, true) == CKITI_SEAT_WAITING) {
        ckiti_count(&b->cache->counters, CKITI_FLIGHT_WAITS, 1);
        b->rows[i].state = CKITI_ROW_FOLLOWS;
    } else if (ckiti_op_is_fresh_by_now(op)) {
        ckiti_count(&b->function->counters, CKITI_FN_L1_HITS, 1);
        ckiti_batch_answer(b, i);
    } else if (op->seat.reentrant) { /* the call around this one has asked the store */
        (void)ckiti_op_turn_of_the_function(op);
        b->rows[i].state = CKITI_ROW_DUE;
    }
}

void ckiti_batch_take_ticket(ckit_batch *b, size_t i) {
    ckit_op *op = b->rows[i].op;
    op->context = b;
    op->seat.changed = seat_changed;
    op->seat.elsewhere = true;
    if (ckiti_flight_join(&b->cache->flights, &op->seat, false) != CKITI_SEAT_LEADER) {
        ckiti_batch_end(b, i, CKIT_MISS);
    } else if (ckiti_op_is_fresh_by_now(op)) {
        ckiti_batch_answer(b, i);
    } else {
        ckiti_op_begin_refresh(op);
        ckiti_batch_took(b, i, ckiti_refresh_begin_claim(op));
    }
}

void ckiti_batch_move_seats(ckit_batch *b, void (*move)(ckiti_flights *flights, ckiti_seat *seat)) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].op != NULL && b->rows[i].op->keyed) {
            move(&b->cache->flights, &b->rows[i].op->seat);
        }
    }
}

bool ckiti_batch_has_news(ckit_batch *b) {
    pthread_mutex_lock(&b->mu);
    bool news = b->news;
    pthread_mutex_unlock(&b->mu);
    return news;
}

/* Takes what has landed, and the lead where it was handed over. */
void ckiti_batch_take_news(ckit_batch *b) {
    pthread_mutex_lock(&b->mu);
    bool any = b->news;
    b->news = false;
    pthread_mutex_unlock(&b->mu);
    for (size_t i = 0; any && i < b->count; i++) {
        if (b->rows[i].state != CKITI_ROW_FOLLOWS) {
            continue;
        }
        pthread_mutex_lock(&b->mu);
        ckiti_seat_state news = b->rows[i].op->news;
        pthread_mutex_unlock(&b->mu);
        if (news == CKITI_SEAT_LANDED) {
            ckiti_batch_answer(b, i);
        } else if (news == CKITI_SEAT_LEADER) {
            b->rows[i].state = CKITI_ROW_LEADS;
        }
        b->follow_until_ms = news != CKITI_SEAT_WAITING ? 0 : b->follow_until_ms;
    }
    ckiti_batch_sweep(b);
}

uint64_t ckiti_batch_now(const ckit_batch *b) {
    return b->queued.poll != NULL ? ckiti_cache_now(b->cache) : ckiti_system_monotonic_ms();
}

void ckiti_batch_leave_others(ckit_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == CKITI_ROW_FOLLOWS && ckiti_flight_leave(&b->cache->flights, &b->rows[i].op->seat)) {
            b->rows[i].state = CKITI_ROW_LEADS;
        }
    }
}

/* Nobody has waited longer for what these others compute: it is computed here too. */
static void go_alone(ckit_batch *b) {
    ckiti_log(b->cache->log, CKIT_LOG_WARNING, "cache",
              "another call of the same key took more than %u ms: this one computes too",
              b->cache->options.flight_wait_ms);
    ckiti_batch_leave_others(b);
}

/* Something has happened to the key of one that waits for its lock. */
static bool is_woken(ckit_batch *b, const ckit_op *op) {
    pthread_mutex_lock(&b->mu);
    bool woken = op->news != CKITI_SEAT_WAITING;
    pthread_mutex_unlock(&b->mu);
    return woken;
}

void ckiti_batch_resume(ckit_batch *b) {
    bool over = ckiti_batch_now(b) >= b->pause_until_ms;
    ckiti_batch_take_news(b); /* first: what happens from now on ends the next pause */
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == CKITI_ROW_WAITS && (over || is_woken(b, b->rows[i].op))) {
            ckiti_wait_end(&b->cache->waits, &b->rows[i].op->wait);
            b->rows[i].state = CKITI_ROW_LEADS;
        }
    }
    if (b->follow_until_ms != 0 && ckiti_batch_now(b) >= b->follow_until_ms) {
        b->follow_until_ms = 0;
        go_alone(b);
    }
}

/* Until when one waits for its lock, unless it is woken. */
static uint64_t begin_wait(ckit_batch *b, ckit_op *op, uint64_t now, uint64_t cache_now) {
    if (!op->wait.listed) {
        pthread_mutex_lock(&b->mu);
        op->news = CKITI_SEAT_WAITING;
        pthread_mutex_unlock(&b->mu);
        ckiti_op_begin_wait(op);
    }
    uint64_t left = ckiti_time_left(cache_now, op->retry_at_ms), pace = PACE * b->asked_ms;
    uint64_t end = ckiti_time_left(cache_now, op->lock_deadline);
    pace = pace < end ? pace : end;         /* the wait is no longer than it may be */
    return ckiti_op_was_overtaken(op) ? now /* something has happened since the look */
                                      : ckiti_time_after(now, left > pace ? left : pace);
}

uint64_t ckiti_batch_begin_pause(ckit_batch *b) {
    uint64_t now = ckiti_batch_now(b), cache_now = ckiti_cache_now(b->cache), until = UINT64_MAX;
    for (size_t i = 0; i < b->count; i++) {
        if (b->rows[i].state == CKITI_ROW_FOLLOWS && b->follow_until_ms == 0) {
            b->follow_until_ms = ckiti_time_after(now, b->cache->options.flight_wait_ms);
        }
        if (b->rows[i].state == CKITI_ROW_WAITS) {
            uint64_t due = begin_wait(b, b->rows[i].op, now, cache_now);
            until = due < until ? due : until;
        }
    }
    b->pause_until_ms = until;
    return b->follow_until_ms != 0 && b->follow_until_ms < until ? b->follow_until_ms : until;
}

static bool pause_for(ckit_batch *b, uint64_t span_ms) {
    struct timespec until = ckiti_real_time_in(span_ms);
    int             late = 0;
    pthread_mutex_lock(&b->mu);
    while (!b->news && late == 0) {
        late = pthread_cond_timedwait(&b->changed, &b->mu, &until);
    }
    bool news = b->news;
    pthread_mutex_unlock(&b->mu);
    return news;
}

bool ckiti_batch_pause(ckit_batch *b) {
    uint64_t       until_ms = ckiti_batch_begin_pause(b), left;
    bool           news = false, stopped = false;
    ckiti_workers *aside = ckiti_apart_step_aside(); /* others may be waiting for this thread */
    while (!news && !stopped && (left = ckiti_time_left(ckiti_system_monotonic_ms(), until_ms)) > 0) {
        news = pause_for(b, b->stop != NULL && left > CKITI_ASK_EVERY_MS ? CKITI_ASK_EVERY_MS : left);
        stopped = b->stop != NULL && b->stop(b->context);
    }
    ckiti_apart_step_back(aside);
    return !stopped;
}
