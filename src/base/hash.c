#include "base/hash.h"

#include <pthread.h>
#include <sodium.h>

uint64_t ckiti_xxh3_long(const void *bytes, size_t len) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        return ckiti_xxh3_avx2(bytes, len);
    }
#endif
    return XXH3_64bits(bytes, len);
}

/* Chooses libsodium's fastest BLAKE2b for this processor. */
static void init_sodium(void) {
    if (sodium_init() < 0) {
        return; /* the portable implementation serves */
    }
}

void ckiti_blake2b(uint8_t *digest, size_t digest_len, ckit_slice bytes) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_sodium);
    crypto_generichash(digest, digest_len, bytes.ptr, bytes.len, NULL, 0);
}

void ckiti_hex(char *out, const uint8_t *bytes, size_t len) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}
