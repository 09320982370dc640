/* format/msgpack_write.c - one value to the end of a buffer.
 *
 * `left` is what decides: while it is above zero a value is expected. It is zero when the value is complete and after a
 * failure, so that one comparison guards every write. */
#include <cachekit/msgpack.h>

#include "base/alloc.h"
#include "format/msgpack_code.h"

#define DEEP_BYTES (CKIT_MSGPACK_MAX_DEPTH * sizeof(uint64_t))

void ckit_writer_init(ckit_writer *w, ckit_buf *out) {
    w->max_bytes = SIZE_MAX;
    w->out = out;
    w->start = out->len;
    w->left = 1;
    w->depth = 0;
    w->status = CKIT_OK;
    w->why = NULL;
    w->stack = w->shallow;
}

/* Complete, or failed. */
static __attribute__((noinline)) void free_deep(ckit_writer *w) {
    ckiti_free(w->out->alloc, w->stack, DEEP_BYTES);
    w->stack = w->shallow;
}

void ckit_writer_fail(ckit_writer *w, ckit_status status, const char *why) {
    if (w->status == CKIT_OK) {
        w->status = status;
        w->why = why;
    }
    w->left = 0;
    if (w->stack != w->shallow) {
        free_deep(w);
    }
}

static void fail_size(ckit_writer *w) { ckit_writer_fail(w, CKIT_E_TOO_LARGE, "the value is larger than its limit"); }

/* Room for `need` bytes, or NULL after a failure. */
static inline uint8_t *room(ckit_writer *w, size_t need) {
    ckit_buf *out = w->out;
    if (__builtin_expect(w->left == 0, 0)) {
        ckit_writer_fail(w, CKIT_E_MISUSE, "a value behind the end of the document");
        return NULL;
    }
    if (__builtin_expect(out->cap - out->len < need, 0) && ckit_buf_reserve(out, need) != CKIT_OK) {
        ckit_writer_fail(w, CKIT_E_NO_MEMORY, "no memory for the document");
        return NULL;
    }
    return out->ptr + out->len;
}

/* `len` bytes were written, which completes a value, and perhaps the containers that it was the last of. */
static inline void written(ckit_writer *w, size_t len) {
    w->out->len += len;
    if (__builtin_expect(w->out->len - w->start > w->max_bytes, 0)) {
        fail_size(w);
        return;
    }
    w->left--;
    while (w->left == 0 && w->depth > 0) {
        w->left = w->stack[--w->depth];
    }
    if (__builtin_expect(w->left == 0 && w->stack != w->shallow, 0)) {
        free_deep(w);
    }
}

void ckit_write_nil(ckit_writer *w) {
    uint8_t *p = room(w, CKITI_MSGPACK_HEAD);
    if (p != NULL) {
        *p = 0xc0;
        written(w, 1);
    }
}

void ckit_write_bool(ckit_writer *w, bool value) {
    uint8_t *p = room(w, CKITI_MSGPACK_HEAD);
    if (p != NULL) {
        *p = value ? 0xc3 : 0xc2;
        written(w, 1);
    }
}

void ckit_write_int(ckit_writer *w, int64_t value) {
    uint8_t *p = room(w, CKITI_MSGPACK_HEAD);
    if (p != NULL) {
        written(w, ckiti_put_int(p, value));
    }
}

void ckit_write_uint(ckit_writer *w, uint64_t value) {
    uint8_t *p = room(w, CKITI_MSGPACK_HEAD);
    if (p != NULL) {
        written(w, ckiti_put_uint(p, value));
    }
}

void ckit_write_double(ckit_writer *w, double value) {
    uint8_t *p = room(w, CKITI_MSGPACK_HEAD);
    if (p != NULL) {
        written(w, ckiti_put_double(p, value));
    }
}

/* Unless the value is beyond a limit: nothing is allocated then. */
static __attribute__((noinline)) uint8_t *room_for_bytes_slow(ckit_writer *w, size_t len) {
    if (w->left > 0) {
        const size_t used = w->out->len - w->start;
        if (len > UINT32_MAX || used > w->max_bytes || len > w->max_bytes - used) {
            fail_size(w);
            return NULL;
        }
    }
    return room(w, CKITI_MSGPACK_HEAD + len);
}

/* Room for a head and `len` bytes. Where there is room already, the limit is asked when they are written. */
static inline uint8_t *room_for_bytes(ckit_writer *w, size_t len) {
    const ckit_buf *out = w->out;
    if (__builtin_expect(w->left > 0 && len <= UINT16_MAX && out->cap - out->len >= CKITI_MSGPACK_HEAD + len, 1)) {
        return out->ptr + out->len;
    }
    return room_for_bytes_slow(w, len);
}

static inline void put_bytes(ckit_writer *w, uint8_t *p, size_t head, ckit_slice bytes) {
    ckiti_copy(p + head, bytes.ptr, bytes.len);
    written(w, head + bytes.len);
}

void ckit_write_str(ckit_writer *w, ckit_slice text) {
    uint8_t *p = room_for_bytes(w, text.len);
    if (p == NULL) {
        return;
    }
    if (!ckiti_is_text(text.ptr, text.len)) {
        ckit_writer_fail(w, CKIT_E_VALUE_TYPE, "text that is not UTF-8");
        return;
    }
    put_bytes(w, p, ckiti_put_str_head(p, (uint32_t)text.len), text);
}

void ckit_write_cstr(ckit_writer *w, const char *text) { ckit_write_str(w, ckit_slice_str(text)); }

void ckit_write_bin(ckit_writer *w, ckit_slice bytes) {
    uint8_t *p = room_for_bytes(w, bytes.len);
    if (p != NULL) {
        put_bytes(w, p, ckiti_put_bin_head(p, (uint32_t)bytes.len), bytes);
    }
}

/* There are more containers than there was room for. */
static __attribute__((noinline)) bool make_deep(ckit_writer *w) {
    uint64_t *deep = ckiti_alloc(w->out->alloc, DEEP_BYTES);
    if (deep == NULL) {
        ckit_writer_fail(w, CKIT_E_NO_MEMORY, "no memory for arrays and maps inside each other");
        return false;
    }
    memcpy(deep, w->shallow, sizeof w->shallow);
    w->stack = deep;
    return true;
}

static void open_container(ckit_writer *w, size_t head, uint64_t values) {
    if (w->depth >= CKIT_MSGPACK_MAX_DEPTH) {
        ckit_writer_fail(w, CKIT_E_DEPTH, "arrays and maps are nested more than 512 deep");
        return;
    }
    if (values == 0) {
        written(w, head);
        return;
    }
    if (w->depth == CKIT_WRITER_SHALLOW && w->stack == w->shallow && !make_deep(w)) {
        return;
    }
    w->out->len += head;
    w->stack[w->depth++] = w->left - 1;
    w->left = values;
}

void ckit_write_array(ckit_writer *w, uint32_t count) {
    uint8_t *p = room(w, CKITI_MSGPACK_HEAD);
    if (p != NULL) {
        open_container(w, ckiti_put_array_head(p, count), count);
    }
}

void ckit_write_map(ckit_writer *w, uint32_t count) {
    uint8_t *p = room(w, CKITI_MSGPACK_HEAD);
    if (p != NULL) {
        open_container(w, ckiti_put_map_head(p, count), 2 * (uint64_t)count);
    }
}

/* A whole value that is already encoded: right in itself, and not too deep for the place it goes to. */
static bool check_raw(ckit_writer *w, ckit_slice encoded) {
    ckit_reader r;
    ckit_reader_init(&r, encoded);
    r.max_depth = CKIT_MSGPACK_MAX_DEPTH - w->depth;
    ckit_read_skip(&r);
    const ckit_status status = ckit_reader_finish(&r, NULL);
    if (status != CKIT_OK) {
        ckit_writer_fail(w, status, r.why != NULL ? r.why : "bytes behind an encoded value");
    }
    return status == CKIT_OK;
}

void ckit_write_raw(ckit_writer *w, ckit_slice encoded) {
    if (w->left == 0 || check_raw(w, encoded)) {
        uint8_t *p = room_for_bytes(w, encoded.len);
        if (p != NULL) {
            put_bytes(w, p, 0, encoded);
        }
    }
}

ckit_status ckit_writer_finish(ckit_writer *w, ckit_error *err) {
    if (w->status == CKIT_OK && w->left == 0) {
        return CKIT_OK;
    }
    w->out->len = w->start;
    if (w->status != CKIT_OK) {
        return ckit_fail(err, w->status, "msgpack", "%s", w->why);
    }
    ckit_writer_fail(w, CKIT_E_MISUSE, "values are missing");
    return ckit_fail(err, CKIT_E_MISUSE, "msgpack", "values are missing (%u arrays and maps are not complete)",
                     w->depth);
}
