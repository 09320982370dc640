#include "cache/lease.h"

#include "cache/core.h"
#include "cache/store.h"

struct ckiti_held {
    ckiti_held *next;
    ckiti_held *prev;
    uint64_t    due_ms; /* when it is renewed next */
    uint64_t    end_ms; /* of the lease, as far as we know; 0: lost */
    ckit_lease  lease;
    bool        listed;
    bool        asked;   /* the store is; `next` is the next one of those for which it is asked */
    bool        dropped; /* meanwhile: whoever asks frees it */
    size_t      key_len;
    uint8_t     key[];
};

static void renew_due(ckiti_job *job);

ckit_status ckiti_leases_init(ckit_cache *cache) {
    ckiti_leases *leases = &cache->leases;
    pthread_mutex_init(&leases->mu, NULL); /* the rest is zero, as the cache was allocated */
    for (size_t i = 0; i < CKITI_LEASE_THREADS; i++) {
        leases->renewers[i] = (ckiti_renewer){.job.run = renew_due, .cache = cache};
    }
    return ckiti_workers_init(&leases->pool, CKITI_LEASE_THREADS, CKITI_LEASE_THREADS, cache->clock, cache->alloc);
}

void ckiti_leases_stop(ckiti_leases *leases) { ckiti_workers_stop(&leases->pool); }

void ckiti_leases_fini(ckiti_leases *leases) {
    ckiti_workers_fini(&leases->pool);
    pthread_mutex_destroy(&leases->mu);
}

/* ---- the list, with the lock held -------------------------------------------------------------------------------- */

static void unlink_held(ckiti_leases *leases, ckiti_held *held) {
    *(held->prev != NULL ? &held->prev->next : &leases->first) = held->next;
    *(held->next != NULL ? &held->next->prev : &leases->last) = held->prev;
    held->next = held->prev = NULL;
    held->listed = false;
}

/* Nearly always at the end: what is taken later is due later. Elsewhere `near` is where the search begins that it would
 * end at; or NULL. */
static void link_held(ckiti_leases *leases, ckiti_held *held, ckiti_held *near) {
    ckiti_held *before = near != NULL && near->due_ms == held->due_ms ? near : leases->last;
    while (before != NULL && before->due_ms > held->due_ms) {
        before = before->prev;
    }
    held->prev = before;
    held->next = before != NULL ? before->next : leases->first;
    *(held->prev != NULL ? &held->prev->next : &leases->first) = held;
    *(held->next != NULL ? &held->next->prev : &leases->last) = held;
    held->listed = true;
}

/* Somebody comes when the first is due. When all are asking the store, whoever is answered first looks for more. */
static void keep_watch(ckiti_leases *leases) {
    ckiti_renewer *idle = NULL;
    if (leases->first == NULL) {
        return;
    }
    for (size_t i = 0; i < CKITI_LEASE_THREADS; i++) {
        ckiti_renewer *r = &leases->renewers[i];
        if (r->state == CKITI_RENEWER_WAITS && r->job.due_ms <= leases->first->due_ms) {
            return;
        }
        idle = idle == NULL && r->state == CKITI_RENEWER_IDLE ? r : idle;
    }
    if (idle != NULL && ckiti_workers_submit(&leases->pool, &idle->job, leases->first->due_ms) == CKIT_OK) {
        idle->state = CKITI_RENEWER_WAITS;
    }
}

/* ---- renewing ---------------------------------------------------------------------------------------------------- */

static void free_held(ckit_cache *cache, ckiti_held *held) {
    ckiti_free(cache->alloc, held, sizeof *held + held->key_len);
}

/* A third of the lease before the next attempt; a failed one is repeated sooner. */
static uint64_t next_due(const ckit_cache *cache, uint64_t now_ms, bool failed) {
    uint64_t pause_ms = cache->options.lock_lease_ms / (failed ? 12u : 3u);
    return ckiti_time_after(now_ms, pause_ms > 0 ? pause_ms : 1);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Until when the store may take to renew locks of which the first to end does so at `end_ms`. */
static uint64_t limit_of(const ckit_cache *cache, uint64_t end_ms, uint64_t now_ms) {
    end_ms = earlier(end_ms, ckiti_time_after(now_ms, cache->options.lock_lease_ms / 6u));
    return earlier(ckiti_store_deadline(cache, 0), end_ms > now_ms ? end_ms : now_ms + 1);
}

/* What the store is asked, without the lock. */
typedef struct portion {
    size_t      count;
    ckit_slice  keys[CKITI_LEASE_PORTION];
    ckit_lease  leases[CKITI_LEASE_PORTION];
    ckit_status answers[CKITI_LEASE_PORTION];
} portion;

static ckit_status ask_one(ckit_cache *cache, const ckiti_held *held, uint64_t now_ms) {
    ckit_error  why = CKIT_ERROR_INIT;
    ckit_slice  key = ckit_slice_of(held->key, held->key_len);
    ckit_status st = cache->ops->lock_renew(cache->store, key, &held->lease, cache->options.lock_lease_ms,
                                            limit_of(cache, held->end_ms, now_ms), &why);
    if (st != CKIT_OK && st != CKIT_MISS) {
        ckiti_store_failed(cache, "lock renewal", key, &why);
    }
    return st;
}

static void ask_together(ckit_cache *cache, const ckiti_held *first, portion *p, uint64_t now_ms) {
    ckit_error why = CKIT_ERROR_INIT;
    uint64_t   end_ms = first->end_ms;
    p->count = 0;
    for (const ckiti_held *held = first; held != NULL; held = held->next) {
        p->keys[p->count] = ckit_slice_of(held->key, held->key_len);
        p->leases[p->count++] = held->lease;
        end_ms = earlier(end_ms, held->end_ms);
    }
    ckit_status whole =
        cache->ops->lock_renew_many(cache->store, p->keys, p->leases, p->count, cache->options.lock_lease_ms,
                                    limit_of(cache, end_ms, now_ms), p->answers, &why);
    for (size_t i = 0; i < p->count; i++) {
        p->answers[i] = whole != CKIT_OK ? whole : p->answers[i];
    }
    if (whole != CKIT_OK) {
        ckiti_store_failed(cache, "lock renewal", p->keys[0], &why);
    }
}

/* With the lock held: what the store's answer means for a lock that is still wanted. `near` as in link_held. */
static void renewed(ckit_cache *cache, ckiti_held *held, ckit_status st, uint64_t began_ms, ckiti_held *near) {
    uint64_t now_ms = ckiti_cache_now(cache);
    if (st == CKIT_OK) {
        held->end_ms = ckiti_time_after(began_ms, cache->options.lock_lease_ms);
    } else if (st == CKIT_MISS) {
        held->end_ms = 0;
        return;
    } else if (now_ms >= held->end_ms) {
        return; /* whether it was lost, the store tells when the result is written */
    }
    uint64_t due_ms = next_due(cache, began_ms, st != CKIT_OK);
    held->due_ms = due_ms > now_ms ? due_ms : now_ms; /* behind those that wait for their first attempt */
    link_held(&cache->leases, held, near);
}

/* With the lock held: more than one are due at that moment. */
static bool has_company(const ckiti_held *first) { return first->next != NULL && first->next->due_ms == first->due_ms; }

/* With the lock held: takes the first out of the list, and those that are due with it, up to `most`. */
static ckiti_held *take_due(ckiti_leases *leases, size_t most) {
    ckiti_held *first = leases->first, *last = first;
    bool        more = has_company(first);
    unlink_held(leases, first);
    first->asked = true;
    while (more && --most > 0) {
        last->next = leases->first;
        last = last->next;
        more = has_company(last);
        unlink_held(leases, last);
        last->asked = true;
    }
    return first;
}

/* With the lock held: `answers` are those of the locks from `held` on. */
static void end_renewal(ckit_cache *cache, ckiti_held *held, const ckit_status *answers, uint64_t began_ms) {
    ckiti_held *renewed_last = NULL, *failed_last = NULL;
    for (; held != NULL; answers++) {
        ckiti_held  *next = held->next;
        ckiti_held **last = *answers == CKIT_OK ? &renewed_last : &failed_last;
        held->next = NULL;
        held->asked = false;
        if (held->dropped) {
            free_held(cache, held);
        } else {
            renewed(cache, held, *answers, began_ms, *last);
            *last = held->listed ? held : *last;
        }
        held = next;
    }
}

/* With the lock held, which it gives back while the store is asked. Where there is no memory to ask for many, one. */
static void renew(ckiti_renewer *r, uint64_t now_ms) {
    ckit_cache   *cache = r->cache;
    ckiti_leases *leases = &cache->leases;
    bool          many = cache->ops->lock_renew_many != NULL && has_company(leases->first);
    portion      *p = many ? ckiti_alloc(cache->alloc, sizeof *p) : NULL;
    ckit_status   answer = CKIT_OK;
    ckiti_held   *asked = r->asked = take_due(leases, p != NULL ? CKITI_LEASE_PORTION : 1);
    keep_watch(leases);
    pthread_mutex_unlock(&leases->mu);
    if (p != NULL) {
        ask_together(cache, asked, p, now_ms);
    } else {
        answer = ask_one(cache, asked, now_ms);
    }
    pthread_mutex_lock(&leases->mu);
    r->asked = NULL;
    end_renewal(cache, asked, p != NULL ? p->answers : &answer, now_ms);
    ckiti_free(cache->alloc, p, sizeof *p);
}

static void renew_due(ckiti_job *job) {
    ckiti_renewer *r = (ckiti_renewer *)(void *)((char *)job - offsetof(ckiti_renewer, job));
    ckiti_leases  *leases = &r->cache->leases;
    pthread_mutex_lock(&leases->mu);
    r->state = CKITI_RENEWER_RUNS;
    for (;;) {
        uint64_t now_ms = ckiti_cache_now(r->cache);
        if (leases->first == NULL || leases->first->due_ms > now_ms) {
            break;
        }
        renew(r, now_ms);
    }
    r->state = CKITI_RENEWER_IDLE;
    keep_watch(leases);
    pthread_mutex_unlock(&leases->mu);
}

/* ---- what holders do --------------------------------------------------------------------------------------------- */

void ckiti_lease_hold(ckit_cache *cache, ckit_slice key, const ckit_lease *lease, uint64_t taken_ms, ckiti_held **out) {
    ckiti_leases *leases = &cache->leases;
    ckiti_held   *held = ckiti_alloc_zeroed(cache->alloc, 1, sizeof *held + key.len);
    *out = held;
    if (held == NULL) {
        return;
    }
    held->lease = *lease;
    held->key_len = key.len;
    memcpy(held->key, key.ptr, key.len);
    held->end_ms = ckiti_time_after(taken_ms, cache->options.lock_lease_ms);
    held->due_ms = next_due(cache, taken_ms, false);
    pthread_mutex_lock(&leases->mu);
    link_held(leases, held, NULL);
    keep_watch(leases);
    pthread_mutex_unlock(&leases->mu);
}

uint64_t ckiti_lease_end(ckit_cache *cache, const ckiti_held *held) {
    pthread_mutex_lock(&cache->leases.mu);
    uint64_t end_ms = held->end_ms;
    pthread_mutex_unlock(&cache->leases.mu);
    return end_ms;
}

void ckiti_lease_drop(ckit_cache *cache, ckiti_held **held) {
    ckiti_leases *leases = &cache->leases;
    ckiti_held   *mine = *held;
    *held = NULL;
    if (mine == NULL) {
        return;
    }
    pthread_mutex_lock(&leases->mu);
    bool asked = mine->asked;
    mine->dropped = asked;
    if (mine->listed) {
        unlink_held(leases, mine);
    }
    pthread_mutex_unlock(&leases->mu);
    if (!asked) {
        free_held(cache, mine);
    }
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_leases_fork_prepare(ckiti_leases *leases) {
    pthread_mutex_lock(&leases->mu);
    ckiti_workers_fork_prepare(&leases->pool);
}

void ckiti_leases_fork_parent(ckiti_leases *leases) {
    ckiti_workers_fork_parent(&leases->pool);
    pthread_mutex_unlock(&leases->mu);
}

/* In a child nobody asks any more. */
static void forget_asked(ckiti_renewer *r) {
    while (r->asked != NULL) {
        ckiti_held *held = r->asked;
        r->asked = held->next;
        held->next = NULL;
        held->asked = false;
        if (held->dropped) {
            free_held(r->cache, held);
        }
    }
}

void ckiti_leases_fork_child(ckiti_leases *leases) {
    ckiti_workers_fork_child(&leases->pool);
    while (leases->first != NULL) {
        unlink_held(leases, leases->first);
    }
    for (size_t i = 0; i < CKITI_LEASE_THREADS; i++) {
        forget_asked(&leases->renewers[i]);
        leases->renewers[i].state = CKITI_RENEWER_IDLE;
    }
    leases->forks++;
    ckiti_workers_drop_jobs(&leases->pool);
    pthread_mutex_unlock(&leases->mu);
}
