/* Many entries at once: one round trip for each portion of keys. */
#include "entry.h"
#include "publish.h"
#include "spread.h"

#include "base/alloc.h"

#include <cachekit/buf.h>

#define PORTION CKITI_REDIS_PORTION

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct read_many {
    ckiti_redis_call   call;
    ckiti_redis_store *store;
    const ckit_slice  *keys;
    size_t             count;
    size_t             lives; /* replies before that of MGET: one for each key, or none when nobody wants them */
    ckit_buf          *out;
    size_t            *before; /* lengths of `out` at the beginning */
    uint64_t          *life_ms;
    ckit_status       *answers;
    size_t             at; /* the element of MGET that comes next */
} read_many;

static void write_read_many(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const read_many *many = (const read_many *)call;
    for (size_t i = 0; i < many->lives; i++) {
        ckiti_redis_name name = ckiti_redis_entry_name(many->store->prefix, many->keys[i]);
        ckiti_resp_command(w, 2);
        ckiti_resp_text(w, "PTTL");
        ckiti_redis_put_name(w, &name);
    }
    ckiti_resp_command(w, 1 + many->count);
    ckiti_resp_text(w, "MGET");
    for (size_t i = 0; i < many->count; i++) {
        ckiti_redis_name name = ckiti_redis_entry_name(many->store->prefix, many->keys[i]);
        ckiti_redis_put_name(w, &name);
    }
}

static void begin_read_many(ckiti_redis_call *call) {
    read_many *many = (read_many *)call;
    many->at = 0;
    for (size_t i = 0; i < many->count; i++) {
        many->out[i].len = many->before[i];
        many->answers[i] = CKIT_OK;
    }
}

static uint8_t *place_read_many(ckiti_redis_call *call, const ckiti_resp_item *item) {
    read_many *many = (read_many *)call;
    if (call->got != many->lives || item->depth != 1 || many->at >= many->count) {
        return NULL;
    }
    size_t i = many->at;
    return ckiti_redis_value_place(many->store, &many->out[i], item, &many->answers[i], NULL);
}

static void take_element(read_many *many, const ckiti_resp_item *item) {
    size_t i = many->at++;
    if (item->type == CKITI_RESP_NIL) {
        many->answers[i] = CKIT_MISS;
    } else if (item->type != CKITI_RESP_BULK) {
        ckiti_redis_call_unexpected(&many->call);
    } else if (many->answers[i] == CKIT_OK) {
        ckit_status st = item->streamed ? CKIT_OK : ckiti_redis_check_value(many->store, item->text, NULL);
        many->answers[i] = st == CKIT_OK ? ckiti_redis_append(&many->out[i], item, NULL) : st;
        if (item->integer > (int64_t)CKITI_REDIS_LARGE_BYTES) {
            ckiti_redis_remember_size(many->store, many->keys[i], (uint64_t)item->integer);
        }
    }
}

static void take_read_many(ckiti_redis_call *call, const ckiti_resp_item *item) {
    read_many *many = (read_many *)call;
    if (item->depth == 0 && ckiti_redis_call_refused(call, item)) {
        return;
    }
    if (call->got < many->lives) {
        if (item->type != CKITI_RESP_INTEGER) {
            ckiti_redis_call_unexpected(call);
        } else {
            many->life_ms[call->got] = ckiti_redis_life_of(item->integer);
        }
        return;
    }
    bool header = item->depth == 0;
    if (header ? (item->type != CKITI_RESP_ARRAY || item->integer != (int64_t)many->count)
               : (item->depth != 1 || many->at >= many->count)) {
        ckiti_redis_call_unexpected(call);
    } else if (!header) {
        take_element(many, item);
    }
}

static ckit_status read_portion(ckiti_redis_store *store, const ckit_slice *keys, size_t count, uint64_t deadline_ms,
                                ckit_buf *out, uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    size_t    before[PORTION];
    size_t    lives = life_ms != NULL ? count : 0;
    read_many many = {.call = {.write = write_read_many,
                               .take = take_read_many,
                               .place = place_read_many,
                               .begin = begin_read_many,
                               .replies = (uint32_t)lives + 1,
                               .err = err},
                      .store = store,
                      .keys = keys,
                      .count = count,
                      .lives = lives,
                      .out = out,
                      .before = before,
                      .life_ms = life_ms,
                      .answers = answers};
    for (size_t i = 0; i < count; i++) {
        ckit_status st = ckiti_redis_check_key(keys[i], err);
        if (st != CKIT_OK) {
            return st;
        }
        before[i] = out[i].len;
        many.call.large = many.call.large || ckiti_redis_was_large(store, keys[i]);
    }
    ckit_status st = ckiti_redis_perform(store, keys[0], &many.call, deadline_ms);
    for (size_t i = 0; i < count; i++) {
        out[i].len = st == CKIT_OK && answers[i] == CKIT_OK ? out[i].len : before[i];
    }
    return st;
}

/* Over the nodes of a cluster. */
static ckit_status read_spread(ckiti_redis_store *store, const ckit_slice *keys, size_t count, uint64_t deadline_ms,
                               ckit_buf *out, uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    ckiti_redis_call *calls[PORTION];
    bool              alone[PORTION];
    ckiti_redis_read *reads = ckiti_alloc(store->alloc, count * sizeof *reads);
    if (reads == NULL) {
        return ckiti_redis_no_memory(err, "reading many");
    }
    ckit_status st = CKIT_OK;
    for (size_t i = 0; i < count; i++) {
        st = st == CKIT_OK ? ckiti_redis_check_key(keys[i], err) : st;
        ckiti_redis_read_init(&reads[i], store, keys[i], &out[i], life_ms == NULL ? NULL : &life_ms[i], NULL);
        calls[i] = &reads[i].call;
    }
    if (st == CKIT_OK) {
        st = ckiti_redis_spread(store, keys, calls, alone, count, deadline_ms, err);
    }
    for (size_t i = 0; i < count; i++) {
        answers[i] = reads[i].call.status;
        out[i].len = st == CKIT_OK && answers[i] == CKIT_OK && !alone[i] ? out[i].len : reads[i].before;
        if (st == CKIT_OK && alone[i]) {
            answers[i] =
                ckiti_redis_get(store, keys[i], deadline_ms, &out[i], life_ms == NULL ? NULL : &life_ms[i], NULL);
        }
    }
    ckiti_free(store->alloc, reads, count * sizeof *reads);
    return st;
}

ckit_status ckiti_redis_get_many(void *self, const ckit_slice *keys, size_t count, uint64_t deadline_ms, ckit_buf *out,
                                 uint64_t *life_ms, ckit_status *answers, ckit_error *err) {
    bool spreads = ((ckiti_redis_store *)self)->cluster != NULL;
    for (size_t at = 0; at < count; at += PORTION) {
        size_t      some = count - at < PORTION ? count - at : PORTION;
        ckit_status st = (spreads ? read_spread : read_portion)(
            self, keys + at, some, deadline_ms, out + at, life_ms == NULL ? NULL : life_ms + at, answers + at, err);
        if (st != CKIT_OK) {
            return st;
        }
    }
    return CKIT_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct write_many {
    ckiti_redis_call       call;
    ckiti_redis_store     *store;
    const ckit_slice      *keys;
    const ckit_slice      *values;
    const ckit_entry_info *infos;
    size_t                 count;
    ckit_status           *answers;
    bool                   by_text;
    bool                   missing;
    size_t                 at;   /* the entry whose replies come next */
    uint32_t               left; /* of its replies; 0: not begun */
} write_many;

static uint32_t replies_of(ckit_slice key) {
    return 1 + (ckiti_redis_key_tells(key) ? 0 : CKITI_REDIS_REGISTRATION_REPLIES);
}

static void write_write_many(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const write_many *many = (const write_many *)call;
    for (size_t i = 0; i < many->count; i++) {
        if (!ckiti_redis_key_tells(many->keys[i])) {
            ckiti_redis_registration r;
            ckiti_redis_registration_init(&r, &many->store->naming, many->keys[i], &many->infos[i]);
            r.by_text = many->by_text;
            ckiti_redis_registration_write(&r, w);
        }
        ckiti_redis_put_set(w, many->store->prefix, many->keys[i], many->values[i], many->infos[i].ttl_ms);
    }
}

static void begin_write_many(ckiti_redis_call *call) {
    write_many *many = (write_many *)call;
    many->at = 0;
    many->left = 0;
    many->missing = false;
    for (size_t i = 0; i < many->count; i++) {
        many->answers[i] = CKIT_OK;
    }
}

static void take_write_many(ckiti_redis_call *call, const ckiti_resp_item *item) {
    write_many *many = (write_many *)call;
    size_t      i = many->at;
    many->left = many->left == 0 ? replies_of(many->keys[i]) : many->left;
    if (ckiti_redis_script_missing(item) && !many->by_text) {
        many->missing = true;
    } else if (item->type == CKITI_RESP_ERROR && item->depth == 0) {
        many->answers[i] = ckiti_redis_refusal(NULL, item->text);
    }
    if (item->ends && --many->left == 0) {
        many->at++;
    }
}

size_t ckiti_redis_portion_of(const ckit_slice *values, size_t count) {
    size_t bytes = 0;
    size_t some = 0;
    while (some < count && some < PORTION && (some == 0 || bytes + values[some].len <= CKITI_REDIS_LARGE_BYTES)) {
        bytes += values[some++].len;
    }
    return some;
}

static ckit_status write_portion(ckiti_redis_store *store, const ckit_slice *keys, const ckit_slice *values,
                                 const ckit_entry_info *infos, size_t count, uint64_t deadline_ms, ckit_status *answers,
                                 ckit_error *err) {
    write_many many = {.call = {.write = write_write_many,
                                .take = take_write_many,
                                .begin = begin_write_many,
                                .once = true,
                                .err = err},
                       .store = store,
                       .keys = keys,
                       .values = values,
                       .infos = infos,
                       .count = count,
                       .answers = answers};
    for (size_t i = 0; i < count; i++) {
        ckit_status st = ckiti_redis_check_key(keys[i], err);
        if (st != CKIT_OK) {
            return st;
        }
        many.call.replies += replies_of(keys[i]);
        ckiti_redis_remember_size(store, keys[i], values[i].len);
    }
    ckiti_redis_call_tells(&many.call, store->publishing, keys, (uint32_t)count);
    ckit_status st = ckiti_redis_perform(store, keys[0], &many.call, deadline_ms);
    if (st == CKIT_OK && many.missing) {
        many.by_text = true;
        st = ckiti_redis_perform(store, keys[0], &many.call, deadline_ms);
    }
    return st;
}

/* Over the nodes of a cluster. A node that does not know the scripts is asked again by text, for all of them at
 * once. */
static ckit_status write_spread(ckiti_redis_store *store, const ckit_slice *keys, const ckit_slice *values,
                                const ckit_entry_info *infos, size_t count, uint64_t deadline_ms, ckit_status *answers,
                                ckit_error *err) {
    ckiti_redis_call  *calls[PORTION];
    bool               alone[PORTION];
    ckiti_redis_write *writes = ckiti_alloc(store->alloc, count * sizeof *writes);
    if (writes == NULL) {
        return ckiti_redis_no_memory(err, "writing many");
    }
    ckit_status st = CKIT_OK;
    for (size_t i = 0; st == CKIT_OK && i < count; i++) {
        st = ckiti_redis_check_key(keys[i], err);
        ckiti_redis_write_init(&writes[i], store, keys[i], values[i], &infos[i], false, NULL);
        ckiti_redis_call_tells(&writes[i].call, store->publishing, &keys[i], 1);
        calls[i] = &writes[i].call;
    }
    for (int pass = 0; st == CKIT_OK && pass < 2; pass++) {
        bool any = false;
        for (size_t i = 0; i < count; i++) {
            any = any || calls[i] != NULL;
        }
        st = any ? ckiti_redis_spread(store, keys, calls, alone, count, deadline_ms, err) : CKIT_OK;
        for (size_t i = 0; st == CKIT_OK && i < count; i++) {
            if (calls[i] == NULL) {
                continue;
            }
            answers[i] = alone[i] ? ckiti_redis_set(store, keys[i], values[i], &infos[i], deadline_ms, NULL)
                                  : writes[i].call.status;
            writes[i].registration.by_text = true;
            calls[i] = !alone[i] && writes[i].missing && answers[i] == CKIT_OK ? calls[i] : NULL;
        }
    }
    ckiti_free(store->alloc, writes, count * sizeof *writes);
    return st;
}

ckit_status ckiti_redis_set_many(void *self, const ckit_slice *keys, const ckit_slice *values,
                                 const ckit_entry_info *infos, size_t count, uint64_t deadline_ms, ckit_status *answers,
                                 ckit_error *err) {
    bool spreads = ((ckiti_redis_store *)self)->cluster != NULL;
    for (size_t at = 0; at < count;) {
        size_t      some = ckiti_redis_portion_of(values + at, count - at);
        ckit_status st;
        if (values[at].len > CKITI_REDIS_LARGE_BYTES) { /* its answer is its own */
            st = ckiti_redis_set(self, keys[at], values[at], &infos[at], deadline_ms, err);
            answers[at] = st;
            st = st == CKIT_E_TOO_LARGE ? CKIT_OK : st;
        } else {
            st = (spreads ? write_spread : write_portion)(self, keys + at, values + at, infos + at, some, deadline_ms,
                                                          answers + at, err);
        }
        if (st != CKIT_OK) {
            return st;
        }
        at += some;
    }
    return CKIT_OK;
}
