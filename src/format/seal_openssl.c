/* format/seal_openssl.c - AES-256-GCM by OpenSSL, which is loaded when it is wanted first: twice as fast for long
 * values, and two milliseconds of a process' start. Bound by a table of functions, as for TLS. */
#include "base/alloc.h"
#include "base/openssl.h"
#include "format/seal_cipher.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>
#include <string.h>

#define WHERE "seal"

#define FUNCTIONS(X)                                                                                                   \
    X(EVP_CIPHER_CTX_free)                                                                                             \
    X(EVP_CIPHER_CTX_get_params)                                                                                       \
    X(EVP_CIPHER_CTX_new)                                                                                              \
    X(EVP_CIPHER_CTX_set_params)                                                                                       \
    X(EVP_CIPHER_fetch)                                                                                                \
    X(EVP_CIPHER_free)                                                                                                 \
    X(EVP_CipherFinal_ex)                                                                                              \
    X(EVP_CipherInit_ex2)                                                                                              \
    X(EVP_CipherUpdate)                                                                                                \
    X(ERR_clear_error)

void ERR_clear_error(void); /* <openssl/err.h> brings much more */

typedef struct openssl {
    void       *handle;
    EVP_CIPHER *cipher; /* fetched once: finding it costs more than a small value */
#define FIELD(name) __typeof__(name) *(name);
    FUNCTIONS(FIELD)
#undef FIELD
} openssl;

static const ckiti_openssl_function functions[] = {
#define ROW(name) {#name, offsetof(openssl, name)},
    FUNCTIONS(ROW)
#undef ROW
};

/* ---- loading ------------------------------------------------------------------------------------------------ */

static void unload(const ckit_alloc *alloc, void *self) {
    openssl *lib = self;
    if (lib == NULL) {
        return;
    }
    if (lib->cipher != NULL) {
        lib->EVP_CIPHER_free(lib->cipher);
    }
    ckiti_openssl_unload(lib->handle);
    ckiti_free(alloc, lib, sizeof *lib);
}

static ckit_status load(const ckit_alloc *alloc, void **self, ckit_error *err) {
    *self = NULL;
    openssl *lib = ckiti_alloc_zeroed(alloc, 1, sizeof *lib);
    if (lib == NULL) {
        return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "no memory for %zu bytes", sizeof *lib);
    }
    ckit_status st =
        ckiti_openssl_load(CKITI_OPENSSL_LIBRARY("libcrypto"), functions, sizeof functions / sizeof functions[0], lib,
                           &lib->handle, WHERE, "sealing:", err);
    if (st == CKIT_OK) {
        lib->cipher = lib->EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
        if (lib->cipher == NULL) {
            lib->ERR_clear_error();
            st = ckit_fail(err, CKIT_E_UNSUPPORTED, WHERE, "this OpenSSL does not offer AES-256-GCM");
        }
    }
    if (st == CKIT_OK) {
        *self = lib;
    } else {
        unload(alloc, lib);
    }
    return st;
}

/* ---- contexts ----------------------------------------------------------------------------------------------- */

#define LENT ((uintptr_t)1)

typedef struct loan {
    EVP_CIPHER_CTX    *context;
    _Atomic uintptr_t *place; /* where it is kept; NULL: nowhere */
} loan;

/* NULL without memory. */
static EVP_CIPHER_CTX *context_with_key(openssl *lib, const ckiti_cipher_key *key) {
    EVP_CIPHER_CTX *context = lib->EVP_CIPHER_CTX_new();
    if (context != NULL && lib->EVP_CipherInit_ex2(context, lib->cipher, key->secret->key, NULL, 1, NULL) != 1) {
        lib->EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    return context;
}

static void give_back(openssl *lib, const loan *l) {
    if (l->place != NULL) {
        atomic_store_explicit(l->place, (uintptr_t)l->context, memory_order_release);
    } else {
        lib->EVP_CIPHER_CTX_free(l->context); /* wipes it */
    }
}

/* A context that nobody else has, with the key in it. False without memory. */
static bool borrow(openssl *lib, ckiti_cipher_key *key, loan *l) {
    *l = (loan){NULL, NULL};
    for (size_t i = 0; i < CKITI_SEAL_CONTEXTS && l->place == NULL; i++) {
        uintptr_t there = atomic_load_explicit(&key->contexts[i], memory_order_relaxed);
        if ((there & LENT) == 0 &&
            atomic_compare_exchange_strong_explicit(&key->contexts[i], &there, there | LENT, memory_order_acquire,
                                                    memory_order_relaxed)) {
            *l = (loan){(EVP_CIPHER_CTX *)there, &key->contexts[i]};
        }
    }
    if (l->context == NULL) {
        l->context = context_with_key(lib, key);
    }
    if (l->context == NULL) {
        give_back(lib, l);
    }
    return l->context != NULL;
}

static void forget(void *self, ckiti_cipher_key *key) {
    openssl *lib = self;
    for (size_t i = 0; i < CKITI_SEAL_CONTEXTS; i++) {
        lib->EVP_CIPHER_CTX_free((EVP_CIPHER_CTX *)atomic_exchange(&key->contexts[i], 0)); /* wipes it */
    }
}

/* What threads were at work with that the child does not have is as good as new: each use begins with a nonce. */
void ckiti_cipher_openssl_in_child(ckiti_cipher_key *key) {
    for (size_t i = 0; i < CKITI_SEAL_CONTEXTS; i++) {
        (void)atomic_fetch_and(&key->contexts[i], ~LENT);
    }
}

/* ---- sealing and opening ------------------------------------------------------------------------------------ */

/* The only parameter that is told or asked: the tag. EVP_CIPHER_CTX_ctrl makes the same of it, and EVP_CipherInit_ex2
 * takes it too, both at some cost. */
#define TAG_PARAMETERS(tag)                                                                                            \
    {                                                                                                                  \
        {OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING, (tag), CKITI_SEAL_TAG, OSSL_PARAM_UNMODIFIED}, {         \
            NULL, 0, NULL, 0, 0                                                                                        \
        }                                                                                                              \
    }

/* Everything before the last step; `tag` only to open. Lengths fit an int: callers have checked them. */
static bool run(openssl *lib, EVP_CIPHER_CTX *context, const OSSL_PARAM *tag, const uint8_t *nonce,
                ckit_slice additional, ckit_slice in, uint8_t *out) {
    int len = 0;
    return lib->EVP_CipherInit_ex2(context, NULL, NULL, nonce, tag == NULL, NULL) == 1 &&
           (tag == NULL || lib->EVP_CIPHER_CTX_set_params(context, tag) == 1) &&
           lib->EVP_CipherUpdate(context, NULL, &len, additional.ptr, (int)additional.len) == 1 &&
           (in.len == 0 || lib->EVP_CipherUpdate(context, out, &len, in.ptr, (int)in.len) == 1);
}

static ckit_status failed(openssl *lib, ckit_error *err) {
    lib->ERR_clear_error();
    return ckit_fail(err, CKIT_E_NO_MEMORY, WHERE, "OpenSSL could not work: no memory");
}

static ckit_status seal(void *self, ckiti_cipher_key *key, const uint8_t nonce[CKITI_SEAL_NONCE], ckit_slice additional,
                        ckit_slice plain, uint8_t *out, uint8_t tag[CKITI_SEAL_TAG], ckit_error *err) {
    openssl *lib = self;
    loan     l;
    if (!borrow(lib, key, &l)) {
        return failed(lib, err);
    }
    OSSL_PARAM made[] = TAG_PARAMETERS(tag);
    uint8_t    nothing[CKITI_SEAL_TAG];
    int        len = 0;
    bool       done = run(lib, l.context, NULL, nonce, additional, plain, out) &&
                lib->EVP_CipherFinal_ex(l.context, nothing, &len) == 1 &&
                lib->EVP_CIPHER_CTX_get_params(l.context, made) == 1;
    give_back(lib, &l);
    return done ? CKIT_OK : failed(lib, err);
}

static ckit_status open_sealed(void *self, ckiti_cipher_key *key, const uint8_t nonce[CKITI_SEAL_NONCE],
                               ckit_slice additional, ckit_slice sealed, const uint8_t tag[CKITI_SEAL_TAG],
                               uint8_t *out, ckit_error *err) {
    openssl *lib = self;
    loan     l;
    if (!borrow(lib, key, &l)) {
        return failed(lib, err);
    }
    uint8_t          copy[CKITI_SEAL_TAG], nothing[CKITI_SEAL_TAG];
    const OSSL_PARAM expected[] = TAG_PARAMETERS(copy);
    int              len = 0;
    memcpy(copy, tag, sizeof copy);
    ckit_status st = CKIT_OK;
    if (!run(lib, l.context, expected, nonce, additional, sealed, out)) {
        st = failed(lib, err);
    } else if (lib->EVP_CipherFinal_ex(l.context, nothing, &len) != 1) {
        lib->ERR_clear_error();
        st = CKIT_E_AUTH_TAG;
    }
    if (st != CKIT_OK) {
        sodium_memzero(out, sealed.len); /* decrypted before it was known to be authentic */
    }
    give_back(lib, &l);
    return st;
}

const ckiti_cipher_ops ckiti_cipher_openssl = {
    .name = "OpenSSL",
    .load = load,
    .unload = unload,
    .seal = seal,
    .open = open_sealed,
    .forget = forget,
};
