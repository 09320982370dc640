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

static uint64_t longest_pause(const ckiti_redis_channel *ch) { return longer(ch->silence_ms, ch->backoff->max_ms); }

uint64_t ckiti_redis_channel_longest_silence(ckiti_redis_channel *ch) {
    return atomic_load(&ch->mute) ? longest_pause(ch) : ch->silence_ms;
}

/* With the lock held, as the others here: there is nothing to hear an answer from. */
static bool is_deaf(const ckiti_redis_channel *ch) { return ch->connection.stream == NULL; }

static void put_off(ckiti_redis_channel *ch, uint64_t now_ms) {
    uint64_t pause = longest_pause(ch);
    ch->retry_ms = ckiti_time_after(now_ms, is_deaf(ch) && ch->vain_ms < pause ? ch->vain_ms : pause);
}

/* How long it has been seen that there is no answer. */
static uint64_t silence_of(const ckiti_redis_channel *ch, uint64_t now_ms) {
    return is_deaf(ch) ? ch->vain_ms : longer(ch->vain_ms, ckiti_time_left(ch->asked_ms, now_ms));
}

static bool has_heard(const ckiti_redis_channel *ch, const ckiti_redis_call *call) {
    return atomic_load(&ch->heard_ms) > call->began_ms;
}

bool ckiti_redis_channel_waited(ckiti_redis_channel *ch, const ckiti_redis_call *call, ckit_error *why) {
    uint64_t now = ckiti_exact_monotonic_ms();
    uint64_t waited = now - call->began_ms;
    if (now < call->until_ms || waited < SHORTEST_MS || has_heard(ch, call)) {
        return false;
    }
    pthread_mutex_lock(&ch->lock);
    if (!is_news(ch, now, waited)) {
        why->sys_errno = EAGAIN;
    }
    bool first = !atomic_exchange(&ch->mute, true);
    if (first) {
        ch->asked_ms = call->began_ms;
    }
    ch->vain_ms = first ? waited : longer(ch->vain_ms, waited);
    if (first || is_deaf(ch)) {
        put_off(ch, now);
    }
    if (has_heard(ch, call)) { /* while this was noted: then nobody takes it back */
        ckiti_redis_channel_heard(ch);
    }
    pthread_mutex_unlock(&ch->lock);
    return atomic_load(&ch->mute);
}

ckiti_redis_turnout ckiti_redis_channel_turnout(ckiti_redis_channel *ch, ckiti_redis_call *call, uint64_t now_ms) {
    ckit_error why = CKIT_ERROR_INIT;
    uint64_t   left = ckiti_time_left(now_ms, call->until_ms);
    pthread_mutex_lock(&ch->lock);
    uint64_t silence = silence_of(ch, now_ms);
    bool     mute = atomic_load(&ch->mute);
    bool     anew = mute && now_ms >= ch->retry_ms;
    bool     goes = !mute || anew || left / 2 >= silence; /* nobody has waited for so long in vain */
    bool     news = !goes && is_news(ch, now_ms, left);
    if (anew) {
        put_off(ch, now_ms);
    }
    pthread_mutex_unlock(&ch->lock);
    if (goes) {
        return anew ? CKITI_REDIS_TRIES_ANEW : CKITI_REDIS_GOES;
    }
    (void)ckit_fail(&why, call->once ? CKIT_E_UNREACHABLE : CKIT_E_TIMEOUT, CKITI_REDIS_WHERE,
                    "the server has said nothing for %" PRIu64 " ms and is not asked for more", silence);
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
