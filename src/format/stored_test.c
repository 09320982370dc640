/* Stored values: sealed as the released SDK seals them; damage is never passed off as a document. */
#include "format/stored.h"

#include <cachekit/buf.h>
#include <cachekit/envelope.h>
#include <cachekit/frame.h>

#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define HEADER(compressed)                                                                                             \
    "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": " compressed       \
    ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}"

/* {"user_id": 123, "name": "Alice"}, null, 2025-11-14T10:30:00 */
#define ALICE "82a7757365725f69647ba46e616d65a5416c696365"
#define NIL "c0"
#define MORNING "82ac5f5f6461746574696d655f5fc3a576616c7565b3323032352d31312d31345431303a33303a3030"

static const struct {
    bool        integrity;
    const char *document;
    const char *head; /* hex: "CK", version, header length */
    const char *header;
    const char *payload;
} released[] = {
    {true, ALICE, "434b030000007d", HEADER("true"), "94c417f006" ALICE "982d51ccda48cc812c1dccd415a76d73677061636b"},
    {false, ALICE, "434b030000007e", HEADER("false"), ALICE},
    {true, NIL, "434b030000007d", HEADER("true"), "94c40210c09805264b395bccaf644c01a76d73677061636b"},
    {true, MORNING, "434b030000007d", HEADER("true"),
     "94c42bf01a" MORNING "9823cc9acce97d6d2200cca029a76d73677061636b"},
};

static ckit_buf join(ckit_slice head, ckit_slice header, ckit_slice payload) {
    ckit_buf out = CKIT_BUF_INIT;
    CHECK_OK(ckit_buf_append(&out, head));
    CHECK_OK(ckit_buf_append(&out, header));
    CHECK_OK(ckit_buf_append(&out, payload));
    return out;
}

static ckit_buf released_bytes(size_t i) {
    return join(hex_slice(released[i].head), S(released[i].header), hex_slice(released[i].payload));
}

/* A frame with a header of one's own. */
static ckit_buf with_header(const char *header, ckit_slice payload) {
    uint8_t head[] = {'C', 'K', 3, 0, 0, (uint8_t)(strlen(header) >> 8), (uint8_t)strlen(header)};
    return join(S_ARRAY(head), S(header), payload);
}

/* Opens and demands status and verdict; the document must be `document` or nothing at all. */
static void check_open(ckit_slice stored, bool integrity, ckit_status status, ckiti_stored_verdict verdict,
                       ckit_slice document, const char *text) {
    ckit_buf             out = CKIT_BUF_INIT;
    ckit_error           err = CKIT_ERROR_INIT;
    ckiti_stored_verdict got = (ckiti_stored_verdict)77;
    CHECK_STATUS_ERR(status, ckiti_stored_open(stored, integrity, 0, &out, &got, &err), &err);
    CHECK_EQ_I(verdict, got);
    CHECK_BYTES(status == CKIT_OK ? document : S(""), ckit_buf_slice(&out));
    CHECK_CONTAINS(text, err.text);
    ckit_buf_fini(&out);
}

CKIT_TEST(stored, values_are_sealed_to_the_released_bytes_and_open_again) {
    for (size_t i = 0; i < COUNT(released); i++) {
        ckit_buf   expected = released_bytes(i), out = CKIT_BUF_INIT;
        ckit_slice document = hex_slice(released[i].document);
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(ckiti_stored_seal(document, released[i].integrity, 0, 0, &out, &err), &err);
        CHECK_BYTES(ckit_buf_slice(&expected), ckit_buf_slice(&out));
        check_open(ckit_buf_slice(&out), released[i].integrity, CKIT_OK, CKITI_STORED_KEEP, document, "");
        ckit_buf_fini(&expected);
        ckit_buf_fini(&out);
    }
}

CKIT_TEST(stored, both_sides_append) {
    ckit_buf             out = CKIT_BUF_INIT, document = CKIT_BUF_INIT;
    ckiti_stored_verdict verdict;
    CHECK_OK(ckit_buf_append(&out, S("head")));
    CHECK_OK(ckit_buf_append(&document, S("first ")));
    CHECK_OK(ckiti_stored_seal(S("second"), true, 0, 0, &out, NULL));
    ckit_slice stored = {out.ptr + 4, out.len - 4};
    CHECK_OK(ckiti_stored_open(stored, true, 0, &document, &verdict, NULL));
    CHECK_TEXT("first second", ckit_buf_slice(&document));
    CHECK_BYTES(S("head"), ((ckit_slice){out.ptr, 4}));
    ckit_buf_fini(&out);
    ckit_buf_fini(&document);
}

CKIT_TEST(stored, a_reader_with_integrity_does_not_believe_the_header) {
    ckit_slice document = hex_slice(ALICE);
    ckit_buf   lies = with_header(HEADER("false"), hex_slice(released[0].payload));
    check_open(ckit_buf_slice(&lies), true, CKIT_OK, CKITI_STORED_KEEP, document, "");
    ckit_buf_fini(&lies);
    /* A bare document has no checksum: whoever expects one must not take it. */
    lies = released_bytes(1);
    check_open(ckit_buf_slice(&lies), true, CKIT_E_DECODE, CKITI_STORED_DELETE, document, "");
    ckit_buf_fini(&lies);
}

CKIT_TEST(stored, a_reader_without_integrity_takes_the_header_s_word) {
    ckit_buf whole = released_bytes(0);
    check_open(ckit_buf_slice(&whole), false, CKIT_OK, CKITI_STORED_KEEP, hex_slice(ALICE), "");
    ckit_buf_fini(&whole);
}

CKIT_TEST(stored, other_writers_entries_are_told_apart) {
    static const struct {
        const char          *header;
        ckit_status          status;
        ckiti_stored_verdict verdict;
        const char          *text;
    } rows[] = {
        {"{\"m\":{\"format\":\"msgpack\",\"compressed\":true}}", CKIT_OK, CKITI_STORED_KEEP, ""},
        {"{\"s\":\"unknown\",\"m\":{\"format\":\"msgpack\",\"compressed\":true}}", CKIT_OK, CKITI_STORED_KEEP, ""},
        {"{\"s\":\"auto\",\"m\":{\"format\":\"msgpack\",\"compressed\":true,\"original_type\":\"msgpack\"}}",
         CKIT_E_DECODE, CKITI_STORED_DELETE, "serializer auto"},
        {"{\"s\":\"Secret\",\"m\":{\"format\":\"msgpack\",\"compressed\":true}}", CKIT_E_DECODE, CKITI_STORED_DELETE,
         "serializer another"},
        {"{\"s\":\"default\",\"m\":{\"format\":\"orjson\"}}", CKIT_E_DECODE, CKITI_STORED_DELETE, "not a MessagePack"},
        {"{\"m\":{\"format\":\"msgpack\",\"original_type\":\"numpy\"}}", CKIT_E_DECODE, CKITI_STORED_DELETE,
         "not a MessagePack"},
        {"{\"s\":\"default\",\"m\":{\"format\":\"msgpack\",\"compressed\":true,\"encrypted\":true,\"tenant_id\":\"t\"}"
         "}",
         CKIT_E_UNSUPPORTED, CKITI_STORED_KEEP, "encrypted"},
        {"{\"s\":\"default\",\"m\":{\"format\":\"msgpack\",\"encrypted\":true}}", CKIT_E_DECODE, CKITI_STORED_DELETE,
         "no tenant"},
        {"{\"s\":\"default\",\"m\":{\"format\":\"bson\"}}", CKIT_E_DECODE, CKITI_STORED_KEEP, "format"},
        {"{\"s\":\"default\"}", CKIT_E_DECODE, CKITI_STORED_DELETE, "m is missing"},
        {"nonsense", CKIT_E_DECODE, CKITI_STORED_KEEP, "not JSON"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf stored = with_header(rows[i].header, hex_slice(released[0].payload));
        check_open(ckit_buf_slice(&stored), true, rows[i].status, rows[i].verdict, hex_slice(ALICE), rows[i].text);
        ckit_buf_fini(&stored);
    }
}

CKIT_TEST(stored, a_cache_file_given_by_mistake_is_named_and_kept) {
    ckit_slice file = hex_slice("434b010000000000000000000000 82a161");
    check_open(file, true, CKIT_E_DECODE, CKITI_STORED_KEEP, S(""), "cache file");
}

CKIT_TEST(stored, the_legacy_text_form_opens) {
    static const char text[] =
        "{\"data\": \"lMQX8AaCp3VzZXJfaWR7pG5hbWWlQWxpY2WYLVHM2kjMgSwdzNQVp21zZ3BhY2s=\", \"metadata\": {\"format\": "
        "\"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true, \"original_type\": \"msgpack\"}, \"serializer\": "
        "\"default\", \"version\": \"2.0\"}";
    check_open(S(text), true, CKIT_OK, CKITI_STORED_KEEP, hex_slice(ALICE), "");
}

CKIT_TEST(stored, an_empty_payload_is_damage) {
    ckit_buf stored = with_header(HEADER("false"), S(""));
    check_open(ckit_buf_slice(&stored), false, CKIT_E_TRUNCATED, CKITI_STORED_DELETE, S(""), "no document");
    check_open(ckit_buf_slice(&stored), true, CKIT_E_TRUNCATED, CKITI_STORED_DELETE, S(""), "no bytes");
    ckit_buf_fini(&stored);
}

CKIT_TEST(stored, no_bytes_at_no_address_are_malformed_and_kept) {
    check_open((ckit_slice){NULL, 0}, true, CKIT_E_DECODE, CKITI_STORED_KEEP, S(""), "no bytes");
}

CKIT_TEST(stored, what_could_not_be_opened_again_is_not_sealed) {
    ckit_slice endless = {(const uint8_t *)"", CKIT_ENVELOPE_MAX_BYTES + 1}; /* refused before it is looked at */
    ckit_buf   out = CKIT_BUF_INIT;
    for (int integrity = 0; integrity < 2; integrity++) {
        CHECK_STATUS(CKIT_E_TOO_LARGE, ckiti_stored_seal(endless, integrity == 1, 0, 0, &out, NULL));
        CHECK_EQ_U(0, out.cap);
    }
    ckit_buf_fini(&out);
}

CKIT_TEST(stored, the_limits_hold_to_the_byte) {
    for (int integrity = 0; integrity < 2; integrity++) {
        ckit_buf   whole = released_bytes(integrity == 1 ? 0 : 1), out = CKIT_BUF_INIT, document = CKIT_BUF_INIT;
        ckit_slice alice = hex_slice(ALICE);
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_OK(ckit_buf_append(&out, S("head")));
        CHECK_STATUS_ERR(CKIT_E_TOO_LARGE, ckiti_stored_seal(alice, integrity == 1, 0, whole.len - 1, &out, &err),
                         &err);
        CHECK_EQ_U(4, out.len);
        CHECK_OK(ckiti_stored_seal(alice, integrity == 1, 0, whole.len, &out, NULL));
        CHECK_EQ_U(4 + whole.len, out.len);
        ckiti_stored_verdict verdict = CKITI_STORED_DELETE;
        CHECK_STATUS_ERR(
            CKIT_E_TOO_LARGE,
            ckiti_stored_open(ckit_buf_slice(&whole), integrity == 1, alice.len - 1, &document, &verdict, &err), &err);
        CHECK_EQ_I(CKITI_STORED_KEEP, verdict);
        CHECK_OK(ckiti_stored_open(ckit_buf_slice(&whole), integrity == 1, alice.len, &document, &verdict, NULL));
        ckit_buf_fini(&whole);
        ckit_buf_fini(&out);
        ckit_buf_fini(&document);
    }
}

CKIT_TEST(stored, a_wrong_level_is_refused_and_nothing_written) {
    ckit_buf   out = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckiti_stored_seal(S("\xc0"), true, 11, 0, &out, &err), &err);
    CHECK_EQ_U(0, out.len);
    CHECK_OK(ckiti_stored_seal(S("\xc0"), true, CKIT_COMPRESSION_OFF, 0, &out, &err));
    ckit_buf_fini(&out);
}

CKIT_TEST(stored, every_failing_allocation_is_reported_and_keeps_the_entry) {
    ckit_slice alice = hex_slice(ALICE);
    for (uint64_t n = 0;; n++) {
        failing_alloc fa;
        failing_alloc_init(&fa, n);
        ckit_buf             out = {.alloc = &fa.alloc}, document = {.alloc = &fa.alloc};
        ckiti_stored_verdict verdict = CKITI_STORED_KEEP;
        ckit_error           err = CKIT_ERROR_INIT;
        ckit_status          st = ckiti_stored_seal(alice, true, 9, 0, &out, &err);
        if (st == CKIT_OK) st = ckiti_stored_open(ckit_buf_slice(&out), true, 0, &document, &verdict, &err);
        CHECK_STATUS_ERR(failing_alloc_has_failed(&fa) ? CKIT_E_NO_MEMORY : CKIT_OK, st, &err);
        CHECK_EQ_I(CKITI_STORED_KEEP, verdict);
        if (st != CKIT_OK) CHECK_EQ_U(0, document.len);
        ckit_buf_fini(&out);
        ckit_buf_fini(&document);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) break;
    }
}

static void check_damaged(ckit_slice bytes, ckit_slice right, size_t at) {
    uint8_t *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
    CHECK(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    ckit_buf             document = CKIT_BUF_INIT;
    ckit_error           err = CKIT_ERROR_INIT;
    ckiti_stored_verdict verdict = (ckiti_stored_verdict)77;
    ckit_status          st = ckiti_stored_open((ckit_slice){copy, bytes.len}, true, 0, &document, &verdict, &err);
    if (st == CKIT_OK)
        CHECKF(document.len == right.len && memcmp(document.ptr, right.ptr, right.len) == 0,
               "another document after damage at byte %zu", at);
    else
        CHECKF(document.len == 0 && err.status == st, "at byte %zu", at);
    CHECK(verdict == CKITI_STORED_KEEP || (st != CKIT_OK && verdict == CKITI_STORED_DELETE));
    ckit_buf_fini(&document);
    free(copy);
}

static void check_all_damage(ckit_slice whole, ckit_slice right) {
    uint8_t *bytes = malloc(whole.len);
    CHECK(bytes != NULL);
    memcpy(bytes, whole.ptr, whole.len);
    for (size_t len = 0; len < whole.len; len++)
        check_damaged((ckit_slice){whole.ptr, len}, right, len);
    for (size_t at = 0; at < whole.len; at++) {
        for (unsigned change = 1; change < 256; change++) {
            bytes[at] = (uint8_t)(whole.ptr[at] ^ change);
            check_damaged((ckit_slice){bytes, whole.len}, right, at);
        }
        bytes[at] = whole.ptr[at];
    }
    free(bytes);
}

CKIT_TEST(stored, no_prefix_and_no_changed_byte_gives_another_document) {
    for (size_t i = 0; i < COUNT(released); i++) {
        if (!released[i].integrity) continue;
        ckit_buf whole = released_bytes(i);
        check_all_damage(ckit_buf_slice(&whole), hex_slice(released[i].document));
        ckit_buf_fini(&whole);
    }
}

CKIT_TEST(stored, damage_in_a_really_compressed_value_is_found_too) {
    uint8_t text[300];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)("abcdefghij"[(i * i / 7 + i) % 10]);
    ckit_buf out = CKIT_BUF_INIT;
    CHECK_OK(ckiti_stored_seal(S_ARRAY(text), true, 0, 0, &out, NULL));
    CHECK(out.len < sizeof text);
    check_all_damage(ckit_buf_slice(&out), S_ARRAY(text));
    ckit_buf_fini(&out);
}
