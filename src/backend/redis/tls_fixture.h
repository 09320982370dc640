/* tls_fixture.h - a server that speaks TLS, its certificates, and a store that is to use it. */
#ifndef CKITI_REDIS_TLS_FIXTURE_H
#define CKITI_REDIS_TLS_FIXTURE_H

#include "support/certificates.h"
#include "support/redis_server.h"
#include "support/scratch.h"
#include "support/test.h"
#include "support/tls_relay.h"

#include <cachekit/ext/backend.h>
#include <cachekit/redis.h>

extern redis_server tls_server;            /* after need_server */
extern char         tls_dir[SCRATCH_PATH]; /* its certificates and keys */

/* Starts the server that all tests of a program share; skips the test where there is none. */
void need_server(void);
/* The path of a file in tls_dir. */
void name_file(char path[600], const char *file);

typedef struct fixture {
    ckit_redis_options      options;
    char                    url[256], ca[600], certificate[600], key[600];
    ckit_backend           *backend;
    const ckit_backend_ops *ops;
    void                   *self;
} fixture;

/* On `port` of 127.0.0.1; 0: the server's own. Trusts ca.pem. f->options may be changed before fixture_open. */
void        fixture_init(fixture *f, uint16_t port);
void        fixture_open(fixture *f);
ckit_status try_open(fixture *f, ckit_error *err);
void        fixture_close(fixture *f);

void put(fixture *f, const char *key, ckit_slice value);
/* When it succeeds the value is right. */
ckit_status get(fixture *f, const char *key, ckit_slice expected, ckit_error *err);

/* Opens, stores, reads and closes. */
void expect_use(fixture *f);
/* The first operation fails so, and says so. */
void expect_refusal(fixture *f, ckit_status status, const char *text);
/* It does not even open. */
void expect_wrong_option(fixture *f, const char *text);

/* A relay with certificates of its own in front of the server's plain port, faultless until told otherwise; starts the
 * server if need be. */
void relay_start(tls_relay *relay);
/* The store is to use such a relay, which is started. */
void fixture_init_behind(fixture *f, tls_relay *relay);

#endif
