/* config/advice.h - what somebody may have meant. */
#ifndef CKITI_CONFIG_ADVICE_H
#define CKITI_CONFIG_ADVICE_H

#include <cachekit/types.h>

/* How many insertions, deletions and changes of one character lead from `a` to `b`, letters of either case being equal;
 * UINT_MAX when one of them is longer than any name of ours. */
unsigned ckiti_edit_distance(ckit_slice a, ckit_slice b);

/* Whether so many changes can be a slip in a word of `len` characters. */
bool ckiti_is_slip(unsigned distance, size_t len);

#endif
