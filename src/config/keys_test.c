/* Keys and deployment from the environment: which win, what is refused, and that a cache then seals. Of tenant.c. */
#include "config/captured.h"
#include "config/keys.h"
#include "support/scratch.h"
#include "support/test.h"

#include <cachekit/buf.h>
#include <cachekit/open.h>
#include <cachekit/value.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_A "6162636465666768696a6b6c6d6e6f707172737475767778797a303132333435"
#define KEY_B "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define UUID "01234567-89ab-4def-8123-456789abcdef"

static void write_text(const char *path, const char *text, mode_t mode) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK_EQ_I(0, fclose(file));
    CHECK_EQ_I(0, chmod(path, mode));
}

static ckit_status open_keys(ckiti_keys *keys, ckiti_plan *plan, const char *const *environment, ckit_error *err) {
    *err = (ckit_error)CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckiti_plan_make(plan, "file:///c", NULL, environment, err), err);
    return ckiti_keys_open(keys, plan, environment, err);
}

/* A home directory of its own, with a key file. */
typedef struct place {
    char dir[SCRATCH_PATH];
    char home[SCRATCH_PATH + 8];
    char key_file[SCRATCH_PATH + 16];
    char key_variable[SCRATCH_PATH + 64];
} place;

static void place_make(place *p, const char *text, mode_t mode) {
    scratch_make(p->dir);
    (void)snprintf(p->home, sizeof p->home, "HOME=%s", p->dir);
    (void)snprintf(p->key_file, sizeof p->key_file, "%s/key", p->dir);
    (void)snprintf(p->key_variable, sizeof p->key_variable, "CACHEKIT_MASTER_KEY_FILE=%s", p->key_file);
    if (text != NULL) {
        write_text(p->key_file, text, mode);
    }
}

static void fingerprint_of(ckit_keyring *ring, char out[CKIT_FINGERPRINT_DIGITS + 1]) {
    CHECK_OK(ckit_keyring_fingerprint(ring, S("t"), out, NULL));
}

CKIT_TEST(keys, without_a_key_nothing_is_looked_for_and_nothing_made) {
    place      p;
    ckiti_keys keys;
    ckiti_plan plan;
    ckit_error err;
    char       made[SCRATCH_PATH + 32];
    place_make(&p, NULL, 0);
    const char *const environment[] = {p.home, NULL};
    CHECK_OK_ERR(open_keys(&keys, &plan, environment, &err), &err);
    CHECK(keys.ring == NULL);
    CHECK(plan.cache.deployment_id == NULL);
    (void)snprintf(made, sizeof made, "%s/.cachekit", p.dir);
    CHECK(access(made, F_OK) != 0);
    scratch_remove(p.dir);
}

CKIT_TEST(keys, a_deployment_is_made_once_for_a_user_and_found_again) {
    place       p;
    ckiti_keys  keys, again;
    ckiti_plan  plan;
    ckit_error  err;
    struct stat st;
    char        made[SCRATCH_PATH + 32];
    place_make(&p, NULL, 0);
    const char *const environment[] = {p.home, "CACHEKIT_MASTER_KEY=" KEY_A, NULL};
    CHECK_OK_ERR(open_keys(&keys, &plan, environment, &err), &err);
    CHECK_EQ_U(36, strlen(plan.cache.deployment_id));
    CHECK_EQ_U(CKIT_OFF, plan.cache.deployment_only);
    (void)snprintf(made, sizeof made, "%s/.cachekit/deployment_uuid", p.dir);
    CHECK_EQ_I(0, stat(made, &st));
    CHECK_EQ_U(0600, st.st_mode & 07777);
    CHECK_OK_ERR(open_keys(&again, &plan, environment, &err), &err);
    CHECK_STR(keys.deployment, again.deployment);
    ckit_keyring_close(again.ring);
    write_text(made, "not a uuid", 0600); /* a damaged one is made again */
    CHECK_OK_ERR(open_keys(&again, &plan, environment, &err), &err);
    CHECK(strcmp(keys.deployment, again.deployment) != 0);
    ckit_keyring_close(keys.ring);
    ckit_keyring_close(again.ring);
    scratch_remove(p.dir);
}

CKIT_TEST(keys, a_deployment_in_the_environment_is_made_canonical_and_keeps_others_out) {
    place                    p;
    ckiti_keys               keys;
    ckiti_plan               plan;
    ckit_error               err;
    static const char *const forms[] = {
        "CACHEKIT_DEPLOYMENT_UUID=" UUID, "CACHEKIT_DEPLOYMENT_UUID=01234567-89AB-4DEF-8123-456789ABCDEF",
        "CACHEKIT_DEPLOYMENT_UUID={0123456789ab4def8123456789abcdef}", "CACHEKIT_DEPLOYMENT_UUID=urn:uuid:" UUID};
    place_make(&p, NULL, 0);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const char *const environment[] = {p.home, "CACHEKIT_MASTER_KEY=" KEY_A, forms[i], NULL};
        CHECK_OK_ERR(open_keys(&keys, &plan, environment, &err), &err);
        CHECK_STR(UUID, plan.cache.deployment_id);
        CHECK_EQ_U(CKIT_DEFAULT, plan.cache.deployment_only);
        ckit_keyring_close(keys.ring);
    }
    const char *const environment[] = {"CACHEKIT_MASTER_KEY=" KEY_A, "CACHEKIT_DEPLOYMENT_UUID=production", NULL};
    CHECK_STATUS(CKIT_E_CONFIGURATION, open_keys(&keys, &plan, environment, &err));
    CHECK_CONTAINS("CACHEKIT_DEPLOYMENT_UUID is no UUID", err.text);
    scratch_remove(p.dir);
}

static size_t lines_of(const char *url, const char *const *environment, ckit_switch encryption, captured *lines) {
    ckiti_keys         keys;
    ckiti_plan         plan;
    ckit_error         err = CKIT_ERROR_INIT;
    ckit_cache_options options = CKIT_CACHE_OPTIONS_INIT;
    options.encryption = encryption;
    captured_init(lines, CKIT_LOG_INFO);
    options.log = &lines->log;
    CHECK_OK_ERR(ckiti_plan_make(&plan, url, &options, environment, &err), &err);
    CHECK_OK_ERR(ckiti_keys_open(&keys, &plan, environment, &err), &err);
    ckit_keyring_close(keys.ring);
    return lines->count;
}

CKIT_TEST(keys, a_deployment_in_the_environment_without_a_key_is_told_to_be_without_effect) {
    captured          lines;
    const char *const without[] = {"CACHEKIT_DEPLOYMENT_UUID=" UUID, NULL};
    const char *const with[] = {"CACHEKIT_DEPLOYMENT_UUID=" UUID, "CACHEKIT_MASTER_KEY=" KEY_A, NULL};
    CHECK_EQ_U(1, lines_of("file:///c", without, CKIT_DEFAULT, &lines));
    CHECK_STR("warning open: CACHEKIT_DEPLOYMENT_UUID is without effect: there is no master key, so nothing is "
              "sealed. Set CACHEKIT_MASTER_KEY, or give a key ring\n",
              lines.text);
    CHECK_EQ_U(0, lines_of("file:///c", with, CKIT_DEFAULT, &lines));
    CHECK_EQ_U(0, lines_of("file:///c", without, CKIT_OFF, &lines));
    CHECK_EQ_U(0, lines_of("memory:", without, CKIT_DEFAULT, &lines));
}

CKIT_TEST(keys, a_key_that_cannot_be_one_is_refused_with_the_right_form_and_without_its_digits) {
    static const struct {
        const char *key, *text;
        ckit_status status;
    } bad[] = {
        {"CACHEKIT_MASTER_KEY=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd", "64 hexadecimal digits",
         CKIT_E_BAD_MASTER_KEY}, /* 62 digits */
        {"CACHEKIT_MASTER_KEY=xyzzyxyzzy", "64 digits 0-9 and a-f", CKIT_E_BAD_MASTER_KEY},
        {"CACHEKIT_PREVIOUS_MASTER_KEYS=" KEY_B "," KEY_B, "are the same", CKIT_E_CONFIGURATION},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ckiti_keys        keys;
        ckiti_plan        plan;
        ckit_error        err;
        const char *const environment[] = {bad[i].key, NULL};
        CHECK_STATUS(bad[i].status, open_keys(&keys, &plan, environment, &err));
        CHECK_CONTAINS(bad[i].text, err.text);
        CHECK(strstr(err.text, "0123456") == NULL && strstr(err.text, "xyzzy") == NULL);
        CHECK(keys.ring == NULL);
    }
}

CKIT_TEST(keys, a_file_gives_the_current_key_and_previous_ones) {
    place      p;
    ckiti_keys keys, alone;
    ckiti_plan plan;
    ckit_error err;
    char       there[CKIT_FINGERPRINT_DIGITS + 1], here[CKIT_FINGERPRINT_DIGITS + 1];
    place_make(&p, "# ours\n\n" KEY_A "\n  # last year's\r\n" KEY_B "\n", 0600);
    const char *const with_file[] = {p.home, p.key_variable, NULL};
    const char *const with_key[] = {p.home, "CACHEKIT_MASTER_KEY=" KEY_A, NULL};
    const char *const retired[] = {p.home, "CACHEKIT_MASTER_KEY=" KEY_B, NULL};
    CHECK_OK_ERR(open_keys(&keys, &plan, with_file, &err), &err);
    CHECK_OK_ERR(open_keys(&alone, &plan, with_key, &err), &err);
    fingerprint_of(keys.ring, there);
    fingerprint_of(alone.ring, here);
    CHECK_STR(here, there);
    ckit_keyring_close(alone.ring);
    CHECK_OK_ERR(open_keys(&alone, &plan, retired, &err), &err);
    ckit_buf          sealed = {0}, plain = {0};
    ckit_seal_subject subject = {.tenant = S("t"), .key = S("k"), .format = S("msgpack")};
    CHECK_OK(ckit_seal(alone.ring, &subject, S("text"), &sealed, NULL));
    CHECK_OK_ERR(ckit_unseal(keys.ring, &subject, S(""), ckit_buf_slice(&sealed), 0, &plain, &err), &err);
    CHECK_TEXT("text", ckit_buf_slice(&plain));
    ckit_buf_fini(&sealed);
    ckit_buf_fini(&plain);
    ckit_keyring_close(alone.ring);
    ckit_keyring_close(keys.ring);
    scratch_remove(p.dir);
}

CKIT_TEST(keys, a_file_that_others_may_read_or_that_is_none_is_refused_by_name) {
    static const struct {
        const char *text;
        mode_t      mode;
        const char *why;
        ckit_status status;
    } bad[] = {
        {KEY_A, 0640, "is open to others (mode 0640)", CKIT_E_CONFIGURATION},
        {KEY_A, 0604, "is open to others (mode 0604)", CKIT_E_CONFIGURATION},
        {"# nothing\n", 0600, "holds no key", CKIT_E_NO_MASTER_KEY},
        {"six", 0600, "/key: the master key is not hexadecimal", CKIT_E_BAD_MASTER_KEY},
        {NULL, 0, "cannot be opened", CKIT_E_CONFIGURATION},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        place      p;
        ckiti_keys keys;
        ckiti_plan plan;
        ckit_error err;
        place_make(&p, bad[i].text, bad[i].mode);
        const char *const environment[] = {p.home, p.key_variable, NULL};
        CHECK_STATUS(bad[i].status, open_keys(&keys, &plan, environment, &err));
        CHECK_CONTAINS(bad[i].why, err.text);
        scratch_remove(p.dir);
    }
    ckiti_keys        keys;
    ckiti_plan        plan;
    ckit_error        err;
    const char *const directory[] = {"CACHEKIT_MASTER_KEY_FILE=/", NULL};
    CHECK_STATUS(CKIT_E_CONFIGURATION, open_keys(&keys, &plan, directory, &err));
    CHECK_CONTAINS("is no file", err.text);
    const char *const both[] = {"CACHEKIT_MASTER_KEY_FILE=/k", "CACHEKIT_MASTER_KEY=" KEY_A, NULL};
    CHECK_STATUS(CKIT_E_CONFIGURATION, open_keys(&keys, &plan, both, &err));
    CHECK_CONTAINS("keep one of them", err.text);
}

/* ---- a provider -------------------------------------------------------------------------------------------------- */

typedef struct vault {
    uint8_t     key[32];
    ckit_status status;
    unsigned    asked, done;
} vault;

static ckit_status fetch(void *self, ckit_keyring_options *keys, ckit_error *err) {
    vault *v = self;
    v->asked++;
    if (v->status != CKIT_OK) {
        return ckit_fail(err, v->status, "vault", "sealed");
    }
    memset(v->key, 7, sizeof v->key);
    v->key[0] = 1;
    keys->master_key = S_ARRAY(v->key);
    return CKIT_OK;
}

static void wipe(void *self, ckit_keyring_options *keys) {
    vault *v = self;
    (void)keys;
    v->done++;
    memset(v->key, 0, sizeof v->key);
}

CKIT_TEST(keys, a_provider_is_asked_while_the_ring_is_opened_and_told_to_wipe) {
    vault                   v = {.status = CKIT_OK};
    const ckit_key_provider provider = {.fetch = fetch, .done = wipe, .self = &v};
    ckit_keyring_options    o = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring           *ring = NULL;
    ckit_error              err = CKIT_ERROR_INIT;
    o.provider = &provider;
    CHECK_OK_ERR(ckit_keyring_open(&o, &ring, &err), &err);
    CHECK(ckit_keyring_can_seal(ring));
    CHECK_EQ_U(1, v.asked);
    CHECK_EQ_U(1, v.done);
    ckit_keyring_close(ring);
    v.status = CKIT_E_UNREACHABLE;
    CHECK_STATUS(CKIT_E_UNREACHABLE, ckit_keyring_open(&o, &ring, &err));
    CHECK_CONTAINS("the key provider failed: sealed", err.text);
    CHECK_EQ_U(1, v.done);
    o.master_key_hex = KEY_A;
    CHECK_STATUS(CKIT_E_MISUSE, ckit_keyring_open(&o, &ring, &err));
}

/* ---- a cache from the environment -------------------------------------------------------------------------------- */

CKIT_TEST(keys, a_cache_over_files_seals_with_the_key_of_the_environment) {
    place       p;
    char        url[SCRATCH_PATH + 32];
    ckit_cache *cache = NULL;
    ckit_error  err = CKIT_ERROR_INIT;
    ckit_value  value = CKIT_VALUE_INIT;
    place_make(&p, NULL, 0);
    (void)snprintf(url, sizeof url, "file://%s/store", p.dir);
    CHECK_EQ_I(0, setenv("CACHEKIT_MASTER_KEY", KEY_A, 1));
    CHECK_EQ_I(0, setenv("HOME", p.dir, 1));
    CHECK_OK_ERR(ckit_cache_open(url, NULL, &cache, &err), &err);
    CHECK_OK_ERR(ckit_cache_set(cache, S("k"), S("the plain value"), NULL, &err), &err);
    ckit_cache_close(cache);
    CHECK_EQ_I(0, setenv("CACHEKIT_MASTER_KEY", KEY_B, 1));
    CHECK_OK_ERR(ckit_cache_open(url, NULL, &cache, &err), &err);
    CHECK_STATUS(CKIT_MISS, ckit_cache_get(cache, S("k"), NULL, &value, &err));
    CHECK_OK_ERR(ckit_cache_set(cache, S("k"), S("the plain value"), NULL, &err), &err);
    ckit_cache_close(cache);
    CHECK_EQ_I(0, setenv("CACHEKIT_PREVIOUS_MASTER_KEYS", KEY_B, 1));
    CHECK_EQ_I(0, setenv("CACHEKIT_MASTER_KEY", KEY_A, 1));
    CHECK_OK_ERR(ckit_cache_open(url, NULL, &cache, &err), &err);
    CHECK_OK_ERR(ckit_cache_get(cache, S("k"), NULL, &value, &err), &err);
    CHECK_TEXT("the plain value", value.data);
    ckit_value_fini(&value);
    ckit_cache_close(cache);
    CHECK_EQ_I(0, unsetenv("CACHEKIT_MASTER_KEY"));
    CHECK_EQ_I(0, unsetenv("CACHEKIT_PREVIOUS_MASTER_KEYS"));
    scratch_remove(p.dir);
}

CKIT_TEST_MAIN()
