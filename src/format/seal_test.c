/* Key rings, sealing and opening without a frame: the SDKs' bytes, rotation, refusals, damage, budgets, memory. Of
 * seal_ring.c and seal_tenants.c. */
#include <cachekit/buf.h>
#include <cachekit/seal.h>

#include "base/random.h"
#include "format/seal.h"
#include "format/seal_ring.h"
#include "support/failing_alloc.h"
#include "support/hex.h"
#include "support/test.h"

#include <pthread.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define HEX_32(two)                                                                                                    \
    two two two two two two two two two two two two two two two two two two two two two two two two two two two two    \
        two two two two
#define KEY_A HEX_32("61")
#define KEY_1 HEX_32("11")
#define KEY_2 HEX_32("22")
#define KEY_3 HEX_32("33")
#define KEY_4 HEX_32("44")
#define UUID_1 "00000000-0000-0000-0000-000000000001"
#define USER_KEY "users:get_user:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875"

static void ignore_line(void *self, ckit_log_level level, const char *component, const char *line) {
    (void)self, (void)level, (void)component, (void)line;
}
static const ckit_log quiet = {.write = ignore_line};

static ckit_keyring *ring_of(const char *current, const char *previous, ckit_seal_cipher cipher) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    ckit_error           err = CKIT_ERROR_INIT;
    options.master_key_hex = current;
    options.previous_keys_hex = previous;
    options.cipher = cipher;
    options.log = &quiet;
    CHECK_OK_ERR(ckit_keyring_open(&options, &ring, &err), &err);
    return ring;
}

static ckit_status open_ring(const char *current, const char *previous, ckit_error *err) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = (ckit_keyring *)&options;
    options.master_key_hex = current;
    options.previous_keys_hex = previous;
    options.log = &quiet;
    ckit_status st = ckit_keyring_open(&options, &ring, err);
    CHECK((st == CKIT_OK) == (ring != NULL));
    ckit_keyring_close(ring);
    return st;
}

/* A frameless entry, as interop mode and the Rust SDK have them. */
static ckit_seal_subject bare(const char *tenant, const char *key) {
    return (ckit_seal_subject){.tenant = S(tenant), .key = S(key), .format = S("msgpack")};
}

/* ---- the SDKs' bytes ---------------------------------------------------------------------------------------- */

static const struct {
    const char *tenant, *key, *additional, *plain, *sealed;
} released[] = {
    {"cross-sdk-test", "test:vector:1",
     "030000000e63726f73732d73646b2d746573740000000d746573743a766563746f723a31000000076d73677061636b0000000546616c7365",
     "0102030405060708", "f8f69c70000000000000000087d9ec09f2c2347a4b37d5330ccf50e3c31e69642801bef5"},
    {"cross-sdk-test", "user@example.com:profile",
     "030000000e63726f73732d73646b2d746573740000001875736572406578616d706c652e636f6d3a70726f66696c65000000076d73677061"
     "636b0000000546616c7365",
     "deadbeef", "f8f69c7000000000000000012bf77e0cfc353ab04d0b941b22aa2ce39167ee63"},
    {"cross-sdk-test", USER_KEY,
     "030000000e63726f73732d73646b2d746573740000004f75736572733a6765745f757365723a363135393837313632353530383030383066"
     "36343536656230363563326535316261646661613433323062306566653937343639633239636666656538383735000000076d7367706163"
     "6b0000000546616c7365",
     "82a36167651ea46e616d65a5616c696365",
     "000102030405060708090a0b033caf732820ce189e1506f842aebf8cdb6a242eb08c55b6f5a91eb9007b3bd657"},
    {UUID_1, USER_KEY,
     "030000002430303030303030302d303030302d303030302d303030302d3030303030303030303030310000004f75736572733a6765745f75"
     "7365723a36313539383731363235353038303038306636343536656230363563326535316261646661613433323062306566653937343639"
     "633239636666656538383735000000076d73677061636b0000000546616c7365",
     "82a36167651ea46e616d65a5616c696365",
     "0102030405060708000000006dcda72bf8be77bbdd13f4e947d958e7f5d5ec76c6756eb75f0351534caae3b993"},
};

CKIT_TEST(seal, the_sdks_bytes_are_written_and_read_by_both_ciphers) {
    static const ckit_seal_cipher ciphers[] = {CKIT_SEAL_CIPHER_AUTO, CKIT_SEAL_CIPHER_OPENSSL};
    for (size_t c = 0; c < COUNT(ciphers); c++) {
        ckit_keyring *ring = ring_of(KEY_A, NULL, ciphers[c]);
        for (size_t i = 0; i < COUNT(released); i++) {
            const ckit_seal_subject subject = bare(released[i].tenant, released[i].key);
            const ckit_slice        plain = hex_slice(released[i].plain), sealed = hex_slice(released[i].sealed);
            ckit_buf                out = CKIT_BUF_INIT;
            uint8_t                 written[64];
            CHECK_OK(ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, sealed, 0, &out, NULL));
            CHECK_BYTES(plain, ckit_buf_slice(&out));
            CHECK_OK(ckiti_seal_with_nonce(ring, &subject, plain, sealed.ptr, written, NULL));
            CHECK_BYTES(sealed, ckit_slice_of(written, plain.len + CKIT_SEAL_OVERHEAD));
            ckit_buf_fini(&out);
        }
        ckit_keyring_close(ring);
    }
}

static void check_additional(const ckit_seal_subject *subject, const char *expected) {
    ckiti_seal_additional additional;
    CHECK_OK(ckiti_seal_additional_init(&additional, subject, NULL, NULL));
    CHECK_BYTES(hex_slice(expected), ckit_slice_of(additional.ptr, additional.len));
    ckiti_seal_additional_fini(&additional);
}

CKIT_TEST(seal, the_additional_data_are_the_sdks) {
    for (size_t i = 0; i < COUNT(released); i++) {
        const ckit_seal_subject subject = bare(released[i].tenant, released[i].key);
        check_additional(&subject, released[i].additional);
    }
    ckit_seal_subject subject = bare("test", "mykey");
    check_additional(&subject, "030000000474657374000000056d796b6579000000076d73677061636b0000000546616c7365");
    subject.compressed = true;
    subject.original_type = S("msgpack");
    check_additional(&subject,
                     "030000000474657374000000056d796b6579000000076d73677061636b0000000454727565000000076d7367"
                     "7061636b");
}

CKIT_TEST(seal, a_long_subject_is_authenticated_too) {
    static char       key[4000];
    ckit_keyring     *ring = ring_of(KEY_A, NULL, CKIT_SEAL_CIPHER_AUTO);
    ckit_buf          sealed = CKIT_BUF_INIT, plain = CKIT_BUF_INIT;
    ckit_seal_subject subject = bare("t", "k");
    memset(key, 'k', sizeof key);
    subject.key = S_ARRAY(key);
    CHECK_OK(ckit_seal(ring, &subject, S("v"), &sealed, NULL));
    CHECK_OK(ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, ckit_buf_slice(&sealed), 0, &plain, NULL));
    key[3999] ^= 1;
    CHECK_STATUS(CKIT_E_AUTH_TAG,
                 ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, ckit_buf_slice(&sealed), 0, &plain, NULL));
    CHECK_TEXT("v", ckit_buf_slice(&plain));
    ckit_buf_fini(&sealed);
    ckit_buf_fini(&plain);
    ckit_keyring_close(ring);
}

/* ---- rotation ----------------------------------------------------------------------------------------------- */

CKIT_TEST(seal, a_previous_key_opens_what_it_sealed_and_the_current_one_seals) {
    const ckit_seal_subject subject = bare(UUID_1, USER_KEY);
    const ckit_slice        old =
        hex_slice("01020304050607080000000064ed97d85e3b2a45826199a7877b4bedcffcd95ad144696ab858c61193148b6443");
    ckit_keyring *ring = ring_of(KEY_2, KEY_1, CKIT_SEAL_CIPHER_AUTO);
    ckit_buf      out = CKIT_BUF_INIT, sealed = CKIT_BUF_INIT;
    char          current[CKIT_FINGERPRINT_DIGITS + 1];
    ckit_error    err = CKIT_ERROR_INIT;
    CHECK_OK(ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, old, 0, &out, NULL));
    CHECK_BYTES(hex_slice("82a36167651ea46e616d65a5616c696365"), ckit_buf_slice(&out));
    CHECK_OK(ckit_keyring_fingerprint(ring, S(UUID_1), current, NULL));
    CHECK_STR("41fdf18ed00724551a282a8dae67ed7b", current);
    out.len = 0;
    CHECK_OK(ckit_unseal(ring, &subject, S("048f1ced3e7be963d7dd06e5d98cf048"), old, 0, &out, NULL));
    /* by its name, the current key alone is tried */
    CHECK_STATUS(CKIT_E_AUTH_TAG, ckit_unseal(ring, &subject, S(current), old, 0, &out, NULL));
    CHECK_STATUS(CKIT_E_AUTH_TAG,
                 ckit_unseal(ring, &subject, S("00000000000000000000000000000000"), old, 0, &out, NULL));
    CHECK_STATUS(CKIT_E_AUTH_TAG, ckit_unseal(ring, &subject, S("048f"), old, 0, &out, NULL));
    CHECK_OK(ckit_seal(ring, &subject, S("new"), &sealed, NULL));
    ckit_keyring_close(ring);
    ring = ring_of(KEY_2, NULL, CKIT_SEAL_CIPHER_AUTO);
    CHECK_STATUS(CKIT_E_AUTH_TAG, ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, old, 0, &out, NULL));
    CHECK_STATUS_ERR(CKIT_E_AUTH_TAG, ckit_unseal(ring, &subject, S("048f"), old, 0, &out, &err), &err);
    CHECK_CONTAINS("previous", err.text);
    CHECK_OK(ckit_unseal(ring, &subject, S(current), ckit_buf_slice(&sealed), 0, &out, NULL));
    ckit_keyring_close(ring);
    ckit_buf_fini(&out);
    ckit_buf_fini(&sealed);
}

CKIT_TEST(seal, a_ring_of_previous_keys_opens_and_does_not_seal) {
    ckit_keyring           *ring = ring_of("  ", KEY_A, CKIT_SEAL_CIPHER_AUTO);
    const ckit_seal_subject subject = bare(released[0].tenant, released[0].key);
    ckit_buf                out = CKIT_BUF_INIT;
    ckit_error              err = CKIT_ERROR_INIT;
    CHECK(!ckit_keyring_can_seal(ring));
    CHECK_OK(ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, hex_slice(released[0].sealed), 0, &out, NULL));
    CHECK_STATUS_ERR(CKIT_E_NO_MASTER_KEY, ckit_seal(ring, &subject, S("v"), &out, &err), &err);
    CHECK_EQ_U(8, out.len);
    ckit_buf_fini(&out);
    ckit_keyring_close(ring);
}

/* ---- keys as they are given --------------------------------------------------------------------------------- */

CKIT_TEST(seal, keys_are_taken_in_every_form_the_sdks_take) {
    static const char *const forms[] = {KEY_A, " " KEY_A "\n", "61 61 61 61" /* and 28 more */ HEX_32("61"),
                                        HEX_32("61 ")};
    for (size_t i = 0; i < COUNT(forms); i++) {
        CHECK_OK(open_ring(forms[i], NULL, NULL));
    }
    CHECK_OK(open_ring("ABCDEF" HEX_32("aB"), NULL, NULL));
    CHECK_OK(open_ring(KEY_A, KEY_1 ", " KEY_2 ",," KEY_3 " ,", NULL));
    CHECK_OK(open_ring(KEY_A, "", NULL));
    CHECK_OK(open_ring(KEY_A, " , ", NULL));
}

CKIT_TEST(seal, wrong_keys_are_refused_with_the_right_form_shown_and_without_the_key) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_NO_MASTER_KEY, open_ring(NULL, NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_NO_MASTER_KEY, open_ring("", " ,", &err), &err);
    /* 62 digits, as an example that goes around has */
    CHECK_STATUS_ERR(CKIT_E_BAD_MASTER_KEY,
                     open_ring("a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b6c7d8e9f0a1", NULL, &err), &err);
    CHECK_CONTAINS("31 bytes", err.text);
    CHECK_CONTAINS("64 hexadecimal digits", err.text);
    CHECK(strstr(err.text, "a1b2") == NULL);
    CHECK_STATUS_ERR(CKIT_E_BAD_MASTER_KEY,
                     open_ring("my secret password, which is long enough to be a key, isn't it", NULL, &err), &err);
    CHECK_CONTAINS("hexadecimal", err.text);
    CHECK(strstr(err.text, "password") == NULL);
    CHECK_STATUS_ERR(CKIT_E_BAD_MASTER_KEY, open_ring(KEY_A "6", NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_BAD_MASTER_KEY, open_ring("6 1" KEY_A, NULL, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_BAD_MASTER_KEY, open_ring(KEY_A, KEY_1 ",2222", &err), &err);
    CHECK_CONTAINS("previous key 2", err.text);
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, open_ring(KEY_A, KEY_1 "," KEY_2 "," KEY_3 "," KEY_4, &err), &err);
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, open_ring(KEY_A, KEY_1 "," KEY_A, &err), &err);
    CHECK_CONTAINS("retired", err.text);
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, open_ring(KEY_A, KEY_1 "," KEY_1, &err), &err);
}

CKIT_TEST(seal, options_out_of_range_are_refused) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    ckit_error           err = CKIT_ERROR_INIT;
    options.master_key_hex = KEY_A;
    options.master_key = S("and bytes, of which there are more than thirty-two");
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_keyring_open(&options, &ring, &err), &err);
    options.master_key_hex = NULL;
    options.max_tenants = 15;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_keyring_open(&options, &ring, &err), &err);
    options.max_tenants = 65537;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_keyring_open(&options, &ring, &err), &err);
    options.max_tenants = 0;
    options.max_seals_per_key = CKIT_SEAL_MAX_PER_KEY + 1;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_keyring_open(&options, &ring, &err), &err);
    options.max_seals_per_key = 0;
    options.cipher = (ckit_seal_cipher)7;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_keyring_open(&options, &ring, &err), &err);
    options.cipher = CKIT_SEAL_CIPHER_AUTO;
    CHECK_OK_ERR(ckit_keyring_open(&options, &ring, &err), &err);
    CHECK(ckit_keyring_can_seal(ring));
    ckit_keyring_close(ring);
    ckit_keyring_close(NULL);
}

static void count_line(void *self, ckit_log_level level, const char *component, const char *line) {
    (void)component;
    CHECK_EQ_I(CKIT_LOG_WARNING, (int)level);
    CHECK_CONTAINS("master key", line);
    ++*(int *)self;
}

CKIT_TEST(seal, a_weak_key_draws_one_warning_and_works) {
    int                  lines = 0;
    const ckit_log       log = {.write = count_line, .self = &lines};
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    options.master_key_hex = KEY_A;
    options.log = &log;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    CHECK_EQ_I(1, lines);
    ckit_keyring_close(ring);
    options.master_key_hex = "62" KEY_A;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    CHECK_EQ_I(1, lines);
    ckit_keyring_close(ring);
}

CKIT_TEST(seal, tenants_are_not_empty_not_too_long_and_utf8) {
    static char       longest[CKIT_TENANT_MAX_BYTES + 1];
    ckit_keyring     *ring = ring_of(KEY_A, NULL, CKIT_SEAL_CIPHER_AUTO);
    ckit_buf          out = CKIT_BUF_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    ckit_seal_subject subject = bare("", "k");
    memset(longest, 't', sizeof longest);
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_seal(ring, &subject, S("v"), &out, &err), &err);
    subject.tenant = S_ARRAY(longest);
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_seal(ring, &subject, S("v"), &out, &err), &err);
    subject.tenant.len--;
    CHECK_OK_ERR(ckit_seal(ring, &subject, S("v"), &out, &err), &err);
    subject.tenant = S("\xff");
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckit_seal(ring, &subject, S("v"), &out, &err), &err);
    subject = bare("t", "");
    CHECK_STATUS_ERR(CKIT_E_MISUSE, ckit_seal(ring, &subject, S("v"), &out, &err), &err);
    CHECK_EQ_U(1 + CKIT_SEAL_OVERHEAD, out.len);
    ckit_buf_fini(&out);
    ckit_keyring_close(ring);
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

static void check_refused(ckit_keyring *ring, const ckit_seal_subject *subject, ckit_slice sealed) {
    ckit_buf   out = CKIT_BUF_INIT;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_AUTH_TAG, ckit_unseal(ring, subject, (ckit_slice){NULL, 0}, sealed, 0, &out, &err), &err);
    CHECK_EQ_U(0, out.len);
    ckit_buf_fini(&out);
}

/* With every single bit of a text of the subject changed. */
static void check_text(ckit_keyring *ring, ckit_seal_subject *subject, ckit_slice *text, ckit_slice sealed) {
    const ckit_slice good = *text;
    uint8_t          bad[128];
    for (size_t bit = 0; bit < 8 * good.len; bit++) {
        memcpy(bad, good.ptr, good.len);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        *text = ckit_slice_of(bad, good.len);
        if (text != &subject->tenant || bad[bit / 8] < 0x80) { /* a tenant that is not UTF-8 is refused as such */
            check_refused(ring, subject, sealed);
        }
    }
    *text = good;
}

static void check_damage(ckit_seal_cipher cipher) {
    ckit_keyring     *ring = ring_of(KEY_A, KEY_1, cipher);
    ckit_buf          sealed = CKIT_BUF_INIT;
    ckit_seal_subject subject = bare("tenant", "ns:key");
    subject.original_type = S("msgpack");
    CHECK_OK(ckit_seal(ring, &subject, S("the value, for whom it may concern"), &sealed, NULL));
    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        sealed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        check_refused(ring, &subject, ckit_buf_slice(&sealed));
        sealed.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < sealed.len; len++) {
        check_refused(ring, &subject, ckit_slice_of(sealed.ptr, len));
    }
    check_text(ring, &subject, &subject.tenant, ckit_buf_slice(&sealed));
    check_text(ring, &subject, &subject.key, ckit_buf_slice(&sealed));
    check_text(ring, &subject, &subject.format, ckit_buf_slice(&sealed));
    check_text(ring, &subject, &subject.original_type, ckit_buf_slice(&sealed));
    subject.compressed = true;
    check_refused(ring, &subject, ckit_buf_slice(&sealed));
    subject.compressed = false;
    subject.original_type.len = 0;
    check_refused(ring, &subject, ckit_buf_slice(&sealed));
    ckit_buf_fini(&sealed);
    ckit_keyring_close(ring);
}

CKIT_TEST(seal, every_changed_bit_of_value_and_subject_is_found_by_libsodium) { check_damage(CKIT_SEAL_CIPHER_AUTO); }
CKIT_TEST(seal, every_changed_bit_of_value_and_subject_is_found_by_openssl) { check_damage(CKIT_SEAL_CIPHER_OPENSSL); }

CKIT_TEST(seal, lengths_are_judged_before_memory_is_reserved) {
    static uint8_t    large[100000];
    failing_alloc     fa;
    ckit_keyring     *ring = ring_of(KEY_A, NULL, CKIT_SEAL_CIPHER_AUTO);
    ckit_seal_subject subject = bare("t", "k");
    ckit_error        err = CKIT_ERROR_INIT;
    failing_alloc_init(&fa, FAILING_ALLOC_NEVER);
    ckit_buf out = {.alloc = &fa.alloc};
    CHECK_STATUS_ERR(CKIT_E_TOO_LARGE,
                     ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, S_ARRAY(large), sizeof large - 29, &out, &err),
                     &err);
    CHECK_EQ_U(0, fa.requests);
    CHECK_STATUS_ERR(CKIT_E_TOO_LARGE,
                     ckit_seal(ring, &subject, ckit_slice_of(large, CKIT_SEAL_MAX_BYTES + 1), &out, &err), &err);
    CHECK_EQ_U(0, fa.requests);
    ckit_buf_fini(&out);
    ckit_keyring_close(ring);
}

/* ---- budgets ------------------------------------------------------------------------------------------------ */

static ckit_status seal_one(ckit_keyring *ring, const char *tenant) {
    const ckit_seal_subject subject = bare(tenant, "k");
    ckit_buf                out = CKIT_BUF_INIT;
    ckit_error              err = CKIT_ERROR_INIT;
    ckit_status             st = ckit_seal(ring, &subject, S("v"), &out, &err);
    CHECK_EQ_U(st == CKIT_OK ? 1 + CKIT_SEAL_OVERHEAD : 0, out.len);
    if (st != CKIT_OK) {
        CHECK_CONTAINS("new master key", err.text);
    }
    ckit_buf_fini(&out);
    return st;
}

CKIT_TEST(seal, a_key_seals_its_budget_and_no_more_also_when_it_was_put_away_meanwhile) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    char                 name[16];
    options.master_key_hex = KEY_A;
    options.log = &quiet;
    options.max_tenants = 16;
    options.max_seals_per_key = 3;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(seal_one(ring, "a"));
    }
    CHECK_STATUS(CKIT_E_UNSUPPORTED, seal_one(ring, "a"));
    CHECK_OK(seal_one(ring, "b"));
    for (int i = 0; i < 15; i++) { /* one of them goes, and "a" stays */
        (void)snprintf(name, sizeof name, "t%d", i);
        CHECK_OK(seal_one(ring, name));
    }
    CHECK_STATUS(CKIT_E_UNSUPPORTED, seal_one(ring, "a"));
    /* Whatever went: when it comes back, it has at most what was left. */
    ckit_status st = CKIT_OK;
    for (int i = 0; i < 100 && st == CKIT_OK; i++) {
        (void)snprintf(name, sizeof name, "u%d", i % 20);
        st = seal_one(ring, name);
    }
    CHECK_STATUS(CKIT_E_UNSUPPORTED, st);
    ckit_keyring_close(ring);
}

CKIT_TEST(seal, more_tenants_than_are_kept_open_and_seal) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    ckit_buf             sealed[40] = {CKIT_BUF_INIT};
    char                 name[16];
    options.master_key_hex = KEY_A;
    options.log = &quiet;
    options.max_tenants = 16;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(sealed); i++) {
            (void)snprintf(name, sizeof name, "tenant-%zu", i);
            const ckit_seal_subject subject = bare(name, "k");
            ckit_buf                plain = CKIT_BUF_INIT;
            if (round == 0) {
                CHECK_OK(ckit_seal(ring, &subject, S(name), &sealed[i], NULL));
            } else {
                CHECK_OK(
                    ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, ckit_buf_slice(&sealed[i]), 0, &plain, NULL));
                CHECK_TEXT(name, ckit_buf_slice(&plain));
            }
            ckit_buf_fini(&plain);
        }
    }
    for (size_t i = 0; i < COUNT(sealed); i++) {
        ckit_buf_fini(&sealed[i]);
    }
    ckit_keyring_close(ring);
}

CKIT_TEST(seal, when_all_keys_are_at_work_the_next_tenant_hears_busy) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    ckiti_tenant        *lent[16], *more;
    char                 name[16];
    options.master_key_hex = KEY_A;
    options.log = &quiet;
    options.max_tenants = 16;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    for (size_t i = 0; i < COUNT(lent); i++) {
        (void)snprintf(name, sizeof name, "tenant-%zu", i);
        CHECK_OK(ckiti_ring_borrow(ring, 0, S(name), &lent[i], NULL));
    }
    CHECK_STATUS(CKIT_E_BUSY, ckiti_ring_borrow(ring, 0, S("x"), &more, NULL));
    ckiti_ring_give_back(ring, lent[7]);
    CHECK_OK(ckiti_ring_borrow(ring, 0, S("x"), &more, NULL));
    CHECK_EQ_P(lent[7], more);
    ckit_keyring_close(ring);
}

/* ---- threads, growth, memory -------------------------------------------------------------------------------- */

typedef struct worker {
    ckit_keyring *ring;
    int           number;
} worker;

static void *work(void *arg) {
    const worker *w = arg;
    char          name[24], text[6000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 200; i++) {
        ckit_buf sealed = CKIT_BUF_INIT, plain = CKIT_BUF_INIT;
        (void)snprintf(name, sizeof name, "tenant-%d", (i * (w->number + 1)) % 24);
        const ckit_seal_subject subject = bare(name, "k");
        CHECK_OK(ckit_seal(w->ring, &subject, S_ARRAY(text), &sealed, NULL));
        CHECK_OK(ckit_unseal(w->ring, &subject, (ckit_slice){NULL, 0}, ckit_buf_slice(&sealed), 0, &plain, NULL));
        CHECK_BYTES(S_ARRAY(text), ckit_buf_slice(&plain));
        ckit_buf_fini(&sealed);
        ckit_buf_fini(&plain);
    }
    return NULL;
}

CKIT_TEST(seal, threads_share_a_ring_while_keys_come_and_go_and_openssl_takes_over) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    pthread_t            threads[4];
    worker               workers[4];
    options.master_key_hex = KEY_A;
    options.log = &quiet;
    options.max_tenants = 16;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    for (int i = 0; i < 4; i++) {
        workers[i] = (worker){ring, i};
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, work, &workers[i]));
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(atomic_load(&ring->openssl) != NULL);
    ckit_keyring_close(ring);
}

CKIT_TEST(seal, without_memory_nothing_is_lost_or_half_done) {
    for (int cipher = 0; cipher <= CKIT_SEAL_CIPHER_OPENSSL; cipher += CKIT_SEAL_CIPHER_OPENSSL) {
        for (uint64_t n = 0;; n++) {
            failing_alloc        fa;
            ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
            ckit_keyring        *ring;
            ckit_seal_subject    subject = bare("t", "k");
            uint8_t              key[600] = {'k'};
            failing_alloc_init(&fa, n);
            options.master_key_hex = KEY_A;
            options.log = &quiet;
            options.cipher = (ckit_seal_cipher)cipher;
            options.alloc = &fa.alloc;
            subject.key = S_ARRAY(key);
            ckit_buf    sealed = {.alloc = &fa.alloc}, plain = {.alloc = &fa.alloc};
            ckit_status st = ckit_keyring_open(&options, &ring, NULL);
            if (st == CKIT_OK && (st = ckit_seal(ring, &subject, S("v"), &sealed, NULL)) == CKIT_OK) {
                st = ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, ckit_buf_slice(&sealed), 0, &plain, NULL);
            }
            ckit_keyring_close(ring);
            ckit_buf_fini(&sealed);
            ckit_buf_fini(&plain);
            failing_alloc_check_empty(&fa);
            if (!failing_alloc_has_failed(&fa)) {
                CHECK_OK(st);
                break;
            }
            CHECK_STATUS(CKIT_E_NO_MEMORY, st);
        }
    }
}
