/* cache/changes.h - the changes that a store has not taken: the newest of each key and scope, in the order in which
 * they are to be made up for.
 *
 * What is remembered is found by its name, not by walking: a key by its hash, a scope by its namespace, among at most
 * CKITI_CHANGES_SCOPES. So asking whether a key is to be believed costs the same with one change and with all that
 * there is room for.
 *
 * Not thread-safe: replay.h has the lock. `count` alone may be read by anybody. */
#ifndef CKITI_CACHE_CHANGES_H
#define CKITI_CACHE_CHANGES_H

#include <cachekit/buf.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CKITI_CHANGES_MOST 16384u      /* remembered one by one */
#define CKITI_CHANGES_BYTES (4u << 20) /* of their names */
#define CKITI_CHANGES_SCOPES 64u       /* among them */
#define CKITI_CHANGES_BUCKETS 4096u
#define CKITI_CHANGES_SCOPE_BUCKETS 64u

typedef enum ckiti_change_kind { CKITI_CHANGE_KEY, CKITI_CHANGE_SCOPE } ckiti_change_kind;

typedef struct ckiti_change {
    struct ckiti_change *next; /* in its list */
    struct ckiti_change *prev;
    struct ckiti_change *chain; /* in its bucket */
    uint64_t             hash;
    uint64_t             serial; /* of its newest failure, never 0 */
    uint64_t             due_ms; /* in `later` */
    ckiti_change_kind    kind;
    ckit_scope_kind      scope;
    uint32_t             refusals; /* for good, in a row */
    uint32_t             key_len;  /* KEY: the key; SCOPE: the namespace's name */
    uint32_t             function_len;
    bool                 late; /* it may still take effect */
    bool                 once; /* made up for once since */
    bool                 is_later;
    bool                 listed; /* of `everything` */
    bool    rest; /* of `everything`: what tells whose it is has been removed, other keys stay distrusted */
    uint8_t bytes[];
} ckiti_change;

typedef struct ckiti_change_list {
    ckiti_change *first;
    ckiti_change *last;
} ckiti_change_list;

typedef struct ckiti_changes {
    const ckit_alloc *alloc;
    uint64_t          seed;
    _Atomic size_t    count;
    ckiti_change_list soon;  /* in the order of their failures */
    ckiti_change_list later; /* by due_ms */
    ckiti_change    **keys;  /* NULL until one is remembered */
    ckiti_change     *scopes[CKITI_CHANGES_SCOPE_BUCKETS];
    unsigned          scope_count;
    size_t            bytes;
    uint64_t          serial;
    ckiti_change     *everything; /* made in the beginning, so that it needs no memory when there is none */
    uint64_t          looked_at;  /* records that were compared with a name, ever: what finding costs */
} ckiti_changes;

/* CKIT_E_NO_MEMORY. Zeroed before. */
ckit_status ckiti_changes_init(ckiti_changes *c, const ckit_alloc *alloc, uint64_t seed);
/* Accepts one that is all zero. */
void ckiti_changes_fini(ckiti_changes *c);

uint64_t ckiti_changes_hash(const ckiti_changes *c, ckit_slice key);
/* NULL where nothing is remembered of it by itself. */
ckiti_change *ckiti_changes_find_key(ckiti_changes *c, ckit_slice key, uint64_t hash);
ckiti_change *ckiti_changes_find_scope(ckiti_changes *c, const ckit_scope *scope);
/* What the store has under the key is older than what is known: it failed itself, or a scope did that it may belong
 * to. */
bool ckiti_changes_doubt(ckiti_changes *c, ckit_slice key, uint64_t hash);
/* What makes every other record needless; NULL: nothing does. */
static inline ckiti_change *ckiti_changes_covering(const ckiti_changes *c) {
    return c->everything->listed && !c->everything->rest ? c->everything : NULL;
}

/* Remembers one that is not. NULL: no room, or no memory for it. `late`: it may still take effect. */
ckiti_change *ckiti_changes_add_key(ckiti_changes *c, ckit_slice key, uint64_t hash, bool late);
ckiti_change *ckiti_changes_add_scope(ckiti_changes *c, const ckit_scope *scope, bool late);
/* It failed again: behind all others. */
void ckiti_changes_renew(ckiti_changes *c, ckiti_change *change, bool late);
/* Not before `due_ms`. */
void ckiti_changes_put_off(ckiti_changes *c, ckiti_change *change, uint64_t due_ms);
void ckiti_changes_forget(ckiti_changes *c, ckiti_change *change);
/* One record takes the place of all. Returns how many those were. */
size_t ckiti_changes_merge(ckiti_changes *c);

static inline ckit_slice ckiti_change_name(const ckiti_change *change) {
    return ckit_slice_of(change->bytes, change->key_len);
}
static inline ckit_slice ckiti_change_function(const ckiti_change *change) {
    return ckit_slice_of(change->bytes + change->key_len, change->function_len);
}

#endif
