/* format/seal_ring.h - what a key ring holds: master keys, and the tenants' keys at hand. */
#ifndef CKITI_FORMAT_SEAL_RING_H
#define CKITI_FORMAT_SEAL_RING_H

#include <cachekit/seal.h>
#include <pthread.h>

#include "base/fork.h"
#include "format/seal.h"
#include "format/seal_cipher.h"
#include "format/seal_nonce.h"
#include "format/seal_secret.h"

#define CKITI_RING_KEYS (1u + CKIT_PREVIOUS_KEYS_MAX)
#define CKITI_TENANTS_CHUNK 16u
#define CKITI_TENANTS_AT_HAND 16u /* a power of two */
#define CKITI_TENANT_GONE (UINT32_C(1) << 31)

/* The key of one tenant under one master key. `lent` counts those who use it, and has CKITI_TENANT_GONE while there is
 * none in it. It is made, linked and emptied by who has the ring's lock; nothing of it changes while it is lent but what
 * is atomic. */
struct ckiti_tenant {
    ckiti_cipher_key cipher;
    _Atomic uint64_t sealed; /* at least as many values as this key has sealed in this process */
    _Atomic uint32_t lent;
    _Atomic uint64_t used_at;
    uint64_t         hash;
    char             fingerprint[CKIT_FINGERPRINT_DIGITS];
    uint8_t         *name; /* NULL: free; `head` follows it in the same block */
    size_t           name_len;
    ckit_slice       head; /* how the stored value of a default document begins that this key has sealed */
    unsigned         master;
    uint32_t         next; /* in its bucket: number + 1; 0 = last */
};

typedef struct ckiti_tenants_chunk {
    ckiti_tenant  tenants[CKITI_TENANTS_CHUNK];
    ckiti_secret *secrets;
} ckiti_tenants_chunk;

struct ckit_keyring {
    const ckit_alloc *alloc;
    _Atomic uint32_t  holders; /* whoever opened it, and the caches that seal with it */

    uint8_t   *secret; /* all master keys */
    size_t     secret_size;
    ckit_slice masters[CKITI_RING_KEYS];
    unsigned   first; /* 0, or 1 when there is no current key */
    unsigned   count; /* masters[first .. count-1] */

    bool             with_sodium;
    bool             may_grow; /* OpenSSL is to be loaded when that pays */
    _Atomic bool     grown;    /* it has been tried */
    _Atomic uint64_t bytes;    /* sealed and opened before that */
    _Atomic(void *)  openssl;  /* NULL: not in use */

    ckiti_nonces nonces;
    uint64_t     max_sealed;
    uint64_t     seed;

    /* By hash: who was found last. Lent without the lock; may be gone, or be another's by now. */
    _Atomic(ckiti_tenant *) at_hand[CKITI_TENANTS_AT_HAND];
    _Atomic uint64_t        tick;

    /* Guards what follows and the tenants. Never held while values are sealed or opened. */
    pthread_mutex_t       lock;
    uint64_t              evicted_sealed; /* no evicted key has sealed more than this */
    uint32_t              max_tenants;
    uint32_t              tenants; /* made so far; they are never given back before the end */
    uint32_t              buckets; /* a power of two */
    uint32_t             *heads;   /* number + 1 */
    ckiti_tenants_chunk **chunks;

    ckiti_fork_hooks hooks;
};

/* Lends the key of `name` under masters[master]: found or made. Give it back.
 * CKIT_E_CONFIGURATION (the name), CKIT_E_BUSY, CKIT_E_NO_MEMORY. */
ckit_status ckiti_ring_borrow(ckit_keyring *ring, unsigned master, ckit_slice name, ckiti_tenant **out,
                              ckit_error *err);
void        ckiti_ring_give_back(ckit_keyring *ring, ckiti_tenant *tenant);
/* The key that seals. Also CKIT_E_NO_MASTER_KEY. */
ckit_status ckiti_ring_borrow_current(ckit_keyring *ring, ckit_slice name, ckiti_tenant **out, ckit_error *err);

/* Of a ring that can seal. */
static inline bool ckiti_keyring_has_previous(const ckit_keyring *ring) { return ring->count > 1; }

ckit_status ckiti_tenants_init(ckit_keyring *ring, ckit_error *err);
/* Accepts what was never initialised (zeroed). */
void ckiti_tenants_fini(ckit_keyring *ring);
/* In the child of a fork, with the ring's lock. */
void ckiti_tenants_in_child(ckit_keyring *ring);

/* Who seals or opens `len` bytes now, and the first argument of its functions. */
const ckiti_cipher_ops *ckiti_ring_cipher(ckit_keyring *ring, size_t len, void **self);

/* Hexadecimal text as Python's bytes.fromhex takes it: pairs of digits, blanks between them. The number of bytes, or
 * SIZE_MAX when it is something else. `out` may be NULL: only counted. */
size_t ckiti_hex_decode(ckit_slice text, uint8_t *out);

#endif
