/* bytes.h - big-endian numbers in the store's files. */
#ifndef CKITI_FILE_BYTES_H
#define CKITI_FILE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline void put_u64(uint8_t *out, uint64_t value) {
    value = __builtin_bswap64(value);
    memcpy(out, &value, sizeof value);
}
static inline uint64_t get_u64(const uint8_t *in) {
    uint64_t value;
    memcpy(&value, in, sizeof value);
    return __builtin_bswap64(value);
}
static inline void put_u32(uint8_t *out, uint32_t value) {
    value = __builtin_bswap32(value);
    memcpy(out, &value, sizeof value);
}
static inline uint32_t get_u32(const uint8_t *in) {
    uint32_t value;
    memcpy(&value, in, sizeof value);
    return __builtin_bswap32(value);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the helpers above swap");

#endif
