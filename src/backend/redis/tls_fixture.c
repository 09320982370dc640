#include "tls_fixture.h"

#include <cachekit/buf.h>
#include <stdio.h>
#include <stdlib.h>

redis_server tls_server;
char         tls_dir[SCRATCH_PATH];

static void stop(void) { redis_server_stop(&tls_server); }

void need_server(void) {
    char why[200];
    if (tls_dir[0] == '\0') {
        scratch_make(tls_dir);
        certificates_make(tls_dir);
    }
    if (tls_server.pid == 0) {
        if (!redis_server_start_tls(&tls_server, tls_dir, NULL, why, sizeof why)) {
            SKIP("%s", why);
        }
        atexit(stop);
    }
}

void name_file(char path[600], const char *file) { snprintf(path, 600, "%s/%s", tls_dir, file); }

void fixture_init(fixture *f, uint16_t port) {
    memset(f, 0, sizeof *f);
    snprintf(f->url, sizeof f->url, "rediss://127.0.0.1:%u", port == 0 ? tls_server.tls_port : port);
    name_file(f->ca, "ca.pem");
    f->options = (ckit_redis_options)CKIT_REDIS_OPTIONS_INIT;
    f->options.url = f->url;
    f->options.ssl_ca_certs = f->ca;
    f->options.socket_timeout_ms = 20000;
    f->options.socket_connect_timeout_ms = 20000;
    f->options.backoff_max_ms = 50;
}

ckit_status try_open(fixture *f, ckit_error *err) {
    ckit_status st = ckit_redis_open(&f->options, NULL, &f->backend, err);
    f->ops = st == CKIT_OK ? ckit_backend_operations(f->backend) : NULL;
    f->self = st == CKIT_OK ? ckit_backend_self(f->backend) : NULL;
    return st;
}

void fixture_open(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_OK_ERR(try_open(f, &err), &err);
}

void fixture_close(fixture *f) { ckit_backend_close(f->backend); }

void put(fixture *f, const char *key, ckit_slice value) {
    ckit_error      err = CKIT_ERROR_INIT;
    ckit_entry_info info = {.ttl_ms = 600000};
    CHECK_OK_ERR(f->ops->set(f->self, S(key), value, &info, CKIT_NO_DEADLINE, &err), &err);
}

ckit_status get(fixture *f, const char *key, ckit_slice expected, ckit_error *err) {
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

void expect_use(fixture *f) {
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open(f);
    put(f, "key", S("value"));
    CHECK_OK_ERR(get(f, "key", S("value"), &err), &err);
    fixture_close(f);
}

void expect_refusal(fixture *f, ckit_status status, const char *text) {
    ckit_error err = CKIT_ERROR_INIT;
    fixture_open(f);
    CHECK_STATUS_ERR(status, get(f, "key", S("value"), &err), &err);
    CHECK_CONTAINS(text, err.text);
    fixture_close(f);
}

void expect_wrong_option(fixture *f, const char *text) {
    ckit_error err = CKIT_ERROR_INIT;
    CHECK_STATUS_ERR(CKIT_E_CONFIGURATION, try_open(f, &err), &err);
    CHECK_CONTAINS(text, err.text);
}

void relay_start(tls_relay *relay) {
    need_server();
    relay->target = tls_server.port;
    relay->certificates = tls_dir;
    relay->cut_at = relay->stall_at = relay->flip_at = -1;
    tls_relay_start(relay);
}

void fixture_init_behind(fixture *f, tls_relay *relay) {
    relay_start(relay);
    fixture_init(f, relay->port);
}
