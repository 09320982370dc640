/* What stays in memory: blocks that are given back hold no key and no plaintext, and after the ring is closed no key is
 * found anywhere in the process. Of seal_secret.c. */
#include <cachekit/buf.h>

#include "format/reseal.h"
#include "format/seal_ring.h"
#include "format/sealed.h"
#include "support/memory_search.h"
#include "support/test.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint8_t masked_master[32] = {0x91, 0x04, 0xe7, 0x3c, 0xaa, 0x58, 0x16, 0xdf, 0x20, 0x7b, 0xc9,
                                          0x4d, 0x83, 0xf6, 0x0e, 0x65, 0xb2, 0x39, 0x9c, 0x47, 0xed, 0x18,
                                          0x72, 0xa5, 0x5b, 0xc0, 0x0d, 0x8f, 0x34, 0xe1, 0x76, 0x29};
static const char    text[] = "the plaintext that must not be found";

static void wipe(void *bytes, size_t len) { explicit_bzero(bytes, len); }

/* ---- blocks that are given back ----------------------------------------------------------------------------- */

typedef struct watcher {
    uint8_t key[32], plain[sizeof text - 1]; /* masked */
    size_t  found;
} watcher;

static void look(watcher *w, const void *ptr, size_t size) {
    w->found += occurrences(ptr, size, masked_master, sizeof masked_master);
    w->found += occurrences(ptr, size, w->key, 16);
    w->found += occurrences(ptr, size, w->plain, sizeof w->plain);
}

static void *watched_alloc(void *self, size_t size) {
    (void)self;
    return calloc(1, size);
}
static void watched_release(void *self, void *ptr, size_t size) {
    look(self, ptr, size);
    free(ptr);
}
/* Always moves. */
static void *watched_resize(void *self, void *ptr, size_t old_size, size_t new_size) {
    void *moved = calloc(1, new_size);
    if (moved != NULL) {
        memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
        watched_release(self, ptr, old_size);
    }
    return moved;
}

static ckit_keyring *open_ring(const ckit_alloc *alloc, ckit_seal_cipher cipher) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring;
    uint8_t              master[sizeof masked_master];
    mask_bytes(master, masked_master, sizeof master);
    options.master_key = S_ARRAY(master);
    options.alloc = alloc;
    options.cipher = cipher;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    wipe(master, sizeof master);
    return ring;
}

/* The tenant's key, masked, as the ring has it. */
static void note_key(ckit_keyring *ring, const char *tenant, uint8_t masked[32]) {
    ckiti_tenant *lent;
    CHECK_OK(ckiti_ring_borrow(ring, 0, S(tenant), &lent, NULL));
    mask_bytes(masked, lent->cipher.secret->key, 32);
    ckiti_ring_give_back(ring, lent);
}

CKIT_TEST(seal_memory, what_goes_back_to_the_allocator_is_neither_key_nor_plaintext) {
    for (int cipher = 0; cipher <= CKIT_SEAL_CIPHER_OPENSSL; cipher += CKIT_SEAL_CIPHER_OPENSSL) {
        watcher            w = {.found = 0};
        const ckit_alloc   alloc = {watched_alloc, watched_resize, watched_release, &w};
        ckit_keyring      *ring = open_ring(&alloc, (ckit_seal_cipher)cipher);
        ckiti_sealed_place place = {.ring = ring, .tenant = S("t"), .key = S("k")};
        ckit_buf           stored = {.alloc = &alloc}, document = {.alloc = &alloc};
        ckiti_sealed_class cls;
        note_key(ring, "t", w.key);
        mask_bytes(w.plain, text, sizeof w.plain);
        for (int integrity = 0; integrity < 2; integrity++) {
            stored.len = 0;
            CHECK_OK(ckiti_sealed_seal(&place, S(text), integrity, 0, 0, &stored, NULL));
            CHECK_OK(ckiti_sealed_open(&place, ckit_buf_slice(&stored), integrity, 0, &document, &cls, NULL));
            CHECK_TEXT(text, ckit_buf_slice(&document));
            wipe(document.ptr, document.cap); /* the caller's own */
            document.len = 0;
        }
        stored.ptr[stored.len - 1] ^= 1;
        CHECK_STATUS(CKIT_E_AUTH_TAG,
                     ckiti_sealed_open(&place, ckit_buf_slice(&stored), true, 0, &document, &cls, NULL));
        ckit_buf_fini(&stored);
        ckit_buf_fini(&document);
        ckit_keyring_close(ring);
        CHECK_EQ_U(0, w.found);
    }
}

/* With and without a header; the first names that are tried do not open it. */
CKIT_TEST(seal_memory, sealing_anew_gives_back_no_plaintext) {
    watcher              w = {.found = 0};
    const ckit_alloc     alloc = {watched_alloc, watched_resize, watched_release, &w};
    ckit_keyring        *former = open_ring(&alloc, CKIT_SEAL_CIPHER_AUTO), *rotated;
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    uint8_t              master[sizeof masked_master];
    mask_bytes(master, masked_master, sizeof master);
    const ckit_slice previous = S_ARRAY(master);
    options.master_key_hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    options.previous_keys = &previous;
    options.previous_count = 1;
    options.alloc = &alloc;
    CHECK_OK(ckit_keyring_open(&options, &rotated, NULL));
    wipe(master, sizeof master);
    mask_bytes(w.plain, text, sizeof w.plain);
    for (int framed = 0; framed < 2; framed++) {
        const ckiti_sealed_place place = {.ring = former, .tenant = S("t"), .key = S("k")};
        const ckit_seal_subject  subject = {.tenant = S("t"), .key = S("k"), .format = S("msgpack")};
        ckit_buf                 stored = {.alloc = &alloc}, out = {.alloc = &alloc};
        ckiti_reseal_found       found = CKITI_RESEAL_CLEAR;
        CHECK_OK(framed ? ckiti_sealed_seal(&place, S(text), false, 0, 0, &stored, NULL)
                        : ckit_seal(former, &subject, S(text), &stored, NULL));
        CHECK_OK(ckiti_reseal(rotated, S("home"), S("t:x:t:t:k"), ckit_buf_slice(&stored), &out, &found, NULL));
        CHECK_EQ_I(CKITI_RESEAL_DONE, found);
        ckit_buf_fini(&stored);
        ckit_buf_fini(&out);
    }
    ckit_keyring_close(former);
    ckit_keyring_close(rotated);
    CHECK_EQ_U(0, w.found);
}

/* ---- the whole process -------------------------------------------------------------------------------------- */

/* What lies between master key and tenant's key, masked: the first half of RFC 5869. */
static void note_extract(const char *tenant, uint8_t masked[32]) {
    crypto_auth_hmacsha256_state state;
    uint8_t                      master[sizeof masked_master], salt[CKITI_TENANT_SALT_MAX], extract[32];
    mask_bytes(master, masked_master, sizeof master);
    (void)crypto_auth_hmacsha256_init(&state, salt, ckiti_tenant_salt("encryption", S(tenant), salt));
    (void)crypto_auth_hmacsha256_update(&state, master, sizeof master);
    (void)crypto_auth_hmacsha256_final(&state, extract);
    mask_bytes(masked, extract, sizeof extract);
    wipe(master, sizeof master);
    wipe(extract, sizeof extract);
    wipe(&state, sizeof state);
}

/* What AES makes of a key, masked: round keys, and powers for the tag. */
typedef struct schedule {
    uint8_t blocks[CKITI_SEAL_EXPANDED / 16][16];
} schedule;

static void note_schedule(const uint8_t masked_key[32], schedule *masked) {
    static const uint8_t nothing[16];
    ckiti_cipher_key     key = {.secret = ckiti_secret_alloc(sizeof(ckiti_secret))};
    CHECK(key.secret != NULL);
    mask_bytes(key.secret->key, masked_key, 32);
    ckiti_cipher_sodium_expand(&key);
    mask_bytes((uint8_t *)masked, key.secret->expanded, sizeof *masked);
    for (size_t i = 0; i < COUNT(masked->blocks); i++) { /* what there is none of stands for the key */
        if (memcmp(key.secret->expanded + 16 * i, nothing, 16) == 0) {
            memcpy(masked->blocks[i], masked_key, 16);
        }
    }
    ckiti_secret_free(key.secret);
}

/* So far down the stack that nothing that comes after it writes there. */
__attribute__((noinline)) static void seal_and_open(ckit_keyring *ring, schedule *made) {
    volatile uint8_t        depth[65536];
    const ckit_seal_subject subject = {.tenant = S("t"), .key = S("k"), .format = S("msgpack")};
    const uint8_t           value[1000] = {1}; /* many blocks at once take another way */
    ckit_buf                out = CKIT_BUF_INIT, back = CKIT_BUF_INIT;
    uint8_t                 key[32];
    depth[0] = 0;
    CHECK_OK(ckit_seal(ring, &subject, S_ARRAY(value), &out, NULL));
    CHECK_OK(ckit_unseal(ring, &subject, (ckit_slice){NULL, 0}, ckit_buf_slice(&out), 0, &back, NULL));
    ckit_buf_fini(&out);
    ckit_buf_fini(&back);
    note_key(ring, "t", key);
    note_schedule(key, made);
    CHECK(depth[0] == 0);
}

/* In a process of its own, whose memory nothing else has filled. */
static void search(ckit_seal_cipher cipher) {
    ckit_keyring *ring = open_ring(NULL, cipher);
    uint8_t       key[32], extract[32];
    schedule      made;
    seal_and_open(ring, &made);
    note_key(ring, "t", key);
    note_extract("t", extract);
    CHECK(find_in_process(masked_master, sizeof masked_master) > 0); /* the search finds */
    CHECK(find_in_process(key, sizeof key) > 0);
    CHECK(find_in_process(made.blocks[2], 16) > 0);
    ckit_keyring_close(ring);
    CHECK_EQ_U(0, find_in_process(masked_master, sizeof masked_master));
    CHECK_EQ_U(0, find_in_process(key, sizeof key));
    CHECK_EQ_U(0, find_in_process(extract, sizeof extract));
    /* The first half is also the first round key of what AES makes of it. */
    CHECK_EQ_U(0, find_in_process(key, 16));
    CHECK_EQ_U(0, find_in_process(key + 16, 16));
    for (size_t i = 2; i < COUNT(made.blocks); i += 6) {
        CHECK_EQ_U(0, find_in_process(made.blocks[i], 16));
    }
}

CKIT_TEST(seal_memory, after_closing_no_key_is_left_anywhere_in_the_process) {
    if (UNDER_TSAN) {
        SKIP("shadow memory takes a minute to search");
    }
    for (int cipher = 0; cipher <= CKIT_SEAL_CIPHER_OPENSSL; cipher += CKIT_SEAL_CIPHER_OPENSSL) {
        const pid_t child = fork();
        int         status;
        CHECK(child >= 0);
        if (child == 0) {
            search((ckit_seal_cipher)cipher);
            _exit(0);
        }
        CHECK_EQ_I(child, waitpid(child, &status, 0));
        CHECK_EQ_I(0, status);
    }
}

/* ---- locks on memory ---------------------------------------------------------------------------------------- */

/* Whether the kernel has the flag ("lo": locked, "dd": not in core files) for the page at `address`. */
static bool page_has(const void *address, const char *flag) {
    FILE  *maps = fopen("/proc/self/smaps", "r");
    char   line[512];
    size_t from, to;
    bool   here = false, has = false;
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%zx-%zx ", &from, &to) == 2) {
            here = (uintptr_t)address >= from && (uintptr_t)address < to;
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            has = has || strstr(line, flag) != NULL;
        }
    }
    (void)fclose(maps);
    return has;
}

CKIT_TEST(seal_memory, keys_are_locked_and_not_in_core_files_also_in_a_child) {
    ckit_keyring *ring = open_ring(NULL, CKIT_SEAL_CIPHER_AUTO);
    ckiti_tenant *tenant;
    int           status;
    CHECK_OK(ckiti_ring_borrow(ring, 0, S("t"), &tenant, NULL));
    const void *const secrets[] = {ring->masters[0].ptr, tenant->cipher.secret};
    const bool        locks = page_has(secrets[0], " lo"); /* where the limit and the sanitizers let it */
    const pid_t       child = fork();
    CHECK(child >= 0);
    for (size_t i = 0; i < COUNT(secrets); i++) {
        CHECK(page_has(secrets[i], " dd"));
        CHECK_EQ_U(locks, page_has(secrets[i], " lo"));
    }
    if (child == 0) {
        _exit(0);
    }
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
    ckiti_ring_give_back(ring, tenant);
    ckit_keyring_close(ring);
}
