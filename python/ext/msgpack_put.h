/* msgpack_put.h - the heads of MessagePack values (MessagePack specification), always in the shortest form.
 *
 * Each writes at `p`, where at least PUT_HEAD bytes must be free, and returns where it stopped. */
#ifndef CKIT_PYTHON_MSGPACK_PUT_H
#define CKIT_PYTHON_MSGPACK_PUT_H

#include <stdint.h>
#include <string.h>

#define PUT_HEAD 9 /* the longest: one byte and a number of 64 bits */

/* The first byte and a number of 16, 32 or 64 bits behind it. */
static inline uint8_t *put_u16(uint8_t *p, uint8_t first, uint16_t number) {
    p[0] = first;
    p[1] = (uint8_t)(number >> 8);
    p[2] = (uint8_t)number;
    return p + 3;
}

static inline uint8_t *put_u32(uint8_t *p, uint8_t first, uint32_t number) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    number = __builtin_bswap32(number);
#endif
    p[0] = first;
    memcpy(p + 1, &number, sizeof number);
    return p + 5;
}

static inline uint8_t *put_u64(uint8_t *p, uint8_t first, uint64_t number) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    number = __builtin_bswap64(number);
#endif
    p[0] = first;
    memcpy(p + 1, &number, sizeof number);
    return p + 9;
}

static inline uint8_t *put_uint(uint8_t *p, uint64_t value) {
    if (value < 0x80) {
        p[0] = (uint8_t)value;
        return p + 1;
    }
    if (value <= UINT8_MAX) {
        p[0] = 0xcc;
        p[1] = (uint8_t)value;
        return p + 2;
    }
    if (value <= UINT16_MAX) {
        return put_u16(p, 0xcd, (uint16_t)value);
    }
    return value <= UINT32_MAX ? put_u32(p, 0xce, (uint32_t)value) : put_u64(p, 0xcf, value);
}

static inline uint8_t *put_int(uint8_t *p, int64_t value) {
    if (value >= 0) {
        return put_uint(p, (uint64_t)value);
    }
    if (value >= -32) {
        p[0] = (uint8_t)value;
        return p + 1;
    }
    if (value >= INT8_MIN) {
        p[0] = 0xd0;
        p[1] = (uint8_t)value;
        return p + 2;
    }
    if (value >= INT16_MIN) {
        return put_u16(p, 0xd1, (uint16_t)value);
    }
    return value >= INT32_MIN ? put_u32(p, 0xd2, (uint32_t)value) : put_u64(p, 0xd3, (uint64_t)value);
}

static inline uint8_t *put_double(uint8_t *p, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put_u64(p, 0xcb, bits);
}

static inline uint8_t *put_str_head(uint8_t *p, uint32_t len) {
    if (len < 32) {
        p[0] = (uint8_t)(0xa0 | len);
        return p + 1;
    }
    if (len <= UINT8_MAX) {
        p[0] = 0xd9;
        p[1] = (uint8_t)len;
        return p + 2;
    }
    return len <= UINT16_MAX ? put_u16(p, 0xda, (uint16_t)len) : put_u32(p, 0xdb, len);
}

static inline uint8_t *put_bin_head(uint8_t *p, uint32_t len) {
    if (len <= UINT8_MAX) {
        p[0] = 0xc4;
        p[1] = (uint8_t)len;
        return p + 2;
    }
    return len <= UINT16_MAX ? put_u16(p, 0xc5, (uint16_t)len) : put_u32(p, 0xc6, len);
}

static inline uint8_t *put_array_head(uint8_t *p, uint32_t count) {
    if (count < 16) {
        p[0] = (uint8_t)(0x90 | count);
        return p + 1;
    }
    return count <= UINT16_MAX ? put_u16(p, 0xdc, (uint16_t)count) : put_u32(p, 0xdd, count);
}

static inline uint8_t *put_map_head(uint8_t *p, uint32_t count) {
    if (count < 16) {
        p[0] = (uint8_t)(0x80 | count);
        return p + 1;
    }
    return count <= UINT16_MAX ? put_u16(p, 0xde, (uint16_t)count) : put_u32(p, 0xdf, count);
}

/* Copies without a call what most texts are: up to 16 bytes, in two steps that may overlap. */
static inline uint8_t *put_copy(uint8_t *p, const void *bytes, size_t len) {
    const uint8_t *from = bytes;
    uint64_t       first8, last8;
    uint32_t       first4, last4;
    if (len > 16) {
        memcpy(p, from, len);
    } else if (len >= 8) {
        memcpy(&first8, from, 8);
        memcpy(&last8, from + len - 8, 8);
        memcpy(p, &first8, 8);
        memcpy(p + len - 8, &last8, 8);
    } else if (len >= 4) {
        memcpy(&first4, from, 4);
        memcpy(&last4, from + len - 4, 4);
        memcpy(p, &first4, 4);
        memcpy(p + len - 4, &last4, 4);
    } else if (len > 0) {
        const uint8_t middle = from[len / 2], last = from[len - 1];
        p[0] = from[0];
        p[len / 2] = middle;
        p[len - 1] = last;
    }
    return p + len;
}

#endif
