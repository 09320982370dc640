#include "format/reseal.h"

#include "format/seal.h"
#include "format/sealed.h"

#include <cachekit/buf.h>
#include <cachekit/frame.h>
#include <sodium.h>

#define NAMES 3u /* the stored key, and what is left of it without one or two tenants in front */

/* Whose value it may be, under which logical key. */
typedef struct owner {
    ckit_slice tenant; /* as the key has it, percent-encoded; empty: none in front */
    ckit_slice key;
} owner;

typedef struct resealing {
    ckit_keyring *ring;
    ckit_slice    deployment;
    owner         owners[NAMES];
    unsigned      count;
    ckit_slice    stored;
    ckit_buf     *out;
    ckit_buf      plain; /* in the clear: wiped at the end */
} resealing;

static void find_owners(resealing *r, ckit_slice key) {
    r->owners[r->count++] = (owner){{NULL, 0}, key};
    while (r->count < NAMES && key.len > 2 && memcmp(key.ptr, "t:", 2) == 0) {
        const uint8_t *end = memchr(key.ptr + 2, ':', key.len - 2);
        if (end == NULL || end + 1 == key.ptr + key.len) {
            return;
        }
        ckit_slice tenant = ckit_slice_of(key.ptr + 2, (size_t)(end - key.ptr) - 2);
        key = ckit_slice_of(end + 1, key.len - (size_t)(end + 1 - key.ptr));
        r->owners[r->count++] = (owner){tenant, key};
    }
}

static void tell(ckit_error *err, const ckit_error *why) {
    if (err != NULL && why->status != CKIT_OK) {
        *err = *why;
    }
}

/* ---- values with a header ---------------------------------------------------------------------------------------- */

/* Whether the current key of the tenant has this name. */
static ckit_status is_current(const resealing *r, ckit_slice tenant, ckit_slice fingerprint, bool *current,
                              ckit_error *err) {
    char        name[CKIT_FINGERPRINT_DIGITS + 1];
    ckit_status st = ckit_keyring_fingerprint(r->ring, tenant, name, err);
    *current = st == CKIT_OK && ckit_slice_equal(fingerprint, ckit_slice_of(name, CKIT_FINGERPRINT_DIGITS));
    return st;
}

/* Opens it under each of its names; frame->payload becomes a slice of `plain`. */
static ckit_status open_framed(resealing *r, ckit_frame *frame, ckit_buf *scratch, ckit_slice *key,
                               ckiti_sealed_class *cls, ckit_error *err) {
    ckit_status st = CKIT_E_AUTH_TAG;
    for (unsigned i = 0; i < r->count && st == CKIT_E_AUTH_TAG; i++) {
        const ckiti_sealed_place place = {.ring = r->ring, .key = r->owners[i].key};
        *key = place.key;
        st = ckiti_sealed_read(&place, r->stored, CKIT_SEAL_MAX_BYTES, frame, &r->plain, scratch, cls, err);
    }
    return st;
}

static ckit_status reseal_framed(resealing *r, const ckit_frame *header, ckiti_reseal_found *found, ckit_error *err) {
    ckit_buf           scratch = {.alloc = r->out->alloc};
    ckit_frame         frame;
    ckit_slice         key;
    ckit_error         why = CKIT_ERROR_INIT;
    ckiti_sealed_class cls = CKITI_SEALED_LOCAL;
    bool               current;
    ckit_status        st = is_current(r, header->tenant_id, header->key_fingerprint, &current, &why);
    if (st == CKIT_E_CONFIGURATION) { /* no such tenant */
        *found = CKITI_RESEAL_DAMAGED;
        return CKIT_OK;
    }
    if (st != CKIT_OK || current) {
        *found = CKITI_RESEAL_CURRENT;
        tell(err, &why);
        return st;
    }
    st = open_framed(r, &frame, &scratch, &key, &cls, &why);
    if (st == CKIT_OK) {
        const ckiti_sealed_place place = {.ring = r->ring, .tenant = header->tenant_id, .key = key};
        frame.encrypted = frame.legacy = false;
        *found = CKITI_RESEAL_DONE;
        st = ckiti_sealed_write(&place, &frame, 0, r->out, err);
    } else if (cls == CKITI_SEALED_LOCAL) {
        tell(err, &why);
    } else {
        *found = st == CKIT_E_AUTH_TAG && !ckiti_keyring_has(r->ring, header->tenant_id, header->key_fingerprint)
                     ? CKITI_RESEAL_UNKNOWN
                     : CKITI_RESEAL_DAMAGED;
        st = CKIT_OK;
    }
    ckit_buf_fini(&scratch);
    return st;
}

/* ---- values without ---------------------------------------------------------------------------------------------- */

static int digit(uint8_t c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* The tenant that a key names, decoded. */
static ckit_status append_tenant(ckit_buf *out, ckit_slice encoded) {
    if (ckit_buf_reserve(out, encoded.len) != CKIT_OK) {
        return CKIT_E_NO_MEMORY;
    }
    for (size_t i = 0; i < encoded.len; i++) {
        bool escape = encoded.ptr[i] == '%' && i + 2 < encoded.len && digit(encoded.ptr[i + 1]) >= 0 &&
                      digit(encoded.ptr[i + 2]) >= 0;
        out->ptr[out->len++] =
            escape ? (uint8_t)(digit(encoded.ptr[i + 1]) << 4 | digit(encoded.ptr[i + 2])) : encoded.ptr[i];
        i += escape ? 2 : 0;
    }
    return CKIT_OK;
}

static ckit_status try_bare(resealing *r, const ckit_seal_subject *subject, ckiti_reseal_found *found,
                            ckit_error *err) {
    char        current[CKIT_FINGERPRINT_DIGITS + 1];
    ckit_status st = ckit_keyring_fingerprint(r->ring, subject->tenant, current, err);
    if (st != CKIT_OK) {
        return st == CKIT_E_CONFIGURATION ? CKIT_E_AUTH_TAG : st; /* no such tenant */
    }
    st = ckit_unseal(r->ring, subject, ckit_slice_of(current, CKIT_FINGERPRINT_DIGITS), r->stored, 0, &r->plain, err);
    *found = CKITI_RESEAL_CURRENT;
    if (st != CKIT_E_AUTH_TAG) {
        return st;
    }
    st = ckit_unseal(r->ring, subject, ckit_slice_of(NULL, 0), r->stored, 0, &r->plain, err);
    *found = CKITI_RESEAL_DONE;
    return st == CKIT_OK ? ckit_seal(r->ring, subject, ckit_buf_slice(&r->plain), r->out, err) : st;
}

/* As who stored it would have named it: the deployment's under the key in front of which a store may have put
 * something, or the tenant's that the key names. */
static ckit_status reseal_bare(resealing *r, ckiti_reseal_found *found, ckit_error *err) {
    ckit_seal_subject subject = {.format = ckit_slice_of("msgpack", 7)};
    ckit_error        why = CKIT_ERROR_INIT;
    ckit_status       st = CKIT_E_AUTH_TAG;
    for (unsigned i = 0; i < 2 * r->count && st == CKIT_E_AUTH_TAG && r->stored.len >= CKIT_SEAL_OVERHEAD; i++) {
        ckit_buf tenant = {.alloc = r->out->alloc};
        bool     theirs = i >= r->count;
        subject.key = r->owners[i % r->count].key;
        subject.tenant = r->deployment;
        if (theirs && append_tenant(&tenant, r->owners[i % r->count].tenant) != CKIT_OK) {
            return ckit_fail(err, CKIT_E_NO_MEMORY, "reseal", "no memory for a tenant's name");
        }
        subject.tenant = theirs ? ckit_buf_slice(&tenant) : r->deployment;
        st = subject.tenant.len > 0 ? try_bare(r, &subject, found, &why) : st;
        ckit_buf_fini(&tenant);
    }
    if (st == CKIT_E_AUTH_TAG) {
        *found = CKITI_RESEAL_CLEAR;
        return CKIT_OK;
    }
    tell(err, &why);
    return st;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

ckit_status ckiti_reseal(ckit_keyring *ring, ckit_slice deployment, ckit_slice stored_key, ckit_slice stored,
                         ckit_buf *out, ckiti_reseal_found *found, ckit_error *err) {
    resealing r = {
        .ring = ring, .deployment = deployment, .stored = stored, .out = out, .plain = {.alloc = out->alloc}};
    ckit_buf   scratch = {.alloc = out->alloc};
    ckit_frame header;
    find_owners(&r, stored_key);
    ckit_status st = ckit_frame_parse(stored, &header, &scratch, NULL);
    if (st == CKIT_OK && header.encrypted) {
        st = reseal_framed(&r, &header, found, err);
    } else if (st == CKIT_OK) {
        *found = CKITI_RESEAL_CLEAR;
    } else if (st == CKIT_E_NO_MEMORY) {
        (void)ckit_fail(err, st, "reseal", "no memory for a header");
    } else { /* a nonce of another SDK may begin like a frame */
        st = reseal_bare(&r, found, err);
        bool framed = stored.len >= 3 && memcmp(stored.ptr, "CK\x03", 3) == 0;
        *found = st == CKIT_OK && *found == CKITI_RESEAL_CLEAR && framed ? CKITI_RESEAL_DAMAGED : *found;
    }
    if (r.plain.ptr != NULL) {
        sodium_memzero(r.plain.ptr, r.plain.cap);
    }
    ckit_buf_fini(&r.plain);
    ckit_buf_fini(&scratch);
    return st;
}
