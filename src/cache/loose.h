/* cache/loose.h - locks that the store may hold for this process though nobody here holds them: their release failed, or
 * nobody heard that they were taken.
 *
 * Each would keep every process from computing its call until the lease ends. They are let go when the store answers,
 * by the job that makes up for changes (replay.h), whose lock guards the list. What there is no room or memory for ends
 * with its lease. */
#ifndef CKITI_CACHE_LOOSE_H
#define CKITI_CACHE_LOOSE_H

#include <cachekit/ext/backend.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CKITI_LOOSE_MOST 1024u

typedef struct ckiti_loose_lock {
    struct ckiti_loose_lock *next;
    uint64_t                 due_ms;
    uint64_t                 end_ms; /* it is forgotten then: the lease is over, or what may come has not come */
    ckit_lease               lease;
    bool                     may_come; /* the store may take it yet: once let go, it is looked for once more */
    size_t                   key_len;
    uint8_t                  key[];
} ckiti_loose_lock;

typedef struct ckiti_loose {
    const ckit_alloc *alloc;
    ckiti_loose_lock *first; /* by due_ms */
    ckiti_loose_lock *last;
    _Atomic size_t    count; /* read by anybody */
} ckiti_loose;

void ckiti_loose_init(ckiti_loose *loose, const ckit_alloc *alloc);
void ckiti_loose_fini(ckiti_loose *loose);

/* False when it is not remembered. */
bool ckiti_loose_add(ckiti_loose *loose, ckit_slice key, const ckit_lease *lease, bool may_come, uint64_t due_ms,
                     uint64_t end_ms);
/* The first, taken out; NULL: none is due at `now_ms`. */
ckiti_loose_lock *ckiti_loose_take(ckiti_loose *loose, uint64_t now_ms);
/* Back again, due then. */
void ckiti_loose_put(ckiti_loose *loose, ckiti_loose_lock *lock, uint64_t due_ms);
void ckiti_loose_free(const ckiti_loose *loose, ckiti_loose_lock *lock);

static inline bool ckiti_loose_is_empty(const ckiti_loose *loose) { return atomic_load(&loose->count) == 0; }

#endif
