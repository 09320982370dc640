/* Keys of interop mode, byte for byte: the vectors that the released SDKs are held to, and keys that programs in three
 * languages share. Of interop_key.c. */
#include <cachekit/interop.h>

#include "support/hex.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the arguments --------------------------------------------------------------------------------------- */

static void give_filled(ckit_interop_args *a, ckit_type type, char fill, size_t len) {
    char bytes[256];
    memset(bytes, fill, sizeof bytes);
    if (type == CKIT_TYPE_STR) {
        ckit_interop_args_str(a, ckit_slice_of(bytes, len));
    } else {
        ckit_interop_args_bytes(a, ckit_slice_of(bytes, len));
    }
}

static void give_integers(ckit_interop_args *a, int count) {
    for (int i = 0; i < count; i++) {
        ckit_interop_args_int(a, i);
    }
}

/* From the last key to the first. */
static void give_numbered_map(ckit_interop_args *a, int count) {
    ckit_interop_args_map(a, (uint32_t)count);
    for (int i = count - 1; i >= 0; i--) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%02d", i);
        ckit_interop_args_cstr(a, name);
        ckit_interop_args_int(a, i);
    }
}

static void give_datetime(ckit_interop_args *a, const char *text) {
    ckit_datetime value;
    CHECK_OK(ckit_datetime_parse(S(text), &value, NULL));
    ckit_interop_args_datetime(a, &value);
}

/* In any case of letters, with hyphens anywhere. */
static void give_uuid(ckit_interop_args *a, const char *text) {
    char   digits[33];
    size_t len = 0;
    for (; *text != '\0'; text++) {
        if (*text != '-') {
            digits[len++] = *text;
        }
    }
    digits[len] = '\0';
    ckit_interop_args_uuid(a, hex_slice(digits).ptr);
}

static void empty_args(ckit_interop_args *a) { (void)a; }
static void single_int(ckit_interop_args *a) { ckit_interop_args_int(a, 42); }
static void uint64_max(ckit_interop_args *a) { ckit_interop_args_integer(a, S("18446744073709551615")); }
static void int64_min(ckit_interop_args *a) { ckit_interop_args_integer(a, S("-9223372036854775808")); }
static void uint_width_ladder(ckit_interop_args *a) {
    ckit_interop_args_int(a, 127);
    ckit_interop_args_int(a, 128);
    ckit_interop_args_int(a, 255);
    ckit_interop_args_int(a, 256);
    ckit_interop_args_int(a, 65535);
    ckit_interop_args_int(a, 65536);
    ckit_interop_args_int(a, INT64_C(4294967295));
    ckit_interop_args_int(a, INT64_C(4294967296));
}
static void int_width_ladder(ckit_interop_args *a) {
    ckit_interop_args_int(a, -32);
    ckit_interop_args_int(a, -33);
    ckit_interop_args_int(a, -128);
    ckit_interop_args_int(a, -129);
    ckit_interop_args_int(a, -32768);
    ckit_interop_args_int(a, -32769);
    ckit_interop_args_int(a, -2147483648);
    ckit_interop_args_int(a, INT64_C(-2147483649));
}
static void unicode_string(ckit_interop_args *a) {
    ckit_interop_args_cstr(a, "h\xc3\xa9llo w\xc3\xb6rld \xe2\x9c\x93");
}
static void str_width_ladder(ckit_interop_args *a) {
    give_filled(a, CKIT_TYPE_STR, 'a', 31);
    give_filled(a, CKIT_TYPE_STR, 'b', 32);
    give_filled(a, CKIT_TYPE_STR, 'c', 255);
    give_filled(a, CKIT_TYPE_STR, 'd', 256);
}
static void bin_width_ladder(ckit_interop_args *a) {
    give_filled(a, CKIT_TYPE_BIN, '\xab', 255);
    give_filled(a, CKIT_TYPE_BIN, '\xcd', 256);
}
static void array_width_boundary(ckit_interop_args *a) {
    ckit_interop_args_array(a, 15);
    give_integers(a, 15);
    ckit_interop_args_array(a, 16);
    give_integers(a, 16);
}
static void map_width_boundary(ckit_interop_args *a) {
    give_numbered_map(a, 15);
    give_numbered_map(a, 16);
}
static void root_array16(ckit_interop_args *a) { give_integers(a, 16); }
static void bool_null(ckit_interop_args *a) {
    ckit_interop_args_bool(a, true);
    ckit_interop_args_bool(a, false);
    ckit_interop_args_nil(a);
}
static void float_fractional(ckit_interop_args *a) { ckit_interop_args_double(a, 3.14); }
static void float_integral_collapse(ckit_interop_args *a) { ckit_interop_args_double(a, 2.0); }
static void single_int_two(ckit_interop_args *a) { ckit_interop_args_int(a, 2); }
static void negative_zero(ckit_interop_args *a) { ckit_interop_args_double(a, -0.0); }
static void float_large_integral_out_of_range(ckit_interop_args *a) {
    ckit_interop_args_double(a, 18446744073709551616.0);
}
static void map_key_sort_ascii(ckit_interop_args *a) {
    ckit_interop_args_map(a, 3);
    ckit_interop_args_cstr(a, "b");
    ckit_interop_args_int(a, 2);
    ckit_interop_args_cstr(a, "a");
    ckit_interop_args_int(a, 1);
    ckit_interop_args_cstr(a, "A");
    ckit_interop_args_int(a, 3);
}
static void map_key_sort_supplementary(ckit_interop_args *a) {
    ckit_interop_args_map(a, 2);
    ckit_interop_args_cstr(a, "\xf0\x90\x80\x80");
    ckit_interop_args_int(a, 1);
    ckit_interop_args_cstr(a, "\xef\xbd\xa1");
    ckit_interop_args_int(a, 2);
}
static void nested_map_recursive_sort(ckit_interop_args *a) {
    ckit_interop_args_map(a, 2);
    ckit_interop_args_cstr(a, "z");
    ckit_interop_args_map(a, 2);
    ckit_interop_args_cstr(a, "b");
    ckit_interop_args_int(a, 1);
    ckit_interop_args_cstr(a, "a");
    ckit_interop_args_int(a, 2);
    ckit_interop_args_cstr(a, "a");
    ckit_interop_args_array(a, 2);
    ckit_interop_args_int(a, 1);
    ckit_interop_args_int(a, 2);
}
static void set_int_sorted(ckit_interop_args *a) {
    ckit_interop_args_set(a, 3);
    ckit_interop_args_int(a, 3);
    ckit_interop_args_int(a, 1);
    ckit_interop_args_int(a, 2);
}
static void set_heterogeneous(ckit_interop_args *a) {
    ckit_interop_args_set(a, 3);
    ckit_interop_args_cstr(a, "b");
    ckit_interop_args_int(a, 10);
    ckit_interop_args_cstr(a, "a");
}
static void set_mixed_sign_order(ckit_interop_args *a) {
    ckit_interop_args_set(a, 3);
    ckit_interop_args_int(a, -5);
    ckit_interop_args_cstr(a, "a");
    ckit_interop_args_double(a, 1.5);
}
static void float_collapse_lower_bound(ckit_interop_args *a) { ckit_interop_args_double(a, -9223372036854775808.0); }
static void set_dedupe_canonicalization(ckit_interop_args *a) {
    ckit_interop_args_set(a, 2);
    ckit_interop_args_int(a, 2);
    ckit_interop_args_double(a, 2.0);
}
static void datetime_fractional(ckit_interop_args *a) { give_datetime(a, "2024-01-01T12:30:45.123456+00:00"); }
static void datetime_whole_second(ckit_interop_args *a) { give_datetime(a, "2024-01-01T00:00:00+00:00"); }
static void datetime_non_utc_offset(ckit_interop_args *a) { give_datetime(a, "2024-01-01T18:00:45.123456+05:30"); }
static void datetime_pre_epoch(ckit_interop_args *a) { give_datetime(a, "1969-12-31T23:59:59.123456+00:00"); }
static void uuid_lowercased(ckit_interop_args *a) { give_uuid(a, "550E8400-E29B-41D4-A716-446655440000"); }
static void bytes_bin(ckit_interop_args *a) { ckit_interop_args_bytes(a, S_LITERAL("\xde\xad\xbe\xef")); }
static void issue_example_mixed(ckit_interop_args *a) {
    ckit_interop_args_int(a, 42);
    ckit_interop_args_cstr(a, "hello");
    ckit_interop_args_map(a, 2);
    ckit_interop_args_cstr(a, "b");
    ckit_interop_args_int(a, 2);
    ckit_interop_args_cstr(a, "a");
    ckit_interop_args_int(a, 1);
}
static void extra_5m(ckit_interop_args *a) { ckit_interop_args_cstr(a, "5m"); }
static void extra_1h(ckit_interop_args *a) { ckit_interop_args_cstr(a, "1h"); }
static void extra_24h(ckit_interop_args *a) { ckit_interop_args_cstr(a, "24h"); }

/* ---- the keys -------------------------------------------------------------------------------------------- */

typedef struct interop_vector {
    const char *name;
    void (*give)(ckit_interop_args *a);
    const char *namespace_name;
    const char *operation;
    const char *packed;
    const char *hash;
} interop_vector;

static const interop_vector vectors[] = {
    {"empty_args", empty_args, "users", "get_all", "90",
     "8064bf5f945dba521b017bb3f32b31a293a6e16944838d171ea9e77fab085e8e"},
    {"single_int", single_int, "users", "get_user", "912a",
     "61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875"},
    {"uint64_max", uint64_max, "users", "get_user", "91cfffffffffffffffff",
     "0cc46c520dfb8f301e03756131351da58fb433d5258f5db3dde927a8c83b9430"},
    {"int64_min", int64_min, "t", "op", "91d38000000000000000",
     "2882730c0cc9df9bc2152c1833892075377b801a72a715434f103b694e4a5909"},
    {"uint_width_ladder", uint_width_ladder, "t", "op",
     "987fcc80ccffcd0100cdffffce00010000ceffffffffcf0000000100000000",
     "ccf107ae1fc53bde440609a16dc30794916bd692f06309832621b9c49c89f9b7"},
    {"int_width_ladder", int_width_ladder, "t", "op", "98e0d0dfd080d1ff7fd18000d2ffff7fffd280000000d3ffffffff7fffffff",
     "92fa9f5c0f336f282290472144b6a4cf86b2840a1cbd8366e42fdfa1d4faa98f"},
    {"unicode_string", unicode_string, "t", "op", "91b168c3a96c6c6f2077c3b6726c6420e29c93",
     "00fd1c3045fe23cfe4cac788a9e15773e1f9722ca84e28917f64be99dd7a5a3c"},
    {"str_width_ladder", str_width_ladder, "t", "op",
     "94bf61616161616161616161616161616161616161616161616161616161616161d920626262626262626262626262626262"
     "6262626262626262626262626262626262d9ff63636363636363636363636363636363636363636363636363636363636363"
     "6363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363"
     "6363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363"
     "6363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363"
     "6363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363636363"
     "636363636363636363636363636363636363636363636363da01006464646464646464646464646464646464646464646464"
     "6464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464"
     "6464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464"
     "6464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464"
     "6464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464646464"
     "646464646464646464646464646464646464646464646464646464646464646464",
     "9b750ae4a2ed646a51472aebbcffffade0f4633edbc8152cafcd2d00375d865b"},
    {"bin_width_ladder", bin_width_ladder, "t", "op",
     "92c4ffababababababababababababababababababababababababababababababababababababababababababababababab"
     "abababababababababababababababababababababababababababababababababababababababababababababababababab"
     "abababababababababababababababababababababababababababababababababababababababababababababababababab"
     "abababababababababababababababababababababababababababababababababababababababababababababababababab"
     "abababababababababababababababababababababababababababababababababababababababababababababababababab"
     "ababababababababc50100cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     "0a888f5ac66954cd56155853f2f2e964a65dd26783e9fc4249395ca1f99f28c0"},
    {"array_width_boundary", array_width_boundary, "t", "op",
     "929f000102030405060708090a0b0c0d0edc0010000102030405060708090a0b0c0d0e0f",
     "d121a3c3f0427c5df363068940c15d966120be41ea11d4befe62e3408a676130"},
    {"map_width_boundary", map_width_boundary, "t", "op",
     "928fa36b303000a36b303101a36b303202a36b303303a36b303404a36b303505a36b303606a36b303707a36b303808a36b30"
     "3909a36b31300aa36b31310ba36b31320ca36b31330da36b31340ede0010a36b303000a36b303101a36b303202a36b303303"
     "a36b303404a36b303505a36b303606a36b303707a36b303808a36b303909a36b31300aa36b31310ba36b31320ca36b31330d"
     "a36b31340ea36b31350f",
     "fed444a7b22613e6ff38c05e96df352182f71c41e4db57b2b3e7f0389cabfe46"},
    {"root_array16", root_array16, "t", "op", "dc0010000102030405060708090a0b0c0d0e0f",
     "c55dd1f50e57b0dfbcd8827965516e2e33e7de2788f18d7d88d82575e34f2116"},
    {"bool_null", bool_null, "t", "op", "93c3c2c0", "1e364f6582ca4dc93b8bed0ff4413162cddafd52407517bff6248286cb863ac1"},
    {"float_fractional", float_fractional, "t", "op", "91cb40091eb851eb851f",
     "8a855804f9b7adf8f428c4f1c757c44262265a2d13be6b4242ab6556724011cd"},
    {"float_integral_collapse", float_integral_collapse, "t", "op", "9102",
     "6df5e966da1ba347f99784f56e50e2f570e775e54c9c9349dd8944cb7fe01ea7"},
    {"single_int_two", single_int_two, "t", "op", "9102",
     "6df5e966da1ba347f99784f56e50e2f570e775e54c9c9349dd8944cb7fe01ea7"},
    {"negative_zero", negative_zero, "t", "op", "9100",
     "f3255c8870de95dd7cf82fab94f78110361b999beea857dac7607a4a67522bda"},
    {"float_large_integral_out_of_range", float_large_integral_out_of_range, "t", "op", "91cb43f0000000000000",
     "ab5d4f7d9ddd4a4daceb62a06b1765ab33e6db86aafd4e79ab6ad49f8a3960c8"},
    {"map_key_sort_ascii", map_key_sort_ascii, "t", "op", "9183a14103a16101a16202",
     "355030356fd2716354d3c0518604658891794f80f4838202ef931424b51f3f29"},
    {"map_key_sort_supplementary", map_key_sort_supplementary, "t", "op", "9182a3efbda102a4f090808001",
     "f732e0e1342939877b9991ccc7177e4ed974f9f84de464d225fc742e467dbf3f"},
    {"nested_map_recursive_sort", nested_map_recursive_sort, "t", "op", "9182a161920102a17a82a16102a16201",
     "2be8ea89d36af856c225ff709cb4b892148cc336b47fcd9b255dc736f35780d4"},
    {"set_int_sorted", set_int_sorted, "t", "op", "9193010203",
     "458a244b5b00f4244d52c7f1c5cd231355beae391eaf1d2e4bfee04d495b58b5"},
    {"set_heterogeneous", set_heterogeneous, "t", "op", "91930aa161a162",
     "6e2c172b9a9e966d3febc66a2a28c05a6ffabbd3b798bf341ec1d55ed73d6e4f"},
    {"set_mixed_sign_order", set_mixed_sign_order, "t", "op", "9193a161cb3ff8000000000000fb",
     "1f1a8fdd7221fac0fd57e7e5cd1ceec1c43eadd35570f6de63eb59ffc014a1e9"},
    {"float_collapse_lower_bound", float_collapse_lower_bound, "t", "op", "91d38000000000000000",
     "2882730c0cc9df9bc2152c1833892075377b801a72a715434f103b694e4a5909"},
    {"set_dedupe_canonicalization", set_dedupe_canonicalization, "t", "op", "919102",
     "0b32675997838bef03127b5e69d6c103d5f622676fd5006254fa36a36c9a828c"},
    {"datetime_fractional", datetime_fractional, "events", "get_by_time", "91cb41d964ac1d47e6b4",
     "1b85c4d90f566c5df71ebd437c4f296c1a2d5567c9cc69edb026f804a134997b"},
    {"datetime_whole_second", datetime_whole_second, "events", "get_by_time", "91ce65920080",
     "b3504b56c162854b07071c4577f3c73f3ec615c8a3152928bf5c6dba086461c2"},
    {"datetime_non_utc_offset", datetime_non_utc_offset, "events", "get_by_time", "91cb41d964ac1d47e6b4",
     "1b85c4d90f566c5df71ebd437c4f296c1a2d5567c9cc69edb026f804a134997b"},
    {"datetime_pre_epoch", datetime_pre_epoch, "events", "get_by_time", "91cbbfec0ca600b02928",
     "821ed5d8a5c055d2e42cf1c1b3df57f7e99914a8245446cc16567e581c1c1630"},
    {"uuid_lowercased", uuid_lowercased, "users", "get_by_uuid",
     "91d92435353065383430302d653239622d343164342d613731362d343436363535343430303030",
     "14821dfe8848465aa23db43cb83be508f51d9ac556479bcc78b8a522e268a62a"},
    {"bytes_bin", bytes_bin, "t", "op", "91c404deadbeef",
     "2ed8716bf7f1438057a9e8082b456c8566f95ed0dda11b1e16e6a1a74ebebfc0"},
    {"issue_example_mixed", issue_example_mixed, "t", "op", "932aa568656c6c6f82a16101a16202",
     "03a0edbae0c1b5816c431652268d1527730175cdc0b45807cb07e1025ff971f6"},
    {"trending_hashtags", extra_5m, "bluesky-thinking", "trending_hashtags", "91a2356d",
     "230037def14c9a89b18603f313d982d6a3f7acd4af5147b2f6ae2c257b82ce57"},
    {"trending_hashtags", extra_1h, "bluesky-thinking", "trending_hashtags", "91a23168",
     "17092aa9bfa2cc2fa567c40b8d5a23d93ee9f148f7754467eeb90bd0168d9301"},
    {"trending_hashtags", extra_24h, "bluesky-thinking", "trending_hashtags", "91a3323468",
     "587d262535cbfca724700a52f210eaa396da79f44e0cb3135afdd2eecb3907f3"},
    {"posts_per_minute", extra_5m, "bluesky-thinking", "posts_per_minute", "91a2356d",
     "230037def14c9a89b18603f313d982d6a3f7acd4af5147b2f6ae2c257b82ce57"},
};

CKIT_TEST(interop, every_vector_gives_its_bytes_and_its_key) {
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const interop_vector  *v = &vectors[i];
        ckit_interop_args      args;
        ckit_interop_key_parts parts;
        ckit_slice             packed;
        ckit_buf               key = CKIT_BUF_INIT;
        char                   expected[CKIT_INTEROP_KEY_MAX + 1];
        ckit_error             err = CKIT_ERROR_INIT;
        (void)snprintf(expected, sizeof expected, "%s:%s:%s", v->namespace_name, v->operation, v->hash);
        ckit_interop_args_init(&args, NULL);
        v->give(&args);
        CHECK_OK_ERR(ckit_interop_args_pack(&args, &packed, &err), &err);
        CHECK_BYTES(hex_slice(v->packed), packed);
        CHECK_OK_ERR(ckit_interop_args_check(packed, &err), &err);
        CHECK_OK_ERR(ckit_interop_key(S(v->namespace_name), S(v->operation), packed, &key, &err), &err);
        CHECK_TEXT(expected, ckit_buf_slice(&key));
        CHECK(ckit_interop_key_describe(ckit_buf_slice(&key), &parts));
        CHECK_TEXT(v->namespace_name, parts.namespace_name);
        CHECK_TEXT(v->operation, parts.operation);
        CHECK_TEXT(v->hash, parts.hash);
        ckit_buf_fini(&key);
        ckit_interop_args_fini(&args);
    }
    CHECK_EQ_U(37, COUNT(vectors));
}

/* ---- what is refused ------------------------------------------------------------------------------------- */

static void reject_nan(ckit_interop_args *a) { ckit_interop_args_double(a, (double)NAN); }
static void reject_infinity(ckit_interop_args *a) { ckit_interop_args_double(a, (double)INFINITY); }
static void reject_negative_infinity(ckit_interop_args *a) { ckit_interop_args_double(a, -(double)INFINITY); }
static void reject_int_overflow(ckit_interop_args *a) { ckit_interop_args_integer(a, S("18446744073709551616")); }
static void reject_int_underflow(ckit_interop_args *a) { ckit_interop_args_integer(a, S("-9223372036854775809")); }
static void reject_naive_datetime(ckit_interop_args *a) { give_datetime(a, "2024-01-01T00:00:00"); }

static const struct refused_vector {
    void (*give)(ckit_interop_args *a);
    const char *why;
} refused[] = {
    {reject_nan, "argument 1: a float that is not a number (NaN)"},
    {reject_infinity, "argument 1: an infinite float"},
    {reject_negative_infinity, "argument 1: an infinite float"},
    {reject_int_overflow, "argument 1: an integer above 2^64-1"},
    {reject_int_underflow, "argument 1: an integer below -2^63"},
    {reject_naive_datetime, "argument 1: a datetime without an offset is no instant: attach one"},
};

CKIT_TEST(interop, every_vector_that_must_be_refused_is) {
    for (size_t i = 0; i < COUNT(refused); i++) {
        ckit_interop_args args;
        ckit_slice        packed;
        ckit_error        err = CKIT_ERROR_INIT;
        ckit_interop_args_init(&args, NULL);
        refused[i].give(&args);
        CHECK_STATUS_ERR(CKIT_E_KEY_ARGUMENT, ckit_interop_args_pack(&args, &packed, &err), &err);
        CHECK_STR(refused[i].why, err.text);
        CHECK_EQ_U(0, packed.len);
        ckit_interop_args_fini(&args);
    }
}

static const struct refused_name {
    const char *namespace_name;
    const char *operation;
    const char *why;
} refused_names[] = {
    {"Users", "get_user", "namespace: begins with 0x55, not with a-z or 0-9"},
    {"users", "get:user", "operation: byte 4 is 0x3a, none of a-z 0-9 . _ -"},
    {"users\n", "get_user", "namespace: byte 6 is 0x0a, none of a-z 0-9 . _ -"},
    {"", "get_user", "namespace: empty, and interop mode needs one"},
    {"users", "", "operation: empty, and interop mode needs one"},
    {".users", "get_user", "namespace: begins with 0x2e, not with a-z or 0-9"},
    {"users", "-get", "operation: begins with 0x2d, not with a-z or 0-9"},
    {"_users", "get_user", "namespace: begins with 0x5f, not with a-z or 0-9"},
    {"us\xc3\xa9rs", "get_user", "namespace: byte 3 is 0xc3, none of a-z 0-9 . _ -"},
    {"users", "getUser", "operation: byte 4 is 0x55, none of a-z 0-9 . _ -"},
    {"us ers", "get_user", "namespace: byte 3 is 0x20, none of a-z 0-9 . _ -"},
    {"users", "a2345678901234567890123456789012345678901234567890123456789012345",
     "operation: 65 bytes, at most 64 are allowed"},
};

CKIT_TEST(interop, names_outside_of_their_grammar_are_refused_and_never_repaired) {
    for (size_t i = 0; i < COUNT(refused_names); i++) {
        ckit_buf   key = CKIT_BUF_INIT;
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS_ERR(
            CKIT_E_MISUSE,
            ckit_interop_key(S(refused_names[i].namespace_name), S(refused_names[i].operation), S("\x90"), &key, &err),
            &err);
        CHECK_STR(refused_names[i].why, err.text);
        CHECK_EQ_U(0, key.len);
        ckit_buf_fini(&key);
    }
    CHECK_STATUS(CKIT_E_MISUSE, ckit_interop_name_check(S_LITERAL("a\0b"), "namespace", NULL));
}

CKIT_TEST(interop, names_may_have_64_bytes_of_lowercase_letters_digits_and_three_signs) {
    static const char longest[] = "0123456789abcdefghijklmnopqrstuvwxyz._-9876543210abcdefghijklmno";
    ckit_buf          key = CKIT_BUF_INIT;
    CHECK_EQ_U(64, sizeof longest - 1);
    CHECK_OK(ckit_interop_name_check(S("a"), "namespace", NULL));
    CHECK_OK(ckit_interop_name_check(S("7"), "namespace", NULL));
    CHECK_OK(ckit_interop_name_check(S("a.b_c-"), "namespace", NULL));
    CHECK_OK(ckit_interop_key(S(longest), S(longest), S("\x90"), &key, NULL));
    CHECK_EQ_U(CKIT_INTEROP_KEY_MAX, key.len);
    ckit_buf_fini(&key);
}

#define HASH "8064bf5f945dba521b017bb3f32b31a293a6e16944838d171ea9e77fab085e8e"

CKIT_TEST(interop, only_keys_of_the_exact_form_are_taken_apart) {
    static const char *const others[] = {
        "",
        ":",
        "::",
        "users",
        "users:get_user",
        "users:get_user:",
        HASH,
        "get_user:" HASH,
        "users:get_user:" HASH "0",
        "users:get_user:" HASH ":1s",
        "users::" HASH,
        ":get_user:" HASH,
        "Users:get_user:" HASH,
        "users:get_user:8064BF5F945DBA521B017BB3F32B31A293A6E16944838D171EA9E77FAB085E8E",
        "ns:users:func:m.f:args:" HASH ":1s",
        "users:get_user\n:" HASH,
    };
    ckit_interop_key_parts parts;
    CHECK(ckit_interop_key_describe(S("users:get_user:" HASH), &parts));
    for (size_t i = 0; i < COUNT(others); i++) {
        CHECKF(!ckit_interop_key_describe(S(others[i]), &parts), "%s", others[i]);
        CHECK_EQ_U(0, parts.namespace_name.len + parts.operation.len + parts.hash.len);
    }
}
