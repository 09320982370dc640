/* Stored values sealed anew: which ones, under which names, and what is left alone. */
#include "format/reseal.h"

#include "format/sealed.h"
#include "support/test.h"

#include <cachekit/buf.h>

#define KEY_A "6162636465666768696a6b6c6d6e6f707172737475767778797a303132333435"
#define KEY_B "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_C "101112131415161718191a1b1c1d1e1f000102030405060708090a0b0c0d0e0f"

static ckit_keyring *ring_of(const char *current, const char *previous) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    options.master_key_hex = current;
    options.previous_keys_hex = previous;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    return ring;
}

typedef struct scene {
    ckit_keyring *former, *rotated, *present;
    ckit_buf      stored, out;
} scene;

static void scene_open(scene *s) {
    *s = (scene){ring_of(KEY_A, NULL), ring_of(KEY_B, KEY_A), ring_of(KEY_B, NULL), CKIT_BUF_INIT, CKIT_BUF_INIT};
}

static void scene_close(scene *s) {
    ckit_keyring_close(s->former);
    ckit_keyring_close(s->rotated);
    ckit_keyring_close(s->present);
    ckit_buf_fini(&s->stored);
    ckit_buf_fini(&s->out);
}

static void seal_document(scene *s, const char *tenant, const char *key) {
    const ckiti_sealed_place place = {.ring = s->former, .tenant = S(tenant), .key = S(key)};
    s->stored.len = 0;
    CHECK_OK(ckiti_sealed_seal(&place, S("\xa5hello"), true, 6, 0, &s->stored, NULL));
}

static ckiti_reseal_found reseal(scene *s, ckit_keyring *ring, const char *stored_key) {
    ckiti_reseal_found found = CKITI_RESEAL_CLEAR;
    s->out.len = 0;
    CHECK_OK(ckiti_reseal(ring, S("home"), S(stored_key), ckit_buf_slice(&s->stored), &s->out, &found, NULL));
    CHECK_EQ_U(found == CKITI_RESEAL_DONE ? s->stored.len : 0, s->out.len);
    return found;
}

CKIT_TEST(reseal, a_value_opens_with_the_new_key_alone_for_its_tenant_and_key_and_is_no_longer_than_before) {
    static const char *const names[][3] = {{"home", "k", "k"},
                                           {"acme", "k", "t:acme:k"},
                                           {"a c", "k", "t:default:t:a%20c:k"},
                                           {"home", "t:no:tenant", "t:no:tenant"},
                                           {"home", "k:stale", "k:stale"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        scene              s;
        ckit_buf           document = CKIT_BUF_INIT;
        ckiti_sealed_class cls;
        scene_open(&s);
        seal_document(&s, names[i][0], names[i][1]);
        CHECK_EQ_I(CKITI_RESEAL_DONE, reseal(&s, s.rotated, names[i][2]));
        const ckiti_sealed_place place = {.ring = s.present, .tenant = S(names[i][0]), .key = S(names[i][1])};
        CHECK_OK(ckiti_sealed_open(&place, ckit_buf_slice(&s.out), true, 0, &document, &cls, NULL));
        CHECK_TEXT("\xa5hello", ckit_buf_slice(&document));
        ckit_buf_fini(&document);
        scene_close(&s);
    }
}

CKIT_TEST(reseal, bytes_without_a_header_are_the_deployments_or_the_tenants_that_the_key_names) {
    static const char *const names[][3] = {{"home", "k", "k"}, {"home", "k", "t:default:k"}, {"a c", "k", "t:a%20c:k"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        scene                   s;
        ckit_buf                plain = CKIT_BUF_INIT;
        const ckit_seal_subject subject = {.tenant = S(names[i][0]), .key = S(names[i][1]), .format = S("msgpack")};
        scene_open(&s);
        CHECK_OK(ckit_seal(s.former, &subject, S("bare"), &s.stored, NULL));
        CHECK_EQ_I(CKITI_RESEAL_DONE, reseal(&s, s.rotated, names[i][2]));
        CHECK_OK(ckit_unseal(s.present, &subject, S(""), ckit_buf_slice(&s.out), 0, &plain, NULL));
        CHECK_TEXT("bare", ckit_buf_slice(&plain));
        ckit_buf_fini(&plain);
        scene_close(&s);
    }
}

CKIT_TEST(reseal, what_needs_nothing_or_cannot_be_opened_is_told_apart_and_left) {
    scene         s;
    ckit_keyring *stranger = ring_of(KEY_C, NULL);
    scene_open(&s);
    seal_document(&s, "home", "k");
    CHECK_EQ_I(CKITI_RESEAL_CURRENT, reseal(&s, s.former, "k"));
    CHECK_EQ_I(CKITI_RESEAL_UNKNOWN, reseal(&s, stranger, "k"));
    CHECK_EQ_I(CKITI_RESEAL_DAMAGED, reseal(&s, s.rotated, "another"));
    s.stored.ptr[s.stored.len - 1] ^= 1;
    CHECK_EQ_I(CKITI_RESEAL_DAMAGED, reseal(&s, s.rotated, "k"));
    s.stored.len = 5; /* a frame that is cut off */
    CHECK_EQ_I(CKITI_RESEAL_DAMAGED, reseal(&s, s.rotated, "k"));
    s.stored.len = 0;
    CHECK_OK(ckit_buf_append(&s.stored, S("somebody's bytes, which are longer than a nonce and a tag")));
    CHECK_EQ_I(CKITI_RESEAL_CLEAR, reseal(&s, s.rotated, "k"));
    ckit_keyring_close(stranger);
    scene_close(&s);
}

CKIT_TEST_MAIN()
