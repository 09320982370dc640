/* keys.h - what is asked about a key, or done to it, without its value. */
#ifndef CKITI_REDIS_KEYS_H
#define CKITI_REDIS_KEYS_H

#include "script.h"

/* `COMMAND name`, answered with a number. */
typedef struct ckiti_redis_count {
    ckiti_redis_call call;
    const char      *command;
    ckiti_redis_name name;
    uint64_t         argument; /* behind the name; UINT64_MAX: none */
    int64_t          answer;
} ckiti_redis_count;
void ckiti_redis_count_init(ckiti_redis_count *count, const char *command, ckiti_redis_name name, ckit_error *err);

#endif
