/* The time of our work tells nothing about secrets: no branch and no address depends on them.
 *
 * Secret bytes are marked as undefined, and memcheck counts each branch and each address that depends on undefined
 * bytes. What is made of secrets is undefined too, and is declared to be known where it becomes known to everybody.
 * Processors that take longer for some operands than for others are out of sight.
 *
 * The program starts itself anew under valgrind. */
#include <cachekit/buf.h>
#include <cachekit/seal.h>

#include "format/seal_ring.h"
#include "support/test.h"

#include <stdlib.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif

#ifdef VALGRIND_MAKE_MEM_UNDEFINED
static void     make_secret(const void *ptr, size_t len) { (void)VALGRIND_MAKE_MEM_UNDEFINED(ptr, len); }
static void     make_known(const void *ptr, size_t len) { (void)VALGRIND_MAKE_MEM_DEFINED(ptr, len); }
static unsigned dependences(void) { return (unsigned)VALGRIND_COUNT_ERRORS; }
static bool     is_watched(void) { return RUNNING_ON_VALGRIND != 0; }
#else
static void     make_secret(const void *ptr, size_t len) { (void)ptr, (void)len; }
static void     make_known(const void *ptr, size_t len) { (void)ptr, (void)len; }
static unsigned dependences(void) { return 0; }
static bool     is_watched(void) { return false; }
#endif

static void need_watcher(void) {
    if (!is_watched()) {
        SKIP("valgrind is not installed");
    }
}

static uint8_t *secret_bytes(size_t len, uint8_t first) {
    uint8_t *bytes = malloc(len);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(first + 37 * i);
    }
    make_secret(bytes, len);
    return bytes;
}

/* ---- the watcher sees ------------------------------------------------------------------------------------------- */

/* As ckiti_same_bytes might have been written. */
static bool leaves_early(const volatile uint8_t *a, const volatile uint8_t *b, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

CKIT_TEST(secret_time, a_comparison_that_leaves_early_is_seen) {
    need_watcher();
    uint8_t       *a = secret_bytes(32, 1), *b = secret_bytes(32, 1);
    const unsigned before = dependences();
    CHECK(leaves_early(a, b, 32));
    CHECK_EQ_U(before + 32, dependences());
    free(a);
    free(b);
}

CKIT_TEST(secret_time, a_table_that_a_secret_looks_into_is_seen) {
    static const volatile uint8_t table[256] = {1, 2, 3};
    need_watcher();
    uint8_t         *a = secret_bytes(1, 2);
    const unsigned   before = dependences();
    volatile uint8_t found = table[a[0]];
    (void)found;
    CHECK(dependences() > before);
    free(a);
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

CKIT_TEST(secret_time, bytes_are_compared_in_a_time_that_depends_on_their_number_alone) {
    need_watcher();
    for (size_t len = 0; len <= 70; len++) {
        for (int differs = 0; differs < 2; differs++) {
            uint8_t *a = secret_bytes(len + 1, 1), *b = secret_bytes(len + 1, (uint8_t)(1 + differs));
            /* Words and single bytes of the same contents, at any address. */
            const unsigned before = dependences();
            const bool     same = ckiti_same_bytes(ckit_slice_of(a + 1, len), ckit_slice_of(b + 1, len));
            make_known(&same, sizeof same);
            CHECKF(before == dependences(), "%zu bytes", len);
            CHECK(same == (differs == 0 || len == 0));
            free(a);
            free(b);
        }
    }
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

CKIT_TEST(secret_time, tenants_keys_and_their_names_are_made_without_a_look_at_the_master_key) {
    need_watcher();
    static const size_t lengths[] = {32, 64, 65, 200}; /* from 65 on HMAC hashes its key first */
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t       *master = secret_bytes(lengths[i], 9);
        uint8_t        key[32], name[CKITI_FINGERPRINT];
        const unsigned before = dependences();
        ckiti_tenant_key(ckit_slice_of(master, lengths[i]), "encryption", S("a tenant"), key);
        ckiti_key_fingerprint(key, name);
        CHECKF(before == dependences(), "a master key of %zu bytes", lengths[i]);
        free(master);
    }
}

/* ---- sealing and opening ---------------------------------------------------------------------------------------- */

static ckit_keyring *open_ring(ckit_seal_cipher cipher) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    options.master_key = S("a master key of more than thirty-two bytes");
    options.cipher = cipher;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    return ring;
}

/* From here on the tenant's key, and what the ciphers have made of it, is secret. */
static void make_key_secret(ckit_keyring *ring) {
    ckiti_tenant *tenant;
    CHECK_OK(ckiti_ring_borrow(ring, 0, S("t"), &tenant, NULL));
    make_secret(tenant->cipher.secret, sizeof *tenant->cipher.secret);
    ckiti_ring_give_back(ring, tenant);
}

static const ckit_seal_cipher ciphers[] = {CKIT_SEAL_CIPHER_SODIUM, CKIT_SEAL_CIPHER_OPENSSL};
#define EACH_CIPHER(c) for (size_t c = 0; c < sizeof ciphers / sizeof ciphers[0]; c++)

static ckit_seal_subject subject(void) {
    return (ckit_seal_subject){.tenant = S("t"), .key = S("k"), .format = S("msgpack")};
}

CKIT_TEST(secret_time, sealing_looks_at_neither_key_nor_value) {
    need_watcher();
    EACH_CIPHER(c) {
        ckit_keyring           *ring = open_ring(ciphers[c]);
        const ckit_seal_subject of = subject();
        make_key_secret(ring);
        for (size_t len = 0; len < 300; len += 37) {
            uint8_t       *value = secret_bytes(len + 1, 3);
            ckit_buf       out = CKIT_BUF_INIT;
            const unsigned before = dependences();
            CHECK_OK(ckit_seal(ring, &of, ckit_slice_of(value, len), &out, NULL));
            CHECKF(before == dependences(), "cipher %zu, %zu bytes", c, len);
            ckit_buf_fini(&out);
            free(value);
        }
        ckit_keyring_close(ring);
    }
}

/* The one branch is the answer: whether the whole tag is right. A wrong tag costs the same whichever byte is wrong. */
CKIT_TEST(secret_time, opening_tells_whether_the_tag_is_right_and_nothing_else) {
    need_watcher();
    EACH_CIPHER(c) {
        ckit_keyring           *writer = open_ring(ciphers[c]), *ring = open_ring(ciphers[c]);
        const ckit_seal_subject of = subject();
        ckit_buf                sealed = CKIT_BUF_INIT, back = CKIT_BUF_INIT;
        CHECK_OK(ckit_seal(writer, &of, S("a value, of more than one block of AES"), &sealed, NULL));
        ckit_keyring_close(writer);
        make_key_secret(ring);
        for (size_t wrong = 0; wrong <= CKITI_SEAL_TAG; wrong++) { /* the last time none */
            uint8_t *at = sealed.ptr + sealed.len - CKITI_SEAL_TAG + wrong;
            if (wrong < CKITI_SEAL_TAG) {
                *at ^= 1;
            }
            const unsigned    before = dependences();
            const ckit_status st =
                ckit_unseal(ring, &of, (ckit_slice){NULL, 0}, ckit_buf_slice(&sealed), 0, &back, NULL);
            CHECKF(before + 1 == dependences(), "cipher %zu, byte %zu: %u branches", c, wrong, dependences() - before);
            CHECK_STATUS(wrong < CKITI_SEAL_TAG ? CKIT_E_AUTH_TAG : CKIT_OK, st);
            if (wrong < CKITI_SEAL_TAG) {
                *at ^= 1;
            }
        }
        ckit_buf_fini(&sealed);
        ckit_buf_fini(&back);
        ckit_keyring_close(ring);
    }
}

int main(int argc, char **argv) {
    static const char *const options[] = {"valgrind", "--quiet", "--leak-check=no", "--error-limit=no",
                                          "--main-stacksize=8388608"};
    enum { ahead = sizeof options / sizeof options[0] };
    const char *words[ahead + 16] = {NULL};
    if (!is_watched() && argc < 16) {
        for (int i = 0; i < ahead + argc; i++) {
            words[i] = i < ahead ? options[i] : argv[i - ahead];
        }
        (void)execvp(words[0], (char *const *)(uintptr_t)words); /* comes back when there is none */
    }
    return ckit_test_run_all(argc, argv);
}
