/* A connection on which nothing comes. */
#include "channel.h"

#include "base/clock.h"
#include "failure.h"

#include <errno.h>
#include <inttypes.h>

/* Less silence says nothing about a server, only about somebody in a hurry. */
#define SHORTEST_MS 25u

static uint64_t longer(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* With the lock held. `silence_ms` has passed in vain: is it a failure that has not been counted? */
static bool is_news(ckiti_redis_channel *ch, uint64_t now_ms, uint64_t silence_ms) {
    if (now_ms < ch->told_ms + longer(silence_ms, SHORTEST_MS)) {
        return false;
    }
    ch->told_ms = now_ms;
    return true;
}

/* With the lock held. */
static void put_off(ckiti_redis_channel *ch, uint64_t now_ms) {
    ch->retry_ms = ckiti_time_after(now_ms, longer(ch->silence_ms, ch->backoff->max_ms));
}

void ckiti_redis_channel_waited(ckiti_redis_channel *ch, const ckiti_redis_call *call, ckit_error *why) {
    uint64_t now = ckiti_exact_monotonic_ms();
    uint64_t waited = now - call->began_ms;
    if (now < call->until_ms || waited < SHORTEST_MS ||
        atomic_load_explicit(&ch->heard_ms, memory_order_relaxed) > call->began_ms) {
        return;
    }
    pthread_mutex_lock(&ch->lock);
    if (!is_news(ch, now, waited)) {
        why->sys_errno = EAGAIN;
    }
    if (!atomic_exchange_explicit(&ch->mute, true, memory_order_relaxed)) {
        put_off(ch, now);
    }
    pthread_mutex_unlock(&ch->lock);
}

ckiti_redis_turnout ckiti_redis_channel_turnout(ckiti_redis_channel *ch, ckiti_redis_call *call, uint64_t now_ms) {
    ckit_error why = CKIT_ERROR_INIT;
    uint64_t   silent = ckiti_time_left(atomic_load_explicit(&ch->heard_ms, memory_order_relaxed), now_ms);
    pthread_mutex_lock(&ch->lock);
    bool mute = atomic_load_explicit(&ch->mute, memory_order_relaxed);
    bool anew = mute && now_ms >= ch->retry_ms;
    bool news = mute && !anew && is_news(ch, now_ms, ckiti_time_left(now_ms, call->until_ms));
    if (anew) {
        put_off(ch, now_ms);
    }
    pthread_mutex_unlock(&ch->lock);
    if (!mute || anew) {
        return mute ? CKITI_REDIS_TRIES_ANEW : CKITI_REDIS_GOES;
    }
    (void)ckit_fail(&why, call->once ? CKIT_E_UNREACHABLE : CKIT_E_TIMEOUT, CKITI_REDIS_WHERE,
                    "the server has said nothing for %" PRIu64 " ms and is not asked for more", silent);
    why.kind = CKIT_KIND_TIMEOUT; /* of a write too, which was not sent */
    why.sys_errno = news ? EINPROGRESS : EAGAIN;
    ckiti_redis_call_fail(call, &why, false);
    return CKITI_REDIS_STAYS;
}

void ckiti_redis_channel_hurry(ckiti_redis_channel *ch) {
    pthread_mutex_lock(&ch->lock);
    ch->retry_ms = 0;
    pthread_mutex_unlock(&ch->lock);
}
