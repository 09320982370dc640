#include "format/stored.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <cachekit/frame.h>

#include "format/frame_header.h"

#define WHERE "stored value"

/* A whole frame head in one piece: the length stands before the text. */
#define HEAD(length, compressed) "CK\x03\0\0\0" length CKITI_FRAME_DEFAULT_HEADER(compressed)
static const char compressed_head[] = HEAD("\x7d", "true");
static const char bare_head[] = HEAD("\x7e", "false");
_Static_assert(sizeof compressed_head - 1 == CKITI_FRAME_PREFIX_LEN + 0x7d, "the length is the header's");
_Static_assert(sizeof bare_head - 1 == CKITI_FRAME_PREFIX_LEN + 0x7e, "the length is the header's");

static const ckit_slice msgpack = {(const uint8_t *)"msgpack", 7};

/* ---- sealing --------------------------------------------------------------------------------------------- */

static ckit_status too_large(ckit_error *err, size_t len, uint64_t limit) {
    return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "%zu bytes to store, limit %llu", len, (unsigned long long)limit);
}

static ckit_status seal_bare(ckit_slice document, uint64_t limit, ckit_buf *out, ckit_error *err) {
    size_t len = sizeof bare_head - 1 + document.len;
    if (len > limit) {
        return too_large(err, len, limit);
    }
    if (ckit_buf_reserve(out, len) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", len);
    }
    (void)ckit_buf_append(out, ckit_slice_of(bare_head, sizeof bare_head - 1));
    (void)ckit_buf_append(out, document);
    return CKIT_OK;
}

static ckit_status seal_enveloped(ckit_slice document, int level, uint64_t limit, ckit_buf *out, ckit_error *err) {
    size_t                start = out->len;
    ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
    options.compression_level = level;
    if (ckit_buf_append(out, ckit_slice_of(compressed_head, sizeof compressed_head - 1)) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", sizeof compressed_head);
    }
    ckit_status st = ckit_envelope_store(document, msgpack, &options, out, err);
    if (st == CKIT_OK && out->len - start > limit) {
        st = too_large(err, out->len - start, limit);
    }
    if (st != CKIT_OK) {
        out->len = start;
    }
    return st;
}

ckit_status ckiti_stored_seal(ckit_slice document, bool integrity, int compression_level, uint64_t max_stored_bytes,
                              ckit_buf *out, ckit_error *err) {
    uint64_t limit = max_stored_bytes == 0 ? UINT64_MAX : max_stored_bytes;
    if (document.len > CKIT_ENVELOPE_MAX_BYTES) { /* no reader would open it, with or without an envelope */
        return too_large(err, document.len, CKIT_ENVELOPE_MAX_BYTES);
    }
    return integrity ? seal_enveloped(document, compression_level, limit, out, err)
                     : seal_bare(document, limit, out, err);
}

/* ---- opening --------------------------------------------------------------------------------------------- */

/* Names for people; what another program wrote into a header is not repeated. */
static const char *serializer_name(ckit_slice name) {
    static const char *const known[] = {"default", "auto", "orjson", "arrow"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (ckit_slice_equal(name, ckit_slice_str(known[i]))) {
            return known[i];
        }
    }
    return "another";
}

static bool is_ours(ckit_slice serializer) {
    return serializer.len == 0 || ckit_slice_equal(serializer, ckit_slice_of("default", 7)) ||
           ckit_slice_equal(serializer, ckit_slice_of("unknown", 7));
}

ckit_status ckiti_stored_check(const ckit_frame *frame, ckit_error *err) {
    if (frame->encrypted) {
        return ckit_fail(err, CKIT_E_UNSUPPORTED, WHERE, "the entry is encrypted");
    }
    if (!is_ours(frame->serializer)) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE, "written by serializer %s, read by default",
                         serializer_name(frame->serializer));
    }
    bool documents = !frame->has_original_type || ckit_slice_equal(frame->original_type, msgpack);
    if (!documents || !ckit_slice_equal(frame->format, msgpack)) {
        return ckit_fail(err, CKIT_E_DECODE, WHERE, "not a MessagePack document");
    }
    return CKIT_OK;
}

static ckit_status open_bare(ckit_slice payload, uint64_t limit, ckit_buf *document, ckit_error *err) {
    if (payload.len > limit) {
        return ckit_fail(err, CKIT_E_TOO_LARGE, WHERE, "document of %zu bytes, limit %llu", payload.len,
                         (unsigned long long)limit);
    }
    if (payload.len == 0) {
        return ckit_fail(err, CKIT_E_TRUNCATED, WHERE, "no document behind the frame's header");
    }
    if (ckit_buf_reserve_exact(document, payload.len) != CKIT_OK) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", payload.len);
    }
    return ckit_buf_append(document, payload);
}

ckit_status ckiti_stored_open_payload(const ckit_frame *frame, bool integrity_expected, uint64_t max_bytes,
                                      ckit_buf *document, ckit_error *err) {
    uint64_t    limit = max_bytes == 0 || max_bytes > CKIT_ENVELOPE_MAX_BYTES ? CKIT_ENVELOPE_MAX_BYTES : max_bytes;
    ckit_status st = ckiti_stored_check(frame, err);
    if (st != CKIT_OK) {
        return st;
    }
    if (!integrity_expected && !frame->compressed) {
        return open_bare(frame->payload, limit, document, err);
    }
    ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
    options.max_content_bytes = limit;
    return ckit_envelope_open(frame->payload, limit == CKIT_ENVELOPE_MAX_BYTES ? NULL : &options, document, NULL, err);
}

ckit_status ckiti_stored_open(ckit_slice stored, bool integrity_expected, uint64_t max_bytes, ckit_buf *document,
                              ckiti_stored_verdict *verdict, ckit_error *err) {
    ckit_buf    scratch = {.alloc = document->alloc};
    ckit_frame  frame;
    ckit_status st = ckit_frame_parse(stored, &frame, &scratch, err);
    if (st == CKIT_OK) {
        st = ckiti_stored_open_payload(&frame, integrity_expected, max_bytes, document, err);
        *verdict = ckit_status_kind(st) == CKIT_KIND_CORRUPT ? CKITI_STORED_DELETE : CKITI_STORED_KEEP;
    } else {
        bool damaged = frame.verdict == CKIT_FRAME_CORRUPT || frame.verdict == CKIT_FRAME_SUSPICIOUS;
        *verdict = damaged ? CKITI_STORED_DELETE : CKITI_STORED_KEEP;
    }
    ckit_buf_fini(&scratch);
    return st;
}
