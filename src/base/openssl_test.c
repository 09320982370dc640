/* Libraries that are loaded when they are wanted first, and what is said when they are not there. */
#include "base/openssl.h"

#include "support/test.h"

typedef struct table {
    void *version;
    void *other;
} table;

static const ckiti_openssl_function known[] = {{"OpenSSL_version_num", offsetof(table, version)}};
static const ckiti_openssl_function unknown[] = {{"OpenSSL_version_num", offsetof(table, version)},
                                                 {"no_such_function", offsetof(table, other)}};

CKIT_TEST(openssl, its_functions_are_filled_in) {
    table      t = {0};
    void      *handle = NULL;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(ckiti_openssl_load(CKITI_OPENSSL_LIBRARY("libcrypto"), known, 1, &t, &handle, "test", "a test:", &err),
                 &err);
    CHECK(handle != NULL && t.version != NULL);
    ckiti_openssl_unload(handle);
    ckiti_openssl_unload(NULL);
}

CKIT_TEST(openssl, a_library_that_is_not_there_is_asked_for_by_whoever_needs_it) {
    table      t = {0};
    void      *handle = &t;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS(CKIT_E_UNSUPPORTED,
                 ckiti_openssl_load("libnotthere.so.3", known, 1, &t, &handle, "test", "a test:", &err));
    CHECK_CONTAINS("a test: OpenSSL is needed and cannot be loaded", err.text);
    CHECK_EQ_P(NULL, handle);
}

CKIT_TEST(openssl, a_library_that_lacks_a_function_is_refused_by_the_function_s_name) {
    table      t = {0};
    void      *handle = &t;
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS(CKIT_E_UNSUPPORTED, ckiti_openssl_load(CKITI_OPENSSL_LIBRARY("libcrypto"), unknown, 2, &t, &handle,
                                                        "test", "a test:", &err));
    CHECK_CONTAINS("has no no_such_function", err.text);
    CHECK_EQ_P(NULL, handle);
}
