/* Automatic keys, byte for byte: the vectors of the released SDKs, and those derived from the format. */
#include <cachekit/buf.h>
#include <cachekit/key.h>

#include "support/hex.h"
#include "support/test.h"

#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the calls ------------------------------------------------------------------------------------------- */

static void args_single_integer(ckit_args *a) { ckit_args_int(a, 42); }
static void args_single_string(ckit_args *a) { ckit_args_cstr(a, "hello"); }
static void args_multiple_args(ckit_args *a) {
    ckit_args_int(a, 1);
    ckit_args_cstr(a, "two");
    ckit_args_double(a, 3.0);
}
static void args_kwargs_only(ckit_args *a) {
    ckit_args_keyword(a, S("user_id"));
    ckit_args_int(a, 42);
    ckit_args_keyword(a, S("include_profile"));
    ckit_args_bool(a, true);
}
static void args_mixed_args_kwargs(ckit_args *a) {
    ckit_args_cstr(a, "alice");
    ckit_args_keyword(a, S("age"));
    ckit_args_int(a, 30);
}
static void args_no_namespace(ckit_args *a) { ckit_args_int(a, 1); }
static void args_empty_args(ckit_args *a) { (void)a; }
static void args_none_arg(ckit_args *a) { ckit_args_nil(a); }
static void args_boolean_args(ckit_args *a) {
    ckit_args_bool(a, true);
    ckit_args_bool(a, false);
}
static void args_nested_dict(ckit_args *a) {
    ckit_args_map(a, 1);
    ckit_args_cstr(a, "user");
    ckit_args_map(a, 2);
    ckit_args_cstr(a, "name");
    ckit_args_cstr(a, "alice");
    ckit_args_cstr(a, "ids");
    ckit_args_array(a, 3);
    ckit_args_int(a, 1);
    ckit_args_int(a, 2);
    ckit_args_int(a, 3);
}

static void args_one(ckit_args *a) { ckit_args_uint(a, 1); }
static void args_bool_true(ckit_args *a) { ckit_args_bool(a, true); }
static void args_float_one(ckit_args *a) { ckit_args_double(a, 1.0); }
static void args_neg_zero(ckit_args *a) { ckit_args_double(a, -0.0); }
static void args_nan(ckit_args *a) {
    const uint64_t bits = UINT64_C(0x7ff8000000000000);
    double         value;
    memcpy(&value, &bits, sizeof value);
    ckit_args_double(a, value);
}
static void args_inf(ckit_args *a) { ckit_args_double(a, INFINITY); }
static void args_uint64_max(ckit_args *a) { ckit_args_uint(a, UINT64_MAX); }
static void args_int64_min(ckit_args *a) { ckit_args_int(a, INT64_MIN); }
static void args_bytes(ckit_args *a) { ckit_args_bytes(a, S_LITERAL("\x00\xff")); }
static void args_tuple(ckit_args *a) {
    ckit_args_array(a, 2);
    ckit_args_int(a, 1);
    ckit_args_int(a, 2);
}
static void args_dict_sorted(ckit_args *a) {
    ckit_args_map(a, 2);
    ckit_args_cstr(a, "b");
    ckit_args_int(a, 1);
    ckit_args_cstr(a, "a");
    ckit_args_int(a, 2);
}
static void args_dict_int_keys(ckit_args *a) {
    ckit_args_map(a, 2);
    ckit_args_int(a, 2);
    ckit_args_cstr(a, "b");
    ckit_args_int(a, 1);
    ckit_args_cstr(a, "a");
}
static void args_path(ckit_args *a) { ckit_args_path(a, S("/data/cache/foo")); }
static void args_uuid(ckit_args *a) {
    static const uint8_t uuid[16] = {0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78,
                                     0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x56, 0x78};
    ckit_args_uuid(a, uuid);
}
static void args_decimal(ckit_args *a) { ckit_args_decimal(a, S("19.99")); }
static void args_decimal_exp(ckit_args *a) { ckit_args_decimal(a, S("1E+2")); }
static void args_datetime_utc(ckit_args *a) {
    const ckit_datetime value = {.year = 2024, .month = 1, .day = 15, .hour = 12, .has_offset = true};
    ckit_args_datetime(a, &value);
}
static void args_datetime_plus0530_us(ckit_args *a) {
    const ckit_datetime value = {.year = 2024,
                                 .month = 1,
                                 .day = 1,
                                 .hour = 18,
                                 .second = 45,
                                 .microsecond = 123456,
                                 .has_offset = true,
                                 .offset_seconds = 19800};
    ckit_args_datetime(a, &value);
}
static void args_vector_f64(ckit_args *a) {
    static const double elements[] = {1.0, 2.0, 3.0};
    ckit_args_vector(a, CKIT_VECTOR_F64, elements, 3);
}
static void args_vector_i32(ckit_args *a) {
    static const int32_t elements[] = {1, 2, 3};
    ckit_args_vector(a, CKIT_VECTOR_I32, elements, 3);
}
static void args_vector_f32_empty(ckit_args *a) { ckit_args_vector(a, CKIT_VECTOR_F32, NULL, 0); }
static void args_keyword_one(ckit_args *a) {
    ckit_args_keyword(a, S("x"));
    ckit_args_int(a, 1);
}

/* ---- the keys -------------------------------------------------------------------------------------------- */

typedef struct key_vector {
    const char *name;
    void (*give)(ckit_args *a);
    const char *namespace_name;
    const char *function;
    bool        integrity;
    char        code;
    const char *packed; /* NULL: only the key is known */
    const char *key;
} key_vector;

/* Written by the Python SDK. */
static const key_vector released[] = {
    {"single_integer", args_single_integer, "test", "__main__.get_user", true, 's', NULL,
     "ns:test:func:__main__.get_user:args:3870b2ea5735ae639ded9450ef117768db676f037bec636503796c5b8109"
     "5153:1s"},
    {"single_string", args_single_string, "test", "__main__.get_user", true, 's', NULL,
     "ns:test:func:__main__.get_user:args:07ed6e7b87ff98f70efe4f4a8f082fa79415b9f670be68f3ada1f42244b5"
     "b6de:1s"},
    {"multiple_args", args_multiple_args, "test", "__main__.process", true, 's', NULL,
     "ns:test:func:__main__.process:args:465e6bc8edd493c64748a0c405106db14d2bb481989bf1849481f1343982e"
     "179:1s"},
    {"kwargs_only", args_kwargs_only, "test", "__main__.get_user", true, 's', NULL,
     "ns:test:func:__main__.get_user:args:14570849f0d99524f4149319d37fa0c298278b8f1724c12d6cb7631efaf8"
     "6f0e:1s"},
    {"mixed_args_kwargs", args_mixed_args_kwargs, "test", "__main__.get_user", true, 's', NULL,
     "ns:test:func:__main__.get_user:args:573b0961d0bf4e7207c6628a3f9e42c97a0cd01e276d8904ec5af6c877cd"
     "599e:1s"},
    {"no_namespace", args_no_namespace, NULL, "__main__.get_user", true, 's', NULL,
     "func:__main__.get_user:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:1s"},
    {"empty_args", args_empty_args, "test", "__main__.get_user", true, 's', NULL,
     "ns:test:func:__main__.get_user:args:f9cf3864b6e929eb73f84cf6d69409e0bd7575f8cf6feafe3a543b0f7267"
     "b2b2:1s"},
    {"none_arg", args_none_arg, "test", "__main__.get_user", true, 's', NULL,
     "ns:test:func:__main__.get_user:args:073b96f1817ee2b2a26b6cee56401999e4dc2d8836d596927d0aad3e338c"
     "2f0b:1s"},
    {"boolean_args", args_boolean_args, "test", "__main__.process", true, 's', NULL,
     "ns:test:func:__main__.process:args:982385ac5333a35e2d5d68638aafe47ba31d36c1f3cd60d0ed57396e3c638"
     "334:1s"},
    {"nested_dict", args_nested_dict, "test", "__main__.get_user", true, 's', NULL,
     "ns:test:func:__main__.get_user:args:14a3433f54d70b4cc452c3a140f8c3a0979acb3dc2baf7238dc4e6675265"
     "f3a8:1s"},
};

/* What the released vectors leave out, computed by the rules. */
static const key_vector derived[] = {
    {"int_one", args_one, "test", "__main__.f", true, 's', "92910180",
     "ns:test:func:__main__.f:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:1s"},
    {"bool_true", args_bool_true, "test", "__main__.f", true, 's', "9291c380",
     "ns:test:func:__main__.f:args:cdd804906f061aafdf1289d1569720abd6b350c130827075ba879484be622dc2:1s"},
    {"float_one", args_float_one, "test", "__main__.f", true, 's', "9291cb3ff000000000000080",
     "ns:test:func:__main__.f:args:556cdfebd724e0c768fede27d94b085788417768737d81b6e7f420eb3cb2d377:1s"},
    {"neg_zero", args_neg_zero, "test", "__main__.f", true, 's', "9291cb000000000000000080",
     "ns:test:func:__main__.f:args:57e581573a3719cb3e2432629bfe26453b890caa20742235d938577f3db690b2:1s"},
    {"nan", args_nan, "test", "__main__.f", true, 's', "9291cb7ff800000000000080",
     "ns:test:func:__main__.f:args:a77ae183d4749ff1c4e56eb098d1d8f7088cc5e32177d619b35c690d0404d97c:1s"},
    {"inf", args_inf, "test", "__main__.f", true, 's', "9291cb7ff000000000000080",
     "ns:test:func:__main__.f:args:1b5888c2924c05ee8145dc8b5a59b300690cfc9a8ce7d7b99f133edff12dac2d:1s"},
    {"uint64_max", args_uint64_max, "test", "__main__.f", true, 's', "9291cfffffffffffffffff80",
     "ns:test:func:__main__.f:args:d3dbd84c0cba45a40321caf560c1d09a3c39eaec1db9fe439c1495d4f82268cb:1s"},
    {"int64_min", args_int64_min, "test", "__main__.f", true, 's', "9291d3800000000000000080",
     "ns:test:func:__main__.f:args:24591267e48fa62e3ae5e721707edcd7eb108d3ef4e6d132dceaddeba2dd618f:1s"},
    {"bytes", args_bytes, "test", "__main__.f", true, 's', "9291c40200ff80",
     "ns:test:func:__main__.f:args:b78fe76e759471f781995ca46c554c94eed00e9a78411c65c9306ed8a12f69e9:1s"},
    {"tuple", args_tuple, "test", "__main__.f", true, 's', "929192010280",
     "ns:test:func:__main__.f:args:352981e4f16454ea26cd3639194f779edd168e073b0c7de3656784862b09ec4b:1s"},
    {"dict_sorted", args_dict_sorted, "test", "__main__.f", true, 's', "929182a16102a1620180",
     "ns:test:func:__main__.f:args:b1d780c40a2d4b98cbede5e2e3bfd105654c17c1bf156de72635e66ea57c5600:1s"},
    {"dict_int_keys", args_dict_int_keys, "test", "__main__.f", true, 's', "92918201a16102a16280",
     "ns:test:func:__main__.f:args:24b9493ff4de71e1202cca22661ee1bab1a1d8613dcef1a16297a003862b0c6e:1s"},
    {"path", args_path, "test", "__main__.f", true, 's', "9291af2f646174612f63616368652f666f6f80",
     "ns:test:func:__main__.f:args:ff361634807292d76f91adaa9ded7a02f3b9d6952dbfc457de18d5274e03c6e8:1s"},
    {"uuid", args_uuid, "test", "__main__.f", true, 's',
     "9291d92431323334353637382d313233342d353637382d313233342d35363738313233343536373880",
     "ns:test:func:__main__.f:args:290bd5c785143df818b668a67c6c4ec966a225424242da28a17a27bda8a23e97:1s"},
    {"decimal", args_decimal, "test", "__main__.f", true, 's', "9291a531392e393980",
     "ns:test:func:__main__.f:args:305759685860f7b2503118629db587793eed3f5ad95d14f7a75625b8219669c8:1s"},
    {"decimal_exp", args_decimal_exp, "test", "__main__.f", true, 's', "9291a431452b3280",
     "ns:test:func:__main__.f:args:5b63942abbc6c929f89a05ca7edf8dfcd292d17dac3b411425913585397fd6d2:1s"},
    {"enum_value_1", args_one, "test", "__main__.f", true, 's', "92910180",
     "ns:test:func:__main__.f:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:1s"},
    {"datetime_utc", args_datetime_utc, "test", "__main__.f", true, 's',
     "9291b9323032342d30312d31355431323a30303a30302b30303a303080",
     "ns:test:func:__main__.f:args:bbe77d06fe938caddec27bf4cc829ee08ef50272e0ec7ec5ab0afbde4cca9f58:1s"},
    {"datetime_plus0530_us", args_datetime_plus0530_us, "test", "__main__.f", true, 's',
     "9291d920323032342d30312d30315431383a30303a34352e3132333435362b30353a333080",
     "ns:test:func:__main__.f:args:cee1ce5318f68545768acecbdf83503e7973bff0263e3103be3fc35dfedce7f3:1s"},
    {"numpy_f64", args_vector_f64, "test", "__main__.f", true, 's',
     "929194ac5f5f61727261795f76315f5f9103a3663634d940346135303363613761373734326139616337336461353365"
     "3431633333373663386562396434613365643262616264613935333462353330346264646332366680",
     "ns:test:func:__main__.f:args:5e81683849af966dc1b2f1b81c7b44b973143a5628b15b3b7f3d8820220a0e6e:1s"},
    {"numpy_f64_big_endian", args_vector_f64, "test", "__main__.f", true, 's',
     "929194ac5f5f61727261795f76315f5f9103a3663634d940346135303363613761373734326139616337336461353365"
     "3431633333373663386562396434613365643262616264613935333462353330346264646332366680",
     "ns:test:func:__main__.f:args:5e81683849af966dc1b2f1b81c7b44b973143a5628b15b3b7f3d8820220a0e6e:1s"},
    {"numpy_i32", args_vector_i32, "test", "__main__.f", true, 's',
     "929194ac5f5f61727261795f76315f5f9103a3693332d940363930303735306637383730346132663330306531373062"
     "6561396666313337623737656261663031663764616537346538326332363136353133396239386480",
     "ns:test:func:__main__.f:args:79d1c30e1bb3e86dda3ae5751bf8aff7e3f883d868ac7adfef2a8428790bd9e8:1s"},
    {"numpy_empty_f32", args_vector_f32_empty, "test", "__main__.f", true, 's',
     "929194ac5f5f61727261795f76315f5f9100a3663332d940306535373531633032366535343362326538616232656230"
     "3630393964616131643165356466343737373866373738376661616234356364663132666533613880",
     "ns:test:func:__main__.f:args:5acc10f64106110efd3275ee8fb6740d4380e431c89fb87419e7d71bc9d1b5ba:1s"},
    {"kwargs_vs_positional", args_keyword_one, "test", "__main__.f", true, 's', "929081a17801",
     "ns:test:func:__main__.f:args:7f46238fa8a40fb62f6af21461880bcbc9d128de9e41db4c3949d17874a17ca0:1s"},
    {"no_integrity", args_one, "test", "__main__.f", false, 's', "92910180",
     "ns:test:func:__main__.f:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:0s"},
    {"local", args_one, NULL, "__main__.f", false, 'l', "92910180",
     "func:__main__.f:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:0l"},
    {"namespace_with_space", args_one, "my app", "__main__.f", true, 's', "92910180",
     "ns:my_app:func:__main__.f:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:"
     "1s"},
    {"empty_namespace", args_one, "", "__main__.f", true, 's', "92910180",
     "func:__main__.f:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:1s"},
    {"nested_function", args_one, "test", "app.mod.outer.<locals>.inner", true, 's', "92910180",
     "ns:test:func:app.mod.outer._locals_.inner:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32be"
     "bb830a187cb4387:1s"},
    {"lambda", args_one, "test", "app.mod.<lambda>", true, 's', "92910180",
     "ns:test:func:app.mod._lambda_:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4"
     "387:1s"},
    {"non_ascii_name", args_one, "test", "app.caf\303\251..x", true, 's', "92910180",
     "ns:test:func:app.caf_.x:args:386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:1s"},
};

static void check_vector(const key_vector *v) {
    ckit_args args;
    ckit_args_init(&args);
    v->give(&args);
    ckit_slice packed;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_args_pack(&args, &packed, &err), &err);
    if (v->packed != NULL) {
        CHECK_BYTES(hex_slice(v->packed), packed);
    }
    const ckit_key_spec spec = {.namespace_name = ckit_slice_str(v->namespace_name),
                                .function = S(v->function),
                                .integrity = v->integrity,
                                .code = v->code};
    ckit_buf            key = CKIT_BUF_INIT;
    CHECK_OK_ERR(ckit_key_automatic(&spec, packed, &key, &err), &err);
    CHECK_TEXT(v->key, ckit_buf_slice(&key));
    ckit_buf_fini(&key);
    ckit_args_fini(&args);
}

CKIT_TEST(key, automatic_keys_are_those_of_the_python_sdk) {
    for (size_t i = 0; i < COUNT(released); i++) {
        check_vector(&released[i]);
    }
}

CKIT_TEST(key, automatic_keys_follow_the_rules_where_no_vector_was_released) {
    for (size_t i = 0; i < COUNT(derived); i++) {
        check_vector(&derived[i]);
    }
}
