/* bench/l1_floor.h - what physics demands of a lookup: hash, one probe, full key compare, copy of the value.
 *
 * A flat table of slots of two cache lines, key and value in the slot, half full, on 2 MiB pages where the system has
 * them. No lock, no clock, no lifetime, no policy, no removal, one size. */
#ifndef CKIT_BENCH_L1_FLOOR_H
#define CKIT_BENCH_L1_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define L1_FLOOR_KEY 18u
#define L1_FLOOR_VALUE 64u

typedef struct l1_floor_slot {
    uint8_t value[L1_FLOOR_VALUE];
    uint8_t key[L1_FLOOR_KEY];
    uint8_t used;
    uint8_t unused[128 - L1_FLOOR_VALUE - L1_FLOOR_KEY - 1];
} l1_floor_slot;

typedef struct l1_floor {
    l1_floor_slot *slots;
    size_t         mask;
} l1_floor;

void l1_floor_init(l1_floor *floor, size_t entries);
void l1_floor_put(l1_floor *floor, const uint8_t *key, const uint8_t *value);
bool l1_floor_get(const l1_floor *floor, const uint8_t *key, uint8_t *value);

#endif
