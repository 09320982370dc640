/* Options: defaults, limits that are told by name, programs that are older or newer than the library. Of cache.c and
 * function.c. */
#include "cache/cache_fixture.h"

#include <math.h>
#include <stdlib.h>

static void check_refused(ckit_cache_options *options, const char *name, const char *value) {
    ckit_cache *cache;
    ckit_error  err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_cache_new(options, NULL, &cache, &err), &err);
    CHECK(cache == NULL);
    CHECK_CONTAINS(name, err.text);
    CHECK_CONTAINS(value, err.text);
}

static void check_accepted(ckit_cache_options *options) {
    ckit_cache *cache;
    ckit_error  err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckit_cache_new(options, NULL, &cache, &err), &err);
    ckit_cache_close(cache);
}

CKIT_TEST(options, none_and_empty_ones_mean_the_defaults) {
    ckit_cache_options empty = CKIT_CACHE_OPTIONS_INIT, zero;
    ckit_cache        *cache;
    memset(&zero, 0, sizeof zero);
    check_accepted(&empty);
    CHECK_STATUS(CKIT_E_MISUSE, ckit_cache_new(&zero, NULL, &cache, NULL)); /* a forgotten initializer is no default */
    CHECK_OK(ckit_cache_new(NULL, NULL, &cache, NULL));
    CHECK_EQ_U(UINT64_C(100) << 20, stats_of(cache).l1_max_bytes);
    ckit_cache_close(cache);
    ckit_cache_close(NULL);
}

CKIT_TEST(options, the_initialisers_for_callers_without_macros_give_the_same) {
    ckit_cache_options    cache_options, macro = CKIT_CACHE_OPTIONS_INIT;
    ckit_entry_options    entry_options;
    ckit_function_options function_options;
    ckit_cache_options_init(&cache_options, sizeof cache_options);
    ckit_entry_options_init(&entry_options, sizeof entry_options);
    ckit_function_options_init(&function_options, sizeof function_options);
    CHECK_EQ_U(macro.struct_size, cache_options.struct_size);
    CHECK_EQ_U(sizeof entry_options, entry_options.struct_size);
    CHECK_EQ_U(sizeof function_options, function_options.struct_size);
    CHECK(cache_options.alloc == NULL && entry_options.namespace_name == NULL && function_options.ttl_ms == 0);
}

#define CHECK_RANGE(field, below, lowest, highest, above, below_text, above_text)                                      \
    do {                                                                                                               \
        ckit_cache_options o = CKIT_CACHE_OPTIONS_INIT;                                                                \
        if ((below) != 0) {                                                                                            \
            o.field = (below);                                                                                         \
            check_refused(&o, #field, below_text);                                                                     \
        }                                                                                                              \
        o.field = (lowest);                                                                                            \
        check_accepted(&o);                                                                                            \
        o.field = (highest);                                                                                           \
        check_accepted(&o);                                                                                            \
        o.field = (above);                                                                                             \
        check_refused(&o, #field, above_text);                                                                         \
    } while (0)

CKIT_TEST(options, each_number_has_a_range_and_the_refusal_names_it) {
    CHECK_RANGE(l1_max_bytes, 65535, 65536, 1 << 20, (UINT64_C(1) << 40) + 1, "65535", "1099511627777");
    CHECK_RANGE(l1_total_max_bytes, 65535, 65536, 1 << 20, (UINT64_C(1) << 40) + 1, "65535", "1099511627777");
    CHECK_RANGE(max_value_bytes, 0, 1, 536870912, 536870913, "", "536870913");
    CHECK_RANGE(max_key_bytes, 0, 1, 65536, 65537, "", "65537");
    CHECK_RANGE(store_timeout_ms, 0, 1, 3600000, 3600001, "", "3600001");
    CHECK_RANGE(flight_wait_ms, 0, 1, 86400000, 86400001, "", "86400001");
    CHECK_RANGE(lock_lease_ms, 0, 1, 86400000, 86400001, "", "86400001");
    CHECK_RANGE(lock_wait_ms, 0, 1, 86400000, 86400001, "", "86400001");
    CHECK_RANGE(sweep_interval_ms, 9, 10, 86400000, 86400001, "is 9,", "86400001");
    CHECK_RANGE(workers, 0, 1, 64, 65, "", "65");
    CHECK_RANGE(queue_max, 0, 1, 1000000, 1000001, "", "1000001");
    CHECK_RANGE(compression_level, -2, -1, 9, 10, "-2", "10");
    CHECK_RANGE(default_ttl_ms, 0, 1, CKIT_TTL_MAX_MS, CKIT_TTL_MAX_MS + 1, "", "315360000001");
    CHECK_RANGE(default_ttl_ms, 0, 1, CKIT_TTL_NO_EXPIRY, CKIT_TTL_DO_NOT_STORE, "", "18446744073709551614");
    CHECK_RANGE(l1, (ckit_switch)3, CKIT_ON, CKIT_OFF, (ckit_switch)-1, "is 3,", "l1");
    CHECK_RANGE(integrity, (ckit_switch)3, CKIT_ON, CKIT_OFF, (ckit_switch)-1, "is 3,", "integrity");
    CHECK_RANGE(lock, (ckit_switch)3, CKIT_ON, CKIT_OFF, (ckit_switch)-1, "is 3,", "lock");
}

CKIT_TEST(options, a_huge_number_is_refused_before_memory_is_asked_for) {
    ckit_cache_options o = CKIT_CACHE_OPTIONS_INIT;
    o.queue_max = UINT32_MAX;
    check_refused(&o, "queue_max", "4294967295");
    o.queue_max = 0;
    o.workers = UINT32_MAX;
    check_refused(&o, "workers", "4294967295");
}

CKIT_TEST(options, the_store_is_closed_also_when_the_cache_is_refused) {
    fake_store        *store = fake_store_open(NULL);
    ckit_cache_options o = CKIT_CACHE_OPTIONS_INIT;
    ckit_cache        *cache;
    o.workers = 65;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckit_cache_new(&o, fake_connect(store, FAKE_FULL), &cache, NULL));
    fake_store_close(store); /* checks it */
}

/* Only as much memory as an older program has, so that a sanitizer sees a read beyond it. */
static void *older(const void *options, size_t size) {
    uint8_t *bytes = malloc(size);
    CHECK(bytes != NULL);
    memcpy(bytes, options, size);
    memcpy(bytes, &size, sizeof size);
    return bytes;
}

CKIT_TEST(options, what_an_older_program_does_not_know_is_not_read) {
    const size_t sizes[] = {sizeof(size_t), offsetof(ckit_cache_options, clock), offsetof(ckit_cache_options, workers)};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ckit_cache_options    all = CKIT_CACHE_OPTIONS_INIT;
        ckit_function_options function_options = CKIT_FUNCTION_OPTIONS_INIT;
        ckit_entry_options    entry_options = CKIT_ENTRY_OPTIONS_INIT;
        ckit_cache           *cache;
        ckit_function        *fn;
        function_options.ttl_ms = 5;
        entry_options.encoding = CKIT_RAW;
        void *o = older(&all, sizes[i]);
        void *f = older(&function_options, offsetof(ckit_function_options, stale_ms));
        void *e = older(&entry_options, offsetof(ckit_entry_options, namespace_name));
        CHECK_OK(ckit_cache_new(o, NULL, &cache, NULL));
        CHECK_OK(ckit_function_new(cache, "test.old", loader_run, NULL, f, &fn, NULL));
        CHECK_OK(ckit_cache_set(cache, S("k"), S("v"), e, NULL));
        ckit_function_close(fn);
        ckit_cache_close(cache);
        free(o);
        free(f);
        free(e);
    }
}

CKIT_TEST(options, what_a_newer_program_knows_more_is_ignored) {
    struct {
        ckit_cache_options known;
        uint64_t           more[8];
    } newer = {.known = {.struct_size = sizeof newer}};
    ckit_cache *cache;
    memset(newer.more, 0xff, sizeof newer.more);
    CHECK_OK(ckit_cache_new(&newer.known, NULL, &cache, NULL));
    ckit_cache_close(cache);
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

static void check_function_refused(const char *name, const ckit_function_options *options, ckit_status expected,
                                   const char *text) {
    fixture        f;
    ckit_function *fn;
    ckit_error     err = CKIT_ERROR_INIT;
    fixture_open_memory(&f);
    CHECK_STATUS_ERR(expected, ckit_function_new(f.cache, name, loader_run, NULL, options, &fn, &err), &err);
    CHECK(fn == NULL);
    CHECK_CONTAINS(text, err.text);
    fixture_close(&f);
}

CKIT_TEST(options, a_function_s_options_have_ranges_too) {
    ckit_function_options o = CKIT_FUNCTION_OPTIONS_INIT;
    o.ttl_ms = CKIT_TTL_MAX_MS + 1;
    check_function_refused("f", &o, CKIT_E_CONFIGURATION, "ttl_ms is 315360000001");
    o.ttl_ms = 0;
    o.stale_ms = CKIT_TTL_MAX_MS + 1;
    check_function_refused("f", &o, CKIT_E_CONFIGURATION, "stale_ms is 315360000001");
    o.stale_ms = 0;
    o.early_refresh = 1.01;
    check_function_refused("f", &o, CKIT_E_CONFIGURATION, "early_refresh is 1.01");
    o.early_refresh = -0.1;
    check_function_refused("f", &o, CKIT_E_CONFIGURATION, "early_refresh is -0.1");
    o.early_refresh = NAN;
    check_function_refused("f", &o, CKIT_E_CONFIGURATION, "early_refresh is nan");
    o.early_refresh = 0;
    o.compression_level = 10;
    check_function_refused("f", &o, CKIT_E_CONFIGURATION, "compression_level is 10");
    check_function_refused("", NULL, CKIT_E_MISUSE, "name");
    check_function_refused(NULL, NULL, CKIT_E_MISUSE, "name");
    check_function_refused("f\xff", NULL, CKIT_E_MISUSE, "UTF-8");
    o.compression_level = 0;
    o.namespace_name = "\xff";
    check_function_refused("f", &o, CKIT_E_MISUSE, "namespace");
    ckit_function_close(NULL);
}

CKIT_TEST(options, a_cache_has_a_bounded_number_of_namespaces) {
    fixture    f;
    ckit_error err = CKIT_ERROR_INIT;
    fixture_prepare(&f);
    f.options.l1 = CKIT_OFF;
    fixture_start_memory(&f);
    ckit_status st = CKIT_OK;
    unsigned    made = 0;
    for (; made < 10000 && st == CKIT_OK; made++) {
        ckit_entry_options o = CKIT_ENTRY_OPTIONS_INIT;
        char               name[16] = {(char)('a' + made % 26), (char)('a' + made / 26 % 26), (char)('a' + made / 676)};
        o.namespace_name = name;
        st = ckit_cache_set(f.cache, S("k"), S("v"), &o, &err);
    }
    CHECK_STATUS_ERR(CKIT_E_TOO_LARGE, st, &err);
    CHECK_EQ_U(4096, made);
    CHECK_CONTAINS("namespaces", err.text);
    fixture_close(&f);
}

CKIT_TEST(options, many_namespaces_share_the_total_bound) {
    fixture f;
    uint8_t kilobyte[1024];
    fixture_prepare(&f);
    f.options.l1_max_bytes = 1 << 20;
    f.options.l1_total_max_bytes = 2 << 20;
    fixture_start_memory(&f);
    memset(kilobyte, 1, sizeof kilobyte);
    for (int i = 0; i < 8000; i++) {
        ckit_entry_options o = CKIT_ENTRY_OPTIONS_INIT;
        char               name[2] = {(char)('a' + i % 8), 0};
        o.namespace_name = name;
        (void)ckit_cache_set(f.cache, ckit_slice_of(&i, sizeof i), S_ARRAY(kilobyte), &o, NULL);
    }
    ckit_cache_stats stats = stats_of(f.cache);
    CHECK_EQ_U(2 << 20, stats.l1_max_bytes);
    CHECK_BETWEEN_U(0, 2 << 20, stats.l1_used_bytes);
    fixture_close(&f);
}
