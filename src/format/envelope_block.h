/* format/envelope_block.h - LZ4 blocks of an envelope: bare, without size prefix or frame. */
#ifndef CKITI_FORMAT_ENVELOPE_BLOCK_H
#define CKITI_FORMAT_ENVELOPE_BLOCK_H

#include <cachekit/types.h>

/* The most a block of `len` bytes of content takes; `len` up to CKIT_ENVELOPE_MAX_BYTES. */
size_t ckiti_block_bound(size_t len);

/* Writes the block to `dst`, which has room for ckiti_block_bound(content.len). Returns its length, at least 1; 0 when
 * there is no memory (HC levels only). `level` is 1 .. 9 or CKIT_COMPRESSION_OFF. */
size_t ckiti_block_compress(int level, ckit_slice content, uint8_t *dst, const ckit_alloc *alloc);

/* The most that a block of `len` bytes can expand to, whatever is in it. */
uint64_t ckiti_block_max_content(size_t len);

/* Expands a whole block into at most `room` bytes; their number, or -1 when it is damaged or holds more. */
int ckiti_block_expand(ckit_slice block, uint8_t *dst, size_t room);

#endif
