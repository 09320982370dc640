#include "redirect.h"

#include "base/clock.h"
#include "failure.h"

#include <cachekit/buf.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FIRST_PAUSE_MS 5u /* doubled with every turn */

/* ---- commands of a round ----------------------------------------------------------------------------------------- */

/* A number behind a mark and the end of its line, of commands that were written here. */
static size_t skip_line(ckit_slice text, size_t *number) {
    size_t at = 1;
    *number = 0;
    while (at < text.len && text.ptr[at] != '\r') {
        *number = *number * 10 + (size_t)(text.ptr[at++] - '0');
    }
    return at + 2;
}

/* Bytes of the first command. */
static size_t command_len(ckit_slice text) {
    size_t words, len;
    size_t at = skip_line(text, &words);
    for (size_t i = 0; i < words; i++) {
        at += skip_line(ckit_slice_of(text.ptr + at, text.len - at), &len);
        at += len + 2;
    }
    return at;
}

static uint64_t all_of(const ckiti_redis_call *inner) {
    return inner->replies >= 64 ? UINT64_MAX : (UINT64_C(1) << inner->replies) - 1;
}

static void write_some(const ckiti_redis_turn_call *t, const ckit_buf *commands, ckiti_resp_writer *w) {
    for (size_t at = 0, i = 0; at < commands->len; i++) {
        size_t len = command_len(ckit_slice_of(commands->ptr + at, commands->len - at));
        if ((t->todo >> i & 1u) != 0 && w->status == CKIT_OK) {
            if (t->asking) {
                ckiti_resp_command(w, 1);
                ckiti_resp_text(w, "ASKING");
            }
            w->status =
                w->status == CKIT_OK ? ckit_buf_append(w->out, ckit_slice_of(commands->ptr + at, len)) : w->status;
        }
        at += len;
    }
}

static void write_turn(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const ckiti_redis_turn_call *t = (const ckiti_redis_turn_call *)call;
    if (!t->asking && t->todo == all_of(t->inner)) {
        t->inner->write(t->inner, w);
        return;
    }
    ckit_buf          commands;
    ckiti_resp_writer own;
    ckit_buf_init(&commands, t->cluster->alloc);
    ckiti_resp_writer_init(&own, &commands, SIZE_MAX);
    t->inner->write(t->inner, &own);
    if (own.status == CKIT_OK) {
        write_some(t, &commands, w);
    } else {
        w->status = own.status;
    }
    ckit_buf_fini(&commands);
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

/* Number of the reply of `inner` that comes now; UINT32_MAX for that of ASKING. */
static uint32_t number_now(const ckiti_redis_turn_call *t) {
    uint32_t nth = t->call.got;
    if (t->asking) {
        if (nth % 2 == 0) {
            return UINT32_MAX;
        }
        nth /= 2;
    }
    for (uint32_t i = 0; i < CKITI_REDIS_TURNABLE; i++) {
        if ((t->todo >> i & 1u) != 0 && nth-- == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void note_turned(ckiti_redis_turn_call *t, uint32_t number, ckiti_redis_turned kind,
                        const ckiti_redis_redirection *to, ckit_slice text) {
    t->again |= UINT64_C(1) << number;
    if (kind > t->kind) {
        t->kind = kind;
        t->to = *to;
        size_t len = text.len < sizeof t->text - 1 ? text.len : sizeof t->text - 1;
        memcpy(t->text, text.ptr, len);
        t->text[len] = '\0';
    }
}

static void take_turn(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_turn_call  *t = (ckiti_redis_turn_call *)call;
    ckiti_redis_redirection to;
    ckiti_redis_turned      kind = CKITI_REDIS_NOT_TURNED;
    uint32_t                number = number_now(t);
    if (number == UINT32_MAX) {
        return;
    }
    if (item->depth == 0 && item->type == CKITI_RESP_ERROR) {
        kind = ckiti_redis_redirection_read(item->text, &to);
    }
    if (kind != CKITI_REDIS_NOT_TURNED) {
        note_turned(t, number, kind, &to, item->text);
        return;
    }
    t->inner->got = number;
    t->inner->take(t->inner, item);
    call->strange = t->inner->strange;
}

static uint8_t *place_turn(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_turn_call *t = (ckiti_redis_turn_call *)call;
    uint32_t               number = number_now(t);
    if (number == UINT32_MAX || t->inner->place == NULL) {
        return NULL;
    }
    t->inner->got = number;
    return t->inner->place(t->inner, item);
}

static void begin_turn(ckiti_redis_call *call) {
    ckiti_redis_turn_call *t = (ckiti_redis_turn_call *)call;
    t->again = 0;
    t->kind = CKITI_REDIS_NOT_TURNED;
    if (t->todo == all_of(t->inner)) { /* otherwise something has been taken that counts */
        ckiti_redis_call_begin(t->inner);
    }
}

/* ---- from one round to the next ---------------------------------------------------------------------------------- */

static void prepare(ckiti_redis_turn_call *t) {
    t->call.replies = (uint32_t)__builtin_popcountll(t->todo) * (t->asking ? 2u : 1u);
}

static void find_node(ckiti_redis_turn_call *t) {
    t->asking = false;
    t->seat = ckiti_redis_cluster_route(t->cluster, t->slot);
    t->blind = t->seat == NULL;
    if (t->blind) {
        t->seat = ckiti_redis_cluster_any(t->cluster);
        ckiti_redis_cluster_notice(t->cluster, NULL);
    }
}

/* False, and the failure is filled, when there is no node to go to. */
static bool begin(ckiti_redis_turn_call *t, ckiti_redis_cluster *c, uint16_t slot, ckiti_redis_call *inner) {
    *t = (ckiti_redis_turn_call){.call = {.write = write_turn,
                                          .take = take_turn,
                                          .place = place_turn,
                                          .begin = begin_turn,
                                          .told = inner->told, /* behind the last round too */
                                          .told_count = inner->told_count,
                                          .large = inner->large,
                                          .once = inner->once,
                                          .err = inner->err,
                                          .until_ms = inner->until_ms,
                                          .patient = inner->patient},
                                 .inner = inner,
                                 .cluster = c,
                                 .slot = slot,
                                 .chances = ckiti_redis_cluster_chances(c),
                                 .todo = all_of(inner)};
    inner->status = CKIT_OK;
    find_node(t);
    prepare(t);
    if (t->seat == NULL) {
        inner->status = ckiti_redis_no_memory(inner->err, "a node of the cluster");
    }
    return t->seat != NULL;
}

/* The replies that turned it away become its failure. */
static void give_up(ckiti_redis_turn_call *t) {
    if (t->kind == CKITI_REDIS_LATER &&
        strncmp(t->text, "ERR", 3) == 0) { /* an error of its kind lasts, this one does not */
        snprintf(t->text, sizeof t->text, "TRYAGAIN a key of the script is moving to another node");
    }
    ckiti_resp_item item = {.type = CKITI_RESP_ERROR, .ends = true, .text = ckit_slice_str(t->text)};
    for (uint32_t i = 0; i < CKITI_REDIS_TURNABLE; i++) {
        if ((t->again >> i & 1u) != 0) {
            t->inner->got = i;
            t->inner->take(t->inner, &item);
        }
    }
    t->inner->got = t->inner->replies;
}

static bool time_is_over(const ckiti_redis_turn_call *t) { return ckiti_system_monotonic_ms() >= t->call.until_ms; }

/* The connection failed, or time did. True: another node is tried. */
static bool after_failure(ckiti_redis_turn_call *t) {
    ckiti_redis_cluster_notice(t->cluster, NULL);
    if (t->blind && t->call.status == CKIT_E_UNREACHABLE && t->chances > 0 && !time_is_over(t)) {
        t->chances--;
        find_node(t);
        if (t->seat != NULL) {
            return true;
        }
    }
    t->inner->status = t->call.status; /* the text is in its record already */
    t->inner->lost = t->call.lost;
    return false;
}

/* Where the rest of it goes: an empty name means the host that answered. */
static ckiti_redis_seat *find_target(ckiti_redis_turn_call *t) {
    if (t->to.to.host[0] == '\0') {
        memcpy(t->to.to.host, t->seat->at.host, sizeof t->to.to.host);
    }
    bool moved = t->kind == CKITI_REDIS_MOVED && t->to.slot == t->slot;
    return ckiti_redis_cluster_at(t->cluster, &t->to.to, moved ? t->slot : CKITI_REDIS_SLOTS);
}

/* The round is over. True: the next one goes to t->seat, after a pause of `pause_ms`. The old seat is the caller's. */
static bool step(ckiti_redis_turn_call *t, bool may_pause, uint32_t *pause_ms) {
    ckiti_redis_turned kind = t->kind;
    *pause_ms = 0;
    t->inner->unheard = t->call.unheard;
    if (t->call.status >= CKIT_E_FIRST) {
        return after_failure(t);
    }
    if (t->again == 0) {
        return false;
    }
    if (kind == CKITI_REDIS_DOWN || (kind == CKITI_REDIS_LATER && !may_pause) || t->turns == CKITI_REDIS_TURNS ||
        time_is_over(t)) {
        ckiti_redis_cluster_notice(t->cluster, NULL);
        give_up(t);
        return false;
    }
    ckiti_redis_seat *next = NULL;
    if (kind == CKITI_REDIS_LATER) {
        *pause_ms = FIRST_PAUSE_MS << t->turns;
        find_node(t);
        next = t->seat;
    } else {
        next = find_target(t);
        t->seat = next;
        t->asking = kind == CKITI_REDIS_ASK;
        t->blind = false;
        if (kind == CKITI_REDIS_MOVED) {
            ckiti_redis_cluster_notice(t->cluster, next);
        }
    }
    if (next == NULL) {
        give_up(t);
        return false;
    }
    t->turns++;
    t->todo = t->again;
    prepare(t);
    return true;
}

static void pause_for(const ckiti_redis_turn_call *t, uint32_t ms) {
    uint64_t left = ckiti_time_left(ckiti_system_monotonic_ms(), t->call.until_ms);
    ms = left < ms ? (uint32_t)left : ms;
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

/* ---- the two ways ------------------------------------------------------------------------------------------------ */

ckit_status ckiti_redis_cluster_call(ckiti_redis_cluster *c, uint16_t slot, ckiti_redis_call *inner) {
    ckiti_redis_turn_call t;
    if (!begin(&t, c, slot, inner)) {
        return inner->status;
    }
    for (bool more = true; more;) {
        ckiti_redis_seat *seat = t.seat;
        uint32_t          pause_ms;
        (void)ckiti_redis_node_call(&seat->node, &t.call);
        more = step(&t, true, &pause_ms);
        ckiti_redis_cluster_leave(seat);
        if (pause_ms > 0) {
            pause_for(&t, pause_ms);
        }
    }
    return inner->status;
}

/* In the thread of the node that answered. The seat is left last: its node must not end under this thread. */
static void finish_turn(ckiti_redis_call *call) {
    ckiti_redis_turn_call *t = (ckiti_redis_turn_call *)call;
    ckiti_redis_call      *inner = t->inner;
    ckiti_redis_seat      *seat = t->seat;
    uint32_t               pause_ms;
    if (step(t, false, &pause_ms)) {
        ckiti_redis_seat *next = t->seat;
        ckit_status       st = ckiti_redis_node_submit(&next->node, &t->call);
        if (st == CKIT_PENDING) { /* it may be over already */
            ckiti_redis_cluster_leave(seat);
            return;
        }
        ckiti_redis_cluster_leave(next);
        inner->status = st;
    }
    inner->finish(inner);
    ckiti_redis_cluster_leave(seat);
}

ckit_status ckiti_redis_cluster_submit(ckiti_redis_cluster *c, uint16_t slot, ckiti_redis_call *inner,
                                       ckiti_redis_turn_call *t) {
    if (!begin(t, c, slot, inner)) {
        return inner->status;
    }
    t->call.finish = finish_turn;
    ckiti_redis_seat *seat = t->seat;
    ckit_status       st = ckiti_redis_node_submit(&seat->node, &t->call);
    if (st != CKIT_PENDING) {
        ckiti_redis_cluster_leave(seat);
    }
    return st;
}
