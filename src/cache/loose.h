/* cache/loose.h - locks that the store may hold for this process though nobody here holds them: their release failed, or
 * nobody heard that they were taken.
 *
 * Each would keep every process from computing its call until the lease ends. They are let go when the store answers,
 * by the job that makes up for changes (replay.h), whose lock guards the lists. What there is no room or memory for ends
 * with its lease.
 *
 * A forked child has a copy, and lets them go too: they are the parent's no more than the child's, and the store tells
 * each by its token, so twice does no harm. A lock that somebody in the parent holds is never among them. */
#ifndef CKITI_CACHE_LOOSE_H
#define CKITI_CACHE_LOOSE_H

#include <cachekit/ext/backend.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CKITI_LOOSE_MOST 1024u
#define CKITI_LOOSE_PORTION 128u /* let go in one go where the store can */

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
    ckiti_loose_lock *asked; /* taken: the job is asking for them */
    _Atomic size_t    count; /* of both; read by anybody */
} ckiti_loose;

void ckiti_loose_init(ckiti_loose *loose, const ckit_alloc *alloc);
void ckiti_loose_fini(ckiti_loose *loose);

/* False when it is not remembered. */
bool ckiti_loose_add(ckiti_loose *loose, ckit_slice key, const ckit_lease *lease, bool may_come, uint64_t due_ms,
                     uint64_t end_ms);
/* Takes up to `most` of those that are due, or of all, into `asked`, which is empty; returns how many. No key is among
 * them twice. What has come to its end is forgotten. */
size_t ckiti_loose_take(ckiti_loose *loose, uint64_t now_ms, bool all, size_t most);
/* The next of those asked, taken out; it is to be put or freed. NULL: there is none. */
ckiti_loose_lock *ckiti_loose_answered(ckiti_loose *loose);
/* Back again, due then. */
void ckiti_loose_put(ckiti_loose *loose, ckiti_loose_lock *lock, uint64_t due_ms);
void ckiti_loose_free(ckiti_loose *loose, ckiti_loose_lock *lock);
/* In a forked child: whoever was asking stayed behind. */
void ckiti_loose_forked(ckiti_loose *loose);

static inline bool ckiti_loose_is_empty(const ckiti_loose *loose) { return atomic_load(&loose->count) == 0; }

#endif
