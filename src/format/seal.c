#include "format/seal.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/misuse.h"
#include "format/seal_ring.h"

#include <cachekit/buf.h>
#include <sodium.h>

#define WHERE "seal"
#define AAD_VERSION 3
#define LONGEST_TEXT 65536u

_Static_assert(CKITI_SEAL_NONCE + CKITI_SEAL_TAG == CKIT_SEAL_OVERHEAD, "what is added");
_Static_assert(2 * CKITI_FINGERPRINT == CKIT_FINGERPRINT_DIGITS, "hexadecimal");

/* ---- additional data ---------------------------------------------------------------------------------------- */

static uint8_t *put_part(uint8_t *at, ckit_slice text) {
    *at++ = (uint8_t)(text.len >> 24);
    *at++ = (uint8_t)(text.len >> 16);
    *at++ = (uint8_t)(text.len >> 8);
    *at++ = (uint8_t)text.len;
    memcpy(at, text.ptr, text.len);
    return at + text.len;
}

/* What stands behind the key for documents in an envelope, as most values are. */
static const char usual_end[] = "\0\0\0\7msgpack\0\0\0\4True\0\0\0\7msgpack";

static bool is_msgpack(ckit_slice text) { return text.len == 7 && memcmp(text.ptr, "msgpack", 7) == 0; }

/* The same bytes in fewer steps, or none: `small` has room for them. */
static bool init_usual(ckiti_seal_additional *additional, const ckit_seal_subject *subject) {
    const size_t others = 1 + 4 + 4 + sizeof usual_end - 1, room = sizeof additional->small - others;
    if (!subject->compressed || !is_msgpack(subject->format) || !is_msgpack(subject->original_type) ||
        subject->key.len == 0 || subject->tenant.len > room || subject->key.len > room - subject->tenant.len) {
        return false;
    }
    additional->ptr = additional->small;
    additional->len = others + subject->tenant.len + subject->key.len;
    additional->small[0] = AAD_VERSION;
    memcpy(put_part(put_part(additional->small + 1, subject->tenant), subject->key), usual_end, sizeof usual_end - 1);
    return true;
}

ckit_status ckiti_seal_additional_init(ckiti_seal_additional *additional, const ckit_seal_subject *subject,
                                       const ckit_alloc *alloc, ckit_error *err) {
    additional->alloc = alloc;
    if (init_usual(additional, subject)) {
        return CKIT_OK;
    }
    const ckit_slice parts[] = {subject->tenant, subject->key, subject->format,
                                ckit_slice_str(subject->compressed ? "True" : "False"), subject->original_type};
    const size_t     count = subject->original_type.len > 0 ? 5 : 4;
    size_t           len = 1;
    additional->ptr = additional->small;
    additional->len = 0;
    if (subject->key.len == 0 || subject->format.len == 0) {
        return ckit_fail(err, CKIT_E_MISUSE, WHERE, "sealing needs a key and a format");
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > LONGEST_TEXT) {
            return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "a text of %zu bytes to authenticate, limit %u",
                             parts[i].len, LONGEST_TEXT);
        }
        len += 4 + parts[i].len;
    }
    if (len > sizeof additional->small) {
        additional->ptr = ckiti_alloc(alloc, len);
        if (additional->ptr == NULL) {
            return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", len);
        }
    }
    additional->len = len;
    uint8_t *at = additional->ptr;
    *at++ = AAD_VERSION;
    for (size_t i = 0; i < count; i++) {
        at = put_part(at, parts[i]);
    }
    return CKIT_OK;
}

void ckiti_seal_additional_fini(ckiti_seal_additional *additional) {
    if (additional->ptr != additional->small) {
        ckiti_free(additional->alloc, additional->ptr, additional->len);
    }
    additional->ptr = additional->small;
}

/* ---- sealing ------------------------------------------------------------------------------------------------ */

/* Counts before it seals, so that threads together stay within the budget. */
static ckit_status count_one(const ckit_keyring *ring, ckiti_tenant *tenant, ckit_error *err) {
    if (atomic_fetch_add_explicit(&tenant->sealed, 1, memory_order_relaxed) >= ring->max_sealed) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, WHERE,
                         "this key has sealed %llu values in this process, which is all it may: it is time for a new "
                         "master key",
                         (unsigned long long)ring->max_sealed);
    }
    return CKIT_OK;
}

ckit_status ckiti_seal_lent(ckit_keyring *ring, ckiti_tenant *tenant, const ckit_seal_subject *subject,
                            ckit_slice plain, const uint8_t *nonce, uint8_t *out, ckit_error *err) {
    ckiti_seal_additional additional;
    if (plain.len > CKIT_SEAL_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%zu bytes to seal, limit %llu", plain.len,
                         (unsigned long long)CKIT_SEAL_MAX_BYTES);
    }
    ckit_status st = ckiti_seal_additional_init(&additional, subject, ring->alloc, err);
    if (st == CKIT_OK) {
        st = count_one(ring, tenant, err);
    }
    if (st == CKIT_OK) {
        void                   *self;
        const ckiti_cipher_ops *cipher = ckiti_ring_cipher(ring, plain.len, &self);
        uint8_t                *body = out + CKITI_SEAL_NONCE;
        if (nonce != NULL) {
            memcpy(out, nonce, CKITI_SEAL_NONCE);
        } else {
            ckiti_nonces_next(&ring->nonces, out);
        }
        st = cipher->seal(self, &tenant->cipher, out, ckit_slice_of(additional.ptr, additional.len), plain, body,
                          body + plain.len, err);
    }
    ckiti_seal_additional_fini(&additional);
    return st;
}

ckit_status ckiti_seal_with_nonce(ckit_keyring *ring, const ckit_seal_subject *subject, ckit_slice plain,
                                  const uint8_t *nonce, uint8_t *out, ckit_error *err) {
    ckiti_tenant *tenant;
    ckit_status   st = ckiti_ring_borrow_current(ring, subject->tenant, &tenant, err);
    if (st == CKIT_OK) {
        st = ckiti_seal_lent(ring, tenant, subject, plain, nonce, out, err);
        ckiti_ring_give_back(ring, tenant);
    }
    return st;
}

static ckit_status refuse_null(const ckit_keyring *ring, const ckit_seal_subject *subject, ckit_error *err) {
    return ckiti_there_is_no(err, WHERE,
                             ring == NULL      ? "keyring"
                             : subject == NULL ? "subject"
                                               : "place for the result");
}

ckit_status ckit_seal(ckit_keyring *ring, const ckit_seal_subject *subject, ckit_slice plaintext, ckit_buf *out,
                      ckit_error *err) {
    if (ring == NULL || subject == NULL || out == NULL) {
        return refuse_null(ring, subject, err);
    }
    if (plaintext.len > CKIT_SEAL_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%zu bytes to seal, limit %llu", plaintext.len,
                         (unsigned long long)CKIT_SEAL_MAX_BYTES);
    }
    const size_t len = plaintext.len + CKIT_SEAL_OVERHEAD;
    if (ckit_buf_reserve(out, len) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", len);
    }
    ckit_status st = ckiti_seal_with_nonce(ring, subject, plaintext, NULL, out->ptr + out->len, err);
    out->len += st == CKIT_OK ? len : 0;
    return st;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

typedef struct opening {
    ckit_keyring            *ring;
    const ckit_seal_subject *subject;
    ckit_slice               additional;
    ckit_slice               sealed;
    uint8_t                 *out;
} opening;

static ckit_status open_with(const opening *o, ckiti_tenant *tenant, ckit_error *err) {
    const size_t            len = o->sealed.len - CKIT_SEAL_OVERHEAD;
    const ckit_slice        body = ckit_slice_of(o->sealed.ptr + CKITI_SEAL_NONCE, len);
    void                   *self;
    const ckiti_cipher_ops *cipher = ckiti_ring_cipher(o->ring, len, &self);
    return cipher->open(self, &tenant->cipher, o->sealed.ptr, o->additional, body, body.ptr + len, o->out, err);
}

ckit_status ckiti_unseal_lent(ckit_keyring *ring, ckiti_tenant *tenant, const ckit_seal_subject *subject,
                              ckit_slice sealed, uint8_t *out) {
    ckiti_seal_additional additional;
    ckit_status           st = ckiti_seal_additional_init(&additional, subject, ring->alloc, NULL);
    if (st == CKIT_OK) {
        const opening o = {.ring = ring,
                           .subject = subject,
                           .additional = ckit_slice_of(additional.ptr, additional.len),
                           .sealed = sealed,
                           .out = out};
        st = open_with(&o, tenant, NULL);
    }
    ckiti_seal_additional_fini(&additional);
    return st;
}

static bool has_name(const ckiti_tenant *tenant, ckit_slice fingerprint) {
    return ckiti_same_bytes(fingerprint, ckit_slice_of(tenant->fingerprint, sizeof tenant->fingerprint));
}

bool ckiti_keyring_has(ckit_keyring *ring, ckit_slice name, ckit_slice fingerprint) {
    bool has = false;
    for (unsigned i = ring->first; i < ring->count && !has; i++) {
        ckiti_tenant *tenant;
        if (ckiti_ring_borrow(ring, i, name, &tenant, NULL) != CKIT_OK) {
            return false;
        }
        has = has_name(tenant, fingerprint);
        ckiti_ring_give_back(ring, tenant);
    }
    return has;
}

/* Exactly the key that has the name, or one after the other when there is no name. */
static ckit_status try_keys(const opening *o, ckit_slice fingerprint, ckit_error *err) {
    bool        known = fingerprint.len == 0;
    ckit_status st = CKIT_E_AUTH_TAG;
    for (unsigned i = o->ring->first; i < o->ring->count && st == CKIT_E_AUTH_TAG; i++) {
        ckiti_tenant *tenant;
        ckit_status   lent = ckiti_ring_borrow(o->ring, i, o->subject->tenant, &tenant, err);
        if (lent != CKIT_OK) {
            return lent;
        }
        const bool named = fingerprint.len > 0 && has_name(tenant, fingerprint);
        if (named || fingerprint.len == 0) {
            st = open_with(o, tenant, err);
        }
        ckiti_ring_give_back(o->ring, tenant);
        known = known || named;
        if (named) {
            break;
        }
    }
    if (st == CKIT_E_AUTH_TAG) {
        return known ? ckit_fail(err, st, WHERE,
                                 "%zu bytes do not authenticate: damaged, moved, or sealed with a key that "
                                 "this ring does not have",
                                 o->sealed.len)
                     : ckit_fail(err, st, WHERE,
                                 "sealed with a key that this ring does not have: a former or coming key of yours goes "
                                 "among the previous ones");
    }
    return st;
}

ckit_status ckit_unseal(ckit_keyring *ring, const ckit_seal_subject *subject, ckit_slice fingerprint, ckit_slice sealed,
                        uint64_t max_bytes, ckit_buf *out, ckit_error *err) {
    const uint64_t        limit = max_bytes == 0 || max_bytes > CKIT_SEAL_MAX_BYTES ? CKIT_SEAL_MAX_BYTES : max_bytes;
    ckiti_seal_additional additional;
    uint8_t               nothing[1];
    if (ring == NULL || subject == NULL || out == NULL) {
        return refuse_null(ring, subject, err);
    }
    if (sealed.len < CKIT_SEAL_OVERHEAD) {
        return ckit_fail(err, CKIT_E_AUTH_TAG, WHERE, "%zu bytes, sealed values have at least %u", sealed.len,
                         CKIT_SEAL_OVERHEAD);
    }
    const size_t len = sealed.len - CKIT_SEAL_OVERHEAD;
    if (len > limit) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%zu bytes are sealed, limit %llu", len,
                         (unsigned long long)limit);
    }
    ckit_status st = ckiti_seal_additional_init(&additional, subject, ring->alloc, err);
    if (st == CKIT_OK && ckit_buf_reserve_exact(out, len) != CKIT_OK) {
        st = ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", len);
    }
    if (st == CKIT_OK) {
        const opening o = {.ring = ring,
                           .subject = subject,
                           .additional = ckit_slice_of(additional.ptr, additional.len),
                           .sealed = sealed,
                           .out = len == 0 ? nothing : out->ptr + out->len};
        st = try_keys(&o, fingerprint, err);
    }
    out->len += st == CKIT_OK ? len : 0;
    ckiti_seal_additional_fini(&additional);
    return st;
}

ckit_status ckit_keyring_fingerprint(ckit_keyring *ring, ckit_slice name, char out[CKIT_FINGERPRINT_DIGITS + 1],
                                     ckit_error *err) {
    ckiti_tenant *tenant;
    if (ring == NULL || out == NULL) {
        return ckiti_there_is_no(err, WHERE, ring == NULL ? "keyring" : "place for the fingerprint");
    }
    ckit_status st = ckiti_ring_borrow_current(ring, name, &tenant, err);
    out[0] = '\0';
    if (st == CKIT_OK) {
        memcpy(out, tenant->fingerprint, sizeof tenant->fingerprint);
        out[CKIT_FINGERPRINT_DIGITS] = '\0';
        ckiti_ring_give_back(ring, tenant);
    }
    return st;
}
