/* cache/lease.h - the store's lock of a call, renewed for as long as its holder needs it.
 *
 *     ckiti_lease_hold(cache, key, &lease, taken_ms, &held);   the lock is ours: it is renewed from now on
 *     ... the function runs, however long; its result is written ...
 *     ckiti_lease_drop(cache, &held);                          no longer; then the lock is released
 *
 * A lock lives for lock_lease_ms and is renewed a third of that after it was taken or renewed last, until it is
 * dropped, lost to somebody else, or could not be renewed before its end. This is not left to the cache's workers,
 * which may all be busy with functions. One thread does it, started with the first lock that is held; while the store
 * is asked, another looks after the other locks, so that a part of the store that hangs (a node of a cluster) costs its
 * own locks alone. There are CKITI_LEASE_THREADS of them at most, and an attempt takes a sixth of the lease at most
 * where the store minds its time limit: some thirty locks may hang at once before the next is renewed late.
 *
 * Locks that were taken at the same moment, by a batch, are renewed together where the store can do that, up to
 * CKITI_LEASE_PORTION in one go. */
#ifndef CKITI_CACHE_LEASE_H
#define CKITI_CACHE_LEASE_H

#include "cache/workers.h"

#include <cachekit/ext/backend.h>

struct ckit_cache;
typedef struct ckiti_held ckiti_held;

#define CKITI_LEASE_THREADS 8u
#define CKITI_LEASE_PORTION 1024u

/* Renews what is due. */
typedef struct ckiti_renewer {
    ckiti_job          job;
    struct ckit_cache *cache;
    ckiti_held        *asked; /* those for which the store is asked, without the lock; not in the list */
    enum { CKITI_RENEWER_IDLE, CKITI_RENEWER_WAITS, CKITI_RENEWER_RUNS } state;
} ckiti_renewer;

typedef struct ckiti_leases {
    pthread_mutex_t mu;    /* guards the rest and what is in the list; only the pool's lock comes after it */
    ckiti_held     *first; /* what is to be renewed, the earliest first */
    ckiti_held     *last;
    ckiti_renewer   renewers[CKITI_LEASE_THREADS];
    uint32_t        forks; /* that led to this process */
    ckiti_workers   pool;
} ckiti_leases;

ckit_status ckiti_leases_init(struct ckit_cache *cache);
/* Ends the threads. Nothing is held any more. */
void ckiti_leases_stop(ckiti_leases *leases);
void ckiti_leases_fini(ckiti_leases *leases);

/* Renews a lock that was taken at `taken_ms`. *out stays NULL when there is no memory for it: then it ends in its
 * time. */
void ckiti_lease_hold(struct ckit_cache *cache, ckit_slice key, const ckit_lease *lease, uint64_t taken_ms,
                      ckiti_held **out);
/* Until when the lock is ours for sure; 0 when it has been lost. */
uint64_t ckiti_lease_end(struct ckit_cache *cache, const ckiti_held *held);
/* Renews it no longer, does not wait, and leaves NULL. Accepts a pointer to NULL. */
void ckiti_lease_drop(struct ckit_cache *cache, ckiti_held **held);

void ckiti_leases_fork_prepare(ckiti_leases *leases);
void ckiti_leases_fork_parent(ckiti_leases *leases);
/* The locks are the parent's to renew. */
void ckiti_leases_fork_child(ckiti_leases *leases);

#endif
