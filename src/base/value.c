#include <cachekit/value.h>

#include "base/alloc.h"
#include <cachekit/buf.h>

void ckit_value_init(ckit_value *value) {
    value->data = ckit_slice_of(NULL, 0);
    value->object = NULL;
    value->life_ms = 0;
    value->source = CKIT_SOURCE_NONE;
    value->stale = false;
    value->release = NULL;
    value->owner = NULL;
    value->owner_size = 0;
}

const char *ckit_source_name(ckit_source source) {
    switch (source) {
    case CKIT_SOURCE_MEMORY: return "memory";
    case CKIT_SOURCE_STORE: return "store";
    case CKIT_SOURCE_FUNCTION: return "function";
    case CKIT_SOURCE_FLIGHT: return "flight";
    case CKIT_SOURCE_NONE: break;
    }
    return "none";
}

void ckit_value_fini(ckit_value *value) {
    if (value == NULL) {
        return;
    }
    if (value->release != NULL) {
        value->release(value);
    }
    ckit_value_init(value);
}

void ckit_value_move(ckit_value *to, ckit_value *from) {
    *to = *from;
    if (from->data.ptr >= from->inline_bytes && from->data.ptr < from->inline_bytes + sizeof from->inline_bytes) {
        to->data.ptr = to->inline_bytes + (from->data.ptr - from->inline_bytes);
    }
    from->release = NULL;
    ckit_value_init(from);
}

/* The allocator's address is kept in inline_bytes, which is free whenever the data stands elsewhere. */
static void release_owned(ckit_value *value) {
    const ckit_alloc *alloc;
    memcpy(&alloc, value->inline_bytes, sizeof alloc);
    ckiti_free(alloc, value->owner, value->owner_size);
}

void ckit_value_take(ckit_value *value, ckit_buf *buf) {
    ckit_value_fini(value);
    value->data = ckit_buf_slice(buf);
    value->owner = buf->ptr;
    value->owner_size = buf->cap;
    value->release = release_owned;
    memcpy(value->inline_bytes, &buf->alloc, sizeof buf->alloc);
    buf->ptr = NULL;
    buf->len = buf->cap = 0;
}

ckit_status ckit_value_copy(ckit_value *value, ckit_slice bytes, const ckit_alloc *alloc) {
    ckit_value_fini(value);
    if (bytes.len <= sizeof value->inline_bytes) {
        if (bytes.len > 0) {
            memcpy(value->inline_bytes, bytes.ptr, bytes.len);
        }
        value->data = ckit_slice_of(value->inline_bytes, bytes.len);
        return CKIT_OK;
    }
    ckit_buf buf;
    ckit_buf_init(&buf, alloc);
    ckit_status st = ckit_buf_reserve_exact(&buf, bytes.len);
    if (st == CKIT_OK) {
        (void)ckit_buf_append(&buf, bytes); /* the room is there */
        ckit_value_take(value, &buf);
    }
    return st;
}
