/* Values of every kind on their way through both tiers: what comes back is what was given, byte for byte. */
#include "over_files.h"

#include "support/hex.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

typedef struct stage {
    char           dir[SCRATCH_PATH];
    ckit_cache    *cache;
    ckit_function *function;
} stage;

static void raise_curtain(stage *s, ckit_switch integrity) {
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.integrity = integrity;
    s->cache = files_open(s->dir, "", &options);
    CHECK_OK(ckit_function_new(s->cache, "story.kinds", NULL, NULL, NULL, &s->function, NULL));
}

static void drop_curtain(stage *s) {
    ckit_function_close(s->function);
    ckit_cache_close(s->cache);
}

/* CKIT_OK with the value, or CKIT_COMPUTE and it is given. */
static ckit_status call(ckit_function *function, uint64_t number, ckit_slice given, ckit_value *out) {
    ckit_op   *op = NULL;
    ckit_args  args;
    ckit_error err = CKIT_ERROR_INIT;
    ckit_args_init(&args);
    ckit_args_uint(&args, number);
    ckit_start  start = {.struct_size = sizeof start, .function = function, .args = &args};
    ckit_status st = ckit_begin(&start, &op, out, &err);
    if (st == CKIT_COMPUTE) {
        ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = given};
        CHECK_OK_ERR(ckit_finish(op, &result, out, &err), &err);
    }
    ckit_op_free(op);
    ckit_args_fini(&args);
    return st;
}

static void check_call(ckit_function *function, uint64_t number, ckit_slice given, ckit_source source) {
    ckit_value value = CKIT_VALUE_INIT;
    CHECK_STATUS(source == CKIT_SOURCE_FUNCTION ? CKIT_COMPUTE : CKIT_OK, call(function, number, given, &value));
    CHECK_BYTES(given, value.data);
    CHECK_EQ_U(source, value.source);
    ckit_value_fini(&value);
}

static const char *const documents[] = {
    "05",
    "e0",
    "c0",
    "c2",
    "c3",
    "a0",
    "90",
    "80",
    "a161",
    "c400",
    "cb7ff8000000000000",
    "81 01 a161",
    "82 01 c0 ff c3",
    "81 c0 01",
    "82 c2 00 c3 01",
    "81 cb3ff8000000000000 01",
    "81 cfffffffffffffffff 01",
    "82 01 a161 a131 a162",
    "81 92 01 02 a161",
    "91 81 07 81 08 81 09 c0",
    "81 82 a85f5f646174655f5f c3 a576616c7565 aa323032352d31312d3134 01",
};

static void check_documents(ckit_switch integrity) {
    stage s;
    scratch_make(s.dir);
    raise_curtain(&s, integrity);
    for (size_t i = 0; i < COUNT(documents); i++) {
        check_call(s.function, i, hex_slice(documents[i]), CKIT_SOURCE_FUNCTION);
        check_call(s.function, i, hex_slice(documents[i]), CKIT_SOURCE_MEMORY);
    }
    drop_curtain(&s);
    raise_curtain(&s, integrity);
    for (size_t i = 0; i < COUNT(documents); i++) {
        check_call(s.function, i, hex_slice(documents[i]), CKIT_SOURCE_STORE);
        check_call(s.function, i, hex_slice(documents[i]), CKIT_SOURCE_MEMORY);
    }
    CHECK_EQ_U(0, files_stats(s.cache).l2_corrupt);
    drop_curtain(&s);
    scratch_remove(s.dir);
}

CKIT_TEST(kinds, of_documents_come_back_as_they_were_with_a_checksum) { check_documents(CKIT_ON); }

CKIT_TEST(kinds, of_documents_come_back_as_they_were_without_a_checksum) { check_documents(CKIT_OFF); }

static void check_entry(ckit_cache *cache, size_t number, ckit_encoding encoding, ckit_slice given, bool set) {
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    ckit_value         value = CKIT_VALUE_INIT;
    uint8_t            key[2] = {(uint8_t)('a' + encoding), (uint8_t)('a' + number)};
    options.encoding = encoding;
    if (set) {
        CHECK_OK(ckit_cache_set(cache, S_ARRAY(key), given, &options, NULL));
    }
    CHECK_OK(ckit_cache_get(cache, S_ARRAY(key), &options, &value, NULL));
    CHECK_BYTES(given, value.data);
    ckit_value_fini(&value);
}

CKIT_TEST(kinds, of_entries_come_back_as_they_were) {
    stage s;
    scratch_make(s.dir);
    for (unsigned round = 0; round < 2; round++) { /* the second time from the files */
        raise_curtain(&s, CKIT_ON);
        for (size_t i = 0; i < COUNT(documents); i++) {
            check_entry(s.cache, i, CKIT_DOCUMENT, hex_slice(documents[i]), round == 0);
            check_entry(s.cache, i, CKIT_RAW, hex_slice(documents[i]), round == 0);
            check_entry(s.cache, i, CKIT_BYTES, hex_slice(documents[i]), round == 0);
        }
        CHECK_EQ_U(round == 0 ? 0 : 3 * COUNT(documents), files_stats(s.cache).l2_hits);
        drop_curtain(&s);
    }
    scratch_remove(s.dir);
}

/* ---- bytes of the caller's own format, under names of his own ---------------------------------------------------- */

static void name_them(stage *s) {
    ckit_cache_options    options = CKIT_CACHE_OPTIONS_INIT;
    ckit_function_options kind = CKIT_FUNCTION_OPTIONS_INIT;
    kind.raw = kind.custom_key = true;
    kind.namespace_name = "story";
    s->cache = files_open(s->dir, "", &options);
    CHECK_OK(ckit_function_new(s->cache, "story.named", NULL, NULL, &kind, &s->function, NULL));
}

static ckit_status call_by_name(ckit_start start, const char *name, const char *given, ckit_value *out) {
    ckit_op  *op = NULL;
    ckit_args args;
    ckit_args_init(&args);
    ckit_args_cstr(&args, name);
    start.args = &args;
    ckit_status st = ckit_begin(&start, &op, out, NULL);
    if (st == CKIT_COMPUTE) {
        ckit_result result = {.struct_size = sizeof result, .status = CKIT_OK, .document = S(given)};
        CHECK_OK(ckit_finish(op, &result, out, NULL));
    }
    ckit_op_free(op);
    ckit_args_fini(&args);
    return st;
}

static void check_name(stage *s, const char *name, const char *rejected, ckit_source source, const char *bytes) {
    ckit_value value = CKIT_VALUE_INIT;
    ckit_start start = {.struct_size = sizeof start, .function = s->function, .rejected = S(rejected)};
    CHECK_STATUS(source == CKIT_SOURCE_FUNCTION ? CKIT_COMPUTE : CKIT_OK, call_by_name(start, name, bytes, &value));
    CHECK_EQ_U(source, value.source);
    CHECK_BYTES(S(bytes), value.data);
    ckit_value_fini(&value);
}

CKIT_TEST(kinds, of_the_callers_own_come_back_as_they_were_and_are_rejected_by_him_alone) {
    stage              s;
    ckit_entry_options as_is = CKIT_ENTRY_OPTIONS_INIT;
    ckit_value         value = CKIT_VALUE_INIT;
    as_is.encoding = CKIT_RAW;
    scratch_make(s.dir);
    name_them(&s);
    check_name(&s, "json", "", CKIT_SOURCE_FUNCTION, "5");
    check_name(&s, "json", "", CKIT_SOURCE_MEMORY, "5");
    CHECK_OK(ckit_cache_get(s.cache, S("story:json"), &as_is, &value, NULL));
    CHECK_TEXT("5", value.data);
    ckit_value_fini(&value);
    CHECK_OK(ckit_cache_set(s.cache, S("story:other"), S("\xc1 damaged"), &as_is, NULL));
    drop_curtain(&s);
    name_them(&s);
    check_name(&s, "json", "", CKIT_SOURCE_STORE, "5");
    check_name(&s, "other", "", CKIT_SOURCE_STORE, "\xc1 damaged");
    check_name(&s, "other", "\xc1 damaged", CKIT_SOURCE_FUNCTION, "sound");
    CHECK_EQ_U(1, files_stats(s.cache).l2_corrupt);
    check_name(&s, "other", "\xc1 damaged", CKIT_SOURCE_MEMORY, "sound");
    drop_curtain(&s);
    name_them(&s);
    check_name(&s, "other", "", CKIT_SOURCE_STORE, "sound");
    CHECK_OK(ckit_function_invalidate(s.function, NULL, NULL));
    check_name(&s, "json", "", CKIT_SOURCE_FUNCTION, "6");
    drop_curtain(&s);
    scratch_remove(s.dir);
}
