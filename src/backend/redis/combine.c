/* Callers who wait. Whoever finds nobody leading leads: he sends what is queued and reads what comes, for himself and
 * the others, until his own answer is there; then one of those who still wait goes on. So a lone caller works without
 * any other thread, and in a crowd one system call sends for many, one reads for many and one wakes many.
 *
 * Sleepers wait on one of two words, those of one batch on one and those of the next on the other, so that answering a
 * batch does not wake those whose commands have just been sent. */
#include "channel.h"

#include "base/clock.h"
#include "failure.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GRACE_MS 20u /* for an answer that is just being taken in when its time is over */

/* ---- sleeping and waking ----------------------------------------------------------------------------------------- */

static void sleep_on(_Atomic uint32_t *word, uint32_t seen, uint64_t ms) {
    struct timespec limit = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, ms == UINT64_MAX ? NULL : &limit, NULL, 0);
}

static long wake(_Atomic uint32_t *word, int count) {
    atomic_fetch_add(word, 1);
    return syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void wake_answered(ckiti_redis_channel *ch, ckiti_redis_woken *woken) {
    for (unsigned w = 0; w < 2; w++) {
        if ((*woken & 1u << w) != 0) {
            (void)wake(&ch->words[w], INT_MAX);
        }
    }
    *woken = 0;
}

/* Somebody who waits is to lead: first of those whose commands are under way. */
static void offer_lead(ckiti_redis_channel *ch) {
    uint32_t queued = atomic_load(&ch->word);
    atomic_store(&ch->orphan, true);
    if (wake(&ch->words[1 - queued], 1) == 0) {
        (void)wake(&ch->words[queued], 1);
    }
}

static bool try_lead(ckiti_redis_channel *ch) {
    bool nobody = false;
    if (atomic_load_explicit(&ch->led, memory_order_relaxed) ||
        !atomic_compare_exchange_strong(&ch->led, &nobody, true)) {
        return false;
    }
    atomic_store(&ch->orphan, false);
    return true;
}

static void hand_over(ckiti_redis_channel *ch) {
    atomic_store(&ch->led, false);
    if (!ckiti_redis_channel_empty(ch)) {
        offer_lead(ch);
    }
}

/* ---- leading ----------------------------------------------------------------------------------------------------- */

static bool is_done(const ckiti_redis_call *call) { return atomic_load_explicit(&call->done, memory_order_acquire); }

/* Its time is over. True: the connection is kept for the answer. */
static bool fail_own(ckiti_redis_channel *ch, ckiti_redis_call *call, ckit_error *why) {
    bool kept = ckiti_redis_channel_waited(ch, call, why);
    call->unheard = true; /* it is queued at least */
    ckiti_redis_call_fail(call, why, why->status == CKIT_E_TIMEOUT);
    atomic_store(&call->done, true);
    return kept && !call->patient;
}

/* The leader's time is over, or that of the connection, on which nothing came for as long as it may be silent. In the
 * second case a leader whose commands have not been sent goes on with another one. */
static void is_late(ckiti_redis_channel *ch, ckiti_redis_call *call, ckiti_redis_woken *woken) {
    ckit_error why = CKIT_ERROR_INIT;
    uint64_t   now = ckiti_exact_monotonic_ms();
    bool       own = now >= call->until_ms, kept = false;
    (void)ckiti_redis_connection_late(&ch->connection, &why);
    if (own) {
        if (ckiti_redis_channel_current(ch) == call) {
            ckiti_redis_channel_drop_current(ch);
        } else {
            (void)ckiti_redis_channel_withdraw(ch, call);
        }
        kept = fail_own(ch, call, &why);
        why.sys_errno = EAGAIN; /* for the others it is no news */
    }
    if (!kept && ch->connection.stream != NULL && ckiti_redis_channel_silence(ch, now) >= ch->silence_ms) {
        ckiti_redis_channel_break(ch, &why, false, woken, NULL);
        ckiti_redis_channel_hurry(ch); /* there is nothing to hear any more */
    }
}

/* Nobody can connect: everybody is told, unless only the leader was in a hurry. */
static void cannot_connect(ckiti_redis_channel *ch, ckiti_redis_call *call, ckit_error *why, ckiti_redis_woken *woken) {
    if (why->status == CKIT_E_TIMEOUT && ckiti_exact_monotonic_ms() >= call->until_ms && !call->patient) {
        (void)ckiti_redis_channel_withdraw(ch, call);
        (void)fail_own(ch, call, why);
        return;
    }
    ckiti_redis_channel_break(ch, why, true, woken, NULL);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* One step: CKIT_OK, or `why` is filled and the connection must go. */
static ckit_status serve(ckiti_redis_channel *ch, ckiti_redis_call *call, ckiti_redis_woken *woken, ckit_error *why) {
    uint64_t    silence = ckiti_time_after(ch->connection.read_at_ms, ch->silence_ms);
    ckit_status st;
    if (ckiti_redis_channel_idle(ch)) {
        st = ckiti_redis_connection_check(&ch->connection, why);
        return st == CKIT_OK ? ckiti_redis_channel_flush(ch, call->until_ms, why) : st;
    }
    st = ckiti_redis_channel_receive(ch, earlier(call->until_ms, silence), why);
    if (st == CKIT_E_TIMEOUT) {
        is_late(ch, call, woken);
        return CKIT_OK;
    }
    if (st == CKIT_OK) { /* first give the server something to do */
        st = ckiti_redis_channel_flush(ch, call->until_ms, why);
    }
    return st == CKIT_OK ? ckiti_redis_channel_answer(ch, woken, why) : st;
}

static void lead(ckiti_redis_channel *ch, ckiti_redis_call *call) {
    ckiti_redis_woken woken = 0;
    call->word = CKITI_REDIS_AWAKE;
    while (!is_done(call)) {
        ckit_error why;
        why.status = CKIT_OK;
        if (ch->connection.stream == NULL) {
            uint64_t until = call->patient ? UINT64_MAX : call->until_ms;
            if (ckiti_redis_channel_connect(ch, until, &why) != CKIT_OK) {
                cannot_connect(ch, call, &why, &woken);
            } else if (call->patient) { /* making the connection had a limit of its own */
                call->until_ms = ckiti_time_after(ckiti_system_monotonic_ms(), ch->silence_ms);
            }
        } else if (serve(ch, call, &woken, &why) != CKIT_OK) {
            ckiti_redis_channel_break(ch, &why, false, &woken, NULL);
        }
        wake_answered(ch, &woken);
    }
    hand_over(ch);
}

/* ---- following --------------------------------------------------------------------------------------------------- */

/* A follower's time is over: true when he may go. */
static bool give_up(ckiti_redis_channel *ch, ckiti_redis_call *call, bool graced) {
    ckit_error why = CKIT_ERROR_INIT;
    if (ckiti_redis_channel_withdraw(ch, call)) {
        pthread_mutex_lock(&ch->lock); /* the leader may be replacing the connection */
        (void)ckiti_redis_connection_late(&ch->connection, &why);
        pthread_mutex_unlock(&ch->lock);
        (void)fail_own(ch, call, &why);
        return true;
    }
    /* His answer is being taken in, into his memory. If that takes longer, the connection ends, and with it the
     * taking. */
    if (graced) {
        pthread_mutex_lock(&ch->lock);
        if (ch->connection.stream != NULL && !is_done(call)) {
            ch->connection.stream->ops->interrupt(ch->connection.stream);
        }
        pthread_mutex_unlock(&ch->lock);
    }
    return false;
}

static void follow(ckiti_redis_channel *ch, ckiti_redis_call *call) {
    bool graced = false;
    for (;;) {
        uint32_t seen = atomic_load(&ch->words[call->word]);
        if (is_done(call)) {
            break;
        }
        if (try_lead(ch)) {
            lead(ch, call);
            return;
        }
        uint64_t left = ckiti_time_left(ckiti_exact_monotonic_ms(), call->until_ms);
        if (left == 0) {
            if (give_up(ch, call, graced)) {
                break;
            }
            graced = true;
            left = GRACE_MS;
        }
        sleep_on(&ch->words[call->word], seen, left);
    }
    if (atomic_load(&ch->orphan)) { /* it may have been this one who was woken to lead */
        offer_lead(ch);
    }
}

/* Takes in what has come meanwhile, if nobody is at it; `anew`: when there is nothing the connection ends. */
static void look(ckiti_redis_channel *ch, bool anew) {
    ckiti_redis_woken woken = 0;
    ckit_error        why = CKIT_ERROR_INIT;
    if (!try_lead(ch)) {
        return;
    }
    if (ch->connection.stream != NULL) {
        ckit_status st = ckiti_redis_channel_receive(ch, 0, &why);
        if (st == CKIT_OK) {
            st = ckiti_redis_channel_answer(ch, &woken, &why);
        } else if (st == CKIT_E_TIMEOUT) {
            st = anew ? ckiti_redis_connection_late(&ch->connection, &why) : CKIT_OK;
        }
        if (st != CKIT_OK) {
            ckiti_redis_channel_break(ch, &why, false, &woken, NULL);
        } else if (ckiti_redis_channel_idle(ch)) { /* the question was never sent */
            ckiti_redis_channel_heard(ch);
        }
    }
    wake_answered(ch, &woken);
    hand_over(ch);
}

/* The server has been silent. False: the call has been answered. */
static bool goes(ckiti_redis_channel *ch, ckiti_redis_call *call) {
    uint64_t now = call->began_ms;
    if (call->patient || call->asks) {
        return true;
    }
    if (atomic_exchange_explicit(&ch->looked_ms, now, memory_order_relaxed) != now) { /* once in a tick of the clock */
        look(ch, false);
    }
    ckiti_redis_turnout turnout = ckiti_redis_channel_turnout(ch, call, now);
    if (turnout == CKITI_REDIS_TRIES_ANEW) {
        look(ch, true);
    }
    return turnout != CKITI_REDIS_STAYS;
}

void ckiti_redis_combine(ckiti_redis_channel *ch, ckiti_redis_call *call) {
    ckit_error why;
    call->began_ms = ckiti_system_monotonic_ms();
    if (atomic_load_explicit(&ch->mute, memory_order_relaxed) && !goes(ch, call)) {
        return;
    }
    atomic_store_explicit(&call->done, false, memory_order_relaxed);
    pthread_mutex_lock(&ch->lock);
    ckit_status st = ckiti_redis_channel_queue(ch, call, &why);
    pthread_mutex_unlock(&ch->lock);
    if (st != CKIT_OK) {
        ckiti_redis_call_fail(call, &why, false);
        return;
    }
    if (try_lead(ch)) {
        lead(ch, call);
    } else {
        follow(ch, call);
    }
}
