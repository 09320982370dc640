/* support/redis_server.h - a real redis-server for tests and benchmarks: on a private port of the loopback interface
 * and a UNIX socket in a scratch directory.
 *
 *     redis_server server;
 *     char         why[200];
 *     if (!redis_server_start(&server, NULL, why, sizeof why)) SKIP("%s", why);
 *     ... server.url, server.unix_url ...
 *     redis_server_stop(&server);
 *
 * Uses no check macros, so that programs without them can use it. A server that its program did not stop ends with
 * it. */
#ifndef CKIT_SUPPORT_REDIS_SERVER_H
#define CKIT_SUPPORT_REDIS_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct redis_server {
    pid_t    pid;   /* 0: not running */
    pid_t    owner; /* who started it: a forked child does not stop it */
    uint16_t port;
    int      held[2]; /* sockets that keep others from its ports, also while it does not run */
    char     dir[32];
    char     socket[64];
    char     url[64];      /* redis://127.0.0.1:PORT/0 */
    char     unix_url[80]; /* unix:///... */
    uint16_t tls_port;     /* 0: none */
    char     certificates[512];
    /* The server's wall clock in microseconds. 0: the machine's. Tests that own time write here. NULL where that cannot
     * be: the server was built in a way that does not let its clock be replaced. */
    _Atomic int64_t   *clock_us;
    const char *const *arguments;
    bool               sentinel; /* started with a configuration of its own */
    char               clock_path[64];
} redis_server;

/* Starts it and waits until it answers. `arguments` (NULL-terminated, or NULL) go behind the others and stay where they
 * are. False with a reason when there is no redis-server or it does not come up. */
bool redis_server_start(redis_server *server, const char *const *arguments, char *why, size_t size);
/* The same with the clock of another one: moving that moves both. */
bool redis_server_start_beside(redis_server *server, const redis_server *other, const char *const *arguments, char *why,
                               size_t size);
/* The same as a sentinel, with the lines of a configuration. */
bool redis_server_start_sentinel(redis_server *server, const char *lines, char *why, size_t size);
/* A port of the loopback interface that nobody else is given, as long as the returned socket is open (-1: there is
 * none). A server can listen there all the same: Linux lets two sockets have one port when both have SO_REUSEADDR and
 * at most one listens. */
int redis_server_hold_port(uint16_t *port);
/* The same with a port for encrypted connections besides (`tls_port`): server.pem, server.key and ca.pem are those in
 * the directory `certificates` (support/certificates.h), whose path is copied. Clients need none of their own, unless
 * the arguments say otherwise. */
bool redis_server_start_tls(redis_server *server, const char *certificates, const char *const *arguments, char *why,
                            size_t size);
/* Ends it and removes its directory. Fine when it does not run. */
void redis_server_stop(redis_server *server);

/* Kills it at once; starts it again, empty, at the same place. */
void redis_server_kill(redis_server *server);
bool redis_server_restart(redis_server *server, char *why, size_t size);
/* It does nothing, and goes on. */
void redis_server_freeze(redis_server *server);
void redis_server_thaw(redis_server *server);

/* Sends a line ("FLUSHALL", "CONFIG SET maxmemory 1mb") on a connection of its own and returns the first line of the
 * answer, up to 255 bytes; "" when there is none. */
const char *redis_server_tell(redis_server *server, const char *line, char answer[256]);
/* The same for an answer that is one text: all of it, up to `size` - 1 bytes. */
const char *redis_server_ask(redis_server *server, const char *line, char *answer, size_t size);

#endif
