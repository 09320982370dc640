/* cachekit/rotate.h - sealing the entries of a store anew, with the current key of a ring.
 *
 *     ckit_rotation_options options = CKIT_ROTATION_OPTIONS_INIT;
 *     ckit_rotation         done = CKIT_ROTATION_INIT;
 *     if (ckit_rotate(backend, ring, &options, &done, &err) == CKIT_OK && done.previous_needed == 0) {
 *         ... the previous keys may go
 *     }
 *
 * First every program gets the new key as the current one and the old one among the previous ones (seal.h): from then
 * on new values are sealed with the new key, and old ones open. When they have ended, the old key may go; whoever does
 * not want to wait for that has them sealed anew. Programs may go on working meanwhile. An entry keeps its name, its
 * remaining lifetime and its owner, and a value that somebody writes in between is never lost. What has been done stays
 * done: after an end half-way, another run does the rest. */
#ifndef CACHEKIT_ROTATE_H
#define CACHEKIT_ROTATE_H

#include <cachekit/ext/backend.h>
#include <cachekit/seal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was met; each entry that was looked at is counted in one of them. */
typedef struct ckit_rotation {
    size_t   struct_size;
    uint64_t seen;        /* all of them */
    uint64_t resealed;    /* sealed anew; with dry_run: would have been */
    uint64_t current;     /* sealed with the current key already */
    uint64_t clear;       /* not sealed, or bytes without a header that no key here opens */
    uint64_t unknown_key; /* sealed with a key that is not in the ring: left as they are */
    uint64_t damaged;     /* do not open with the key that they name: left as they are */
    uint64_t overtaken;   /* written again each time, right before they could be replaced */
    uint64_t nameless;    /* the store does not know their keys, without which none opens */
    uint64_t failed;      /* the store failed to read or to take them */
    uint64_t gone;        /* ended or removed since they were listed */
    /* how many may still need a previous key: what was overtaken, nameless or failed, with dry_run what would be sealed
     * anew, and with a ring that has no previous keys what an unknown one has sealed: it may be a former one. When the
     * rotation ended early, or a program still seals with a previous key, there may be more */
    uint64_t previous_needed;
} ckit_rotation;
#define CKIT_ROTATION_INIT CKIT_SIZED_INIT(ckit_rotation)
CKIT_API void ckit_rotation_init(ckit_rotation *rotation, size_t struct_size);

#define CKIT_ROTATE_PER_SECOND 1000u /* by default */
#define CKIT_ROTATE_UNPACED UINT64_MAX

typedef struct ckit_rotation_options {
    size_t      struct_size;
    ckit_scope  scope;          /* which entries; zero: all */
    ckit_slice  key_prefix;     /* of these only those whose keys begin so; empty: all */
    const char *deployment_id;  /* for whom values without a header are sealed (cache.h); NULL: "default" */
    uint64_t    max_per_second; /* entries that are looked at; 0 = CKIT_ROTATE_PER_SECOND */
    bool        dry_run;        /* only looks */
    /* Called after each entry, and now and then in pauses: anything but CKIT_OK ends the rotation, and is returned by
     * it. May be NULL. */
    ckit_status (*progress)(void *context, const ckit_rotation *so_far);
    void             *context;
    const ckit_alloc *alloc;
} ckit_rotation_options;
#define CKIT_ROTATION_OPTIONS_INIT CKIT_SIZED_INIT(ckit_rotation_options)
CKIT_API void ckit_rotation_options_init(ckit_rotation_options *options, size_t struct_size);

/* Blocks until all have been looked at; memory is used for one entry at a time. `options` may be NULL. Several
 * rotations of one store may run at once. `out` counts in any case, as much of it as out->struct_size says.
 *
 * Keys of tenants ("t:TENANT:KEY", function.h) are understood, also behind a tenant that a store puts in front. Copies
 * that outlive their entries ("KEY:stale") are entries like others.
 *
 * CKIT_OK                all that was shown by the store was looked at; out->previous_needed says what that came to
 * CKIT_E_NO_MASTER_KEY   the ring has no current key
 * CKIT_E_UNSUPPORTED     the store cannot list its entries, or cannot replace one value by another (`replace`,
 *                        ext/backend.h); or the current key has sealed all it may
 * what `progress` answers; and failures of the store as a whole: those of kind TRANSIENT, TIMEOUT and AUTHENTICATION,
 * and of its listing. Other failures cost one entry. */
CKIT_API ckit_status ckit_rotate(ckit_backend *backend, ckit_keyring *ring, const ckit_rotation_options *options,
                                 ckit_rotation *out, ckit_error *err);

#ifdef __cplusplus
}
#endif
#endif
