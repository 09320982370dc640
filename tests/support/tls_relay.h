/* support/tls_relay.h - stands between a client and a server, takes encryption off or leaves it, and does what tests
 * tell it: shows other certificates, renews keys, cuts, stalls, changes bytes. Listens on a free port of the loopback
 * interface; a thread for each connection, 256 connections at most. */
#ifndef CKIT_SUPPORT_TLS_RELAY_H
#define CKIT_SUPPORT_TLS_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_RELAY_CLIENTS 1024

struct tls_relay;
typedef struct tls_relay_client {
    struct tls_relay *relay;
    pthread_t         thread;
    int               client, server;
    bool              faulty;
} tls_relay_client;

typedef struct tls_relay {
    /* Set before the start. */
    uint16_t    target;       /* the server's port; what leaves for it is not encrypted, unless `raw` */
    const char *certificates; /* the directory of support/certificates.h */
    const char *certificate;  /* "server.pem" */
    bool        wants_client; /* a certificate signed by ca.pem */
    int         max_version;  /* TLS1_2_VERSION; 0: the newest */
    bool        raw;          /* bytes pass as they are */
    bool        silent;       /* never says a word */
    const char *greeting;     /* says only this, in plain text */
    bool        renews_keys;  /* before each portion of answers, and wants the client to do the same */
    bool        renegotiates; /* wants to, before the first answer of a faulty connection */

    /* May be changed at any time; for raw bytes from the server. */
    _Atomic int32_t faulty;   /* so many connections have the faults below, later ones are good; -1: all */
    _Atomic int64_t cut_at;   /* the connection is closed before this byte; -1: never */
    _Atomic int64_t stall_at; /* nothing more comes from this byte on; -1: never */
    _Atomic int64_t flip_at;  /* this byte is changed; -1: none */

    /* What it saw. */
    char            asked_for[256]; /* the name of the last client's greeting; "" when it told none */
    _Atomic int32_t handshakes;     /* that succeeded */
    _Atomic int32_t hung_up;        /* clients that took leave properly */

    /* Its own. */
    uint16_t         port;
    int              listener;
    pthread_t        thread;
    pthread_mutex_t  lock;
    _Atomic bool     stopping;
    void            *context;
    int              count;
    tls_relay_client clients[TLS_RELAY_CLIENTS];
} tls_relay;

/* `relay` zeroed but for the settings. Fails the test when it cannot. */
void tls_relay_start(tls_relay *relay);
void tls_relay_stop(tls_relay *relay);
/* The name that the last client told, copied. */
void tls_relay_asked_for(tls_relay *relay, char name[256]);

#endif
