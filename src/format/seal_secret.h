/* format/seal_secret.h - key material: where it lies, how tenants' keys are made of master keys, what they are
 * called. */
#ifndef CKITI_FORMAT_SEAL_SECRET_H
#define CKITI_FORMAT_SEAL_SECRET_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#define CKITI_FINGERPRINT 16 /* bytes */

/* Memory between guard pages, locked where the system allows it, not in core dumps, wiped when freed. It does not come
 * from the instance's allocator, which promises none of this. Zeroed; NULL when there is none. `size` is a multiple of
 * 64, and so is the address. */
void *ckiti_secret_alloc(size_t size);
/* In the child of a fork, which inherits no locks on memory: locked again, where the system allows it. */
void ckiti_secret_lock_again(void *secret, size_t size);
/* Accepts NULL. */
void ckiti_secret_free(void *secret);

/* HKDF-SHA-256 (RFC 5869). `len` is 1 to 8160. */
void ckiti_hkdf_sha256(ckit_slice salt, ckit_slice input, ckit_slice info, uint8_t *out, size_t len);

/* The tenant's key for a domain ("encryption"): HKDF with the salt "cachekit_v1_" and both names, lengths before them,
 * and the domain as info. `domain` has 1 to 255 bytes, `tenant` 1 to CKIT_TENANT_MAX_BYTES. */
void ckiti_tenant_key(ckit_slice master, const char *domain, ckit_slice tenant, uint8_t key[32]);
/* The salt alone; returns its length. `out` holds 14 bytes, the domain's and the tenant's. */
#define CKITI_TENANT_SALT_MAX (12u + 1u + 255u + 2u + 1024u)
size_t ckiti_tenant_salt(const char *domain, ckit_slice tenant, uint8_t out[CKITI_TENANT_SALT_MAX]);

/* The first bytes of SHA-256("key_fingerprint_v1" key). */
void ckiti_key_fingerprint(const uint8_t key[32], uint8_t out[CKITI_FINGERPRINT]);

/* In a time that depends on the lengths alone. */
bool ckiti_same_bytes(ckit_slice a, ckit_slice b);

#endif
