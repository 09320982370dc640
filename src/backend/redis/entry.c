#include "entry.h"

#include "publish.h"

#include <cachekit/buf.h>

#define SPLIT_BYTES 4096u /* a longer value may reach the server in parts */

/* ---- reading ----------------------------------------------------------------------------------------------------- */

uint64_t ckiti_redis_life_of(int64_t pttl) {
    return pttl == -1 ? CKIT_LIFE_NO_EXPIRY : pttl < 0 ? CKIT_LIFE_UNKNOWN : pttl == 0 ? 1 : (uint64_t)pttl;
}

uint8_t *ckiti_redis_value_place(const ckiti_redis_store *store, ckit_buf *out, const ckiti_resp_item *item,
                                 ckit_status *st, ckit_error *err) {
    ckit_slice size = {NULL, (size_t)item->integer};
    *st = ckiti_redis_check_value(store, size, err);
    if (*st == CKIT_OK && ckit_buf_reserve_exact(out, size.len) != CKIT_OK) {
        *st = ckiti_redis_no_memory(err, "a value");
    }
    return *st == CKIT_OK ? out->ptr + out->len : NULL;
}

ckit_status ckiti_redis_append(ckit_buf *out, const ckiti_resp_item *item, ckit_error *err) {
    if (item->streamed) {
        out->len += (size_t)item->integer;
        return CKIT_OK;
    }
    if (ckit_buf_append(out, item->text) != CKIT_OK) {
        return ckiti_redis_no_memory(err, "a value");
    }
    return CKIT_OK;
}

static void write_read(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const ckiti_redis_read *read = (const ckiti_redis_read *)call;
    ckiti_redis_name        name = ckiti_redis_entry_name(read->store->prefix, read->key);
    if (read->life_ms != NULL) {
        ckiti_resp_command(w, 2);
        ckiti_resp_text(w, "PTTL");
        ckiti_redis_put_name(w, &name);
    }
    ckiti_resp_command(w, 2);
    ckiti_resp_text(w, "GET");
    ckiti_redis_put_name(w, &name);
}

static void put_read_name(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const ckiti_redis_read *read = (const ckiti_redis_read *)call;
    ckiti_redis_name        name = ckiti_redis_entry_name(read->store->prefix, read->key);
    ckiti_redis_put_name(w, &name);
}

static void take_life(ckiti_redis_call *call, int64_t pttl) {
    *((ckiti_redis_read *)call)->life_ms = ckiti_redis_life_of(pttl);
}

/* What another program keeps under this name in another form is no entry; a gathered read does not even see it. */
static bool is_foreign(const ckiti_resp_item *item) {
    static const char mark[] = "WRONGTYPE";
    return item->type == CKITI_RESP_ERROR && item->text.len >= sizeof mark - 1 &&
           memcmp(item->text.ptr, mark, sizeof mark - 1) == 0;
}

static void begin_read(ckiti_redis_call *call) {
    ckiti_redis_read *read = (ckiti_redis_read *)call;
    read->out->len = read->before;
}

static void take_value(ckiti_redis_read *read, const ckiti_resp_item *item) {
    ckiti_redis_call *call = &read->call;
    if (item->type == CKITI_RESP_NIL) {
        ckiti_redis_call_set(call, CKIT_MISS);
    } else if (item->type != CKITI_RESP_BULK) {
        ckiti_redis_call_unexpected(call);
    } else if (call->status == CKIT_OK) {
        ckit_status st = item->streamed ? CKIT_OK : ckiti_redis_check_value(read->store, item->text, call->err);
        if (st == CKIT_OK) {
            st = ckiti_redis_append(read->out, item, call->err);
        }
        ckiti_redis_call_set(call, st);
        if (item->integer > (int64_t)CKITI_REDIS_LARGE_BYTES || call->large) {
            ckiti_redis_remember_size(read->store, read->key, (uint64_t)item->integer);
        }
    }
}

static void take_read(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_read *read = (ckiti_redis_read *)call;
    bool              last = call->got + 1 == call->replies;
    if (is_foreign(item)) {
        ckiti_redis_call_set(call, CKIT_MISS);
        return;
    }
    if (ckiti_redis_call_refused(call, item)) {
        return;
    }
    if (last) {
        take_value(read, item);
    } else if (item->type == CKITI_RESP_INTEGER) {
        *read->life_ms = ckiti_redis_life_of(item->integer);
    } else {
        ckiti_redis_call_unexpected(call);
    }
}

static uint8_t *place_read(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_read *read = (ckiti_redis_read *)call;
    ckit_status       st = CKIT_OK;
    if (call->status != CKIT_OK || call->got + 1 != call->replies || item->depth > 0) {
        return NULL;
    }
    uint8_t *place = ckiti_redis_value_place(read->store, read->out, item, &st, call->err);
    ckiti_redis_call_set(call, st);
    return place;
}

void ckiti_redis_read_init(ckiti_redis_read *read, ckiti_redis_store *store, ckit_slice key, ckit_buf *out,
                           uint64_t *life_ms, ckit_error *err) {
    *read = (ckiti_redis_read){.call = {.write = write_read,
                                        .take = take_read,
                                        .place = place_read,
                                        .begin = begin_read,
                                        .put_name = life_ms != NULL ? put_read_name : NULL,
                                        .life = take_life,
                                        .replies = life_ms != NULL ? 2 : 1,
                                        .large = ckiti_redis_was_large(store, key),
                                        .err = err},
                               .store = store,
                               .key = key,
                               .out = out,
                               .before = out->len,
                               .life_ms = life_ms};
}

ckit_status ckiti_redis_get(void *self, ckit_slice key, uint64_t deadline_ms, ckit_buf *out, uint64_t *life_ms,
                            ckit_error *err) {
    ckiti_redis_read read;
    ckit_status      st = ckiti_redis_check_key(key, err);
    if (st == CKIT_OK) {
        ckiti_redis_read_init(&read, self, key, out, life_ms, err);
        st = ckiti_redis_perform(self, key, &read.call, deadline_ms);
        out->len = st == CKIT_OK ? out->len : read.before;
    }
    return st;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

void ckiti_redis_put_set(ckiti_resp_writer *w, ckit_slice prefix, ckit_slice key, ckit_slice value, uint64_t ttl_ms) {
    ckiti_redis_name name = ckiti_redis_entry_name(prefix, key);
    bool             ends = ttl_ms != CKIT_TTL_NO_EXPIRY;
    ckiti_resp_command(w, ends ? 5 : 3);
    ckiti_resp_text(w, "SET");
    ckiti_redis_put_name(w, &name);
    ckiti_resp_bytes(w, value);
    if (ends) {
        ckiti_resp_text(w, "PX");
        ckiti_resp_number(w, ttl_ms);
    }
}

static void write_write(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const ckiti_redis_write *write = (const ckiti_redis_write *)call;
    if (write->registers) {
        ckiti_redis_registration_write(&write->registration, w);
    }
    ckiti_redis_put_set(w, write->store->prefix, write->key, write->value, write->ttl_ms);
    if (write->twice) {
        ckiti_redis_registration_write(&write->registration, w);
    }
}

static void take_write(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_write *write = (ckiti_redis_write *)call;
    if (ckiti_redis_script_missing(item) && !write->registration.by_text) {
        write->missing = true;
    } else {
        (void)ckiti_redis_call_refused(call, item);
    }
}

static void begin_write(ckiti_redis_call *call) { ((ckiti_redis_write *)call)->missing = false; }

void ckiti_redis_write_init(ckiti_redis_write *write, ckiti_redis_store *store, ckit_slice key, ckit_slice value,
                            const ckit_entry_info *info, bool by_text, ckit_error *err) {
    *write = (ckiti_redis_write){
        .call =
            {.write = write_write, .take = take_write, .begin = begin_write, .replies = 1, .once = true, .err = err},
        .store = store,
        .key = key,
        .value = value,
        .ttl_ms = info->ttl_ms,
        .registers = !ckiti_redis_key_tells(key)};
    write->call.large = value.len > CKITI_REDIS_LARGE_BYTES;
    ckiti_redis_remember_size(store, key, value.len);
    if (write->registers) {
        ckiti_redis_registration_init(&write->registration, &store->naming, key, info);
        write->registration.by_text = by_text;
        write->twice = value.len > SPLIT_BYTES;
        write->call.replies += CKITI_REDIS_REGISTRATION_REPLIES * (write->twice ? 2u : 1u);
    }
}

ckit_status ckiti_redis_set(void *self, ckit_slice key, ckit_slice value, const ckit_entry_info *info,
                            uint64_t deadline_ms, ckit_error *err) {
    ckiti_redis_store *store = self;
    ckiti_redis_write  write;
    ckit_status        st = ckiti_redis_check_key(key, err);
    if (st == CKIT_OK) {
        st = ckiti_redis_check_value(store, value, err);
    }
    if (st == CKIT_OK) {
        ckiti_redis_write_init(&write, store, key, value, info, false, err);
        ckiti_redis_call_tells(&write.call, store->publishing, &key, 1);
        st = ckiti_redis_perform(store, key, &write.call, deadline_ms);
        if (st == CKIT_OK && write.missing) {
            write.registration.by_text = true;
            st = ckiti_redis_perform(store, key, &write.call, deadline_ms);
        }
    }
    return st;
}
