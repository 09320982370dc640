/* Arguments that are maps: sorted, and compared like with like. Of args_sort.c. */
#include "format/args_checks.h"

#include <stdio.h>
#include <stdlib.h>

/* Gives one value: i/-/d/t/b and so on, from a small notation, so that tables of maps stay readable:
 *   123 -5 2.5 nan inf -0.0    numbers       T F N    booleans and nil
 *   'text'                     text          "text"   bytes */
static void give(ckit_args *args, const char *token) {
    const size_t len = strlen(token);
    if (token[0] == '\'') {
        ckit_args_str(args, ckit_slice_of(token + 1, len - 2));
    } else if (token[0] == '"') {
        ckit_args_bytes(args, ckit_slice_of(token + 1, len - 2));
    } else if (strcmp(token, "T") == 0 || strcmp(token, "F") == 0) {
        ckit_args_bool(args, token[0] == 'T');
    } else if (strcmp(token, "N") == 0) {
        ckit_args_nil(args);
    } else if (strpbrk(token, ".n") != NULL) {
        ckit_args_double(args, strtod(token, NULL));
    } else if (token[0] == '-') {
        ckit_args_int(args, strtoll(token, NULL, 10));
    } else {
        ckit_args_uint(args, strtoull(token, NULL, 10));
    }
}

CKIT_TEST(args, maps_are_sorted_and_their_keys_compared_like_with_like) {
    static const struct {
        const char *name;
        const char *keys[5];
        const char *sorted; /* hex of the keys, each followed by nil; NULL: refused */
    } rows[] = {
        {"text by code point", {"'b'", "'a'", "''", "'ab'"}, "84 a0c0 a161c0 a26162c0 a162c0"},
        {"text beyond the BMP is last", {"'\xf0\x90\x80\x80'", "'\xef\xbd\xa1'"}, "82 a3efbda1c0 a4f0908080c0"},
        {"upper case first", {"'a'", "'B'"}, "82 a142c0 a161c0"},
        {"bytes by value", {"\"b\"", "\"\xff\"", "\"a\"", "\"\""}, "84 c400c0 c40161c0 c40162c0 c401ffc0"},
        {"integers", {"10", "-1", "9", "-300", "70000"}, "85 d1fed4c0 ffc0 09c0 0ac0 ce00011170c0"},
        {"booleans are numbers", {"2", "T", "F", "-1"}, "84 ffc0 c2c0 c3c0 02c0"},
        {"floats between integers",
         {"2", "1.5", "1", "-0.5"},
         "84 cbbfe0000000000000c0 01c0 cb3ff8000000000000c0 02c0"},
        {"infinities",
         {"inf", "18446744073709551615", "-inf", "-9223372036854775808"},
         "84 cbfff0000000000000c0 d38000000000000000c0 cfffffffffffffffffc0 cb7ff0000000000000c0"},
        {"integers next to 2^53 are not rounded",
         {"9007199254740993", "9007199254740992.0", "9007199254740991"},
         "83 cf001fffffffffffffc0 cb4340000000000000c0 cf0020000000000001c0"},
        {"next to 2^64",
         {"18446744073709551616.0", "18446744073709551615"},
         "82 cfffffffffffffffffc0 cb43f0000000000000c0"},
        {"next to -2^63",
         {"-9223372036854775807", "-9223372036854775808.0"},
         "82 cbc3e0000000000000c0 d38000000000000001c0"},
        {"negative zero stays", {"1", "-0.0"}, "82 cb8000000000000000c0 01c0"},
        {"one nil", {"N"}, "81 c0c0"},
        {"one NaN", {"nan"}, "81 cb7ff8000000000000c0"},
        {"none", {NULL}, "80"},
        {"a number and text", {"1", "'a'"}, NULL},
        {"text and bytes", {"'a'", "\"b\""}, NULL},
        {"nil and text", {"'a'", "N"}, NULL},
        {"nil first", {"N", "1"}, NULL},
        {"NaN and a number", {"1.0", "nan"}, NULL},
        {"two NaN", {"nan", "nan"}, NULL},
        {"twice the same text", {"'a'", "'b'", "'a'"}, NULL},
        {"twice, next to each other", {"'a'", "'a'"}, NULL},
        {"twice the empty bytes", {"\"\"", "\"\""}, NULL},
        {"1 and 1.0", {"1", "1.0"}, NULL},
        {"1 and true", {"T", "2", "1"}, NULL},
        {"0 and -0.0", {"0", "-0.0"}, NULL},
        {"0.0 and false", {"0.0", "F"}, NULL},
        {"2^63 as both", {"9223372036854775808", "9223372036854775808.0"}, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t count = 0;
        while (count < 5 && rows[i].keys[count] != NULL) {
            count++;
        }
        ckit_args args;
        ckit_args_init(&args);
        ckit_args_map(&args, count);
        for (uint32_t n = 0; n < count; n++) {
            give(&args, rows[i].keys[n]);
            ckit_args_nil(&args);
        }
        ckit_slice        packed;
        ckit_error        err = CKIT_ERROR_INIT;
        const ckit_status st = ckit_args_pack(&args, &packed, &err);
        CHECKF(st == (rows[i].sorted == NULL ? CKIT_E_KEY_ARGUMENT : CKIT_OK), "%s: %s", rows[i].name, err.text);
        if (rows[i].sorted != NULL) {
            const ckit_slice map = hex_slice(rows[i].sorted);
            CHECKF(packed.len == map.len + 3 && memcmp(packed.ptr + 2, map.ptr, map.len) == 0, "%s", rows[i].name);
        }
        ckit_args_fini(&args);
    }
}

CKIT_TEST(args, entries_keep_their_values_when_they_are_sorted) {
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_map(&args, 3);
    ckit_args_cstr(&args, "c");
    ckit_args_array(&args, 2);
    ckit_args_int(&args, 1);
    ckit_args_map(&args, 2);
    ckit_args_int(&args, 2);
    ckit_args_cstr(&args, "two");
    ckit_args_int(&args, 1);
    ckit_args_cstr(&args, "one");
    ckit_args_cstr(&args, "a");
    ckit_args_map(&args, 0);
    ckit_args_cstr(&args, "b");
    ckit_args_array(&args, 0);
    ckit_args_int(&args, 5);
    check_packed("92 92 83 a161 80 a162 90 a163 92 01 82 01 a36f6e65 02 a374776f 05 80", &args);
    ckit_args_fini(&args);
}

CKIT_TEST(args, large_maps_are_sorted) {
    for (uint32_t count = 2; count <= 3000; count = count * 3 / 2 + 1) {
        ckit_args   args;
        ckit_reader r;
        ckit_args_init(&args);
        ckit_args_map(&args, count);
        for (uint32_t i = 0; i < count; i++) {
            ckit_args_uint(&args, (i * UINT64_C(2654435761)) & UINT32_MAX);
            ckit_args_uint(&args, i);
        }
        CHECK_EQ_U(1, ckit_args_positional(&args, &r));
        CHECK_EQ_U(count, ckit_read_map(&r));
        uint64_t before = 0;
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t key = ckit_read_uint(&r), value = ckit_read_uint(&r);
            CHECK(i == 0 || key > before);
            CHECK_EQ_U((value * UINT64_C(2654435761)) & UINT32_MAX, key);
            before = key;
        }
        CHECK_OK(ckit_reader_finish(&r, NULL));
        ckit_args_fini(&args);
    }
}

static void key_array(ckit_args *a) { ckit_args_array(a, 0); }
static void key_map(ckit_args *a) { ckit_args_map(a, 0); }
static void key_uuid(ckit_args *a) { ckit_args_uuid(a, (const uint8_t *)"0123456789abcdef"); }
static void key_decimal(ckit_args *a) { ckit_args_decimal(a, S("1")); }
static void key_path(ckit_args *a) { ckit_args_path(a, S("/")); }
static void key_vector(ckit_args *a) { ckit_args_vector(a, CKIT_VECTOR_I32, "", 0); }
static void key_datetime(ckit_args *a) {
    const ckit_datetime value = {.year = 2024, .month = 1, .day = 1, .has_offset = true};
    ckit_args_datetime(a, &value);
}

CKIT_TEST(args, only_plain_values_are_keys_of_maps) {
    void (*const bad_keys[])(ckit_args *) = {key_array, key_map,    key_uuid,    key_decimal,
                                             key_path,  key_vector, key_datetime};
    for (size_t i = 0; i < COUNT(bad_keys); i++) {
        ckit_args args;
        ckit_args_init(&args);
        ckit_args_map(&args, 2);
        ckit_args_cstr(&args, "a");
        bad_keys[i](&args);
        bad_keys[i](&args);
        ckit_args_nil(&args);
        check_refused(CKIT_E_KEY_ARGUMENT, &args);
        ckit_args_fini(&args);
    }
}
