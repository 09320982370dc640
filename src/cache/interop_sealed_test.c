/* Sealed values of interop mode: the bytes of the other SDKs, and no frame around them. */
#include "cache/sealing_fixture.h"
#include "support/hex.h"

#include <cachekit/interop.h>

#define KEY_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define KEY_2 "2222222222222222222222222222222222222222222222222222222222222222"
#define KEY_OF_42 "users:get_user:61598716255080080f6456eb065c2e51badfaa4320b0efe97469c29cffee8875"
#define ALICE                                                                                                          \
    "\x82\xa3"                                                                                                         \
    "age\x1e\xa4name\xa5"                                                                                              \
    "alice"
/* What the released SDKs store for that, with KEY_A and with KEY_1. */
#define SEALED_A "0102030405060708000000006dcda72bf8be77bbdd13f4e947d958e7f5d5ec76c6756eb75f0351534caae3b993"
#define SEALED_1 "01020304050607080000000064ed97d85e3b2a45826199a7877b4bedcffcd95ad144696ab858c61193148b6443"
#define SEALED_LEN (sizeof SEALED_A / 2)

typedef struct scene {
    fixture        f;
    ckit_keyring  *ring;
    unsigned       runs;
    ckit_function *fn;
} scene;

static ckit_status load_alice(void *context, ckit_load *load, ckit_error *err) {
    scene *s = context;
    (void)err;
    s->runs++;
    ckit_write_map(load->result, 2);
    ckit_write_cstr(load->result, "name");
    ckit_write_cstr(load->result, "alice");
    ckit_write_cstr(load->result, "age");
    ckit_write_int(load->result, 30);
    return CKIT_OK;
}

static ckit_status make(scene *s, ckit_error *err) {
    ckit_function_options options = CKIT_FUNCTION_OPTIONS_INIT;
    options.namespace_name = "users";
    options.interop = "get_user";
    return ckit_function_new(s->f.cache, "test.person", load_alice, s, &options, &s->fn, err);
}

static void scene_start(scene *s, const char *current, const char *previous, const char *deployment) {
    *s = (scene){.runs = 0};
    fixture_prepare(&s->f);
    s->ring = ring_of(current, previous);
    s->f.options.keyring = s->ring;
    s->f.options.deployment_id = deployment;
    fixture_start(&s->f, FAKE_LOCKING);
}

static void scene_open(scene *s, const char *current, const char *previous) {
    scene_start(s, current, previous, TENANT);
    CHECK_OK(make(s, NULL));
}

static void scene_close(scene *s) {
    ckit_function_close(s->fn);
    fixture_close(&s->f);
    ckit_keyring_close(s->ring);
}

static void check_alice(scene *s, ckit_source source) {
    ckit_interop_args values;
    ckit_args         args;
    ckit_value        value = CKIT_VALUE_INIT;
    ckit_error        err = CKIT_ERROR_INIT;
    ckit_interop_args_init(&values, NULL);
    ckit_interop_args_int(&values, 42);
    ckit_args_init(&args);
    ckit_args_interop(&args, &values);
    CHECK_OK_ERR(ckit_call(s->fn, &args, &value, &err), &err);
    CHECK_EQ_U(source, value.source);
    CHECK_TEXT(ALICE, value.data);
    ckit_value_fini(&value);
    ckit_args_fini(&args);
    ckit_interop_args_fini(&values);
}

static void plant(scene *s, const char *hex) { fake_put(s->f.store, S(KEY_OF_42), hex_slice(hex), 5000); }

CKIT_TEST(interop_sealed, an_entry_that_the_released_sdks_have_sealed_is_a_hit) {
    scene s;
    scene_open(&s, KEY_A, NULL);
    plant(&s, SEALED_A);
    check_alice(&s, CKIT_SOURCE_STORE);
    check_alice(&s, CKIT_SOURCE_MEMORY);
    CHECK_EQ_U(0, s.runs);
    scene_close(&s);
}

CKIT_TEST(interop_sealed, the_keys_of_the_ring_are_tried_in_turn) {
    scene s;
    scene_open(&s, KEY_2, KEY_1);
    plant(&s, SEALED_1);
    check_alice(&s, CKIT_SOURCE_STORE);
    CHECK_EQ_U(0, s.runs);
    scene_close(&s);
}

CKIT_TEST(interop_sealed, what_is_stored_is_a_nonce_the_sealed_canonical_document_and_a_tag) {
    scene    s;
    ckit_buf plain = CKIT_BUF_INIT;
    scene_open(&s, KEY_A, NULL);
    check_alice(&s, CKIT_SOURCE_FUNCTION);
    CHECK_TEXT(KEY_OF_42, fake_only_key(s.f.store));
    CHECK_EQ_U(SEALED_LEN, fake_only_value(s.f.store).len);
    ckit_seal_subject subject = {.tenant = S(TENANT), .key = S(KEY_OF_42), .format = S("msgpack")};
    CHECK_OK(ckit_unseal(s.ring, &subject, ckit_slice_of(NULL, 0), fake_only_value(s.f.store), 1000, &plain, NULL));
    CHECK_TEXT(ALICE, ckit_buf_slice(&plain));
    check_alice(&s, CKIT_SOURCE_MEMORY);
    ckit_buf_fini(&plain);
    scene_close(&s);
}

CKIT_TEST(interop_sealed, what_was_altered_or_is_in_the_clear_is_computed_again) {
    for (long at = 0; at < (long)SEALED_LEN; at++) {
        scene s;
        scene_open(&s, KEY_A, NULL);
        plant(&s, SEALED_A);
        fake_damage(s.f.store, at);
        check_alice(&s, CKIT_SOURCE_FUNCTION);
        CHECK_EQ_U(1, s.runs);
        CHECK_EQ_U(1, stats_of(s.f.cache).auth_failures_l2);
        scene_close(&s);
    }
    scene s;
    scene_open(&s, KEY_A, NULL);
    fake_put(s.f.store, S(KEY_OF_42), S(ALICE), 5000);
    check_alice(&s, CKIT_SOURCE_FUNCTION);
    CHECK_EQ_U(SEALED_LEN, fake_only_value(s.f.store).len);
    scene_close(&s);
}

CKIT_TEST(interop_sealed, an_entry_by_key_is_sealed_alike) {
    scene              s;
    ckit_value         value = CKIT_VALUE_INIT;
    ckit_entry_options options = CKIT_ENTRY_OPTIONS_INIT;
    scene_open(&s, KEY_A, NULL);
    options.encoding = CKIT_INTEROP;
    plant(&s, SEALED_A);
    CHECK_OK(ckit_cache_get(s.f.cache, S(KEY_OF_42), &options, &value, NULL));
    CHECK_TEXT(ALICE, value.data);
    ckit_value_fini(&value);
    CHECK_OK(ckit_cache_set(s.f.cache, S(KEY_OF_42), S(ALICE), &options, NULL));
    CHECK_EQ_U(SEALED_LEN, fake_only_value(s.f.store).len);
    check_alice(&s, CKIT_SOURCE_STORE);
    scene_close(&s);
}

CKIT_TEST(interop_sealed, without_a_deployment_that_others_can_name_it_is_refused) {
    static const char *const deployments[] = {NULL, "default", "00000000-0000-0000-0000-00000000000A"};
    for (size_t i = 0; i < sizeof deployments / sizeof deployments[0]; i++) {
        scene      s;
        ckit_error err = CKIT_ERROR_INIT;
        scene_start(&s, KEY_A, NULL, deployments[i]);
        CHECK_STATUS(CKIT_E_CONFIGURATION, make(&s, &err));
        CHECK_CONTAINS("deployment_id", err.text);
        scene_close(&s);
    }
}
