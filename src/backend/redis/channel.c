#include "channel.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "failure.h"

#include <string.h>

#define KEPT_BYTES ((size_t)1024 * 1024) /* a buffer that has grown beyond is not kept */

ckit_status ckiti_redis_channel_init(ckiti_redis_channel *ch, const ckiti_redis_dial *dial,
                                     ckiti_redis_backoff *backoff) {
    memset(ch, 0, sizeof *ch);
    ch->backoff = backoff;
    ch->silence_ms = dial->address->socket_timeout_ms;
    ch->connect_ms = dial->address->connect_timeout_ms;
    pthread_mutex_init(&ch->lock, NULL);
    ckit_buf_init(&ch->pending, dial->alloc);
    ckit_buf_init(&ch->sending, dial->alloc);
    ch->places = ckiti_alloc_zeroed(dial->alloc, CKITI_REDIS_IN_FLIGHT, sizeof *ch->places);
    ckit_status st = ckiti_redis_connection_init(&ch->connection, dial);
    return ch->places == NULL ? CKIT_E_NO_MEMORY : st;
}

void ckiti_redis_channel_fini(ckiti_redis_channel *ch) {
    if (ch->connection.dial == NULL) {
        return;
    }
    const ckit_alloc *alloc = ch->connection.dial->alloc;
    ckiti_redis_connection_fini(&ch->connection);
    ckit_buf_fini(&ch->pending);
    ckit_buf_fini(&ch->sending);
    ckiti_free(alloc, ch->places, CKITI_REDIS_IN_FLIGHT * sizeof *ch->places);
    pthread_mutex_destroy(&ch->lock);
    ch->connection.dial = NULL;
}

void ckiti_redis_channel_forget(ckiti_redis_channel *ch) {
    ckiti_redis_connection_forget(&ch->connection);
    ckiti_resp_reader_reset(&ch->connection.reader);
    for (size_t i = 0; i < CKITI_REDIS_IN_FLIGHT; i++) {
        atomic_store(&ch->places[i].call, NULL);
    }
    atomic_store(&ch->head, 0);
    atomic_store(&ch->tail, 0);
    ch->sent = 0;
    ch->pending.len = 0;
    ch->sending.len = 0;
    ch->turn = (ckiti_redis_turn){NULL, 0};
    atomic_store(&ch->led, false);
    atomic_store(&ch->orphan, false);
    pthread_mutex_unlock(&ch->lock);
}

/* ---- callers ---------------------------------------------------------------------------------------------------------- */

static ckiti_redis_place *place_at(ckiti_redis_channel *ch, uint64_t number) {
    return &ch->places[number % CKITI_REDIS_IN_FLIGHT];
}

ckit_status ckiti_redis_channel_queue(ckiti_redis_channel *ch, ckiti_redis_call *call, ckit_error *err) {
    uint64_t tail = atomic_load_explicit(&ch->tail, memory_order_relaxed);
    size_t   before = ch->pending.len;
    if (ch->closing) {
        return ckit_fail(err, CKIT_E_CLOSED, CKITI_REDIS_WHERE, "the store is closing");
    }
    if (tail - atomic_load_explicit(&ch->head, memory_order_acquire) == CKITI_REDIS_IN_FLIGHT ||
        before > CKITI_REDIS_QUEUE_BYTES) {
        return ckit_fail(err, CKIT_E_BUSY, CKITI_REDIS_WHERE, "%u calls or %zu bytes are under way",
                         CKITI_REDIS_IN_FLIGHT, before);
    }
    ckiti_resp_writer w;
    ckiti_resp_writer_init(&w, &ch->pending, SIZE_MAX);
    call->write(call, &w);
    if (w.status != CKIT_OK) {
        ch->pending.len = before;
        return ckiti_redis_no_memory(err, "a command");
    }
    ckiti_redis_place *place = place_at(ch, tail);
    call->sequence = tail;
    call->word = atomic_load_explicit(&ch->word, memory_order_relaxed);
    place->replies = call->replies;
    atomic_store_explicit(&place->call, call, memory_order_release);
    atomic_store(&ch->tail, tail + 1);
    return CKIT_OK;
}

bool ckiti_redis_channel_withdraw(ckiti_redis_channel *ch, ckiti_redis_call *call) {
    ckiti_redis_call *expected = call;
    return atomic_compare_exchange_strong(&place_at(ch, call->sequence)->call, &expected, NULL);
}

/* ---- the leader: the connection ---------------------------------------------------------------------------------------- */

ckit_status ckiti_redis_channel_connect(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err) {
    ckiti_redis_connection fresh = ch->connection;
    uint64_t               now = ckiti_system_monotonic_ms();
    uint64_t               limit = ckiti_time_after(now, ch->connect_ms);
    ckit_status            st = ckiti_redis_backoff_ask(ch->backoff, now, err);
    if (st != CKIT_OK) {
        return st;
    }
    st = ckiti_redis_connection_open(&fresh, limit < until_ms ? limit : until_ms, err);
    if (st == CKIT_OK) {
        ckiti_redis_backoff_succeeded(ch->backoff);
    } else if (limit <= until_ms || st != CKIT_E_TIMEOUT) { /* a caller in a hurry says nothing about the server */
        ckit_error why = CKIT_ERROR_INIT;
        ckiti_redis_backoff_failed(ch->backoff, ckiti_system_monotonic_ms(), err != NULL ? err : &why);
    }
    pthread_mutex_lock(&ch->lock);
    ch->connection = fresh;
    pthread_mutex_unlock(&ch->lock);
    return st;
}

ckit_status ckiti_redis_channel_flush(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err) {
    pthread_mutex_lock(&ch->lock);
    if (ch->pending.len == 0) {
        pthread_mutex_unlock(&ch->lock);
        return CKIT_OK;
    }
    bool     idle = ch->sent == atomic_load_explicit(&ch->head, memory_order_relaxed);
    ckit_buf batch = ch->pending;
    ch->pending = ch->sending;
    ch->sending = batch;
    ch->sent = atomic_load_explicit(&ch->tail, memory_order_relaxed);
    atomic_store_explicit(&ch->word, 1 - atomic_load_explicit(&ch->word, memory_order_relaxed), memory_order_relaxed);
    pthread_mutex_unlock(&ch->lock);
    if (idle) {
        ch->connection.read_at_ms = ckiti_system_monotonic_ms();
    }
    struct iovec part = {ch->sending.ptr, ch->sending.len};
    ckit_status  st = ckiti_redis_connection_send(&ch->connection, &part, 1, until_ms, err);
    ch->sending.len = 0;
    if (ch->sending.cap > KEPT_BYTES) {
        ckit_buf_fini(&ch->sending);
    }
    return st;
}

ckit_status ckiti_redis_channel_receive(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err) {
    return ckiti_redis_connection_receive(&ch->connection, until_ms, err);
}

uint64_t ckiti_redis_channel_silence(const ckiti_redis_channel *ch, uint64_t now_ms) {
    return now_ms > ch->connection.read_at_ms ? now_ms - ch->connection.read_at_ms : 0;
}

void ckiti_redis_channel_drop_turn(ckiti_redis_channel *ch) { ckiti_redis_connection_drop(&ch->connection, &ch->turn); }

/* ---- the leader: answers ----------------------------------------------------------------------------------------------- */

/* The call may be gone as soon as it is done. */
static void finish(ckiti_redis_call *call, ckiti_redis_woken *woken) {
    if (call->finish != NULL) {
        call->finish(call);
        return;
    }
    *woken |= 1u << call->word;
    atomic_store_explicit(&call->done, true, memory_order_release);
}

/* Takes the oldest call that was sent; its caller cannot leave from here on. */
static void begin_turn(ckiti_redis_channel *ch) {
    uint64_t head = atomic_load_explicit(&ch->head, memory_order_relaxed);
    if (head == ch->sent || ckiti_resp_idle(&ch->connection.reader)) {
        return;
    }
    ckiti_redis_place *place = place_at(ch, head);
    ch->turn.left = place->replies;
    ch->turn.call = atomic_exchange_explicit(&place->call, NULL, memory_order_acq_rel);
}

static void end_turn(ckiti_redis_channel *ch, ckiti_redis_woken *woken) {
    ckiti_redis_call *call = ch->turn.call;
    ch->turn = (ckiti_redis_turn){NULL, 0};
    atomic_store_explicit(&ch->head, atomic_load_explicit(&ch->head, memory_order_relaxed) + 1, memory_order_release);
    if (call != NULL) {
        finish(call, woken);
    }
}

ckit_status ckiti_redis_channel_answer(ckiti_redis_channel *ch, ckiti_redis_woken *woken, ckit_error *err) {
    for (;;) {
        if (ch->turn.left == 0) {
            begin_turn(ch);
        }
        switch (ckiti_redis_connection_take(&ch->connection, &ch->turn, err)) {
        case CKITI_REDIS_MORE: return CKIT_OK;
        case CKITI_REDIS_BAD: return CKIT_E_IO;
        default: end_turn(ch, woken);
        }
    }
}

static bool may_repeat(const ckiti_redis_call *call) { return call->finish != NULL && !call->once; }

void ckiti_redis_channel_break(ckiti_redis_channel *ch, const ckit_error *why, bool unsent, ckiti_redis_woken *woken,
                               ckiti_redis_call **again) {
    pthread_mutex_lock(&ch->lock);
    ckiti_redis_connection_close(&ch->connection);
    if (unsent) {
        ch->pending.len = 0;
        ch->sent = atomic_load_explicit(&ch->tail, memory_order_relaxed);
    }
    pthread_mutex_unlock(&ch->lock);
    ckiti_resp_reader_reset(&ch->connection.reader);
    bool              lost = why->status == CKIT_E_NETWORK || why->status == CKIT_E_TIMEOUT;
    ckiti_redis_call *current = ch->turn.call;
    ch->turn = (ckiti_redis_turn){NULL, 0};
    uint64_t head = atomic_load_explicit(&ch->head, memory_order_relaxed);
    for (; head < ch->sent; head++) {
        ckiti_redis_call *call =
            current != NULL ? current : atomic_exchange_explicit(&place_at(ch, head)->call, NULL, memory_order_acq_rel);
        current = NULL;
        atomic_store_explicit(&ch->head, head + 1, memory_order_release);
        if (call == NULL) {
            continue;
        }
        ckiti_redis_call_fail(call, why, lost);
        if (again != NULL && lost && may_repeat(call)) {
            call->next = *again;
            *again = call;
        } else {
            finish(call, woken);
        }
    }
}
