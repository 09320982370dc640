/* format/envelope_block.h - LZ4 blocks of an envelope: bare, without size prefix or frame. */
#ifndef CKITI_FORMAT_ENVELOPE_BLOCK_H
#define CKITI_FORMAT_ENVELOPE_BLOCK_H

#include <cachekit/types.h>

#include <lz4.h>
#include <string.h>

/* The most a block of `len` bytes of content takes; `len` up to CKIT_ENVELOPE_MAX_BYTES. */
size_t ckiti_block_bound(size_t len);

/* Writes the block to `dst`, which has room for ckiti_block_bound(content.len). Returns its length, at least 1; 0 when
 * there is no memory (HC levels only). `level` is 1 .. 9 or CKIT_COMPRESSION_OFF. */
size_t ckiti_block_compress(int level, ckit_slice content, uint8_t *dst, const ckit_alloc *alloc);

/* The most that a block of `len` bytes can expand to, whatever is in it: its densest part are length bytes, each worth
 * at most 255. */
static inline uint64_t ckiti_block_max_content(size_t len) { return 255 * (uint64_t)len; }

/* Where the literals of a block begin that is nothing but up to 269 literals, as those of small contents often are;
 * else 0. */
static inline size_t ckiti_block_only_literals(ckit_slice block) {
    if (block.len < 2 || block.ptr[1] == 255) {
        return 0;
    }
    size_t len = block.ptr[0] >> 4;
    size_t at = len == 15 ? 2 : 1;
    len += len == 15 ? block.ptr[1] : 0;
    return block.len == at + len ? at : 0;
}

/* For up to 269 bytes: in pieces of 16, the last one overlapping. Told of that bound, gcc would make a string
 * instruction of memcpy, which is slow to start; a call of the C library costs as much as the copying. */
static inline void ckiti_block_copy_short(uint8_t *dst, const uint8_t *src, size_t len) {
    if (len < 16) {
        memmove(dst, src, len);
        return;
    }
    for (size_t at = 0; at + 16 < len; at += 16) {
        memcpy(dst + at, src + at, 16);
    }
    memcpy(dst + len - 16, src + len - 16, 16);
}

/* Expands a whole block of at most CKIT_ENVELOPE_MAX_BYTES into at most as many bytes; their number, or -1 when it is
 * damaged or holds more than `room`. */
static inline int ckiti_block_expand(ckit_slice block, uint8_t *dst, size_t room) {
    size_t literals = ckiti_block_only_literals(block);
    if (literals == 0) {
        int len = LZ4_decompress_safe((const char *)block.ptr, (char *)dst, (int)block.len, (int)room);
        return len < 0 ? -1 : len;
    }
    size_t len = block.len - literals;
    if (len > room) {
        return -1;
    }
    ckiti_block_copy_short(dst, block.ptr + literals, len);
    return (int)len;
}

#endif
