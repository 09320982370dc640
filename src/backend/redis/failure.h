/* failure.h - which status a failure of the server, the network or the protocol becomes. */
#ifndef CKITI_REDIS_FAILURE_H
#define CKITI_REDIS_FAILURE_H

#include "address.h"

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
