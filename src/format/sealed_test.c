/* Encrypted entries as they lie in a store: the SDKs' bytes, every changed bit, classes, tenants, memory. */
#include <cachekit/buf.h>

#include "format/seal.h"
#include "format/sealed.h"
#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define TENANT "00000000-0000-0000-0000-000000000001"
#define NONE ((ckit_slice){NULL, 0})

/* Entries of the released Python SDK under the master key KEY_A for TENANT. */
static const struct {
    const char *serializer, *format;
    bool        compressed;
    const char *key, *plain, *stored;
} released[] = {
    {"default", "msgpack", true,
     "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s",
     "94c417f00682a7757365725f69647ba46e616d65a5416c696365982d51ccda48cc812c1dccd415a76d73677061636b",
     "434b03000001237b2273223a202264656661756c74222c20226d223a207b22666f726d6174223a20226d73677061636b222c2022656e636f6"
     "4696e67223a20227574662d38222c2022636f6d70726573736564223a20747275652c20226f726967696e616c5f74797065223a20226d7367"
     "7061636b222c2022656e63727970746564223a20747275652c202274656e616e745f6964223a202230303030303030302d303030302d30303"
     "0302d303030302d303030303030303030303031222c2022656e6372797074696f6e5f616c676f726974686d223a20224145532d3235362d47"
     "434d222c20226b65795f66696e6765727072696e74223a2022333361666232356134356164313736326463346466333263666661336464653"
     "5227d2c202276223a2022322e30227d0102030405060708000000007baad1bc9b2274a0cf1be3134fd14a20fe18c3af141b8732065b231284"
     "d71e1b02d64a54343164700c30b95e7e660a67c9c3330275d5e58196f8ee262d47d1"},
    {"default", "msgpack", false,
     "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:0s",
     "82a7757365725f69647ba46e616d65a5416c696365",
     "434b03000001247b2273223a202264656661756c74222c20226d223a207b22666f726d6174223a20226d73677061636b222c2022656e636f6"
     "4696e67223a20227574662d38222c2022636f6d70726573736564223a2066616c73652c20226f726967696e616c5f74797065223a20226d73"
     "677061636b222c2022656e63727970746564223a20747275652c202274656e616e745f6964223a202230303030303030302d303030302d303"
     "030302d303030302d303030303030303030303031222c2022656e6372797074696f6e5f616c676f726974686d223a20224145532d3235362d"
     "47434d222c20226b65795f66696e6765727072696e74223a20223333616662323561343561643137363264633464663332636666613364646"
     "535227d2c202276223a2022322e30227d0102030405060708000000006dc9b33ff8d28cbcd805352247d85421d115c7a9d49f7b1c306f079b"
     "79d9ef447cf66ba92f"},
    {"orjson", "orjson", false,
     "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b81095153:1s",
     "351633935cf22cd57b2261223a312c2262223a5b747275652c6e756c6c5d7d",
     "434b03000001217b2273223a20226f726a736f6e222c20226d223a207b22666f726d6174223a20226f726a736f6e222c2022656e636f64696"
     "e67223a20227574662d38222c2022636f6d70726573736564223a2066616c73652c20226f726967696e616c5f74797065223a20226f726a73"
     "6f6e222c2022656e63727970746564223a20747275652c202274656e616e745f6964223a202230303030303030302d303030302d303030302"
     "d303030302d303030303030303030303031222c2022656e6372797074696f6e5f616c676f726974686d223a20224145532d3235362d47434d"
     "222c20226b65795f66696e6765727072696e74223a20223333616662323561343561643137363264633464663332636666613364646535227"
     "d2c202276223a2022322e30227d010203040506070800000000da78f5dfc152ff00c75cf06e1c841da6f25b9491c5289e3e4950ce53b946b9"
     "e97c67bfc6b73aee43ec5429f2b05f9d"},
};

#define DOCUMENT "82a7757365725f69647ba46e616d65a5416c696365"

static void ignore_line(void *self, ckit_log_level level, const char *component, const char *line) {
    (void)self, (void)level, (void)component, (void)line;
}
static const ckit_log quiet = {.write = ignore_line};

static ckit_keyring *ring_of(const char *current, const char *previous, const ckit_alloc *alloc, ckit_status *st) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    const ckit_slice     old = ckit_slice_str(previous);
    ckit_keyring        *ring = NULL;
    options.master_key = ckit_slice_str(current);
    options.previous_keys = &old;
    options.previous_count = previous != NULL;
    options.alloc = alloc;
    options.log = &quiet;
    *st = ckit_keyring_open(&options, &ring, NULL);
    return ring;
}

static ckiti_sealed_place place_of(const char *current, const char *previous, const char *key) {
    ckit_status              st;
    const ckiti_sealed_place place = {
        .ring = ring_of(current, previous, NULL, &st), .tenant = S(TENANT), .key = S(key)};
    CHECK_OK(st);
    return place;
}

/* ---- the SDKs' bytes ---------------------------------------------------------------------------------------- */

CKIT_TEST(sealed, the_sdks_entries_are_read) {
    for (size_t i = 0; i < COUNT(released); i++) {
        const ckiti_sealed_place place = place_of(KEY_A, NULL, released[i].key);
        ckit_buf                 payload = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
        ckit_frame               frame;
        ckiti_sealed_class       cls;
        CHECK_OK(ckiti_sealed_read(&place, hex_slice(released[i].stored), 0, &frame, &payload, &scratch, &cls, NULL));
        CHECK_EQ_U(CKITI_SEALED_READABLE, cls);
        CHECK_BYTES(hex_slice(released[i].plain), frame.payload);
        CHECK_TEXT(released[i].serializer, frame.serializer);
        CHECK_TEXT(released[i].format, frame.format);
        CHECK_EQ_U(released[i].compressed, frame.compressed);
        ckit_buf_fini(&payload);
        ckit_buf_fini(&scratch);
        ckit_keyring_close(place.ring);
    }
}

/* A frame as it was before it was sealed. */
static void make_clear(const ckit_slice plain, ckit_buf *out) {
    const ckit_frame frame = {.serializer = S("arrow"), .format = S("arrow"), .payload = plain};
    CHECK_OK(ckit_frame_write(&frame, out, NULL));
}

CKIT_TEST(sealed, a_frame_is_sealed_and_comes_back_behind_what_was_there) {
    const ckiti_sealed_place place = place_of(KEY_A, NULL, "ns:key");
    static uint8_t           bytes[70000];
    const size_t             sizes[] = {0, 1, 15, 16, 17, 4096, sizeof bytes};
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        ckit_buf           clear = CKIT_BUF_INIT, sealed = CKIT_BUF_INIT, back = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
        ckit_frame         frame;
        ckiti_sealed_class cls;
        make_clear(ckit_slice_of(bytes, sizes[i]), &clear);
        CHECK_OK(ckit_frame_parse(ckit_buf_slice(&clear), &frame, &scratch, NULL));
        CHECK_OK(ckit_buf_append(&sealed, S("before")));
        CHECK_OK(ckit_buf_append(&back, S("here")));
        CHECK_OK(ckiti_sealed_write(&place, &frame, 0, &sealed, NULL));
        const ckit_slice stored = ckit_slice_of(sealed.ptr + 6, sealed.len - 6);
        CHECK_OK(ckiti_sealed_read_frame(&place, stored, 0, &back, &cls, NULL));
        CHECK_EQ_U(CKITI_SEALED_READABLE, cls);
        CHECK_TEXT("here", ckit_slice_of(back.ptr, 4));
        CHECK_BYTES(ckit_buf_slice(&clear), ckit_slice_of(back.ptr + 4, back.len - 4));
        ckit_buf_fini(&clear);
        ckit_buf_fini(&sealed);
        ckit_buf_fini(&back);
        ckit_buf_fini(&scratch);
    }
    ckit_keyring_close(place.ring);
}

/* Every byte counts but the serializer's name, which readers compare; what was decrypted before that was known is not
 * left anywhere. */
CKIT_TEST(sealed, nothing_comes_of_a_frame_that_does_not_authenticate) {
    const ckiti_sealed_place place = place_of(KEY_A, NULL, "ns:key");
    static const char        secret[] = "what nobody may read without the key";
    ckit_buf                 clear = CKIT_BUF_INIT, sealed = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
    ckit_frame               frame;
    make_clear(S(secret), &clear);
    CHECK_OK(ckit_frame_parse(ckit_buf_slice(&clear), &frame, &scratch, NULL));
    CHECK_OK(ckiti_sealed_write(&place, &frame, 0, &sealed, NULL));
    const char *name = memmem(sealed.ptr, sealed.len, "arrow", 5);
    for (size_t i = 0; i <= sealed.len; i++) {
        ckit_buf           back = CKIT_BUF_INIT;
        ckiti_sealed_class cls;
        const size_t       begins = (size_t)((const uint8_t *)name - sealed.ptr);
        if (i == begins) {
            i += 5;
        }
        const size_t len = i < sealed.len ? sealed.len : sealed.len - 1; /* at last, one byte less */
        sealed.ptr[i < sealed.len ? i : 0] ^= i < sealed.len;
        CHECK_OK(ckit_buf_append(&back, S("here")));
        const ckit_status st = ckiti_sealed_read_frame(&place, ckit_slice_of(sealed.ptr, len), 0, &back, &cls, NULL);
        CHECKF(st >= CKIT_E_FIRST && cls != CKITI_SEALED_READABLE && cls != CKITI_SEALED_LOCAL, "byte %zu", i);
        CHECK_TEXT("here", ckit_buf_slice(&back));
        CHECK(memmem(back.ptr, back.cap, secret, sizeof secret - 1) == NULL);
        sealed.ptr[i < sealed.len ? i : 0] ^= i < sealed.len;
        ckit_buf_fini(&back);
    }
    ckit_buf_fini(&clear);
    ckit_buf_fini(&sealed);
    ckit_buf_fini(&scratch);
    ckit_keyring_close(place.ring);
}

CKIT_TEST(sealed, the_sdks_documents_are_opened) {
    for (size_t i = 0; i < 2; i++) {
        const ckiti_sealed_place place = place_of(KEY_A, KEY_B, released[i].key);
        ckit_buf                 document = CKIT_BUF_INIT;
        ckiti_sealed_class       cls;
        CHECK_OK(ckiti_sealed_open(&place, hex_slice(released[i].stored), i == 0, 0, &document, &cls, NULL));
        CHECK_BYTES(hex_slice(DOCUMENT), ckit_buf_slice(&document));
        ckit_buf_fini(&document);
        ckit_keyring_close(place.ring);
    }
}

/* What we write differs from the SDKs' entry in the nonce and what follows from it. So: the same up to there, and from
 * there on what our own sealing makes of the SDKs' nonce is the SDKs'. */
CKIT_TEST(sealed, the_sdks_entries_are_written) {
    for (size_t i = 0; i < COUNT(released); i++) {
        const ckiti_sealed_place place = place_of(KEY_A, NULL, released[i].key);
        const ckit_slice         stored = hex_slice(released[i].stored), plain = hex_slice(released[i].plain);
        const size_t             head = stored.len - plain.len - CKIT_SEAL_OVERHEAD;
        const ckit_slice         format = S(released[i].format);
        ckit_frame               frame = {.serializer = S(released[i].serializer),
                                          .format = format,
                                          .original_type = format,
                                          .has_original_type = true,
                                          .compressed = released[i].compressed,
                                          .payload = plain};
        ckit_buf                 out = CKIT_BUF_INIT;
        uint8_t                  sealed[200];
        CHECK_OK(ckiti_sealed_write(&place, &frame, 0, &out, NULL));
        CHECK_EQ_U(stored.len, out.len);
        CHECK_BYTES(ckit_slice_of(stored.ptr, head), ckit_slice_of(out.ptr, head));
        const ckit_seal_subject subject = {.tenant = place.tenant,
                                           .key = place.key,
                                           .format = format,
                                           .original_type = format,
                                           .compressed = frame.compressed};
        CHECK_OK(ckiti_seal_with_nonce(place.ring, &subject, plain, stored.ptr + head, sealed, NULL));
        CHECK_BYTES(ckit_slice_of(stored.ptr + head, stored.len - head), ckit_slice_of(sealed, stored.len - head));
        ckit_buf_fini(&out);
        ckit_keyring_close(place.ring);
    }
}

CKIT_TEST(sealed, documents_of_every_size_come_back_and_both_sides_append) {
    static uint8_t           document[70000];
    static const size_t      sizes[] = {1, 15, 16, 17, 255, 256, 4096, 65535, 70000};
    const ckiti_sealed_place place = place_of(KEY_B, KEY_A, "ns:k");
    for (size_t i = 0; i < sizeof document; i++) {
        document[i] = (uint8_t)(i * i >> 5);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int integrity = 0; integrity < 2; integrity++) {
            ckit_buf           out = CKIT_BUF_INIT, back = CKIT_BUF_INIT;
            ckiti_sealed_class cls;
            CHECK_OK(ckit_buf_append(&out, S("before")));
            CHECK_OK(ckit_buf_append(&back, S("before")));
            CHECK_OK(ckiti_sealed_seal(&place, ckit_slice_of(document, sizes[i]), integrity == 1, 0, 0, &out, NULL));
            CHECK_OK(ckiti_sealed_open(&place, ckit_slice_of(out.ptr + 6, out.len - 6), integrity == 1, sizes[i], &back,
                                       &cls, NULL));
            CHECK_TEXT("before", ckit_slice_of(out.ptr, 6));
            CHECK_TEXT("before", ckit_slice_of(back.ptr, 6));
            CHECK_BYTES(ckit_slice_of(document, sizes[i]), ckit_slice_of(back.ptr + 6, back.len - 6));
            ckit_buf_fini(&out);
            ckit_buf_fini(&back);
        }
    }
    ckit_keyring_close(place.ring);
}

CKIT_TEST(sealed, tenants_of_every_name_are_written_as_a_frame_is_and_read_with_and_without_a_guess) {
    char              longest[CKIT_TENANT_MAX_BYTES + 1];
    const char *const names[] = {"t", "a \"b\" \\c", "\x01\t\n\x7f", "t\xc3\xa4glich", "}, \"v\": \"2.0\"}", longest};
    memset(longest, '\x02', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i < COUNT(names); i++) {
        ckiti_sealed_place place = place_of(KEY_A, KEY_B, "ns:k");
        ckit_buf           out = CKIT_BUF_INIT, back = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT, head = CKIT_BUF_INIT;
        ckit_frame         frame;
        ckiti_sealed_class cls;
        place.tenant = S(names[i]);
        CHECK_OK(ckiti_sealed_seal(&place, S("a document"), true, 0, 0, &out, NULL));
        CHECK_OK(ckit_frame_parse(ckit_buf_slice(&out), &frame, &scratch, NULL));
        CHECK_TEXT(names[i], frame.tenant_id);
        const size_t payload = frame.payload.len;
        frame.payload.len = 0;
        CHECK_OK(ckit_frame_write(&frame, &head, NULL));
        CHECK_BYTES(ckit_buf_slice(&head), ckit_slice_of(out.ptr, out.len - payload));
        for (int guess = 0; guess < 4; guess++) { /* none, the right one, a wrong one, needless since it is told */
            place.tenant = guess == 3 ? S(names[i]) : NONE;
            place.likely = guess == 1 ? S(names[i]) : guess == 2 ? S("another") : NONE;
            back.len = 0;
            CHECK_OK(ckiti_sealed_open(&place, ckit_buf_slice(&out), true, 0, &back, &cls, NULL));
            CHECK_TEXT("a document", ckit_buf_slice(&back));
        }
        ckit_buf_fini(&out);
        ckit_buf_fini(&back);
        ckit_buf_fini(&scratch);
        ckit_buf_fini(&head);
        ckit_keyring_close(place.ring);
    }
}

CKIT_TEST(sealed, the_stored_bytes_hold_no_plaintext) {
    const ckiti_sealed_place place = place_of(KEY_B, NULL, "ns:k");
    static const char        secret[] = "\xd9\x20the number of the card is 4111!!";
    ckit_buf                 out = CKIT_BUF_INIT;
    CHECK_OK(ckiti_sealed_seal(&place, S(secret), true, 0, 0, &out, NULL));
    CHECK(memmem(out.ptr, out.cap, "number", 6) == NULL);
    out.len = 0;
    CHECK_OK(ckiti_sealed_seal(&place, S(secret), false, 0, 0, &out, NULL));
    CHECK(memmem(out.ptr, out.cap, "number", 6) == NULL);
    /* nor does a failure after the payload was put together */
    out.len = 0;
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckiti_sealed_seal(&place, S(secret), true, 0, 100, &out, NULL));
    CHECK_EQ_U(0, out.len);
    CHECK(memmem(out.ptr, out.cap, "number", 6) == NULL);
    ckit_buf_fini(&out);
    ckit_keyring_close(place.ring);
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

static ckiti_sealed_class class_of(const ckiti_sealed_place *place, ckit_slice stored, bool integrity) {
    ckit_buf           document = CKIT_BUF_INIT;
    ckit_error         err = CKIT_ERROR_INIT;
    ckiti_sealed_class cls = (ckiti_sealed_class)99;
    ckit_status        st = ckiti_sealed_open(place, stored, integrity, 0, &document, &cls, &err);
    CHECK((st == CKIT_OK) == (cls == CKITI_SEALED_READABLE));
    CHECK_EQ_U(st, err.status);
    if (st != CKIT_OK) {
        CHECK_EQ_U(0, document.len);
    }
    ckit_buf_fini(&document);
    return cls;
}

CKIT_TEST(sealed, every_changed_bit_of_an_entry_is_found_and_classified) {
    for (size_t i = 0; i < 2; i++) {
        for (int any_tenant = 0; any_tenant < 3; any_tenant++) { /* the last time with a guess */
            ckiti_sealed_place place = place_of(KEY_A, KEY_B, released[i].key);
            const ckit_slice   stored = hex_slice(released[i].stored);
            const size_t       head = stored.len - hex_slice(released[i].plain).len - CKIT_SEAL_OVERHEAD;
            uint8_t           *bad = malloc(stored.len);
            CHECK(bad != NULL);
            place.likely = any_tenant == 2 ? place.tenant : NONE;
            place.tenant.len = any_tenant ? 0 : place.tenant.len;
            CHECK_EQ_U(CKITI_SEALED_READABLE, class_of(&place, stored, i == 0));
            for (size_t bit = 0; bit < 8 * stored.len; bit++) {
                memcpy(bad, stored.ptr, stored.len);
                bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
                const ckiti_sealed_class cls = class_of(&place, ckit_slice_of(bad, stored.len), i == 0);
                CHECKF(cls != CKITI_SEALED_READABLE && cls != CKITI_SEALED_LOCAL, "bit %zu: class %d", bit, (int)cls);
                CHECKF(bit / 8 < head || cls == CKITI_SEALED_AUTHENTICATION, "bit %zu: class %d", bit, (int)cls);
            }
            for (size_t len = 0; len < stored.len; len++) {
                const ckiti_sealed_class cls = class_of(&place, ckit_slice_of(stored.ptr, len), i == 0);
                CHECKF(len < head ? cls == CKITI_SEALED_MALFORMED : cls == CKITI_SEALED_AUTHENTICATION,
                       "%zu bytes: class %d", len, (int)cls);
            }
            free(bad);
            ckit_keyring_close(place.ring);
        }
    }
}

CKIT_TEST(sealed, an_entry_under_another_key_or_tenant_does_not_open) {
    const ckit_slice   stored = hex_slice(released[0].stored);
    ckiti_sealed_place place = place_of(KEY_A, NULL, released[0].key);
    uint8_t            key[200], tenant[sizeof TENANT];
    const size_t       len = strlen(released[0].key);
    memcpy(key, released[0].key, len);
    place.key = ckit_slice_of(key, len);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_EQ_U(CKITI_SEALED_AUTHENTICATION, class_of(&place, stored, true));
        key[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    place.key = S(released[0].key);
    for (size_t bit = 0; bit < 8 * strlen(TENANT); bit++) {
        memcpy(tenant, TENANT, sizeof tenant);
        tenant[bit / 8] ^= (uint8_t)(1u << bit % 8);
        place.tenant = ckit_slice_of(tenant, strlen(TENANT));
        CHECK_EQ_U(CKITI_SEALED_AUTHENTICATION, class_of(&place, stored, true));
    }
    place.tenant.len = 0;
    CHECK_EQ_U(CKITI_SEALED_READABLE, class_of(&place, stored, true));
    ckit_keyring_close(place.ring);
}

CKIT_TEST(sealed, an_entry_of_a_key_that_left_the_ring_is_an_authentication_failure) {
    const ckiti_sealed_place with = place_of(KEY_B, KEY_A, released[0].key);
    const ckiti_sealed_place without = place_of(KEY_B, NULL, released[0].key);
    CHECK_EQ_U(CKITI_SEALED_READABLE, class_of(&with, hex_slice(released[0].stored), true));
    CHECK_EQ_U(CKITI_SEALED_AUTHENTICATION, class_of(&without, hex_slice(released[0].stored), true));
    ckit_keyring_close(with.ring);
    ckit_keyring_close(without.ring);
}

/* ---- classes ------------------------------------------------------------------------------------------------ */

static ckiti_sealed_class class_of_frame(const ckiti_sealed_place *place, ckit_frame frame) {
    ckit_buf stored = CKIT_BUF_INIT;
    CHECK_OK(ckit_frame_write(&frame, &stored, NULL));
    const ckiti_sealed_class cls = class_of(place, ckit_buf_slice(&stored), true);
    ckit_buf_fini(&stored);
    return cls;
}

CKIT_TEST(sealed, what_an_entry_claims_is_classified_before_anything_is_decrypted) {
    const ckiti_sealed_place place = place_of(KEY_A, NULL, "k");
    static char              tenant[CKIT_TENANT_MAX_BYTES + 1];
    ckit_frame               frame = {.serializer = S("default"), .format = S("msgpack"), .payload = S("x")};
    ckiti_sealed_place       anybody = place;
    CHECK_EQ_U(CKITI_SEALED_SUSPICIOUS, class_of_frame(&place, frame)); /* in the clear */
    frame.encrypted = true;
    frame.tenant_id = S(TENANT);
    frame.encryption_algorithm = S("AES-256-GCM");
    frame.key_fingerprint = S("33afb25a45ad1762dc4df32cffa3dde5");
    CHECK_EQ_U(CKITI_SEALED_AUTHENTICATION, class_of_frame(&place, frame)); /* too short for a tag */
    frame.encryption_algorithm = S("ROT13");
    CHECK_EQ_U(CKITI_SEALED_SUSPICIOUS, class_of_frame(&place, frame));
    frame.encryption_algorithm = S("AES-256-GCM");
    frame.encoding = S("utf-9");
    CHECK_EQ_U(CKITI_SEALED_SUSPICIOUS, class_of_frame(&place, frame));
    frame.encoding = S("utf-8");
    frame.serializer = S("orjson");
    CHECK_EQ_U(CKITI_SEALED_CORRUPT, class_of_frame(&place, frame));
    frame.serializer = S("default");
    frame.key_fingerprint = NONE; /* would have every key tried */
    CHECK_EQ_U(CKITI_SEALED_SUSPICIOUS, class_of_frame(&place, frame));
    frame.key_fingerprint = S("33afb25a45ad1762dc4df32cffa3dde5");
    memset(tenant, 't', sizeof tenant);
    frame.tenant_id = S_ARRAY(tenant);
    anybody.tenant = NONE;
    CHECK_EQ_U(CKITI_SEALED_SUSPICIOUS, class_of_frame(&anybody, frame));
    CHECK_EQ_U(CKITI_SEALED_MALFORMED, class_of(&place, S("somebody else's bytes"), true));
    CHECK_EQ_U(CKITI_SEALED_MALFORMED, class_of(&place, NONE, true));
    ckit_keyring_close(place.ring);
}

CKIT_TEST(sealed, a_header_that_no_writer_makes_is_suspicious_however_like_one_it_looks) {
    static const char tail[] =
        "\"compressed\": true, \"original_type\": \"msgpack\", \"encrypted\": true, \"tenant_id\": "
        "\"" TENANT "\", \"encryption_algorithm\": \"AES-256-GCM\", \"key_fingerprint\": "
        "\"33afb25a45ad1762dc4df32cffa3dde5\"}, \"v\": \"2.0\"}";
    static const struct {
        const char        *head;
        ckiti_sealed_class cls;
    } headers[] = {
        {"{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", ",
         CKITI_SEALED_AUTHENTICATION},
        {"{\"s\": \"\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", ", CKITI_SEALED_SUSPICIOUS},
        {"{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"\", ", CKITI_SEALED_SUSPICIOUS},
        {"{\"s\":\"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", ", CKITI_SEALED_SUSPICIOUS},
        {"{\"s\": \"\\u0064efault\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", ",
         CKITI_SEALED_SUSPICIOUS},
    };
    const ckiti_sealed_place place = place_of(KEY_A, NULL, "k");
    for (size_t i = 0; i < COUNT(headers); i++) {
        char stored[600] = "CK\x03";
        int  len = snprintf(stored + 7, sizeof stored - 7, "%s%s", headers[i].head, tail);
        stored[5] = (char)(len >> 8);
        stored[6] = (char)len;
        CHECK_EQ_U(headers[i].cls, class_of(&place, ckit_slice_of(stored, (size_t)len + 7 + 40), true));
    }
    ckit_keyring_close(place.ring);
}

CKIT_TEST(sealed, what_is_authentic_and_does_not_decode_is_corrupt) {
    const ckiti_sealed_place place = place_of(KEY_A, NULL, "k");
    ckit_buf                 out = CKIT_BUF_INIT, document = CKIT_BUF_INIT;
    ckiti_sealed_class       cls;
    CHECK_OK(ckiti_sealed_seal(&place, hex_slice(DOCUMENT), false, 0, 0, &out, NULL));
    CHECK_EQ_U(CKITI_SEALED_CORRUPT, class_of(&place, ckit_buf_slice(&out), true)); /* an envelope was expected */
    CHECK_EQ_U(CKITI_SEALED_READABLE, class_of(&place, ckit_buf_slice(&out), false));
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckiti_sealed_open(&place, ckit_buf_slice(&out), false, 5, &document, &cls, NULL));
    CHECK_EQ_U(CKITI_SEALED_LOCAL, cls);
    ckit_buf_fini(&out);
    ckit_buf_fini(&document);
    ckit_keyring_close(place.ring);
}

CKIT_TEST(sealed, what_cannot_be_sealed_is_not_stored) {
    ckiti_sealed_place place = place_of(KEY_A, NULL, "k");
    ckit_buf           out = CKIT_BUF_INIT;
    place.tenant = NONE;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_sealed_seal(&place, S("v"), true, 0, 0, &out, NULL));
    place.tenant = S(TENANT);
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_sealed_seal(&place, S("v"), true, 77, 0, &out, NULL));
    place.key = NONE;
    CHECK_STATUS(CKIT_E_MISUSE, ckiti_sealed_seal(&place, S("v"), true, 0, 0, &out, NULL));
    CHECK_EQ_U(0, out.len);
    ckit_buf_fini(&out);
    ckit_keyring_close(place.ring);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

CKIT_TEST(sealed, every_failing_allocation_is_reported_and_says_nothing_about_the_entry) {
    for (uint64_t n = 0;; n++) {
        failing_alloc      fa;
        ckit_status        st;
        ckiti_sealed_class cls = CKITI_SEALED_LOCAL;
        failing_alloc_init(&fa, n);
        ckiti_sealed_place place = {.ring = ring_of(KEY_A, NULL, &fa.alloc, &st), .tenant = S(TENANT), .key = S("k")};
        ckit_buf           out = {.alloc = &fa.alloc}, document = {.alloc = &fa.alloc};
        if (st == CKIT_OK && (st = ckiti_sealed_seal(&place, S("v"), true, 0, 0, &out, NULL)) == CKIT_OK) {
            st = ckiti_sealed_open(&place, ckit_buf_slice(&out), true, 0, &document, &cls, NULL);
        }
        ckit_keyring_close(place.ring);
        ckit_buf_fini(&out);
        ckit_buf_fini(&document);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
        CHECK_EQ_U(CKITI_SEALED_LOCAL, cls);
    }
}
