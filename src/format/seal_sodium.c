/* format/seal_sodium.c - AES-256-GCM by libsodium: at hand at once, for processors with AES instructions. */
#include "format/seal_cipher.h"
#include "format/seal_wipe.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_aead_aes256gcm_state) == CKITI_SEAL_EXPANDED, "room for the expanded key");

#define WHERE "seal"
#define STACK_USED 1024u /* at most, by libsodium's functions here */

/* After libsodium, which leaves round keys on the stack and in registers. */
static void wipe_traces(void) {
    ckiti_wipe_registers();
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
