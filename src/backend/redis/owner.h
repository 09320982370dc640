/* owner.h - whose an entry is, when its key does not tell: a record beside the entry, and an index of its namespace. */
#ifndef CKITI_REDIS_OWNER_H
#define CKITI_REDIS_OWNER_H

#include "script.h"

/* The key is one that tells namespace and function itself: no bookkeeping is needed. */
bool ckiti_redis_key_tells(ckit_slice key);

/* What is left of a key behind the tenants in front of it ("t:TENANT:"), which others may have put there. */
ckit_slice ckiti_redis_behind_tenants(ckit_slice key);

/* What has to be written beside an entry. */
typedef struct ckiti_redis_registration {
    const ckiti_redis_naming *naming;
    ckit_slice                key;
    const ckit_entry_info    *info;
    bool                      by_text;
    char                      hash[CKITI_REDIS_HASH_DIGITS];
} ckiti_redis_registration;

#define CKITI_REDIS_REGISTRATION_REPLIES 2u
void ckiti_redis_registration_init(ckiti_redis_registration *r, const ckiti_redis_naming *naming, ckit_slice key,
                                   const ckit_entry_info *info);
/* Two commands: the index, then the record. */
void ckiti_redis_registration_write(const ckiti_redis_registration *r, ckiti_resp_writer *w);

/* A record taken apart; false when it is none. Slices point into it. */
typedef struct ckiti_redis_owner {
    ckit_slice hash;
    ckit_slice namespace_name;
    ckit_slice function;
} ckiti_redis_owner;
bool ckiti_redis_owner_read(ckit_slice record, ckiti_redis_owner *out);

#endif
