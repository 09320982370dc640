/* Envelopes from outside: an accepted one must hold what its checksum says, and its content must come back from an
 * envelope of our own. The first byte chooses the level. */
#include <cachekit/buf.h>
#include <cachekit/envelope.h>

#include "support/fuzz_input.h"

static void store_and_open(ckit_slice content, ckit_slice format, int level) {
    ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
    ckit_buf              envelope = CKIT_BUF_INIT, back = CKIT_BUF_INIT;
    ckit_slice            read;
    options.compression_level = level;
    check(ckit_envelope_store(content, format, &options, &envelope, NULL) == CKIT_OK);
    check(ckit_envelope_open(ckit_buf_slice(&envelope), NULL, &back, &read, NULL) == CKIT_OK);
    check(ckit_slice_equal(content, ckit_buf_slice(&back)));
    check(ckit_slice_equal(format, read));
    ckit_buf_fini(&envelope);
    ckit_buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    int                   level = data[0] % 11 - 1;
    ckit_slice            input = ckit_slice_of(data + 1, size - 1);
    ckit_envelope_options options = CKIT_ENVELOPE_OPTIONS_INIT;
    ckit_buf              content = CKIT_BUF_INIT;
    ckit_slice            format = {NULL, 0};
    ckit_error            err = CKIT_ERROR_INIT;
    options.max_content_bytes = 1 << 20;
    ckit_status st = ckit_envelope_open(input, &options, &content, &format, &err);
    if (st == CKIT_OK) {
        store_and_open(ckit_buf_slice(&content), format, level);
    } else {
        check(st == err.status && content.len == 0);
    }
    ckit_buf_fini(&content);
    store_and_open(input, ckit_slice_str("msgpack"), level);
    return 0;
}
