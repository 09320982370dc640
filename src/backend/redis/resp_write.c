#include "resp.h"

#include <string.h>

#define HEADER_MAX ((size_t)24) /* a mark, 20 digits, "\r\n" and room for the "\r\n" behind an argument */

void ckiti_resp_writer_init(ckiti_resp_writer *w, ckit_buf *out, size_t inline_max) {
    *w = (ckiti_resp_writer){.out = out, .status = CKIT_OK, .inline_max = inline_max};
}

static bool reserve(ckiti_resp_writer *w, size_t extra) {
    if (w->status == CKIT_OK && w->out->cap - w->out->len < extra) {
        w->status = ckit_buf_reserve(w->out, extra);
    }
    return w->status == CKIT_OK;
}

/* Digits of `number`, at the end of `text`; returns how many. */
static size_t digits_of(uint64_t number, char text[20]) {
    size_t at = 20;
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return 20 - at;
}

/* The caller has reserved room. */
static void put(ckit_buf *out, const void *bytes, size_t len) {
    if (len > 0) {
        memcpy(out->ptr + out->len, bytes, len);
        out->len += len;
    }
}

static void put_header(ckit_buf *out, char mark, uint64_t number) {
    char   text[20];
    size_t count = digits_of(number, text);
    out->ptr[out->len++] = (uint8_t)mark;
    put(out, text + sizeof text - count, count);
    put(out, "\r\n", 2);
}

void ckiti_resp_command(ckiti_resp_writer *w, uint64_t count) {
    if (reserve(w, HEADER_MAX)) {
        put_header(w->out, '*', count);
    }
}

void ckiti_resp_bytes(ckiti_resp_writer *w, ckit_slice bytes) {
    bool   late = bytes.len > w->inline_max && w->late.len == 0;
    size_t inside = late ? 0 : bytes.len;
    if (inside > SIZE_MAX - 2 * HEADER_MAX) {
        w->status = CKIT_E_NO_MEMORY;
    }
    if (!reserve(w, inside + 2 * HEADER_MAX)) {
        return;
    }
    put_header(w->out, '$', bytes.len);
    if (late) {
        w->late = bytes;
        w->late_at = w->out->len;
    } else {
        put(w->out, bytes.ptr, bytes.len);
    }
    put(w->out, "\r\n", 2);
}

void ckiti_resp_text(ckiti_resp_writer *w, const char *text) { ckiti_resp_bytes(w, ckit_slice_str(text)); }

void ckiti_resp_number(ckiti_resp_writer *w, uint64_t number) {
    char   text[20];
    size_t count = digits_of(number, text);
    ckiti_resp_bytes(w, ckit_slice_of(text + sizeof text - count, count));
}

void ckiti_resp_written(ckiti_resp_writer *w, ckit_slice bytes) {
    if (reserve(w, bytes.len)) {
        put(w->out, bytes.ptr, bytes.len);
    }
}

void ckiti_resp_joined(ckiti_resp_writer *w, const ckit_slice *parts, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (__builtin_add_overflow(len, parts[i].len, &len) || len > SIZE_MAX - 2 * HEADER_MAX) {
            w->status = CKIT_E_NO_MEMORY;
            return;
        }
    }
    if (!reserve(w, len + 2 * HEADER_MAX)) {
        return;
    }
    put_header(w->out, '$', len);
    for (size_t i = 0; i < count; i++) {
        put(w->out, parts[i].ptr, parts[i].len);
    }
    put(w->out, "\r\n", 2);
}
