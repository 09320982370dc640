#include "reply.h"

#include <cachekit/buf.h>

static void write_commands(const ckiti_redis_call *call, ckiti_resp_writer *w) {
    const ckiti_redis_asker *asker = (const ckiti_redis_asker *)call;
    if (ckit_buf_append(w->out, ckit_buf_slice(&asker->commands)) != CKIT_OK) {
        w->status = CKIT_E_NO_MEMORY;
    }
}

static void begin(ckiti_redis_call *call) {
    ckiti_redis_asker *asker = (ckiti_redis_asker *)call;
    asker->bytes.len = 0;
    asker->parts.len = 0;
}

static uint8_t *place(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_asker *asker = (ckiti_redis_asker *)call;
    if (ckit_buf_reserve(&asker->bytes, (size_t)item->integer) != CKIT_OK) {
        ckiti_redis_call_set(call, ckiti_redis_no_memory(call->err, "a reply"));
        return NULL;
    }
    return asker->bytes.ptr + asker->bytes.len;
}

static void take(ckiti_redis_call *call, const ckiti_resp_item *item) {
    ckiti_redis_asker *asker = (ckiti_redis_asker *)call;
    if (call->status >= CKIT_E_FIRST || (!asker->tolerant && ckiti_redis_call_refused(call, item))) {
        return;
    }
    ckiti_redis_part part = {
        .type = item->type, .depth = item->depth, .integer = item->integer, .at = asker->bytes.len};
    if (item->streamed) {
        asker->bytes.len += (size_t)item->integer;
    } else if (ckit_buf_append(&asker->bytes, item->text) != CKIT_OK) {
        ckiti_redis_call_set(call, ckiti_redis_no_memory(call->err, "a reply"));
        return;
    }
    part.len = asker->bytes.len - part.at;
    if (ckit_buf_append(&asker->parts, ckit_slice_of(&part, sizeof part)) != CKIT_OK) {
        ckiti_redis_call_set(call, ckiti_redis_no_memory(call->err, "a reply"));
    }
}

void ckiti_redis_asker_init(ckiti_redis_asker *asker, ckiti_redis_store *store, ckit_error *err) {
    *asker = (ckiti_redis_asker){.call = {.write = write_commands,
                                          .take = take,
                                          .place = place,
                                          .begin = begin,
                                          .large = true,
                                          .asks = true,
                                          .err = err},
                                 .store = store,
                                 .node = &store->node};
    ckit_buf_init(&asker->commands, store->alloc);
    ckit_buf_init(&asker->bytes, store->alloc);
    ckit_buf_init(&asker->parts, store->alloc);
}

void ckiti_redis_asker_fini(ckiti_redis_asker *asker) {
    ckit_buf_fini(&asker->commands);
    ckit_buf_fini(&asker->bytes);
    ckit_buf_fini(&asker->parts);
}

ckiti_resp_writer ckiti_redis_asker_begin(ckiti_redis_asker *asker) {
    ckiti_resp_writer w;
    asker->commands.len = 0;
    ckiti_resp_writer_init(&w, &asker->commands, SIZE_MAX);
    return w;
}

ckit_status ckiti_redis_asker_run(ckiti_redis_asker *asker, const ckiti_resp_writer *w, uint32_t replies,
                                  uint64_t deadline_ms) {
    if (w->status != CKIT_OK) {
        return ckiti_redis_no_memory(asker->call.err, "commands");
    }
    asker->call.replies = replies;
    ckit_status st =
        replies == 0 ? CKIT_MISS : ckiti_redis_limit(asker->store, &asker->call, deadline_ms, asker->call.err);
    return st == CKIT_OK ? ckiti_redis_node_call(asker->node, &asker->call) : st == CKIT_MISS ? CKIT_OK : st;
}

ckiti_redis_part ckiti_redis_part_at(const ckiti_redis_asker *asker, size_t index) {
    ckiti_redis_part part = {.type = CKITI_RESP_NIL};
    if (index < ckiti_redis_part_count(asker)) {
        memcpy(&part, asker->parts.ptr + index * sizeof part, sizeof part);
    }
    return part;
}

ckit_slice ckiti_redis_part_text(const ckiti_redis_asker *asker, const ckiti_redis_part *part) {
    return part->len == 0 ? ckit_slice_of(NULL, 0) : ckit_slice_of(asker->bytes.ptr + part->at, part->len);
}
