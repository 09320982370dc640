#include "format/envelope_block.h"

#include "base/alloc.h"
#include <cachekit/envelope.h>

#include <lz4.h>
#include <lz4hc.h>
#include <string.h>

_Static_assert(CKIT_ENVELOPE_MAX_BYTES <= LZ4_MAX_INPUT_SIZE, "LZ4 takes every content that the format allows");

/* Shorter contents hold no match by the rules of the block format (the last match begins 12 bytes before the end). */
#define SHORTEST_WITH_MATCH 13

/* Below this, LZ4_compress_fast spends a good part of its time on clearing its 16 KiB table; a kept stream need not,
 * since whatever an earlier content left there lies too far back to match. Above it the table for small inputs of
 * LZ4_compress_fast compresses a little better. */
#define KEPT_STREAM_BELOW 4096

size_t ckiti_block_bound(size_t len) { return (size_t)LZ4_compressBound((int)len); }

/* One sequence of literals and no match. */
static size_t store_literals(ckit_slice content, uint8_t *dst) {
    uint8_t *at = dst;
    if (content.len < 15) {
        *at++ = (uint8_t)(content.len << 4);
    } else {
        size_t rest = content.len - 15;
        *at++ = 0xf0;
        memset(at, 0xff, rest / 255);
        at += rest / 255;
        *at++ = (uint8_t)(rest % 255);
    }
    if (content.len > 0) {
        memcpy(at, content.ptr, content.len);
    }
    return (size_t)(at - dst) + content.len;
}

static int compress_fast(int level, ckit_slice content, uint8_t *dst, int room) {
    static _Thread_local LZ4_stream_t kept; /* all zero is a fresh stream */
    int                               acceleration = 7 - level;
    const char                       *src = (const char *)content.ptr;
    if (content.len < KEPT_STREAM_BELOW) {
        LZ4_resetStream_fast(&kept);
        return LZ4_compress_fast_continue(&kept, src, (char *)dst, (int)content.len, room, acceleration);
    }
    return LZ4_compress_fast(src, (char *)dst, (int)content.len, room, acceleration);
}

static int compress_hc(int level, ckit_slice content, uint8_t *dst, int room, const ckit_alloc *alloc) {
    static const int hc_level[] = {4, 6, 9};
    size_t           state_size = (size_t)LZ4_sizeofStateHC();
    void            *state = ckiti_alloc(alloc, state_size);
    if (state == NULL) {
        return 0;
    }
    int len = LZ4_compress_HC_extStateHC(state, (const char *)content.ptr, (char *)dst, (int)content.len, room,
                                         hc_level[level - 7]);
    ckiti_free(alloc, state, state_size);
    return len;
}

size_t ckiti_block_compress(int level, ckit_slice content, uint8_t *dst, const ckit_alloc *alloc) {
    if (level == CKIT_COMPRESSION_OFF || content.len < SHORTEST_WITH_MATCH) {
        return store_literals(content, dst);
    }
    int room = LZ4_compressBound((int)content.len);
    int len = level >= 7 ? compress_hc(level, content, dst, room, alloc) : compress_fast(level, content, dst, room);
    return len > 0 ? (size_t)len : 0;
}
