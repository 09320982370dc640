/* Arguments that count like a text or by their hash, and those that do not count at all. */
#include <cachekit/key.h>

#include "support/test.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void check_refused(ckit_status status, ckit_args *args) {
    ckit_slice packed = {(const uint8_t *)"x", 1};
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(status, ckit_args_pack(args, &packed, &err), &err);
    CHECK_EQ_U(0, packed.len);
    CHECK(strlen(err.text) > 0);
}

/* ---- what counts like a text ----------------------------------------------------------------------------- */

static void check_text(const char *expected, ckit_args *args, const char *input) {
    ckit_reader r;
    CHECK_EQ_U(1, ckit_args_positional(args, &r));
    const ckit_slice text = ckit_read_str(&r);
    CHECKF(ckit_slice_equal(text, S(expected)), "'%s' gave '%.*s'", input, (int)text.len, (const char *)text.ptr);
    ckit_slice packed;
    CHECK_OK(ckit_args_pack(args, &packed, NULL));
    CHECK_OK(ckit_document_check(packed, NULL));
}

CKIT_TEST(args, decimals_count_as_python_writes_them) {
    static const struct {
        const char *text;
        const char *python; /* NULL: refused */
    } rows[] = {
        {"19.99", "19.99"},
        {"1E+2", "1E+2"},
        {"1e2", "1E+2"},
        {"1e+02", "1E+2"},
        {"100", "100"},
        {"1.50", "1.50"},
        {"+1.5", "1.5"},
        {"-0", "-0"},
        {"0", "0"},
        {"00", "0"},
        {"0.00", "0.00"},
        {"-0.0", "-0.0"},
        {"007", "7"},
        {"0012.340", "12.340"},
        {".5", "0.5"},
        {"5.", "5"},
        {"0.000001", "0.000001"},
        {"0.0000001", "1E-7"},
        {"0.00000123", "0.00000123"},
        {"0.000000123", "1.23E-7"},
        {"123e-2", "1.23"},
        {"123e1", "1.23E+3"},
        {"1.23e5", "1.23E+5"},
        {"12e-20", "1.2E-19"},
        {"0e5", "0E+5"},
        {"0e-7", "0E-7"},
        {"0e-6", "0.000000"},
        {"0.0e3", "0E+2"},
        {"1E-999999999999999", "1E-999999999999999"},
        {"123456789012345678901234567890.12345", "123456789012345678901234567890.12345"},
        {"NaN", "NaN"},
        {"-nan", "-NaN"},
        {"sNaN", "sNaN"},
        {"inf", "Infinity"},
        {"-INFINITY", "-Infinity"},
        {"", NULL},
        {"-", NULL},
        {".", NULL},
        {"1.2.3", NULL},
        {"1e", NULL},
        {"1e+", NULL},
        {"1e1.5", NULL},
        {"e5", NULL},
        {"1e1000000000000000", NULL},
        {" 1", NULL},
        {"1_000", NULL},
        {"0x10", NULL},
        {"NaN12", NULL},
        {"infinit", NULL},
        {"--1", NULL},
        {"\xd9\xa1", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_args args;
        ckit_args_init(&args);
        ckit_args_decimal(&args, S(rows[i].text));
        if (rows[i].python == NULL) {
            check_refused(CKIT_E_KEY_ARGUMENT, &args);
        } else {
            check_text(rows[i].python, &args, rows[i].text);
        }
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, paths_are_tidied_as_python_does) {
    static const struct {
        const char *path;
        const char *python;
    } rows[] = {
        {"/data/cache/foo", "/data/cache/foo"},
        {"a//b/", "a/b"},
        {"./a", "a"},
        {"a/./b/.", "a/b"},
        {"", "."},
        {".", "."},
        {"./.", "."},
        {"..", ".."},
        {"a/../b", "a/../b"},
        {"/", "/"},
        {"//", "//"},
        {"///", "/"},
        {"//a//b", "//a/b"},
        {"///a", "/a"},
        {"/./a", "/a"},
        {"/.", "/"},
        {"a/.b/..c", "a/.b/..c"},
        {"C:\\Data", "C:\\Data"},
        {"caf\xc3\xa9/", "caf\xc3\xa9"},
        {"A/a", "A/a"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_args args;
        ckit_args_init(&args);
        ckit_args_path(&args, S(rows[i].path));
        check_text(rows[i].python, &args, rows[i].path);
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, long_texts_get_the_head_that_fits) {
    char path[400];
    memset(path, 'p', sizeof path);
    for (size_t len = 1; len < sizeof path; len++) {
        char expected[sizeof path];
        memcpy(expected, path, len);
        expected[len] = '\0';
        ckit_args args;
        ckit_args_init(&args);
        ckit_args_path(&args, ckit_slice_of(path, len));
        check_text(expected, &args, "p...");
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, unkeyable_values_are_refused) {
    const ckit_datetime naive = {.year = 2024, .month = 1, .day = 1};
    const ckit_datetime wrong = {.year = 2024, .month = 2, .day = 30, .has_offset = true};
    ckit_args           args;
    ckit_args_init(&args);
    ckit_args_datetime(&args, &naive);
    check_refused(CKIT_E_KEY_ARGUMENT, &args);
    ckit_args_fini(&args);
    ckit_args_datetime(&args, &wrong);
    check_refused(CKIT_E_MISUSE, &args);
    ckit_args_fini(&args);
    ckit_args_str(&args, S("\xed\xa0\x80"));
    check_refused(CKIT_E_KEY_ARGUMENT, &args);
    ckit_args_fini(&args);
    ckit_args_str(&args, S("caf\xe9"));
    check_refused(CKIT_E_KEY_ARGUMENT, &args);
    ckit_args_fini(&args);
    ckit_args_path(&args, S("/\xff"));
    check_refused(CKIT_E_KEY_ARGUMENT, &args);
    ckit_args_fini(&args);
    ckit_args_bytes(&args, ckit_slice_of("", (size_t)CKIT_ARGS_MAX_BYTES));
    check_refused(CKIT_E_TOO_LARGE, &args);
    ckit_args_fini(&args);
    ckit_args_vector(&args, (ckit_vector_type)4, "", 0);
    check_refused(CKIT_E_MISUSE, &args);
    ckit_args_fini(&args);
}

/* ---- vectors --------------------------------------------------------------------------------------------- */

CKIT_TEST(args, a_vector_may_have_100000_bytes) {
    static const int64_t zeros[12501];
    static const struct {
        ckit_vector_type type;
        size_t           most;
    } rows[] = {{CKIT_VECTOR_I32, 25000}, {CKIT_VECTOR_I64, 12500}, {CKIT_VECTOR_F32, 25000}, {CKIT_VECTOR_F64, 12500}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_args  args;
        ckit_slice packed;
        ckit_args_init(&args);
        ckit_args_vector(&args, rows[i].type, zeros, rows[i].most);
        CHECK_OK(ckit_args_pack(&args, &packed, NULL));
        ckit_args_vector(&args, rows[i].type, zeros, rows[i].most + 1);
        check_refused(CKIT_E_KEY_ARGUMENT, &args);
        ckit_args_fini(&args);
        ckit_args_vector(&args, rows[i].type, zeros, SIZE_MAX); /* nothing is read */
        check_refused(CKIT_E_KEY_ARGUMENT, &args);
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, the_vectors_of_a_call_may_have_5000000_bytes) {
    static const int32_t zeros[25000];
    ckit_args            args;
    ckit_slice           packed;
    ckit_args_init(&args);
    for (int i = 0; i < 49; i++) {
        ckit_args_vector(&args, CKIT_VECTOR_I32, zeros, 25000);
    }
    ckit_args_keyword(&args, S("v"));
    ckit_args_array(&args, 2);
    ckit_args_vector(&args, CKIT_VECTOR_I32, zeros, 25000);
    ckit_args_vector(&args, CKIT_VECTOR_I32, zeros, 0);
    CHECK_OK(ckit_args_pack(&args, &packed, NULL));
    ckit_args copy;
    CHECK_OK(ckit_args_copy(&copy, &args, NULL));
    ckit_args_fini(&args);
    ckit_args_keyword(&copy, S("w"));
    ckit_args_vector(&copy, CKIT_VECTOR_I32, zeros, 1);
    check_refused(CKIT_E_KEY_ARGUMENT, &copy);
    ckit_args_fini(&copy);
}
