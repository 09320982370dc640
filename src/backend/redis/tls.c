/* What connections share: files, versions, what is checked. */
#include "tls.h"

#include "base/alloc.h"
#include "failure.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MAX_BYTES ((off_t)1024 * 1024)

static const ckiti_openssl_function functions[] = {
#define ROW(name) {#name, offsetof(ckiti_openssl, name)},
    CKITI_OPENSSL_FUNCTIONS(ROW)
#undef ROW
};

static ckit_status refuse(const ckiti_redis_tls *tls, const char *option, const char *what, ckit_error *err) {
    unsigned long code = tls->lib.ERR_peek_error();
    const char   *why = code == 0 ? NULL : tls->lib.ERR_reason_error_string(code);
    return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "%s: %s%s%.80s%s", option, what,
                     why == NULL ? "" : " (", why == NULL ? "" : why, why == NULL ? "" : ")");
}

static ckit_status refuse_file(const char *option, int sys_errno, ckit_error *err) {
    return ckit_fail_errno(err, CKIT_E_CONFIGURATION, sys_errno, CKITI_REDIS_WHERE, "%s: the file cannot be read",
                           option);
}

/* ---- whom to believe --------------------------------------------------------------------------------------------- */

static ckit_status load_authorities(ckiti_redis_tls *tls, const ckiti_redis_address *a, ckit_error *err) {
    const ckiti_openssl *lib = &tls->lib;
    struct stat          st;
    if (!a->ssl_verify) {
        lib->SSL_CTX_set_verify(tls->context, SSL_VERIFY_NONE, NULL);
        return CKIT_OK;
    }
    lib->SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    if (a->ssl_ca_certs[0] == '\0') {
        return lib->SSL_CTX_set_default_verify_paths(tls->context) == 1
                   ? CKIT_OK
                   : refuse(tls, "ssl_ca_certs", "the system's certificates cannot be used", err);
    }
    if (stat(a->ssl_ca_certs, &st) != 0) {
        return refuse_file("ssl_ca_certs", errno, err);
    }
    if (S_ISDIR(st.st_mode)) {
        return lib->SSL_CTX_load_verify_dir(tls->context, a->ssl_ca_certs) == 1
                   ? CKIT_OK
                   : refuse(tls, "ssl_ca_certs", "the directory cannot be used", err);
    }
    return lib->SSL_CTX_load_verify_file(tls->context, a->ssl_ca_certs) == 1
               ? CKIT_OK
               : refuse(tls, "ssl_ca_certs", "the file holds no certificates in PEM form", err);
}

/* ---- who we are -------------------------------------------------------------------------------------------------- */

/* Ours and for nobody else, or of root and readable for a group at most: what ssh and PostgreSQL ask for. */
static ckit_status check_key_file(int fd, off_t *size, ckit_error *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return refuse_file("ssl_keyfile", errno, err);
    }
    if (!S_ISREG(st.st_mode) || st.st_size > KEY_MAX_BYTES) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE, "ssl_keyfile: not a file that holds a key");
    }
    mode_t others = st.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if ((st.st_mode & others) != 0) {
        return ckit_fail(err, CKIT_E_CONFIGURATION, CKITI_REDIS_WHERE,
                         "ssl_keyfile: others may read the key (mode %04o): chmod 600 it",
                         (unsigned)st.st_mode & 07777);
    }
    *size = st.st_size;
    return CKIT_OK;
}

static ssize_t read_whole(int fd, char *into, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t n = read(fd, into + at, size - at);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)at;
}

/* A key with a password would ask for it at the terminal otherwise. */
static int no_password(char *out, int size, int writing, void *context) {
    (void)out, (void)size, (void)writing, (void)context;
    return -1;
}

static ckit_status use_key(ckiti_redis_tls *tls, const char *pem, int len, ckit_error *err) {
    const ckiti_openssl *lib = &tls->lib;
    BIO                 *in = lib->BIO_new_mem_buf(pem, len);
    EVP_PKEY            *key = in == NULL ? NULL : lib->PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
    ckit_status          st = CKIT_OK;
    if (in == NULL) {
        st = ckiti_redis_no_memory(err, "a key");
    } else if (key == NULL) {
        st = refuse(tls, "ssl_keyfile", "no private key in PEM form, or one with a password, which is not supported",
                    err);
    } else if (lib->SSL_CTX_use_PrivateKey(tls->context, key) != 1 ||
               lib->SSL_CTX_check_private_key(tls->context) != 1) {
        st = refuse(tls, "ssl_keyfile", "the key is not the one of the certificate in ssl_certfile", err);
    }
    lib->EVP_PKEY_free(key);
    lib->BIO_free(in);
    return st;
}

/* The file is opened once, so that what was checked is what is read. */
static ckit_status load_key(ckiti_redis_tls *tls, const char *path, ckit_error *err) {
    off_t size = 0;
    char *pem = NULL;
    int   fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return refuse_file("ssl_keyfile", errno, err);
    }
    ckit_status st = check_key_file(fd, &size, err);
    if (st == CKIT_OK) {
        pem = ckiti_alloc(tls->alloc, (size_t)size + 1);
        st = pem == NULL ? ckiti_redis_no_memory(err, "a key") : CKIT_OK;
    }
    if (st == CKIT_OK) {
        ssize_t len = read_whole(fd, pem, (size_t)size);
        st = len < 0 ? refuse_file("ssl_keyfile", errno, err) : use_key(tls, pem, (int)len, err);
    }
    if (pem != NULL) {
        sodium_memzero(pem, (size_t)size + 1);
        ckiti_free(tls->alloc, pem, (size_t)size + 1);
    }
    close(fd);
    return st;
}

static ckit_status load_identity(ckiti_redis_tls *tls, const ckiti_redis_address *a, ckit_error *err) {
    if (a->ssl_certfile[0] == '\0') {
        return CKIT_OK;
    }
    if (access(a->ssl_certfile, R_OK) != 0) {
        return refuse_file("ssl_certfile", errno, err);
    }
    if (tls->lib.SSL_CTX_use_certificate_chain_file(tls->context, a->ssl_certfile) != 1) {
        return refuse(tls, "ssl_certfile", "the file holds no usable certificate in PEM form", err);
    }
    return load_key(tls, a->ssl_keyfile[0] != '\0' ? a->ssl_keyfile : a->ssl_certfile, err);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static ckit_status make_context(ckiti_redis_tls *tls, const ckiti_redis_address *a, ckit_error *err) {
    const ckiti_openssl *lib = &tls->lib;
    long                 version = a->tls_min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    lib->ERR_clear_error();
    tls->context = lib->SSL_CTX_new(lib->TLS_client_method());
    if (tls->context == NULL) {
        return refuse(tls, "rediss:", "OpenSSL cannot be used; see its openssl.cnf", err);
    }
    /* The system's configuration may ask for more. */
    if (lib->SSL_CTX_ctrl(tls->context, SSL_CTRL_GET_MIN_PROTO_VERSION, 0, NULL) < version &&
        lib->SSL_CTX_ctrl(tls->context, SSL_CTRL_SET_MIN_PROTO_VERSION, version, NULL) != 1) {
        return refuse(tls, "tls_min_version", "OpenSSL does not have that version", err);
    }
    lib->SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* A resumed session would not be checked again, and connections are few and last. */
    lib->SSL_CTX_ctrl(tls->context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    return CKIT_OK;
}

ckit_status ckiti_redis_tls_open(const ckiti_redis_address *address, const ckiti_redis_stream_ops *below,
                                 const ckit_alloc *alloc, const char *library, ckiti_redis_tls **out, ckit_error *err) {
    ckiti_redis_tls *tls = ckiti_alloc_zeroed(alloc, 1, sizeof *tls);
    *out = NULL;
    if (tls == NULL) {
        return ckiti_redis_no_memory(err, "encryption");
    }
    pthread_mutex_init(&tls->lock, NULL);
    tls->below = below;
    tls->alloc = alloc;
    ckit_status st = ckiti_openssl_load(library, functions, sizeof functions / sizeof functions[0], &tls->lib,
                                        &tls->lib.handle, CKITI_REDIS_WHERE, "rediss:", err);
    if (st == CKIT_OK) {
        st = make_context(tls, address, err);
    }
    if (st == CKIT_OK) {
        st = load_authorities(tls, address, err);
    }
    if (st == CKIT_OK) {
        st = load_identity(tls, address, err);
    }
    if (tls->lib.handle != NULL) {
        tls->lib.ERR_clear_error(); /* the program may use OpenSSL too */
    }
    if (st != CKIT_OK) {
        ckiti_redis_tls_close(tls);
        return st;
    }
    *out = tls;
    return CKIT_OK;
}

void ckiti_redis_tls_close(ckiti_redis_tls *tls) {
    if (tls == NULL) {
        return;
    }
    if (tls->context != NULL) {
        tls->lib.SSL_CTX_free(tls->context);
    }
    ckiti_openssl_unload(tls->lib.handle);
    pthread_mutex_destroy(&tls->lock);
    ckiti_free(tls->alloc, tls, sizeof *tls);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_redis_tls_before_fork(ckiti_redis_tls *tls) {
    if (tls != NULL) {
        pthread_mutex_lock(&tls->lock);
        for (ckiti_redis_tls_member *m = tls->members; m != NULL; m = m->next) {
            pthread_mutex_lock(&m->lock);
        }
    }
}

void ckiti_redis_tls_after_fork(ckiti_redis_tls *tls) {
    if (tls != NULL) {
        for (ckiti_redis_tls_member *m = tls->members; m != NULL; m = m->next) {
            pthread_mutex_unlock(&m->lock);
        }
        pthread_mutex_unlock(&tls->lock);
    }
}
