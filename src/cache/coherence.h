/* cache/coherence.h - copies in this process's memory die when somebody else changes the store.
 *
 * A store that watches tells of changes (ckit_watch_sink). For its caches every read of the store, and every
 * computation or write whose value is to go into memory, takes a note of the store's key before it begins:
 *
 *     ckiti_note_begin(cache, &note, key);        a message about the key marks the note, from now on
 *     ... ask the store ...
 *     ckiti_copy_put(cache, ns, &note, how, &args);  only if it is not marked; and the copy can be found by its key
 *     ckiti_note_end(cache, &note);
 *
 * Putting and a message about the key exclude each other by one of 32 locks. So a message that overtakes the reply it
 * belongs to, or comes between the reply and the put, finds the note; a later one finds the copy. A note is exact:
 * messages about other keys, however many, do not touch it.
 *
 * `lost` and `guarded` begin a new state of the watch each, and every copy made before them is gone; what was noted in
 * another state does not become one. While the watch is lost, what is read from the store is kept for a second.
 *
 * What a message does not do: it takes no write back. A computation that it overtakes before its result is written is
 * not written; if it comes later, the result stays in the store, because the message may be about this very write. */
#ifndef CKITI_CACHE_COHERENCE_H
#define CKITI_CACHE_COHERENCE_H

#include "cache/copies.h"
#include "memory/l1.h"

#include <cachekit/ext/backend.h>
#include <pthread.h>
#include <stdatomic.h>

struct ckit_cache;
struct ckiti_namespace;

/* The longest life of a copy that nobody guards. */
#define CKITI_UNGUARDED_LIFE_MS 1000u

/* On the stack of an operation, or in it; must not move between begin and end. */
typedef struct ckiti_note {
    struct ckiti_note *next; /* of its stripe, guarded by the stripe's lock */
    struct ckiti_note *prev;
    uint64_t           key_hash; /* 0: not begun, or the store does not watch */
    uint64_t           forks;
    _Atomic uint64_t   state; /* of the watch, when the present work began */
    _Atomic bool       changed;
} ckiti_note;

#define CKITI_NOTE_CHAINS 256u /* of a stripe: a batch notes thousands of keys */

/* `mu` is taken after the lock of a stripe of versions (stripes.h) and before the memory tier's own. */
typedef struct ckiti_watch_stripe {
    pthread_mutex_t mu;
    ckiti_note     *notes[CKITI_NOTE_CHAINS]; /* of what is under way, by the key's hash */
} ckiti_watch_stripe;

typedef struct ckiti_coherence {
    bool     on; /* the store watches; set before the first namespace is made, constant once the cache is open */
    uint64_t forks;
    _Atomic uint64_t   state; /* lower two bits: CKIT_GUARDS_*; above: how often it changed */
    ckit_watch_sink    sink;
    ckiti_watch_stripe stripes[CKITI_COPY_GROUPS];
} ckiti_coherence;

void ckiti_coherence_init(ckiti_coherence *coherence);
void ckiti_coherence_fini(ckiti_coherence *coherence);
/* Where it is on, asks the store to watch, before anything else is asked of it. When that fails, it is off. */
void ckiti_coherence_start(struct ckit_cache *cache);

/* The store vouches for telling every change. */
bool ckiti_coherence_is_watching(const struct ckit_cache *cache);

/* Notes the key of an operation that begins. Without a store that watches nothing happens. */
void ckiti_note_begin(struct ckit_cache *cache, ckiti_note *note, ckit_slice key);
/* The operation begins anew (looks once more, computes): what has happened so far does not count. */
void ckiti_note_again(const struct ckit_cache *cache, ckiti_note *note);
/* Accepts a zeroed note. */
void ckiti_note_end(struct ckit_cache *cache, ckiti_note *note);
/* The key has changed in the store since the work began. */
static inline bool ckiti_note_is_changed(const ckiti_note *note) {
    return atomic_load_explicit(&note->changed, memory_order_acquire);
}

/* This process has changed the key itself, by the operation of `note` or by one without: the store need not tell it.
 * Everything else under way with the key is overtaken, and its copies go, under whatever name memory has them. */
void ckiti_note_written(struct ckit_cache *cache, const ckiti_note *note);
void ckiti_key_written(struct ckit_cache *cache, ckit_slice key);

/* Where a value for memory comes from. */
typedef enum ckiti_copy_of {
    CKITI_COPY_READ,    /* the store gave it */
    CKITI_COPY_WRITTEN, /* the store has taken it */
    CKITI_COPY_ALONE    /* the store did not take it: memory serves it to this process until the store is back */
} ckiti_copy_of;

/* ckiti_l1_put for the operation of `note`, which may shorten the life. CKIT_MISS also when the value must not be kept.
 * A refused value says nothing about an older copy: the caller removes it where it may be older. */
ckit_status ckiti_copy_put(struct ckit_cache *cache, struct ckiti_namespace *ns, const ckiti_note *note,
                           ckiti_copy_of how, ckiti_l1_put_args *args, uint64_t now_ms);
/* The life that an entry may get which is in memory already. */
uint64_t ckiti_copy_life(const struct ckit_cache *cache, uint64_t life_ms);

void ckiti_coherence_lock_all(ckiti_coherence *coherence);
void ckiti_coherence_unlock_all(ckiti_coherence *coherence);
/* With all locks held, in a forked child: the watch is the parent's, and so is what other threads had noted. */
void ckiti_coherence_forked(struct ckit_cache *cache);

#endif
