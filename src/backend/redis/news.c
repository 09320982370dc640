/* What a watch says to the server, and what the server says to it. */
#include "watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "failure.h"
#include "format/invalidation.h"
#include "names.h"
#include "publish.h"

#include <string.h>

#define LONGEST_NAME 70000u /* no entry's name on the server is longer */

/* ---- saying ------------------------------------------------------------------------------------------------------ */

static ckit_status say(ckiti_redis_watch *w, const char *const *words, size_t count, ckit_slice last, ckit_error *err) {
    ckit_buf          room;
    ckiti_resp_writer writer;
    uint64_t          until = ckiti_time_after(ckiti_system_monotonic_ms(), w->dial.address->socket_timeout_ms);
    ckit_buf_init(&room, w->dial.alloc);
    ckiti_resp_writer_init(&writer, &room, SIZE_MAX);
    ckiti_resp_command(&writer, count + (last.len > 0));
    for (size_t i = 0; i < count; i++) {
        ckiti_resp_text(&writer, words[i]);
    }
    if (last.len > 0) {
        ckiti_resp_bytes(&writer, last);
    }
    struct iovec part = {room.ptr, room.len};
    ckit_status  st = writer.status == CKIT_OK ? ckiti_redis_connection_send(&w->connection, &part, 1, until, err)
                                               : ckiti_redis_no_memory(err, "a command");
    ckit_buf_fini(&room);
    return st;
}

static ckit_status ask_channel(ckiti_redis_watch *w, ckit_error *err) {
    static const char *const words[] = {"SUBSCRIBE", CKITI_INVALIDATION_CHANNEL};
    return say(w, words, 2, ckit_slice_of(NULL, 0), err);
}

static ckit_status ask_tracking(ckiti_redis_watch *w, ckit_error *err) {
    static const char *const words[] = {"CLIENT", "TRACKING", "ON", "BCAST", "PREFIX"};
    w->phase = CKITI_REDIS_ASKED_TRACKING;
    return say(w, words, w->prefix.len > 0 ? 5 : 4, w->prefix, err);
}

static bool is_tracking_alone(const ckiti_redis_watch *w) {
    return w->only_tracking || w->dial.address->invalidation == CKIT_REDIS_INVALIDATION_TRACKING;
}

ckit_status ckiti_redis_watch_ask(ckiti_redis_watch *w, ckit_error *err) {
    ckit_redis_invalidation means = w->dial.address->invalidation;
    bool                    can = w->connection.protocol == 3;
    w->news = (ckiti_redis_news){.at = 0};
    if (can && means != CKIT_REDIS_INVALIDATION_PUBSUB) {
        return ask_tracking(w, err);
    }
    if (is_tracking_alone(w)) {
        return ckit_fail(err, CKIT_E_REJECTED, CKITI_REDIS_WHERE,
                         w->only_tracking
                             ? "the node has no tracking of clients"
                             : "the server has no tracking of clients: set invalidation to auto or pubsub");
    }
    w->phase = CKITI_REDIS_ASKED_CHANNEL;
    return ask_channel(w, err);
}

ckit_status ckiti_redis_watch_ping(ckiti_redis_watch *w, ckit_error *err) {
    static const char *const words[] = {"PING"};
    return say(w, words, 1, ckit_slice_of(NULL, 0), err);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void now_guarded(ckiti_redis_watch *w, ckiti_redis_publishing publishing) {
    atomic_store(w->publishing, publishing);
    w->phase = CKITI_REDIS_WATCHING;
    w->guarded = true;
    w->guarded_ms = ckiti_system_monotonic_ms();
    w->told = CKIT_OK;
    w->sink->guarded(w->sink->self, CKIT_GUARDS_READS | CKIT_GUARDS_WRITES);
}

static ckit_status tracking_refused(ckiti_redis_watch *w, const ckiti_resp_item *item, ckit_error *err) {
    ckit_status st = ckiti_redis_refusal(err, item->text);
    bool        never = st == CKIT_E_CREDENTIALS || st == CKIT_E_REJECTED;
    if (!never || is_tracking_alone(w)) {
        return st;
    }
    if (w->told != st) {
        w->told = st;
        ckiti_log(w->log, CKIT_LOG_WARNING, CKITI_REDIS_WHERE,
                  "no tracking of changes: the server refuses CLIENT TRACKING; copies in memory hear of changes by "
                  "processes of this library alone");
    }
    w->phase = CKITI_REDIS_ASKED_CHANNEL;
    return ask_channel(w, err);
}

static ckit_status take_answer(ckiti_redis_watch *w, const ckiti_resp_item *item, ckit_error *err) {
    bool error = item->type == CKITI_RESP_ERROR;
    switch (w->phase) {
    case CKITI_REDIS_ASKED_TRACKING:
        if (error) {
            return tracking_refused(w, item, err);
        }
        now_guarded(w, CKITI_REDIS_SILENT);
        return ask_channel(w, err); /* when that is refused, all is well too */
    case CKITI_REDIS_ASKED_CHANNEL: return error ? ckiti_redis_refusal(err, item->text) : CKIT_OK;
    default: return CKIT_OK; /* a sign of life */
    }
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static bool is_text(const ckiti_resp_item *item, const char *text) {
    return (item->type == CKITI_RESP_BULK || item->type == CKITI_RESP_SIMPLE) &&
           ckit_slice_equal(item->text, ckit_slice_str(text));
}

static void everything_changed(const ckiti_redis_watch *w) {
    static const ckit_scope all = {.kind = CKIT_SCOPE_ALL};
    w->sink->scope_changed(w->sink->self, &all);
}

static void take_name(const ckiti_redis_watch *w, ckit_slice name) {
    ckit_slice key;
    if (ckiti_redis_key_of(w->prefix, name, &key)) {
        w->sink->changed(w->sink->self, key);
    }
}

/* What is malformed was not made by this library: it is passed over. In a tracking link the server tells all that. */
static void take_message(const ckiti_redis_watch *w, ckit_slice message) {
    ckiti_invalidation what;
    bool               tracking = atomic_load(w->publishing) == CKITI_REDIS_SILENT;
    if (tracking || !w->guarded) {
        return;
    }
    if (ckiti_invalidation_read(message, &what, NULL) == CKIT_OK) {
        ckiti_invalidation_tell(&what, w->sink);
        return;
    }
    ckiti_log(w->log, CKIT_LOG_WARNING, CKITI_REDIS_WHERE, "a message of %zu bytes about changes cannot be read",
              message.len);
    if (w->sink->counted != NULL) {
        w->sink->counted(w->sink->self, CKIT_WATCH_MALFORMED);
    }
}

static void take_kind(ckiti_redis_watch *w, const ckiti_resp_item *item) {
    w->news.kind = is_text(item, "invalidate")  ? CKITI_REDIS_NEWS_KEYS
                   : is_text(item, "message")   ? CKITI_REDIS_NEWS_MESSAGE
                   : is_text(item, "subscribe") ? CKITI_REDIS_NEWS_SUBSCRIBED
                                                : CKITI_REDIS_NEWS_OTHER;
    if (w->news.kind == CKITI_REDIS_NEWS_SUBSCRIBED && w->phase == CKITI_REDIS_ASKED_CHANNEL) {
        now_guarded(w, CKITI_REDIS_PUBLISHES);
    }
}

/* `text` NULL: it was too long to be kept. */
static void take_element(ckiti_redis_watch *w, const ckiti_resp_item *item, const ckit_slice *text) {
    uint32_t at = item->depth == 1 ? w->news.at++ : w->news.at;
    if (at == 0) {
        take_kind(w, item);
    } else if (w->news.kind == CKITI_REDIS_NEWS_KEYS && item->type == CKITI_RESP_NIL) {
        everything_changed(w); /* the data were flushed */
    } else if (w->news.kind == CKITI_REDIS_NEWS_KEYS && item->type == CKITI_RESP_BULK) {
        if (text != NULL) {
            take_name(w, *text);
        } else if (item->integer <= (int64_t)LONGEST_NAME) {
            everything_changed(w);
        }
    } else if (w->news.kind == CKITI_REDIS_NEWS_MESSAGE && at == 2 && item->type == CKITI_RESP_BULK && text != NULL) {
        take_message(w, *text);
    }
}

static ckit_status take_item(ckiti_redis_watch *w, const ckiti_resp_item *item, ckit_error *err) {
    ckit_slice text = item->streamed ? ckit_buf_slice(&w->long_text) : item->text;
    bool       lost = item->streamed && w->long_text.len != (size_t)item->integer;
    if (item->depth > 0) {
        if (w->news.inside) {
            take_element(w, item, lost ? NULL : &text);
        }
        return CKIT_OK;
    }
    /* Before RESP3 messages are arrays. */
    w->news = (ckiti_redis_news){.inside = item->push || item->type == CKITI_RESP_ARRAY};
    return w->news.inside ? CKIT_OK : take_answer(w, item, err);
}

static uint8_t *place_of(ckiti_redis_watch *w, const ckiti_resp_item *item) {
    size_t len = (size_t)item->integer;
    w->long_text.len = 0;
    if (len > LONGEST_NAME || ckit_buf_reserve(&w->long_text, len) != CKIT_OK) {
        return NULL;
    }
    w->long_text.len = len;
    return w->long_text.ptr;
}

ckit_status ckiti_redis_watch_take(ckiti_redis_watch *w, ckit_error *err) {
    ckiti_resp_reader *reader = &w->connection.reader;
    for (;;) {
        ckiti_resp_item item;
        ckit_status     st = CKIT_OK;
        switch (ckiti_resp_next(reader, &item)) {
        case CKITI_RESP_MORE: return CKIT_OK;
        case CKITI_RESP_BAD: return ckiti_redis_garbage(err, reader->why);
        case CKITI_RESP_BODY: ckiti_resp_into(reader, place_of(w, &item)); continue;
        default: st = take_item(w, &item, err); break;
        }
        if (st != CKIT_OK) {
            return st;
        }
    }
}
