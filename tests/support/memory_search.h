/* support/memory_search.h - looks for what must not be found in the memory of this process.
 *
 * A needle comes masked, each byte XOR MASK, so that the search does not find the needle itself. Not under sanitizers:
 * they keep what was freed. */
#ifndef CKIT_SUPPORT_MEMORY_SEARCH_H
#define CKIT_SUPPORT_MEMORY_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#define MASK 0x5a

/* `out` becomes `len` bytes XOR MASK: masked, or their mask comes off. */
void mask_bytes(uint8_t *out, const void *bytes, size_t len);
/* How often it stands in these bytes. */
size_t occurrences(const uint8_t *bytes, size_t len, const uint8_t *masked, size_t needle);
/* How often it stands in heap, stacks, data, and what belongs to nothing, as secret memory does: in all but what files
 * hold and the kernel's. */
size_t find_in_process(const uint8_t *masked, size_t needle);

#endif
