/* openssl.h - what TLS needs of OpenSSL, as a table that base/openssl.h fills. */
#ifndef CKITI_REDIS_OPENSSL_H
#define CKITI_REDIS_OPENSSL_H

#include "base/openssl.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define CKITI_OPENSSL_NAME CKITI_OPENSSL_LIBRARY("libssl")

/* Functions only, no macros of the headers: those that stand for calls of functions (SSL_set_tlsext_host_name and
 * others) are written out where they are used. */
#define CKITI_OPENSSL_FUNCTIONS(X)                                                                                     \
    X(BIO_free)                                                                                                        \
    X(BIO_new_bio_pair)                                                                                                \
    X(BIO_new_mem_buf)                                                                                                 \
    X(BIO_nread)                                                                                                       \
    X(BIO_nread0)                                                                                                      \
    X(BIO_nwrite)                                                                                                      \
    X(BIO_nwrite0)                                                                                                     \
    X(ERR_clear_error)                                                                                                 \
    X(ERR_peek_error)                                                                                                  \
    X(ERR_reason_error_string)                                                                                         \
    X(EVP_PKEY_free)                                                                                                   \
    X(PEM_read_bio_PrivateKey)                                                                                         \
    X(SSL_CTX_check_private_key)                                                                                       \
    X(SSL_CTX_ctrl)                                                                                                    \
    X(SSL_CTX_free)                                                                                                    \
    X(SSL_CTX_load_verify_dir)                                                                                         \
    X(SSL_CTX_load_verify_file)                                                                                        \
    X(SSL_CTX_new)                                                                                                     \
    X(SSL_CTX_set_default_verify_paths)                                                                                \
    X(SSL_CTX_set_options)                                                                                             \
    X(SSL_CTX_set_verify)                                                                                              \
    X(SSL_CTX_use_PrivateKey)                                                                                          \
    X(SSL_CTX_use_certificate_chain_file)                                                                              \
    X(SSL_ctrl)                                                                                                        \
    X(SSL_do_handshake)                                                                                                \
    X(SSL_free)                                                                                                        \
    X(SSL_get0_param)                                                                                                  \
    X(SSL_get_error)                                                                                                   \
    X(SSL_get_verify_result)                                                                                           \
    X(SSL_new)                                                                                                         \
    X(SSL_read_ex)                                                                                                     \
    X(SSL_set1_host)                                                                                                   \
    X(SSL_set_bio)                                                                                                     \
    X(SSL_set_connect_state)                                                                                           \
    X(SSL_set_hostflags)                                                                                               \
    X(SSL_shutdown)                                                                                                    \
    X(SSL_write_ex)                                                                                                    \
    X(TLS_client_method)                                                                                               \
    X(X509_VERIFY_PARAM_set1_ip_asc)                                                                                   \
    X(X509_verify_cert_error_string)

typedef struct ckiti_openssl {
    void *handle; /* NULL: not loaded */
#define CKITI_OPENSSL_FIELD(name) __typeof__(name) *(name);
    CKITI_OPENSSL_FUNCTIONS(CKITI_OPENSSL_FIELD)
#undef CKITI_OPENSSL_FIELD
} ckiti_openssl;

#endif
