#include "base/random.h"

#include <sodium.h>

void ckiti_random_bytes(void *out, size_t len) { randombytes_buf(out, len); }

uint64_t ckiti_random_u64(void) {
    uint64_t value;
    randombytes_buf(&value, sizeof value);
    return value;
}
