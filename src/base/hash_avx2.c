/* base/hash_avx2.c - XXH3-64 of long texts, twice as fast as what every x86-64 processor can do. Compiled for processors
 * with AVX2, and called on these only. */
#include "base/hash.h"

uint64_t ckiti_xxh3_avx2(const void *bytes, size_t len) { return XXH3_64bits(bytes, len); }
