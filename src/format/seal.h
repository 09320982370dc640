/* format/seal.h - sealing with more in the caller's hands than seal.h of the public headers gives. */
#ifndef CKITI_FORMAT_SEAL_H
#define CKITI_FORMAT_SEAL_H

#include <cachekit/seal.h>

typedef struct ckiti_tenant ckiti_tenant; /* seal_ring.h */

/* What is authenticated besides the ciphertext: the byte 03, then tenant, key, format, "True" or "False" for
 * compressed, and the original type if there is one, each behind its length (u32, big-endian). */
typedef struct ckiti_seal_additional {
    uint8_t           small[512];
    uint8_t          *ptr;
    size_t            len;
    const ckit_alloc *alloc;
} ckiti_seal_additional;

/* End it in every case. CKIT_E_MISUSE, CKIT_E_TOO_LARGE, CKIT_E_NO_MEMORY. */
ckit_status ckiti_seal_additional_init(ckiti_seal_additional *additional, const ckit_seal_subject *subject,
                                       const ckit_alloc *alloc, ckit_error *err);
void        ckiti_seal_additional_fini(ckiti_seal_additional *additional);

/* One more who ends it with ckit_keyring_close: it lasts until the last of them has. Accepts NULL. */
void ckiti_keyring_hold(ckit_keyring *ring);

/* Whether a key of the ring, of this tenant, has this public name. False also when that cannot be found out. */
bool ckiti_keyring_has(ckit_keyring *ring, ckit_slice tenant, ckit_slice fingerprint);

/* ckit_seal into `out`, which has room for plain.len + CKIT_SEAL_OVERHEAD bytes. `plain` may lie 12 bytes behind `out`,
 * where its ciphertext will be; otherwise they do not touch. `nonce` is NULL (the ring's next), or for tests 12 bytes
 * that were never used with this key. After a failure `out` holds anything. */
ckit_status ckiti_seal_with_nonce(ckit_keyring *ring, const ckit_seal_subject *subject, ckit_slice plain,
                                  const uint8_t *nonce, uint8_t *out, ckit_error *err);

/* The same with a key that is lent, the subject's tenant's current one. */
ckit_status ckiti_seal_lent(ckit_keyring *ring, ckiti_tenant *tenant, const ckit_seal_subject *subject,
                            ckit_slice plain, const uint8_t *nonce, uint8_t *out, ckit_error *err);

/* ckit_unseal of at least CKIT_SEAL_OVERHEAD bytes with a key that is lent, into `out`, which has room for what was
 * sealed. After a failure `out` holds nothing in the clear. */
ckit_status ckiti_unseal_lent(ckit_keyring *ring, ckiti_tenant *tenant, const ckit_seal_subject *subject,
                              ckit_slice sealed, uint8_t *out);

#endif
