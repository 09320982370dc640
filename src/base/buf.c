#include <cachekit/buf.h>

#include "base/alloc.h"

void ckit_buf_init(ckit_buf *buf, const ckit_alloc *alloc) { *buf = (ckit_buf){.alloc = alloc}; }

void ckit_buf_fini(ckit_buf *buf) {
    if (buf == NULL) {
        return;
    }
    ckiti_free(buf->alloc, buf->ptr, buf->cap);
    buf->ptr = NULL;
    buf->len = buf->cap = 0;
}

static ckit_status grow_to(ckit_buf *buf, size_t cap) {
    uint8_t *ptr = ckiti_resize(buf->alloc, buf->ptr, buf->cap, cap);
    if (ptr == NULL) {
        return CKIT_E_NO_MEMORY;
    }
    buf->ptr = ptr;
    buf->cap = cap;
    return CKIT_OK;
}

ckit_status ckit_buf_reserve_exact(ckit_buf *buf, size_t extra) {
    size_t need;
    if (__builtin_add_overflow(buf->len, extra, &need)) {
        return CKIT_E_NO_MEMORY;
    }
    return need <= buf->cap ? CKIT_OK : grow_to(buf, need);
}

ckit_status ckit_buf_reserve(ckit_buf *buf, size_t extra) {
    size_t need;
    if (__builtin_add_overflow(buf->len, extra, &need)) {
        return CKIT_E_NO_MEMORY;
    }
    if (need <= buf->cap) {
        return CKIT_OK;
    }
    size_t roomy = buf->cap + buf->cap / 2;
    if (roomy < 64) {
        roomy = 64;
    }
    return grow_to(buf, need > roomy ? need : roomy);
}

ckit_status ckit_buf_append(ckit_buf *buf, ckit_slice bytes) {
    if (bytes.len == 0) {
        return CKIT_OK;
    }
    ckit_status st = ckit_buf_reserve(buf, bytes.len);
    if (st == CKIT_OK) {
        memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
        buf->len += bytes.len;
    }
    return st;
}
