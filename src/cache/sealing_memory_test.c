/* What a process has in its memory after sealed values have gone through a cache: neither values nor keys. */
#include "cache/cache_fixture.h"
#include "format/seal_ring.h"
#include "support/memory_search.h"

#include <cachekit/seal.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEEDLE 24
#define TENANT "00000000-0000-0000-0000-000000000001"

static uint8_t masked_value[NEEDLE];
static uint8_t masked_key[32];

static uint8_t value_byte(size_t i) { return (uint8_t)(0x31 + i * 7 % 73); }

static void mask(void) {
    for (size_t i = 0; i < NEEDLE; i++) {
        masked_value[i] = value_byte(i) ^ MASK;
    }
    for (size_t i = 0; i < sizeof masked_key; i++) {
        masked_key[i] = (uint8_t)(0xc3 + i * 11) ^ MASK;
    }
}

/* Grows the result piece by piece, as a loader does that does not know how long it will be. */
static ckit_status load(void *context, ckit_load *load, ckit_error *err) {
    uint8_t piece[NEEDLE];
    (void)context, (void)err;
    for (size_t i = 0; i < NEEDLE; i++) {
        piece[i] = value_byte(i);
    }
    ckit_write_array(load->result, 50);
    for (int i = 0; i < 50; i++) {
        ckit_write_bin(load->result, ckit_slice_of(piece, sizeof piece));
    }
    explicit_bzero(piece, sizeof piece);
    return CKIT_OK;
}

static void call_it(ckit_function *fn, ckit_source source) {
    ckit_args  args;
    ckit_value value = CKIT_VALUE_INIT;
    ckit_args_init(&args);
    ckit_args_int(&args, 1);
    CHECK_OK(ckit_call(fn, &args, &value, NULL));
    CHECK_EQ_U(source, value.source);
    CHECK_EQ_U(50, occurrences(value.data.ptr, value.data.len, masked_value, NEEDLE));
    ckit_value_fini(&value);
    ckit_args_fini(&args);
}

static void set_and_get(ckit_cache *cache, ckit_cache *other) {
    uint8_t    bytes[NEEDLE * 8];
    ckit_value value = CKIT_VALUE_INIT;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = value_byte(i % NEEDLE);
    }
    CHECK_OK(ckit_cache_set(cache, S("k"), S_ARRAY(bytes), NULL, NULL));
    explicit_bzero(bytes, sizeof bytes);
    ckit_cache *const readers[] = {cache, other, other};
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(ckit_cache_get(readers[i], S("k"), NULL, &value, NULL));
        CHECK_EQ_U(8, occurrences(value.data.ptr, value.data.len, masked_value, NEEDLE));
        CHECK(i > 0 || find_in_process(masked_value, NEEDLE) > 0); /* the search finds */
        ckit_value_fini(&value);
    }
}

static ckit_keyring *open_ring(void) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    uint8_t              key[sizeof masked_key];
    mask_bytes(key, masked_key, sizeof key);
    options.master_key = S_ARRAY(key);
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    explicit_bzero(key, sizeof key);
    return ring;
}

/* The key that values are sealed with, masked. */
static void note_tenants_key(ckit_keyring *ring, uint8_t masked[32]) {
    ckiti_tenant *tenant;
    CHECK_OK(ckiti_ring_borrow(ring, 0, S(TENANT), &tenant, NULL));
    CHECK(atomic_load(&tenant->sealed) > 0);
    mask_bytes(masked, tenant->cipher.secret->key, 32);
    ckiti_ring_give_back(ring, tenant);
}

/* No key of either kind, and nothing that AES makes of the second, whose round keys begin with its halves. */
static void check_no_keys(const uint8_t masked_tenants_key[32]) {
    CHECK_EQ_U(0, find_in_process(masked_key, sizeof masked_key));
    CHECK_EQ_U(0, find_in_process(masked_tenants_key, 16));
    CHECK_EQ_U(0, find_in_process(masked_tenants_key + 16, 16));
}

/* In a process of its own, whose memory nothing else has filled. */
static void use_a_cache(bool searches_values) {
    fixture  f;
    uint8_t  tenants_key[32];
    ckit_buf stored = CKIT_BUF_INIT;
    mask();
    fixture_prepare(&f);
    ckit_keyring *ring = open_ring();
    f.options.keyring = ring;
    f.options.encryption = CKIT_ON;
    f.options.deployment_id = TENANT;
    fixture_start(&f, FAKE_LOCKING);
    ckit_cache    *other = fixture_cache(&f, FAKE_FULL);
    ckit_function *fn = NULL, *there = NULL;
    CHECK_OK(ckit_function_new(f.cache, "m.f", load, NULL, NULL, &fn, NULL));
    CHECK_OK(ckit_function_new(other, "m.f", load, NULL, NULL, &there, NULL));
    call_it(fn, CKIT_SOURCE_FUNCTION);
    call_it(fn, CKIT_SOURCE_MEMORY);
    call_it(there, CKIT_SOURCE_STORE);
    call_it(there, CKIT_SOURCE_MEMORY);
    CHECK_OK(ckit_buf_append(&stored, fake_only_value(f.store))); /* searched with all the rest */
    set_and_get(f.cache, other);
    note_tenants_key(ring, tenants_key);
    if (searches_values) { /* while caches and store are open */
        CHECK_EQ_U(0, find_in_process(masked_value, NEEDLE));
    } else {
        CHECK(find_in_process(masked_key, sizeof masked_key) > 0); /* the search finds */
    }
    ckit_function_close(fn);
    ckit_function_close(there);
    ckit_cache_close(other);
    fixture_close(&f);
    ckit_keyring_close(ring);
    check_no_keys(tenants_key);
    CHECK(!searches_values || find_in_process(masked_value, NEEDLE) == 0);
    ckit_buf_fini(&stored);
}

static void run_apart(bool searches_values) {
    const pid_t child = fork();
    int         status;
    CHECK(child >= 0);
    if (child == 0) {
        use_a_cache(searches_values);
        _exit(0);
    }
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
}

CKIT_TEST(sealing, nothing_in_the_clear_is_left_in_memory_that_was_given_back) {
    if (UNDER_ASAN || UNDER_TSAN) {
        SKIP("a sanitizer keeps what was freed");
    }
    run_apart(true);
}

CKIT_TEST(sealing, no_key_is_left_in_the_process_after_close) {
    if (UNDER_ASAN || UNDER_TSAN) {
        SKIP("a sanitizer keeps what was freed");
    }
    run_apart(false);
}

CKIT_TEST_MAIN()
