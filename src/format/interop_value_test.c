/* Values of interop mode: the canonical form, what is refused, and what readers take from other SDKs. */
#include <cachekit/interop.h>

#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the canonical form ---------------------------------------------------------------------------------- */

static void write_object(ckit_writer *w) {
    ckit_write_map(w, 2);
    ckit_write_cstr(w, "name");
    ckit_write_cstr(w, "alice");
    ckit_write_cstr(w, "age");
    ckit_write_int(w, 30);
}
static void write_float(ckit_writer *w) { ckit_write_double(w, 2.0); }
static void write_mixed(ckit_writer *w) {
    ckit_write_array(w, 5);
    ckit_write_int(w, 1);
    ckit_write_cstr(w, "two");
    ckit_write_double(w, 3.5);
    ckit_write_nil(w);
    ckit_write_bool(w, true);
}
static void write_datetime(ckit_writer *w) {
    ckit_datetime value;
    CHECK_OK(ckit_datetime_parse(S("2024-01-01T12:30:45.123456+00:00"), &value, NULL));
    ckit_write_datetime(w, &value);
}

CKIT_TEST(interop_value, every_vector_gives_its_bytes) {
    static const struct {
        void (*write)(ckit_writer *w);
        const char *canonical;
    } vectors[] = {
        {write_object, "82a36167651ea46e616d65a5616c696365"},
        {write_float, "cb4000000000000000"},
        {write_mixed, "9501a374776fcb400c000000000000c0c3"},
        {write_datetime,
         "82ac5f5f6461746574696d655f5fc3a576616c7565d920323032342d30312d30315431323a33303a34352e31323334"
         "35362b30303a3030"},
    };
    for (size_t i = 0; i < COUNT(vectors); i++) {
        ckit_buf    document = CKIT_BUF_INIT, canonical = CKIT_BUF_INIT;
        ckit_writer w;
        ckit_error  err = CKIT_ERROR_INIT;
        ckit_writer_init(&w, &document);
        vectors[i].write(&w);
        CHECK_OK(ckit_writer_finish(&w, NULL));
        CHECK_OK_ERR(ckit_interop_value_normalise(ckit_buf_slice(&document), &canonical, &err), &err);
        CHECK_BYTES(hex_slice(vectors[i].canonical), ckit_buf_slice(&canonical));
        CHECK_OK_ERR(ckit_interop_value_check(ckit_buf_slice(&canonical), &err), &err);
        CHECK_OK_ERR(ckit_interop_value_accept(ckit_buf_slice(&canonical), &err), &err);
        ckit_buf_fini(&document);
        ckit_buf_fini(&canonical);
    }
}

/* A document in another form: its canonical one, and what is found about it first. */
static const struct other_form {
    const char *document;
    const char *canonical;
    const char *why;
} other_forms[] = {
    {"cc7f", "7f", "an encoding that is longer than needed, at offset 0 of 2"},
    {"cd00ff", "ccff", "an encoding that is longer than needed, at offset 0 of 3"},
    {"ce0000ffff", "cdffff", "an encoding that is longer than needed, at offset 0 of 5"},
    {"cf00000000ffffffff", "ceffffffff", "an encoding that is longer than needed, at offset 0 of 9"},
    {"d07f", "7f", "an encoding that is longer than needed, at offset 0 of 2"},
    {"d100ff", "ccff", "an encoding that is longer than needed, at offset 0 of 3"},
    {"d37fffffffffffffff", "cf7fffffffffffffff",
     "a signed encoding of an integer that is not below zero, at offset 0 of 9"},
    {"d0e0", "e0", "an encoding that is longer than needed, at offset 0 of 2"},
    {"d1ff80", "d080", "an encoding that is longer than needed, at offset 0 of 3"},
    {"d2ffff8000", "d18000", "an encoding that is longer than needed, at offset 0 of 5"},
    {"d3ffffffff80000000", "d280000000", "an encoding that is longer than needed, at offset 0 of 9"},
    {"d90161", "a161", "an encoding that is longer than needed, at offset 0 of 3"},
    {"da000161", "a161", "an encoding that is longer than needed, at offset 0 of 4"},
    {"db0000000161", "a161", "an encoding that is longer than needed, at offset 0 of 6"},
    {"c5000161", "c40161", "an encoding that is longer than needed, at offset 0 of 4"},
    {"c60000000161", "c40161", "an encoding that is longer than needed, at offset 0 of 6"},
    {"dc0001c0", "91c0", "an encoding that is longer than needed, at offset 0 of 4"},
    {"dd00000000", "90", "an encoding that is longer than needed, at offset 0 of 5"},
    {"de0000", "80", "an encoding that is longer than needed, at offset 0 of 3"},
    {"df00000001a161c0", "81a161c0", "an encoding that is longer than needed, at offset 0 of 8"},
    {"ca40000000", "cb4000000000000000", "a float of 32 bits, at offset 0 of 5"},
    {"ca80000000", "cb8000000000000000", "a float of 32 bits, at offset 0 of 5"},
    {"82a16202a16101", "82a16101a16202", "the keys of a map are not sorted, at offset 4 of 7"},
    {"92c082a26161c0a161c0", "92c082a161c0a26161c0", "the keys of a map are not sorted, at offset 7 of 10"},
    {"82a4f090808001a3efbda102", "82a3efbda102a4f090808001", "the keys of a map are not sorted, at offset 7 of 12"},
    {"81a17a82a162c0a16180", "81a17a82a16180a162c0", "the keys of a map are not sorted, at offset 7 of 10"},
};

CKIT_TEST(interop_value, a_document_in_another_form_is_readable_not_canonical_and_can_be_made_so) {
    for (size_t i = 0; i < COUNT(other_forms); i++) {
        const ckit_slice document = hex_slice(other_forms[i].document);
        ckit_buf         out = CKIT_BUF_INIT;
        ckit_error       err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(ckit_interop_value_accept(document, &err), &err);
        CHECK_STATUS_ERR(CKIT_E_DECODE, ckit_interop_value_check(document, &err), &err);
        CHECK_CONTAINS(other_forms[i].why, err.text);
        CHECK_OK(ckit_buf_append(&out, S("kept")));
        CHECK_OK_ERR(ckit_interop_value_normalise(document, &out, NULL), NULL);
        CHECK_TEXT("kept", ckit_slice_of(out.ptr, 4));
        CHECK_BYTES(hex_slice(other_forms[i].canonical), ckit_slice_of(out.ptr + 4, out.len - 4));
        CHECK_OK(ckit_interop_value_check(ckit_slice_of(out.ptr + 4, out.len - 4), NULL));
        ckit_buf_fini(&out);
    }
}

CKIT_TEST(interop_value, floats_stay_floats) {
    static const char *const canonical[] = {"cb0000000000000000", "cb8000000000000000", "cb3ff0000000000000",
                                            "cb43f0000000000000", "cb7fefffffffffffff", "cb0000000000000001"};
    for (size_t i = 0; i < COUNT(canonical); i++) {
        CHECK_OK(ckit_interop_value_check(hex_slice(canonical[i]), NULL));
    }
}

/* ---- what is refused ------------------------------------------------------------------------------------- */

static const struct refused_value {
    const char *document;
    ckit_status status; /* of writing it */
    const char *why;
    bool        readable;
} refused[] = {
    {"cb7ff8000000000000", CKIT_E_VALUE_TYPE, "a float that is not a number (NaN) (read to offset 9 of 9)", true},
    {"ca7fc00000", CKIT_E_VALUE_TYPE, "a float that is not a number (NaN) (read to offset 5 of 5)", true},
    {"cb7ff0000000000000", CKIT_E_VALUE_TYPE, "an infinite float (read to offset 9 of 9)", true},
    {"cbfff0000000000000", CKIT_E_VALUE_TYPE, "an infinite float (read to offset 9 of 9)", true},
    {"8101c0", CKIT_E_VALUE_TYPE, "the key of a map is not text (read to offset 2 of 3)", false},
    {"81c0c0", CKIT_E_VALUE_TYPE, "the key of a map is not text (read to offset 2 of 3)", false},
    {"81c3c0", CKIT_E_VALUE_TYPE, "the key of a map is not text (read to offset 2 of 3)", false},
    {"8190c0", CKIT_E_VALUE_TYPE, "the key of a map is not text (read to offset 2 of 3)", false},
    {"81cb3ff8000000000000c0", CKIT_E_VALUE_TYPE, "the key of a map is not text (read to offset 10 of 11)", false},
    {"91818180c0c0", CKIT_E_VALUE_TYPE, "the key of a map is not text (read to offset 3 of 6)", false},
    {"81c40161c0", CKIT_E_VALUE_TYPE, "the key of a map is not text (read to offset 4 of 5)", true},
    {"82a161c0a161c0", CKIT_E_VALUE_TYPE, "two keys of a map are equal (read to offset 7 of 7)", true},
    {"83a161c0a162c0a161c0", CKIT_E_VALUE_TYPE, "two keys of a map are equal (read to offset 10 of 10)", true},
    {"d40000", CKIT_E_VALUE_TYPE, "an extension type (read to offset 0 of 3)", false},
    {"92c0d6ff00000000", CKIT_E_VALUE_TYPE, "an extension type (read to offset 2 of 8)", false},
    {"", CKIT_E_TRUNCATED, "the input ends where a value should be", false},
    {"91", CKIT_E_TRUNCATED, "a count beyond what the input can hold", false},
    {"cd00", CKIT_E_TRUNCATED, "the input ends inside a value", false},
    {"a261", CKIT_E_TRUNCATED, "a length beyond the end of the input", false},
    {"c1", CKIT_E_DECODE, "no value begins with this byte", false},
    {"a1ff", CKIT_E_DECODE, "text that is not UTF-8", false},
    {"81a3eda080c0", CKIT_E_DECODE, "text that is not UTF-8", false},
    {"c0c0", CKIT_E_TRAILING, "bytes behind the end of the document", false},
    {"9000", CKIT_E_TRAILING, "bytes behind the end of the document", false},
};

CKIT_TEST(interop_value, what_is_outside_of_the_model_or_no_document_is_refused_with_its_own_text) {
    for (size_t i = 0; i < COUNT(refused); i++) {
        const ckit_slice document = hex_slice(refused[i].document);
        ckit_buf         out = CKIT_BUF_INIT;
        ckit_error       err = CKIT_ERROR_INIT;
        CHECK_OK(ckit_buf_append(&out, S("kept")));
        CHECK_STATUS_ERR(refused[i].status, ckit_interop_value_normalise(document, &out, &err), &err);
        CHECK_CONTAINS(refused[i].why, err.text);
        CHECK_STR("interop", err.where);
        CHECK_TEXT("kept", ckit_buf_slice(&out));
        CHECK(ckit_interop_value_check(document, NULL) != CKIT_OK);
        CHECKF(refused[i].readable == (ckit_interop_value_accept(document, NULL) == CKIT_OK), "%s",
               refused[i].document);
        ckit_buf_fini(&out);
    }
}

CKIT_TEST(interop_value, checking_tells_what_is_outside_of_the_model_with_its_place) {
    static const struct {
        const char *document;
        const char *why;
    } outside[] = {
        {"91cb7ff8000000000000", "a float that is not a number (NaN), at offset 1 of 10"},
        {"91ca7f800000", "an infinite float, at offset 1 of 6"},
        {"81c40161c0", "the key of a map is not text, at offset 1 of 5"},
        {"82a161c0a161c0", "two keys of a map are equal, at offset 4 of 7"},
        {"91d40000", "an extension type, at offset 1 of 4"},
    };
    for (size_t i = 0; i < COUNT(outside); i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS_ERR(CKIT_E_VALUE_TYPE, ckit_interop_value_check(hex_slice(outside[i].document), &err), &err);
        CHECK_STR(outside[i].why, err.text);
    }
}

CKIT_TEST(interop_value, values_are_as_deep_as_documents_may_be) {
    uint8_t  deep[CKIT_MSGPACK_MAX_DEPTH + 2];
    ckit_buf out = CKIT_BUF_INIT;
    memset(deep, 0x91, sizeof deep);
    deep[CKIT_MSGPACK_MAX_DEPTH] = deep[CKIT_MSGPACK_MAX_DEPTH + 1] = 0xc0;
    CHECK_OK(ckit_interop_value_check(ckit_slice_of(deep, CKIT_MSGPACK_MAX_DEPTH + 1), NULL));
    CHECK_OK(ckit_interop_value_accept(ckit_slice_of(deep, CKIT_MSGPACK_MAX_DEPTH + 1), NULL));
    deep[CKIT_MSGPACK_MAX_DEPTH] = 0x91;
    CHECK_STATUS(CKIT_E_DEPTH, ckit_interop_value_check(S_ARRAY(deep), NULL));
    CHECK_STATUS(CKIT_E_DEPTH, ckit_interop_value_accept(S_ARRAY(deep), NULL));
    CHECK_STATUS(CKIT_E_DEPTH, ckit_interop_value_normalise(S_ARRAY(deep), &out, NULL));
    ckit_buf_fini(&out);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

CKIT_TEST(interop_value, a_frame_of_the_automatic_mode_is_named) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_DECODE, ckit_interop_value_accept(S("CK\x03rest"), &err), &err);
    CHECK_CONTAINS("CK", err.text);
    CHECK_CONTAINS("automatic mode", err.text);
    CHECK_OK(ckit_interop_value_accept(S("C"), NULL)); /* the integer 67 */
    CHECK_STATUS_ERR(CKIT_E_DECODE, ckit_interop_value_accept(hex_slice("8101c0"), &err), &err);
    CHECK_STR("the key of a map is neither text nor bytes, at offset 1 of 3", err.text);
}

/* A map of a marker and a text, as hex of the marker's value. */
static ckit_slice marked(const char *marker, const char *truth, const char *text) {
    static char hex[512];
    char       *name = hex_encode(S(marker)), *value = hex_encode(S(text));
    (void)snprintf(hex, sizeof hex, "82 d9%02zx%s %s a576616c7565 d9%02zx%s", strlen(marker), name, truth, strlen(text),
                   value);
    free(name);
    free(value);
    return hex_slice(hex);
}

CKIT_TEST(interop_value, a_temporal_value_needs_exactly_true_and_a_text) {
    static const struct {
        const char *document;
        ckit_type   type;
    } maps[] = {
        {"82 a85f5f646174655f5f c3 a576616c7565 aa323032352d31312d3134", CKIT_TYPE_DATE},
        {"82 a576616c7565 aa323032352d31312d3134 a85f5f646174655f5f c3", CKIT_TYPE_DATE},
        {"83 a161 01 a85f5f646174655f5f c3 a576616c7565 aa323032352d31312d3134", CKIT_TYPE_DATE},
        {"83 a85f5f74696d655f5f c3 a85f5f646174655f5f c3 a576616c7565 a0", CKIT_TYPE_DATE},
        {"82 a85f5f646174655f5f 01 a576616c7565 aa323032352d31312d3134", CKIT_TYPE_MAP},
        {"82 a85f5f646174655f5f a3796573 a576616c7565 aa323032352d31312d3134", CKIT_TYPE_MAP},
        {"82 a85f5f646174655f5f c2 a576616c7565 aa323032352d31312d3134", CKIT_TYPE_MAP},
        {"82 c4085f5f646174655f5f c3 a576616c7565 aa323032352d31312d3134", CKIT_TYPE_MAP},
        {"82 a85f5f646174655f5f c3 a576616c7565 c40a323032352d31312d3134", CKIT_TYPE_MAP},
        {"82 a85f5f646174655f5f c3 a576616c7565 2a", CKIT_TYPE_MAP},
        {"81 a85f5f646174655f5f c3", CKIT_TYPE_MAP},
        {"82 a85f5f646174655f5f c3 a576616c7565", CKIT_TYPE_MAP},
        {"80", CKIT_TYPE_MAP},
        {"90", CKIT_TYPE_ARRAY},
        {"", CKIT_TYPE_END},
    };
    for (size_t i = 0; i < COUNT(maps); i++) {
        ckit_reader r;
        ckit_date   date;
        ckit_reader_init(&r, hex_slice(maps[i].document));
        CHECK_EQ_U(maps[i].type, ckit_interop_peek(&r));
        CHECK_EQ_U(maps[i].type, ckit_interop_peek(&r));
        CHECK(r.pos == r.begin && r.status == CKIT_OK);
        ckit_interop_read_date(&r, &date);
        CHECKF((r.status == CKIT_OK) == (date.year != 0), "%s", maps[i].document);
        CHECK(maps[i].type == CKIT_TYPE_DATE || r.status == CKIT_E_VALUE_TYPE || r.status == CKIT_E_TRUNCATED);
    }
}

CKIT_TEST(interop_value, times_may_end_with_z_of_either_case) {
    static const struct {
        const char *text;
        bool        right;
    } texts[] = {
        {"2025-11-14T10:30:00+00:00", true},
        {"2025-11-14T10:30:00Z", true},
        {"2025-11-14T10:30:00z", true},
        {"2025-11-14T10:30:00.000001z", true},
        {"2025-11-14z", false},
        {"2025-11-14T10:30:00+00:00z", false},
        {"2025-11-14T10:30:00Zz", false},
        {"z", false},
        {"", false},
        {"soon", false},
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        ckit_reader   r;
        ckit_datetime datetime;
        ckit_time     time;
        ckit_date     date;
        const char   *clock = strchr(texts[i].text, 'T');
        ckit_reader_init(&r, marked("__datetime__", "c3", texts[i].text));
        ckit_interop_read_datetime(&r, &datetime);
        CHECKF((ckit_reader_finish(&r, NULL) == CKIT_OK) == texts[i].right, "%s", texts[i].text);
        CHECK(datetime.has_offset == texts[i].right && datetime.offset_seconds == 0);
        CHECK_EQ_U(texts[i].right ? 2025 : 0, datetime.year);
        ckit_reader_init(&r, marked("__time__", "c3", clock != NULL ? clock + 1 : texts[i].text));
        ckit_interop_read_time(&r, &time);
        CHECKF((ckit_reader_finish(&r, NULL) == CKIT_OK) == texts[i].right, "%s", texts[i].text);
        CHECK(time.has_offset == texts[i].right);
        ckit_reader_init(&r, marked("__date__", "c3", texts[i].text));
        ckit_interop_read_date(&r, &date);
        CHECK_STATUS(CKIT_E_DECODE, ckit_reader_finish(&r, NULL));
        CHECK_EQ_U(0, date.year);
    }
}

CKIT_TEST(interop_value, temporal_values_are_read_among_others) {
    ckit_reader   r;
    ckit_date     date;
    ckit_datetime datetime;
    /* [date, [date], 5] */
    ckit_reader_init(&r, hex_slice("93 82a85f5f646174655f5fc3a576616c7565aa323032352d31312d3134"
                                   "91 82a85f5f646174655f5fc3a576616c7565aa323032352d31312d3135 05"));
    CHECK_EQ_U(3, ckit_read_array(&r));
    ckit_interop_read_date(&r, &date);
    CHECK_EQ_U(14, date.day);
    CHECK_EQ_U(1, ckit_read_array(&r));
    CHECK_EQ_U(CKIT_TYPE_DATE, ckit_interop_peek(&r));
    ckit_interop_read_date(&r, &date);
    CHECK_EQ_U(15, date.day);
    CHECK_EQ_U(5, ckit_read_uint(&r));
    CHECK_OK(ckit_reader_finish(&r, NULL));
    ckit_reader_init(&r, hex_slice("82a85f5f646174655f5fc3a576616c7565aa323032352d31312d3134"));
    ckit_interop_read_datetime(&r, &datetime);
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_VALUE_TYPE, ckit_reader_finish(&r, &err), &err);
    CHECK_CONTAINS("at offset 0", err.text);
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static ckit_status normalise_much(const ckit_alloc *alloc) {
    ckit_buf    document = CKIT_BUF_INIT, out;
    ckit_writer w;
    char        name[16];
    ckit_writer_init(&w, &document);
    ckit_write_map(&w, 2);
    ckit_write_cstr(&w, "z");
    ckit_write_map(&w, 200);
    for (int i = 199; i >= 0; i--) {
        (void)snprintf(name, sizeof name, "%03d", i);
        ckit_write_cstr(&w, name);
        ckit_write_int(&w, i);
    }
    ckit_write_cstr(&w, "a");
    ckit_write_nil(&w);
    CHECK_OK(ckit_writer_finish(&w, NULL));
    ckit_buf_init(&out, alloc);
    const ckit_status st = ckit_interop_value_normalise(ckit_buf_slice(&document), &out, NULL);
    CHECK_EQ_U(st == CKIT_OK ? document.len : 0, out.len);
    CHECK(st != CKIT_OK || ckit_interop_value_check(ckit_buf_slice(&out), NULL) == CKIT_OK);
    ckit_buf_fini(&document);
    ckit_buf_fini(&out);
    return st;
}

CKIT_TEST(interop_value, normalising_survives_the_failure_of_any_allocation) {
    uint64_t n = 0;
    for (;; n++) {
        failing_alloc fa;
        failing_alloc_init(&fa, n);
        const ckit_status st = normalise_much(&fa.alloc);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
    CHECK(n > 2);
}

CKIT_TEST(interop_value, checking_and_accepting_ask_for_no_memory_and_a_canonical_value_is_copied_at_once) {
    failing_alloc fa;
    ckit_buf      out;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    ckit_buf_init(&out, &fa.alloc);
    CHECK_OK(ckit_interop_value_normalise(hex_slice("82a16101a16202"), &out, NULL));
    CHECK_EQ_U(1, fa.requests);
    ckit_buf_fini(&out);
    failing_alloc_check_empty(&fa);
}
