#include "support/tls_relay.h"

#include "support/test.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTION 65536

/* ---- sockets ----------------------------------------------------------------------------------------------------- */

static int connect_to(uint16_t port) {
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    (void)connect(fd, (struct sockaddr *)&name, sizeof name); /* when nobody is there the first byte tells */
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void wait_for_end(int fd) {
    char byte;
    while (recv(fd, &byte, 1, 0) > 0) {}
}

/* Bit 0: the client has something, bit 1: the server. */
static unsigned wait_for_either(int client, int server) {
    struct pollfd fds[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    (void)poll(fds, 2, -1);
    return (fds[0].revents != 0 ? 1u : 0u) | (fds[1].revents != 0 ? 2u : 0u);
}

/* ---- bytes as they are ------------------------------------------------------------------------------------------- */

/* False when the connection is to end. */
static bool pass_answer(tls_relay_client *c, char *bytes, size_t len, int64_t *passed) {
    tls_relay *r = c->relay;
    int64_t cut = c->faulty ? r->cut_at : -1, stall = c->faulty ? r->stall_at : -1, flip = c->faulty ? r->flip_at : -1;
    int64_t limit = cut >= 0 ? cut : stall;
    if (flip >= *passed && flip < *passed + (int64_t)len) {
        bytes[flip - *passed] ^= 0x20;
    }
    if (limit >= 0 && *passed + (int64_t)len > limit) {
        len = limit > *passed ? (size_t)(limit - *passed) : 0;
        (void)send_all(c->client, bytes, len);
        if (stall >= 0) {
            wait_for_end(c->client);
        }
        return false;
    }
    *passed += (int64_t)len;
    return send_all(c->client, bytes, len);
}

static void relay_raw(tls_relay_client *c) {
    static _Thread_local char bytes[PORTION];
    int64_t                   passed = 0;
    for (bool going = true; going;) {
        unsigned who = wait_for_either(c->client, c->server);
        ssize_t  n = recv((who & 1u) != 0 ? c->client : c->server, bytes, sizeof bytes, 0);
        if (n <= 0) {
            return;
        }
        going = (who & 1u) != 0 ? send_all(c->server, bytes, (size_t)n) : pass_answer(c, bytes, (size_t)n, &passed);
    }
}

/* ---- encryption taken off ---------------------------------------------------------------------------------------- */

static int note_name(SSL *ssl, int *alert, void *arg) {
    tls_relay  *r = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    pthread_mutex_lock(&r->lock);
    snprintf(r->asked_for, sizeof r->asked_for, "%s", name == NULL ? "" : name);
    pthread_mutex_unlock(&r->lock);
    return SSL_TLSEXT_ERR_OK;
}

static bool pass_encrypted(tls_relay_client *c, SSL *ssl, const char *bytes, int len) {
    if (c->relay->renews_keys && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1) {
        return false;
    }
    if (c->relay->renegotiates && c->faulty) {
        c->faulty = false;
        if (SSL_renegotiate(ssl) != 1 || SSL_do_handshake(ssl) != 1) {
            return false;
        }
    }
    return SSL_write(ssl, bytes, len) == len;
}

static void relay_decrypted(tls_relay_client *c, SSL *ssl) {
    static _Thread_local char bytes[PORTION];
    for (bool going = true; going;) {
        unsigned who = SSL_pending(ssl) > 0 ? 1u : wait_for_either(c->client, c->server);
        if ((who & 1u) != 0) {
            int n = SSL_read(ssl, bytes, sizeof bytes);
            if (n <= 0 && SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ) {
                continue; /* no bytes of the client's, but new keys */
            }
            if (n <= 0) {
                c->relay->hung_up += SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
                return;
            }
            going = send_all(c->server, bytes, (size_t)n);
        } else {
            ssize_t n = recv(c->server, bytes, sizeof bytes, 0);
            going = n > 0 && pass_encrypted(c, ssl, bytes, (int)n);
        }
    }
}

static void serve_encrypted(tls_relay_client *c) {
    SSL *ssl = SSL_new(c->relay->context);
    CHECK(ssl != NULL && SSL_set_fd(ssl, c->client) == 1);
    if (SSL_accept(ssl) == 1) {
        c->relay->handshakes++;
        relay_decrypted(c, ssl);
    }
    SSL_free(ssl);
}

static void make_context(tls_relay *r) {
    char     path[600];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context != NULL);
    snprintf(path, sizeof path, "%s/%s", r->certificates, r->certificate == NULL ? "server.pem" : r->certificate);
    CHECK_EQ_I(1, SSL_CTX_use_certificate_chain_file(context, path));
    snprintf(path, sizeof path, "%s/server.key", r->certificates);
    CHECK_EQ_I(1, SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM));
    snprintf(path, sizeof path, "%s/ca.pem", r->certificates);
    if (r->wants_client) {
        CHECK_EQ_I(1, SSL_CTX_load_verify_file(context, path));
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (r->max_version != 0) {
        CHECK_EQ_I(1, SSL_CTX_set_max_proto_version(context, r->max_version));
    }
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_tlsext_servername_callback(context, note_name);
    SSL_CTX_set_tlsext_servername_arg(context, r);
    r->context = context;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void *serve(void *arg) {
    tls_relay_client *c = arg;
    if (c->relay->silent) {
        wait_for_end(c->client);
    } else if (c->relay->greeting != NULL) {
        (void)send_all(c->client, c->relay->greeting, strlen(c->relay->greeting));
        wait_for_end(c->client);
    } else if (c->relay->raw) {
        relay_raw(c);
    } else {
        serve_encrypted(c);
    }
    shutdown(c->client, SHUT_RDWR);
    shutdown(c->server, SHUT_RDWR);
    return NULL;
}

static void *run(void *arg) {
    tls_relay *r = arg;
    while (r->count < TLS_RELAY_CLIENTS) {
        tls_relay_client *c = &r->clients[r->count];
        c->client = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
        if (c->client < 0 || r->stopping) {
            if (c->client >= 0) {
                close(c->client);
            }
            return NULL;
        }
        c->relay = r;
        c->server = connect_to(r->target);
        c->faulty = r->faulty != 0;
        r->faulty -= r->faulty > 0;
        CHECK_EQ_I(0, pthread_create(&c->thread, NULL, serve, c));
        r->count++;
    }
    FAIL("too many connections");
    return NULL;
}

void tls_relay_start(tls_relay *r) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          len = sizeof name;
    pthread_mutex_init(&r->lock, NULL);
    if (!r->raw && !r->silent && r->greeting == NULL) {
        make_context(r);
    }
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(r->listener >= 0 && bind(r->listener, (struct sockaddr *)&name, len) == 0 && listen(r->listener, 64) == 0);
    CHECK_EQ_I(0, getsockname(r->listener, (struct sockaddr *)&name, &len));
    r->port = ntohs(name.sin_port);
    CHECK_EQ_I(0, pthread_create(&r->thread, NULL, run, r));
}

void tls_relay_stop(tls_relay *r) {
    r->stopping = true;
    shutdown(r->listener, SHUT_RDWR); /* wakes whoever accepts */
    CHECK_EQ_I(0, pthread_join(r->thread, NULL));
    for (int i = 0; i < r->count; i++) {
        shutdown(r->clients[i].client, SHUT_RDWR);
        shutdown(r->clients[i].server, SHUT_RDWR);
        CHECK_EQ_I(0, pthread_join(r->clients[i].thread, NULL));
        close(r->clients[i].client);
        close(r->clients[i].server);
    }
    close(r->listener);
    SSL_CTX_free(r->context);
    pthread_mutex_destroy(&r->lock);
}

void tls_relay_asked_for(tls_relay *r, char name[256]) {
    pthread_mutex_lock(&r->lock);
    memcpy(name, r->asked_for, sizeof r->asked_for);
    pthread_mutex_unlock(&r->lock);
}
