/* Documents: temporal values, the whole-document check, and one-line reading. Of temporal.c. */
#include <cachekit/buf.h>
#include <cachekit/document.h>

#include "support/hex.h"
#include "support/test.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* {"__datetime__": true, "value": and so on, to be followed by a text. */
#define DATETIME "82 ac5f5f6461746574696d655f5f c3 a576616c7565 "
#define DATE "82 a85f5f646174655f5f c3 a576616c7565 "
#define TIME "82 a85f5f74696d655f5f c3 a576616c7565 "
#define MARK_DATETIME "ac5f5f6461746574696d655f5f "
#define MARK_DATE "a85f5f646174655f5f "
#define MARK_TIME "a85f5f74696d655f5f "
#define VALUE "a576616c7565 "
#define DATE_TEXT "aa323032352d31312d3134 " /* 2025-11-14 */
#define TIME_TEXT "a831303a33303a3030 "     /* 10:30:00 */

/* ---- text ------------------------------------------------------------------------------------------------ */

typedef struct datetime_row {
    const char   *text;
    ckit_datetime value;
} datetime_row;

static bool same_datetime(const ckit_datetime *a, const ckit_datetime *b) {
    return a->year == b->year && a->month == b->month && a->day == b->day && a->hour == b->hour &&
           a->minute == b->minute && a->second == b->second && a->microsecond == b->microsecond &&
           a->has_offset == b->has_offset && a->offset_seconds == b->offset_seconds;
}

CKIT_TEST(temporal, datetimes_are_written_as_python_does_and_read_back) {
    static const datetime_row rows[] = {
        {"2025-11-14T10:30:00", {2025, 11, 14, 10, 30, 0, false, 0, 0}},
        {"2024-01-15T12:00:00+00:00", {2024, 1, 15, 12, 0, 0, true, 0, 0}},
        {"2024-01-01T18:00:45.123456+05:30", {2024, 1, 1, 18, 0, 45, true, 123456, 19800}},
        {"0001-01-01T00:00:00.000001", {1, 1, 1, 0, 0, 0, false, 1, 0}},
        {"9999-12-31T23:59:59.999999-23:59:59", {9999, 12, 31, 23, 59, 59, true, 999999, -86399}},
        {"2024-02-29T00:00:00-00:00:01", {2024, 2, 29, 0, 0, 0, true, 0, -1}},
        {"2000-02-29T23:00:00+14:00", {2000, 2, 29, 23, 0, 0, true, 0, 50400}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char          text[CKIT_TEMPORAL_TEXT];
        ckit_datetime back;
        CHECK_EQ_U(strlen(rows[i].text), ckit_datetime_text(&rows[i].value, text));
        CHECK_STR(rows[i].text, text);
        CHECK_OK(ckit_datetime_parse(S(text), &back, NULL));
        CHECKF(same_datetime(&rows[i].value, &back), "%s", text);
    }
}

CKIT_TEST(temporal, wider_forms_of_datetimes_are_read) {
    static const datetime_row rows[] = {
        {"2025-11-14", {2025, 11, 14, 0, 0, 0, false, 0, 0}},
        {"2025-11-14T10", {2025, 11, 14, 10, 0, 0, false, 0, 0}},
        {"2025-11-14 10:30", {2025, 11, 14, 10, 30, 0, false, 0, 0}},
        {"2025-11-14T10:30:00Z", {2025, 11, 14, 10, 30, 0, true, 0, 0}},
        {"2025-11-14T10:30Z", {2025, 11, 14, 10, 30, 0, true, 0, 0}},
        {"2025-11-14T10:30:00.1Z", {2025, 11, 14, 10, 30, 0, true, 100000, 0}},
        {"2025-11-14T10:30:00,123", {2025, 11, 14, 10, 30, 0, false, 123000, 0}},
        {"2025-11-14T10:30:00.123456789+01", {2025, 11, 14, 10, 30, 0, true, 123456, 3600}},
        {"2025-11-14T10:30:00-0130", {2025, 11, 14, 10, 30, 0, true, 0, -5400}},
        {"2025-11-14T10+02:00", {2025, 11, 14, 10, 0, 0, true, 0, 7200}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_datetime back;
        ckit_error    err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(ckit_datetime_parse(S(rows[i].text), &back, &err), &err);
        CHECKF(same_datetime(&rows[i].value, &back), "%s", rows[i].text);
    }
}

CKIT_TEST(temporal, what_is_no_datetime_is_refused) {
    static const char *const rows[] = {
        "",
        "2025",
        "2025-11",
        "2025-11-1",
        "2025-11-14T",
        "2025-11-14T1",
        "2025-11-14T24:00:00",
        "2025-11-14T10:60:00",
        "2025-11-14T10:30:60",
        "2025-11-14T10:3",
        "2025-11-14T10:30:",
        "2025-11-14T10:30:0",
        "2025-11-14T10:30:00.",
        "2025-11-14T10:30:00.Z",
        "2025-11-14T10:30:00+",
        "2025-11-14T10:30:00+1",
        "2025-11-14T10:30:00+010",
        "2025-11-14T10:30:00+01:0",
        "2025-11-14T10:30:00+24:00",
        "2025-11-14T10:30:00+01:60",
        "2025-11-14T10:30:00+01:00:60",
        "2025-11-14T10:30:00+01:00:00.5",
        "2025-11-14T10:30:00ZZ",
        "2025-11-14T10:30:00z",
        "2025-11-14T10:30:00 ",
        " 2025-11-14",
        "2025-11-14X10:30:00",
        "2025/11/14",
        "2025-00-14",
        "2025-13-14",
        "2025-11-00",
        "2025-11-31",
        "2025-02-29",
        "1900-02-29",
        "0000-01-01",
        "-025-01-01",
        "2025-+1-14",
        "20251114T103000",
        "2025-W46-5",
        "2025-11-1\xef\xbc\x94",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_datetime back = {.year = 7};
        ckit_error    err = CKIT_ERROR_INIT;
        CHECKF(ckit_datetime_parse(S(rows[i]), &back, &err) == CKIT_E_DECODE, "'%s'", rows[i]);
        CHECK_EQ_U(CKIT_E_DECODE, err.status);
        CHECK_EQ_U(0, back.year);
    }
}

CKIT_TEST(temporal, dates_and_times_have_their_own_text) {
    const ckit_date date = {2025, 11, 14};
    const ckit_time plain = {.hour = 10, .minute = 30};
    const ckit_time full = {.hour = 1, .minute = 2, .second = 3, .microsecond = 40, .has_offset = true};
    char            text[CKIT_TEMPORAL_TEXT];
    ckit_date       date_back;
    ckit_time       time_back;
    CHECK_EQ_U(10, ckit_date_text(&date, text));
    CHECK_STR("2025-11-14", text);
    CHECK_OK(ckit_date_parse(S(text), &date_back, NULL));
    CHECK_EQ_U(14, date_back.day);
    CHECK_EQ_U(8, ckit_time_text(&plain, text));
    CHECK_STR("10:30:00", text);
    CHECK_EQ_U(21, ckit_time_text(&full, text));
    CHECK_STR("01:02:03.000040+00:00", text);
    CHECK_OK(ckit_time_parse(S(text), &time_back, NULL));
    CHECK_EQ_U(40, time_back.microsecond);
    CHECK(time_back.has_offset);
    CHECK_OK(ckit_time_parse(S("T10:30"), &time_back, NULL));
    CHECK_STATUS(CKIT_E_DECODE, ckit_time_parse(S("2025-11-14"), &time_back, NULL));
    CHECK_STATUS(CKIT_E_DECODE, ckit_time_parse(S(""), &time_back, NULL));
    CHECK_STATUS(CKIT_E_DECODE, ckit_date_parse(S("2025-11-14T00:00:00"), &date_back, NULL));
    CHECK_STATUS(CKIT_E_DECODE, ckit_date_parse(S(""), &date_back, NULL));
    CHECK_EQ_U(0, date_back.year);
}

CKIT_TEST(temporal, values_out_of_their_ranges_have_no_text) {
    static const ckit_datetime rows[] = {
        {.year = 0, .month = 1, .day = 1},
        {.year = 10000, .month = 1, .day = 1},
        {.year = 2025, .month = 0, .day = 1},
        {.year = 2025, .month = 13, .day = 1},
        {.year = 2025, .month = 4, .day = 31},
        {.year = 2025, .month = 2, .day = 29},
        {.year = 2025, .month = 1, .day = 1, .hour = 24},
        {.year = 2025, .month = 1, .day = 1, .minute = 60},
        {.year = 2025, .month = 1, .day = 1, .second = 60},
        {.year = 2025, .month = 1, .day = 1, .microsecond = 1000000},
        {.year = 2025, .month = 1, .day = 1, .has_offset = true, .offset_seconds = 86400},
        {.year = 2025, .month = 1, .day = 1, .has_offset = true, .offset_seconds = INT32_MIN},
        {.year = 2025, .month = 1, .day = 1, .has_offset = false, .offset_seconds = 60},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char        text[CKIT_TEMPORAL_TEXT] = "x";
        ckit_buf    buf = CKIT_BUF_INIT;
        ckit_writer w;
        CHECKF(ckit_datetime_text(&rows[i], text) == 0, "row %zu", i);
        CHECK_STR("", text);
        ckit_writer_init(&w, &buf);
        ckit_write_datetime(&w, &rows[i]);
        CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_writer_finish(&w, NULL));
        ckit_buf_fini(&buf);
    }
}

/* ---- markers --------------------------------------------------------------------------------------------- */

CKIT_TEST(document, temporal_values_are_the_maps_of_the_other_sdks) {
    ckit_buf            buf = CKIT_BUF_INIT;
    ckit_writer         w;
    const ckit_datetime datetime = {.year = 2025, .month = 11, .day = 14, .hour = 10, .minute = 30};
    const ckit_date     date = {2025, 11, 14};
    const ckit_time     time = {.hour = 10, .minute = 30};
    ckit_writer_init(&w, &buf);
    ckit_write_array(&w, 3);
    ckit_write_datetime(&w, &datetime);
    ckit_write_date(&w, &date);
    ckit_write_time(&w, &time);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    CHECK_BYTES(hex_slice("93" DATETIME "b3323032352d31312d31345431303a33303a3030" DATE DATE_TEXT TIME TIME_TEXT),
                ckit_buf_slice(&buf));

    ckit_reader   r;
    ckit_datetime datetime_back;
    ckit_date     date_back;
    ckit_time     time_back;
    ckit_reader_init(&r, ckit_buf_slice(&buf));
    CHECK_EQ_U(3, ckit_read_array(&r));
    CHECK_EQ_U(CKIT_TYPE_MAP, ckit_reader_peek(&r));
    CHECK_EQ_U(CKIT_TYPE_DATETIME, ckit_document_peek(&r));
    ckit_read_datetime(&r, &datetime_back);
    CHECK_EQ_U(CKIT_TYPE_DATE, ckit_document_peek(&r));
    ckit_read_date(&r, &date_back);
    CHECK_EQ_U(CKIT_TYPE_TIME, ckit_document_peek(&r));
    ckit_read_time(&r, &time_back);
    CHECK_EQ_U(CKIT_TYPE_END, ckit_document_peek(&r));
    CHECK_OK(ckit_reader_finish(&r, NULL));
    CHECK(same_datetime(&datetime, &datetime_back));
    CHECK_EQ_U(11, date_back.month);
    CHECK_EQ_U(30, time_back.minute);
    ckit_buf_fini(&buf);
}

CKIT_TEST(document, a_marker_counts_when_it_is_truthy) {
    static const struct {
        const char *hex;
        ckit_type   type;
    } rows[] = {
        {"82" MARK_DATE "c3" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "01" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "ff" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "a178" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "c40100" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "91c0" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "81a16101" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "cb3ff0000000000000" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" MARK_DATE "cb7ff8000000000000" VALUE DATE_TEXT, CKIT_TYPE_DATE},
        {"82" VALUE DATE_TEXT MARK_DATE "c3", CKIT_TYPE_DATE},
        {"83" VALUE DATE_TEXT "a178 01" MARK_DATE "c3", CKIT_TYPE_DATE},
        {"82" MARK_DATE "c3" MARK_TIME "c3", CKIT_TYPE_DATE},
        {"83" MARK_TIME "c3" MARK_DATE "c3" MARK_DATETIME "c3", CKIT_TYPE_DATETIME},
        {"82" MARK_TIME "c3" MARK_DATE "c2", CKIT_TYPE_TIME},
        {"82" MARK_TIME "c2" MARK_TIME "c3", CKIT_TYPE_TIME},
        {"82" MARK_TIME "c3" MARK_TIME "c2", CKIT_TYPE_MAP},
        {"82" MARK_DATE "c2" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "c0" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "00" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "a0" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "c400" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "90" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "80" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "cb0000000000000000" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"82" MARK_DATE "cb8000000000000000" VALUE DATE_TEXT, CKIT_TYPE_MAP},
        {"81 c4085f5f646174655f5f c3", CKIT_TYPE_MAP}, /* a marker of bytes is none */
        {"81 a95f5f646174655f5f78 c3", CKIT_TYPE_MAP},
        {"81 a178" DATE DATE_TEXT, CKIT_TYPE_MAP},
        {"80", CKIT_TYPE_MAP},
        {"82" MARK_DATE "c3", CKIT_TYPE_MAP}, /* ends early: the read will tell */
        {DATE_TEXT, CKIT_TYPE_STR},
        {"90", CKIT_TYPE_ARRAY},
        {"c1", CKIT_TYPE_INVALID},
        {"", CKIT_TYPE_END},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_reader r;
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        CHECKF(ckit_document_peek(&r) == rows[i].type, "row %zu", i);
        CHECK_EQ_P(r.begin, r.pos);
        CHECK_OK(r.status);
        CHECKF(ckit_document_peek(&r) == rows[i].type, "row %zu, again", i);
    }
}

CKIT_TEST(document, peeking_leaves_a_reader_inside_containers_where_it_was) {
    ckit_reader r;
    ckit_date   date;
    ckit_reader_init(&r, hex_slice("92 81 a161 92" DATE DATE_TEXT "01 02"));
    CHECK_EQ_U(2, ckit_read_array(&r));
    CHECK_EQ_U(CKIT_TYPE_MAP, ckit_document_peek(&r));
    CHECK_EQ_U(1, ckit_read_map(&r));
    CHECK_TEXT("a", ckit_read_str(&r));
    CHECK_EQ_U(2, ckit_read_array(&r));
    CHECK_EQ_U(CKIT_TYPE_DATE, ckit_document_peek(&r));
    CHECK_EQ_U(3, r.depth);
    ckit_read_date(&r, &date);
    CHECK_EQ_I(1, ckit_read_int(&r));
    CHECK_EQ_I(2, ckit_read_int(&r));
    CHECK_EQ_U(0, r.depth);
    CHECK_OK(ckit_reader_finish(&r, NULL));
    CHECK_EQ_U(2025, date.year);
}

CKIT_TEST(document, bad_temporal_values_are_refused) {
    static const struct {
        const char *name;
        const char *hex;
        ckit_status status;
    } rows[] = {
        {"no value", "81" MARK_DATE "c3", CKIT_E_DECODE},
        {"a null value", "82" MARK_DATE "c3" VALUE "c0", CKIT_E_DECODE},
        {"a value of bytes", "82" MARK_DATE "c3" VALUE "c40a323032352d31312d3134", CKIT_E_DECODE},
        {"a number", "82" MARK_DATE "c3" VALUE "01", CKIT_E_DECODE},
        {"the last value counts", "83" MARK_DATE "c3" VALUE DATE_TEXT VALUE "c0", CKIT_E_DECODE},
        {"an empty text", "82" MARK_DATE "c3" VALUE "a0", CKIT_E_DECODE},
        {"a time", "82" MARK_DATE "c3" VALUE TIME_TEXT, CKIT_E_DECODE},
        {"another marker", "82" MARK_TIME "c3" VALUE TIME_TEXT, CKIT_E_VALUE_TYPE},
        {"an earlier marker", "83" MARK_DATETIME "c3" MARK_DATE "c3" VALUE DATE_TEXT, CKIT_E_VALUE_TYPE},
        {"no marker", "81" VALUE DATE_TEXT, CKIT_E_VALUE_TYPE},
        {"only a text", DATE_TEXT, CKIT_E_VALUE_TYPE},
        {"an array", "92 c3" DATE_TEXT, CKIT_E_VALUE_TYPE},
        {"nothing", "", CKIT_E_TRUNCATED},
        {"half a map", "82" MARK_DATE "c3", CKIT_E_TRUNCATED},
        {"an extension", "d4 01 00", CKIT_E_DECODE},
        {"an extension inside", "82" MARK_DATE "c3" VALUE "d40100", CKIT_E_DECODE},
        {"an extension as the marker", "82" MARK_DATE "d40100" VALUE DATE_TEXT, CKIT_E_DECODE},
        {"something behind", DATE DATE_TEXT "c0", CKIT_E_TRAILING},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_reader r;
        ckit_error  err = CKIT_ERROR_INIT;
        ckit_date   date = {.year = 7};
        ckit_reader_init(&r, hex_slice(rows[i].hex));
        ckit_read_date(&r, &date);
        const ckit_status st = ckit_reader_finish(&r, &err);
        CHECKF(st == rows[i].status, "%s: %s", rows[i].name, err.text);
        CHECK_EQ_U(st == CKIT_E_TRAILING ? 2025 : 0, date.year);
    }
}

CKIT_TEST(document, times_and_datetimes_are_refused_like_dates) {
    ckit_reader   r;
    ckit_time     time = {.hour = 7};
    ckit_datetime datetime = {.year = 7};
    ckit_error    err = CKIT_ERROR_INIT;
    ckit_reader_init(&r, hex_slice(TIME DATE_TEXT));
    ckit_read_time(&r, &time);
    CHECK_STATUS_ERR(CKIT_E_DECODE, ckit_reader_finish(&r, &err), &err);
    CHECK_EQ_U(0, time.hour);
    ckit_reader_init(&r, hex_slice(DATETIME TIME_TEXT));
    ckit_read_datetime(&r, &datetime);
    CHECK_STATUS(CKIT_E_DECODE, ckit_reader_finish(&r, NULL));
    CHECK_EQ_U(0, datetime.year);
    ckit_reader_init(&r, hex_slice(DATE DATE_TEXT));
    ckit_read_datetime(&r, &datetime);
    CHECK_STATUS_ERR(CKIT_E_VALUE_TYPE, ckit_reader_finish(&r, &err), &err);
    CHECK_STR("a date at offset 0 where a datetime was expected", err.text);
}

/* ---- the whole document ---------------------------------------------------------------------------------- */

CKIT_TEST(document, stored_documents_of_the_released_sdks_are_documents) {
    static const char *const rows[] = {
        "82a7757365725f69647ba46e616d65a5416c696365",
        "c0",
        "82ac5f5f6461746574696d655f5fc3a576616c7565b3323032352d31312d31345431303a33303a3030",
        ("82a95f5f7475706c655f5fc3a576616c7565920182a85f5f757569645f5fc3a576616c7565d92431323334353637382d313233342d35"
         "3637382d313233342d353637383132333435363738"),
        "83a75f5f7365745f5fc3a576616c75659107a666726f7a656ec3",
        ("81a17884ab5f5f6e6461727261795f5fc3a464617461c410000000000000f03f0000000000000040a573686170659102a56474797065"
         "a7666c6f61743634"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(ckit_document_check(hex_slice(rows[i]), &err), &err);
    }
}

CKIT_TEST(document, the_keys_of_maps_are_values_of_any_kind) {
    static const struct {
        const char *hex;
        ckit_status status;
    } rows[] = {
        {"82 a161 01 c40161 02", CKIT_OK},
        {"81 a0 81 c400 c0", CKIT_OK},
        {"92 81 a161 81 a162 01 81 a163 02", CKIT_OK},
        {"82 a161 92 01 02 a162 81 a161 c0", CKIT_OK},
        {"81 01 a161", CKIT_OK},
        {"81 ff a161", CKIT_OK},
        {"81 c0 a161", CKIT_OK},
        {"81 c3 a161", CKIT_OK},
        {"81 cb3ff0000000000000 a161", CKIT_OK},
        {"81 90 a161", CKIT_OK},
        {"81 80 a161", CKIT_OK},
        {"82 a161 01 02 03", CKIT_OK},
        {"91 82 a161 82 a162 01 02 03 a163 04", CKIT_OK},
        {"82 a161 81 a162 01 02 03", CKIT_OK},
        {"81 93 01 a161 c0 a161", CKIT_OK},
        {"81 82 ac5f5f6461746574696d655f5f c3 a576616c7565 a130 01", CKIT_OK},
        {"82 01 c0 01 c0", CKIT_OK},
        {"81 d40100 c0", CKIT_E_DECODE},
        {"81 01 81 92 d40100 02 03", CKIT_E_DECODE},
        {"82 01 02 03", CKIT_E_TRUNCATED},
        {"81 92 01 a1ff 02", CKIT_E_DECODE},
        {"81 c1 c0", CKIT_E_DECODE},
        {"81 a161", CKIT_E_TRUNCATED},
        {"81 a161 01 02", CKIT_E_TRAILING},
        {"d4 0100", CKIT_E_DECODE},
        {"", CKIT_E_TRUNCATED},
        {"81 a1ff 01", CKIT_E_DECODE},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_error        err = CKIT_ERROR_INIT;
        const ckit_status st = ckit_document_check(hex_slice(rows[i].hex), &err);
        CHECKF(st == rows[i].status, "row %zu: %s", i, err.text);
    }
}

CKIT_TEST(document, a_document_may_be_512_deep_and_no_deeper) {
    uint8_t deep[514];
    memset(deep, 0x91, sizeof deep);
    deep[513] = 0xc0;
    CHECK_OK(ckit_document_check(ckit_slice_of(deep + 1, 513), NULL));
    CHECK_STATUS(CKIT_E_DEPTH, ckit_document_check(S_ARRAY(deep), NULL));
}

CKIT_TEST(document, keys_of_maps_nest_no_deeper_than_values) {
    uint8_t deep[513 + 1 + 513];
    memset(deep, 0x81, 513); /* the key of the key of the key ... */
    memset(deep + 513, 0xc0, sizeof deep - 513);
    CHECK_OK(ckit_document_check(ckit_slice_of(deep + 1, 512 + 1 + 512), NULL));
    CHECK_STATUS(CKIT_E_DEPTH, ckit_document_check(S_ARRAY(deep), NULL));
}

CKIT_TEST(document, plain_values_are_read_in_one_line) {
    bool       flag;
    int64_t    number;
    uint64_t   natural;
    double     real;
    ckit_slice bytes;
    CHECK_OK(ckit_document_bool(hex_slice("c3"), &flag, NULL));
    CHECK(flag);
    CHECK_OK(ckit_document_int(hex_slice("d0df"), &number, NULL));
    CHECK_EQ_I(-33, number);
    CHECK_OK(ckit_document_int(hex_slice("2a"), &number, NULL));
    CHECK_EQ_I(42, number);
    CHECK_OK(ckit_document_uint(hex_slice("cfffffffffffffffff"), &natural, NULL));
    CHECK_EQ_U(UINT64_MAX, natural);
    CHECK_OK(ckit_document_double(hex_slice("cb3ff8000000000000"), &real, NULL));
    CHECK_EQ_D(1.5, real);
    CHECK_OK(ckit_document_str(hex_slice("a26869"), &bytes, NULL));
    CHECK_TEXT("hi", bytes);
    CHECK_OK(ckit_document_bin(hex_slice("c40200ff"), &bytes, NULL));
    CHECK_BYTES(S_LITERAL("\x00\xff"), bytes);
}

CKIT_TEST(document, other_values_are_refused_by_name) {
    bool       flag = true;
    int64_t    number = 7;
    uint64_t   natural = 7;
    double     real = 7;
    ckit_slice bytes = S("seven");
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_VALUE_TYPE, ckit_document_int(hex_slice("a26869"), &number, &err), &err);
    CHECK_STR("text at offset 0 where an integer was expected", err.text);
    CHECK_EQ_I(0, number);
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_document_bool(hex_slice("01"), &flag, NULL));
    CHECK(!flag);
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_document_uint(hex_slice("c0"), &natural, NULL));
    CHECK_EQ_U(0, natural);
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_document_double(hex_slice("01"), &real, NULL));
    CHECK_EQ_D(0, real);
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_document_str(hex_slice("c40161"), &bytes, NULL));
    CHECK_EQ_U(0, bytes.len);
    CHECK_STATUS(CKIT_E_VALUE_TYPE, ckit_document_bin(hex_slice("a161"), &bytes, NULL));
    CHECK_STATUS(CKIT_E_DECODE, ckit_document_int(hex_slice("cfffffffffffffffff"), &number, NULL));
    CHECK_STATUS(CKIT_E_TRAILING, ckit_document_int(hex_slice("01 02"), &number, NULL));
    CHECK_EQ_I(0, number);
    CHECK_STATUS(CKIT_E_TRUNCATED, ckit_document_str(hex_slice("a2 68"), &bytes, NULL));
    CHECK_STATUS(CKIT_E_TRUNCATED, ckit_document_str(S(""), &bytes, NULL));
}

/* ---- members by name --------------------------------------------------------------------------------------- */

CKIT_TEST(find, a_member_is_found_by_its_name_and_read) {
    /* {"a": 1, b"b": 2, "b": [3], "a": 4} */
    ckit_slice  document = S_LITERAL("\x84\xa1\x61\x01\xc4\x01\x62\x02\xa1\x62\x91\x03\xa1\x61\x04");
    ckit_reader r;
    CHECK(ckit_document_find(document, "a", &r));
    CHECK_EQ_I(1, ckit_read_int(&r));
    CHECK_OK(ckit_reader_finish(&r, NULL));
    CHECK(ckit_document_find(document, "b", &r));
    CHECK_EQ_U(1, ckit_read_array(&r));
    CHECK_EQ_I(3, ckit_read_int(&r));
    CHECK(!ckit_document_find(document, "c", &r));
}

CKIT_TEST(find, what_is_no_map_or_is_damaged_has_no_members) {
    ckit_reader r;
    CHECK(!ckit_document_find(S_LITERAL("\x01"), "a", &r));
    CHECK(!ckit_document_find(S_LITERAL(""), "a", &r));
    CHECK(!ckit_document_find(S_LITERAL("\x81\xa1\x61"), "a", &r));
    CHECK(!ckit_document_find(S_LITERAL("\x82\xa1\x62\xa5\x78"), "a", &r));
    CHECK(!ckit_document_find(S_LITERAL("\x81\xc1\xc1"), "a", &r));
}
