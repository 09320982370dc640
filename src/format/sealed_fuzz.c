/* Encrypted entries from outside: nothing opens that we did not seal, and what we sealed opens to what it was. */
#include <cachekit/buf.h>

#include "format/sealed.h"
#include "support/fuzz_input.h"

#define MAX_DOCUMENT (1 << 20)

static void ignore_line(void *self, ckit_log_level level, const char *component, const char *line) {
    (void)self, (void)level, (void)component, (void)line;
}

/* The key of nobody's entries. The corpus was sealed with another. */
static ckit_keyring *ring_once(void) {
    static ckit_keyring  *ring;
    static const ckit_log quiet = {.write = ignore_line};
    if (ring == NULL) {
        ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
        options.master_key_hex = "7c1d9b0e5f2a48c6b3d7e9f1a2c4b6d8e0f1a3b5c7d9ebfd0f1e2d3c4b5a6978";
        options.max_tenants = 16;
        options.log = &quiet;
        check(ckit_keyring_open(&options, &ring, NULL) == CKIT_OK);
    }
    return ring;
}

static void open_foreign(const ckiti_sealed_place *place, ckit_slice stored) {
    ckit_buf           document = CKIT_BUF_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    ckiti_sealed_class cls;
    ckit_status        st = ckiti_sealed_open(place, stored, true, MAX_DOCUMENT, &document, &cls, &err);
    check(st != CKIT_OK && st == err.status && cls != CKITI_SEALED_READABLE && document.len == 0);
    st = ckiti_sealed_read_frame(place, stored, MAX_DOCUMENT, &document, &cls, &err);
    check(st != CKIT_OK && cls != CKITI_SEALED_READABLE && document.len == 0);
    ckit_seal_subject subject = {.tenant = ckit_slice_str("t"), .key = place->key, .format = ckit_slice_str("msgpack")};
    st = ckit_unseal(place->ring, &subject, (ckit_slice){NULL, 0}, stored, MAX_DOCUMENT, &document, &err);
    check(st == CKIT_E_AUTH_TAG || (st == CKIT_E_TOO_LARGE && stored.len > MAX_DOCUMENT));
    ckit_buf_fini(&document);
}

static void seal_and_open(const ckiti_sealed_place *place, ckit_slice bytes, bool integrity) {
    ckit_buf           stored = CKIT_BUF_INIT, document = CKIT_BUF_INIT;
    ckiti_sealed_class cls;
    check(ckiti_sealed_seal(place, bytes, integrity, 0, 0, &stored, NULL) == CKIT_OK);
    check(ckiti_sealed_open(place, ckit_buf_slice(&stored), integrity, 0, &document, &cls, NULL) == CKIT_OK);
    check(ckit_slice_equal(bytes, ckit_buf_slice(&document)));
    ckit_buf_fini(&stored);
    ckit_buf_fini(&document);
}

/* As a payload, and where it is a frame by itself. */
static void seal_and_read_frame(const ckiti_sealed_place *place, const ckit_frame *frame) {
    ckit_buf           stored = CKIT_BUF_INIT, back = CKIT_BUF_INIT, clear = CKIT_BUF_INIT;
    ckiti_sealed_class cls;
    if (ckit_frame_write(frame, &clear, NULL) == CKIT_OK &&
        ckiti_sealed_write(place, frame, 0, &stored, NULL) == CKIT_OK) {
        check(ckiti_sealed_read_frame(place, ckit_buf_slice(&stored), 0, &back, &cls, NULL) == CKIT_OK);
        check(ckit_slice_equal(ckit_buf_slice(&clear), ckit_buf_slice(&back)));
    }
    ckit_buf_fini(&stored);
    ckit_buf_fini(&back);
    ckit_buf_fini(&clear);
}

static void seal_frames(const ckiti_sealed_place *place, ckit_slice bytes) {
    ckit_buf   scratch = CKIT_BUF_INIT;
    ckit_frame frame = {.serializer = ckit_slice_str("arrow"), .format = ckit_slice_str("arrow"), .payload = bytes};
    seal_and_read_frame(place, &frame);
    if (ckit_frame_parse(bytes, &frame, &scratch, NULL) == CKIT_OK && ckiti_sealed_can_write(&frame)) {
        seal_and_read_frame(place, &frame);
    }
    ckit_buf_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ckiti_sealed_place place = {
        .ring = ring_once(), .tenant = ckit_slice_str("tenant"), .key = ckit_slice_str("ns:key")};
    const ckit_slice bytes = ckit_slice_of(data, size);
    seal_and_open(&place, bytes, true);
    if (size > 0) {
        seal_and_open(&place, bytes, false);
    }
    seal_frames(&place, bytes);
    open_foreign(&place, bytes);
    place.tenant = (ckit_slice){NULL, 0}; /* whichever the header names */
    open_foreign(&place, bytes);
    return 0;
}
