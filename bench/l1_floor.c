#include "l1_floor.h"

#include "bench.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define HUGE_BYTES ((size_t)2 << 20)

void l1_floor_init(l1_floor *floor, size_t entries) {
    size_t slots = 1;
    while (slots < entries * 2) {
        slots *= 2;
    }
    size_t bytes = (slots * sizeof(l1_floor_slot) + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
    floor->slots = aligned_alloc(HUGE_BYTES, bytes);
    if (floor->slots == NULL) {
        abort();
    }
    madvise(floor->slots, bytes, MADV_HUGEPAGE);
    memset(floor->slots, 0, bytes);
    floor->mask = slots - 1;
}

static bool same_key(const uint8_t *a, const uint8_t *b) {
    uint64_t x[3] = {0}, y[3] = {0};
    memcpy(x, a, L1_FLOOR_KEY);
    memcpy(y, b, L1_FLOOR_KEY);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2])) == 0;
}

static l1_floor_slot *find(const l1_floor *floor, const uint8_t *key) {
    size_t at = (size_t)XXH3_64bits_withSeed(key, L1_FLOOR_KEY, 12345);
    for (;; at++) {
        l1_floor_slot *slot = &floor->slots[at & floor->mask];
        if (!slot->used || same_key(slot->key, key)) {
            return slot;
        }
    }
}

void l1_floor_put(l1_floor *floor, const uint8_t *key, const uint8_t *value) {
    l1_floor_slot *slot = find(floor, key);
    memcpy(slot->key, key, L1_FLOOR_KEY);
    memcpy(slot->value, value, L1_FLOOR_VALUE);
    slot->used = 1;
}

bool l1_floor_get(const l1_floor *floor, const uint8_t *key, uint8_t *value) {
    const l1_floor_slot *slot = find(floor, key);
    if (!slot->used) {
        return false;
    }
    memcpy(value, slot->value, L1_FLOOR_VALUE);
    return true;
}
