/* near.h - what a misspelt word was meant to be. */
#ifndef CKIT_CLI_NEAR_H
#define CKIT_CLI_NEAR_H

#include <stddef.h>

/* How far `word` (of `length` bytes) is from `name`: the letters that were added, left out, changed or swapped with
 * their neighbour. The beginning of a name, of at least two letters, counts as 1. UINT_MAX: not near at all, which is
 * more than 2, or more than 1 for words of up to four letters. */
unsigned cli_distance(const char *word, size_t length, const char *name);

#endif
