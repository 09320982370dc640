/* failure.h - which status a failure of the server, the network or the protocol becomes. */
#ifndef CKITI_REDIS_FAILURE_H
#define CKITI_REDIS_FAILURE_H

#include "address.h"

/* Of a server, as errors name it: "host:port", "[::1]:port", or the path of a socket. No user, no password. */
typedef struct ckiti_redis_label {
    char text[80];
} ckiti_redis_label;
ckiti_redis_label ckiti_redis_label_of(const ckiti_redis_endpoint *at);
/* Puts it in front of the story, unless it stands there. `err` may be NULL. */
void ckiti_redis_name_server(ckit_error *err, const ckiti_redis_label *label);

/* The status for an error reply, by its first word. What may repeat a key or an argument is left out of the text. */
ckit_status ckiti_redis_refusal(ckit_error *err, ckit_slice reply);
/* A system call about the connection failed. */
ckit_status ckiti_redis_network(ckit_error *err, int sys_errno, const char *what);
/* The server did not answer in time. */
ckit_status ckiti_redis_late(ckit_error *err, const char *what);
/* What arrived is not what the protocol or the command allows. */
ckit_status ckiti_redis_garbage(ckit_error *err, const char *why);
ckit_status ckiti_redis_no_memory(ckit_error *err, const char *what);

#endif
