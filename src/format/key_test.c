/* Keys: names of functions, lengths, custom keys, and keys taken apart. */
#include <cachekit/buf.h>
#include <cachekit/key.h>

#include "support/failing_alloc.h"
#include "support/test.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The packed arguments (1), and their hash. */
#define ONE S_LITERAL("\x92\x91\x01\x80")
#define ONE_HASH "386979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387"

/* `count` times `unit`, then `end`; lives until the next call. */
static ckit_slice repeated(const char *start, const char *unit, size_t count, const char *end) {
    static char text[4096];
    size_t      len = 0;
    CHECK(strlen(start) + strlen(unit) * count + strlen(end) < sizeof text);
    memcpy(text, start, strlen(start));
    len += strlen(start);
    for (size_t i = 0; i < count; i++, len += strlen(unit)) {
        memcpy(text + len, unit, strlen(unit));
    }
    memcpy(text + len, end, strlen(end));
    return ckit_slice_of(text, len + strlen(end));
}

static ckit_slice key_of(ckit_buf *key, ckit_slice namespace_name, ckit_slice function) {
    const ckit_key_spec spec = {.namespace_name = namespace_name, .function = function, .integrity = true};
    key->len = 0;
    CHECK_OK(ckit_key_automatic(&spec, ONE, key, NULL));
    return ckit_buf_slice(key);
}

/* ---- FUNCTION -------------------------------------------------------------------------------------------- */

CKIT_TEST(key, names_of_functions_are_reduced_to_plain_characters) {
    static const struct {
        const char *name;
        const char *function;
    } rows[] = {
        {"app.mod.outer.<locals>.inner", "app.mod.outer._locals_.inner"},
        {"app.mod.<lambda>", "app.mod._lambda_"},
        {"app.caf\xc3\xa9..x", "app.caf_.x"},
        {"a b\tc\nd:e/f-g", "a_b_c_d_e_f_g"},
        {"a..b...c.d", "a.b.c.d"},
        {"..a..", ".a."},
        {"\xf0\x9f\x98\x80", "_"},
        {"\xe2\x82\xac\xe2\x82\xac", "__"},
        {".\xc3\xa9.", "._."},
        {"AZaz09_.", "AZaz09_."},
        {"@[`{/:", "______"},
        {".", "."},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf out = CKIT_BUF_INIT;
        CHECK_OK(ckit_key_function(S(rows[i].name), &out, NULL));
        CHECK_TEXT(rows[i].function, ckit_buf_slice(&out));
        ckit_buf_fini(&out);
    }
}

CKIT_TEST(key, names_of_functions_keep_their_first_200_characters) {
    ckit_buf out = CKIT_BUF_INIT;
    CHECK_OK(ckit_key_function(repeated("", "\xc3\xa9", 199, "xy"), &out, NULL));
    CHECK_EQ_U(200, out.len);
    CHECK_EQ_U('x', out.ptr[199]);
    out.len = 0;
    CHECK_OK(ckit_key_function(repeated("", "..", 150, "x"), &out, NULL));
    CHECK_TEXT(".x", ckit_buf_slice(&out));
    CHECK_OK(ckit_key_function(S(".y"), &out, NULL));
    CHECK_TEXT(".x.y", ckit_buf_slice(&out));
    CHECK_OK(ckit_key_function(S("z."), &out, NULL));
    CHECK_OK(ckit_key_function(S("."), &out, NULL)); /* what the buffer holds does not count */
    CHECK_TEXT(".x.yz..", ckit_buf_slice(&out));
    ckit_buf_fini(&out);
}

CKIT_TEST(key, a_function_without_a_readable_name_is_refused) {
    ckit_buf   out = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_key_function(S(""), &out, &err), &err);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_key_function(S("caf\xe9"), &out, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_key_function(S("\xed\xa0\x80"), &out, NULL));
    CHECK_EQ_U(0, out.len);
    ckit_buf_fini(&out);
}

/* ---- the whole key --------------------------------------------------------------------------------------- */

CKIT_TEST(key, blanks_are_replaced_and_tabs_and_colons_stay) {
    ckit_buf key = CKIT_BUF_INIT;
    CHECK_TEXT("ns:a_b__:\tc:func:m.f:args:" ONE_HASH ":1s", key_of(&key, S("a b\r\n:\tc"), S("m.f")));
    ckit_buf_fini(&key);
}

CKIT_TEST(key, keys_of_more_than_250_characters_are_shortened) {
    ckit_buf key = CKIT_BUF_INIT;
    CHECK_EQ_U(250, key_of(&key, repeated("", "n", 165, ""), S("m.f")).len);
    CHECK_TEXT("ns:nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn:f96e984a0dd0444a9d6ac0422ca6ba58",
               key_of(&key, repeated("", "n", 166, ""), S("m.f")));
    CHECK_TEXT("ns:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:16b098d9ac61619fa0e95954981c2683",
               key_of(&key, repeated("", "a", 300, ""), S("__main__.f")));
    CHECK_TEXT("func:m.ggggggggggggggggggggggggggggggggggggggggggg:7ccd1dd23ec9f4dee4dae1d550e77e74",
               key_of(&key, S(""), repeated("m.", "g", 300, "")));
    ckit_buf_fini(&key);
}

CKIT_TEST(key, characters_are_counted_and_not_bytes) {
    ckit_buf key = CKIT_BUF_INIT;
    CHECK_EQ_U(250 + 165, key_of(&key, repeated("", "\xc3\xa9", 165, ""), S("m.f")).len);
    const ckit_slice two = key_of(&key, repeated("", "\xc3\xa9", 166, ""), S("m.f"));
    CHECK_EQ_U(83 + 47, two.len);
    CHECK_BYTES(ckit_slice_of("\xc3\xa9:", 3), ckit_slice_of(two.ptr + 3 + 2 * 46, 3));
    CHECK_EQ_U(250 + 3 * 165, key_of(&key, repeated("", "\xf0\x9f\x98\x80", 165, ""), S("m.f")).len);
    CHECK_EQ_U(83 + 3 * 47, key_of(&key, repeated("", "\xf0\x9f\x98\x80", 166, ""), S("m.f")).len);
    ckit_buf_fini(&key);
}

CKIT_TEST(key, a_key_is_appended_and_a_refused_one_leaves_the_buffer_alone) {
    static const ckit_key_spec bad[] = {
        {.function = {NULL, 0}},
        {.function = {(const uint8_t *)"\xff", 1}},
        {.namespace_name = {(const uint8_t *)"\xc3", 1}, .function = {(const uint8_t *)"f", 1}},
        {.function = {(const uint8_t *)"f", 1}, .code = 'S'},
        {.function = {(const uint8_t *)"f", 1}, .code = ':'},
    };
    ckit_buf out = CKIT_BUF_INIT;
    CHECK_OK(ckit_buf_append(&out, S("before")));
    for (size_t i = 0; i < COUNT(bad); i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_key_automatic(&bad[i], ONE, &out, &err), &err);
        CHECK_TEXT("before", ckit_buf_slice(&out));
    }
    const ckit_key_spec good = {.function = S("f"), .code = 'w'};
    CHECK_OK(ckit_key_automatic(&good, ONE, &out, NULL));
    CHECK_TEXT("beforefunc:f:args:" ONE_HASH ":0w", ckit_buf_slice(&out));
    const ckit_key_spec long_one = {.namespace_name = repeated("", "a", 300, ""), .function = S("f")};
    out.len = 6;
    CHECK_OK(ckit_key_automatic(&long_one, ONE, &out, NULL));
    CHECK_EQ_U(6 + 83, out.len);
    ckit_buf_fini(&out);
}

CKIT_TEST(key, a_prefix_makes_the_same_keys_for_any_arguments) {
    const ckit_key_spec spec = {.namespace_name = S("my app"), .function = S("m.<f>"), .integrity = true};
    ckit_key_prefix     prefix;
    ckit_buf            a = CKIT_BUF_INIT, b = CKIT_BUF_INIT;
    CHECK_OK(ckit_key_prefix_init(&prefix, &spec, NULL, NULL));
    for (uint8_t i = 0; i < 100; i++) {
        const uint8_t packed[] = {0x92, 0x91, i, 0x80};
        a.len = b.len = 0;
        CHECK_OK(ckit_key_from_prefix(&prefix, S_ARRAY(packed), &a, NULL));
        CHECK_OK(ckit_key_automatic(&spec, S_ARRAY(packed), &b, NULL));
        CHECK_BYTES(ckit_buf_slice(&b), ckit_buf_slice(&a));
    }
    ckit_key_prefix_fini(&prefix);
    ckit_key_prefix_fini(&prefix);
    ckit_key_prefix_fini(NULL);
    ckit_buf_fini(&a);
    ckit_buf_fini(&b);
}

CKIT_TEST(key, custom_keys_are_taken_as_they_are) {
    ckit_buf out = CKIT_BUF_INIT;
    CHECK_OK(ckit_key_custom(S(""), S("user:42"), &out, NULL));
    CHECK_TEXT("default:user:42", ckit_buf_slice(&out));
    out.len = 0;
    CHECK_OK(ckit_key_custom(S("users"), S("a b\n"), &out, NULL));
    CHECK_TEXT("users:a b\n", ckit_buf_slice(&out));
    out.len = 0;
    CHECK_OK(ckit_key_custom(S("my app"), S(""), &out, NULL));
    CHECK_TEXT("my app:", ckit_buf_slice(&out));
    out.len = 0;
    CHECK_OK(ckit_key_custom(S("n"), repeated("", "x", 3000, ""), &out, NULL));
    CHECK_EQ_U(3002, out.len);
    out.len = 0;
    CHECK_STATUS(CKIT_E_MISUSE, ckit_key_custom(S("n"), S("\xff"), &out, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckit_key_custom(S("\xff"), S("n"), &out, NULL));
    CHECK_EQ_U(0, out.len);
    ckit_buf_fini(&out);
}

CKIT_TEST(key, no_failed_allocation_leaks_or_changes_the_buffer) {
    for (uint64_t n = 0;; n++) {
        failing_alloc       fa;
        ckit_buf            out;
        const ckit_key_spec spec = {.namespace_name = S("n"), .function = S("f")};
        failing_alloc_init(&fa, n);
        ckit_buf_init(&out, &fa.alloc);
        ckit_status st = ckit_key_automatic(&spec, ONE, &out, NULL);
        if (st == CKIT_OK) {
            st = ckit_key_custom(S("n"), repeated("", "x", 1000, ""), &out, NULL);
        }
        if (st == CKIT_OK) {
            st = ckit_key_function(repeated("", "x", 1000, ""), &out, NULL);
        }
        ckit_buf_fini(&out);
        failing_alloc_check_empty(&fa);
        if (!failing_alloc_has_failed(&fa)) {
            CHECK_OK(st);
            break;
        }
        CHECK_STATUS(CKIT_E_NO_MEMORY, st);
    }
}

/* ---- taken apart ----------------------------------------------------------------------------------------- */

CKIT_TEST(key, automatic_keys_can_be_taken_apart) {
    static const struct {
        const char *key;
        const char *namespace_name;
        const char *function;
        bool        integrity;
        char        code;
    } rows[] = {
        {"ns:test:func:__main__.f:args:" ONE_HASH ":1s", "test", "__main__.f", true, 's'},
        {"func:m.f:args:" ONE_HASH ":0l", "", "m.f", false, 'l'},
        {"ns:a:b:func:m.f:args:" ONE_HASH ":1a", "a:b", "m.f", true, 'a'},
        {"ns:x:func:y:args:z:func:m.f:args:" ONE_HASH ":1s", "x:func:y:args:z", "m.f", true, 's'},
        {"ns:caf\xc3\xa9:func:m._lambda_:args:" ONE_HASH ":1s", "caf\xc3\xa9", "m._lambda_", true, 's'},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const ckit_key_parts parts = ckit_key_describe(S(rows[i].key));
        CHECKF(parts.automatic, "%s", rows[i].key);
        CHECK(!parts.shortened);
        CHECK(parts.namespace_known);
        CHECK_TEXT(rows[i].namespace_name, parts.namespace_name);
        CHECK_TEXT(rows[i].function, parts.function);
        CHECK_TEXT(ONE_HASH, parts.hash);
        CHECK_EQ_U(rows[i].integrity, parts.integrity);
        CHECK_EQ_U((unsigned char)rows[i].code, (unsigned char)parts.code);
    }
}

CKIT_TEST(key, shortened_keys_tell_what_is_left_of_them) {
    ckit_buf       key = CKIT_BUF_INIT;
    ckit_key_parts parts = ckit_key_describe(key_of(&key, S("my app"), repeated("", "g", 300, "")));
    CHECK(parts.automatic && parts.shortened && parts.namespace_known);
    CHECK_TEXT("my_app", parts.namespace_name);
    CHECK_EQ_U(0, parts.function.len);
    parts = ckit_key_describe(key_of(&key, S(""), repeated("", "g", 300, "")));
    CHECK(parts.automatic && parts.shortened && parts.namespace_known);
    CHECK_EQ_U(0, parts.namespace_name.len);
    parts = ckit_key_describe(key_of(&key, repeated("", "\xc3\xa9", 300, ""), S("m.f")));
    CHECK(parts.automatic && parts.shortened && !parts.namespace_known);
    CHECK_EQ_U(0, parts.namespace_name.len);
    ckit_buf_fini(&key);
}

CKIT_TEST(key, other_keys_are_not_automatic) {
    static const char *const rows[] = {
        "",
        "default:user:42",
        "func:m.f:args:" ONE_HASH ":1",
        "func:m.f:args:" ONE_HASH ":2s",
        "func:m.f:args:" ONE_HASH ":1S",
        "func:m.f:args:" ONE_HASH "1s:",
        "func:m.f:args:" ONE_HASH ":1s ",
        "func:m.f:args:86979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:1s",
        "func:m.f:args:G86979f533ce537f0c42d385c8174948ebd58566ad81b32bebb830a187cb4387:1s",
        "func::args:" ONE_HASH ":1s",
        "func:m f:args:" ONE_HASH ":1s",
        "m.f:args:" ONE_HASH ":1s",
        "xfunc:m.f:args:" ONE_HASH ":1s",
        "ns::func:m.f:args:" ONE_HASH ":1s",
        "ns:func:m.f:args:" ONE_HASH ":1s",
        "n:a:func:m.f:args:" ONE_HASH ":1s",
        "ns:a-func:m.f:args:" ONE_HASH ":1s",
        ":args:" ONE_HASH ":1s",
        "ns:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:16b098d9ac61619fa0e95954981c2683",
        "ns:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:16b098d9ac61619fa0e95954981c2683",
        "nsaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:16b098d9ac61619fa0e95954981c2683",
        "ns:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:16b098d9ac61619fa0e95954981c268X",
        "ns:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-16b098d9ac61619fa0e95954981c2683",
        "ns:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xff:16b098d9ac61619fa0e95954981c2683",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const ckit_key_parts parts = ckit_key_describe(S(rows[i]));
        CHECKF(!parts.automatic, "'%s'", rows[i]);
        CHECK(!parts.shortened && !parts.namespace_known && parts.function.len == 0 && parts.hash.len == 0);
    }
}
