/* Encrypted connections: whom they trust, what they say when they do not, and that they fail as other connections do. */
#include "fake_server.h"
#include "hearer.h"
#include "store.h"
#include "tls.h"

#include "support/certificates.h"
#include "support/redis_cluster.h"
#include "support/redis_server.h"
#include "support/scratch.h"
#include "support/test.h"
#include "support/tls_relay.h"

#include <cachekit/buf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static redis_server server;
static char         dir[SCRATCH_PATH];

static void stop(void) { redis_server_stop(&server); }

static void need_server(void) {
    char why[200];
    if (dir[0] == '\0') {
        scratch_make(dir);
        certificates_make(dir);
    }
    if (server.pid == 0) {
        if (!redis_server_start_tls(&server, dir, NULL, why, sizeof why)) {
            SKIP("%s", why);
        }
        atexit(stop);
    }
}

typedef struct fixture {
    ckit_redis_options      options;
    char                    url[256], ca[600], certificate[600], key[600];
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} fixture;

static void name_file(char path[600], const char *file) { snprintf(path, 600, "%s/%s", dir, file); }

/* On `port` of 127.0.0.1; 0: the server's own. Trusts ca.pem. */
static void fixture_init(fixture *f, uint16_t port) {
    memset(f, 0, sizeof *f);
    snprintf(f->url, sizeof f->url, "rediss://127.0.0.1:%u", port == 0 ? server.tls_port : port);
    name_file(f->ca, "ca.pem");
    f->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    f->options.url = f->url;
    f->options.ssl_ca_certs = f->ca;
    f->options.socket_timeout_ms = 20000;
    f->options.socket_connect_timeout_ms = 20000;
    f->options.backoff_max_ms = 50;
}

static ckit_status try_open(fixture *f, ckit_error *err) {
    ckit_status st = ckit_redis_open(&f->options, NULL, &f->backend, err);
    f->ops = st == CKIT_OK ? ckit_backend_operations(f->backend) : NULL;
    f->self = st == CKIT_OK ? ckit_backend_self(f->backend) : NULL;
    return st;
}

static void fixture_open(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(try_open(f, &err), &err);
}

static void fixture_close(fixture *f) { ckit_backend_close(f->backend); }

static void put(fixture *f, const char *key, ckit_slice value) {
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_entry_info info = {.ttl_ms = 600000};
    CHECK_OK_ERR(f->ops->set(f->self, S(key), value, &info, CKIT_NO_DEADLINE, &err), &err);
}

/* When it succeeds the value is right. */
static ckit_status get(fixture *f, const char *key, ckit_slice expected, ckit_error *err) {
    ckit_buf    out = CKIT_BUF_INIT;
    uint64_t    life_ms = 0;
    ckit_status st = f->ops->get(f->self, S(key), CKIT_NO_DEADLINE, &out, &life_ms, err);
    if (st == CKIT_OK) {
        CHECK_EQ_U(expected.len, out.len);
        CHECK(memcmp(expected.ptr, out.ptr, out.len) == 0);
    }
    ckit_buf_fini(&out);
    return st;
}

static void expect_use(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open(f);
    put(f, "key", S("value"));
    CHECK_OK_ERR(get(f, "key", S("value"), &err), &err);
    fixture_close(f);
}

/* The first operation fails so, and says so. */
static void expect_refusal(fixture *f, ckit_status status, const char *text) {
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open(f);
    CHECK_STATUS_ERR(status, get(f, "key", S("value"), &err), &err);
    CHECK_CONTAINS(text, err.text);
    fixture_close(f);
}

static void expect_wrong_option(fixture *f, const char *text) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, try_open(f, &err), &err);
    CHECK_CONTAINS(text, err.text);
}

static void relay_start(tls_relay *relay) {
    relay->target = server.port;
    relay->certificates = dir;
    relay->cut_at = relay->stall_at = relay->flip_at = -1;
    tls_relay_start(relay);
}

/* ---- whom to trust ------------------------------------------------------------------------------------------------------- */

CKIT_TEST(trust, a_server_with_a_certificate_of_a_known_authority_is_used) {
    fixture f;
    need_server();
    fixture_init(&f, 0);
    expect_use(&f);
    snprintf(f.url, sizeof f.url, "rediss://localhost:%u/1", server.tls_port);
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
    need_server();
    for (int i = 0; i < 2; i++) {
        fixture   f;
        tls_relay relay = {.certificate = files[i]};
        relay_start(&relay);
        fixture_init(&f, relay.port);
        expect_refusal(&f, CKIT_E_CREDENTIALS, texts[i]);
        tls_relay_stop(&relay);
    }
}

CKIT_TEST(trust, a_certificate_of_another_host_is_refused_unless_the_name_does_not_matter) {
    fixture   f;
    tls_relay relay = {.certificate = "elsewhere.pem"};
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
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
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
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
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
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
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
    expect_use(&f);
    f.options.tls_min_version = 13;
    expect_refusal(&f, CKIT_E_REJECTED, "look at tls_min_version");
    tls_relay_stop(&relay);
}

/* ---- who we are ----------------------------------------------------------------------------------------------------------- */

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
    if (!redis_server_start_tls(&strict, dir, arguments, why, sizeof why)) {
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
        relay_start(&relay);
        fixture_init(&f, relay.port);
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

/* ---- peers that are not what they should be ---------------------------------------------------------------------------------- */

CKIT_TEST(peers, one_that_speaks_plain_text_is_told_from_a_failure) {
    fixture   f;
    tls_relay relay = {.greeting = "-ERR unknown command\r\n"};
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
    expect_refusal(&f, CKIT_E_REJECTED, "does not speak TLS on this port");
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, one_that_says_nothing_costs_no_more_than_the_time_limit) {
    fixture   f;
    tls_relay relay = {.silent = true};
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
    f.options.socket_connect_timeout_ms = 50;
    expect_refusal(&f, CKIT_E_TIMEOUT, "does this port speak TLS?");
    tls_relay_stop(&relay);
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); }

static void expect_recovery(fixture *f) {
    for (int i = 0; i < 2000; i++) {
        if (get(f, "key", S("value"), NULL) == CKIT_OK) {
            return;
        }
        nap();
    }
    FAIL("it does not come back");
}

#define FAULTS_END 3200 /* behind the handshake, the tickets, the login and the first answers */

/* One connection with a fault at each of some places: a right answer or a classified failure, then right ones again. */
static void run_faults(tls_relay *relay, _Atomic int64_t *place, int step, uint32_t timeout_ms) {
    fixture f;
    int     failed = 0;
    fixture_init(&f, relay->port);
    f.options.socket_timeout_ms = timeout_ms;
    f.options.socket_connect_timeout_ms = timeout_ms;
    for (int at = 0; at < FAULTS_END; at += step) {
        ckit_error err = CKIT_ERROR_INIT;
        *place = at;
        relay->faulty = 1;
        fixture_open(&f);
        ckit_status st = get(&f, "key", S("value"), &err);
        failed += st != CKIT_OK;
        CHECK(st == CKIT_OK || st >= CKIT_E_FIRST);
        *place = -1;
        expect_recovery(&f);
        fixture_close(&f);
    }
    CHECK(failed > 0);
}

static void start_raw(tls_relay *relay) {
    fixture f;
    need_server();
    fixture_init(&f, 0);
    fixture_open(&f);
    put(&f, "key", S("value"));
    fixture_close(&f);
    memset(relay, 0, sizeof *relay);
    relay->raw = true;
    relay->cut_at = relay->stall_at = relay->flip_at = -1;
    relay->target = server.tls_port;
    tls_relay_start(relay);
}

CKIT_TEST(peers, a_connection_cut_anywhere_is_a_failure_of_the_network) {
    static tls_relay relay;
    start_raw(&relay);
    run_faults(&relay, &relay.cut_at, 53, 20000);
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, a_changed_byte_is_noticed_wherever_it_is) {
    static tls_relay relay;
    start_raw(&relay);
    run_faults(&relay, &relay.flip_at, 61, 200);
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, a_connection_that_stalls_within_a_record_costs_no_more_than_the_time_limit) {
    static tls_relay relay;
    start_raw(&relay);
    run_faults(&relay, &relay.stall_at, 199, 200);
    tls_relay_stop(&relay);
}

CKIT_TEST(peers, keys_may_be_renewed_at_any_time) {
    fixture   f;
    tls_relay relay = {.renews_keys = true};
    size_t    len = (size_t)1 << 20;
    uint8_t  *large = calloc(1, len);
    need_server();
    CHECK(large != NULL);
    memset(large, 'x', len);
    relay_start(&relay);
    fixture_init(&f, relay.port);
    fixture_open(&f);
    put(&f, "key", S("value"));
    for (int i = 0; i < 200; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(get(&f, "key", S("value"), &err), &err);
    }
    put(&f, "large", ckit_slice_of(large, len));
    CHECK_OK(get(&f, "large", ckit_slice_of(large, len), NULL));
    CHECK_OK(get(&f, "large", ckit_slice_of(large, len), NULL));
    fixture_close(&f);
    tls_relay_stop(&relay);
    free(large);
}

CKIT_TEST(peers, one_that_wants_to_renegotiate_is_refused_and_left) {
    fixture   f;
    tls_relay relay = {.max_version = TLS1_2_VERSION, .renegotiates = true, .faulty = 1};
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
    f.options.socket_timeout_ms = f.options.socket_connect_timeout_ms = 1000;
    fixture_open(&f);
    for (int i = 0; i < 2000 && f.ops->set(f.self, S("key"), S("value"), &(ckit_entry_info){.ttl_ms = 60000},
                                           CKIT_NO_DEADLINE, NULL) != CKIT_OK;
         i++) {
        nap();
    }
    expect_recovery(&f);
    fixture_close(&f);
    tls_relay_stop(&relay);
}

/* ---- as other connections ------------------------------------------------------------------------------------------------------ */

CKIT_TEST(use, large_values_go_both_ways) {
    fixture  f;
    size_t   len = (size_t)8 << 20;
    uint8_t *large = malloc(len);
    need_server();
    CHECK(large != NULL);
    for (size_t i = 0; i < len; i++) {
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    fixture_init(&f, 0);
    fixture_open(&f);
    for (int i = 0; i < 3; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        put(&f, "large", ckit_slice_of(large, len - (size_t)i));
        CHECK_OK_ERR(get(&f, "large", ckit_slice_of(large, len - (size_t)i), &err), &err);
    }
    fixture_close(&f);
    free(large);
}

static void *use_much(void *arg) {
    fixture    *f = ((void **)arg)[0];
    const char *name = ((void **)arg)[1];
    char        key[32];
    static char value[100000];
    for (int i = 0; i < 60; i++) {
        ckit_error err = CKIT_ERROR_INIT;
        size_t     len = i % 20 == 19 ? sizeof value : (size_t)(i * 37 % 3000 + 1);
        snprintf(key, sizeof key, "%s-%d", name, i % 7);
        put(f, key, ckit_slice_of(value, len));
        CHECK_OK_ERR(get(f, key, ckit_slice_of(value, len), &err), &err);
    }
    return NULL;
}

CKIT_TEST(use, sixty_four_threads_share_the_connections) {
    fixture   f;
    pthread_t threads[64];
    char      names[64][8];
    void     *arguments[64][2];
    need_server();
    fixture_init(&f, 0);
    fixture_open(&f);
    for (int i = 0; i < 64; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        arguments[i][0] = &f;
        arguments[i][1] = names[i];
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, use_much, arguments[i]));
    }
    for (int i = 0; i < 64; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    fixture_close(&f);
}

static void *use_until(void *arg) {
    fixture *f = ((void **)arg)[0];
    while (!atomic_load((atomic_bool *)((void **)arg)[1])) {
        ckit_error err = CKIT_ERROR_INIT;
        CHECK_OK_ERR(get(f, "key", S("value"), &err), &err);
    }
    return NULL;
}

CKIT_TEST(use, a_fork_in_the_middle_of_it_disturbs_neither_side) {
    fixture     f;
    pthread_t   threads[4];
    atomic_bool over = false;
    void       *argument[2] = {&f, &over};
    need_server();
    fixture_init(&f, 0);
    fixture_open(&f);
    put(&f, "key", S("value"));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_create(&threads[i], NULL, use_until, argument));
    }
    for (int i = 0; i < 20; i++) {
        int   status = 0;
        pid_t child = fork();
        if (child == 0) {
            bool right = get(&f, "key", S("value"), NULL) == CKIT_OK && get(&f, "key", S("value"), NULL) == CKIT_OK;
            ckit_backend_close(f.backend);
            _exit(right ? 0 : 1);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I(0, pthread_join(threads[i], NULL));
    }
    fixture_close(&f);
}

CKIT_TEST(use, a_child_ends_without_ending_its_parents_connection) {
    fixture   f;
    tls_relay relay = {.certificate = NULL};
    int       status = 0;
    need_server();
    relay_start(&relay);
    fixture_init(&f, relay.port);
    f.options.retries = CKIT_REDIS_NO_RETRY;
    fixture_open(&f);
    put(&f, "key", S("value"));
    pid_t child = fork();
    if (child == 0) {
        ckit_backend_close(f.backend);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(get(&f, "key", S("value"), NULL));
    CHECK_EQ_I(1, relay.handshakes);
    CHECK_EQ_I(0, relay.hung_up);
    fixture_close(&f);
    tls_relay_stop(&relay);
}

/* The context is the answer. */
static const char *told(fake_server *s, const char *words, uint64_t count) {
    (void)count;
    return strcmp(words, "SENTINEL") == 0 ? s->context : NULL;
}

CKIT_TEST(use, sentinels_and_their_master_are_reached_over_encrypted_connections) {
    fixture     f;
    fake_server sentinel;
    char        answer[64], port[8];
    tls_relay   to_sentinel = {.certificate = NULL}, to_master = {.certificate = NULL};
    need_server();
    fake_server_start(&sentinel);
    relay_start(&to_master);
    int n = snprintf(port, sizeof port, "%u", to_master.port);
    snprintf(answer, sizeof answer, "*2\r\n$9\r\nlocalhost\r\n$%d\r\n%s\r\n", n, port);
    sentinel.context = answer;
    sentinel.told = told;
    to_sentinel.target = (uint16_t)atoi(strrchr(sentinel.url, ':') + 1);
    to_sentinel.certificates = dir;
    tls_relay_start(&to_sentinel);
    fixture_init(&f, 0);
    snprintf(f.url, sizeof f.url, "rediss+sentinel://127.0.0.1:%u/main", to_sentinel.port);
    expect_use(&f);
    CHECK(to_sentinel.handshakes > 0 && to_master.handshakes > 0);
    tls_relay_stop(&to_sentinel);
    tls_relay_stop(&to_master);
    fake_server_stop(&sentinel);
}

/* Opens two stores and lets one hear of what the other changes. */
static void expect_watch(const char *url) {
    member             a, b;
    char               ca[600];
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    name_file(ca, "ca.pem");
    options.url = url;
    options.ssl_ca_certs = ca;
    options.socket_timeout_ms = options.socket_connect_timeout_ms = 20000;
    member_open(&a, &options, true);
    member_open(&b, &options, false);
    member_touch(&a);
    hearer_await(&a.h, &a.h.guarded, 1, "guarded");
    for (int i = 0; i < 20; i++) { /* to all nodes, where there are several */
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        member_put(&b, key, 60000);
        hearer_await_key(&a.h, key);
    }
    CHECK_EQ_U(0, hearer_seen(&a.h, &a.h.lost));
    member_close(&b);
    member_close(&a);
}

CKIT_TEST(use, changes_are_heard_of_over_encrypted_connections) {
    char url[64];
    need_server();
    snprintf(url, sizeof url, "rediss://127.0.0.1:%u", server.tls_port);
    expect_watch(url);
}

CKIT_TEST(use, a_cluster_is_reached_and_watched_over_encrypted_connections) {
    static redis_cluster cluster;
    fixture              f;
    char                 why[200];
    need_server();
    if (!redis_cluster_start_tls(&cluster, dir, 2000, why, sizeof why)) {
        FAIL("%s", why);
    }
    fixture_init(&f, 0);
    snprintf(f.url, sizeof f.url, "%s", cluster.url);
    expect_use(&f);
    expect_watch(cluster.url);
    redis_cluster_stop(&cluster);
}

/* ---- OpenSSL itself --------------------------------------------------------------------------------------------------------------- */

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
