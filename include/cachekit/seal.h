/* cachekit/seal.h - sealing: bytes that only the holders of a key can read, change or move.
 *
 *     ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
 *     options.master_key_hex = getenv("CACHEKIT_MASTER_KEY");
 *     options.previous_keys_hex = getenv("CACHEKIT_PREVIOUS_MASTER_KEYS");
 *     ckit_keyring *ring;
 *     if (ckit_keyring_open(&options, &ring, &err) == CKIT_OK) {
 *         ckit_seal_subject subject = {.tenant = ..., .key = ..., .format = ckit_slice_str("msgpack")};
 *         ckit_seal(ring, &subject, document, &sealed, &err);
 *     }
 *
 * Sealed bytes are those of every CacheKit SDK: AES-256-GCM (NIST SP 800-38D),
 *
 *   nonce (12 bytes)  ciphertext (as long as the plaintext)  tag (16 bytes)
 *
 * with a key of the tenant's own, made from the master key by HKDF-SHA-256 (RFC 5869), and with the subject as
 * additional data: what was sealed for one tenant, key or form does not open for another. Neither the length of the
 * plaintext nor the subject is hidden.
 *
 * A key ring holds the current master key, which seals, and up to three previous ones, which only open. Master keys and
 * tenants' keys lie in memory that is locked where the system allows it, stays out of core dumps, and is wiped when the
 * ring and the caches that it was given to are closed.
 *
 * Nonces count upwards from 96 random bits that are drawn anew for every ring and in every child of a fork. No key
 * seals more than 2^32 - 1 values in one process.
 *
 * All functions may be called from any thread; a ring is closed once, before or after the caches that it was given to.
 * Nothing blocks, except that opening a ring reads its key file or asks its provider, and that the first use of OpenSSL
 * loads it. */
#ifndef CACHEKIT_SEAL_H
#define CACHEKIT_SEAL_H

#include <cachekit/error.h>
#include <cachekit/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CKIT_MASTER_KEY_MIN_BYTES 32u
#define CKIT_MASTER_KEY_MAX_BYTES 4096u
#define CKIT_PREVIOUS_KEYS_MAX 3u
#define CKIT_TENANT_MAX_BYTES 1024u
#define CKIT_FINGERPRINT_DIGITS 32u
#define CKIT_SEAL_OVERHEAD 28u                     /* sealed bytes are this much longer than the plaintext */
#define CKIT_SEAL_MAX_BYTES UINT64_C(536870912)    /* 512 MiB: longest plaintext */
#define CKIT_SEAL_MAX_PER_KEY UINT64_C(4294967295) /* values sealed with one key by one ring */

typedef struct ckit_keyring      ckit_keyring;
typedef struct ckit_key_provider ckit_key_provider;

/* Who does the arithmetic; the bytes are the same. */
typedef enum ckit_seal_cipher {
    CKIT_SEAL_CIPHER_AUTO = 0,   /* libsodium; OpenSSL for values that are not small, once there have been some MiB of
                                     them and loading it pays; OpenSSL alone where the processor has no AES instructions */
    CKIT_SEAL_CIPHER_SODIUM = 1, /* needs a processor with AES instructions */
    CKIT_SEAL_CIPHER_OPENSSL = 2 /* libcrypto is loaded when the ring is opened */
} ckit_seal_cipher;

/* Keys are given as bytes, as hexadecimal text, in a file or by a provider: in one of these ways. Text may have blanks
 * between bytes; absent or blank text is no key. Nothing given is kept: wipe your copies after opening. */
typedef struct ckit_keyring_options {
    size_t            struct_size;
    ckit_slice        master_key;        /* 32 to 4096 bytes; all of them count. Empty: the ring only opens */
    const ckit_slice *previous_keys;     /* newest first */
    size_t            previous_count;    /* 0 to 3 */
    const char       *master_key_hex;    /* instead of master_key */
    const char       *previous_keys_hex; /* instead of previous_keys: separated by commas, blank items are ignored */
    ckit_seal_cipher  cipher;
    uint32_t          max_tenants;       /* keys of tenants kept at hand, 16 to 65536; 0 = 256. Others are made again */
    uint64_t          max_seals_per_key; /* 0 = CKIT_SEAL_MAX_PER_KEY, which is the most that is allowed */
    const ckit_alloc *alloc;             /* for what is not secret */
    const ckit_log   *log;
    /* instead of keys: a file of the user's or root's that nobody else may read (mode 0600). Text: the first line is
     * the current key, up to three more are previous ones, all as hexadecimal; empty lines and those that begin with
     * '#' do not count */
    const char              *key_file;
    const ckit_key_provider *provider; /* instead of keys: asked for them while the ring is opened */
} ckit_keyring_options;

/* Whoever keeps the keys: a KMS, a vault. */
struct ckit_key_provider {
    /* Fills the keys of `keys` (bytes or text, as above), which stay until `done`. A failure comes back as it is. */
    ckit_status (*fetch)(void *self, ckit_keyring_options *keys, ckit_error *err);
    /* Wipes and frees what fetch has filled; called once after it succeeded. May be NULL. */
    void (*done)(void *self, ckit_keyring_options *keys);
    void *self;
};
#define CKIT_KEYRING_OPTIONS_INIT CKIT_SIZED_INIT(ckit_keyring_options)
/* The same for callers without macros. `struct_size` is sizeof(ckit_keyring_options). */
CKIT_API void ckit_keyring_options_init(ckit_keyring_options *options, size_t struct_size);

/* CKIT_E_NO_MASTER_KEY   no key at all, current or previous
 * CKIT_E_BAD_MASTER_KEY  not hexadecimal, or not within 32 to 4096 bytes
 * CKIT_E_CONFIGURATION   more than three previous keys, the same key twice, an option out of its range, or a key file
 *                        that cannot be read, or that others may read
 * CKIT_E_MISUSE          keys in more than one way
 * the provider's failure as it is, where it gave none
 * CKIT_E_UNSUPPORTED     neither libsodium (on this processor) nor OpenSSL can do it
 * CKIT_E_NO_MEMORY
 * A key whose bytes are all equal is taken, with a warning in the log. */
CKIT_API ckit_status ckit_keyring_open(const ckit_keyring_options *options, ckit_keyring **out, ckit_error *err);
/* Wipes and frees; a cache that was opened with the ring holds it, so that whichever is closed last does (the cache's
 * allocator and the ring's must last that long). Nobody may be at work with it by himself any more. Accepts NULL. */
CKIT_API void ckit_keyring_close(ckit_keyring *ring);
/* Whether there is a current key. Accepts NULL, which has none. */
CKIT_API bool ckit_keyring_can_seal(const ckit_keyring *ring);

/* The public name of the tenant's current key: 32 hexadecimal digits and a terminating zero. It says nothing about the
 * key. CKIT_E_NO_MASTER_KEY, CKIT_E_CONFIGURATION (the tenant), CKIT_E_BUSY, CKIT_E_NO_MEMORY. */
CKIT_API ckit_status ckit_keyring_fingerprint(ckit_keyring *ring, ckit_slice tenant,
                                              char out[CKIT_FINGERPRINT_DIGITS + 1], ckit_error *err);

/* What is sealed, for whom, under which name. Everything here is authenticated and nothing of it is stored. */
typedef struct ckit_seal_subject {
    ckit_slice tenant;        /* 1 to 1024 bytes, UTF-8, byte for byte */
    ckit_slice key;           /* the entry's logical key, without what a store puts in front; not empty */
    ckit_slice format;        /* "msgpack", "orjson" or "arrow" */
    ckit_slice original_type; /* empty: none. None for interop values */
    bool       compressed;    /* false for interop values */
} ckit_seal_subject;

/* Appends the sealed form of `plaintext` to `out`, with the current key of the tenant. Neither may lie in the other. A
 * failure leaves `out->len` as it was.
 *
 * CKIT_E_NO_MASTER_KEY  the ring has previous keys only
 * CKIT_E_CONFIGURATION  the tenant is empty, too long or not UTF-8
 * CKIT_E_MISUSE         an empty key or format
 * CKIT_E_TOO_LARGE      more than CKIT_SEAL_MAX_BYTES, or a text of the subject over 65536 bytes
 * CKIT_E_UNSUPPORTED    this key has sealed all it may in this process: a new master key is needed
 * CKIT_E_BUSY           more threads at work for different tenants than keys may be kept at hand
 * CKIT_E_NO_MEMORY */
CKIT_API ckit_status ckit_seal(ckit_keyring *ring, const ckit_seal_subject *subject, ckit_slice plaintext,
                               ckit_buf *out, ckit_error *err);

/* Appends the plaintext of `sealed` to `out`, once it is known to be authentic. `fingerprint` names the key, as
 * ckit_keyring_fingerprint writes it: that key alone is used. When it is empty every key of the ring is tried, the
 * current one first. `max_bytes` bounds the plaintext (0 = CKIT_SEAL_MAX_BYTES).
 *
 * CKIT_E_AUTH_TAG   damaged, shorter than CKIT_SEAL_OVERHEAD, sealed for another subject, or with no key of this ring
 * CKIT_E_TOO_LARGE  longer than allowed; no memory was reserved
 * and as ckit_seal. A failure leaves `out->len` as it was, and no plaintext behind it. */
CKIT_API ckit_status ckit_unseal(ckit_keyring *ring, const ckit_seal_subject *subject, ckit_slice fingerprint,
                                 ckit_slice sealed, uint64_t max_bytes, ckit_buf *out, ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
