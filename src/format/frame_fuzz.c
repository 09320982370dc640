/* Stored values from outside: what is accepted must survive being written again, as the same bytes where that is said,
 * and whoever expects a checksum must get the same answer from the frame as from its payload alone. */
#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <cachekit/frame.h>

#include "format/frame_header.h"
#include "format/stored.h"
#include "support/fuzz_input.h"

#define MAX_DOCUMENT (1 << 20)

static void check_same(const ckit_frame *a, const ckit_frame *b) {
    check(ckit_slice_equal(a->serializer, b->serializer));
    check(ckit_slice_equal(a->format, b->format));
    check(a->has_original_type == b->has_original_type && ckit_slice_equal(a->original_type, b->original_type));
    check(a->compressed == b->compressed && a->encrypted == b->encrypted);
    check(!a->encrypted || ckit_slice_equal(a->tenant_id, b->tenant_id));
    check(!a->encrypted || ckit_slice_equal(a->encryption_algorithm, b->encryption_algorithm));
    check(!a->encrypted || ckit_slice_equal(a->key_fingerprint, b->key_fingerprint));
    check(ckit_slice_equal(a->payload, b->payload));
}

static void write_and_parse(const ckit_frame *frame, bool usual, ckit_slice stored) {
    ckit_buf   written = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
    ckit_frame back;
    if (ckit_frame_write(frame, &written, NULL) == CKIT_OK) { /* escapes may make it too long */
        check(ckit_frame_parse(ckit_buf_slice(&written), &back, &scratch, NULL) == CKIT_OK);
        check_same(frame, &back);
        check(!usual || frame->encoding.len == 0 || ckit_slice_equal(ckit_buf_slice(&written), stored));
    }
    ckit_buf_fini(&written);
    ckit_buf_fini(&scratch);
}

static void open_document(ckit_slice stored, const ckit_frame *frame) {
    ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
    ckit_buf              document = CKIT_BUF_INIT, content = CKIT_BUF_INIT;
    ckit_error            err = CKIT_ERROR_INIT;
    ckiti_stored_verdict  verdict;
    options.max_content_bytes = MAX_DOCUMENT;
    ckit_status st = ckiti_stored_open(stored, true, MAX_DOCUMENT, &document, &verdict, &err);
    if (st == CKIT_OK) {
        check(verdict == CKITI_STORED_KEEP);
        check(ckit_envelope_open(frame->payload, &options, &content, NULL, NULL) == CKIT_OK);
        check(ckit_slice_equal(ckit_buf_slice(&content), ckit_buf_slice(&document)));
    } else {
        check(err.status == st && document.len == 0);
    }
    ckit_buf_fini(&document);
    ckit_buf_fini(&content);
    (void)ckiti_stored_open(stored, false, MAX_DOCUMENT, &document, &verdict, NULL);
    ckit_buf_fini(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ckit_slice  stored = ckit_slice_of(data, size);
    ckit_buf    scratch = CKIT_BUF_INIT;
    ckit_frame  frame;
    bool        usual;
    ckit_status st = ckiti_frame_parse(stored, &frame, &usual, &scratch, NULL);
    check((st == CKIT_OK) == (frame.verdict == CKIT_FRAME_READABLE));
    if (st == CKIT_OK && frame.serializer.len > 0) {
        write_and_parse(&frame, usual, stored);
    }
    open_document(stored, &frame);
    ckit_buf_fini(&scratch);
    return 0;
}
