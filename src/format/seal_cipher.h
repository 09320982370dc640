/* format/seal_cipher.h - AES-256-GCM as a table, over libsodium or OpenSSL.
 *
 * Only the cipher differs between the two. HKDF, SHA-256 and randomness come from libsodium always (seal_secret.h,
 * base/random.h): keys are derived once per tenant, so their speed does not matter, and no OpenSSL is needed for
 * them. */
#ifndef CKITI_FORMAT_SEAL_CIPHER_H
#define CKITI_FORMAT_SEAL_CIPHER_H

#include <cachekit/error.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#define CKITI_SEAL_KEY 32
#define CKITI_SEAL_NONCE 12
#define CKITI_SEAL_TAG 16
#define CKITI_SEAL_EXPANDED 512
#define CKITI_SEAL_CONTEXTS 8 /* kept for each key; more are made and freed when more threads are at work */

/* One key and what libsodium makes of it. Lies in secret memory. */
typedef struct ckiti_secret {
    alignas(64) uint8_t expanded[CKITI_SEAL_EXPANDED];
    uint8_t key[CKITI_SEAL_KEY];
} ckiti_secret;

typedef struct ckiti_cipher_key {
    ckiti_secret *secret;
    _Atomic uintptr_t
        contexts[CKITI_SEAL_CONTEXTS]; /* OpenSSL's, each lent to one thread at a time, which an odd number
                                                        tells; 0: none */
} ckiti_cipher_key;

typedef struct ckiti_cipher_ops {
    const char *name;
    /* Whether this process can use it; `*self` is what the others get. CKIT_E_UNSUPPORTED, CKIT_E_NO_MEMORY. */
    ckit_status (*load)(const ckit_alloc *alloc, void **self, ckit_error *err);
    void (*unload)(const ckit_alloc *alloc, void *self); /* accepts what was never loaded */
    /* Writes plain.len bytes and a tag; `out` may be `plain.ptr`. CKIT_E_NO_MEMORY. */
    ckit_status (*seal)(void *self, ckiti_cipher_key *key, const uint8_t nonce[CKITI_SEAL_NONCE], ckit_slice additional,
                        ckit_slice plain, uint8_t *out, uint8_t tag[CKITI_SEAL_TAG], ckit_error *err);
    /* Writes sealed.len bytes, zeros after a failure. CKIT_E_AUTH_TAG, silently: more keys may be tried.
     * CKIT_E_NO_MEMORY. */
    ckit_status (*open)(void *self, ckiti_cipher_key *key, const uint8_t nonce[CKITI_SEAL_NONCE], ckit_slice additional,
                        ckit_slice sealed, const uint8_t tag[CKITI_SEAL_TAG], uint8_t *out, ckit_error *err);
    /* Wipes and frees what was made for the key. The key itself stays. */
    void (*forget)(void *self, ckiti_cipher_key *key);
} ckiti_cipher_ops;

extern const ckiti_cipher_ops ckiti_cipher_sodium;
extern const ckiti_cipher_ops ckiti_cipher_openssl;

/* In the child of a fork, where nobody else has a context. */
void ckiti_cipher_openssl_in_child(ckiti_cipher_key *key);

/* Expands key->secret->key for libsodium, where that is available. */
void ckiti_cipher_sodium_expand(ckiti_cipher_key *key);
bool ckiti_cipher_sodium_available(void);

#endif
