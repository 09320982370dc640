/* block.h - following an LZ4 block to the place where it is damaged. The library opens blocks and says yes or no. */
#ifndef CKIT_CLI_INSPECT_BLOCK_H
#define CKIT_CLI_INSPECT_BLOCK_H

#include <cachekit/types.h>

#define INSPECT_NO_FAULT SIZE_MAX

typedef struct inspect_block {
    size_t produced; /* bytes of content, up to the fault */
    size_t fault_at; /* in the block, or INSPECT_NO_FAULT */
    char   fault[120];
} inspect_block;

/* Follows the sequences of a block. `out` is NULL, or has room for all that an earlier call has told. `*source` becomes
 * where in the block byte `watch` of the content stands, or where a copy is ordered that makes it; else it is left
 * alone. */
inspect_block inspect_follow(ckit_slice block, uint8_t *out, size_t watch, size_t *source);

#endif
