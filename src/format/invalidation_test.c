/* Messages about changes: made by hand from the format's description, both ways, and whatever is none. */
#include "format/invalidation.h"
#include "format/key_of_hash.h"

#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define DIGITS "3870b2ea5b0ad1f57e09c3b3d0d2b5a0c9e2f6f84a1d2c3b4a5968778695a4b3"
#define DIGITS_HEX                                                                                                     \
    "3338373062326561356230616431663537653039633362336430643262356130633965326636663834613164326333623461353936383737" \
    "3836"                                                                                                             \
    "39356134"                                                                                                         \
    "6233"
#define L "a16c"
#define GLOBAL "a6676c6f62616c"
#define NAMESPACE "a96e616d657370616365"
#define PARAMS "a6706172616d73"
#define NS "a26e73"
#define USERS "a57573657273"
#define PH "a27068"
#define HASH "d940" DIGITS_HEX
#define K "a16b"

static void hex_append(ckit_buf *out, const char *hex) { CHECK_OK(ckit_buf_append(out, hex_slice(hex))); }

static ckit_status read_hex(const char *hex, ckiti_invalidation *out, ckit_buf *bytes, ckit_error *err) {
    bytes->len = 0;
    hex_append(bytes, hex);
    return ckiti_invalidation_read(ckit_buf_slice(bytes), out, err);
}

static void check_same(const ckiti_invalidation *expected, const ckiti_invalidation *actual) {
    CHECK_EQ_U(expected->level, actual->level);
    CHECK_BYTES(expected->namespace_name, actual->namespace_name);
    CHECK_BYTES(expected->hash, actual->hash);
    CHECK_BYTES(expected->key, actual->key);
}

CKIT_TEST(invalidation_message, reads_and_writes_the_same_bytes) {
    const struct {
        const char        *hex;
        ckiti_invalidation what;
    } rows[] = {
        {"81" L GLOBAL, {.level = CKITI_INVALIDATE_GLOBAL}},
        {"82" L NAMESPACE NS USERS, {.level = CKITI_INVALIDATE_NAMESPACE, .namespace_name = S("users")}},
        {"82" L PARAMS PH HASH, {.level = CKITI_INVALIDATE_PARAMS, .hash = S(DIGITS)}},
        {"83" L PARAMS NS USERS PH HASH,
         {.level = CKITI_INVALIDATE_PARAMS, .namespace_name = S("users"), .hash = S(DIGITS)}},
        {"83" L PARAMS PH HASH K "c4036b0079",
         {.level = CKITI_INVALIDATE_PARAMS, .hash = S(DIGITS), .key = S_LITERAL("k\0y")}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf           hex = CKIT_BUF_INIT, written = CKIT_BUF_INIT;
        ckit_error         err = CKIT_ERROR_INIT;
        ckiti_invalidation what;
        CHECK_OK_ERR(read_hex(rows[i].hex, &what, &hex, &err), &err);
        check_same(&rows[i].what, &what);
        CHECK_OK_ERR(ckiti_invalidation_write(&rows[i].what, &written, &err), &err);
        CHECK_BYTES(ckit_buf_slice(&hex), ckit_buf_slice(&written));
        ckit_buf_fini(&hex);
        ckit_buf_fini(&written);
    }
}

CKIT_TEST(invalidation_message, fields_may_come_in_any_order_be_nil_or_unknown) {
    static const char *const rows[] = {
        "83" PH HASH NS USERS L        PARAMS,
        "85" L PARAMS NS USERS PH      HASH "a178 93c0c3ca3f800000"
             "2a 81a179ff",
        "85" L PARAMS NS USERS PH HASH K "c0"
        "91a0 c40100",
        "84" L PARAMS NS USERS PH      HASH "a178 9191919191 91a0",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf           hex = CKIT_BUF_INIT;
        ckit_error         err = CKIT_ERROR_INIT;
        ckiti_invalidation what;
        CHECK_OK_ERR(read_hex(rows[i], &what, &hex, &err), &err);
        CHECK_EQ_U(CKITI_INVALIDATE_PARAMS, what.level);
        CHECK_TEXT("users", what.namespace_name);
        CHECK_TEXT(DIGITS, what.hash);
        CHECK_EQ_U(0, what.key.len);
        ckit_buf_fini(&hex);
    }
}

CKIT_TEST(invalidation_message, what_is_malformed_is_refused) {
    static const char *const rows[] = {
        "",
        "80",                                       /* no level */
        "c0",                                       /* no map */
        "91" L,                                     /* an array */
        "81" L "a57468696e67",                      /* a level that does not exist */
        "81" L "c4066 76c6f62616c",                 /* bytes for text */
        "81" L "00",                                /* a number */
        "81" L                       GLOBAL "00",   /* more behind it */
        "82" L                       GLOBAL,        /* less than it says */
        "82" L GLOBAL L              GLOBAL,        /* a field twice */
        "82" L GLOBAL NS             USERS,         /* a namespace beside global */
        "82" L GLOBAL PH             HASH,          /* a call beside global */
        "82" L GLOBAL                K "c4016b",    /* a key beside global */
        "81" L                       NAMESPACE,     /* no namespace */
        "82" L NAMESPACE             NS "a0",       /* an empty one */
        "82" L NAMESPACE             NS "a3612062", /* a space in it */
        "82" L NAMESPACE             NS "a3613a62", /* a colon in it */
        "82" L NAMESPACE             NS "a3c3a462", /* another letter than of ASCII */
        "83" L NAMESPACE NS USERS PH HASH,          /* a call beside it */
        "81" L                       PARAMS,        /* no hash */
        "82" L PARAMS NS             USERS,         /* none either */
        "82" L PARAMS                PH "d93f"
                       "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
                       "6161616161616161616161616161",                /* 63 digits */
        "83" L PARAMS NS "a1 2a" PH HASH,                             /* an improper namespace */
        "83" L PARAMS PH HASH       K "c400",                         /* an empty key */
        "83" L PARAMS PH HASH       K "2a",                           /* a number for a key */
        "82" L                      GLOBAL "a178 d40100",             /* an extension type */
        "82" L                      GLOBAL "a178 919191919191919100", /* too deep */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf           hex = CKIT_BUF_INIT;
        ckit_error         err = CKIT_ERROR_INIT;
        ckiti_invalidation what;
        ckit_status        st = read_hex(rows[i], &what, &hex, &err);
        CHECKF(st >= CKIT_E_FIRST && err.status == st, "row %zu: %s", i, ckit_status_name(st));
        ckit_buf_fini(&hex);
    }
}

static void put_byte(ckit_buf *buf, uint8_t byte) { CHECK_OK(ckit_buf_append(buf, ckit_slice_of(&byte, 1))); }

/* "global" with a field "x" of this many bytes or entries. */
static ckit_status with_field(uint8_t code, unsigned count, unsigned bytes) {
    ckit_buf           message = CKIT_BUF_INIT;
    ckiti_invalidation what;
    hex_append(&message, "82" L GLOBAL "a178");
    put_byte(&message, code);
    put_byte(&message, (uint8_t)(count >> 8));
    put_byte(&message, (uint8_t)count);
    for (unsigned i = 0; i < bytes; i++) {
        put_byte(&message, 'a' & 0x7f);
    }
    ckit_status st = ckiti_invalidation_read(ckit_buf_slice(&message), &what, NULL);
    ckit_buf_fini(&message);
    return st;
}

CKIT_TEST(invalidation_message, has_limits_also_in_fields_that_nobody_knows) {
    static const uint8_t text = 0xda, bytes = 0xc5, array = 0xdc, map = 0xde;
    CHECK_OK(with_field(text, 1024, 1024));
    CHECK_STATUS(CKIT_E_TOO_LARGE, with_field(text, 1025, 1025));
    CHECK_OK(with_field(bytes, 1024, 1024));
    CHECK_STATUS(CKIT_E_TOO_LARGE, with_field(bytes, 1025, 1025));
    CHECK_OK(with_field(array, 100, 100));
    CHECK_STATUS(CKIT_E_TOO_LARGE, with_field(array, 101, 101));
    CHECK_OK(with_field(map, 100, 200));
    CHECK_STATUS(CKIT_E_TOO_LARGE, with_field(map, 101, 202));
}

CKIT_TEST(invalidation_message, is_no_longer_than_ten_kibibytes) {
    ckit_buf           message = CKIT_BUF_INIT;
    ckiti_invalidation what;
    hex_append(&message, "8b" L GLOBAL); /* and ten fields of a KiB, with two bytes of name and three of header */
    for (uint8_t i = 0; i < 10; i++) {
        unsigned size = i < 9 ? 1019 : 1024 - 5 - 10;
        put_byte(&message, 0xa1);
        put_byte(&message, (uint8_t)('A' + i));
        put_byte(&message, 0xda);
        put_byte(&message, (uint8_t)(size >> 8));
        put_byte(&message, (uint8_t)size);
        for (unsigned k = 0; k < size; k++) {
            put_byte(&message, 'a');
        }
    }
    CHECK_EQ_U(CKITI_INVALIDATION_MAX_BYTES, message.len);
    CHECK_OK(ckiti_invalidation_read(ckit_buf_slice(&message), &what, NULL));
    put_byte(&message, 'a');
    CHECK_STATUS(CKIT_E_TOO_LARGE, ckiti_invalidation_read(ckit_buf_slice(&message), &what, NULL));
    ckit_buf_fini(&message);
}

CKIT_TEST(invalidation_message, what_cannot_be_said_is_not_written) {
    const ckiti_invalidation rows[] = {
        {.level = (ckiti_invalidation_level)3}, {.level = CKITI_INVALIDATE_GLOBAL, .namespace_name = S("users")},
        {.level = CKITI_INVALIDATE_NAMESPACE},  {.level = CKITI_INVALIDATE_NAMESPACE, .namespace_name = S("my users")},
        {.level = CKITI_INVALIDATE_PARAMS},     {.level = CKITI_INVALIDATE_PARAMS, .hash = S("ABC")},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckit_buf   out = CKIT_BUF_INIT;
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_STATUS_ERR(CKIT_E_MISUSE, ckiti_invalidation_write(&rows[i], &out, &err), &err);
        CHECK_EQ_U(0, out.len);
        ckit_buf_fini(&out);
    }
}

/* ---- what a change is told as ------------------------------------------------------------------------------------ */

CKIT_TEST(invalidation_message, of_an_automatic_key_holds_its_namespace_and_hash) {
    char               digits[CKITI_INVALIDATION_HASH];
    ckit_slice         key = S("ns:users:func:app.load:args:" DIGITS ":1s");
    ckiti_invalidation what = ckiti_invalidation_of_key(key, digits);
    ckiti_invalidation expected = {
        .level = CKITI_INVALIDATE_PARAMS, .namespace_name = S("users"), .hash = S(DIGITS), .key = key};
    check_same(&expected, &what);
    key = S("ns:my_users:x:func:app.load:args:" DIGITS ":1s"); /* a name that cannot be told */
    what = ckiti_invalidation_of_key(key, digits);
    expected = (ckiti_invalidation){.level = CKITI_INVALIDATE_PARAMS, .hash = S(DIGITS), .key = key};
    check_same(&expected, &what);
}

CKIT_TEST(invalidation_message, of_another_key_holds_the_key_and_its_hash) {
    char               digits[CKITI_INVALIDATION_HASH];
    ckiti_invalidation what = ckiti_invalidation_of_key(S("abc"), digits);
    CHECK_EQ_U(CKITI_INVALIDATE_PARAMS, what.level);
    CHECK_TEXT("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319", what.hash);
    CHECK_TEXT("abc", what.key);
}

CKIT_TEST(invalidation_message, of_a_key_that_is_too_long_tells_of_everything) {
    char               digits[CKITI_INVALIDATION_HASH];
    uint8_t            key[1025] = {0};
    ckiti_invalidation what = ckiti_invalidation_of_key(ckit_slice_of(key, 1024), digits);
    CHECK_EQ_U(CKITI_INVALIDATE_PARAMS, what.level);
    what = ckiti_invalidation_of_key(ckit_slice_of(key, 1025), digits);
    CHECK_EQ_U(CKITI_INVALIDATE_GLOBAL, what.level);
}

CKIT_TEST(invalidation_message, of_a_scope_covers_it) {
    const struct {
        ckit_scope               scope;
        ckiti_invalidation_level level;
    } rows[] = {
        {{.kind = CKIT_SCOPE_ALL}, CKITI_INVALIDATE_GLOBAL},
        {{.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("users")}, CKITI_INVALIDATE_NAMESPACE},
        {{.kind = CKIT_SCOPE_FUNCTION, .namespace_name = S("users"), .function = S("f")}, CKITI_INVALIDATE_NAMESPACE},
        {{.kind = CKIT_SCOPE_NAMESPACE, .namespace_name = S("my users")}, CKITI_INVALIDATE_GLOBAL},
        {{.kind = CKIT_SCOPE_FUNCTION, .function = S("f")}, CKITI_INVALIDATE_GLOBAL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        ckiti_invalidation what = ckiti_invalidation_of_scope(&rows[i].scope);
        CHECK_EQ_U(rows[i].level, what.level);
        CHECK_TEXT(rows[i].level == CKITI_INVALIDATE_NAMESPACE ? "users" : "", what.namespace_name);
    }
}

/* ---- passing on -------------------------------------------------------------------------------------------------- */

static void note_key(void *self, ckit_slice key) {
    snprintf(self, 99, "key %.*s", (int)key.len, (const char *)key.ptr);
}

static void note_call(void *self, ckit_slice name, ckit_slice hash) {
    snprintf(self, 99, "call %.*s %.4s", (int)name.len, name.len > 0 ? (const char *)name.ptr : "",
             (const char *)hash.ptr);
}

static void note_scope(void *self, const ckit_scope *scope) {
    ckit_slice name = scope->namespace_name;
    snprintf(self, 99, "scope %d %.*s", (int)scope->kind, (int)name.len, name.len > 0 ? (const char *)name.ptr : "");
}

CKIT_TEST(invalidation_message, is_passed_on_as_the_narrowest_it_names) {
    char                  told[99];
    const ckit_watch_sink sink = {
        .self = told, .changed = note_key, .call_changed = note_call, .scope_changed = note_scope};
    ckiti_invalidation what = {.level = CKITI_INVALIDATE_PARAMS, .hash = S(DIGITS), .key = S("k")};
    ckiti_invalidation_tell(&what, &sink);
    CHECK_STR("key k", told);
    what.key = S("");
    ckiti_invalidation_tell(&what, &sink);
    CHECK_STR("call  3870", told);
    what.namespace_name = S("users");
    ckiti_invalidation_tell(&what, &sink);
    CHECK_STR("call users 3870", told);
    what = (ckiti_invalidation){.level = CKITI_INVALIDATE_NAMESPACE, .namespace_name = S("users")};
    ckiti_invalidation_tell(&what, &sink);
    CHECK_STR("scope 1 users", told);
    what = (ckiti_invalidation){.level = CKITI_INVALIDATE_GLOBAL};
    ckiti_invalidation_tell(&what, &sink);
    CHECK_STR("scope 0 ", told);
}

/* ---- the key of a hash ------------------------------------------------------------------------------------------- */

CKIT_TEST(invalidation_message, a_hash_makes_the_key_that_its_arguments_make) {
    const ckit_slice    packed = S_LITERAL("\x92\x91\x2a\x80");
    static const char   long_name[] = "a_namespace_that_is_so_long_that_every_key_is_shortened_because_more_than_two_"
                                      "hundred_and_fifty_characters_are_too_many_for_a_key_and_these_are_nearly_that_"
                                      "many_already_without_the_rest_of_it";
    const ckit_slice    names[] = {S(""), S("users"), S(long_name)};
    const ckit_key_spec plain = {.function = S("app.load"), .integrity = true};
    ckit_buf            whole = CKIT_BUF_INIT;
    CHECK_OK(ckit_key_automatic(&plain, packed, &whole, NULL));
    ckit_slice hash = ckit_key_describe(ckit_buf_slice(&whole)).hash;
    for (size_t i = 0; i < COUNT(names); i++) {
        ckit_key_spec   spec = plain;
        ckit_key_prefix prefix;
        ckit_buf        expected = CKIT_BUF_INIT, key = CKIT_BUF_INIT;
        spec.namespace_name = names[i];
        CHECK_OK(ckit_key_prefix_init(&prefix, &spec, NULL, NULL));
        CHECK_OK(ckit_key_from_prefix(&prefix, packed, &expected, NULL));
        CHECK_OK(ckiti_key_of_hash(&prefix, hash, &key, NULL));
        CHECK_BYTES(ckit_buf_slice(&expected), ckit_buf_slice(&key));
        CHECK_STATUS(CKIT_E_MISUSE, ckiti_key_of_hash(&prefix, S("3870"), &key, NULL));
        ckit_buf_fini(&expected);
        ckit_buf_fini(&key);
        ckit_key_prefix_fini(&prefix);
    }
    ckit_buf_fini(&whole);
}
