#include "cache/coherence.h"

#include "cache/core.h"
#include "cache/scope.h"

#include <cachekit/key.h>

#define GUARDS UINT64_C(3)

void ckiti_coherence_init(ckiti_coherence *coherence) {
    for (unsigned i = 0; i < CKITI_COPY_GROUPS; i++) {
        pthread_mutex_init(&coherence->stripes[i].mu, NULL); /* the rest is zero, as the cache was allocated */
    }
}

void ckiti_coherence_fini(ckiti_coherence *coherence) {
    for (unsigned i = 0; i < CKITI_COPY_GROUPS; i++) {
        pthread_mutex_destroy(&coherence->stripes[i].mu);
    }
}

static uint64_t hash_of(const ckit_cache *cache, ckit_slice key) {
    uint64_t hash = ckiti_xxh3(key, cache->seed);
    return hash != 0 ? hash : 1;
}

static ckiti_watch_stripe *stripe_of(ckit_cache *cache, uint64_t key_hash) {
    return &cache->coherence.stripes[ckiti_copy_group(key_hash)];
}

static ckiti_note **chain_of(ckiti_watch_stripe *stripe, uint64_t key_hash) {
    return &stripe->notes[key_hash / CKITI_COPY_GROUPS % CKITI_NOTE_CHAINS];
}

/* ---- notes ------------------------------------------------------------------------------------------------------- */

void ckiti_note_again(const ckit_cache *cache, ckiti_note *note) {
    if (note->key_hash != 0) {
        /* Cleared first: what is told after this is told again. */
        atomic_store(&note->changed, false);
        atomic_store(&note->state, atomic_load(&cache->coherence.state));
    }
}

void ckiti_note_begin(ckit_cache *cache, ckiti_note *note, ckit_slice key) {
    note->key_hash = 0;
    note->next = note->prev = NULL;
    atomic_init(&note->changed, false);
    atomic_init(&note->state, 0);
    if (!cache->coherence.on || key.len == 0) {
        return;
    }
    note->key_hash = hash_of(cache, key);
    ckiti_watch_stripe *stripe = stripe_of(cache, note->key_hash);
    pthread_mutex_lock(&stripe->mu);
    note->forks = cache->coherence.forks;
    ckiti_note **first = chain_of(stripe, note->key_hash);
    note->next = *first;
    if (note->next != NULL) {
        note->next->prev = note;
    }
    *first = note;
    pthread_mutex_unlock(&stripe->mu);
    ckiti_note_again(cache, note);
}

void ckiti_note_end(ckit_cache *cache, ckiti_note *note) {
    if (note->key_hash == 0) {
        return;
    }
    ckiti_watch_stripe *stripe = stripe_of(cache, note->key_hash);
    pthread_mutex_lock(&stripe->mu);
    if (note->forks == cache->coherence.forks) { /* else the list it was in is the parent's */
        if (note->next != NULL) {
            note->next->prev = note->prev;
        }
        *(note->prev != NULL ? &note->prev->next : chain_of(stripe, note->key_hash)) = note->next;
    }
    pthread_mutex_unlock(&stripe->mu);
    note->key_hash = 0;
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static uint64_t shorter(uint64_t life_ms) { /* CKIT_LIFE_NO_EXPIRY is the largest number */
    return life_ms < CKITI_UNGUARDED_LIFE_MS ? life_ms : CKITI_UNGUARDED_LIFE_MS;
}

uint64_t ckiti_copy_life(const ckit_cache *cache, uint64_t life_ms) {
    return cache->coherence.on && (atomic_load(&cache->coherence.state) & GUARDS) == 0 ? shorter(life_ms) : life_ms;
}

/* With the stripe's lock held. */
static ckit_status put(ckiti_namespace *ns, const ckiti_note *note, uint64_t guards, ckiti_copy_of how,
                       ckiti_l1_put_args *args, uint64_t now_ms) {
    bool guarded = (guards & (how == CKITI_COPY_READ ? CKIT_GUARDS_READS : CKIT_GUARDS_WRITES)) != 0;
    if (!guarded && how == CKITI_COPY_WRITTEN && guards != 0) {
        return CKIT_MISS; /* a read makes a copy that is guarded */
    }
    if (!guarded && (how != CKITI_COPY_ALONE || guards != 0)) {
        args->life_ms = shorter(args->life_ms);
        args->stale_ms = 0;
    }
    if (args->life_ms == 0 && args->stale_ms == 0) {
        return CKIT_MISS;
    }
    /* Messages may come that nobody has vouched for: they too find what they name. */
    bool can_be_found = ns->copies != NULL && ckiti_copies_add(ns->copies, note->key_hash, args->hash);
    return can_be_found ? ckiti_l1_put(ns->l1, args, now_ms) : CKIT_MISS;
}

ckit_status ckiti_copy_put(ckit_cache *cache, ckiti_namespace *ns, const ckiti_note *note, ckiti_copy_of how,
                           ckiti_l1_put_args *args, uint64_t now_ms) {
    if (note->key_hash == 0) {
        return ckiti_l1_put(ns->l1, args, now_ms);
    }
    ckit_status         st = CKIT_MISS;
    ckiti_watch_stripe *stripe = stripe_of(cache, note->key_hash);
    pthread_mutex_lock(&stripe->mu);
    uint64_t state = atomic_load(&cache->coherence.state);
    if (!ckiti_note_is_changed(note) && atomic_load(&note->state) == state) {
        st = put(ns, note, state & GUARDS, how, args, now_ms);
    }
    pthread_mutex_unlock(&stripe->mu);
    return st;
}

/* ---- what the store tells ---------------------------------------------------------------------------------------- */

/* Marks what is under way with the key, but `own`, and drops its copies. */
static size_t overtake(ckit_cache *cache, uint64_t hash, const ckiti_note *own) {
    ckiti_watch_stripe *stripe = stripe_of(cache, hash);
    size_t              dropped = 0;
    pthread_mutex_lock(&stripe->mu);
    for (ckiti_note *note = *chain_of(stripe, hash); note != NULL; note = note->next) {
        if (note->key_hash == hash && note != own) {
            atomic_store_explicit(&note->changed, true, memory_order_release);
        }
    }
    for (ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire); ns != NULL;
         ns = ns->next) {
        dropped += ns->copies != NULL ? ckiti_copies_drop(ns->copies, hash) : 0;
    }
    pthread_mutex_unlock(&stripe->mu);
    return dropped;
}

void ckiti_note_written(ckit_cache *cache, const ckiti_note *note) {
    if (note->key_hash != 0) {
        (void)overtake(cache, note->key_hash, note);
    }
}

void ckiti_key_written(ckit_cache *cache, ckit_slice key) {
    if (cache->coherence.on) {
        (void)overtake(cache, hash_of(cache, key), NULL);
    }
}

static void tell_changed(ckit_cache *cache, ckit_slice key) {
    uint64_t hash = hash_of(cache, key);
    size_t   dropped = overtake(cache, hash, NULL);
    ckiti_waits_wake(&cache->waits, 0, hash);
    if (dropped > 0) {
        ckiti_count(&cache->counters, CKITI_COPIES_DROPPED, dropped);
    }
}

static void on_changed(void *self, ckit_slice key) {
    ckit_cache *cache = self;
    ckiti_count(&cache->counters, CKITI_CHANGES_TOLD, 1);
    tell_changed(cache, key);
}

static void on_call_changed(void *self, ckit_slice namespace_name, ckit_slice hash) {
    ckit_cache *cache = self;
    ckiti_count(&cache->counters, CKITI_CHANGES_TOLD, 1);
    ckiti_each_key_of_hash(cache, namespace_name, hash, tell_changed);
}

static void on_scope_changed(void *self, const ckit_scope *scope) {
    ckit_cache *cache = self;
    ckiti_count(&cache->counters, CKITI_CHANGES_TOLD, 1);
    ckiti_forget_scope_as_told(cache, scope);
}

/* A new state, then a new floor for everything in memory. Whoever notes the state notes his birth before: so if it is
 * the new state that he sees, or an old birth, either check stops what he has read before. */
static void change_state(ckit_cache *cache, uint64_t guards) {
    uint64_t state = atomic_load(&cache->coherence.state);
    while (!atomic_compare_exchange_weak(&cache->coherence.state, &state, ((state | GUARDS) + 1) | guards)) {}
    pthread_mutex_lock(&cache->mu); /* a namespace that is being made is seen here, or sees the new state */
    for (ckiti_namespace *ns = atomic_load_explicit(&cache->namespaces, memory_order_acquire); ns != NULL;
         ns = ns->next) {
        if (ns->l1 != NULL) {
            ckiti_l1_invalidate_all(ns->l1);
        }
    }
    pthread_mutex_unlock(&cache->mu);
}

/* What was guarded, if anything was, is not any more. */
static void count_loss(ckit_cache *cache) {
    if ((atomic_load(&cache->coherence.state) & GUARDS) != 0) {
        ckiti_count(&cache->counters, CKITI_WATCHES_LOST, 1);
    }
}

/* Told again it takes what has been read meanwhile and is kept for a second. */
static void on_lost(void *self) {
    ckit_cache *cache = self;
    count_loss(cache);
    change_state(cache, 0);
}

static void on_guarded(void *self, unsigned what) {
    ckit_cache *cache = self;
    count_loss(cache);
    change_state(cache, (what & GUARDS) | CKIT_GUARDS_READS);
}

static void on_counted(void *self, ckit_watch_figure what) {
    static const unsigned counters[] = {[CKIT_WATCH_PUBLISHED] = CKITI_CHANGES_PUBLISHED,
                                        [CKIT_WATCH_UNHEARD] = CKITI_CHANGES_UNHEARD,
                                        [CKIT_WATCH_UNPUBLISHED] = CKITI_CHANGES_UNPUBLISHED,
                                        [CKIT_WATCH_MALFORMED] = CKITI_MESSAGES_MALFORMED};
    ckit_cache           *cache = self;
    if (what >= CKIT_WATCH_PUBLISHED && what <= CKIT_WATCH_MALFORMED) {
        ckiti_count(&cache->counters, counters[what], 1);
    }
}

bool ckiti_coherence_is_watching(const ckit_cache *cache) {
    return cache->coherence.on && (atomic_load(&cache->coherence.state) & GUARDS) != 0;
}

void ckiti_coherence_start(ckit_cache *cache) {
    ckiti_coherence *coherence = &cache->coherence;
    if (!coherence->on) {
        return;
    }
    ckit_error err = CKIT_ERROR_INIT;
    coherence->sink = (ckit_watch_sink){.self = cache,
                                        .changed = on_changed,
                                        .call_changed = on_call_changed,
                                        .scope_changed = on_scope_changed,
                                        .lost = on_lost,
                                        .guarded = on_guarded,
                                        .counted = on_counted};
    ckit_status st = cache->ops->watch(cache->store, &coherence->sink, &err);
    if (st != CKIT_OK) {
        coherence->on = false;
        ckiti_log(cache->log, CKIT_LOG_WARNING, "cache",
                  "%s: copies in memory do not hear of changes elsewhere: %s %s: %s", cache->ops->name,
                  ckit_status_code(st), err.where, err.text);
    }
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

void ckiti_coherence_lock_all(ckiti_coherence *coherence) {
    for (unsigned i = 0; i < CKITI_COPY_GROUPS; i++) {
        pthread_mutex_lock(&coherence->stripes[i].mu);
    }
}

void ckiti_coherence_unlock_all(ckiti_coherence *coherence) {
    for (unsigned i = 0; i < CKITI_COPY_GROUPS; i++) {
        pthread_mutex_unlock(&coherence->stripes[i].mu);
    }
}

void ckiti_coherence_forked(ckit_cache *cache) {
    ckiti_coherence *coherence = &cache->coherence;
    coherence->forks++;
    for (unsigned i = 0; i < CKITI_COPY_GROUPS; i++) {
        memset(coherence->stripes[i].notes, 0, sizeof coherence->stripes[i].notes);
    }
    if (coherence->on) {
        uint64_t state = atomic_load(&coherence->state);
        atomic_store(&coherence->state, (state | GUARDS) + 1);
        for (ckiti_namespace *ns = atomic_load(&cache->namespaces); ns != NULL; ns = ns->next) {
            if (ns->l1 != NULL) {
                ckiti_l1_invalidate_all(ns->l1);
            }
        }
    }
}
