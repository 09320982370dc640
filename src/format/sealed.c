#include "format/sealed.h"

#include "format/envelope_block.h"
#include "format/frame_header.h"
#include "format/seal_ring.h"
#include "format/seal_wipe.h"
#include "format/sealed_head.h"
#include "format/stored.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <sodium.h>

#define WHERE "sealed value"
#define NONCE 12
#define TAG (CKIT_SEAL_OVERHEAD - NONCE)
#define BESIDES 64 /* what an envelope has besides its block, at most */

static const char algorithm[] = CKITI_SEALED_ALGORITHM;
static const char encoding[] = "utf-8";

static ckit_seal_subject subject_of(const ckit_frame *frame, ckit_slice tenant, ckit_slice key) {
    return (ckit_seal_subject){
        .tenant = tenant,
        .key = key,
        .format = frame->format,
        .original_type = frame->has_original_type ? frame->original_type : (ckit_slice){NULL, 0},
        .compressed = frame->compressed,
    };
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* A stored value under way: the frame's header, room for a nonce, and then what becomes the ciphertext. */
typedef struct writing {
    const ckiti_sealed_place *place;
    ckiti_tenant             *tenant; /* whose key is lent; NULL: not yet */
    ckit_buf                 *out;
    size_t                    start;
    size_t                    nonce; /* where it goes */
} writing;

static ckit_status no_memory(ckit_error *err, size_t len) {
    return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", len);
}

/* Reserves everything, so that what is still in the clear is never moved. `frame` NULL: the default one. */
static ckit_status begin(writing *w, ckit_frame *frame, size_t max_payload, ckit_error *err) {
    w->start = w->out->len;
    ckit_status st = ckiti_ring_borrow_current(w->place->ring, w->place->tenant, &w->tenant, err);
    if (st != CKIT_OK) {
        return st;
    }
    const ckit_slice head = frame == NULL ? w->tenant->head : ckit_slice_of(NULL, 0);
    if (frame != NULL) {
        frame->encrypted = true;
        frame->tenant_id = w->place->tenant;
        frame->encryption_algorithm = ckit_slice_of(algorithm, sizeof algorithm - 1);
        frame->key_fingerprint = ckit_slice_of(w->tenant->fingerprint, sizeof w->tenant->fingerprint);
        frame->payload = (ckit_slice){NULL, 0};
        st = ckit_frame_write(frame, w->out, err);
    }
    if (st == CKIT_OK && ckit_buf_reserve(w->out, head.len + CKIT_SEAL_OVERHEAD + max_payload) != CKIT_OK) {
        st = no_memory(err, head.len + CKIT_SEAL_OVERHEAD + max_payload);
    }
    if (st == CKIT_OK) {
        (void)ckit_buf_append(w->out, head);
        w->nonce = w->out->len;
        w->out->len += NONCE;
    }
    return st;
}

/* The payload stands behind the nonce's room, and is encrypted where it lies, or anywhere else. */
static ckit_status finish(writing *w, const ckit_seal_subject *subject, ckit_slice payload, uint64_t max_stored_bytes,
                          ckit_error *err) {
    const uint64_t limit = max_stored_bytes == 0 ? UINT64_MAX : max_stored_bytes;
    const size_t   end = w->nonce + NONCE + payload.len + TAG;
    if (end - w->start > limit) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%zu bytes to store, limit %llu", end - w->start,
                         (unsigned long long)limit);
    }
    ckit_status st = ckiti_seal_lent(w->place->ring, w->tenant, subject, payload, NULL, w->out->ptr + w->nonce, err);
    w->out->len = st == CKIT_OK ? end : w->out->len;
    return st;
}

static ckit_status leave(writing *w, ckit_status st) {
    if (w->tenant != NULL) {
        ckiti_ring_give_back(w->place->ring, w->tenant);
    }
    if (st != CKIT_OK) {
        if (w->out->cap > w->start) {
            sodium_memzero(w->out->ptr + w->start, w->out->cap - w->start);
        }
        w->out->len = w->start;
    }
    ckiti_wipe_registers();
    return st;
}

static bool is_usual_encoding(ckit_slice name) { return ckit_slice_equal(name, ckit_slice_str(encoding)); }

bool ckiti_sealed_can_write(const ckit_frame *frame) {
    return !frame->encrypted && frame->serializer.len > 0 &&
           (frame->encoding.len == 0 || is_usual_encoding(frame->encoding));
}

ckit_status ckiti_sealed_write(const ckiti_sealed_place *place, const ckit_frame *frame, uint64_t max_stored_bytes,
                               ckit_buf *out, ckit_error *err) {
    writing    w = {.place = place, .out = out};
    ckit_frame head = *frame;
    if (frame->payload.len > CKIT_SEAL_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%zu bytes to seal, limit %llu", frame->payload.len,
                         (unsigned long long)CKIT_SEAL_MAX_BYTES);
    }
    ckit_status st = begin(&w, &head, frame->payload.len, err);
    if (st == CKIT_OK) {
        const ckit_seal_subject subject = subject_of(&head, place->tenant, place->key);
        st = finish(&w, &subject, frame->payload, max_stored_bytes, err);
    }
    return leave(&w, st);
}

ckit_status ckiti_sealed_seal(const ckiti_sealed_place *place, ckit_slice document, bool integrity,
                              int compression_level, uint64_t max_stored_bytes, ckit_buf *out, ckit_error *err) {
    writing           w = {.place = place, .out = out};
    ckit_frame        bare = ckiti_sealed_default_frame(place->tenant, ckit_slice_of(NULL, 0));
    ckit_seal_subject subject = ckiti_sealed_default_subject(place->tenant, place->key);
    bare.compressed = false;
    subject.compressed = integrity;
    if (document.len > CKIT_ENVELOPE_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%zu bytes to store, limit %llu", document.len,
                         (unsigned long long)CKIT_ENVELOPE_MAX_BYTES);
    }
    ckit_status st = integrity ? begin(&w, NULL, ckiti_block_bound(document.len) + BESIDES, err)
                               : begin(&w, &bare, document.len, err);
    if (st == CKIT_OK && integrity) {
        ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
        options.compression_level = compression_level;
        st = ckit_envelope_store(document, subject.format, &options, out, err);
        document = ckit_slice_of(out->ptr + w.nonce + NONCE, out->len - w.nonce - NONCE);
    }
    if (st == CKIT_OK) {
        st = finish(&w, &subject, document, max_stored_bytes, err);
    }
    return leave(&w, st);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static ckiti_sealed_class class_of_verdict(ckit_frame_verdict verdict) {
    switch (verdict) {
    case CKIT_FRAME_MALFORMED: return CKITI_SEALED_MALFORMED;
    case CKIT_FRAME_CORRUPT: return CKITI_SEALED_CORRUPT;
    case CKIT_FRAME_SUSPICIOUS: return CKITI_SEALED_SUSPICIOUS;
    default: return CKITI_SEALED_LOCAL;
    }
}

/* Whether the header is the text that our own writer makes of its fields. */
static ckit_status check_spelling(const ckit_frame *frame, ckit_slice stored, bool *same, const ckit_alloc *alloc,
                                  ckit_error *err) {
    ckit_buf   written = {.alloc = alloc};
    ckit_frame header = *frame;
    header.payload = (ckit_slice){NULL, 0};
    ckit_status st = ckit_frame_write(&header, &written, err);
    *same = st == CKIT_OK && written.len == stored.len - frame->payload.len &&
            memcmp(written.ptr, stored.ptr, written.len) == 0;
    ckit_buf_fini(&written);
    return st;
}

/* What can be said before anything is decrypted. */
static ckit_status check_claims(const ckiti_sealed_place *place, const ckit_frame *frame, bool usual, ckit_slice stored,
                                const ckit_alloc *alloc, ckiti_sealed_class *cls, ckit_error *err) {
    bool same = true;
    *cls = CKITI_SEALED_SUSPICIOUS;
    if (!frame->encrypted) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE, "not encrypted, and encryption is on");
    }
    if (!ckit_slice_equal(frame->encryption_algorithm, ckit_slice_str(algorithm))) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE, "the algorithm is not %s", algorithm);
    }
    if (frame->tenant_id.len > CKIT_TENANT_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE, "a tenant of %zu bytes, limit %u", frame->tenant_id.len,
                         CKIT_TENANT_MAX_BYTES);
    }
    if (!frame->legacy) {
        ckit_status st = usual ? CKIT_OK : check_spelling(frame, stored, &same, alloc, err);
        if (st == CKIT_E_NO_MEMORY) {
            *cls = CKITI_SEALED_LOCAL;
            return st;
        }
        same = same && frame->serializer.len > 0 && frame->key_fingerprint.len == CKIT_FINGERPRINT_DIGITS &&
               is_usual_encoding(frame->encoding);
    }
    if (!same) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE, "the header is not what any writer makes");
    }
    if (place->tenant.len > 0 && !ckit_slice_equal(place->tenant, frame->tenant_id)) {
        *cls = CKITI_SEALED_AUTHENTICATION;
        return ckit_fail(err, CKIT_E_AUTH_TAG, WHERE, "the entry belongs to another tenant");
    }
    return CKIT_OK;
}

/* frame->payload becomes what was sealed, as a slice of `payload`. */
static ckit_status decrypt(const ckiti_sealed_place *place, ckit_frame *frame, uint64_t max_bytes, ckit_buf *payload,
                           ckiti_sealed_class *cls, ckit_error *err) {
    const ckit_seal_subject subject = subject_of(frame, frame->tenant_id, place->key);
    const size_t            before = payload->len;
    ckit_status             st =
        ckit_unseal(place->ring, &subject, frame->key_fingerprint, frame->payload, max_bytes, payload, err);
    *cls = st == CKIT_OK           ? CKITI_SEALED_READABLE
           : st == CKIT_E_AUTH_TAG ? CKITI_SEALED_AUTHENTICATION
                                   : CKITI_SEALED_LOCAL;
    if (st == CKIT_OK) {
        frame->payload =
            payload->ptr == NULL ? (ckit_slice){NULL, 0} : ckit_slice_of(payload->ptr + before, payload->len - before);
    }
    return st;
}

static ckit_status parse(const ckiti_sealed_place *place, ckit_slice stored, ckit_frame *frame, ckit_buf *scratch,
                         ckiti_sealed_class *cls, ckit_error *err) {
    bool        usual;
    ckit_status st = ckiti_frame_parse(stored, frame, &usual, scratch, err);
    if (st != CKIT_OK) {
        *cls = class_of_verdict(frame->verdict);
        return st;
    }
    return check_claims(place, frame, usual, stored, scratch->alloc, cls, err);
}

ckit_status ckiti_sealed_read(const ckiti_sealed_place *place, ckit_slice stored, uint64_t max_bytes, ckit_frame *frame,
                              ckit_buf *payload, ckit_buf *scratch, ckiti_sealed_class *cls, ckit_error *err) {
    ckit_status st = parse(place, stored, frame, scratch, cls, err);
    if (st == CKIT_OK) {
        st = decrypt(place, frame, max_bytes, payload, cls, err);
        ckiti_wipe_registers();
    }
    return st;
}

ckit_status ckiti_sealed_read_frame(const ckiti_sealed_place *place, ckit_slice stored, uint64_t max_bytes,
                                    ckit_buf *plain, ckiti_sealed_class *cls, ckit_error *err) {
    ckit_buf     scratch = {.alloc = plain->alloc};
    const size_t before = plain->len;
    ckit_frame   frame;
    ckit_status  st = parse(place, stored, &frame, &scratch, cls, err);
    if (st == CKIT_OK) {
        ckit_frame clear = frame;
        clear.encrypted = false;
        clear.tenant_id = clear.encryption_algorithm = clear.key_fingerprint = clear.payload = ckit_slice_of(NULL, 0);
        *cls = CKITI_SEALED_LOCAL;
        st = ckit_frame_write(&clear, plain, err);
    }
    if (st == CKIT_OK) {
        st = decrypt(place, &frame, max_bytes, plain, cls, err);
        ckiti_wipe_registers();
    }
    plain->len = st == CKIT_OK ? plain->len : before;
    ckit_buf_fini(&scratch);
    return st;
}

/* Another serializer's entry is told from its header, without decrypting it. */
static ckit_status check_serializer(const ckit_frame *frame, ckiti_sealed_class *cls, ckit_error *err) {
    ckit_frame clear = *frame;
    clear.encrypted = false;
    ckit_status st = ckiti_stored_check(&clear, err);
    *cls = st == CKIT_OK ? CKITI_SEALED_READABLE : CKITI_SEALED_CORRUPT;
    return st;
}

static ckit_status open_any(const ckiti_sealed_place *place, ckit_slice stored, bool integrity_expected,
                            uint64_t max_bytes, ckit_buf *document, ckiti_sealed_class *cls, ckit_error *err) {
    ckit_buf    scratch = {.alloc = document->alloc}, payload = {.alloc = document->alloc};
    ckit_frame  frame;
    ckit_status st = parse(place, stored, &frame, &scratch, cls, err);
    if (st == CKIT_OK) {
        st = check_serializer(&frame, cls, err);
    }
    if (st == CKIT_OK) {
        st = decrypt(place, &frame, 0, &payload, cls, err);
    }
    if (st == CKIT_OK) {
        frame.encrypted = false;
        st = ckiti_stored_open_payload(&frame, integrity_expected, max_bytes, document, err);
        *cls = st == CKIT_OK                               ? CKITI_SEALED_READABLE
               : ckit_status_kind(st) == CKIT_KIND_CORRUPT ? CKITI_SEALED_CORRUPT
                                                           : CKITI_SEALED_LOCAL;
        if (payload.ptr != NULL) {
            sodium_memzero(payload.ptr, payload.cap);
        }
    }
    ckit_buf_fini(&payload);
    ckit_buf_fini(&scratch);
    return st;
}

/* ---- reading what this library writes most ------------------------------------------------------------------ */

#define SHORT 4096 /* payloads up to here are decrypted into the stack */

static ckit_status open_payload(ckiti_tenant *tenant, const ckiti_sealed_place *place, ckit_slice name,
                                ckit_slice sealed, uint64_t max_bytes, ckit_buf *document) {
    const ckit_seal_subject subject = ckiti_sealed_default_subject(name, place->key);
    const size_t            len = sealed.len - CKIT_SEAL_OVERHEAD;
    uint8_t                 payload[SHORT];
    ckit_status             st = ckiti_unseal_lent(place->ring, tenant, &subject, sealed, payload);
    if (st == CKIT_OK) {
        ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
        const bool            limited = max_bytes > 0 && max_bytes < CKIT_ENVELOPE_MAX_BYTES;
        options.max_content_bytes = limited ? max_bytes : 0;
        st = ckit_envelope_open(ckit_slice_of(payload, len), limited ? &options : NULL, document, NULL, NULL);
        explicit_bzero(payload, len);
    }
    return st;
}

/* Short documents that the tenant's current key has sealed begin as that key's values do. CKIT_OK; CKIT_E_NO_MEMORY;
 * CKIT_MISS: open_any finds out what it is, and what is to be said about it. */
static ckit_status open_usual(const ckiti_sealed_place *place, ckit_slice stored, uint64_t max_bytes,
                              ckit_buf *document) {
    const ckit_slice name = place->tenant.len > 0 ? place->tenant : place->likely;
    ckiti_tenant    *tenant;
    ckit_status      st = CKIT_MISS;
    if (name.len == 0 || ckiti_ring_borrow_current(place->ring, name, &tenant, NULL) != CKIT_OK) {
        return CKIT_MISS;
    }
    const size_t head = tenant->head.len;
    if (stored.len >= head + CKIT_SEAL_OVERHEAD && stored.len - head <= SHORT + CKIT_SEAL_OVERHEAD &&
        memcmp(stored.ptr, tenant->head.ptr, head) == 0) {
        st =
            open_payload(tenant, place, name, ckit_slice_of(stored.ptr + head, stored.len - head), max_bytes, document);
    }
    ckiti_ring_give_back(place->ring, tenant);
    return st == CKIT_OK || st == CKIT_E_NO_MEMORY ? st : CKIT_MISS;
}

ckit_status ckiti_sealed_open(const ckiti_sealed_place *place, ckit_slice stored, bool integrity_expected,
                              uint64_t max_bytes, ckit_buf *document, ckiti_sealed_class *cls, ckit_error *err) {
    ckit_status st = open_usual(place, stored, max_bytes, document);
    *cls = st == CKIT_OK ? CKITI_SEALED_READABLE : CKITI_SEALED_LOCAL;
    if (st == CKIT_E_NO_MEMORY) {
        (void)no_memory(err, stored.len);
    } else if (st != CKIT_OK) {
        st = open_any(place, stored, integrity_expected, max_bytes, document, cls, err);
    }
    ckiti_wipe_registers();
    return st;
}
