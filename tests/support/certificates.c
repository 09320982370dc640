#include "support/certificates.h"

#include "support/test.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#define DAY (24L * 3600)

typedef struct identity {
    EVP_PKEY *key;
    X509     *certificate;
} identity;

static FILE *create(const char *dir, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int   fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    CHECK(file != NULL);
    return file;
}

static void write_certificate(const char *dir, const char *name, X509 *certificate) {
    FILE *file = create(dir, name);
    CHECK_EQ_I(1, PEM_write_X509(file, certificate));
    CHECK_EQ_I(0, fclose(file));
}

static void write_key(const char *dir, const char *name, EVP_PKEY *key) {
    FILE *file = create(dir, name);
    CHECK_EQ_I(1, PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
    CHECK_EQ_I(0, fclose(file));
}

static void extend(X509 *certificate, X509 *issuer, int what, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, what, value);
    CHECK(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* `names` NULL: an authority. Valid from `from` to `to` seconds from now. */
static X509 *sign(const char *title, EVP_PKEY *key, const identity *issuer, const char *names, long from, long to) {
    static long number = 1;
    X509       *made = X509_new();
    X509_NAME  *subject = X509_NAME_new();
    CHECK(made != NULL && subject != NULL);
    CHECK_EQ_I(1, X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)title, -1, -1, 0));
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), number++);
    X509_gmtime_adj(X509_getm_notBefore(made), from);
    X509_gmtime_adj(X509_getm_notAfter(made), to);
    X509_set_subject_name(made, subject);
    X509_set_issuer_name(made, issuer == NULL ? subject : X509_get_subject_name(issuer->certificate));
    X509_set_pubkey(made, key);
    X509 *from_whom = issuer == NULL ? made : issuer->certificate;
    extend(made, from_whom, NID_basic_constraints, names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (names != NULL && names[0] != '\0') {
        extend(made, from_whom, NID_subject_alt_name, names);
    }
    CHECK(X509_sign(made, issuer == NULL ? key : issuer->key, EVP_sha256()) > 0);
    X509_NAME_free(subject);
    return made;
}

static identity authority(const char *title) {
    identity made = {.key = EVP_EC_gen("P-256")};
    CHECK(made.key != NULL);
    made.certificate = sign(title, made.key, NULL, NULL, -DAY, DAY);
    return made;
}

static void certify(const char *dir, const char *file, EVP_PKEY *key, const identity *issuer, const char *names,
                    long from, long to) {
    X509 *made = sign(file, key, issuer, names, from, to);
    write_certificate(dir, file, made);
    X509_free(made);
}

static void forget(identity *one) {
    X509_free(one->certificate);
    EVP_PKEY_free(one->key);
}

void certificates_make(const char *dir) {
    static const char names[] = "DNS:localhost,DNS:cache.test,IP:127.0.0.1";
    identity          ca = authority("one authority"), other = authority("another authority");
    EVP_PKEY         *server = EVP_EC_gen("P-256"), *client = EVP_EC_gen("P-256");
    CHECK(server != NULL && client != NULL);
    write_certificate(dir, "ca.pem", ca.certificate);
    write_certificate(dir, "other-ca.pem", other.certificate);
    write_key(dir, "server.key", server);
    write_key(dir, "client.key", client);
    certify(dir, "server.pem", server, &ca, names, -DAY, DAY);
    certify(dir, "elsewhere.pem", server, &ca, "DNS:elsewhere.test", -DAY, DAY);
    certify(dir, "expired.pem", server, &ca, names, -2 * DAY, -DAY);
    certify(dir, "early.pem", server, &ca, names, DAY, 2 * DAY);
    certify(dir, "client.pem", client, &ca, "", -DAY, DAY);
    certify(dir, "other-client.pem", client, &other, "", -DAY, DAY);
    EVP_PKEY_free(server);
    EVP_PKEY_free(client);
    forget(&ca);
    forget(&other);
}
