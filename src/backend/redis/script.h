/* script.h - what the server does as one step. Called by hash; a server that does not know the hash gets the text. */
#ifndef CKITI_REDIS_SCRIPT_H
#define CKITI_REDIS_SCRIPT_H

#include "names.h"
#include "store.h"

typedef struct ckiti_redis_script {
    const char *hash; /* SHA-1 of the text, as the server names it */
    const char *text;
} ckiti_redis_script;

extern const ckiti_redis_script ckiti_redis_script_lock;    /* keys: lock, fence; token, lease: the fence, 0 = taken */
extern const ckiti_redis_script ckiti_redis_script_renew;   /* lock; token, lease: 1, or 0 = not ours */
extern const ckiti_redis_script ckiti_redis_script_release; /* lock; token: the same */
extern const ckiti_redis_script ckiti_redis_script_set;     /* lock, entry; token, value, ttl or "": the same */
extern const ckiti_redis_script ckiti_redis_script_index;   /* index; key, ttl or "": 1 */
extern const ckiti_redis_script ckiti_redis_script_touch;  /* entry, owner; beginning of index names, key, ttl or "": 1,
                                                               or 0 = nothing there */
extern const ckiti_redis_script ckiti_redis_script_remove; /* entry, owner; beginning of index names, key: removed */
extern const ckiti_redis_script ckiti_redis_script_replace; /* entry; expected, value: 1, or 0 = it holds another */

#define CKITI_REDIS_SCRIPTS 8u
extern const ckiti_redis_script *const ckiti_redis_scripts[CKITI_REDIS_SCRIPTS];

/* Writes the call of a script up to its first argument: `count` keys and arguments follow, the keys first. */
void ckiti_redis_put_script(ckiti_resp_writer *w, const ckiti_redis_script *script, bool by_text, size_t keys,
                            size_t count);
/* The server does not know the script. */
bool ckiti_redis_script_missing(const ckiti_resp_item *item);

/* A script whose answer is a number. */
typedef struct ckiti_redis_eval {
    ckiti_redis_call          call; /* filled by ckiti_redis_eval_init */
    const ckiti_redis_script *script;
    ckiti_redis_name          keys[2];
    size_t                    key_count;
    ckit_slice                args[3];
    size_t                    arg_count;
    int64_t                   answer;
    bool                      changes; /* the entry of its key */
    bool                      large;   /* arguments of more than CKITI_REDIS_LARGE_BYTES */
    bool                      by_text;
    bool                      missing;
} ckiti_redis_eval;

/* Fills the call in it, for whoever hands it over himself; the script goes by text then. */
void        ckiti_redis_eval_init(ckiti_redis_eval *eval, bool by_text, ckit_error *err);
ckit_status ckiti_redis_eval_run(ckiti_redis_store *store, ckit_slice key, ckiti_redis_eval *eval, uint64_t deadline_ms,
                                 ckit_error *err);

#endif
