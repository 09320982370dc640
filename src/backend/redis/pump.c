/* Calls that nobody waits for: one thread sends and reads for all of them. It sleeps while nothing is under way; while
 * something is, whatever is handed over meanwhile goes out with the next batch, without a system call of its own. */
#include "channel.h"

#include "base/clock.h"
#include "failure.h"

#include <signal.h>

#define TICK_MS 200u /* how long it waits for the server at a time */

ckit_status ckiti_redis_pump_init(ckiti_redis_pump *pump, const ckiti_redis_dial *dial, ckiti_redis_backoff *backoff) {
    pump->made = true;
    pump->ready = pump->idle = pump->stop = false;
    pump->expires_ms = UINT64_MAX;
    pump->retries = dial->address->retries;
    pump->retry_late = dial->address->retry_on_timeout;
    pthread_cond_init(&pump->work, NULL);
    return ckiti_redis_channel_init(&pump->channel, dial, backoff);
}

/* ---- calls that end without an answer, or once more -------------------------------------------------------------- */

static void repeat(ckiti_redis_pump *pump, ckiti_redis_call *list) {
    ckiti_redis_channel *ch = &pump->channel;
    const uint64_t       now = ckiti_system_monotonic_ms();
    while (list != NULL) {
        ckiti_redis_call *call = list;
        ckit_error       *err = call->err;
        list = call->next;
        bool wanted = ckiti_redis_call_repeats(call) && call->attempts++ < pump->retries &&
                      (call->status != CKIT_E_TIMEOUT || pump->retry_late) && call->until_ms > now;
        if (wanted) {
            ckiti_redis_call_begin(call);
            call->began_ms = now;
            pthread_mutex_lock(&ch->lock);
            ckit_status st = ckiti_redis_channel_queue(ch, call, err);
            pthread_mutex_unlock(&ch->lock);
            if (st == CKIT_OK) {
                continue;
            }
            call->status = st;
        }
        call->finish(call);
    }
}

static void break_off(ckiti_redis_pump *pump, const ckit_error *why, bool unsent) {
    ckiti_redis_woken woken = 0;
    ckiti_redis_call *again = NULL;
    ckiti_redis_channel_break(&pump->channel, why, unsent, &woken, unsent ? NULL : &again);
    repeat(pump, again);
}

static void tell_late(ckiti_redis_channel *ch, ckiti_redis_call *call) {
    ckit_error why = CKIT_ERROR_INIT;
    (void)ckiti_redis_connection_late(&ch->connection, &why);
    (void)ckiti_redis_channel_waited(ch, call, &why);
    call->unheard = true; /* it is queued at least */
    ckiti_redis_call_fail(call, &why, true);
    call->finish(call);
}

/* Answers those whose time is over, and notes when the next one's is. */
static void expire(ckiti_redis_pump *pump, uint64_t now_ms) {
    ckiti_redis_channel *ch = &pump->channel;
    ckiti_redis_call    *late = NULL;
    uint64_t             next = UINT64_MAX;
    pthread_mutex_lock(&ch->lock);
    for (int l = 0; l < CKITI_REDIS_LANES; l++) {
        const ckiti_redis_lane *lane = &ch->lanes[l];
        for (uint64_t i = atomic_load(&lane->head); i < atomic_load(&lane->tail); i++) {
            ckiti_redis_call *call = atomic_load(&lane->places[i % CKITI_REDIS_IN_FLIGHT].call);
            if (call != NULL && call->until_ms <= now_ms && ckiti_redis_channel_withdraw(ch, call)) {
                call->next = late;
                late = call;
            } else if (call != NULL && call->until_ms < next) {
                next = call->until_ms;
            }
        }
    }
    ckiti_redis_call *current = ckiti_redis_channel_current(ch);
    if (current != NULL && current->until_ms <= now_ms) {
        ckiti_redis_channel_drop_current(ch);
        current->next = late;
        late = current;
    } else if (current != NULL && current->until_ms < next) {
        next = current->until_ms;
    }
    pump->expires_ms = next;
    pthread_mutex_unlock(&ch->lock);
    while (late != NULL) {
        ckiti_redis_call *call = late;
        late = call->next;
        tell_late(ch, call);
    }
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* Nothing came. Those whose time is over are told first: then they have waited for all. */
static bool may_be_silent(ckiti_redis_channel *ch, uint64_t expires_ms) {
    uint64_t now = ckiti_exact_monotonic_ms();
    return expires_ms <= now || ckiti_redis_channel_silence(ch, now) < ckiti_redis_channel_longest_silence(ch);
}

static void serve(ckiti_redis_pump *pump, uint64_t expires_ms) {
    ckiti_redis_channel *ch = &pump->channel;
    ckiti_redis_woken    woken = 0;
    ckit_error           why = CKIT_ERROR_INIT;
    uint64_t             now = ckiti_system_monotonic_ms();
    if (expires_ms <= now) {
        expire(pump, now);
        return;
    }
    if (ch->connection.stream == NULL) {
        if (ckiti_redis_channel_connect(ch, expires_ms, &why) != CKIT_OK) {
            break_off(pump, &why, true);
        }
        return;
    }
    ckit_status st = CKIT_OK;
    if (ckiti_redis_channel_idle(ch)) {
        st = ckiti_redis_connection_check(&ch->connection, &why);
    }
    if (st == CKIT_OK) {
        st = ckiti_redis_channel_flush(ch, ckiti_time_after(now, ch->silence_ms), &why);
    }
    if (st == CKIT_OK) {
        uint64_t tick = ckiti_time_after(now, TICK_MS);
        st = ckiti_redis_channel_receive(ch, expires_ms < tick ? expires_ms : tick, &why);
        if (st == CKIT_OK) {
            st = ckiti_redis_channel_answer(ch, &woken, &why);
        } else if (st == CKIT_E_TIMEOUT && may_be_silent(ch, expires_ms)) {
            st = CKIT_OK;
        } else if (st == CKIT_E_TIMEOUT) {
            (void)ckiti_redis_connection_late(&ch->connection, &why);
            ckiti_redis_channel_hurry(ch); /* there will be nothing to hear any more */
        }
    }
    if (st != CKIT_OK) {
        break_off(pump, &why, false);
    }
}

static void *run(void *arg) {
    ckiti_redis_pump    *pump = arg;
    ckiti_redis_channel *ch = &pump->channel;
    for (;;) {
        pthread_mutex_lock(&ch->lock);
        while (!pump->stop && ckiti_redis_channel_empty(ch)) {
            pump->idle = true;
            pthread_cond_wait(&pump->work, &ch->lock);
        }
        pump->idle = false;
        bool     stop = pump->stop;
        uint64_t expires_ms = pump->expires_ms;
        pthread_mutex_unlock(&ch->lock);
        if (stop) {
            return NULL;
        }
        serve(pump, expires_ms);
    }
}

/* With the lock held. The program's signals are not for this thread. */
static ckit_status start(ckiti_redis_pump *pump, ckit_error *err) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&pump->thread, NULL, run, pump);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        return ckit_fail_errno(err, CKIT_E_NO_MEMORY, code, CKITI_REDIS_WHERE, "starting a thread");
    }
    pump->ready = true;
    return CKIT_OK;
}

ckit_status ckiti_redis_pump_submit(ckiti_redis_pump *pump, ckiti_redis_call *call, ckit_error *err) {
    ckiti_redis_channel *ch = &pump->channel;
    uint64_t             until_ms = call->until_ms;
    ckiti_redis_turnout  turnout = CKITI_REDIS_GOES;
    call->began_ms = ckiti_system_monotonic_ms();
    if (atomic_load_explicit(&ch->mute, memory_order_relaxed) && !call->patient) {
        turnout = ckiti_redis_channel_turnout(ch, call, call->began_ms);
    }
    if (turnout == CKITI_REDIS_STAYS) {
        call->finish(call);
        return CKIT_PENDING;
    }
    pthread_mutex_lock(&ch->lock);
    ckit_status st = pump->ready || ch->closing ? CKIT_OK : start(pump, err);
    if (st == CKIT_OK) {
        st = ckiti_redis_channel_queue(ch, call, err);
    }
    if (st == CKIT_OK) {
        st = CKIT_PENDING;
        if (turnout == CKITI_REDIS_TRIES_ANEW && atomic_load(&ch->mute) && ch->connection.stream != NULL) {
            ch->connection.stream->ops->interrupt(ch->connection.stream); /* the thread makes another one */
        }
        pump->expires_ms = until_ms < pump->expires_ms ? until_ms : pump->expires_ms;
        if (pump->idle) {
            pump->idle = false;
            pthread_cond_signal(&pump->work);
        }
    }
    pthread_mutex_unlock(&ch->lock);
    return st;
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

void ckiti_redis_pump_stop(ckiti_redis_pump *pump) {
    ckiti_redis_channel *ch = &pump->channel;
    if (!pump->made) {
        return;
    }
    pthread_mutex_lock(&ch->lock);
    bool joined = pump->ready;
    ch->closing = true;
    pump->stop = true;
    pthread_cond_signal(&pump->work);
    if (ch->connection.stream != NULL) {
        ch->connection.stream->ops->interrupt(ch->connection.stream);
    }
    pthread_mutex_unlock(&ch->lock);
    if (joined) {
        pthread_join(pump->thread, NULL);
        pump->ready = false;
    }
}

void ckiti_redis_pump_fini(ckiti_redis_pump *pump) {
    ckiti_redis_channel *ch = &pump->channel;
    if (!pump->made) {
        return;
    }
    ckiti_redis_pump_stop(pump);
    ckit_error why = CKIT_ERROR_INIT;
    (void)ckit_fail(&why, CKIT_E_CLOSED, CKITI_REDIS_WHERE, "the store is closing");
    if (ch->batches != NULL) {
        break_off(pump, &why, true);
    }
    ckiti_redis_channel_fini(ch);
    pthread_cond_destroy(&pump->work);
    pump->made = false;
}

void ckiti_redis_pump_forget(ckiti_redis_pump *pump) {
    pump->ready = pump->idle = false;
    pump->expires_ms = UINT64_MAX;
    pthread_cond_init(&pump->work, NULL);
    ckiti_redis_channel_forget(&pump->channel);
}
