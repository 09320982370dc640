/* MessagePack and documents from outside: skipping and reading token by token agree, and what is accepted is written
 * again in a shortest form that no longer changes. */
#include <cachekit/buf.h>
#include <cachekit/document.h>

#include "format/msgpack_tokens.h"
#include "support/fuzz_input.h"

static ckit_status encode_again(ckit_slice input, ckit_buf *out) {
    ckit_reader r;
    ckit_writer w;
    ckit_reader_init(&r, input);
    ckit_writer_init(&w, out);
    msgpack_copy_value(&r, &w);
    const ckit_status st = ckit_reader_finish(&r, NULL);
    if (st == CKIT_OK) {
        check(ckit_writer_finish(&w, NULL) == CKIT_OK);
    } else {
        (void)ckit_writer_finish(&w, NULL);
        out->len = 0;
    }
    return st;
}

/* A temporal value that is read is written, and read again as the same. */
static void check_datetime(ckit_slice input) {
    ckit_reader   r;
    ckit_datetime value, again;
    char          text[CKIT_TEMPORAL_TEXT];
    ckit_reader_init(&r, input);
    const ckit_type type = ckit_document_peek(&r);
    check(r.pos == r.begin && r.status == CKIT_OK);
    ckit_read_datetime(&r, &value);
    if (r.status == CKIT_OK) {
        check(type == CKIT_TYPE_DATETIME);
        check(ckit_datetime_text(&value, text) > 0);
        check(ckit_datetime_parse(ckit_slice_str(text), &again, NULL) == CKIT_OK);
        check(again.offset_seconds == value.offset_seconds && again.microsecond == value.microsecond);
    } else {
        check(value.year == 0);
    }
}

/* Every map on the way is asked what it is. */
static void peek_everywhere(ckit_slice input) {
    ckit_reader r;
    ckit_reader_init(&r, input);
    for (int tokens = 0; tokens < 64 && r.status == CKIT_OK && r.pos < r.end; tokens++) {
        (void)ckit_document_peek(&r);
        check(r.status == CKIT_OK);
        msgpack_copy_token(&r, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const ckit_slice input = ckit_slice_of(data, size);
    ckit_buf         once = CKIT_BUF_INIT, twice = CKIT_BUF_INIT;
    ckit_reader      r;
    ckit_error       err = CKIT_ERROR_INIT;
    ckit_reader_init(&r, input);
    const ckit_slice  raw = ckit_read_raw(&r);
    const ckit_status st = ckit_reader_finish(&r, &err);
    check(err.status == st);
    check(encode_again(input, &once) == st);
    if (st == CKIT_OK) {
        check(ckit_slice_equal(raw, input));
        check(encode_again(ckit_buf_slice(&once), &twice) == CKIT_OK);
        check(ckit_slice_equal(ckit_buf_slice(&once), ckit_buf_slice(&twice)));
        check(ckit_document_check(input, NULL) == CKIT_OK);
        check(ckit_document_check(ckit_buf_slice(&once), NULL) == CKIT_OK);
    } else {
        check(ckit_document_check(input, NULL) != CKIT_OK);
    }
    check_datetime(input);
    peek_everywhere(input);
    ckit_buf_fini(&once);
    ckit_buf_fini(&twice);
    return 0;
}
