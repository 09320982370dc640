/* Arguments of interop mode beyond the vectors: wide heads, sets, numbers at their bounds, refusals, memory. Of
 * interop_sort.c. */
#include <cachekit/interop.h>

#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Packs and ends; the bytes as hex, or the error's text. The caller frees it. */
static char *finish(ckit_interop_args *args, ckit_status *status) {
    ckit_slice packed;
    ckit_error err = CKIT_ERROR_INIT;
    *status = ckit_interop_args_pack(args, &packed, &err);
    char *text = *status == CKIT_OK ? hex_encode(packed) : strdup(err.text);
    ckit_interop_args_fini(args);
    return text;
}

static void check_packed(ckit_interop_args *args, const char *expected) {
    ckit_status status;
    char       *text = finish(args, &status);
    CHECK_STR(expected, text);
    CHECK_OK(status);
    free(text);
}

static void check_refused(ckit_interop_args *args, ckit_status expected, const char *why) {
    ckit_status status;
    char       *text = finish(args, &status);
    CHECK_STR(why, text);
    CHECK_STATUS(expected, status);
    free(text);
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

CKIT_TEST(interop_args, floats_without_a_fraction_become_integers_between_exact_bounds) {
    static const struct {
        double      value;
        const char *packed;
    } floats[] = {
        {0.0, "9100"},
        {-1.0, "91ff"},
        {-33.0, "91d0df"},
        {0.5, "91cb3fe0000000000000"},
        {-0.5, "91cbbfe0000000000000"},
        {9007199254740993.0, "91cf0020000000000000"},
        {18446744073709549568.0, "91cffffffffffffff800"},
        {18446744073709551616.0, "91cb43f0000000000000"},
        {-9223372036854775808.0, "91d38000000000000000"},
        {-9223372036854777856.0, "91cbc3e0000000000001"},
        {1e300, "91cb7e37e43c8800759c"},
        {5e-324, "91cb0000000000000001"},
    };
    for (size_t i = 0; i < COUNT(floats); i++) {
        ckit_interop_args args;
        ckit_interop_args_init(&args, NULL);
        ckit_interop_args_double(&args, floats[i].value);
        check_packed(&args, floats[i].packed);
    }
}

CKIT_TEST(interop_args, integers_as_text_are_held_to_64_bits) {
    static const struct {
        const char *text;
        ckit_status status;
        const char *packed;
    } integers[] = {
        {"0", CKIT_OK, "9100"},
        {"-0", CKIT_OK, "9100"},
        {"007", CKIT_OK, "9107"},
        {"-32", CKIT_OK, "91e0"},
        {"18446744073709551615", CKIT_OK, "91cfffffffffffffffff"},
        {"-9223372036854775808", CKIT_OK, "91d38000000000000000"},
        {"18446744073709551616", CKIT_E_KEY_ARGUMENT, "argument 1: an integer above 2^64-1"},
        {"99999999999999999999999999999999999999999999", CKIT_E_KEY_ARGUMENT, "argument 1: an integer above 2^64-1"},
        {"-9223372036854775809", CKIT_E_KEY_ARGUMENT, "argument 1: an integer below -2^63"},
        {"-99999999999999999999999999999999999999999999", CKIT_E_KEY_ARGUMENT, "argument 1: an integer below -2^63"},
        {"", CKIT_E_MISUSE, "argument 1: an integer without digits"},
        {"-", CKIT_E_MISUSE, "argument 1: an integer without digits"},
        {"+1", CKIT_E_MISUSE, "argument 1: an integer with something else than decimal digits"},
        {"1.0", CKIT_E_MISUSE, "argument 1: an integer with something else than decimal digits"},
        {"99999999999999999999999x", CKIT_E_MISUSE, "argument 1: an integer with something else than decimal digits"},
    };
    for (size_t i = 0; i < COUNT(integers); i++) {
        ckit_interop_args args;
        ckit_status       status;
        ckit_interop_args_init(&args, NULL);
        ckit_interop_args_integer(&args, S(integers[i].text));
        char *text = finish(&args, &status);
        CHECK_STR(integers[i].packed, text);
        CHECK_STATUS(integers[i].status, status);
        free(text);
    }
}

/* ---- instants -------------------------------------------------------------------------------------------- */

CKIT_TEST(interop_args, an_instant_is_the_same_number_in_every_zone_of_every_year) {
    static const struct {
        const char *text;
        const char *packed;
    } instants[] = {
        {"1970-01-01T00:00:00+00:00", "9100"},
        {"1969-12-31T23:59:59+00:00", "91ff"},
        {"1970-01-01T01:00:00+01:00", "9100"},
        {"1970-01-01T00:00:00.000001+00:00", "91cb3eb0c6f7a0b5ed8d"},
        {"0001-01-01T00:00:00+00:00", "91d3fffffff1886e0900"}, /* -62135596800 */
        {"9999-12-31T23:59:59+00:00", "91cf0000003afff4417f"}, /* 253402300799 */
        {"2000-02-29T12:00:00+00:00", "91ce38bbb4c0"},
        {"2000-03-01T12:00:00+00:00", "91ce38bd0640"},
        {"1900-03-01T00:00:00+00:00", "91d3ffffffff7ca34a00"},
        {"2024-01-01T00:00:00+23:59", "91ce6590af3c"},
    };
    for (size_t i = 0; i < COUNT(instants); i++) {
        ckit_interop_args args;
        ckit_datetime     value;
        CHECK_OK(ckit_datetime_parse(S(instants[i].text), &value, NULL));
        ckit_interop_args_init(&args, NULL);
        ckit_interop_args_datetime(&args, &value);
        check_packed(&args, instants[i].packed);
    }
}

CKIT_TEST(interop_args, a_datetime_that_is_none_is_misuse) {
    const ckit_datetime never = {.year = 2023, .month = 2, .day = 29, .has_offset = true};
    ckit_interop_args   args;
    ckit_interop_args_init(&args, NULL);
    ckit_interop_args_datetime(&args, &never);
    check_refused(&args, CKIT_E_MISUSE, "argument 1: a datetime out of its ranges");
}

/* ---- sets and maps --------------------------------------------------------------------------------------- */

CKIT_TEST(interop_args, a_set_that_shrinks_takes_the_shorter_head_and_moves_what_follows) {
    ckit_interop_args args;
    ckit_interop_args_init(&args, NULL);
    ckit_interop_args_array(&args, 2);
    ckit_interop_args_set(&args, 17);
    for (int i = 16; i >= 0; i--) {
        ckit_interop_args_double(&args, i % 15);
    }
    ckit_interop_args_cstr(&args, "after");
    ckit_interop_args_nil(&args);
    check_packed(&args, "92929f000102030405060708090a0b0c0d0ea56166746572c0");
}

CKIT_TEST(interop_args, sets_hold_arrays_and_sets_and_order_them_by_their_bytes) {
    ckit_interop_args args;
    ckit_interop_args_init(&args, NULL);
    ckit_interop_args_set(&args, 4);
    ckit_interop_args_array(&args, 2);
    ckit_interop_args_int(&args, 1);
    ckit_interop_args_int(&args, 2);
    ckit_interop_args_set(&args, 2);
    ckit_interop_args_int(&args, 2);
    ckit_interop_args_int(&args, 1);
    ckit_interop_args_array(&args, 0);
    ckit_interop_args_nil(&args);
    ckit_interop_args_set(&args, 0);
    check_packed(&args, "929390920102c090");
}

CKIT_TEST(interop_args, large_sets_and_maps_are_sorted_with_the_wide_heads) {
    enum { MANY = 70000 };
    ckit_interop_args args;
    ckit_slice        packed;
    char              name[16];
    ckit_interop_args_init(&args, NULL);
    ckit_interop_args_map(&args, MANY);
    for (int i = MANY - 1; i >= 0; i--) {
        (void)snprintf(name, sizeof name, "%05d", i);
        ckit_interop_args_cstr(&args, name);
        ckit_interop_args_int(&args, i % 100);
    }
    ckit_interop_args_set(&args, MANY);
    for (int i = MANY - 1; i >= 0; i--) {
        ckit_interop_args_int(&args, i);
    }
    CHECK_OK(ckit_interop_args_pack(&args, &packed, NULL));
    CHECK_OK(ckit_interop_args_check(packed, NULL));
    CHECK_BYTES(hex_slice("92df00011170a5303030303000a5303030303101"), ckit_slice_of(packed.ptr, 20));
    const size_t integers = 128 + 128 * 2 + (65536 - 256) * 3 + (MANY - 65536) * 5;
    CHECK_BYTES(hex_slice("dd00011170000102"), ckit_slice_of(packed.ptr + packed.len - integers - 5, 8));
    ckit_interop_args_fini(&args);
}

CKIT_TEST(interop_args, a_map_is_sorted_by_its_keys_not_by_their_encoding) {
    /* The head of a longer key is greater, its text may be smaller. */
    ckit_interop_args args;
    ckit_interop_args_init(&args, NULL);
    ckit_interop_args_map(&args, 3);
    ckit_interop_args_cstr(&args, "b");
    ckit_interop_args_int(&args, 1);
    ckit_interop_args_cstr(&args, "aa");
    ckit_interop_args_int(&args, 2);
    ckit_interop_args_cstr(&args, "");
    ckit_interop_args_int(&args, 3);
    check_packed(&args, "9183a003a2616102a16201");
}

/* ---- documents as arguments ------------------------------------------------------------------------------ */

CKIT_TEST(interop_args, a_document_in_any_encoding_counts_as_what_it_means) {
    ckit_interop_args args;
    ckit_interop_args_init(&args, NULL);
    /* {"b": 2.0 (32 bits), "a": [1 (64 bits), "x" (32-bit length)]} */
    ckit_interop_args_document(&args, hex_slice("df00000002 a162 ca40000000 d90161 dc0002 cf0000000000000001"
                                                "db0000000178"));
    ckit_interop_args_document(&args, hex_slice("c0"));
    check_packed(&args, "9282a1619201a178a16202c0");
}

CKIT_TEST(interop_args, a_document_that_cannot_be_read_or_is_outside_of_the_model_is_told_apart) {
    static const struct {
        const char *document;
        ckit_status status;
        const char *why;
    } documents[] = {
        {"", CKIT_E_TRUNCATED, "argument 1: the input ends where a value should be"},
        {"92c0", CKIT_E_TRUNCATED, "argument 1: a count beyond what the input can hold"},
        {"c1", CKIT_E_DECODE, "argument 1: no value begins with this byte"},
        {"c0c0", CKIT_E_TRAILING, "argument 1: bytes behind the end of the document"},
        {"a1ff", CKIT_E_DECODE, "argument 1: text that is not UTF-8"},
        {"82a16101a161a1ff", CKIT_E_DECODE, "argument 1: text that is not UTF-8"},
        {"d40000", CKIT_E_KEY_ARGUMENT, "argument 1: an extension type"},
        {"92c0c70000", CKIT_E_KEY_ARGUMENT, "argument 1: an extension type"},
        {"810101", CKIT_E_KEY_ARGUMENT, "argument 1: the key of a map is not text"},
        {"81c4016101", CKIT_E_KEY_ARGUMENT, "argument 1: the key of a map is not text"},
        {"818000", CKIT_E_KEY_ARGUMENT, "argument 1: the key of a map is not text"},
        {"82a16101a16102", CKIT_E_KEY_ARGUMENT, "argument 1: two keys of a map are equal"},
        {"ca7fc00000", CKIT_E_KEY_ARGUMENT, "argument 1: a float that is not a number (NaN)"},
        {"caff800000", CKIT_E_KEY_ARGUMENT, "argument 1: an infinite float"},
    };
    for (size_t i = 0; i < COUNT(documents); i++) {
        ckit_interop_args args;
        ckit_interop_args_init(&args, NULL);
        ckit_interop_args_document(&args, hex_slice(documents[i].document));
        check_refused(&args, documents[i].status, documents[i].why);
    }
}

/* ---- what is refused ------------------------------------------------------------------------------------- */

static void give_bad_text(ckit_interop_args *a) { ckit_interop_args_str(a, S("\xed\xa0\x80")); }
static void give_integer_key(ckit_interop_args *a) {
    ckit_interop_args_map(a, 1);
    ckit_interop_args_int(a, 1);
}
static void give_bytes_key(ckit_interop_args *a) {
    ckit_interop_args_map(a, 1);
    ckit_interop_args_bytes(a, S("a"));
}
static void give_uuid_key(ckit_interop_args *a) {
    static const uint8_t uuid[16] = {0};
    ckit_interop_args_map(a, 1);
    ckit_interop_args_uuid(a, uuid);
}
static void give_set_key(ckit_interop_args *a) {
    ckit_interop_args_map(a, 1);
    ckit_interop_args_set(a, 0);
}
static void give_equal_keys(ckit_interop_args *a) {
    ckit_interop_args_map(a, 3);
    for (int i = 0; i < 3; i++) {
        ckit_interop_args_cstr(a, i == 1 ? "b" : "a");
        ckit_interop_args_nil(a);
    }
}
static void give_deep(ckit_interop_args *a) {
    for (int i = 0; i < CKIT_INTEROP_ARGS_MAX_DEPTH + 1; i++) {
        ckit_interop_args_array(a, 1);
    }
}
static void give_large(ckit_interop_args *a) {
    static const uint8_t one[1] = {0};
    ckit_interop_args_bytes(a, ckit_slice_of(one, CKIT_INTEROP_ARGS_MAX_BYTES + (size_t)1));
}
static void give_open(ckit_interop_args *a) {
    ckit_interop_args_map(a, 1);
    ckit_interop_args_cstr(a, "a");
}
static void give_foreign(ckit_interop_args *a) {
    ckit_interop_args_refuse(a, "an object of a class that is not known");
    ckit_interop_args_refuse(a, "the second failure is not told");
}

CKIT_TEST(interop_args, each_refusal_says_which_argument_and_why) {
    static const struct {
        void (*give)(ckit_interop_args *a);
        ckit_status status;
        const char *why;
    } refused[] = {
        {give_bad_text, CKIT_E_KEY_ARGUMENT, "argument 3: text that is not UTF-8"},
        {give_integer_key, CKIT_E_KEY_ARGUMENT, "argument 3: the key of a map is not text"},
        {give_bytes_key, CKIT_E_KEY_ARGUMENT, "argument 3: the key of a map is not text"},
        {give_uuid_key, CKIT_E_KEY_ARGUMENT, "argument 3: the key of a map is not text"},
        {give_set_key, CKIT_E_KEY_ARGUMENT, "argument 3: the key of a map is not text"},
        {give_equal_keys, CKIT_E_KEY_ARGUMENT, "argument 3: two keys of a map are equal"},
        {give_deep, CKIT_E_DEPTH, "argument 3: nested deeper than the limit"},
        {give_large, CKIT_E_TOO_LARGE, "argument 3: larger than its limit"},
        {give_open, CKIT_E_MISUSE, "argument 3: values are missing (1 containers are open)"},
        {give_foreign, CKIT_E_KEY_ARGUMENT, "argument 3: an object of a class that is not known"},
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        ckit_interop_args args;
        ckit_interop_args_init(&args, NULL);
        ckit_interop_args_nil(&args);
        ckit_interop_args_array(&args, 0);
        refused[i].give(&args);
        if (refused[i].status != CKIT_E_MISUSE) {
            ckit_interop_args_nil(&args);
        }
        check_refused(&args, refused[i].status, refused[i].why);
    }
}

CKIT_TEST(interop_args, the_deepest_argument_is_packed_and_read) {
    ckit_interop_args args;
    ckit_slice        packed;
    ckit_interop_args_init(&args, NULL);
    for (int i = 0; i < CKIT_INTEROP_ARGS_MAX_DEPTH; i++) {
        ckit_interop_args_array(&args, 1);
    }
    ckit_interop_args_nil(&args);
    CHECK_OK(ckit_interop_args_pack(&args, &packed, NULL));
    CHECK_EQ_U(CKIT_INTEROP_ARGS_MAX_DEPTH + 2, packed.len);
    CHECK_OK(ckit_interop_args_check(packed, NULL));
    ckit_interop_args_fini(&args);
}

CKIT_TEST(interop_args, packing_may_come_before_the_end_and_again) {
    ckit_interop_args args;
    ckit_slice        packed;
    ckit_interop_args_init(&args, NULL);
    CHECK_OK(ckit_interop_args_pack(&args, &packed, NULL));
    CHECK_BYTES(hex_slice("90"), packed);
    ckit_interop_args_array(&args, 1);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_interop_args_pack(&args, &packed, NULL));
    ckit_interop_args_nil(&args);
    CHECK_OK(ckit_interop_args_pack(&args, &packed, NULL));
    CHECK_BYTES(hex_slice("9191c0"), packed);
    for (int i = 0; i < 16; i++) {
        ckit_interop_args_bool(&args, true);
    }
    check_packed(&args, "dc001191c0c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3");
    ckit_interop_args_fini(NULL);
}

/* ---- what is checked of foreign bytes -------------------------------------------------------------------- */

CKIT_TEST(interop_args, foreign_arguments_are_checked_for_their_canonical_form) {
    static const struct {
        const char *packed;
        ckit_status status;
        const char *why;
    } foreign[] = {
        {"90", CKIT_OK, ""},
        {"91cb3ff8000000000000", CKIT_OK, ""},
        {"", CKIT_E_TRUNCATED, "the input ends where a value should be"},
        {"2a", CKIT_E_VALUE_TYPE, "integer where the array of arguments was expected"},
        {"80", CKIT_E_VALUE_TYPE, "map where the array of arguments was expected"},
        {"91cb4000000000000000", CKIT_E_DECODE, "a float that is an integer, at offset 1 of 10"},
        {"91cb8000000000000000", CKIT_E_DECODE, "a float that is an integer, at offset 1 of 10"},
        {"dc000100", CKIT_E_DECODE, "an encoding that is longer than needed, at offset 0 of 4"},
    };
    for (size_t i = 0; i < COUNT(foreign); i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS_ERR(foreign[i].status, ckit_interop_args_check(hex_slice(foreign[i].packed), &err), &err);
        CHECK_CONTAINS(foreign[i].why, err.text);
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static ckit_status give_much(const ckit_alloc *alloc) {
    ckit_interop_args args;
    ckit_slice        packed;
    char              name[16];
    ckit_interop_args_init(&args, alloc);
    ckit_interop_args_map(&args, 100);
    for (int i = 99; i >= 0; i--) {
        (void)snprintf(name, sizeof name, "%d", i);
        ckit_interop_args_cstr(&args, name);
        ckit_interop_args_set(&args, 40);
        for (int j = 40; j > 0; j--) {
            ckit_interop_args_int(&args, j / 2);
        }
    }
    const ckit_status st = ckit_interop_args_pack(&args, &packed, NULL);
    ckit_interop_args_fini(&args);
    return st;
}

CKIT_TEST(interop_args, arguments_survive_the_failure_of_any_allocation) {
    uint64_t n = 0;
    for (;; n++) {
        failing_alloc fa;
        failing_alloc_init(&fa, n);
        const ckit_status st = give_much(&fa.alloc);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
    CHECK(n > 5);
}
