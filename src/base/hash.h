/* base/hash.h - XXH3-64 for tables and checksums, BLAKE2b (RFC 7693) for names. */
#ifndef CKITI_BASE_HASH_H
#define CKITI_BASE_HASH_H

#include <cachekit/types.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Seeded per instance where outsiders choose the keys, so that they cannot choose collisions. */
static inline uint64_t ckiti_xxh3(ckit_slice bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes.ptr, bytes.len, seed);
}

/* XXH3-64 without a seed, of contents that may be long. */
uint64_t               ckiti_xxh3_long(const void *bytes, size_t len);
static inline uint64_t ckiti_xxh3_content(const void *bytes, size_t len) {
    return len <= XXH3_MIDSIZE_MAX ? XXH3_64bits(bytes, len) : ckiti_xxh3_long(bytes, len);
}

/* private: on processors with AVX2 */
uint64_t ckiti_xxh3_avx2(const void *bytes, size_t len);

/* BLAKE2b with its digest-length parameter set to `digest_len` (16 to 64), no key. */
void ckiti_blake2b(uint8_t *digest, size_t digest_len, ckit_slice bytes);

/* 2 * len lowercase digits; no terminating zero. */
void ckiti_hex(char *out, const uint8_t *bytes, size_t len);

#endif
