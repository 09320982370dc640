/* MessagePack written and read: every width, every limit, every kind of damage. Of msgpack_read.c, msgpack_text.c and
 * msgpack_write.c. */
#include <cachekit/buf.h>
#include <cachekit/msgpack.h>

#include "format/msgpack_tokens.h"
#include "support/hex.h"
#include "support/test.h"

#include <math.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static ckit_status skip_all(ckit_slice input, ckit_error *err) {
    ckit_reader r;
    ckit_reader_init(&r, input);
    ckit_read_skip(&r);
    return ckit_reader_finish(&r, err);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

CKIT_TEST(msgpack, integers_take_the_shortest_form_and_come_back) {
    static const struct {
        int64_t     value;
        const char *hex;
    } rows[] = {
        {0, "00"},
        {127, "7f"},
        {128, "cc80"},
        {255, "ccff"},
        {256, "cd0100"},
        {65535, "cdffff"},
        {65536, "ce00010000"},
        {INT64_C(4294967295), "ceffffffff"},
        {INT64_C(4294967296), "cf0000000100000000"},
        {INT64_MAX, "cf7fffffffffffffff"},
        {-1, "ff"},
        {-32, "e0"},
        {-33, "d0df"},
        {-128, "d080"},
        {-129, "d1ff7f"},
        {-32768, "d18000"},
        {-32769, "d2ffff7fff"},
        {INT64_C(-2147483648), "d280000000"},
        {INT64_C(-2147483649), "d3ffffffff7fffffff"},
        {INT64_MIN, "d38000000000000000"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf    buf = CKIT_BUF_INIT;
        ckit_writer w;
        ckit_reader r;
        ckit_writer_init(&w, &buf);
        ckit_write_int(&w, rows[i].value);
        CHECK_OK(ckit_writer_finish(&w, NULL));
        CHECK_BYTES(hex_slice(rows[i].hex), ckit_buf_slice(&buf));
        ckit_reader_init(&r, ckit_buf_slice(&buf));
        CHECK_EQ_U(rows[i].value < 0 ? CKIT_TYPE_INT : CKIT_TYPE_UINT, ckit_reader_peek(&r));
        CHECK_EQ_I(rows[i].value, ckit_read_int(&r));
        CHECK_OK(ckit_reader_finish(&r, NULL));
        if (rows[i].value >= 0) {
            buf.len = 0;
            ckit_writer_init(&w, &buf);
            ckit_write_uint(&w, (uint64_t)rows[i].value);
            CHECK_OK(ckit_writer_finish(&w, NULL));
            CHECK_BYTES(hex_slice(rows[i].hex), ckit_buf_slice(&buf));
        }
        ckit_buf_fini(&buf);
    }
}

CKIT_TEST(msgpack, the_largest_unsigned_integer_is_out_of_the_signed_range) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_reader r;
    ckit_writer_init(&w, &buf);
    ckit_write_uint(&w, UINT64_MAX);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    CHECK_BYTES(hex_slice("cfffffffffffffffff"), ckit_buf_slice(&buf));
    ckit_reader_init(&r, ckit_buf_slice(&buf));
    CHECK_EQ_U(UINT64_MAX, ckit_read_uint(&r));
    CHECK_OK(ckit_reader_finish(&r, NULL));
    ckit_reader_init(&r, ckit_buf_slice(&buf));
    CHECK_EQ_I(0, ckit_read_int(&r));
    CHECK_STATUS(CKIT_E_DECODE, ckit_reader_finish(&r, NULL));
    ckit_buf_fini(&buf);
}

CKIT_TEST(msgpack, any_encoding_of_a_number_is_read) {
    static const struct {
        const char *hex;
        ckit_type   type;
        int64_t     value;
    } rows[] = {
        {"cc00", CKIT_TYPE_UINT, 0},         {"cd0005", CKIT_TYPE_UINT, 5},
        {"ce00000005", CKIT_TYPE_UINT, 5},   {"cf0000000000000005", CKIT_TYPE_UINT, 5},
        {"d005", CKIT_TYPE_UINT, 5},         {"d1007f", CKIT_TYPE_UINT, 127},
        {"d200000080", CKIT_TYPE_UINT, 128}, {"d37fffffffffffffff", CKIT_TYPE_UINT, INT64_MAX},
        {"d0ff", CKIT_TYPE_INT, -1},         {"d1ffff", CKIT_TYPE_INT, -1},
        {"d2ffffffff", CKIT_TYPE_INT, -1},   {"d3ffffffffffffffff", CKIT_TYPE_INT, -1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_reader r;
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        CHECK_EQ_U(rows[i].type, ckit_reader_peek(&r));
        CHECK_EQ_I(rows[i].value, ckit_read_int(&r));
        CHECK_OK(ckit_reader_finish(&r, NULL));
    }
}

CKIT_TEST(msgpack, a_negative_integer_is_no_unsigned_one) {
    ckit_reader r;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_reader_init(&r, hex_slice("ff"));
    CHECK_EQ_U(0, ckit_read_uint(&r));
    CHECK_STATUS_ERR(CKIT_E_DECODE, ckit_reader_finish(&r, &err), &err);
}

CKIT_TEST(msgpack, floats_are_64_bits_and_keep_every_bit) {
    static const struct {
        uint64_t    bits;
        const char *hex;
    } rows[] = {
        {UINT64_C(0x0000000000000000), "cb0000000000000000"}, {UINT64_C(0x8000000000000000), "cb8000000000000000"},
        {UINT64_C(0x3ff0000000000000), "cb3ff0000000000000"}, {UINT64_C(0x7ff0000000000000), "cb7ff0000000000000"},
        {UINT64_C(0xfff0000000000000), "cbfff0000000000000"}, {UINT64_C(0x7ff8000000000000), "cb7ff8000000000000"},
        {UINT64_C(0xfff8000000000123), "cbfff8000000000123"}, {UINT64_C(0x0000000000000001), "cb0000000000000001"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf    buf = CKIT_BUF_INIT;
        ckit_writer w;
        ckit_reader r;
        double      value;
        memcpy(&value, &rows[i].bits, sizeof value);
        ckit_writer_init(&w, &buf);
        ckit_write_double(&w, value);
        CHECK_OK(ckit_writer_finish(&w, NULL));
        CHECK_BYTES(hex_slice(rows[i].hex), ckit_buf_slice(&buf));
        ckit_reader_init(&r, ckit_buf_slice(&buf));
        CHECK_EQ_U(CKIT_TYPE_DOUBLE, ckit_reader_peek(&r));
        value = ckit_read_double(&r);
        CHECK(memcmp(&value, &rows[i].bits, sizeof value) == 0);
        CHECK_OK(ckit_reader_finish(&r, NULL));
        ckit_buf_fini(&buf);
    }
}

CKIT_TEST(msgpack, floats_of_32_bits_are_widened) {
    static const struct {
        const char *hex;
        double      value;
    } rows[] = {{"ca3fc00000", 1.5}, {"ca80000000", -0.0}, {"ca7f800000", INFINITY}, {"ca00000001", 0x1p-149}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_reader r;
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        CHECK_EQ_U(CKIT_TYPE_DOUBLE, ckit_reader_peek(&r));
        const double value = ckit_read_double(&r);
        CHECK(memcmp(&rows[i].value, &value, sizeof value) == 0);
        CHECK_OK(ckit_reader_finish(&r, NULL));
    }
    ckit_reader r;
    ckit_reader_init(&r, hex_slice("ca7fc00000"));
    CHECK(isnan(ckit_read_double(&r)));
}

static const struct {
    uint32_t    len;
    const char *str;
    const char *bin;
    const char *array;
    const char *map;
} heads[] = {
    {0, "a0", "c400", "90", "80"},
    {15, "af", "c40f", "9f", "8f"},
    {16, "b0", "c410", "dc0010", "de0010"},
    {31, "bf", "c41f", "dc001f", "de001f"},
    {32, "d920", "c420", "dc0020", "de0020"},
    {255, "d9ff", "c4ff", "dc00ff", "de00ff"},
    {256, "da0100", "c50100", "dc0100", "de0100"},
    {65535, "daffff", "c5ffff", "dcffff", "deffff"},
    {65536, "db00010000", "c600010000", "dd00010000", "df00010000"},
};

static void check_head(const char *hex, const ckit_buf *buf) {
    const ckit_slice head = hex_slice(hex);
    CHECK(buf->len >= head.len);
    CHECK_BYTES(head, ckit_slice_of(buf->ptr, head.len));
}

CKIT_TEST(msgpack, text_and_bytes_take_the_shortest_head_and_come_back) {
    uint8_t *content = malloc(65536);
    CHECK(content != NULL);
    memset(content, 'x', 65536);
    for (size_t i = 0; i < COUNT(heads); i++) {
        const ckit_slice bytes = ckit_slice_of(content, heads[i].len);
        ckit_buf         buf = CKIT_BUF_INIT;
        ckit_writer      w;
        ckit_reader      r;
        ckit_writer_init(&w, &buf);
        ckit_write_str(&w, bytes);
        CHECK_OK(ckit_writer_finish(&w, NULL));
        check_head(heads[i].str, &buf);
        ckit_reader_init(&r, ckit_buf_slice(&buf));
        CHECK_BYTES(bytes, ckit_read_str(&r));
        CHECK_OK(ckit_reader_finish(&r, NULL));
        buf.len = 0;
        ckit_writer_init(&w, &buf);
        ckit_write_bin(&w, bytes);
        CHECK_OK(ckit_writer_finish(&w, NULL));
        check_head(heads[i].bin, &buf);
        ckit_reader_init(&r, ckit_buf_slice(&buf));
        CHECK_BYTES(bytes, ckit_read_bin(&r));
        CHECK_OK(ckit_reader_finish(&r, NULL));
        ckit_buf_fini(&buf);
    }
    free(content);
}

CKIT_TEST(msgpack, arrays_and_maps_take_the_shortest_head_and_come_back) {
    for (size_t i = 0; i < COUNT(heads); i++) {
        for (int map = 0; map <= 1; map++) {
            ckit_buf    buf = CKIT_BUF_INIT;
            ckit_writer w;
            ckit_reader r;
            ckit_writer_init(&w, &buf);
            if (map) {
                ckit_write_map(&w, heads[i].len);
            } else {
                ckit_write_array(&w, heads[i].len);
            }
            for (uint32_t n = 0; n < heads[i].len * (map ? 2 : 1); n++) {
                ckit_write_nil(&w);
            }
            CHECK_OK(ckit_writer_finish(&w, NULL));
            check_head(map ? heads[i].map : heads[i].array, &buf);
            ckit_reader_init(&r, ckit_buf_slice(&buf));
            CHECK_EQ_U(heads[i].len, map ? ckit_read_map(&r) : ckit_read_array(&r));
            CHECK_OK(skip_all(ckit_buf_slice(&buf), NULL));
            ckit_buf_fini(&buf);
        }
    }
}

CKIT_TEST(msgpack, a_document_of_every_type_is_written_byte_for_byte) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_writer_init(&w, &buf);
    ckit_write_map(&w, 3);
    ckit_write_cstr(&w, "b");
    ckit_write_array(&w, 4);
    ckit_write_nil(&w);
    ckit_write_bool(&w, true);
    ckit_write_bool(&w, false);
    ckit_write_double(&w, 1.5);
    ckit_write_cstr(&w, "a");
    ckit_write_raw(&w, hex_slice("9201a178"));
    ckit_write_bin(&w, S_LITERAL("\x00\xff"));
    ckit_write_map(&w, 0);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    CHECK_BYTES(hex_slice("83 a162 94 c0 c3 c2 cb3ff8000000000000 a161 92 01 a178 c40200ff 80"), ckit_buf_slice(&buf));
    ckit_buf_fini(&buf);
}

CKIT_TEST(msgpack, a_value_is_written_behind_what_the_buffer_holds) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_writer w;
    CHECK_OK(ckit_buf_append(&buf, S("head")));
    ckit_writer_init(&w, &buf);
    ckit_write_int(&w, 1);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    CHECK_BYTES(S("head\x01"), ckit_buf_slice(&buf));
    ckit_buf_fini(&buf);
}

static void write_nothing(ckit_writer *w) { (void)w; }
static void write_two(ckit_writer *w) {
    ckit_write_nil(w);
    ckit_write_nil(w);
}
static void write_open_array(ckit_writer *w) {
    ckit_write_array(w, 2);
    ckit_write_nil(w);
}
static void write_map_without_its_last_value(ckit_writer *w) {
    ckit_write_map(w, 1);
    ckit_write_nil(w);
}
static void write_behind_a_complete_map(ckit_writer *w) {
    ckit_write_map(w, 1);
    ckit_write_cstr(w, "a");
    ckit_write_array(w, 1);
    ckit_write_nil(w);
    ckit_write_cstr(w, "b");
}
static void write_latin1(ckit_writer *w) { ckit_write_str(w, S_LITERAL("caf\xe9")); }
static void write_surrogate(ckit_writer *w) { ckit_write_str(w, S_LITERAL("\xed\xa0\x80")); }
static void write_truncated_raw(ckit_writer *w) { ckit_write_raw(w, hex_slice("92 01")); }
static void write_two_raw(ckit_writer *w) { ckit_write_raw(w, hex_slice("01 02")); }
static void write_empty_raw(ckit_writer *w) { ckit_write_raw(w, S("")); }
static void write_bad_raw(ckit_writer *w) { ckit_write_raw(w, hex_slice("91 c1")); }
static void write_over_limit(ckit_writer *w) {
    w->max_bytes = 8;
    ckit_write_double(w, 1);
}
static void write_text_over_limit(ckit_writer *w) {
    w->max_bytes = 8;
    ckit_write_cstr(w, "12345678");
}
static void write_claimed_bytes(ckit_writer *w) {
    /* The bytes are not there: the length alone is refused, before anything is looked at. */
    ckit_write_bin(w, ckit_slice_of("", (size_t)UINT32_MAX + 1));
}

CKIT_TEST(msgpack, a_writer_refuses_what_is_not_one_value_and_leaves_the_buffer_as_it_was) {
    static const struct {
        const char *name;
        void (*write)(ckit_writer *w);
        ckit_status status;
    } rows[] = {
        {"no value", write_nothing, CKIT_E_MISUSE},
        {"two values", write_two, CKIT_E_MISUSE},
        {"an open array", write_open_array, CKIT_E_MISUSE},
        {"a map without its last value", write_map_without_its_last_value, CKIT_E_MISUSE},
        {"a value behind a complete map", write_behind_a_complete_map, CKIT_E_MISUSE},
        {"text in another encoding", write_latin1, CKIT_E_VALUE_TYPE},
        {"a surrogate", write_surrogate, CKIT_E_VALUE_TYPE},
        {"an encoded value that ends early", write_truncated_raw, CKIT_E_TRUNCATED},
        {"two encoded values", write_two_raw, CKIT_E_TRAILING},
        {"no encoded value", write_empty_raw, CKIT_E_TRUNCATED},
        {"an encoded value that is none", write_bad_raw, CKIT_E_DECODE},
        {"more bytes than allowed", write_over_limit, CKIT_E_TOO_LARGE},
        {"more text than allowed", write_text_over_limit, CKIT_E_TOO_LARGE},
        {"more bytes than a length can say", write_claimed_bytes, CKIT_E_TOO_LARGE},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf    buf = CKIT_BUF_INIT;
        ckit_writer w;
        ckit_error  err = CKIT_ERROR_INIT;
        CHECK_OK(ckit_buf_append(&buf, S("before")));
        ckit_writer_init(&w, &buf);
        rows[i].write(&w);
        const ckit_status st = ckit_writer_finish(&w, &err);
        CHECKF(st == rows[i].status, "%s: %s", rows[i].name, err.text);
        CHECK_EQ_U(st, err.status);
        CHECK_BYTES(S("before"), ckit_buf_slice(&buf));
        ckit_write_nil(&w);
        CHECK_STATUS(st, ckit_writer_finish(&w, NULL));
        CHECK_BYTES(S("before"), ckit_buf_slice(&buf));
        ckit_buf_fini(&buf);
    }
}

CKIT_TEST(msgpack, exactly_max_bytes_are_allowed) {
    ckit_buf    buf = CKIT_BUF_INIT;
    ckit_writer w;
    ckit_writer_init(&w, &buf);
    w.max_bytes = 9;
    ckit_write_cstr(&w, "12345678");
    CHECK_OK(ckit_writer_finish(&w, NULL));
    ckit_buf_fini(&buf);
}

static ckit_status write_nested(ckit_buf *buf, uint32_t depth, bool raw_inside) {
    ckit_writer w;
    ckit_writer_init(&w, buf);
    for (uint32_t i = 0; i < depth; i++) {
        if (i % 2 == 0) {
            ckit_write_array(&w, 1);
        } else {
            ckit_write_map(&w, 1);
            ckit_write_nil(&w);
        }
    }
    ckit_write_raw(&w, hex_slice(raw_inside ? "90" : "c0"));
    return ckit_writer_finish(&w, NULL);
}

CKIT_TEST(msgpack, writers_and_readers_go_512_deep_and_no_deeper) {
    ckit_buf buf = CKIT_BUF_INIT;
    CHECK_OK(write_nested(&buf, 512, false));
    CHECK_OK(skip_all(ckit_buf_slice(&buf), NULL));
    CHECK_STATUS(CKIT_E_DEPTH, write_nested(&buf, 513, false));
    CHECK_STATUS(CKIT_E_DEPTH, write_nested(&buf, 512, true));
    buf.len = 0;
    CHECK_OK(write_nested(&buf, 511, true));
    CHECK_OK(skip_all(ckit_buf_slice(&buf), NULL));
    ckit_buf_fini(&buf);

    uint8_t deep[514];
    memset(deep, 0x91, sizeof deep);
    deep[513] = 0xc0;
    CHECK_STATUS(CKIT_E_DEPTH, skip_all(S_ARRAY(deep), NULL));
    CHECK_OK(skip_all(ckit_slice_of(deep + 1, 513), NULL));
    ckit_reader r;
    ckit_reader_init(&r, S_ARRAY(deep));
    msgpack_copy_value(&r, NULL);
    CHECK_STATUS(CKIT_E_DEPTH, ckit_reader_finish(&r, NULL));
}

CKIT_TEST(msgpack, a_reader_can_be_told_a_smaller_depth) {
    static const struct {
        uint32_t    max_depth;
        const char *hex;
        ckit_status status;
    } rows[] = {
        {0, "c0", CKIT_OK},          {0, "90", CKIT_E_DEPTH},   {1, "90", CKIT_OK},
        {1, "91c0", CKIT_OK},        {1, "9190", CKIT_E_DEPTH}, {2, "9190", CKIT_OK},
        {1, "929090", CKIT_E_DEPTH}, {2, "93909080", CKIT_OK},  {9999, "9191919191c0", CKIT_OK},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_reader r;
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        r.max_depth = rows[i].max_depth;
        ckit_read_skip(&r);
        CHECK_STATUS(rows[i].status, ckit_reader_finish(&r, NULL));
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        r.max_depth = rows[i].max_depth;
        msgpack_copy_value(&r, NULL);
        CHECK_STATUS(rows[i].status, ckit_reader_finish(&r, NULL));
    }
}

/* ---- reading --------------------------------------------------------------------------------------------- */

CKIT_TEST(msgpack, bad_input_is_refused_with_the_right_status) {
    static const struct {
        const char *name;
        const char *hex;
        ckit_status status;
    } rows[] = {
        {"nothing", "", CKIT_E_TRUNCATED},
        {"the byte that begins no value", "c1", CKIT_E_DECODE},
        {"the same inside an array", "92 01 c1", CKIT_E_DECODE},
        {"fixext 1", "d4 01 00", CKIT_E_DECODE},
        {"fixext 16", "d8 01 00000000000000000000000000000000", CKIT_E_DECODE},
        {"ext 8", "c7 01 05 ff", CKIT_E_DECODE},
        {"ext 16", "c8 0001 05 ff", CKIT_E_DECODE},
        {"ext 32", "c9 00000001 05 ff", CKIT_E_DECODE},
        {"a timestamp", "d6 ff 00000000", CKIT_E_DECODE},
        {"two values", "c0 c0", CKIT_E_TRAILING},
        {"a byte behind an array", "91 01 00", CKIT_E_TRAILING},
        {"half an integer", "cd 01", CKIT_E_TRUNCATED},
        {"a float without its last byte", "cb 3ff00000000000", CKIT_E_TRUNCATED},
        {"a text without its length", "d9", CKIT_E_TRUNCATED},
        {"a text without its last byte", "a3 6162", CKIT_E_TRUNCATED},
        {"bytes without their last byte", "c4 03 6162", CKIT_E_TRUNCATED},
        {"an array without its last element", "93 01 02", CKIT_E_TRUNCATED},
        {"a map without its last value", "82 a161 01 a162", CKIT_E_TRUNCATED},
        {"a claim of 2^31 elements", "dd 7fffffff 00", CKIT_E_TRUNCATED},
        {"a claim of 2^32-1 pairs", "df ffffffff 0000", CKIT_E_TRUNCATED},
        {"a claim of 65535 elements inside", "91 dc ffff 00", CKIT_E_TRUNCATED},
        {"one pair more than bytes", "82 01 02 03", CKIT_E_TRUNCATED},
        {"a claim of 2^32-1 bytes", "c6 ffffffff 00", CKIT_E_TRUNCATED},
        {"a claim of 2^32-1 bytes of text", "db ffffffff 61", CKIT_E_TRUNCATED},
        {"a continuation byte alone", "a1 80", CKIT_E_DECODE},
        {"a lead byte alone", "a1 c3", CKIT_E_DECODE},
        {"two of three bytes", "a2 e282", CKIT_E_DECODE},
        {"overlong slash of two bytes", "a2 c0af", CKIT_E_DECODE},
        {"overlong c1", "a2 c1bf", CKIT_E_DECODE},
        {"overlong of three bytes", "a3 e09fbf", CKIT_E_DECODE},
        {"overlong of four bytes", "a4 f08fbfbf", CKIT_E_DECODE},
        {"a lone high surrogate", "a3 eda080", CKIT_E_DECODE},
        {"a lone low surrogate", "a3 edbfbf", CKIT_E_DECODE},
        {"a pair of surrogates (CESU-8)", "a6 eda081edb080", CKIT_E_DECODE},
        {"above U+10FFFF", "a4 f4908080", CKIT_E_DECODE},
        {"lead byte f5", "a4 f5808080", CKIT_E_DECODE},
        {"lead byte ff", "a1 ff", CKIT_E_DECODE},
        {"bad text as a key", "81 a1 ff 01", CKIT_E_DECODE},
        {"bad text behind eight good bytes", "a9 6162636465666768 ff", CKIT_E_DECODE},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_error        err = CKIT_ERROR_INIT;
        const ckit_status st = skip_all(hex_slice(rows[i].hex), &err);
        CHECKF(st == rows[i].status, "%s: %s %s", rows[i].name, ckit_status_name(st), err.text);
        CHECK_EQ_U(rows[i].status, err.status);
        ckit_reader r;
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        msgpack_copy_value(&r, NULL);
        CHECKF(ckit_reader_finish(&r, NULL) == st, "%s, token by token", rows[i].name);
    }
}

CKIT_TEST(msgpack, a_count_beyond_the_input_is_refused_at_the_head) {
    static const struct {
        const char *hex;
        uint32_t    count; /* 0: refused */
    } rows[] = {{"92 01 02", 2}, {"92 01", 0}, {"dc0002 01 02", 2}, {"dc0002 01", 0}, {"81 01 02", 1}, {"81 01", 0}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_reader r;
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        const bool map = ckit_reader_peek(&r) == CKIT_TYPE_MAP;
        CHECK_EQ_U(rows[i].count, map ? ckit_read_map(&r) : ckit_read_array(&r));
        CHECK_STATUS(rows[i].count == 0 ? CKIT_E_TRUNCATED : CKIT_OK, r.status);
    }
}

CKIT_TEST(msgpack, well_formed_text_of_every_length_is_read) {
    static const char *const rows[] = {"a0",
                                       "a100",
                                       "a17f",
                                       "a2c280",
                                       "a2dfbf",
                                       "a3e0a080",
                                       "a3ed9fbf",
                                       "a3ee8080",
                                       "a3efbfbf",
                                       "a4f0908080",
                                       "a4f48fbfbf",
                                       "af 6162636465666768 e282ac 6a6b 6c6d",
                                       "aa 6162636465666768 c3a9"};
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK_OK(skip_all(hex_slice(rows[i]), NULL));
    }
}

CKIT_TEST(msgpack, nothing_is_converted_to_the_type_asked_for) {
    static const char *const values[] = {"c0", "c3", "ff", "05", "cb3ff0000000000000", "a161", "c40161", "90", "80"};
    static const ckit_type types[] = {CKIT_TYPE_NIL, CKIT_TYPE_BOOL, CKIT_TYPE_INT,   CKIT_TYPE_UINT, CKIT_TYPE_DOUBLE,
                                      CKIT_TYPE_STR, CKIT_TYPE_BIN,  CKIT_TYPE_ARRAY, CKIT_TYPE_MAP};
    for (size_t i = 0; i < COUNT(values); i++) {
        for (size_t ask = 0; ask < COUNT(types); ask++) {
            ckit_reader r;
            ckit_error  err = CKIT_ERROR_INIT;
            ckit_reader_init(&r, hex_slice(values[i]));
            CHECK_EQ_U(types[i], ckit_reader_peek(&r));
            switch (types[ask]) {
            case CKIT_TYPE_NIL: ckit_read_nil(&r); break;
            case CKIT_TYPE_BOOL: (void)ckit_read_bool(&r); break;
            case CKIT_TYPE_INT: (void)ckit_read_int(&r); break;
            case CKIT_TYPE_UINT: (void)ckit_read_uint(&r); break;
            case CKIT_TYPE_DOUBLE: (void)ckit_read_double(&r); break;
            case CKIT_TYPE_STR: (void)ckit_read_str(&r); break;
            case CKIT_TYPE_BIN: (void)ckit_read_bin(&r); break;
            case CKIT_TYPE_ARRAY: (void)ckit_read_array(&r); break;
            default: (void)ckit_read_map(&r); break;
            }
            ckit_status expected = types[i] == types[ask] ? CKIT_OK : CKIT_E_VALUE_TYPE;
            if (types[i] == CKIT_TYPE_UINT && types[ask] == CKIT_TYPE_INT) {
                expected = CKIT_OK;
            } else if (types[i] == CKIT_TYPE_INT && types[ask] == CKIT_TYPE_UINT) {
                expected = CKIT_E_DECODE;
            }
            CHECK_STATUS_ERR(expected, ckit_reader_finish(&r, &err), &err);
        }
    }
}

CKIT_TEST(msgpack, a_failure_of_type_says_what_was_there_and_where) {
    ckit_reader r;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_reader_init(&r, hex_slice("92 01 a161"));
    CHECK_EQ_U(2, ckit_read_array(&r));
    CHECK_EQ_I(1, ckit_read_int(&r));
    CHECK_EQ_I(0, ckit_read_int(&r));
    CHECK_STATUS_ERR(CKIT_E_VALUE_TYPE, ckit_reader_finish(&r, &err), &err);
    CHECK_STR("msgpack", err.where);
    CHECK_STR("text at offset 2 where an integer was expected", err.text);
}

CKIT_TEST(msgpack, after_a_failure_everything_reads_as_zero) {
    ckit_reader r;
    ckit_reader_init(&r, hex_slice("c1 01 02 03"));
    CHECK_EQ_I(0, ckit_read_int(&r));
    CHECK_EQ_U(CKIT_TYPE_INVALID, ckit_reader_peek(&r));
    ckit_read_nil(&r);
    ckit_read_skip(&r);
    CHECK(!ckit_read_bool(&r));
    CHECK_EQ_I(0, ckit_read_int(&r));
    CHECK_EQ_U(0, ckit_read_uint(&r));
    CHECK(ckit_read_double(&r) <= 0 && ckit_read_double(&r) >= 0);
    CHECK_EQ_U(0, ckit_read_str(&r).len);
    CHECK_EQ_U(0, ckit_read_bin(&r).len);
    CHECK_EQ_U(0, ckit_read_array(&r));
    CHECK_EQ_U(0, ckit_read_map(&r));
    CHECK_EQ_U(0, ckit_read_raw(&r).len);
    ckit_reader_fail(&r, CKIT_E_TOO_LARGE, "too late");
    CHECK_STATUS(CKIT_E_DECODE, ckit_reader_finish(&r, NULL));
}

CKIT_TEST(msgpack, what_is_not_read_is_trailing) {
    ckit_reader r;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_reader_init(&r, hex_slice("93 01 02 03"));
    CHECK_EQ_U(3, ckit_read_array(&r));
    CHECK_EQ_I(1, ckit_read_int(&r));
    CHECK_STATUS_ERR(CKIT_E_TRAILING, ckit_reader_finish(&r, &err), &err);
    CHECK_CONTAINS("2 bytes", err.text);
}

CKIT_TEST(msgpack, raw_values_are_exactly_their_bytes) {
    ckit_reader r;
    ckit_reader_init(&r, hex_slice("94 c0 92 01 a161 81 a162 90 cd0001"));
    CHECK_EQ_U(4, ckit_read_array(&r));
    CHECK_BYTES(hex_slice("c0"), ckit_read_raw(&r));
    CHECK_BYTES(hex_slice("92 01 a161"), ckit_read_raw(&r));
    CHECK_BYTES(hex_slice("81 a162 90"), ckit_read_raw(&r));
    CHECK_BYTES(hex_slice("cd0001"), ckit_read_raw(&r));
    CHECK_EQ_U(CKIT_TYPE_END, ckit_reader_peek(&r));
    CHECK_OK(ckit_reader_finish(&r, NULL));
}

CKIT_TEST(msgpack, peeking_tells_every_first_byte) {
    for (unsigned b = 0; b < 256; b++) {
        uint8_t   input[10] = {(uint8_t)b};
        ckit_type type = CKIT_TYPE_INVALID;
        if (b < 0x80 || (b >= 0xcc && b <= 0xd3)) {
            type = CKIT_TYPE_UINT;
        } else if (b < 0x90 || b == 0xde || b == 0xdf) {
            type = CKIT_TYPE_MAP;
        } else if (b < 0xa0 || b == 0xdc || b == 0xdd) {
            type = CKIT_TYPE_ARRAY;
        } else if (b < 0xc0 || (b >= 0xd9 && b <= 0xdb)) {
            type = CKIT_TYPE_STR;
        } else if (b == 0xc0) {
            type = CKIT_TYPE_NIL;
        } else if (b == 0xc2 || b == 0xc3) {
            type = CKIT_TYPE_BOOL;
        } else if (b >= 0xc4 && b <= 0xc6) {
            type = CKIT_TYPE_BIN;
        } else if (b == 0xca || b == 0xcb) {
            type = CKIT_TYPE_DOUBLE;
        } else if ((b >= 0xc7 && b <= 0xc9) || (b >= 0xd4 && b <= 0xd8)) {
            type = CKIT_TYPE_EXT;
        } else if (b >= 0xe0) {
            type = CKIT_TYPE_INT;
        }
        ckit_reader r;
        ckit_reader_init(&r, S_ARRAY(input));
        CHECKF(ckit_reader_peek(&r) == type, "byte %02x", b);
    }
}

CKIT_TEST(msgpack, every_type_has_a_name) {
    for (int type = CKIT_TYPE_END; type <= CKIT_TYPE_TIME; type++) {
        CHECK(strlen(ckit_type_name((ckit_type)type)) > 0);
    }
    CHECK_STR("no value", ckit_type_name((ckit_type)99));
}
