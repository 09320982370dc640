/* memory/l1_test.h - what the tests of the tier share. */
#ifndef CKITI_MEMORY_L1_TEST_H
#define CKITI_MEMORY_L1_TEST_H

#include "memory/l1.h"
#include "memory/readers.h"
#include "support/failing_alloc.h"
#include "support/test.h"
#include <cachekit/value.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(CKITI_TSAN) || defined(__SANITIZE_ADDRESS__)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INSTRUMENTED 1
#endif
#endif

#define TAG 3u
#define HOUR_MS UINT64_C(3600000)
#define T0 UINT64_C(1000000) /* when tests begin, on the tier's clock */

static inline ckiti_l1 *open_tier_on(uint64_t max_bytes, const ckit_alloc *alloc) {
    ckit_error       err = CKIT_ERROR_INIT;
    ckiti_l1        *l1 = NULL;
    ckiti_l1_options options = {.max_bytes = max_bytes, .alloc = alloc, .seed = 42}; /* the same every time */
    CHECK_OK_ERR(ckiti_l1_open(&options, &l1, &err), &err);
    return l1;
}
static inline ckiti_l1 *open_tier(uint64_t max_bytes) { return open_tier_on(max_bytes, NULL); }

static inline ckiti_l1_query query_of(const ckiti_l1 *l1, ckit_slice key) {
    return (ckiti_l1_query){.key = key, .hash = ckiti_l1_hash(l1, key), .tag = TAG};
}
static inline ckiti_l1_put_args args_of(const ckiti_l1 *l1, ckit_slice key, ckit_slice value) {
    return (ckiti_l1_put_args){.key = key,
                               .hash = ckiti_l1_hash(l1, key),
                               .value = value,
                               .life_ms = HOUR_MS,
                               .birth = ckiti_l1_birth(l1),
                               .tag = TAG};
}
static inline ckit_status put_at(ckiti_l1 *l1, ckit_slice key, ckit_slice value, uint64_t life_ms, uint64_t now_ms) {
    ckiti_l1_put_args args = args_of(l1, key, value);
    args.life_ms = life_ms;
    return ckiti_l1_put(l1, &args, now_ms);
}
static inline ckit_status put(ckiti_l1 *l1, const char *key, const char *value) {
    return put_at(l1, S(key), S(value), HOUR_MS, T0);
}
static inline ckit_status get_at(ckiti_l1 *l1, ckit_slice key, uint64_t now_ms, ckit_value *out) {
    ckiti_l1_query query = query_of(l1, key);
    return ckiti_l1_get(l1, &query, now_ms, out);
}
/* Whether the key answers; the value is given back. */
static inline ckit_status probe_at(ckiti_l1 *l1, ckit_slice key, uint64_t now_ms) {
    ckit_value  value = CKIT_VALUE_INIT;
    ckit_status st = get_at(l1, key, now_ms, &value);
    ckit_value_fini(&value);
    return st;
}
static inline ckit_status probe(ckiti_l1 *l1, const char *key) { return probe_at(l1, S(key), T0); }

static inline ckiti_l1_stats stats_of(ckiti_l1 *l1) {
    ckiti_l1_stats stats;
    ckiti_l1_get_stats(l1, &stats);
    return stats;
}

/* A value that says whose it is: whoever reads it can tell whether every byte is right. */
/* The bytes of a value tell its number, and repeat after VALUE_PERIOD: copied and compared in one go they are quick,
 * also where every access of ours is watched. */
#define VALUE_PERIOD 256u
static inline uint8_t value_byte(uint64_t number, size_t i) {
    return (uint8_t)((number * UINT64_C(0x9E3779B97F4A7C15) >> 8 * (i % 8)) + i);
}
static inline void describe_value(uint8_t *bytes, size_t len, uint64_t number) {
    size_t i = 0;
    for (; i < len && i < VALUE_PERIOD; i++) {
        bytes[i] = value_byte(number, i);
    }
    for (; i < len; i += VALUE_PERIOD) {
        memcpy(bytes + i, bytes, len - i < VALUE_PERIOD ? len - i : VALUE_PERIOD);
    }
}
static inline bool value_is(ckit_slice value, size_t len, uint64_t number) {
    bool right = value.len == len;
    for (size_t i = 0; right && i < len && i < VALUE_PERIOD; i++) {
        right = value.ptr[i] == value_byte(number, i);
    }
    return right && (len <= VALUE_PERIOD || memcmp(value.ptr + VALUE_PERIOD, value.ptr, len - VALUE_PERIOD) == 0);
}
static inline ckit_slice number_key(char *buffer, size_t size, uint64_t number) {
    int len = snprintf(buffer, size, "key:%llu", (unsigned long long)number);
    return (ckit_slice){(const uint8_t *)buffer, (size_t)len};
}

#endif
