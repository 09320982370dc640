/* format/merge_sort.h - sorting parts of an encoding that stand one behind the other: entries of maps, elements of sets.
 * qsort is not used because it may call malloc behind the allocator's back. */
#ifndef CKITI_FORMAT_MERGE_SORT_H
#define CKITI_FORMAT_MERGE_SORT_H

#include <stdbool.h>
#include <stddef.h>

/* Where a part is: from the first byte of the encoding. */
typedef struct ckiti_part {
    size_t at;
    size_t len;
} ckiti_part;

#define CKITI_SMALL_PARTS 32 /* parts, and bytes of them, that are sorted on the stack */
#define CKITI_SMALL_BYTES 1024

/* Bottom-up; parts that compare equal stay in their order. `spare` has room for as many. Returns where the sorted ones
 * are: in one of the two. Inline, so that `compare` is too. */
static inline ckiti_part *ckiti_merge_sort(ckiti_part *parts, ckiti_part *spare, size_t count,
                                           int (*compare)(const void *context, ckiti_part a, ckiti_part b),
                                           const void *context) {
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            const size_t middle = low + width < count ? low + width : count;
            const size_t high = low + 2 * width < count ? low + 2 * width : count;
            size_t       a = low, b = middle;
            for (size_t out = low; out < high; out++) {
                const bool take_a = a < middle && (b == high || compare(context, parts[a], parts[b]) <= 0);
                spare[out] = parts[take_a ? a++ : b++];
            }
        }
        ckiti_part *swap = parts;
        parts = spare;
        spare = swap;
    }
    return parts;
}

#endif
