/* format/seal_sodium.c - AES-256-GCM by libsodium: at hand at once, for processors with AES instructions. */
#include "format/seal_cipher.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_aead_aes256gcm_state) == CKITI_SEAL_EXPANDED, "room for the expanded key");

#define WHERE "seal"
#define STACK_USED 1024u /* at most, by libsodium's functions here */

/* After libsodium, which leaves round keys on the stack and in registers; from there the loader would save them on the
 * stack when it binds a function that is called for the first time. */
static void wipe_traces(void) {
#ifdef __x86_64__
    __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\tpxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
                     "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\tpxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
                     "pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\tpxor %%xmm10, %%xmm10\n\tpxor %%xmm11, %%xmm11\n\t"
                     "pxor %%xmm12, %%xmm12\n\tpxor %%xmm13, %%xmm13\n\tpxor %%xmm14, %%xmm14\n\t"
                     "pxor %%xmm15, %%xmm15"
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                       "xmm12", "xmm13", "xmm14", "xmm15");
#endif
    sodium_stackzero(STACK_USED);
}

bool ckiti_cipher_sodium_available(void) { return sodium_init() >= 0 && crypto_aead_aes256gcm_is_available() == 1; }

void ckiti_cipher_sodium_expand(ckiti_cipher_key *key) {
    if (crypto_aead_aes256gcm_is_available() == 1) {
        (void)crypto_aead_aes256gcm_beforenm((crypto_aead_aes256gcm_state *)(void *)key->secret->expanded,
                                             key->secret->key);
        wipe_traces();
    }
}

/* Read only, so that any number of threads may use it at once. */
static const crypto_aead_aes256gcm_state *expanded(const ckiti_cipher_key *key) {
    return (const crypto_aead_aes256gcm_state *)(const void *)key->secret->expanded;
}

static ckit_status load(const ckit_alloc *alloc, void **self, ckit_error *err) {
    (void)alloc;
    *self = NULL;
    if (!ckiti_cipher_sodium_available()) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, WHERE,
                         "this processor has no AES instructions, which libsodium needs");
    }
    return CKIT_OK;
}

static void unload(const ckit_alloc *alloc, void *self) { (void)alloc, (void)self; }

static ckit_status seal(void *self, ckiti_cipher_key *key, const uint8_t nonce[CKITI_SEAL_NONCE], ckit_slice additional,
                        ckit_slice plain, uint8_t *out, uint8_t tag[CKITI_SEAL_TAG], ckit_error *err) {
    (void)self, (void)err;
    (void)crypto_aead_aes256gcm_encrypt_detached_afternm(out, tag, NULL, plain.ptr, plain.len, additional.ptr,
                                                         additional.len, NULL, nonce, expanded(key));
    wipe_traces();
    return CKIT_OK;
}

static ckit_status open_sealed(void *self, ckiti_cipher_key *key, const uint8_t nonce[CKITI_SEAL_NONCE],
                               ckit_slice additional, ckit_slice sealed, const uint8_t tag[CKITI_SEAL_TAG],
                               uint8_t *out, ckit_error *err) {
    (void)self, (void)err;
    int opened = crypto_aead_aes256gcm_decrypt_detached_afternm(out, NULL, sealed.ptr, sealed.len, tag, additional.ptr,
                                                                additional.len, nonce, expanded(key));
    wipe_traces();
    if (opened != 0) {
        sodium_memzero(out, sealed.len);
    }
    return opened == 0 ? CKIT_OK : CKIT_E_AUTH_TAG;
}

static void forget(void *self, ckiti_cipher_key *key) {
    (void)self;
    sodium_memzero(key->secret->expanded, sizeof key->secret->expanded);
}

const ckiti_cipher_ops ckiti_cipher_sodium = {
    .name = "libsodium",
    .load = load,
    .unload = unload,
    .seal = seal,
    .open = open_sealed,
    .forget = forget,
};
