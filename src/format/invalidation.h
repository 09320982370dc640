/* format/invalidation.h - the message by which a process tells others, over publish/subscribe, what it has changed.
 *
 * A MessagePack map, of at most 10 KiB:
 *
 *     "l"   "global", "namespace" or "params": everything, a namespace, one call
 *     "ns"  the namespace's name: letters, digits, "_" and "-", 1 to 128. With "namespace", or with "params"
 *     "ph"  64 lower-case hexadecimal digits, with "params": the hash of the arguments, as in an automatic key. For every
 *           other key the BLAKE2b-256 of the key
 *     "k"   bytes, with "params": the key itself, up to 1024 bytes. Processes that know it need not look for the hash in
 *           each of their functions; others skip it, as they skip every field that they do not know
 *
 * No string in it is longer than 1024 bytes, no array or map has more than 100 entries. Nothing here blocks. */
#ifndef CKITI_FORMAT_INVALIDATION_H
#define CKITI_FORMAT_INVALIDATION_H

#include <cachekit/buf.h>
#include <cachekit/error.h>
#include <cachekit/ext/backend.h>
#include <cachekit/types.h>

#define CKITI_INVALIDATION_CHANNEL "cachekit:invalidation"
#define CKITI_INVALIDATION_MAX_BYTES 10240u
#define CKITI_INVALIDATION_MAX_STRING 1024u
#define CKITI_INVALIDATION_MAX_ENTRIES 100u
#define CKITI_INVALIDATION_MAX_DEPTH 8u
#define CKITI_INVALIDATION_MAX_NAMESPACE 128u
#define CKITI_INVALIDATION_HASH 64u

typedef enum ckiti_invalidation_level {
    CKITI_INVALIDATE_GLOBAL,
    CKITI_INVALIDATE_NAMESPACE,
    CKITI_INVALIDATE_PARAMS
} ckiti_invalidation_level;

/* Slices are empty when absent. */
typedef struct ckiti_invalidation {
    ckiti_invalidation_level level;
    ckit_slice               namespace_name;
    ckit_slice               hash;
    ckit_slice               key;
} ckiti_invalidation;

/* What tells of one changed key; of a key of more than 1024 bytes nothing less than "global". `digits` lends room for
 * the hash. */
ckiti_invalidation ckiti_invalidation_of_key(ckit_slice key, char digits[CKITI_INVALIDATION_HASH]);
/* The narrowest that covers the scope: "global" where the namespace's name cannot be told. */
ckiti_invalidation ckiti_invalidation_of_scope(const ckit_scope *scope);

/* Appends the message. CKIT_E_MISUSE for what the format cannot say; CKIT_E_NO_MEMORY. `out` is unchanged on
 * failure. */
ckit_status ckiti_invalidation_write(const ckiti_invalidation *what, ckit_buf *out, ckit_error *err);
/* Slices of *out point into the message. Any failure means that it is malformed, and to be counted and skipped. */
ckit_status ckiti_invalidation_read(ckit_slice message, ckiti_invalidation *out, ckit_error *err);

/* Passes it on to a cache. */
void ckiti_invalidation_tell(const ckiti_invalidation *what, const ckit_watch_sink *sink);

#endif
