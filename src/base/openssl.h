/* base/openssl.h - functions of OpenSSL as a table, filled when they are wanted first: loading the library costs two
 * milliseconds of a process' start. Any thread; loading may read from disk. */
#ifndef CKITI_BASE_OPENSSL_H
#define CKITI_BASE_OPENSSL_H

#include <cachekit/error.h>
#include <openssl/opensslv.h>
#include <stddef.h>

#if OPENSSL_VERSION_MAJOR < 3
#error "OpenSSL 3 or later is needed"
#endif

/* The library's name follows the headers: what both promise each other holds for this number. */
#define CKITI_OPENSSL_TEXT_(x) #x
#define CKITI_OPENSSL_TEXT(x) CKITI_OPENSSL_TEXT_(x)
#define CKITI_OPENSSL_LIBRARY(name) name ".so." CKITI_OPENSSL_TEXT(OPENSSL_SHLIB_VERSION)

/* Where in the table the address of a function goes. */
typedef struct ckiti_openssl_function {
    const char *name;
    size_t      offset;
} ckiti_openssl_function;

/* Loads `library` (CKITI_OPENSSL_LIBRARY("libssl")), which stays in the process from then on, and fills `table` with
 * what `functions` names, of it and of the libraries it needs. `*handle` is to be given back; NULL after a failure.
 * `where` and `user` ("rediss:") begin the error's text. CKIT_E_UNSUPPORTED when the system does not have it. */
ckit_status ckiti_openssl_load(const char *library, const ckiti_openssl_function *functions, size_t count, void *table,
                               void **handle, const char *where, const char *user, ckit_error *err);
/* Accepts NULL. */
void ckiti_openssl_unload(void *handle);

#endif
