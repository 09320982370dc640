/* memory/entry.h - one stored entry: 28 bytes of header, then key, value and what only some entries have.
 *
 *     node 12 | birth 4 (+2 in the node) | life 8 | lengths 4 | key | value or payload | [pad, references 4] [stale 4]
 *
 * Immutable once published, but for `life` (touch), the node (the policy, under the shard's lock; its counter: hits)
 * and the references. Bytes of key and value are read without a lock by readers that have announced the entry
 * (readers.h), so a piece is used again only when no announcement names it. */
#ifndef CKITI_MEMORY_ENTRY_H
#define CKITI_MEMORY_ENTRY_H

#include "memory/l1.h"
#include "memory/policy.h"
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define CKITI_ENTRY_LIVE 1u     /* a filled piece; free pieces have 0 here */
#define CKITI_ENTRY_COUNTED 2u  /* has a reference count: readers may hold it */
#define CKITI_ENTRY_OUTSIDE 4u  /* the value has a mapping of its own: the payload is a ckiti_outside */
#define CKITI_ENTRY_OBJECT 8u   /* the payload is a ckit_object */
#define CKITI_ENTRY_STALE 16u   /* has a stale window */
#define CKITI_ENTRY_RESERVE 32u /* which ends with a reserve; only with CKITI_ENTRY_STALE */

#define CKITI_ENTRY_NO_EXPIRY ((UINT64_C(1) << 48) - 1)
#define CKITI_ENTRY_LAST_END ((UINT64_C(1) << 47) - 1) /* of a lifetime with an end: the year 4459 of the clock */
#define CKITI_ENTRY_MAX_BIRTH ((UINT64_C(1) << 48) - 1)
#define CKITI_ENTRY_KEY_BITS 13u
#define CKITI_ENTRY_MAX_VALUE ((1u << (32u - CKITI_ENTRY_KEY_BITS)) - 1u) /* of a value inside a piece */

typedef struct ckiti_entry {
    ckiti_policy_node node; /* first: the policy's references are the entry's. `spare`: upper 16 bits of the birth */
    uint32_t          birth_low;
    _Atomic uint64_t  life;    /* end of life (48 bits, milliseconds) | tag (8) | CKITI_ENTRY_ flags (8) */
    uint32_t          lengths; /* value or payload (19 bits) | key (13 bits) */
    uint8_t           rest[];  /* begins inside the structure's padding: sizes use CKITI_ENTRY_HEADER */
} ckiti_entry;

#define CKITI_ENTRY_HEADER offsetof(ckiti_entry, rest)

/* A value in a mapping of its own. */
typedef struct ckiti_outside {
    uint8_t *ptr;
    size_t   len;
    size_t   mapped;
} ckiti_outside;

static inline size_t ckiti_entry_key_len(const ckiti_entry *entry) {
    return entry->lengths & ((1u << CKITI_ENTRY_KEY_BITS) - 1u);
}
static inline size_t ckiti_entry_value_len(const ckiti_entry *entry) { return entry->lengths >> CKITI_ENTRY_KEY_BITS; }
static inline ckit_slice ckiti_entry_key(const ckiti_entry *entry) {
    ckit_slice key = {entry->rest, ckiti_entry_key_len(entry)};
    return key;
}
static inline uint8_t *ckiti_entry_value(ckiti_entry *entry) { return entry->rest + ckiti_entry_key_len(entry); }
static inline uint64_t ckiti_entry_birth(const ckiti_entry *entry) {
    return (uint64_t)entry->node.spare << 32 | entry->birth_low;
}

static inline uint64_t ckiti_entry_life(const ckiti_entry *entry) {
    return atomic_load_explicit(&entry->life, memory_order_relaxed);
}
static inline unsigned ckiti_life_flags(uint64_t life) { return (unsigned)(life & 0xffu); }
static inline uint8_t  ckiti_life_tag(uint64_t life) { return (uint8_t)(life >> 8); }
static inline uint64_t ckiti_life_end(uint64_t life) { return life >> 16; }
static inline uint64_t ckiti_life_make(uint64_t end, uint8_t tag, unsigned flags) {
    return end << 16 | (uint64_t)tag << 8 | flags;
}
/* now + life, at most CKITI_ENTRY_LAST_END; CKIT_LIFE_NO_EXPIRY stays without end. */
static inline uint64_t ckiti_life_after(uint64_t now_ms, uint64_t life_ms) {
    if (life_ms == CKIT_LIFE_NO_EXPIRY) {
        return CKITI_ENTRY_NO_EXPIRY;
    }
    uint64_t last = CKITI_ENTRY_LAST_END;
    return now_ms >= last || life_ms > last - now_ms ? last : now_ms + life_ms;
}
/* Of a fresh entry. Only a life without end has the upmost bit: no branch is needed for it. */
static inline uint64_t ckiti_life_left(uint64_t life, uint64_t now_ms) {
    uint64_t endless = (uint64_t)((int64_t)life >> 63);
    return (ckiti_life_end(life) - now_ms) | endless;
}

/* Bytes of an entry with these lengths, and where its optional fields stand. */
static inline size_t ckiti_entry_tail(size_t key_len, size_t value_len) {
    return (CKITI_ENTRY_HEADER + key_len + value_len + 3u) & ~(size_t)3u;
}
static inline size_t ckiti_entry_size(size_t key_len, size_t value_len, unsigned flags) {
    unsigned optional = flags & (CKITI_ENTRY_COUNTED | CKITI_ENTRY_STALE | CKITI_ENTRY_RESERVE);
    if (optional == 0) {
        return CKITI_ENTRY_HEADER + key_len + value_len;
    }
    size_t fields = (size_t)((optional & CKITI_ENTRY_COUNTED) != 0) + ((optional & CKITI_ENTRY_STALE) != 0) +
                    ((optional & CKITI_ENTRY_RESERVE) != 0);
    return ckiti_entry_tail(key_len, value_len) + 4u * fields;
}
static inline uint32_t *ckiti_entry_optional(ckiti_entry *entry) {
    char *tail = (char *)entry + ckiti_entry_tail(ckiti_entry_key_len(entry), ckiti_entry_value_len(entry));
    return (uint32_t *)(void *)tail;
}
/* Only for CKITI_ENTRY_COUNTED. */
static inline _Atomic uint32_t *ckiti_entry_references(ckiti_entry *entry) {
    return (_Atomic uint32_t *)(void *)ckiti_entry_optional(entry);
}
/* The stale window is kept in 32 bits: milliseconds below 2^31, else the top bit and seconds, rounded down. */
static inline uint32_t ckiti_stale_pack(uint64_t stale_ms) {
    const uint32_t seconds = UINT32_C(1) << 31;
    if (stale_ms < seconds) {
        return (uint32_t)stale_ms;
    }
    uint64_t whole = stale_ms / 1000u;
    return seconds | (whole < seconds ? (uint32_t)whole : seconds - 1u);
}
static inline uint64_t ckiti_stale_unpack(uint32_t packed) {
    const uint32_t seconds = UINT32_C(1) << 31;
    return packed & seconds ? (uint64_t)(packed & (seconds - 1u)) * 1000u : packed;
}
static inline uint64_t ckiti_entry_stale_ms(ckiti_entry *entry, unsigned flags) {
    if ((flags & CKITI_ENTRY_STALE) == 0) {
        return 0;
    }
    return ckiti_stale_unpack(ckiti_entry_optional(entry)[(flags & CKITI_ENTRY_COUNTED) != 0]);
}

/* The last part of the stale window, of which ckiti_l1_get knows nothing. */
static inline uint64_t ckiti_entry_reserve_ms(ckiti_entry *entry, unsigned flags) {
    if ((flags & CKITI_ENTRY_RESERVE) == 0) {
        return 0;
    }
    return ckiti_stale_unpack(ckiti_entry_optional(entry)[1u + ((flags & CKITI_ENTRY_COUNTED) != 0)]);
}

/* Past its lifetime and its stale window. */
static inline bool ckiti_entry_expired(ckiti_entry *entry, uint64_t now_ms) {
    uint64_t life = ckiti_entry_life(entry);
    uint64_t end = ckiti_life_end(life);
    if (end == CKITI_ENTRY_NO_EXPIRY || now_ms < end) {
        return false;
    }
    return now_ms - end >= ckiti_entry_stale_ms(entry, ckiti_life_flags(life));
}

/* Keys are short: two overlapping looks of 16, 8 or 4 bytes beat a call of memcmp, and need no loop. */
static inline uint64_t ckiti_load8(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}
static inline uint32_t ckiti_load4(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}
#ifdef __SSE2__
typedef __m128i          ckiti_lane;
static inline ckiti_lane ckiti_same16(const uint8_t *a, const uint8_t *b) {
    return _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)a),
                          _mm_loadu_si128((const __m128i *)(const void *)b));
}
static inline ckiti_lane ckiti_both(ckiti_lane a, ckiti_lane b) { return _mm_and_si128(a, b); }
static inline bool       ckiti_all(ckiti_lane lane) { return _mm_movemask_epi8(lane) == 0xffff; }
#else
typedef uint64_t         ckiti_lane;
static inline ckiti_lane ckiti_same16(const uint8_t *a, const uint8_t *b) {
    return ~((ckiti_load8(a) ^ ckiti_load8(b)) | (ckiti_load8(a + 8) ^ ckiti_load8(b + 8)));
}
static inline ckiti_lane ckiti_both(ckiti_lane a, ckiti_lane b) { return a & b; }
static inline bool       ckiti_all(ckiti_lane lane) { return lane == UINT64_MAX; }
#endif
static inline __attribute__((always_inline)) bool ckiti_bytes_equal(const uint8_t *a, const uint8_t *b, size_t len) {
    if (__builtin_expect(len >= 16, 1)) {
        ckiti_lane same = ckiti_both(ckiti_same16(a, b), ckiti_same16(a + len - 16, b + len - 16));
        for (size_t i = 16; i + 16 < len; i += 16) {
            same = ckiti_both(same, ckiti_same16(a + i, b + i));
        }
        return ckiti_all(same);
    }
    if (len >= 8) {
        return ((ckiti_load8(a) ^ ckiti_load8(b)) | (ckiti_load8(a + len - 8) ^ ckiti_load8(b + len - 8))) == 0;
    }
    if (len >= 4) {
        return ((ckiti_load4(a) ^ ckiti_load4(b)) | (ckiti_load4(a + len - 4) ^ ckiti_load4(b + len - 4))) == 0;
    }
    return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}
static inline __attribute__((always_inline)) bool ckiti_entry_has_key(const ckiti_entry *entry, ckit_slice key) {
    return ckiti_entry_key_len(entry) == key.len && ckiti_bytes_equal(entry->rest, key.ptr, key.len);
}

#endif
