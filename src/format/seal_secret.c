#include "format/seal_secret.h"

#include <cachekit/seal.h>
#include <sodium.h>
#include <string.h>

void *ckiti_secret_alloc(size_t size) {
    if (sodium_init() < 0) {
        return NULL;
    }
    void *secret = sodium_malloc(size);
    if (secret != NULL) {
        sodium_memzero(secret, size);
    }
    return secret;
}

void ckiti_secret_lock_again(void *secret, size_t size) { (void)sodium_mlock(secret, size); }

void ckiti_secret_free(void *secret) { sodium_free(secret); }

static void hmac(ckit_slice key, ckit_slice first, ckit_slice second, const uint8_t *counter, uint8_t out[32]) {
    crypto_auth_hmacsha256_state state;
    (void)crypto_auth_hmacsha256_init(&state, key.ptr, key.len);
    (void)crypto_auth_hmacsha256_update(&state, first.ptr, first.len);
    (void)crypto_auth_hmacsha256_update(&state, second.ptr, second.len);
    if (counter != NULL) {
        (void)crypto_auth_hmacsha256_update(&state, counter, 1);
    }
    (void)crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

void ckiti_hkdf_sha256(ckit_slice salt, ckit_slice input, ckit_slice info, uint8_t *out, size_t len) {
    uint8_t          pseudorandom[32], block[32];
    const ckit_slice none = {NULL, 0}, key = {pseudorandom, sizeof pseudorandom};
    size_t           have = 0;
    hmac(salt, input, none, NULL, pseudorandom);
    for (uint8_t counter = 1; len > 0; counter++) {
        hmac(key, (ckit_slice){block, have}, info, &counter, block);
        have = sizeof block;
        size_t part = len < have ? len : have;
        memcpy(out, block, part);
        out += part;
        len -= part;
    }
    sodium_memzero(pseudorandom, sizeof pseudorandom);
    sodium_memzero(block, sizeof block);
}

size_t ckiti_tenant_salt(const char *domain, ckit_slice tenant, uint8_t out[CKITI_TENANT_SALT_MAX]) {
    static const char version[] = "cachekit_v1_";
    const size_t      domain_len = strlen(domain);
    uint8_t          *at = out;
    memcpy(at, version, sizeof version - 1);
    at += sizeof version - 1;
    *at++ = (uint8_t)domain_len;
    memcpy(at, domain, domain_len);
    at += domain_len;
    *at++ = (uint8_t)(tenant.len >> 8);
    *at++ = (uint8_t)tenant.len;
    memcpy(at, tenant.ptr, tenant.len);
    return (size_t)(at + tenant.len - out);
}

void ckiti_tenant_key(ckit_slice master, const char *domain, ckit_slice tenant, uint8_t key[32]) {
    uint8_t salt[CKITI_TENANT_SALT_MAX];
    size_t  len = ckiti_tenant_salt(domain, tenant, salt);
    ckiti_hkdf_sha256((ckit_slice){salt, len}, master, (ckit_slice){(const uint8_t *)domain, strlen(domain)}, key, 32);
}

void ckiti_key_fingerprint(const uint8_t key[32], uint8_t out[CKITI_FINGERPRINT]) {
    static const char        version[] = "key_fingerprint_v1";
    uint8_t                  digest[32];
    crypto_hash_sha256_state state;
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, (const uint8_t *)version, sizeof version - 1);
    (void)crypto_hash_sha256_update(&state, key, 32);
    (void)crypto_hash_sha256_final(&state, digest);
    memcpy(out, digest, CKITI_FINGERPRINT);
    sodium_memzero(&state, sizeof state);
    sodium_memzero(digest, sizeof digest);
}

/* The compiler cannot tell what has been gathered, so that it finds no place to leave early. */
static uint64_t gather(uint64_t differs, uint64_t a, uint64_t b) {
    differs |= a ^ b;
    __asm__ volatile("" : "+r"(differs));
    return differs;
}

bool ckiti_same_bytes(ckit_slice a, ckit_slice b) {
    uint64_t differs = 0;
    size_t   i = 0;
    if (a.len != b.len) {
        return false;
    }
    for (; a.len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t x, y;
        memcpy(&x, a.ptr + i, sizeof x);
        memcpy(&y, b.ptr + i, sizeof y);
        differs = gather(differs, x, y);
    }
    for (; i < a.len; i++) {
        differs = gather(differs, a.ptr[i], b.ptr[i]);
    }
    return differs == 0;
}
