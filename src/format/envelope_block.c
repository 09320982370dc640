#include "format/envelope_block.h"

#include "base/alloc.h"
#include <cachekit/envelope.h>

#include <lz4.h>
#include <lz4hc.h>
#include <pthread.h>
#include <stdlib.h>
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

/* Each thread keeps its stream: clearing the 16 KiB of a new one takes longer than compressing something small. Not as
 * a thread-local variable, since a program that loads the library late has room for few bytes of these. */
static pthread_once_t kept_once = PTHREAD_ONCE_INIT;
static pthread_key_t  kept_key;
static bool           kept_is_possible;

static void make_kept_key(void) { kept_is_possible = pthread_key_create(&kept_key, free) == 0; }

/* When the library is unloaded, threads that end later must not come back here. */
__attribute__((destructor)) static void delete_kept_key(void) {
    if (kept_is_possible) {
        free(pthread_getspecific(kept_key));
        (void)pthread_key_delete(kept_key);
    }
}

/* NULL without memory. */
static LZ4_stream_t *kept_stream(void) {
    (void)pthread_once(&kept_once, make_kept_key);
    LZ4_stream_t *stream = kept_is_possible ? pthread_getspecific(kept_key) : NULL;
    if (stream == NULL && kept_is_possible) {
        stream = calloc(1, sizeof *stream); /* all zero is a fresh stream */
        if (stream != NULL && pthread_setspecific(kept_key, stream) != 0) {
            free(stream);
            stream = NULL;
        }
    }
    return stream;
}

static int compress_fast(int level, ckit_slice content, uint8_t *dst, int room) {
    LZ4_stream_t *kept = content.len < KEPT_STREAM_BELOW ? kept_stream() : NULL;
    int           acceleration = 7 - level;
    const char   *src = (const char *)content.ptr;
    if (kept != NULL) {
        LZ4_resetStream_fast(kept);
        return LZ4_compress_fast_continue(kept, src, (char *)dst, (int)content.len, room, acceleration);
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
