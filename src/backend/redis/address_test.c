/* URLs and options. */
#include "address.h"

#include "support/test.h"

#include <stdlib.h>

static ckit_status read_url(ckiti_redis_address *a, const char *url, ckit_error *err) {
    ckit_redis_options options = CKIT_REDIS_OPTIONS_INIT;
    options.url = url;
    return ckiti_redis_address_read(a, &options, false, err);
}

static ckiti_redis_address good(const char *url) {
    ckiti_redis_address a;
    ckit_error          err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(read_url(&a, url, &err), &err);
    return a;
}

static void bad(const char *url, const char *text) {
    ckiti_redis_address a;
    ckit_error          err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, read_url(&a, url, &err), &err);
    CHECK_CONTAINS(text, err.text);
    CHECK(strstr(err.text, "hunter2") == NULL);
    CHECK_STR("", a.password); /* wiped */
}

CKIT_TEST(urls, what_is_not_said_has_its_default) {
    ckiti_redis_address a = good("redis://cache.internal");
    CHECK_STR("cache.internal", a.hosts[0].host);
    CHECK_EQ_U(6379, a.hosts[0].port);
    CHECK_EQ_U(0, a.database);
    CHECK_EQ_U(1000, a.socket_timeout_ms);
    CHECK_EQ_U(1000, a.connect_timeout_ms);
    CHECK_EQ_U(10, a.pool_size);
    CHECK_EQ_U(3, a.protocol);
    CHECK(a.keepalive);
    CHECK(!a.tls);
    CHECK_STR("localhost", good("redis://").hosts[0].host);
}

CKIT_TEST(urls, every_part_is_read) {
    ckiti_redis_address a =
        good("rediss://al%40ice:p%3Aw@[::1]:7000/5?socket_timeout=0.25&socket_connect_timeout=2&"
             "socket_keepalive=False&connection_pool_size=3&client_name=me&protocol=2&key_prefix=t%3A&"
             "retries=0&retry_on_timeout=yes&backoff_max=1.0001");
    CHECK_STR("al@ice", a.username);
    CHECK_STR("p:w", a.password);
    CHECK_STR("::1", a.hosts[0].host);
    CHECK_EQ_U(7000, a.hosts[0].port);
    CHECK_EQ_U(5, a.database);
    CHECK_EQ_U(250, a.socket_timeout_ms);
    CHECK_EQ_U(2000, a.connect_timeout_ms);
    CHECK_EQ_U(3, a.pool_size);
    CHECK_EQ_U(2, a.protocol);
    CHECK_EQ_U(0, a.retries);
    CHECK_EQ_U(1001, a.backoff_max_ms);
    CHECK_STR("me", a.client_name);
    CHECK_STR("t:", a.key_prefix);
    CHECK(a.tls && !a.keepalive && a.retry_on_timeout);
}

CKIT_TEST(urls, sockets_sentinels_and_clusters) {
    ckiti_redis_address a = good("unix://:hunter2@/run/redis.sock?db=2");
    CHECK(a.hosts[0].local);
    CHECK_STR("/run/redis.sock", a.hosts[0].host);
    CHECK_STR("hunter2", a.password);
    CHECK_EQ_U(2, a.database);
    a = good("redis+sentinel://u:hunter2@h1,h2:7,[::1]:8/main/4");
    CHECK_EQ_I(CKITI_REDIS_SENTINEL, a.kind);
    CHECK_EQ_U(3, a.host_count);
    CHECK_EQ_U(26379, a.hosts[0].port);
    CHECK_EQ_U(7, a.hosts[1].port);
    CHECK_STR("::1", a.hosts[2].host);
    CHECK_STR("main", a.service);
    CHECK_STR("hunter2", a.password);
    CHECK_EQ_U(4, a.database);
    a = good("rediss+cluster://h1:1,h2");
    CHECK_EQ_I(CKITI_REDIS_CLUSTER, a.kind);
    CHECK(a.tls);
    CHECK_EQ_U(6379, a.hosts[1].port);
}

CKIT_TEST(urls, mistakes_are_named_and_secrets_are_not) {
    bad("http://u:hunter2@h", "begins with redis://, rediss:// or unix://");
    bad("redis:hunter2", "'//'");
    bad("redis://:hunter2@h/x", "number of a database");
    bad("redis://:hunter2@h/99999999999", "number of a database");
    bad("redis://:hunter2@h:0", "port");
    bad("redis://hunter2@h", "without a password");
    bad("redis://:hunter2@h?socket_timeout=soon", "socket_timeout must be a number of seconds");
    bad("redis://:hunter2@h?socket_timeout=0", "socket_timeout (ms) is 0, range 1..3600000");
    bad("redis://:hunter2@h?socket_keepalive=2", "true or false");
    bad("redis://:hunter2@h?protocol=4", "protocol is 4, range 2..3");
    bad("redis://:hunter2@h?flux=1", "unknown parameter");
    bad("redis://:hunter2@h?db=1&db=2", "db is there twice");
    bad("redis://:hunter2@h?client_name=a%20b", "without blanks");
    bad("redis://:hunter2@h1,h2", "needs redis+sentinel://");
    bad("redis+cluster://:hunter2@h1,,h2", "empty place");
    bad("redis+sentinel://:hunter2@h", "names no master");
    bad("redis://h?sentinel_password=hunter2", "for redis+sentinel:// alone");
    bad("redis+sentinel://h/m?sentinel_username=hunter2", "without a password");
    bad("redis+cluster://h/1", "db must be 0");
    bad("unix://host/path", "three slashes");
    bad("unix://", "names no socket");
    bad("", "url is empty");
}

CKIT_TEST(urls, encrypted_connections_have_parameters_of_their_own) {
    ckiti_redis_address a = good("rediss://h");
    CHECK(a.tls && a.ssl_verify && a.ssl_check_hostname);
    CHECK_EQ_U(12, a.tls_min_version);
    CHECK_STR("", a.ssl_ca_certs);
    a = good("rediss://h?ssl_ca_certs=/etc/ca%20s.pem&ssl_certfile=c.pem&ssl_keyfile=k.pem&ssl_cert_reqs=none&"
             "ssl_check_hostname=no&tls_min_version=1.3");
    CHECK(!a.ssl_verify && !a.ssl_check_hostname);
    CHECK_EQ_U(13, a.tls_min_version);
    CHECK_STR("/etc/ca s.pem", a.ssl_ca_certs);
    CHECK_STR("c.pem", a.ssl_certfile);
    CHECK_STR("k.pem", a.ssl_keyfile);
    CHECK(good("rediss+sentinel://h/main?ssl_cert_reqs=required").ssl_verify);
    bad("rediss://:hunter2@h?ssl_cert_reqs=optional", "ssl_cert_reqs must be required or none");
    bad("rediss://:hunter2@h?ssl_cert_reqs=", "ssl_cert_reqs must be required or none");
    bad("rediss://:hunter2@h?tls_min_version=1.1", "tls_min_version must be 1.2 or 1.3");
    bad("rediss://:hunter2@h?ssl_check_hostname=maybe", "true or false");
    bad("rediss://:hunter2@h?ssl_keyfile=k.pem", "without ssl_certfile");
}

CKIT_TEST(urls, who_says_how_to_encrypt_must_encrypt) {
    bad("redis://:hunter2@h?ssl_cert_reqs=none", "write rediss://");
    bad("unix://:hunter2@/run/redis.sock?tls_min_version=1.3", "write rediss://");
    ckiti_redis_address a;
    ckit_redis_options  options = CKIT_REDIS_OPTIONS_INIT;
    ckit_error          err = CKIT_ERROR_INIT;
    options.url = "redis://h";
    options.ssl_ca_certs = "/etc/ca.pem";
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, ckiti_redis_address_read(&a, &options, false, &err), &err);
    CHECK_CONTAINS("write rediss://", err.text);
    options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    options.url = "rediss://h";
    options.tls_min_version = 11;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_redis_address_read(&a, &options, false, NULL));
}

CKIT_TEST(options, they_win_over_the_url) {
    ckiti_redis_address a;
    ckit_redis_options  options = CKIT_REDIS_OPTIONS_INIT;
    options.url = "redis://u:p@h?socket_timeout=9&retries=5&l1_max_size_mb=3";
    options.username = "user";
    options.password = "pass";
    options.socket_timeout_ms = 7;
    options.retries = CKIT_REDIS_NO_RETRY;
    options.socket_keepalive = CKIT_REDIS_OFF;
    options.max_value_bytes = 5;
    CHECK_OK(ckiti_redis_address_read(&a, &options, true, NULL)); /* somebody else's parameter is passed over */
    CHECK_STR("user", a.username);
    CHECK_STR("pass", a.password);
    CHECK_EQ_U(7, a.socket_timeout_ms);
    CHECK_EQ_U(0, a.retries);
    CHECK_EQ_U(5, a.max_value_bytes);
    CHECK(!a.keepalive);
    options.max_value_bytes = UINT64_MAX;
    CHECK_STATUS(CKIT_E_CONFIGURATION, ckiti_redis_address_read(&a, &options, true, NULL));
    CHECK_STATUS(CKIT_E_MISUSE, ckiti_redis_address_read(&a, NULL, true, NULL));
}
