#include "connection.h"

#include "base/clock.h"
#include "failure.h"

#include <errno.h>
#include <string.h>

/* ---- calls ------------------------------------------------------------------------------------------------------- */

void ckiti_redis_call_begin(ckiti_redis_call *call) {
    call->got = 0;
    call->status = CKIT_OK;
    call->lost = call->strange = false;
    call->next = NULL;
    if (call->begin != NULL) {
        call->begin(call);
    }
}

void ckiti_redis_call_fail(ckiti_redis_call *call, const ckit_error *why, bool lost) {
    call->status = why->status;
    call->lost = lost;
    if (call->err != NULL) {
        *call->err = *why;
    }
}

bool ckiti_redis_call_refused(ckiti_redis_call *call, const ckiti_resp_item *item) {
    if (item->type != CKITI_RESP_ERROR) {
        return false;
    }
    if (call->status < CKIT_E_FIRST) {
        call->status = ckiti_redis_refusal(call->err, item->text);
    }
    return true;
}

#define STRANGE "a reply of another type than the command has"

void ckiti_redis_call_unexpected(ckiti_redis_call *call) {
    call->strange = true;
    if (call->status < CKIT_E_FIRST) {
        call->status = ckiti_redis_garbage(call->err, STRANGE);
    }
}

/* ---- making and ending ------------------------------------------------------------------------------------------- */

ckit_status ckiti_redis_connection_init(ckiti_redis_connection *c, const ckiti_redis_dial *dial) {
    *c = (ckiti_redis_connection){.dial = dial, .protocol = 2};
    return ckiti_resp_reader_init(&c->reader, dial->alloc);
}

void ckiti_redis_connection_close(ckiti_redis_connection *c) {
    if (c->stream != NULL) {
        if (c->dial->observer.stream != NULL) {
            c->dial->observer.stream(c->dial->observer.self, NULL);
        }
        c->stream->ops->close(c->stream);
        c->stream = NULL;
    }
}

void ckiti_redis_connection_forget(ckiti_redis_connection *c) {
    if (c->stream != NULL) {
        c->stream->ops->forget(c->stream);
        c->stream = NULL;
    }
}

void ckiti_redis_connection_fini(ckiti_redis_connection *c) {
    ckiti_redis_connection_close(c);
    ckiti_resp_reader_fini(&c->reader);
}

/* ---- which server ------------------------------------------------------------------------------------------------ */

static ckit_status with_label(const ckiti_redis_connection *c, ckit_status st, ckit_error *err) {
    ckiti_redis_name_server(err, &c->label);
    return st;
}

ckit_status ckiti_redis_connection_late(const ckiti_redis_connection *c, ckit_error *err) {
    return with_label(c, ckiti_redis_late(err, "waiting for a reply"), err);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

/* Of a connection that was there: what has been sent may have arrived, also when the way to the server is gone now. */
static ckit_status lost(const ckiti_redis_connection *c, const char *what, ckit_error *err) {
    int         code = errno;
    ckit_status st = ckiti_redis_network(err, code, what);
    if (st == CKIT_E_UNREACHABLE) {
        st = ckit_fail_errno(err, CKIT_E_NETWORK, code, CKITI_REDIS_WHERE, "%s", what);
    }
    return with_label(c, st, err);
}

ckit_status ckiti_redis_connection_send(ckiti_redis_connection *c, struct iovec *parts, int count, uint64_t until_ms,
                                        ckit_error *err) {
    if (c->stream->ops->write(c->stream, parts, count, until_ms) != 0) {
        return lost(c, "sending", err);
    }
    return CKIT_OK;
}

ckit_status ckiti_redis_connection_receive(ckiti_redis_connection *c, uint64_t until_ms, ckit_error *err) {
    struct iovec parts[2];
    int          count = ckiti_resp_room(&c->reader, parts);
    ssize_t      n = c->stream->ops->read(c->stream, parts, count, until_ms);
    if (n > 0) {
        ckiti_resp_fed(&c->reader, (size_t)n);
        c->read_at_ms = ckiti_system_monotonic_ms();
        return CKIT_OK;
    }
    if (n == 0) {
        return with_label(c, ckit_fail(err, CKIT_E_NETWORK, CKITI_REDIS_WHERE, "the server closed the connection"),
                          err);
    }
    return errno == ETIMEDOUT ? CKIT_E_TIMEOUT : lost(c, "receiving", err);
}

/* ---- a master that is none any more ------------------------------------------------------------------------------ */

static bool tells_demotion(const ckiti_resp_item *item) {
    static const char *const marks[] = {"READONLY", "MASTERDOWN"};
    for (size_t i = 0; i < 2 && item->type == CKITI_RESP_ERROR && item->depth == 0; i++) {
        size_t len = strlen(marks[i]);
        if (item->text.len >= len && memcmp(item->text.ptr, marks[i], len) == 0) {
            return true;
        }
    }
    return false;
}

ckit_status ckiti_redis_connection_check_master(const ckiti_redis_connection *c, ckit_error *err) {
    return c->demoted
               ? with_label(c, ckit_fail(err, CKIT_E_NETWORK, CKITI_REDIS_WHERE, "the server is no master any more"),
                            err)
               : CKIT_OK;
}

/* ---- replies ----------------------------------------------------------------------------------------------------- */

static ckiti_redis_progress garbage(const ckiti_redis_connection *c, const char *why, ckit_error *err) {
    (void)with_label(c, ckiti_redis_garbage(err, why), err);
    return CKITI_REDIS_BAD;
}

static uint8_t *place_of(const ckiti_redis_turn *turn, const ckiti_resp_item *item) {
    ckiti_redis_call *call = turn->call;
    if (item->push || call == NULL || call->place == NULL) {
        return NULL;
    }
    ckiti_redis_call_extend(call, (uint64_t)item->integer);
    return call->place(call, item);
}

ckiti_redis_progress ckiti_redis_connection_take(ckiti_redis_connection *c, ckiti_redis_turn *turn, ckit_error *err) {
    for (;;) {
        ckiti_resp_item item;
        switch (ckiti_resp_next(&c->reader, &item)) {
        case CKITI_RESP_MORE: return CKITI_REDIS_MORE;
        case CKITI_RESP_BAD: return garbage(c, c->reader.why, err);
        case CKITI_RESP_BODY: ckiti_resp_into(&c->reader, place_of(turn, &item)); continue;
        default: break;
        }
        if (item.push) {
            if (c->dial->push.take != NULL) {
                c->dial->push.take(c->dial->push.self, &item);
            }
            continue;
        }
        if (turn->left == 0) {
            return garbage(c, "a reply to nothing that was asked", err);
        }
        if (turn->call != NULL) {
            if (turn->call->got < turn->call->replies) {
                turn->call->take(turn->call, &item);
            } else if (c->dial->observer.published != NULL) {
                c->dial->observer.published(c->dial->observer.self, &item);
            }
            if (turn->call->strange) {
                return garbage(c, STRANGE, err);
            }
            turn->call->got += item.ends;
        }
        if (c->dial->masters_only && tells_demotion(&item)) {
            c->demoted = true;
            if (turn->call != NULL) { /* nothing was done: it may be asked again, of the new master */
                turn->call->lost = true;
            }
        }
        if (item.ends && --turn->left == 0) {
            return CKITI_REDIS_DONE;
        }
    }
}

void ckiti_redis_connection_drop(ckiti_redis_connection *c, ckiti_redis_turn *turn) {
    turn->call = NULL;
    if (c->reader.body) {
        ckiti_resp_into(&c->reader, NULL);
    }
}

ckit_status ckiti_redis_connection_check(ckiti_redis_connection *c, ckit_error *err) {
    if (ckiti_resp_idle(&c->reader) && ckiti_system_monotonic_ms() == c->read_at_ms) {
        return CKIT_OK;
    }
    for (;;) {
        ckiti_redis_turn nobody = {NULL, 0};
        ckit_status      st = ckiti_redis_connection_receive(c, 0, err);
        if (st != CKIT_OK) {
            return st == CKIT_E_TIMEOUT ? CKIT_OK : st;
        }
        if (ckiti_redis_connection_take(c, &nobody, err) == CKITI_REDIS_BAD) {
            return CKIT_E_IO;
        }
    }
}

/* ---- one call alone ---------------------------------------------------------------------------------------------- */

static ckit_status send_call(ckiti_redis_connection *c, ckiti_redis_call *call, ckit_buf *scratch, ckit_error *why) {
    ckiti_resp_writer w;
    scratch->len = 0;
    ckiti_resp_writer_init(&w, scratch, CKITI_RESP_INLINE_MAX);
    ckiti_redis_call_write(call, &w);
    if (w.status != CKIT_OK) {
        return ckiti_redis_no_memory(why, "a command");
    }
    ckiti_redis_call_extend(call, w.late.len);
    struct iovec parts[3] = {{scratch->ptr, w.late.len > 0 ? w.late_at : scratch->len}};
    int          count = 1;
    if (w.late.len > 0) {
        parts[count++] = (struct iovec){(void *)(uintptr_t)w.late.ptr, w.late.len};
        parts[count++] = (struct iovec){scratch->ptr + w.late_at, scratch->len - w.late_at};
    }
    c->read_at_ms = ckiti_system_monotonic_ms();
    return ckiti_redis_connection_send(c, parts, count, call->until_ms, why);
}

static ckit_status receive_call(ckiti_redis_connection *c, ckiti_redis_call *call, ckit_error *why) {
    ckiti_redis_turn turn = {call, ckiti_redis_call_replies(call)};
    for (;;) {
        ckiti_redis_progress progress = ckiti_redis_connection_take(c, &turn, why);
        if (progress != CKITI_REDIS_MORE) {
            return progress == CKITI_REDIS_DONE ? CKIT_OK : why->status;
        }
        uint64_t    silence = ckiti_time_after(c->read_at_ms, c->dial->address->socket_timeout_ms);
        ckit_status st = ckiti_redis_connection_receive(c, call->until_ms < silence ? call->until_ms : silence, why);
        if (st == CKIT_E_TIMEOUT) {
            return ckiti_redis_connection_late(c, why);
        }
        if (st != CKIT_OK) {
            return st;
        }
    }
}

void ckiti_redis_connection_run(ckiti_redis_connection *c, ckiti_redis_call *call, ckit_buf *scratch) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_status st = send_call(c, call, scratch, &why);
    bool        sent = st != CKIT_E_NO_MEMORY;
    if (st == CKIT_OK) {
        st = receive_call(c, call, &why);
    }
    if (st == CKIT_OK && c->demoted) {
        ckiti_redis_connection_close(c);
    }
    if (st != CKIT_OK) {
        if (sent) {
            ckiti_redis_connection_close(c);
        }
        call->unheard |= sent;
        ckiti_redis_call_fail(call, &why, st == CKIT_E_NETWORK);
    }
}
