/* Encrypted connections: whom they trust, who they are, and what they say when it does not fit. */
#include "store.h"
#include "tls.h"
#include "tls_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- whom to trust ----------------------------------------------------------------------------------------------- */

CKIT_TEST(trust, a_server_with_a_certificate_of_a_known_authority_is_used) {
    fixture f;
    need_server();
    fixture_init(&f, 0);
    expect_use(&f);
    snprintf(f.url, sizeof f.url, "rediss://localhost:%u/1", tls_server.tls_port);
    expect_use(&f);
}

CKIT_TEST(trust, authorities_may_be_a_directory) {
    fixture f;
    char    authorities[SCRATCH_PATH], link[600];
    need_server();
    fixture_init(&f, 0);
    FILE *file = fopen(f.ca, "re");
    X509 *ca = file == NULL ? NULL : PEM_read_X509(file, NULL, NULL, NULL);
    CHECK(ca != NULL);
    fclose(file);
    scratch_make(authorities);
    snprintf(link, sizeof link, "%s/%08lx.0", authorities, X509_subject_name_hash(ca));
    X509_free(ca);
    CHECK_EQ_I(0, symlink(f.ca, link));
    f.options.ssl_ca_certs = authorities;
    expect_use(&f);
    scratch_remove(authorities);
}

CKIT_TEST(trust, an_unknown_authority_is_refused) {
    fixture f;
    need_server();
    fixture_init(&f, 0);
    name_file(f.ca, "other-ca.pem");
    expect_refusal(&f, CKIT_E_CREDENTIALS, "name the authority that signed it with ssl_ca_certs");
    f.options.ssl_ca_certs = NULL; /* the system does not know it either */
    expect_refusal(&f, CKIT_E_CREDENTIALS, "ssl_ca_certs");
}

CKIT_TEST(trust, a_certificate_out_of_its_time_is_refused) {
    static const char *const files[] = {"expired.pem", "early.pem"};
    static const char *const texts[] = {"has expired; renew it", "not yet valid; renew it"};
    for (int i = 0; i < 2; i++) {
        fixture   f;
        tls_relay relay = {.certificate = files[i]};
        fixture_init_behind(&f, &relay);
        expect_refusal(&f, CKIT_E_CREDENTIALS, texts[i]);
        tls_relay_stop(&relay);
    }
}

CKIT_TEST(trust, a_certificate_of_another_host_is_refused_unless_the_name_does_not_matter) {
    fixture   f;
    tls_relay relay = {.certificate = "elsewhere.pem"};
    fixture_init_behind(&f, &relay);
    expect_refusal(&f, CKIT_E_CREDENTIALS, "is not for 127.0.0.1: connect by a name that it has");
    snprintf(f.url, sizeof f.url, "rediss://localhost:%u", relay.port);
    expect_refusal(&f, CKIT_E_CREDENTIALS, "is not for localhost");
    f.options.ssl_check_hostname = CKIT_REDIS_OFF;
    expect_use(&f);
    name_file(f.ca, "other-ca.pem");
    expect_refusal(&f, CKIT_E_CREDENTIALS, "ssl_ca_certs");
    tls_relay_stop(&relay);
}

CKIT_TEST(trust, anybody_is_believed_only_where_that_is_written_out) {
    fixture   f;
    tls_relay relay = {.certificate = "expired.pem"};
    fixture_init_behind(&f, &relay);
    f.options.ssl_ca_certs = NULL;
    f.options.ssl_cert_reqs = CKIT_REDIS_CERT_NONE;
    expect_use(&f);
    f.options.ssl_cert_reqs = CKIT_REDIS_CERT_DEFAULT;
    snprintf(f.url, sizeof f.url, "rediss://127.0.0.1:%u?ssl_cert_reqs=none", relay.port);
    expect_use(&f);
    f.options.ssl_cert_reqs = CKIT_REDIS_CERT_REQUIRED; /* an option wins */
    expect_refusal(&f, CKIT_E_CREDENTIALS, "is refused");
    tls_relay_stop(&relay);
}

CKIT_TEST(trust, the_server_is_told_the_host_that_is_meant) {
    fixture   f;
    char      name[256];
    tls_relay relay = {.certificate = NULL};
    fixture_init_behind(&f, &relay);
    snprintf(f.url, sizeof f.url, "rediss://localhost:%u", relay.port);
    expect_use(&f);
    tls_relay_asked_for(&relay, name);
    CHECK_STR("localhost", name);
    fixture_init(&f, relay.port); /* a number is no name */
    expect_use(&f);
    tls_relay_asked_for(&relay, name);
    CHECK_STR("", name);
    tls_relay_stop(&relay);
    CHECK_EQ_I(2, relay.hung_up); /* and each connection ended with a word */
}

CKIT_TEST(trust, versions_below_the_lowest_are_refused) {
    fixture   f;
    tls_relay relay = {.max_version = TLS1_2_VERSION};
    fixture_init_behind(&f, &relay);
    expect_use(&f);
    f.options.tls_min_version = 13;
    expect_refusal(&f, CKIT_E_REJECTED, "look at tls_min_version");
    tls_relay_stop(&relay);
}

/* ---- who we are -------------------------------------------------------------------------------------------------- */

static void show_certificate(fixture *f, const char *certificate, const char *key) {
    name_file(f->certificate, certificate);
    name_file(f->key, key);
    f->options.ssl_certfile = f->certificate;
    f->options.ssl_keyfile = f->key;
}

CKIT_TEST(identity, a_server_that_wants_to_know_its_clients_gets_a_certificate) {
    static const char *const arguments[] = {"--tls-auth-clients", "yes", NULL};
    static const int         versions[] = {TLS1_2_VERSION, 0};
    fixture                  f;
    redis_server             strict;
    char                     why[200];
    need_server();
    if (!redis_server_start_tls(&strict, tls_dir, arguments, why, sizeof why)) {
        SKIP("%s", why);
    }
    fixture_init(&f, strict.tls_port);
    expect_refusal(&f, CKIT_E_CREDENTIALS, "ssl_certfile");
    show_certificate(&f, "other-client.pem", "client.key");
    expect_refusal(&f, CKIT_E_CREDENTIALS, "ssl_certfile");
    show_certificate(&f, "client.pem", "client.key");
    expect_use(&f);
    redis_server_stop(&strict);
    for (int i = 0; i < 2; i++) {
        tls_relay relay = {.max_version = versions[i], .wants_client = true};
        fixture_init_behind(&f, &relay);
        expect_refusal(&f, CKIT_E_CREDENTIALS, "ssl_certfile");
        show_certificate(&f, "other-client.pem", "client.key");
        expect_refusal(&f, CKIT_E_CREDENTIALS, "ssl_certfile");
        show_certificate(&f, "client.pem", "client.key");
        expect_use(&f);
        tls_relay_stop(&relay);
    }
}

CKIT_TEST(identity, a_key_that_others_may_read_is_refused) {
    static const mode_t modes[] = {0604, 0660, 0666, 0601, 0644};
    fixture             f;
    need_server();
    fixture_init(&f, 0);
    show_certificate(&f, "client.pem", "client.key");
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        CHECK_EQ_I(0, chmod(f.key, modes[i]));
        expect_wrong_option(&f, "chmod 600");
    }
    CHECK_EQ_I(0, chmod(f.key, 0640));
    if (geteuid() == 0) {
        expect_use(&f); /* of root, for its group */
    } else {
        expect_wrong_option(&f, "chmod 600");
    }
    CHECK_EQ_I(0, chmod(f.key, 0600));
    expect_use(&f);
}

static void write_locked_key(const char *path) {
    FILE     *file = fopen(path, "we");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    CHECK(file != NULL && key != NULL && chmod(path, 0600) == 0);
    CHECK_EQ_I(1, PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const unsigned char *)"hunter2", 7, NULL, NULL));
    EVP_PKEY_free(key);
    CHECK_EQ_I(0, fclose(file));
}

CKIT_TEST(identity, files_that_are_of_no_use_are_told_when_the_store_is_opened) {
    fixture f;
    need_server();
    fixture_init(&f, 0);
    name_file(f.ca, "nothing.pem");
    expect_wrong_option(&f, "ssl_ca_certs: the file cannot be read");
    name_file(f.ca, "server.key");
    expect_wrong_option(&f, "ssl_ca_certs: the file holds no certificates");
    fixture_init(&f, 0);
    show_certificate(&f, "nothing.pem", "client.key");
    expect_wrong_option(&f, "ssl_certfile: the file cannot be read");
    show_certificate(&f, "client.key", "client.key");
    expect_wrong_option(&f, "ssl_certfile: the file holds no usable certificate");
    show_certificate(&f, "client.pem", "nothing.key");
    expect_wrong_option(&f, "ssl_keyfile: the file cannot be read");
    show_certificate(&f, "client.pem", "ca.pem");
    expect_wrong_option(&f, "ssl_keyfile: no private key");
    show_certificate(&f, "client.pem", "server.key");
    expect_wrong_option(&f, "not the one of the certificate");
    show_certificate(&f, "client.pem", "");
    expect_wrong_option(&f, "ssl_keyfile: not a file that holds a key");
    name_file(f.key, "locked.key");
    write_locked_key(f.key);
    expect_wrong_option(&f, "one with a password, which is not supported");
    f.options.ssl_keyfile = NULL;
    expect_wrong_option(&f, "ssl_keyfile: no private key"); /* looked for in the certificate's file */
    f.options.ssl_certfile = NULL;
    f.options.ssl_keyfile = f.key;
    expect_wrong_option(&f, "without ssl_certfile");
}

/* ---- OpenSSL itself ---------------------------------------------------------------------------------------------- */

CKIT_TEST(openssl, a_system_without_it_is_told_so) {
    static const char *const   names[] = {"libssl.so.0", "libc.so.6"};
    static const char *const   texts[] = {"install it (Debian: libssl3)",
                                          "libc.so.6 that was found has no OPENSSL_init_crypto"};
    static ckiti_redis_address address;
    for (int i = 0; i < 2; i++) {
        ckit_error       err = CKIT_ERROR_INIT;
        ckiti_redis_tls *tls = NULL;
        CHECK_STATUS_ERR(CKIT_E_UNSUPPORTED,
                         ckiti_redis_tls_open(&address, &ckiti_redis_sockets, NULL, names[i], &tls, &err), &err);
        CHECK_CONTAINS(texts[i], err.text);
        CHECK_EQ_P(NULL, tls);
    }
}
