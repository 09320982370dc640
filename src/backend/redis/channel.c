#include "channel.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "failure.h"
#include "gather.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEPT_BYTES ((size_t)1024 * 1024) /* a buffer that has grown beyond is not kept */

static void queue_init(ckiti_redis_queue *q, const ckit_alloc *alloc) {
    ckit_buf_init(&q->plain, alloc);
    ckit_buf_init(&q->lives, alloc);
    ckit_buf_init(&q->names, alloc);
}

static void queue_fini(ckiti_redis_queue *q) {
    ckit_buf_fini(&q->plain);
    ckit_buf_fini(&q->lives);
    ckit_buf_fini(&q->names);
}

static size_t queue_len(const ckiti_redis_queue *q) { return q->plain.len + q->lives.len + q->names.len; }
static size_t queue_cap(const ckiti_redis_queue *q) { return q->plain.cap + q->lives.cap + q->names.cap; }
static void   queue_clear(ckiti_redis_queue *q) { q->plain.len = q->lives.len = q->names.len = q->reads = 0; }

ckit_status ckiti_redis_channel_init(ckiti_redis_channel *ch, const ckiti_redis_dial *dial,
                                     ckiti_redis_backoff *backoff) {
    memset(ch, 0, sizeof *ch);
    ch->backoff = backoff;
    ch->silence_ms = dial->address->socket_timeout_ms;
    ch->connect_ms = dial->address->connect_timeout_ms;
    ch->gathers = dial->gathers;
    pthread_mutex_init(&ch->lock, NULL);
    ch->pending = &ch->queues[0];
    ch->sending = &ch->queues[1];
    queue_init(ch->pending, dial->alloc);
    queue_init(ch->sending, dial->alloc);
    ckit_status st = ckiti_redis_connection_init(&ch->connection, dial);
    for (int l = 0; l < CKITI_REDIS_LANES; l++) {
        ch->lanes[l].places = ckiti_alloc_zeroed(dial->alloc, CKITI_REDIS_IN_FLIGHT, sizeof(ckiti_redis_place));
        st = ch->lanes[l].places == NULL ? CKIT_E_NO_MEMORY : st;
    }
    ch->batches = st == CKIT_OK ? ckiti_alloc(dial->alloc, CKITI_REDIS_IN_FLIGHT * sizeof *ch->batches) : NULL;
    return ch->batches == NULL ? CKIT_E_NO_MEMORY : st;
}

void ckiti_redis_channel_fini(ckiti_redis_channel *ch) {
    if (ch->connection.dial == NULL) {
        return;
    }
    const ckit_alloc *alloc = ch->connection.dial->alloc;
    ckiti_redis_connection_fini(&ch->connection);
    queue_fini(ch->pending);
    queue_fini(ch->sending);
    for (int l = 0; l < CKITI_REDIS_LANES; l++) {
        ckiti_free(alloc, ch->lanes[l].places, CKITI_REDIS_IN_FLIGHT * sizeof(ckiti_redis_place));
    }
    ckiti_free(alloc, ch->batches, CKITI_REDIS_IN_FLIGHT * sizeof *ch->batches);
    pthread_mutex_destroy(&ch->lock);
    ch->connection.dial = NULL;
}

static void forget_answers(ckiti_redis_channel *ch) {
    ckiti_resp_reader_reset(&ch->connection.reader);
    ch->turn = (ckiti_redis_turn){NULL, 0};
    ch->gathered = (ckiti_redis_gathered){.count = 0};
    ch->first_batch = ch->end_batch;
}

void ckiti_redis_channel_forget(ckiti_redis_channel *ch) {
    ckiti_redis_connection_forget(&ch->connection);
    for (int l = 0; l < CKITI_REDIS_LANES; l++) {
        ckiti_redis_lane *lane = &ch->lanes[l];
        for (size_t i = 0; i < CKITI_REDIS_IN_FLIGHT; i++) {
            atomic_store(&lane->places[i].call, NULL);
        }
        atomic_store(&lane->head, 0);
        atomic_store(&lane->tail, 0);
        lane->sent = 0;
    }
    queue_clear(ch->pending);
    queue_clear(ch->sending);
    forget_answers(ch);
    atomic_store(&ch->led, false);
    atomic_store(&ch->orphan, false);
    atomic_store(&ch->mute, false);
    pthread_mutex_unlock(&ch->lock);
}

/* ---- callers ----------------------------------------------------------------------------------------------------- */

/* PTTL of the name, and the name once more for MGET. */
static void write_read(const ckiti_redis_call *call, ckiti_resp_writer *lives, ckiti_resp_writer *names) {
    static const char pttl[] = "*2\r\n$4\r\nPTTL\r\n";
    ckiti_resp_written(lives, ckit_slice_of(pttl, sizeof pttl - 1));
    size_t at = lives->out->len;
    call->put_name(call, lives);
    if (lives->status == CKIT_OK) {
        ckiti_resp_written(names, ckit_slice_of(lives->out->ptr + at, lives->out->len - at));
    }
}

/* Appends the commands, all or nothing. */
static ckit_status write_call(ckiti_redis_queue *q, const ckiti_redis_call *call, bool gathered) {
    size_t            plain = q->plain.len, lives = q->lives.len, named = q->names.len;
    ckiti_resp_writer w, names;
    ckiti_resp_writer_init(&w, gathered ? &q->lives : &q->plain, SIZE_MAX);
    ckiti_resp_writer_init(&names, &q->names, SIZE_MAX);
    if (gathered) {
        write_read(call, &w, &names);
    } else {
        ckiti_redis_call_write(call, &w);
    }
    if (w.status == CKIT_OK && names.status == CKIT_OK) {
        q->reads += gathered;
        if (gathered && q->reads % CKITI_REDIS_GATHERED == 0) {
            q->cuts[q->reads / CKITI_REDIS_GATHERED - 1].lives = q->lives.len;
            q->cuts[q->reads / CKITI_REDIS_GATHERED - 1].names = q->names.len;
        }
        return CKIT_OK;
    }
    q->plain.len = plain;
    q->lives.len = lives;
    q->names.len = named;
    return CKIT_E_NO_MEMORY;
}

ckit_status ckiti_redis_channel_queue(ckiti_redis_channel *ch, ckiti_redis_call *call, ckit_error *err) {
    bool              gathered = ch->gathers && call->put_name != NULL;
    ckiti_redis_lane *lane = &ch->lanes[gathered ? CKITI_REDIS_READS : CKITI_REDIS_PLAIN];
    uint64_t          tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
    size_t            waiting = queue_len(ch->pending);
    if (ch->closing) {
        return ckit_fail(err, CKIT_E_CLOSED, CKITI_REDIS_WHERE, "the store is closing");
    }
    if (tail - atomic_load_explicit(&lane->head, memory_order_acquire) == CKITI_REDIS_IN_FLIGHT ||
        waiting > CKITI_REDIS_QUEUE_BYTES) {
        return ckit_fail(err, CKIT_E_BUSY, CKITI_REDIS_WHERE, "%u calls or %zu bytes are under way",
                         CKITI_REDIS_IN_FLIGHT, waiting);
    }
    if (write_call(ch->pending, call, gathered) != CKIT_OK) {
        return ckiti_redis_no_memory(err, "a command");
    }
    ckiti_redis_place *place = ckiti_redis_place_at(lane, tail);
    call->lane = gathered ? CKITI_REDIS_READS : CKITI_REDIS_PLAIN;
    call->sequence = tail;
    call->word = atomic_load_explicit(&ch->word, memory_order_relaxed);
    place->replies = ckiti_redis_call_replies(call);
    atomic_store_explicit(&place->call, call, memory_order_release);
    atomic_store(&lane->tail, tail + 1);
    return CKIT_OK;
}

bool ckiti_redis_channel_withdraw(ckiti_redis_channel *ch, ckiti_redis_call *call) {
    ckiti_redis_call *expected = call;
    return atomic_compare_exchange_strong(&ckiti_redis_place_at(&ch->lanes[call->lane], call->sequence)->call,
                                          &expected, NULL);
}

/* ---- the leader: the connection ---------------------------------------------------------------------------------- */

ckit_status ckiti_redis_channel_connect(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err) {
    ckiti_redis_connection fresh = ch->connection;
    uint64_t               now = ckiti_system_monotonic_ms();
    uint64_t               limit = ckiti_time_after(now, ch->connect_ms);
    ckit_status            st = ckiti_redis_backoff_ask(ch->backoff, now, err);
    if (st != CKIT_OK) {
        return st;
    }
    st = ckiti_redis_connection_open(&fresh, limit < until_ms ? limit : until_ms, err);
    if (st != CKIT_E_TIMEOUT) {
        atomic_store(&ch->heard_ms, ckiti_system_monotonic_ms());
        ckiti_redis_channel_heard(ch);
    }
    if (st == CKIT_OK) {
        ckiti_redis_backoff_succeeded(ch->backoff);
    } else if (limit <= until_ms || st != CKIT_E_TIMEOUT) { /* a caller in a hurry says nothing about the server */
        ckiti_redis_backoff_failed(ch->backoff, ckiti_system_monotonic_ms(), err);
    }
    pthread_mutex_lock(&ch->lock);
    ch->connection = fresh;
    pthread_mutex_unlock(&ch->lock);
    return st;
}

/* Takes what is queued, with the lock held; false when nothing is. */
static bool take_queue(ckiti_redis_channel *ch, uint32_t *plain) {
    uint32_t count[CKITI_REDIS_LANES];
    if (queue_len(ch->pending) == 0) {
        return false;
    }
    ckiti_redis_queue *taken = ch->pending;
    ch->pending = ch->sending;
    ch->sending = taken;
    for (int l = 0; l < CKITI_REDIS_LANES; l++) {
        uint64_t tail = atomic_load_explicit(&ch->lanes[l].tail, memory_order_relaxed);
        count[l] = (uint32_t)(tail - ch->lanes[l].sent);
        ch->lanes[l].sent = tail;
    }
    uint32_t word = atomic_load_explicit(&ch->word, memory_order_relaxed);
    atomic_store_explicit(&ch->word, 1 - word, memory_order_relaxed);
    *plain = count[CKITI_REDIS_PLAIN];
    return true;
}

static int put_part(struct iovec *part, const void *bytes, size_t len) {
    *part = (struct iovec){(void *)(uintptr_t)bytes, len};
    return 1;
}

/* The batches of the queue that is being sent, and their bytes: at most three parts for each. */
static int cut_batches(ckiti_redis_channel *ch, uint32_t plain, char header[2][40], struct iovec *parts) {
    const ckiti_redis_queue *q = ch->sending;
    size_t                   lives = 0, names = 0;
    int                      count = plain > 0 ? put_part(parts, q->plain.ptr, q->plain.len) : 0;
    for (uint32_t at = 0; at < q->reads || plain > 0; at += CKITI_REDIS_GATHERED, plain = 0) {
        uint32_t reads = q->reads - at < CKITI_REDIS_GATHERED ? q->reads - at : CKITI_REDIS_GATHERED;
        bool     full = reads == CKITI_REDIS_GATHERED;
        size_t   lives_end = full ? q->cuts[at / CKITI_REDIS_GATHERED].lives : q->lives.len;
        size_t   names_end = full ? q->cuts[at / CKITI_REDIS_GATHERED].names : q->names.len;
        ch->batches[ch->end_batch++ % CKITI_REDIS_IN_FLIGHT] = (ckiti_redis_batch){plain, reads};
        if (reads > 0) {
            int len = reads > 1 ? snprintf(header[full], sizeof header[full], "*%u\r\n$4\r\nMGET\r\n", reads + 1)
                                : snprintf(header[full], sizeof header[full], "*2\r\n$3\r\nGET\r\n");
            count += put_part(&parts[count], q->lives.ptr + lives, lives_end - lives);
            count += put_part(&parts[count], header[full], (size_t)len);
            count += put_part(&parts[count], q->names.ptr + names, names_end - names);
        }
        lives = lives_end;
        names = names_end;
    }
    return count;
}

ckit_status ckiti_redis_channel_flush(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err) {
    struct iovec parts[1 + 3 * (CKITI_REDIS_CUTS + 1)];
    char         headers[2][40];
    uint32_t     plain = 0;
    pthread_mutex_lock(&ch->lock);
    bool any = take_queue(ch, &plain);
    pthread_mutex_unlock(&ch->lock);
    if (!any) {
        return CKIT_OK;
    }
    if (ckiti_redis_channel_idle(ch)) {
        ch->connection.read_at_ms = ckiti_system_monotonic_ms();
    }
    int         count = cut_batches(ch, plain, headers, parts);
    ckit_status st = ckiti_redis_connection_send(&ch->connection, parts, count, until_ms, err);
    queue_clear(ch->sending);
    if (queue_cap(ch->sending) > KEPT_BYTES) {
        queue_fini(ch->sending);
    }
    return st;
}

ckit_status ckiti_redis_channel_receive(ckiti_redis_channel *ch, uint64_t until_ms, ckit_error *err) {
    ckit_status st = ckiti_redis_connection_receive(&ch->connection, until_ms, err);
    if (st != CKIT_E_TIMEOUT) {
        atomic_store(&ch->heard_ms, ch->connection.read_at_ms);
        ckiti_redis_channel_heard(ch);
    }
    return st;
}

uint64_t ckiti_redis_channel_silence(const ckiti_redis_channel *ch, uint64_t now_ms) {
    return now_ms > ch->connection.read_at_ms ? now_ms - ch->connection.read_at_ms : 0;
}

static bool is_gathered(const ckiti_redis_channel *ch) { return ch->turn.call == &ch->gathered.call; }

ckiti_redis_call *ckiti_redis_channel_current(const ckiti_redis_channel *ch) {
    return is_gathered(ch) ? ch->gathered.member : ch->turn.call;
}

void ckiti_redis_channel_drop_current(ckiti_redis_channel *ch) {
    if (is_gathered(ch)) {
        ch->gathered.member = NULL;
    } else {
        ch->turn.call = NULL;
    }
    if (ch->connection.reader.body) {
        ckiti_resp_into(&ch->connection.reader, NULL);
    }
}

/* ---- the leader: answers ----------------------------------------------------------------------------------------- */

/* The call may be gone as soon as it is done. */
void ckiti_redis_channel_finish(ckiti_redis_call *call, ckiti_redis_woken *woken) {
    if (call->finish != NULL) {
        call->finish(call);
        return;
    }
    *woken |= 1u << call->word;
    atomic_store_explicit(&call->done, true, memory_order_release);
}

/* Takes the oldest call that was sent, or the reads of its batch together; its caller cannot leave from here on. */
static void begin_turn(ckiti_redis_channel *ch) {
    if (ckiti_redis_channel_idle(ch) || ckiti_resp_idle(&ch->connection.reader)) {
        return;
    }
    const ckiti_redis_batch *batch = &ch->batches[ch->first_batch % CKITI_REDIS_IN_FLIGHT];
    if (batch->plain == 0) {
        ckiti_redis_gather(ch, batch->reads);
        ch->turn = (ckiti_redis_turn){&ch->gathered.call, batch->reads + 1};
        return;
    }
    ckiti_redis_lane  *lane = &ch->lanes[CKITI_REDIS_PLAIN];
    ckiti_redis_place *place = ckiti_redis_place_at(lane, atomic_load_explicit(&lane->head, memory_order_relaxed));
    ch->turn.left = place->replies;
    ch->turn.call = atomic_exchange_explicit(&place->call, NULL, memory_order_acq_rel);
}

static void end_turn(ckiti_redis_channel *ch, ckiti_redis_woken *woken) {
    ckiti_redis_batch *batch = &ch->batches[ch->first_batch % CKITI_REDIS_IN_FLIGHT];
    ckiti_redis_call  *call = is_gathered(ch) ? NULL : ch->turn.call;
    bool               gathered = is_gathered(ch);
    ch->turn = (ckiti_redis_turn){NULL, 0};
    if (!gathered) {
        ckiti_redis_lane *lane = &ch->lanes[CKITI_REDIS_PLAIN];
        batch->plain--;
        atomic_store_explicit(&lane->head, atomic_load_explicit(&lane->head, memory_order_relaxed) + 1,
                              memory_order_release);
    }
    ch->first_batch += batch->plain == 0 && batch->reads == 0;
    if (call != NULL) {
        ckiti_redis_channel_finish(call, woken);
    }
}

ckit_status ckiti_redis_channel_answer(ckiti_redis_channel *ch, ckiti_redis_woken *woken, ckit_error *err) {
    for (;;) {
        if (ch->turn.left == 0) {
            begin_turn(ch);
        }
        ckiti_redis_progress progress = ckiti_redis_connection_take(&ch->connection, &ch->turn, err);
        *woken |= ch->gathered.woken;
        ch->gathered.woken = 0;
        if (is_gathered(ch) && progress != CKITI_REDIS_BAD &&
            (ch->gathered.why != NULL || (progress == CKITI_REDIS_DONE && ch->gathered.at < ch->gathered.count))) {
            return ckiti_redis_garbage(err, ch->gathered.why != NULL ? ch->gathered.why : "fewer values than keys");
        }
        if (progress != CKITI_REDIS_DONE) {
            return progress == CKITI_REDIS_MORE ? CKIT_OK : CKIT_E_IO;
        }
        end_turn(ch, woken);
        if (ch->connection.demoted) {
            return ckiti_redis_connection_check_master(&ch->connection, err);
        }
    }
}

/* ---- the leader: the end of a connection ------------------------------------------------------------------------- */

/* `sent`: all of it was. */
static void fail_lane(ckiti_redis_lane *lane, ckiti_redis_call *current, ckit_error *why, bool sent,
                      ckiti_redis_woken *woken, ckiti_redis_call **again) {
    const bool lost = sent && (why->status == CKIT_E_NETWORK || why->status == CKIT_E_TIMEOUT);
    uint64_t   end = lane->sent; /* a repeated call may be queued meanwhile */
    for (uint64_t head = atomic_load_explicit(&lane->head, memory_order_relaxed); head < end; head++) {
        ckiti_redis_place *place = ckiti_redis_place_at(lane, head);
        ckiti_redis_call  *call = atomic_exchange_explicit(&place->call, NULL, memory_order_acq_rel);
        call = current != NULL ? current : call; /* that one was taken out before */
        current = NULL;
        atomic_store_explicit(&lane->head, head + 1, memory_order_release);
        if (call == NULL) {
            continue;
        }
        call->unheard |= sent;
        ckiti_redis_call_fail(call, why, lost);
        why->sys_errno = EAGAIN; /* for the others it is no news */
        if (again != NULL && lost && call->finish != NULL) {
            call->next = *again;
            *again = call;
        } else {
            ckiti_redis_channel_finish(call, woken);
        }
    }
}

void ckiti_redis_channel_break(ckiti_redis_channel *ch, const ckit_error *why, bool unsent, ckiti_redis_woken *woken,
                               ckiti_redis_call **again) {
    ckit_error        told = *why;
    ckiti_redis_call *plain = is_gathered(ch) ? NULL : ch->turn.call;
    ckiti_redis_call *read = is_gathered(ch) ? ch->gathered.member : NULL;
    pthread_mutex_lock(&ch->lock);
    ckiti_redis_connection_close(&ch->connection);
    if (unsent) {
        queue_clear(ch->pending);
        for (int l = 0; l < CKITI_REDIS_LANES; l++) {
            ch->lanes[l].sent = atomic_load_explicit(&ch->lanes[l].tail, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&ch->lock);
    forget_answers(ch);
    fail_lane(&ch->lanes[CKITI_REDIS_PLAIN], plain, &told, !unsent, woken, again);
    fail_lane(&ch->lanes[CKITI_REDIS_READS], read, &told, !unsent, woken, again);
}
