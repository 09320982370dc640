/* fake_server.h - a server for tests that does what it is told: answers, cuts, stalls, talks nonsense. One thread, on a
 * free port of the loopback interface.
 *
 * It knows HELLO, AUTH, SELECT, CLIENT, PING (+PONG), PTTL (60000), GET (the key itself, as value), MGET, SET and
 * EXISTS. */
#ifndef CKITI_REDIS_FAKE_SERVER_H
#define CKITI_REDIS_FAKE_SERVER_H

#include <cachekit/types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef struct fake_server fake_server;

/* What to answer to a command, or NULL for the usual. `words` are its words, each with a zero behind it. */
typedef const char *(*fake_server_told)(fake_server *s, const char *words, uint64_t count);

struct fake_server {
    pthread_t        thread;
    int              listener;
    int              stop_pipe[2];
    char             url[64];
    _Atomic uint64_t connections; /* accepted so far */
    _Atomic uint64_t commands;    /* answered so far, logins included */

    /* What it does wrong; may be changed at any time. */
    _Atomic int64_t cut_after;   /* bytes of answers (without logins) after which the connection is closed; -1: never */
    _Atomic int64_t stall_after; /* or after which nothing more comes on that connection; -1: never */
    _Atomic int32_t faulty;      /* so many connections have the faults above, later ones are good; -1: all */
    _Atomic int32_t delay_ms;    /* before each portion of answers */
    _Atomic(const char *)     instead; /* sent in place of every answer, once the login is over; NULL: answers */
    _Atomic(const char *)     before;  /* sent in front of every portion of answers */
    _Atomic(const char *)     after;   /* sent behind */
    _Atomic(const char *)     hello;   /* the answer to HELLO; NULL: a good one */
    _Atomic(const char *)     auth;    /* the answer to AUTH; NULL: +OK */
    _Atomic(fake_server_told) told;    /* asked first; NULL: the usual answers */
    void                     *context; /* for it */
};

/* The word behind `word`. */
static inline const char *fake_server_next(const char *word) { return word + strlen(word) + 1; }

void fake_server_start(fake_server *s);
void fake_server_stop(fake_server *s);

#endif
