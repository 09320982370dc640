#include <cachekit/buf.h>
#include <cachekit/envelope.h>

#include "base/hash.h"
#include "base/misuse.h"
#include "format/envelope_block.h"
#include "format/envelope_options.h"
#include "format/envelope_read.h"

#define WHERE "envelope"

static ckit_status no_memory(ckit_error *err, size_t len) {
    return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", len);
}

/* ---- every envelope, and every failure --------------------------------------------------------------------- */

/* What can be said before the block is touched. */
static ckit_status check_claims(const ckiti_envelope_fields *fields, uint64_t limit, ckit_error *err) {
    if (fields->block.len > CKIT_ENVELOPE_MAX_BYTES) {
        return ckiti_envelope_too_large(err, "block", fields->block.len, CKIT_ENVELOPE_MAX_BYTES);
    }
    if (fields->size > limit) {
        return ckiti_envelope_too_large(err, "content", fields->size, limit);
    }
    if (fields->block.len == 0) {
        return ckit_fail(err, CKIT_E_BOMB, WHERE, "empty block for a content of %llu bytes",
                         (unsigned long long)fields->size);
    }
    if (fields->size > CKIT_ENVELOPE_MAX_RATIO * fields->block.len) {
        return ckit_fail(err, CKIT_E_BOMB, WHERE,
                         "block of %zu bytes claims %llu bytes of content, more than %llu times", fields->block.len,
                         (unsigned long long)fields->size, (unsigned long long)CKIT_ENVELOPE_MAX_RATIO);
    }
    return CKIT_OK;
}

static ckit_status expand(const ckiti_envelope_fields *fields, ckit_buf *content, ckit_error *err) {
    /* A claim beyond what any block of this length holds is a lie that shows below; no memory for it. */
    uint64_t most = ckiti_block_max_content(fields->block.len);
    size_t   room = (size_t)(fields->size < most ? fields->size : most);
    if (ckit_buf_reserve_exact(content, room) != CKIT_OK) {
        return no_memory(err, room);
    }
    uint8_t  nothing[1];
    uint8_t *at = room == 0 ? nothing : content->ptr + content->len; /* the buffer may have no memory at all */
    int      len = ckiti_block_expand(fields->block, at, room);
    if (len < 0) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE,
                         "block of %zu bytes is damaged, or holds more than the declared %llu bytes", fields->block.len,
                         (unsigned long long)fields->size);
    }
    if (ckiti_xxh3_content(at, (size_t)len) != fields->checksum) {
        return ckit_fail(err, CKIT_E_CHECKSUM, WHERE, "checksum of %d bytes does not match", len);
    }
    if ((uint64_t)len != fields->size) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE, "content of %d bytes, declared %llu", len,
                         (unsigned long long)fields->size);
    }
    content->len += (size_t)len;
    return CKIT_OK;
}

/* The order of the checks is the one that envelope.h promises. */
static ckit_status __attribute__((noinline))
open_any(ckit_slice envelope, uint64_t limit, ckit_buf *content, ckit_slice *format, ckit_error *err) {
    if (envelope.len > CKIT_ENVELOPE_MAX_BYTES) {
        return ckiti_envelope_too_large(err, "envelope", envelope.len, CKIT_ENVELOPE_MAX_BYTES);
    }
    ckiti_envelope_fields fields;
    ckit_buf              gathered = {.alloc = content->alloc};
    ckit_status           st = ckiti_envelope_read(envelope, &gathered, &fields, err);
    if (st == CKIT_OK) {
        st = check_claims(&fields, limit, err);
    }
    if (st == CKIT_OK) {
        st = expand(&fields, content, err);
    }
    if (st == CKIT_OK && format != NULL) {
        *format = fields.format;
    }
    ckit_buf_fini(&gathered);
    return st;
}

/* ---- sound envelopes as writers emit them today ---------------------------------------------------------- */

#define FORMAT_LEN 8 /* "msgpack" and its header */

/* The least that follows the block: 98 and eight bytes, one byte of size, the format. It is more than the longest
 * checksum, 98 and eight times cc xx, so that one look at the length serves for all of that. */
#define TAIL_MIN (1 + 8 + 1 + FORMAT_LEN)
_Static_assert(TAIL_MIN >= 1 + 16, "a checksum lies inside the shortest tail");

static inline uint32_t load_u16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }

static inline uint32_t load_u32(const uint8_t *p) { return load_u16(p) << 16 | load_u16(p + 2); }

/* These three go behind what they read and return NULL for other forms than the usual. The first two may look at
 * TAIL_MIN bytes, the third at 1 + FORMAT_LEN, and none needs to care for the end before that. */
static inline const uint8_t *usual_block(const uint8_t *p, const uint8_t *end, ckit_slice *block) {
    size_t len;
    switch (p[1]) {
    case 0xc4:
        len = p[2];
        p += 3;
        break;
    case 0xc5:
        len = load_u16(p + 2);
        p += 4;
        break;
    case 0xc6:
        len = load_u32(p + 2);
        p += 6;
        break;
    default: return NULL;
    }
    if ((size_t)(end - p) < len + TAIL_MIN) {
        return NULL;
    }
    *block = ckit_slice_of(p, len);
    return p + len;
}

static inline const uint8_t *usual_checksum(const uint8_t *p, uint64_t *checksum) {
    if (*p++ != 0x98) {
        return NULL;
    }
    uint64_t sum = 0;
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        uint64_t byte = *p++;
        if (byte > 0x7f) {
            if (byte != 0xcc) {
                return NULL;
            }
            byte = *p++;
        }
        sum = sum << 8 | byte;
    }
    *checksum = sum;
    return p;
}

static inline const uint8_t *usual_size(const uint8_t *p, const uint8_t *end, uint64_t *size) {
    size_t left = (size_t)(end - p) - FORMAT_LEN;
    if (*p <= 0x7f) {
        *size = *p;
        return p + 1;
    }
    if (*p == 0xcc && left >= 2) {
        *size = p[1];
        return p + 2;
    }
    if (*p == 0xcd && left >= 3) {
        *size = load_u16(p + 1);
        return p + 3;
    }
    if (*p == 0xce && left >= 5) {
        *size = load_u32(p + 1);
        return p + 5;
    }
    return NULL;
}

static inline bool read_usual(ckit_slice envelope, ckiti_envelope_fields *fields) {
    if (envelope.len < 1 + 5 + TAIL_MIN || envelope.ptr[0] != 0x94) {
        return false;
    }
    const uint8_t *end = envelope.ptr + envelope.len;
    const uint8_t *p = usual_block(envelope.ptr, end, &fields->block);
    if (p == NULL) {
        return false;
    }
    p = usual_checksum(p, &fields->checksum);
    if (p == NULL || (size_t)(end - p) < 1 + FORMAT_LEN) {
        return false;
    }
    p = usual_size(p, end, &fields->size);
    if (p == NULL || memcmp(p, "\xa7msgpack", FORMAT_LEN) != 0) {
        return false;
    }
    fields->format = ckit_slice_of(p + 1, FORMAT_LEN - 1);
    return true;
}

/* CKIT_OK; CKIT_MISS: not of the usual form or not sound, open_any finds out; CKIT_E_NO_MEMORY. */
static inline ckit_status open_usual(ckit_slice envelope, uint64_t limit, ckit_buf *content, ckit_slice *format,
                                     ckit_error *err) {
    ckiti_envelope_fields fields;
    if (envelope.len > CKIT_ENVELOPE_MAX_BYTES || !read_usual(envelope, &fields) || fields.size > limit ||
        fields.size == 0 || fields.size > ckiti_block_max_content(fields.block.len)) {
        return CKIT_MISS;
    }
    size_t len = (size_t)fields.size;
    if (content->cap - content->len < len && ckit_buf_reserve_exact(content, len) != CKIT_OK) {
        return no_memory(err, len);
    }
    uint8_t *at = content->ptr + content->len;
    if (ckiti_block_expand(fields.block, at, len) != (int)len || ckiti_xxh3_content(at, len) != fields.checksum) {
        return CKIT_MISS;
    }
    content->len += len;
    if (format != NULL) {
        *format = fields.format;
    }
    return CKIT_OK;
}

ckit_status ckit_envelope_open(ckit_slice envelope, const ckit_envelope_options *given, ckit_buf *content,
                               ckit_slice *format, ckit_error *err) {
    uint64_t limit = CKIT_ENVELOPE_MAX_BYTES;
    if (content == NULL) {
        return ckiti_there_is_no(err, "envelope", "place for the content");
    }
    if (given != NULL) {
        ckit_envelope_options options;
        ckit_status           wrong = ckiti_envelope_settle(given, &options, err);
        if (wrong != CKIT_OK) {
            return wrong;
        }
        limit = options.max_content_bytes;
    }
    ckit_status st = open_usual(envelope, limit, content, format, err);
    return st == CKIT_MISS ? open_any(envelope, limit, content, format, err) : st;
}
