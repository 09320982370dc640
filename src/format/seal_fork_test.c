/* A child of a fork begins with its parent's keys, and with none of the threads that were at work with them. */
#include <cachekit/buf.h>

#include "format/seal_ring.h"
#include "support/test.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static ckit_keyring *open_ring(ckit_seal_cipher cipher) {
    ckit_keyring_options options = CKIT_KEYRING_OPTIONS_INIT;
    ckit_keyring        *ring = NULL;
    options.master_key_hex = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
    options.max_tenants = 16;
    options.cipher = cipher;
    CHECK_OK(ckit_keyring_open(&options, &ring, NULL));
    return ring;
}

static void run_in_child(void (*body)(ckit_keyring *ring), ckit_keyring *ring) {
    const pid_t child = fork();
    int         status;
    CHECK(child >= 0);
    if (child == 0) {
        body(ring);
        _exit(0);
    }
    CHECK_EQ_I(child, waitpid(child, &status, 0));
    CHECK_EQ_I(0, status);
}

static void borrow_another(ckit_keyring *ring) {
    ckiti_tenant *tenant;
    CHECK_OK(ckiti_ring_borrow(ring, 0, S("another"), &tenant, NULL));
    ckiti_ring_give_back(ring, tenant);
}

CKIT_TEST(seal_fork, keys_that_were_at_work_in_the_parent_are_free_in_the_child) {
    ckit_keyring *ring = open_ring(CKIT_SEAL_CIPHER_AUTO);
    ckiti_tenant *lent[16], *more;
    char          name[16];
    for (size_t i = 0; i < 16; i++) {
        (void)snprintf(name, sizeof name, "tenant-%zu", i);
        CHECK_OK(ckiti_ring_borrow(ring, 0, S(name), &lent[i], NULL));
    }
    CHECK_STATUS(CKIT_E_BUSY, ckiti_ring_borrow(ring, 0, S("another"), &more, NULL));
    run_in_child(borrow_another, ring);
    for (size_t i = 0; i < 16; i++) {
        ckiti_ring_give_back(ring, lent[i]);
    }
    ckit_keyring_close(ring);
}

static void seal_and_open(ckit_keyring *ring) {
    const ckit_seal_subject subject = {.tenant = S("t"), .key = S("k"), .format = S("msgpack")};
    ckit_buf                sealed = CKIT_BUF_INIT, plain = CKIT_BUF_INIT;
    CHECK_OK(ckit_seal(ring, &subject, S("a value"), &sealed, NULL));
    CHECK_OK(ckit_unseal(ring, &subject, ckit_slice_of(NULL, 0), ckit_buf_slice(&sealed), 0, &plain, NULL));
    CHECK_TEXT("a value", ckit_buf_slice(&plain));
    ckit_buf_fini(&sealed);
    ckit_buf_fini(&plain);
}

static ckiti_cipher_key *key_of(ckit_keyring *ring) {
    ckiti_tenant *tenant;
    CHECK_OK(ckiti_ring_borrow(ring, 0, S("t"), &tenant, NULL));
    ckiti_ring_give_back(ring, tenant);
    return &tenant->cipher;
}

static void go_on_with_the_context(ckit_keyring *ring) {
    ckiti_cipher_key *key = key_of(ring);
    const uintptr_t   context = atomic_load(&key->contexts[0]);
    CHECK_EQ_U(0, context & 1);
    seal_and_open(ring);
    CHECK_EQ_U(context, atomic_load(&key->contexts[0]));
    CHECK_EQ_U(0, atomic_load(&key->contexts[1]));
}

CKIT_TEST(seal_fork, contexts_that_were_at_work_in_the_parent_are_used_and_wiped_in_the_child) {
    ckit_keyring *ring = open_ring(CKIT_SEAL_CIPHER_OPENSSL);
    seal_and_open(ring);
    ckiti_cipher_key *key = key_of(ring);
    CHECK(atomic_load(&key->contexts[0]) != 0);
    atomic_fetch_or(&key->contexts[0], 1); /* as a thread does that is at work with it */
    run_in_child(go_on_with_the_context, ring);
    seal_and_open(ring);
    CHECK(atomic_load(&key->contexts[1]) != 0);
    atomic_fetch_and(&key->contexts[0], ~(uintptr_t)1);
    ckit_keyring_close(ring);
}
