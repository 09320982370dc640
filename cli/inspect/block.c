/* The LZ4 block format, read so that it can be told where it is damaged. */
#include "inspect/block.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A length above its four bits goes on in bytes, of which the first below 255 is the last. */
static bool add_length(ckit_slice block, size_t *at, size_t *length) {
    uint8_t byte = 255;
    while (byte == 255) {
        if (*at == block.len) {
            return false;
        }
        byte = block.ptr[(*at)++];
        *length += byte;
    }
    return true;
}

/* Literals, and unless it is the last one a copy of what was unpacked before. */
typedef struct sequence {
    size_t literals;
    size_t literals_at;
    size_t back; /* 0: the last sequence */
    size_t back_at;
    size_t length; /* of the copy */
    size_t end;
} sequence;

static bool fault(inspect_block *f, size_t at, const char *format, ...) CKIT_PRINTF(3, 4);
static bool fault(inspect_block *f, size_t at, const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(f->fault, sizeof f->fault, format, values);
    va_end(values);
    f->fault_at = at;
    return false;
}

/* The sequence at `start`; false when it is none (LZ4 block format). */
static bool take_sequence(ckit_slice block, size_t start, sequence *s, inspect_block *f) {
    size_t at = start + 1;
    if (start == block.len) {
        return fault(f, start, "the LZ4 block ends where another sequence should begin");
    }
    *s = (sequence){.literals = block.ptr[start] >> 4, .length = block.ptr[start] & 15};
    if (s->literals == 15 && !add_length(block, &at, &s->literals)) {
        return fault(f, start, "the LZ4 block ends inside a length of literals");
    }
    if (s->literals > block.len - at) {
        return fault(f, start, "the LZ4 block announces %zu literals and has %zu bytes left", s->literals,
                     block.len - at);
    }
    s->literals_at = at;
    s->back_at = s->end = at + s->literals;
    if (s->end == block.len) {
        s->length = 0;
        return true;
    }
    if (block.len - s->back_at < 2) {
        return fault(f, s->back_at, "the LZ4 block ends inside a copy");
    }
    s->back = (size_t)block.ptr[s->back_at] | (size_t)block.ptr[s->back_at + 1] << 8;
    if (s->back == 0 || s->back > f->produced + s->literals) {
        return fault(f, s->back_at, "the LZ4 block copies from %zu bytes back, and %zu were unpacked so far", s->back,
                     f->produced + s->literals);
    }
    s->end = s->back_at + 2;
    if (s->length == 15 && !add_length(block, &s->end, &s->length)) {
        return fault(f, start, "the LZ4 block ends inside the length of a copy");
    }
    s->length += 4;
    return true;
}

static void unpack(const sequence *s, ckit_slice block, uint8_t *out) {
    if (s->literals > 0) {
        memcpy(out, block.ptr + s->literals_at, s->literals);
    }
    for (size_t i = s->literals; i < s->literals + s->length; i++) { /* a copy may overlap itself */
        out[i] = *(out + i - s->back);
    }
}

inspect_block inspect_follow(ckit_slice block, uint8_t *out, size_t watch, size_t *source) {
    inspect_block f = {.fault_at = INSPECT_NO_FAULT};
    sequence      s = {.end = 0};
    size_t        start = 0, copied = 0;
    do {
        start = s.end;
        if (!take_sequence(block, start, &s, &f)) {
            return f;
        }
        if (watch >= f.produced && watch - f.produced < s.literals) {
            *source = s.literals_at + (watch - f.produced);
        } else if (watch >= f.produced && watch - f.produced < s.literals + s.length) {
            *source = s.back_at;
        }
        if (out != NULL) {
            unpack(&s, block, out + f.produced);
        }
        copied += s.length;
        f.produced += s.literals + s.length;
    } while (s.back != 0);
    if (copied > 0 && s.literals < 5) {
        (void)fault(&f, start, "the LZ4 block ends with %zu literals, and its last five bytes must be such",
                    s.literals);
    }
    return f;
}
