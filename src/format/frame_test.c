/* The frame, written and read: the released SDKs' bytes, other spellings, verdicts and damage. Of frame_json.c. */
#include <cachekit/buf.h>
#include <cachekit/frame.h>

#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TENANT "00000000-0000-0000-0000-000000000001"
#define FINGERPRINT "33afb25a45ad1762dc4df32cffa3dde5"

typedef struct released_frame {
    const char *name;
    const char *serializer;
    const char *format;
    bool        compressed;
    const char *original_type;
    const char *header;
    const char *payload;
} released_frame;

static const released_frame plain[] = {
    {"default_integrity_on", "default", "msgpack", true, "msgpack",
     "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}",
     "94c417f00682a7757365725f69647ba46e616d65a5416c696365982d51ccda48cc812c1dccd415a76d736770"
     "61636b"},
    {"default_integrity_off", "default", "msgpack", false, "msgpack",
     "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": false"
     ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}",
     "82a7757365725f69647ba46e616d65a5416c696365"},
    {"default_none", "default", "msgpack", true, "msgpack",
     "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}",
     "94c40210c09805264b395bccaf644c01a76d73677061636b"},
    {"default_naive_datetime", "default", "msgpack", true, "msgpack",
     "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}",
     "94c42bf01a82ac5f5f6461746574696d655f5fc3a576616c7565b3323032352d31312d31345431303a33303a"
     "30309823cc9acce97d6d2200cca029a76d73677061636b"},
    {"auto_tuple_uuid", "auto", "msgpack", true, "msgpack",
     "{\"s\": \"auto\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}",
     "94c43bf50d82a95f5f7475706c655f5fc3a576616c7565920182a85f5f757569641300b0d924313233343536"
     "37382d09001a2d0a008031323334353637389875cc8c5c37070a1cccc44ba76d73677061636b"},
    {"auto_frozenset", "auto", "msgpack", true, "msgpack",
     "{\"s\": \"auto\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}",
     "94c41cf00b83a75f5f7365745f5fc3a576616c75659107a666726f7a656ec398ccf0ccbeccaf46ccc645ccf6"
     "cc831aa76d73677061636b"},
    {"auto_nested_ndarray", "auto", "msgpack", true, "msgpack",
     "{\"s\": \"auto\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"msgpack\"}, \"v\": \"2.0\"}",
     "94c43df10a81a17884ab5f5f6e6461727261795f5fc3a464617461c41000010021f03f0700f00a000040a573"
     "686170659102a56474797065a7666c6f6174363498ccfacccacce0ccfdccdd3fcc9f053ea76d73677061636b"},
    {"auto_numpy_integrity_on", "auto", "msgpack", false, "numpy",
     "{\"s\": \"auto\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": false"
     ", \"original_type\": \"numpy\"}, \"v\": \"2.0\"}",
     "54c550c14ed5c5ae4e554d50595f5241570500696e7433320800020000000200000001000000020000000300"
     "000004000000"},
    {"auto_numpy_integrity_off", "auto", "msgpack", false, "numpy",
     "{\"s\": \"auto\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": false"
     ", \"original_type\": \"numpy\"}, \"v\": \"2.0\"}",
     "4e554d50595f5241570500696e7433320800020000000200000001000000020000000300000004000000"},
    {"orjson_integrity_on", "orjson", "orjson", false, "orjson",
     "{\"s\": \"orjson\", \"m\": {\"format\": \"orjson\", \"encoding\": \"utf-8\", \"compressed\": false"
     ", \"original_type\": \"orjson\"}, \"v\": \"2.0\"}",
     "351633935cf22cd57b2261223a312c2262223a5b747275652c6e756c6c5d7d"},
    {"orjson_integrity_off", "orjson", "orjson", false, "orjson",
     "{\"s\": \"orjson\", \"m\": {\"format\": \"orjson\", \"encoding\": \"utf-8\", \"compressed\": false"
     ", \"original_type\": \"orjson\"}, \"v\": \"2.0\"}",
     "7b2261223a312c2262223a5b747275652c6e756c6c5d7d"},
    {"arrow", "arrow", "arrow", true, "arrow",
     "{\"s\": \"arrow\", \"m\": {\"format\": \"arrow\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"arrow\"}, \"v\": \"2.0\"}",
     "00"},
};

/* All of tenant TENANT, with a key of fingerprint FINGERPRINT. */
static const released_frame encrypted[] = {
    {"secure_default", "default", "msgpack", true, "msgpack",
     "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
     ", \"original_type\": \"msgpack\", \"encrypted\": true"
     ", \"tenant_id\": \"00000000-0000-0000-0000-000000000001\", \"encryption_algorithm\": \"AES-256-GCM\""
     ", \"key_fingerprint\": \"33afb25a45ad1762dc4df32cffa3dde5\"}, \"v\": \"2.0\"}",
     "0102030405060708000000007baad1bc9b2274a0cf1be3134fd14a20fe18c3af141b8732065b231284d71e1b"
     "02d64a54343164700c30b95e7e660a67c9c3330275d5e58196f8ee262d47d1"},
    {"auto_detected_minimal", "default", "msgpack", false, "msgpack",
     "{\"s\": \"default\", \"m\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": false"
     ", \"original_type\": \"msgpack\", \"encrypted\": true"
     ", \"tenant_id\": \"00000000-0000-0000-0000-000000000001\", \"encryption_algorithm\": \"AES-256-GCM\""
     ", \"key_fingerprint\": \"33afb25a45ad1762dc4df32cffa3dde5\"}, \"v\": \"2.0\"}",
     "0102030405060708000000006dc9b33ff8d28cbcd805352247d85421d115c7a9d49f7b1c306f079b79d9ef44"
     "7cf66ba92f"},
    {"secure_orjson", "orjson", "orjson", false, "orjson",
     "{\"s\": \"orjson\", \"m\": {\"format\": \"orjson\", \"encoding\": \"utf-8\", \"compressed\": false"
     ", \"original_type\": \"orjson\", \"encrypted\": true"
     ", \"tenant_id\": \"00000000-0000-0000-0000-000000000001\", \"encryption_algorithm\": \"AES-256-GCM\""
     ", \"key_fingerprint\": \"33afb25a45ad1762dc4df32cffa3dde5\"}, \"v\": \"2.0\"}",
     "010203040506070800000000da78f5dfc152ff00c75cf06e1c841da6f25b9491c5289e3e4950ce53b946b9e9"
     "7c67bfc6b73aee43ec5429f2b05f9d"},
};

/* As versions before the frame stored it; {"user_id": 123, "name": "Alice"} in an envelope. */
static const char legacy_text[] =
    "{\"data\": \"lMQX8AaCp3VzZXJfaWR7pG5hbWWlQWxpY2WYLVHM2kjMgSwdzNQVp21zZ3BhY2s=\""
    ", \"metadata\": {\"format\": \"msgpack\", \"encoding\": \"utf-8\", \"compressed\": true"
    ", \"original_type\": \"msgpack\"}, \"serializer\": \"default\", \"version\": \"2.0\"}";

/* "CK", 03, length, header, payload. The caller ends it with ckit_buf_fini. */
static ckit_buf make_frame(ckit_slice header, ckit_slice payload) {
    ckit_buf frame = CKIT_BUF_INIT;
    uint8_t  head[] = {'C',
                       'K',
                       3,
                       (uint8_t)(header.len >> 24),
                       (uint8_t)(header.len >> 16),
                       (uint8_t)(header.len >> 8),
                       (uint8_t)header.len};
    CHECK_OK(ckit_buf_append(&frame, S_ARRAY(head)));
    CHECK_OK(ckit_buf_append(&frame, header));
    CHECK_OK(ckit_buf_append(&frame, payload));
    return frame;
}

static void check_fields(const released_frame *expected, const ckit_frame *frame, bool is_encrypted) {
    CHECK_EQ_I(CKIT_FRAME_READABLE, frame->verdict);
    CHECK_TEXT(expected->serializer, frame->serializer);
    CHECK_TEXT(expected->format, frame->format);
    CHECK_TEXT("utf-8", frame->encoding);
    CHECK_EQ_I(expected->compressed, frame->compressed);
    CHECK(frame->has_original_type);
    CHECK_TEXT(expected->original_type, frame->original_type);
    CHECK_BYTES(hex_slice(expected->payload), frame->payload);
    CHECK_EQ_I(is_encrypted, frame->encrypted);
    CHECK_TEXT(is_encrypted ? TENANT : "", frame->tenant_id);
    CHECK_TEXT(is_encrypted ? "AES-256-GCM" : "", frame->encryption_algorithm);
    CHECK_TEXT(is_encrypted ? FINGERPRINT : "", frame->key_fingerprint);
    CHECK(!frame->legacy);
}

static void check_both_ways(const released_frame *expected, bool is_encrypted) {
    ckit_buf   stored = make_frame(S(expected->header), hex_slice(expected->payload));
    ckit_buf   scratch = CKIT_BUF_INIT, written = CKIT_BUF_INIT;
    ckit_frame frame;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_frame_parse(ckit_buf_slice(&stored), &frame, &scratch, &err), &err);
    check_fields(expected, &frame, is_encrypted);
    CHECK_EQ_U(0, scratch.cap); /* the usual spelling is read in place */
    CHECK_OK_ERR(ckit_frame_write(&frame, &written, &err), &err);
    CHECK_BYTES(ckit_buf_slice(&stored), ckit_buf_slice(&written));
    ckit_buf_fini(&stored);
    ckit_buf_fini(&scratch);
    ckit_buf_fini(&written);
}

CKIT_TEST(frame, the_released_frames_are_read_and_written_byte_for_byte) {
    for (size_t i = 0; i < COUNT(plain); i++)
        check_both_ways(&plain[i], false);
    for (size_t i = 0; i < COUNT(encrypted); i++)
        check_both_ways(&encrypted[i], true);
}

CKIT_TEST(frame, the_legacy_text_form_is_read) {
    ckit_buf   scratch = CKIT_BUF_INIT;
    ckit_frame frame;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_frame_parse(S(legacy_text), &frame, &scratch, &err), &err);
    CHECK(frame.legacy && frame.compressed && !frame.encrypted && frame.has_original_type);
    CHECK_TEXT("default", frame.serializer);
    CHECK_TEXT("msgpack", frame.format);
    CHECK_BYTES(hex_slice(plain[0].payload), frame.payload);
    ckit_buf_fini(&scratch);
}

CKIT_TEST(frame, missing_members_are_empty_false_or_null) {
    ckit_buf   stored = make_frame(S("{\"m\":{\"format\":\"orjson\"}}"), S("[]"));
    ckit_buf   scratch = CKIT_BUF_INIT;
    ckit_frame frame;
    CHECK_OK(ckit_frame_parse(ckit_buf_slice(&stored), &frame, &scratch, NULL));
    CHECK_EQ_U(0, frame.serializer.len);
    CHECK_TEXT("orjson", frame.format);
    CHECK_EQ_U(0, frame.encoding.len);
    CHECK(!frame.has_original_type && !frame.compressed && !frame.encrypted);
    CHECK_TEXT("[]", frame.payload);
    ckit_buf_fini(&stored);
    ckit_buf_fini(&scratch);
}

/* Headers that are no writer's, and what a reader makes of them. */
static const struct {
    const char        *header;
    ckit_frame_verdict verdict;
} spellings[] = {
    {" { \"v\" : 1e999 , \"m\" : { \"extra\" : [ { } , -1.5 ] , \"format\" : \"msgpack\" } , \"s\" : \"default\" }\r\n",
     CKIT_FRAME_READABLE},
    {"{\"m\":{\"format\":\"bson\",\"format\":\"arrow\"}}", CKIT_FRAME_READABLE}, /* the last one counts */
    {"{\"m\":{\"format\":\"arrow\",\"format\":\"bson\"}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"\\u0066ormat\":\"msg\\u0070ack\"}}", CKIT_FRAME_READABLE},
    {"{\"m\":{\"format\":\"msgpack\",\"encoding\":null,\"compressed\":null,\"encrypted\":null}}", CKIT_FRAME_READABLE},
    {"{\"m\":{\"format\":\"msgpack\",\"number\":18446744073709551616999999999999999999}}", CKIT_FRAME_READABLE},
    {"{\"s\":\"a\\u0000b\",\"m\":{\"format\":\"msgpack\"}}", CKIT_FRAME_READABLE},
    {"{\"m\":{\"format\":\"msgpack\"},\"x\":\"\xc3\xa9\xf0\x9f\x98\x80\"}", CKIT_FRAME_READABLE},
    {"{\"m\":{\"format\\u0000\":\"msgpack\"}}", CKIT_FRAME_MALFORMED}, /* not the member `format` */
    {"{\"m\":{\"format\\u0000\" :\"arrow\", \"format\":\"msgpack\"}}", CKIT_FRAME_MALFORMED},
    {"", CKIT_FRAME_MALFORMED},
    {"{", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"}}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"}} x", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\",}}", CKIT_FRAME_MALFORMED},
    {"{'m':{'format':'msgpack'}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"}/* why */}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"},\"x\":\"\xff\"}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"},\"x\":\"\xed\xa0\x80\"}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"},\"x\":\"\n\"}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\"},\x01\"x\":1}", CKIT_FRAME_MALFORMED},
    {"\xef\xbb\xbf{\"m\":{\"format\":\"msgpack\"}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"MSGPACK\"}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":7}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":null}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\",\"compressed\":1}}", CKIT_FRAME_MALFORMED},
    {"{\"m\":{\"format\":\"msgpack\",\"encrypted\":\"yes\"}}", CKIT_FRAME_MALFORMED},
    {"{\"s\":[],\"m\":{\"format\":\"msgpack\"}}", CKIT_FRAME_MALFORMED},
    {"{}", CKIT_FRAME_CORRUPT},
    {"null", CKIT_FRAME_CORRUPT},
    {"17", CKIT_FRAME_CORRUPT},
    {"\"text\"", CKIT_FRAME_CORRUPT},
    {"[{\"m\":{\"format\":\"msgpack\"}}]", CKIT_FRAME_CORRUPT},
    {"{\"m\":null}", CKIT_FRAME_CORRUPT},
    {"{\"m\":[\"format\"]}", CKIT_FRAME_CORRUPT},
    {"{\"m\":{}}", CKIT_FRAME_CORRUPT},
    {"{\"m\":{\"format\":\"msgpack\",\"encrypted\":true}}", CKIT_FRAME_SUSPICIOUS},
    {"{\"m\":{\"format\":\"msgpack\",\"encrypted\":true,\"tenant_id\":\"\"}}", CKIT_FRAME_SUSPICIOUS},
    {"{\"m\":{\"format\":\"msgpack\",\"encrypted\":true,\"tenant_id\":\"t\"}}", CKIT_FRAME_READABLE},
};

static ckit_frame_verdict verdict_of(ckit_slice stored, ckit_status *st, ckit_error *err) {
    ckit_buf   scratch = CKIT_BUF_INIT;
    ckit_frame frame;
    memset(&frame, 0xee, sizeof frame);
    *st = ckit_frame_parse(stored, &frame, &scratch, err);
    CHECK((*st == CKIT_OK) == (frame.verdict == CKIT_FRAME_READABLE));
    ckit_buf_fini(&scratch);
    return frame.verdict;
}

CKIT_TEST(frame, other_spellings_get_the_right_verdict) {
    for (size_t i = 0; i < COUNT(spellings); i++) {
        ckit_buf           stored = make_frame(S(spellings[i].header), S("payload"));
        ckit_error         err = CKIT_ERROR_INIT;
        ckit_status        st;
        ckit_frame_verdict verdict = verdict_of(ckit_buf_slice(&stored), &st, &err);
        CHECKF(verdict == spellings[i].verdict, "%s: verdict %d, %s", spellings[i].header, (int)verdict, err.text);
        CHECKF(st == CKIT_OK || st == CKIT_E_DECODE, "%s: %s", spellings[i].header, ckit_status_name(st));
        ckit_buf_fini(&stored);
    }
}

CKIT_TEST(frame, what_is_no_frame_gets_the_right_verdict) {
    static const struct {
        const char        *hex;
        ckit_status        status;
        ckit_frame_verdict verdict;
        const char        *text;
    } rows[] = {
        {"", CKIT_E_DECODE, CKIT_FRAME_MALFORMED, "not JSON"},
        {"43", CKIT_E_DECODE, CKIT_FRAME_MALFORMED, "not JSON"},
        {"434b", CKIT_E_TRUNCATED, CKIT_FRAME_MALFORMED, "2 bytes"},
        {"434b03000000", CKIT_E_TRUNCATED, CKIT_FRAME_MALFORMED, "needs 7"},
        {"434b0300000001", CKIT_E_TRUNCATED, CKIT_FRAME_MALFORMED, "needs 8"},
        {"434b03ffffffff7b7d", CKIT_E_TRUNCATED, CKIT_FRAME_MALFORMED, "needs 4294967302"},
        {"434b02000000027b7d", CKIT_E_DECODE, CKIT_FRAME_MALFORMED, "version 2"},
        {"434b01000000000000006553f100", CKIT_E_DECODE, CKIT_FRAME_MALFORMED, "cache file"},
        {"434b03000000027b7d", CKIT_E_DECODE, CKIT_FRAME_CORRUPT, "m is missing"},
        {"82a161", CKIT_E_DECODE, CKIT_FRAME_MALFORMED, "not UTF-8"},
        {"7b7d", CKIT_E_DECODE, CKIT_FRAME_CORRUPT, "no data"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_error         err = CKIT_ERROR_INIT;
        ckit_status        st;
        ckit_frame_verdict verdict = verdict_of(hex_slice(rows[i].hex), &st, &err);
        CHECKF(st == rows[i].status && verdict == rows[i].verdict, "row %zu: %s, verdict %d, %s", i,
               ckit_status_name(st), (int)verdict, err.text);
        CHECK_CONTAINS(rows[i].text, err.text);
    }
}

CKIT_TEST(frame, legacy_texts_get_the_right_verdict) {
    static const struct {
        const char        *text;
        ckit_frame_verdict verdict;
    } rows[] = {
        {"{\"data\":\"\",\"metadata\":{\"format\":\"msgpack\"}}", CKIT_FRAME_READABLE},
        {"{\"data\":\"wA==\\n\",\"metadata\":{\"format\":\"msgpack\"},\"serializer\":\"x\"}", CKIT_FRAME_READABLE},
        {"{\"data\":\"w*==\",\"metadata\":{\"format\":\"msgpack\"}}", CKIT_FRAME_CORRUPT},
        {"{\"data\":\"wA=\",\"metadata\":{\"format\":\"msgpack\"}}", CKIT_FRAME_CORRUPT},
        {"{\"data\":5,\"metadata\":{\"format\":\"msgpack\"}}", CKIT_FRAME_CORRUPT},
        {"{\"metadata\":{\"format\":\"msgpack\"}}", CKIT_FRAME_CORRUPT},
        {"{\"data\":\"wA==\"}", CKIT_FRAME_CORRUPT},
        {"{\"data\":\"wA==\",\"metadata\":{}}", CKIT_FRAME_CORRUPT},
        {"{\"data\":\"wA==\",\"metadata\":{\"format\":\"pickle\"}}", CKIT_FRAME_MALFORMED},
        {"[]", CKIT_FRAME_CORRUPT},
        {"12", CKIT_FRAME_CORRUPT},
        {"plain text", CKIT_FRAME_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_error         err = CKIT_ERROR_INIT;
        ckit_status        st;
        ckit_frame_verdict verdict = verdict_of(S(rows[i].text), &st, &err);
        CHECKF(verdict == rows[i].verdict, "%s: verdict %d, %s", rows[i].text, (int)verdict, err.text);
    }
}

CKIT_TEST(frame, texts_are_escaped_as_python_escapes_them) {
    static const char name[] =
        "q\" b\\ n\n r\r t\t b\b f\f u\x01\x1f d\x7f \xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x98\x80 0\0.";
    static const char header[] =
        "{\"s\": \"q\\\" b\\\\ n\\n r\\r t\\t b\\b f\\f u\\u0001\\u001f d\x7f \xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x98\x80 "
        "0\\u0000.\", \"m\": {\"format\": \"arrow\", \"encoding\": \"utf-8\", \"compressed\": false, "
        "\"original_type\": null}, \"v\": \"2.0\"}";
    ckit_frame frame = {.serializer = S_LITERAL(name), .format = S("arrow"), .payload = S("payload")}, back;
    ckit_buf   expected = make_frame(S(header), S("payload")), written = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
    CHECK_OK(ckit_frame_write(&frame, &written, NULL));
    CHECK_BYTES(ckit_buf_slice(&expected), ckit_buf_slice(&written));
    CHECK_OK(ckit_frame_parse(ckit_buf_slice(&written), &back, &scratch, NULL));
    CHECK_BYTES(S_LITERAL(name), back.serializer);
    CHECK(!back.has_original_type);
    ckit_buf_fini(&expected);
    ckit_buf_fini(&written);
    ckit_buf_fini(&scratch);
}

CKIT_TEST(frame, a_payload_may_be_appended_afterwards) {
    ckit_frame frame = {.serializer = S("default"), .format = S("msgpack")}, back;
    ckit_buf   out = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
    CHECK_OK(ckit_frame_write(&frame, &out, NULL));
    CHECK_OK(ckit_buf_append(&out, S("later")));
    CHECK_OK(ckit_frame_parse(ckit_buf_slice(&out), &back, &scratch, NULL));
    CHECK_TEXT("later", back.payload);
    ckit_buf_fini(&out);
    ckit_buf_fini(&scratch);
}

CKIT_TEST(frame, a_frame_that_nobody_could_read_is_not_written) {
    ckit_frame frame = {.format = S("msgpack")};
    ckit_buf   out = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_frame_write(&frame, &out, &err), &err);
    frame = (ckit_frame){.serializer = S("default")};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_frame_write(&frame, &out, NULL));
    frame = (ckit_frame){.serializer = S("default"), .format = S("msgpack"), .encrypted = true};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_frame_write(&frame, &out, NULL));
    frame = (ckit_frame){.serializer = S("\xff"), .format = S("msgpack")};
    CHECK_STATUS(CKIT_E_MISUSE, ckit_frame_write(&frame, &out, NULL));
    CHECK_EQ_U(0, out.len);
    ckit_buf_fini(&out);
}

CKIT_TEST(frame, the_header_limit_is_the_same_for_writing_and_reading) {
    char *name = malloc(CKIT_FRAME_MAX_HEADER_BYTES + 1);
    CHECK(name != NULL);
    memset(name, 'n', CKIT_FRAME_MAX_HEADER_BYTES + 1);
    ckit_buf   out = CKIT_BUF_INIT, scratch = CKIT_BUF_INIT;
    ckit_frame frame = {.serializer = S("default"), .format = S("msgpack")}, back;
    CHECK_OK(ckit_frame_write(&frame, &out, NULL));
    size_t room = CKIT_FRAME_MAX_HEADER_BYTES - (out.len - 7) + strlen("default");
    out.len = 0;
    frame.serializer = (ckit_slice){(const uint8_t *)name, room};
    CHECK_OK(ckit_frame_write(&frame, &out, NULL));
    CHECK_OK(ckit_frame_parse(ckit_buf_slice(&out), &back, &scratch, NULL));
    CHECK_BYTES(frame.serializer, back.serializer);
    out.len = 0;
    frame.serializer.len++;
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckit_frame_write(&frame, &out, NULL));
    frame.serializer.len = CKIT_FRAME_MAX_HEADER_BYTES + 1;
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckit_frame_write(&frame, &out, NULL));
    CHECK_EQ_U(0, out.len);
    ckit_buf    large = make_frame(frame.serializer, S(""));
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st;
    CHECK_EQ_I(CKIT_FRAME_MALFORMED, verdict_of(ckit_buf_slice(&large), &st, &err));
    CHECK_CONTAINS("limit 65536", err.text);
    ckit_buf_fini(&large);
    ckit_buf_fini(&out);
    ckit_buf_fini(&scratch);
    free(name);
}

static ckit_frame_verdict verdict_of_repeated(const char *begin, const char *piece, size_t count, const char *end) {
    ckit_buf text = CKIT_BUF_INIT;
    CHECK_OK(ckit_buf_append(&text, S(begin)));
    for (size_t i = 0; i < count; i++)
        CHECK_OK(ckit_buf_append(&text, S(piece)));
    CHECK_OK(ckit_buf_append(&text, S(end)));
    ckit_status        st;
    ckit_frame_verdict verdict = verdict_of(ckit_buf_slice(&text), &st, NULL);
    ckit_buf_fini(&text);
    return verdict;
}

CKIT_TEST(frame, structure_beyond_any_header_is_refused) {
    static const char head[] = "{\"data\":\"\",\"metadata\":{\"format\":\"msgpack\"},\"x\":[0";
    CHECK_EQ_I(CKIT_FRAME_READABLE, verdict_of_repeated(head, ",[]", 1000, "]}"));
    CHECK_EQ_I(CKIT_FRAME_MALFORMED, verdict_of_repeated(head, ",[]", 1100, "]}"));
    CHECK_EQ_I(CKIT_FRAME_READABLE, verdict_of_repeated(head, ",1", 30000, "]}"));
    CHECK_EQ_I(CKIT_FRAME_MALFORMED, verdict_of_repeated(head, ",1", 40000, "]}"));
    CHECK_EQ_I(CKIT_FRAME_MALFORMED, verdict_of_repeated(head, ",[", 100, "]}"));
    CHECK_EQ_I(CKIT_FRAME_MALFORMED, verdict_of_repeated("", "[", 40, "]"));
    CHECK_EQ_I(CKIT_FRAME_READABLE,
               verdict_of_repeated("{\"metadata\":{\"format\":\"msgpack\"},\"data\":\"", "AAAA", 300000, "\"}"));
}

/* Parses bytes in a block of exactly their size; slices must lie in it, in the scratch or in static text. */
static void check_damaged(ckit_slice bytes) {
    uint8_t *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
    CHECK(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    ckit_buf    scratch = CKIT_BUF_INIT;
    ckit_frame  frame;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_status st = ckit_frame_parse((ckit_slice){copy, bytes.len}, &frame, &scratch, &err);
    if (st == CKIT_OK) {
        if (!frame.legacy) CHECK(frame.payload.ptr + frame.payload.len == copy + bytes.len);
        CHECK(frame.format.len >= 5);
    } else {
        CHECK(err.status == st && frame.verdict != CKIT_FRAME_READABLE && frame.payload.ptr == NULL);
    }
    ckit_buf_fini(&scratch);
    free(copy);
}

static void check_all_damage(ckit_slice whole) {
    uint8_t *bytes = malloc(whole.len);
    CHECK(bytes != NULL);
    memcpy(bytes, whole.ptr, whole.len);
    for (size_t len = 0; len <= whole.len; len++)
        check_damaged((ckit_slice){whole.ptr, len});
    for (size_t at = 0; at < whole.len; at++) {
        for (unsigned change = 1; change < 256; change += 2) {
            bytes[at] = (uint8_t)(whole.ptr[at] ^ change);
            check_damaged((ckit_slice){bytes, whole.len});
        }
        bytes[at] = whole.ptr[at];
    }
    free(bytes);
}

CKIT_TEST(frame, prefixes_and_changed_bytes_are_survived) {
    const released_frame *frames[] = {&plain[0], &plain[1], &encrypted[0]};
    for (size_t i = 0; i < COUNT(frames); i++) {
        ckit_buf stored = make_frame(S(frames[i]->header), hex_slice(frames[i]->payload));
        check_all_damage(ckit_buf_slice(&stored));
        ckit_buf_fini(&stored);
    }
    check_all_damage(S(legacy_text));
}

CKIT_TEST(frame, a_failing_allocation_decides_nothing) {
    for (uint64_t n = 0;; n++) {
        failing_alloc fa;
        failing_alloc_init(&fa, n);
        ckit_buf    scratch = {.alloc = &fa.alloc}, out = {.alloc = &fa.alloc};
        ckit_frame  frame;
        ckit_status st = ckit_frame_parse(S(legacy_text), &frame, &scratch, NULL);
        if (st != CKIT_OK) CHECK_EQ_I(CKIT_FRAME_UNDECIDED, frame.verdict);
        if (st == CKIT_OK) st = ckit_frame_write(&frame, &out, NULL);
        CHECK_STATUS(failing_alloc_has_failed(&fa) ? CKIT_E_NO_MEMORY : CKIT_OK, st);
        ckit_buf_fini(&scratch);
        ckit_buf_fini(&out);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) break;
    }
}
