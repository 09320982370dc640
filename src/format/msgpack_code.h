/* format/msgpack_code.h - the encoding itself (MessagePack spec): one value's head to bytes and back.
 *
 * The put functions write the shortest form at `p`, which has room for CKITI_MSGPACK_HEAD bytes, and return how many
 * bytes they wrote. */
#ifndef CKITI_FORMAT_MSGPACK_CODE_H
#define CKITI_FORMAT_MSGPACK_CODE_H

#include <cachekit/msgpack.h>
#include <string.h>

#define CKITI_MSGPACK_HEAD 9 /* the longest head: one byte and a number of 64 bits */

static inline size_t ckiti_put_be(uint8_t *p, uint8_t first, uint64_t number, unsigned bytes) {
    p[0] = first;
    for (unsigned i = bytes; i > 0; i--) {
        p[i] = (uint8_t)number;
        number >>= 8;
    }
    return bytes + 1u;
}

static inline size_t ckiti_put_uint(uint8_t *p, uint64_t value) {
    if (value < 0x80) {
        p[0] = (uint8_t)value;
        return 1;
    }
    if (value <= UINT8_MAX) {
        return ckiti_put_be(p, 0xcc, value, 1);
    }
    if (value <= UINT16_MAX) {
        return ckiti_put_be(p, 0xcd, value, 2);
    }
    return value <= UINT32_MAX ? ckiti_put_be(p, 0xce, value, 4) : ckiti_put_be(p, 0xcf, value, 8);
}

static inline size_t ckiti_put_int(uint8_t *p, int64_t value) {
    if (value >= 0) {
        return ckiti_put_uint(p, (uint64_t)value);
    }
    if (value >= -32) {
        p[0] = (uint8_t)value;
        return 1;
    }
    if (value >= INT8_MIN) {
        return ckiti_put_be(p, 0xd0, (uint64_t)value, 1);
    }
    if (value >= INT16_MIN) {
        return ckiti_put_be(p, 0xd1, (uint64_t)value, 2);
    }
    return value >= INT32_MIN ? ckiti_put_be(p, 0xd2, (uint64_t)value, 4) : ckiti_put_be(p, 0xd3, (uint64_t)value, 8);
}

static inline size_t ckiti_put_double(uint8_t *p, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return ckiti_put_be(p, 0xcb, bits, 8);
}

static inline size_t ckiti_put_str_head(uint8_t *p, uint32_t len) {
    if (len < 32) {
        p[0] = (uint8_t)(0xa0 | len);
        return 1;
    }
    if (len <= UINT8_MAX) {
        return ckiti_put_be(p, 0xd9, len, 1);
    }
    return len <= UINT16_MAX ? ckiti_put_be(p, 0xda, len, 2) : ckiti_put_be(p, 0xdb, len, 4);
}

static inline size_t ckiti_put_bin_head(uint8_t *p, uint32_t len) {
    if (len <= UINT8_MAX) {
        return ckiti_put_be(p, 0xc4, len, 1);
    }
    return len <= UINT16_MAX ? ckiti_put_be(p, 0xc5, len, 2) : ckiti_put_be(p, 0xc6, len, 4);
}

static inline size_t ckiti_put_array_head(uint8_t *p, uint32_t count) {
    if (count < 16) {
        p[0] = (uint8_t)(0x90 | count);
        return 1;
    }
    return count <= UINT16_MAX ? ckiti_put_be(p, 0xdc, count, 2) : ckiti_put_be(p, 0xdd, count, 4);
}

static inline size_t ckiti_put_map_head(uint8_t *p, uint32_t count) {
    if (count < 16) {
        p[0] = (uint8_t)(0x80 | count);
        return 1;
    }
    return count <= UINT16_MAX ? ckiti_put_be(p, 0xde, count, 2) : ckiti_put_be(p, 0xdf, count, 4);
}

/* Names and short texts are most of what documents hold, and a call for each costs more than the work: up to 16 bytes
 * are copied and looked at in two steps that may overlap. */
static inline void ckiti_copy(uint8_t *to, const uint8_t *from, size_t len) {
    uint64_t first8, last8;
    uint32_t first4, last4;
    if (len > 16) {
        memcpy(to, from, len);
    } else if (len >= 8) {
        memcpy(&first8, from, 8);
        memcpy(&last8, from + len - 8, 8);
        memcpy(to, &first8, 8);
        memcpy(to + len - 8, &last8, 8);
    } else if (len >= 4) {
        memcpy(&first4, from, 4);
        memcpy(&last4, from + len - 4, 4);
        memcpy(to, &first4, 4);
        memcpy(to + len - 4, &last4, 4);
    } else if (len > 0) {
        const uint8_t middle = from[len / 2], last = from[len - 1];
        to[0] = from[0];
        to[len / 2] = middle;
        to[len - 1] = last;
    }
}

/* Whether the text is UTF-8: decided here when it is short and plain ASCII. */
static inline bool ckiti_is_text(const uint8_t *p, size_t len) {
    uint64_t first8, last8;
    uint32_t first4, last4;
    if (len > 16) {
        return ckit_utf8_valid(ckit_slice_of(p, len));
    }
    if (len >= 8) {
        memcpy(&first8, p, 8);
        memcpy(&last8, p + len - 8, 8);
        first8 |= last8;
    } else if (len >= 4) {
        memcpy(&first4, p, 4);
        memcpy(&last4, p + len - 4, 4);
        first8 = first4 | last4;
    } else {
        first8 = len == 0 ? 0 : (uint64_t)(p[0] | p[len / 2] | p[len - 1]);
    }
    return (first8 & UINT64_C(0x8080808080808080)) == 0 || ckit_utf8_valid(ckit_slice_of(p, len));
}

/* How a value begins. */
typedef struct ckiti_head {
    ckit_type type;   /* CKIT_TYPE_END: the input ends inside the head */
    uint32_t  size;   /* bytes of the head */
    uint64_t  number; /* the integer (two's complement below zero), the boolean, the bits of the double, the length, or
                         the count */
} ckiti_head;

/* What the bytes c0 to df announce, and how many bytes of a number follow them. */
extern const struct ckiti_form {
    uint8_t type;
    uint8_t bytes;
} ckiti_forms[32];

/* The head at `p`, where `p` < `end`. */
static inline ckiti_head ckiti_head_at(const uint8_t *p, const uint8_t *end) {
    const uint8_t b = *p;
    if (b < 0x80) {
        return (ckiti_head){CKIT_TYPE_UINT, 1, b};
    }
    if (b < 0xc0) {
        return b < 0x90   ? (ckiti_head){CKIT_TYPE_MAP, 1, b & 0x0fu}
               : b < 0xa0 ? (ckiti_head){CKIT_TYPE_ARRAY, 1, b & 0x0fu}
                          : (ckiti_head){CKIT_TYPE_STR, 1, b & 0x1fu};
    }
    if (b >= 0xe0) {
        return (ckiti_head){CKIT_TYPE_INT, 1, (uint64_t)(int64_t)(int8_t)b};
    }
    const struct ckiti_form form = ckiti_forms[b - 0xc0];
    ckiti_head              head = {(ckit_type)form.type, form.bytes + 1u, 0};
    if ((size_t)(end - p) < head.size) {
        head.type = CKIT_TYPE_END;
        return head;
    }
    for (unsigned i = 1; i <= form.bytes; i++) {
        head.number = head.number << 8 | p[i];
    }
    if (head.type == CKIT_TYPE_BOOL) {
        head.number = b & 1u;
    } else if (head.type == CKIT_TYPE_INT) {
        const unsigned unused = 64u - 8u * form.bytes;
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): an integer of the table has its bytes */
        head.number = (uint64_t)((int64_t)(head.number << unused) >> unused);
        if ((int64_t)head.number >= 0) {
            head.type = CKIT_TYPE_UINT;
        }
    } else if (b == 0xca) {
        const uint32_t bits = (uint32_t)head.number;
        float          narrow;
        memcpy(&narrow, &bits, sizeof narrow);
        const double wide = (double)narrow;
        memcpy(&head.number, &wide, sizeof wide);
    }
    return head;
}

static inline double ckiti_head_double(ckiti_head head) {
    double value;
    memcpy(&value, &head.number, sizeof value);
    return value;
}

/* The end of the value at `p`, in bytes that this library has written itself: nothing is checked. */
const uint8_t *ckiti_value_end(const uint8_t *p, const uint8_t *end);

/* ---- inside the reader, for readers of documents --------------------------------------------------------- */

/* Fails with CKIT_E_VALUE_TYPE at the current place. */
void ckiti_reader_fail_type(ckit_reader *r, ckit_type wanted, ckit_type found);

#endif
